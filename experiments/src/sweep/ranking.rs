//! What came of a sweep: the ranking of its trials, as a file, as a table and as the configuration of the best.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;
use thorndike_core::EnvSteps;

use super::file::{Sweep, Trial};
use super::folder::Choice;
use super::keys::{short_names, short_value};
use crate::config::Config;
use crate::launch::write_whole;
use crate::plot;
use crate::runs;
use crate::stats::{Bootstrap, mean};
use crate::summary::{Estimate, Summary, markdown, number};

const TABLE: &str = "table.csv";
const REPORT: &str = "sweep.json";
const BEST: &str = "best.toml";
const PICTURE: &str = "sweep.png";
/// What is written at the end of a sweep.
pub(super) const FILES: [&str; 4] = [TABLE, REPORT, BEST, PICTURE];

/// How a trial came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All seeds made their steps.
    Finished(Score),
    /// It could not be built, or a seed could not go on; and why.
    Failed(String),
}

/// The result of a trial: over its seeds, of the mean return of the last evaluation of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Interquartile mean: what trials are ranked by.
    pub iqm: Estimate,
    /// Seeds and their returns.
    pub returns: Vec<(u64, f64)>,
    /// Environment steps of each seed.
    pub steps: EnvSteps,
    /// What is to be said of an interval over few seeds; empty for enough of them.
    pub hint: String,
}

/// All trials, the best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// In their order. A trial that failed comes last; one that came to a later rung comes before the others.
    pub rows: Vec<Row>,
    /// The choices after each rung; none without halving.
    pub choices: Vec<Choice>,
}

/// One trial in a ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its number.
    pub trial: usize,
    /// How it came out.
    pub outcome: Outcome,
    /// The rung that it came to, from 0.
    pub rung: usize,
}

impl Outcome {
    /// The result, if there is one.
    pub fn score(&self) -> Option<&Score> {
        match self {
            Self::Finished(score) => Some(score),
            Self::Failed(_) => None,
        }
    }
}

impl Score {
    /// Sums a finished trial up.
    ///
    /// # Errors
    /// If it has no evaluation.
    pub(super) fn of(experiment: &runs::Experiment) -> Result<Outcome> {
        let bootstrap = Bootstrap::for_tables();
        let summary = Summary::of(experiment, &bootstrap, plot::Options::default().window)?;
        if !summary.iqm.value.is_finite() {
            return Ok(Outcome::Failed("its return is no finite number".to_owned()));
        }
        let last = |run: &runs::SeedRun| Some((run.seed, mean(&run.evaluations.last()?.returns)));
        Ok(Outcome::Finished(Self {
            iqm: summary.iqm,
            returns: experiment.seeds.iter().filter_map(last).collect(),
            steps: summary.steps.1,
            hint: summary.hint(),
        }))
    }
}

impl Ranking {
    /// Ranks trials that came out as `outcomes`, each with its rung.
    pub fn new(outcomes: Vec<(Outcome, usize)>, choices: Vec<Choice>) -> Self {
        let row = |(trial, (outcome, rung))| Row {
            trial,
            outcome,
            rung,
        };
        let mut rows: Vec<Row> = outcomes.into_iter().enumerate().map(row).collect();
        // Stable: ties go to the first.
        rows.sort_by(|a, b| match (a.outcome.score(), b.outcome.score()) {
            (Some(x), Some(y)) => {
                let value = y.iqm.value.total_cmp(&x.iqm.value);
                b.rung.cmp(&a.rung).then(value)
            }
            (x, y) => y.is_some().cmp(&x.is_some()),
        });
        Self { rows, choices }
    }

    /// The best trial; `None` if all failed.
    pub fn best(&self) -> Option<(usize, &Score)> {
        let row = self.rows.first()?;
        Some((row.trial, row.outcome.score()?))
    }

    /// Writes table, report, picture and the best configuration into the folder of the sweep.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(
        &self,
        sweep: &Sweep,
        trials: &[Trial],
        theme: plot::Theme,
        dir: &Path,
    ) -> Result<Written> {
        write_whole(&dir.join(TABLE), self.csv(sweep, trials).as_bytes())?;
        let report = serde_json::to_vec_pretty(&self.report(sweep, trials)?)?;
        write_whole(&dir.join(REPORT), &report)?;
        let Some((best, _)) = self.best() else {
            return Ok(Written::default());
        };
        let config = Config {
            name: format!("{}-best", sweep.name),
            ..trials[best].config.clone()
        };
        let text = format!(
            "# {} of the sweep {}\n{}",
            trials[best].config.name,
            sweep.name,
            config.to_toml()?
        );
        let (config, picture) = (dir.join(BEST), dir.join(PICTURE));
        write_whole(&config, text.as_bytes())?;
        plot::sweep(sweep, trials, self, theme, &picture)
            .with_context(|| format!("{}", picture.display()))?;
        Ok(Written {
            best: Some(config),
            picture: Some(picture),
        })
    }

    /// One line for each trial. No times: a sweep that was interrupted leaves the same bytes.
    fn csv(&self, sweep: &Sweep, trials: &[Trial]) -> String {
        let keys = sweep.keys.iter().map(|key| key.name.clone());
        let mut header = vec!["rank".to_owned(), "trial".to_owned()];
        header.extend(keys);
        header.extend(
            [
                "iqm", "low", "high", "worst", "best", "seeds", "steps", "failed",
            ]
            .map(str::to_owned),
        );
        let mut lines = vec![header];
        for (rank, row) in self.rows.iter().enumerate() {
            let trial = &trials[row.trial];
            let mut cells = vec![(rank + 1).to_string(), trial.config.name.clone()];
            cells.extend(trial.values.iter().map(|value| match value {
                toml::Value::String(text) => text.clone(),
                other => other.to_string().trim().to_owned(),
            }));
            match &row.outcome {
                Outcome::Finished(score) => {
                    let (low, high) = match score.iqm.interval {
                        Some(interval) => (interval.low.to_string(), interval.high.to_string()),
                        None => Default::default(),
                    };
                    let returns = || score.returns.iter().map(|seed| seed.1);
                    cells.extend([
                        score.iqm.value.to_string(),
                        low,
                        high,
                        returns().fold(f64::INFINITY, f64::min).to_string(),
                        returns().fold(f64::NEG_INFINITY, f64::max).to_string(),
                        score.returns.len().to_string(),
                        score.steps.to_string(),
                        String::new(),
                    ]);
                }
                Outcome::Failed(why) => {
                    cells.extend(std::iter::repeat_n(String::new(), 7));
                    cells.push(why.clone());
                }
            }
            lines.push(cells);
        }
        let line = |cells: Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
            cells.join(",") + "\n"
        };
        lines.into_iter().map(line).collect()
    }

    fn report(&self, sweep: &Sweep, trials: &[Trial]) -> Result<serde_json::Value> {
        #[derive(Serialize)]
        struct Line<'a> {
            rank: usize,
            trial: &'a str,
            values: serde_json::Map<String, serde_json::Value>,
            rung: usize,
            iqm: Option<&'a Estimate>,
            returns: &'a [(u64, f64)],
            steps: Option<EnvSteps>,
            failed: Option<&'a str>,
        }
        let mut lines = Vec::new();
        for (rank, row) in self.rows.iter().enumerate() {
            let trial = &trials[row.trial];
            let mut values = serde_json::Map::new();
            for (key, value) in sweep.keys.iter().zip(&trial.values) {
                values.insert(key.name.clone(), serde_json::to_value(value)?);
            }
            let score = row.outcome.score();
            lines.push(Line {
                rank: rank + 1,
                trial: &trial.config.name,
                values,
                rung: row.rung,
                iqm: score.map(|score| &score.iqm),
                returns: score.map_or(&[], |score| &score.returns),
                steps: score.map(|score| score.steps),
                failed: match &row.outcome {
                    Outcome::Failed(why) => Some(why),
                    Outcome::Finished(_) => None,
                },
            });
        }
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "name": sweep.name,
            "search": sweep.search,
            "objective": "IQM over seeds of the mean return of the last greedy evaluation",
            "trials": lines,
            "rungs": self.choices,
        }))
    }

    /// The first `most` trials as a table for people.
    pub fn table(&self, sweep: &Sweep, trials: &[Trial], most: usize) -> String {
        let confidence = Bootstrap::default().confidence;
        let mut header = vec!["rank".to_owned(), "trial".to_owned()];
        header.extend(short_names(&sweep.keys));
        header.push(format!("IQM [{} %]", number(100.0 * confidence)));
        header.extend(["seeds", "steps", "failed"].map(str::to_owned));
        let mut rows = vec![header];
        for (rank, row) in self.rows.iter().enumerate().take(most) {
            let trial = &trials[row.trial];
            let mut cells = vec![(rank + 1).to_string(), trial.config.name.clone()];
            let values = sweep.keys.iter().zip(&trial.values);
            cells.extend(values.map(|(key, value)| short_value(key, value)));
            cells.extend(match &row.outcome {
                Outcome::Finished(score) => [
                    score.iqm.to_string(),
                    score.returns.len().to_string(),
                    score.steps.to_string(),
                    String::new(),
                ],
                Outcome::Failed(why) => {
                    let none = String::new;
                    [none(), none(), none(), why.clone()]
                }
            });
            rows.push(cells);
        }
        markdown(&rows)
    }
}

/// What [`Ranking::write`] wrote for people; nothing of it if every trial failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The best configuration.
    pub best: Option<PathBuf>,
    /// The picture.
    pub picture: Option<PathBuf>,
}

fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Interval;

    fn finished(value: f64) -> Outcome {
        Outcome::Finished(Score {
            iqm: Estimate {
                value,
                interval: Some(Interval {
                    low: value - 1.0,
                    high: value + 0.5,
                }),
            },
            returns: vec![(1, value), (2, value + 0.5)],
            steps: 100,
            hint: String::new(),
        })
    }

    fn failed() -> Outcome {
        Outcome::Failed("seed 1: \"loss\", at step 3".to_owned())
    }

    fn sweep() -> (Sweep, Vec<Trial>) {
        let text = r#"
            search = { kind = "grid" }
            config = { steps = 100, env = { id = "frozen-lake" }, agent = { id = "q-learning" } }
            [keys]
            agent.params.gamma = [0.9, 0.95, 0.98, 0.99]
        "#;
        let sweep = Sweep::parse(text, "test", Path::new(""), &[]).unwrap();
        let trials = sweep.trials(&crate::standard()).unwrap();
        (sweep, trials)
    }

    fn order(outcomes: &[(Outcome, usize)]) -> Vec<usize> {
        let ranking = Ranking::new(outcomes.to_vec(), Vec::new());
        ranking.rows.iter().map(|row| row.trial).collect()
    }

    #[test]
    fn failed_trials_are_last_later_rungs_first_and_ties_go_to_the_first() {
        let outcomes = [
            (failed(), 0),
            (finished(1.0), 0),
            (finished(3.0), 0),
            (failed(), 0),
            (finished(3.0), 0),
        ];
        assert_eq!(order(&outcomes), [2, 4, 1, 0, 3]);
        let outcomes = [
            (finished(9.0), 0),
            (finished(1.0), 2),
            (finished(5.0), 1),
            (failed(), 2),
        ];
        assert_eq!(order(&outcomes), [1, 2, 0, 3]);
        assert_eq!(Ranking::new(vec![(failed(), 0)], Vec::new()).best(), None);
    }

    #[test]
    fn tables_have_a_line_for_each_trial_and_quote_where_they_must() {
        let (sweep, trials) = sweep();
        let outcomes = vec![
            (finished(1.0), 0),
            (failed(), 0),
            (finished(2.25), 0),
            (finished(0.0), 0),
        ];
        let ranking = Ranking::new(outcomes, Vec::new());
        let expected = "\
rank,trial,agent.params.gamma,iqm,low,high,worst,best,seeds,steps,failed
1,trial-002,0.98,2.25,1.25,2.75,2.25,2.75,2,100,
2,trial-000,0.9,1,0,1.5,1,1.5,2,100,
3,trial-003,0.99,0,-1,0.5,0,0.5,2,100,
4,trial-001,0.95,,,,,,,,\"seed 1: \"\"loss\"\", at step 3\"
";
        assert_eq!(ranking.csv(&sweep, &trials), expected);
        let expected = "\
| rank | trial     | gamma | IQM [95 %]        | seeds | steps |
|------|-----------|-------|-------------------|-------|-------|
| 1    | trial-002 | 0.98  | 2.25 [1.25, 2.75] | 2     | 100   |
| 2    | trial-000 | 0.9   | 1 [0, 1.5]        | 2     | 100   |
";
        assert_eq!(ranking.table(&sweep, &trials, 2), expected);
        assert!(
            ranking
                .table(&sweep, &trials, 9)
                .contains("| seed 1: \"loss\", at step 3 |")
        );
    }
}
