//! Distributions of the return on fixed atoms (C51).
//!
//! # Reference
//! Bellemare, Dabney and Munos, "A Distributional Perspective on Reinforcement Learning" (2017), sections 4.1 and
//! 4.2, algorithm 1. Deviations: the loss is the Kullback-Leibler divergence and not the cross-entropy; the two differ
//! by a number that the network cannot change, so that gradients are equal.

use super::{Sample, weighted_rows};

/// Evenly spaced atoms from `v_min` to `v_max`, two or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Support {
    /// First atom, undiscounted reward units.
    pub v_min: f32,
    /// Last atom.
    pub v_max: f32,
    /// Number of atoms.
    pub atoms: usize,
}

impl Support {
    /// Distance of neighbouring atoms.
    pub fn spacing(&self) -> f32 {
        (self.v_max - self.v_min) / (self.atoms - 1) as f32
    }

    /// The atoms in ascending order.
    pub fn values(&self) -> impl Iterator<Item = f32> {
        let (first, spacing) = (self.v_min, self.spacing());
        (0..self.atoms).map(move |i| first + spacing * i as f32)
    }
}

/// Writes `softmax(logits)` into `out`, of the same length.
fn softmax(logits: &[f32], out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (p, logit) in out.iter_mut().zip(logits) {
        *p = (logit - max).exp();
        sum += *p;
    }
    out.iter_mut().for_each(|p| *p /= sum);
}

/// Expected returns: `logits` `[.., atoms]` to `q` `[..]`.
pub fn categorical_means(logits: &[f32], support: Support, q: &mut Vec<f32>) {
    q.clear();
    for row in logits.chunks_exact(support.atoms) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut total, mut mean) = (0.0, 0.0);
        for (logit, atom) in row.iter().zip(support.values()) {
            let p = (logit - max).exp();
            total += p;
            mean += p * atom;
        }
        q.push(mean / total);
    }
}

/// Turns the next states' `logits` `[batch, atoms]` into the distributions `[batch, atoms]` of
/// `r_t + discount_t * Z`, projected onto the atoms. What falls outside the atoms counts at the nearest end. A discount
/// of 0 means that the task ended the episode.
///
/// # Panics
/// If the shapes do not fit.
pub fn categorical_targets(r_t: &[f32], discount_t: &[f32], support: Support, logits: &mut [f32]) {
    let atoms = support.atoms;
    assert_eq!(logits.len(), r_t.len() * atoms, "distributions");
    assert_eq!(discount_t.len(), r_t.len(), "discounts");
    let mut next = vec![0.0; atoms];
    for ((row, r), discount) in logits.chunks_exact_mut(atoms).zip(r_t).zip(discount_t) {
        softmax(row, &mut next);
        row.fill(0.0);
        let mut put = |value: f32, mass: f32| {
            let place = (value - support.v_min) / support.spacing();
            let place = place.clamp(0.0, (atoms - 1) as f32);
            let below = place as usize;
            let share = place - below as f32;
            row[below] += mass * (1.0 - share);
            if share > 0.0 {
                row[below + 1] += mass * share;
            }
        };
        if *discount == 0.0 {
            // A target network gone wild must not turn a known end into NaN.
            put(*r, 1.0);
            continue;
        }
        for (atom, mass) in support.values().zip(&next) {
            put(r + discount * atom, *mass);
        }
    }
}

/// The mean over the batch of `weight * KL(target, softmax(logits[action]))`, returned; its gradient with respect to
/// `logits` `[batch, actions, atoms]` goes to `d_logits`, and the divergences, which Rainbow takes as priorities, to
/// `divergences` `[batch]`. `targets` is `[batch, atoms]`.
///
/// # Panics
/// If the shapes do not fit, or an action is out of range.
pub fn categorical_loss(
    logits: &[f32],
    targets: &[f32],
    sample: Sample<'_>,
    d_logits: &mut Vec<f32>,
    divergences: &mut Vec<f32>,
) -> f32 {
    let batch = sample.actions.len();
    assert!(targets.len().is_multiple_of(batch), "target distributions");
    let atoms = targets.len() / batch;
    let mut sum = 0.0;
    divergences.clear();
    let rows = weighted_rows(logits, atoms, sample, d_logits).zip(targets.chunks_exact(atoms));
    for ((logits, d_logits, weight), target) in rows {
        softmax(logits, d_logits);
        let mut divergence = 0.0;
        for (d, &target) in d_logits.iter_mut().zip(target) {
            // The limit of x ln x is 0; the smallest number keeps a vanished probability finite.
            if target > 0.0 {
                divergence += target * (target.ln() - d.max(f32::MIN_POSITIVE).ln());
            }
            // The derivative of the cross-entropy: softmax - target.
            *d = weight * (*d - target) / batch as f32;
        }
        sum += weight * divergence;
        divergences.push(divergence.max(0.0));
    }
    sum / batch as f32
}

#[cfg(test)]
mod tests {
    use super::super::tests::gradient_is_that_of;
    use super::*;

    const SUPPORT: Support = Support {
        v_min: -1.0,
        v_max: 1.0,
        atoms: 5,
    };

    #[test]
    fn means_weigh_atoms_by_their_probability() {
        // Probabilities 1/4, 0, 0, 0, 3/4 and all 1/5.
        let low = f32::NEG_INFINITY;
        let logits = [0.0, low, low, low, 3_f32.ln(), 7.0, 7.0, 7.0, 7.0, 7.0];
        let mut q = Vec::new();
        categorical_means(&logits, SUPPORT, &mut q);
        assert!((q[0] - 0.5).abs() < 1e-6 && q[1].abs() < 1e-6, "{q:?}");
    }

    #[test]
    fn targets_are_the_hand_computed_projection() {
        let low = f32::NEG_INFINITY;
        // All mass on the atom 1, for rewards that move it: to 0.1 + 0.5 = 0.6, beyond the end, to the end of an episode
        // at -0.25 whatever the network says.
        let certain = [low, low, low, low, 0.0];
        let mut rows = [certain, certain, [f32::NAN; 5]].concat();
        categorical_targets(&[0.1, 5.0, -0.25], &[0.5, 1.0, 0.0], SUPPORT, &mut rows);
        let expected = [
            [0.0, 0.0, 0.0, 0.8, 0.2],
            [0.0, 0.0, 0.0, 0.0, 1.0],
            [0.0, 0.5, 0.5, 0.0, 0.0],
        ];
        for (found, expected) in rows.iter().zip(expected.as_flattened()) {
            assert!((found - expected).abs() < 1e-6, "{rows:?}");
        }
    }

    #[test]
    fn projection_keeps_mass_and_the_mean_inside_the_support() {
        let mut rows: Vec<f32> = (0..5).map(|i| (i as f32 * 1.7).sin()).collect();
        let mut mean = Vec::new();
        categorical_means(&rows, SUPPORT, &mut mean);
        categorical_targets(&[0.05], &[0.9], SUPPORT, &mut rows);
        assert!((rows.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let projected: f32 = rows.iter().zip(SUPPORT.values()).map(|(p, z)| p * z).sum();
        assert!((projected - (0.05 + 0.9 * mean[0])).abs() < 1e-6);
    }

    #[test]
    fn loss_is_the_divergence_and_vanishes_at_the_target() {
        // Two actions of two atoms; the second transition's logits are those of its target.
        let logits = [0.0, 0.0, 9.0, 9.0, 9.0, 9.0, 0.0, 3_f32.ln()];
        let targets = [1.0, 0.0, 0.25, 0.75];
        let (actions, weights) = ([0, 1], [0.5, 2.0]);
        let sample = Sample {
            actions: &actions,
            weights: &weights,
        };
        let (mut d, mut kl) = (Vec::new(), Vec::new());
        let loss = categorical_loss(&logits, &targets, sample, &mut d, &mut kl);
        // ln 2 for a fair coin that should have been certain.
        let expected = 2_f32.ln();
        assert!((kl[0] - expected).abs() < 1e-6 && kl[1] < 1e-6, "{kl:?}");
        assert!((loss - 0.5 * expected / 2.0).abs() < 1e-6, "{loss}");
        let gradient = [-0.125, 0.125, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert!(
            d.iter().zip(gradient).all(|(d, g)| (d - g).abs() < 1e-6),
            "{d:?}"
        );
    }

    #[test]
    fn gradient_equals_finite_differences() {
        let logits: Vec<f32> = (0..12).map(|i| (i as f32 * 1.3).cos()).collect();
        let targets = [0.2, 0.5, 0.3, 0.0, 0.9, 0.1];
        gradient_is_that_of(&logits, |logits, d| {
            let sample = Sample {
                actions: &[1, 0],
                weights: &[1.0, 0.3],
            };
            categorical_loss(logits, &targets, sample, d, &mut Vec::new())
        });
    }
}
