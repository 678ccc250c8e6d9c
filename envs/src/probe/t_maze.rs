use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Step, check_range};

use crate::canvas::{Canvas, colors};

/// `t-maze`: a sign at the start of a corridor says which way to turn at its end. Tests memory while the agent
/// itself moves.
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | north: at the junction the arm there, elsewhere a wall |
/// | 1 | east: on along the corridor; at the junction a wall |
/// | 2 | south: at the junction the arm there, elsewhere a wall |
/// | 3 | west: back; at the start a wall |
///
/// **Observation space**: box of 3 `f32`.
///
/// | place | values |
/// |---|---|
/// | start, goal in the north | 0, 1, 1 |
/// | start, goal in the south | 1, 1, 0 |
/// | corridor | 1, 0, 1; with [`noise`](TMazeConfig::noise) a, 0, b, both uniform in 0 to 1 and drawn on every step |
/// | junction | 0, 1, 0 |
///
/// **Reward**: 4 for the right arm, -0.1 for the wrong one, -0.1 for a step into a wall; otherwise 0. Other papers'
/// rewards can be configured. The best return is 4 in `corridor_length + 1` steps; without memory at most 1.95 on
/// average. Random actions have -7.14 ± 0.10 (corridor of 10, 2000 episodes, cut off after 200 steps).
///
/// **Start**: at the west end; the goal is in the north or in the south with the same probability.
///
/// **End**: terminated in either arm; truncated after `20 * corridor_length` steps.
///
/// **Config**: [`TMazeConfig`].
///
/// # Reference
/// Bakker, *Reinforcement Learning with Long Short-Term Memory*, 2001: the T-maze with corridors of
/// length 5 to 70, and its version with noisy observations.
///
/// Deviations: the time limit.
#[derive(Clone, Debug)]
pub struct TMaze {
    config: TMazeConfig,
}

/// Configuration of [`TMaze`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TMazeConfig {
    /// Steps from the start to the junction, 1 to 1,000,000.
    pub corridor_length: u32,
    /// Whether the corridor looks different on every step.
    pub noise: bool,
    /// Reward in the right arm, -1000 to 1000.
    pub goal_reward: f32,
    /// Reward in the wrong arm, -1000 to 1000.
    pub wrong_reward: f32,
    /// Reward of a step into a wall, -1000 to 1000.
    pub wall_reward: f32,
    /// Reward of a step along the corridor, -1000 to 1000.
    pub move_reward: f32,
}

impl Default for TMazeConfig {
    fn default() -> Self {
        Self {
            corridor_length: 10,
            noise: false,
            goal_reward: 4.0,
            wrong_reward: -0.1,
            wall_reward: -0.1,
            move_reward: 0.0,
        }
    }
}

/// State of [`TMaze`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TMazeState {
    /// Steps from the start.
    pub position: u32,
    /// Whether the goal is in the north.
    pub north: bool,
    /// How the corridor looks.
    pub noise: [f32; 2],
}

impl TMaze {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &TMazeConfig) -> Result<Self> {
        check_range("corridor_length", config.corridor_length, 1..=1_000_000)?;
        for (key, value) in [
            ("goal_reward", config.goal_reward),
            ("wrong_reward", config.wrong_reward),
            ("wall_reward", config.wall_reward),
            ("move_reward", config.move_reward),
        ] {
            check_range(key, value, -1000.0..=1000.0)?;
        }
        Ok(Self {
            config: config.clone(),
        })
    }

    fn noise(&self, rng: &mut Rng) -> [f32; 2] {
        if self.config.noise {
            [rng.random(), rng.random()]
        } else {
            [1.0; 2]
        }
    }
}

impl Env for TMaze {
    type State = TMazeState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![3],
            low: 0.0,
            high: 1.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(4)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["north", "east", "south", "west"]
    }

    fn reset(&self, rng: &mut Rng) -> TMazeState {
        TMazeState {
            position: 0,
            north: rng.random(),
            noise: self.noise(rng),
        }
    }

    fn step(&self, state: &mut TMazeState, action: usize, rng: &mut Rng) -> Step {
        let config = &self.config;
        state.noise = self.noise(rng);
        let at_junction = state.position >= config.corridor_length;
        match action {
            0 | 2 if at_junction && (action == 0) == state.north => {
                return Step::terminal(config.goal_reward);
            }
            0 | 2 if at_junction => return Step::terminal(config.wrong_reward),
            1 if !at_junction => state.position += 1,
            3 if state.position > 0 => state.position -= 1,
            _ => return Step::running(config.wall_reward),
        }
        Step::running(config.move_reward)
    }

    fn observe(&self, state: &TMazeState, obs: &mut [f32]) {
        let [a, b] = state.noise;
        obs.copy_from_slice(&match state.position {
            0 if state.north => [0.0, 1.0, 1.0],
            0 => [1.0, 1.0, 0.0],
            x if x < self.config.corridor_length => [a, 0.0, b],
            _ => [0.0, 1.0, 0.0],
        });
    }

    fn time_limit(&self) -> Option<u32> {
        Some(20 * self.config.corridor_length)
    }

    fn reference(&self) -> &'static str {
        "Bakker 2001"
    }
    fn render(&self, state: &TMazeState) -> Option<String> {
        const WIDTH: usize = 40;
        let length = self.config.corridor_length as usize;
        let shown = length.min(WIDTH);
        let place = (state.position as usize).min(length) * shown / length;
        let mut corridor = vec!['.'; shown + 1];
        corridor[place] = '@';
        let arm = |goal| " ".repeat(shown) + if goal { "G" } else { "." };
        let corridor: String = corridor.into_iter().collect();
        Some(format!(
            "{}\n{corridor}\n{}\n",
            arm(state.north),
            arm(!state.north)
        ))
    }

    fn draw(&self, state: &TMazeState) -> Option<Picture> {
        let mut canvas = Canvas::new(320, 96, [0.0, 10.0], [3.0, 0.0]);
        canvas.rectangle([0.0, 0.0], [10.0, 3.0], colors::GREY);
        canvas.rectangle([0.1, 1.05], [9.9, 1.95], colors::WHITE);
        canvas.rectangle([8.9, 0.1], [9.9, 2.9], colors::WHITE);
        let up = if state.north { -1.0 } else { 1.0 };
        canvas.disc([9.4, 1.5 + up], 0.3, colors::GREEN);
        // The sign at the start.
        let tip = 1.5 + 0.35 * up;
        canvas.line(&[[0.5, 1.5 - 0.35 * up], [0.5, tip]], 4.0, colors::GREEN);
        let head = [
            [0.3, tip - 0.2 * up],
            [0.7, tip - 0.2 * up],
            [0.5, tip + 0.1 * up],
        ];
        canvas.polygon(&head, colors::GREEN);
        let share = f64::from(state.position) / f64::from(self.config.corridor_length);
        canvas.disc([0.5 + 8.9 * share.min(1.0), 1.5], 0.25, colors::RED);
        Some(canvas.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::{Seeds, Status, check_env};

    fn maze(corridor_length: u32, noise: bool) -> TMaze {
        TMaze::new(&TMazeConfig {
            corridor_length,
            noise,
            ..Default::default()
        })
        .unwrap()
    }

    fn walk(north: bool, actions: &[usize]) -> Vec<Step> {
        let rng = &mut Seeds::new(0).stream("test", 0);
        let env = maze(2, false);
        let mut state = TMazeState {
            position: 0,
            north,
            noise: [1.0; 2],
        };
        let actions = actions.iter();
        actions
            .map(|&action| env.step(&mut state, action, rng))
            .collect()
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(maze(10, false)), Ok(()));
        assert_eq!(check_env(maze(1, true)), Ok(()));
    }

    #[test]
    fn the_right_arm_pays_four_and_the_wrong_one_costs() {
        let moved = Step::running(0.0);
        assert_eq!(walk(true, &[1, 1, 0]), [moved, moved, Step::terminal(4.0)]);
        assert_eq!(walk(true, &[1, 1, 2])[2], Step::terminal(-0.1));
        assert_eq!(walk(false, &[1, 1, 2])[2], Step::terminal(4.0));
    }

    #[test]
    fn walls_stand_everywhere_but_along_the_corridor() {
        let wall = Step::running(-0.1);
        let moved = Step::running(0.0);
        assert_eq!(walk(true, &[3, 0, 2]), [wall; 3], "at the start");
        assert_eq!(
            walk(true, &[1, 0, 2, 3, 1, 1, 1]),
            [moved, wall, wall, moved, moved, moved, wall]
        );
    }

    #[test]
    fn the_sign_is_seen_at_the_start_alone() {
        let env = maze(2, false);
        let see = |position, north| {
            let mut obs = [9.0; 3];
            let state = TMazeState {
                position,
                north,
                noise: [1.0; 2],
            };
            env.observe(&state, &mut obs);
            obs
        };
        assert_eq!(see(0, true), [0.0, 1.0, 1.0]);
        assert_eq!(see(0, false), [1.0, 1.0, 0.0]);
        for north in [true, false] {
            assert_eq!(see(1, north), [1.0, 0.0, 1.0]);
            assert_eq!(see(2, north), [0.0, 1.0, 0.0]);
        }
    }

    #[test]
    fn a_noisy_corridor_looks_different_on_every_step() {
        let env = maze(10, true);
        let rng = &mut Seeds::new(0).stream("test", 0);
        let mut state = env.reset(rng);
        let mut seen = Vec::new();
        for _ in 0..5 {
            assert_eq!(env.step(&mut state, 1, rng).status, Status::Running);
            let mut obs = [9.0; 3];
            env.observe(&state, &mut obs);
            assert_eq!(obs[1], 0.0);
            assert!(!seen.contains(&obs));
            seen.push(obs);
        }
    }

    #[test]
    fn the_pages_figures_hold() {
        let env = maze(10, false);
        let turn = |state: &TMazeState, north: bool| match state.position {
            10 if north => 0,
            10 => 2,
            _ => 1,
        };
        Score::of(&env, 100, |state, _| turn(state, state.north)).agrees_with(4.0, 0.0);
        // 4 or -0.1, at even odds.
        let error = 2.05 / 10_000_f64.sqrt();
        Score::of(&env, 10_000, |state, _| turn(state, true)).agrees_with(1.95, error);
        Score::of_random(&env, 2000).agrees_with(-7.14, 0.1);
    }

    #[test]
    fn rewards_that_are_no_numbers_are_refused() {
        let config = TMazeConfig {
            wall_reward: f32::NAN,
            ..Default::default()
        };
        let error = TMaze::new(&config).unwrap_err().to_string();
        assert_eq!(
            error,
            "wall_reward: NaN is out of range; give -1000 to 1000"
        );
    }
}
