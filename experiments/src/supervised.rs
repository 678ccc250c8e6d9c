//! Supervised models in an experiment: their configuration, and how they are built.

use std::path::Path;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thorndike_core::{Device, EnvSteps, Error, Result, Seeds, check_range};
use thorndike_data::{
    Augment, DataSet, EarlyStopping, FitConfig, Fitter, LoaderConfig, Mixup, Mosaic, Part,
    SourceConfig, SplitConfig, Task, split,
};

use crate::text::thousands;

/// `[data]` of an experiment: where samples come from, and what happens to them before a model sees them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataConfig {
    /// The files, and how they are read.
    #[serde(flatten)]
    pub source: SourceConfig,
    /// Which samples are kept back, where the files do not say.
    pub split: SplitConfig,
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
            split: take(&mut keys, "split")?.unwrap_or_default(),
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
    /// says nothing.
    pub fn name(&self) -> &str {
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
        match self.part(Part::Validation)? {
            Some(validation) if self.split.folds == 0 => Ok(Parts { train, validation }),
            _ => {
                let (train, validation) = split(train, &self.split, seed)
                    .map_err(|e| e.under("split"))
                    .map_err(under)?;
                Ok(Parts {
                    train: Arc::new(train),
                    validation: Arc::new(validation),
                })
            }
        }
    }

    /// A part that the files have of their own.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn part(&self, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
        self.source.open(part)
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

/// A model and the data it learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelTask {
    /// Where samples come from.
    pub data: DataConfig,
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
            learning: Value::Object(keys),
        })
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
        self.data.source.check()?;
        let mut training = self.training()?;
        check_range("training.threads", training.threads, 1..=1024)?;
        let mut every = 0;
        if let Some(epochs) = epochs {
            check_range("epochs", epochs, 1e-3..=1e6)?;
            let parts = self.data.open(seed)?;
            let epoch = parts.train.len() as f64;
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
        let training = self.training()?;
        #[cfg(feature = "torch")]
        thorndike_nets::use_threads(training.threads.max(1));
        let parts = self.data.open(seed)?;
        let config = FitConfig {
            batches: LoaderConfig {
                batch_size: training.batch_size,
                mosaic: self.data.mosaic.clone(),
                length_buckets: training.length_buckets,
                augment: self.data.augment.clone(),
                mixup: self.data.mixup.clone(),
                workers: self.data.workers,
                ..LoaderConfig::default()
            },
            early_stopping: training.early_stopping,
        };
        let seeds = Seeds::new(seed);
        let (learner, model) = models::make(
            &self.model,
            &training.learning,
            &*parts.train,
            seeds,
            device,
        )?;
        let samples = [parts.train.len(), parts.validation.len()];
        let mut notes = parts.train.notes();
        // Parts of one file say the same.
        notes.extend(parts.validation.notes());
        notes.dedup();
        let fitter = Fitter::new(
            learner,
            parts.train,
            parts.validation,
            &config,
            seeds,
            log_every,
        )
        .map_err(|e| e.under("training"))?;
        Ok(Built {
            fitter,
            model,
            samples,
            notes,
        })
    }
}

impl Built {
    /// What the model reads and learns, and of how many samples.
    pub fn describe(&self) -> String {
        let info = &self.model.info;
        let names = info.task.names();
        let learned = match &info.task {
            Task::Classes { .. } => format!("{} classes", names.len()),
            Task::Positions { .. } => format!("{} classes of each position", names.len()),
            Task::Numbers { .. } => format!("{} numbers", names.len()),
            Task::Boxes { .. } => format!("boxes of {} classes", names.len()),
            Task::Span { .. } => "where answers start and end".to_owned(),
            Task::Masked { .. } => "masked words and next sentences".to_owned(),
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
    use thorndike_data::{Learner, Moments};
    pub use thorndike_nets::ModelFile as Description;
    use thorndike_nets::models::{BertConfig, Perceptron, PerceptronConfig};
    use thorndike_nets::{ExtractorConfig, Known, LearningConfig, Network};

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

    /// Builds `model` for samples such as those of `train`.
    pub(super) fn make(
        model: &Value,
        learning: &Value,
        train: &dyn DataSet,
        seeds: Seeds,
        device: Device,
    ) -> Result<(Box<dyn Learner>, Description)> {
        let info = train.info();
        let wrong = |what| Error::config("training", what);
        let normalize = learning["normalize"] != false && info.scalar != thorndike_core::Kind::I32;
        let known = Known {
            moments: match normalize {
                true => Some(Moments::of(train, MOMENTS_OF)?),
                false => None,
            },
            counts: match learning["class_weights"] == "balanced" {
                true => counts(train)?,
                false => Vec::new(),
            },
        };
        let mut description = Description {
            extractor: None,
            perceptron: None,
            info: info.clone(),
            normalize,
        };
        let learner: Box<dyn Learner> = match Model::read(model)? {
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
                config.check(&info.task).map_err(|e| e.under("training"))?;
                let network = Network::new(&extractor, &config, info, &known, seeds, device)?;
                let settled = extractor.settled().map_err(|e| e.under("model"))?;
                description.extractor = Some(settled);
                Box::new(network)
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
            Some(extractor) => Box::new(network_again(extractor, description, device)?),
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
    use thorndike_data::{Info, Learner};

    /// What travels with the weights; nothing here.
    #[derive(Clone, Debug)]
    pub struct Description {
        pub(crate) info: Info,
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
        _: &dyn DataSet,
        _: Seeds,
        _: Device,
    ) -> Result<(Box<dyn Learner>, Description)> {
        missing()
    }
}
