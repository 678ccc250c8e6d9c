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
    fn weigh(&mut self, losses: &[Tensor], values: &[f64]) -> Result<Tensor> {
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
        let all = self.weigh(&terms, &values)?;
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
