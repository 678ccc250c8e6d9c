use std::sync::atomic::Ordering;

use super::*;
use crate::toy::Toy;

fn config(batch_size: usize, workers: usize) -> LoaderConfig {
    LoaderConfig {
        batch_size,
        workers,
        ahead: 3,
        augment: vec![
            Augment::Flip { probability: 0.5 },
            Augment::Shift { pixels: 1 },
        ],
        mixup: Some(Mixup::default()),
        ..LoaderConfig::default()
    }
}

fn loader(set: Toy, config: &LoaderConfig) -> Loader {
    Loader::new(Arc::new(set), config, Seeds::new(5)).unwrap()
}

fn take(loader: &mut Loader, batches: usize) -> Vec<Loaded> {
    (0..batches).map(|_| loader.next().unwrap()).collect()
}

#[test]
fn any_number_of_threads_makes_the_same_batches() {
    let alone = take(&mut loader(Toy::images(10), &config(4, 0)), 8);
    for workers in [1, 3] {
        let together = take(&mut loader(Toy::images(10), &config(4, workers)), 8);
        assert!(alone == together, "{workers} workers");
    }
}

#[test]
fn starting_in_the_middle_is_going_there() {
    for workers in [0, 2] {
        let mut loader = loader(Toy::images(10), &config(4, workers));
        let all = take(&mut loader, 9);
        assert_eq!(loader.position(), (3, 0));
        loader.start(1, 2);
        assert!(take(&mut loader, 4) == all[5..], "{workers} workers");
        loader.start(0, 4); // Three batches are an epoch: batch 1 of epoch 1.
        assert_eq!(loader.position(), (1, 1));
        assert!(take(&mut loader, 1) == all[4..5], "{workers} workers");
    }
}

#[test]
fn an_epoch_shows_each_sample_once_and_in_an_order_of_its_own() {
    let mut loader = loader(Toy::images(10), &config(4, 1));
    assert_eq!(loader.batches_per_epoch(), 3);
    let mut orders = Vec::new();
    for epoch in 0..4 {
        let batches = take(&mut loader, 3);
        assert!(batches.iter().all(|batch| batch.epoch == epoch));
        assert!(batches[0].is_first() && !batches[1].is_first());
        let samples = batches.iter().flat_map(|loaded| &loaded.batch.samples);
        let order: Vec<usize> = samples.copied().collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        assert!(!orders.contains(&order));
        orders.push(order);
    }
    // Published results depend on it.
    assert_eq!(orders[0], PINNED);
}
const PINNED: [usize; 10] = [2, 0, 4, 8, 1, 6, 5, 9, 3, 7];

#[test]
fn without_shuffling_samples_come_as_they_are() {
    let config = LoaderConfig {
        batch_size: 3,
        shuffle: false,
        ..LoaderConfig::default()
    };
    let mut loader = loader(Toy::images(5), &config);
    let samples: Vec<Vec<usize>> = take(&mut loader, 3)
        .into_iter()
        .map(|loaded| loaded.batch.samples)
        .collect();
    assert_eq!(samples, [vec![0, 1, 2], vec![3, 4], vec![0, 1, 2]]);
}

#[test]
fn consecutive_samples_run_in_lanes() {
    let config = LoaderConfig {
        batch_size: 3,
        ..LoaderConfig::default()
    };
    let set = Toy {
        consecutive: true,
        ..Toy::images(11)
    };
    let mut loader = loader(set, &config);
    assert_eq!(loader.batches_per_epoch(), 3);
    let batches = take(&mut loader, 4);
    let samples: Vec<&[usize]> = batches.iter().map(|b| &b.batch.samples[..]).collect();
    assert_eq!(samples, [[0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 3, 6]]);
    let first: Vec<bool> = batches.iter().map(Loaded::is_first).collect();
    assert_eq!(first, [true, false, false, true]);
}

#[test]
fn lanes_that_would_be_empty_are_refused() {
    let set = Toy {
        consecutive: true,
        ..Toy::images(5)
    };
    let error = Loader::new(Arc::new(set), &LoaderConfig::default(), Seeds::new(0));
    assert_eq!(
        error.unwrap_err().to_string(),
        "batch_size: 64 lanes cannot be cut from 5 consecutive samples; give 1 to 5"
    );
}

#[test]
fn an_error_names_its_sample_and_comes_again() {
    for workers in [0, 1, 3] {
        let config = LoaderConfig {
            shuffle: false,
            ..config(4, workers)
        };
        let set = Toy {
            damaged: Some(9),
            ..Toy::images(12)
        };
        let mut loader = loader(set, &config);
        let before = take(&mut loader, 2);
        for _ in 0..2 {
            let error = loader.next().unwrap_err();
            assert_eq!(error.to_string(), "sample 9 (toys, line 10): it is damaged");
        }
        assert_eq!(loader.position(), (0, 2));
        loader.start(0, 0);
        assert!(take(&mut loader, 2) == before);
    }
}

#[test]
fn a_panic_becomes_one_error() {
    for workers in [0, 2] {
        let config = config(4, workers);
        let set = Toy {
            panics: Some(3),
            ..Toy::images(4)
        };
        let error = loader(set, &config).next().unwrap_err();
        let message = "sample 3 (toys, line 4): it panicked: a bug at 3";
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn samples_that_do_not_go_together_are_an_error() {
    let config = LoaderConfig {
        batch_size: 4,
        shuffle: false,
        ..LoaderConfig::default()
    };
    let set = Toy {
        larger: Some(2),
        ..Toy::images(4)
    };
    let error = loader(set, &config).next().unwrap_err().to_string();
    let start = "batch that starts with sample 0 (toys, line 1): samples 0 and 2 have shapes ";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn dropping_a_loader_ends_its_threads_in_the_middle_of_their_work() {
    let (set, begun) = Toy::images(50_000_000).signalling();
    let set = Arc::new(set);
    let config = LoaderConfig {
        batch_size: 1_000_000,
        shuffle: false,
        workers: 3,
        ..LoaderConfig::default()
    };
    let mut loader = Loader::new(set.clone(), &config, Seeds::new(0)).unwrap();
    loader.start(0, 0);
    begun.recv().unwrap();
    drop(loader);
    assert_eq!(Arc::strong_count(&set), 1, "no thread holds the set");
}

#[test]
fn no_more_is_prepared_than_was_asked_for() {
    let set = Arc::new(Toy::images(100));
    let config = LoaderConfig {
        batch_size: 5,
        workers: 2,
        ahead: 2,
        ..LoaderConfig::default()
    };
    let mut loader = Loader::new(set.clone(), &config, Seeds::new(0)).unwrap();
    take(&mut loader, 3);
    drop(loader);
    let read = set.read.load(Ordering::Relaxed);
    assert!((15..=25).contains(&read), "{read} samples for 3 batches");
}

#[test]
fn keys_lead_to_what_is_wrong() {
    let info = Toy::images(1).info;
    let config = LoaderConfig {
        augment: vec![
            Augment::Crop { size: [3, 3] },
            Augment::Crop { size: [4, 3] },
        ],
        ..LoaderConfig::default()
    };
    let error = config.check(&info).unwrap_err().to_string();
    assert_eq!(
        error,
        "augment[1].size: [4, 3] is no window of an image of 3 x 3; give 1 to 3, 1 to 3"
    );
    let config = LoaderConfig {
        mixup: Some(Mixup { alpha: 0.0 }),
        ..LoaderConfig::default()
    };
    let error = config.check(&info).unwrap_err().to_string();
    assert_eq!(error, "mixup.alpha: 0 is out of range; give 0.001 to 1000");
}

/// Sequences whose lengths are not in order.
#[derive(Debug)]
struct Lengths(crate::Info);

impl DataSet for Lengths {
    fn info(&self) -> &crate::Info {
        &self.0
    }

    fn len(&self) -> usize {
        1000
    }

    fn sample(&self, index: usize) -> Result<crate::Sample> {
        let steps = self.steps(index).unwrap();
        Ok(crate::Sample {
            values: crate::Values::F32(vec![1.0; steps]),
            shape: vec![steps, 1],
            target: crate::Target::Class(0),
        })
    }

    fn steps(&self, index: usize) -> Option<usize> {
        Some(1 + index * 37 % 64)
    }
}

#[test]
fn length_buckets_save_padding_and_show_each_sample_once() {
    let info = crate::Info {
        space: thorndike_core::Space::unbounded(&[64, 1]),
        scalar: thorndike_core::Kind::F32,
        ..Toy::images(1).info
    };
    let set = Arc::new(Lengths(info));
    let read = |length_buckets: usize, workers: usize| {
        let config = LoaderConfig {
            batch_size: 16,
            workers,
            length_buckets,
            ..LoaderConfig::default()
        };
        let mut loader = Loader::new(set.clone(), &config, Seeds::new(5)).unwrap();
        let batches = loader.batches_per_epoch();
        (0..batches)
            .map(|_| loader.next().unwrap().batch)
            .collect::<Vec<_>>()
    };
    let padding = |batches: &[crate::Batch]| {
        let cells = |batch: &crate::Batch| batch.len() * batch.shape[0];
        let all: usize = batches.iter().map(cells).sum();
        let used = (0..1000).map(|i| set.steps(i).unwrap()).sum::<usize>();
        1.0 - used as f64 / all as f64
    };
    let [plain, sorted] = [0, 16].map(|buckets| read(buckets, 1));
    // Of 16 lengths from 1 to 64 the longest is about 60 and the mean 32; of sorted ones they differ by a few.
    let [before, after] = [padding(&plain), padding(&sorted)];
    assert!(before > 0.4 && after < 0.1, "{before} {after}");
    let mut shown: Vec<usize> = sorted
        .iter()
        .flat_map(|batch| batch.samples.clone())
        .collect();
    assert_eq!(sorted.last().unwrap().len(), 8);
    shown.sort();
    assert_eq!(shown, (0..1000).collect::<Vec<_>>());
    // Batches are mixed again, and any number of workers makes the same.
    let lengths: Vec<usize> = sorted[..16].iter().map(|batch| batch.shape[0]).collect();
    assert!(!lengths.is_sorted());
    assert_eq!(sorted, read(16, 3));
}
