//! How sure a score is, given that other samples could have been drawn.

use serde::{Deserialize, Serialize};
use thorndike_core::Seeds;
use thorndike_core::rand::RngExt;

/// A range that holds the true score with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// 0.975 quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// 95 % interval of a share, such as an accuracy: `successes` of `n`. From 0 to 1 where `n` is 0.
///
/// # Panics
/// If there are more successes than `n`.
///
/// # Examples
/// ```
/// use thorndike_data::score::wilson;
/// let interval = wilson(95, 100);
/// assert!((interval.low - 0.888).abs() < 1e-3 && (interval.high - 0.978).abs() < 1e-3);
/// ```
///
/// # Reference
/// Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*, 1927, without continuity correction.
/// Deviations: none.
pub fn wilson(successes: u64, n: u64) -> Interval {
    assert!(successes <= n, "{successes} successes of {n}");
    if n == 0 {
        return Interval {
            low: 0.0,
            high: 1.0,
        };
    }
    let (share, n) = (successes as f64 / n as f64, n as f64);
    let center = share + Z * Z / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Interval {
        // The ends are exact at shares of 0 and 1, where a rounding could lead outside.
        low: if successes == 0 {
            0.0
        } else {
            (center - reach) / scale
        },
        high: if share == 1.0 {
            1.0
        } else {
            (center + reach) / scale
        },
    }
}

/// 95 % bootstrap interval of a statistic of `n` samples: its middle 95 % over `resamples` draws of `n` samples with
/// replacement. `statistic` is given the numbers of the samples that were drawn.
///
/// A resample of which it is NaN, such as an area under the ROC curve of one class alone, is left out; `None` if that is
/// more than half of them, or if there are fewer than two samples.
///
/// # Examples
/// ```
/// use thorndike_data::score::{Regression, interval};
/// let (truth, predicted) = ([1.0, 2.0, 3.0, 4.0], [1.5, 2.5, 2.0, 4.0]);
/// let r2 = interval(4, 0, 1000, |drawn| {
///     let mut scores = Regression::new(1);
///     drawn.iter().for_each(|&i| scores.add(&truth[i..=i], &predicted[i..=i]));
///     scores.r2()
/// });
/// assert!(r2.unwrap().low < Regression::of(1, &truth, &predicted).r2());
/// ```
///
/// # Reference
/// Efron, Tibshirani, *An Introduction to the Bootstrap*, 1993, section 13.3 (percentile interval), ends by numpy's linear
/// quantile. Deviations: none.
pub fn interval(
    n: usize,
    seed: u64,
    resamples: usize,
    mut statistic: impl FnMut(&[usize]) -> f64,
) -> Option<Interval> {
    if n < 2 {
        return None;
    }
    let mut rng = Seeds::new(seed).stream("data/bootstrap", 0);
    let mut drawn = vec![0; n];
    let mut values = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        // As u64: the same samples on every machine.
        drawn.fill_with(|| rng.random_range(0..n as u64) as usize);
        let value = statistic(&drawn);
        if !value.is_nan() {
            values.push(value);
        }
    }
    values.sort_unstable_by(f64::total_cmp);
    let usable = !values.is_empty() && 2 * values.len() >= resamples;
    usable.then(|| Interval {
        low: quantile(&values, 0.025),
        high: quantile(&values, 0.975),
    })
}

/// Quantile of an ascending sample with linear interpolation.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let position = level * (sorted.len() - 1) as f64;
    let (low, high) = (
        sorted[position.floor() as usize],
        sorted[position.ceil() as usize],
    );
    // Equal neighbours first: infinity minus itself would be NaN.
    if low == high {
        low
    } else {
        low + position.fract() * (high - low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(drawn: &[usize]) -> f64 {
        drawn.iter().sum::<usize>() as f64 / drawn.len() as f64
    }

    #[test]
    fn bootstrap_is_value_stable() {
        let interval = interval(100, 7, 500, mean).unwrap();
        assert_eq!(interval, PINNED, "published results depend on it");
    }
    const PINNED: Interval = Interval {
        low: 44.138999999999996,
        high: 55.667249999999996,
    };

    #[test]
    fn a_mean_is_as_sure_as_theory_has_it() {
        // Standard error sqrt((100² - 1) / 12 / 100) = 2.887 around 49.5; the ends' own error is about 0.1.
        let interval = interval(100, 1, 4000, mean).unwrap();
        assert!(
            (interval.low - (49.5 - Z * 2.887)).abs() < 0.4,
            "{interval:?}"
        );
        assert!(
            (interval.high - (49.5 + Z * 2.887)).abs() < 0.4,
            "{interval:?}"
        );
    }

    #[test]
    fn what_is_mostly_unknown_has_no_interval() {
        assert_eq!(interval(1, 0, 100, mean), None);
        assert_eq!(interval(9, 0, 0, mean), None);
        let mut calls = 0;
        let mut every = |nth: usize| {
            interval(9, 0, 100, |_| {
                calls += 1;
                if calls % nth == 0 { f64::NAN } else { 1.0 }
            })
        };
        let one = Interval {
            low: 1.0,
            high: 1.0,
        };
        assert_eq!((every(3), every(1)), (Some(one), None));
    }

    #[test]
    fn quantiles_interpolate_and_keep_infinities() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[f64::INFINITY; 2], 0.5), f64::INFINITY);
    }

    #[test]
    fn nothing_is_known_of_no_trials() {
        let all = Interval {
            low: 0.0,
            high: 1.0,
        };
        assert_eq!(wilson(0, 0), all);
    }
}
