//! Scores of predicted numbers.

use serde::{Deserialize, Serialize};

use super::Mean;

/// Errors of predicted numbers, one or several a sample.
///
/// # Examples
/// ```
/// use thorndike_data::score::Regression;
/// let scores = Regression::of(1, &[1.0, 2.0, 3.0], &[1.0, 2.0, 5.0]);
/// assert_eq!(scores.mse(), 4.0 / 3.0);
/// assert_eq!(scores.mae(), 2.0 / 3.0);
/// assert_eq!(scores.r2(), 1.0 - 4.0 / 2.0);
/// ```
///
/// # Reference
/// scikit-learn's `r2_score`, `mean_squared_error` and `mean_absolute_error`, several outputs averaged evenly; the
/// variance by Welford, *Note on a Method for Calculating Corrected Sums of Squares and Products*, 1962.
/// Deviations: none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    outputs: Vec<Output>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Output {
    count: u64,
    /// Mean of the true numbers.
    mean: f64,
    /// Sum of squared distances of the true numbers from their mean.
    spread: f64,
    squared_error: f64,
    absolute_error: f64,
}

impl Regression {
    /// Nothing added yet; `outputs` numbers a sample.
    pub fn new(outputs: usize) -> Self {
        Self {
            outputs: vec![Output::default(); outputs],
        }
    }

    /// Of these numbers; see [`add`](Self::add).
    pub fn of(outputs: usize, truth: &[f64], predicted: &[f64]) -> Self {
        let mut scores = Self::new(outputs);
        scores.add(truth, predicted);
        scores
    }

    /// Adds samples, both `[samples, outputs]`.
    ///
    /// # Panics
    /// If there are not as many of both, or the last sample is not whole.
    pub fn add(&mut self, truth: &[f64], predicted: &[f64]) {
        assert_eq!(truth.len(), predicted.len(), "true and predicted numbers");
        let width = self.outputs.len();
        assert!(
            truth.len().is_multiple_of(width),
            "{width} numbers a sample"
        );
        for (truth, predicted) in truth.chunks_exact(width).zip(predicted.chunks_exact(width)) {
            for (output, (&y, &x)) in self.outputs.iter_mut().zip(truth.iter().zip(predicted)) {
                output.add(y, x);
            }
        }
    }

    /// Coefficient of determination of each output: the share of the variance that is explained. Where the true numbers
    /// are all the same it is 1 if they are met and else 0; NaN of fewer than two.
    pub fn r2_each(&self) -> Vec<f64> {
        self.outputs.iter().map(Output::r2).collect()
    }

    /// Mean coefficient of determination of the outputs.
    pub fn r2(&self) -> f64 {
        self.mean(Output::r2)
    }

    /// Mean squared error.
    pub fn mse(&self) -> f64 {
        self.mean(|output| output.squared_error / output.count as f64)
    }

    /// Mean absolute error.
    pub fn mae(&self) -> f64 {
        self.mean(|output| output.absolute_error / output.count as f64)
    }

    fn mean(&self, score: impl Fn(&Output) -> f64) -> f64 {
        self.outputs.iter().map(score).collect::<Mean>().value()
    }
}

impl Output {
    fn add(&mut self, truth: f64, predicted: f64) {
        self.count += 1;
        let from_old = truth - self.mean;
        self.mean += from_old / self.count as f64;
        self.spread += from_old * (truth - self.mean);
        self.squared_error += (truth - predicted).powi(2);
        self.absolute_error += (truth - predicted).abs();
    }

    fn r2(&self) -> f64 {
        if self.count < 2 {
            return f64::NAN;
        }
        match self.spread == 0.0 {
            true => f64::from(u8::from(self.squared_error == 0.0)),
            false => 1.0 - self.squared_error / self.spread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_add_up() {
        let (truth, predicted) = (
            [1.0, 5.0, 2.0, 8.0, 4.0, 0.0],
            [1.5, 5.0, 1.0, 7.0, 4.0, 2.0],
        );
        let whole = Regression::of(2, &truth, &predicted);
        let mut parts = Regression::new(2);
        parts.add(&truth[..2], &predicted[..2]);
        parts.add(&truth[2..], &predicted[2..]);
        assert_eq!(parts, whole);
    }

    #[test]
    fn of_one_sample_there_is_no_variance() {
        assert!(Regression::of(1, &[3.0], &[3.0]).r2().is_nan());
        assert!(Regression::new(1).mse().is_nan());
    }
}
