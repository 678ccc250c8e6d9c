//! One seed of an experiment, from its start or its latest checkpoint to its end.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thorndike_core::{
    BuildContext, EnvOptions, EnvSpec, EnvSteps, Error, Evaluation, Event, MIXED, Recorder,
    Registry, Result, Seeds, Trainer, VectorEnv, checkpoint,
};
use thorndike_data::Validation;
use thorndike_tabular::exact::Solver;

use crate::alarms;
use crate::caught::caught;
use crate::config::{AgentTask, Config, Task};
use crate::federated::{self, FederatedSummary};
use crate::launch::write_whole;
use crate::runs;
use crate::sink::RunLog;
use crate::supervised::Built;
use crate::text::thousands;
use crate::words::{self, WordScores};

/// Folder of the checkpoints, below the folder of a seed.
pub const CHECKPOINTS: &str = "checkpoints";
/// Folder of the model that did best on what was kept back, below the folder of a seed.
pub const BEST: &str = "best";
/// What a finished seed leaves, below its folder.
pub const SUMMARY: &str = "summary.json";

/// Folder of a seed, below that of its experiment.
pub fn seed_dir(experiment: &Path, seed: u64) -> PathBuf {
    experiment.join(format!("seed-{seed}"))
}

/// One seed of an experiment.
#[derive(Debug)]
pub struct Run<'a> {
    config: &'a Config,
    registry: &'a Registry,
    seed: u64,
    dir: PathBuf,
    work: Work,
    log: RunLog,
    digest: String,
    seconds_before: f64,
    finished: bool,
    /// The evaluation before training, unless the run was resumed.
    first: Option<runs::Evaluation>,
    /// Whether an evaluation was better than that, or a success.
    started: bool,
    /// The evaluation that ended the run while it was opened.
    last: Option<Evaluated>,
    /// Mean return of each of several tasks in the evaluation before.
    of_tasks: BTreeMap<String, f64>,
}

/// What a run is made of.
#[derive(Debug)]
enum Work {
    /// An agent in its environments.
    Agent(Trainer),
    /// A model and its data.
    Model(Box<Built>),
    /// Vectors of words and their text.
    Words(Box<words::Built>),
    /// Clients and a server.
    Federated(Box<federated::Built>),
}

impl Work {
    fn step(&self) -> EnvSteps {
        match self {
            Self::Agent(trainer) => trainer.step(),
            Self::Model(built) => built.fitter.step(),
            Self::Words(built) => built.word2vec.step(),
            Self::Federated(built) => built.rounds(),
        }
    }

    fn of(&self) -> Of {
        match self {
            Self::Agent(_) => Of::Steps,
            Self::Model(_) => Of::Samples,
            Self::Words(_) => Of::Words,
            Self::Federated(built) => Of::Rounds {
                scored: built.measure().is_some(),
            },
        }
    }

    /// The fewest steps that it is asked for at a time.
    fn piece(&self) -> EnvSteps {
        match self {
            Self::Federated(_) => 1,
            _ => 16,
        }
    }

    fn run_until(&mut self, step: EnvSteps, config: &Config, log: &mut RunLog) -> Result<()> {
        match (self, &config.task) {
            (
                Self::Agent(trainer),
                Task::Agent(AgentTask {
                    ahead: Some(ahead), ..
                }),
            ) => trainer.run_ahead_until(step, *ahead, log),
            (Self::Agent(trainer), _) => trainer.run_until(step, log),
            (Self::Model(built), _) => built.fitter.run_until(step, log),
            (Self::Words(built), _) => built.word2vec.run_until(step),
            (Self::Federated(built), _) => built.run_until(step, log),
        }
    }

    fn save(&self, dir: &Path) -> Result<()> {
        match self {
            Self::Agent(trainer) => trainer.save(dir),
            Self::Model(built) => built.save(dir),
            Self::Words(built) => built.save(dir),
            Self::Federated(built) => built.save(dir),
        }
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        match self {
            Self::Agent(trainer) => trainer.load(dir),
            Self::Model(built) => built.fitter.load(dir),
            Self::Words(built) => built.load(dir),
            Self::Federated(built) => built.load(dir),
        }
    }

    /// Whether it came to its end before its last step.
    fn is_stopped(&self) -> bool {
        match self {
            Self::Model(built) => built.fitter.is_stopped(),
            Self::Federated(built) => built.is_stopped(),
            Self::Agent(_) | Self::Words(_) => false,
        }
    }

    /// Share of the time that was spent waiting for data.
    fn waited_s(&self) -> Option<f64> {
        match self {
            Self::Agent(_) | Self::Words(_) | Self::Federated(_) => None,
            Self::Model(built) => Some(built.fitter.waited().as_secs_f64()),
        }
    }
}

/// What an evaluation gave.
#[derive(Debug)]
enum Evaluated {
    Episodes(Evaluation),
    Scores(Validation),
    Words(WordScores),
}

impl Evaluated {
    fn mean(&self) -> f64 {
        match self {
            Self::Episodes(evaluation) => evaluation.mean(),
            Self::Scores(validation) => validation.main(),
            Self::Words(scores) => scores.main,
        }
    }
}

/// How a run came to a halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// All steps were made.
    Finished,
    /// It was asked to stop; a checkpoint was saved.
    Stopped,
}

/// What a step of a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Of {
    /// An environment step.
    #[default]
    Steps,
    /// A sample that was learned from.
    Samples,
    /// A word that was learned from.
    Words,
    /// A round of clients.
    Rounds {
        /// Whether they learn a model, which is scored, or an agent, which has returns.
        scored: bool,
    },
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Environment steps so far.
    pub step: EnvSteps,
    /// Environment steps a second since the run was started or resumed.
    pub steps_per_s: f64,
    /// Mean return of the latest episodes of learning.
    pub recent_return: Option<f64>,
    /// Mean return of the evaluation that was just made.
    pub evaluated: Option<f64>,
    /// Share of the time that was spent waiting for data, of a model.
    pub waiting: Option<f64>,
    /// What a step is.
    pub of: Of,
    /// Half of the steps are gone now, and no evaluation was better than the one before training.
    pub no_start: bool,
}

/// What a checkpoint knows beside the state of the trainer.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    /// Hash of what must be the same when the run goes on.
    config: String,
    /// What was hashed, to name what differs. Absent in older checkpoints.
    #[serde(default)]
    settings: serde_json::Value,
    /// Root seed.
    seed: u64,
    /// Length of the record in bytes.
    events: u64,
    /// Seconds of work so far.
    seconds: f64,
    /// Whether all steps were made.
    finished: bool,
    /// Whether it ended before its last step, for good.
    #[serde(default)]
    stopped: bool,
    /// Where a longer run goes on, if all steps were made.
    #[serde(default)]
    before_end: Option<BeforeEnd>,
}

/// The record before the evaluation at the end, which a longer run does not make there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct BeforeEnd {
    /// Its length in bytes.
    events: u64,
    /// Whether a longer run makes an ordinary evaluation at this step.
    evaluate: bool,
}

/// A checkpoint that was found intact.
#[derive(Debug)]
pub struct Found {
    /// Its folder.
    pub path: PathBuf,
    /// Environment steps of the run when it was saved.
    pub step: EnvSteps,
    /// Newer checkpoints that are damaged, and how.
    pub refused: Vec<Error>,
    meta: Meta,
}

impl Found {
    /// Whether all steps were made.
    pub fn is_finished(&self) -> bool {
        self.meta.finished
    }

    /// Whether nothing is left to do in a run of `steps` steps.
    pub fn is_over(&self, steps: EnvSteps) -> bool {
        self.meta.finished && (self.meta.stopped || self.step >= steps)
    }

    /// Says on standard error which damaged checkpoints were passed over.
    pub fn warn(&self) {
        for error in &self.refused {
            eprintln!(
                "warning: {error}; seed {}: the intact checkpoint of step {} is taken instead",
                self.meta.seed,
                thousands(self.step)
            );
        }
    }
}

/// What `summary.json` of a seed holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeedSummary {
    /// Root seed.
    pub seed: u64,
    /// Environment steps.
    pub steps: EnvSteps,
    /// Mean return of the final evaluation.
    pub final_return: f64,
    /// Standard deviation of its returns.
    pub final_return_std: f64,
    /// Its episodes.
    pub final_episodes: usize,
    /// Those of them that `eval.step_cap` cut off.
    #[serde(default)]
    pub final_episodes_cut: usize,
    /// Mean return of the last 100 episodes of learning, exploration included.
    pub learning_return: Option<f64>,
    /// The one action that was always taken in it, if there was only one.
    pub only_action: Option<i32>,
    /// Expected return of the final greedy policy, computed from the dynamics where they are known: no luck in it.
    pub exact_return: Option<f64>,
    /// Mean return of each of several tasks in the final evaluation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, f64>,
    /// Seconds of work, evaluation and checkpoints included.
    pub seconds: f64,
    /// Of a model: what `final_return` and the others measure. An episode is a sample that was kept back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ModelScores>,
    /// Of a federated run: what was sent, and what it cost in privacy. Its steps are rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federated: Option<FederatedSummary>,
}

/// How a model did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelScores {
    /// What is measured, such as `accuracy`.
    pub measure: String,
    /// The best of it in the run.
    pub best: f64,
    /// Mean loss at the end, of samples that were kept back.
    pub loss: f64,
    /// Numbers the model has to report of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
}

impl SeedSummary {
    /// Reads what a finished seed left.
    ///
    /// # Errors
    /// If the file is not there or is damaged.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("{}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))
    }
}

/// Builds environments and agent of one seed.
///
/// # Errors
/// As the registry's; in particular if the agent cannot take the environment. [`Error::Panicked`] if one panics.
pub fn build(config: &Config, registry: &Registry, seed: u64) -> Result<(EnvSpec, Trainer)> {
    caught("while it was built", || {
        let seeds = Seeds::new(seed);
        let AgentTask { env, agent, ahead } = config.agent_task()?;
        let envs = registry.make_envs(&env.id, &env.params, &env.options, seeds)?;
        let spec = envs.spec().clone();
        if !config.eval.env.is_empty() {
            let (other, _) = evaluation_limit(config, registry)?;
            check_same(&spec, &other)?;
        }
        let context = BuildContext {
            spec: &spec,
            seeds,
            device: config.device,
        };
        let agent = registry.make_agent(&agent.id, &agent.params, &context)?;
        let trainer = Trainer::new(envs, agent, config.log_every_steps);
        if ahead.is_some() {
            trainer.check_ahead()?;
        }
        Ok((spec, trainer))
    })
}

/// Environments for an evaluation of `episodes` episodes, on streams of their own.
///
/// # Errors
/// As the registry's.
pub fn evaluation_envs(
    config: &Config,
    registry: &Registry,
    seeds: Seeds,
    episodes: usize,
) -> Result<Box<dyn VectorEnv>> {
    let params = config.eval.params(&config.agent_task()?.env);
    evaluation_envs_of(config, registry, &params, seeds, episodes)
}

/// As [`evaluation_envs`], with `params` in the place of those of the configuration.
pub(crate) fn evaluation_envs_of(
    config: &Config,
    registry: &Registry,
    params: &serde_json::Value,
    seeds: Seeds,
    episodes: usize,
) -> Result<Box<dyn VectorEnv>> {
    const MOST: usize = 10;
    let env = &config.agent_task()?.env;
    // Of several tasks, as many rows of each.
    let tasks = match env.id.as_str() {
        MIXED => env.params["tasks"]
            .as_array()
            .map_or(1, |tasks| tasks.len().max(1)),
        _ => 1,
    };
    let options = EnvOptions {
        num_envs: (episodes.min(MOST) / tasks).max(1) * tasks,
        ..env.options.clone()
    };
    let make = |options: &EnvOptions| {
        let envs = registry.make_envs(&env.id, params, options, seeds);
        envs.map_err(|e| config.eval.error(e))
    };
    let envs = make(&options)?;
    if envs.spec().time_limit.is_some() {
        return Ok(envs);
    }
    let options = EnvOptions {
        time_limit: Some(config.eval.step_cap),
        ..options
    };
    make(&options)
}

/// Refuses evaluation environments of `other` for an agent that was trained in those of `spec`.
fn check_same(spec: &EnvSpec, other: &EnvSpec) -> Result<()> {
    let wrong = |what: String| Err(Error::config("eval.env", what));
    let [own, found] = [spec, other].map(EnvSpec::observation_space);
    if own != found {
        return wrong(format!("observations are {found}, those of training {own}"));
    }
    if spec.action_space != other.action_space {
        let (found, own) = (&other.action_space, &spec.action_space);
        return wrong(format!("actions are {found}, those of training {own}"));
    }
    if spec.vocabulary != other.vocabulary {
        return wrong("the words are not those of training".to_owned());
    }
    Ok(())
}

/// The environments of an experiment, and the steps after which an episode of an evaluation ends at the latest.
///
/// # Errors
/// As the registry's.
pub fn evaluation_limit(config: &Config, registry: &Registry) -> Result<(EnvSpec, u32)> {
    let envs = evaluation_envs(config, registry, Seeds::new(0), 1)?;
    let spec = envs.spec().clone();
    let limit = spec.time_limit.unwrap_or(config.eval.step_cap);
    Ok((spec, limit))
}

/// The newest intact checkpoint of the run in `dir`; `None` if none was saved yet.
///
/// # Errors
/// If all are damaged, or it is of another configuration or seed.
pub fn find_checkpoint(dir: &Path, config: &Config, seed: u64) -> Result<Option<Found>> {
    let root = dir.join(CHECKPOINTS);
    let mut refused = Vec::new();
    let mut candidates = checkpoint::list(&root)?;
    match checkpoint::latest(&root) {
        Ok(None) => return Ok(None),
        Ok(Some(latest)) => {
            candidates.retain(|path| checkpoint::step_of(path) < checkpoint::step_of(&latest));
            candidates.push(latest);
        }
        Err(error @ Error::Checkpoint { .. }) => refused.push(error),
        Err(error) => return Err(error),
    }
    for path in candidates.into_iter().rev() {
        match open_checkpoint(&path) {
            Ok((step, meta)) => {
                check_meta(&meta, &path, config, seed)?;
                return Ok(Some(Found {
                    path,
                    step,
                    refused,
                    meta,
                }));
            }
            Err(error @ Error::Checkpoint { .. }) => refused.push(error),
            Err(error) => return Err(error),
        }
    }
    // The newest one matters most.
    refused.into_iter().next().map_or(Ok(None), Err)
}

fn open_checkpoint(path: &Path) -> Result<(EnvSteps, Meta)> {
    let manifest = checkpoint::open(path)?;
    let meta = serde_json::from_value(manifest.meta).map_err(|e| {
        Error::checkpoint(path.join("manifest.json"), format!("is not of a run: {e}"))
    })?;
    Ok((manifest.step, meta))
}

fn check_meta(meta: &Meta, path: &Path, config: &Config, seed: u64) -> Result<()> {
    let wrong = |what: String| Error::checkpoint(path.join("manifest.json"), what);
    if meta.seed != seed {
        return Err(wrong(format!(
            "is of seed {}, not of seed {seed}",
            meta.seed
        )));
    }
    if meta.config != digest(config) {
        let other = match difference(&meta.settings, &settings(config)) {
            Some(key) => key,
            None => "environment, agent, device or evaluation".to_owned(),
        };
        return Err(wrong(format!(
            "was made with another {other} than config.toml has now; undo the change, or train anew under another name"
        )));
    }
    Ok(())
}

/// Hash of all that decides what a run does at a step. More steps, other seeds, another spacing of checkpoints and
/// another number of threads are free to change.
fn digest(config: &Config) -> String {
    let parts = settings(config);
    let what = match config.task {
        Task::Agent(_) => ["env", "agent"],
        Task::Model(_) | Task::Words(_) => ["data", "model"],
    };
    let mut parts = vec![
        &parts[what[0]],
        &parts[what[1]],
        &parts["device"],
        &parts["eval"],
        &parts["log_every_steps"],
        &parts["training"],
        &parts["federated"],
    ];
    parts.retain(|part| !part.is_null());
    let parts = serde_json::json!(parts);
    let hash = Sha256::digest(parts.to_string());
    hash.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What [`digest`] is of.
fn settings(config: &Config) -> serde_json::Value {
    let mut settings = settings_of(config);
    if let Some(mut federated) = config.federated.clone() {
        (federated.rounds, federated.threads) = (0, 0);
        settings["federated"] = serde_json::json!(federated);
    }
    settings
}

/// [`settings`] of what it learns, whoever does.
fn settings_of(config: &Config) -> serde_json::Value {
    match &config.task {
        Task::Agent(task) => {
            let mut env = task.env.clone();
            env.options.threads = None;
            serde_json::json!({
                "env": env,
                "agent": task.agent,
                "device": config.device,
                "eval": config.eval,
                "log_every_steps": config.log_every_steps,
            })
        }
        Task::Model(task) => {
            let mut tasks = task.tasks.clone();
            tasks.iter_mut().for_each(|task| task.data.workers = 0);
            let data = match task.is_named() {
                false => serde_json::to_value(&tasks[0].data).unwrap_or_default(),
                true => {
                    let named = tasks.iter();
                    let named = named.map(|task| (task.name.clone(), task.to_value()));
                    serde_json::Map::from_iter(named).into()
                }
            };
            serde_json::json!({
                "data": data,
                "model": task.model,
                "training": task.training,
                "device": config.device,
                "eval": config.eval,
                "log_every_steps": config.log_every_steps,
            })
        }
        Task::Words(task) => {
            let [data, model, training] = task.tables();
            serde_json::json!({
                "data": data,
                "model": model,
                "training": training,
                "eval": config.eval,
            })
        }
    }
}

/// The dotted key of the first value that `old` has and `new` has not, or has otherwise, or the other way round.
pub(crate) fn difference(old: &serde_json::Value, new: &serde_json::Value) -> Option<String> {
    let (old, new) = (old.as_object()?, new.as_object()?);
    let mut keys = old.keys().chain(new.keys());
    let key = keys.find(|&key| old.get(key) != new.get(key))?;
    let below = old
        .get(key)
        .zip(new.get(key))
        .and_then(|(old, new)| difference(old, new));
    Some(match below {
        Some(below) => format!("{key}.{below}"),
        None => key.clone(),
    })
}

impl<'a> Run<'a> {
    /// The run of `seed` in the folder `experiment`: from its latest checkpoint if it has one, else from the start.
    ///
    /// # Errors
    /// If something cannot be built, read or written.
    pub fn open(
        config: &'a Config,
        registry: &'a Registry,
        experiment: &Path,
        seed: u64,
    ) -> Result<Self> {
        let dir = seed_dir(experiment, seed);
        fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        let mut work = match &config.task {
            _ if config.federated.is_some() => {
                let federated = config.federated.as_ref().expect("it was looked at");
                Work::Federated(Box::new(caught("while it was built", || {
                    federated::Built::new(config, federated, registry, seed)
                })?))
            }
            Task::Agent(_) => Work::Agent(build(config, registry, seed)?.1),
            Task::Model(task) => Work::Model(Box::new(caught("while it was built", || {
                task.build(seed, config.device, config.log_every_steps)
            })?)),
            Task::Words(task) => Work::Words(Box::new(task.build(seed, &config.eval)?)),
        };
        let found = find_checkpoint(&dir, config, seed)?;
        if let Some(found) = &found {
            caught("while its checkpoint was loaded", || work.load(&found.path))?;
        }
        let lengthened = found
            .as_ref()
            .filter(|found| found.is_finished() && !found.is_over(config.steps));
        let before_end = lengthened
            .map(|found| {
                found.meta.before_end.ok_or_else(|| {
                    let what =
                        "was finished by an older version and cannot be lengthened; train anew";
                    Error::checkpoint(&found.path, what)
                })
            })
            .transpose()?;
        let keep = match (&before_end, &found) {
            (Some(before_end), _) => before_end.events,
            (None, Some(found)) => found.meta.events,
            (None, None) => 0,
        };
        let mut run = Self {
            config,
            registry,
            seed,
            work,
            log: RunLog::open(&dir, keep, config.log_every_steps)?,
            dir,
            digest: digest(config),
            seconds_before: found.as_ref().map_or(0.0, |found| found.meta.seconds),
            finished: before_end.is_none() && found.as_ref().is_some_and(Found::is_finished),
            first: None,
            started: false,
            last: None,
            of_tasks: BTreeMap::new(),
        };
        if before_end.is_some_and(|before_end| before_end.evaluate) {
            let evaluated = run.guarded(|run| run.evaluate(false))?;
            run.last = run.work.is_stopped().then_some(evaluated);
        }
        if found.is_none() {
            let (what, on) = config.ids();
            let measure = match &run.work {
                Work::Agent(_) => None,
                Work::Model(built) => Some(built.fitter.measure()),
                Work::Words(built) => Some(built.measure().to_owned()),
                Work::Federated(built) => built.measure(),
            };
            let tasks = match &run.work {
                Work::Agent(trainer) => trainer.envs().spec().tasks.clone(),
                Work::Model(_) | Work::Words(_) | Work::Federated(_) => Vec::new(),
            };
            run.log.record(&Event::Started {
                env: on,
                agent: what,
                seed,
                measure: measure.map(Cow::Owned),
                tasks: Cow::Owned(tasks),
            })?;
            run.guarded(|run| run.evaluate(false))?;
        }
        Ok(run)
    }

    /// Whether all steps were made before it was opened.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Does `work`; a panic of the environment or the agent in it becomes an error that names the step.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let mut done = caught("", || work(self));
        if let Err(Error::Panicked { when, .. }) = &mut done {
            let step = self.work.step();
            *when = match self.work {
                Work::Agent(_) => format!("at environment step {step}"),
                Work::Model(_) => format!("at sample {step}"),
                Work::Words(_) => format!("at word {step}"),
                Work::Federated(_) => format!("at a client after round {step}"),
            };
            self.log.flush()?;
        }
        done
    }

    /// Runs to the end, or until `stop` is set; tells `report` several times a second.
    ///
    /// Where it is stopped, killed and resumed changes nothing in events, weights or replay: evaluations and
    /// checkpoints happen at steps that follow from the configuration alone.
    ///
    /// # Errors
    /// If training diverges, the environment or the agent panics, or a file cannot be written; the latest checkpoint
    /// stays.
    pub fn go(&mut self, stop: &AtomicBool, report: impl FnMut(Progress)) -> Result<Halt> {
        if self.finished {
            return Ok(Halt::Finished);
        }
        self.guarded(|run| run.go_on(stop, report))
    }

    fn go_on(&mut self, stop: &AtomicBool, mut report: impl FnMut(Progress)) -> Result<Halt> {
        let (eval, save, end) = (
            self.config.eval.every_steps,
            self.config.save.every_steps,
            self.config.steps,
        );
        let after = |every: EnvSteps, step: EnvSteps| (step / every + 1).saturating_mul(every);
        let mut clock = Clock::start(self.work.step(), self.work.piece());
        let mut evaluate = false;
        let mut last = self.last.take();
        while last.is_none() && self.work.step() < end {
            let from = self.work.step();
            let (next_eval, next_save) = (after(eval, from), after(save, from));
            let until = next_eval.min(next_save).min(end);
            while self.work.step() < until {
                if stop.load(Ordering::Relaxed) {
                    self.save(clock.seconds(), None)?;
                    return Ok(Halt::Stopped);
                }
                let chunk = (self.work.step() + clock.chunk()).min(until);
                let ran = self.work.run_until(chunk, self.config, &mut self.log);
                if ran.is_err() {
                    self.log.flush()?;
                }
                ran?;
                clock.tick(self.work.step());
                report(self.progress(&clock, None));
            }
            let step = self.work.step();
            if step >= end {
                evaluate = step >= next_eval;
                break;
            }
            if step >= next_eval {
                let evaluated = self.evaluate(false)?;
                let mean = evaluated.mean();
                let half_gone = step >= end / 2 && step < end / 2 + eval;
                report(Progress {
                    no_start: half_gone && self.first.is_some() && !self.started,
                    ..self.progress(&clock, Some(mean))
                });
                if self.work.is_stopped() {
                    last = Some(evaluated);
                    break;
                }
            }
            if step >= next_save {
                self.save(clock.seconds(), None)?;
            }
            clock.skip();
        }
        let events = self.log.mark()?;
        let evaluated = match last {
            Some(evaluated) => evaluated,
            None => self.evaluate(true)?,
        };
        let step = self.work.step();
        self.log.record(&Event::Finished { step })?;
        // Before the checkpoint that ends the run: after that nothing would make up for a summary that is missing.
        let exact_return = self.exact_return()?;
        self.summarise(
            &evaluated,
            exact_return,
            self.seconds_before + clock.seconds(),
        )?;
        self.save(clock.seconds(), Some(BeforeEnd { events, evaluate }))?;
        self.finished = true;
        report(self.progress(&clock, Some(evaluated.mean())));
        Ok(Halt::Finished)
    }

    fn progress(&self, clock: &Clock, evaluated: Option<f64>) -> Progress {
        let step = self.work.step();
        let waited = self.work.waited_s();
        Progress {
            step,
            steps_per_s: clock.steps_per_s(step),
            recent_return: self.log.recent_return(),
            evaluated,
            waiting: waited.map(|waited| waited / clock.seconds().max(1e-9)),
            of: self.work.of(),
            no_start: false,
        }
    }

    /// Evaluates, with the episodes of the end if it is the `last` time.
    fn evaluate(&mut self, last: bool) -> Result<Evaluated> {
        let step = self.work.step();
        let validation = match &mut self.work {
            Work::Agent(_) => None,
            Work::Model(built) => Some(match last {
                true => built.fitter.validate_last(&mut self.log)?,
                false => built.fitter.validate(&mut self.log)?,
            }),
            Work::Words(built) => {
                return built.evaluate(last, &mut self.log).map(Evaluated::Words);
            }
            Work::Federated(built) => built.validate(last, &mut self.log)?,
        };
        if let Some(validation) = validation {
            if validation.is_best {
                self.save_best()?;
            }
            return Ok(Evaluated::Scores(validation));
        }
        let episodes = match last {
            true => self.config.eval.final_episodes,
            false => self.config.eval.episodes,
        };
        let seeds = Seeds::new(self.seed).child("eval", step);
        let mut of_tasks = Vec::new();
        let (evaluation, goal) = match &mut self.work {
            Work::Agent(trainer) => {
                let mut envs = evaluation_envs(self.config, self.registry, seeds, episodes)?;
                let evaluation = trainer.evaluate(&mut *envs, episodes)?;
                let spec = envs.spec();
                if !spec.tasks.is_empty() {
                    let means = evaluation.means_of_tasks(spec.tasks.len(), spec.num_envs);
                    of_tasks = spec.tasks.iter().cloned().zip(means).collect();
                }
                (evaluation, trainer.envs().spec().reward_threshold)
            }
            Work::Federated(built) => {
                let log = &mut self.log;
                built.evaluate(self.config, self.registry, seeds, episodes, log)?
            }
            Work::Model(_) | Work::Words(_) => unreachable!("they were scored above"),
        };
        self.log.record(&Event::Evaluated {
            step,
            returns: Cow::Borrowed(&evaluation.returns),
            lengths: Cow::Borrowed(&evaluation.lengths),
            only_action: evaluation.only_action,
        })?;
        for (task, value) in of_tasks {
            let name = format!("task/{task}").into();
            self.log.record(&Event::Scalar { step, name, value })?;
            self.of_tasks.insert(task, value);
        }
        let now = runs::Evaluation {
            step,
            returns: evaluation.returns.clone(),
            lengths: evaluation.lengths.clone(),
            only_action: evaluation.only_action,
        };
        match &self.first {
            None if step == 0 => {
                self.started = alarms::is_success(&now, goal);
                self.first = Some(now);
            }
            None => {}
            Some(first) => {
                self.started |= alarms::is_better(&now, first) || alarms::is_success(&now, goal);
            }
        }
        Ok(Evaluated::Episodes(evaluation))
    }

    fn save(&mut self, seconds: f64, before_end: Option<BeforeEnd>) -> Result<()> {
        let meta = Meta {
            config: self.digest.clone(),
            settings: settings(self.config),
            seed: self.seed,
            events: self.log.mark()?,
            seconds: self.seconds_before + seconds,
            finished: before_end.is_some(),
            stopped: self.work.is_stopped(),
            before_end,
        };
        let meta = serde_json::to_value(meta).map_err(|e| Error::Backend(Box::new(e)))?;
        let root = self.dir.join(CHECKPOINTS);
        let work = &self.work;
        checkpoint::write(&root, work.step(), meta, |dir| work.save(dir))?;
        checkpoint::discard_after(&root, work.step())?;
        checkpoint::prune(&root, self.config.save.keep)
    }

    /// Keeps the model as it is now, beside the checkpoints that a run goes on from.
    fn save_best(&mut self) -> Result<()> {
        let root = self.dir.join(BEST);
        let work = &self.work;
        let meta = serde_json::json!({ "seed": self.seed, "settings": settings(self.config) });
        checkpoint::discard_after(&root, work.step())?;
        checkpoint::write(&root, work.step(), meta, |dir| work.save(dir))?;
        checkpoint::prune(&root, 1)
    }

    /// Expected return of the greedy policy, where the dynamics are known and one state is one observation.
    fn exact_return(&mut self) -> Result<Option<f64>> {
        let Work::Agent(trainer) = &mut self.work else {
            return Ok(None);
        };
        let env = &self.config.agent_task()?.env;
        let (spec, limit) = evaluation_limit(self.config, self.registry)?;
        if spec.num_states("").is_err() || spec.action_repeat > 1 {
            return Ok(None);
        }
        let Some(mdp) = self
            .registry
            .make_finite(&env.id, &self.config.eval.params(env))?
        else {
            return Ok(None);
        };
        let solver = Solver::new(&*mdp)?;
        let policy = solver.played_by(trainer.agent());
        solver.policy_return(&policy, Some(limit)).map(Some)
    }

    /// Episodes of an evaluation that would have gone on in an environment without a limit of its own.
    fn episodes_cut(&self, evaluation: &Evaluation) -> usize {
        let Work::Agent(trainer) = &self.work else {
            return 0;
        };
        let spec = trainer.envs().spec();
        let (cap, repeat) = (self.config.eval.step_cap, spec.action_repeat);
        let reached = |length: &&u32| length.saturating_mul(repeat) >= cap;
        match spec.time_limit {
            Some(_) => 0,
            None => evaluation.lengths.iter().filter(reached).count(),
        }
    }

    fn summarise(
        &mut self,
        evaluated: &Evaluated,
        exact_return: Option<f64>,
        seconds: f64,
    ) -> Result<()> {
        let common = SeedSummary {
            seed: self.seed,
            steps: self.work.step(),
            final_return: evaluated.mean(),
            final_return_std: 0.0,
            final_episodes: 0,
            final_episodes_cut: 0,
            learning_return: None,
            only_action: None,
            exact_return,
            tasks: self.of_tasks.clone(),
            seconds,
            scores: None,
            federated: match &self.work {
                Work::Federated(built) => Some(built.summary()),
                _ => None,
            },
        };
        let summary = match (evaluated, &mut self.work) {
            (Evaluated::Scores(validation), Work::Model(built)) => {
                let best = built.fitter.best().unwrap_or(f64::NEG_INFINITY);
                let measure = built.fitter.measure();
                let numbers = built.fitter.learner().numbers().into_iter();
                let numbers = numbers.map(|(name, x)| (name.into_owned(), x));
                // The score of each of several tasks.
                let named = validation.tasks.iter().filter(|(task, _)| !task.is_empty());
                let of_tasks = named
                    .map(|(task, scores)| (format!("task/{task}/{}", scores.name), scores.main()));
                SeedSummary {
                    final_episodes: validation.samples() as usize,
                    scores: Some(ModelScores {
                        measure,
                        best: best.max(validation.main()),
                        loss: validation.loss(),
                        numbers: numbers.chain(of_tasks).collect(),
                    }),
                    ..common
                }
            }
            (Evaluated::Scores(validation), Work::Federated(built)) => {
                let best = built.best().unwrap_or(f64::NEG_INFINITY);
                SeedSummary {
                    final_episodes: validation.samples() as usize,
                    scores: Some(ModelScores {
                        measure: built.measure().unwrap_or_default(),
                        best: best.max(validation.main()),
                        loss: validation.loss(),
                        numbers: BTreeMap::new(),
                    }),
                    ..common
                }
            }
            (Evaluated::Words(scores), Work::Words(built)) => SeedSummary {
                final_episodes: scores.samples,
                scores: Some(ModelScores {
                    measure: built.measure().to_owned(),
                    best: built.best().unwrap_or(f64::NEG_INFINITY).max(scores.main),
                    loss: scores.loss,
                    numbers: scores.numbers.clone(),
                }),
                ..common
            },
            (Evaluated::Episodes(evaluation), _) => SeedSummary {
                final_return_std: evaluation.std(),
                final_episodes: evaluation.returns.len(),
                final_episodes_cut: self.episodes_cut(evaluation),
                learning_return: self.log.recent_return(),
                only_action: evaluation.only_action,
                ..common
            },
            _ => unreachable!("an agent plays, and a model is scored"),
        };
        let text = serde_json::to_vec_pretty(&summary).map_err(|e| Error::Backend(Box::new(e)))?;
        let path = self.dir.join(SUMMARY);
        write_whole(&path, &text).map_err(|e| Error::Backend(e.into()))
    }
}

/// Measures speed, and cuts the work into pieces short enough to be stopped between.
struct Clock {
    start: Instant,
    start_step: EnvSteps,
    last: Instant,
    last_step: EnvSteps,
    chunk: EnvSteps,
    least: EnvSteps,
}

impl Clock {
    /// A piece takes about this long: a person who presses Ctrl-C does not wait, and a fast loop is not held up.
    const PIECE_S: f64 = 0.05;

    fn start(step: EnvSteps, least: EnvSteps) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            start_step: step,
            last: now,
            last_step: step,
            chunk: least,
            least,
        }
    }

    fn chunk(&self) -> EnvSteps {
        self.chunk
    }

    /// A piece has ended at `step`.
    fn tick(&mut self, step: EnvSteps) {
        let seconds = self.last.elapsed().as_secs_f64().max(1e-9);
        let steps = (step - self.last_step) as f64;
        // At most twice as long as the last one: one fast piece says little.
        let wanted = (steps / seconds * Self::PIECE_S) as EnvSteps;
        self.chunk = wanted.clamp(self.least, self.chunk.saturating_mul(2));
        self.last = Instant::now();
        self.last_step = step;
    }

    /// What has passed since the last piece was other work.
    fn skip(&mut self) {
        self.last = Instant::now();
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn steps_per_s(&self, step: EnvSteps) -> f64 {
        (step - self.start_step) as f64 / self.seconds().max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_setting_that_differs_is_named_by_its_key() {
        let old = json!({"agent": {"id": "dqn", "params": {"gamma": 0.9}}, "device": "cpu"});
        let with = |agent| json!({"agent": agent, "device": "cpu"});
        let gamma = with(json!({"id": "dqn", "params": {"gamma": 0.8}}));
        let missing = with(json!({"id": "dqn", "params": {}}));
        assert_eq!(difference(&old, &old), None);
        assert_eq!(difference(&old, &gamma).unwrap(), "agent.params.gamma");
        assert_eq!(difference(&missing, &old).unwrap(), "agent.params.gamma");
        assert_eq!(difference(&json!(null), &old), None);
    }
}
