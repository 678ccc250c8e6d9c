use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// `minatar-freeway`
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
            clock: 2500,
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
        if state.clock < 0 {
            Step::terminal(reward)
        } else {
            Step::running(reward)
        }
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
