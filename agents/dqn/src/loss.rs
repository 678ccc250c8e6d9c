//! Targets, losses and their gradients, as pure functions on slices.
//!
//! Rows lie one after another; `[batch, actions]` is `batch * actions` numbers. The functions work on the
//! processor whatever device the network is on: a batch has a few hundred numbers, and a sum in a fixed
//! order gives the same bits in every run.

use serde::{Deserialize, Serialize};

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

/// Writes into `v_next` `[batch]` what the target network thinks of the next state if the action is chosen
/// by `selector`: `q_target[argmax selector]`, both `[batch, actions]`.
///
/// # Reference
/// With `selector = q_target`: Mnih et al., "Human-level control through deep reinforcement learning" (2015),
/// algorithm 1. With the online network's values: van Hasselt, Guez and Silver, "Deep Reinforcement Learning
/// with Double Q-learning" (2016), equation 4. Deviations: none.
///
/// # Panics
/// If the shapes do not fit.
pub fn next_values(q_target: &[f32], selector: &[f32], actions: usize, v_next: &mut [f32]) {
    assert_eq!(q_target.len(), v_next.len() * actions, "target values");
    assert_eq!(selector.len(), q_target.len(), "selecting values");
    let rows = q_target
        .chunks_exact(actions)
        .zip(selector.chunks_exact(actions));
    for (v, (target, selector)) in v_next.iter_mut().zip(rows) {
        *v = target[argmax(selector)];
    }
}

/// Turns `v_next` `[batch]` into targets `r_t + discount_t * v_next`. A discount of 0 means that the task
/// ended the episode, so no loss needs to know why.
///
/// # Panics
/// If the shapes do not fit.
pub fn td_targets(r_t: &[f32], discount_t: &[f32], v_next: &mut [f32]) {
    assert_eq!(r_t.len(), v_next.len(), "rewards");
    assert_eq!(discount_t.len(), v_next.len(), "discounts");
    for ((v, r), discount) in v_next.iter_mut().zip(r_t).zip(discount_t) {
        // A target network gone wild must not turn a known end into NaN.
        *v = if *discount == 0.0 {
            *r
        } else {
            r + discount * *v
        };
    }
}

/// The mean over the batch of `weight * loss(q[action] - target)`, returned; its gradient with respect to
/// `q` goes to `d_q` `[batch, actions]`, and `|q[action] - target|` to `td_abs` `[batch]`.
///
/// # Panics
/// If the shapes do not fit, or an action is out of range.
pub fn td_loss(
    loss: Loss,
    q: &[f32],
    a_t: &[i32],
    targets: &[f32],
    weights: &[f32],
    d_q: &mut Vec<f32>,
    td_abs: &mut Vec<f32>,
) -> f32 {
    let batch = targets.len();
    assert!(batch > 0 && q.len().is_multiple_of(batch), "Q-values");
    assert_eq!(
        (a_t.len(), weights.len()),
        (batch, batch),
        "actions and weights"
    );
    d_q.clear();
    d_q.resize(q.len(), 0.0);
    td_abs.clear();
    let rows = q
        .chunks_exact(q.len() / batch)
        .zip(d_q.chunks_exact_mut(q.len() / batch));
    let mut sum = 0.0;
    for ((((q, d_q), &a), target), weight) in rows.zip(a_t).zip(targets).zip(weights) {
        let td_error = q[a as usize] - target;
        let (value, slope) = loss.at(td_error);
        sum += weight * value;
        d_q[a as usize] = weight * slope / batch as f32;
        td_abs.push(td_error.abs());
    }
    sum / batch as f32
}

/// Joins the streams of a dueling network: `outputs` `[batch, 1 + actions]`, the state's value and then the
/// advantages, to `q` `[batch, actions]`: `v + a - mean(a)`.
///
/// # Reference
/// Wang et al., "Dueling Network Architectures for Deep Reinforcement Learning" (2016), equation 9.
/// Deviations: the streams share all layers but the last.
pub fn dueling(outputs: &[f32], actions: usize, q: &mut Vec<f32>) {
    q.clear();
    for row in outputs.chunks_exact(1 + actions) {
        let (value, advantages) = (row[0], &row[1..]);
        let mean = advantages.iter().sum::<f32>() / actions as f32;
        q.extend(advantages.iter().map(|a| value + a - mean));
    }
}

/// The gradient with respect to the outputs that [`dueling`] joined, given that of the Q-values.
pub fn dueling_gradient(d_q: &[f32], actions: usize, d_outputs: &mut Vec<f32>) {
    d_outputs.clear();
    for row in d_q.chunks_exact(actions) {
        let sum = row.iter().sum::<f32>();
        d_outputs.push(sum);
        d_outputs.extend(row.iter().map(|d| d - sum / actions as f32));
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
        let mut v = [0.0; 2];
        next_values(&Q_TARGET, &Q_TARGET, 2, &mut v);
        assert_eq!(v, [2.0, 5.0]);
        next_values(&Q_TARGET, &Q_ONLINE, 2, &mut v);
        assert_eq!(v, [1.0, 5.0]);
    }

    #[test]
    fn terminated_transition_does_not_bootstrap_but_truncated_does() {
        let mut v = [2.0, 5.0, f32::NAN];
        td_targets(&[0.5, 1.0, 3.0], &[0.9, 0.99, 0.0], &mut v);
        assert_eq!(v, [0.5 + 0.9 * 2.0, 1.0 + 0.99 * 5.0, 3.0]);
    }

    /// One row of three actions a transition; the actions are 0 and 2.
    const Q: [f32; 6] = [1.0, 7.0, 7.0, 7.0, 7.0, -2.0];

    #[test]
    fn mse_and_its_gradient_are_the_hand_computed_ones() {
        // TD errors 1 - 0.5 = 0.5 and -2 - 1 = -3; losses 0.25 and 9, weighted 1 and 0.5, over 2.
        let (mut d_q, mut td_abs) = (Vec::new(), Vec::new());
        let loss = td_loss(
            Loss::Mse,
            &Q,
            &[0, 2],
            &[0.5, 1.0],
            &[1.0, 0.5],
            &mut d_q,
            &mut td_abs,
        );
        assert_eq!(loss, (0.25 + 4.5) / 2.0);
        assert_eq!(d_q, [0.5, 0.0, 0.0, 0.0, 0.0, -1.5]);
        assert_eq!(td_abs, [0.5, 3.0]);
    }

    #[test]
    fn huber_and_its_gradient_are_the_hand_computed_ones() {
        // Losses 0.125 and 3 - 0.5 = 2.5; slopes 0.5 and -1.
        let (mut d_q, mut td_abs) = (Vec::new(), Vec::new());
        let loss = td_loss(
            Loss::Huber,
            &Q,
            &[0, 2],
            &[0.5, 1.0],
            &[1.0, 0.5],
            &mut d_q,
            &mut td_abs,
        );
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
                &[0, 2],
                &targets,
                &[1.0, 1.0],
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
        dueling(&[10.0, 1.0, 2.0, 6.0], 3, &mut q);
        assert_eq!(q, [8.0, 9.0, 13.0]);
    }

    #[test]
    fn dueling_gradient_is_the_transpose_of_dueling() {
        // Both are linear: d_q · dueling(x) = dueling_gradient(d_q) · x for all x, so for the unit vectors.
        let d_q = [0.5, -2.0, 3.0];
        let mut gradient = Vec::new();
        dueling_gradient(&d_q, 3, &mut gradient);
        for i in 0..4 {
            let mut x = [0.0; 4];
            x[i] = 1.0;
            let mut q = Vec::new();
            dueling(&x, 3, &mut q);
            let expected: f32 = q.iter().zip(d_q).map(|(q, d)| q * d).sum();
            assert!(
                (gradient[i] - expected).abs() < 1e-6,
                "one rounding of a third"
            );
        }
    }
}
