//! Speed of the replay: `cargo bench -p thorndike-core --bench replay [-- PART ..]`, where parts of names choose lines.
//!
//! The floor of a line is the same work by hand, measured here and now: random numbers and copies of the
//! same rows between plain slices, with neither episodes nor checks.

use std::hint::black_box;
use std::time::Instant;

use thorndike_core::prelude::*;
use thorndike_core::replay::{PrioritizedConfig, Replay, ReplayConfig, SamplerConfig};
use thorndike_core::{Element, Kind};

const BATCH: usize = 32;

fn main() {
    for (name, capacity) in [("50k", 50_000), ("1m", 1_000_000)] {
        let vectors = Case::<f32>::new(4, 1, capacity);
        for (sampler, config) in samplers() {
            vectors.bench(&format!("{sampler}-4f32-{name}"), config);
        }
    }
    let frames = Case::<u8>::new(84 * 84, 4, 50_000);
    for (sampler, config) in samplers() {
        frames.bench(&format!("{sampler}-84x84x4-50k"), config);
    }
}

fn samplers() -> [(&'static str, SamplerConfig); 2] {
    let prioritized = SamplerConfig::Prioritized(PrioritizedConfig::default());
    [
        ("uniform", SamplerConfig::Uniform),
        ("prioritized", prioritized),
    ]
}

/// Observations of one form.
struct Case<T> {
    spec: EnvSpec,
    capacity: usize,
    /// Sixteen observations of one environment that follow each other.
    steps: Vec<Array>,
    scalar: std::marker::PhantomData<T>,
}

impl<T: Element> Case<T> {
    fn new(frame: usize, stack: usize, capacity: usize) -> Self {
        let spec = EnvSpec {
            frame_stack: stack,
            ..EnvSpec::new(Space::unbounded(&[frame]), T::KIND, Space::Discrete(2))
        };
        let steps = (0..16).map(|t| {
            let mut obs = Array::zeros::<T>(1, frame * stack);
            if let Kind::F32 = T::KIND {
                obs.as_mut_slice::<f32>().fill(t as f32);
            } else {
                obs.as_mut_slice::<u8>().fill(t as u8);
            }
            obs
        });
        Self {
            capacity,
            steps: steps.collect(),
            spec,
            scalar: std::marker::PhantomData,
        }
    }

    fn bench(&self, name: &str, sampler: SamplerConfig) {
        if !is_wanted(name) {
            return;
        }
        let config = ReplayConfig {
            capacity: self.capacity,
            n_step: 1,
            sampler,
        };
        let mut replay = Replay::new(&config, &self.spec, 0.99).expect("it fits");
        let actions = Array::zeros::<i32>(1, 1);
        let mut time = 0;
        let mut push = |replay: &mut Replay| {
            time += 1;
            replay.push(&Transitions {
                obs: &self.steps[time % 16],
                actions: &actions,
                rewards: &[1.0],
                next_obs: &self.steps[(time + 1) % 16],
                // An episode has 200 steps.
                status: &[if time % 200 == 0 {
                    Status::Terminated
                } else {
                    Status::Running
                }],
            });
        };
        // Full, so that every push overwrites a row.
        (0..self.capacity).for_each(|_| push(&mut replay));

        let mut rng = Seeds::new(1).stream("bench", 0);
        let mut batch = replay.new_batch(BATCH);
        let errors: Vec<f32> = (0..BATCH).map(|i| 0.1 * i as f32).collect();
        for _ in 0..self.capacity / BATCH {
            replay.sample_into(&mut rng, 0, &mut batch);
            replay.update_priorities(&batch.indices, &errors);
        }

        let note = format!("{} rows", self.capacity);
        println!(
            "bench replay-memory-{name} {:.1} B floor {} B a transition; floor: one observation, without its stack",
            replay.bytes() as f64 / self.capacity as f64,
            self.spec.frame_space.len() * size_of::<T>(),
        );
        let floor = self.floor_of_push();
        line(
            &format!("replay-push-{name}"),
            nanoseconds(|| push(&mut replay)),
            floor,
            &note,
        );
        let floor = self.floor_of_sample(&mut rng);
        let sample = || replay.sample_into(&mut rng, 0, black_box(&mut batch));
        line(
            &format!("replay-sample-{name}"),
            nanoseconds(sample),
            floor,
            &format!("batch {BATCH}, {note}"),
        );
        if let SamplerConfig::Prioritized(_) = sampler {
            let mut at = 0;
            let update = || {
                // Other rows every time, as after a draw.
                at = (at + 7919) % (self.capacity - 200 * BATCH);
                for (i, index) in batch.indices.iter_mut().enumerate() {
                    *index = at + 200 * i;
                }
                replay.update_priorities(&batch.indices, &errors);
            };
            let powers = nanoseconds(|| {
                for &error in &errors {
                    black_box((f64::from(black_box(error)) + 1e-6).powf(0.6));
                }
            });
            line(
                &format!("replay-update-{name}"),
                nanoseconds(update),
                powers,
                "batch 32; floor: the powers alone",
            );
        }
    }

    /// All frames, written once: pages that never were are all one page.
    fn ring(&self) -> Vec<T> {
        let mut ring = vec![T::default(); self.capacity * self.spec.frame_space.len()];
        ring.iter_mut().for_each(|x| *x = black_box(T::default()));
        ring
    }

    /// Copying one frame into the next place of a ring.
    fn floor_of_push(&self) -> f64 {
        let frame = self.spec.frame_space.len();
        let mut ring = self.ring();
        let mut at = 0;
        nanoseconds(|| {
            let newest = &self.steps[at % 16].as_slice::<T>()[..frame];
            black_box(&mut ring)[at * frame..][..frame].copy_from_slice(newest);
            at = (at + 1) % self.capacity;
        })
    }

    /// Drawing as many numbers and copying a stack and the frame after it from there.
    fn floor_of_sample(&self, rng: &mut Rng) -> f64 {
        let frame = self.spec.frame_space.len();
        let stack = self.spec.frame_stack;
        let ring = self.ring();
        let len = frame * (stack + 1);
        let mut out = vec![T::default(); BATCH * len];
        nanoseconds(|| {
            for frames in out.chunks_exact_mut(len) {
                let row = rng.random_range(0..(self.capacity - stack) as u32) as usize;
                frames.copy_from_slice(&ring[row * frame..][..len]);
            }
            black_box(&mut out);
        })
    }
}

/// Whether the arguments ask for `name`: one of them is a part of it, or there are none.
fn is_wanted(name: &str) -> bool {
    let mut parts = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .peekable();
    parts.peek().is_none() || parts.any(|part| name.contains(&part))
}

fn line(name: &str, value: f64, floor: f64, note: &str) {
    println!("bench {name} {value:.1} ns floor {floor:.1} ns {note}");
}

/// Nanoseconds of one call: the least of 100 rounds of about 1 ms, so that other programs disturb little.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let mut calls = 1u32;
    let mut least = f64::INFINITY;
    let mut rounds = 0;
    while rounds < 100 {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        let nanoseconds = start.elapsed().as_nanos() as f64;
        if nanoseconds < 1e6 {
            calls = calls.saturating_mul(2);
            continue;
        }
        rounds += 1;
        least = least.min(nanoseconds / f64::from(calls));
    }
    least
}
