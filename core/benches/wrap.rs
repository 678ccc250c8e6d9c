//! Cost of what is between environments and agent: `cargo bench -p thorndike-core --bench wrap`.
//!
//! A line is the best of many short runs with an option, less the same without it, for one row of a batch. The lines
//! `threads` are the time of a whole step of 64 rows on one thread and on two.

use std::hint::black_box;
use std::time::Instant;

use thorndike_core::prelude::*;
use thorndike_core::{ClipRewards, Element, EnvOptions};

fn main() {
    vectors();
    pixels();
    threads();
}

/// Shows what it is told to, after some idle turns.
struct Show<T> {
    shape: Vec<usize>,
    turns: u32,
    scalar: std::marker::PhantomData<fn() -> T>,
}

impl<T: Element> Env for Show<T> {
    type State = u32;
    type Obs = T;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Box {
            shape: self.shape.clone(),
            low: 0.0,
            high: 255.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, _: &mut Rng) -> u32 {
        0
    }
    fn step(&self, at: &mut u32, _: usize, _: &mut Rng) -> Step {
        for turn in 0..self.turns {
            *at = black_box(*at ^ turn);
        }
        Step::running(1.0)
    }
    fn observe(&self, _: &u32, obs: &mut [T]) {
        obs.fill(T::default());
    }
    fn time_limit(&self) -> Option<u32> {
        Some(u32::MAX)
    }
}

/// Seconds of a step of the whole batch, resets left out: the best of many runs.
fn best<T: Element>(shape: &[usize], turns: u32, steps: usize, options: &EnvOptions) -> f64 {
    let shape = shape.to_vec();
    let registry = Registry::new().env("show", move |_: &serde_json::Value| {
        Ok(Show::<T> {
            shape: shape.clone(),
            turns,
            scalar: std::marker::PhantomData,
        })
    });
    let mut envs = registry
        .make_envs("show", &serde_json::Value::Null, options, Seeds::new(1))
        .expect("options fit");
    let actions = envs.new_actions();
    let mut run = || {
        let start = Instant::now();
        for _ in 0..steps {
            envs.step(&actions);
            black_box(envs.batch());
            envs.advance();
        }
        start.elapsed().as_secs_f64() / steps as f64
    };
    (0..200).map(|_| run()).fold(f64::INFINITY, f64::min)
}

fn report<T: Element>(
    name: &str,
    shape: &[usize],
    steps: usize,
    with: &EnvOptions,
    without: &EnvOptions,
) {
    let cost = best::<T>(shape, 0, steps, with) - best::<T>(shape, 0, steps, without);
    println!(
        "bench {name} {:.1} ns a row",
        cost / with.num_envs as f64 * 1e9
    );
}

fn vectors() {
    let plain = EnvOptions {
        num_envs: 64,
        threads: Some(1),
        ..Default::default()
    };
    let line = |name: &str, with: EnvOptions| report::<f32>(name, &[4], 500, &with, &plain);
    line(
        "clip_rewards/4f32",
        EnvOptions {
            clip_rewards: Some(ClipRewards::Sign),
            ..plain.clone()
        },
    );
    line(
        "normalize_rewards/4f32",
        EnvOptions {
            normalize_rewards: Some(0.99),
            ..plain.clone()
        },
    );
    line(
        "time_observation/4f32",
        EnvOptions {
            time_observation: true,
            ..plain.clone()
        },
    );
    line(
        "normalize_observations/4f32",
        EnvOptions {
            normalize_observations: true,
            ..plain.clone()
        },
    );
    line(
        "all-four/4f32",
        EnvOptions {
            clip_rewards: Some(ClipRewards::Sign),
            normalize_rewards: Some(0.99),
            time_observation: true,
            normalize_observations: true,
            ..plain.clone()
        },
    );
}

fn pixels() {
    let plain = EnvOptions {
        num_envs: 8,
        threads: Some(1),
        ..Default::default()
    };
    let line = |name: &str, shape: &[usize], with: EnvOptions, without: &EnvOptions| {
        report::<u8>(name, shape, 10, &with, without);
    };
    let screen = [3, 210, 160];
    let grey = EnvOptions {
        grey: true,
        ..plain.clone()
    };
    let both = EnvOptions {
        resize: Some([84, 84]),
        ..grey.clone()
    };
    let repeat = EnvOptions {
        action_repeat: 2,
        ..plain.clone()
    };
    line(
        "clip_rewards/84x84u8",
        &[84, 84],
        EnvOptions {
            clip_rewards: Some(ClipRewards::Sign),
            ..plain.clone()
        },
        &plain,
    );
    line(
        "normalize_observations/84x84u8",
        &[84, 84],
        EnvOptions {
            normalize_observations: true,
            ..plain.clone()
        },
        &plain,
    );
    line(
        "max_pool/84x84u8",
        &[84, 84],
        EnvOptions {
            max_pool: true,
            ..repeat.clone()
        },
        &repeat,
    );
    line(
        "max_pool/3x210x160u8",
        &screen,
        EnvOptions {
            max_pool: true,
            ..repeat.clone()
        },
        &repeat,
    );
    line("grey/3x210x160u8", &screen, grey.clone(), &plain);
    line("resize/210x160-84x84u8", &screen, both, &grey);
}

fn threads() {
    for turns in [100, 300, 1000, 3000, 10_000] {
        let step = |threads| {
            let options = EnvOptions {
                num_envs: 64,
                threads,
                ..Default::default()
            };
            best::<f32>(&[4], turns, 20, &options) * 1e6
        };
        let (one, two, chosen) = (step(Some(1)), step(Some(2)), step(None));
        println!(
            "bench threads/{turns} {one:.1} us on one, {two:.1} us on two, {chosen:.1} us as measured"
        );
    }
}
