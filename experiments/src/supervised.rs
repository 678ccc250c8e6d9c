//! Supervised models in an experiment: their configuration, and how they are built.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thorndike_core::{Device, EnvSteps, Error, Result, Seeds, check_range};
use thorndike_data::{
    Augment, DataSet, EarlyStopping, Fitter, Info, Learner, LoaderConfig, Mixup, Mosaic, Part,
    SourceConfig, SplitConfig, Task, TaskData, few_of_each, regrouped, split,
};

use crate::text::thousands;

/// `[data]` of an experiment: where samples come from, and what happens to them before a model sees them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataConfig {
    /// The files, and how they are read.
    #[serde(flatten)]
    pub source: SourceConfig,
    /// Classes that are kept, in this order; all if absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Classes that are put together under a name; those that no group names are left out. Absent: as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
    /// Which samples are kept back, where the files do not say.
    pub split: SplitConfig,
    /// Samples of each class that are learned from, others for each run seed; absent: all. What is kept back stays whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_class: Option<usize>,
    /// Four pictures with boxes in one, before other changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mosaic: Option<Mosaic>,
    /// Random changes of each sample of the training part, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Augment>,
    /// Mixing of the samples of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<Mixup>,
    /// Threads that prepare batches. Changes no number. Default 1.
    pub workers: usize,
}

/// By hand, because serde cannot refuse unknown keys beside flattened ones. Errors begin with the key.
impl<'de> Deserialize<'de> for DataConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = serde_json::Map::deserialize(deserializer)?;
        Ok(Self {
            only: take(&mut keys, "only")?.unwrap_or_default(),
            groups: take(&mut keys, "groups")?.unwrap_or_default(),
            split: take(&mut keys, "split")?.unwrap_or_default(),
            per_class: take(&mut keys, "per_class")?,
            mosaic: take(&mut keys, "mosaic")?,
            augment: take(&mut keys, "augment")?.unwrap_or_default(),
            mixup: take(&mut keys, "mixup")?,
            workers: take(&mut keys, "workers")?.unwrap_or(1),
            source: read(Value::Object(keys), "").map_err(D::Error::custom)?,
        })
    }
}

/// Takes `key` out of `keys`.
fn take<T: serde::de::DeserializeOwned, E: serde::de::Error>(
    keys: &mut serde_json::Map<String, Value>,
    key: &str,
) -> Result<Option<T>, E> {
    let value = keys.remove(key);
    value
        .map(|value| read(value, key))
        .transpose()
        .map_err(E::custom)
}

/// Reads `value`, which stands under `key`; an error begins with the whole key.
pub(crate) fn read<T: serde::de::DeserializeOwned>(value: Value, key: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = match (key, e.path().to_string()) {
            (key, path) if path == "." => key.to_owned(),
            ("", path) => path,
            (key, path) => format!("{key}.{path}"),
        };
        match path.as_str() {
            "" => e.inner().to_string(),
            path => format!("{path}: {}", e.inner()),
        }
    })
}

impl DataConfig {
    /// Name of the data: the last part of their path, without its ending; that of their folder, if the file has a name that
    /// says nothing. Behind it, the samples of each class, if that is said.
    pub fn name(&self) -> String {
        let name = self.path_name();
        match self.per_class {
            None => name.to_owned(),
            Some(per_class) => format!("{name}-{per_class}-a-class"),
        }
    }

    fn path_name(&self) -> &str {
        let path = self.source.path();
        let text = std::ffi::OsStr::to_str;
        match path.file_stem().and_then(text) {
            Some("train" | "data" | "input") | None => {
                let folder = path.parent().and_then(Path::file_name);
                folder.and_then(text).unwrap_or("data")
            }
            Some(name) => name,
        }
    }

    /// The samples that are learned from, and those that are kept back, for a run with root seed `seed`.
    ///
    /// # Errors
    /// If they are missing or damaged, or a setting is out of range.
    pub fn open(&self, seed: u64) -> Result<Parts> {
        let under = |e: Error| e.under("data");
        check_range("data.workers", self.workers, 0..=256)?;
        let train = self
            .part(Part::Train)?
            .ok_or_else(|| Error::config("data.path", "there are no samples to be learned from"))?;
        let mut parts = match self.part(Part::Validation)? {
            Some(validation) if self.split.folds == 0 => Parts { train, validation },
            _ => {
                let (train, validation) = split(train, &self.split, seed)
                    .map_err(|e| e.under("split"))
                    .map_err(under)?;
                Parts {
                    train: Arc::new(train),
                    validation: Arc::new(validation),
                }
            }
        };
        if let Some(per_class) = self.per_class {
            let few = few_of_each(parts.train, per_class, seed);
            parts.train = Arc::new(few.map_err(|e| e.under("data.per_class"))?);
        }
        Ok(parts)
    }

    /// A part that the files have of their own.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn part(&self, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
        let Some(set) = self.source.open(part)? else {
            return Ok(None);
        };
        if !self.groups.is_empty() {
            if !self.only.is_empty() {
                let what = "groups leave out what they do not name; give only or groups, not both";
                return Err(Error::config("data.only", what));
            }
            let groups: Vec<_> = self.groups.clone().into_iter().collect();
            return regrouped(set, &groups)
                .map(Some)
                .map_err(|e| e.under("data.groups"));
        }
        if self.only.is_empty() {
            return Ok(Some(set));
        }
        let same = |name: &String| (name.clone(), vec![name.clone()]);
        let groups: Vec<_> = self.only.iter().map(same).collect();
        regrouped(set, &groups)
            .map(Some)
            .map_err(|e| e.under("data.only"))
    }
}

/// What is learned from, and what is kept back.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Samples that are learned from.
    pub train: Arc<dyn DataSet>,
    /// Samples that training is watched with.
    pub validation: Arc<dyn DataSet>,
}

/// What a model learns, or one of several things that it learns.
#[derive(Clone, Debug, PartialEq)]
pub struct DataTask {
    /// Its name; empty if there is `[data]` instead of `[tasks]`.
    pub name: String,
    /// Where samples come from.
    pub data: DataConfig,
    /// How much its loss counts beside that of others.
    pub weight: f64,
}

/// `[tasks.NAME]` of an experiment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedTask {
    data: Value,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

impl DataTask {
    /// Those of `[data]` or `[tasks]`, of which there is one.
    pub(crate) fn read_all(
        data: Option<Value>,
        tasks: Option<serde_json::Map<String, Value>>,
    ) -> Result<Vec<Self>, String> {
        if let Some(data) = data {
            return Ok(vec![Self {
                name: String::new(),
                data: read(data, "").map_err(|e| format!("data.{e}"))?,
                weight: 1.0,
            }]);
        }
        let tasks = tasks.unwrap_or_default();
        if tasks.is_empty() {
            return Err("tasks: give at least one, such as [tasks.digits]".to_owned());
        }
        let read_one = |(name, value): (String, Value)| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if name.is_empty() || name.len() > 40 || !name.chars().all(is_plain) {
                return Err(format!(
                    "tasks: {name:?} is no name; give 1 to 40 letters, digits, - and _"
                ));
            }
            let key = format!("tasks.{name}");
            let NamedTask { data, weight } = read(value, &key)?;
            let data = read(data, "").map_err(|e| format!("{key}.data.{e}"))?;
            Ok(Self { name, data, weight })
        };
        tasks.into_iter().map(read_one).collect()
    }

    /// This as `[tasks.NAME]` has it.
    pub(crate) fn to_value(&self) -> Value {
        let data = serde_json::to_value(&self.data).unwrap_or_default();
        let data = crate::config::without_nulls(data);
        let weight = self.weight;
        serde_json::to_value(NamedTask { data, weight }).unwrap_or_default()
    }

    /// `error` of the data, under the key that they stand under.
    fn at(&self, error: Error) -> Error {
        match error {
            Error::Config { key, what } if !self.name.is_empty() => {
                Error::config(format!("tasks.{}.{key}", self.name), what)
            }
            other => other,
        }
    }
}

/// A model and the data it learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelTask {
    /// What it learns.
    pub tasks: Vec<DataTask>,
    /// The model: its kind, and the settings of the kind.
    pub model: Value,
    /// How it learns: the size of its batches, when it stops, and what its kind takes beside.
    pub training: Value,
}

/// `[training]` of an experiment, but for the keys of the kind of model.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct TrainingConfig {
    /// Samples in a batch. Default 64.
    batch_size: usize,
    /// Batches whose samples are dealt out by length, so that little is padded; 0 is not at all. Default 0.
    #[serde(skip_serializing_if = "is_zero")]
    length_buckets: usize,
    /// Threads that an operation of libtorch may use; more than one pay in large models only. Default 1.
    threads: usize,
    /// When to stop before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    early_stopping: Option<EarlyStopping>,
    /// How the samples of a batch are shared out among several tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    mix: Option<Mix>,
    /// What is left, for the model.
    #[serde(flatten)]
    learning: Value,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl<'de> Deserialize<'de> for TrainingConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = serde_json::Map::deserialize(deserializer)?;
        Ok(Self {
            batch_size: take(&mut keys, "batch_size")?.unwrap_or(64),
            length_buckets: take(&mut keys, "length_buckets")?.unwrap_or(0),
            threads: take(&mut keys, "threads")?.unwrap_or(1),
            early_stopping: take(&mut keys, "early_stopping")?,
            mix: take(&mut keys, "mix")?,
            learning: Value::Object(keys),
        })
    }
}

/// How the samples of a batch are shared out among several tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mix {
    /// By the number of samples that each has to learn from, at least one of each.
    #[default]
    Proportional,
    /// As many of each, as nearly as whole samples allow.
    Even,
}

impl Mix {
    /// How many of the `all` samples of a batch are of each task, where `sizes` are the samples that each has; by largest
    /// remainder.
    fn shares(self, all: usize, sizes: &[usize]) -> Vec<usize> {
        let weights: Vec<u128> = match self {
            Self::Proportional => sizes.iter().map(|&n| n as u128).collect(),
            Self::Even => vec![1; sizes.len()],
        };
        let sum = weights.iter().sum::<u128>().max(1);
        let exact = |weight: u128| {
            let share = weight * all as u128;
            ((share / sum) as usize, share % sum)
        };
        let mut shares: Vec<usize> = weights.iter().map(|&w| exact(w).0).collect();
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(exact(weights[i]).1)); // stable: ties go to the first
        let left = all - shares.iter().sum::<usize>();
        order.iter().take(left).for_each(|&i| shares[i] += 1);
        // The largest gives to those that would have none.
        while let Some(none) = shares.iter().position(|&share| share == 0) {
            let largest = (0..shares.len()).max_by_key(|&i| shares[i]);
            match largest.filter(|&i| shares[i] > 1) {
                Some(largest) => shares[largest] -= 1,
                None => break,
            }
            shares[none] = 1;
        }
        shares
    }
}

/// What was built for one run.
#[derive(Debug)]
pub struct Built {
    /// The loop, with model and batches.
    pub fitter: Fitter,
    /// What travels with the weights.
    pub model: models::Description,
    /// Samples that are learned from and that are kept back.
    pub samples: [usize; 2],
    /// What people should know of how they were read.
    pub notes: Vec<String>,
}

impl ModelTask {
    /// Whether there are `[tasks]`, even if it is one, instead of `[data]`.
    pub fn is_named(&self) -> bool {
        !self.tasks[0].name.is_empty()
    }

    /// What is learned from, in a few words.
    pub fn name(&self) -> String {
        match self.is_named() {
            false => self.tasks[0].data.name(),
            true => {
                let names: Vec<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
                names.join("+")
            }
        }
    }

    /// The task called `name`; none where there is only `[data]`. Absent: the only one.
    ///
    /// # Errors
    /// [`Error::Config`] with the key `task` if there is none of that name, or there are several and it is absent.
    pub fn task(&self, name: Option<&str>) -> Result<&DataTask> {
        let known = || {
            let names: Vec<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
            names.join(", ")
        };
        match (name, &self.tasks[..]) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Error::config(
                "task",
                format!("missing; give one of {}", known()),
            )),
            (Some(_), _) if !self.is_named() => {
                let what = "the model learned one task, which has no name; leave it out";
                Err(Error::config("task", what))
            }
            (Some(name), tasks) => tasks.iter().find(|task| task.name == name).ok_or_else(|| {
                Error::config("task", format!("no task {name:?}; known: {}", known()))
            }),
        }
    }

    /// The kind of model, such as `cnn`.
    pub fn kind(&self) -> &str {
        self.model["kind"].as_str().unwrap_or("model")
    }

    /// Fills in all defaults; gives the steps between two evaluations that go with `epochs`. `steps` is set from `epochs`
    /// if it is 0, which needs a look at the data.
    pub(crate) fn resolve(
        &mut self,
        epochs: Option<f64>,
        steps: &mut EnvSteps,
        seed: u64,
    ) -> Result<EnvSteps> {
        for task in &self.tasks {
            task.data.source.check().map_err(|e| task.at(e))?;
        }
        let mut training = self.training()?;
        if self.is_named() {
            let mix = *training.mix.get_or_insert_default();
            let tasks = self.tasks.len();
            if training.batch_size < tasks {
                let what = format!(
                    "{} samples are less than one of each task; give {tasks} or more",
                    training.batch_size
                );
                return Err(Error::config("training.batch_size", what));
            }
            training.mix = Some(mix);
        } else if training.mix.is_some() {
            let what = "shares a batch out among several tasks, and there is one; leave it out";
            return Err(Error::config("training.mix", what));
        }
        check_range("training.threads", training.threads, 1..=1024)?;
        let mut every = 0;
        if let Some(epochs) = epochs {
            check_range("epochs", epochs, 1e-3..=1e6)?;
            let mut epoch = 0.0;
            for task in &self.tasks {
                let parts = task.data.open(seed).map_err(|e| task.at(e))?;
                epoch += parts.train.len() as f64;
            }
            *steps = (epochs * epoch).ceil() as EnvSteps;
            // Few evaluations of many epochs: each takes a pass through what was kept back.
            every = (epoch * (epochs / 100.0).ceil()) as EnvSteps;
        }
        self.model = models::resolve_model(&self.model).map_err(|e| e.under("model"))?;
        training.learning = models::resolve_learning(&self.model, &training.learning, *steps)
            .map_err(|e| e.under("training"))?;
        self.training = serde_json::to_value(training).map_err(|e| Error::Backend(Box::new(e)))?;
        Ok(every)
    }

    /// Samples in a batch.
    ///
    /// # Errors
    /// If a key of `training` is none.
    pub fn batch_size(&self) -> Result<usize> {
        Ok(self.training()?.batch_size)
    }

    /// Threads that an operation of libtorch may use.
    pub(crate) fn threads(&self) -> usize {
        self.training().map_or(1, |training| training.threads)
    }

    fn training(&self) -> Result<TrainingConfig> {
        read(self.training.clone(), "").map_err(|what| Error::config("training", what))
    }

    /// Builds model and batches of one seed.
    ///
    /// # Errors
    /// If the data are missing or damaged, or the model does not fit them.
    pub fn build(&self, seed: u64, device: Device, log_every: EnvSteps) -> Result<Built> {
        let parts: Vec<Parts> = self
            .tasks
            .iter()
            .map(|task| task.data.open(seed).map_err(|e| task.at(e)))
            .collect::<Result<_>>()?;
        self.build_of(parts, seed, device, log_every)
    }

    /// As [`build`](Self::build), of samples that are there: those of each task.
    pub(crate) fn build_of(
        &self,
        parts: Vec<Parts>,
        seed: u64,
        device: Device,
        log_every: EnvSteps,
    ) -> Result<Built> {
        let training = self.training()?;
        #[cfg(feature = "torch")]
        thorndike_nets::use_threads(training.threads.max(1));
        let sizes: Vec<usize> = parts.iter().map(|parts| parts.train.len()).collect();
        let shares = match training.mix {
            Some(mix) => mix.shares(training.batch_size, &sizes),
            None => vec![training.batch_size],
        };
        let seeds = Seeds::new(seed);
        let (learner, model) = models::make(
            &self.model,
            &training.learning,
            &self.tasks,
            &parts,
            seeds,
            device,
        )?;
        let mut notes = Vec::new();
        for parts in &parts {
            let mut own = parts.train.notes();
            // Parts of one file say the same.
            own.extend(parts.validation.notes());
            own.dedup();
            notes.append(&mut own);
        }
        let sum = |of: fn(&Parts) -> usize| parts.iter().map(of).sum();
        let samples = [
            sum(|parts| parts.train.len()),
            sum(|parts| parts.validation.len()),
        ];
        let tasks = self.tasks.iter().zip(parts).zip(shares);
        let tasks = tasks.map(|((task, parts), batch_size)| TaskData {
            name: task.name.clone(),
            train: parts.train,
            validation: parts.validation,
            batches: training.loader(&task.data, batch_size),
        });
        let early_stopping = training.early_stopping;
        let fitter = Fitter::of_tasks(learner, tasks.collect(), early_stopping, seeds, log_every);
        Ok(Built {
            fitter: fitter.map_err(|e| e.under("training"))?,
            model,
            samples,
            notes,
        })
    }

    /// A model of its own, as that of [`build`](Self::build) begins.
    pub(crate) fn learner(
        &self,
        parts: &[Parts],
        seeds: Seeds,
        device: Device,
    ) -> Result<Box<dyn Learner>> {
        let learning = self.training()?.learning;
        let (learner, _) = models::make(&self.model, &learning, &self.tasks, parts, seeds, device)?;
        Ok(learner)
    }

    /// How batches of the first task are made.
    pub(crate) fn loader(&self) -> Result<LoaderConfig> {
        let training = self.training()?;
        Ok(training.loader(&self.tasks[0].data, training.batch_size))
    }
}

impl TrainingConfig {
    /// How batches of `batch_size` samples are made of `data`.
    fn loader(&self, data: &DataConfig, batch_size: usize) -> LoaderConfig {
        LoaderConfig {
            batch_size,
            mosaic: data.mosaic.clone(),
            length_buckets: self.length_buckets,
            augment: data.augment.clone(),
            mixup: data.mixup.clone(),
            workers: data.workers,
            ..LoaderConfig::default()
        }
    }
}

/// What is learned of samples of `info`.
fn learned(info: &Info) -> String {
    let names = info.task.names();
    match &info.task {
        Task::Classes { .. } => format!("{} classes", names.len()),
        Task::Positions { .. } => format!("{} classes of each position", names.len()),
        Task::Numbers { .. } => format!("{} numbers", names.len()),
        Task::Boxes { .. } => format!("boxes of {} classes", names.len()),
        Task::Span { .. } => "where answers start and end".to_owned(),
        Task::Masked { .. } => "masked words and next sentences".to_owned(),
    }
}

impl Built {
    /// What the model reads and learns, and of how many samples.
    pub fn describe(&self) -> String {
        let info = &self.model.info;
        let learned = match self.model.tasks.is_empty() {
            true => learned(info),
            false => {
                let each = self.model.tasks.iter();
                let each: Vec<String> = each
                    .map(|(name, info)| format!("{name}: {}", learned(info)))
                    .collect();
                each.join(", ")
            }
        };
        let shape: Vec<String> = info.space.shape().iter().map(usize::to_string).collect();
        let inputs = match info.scalar {
            thorndike_core::Kind::F32 => "numbers",
            thorndike_core::Kind::U8 => "pixels",
            thorndike_core::Kind::I32 => "tokens",
        };
        let mut text = format!(
            "inputs {} {inputs}, {learned}; {} samples to learn from, {} kept back",
            shape.join("x"),
            thousands(self.samples[0] as u64),
            thousands(self.samples[1] as u64)
        );
        for note in &self.notes {
            text.push_str("\n  ");
            text.push_str(note);
        }
        text
    }

    /// Writes all that changes, and what the model is, into `dir`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.model.save(dir)?;
        self.fitter.save(dir)
    }
}

#[cfg(feature = "torch")]
pub use with_torch as models;
#[cfg(not(feature = "torch"))]
pub use without_torch as models;

/// The kinds of models.
#[cfg(feature = "torch")]
pub mod with_torch {
    use super::*;
    use thorndike_data::Moments;
    pub use thorndike_nets::ModelFile as Description;
    use thorndike_nets::models::{BertConfig, Perceptron, PerceptronConfig};
    use thorndike_nets::{
        ExtractorConfig, HeadTask, Known, LearningConfig, MultiNetwork, Network, Weighting,
        shared_input,
    };

    /// Samples that mean and deviation of the inputs are taken from, at most.
    const MOMENTS_OF: usize = 10_000;

    /// A kind of model with its settings.
    enum Model {
        Perceptron(PerceptronConfig),
        Network(ExtractorConfig),
    }

    impl Model {
        fn read(value: &Value) -> Result<Self> {
            let wrong = |what| Error::config("", what);
            if value["kind"] != "perceptron" {
                return read(value.clone(), "").map(Self::Network).map_err(wrong);
            }
            let mut keys = value.clone();
            if let Some(keys) = keys.as_object_mut() {
                keys.remove("kind");
            }
            read(keys, "").map(Self::Perceptron).map_err(wrong)
        }
    }

    /// Fills in the defaults of a model.
    pub(super) fn resolve_model(value: &Value) -> Result<Value> {
        if !value["kind"].is_string() {
            let what = "missing; give the kind of model, such as \"mlp\", \"cnn\", \"rnn\", \"vgg\", \"u-net\", \"yolo\", \"bert\" or \
                        \"perceptron\"";
            return Err(Error::config("kind", what));
        }
        let resolved = match Model::read(value)? {
            Model::Perceptron(config) => {
                config.check()?;
                serde_json::to_value(config).map(|mut value| {
                    value["kind"] = "perceptron".into();
                    value
                })
            }
            Model::Network(ExtractorConfig::Bert(config)) => {
                serde_json::to_value(ExtractorConfig::Bert(config.resolved()?))
            }
            Model::Network(config) => serde_json::to_value(config),
        };
        let resolved = resolved.map_err(|e| Error::Backend(Box::new(e)))?;
        Ok(crate::config::without_nulls(resolved))
    }

    /// Fills in the defaults of what `model` learns by, in a run of `steps` samples.
    pub(super) fn resolve_learning(model: &Value, value: &Value, steps: EnvSteps) -> Result<Value> {
        let wrong = |what| Error::config("", what);
        let resolved = match Model::read(model)? {
            Model::Perceptron(_) => {
                let config: PerceptronLearning = read(value.clone(), "").map_err(wrong)?;
                serde_json::to_value(config)
            }
            Model::Network(_) => {
                let mut config: LearningConfig = read(value.clone(), "").map_err(wrong)?;
                config.optimizer = config.optimizer.over(steps);
                serde_json::to_value(config)
            }
        };
        let resolved = resolved.map_err(|e| Error::Backend(Box::new(e)))?;
        Ok(crate::config::without_nulls(resolved))
    }

    /// What a perceptron is trained by.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PerceptronLearning {
        /// As of networks.
        #[serde(default = "yes")]
        normalize: bool,
    }

    fn yes() -> bool {
        true
    }

    /// Builds `model` for `tasks`, whose samples are `parts`.
    pub(super) fn make(
        model: &Value,
        learning: &Value,
        tasks: &[DataTask],
        parts: &[Parts],
        seeds: Seeds,
        device: Device,
    ) -> Result<(Box<dyn Learner>, Description)> {
        let wrong = |what| Error::config("training", what);
        let info = parts[0].train.info();
        let named = !tasks[0].name.is_empty();
        let infos: Vec<(String, &Info)> = tasks
            .iter()
            .zip(parts)
            .map(|(task, parts)| (task.name.clone(), parts.train.info()))
            .collect();
        if named {
            // Before features of inputs are put together.
            shared_input(&infos)?;
        }
        let normalize = learning["normalize"] != false && info.scalar != thorndike_core::Kind::I32;
        let moments = |parts: &Parts| {
            let moments = Moments::of(&*parts.train, MOMENTS_OF)?;
            Ok((parts.train.len(), moments))
        };
        let known = Known {
            moments: match (normalize, parts) {
                (false, _) => None,
                (true, [only]) => Some(moments(only)?.1),
                (true, all) => {
                    let all = all.iter().map(moments).collect::<Result<Vec<_>>>()?;
                    Some(Moments::of_all(&all))
                }
            },
            counts: Vec::new(),
        };
        let counted = learning["class_weights"] == "balanced";
        let counts = |parts: &Parts| match counted {
            true => counts(&*parts.train),
            false => Ok(Vec::new()),
        };
        let mut description = Description {
            extractor: None,
            perceptron: None,
            info: info.clone(),
            normalize,
            tasks: Vec::new(),
            weighting: Weighting::Fixed,
        };
        let learner: Box<dyn Learner> = match Model::read(model)? {
            Model::Perceptron(_) if named => {
                let what = "a perceptron has no features that tasks could share; give \"mlp\"";
                return Err(Error::config("model.kind", what));
            }
            Model::Perceptron(config) => {
                let built = Perceptron::new(&config, info, &known);
                description.perceptron = Some(config);
                Box::new(built.map_err(|e| e.under("model"))?)
            }
            Model::Network(extractor) => {
                let extractor = match (extractor, &info.task) {
                    (ExtractorConfig::Yolo(config), Task::Boxes { names }) => {
                        let config = config.of_classes(names.len());
                        ExtractorConfig::Yolo(config.map_err(|e| e.under("model"))?)
                    }
                    (other, _) => other,
                };
                let config: LearningConfig = read(learning.clone(), "").map_err(wrong)?;
                let learner: Box<dyn Learner> = if named {
                    let all = tasks.iter().zip(parts);
                    let heads = all.map(|(task, parts)| {
                        Ok(HeadTask {
                            name: task.name.clone(),
                            info: parts.train.info().clone(),
                            weight: task.weight,
                            counts: counts(parts)?,
                        })
                    });
                    let heads = heads.collect::<Result<Vec<_>>>()?;
                    description.info = Info {
                        space: shared_input(&infos)?.space,
                        ..info.clone()
                    };
                    description.tasks = heads
                        .iter()
                        .map(|head| (head.name.clone(), head.info.clone()))
                        .collect();
                    description.weighting = config.weighting;
                    let built =
                        MultiNetwork::new(&extractor, &config, &heads, &known, seeds, device);
                    Box::new(built?)
                } else {
                    config.check(&info.task).map_err(|e| e.under("training"))?;
                    let known = Known {
                        counts: counts(&parts[0])?,
                        ..known
                    };
                    Box::new(Network::new(
                        &extractor, &config, info, &known, seeds, device,
                    )?)
                };
                let settled = match &extractor {
                    ExtractorConfig::Pretrained(pretrained) => pretrained.settled(),
                    other => other.settled().map(|settled| (settled, normalize)),
                };
                let (settled, normalize) = settled.map_err(|e| e.under("model"))?;
                description.extractor = Some(settled);
                description.normalize = normalize;
                learner
            }
        };
        Ok((learner, description))
    }

    /// The encoder of text that `description` tells of, to be filled with weights, and its settings; none if it is of
    /// another kind.
    pub(crate) fn encoder(
        description: &Description,
        device: Device,
    ) -> Result<Option<(Network, BertConfig)>> {
        let Some(ExtractorConfig::Bert(config)) = &description.extractor else {
            return Ok(None);
        };
        let network = network_again(&ExtractorConfig::Bert(config.clone()), description, device)?;
        Ok(Some((network, config.clone())))
    }

    fn network_again(
        extractor: &ExtractorConfig,
        description: &Description,
        device: Device,
    ) -> Result<Network> {
        let known = Known {
            moments: description
                .normalize
                .then(|| Moments::none(&description.info)),
            counts: Vec::new(),
        };
        Network::new(
            extractor,
            &LearningConfig::default(),
            &description.info,
            &known,
            Seeds::new(0),
            device,
        )
    }

    /// The model that `description` tells of, to be filled with weights; it cannot learn on.
    pub(crate) fn again(description: &Description, device: Device) -> Result<Box<dyn Learner>> {
        Ok(match &description.extractor {
            None => {
                let config = description.perceptron.clone().unwrap_or_default();
                let known = Known {
                    moments: description
                        .normalize
                        .then(|| Moments::none(&description.info)),
                    counts: Vec::new(),
                };
                Box::new(Perceptron::new(&config, &description.info, &known)?)
            }
            Some(extractor) if description.tasks.is_empty() => {
                Box::new(network_again(extractor, description, device)?)
            }
            Some(extractor) => {
                let moments = description
                    .normalize
                    .then(|| Moments::none(&description.info));
                let known = Known {
                    moments,
                    counts: Vec::new(),
                };
                let each = description.tasks.iter();
                let heads: Vec<HeadTask> = each
                    .map(|(name, info)| HeadTask {
                        name: name.clone(),
                        info: info.clone(),
                        weight: 1.0,
                        counts: Vec::new(),
                    })
                    .collect();
                let learning = LearningConfig {
                    weighting: description.weighting,
                    ..LearningConfig::default()
                };
                let seeds = Seeds::new(0);
                Box::new(MultiNetwork::new(
                    extractor, &learning, &heads, &known, seeds, device,
                )?)
            }
        })
    }

    /// Samples of each class; of classes of positions, positions.
    fn counts(train: &dyn DataSet) -> Result<Vec<u64>> {
        let mut counts = vec![0; train.info().task.names().len()];
        for index in 0..train.len() {
            match &train.info().task {
                Task::Classes { .. } => {
                    if let Some(class) = train.class(index)? {
                        counts[class] += 1;
                    }
                }
                _ => {
                    if let thorndike_data::Target::Positions(classes) = train.sample(index)?.target
                    {
                        for class in classes {
                            if let Ok(class) = usize::try_from(class) {
                                counts[class] += 1;
                            }
                        }
                    }
                }
            }
        }
        Ok(counts)
    }
}

/// No kinds of models: they need libtorch.
#[cfg(not(feature = "torch"))]
pub mod without_torch {
    use super::*;

    /// What travels with the weights; nothing here.
    #[derive(Clone, Debug)]
    pub struct Description {
        pub(crate) info: Info,
        pub(crate) tasks: Vec<(String, Info)>,
    }

    impl Description {
        pub(super) fn save(&self, _: &Path) -> Result<()> {
            Ok(())
        }
    }

    fn missing<T>() -> Result<T> {
        let what = "supervised models need libtorch, and this program was built without it";
        Err(Error::Unsupported(what.to_owned()))
    }

    pub(super) fn resolve_model(_: &Value) -> Result<Value> {
        missing()
    }

    pub(super) fn resolve_learning(_: &Value, _: &Value, _: EnvSteps) -> Result<Value> {
        missing()
    }

    pub(super) fn make(
        _: &Value,
        _: &Value,
        _: &[DataTask],
        _: &[Parts],
        _: Seeds,
        _: Device,
    ) -> Result<(Box<dyn Learner>, Description)> {
        missing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_shared_out_by_size_or_evenly() {
        let proportional = |all, sizes: &[usize]| Mix::Proportional.shares(all, sizes);
        assert_eq!(proportional(64, &[3_000, 1_000]), [48, 16]);
        assert_eq!(proportional(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(proportional(8, &[1_000_000, 1, 1]), [6, 1, 1]);
        assert_eq!(proportional(2, &[5, 1]), [1, 1]);
        assert_eq!(Mix::Even.shares(64, &[3_000, 1_000]), [32, 32]);
        assert_eq!(Mix::Even.shares(5, &[1, 9]), [3, 2]);
    }
}
