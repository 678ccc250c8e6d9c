//! Speed of the loader: `cargo bench -p thorndike-data --bench loader`.
//!
//! Images of 3 x 32 x 32 in memory, read as fast as they come, in batches of 128; a line for each way to change them.
//! What a model takes between two batches hides this on another thread.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use thorndike_core::{Kind, Result, Seeds, Space};
use thorndike_data::{
    Augment, DataSet, Info, Loader, LoaderConfig, Mixup, Sample, Target, Task, Values,
};

const SIDE: usize = 32;
const BATCHES: usize = 100;

fn main() -> Result<()> {
    let jitter = Augment::ColorJitter {
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
    };
    let flip_and_shift = vec![
        Augment::Flip { probability: 0.5 },
        Augment::Shift { pixels: 4 },
    ];
    bench("plain", Vec::new(), None)?;
    bench("flip, shift", flip_and_shift, None)?;
    bench("color jitter", vec![jitter], None)?;
    bench("cutout", vec![Augment::Cutout { size: 16 }], None)?;
    bench("mixup", Vec::new(), Some(Mixup::default()))
}

/// Images of one colour each.
#[derive(Debug)]
struct Plain(Info);

impl DataSet for Plain {
    fn info(&self) -> &Info {
        &self.0
    }

    fn len(&self) -> usize {
        50_000
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        Ok(Sample {
            values: Values::U8(vec![index as u8; 3 * SIDE * SIDE]),
            shape: vec![3, SIDE, SIDE],
            target: Target::Class(index % 10),
        })
    }
}

fn bench(name: &str, augment: Vec<Augment>, mixup: Option<Mixup>) -> Result<()> {
    let info = Info {
        space: Space::Box {
            shape: vec![3, SIDE, SIDE],
            low: 0.0,
            high: 255.0,
        },
        scalar: Kind::U8,
        task: Task::Classes {
            names: (0..10).map(|class| class.to_string()).collect(),
        },
        vocabulary: Vec::new(),
        encoding: serde_json::Value::Null,
    };
    let set = Arc::new(Plain(info));
    for workers in [0, 1, 2] {
        let config = LoaderConfig {
            batch_size: 128,
            augment: augment.clone(),
            mixup: mixup.clone(),
            workers,
            ..LoaderConfig::default()
        };
        let mut loader = Loader::new(set.clone(), &config, Seeds::new(1))?;
        loader.next()?;
        let start = Instant::now();
        for _ in 0..BATCHES {
            black_box(loader.next()?);
        }
        let samples = 128.0 * BATCHES as f64;
        let each = start.elapsed().as_secs_f64() / samples;
        println!("{name:14} {workers} workers {:7.2} µs a sample", each * 1e6);
    }
    Ok(())
}
