//! Whether probabilities mean what they say.

use serde::{Deserialize, Serialize};

use super::counted;

/// Predictions sorted into bins by their confidence, the probability of the predicted class.
///
/// Of `n` bins of equal width, bin `i` holds confidences above `i / n` up to and with `(i + 1) / n`.
///
/// # Examples
/// ```
/// use thorndike_data::score::Calibration;
/// // Sure to 90 % and always right.
/// let calibration = Calibration::of(10, &[0, 1], &[0.9, 0.1, 0.1, 0.9], 2);
/// assert!((calibration.error() - 0.1).abs() < 1e-12);
/// ```
///
/// # Reference
/// Guo, Pleiss, Sun, Weinberger, *On Calibration of Modern Neural Networks*, 2017, section 2, equations 2 and 3 (15
/// bins in their tables). Deviations: none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    bins: Vec<CalibrationBin>,
}

/// Predictions of about the same confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// How many.
    pub count: u64,
    /// How many of them are right.
    pub correct: u64,
    /// Sum of their confidences.
    pub confidence: f64,
}

impl CalibrationBin {
    /// How much more sure than right they are, on average; negative if they are less sure. NaN of an empty bin.
    pub fn gap(&self) -> f64 {
        (self.confidence - self.correct as f64) / self.count as f64
    }
}

impl Calibration {
    /// Nothing counted yet.
    ///
    /// # Panics
    /// If there is no bin.
    pub fn new(bins: usize) -> Self {
        assert!(bins > 0, "calibration has bins");
        Self {
            bins: vec![CalibrationBin::default(); bins],
        }
    }

    /// Of these predictions; see [`add`](Self::add).
    pub fn of(bins: usize, truth: &[i32], probabilities: &[f64], classes: usize) -> Self {
        let mut calibration = Self::new(bins);
        calibration.add(truth, probabilities, classes);
        calibration
    }

    /// Counts predictions: of each row of `probabilities`, `[samples, classes]`, the highest, the first of equal ones.
    ///
    /// # Panics
    /// If there are not `classes` probabilities for each sample.
    pub fn add(&mut self, truth: &[i32], probabilities: &[f64], classes: usize) {
        let n = self.bins.len();
        for (class, row) in counted(truth, probabilities, classes) {
            let first = (0, f64::NEG_INFINITY);
            let (predicted, confidence) =
                row.iter().enumerate().fold(
                    first,
                    |best, (i, &p)| {
                        if p > best.1 { (i, p) } else { best }
                    },
                );
            let bin = (confidence * n as f64).ceil() as usize;
            let bin = &mut self.bins[bin.clamp(1, n) - 1];
            bin.count += 1;
            bin.correct += u64::from(predicted == class);
            bin.confidence += confidence;
        }
    }

    /// The bins, least sure first: what a reliability diagram shows.
    pub fn bins(&self) -> &[CalibrationBin] {
        &self.bins
    }

    /// Expected calibration error: the mean over all predictions of how far their bin's confidence is from its accuracy.
    pub fn error(&self) -> f64 {
        let total: u64 = self.bins.iter().map(|bin| bin.count).sum();
        let gaps = self.bins.iter().filter(|bin| bin.count > 0);
        let sum: f64 = gaps
            .map(|bin| (bin.confidence - bin.correct as f64).abs())
            .sum();
        sum / total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_bin_below() {
        let calibration = Calibration::of(4, &[0, 0, 0], &[0.5, 0.25, 0.75, 0.25, 1.0, 0.0], 2);
        let counts: Vec<u64> = calibration.bins().iter().map(|bin| bin.count).collect();
        assert_eq!(counts, [0, 1, 1, 1]);
    }

    #[test]
    fn error_is_the_weighted_gap() {
        // Bin of 0.75: one of two right, gap 0.25. Bin of 1: right, gap 0.
        let probabilities = [0.75, 0.25, 0.75, 0.25, 1.0, 0.0, 1.0, 0.0];
        let calibration = Calibration::of(4, &[0, 1, 0, 0], &probabilities, 2);
        assert_eq!(calibration.bins()[2].gap(), 0.25);
        assert_eq!(calibration.error(), 0.125);
    }
}
