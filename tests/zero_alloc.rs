//! No allocation per environment step.

#[path = "../core/tests/allocations/mod.rs"]
mod allocations;

use allocations::allocations;
use thorndike_core::{BuildContext, Device, EnvOptions, Seeds, Trainer};

// One test in this file: others would run at the same time and be counted too.
#[test]
fn environments_and_tabular_agents_allocate_nothing_per_step() {
    let registry = thorndike::standard();
    let empty = serde_json::Value::Null;
    let options = EnvOptions {
        num_envs: 4,
        frame_stack: 2,
        ..Default::default()
    };
    for id in registry.env_ids() {
        let mut envs = registry
            .make_envs(id, &empty, &options, Seeds::new(1))
            .unwrap();
        let mut actions = envs.new_actions();
        let space = envs.spec().action_space.clone();
        let mut rng = Seeds::new(2).stream("test", 0);
        let counted = |steps: usize,
                       envs: &mut dyn thorndike_core::VectorEnv,
                       actions: &mut _,
                       rng: &mut _| {
            let before = allocations();
            for _ in 0..steps {
                for row in 0..4 {
                    space.sample(rng, actions, row);
                }
                envs.step(actions);
                envs.advance();
            }
            allocations() - before
        };
        counted(1000, &mut *envs, &mut actions, &mut rng);
        assert_eq!(
            counted(10_000, &mut *envs, &mut actions, &mut rng),
            0,
            "{id}"
        );
    }

    let make = |id: &str| {
        registry
            .make_envs(id, &empty, &EnvOptions::default(), Seeds::new(1))
            .unwrap()
    };
    for id in ["q-learning", "sarsa", "expected-sarsa", "double-q-learning"] {
        let envs = make("frozen-lake");
        let spec = envs.spec().clone();
        let context = BuildContext {
            spec: &spec,
            seeds: Seeds::new(1),
            device: Device::Cpu,
        };
        let agent = registry.make_agent(id, &empty, &context).unwrap();
        let mut trainer = Trainer::new(envs, agent, u64::MAX);
        trainer.run_until(10_000, &mut ()).unwrap();
        let before = allocations();
        trainer.run_until(60_000, &mut ()).unwrap();
        assert_eq!(allocations() - before, 0, "{id}");
    }
}
