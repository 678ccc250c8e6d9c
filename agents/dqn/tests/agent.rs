//! The agent through its public interface: it learns, resumes exactly, and refuses what it cannot do.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;

use thorndike_core::prelude::*;
use thorndike_core::{Ahead, Device, EnvOptions, SyncVectorEnv, Trainer, evaluate};
use thorndike_dqn::{Dqn, DqnConfig};
use thorndike_nets::{FeatureExtractor, Linear, Scope, tch::Tensor};

use support::{Temptation, files};

fn envs(num_envs: usize, seed: u64) -> SyncVectorEnv<Temptation> {
    // Tests run side by side; operations that wait for each other's threads would take a hundred times longer.
    thorndike_nets::use_threads(1);
    let options = EnvOptions {
        num_envs,
        ..Default::default()
    };
    SyncVectorEnv::new(Temptation, &options, Seeds::new(seed)).unwrap()
}

fn config(json: &str) -> DqnConfig {
    let small = r#"{"gamma": 0.9, "batch_size": 32, "warmup_steps": 200, "train_every_steps": 1, "replay": {"capacity": 5000},
        "optimizer": {"kind": "adam", "learning_rate": 0.002}, "extractor": {"kind": "mlp", "hidden": [24]},
        "epsilon": {"kind": "linear", "from": 1, "to": 0.1, "steps": 1500},
        "target": {"kind": "every-steps", "steps": 50}}"#;
    let mut all: serde_json::Value = serde_json::from_str(small).unwrap();
    let more: serde_json::Value = serde_json::from_str(json).unwrap();
    all.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn agent(config: &DqnConfig, num_envs: usize, seed: u64) -> Result<Dqn> {
    let envs = envs(num_envs, seed);
    let ctx = BuildContext {
        spec: envs.spec(),
        seeds: Seeds::new(seed),
        device: Device::Cpu,
    };
    Dqn::new(config, &ctx)
}

fn trainer(config: &DqnConfig, num_envs: usize, seed: u64) -> Trainer {
    let agent = agent(config, num_envs, seed).unwrap();
    Trainer::new(Box::new(envs(num_envs, seed)), Box::new(agent), 100)
}

const VARIANTS: [&str; 13] = [
    "{}",
    r#"{"double": true, "loss": "huber", "max_grad_norm": 1.0}"#,
    r#"{"dueling": true, "target": {"kind": "soft", "tau": 0.02}}"#,
    r#"{"n_step": 3, "replay": {"capacity": 5000, "sampler": {"kind": "prioritized"}}}"#,
    r#"{"extractor": {"kind": "mlp", "hidden": [24], "activation": "tanh"}}"#,
    r#"{"extractor": {"kind": "flatten"}, "optimizer": {"kind": "rmsprop", "learning_rate": 0.02}}"#,
    r#"{"head": {"kind": "categorical", "v_min": -2, "v_max": 4}}"#,
    r#"{"head": {"kind": "quantile", "quantiles": 20}, "epsilon_spread": 3}"#,
    r#"{"head": {"kind": "implicit-quantile", "samples": 8, "target_samples": 8}, "head_units": 16}"#,
    r#"{"munchausen": {}}"#,
    r#"{"munchausen": {"temperature": 0.1}, "head": {"kind": "quantile", "quantiles": 20}, "dueling": true}"#,
    r#"{"noisy_sigma": 0.5, "epsilon": 0.0, "head_units": 16}"#,
    // Rainbow: all of them.
    r#"{"head": {"kind": "categorical", "v_min": -2, "v_max": 4}, "dueling": true, "head_units": 16, "double": true,
        "noisy_sigma": 0.5, "epsilon": 0.0, "n_step": 3, "replay": {"capacity": 5000, "sampler": {"kind": "prioritized"}}}"#,
];

#[test]
fn every_variant_resists_temptation() {
    for variant in VARIANTS {
        let mut trainer = trainer(&config(variant), 2, 3);
        trainer.run_until(4000, &mut ()).unwrap();
        let evaluation = evaluate(&mut envs(10, 77), trainer.agent(), 100);
        // Straight right from a uniform start: on average 3 - 0.1 * 3 = 2.7, standard error 0.02. Left for ever: 0.5.
        assert!(evaluation.mean() > 2.6, "{variant}: {}", evaluation.mean());
        let longest = evaluation.lengths.iter().max().unwrap();
        assert!(*longest <= 7, "{variant}: an episode of {longest} steps");
    }
}

#[test]
fn evaluating_in_between_changes_nothing_that_is_learned() {
    for variant in VARIANTS {
        let weights = |evaluate: bool| {
            let dir = tempfile::tempdir().unwrap();
            let mut trainer = trainer(&config(variant), 2, 8);
            for step in [250, 300, 400] {
                trainer.run_until(step, &mut ()).unwrap();
                if evaluate {
                    trainer.evaluate(&mut envs(3, 6), 5).unwrap();
                }
            }
            trainer.save(dir.path()).unwrap();
            files(&dir.path().join("agent"))
        };
        assert!(weights(true) == weights(false), "{variant}");
    }
}

#[test]
fn a_resumed_agent_is_bitwise_the_one_that_never_stopped() {
    for variant in VARIANTS {
        let config = config(variant);
        let dir = tempfile::tempdir().unwrap();
        let ends = ["middle", "whole", "resumed"].map(|name| dir.path().join(name));
        ends.iter().for_each(|dir| fs::create_dir(dir).unwrap());
        let [mut events, mut rest]: [Vec<Event<'static>>; 2] = [Vec::new(), Vec::new()];

        let mut whole = trainer(&config, 3, 5);
        whole.run_until(500, &mut events).unwrap();
        whole.save(&ends[0]).unwrap();
        let mark = events.len();
        whole.run_until(900, &mut events).unwrap();
        whole.save(&ends[1]).unwrap();

        let mut resumed = trainer(&config, 3, 5);
        resumed.load(&ends[0]).unwrap();
        resumed.run_until(900, &mut rest).unwrap();
        resumed.save(&ends[2]).unwrap();
        assert_eq!(rest, events[mark..], "{variant}");
        let [whole, resumed] = [1, 2].map(|i| files(&ends[i].join("agent")));
        let names: Vec<_> = whole.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "extractor.json",
            "optimizer.safetensors",
            "replay.bin",
            "state.json",
            "target.safetensors",
            "weights.safetensors",
        ];
        assert_eq!(names, expected);
        for (a, b) in whole.iter().zip(&resumed) {
            assert!(a == b, "{variant}: {} differs", a.0);
        }
    }
}

#[test]
fn sixteen_environments_learn_as_often_as_one() {
    let updates = |num_envs| {
        let config =
            config(r#"{"train_every_steps": 10, "updates_per_train": 3, "warmup_steps": 205}"#);
        let dir = tempfile::tempdir().unwrap();
        let mut trainer = trainer(&config, num_envs, 1);
        trainer.run_until(1600, &mut ()).unwrap();
        trainer.save(dir.path()).unwrap();
        let json = fs::read(dir.path().join("agent/state.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()["cadence"]["updates"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(updates(1), (1600 - 205) / 10 * 3);
    assert_eq!(updates(16), updates(1));
}

#[test]
fn numbers_are_reported_once_when_they_are_due() {
    let mut events: Vec<Event<'static>> = Vec::new();
    let mut trainer = trainer(&config(r#"{"updates_per_train": 4}"#), 1, 1);
    trainer.run_until(400, &mut events).unwrap();
    let scalars: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Scalar { step, name, value } => Some((*step, name.as_ref(), *value)),
            _ => None,
        })
        .collect();
    let names: Vec<_> = scalars.iter().map(|(_, name, _)| *name).collect();
    assert_eq!(
        names,
        ["loss/td", "q/mean", "grad/norm", "explore/epsilon"].repeat(3)
    );
    // Nothing is learned until step 200; what was due at step 100 comes then.
    assert_eq!([scalars[0].0, scalars[4].0, scalars[8].0], [201, 300, 400]);
    assert!(scalars.iter().all(|(_, _, value)| value.is_finite()));
}

#[test]
fn policy_alone_is_enough_to_act() {
    let dir = tempfile::tempdir().unwrap();
    let mut trained = trainer(&config("{}"), 1, 2);
    trained.run_until(1000, &mut ()).unwrap();
    trained.save(dir.path()).unwrap();
    for name in [
        "replay.bin",
        "state.json",
        "target.safetensors",
        "optimizer.safetensors",
    ] {
        fs::remove_file(dir.path().join("agent").join(name)).unwrap();
    }
    let mut other = agent(&config("{}"), 1, 99).unwrap();
    other.load_policy(&dir.path().join("agent")).unwrap();
    let expected = evaluate(&mut envs(4, 1), trained.agent(), 20);
    assert_eq!(evaluate(&mut envs(4, 1), &mut other, 20), expected);
    assert!(
        other
            .load(&dir.path().join("agent"))
            .unwrap_err()
            .to_string()
            .contains("state.json")
    );
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    agent(&config("{}"), 1, 1)
        .unwrap()
        .save(dir.path())
        .unwrap();
    let mut wider = agent(
        &config(r#"{"extractor": {"kind": "mlp", "hidden": [25]}}"#),
        1,
        1,
    )
    .unwrap();
    let error = wider.load(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("weights.safetensors: tensor \"extractor.0.weight\" has shape [24, 8]"),
        "{error}"
    );
}

#[test]
fn damaged_state_is_refused_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = agent(&config("{}"), 1, 1).unwrap();
    agent.save(dir.path()).unwrap();
    let path = dir.path().join("state.json");
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() - 1 {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(
            agent
                .load(dir.path())
                .unwrap_err()
                .to_string()
                .contains("state.json"),
            "cut to {len}"
        );
    }
}

/// Takes what actions a space has.
struct Acting(Space);

impl Env for Acting {
    type State = usize;
    type Obs = f32;
    type Action = [f32; 1];
    fn observation_space(&self) -> Space {
        Space::unbounded(&[1])
    }
    fn action_space(&self) -> Space {
        self.0.clone()
    }
    fn reset(&self, _: &mut Rng) -> usize {
        0
    }
    fn step(&self, _: &mut usize, _: [f32; 1], _: &mut Rng) -> Step {
        Step::running(0.0)
    }
    fn observe(&self, _: &usize, obs: &mut [f32]) {
        obs[0] = 0.0;
    }
}

#[test]
fn continuous_actions_and_absent_devices_are_refused() {
    let continuous = Space::Box {
        shape: vec![1],
        low: -1.0,
        high: 1.0,
    };
    let envs =
        SyncVectorEnv::new(Acting(continuous), &EnvOptions::default(), Seeds::new(1)).unwrap();
    let seeds = Seeds::new(1);
    let ctx = BuildContext {
        spec: envs.spec(),
        seeds,
        device: Device::Cpu,
    };
    let error = Dqn::new(&config("{}"), &ctx).unwrap_err().to_string();
    assert_eq!(
        error,
        "dqn: action space: expected discrete actions, found box(1; -1..1)"
    );

    let envs = self::envs(1, 1);
    let ctx = BuildContext {
        spec: envs.spec(),
        seeds,
        device: Device::Cuda(99),
    };
    let error = Dqn::new(&config("{}"), &ctx).unwrap_err().to_string();
    assert!(error.starts_with("device: cuda:99 is not there"), "{error}");
}

#[test]
fn a_replay_that_does_not_fit_is_refused_before_it_is_made() {
    let error = agent(&config(r#"{"replay": {"capacity": 4000000000}}"#), 1, 1)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("replay.capacity: "), "{error}");
}

/// An extractor of one's own: two layers that swap signs.
#[derive(Debug)]
struct Mine {
    layer: Linear,
    width: i64,
}

impl FeatureExtractor for Mine {
    fn features(&self, obs: &Tensor, _train: bool) -> Tensor {
        let y = self.layer.forward(obs);
        Tensor::cat(&[y.relu(), (-y).relu()], 1)
    }
    fn width(&self) -> i64 {
        self.width
    }
}

fn mine(scope: &mut Scope<'_>, space: &Space) -> Result<Box<dyn FeatureExtractor>> {
    let inputs = space.discrete().expect("made for states") as i64;
    Ok(Box::new(Mine {
        layer: Linear::new(&mut scope.sub("mine"), inputs, 8),
        width: 16,
    }))
}

#[test]
fn an_extractor_of_ones_own_plugs_in_and_learns() {
    let (config, seeds) = (config("{}"), Seeds::new(4));
    let envs_ = envs(2, 4);
    let ctx = BuildContext {
        spec: envs_.spec(),
        seeds,
        device: Device::Cpu,
    };
    let agent = Dqn::with_extractor(&config, &ctx, mine).unwrap();
    assert!(
        agent
            .describe()
            .starts_with("extractor.mine.weight [8, 8]\n")
    );
    let mut trainer = Trainer::new(Box::new(envs_), Box::new(agent), 100);
    trainer.run_until(4000, &mut ()).unwrap();
    let evaluation = evaluate(&mut envs(10, 77), trainer.agent(), 100);
    assert!(evaluation.mean() > 2.6, "{}", evaluation.mean());

    let wrong = |scope: &mut Scope<'_>, space: &Space| {
        mine(scope, space)?;
        Ok(Box::new(Mine {
            layer: Linear::new(&mut scope.sub("other"), 8, 8),
            width: 15,
        }) as Box<_>)
    };
    let error = Dqn::with_extractor(&config, &ctx_of(&envs(2, 4)), wrong)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "extractor: its features have shape [2, 16], expected [2, 15]"
    );
}

fn ctx_of<'a>(envs: &'a SyncVectorEnv<Temptation>) -> BuildContext<'a> {
    BuildContext {
        spec: envs.spec(),
        seeds: Seeds::new(4),
        device: Device::Cpu,
    }
}

#[test]
fn acting_ahead_of_learning_resists_temptation_as_well() {
    for variant in [
        "{}",
        r#"{"noisy_sigma": 0.5, "epsilon": 0.0, "head_units": 16}"#,
    ] {
        let mut trainer = trainer(&config(variant), 2, 3);
        let ahead = Ahead {
            steps: 8,
            refresh_steps: 8,
        };
        trainer.run_ahead_until(4000, ahead, &mut ()).unwrap();
        let evaluation = evaluate(&mut envs(10, 77), trainer.agent(), 100);
        assert!(evaluation.mean() > 2.6, "{variant}: {}", evaluation.mean());
    }
}
