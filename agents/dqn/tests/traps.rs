//! Places where implementations of DQN are known to differ, and most of them to be wrong: a test for each.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use thorndike_core::prelude::*;
use thorndike_core::replay::{MiniBatch, PrioritizedConfig, Replay, ReplayConfig, SamplerConfig};
use thorndike_core::{ClipRewards, Device, EnvOptions, Schedule, SyncVectorEnv, Trainer, wrap};
use thorndike_dqn::loss::{Sample, td_loss};
use thorndike_dqn::{Dqn, DqnConfig, Loss};
use thorndike_nets::tch::Tensor;
use thorndike_nets::{AdamConfig, Linear, OptimConfig, Optimizer, ParamStore, tch};

/// Counts its steps and pays 5 for each; ends after `length` of them, by the task or by a limit of time.
struct Clock {
    length: u32,
    by_limit: bool,
    /// Shows the time; otherwise always 0.
    dial: bool,
}

impl Env for Clock {
    type State = u32;
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Discrete(self.length as usize + 1)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, _: &mut Rng) -> u32 {
        0
    }
    fn step(&self, at: &mut u32, _: usize, _: &mut Rng) -> Step {
        *at += 1;
        if *at == self.length && !self.by_limit {
            Step::terminal(5.0)
        } else {
            Step::running(5.0)
        }
    }
    fn observe(&self, at: &u32, obs: &mut [i32]) {
        obs[0] = if self.dial { *at as i32 } else { 0 };
    }
    fn time_limit(&self) -> Option<u32> {
        self.by_limit.then_some(self.length)
    }
}

fn options(num_envs: usize) -> EnvOptions {
    thorndike_nets::use_threads(1);
    EnvOptions {
        num_envs,
        ..EnvOptions::default()
    }
}

fn envs(length: u32, by_limit: bool, num_envs: usize) -> Box<dyn VectorEnv> {
    let clock = Clock {
        length,
        by_limit,
        dial: true,
    };
    Box::new(SyncVectorEnv::new(clock, &options(num_envs), Seeds::new(1)).unwrap())
}

fn trainer(envs: Box<dyn VectorEnv>, config: serde_json::Value, log_every: u64) -> Trainer {
    let mut all = serde_json::json!({"gamma": 0.8, "batch_size": 32, "warmup_steps": 64, "train_every_steps": 1,
        "replay": {"capacity": 2000}, "extractor": {"kind": "flatten"},
        "optimizer": {"kind": "adam", "learning_rate": 0.05}, "target": {"kind": "every-steps", "steps": 20}});
    let config = config.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(config);
    let config: DqnConfig = serde_json::from_value(all).unwrap();
    let ctx = BuildContext {
        spec: envs.spec(),
        seeds: Seeds::new(1),
        device: Device::Cpu,
    };
    let agent = Dqn::new(&config, &ctx).unwrap();
    Trainer::new(envs, Box::new(agent), log_every)
}

/// The last number that was reported as `name`.
fn reported(events: &[Event<'_>], name: &str) -> Vec<(u64, f64)> {
    let scalar = |event: &Event<'_>| match event {
        Event::Scalar {
            step,
            name: n,
            value,
        } if n == name => Some((*step, *value)),
        _ => None,
    };
    events.iter().filter_map(scalar).collect()
}

#[test]
fn trap_truncation_bootstraps_and_termination_does_not() {
    let q = |by_limit| {
        let clock = Clock {
            length: 1,
            by_limit,
            dial: false,
        };
        let envs = SyncVectorEnv::new(clock, &options(1), Seeds::new(1)).unwrap();
        let mut events: Vec<Event<'static>> = Vec::new();
        let mut trainer = trainer(Box::new(envs), serde_json::json!({}), 50);
        trainer.run_until(2500, &mut events).unwrap();
        reported(&events, "q/mean").last().unwrap().1
    };
    // Five a step for ever is worth 5 / (1 - 0.8) = 25, though each episode lasts one step.
    let (cut_off, ended) = (q(true), q(false));
    assert!((ended - 5.0).abs() < 0.1, "{ended}");
    assert!(
        cut_off > 15.0,
        "{cut_off}: the value of the last observation is left out"
    );
}

/// A replay of `steps` steps of clocks.
fn replay(config: ReplayConfig, length: u32, by_limit: bool, steps: usize) -> (Replay, MiniBatch) {
    let mut envs = envs(length, by_limit, 2);
    let mut replay = Replay::new(&config, envs.spec(), 0.5).unwrap();
    let actions = envs.new_actions();
    for _ in 0..steps {
        envs.step(&actions);
        replay.push(&Transitions::new(envs.batch(), &actions));
        envs.advance();
    }
    let mut batch = replay.new_batch(512);
    replay.sample_into(&mut Seeds::new(3).stream("test", 0), 0, &mut batch);
    (replay, batch)
}

#[test]
fn trap_autoreset_no_transition_leads_from_an_end_to_a_start() {
    for by_limit in [true, false] {
        let config = ReplayConfig {
            capacity: 1000,
            ..ReplayConfig::default()
        };
        let (_, batch) = replay(config, 4, by_limit, 100);
        for row in 0..batch.len() {
            let (obs, next) = (
                batch.obs().row::<i32>(row)[0],
                batch.next_obs().row::<i32>(row)[0],
            );
            assert_eq!(next, obs + 1);
            assert!(obs < 4, "an observation that ended an episode was acted on");
        }
    }
}

#[test]
fn trap_n_step_tails_are_shorter_with_their_own_discount() {
    for by_limit in [true, false] {
        let config = ReplayConfig {
            capacity: 1000,
            n_step: 3,
            ..ReplayConfig::default()
        };
        let (_, batch) = replay(config, 4, by_limit, 100);
        let mut seen = [false; 4];
        for row in 0..batch.len() {
            let obs = batch.obs().row::<i32>(row)[0];
            let steps = 3.min(4 - obs);
            let reward: f32 = (0..steps).map(|i| 5.0 * 0.5_f32.powi(i)).sum();
            let ended = !by_limit && obs + steps == 4;
            let discount = if ended { 0.0 } else { 0.5_f32.powi(steps) };
            assert_eq!(
                (batch.rewards[row], batch.discounts[row]),
                (reward, discount),
                "from {obs}"
            );
            assert_eq!(batch.next_obs().row::<i32>(row)[0], obs + steps);
            seen[obs as usize] = true;
        }
        assert_eq!(seen, [true; 4], "every step of an episode can be drawn");
    }
}

fn agent_file(trainer: &Trainer, name: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    trainer.save(dir.path()).unwrap();
    fs::read(Path::new(dir.path()).join("agent").join(name)).unwrap()
}

#[test]
fn trap_the_unit_of_the_target_period_is_in_its_name() {
    // An update every 4 environment steps, the first at step 68. 10 updates end at step 104, 10 steps at step 74.
    let copied = |target: serde_json::Value, step| {
        let config = serde_json::json!({"train_every_steps": 4, "target": target});
        let mut trainer = trainer(envs(5, false, 1), config, 1000);
        trainer.run_until(step, &mut ()).unwrap();
        agent_file(&trainer, "weights.safetensors") == agent_file(&trainer, "target.safetensors")
    };
    let updates = || serde_json::json!({"kind": "every-updates", "updates": 10});
    assert!(!copied(updates(), 103) && copied(updates(), 104) && !copied(updates(), 108));
    let steps = || serde_json::json!({"kind": "every-steps", "steps": 10});
    assert!(!copied(steps(), 73) && copied(steps(), 74) && !copied(steps(), 76));
}

#[test]
fn trap_epsilon_counts_environment_steps_however_many_environments() {
    for num_envs in [1, 4] {
        let epsilon = serde_json::json!({"kind": "linear", "from": 1.0, "to": 0.0, "steps": 1000});
        let mut events: Vec<Event<'static>> = Vec::new();
        let mut trainer = trainer(
            envs(5, false, num_envs),
            serde_json::json!({"epsilon": epsilon}),
            100,
        );
        trainer.run_until(600, &mut events).unwrap();
        let reported = reported(&events, "explore/epsilon");
        assert_eq!(reported.len(), 6);
        for (step, epsilon) in reported {
            assert!(
                (epsilon - (1.0 - step as f64 / 1000.0)).abs() < 1e-9,
                "{step}"
            );
        }
    }
}

#[test]
fn trap_huber_keeps_its_slope_where_a_clamped_square_loses_it() {
    let sample = Sample {
        actions: &[0],
        weights: &[1.0],
    };
    let (mut d_q, mut td_abs) = (Vec::new(), Vec::new());
    let loss = td_loss(Loss::Huber, &[7.0], &[3.0], sample, &mut d_q, &mut td_abs);
    // A square of the error clamped to 1 would have the loss 0.5 and no slope at all.
    assert_eq!((loss, d_q[0]), (3.5, 1.0));
}

#[test]
fn trap_optimizer_epsilon_is_outside_the_root_and_as_configured() {
    for epsilon in [1e-8, 1.5e-4, 0.01] {
        let rng = Seeds::new(1).stream("agent/init", 0);
        let (mut params, _) =
            ParamStore::build(tch::Device::Cpu, rng, |scope| Ok(Linear::new(scope, 1, 1))).unwrap();
        params.enable_gradients();
        let config = AdamConfig {
            learning_rate: Schedule::constant(0.1),
            epsilon,
            ..AdamConfig::default()
        };
        let mut optimizer = Optimizer::new(&OptimConfig::Adam(config), &params).unwrap();
        let before = Vec::<f32>::try_from(params.flat()).unwrap();
        let gradient = [1e-4_f32, -3e-5];
        params
            .flat_and_gradient_mut()
            .1
            .copy_(&Tensor::from_slice(&gradient));
        optimizer.step(&mut params, 0);
        let after = Vec::<f32>::try_from(params.flat()).unwrap();
        for ((before, after), g) in before.iter().zip(after).zip(gradient.map(f64::from)) {
            // The corrected moments of the first step are g and g².
            let step = 0.1 * g / (g.abs() + epsilon);
            assert!((f64::from(before - after) - step).abs() < 1e-6, "{epsilon}");
        }
    }
}

#[test]
fn trap_priorities_come_before_the_weights_and_new_items_get_the_largest() {
    let (mut d_q, mut td_abs) = (Vec::new(), Vec::new());
    let sample = Sample {
        actions: &[0, 0],
        weights: &[1.0, 0.1],
    };
    td_loss(
        Loss::Mse,
        &[3.0, 3.0],
        &[1.0, 1.0],
        sample,
        &mut d_q,
        &mut td_abs,
    );
    assert_eq!(td_abs, [2.0, 2.0], "a weight must not lower the priority");

    let sampler = PrioritizedConfig {
        alpha: 1.0,
        ..PrioritizedConfig::default()
    };
    let config = ReplayConfig {
        capacity: 100,
        sampler: SamplerConfig::Prioritized(sampler),
        ..ReplayConfig::default()
    };
    let mut envs = envs(50, false, 1);
    let mut replay = Replay::new(&config, envs.spec(), 0.5).unwrap();
    let actions = envs.new_actions();
    let mut batch = replay.new_batch(400);
    let mut rng = Seeds::new(3).stream("test", 0);
    for step in 0..20 {
        envs.step(&actions);
        replay.push(&Transitions::new(envs.batch(), &actions));
        envs.advance();
        if step == 18 {
            // All 19 so far are found dull, but for the first.
            replay.sample_into(&mut rng, 0, &mut batch);
            let surprise = |row: usize| {
                if batch.obs().row::<i32>(row)[0] == 0 {
                    7.0
                } else {
                    1e-3
                }
            };
            let surprises: Vec<f32> = (0..batch.len()).map(surprise).collect();
            replay.update_priorities(&batch.indices, &surprises);
        }
    }
    replay.sample_into(&mut rng, 0, &mut batch);
    let count = |of: i32| {
        (0..batch.len())
            .filter(|&row| batch.obs().row::<i32>(row)[0] == of)
            .count()
    };
    // 7 of about 14.02 each; stratified draws leave little to chance.
    assert!(
        count(0).abs_diff(200) <= 2 && count(19).abs_diff(200) <= 2,
        "{} {}",
        count(0),
        count(19)
    );
}

#[test]
fn trap_rewards_are_clipped_for_learning_and_recorded_as_they_were() {
    let options = EnvOptions {
        clip_rewards: Some(ClipRewards::Sign),
        ..options(1)
    };
    let envs = wrap(envs(1, false, 1), &options).unwrap();
    let mut events: Vec<Event<'static>> = Vec::new();
    let mut trainer = trainer(envs, serde_json::json!({}), 50);
    trainer.run_until(1000, &mut events).unwrap();
    let returns = events.iter().filter_map(|event| match event {
        Event::Episode { episode_return, .. } => Some(*episode_return),
        _ => None,
    });
    assert!(
        returns
            .into_iter()
            .all(|episode_return| episode_return == 5.0)
    );
    let q = reported(&events, "q/mean").last().unwrap().1;
    assert!((q - 1.0).abs() < 0.05, "{q}");
}

#[test]
fn trap_evaluation_shares_no_environment_stream_or_memory_with_training() {
    let state = |evaluations: usize| {
        let mut trainer = trainer(
            envs(5, true, 2),
            serde_json::json!({"noisy_sigma": 0.5}),
            100,
        );
        trainer.run_until(150, &mut ()).unwrap();
        for _ in 0..evaluations {
            trainer.evaluate(&mut *envs(5, true, 3), 4).unwrap();
        }
        trainer.run_until(300, &mut ()).unwrap();
        ["weights.safetensors", "state.json", "replay.bin"].map(|name| agent_file(&trainer, name))
    };
    assert!(state(0) == state(3));
}
