//! Several algorithms on one or several environments: scores that can be put together, and which differences are there.
//!
//! # Reference
//! Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (2021), section 4: aggregates,
//! intervals, profiles and probabilities of improvement. Deviations: environments may have other numbers of runs, and what
//! pools runs then weighs them by those (a note says so). Whether two algorithms differ is judged by a permutation test
//! (Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005, section 3.2) with Holm's correction ("A Simple
//! Sequentially Rejective Multiple Test Procedure", 1979) and not by the bootstrap interval, which is too narrow for a
//! handful of runs: three runs against three always give an interval that excludes 1/2 where none of them overlap, which
//! happens by chance once in ten times.

use std::fmt;

use anyhow::{Result, ensure};
use thorndike_core::{Rng, Seeds, rand::RngExt};

use crate::runs::{Experiment, ReferenceLine};
use crate::stats::{self, Bootstrap, Statistic};
use crate::summary::{Estimate, markdown, number, results};

/// Beyond so many algorithms each is compared with the first one only.
const ALL_PAIRS: usize = 6;
/// Random exchanges of a permutation test: the smallest p-value is 1 / 10,000. Where there are no more ways than these to
/// share the runs out, all are counted instead.
const PERMUTATIONS: usize = 9_999;
/// Two algorithms are told apart below this corrected p-value.
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
    /// What a reader must know, in sentences.
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
    /// For each environment the score at the end of each seed; empty where there is none.
    pub scores: Vec<Vec<f64>>,
    /// Over all environments that have a scale; `None` where the scores of one are missing.
    pub aggregate: Option<Aggregate>,
}

/// Scores of an algorithm over all environments.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Scores of the environments that are put together.
    pub scores: Vec<Vec<f64>>,
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
    /// Which of the two is better, if that can be told.
    pub verdict: Verdict,
}

/// What a pair comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first ends higher.
    Better,
    /// The second does.
    Worse,
    /// The difference may be chance.
    NotToldApart,
    /// No difference, however large, could be told from chance by so few runs and so many pairs.
    TooFewRuns,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotToldApart => "not told apart",
            Self::TooFewRuns => "too few runs to tell",
        })
    }
}

impl Scale {
    fn of(env: &str, experiments: &[&Experiment], window: usize) -> Self {
        let all = experiments.iter().flat_map(|e| usable(e, window));
        let results: Vec<f64> = all.collect();
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
        let known = known(ReferenceLine::OPTIMUM).or_else(|| known(ReferenceLine::SOLVED));
        let (high, high_is) = match known {
            Some(line) => (line.value, &*line.label),
            None => (
                results.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                "the best run",
            ),
        };
        let (ends, meaning) = if low < high && (high - low).is_finite() {
            let meaning = format!(
                "0 is {} ({low_is}), 1 is {} ({high_is})",
                number(low),
                number(high)
            );
            (Some((low, high)), meaning)
        } else {
            (
                None,
                format!("no run ended higher than {low_is}, so there is no scale"),
            )
        };
        Self {
            env: env.to_owned(),
            ends,
            meaning,
        }
    }

    /// The score of a return.
    pub fn score(&self, value: f64) -> f64 {
        self.ends
            .map_or(value, |(low, high)| (value - low) / (high - low))
    }
}

/// Names of the algorithms among experiments, and which one each experiment is of. An algorithm has one experiment an
/// environment; further ones of the same name count as another algorithm.
pub(crate) fn algorithms(experiments: &[Experiment]) -> (Vec<String>, Vec<usize>) {
    let several = experiments
        .windows(2)
        .any(|pair| pair[0].env != pair[1].env);
    let mut known: Vec<(String, Vec<&str>)> = Vec::new();
    let mut of = Vec::new();
    for experiment in experiments {
        let (name, env) = (experiment.algorithm(several), &*experiment.env);
        let is_free = |(other, envs): &(String, Vec<&str>)| *other == name && !envs.contains(&env);
        let index = known.iter().position(is_free).unwrap_or_else(|| {
            known.push((name, Vec::new()));
            known.len() - 1
        });
        known[index].1.push(env);
        of.push(index);
    }
    (known.into_iter().map(|(name, _)| name).collect(), of)
}

impl Comparison {
    /// Compares experiments by the returns at their ends. `window` is the number of episodes that stand for the end of a
    /// run without evaluations.
    ///
    /// # Errors
    /// If no experiment has a result yet.
    pub fn of(experiments: &[Experiment], bootstrap: &Bootstrap, window: usize) -> Result<Self> {
        let mut envs: Vec<&str> = Vec::new();
        for experiment in experiments {
            if !envs.contains(&&*experiment.env) {
                envs.push(&experiment.env);
            }
        }
        let scaled = envs.len() > 1;
        let scale = |env: &&str| {
            let here: Vec<&Experiment> = experiments.iter().filter(|e| e.env == **env).collect();
            match scaled {
                true => Scale::of(env, &here, window),
                false => Scale {
                    env: (*env).to_owned(),
                    ends: None,
                    meaning: "return".to_owned(),
                },
            }
        };
        let scales: Vec<Scale> = envs.iter().map(scale).collect();
        let (names, of) = algorithms(experiments);
        let named = |name| Algorithm {
            name,
            scores: vec![Vec::new(); scales.len()],
            aggregate: None,
        };
        let mut algorithms: Vec<Algorithm> = names.into_iter().map(named).collect();
        for (experiment, algorithm) in experiments.iter().zip(of) {
            let env = envs.iter().position(|env| *env == experiment.env);
            let env = env.expect("collected from the same experiments");
            let scores = usable(experiment, window).into_iter();
            algorithms[algorithm].scores[env] =
                scores.map(|value| scales[env].score(value)).collect();
        }
        ensure!(
            algorithms
                .iter()
                .any(|a| a.scores.iter().any(|s| !s.is_empty())),
            "nothing to compare: no experiment has a result yet"
        );
        let mut notes = notes(experiments, &scales, scaled, window);
        // Returns of different environments are put together on their scales only.
        let together: Vec<usize> = (0..scales.len())
            .filter(|&env| !scaled || scales[env].ends.is_some())
            .collect();
        for algorithm in &mut algorithms {
            let missing = together
                .iter()
                .filter(|&&env| algorithm.scores[env].is_empty());
            let missing: Vec<&str> = missing.map(|&env| &*scales[env].env).collect();
            if !missing.is_empty() {
                notes.push(format!(
                    "{} has no result on {}, so it has no aggregate.",
                    algorithm.name,
                    missing.join(", ")
                ));
            } else if !together.is_empty() {
                let scores = together.iter().map(|&env| algorithm.scores[env].clone());
                algorithm.aggregate = Some(Aggregate::of(scores.collect(), scaled, bootstrap));
            }
        }
        if algorithms.len() > ALL_PAIRS {
            notes.push(format!(
                "More than {ALL_PAIRS} algorithms: each is compared with {} only.",
                algorithms[0].name
            ));
        }
        Ok(Self {
            pairs: pairs(&algorithms, scales.len(), bootstrap),
            scales,
            algorithms,
            notes,
        })
    }

    /// Whether returns are put on a common scale, since there are several environments.
    pub fn is_scaled(&self) -> bool {
        self.scales.len() > 1
    }
}

/// What a reader must know of the results that were put together.
fn notes(experiments: &[Experiment], scales: &[Scale], scaled: bool, window: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let mut runs = Vec::new();
    for experiment in experiments {
        let (all, left) = (
            results(experiment, window).1.len(),
            usable(experiment, window).len(),
        );
        runs.push(left);
        if left < all {
            notes.push(format!(
                "{}: {} of {all} seeds end with no number, or one too large to count, and are left out.",
                experiment.name,
                all - left
            ));
        }
    }
    if scaled {
        let without = scales.iter().filter(|scale| scale.ends.is_none());
        notes.extend(without.map(|scale| format!("{} is left out of the scores.", scale.env)));
        if runs.iter().any(|&n| n != runs[0]) {
            notes.push(
                "Numbers of seeds differ: where runs are pooled, environments of more seeds weigh more.".to_owned(),
            );
        }
    }
    let evaluated = |experiment: &Experiment| results(experiment, window).0;
    if experiments
        .windows(2)
        .any(|pair| evaluated(&pair[0]) != evaluated(&pair[1]))
    {
        notes.push(
            "Some results are greedy evaluations and others returns while learning, which are lower.".to_owned(),
        );
    }
    notes
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
    fn of(scores: Vec<Vec<f64>>, scaled: bool, bootstrap: &Bootstrap) -> Self {
        let estimate = |statistic: &dyn Fn(&mut [Vec<f64>]) -> f64| Estimate {
            value: statistic(&mut scores.clone()),
            interval: bootstrap.interval(&scores, statistic),
        };
        let across = |statistic: Statistic| estimate(&|tasks| statistic.across(tasks));
        let gap = |tasks: &mut [Vec<f64>]| stats::optimality_gap(tasks, 1.0);
        Self {
            iqm: across(Statistic::Iqm),
            mean: across(Statistic::Mean),
            median: across(Statistic::Median),
            optimality_gap: scaled.then(|| estimate(&gap)),
            scores,
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
    // The least p-value that each pair could have.
    let mut least = Vec::new();
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
            let mut rng = Seeds::new(bootstrap.seed).stream("permutation", pairs.len() as u64);
            least.push(least_p(&x, &y));
            pairs.push(Pair {
                of: (i, j),
                env,
                improvement: Estimate {
                    value: stats::improvement(&x, &y),
                    interval: bootstrap.interval(&tasks, improvement),
                },
                p: permutation_test(&x, &y, &mut rng),
                p_corrected: 1.0,
                verdict: Verdict::NotToldApart,
            });
        };
        if both.len() > 1 {
            add(None, &both);
        }
        both.iter().for_each(|&env| add(Some(env), &[env]));
    }
    // What is asked over all environments is one family of questions, what is asked of each is another.
    for over_all in [true, false] {
        let of: Vec<usize> = (0..pairs.len())
            .filter(|&pair| pairs[pair].env.is_none() == over_all)
            .collect();
        let corrected = holm(&of.iter().map(|&pair| pairs[pair].p).collect::<Vec<_>>());
        for (&at, corrected) in of.iter().zip(corrected) {
            let pair = &mut pairs[at];
            pair.p_corrected = corrected;
            pair.verdict = if corrected < LEVEL && pair.improvement.value > 0.5 {
                Verdict::Better
            } else if corrected < LEVEL {
                Verdict::Worse
            } else if least[at] * of.len() as f64 >= LEVEL {
                Verdict::TooFewRuns
            } else {
                Verdict::NotToldApart
            };
        }
    }
    pairs
}

/// Ways to choose `k` of `n`, as far as `most`.
fn ways(n: usize, k: usize, most: usize) -> usize {
    let mut ways: usize = 1;
    for i in 0..k.min(n - k) {
        // Exact: a product of i + 1 numbers in a row is divisible by (i + 1)!.
        ways = ways.saturating_mul(n - i) / (i + 1);
        if ways > most {
            return most;
        }
    }
    ways
}

/// The p-value of runs of which none overlap.
fn least_p(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
    let of_task =
        |(x, y): (&Vec<f64>, &Vec<f64>)| ways(x.len() + y.len(), x.len(), PERMUTATIONS + 1) as f64;
    let all: f64 = x.iter().zip(y).map(of_task).product();
    2.0 / all.min((PERMUTATIONS + 1) as f64)
}

/// How often exchanging runs of `x` and `y` within their task leads at least as far from a probability of improvement of
/// 1/2 as `x` and `y` are.
fn permutation_test(x: &[Vec<f64>], y: &[Vec<f64>], rng: &mut Rng) -> f64 {
    let distance = |x: &[Vec<f64>], y: &[Vec<f64>]| (stats::improvement(x, y) - 0.5).abs();
    // Sums of halves over products of counts: far above their rounding, below any step between two of them.
    let seen = distance(x, y) - 1e-9;
    if let ([one], [other]) = (x, y) {
        let all = one.len() + other.len();
        if ways(all, one.len(), PERMUTATIONS + 1) <= PERMUTATIONS {
            return exact_test(&[&one[..], other].concat(), one.len(), |x, y| {
                distance(&[x.to_vec()], &[y.to_vec()]) >= seen
            });
        }
    }
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

/// The share of all ways to give `first` of the runs to one side and the rest to the other in which both are `as_far`.
fn exact_test(runs: &[f64], first: usize, as_far: impl Fn(&[f64], &[f64]) -> bool) -> f64 {
    let (mut count, mut far) = (0, 0);
    // Indices of the runs on the first side, ascending; the next choice in lexicographic order.
    let mut chosen: Vec<usize> = (0..first).collect();
    loop {
        let mut sides = [Vec::with_capacity(first), Vec::new()];
        for (i, &run) in runs.iter().enumerate() {
            sides[usize::from(!chosen.contains(&i))].push(run);
        }
        count += 1;
        far += usize::from(as_far(&sides[0], &sides[1]));
        let movable = |&i: &usize| chosen[i] < runs.len() - first + i;
        let Some(last) = (0..first).rev().find(movable) else {
            return f64::from(far as u32) / f64::from(count);
        };
        chosen[last] += 1;
        for i in last + 1..first {
            chosen[i] = chosen[i - 1] + 1;
        }
    }
}

/// Holm's correction: the smallest p-value counts as often as there are questions, the next one time less, and none less
/// than the one before.
fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![1.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, &at) in order.iter().enumerate() {
        least = least.max((p.len() - rank) as f64 * p[at]).min(1.0);
        corrected[at] = least;
    }
    corrected
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
            let mut rows = vec![header.map(str::to_owned)];
            for algorithm in &self.algorithms {
                let Some(all) = &algorithm.aggregate else {
                    continue;
                };
                rows.push([
                    algorithm.name.clone(),
                    all.iqm.to_string(),
                    all.mean.to_string(),
                    all.median.to_string(),
                    all.optimality_gap
                        .map_or_else(String::new, |gap| gap.to_string()),
                ]);
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
            let mut rows = vec![header.map(str::to_owned)];
            for pair in &self.pairs {
                let env = match pair.env {
                    Some(_) if !self.is_scaled() => "",
                    Some(env) => &self.scales[env].env,
                    None => "all",
                };
                let (first, second) = pair.of;
                rows.push([
                    self.algorithms[first].name.clone(),
                    self.algorithms[second].name.clone(),
                    env.to_owned(),
                    pair.improvement.to_string(),
                    format!("{:.4}", pair.p),
                    format!("{:.4}", pair.p_corrected),
                    pair.verdict.to_string(),
                ]);
            }
            let separator = if self.is_scaled() { "\n" } else { "" };
            write!(f, "{separator}{}", markdown(&rows))?;
            let over_all = self.pairs.iter().filter(|pair| pair.env.is_none()).count();
            let questions = match (over_all, self.pairs.len() - over_all) {
                (0, 1) => "1 question".to_owned(),
                (0, single) => format!("{single} questions"),
                (all, single) => {
                    format!("{all} questions over all environments and {single} of single ones")
                }
            };
            writeln!(
                f,
                "\np: how often chance alone puts two equal algorithms as far apart (permutation test); corrected by Holm's \
                 method for {questions}. Told apart below {LEVEL}."
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
        let aggregate = both.algorithms[0].aggregate.clone().unwrap();
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
            ["y has no result on easy, so it has no aggregate."]
        );
        assert!(some.algorithms[1].aggregate.is_none());
        assert_eq!(some.pairs.len(), 1, "they meet on one environment");
        assert_eq!(some.pairs[0].env, Some(1));
    }

    /// Of the 20 ways to give 3 of 6 different runs to one side, two lead to no overlap.
    #[test]
    fn three_runs_against_three_are_never_a_difference() {
        let (x, y) = ([vec![4.0, 5.0, 6.0]], [vec![1.0, 2.0, 3.0]]);
        let mut rng = Seeds::new(1).stream("permutation", 0);
        assert_eq!(permutation_test(&x, &y, &mut rng), 0.1);
        let pair = compared(&[
            experiment("x", "e", 0.0, &x[0]),
            experiment("y", "e", 0.0, &y[0]),
        ]);
        assert_eq!(pair.pairs[0].verdict, Verdict::TooFewRuns);
    }

    /// Five apart from five: 2 of 252 ways, and six pairs of four algorithms are 0.0476.
    #[test]
    fn few_runs_are_counted_and_not_drawn() {
        let four: Vec<Experiment> = (0..4)
            .map(|i| {
                let ends: Vec<f64> = (0..5).map(|seed| f64::from(10 * i + seed)).collect();
                experiment(&format!("a{i}"), "e", 0.0, &ends)
            })
            .collect();
        for pair in compared(&four).pairs {
            assert_eq!(pair.p, 2.0 / 252.0);
            assert_eq!(pair.verdict, Verdict::Worse);
        }
        assert_eq!(
            [ways(10, 5, 9_999), ways(14, 7, 9_999), ways(60, 30, 9_999)],
            [252, 3432, 9_999]
        );
    }

    /// Of one task of eight runs with ties, once by all 70 ways and once by drawing.
    #[test]
    fn drawing_comes_near_to_counting() {
        let (x, y) = (vec![1.0, 4.0, 4.0, 7.0], vec![0.0, 1.0, 2.0, 4.0]);
        let mut rng = Seeds::new(1).stream("permutation", 0);
        let exact = permutation_test(std::slice::from_ref(&x), std::slice::from_ref(&y), &mut rng);
        // A second task of equal runs changes nothing but that ways are drawn.
        let same = vec![3.0, 3.0];
        let drawn = permutation_test(&[x, same.clone()], &[y, same], &mut rng);
        // Five deviations of a share of 9,999.
        assert!((exact - drawn).abs() < 0.025, "{exact} {drawn}");
    }

    #[test]
    fn an_environment_without_a_scale_still_has_pairs() {
        let some = compared(&[
            experiment("easy-x", "easy", 5.0, &[1.0, 2.0]),
            experiment("easy-y", "easy", 5.0, &[3.0, 4.0]),
            experiment("hard-x", "hard", 0.0, &[1.0, 2.0]),
            experiment("hard-y", "hard", 0.0, &[3.0, 4.0]),
        ]);
        assert_eq!(some.notes, ["easy is left out of the scores."]);
        assert!(
            some.to_string()
                .contains("easy: no run ended higher than before training"),
            "{some}"
        );
        assert_eq!(
            some.algorithms[0].aggregate.as_ref().unwrap().scores.len(),
            1
        );
        assert_eq!(some.pairs.len(), 3);
        assert_eq!(some.algorithms[0].scores[0], [1.0, 2.0]);
    }

    #[test]
    fn versions_in_folders_of_their_own_stay_together() {
        let names = ["old/easy-x", "new/easy-x", "old/hard-x", "new/hard-x"];
        let both = names.map(|name| {
            let env = if name.contains("easy") {
                "easy"
            } else {
                "hard"
            };
            experiment(name, env, 0.0, &[1.0, 2.0])
        });
        let (names, of) = algorithms(&both);
        assert_eq!(
            (names, of),
            (
                vec!["old/x".to_owned(), "new/x".to_owned()],
                vec![0, 1, 0, 1]
            )
        );
    }

    #[test]
    fn what_differs_between_experiments_is_said() {
        let mut learning = experiment("hard-x", "hard", 0.0, &[1.0, 2.0, 3.0]);
        for run in &mut learning.seeds {
            run.evaluations.clear();
            run.episodes.push(crate::runs::Episode {
                env: 0,
                step: 5,
                episode_return: 1.0 + run.seed as f64,
                length: 5,
                status: thorndike_core::Status::Terminated,
            });
        }
        let some = compared(&[
            experiment("easy-x", "easy", 0.0, &[1.0, f64::NAN]),
            learning,
        ]);
        assert!(
            some.notes[0].starts_with("easy-x: 1 of 2 seeds end with no number"),
            "{:?}",
            some.notes
        );
        assert!(
            some.notes[1].starts_with("Numbers of seeds differ"),
            "{:?}",
            some.notes
        );
        assert!(
            some.notes[2].starts_with("Some results are greedy"),
            "{:?}",
            some.notes
        );
    }

    #[test]
    fn runs_far_apart_are_a_difference_and_equal_ones_are_none() {
        let high: Vec<f64> = (10..15).map(f64::from).collect();
        let low: Vec<f64> = (0..5).map(f64::from).collect();
        let pair = compared(&[
            experiment("x", "e", 0.0, &high),
            experiment("y", "e", 0.0, &low),
        ]);
        assert_eq!(pair.pairs[0].verdict, Verdict::Better);
        let pair = compared(&[
            experiment("x", "e", 0.0, &low),
            experiment("y", "e", 0.0, &high),
        ]);
        assert_eq!(pair.pairs[0].verdict, Verdict::Worse);
        let pair = compared(&[
            experiment("x", "e", 0.0, &low),
            experiment("y", "e", 0.0, &low),
        ]);
        assert_eq!(
            (pair.pairs[0].p, pair.pairs[0].verdict),
            (1.0, Verdict::NotToldApart)
        );
    }

    #[test]
    fn holm_by_hand() {
        // 3 x 0.01, 2 x 0.03, and 0.04 not below the one before.
        assert_eq!(holm(&[0.04, 0.01, 0.03]), [0.06, 0.03, 0.06]);
    }
}
