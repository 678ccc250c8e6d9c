//! Targets, losses and their gradients, as pure functions on slices.
//!
//! Rows lie one after another; `[batch, actions]` is `batch * actions` numbers. A network's values are
//! `[batch, actions, atoms]`: one atom is the expected return, more describe its distribution. The functions work on
//! the processor whatever device the network is on: a batch has some thousand numbers, and a sum in a fixed order
//! gives the same bits in every run.

mod categorical;
mod lambda;
mod munchausen;
mod quantile;

use serde::{Deserialize, Serialize};

pub use categorical::{Support, categorical_loss, categorical_means, categorical_targets};
pub use lambda::lambda_returns;
pub use munchausen::Munchausen;
pub use quantile::{Fractions, midpoints, quantile_loss, quantile_means};

/// How a TD error counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// `δ² / 2` up to 1 and `|δ| - 1/2` beyond, so that its slope is the clipped TD error.
    Huber,
    /// `δ²`.
    Mse,
}

impl Loss {
    /// The loss of a TD error and its slope.
    #[inline]
    fn at(self, td_error: f32) -> (f32, f32) {
        match self {
            Self::Huber if td_error.abs() <= 1.0 => (0.5 * td_error * td_error, td_error),
            Self::Huber => (td_error.abs() - 0.5, td_error.signum()),
            Self::Mse => (td_error * td_error, 2.0 * td_error),
        }
    }
}

/// Index of the largest value, the first of equals; 0 if all are NaN.
#[inline]
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate().skip(1) {
        if value > values[best] || (values[best].is_nan() && !value.is_nan()) {
            best = i;
        }
    }
    best
}

/// Writes into `v_next` `[batch, atoms]` what the target network thinks of the next state if the action is chosen by
/// `selector` `[batch, actions]`: the atoms of `values` `[batch, actions, atoms]` at `argmax selector`.
///
/// # Reference
/// With `selector` from the target network: Mnih et al., "Human-level control through deep reinforcement learning"
/// (2015), algorithm 1. With the online network's Q-values: van Hasselt, Guez and Silver, "Deep Reinforcement Learning
/// with Double Q-learning" (2016), equation 4. Deviations: none.
///
/// # Panics
/// If the shapes do not fit.
pub fn next_values(values: &[f32], selector: &[f32], actions: usize, v_next: &mut Vec<f32>) {
    assert!(values.len().is_multiple_of(selector.len()), "target values");
    let atoms = values.len() / selector.len();
    v_next.clear();
    let rows = values
        .chunks_exact(actions * atoms)
        .zip(selector.chunks_exact(actions));
    for (values, selector) in rows {
        v_next.extend_from_slice(&values[argmax(selector) * atoms..][..atoms]);
    }
}

/// Turns `v_next` `[batch, atoms]` into targets `r_t + discount_t * v_next`. A discount of 0 means that the task
/// ended the episode, so no loss needs to know why.
///
/// # Panics
/// If the shapes do not fit.
pub fn td_targets(r_t: &[f32], discount_t: &[f32], v_next: &mut [f32]) {
    assert_eq!(discount_t.len(), r_t.len(), "discounts");
    assert!(v_next.len().is_multiple_of(r_t.len()), "values");
    let rows = v_next.chunks_exact_mut(v_next.len() / r_t.len());
    for ((row, r), discount) in rows.zip(r_t).zip(discount_t) {
        for v in row {
            // A target network gone wild must not turn a known end into NaN.
            *v = if *discount == 0.0 {
                *r
            } else {
                r + discount * *v
            };
        }
    }
}

/// What was done in each row of a batch, and how much the row counts.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// `[batch]`: actions taken.
    pub actions: &'a [i32],
    /// `[batch]`: importance weights.
    pub weights: &'a [f32],
}

/// The atoms of each row's action in `values` `[batch, actions, atoms]` and in `d_values`, which becomes zeros of that
/// shape, and the row's weight.
fn weighted_rows<'a>(
    values: &'a [f32],
    atoms: usize,
    sample: Sample<'a>,
    d_values: &'a mut Vec<f32>,
) -> impl Iterator<Item = (&'a [f32], &'a mut [f32], f32)> {
    let batch = sample.actions.len();
    assert!(batch > 0 && values.len().is_multiple_of(batch), "values");
    assert_eq!(sample.weights.len(), batch, "weights");
    let len = values.len() / batch;
    d_values.clear();
    d_values.resize(values.len(), 0.0);
    let rows = values.chunks_exact(len).zip(d_values.chunks_exact_mut(len));
    rows.zip(sample.actions).zip(sample.weights).map(
        move |(((values, d_values), &action), &weight)| {
            let first = action as usize * atoms;
            let range = first..first + atoms;
            (&values[range.clone()], &mut d_values[range], weight)
        },
    )
}

/// The mean over the batch of `weight * loss(q[action] - target)`, returned; its gradient with respect to
/// `q` goes to `d_q` `[batch, actions]`, and `|q[action] - target|` to `td_abs` `[batch]`.
///
/// # Panics
/// If the shapes do not fit, or an action is out of range.
pub fn td_loss(
    loss: Loss,
    q: &[f32],
    targets: &[f32],
    sample: Sample<'_>,
    d_q: &mut Vec<f32>,
    td_abs: &mut Vec<f32>,
) -> f32 {
    let batch = targets.len();
    assert_eq!(sample.actions.len(), batch, "actions");
    td_abs.clear();
    let mut sum = 0.0;
    for ((q, d_q, weight), target) in weighted_rows(q, 1, sample, d_q).zip(targets) {
        let td_error = q[0] - target;
        let (value, slope) = loss.at(td_error);
        sum += weight * value;
        d_q[0] = weight * slope / batch as f32;
        td_abs.push(td_error.abs());
    }
    sum / batch as f32
}

/// Joins the streams of a dueling network: `outputs` `[batch, 1 + actions, atoms]`, the state's value and then the
/// advantages, to `values` `[batch, actions, atoms]`: `v + a - mean(a)`, atom by atom.
///
/// # Reference
/// Wang et al., "Dueling Network Architectures for Deep Reinforcement Learning" (2016), equation 9; for atoms Hessel et
/// al., "Rainbow: Combining Improvements in Deep Reinforcement Learning" (2018), section "The Integrated Agent".
/// Deviations: none.
pub fn dueling(outputs: &[f32], actions: usize, atoms: usize, values: &mut Vec<f32>) {
    values.clear();
    for row in outputs.chunks_exact((1 + actions) * atoms) {
        let (value, advantages) = row.split_at(atoms);
        let start = values.len();
        values.extend_from_slice(advantages);
        for (i, v) in value.iter().enumerate() {
            let sum: f32 = advantages.iter().skip(i).step_by(atoms).sum();
            let shift = v - sum / actions as f32;
            let joined = values[start + i..].iter_mut().step_by(atoms);
            joined.for_each(|a| *a += shift);
        }
    }
}

/// The gradient with respect to the outputs that [`dueling`] joined, given that of the values.
pub fn dueling_gradient(d_values: &[f32], actions: usize, atoms: usize, d_outputs: &mut Vec<f32>) {
    d_outputs.clear();
    for row in d_values.chunks_exact(actions * atoms) {
        let start = d_outputs.len();
        let sum = |i: usize| row.iter().skip(i).step_by(atoms).sum::<f32>();
        d_outputs.extend((0..atoms).map(sum));
        d_outputs.extend_from_slice(row);
        let (sums, advantages) = d_outputs[start..].split_at_mut(atoms);
        for (i, sum) in sums.iter().enumerate() {
            let column = advantages[i..].iter_mut().step_by(atoms);
            column.for_each(|d| *d -= sum / actions as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first_and_nan_loses() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(argmax(&[f32::NAN, -5.0, f32::NAN, -4.0]), 3);
        assert_eq!(argmax(&[f32::NAN, f32::NAN]), 0);
    }

    const Q_TARGET: [f32; 4] = [1.0, 2.0, 5.0, 4.0];
    const Q_ONLINE: [f32; 4] = [9.0, 8.0, 7.0, 6.0];

    #[test]
    fn double_learning_selects_online_and_evaluates_with_the_target() {
        let mut v = Vec::new();
        next_values(&Q_TARGET, &Q_TARGET, 2, &mut v);
        assert_eq!(v, [2.0, 5.0]);
        next_values(&Q_TARGET, &Q_ONLINE, 2, &mut v);
        assert_eq!(v, [1.0, 5.0]);
        // The same with two atoms for each of two actions in one row.
        next_values(&Q_TARGET, &Q_ONLINE[2..], 2, &mut v);
        assert_eq!(v, [1.0, 2.0]);
    }

    #[test]
    fn terminated_transition_does_not_bootstrap_but_truncated_does() {
        let mut v = [2.0, 5.0, f32::NAN];
        td_targets(&[0.5, 1.0, 3.0], &[0.9, 0.99, 0.0], &mut v);
        assert_eq!(v, [0.5 + 0.9 * 2.0, 1.0 + 0.99 * 5.0, 3.0]);
    }

    /// One row of three actions a transition; the actions are 0 and 2.
    const Q: [f32; 6] = [1.0, 7.0, 7.0, 7.0, 7.0, -2.0];
    const SAMPLE: Sample<'static> = Sample {
        actions: &[0, 2],
        weights: &[1.0, 0.5],
    };

    /// Holds `loss`, which writes its gradient, to finite differences.
    pub(super) fn gradient_is_that_of(at: &[f32], loss: impl Fn(&[f32], &mut Vec<f32>) -> f32) {
        let mut gradient = Vec::new();
        loss(at, &mut gradient);
        for i in 0..at.len() {
            let shifted = |by: f32| {
                let mut at = at.to_vec();
                at[i] += by;
                loss(&at, &mut Vec::new())
            };
            // Rounding of losses of order 1 over the step: 1e-7 / 2e-3.
            let difference = (shifted(1e-3) - shifted(-1e-3)) / 2e-3;
            assert!(
                (difference - gradient[i]).abs() < 5e-4,
                "{i}: {difference} {gradient:?}"
            );
        }
    }

    #[test]
    fn mse_and_its_gradient_are_the_hand_computed_ones() {
        // TD errors 1 - 0.5 = 0.5 and -2 - 1 = -3; losses 0.25 and 9, weighted 1 and 0.5, over 2.
        let (mut d_q, mut td_abs) = (Vec::new(), Vec::new());
        let loss = td_loss(Loss::Mse, &Q, &[0.5, 1.0], SAMPLE, &mut d_q, &mut td_abs);
        assert_eq!(loss, (0.25 + 4.5) / 2.0);
        assert_eq!(d_q, [0.5, 0.0, 0.0, 0.0, 0.0, -1.5]);
        assert_eq!(td_abs, [0.5, 3.0]);
    }

    #[test]
    fn huber_and_its_gradient_are_the_hand_computed_ones() {
        // Losses 0.125 and 3 - 0.5 = 2.5; slopes 0.5 and -1.
        let (mut d_q, mut td_abs) = (Vec::new(), Vec::new());
        let loss = td_loss(Loss::Huber, &Q, &[0.5, 1.0], SAMPLE, &mut d_q, &mut td_abs);
        assert_eq!(loss, (0.125 + 1.25) / 2.0);
        assert_eq!(d_q, [0.25, 0.0, 0.0, 0.0, 0.0, -0.25]);
    }

    #[test]
    fn losses_equal_libtorch() {
        use thorndike_nets::tch::{Kind, Reduction, Tensor};
        let targets = [0.4_f32, -1.7];
        for loss in [Loss::Huber, Loss::Mse] {
            let (mut d_q, mut td_abs) = (Vec::new(), Vec::new());
            let ours = td_loss(
                loss,
                &Q,
                &targets,
                Sample {
                    weights: &[1.0, 1.0],
                    ..SAMPLE
                },
                &mut d_q,
                &mut td_abs,
            );
            let q = Tensor::from_slice(&Q).view([2, 3]).set_requires_grad(true);
            let chosen = q
                .gather(1, &Tensor::from_slice(&[0_i64, 2]).view([2, 1]), false)
                .squeeze_dim(1);
            let target = Tensor::from_slice(&targets);
            let theirs = match loss {
                Loss::Huber => chosen.huber_loss(&target, Reduction::Mean, 1.0),
                Loss::Mse => chosen.mse_loss(&target, Reduction::Mean),
            };
            theirs.backward();
            // Losses of order 1 in a handful of roundings.
            assert!((f64::from(ours) - theirs.double_value(&[])).abs() < 1e-6);
            let difference = (q.grad().flatten(0, 1) - Tensor::from_slice(&d_q))
                .abs()
                .sum(Kind::Float);
            assert!(difference.double_value(&[]) < 1e-6);
        }
    }

    #[test]
    fn dueling_subtracts_the_mean_advantage() {
        let mut q = Vec::new();
        dueling(&[10.0, 1.0, 2.0, 6.0], 3, 1, &mut q);
        assert_eq!(q, [8.0, 9.0, 13.0]);
        // Values 10 and 20; advantages 1, 3 of the first atom and 5, 5 of the second.
        dueling(&[10.0, 20.0, 1.0, 5.0, 3.0, 5.0], 2, 2, &mut q);
        assert_eq!(q, [9.0, 20.0, 11.0, 20.0]);
    }

    #[test]
    fn dueling_gradient_is_the_transpose_of_dueling() {
        // Both are linear: d_q · dueling(x) = dueling_gradient(d_q) · x for all x, so for the unit vectors.
        let d_q = [0.5, -2.0, 3.0, 1.5, 0.25, -1.0];
        for (actions, atoms) in [(6, 1), (3, 2), (2, 3)] {
            let mut gradient = Vec::new();
            dueling_gradient(&d_q, actions, atoms, &mut gradient);
            for i in 0..(1 + actions) * atoms {
                let mut x = vec![0.0; (1 + actions) * atoms];
                x[i] = 1.0;
                let mut q = Vec::new();
                dueling(&x, actions, atoms, &mut q);
                let expected: f32 = q.iter().zip(d_q).map(|(q, d)| q * d).sum();
                // Roundings of sixths.
                assert!((gradient[i] - expected).abs() < 1e-6);
            }
        }
    }
}
