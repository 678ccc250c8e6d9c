//! The loop of supervised learning.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thorndike_core::{EnvSteps, Error, Event, Kind, Log, Recorder, Result, Seeds, check_range};

use crate::scorer::{Scorer, Scores};
use crate::{At, DataSet, Learner, Loader, LoaderConfig, Task};

/// How a model is trained, whatever it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FitConfig {
    /// How batches are made.
    pub batches: LoaderConfig,
    /// When to stop before the end. Absent: never.
    pub early_stopping: Option<EarlyStopping>,
}

/// When to stop before the end: after so many evaluations in a row without a gain (the patience of Goodfellow, Bengio and
/// Courville, *Deep Learning*, 2016, algorithm 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Evaluations in a row that are no better than the best one before.
    pub patience: u32,
    /// How much better counts. Default 0.
    #[serde(default)]
    pub min_gain: f64,
}

impl EarlyStopping {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self) -> Result<()> {
        check_range("patience", self.patience, 1..=1_000_000)?;
        check_range("min_gain", self.min_gain, 0.0..=1e9)
    }
}

/// What a model was tried on, and how it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Its scores, of each task by its name; the name of a model's only task may be empty.
    pub tasks: Vec<(String, Scores)>,
    /// Whether they are better than all before.
    pub is_best: bool,
}

impl Validation {
    /// What models are compared by: the mean over the tasks.
    pub fn main(&self) -> f64 {
        self.mean(Scores::main)
    }

    /// Mean loss, over the tasks.
    pub fn loss(&self) -> f64 {
        self.mean(|scores| scores.loss)
    }

    /// Samples of all tasks.
    pub fn samples(&self) -> u64 {
        self.tasks.iter().map(|(_, scores)| scores.samples).sum()
    }

    fn mean(&self, of: impl Fn(&Scores) -> f64) -> f64 {
        let sum: f64 = self.tasks.iter().map(|(_, scores)| of(scores)).sum();
        sum / self.tasks.len() as f64
    }
}

/// What one of several tasks is learned from.
#[derive(Clone, Debug)]
pub struct TaskData {
    /// Its name; may be empty if it is the only one.
    pub name: String,
    /// Samples that are learned from.
    pub train: Arc<dyn DataSet>,
    /// Samples that the model is tried on.
    pub validation: Arc<dyn DataSet>,
    /// How batches are made.
    pub batches: LoaderConfig,
}

/// A task in training.
#[derive(Debug)]
struct Source {
    name: String,
    train: Loader,
    validation: Arc<dyn DataSet>,
    batch_size: usize,
    /// Batches go on where those before end.
    consecutive: bool,
}

/// Trains a model on one part of a data set and tries it on another.
///
/// *Design.* The counterpart of [`Trainer`](thorndike_core::Trainer), with the same four verbs; its step is a sample that
/// was learned from. Batches, their order and their random changes follow from the seeds and the place in the run, so
/// that a run goes on exactly where it was saved. Where there are several tasks, an update is made of a batch of each: only so
/// can losses be weighed against each other.
#[derive(Debug)]
pub struct Fitter {
    learner: Box<dyn Learner>,
    sources: Vec<Source>,
    early_stopping: Option<EarlyStopping>,
    log_every: EnvSteps,
    counters: Counters,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counters {
    step: EnvSteps,
    update: u64,
    /// Epoch and index of the next batch of the first task.
    next_batch: (u64, u64),
    /// The same of all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    next_of_others: Vec<(u64, u64)>,
    next_log: EnvSteps,
    /// Losses since the last report, and samples they are of.
    loss: f64,
    samples: u64,
    /// The same of each task, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    of_tasks: Vec<(f64, u64)>,
    /// The best score, and the one that patience is measured from.
    best: Option<f64>,
    mark: Option<f64>,
    since_mark: u32,
    stopped: bool,
}

impl Fitter {
    /// A fitter at the start of a run; `log_every` samples lie between two reports of the loss.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or does not fit the samples.
    pub fn new(
        learner: Box<dyn Learner>,
        train: Arc<dyn DataSet>,
        validation: Arc<dyn DataSet>,
        config: &FitConfig,
        seeds: Seeds,
        log_every: EnvSteps,
    ) -> Result<Self> {
        let task = TaskData {
            name: String::new(),
            train,
            validation,
            batches: config.batches.clone(),
        };
        Self::of_tasks(learner, vec![task], config.early_stopping, seeds, log_every)
    }

    /// A fitter of several tasks; `learner` has learned to take their batches in this order.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// If there is no task.
    pub fn of_tasks(
        learner: Box<dyn Learner>,
        tasks: Vec<TaskData>,
        early_stopping: Option<EarlyStopping>,
        seeds: Seeds,
        log_every: EnvSteps,
    ) -> Result<Self> {
        assert!(!tasks.is_empty(), "nothing to learn from");
        if let Some(early_stopping) = &early_stopping {
            early_stopping
                .check()
                .map_err(|e| e.under("early_stopping"))?;
        }
        let several = tasks.len() > 1;
        let sources = tasks.into_iter().enumerate().map(|(number, task)| {
            let seeds = match several {
                true => seeds.child("data/task", number as u64),
                false => seeds,
            };
            Ok(Source {
                name: task.name,
                consecutive: task.train.is_consecutive(),
                train: Loader::new(task.train, &task.batches, seeds)?,
                validation: task.validation,
                batch_size: task.batches.batch_size,
            })
        });
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let others = sources.len() - 1;
        Ok(Self {
            learner,
            early_stopping,
            log_every: log_every.max(1),
            counters: Counters {
                step: 0,
                update: 0,
                next_batch: (0, 0),
                next_of_others: vec![(0, 0); others],
                next_log: log_every.max(1),
                loss: 0.0,
                samples: 0,
                of_tasks: if several {
                    vec![(0.0, 0); others + 1]
                } else {
                    Vec::new()
                },
                best: None,
                mark: None,
                since_mark: 0,
                stopped: false,
            },
            sources,
        })
    }

    /// Samples learned from so far.
    pub fn step(&self) -> EnvSteps {
        self.counters.step
    }

    /// Name of the score that it is tried by.
    pub fn measure(&self) -> String {
        let mut names = self.sources.iter().map(measure_of);
        let first = names.next().unwrap_or_default();
        match (self.sources.len(), names.all(|name| name == first)) {
            (1, _) => first.to_owned(),
            (_, true) => format!("mean {first}"),
            (_, false) => "mean score".to_owned(),
        }
    }

    /// The best score so far.
    pub fn best(&self) -> Option<f64> {
        self.counters.best
    }

    /// Whether early stopping has ended the run.
    pub fn is_stopped(&self) -> bool {
        self.counters.stopped
    }

    /// The model.
    pub fn learner(&mut self) -> &mut dyn Learner {
        &mut *self.learner
    }

    /// Sets the count of steps, where the model learns elsewhere and is only tried here.
    pub fn set_step(&mut self, step: EnvSteps) {
        self.counters.step = step;
    }

    /// Time spent waiting for batches.
    pub fn waited(&self) -> Duration {
        self.sources
            .iter()
            .map(|source| source.train.waited())
            .sum()
    }

    /// Learns until `step` samples were seen; a batch that was begun is finished.
    ///
    /// # Errors
    /// If a sample cannot be read, or the model diverges.
    pub fn run_until(&mut self, step: EnvSteps, recorder: &mut dyn Recorder) -> Result<()> {
        let Self {
            learner,
            sources,
            counters,
            log_every,
            ..
        } = self;
        let (mut batches, mut starts) = (Vec::new(), Vec::new());
        while counters.step < step {
            batches.clear();
            starts.clear();
            let others = counters.next_of_others.iter_mut();
            let places = std::iter::once(&mut counters.next_batch).chain(others);
            for (source, place) in sources.iter_mut().zip(places) {
                let train = &mut source.train;
                if train.position() != *place {
                    train.start(place.0, place.1);
                }
                let loaded = train.next()?;
                *place = train.position();
                starts.push(loaded.is_first() || !source.consecutive);
                batches.push(loaded.batch);
            }
            let at = At {
                step: counters.step,
                update: counters.update,
                starts: starts[0],
            };
            let losses = learner.learn_tasks(&batches, &starts, at)?;
            counters.update += 1;
            for (task, (loss, batch)) in losses.iter().zip(&batches).enumerate() {
                let samples = batch.len() as u64;
                counters.step += samples;
                counters.loss += loss * samples as f64;
                counters.samples += samples;
                if let Some(of_task) = counters.of_tasks.get_mut(task) {
                    of_task.0 += loss * samples as f64;
                    of_task.1 += samples;
                }
            }
            if counters.step >= counters.next_log {
                let mut log = Log::new(recorder, counters.step, true);
                log.scalar("loss/train", counters.loss / counters.samples as f64)?;
                for (source, (loss, samples)) in sources.iter().zip(&mut counters.of_tasks) {
                    log.scalar(format!("loss/{}", source.name), *loss / *samples as f64)?;
                    (*loss, *samples) = (0.0, 0);
                }
                for (name, value) in learner.numbers() {
                    log.scalar(name, value)?;
                }
                (counters.loss, counters.samples) = (0.0, 0);
                counters.next_log = (counters.step / *log_every + 1) * *log_every;
            }
        }
        Ok(())
    }

    /// Tries the model on the validation part, records its scores, and remembers whether they were the best.
    ///
    /// # Errors
    /// If a sample cannot be read.
    pub fn validate(&mut self, recorder: &mut dyn Recorder) -> Result<Validation> {
        let mut tasks = Vec::new();
        for (number, source) in self.sources.iter().enumerate() {
            let (set, batch_size) = (source.validation.clone(), source.batch_size);
            let scores = try_out_task(&mut *self.learner, number, set, batch_size)?;
            tasks.push((source.name.clone(), scores));
        }
        let mut validation = Validation {
            tasks,
            is_best: false,
        };
        let score = validation.main();
        let step = self.counters.step;
        recorder.record(&Event::Evaluated {
            step,
            returns: vec![score].into(),
            lengths: vec![u32::try_from(validation.samples()).unwrap_or(u32::MAX)].into(),
            only_action: None,
        })?;
        for (task, scores) in &validation.tasks {
            let mut scalar = |name: String, value| {
                let name = name.into();
                recorder.record(&Event::Scalar { step, name, value })
            };
            if !task.is_empty() {
                scalar(format!("task/{task}/{}", scores.name), scores.main())?;
            }
            let below = if task.is_empty() {
                String::new()
            } else {
                format!("{task}/")
            };
            for (name, value) in scores.named() {
                scalar(format!("validation/{below}{name}"), value)?;
            }
        }
        let counters = &mut self.counters;
        // Of equal ones the later: it has learned from more. A score that is no number is never the best.
        let is_best = !score.is_nan() && counters.best.is_none_or(|best| score >= best);
        if is_best {
            counters.best = Some(score);
        }
        if let Some(EarlyStopping { patience, min_gain }) = self.early_stopping {
            if !score.is_nan() && counters.mark.is_none_or(|mark| score > mark + min_gain) {
                counters.mark = Some(score);
                counters.since_mark = 0;
            } else {
                counters.since_mark += 1;
            }
            counters.stopped |= counters.since_mark >= patience;
        }
        validation.is_best = is_best;
        Ok(validation)
    }

    /// As [`validate`](Self::validate), at the end of a run: a longer run, which does not end here, is not to know of it.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn validate_last(&mut self, recorder: &mut dyn Recorder) -> Result<Validation> {
        let before = self.counters.clone();
        let validation = self.validate(recorder);
        self.counters = before;
        validation
    }

    /// Writes all that changes into the folder `dir`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join("fitter.json");
        let text = serde_json::to_vec(&self.counters).map_err(|e| Error::Backend(Box::new(e)))?;
        fs::write(&path, text).map_err(Error::io(path))?;
        self.learner.save(dir)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If a file cannot be read, or is of another model.
    pub fn load(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("fitter.json");
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let counters: Counters = serde_json::from_slice(&text)
            .map_err(|e| Error::checkpoint(&path, format!("is damaged: {e}")))?;
        let sizes = |c: &Counters| (c.next_of_others.len(), c.of_tasks.len());
        if sizes(&counters) != sizes(&self.counters) {
            return Err(Error::checkpoint(&path, "is of a run of other tasks"));
        }
        self.learner.load(dir)?;
        self.counters = counters;
        Ok(())
    }
}

/// What the samples of `source` are scored by.
fn measure_of(source: &Source) -> &'static str {
    Scorer::new(source.validation.clone()).name()
}

/// What `learner` says of all samples of `set`, scored.
///
/// # Errors
/// If a sample cannot be read.
pub fn try_out(
    learner: &mut dyn Learner,
    set: Arc<dyn DataSet>,
    batch_size: usize,
) -> Result<Scores> {
    try_out_task(learner, 0, set, batch_size)
}

/// As [`try_out`], of the task with that number.
///
/// # Errors
/// As [`try_out`].
pub fn try_out_task(
    learner: &mut dyn Learner,
    task: usize,
    set: Arc<dyn DataSet>,
    batch_size: usize,
) -> Result<Scores> {
    let consecutive = set.is_consecutive();
    let mut scorer = Scorer::new(set.clone());
    let config = LoaderConfig {
        batch_size: match &set.info().task {
            // Few lanes of consecutive samples: what is left over is less than a lane is long.
            _ if set.is_consecutive() => (set.len() / 64).clamp(1, 16),
            // Pictures whose pixels are classified may differ in size.
            Task::Positions { .. } if set.info().scalar == Kind::U8 => 1,
            _ => batch_size.max(16).min(set.len()),
        },
        shuffle: false,
        draw: false,
        ..LoaderConfig::default()
    };
    // Nothing is drawn: the order is that of the set.
    let mut loader = Loader::new(set, &config, Seeds::new(0))?;
    for _ in 0..loader.batches_per_epoch() {
        let loaded = loader.next()?;
        let starts = loaded.is_first() || !consecutive;
        let prediction = learner.predict_task(task, &loaded.batch, starts)?;
        scorer.add(&loaded.batch, &prediction);
    }
    Ok(scorer.finish())
}
