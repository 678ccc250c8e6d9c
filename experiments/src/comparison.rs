//! Several algorithms on one or several environments: scores that can be put together, and which differences are there.
//!
//! # Reference
//! Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021), section 4: aggregates,
//! intervals, profiles and probabilities of improvement. Deviations: whether two algorithms differ is judged by a
//! permutation test (Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005, section 3.2) with Holm's
//! correction ("A Simple Sequentially Rejective Multiple Test Procedure", 1979) and not by the bootstrap interval, which
//! is too narrow for a handful of runs: three runs against three always give an interval that excludes 1/2 where none of
//! them overlap, which happens by chance once in ten times.

use std::fmt;

use anyhow::{Result, ensure};
use thorndike_core::{Seeds, rand::RngExt};

use crate::runs::{Experiment, ReferenceLine};
use crate::stats::{self, Bootstrap, Statistic};
use crate::summary::{Estimate, markdown, number, results};

/// Beyond so many algorithms each is compared with the first one only.
const ALL_PAIRS: usize = 6;
/// Random exchanges of a permutation test: the smallest p-value is 1 / 10,000.
const PERMUTATIONS: usize = 9_999;
/// A difference is called one below this corrected p-value.
const LEVEL: f64 = 0.05;

/// Experiments put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Environments, in the order of the experiments.
    pub scales: Vec<Scale>,
    /// Algorithms, in the order of the experiments.
    pub algorithms: Vec<Algorithm>,
    /// Pairs of them, over all environments that both have first.
    pub pairs: Vec<Pair>,
    /// What was left out, in sentences.
    pub notes: Vec<String>,
}

/// What a return in an environment counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Id of the environment.
    pub env: String,
    /// Return that is a score of 0, and return that is a score of 1. `None` where returns are compared as they are.
    pub ends: Option<(f64, f64)>,
    /// What the ends are.
    pub meaning: String,
}

/// One algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Algorithm {
    /// Its name: that of its experiments, without the environment where there are several.
    pub name: String,
    /// For each environment the score at the end of each seed; empty where there is no experiment.
    pub scores: Vec<Vec<f64>>,
    /// Over all environments; `None` where one is missing.
    pub aggregate: Option<Aggregate>,
}

/// Scores of an algorithm over all environments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregate {
    /// Interquartile mean over all runs.
    pub iqm: Estimate,
    /// Mean of the environments' means.
    pub mean: Estimate,
    /// Median of the environments' means.
    pub median: Estimate,
    /// How far runs fall short of a score of 1; `None` where returns are compared as they are.
    pub optimality_gap: Option<Estimate>,
}

/// Two algorithms side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Indices of the two.
    pub of: (usize, usize),
    /// Index of the environment; `None` for all that both have.
    pub env: Option<usize>,
    /// Probability that a run of the first ends higher than one of the second.
    pub improvement: Estimate,
    /// Of the hypothesis that both are the same, two-sided.
    pub p: f64,
    /// The same, corrected for the number of pairs.
    pub p_corrected: f64,
}

impl Pair {
    /// Which of the two is better, if that can be told.
    pub fn verdict(&self) -> &'static str {
        if self.p_corrected >= LEVEL {
            "not told apart"
        } else if self.improvement.value > 0.5 {
            "better"
        } else {
            "worse"
        }
    }
}

impl Scale {
    fn of(env: &str, experiments: &[&Experiment], window: usize) -> Self {
        let results: Vec<f64> = experiments
            .iter()
            .flat_map(|e| results(e, window).1)
            .collect();
        let starts = experiments.iter().flat_map(|e| &e.seeds).filter_map(|run| {
            let first = run.evaluations.first().filter(|first| first.step == 0)?;
            Some(stats::mean(&first.returns))
        });
        let starts: Vec<f64> = starts.filter(|&value| counts(value)).collect();
        let (low, low_is) = match starts[..] {
            [] => (
                results.iter().copied().fold(f64::INFINITY, f64::min),
                "the worst run",
            ),
            _ => (stats::mean(&starts), "before training"),
        };
        let lines = || experiments.iter().flat_map(|e| &e.lines);
        let known = |label: &str| lines().find(|line| line.label == label && line.value > low);
        let known = known(ReferenceLine::OPTIMUM).or_else(|| known("solved"));
        let (high, high_is) = match known {
            Some(line) => (line.value, &*line.label),
            None => (
                results.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                "the best run",
            ),
        };
        Self {
            env: env.to_owned(),
            ends: Some((low, high)),
            meaning: format!(
                "0 is {} ({low_is}), 1 is {} ({high_is})",
                number(low),
                number(high)
            ),
        }
    }

    /// The score of a return.
    pub fn score(&self, value: f64) -> f64 {
        self.ends
            .map_or(value, |(low, high)| (value - low) / (high - low))
    }

    fn is_usable(&self) -> bool {
        self.ends
            .is_none_or(|(low, high)| low < high && (high - low).is_finite())
    }
}

impl Comparison {
    /// Compares experiments by the returns at their ends. `window` is the number of episodes that stand for the end of a
    /// run without evaluations.
    ///
    /// # Errors
    /// If no experiment has a result yet.
    pub fn of(experiments: &[Experiment], bootstrap: &Bootstrap, window: usize) -> Result<Self> {
        let mut notes = Vec::new();
        let mut envs: Vec<&str> = Vec::new();
        for experiment in experiments {
            if !envs.contains(&&*experiment.env) {
                envs.push(&experiment.env);
            }
        }
        let several = envs.len() > 1;
        let scale = |env: &&str| {
            let here: Vec<&Experiment> = experiments.iter().filter(|e| e.env == **env).collect();
            match several {
                true => Scale::of(env, &here, window),
                false => Scale {
                    env: (*env).to_owned(),
                    ends: None,
                    meaning: "return".to_owned(),
                },
            }
        };
        for experiment in experiments {
            let (all, left) = (
                results(experiment, window).1.len(),
                usable(experiment, window).len(),
            );
            if left < all {
                notes.push(format!(
                    "{}: {} of {all} seeds end with no number, or one too large to count, and are left out.",
                    experiment.name,
                    all - left
                ));
            }
        }
        let mut scales: Vec<Scale> = envs.iter().map(scale).collect();
        for scale in scales.iter().filter(|scale| !scale.is_usable()) {
            notes.push(format!(
                "{}: all returns are the same, so it is left out.",
                scale.env
            ));
        }
        scales.retain(Scale::is_usable);
        let mut algorithms: Vec<Algorithm> = Vec::new();
        for experiment in experiments {
            let Some(env) = scales.iter().position(|scale| scale.env == experiment.env) else {
                continue;
            };
            let name = experiment.algorithm(several);
            let at = algorithms
                .iter()
                .position(|a| a.name == name && a.scores[env].is_empty());
            let at = at.unwrap_or_else(|| {
                algorithms.push(Algorithm {
                    name: name.to_owned(),
                    scores: vec![Vec::new(); scales.len()],
                    aggregate: None,
                });
                algorithms.len() - 1
            });
            let scores = usable(experiment, window).into_iter();
            algorithms[at].scores[env] = scores.map(|value| scales[env].score(value)).collect();
        }
        ensure!(
            !algorithms.is_empty(),
            "nothing to compare: no experiment has a result yet"
        );
        for algorithm in &mut algorithms {
            let missing =
                |(scale, scores): (&Scale, &Vec<f64>)| scores.is_empty().then(|| scale.env.clone());
            let missing: Vec<String> = scales
                .iter()
                .zip(&algorithm.scores)
                .filter_map(missing)
                .collect();
            if missing.is_empty() {
                algorithm.aggregate = Some(Aggregate::of(&algorithm.scores, several, bootstrap));
            } else {
                notes.push(format!(
                    "{} was not run on {}, so it has no aggregate.",
                    algorithm.name,
                    missing.join(", ")
                ));
            }
        }
        let pairs = pairs(&algorithms, scales.len(), bootstrap);
        if algorithms.len() > ALL_PAIRS {
            notes.push(format!(
                "More than {ALL_PAIRS} algorithms: each is compared with {} only.",
                algorithms[0].name
            ));
        }
        Ok(Self {
            scales,
            algorithms,
            pairs,
            notes,
        })
    }

    /// Whether scores are put on a common scale, since there are several environments.
    pub fn is_scaled(&self) -> bool {
        self.scales.iter().any(|scale| scale.ends.is_some())
    }
}

/// Results that can be put together: differences of larger ones overflow.
fn counts(result: f64) -> bool {
    result.abs() < 1e100
}

fn usable(experiment: &Experiment, window: usize) -> Vec<f64> {
    let mut results = results(experiment, window).1;
    results.retain(|&result| counts(result));
    results
}

impl Aggregate {
    fn of(scores: &[Vec<f64>], scaled: bool, bootstrap: &Bootstrap) -> Self {
        let estimate = |statistic: &dyn Fn(&mut [Vec<f64>]) -> f64| Estimate {
            value: statistic(&mut scores.to_vec()),
            interval: bootstrap.interval(scores, statistic),
        };
        let across = |statistic: Statistic| estimate(&|tasks| statistic.across(tasks));
        Self {
            iqm: across(Statistic::Iqm),
            mean: across(Statistic::Mean),
            median: across(Statistic::Median),
            optimality_gap: scaled.then(|| estimate(&|tasks| stats::optimality_gap(tasks, 1.0))),
        }
    }
}

fn pairs(algorithms: &[Algorithm], envs: usize, bootstrap: &Bootstrap) -> Vec<Pair> {
    let firsts = if algorithms.len() > ALL_PAIRS {
        1
    } else {
        algorithms.len()
    };
    let of = (0..firsts).flat_map(|i| (i + 1..algorithms.len()).map(move |j| (i, j)));
    let mut pairs = Vec::new();
    for (i, j) in of {
        let (x, y) = (&algorithms[i].scores, &algorithms[j].scores);
        let both: Vec<usize> = (0..envs)
            .filter(|&env| !x[env].is_empty() && !y[env].is_empty())
            .collect();
        let mut add = |env: Option<usize>, envs: &[usize]| {
            let side = |scores: &[Vec<f64>]| -> Vec<Vec<f64>> {
                envs.iter().map(|&env| scores[env].clone()).collect()
            };
            let (x, y) = (side(x), side(y));
            let tasks = [x.clone(), y.clone()].concat();
            let improvement = |both: &mut [Vec<f64>]| {
                let (x, y) = both.split_at(both.len() / 2);
                stats::improvement(x, y)
            };
            pairs.push(Pair {
                of: (i, j),
                env,
                improvement: Estimate {
                    value: stats::improvement(&x, &y),
                    interval: bootstrap.interval(&tasks, improvement),
                },
                p: permutation_test(&x, &y, bootstrap.seed),
                p_corrected: 1.0,
            });
        };
        if both.len() > 1 {
            add(None, &both);
        }
        both.iter().for_each(|&env| add(Some(env), &[env]));
    }
    correct(&mut pairs);
    pairs
}

/// How often exchanging runs of `x` and `y` within their task leads at least as far from a probability of improvement of
/// 1/2 as `x` and `y` are; 1 where there is no pair of runs.
fn permutation_test(x: &[Vec<f64>], y: &[Vec<f64>], seed: u64) -> f64 {
    let distance = |x: &[Vec<f64>], y: &[Vec<f64>]| (stats::improvement(x, y) - 0.5).abs();
    // Sums of halves over products of counts: far above their rounding, below any step between two of them.
    let seen = distance(x, y) - 1e-9;
    let mut rng = Seeds::new(seed).stream("permutation", 0);
    let (mut a, mut b) = (x.to_vec(), y.to_vec());
    let mut as_far = 0;
    for _ in 0..PERMUTATIONS {
        for (a, b) in a.iter_mut().zip(&mut b) {
            // Fisher and Yates, as far as `a` reaches.
            let all = a.len() + b.len();
            for i in 0..a.len() {
                match rng.random_range(i..all) {
                    j if j < a.len() => a.swap(i, j),
                    j => {
                        let other = j - a.len();
                        std::mem::swap(&mut a[i], &mut b[other]);
                    }
                }
            }
        }
        as_far += usize::from(distance(&a, &b) >= seen);
    }
    (1 + as_far) as f64 / (1 + PERMUTATIONS) as f64
}

/// Holm's correction: the smallest p-value counts as often as there are pairs, the next one time less, and none less than
/// the one before.
fn correct(pairs: &mut [Pair]) {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|&a, &b| pairs[a].p.total_cmp(&pairs[b].p));
    let mut least = 0.0_f64;
    for (rank, &at) in order.iter().enumerate() {
        least = least
            .max((pairs.len() - rank) as f64 * pairs[at].p)
            .min(1.0);
        pairs[at].p_corrected = least;
    }
}

/// Tables in Markdown that also read well in a terminal.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_scaled() {
            writeln!(
                f,
                "Scores over {} environments, from the returns at the end of each seed:\n",
                self.scales.len()
            )?;
            for scale in &self.scales {
                writeln!(f, "- {}: {}", scale.env, scale.meaning)?;
            }
            let header = [
                "algorithm",
                "IQM [95 %]",
                "mean",
                "median",
                "optimality gap",
            ];
            let mut rows = vec![header.map(str::to_owned).to_vec()];
            for algorithm in &self.algorithms {
                let Some(all) = algorithm.aggregate else {
                    continue;
                };
                let gap = all
                    .optimality_gap
                    .map_or_else(String::new, |gap| gap.to_string());
                let cells = [
                    all.iqm.to_string(),
                    all.mean.to_string(),
                    all.median.to_string(),
                    gap,
                ];
                rows.push([vec![algorithm.name.clone()], cells.to_vec()].concat());
            }
            if rows.len() > 1 {
                write!(f, "\n{}", markdown(&rows))?;
            }
        }
        if !self.pairs.is_empty() {
            let header = [
                "first",
                "second",
                "environment",
                "P(first is better) [95 %]",
                "p",
                "p corrected",
                "the first is",
            ];
            let mut rows = vec![header.map(str::to_owned).to_vec()];
            for pair in &self.pairs {
                let env = match pair.env {
                    Some(_) if !self.is_scaled() => "",
                    Some(env) => &self.scales[env].env,
                    None => "all",
                };
                let (first, second) = pair.of;
                rows.push(vec![
                    self.algorithms[first].name.clone(),
                    self.algorithms[second].name.clone(),
                    env.to_owned(),
                    pair.improvement.to_string(),
                    format!("{:.4}", pair.p),
                    format!("{:.4}", pair.p_corrected),
                    pair.verdict().to_owned(),
                ]);
            }
            let separator = if self.is_scaled() { "\n" } else { "" };
            write!(f, "{separator}{}", markdown(&rows))?;
            writeln!(
                f,
                "\np: how often chance alone puts two equal algorithms as far apart (permutation test); corrected for {} by \
                 Holm's method. Told apart below {LEVEL}.",
                match self.pairs.len() {
                    1 => "1 pair".to_owned(),
                    pairs => format!("{pairs} pairs"),
                }
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{Evaluation, SeedRun};

    fn experiment(name: &str, env: &str, start: f64, ends: &[f64]) -> Experiment {
        let run = |(seed, &end): (usize, &f64)| SeedRun {
            seed: seed as u64,
            evaluations: [(0, start), (100, end)]
                .map(|(step, value)| Evaluation {
                    step,
                    returns: vec![value],
                    lengths: vec![1],
                    only_action: None,
                })
                .to_vec(),
            last_step: 100,
            finished: true,
            ..SeedRun::default()
        };
        Experiment {
            name: name.to_owned(),
            env: env.to_owned(),
            agent: "a".to_owned(),
            seeds: ends.iter().enumerate().map(run).collect(),
            ..Experiment::default()
        }
    }

    fn compared(experiments: &[Experiment]) -> Comparison {
        Comparison::of(experiments, &Bootstrap::default(), 10).unwrap()
    }

    #[test]
    fn returns_become_scores_between_the_start_and_the_known_best() {
        let mut easy = experiment("easy-a", "easy", 10.0, &[110.0, 60.0]);
        easy.lines = vec![ReferenceLine::solved(90.0), ReferenceLine::optimum(110.0)];
        let hard = experiment("hard-a", "hard", -4.0, &[-2.0, 0.0]);
        let both = compared(&[easy, hard]);
        assert_eq!(both.algorithms.len(), 1, "both are runs of `a`");
        assert_eq!(both.algorithms[0].name, "a");
        assert_eq!(both.algorithms[0].scores, [vec![1.0, 0.5], vec![0.5, 1.0]]);
        let aggregate = both.algorithms[0].aggregate.unwrap();
        assert_eq!(aggregate.mean.value, 0.75);
        assert_eq!(aggregate.optimality_gap.unwrap().value, 0.25);
        assert!(
            both.to_string()
                .contains("easy: 0 is 10 (before training), 1 is 110 (optimum)"),
            "{both}"
        );
        assert!(
            both.to_string()
                .contains("hard: 0 is -4 (before training), 1 is 0 (the best run)"),
            "{both}"
        );
    }

    #[test]
    fn one_environment_is_compared_in_its_own_unit() {
        let one = compared(&[
            experiment("x", "easy", 0.0, &[5.0, 7.0]),
            experiment("y", "easy", 0.0, &[1.0, 6.0]),
        ]);
        assert_eq!(one.algorithms[0].scores, [vec![5.0, 7.0]]);
        // Of four pairs, three are won.
        assert_eq!(one.pairs[0].improvement.value, 0.75);
        assert_eq!((one.pairs.len(), one.pairs[0].env), (1, Some(0)));
        assert!(!one.is_scaled());
    }

    #[test]
    fn an_algorithm_that_misses_an_environment_is_said() {
        let some = compared(&[
            experiment("easy-x", "easy", 0.0, &[1.0, 2.0]),
            experiment("hard-x", "hard", 0.0, &[1.0, 2.0]),
            experiment("hard-y", "hard", 0.0, &[3.0, 4.0]),
        ]);
        assert_eq!(
            some.notes,
            ["y was not run on easy, so it has no aggregate."]
        );
        assert!(some.algorithms[1].aggregate.is_none());
        assert_eq!(some.pairs.len(), 1, "they meet on one environment");
        assert_eq!(some.pairs[0].env, Some(1));
    }

    /// Of the 20 ways to give 3 of 6 different runs to one side, two lead to no overlap: p is 0.1.
    #[test]
    fn three_runs_against_three_are_never_a_difference() {
        let (x, y) = ([vec![4.0, 5.0, 6.0]], [vec![1.0, 2.0, 3.0]]);
        let p = permutation_test(&x, &y, 1);
        // Deviation of a share of 0.1 of 9,999: 0.003.
        assert!((p - 0.1).abs() < 0.015, "{p}");
        let pair = compared(&[
            experiment("x", "e", 0.0, &x[0]),
            experiment("y", "e", 0.0, &y[0]),
        ]);
        assert_eq!(pair.pairs[0].verdict(), "not told apart");
    }

    #[test]
    fn runs_far_apart_are_a_difference_and_equal_ones_are_none() {
        let high: Vec<f64> = (10..15).map(f64::from).collect();
        let low: Vec<f64> = (0..5).map(f64::from).collect();
        let pair = compared(&[
            experiment("x", "e", 0.0, &high),
            experiment("y", "e", 0.0, &low),
        ]);
        assert_eq!(pair.pairs[0].verdict(), "better");
        let pair = compared(&[
            experiment("x", "e", 0.0, &low),
            experiment("y", "e", 0.0, &high),
        ]);
        assert_eq!(pair.pairs[0].verdict(), "worse");
        let pair = compared(&[
            experiment("x", "e", 0.0, &low),
            experiment("y", "e", 0.0, &low),
        ]);
        assert_eq!(
            (pair.pairs[0].p, pair.pairs[0].verdict()),
            (1.0, "not told apart")
        );
    }

    #[test]
    fn holm_by_hand() {
        let pair = |p: f64| Pair {
            of: (0, 1),
            env: None,
            improvement: Estimate {
                value: 0.9,
                interval: None,
            },
            p,
            p_corrected: 1.0,
        };
        let mut pairs = [0.04, 0.01, 0.03].map(pair);
        correct(&mut pairs);
        // 3 x 0.01, 2 x 0.03, and 0.04 not below the one before.
        assert_eq!(pairs.map(|pair| pair.p_corrected), [0.06, 0.03, 0.06]);
    }
}
