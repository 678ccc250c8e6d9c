//! Control problems with continuous state.

mod bins;
mod cart_pole;
mod mountain_car;

pub use bins::{CartPoleBinsConfig, MountainCarBinsConfig, cart_pole_bins, mountain_car_bins};
pub use cart_pole::{CartPole, CartPoleConfig, CartPoleState, Integrator};
pub use mountain_car::{MountainCar, MountainCarConfig, MountainCarState};
