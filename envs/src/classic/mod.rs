//! Control problems with continuous state.

mod acrobot;
mod bins;
mod cart_pole;
mod mountain_car;
mod mountain_car_continuous;
mod pendulum;
mod valley;

pub use acrobot::{Acrobot, AcrobotConfig, AcrobotState, BookOrNips};
pub use bins::{CartPoleBinsConfig, MountainCarBinsConfig, cart_pole_bins, mountain_car_bins};
pub use cart_pole::{CartPole, CartPoleConfig, CartPoleState, Integrator};
pub use mountain_car::{MountainCar, MountainCarConfig, MountainCarState};
pub use mountain_car_continuous::{
    MountainCarContinuous, MountainCarContinuousConfig, MountainCarContinuousState,
};
pub use pendulum::{Pendulum, PendulumConfig, PendulumState};
