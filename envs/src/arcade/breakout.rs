use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Board, Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// `minatar-breakout`
#[derive(Clone, Debug)]
pub struct Breakout;

/// State of [`Breakout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakoutState {
    /// Column and row of the ball.
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
        if missed {
            Step::terminal(reward)
        } else {
            Step::running(reward)
        }
    }

    #[inline]
    fn show(&self, state: &BreakoutState, planes: &mut Planes<'_>) {
        planes.mark(0, state.paddle, BOTTOM);
        planes.mark(1, state.ball_x, state.ball_y);
        planes.mark(2, state.last_x, state.last_y);
        planes.board(3, state.bricks);
    }
}
