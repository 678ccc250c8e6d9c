//! Scores of rankings.

use super::{Mean, counted};

/// Area under the ROC curve: the probability that a positive sample is scored higher than a negative one, ties counted
/// half. NaN without samples of both kinds, or with a score that is NaN.
///
/// # Panics
/// If there are not as many scores as samples.
///
/// # Examples
/// ```
/// use thorndike_data::score::roc_auc;
/// // Of four pairs three are in order and one is tied.
/// assert_eq!(roc_auc(&[false, false, true, true], &[0.1, 0.4, 0.4, 0.8]), 3.5 / 4.0);
/// ```
///
/// # Reference
/// Hanley, McNeil, *The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC) Curve*, 1982: the
/// Mann-Whitney statistic over the number of pairs, by ranks. Deviations: none.
pub fn roc_auc(positive: &[bool], scores: &[f64]) -> f64 {
    assert_eq!(positive.len(), scores.len(), "scores of all samples");
    if scores.iter().any(|score| score.is_nan()) {
        return f64::NAN;
    }
    let mut order: Vec<(f64, bool)> = scores
        .iter()
        .copied()
        .zip(positive.iter().copied())
        .collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut pairs, mut negatives, mut positives) = (0.0, 0.0, 0.0);
    // 0 and -0 are equal, and neighbours in a total order.
    for tied in order.chunk_by(|a, b| a.0 == b.0) {
        let higher = tied.iter().filter(|(_, positive)| *positive).count() as f64;
        let lower = tied.len() as f64 - higher;
        pairs += higher * (negatives + lower / 2.0);
        negatives += lower;
        positives += higher;
    }
    pairs / (negatives * positives)
}

/// Mean area under the ROC curve of each class against all others. Classes that never or always occur are left out; NaN
/// if all are.
///
/// `scores` are `[samples, classes]`.
///
/// # Panics
/// If there are not `classes` scores for each sample.
///
/// # Reference
/// scikit-learn's `roc_auc_score` with `multi_class="ovr"`, `average="macro"`.
/// Deviations: it refuses classes that never occur.
pub fn roc_auc_ovr(truth: &[i32], scores: &[f64], classes: usize) -> f64 {
    let areas = (0..classes).map(|class| {
        let (positive, of_class): (Vec<bool>, Vec<f64>) = counted(truth, scores, classes)
            .map(|(truth, row)| (truth == class, row[class]))
            .unzip();
        let one_kind = positive.windows(2).all(|pair| pair[0] == pair[1]);
        (!one_kind).then(|| roc_auc(&positive, &of_class))
    });
    areas.flatten().collect::<Mean>().value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_all_that_counts() {
        let truth = [false, true, false, true];
        assert_eq!(roc_auc(&truth, &[1.0, 2.0, 3.0, 1e9]), 0.75);
        assert_eq!(roc_auc(&truth, &[-9.0, f64::NEG_INFINITY, -8.0, 0.0]), 0.5);
        assert_eq!(roc_auc(&truth, &[0.0, -0.0, 0.0, -0.0]), 0.5);
    }

    #[test]
    fn one_kind_alone_has_no_area() {
        assert!(roc_auc(&[true, true], &[0.0, 1.0]).is_nan());
        assert!(roc_auc(&[], &[]).is_nan());
        assert!(roc_auc_ovr(&[1, 1], &[0.0, 1.0, 0.5, 0.5], 2).is_nan());
        assert!(roc_auc(&[true, false], &[f64::NAN, 1.0]).is_nan());
    }
}
