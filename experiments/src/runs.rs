//! Finished and running experiments, read back from the events they left.
//!
//! `results/<name>/seed-<n>/events.jsonl` is the one record of a run; pictures and tables are made from it alone, so a
//! run of last year can be drawn again. Files may come from anywhere: reading allocates no more than the file is long,
//! and whatever is wrong is said with the file and the line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use thorndike_core::Status;

use crate::federated;
use crate::launch::CONFIG;
use crate::run::seed_dir;
use crate::sink::EVENTS;
use crate::stats::{self, Curve};
use crate::text::thousands;
use crate::words;

/// What the names of numbers begin with that are the score of one of several tasks.
const TASK: &str = "task/";

/// Longest line of an event file in bytes; an evaluation of 100,000 episodes takes about 2 MB.
const LONGEST_LINE: u64 = 16 << 20;

/// One configuration, run with several seeds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiment {
    /// Name of its results folder.
    pub name: String,
    /// Id of the environment, or name of the data.
    pub env: String,
    /// Id of the agent, or kind of the model.
    pub agent: String,
    /// What evaluations measure, such as `accuracy`; absent: returns of episodes.
    pub measure: Option<String>,
    /// Names of the tasks of the environments, if there are several: row `i` is of task `i mod k`.
    pub tasks: Vec<String>,
    /// Runs, by ascending seed.
    pub seeds: Vec<SeedRun>,
    /// Returns worth comparing with. Not in the event files: whoever knows the environment fills them in.
    pub lines: Vec<ReferenceLine>,
    /// What was passed over while reading, in sentences for the user.
    pub warnings: Vec<String>,
}

/// A return that is known without learning, such as the optimum or the one that counts as solved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceLine {
    /// Such as `optimum` or `solved`.
    pub label: String,
    /// Undiscounted return per episode.
    pub value: f64,
}

impl ReferenceLine {
    /// Label of the line that regret is measured from.
    pub const OPTIMUM: &'static str = "optimum";

    /// Label of the line from which an environment counts as solved.
    pub const SOLVED: &'static str = "solved";

    /// The best that any policy can do.
    pub fn optimum(value: f64) -> Self {
        Self {
            label: Self::OPTIMUM.to_owned(),
            value,
        }
    }

    /// The return from which the environment counts as solved.
    pub fn solved(value: f64) -> Self {
        Self {
            label: Self::SOLVED.to_owned(),
            value,
        }
    }
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeedRun {
    /// Root seed.
    pub seed: u64,
    /// Greedy evaluations, by ascending step.
    pub evaluations: Vec<Evaluation>,
    /// Episodes of learning, in the order in which they ended.
    pub episodes: Vec<Episode>,
    /// Numbers that the agent reported, such as `loss/td`, by ascending step.
    pub scalars: BTreeMap<String, Curve>,
    /// Step of the last event.
    pub last_step: u64,
    /// Whether the run reached its end.
    pub finished: bool,
}

/// One greedy evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Environment steps of learning before it.
    pub step: u64,
    /// Return of each episode.
    pub returns: Vec<f64>,
    /// Steps of the agent in each episode.
    pub lengths: Vec<u32>,
    /// The action that was taken in every step, if there was only one; older files do not say.
    pub only_action: Option<i32>,
}

/// One episode of learning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// Environment steps of the run when it ended.
    pub step: u64,
    /// Row of the environment.
    pub env: u32,
    /// Sum of raw rewards.
    pub episode_return: f64,
    /// Steps of the agent.
    pub length: u32,
    /// How it ended.
    pub status: Status,
}

/// A line of the file. Wider than [`thorndike_core::Event`], which writes it: a number that is not finite comes as
/// `null`, and kinds of a newer version are told from garbage.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Started {
        env: String,
        agent: String,
        seed: u64,
        #[serde(default)]
        measure: Option<String>,
        #[serde(default)]
        tasks: Vec<String>,
    },
    Episode {
        step: u64,
        #[serde(default)]
        env: u32,
        episode_return: Option<f64>,
        length: u32,
        status: Status,
    },
    Scalar {
        step: u64,
        #[serde(borrow)]
        name: Cow<'a, str>,
        value: Option<f64>,
    },
    Evaluated {
        step: u64,
        returns: Vec<Option<f64>>,
        lengths: Vec<u32>,
        #[serde(default)]
        only_action: Option<i32>,
    },
    Finished {
        step: u64,
    },
    #[serde(other)]
    Other,
}

/// The events that files are full of, in the one form in which they are written. Reading a [`Line`] holds all of an event
/// until its kind is known, which takes twice as long (measured by the test of a million lines).
#[derive(Deserialize)]
struct Common<'a> {
    event: &'a str,
    step: Option<u64>,
    env: Option<u32>,
    episode_return: Option<f64>,
    length: Option<u32>,
    status: Option<Status>,
    name: Option<&'a str>,
    value: Option<f64>,
}

impl<'a> Line<'a> {
    fn parse(bytes: &'a [u8]) -> serde_json::Result<Self> {
        let common = serde_json::from_slice(bytes).ok().and_then(Self::common);
        common.map_or_else(|| serde_json::from_slice(bytes), Ok)
    }

    fn common(line: Common<'a>) -> Option<Self> {
        match line.event {
            "episode" => Some(Self::Episode {
                step: line.step?,
                env: line.env.unwrap_or_default(),
                episode_return: line.episode_return,
                length: line.length?,
                status: line.status?,
            }),
            "scalar" => Some(Self::Scalar {
                step: line.step?,
                name: Cow::Borrowed(line.name?),
                value: line.value,
            }),
            _ => None,
        }
    }
}

impl Experiment {
    /// Reads every `seed-<n>` folder under `folder`. Runs that are still going are read as far as they are; what the
    /// configuration promises and is not there, or not yet, is among the warnings.
    ///
    /// # Errors
    /// If there is no such folder or no run in it, if a file is damaged before its last line, or if the runs are not
    /// of one environment and one agent.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut experiment = Self {
            name: folder_name(folder),
            ..Self::default()
        };
        for path in seed_folders(folder)? {
            let file = path.join(EVENTS);
            match read_run(&file, &mut experiment.warnings)? {
                Some((run, about)) => experiment.add(run, about, &file)?,
                None => experiment
                    .warnings
                    .push(format!("{}: no events yet", path.display())),
            }
        }
        ensure!(!experiment.seeds.is_empty(), "{}", no_run(folder));
        experiment.seeds.sort_by_key(|run| run.seed);
        let unequal = unequal(&experiment.seeds, folder);
        let unequal = unequal.into_iter();
        experiment
            .warnings
            .extend(unequal.map(|what| format!("{}: {what}", folder.display())));
        Ok(experiment)
    }

    /// This as an experiment in each of its tasks, if it is one of several; else itself. The name stays, the environment is
    /// the task.
    pub fn by_task(self) -> Vec<Self> {
        // `task/NAME`, or `task/NAME/MEASURE` of a model.
        let mut found = BTreeMap::<String, (String, Option<String>)>::new();
        for name in self.seeds.iter().flat_map(|run| run.scalars.keys()) {
            if let Some(rest) = name.strip_prefix(TASK) {
                let (task, measure) = match rest.split_once('/') {
                    Some((task, measure)) => (task, Some(measure.to_owned())),
                    None => (rest, None),
                };
                found.insert(task.to_owned(), (name.clone(), measure));
            }
        }
        if found.is_empty() {
            return vec![self];
        }
        let each = found.into_iter().map(|(task, (scalar, measure))| {
            let row = self.tasks.iter().position(|name| *name == task);
            let of_task = |episode: &&Episode| {
                row.is_some_and(|row| episode.env as usize % self.tasks.len() == row)
            };
            let seeds = self.seeds.iter().map(|run| {
                let curve = run.scalars.get(&scalar).into_iter().flatten();
                let evaluation = |&(step, value): &(u64, f64)| Evaluation {
                    step,
                    returns: vec![value],
                    lengths: vec![1],
                    only_action: None,
                };
                SeedRun {
                    evaluations: curve.map(evaluation).collect(),
                    episodes: run.episodes.iter().filter(of_task).copied().collect(),
                    ..run.clone()
                }
            });
            Self {
                env: task,
                measure,
                tasks: Vec::new(),
                seeds: seeds.collect(),
                lines: Vec::new(),
                ..self.clone()
            }
        });
        each.collect()
    }

    /// What it is a run of: its name, without that of its environment if there are several to be told apart. Parent folders
    /// in a name stay.
    pub(crate) fn algorithm(&self, several_envs: bool) -> String {
        let (parents, last) = self
            .name
            .split_at(self.name.rfind('/').map_or(0, |at| at + 1));
        let rest = last.strip_prefix(&self.env);
        let rest = rest.and_then(|rest| rest.strip_prefix('-'));
        let rest = rest.filter(|rest| several_envs && !rest.is_empty());
        format!("{parents}{}", rest.unwrap_or(last))
    }

    /// The return of an optimal policy, if it is known.
    pub fn optimum(&self) -> Option<f64> {
        self.lines
            .iter()
            .find(|line| line.label == ReferenceLine::OPTIMUM)
            .map(|line| line.value)
    }

    /// Heading of a panel of evaluations.
    pub(crate) fn measure(&self) -> String {
        match &self.measure {
            Some(measure) if measure == words::LIKELIHOOD => measure.clone(),
            Some(measure) => format!("validation {measure}"),
            None => "return (sum of rewards per episode)".to_owned(),
        }
    }

    /// What the steps of its runs are.
    pub(crate) fn step_unit(&self) -> &'static str {
        match self.measure {
            _ if self.agent.starts_with(federated::PREFIX) => "rounds",
            Some(_) if self.agent == words::KIND => "words seen",
            Some(_) => "samples seen",
            None => "environment steps",
        }
    }

    fn add(&mut self, run: SeedRun, about: About, file: &Path) -> Result<()> {
        let About {
            env,
            agent,
            measure,
            tasks,
        } = about;
        if self.seeds.is_empty() {
            (self.env, self.agent, self.measure) = (env, agent, measure);
            self.tasks = tasks;
        } else {
            ensure!(
                self.env == env && self.agent == agent,
                "{}: a run of {agent} on {env} among runs of {} on {}; keep them in folders of their own",
                file.display(),
                self.agent,
                self.env
            );
            ensure!(
                self.seeds.iter().all(|other| other.seed != run.seed),
                "{}: seed {} is there twice",
                file.display(),
                run.seed
            );
        }
        self.seeds.push(run);
        Ok(())
    }
}

impl SeedRun {
    /// Mean return of each evaluation, by step.
    pub fn evaluation_curve(&self) -> Curve {
        let mean = |evaluation: &Evaluation| (evaluation.step, stats::mean(&evaluation.returns));
        self.evaluations.iter().map(mean).collect()
    }

    /// Return of each episode of learning, by step.
    pub fn episode_curve(&self) -> Curve {
        self.episodes
            .iter()
            .map(|episode| (episode.step, episode.episode_return))
            .collect()
    }
}

/// Says that there is no run in `folder`; and how to make one, where its configuration is there: the results that
/// come along with the program are without their runs.
pub(crate) fn no_run(folder: &Path) -> String {
    let config = folder.join(CONFIG);
    let how = if config.is_file() {
        format!("; `thorndike train {}` makes them", config.display())
    } else {
        String::new()
    };
    format!(
        "no run in {}: expected folders such as seed-1 with an events.jsonl{how}",
        folder.display()
    )
}

/// Last part of the path, also of `.` and `results/x/`.
fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize();
    let path = whole.as_deref().unwrap_or(folder);
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Folders called `seed-<n>`, by ascending number.
pub(crate) fn seed_folders(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read results folder {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read results folder {}", folder.display()))?
            .path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(seed) = name
            .and_then(|name| name.strip_prefix("seed-"))
            .and_then(|n| n.parse::<u64>().ok())
        {
            found.push((seed, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Where the runs differ from what the configuration in `folder` promises, and from each other.
fn unequal(runs: &[SeedRun], folder: &Path) -> Vec<String> {
    let config = fs::read_to_string(folder.join(CONFIG)).unwrap_or_default();
    let config: toml::Table = config.parse().unwrap_or_default();
    let whole = |value: &toml::Value| value.as_integer().and_then(|n| u64::try_from(n).ok());
    let promised = config.get("seeds").and_then(toml::Value::as_array);
    let missing: Vec<u64> = promised
        .into_iter()
        .flatten()
        .filter_map(whole)
        .filter(|seed| runs.iter().all(|run| run.seed != *seed))
        // That there is nothing in a folder was said of the folder.
        .filter(|seed| !seed_dir(folder, *seed).is_dir())
        .collect();
    let mut said = Vec::new();
    match missing[..] {
        [] => {}
        [seed] => said.push(format!("seed {seed} of {CONFIG} has no run here")),
        _ => said.push(format!(
            "seeds {} of {CONFIG} have no run here",
            enumerated(&missing)
        )),
    }
    let range = |steps: &[u64]| {
        let (first, last) = (
            steps.iter().min().unwrap_or(&0),
            steps.iter().max().unwrap_or(&0),
        );
        if first == last {
            format!("step {}", thousands(*last))
        } else {
            format!("steps {} to {}", thousands(*first), thousands(*last))
        }
    };
    let steps = |finished: bool| -> (Vec<u64>, Vec<u64>) {
        let wanted = runs.iter().filter(|run| run.finished == finished);
        wanted.map(|run| (run.seed, run.last_step)).unzip()
    };
    let (going, at) = steps(false);
    let of = config.get("steps").and_then(whole);
    let of = of.map_or_else(String::new, |steps| format!(" of {}", thousands(steps)));
    match going[..] {
        [] => {}
        [seed] => said.push(format!(
            "seed {seed} is not finished: it is at {}{of}",
            range(&at)
        )),
        _ => said.push(format!(
            "seeds {} are not finished: they are at {}{of}",
            enumerated(&going),
            range(&at)
        )),
    }
    let (_, ends) = steps(true);
    if ends.iter().any(|end| *end != ends[0]) {
        said.push(format!(
            "finished seeds end at different steps: {}",
            range(&ends)
        ));
    }
    said
}

/// `1, 2 and 5`.
fn enumerated(numbers: &[u64]) -> String {
    let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// What a run is of.
struct About {
    env: String,
    agent: String,
    measure: Option<String>,
    tasks: Vec<String>,
}

/// The run and what it is of; `None` if its file is missing or empty.
fn read_run(file: &Path, warnings: &mut Vec<String>) -> Result<Option<(SeedRun, About)>> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", file.display()))?,
    };
    let mut reader = BufReader::with_capacity(1 << 16, opened);
    let mut run: Option<(SeedRun, About)> = None;
    let (mut number, mut newer) = (0usize, 0usize);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut bytes);
        let length = read.with_context(|| format!("cannot read {}", file.display()))? as u64;
        if length == 0 {
            break;
        }
        number += 1;
        let at = || format!("{}:{number}", file.display());
        if length == LONGEST_LINE {
            bail!(
                "{}: a line longer than {} MiB is not an event",
                at(),
                LONGEST_LINE >> 20
            );
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let line = match Line::parse(&bytes) {
            Ok(line) => line,
            Err(_) if reader.fill_buf().is_ok_and(<[u8]>::is_empty) => {
                warnings.push(format!(
                    "{}: the last line is incomplete and was passed over",
                    at()
                ));
                break;
            }
            Err(error) => bail!("{}: not an event: {error}", at()),
        };
        match (line, &mut run) {
            (
                Line::Started {
                    env,
                    agent,
                    seed,
                    measure,
                    tasks,
                },
                None,
            ) => {
                run = Some((
                    SeedRun {
                        seed,
                        ..SeedRun::default()
                    },
                    About {
                        env,
                        agent,
                        measure,
                        tasks,
                    },
                ));
            }
            (Line::Started { .. }, Some(_)) => {
                bail!("{}: a second `started`; two runs in one file", at())
            }
            (Line::Other, _) => newer += 1,
            (_, None) => bail!("{}: the first event must be `started`", at()),
            (line, Some((run, ..))) => run.take(line).with_context(at)?,
        }
    }
    if newer > 0 {
        warnings.push(format!(
            "{}: {newer} events of a kind this version does not know",
            file.display()
        ));
    }
    Ok(run)
}

impl SeedRun {
    fn take(&mut self, line: Line<'_>) -> Result<()> {
        let in_order = |last: Option<u64>, step: u64| match last {
            Some(last) if step < last => bail!("step {step} comes after step {last}"),
            _ => Ok(step),
        };
        let step = match line {
            Line::Started { .. } | Line::Other => return Ok(()),
            Line::Episode {
                step,
                env,
                episode_return,
                length,
                status,
            } => {
                let step = in_order(self.episodes.last().map(|episode| episode.step), step)?;
                let episode_return = episode_return.unwrap_or(f64::NAN);
                self.episodes.push(Episode {
                    step,
                    env,
                    episode_return,
                    length,
                    status,
                });
                step
            }
            Line::Scalar { step, name, value } => {
                if !self.scalars.contains_key(&*name) {
                    self.scalars.insert(name.clone().into_owned(), Curve::new());
                }
                let curve = self.scalars.get_mut(&*name).expect("inserted above");
                let step = in_order(curve.last().map(|point| point.0), step)?;
                curve.push((step, value.unwrap_or(f64::NAN)));
                step
            }
            Line::Evaluated {
                step,
                returns,
                lengths,
                only_action,
            } => {
                ensure!(!returns.is_empty(), "an evaluation without episodes");
                let step = in_order(
                    self.evaluations.last().map(|evaluation| evaluation.step),
                    step,
                )?;
                let returns = returns
                    .into_iter()
                    .map(|value| value.unwrap_or(f64::NAN))
                    .collect();
                self.evaluations.push(Evaluation {
                    step,
                    returns,
                    lengths,
                    only_action,
                });
                step
            }
            Line::Finished { step } => {
                self.finished = true;
                step
            }
        };
        self.last_step = self.last_step.max(step);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Event, Seeds, rand::RngExt};

    fn results(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (seed, text) in files {
            fs::create_dir_all(folder.path().join(seed)).unwrap();
            fs::write(folder.path().join(seed).join("events.jsonl"), text).unwrap();
        }
        folder
    }

    const STARTED: &str = r#"{"event":"started","env":"cart-pole","agent":"dqn","seed":1}"#;
    const EPISODE: &str = r#"{"event":"episode","step":21,"env":0,"episode_return":21.0,"length":21,"status":"terminated"}"#;

    #[test]
    fn a_run_of_several_tasks_is_one_of_each() {
        let text = r#"{"event":"started","env":"mixed","agent":"dqn","seed":1,"tasks":["b","a"]}
{"event":"episode","step":8,"env":2,"episode_return":5.0,"length":2,"status":"terminated"}
{"event":"episode","step":9,"env":1,"episode_return":7.0,"length":2,"status":"terminated"}
{"event":"evaluated","step":10,"returns":[1.0,2.0],"lengths":[1,1]}
{"event":"scalar","step":10,"name":"task/b","value":1.0}
{"event":"scalar","step":10,"name":"task/a","value":2.0}"#;
        let folder = results(&[("seed-1", text)]);
        let each = Experiment::read(folder.path()).unwrap().by_task();
        let found: Vec<_> = each
            .iter()
            .map(|e| {
                let run = &e.seeds[0];
                let episodes: Vec<f64> = run.episodes.iter().map(|e| e.episode_return).collect();
                (e.env.as_str(), run.evaluations[0].returns[0], episodes)
            })
            .collect();
        assert_eq!(found, [("a", 2.0, vec![7.0]), ("b", 1.0, vec![5.0])]);
        let folder = results(&[("seed-1", STARTED)]);
        let one = Experiment::read(folder.path()).unwrap();
        assert_eq!(one.clone().by_task(), [one]);
    }

    fn error(text: &str) -> String {
        let folder = results(&[("seed-1", text)]);
        format!("{:#}", Experiment::read(folder.path()).unwrap_err())
    }

    #[test]
    fn every_event_of_core_is_read_back() {
        let events = [
            Event::Started {
                env: "taxi".into(),
                agent: "sarsa".into(),
                seed: 7,
                measure: None,
                tasks: Cow::Borrowed(&[]),
            },
            Event::Episode {
                step: 12,
                env: 0,
                episode_return: -3.5,
                length: 12,
                status: Status::Truncated,
            },
            Event::Scalar {
                step: 20,
                name: "loss/td".into(),
                value: 0.25,
            },
            Event::Scalar {
                step: 30,
                name: "loss/td".into(),
                value: f64::NAN,
            },
            Event::Evaluated {
                step: 40,
                returns: vec![1.0, 3.0].into(),
                lengths: vec![5, 6].into(),
                only_action: Some(2),
            },
            Event::Finished { step: 50 },
        ];
        let text: String = events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap() + "\n")
            .collect();
        let folder = results(&[("seed-7", &text)]);
        let experiment = Experiment::read(folder.path()).unwrap();
        assert_eq!((&*experiment.env, &*experiment.agent), ("taxi", "sarsa"));
        assert_eq!(experiment.warnings, [""; 0]);
        let run = &experiment.seeds[0];
        assert_eq!(
            run.episodes,
            [Episode {
                env: 0,
                step: 12,
                episode_return: -3.5,
                length: 12,
                status: Status::Truncated
            }]
        );
        assert_eq!(run.scalars["loss/td"][0], (20, 0.25));
        assert!(run.scalars["loss/td"][1].1.is_nan());
        assert_eq!(run.evaluation_curve(), [(40, 2.0)]);
        assert_eq!(run.evaluations[0].lengths, [5, 6]);
        assert_eq!(run.evaluations[0].only_action, Some(2));
        assert_eq!((run.seed, run.last_step, run.finished), (7, 50, true));
    }

    #[test]
    fn the_environment_goes_out_of_a_name_where_there_are_several() {
        let named = |name: &str| Experiment {
            name: name.to_owned(),
            env: "cart-pole".to_owned(),
            ..Experiment::default()
        };
        assert_eq!(named("cart-pole-dqn-zoo").algorithm(true), "dqn-zoo");
        assert_eq!(named("cart-pole-dqn").algorithm(false), "cart-pole-dqn");
        assert_eq!(named("cart-pole").algorithm(true), "cart-pole");
        assert_eq!(named("mine").algorithm(true), "mine");
        assert_eq!(named("old/cart-pole-dqn").algorithm(true), "old/dqn");
    }

    #[test]
    fn seeds_come_in_the_order_of_their_numbers() {
        let with = |seed: u64| STARTED.replace(":1}", &format!(":{seed}}}")) + "\n";
        let folder = results(&[
            ("seed-10", &with(10)),
            ("seed-2", &with(2)),
            ("seed-1", &with(1)),
            ("tables", ""),
        ]);
        let experiment = Experiment::read(folder.path()).unwrap();
        assert_eq!(
            experiment
                .seeds
                .iter()
                .map(|run| run.seed)
                .collect::<Vec<_>>(),
            [1, 2, 10]
        );
    }

    #[test]
    fn a_last_line_cut_anywhere_is_passed_over_and_said() {
        let whole = format!("{STARTED}\n{EPISODE}\n");
        for cut in STARTED.len() + 2..whole.len() - 2 {
            let folder = results(&[("seed-1", &whole[..cut])]);
            let experiment = Experiment::read(folder.path()).unwrap();
            assert!(experiment.seeds[0].episodes.is_empty());
            assert!(experiment.warnings[0].contains("events.jsonl:2: the last line is incomplete"));
        }
    }

    #[test]
    fn a_damaged_line_is_named_with_its_number() {
        let error = error(&format!(
            "{STARTED}\n{EPISODE}\n{{\"event\":\"episode\",\"ste\n{EPISODE}\n"
        ));
        assert!(error.contains("events.jsonl:3: not an event"), "{error}");
    }

    #[test]
    fn a_line_that_is_no_text_is_named_with_its_number() {
        let folder = results(&[("seed-1", "")]);
        let bytes = [STARTED.as_bytes(), b"\n\xFF\x00\xFE\n", EPISODE.as_bytes()].concat();
        fs::write(folder.path().join("seed-1/events.jsonl"), bytes).unwrap();
        let error = format!("{:#}", Experiment::read(folder.path()).unwrap_err());
        assert!(error.contains("events.jsonl:2: not an event"), "{error}");
    }

    #[test]
    fn steps_that_go_back_are_refused() {
        let error = error(&format!(
            "{STARTED}\n{EPISODE}\n{}\n",
            EPISODE.replace("\"step\":21", "\"step\":20")
        ));
        assert!(
            error.contains("events.jsonl:3: step 20 comes after step 21"),
            "{error}"
        );
    }

    #[test]
    fn a_file_must_begin_with_its_start_and_hold_one_run() {
        assert!(
            error(&format!("{EPISODE}\n"))
                .contains("events.jsonl:1: the first event must be `started`")
        );
        assert!(
            error(&format!("{STARTED}\n{STARTED}\n"))
                .contains("events.jsonl:2: a second `started`")
        );
    }

    #[test]
    fn an_overlong_line_is_refused_before_it_is_read_whole() {
        let error = error(&format!(
            "{STARTED}\n{}\n",
            " ".repeat(LONGEST_LINE as usize + 5)
        ));
        assert!(
            error.contains("events.jsonl:2: a line longer than 16 MiB"),
            "{error}"
        );
    }

    #[test]
    fn runs_of_two_environments_are_refused_by_name() {
        let other = STARTED.replace("cart-pole", "taxi").replace(":1}", ":2}");
        let folder = results(&[("seed-1", STARTED), ("seed-2", &other)]);
        let error = format!("{:#}", Experiment::read(folder.path()).unwrap_err());
        assert!(
            error.contains("a run of dqn on taxi among runs of dqn on cart-pole"),
            "{error}"
        );
    }

    #[test]
    fn events_of_a_newer_version_are_counted() {
        let folder = results(&[(
            "seed-1",
            &format!("{STARTED}\n{{\"event\":\"dreamt\",\"step\":3}}\n"),
        )]);
        let experiment = Experiment::read(folder.path()).unwrap();
        assert!(
            experiment.warnings[0].contains("1 events of a kind"),
            "{:?}",
            experiment.warnings
        );
    }

    #[test]
    fn a_folder_without_runs_says_what_was_expected() {
        let folder = results(&[]);
        let error = format!("{:#}", Experiment::read(folder.path()).unwrap_err());
        assert!(
            error.contains("no run in") && error.contains("seed-1"),
            "{error}"
        );
        let missing = format!(
            "{:#}",
            Experiment::read(&folder.path().join("nothing")).unwrap_err()
        );
        assert!(missing.contains("cannot read results folder"), "{missing}");
    }

    #[test]
    fn a_seed_that_has_not_begun_is_said() {
        let folder = results(&[("seed-1", STARTED), ("seed-2", "")]);
        let experiment = Experiment::read(folder.path()).unwrap();
        assert_eq!(experiment.seeds.len(), 1);
        assert!(
            experiment.warnings[0].contains("seed-2: no events yet"),
            "{:?}",
            experiment.warnings
        );
    }

    #[test]
    fn seeds_that_are_missing_unfinished_or_of_other_lengths_are_said() {
        let at = |seed: u64, event: &str, step: u64| {
            format!(
                "{}\n{{\"event\":\"{event}\",\"step\":{step},\"name\":\"x\",\"value\":1.0}}\n",
                STARTED.replace(":1}", &format!(":{seed}}}"))
            )
        };
        let files = [
            ("seed-1", &*at(1, "finished", 1000)),
            ("seed-2", &at(2, "finished", 2000)),
            ("seed-3", &at(3, "scalar", 700)),
            ("seed-4", ""),
        ];
        let folder = results(&files);
        let config = "steps = 2000\nseeds = [1, 2, 3, 4, 5, 6, 7]\n";
        fs::write(folder.path().join(CONFIG), config).unwrap();
        let said = |folder: &Path| {
            let warnings = Experiment::read(folder).unwrap().warnings;
            let here = format!("{}: ", folder.display());
            let short = warnings.iter().map(|warning| warning.replace(&here, ""));
            short.collect::<Vec<_>>()
        };
        let expected = [
            "seeds 5, 6 and 7 of config.toml have no run here",
            "seed 3 is not finished: it is at step 700 of 2,000",
            "finished seeds end at different steps: steps 1,000 to 2,000",
        ];
        assert_eq!(said(folder.path())[1..], expected);
        let folder = results(&files[..1]);
        assert_eq!(said(folder.path()), [""; 0]);
        fs::write(folder.path().join(CONFIG), "seeds = [1, 9]").unwrap();
        assert_eq!(
            said(folder.path()),
            ["seed 9 of config.toml has no run here"]
        );
    }

    #[test]
    fn the_short_way_to_read_a_line_comes_to_the_same_as_the_whole_one() {
        let lines = [
            EPISODE,
            r#"{"event":"episode","step":1,"env":0,"episode_return":null,"length":2,"status":"truncated"}"#,
            r#"{"event":"scalar","step":30,"name":"loss/td","value":0.1}"#,
            r#"{"event":"scalar","step":30,"name":"a\"b","value":-1e-3}"#,
            r#"{"value":1,"event":"scalar","name":"","step":0,"returns":"x"}"#,
        ];
        let whole = |bytes: &[u8]| {
            let line = serde_json::from_slice::<Line<'_>>(bytes);
            line.map(|line| format!("{line:?}")).ok()
        };
        let short = |bytes: &[u8]| Line::parse(bytes).map(|line| format!("{line:?}")).ok();
        let mut rng = Seeds::new(10).stream("damage", 0);
        let mut read = 0;
        for number in 0..5_000 {
            let mut bytes = lines[number % lines.len()].as_bytes().to_vec();
            if number >= lines.len() {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..3) {
                    0 => bytes[at] = rng.random(),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"{}[]\",:-e9"[rng.random_range(0..10)]),
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(short(&bytes), whole(&bytes), "{text}");
            read += usize::from(short(&bytes).is_some());
        }
        assert!((1_000..5_000).contains(&read), "{read} were readable");
    }

    /// Takes 100 MB of disk: `cargo test --release -p thorndike million -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn a_million_lines_are_read_in_two_seconds() {
        let mut text = format!("{STARTED}\n");
        for line in 0..500_000_u64 {
            let (step, value) = (line * 13, (line as f64).sin());
            text += &format!(
                "{{\"event\":\"episode\",\"step\":{step},\"env\":3,\"episode_return\":{value},\"length\":{},\
                 \"status\":\"terminated\"}}\n{{\"event\":\"scalar\",\"step\":{step},\"name\":\"loss/td\",\
                 \"value\":{}}}\n",
                line % 500,
                value / 3.0
            );
        }
        let folder = results(&[("seed-1", &text)]);
        let start = std::time::Instant::now();
        let experiment = Experiment::read(folder.path()).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        println!("{} MB in {seconds:.2} s", text.len() / 1_000_000);
        let parse = |parse: fn(&[u8]) -> bool| {
            let start = std::time::Instant::now();
            assert!(text.lines().all(|line| parse(line.as_bytes())));
            start.elapsed().as_secs_f64()
        };
        let short = parse(|line| Line::parse(line).is_ok());
        let whole = parse(|line| serde_json::from_slice::<Line<'_>>(line).is_ok());
        println!("parsing alone: {short:.2} s; with the whole enum {whole:.2} s");
        assert_eq!(experiment.seeds[0].episodes.len(), 500_000);
        assert!(seconds < 2.0 || cfg!(debug_assertions), "{seconds} s");
    }

    #[test]
    fn no_damage_panics() {
        let text = format!(
            "{STARTED}\n{EPISODE}\n{}\n{}\n",
            r#"{"event":"scalar","step":30,"name":"loss/td","value":0.1}"#,
            r#"{"event":"evaluated","step":40,"returns":[1.5,-2.0],"lengths":[3,4]}"#
        );
        let folder = results(&[("seed-1", "")]);
        let file = folder.path().join("seed-1/events.jsonl");
        let mut rng = Seeds::new(9).stream("damage", 0);
        let mut read = 0;
        for _ in 0..2_000 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..3) {
                    0 => bytes[at] = rng.random(),
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, b"{}[]\",:-e9\n"[rng.random_range(0..11)]),
                }
            }
            fs::write(&file, bytes).unwrap();
            read += usize::from(Experiment::read(folder.path()).is_ok());
        }
        assert!((1..2_000).contains(&read), "{read} of 2000 were readable");
    }
}
