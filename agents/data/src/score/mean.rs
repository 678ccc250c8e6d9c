//! A mean over batches.

use serde::{Deserialize, Serialize};

/// A mean whose parts come one after another, such as a loss of batches of unequal size.
///
/// # Examples
/// ```
/// use thorndike_data::score::Mean;
/// let mut loss = Mean::default();
/// loss.add(1.0, 3.0); // mean 1 of 3 samples
/// loss.add(5.0, 1.0);
/// assert_eq!(loss.value(), 2.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// Sum of values times weights.
    pub sum: f64,
    /// Sum of weights.
    pub weight: f64,
}

impl Mean {
    /// Adds a value, or the mean of `weight` values.
    pub fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    /// The mean so far; NaN of nothing.
    pub fn value(&self) -> f64 {
        self.sum / self.weight
    }
}

impl FromIterator<f64> for Mean {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut mean = Self::default();
        values.into_iter().for_each(|value| mean.add(value, 1.0));
        mean
    }
}
