use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// `minatar-freeway`: get a chicken across a road of eight lanes, again and again.
///
/// ```text
/// ..........
/// ..4#......
/// .......#1.
/// #........2
/// .....1#...
/// .#5.......
/// ....c..3#.
/// ..#3......
/// ......5#..
/// ..........
/// ```
///
/// The chicken crosses in column 4. Each lane has a car that moves one column every 2 to 6 steps and comes in again
/// at the other side. A car that meets the chicken, before or after it moves, sends it back to the start.
///
/// **Action space**: `discrete(3)`; six as [`MinAtar`](super::MinAtar) says. The chicken moves at most every third
/// step.
///
/// | action | meaning |
/// |---|---|
/// | 0 | no-op |
/// | 1 | one row up |
/// | 2 | one row down |
///
/// **Observation space**: box of `7 x 10 x 10` `u8`, the planes of [`MinAtar`](super::MinAtar).
///
/// | index | meaning | unit | range | letter, colour |
/// |---|---|---|---|---|
/// | 0 | chicken | – | 0 or 1 | `c` white |
/// | 1 | cars | – | 0 or 1 | `#` red |
/// | 2 to 6 | the cell behind each car that moves every 2, 3, 4, 5, 6 steps | – | 0 or 1 | `1` yellow, `2` orange, `3` green, `4` sky blue, `5` blue |
///
/// **Reward**: 1 for each time that the chicken gets to the top row. It then starts anew, and speeds and directions of
/// the cars are drawn anew.
///
/// **Start**: the chicken at the bottom, all cars in column 0; their speeds are drawn from five, their directions from
/// two, each with the same probability.
///
/// **End**: terminated after 2501 steps, by the game's own clock; it is not seen. No other time limit.
///
/// **Config**: [`MinAtarConfig`](super::MinAtarConfig); `ramping` changes nothing.
///
/// # Reference
/// Young and Tian, *MinAtar*, 2019; MinAtar 1.0.15. Deviations: those of [`MinAtar`](super::MinAtar).
#[derive(Clone, Debug)]
pub struct Freeway;

/// State of [`Freeway`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreewayState {
    /// Row of the chicken.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub chicken: i8,
    /// Steps until the chicken can move.
    #[serde(deserialize_with = "in_range::<_, _, 0, 3>")]
    pub move_timer: i8,
    /// The cars in the rows 1 to 8.
    pub cars: [Car; 8],
    /// Steps until the end, less one.
    #[serde(deserialize_with = "in_range::<_, _, -1, 2500>")]
    pub clock: i16,
}

/// A car of [`Freeway`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Car {
    /// Its column.
    #[serde(deserialize_with = "in_range::<_, _, 0, 9>")]
    pub x: i8,
    /// Steps until it moves.
    #[serde(deserialize_with = "in_range::<_, _, 0, 5>")]
    pub timer: i8,
    /// Steps from one move to the next, less one; 1 to 5.
    #[serde(deserialize_with = "in_range::<_, _, 1, 5>")]
    pub delay: i8,
    /// Whether it goes to the right.
    pub right: bool,
}

/// The column where the chicken crosses.
const CROSSING: i8 = 4;
const BOTTOM: i8 = 9;
const MOVE_DELAY: i8 = 3;
const FRAMES: i16 = 2500;

impl FreewayState {
    /// New speeds and directions.
    fn randomize(&mut self, draws: &mut impl Draws) {
        for car in &mut self.cars {
            car.delay = draws.integer(1, 6);
            car.timer = car.delay;
        }
        for car in &mut self.cars {
            car.right = draws.uniform() >= 0.5;
        }
    }
}

impl Car {
    /// One column on, and in at the other side.
    fn drive(&mut self) {
        self.x = match (self.right, self.x) {
            (true, 9) => 0,
            (true, x) => x + 1,
            (false, 0) => 9,
            (false, x) => x - 1,
        };
    }
}

impl Game for Freeway {
    type State = FreewayState;
    const REFERENCE: &'static str = "MinAtar Freeway";
    const BUTTONS: Buttons = Buttons::of(&[Button::NoOp, Button::Up, Button::Down]);
    const CHANNELS: &'static [Channel] = &[
        Channel::new("chicken", 'c', colors::WHITE),
        Channel::new("car", '#', colors::RED),
        Channel::new("speed 1", '1', colors::YELLOW),
        Channel::new("speed 2", '2', colors::ORANGE),
        Channel::new("speed 3", '3', colors::GREEN),
        Channel::new("speed 4", '4', colors::SKY),
        Channel::new("speed 5", '5', colors::BLUE),
    ];

    fn new(_: bool) -> Self {
        Self
    }

    fn reset(&self, draws: &mut impl Draws) -> FreewayState {
        let mut state = FreewayState {
            chicken: BOTTOM,
            move_timer: MOVE_DELAY,
            cars: [Car::default(); 8],
            clock: FRAMES,
        };
        state.randomize(draws);
        state
    }

    #[inline]
    fn step(&self, state: &mut FreewayState, button: Button, draws: &mut impl Draws) -> Step {
        if state.move_timer == 0 {
            match button {
                Button::Up => {
                    state.move_timer = MOVE_DELAY;
                    state.chicken = (state.chicken - 1).max(0);
                }
                Button::Down => {
                    state.move_timer = MOVE_DELAY;
                    state.chicken = (state.chicken + 1).min(BOTTOM);
                }
                _ => {}
            }
        }
        let mut reward = 0.0;
        if state.chicken == 0 {
            reward = 1.0;
            state.randomize(draws);
            state.chicken = BOTTOM;
        }
        for (row, car) in (1..).zip(&mut state.cars) {
            let mut hit = (car.x, row) == (CROSSING, state.chicken);
            if car.timer == 0 {
                car.timer = car.delay;
                car.drive();
                hit |= (car.x, row) == (CROSSING, state.chicken);
            } else {
                car.timer -= 1;
            }
            if hit {
                state.chicken = BOTTOM;
            }
        }
        state.move_timer = (state.move_timer - 1).max(0);
        state.clock = (state.clock - 1).max(-1);
        Step::terminal_if(state.clock < 0, reward)
    }

    #[inline]
    fn show(&self, state: &FreewayState, planes: &mut Planes<'_>) {
        planes.mark(0, CROSSING, state.chicken);
        for (row, car) in (1..).zip(&state.cars) {
            planes.mark(1, car.x, row);
            let mut behind = Car {
                right: !car.right,
                ..*car
            };
            behind.drive();
            planes.mark(1 + car.delay as usize, behind.x, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arcade::minatar::tests::{Always, press};

    /// All cars at the slowest speed, to the right, in column 0.
    fn start() -> FreewayState {
        Freeway.reset(&mut Always(0.5, 5))
    }

    #[test]
    fn the_end_comes_with_step_2501() {
        let steps = press(&Freeway, &mut start(), &[Button::NoOp; 2501]);
        assert!(steps[..2500].iter().all(|&step| step == Step::running(0.0)));
        assert_eq!(steps[2500], Step::terminal(0.0));
    }

    #[test]
    fn the_chicken_moves_every_third_step() {
        let mut state = start();
        let rows = [(); 10].map(|()| {
            press(&Freeway, &mut state, &[Button::Up]);
            state.chicken
        });
        assert_eq!(rows, [9, 9, 9, 8, 8, 8, 7, 7, 7, 6]);
    }

    #[test]
    fn a_car_hits_before_and_after_it_moves() {
        for (x, timer) in [(CROSSING, 0), (CROSSING - 1, 0), (CROSSING, 3)] {
            let mut state = start();
            state.chicken = 5;
            (state.cars[4].x, state.cars[4].timer) = (x, timer);
            press(&Freeway, &mut state, &[Button::NoOp]);
            assert_eq!(state.chicken, BOTTOM, "car in column {x}");
        }
    }

    #[test]
    fn a_point_draws_speeds_anew_and_leaves_cars_where_they_are() {
        let mut state = start();
        (state.chicken, state.move_timer) = (1, 0);
        for (x, car) in (1..).zip(&mut state.cars) {
            car.x = x;
        }
        let step = Freeway.step(&mut state, Button::Up, &mut Always(0.4, 2));
        assert_eq!((step, state.chicken), (Step::running(1.0), BOTTOM));
        for (column, car) in (1..).zip(state.cars) {
            assert_eq!((car.x, car.delay, car.right), (column, 2, false));
        }
    }

    #[test]
    fn a_car_comes_in_again_at_the_other_side() {
        let mut car = Car {
            x: 9,
            right: true,
            ..Car::default()
        };
        car.drive();
        assert_eq!(car.x, 0);
        car.right = false;
        car.drive();
        assert_eq!(car.x, 9);
    }
}
