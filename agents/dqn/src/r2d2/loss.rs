//! Targets, weights and priorities of sequences, as pure functions on slices.
//!
//! `[batch, time]` is `batch * time` numbers, a sequence after another. Sequence `i` has `lens[i] < time` steps;
//! there is one observation more than steps, and what lies behind it is padding.

/// `h(x) = sign(x) (sqrt(|x| + 1) - 1) + epsilon x`: large values become small, and none is lost.
///
/// # Reference
/// Pohlen et al., "Observe and Look Further: Achieving Consistent Performance on Atari" (2018), section 3.2.
/// Deviations: none.
pub fn rescale(x: f64, epsilon: f64) -> f64 {
    x.signum() * ((x.abs() + 1.0).sqrt() - 1.0) + epsilon * x
}

/// The `x` with `rescale(x, epsilon) = y`, for an `epsilon` above 0.
///
/// # Reference
/// Pohlen et al. (2018), proposition A.2. Deviations: with `s = sqrt(1 + 4 epsilon (|y| + 1 + epsilon))`, its
/// `((s - 1) / (2 epsilon))^2 - 1` is written as the product of sum and difference, and `s - 1` as
/// `(s^2 - 1) / (s + 1)`, which keeps small values exact.
pub fn unrescale(y: f64, epsilon: f64) -> f64 {
    let a = y.abs();
    // The root of epsilon r^2 + r = a + 1 + epsilon, with r = sqrt(|x| + 1).
    let s = (1.0 + 4.0 * epsilon * (a + 1.0 + epsilon)).sqrt();
    let r = 2.0 * (a + 1.0 + epsilon) / (1.0 + s);
    y.signum() * (r - 1.0) * (r + 1.0)
}

/// What n-step targets are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Returns {
    /// Discount per step.
    pub gamma: f64,
    /// Steps whose rewards are summed, at most.
    pub n_step: usize,
    /// The epsilon of [`rescale`], if the network's values are rescaled.
    pub rescaling: Option<f64>,
}

impl Returns {
    /// Turns `values` `[batch, time]`, those of each observation, into the targets of each step:
    /// `h(r_t + .. + gamma^(m-1) r_{t+m-1} + gamma^m h^-1(v_{t+m}))`, 0 in the padding.
    ///
    /// `m` is `n_step`, or less where the sequence ends before. `v_{t+m}` counts for nothing if `terminated` says
    /// that the task ended the episode there; it counts if a time limit did, or if only the sequence ends.
    ///
    /// # Reference
    /// Kapturowski et al., "Recurrent Experience Replay in Distributed Reinforcement Learning" (2019), section
    /// 2.3. Deviations: where a sequence ends, returns are of fewer steps.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn targets(
        &self,
        rewards: &[f32],
        lens: &[usize],
        terminated: &[bool],
        values: &mut [f32],
    ) {
        assert_eq!(rewards.len(), values.len(), "rewards");
        assert_eq!(lens.len(), terminated.len(), "ends");
        let time = values.len() / lens.len();
        assert_eq!(values.len(), lens.len() * time, "values");
        let rows = values.chunks_exact_mut(time);
        let rows = rows.zip(rewards.chunks_exact(time)).zip(lens);
        for (((values, rewards), &len), &terminated) in rows.zip(terminated) {
            assert!(len < time, "an observation behind the last step");
            for t in 0..len {
                // Targets are written where no later one reads.
                let end = len.min(t + self.n_step);
                let mut sum = if terminated && end == len {
                    0.0
                } else {
                    self.value(values[end])
                };
                for &reward in rewards[t..end].iter().rev() {
                    sum = f64::from(reward) + self.gamma * sum;
                }
                let target = self.rescaling.map_or(sum, |epsilon| rescale(sum, epsilon));
                values[t] = target as f32;
            }
            values[len..].fill(0.0);
        }
    }

    fn value(&self, v: f32) -> f64 {
        let v = f64::from(v);
        self.rescaling.map_or(v, |epsilon| unrescale(v, epsilon))
    }
}

/// Writes into `out` `[batch, time]` by how much each step counts, so that the mean over all of `out` is the mean
/// over the steps that are there, those of sequence `i` times `weights[i]`; 0 in the padding.
///
/// # Panics
/// If the shapes do not fit, or there are no steps at all.
pub fn step_weights(lens: &[usize], weights: &[f32], out: &mut [f32]) {
    assert_eq!(lens.len(), weights.len(), "weights");
    let steps: usize = lens.iter().sum();
    assert!(steps > 0, "sequences without steps");
    let scale = out.len() as f32 / steps as f32;
    let rows = out.chunks_exact_mut(out.len() / lens.len());
    for ((row, &len), weight) in rows.zip(lens).zip(weights) {
        row[..len].fill(weight * scale);
        row[len..].fill(0.0);
    }
}

/// Writes into `out` `[batch]` the error of each sequence by which it is drawn again: `eta` times the largest
/// absolute TD error of its steps plus `1 - eta` times their mean.
///
/// # Reference
/// Kapturowski et al. (2019), section 2.3. Deviations: none.
///
/// # Panics
/// If the shapes do not fit.
pub fn sequence_errors(eta: f64, td_abs: &[f32], lens: &[usize], out: &mut [f32]) {
    assert_eq!(lens.len(), out.len(), "one error a sequence");
    let rows = td_abs.chunks_exact(td_abs.len() / lens.len());
    for ((out, row), &len) in out.iter_mut().zip(rows).zip(lens) {
        let errors = row[..len].iter().map(|&e| f64::from(e));
        let largest = errors.clone().fold(0.0, f64::max);
        let mean = errors.sum::<f64>() / len as f64;
        *out = (eta * largest + (1.0 - eta) * mean) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescaling_is_the_hand_computed_one() {
        // sqrt(8 + 1) - 1 = 2, plus a tenth of 8.
        assert!((rescale(8.0, 0.1) - 2.8).abs() < 1e-12);
        assert!((rescale(-8.0, 0.1) + 2.8).abs() < 1e-12);
        assert_eq!(rescale(0.0, 1e-3), 0.0);
    }

    #[test]
    fn unrescaling_undoes_rescaling() {
        for epsilon in [1e-3, 0.1] {
            for x in [0.0, 1e-9, 1e-4, 0.3, 1.0, 8.0, 1e3, 1e7] {
                for x in [x, -x] {
                    let back = unrescale(rescale(x, epsilon), epsilon);
                    // A root of 1 + x, less 1, has the rounding of 1.
                    assert!((back - x).abs() < 1e-14 + 1e-12 * x.abs(), "{x} {back}");
                }
            }
        }
    }

    const PLAIN: Returns = Returns {
        gamma: 0.5,
        n_step: 2,
        rescaling: None,
    };
    /// Three steps, then padding that must not matter.
    const REWARDS: [f32; 5] = [1.0, 2.0, 4.0, f32::NAN, f32::NAN];
    const VALUES: [f32; 5] = [100.0, 200.0, 8.0, 16.0, f32::NAN];

    fn targets(returns: Returns, terminated: bool) -> [f32; 5] {
        let mut values = VALUES;
        returns.targets(&REWARDS, &[3], &[terminated], &mut values);
        values
    }

    #[test]
    fn a_truncated_sequence_bootstraps_from_its_last_observation() {
        // 1 + 2/2 + 8/4; 2 + 4/2 + 16/4; one step less: 4 + 16/2.
        assert_eq!(targets(PLAIN, false), [4.0, 8.0, 12.0, 0.0, 0.0]);
    }

    #[test]
    fn a_terminated_sequence_has_no_value_behind_its_end() {
        // The window of the first step ends before.
        assert_eq!(targets(PLAIN, true), [4.0, 4.0, 4.0, 0.0, 0.0]);
        let mut wild = VALUES;
        wild[3] = f32::NAN;
        PLAIN.targets(&REWARDS, &[3], &[true], &mut wild);
        assert_eq!(wild, [4.0, 4.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn a_window_may_be_longer_than_the_sequence() {
        let long = Returns { n_step: 9, ..PLAIN };
        // 1 + 2/2 + 4/4 + 16/8 and so on.
        assert_eq!(targets(long, false), [5.0, 8.0, 12.0, 0.0, 0.0]);
        assert_eq!(targets(long, true), [3.0, 4.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn rescaled_values_are_unrescaled_before_they_are_discounted() {
        let rescaled = Returns {
            n_step: 1,
            rescaling: Some(0.1),
            ..PLAIN
        };
        // h(8) = 2.8, so the value behind the only step is 8: h(4 + 8 / 2) = 2.8 again.
        let mut values = [f32::NAN, 2.8];
        rescaled.targets(&[4.0, 0.0], &[1], &[false], &mut values);
        // One rounding to f32 on either way.
        assert!((values[0] - 2.8).abs() < 1e-6 && values[1] == 0.0);
    }

    #[test]
    fn each_sequence_has_its_own_end() {
        let mut values = [0.0, 10.0, 20.0, 0.0, 30.0, 40.0];
        let rewards = [1.0, 2.0, 0.0, 3.0, 0.0, 0.0];
        PLAIN.targets(&rewards, &[2, 1], &[false, true], &mut values);
        // 1 + 2/2 + 20/4 and 2 + 20/2; 3.
        assert_eq!(values, [7.0, 12.0, 0.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn the_mean_of_weighted_steps_leaves_out_the_padding() {
        let mut weights = [9.0; 8];
        step_weights(&[3, 1], &[1.0, 0.5], &mut weights);
        assert_eq!(weights, [2.0, 2.0, 2.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        // Mean over all eight of 1 for each step: (3 * 1 + 1 * 0.5) / 4 steps.
        assert_eq!(weights.iter().sum::<f32>() / 8.0, 3.5 / 4.0);
    }

    #[test]
    fn padding_has_neither_loss_nor_gradient() {
        use crate::loss::{Loss, Sample, td_loss};
        // One sequence of two steps in time 3, two actions; TD errors 1 and -3; the rest is padding.
        let q = [2.0, 9.0, 9.0, 1.0, 7.0, 7.0];
        let mut weights = [0.0; 3];
        step_weights(&[2], &[0.5], &mut weights);
        let (mut d_q, mut td_abs) = (Vec::new(), Vec::new());
        let targets = [1.0, 4.0, 0.0];
        let sample = Sample {
            actions: &[0, 1, 0],
            weights: &weights,
        };
        let loss = td_loss(Loss::Mse, &q, &targets, sample, &mut d_q, &mut td_abs);
        // 0.5 * (1 + 9) / 2 steps; slopes 2 * 1 and 2 * -3, times 0.5 / 2.
        assert_eq!(loss, 2.5);
        assert_eq!(d_q, [0.5, 0.0, 0.0, -1.5, 0.0, 0.0]);
        let mut errors = [0.0];
        sequence_errors(0.9, &td_abs, &[2], &mut errors);
        // 0.9 * 3 + 0.1 * 2.
        assert!((errors[0] - 2.9).abs() < 1e-6);
    }
}
