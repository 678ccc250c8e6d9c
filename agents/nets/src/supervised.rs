//! A network that learns from labelled batches: a feature extractor and a linear head.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};
use thorndike_core::{Array, Device, Error, Kind as Scalar, Result, Seeds, check_range};
use thorndike_data::{At, Batch, IGNORED, Info, Learner, Moments, Prediction, Targets, Task};

use crate::handoff::build_extractor;
use crate::input::bytes_over;
use crate::models::Readout;
use crate::params::to_vec;
use crate::{
    ExtractorConfig, FeatureExtractor, Linear, OptimConfig, Optimizer, ParamStore, Scope,
    find_device,
};

/// File of the weights, below the folder of a checkpoint.
pub const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const CARRIED: &str = "carried.json";

/// How a network learns from labelled samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearningConfig {
    /// The optimiser; its schedules count samples seen. A schedule without `steps` goes over the whole run. Default Adam
    /// at 1e-3.
    pub optimizer: OptimConfig,
    /// Largest norm of the gradient of an update. Absent: it is not clipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Share of the probability that is spread over all classes (Szegedy et al., "Rethinking the Inception
    /// Architecture", 2016, section 7). Default 0.
    pub label_smoothing: f64,
    /// How much each class counts in the loss. Default all alike.
    pub class_weights: ClassWeights,
    /// Whether inputs are brought to mean 0 and deviation 1, feature by feature or channel by channel, as they are in the
    /// training part. Default true. The numbers are part of the model.
    pub normalize: bool,
}

impl Default for LearningConfig {
    fn default() -> Self {
        Self {
            optimizer: OptimConfig::default(),
            clip_norm: None,
            label_smoothing: 0.0,
            class_weights: ClassWeights::default(),
            normalize: true,
        }
    }
}

/// How much each class counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// All alike.
    #[default]
    Even,
    /// In inverse proportion to their number in the training part, `samples / (classes * samples of the class)`.
    Balanced,
    /// These.
    #[serde(untagged)]
    Each(Vec<f64>),
}

impl LearningConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and what is accepted.
    pub fn check(&self, task: &Task) -> Result<()> {
        self.optimizer.check().map_err(|e| e.under("optimizer"))?;
        if let Some(norm) = self.clip_norm
            && !(norm > 0.0 && norm.is_finite())
        {
            let what = format!("{norm} is out of range; give a number above 0");
            return Err(Error::config("clip_norm", what));
        }
        check_range("label_smoothing", self.label_smoothing, 0.0..=0.9)?;
        let classes = match task {
            Task::Classes { names } | Task::Positions { names } => names.len(),
            Task::Numbers { .. } => 0,
        };
        match &self.class_weights {
            ClassWeights::Even => Ok(()),
            _ if classes == 0 => Err(Error::config(
                "class_weights",
                "there are no classes: the data has numbers to be learned",
            )),
            ClassWeights::Balanced => Ok(()),
            ClassWeights::Each(weights) => {
                let fit = weights.len() == classes
                    && weights.iter().all(|w| *w >= 0.0 && w.is_finite())
                    && weights.iter().any(|w| *w > 0.0);
                if fit {
                    return Ok(());
                }
                let what = format!(
                    "{weights:?} does not fit; give {classes} numbers of 0 or more, one for each class"
                );
                Err(Error::config("class_weights", what))
            }
        }
    }
}

/// Where the rows come from that the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// One of each sample.
    Samples,
    /// One of each step of a sequence.
    Steps,
    /// One of each pixel.
    Pixels,
}

/// What of the training part a model has to know before it learns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Mean and deviation of the inputs; absent if they are not normalised.
    pub moments: Option<Moments>,
    /// Samples of each class, if the task has classes.
    pub counts: Vec<u64>,
}

/// A network in training.
#[derive(Debug)]
pub struct Network {
    params: ParamStore,
    extractor: Box<dyn FeatureExtractor>,
    head: Linear,
    rows: Rows,
    learning: LearningConfig,
    optimizer: Optimizer,
    /// `[classes]`, if they do not all count alike.
    weights: Option<Tensor>,
    /// State of the lanes while learning, of consecutive samples.
    carried: Option<Tensor>,
    /// The same while predicting.
    carried_in_prediction: Option<Tensor>,
    outputs: i64,
    numbers: bool,
    what: String,
    /// Shape of one input that it was built for.
    shape: Vec<usize>,
    /// Whether it reads sequences of that length only.
    whole: bool,
}

impl Network {
    /// A network of `extractor` and a linear head for samples of `info`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the extractor cannot read the samples, [`Error::Device`].
    pub fn new(
        extractor: &ExtractorConfig,
        learning: &LearningConfig,
        info: &Info,
        known: &Known,
        seeds: Seeds,
        device: Device,
    ) -> Result<Self> {
        learning.check(&info.task)?;
        let names = info.task.names();
        let outputs = names.len() as i64;
        let device = find_device(device)?;
        let build = |scope: &mut Scope<'_>| {
            let built =
                build_extractor(extractor, &mut scope.sub("extractor"), info, &known.moments)?;
            let width = match info.task {
                Task::Positions { .. } => built.position_width(),
                _ => built.width(),
            };
            let head = Linear::new(&mut scope.sub("head"), width, outputs);
            Ok((built, head))
        };
        let (mut params, (extractor_built, head)) =
            ParamStore::build(device, seeds.stream("agent/init", 0), build)?;
        params.enable_gradients();
        let rows = match &info.task {
            Task::Positions { .. } if extractor_built.sequence().is_some() => Rows::Steps,
            Task::Positions { .. } => Rows::Pixels,
            _ => Rows::Samples,
        };
        let weights = class_weights(&learning.class_weights, &known.counts)
            .map(|weights| Tensor::from_slice(&weights).to_device(device));
        let what = format!(
            "{} weights on {}",
            params.num_parameters(),
            match device {
                tch::Device::Cpu => "the processor".to_owned(),
                tch::Device::Cuda(n) => format!("cuda:{n}"),
                other => format!("{other:?}"),
            }
        );
        let mut network = Self {
            optimizer: Optimizer::new(&learning.optimizer, &params)
                .map_err(|e| e.under("optimizer"))?,
            params,
            extractor: extractor_built,
            head,
            rows,
            learning: learning.clone(),
            weights,
            carried: None,
            carried_in_prediction: None,
            outputs,
            numbers: matches!(info.task, Task::Numbers { .. }),
            what,
            shape: info.space.shape(),
            whole: matches!(extractor, ExtractorConfig::Rnn(c) if c.readout == Readout::All),
        };
        network.try_out(info)?;
        Ok(network)
    }

    /// One pass of one sample: what does not fit is found before anything is learned.
    fn try_out(&mut self, info: &Info) -> Result<()> {
        let shape = info.space.shape();
        let inputs = Array::zeros_of(info.scalar, 1, shape.iter().product());
        let batch = Batch {
            samples: vec![0],
            inputs,
            shape,
            lengths: Vec::new(),
            targets: Targets::Unknown,
        };
        let _guard = tch::no_grad_guard();
        let tried = self.logits(&batch, false, &mut None)?;
        let rows = match self.rows {
            Rows::Samples => 1,
            Rows::Steps => batch.shape[0],
            Rows::Pixels => batch.shape[1..].iter().product(),
        };
        let expected = [rows as i64, self.outputs];
        if tried.size() != expected {
            let what = format!("gives {:?} where {expected:?} is needed", tried.size());
            return Err(Error::config("model", what));
        }
        Ok(())
    }

    /// The weights.
    pub fn params(&self) -> &ParamStore {
        &self.params
    }

    /// What lies between its inputs and its head.
    pub fn extractor(&self) -> &dyn FeatureExtractor {
        &*self.extractor
    }

    /// `[rows, outputs]`.
    fn logits(&self, batch: &Batch, train: bool, carried: &mut Option<Tensor>) -> Result<Tensor> {
        let any_length = self.extractor.sequence().is_some() && !self.whole;
        let any_size = self.rows == Rows::Pixels;
        if batch.shape != self.shape && !any_size && !any_length {
            let what = format!(
                "this model reads inputs of shape {:?}, and there are some of {:?}; use a model that reads any size, such \
                 as \"u-net\" for images or \"rnn\" without readout \"all\" for sequences, or bring them to one size",
                self.shape, batch.shape
            );
            return Err(Error::config("model.kind", what));
        }
        let x = inputs(batch, self.params.device());
        let features = match (self.rows, self.extractor.sequence()) {
            (Rows::Samples, None) => self.extractor.features(&x, train),
            (Rows::Samples, Some(reader)) => reader.read(&x, &batch.lengths, None, train).features,
            (Rows::Steps, Some(reader)) => {
                let read = reader.read(&x, &batch.lengths, carried.as_ref(), train);
                *carried = (reader.state_len() > 0).then(|| read.state.detach());
                read.steps.flatten(0, 1) // [batch * time, width]
            }
            _ => {
                let Some(pixels) = self.extractor.pixels(&x, train) else {
                    return Err(Error::config(
                        "model.kind",
                        "this model gives one row of features for each sample, and the data has a class for each \
                         position; use \"u-net\" for images, \"rnn\" for sequences",
                    ));
                };
                let width = pixels.size()[1];
                pixels.permute([0, 2, 3, 1]).reshape([-1, width])
            }
        };
        Ok(self.head.forward(&features))
    }

    /// Whether a row of class `class` counts in the loss.
    fn weighs(&self, train: bool, class: i32) -> bool {
        match &self.learning.class_weights {
            ClassWeights::Each(weights) if train => weights[class as usize] > 0.0,
            _ => true,
        }
    }

    /// Sum of the losses of all rows that count, and their number. With `smoothing` and class weights if `train`.
    fn loss(&self, logits: &Tensor, targets: &Targets, train: bool) -> (Tensor, u64) {
        let device = self.params.device();
        let (weights, smoothing) = match train {
            true => (self.weights.as_ref(), self.learning.label_smoothing),
            false => (None, 0.0),
        };
        let mean = Reduction::Mean;
        match targets {
            Targets::Classes(classes) => {
                let classes = classes.as_slice::<i32>();
                let weigh = |class: &&i32| **class != IGNORED && self.weighs(train, **class);
                let counted = classes.iter().filter(weigh).count();
                let classes: Vec<i64> = classes.iter().map(|&class| i64::from(class)).collect();
                let targets = Tensor::from_slice(&classes).to_device(device);
                let ignored = i64::from(IGNORED);
                let loss = logits.cross_entropy_loss(&targets, weights, mean, ignored, smoothing);
                (loss, counted as u64)
            }
            Targets::Shares(shares) => {
                let targets = Tensor::from_slice(shares.as_slice::<f32>())
                    .view_as(logits)
                    .to_device(device);
                let loss = logits.cross_entropy_loss(&targets, weights, mean, -100, smoothing);
                (loss, shares.rows() as u64)
            }
            Targets::Numbers(numbers) => {
                let targets = Tensor::from_slice(numbers.as_slice::<f32>())
                    .view_as(logits)
                    .to_device(device);
                (logits.mse_loss(&targets, mean), numbers.rows() as u64)
            }
            Targets::Unknown => (Tensor::zeros([1], (Kind::Float, device)), 0),
        }
    }
}

impl Learner for Network {
    fn learn(&mut self, batch: &Batch, at: At) -> Result<f64> {
        self.params.draw_for(at.update);
        self.params.zero_gradient();
        let mut carried = if at.starts { None } else { self.carried.take() };
        let logits = self.logits(batch, true, &mut carried)?;
        self.carried = carried;
        let (loss, counted) = self.loss(&logits, &batch.targets, true);
        if counted == 0 {
            return Ok(0.0);
        }
        loss.backward();
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return Err(Error::Diverged {
                step: at.step,
                what: format!("the loss is {value}"),
            });
        }
        if let Some(norm) = self.learning.clip_norm {
            self.params.clip_gradient(norm);
        }
        self.optimizer.step(&mut self.params, at.step);
        Ok(value)
    }

    fn predict(&mut self, batch: &Batch, starts: bool) -> Result<Prediction> {
        let _guard = tch::no_grad_guard();
        let mut carried = match starts {
            true => None,
            false => self.carried_in_prediction.take(),
        };
        let logits = self.logits(batch, false, &mut carried)?;
        self.carried_in_prediction = carried;
        let (loss, counted) = self.loss(&logits, &batch.targets, false);
        let outputs = match self.numbers {
            true => logits,
            false => logits.log_softmax(-1, Kind::Float),
        };
        let loss = match counted {
            0 => 0.0,
            n => loss.double_value(&[]) * n as f64,
        };
        Ok(Prediction {
            outputs: to_vec(&outputs.contiguous()),
            width: self.outputs as usize,
            loss,
            counted,
        })
    }

    fn save(&self, dir: &Path) -> Result<()> {
        self.params.save(&dir.join(WEIGHTS))?;
        self.optimizer.save(&dir.join(OPTIMIZER))?;
        if let Some(carried) = &self.carried {
            let path = dir.join(CARRIED);
            let text =
                serde_json::to_vec(&to_vec(carried)).map_err(|e| Error::Backend(Box::new(e)))?;
            fs::write(&path, text).map_err(Error::io(path))?;
        }
        Ok(())
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        self.load_model(dir)?;
        self.optimizer.load(&dir.join(OPTIMIZER))?;
        self.carried = None;
        let path = dir.join(CARRIED);
        if fs::exists(&path).map_err(Error::io(&path))? {
            let len = self.extractor.sequence().map_or(0, |r| r.state_len());
            let text = fs::read(&path).map_err(Error::io(&path))?;
            let values: Vec<f32> = serde_json::from_slice(&text).unwrap_or_default();
            if values.is_empty() || len == 0 || !values.len().is_multiple_of(len as usize) {
                return Err(Error::checkpoint(path, "is not the state of this model"));
            }
            let state = Tensor::from_slice(&values).view([-1, len]);
            self.carried = Some(state.to_device(self.params.device()));
        }
        Ok(())
    }

    fn load_model(&mut self, dir: &Path) -> Result<()> {
        self.params.load(&dir.join(WEIGHTS))
    }

    fn memory(&self) -> u64 {
        self.params.bytes() + self.optimizer.bytes()
    }

    fn describe(&self) -> String {
        self.what.clone()
    }
}

/// The inputs of `batch`, `[batch, ..shape]`: numbers as they are, pixels divided by 255, tokens as `i64`.
fn inputs(batch: &Batch, device: tch::Device) -> Tensor {
    let mut shape = vec![batch.len() as i64];
    shape.extend(batch.shape.iter().map(|&n| n as i64));
    let values = &batch.inputs;
    let tensor = match values.kind() {
        Scalar::F32 => Tensor::from_slice(values.as_slice::<f32>()).to_device(device),
        Scalar::U8 => bytes_over(values.as_slice(), 255.0, device),
        Scalar::I32 => Tensor::from_slice(values.as_slice::<i32>())
            .to_device(device)
            .to_kind(Kind::Int64),
    };
    tensor.view(shape.as_slice())
}

/// A number a class, or none if all count alike.
fn class_weights(weights: &ClassWeights, counts: &[u64]) -> Option<Vec<f32>> {
    match weights {
        ClassWeights::Even => None,
        ClassWeights::Balanced => {
            let all = counts.iter().sum::<u64>() as f64;
            let classes = counts.len() as f64;
            let weight = |&count: &u64| match count {
                0 => 0.0,
                count => (all / (classes * count as f64)) as f32,
            };
            Some(counts.iter().map(weight).collect())
        }
        ClassWeights::Each(weights) => Some(weights.iter().map(|&w| w as f32).collect()),
    }
}
