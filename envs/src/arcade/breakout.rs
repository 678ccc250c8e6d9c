use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Board, Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// `minatar-breakout`: bounce a ball off a paddle and break a wall of bricks with it.
///
/// ```text
/// ..........
/// ##########
/// ##########
/// #####.####
/// ..........
/// ...'......
/// ....o.....
/// ..........
/// ..........
/// ....=.....
/// ```
///
/// The ball flies diagonally, one cell a step. It turns at both sides, where it stays in its column for a step, and at
/// the top and at bricks, where it stays in its row. In the step after it met a brick it breaks none, but flies
/// through. At the bottom it turns if the paddle is in the column that the ball comes from, as at a wall, or in
/// that which it gets to, straight back.
///
/// **Action space**: `discrete(3)`; six as [`MinAtar`](super::MinAtar) says.
///
/// | action | meaning |
/// |---|---|
/// | 0 | no-op |
/// | 1 | paddle one column to the left |
/// | 2 | paddle one column to the right |
///
/// **Observation space**: box of `4 x 10 x 10` `u8`, the planes of [`MinAtar`](super::MinAtar).
///
/// | index | meaning | unit | range | letter, colour |
/// |---|---|---|---|---|
/// | 0 | paddle | – | 0 or 1 | `=` white |
/// | 1 | ball | – | 0 or 1 | `o` yellow |
/// | 2 | where the ball was a step ago | – | 0 or 1 | `'` grey |
/// | 3 | bricks | – | 0 or 1 | `#` red |
///
/// **Reward**: 1 for each brick.
///
/// **Start**: bricks in the rows 1 to 3, the paddle in column 4; the ball in row 3 at the left or right edge, drawn
/// with the same probability, flying down and inwards.
///
/// **End**: terminated when the ball gets past the paddle. If the ball gets to the bottom row and no brick is left,
/// there is a new wall. No time limit.
///
/// **Config**: [`MinAtarConfig`](super::MinAtarConfig); `ramping` changes nothing.
///
/// # Reference
/// Young and Tian, *MinAtar*, 2019; MinAtar 1.0.15. Deviations: those of [`MinAtar`](super::MinAtar).
#[derive(Clone, Debug)]
pub struct Breakout;

/// State of [`Breakout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakoutState {
    /// Column of the ball.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub ball_x: i8,
    /// Row of the ball.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub ball_y: i8,
    /// Whether the ball flies to the right.
    pub right: bool,
    /// Whether the ball flies down.
    pub down: bool,
    /// Column where the ball was.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub last_x: i8,
    /// Row where the ball was.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub last_y: i8,
    /// Column of the paddle.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub paddle: i8,
    /// Whether the ball met a brick in the step before.
    pub strike: bool,
    /// The bricks that are left.
    pub bricks: Board,
}

const WALL: Board = Board::rectangle([0, 9], [1, 3]);
const BOTTOM: i8 = 9;

impl Game for Breakout {
    type State = BreakoutState;
    const REFERENCE: &'static str = "MinAtar Breakout";
    const BUTTONS: Buttons = Buttons::of(&[Button::NoOp, Button::Left, Button::Right]);
    const CHANNELS: &'static [Channel] = &[
        Channel::new("paddle", '=', colors::WHITE),
        Channel::new("ball", 'o', colors::YELLOW),
        Channel::new("trail", '\'', colors::GREY),
        Channel::new("brick", '#', colors::RED),
    ];

    fn new(_: bool) -> Self {
        Self
    }

    fn reset(&self, draws: &mut impl Draws) -> BreakoutState {
        let from_right = draws.integer(0, 2) == 1;
        let x = if from_right { 9 } else { 0 };
        BreakoutState {
            ball_x: x,
            ball_y: 3,
            right: !from_right,
            down: true,
            last_x: x,
            last_y: 3,
            paddle: 4,
            strike: false,
            bricks: WALL,
        }
    }

    #[inline]
    fn step(&self, state: &mut BreakoutState, button: Button, _: &mut impl Draws) -> Step {
        match button {
            Button::Left => state.paddle = (state.paddle - 1).max(0),
            Button::Right => state.paddle = (state.paddle + 1).min(9),
            _ => {}
        }
        (state.last_x, state.last_y) = (state.ball_x, state.ball_y);
        let x = state.ball_x + if state.right { 1 } else { -1 };
        let mut y = state.ball_y + if state.down { 1 } else { -1 };
        state.ball_x = x.clamp(0, 9);
        state.right ^= x != state.ball_x;

        let cell = Board::cell(state.ball_x, y.max(0));
        let struck = y >= 0 && !state.bricks.and(cell).is_empty();
        let (mut reward, mut missed) = (0.0, false);
        if y < 0 {
            (y, state.down) = (0, true);
        } else if struck {
            if !state.strike {
                reward = 1.0;
                state.bricks = state.bricks.without(cell);
                (y, state.down) = (state.last_y, !state.down);
            }
        } else if y >= BOTTOM {
            if state.bricks.is_empty() {
                state.bricks = WALL;
            }
            if state.last_x == state.paddle {
                (y, state.down) = (state.last_y, false);
            } else if state.ball_x == state.paddle {
                (y, state.down) = (state.last_y, false);
                state.right = !state.right;
            } else {
                missed = true;
            }
        }
        state.strike = struck;
        state.ball_y = y.min(BOTTOM);
        Step::terminal_if(missed, reward)
    }

    #[inline]
    fn show(&self, state: &BreakoutState, planes: &mut Planes<'_>) {
        planes.mark(0, state.paddle, BOTTOM);
        planes.mark(1, state.ball_x, state.ball_y);
        planes.mark(2, state.last_x, state.last_y);
        planes.board(3, state.bricks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arcade::minatar::tests::{Always, press};

    /// The ball in the row above the bottom, flying down and to the right from column 4; no brick near.
    fn low(paddle: i8) -> BreakoutState {
        BreakoutState {
            ball_x: 4,
            ball_y: 8,
            right: true,
            down: true,
            paddle,
            ..Breakout.reset(&mut Always(0.0, 0))
        }
    }

    fn flight(mut state: BreakoutState, steps: usize) -> Vec<(i8, i8)> {
        let each = (0..steps).map(|_| {
            press(&Breakout, &mut state, &[Button::NoOp]);
            (state.ball_x, state.ball_y)
        });
        each.collect()
    }

    #[test]
    fn a_ball_caught_by_its_old_column_is_mirrored() {
        assert_eq!(flight(low(4), 2), [(5, 8), (6, 7)]);
    }

    #[test]
    fn a_ball_caught_by_its_new_column_goes_straight_back() {
        assert_eq!(flight(low(5), 2), [(5, 8), (4, 7)]);
    }

    #[test]
    fn a_missed_ball_ends_the_game() {
        assert_eq!(
            press(&Breakout, &mut low(6), &[Button::NoOp]),
            [Step::terminal(0.0)]
        );
    }

    #[test]
    fn the_wall_returns_at_the_bottom_row_and_not_before() {
        let mut state = low(4);
        (state.bricks, state.ball_y) = (Board::EMPTY, 7);
        press(&Breakout, &mut state, &[Button::NoOp]);
        assert!(state.bricks.is_empty());
        press(&Breakout, &mut state, &[Button::Right]);
        assert_eq!(state.bricks, WALL);
    }

    #[test]
    fn no_two_bricks_break_in_a_row() {
        // From row 2 up to a brick in row 1, then down through row 3.
        let mut state = BreakoutState {
            ball_x: 4,
            ball_y: 2,
            down: false,
            bricks: Board::rectangle([0, 9], [1, 1]).or(Board::rectangle([0, 9], [3, 3])),
            ..low(0)
        };
        let steps = press(&Breakout, &mut state, &[Button::NoOp; 3]);
        assert_eq!(steps, [1.0, 0.0, 0.0].map(Step::running));
        assert_eq!((state.ball_x, state.ball_y, state.bricks.len()), (7, 4, 19));
    }
}
