//! From a trained model to an extractor: what travels with the weights, and how they are read again.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Error, Result, Space, check_range, checkpoint};
use thorndike_data::{Info, Moments, Task};
use thorndike_words::WordVectors;

use crate::extractor::{Inputs, Read as Reading, SequenceReader};
use crate::input::float_shape;
use crate::models::{
    Bert, BertConfig, CnnConfig, Looked, PerceptronConfig, VggConfig, VggLayer, VggPart, Yolo,
};
use crate::supervised::WEIGHTS;
use crate::{ExtractorConfig, FeatureExtractor, Linear, Scope, tensor_file};

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
        let file = File::open(&path).map_err(Error::io(&path))?;
        let mut text = Vec::new();
        let read = file.take(MAX_MODEL_BYTES).read_to_end(&mut text);
        read.map_err(Error::io(&path))?;
        let model: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::checkpoint(&path, format!("is no description of a model: {e}")))?;
        let wrong = |what| Error::checkpoint(&path, format!("describes no model: {what}"));
        model.info.check().map_err(wrong)?;
        Ok(model)
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
    let normalize = moments.as_ref().map(|moments| {
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
            classes: None,
        }),
        false => inner,
    })
}

/// Settings of a pretrained extractor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainedConfig {
    /// The folder of an experiment that `thorndike fit` left, of one of its seeds, or of a checkpoint.
    pub from: PathBuf,
    /// Which weights of it. Default those that were best on the validation part.
    #[serde(default)]
    pub weights: Which,
    /// What an agent gets of it. Default its features.
    #[serde(default)]
    pub layer: Layer,
    /// Whether its weights stay as they are: `true`, `false`, or until a step, `{ until_step = 10_000 }`. Default true.
    #[serde(default)]
    pub freeze: Freeze,
    /// Learning rate of its weights when they learn, in proportion to that of all others. Default 1.
    #[serde(default = "one")]
    pub learning_rate_factor: f64,
}

fn one() -> f64 {
    1.0
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
}

/// Whether pretrained weights stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Freeze {
    /// For ever, or not at all.
    Always(bool),
    /// Until a step of the run.
    Until {
        /// Environment steps.
        until_step: u64,
    },
}

impl Default for Freeze {
    fn default() -> Self {
        Self::Always(true)
    }
}

impl PretrainedConfig {
    /// The factor of the learning rate of the extractor's weights at `step`.
    pub fn rate_factor(&self, step: u64) -> f64 {
        match self.freeze {
            Freeze::Always(true) => 0.0,
            Freeze::Until { until_step } if step < until_step => 0.0,
            _ => self.learning_rate_factor,
        }
    }

    /// Whether its weights never change.
    pub fn is_frozen(&self) -> bool {
        self.freeze == Freeze::Always(true)
    }

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self) -> Result<()> {
        check_range(
            "learning_rate_factor",
            self.learning_rate_factor,
            0.0..=100.0,
        )
    }

    /// Weights and features, zeros if there is no such model.
    pub(crate) fn size(&self, space: &Space) -> (u64, u64) {
        let sized = || {
            let model = ModelFile::load(&find_model(&self.from, self.weights)?)?;
            let times = match model.extractor {
                Some(ExtractorConfig::Bert(_)) => 1,
                _ => self.inputs_in(&model.info.space, space)? as u64,
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
            })
        };
        sized().unwrap_or_default()
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
        let dir = find_model(&self.from, self.weights)?;
        let model = ModelFile::load(&dir)?;
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
            false => self.inputs_in(&model.info.space, reads.space)?,
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
            _ => build_extractor(extractor, scope, &model.info, &moments)?,
        };
        let classes = match (self.layer, &model.info.task) {
            (Layer::Features, _) => None,
            (Layer::Classes, Task::Classes { names }) => {
                let scope = &mut scope.sub("head");
                Some(Linear::new(scope, inner.width(), names.len() as i64))
            }
            (Layer::Classes, _) => {
                let what = format!(
                    "\"classes\" needs a model of classes of samples, which {} is not; use \"features\"",
                    self.from.display()
                );
                return Err(Error::config("layer", what));
            }
        };
        let prefix = scope.prefix().to_owned();
        scope.fill(before, |expected| {
            let renamed: Vec<(String, &[usize])> = expected
                .iter()
                .map(|(name, shape)| {
                    let own = name.strip_prefix(&prefix).expect("declared below it");
                    let own = own.strip_prefix('.').unwrap_or(own);
                    // An extractor may have a part of that name, too.
                    let name = match self.layer == Layer::Classes && own.starts_with("head.") {
                        true => own.to_owned(),
                        false => format!("extractor.{own}"),
                    };
                    (name, *shape)
                })
                .collect();
            let wanted: Vec<(&str, &[usize])> = renamed
                .iter()
                .map(|(name, shape)| (name.as_str(), *shape))
                .collect();
            let read =
                tensor_file::read_state_dict(&path, &wanted, &|name| name.starts_with("head."))?;
            Ok(read.into_iter().map(Some).collect())
        })?;
        let inner = Box::new(Settled { inner, classes });
        if is_text {
            return Ok(inner);
        }
        Ok(Box::new(Each {
            shape: float_shape(&model.info.space),
            times: times as i64,
            inner,
        }))
    }

    /// How many inputs of the model an observation of `space` holds.
    fn inputs_in(&self, input: &Space, space: &Space) -> Result<usize> {
        let (of_model, of_obs) = (float_shape(input), float_shape(space));
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

/// An extractor that is always as in prediction: an agent learns from other observations than the model did, so running
/// statistics of batch norms stay, and nothing is dropped.
#[derive(Debug)]
struct Settled {
    inner: Box<dyn FeatureExtractor>,
    /// The head of the model, if its classes are asked for.
    classes: Option<Linear>,
}

impl FeatureExtractor for Settled {
    fn features(&self, obs: &Tensor, _train: bool) -> Tensor {
        let features = self.inner.features(obs, false);
        match &self.classes {
            None => features,
            Some(head) => head.forward(&features).softmax(-1, Kind::Float),
        }
    }

    fn width(&self) -> i64 {
        match &self.classes {
            None => self.inner.width(),
            Some(head) => head.bias.size()[0],
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
        assert_eq!(config.size(&image(2)).1, 6);
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
}
