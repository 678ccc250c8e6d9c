//! Agents with a memory through their public interface: they remember, resume exactly, and refuse what they cannot do.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

mod support;

use std::fs;

use thorndike_core::prelude::*;
use thorndike_core::{Device, EnvOptions, Evaluation, SyncVectorEnv, Trainer, evaluate};
use thorndike_dqn::{Dqn, DqnConfig, R2d2, R2d2Config};
use thorndike_envs::probe::{MemoryChain, MemoryChainConfig, TMaze, TMazeConfig};

use support::files;

/// A chain of four steps: a bit is shown in the first two observations and asked for in the last of five.
fn chain(num_envs: usize, frame_stack: usize, seed: u64) -> SyncVectorEnv<MemoryChain> {
    // Tests run side by side; operations that wait for each other's threads would take a hundred times longer.
    thorndike_nets::use_threads(1);
    let config = MemoryChainConfig {
        memory_length: 4,
        num_bits: 1,
    };
    let options = EnvOptions {
        num_envs,
        frame_stack,
        ..Default::default()
    };
    SyncVectorEnv::new(
        MemoryChain::new(&config).unwrap(),
        &options,
        Seeds::new(seed),
    )
    .unwrap()
}

/// A corridor of three steps, in episodes cut off after 60, longer than a sequence.
fn maze(num_envs: usize, seed: u64) -> SyncVectorEnv<TMaze> {
    thorndike_nets::use_threads(1);
    let config = TMazeConfig {
        corridor_length: 3,
        ..Default::default()
    };
    let options = EnvOptions {
        num_envs,
        ..Default::default()
    };
    SyncVectorEnv::new(TMaze::new(&config).unwrap(), &options, Seeds::new(seed)).unwrap()
}

fn merged<C: serde::de::DeserializeOwned>(small: &str, json: &str) -> C {
    let mut all: serde_json::Value = serde_json::from_str(small).unwrap();
    let more: serde_json::Value = serde_json::from_str(json).unwrap();
    let more = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    serde_json::from_value(all).unwrap()
}

fn config(json: &str) -> R2d2Config {
    let small = r#"{"gamma": 0.95, "n_step": 2, "batch_size": 16, "warmup_steps": 300, "train_every_steps": 4,
        "max_grad_norm": 10, "optimizer": {"kind": "adam", "learning_rate": 0.004},
        "replay": {"capacity": 400, "burn_in": 3, "length": 5, "period": 3},
        "epsilon": {"kind": "linear", "from": 1, "to": 0.1, "steps": 2000},
        "target": {"kind": "every-updates", "updates": 40},
        "extractor": {"kind": "recurrent", "cell": "lstm", "units": 16, "encoder": [16]}}"#;
    merged(small, json)
}

fn dqn_config(json: &str) -> DqnConfig {
    let small = r#"{"gamma": 0.95, "batch_size": 32, "warmup_steps": 300, "train_every_steps": 4,
        "optimizer": {"kind": "adam", "learning_rate": 0.004}, "replay": {"capacity": 2000},
        "epsilon": {"kind": "linear", "from": 1, "to": 0.1, "steps": 2000},
        "target": {"kind": "every-updates", "updates": 40}}"#;
    merged(small, json)
}

fn context(envs: &dyn VectorEnv, seed: u64) -> BuildContext<'_> {
    BuildContext {
        spec: envs.spec(),
        seeds: Seeds::new(seed),
        device: Device::Cpu,
    }
}

fn r2d2(config: &R2d2Config, envs: impl VectorEnv + 'static, seed: u64) -> Trainer {
    let agent = R2d2::new(config, &context(&envs, seed)).unwrap();
    Trainer::new(Box::new(envs), Box::new(agent), 100)
}

fn dqn(config: &DqnConfig, envs: impl VectorEnv + 'static, seed: u64) -> Trainer {
    let agent = Dqn::new(config, &context(&envs, seed)).unwrap();
    Trainer::new(Box::new(envs), Box::new(agent), 100)
}

const VARIANTS: [&str; 3] = [
    "{}",
    r#"{"extractor": {"kind": "recurrent", "cell": "gru", "units": 16}, "dueling": false, "double": false,
        "rescale_values": false, "loss": "huber", "target": {"kind": "soft", "tau": 0.05},
        "replay": {"capacity": 400, "burn_in": 0, "length": 5, "period": 5, "sampler": {"kind": "uniform"}}}"#,
    r#"{"extractor": {"kind": "recurrent", "cell": "rnn", "units": 16, "hidden": [16]},
        "target": {"kind": "every-steps", "steps": 160}}"#,
];

/// Greedy episodes in other environments than those of training.
fn played(trainer: &mut Trainer, frame_stack: usize) -> Evaluation {
    evaluate(&mut chain(10, frame_stack, 77), trainer.agent(), 200)
}

#[test]
fn a_bit_is_remembered_that_no_agent_without_memory_can_tell() {
    for variant in VARIANTS {
        let mut trainer = r2d2(&config(variant), chain(2, 1, 3), 3);
        trainer.run_until(4000, &mut ()).unwrap();
        let mean = played(&mut trainer, 1).mean();
        assert_eq!(mean, 1.0, "{variant}");
    }
    // The same bit within the frame stack of a recurrent extractor.
    for cell in ["rnn", "gru", "lstm"] {
        let extractor =
            format!(r#"{{"extractor": {{"kind": "recurrent", "cell": "{cell}", "units": 16}}}}"#);
        let mut trainer = dqn(&dqn_config(&extractor), chain(2, 5, 3), 3);
        trainer.run_until(4000, &mut ()).unwrap();
        assert_eq!(played(&mut trainer, 5).mean(), 1.0, "{cell}");
    }
    // Whatever it has learned, it says the same of either bit: 0 on average, standard error 0.07.
    let config = dqn_config(r#"{"extractor": {"kind": "mlp", "hidden": [16, 16]}}"#);
    let mut trainer = dqn(&config, chain(2, 1, 3), 3);
    trainer.run_until(4000, &mut ()).unwrap();
    let mean = played(&mut trainer, 1).mean();
    assert!(mean.abs() < 0.3, "{mean}");
}

#[test]
fn a_sign_is_remembered_over_sequences_that_do_not_show_it() {
    let config = config(
        r#"{"replay": {"capacity": 2000, "burn_in": 8, "length": 8, "period": 4},
            "epsilon": {"kind": "linear", "from": 1, "to": 0.05, "steps": 5000}}"#,
    );
    let mut trainer = r2d2(&config, maze(4, 1), 1);
    trainer.run_until(10_000, &mut ()).unwrap();
    let evaluation = evaluate(&mut maze(10, 77), trainer.agent(), 100);
    // The best return is 4, that without memory 1.95.
    assert!(evaluation.mean() > 3.8, "{}", evaluation.mean());
}

#[test]
fn a_resumed_agent_is_bitwise_the_one_that_never_stopped() {
    for variant in VARIANTS {
        let config = config(variant);
        // In the middle of episodes, of sequences and of their burn-ins, before and after the first update.
        for middle in [102, 501, 504] {
            let dir = tempfile::tempdir().unwrap();
            let ends = ["middle", "whole", "resumed"].map(|name| dir.path().join(name));
            ends.iter().for_each(|dir| fs::create_dir(dir).unwrap());
            let [mut events, mut rest]: [Vec<Event<'static>>; 2] = [Vec::new(), Vec::new()];

            let mut whole = r2d2(&config, maze(3, 5), 5);
            whole.run_until(middle, &mut events).unwrap();
            whole.save(&ends[0]).unwrap();
            let mark = events.len();
            whole.run_until(900, &mut events).unwrap();
            whole.save(&ends[1]).unwrap();

            let mut resumed = r2d2(&config, maze(3, 5), 5);
            resumed.load(&ends[0]).unwrap();
            resumed.run_until(900, &mut rest).unwrap();
            resumed.save(&ends[2]).unwrap();
            assert_eq!(rest, events[mark..], "{variant}");
            let [whole, resumed] = [1, 2].map(|i| files(&ends[i].join("agent")));
            let names: Vec<_> = whole.iter().map(|(name, _)| name.as_str()).collect();
            let expected = [
                "memory.bin",
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
}

#[test]
fn evaluations_leave_training_alone() {
    let trained = |every: u64| {
        let mut trainer = r2d2(&config("{}"), chain(3, 1, 2), 2);
        for step in (every..=1200).step_by(every as usize) {
            trainer.run_until(step, &mut ()).unwrap();
            played(&mut trainer, 1);
        }
        let dir = tempfile::tempdir().unwrap();
        trainer.save(dir.path()).unwrap();
        files(&dir.path().join("agent"))
    };
    assert!(trained(1200) == trained(100));
}

#[test]
fn sixteen_environments_learn_as_often_as_one() {
    let updates = |num_envs| {
        let config =
            config(r#"{"train_every_steps": 8, "updates_per_train": 3, "warmup_steps": 304}"#);
        let dir = tempfile::tempdir().unwrap();
        let mut trainer = r2d2(&config, chain(num_envs, 1, 1), 1);
        trainer.run_until(1600, &mut ()).unwrap();
        trainer.save(dir.path()).unwrap();
        let json = fs::read(dir.path().join("agent/state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&json).unwrap();
        state["cadence"]["updates"].as_u64().unwrap()
    };
    assert_eq!(updates(1), (1600 - 304) / 8 * 3);
    assert_eq!(updates(16), updates(1));
}

#[test]
fn numbers_are_reported_once_when_they_are_due() {
    let mut events: Vec<Event<'static>> = Vec::new();
    let mut trainer = r2d2(&config(r#"{"updates_per_train": 4}"#), chain(1, 1, 1), 1);
    trainer.run_until(500, &mut events).unwrap();
    let names: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Scalar { name, value, .. } => {
                assert!(value.is_finite());
                Some(name.as_ref())
            }
            _ => None,
        })
        .collect();
    let once = ["loss/td", "q/mean", "grad/norm", "explore/epsilon"];
    assert_eq!(names, once.repeat(3), "at steps 304, 400 and 500");
}

#[test]
fn policy_alone_is_enough_to_act() {
    let dir = tempfile::tempdir().unwrap();
    let mut trained = r2d2(&config("{}"), chain(1, 1, 2), 2);
    trained.run_until(1000, &mut ()).unwrap();
    trained.save(dir.path()).unwrap();
    let agent = dir.path().join("agent");
    for (name, _) in files(&agent) {
        if name != "weights.safetensors" {
            fs::remove_file(agent.join(name)).unwrap();
        }
    }
    let mut other = r2d2(&config("{}"), chain(1, 1, 99), 99);
    other.agent().load_policy(&agent).unwrap();
    assert_eq!(played(&mut other, 1), played(&mut trained, 1));
}

#[test]
fn damaged_files_are_refused_with_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut trainer = r2d2(&config("{}"), chain(2, 1, 1), 1);
    trainer.run_until(400, &mut ()).unwrap();
    let agent = trainer.agent();
    agent.save(dir.path()).unwrap();
    for (name, whole) in files(dir.path()) {
        let path = dir.path().join(&name);
        for len in [0, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..len]).unwrap();
            let error = agent.load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(&name), "{name}: {error}");
        }
        fs::write(&path, &whole).unwrap();
    }
    agent.load(dir.path()).unwrap();
    let new = tempfile::tempdir().unwrap();
    r2d2(&config("{}"), chain(2, 1, 1), 1)
        .agent()
        .save(new.path())
        .unwrap();
    agent.load(new.path()).unwrap();
    let mut other = r2d2(&config("{}"), chain(3, 1, 1), 1);
    let error = other.agent().load(dir.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("memory.bin: has 256 bytes; a memory here has 384"),
        "{error}"
    );
}

#[test]
fn memories_that_cannot_be_are_refused_by_name() {
    let envs = chain(1, 1, 1);
    let ctx = context(&envs, 1);
    let one_frame = dqn_config(r#"{"extractor": {"kind": "recurrent"}}"#);
    let error = Dqn::new(&one_frame, &ctx).unwrap_err().to_string();
    assert!(
        error.starts_with("extractor: ") && error.contains("give env.frame_stack of 2 or more"),
        "{error}"
    );
    let forgetful = config(r#"{"extractor": {"kind": "mlp", "hidden": [8]}}"#);
    let error = R2d2::new(&forgetful, &ctx).unwrap_err().to_string();
    assert!(
        error.starts_with("extractor: R2D2 without a recurrent extractor"),
        "{error}"
    );
    let huge = config(r#"{"replay": {"capacity": 4000000000}}"#);
    let error = R2d2::new(&huge, &ctx).unwrap_err().to_string();
    assert!(error.starts_with("replay.capacity: "), "{error}");
    let wide = config(r#"{"extractor": {"kind": "recurrent", "units": 65536}}"#);
    let error = R2d2::new(&wide, &ctx).unwrap_err().to_string();
    assert!(
        error.starts_with("extractor.units: the networks would take"),
        "{error}"
    );
    let absent = BuildContext {
        device: Device::Cuda(99),
        ..ctx
    };
    let error = R2d2::new(&config("{}"), &absent).unwrap_err().to_string();
    assert!(error.starts_with("device: cuda:99 is not there"), "{error}");
}
