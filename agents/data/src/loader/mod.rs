//! Batches, prepared on threads of their own ahead of the model.

mod crew;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};
use serde::{Deserialize, Serialize};
use thorndike_core::{Result, Seeds, check_range};

use self::crew::{Crew, Maker, Order};
use self::plan::Plan;
use crate::{Augment, Batch, DataSet, Info, Mixup, Mosaic};

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Samples in a batch. Default 64.
    pub batch_size: usize,
    /// Whether each epoch has an order of its own. Default true. Samples that go on where the one before ends are never
    /// shuffled.
    pub shuffle: bool,
    /// Four pictures with boxes in one, before other changes. Default none.
    pub mosaic: Option<Mosaic>,
    /// Whether samples are drawn as training does ([`DataSet::draw`]), anew each epoch. Default true; a model is tried on
    /// samples that are the same each time.
    pub draw: bool,
    /// Batches whose samples are dealt out by length, after shuffling: those of about one length come into one batch,
    /// so that little is padded. 0 is not at all. Default 0. Only where the lengths of all samples are known
    /// ([`DataSet::steps`]).
    pub length_buckets: usize,
    /// Random changes of each sample, in this order. Default none.
    pub augment: Vec<Augment>,
    /// Mixing of the samples of a batch. Default none.
    pub mixup: Option<Mixup>,
    /// Threads that prepare batches. 0 prepares them in the caller's own, when they are asked for. Default 1. Changes no
    /// number.
    pub workers: usize,
    /// Batches that are prepared ahead. Default 4. Changes no number.
    pub ahead: usize,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            shuffle: true,
            mosaic: None,
            draw: true,
            length_buckets: 0,
            augment: Vec::new(),
            mixup: None,
            workers: 1,
            ahead: 4,
        }
    }
}

impl LoaderConfig {
    /// Refuses values out of range and what does not fit the data. Returns what the samples of its batches are: those of
    /// the data set, but for the size of cropped images.
    ///
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) with the key.
    pub fn check(&self, info: &Info) -> Result<Info> {
        check_range("batch_size", self.batch_size, 1..=1_000_000)?;
        check_range("workers", self.workers, 0..=256)?;
        check_range("ahead", self.ahead, 1..=1024)?;
        if let Some(mosaic) = &self.mosaic {
            mosaic.check(info).map_err(|error| error.under("mosaic"))?;
        }
        check_range("length_buckets", self.length_buckets, 0..=1_000_000)?;
        let mut after = info.clone();
        for (i, augment) in self.augment.iter().enumerate() {
            let checked = augment.check(&after);
            after = checked.map_err(|error| error.under(&format!("augment[{i}]")))?;
        }
        if let Some(mixup) = &self.mixup {
            mixup.check(info).map_err(|error| error.under("mixup"))?;
        }
        Ok(after)
    }
}

/// A batch and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Which epoch, from 0.
    pub epoch: u64,
    /// Which batch of the epoch, from 0.
    pub index: u64,
    /// The samples.
    pub batch: Batch,
}

impl Loaded {
    /// Whether an epoch starts with it. Where batches go on where those before end, a model forgets its state here.
    pub fn is_first(&self) -> bool {
        self.index == 0
    }
}

/// Batches of a data set without end, epoch after epoch.
///
/// An epoch shows each sample once; its last batch may be smaller. Of a set whose samples go on where those before end
/// ([`DataSet::is_consecutive`]), the samples are cut into `batch_size` lanes of equal length, and batch `k` of an epoch
/// holds sample `k` of each lane, so that a recurrent model can carry its state; the fewer than `batch_size` samples
/// that are left over are not shown; of one lane there are none.
///
/// *Design.* What a batch holds depends on the seeds, its epoch and its place alone. So any number of threads makes
/// the same batches, and a run goes on from two numbers instead of the state of generators.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use thorndike_core::{Kind, Result, Seeds, Space};
/// use thorndike_data::{DataSet, Info, Loader, LoaderConfig, Sample, Target, Task, Values};
///
/// #[derive(Debug)]
/// struct Squares(Info);
///
/// impl DataSet for Squares {
///     fn info(&self) -> &Info {
///         &self.0
///     }
///     fn len(&self) -> usize {
///         5
///     }
///     fn sample(&self, index: usize) -> Result<Sample> {
///         let x = index as f32;
///         Ok(Sample {
///             values: Values::F32(vec![x]),
///             shape: vec![1],
///             target: Target::Numbers(vec![x * x]),
///         })
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let info = Info {
///     space: Space::unbounded(&[1]),
///     scalar: Kind::F32,
///     task: Task::Numbers { names: vec!["square".to_owned()] },
///     vocabulary: Vec::new(),
///     encoding: Default::default(),
/// };
/// let config = LoaderConfig { batch_size: 2, shuffle: false, ..LoaderConfig::default() };
/// let mut loader = Loader::new(Arc::new(Squares(info)), &config, Seeds::new(1))?;
/// assert_eq!(loader.batches_per_epoch(), 3);
/// loader.start(7, 2);
/// let last = loader.next()?;
/// assert_eq!((last.epoch, last.index, last.batch.samples), (7, 2, vec![4]));
/// assert!(loader.next()?.is_first());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Loader {
    info: Info,
    plan: Plan,
    /// The batch that is handed out next: epoch and index.
    next: (u64, u64),
    /// The batch that is ordered next.
    ordered: (u64, u64),
    /// Batches on their way, from `next` to before `ordered`.
    coming: VecDeque<Receiver<Result<Loaded>>>,
    ahead: usize,
    maker: Arc<Maker>,
    crew: Option<Crew>,
    waited: Duration,
}

impl Loader {
    /// A loader that stands before the first batch of epoch 0.
    ///
    /// # Errors
    /// As [`LoaderConfig::check`]; [`Error::Config`](thorndike_core::Error::Config) if there are no samples, or
    /// consecutive ones for less than a batch.
    pub fn new(set: Arc<dyn DataSet>, config: &LoaderConfig, seeds: Seeds) -> Result<Self> {
        let info = config.check(set.info())?;
        let plan = Plan::new(&*set, config, seeds)?;
        let maker = Arc::new(Maker {
            classes: info.task.names().len(),
            set,
            seeds,
            mosaic: config.mosaic.clone(),
            draw: config.draw,
            augment: config.augment.clone(),
            mixup: config.mixup.clone(),
        });
        Ok(Self {
            info,
            plan,
            next: (0, 0),
            ordered: (0, 0),
            coming: VecDeque::new(),
            ahead: config.ahead,
            crew: Crew::new(&maker, config)?,
            maker,
            waited: Duration::ZERO,
        })
    }

    /// What the samples of a batch are: as the data set has it, but for the size of cropped images.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Number of batches in an epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.plan.batches
    }

    /// Epoch and index of the batch that [`next`](Self::next) gives: what [`start`](Self::start) goes on from.
    pub fn position(&self) -> (u64, u64) {
        self.next
    }

    /// Goes to a batch, and begins to prepare it. A batch after the last one of its epoch is in the next epoch.
    pub fn start(&mut self, epoch: u64, batch: u64) {
        let batches = self.plan.batches;
        self.next = (epoch + batch / batches, batch % batches);
        self.forget();
        self.order();
    }

    /// The next batch.
    ///
    /// # Errors
    /// If one of its samples cannot be read, does not fit the others, or panicked; says which. Another call tries it
    /// again.
    #[expect(
        clippy::should_implement_trait,
        reason = "batches have no end, and a `for` over results hides how to go on after one"
    )]
    pub fn next(&mut self) -> Result<Loaded> {
        let start = Instant::now();
        let loaded = if self.crew.is_none() {
            let job = self.plan.job(self.next, 0);
            self.maker.make(&job, || true)
        } else {
            self.order();
            let first = self.coming.pop_front().expect("at least one is ordered");
            self.order();
            first.recv().expect("a worker answers or says why not")
        };
        self.waited += start.elapsed();
        match &loaded {
            Ok(_) => self.next = self.plan.after(self.next),
            Err(_) => self.forget(),
        }
        loaded
    }

    /// How long [`next`](Self::next) has waited for batches, all calls together.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Has as many batches prepared as may be ahead.
    fn order(&mut self) {
        let Some(crew) = &self.crew else {
            return;
        };
        while self.coming.len() < self.ahead {
            let (answer, receiver) = bounded(1);
            let job = self.plan.job(self.ordered, crew.round());
            crew.send(Order { job, answer });
            self.coming.push_back(receiver);
            self.ordered = self.plan.after(self.ordered);
        }
    }

    /// Drops all that is on its way, and starts over from `next`.
    fn forget(&mut self) {
        self.coming.clear();
        self.ordered = self.next;
        if let Some(crew) = &self.crew {
            crew.cancel();
        }
    }
}
