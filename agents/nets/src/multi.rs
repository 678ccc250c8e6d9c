//! A network with several heads, each of which learns a task of its own.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad_guard};
use thorndike_core::{Device, Error, Result, Seeds, Space};
use thorndike_data::{At, Batch, Info, Learner, Prediction, Task};

use crate::handoff::build_extractor;
use crate::params::to_vec;
use crate::supervised::{
    CARRIED, OPTIMIZER, describe, load_carried, reads_whole_sequences, save_carried,
};
use crate::task_head::{TaskHead, inputs};
use crate::weighting::{grad_norm_step, uncertainty_loss, weighed_loss};
use crate::{
    ExtractorConfig, FeatureExtractor, HeadFrom, Known, LearningConfig, Optimizer, ParamStore,
    Scope, WEIGHTS, Weighting, find_device,
};

/// File of the weights of the tasks, below the folder of a checkpoint.
const BALANCE: &str = "balance.json";

/// One of the tasks of a [`MultiNetwork`].
#[derive(Clone, Debug)]
pub struct HeadTask {
    /// Its name, unlike all others.
    pub name: String,
    /// What it reads and learns.
    pub info: Info,
    /// How much its loss counts, if weights are fixed.
    pub weight: f64,
    /// Samples of each class, if it has classes.
    pub counts: Vec<u64>,
}

/// An extractor that several heads read, one of each task.
///
/// An update is made of a batch of each task: the losses, each a mean over its batch, are weighed and summed up. Where all
/// tasks have one label a sample and inputs of one size, all inputs go through the extractor at once, so that the statistics
/// of batch norms are those of all tasks together.
///
/// # Reference
/// Caruana, "Multitask Learning" (1997), section 1: hard sharing of all but the last layer. Deviations: none.
#[derive(Debug)]
pub struct MultiNetwork {
    params: ParamStore,
    extractor: Box<dyn FeatureExtractor>,
    heads: Vec<TaskHead>,
    names: Vec<String>,
    /// Logarithms of variances, `[tasks]`, if losses are weighed by them.
    log_variances: Option<Tensor>,
    /// Factors of the losses in that.
    scales: Vec<f64>,
    config: ExtractorConfig,
    learning: LearningConfig,
    optimizer: Optimizer,
    balance: Balance,
    what: String,
}

/// Weights of the losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Balance {
    weights: Vec<f64>,
    /// Losses of the first update; empty before it.
    first_losses: Vec<f64>,
}

/// What an extractor reads that several tasks share: the inputs of all of them, the longest where sequences differ in length.
///
/// # Errors
/// [`Error::Config`] with the key `tasks.NAME.data` if they differ in more than that.
pub fn shared_input(tasks: &[(String, &Info)]) -> Result<Info> {
    let (first, info) = &tasks[0];
    let mut shared = (*info).clone();
    for (name, info) in tasks {
        let wrong = |what: String| Err(Error::config(format!("tasks.{name}.data"), what));
        let longer = match (&shared.space, &info.space) {
            (own, other) if own == other => false,
            // Sequences of the same words.
            (Space::MultiDiscrete(own), Space::MultiDiscrete(other))
                if own.first() == other.first() =>
            {
                other.len() > own.len()
            }
            _ => {
                return wrong(format!(
                    "inputs are {}, those of {first} {}; tasks that share an extractor read the same",
                    info.space, shared.space
                ));
            }
        };
        if info.scalar != shared.scalar {
            return wrong(format!(
                "inputs are {:?}, those of {first} {:?}; tasks that share an extractor read the same",
                info.scalar, shared.scalar
            ));
        }
        if info.vocabulary != shared.vocabulary {
            return wrong(format!(
                "the words are not those of {first}; give both the same vocabulary"
            ));
        }
        if longer {
            shared.space = info.space.clone();
        }
    }
    Ok(shared)
}

impl MultiNetwork {
    /// A network of `extractor` and a linear head for each of `tasks`; `known` is of the inputs of all of them.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, tasks do not go together, or the extractor cannot read the samples;
    /// [`Error::Device`].
    pub fn new(
        extractor: &ExtractorConfig,
        learning: &LearningConfig,
        tasks: &[HeadTask],
        known: &Known,
        seeds: Seeds,
        device: Device,
    ) -> Result<Self> {
        let training = |key: &str, what: &str| Err(Error::config(format!("training.{key}"), what));
        learning
            .weighting
            .check()
            .map_err(|e| e.under("training.weighting"))?;
        if learning.accumulate > 1 {
            let what = "an update of several tasks is made of one batch of each; give 1";
            return training("accumulate", what);
        }
        if learning.ema_decay.is_some() {
            return training(
                "ema_decay",
                "several tasks have no mean of weights; leave it out",
            );
        }
        let fixed = learning.weighting.is_fixed();
        for task in tasks {
            let key = |key: &str| format!("tasks.{}.{key}", task.name);
            learning
                .check_of(&task.info.task)
                .map_err(|e| e.under("training"))?;
            if let Task::Boxes { .. } = task.info.task {
                let what =
                    "objects with boxes are found by a detector, not by an extractor with a head";
                return Err(Error::config(key("data"), what));
            }
            if !(task.weight >= 0.0 && task.weight.is_finite()) {
                let what = format!("{} is out of range; give 0 or more", task.weight);
                return Err(Error::config(key("weight"), what));
            }
            if !fixed && task.weight != 1.0 {
                let what = "weights are learned by this training.weighting; leave it out";
                return Err(Error::config(key("weight"), what));
            }
        }
        if tasks.iter().all(|task| task.weight == 0.0) {
            let what = "no loss counts; give one of them a weight above 0";
            return Err(Error::config(
                format!("tasks.{}.weight", tasks[0].name),
                what,
            ));
        }
        if let ExtractorConfig::Pretrained(pretrained) = extractor
            && pretrained.head == HeadFrom::Trained
        {
            let what = "several tasks have heads of their own; give \"new\"";
            return Err(Error::config("model.head", what));
        }
        let infos: Vec<_> = tasks
            .iter()
            .map(|task| (task.name.clone(), &task.info))
            .collect();
        let shared = shared_input(&infos)?;
        let device = find_device(device)?;
        let whole = reads_whole_sequences(extractor)?;
        let build = |scope: &mut Scope<'_>| {
            let built = build_extractor(
                extractor,
                &mut scope.sub("extractor"),
                &shared,
                &known.moments,
            )?;
            let mut heads = Vec::new();
            for task in tasks {
                let mut scope = scope.sub("head");
                let scope = &mut scope.sub(&task.name);
                let info = Info {
                    space: shared.space.clone(),
                    ..task.info.clone()
                };
                let at = (device, whole);
                heads.push(TaskHead::new(
                    scope,
                    &*built,
                    &info,
                    learning,
                    &task.counts,
                    at,
                )?);
            }
            let log_variances = (learning.weighting == Weighting::Uncertainty).then(|| {
                let zeros = vec![0.0; tasks.len()];
                scope
                    .sub("weighting")
                    .variable("log_variance", &[tasks.len() as i64], &zeros)
            });
            Ok((built, heads, log_variances))
        };
        let (mut params, (built, heads, log_variances)) =
            ParamStore::build(device, seeds.stream("agent/init", 0), build)?;
        params.enable_gradients();
        let network = Self {
            optimizer: Optimizer::new(&learning.optimizer, &params)
                .map_err(|e| e.under("training.optimizer"))?,
            what: format!("{}, {} heads", describe(&params), tasks.len()),
            names: tasks.iter().map(|task| task.name.clone()).collect(),
            scales: tasks
                .iter()
                .map(|task| match task.info.task {
                    Task::Numbers { .. } => 0.5,
                    _ => 1.0,
                })
                .collect(),
            balance: Balance {
                weights: tasks.iter().map(|task| task.weight).collect(),
                first_losses: Vec::new(),
            },
            params,
            extractor: built,
            heads,
            log_variances,
            config: extractor.clone(),
            learning: learning.clone(),
        };
        for (head, task) in network.heads.iter().zip(tasks) {
            let info = Info {
                space: shared.space.clone(),
                ..task.info.clone()
            };
            head.try_out(&*network.extractor, &info)
                .map_err(|e| match e {
                    Error::Config { key, what } => {
                        Error::config(key, format!("task {}: {what}", task.name))
                    }
                    other => other,
                })?;
        }
        if let Weighting::GradNorm { .. } = learning.weighting {
            let _ = network.shared_weights()?;
        }
        Ok(network)
    }

    /// The weights.
    pub fn params(&self) -> &ParamStore {
        &self.params
    }

    /// The last matrix of the extractor, which all heads share.
    fn shared_weights(&self) -> Result<Tensor> {
        self.params.last_matrix_below("extractor.").ok_or_else(|| {
            let what = "\"grad-norm\" looks at the last weights that all tasks share, and the model has none";
            Error::config("training.weighting.kind", what)
        })
    }

    /// Mean loss of each batch and what counts in it.
    fn losses(
        &mut self,
        batches: &[Batch],
        starts: &[bool],
        still: bool,
    ) -> Result<Vec<(Tensor, u64)>> {
        let extractor = &*self.extractor;
        let together = self.heads.iter().all(|head| head.is_of_samples(extractor))
            && batches.iter().all(|batch| batch.shape == batches[0].shape);
        if !together {
            let each = self.heads.iter_mut().zip(batches).zip(starts);
            return each
                .map(|((head, batch), starts)| head.learn(extractor, batch, *starts, still))
                .collect();
        }
        for (head, batch) in self.heads.iter().zip(batches) {
            head.check_shape(extractor, batch)?;
        }
        let device = self.params.device();
        let x: Vec<Tensor> = batches.iter().map(|batch| inputs(batch, device)).collect();
        let features = {
            let _guard = still.then(no_grad_guard);
            extractor.features(&Tensor::cat(&x, 0), true)
        };
        let mut start = 0;
        let each = self.heads.iter().zip(batches).map(|(head, batch)| {
            let own = features.narrow(0, start, batch.len() as i64);
            start += batch.len() as i64;
            head.learn_of(&own, batch)
        });
        Ok(each.collect())
    }

    /// The sum of the losses, weighed; changes the weights if they are learned beside the network.
    fn weigh(&mut self, losses: &[Tensor], values: &[f64], still: bool) -> Result<Tensor> {
        match self.learning.weighting {
            Weighting::Fixed => Ok(weighed_loss(losses, &self.balance.weights)),
            Weighting::Uncertainty => {
                let log_variances = self.log_variances.as_ref();
                let log_variances = log_variances.expect("declared for this weighting");
                Ok(uncertainty_loss(losses, log_variances, &self.scales))
            }
            Weighting::GradNorm {
                alpha,
                learning_rate,
            } => {
                let shared = self.shared_weights()?;
                let mut norms = Vec::new();
                // A task with nothing that counts in this batch has no gradient, and neither has a frozen extractor.
                if losses.iter().any(|loss| !loss.requires_grad()) || still {
                    return Ok(weighed_loss(losses, &self.balance.weights));
                }
                for loss in losses {
                    let gradient = Tensor::run_backward(&[loss], &[&shared], true, false).remove(0);
                    norms.push(match gradient.defined() {
                        true => gradient.norm().double_value(&[]),
                        false => 0.0,
                    });
                }
                let all = weighed_loss(losses, &self.balance.weights);
                let Balance {
                    weights,
                    first_losses,
                } = &mut self.balance;
                if first_losses.is_empty() {
                    first_losses.extend_from_slice(values);
                }
                grad_norm_step(weights, &norms, values, first_losses, alpha, learning_rate);
                Ok(all)
            }
        }
    }
}

impl Learner for MultiNetwork {
    fn learn(&mut self, batch: &Batch, at: At) -> Result<f64> {
        let losses = self.learn_tasks(std::slice::from_ref(batch), &[at.starts], at)?;
        Ok(losses[0])
    }

    fn learn_tasks(&mut self, batches: &[Batch], starts: &[bool], at: At) -> Result<Vec<f64>> {
        self.params.draw_for(at.update);
        self.params.zero_gradient();
        let pretrained = self.config.pretrained();
        let still = pretrained.is_some_and(|(pretrained, _)| pretrained.is_still(at.step));
        let losses = self.losses(batches, starts, still)?;
        let mut values = Vec::new();
        for (name, (loss, counted)) in self.names.iter().zip(&losses) {
            // A mean of nothing is no number.
            let value = match counted {
                0 => 0.0,
                _ => loss.double_value(&[]),
            };
            if !value.is_finite() {
                return Err(Error::Diverged {
                    step: at.step,
                    what: format!("the loss of {name} is {value}"),
                });
            }
            values.push(value);
        }
        let terms: Vec<Tensor> = losses
            .into_iter()
            .map(|(loss, counted)| match counted {
                0 => Tensor::zeros([], (tch::Kind::Float, self.params.device())),
                _ => loss,
            })
            .collect();
        let all = self.weigh(&terms, &values, still)?;
        if all.requires_grad() {
            all.backward();
        }
        self.optimizer
            .drop_frozen_gradient(&mut self.params, &self.config, at.step);
        if let Some(norm) = self.learning.clip_norm {
            self.params.clip_gradient(norm);
        }
        self.optimizer
            .step_with(&mut self.params, &self.config, at.step);
        Ok(values)
    }

    fn predict(&mut self, batch: &Batch, starts: bool) -> Result<Prediction> {
        self.predict_task(0, batch, starts)
    }

    fn predict_task(&mut self, task: usize, batch: &Batch, starts: bool) -> Result<Prediction> {
        self.heads[task].predict(&*self.extractor, batch, starts)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        self.params.save(&dir.join(WEIGHTS))?;
        self.optimizer.save(&dir.join(OPTIMIZER))?;
        let path = dir.join(BALANCE);
        let text = serde_json::to_vec(&self.balance).map_err(|e| Error::Backend(Box::new(e)))?;
        fs::write(&path, text).map_err(Error::io(path))?;
        for (name, head) in self.names.iter().zip(&self.heads) {
            if let Some(carried) = &head.carried {
                save_carried(&dir.join(format!("{name}-{CARRIED}")), carried)?;
            }
        }
        Ok(())
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(BALANCE);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let balance: Balance = serde_json::from_slice(&text)
            .map_err(|e| Error::checkpoint(&path, format!("is damaged: {e}")))?;
        let (tasks, first) = (self.heads.len(), balance.first_losses.len());
        if balance.weights.len() != tasks || ![0, tasks].contains(&first) {
            return Err(Error::checkpoint(&path, "is of other tasks"));
        }
        self.load_model(dir)?;
        self.optimizer.load(&dir.join(OPTIMIZER))?;
        for (name, head) in self.names.iter().zip(&mut self.heads) {
            let path = dir.join(format!("{name}-{CARRIED}"));
            head.carried = load_carried(&path, &*self.extractor, self.params.device())?;
        }
        self.balance = balance;
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

    fn numbers(&self) -> Vec<(Cow<'static, str>, f64)> {
        let weights: Vec<f64> = match (&self.learning.weighting, &self.log_variances) {
            (Weighting::Fixed, _) => return Vec::new(),
            (_, Some(log_variances)) => {
                let variances = to_vec(log_variances).into_iter();
                let factors = variances.map(|s| f64::from(-s).exp());
                factors
                    .zip(&self.scales)
                    .map(|(w, scale)| w * scale)
                    .collect()
            }
            _ => self.balance.weights.clone(),
        };
        let names = self
            .names
            .iter()
            .map(|name| format!("weight/{name}").into());
        names.zip(weights).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{CnnConfig, MlpConfig, RnnConfig};
    use crate::{AdamConfig, OptimConfig, PretrainedConfig};
    use thorndike_core::rand::RngExt;
    use thorndike_core::{Array, Kind as Scalar, Rng, Schedule};
    use thorndike_data::Targets;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// Two numbers; their larger one and their product.
    fn tasks() -> Vec<HeadTask> {
        let task = |name: &str, task| HeadTask {
            name: name.to_owned(),
            info: Info {
                space: Space::unbounded(&[2]),
                scalar: Scalar::F32,
                task,
                vocabulary: Vec::new(),
                encoding: serde_json::Value::Null,
            },
            weight: 1.0,
            counts: Vec::new(),
        };
        let larger = Task::Classes {
            names: names(&["first", "second"]),
        };
        let product = Task::Numbers {
            names: names(&["product"]),
        };
        vec![task("larger", larger), task("product", product)]
    }

    fn batches(rng: &mut Rng) -> Vec<Batch> {
        let mut rows =
            |n: usize| -> Vec<f32> { (0..2 * n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let (a, b) = (rows(24), rows(40));
        let batch = |values: &[f32], targets| Batch {
            samples: (0..values.len() / 2).collect(),
            inputs: Array::from_vec(values.to_vec(), 2),
            shape: vec![2],
            lengths: Vec::new(),
            targets,
        };
        let larger = a.chunks(2).map(|x| i32::from(x[1] > x[0])).collect();
        let product = b.chunks(2).map(|x| x[0] * x[1]).collect();
        vec![
            batch(&a, Targets::Classes(Array::from_vec(larger, 1))),
            batch(&b, Targets::Numbers(Array::from_vec(product, 1))),
        ]
    }

    fn at(update: u64) -> At {
        At {
            step: 64 * update,
            update,
            starts: true,
        }
    }

    fn network(weighting: Weighting) -> MultiNetwork {
        let extractor: MlpConfig = serde_json::from_str(r#"{"hidden": [32]}"#).unwrap();
        let learning = LearningConfig {
            optimizer: OptimConfig::Adam(AdamConfig {
                learning_rate: Schedule::constant(1e-2),
                ..AdamConfig::default()
            }),
            weighting,
            ..LearningConfig::default()
        };
        let extractor = ExtractorConfig::Mlp(extractor);
        let (known, seeds) = (Known::default(), Seeds::new(4));
        MultiNetwork::new(&extractor, &learning, &tasks(), &known, seeds, Device::Cpu).unwrap()
    }

    const ALL: [Weighting; 3] = [
        Weighting::Fixed,
        Weighting::Uncertainty,
        Weighting::GradNorm {
            alpha: 1.5,
            learning_rate: 0.025,
        },
    ];

    #[test]
    fn both_tasks_are_learned_and_a_resumed_run_is_the_same() {
        for weighting in ALL {
            let mut rng = Seeds::new(1).stream("test", 0);
            let mut whole = network(weighting);
            let mut resumed = None;
            let mut losses = Vec::new();
            for update in 0..400 {
                let batches = batches(&mut rng);
                if update == 200 {
                    let dir = tempfile::tempdir().unwrap();
                    whole.save(dir.path()).unwrap();
                    let mut other = network(weighting);
                    other.load(dir.path()).unwrap();
                    resumed = Some(other);
                }
                losses = whole.learn_tasks(&batches, &[true; 2], at(update)).unwrap();
                if let Some(resumed) = &mut resumed {
                    let same = resumed
                        .learn_tasks(&batches, &[true; 2], at(update))
                        .unwrap();
                    assert_eq!(same, losses, "{weighting:?}");
                }
            }
            // Chance is ln 2 = 0.69 nats, and 1/9, the variance of the product.
            assert!(
                losses[0] < 0.2 && losses[1] < 0.02,
                "{weighting:?}: {losses:?}"
            );
            let resumed = resumed.unwrap();
            assert_eq!(to_vec(resumed.params.flat()), to_vec(whole.params.flat()));
            assert_eq!(resumed.balance, whole.balance);
            let numbers = whole.numbers();
            assert_eq!(numbers.is_empty(), weighting.is_fixed());
            if weighting == Weighting::Uncertainty {
                // The noise of the product is the smaller one.
                assert!(numbers[1].1 > numbers[0].1, "{numbers:?}");
            }
        }
    }

    #[test]
    fn one_task_alone_learns_as_a_network_does() {
        let only = &tasks()[..1];
        let extractor = ExtractorConfig::Mlp(MlpConfig::default());
        let (learning, known, seeds) = (LearningConfig::default(), Known::default(), Seeds::new(4));
        let mut multi =
            MultiNetwork::new(&extractor, &learning, only, &known, seeds, Device::Cpu).unwrap();
        let info = &only[0].info;
        let mut single =
            crate::Network::new(&extractor, &learning, info, &known, seeds, Device::Cpu).unwrap();
        let mut rng = Seeds::new(1).stream("test", 0);
        for update in 0..5 {
            let batch = batches(&mut rng).remove(0);
            let loss = multi.learn(&batch, at(update)).unwrap();
            assert_eq!(loss, single.learn(&batch, at(update)).unwrap());
        }
        assert_eq!(to_vec(multi.params.flat()), to_vec(single.params().flat()));
    }

    #[test]
    fn weights_of_zero_leave_a_task_out() {
        let mut tasks = tasks();
        tasks[1].weight = 0.0;
        let extractor = ExtractorConfig::Mlp(MlpConfig::default());
        let (learning, known, seeds) = (LearningConfig::default(), Known::default(), Seeds::new(4));
        let build = |tasks: &[HeadTask]| {
            MultiNetwork::new(&extractor, &learning, tasks, &known, seeds, Device::Cpu)
        };
        let mut network = build(&tasks).unwrap();
        let head = |network: &MultiNetwork| {
            let found = network.params.tensors();
            let mut found = found.filter(|(name, ..)| name.starts_with("head.product"));
            to_vec(&found.next().unwrap().2)
        };
        let before = head(&network);
        let mut rng = Seeds::new(1).stream("test", 0);
        network
            .learn_tasks(&batches(&mut rng), &[true; 2], at(0))
            .unwrap();
        assert_eq!(head(&network), before);
        tasks[0].weight = 0.0;
        let said = build(&tasks).unwrap_err().to_string();
        assert!(
            said.starts_with("tasks.larger.weight: no loss counts"),
            "{said}"
        );
    }

    #[test]
    fn tasks_that_do_not_go_together_are_refused_by_key() {
        let error = |extractor: &ExtractorConfig, weighting, tasks: &[HeadTask]| {
            let learning = LearningConfig {
                weighting,
                ..LearningConfig::default()
            };
            let (known, seeds) = (Known::default(), Seeds::new(4));
            let built = MultiNetwork::new(extractor, &learning, tasks, &known, seeds, Device::Cpu);
            built.unwrap_err().to_string()
        };
        let mlp = ExtractorConfig::Mlp(MlpConfig::default());
        let mut others = tasks();
        others[1].info.space = Space::unbounded(&[3]);
        let said = error(&mlp, Weighting::Fixed, &others);
        assert!(
            said.starts_with("tasks.product.data: inputs are box(3"),
            "{said}"
        );
        let mut others = tasks();
        others[1].weight = 2.0;
        let said = error(&mlp, Weighting::Uncertainty, &others);
        assert!(
            said.starts_with("tasks.product.weight: weights are learned"),
            "{said}"
        );
        let said = error(&ExtractorConfig::Flatten {}, ALL[2], &tasks());
        assert!(
            said.starts_with("training.weighting.kind: \"grad-norm\" looks at"),
            "{said}"
        );
        let steps = Task::Positions {
            names: names(&["a", "b"]),
        };
        let mut others = tasks();
        others[0].info.task = steps;
        let said = error(&mlp, Weighting::Fixed, &others);
        assert!(
            said.starts_with("model.kind: task larger: this model gives one row"),
            "{said}"
        );
        let pretrained: PretrainedConfig =
            serde_json::from_str(r#"{"from": "x", "head": "trained"}"#).unwrap();
        let said = error(
            &ExtractorConfig::Pretrained(pretrained),
            Weighting::Fixed,
            &tasks(),
        );
        assert!(said.starts_with("model.head: several tasks"), "{said}");
    }

    #[test]
    fn sequences_of_one_vocabulary_may_differ_in_length() {
        let tokens = |len, task| Info {
            space: Space::MultiDiscrete(vec![6; len]),
            scalar: Scalar::I32,
            task,
            vocabulary: names(&["a", "b", "c", "d", "e", "f"]),
            encoding: serde_json::Value::Null,
        };
        let [classes, positions] = ["sentence", "word"].map(|_| names(&["x", "y"]));
        let short = tokens(3, Task::Classes { names: classes });
        let long = tokens(5, Task::Positions { names: positions });
        let task = |name: &str, info: &Info| HeadTask {
            name: name.to_owned(),
            info: info.clone(),
            weight: 1.0,
            counts: Vec::new(),
        };
        let tasks = [task("sentence", &short), task("word", &long)];
        let rnn: RnnConfig =
            serde_json::from_str(r#"{"embedding": 4, "units": 8, "bidirectional": true}"#).unwrap();
        let learning = LearningConfig {
            optimizer: OptimConfig::Adam(AdamConfig {
                learning_rate: Schedule::constant(1e-2),
                ..AdamConfig::default()
            }),
            ..LearningConfig::default()
        };
        let (known, seeds) = (Known::default(), Seeds::new(4));
        let rnn = ExtractorConfig::Rnn(rnn);
        let mut network =
            MultiNetwork::new(&rnn, &learning, &tasks, &known, seeds, Device::Cpu).unwrap();
        let batch = |len: usize, targets| Batch {
            samples: vec![0, 1],
            inputs: Array::from_vec((0..2 * len as i32).map(|i| i % 6).collect(), len),
            shape: vec![len],
            lengths: vec![len as u32, 2],
            targets,
        };
        let batches = [
            batch(3, Targets::Classes(Array::from_vec(vec![0, 1], 1))),
            batch(
                5,
                Targets::Classes(Array::from_vec(vec![0, 1, 0, 1, 0, 1, 0, -1, -1, -1], 5)),
            ),
        ];
        let first = network.learn_tasks(&batches, &[true; 2], at(0)).unwrap();
        let mut last = first.clone();
        for update in 1..100 {
            last = network
                .learn_tasks(&batches, &[true; 2], at(update))
                .unwrap();
        }
        assert!(
            last[0] < first[0] / 2.0 && last[1] < first[1] / 2.0,
            "{first:?} {last:?}"
        );
        let said = network.predict_task(1, &batches[1], true).unwrap();
        assert_eq!((said.outputs.len(), said.width, said.counted), (20, 2, 7));
    }

    #[test]
    fn inputs_that_go_through_together_share_their_statistics() {
        let image = |task| Info {
            space: Space::Box {
                shape: vec![1, 4, 4],
                low: 0.0,
                high: 255.0,
            },
            scalar: Scalar::U8,
            task,
            vocabulary: Vec::new(),
            encoding: serde_json::Value::Null,
        };
        let task = |name: &str| HeadTask {
            name: name.to_owned(),
            info: image(Task::Classes {
                names: names(&["x", "y"]),
            }),
            weight: 1.0,
            counts: Vec::new(),
        };
        let cnn: CnnConfig = serde_json::from_str(
            r#"{"layers": [{"filters": 2, "size": 1, "stride": 1}], "hidden": [], "norm": "batch"}"#,
        )
        .unwrap();
        let extractor = ExtractorConfig::Cnn(cnn);
        let (learning, known, seeds) = (LearningConfig::default(), Known::default(), Seeds::new(4));
        let tasks = [task("dark"), task("bright")];
        let mut network =
            MultiNetwork::new(&extractor, &learning, &tasks, &known, seeds, Device::Cpu).unwrap();
        let mean = |network: &MultiNetwork| {
            let mut found = network.params.tensors();
            let found = found.find(|(name, ..)| name.ends_with("running_mean"));
            to_vec(&found.unwrap().2)[0]
        };
        let batch = |pixel: u8| Batch {
            samples: vec![0, 1],
            inputs: Array::from_vec(vec![pixel; 32], 16),
            shape: vec![1, 4, 4],
            lengths: Vec::new(),
            targets: Targets::Classes(Array::from_vec(vec![0, 1], 1)),
        };
        let first = |ending: &str| {
            let is_it = |name: &str| name.starts_with("extractor.conv.0") && name.ends_with(ending);
            let found = network.params.tensors().find(|(name, ..)| is_it(name));
            to_vec(&found.unwrap().2)[0]
        };
        // A tenth of the mean over both, of which the one is 0 and the other the highest value.
        let expected = 0.1 * (0.5 * first(".weight") + first(".bias"));
        network
            .learn_tasks(&[batch(0), batch(255)], &[true; 2], at(0))
            .unwrap();
        assert!(
            (mean(&network) - expected).abs() < 1e-6,
            "{} {expected}",
            mean(&network)
        );
    }
}
