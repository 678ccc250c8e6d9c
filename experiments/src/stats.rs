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

/// How far runs fall short of `target` on average, over all runs of all tasks; what is above it counts as on it.
///
/// # Reference
/// Agarwal et al. 2021, section 4.3 ("optimality gap", there with target 1). Deviations: none.
pub fn optimality_gap(tasks: &[Vec<f64>], target: f64) -> f64 {
    let short = tasks
        .iter()
        .flatten()
        .map(|score| target - score.min(target));
    short.sum::<f64>() / tasks.iter().map(Vec::len).sum::<usize>() as f64
}

/// Probability that a run of `x` ends higher than one of `y`, ties counted half, averaged over tasks.
///
/// # Reference
/// Agarwal et al. 2021, section 4.3, the Mann-Whitney U statistic over the number of pairs. Deviations: none.
///
/// # Panics
/// If there are not as many tasks in `x` as in `y`.
///
/// # Examples
/// ```
/// use thorndike::stats::improvement;
/// // Of six pairs three are higher and one is equal.
/// assert_eq!(improvement(&[vec![1.0, 3.0]], &[vec![0.0, 3.0, 4.0]]), 2.5 / 6.0);
/// ```
pub fn improvement(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
    assert_eq!(x.len(), y.len(), "tasks of both");
    let of_task = |(x, y): (&Vec<f64>, &Vec<f64>)| {
        let higher = |x: f64| -> f64 {
            let each = y
                .iter()
                .map(|&y| f64::from(u8::from(x > y)) + 0.5 * f64::from(u8::from(x == y)));
            each.sum()
        };
        x.iter().map(|&x| higher(x)).sum::<f64>() / (x.len() * y.len()) as f64
    };
    x.iter().zip(y).map(of_task).sum::<f64>() / x.len() as f64
}

/// Share of all runs of all tasks that end higher than `score`: a point of a performance profile.
///
/// # Reference
/// Agarwal et al. 2021, section 4.2, equation 3 (run-score distribution). Deviations: none.
pub fn share_above(tasks: &[Vec<f64>], score: f64) -> f64 {
    let above = tasks.iter().flatten().filter(|&&run| run > score).count();
    above as f64 / tasks.iter().map(Vec::len).sum::<usize>() as f64
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
    /// As many resamples as rliable takes for a table.
    pub fn for_tables() -> Self {
        Self {
            resamples: 50_000,
            ..Self::default()
        }
    }

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
        let intervals = self.intervals(tasks, 1, |tasks, values| values[0] = statistic(tasks));
        intervals.and_then(|intervals| intervals.first().copied())
    }

    /// As [`interval`](Self::interval), for `count` statistics of the same resamples: `statistics` fills one value each.
    pub fn intervals(
        &self,
        tasks: &[Vec<f64>],
        count: usize,
        mut statistics: impl FnMut(&mut [Vec<f64>], &mut [f64]),
    ) -> Option<Vec<Interval>> {
        let usable = |task: &Vec<f64>| task.len() > 1 && !task.iter().any(|value| value.is_nan());
        if tasks.is_empty() || self.resamples == 0 || !tasks.iter().all(usable) {
            return None;
        }
        let mut rng = Seeds::new(self.seed).stream("bootstrap", 0);
        let mut resample = tasks.to_vec();
        let mut values = vec![Vec::with_capacity(self.resamples); count];
        let mut row = vec![0.0; count];
        for _ in 0..self.resamples {
            for (drawn, runs) in resample.iter_mut().zip(tasks) {
                draw_with_replacement(runs, drawn, &mut rng);
            }
            statistics(&mut resample, &mut row);
            for (values, value) in values.iter_mut().zip(&row) {
                values.push(*value);
            }
        }
        let tail = (1.0 - self.confidence) / 2.0;
        let ends = values.into_iter().map(|mut values| {
            values.sort_unstable_by(f64::total_cmp);
            Interval {
                low: quantile(&values, tail),
                high: quantile(&values, 1.0 - tail),
            }
        });
        Some(ends.collect())
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

/// Ends, as exclusive indices, of at most `bins` runs of points that cover equal ranges of steps; empty ranges are left
/// out. Every point is its own if there are no more points than bins.
fn bin_ends(curve: &[(u64, f64)], bins: usize) -> Vec<usize> {
    let (Some(&(first, _)), Some(&(last, _))) = (curve.first(), curve.last()) else {
        return Vec::new();
    };
    if curve.len() <= bins {
        return (1..=curve.len()).collect();
    }
    let width = ((last - first) / bins.max(1) as u64 + 1) as f64;
    let bin = |step: u64| ((step - first) as f64 / width) as u64;
    curve
        .chunk_by(|a, b| bin(a.0) == bin(b.0))
        .scan(0, |end, points| {
            *end += points.len();
            Some(*end)
        })
        .collect()
}

/// Mean of the last `window` values, at no more than `limit` points evenly spread over the steps, the last one included.
///
/// Only the past is averaged, so no point shows what was learned later. The first points average what there is.
pub fn trailing_mean(curve: &[(u64, f64)], window: usize, limit: usize) -> Curve {
    let mean_to = |end: usize| {
        let last = &curve[end.saturating_sub(window.max(1))..end];
        let sum: f64 = last.iter().map(|&(_, value)| value).sum();
        (curve[end - 1].0, sum / last.len() as f64)
    };
    bin_ends(curve, limit).into_iter().map(mean_to).collect()
}

/// Mean per bin, the steps cut into no more than `bins` of equal width. A point stands at the last step of its bin that
/// has a value.
pub fn binned_mean(curve: &[(u64, f64)], bins: usize) -> Curve {
    let mut start = 0;
    let mut mean_to = |end: usize| {
        let points = &curve[start..end];
        start = end;
        let sum: f64 = points.iter().map(|&(_, value)| value).sum();
        (curve[end - 1].0, sum / points.len() as f64)
    };
    bin_ends(curve, bins)
        .into_iter()
        .map(&mut mean_to)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Made by `scripts/golden/stats.py` with the versions it names.
    fn golden() -> serde_json::Value {
        serde_json::from_str(include_str!("../../scripts/golden/stats.json")).unwrap()
    }

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|number| number.as_f64().unwrap())
            .collect()
    }

    /// One rounding per addition: far below 1e-12 for values of at most a few hundred.
    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * b.abs().max(1.0)
    }

    #[test]
    fn averages_by_hand() {
        let sample = [1.0, 100.0, 2.0, 3.0, 4.0, 5.0, 6.0, -50.0];
        assert_eq!(
            Statistic::Iqm.of(&mut sample.clone()),
            (2.0 + 3.0 + 4.0 + 5.0) / 4.0
        );
        assert_eq!(Statistic::Mean.of(&mut sample.clone()), 71.0 / 8.0);
        assert_eq!(Statistic::Median.of(&mut sample.clone()), 3.5);
        assert_eq!(Statistic::Median.of(&mut [3.0, 9.0, 1.0]), 3.0);
        // 0.25 of 5 is cut down to one run from each side, of 3 to none.
        assert_eq!(Statistic::Iqm.of(&mut [9.0, 1.0, 2.0, 3.0, 4.0]), 3.0);
        assert_eq!(Statistic::Iqm.of(&mut [9.0, 1.0, 2.0]), 4.0);
    }

    #[test]
    fn averages_are_those_of_scipy_and_numpy() {
        for sample in golden()["samples"].as_array().unwrap() {
            let values = numbers(&sample["values"]);
            let expected = |key: &str| sample[key].as_f64().unwrap();
            assert!(
                close(Statistic::Iqm.of(&mut values.clone()), expected("iqm")),
                "{values:?}"
            );
            assert!(
                close(
                    trimmed_mean(&mut values.clone(), 0.1),
                    expected("trimmed_10")
                ),
                "{values:?}"
            );
            assert!(
                close(Statistic::Mean.of(&mut values.clone()), expected("mean")),
                "{values:?}"
            );
            assert!(
                close(
                    Statistic::Median.of(&mut values.clone()),
                    expected("median")
                ),
                "{values:?}"
            );
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let levels = [0.0, 0.025, 0.25, 0.6, 0.975, 1.0];
            for (level, expected) in levels.into_iter().zip(numbers(&sample["quantiles"])) {
                assert!(
                    close(quantile(&sorted, level), expected),
                    "{level} of {values:?}"
                );
            }
        }
    }

    fn golden_tasks(key: &str) -> Vec<Vec<f64>> {
        golden()[key]
            .as_array()
            .unwrap()
            .iter()
            .map(numbers)
            .collect()
    }

    #[test]
    fn aggregates_over_tasks_are_those_of_rliable() {
        let (golden, tasks) = (golden(), golden_tasks("tasks"));
        let aggregates = [
            ("iqm", Statistic::Iqm),
            ("mean", Statistic::Mean),
            ("median", Statistic::Median),
        ];
        for (key, statistic) in aggregates {
            let expected = golden[key]["value"].as_f64().unwrap();
            assert!(
                close(statistic.across(&mut tasks.clone()), expected),
                "{key}"
            );
        }
    }

    /// Whether ends of rliable's lie between ours of a wider and of a narrower interval. Both come from random resamples:
    /// of 50,000 each end is a 2.5 % quantile give or take sqrt(0.025 · 0.975 / 50,000) = 0.07 %, and the difference of two
    /// has a standard deviation of 0.1 %; five of them are 0.5 %. Of 5,000 of rliable's they are 1.2 %.
    fn assert_near(
        key: &str,
        golden: &serde_json::Value,
        slack: f64,
        with: impl Fn(f64) -> Interval,
    ) {
        let end = |key: &str| golden[key].as_f64().unwrap();
        let (low, high) = (end("low"), end("high"));
        let (wide, narrow) = (with(0.95 + 2.0 * slack), with(0.95 - 2.0 * slack));
        assert!(
            wide.low <= low && low <= narrow.low,
            "{key}: {low} outside {wide:?} {narrow:?}"
        );
        assert!(
            narrow.high <= high && high <= wide.high,
            "{key}: {high} outside {wide:?} {narrow:?}"
        );
    }

    fn fifty_thousand(confidence: f64) -> Bootstrap {
        Bootstrap {
            resamples: 50_000,
            confidence,
            seed: 1,
        }
    }

    #[test]
    fn intervals_are_those_of_rliable() {
        let (golden, tasks) = (golden(), golden_tasks("tasks"));
        let cases = [
            ("iqm", Statistic::Iqm, &tasks[..]),
            ("mean", Statistic::Mean, &tasks[..]),
            ("median", Statistic::Median, &tasks[..]),
            ("one_task_iqm", Statistic::Iqm, &tasks[1..2]),
        ];
        for (key, statistic, tasks) in cases {
            assert_near(key, &golden[key], 0.005, |confidence| {
                fifty_thousand(confidence)
                    .interval(tasks, |tasks| statistic.across(tasks))
                    .unwrap()
            });
        }
    }

    #[test]
    fn gaps_are_those_of_rliable() {
        let (tasks, gap) = (golden_tasks("tasks"), &golden()["optimality_gap"]);
        assert!(close(
            optimality_gap(&tasks, 1.0),
            gap["value"].as_f64().unwrap()
        ));
        assert_near("gap", gap, 0.005, |confidence| {
            let bootstrap = fifty_thousand(confidence);
            bootstrap
                .interval(&tasks, |tasks| optimality_gap(tasks, 1.0))
                .unwrap()
        });
    }

    #[test]
    fn probabilities_of_improvement_are_those_of_rliable() {
        let x = golden_tasks("tasks");
        for (key, y) in [
            ("improvement", golden_tasks("others")),
            ("improvement_on_itself", x.clone()),
        ] {
            let expected = &golden()[key];
            let value = expected["value"].as_f64().unwrap();
            assert!(close(improvement(&x, &y), value), "{key}");
            assert!(close(improvement(&y, &x), 1.0 - value), "{key}");
            let both = [x.clone(), y].concat();
            assert_near(key, expected, 0.012, |confidence| {
                let bootstrap = fifty_thousand(confidence);
                bootstrap
                    .interval(&both, |both| {
                        improvement(&both[..x.len()], &both[x.len()..])
                    })
                    .unwrap()
            });
        }
    }

    /// Shares are multiples of 1/50, so quantiles of theirs are steps: rliable's must be ours or a neighbour.
    #[test]
    fn profiles_are_those_of_rliable() {
        let (tasks, profile) = (golden_tasks("tasks"), &golden()["profile"]);
        let (taus, shares) = (numbers(&profile["taus"]), numbers(&profile["value"]));
        for (&tau, share) in taus.iter().zip(shares) {
            assert!(close(share_above(&tasks, tau), share), "{tau}");
        }
        let intervals = fifty_thousand(0.95).intervals(&tasks, taus.len(), |tasks, shares| {
            for (share, &tau) in shares.iter_mut().zip(&taus) {
                *share = share_above(tasks, tau);
            }
        });
        let ends = numbers(&profile["low"])
            .into_iter()
            .zip(numbers(&profile["high"]));
        for (interval, (low, high)) in intervals.unwrap().iter().zip(ends) {
            assert!((interval.low - low).abs() < 0.021, "{interval:?} {low}");
            assert!((interval.high - high).abs() < 0.021, "{interval:?} {high}");
        }
    }

    #[test]
    fn interval_of_two_runs_by_hand() {
        // Four equally likely resamples of {0, 1}: means 0, 1/2, 1/2, 1. The quarters reach far beyond 2.5 %, and the
        // middle half ends within the halves.
        let sample = [vec![0.0, 1.0]];
        let with = |confidence: f64| {
            let bootstrap = Bootstrap {
                resamples: 10_000,
                confidence,
                seed: 3,
            };
            bootstrap
                .interval(&sample, |tasks| mean(&tasks[0]))
                .unwrap()
        };
        assert_eq!(
            with(0.95),
            Interval {
                low: 0.0,
                high: 1.0
            }
        );
        assert_eq!(
            with(0.4),
            Interval {
                low: 0.5,
                high: 0.5
            }
        );
    }

    #[test]
    fn intervals_are_repeatable_and_depend_on_the_seed() {
        let sample = [vec![1.0, 2.0, 4.0, 8.0, 16.0]];
        let with = |seed: u64| {
            let bootstrap = Bootstrap {
                resamples: 500,
                confidence: 0.9,
                seed,
            };
            bootstrap
                .interval(&sample, |tasks| mean(&tasks[0]))
                .unwrap()
        };
        assert_eq!(with(7), with(7));
        assert_ne!(with(7), with(8));
    }

    #[test]
    fn bootstrap_is_value_stable() {
        let sample = [vec![1.0, 2.5, 4.25, 8.125, 16.0625]];
        let bootstrap = Bootstrap {
            resamples: 20,
            ..Bootstrap::default()
        };
        let interval = bootstrap
            .interval(&sample, |tasks| mean(&tasks[0]))
            .unwrap();
        assert_eq!(
            interval, PINNED,
            "published intervals depend on these values"
        );
    }
    const PINNED: Interval = Interval {
        low: 3.986_562_500_000_000_2,
        high: 11.560_625,
    };

    #[test]
    fn resampling_stays_within_a_task() {
        // Two tasks, constant within each: any mixing between them would move the mean of the task means.
        let tasks = [vec![1.0; 4], vec![5.0; 3]];
        let interval = Bootstrap::default()
            .interval(&tasks, |tasks| Statistic::Mean.across(tasks))
            .unwrap();
        assert_eq!(
            interval,
            Interval {
                low: 3.0,
                high: 3.0
            }
        );
    }

    #[test]
    fn intervals_cover_a_known_mean_as_often_as_they_say() {
        // 400 samples of 30 uniform numbers; the percentile interval of so few covers a little less than 95 %. Four
        // standard deviations of a share of 400 are 4 %.
        let covered = (0..400).filter(|&index| {
            let mut rng = Seeds::new(11).stream("coverage", index);
            let sample: Vec<f64> = (0..30).map(|_| rng.random()).collect();
            let bootstrap = Bootstrap {
                resamples: 500,
                ..Bootstrap::default()
            };
            let interval = bootstrap
                .interval(&[sample], |tasks| mean(&tasks[0]))
                .unwrap();
            interval.low <= 0.5 && 0.5 <= interval.high
        });
        let share = covered.count() as f64 / 400.0;
        assert!((0.90..0.99).contains(&share), "{share}");
    }

    #[test]
    fn one_run_no_run_and_nan_have_no_interval_and_no_panic() {
        let with = |sample: &[f64]| {
            let iqm = |tasks: &mut [Vec<f64>]| Statistic::Iqm.of(&mut tasks[0]);
            Bootstrap::default().interval(&[sample.to_vec()], iqm)
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[1.0]), None);
        assert_eq!(with(&[1.0, f64::NAN]), None);
        assert_eq!(Bootstrap::default().interval(&[], |_| 0.0), None);
        for statistic in [Statistic::Iqm, Statistic::Mean, Statistic::Median] {
            assert!(statistic.of(&mut []).is_nan());
            assert!(statistic.of(&mut [1.0, f64::NAN, 2.0]).is_nan());
            assert_eq!(statistic.of(&mut [f64::INFINITY; 3]), f64::INFINITY);
        }
    }

    #[test]
    fn fifty_thousand_resamples_of_ten_runs_on_five_tasks_take_less_than_a_second() {
        let mut rng = Seeds::new(5).stream("scores", 0);
        let tasks: Vec<Vec<f64>> = (0..5)
            .map(|_| (0..10).map(|_| rng.random()).collect())
            .collect();
        let bootstrap = Bootstrap {
            resamples: 50_000,
            ..Bootstrap::default()
        };
        // The fastest of a few, because other tests run at the same time.
        let mut took = f64::INFINITY;
        for _ in 0..5 {
            let started = Instant::now();
            bootstrap
                .interval(&tasks, |tasks| Statistic::Iqm.across(tasks))
                .unwrap();
            took = took.min(started.elapsed().as_secs_f64());
            if took < 1.0 {
                break;
            }
        }
        assert!(took < 1.0, "{took} s");
    }

    #[test]
    fn interpolation_is_exact_at_points_and_straight_between_them() {
        let curve = vec![(10, 1.0), (20, 3.0), (40, -1.0)];
        assert_eq!(interpolate(&curve, 10), Some(1.0));
        assert_eq!(interpolate(&curve, 15), Some(2.0));
        assert_eq!(interpolate(&curve, 20), Some(3.0));
        assert_eq!(interpolate(&curve, 35), Some(0.0));
        assert_eq!(interpolate(&curve, 40), Some(-1.0));
    }

    #[test]
    fn nothing_is_made_up_before_the_first_and_after_the_last_point() {
        let curve = vec![(10, 1.0), (20, 3.0)];
        assert_eq!(interpolate(&curve, 9), None);
        assert_eq!(interpolate(&curve, 21), None);
        assert_eq!(interpolate(&[], 0), None);
    }

    #[test]
    fn unequal_grids_meet_where_all_runs_have_values() {
        let curves = [
            vec![(0, 0.0), (10, 1.0), (30, 3.0)],
            vec![(5, 1.0), (25, 5.0)],
        ];
        assert_eq!(common_steps(&curves, 100), [5, 10, 25]);
        let points = aggregate(&curves, Statistic::Mean, &Bootstrap::default(), 100);
        let values: Vec<(u64, f64)> = points
            .iter()
            .map(|point| (point.step, point.value))
            .collect();
        // 5: (0.5 + 1) / 2; 10: (1 + 2) / 2; 25: (2.5 + 5) / 2.
        assert_eq!(values, [(5, 0.75), (10, 1.5), (25, 3.75)]);
        assert_eq!(
            points[1].interval,
            Some(Interval {
                low: 1.0,
                high: 2.0
            })
        );
    }

    #[test]
    fn runs_that_never_overlap_have_no_average() {
        let curves = [vec![(0, 0.0), (10, 1.0)], vec![(20, 1.0), (30, 2.0)]];
        assert!(aggregate(&curves, Statistic::Mean, &Bootstrap::default(), 100).is_empty());
        assert!(aggregate(&[], Statistic::Mean, &Bootstrap::default(), 100).is_empty());
    }

    #[test]
    fn a_single_run_is_its_own_average_without_an_interval() {
        let curve = vec![(0, 2.0), (10, 4.0)];
        let points = aggregate(
            std::slice::from_ref(&curve),
            Statistic::Iqm,
            &Bootstrap::default(),
            100,
        );
        assert_eq!(
            points[1],
            BandPoint {
                step: 10,
                value: 4.0,
                interval: None
            }
        );
    }

    #[test]
    fn identical_runs_have_a_band_of_no_width() {
        let curves = vec![vec![(0, 2.0), (10, 4.0)]; 5];
        for point in aggregate(&curves, Statistic::Iqm, &Bootstrap::default(), 100) {
            assert_eq!(
                point.interval,
                Some(Interval {
                    low: point.value,
                    high: point.value
                })
            );
        }
    }

    #[test]
    fn thinning_keeps_both_ends_and_the_order() {
        let items: Vec<u64> = (0..1000).collect();
        assert_eq!(thin(&items, 4), [0, 333, 666, 999]);
        assert_eq!(thin(&items[..3], 4), [0, 1, 2]);
        assert_eq!(thin::<u64>(&[], 4), [0; 0]);
    }

    #[test]
    fn a_trailing_mean_looks_back_only() {
        let curve = [(1, 0.0), (2, 0.0), (3, 6.0), (4, 3.0)];
        assert_eq!(
            trailing_mean(&curve, 3, 100),
            [(1, 0.0), (2, 0.0), (3, 2.0), (4, 3.0)]
        );
        assert_eq!(trailing_mean(&curve, 1, 100), curve);
        assert_eq!(trailing_mean(&curve, 2, 2), [(2, 0.0), (4, 4.5)]);
    }

    #[test]
    fn points_of_a_trailing_mean_are_spread_over_steps_not_episodes() {
        // Ten long episodes, then a thousand short ones in as many steps.
        let long = (1..=10).map(|i| (i * 100, 0.0));
        let curve: Curve = long.chain((1..=1000).map(|i| (1000 + i, 1.0))).collect();
        let points = trailing_mean(&curve, 1, 20);
        // Half of the points; the tenth long episode shares its bin with the first short ones.
        assert_eq!(points.len(), 20);
        assert_eq!(points.iter().filter(|point| point.1 == 0.0).count(), 9);
        assert_eq!(points.last(), Some(&(2000, 1.0)));
        assert_eq!(trailing_mean(&curve, 4, 1), [(2000, 1.0)]);
    }

    #[test]
    fn bins_average_without_losing_a_point() {
        let curve: Curve = (0..10_000).map(|i| (i * 7, (i % 100) as f64)).collect();
        let binned = binned_mean(&curve, 100);
        assert!(binned.len() <= 100, "{}", binned.len());
        // 10,000 points of which 100 whole periods fall in a bin each, give or take its edges.
        assert!(
            binned.iter().all(|point| (point.1 - 49.5).abs() < 1.0),
            "{binned:?}"
        );
        assert_eq!(binned.last().unwrap().0, curve.last().unwrap().0);
        assert_eq!(binned_mean(&curve[..5], 100), curve[..5]);
        assert_eq!(binned_mean(&[], 100), []);
        assert_eq!(
            binned_mean(&[(0, 1.0), (u64::MAX, 3.0), (u64::MAX, 5.0)], 2),
            [(0, 1.0), (u64::MAX, 4.0)]
        );
    }
}
