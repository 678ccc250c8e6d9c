use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Result, Rng, Space, Step, check_range};

/// `catch`: catch a falling ball with a paddle. Tests whether an agent learns from a picture and gives credit to
/// actions long before the reward.
///
/// **Action space**: `discrete(3)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | move the paddle left |
/// | 1 | stay |
/// | 2 | move the paddle right |
///
/// **Observation space**: box of `rows x columns` `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | `row * columns + column` | whether ball or paddle is there | – | 0 or 1 |
///
/// **Reward**: 1 on the last step if the paddle is under the ball, -1 if not; otherwise 0.
///
/// **Start**: the ball in the top row in a column drawn uniformly, the paddle in the middle of the bottom row.
///
/// **End**: terminated when the ball reaches the bottom row, after `rows - 1` steps. No time limit.
///
/// **Config**: [`CatchConfig`].
///
/// # Reference
/// Mnih et al., *Recurrent Models of Visual Attention*, 2014; bsuite (Osband et al., 2020), `environments/catch.py`.
///
/// Deviations: none.
#[derive(Clone, Debug)]
pub struct Catch {
    rows: usize,
    columns: usize,
}

/// Configuration of [`Catch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatchConfig {
    /// Height of the picture, 2 to 512.
    pub rows: usize,
    /// Width of the picture, 1 to 512.
    pub columns: usize,
}

impl Default for CatchConfig {
    fn default() -> Self {
        Self {
            rows: 10,
            columns: 5,
        }
    }
}

/// State of [`Catch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchState {
    /// Row of the ball, from the top.
    pub ball_row: u32,
    /// Column of the ball.
    pub ball_column: u32,
    /// Column of the paddle.
    pub paddle_column: u32,
}

impl Catch {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &CatchConfig) -> Result<Self> {
        check_range("rows", config.rows, 2..=512)?;
        check_range("columns", config.columns, 1..=512)?;
        Ok(Self {
            rows: config.rows,
            columns: config.columns,
        })
    }

    /// The start with the ball in column `ball_column`.
    pub fn start_with(&self, ball_column: u32) -> CatchState {
        CatchState {
            ball_row: 0,
            ball_column,
            paddle_column: self.columns as u32 / 2,
        }
    }
}

impl Env for Catch {
    type State = CatchState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![self.rows, self.columns],
            low: 0.0,
            high: 1.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(3)
    }
    fn reset(&self, rng: &mut Rng) -> CatchState {
        self.start_with(rng.random_range(0..self.columns as u32))
    }

    fn step(&self, state: &mut CatchState, action: usize, _: &mut Rng) -> Step {
        let right = self.columns as u32 - 1;
        state.paddle_column = match action {
            0 => state.paddle_column.saturating_sub(1),
            1 => state.paddle_column,
            _ => (state.paddle_column + 1).min(right),
        };
        state.ball_row += 1;
        if state.ball_row as usize + 1 < self.rows {
            Step::running(0.0)
        } else if state.paddle_column == state.ball_column {
            Step::terminal(1.0)
        } else {
            Step::terminal(-1.0)
        }
    }

    fn observe(&self, state: &CatchState, obs: &mut [f32]) {
        obs.fill(0.0);
        obs[state.ball_row as usize * self.columns + state.ball_column as usize] = 1.0;
        obs[(self.rows - 1) * self.columns + state.paddle_column as usize] = 1.0;
    }

    fn reference(&self) -> &'static str {
        "bsuite catch"
    }
    fn render(&self, state: &CatchState) -> Option<String> {
        let mut text = String::new();
        for row in 0..self.rows as u32 {
            text.extend((0..self.columns as u32).map(|column| {
                if (row, column) == (state.ball_row, state.ball_column) {
                    'o'
                } else if (row as usize + 1, column) == (self.rows, state.paddle_column) {
                    '='
                } else {
                    '.'
                }
            }));
            text.push('\n');
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, check_env};

    fn catch(rows: usize, columns: usize) -> Catch {
        Catch::new(&CatchConfig { rows, columns }).unwrap()
    }

    fn play(ball_column: u32, actions: [usize; 2]) -> [Step; 2] {
        let env = catch(3, 3);
        let mut state = env.start_with(ball_column);
        let rng = &mut Seeds::new(0).stream("test", 0);
        actions.map(|action| env.step(&mut state, action, rng))
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(catch(10, 5)), Ok(()));
        assert_eq!(check_env(catch(2, 1)), Ok(()));
    }

    #[test]
    fn catching_pays_one_and_missing_costs_one() {
        assert_eq!(play(2, [2, 1]), [Step::running(0.0), Step::terminal(1.0)]);
        assert_eq!(play(0, [2, 1]), [Step::running(0.0), Step::terminal(-1.0)]);
    }

    #[test]
    fn the_walls_hold_the_paddle() {
        assert_eq!(play(0, [0, 0])[1], Step::terminal(1.0));
        assert_eq!(play(2, [2, 2])[1], Step::terminal(1.0));
    }

    #[test]
    fn ball_and_paddle_are_seen() {
        let env = catch(3, 3);
        let mut obs = [9.0; 9];
        env.observe(&env.start_with(2), &mut obs);
        assert_eq!(obs, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(env.render(&env.start_with(2)).unwrap(), "..o\n...\n.=.\n");
    }
}
