use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Board, Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// `minatar-space-invaders`: shoot down waves of aliens that come closer and shoot back.
///
/// ```text
/// .<<<<<<...
/// .<<<<<<...
/// .<<<<<<...
/// .<<<.<<...
/// ..........
/// ....'.....
/// ...,......
/// ..........
/// ..........
/// ...A......
/// ```
///
/// The aliens move together, every 12 steps or, if fewer are left, every so many steps as there are aliens: one
/// column on, or one row down and about turn where one of them is at the edge. Every 10 steps the lowest alien of the
/// column nearest to the cannon shoots, of two equally near that on the left. Bullets move one row a step. The wave
/// that follows the last kill goes on as the old one did; with `ramping` the 12 steps become one less each time,
/// down to 6.
///
/// **Action space**: `discrete(4)`; six as [`MinAtar`](super::MinAtar) says. The cannon shoots at most every fifth
/// step.
///
/// | action | meaning |
/// |---|---|
/// | 0 | no-op |
/// | 1 | cannon one column to the left |
/// | 2 | cannon one column to the right |
/// | 3 | shoot |
///
/// **Observation space**: box of `6 x 10 x 10` `u8`, the planes of [`MinAtar`](super::MinAtar).
///
/// | index | meaning | unit | range | letter, colour |
/// |---|---|---|---|---|
/// | 0 | cannon | – | 0 or 1 | `A` white |
/// | 1 | aliens | – | 0 or 1 | as 2 or 3 |
/// | 2 | the same if they go to the left | – | 0 or 1 | `<` green |
/// | 3 | the same if they go to the right | – | 0 or 1 | `>` sky blue |
/// | 4 | bullets of the cannon | – | 0 or 1 | `'` yellow |
/// | 5 | bullets of the aliens | – | 0 or 1 | `,` red |
///
/// **Reward**: 1 for each alien that is hit.
///
/// **Start**: the cannon in column 5, aliens in the columns 2 to 7 of the rows 0 to 3, going to the left. Nothing is
/// drawn: but for sticky buttons, the game is deterministic.
///
/// **End**: terminated when a bullet or an alien meets the cannon, or when aliens in the bottom row have to go
/// down. No time limit.
///
/// **Config**: [`MinAtarConfig`](super::MinAtarConfig).
///
/// # Reference
/// Young and Tian, *MinAtar*, 2019; MinAtar 1.0.15. Deviations: those of [`MinAtar`](super::MinAtar).
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
    const REFERENCE: &'static str = "MinAtar SpaceInvaders";
    const BUTTONS: Buttons =
        Buttons::of(&[Button::NoOp, Button::Left, Button::Right, Button::Fire]);
    const CHANNELS: &'static [Channel] = &[
        Channel::new("cannon", 'A', colors::WHITE),
        Channel::implied("alien"),
        Channel::new("alien going left", '<', colors::GREEN),
        Channel::new("alien going right", '>', colors::SKY),
        Channel::new("own bullet", '\'', colors::YELLOW),
        Channel::new("alien bullet", ',', colors::RED),
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
        Step::terminal_if(lost, reward)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arcade::minatar::tests::{Always, press};

    const GAME: SpaceInvaders = SpaceInvaders { ramping: true };

    fn with_aliens(aliens: &[(i8, i8)]) -> SpaceInvadersState {
        let place = |board: Board, &(x, y): &(i8, i8)| board.or(Board::cell(x, y));
        SpaceInvadersState {
            aliens: aliens.iter().fold(Board::EMPTY, place),
            ..GAME.reset(&mut Always(0.0, 0))
        }
    }

    #[test]
    fn a_new_wave_comes_with_the_last_kill_and_sooner_down_to_six() {
        let mut state = with_aliens(&[(3, 4)]);
        let mut intervals = Vec::new();
        for _ in 0..8 {
            state.aliens = Board::cell(3, 4);
            state.bullets = Board::cell(3, 5);
            assert_eq!(
                press(&GAME, &mut state, &[Button::NoOp]),
                [Step::running(1.0)]
            );
            assert_eq!(state.aliens, WAVE);
            intervals.push(state.move_interval);
        }
        assert_eq!(intervals, [11, 10, 9, 8, 7, 6, 6, 6]);
    }

    #[test]
    fn few_aliens_move_as_often_as_they_are_many() {
        let mut state = with_aliens(&[(3, 0), (5, 0)]);
        state.move_timer = 0;
        let columns = [(); 5].map(|()| {
            press(&GAME, &mut state, &[Button::NoOp]);
            (0..10)
                .find(|&x| !state.aliens.column(x).is_empty())
                .unwrap()
        });
        assert_eq!(columns, [2, 2, 1, 1, 0]);
    }

    #[test]
    fn aliens_turn_and_go_down_at_the_edge_without_moving_sideways() {
        let mut state = with_aliens(&[(0, 2), (4, 2)]);
        state.move_timer = 0;
        press(&GAME, &mut state, &[Button::NoOp]);
        assert_eq!(state.aliens, Board::cell(0, 3).or(Board::cell(4, 3)));
        assert!(state.right);
    }

    #[test]
    fn landing_ends_the_game() {
        let mut state = with_aliens(&[(0, 9)]);
        state.move_timer = 0;
        assert_eq!(
            press(&GAME, &mut state, &[Button::NoOp]),
            [Step::terminal(0.0)]
        );
    }

    #[test]
    fn the_lowest_alien_of_the_nearest_column_shoots_and_the_left_of_two() {
        let shooter = |aliens: &[(i8, i8)]| with_aliens(aliens).shooter();
        assert_eq!(shooter(&[(2, 1), (6, 1), (6, 4)]), Some(Board::cell(6, 4)));
        assert_eq!(shooter(&[(3, 1), (7, 4)]), Some(Board::cell(3, 1)));
        assert_eq!(shooter(&[]), None);
    }

    #[test]
    fn the_cannon_shoots_every_fifth_step() {
        let mut state = with_aliens(&[(0, 0)]);
        let shots = [(); 11].map(|()| {
            press(&GAME, &mut state, &[Button::Fire]);
            !state.bullets.row(8).is_empty()
        });
        let when: Vec<usize> = (0..11).filter(|&i| shots[i]).collect();
        assert_eq!(when, [0, 5, 10]);
    }
}
