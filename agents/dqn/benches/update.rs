//! Speed of acting and learning: `cargo bench -p thorndike-dqn --bench update`. One thread.
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
    thorndike_nets::use_threads(1);
    let peak = peak_gflops();
    let soft = r#""target": {"kind": "soft", "tau": 0.005}, "replay": {"capacity": 50000}"#;
    let layers = |hidden: &str| format!(r#""extractor": {{"kind": "mlp", "hidden": {hidden}}}"#);
    let tanh = r#""extractor": {"kind": "mlp", "hidden": [64, 64], "activation": "tanh"}"#;
    let all = r#""target": {"kind": "soft", "tau": 0.005}, "double": true, "dueling": true, "max_grad_norm": 10,
        "replay": {"capacity": 50000, "sampler": {"kind": "prioritized"}}"#;
    for (name, json, hidden, batch, passes) in [
        (
            "64-64-b32",
            format!("{soft}, {}", layers("[64, 64]")),
            64,
            32,
            2,
        ),
        (
            "64-64-b32-double-dueling-prioritized",
            format!("{all}, {}", layers("[64, 64]")),
            64,
            32,
            3,
        ),
        (
            "256-256-b64",
            format!("{soft}, {}", layers("[256, 256]")),
            256,
            64,
            2,
        ),
        (
            "64-64-b32-by-libtorch",
            format!("{soft}, {tanh}"),
            64,
            32,
            2,
        ),
    ] {
        bench(
            name,
            &json,
            batch,
            flops(hidden, batch, passes),
            2.0 * products(hidden) as f64,
            peak,
        );
    }
}

/// Floating-point operations of the products of an update of a 4-hidden-hidden-2 network: `passes` forward
/// passes, the gradients of all weights, and those of the values of both hidden layers.
fn flops(hidden: usize, batch: usize, passes: usize) -> f64 {
    (2 * batch * ((passes + 2) * products(hidden) - 4 * hidden)) as f64
}

/// Multiply-adds of a forward pass of one row.
fn products(hidden: usize) -> usize {
    4 * hidden + hidden * hidden + hidden * 2
}

fn bench(name: &str, json: &str, batch: usize, update: f64, row: f64, peak: f64) {
    let config = format!(
        r#"{{"batch_size": {batch}, "train_every_steps": 1, "warmup_steps": 5000, {json}}}"#
    );
    let config: DqnConfig = serde_json::from_str(&config).expect("a config of this file");
    let spec = EnvSpec {
        frame_space: Space::unbounded(&[4]),
        obs_kind: Kind::F32,
        action_space: Space::Discrete(2),
        num_envs: 1,
        time_limit: None,
        frame_stack: 1,
        action_repeat: 1,
        reward_threshold: None,
        reference: String::new(),
        action_names: Vec::new(),
        vocabulary: Vec::new(),
    };
    let ctx = BuildContext {
        spec: &spec,
        seeds: Seeds::new(1),
        device: Device::Cpu,
    };
    let mut agent = Dqn::new(&config, &ctx).expect("a config of this file");

    let mut rng = Seeds::new(1).stream("bench", 0);
    let mut steps = Vec::new();
    for _ in 0..16 {
        let values = (0..4).map(|_| rng.random::<f32>() - 0.5);
        steps.push(Array::from_vec(values.collect(), 4));
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
    (0..5500).for_each(|_| learn(&mut agent));
    let note = format!("{:.2} Mflop at {peak:.0} Gflop/s", update / 1e6);
    line(
        &format!("dqn-update-{name}"),
        update / peak / 1e3,
        &note,
        || learn(&mut agent),
    );
    let obs = &steps[0];
    line(
        &format!("dqn-act-{name}"),
        row / peak / 1e3,
        "one row",
        || {
            agent.act(black_box(obs), Mode::Exploit, &mut actions);
        },
    );
}

/// Times `work` and prints a line; the best of many short rounds, as other programs only ever make it slower.
fn line(name: &str, floor_us: f64, note: &str, mut work: impl FnMut()) {
    let mut rounds: Vec<f64> = (0..150)
        .map(|_| {
            let start = Instant::now();
            (0..20).for_each(|_| work());
            start.elapsed().as_secs_f64() / 20.0 * 1e6
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let (best, median) = (rounds[0], rounds[rounds.len() / 2]);
    println!(
        "bench {name} {best:.2} us floor {floor_us:.2} us {note}, best of 150 rounds, median {median:.2} us"
    );
}

/// Billions of floating-point operations a second of one core, from chains of multiply-adds in registers.
fn peak_gflops() -> f64 {
    const CHAINS: usize = 6;
    const LANES: usize = 16;
    const STEPS: usize = 20_000;
    #[inline(always)]
    fn chains<const FUSED: bool>(factor: f32, term: f32) -> [[f32; LANES]; CHAINS] {
        let mut sums = [[1.0_f32; LANES]; CHAINS];
        for _ in 0..STEPS {
            for chain in &mut sums {
                for sum in chain {
                    *sum = if FUSED {
                        sum.mul_add(factor, term)
                    } else {
                        *sum * factor + term
                    };
                }
            }
        }
        sums
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn wide(factor: f32, term: f32) -> [[f32; LANES]; CHAINS] {
        chains::<true>(factor, term)
    }
    let run = || {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both features.
            return unsafe { wide(black_box(0.999), black_box(0.001)) };
        }
        chains::<false>(black_box(0.999), black_box(0.001))
    };
    let seconds = (0..50).map(|_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    });
    let best = seconds.fold(f64::INFINITY, f64::min);
    (2 * CHAINS * LANES * STEPS) as f64 / best / 1e9
}
