//! Control problems with continuous state.

mod acrobot;
mod bins;
mod cart_pole;
mod mountain_car;
mod mountain_car_continuous;
mod pendulum;
mod valley;

/// Sines and cosines.
#[inline]
fn sin_cos_lanes<const N: usize>(angles: &[f64; N]) -> ([f64; N], [f64; N]) {
    let (mut sin, mut cos) = ([0.0; N], [0.0; N]);
    for i in 0..N {
        (sin[i], cos[i]) = angles[i].sin_cos();
    }
    (sin, cos)
}

/// Cosines.
#[inline]
fn cos_lanes<const N: usize>(angles: &[f64; N]) -> [f64; N] {
    angles.map(f64::cos)
}

pub use acrobot::{Acrobot, AcrobotConfig, AcrobotState, BookOrNips};
pub use bins::{CartPoleBinsConfig, MountainCarBinsConfig, cart_pole_bins, mountain_car_bins};
pub use cart_pole::{CartPole, CartPoleConfig, CartPoleState, Integrator};
pub use mountain_car::{MountainCar, MountainCarConfig, MountainCarState};
pub use mountain_car_continuous::{
    MountainCarContinuous, MountainCarContinuousConfig, MountainCarContinuousState,
};
pub use pendulum::{Pendulum, PendulumConfig, PendulumState};
