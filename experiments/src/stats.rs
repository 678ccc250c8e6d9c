//! Statistics over a handful of runs: averages that one lucky seed does not carry, and how far to trust them.
//!
//! A *sample* is one number per run (seed). A set of *tasks* is one sample per task; runs are resampled within
//! their task only, which is what "stratified" means. Nothing here knows about files or pictures.
//!
//! # Reference
//! Agarwal, Schwarzer, Castro, Courville, Bellemare, *Deep Reinforcement Learning at the Edge of the Statistical
//! Precipice*, 2021, sections 4.1 and 4.3, and its package rliable 1.2.0.
//! Deviations: none for the averages and the percentile interval (scipy's `trim_mean`, numpy's linear quantile).
//! The generator is ChaCha, so an interval differs from rliable's by Monte Carlo error.

use serde::{Deserialize, Serialize};
use thorndike_core::{Rng, Seeds, rand::RngExt};

/// A way to turn a sample into one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Interquartile mean: the mean of the middle half. Steadier than the mean, less wasteful than the median.
    #[default]
    Iqm,
    /// Arithmetic mean.
    Mean,
    /// Middle value, or the mean of the two middle ones.
    Median,
}

impl Statistic {
    /// Short name for a legend or a column.
    pub fn label(self) -> &'static str {
        match self {
            Self::Iqm => "IQM",
            Self::Mean => "mean",
            Self::Median => "median",
        }
    }

    /// Value for one sample, whose order is not kept. NaN for an empty sample and for one that holds a NaN.
    ///
    /// # Examples
    /// ```
    /// use thorndike::stats::Statistic;
    /// let mut returns = [500.0, 480.0, 9.0, 500.0, 490.0];
    /// assert_eq!(Statistic::Iqm.of(&mut returns), 490.0); // mean of 480, 490, 500
    /// ```
    pub fn of(self, sample: &mut [f64]) -> f64 {
        match self {
            Self::Iqm => trimmed_mean(sample, 0.25),
            Self::Mean => mean(sample),
            Self::Median => median(sample),
        }
    }

    /// Value for several tasks, as rliable aggregates a runs × tasks matrix: the IQM pools all runs of all tasks, the
    /// mean and the median are taken over the tasks' means. The order of the runs is not kept.
    pub fn across(self, tasks: &mut [Vec<f64>]) -> f64 {
        match self {
            Self::Iqm => trimmed_mean(&mut tasks.concat(), 0.25),
            Self::Mean => mean(&task_means(tasks)),
            Self::Median => median(&mut task_means(tasks)),
        }
    }
}

fn task_means(tasks: &[Vec<f64>]) -> Vec<f64> {
    tasks.iter().map(|task| mean(task)).collect()
}

/// Arithmetic mean; NaN for an empty sample.
pub fn mean(sample: &[f64]) -> f64 {
    sample.iter().sum::<f64>() / sample.len() as f64
}

/// Middle value; NaN for an empty sample and for one that holds a NaN. The order is not kept.
pub fn median(sample: &mut [f64]) -> f64 {
    // Trimming half of the values from each side but the middle one or two is the median.
    let n = sample.len();
    mean_of_middle(sample, n.saturating_sub(1) / 2)
}

/// Mean without the lowest and the highest `proportion` of the values, each count rounded down, as
/// `scipy.stats.trim_mean`; NaN for an empty sample and for one that holds a NaN. The order is not kept.
///
/// # Panics
/// If `proportion` is not in `0.0..0.5`.
pub fn trimmed_mean(sample: &mut [f64], proportion: f64) -> f64 {
    assert!(
        (0.0..0.5).contains(&proportion),
        "trimmed proportion {proportion} is not in 0.0..0.5"
    );
    let cut = (proportion * sample.len() as f64) as usize;
    mean_of_middle(sample, cut)
}

/// Mean without the `cut` lowest and the `cut` highest values.
fn mean_of_middle(sample: &mut [f64], cut: usize) -> f64 {
    if sample.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    sample.sort_unstable_by(f64::total_cmp);
    mean(&sample[cut..sample.len() - cut])
}

/// Quantile of an ascending sample with linear interpolation, as numpy's default; NaN for an empty one.
pub fn quantile(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = level.clamp(0.0, 1.0) * last as f64;
    let below = position.floor();
    let (low, high) = (sorted[below as usize], sorted[position.ceil() as usize]);
    // Equal neighbours first: infinity minus itself would be NaN.
    if low == high {
        low
    } else {
        low + (position - below) * (high - low)
    }
}

/// A range that holds the true value with some confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How to bootstrap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Number of resamples. 2,000 (rliable's figure for profiles) is enough for a band; rliable takes 50,000 for a table.
    pub resamples: usize,
    /// Share of the resampled values inside the interval.
    pub confidence: f64,
    /// Root seed of the resampling, so that a picture drawn twice is the same picture.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 2_000,
            confidence: 0.95,
            seed: 0,
        }
    }
}

impl Bootstrap {
    /// Stratified percentile interval of `statistic` over `tasks`: each resample draws, within each task, as many runs
    /// as the task has, with replacement.
    ///
    /// `None` where no interval can be had: no task, a task with fewer than two runs, or a value that is NaN.
    /// `statistic` may reorder the runs it is given.
    ///
    /// # Examples
    /// ```
    /// use thorndike::stats::{Bootstrap, Statistic};
    /// let seeds = vec![480.0, 500.0, 490.0, 470.0, 500.0];
    /// let interval = Bootstrap::default().interval(&[seeds], |tasks| Statistic::Iqm.of(&mut tasks[0])).unwrap();
    /// assert!(470.0 <= interval.low && interval.low < interval.high && interval.high <= 500.0);
    /// ```
    pub fn interval(
        &self,
        tasks: &[Vec<f64>],
        mut statistic: impl FnMut(&mut [Vec<f64>]) -> f64,
    ) -> Option<Interval> {
        let usable = |task: &Vec<f64>| task.len() > 1 && !task.iter().any(|value| value.is_nan());
        if tasks.is_empty() || self.resamples == 0 || !tasks.iter().all(usable) {
            return None;
        }
        let mut rng = Seeds::new(self.seed).stream("bootstrap", 0);
        let mut resample = tasks.to_vec();
        let mut values: Vec<f64> = (0..self.resamples)
            .map(|_| {
                for (drawn, runs) in resample.iter_mut().zip(tasks) {
                    draw_with_replacement(runs, drawn, &mut rng);
                }
                statistic(&mut resample)
            })
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        Some(Interval {
            low: quantile(&values, tail),
            high: quantile(&values, 1.0 - tail),
        })
    }
}

fn draw_with_replacement(runs: &[f64], drawn: &mut [f64], rng: &mut Rng) {
    for value in drawn {
        *value = runs[rng.random_range(0..runs.len())];
    }
}

/// A value over environment steps: `(step, value)`, steps ascending.
pub type Curve = Vec<(u64, f64)>;

/// Value of a curve between its points, by linear interpolation; `None` outside of them.
///
/// An evaluation is a measurement of the policy at that step, and a policy changes a little at a time, so between two
/// measurements a line is the best guess; carrying the last value forward would bend every curve to the right by half
/// an interval. Before the first and after the last measurement nothing is known, so nothing is made up.
pub fn interpolate(curve: &[(u64, f64)], step: u64) -> Option<f64> {
    let after = curve.partition_point(|&(at, _)| at <= step);
    let &(left_step, left) = curve.get(after.checked_sub(1)?)?;
    if left_step == step {
        return Some(left);
    }
    let &(right_step, right) = curve.get(after)?;
    let share = (step - left_step) as f64 / (right_step - left_step) as f64;
    Some(left + share * (right - left))
}

/// Every step at which one of the curves has a point and all of them have a value: from the latest start to the
/// earliest end. Thinned evenly to at most `limit` steps, both ends kept.
///
/// Cutting at the earliest end keeps the number of runs behind an average the same everywhere. If the survivors went
/// on alone, the curve would jump when a run drops out, and mean something else afterwards.
pub fn common_steps(curves: &[Curve], limit: usize) -> Vec<u64> {
    let start = curves
        .iter()
        .filter_map(|curve| Some(curve.first()?.0))
        .max();
    let end = curves
        .iter()
        .filter_map(|curve| Some(curve.last()?.0))
        .min();
    let (Some(start), Some(end)) = (start, end) else {
        return Vec::new();
    };
    let mut steps: Vec<u64> = curves.iter().flatten().map(|&(step, _)| step).collect();
    steps.retain(|step| (start..=end).contains(step));
    steps.sort_unstable();
    steps.dedup();
    thin(&steps, limit)
}

/// At most `limit` of the items, evenly spread, first and last included.
pub fn thin<T: Copy>(items: &[T], limit: usize) -> Vec<T> {
    if items.len() <= limit || limit < 2 {
        return items.to_vec();
    }
    (0..limit)
        .map(|i| items[i * (items.len() - 1) / (limit - 1)])
        .collect()
}

/// One point of an aggregated curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandPoint {
    /// Environment steps.
    pub step: u64,
    /// The statistic over the runs.
    pub value: f64,
    /// Its bootstrap interval; `None` for a single run.
    pub interval: Option<Interval>,
}

/// Statistic over runs at each of their common steps, with its interval.
///
/// Every step is bootstrapped with the same draws, that is, whole runs are resampled. So the band has no jitter of its
/// own: where it is ragged, the runs are.
pub fn aggregate(
    curves: &[Curve],
    statistic: Statistic,
    bootstrap: &Bootstrap,
    limit: usize,
) -> Vec<BandPoint> {
    common_steps(curves, limit)
        .into_iter()
        .map(|step| {
            let mut sample: Vec<f64> = curves
                .iter()
                .filter_map(|curve| interpolate(curve, step))
                .collect();
            let interval = bootstrap.interval(std::slice::from_ref(&sample), |tasks| {
                statistic.of(&mut tasks[0])
            });
            BandPoint {
                step,
                value: statistic.of(&mut sample),
                interval,
            }
        })
        .collect()
}

/// Mean of the last `window` values at each of the given points, at most `limit` points evenly spread.
///
/// Only the past is averaged, so no point shows what was learned later. The first points average what there is.
pub fn trailing_mean(curve: &[(u64, f64)], window: usize, limit: usize) -> Curve {
    let ends: Vec<usize> = (1..=curve.len()).collect();
    thin(&ends, limit)
        .into_iter()
        .map(|end| {
            let last = &curve[end.saturating_sub(window.max(1))..end];
            let sum: f64 = last.iter().map(|&(_, value)| value).sum();
            (curve[end - 1].0, sum / last.len() as f64)
        })
        .collect()
}

/// Mean per bin, the range of steps cut into `bins` of equal width; empty bins are left out. A point stands at the last
/// step of its bin that has a value.
pub fn binned_mean(curve: &[(u64, f64)], bins: usize) -> Curve {
    let (Some(&(first, _)), Some(&(last, _))) = (curve.first(), curve.last()) else {
        return Vec::new();
    };
    if curve.len() <= bins {
        return curve.to_vec();
    }
    let width = ((last - first) / bins.max(1) as u64 + 1) as f64;
    let bin = |step: u64| ((step - first) as f64 / width) as u64;
    curve
        .chunk_by(|a, b| bin(a.0) == bin(b.0))
        .map(|points| {
            let sum: f64 = points.iter().map(|&(_, value)| value).sum();
            (points[points.len() - 1].0, sum / points.len() as f64)
        })
        .collect()
}
