use serde::{Deserialize, Serialize};
use thorndike_core::{Bins, Discretize, Env, Result, check_range};

use super::{CartPole, CartPoleConfig, MountainCar, MountainCarConfig};

/// Configuration of `cart-pole-bins`: [`CartPole`] seen as one discrete state, for agents that keep a table.
///
/// The ranges that are cut into bins: position and angle up to their limits, velocity -3 to 3 m/s, angular
/// velocity -3.5 to 3.5 rad/s. What lies outside counts to the outermost bin.
///
/// # Reference
/// The idea of such boxes: Michie and Chambers, *BOXES: An Experiment in Adaptive Control*, 1968.
/// Deviations: equal bins, where theirs are narrower in the middle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CartPoleBinsConfig {
    /// Bins of position, velocity, angle and angular velocity, 1 to 1000 each.
    pub bins: [usize; 4],
    /// The problem itself.
    pub cart_pole: CartPoleConfig,
}

impl Default for CartPoleBinsConfig {
    fn default() -> Self {
        Self {
            // The coarsest of some tried with which one-step Q-learning balances the pole on each of 5 seeds.
            bins: [4, 4, 8, 8],
            cart_pole: CartPoleConfig::default(),
        }
    }
}

/// Configuration of `mountain-car-bins`: [`MountainCar`] seen as one discrete state.
///
/// Position and velocity are cut into equal bins between their limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountainCarBinsConfig {
    /// Bins of position and velocity, 1 to 10,000 each.
    pub bins: [usize; 2],
    /// The problem itself.
    pub mountain_car: MountainCarConfig,
}

impl Default for MountainCarBinsConfig {
    fn default() -> Self {
        Self {
            bins: [20, 20],
            mountain_car: MountainCarConfig::default(),
        }
    }
}

/// Equal bins in each range.
fn cut<E: Env<Obs = f32>, const N: usize>(
    env: E,
    ranges: [(f64, f64); N],
    counts: [usize; N],
    most: usize,
) -> Result<Discretize<E>> {
    for count in counts {
        check_range("bins", count, 1..=most)?;
    }
    let bins = ranges.iter().zip(counts).map(|(&(low, high), count)| Bins {
        low: low as f32,
        high: high as f32,
        count,
    });
    Discretize::new(env, bins.collect())
}

/// Builds `cart-pole-bins`.
///
/// # Errors
/// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
pub fn cart_pole_bins(config: &CartPoleBinsConfig) -> Result<Discretize<CartPole>> {
    let cart_pole = &config.cart_pole;
    let env = CartPole::new(cart_pole).map_err(|e| e.under("cart_pole"))?;
    let around = |limit: f64| (-limit, limit);
    let ranges = [
        around(cart_pole.position_limit_m),
        around(3.0),
        around(cart_pole.angle_limit_rad),
        around(3.5),
    ];
    cut(env, ranges, config.bins, 1000)
}

/// Builds `mountain-car-bins`.
///
/// # Errors
/// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
pub fn mountain_car_bins(config: &MountainCarBinsConfig) -> Result<Discretize<MountainCar>> {
    let car = &config.mountain_car;
    let env = MountainCar::new(car).map_err(|e| e.under("mountain_car"))?;
    let ranges = [
        (car.min_position, car.max_position),
        (-car.max_speed, car.max_speed),
    ];
    cut(env, ranges, config.bins, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classic::MountainCarState;
    use thorndike_core::check_env;

    #[test]
    fn both_conform() {
        let cart_pole = cart_pole_bins(&CartPoleBinsConfig::default()).unwrap();
        assert_eq!(check_env(cart_pole), Ok(()));
        let car = mountain_car_bins(&MountainCarBinsConfig::default()).unwrap();
        assert_eq!(check_env(car), Ok(()));
    }

    #[test]
    fn the_limits_of_the_valley_are_the_first_and_last_bin() {
        let env = mountain_car_bins(&MountainCarBinsConfig::default()).unwrap();
        let number = |position, velocity| {
            let mut obs = [0];
            env.observe(&MountainCarState { position, velocity }, &mut obs);
            obs[0]
        };
        assert_eq!(number(-1.2, -0.07), 0);
        assert_eq!(number(0.6, 0.07), 399);
        assert_eq!(number(-0.3, 0.0), 10 * 20 + 10, "the middle is an edge");
    }

    #[test]
    fn numbers_out_of_range_name_their_key() {
        let mut config = CartPoleBinsConfig::default();
        config.cart_pole.time_step_s = 2.0;
        let error = cart_pole_bins(&config).unwrap_err().to_string();
        assert!(error.starts_with("cart_pole.time_step_s: 2 is out of range"));
        let config = CartPoleBinsConfig {
            bins: [0, 1, 1, 1],
            ..Default::default()
        };
        let error = cart_pole_bins(&config).unwrap_err().to_string();
        assert_eq!(error, "bins: 0 is out of range; give 1 to 1000");
    }
}
