//! Every registered environment keeps the rules that the loop and the agents rely on.

use thorndike_core::{EnvOptions, Seeds, check_vector_env};

#[test]
fn every_registered_environment_conforms() {
    let registry = thorndike::standard();
    for id in registry.env_ids() {
        let checked = check_vector_env(|options: &EnvOptions, seeds: Seeds| {
            registry.make_envs(id, &serde_json::Value::Null, options, seeds)
        });
        assert_eq!(checked, Ok(()), "{id}");
    }
}

#[test]
fn the_resolved_parameters_of_everything_resolve_to_themselves() {
    let registry = thorndike::standard();
    let empty = serde_json::Value::Null;
    for id in registry.env_ids() {
        let resolved = registry.resolve_env(id, &empty).unwrap();
        assert_eq!(
            registry.resolve_env(id, &resolved).unwrap(),
            resolved,
            "{id}"
        );
    }
    for id in registry.agent_ids() {
        let resolved = registry.resolve_agent(id, &empty).unwrap();
        assert_eq!(
            registry.resolve_agent(id, &resolved).unwrap(),
            resolved,
            "{id}"
        );
    }
}

#[test]
fn known_dynamics_have_the_spaces_of_their_environment() {
    let registry = thorndike::standard();
    let empty = serde_json::Value::Null;
    let mut found = 0;
    for id in registry.env_ids() {
        let Some(mdp) = registry.make_finite(id, &empty).unwrap() else {
            continue;
        };
        found += 1;
        let envs = registry
            .make_envs(id, &empty, &EnvOptions::default(), Seeds::new(1))
            .unwrap();
        assert_eq!(
            envs.spec().num_states(id).unwrap(),
            mdp.num_states(),
            "{id}"
        );
        assert_eq!(
            envs.spec().num_actions(id).unwrap(),
            mdp.num_actions(),
            "{id}"
        );
        let mut starts = 0.0;
        mdp.starts(&mut |p, state| {
            assert!(state < mdp.num_states(), "{id}");
            starts += p;
        });
        assert!((starts - 1.0).abs() < 1e-12, "{id}: starts sum to {starts}");
        for state in 0..mdp.num_states() {
            for action in 0..mdp.num_actions() {
                let mut sum = 0.0;
                mdp.outcomes(state, action, &mut |p, next, _| {
                    assert!(next < mdp.num_states(), "{id}");
                    sum += p;
                });
                assert!(
                    (sum - 1.0).abs() < 1e-12,
                    "{id}: state {state}, action {action} sums to {sum}"
                );
            }
        }
    }
    assert!(found >= 3, "the grids have known dynamics");
}
