//! Which samples a batch holds.

use thorndike_core::rand::seq::SliceRandom;
use thorndike_core::{Error, Result, Rng, Seeds};

use super::LoaderConfig;
use crate::DataSet;

/// Which samples a batch holds.
#[derive(Debug)]
pub(super) struct Plan {
    samples: usize,
    batch_size: usize,
    /// Batches in an epoch.
    pub(super) batches: u64,
    consecutive: bool,
    /// Batches that are dealt out by length, and the length of each sample.
    buckets: Option<(usize, Vec<u32>)>,
    /// Where orders are drawn from; `None` without shuffling.
    shuffle: Option<Seeds>,
    /// The last epoch that was asked for, and its order.
    order: Option<(u64, Vec<usize>)>,
}

impl Plan {
    pub(super) fn new(set: &dyn DataSet, config: &LoaderConfig, seeds: Seeds) -> Result<Self> {
        let (samples, batch_size) = (set.len(), config.batch_size);
        let consecutive = set.is_consecutive();
        if samples == 0 {
            return Err(Error::config("", "the data set has no samples"));
        }
        if consecutive && samples < batch_size {
            let what = format!(
                "{batch_size} lanes cannot be cut from {samples} consecutive samples; give 1 to {samples}"
            );
            return Err(Error::config("batch_size", what));
        }
        let batches = match consecutive {
            true => samples / batch_size,
            false => samples.div_ceil(batch_size),
        };
        let shuffle = (config.shuffle && !consecutive).then_some(seeds);
        let mut buckets = None;
        if config.length_buckets > 0 && shuffle.is_some() {
            let lengths: Option<Vec<u32>> =
                (0..samples).map(|i| Some(set.steps(i)? as u32)).collect();
            buckets = lengths.map(|lengths| (config.length_buckets, lengths));
        }
        Ok(Self {
            samples,
            batch_size,
            batches: batches as u64,
            consecutive,
            buckets,
            shuffle,
            order: None,
        })
    }

    /// The place that follows: epoch and index.
    pub(super) fn after(&self, (epoch, index): (u64, u64)) -> (u64, u64) {
        match index + 1 == self.batches {
            true => (epoch + 1, 0),
            false => (epoch, index + 1),
        }
    }

    /// What is to be done for a batch, ordered in round `round`.
    pub(super) fn job(&mut self, (epoch, index): (u64, u64), round: u64) -> Job {
        let at = index as usize;
        let samples = if self.consecutive {
            let length = self.batches as usize;
            let lanes = 0..self.batch_size;
            lanes.map(|lane| lane * length + at).collect()
        } else {
            let start = at * self.batch_size;
            let places = start..(start + self.batch_size).min(self.samples);
            match self.shuffle {
                Some(seeds) => self.shuffled(seeds, epoch)[places].to_vec(),
                None => places.collect(),
            }
        };
        Job {
            epoch,
            index,
            round,
            samples,
        }
    }

    fn shuffled(&mut self, seeds: Seeds, epoch: u64) -> &[usize] {
        if self.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let mut order: Vec<usize> = (0..self.samples).collect();
            let rng = &mut seeds.stream("data/shuffle", epoch);
            order.shuffle(rng);
            if let Some((batches, lengths)) = &self.buckets {
                order = by_length(order, self.batch_size, *batches, lengths, rng);
            }
            self.order = Some((epoch, order));
        }
        self.order.as_ref().map_or(&[], |(_, order)| order)
    }
}

/// Sorts each stretch of `batches` batches by length, then mixes the batches. The last one, which may be smaller, stays
/// the last.
fn by_length(
    mut order: Vec<usize>,
    batch_size: usize,
    batches: usize,
    lengths: &[u32],
    rng: &mut Rng,
) -> Vec<usize> {
    for stretch in order.chunks_mut(batch_size.saturating_mul(batches)) {
        stretch.sort_by_key(|&index| lengths[index]); // stable: equal ones stay shuffled
    }
    let whole = order.chunks_exact(batch_size);
    let rest = whole.remainder();
    let mut mixed: Vec<&[usize]> = whole.collect();
    mixed.shuffle(rng);
    mixed.push(rest);
    mixed.concat()
}

/// One batch to be prepared.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) epoch: u64,
    pub(super) index: u64,
    /// In which round it was ordered; see [`Crew`](super::crew::Crew).
    pub(super) round: u64,
    pub(super) samples: Vec<usize>,
}
