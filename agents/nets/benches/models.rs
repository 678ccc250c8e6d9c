//! Speed of models of images: `cargo bench -p thorndike-nets --bench models [-- PART ..]`, where parts of names choose
//! lines. One thread, whose processor time is taken where the system tells it; `scripts/peers_nets.py` measures the same
//! models in PyTorch.
//!
//! A training step is forward pass, cross-entropy, backward pass and Adam. The floor is the arithmetic of the
//! convolutions and fully connected layers over the speed of a large matrix product, measured here and now.

use std::hint::black_box;
use std::time::Instant;

use tch::{Device, Kind, Tensor};
use thorndike_core::rand::RngExt;
use thorndike_core::{Result, Seeds, Space};
use thorndike_nets::{
    ExtractorConfig, FeatureExtractor, Linear, OptimConfig, Optimizer, ParamStore,
    keep_freed_memory, use_threads,
};

const LENET: &str = r#"{"kind": "cnn", "layers": [
    {"filters": 6, "size": 5, "stride": 1, "padding": 2}, {"pool": "max", "size": 2},
    {"filters": 16, "size": 5, "stride": 1}, {"pool": "max", "size": 2}], "hidden": [120, 84]}"#;
const VGG11: &str =
    r#"{"kind": "vgg", "depth": 11, "batch_norm": true, "width": 0.25, "pool": 1, "hidden": []}"#;
const VGG16: &str = r#"{"kind": "vgg"}"#;
const U_NET: &str = r#"{"kind": "u-net"}"#;
const YOLO: &str = r#"{"kind": "yolo", "classes": 3}"#;

fn main() {
    keep_freed_memory();
    use_threads(1);
    let peak = peak_gflops();
    let lenet = [784 * 25 * 6, 100 * 150 * 16, 400 * 120, 120 * 84, 840];
    train("lenet-b64", LENET, [1, 28, 28], 64, &lenet, peak);
    train(
        "vgg11-quarter-b64",
        VGG11,
        [3, 32, 32],
        64,
        &vgg(&[1, 1, 2, 2, 2], 32, 16),
        peak,
    );
    for batch in [1, 4] {
        let mut products = vgg(&[2, 2, 3, 3, 3], 224, 64);
        products.extend([25_088 * 4096, 4096 * 4096, 4096 * 1000]);
        forward(&format!("vgg16-b{batch}"), batch, &products, peak);
    }
    pixels("u-net-b16", peak);
    for batch in [1, 8] {
        detect(&format!("yolo-nano-b{batch}"), batch, peak);
    }
    build();
}

/// Multiply-adds of the convolutions on images of `side` pixels, with `channels` in the first stage.
fn vgg(stages: &[usize], mut side: usize, channels: usize) -> Vec<usize> {
    let (mut products, mut inputs) = (Vec::new(), 3);
    for (i, &convolutions) in stages.iter().enumerate() {
        let filters = channels << i.min(3);
        for _ in 0..convolutions {
            products.push(side * side * 9 * inputs * filters);
            inputs = filters;
        }
        side /= 2;
    }
    products
}

type Model = (ParamStore, (Box<dyn FeatureExtractor>, Linear));

/// A model of images of `shape` with so many outputs.
fn model(json: &str, shape: [usize; 3], outputs: i64) -> Model {
    let config: ExtractorConfig = serde_json::from_str(json).expect("a config of this file");
    let space = Space::unbounded(&shape);
    let declare = |scope: &mut thorndike_nets::Scope<'_>| -> Result<_> {
        let extractor = config.build(
            &mut scope.sub("extractor"),
            &thorndike_nets::Inputs::of(&space),
        )?;
        let width = match json {
            U_NET => extractor.position_width(),
            _ => extractor.width(),
        };
        let head = Linear::new(&mut scope.sub("head"), width, outputs);
        Ok((extractor, head))
    };
    let rng = Seeds::new(1).stream("agent/init", 0);
    ParamStore::build(Device::Cpu, rng, declare).expect("a config of this file")
}

/// Numbers between 0 and 1.
fn images(batch: usize, [channels, height, width]: [usize; 3]) -> Tensor {
    let mut rng = Seeds::new(1).stream("bench", 0);
    let values: Vec<f32> = (0..batch * channels * height * width)
        .map(|_| rng.random())
        .collect();
    Tensor::from_slice(&values).view([batch, channels, height, width].map(|n| n as i64))
}

fn train(name: &str, json: &str, shape: [usize; 3], batch: usize, products: &[usize], peak: f64) {
    let name = format!("nets-train-{name}");
    if !is_wanted(&name) {
        return;
    }
    let (mut params, (extractor, head)) = model(json, shape, 10);
    params.enable_gradients();
    let mut optimizer =
        Optimizer::new(&OptimConfig::default(), &params).expect("published settings");
    let x = images(batch, shape);
    let labels = Tensor::arange(batch as i64, (Kind::Int64, Device::Cpu)).remainder(10);
    // Gradients of all weights, and of what all layers but the first read.
    let flop = 2 * batch * (3 * products.iter().sum::<usize>() - products[0]);
    line(&name, batch, flop as f64, peak, || {
        params.zero_gradient();
        let outputs = head.forward(&extractor.features(&x, true));
        outputs.cross_entropy_for_logits(&labels).backward();
        optimizer.step(&mut params, 0);
    });
}

fn forward(name: &str, batch: usize, products: &[usize], peak: f64) {
    let name = format!("nets-forward-{name}");
    if !is_wanted(&name) {
        return;
    }
    let shape = [3, 224, 224];
    let (_params, (extractor, head)) = model(VGG16, shape, 1000);
    let x = images(batch, shape);
    let flop = 2 * batch * products.iter().sum::<usize>();
    line(&name, batch, flop as f64, peak, || {
        let _ = black_box(tch::no_grad(|| {
            head.forward(&extractor.features(&x, false))
        }));
    });
}

/// Training on every pixel of 64x64: yes or no.
fn pixels(name: &str, peak: f64) {
    let name = format!("nets-train-{name}");
    if !is_wanted(&name) {
        return;
    }
    let (shape, batch) = ([1, 64, 64], 16);
    let (mut params, (extractor, head)) = model(U_NET, shape, 1);
    params.enable_gradients();
    let mut optimizer =
        Optimizer::new(&OptimConfig::default(), &params).expect("published settings");
    let x = images(batch, shape);
    let wanted = x.gt(0.5).to_kind(Kind::Float);
    // Two convolutions of each level on the way down and up, and a transposed one.
    let level = |i: usize| (4096 >> (2 * i), 8 << i);
    let down = (0..=4).map(|i| {
        let (area, channels) = level(i);
        area * 9 * channels * (channels + if i == 0 { 1 } else { channels / 2 })
    });
    let up = (0..4).map(|i| {
        let (area, channels) = level(i);
        area * channels * (9 * 3 * channels + 2 * channels)
    });
    let flop = 2 * batch * 3 * down.chain(up).sum::<usize>();
    line(&name, batch, flop as f64, peak, || {
        params.zero_gradient();
        let pixels = extractor.pixels(&x, true).expect("it reads images");
        // [batch, base, height, width] -> [batch, 1, height, width]
        let weight = head.weight.view([1, -1, 1, 1]);
        let logits = pixels.conv2d(&weight, Some(&head.bias), [1; 2], [0; 2], [1; 2], 1);
        let mean = tch::Reduction::Mean;
        logits
            .binary_cross_entropy_with_logits(&wanted, None::<&Tensor>, None::<&Tensor>, mean)
            .backward();
        optimizer.step(&mut params, 0);
    });
}

/// The anchor-free detector with three classes on 320x320, its boxes decoded and suppressed. Untrained, it holds every
/// place for an object of every class, so that there is more to suppress than a trained one leaves.
fn detect(name: &str, batch: usize, peak: f64) {
    let name = format!("nets-detect-{name}");
    if !is_wanted(&name) {
        return;
    }
    let shape = [3, 320, 320];
    let (_params, (extractor, _)) = model(YOLO, shape, 1);
    let x = images(batch, shape);
    let flop = 2 * batch * nano(320);
    line(&name, batch, flop as f64, peak, || {
        let looked = tch::no_grad(|| extractor.look(&x, false)).expect("a detector looks");
        let detector = extractor.detector().expect("it is one");
        black_box(detector.detections(&looked));
    });
}

/// Multiply-adds of the detector's convolutions on a picture of `side` pixels, with three classes.
fn nano(side: usize) -> usize {
    let channels = [16, 32, 48, 64, 96];
    let area = |stage: usize| (side >> (stage + 1)).pow(2);
    let block = |inputs: usize, outputs: usize| {
        let half = outputs / 2;
        inputs * outputs + 2 * 9 * half * half + (outputs + half) * outputs
    };
    let mut products = area(0) * 9 * 3 * channels[0];
    for i in 1..5 {
        products += area(i) * (9 * channels[i - 1] * channels[i] + block(channels[i], channels[i]));
    }
    let (pyramid, width, outputs) = (48, 32, 4 * 16 + 3);
    products += area(4) * channels[4] * pyramid;
    for i in [2, 3] {
        products += area(i) * block(channels[i] + pyramid, pyramid);
    }
    let heads = 2 * 9 * pyramid * width + width * outputs;
    products + (2..5).map(|i| area(i) * heads).sum::<usize>()
}

/// Declaring VGG-16: 138 million weights are drawn.
fn build() {
    let name = "nets-build-vgg16";
    if !is_wanted(name) {
        return;
    }
    let clock = Clock(Instant::now());
    let times = (0..3).map(|_| {
        let start = clock.seconds();
        black_box(model(VGG16, [3, 224, 224], 1000));
        clock.seconds() - start
    });
    let best = times.fold(f64::INFINITY, f64::min);
    // Each weight is written once and copied once, at 10 GB/s.
    println!("bench {name} {best:.3} s floor 0.17 s 138 M weights, best of 3 rounds");
}

/// Whether the arguments ask for `name`: one of them is a part of it, or there are none.
fn is_wanted(name: &str) -> bool {
    let mut parts = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .peekable();
    parts.peek().is_none() || parts.any(|part| name.contains(&part))
}

/// Times `work` on `batch` images and prints a line; the best of some rounds, as other programs only ever make it
/// slower.
fn line(name: &str, batch: usize, flop: f64, peak: f64, mut work: impl FnMut()) {
    const ROUNDS: usize = 10;
    let clock = Clock(Instant::now());
    work();
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (start, mut calls) = (clock.seconds(), 0);
            while clock.seconds() - start < 0.5 {
                work();
                calls += 1;
            }
            (batch * calls) as f64 / (clock.seconds() - start)
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (best, median) = (rates[ROUNDS - 1], rates[ROUNDS / 2]);
    let floor = batch as f64 * peak * 1e9 / flop;
    println!(
        "bench {name} {best:.1} images/s floor {floor:.1} images/s {:.2} Gflop a step at {peak:.0} Gflop/s, best of {ROUNDS} rounds, median {median:.1}",
        flop / 1e9
    );
}

/// Time of this thread on a processor, on Linux; elsewhere that of the wall.
struct Clock(Instant);

impl Clock {
    fn seconds(&self) -> f64 {
        let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanoseconds = schedule
            .as_deref()
            .and_then(|text| text.split(' ').next()?.parse().ok());
        nanoseconds.map_or_else(|| self.0.elapsed().as_secs_f64(), |ns: f64| ns / 1e9)
    }
}

/// Billions of floating-point operations a second in a matrix product that fits the cache.
fn peak_gflops() -> f64 {
    const N: i64 = 768;
    let a = Tensor::ones([N, N], (Kind::Float, Device::Cpu));
    let clock = Clock(Instant::now());
    let speeds = (0..30).map(|_| {
        let start = clock.seconds();
        let _ = black_box(a.mm(&a));
        2.0 * (N * N * N) as f64 / (clock.seconds() - start) / 1e9
    });
    speeds.fold(0.0, f64::max)
}
