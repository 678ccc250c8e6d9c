//! Q-learning steps a second on slippery FrozenLake 4x4 through the whole [`Trainer`], on one thread:
//! acting, stepping, counting episodes, learning, resets.
//!
//! `cargo bench -p thorndike-tabular --bench q_learning` prints, for each number of environments, the best of
//! many short runs, the floor, and the median. The best run is the speed of a core that does nothing else;
//! the median includes whatever else the machine was doing. Numbers after `--` replace those of environments.
//!
//! The floor is the arithmetic of one step over the peak of the core: its clock, measured here, times what it
//! can do in a cycle. ChaCha8 takes 384 operations for 64 bytes; a step draws 8 bytes for the slip and 4.4
//! for the action, so 75 operations, 16 a cycle. Two maxima, a comparison of four values and the update are
//! 18 operations and the look-up of the outcome is 16, of which a core does 4 a cycle.

use std::hint::black_box;
use std::time::Instant;

use thorndike_core::{BuildContext, Device, EnvOptions, Seeds, SyncVectorEnv, Trainer, VectorEnv};
use thorndike_envs::grid::FrozenLake;
use thorndike_tabular::q_learning;

/// Steps in a run: a few milliseconds, about a time slice of the operating system.
const STEPS: u64 = 1 << 16;
const RUNS: usize = 400;
const FLOOR_CYCLES: f64 = 75.0 / 16.0 + (18.0 + 16.0) / 4.0;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let clock = clock();
    for &num_envs in if numbers.is_empty() {
        &[64, 16, 1]
    } else {
        &numbers[..]
    } {
        let speeds = measure(num_envs);
        println!(
            "bench q-learning-frozen-lake/{num_envs} {:.1} Msteps/s floor {:.0} Msteps/s median {:.1}; floor: {FLOOR_CYCLES:.1} cycles at {:.2} GHz",
            speeds[RUNS - 1] / 1e6,
            clock / FLOOR_CYCLES / 1e6,
            speeds[RUNS / 2] / 1e6,
            clock / 1e9,
        );
    }
}

/// Steps a second of each run, slowest first.
fn measure(num_envs: usize) -> Vec<f64> {
    let options = EnvOptions {
        num_envs,
        ..Default::default()
    };
    let lake = FrozenLake::new(&Default::default()).expect("defaults are sound");
    let envs = SyncVectorEnv::new(lake, &options, Seeds::new(1)).expect("options are in range");
    let context = BuildContext {
        spec: envs.spec(),
        seeds: Seeds::new(1),
        device: Device::Cpu,
    };
    let agent = q_learning(&Default::default(), &context).expect("defaults are in range");
    let mut trainer = Trainer::new(Box::new(envs), Box::new(agent), 1_000_000);
    let mut speeds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let until = trainer.step() + STEPS;
            let start = Instant::now();
            trainer
                .run_until(until, &mut ())
                .expect("rewards are finite");
            STEPS as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    speeds
}

/// Cycles a second: four for each link of a chain, a multiplication (three) and an addition.
fn clock() -> f64 {
    const LINKS: u64 = 1 << 18;
    let factor = black_box(5_u64);
    let mut best: f64 = 0.0;
    for _ in 0..100 {
        let start = Instant::now();
        let mut x = factor;
        for _ in 0..LINKS {
            x = x.wrapping_mul(factor).wrapping_add(factor);
        }
        black_box(x);
        best = best.max(4.0 * LINKS as f64 / start.elapsed().as_secs_f64());
    }
    best
}
