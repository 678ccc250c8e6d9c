//! PQN through its public interface: it learns, resumes exactly, and keeps its environments apart.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use thorndike_core::prelude::*;
use thorndike_core::{Device, EnvOptions, SyncVectorEnv, Trainer};
use thorndike_dqn::{Pqn, PqnConfig};

/// Eight cells; right pays 3 at the end and costs 0.1 before, left pays 0.01 at once.
struct Temptation;

impl Env for Temptation {
    type State = usize;
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Discrete(8)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, rng: &mut Rng) -> usize {
        rng.random_range(0..7)
    }
    fn step(&self, at: &mut usize, action: usize, _: &mut Rng) -> Step {
        if action == 0 {
            *at = at.saturating_sub(1);
            return Step::running(0.01);
        }
        *at += 1;
        if *at == 7 {
            Step::terminal(3.0)
        } else {
            Step::running(-0.1)
        }
    }
    fn observe(&self, at: &usize, obs: &mut [i32]) {
        obs[0] = *at as i32;
    }
    fn time_limit(&self) -> Option<u32> {
        Some(50)
    }
}

/// Always the same; pays 1 a step, cut off after three.
struct Still;

impl Env for Still {
    type State = ();
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Discrete(1)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, _: &mut Rng) {}
    fn step(&self, (): &mut (), _: usize, _: &mut Rng) -> Step {
        Step::running(1.0)
    }
    fn observe(&self, (): &(), obs: &mut [i32]) {
        obs[0] = 0;
    }
    fn time_limit(&self) -> Option<u32> {
        Some(3)
    }
}

fn envs<E: Env + 'static>(env: E, num_envs: usize, seed: u64) -> Box<dyn VectorEnv> {
    thorndike_nets::use_threads(1);
    let options = EnvOptions {
        num_envs,
        ..EnvOptions::default()
    };
    Box::new(SyncVectorEnv::new(env, &options, Seeds::new(seed)).unwrap())
}

fn trainer(envs: Box<dyn VectorEnv>, json: &str) -> Trainer {
    let config: PqnConfig = serde_json::from_str(json).unwrap();
    let ctx = BuildContext {
        spec: envs.spec(),
        seeds: Seeds::new(3),
        device: Device::Cpu,
    };
    let agent = Pqn::new(&config, &ctx).unwrap();
    Trainer::new(envs, Box::new(agent), 100)
}

const SMALL: &str = r#"{"gamma": 0.9, "rollout_steps": 8, "minibatches": 4, "optimizer": {"kind": "radam",
    "learning_rate": 0.003}, "extractor": {"kind": "mlp", "hidden": [24], "norm": "layer"},
    "epsilon": {"kind": "linear", "from": 1, "to": 0.1, "steps": 4000}}"#;

#[test]
fn it_resists_temptation() {
    let mut trainer = trainer(envs(Temptation, 8, 3), SMALL);
    trainer.run_until(12_000, &mut ()).unwrap();
    let evaluation = trainer
        .evaluate(&mut *envs(Temptation, 10, 77), 100)
        .unwrap();
    // Straight right from a uniform start: on average 3 - 0.1 * 3 = 2.7, standard error 0.02. Left for ever: 0.5.
    assert!(evaluation.mean() > 2.6, "{}", evaluation.mean());
    assert!(evaluation.lengths.iter().all(|&length| length <= 7));
}

#[test]
fn trap_truncation_bootstraps() {
    let mut events: Vec<Event<'static>> = Vec::new();
    let json = SMALL
        .replace("0.9", "0.5")
        .replace(r#""hidden": [24]"#, r#""hidden": [4]"#);
    let mut trainer = trainer(envs(Still, 4, 1), &json);
    trainer.run_until(20_000, &mut events).unwrap();
    let q = events.iter().rev().find_map(|event| match event {
        Event::Scalar { name, value, .. } if name == "q/mean" => Some(*value),
        _ => None,
    });
    // One a step for ever at gamma 0.5 is worth 2; cut off after three steps without a value it would be less.
    assert!((q.unwrap() - 2.0).abs() < 0.05, "{q:?}");
}

fn saved(trainer: &Trainer) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    trainer.save(dir.path()).unwrap();
    let names = [
        "weights.safetensors",
        "optimizer.safetensors",
        "rollout.bin",
        "state.json",
    ];
    names
        .map(|name| fs::read(dir.path().join("agent").join(name)).unwrap())
        .into()
}

#[test]
fn a_resumed_agent_is_bitwise_the_one_that_never_stopped() {
    // 8 steps of 8 environments make a rollout of 64: 200 is in mid-course.
    let dir = tempfile::tempdir().unwrap();
    let mut whole = trainer(envs(Temptation, 8, 5), SMALL);
    whole.run_until(200, &mut ()).unwrap();
    whole.save(dir.path()).unwrap();
    whole.run_until(1000, &mut ()).unwrap();
    let mut resumed = trainer(envs(Temptation, 8, 5), SMALL);
    resumed.load(dir.path()).unwrap();
    resumed.run_until(1000, &mut ()).unwrap();
    assert!(saved(&whole) == saved(&resumed));
}

#[test]
fn evaluating_in_between_changes_nothing_that_is_learned() {
    let run = |evaluate: bool| {
        let mut trainer = trainer(envs(Temptation, 8, 5), SMALL);
        for step in [100, 200, 500] {
            trainer.run_until(step, &mut ()).unwrap();
            if evaluate {
                trainer.evaluate(&mut *envs(Temptation, 3, 6), 5).unwrap();
            }
        }
        saved(&trainer)
    };
    assert!(run(true) == run(false));
}

#[test]
fn a_damaged_or_foreign_rollout_is_refused_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = trainer(envs(Temptation, 8, 5), SMALL);
    small.run_until(100, &mut ()).unwrap();
    small.save(dir.path()).unwrap();
    let mut other = trainer(
        envs(Temptation, 8, 5),
        &SMALL.replace("\"rollout_steps\": 8", "\"rollout_steps\": 4"),
    );
    let error = other
        .agent()
        .load(&dir.path().join("agent"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("rollout.bin: is not of a run with these rollout_steps"),
        "{error}"
    );
    let path = Path::new(dir.path()).join("agent/rollout.bin");
    let bytes = fs::read(&path).unwrap();
    for len in (0..bytes.len()).step_by(37) {
        fs::write(&path, &bytes[..len]).unwrap();
        let error = small
            .agent()
            .load(&dir.path().join("agent"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("rollout.bin"), "cut to {len}: {error}");
    }
}
