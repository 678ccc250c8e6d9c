use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Board, Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// `minatar-space-invaders`
#[derive(Clone, Debug)]
pub struct SpaceInvaders {
    ramping: bool,
}

/// State of [`SpaceInvaders`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceInvadersState {
    /// Column of the cannon.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub cannon: i8,
    /// The aliens.
    pub aliens: Board,
    /// Whether the aliens go to the right.
    pub right: bool,
    /// Bullets of the cannon.
    pub bullets: Board,
    /// Bullets of the aliens.
    pub alien_bullets: Board,
    /// Steps until the cannon can shoot.
    #[serde(deserialize_with = "in_range::<_, _, 0, 5>")]
    pub shot_timer: i8,
    /// Steps until an alien shoots.
    #[serde(deserialize_with = "in_range::<_, _, 0, 10>")]
    pub alien_shot_timer: i8,
    /// Steps until the aliens move.
    #[serde(deserialize_with = "in_range::<_, _, 0, 12>")]
    pub move_timer: i8,
    /// Steps between moves of many aliens.
    #[serde(deserialize_with = "in_range::<_, _, 6, 12>")]
    pub move_interval: i8,
    /// How often the game has got harder.
    #[serde(deserialize_with = "in_range::<_, _, 0, 6>")]
    pub ramp: i8,
}

const WAVE: Board = Board::rectangle([2, 7], [0, 3]);
const BOTTOM: i8 = 9;
const SHOT_DELAY: i8 = 5;
const ALIEN_SHOT_DELAY: i8 = 10;
const MOVE_INTERVAL: i8 = 12;
const SHORTEST_INTERVAL: i8 = 6;

impl SpaceInvadersState {
    /// The aliens go on, or turn and go down at an edge. Whether one of them lands.
    fn march(&mut self) -> bool {
        self.move_timer = self.move_interval.min(self.aliens.len() as i8);
        let edge = if self.right { 9 } else { 0 };
        if self.aliens.column(edge).is_empty() {
            self.aliens = if self.right {
                self.aliens.right()
            } else {
                self.aliens.left()
            };
            return false;
        }
        self.right = !self.right;
        let lands = !self.aliens.row(BOTTOM).is_empty();
        // Those that land are seen at the top in the last frame.
        self.aliens = self.aliens.down_around();
        lands
    }

    /// The lowest alien of the column nearest to the cannon; of two, the left one's.
    fn shooter(&self) -> Option<Board> {
        (0..10)
            .flat_map(|distance| [self.cannon - distance, self.cannon + distance])
            .filter(|x| (0..10).contains(x))
            .find_map(|x| {
                let y = self.aliens.column(x).lowest_row()?;
                Some(Board::cell(x, y))
            })
    }
}

impl Game for SpaceInvaders {
    type State = SpaceInvadersState;
    const BUTTONS: Buttons =
        Buttons::of(&[Button::NoOp, Button::Left, Button::Right, Button::Fire]);
    const CHANNELS: &'static [Channel] = &[
        Channel::new("cannon", 'A', colors::WHITE),
        Channel::new("alien", 'w', colors::GREEN),
        Channel::new("alien going left", '<', colors::GREEN),
        Channel::new("alien going right", '>', colors::SKY),
        Channel::new("own bullet", '\'', colors::YELLOW),
        Channel::new("alien bullet", '.', colors::RED),
    ];

    fn new(ramping: bool) -> Self {
        Self { ramping }
    }

    fn reset(&self, _: &mut impl Draws) -> SpaceInvadersState {
        SpaceInvadersState {
            cannon: 5,
            aliens: WAVE,
            right: false,
            bullets: Board::EMPTY,
            alien_bullets: Board::EMPTY,
            shot_timer: 0,
            alien_shot_timer: ALIEN_SHOT_DELAY,
            move_timer: MOVE_INTERVAL,
            move_interval: MOVE_INTERVAL,
            ramp: 0,
        }
    }

    #[inline]
    fn step(&self, state: &mut SpaceInvadersState, button: Button, _: &mut impl Draws) -> Step {
        match button {
            Button::Fire if state.shot_timer == 0 => {
                state.bullets = state.bullets.or(Board::cell(state.cannon, BOTTOM));
                state.shot_timer = SHOT_DELAY;
            }
            Button::Left => state.cannon = (state.cannon - 1).max(0),
            Button::Right => state.cannon = (state.cannon + 1).min(9),
            _ => {}
        }
        let cannon = Board::cell(state.cannon, BOTTOM);
        state.bullets = state.bullets.up();
        state.alien_bullets = state.alien_bullets.down();
        let mut lost = !state.alien_bullets.and(cannon).is_empty();

        lost |= !state.aliens.and(cannon).is_empty();
        if state.move_timer == 0 {
            lost |= state.march();
            lost |= !state.aliens.and(cannon).is_empty();
        }
        if state.alien_shot_timer == 0 {
            state.alien_shot_timer = ALIEN_SHOT_DELAY;
            if let Some(alien) = state.shooter() {
                state.alien_bullets = state.alien_bullets.or(alien);
            }
        }
        let killed = state.aliens.and(state.bullets);
        state.aliens = state.aliens.without(killed);
        state.bullets = state.bullets.without(killed);

        state.shot_timer = (state.shot_timer - 1).max(0);
        state.move_timer = (state.move_timer - 1).max(0);
        state.alien_shot_timer = (state.alien_shot_timer - 1).max(0);
        if state.aliens.is_empty() {
            if self.ramping && state.move_interval > SHORTEST_INTERVAL {
                state.move_interval -= 1;
                state.ramp = (state.ramp + 1).min(6);
            }
            state.aliens = WAVE;
        }
        let reward = killed.len() as f32;
        if lost {
            Step::terminal(reward)
        } else {
            Step::running(reward)
        }
    }

    #[inline]
    fn show(&self, state: &SpaceInvadersState, planes: &mut Planes<'_>) {
        planes.mark(0, state.cannon, BOTTOM);
        planes.board(1, state.aliens);
        planes.board(if state.right { 3 } else { 2 }, state.aliens);
        planes.board(4, state.bullets);
        planes.board(5, state.alien_bullets);
    }
}
