//! From a trained model to an extractor: what travels with the weights, and how they are read again.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Error, Result, Space, check_range, checkpoint};
use thorndike_data::{Info, Moments, Task};
use thorndike_words::WordVectors;

use crate::chain::LayerShape;
use crate::extractor::{Inputs, Read as Reading, SequenceReader};
use crate::input::float_shape;
use crate::models::{
    Bert, BertConfig, CnnConfig, Looked, PerceptronConfig, Readout, VggConfig, VggLayer, VggPart,
    Yolo,
};
use crate::supervised::WEIGHTS;
use crate::{ExtractorConfig, FeatureExtractor, Linear, Scope, Weighting, tensor_file};

/// Folder of an agent, below the folder of a checkpoint.
const AGENT_FOLDER: &str = "agent";
/// File that says what the extractor of an agent is, beside the agent's weights.
const EXTRACTOR: &str = "extractor.json";

/// File that says what a trained model is, beside its weights.
pub const MODEL: &str = "model.json";
/// Folder of the best checkpoint of a run, below the folder of a seed.
pub const BEST: &str = "best";
/// Folder of the checkpoints of a run, below the folder of a seed.
const CHECKPOINTS: &str = "checkpoints";
/// More bytes than the description of any model: a vocabulary of a million words.
const MAX_MODEL_BYTES: u64 = 64 << 20;

/// What a trained model is: all that is needed to build it again and to hand it samples of the same kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its extractor; a perceptron has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extractor: Option<ExtractorConfig>,
    /// Settings of a perceptron.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perceptron: Option<PerceptronConfig>,
    /// What it reads and what it learned.
    pub info: Info,
    /// Whether its inputs are normalised; the numbers are among its weights.
    pub normalize: bool,
    /// What it reads and what it learned in each of several tasks, by their names; `info` is that of the first. Its heads are
    /// called `head.NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<(String, Info)>,
    /// How its losses were weighed, if that is among its weights.
    #[serde(default, skip_serializing_if = "Weighting::is_fixed")]
    pub weighting: Weighting,
}

impl ModelFile {
    /// Writes it into the folder of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MODEL);
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::Backend(Box::new(e)))?;
        fs::write(&path, text).map_err(Error::io(path))
    }

    /// Reads it from the folder of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`] if it is damaged.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(MODEL);
        let model: Self = serde_json::from_slice(&read_description(&path)?)
            .map_err(|e| Error::checkpoint(&path, format!("is no description of a model: {e}")))?;
        let wrong = |what| Error::checkpoint(&path, format!("describes no model: {what}"));
        model.info.check().map_err(&wrong)?;
        for (_, info) in &model.tasks {
            info.check().map_err(&wrong)?;
        }
        Ok(model)
    }
}

/// What the extractor of a trained agent is: written beside the agent's weights, so that another agent can begin with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFile {
    /// Its settings.
    pub extractor: ExtractorConfig,
    /// What the agent observed, the frames of a stack together, as [`Space`] is written: JSON has no infinite bounds.
    pub space: String,
    /// Frames in an observation.
    pub frames: usize,
    /// Words that tokens of an observation stand for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vocabulary: Vec<String>,
}

impl AgentFile {
    /// Of an agent whose `extractor` reads `inputs`.
    ///
    /// # Errors
    /// As [`ExtractorConfig::settled`].
    pub fn new(extractor: &ExtractorConfig, inputs: &Inputs<'_>) -> Result<Self> {
        Ok(Self {
            extractor: extractor.settled()?,
            space: inputs.space.to_string(),
            frames: inputs.frames,
            vocabulary: inputs.vocabulary.to_vec(),
        })
    }

    /// Writes it into the folder of an agent.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(EXTRACTOR);
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::Backend(Box::new(e)))?;
        fs::write(&path, text).map_err(Error::io(path))
    }

    /// Reads it from the folder of an agent.
    fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(EXTRACTOR);
        serde_json::from_slice(&read_description(&path)?).map_err(|e| {
            Error::checkpoint(&path, format!("is no description of an extractor: {e}"))
        })
    }

    /// Refuses to read what the agent did not observe.
    fn check_reads(&self, from: &Path, reads: &Inputs<'_>) -> Result<()> {
        let wrong = |what: String| Err(Error::config("from", what));
        let from = from.display();
        if (&self.space, self.frames) != (&reads.space.to_string(), reads.frames) {
            return wrong(format!(
                "the agent in {from} observed {}, and the observations are {}; an agent that observed the same is needed",
                self.space, reads.space
            ));
        }
        if self.vocabulary != reads.vocabulary {
            return wrong(format!(
                "the agent in {from} read other words than there are here; an agent that read the same is needed"
            ));
        }
        Ok(())
    }
}

/// The bytes of a description, no more than any has.
fn read_description(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut text = Vec::new();
    let read = file.take(MAX_MODEL_BYTES).read_to_end(&mut text);
    read.map_err(Error::io(path))?;
    Ok(text)
}

/// Where a trained extractor comes from.
#[derive(Debug)]
enum Source {
    /// A model, and the folder of its checkpoint.
    Model(PathBuf, Box<ModelFile>),
    /// An agent, and its folder below that of its checkpoint.
    Agent(PathBuf, Box<AgentFile>),
}

impl Source {
    /// That in `from`: a model if there is one, otherwise an agent.
    fn find(from: &Path, which: Which) -> Result<Self> {
        let is_model = from.join(MODEL).is_file();
        let newest = match from.is_dir() && !is_model {
            false => None,
            true if from.join(AGENT_FOLDER).is_dir() => {
                checkpoint::open(from)?;
                Some(from.to_owned())
            }
            true => latest_of(from, CHECKPOINTS)?,
        };
        let agent = newest.map(|newest| newest.join(AGENT_FOLDER));
        if let Some(agent) = agent.filter(|agent| agent.is_dir()) {
            if !agent.join(EXTRACTOR).is_file() {
                let what = format!(
                    "the agent in {} has no extractor that can be handed on: one of its own, one that stayed as it was, or one \
                     of an older version; give a dqn or pqn that learned its extractor",
                    from.display()
                );
                return Err(Error::config("from", what));
            }
            let file = AgentFile::load(&agent)?;
            return Ok(Self::Agent(agent, Box::new(file)));
        }
        let dir = find_model(from, which)?;
        let file = ModelFile::load(&dir)?;
        Ok(Self::Model(dir, Box::new(file)))
    }
}

/// Which weights of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// Those that did best on the validation part.
    #[default]
    Best,
    /// Those at the end.
    Last,
}

/// The folder of the checkpoint that `from` means: the folder of an experiment (its first seed that has one is taken), of
/// one of its seeds, or of a checkpoint. It is verified.
///
/// # Errors
/// [`Error::Config`] with the key `from` if there is none, [`Error::Checkpoint`] if it is damaged.
pub fn find_model(from: &Path, which: Which) -> Result<PathBuf> {
    let wrong = |what: String| Error::config("from", what);
    if !from.is_dir() {
        if from.starts_with("data") {
            return Err(thorndike_data::missing("from", from));
        }
        return Err(wrong(format!(
            "{} is not there; give the folder that `thorndike fit` left, such as results/NAME",
            from.display()
        )));
    }
    if from.join(MODEL).is_file() {
        checkpoint::open(from)?;
        return Ok(from.to_owned());
    }
    let folder = match which {
        Which::Best => BEST,
        Which::Last => CHECKPOINTS,
    };
    match latest_of(from, folder)? {
        Some(latest) if latest.join(MODEL).is_file() => Ok(latest),
        Some(_) => Err(wrong(format!(
            "{} holds an agent, not a model; give a folder that `thorndike fit` left",
            from.display()
        ))),
        None => Err(wrong(format!(
            "{} holds no trained model; give a folder that `thorndike fit` left, such as results/NAME",
            from.display()
        ))),
    }
}

/// The newest checkpoint below `folder`, of the experiment or seed in `from`: of the first seed that has one. It is verified.
fn latest_of(from: &Path, folder: &str) -> Result<Option<PathBuf>> {
    let mut seeds: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let name = entry.file_name();
        let seed = name.to_str().and_then(|name| name.strip_prefix("seed-"));
        if let Some(seed) = seed.and_then(|seed| seed.parse().ok()) {
            seeds.push((seed, entry.path()));
        }
    }
    seeds.sort();
    seeds.insert(0, (0, from.to_owned()));
    for (_, seed) in seeds {
        if let Some(latest) = checkpoint::latest(&seed.join(folder))? {
            checkpoint::open(&latest)?;
            return Ok(Some(latest));
        }
    }
    Ok(None)
}

/// The word vectors at `path`: a file of them, or the folder of an experiment that learned them, of one of its seeds, or of a
/// checkpoint.
pub(crate) fn read_vectors(path: &Path) -> Result<WordVectors> {
    let wrong = |what: String| Error::config("vectors", what);
    let checkpoint = match path.is_dir() {
        true => latest_of(path, CHECKPOINTS)?,
        false => None,
    };
    if !path.exists() {
        return Err(wrong(format!(
            "{} is not there; give a file of word vectors, or the folder of a Word2Vec that `thorndike fit` left",
            path.display()
        )));
    }
    WordVectors::read(checkpoint.as_deref().unwrap_or(path)).map_err(|e| wrong(e.to_string()))
}

/// An extractor whose inputs are brought to mean 0 and deviation 1 first, by numbers that are part of it.
#[derive(Debug)]
struct Normalized {
    inner: Box<dyn FeatureExtractor>,
    /// `[channels, 1, 1]` for images, `[features]` for rows and sequences.
    mean: Tensor,
    deviation: Tensor,
}

impl Normalized {
    fn input(&self, x: &Tensor) -> Tensor {
        (x - &self.mean) / &self.deviation
    }
}

impl FeatureExtractor for Normalized {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        self.inner.features(&self.input(obs), train)
    }

    fn width(&self) -> i64 {
        self.inner.width()
    }

    fn pixels(&self, images: &Tensor, train: bool) -> Option<Tensor> {
        self.inner.pixels(&self.input(images), train)
    }

    fn detector(&self) -> Option<&Yolo> {
        self.inner.detector()
    }

    fn look(&self, images: &Tensor, train: bool) -> Option<Looked> {
        self.inner.look(&self.input(images), train)
    }

    fn sequence(&self) -> Option<&dyn SequenceReader> {
        self.inner.sequence().map(|_| self as &dyn SequenceReader)
    }

    fn position_width(&self) -> i64 {
        self.inner.position_width()
    }
}

impl Normalized {
    fn reader(&self) -> &dyn SequenceReader {
        self.inner.sequence().expect("only asked of a reader")
    }
}

impl SequenceReader for Normalized {
    fn read(&self, x: &Tensor, lengths: &[u32], state: Option<&Tensor>, train: bool) -> Reading {
        self.reader().read(&self.input(x), lengths, state, train)
    }

    fn state_len(&self) -> i64 {
        self.reader().state_len()
    }
}

/// Declares `extractor` for inputs of `info` in `scope`; with `moments`, as one whose inputs are normalised.
pub(crate) fn build_extractor(
    extractor: &ExtractorConfig,
    scope: &mut Scope<'_>,
    info: &Info,
    moments: &Option<Moments>,
) -> Result<Box<dyn FeatureExtractor>> {
    // A trained extractor brings the numbers that it learned with.
    let is_trained = matches!(extractor, ExtractorConfig::Pretrained(_));
    let normalize = moments.as_ref().filter(|_| !is_trained).map(|moments| {
        let mut shape = vec![moments.mean.len() as i64];
        if info.space.shape().len() == 3 {
            shape.extend([1, 1]);
        }
        let scope = &mut scope.sub("normalize");
        let mut buffer = |name: &str, values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            scope.buffer(name, &shape, &values)
        };
        [
            buffer("mean", &moments.mean),
            buffer("deviation", &moments.deviation),
        ]
    });
    let inputs = Inputs {
        space: &info.space,
        frames: 1,
        vocabulary: &info.vocabulary,
    };
    let built = extractor.build(scope, &inputs);
    let inner = built.map_err(|e| e.under("model"))?;
    Ok(match normalize {
        None => inner,
        Some([mean, deviation]) => Box::new(Normalized {
            inner,
            mean,
            deviation,
        }),
    })
}

/// `backbone` as what makes maps alone: without fully connected layers, and without the run that its weights came from.
///
/// # Errors
/// [`Error::Config`] if it makes no maps, or there is no such run.
pub(crate) fn backbone_again(backbone: &ExtractorConfig) -> Result<ExtractorConfig> {
    match backbone {
        ExtractorConfig::Csp(_) => Ok(backbone.clone()),
        ExtractorConfig::Cnn(config) if !config.one_dimensional => {
            Ok(ExtractorConfig::Cnn(CnnConfig {
                global_pool: true,
                hidden: Vec::new(),
                dropout: 0.0,
                ..config.clone()
            }))
        }
        ExtractorConfig::Vgg(config) => Ok(ExtractorConfig::Vgg(VggConfig {
            pool: 1,
            hidden: Vec::new(),
            layer: VggLayer::Part(VggPart::Features),
            ..config.clone()
        })),
        ExtractorConfig::Pretrained(pretrained) => {
            let model = ModelFile::load(&find_model(&pretrained.from, pretrained.weights)?)?;
            match model.extractor {
                Some(ExtractorConfig::Yolo(config)) => Ok(*config.backbone),
                Some(ExtractorConfig::Pretrained(_)) | None => {
                    let what = format!("{} has no convolutions", pretrained.from.display());
                    Err(Error::config("from", what))
                }
                Some(extractor) => backbone_again(&extractor),
            }
        }
        _ => {
            let what =
                "it makes no maps of an image; use \"csp\", \"cnn\", \"vgg\" or \"pretrained\"";
            Err(Error::config("kind", what))
        }
    }
}

/// Declares `backbone` in `scope`, which makes maps of images such as `inputs`; with the weights of its run, if it comes
/// from one. Frozen, it stays as it is.
///
/// # Errors
/// As [`backbone_again`]; [`Error::Checkpoint`] if the weights are damaged or of other images.
pub(crate) fn build_backbone(
    backbone: &ExtractorConfig,
    scope: &mut Scope<'_>,
    inputs: &Inputs<'_>,
) -> Result<Box<dyn FeatureExtractor>> {
    let again = backbone_again(backbone)?;
    let ExtractorConfig::Pretrained(pretrained) = backbone else {
        return again.build(scope, inputs);
    };
    pretrained.check()?;
    let dir = find_model(&pretrained.from, pretrained.weights)?;
    let of_detector = matches!(
        ModelFile::load(&dir)?.extractor,
        Some(ExtractorConfig::Yolo(_))
    );
    let start = match of_detector {
        true => "extractor.backbone.",
        false => "extractor.",
    };
    let scope = &mut scope.fixed(pretrained.is_frozen());
    let before = scope.declared();
    let inner = again.build(scope, inputs)?;
    let own = format!("{}.", scope.prefix());
    let path = dir.join(WEIGHTS);
    scope.fill(before, |expected| {
        let names = expected.iter().map(|(name, _)| {
            let name = name.strip_prefix(&own).expect("declared below it");
            format!("{start}{name}")
        });
        let names: Vec<String> = names.collect();
        let shapes = expected.iter().map(|(_, shape)| *shape);
        let wanted: Vec<(&str, &[usize])> = names.iter().map(String::as_str).zip(shapes).collect();
        let read = tensor_file::read_state_dict(&path, &wanted, &|_| true)?;
        Ok(read.into_iter().map(Some).collect())
    })?;
    Ok(match pretrained.is_frozen() {
        true => Box::new(Settled {
            inner,
            has_fresh: false,
            gives: Gives::Features,
        }),
        false => inner,
    })
}

/// Settings of a pretrained extractor.
///
/// Its layers are counted from the head: the one that the head reads is the first. They are the stretches of weights whose
/// names begin alike up to their first number, such as `features.7` or `encoder.layer.3`.
///
/// # Reference
/// Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section 3.3 for gradual
/// unfreezing (`thaw_every_steps`) and 3.2 for discriminative rates (`layer_decay`). Deviations: both are off unless asked
/// for; a layer thaws after steps, not epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainedConfig {
    /// The folder of an experiment that `thorndike fit` or `train` left, of one of its seeds, or of a checkpoint.
    pub from: PathBuf,
    /// Which weights of it. Default those that were best on the validation part.
    #[serde(default)]
    pub weights: Which,
    /// What an agent gets of it. Default its features.
    #[serde(default)]
    pub layer: Layer,
    /// With `layer = "map"`: a class of the detector, such as what marks where the agent is, whose surest detection the map
    /// is centred on. Default none: the map is that of the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centre: Option<String>,
    /// Whether its weights stay as they are: `true`, `false`, until a step, `{ until_step = 10_000 }`, or until they thaw layer
    /// by layer, `{ thaw_every_steps = 5_000 }`. Default true.
    #[serde(default)]
    pub freeze: Freeze,
    /// Learning rate of its weights when they learn, in proportion to that of all others. Default 1.
    #[serde(default = "one")]
    pub learning_rate_factor: f64,
    /// How much slower each layer learns than the next one towards the head, the first of them than the head: 2.6 in the
    /// paper. Default 1, not slower.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub layer_decay: f64,
    /// Beginnings of the names of layers that are not taken over: they begin as new ones do and learn as the head does, such
    /// as `["up"]`, the way back of a U-Net that has learned classes of pictures. Statistics of batch norms are then those of
    /// what is learned from. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fresh: Vec<String>,
    /// Of a supervised model: whether the head is a new one or the trained one. Default a new one.
    #[serde(default, skip_serializing_if = "is_new")]
    pub head: HeadFrom,
}

fn one() -> f64 {
    1.0
}

fn is_one(x: &f64) -> bool {
    *x == 1.0
}

fn is_new(head: &HeadFrom) -> bool {
    *head == HeadFrom::New
}

/// Where the head of a supervised model comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadFrom {
    /// It is drawn, for whatever is to be learned.
    #[default]
    New,
    /// It is that of the trained model, which has learned the same.
    Trained,
}

/// What an agent gets of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// What lies in front of its head; of a detector, what it finds: the surest boxes of each class.
    #[default]
    Features,
    /// The probabilities of its classes.
    Classes,
    /// Of a detector, what it finds as a [map](crate::models::Yolo::map): a plane a class, `[classes, height / stride, width /
    /// stride]` with its finest stride, larger with a [centre](PretrainedConfig::centre).
    Map,
}

impl Layer {
    fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Classes => "classes",
            Self::Map => "map",
        }
    }
}

/// Whether pretrained weights stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "give true, false, { until_step = N } or { thaw_every_steps = N }"
)]
pub enum Freeze {
    /// For ever, or not at all.
    Always(bool),
    /// Until a step of the run.
    Until {
        /// Environment steps, or samples.
        until_step: u64,
    },
    /// Layer by layer: the first from the head learns from one such number of steps on, the second from two.
    Layers {
        /// Environment steps, or samples.
        thaw_every_steps: u64,
    },
}

impl Default for Freeze {
    fn default() -> Self {
        Self::Always(true)
    }
}

impl PretrainedConfig {
    /// The factor of the learning rate at `step` of the layer `depth`, counted from 1 for the one that the head reads.
    pub fn rate_factor(&self, step: u64, depth: usize) -> f64 {
        let thaws = match self.freeze {
            Freeze::Always(true) => return 0.0,
            Freeze::Always(false) => 0,
            Freeze::Until { until_step } => until_step,
            Freeze::Layers { thaw_every_steps } => thaw_every_steps.saturating_mul(depth as u64),
        };
        match step < thaws {
            true => 0.0,
            false => {
                let slower = self
                    .layer_decay
                    .powi(i32::try_from(depth).unwrap_or(i32::MAX));
                self.learning_rate_factor / slower
            }
        }
    }

    /// Whether its weights never change.
    pub fn is_frozen(&self) -> bool {
        self.freeze == Freeze::Always(true) && self.fresh.is_empty()
    }

    /// The folder of the model, if its weights never change.
    pub(crate) fn frozen_from(&self) -> Option<&Path> {
        self.is_frozen().then_some(&*self.from)
    }

    /// Whether its weights learn as all others do from the start.
    pub fn learns_as_all_others(&self) -> bool {
        self.freeze == Freeze::Always(false)
            && self.learning_rate_factor == 1.0
            && self.layer_decay == 1.0
    }

    /// Whether none of its weights changes at `step`.
    pub fn is_still(&self, step: u64) -> bool {
        self.fresh.is_empty() && self.rate_factor(step, 1) == 0.0
    }

    /// Whether the layer whose name below the extractor begins with `name` is a new one.
    pub(crate) fn is_fresh(&self, name: &str) -> bool {
        self.fresh.iter().any(|fresh| {
            name.strip_prefix(fresh.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self) -> Result<()> {
        let factor = self.learning_rate_factor;
        check_range("learning_rate_factor", factor, 0.0..=100.0)?;
        check_range("layer_decay", self.layer_decay, 0.01..=100.0)?;
        if self.centre.is_some() && self.layer != Layer::Map {
            let what = "only a map has a middle; use layer = \"map\", or leave it out";
            return Err(Error::config("centre", what));
        }
        if let Freeze::Layers { thaw_every_steps } = self.freeze {
            check_range("freeze.thaw_every_steps", thaw_every_steps, 1..=1 << 53)?;
        }
        Ok(())
    }

    /// Weights and features, zeros if there is no such model.
    pub(crate) fn size(&self, reads: &Inputs<'_>) -> (u64, u64) {
        let sized = || {
            let model = match Source::find(&self.from, self.weights)? {
                Source::Agent(_, agent) => return Ok(agent.extractor.size(reads)),
                Source::Model(_, model) => model,
            };
            let times = match model.extractor {
                Some(ExtractorConfig::Bert(_)) => 1,
                _ => self.inputs_in(&model, reads)? as u64,
            };
            let inputs = Inputs::of(&model.info.space);
            let size = |extractor: ExtractorConfig| extractor.size(&inputs);
            let (weights, width) = model.extractor.clone().map_or((0, 0), size);
            Ok::<_, Error>(match self.layer {
                Layer::Features => (weights, times * width),
                Layer::Classes => {
                    let classes = model.info.task.names().len() as u64;
                    (weights + classes * (width + 1), times * classes)
                }
                Layer::Map => {
                    let shape = self.map_shape(reads).unwrap_or_default();
                    (weights, shape.iter().product::<i64>() as u64)
                }
            })
        };
        sized().unwrap_or_default()
    }

    /// Shape of the maps of observations of `reads`, if this makes such.
    pub(crate) fn map_shape(&self, reads: &Inputs<'_>) -> Option<Vec<i64>> {
        let Source::Model(_, model) = Source::find(&self.from, self.weights).ok()? else {
            return None;
        };
        match &model.extractor {
            Some(ExtractorConfig::Yolo(yolo)) if self.layer == Layer::Map => {
                let &[_, height, width] = &float_shape(&model.info.space)[..] else {
                    return None;
                };
                let mut shape = yolo
                    .map_shape([height, width], self.centre.is_some())
                    .to_vec();
                if shape.iter().any(|&n| n < 1) {
                    return None;
                }
                shape[0] *= self.inputs_in(&model, reads).ok()? as i64;
                Some(shape)
            }
            _ => None,
        }
    }

    /// What a model that has this extractor is once it has weights of its own: its settings without `from`, and whether it
    /// normalises its inputs.
    ///
    /// # Errors
    /// If there is no such model.
    pub fn settled(&self) -> Result<(ExtractorConfig, bool)> {
        let itself = (ExtractorConfig::Pretrained(self.clone()), false);
        Ok(
            match (self.layer, Source::find(&self.from, self.weights)?) {
                (Layer::Features, Source::Model(_, model)) => match &model.extractor {
                    Some(extractor) => (extractor.settled()?, model.normalize),
                    None => itself,
                },
                _ => itself,
            },
        )
    }

    /// Where the trained head lies, for a model that learns `task`.
    ///
    /// # Errors
    /// [`Error::Config`] if it does not fit, or if nothing would be left to learn.
    pub(crate) fn trained_head(&self, task: &Task) -> Result<PathBuf> {
        let wrong = |what: String| Err(Error::config("head", what));
        let Source::Model(dir, model) = Source::find(&self.from, self.weights)? else {
            return wrong("an agent has no head for samples; give \"new\"".to_owned());
        };
        if model.info.task != *task || !model.tasks.is_empty() || self.layer != Layer::Features {
            return wrong(format!(
                "that of {} is for {}, and the data has {}; give \"new\"",
                self.from.display(),
                listed(model.info.task.names()),
                listed(task.names())
            ));
        }
        if self.is_frozen() || self.learning_rate_factor == 0.0 && self.fresh.is_empty() {
            let what = "nothing is left to learn: extractor and head are the trained ones, and the extractor stays as it is; \
                        give freeze = false, or head = \"new\"";
            return Err(Error::config("freeze", what));
        }
        Ok(dir.join(WEIGHTS))
    }

    /// Declares the model's extractor in `scope`, with its weights, for the observations `reads`.
    ///
    /// Observations may hold several inputs of the model one after another, such as planes of pictures: each is read by
    /// itself, and their features stand side by side. An encoder of text reads the words of any vocabulary, in its own
    /// pieces.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no model or it cannot read the observations, [`Error::Checkpoint`] if its weights are
    /// damaged or not those of the model.
    pub fn build(
        &self,
        scope: &mut Scope<'_>,
        reads: &Inputs<'_>,
    ) -> Result<Box<dyn FeatureExtractor>> {
        self.check()?;
        let (dir, model) = match Source::find(&self.from, self.weights)? {
            Source::Model(dir, model) => (dir, model),
            Source::Agent(dir, agent) => return self.build_of_agent(scope, reads, &dir, &agent),
        };
        let Some(extractor) = &model.extractor else {
            let what = format!(
                "{} is a perceptron, which has no features",
                self.from.display()
            );
            return Err(Error::config("from", what));
        };
        let is_text = matches!(extractor, ExtractorConfig::Bert(_));
        let times = match is_text {
            true => 1,
            false => self.inputs_in(&model, reads)?,
        };
        let read_info;
        let info = match reads_any_size(extractor) && times == 1 {
            false => &model.info,
            true => {
                read_info = Info {
                    space: reads.space.clone(),
                    ..model.info.clone()
                };
                &read_info
            }
        };
        let path = dir.join(WEIGHTS);
        // Values do not matter: they are read below.
        let moments = model.normalize.then(|| Moments::none(&model.info));
        let before = scope.declared();
        let inner: Box<dyn FeatureExtractor> = match extractor {
            ExtractorConfig::Bert(config) => {
                let config = BertConfig {
                    from: Some(dir.clone()),
                    ..config.clone()
                };
                Box::new(Bert::new(&config, scope, reads)?)
            }
            _ => build_extractor(extractor, scope, info, &moments)?,
        };
        let wrong = |needed: &str| {
            let what = format!(
                "\"{}\" needs a {needed}, which {} is not; use \"features\"",
                self.layer.name(),
                self.from.display()
            );
            Err(Error::config("layer", what))
        };
        let gives = match (self.layer, &model.info.task) {
            (Layer::Features, _) => Gives::Features,
            (Layer::Classes, Task::Classes { names }) if model.tasks.is_empty() => {
                let scope = &mut scope.sub("head");
                Gives::Classes(Linear::new(scope, inner.width(), names.len() as i64))
            }
            (Layer::Classes, _) => return wrong("model of classes of samples"),
            (Layer::Map, task) => {
                let Some(detector) = inner.detector() else {
                    return wrong("detector");
                };
                if detector.map_shape(false).contains(&0) {
                    let what = "pictures are smaller than a place of the map";
                    return Err(Error::config("layer", what));
                }
                Gives::Map {
                    centre: self.centre_in(task)?,
                }
            }
        };
        self.take_over(scope, before, &path)?;
        let has_fresh = !self.fresh.is_empty();
        let inner = Box::new(Settled {
            inner,
            has_fresh,
            gives,
        });
        let same = float_shape(&info.space) == float_shape(reads.space);
        if is_text || times == 1 && same {
            return Ok(inner);
        }
        Ok(Box::new(Each {
            shape: float_shape(&info.space),
            times: times as i64,
            inner,
        }))
    }

    /// The number of the class `centre`.
    fn centre_in(&self, task: &Task) -> Result<Option<usize>> {
        let Some(name) = &self.centre else {
            return Ok(None);
        };
        let names = task.names();
        let place = names.iter().position(|known| known == name);
        place.map(Some).ok_or_else(|| {
            let what = format!("there is no class {name:?}; known: {}", names.join(", "));
            Error::config("centre", what)
        })
    }

    /// As [`build`](Self::build), of an agent.
    fn build_of_agent(
        &self,
        scope: &mut Scope<'_>,
        reads: &Inputs<'_>,
        dir: &Path,
        agent: &AgentFile,
    ) -> Result<Box<dyn FeatureExtractor>> {
        agent.check_reads(&self.from, reads)?;
        if self.layer != Layer::Features {
            let name = self.layer.name();
            let what = format!(
                "\"{name}\" needs a trained model, and there is an agent; use \"features\""
            );
            return Err(Error::config("layer", what));
        }
        let before = scope.declared();
        let inner = agent.extractor.build(scope, reads)?;
        self.take_over(scope, before, &dir.join(WEIGHTS))?;
        Ok(Box::new(Settled {
            inner,
            has_fresh: !self.fresh.is_empty(),
            gives: Gives::Features,
        }))
    }

    /// Reads the weights in `path` of what was declared in `scope` since `before`.
    fn take_over(&self, scope: &mut Scope<'_>, before: [usize; 2], path: &Path) -> Result<()> {
        let prefix = scope.prefix().to_owned();
        scope.fill(before, |expected| {
            let own = |name: &str| {
                let own = name.strip_prefix(&prefix).expect("declared below it");
                own.strip_prefix('.').unwrap_or(own).to_owned()
            };
            let own: Vec<String> = expected.iter().map(|(name, _)| own(name)).collect();
            for fresh in &self.fresh {
                let found = |name: &String| {
                    let rest = name.strip_prefix(fresh.as_str());
                    rest.is_some_and(|rest| rest.starts_with('.'))
                };
                if !own.iter().any(found) {
                    let mut layers: Vec<&str> = Vec::new();
                    for layer in own.iter().map(|name| layer_of(name)) {
                        if !layers.contains(&layer) && layer != "normalize" {
                            layers.push(layer);
                        }
                    }
                    let what = format!("there is no layer {fresh:?}; known: {}", layers.join(", "));
                    return Err(Error::config("fresh", what));
                }
            }
            let renamed: Vec<String> = own
                .iter()
                // An extractor may have a part of that name, too.
                .map(
                    |own| match self.layer == Layer::Classes && own.starts_with("head.") {
                        true => own.clone(),
                        false => format!("extractor.{own}"),
                    },
                )
                .collect();
            let is_read: Vec<bool> = own
                .iter()
                .map(|own| !self.is_fresh(layer_of(own)))
                .collect();
            let named = renamed.iter().zip(expected).zip(&is_read);
            let wanted: Vec<(&str, &[usize])> = named
                .filter(|(_, is_read)| **is_read)
                .map(|((name, (_, shape)), _)| (name.as_str(), *shape))
                .collect();
            let unused = |name: &str| {
                let own = name.strip_prefix("extractor.");
                ["head.", "weighting."]
                    .iter()
                    .any(|other| name.starts_with(other))
                    || own.is_some_and(|own| self.is_fresh(layer_of(own)))
            };
            let mut read = tensor_file::read_state_dict(path, &wanted, &unused)?.into_iter();
            let arrays = is_read.iter().map(|is_read| match is_read {
                true => read.next(),
                false => None,
            });
            Ok(arrays.collect())
        })
    }

    /// How many inputs of `model` an observation of `reads` holds.
    fn inputs_in(&self, model: &ModelFile, reads: &Inputs<'_>) -> Result<usize> {
        let (input, space) = (&model.info.space, reads.space);
        let (of_model, of_obs) = (float_shape(input), float_shape(space));
        if let Some(extractor) = &model.extractor
            && reads_any_size(extractor)
        {
            let same = match (input, space) {
                (Space::Box { .. }, Space::Box { .. }) => {
                    of_model.len() == 3 && of_obs.len() == 3 && of_model[0] == of_obs[0]
                }
                (Space::MultiDiscrete(own), Space::MultiDiscrete(other)) => {
                    own.first() == other.first() && model.info.vocabulary == reads.vocabulary
                }
                _ => false,
            };
            if same {
                return Ok(1);
            }
        }
        let (len, all): (i64, i64) = (of_model.iter().product(), of_obs.iter().product());
        let same_scale = match (input, space) {
            // Pixels are divided by their highest value on both sides.
            (Space::Box { .. }, Space::Box { .. }) => true,
            (input, space) => input == space,
        };
        let same_image = match (&of_model[..], &of_obs[..]) {
            ([.., h, w], [.., height, width]) if of_model.len() == 3 => (h, w) == (height, width),
            _ => true,
        };
        if !same_scale || !same_image || all % len != 0 {
            let what = format!(
                "{} reads {input}, and the observations are {space}; a model that reads them, or several of them one \
                 after another, is needed",
                self.from.display()
            );
            return Err(Error::config("from", what));
        }
        Ok((all / len) as usize)
    }
}

/// Whether inputs may have another size than those that were learned from: pictures, or sequences of tokens.
fn reads_any_size(extractor: &ExtractorConfig) -> bool {
    match extractor {
        ExtractorConfig::UNet(_) => true,
        ExtractorConfig::Rnn(config) => config.readout != Readout::All,
        _ => false,
    }
}

/// The layer that a weight called `name` below its extractor belongs to: what its name begins with up to its first number,
/// or its first part if it has none.
pub(crate) fn layer_of(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            return &name[..end];
        }
        end += 1;
    }
    name.split('.').next().unwrap_or(name)
}

/// Names, the first few of many.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len() > SHOWN {
        true => format!("{}, .. ({})", shown.join(", "), names.len()),
        false => shown.join(", "),
    }
}

/// An extractor that is always as in prediction: what is learned from is other than what the model learned from, so running
/// statistics of batch norms stay, and nothing is dropped. Only one with fresh layers, which have no statistics yet, learns as
/// a new one does.
#[derive(Debug)]
struct Settled {
    inner: Box<dyn FeatureExtractor>,
    /// Whether it has fresh layers.
    has_fresh: bool,
    gives: Gives,
}

/// What an agent gets of a model, and what makes it.
#[derive(Debug)]
enum Gives {
    Features,
    /// By the model's head.
    Classes(Linear),
    Map {
        /// The class that it is centred on.
        centre: Option<usize>,
    },
}

impl Gives {
    fn are_features(&self) -> bool {
        matches!(self, Self::Features)
    }
}

impl FeatureExtractor for Settled {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let train = train && self.has_fresh;
        match &self.gives {
            Gives::Features => self.inner.features(obs, train),
            Gives::Classes(head) => {
                let features = self.inner.features(obs, train);
                head.forward(&features).softmax(-1, Kind::Float)
            }
            Gives::Map { centre } => {
                let looked = tch::no_grad(|| self.inner.look(obs, false));
                let looked = looked.expect("a detector looks");
                self.detector().map(&looked, *centre).flatten(1, -1)
            }
        }
    }

    fn width(&self) -> i64 {
        match &self.gives {
            Gives::Features => self.inner.width(),
            Gives::Classes(head) => head.bias.size()[0],
            Gives::Map { .. } => self.shape().iter().product(),
        }
    }

    fn shape(&self) -> Vec<i64> {
        match &self.gives {
            Gives::Features => self.inner.shape(),
            Gives::Classes(_) => vec![self.width()],
            Gives::Map { centre } => {
                let centred = centre.is_some();
                self.detector().map_shape(centred).to_vec()
            }
        }
    }

    fn maps(&self, images: &Tensor, _train: bool) -> Option<Vec<Tensor>> {
        self.inner.maps(images, false)
    }

    fn reads_tokens(&self) -> bool {
        self.inner.reads_tokens()
    }

    fn notes(&self) -> Option<String> {
        self.inner.notes()
    }

    fn pixels(&self, images: &Tensor, train: bool) -> Option<Tensor> {
        let train = train && self.has_fresh;
        self.gives
            .are_features()
            .then(|| self.inner.pixels(images, train))?
    }

    fn sequence(&self) -> Option<&dyn SequenceReader> {
        let reader = self.inner.sequence().filter(|_| self.gives.are_features());
        reader.map(|_| self as &dyn SequenceReader)
    }

    fn position_width(&self) -> i64 {
        self.inner.position_width()
    }

    fn bert(&self) -> Option<&Bert> {
        self.inner.bert().filter(|_| self.gives.are_features())
    }

    fn chain(&self) -> Option<Vec<LayerShape>> {
        self.inner.chain().filter(|_| self.gives.are_features())
    }
}

impl Settled {
    fn detector(&self) -> &Yolo {
        self.inner.detector().expect("only a detector makes a map")
    }

    fn reader(&self) -> &dyn SequenceReader {
        self.inner.sequence().expect("only asked of a reader")
    }
}

impl SequenceReader for Settled {
    fn read(&self, x: &Tensor, lengths: &[u32], state: Option<&Tensor>, train: bool) -> Reading {
        let train = train && self.has_fresh;
        self.reader().read(x, lengths, state, train)
    }

    fn state_len(&self) -> i64 {
        self.reader().state_len()
    }
}

/// Reads the inputs in an observation one by one: `[batch, times * input]` -> `[batch, times * width]`.
#[derive(Debug)]
struct Each {
    inner: Box<dyn FeatureExtractor>,
    shape: Vec<i64>,
    times: i64,
}

impl FeatureExtractor for Each {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let batch = obs.size()[0];
        let mut shape = vec![batch * self.times];
        shape.extend(&self.shape);
        let features = self.inner.features(&obs.reshape(shape.as_slice()), train);
        features.reshape([batch, -1])
    }

    fn width(&self) -> i64 {
        self.times * self.inner.width()
    }

    fn shape(&self) -> Vec<i64> {
        let mut shape = self.inner.shape();
        shape[0] *= self.times;
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::CnnConfig;
    use crate::supervised::{Known, LearningConfig, Network};
    use crate::{OptimConfig, Optimizer, ParamStore};
    use tch::Device;
    use thorndike_core::{Array, Kind as Scalar, Seeds};
    use thorndike_data::{At, Batch, Learner, Targets};

    fn image(channels: usize) -> Space {
        Space::Box {
            shape: vec![channels, 6, 6],
            low: 0.0,
            high: 255.0,
        }
    }

    #[test]
    fn what_is_not_there_is_named_with_what_brings_it() {
        for (from, what) in [
            ("data/none", "; run scripts/data none"),
            (
                "results/none",
                "; give the folder that `thorndike fit` left, such as results/NAME",
            ),
        ] {
            let error = find_model(Path::new(from), Which::Best).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("from: {from} is not there{what}")
            );
        }
    }

    /// A network of three classes that has learned a little, saved as `thorndike fit` does.
    fn saved(dir: &Path) -> Network {
        let info = Info {
            space: image(1),
            scalar: Scalar::U8,
            task: Task::Classes {
                names: ["a", "b", "c"].map(str::to_owned).into(),
            },
            vocabulary: Vec::new(),
            encoding: Default::default(),
        };
        let extractor: CnnConfig = serde_json::from_str(
            r#"{"layers": [{"filters": 4, "size": 3, "stride": 1, "padding": 1}, {"pool": "max", "size": 2}],
                "hidden": [5], "norm": "batch", "dropout": 0.5}"#,
        )
        .unwrap();
        let extractor = ExtractorConfig::Cnn(extractor);
        let known = Known {
            moments: Some(Moments {
                mean: vec![0.4],
                deviation: vec![0.3],
            }),
            counts: Vec::new(),
        };
        let learning = LearningConfig::default();
        let device = thorndike_core::Device::Cpu;
        let seeds = Seeds::new(3);
        let mut network =
            Network::new(&extractor, &learning, &info, &known, seeds, device).unwrap();
        let batch = Batch {
            samples: vec![0, 1],
            inputs: Array::from_vec((0..72).map(|x| (x * 37 % 256) as u8).collect(), 36),
            shape: vec![1, 6, 6],
            lengths: Vec::new(),
            targets: Targets::Classes(Array::from_vec(vec![1, 2], 1)),
        };
        for update in 0..3 {
            let at = At {
                step: 2 * update,
                update,
                starts: update == 0,
            };
            network.learn(&batch, at).unwrap();
        }
        let file = ModelFile {
            extractor: Some(extractor),
            perceptron: None,
            info,
            normalize: true,
            tasks: Vec::new(),
            weighting: Weighting::Fixed,
        };
        let root = dir.join("seed-1").join(BEST);
        checkpoint::write(&root, 6, serde_json::Value::Null, |dir| {
            file.save(dir)?;
            network.save(dir)
        })
        .unwrap();
        network
    }

    fn config(from: &Path, freeze: &str) -> PretrainedConfig {
        let json = format!(r#"{{"from": {from:?}, "freeze": {freeze}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn built(
        config: &PretrainedConfig,
        space: &Space,
    ) -> Result<(ParamStore, Box<dyn FeatureExtractor>)> {
        let rng = Seeds::new(8).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| {
            config.build(&mut scope.sub("extractor"), &Inputs::of(space))
        })
    }

    #[test]
    fn features_are_bit_for_bit_those_of_the_model_also_of_a_twin() {
        let dir = tempfile::tempdir().unwrap();
        let network = saved(dir.path());
        let config = config(dir.path(), "true");
        let (store, extractor) = built(&config, &image(1)).unwrap();
        let x = Tensor::rand([5, 1, 6, 6], (Kind::Float, Device::Cpu));
        let expected = network.extractor().features(&x, false);
        assert_eq!(extractor.features(&x, true), expected);
        let build = |scope: &mut Scope<'_>| {
            config.build(&mut scope.sub("extractor"), &Inputs::of(&image(1)))
        };
        let (_, twin) = store.twin(build).unwrap();
        assert_eq!(twin.features(&x, false), expected);
    }

    #[test]
    fn several_inputs_in_an_observation_are_read_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path());
        let config = config(dir.path(), "true");
        let (_, single) = built(&config, &image(1)).unwrap();
        let (_, triple) = built(&config, &image(3)).unwrap();
        let x = Tensor::rand([4, 3, 6, 6], (Kind::Float, Device::Cpu));
        let each: Vec<Tensor> = (0..3)
            .map(|i| single.features(&x.narrow(1, i, 1), false))
            .collect();
        let expected = Tensor::cat(&each, 1);
        let difference = (triple.features(&x, false) - expected).abs().max();
        // Batches of 4 and of 12 may be summed in another order.
        assert!(difference.double_value(&[]) < 1e-6);
        let message = built(&config, &Space::unbounded(&[50])).unwrap_err();
        assert!(message.to_string().contains("reads box(1x6x6"), "{message}");
    }

    #[test]
    fn classes_are_the_probabilities_that_the_model_predicts() {
        let dir = tempfile::tempdir().unwrap();
        let mut network = saved(dir.path());
        let config = PretrainedConfig {
            layer: Layer::Classes,
            ..config(dir.path(), "true")
        };
        assert_eq!(config.size(&Inputs::of(&image(2))).1, 6);
        let (_, extractor) = built(&config, &image(1)).unwrap();
        let pixels: Vec<u8> = (0..36).map(|x| (x * 91 % 256) as u8).collect();
        let batch = Batch {
            samples: vec![0],
            inputs: Array::from_vec(pixels.clone(), 36),
            shape: vec![1, 6, 6],
            lengths: Vec::new(),
            targets: Targets::Unknown,
        };
        let logs = network.predict(&batch, true).unwrap().outputs;
        let x = Tensor::from_slice(&pixels)
            .view([1, 1, 6, 6])
            .to_kind(Kind::Float)
            / 255.0;
        let found = crate::params::to_vec(&extractor.features(&x, false));
        for (found, log) in found.iter().zip(&logs) {
            assert!((found - log.exp()).abs() < 1e-6, "{found} {log}");
        }
    }

    #[test]
    fn weights_move_only_as_far_as_they_are_let() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path());
        for (freeze, factor, moved) in [
            ("true", 1.0, 0.0),
            ("false", 1.0, 1.0),
            ("false", 0.25, 0.25),
            (r#"{"until_step": 5}"#, 1.0, 0.0),
            (r#"{"until_step": 4}"#, 1.0, 1.0),
        ] {
            let config = PretrainedConfig {
                learning_rate_factor: factor,
                ..config(dir.path(), freeze)
            };
            let (mut store, extractor) = built(&config, &image(1)).unwrap();
            store.enable_gradients();
            let before = store.flat().copy();
            let x = Tensor::ones([2, 1, 6, 6], (Kind::Float, Device::Cpu));
            extractor.features(&x, true).sum(Kind::Float).backward();
            let gradient = store.gradient().copy();
            assert!(gradient.abs().sum(Kind::Float).double_value(&[]) > 0.0);
            let sgd =
                serde_json::from_str::<OptimConfig>(r#"{"kind": "sgd", "learning_rate": 0.5}"#);
            let mut optimizer = Optimizer::new(&sgd.unwrap(), &store).unwrap();
            let whole = ExtractorConfig::Pretrained(config);
            optimizer.step_with(&mut store, &whole, 4);
            let expected = before - gradient * (0.5 * moved);
            let difference = (store.flat() - expected).abs().max().double_value(&[]);
            assert!(difference < 1e-6, "{freeze} {factor}: {difference}");
        }
    }

    #[test]
    fn layers_thaw_from_the_head_down_each_slower_than_the_one_before() {
        let config: PretrainedConfig = serde_json::from_str(
            r#"{"from": "x", "freeze": {"thaw_every_steps": 10}, "learning_rate_factor": 0.5, "layer_decay": 2.0}"#,
        )
        .unwrap();
        let factors = |step| [1, 2, 3].map(|depth| config.rate_factor(step, depth));
        assert_eq!(factors(9), [0.0; 3]);
        assert_eq!(factors(10), [0.25, 0.0, 0.0]);
        assert_eq!(factors(29), [0.25, 0.125, 0.0]);
        assert_eq!(factors(30), [0.25, 0.125, 0.0625]);
        assert!(config.is_still(9) && !config.is_still(10) && !config.is_frozen());
        assert_eq!(
            layer_of("encoder.layer.3.attention.self.query.weight"),
            "encoder.layer.3"
        );
        assert_eq!(layer_of("pooler.dense.bias"), "pooler");
        assert_eq!(layer_of("12.weight"), "12");
        let wrong =
            serde_json::from_str::<PretrainedConfig>(r#"{"from": "x", "freeze": {"until": 3}}"#);
        let said = wrong.unwrap_err().to_string();
        assert!(
            said.starts_with("give true, false, { until_step = N }"),
            "{said}"
        );
    }

    #[test]
    fn each_layer_moves_as_its_own_rate_says_and_fresh_ones_as_the_head() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path());
        // Layers conv.0 and 0 of the convolutional network.
        for (fresh, step, moved) in [
            ("[]", 3, [0.0, 0.0]),
            ("[]", 4, [0.0, 0.5]),
            ("[]", 8, [0.25, 0.5]),
            (r#"["0"]"#, 3, [0.0, 1.0]),
            (r#"["0"]"#, 4, [0.5, 1.0]),
        ] {
            let json = format!(
                r#"{{"from": {:?}, "freeze": {{"thaw_every_steps": 4}}, "layer_decay": 2.0, "fresh": {fresh}}}"#,
                dir.path()
            );
            let config: PretrainedConfig = serde_json::from_str(&json).unwrap();
            let (mut store, extractor) = built(&config, &image(1)).unwrap();
            let layers = store.layers_below("extractor.", layer_of);
            let names: Vec<&str> = layers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["conv.0", "0"]);
            store.enable_gradients();
            let before = store.flat().copy();
            let x = Tensor::ones([2, 1, 6, 6], (Kind::Float, Device::Cpu));
            extractor.features(&x, true).sum(Kind::Float).backward();
            let gradient = store.gradient().copy();
            let sgd = r#"{"kind": "sgd", "learning_rate": 0.5}"#;
            let mut optimizer =
                Optimizer::new(&serde_json::from_str(sgd).unwrap(), &store).unwrap();
            let whole = ExtractorConfig::Pretrained(config);
            optimizer.step_with(&mut store, &whole, step);
            let mut start = 0;
            for ((name, len), share) in layers.iter().zip(moved) {
                let part = |all: &Tensor| all.narrow(0, start, *len);
                let expected = part(&before) - part(&gradient) * (0.5 * share);
                let difference = (part(store.flat()) - expected).abs().max();
                // One f32 rounding of weights of about 1.
                assert!(difference.double_value(&[]) < 1e-6, "{fresh} {step} {name}");
                start += len;
            }
        }
    }

    #[test]
    fn fresh_layers_are_new_and_have_to_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let network = saved(dir.path());
        let config = |fresh: &str| PretrainedConfig {
            fresh: vec![fresh.to_owned()],
            ..config(dir.path(), "true")
        };
        let (store, _) = built(&config("0"), &image(1)).unwrap();
        let values = |store: &ParamStore, name: &str| {
            let found = store.tensors().find(|(found, ..)| *found == name);
            crate::params::to_vec(&found.unwrap().2)
        };
        for (name, same) in [
            ("extractor.conv.0.weight", true),
            ("extractor.0.weight", false),
        ] {
            let [own, trained] = [&store, network.params()].map(|store| values(store, name));
            assert_eq!(own == trained, same, "{name}");
        }
        let said = built(&config("1"), &image(1)).unwrap_err().to_string();
        assert!(
            said.starts_with("fresh: there is no layer \"1\"; known: conv.0, 0"),
            "{said}"
        );
    }

    #[test]
    fn a_trained_head_needs_its_classes_and_something_to_learn() {
        let dir = tempfile::tempdir().unwrap();
        let network = saved(dir.path());
        let classes = |names: [&str; 3]| Task::Classes {
            names: names.map(str::to_owned).into(),
        };
        let error = |freeze: &str, task: &Task| {
            let error = config(dir.path(), freeze).trained_head(task);
            error.unwrap_err().to_string()
        };
        let said = error("false", &classes(["a", "b", "d"]));
        assert!(
            said.starts_with("head: that of ")
                && said.contains("is for a, b, c, and the data has a, b, d"),
            "{said}"
        );
        let said = error("true", &classes(["a", "b", "c"]));
        assert!(
            said.starts_with("freeze: nothing is left to learn"),
            "{said}"
        );
        // With it, the new network says what the trained one does.
        let trained = PretrainedConfig {
            head: HeadFrom::Trained,
            ..config(dir.path(), "false")
        };
        let learning = LearningConfig::default();
        let extractor = ExtractorConfig::Pretrained(trained);
        let info = ModelFile::load(&find_model(dir.path(), Which::Best).unwrap())
            .unwrap()
            .info;
        let device = thorndike_core::Device::Cpu;
        let built = Network::new(
            &extractor,
            &learning,
            &info,
            &Known::default(),
            Seeds::new(9),
            device,
        );
        let batch = Batch {
            samples: vec![0],
            inputs: Array::from_vec((0..36).map(|x| (x * 91 % 256) as u8).collect(), 36),
            shape: vec![1, 6, 6],
            lengths: Vec::new(),
            targets: Targets::Unknown,
        };
        let said = [network, built.unwrap()].map(|mut n| n.predict(&batch, true).unwrap().outputs);
        assert_eq!(said[0], said[1]);
    }

    #[test]
    fn a_frozen_extractor_leaves_its_gradient_out_of_the_norm() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path());
        let info = ModelFile::load(&find_model(dir.path(), Which::Best).unwrap())
            .unwrap()
            .info;
        let extractor = ExtractorConfig::Pretrained(config(dir.path(), "true"));
        let learning = LearningConfig {
            clip_norm: Some(1e9),
            ..LearningConfig::default()
        };
        let device = thorndike_core::Device::Cpu;
        let known = Known::default();
        let mut network =
            Network::new(&extractor, &learning, &info, &known, Seeds::new(9), device).unwrap();
        let before = network.params().flat().copy();
        let batch = Batch {
            samples: vec![0, 1],
            inputs: Array::from_vec((0..72).map(|x| (x * 37 % 256) as u8).collect(), 36),
            shape: vec![1, 6, 6],
            lengths: Vec::new(),
            targets: Targets::Classes(Array::from_vec(vec![1, 2], 1)),
        };
        let at = At {
            step: 0,
            update: 0,
            starts: true,
        };
        network.learn(&batch, at).unwrap();
        let len: i64 = network
            .params()
            .layers_below("extractor.", layer_of)
            .iter()
            .map(|l| l.1)
            .sum();
        let difference = network.params().flat() - before;
        assert_eq!(
            difference.narrow(0, 0, len).abs().max().double_value(&[]),
            0.0
        );
        assert!(difference.abs().max().double_value(&[]) > 0.0);
        assert_eq!(
            network
                .params()
                .gradient()
                .narrow(0, 0, len)
                .abs()
                .max()
                .double_value(&[]),
            0.0
        );
    }

    #[test]
    fn features_of_an_agent_are_bit_for_bit_its_own_whatever_bounds_its_space_has() {
        let extractor: ExtractorConfig = serde_json::from_str(
            r#"{"kind": "parts", "each": [{"kind": "mlp", "hidden": [5], "norm": "layer"}, {"kind": "flatten"}], "hidden": [7]}"#,
        )
        .unwrap();
        let space = Space::Tuple(vec![Space::unbounded(&[3]), Space::Discrete(2)]);
        let reads = Inputs::of(&space);
        let rng = Seeds::new(5).stream("agent/init", 0);
        let (agent, own) = ParamStore::build(Device::Cpu, rng, |scope| {
            let own = extractor.build(&mut scope.sub("extractor"), &reads)?;
            Linear::new(&mut scope.sub("head"), own.width(), 4);
            Ok(own)
        })
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("seed-1").join(CHECKPOINTS);
        checkpoint::write(&root, 6, serde_json::Value::Null, |dir| {
            let dir = dir.join(AGENT_FOLDER);
            fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
            AgentFile::new(&extractor, &reads)?.save(&dir)?;
            agent.save(&dir.join(WEIGHTS))
        })
        .unwrap();
        let config = config(dir.path(), "true");
        let (_, handed) = built(&config, &space).unwrap();
        let x = Tensor::rand([6, 5], (Kind::Float, Device::Cpu));
        assert_eq!(handed.features(&x, true), own.features(&x, false));
        assert_eq!(config.size(&reads), extractor.size(&reads));
        let other = Space::Tuple(vec![Space::unbounded(&[3]), Space::Discrete(3)]);
        let said = built(&config, &other).unwrap_err().to_string();
        assert!(said.starts_with("from: the agent in "), "{said}");
    }
}
