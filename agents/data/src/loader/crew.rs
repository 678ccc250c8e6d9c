//! The threads that prepare batches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use thorndike_core::{Error, Result, Seeds};

use super::plan::Job;
use super::{Loaded, LoaderConfig};
use crate::{Augment, Batch, DataSet, Mixup, Mosaic, Sample};

/// Makes batches, on any thread.
#[derive(Debug)]
pub(super) struct Maker {
    pub(super) set: Arc<dyn DataSet>,
    pub(super) seeds: Seeds,
    pub(super) mosaic: Option<Mosaic>,
    pub(super) augment: Vec<Augment>,
    pub(super) mixup: Option<Mixup>,
    pub(super) classes: usize,
    /// Whether samples are drawn as training does.
    pub(super) draw: bool,
}

impl Maker {
    /// Prepares a batch. Before each sample, `wanted` says whether to go on.
    pub(super) fn make(&self, job: &Job, wanted: impl Fn() -> bool) -> Result<Loaded> {
        let mut samples = Vec::with_capacity(job.samples.len());
        let streams = Streams {
            draw: self.draw.then(|| self.seeds.child("data/draw", job.epoch)),
            mosaic: self
                .mosaic
                .as_ref()
                .filter(|mosaic| mosaic.is_due(job.epoch))
                .map(|_| self.seeds.child("data/mosaic", job.epoch)),
            augment: self.seeds.child("data/augment", job.epoch),
        };
        for &index in &job.samples {
            if !wanted() {
                return Err(Error::Backend("nobody waits for this batch".into()));
            }
            samples.push((index, self.sample(index, &streams)?));
        }
        let batch = catch(|| {
            let mut batch = Batch::collate(samples).map_err(|what| Error::Backend(what.into()))?;
            if let Some(mixup) = &self.mixup {
                let streams = self.seeds.child("data/mixup", job.epoch);
                mixup.apply(
                    &mut batch,
                    self.classes,
                    &mut streams.stream("batch", job.index),
                );
            }
            Ok(batch)
        });
        match batch {
            Ok(batch) => Ok(Loaded {
                epoch: job.epoch,
                index: job.index,
                batch,
            }),
            Err(error) => {
                let first = self.name(job.samples[0]);
                Err(Error::Backend(
                    format!("batch that starts with {first}: {error}").into(),
                ))
            }
        }
    }

    fn sample(&self, index: usize, streams: &Streams) -> Result<Sample> {
        let sample = catch(|| {
            let mut sample = match streams.draw {
                Some(draw) => {
                    let mut rng = draw.stream("sample", index as u64);
                    self.set.draw(index, &mut rng)?
                }
                None => self.set.sample(index)?,
            };
            if let Some((mosaic, streams)) = self.mosaic.as_ref().zip(streams.mosaic) {
                let mut rng = streams.stream("sample", index as u64);
                if let Some([a, b, c]) = mosaic.partners(self.set.len(), &mut rng) {
                    let read = |index| self.set.sample(index);
                    sample = mosaic.apply([sample, read(a)?, read(b)?, read(c)?], &mut rng);
                }
            }
            if !self.augment.is_empty() {
                let mut rng = streams.augment.stream("sample", index as u64);
                for augment in &self.augment {
                    augment.apply(&mut sample, &mut rng);
                }
            }
            Ok(sample)
        });
        sample.map_err(|error| Error::Backend(format!("{}: {error}", self.name(index)).into()))
    }

    fn name(&self, index: usize) -> String {
        let number = format!("sample {index}");
        match self.set.origin(index) {
            origin if origin == number => number,
            origin => format!("{number} ({origin})"),
        }
    }
}

/// Where the samples of an epoch are drawn from, a stream a sample.
struct Streams {
    draw: Option<Seeds>,
    mosaic: Option<Seeds>,
    augment: Seeds,
}

/// Turns a panic into an error.
fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What is left half done is dropped with the batch; a data set is only read.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        let what = format!("it panicked: {}", message.replace('\n', " "));
        Err(Error::Backend(what.into()))
    })
}

/// A job, and where its batch is awaited.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) job: Job,
    pub(super) answer: Sender<Result<Loaded>>,
}

/// The threads. Orders lie in one queue; each has a channel of its own for its answer, so answers are read in the order
/// in which they were asked for, whoever is faster.
#[derive(Debug)]
pub(super) struct Crew {
    /// `None` when they are to go home.
    orders: Option<Sender<Order>>,
    /// The threads' end of the queue, to empty it.
    queue: Receiver<Order>,
    /// What was ordered in an earlier round is not wanted any more.
    round: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    pub(super) fn new(maker: &Arc<Maker>, config: &LoaderConfig) -> Result<Option<Self>> {
        if config.workers == 0 {
            return Ok(None);
        }
        // One more than is ahead: the one that the caller waits for.
        let (orders, queue) = bounded(config.ahead + 1);
        let mut crew = Self {
            orders: Some(orders),
            queue,
            round: Arc::default(),
            threads: Vec::new(),
        };
        for worker in 0..config.workers {
            let (maker, queue, round) = (maker.clone(), crew.queue.clone(), crew.round.clone());
            let thread = std::thread::Builder::new().name(format!("loader {worker}"));
            let work = move || work(&maker, &queue, &round);
            crew.threads.push(thread.spawn(work).map_err(|error| {
                let what = format!("thread {worker} could not be started: {error}");
                Error::config("workers", what)
            })?);
        }
        Ok(Some(crew))
    }

    pub(super) fn round(&self) -> u64 {
        self.round.load(Ordering::Relaxed)
    }

    pub(super) fn send(&self, order: Order) {
        let orders = self.orders.as_ref().expect("it is there until the end");
        orders.send(order).expect("this object has a receiver too");
    }

    /// Has everything dropped that was ordered so far.
    pub(super) fn cancel(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
        self.queue.try_iter().for_each(drop);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.cancel();
        self.orders = None;
        for thread in self.threads.drain(..) {
            // Its panic, if any, is reported where it happened.
            let _ = thread.join();
        }
    }
}

/// What a thread does until the queue is closed.
fn work(maker: &Maker, queue: &Receiver<Order>, round: &AtomicU64) {
    for Order { job, answer } in queue {
        let wanted = || round.load(Ordering::Relaxed) == job.round;
        if !wanted() {
            continue;
        }
        let loaded = maker.make(&job, wanted);
        // Nobody listens any more if it is not wanted.
        let _ = answer.send(loaded);
    }
}
