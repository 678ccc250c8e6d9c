//! Drawing the next token of a language model.

use thorndike_core::Rng;
use thorndike_core::rand::RngExt;

/// The index of a token, drawn with the probabilities `softmax(logits / temperature)` of the `top_k` highest logits, of
/// all if `top_k` is 0.
///
/// A temperature of 0 takes the highest logit and draws nothing. Of equal logits the first ones are the higher.
///
/// ```
/// use thorndike_core::Seeds;
/// use thorndike_nets::sample_next;
///
/// let mut rng = Seeds::new(1).stream("text", 0);
/// assert_eq!(sample_next(&[0.1, 2.0, -1.0], 0.0, 0, &mut rng), 1);
/// assert_ne!(sample_next(&[0.1, 2.0, -1.0], 1.0, 2, &mut rng), 2);
/// ```
///
/// # Panics
/// If there are no logits, one is not a number, the highest is infinite, or the temperature is negative or no number.
///
/// # Reference
/// Ackley, Hinton and Sejnowski, "A Learning Algorithm for Boltzmann Machines" (1985), for the temperature; Fan, Lewis
/// and Dauphin, "Hierarchical Neural Story Generation" (2018), section 5.4, for the highest k. Deviations: none.
pub fn sample_next(logits: &[f32], temperature: f64, top_k: usize, rng: &mut Rng) -> usize {
    assert!(temperature >= 0.0, "a temperature of {temperature}");
    let highest = logits.iter().copied().max_by(f32::total_cmp);
    let highest = highest.expect("no logits to draw from");
    let numbers = highest.is_finite() && !logits.iter().any(|x| x.is_nan());
    assert!(
        numbers,
        "the logits are no numbers; has the model diverged?"
    );
    if temperature == 0.0 {
        return logits
            .iter()
            .position(|&x| x == highest)
            .expect("it is one of them");
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    if (1..logits.len()).contains(&top_k) {
        // Stable: equal logits stay in their order.
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        order.truncate(top_k);
    }
    // No exponent is above 0, and one is 0: the sum neither overflows nor vanishes.
    let weight = |&i: &usize| (f64::from(logits[i] - highest) / temperature).exp();
    let weights: Vec<f64> = order.iter().map(weight).collect();
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (&i, weight) in order.iter().zip(&weights) {
        if left < *weight {
            return i;
        }
        left -= weight;
    }
    // Rounding left a little over: the last token that can be drawn.
    let possible = weights.iter().rposition(|&weight| weight > 0.0);
    order[possible.expect("the highest logit has a weight of 1")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;

    /// Shares of each token in 20,000 draws.
    fn shares(logits: &[f32], temperature: f64, top_k: usize) -> Vec<f64> {
        let mut rng = Seeds::new(1).stream("test", 0);
        let mut counts = vec![0; logits.len()];
        for _ in 0..20_000 {
            counts[sample_next(logits, temperature, top_k, &mut rng)] += 1;
        }
        counts
            .into_iter()
            .map(|n| f64::from(n) / 20_000.0)
            .collect()
    }

    fn assert_shares(found: &[f64], expected: &[f64]) {
        for (found, expected) in found.iter().zip(expected) {
            // Four deviations of a share of a half.
            assert!((found - expected).abs() < 0.0142, "{found} {expected}");
            assert_eq!(*found == 0.0, *expected == 0.0);
        }
    }

    /// Logits whose probabilities are 1/2, 1/8 and 3/8; they are far from 0, where `exp` of one would be infinite.
    fn logits() -> [f32; 3] {
        [4.0_f32, 1.0, 3.0].map(|x| 1000.0 + x.ln())
    }

    #[test]
    fn tokens_come_as_often_as_the_softmax_says() {
        assert_shares(&shares(&logits(), 1.0, 0), &[0.5, 0.125, 0.375]);
        // Squared: 16, 1 and 9 of 26.
        let squared = [16.0 / 26.0, 1.0 / 26.0, 9.0 / 26.0];
        assert_shares(&shares(&logits(), 0.5, 0), &squared);
        assert_shares(&shares(&[f32::NEG_INFINITY, 0.0], 1.0, 0), &[0.0, 1.0]);
    }

    #[test]
    fn only_the_highest_are_drawn() {
        let two = [4.0 / 7.0, 0.0, 3.0 / 7.0];
        assert_shares(&shares(&logits(), 1.0, 2), &two);
        assert_shares(&shares(&logits(), 1.0, 1), &[1.0, 0.0, 0.0]);
        assert_shares(&shares(&logits(), 1.0, 9), &[0.5, 0.125, 0.375]);
        assert_shares(
            &shares(&[1.0, 2.0, 1.0, 1.0], 1e9, 3),
            &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0],
        );
    }

    #[test]
    fn a_temperature_of_zero_takes_the_first_highest_and_draws_nothing() {
        let mut rng = Seeds::new(1).stream("test", 0);
        let untouched = rng.clone();
        assert_eq!(sample_next(&[1.0, 3.0, 3.0, 2.0], 0.0, 0, &mut rng), 1);
        assert_eq!(rng, untouched);
    }

    #[test]
    fn draws_do_not_change() {
        let mut rng = Seeds::new(1).stream("test", 0);
        let drawn: Vec<usize> = (0..12)
            .map(|_| sample_next(&logits(), 1.0, 0, &mut rng))
            .collect();
        assert_eq!(drawn, [0, 2, 0, 2, 0, 1, 1, 0, 0, 2, 2, 0]);
    }

    #[test]
    #[should_panic(expected = "the logits are no numbers")]
    fn a_broken_model_is_noticed() {
        let mut rng = Seeds::new(1).stream("test", 0);
        let _ = sample_next(&[1.0, f32::NAN], 1.0, 0, &mut rng);
    }
}
