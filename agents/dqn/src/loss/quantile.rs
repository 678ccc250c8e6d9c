//! Distributions of the return by their quantiles (QR-DQN, IQN).
//!
//! # Reference
//! Dabney, Rowland, Bellemare and Munos, "Distributional Reinforcement Learning with Quantile Regression" (2018),
//! equations 9 and 10; Dabney, Ostrovski, Silver and Munos, "Implicit Quantile Networks for Distributional
//! Reinforcement Learning" (2018), equations 2 and 3, whose loss is that of the former divided by `kappa`. Deviations:
//! `kappa = 0` is not divided by.

use super::{Sample, weighted_rows};

/// Fractions at which quantiles are told: `[each]` for all rows of a batch, or `[batch, each]`.
#[derive(Clone, Copy, Debug)]
pub struct Fractions<'a> {
    /// From 0 to 1.
    pub values: &'a [f32],
    /// Number of fractions a row.
    pub each: usize,
}

impl<'a> Fractions<'a> {
    /// The same for all rows.
    pub fn of_all(values: &'a [f32]) -> Self {
        let each = values.len();
        Self { values, each }
    }

    /// Some for each of `rows` rows.
    pub fn of_each(values: &'a [f32], rows: usize) -> Self {
        let each = values.len() / rows;
        Self { values, each }
    }
}

/// The middles of `n` equal parts of 0 to 1.
pub fn midpoints(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 + 0.5) / n as f32).collect()
}

/// Expected returns: quantiles `[.., n]` to their means `q` `[..]`.
pub fn quantile_means(quantiles: &[f32], n: usize, q: &mut Vec<f32>) {
    q.clear();
    let rows = quantiles.chunks_exact(n);
    q.extend(rows.map(|row| row.iter().sum::<f32>() / n as f32));
}

/// The mean over the batch of `weight * sum_i mean_j rho_i(target_j - quantile_i)`, returned, where `i` runs over the
/// quantiles of the action taken and `rho_i(u) = |tau_i - [u < 0]| * huber_kappa(u) / kappa`. Its gradient with respect
/// to `quantiles` `[batch, actions, n]` goes to `d_quantiles`, and the difference of the means of quantiles and
/// targets, a TD error, to `td_abs` `[batch]`.
///
/// `n` is `fractions.each`, and `tau` are the fractions; `targets` is `[batch, any number]`.
///
/// # Panics
/// If the shapes do not fit, or an action is out of range.
pub fn quantile_loss(
    quantiles: &[f32],
    fractions: Fractions<'_>,
    targets: &[f32],
    kappa: f32,
    sample: Sample<'_>,
    d_quantiles: &mut Vec<f32>,
    td_abs: &mut Vec<f32>,
) -> f32 {
    let batch = sample.actions.len();
    let Fractions { values: taus, each } = fractions;
    assert!([each, batch * each].contains(&taus.len()), "fractions");
    assert!(targets.len().is_multiple_of(batch), "targets");
    let m = targets.len() / batch;
    td_abs.clear();
    let mut sum = 0.0;
    let rows = weighted_rows(quantiles, each, sample, d_quantiles)
        .zip(targets.chunks_exact(m))
        .zip(taus.chunks_exact(each).cycle());
    for (((quantiles, d_quantiles, weight), targets), taus) in rows {
        let mut loss = 0.0;
        for ((quantile, d), tau) in quantiles.iter().zip(d_quantiles).zip(taus) {
            let mut slopes = 0.0;
            for target in targets {
                let u = target - quantile;
                let side = if u < 0.0 { 1.0 - tau } else { *tau };
                let (value, slope) = huber(u, kappa);
                loss += side * value / m as f32;
                slopes += side * slope;
            }
            // A quantile that rises lowers u.
            *d = -weight * slopes / (m * batch) as f32;
        }
        sum += weight * loss;
        let means = [quantiles, targets].map(|row| row.iter().sum::<f32>() / row.len() as f32);
        td_abs.push((means[1] - means[0]).abs());
    }
    sum / batch as f32
}

/// `huber_kappa(u) / kappa`, or `|u|` for `kappa = 0`, and its slope.
#[inline]
fn huber(u: f32, kappa: f32) -> (f32, f32) {
    if u.abs() <= kappa && kappa > 0.0 {
        (0.5 * u * u / kappa, u / kappa)
    } else {
        (
            u.abs() - 0.5 * kappa,
            if u == 0.0 { 0.0 } else { u.signum() },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::gradient_is_that_of;
    use super::*;

    #[test]
    fn midpoints_are_the_middles_of_equal_parts() {
        assert_eq!(midpoints(2), [0.25, 0.75]);
    }

    #[test]
    fn loss_and_gradient_are_the_hand_computed_ones() {
        // Quantiles 0 and 2 at fractions 0.25 and 0.75 of action 1; targets 0.5 and 4; kappa 1.
        let quantiles = [9.0, 9.0, 0.0, 2.0];
        let sample = Sample {
            actions: &[1],
            weights: &[2.0],
        };
        let (mut d, mut td) = (Vec::new(), Vec::new());
        let taus = midpoints(2);
        let loss = quantile_loss(
            &quantiles,
            Fractions::of_all(&taus),
            &[0.5, 4.0],
            1.0,
            sample,
            &mut d,
            &mut td,
        );
        // u = 0.5, 4: 0.25 * (0.125 + 3.5); u = -1.5, 2: 0.25 * 1.0 + 0.75 * 1.5; each over two targets.
        let expected = (0.25 * 3.625 + 0.25 * 1.0 + 0.75 * 1.5) / 2.0;
        assert!((loss - 2.0 * expected).abs() < 1e-6, "{loss}");
        // Slopes 0.25 * (0.5 + 1) and 0.25 * -1 + 0.75 * 1.
        let gradient = [0.0, 0.0, -2.0 * 0.375 / 2.0, -2.0 * 0.5 / 2.0];
        assert!(
            d.iter().zip(gradient).all(|(d, g)| (d - g).abs() < 1e-6),
            "{d:?}"
        );
        assert!((td[0] - 1.25).abs() < 1e-6, "means 2.25 and 1");
    }

    #[test]
    fn fractions_may_differ_from_row_to_row() {
        let loss = |values: &[f32]| {
            let fractions = Fractions { values, each: 1 };
            let sample = Sample {
                actions: &[0, 0],
                weights: &[1.0, 1.0],
            };
            quantile_loss(
                &[0.0, 0.0],
                fractions,
                &[1.0, 1.0],
                0.0,
                sample,
                &mut Vec::new(),
                &mut Vec::new(),
            )
        };
        // |u| = 1 above each quantile: its fraction.
        assert_eq!(loss(&[0.5]), 0.5);
        assert_eq!(loss(&[0.25, 0.5]), 0.375);
    }

    #[test]
    fn gradient_equals_finite_differences() {
        let quantiles: Vec<f32> = (0..12).map(|i| (i as f32 * 1.3).cos()).collect();
        let targets = [0.3, -2.0, 0.7, 0.1];
        gradient_is_that_of(&quantiles, |quantiles, d| {
            let sample = Sample {
                actions: &[1, 0],
                weights: &[1.0, 0.3],
            };
            quantile_loss(
                quantiles,
                Fractions::of_all(&midpoints(3)),
                &targets,
                1.0,
                sample,
                d,
                &mut Vec::new(),
            )
        });
    }

    #[test]
    fn descent_finds_the_quantiles_of_a_sample() {
        // Targets 1, 2, .., 100: quantiles at the fractions of 100 points.
        let targets: Vec<f32> = (1..=100).map(|i| i as f32).collect();
        let (mut quantiles, mut d) = (vec![50.0; 4], Vec::new());
        for _ in 0..4000 {
            let sample = Sample {
                actions: &[0],
                weights: &[1.0],
            };
            quantile_loss(
                &quantiles,
                Fractions::of_all(&midpoints(4)),
                &targets,
                0.0,
                sample,
                &mut d,
                &mut Vec::new(),
            );
            quantiles
                .iter_mut()
                .zip(&d)
                .for_each(|(q, d)| *q -= 0.2 * d);
        }
        for (quantile, expected) in quantiles.iter().zip([12.5, 37.5, 62.5, 87.5]) {
            assert!((quantile - expected).abs() <= 1.0, "{quantiles:?}");
        }
    }
}
