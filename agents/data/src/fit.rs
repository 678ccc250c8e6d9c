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
    /// Its scores.
    pub scores: Scores,
    /// Whether they are better than all before.
    pub is_best: bool,
}

/// Trains a model on one part of a data set and tries it on another.
///
/// *Design.* The counterpart of [`Trainer`](thorndike_core::Trainer), with the same four verbs; its step is a sample that
/// was learned from. Batches, their order and their random changes follow from the seeds and the place in the run, so
/// that a run goes on exactly where it was saved.
#[derive(Debug)]
pub struct Fitter {
    learner: Box<dyn Learner>,
    train: Loader,
    validation: Arc<dyn DataSet>,
    early_stopping: Option<EarlyStopping>,
    batch_size: usize,
    /// Batches go on where those before end.
    consecutive: bool,
    log_every: EnvSteps,
    counters: Counters,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counters {
    step: EnvSteps,
    update: u64,
    /// Epoch and index of the next batch.
    next_batch: (u64, u64),
    next_log: EnvSteps,
    /// Losses since the last report, and samples they are of.
    loss: f64,
    samples: u64,
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
        if let Some(early_stopping) = &config.early_stopping {
            early_stopping
                .check()
                .map_err(|e| e.under("early_stopping"))?;
        }
        Ok(Self {
            learner,
            consecutive: train.is_consecutive(),
            train: Loader::new(train, &config.batches, seeds)?,
            validation,
            early_stopping: config.early_stopping,
            batch_size: config.batches.batch_size,
            log_every: log_every.max(1),
            counters: Counters {
                step: 0,
                update: 0,
                next_batch: (0, 0),
                next_log: log_every.max(1),
                loss: 0.0,
                samples: 0,
                best: None,
                mark: None,
                since_mark: 0,
                stopped: false,
            },
        })
    }

    /// Samples learned from so far.
    pub fn step(&self) -> EnvSteps {
        self.counters.step
    }

    /// Name of the score that it is tried by.
    pub fn measure(&self) -> &'static str {
        Scorer::new(self.validation.clone()).name()
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
        self.train.waited()
    }

    /// Learns until `step` samples were seen; a batch that was begun is finished.
    ///
    /// # Errors
    /// If a sample cannot be read, or the model diverges.
    pub fn run_until(&mut self, step: EnvSteps, recorder: &mut dyn Recorder) -> Result<()> {
        let Self {
            learner,
            train,
            counters,
            log_every,
            consecutive,
            ..
        } = self;
        while counters.step < step {
            if train.position() != counters.next_batch {
                train.start(counters.next_batch.0, counters.next_batch.1);
            }
            let loaded = train.next()?;
            let at = At {
                step: counters.step,
                update: counters.update,
                starts: loaded.is_first() || !*consecutive,
            };
            let loss = learner.learn(&loaded.batch, at)?;
            let samples = loaded.batch.len() as u64;
            counters.step += samples;
            counters.update += 1;
            counters.next_batch = train.position();
            counters.loss += loss * samples as f64;
            counters.samples += samples;
            if counters.step >= counters.next_log {
                let mut log = Log::new(recorder, counters.step, true);
                log.scalar("loss/train", counters.loss / counters.samples as f64)?;
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
        let scores = try_out(&mut *self.learner, self.validation.clone(), self.batch_size)?;
        let score = scores.main();
        let step = self.counters.step;
        recorder.record(&Event::Evaluated {
            step,
            returns: vec![score].into(),
            lengths: vec![u32::try_from(scores.samples).unwrap_or(u32::MAX)].into(),
            only_action: None,
        })?;
        for (name, value) in scores.named() {
            recorder.record(&Event::Scalar {
                step,
                name: format!("validation/{name}").into(),
                value,
            })?;
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
        Ok(Validation { scores, is_best })
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
        self.learner.load(dir)?;
        self.counters = counters;
        Ok(())
    }
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
        let prediction = learner.predict(&loaded.batch, starts)?;
        scorer.add(&loaded.batch, &prediction);
    }
    Ok(scorer.finish())
}
