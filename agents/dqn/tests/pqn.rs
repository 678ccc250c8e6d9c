//! PQN through its public interface: it learns, resumes exactly, and keeps its environments apart.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::Path;

use thorndike_core::prelude::*;
use thorndike_core::{Device, EnvOptions, SyncVectorEnv, Trainer};
use thorndike_dqn::{Pqn, PqnConfig};

use support::Temptation;

/// Looks always the same and pays 1 a step; after three it is cut off, or else the task ends it.
struct Still {
    cut: bool,
}

impl Env for Still {
    type State = u32;
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Discrete(1)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, _: &mut Rng) -> u32 {
        0
    }
    fn step(&self, at: &mut u32, _: usize, _: &mut Rng) -> Step {
        *at += 1;
        if *at == 3 && !self.cut {
            Step::terminal(1.0)
        } else {
            Step::running(1.0)
        }
    }
    fn observe(&self, _: &u32, obs: &mut [i32]) {
        obs[0] = 0;
    }
    fn time_limit(&self) -> Option<u32> {
        self.cut.then_some(3)
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

/// `SMALL` with other values for some of its keys.
fn small(changes: &str) -> String {
    let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
    let (mut all, changes) = (read(SMALL), read(changes));
    let more = changes.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    all.to_string()
}

#[test]
fn every_variant_resists_temptation() {
    for variant in [
        "{}",
        r#"{"lambda": 0}"#,
        r#"{"lambda": 1, "reward_scale": 0.1}"#,
        r#"{"minibatches": 1, "epochs": 10, "max_grad_norm": 0.5}"#,
        r#"{"extractor": {"kind": "flatten"}, "optimizer": {"kind": "adam", "learning_rate": 0.02}}"#,
    ] {
        let mut trainer = trainer(envs(Temptation, 8, 3), &small(variant));
        trainer.run_until(12_000, &mut ()).unwrap();
        let evaluation = trainer
            .evaluate(&mut *envs(Temptation, 10, 77), 100)
            .unwrap();
        // Straight right from a uniform start: on average 3 - 0.1 * 3 = 2.7, standard error 0.02. Left for ever: 0.5.
        assert!(evaluation.mean() > 2.6, "{variant}: {}", evaluation.mean());
        let longest = evaluation.lengths.iter().max().unwrap();
        assert!(*longest <= 7, "{variant}: an episode of {longest} steps");
    }
}

/// Numbers that were reported: step, name, value.
fn reported<'a>(events: &'a [Event<'_>]) -> Vec<(u64, &'a str, f64)> {
    let scalar = |event: &'a Event<'_>| match event {
        Event::Scalar { step, name, value } => Some((*step, name.as_ref(), *value)),
        _ => None,
    };
    events.iter().filter_map(scalar).collect()
}

#[test]
fn trap_truncation_bootstraps_and_termination_does_not() {
    let q = |cut, lambda: f64| {
        let json = small(&format!(
            r#"{{"gamma": 0.5, "lambda": {lambda}, "extractor": {{"kind": "flatten"}},
                "optimizer": {{"kind": "radam", "learning_rate": {{"kind": "linear", "from": 0.02, "to": 0, "steps": 10000}}}}}}"#
        ));
        let mut events: Vec<Event<'static>> = Vec::new();
        // Rollouts of eight steps part episodes of three in every place.
        let mut trainer = trainer(envs(Still { cut }, 4, 1), &json);
        trainer.run_until(10_000, &mut events).unwrap();
        let reported = reported(&events);
        let q = reported.iter().rev().find(|(_, name, _)| *name == "q/mean");
        q.unwrap().2
    };
    for lambda in [0.0, 0.65, 1.0] {
        // One a step for ever at gamma 0.5 is worth 2, though each episode lasts three steps.
        let cut = q(true, lambda);
        assert!((cut - 2.0).abs() < 0.01, "{lambda}: {cut}");
    }
    // One step ahead from what looks always the same, and every third time nothing: q = 1 + 2/3 * q / 2 = 1.5.
    let ended = q(false, 0.0);
    assert!((ended - 1.5).abs() < 0.1, "{ended}");
}

#[test]
fn numbers_are_reported_once_a_rollout_when_they_are_due() {
    let mut events: Vec<Event<'static>> = Vec::new();
    let mut trainer = trainer(envs(Temptation, 2, 1), SMALL);
    trainer.run_until(400, &mut events).unwrap();
    let reported = reported(&events);
    let names: Vec<_> = reported.iter().map(|(_, name, _)| *name).collect();
    assert_eq!(
        names,
        ["loss/td", "q/mean", "grad/norm", "explore/epsilon"].repeat(4)
    );
    // Rollouts end at multiples of 16.
    let steps: Vec<_> = reported.iter().step_by(4).map(|(step, ..)| *step).collect();
    assert_eq!(steps, [112, 208, 304, 400]);
    assert!(reported.iter().all(|(.., value)| value.is_finite()));
    assert!((reported[3].2 - (1.0 - 0.9 * 112.0 / 4000.0)).abs() < 1e-9);
}

#[test]
fn the_policy_alone_is_enough_to_act() {
    let dir = tempfile::tempdir().unwrap();
    let mut trained = trainer(envs(Temptation, 2, 2), SMALL);
    trained.run_until(1000, &mut ()).unwrap();
    trained.save(dir.path()).unwrap();
    let agent = dir.path().join("agent");
    for name in ["rollout.bin", "state.json", "optimizer.safetensors"] {
        fs::remove_file(agent.join(name)).unwrap();
    }
    let mut other = trainer(envs(Temptation, 2, 99), SMALL);
    let play = |trainer: &mut Trainer| trainer.evaluate(&mut *envs(Temptation, 4, 1), 20);
    let before = play(&mut other).unwrap();
    other.agent().load_policy(&agent).unwrap();
    let expected = play(&mut trained).unwrap();
    assert_ne!(before, expected);
    assert_eq!(play(&mut other).unwrap(), expected);
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
