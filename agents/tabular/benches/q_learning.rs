//! Q-learning steps a second on FrozenLake 4x4 (slippery) through the whole [`Trainer`].

use std::time::Instant;

use thorndike_core::{BuildContext, Device, EnvOptions, Seeds, SyncVectorEnv, Trainer, VectorEnv};
use thorndike_envs::grid::{FrozenLake, FrozenLakeConfig};
use thorndike_tabular::{QLearningConfig, q_learning};

fn trainer(num_envs: usize) -> Trainer {
    let options = EnvOptions {
        num_envs,
        ..Default::default()
    };
    let lake = FrozenLake::new(&FrozenLakeConfig::default()).expect("defaults are sound");
    let envs = SyncVectorEnv::new(lake, &options, Seeds::new(1)).expect("options are in range");
    let context = BuildContext {
        spec: envs.spec(),
        seeds: Seeds::new(1),
        device: Device::Cpu,
    };
    let agent = q_learning(&QLearningConfig::default(), &context).expect("defaults are in range");
    Trainer::new(Box::new(envs), Box::new(agent), 1_000_000)
}

/// Seconds this thread has had a processor; wall-clock time where the kernel does not say.
fn seconds(start: Instant) -> f64 {
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = on_cpu.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanos.map_or_else(|| start.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

/// Steps a second: the best and the middle of 50 stretches.
fn rate(num_envs: usize) -> (f64, f64) {
    const STEPS: u64 = 500_000;
    let mut trainer = trainer(num_envs);
    trainer
        .run_until(STEPS, &mut ())
        .expect("rewards are finite");
    let origin = Instant::now();
    let mut rates: Vec<f64> = (0..50)
        .map(|_| {
            let start = seconds(origin);
            let until = trainer.step() + STEPS;
            trainer
                .run_until(until, &mut ())
                .expect("rewards are finite");
            STEPS as f64 / (seconds(origin) - start)
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    (rates[49], rates[25])
}

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    for num_envs in if asked.is_empty() {
        vec![1, 16, 64]
    } else {
        asked
    } {
        let (best, median) = rate(num_envs);
        println!(
            "bench q-learning-frozen-lake-{num_envs} {:.1} Msteps/s median {:.1}",
            best / 1e6,
            median / 1e6
        );
    }
}
