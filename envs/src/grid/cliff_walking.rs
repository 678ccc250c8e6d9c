use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Step};

use super::{Dynamics, Outcome, Row, by_table, finite_mdp, frame, picture};
use crate::canvas::colors;

const ROWS: usize = 4;
const COLUMNS: usize = 12;
const START: usize = 36;
const GOAL: usize = 47;
const CELLS: &[u8; ROWS * COLUMNS] = b"\
    ............\
    ............\
    ............\
    SCCCCCCCCCCG";

/// `cliff-walking`: walk along a cliff, where the shortest path is the most dangerous one.
///
/// On-policy methods learn a detour while they explore, off-policy methods the edge.
///
/// ```text
///  .  .  .  .  .  .  .  .  .  .  .  .
///  .  .  .  .  .  .  .  .  .  .  .  .
///  .  .  .  .  .  .  .  .  .  .  .  .
/// [S] C  C  C  C  C  C  C  C  C  C  G
/// ```
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | up |
/// | 1 | right |
/// | 2 | down |
/// | 3 | left |
///
/// **Observation space**: `discrete(48)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | `row * 12 + column` | cells | 0 to 47 |
///
/// **Reward**: -1 on every step, the last one included; -100 instead on a step into the cliff.
///
/// **Start**: cell 36, bottom left.
///
/// **End**: terminated on reaching cell 47, bottom right. The cliff does not end the episode, it puts
/// the walker back on the start. No time limit.
///
/// **Config**: [`CliffWalkingConfig`].
///
/// # Reference
/// Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd edition, 2018, example 6.6. Dynamics and
/// constants: Gymnasium `CliffWalking-v1`, `envs/toy_text/cliffwalking.py`.
///
/// Deviations: none.
#[derive(Clone, Debug)]
pub struct CliffWalking {
    dynamics: Dynamics,
}

/// Configuration of [`CliffWalking`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CliffWalkingConfig {
    /// Whether an action slips: it, its left or its right neighbour happens, 1/3 each.
    pub slippery: bool,
}

impl CliffWalking {
    /// # Errors
    /// None: every configuration is accepted.
    pub fn new(config: &CliffWalkingConfig) -> Result<Self> {
        let third = 1.0 / 3.0;
        let slip = config.slippery.then_some([third; 3]);
        let start = vec![START as u32];
        let dynamics = Dynamics::new(ROWS * COLUMNS, 4, slip, start, |state, action| {
            if config.slippery {
                Row::Slips([3, 0, 1].map(|turn| walk(state, (action + turn) % 4)))
            } else {
                Row::Sure(walk(state, action))
            }
        });
        Ok(Self { dynamics })
    }

    /// The table behind the steps.
    pub fn dynamics(&self) -> &Dynamics {
        &self.dynamics
    }
}

/// Where a step in `direction` leads, if nothing slips.
fn walk(state: usize, direction: usize) -> Outcome {
    let (row, column) = (state / COLUMNS, state % COLUMNS);
    let next = match direction {
        0 if row > 0 => state - COLUMNS,
        1 if column + 1 < COLUMNS => state + 1,
        2 if row + 1 < ROWS => state + COLUMNS,
        3 if column > 0 => state - 1,
        _ => state,
    };
    let (next, step) = match CELLS[next] {
        b'C' => (START, Step::running(-100.0)),
        b'G' => (GOAL, Step::terminal(-1.0)),
        _ => (next, Step::running(-1.0)),
    };
    Outcome {
        next: next as u32,
        step,
    }
}

impl Env for CliffWalking {
    by_table!(numpy_starts);

    fn reference(&self) -> &'static str {
        "Gymnasium CliffWalking-v1"
    }
    fn render(&self, state: &u32) -> Option<String> {
        Some(picture(CELLS, COLUMNS, *state as usize))
    }
    fn draw(&self, state: &u32) -> Option<Picture> {
        let color = |cell| match cell {
            b'C' => colors::RED,
            b'G' => colors::GREEN,
            b'S' => colors::YELLOW,
            _ => colors::WHITE,
        };
        Some(frame(CELLS, COLUMNS, *state as usize, color))
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["up", "right", "down", "left"]
    }
}
finite_mdp!(CliffWalking);

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Status, check_env};

    fn dry() -> CliffWalking {
        CliffWalking::new(&CliffWalkingConfig::default()).unwrap()
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(dry()), Ok(()));
        let slippery = CliffWalkingConfig { slippery: true };
        assert_eq!(check_env(CliffWalking::new(&slippery).unwrap()), Ok(()));
    }

    #[test]
    fn the_edge_is_thirteen_steps_long_and_every_one_costs_one() {
        let mut state = 36;
        let path = [vec![0], vec![1; 11], vec![2]].concat();
        let steps: Vec<Step> = path
            .iter()
            .map(|&action| dry().dynamics.step(&mut state, action, 0.0))
            .collect();
        assert_eq!(steps.iter().map(|step| step.reward).sum::<f32>(), -13.0);
        assert!(
            steps[..12]
                .iter()
                .all(|step| step.status == Status::Running)
        );
        assert_eq!(steps[12].status, Status::Terminated);
        assert_eq!(state, 47);
    }

    #[test]
    fn the_cliff_costs_a_hundred_and_does_not_end_the_episode() {
        let mut state = 36;
        let step = dry().dynamics.step(&mut state, 1, 0.0);
        assert_eq!((state, step), (36, Step::running(-100.0)));
    }

    #[test]
    fn a_slip_goes_left_ahead_or_right_of_the_action() {
        let env = CliffWalking::new(&CliffWalkingConfig { slippery: true }).unwrap();
        let next = |u| {
            let mut state = 14;
            env.dynamics.step(&mut state, 0, u);
            state
        };
        assert_eq!([0.1, 0.5, 0.9].map(next), [13, 2, 15]);
    }

    #[test]
    fn the_picture_brackets_the_walker() {
        let picture = dry().render(&36).unwrap();
        assert_eq!(picture.lines().count(), 4);
        assert!(picture.lines().last().unwrap().starts_with("[S] C "));
    }
}
