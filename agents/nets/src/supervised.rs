//! A network that learns from labelled batches: a feature extractor and a linear head.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};
use thorndike_core::{
    Array, Device, Error, Exchange, Kind as Scalar, Result, Seeds, Weights, check_range,
};
use thorndike_data::{At, Batch, IGNORED, Info, Learner, Moments, Prediction, Targets, Task};

use crate::handoff::build_extractor;
use crate::input::bytes_over;
use crate::models::{Bert, LanguageHead, Readout};
use crate::params::to_vec;
use crate::{
    Dropout, ExtractorConfig, FeatureExtractor, Linear, OptimConfig, Optimizer, ParamStore, Read,
    Scope, SequenceReader, find_device,
};

/// File of the weights, below the folder of a checkpoint.
pub const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const CARRIED: &str = "carried.json";
const GRADIENT: &str = "gradient.safetensors";

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
    /// Batches whose gradients together make an update. Default 1.
    pub accumulate: u64,
    /// Share of the features that is dropped in front of the head while learning. Default 0.
    pub head_dropout: f64,
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
            accumulate: 1,
            head_dropout: 0.0,
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
        check_range("accumulate", self.accumulate, 1..=1 << 20)?;
        check_range("head_dropout", self.head_dropout, 0.0..=0.95)?;
        check_range("label_smoothing", self.label_smoothing, 0.0..=0.9)?;
        let classes = match task {
            Task::Classes { names } | Task::Positions { names } => names.len(),
            Task::Numbers { .. } | Task::Boxes { .. } | Task::Span { .. } | Task::Masked { .. } => {
                0
            }
        };
        match &self.class_weights {
            ClassWeights::Even => Ok(()),
            _ if classes == 0 => Err(Error::config(
                "class_weights",
                "there are no classes to be learned",
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

/// What lies behind an extractor.
#[derive(Debug)]
enum Head {
    /// A linear map of each row of features.
    Linear(Linear),
    /// Masked words and next sentences.
    Language(LanguageHead),
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
    head: Head,
    dropout: Dropout,
    rows: Rows,
    /// What says how far the extractor's weights go in an update.
    config: ExtractorConfig,
    learning: LearningConfig,
    optimizer: Optimizer,
    /// `[classes]`, if they do not all count alike.
    weights: Option<Tensor>,
    /// State of the lanes while learning, of consecutive samples.
    carried: Option<Tensor>,
    /// The same while predicting.
    carried_in_prediction: Option<Tensor>,
    /// The gradient holds that of batches of an update to come.
    pending: bool,
    /// What it is pulled back to, `[num_parameters]`, and how strongly.
    anchor: Option<(f64, Tensor)>,
    outputs: i64,
    task: Task,
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
        if let Task::Boxes { .. } = info.task {
            let what =
                "objects with boxes are found by a detector, not by an extractor with a head";
            return Err(Error::Unsupported(what.to_owned()));
        }
        let names = info.task.names();
        let outputs = names.len() as i64;
        let device = find_device(device)?;
        let build = |scope: &mut Scope<'_>| {
            let built =
                build_extractor(extractor, &mut scope.sub("extractor"), info, &known.moments)?;
            let width = match info.task {
                Task::Positions { .. } | Task::Span { .. } => built.position_width(),
                _ => built.width(),
            };
            let scope = &mut scope.sub("head");
            let head = match (&info.task, built.bert()) {
                (Task::Masked { .. }, Some(bert)) => {
                    Head::Language(LanguageHead::new(scope, bert)?)
                }
                (Task::Masked { .. }, None) => {
                    let what = "masked words are learned by an encoder of text; use \"bert\"";
                    return Err(Error::config("model.kind", what));
                }
                _ => Head::Linear(Linear::new(scope, width, outputs)),
            };
            let dropout = Dropout::new(scope, learning.head_dropout);
            Ok((built, head, dropout))
        };
        let (mut params, (extractor_built, head, dropout)) =
            ParamStore::build(device, seeds.stream("agent/init", 0), build)?;
        params.enable_gradients();
        let rows = match &info.task {
            Task::Positions { .. } | Task::Span { .. } if extractor_built.sequence().is_some() => {
                Rows::Steps
            }
            Task::Positions { .. } | Task::Span { .. } => Rows::Pixels,
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
            dropout,
            rows,
            config: extractor.clone(),
            learning: learning.clone(),
            weights,
            carried: None,
            carried_in_prediction: None,
            pending: false,
            anchor: None,
            outputs,
            task: info.task.clone(),
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
        if let Head::Language(head) = &self.head {
            return self.masked(head, &batch, false).map(|_| ());
        }
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

    /// Refuses a batch of a shape that the extractor does not read.
    fn check_shape(&self, batch: &Batch) -> Result<()> {
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
        Ok(())
    }

    /// `[rows, outputs]`.
    fn logits(&self, batch: &Batch, train: bool, carried: &mut Option<Tensor>) -> Result<Tensor> {
        self.check_shape(batch)?;
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
        let Head::Linear(head) = &self.head else {
            unreachable!("masked words have a way of their own");
        };
        Ok(head.forward(&self.dropout.forward(&features, train)))
    }

    /// The encoder, and what it makes of a batch.
    fn read_text(&self, batch: &Batch, train: bool) -> Result<(&Bert, Read)> {
        self.check_shape(batch)?;
        let bert = self.extractor.bert();
        let bert = bert.expect("only an encoder gets this head");
        let x = inputs(batch, self.params.device());
        Ok((bert, bert.read(&x, &batch.lengths, None, train)))
    }

    /// Of masked words and next sentences.
    fn masked(&self, head: &LanguageHead, batch: &Batch, train: bool) -> Result<Masked> {
        let device = self.params.device();
        let (bert, read) = self.read_text(batch, train)?;
        let (mut places, mut words, mut next) = (Vec::new(), Vec::new(), Vec::new());
        if let Targets::Masked {
            words: asked,
            next: nexts,
        } = &batch.targets
        {
            for (place, &word) in asked.as_slice::<i32>().iter().enumerate() {
                if word != IGNORED {
                    places.push(place as i64);
                    words.push(i64::from(word));
                }
            }
            next.extend(
                nexts
                    .as_slice::<i32>()
                    .iter()
                    .map(|&class| i64::from(class)),
            );
        }
        // Only what is asked for is decoded.
        let on_device = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        let rows = read
            .steps
            .flatten(0, 1)
            .index_select(0, &on_device(&places));
        Ok(Masked {
            scores: head.words(&rows, bert),
            words: on_device(&words),
            next_scores: head.next(&read.features),
            next: next
                .iter()
                .any(|&class| class >= 0)
                .then(|| on_device(&next)),
        })
    }

    /// Of all words at every position.
    fn words(&self, head: &LanguageHead, batch: &Batch) -> Result<Prediction> {
        let (bert, read) = self.read_text(batch, false)?;
        let logs = head.words(&read.steps.flatten(0, 1), bert);
        let logs = logs.log_softmax(-1, Kind::Float);
        Ok(Prediction {
            width: logs.size()[1] as usize,
            outputs: to_vec(&logs.contiguous()),
            loss: 0.0,
            counted: 0,
        })
    }

    /// Scores of spans, `[batch, time, 2]`, where padding has none.
    fn span_scores(&self, logits: &Tensor, batch: &Batch) -> Tensor {
        let scores = logits.view([batch.len() as i64, -1, 2]);
        if batch.lengths.is_empty() {
            return scores;
        }
        let lengths: Vec<i64> = batch.lengths.iter().map(|&n| i64::from(n)).collect();
        let lengths = Tensor::from_slice(&lengths).to_device(logits.device());
        let steps = Tensor::arange(batch.shape[0] as i64, (Kind::Int64, logits.device()));
        let padding = steps.unsqueeze(0).ge_tensor(&lengths.unsqueeze(1)); // [batch, time]
        scores.masked_fill(&padding.unsqueeze(2), -1e9)
    }

    /// Whether a row of class `class` counts in the loss.
    fn weighs(&self, train: bool, class: i32) -> bool {
        match &self.learning.class_weights {
            ClassWeights::Each(weights) if train => weights[class as usize] > 0.0,
            _ => true,
        }
    }

    /// Mean of the losses of all rows that count, and their number. With `smoothing` and class weights if `train`.
    fn loss(&self, logits: &Tensor, batch: &Batch, train: bool) -> (Tensor, u64) {
        let targets = &batch.targets;
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
            Targets::Boxes(_) => panic!("a head of one row does not find boxes"),
            Targets::Spans(spans) => {
                let scores = self.span_scores(logits, batch);
                let ends: Vec<i64> = spans
                    .as_slice::<i32>()
                    .iter()
                    .map(|&p| i64::from(p))
                    .collect();
                let ends = Tensor::from_slice(&ends).view([-1, 2]).to_device(device);
                let of = |i| {
                    scores
                        .select(2, i)
                        .cross_entropy_for_logits(&ends.select(1, i))
                };
                ((of(0) + of(1)) / 2.0, spans.rows() as u64)
            }
            Targets::Masked { .. } => unreachable!("masked words have a way of their own"),
            Targets::Unknown => (Tensor::zeros([1], (Kind::Float, device)), 0),
        }
    }
}

impl Learner for Network {
    fn learn(&mut self, batch: &Batch, at: At) -> Result<f64> {
        self.params.draw_for(at.update);
        if !self.pending {
            self.params.zero_gradient();
        }
        let (loss, counted) = match &self.head {
            Head::Language(head) => {
                let masked = self.masked(head, batch, true)?;
                let (words, counted) = masked.word_loss();
                (words + masked.next_loss(), counted)
            }
            Head::Linear(_) => {
                let mut carried = if at.starts { None } else { self.carried.take() };
                let logits = self.logits(batch, true, &mut carried)?;
                self.carried = carried;
                self.loss(&logits, batch, true)
            }
        };
        let together = self.learning.accumulate;
        if counted > 0 {
            match together {
                1 => loss.backward(),
                n => (&loss / n as f64).backward(),
            }
        }
        self.pending = !(at.update + 1).is_multiple_of(together);
        if counted == 0 && together == 1 {
            return Ok(0.0);
        }
        let value = match counted {
            0 => 0.0,
            _ => loss.double_value(&[]),
        };
        if !value.is_finite() {
            return Err(Error::Diverged {
                step: at.step,
                what: format!("the loss is {value}"),
            });
        }
        if self.pending {
            return Ok(value);
        }
        if let Some((mu, anchor)) = &self.anchor {
            let (weights, gradient) = self.params.flat_and_gradient_mut();
            let _ = gradient.g_add_(&((&*weights - anchor) * *mu));
        }
        if let Some(norm) = self.learning.clip_norm {
            self.params.clip_gradient(norm);
        }
        self.optimizer
            .step_with(&mut self.params, &self.config, at.step);
        Ok(value)
    }

    fn predict(&mut self, batch: &Batch, starts: bool) -> Result<Prediction> {
        let _guard = tch::no_grad_guard();
        let mut carried = match starts {
            true => None,
            false => self.carried_in_prediction.take(),
        };
        if let Head::Language(head) = &self.head {
            if batch.targets == Targets::Unknown {
                return self.words(head, batch);
            }
            return Ok(self.masked(head, batch, false)?.prediction());
        }
        let logits = self.logits(batch, false, &mut carried)?;
        self.carried_in_prediction = carried;
        let (loss, counted) = self.loss(&logits, batch, false);
        let outputs = match self.task {
            Task::Numbers { .. } => logits,
            Task::Span { .. } => self.span_scores(&logits, batch).log_softmax(1, Kind::Float),
            _ => logits.log_softmax(-1, Kind::Float),
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
        if self.pending {
            self.params.save_gradient(&dir.join(GRADIENT))?;
        }
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
        let path = dir.join(GRADIENT);
        self.pending = fs::exists(&path).map_err(Error::io(&path))?;
        if self.pending {
            self.params.load_gradient(&path)?;
        }
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

    fn exchange(&mut self) -> Option<&mut dyn Exchange> {
        Some(self)
    }

    fn memory(&self) -> u64 {
        self.params.bytes() + self.optimizer.bytes()
    }

    fn describe(&self) -> String {
        self.what.clone()
    }
}

impl Exchange for Network {
    fn weights(&self) -> Weights {
        self.params.weights()
    }

    fn set_weights(&mut self, weights: &Weights) {
        self.params.set_weights(weights);
    }

    /// # Reference
    /// The pull is the proximal term `mu / 2 * |w - w_t|^2` of Li et al., "Federated Optimization in Heterogeneous
    /// Networks" (2020), algorithm 2. Deviations: none; it is clipped together with the gradient.
    fn restart(&mut self, proximal_mu: f64) {
        self.optimizer.reset();
        self.pending = false;
        self.carried = None;
        self.anchor = (proximal_mu > 0.0).then(|| (proximal_mu, self.params.flat().copy()));
    }
}

/// What an encoder says of the masked words and the next sentences of a batch.
struct Masked {
    /// `[asked, words]`.
    scores: Tensor,
    /// `[asked]`: the right words.
    words: Tensor,
    /// `[batch, 2]`.
    next_scores: Tensor,
    /// `[batch]`, [`IGNORED`] where there is none; absent if there is none at all.
    next: Option<Tensor>,
}

impl Masked {
    /// Mean loss of the words, and their number.
    fn word_loss(&self) -> (Tensor, u64) {
        let loss = self.scores.cross_entropy_for_logits(&self.words);
        (loss, self.words.numel() as u64)
    }

    /// Mean loss of the next sentences.
    fn next_loss(&self) -> Tensor {
        match &self.next {
            None => Tensor::zeros([], (Kind::Float, self.scores.device())),
            Some(next) => {
                let ignored = i64::from(IGNORED);
                let mean = Reduction::Mean;
                self.next_scores
                    .cross_entropy_loss(next, None::<Tensor>, mean, ignored, 0.0)
            }
        }
    }

    /// Rows as [`Prediction`] has them.
    fn prediction(&self) -> Prediction {
        let logs = self.scores.log_softmax(-1, Kind::Float);
        let right = logs.gather(1, &self.words.unsqueeze(1), false); // [asked, 1]
        let counted = self.words.numel() as u64;
        let mut outputs = Vec::new();
        if counted > 0 {
            let (likeliest, _) = logs.max_dim(1, true); // [asked, 1]
            outputs = to_vec(&Tensor::cat(&[&right, &likeliest], 1));
        }
        let next = self.next_scores.log_softmax(-1, Kind::Float);
        outputs.extend(to_vec(&next.contiguous()));
        Prediction {
            outputs,
            width: 2,
            loss: -right.sum(Kind::Double).double_value(&[]),
            counted,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{BertConfig, MlpConfig};
    use crate::{AdamConfig, SgdConfig};
    use thorndike_core::rand::RngExt;
    use thorndike_core::{Rng, Schedule, Space};

    fn network(extractor: &ExtractorConfig, learning: &LearningConfig, info: &Info) -> Network {
        let known = Known::default();
        let seeds = Seeds::new(3);
        Network::new(extractor, learning, info, &known, seeds, Device::Cpu).unwrap()
    }

    fn at(update: u64) -> At {
        At {
            step: update,
            update,
            starts: true,
        }
    }

    /// A number that follows from two.
    fn of_numbers() -> Info {
        Info {
            space: Space::unbounded(&[2]),
            scalar: Scalar::F32,
            task: Task::Numbers {
                names: vec!["y".to_owned()],
            },
            vocabulary: Vec::new(),
            encoding: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_learner_that_starts_anew_has_forgotten_its_optimizer_and_is_pulled_back() {
        let batch = |x: f32| Batch {
            samples: vec![0],
            inputs: Array::from_vec(vec![x, -x], 2),
            shape: vec![2],
            lengths: Vec::new(),
            targets: Targets::Numbers(Array::from_vec(vec![1.0], 1)),
        };
        let (rate, mu) = (0.1_f32, 0.5);
        let learning = LearningConfig {
            optimizer: OptimConfig::Sgd(SgdConfig {
                learning_rate: Schedule::constant(rate.into()),
                momentum: 0.9,
                ..SgdConfig::default()
            }),
            ..LearningConfig::default()
        };
        let mut network = network(&ExtractorConfig::Flatten {}, &learning, &of_numbers());
        let start = network.weights();
        let mut two_steps = |mu| {
            network.set_weights(&start);
            network.restart(mu);
            [1.0, 2.0].map(|x| {
                network.learn(&batch(x), at(0)).unwrap();
                network.weights().trained
            })
        };
        let free = two_steps(0.0);
        assert_eq!(two_steps(0.0), free, "momentum is gone");
        let pulled = two_steps(mu);
        assert_eq!(pulled[0], free[0], "at first there is no distance");
        for (i, start) in start.trained.iter().enumerate() {
            let expected = free[1][i] - rate * mu as f32 * (free[0][i] - start);
            // Three f32 roundings of numbers below 2.
            assert!((pulled[1][i] - expected).abs() < 1e-6, "{i}");
        }
    }

    #[test]
    fn accumulated_batches_make_the_update_of_one_large_batch() {
        let info = of_numbers();
        let batch = |rows: std::ops::Range<i32>| {
            let numbers = |scale: f32| rows.clone().map(move |row| scale * row as f32);
            Batch {
                samples: rows.clone().map(|row| row as usize).collect(),
                inputs: Array::from_vec(
                    numbers(0.1)
                        .zip(numbers(-0.2))
                        .flat_map(|(a, b)| [a, b])
                        .collect(),
                    2,
                ),
                shape: vec![2],
                lengths: Vec::new(),
                targets: Targets::Numbers(Array::from_vec(numbers(0.5).collect(), 1)),
            }
        };
        let learning = |accumulate| LearningConfig {
            optimizer: OptimConfig::Sgd(SgdConfig {
                learning_rate: Schedule::constant(0.1),
                ..SgdConfig::default()
            }),
            clip_norm: Some(1.0),
            accumulate,
            ..LearningConfig::default()
        };
        let extractor = ExtractorConfig::Mlp(MlpConfig::default());
        let mut whole = network(&extractor, &learning(1), &info);
        whole.learn(&batch(0..4), at(0)).unwrap();
        let mut parts = network(&extractor, &learning(2), &info);
        let before = to_vec(parts.params.flat());
        parts.learn(&batch(0..2), at(0)).unwrap();
        assert_eq!(to_vec(parts.params.flat()), before);
        // What is pending is saved, and read by another one.
        let dir = tempfile::tempdir().unwrap();
        parts.save(dir.path()).unwrap();
        let mut resumed = network(&extractor, &learning(2), &info);
        resumed.load(dir.path()).unwrap();
        resumed.learn(&batch(2..4), at(1)).unwrap();
        let [whole, resumed] = [whole, resumed].map(|network| to_vec(network.params.flat()));
        for (i, (a, b)) in whole.iter().zip(&resumed).enumerate() {
            // One f32 rounding a term of a sum of four.
            assert!((a - b).abs() < 1e-6, "{i}: {a} {b}");
        }
        assert_ne!(whole, before);
    }

    const WORDS: usize = 16;
    const STEPS: usize = 10;

    fn text(task: Task) -> Info {
        let mut vocabulary: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            .map(str::to_owned)
            .into();
        vocabulary.extend((vocabulary.len()..WORDS).map(|i| format!("w{i}")));
        Info {
            space: Space::MultiDiscrete(vec![WORDS; STEPS]),
            scalar: Scalar::I32,
            task,
            vocabulary,
            encoding: serde_json::Value::Null,
        }
    }

    fn encoder(task: Task) -> Network {
        let extractor = ExtractorConfig::Bert(BertConfig {
            hidden_size: 32,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            intermediate_size: 64,
            max_position_embeddings: STEPS,
            // Narrow layers need larger weights.
            initializer_range: 0.15,
            ..BertConfig::default()
        });
        let learning = LearningConfig {
            optimizer: OptimConfig::AdamW(AdamConfig {
                learning_rate: Schedule::constant(3e-3),
                weight_decay: 0.01,
                decay_vectors: false,
                ..AdamConfig::default()
            }),
            clip_norm: Some(1.0),
            ..LearningConfig::default()
        };
        network(&extractor, &learning, &text(task))
    }

    /// A batch of rows of tokens, with lengths.
    fn batch_of(rows: Vec<Vec<i32>>, targets: Targets) -> Batch {
        let lengths: Vec<u32> = rows.iter().map(|row| row.len() as u32).collect();
        let steps = rows.iter().map(Vec::len).max().unwrap();
        let padded = rows.iter().flat_map(|row| {
            let mut row = row.clone();
            row.resize(steps, 0);
            row
        });
        let whole = lengths.iter().all(|&len| len as usize == steps);
        Batch {
            samples: (0..rows.len()).collect(),
            inputs: Array::from_vec(padded.collect(), steps),
            shape: vec![steps],
            lengths: if whole { Vec::new() } else { lengths },
            targets,
        }
    }

    /// Behind the question, a word, stands it once more: that is the answer, with the word behind it.
    fn questions(rng: &mut Rng) -> Batch {
        let (mut rows, mut spans) = (Vec::new(), Vec::new());
        for _ in 0..32 {
            let asked = rng.random_range(5..WORDS as i32);
            let mut row = vec![2, asked, 3];
            for _ in 0..rng.random_range(3..=STEPS - 4) {
                let other = rng.random_range(5..WORDS as i32 - 1);
                row.push(if other == asked {
                    WORDS as i32 - 1
                } else {
                    other
                });
            }
            let place = rng.random_range(3..row.len() - 1);
            row[place] = asked;
            row.push(3);
            spans.extend([place as i32, place as i32 + 1]);
            rows.push(row);
        }
        batch_of(rows, Targets::Spans(Array::from_vec(spans, 2)))
    }

    #[test]
    fn an_encoder_finds_answers() {
        let mut network = encoder(Task::span());
        let mut rng = Seeds::new(1).stream("test", 0);
        let first = network.predict(&questions(&mut rng), true).unwrap();
        assert!(first.loss / first.counted as f64 > 1.2, "{}", first.loss);
        for update in 0..300 {
            network.learn(&questions(&mut rng), at(update)).unwrap();
        }
        let batch = questions(&mut rng);
        let said = network.predict(&batch, true).unwrap();
        assert!(said.loss / (said.counted as f64) < 0.3, "{}", said.loss);
        // Probabilities of the places of a row sum to 1, and padding has none.
        let steps = batch.shape[0];
        for (row, logs) in said.outputs.chunks(2 * steps).enumerate() {
            let sum: f32 = logs.iter().step_by(2).map(|log| log.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
            let len = batch.lengths.get(row).map_or(steps, |&len| len as usize);
            assert!(logs[2 * len..].iter().all(|&log| log < -1e6));
        }
    }

    /// The first text is one word again and again, and so is the second, of the same word if it follows; one of each is
    /// masked.
    fn texts(rng: &mut Rng) -> Batch {
        let (mut rows, mut words, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..32 {
            let first = rng.random_range(5..WORDS as i32);
            let follows = rng.random_bool(0.5);
            let second = match follows {
                true => first,
                false => 5 + (first - 5 + rng.random_range(1..11)) % 11,
            };
            let mut row = vec![2, first, first, first, 3, second, second, second, 3];
            let mut asked = vec![IGNORED; row.len()];
            for place in [rng.random_range(1..4), rng.random_range(5..8)] {
                asked[place] = std::mem::replace(&mut row[place], 4);
            }
            rows.push(row);
            words.extend(asked);
            next.push(i32::from(!follows));
        }
        let targets = Targets::Masked {
            words: Array::from_vec(words, 9),
            next: Array::from_vec(next, 1),
        };
        batch_of(rows, targets)
    }

    #[test]
    fn an_encoder_learns_masked_words_and_next_sentences() {
        let mut network = encoder(Task::masked());
        let mut rng = Seeds::new(1).stream("test", 0);
        for update in 0..300 {
            network.learn(&texts(&mut rng), at(update)).unwrap();
        }
        let said = network.predict(&texts(&mut rng), true).unwrap();
        assert_eq!(
            (said.width, said.counted, said.outputs.len()),
            (2, 64, 2 * 96)
        );
        // Chance is ln 11 = 2.4.
        assert!(said.loss / 64.0 < 0.5, "{}", said.loss);
        // Without a question, all words at every position.
        let mut batch = texts(&mut rng);
        batch.targets = Targets::Unknown;
        let all = network.predict(&batch, true).unwrap();
        assert_eq!((all.width, all.outputs.len()), (WORDS, 32 * 9 * WORDS));
        let (words, next) = said.outputs.split_at(2 * 64);
        assert!(words.chunks(2).all(|row| row[0] <= row[1]));
        for row in next.chunks(2) {
            let sum: f32 = row.iter().map(|log| log.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }

    #[test]
    fn masked_words_need_an_encoder_and_tokens() {
        let learning = LearningConfig::default();
        let error = |extractor: &ExtractorConfig, info: &Info| {
            let known = Known::default();
            let built = Network::new(
                extractor,
                &learning,
                info,
                &known,
                Seeds::new(1),
                Device::Cpu,
            );
            built.unwrap_err().to_string()
        };
        let mlp = ExtractorConfig::Mlp(MlpConfig::default());
        let said = error(&mlp, &text(Task::masked()));
        assert!(
            said.starts_with("model.kind: masked words are learned by"),
            "{said}"
        );
        let bert = |json: &str| serde_json::from_str(json).unwrap();
        let short = bert(r#"{"kind": "bert", "max_position_embeddings": 5}"#);
        let said = error(&short, &text(Task::span()));
        assert_eq!(
            said,
            "model.max_position_embeddings: 5 is too few for sequences of 10; shorten them (data.max_len), or give more"
        );
        let few = bert(r#"{"kind": "bert", "vocab_size": 7}"#);
        let said = error(&few, &text(Task::span()));
        assert_eq!(
            said,
            "model.vocab_size: 7 words do not hold a vocabulary of 16; give 0"
        );
    }
}
