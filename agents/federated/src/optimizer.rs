//! What the server makes of the mean of its clients.

use serde::{Deserialize, Serialize};
use thorndike_core::{Result, check_range};

/// How the server goes from its weights `w` to the mean `m` of what clients made of them, with `d = m - w`.
///
/// # Reference
/// `avg`: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (2017), algorithm 1.
/// `momentum`: Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
/// Classification" (2019), section 4.2, FedAvgM. `adam`: Reddi et al., "Adaptive Federated Optimization" (2021), algorithm
/// 2, FedAdam; without a correction of the bias, as there. Deviations: none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ServerConfig {
    /// `w + learning_rate d`, which is the mean itself at a rate of 1.
    Avg {
        /// Default 1.
        #[serde(default = "one")]
        learning_rate: f64,
    },
    /// `v = momentum v + d`, then `w + learning_rate v`.
    Momentum {
        /// Default 1.
        #[serde(default = "one")]
        learning_rate: f64,
        /// Default 0.9.
        #[serde(default = "nine_tenths")]
        momentum: f64,
    },
    /// `a = beta_1 a + (1 - beta_1) d`, `v = beta_2 v + (1 - beta_2) d²` from `tau²` on, then
    /// `w + learning_rate a / (√v + tau)`.
    Adam {
        /// Default 0.01.
        #[serde(default = "hundredth")]
        learning_rate: f64,
        /// Default 0.9.
        #[serde(default = "nine_tenths")]
        beta_1: f64,
        /// Default 0.99.
        #[serde(default = "ninety_nine_hundredths")]
        beta_2: f64,
        /// How much it adapts: the less, the more. Default 0.001.
        #[serde(default = "thousandth")]
        tau: f64,
    },
}

fn one() -> f64 {
    1.0
}

fn nine_tenths() -> f64 {
    0.9
}

fn ninety_nine_hundredths() -> f64 {
    0.99
}

fn hundredth() -> f64 {
    0.01
}

fn thousandth() -> f64 {
    0.001
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self::Avg { learning_rate: 1.0 }
    }
}

impl ServerConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) with the key.
    pub fn check(&self) -> Result<()> {
        let below_one = |key: &str, value: f64| match value {
            1.0 => Err(thorndike_core::Error::config(
                key,
                "1 is out of range; give 0 or more, below 1",
            )),
            _ => check_range(key, value, 0.0..=1.0),
        };
        let rate = match *self {
            Self::Avg { learning_rate } => learning_rate,
            Self::Momentum {
                learning_rate,
                momentum,
            } => {
                below_one("momentum", momentum)?;
                learning_rate
            }
            Self::Adam {
                learning_rate,
                beta_1,
                beta_2,
                tau,
            } => {
                below_one("beta_1", beta_1)?;
                below_one("beta_2", beta_2)?;
                check_range("tau", tau, 1e-12..=1e6)?;
                learning_rate
            }
        };
        check_range("learning_rate", rate, 1e-12..=1e6)
    }
}

/// A [`ServerConfig`] with what it has gathered.
///
/// ```
/// use thorndike_federated::{ServerConfig, ServerOptimizer};
/// let mut momentum = ServerOptimizer::new(ServerConfig::Momentum { learning_rate: 1.0, momentum: 0.5 });
/// let mut weights = [1.0];
/// momentum.step(&mut weights, &[2.0]); // v = 1
/// momentum.step(&mut weights, &[2.0]); // v = 0.5
/// assert_eq!(weights, [2.5]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ServerOptimizer {
    config: ServerConfig,
    /// Of `momentum` and `adam`, a number a weight; empty before the first step.
    pub(crate) first: Vec<f64>,
    /// Of `adam`.
    pub(crate) second: Vec<f64>,
}

impl ServerOptimizer {
    /// One that has gathered nothing.
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            first: Vec::new(),
            second: Vec::new(),
        }
    }

    /// Its settings.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Changes `weights`, given the `mean` of what clients made of them.
    ///
    /// # Panics
    /// If the two differ in length, or are of another length than before.
    pub fn step(&mut self, weights: &mut [f32], mean: &[f64]) {
        assert_eq!(weights.len(), mean.len(), "a mean of other weights");
        let pairs = weights.iter_mut().zip(mean);
        match self.config {
            ServerConfig::Avg { learning_rate: 1.0 } => {
                pairs.for_each(|(w, &mean)| *w = mean as f32);
            }
            ServerConfig::Avg { learning_rate } => pairs.for_each(|(w, &mean)| {
                let old = f64::from(*w);
                *w = (old + learning_rate * (mean - old)) as f32;
            }),
            ServerConfig::Momentum {
                learning_rate,
                momentum,
            } => {
                for ((w, &mean), v) in pairs.zip(gathered(&mut self.first, mean.len(), 0.0)) {
                    let old = f64::from(*w);
                    *v = momentum * *v + (mean - old);
                    *w = (old + learning_rate * *v) as f32;
                }
            }
            ServerConfig::Adam {
                learning_rate,
                beta_1,
                beta_2,
                tau,
            } => {
                let first = gathered(&mut self.first, mean.len(), 0.0);
                let second = gathered(&mut self.second, mean.len(), tau * tau);
                for ((w, &mean), (a, v)) in pairs.zip(first.iter_mut().zip(second)) {
                    let old = f64::from(*w);
                    let change = mean - old;
                    *a = beta_1 * *a + (1.0 - beta_1) * change;
                    *v = beta_2 * *v + (1.0 - beta_2) * change * change;
                    *w = (old + learning_rate * *a / (v.sqrt() + tau)) as f32;
                }
            }
        }
    }
}

/// `len` numbers, which begin as `start`.
fn gathered(numbers: &mut Vec<f64>, len: usize, start: f64) -> &mut [f64] {
    if numbers.is_empty() {
        numbers.resize(len, start);
    }
    assert_eq!(numbers.len(), len, "an optimizer of other weights");
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn avg_is_the_mean_and_with_a_rate_goes_part_of_the_way() {
        // In f64, -1e10 + (1e-10 + 1e10) is 0.
        let mut weights = [1.0, -1e10];
        let mut avg = ServerOptimizer::new(ServerConfig::default());
        avg.step(&mut weights, &[3.0, 1e-10]);
        assert_eq!(weights, [3.0, 1e-10]);
        let mut half = ServerOptimizer::new(ServerConfig::Avg { learning_rate: 0.5 });
        half.step(&mut weights, &[5.0, 1e-10]);
        assert_eq!(weights, [4.0, 1e-10]);
    }

    #[test]
    fn momentum_goes_on_where_clients_have_stopped() {
        let mut optimizer = ServerOptimizer::new(ServerConfig::Momentum {
            learning_rate: 0.5,
            momentum: 0.9,
        });
        let mut weights = [1.0];
        optimizer.step(&mut weights, &[2.0]);
        assert_eq!(weights, [1.5], "v = 1");
        // d = 0, v = 0.9.
        optimizer.step(&mut weights, &[1.5]);
        assert_eq!(weights, [1.95]);
    }

    #[test]
    fn adam_takes_the_steps_that_were_worked_out_by_hand() {
        let mut optimizer = ServerOptimizer::new(ServerConfig::Adam {
            learning_rate: 0.1,
            beta_1: 0.9,
            beta_2: 0.99,
            tau: 0.1,
        });
        let mut weights = [0.0];
        optimizer.step(&mut weights, &[2.0]);
        // a = 0.1 * 2 = 0.2; v = 0.99 * 0.01 + 0.01 * 4 = 0.0499; 0.1 * 0.2 / (0.223383 + 0.1)
        let first = 0.061_846_1;
        assert!((weights[0] - first).abs() < 1e-6, "{weights:?}");
        let mean = f64::from(weights[0]) - 1.0;
        optimizer.step(&mut weights, &[mean]);
        // a = 0.9 * 0.2 - 0.1 = 0.08; v = 0.99 * 0.0499 + 0.01 = 0.059401; 0.1 * 0.08 / (0.243723 + 0.1)
        let second = first + 0.023_274_5;
        assert!((weights[0] - second).abs() < 1e-6, "{weights:?}");
    }
}
