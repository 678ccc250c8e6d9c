//! The description of an experiment: a TOML file, with `key=value` overrides.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thorndike_core::{Ahead, Device, EnvOptions, EnvSteps, Error, Registry, check_range};
use thorndike_federated::FederatedConfig;

use crate::federated;
use crate::runs::ReferenceLine;
use crate::supervised::{DataTask, ModelTask};
use crate::words::{self, WordsTask};

/// An experiment: one agent in one environment, with several seeds.
///
/// ```toml
/// name  = "cart-pole-dqn"      # absent: the name of the file
/// steps = 50_000               # environment steps of each seed
/// seeds = [1, 2, 3, 4, 5]
/// [env]
/// id = "cart-pole"
/// [agent]
/// id = "dqn"
/// params = { gamma = 0.99 }    # what an agent accepts: `thorndike list agent dqn`
/// ```
///
/// or one supervised model of one data set:
///
/// ```toml
/// epochs = 20                  # or steps: samples that are learned from
/// [data]
/// kind = "idx"
/// path = "data/fashion-mnist-900"
/// [model]
/// kind = "cnn"
/// ```
///
/// or one of several tasks, with `[tasks.NAME]` and its `data` in place of `[data]`; or word vectors of a text, with
/// `kind = "corpus"` and `kind = "word2vec"` there. With a table `[federated]` an agent or a model learns at several clients,
/// and a step is a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub struct Config {
    /// Folder of the results, below the results folder.
    pub name: String,
    /// Environment steps of each seed, or samples or words that a model learns from; rounds, if it is federated.
    pub steps: EnvSteps,
    /// Root seeds, one run each.
    pub seeds: Vec<u64>,
    /// Where tensors live: `auto`, `cpu` or `cuda:0`.
    pub device: Device,
    /// Steps between two reports of an agent's or model's numbers. 0: a two-hundredth of `steps`.
    pub log_every_steps: EnvSteps,
    /// What is to be done.
    pub task: Task,
    /// Clients that learn and a server that puts together what they learned, in the place of one learner.
    pub federated: Option<FederatedConfig>,
    /// Returns or scores to be drawn beside the curve, such as published ones.
    pub references: Vec<ReferenceLine>,
    /// Evaluation during training and at the end.
    pub eval: EvalConfig,
    /// Checkpoints.
    pub save: SaveConfig,
    /// `steps` in passes through the training part, until they are known.
    pub(crate) epochs: Option<f64>,
}

/// What an experiment does.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// An agent learns in an environment.
    Agent(AgentTask),
    /// A model learns from labelled samples.
    Model(ModelTask),
    /// Vectors of words learn from text.
    Words(WordsTask),
}

/// An agent and its environment.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentTask {
    /// The environment.
    pub env: EnvConfig,
    /// The agent.
    pub agent: AgentConfig,
    /// Acting on a thread of its own while the agent learns. Absent: they take turns, and a run can be repeated and
    /// resumed exactly.
    pub ahead: Option<Ahead>,
}

/// The file, key by key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steps: Option<EnvSteps>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<f64>,
    #[serde(default = "default_seeds")]
    seeds: Vec<u64>,
    #[serde(default)]
    device: Device,
    #[serde(default)]
    log_every_steps: EnvSteps,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    env: Option<EnvConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<AgentConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ahead: Option<Ahead>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tasks: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    federated: Option<FederatedConfig>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    references: Vec<ReferenceLine>,
    #[serde(default)]
    eval: EvalConfig,
    #[serde(default)]
    save: SaveConfig,
}

impl TryFrom<File> for Config {
    type Error = String;

    fn try_from(file: File) -> Result<Self, String> {
        const NEITHER: &str =
            "an experiment has [env] and [agent], or [data] or [tasks] and [model]";
        if file.data.is_some() && file.tasks.is_some() {
            return Err("tasks: each has data of its own; leave [data] out".into());
        }
        let (has_tasks, no_data) = (file.tasks.is_some(), serde_json::Value::Null);
        let data = file.data.clone().or(has_tasks.then_some(no_data));
        let task = match (file.env, file.agent, data, file.model) {
            (Some(env), Some(agent), None, None) => {
                if !file.eval.pairs.is_empty() || file.eval.questions.is_some() {
                    return Err("eval: pairs and questions belong to word vectors".into());
                }
                if file.training.is_some() || file.epochs.is_some() {
                    return Err(
                        "training and epochs belong to a model; an agent has agent.params and steps"
                            .into(),
                    );
                }
                Task::Agent(AgentTask {
                    env,
                    agent,
                    ahead: file.ahead,
                })
            }
            (None, None, Some(data), Some(model)) => {
                if file.ahead.is_some() {
                    return Err("ahead: belongs to an agent".into());
                }
                let training = file.training.unwrap_or(serde_json::json!({}));
                let of_words = model["kind"] == words::KIND;
                if of_words && file.tasks.is_some() {
                    return Err("tasks: word vectors learn from [data]".into());
                }
                let mut own = EvalConfig {
                    every_steps: file.eval.every_steps,
                    ..EvalConfig::default()
                };
                if of_words {
                    own.pairs.clone_from(&file.eval.pairs);
                    own.questions.clone_from(&file.eval.questions);
                }
                if file.eval != own {
                    return Err(match of_words {
                        true => "eval: word vectors have eval.every_steps, eval.pairs and eval.questions; the other keys \
                                 belong to agents"
                            .into(),
                        false => "eval: a model has eval.every_steps alone; the other keys belong to agents or word \
                                  vectors"
                            .into(),
                    });
                }
                match of_words {
                    true => Task::Words(WordsTask::read(data, model, training)?),
                    false => Task::Model(ModelTask {
                        tasks: DataTask::read_all(file.data, file.tasks)?,
                        model,
                        training,
                    }),
                }
            }
            (env, agent, data, model) => {
                let missing = [
                    ("env", env.is_some(), agent.is_some()),
                    ("agent", agent.is_some(), env.is_some()),
                    ("data", data.is_some(), model.is_some()),
                    ("model", model.is_some(), data.is_some()),
                ];
                let missing = missing.iter().find(|(_, is, other)| !is && *other);
                return Err(match missing {
                    Some((key, ..)) => format!("{key}: missing; {NEITHER}"),
                    None => NEITHER.to_owned(),
                });
            }
        };
        if let (Some(_), Some(key)) = (
            &file.federated,
            file.steps
                .map(|_| "steps")
                .or(file.epochs.map(|_| "epochs")),
        ) {
            return Err(format!(
                "{key}: a federated run has federated.rounds instead"
            ));
        }
        if file.steps.is_none() && file.epochs.is_none() && file.federated.is_none() {
            return Err(match task {
                Task::Agent(_) => "steps: missing; give the environment steps of each seed".into(),
                Task::Model(_) | Task::Words(_) => {
                    "epochs: missing; give the passes through the data".to_string()
                }
            });
        }
        Ok(Self {
            name: file.name,
            steps: match &file.federated {
                Some(federated) => federated.rounds,
                None => file.steps.unwrap_or(0),
            },
            seeds: file.seeds,
            device: file.device,
            log_every_steps: file.log_every_steps,
            task,
            federated: file.federated,
            references: file.references,
            eval: file.eval,
            save: file.save,
            epochs: if file.steps.is_some() {
                None
            } else {
                file.epochs
            },
        })
    }
}

impl From<Config> for File {
    fn from(config: Config) -> Self {
        let (mut env, mut agent, mut ahead) = (None, None, None);
        let (mut data, mut model, mut training) = (None, None, None);
        let mut tasks = None;
        match config.task {
            Task::Agent(task) => {
                (env, agent, ahead) = (Some(task.env), Some(task.agent), task.ahead);
            }
            Task::Model(task) => {
                match task.is_named() {
                    true => {
                        let named = task.tasks.iter();
                        tasks = Some(named.map(|t| (t.name.clone(), t.to_value())).collect());
                    }
                    false => {
                        let only = serde_json::to_value(&task.tasks[0].data);
                        data = only.ok().map(without_nulls);
                    }
                }
                (model, training) = (Some(task.model), Some(task.training));
            }
            Task::Words(task) => [data, model, training] = task.tables().map(Some),
        }
        Self {
            name: config.name,
            steps: (config.epochs.is_none() && config.federated.is_none()).then_some(config.steps),
            epochs: config.epochs,
            seeds: config.seeds,
            device: config.device,
            log_every_steps: config.log_every_steps,
            env,
            agent,
            ahead,
            data,
            tasks,
            model,
            training,
            federated: config.federated,
            references: config.references,
            eval: config.eval,
            save: config.save,
        }
    }
}

fn default_seeds() -> Vec<u64> {
    vec![1]
}

/// The environment of an experiment: its id, its own configuration, and the options of the batch beside them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvConfig {
    /// Its id; see `thorndike list`.
    pub id: String,
    /// How many there are and what is between them and the agent.
    #[serde(flatten)]
    pub options: EnvOptions,
    /// The environment's own configuration.
    pub params: serde_json::Value,
}

/// By hand, because serde cannot refuse unknown keys beside flattened ones. Errors begin with the key.
impl<'de> Deserialize<'de> for EnvConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = serde_json::Map::deserialize(deserializer)?;
        let id = match keys.remove("id") {
            Some(serde_json::Value::String(id)) => id,
            Some(other) => return Err(D::Error::custom(format!("id: {other} is no text"))),
            None => {
                return Err(D::Error::custom(
                    "id: missing; `thorndike list envs` has them",
                ));
            }
        };
        let params = keys.remove("params").unwrap_or_default();
        let options = serde_path_to_error::deserialize(serde_json::Value::Object(keys))
            .map_err(|e| D::Error::custom(format!("{}: {}", e.path(), e.inner())))?;
        Ok(Self {
            id,
            options,
            params,
        })
    }
}

/// The agent of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Its id; see `thorndike list`.
    pub id: String,
    /// The agent's own configuration.
    #[serde(default)]
    pub params: serde_json::Value,
}

/// Greedy evaluation, in environments and on random streams of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// Environment steps of training between two evaluations. 0: a twentieth of `steps`.
    pub every_steps: EnvSteps,
    /// Episodes of an evaluation.
    pub episodes: usize,
    /// Episodes of the evaluation at the end.
    pub final_episodes: usize,
    /// Steps after which an evaluation episode is cut off if the environment has no time limit: a greedy policy
    /// can run in a circle.
    pub step_cap: u32,
    /// Of word vectors: files of word pairs with how similar people find them. The first is the score.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PathBuf>,
    /// Of word vectors: a file of analogies such as `questions-words.txt`, answered at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub questions: Option<PathBuf>,
    /// Parameters of the environment that are others than in training, such as `{ paraphrases = "held-back" }`: the curve
    /// then shows what is made of what was never trained with. What is seen and done must be of the same spaces.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub env: serde_json::Map<String, serde_json::Value>,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            every_steps: 0,
            episodes: 20,
            final_episodes: 100,
            step_cap: 1000,
            pairs: Vec::new(),
            questions: None,
            env: serde_json::Map::new(),
        }
    }
}

impl EvalConfig {
    /// Parameters of the environments of an evaluation, where those of training are `env`.
    pub(crate) fn params(&self, env: &EnvConfig) -> serde_json::Value {
        let mut params = env.params.clone();
        if !self.env.is_empty() && params.is_null() {
            params = serde_json::Map::new().into();
        }
        if let serde_json::Value::Object(params) = &mut params {
            params.extend(self.env.clone());
        }
        params
    }

    /// `error` under the key that the parameter was given by.
    pub(crate) fn error(&self, error: Error) -> Error {
        match error {
            Error::Config { key, what } => {
                let own = key.strip_prefix("env.params.");
                let own =
                    own.filter(|own| self.env.contains_key(own.split('.').next().unwrap_or(own)));
                match own {
                    Some(own) => Error::config(format!("eval.env.{own}"), what),
                    None => Error::Config { key, what },
                }
            }
            other => other,
        }
    }
}

/// Checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaveConfig {
    /// Environment steps between two checkpoints. 0: a tenth of `steps`.
    pub every_steps: EnvSteps,
    /// Checkpoints kept, the newest ones.
    pub keep: usize,
}

impl Default for SaveConfig {
    fn default() -> Self {
        Self {
            every_steps: 0,
            keep: 2,
        }
    }
}

impl Config {
    /// Reads `path`, applies `overrides` (`key=value`, dotted keys, TOML values) and fills in all defaults, those of
    /// the environment and the agent too.
    ///
    /// # Errors
    /// One line with the file, the key and what is accepted.
    pub fn load(path: &Path, overrides: &[String], registry: &Registry) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&text, &stem, overrides, registry)
            .with_context(|| format!("{}", path.display()))
    }

    /// As [`load`](Config::load), from text; `name` is used where the text gives none.
    ///
    /// # Errors
    /// One line with the key and what is accepted.
    pub fn parse(
        text: &str,
        name: &str,
        overrides: &[String],
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        Self::from_table(table(text, overrides)?, name, registry)
    }

    /// As [`parse`](Config::parse), from a table that was read before.
    pub(crate) fn from_table(
        mut table: toml::Table,
        name: &str,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        whole_floats_to_integers(&mut table);
        let env_has_keys = table.get("env").is_some_and(toml::Value::is_table);
        let value = serde_json::to_value(table)?;
        let mut config: Self =
            serde_path_to_error::deserialize(value).map_err(|e| match e.path().to_string() {
                path if path == "." => anyhow::anyhow!("{}", e.inner()),
                path if path == "data" => anyhow::anyhow!("data.{}", e.inner()),
                path if path == "env" && env_has_keys => anyhow::anyhow!("env.{}", e.inner()),
                path => anyhow::anyhow!("{path}: {}", e.inner()),
            })?;
        if config.name.is_empty() {
            config.name = name.to_owned();
        }
        config.resolve(registry)?;
        Ok(config)
    }

    fn resolve(&mut self, registry: &Registry) -> anyhow::Result<()> {
        check_name(&self.name)?;
        federated::resolve(self, registry).map_err(|e| e.under("federated"))?;
        if let (Task::Model(task), Some(federated)) = (&mut self.task, &mut self.federated) {
            let seed = self.seeds.first().copied().unwrap_or(1);
            federated::resolve_model(task, federated, seed)?;
            if self.eval.every_steps == 0 {
                // Few evaluations of many rounds, as below.
                self.eval.every_steps = self.steps.div_ceil(100);
            }
        } else if let Task::Model(task) = &mut self.task {
            let seed = self.seeds.first().copied().unwrap_or(1);
            let epoch = task.resolve(self.epochs, &mut self.steps, seed)?;
            if self.eval.every_steps == 0 {
                self.eval.every_steps = epoch;
            }
            self.epochs = None;
        }
        if let Task::Words(task) = &mut self.task {
            task.resolve(self.epochs.take(), &mut self.steps)?;
        }
        check_range("steps", self.steps, 1..=1 << 53)?;
        if self.seeds.is_empty() {
            bail!("seeds: give at least one, such as [1, 2, 3]");
        }
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        if let Some(pair) = seeds.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!(
                "seeds: {} is there twice; runs with the same seed are the same",
                pair[0]
            );
        }
        if let Some(big) = seeds.iter().find(|&&seed| seed > i64::MAX as u64) {
            bail!("seeds: {big} is out of range; give 0 to {}", i64::MAX);
        }
        for line in &self.references {
            if !line.value.is_finite() || line.label.is_empty() || line.label.len() > 60 {
                bail!(
                    "references: {:?} at {} cannot be drawn; give a label of 1 to 60 letters and a finite value",
                    line.label,
                    line.value
                );
            }
        }
        check_range("eval.episodes", self.eval.episodes, 1..=1_000_000)?;
        check_range(
            "eval.final_episodes",
            self.eval.final_episodes,
            1..=1_000_000,
        )?;
        check_range("eval.step_cap", self.eval.step_cap, 1..=u32::MAX)?;
        check_range("save.keep", self.save.keep, 1..=1_000_000)?;
        let share = |every: &mut EnvSteps, parts: EnvSteps| {
            if *every == 0 {
                *every = self.steps.div_ceil(parts);
            }
        };
        share(&mut self.log_every_steps, 200);
        share(&mut self.eval.every_steps, 20);
        share(&mut self.save.every_steps, 10);
        if let Task::Agent(AgentTask { env, agent, ahead }) = &mut self.task {
            if let Some(ahead) = ahead {
                ahead.check().map_err(|e| e.under("ahead"))?;
            }
            env.options.check().map_err(|e| e.under("env"))?;
            env.params = without_nulls(
                registry
                    .resolve_env(&env.id, &env.params)
                    .map_err(|e| at_id("env", e))?,
            );
            if !self.eval.env.is_empty() {
                let params = self.eval.params(env);
                let resolved = registry.resolve_env(&env.id, &params);
                resolved.map_err(|e| self.eval.error(e))?;
            }
            agent.params = without_nulls(
                registry
                    .resolve_agent(&agent.id, &agent.params)
                    .map_err(|e| at_id("agent", e))?,
            );
        }
        Ok(())
    }

    /// The agent and its environment.
    ///
    /// # Errors
    /// If the experiment is one of a model.
    pub fn agent_task(&self) -> thorndike_core::Result<&AgentTask> {
        match &self.task {
            Task::Agent(task) => Ok(task),
            Task::Model(_) | Task::Words(_) => Err(thorndike_core::Error::config(
                "agent",
                format!("{} is a supervised model and has none", self.name),
            )),
        }
    }

    /// What learns and what it learns from, in a few words.
    pub fn ids(&self) -> (Cow<'_, str>, Cow<'_, str>) {
        let (what, on) = match &self.task {
            Task::Agent(task) => (task.agent.id.as_str(), Cow::Borrowed(&*task.env.id)),
            Task::Model(task) => (task.kind(), Cow::Owned(task.name())),
            Task::Words(task) => (words::KIND, Cow::Borrowed(task.name())),
        };
        match self.federated {
            Some(_) => (format!("{}{what}", federated::PREFIX).into(), on),
            None => (what.into(), on),
        }
    }

    /// The configuration as TOML, with every default written out.
    ///
    /// # Errors
    /// If a value cannot be written as TOML.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(self)?)
    }
}

/// Puts the key before "no environment named ..".
fn at_id(section: &str, error: thorndike_core::Error) -> anyhow::Error {
    match error {
        thorndike_core::Error::Unknown { .. } => anyhow::anyhow!("{section}.id: {error}"),
        other => other.into(),
    }
}

/// TOML has no null: an absent key means the same.
pub(crate) fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, v)| !v.is_null())
            .map(|(k, v)| (k, without_nulls(v)))
            .collect(),
        Value::Null => Value::Object(Default::default()),
        other => other,
    }
}

/// A syntax error in one line, with its place.
fn at_line(text: &str, error: &toml::de::Error) -> anyhow::Error {
    let message = error.message().replace('\n', " ");
    match error.span() {
        Some(span) => {
            let before = &text[..span.start.min(text.len())];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
            anyhow::anyhow!("line {line}, column {column}: {message}")
        }
        None => anyhow::anyhow!("{message}"),
    }
}

/// Takes `steps = 1e6` as the number of steps that it is; below `[eval]` and `[save]` too.
fn whole_floats_to_integers(table: &mut toml::Table) {
    for (key, value) in table {
        match (key.as_str(), value) {
            ("steps" | "log_every_steps", value) => whole_float_to_integer(value),
            ("eval" | "save", toml::Value::Table(keys)) => {
                keys.iter_mut().for_each(|(_, v)| whole_float_to_integer(v));
            }
            _ => {}
        }
    }
}

pub(crate) fn whole_float_to_integer(value: &mut toml::Value) {
    /// Above it floats leave integers out.
    const EXACT: f64 = (1_u64 << 53) as f64;
    if let toml::Value::Float(x) = *value
        && x.fract() == 0.0
        && x.abs() <= EXACT
    {
        *value = toml::Value::Integer(x as i64);
    }
}

/// Refuses a name that is none for a folder.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(plain) || name.starts_with('.') {
        bail!("name: {name:?} is no name for a folder; use letters, digits, '-', '_' and '.'");
    }
    Ok(())
}

/// Reads TOML and applies `overrides` to it; nothing is filled in or checked yet.
pub(crate) fn table(text: &str, overrides: &[String]) -> anyhow::Result<toml::Table> {
    let mut table: toml::Table = text.parse().map_err(|e| at_line(text, &e))?;
    for text in overrides {
        apply_override(&mut table, text)?;
    }
    Ok(table)
}

/// Sets one dotted key. A value that is no TOML value is taken as text: `env.id=taxi`.
fn apply_override(table: &mut toml::Table, text: &str) -> anyhow::Result<()> {
    let Some((key, value)) = text.split_once('=') else {
        bail!("{text:?} is no override; write key=value, such as agent.params.gamma=0.95");
    };
    let (key, value) = (key.trim(), value.trim());
    let parsed = match format!("v = {value}").parse::<toml::Table>() {
        Ok(mut parsed) => parsed.remove("v").expect("just written"),
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let value = match parsed {
        // A name is text, also where it looks like a number.
        parsed if key == "name" && !parsed.is_str() => toml::Value::String(value.to_owned()),
        parsed => parsed,
    };
    set_key(table, key, value)
}

/// Sets one dotted key; tables on the way to it are made where there are none.
pub(crate) fn set_key(
    table: &mut toml::Table,
    key: &str,
    value: toml::Value,
) -> anyhow::Result<()> {
    let mut path: Vec<&str> = key.split('.').collect();
    let last = path.pop().unwrap_or_default();
    if last.is_empty() || path.iter().any(|part| part.is_empty()) {
        bail!("{key:?} is no key; write one such as agent.params.gamma");
    }
    let mut table = table;
    for part in path {
        let entry = table
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = match entry {
            toml::Value::Table(table) => table,
            _ => bail!("{key}: {part} is a value; it has no keys below it"),
        };
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standard;
    use thorndike_core::ClipRewards;

    const TEXT: &str = "steps = 100\n[env]\nid = \"frozen-lake\"\n[agent]\nid = \"q-learning\"\n";

    fn parse(text: &str, overrides: &[&str]) -> anyhow::Result<Config> {
        let overrides: Vec<String> = overrides.iter().map(|&o| o.to_owned()).collect();
        Config::parse(text, "test", &overrides, &standard())
    }

    fn error(text: &str, overrides: &[&str]) -> String {
        format!("{:#}", parse(text, overrides).unwrap_err())
    }

    #[test]
    fn a_resolved_configuration_resolves_to_itself() {
        let config = parse(TEXT, &[]).unwrap();
        assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
        assert_eq!((config.eval.every_steps, config.save.every_steps), (5, 10));
        let more = [
            "ahead={ steps = 8 }",
            "references=[{ label = \"a paper\", value = -3.5 }]",
        ];
        let config = parse(TEXT, &more).unwrap();
        assert_eq!(
            config
                .agent_task()
                .unwrap()
                .ahead
                .map(|ahead| (ahead.steps, ahead.refresh_steps)),
            Some((8, 64))
        );
        assert_eq!(
            (
                config.references[0].label.as_str(),
                config.references[0].value
            ),
            ("a paper", -3.5)
        );
        assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
    }

    #[test]
    fn overrides_set_numbers_lists_and_text() {
        let config = parse(
            TEXT,
            &[
                "steps=7",
                "seeds=[3, 4]",
                "env.id=taxi",
                "agent.params.gamma=0.5",
            ],
        )
        .unwrap();
        assert_eq!((config.steps, config.seeds.clone()), (7, vec![3, 4]));
        let task = config.agent_task().unwrap();
        assert_eq!(task.env.id, "taxi");
        assert_eq!(task.agent.params["gamma"], 0.5);
    }

    #[test]
    fn whole_floats_are_taken_for_whole_numbers() {
        let text = TEXT.replace("steps = 100", "steps = 1e6") + "[save]\nevery_steps = 2e4\n";
        let config = parse(&text, &["eval.every_steps=1e5"]).unwrap();
        assert_eq!((config.steps, config.save.every_steps), (1_000_000, 20_000));
        assert_eq!(config.eval.every_steps, 100_000);
        for bad in ["steps=1.5", "steps=1e300"] {
            let error = error(TEXT, &[bad]);
            assert!(
                error.contains("steps: invalid type: floating point"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_name_of_digits_is_text() {
        assert_eq!(parse(TEXT, &["name=123"]).unwrap().name, "123");
        assert_eq!(parse(TEXT, &["name=\"a-b\""]).unwrap().name, "a-b");
    }

    #[test]
    fn each_mistake_is_one_line_with_the_key_and_what_is_accepted() {
        for (overrides, parts) in [
            (
                vec!["ahead={ steps = 0 }"],
                vec!["ahead.steps: 0 is out of range; give 1 to"],
            ),
            (
                vec!["references=[{ label = \"\", value = 1 }]"],
                vec!["references: \"\" at 1 cannot be drawn; give a label"],
            ),
            (
                vec!["env.id=frozen-lak"],
                vec![
                    "env.id: no environment named",
                    "did you mean \"frozen-lake\"?",
                ],
            ),
            (
                vec!["agent.id=q"],
                vec!["agent.id: no agent named \"q\"; known: "],
            ),
            (
                vec!["stepz=3"],
                vec!["stepz: unknown field `stepz`, expected one of `name`, `steps`"],
            ),
            (
                vec!["steps=abc"],
                vec!["steps: invalid type: string \"abc\", expected u64"],
            ),
            (vec!["steps=0"], vec!["steps: 0 is out of range; give 1 to"]),
            (
                vec!["steps=-1"],
                vec!["steps: invalid value: integer `-1`, expected u64"],
            ),
            (
                vec!["env.num_envs=0"],
                vec!["env.num_envs: 0 is out of range; give 1 to"],
            ),
            (
                vec!["env.num_envs=x"],
                vec!["env.num_envs: invalid type: string \"x\", expected usize"],
            ),
            (
                vec!["env.num_env=2"],
                vec!["env.num_env: unknown field `num_env`, expected one of `num_envs`"],
            ),
            (vec!["env.id=3"], vec!["env.id: 3 is no text"]),
            (
                vec!["env=3"],
                vec!["env: invalid type: integer `3`, expected a map"],
            ),
            (
                vec!["agent.params.gamme=1"],
                vec!["agent.params.gamme: unknown field `gamme`, expected"],
            ),
            (
                vec!["device=gpu"],
                vec!["device: no device \"gpu\"; give \"auto\", \"cpu\" or \"cuda:0\""],
            ),
            (vec!["seeds=[1, 1]"], vec!["seeds: 1 is there twice"]),
            (
                vec!["name=a/b"],
                vec!["name: \"a/b\" is no name for a folder"],
            ),
            (vec!["steps.x=1"], vec!["steps.x: steps is a value"]),
            (
                vec!["steps"],
                vec!["\"steps\" is no override; write key=value"],
            ),
        ] {
            let message = error(TEXT, &overrides);
            assert!(!message.contains('\n'), "{message}");
            for part in parts {
                assert!(message.contains(part), "{overrides:?} gave: {message}");
            }
        }
    }

    #[test]
    fn what_is_between_environment_and_agent_is_read_and_written() {
        let overrides = [
            "env.clip_rewards=sign",
            "env.normalize_rewards=0.9",
            "env.resize=[84, 84]",
            "env.time_observation=true",
            "env.threads=2",
        ];
        let config = parse(TEXT, &overrides).unwrap();
        let options = &config.agent_task().unwrap().env.options;
        assert_eq!(options.clip_rewards, Some(ClipRewards::Sign));
        assert_eq!(options.resize, Some([84, 84]));
        assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
        let message = error(TEXT, &["env.clip_rewards=7"]);
        let wanted = "env.clip_rewards: expected \"sign\" or a range such as [-1.0, 1.0]";
        assert_eq!(message, wanted);
    }

    #[test]
    fn an_evaluation_may_have_other_parameters() {
        let config = parse(TEXT, &["eval.env.slippery=false"]).unwrap();
        let env = &config.agent_task().unwrap().env;
        assert_eq!(env.params["slippery"], true);
        let params = config.eval.params(env);
        assert_eq!(
            (&params["slippery"], &params["map"]),
            (&false.into(), &env.params["map"])
        );
        assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
        let message = error(TEXT, &["eval.env.slipery=false"]);
        assert!(
            message.starts_with("eval.env.slipery: unknown field"),
            "{message}"
        );
    }

    #[test]
    fn a_syntax_error_says_where() {
        let message = error("steps = 1\n[env\n", &[]);
        assert!(message.starts_with("line 2, column"), "{message}");
    }
}
