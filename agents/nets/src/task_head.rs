//! A head behind an extractor: what a network learns of one task.

use tch::{Device, Kind, Reduction, Tensor};
use thorndike_core::{Array, Error, Kind as Scalar, Result};
use thorndike_data::{Batch, IGNORED, Info, Prediction, Targets, Task};

use crate::input::bytes_over;
use crate::models::{Bert, LanguageHead, Looked, Yolo};
use crate::params::to_vec;
use crate::supervised::{ClassWeights, LearningConfig};
use crate::{Dropout, FeatureExtractor, Linear, Read, Scope, SequenceReader};

/// What lies behind an extractor.
#[derive(Debug)]
enum Head {
    /// A linear map of each row of features.
    Linear(Linear),
    /// Masked words and next sentences.
    Language(LanguageHead),
    /// None: a detector says all by itself.
    Detector,
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

/// A head, and what it learns.
#[derive(Debug)]
pub(crate) struct TaskHead {
    head: Head,
    dropout: Dropout,
    rows: Rows,
    task: Task,
    outputs: i64,
    label_smoothing: f64,
    class_weights: ClassWeights,
    /// `[classes]`, if they do not all count alike.
    weights: Option<Tensor>,
    device: Device,
    /// Shape of one input that the extractor was built for.
    shape: Vec<usize>,
    /// Whether the extractor reads sequences of that length only.
    whole: bool,
    /// State of the lanes while learning, of consecutive samples.
    pub(crate) carried: Option<Tensor>,
    /// The same while predicting.
    carried_in_prediction: Option<Tensor>,
}

impl TaskHead {
    /// Declares the head in `scope`, for what `extractor` makes of samples of `info`, whose classes were counted.
    ///
    /// # Errors
    /// [`Error::Config`] if the extractor has nothing that such a head could read.
    pub(crate) fn new(
        scope: &mut Scope<'_>,
        extractor: &dyn FeatureExtractor,
        info: &Info,
        learning: &LearningConfig,
        counts: &[u64],
        (device, whole): (Device, bool),
    ) -> Result<Self> {
        let outputs = info.task.names().len() as i64;
        let of_positions = matches!(info.task, Task::Positions { .. } | Task::Span { .. });
        let width = match of_positions {
            true => extractor.position_width(),
            false => extractor.width(),
        };
        let finds = matches!(info.task, Task::Boxes { .. });
        let head = match (&info.task, extractor.bert()) {
            (Task::Masked { .. }, Some(bert)) => Head::Language(LanguageHead::new(scope, bert)?),
            (Task::Masked { .. }, None) => {
                let what = "masked words are learned by an encoder of text; use \"bert\"";
                return Err(Error::config("model.kind", what));
            }
            _ if finds != extractor.detector().is_some() => {
                let what = match finds {
                    true => "objects with boxes are found by a detector; use \"yolo\"",
                    false => {
                        "a detector learns from pictures with boxes; use \"csp\", \"cnn\" or \"vgg\""
                    }
                };
                return Err(Error::config("model.kind", what));
            }
            _ if finds => Head::Detector,
            _ => Head::Linear(Linear::new(scope, width, outputs)),
        };
        let weights = class_weights(&learning.class_weights, counts);
        Ok(Self {
            head,
            dropout: Dropout::new(scope, learning.head_dropout),
            rows: match (of_positions, extractor.sequence()) {
                (true, Some(_)) => Rows::Steps,
                (true, None) => Rows::Pixels,
                (false, _) => Rows::Samples,
            },
            task: info.task.clone(),
            outputs,
            label_smoothing: learning.label_smoothing,
            class_weights: learning.class_weights.clone(),
            weights: weights.map(|weights| Tensor::from_slice(&weights).to_device(device)),
            device,
            shape: info.space.shape(),
            whole,
            carried: None,
            carried_in_prediction: None,
        })
    }

    /// One pass of one sample: what does not fit is found before anything is learned.
    pub(crate) fn try_out(&self, extractor: &dyn FeatureExtractor, info: &Info) -> Result<()> {
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
        match &self.head {
            Head::Language(head) => {
                return self.masked(extractor, head, &batch, false).map(|_| ());
            }
            Head::Detector => return self.look(extractor, &batch, false).map(|_| ()),
            Head::Linear(_) => {}
        }
        let tried = self.logits(extractor, &batch, (false, true), &mut None)?;
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

    /// Mean of the losses of a batch that is learned from, and the rows that count. `starts`: nothing is carried over from the
    /// batch before. `still`: the extractor does not learn.
    pub(crate) fn learn(
        &mut self,
        extractor: &dyn FeatureExtractor,
        batch: &Batch,
        starts: bool,
        still: bool,
    ) -> Result<(Tensor, u64)> {
        match &self.head {
            Head::Language(head) => {
                let masked = self.masked(extractor, head, batch, true)?;
                let (words, counted) = masked.word_loss();
                return Ok((words + masked.next_loss(), counted));
            }
            Head::Detector => {
                let (detector, looked) = self.look(extractor, batch, true)?;
                return Ok(self.box_loss(detector, &looked, batch));
            }
            Head::Linear(_) => {}
        }
        let mut carried = if starts { None } else { self.carried.take() };
        let logits = self.logits(extractor, batch, (true, still), &mut carried)?;
        self.carried = carried;
        Ok(self.loss(&logits, batch, true))
    }

    /// As [`learn`](Self::learn), of features that were computed before, a row of each sample.
    pub(crate) fn learn_of(&self, features: &Tensor, batch: &Batch) -> (Tensor, u64) {
        self.loss(&self.scores(features, true), batch, true)
    }

    /// Whether the head reads one row of features of each sample, which the extractor makes of the sample alone.
    pub(crate) fn is_of_samples(&self, extractor: &dyn FeatureExtractor) -> bool {
        self.rows == Rows::Samples
            && extractor.sequence().is_none()
            && matches!(self.head, Head::Linear(_))
    }

    /// What it says of a batch.
    pub(crate) fn predict(
        &mut self,
        extractor: &dyn FeatureExtractor,
        batch: &Batch,
        starts: bool,
    ) -> Result<Prediction> {
        let _guard = tch::no_grad_guard();
        let mut carried = match starts {
            true => None,
            false => self.carried_in_prediction.take(),
        };
        if let Head::Detector = &self.head {
            let (detector, looked) = self.look(extractor, batch, false)?;
            let (loss, counted) = self.box_loss(detector, &looked, batch);
            let found = detector.detections(&looked);
            let loss = loss.double_value(&[]) * counted as f64;
            return Ok(Prediction::of_detections(&found, loss, counted));
        }
        if let Head::Language(head) = &self.head {
            if batch.targets == Targets::Unknown {
                return self.words(extractor, head, batch);
            }
            return Ok(self.masked(extractor, head, batch, false)?.prediction());
        }
        let logits = self.logits(extractor, batch, (false, true), &mut carried)?;
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

    /// Refuses a batch of a shape that the extractor does not read.
    pub(crate) fn check_shape(
        &self,
        extractor: &dyn FeatureExtractor,
        batch: &Batch,
    ) -> Result<()> {
        let any_length = extractor.sequence().is_some() && !self.whole;
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

    /// Scores `[rows, outputs]`; `still`: the extractor does not learn.
    fn logits(
        &self,
        extractor: &dyn FeatureExtractor,
        batch: &Batch,
        (train, still): (bool, bool),
        carried: &mut Option<Tensor>,
    ) -> Result<Tensor> {
        let features = {
            let _guard = still.then(tch::no_grad_guard);
            self.features(extractor, batch, train, carried)?
        };
        Ok(self.scores(&features, train))
    }

    /// What the head reads of a batch, `[rows, width]`.
    fn features(
        &self,
        extractor: &dyn FeatureExtractor,
        batch: &Batch,
        train: bool,
        carried: &mut Option<Tensor>,
    ) -> Result<Tensor> {
        self.check_shape(extractor, batch)?;
        let x = inputs(batch, self.device);
        Ok(match (self.rows, extractor.sequence()) {
            (Rows::Samples, None) => extractor.features(&x, train),
            (Rows::Samples, Some(reader)) => reader.read(&x, &batch.lengths, None, train).features,
            (Rows::Steps, Some(reader)) => {
                let read = reader.read(&x, &batch.lengths, carried.as_ref(), train);
                *carried = (reader.state_len() > 0).then(|| read.state.detach());
                read.steps.flatten(0, 1) // [batch * time, width]
            }
            _ => {
                let Some(pixels) = extractor.pixels(&x, train) else {
                    return Err(Error::config(
                        "model.kind",
                        "this model gives one row of features for each sample, and the data has a class for each \
                         position; use \"u-net\" for images, \"rnn\" for sequences",
                    ));
                };
                let width = pixels.size()[1];
                pixels.permute([0, 2, 3, 1]).reshape([-1, width])
            }
        })
    }

    /// Scores `[rows, outputs]` of `features` `[rows, width]`.
    fn scores(&self, features: &Tensor, train: bool) -> Tensor {
        let Head::Linear(head) = &self.head else {
            unreachable!("other heads have ways of their own");
        };
        head.forward(&self.dropout.forward(features, train))
    }

    /// The detector, and what its layers say of a batch.
    fn look<'a>(
        &self,
        extractor: &'a dyn FeatureExtractor,
        batch: &Batch,
        train: bool,
    ) -> Result<(&'a Yolo, Looked)> {
        self.check_shape(extractor, batch)?;
        let looked = extractor.look(&inputs(batch, self.device), train);
        let both = extractor.detector().zip(looked);
        Ok(both.expect("only a detector gets this head"))
    }

    /// The mean loss of the pictures of a batch, and their number.
    fn box_loss(&self, detector: &Yolo, looked: &Looked, batch: &Batch) -> (Tensor, u64) {
        match &batch.targets {
            Targets::Boxes(objects) => (detector.loss(looked, objects), batch.len() as u64),
            _ => (Tensor::zeros([], (Kind::Float, self.device)), 0),
        }
    }

    /// The encoder, and what it makes of a batch.
    fn read_text<'a>(
        &self,
        extractor: &'a dyn FeatureExtractor,
        batch: &Batch,
        train: bool,
    ) -> Result<(&'a Bert, Read)> {
        self.check_shape(extractor, batch)?;
        let bert = extractor.bert();
        let bert = bert.expect("only an encoder gets this head");
        let x = inputs(batch, self.device);
        Ok((bert, bert.read(&x, &batch.lengths, None, train)))
    }

    /// Of masked words and next sentences.
    fn masked(
        &self,
        extractor: &dyn FeatureExtractor,
        head: &LanguageHead,
        batch: &Batch,
        train: bool,
    ) -> Result<Masked> {
        let device = self.device;
        let (bert, read) = self.read_text(extractor, batch, train)?;
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
    fn words(
        &self,
        extractor: &dyn FeatureExtractor,
        head: &LanguageHead,
        batch: &Batch,
    ) -> Result<Prediction> {
        let (bert, read) = self.read_text(extractor, batch, false)?;
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
        match &self.class_weights {
            ClassWeights::Each(weights) if train => weights[class as usize] > 0.0,
            _ => true,
        }
    }

    /// Mean of the losses of all rows that count, and their number. With `smoothing` and class weights if `train`.
    pub(crate) fn loss(&self, logits: &Tensor, batch: &Batch, train: bool) -> (Tensor, u64) {
        let targets = &batch.targets;
        let device = self.device;
        let (weights, smoothing) = match train {
            true => (self.weights.as_ref(), self.label_smoothing),
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
pub(crate) fn inputs(batch: &Batch, device: tch::Device) -> Tensor {
    let mut shape = vec![batch.len() as i64];
    shape.extend(batch.shape.iter().map(|&n| n as i64));
    let values = &batch.inputs;
    let tensor = match values.kind() {
        Scalar::F32 => Tensor::from_slice(values.as_slice::<f32>()).to_device(device),
        Scalar::U8 => bytes_over(values.into(), 255.0, device),
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
