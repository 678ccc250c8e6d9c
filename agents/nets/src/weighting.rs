//! How much each of several losses counts.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Result, check_range};

/// How the losses of several tasks are weighed against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Weighting {
    /// As the tasks say.
    #[default]
    Fixed,
    /// By an uncertainty of each task, which is learned; see [`uncertainty_loss`].
    Uncertainty,
    /// So that the gradients of all tasks are about as long, and tasks that lag behind have longer ones; see
    /// [`grad_norm_step`].
    GradNorm {
        /// How much longer the gradients of tasks that lag behind are to be. Default 1.5 (the paper's for NYUv2).
        #[serde(default = "default_alpha")]
        alpha: f64,
        /// Step size of the weights. Default 0.025 (the authors').
        #[serde(default = "default_rate")]
        learning_rate: f64,
    },
}

fn default_alpha() -> f64 {
    1.5
}

fn default_rate() -> f64 {
    0.025
}

impl Weighting {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Config`](thorndike_core::Error::Config) with the key.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Fixed | Self::Uncertainty => Ok(()),
            Self::GradNorm {
                alpha,
                learning_rate,
            } => {
                check_range("alpha", alpha, 0.0..=10.0)?;
                check_range("learning_rate", learning_rate, 1e-6..=1.0)
            }
        }
    }

    pub(crate) fn is_fixed(&self) -> bool {
        *self == Self::Fixed
    }
}

/// The sum of `scale_i exp(-s_i) loss_i + s_i / 2` over the tasks: `losses` are means over a batch, `log_variances` `[tasks]`
/// hold `s_i`, the logarithm of the variance of the noise of each task, and `scales` are 1 for negative logarithms of
/// probabilities, 1/2 for squared errors.
///
/// # Reference
/// Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics" (2018),
/// equations 7 and 10, with `s = log(sigma^2)` learned as section 3.2 says. Deviations: none.
pub fn uncertainty_loss(losses: &[Tensor], log_variances: &Tensor, scales: &[f64]) -> Tensor {
    let weighed = losses
        .iter()
        .zip(scales)
        .enumerate()
        .map(|(task, (loss, scale))| {
            let log_variance = log_variances.select(0, task as i64);
            loss * (-&log_variance).exp() * *scale + log_variance / 2.0
        });
    sum(weighed)
}

/// `loss_i` times `weights[i]`, summed up.
pub fn weighed_loss(losses: &[Tensor], weights: &[f64]) -> Tensor {
    sum(losses
        .iter()
        .zip(weights)
        .map(|(loss, weight)| loss * *weight))
}

fn sum(terms: impl Iterator<Item = Tensor>) -> Tensor {
    terms
        .reduce(|sum, term| sum + term)
        .unwrap_or_else(|| Tensor::zeros([], (Kind::Float, tch::Device::Cpu)))
}

/// One step of the weights of tasks: `norms[i]` is the length of the gradient of task `i`'s loss with respect to the last
/// weights that all share, without its weight; `losses` are those of now and `first_losses` those at the start.
///
/// With `G_i = weights[i] norms[i]` and `r_i` the share of its first loss that task `i` has left over the mean of that share,
/// the weights go down the gradient of the sum of `|G_i - mean(G) r_i^alpha|`, the second term held still, and are then
/// scaled to sum to their number.
///
/// # Reference
/// Chen, Badrinarayanan, Lee and Rabinovich, "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask
/// Networks" (2018), equations 1 and 2, algorithm 1. Deviations: weights make plain gradient steps, and stay at 0.01 or above.
pub fn grad_norm_step(
    weights: &mut [f64],
    norms: &[f64],
    losses: &[f64],
    first_losses: &[f64],
    alpha: f64,
    learning_rate: f64,
) {
    const LEAST: f64 = 0.01;
    let tasks = weights.len() as f64;
    let lengths: Vec<f64> = weights.iter().zip(norms).map(|(w, g)| w * g).collect();
    let mean_length = lengths.iter().sum::<f64>() / tasks;
    let left: Vec<f64> = losses
        .iter()
        .zip(first_losses)
        .map(|(loss, first)| loss / first.max(1e-12))
        .collect();
    let mean_left = left.iter().sum::<f64>() / tasks;
    for (i, weight) in weights.iter_mut().enumerate() {
        let wanted = mean_length * (left[i] / mean_left.max(1e-12)).powf(alpha);
        let slope = match lengths[i] - wanted {
            0.0 => 0.0,
            difference => difference.signum() * norms[i],
        };
        *weight = (*weight - learning_rate * slope).max(LEAST);
    }
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight *= tasks / sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::to_vec;

    #[test]
    fn uncertain_tasks_count_less_as_computed_by_hand() {
        let losses = [2.0_f64, 3.0].map(|loss| Tensor::from(loss).set_requires_grad(true));
        let s = Tensor::from_slice(&[0.0_f64, 2_f64.ln()]).set_requires_grad(true);
        let all = uncertainty_loss(&losses, &s, &[1.0, 0.5]);
        // exp(0) 2 + 0 + 1/2 exp(-ln 2) 3 + ln 2 / 2 = 2 + 0.75 + 0.346574.
        assert!((all.double_value(&[]) - 3.096_573_6).abs() < 1e-6);
        all.backward();
        // Weights 1 and 1/4; of s: -exp(-s) c L + 1/2 = -1.5 and -0.25.
        let grads = [0, 1].map(|i: usize| losses[i].grad().double_value(&[]));
        assert!((grads[0] - 1.0).abs() < 1e-12 && (grads[1] - 0.25).abs() < 1e-12);
        let of_s = to_vec(&s.grad().to_kind(Kind::Float));
        assert!((of_s[0] + 1.5).abs() < 1e-6 && (of_s[1] + 0.25).abs() < 1e-6);
        // At the best s, exp(s) = 2 c L: the noise that the loss tells of.
        let best = (2.0 * 3.0 * 0.5_f64).ln();
        let s = Tensor::from_slice(&[4_f64.ln(), best]).set_requires_grad(true);
        uncertainty_loss(&losses, &s, &[1.0, 0.5]).backward();
        assert!(s.grad().abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn grad_norm_makes_the_step_computed_by_hand() {
        let mut weights = [1.0, 1.0];
        // Lengths 4 and 2, mean 3. Left 0.5 and 1, mean 0.75: ratios 2/3 and 4/3; wanted 2 and 4 with alpha 1.
        // Slopes +4 and -2; weights 1 - 0.04 = 0.96 and 1 + 0.02 = 1.02, scaled by 2 / 1.98.
        grad_norm_step(
            &mut weights,
            &[4.0, 2.0],
            &[1.0, 2.0],
            &[2.0, 2.0],
            1.0,
            0.01,
        );
        assert!(
            (weights[0] - 0.96 * 2.0 / 1.98).abs() < 1e-12,
            "{weights:?}"
        );
        assert!(
            (weights[1] - 1.02 * 2.0 / 1.98).abs() < 1e-12,
            "{weights:?}"
        );
    }

    #[test]
    fn grad_norm_comes_to_rest_where_all_gradients_are_as_long() {
        let mut weights = [1.0, 1.0, 1.0];
        let norms = [8.0, 2.0, 1.0];
        for _ in 0..20_000 {
            grad_norm_step(&mut weights, &norms, &[1.0; 3], &[2.0; 3], 1.5, 1e-4);
        }
        // w_i norm_i alike and summing to 3: 3 / (1/8 + 1/2 + 1) = 1.846 each.
        for (weight, norm) in weights.iter().zip(norms) {
            // Steps of 1e-4 times the norm swing about the place of rest.
            assert!((weight * norm - 1.846).abs() < 0.02, "{weights:?}");
        }
        assert!((weights.iter().sum::<f64>() - 3.0).abs() < 1e-9);
    }
}
