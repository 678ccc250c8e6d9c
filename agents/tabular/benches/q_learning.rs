//! Q-learning steps a second on FrozenLake 4x4 (slippery) through the whole [`Trainer`].

use std::time::Instant;

use thorndike_core::rand::Rng as _;
use thorndike_core::{
    BuildContext, Device, Env, EnvOptions, Rng, Seeds, Space, Step, SyncVectorEnv, Trainer, VectorEnv,
};
use thorndike_tabular::{QLearningConfig, q_learning};

struct FrozenLake;
const MAP: &[u8; 16] = b"SFFFFHFHFFFHHFFG";

impl Env for FrozenLake {
    type State = usize;
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Discrete(16)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(4)
    }
    fn reset(&self, _: &mut Rng) -> usize {
        0
    }
    fn step(&self, at: &mut usize, action: usize, rng: &mut Rng) -> Step {
        let slip = ((u64::from(rng.next_u32()) * 3) >> 32) as usize;
        let (row, col) = (*at / 4, *at % 4);
        let (row, col) = match (action + slip + 3) % 4 {
            0 => (row, col.saturating_sub(1)),
            1 => ((row + 1).min(3), col),
            2 => (row, (col + 1).min(3)),
            _ => (row.saturating_sub(1), col),
        };
        *at = row * 4 + col;
        match MAP[*at] {
            b'H' => Step::terminal(0.0),
            b'G' => Step::terminal(1.0),
            _ => Step::running(0.0),
        }
    }
    fn observe(&self, at: &usize, obs: &mut [i32]) {
        obs[0] = *at as i32;
    }
    fn time_limit(&self) -> Option<u32> {
        Some(100)
    }
}

fn trainer(num_envs: usize) -> Trainer {
    let options = EnvOptions { num_envs, ..Default::default() };
    let envs = SyncVectorEnv::new(FrozenLake, &options, Seeds::new(1)).expect("options are in range");
    let context = BuildContext { spec: envs.spec(), seeds: Seeds::new(1), device: Device::Cpu };
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
    trainer.run_until(STEPS, &mut ()).expect("rewards are finite");
    let origin = Instant::now();
    let mut rates: Vec<f64> = (0..50)
        .map(|_| {
            let start = seconds(origin);
            let until = trainer.step() + STEPS;
            trainer.run_until(until, &mut ()).expect("rewards are finite");
            STEPS as f64 / (seconds(origin) - start)
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    (rates[49], rates[25])
}

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    for num_envs in if asked.is_empty() { vec![1, 16, 64] } else { asked } {
        let (best, median) = rate(num_envs);
        println!("bench q-learning-frozen-lake-{num_envs} {:.1} Msteps/s median {:.1}", best / 1e6, median/1e6);
    }
}
