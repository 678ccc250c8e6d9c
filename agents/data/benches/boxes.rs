//! Speed of what a detector needs beside its network: `cargo bench -p thorndike-data --bench boxes`.
//!
//! Suppression of 8,400 candidates (those of a net with strides 8, 16 and 32 at 640 x 640), scores of 90 pictures, and
//! pictures of 480 x 640 fitted into 320 x 320: read from JPEG files, from memory, and four of them in one. The median of
//! 21 tries, with the least and the greatest.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;
use thorndike_core::rand::RngExt;
use thorndike_core::{Result, Rng, Seeds};
use thorndike_data::boxes::nms;
use thorndike_data::score::{Coco, Found, Truth};
use thorndike_data::{
    Augment, BoxesConfig, DataSet, Detection, Loader, LoaderConfig, Mosaic, Part, SourceConfig,
};

const TRIES: usize = 21;
const PICTURES: usize = 32;

fn main() -> Result<()> {
    let mut rng = Seeds::new(1).stream("bench", 0);
    // A trained detector says the same of neighbours; one at its start says anything.
    for (name, objects, jitter) in [("of 20 objects", 20, 6.0), ("all over", 8400, 0.0)] {
        let candidates = candidates(&mut rng, objects, jitter);
        let mut kept = 0;
        let mut milliseconds = measure(|| {
            let mut found = candidates.clone();
            nms(&mut found, 0.65, true, 300);
            kept = black_box(found).len();
        });
        report(
            &format!("nms, 8,400 {name}, {kept} left"),
            &mut milliseconds,
        );
    }
    let mut milliseconds = measure(|| {
        let mut rng = Seeds::new(2).stream("bench", 0);
        let mut coco = Coco::new(3);
        for _ in 0..90 {
            let (truth, found) = scene(&mut rng);
            coco.add(&truth, &found);
        }
        black_box(coco.summary());
    });
    report("coco, 90 pictures, 9,000 detections", &mut milliseconds);

    let folder = std::env::temp_dir().join(format!("thorndike-boxes-{}", std::process::id()));
    let pictures = folder_of_pictures(&folder, &mut rng);
    let result = loaders(&folder);
    std::fs::remove_dir_all(&folder).expect("it was made above");
    pictures.and(result)
}

fn loaders(folder: &std::path::Path) -> Result<()> {
    let set = |cache_bytes| -> Result<Arc<dyn DataSet>> {
        let config = BoxesConfig {
            path: folder.to_owned(),
            size: Some([320, 320]),
            cache_bytes,
            ..BoxesConfig::default()
        };
        let set = SourceConfig::Yolo(config).open(Part::Train)?;
        Ok(set.expect("there is a training part"))
    };
    let jitter = Augment::ColorJitter {
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
    };
    let affine = Augment::Affine {
        scale: [0.5, 1.5],
        translate: 0.1,
    };
    let flip = Augment::Flip { probability: 0.5 };
    for (name, cache_bytes, mosaic, augment) in [
        ("from files", 0, false, vec![]),
        ("from memory", 1 << 30, false, vec![]),
        ("from memory, flip", 1 << 30, false, vec![flip]),
        ("from memory, affine", 1 << 30, false, vec![affine]),
        ("from memory, jitter", 1 << 30, false, vec![jitter]),
        ("from memory, mosaic", 1 << 30, true, vec![]),
        ("from files, mosaic", 0, true, vec![]),
    ] {
        let config = LoaderConfig {
            batch_size: PICTURES,
            mosaic: mosaic.then(Mosaic::default),
            augment,
            workers: 0,
            ..LoaderConfig::default()
        };
        let mut loader = Loader::new(set(cache_bytes)?, &config, Seeds::new(1))?;
        loader.next()?;
        let mut all = measure(|| {
            black_box(loader.next().expect("the first was read"));
        });
        all.iter_mut().for_each(|time| *time /= PICTURES as f64);
        report(&format!("a picture {name}"), &mut all);
    }
    Ok(())
}

fn measure(mut work: impl FnMut()) -> Vec<f64> {
    work();
    let tries = (0..TRIES).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    });
    tries.collect()
}

fn report(name: &str, milliseconds: &mut [f64]) {
    milliseconds.sort_by(f64::total_cmp);
    let [least, median, most] = [0, TRIES / 2, TRIES - 1].map(|i| milliseconds[i]);
    println!("{name:45} {median:8.3} ms ({least:.3} to {most:.3})");
}

fn candidates(rng: &mut Rng, objects: usize, jitter: f32) -> Vec<Detection> {
    let places: Vec<[f32; 4]> = (0..objects)
        .map(|_| {
            let [x, y] = [0, 0].map(|_| rng.random_range(0.0..560.0_f32));
            let [w, h] = [0, 0].map(|_| rng.random_range(10.0..80.0_f32));
            [x, y, x + w, y + h]
        })
        .collect();
    (0..8400)
        .map(|i| Detection {
            class: i % objects % 3,
            score: rng.random_range(0.0..1.0),
            bounds: places[i % objects].map(|edge| edge + rng.random_range(-jitter..=jitter)),
        })
        .collect()
}

fn scene(rng: &mut Rng) -> (Vec<Truth>, Vec<Found>) {
    let mut bounds = || {
        let [x, y] = [0, 0].map(|_| rng.random_range(0.0..500.0));
        let [w, h] = [0, 0].map(|_| rng.random_range(10.0..120.0));
        [x, y, w, h]
    };
    let truth: Vec<Truth> = (0..13)
        .map(|i| {
            let bounds = bounds();
            Truth {
                class: i % 3,
                bounds,
                area: bounds[2] * bounds[3],
                crowd: false,
            }
        })
        .collect();
    let found = (0..100).map(|i| {
        let Truth { class, bounds, .. } = truth[i % truth.len()];
        Found {
            class,
            score: rng.random_range(0.0..1.0),
            bounds: bounds.map(|edge| edge + rng.random_range(-8.0..8.0)),
        }
    });
    let found = found.collect();
    (truth, found)
}

/// JPEG pictures of 480 x 640 with a box each.
fn folder_of_pictures(folder: &std::path::Path, rng: &mut Rng) -> Result<()> {
    let io = thorndike_core::Error::io;
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    std::fs::write(folder.join("classes.txt"), "thing\n").map_err(io(folder))?;
    for i in 0..PICTURES {
        let (a, b) = (
            rng.random_range(1.0..9.0_f32),
            rng.random_range(1.0..9.0_f32),
        );
        let picture = RgbImage::from_fn(640, 480, |x, y| {
            let wave = (x as f32 / 9.0 * a).sin() + (y as f32 / 9.0 * b).cos();
            let noise = rng.random_range(0.0..12.0_f32);
            image::Rgb([0.0, 30.0, 60.0].map(|c| (90.0 + 30.0 * wave + noise + c) as u8))
        });
        let path = folder.join(format!("{i:02}.jpg"));
        picture.save(&path).expect("a picture can be written");
        std::fs::write(path.with_extension("txt"), "0 0.5 0.5 0.2 0.2\n").map_err(io(folder))?;
    }
    Ok(())
}
