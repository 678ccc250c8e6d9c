//! Speed of acting and learning: `cargo bench -p thorndike-dqn --bench update [-- PART ..]`, where parts of names choose
//! lines. One thread.
//!
//! An update is everything: storing a step, sampling, both networks, loss, backward pass, optimiser, target.
//! The floor is the arithmetic of its matrix products over the peak of the core, which is measured here and
//! now with the widest instructions that the network's own loops use.

#![expect(
    unsafe_code,
    reason = "the peak is measured with instructions that not every processor has"
)]

use std::hint::black_box;
use std::time::Instant;

use thorndike_core::prelude::*;
use thorndike_core::{Device, Kind};
use thorndike_dqn::{Dqn, DqnConfig};

fn main() {
    thorndike_nets::keep_freed_memory();
    thorndike_nets::use_threads(1);
    let peak = peak_gflops();
    let soft = r#""target": {"kind": "soft", "tau": 0.005}, "replay": {"capacity": 50000}"#;
    let layers = |hidden: &str| format!(r#""extractor": {{"kind": "mlp", "hidden": {hidden}}}"#);
    let tanh = r#""extractor": {"kind": "mlp", "hidden": [64, 64], "activation": "tanh"}"#;
    let all = r#""target": {"kind": "soft", "tau": 0.005}, "double": true, "dueling": true, "max_grad_norm": 10,
        "replay": {"capacity": 50000, "sampler": {"kind": "prioritized"}}"#;
    let dense = |hidden: usize| [4 * hidden, hidden * hidden, hidden * 2];
    // Pixels times weights of each convolution, and the fully connected layers.
    let minatar = [64 * 36 * 16, 1024 * 128, 128 * 6];
    let nature = [
        400 * 256 * 32,
        81 * 512 * 64,
        49 * 576 * 64,
        3136 * 512,
        512 * 6,
    ];
    let minatar_net = r#""extractor": {"kind": "cnn", "layers": [{"filters": 16, "size": 3, "stride": 1}], "hidden": [128]}"#;
    let numbers = (vec![4], Kind::F32, 2);
    for (name, json, (shape, kind, actions), products, batch, passes) in [
        (
            "64-64-b32",
            format!("{soft}, {}", layers("[64, 64]")),
            numbers.clone(),
            dense(64).to_vec(),
            32,
            2,
        ),
        (
            "64-64-b32-double-dueling-prioritized",
            format!("{all}, {}", layers("[64, 64]")),
            numbers.clone(),
            dense(64).to_vec(),
            32,
            3,
        ),
        (
            "128-128-b128",
            format!("{soft}, {}", layers("[128, 128]")),
            numbers.clone(),
            dense(128).to_vec(),
            128,
            2,
        ),
        (
            "256-256-b64",
            format!("{soft}, {}", layers("[256, 256]")),
            numbers.clone(),
            dense(256).to_vec(),
            64,
            2,
        ),
        (
            "64-64-b32-by-libtorch",
            format!("{soft}, {tanh}"),
            numbers,
            dense(64).to_vec(),
            32,
            2,
        ),
        (
            "minatar-b32",
            format!("{soft}, {minatar_net}"),
            (vec![4, 10, 10], Kind::U8, 6),
            minatar.to_vec(),
            32,
            2,
        ),
        (
            "nature-b32-by-libtorch",
            format!(r#"{soft}, "noisy_sigma": 0.5, "extractor": {{"kind": "cnn"}}"#),
            (vec![4, 84, 84], Kind::U8, 6),
            nature.to_vec(),
            32,
            2,
        ),
        (
            "minatar-b32-by-libtorch",
            format!(r#"{soft}, "noisy_sigma": 0.5, {minatar_net}"#),
            (vec![4, 10, 10], Kind::U8, 6),
            minatar.to_vec(),
            32,
            2,
        ),
        (
            "nature-b32",
            // The target network is copied every 10,000 updates, as published, and so not here.
            r#""target": {"kind": "every-updates", "updates": 10000}, "replay": {"capacity": 50000}, "extractor": {"kind": "cnn"}"#.to_owned(),
            (vec![4, 84, 84], Kind::U8, 6),
            nature.to_vec(),
            32,
            2,
        ),
    ] {
        if !is_wanted(name) {
            continue;
        }
        let forward: usize = products.iter().sum();
        // The gradients of all weights, and those of the values of all layers but the inputs.
        let update = 2 * batch * ((passes + 2) * forward - products[0]);
        let spec = EnvSpec::new(
            Space::Box {
                shape,
                low: 0.0,
                high: if kind == Kind::U8 {
                    255.0
                } else {
                    f32::INFINITY
                },
            },
            kind,
            Space::Discrete(actions),
        );
        bench(
            name,
            &json,
            &spec,
            batch,
            update as f64,
            2.0 * forward as f64,
            peak,
        );
    }
}

/// Whether the arguments ask for `name`: one of them is a part of it, or there are none.
fn is_wanted(name: &str) -> bool {
    let mut parts = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .peekable();
    parts.peek().is_none() || parts.any(|part| name.contains(&part))
}

fn bench(name: &str, json: &str, spec: &EnvSpec, batch: usize, update: f64, row: f64, peak: f64) {
    let (warmup, rounds) = if update > 1e9 { (200, 15) } else { (5000, 150) };
    let config = format!(
        r#"{{"batch_size": {batch}, "train_every_steps": 1, "warmup_steps": {warmup}, {json}}}"#
    );
    let config: DqnConfig = serde_json::from_str(&config).expect("a config of this file");
    let ctx = BuildContext {
        spec,
        seeds: Seeds::new(1),
        device: Device::Cpu,
    };
    let mut agent = Dqn::new(&config, &ctx).expect("a config of this file");

    let mut rng = Seeds::new(1).stream("bench", 0);
    let len = spec.observation_space().len();
    let mut steps = Vec::new();
    for _ in 0..16 {
        steps.push(match spec.obs_kind {
            Kind::U8 => Array::from_vec((0..len).map(|_| rng.random::<u8>()).collect(), len),
            _ => Array::from_vec((0..len).map(|_| rng.random::<f32>() - 0.5).collect(), len),
        });
    }
    let mut actions = Array::zeros::<i32>(1, 1);
    let mut time = 0;
    let mut learn = |agent: &mut Dqn| {
        time += 1;
        agent.observe(&Transitions {
            obs: &steps[time % 16],
            actions: &actions,
            rewards: &[1.0],
            next_obs: &steps[(time + 1) % 16],
            status: &[if time % 100 == 0 {
                Status::Terminated
            } else {
                Status::Running
            }],
        });
        agent
            .update(&mut Log::new(&mut (), 0, false))
            .expect("nothing diverges");
    };
    (0..warmup + warmup / 10).for_each(|_| learn(&mut agent));
    let note = format!("{:.2} Mflop at {peak:.0} Gflop/s", update / 1e6);
    line(
        &format!("dqn-update-{name}"),
        update / peak / 1e3,
        &note,
        rounds,
        || learn(&mut agent),
    );
    let obs = &steps[0];
    line(
        &format!("dqn-act-{name}"),
        row / peak / 1e3,
        "one row",
        rounds,
        || {
            agent.act(black_box(obs), Mode::Exploit, &mut actions);
        },
    );
}

/// Times `work` and prints a line; the best of many short rounds, as other programs only ever make it slower.
fn line(name: &str, floor_us: f64, note: &str, rounds: usize, mut work: impl FnMut()) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (0..20).for_each(|_| work());
            start.elapsed().as_secs_f64() / 20.0 * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let (best, median) = (times[0], times[times.len() / 2]);
    println!(
        "bench {name} {best:.2} us floor {floor_us:.2} us {note}, best of {rounds} rounds, median {median:.2} us"
    );
}

/// Steps of a measurement of the peak.
const STEPS: usize = 20_000;

/// Billions of floating-point operations a second of one core, from chains of multiply-adds in registers.
fn peak_gflops() -> f64 {
    #[cfg(target_arch = "x86_64")]
    mod x86 {
        use super::{STEPS, black_box};
        use std::arch::x86_64::*;

        #[target_feature(enable = "avx512f")]
        pub(super) fn avx512() -> usize {
            let (factor, term) = (
                black_box(_mm512_set1_ps(0.999)),
                black_box(_mm512_set1_ps(0.001)),
            );
            let mut sums = [term; 12];
            for _ in 0..STEPS {
                sums.iter_mut()
                    .for_each(|sum| *sum = _mm512_fmadd_ps(*sum, factor, term));
            }
            black_box(sums);
            2 * 16 * 12 * STEPS
        }

        #[target_feature(enable = "avx2,fma")]
        pub(super) fn avx2() -> usize {
            let (factor, term) = (
                black_box(_mm256_set1_ps(0.999)),
                black_box(_mm256_set1_ps(0.001)),
            );
            let mut sums = [term; 12];
            for _ in 0..STEPS {
                sums.iter_mut()
                    .for_each(|sum| *sum = _mm256_fmadd_ps(*sum, factor, term));
            }
            black_box(sums);
            2 * 8 * 12 * STEPS
        }
    }
    fn plain() -> usize {
        let mut sums = [black_box(0.001_f32); 32];
        for _ in 0..STEPS {
            sums.iter_mut().for_each(|sum| *sum = *sum * 0.999 + 0.001);
        }
        black_box(sums);
        2 * 32 * STEPS
    }
    let run = || {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the feature.
            return unsafe { x86::avx512() };
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both features.
            return unsafe { x86::avx2() };
        }
        plain()
    };
    let speeds = (0..50).map(|_| {
        let start = Instant::now();
        let operations = black_box(run());
        operations as f64 / start.elapsed().as_secs_f64() / 1e9
    });
    speeds.fold(0.0, f64::max)
}
