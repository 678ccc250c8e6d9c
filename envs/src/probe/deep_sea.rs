use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, FiniteMdp, Result, Rng, Seeds, Space, Step, check_range, same_as};

/// `deep-sea`: dive to a treasure that costs a little all the way. Tests whether an agent explores deeply.
///
/// Going right in every one of `size` steps finds the treasure; random actions find it once in `2^size`
/// episodes, and every step to the right costs, so undirected exploration gives up.
///
/// **Action space**: `discrete(2)`.
///
/// | action | meaning |
/// |---|---|
/// | 0, 1 | one dives to the left, the other to the right; which is which is drawn for every cell |
///
/// **Observation space**: box of `size x size` `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | `row * size + column` | whether the diver is there; all 0 after the last step | – | 0 or 1 |
///
/// **Reward**: `-move_cost / size` on a step to the right; 1 more on a step to the right in the last
/// column, which only the last row has within reach. The best return is `1 - move_cost`.
///
/// **Start**: top left.
///
/// **End**: terminated after `size` steps. No time limit.
///
/// **Config**: [`DeepSeaConfig`]. As one state a cell: [`TabularDeepSea`].
///
/// # Reference
/// Osband et al., *Deep Exploration via Randomized Value Functions*, 2019, section 3; bsuite (Osband et al., 2020),
/// `environments/deep_sea.py`.
///
/// Deviations: the stochastic variant is left out. The actions' meanings have the same distribution, but are
/// other ones for a seed.
#[derive(Clone, Debug)]
pub struct DeepSea {
    size: usize,
    move_cost: f64,
    /// Which action goes right, per cell.
    right: Vec<bool>,
}

/// Configuration of [`DeepSea`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepSeaConfig {
    /// Rows, columns and steps, 1 to 1000.
    pub size: usize,
    /// Cost of going right all the way, 0 to 1.
    pub move_cost: f64,
    /// Whether the actions' meanings are drawn; otherwise action 1 goes right everywhere.
    pub randomize_actions: bool,
    /// The same seed gives the actions the same meanings.
    pub mapping_seed: u64,
}

impl Default for DeepSeaConfig {
    fn default() -> Self {
        Self {
            size: 10,
            move_cost: 0.01,
            randomize_actions: true,
            mapping_seed: 0,
        }
    }
}

/// State of [`DeepSea`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeepSeaState {
    /// Row, from the top; `size` after the last step.
    pub row: u32,
    /// Column, from the left.
    pub column: u32,
}

impl DeepSea {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &DeepSeaConfig) -> Result<Self> {
        check_range("size", config.size, 1..=1000)?;
        check_range("move_cost", config.move_cost, 0.0..=1.0)?;
        let mut rng = Seeds::new(config.mapping_seed).stream("deep-sea/mapping", 0);
        let cells = 0..config.size * config.size;
        let right = cells.map(|_| !config.randomize_actions || rng.random());
        Ok(Self {
            size: config.size,
            move_cost: config.move_cost,
            right: right.collect(),
        })
    }

    /// The same sea, in which `right[row * size + column]` says whether action 1 goes right.
    ///
    /// # Panics
    /// If `right` has another length than `size * size`.
    pub fn with_mapping(self, right: Vec<bool>) -> Self {
        assert_eq!(right.len(), self.right.len(), "one meaning for each cell");
        Self { right, ..self }
    }

    fn dive(&self, state: DeepSeaState, action: usize) -> (DeepSeaState, Step) {
        let DeepSeaState { row, column } = state;
        let last = self.size as u32 - 1;
        let goes_right = (action == 1) == self.right[row as usize * self.size + column as usize];
        let (column, reward) = if goes_right {
            let treasure = if column == last { 1.0 } else { 0.0 };
            let cost = self.move_cost / self.size as f64;
            ((column + 1).min(last), (treasure - cost) as f32)
        } else {
            (column.saturating_sub(1), 0.0)
        };
        let step = Step::terminal_if(row == last, reward);
        let row = row + 1;
        (DeepSeaState { row, column }, step)
    }
}

impl Env for DeepSea {
    type State = DeepSeaState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![self.size, self.size],
            low: 0.0,
            high: 1.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, _: &mut Rng) -> DeepSeaState {
        DeepSeaState { row: 0, column: 0 }
    }
    fn step(&self, state: &mut DeepSeaState, action: usize, _: &mut Rng) -> Step {
        let (next, step) = self.dive(*state, action);
        *state = next;
        step
    }
    fn observe(&self, state: &DeepSeaState, obs: &mut [f32]) {
        obs.fill(0.0);
        if (state.row as usize) < self.size {
            obs[state.row as usize * self.size + state.column as usize] = 1.0;
        }
    }
    fn reference(&self) -> &'static str {
        "bsuite deep_sea"
    }
    fn render(&self, state: &DeepSeaState) -> Option<String> {
        let mut text = String::new();
        for row in 0..self.size as u32 {
            text.extend((0..self.size as u32).map(|column| match (row, column) {
                at if at == (state.row, state.column) => '@',
                _ => '.',
            }));
            text.push('\n');
        }
        Some(text)
    }
}

/// `deep-sea-tabular`: [`DeepSea`] as one state a cell, for agents that keep a table.
///
/// **Observation space**: `discrete(size * size + 1)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | `row * size + column`; `size * size` after the last step | cells | 0 to `size * size` |
///
/// **Action space**, **Reward**, **Start**, **End**, **Config**, **Reference**: as [`DeepSea`].
#[derive(Clone, Debug)]
pub struct TabularDeepSea(DeepSea);

impl TabularDeepSea {
    /// # Errors
    /// As [`DeepSea::new`].
    pub fn new(config: &DeepSeaConfig) -> Result<Self> {
        DeepSea::new(config).map(Self)
    }

    fn number(&self, state: DeepSeaState) -> usize {
        let size = self.0.size;
        (state.row as usize * size + state.column as usize).min(size * size)
    }
}

impl Env for TabularDeepSea {
    type State = DeepSeaState;
    type Obs = i32;
    type Action = usize;

    same_as!(|this| this.0; action_space, reset, step, reference, render);
    fn observation_space(&self) -> Space {
        Space::Discrete(self.num_states())
    }
    fn observe(&self, state: &DeepSeaState, obs: &mut [i32]) {
        obs[0] = self.number(*state) as i32;
    }
}

impl FiniteMdp for TabularDeepSea {
    fn num_states(&self) -> usize {
        self.0.size * self.0.size + 1
    }
    fn num_actions(&self) -> usize {
        2
    }
    fn starts(&self, each: &mut dyn FnMut(f64, usize)) {
        each(1.0, 0);
    }
    fn outcomes(&self, state: usize, action: usize, each: &mut dyn FnMut(f64, usize, Step)) {
        let size = self.0.size;
        if state == size * size {
            return each(1.0, state, Step::terminal(0.0));
        }
        let at = DeepSeaState {
            row: (state / size) as u32,
            column: (state % size) as u32,
        };
        let (next, step) = self.0.dive(at, action);
        each(1.0, self.number(next), step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::check_env;

    fn plain(size: usize) -> DeepSeaConfig {
        DeepSeaConfig {
            size,
            randomize_actions: false,
            ..Default::default()
        }
    }

    #[test]
    fn conforms() {
        for config in [DeepSeaConfig::default(), plain(1), plain(4)] {
            assert_eq!(check_env(DeepSea::new(&config).unwrap()), Ok(()));
            assert_eq!(check_env(TabularDeepSea::new(&config).unwrap()), Ok(()));
        }
    }

    #[test]
    fn right_all_the_way_returns_one_less_the_cost() {
        let env = DeepSea::new(&plain(4)).unwrap();
        let mut state = DeepSeaState { row: 0, column: 0 };
        let rng = &mut Seeds::new(0).stream("test", 0);
        let steps = [(); 4].map(|()| env.step(&mut state, 1, rng));
        let share = -0.01 / 4.0;
        assert_eq!(steps[..3], [Step::running(share); 3]);
        assert_eq!(steps[3], Step::terminal(1.0 + share));
        let mut obs = [9.0; 16];
        env.observe(&state, &mut obs);
        assert_eq!(obs, [0.0; 16]);
    }

    #[test]
    fn left_is_free_and_the_wall_holds() {
        let env = DeepSea::new(&plain(3)).unwrap();
        let at = |row, column| DeepSeaState { row, column };
        assert_eq!(env.dive(at(0, 0), 0), (at(1, 0), Step::running(0.0)));
        assert_eq!(env.dive(at(1, 1), 0), (at(2, 0), Step::running(0.0)));
        assert_eq!(env.dive(at(2, 0), 0), (at(3, 0), Step::terminal(0.0)));
    }

    #[test]
    fn meanings_are_drawn_by_seed_about_half_each() {
        let mapping = |mapping_seed| {
            let config = DeepSeaConfig {
                size: 100,
                mapping_seed,
                ..Default::default()
            };
            DeepSea::new(&config).unwrap().right
        };
        assert_eq!(mapping(1), mapping(1));
        assert_ne!(mapping(1), mapping(2));
        let ones = mapping(1).iter().filter(|&&right| right).count();
        // Standard deviation sqrt(10000 / 4) = 50; five of them.
        assert!(ones.abs_diff(5000) < 250);
    }

    #[test]
    fn the_table_walks_as_the_environment_does() {
        let env = TabularDeepSea::new(&DeepSeaConfig::default()).unwrap();
        let rng = &mut Seeds::new(0).stream("test", 0);
        let mut state = env.reset(rng);
        for i in 0..10 {
            let from = env.number(state);
            let step = env.step(&mut state, i % 2, rng);
            env.outcomes(from, i % 2, &mut |p, next, outcome| {
                assert_eq!((p, next, outcome), (1.0, env.number(state), step));
            });
        }
        assert_eq!(env.number(state), 100);
    }
}
