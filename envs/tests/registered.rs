//! What holds for every registered environment, whatever its rules.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use thorndike_core::{
    Array, EnvOptions, Registry, Seeds, Space, Status, VectorEnv, check_vector_env,
};

fn registry() -> Registry {
    thorndike_envs::register(Registry::new())
}

/// With a limit where the environment has none: a random policy may walk for ever.
fn made(registry: &Registry, id: &str, num_envs: usize, seed: u64) -> Box<dyn VectorEnv> {
    let options = EnvOptions {
        num_envs,
        ..EnvOptions::default()
    };
    let make = |options| {
        registry
            .make_envs(id, &Value::Null, options, Seeds::new(seed))
            .unwrap()
    };
    let envs = make(&options);
    if envs.spec().time_limit.is_some() {
        return envs;
    }
    make(&EnvOptions {
        time_limit: Some(500),
        ..options
    })
}

fn assert_inside(id: &str, envs: &dyn VectorEnv, obs: &Array) {
    let space = envs.spec().observation_space();
    for row in 0..obs.rows() {
        assert!(space.contains(obs, row), "{id}: outside {space}");
    }
}

/// Plays `episodes` with random actions and looks at every value.
fn play_at_random(registry: &Registry, id: &str, episodes: usize) {
    let mut envs = made(registry, id, 16, 5);
    let mut rng = Seeds::new(6).stream("test", 0);
    let space = envs.spec().action_space.clone();
    let mut actions = envs.new_actions();
    let mut ended = 0;
    while ended < episodes {
        for row in 0..actions.rows() {
            space.sample(&mut rng, &mut actions, row);
        }
        envs.step(&actions);
        let batch = envs.batch();
        assert_inside(id, &*envs, &batch.next_obs);
        assert!(batch.rewards.iter().all(|r| r.is_finite()), "{id}: reward");
        ended += batch.status.iter().filter(|s| s.is_over()).count();
        envs.advance();
        assert_inside(id, &*envs, &envs.batch().obs);
    }
}

#[test]
fn conforms() {
    let registry = registry();
    for id in registry.env_ids() {
        let checked =
            check_vector_env(|options, seeds| registry.make_envs(id, &Value::Null, options, seeds));
        assert_eq!(checked, Ok(()), "{id}");
    }
}

#[test]
fn random_episodes_stay_inside_the_spaces() {
    let registry = registry();
    registry
        .env_ids()
        .for_each(|id| play_at_random(&registry, id, 64));
}

#[test]
#[ignore = "minutes; run it in the release profile after a change of rules"]
fn ten_thousand_random_episodes_stay_inside_the_spaces() {
    let registry = registry();
    registry
        .env_ids()
        .for_each(|id| play_at_random(&registry, id, 10_000));
}

/// Bytes as actions: any byte is a legal one.
fn set_action(space: &Space, actions: &mut Array, byte: u8) {
    match space {
        Space::Discrete(n) => actions.row_mut::<i32>(0)[0] = i32::from(byte) % *n as i32,
        Space::Box { low, high, .. } => {
            let share = f32::from(byte) / 255.0;
            actions.row_mut::<f32>(0).fill(low + share * (high - low));
        }
        other => panic!("actions {other}"),
    }
}

/// What an episode shows, step by step; with a save and load into other environments before step `saved_at`.
fn episode(
    registry: &Registry,
    id: &str,
    seed: u64,
    bytes: &[u8],
    saved_at: Option<usize>,
) -> Vec<(Array, Vec<f32>, Vec<Status>)> {
    let mut envs = made(registry, id, 1, seed);
    let mut actions = envs.new_actions();
    let space = envs.spec().action_space.clone();
    let mut seen = Vec::new();
    for (t, &byte) in bytes.iter().enumerate() {
        if saved_at == Some(t) {
            let saved = envs.save().unwrap();
            envs = made(registry, id, 1, seed + 1);
            envs.load(&saved).unwrap();
        }
        set_action(&space, &mut actions, byte);
        envs.step(&actions);
        let batch = envs.batch();
        assert_inside(id, &*envs, &batch.next_obs);
        let step = (
            batch.next_obs.clone(),
            batch.rewards.clone(),
            batch.status.clone(),
        );
        seen.push(step);
        envs.advance();
    }
    seen
}

#[test]
fn any_actions_give_the_same_episode_again_also_when_saved_in_the_middle() {
    let registry = registry();
    for id in registry.env_ids() {
        let config = Config {
            cases: 12,
            failure_persistence: None,
            ..Config::default()
        };
        let actions = prop::collection::vec(any::<u8>(), 1..120);
        TestRunner::new_with_rng(
            config,
            prop::test_runner::TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha),
        )
        .run(
            &(0..1_000_u64, actions, 0..120_usize),
            |(seed, bytes, at)| {
                let whole = episode(&registry, id, seed, &bytes, None);
                let saved = episode(&registry, id, seed, &bytes, Some(at % bytes.len()));
                prop_assert_eq!(whole, saved);
                Ok(())
            },
        )
        .unwrap_or_else(|error| panic!("{id}: {error}"));
    }
}

#[test]
fn each_shows_itself_and_says_where_it_comes_from() {
    let registry = registry();
    for id in registry.env_ids() {
        let mut envs = made(&registry, id, 1, 3);
        assert!(envs.render(0).is_some(), "{id}: no text frame");
        let spec = envs.spec().clone();
        assert!(!spec.reference.is_empty(), "{id}: no reference");
        if let Some(n) = spec.action_space.discrete()
            && !spec.action_names.is_empty()
        {
            assert_eq!(spec.action_names.len(), n, "{id}: names of actions");
        }
        let size = envs.draw(0).map(|picture| (picture.width, picture.height));
        let mut actions = envs.new_actions();
        let mut rng = Seeds::new(6).stream("test", 0);
        for _ in 0..30 {
            spec.action_space.sample(&mut rng, &mut actions, 0);
            envs.step(&actions);
            let picture = envs.draw(0);
            if let Some(picture) = &picture {
                let bytes = picture.width as usize * picture.height as usize * 3;
                assert_eq!(picture.rgb.len(), bytes, "{id}");
            }
            let now = picture.map(|picture| (picture.width, picture.height));
            assert_eq!(now, size, "{id}: the frame changed its size");
            envs.advance();
        }
    }
}
