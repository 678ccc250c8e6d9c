//! No allocation per step of what is between environments and agent.

mod allocations;

use allocations::allocations;
use thorndike_core::gym::{Autoreset, GymEnvs};
use thorndike_core::prelude::*;
use thorndike_core::{ClipRewards, EnvOptions};

/// Pixels that change; an episode of nine steps.
struct Blink;

impl Env for Blink {
    type State = u8;
    type Obs = u8;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![3, 12, 10],
            low: 0.0,
            high: 255.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(3)
    }
    fn reset(&self, _: &mut Rng) -> u8 {
        0
    }
    fn step(&self, state: &mut u8, _: usize, _: &mut Rng) -> Step {
        *state += 1;
        if *state >= 9 {
            Step::terminal(2.0)
        } else {
            Step::running(-3.0)
        }
    }
    fn observe(&self, state: &u8, obs: &mut [u8]) {
        obs.fill(*state);
    }
    fn time_limit(&self) -> Option<u32> {
        Some(100)
    }
}

/// Allocations of a thousand calls, after a hundred that may set something up: the least of three tries, as the harness of the
/// tests has a thread that may allocate meanwhile.
fn counted(mut call: impl FnMut()) -> u64 {
    (0..100).for_each(|_| call());
    let mut tried = || {
        let before = allocations();
        (0..1000).for_each(|_| call());
        allocations() - before
    };
    (0..3).map(|_| tried()).min().expect("three tries")
}

// One test in this file: others would run at the same time and be counted too.
#[test]
fn wrappers_threads_and_views_allocate_nothing_per_step() {
    let registry = Registry::new().env("blink", |_: &serde_json::Value| Ok(Blink));
    let make = |options: &EnvOptions| {
        registry
            .make_envs("blink", &serde_json::Value::Null, options, Seeds::new(1))
            .unwrap()
    };
    let plain = EnvOptions {
        num_envs: 5,
        threads: Some(1),
        ..Default::default()
    };
    let all = EnvOptions {
        frame_stack: 3,
        action_repeat: 2,
        max_pool: true,
        grey: true,
        resize: Some([5, 5]),
        normalize_observations: true,
        time_observation: true,
        normalize_rewards: Some(0.99),
        clip_rewards: Some(ClipRewards::Sign),
        ..plain.clone()
    };
    let threads = EnvOptions {
        threads: Some(3),
        ..all.clone()
    };
    for options in [&plain, &all, &threads] {
        let mut envs = make(options);
        let actions = envs.new_actions();
        let mut mask = [false; 3];
        let step = || {
            envs.step(&actions);
            envs.advance();
            envs.action_mask(4, &mut mask);
        };
        assert_eq!(counted(step), 0, "{options:?}");
    }
    let rows = (0..3).map(|_| {
        make(&EnvOptions {
            num_envs: 1,
            ..all.clone()
        })
    });
    let mut envs = GymEnvs::new(rows.collect(), Autoreset::NextStep).unwrap();
    let actions = envs.new_actions();
    let step = || {
        envs.step(&actions);
    };
    assert_eq!(counted(step), 0);
}
