//! A network that learns from labelled batches: a feature extractor and a linear head.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Device, Error, Exchange, Result, Seeds, Weights, check_range};
use thorndike_data::{At, Batch, Info, Learner, Moments, Prediction, Task};

use crate::average::Average;
use crate::handoff::build_extractor;
use crate::models::Readout;
use crate::params::to_vec;
use crate::task_head::TaskHead;
use crate::{
    ExtractorConfig, FeatureExtractor, HeadFrom, OptimConfig, Optimizer, ParamStore, Scope,
    SequenceReader, Weighting, find_device, tensor_file,
};

/// File of the weights, below the folder of a checkpoint.
pub const WEIGHTS: &str = "weights.safetensors";
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";
pub(crate) const CARRIED: &str = "carried.json";
const GRADIENT: &str = "gradient.safetensors";
/// File of the weights that learn, where those of [`WEIGHTS`] are their mean.
const LEARNING: &str = "learning.safetensors";

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
    /// Decay of a running mean of all weights, per update, in the first updates less. Where it is given, the mean predicts,
    /// is saved and is handed on. Absent: the weights themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Share of the features that is dropped in front of the head while learning. Default 0.
    pub head_dropout: f64,
    /// Share of the probability that is spread over all classes (Szegedy et al., "Rethinking the Inception
    /// Architecture", 2016, section 7). Default 0.
    pub label_smoothing: f64,
    /// How much each class counts in the loss. Default all alike.
    pub class_weights: ClassWeights,
    /// How the losses of several tasks are weighed against each other. Default as the tasks say.
    #[serde(skip_serializing_if = "Weighting::is_fixed")]
    pub weighting: Weighting,
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
            ema_decay: None,
            head_dropout: 0.0,
            label_smoothing: 0.0,
            class_weights: ClassWeights::default(),
            weighting: Weighting::Fixed,
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
        if !self.weighting.is_fixed() {
            let what = "weighs several tasks against each other, and there is one; leave it out";
            return Err(Error::config("weighting", what));
        }
        self.check_of(task)
    }

    /// As [`check`](Self::check), for one of several tasks.
    pub(crate) fn check_of(&self, task: &Task) -> Result<()> {
        self.optimizer.check().map_err(|e| e.under("optimizer"))?;
        if let Some(norm) = self.clip_norm
            && !(norm > 0.0 && norm.is_finite())
        {
            let what = format!("{norm} is out of range; give a number above 0");
            return Err(Error::config("clip_norm", what));
        }
        check_range("accumulate", self.accumulate, 1..=1 << 20)?;
        if let Some(decay) = self.ema_decay {
            check_range("ema_decay", decay, 0.0..=0.999_999)?;
        }
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
    head: TaskHead,
    /// What says how far the extractor's weights go in an update.
    config: ExtractorConfig,
    learning: LearningConfig,
    optimizer: Optimizer,
    /// The mean of the weights, or, while the network predicts, the weights.
    average: Option<Average>,
    /// The gradient holds that of batches of an update to come.
    pending: bool,
    /// What it is pulled back to, `[num_parameters]`, and how strongly.
    anchor: Option<(f64, Tensor)>,
    what: String,
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
        let device = find_device(device)?;
        let whole = reads_whole_sequences(extractor)?;
        let build = |scope: &mut Scope<'_>| {
            let built =
                build_extractor(extractor, &mut scope.sub("extractor"), info, &known.moments)?;
            let before = scope.declared();
            let scope = &mut scope.sub("head");
            let at = (device, whole);
            let head = TaskHead::new(scope, &*built, info, learning, &known.counts, at)?;
            take_over_head(extractor, scope, before, &info.task).map_err(|e| e.under("model"))?;
            Ok((built, head))
        };
        let (mut params, (extractor_built, head)) =
            ParamStore::build(device, seeds.stream("agent/init", 0), build)?;
        params.enable_gradients();
        let average = learning.ema_decay.map(|decay| Average::new(decay, &params));
        let network = Self {
            average,
            optimizer: Optimizer::new(&learning.optimizer, &params)
                .map_err(|e| e.under("optimizer"))?,
            what: describe(&params),
            params,
            extractor: extractor_built,
            head,
            config: extractor.clone(),
            learning: learning.clone(),
            pending: false,
            anchor: None,
        };
        network.head.try_out(&*network.extractor, info)?;
        Ok(network)
    }

    /// The weights.
    pub fn params(&self) -> &ParamStore {
        &self.params
    }

    /// What lies between its inputs and its head.
    pub fn extractor(&self) -> &dyn FeatureExtractor {
        &*self.extractor
    }

    /// Exchanges the weights and their mean, if there is one; a second call puts them back.
    fn swap_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.swap(&self.params);
        }
    }
}

/// A line about the weights, for people.
pub(crate) fn describe(params: &ParamStore) -> String {
    format!(
        "{} weights on {}",
        params.num_parameters(),
        match params.device() {
            tch::Device::Cpu => "the processor".to_owned(),
            tch::Device::Cuda(n) => format!("cuda:{n}"),
            other => format!("{other:?}"),
        }
    )
}

/// Whether `extractor` reads sequences of one length only.
pub(crate) fn reads_whole_sequences(extractor: &ExtractorConfig) -> Result<bool> {
    Ok(match extractor {
        ExtractorConfig::Rnn(config) => config.readout == Readout::All,
        ExtractorConfig::Pretrained(config) => match config.settled() {
            Ok((ExtractorConfig::Rnn(config), _)) => config.readout == Readout::All,
            Ok(_) => false,
            Err(error) => return Err(error.under("model")),
        },
        _ => false,
    })
}

/// Gives the head, declared in `scope` since `before`, the weights of the trained one, if it is to have them.
fn take_over_head(
    extractor: &ExtractorConfig,
    scope: &mut Scope<'_>,
    before: [usize; 2],
    task: &Task,
) -> Result<()> {
    let ExtractorConfig::Pretrained(pretrained) = extractor else {
        return Ok(());
    };
    if pretrained.head == HeadFrom::New {
        return Ok(());
    }
    let path = pretrained.trained_head(task)?;
    scope.fill(before, |expected| {
        let others = |name: &str| name.starts_with("extractor.");
        let read = tensor_file::read_state_dict(&path, expected, &others)?;
        Ok(read.into_iter().map(Some).collect())
    })
}

impl Learner for Network {
    fn learn(&mut self, batch: &Batch, at: At) -> Result<f64> {
        self.params.draw_for(at.update);
        if !self.pending {
            self.params.zero_gradient();
        }
        let pretrained = self.config.pretrained();
        let still = pretrained.is_some_and(|(pretrained, _)| pretrained.is_still(at.step));
        let (loss, counted) = self.head.learn(&*self.extractor, batch, at.starts, still)?;
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
        self.optimizer
            .drop_frozen_gradient(&mut self.params, &self.config, at.step);
        if let Some(norm) = self.learning.clip_norm {
            self.params.clip_gradient(norm);
        }
        self.optimizer
            .step_with(&mut self.params, &self.config, at.step);
        if let Some(average) = &mut self.average {
            average.update(&self.params, self.optimizer.updates());
        }
        Ok(value)
    }

    fn predict(&mut self, batch: &Batch, starts: bool) -> Result<Prediction> {
        self.swap_average();
        let said = self.head.predict(&*self.extractor, batch, starts);
        self.swap_average();
        said
    }

    fn save(&self, dir: &Path) -> Result<()> {
        match &self.average {
            None => self.params.save(&dir.join(WEIGHTS))?,
            Some(average) => {
                self.params.save(&dir.join(LEARNING))?;
                average.save(&self.params, &dir.join(WEIGHTS))?;
            }
        }
        self.optimizer.save(&dir.join(OPTIMIZER))?;
        if self.pending {
            self.params.save_gradient(&dir.join(GRADIENT))?;
        }
        if let Some(carried) = &self.head.carried {
            save_carried(&dir.join(CARRIED), carried)?;
        }
        Ok(())
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        self.load_model(dir)?;
        if let Some(average) = &mut self.average {
            average.copy_from(&self.params);
            self.params.load(&dir.join(LEARNING))?;
        }
        self.optimizer.load(&dir.join(OPTIMIZER))?;
        let path = dir.join(GRADIENT);
        self.pending = fs::exists(&path).map_err(Error::io(&path))?;
        if self.pending {
            self.params.load_gradient(&path)?;
        }
        self.head.carried =
            load_carried(&dir.join(CARRIED), &*self.extractor, self.params.device())?;
        Ok(())
    }

    fn load_model(&mut self, dir: &Path) -> Result<()> {
        self.params.load(&dir.join(WEIGHTS))
    }

    fn exchange(&mut self) -> Option<&mut dyn Exchange> {
        Some(self)
    }

    fn memory(&self) -> u64 {
        let average = self.average.as_ref().map_or(0, Average::bytes);
        self.params.bytes() + self.optimizer.bytes() + average
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
        if let Some(average) = &mut self.average {
            average.copy_from(&self.params);
        }
    }

    /// # Reference
    /// The pull is the proximal term `mu / 2 * |w - w_t|^2` of Li et al., "Federated Optimization in Heterogeneous
    /// Networks" (2020), algorithm 2. Deviations: none; it is clipped together with the gradient.
    fn restart(&mut self, proximal_mu: f64) {
        self.optimizer.reset();
        self.pending = false;
        self.head.carried = None;
        self.anchor = (proximal_mu > 0.0).then(|| (proximal_mu, self.params.flat().copy()));
    }
}

/// Writes the state that a reader carries from batch to batch, `[lanes, numbers]`.
pub(crate) fn save_carried(path: &Path, carried: &Tensor) -> Result<()> {
    let text = serde_json::to_vec(&to_vec(carried)).map_err(|e| Error::Backend(Box::new(e)))?;
    fs::write(path, text).map_err(Error::io(path))
}

/// Reads what [`save_carried`] wrote, if there is something.
pub(crate) fn load_carried(
    path: &Path,
    extractor: &dyn FeatureExtractor,
    device: tch::Device,
) -> Result<Option<Tensor>> {
    if !fs::exists(path).map_err(Error::io(path))? {
        return Ok(None);
    }
    let len = extractor.sequence().map_or(0, SequenceReader::state_len);
    let text = fs::read(path).map_err(Error::io(path))?;
    let values: Vec<f32> = serde_json::from_slice(&text).unwrap_or_default();
    if values.is_empty() || len == 0 || !values.len().is_multiple_of(len as usize) {
        return Err(Error::checkpoint(path, "is not the state of this model"));
    }
    let state = Tensor::from_slice(&values).view([-1, len]);
    Ok(Some(state.to_device(device)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{BertConfig, MlpConfig};
    use crate::{AdamConfig, SgdConfig};
    use thorndike_core::rand::RngExt;
    use thorndike_core::{Array, Kind as Scalar, Rng, Schedule, Space};
    use thorndike_data::{IGNORED, Targets};

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
