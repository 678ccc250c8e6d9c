//! What an experiment came to, in numbers and as a table.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::federated;
use crate::runs::{Experiment, SeedRun};
use crate::stats::{self, Bootstrap, Interval, Statistic};

/// Results at the end of an experiment: over the last evaluation of each seed, or where there are none, over the last
/// episodes of learning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Name of the experiment.
    pub name: String,
    /// Id of the environment.
    pub env: String,
    /// Id of the agent.
    pub agent: String,
    /// What is measured, such as `accuracy`; absent: returns of episodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<String>,
    /// Number of seeds that have a result.
    pub seeds: usize,
    /// Environment steps of the shortest and of the longest run.
    pub steps: (u64, u64),
    /// Episodes of learning, all seeds together.
    pub episodes: usize,
    /// Whether returns are greedy evaluations, or returns while learning.
    pub evaluated: bool,
    /// Interquartile mean over seeds.
    pub iqm: Estimate,
    /// Mean over seeds.
    pub mean: Estimate,
    /// Median over seeds.
    pub median: Estimate,
    /// Result of the worst seed.
    pub worst: f64,
    /// Result of the best seed.
    pub best: f64,
    /// Return of an optimal policy, if it is known.
    pub optimum: Option<f64>,
    /// How far the mean is below the optimum.
    pub regret: Option<f64>,
    /// Share of the bootstrap values inside each interval.
    pub confidence: f64,
}

/// A statistic with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The statistic, in units of return.
    pub value: f64,
    /// Its interval; `None` for a single seed.
    pub interval: Option<Interval>,
}

/// The return at the end of each seed that has one: of its last evaluation, or if no seed was evaluated, the mean of the
/// last `window` episodes of learning. And whether they are evaluations.
pub(crate) fn results(experiment: &Experiment, window: usize) -> (bool, Vec<f64>) {
    let evaluated = experiment
        .seeds
        .iter()
        .any(|run| !run.evaluations.is_empty());
    let last = |run: &SeedRun| match evaluated {
        true => run
            .evaluations
            .last()
            .map(|evaluation| stats::mean(&evaluation.returns)),
        false => stats::trailing_mean(&run.episode_curve(), window, 1)
            .last()
            .map(|point| point.1),
    };
    let results = experiment.seeds.iter().filter_map(last).collect();
    (evaluated, results)
}

impl Summary {
    /// Sums an experiment up. `window` is the number of episodes that stand for the end of a run without evaluations.
    ///
    /// # Errors
    /// If no seed has an evaluation or a finished episode yet.
    pub fn of(experiment: &Experiment, bootstrap: &Bootstrap, window: usize) -> Result<Self> {
        let (evaluated, results) = results(experiment, window);
        ensure!(
            !results.is_empty(),
            "{}: no evaluation and no finished episode yet",
            experiment.name
        );
        let estimate = |statistic: Statistic| Estimate {
            value: statistic.of(&mut results.clone()),
            interval: bootstrap.interval(std::slice::from_ref(&results), |tasks| {
                statistic.of(&mut tasks[0])
            }),
        };
        let steps = || experiment.seeds.iter().map(|run| run.last_step);
        let mean = estimate(Statistic::Mean);
        let optimum = experiment.optimum();
        Ok(Self {
            name: experiment.name.clone(),
            env: experiment.env.clone(),
            agent: experiment.agent.clone(),
            measure: experiment.measure.clone(),
            seeds: results.len(),
            steps: (steps().min().unwrap_or(0), steps().max().unwrap_or(0)),
            episodes: experiment.seeds.iter().map(|run| run.episodes.len()).sum(),
            evaluated,
            iqm: estimate(Statistic::Iqm),
            median: estimate(Statistic::Median),
            worst: results.iter().copied().fold(f64::INFINITY, f64::min),
            best: results.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            optimum,
            regret: optimum.map(|optimum| optimum - mean.value),
            mean,
            confidence: bootstrap.confidence,
        })
    }

    fn steps(&self) -> String {
        let (shortest, longest) = self.steps;
        if shortest == longest {
            longest.to_string()
        } else {
            format!("{shortest} to {longest}")
        }
    }

    /// A bootstrap of few seeds knows little of how far seeds lie apart. Empty where there are enough, or no interval.
    pub fn hint(&self) -> String {
        match (self.seeds, self.iqm.interval) {
            (seeds @ ..=4, Some(_)) => {
                format!(" (from {seeds} seeds: take the interval as a hint)")
            }
            _ => String::new(),
        }
    }

    fn kind(&self) -> &'static str {
        if self.evaluated {
            "evaluated"
        } else {
            "while learning"
        }
    }
}

/// One line for each figure.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} on {}", self.name, self.agent, self.env)?;
        writeln!(f, "  seeds      {}", self.seeds)?;
        let percent = number(100.0 * self.confidence);
        let unit = match &self.measure {
            _ if self.agent.starts_with(federated::PREFIX) => "rounds",
            None => "steps",
            Some(_) => "samples",
        };
        writeln!(f, "  {unit:<9}  {} each", self.steps())?;
        match &self.measure {
            None => {
                writeln!(f, "  episodes   {} in all", self.episodes)?;
                let kind = self.kind();
                write!(f, "  return at the end, {kind} [{percent} % interval")?;
            }
            Some(measure) => {
                write!(f, "  {measure} at the end [{percent} % interval")?;
            }
        }
        writeln!(f, " over seeds]{}", self.hint())?;
        for (name, estimate) in [
            ("IQM", self.iqm),
            ("mean", self.mean),
            ("median", self.median),
        ] {
            writeln!(f, "    {name:<8} {estimate}")?;
        }
        writeln!(
            f,
            "    seeds    {} to {}",
            number(self.worst),
            number(self.best)
        )?;
        if let (Some(optimum), Some(regret)) = (self.optimum, self.regret) {
            writeln!(
                f,
                "    regret   {} (optimum {})",
                number(regret),
                number(optimum)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interval {
            Some(Interval { low, high }) => {
                write!(
                    f,
                    "{} [{}, {}]",
                    number(self.value),
                    number(low),
                    number(high)
                )
            }
            None => f.write_str(&number(self.value)),
        }
    }
}

/// Several experiments in a Markdown table that also reads well in a terminal, one row each.
pub fn table(summaries: &[Summary]) -> String {
    let differ = |key: fn(&Summary) -> &str| {
        summaries
            .windows(2)
            .any(|pair| key(&pair[0]) != key(&pair[1]))
    };
    let several_envs = differ(|summary| &summary.env);
    let several_kinds = differ(Summary::kind);
    let confidence = summaries.first().map_or(0.95, |summary| summary.confidence);
    let iqm = format!("IQM [{} %]", number(100.0 * confidence));
    let header = [
        "experiment",
        "environment",
        "return",
        "seeds",
        "steps",
        "episodes",
        &iqm,
        "mean",
        "median",
        "worst to best seed",
        "regret",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for summary in summaries {
        rows.push([
            summary.name.clone(),
            if several_envs {
                summary.env.clone()
            } else {
                String::new()
            },
            if several_kinds {
                summary.kind().to_owned()
            } else {
                String::new()
            },
            summary.seeds.to_string(),
            summary.steps(),
            summary.episodes.to_string(),
            summary.iqm.to_string(),
            summary.mean.to_string(),
            summary.median.to_string(),
            format!("{} to {}", number(summary.worst), number(summary.best)),
            summary.regret.map_or_else(String::new, number),
        ]);
    }
    markdown(&rows)
}

/// Rows of equal length, the header first, as a Markdown table that lines up. Columns without an entry are left out.
pub(crate) fn markdown<R: AsRef<[String]>>(rows: &[R]) -> String {
    let columns = rows.first().map_or(0, |header| header.as_ref().len());
    let shown: Vec<(usize, usize)> = (0..columns)
        .filter(|&column| rows[1..].iter().any(|row| !row.as_ref()[column].is_empty()))
        .map(|column| {
            (
                column,
                rows.iter()
                    .map(|row| row.as_ref()[column].chars().count())
                    .max()
                    .unwrap_or(0),
            )
        })
        .collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for &(column, width) in &shown {
            text += &format!("| {:<width$} ", row.as_ref()[column].replace('|', "¦"));
        }
        text += "|\n";
        if index == 0 {
            for &(_, width) in &shown {
                text += &format!("|{:-<1$}", "", width + 2);
            }
            text += "|\n";
        }
    }
    text
}

/// Four digits, or all whole ones.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() || (value != 0.0 && !(1e-4..1e9).contains(&value.abs())) {
        return format!("{value:.3e}");
    }
    let before = value.abs().max(1e-4).log10().floor() as i32;
    let text = format!("{value:.*}", (3 - before).clamp(0, 7) as usize);
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{Episode, Evaluation, ReferenceLine};
    use thorndike_core::Status;

    fn experiment(name: &str, finals: &[f64]) -> Experiment {
        let run = |(seed, &value): (usize, &f64)| SeedRun {
            seed: seed as u64,
            evaluations: vec![
                Evaluation {
                    step: 10,
                    returns: vec![0.0],
                    lengths: vec![1],
                    only_action: None,
                },
                Evaluation {
                    step: 20,
                    returns: vec![value - 1.0, value + 1.0],
                    lengths: vec![1, 1],
                    only_action: None,
                },
            ],
            episodes: vec![Episode {
                env: 0,
                step: 15,
                episode_return: 7.0,
                length: 15,
                status: Status::Terminated,
            }],
            last_step: 20,
            finished: true,
            ..SeedRun::default()
        };
        Experiment {
            name: name.to_owned(),
            env: "cart-pole".to_owned(),
            agent: "dqn".to_owned(),
            seeds: finals.iter().enumerate().map(run).collect(),
            ..Experiment::default()
        }
    }

    #[test]
    fn the_last_evaluations_count_and_regret_is_below_the_optimum() {
        let mut experiment = experiment("a", &[500.0, 480.0, 9.0, 500.0, 490.0]);
        experiment.lines = vec![ReferenceLine::solved(475.0), ReferenceLine::optimum(500.0)];
        let summary = Summary::of(&experiment, &Bootstrap::default(), 100).unwrap();
        assert_eq!(summary.iqm.value, 490.0);
        assert_eq!(summary.mean.value, 395.8);
        assert_eq!(summary.median.value, 490.0);
        assert_eq!((summary.worst, summary.best), (9.0, 500.0));
        assert_eq!(
            (summary.steps, summary.episodes, summary.seeds),
            ((20, 20), 5, 5)
        );
        assert!((summary.regret.unwrap() - 104.2).abs() < 1e-9);
    }

    #[test]
    fn without_evaluations_the_last_episodes_count() {
        let mut experiment = experiment("a", &[1.0]);
        let run = &mut experiment.seeds[0];
        run.evaluations.clear();
        run.episodes.push(Episode {
            env: 0,
            step: 20,
            episode_return: 9.0,
            length: 5,
            status: Status::Terminated,
        });
        let two = Summary::of(&experiment, &Bootstrap::default(), 2).unwrap();
        assert_eq!(
            (two.mean.value, two.evaluated, two.mean.interval),
            (8.0, false, None)
        );
        assert_eq!(
            Summary::of(&experiment, &Bootstrap::default(), 1)
                .unwrap()
                .mean
                .value,
            9.0
        );
        experiment.seeds[0].episodes.clear();
        assert!(Summary::of(&experiment, &Bootstrap::default(), 1).is_err());
    }

    #[test]
    fn an_interval_over_few_seeds_is_called_a_hint() {
        let options = Bootstrap {
            resamples: 10,
            ..Bootstrap::default()
        };
        let hint = |finals: &[f64]| {
            let summary = Summary::of(&experiment("a", finals), &options, 1).unwrap();
            assert!(summary.to_string().contains(&summary.hint()));
            summary.hint()
        };
        assert_eq!(
            hint(&[1.0, 2.0]),
            " (from 2 seeds: take the interval as a hint)"
        );
        assert!(hint(&[1.0; 4]).contains("from 4 seeds"));
        assert_eq!(hint(&[1.0; 5]), "");
        assert_eq!(hint(&[1.0]), "");
    }

    #[test]
    fn a_table_lines_up_and_leaves_empty_columns_out() {
        let options = Bootstrap {
            resamples: 10,
            ..Bootstrap::default()
        };
        let of = |name: &str, finals: &[f64]| {
            Summary::of(&experiment(name, finals), &options, 1).unwrap()
        };
        let table = table(&[of("one", &[0.74]), of("a|longer name", &[1234.5])]);
        let expected = "\
| experiment    | seeds | steps | episodes | IQM [95 %] | mean | median | worst to best seed |
|---------------|-------|-------|----------|------------|------|--------|--------------------|
| one           | 1     | 20    | 1        | 0.74       | 0.74 | 0.74   | 0.74 to 0.74       |
| a¦longer name | 1     | 20    | 1        | 1234       | 1234 | 1234   | 1234 to 1234       |
";
        assert_eq!(table, expected);
    }

    #[test]
    fn numbers_keep_four_digits() {
        let shown = [
            0.744_19,
            -13.0,
            487.333,
            0.0,
            -1e9,
            1.5e-7,
            99_999.4,
            -0.0,
            f64::NAN,
        ]
        .map(number);
        assert_eq!(
            shown,
            [
                "0.7442", "-13", "487.3", "0", "-1.000e9", "1.500e-7", "99999", "0", "NaN"
            ]
        );
    }
}
