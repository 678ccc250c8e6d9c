//! No allocation per environment step.

#![allow(
    unsafe_code,
    reason = "a counting allocator has to implement `GlobalAlloc`"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use thorndike_core::{BuildContext, Device, EnvOptions, Seeds, Trainer};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            for _ in 0..steps {
                for row in 0..4 {
                    space.sample(rng, actions, row);
                }
                envs.step(actions);
                envs.advance();
            }
            ALLOCATIONS.load(Ordering::Relaxed) - before
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
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        trainer.run_until(60_000, &mut ()).unwrap();
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{id}");
    }
}
