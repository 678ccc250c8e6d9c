//! Scores of predicted probabilities.

use super::{Mean, counted};

/// Share of samples whose true class has one of the `k` highest scores.
///
/// `scores` are `[samples, classes]`, in any unit; of equal ones the first comes first, as for an argmax.
///
/// # Panics
/// If there are not `classes` scores for each sample, or a true class is not in `0..classes`.
///
/// # Examples
/// ```
/// use thorndike_data::score::top_k_accuracy;
/// let scores = [0.5, 0.3, 0.2, 0.1, 0.2, 0.7];
/// assert_eq!(top_k_accuracy(&[1, 2], &scores, 3, 1), 0.5);
/// assert_eq!(top_k_accuracy(&[1, 2], &scores, 3, 2), 1.0);
/// ```
///
/// # Reference
/// scikit-learn's `top_k_accuracy_score`.
/// Deviations: of equal scores, it puts the last first.
pub fn top_k_accuracy(truth: &[i32], scores: &[f64], classes: usize, k: usize) -> f64 {
    let hits = counted(truth, scores, classes).map(|(class, row)| {
        let own = row[class];
        let before = row[..class].iter().filter(|&&score| score >= own).count();
        let after = row[class..].iter().filter(|&&score| score > own).count();
        f64::from(u8::from(before + after < k))
    });
    hits.collect::<Mean>().value()
}

/// Mean negative logarithm of the probability of the true class, in nats.
///
/// `probabilities` are `[samples, classes]`. Those nearer to 0 or 1 than 2⁻⁵² count as that near, so that the loss is
/// finite.
///
/// # Panics
/// If there are not `classes` probabilities for each sample, or a true class is not in `0..classes`.
///
/// # Reference
/// scikit-learn's `log_loss`, for `f64`. Deviations: none.
pub fn log_loss(truth: &[i32], probabilities: &[f64], classes: usize) -> f64 {
    let losses = counted(truth, probabilities, classes)
        .map(|(class, row)| -row[class].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln());
    losses.collect::<Mean>().value()
}

/// The number of equally likely classes that would be as hard to guess: the exponential of a log loss in nats.
///
/// # Examples
/// ```
/// use thorndike_data::score::{log_loss, perplexity};
/// let loss = log_loss(&[2], &[0.25; 4], 4);
/// assert_eq!(perplexity(loss), 4.0);
/// ```
pub fn perplexity(log_loss: f64) -> f64 {
    log_loss.exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IGNORED;

    #[test]
    fn of_equal_scores_the_first_is_taken() {
        let scores = [0.4, 0.4, 0.2];
        assert_eq!(top_k_accuracy(&[0], &scores, 3, 1), 1.0);
        assert_eq!(top_k_accuracy(&[1], &scores, 3, 1), 0.0);
        assert_eq!(top_k_accuracy(&[1], &scores, 3, 2), 1.0);
    }

    #[test]
    fn ignored_positions_lose_nothing() {
        let probabilities = [0.5, 0.5, 0.0, 1.0];
        let loss = log_loss(&[0, IGNORED], &probabilities, 2);
        assert_eq!(loss, 2_f64.ln());
        assert!(log_loss(&[IGNORED], &[0.0, 1.0], 2).is_nan());
    }
}
