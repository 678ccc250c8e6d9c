//! The wrappers together, through a registry as a user has them, against slow twins.

use std::io::Read;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::{Actor, Agent, Mode, Transitions};
use crate::array::{Array, Columns, Element, Kind};
use crate::check::check_vector_env;
use crate::env::{Env, Status, Step};
use crate::error::Result;
use crate::event::{Event, Log};
use crate::registry::Registry;
use crate::replay::{Replay, ReplayConfig};
use crate::seed::{Rng, Seeds};
use crate::space::Space;
use crate::train::Trainer;
use crate::vector::{EnvOptions, SyncVectorEnv, VectorEnv};

/// What an observation is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    /// Three numbers.
    Vector,
    /// `u8`, `[3, 8, 6]`.
    Pixels,
    /// `f32`, `[3, 8, 6]`.
    FloatPixels,
    /// One of 50.
    State,
    /// Two of 50.
    States,
    /// Pixels and a word.
    Tuple,
}

/// A walk by random steps: position, time, and a seed of what it looks like. It ends at times.
struct Walk<T> {
    look: Look,
    scalar: std::marker::PhantomData<fn() -> T>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct WalkState {
    at: u16,
    time: u16,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NoConfig {}

impl<T> Walk<T> {
    fn new(look: Look) -> Self {
        Self {
            look,
            scalar: std::marker::PhantomData,
        }
    }
}

trait Scalar: Element {
    fn of(x: u16) -> Self;
}
impl Scalar for f32 {
    fn of(x: u16) -> Self {
        f32::from(x % 256) / 255.0
    }
}
impl Scalar for u8 {
    fn of(x: u16) -> Self {
        x as u8
    }
}
impl Scalar for i32 {
    fn of(x: u16) -> Self {
        i32::from(x % 50)
    }
}

impl<T: Scalar> Env for Walk<T> {
    type State = WalkState;
    type Obs = T;
    type Action = usize;
    fn observation_space(&self) -> Space {
        let pixels = |high| Space::Box {
            shape: vec![3, 8, 6],
            low: 0.0,
            high,
        };
        match self.look {
            Look::Vector => Space::unbounded(&[3]),
            Look::Pixels => pixels(255.0),
            Look::FloatPixels => pixels(1.0),
            Look::State => Space::Discrete(50),
            Look::States => Space::MultiDiscrete(vec![50; 2]),
            Look::Tuple => Space::Tuple(vec![pixels(255.0), Space::Discrete(256)]),
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(3)
    }
    fn reset(&self, rng: &mut Rng) -> WalkState {
        WalkState {
            at: rng.random(),
            time: 0,
        }
    }
    fn step(&self, state: &mut WalkState, action: usize, rng: &mut Rng) -> Step {
        state.time += 1;
        state.at = (state.at.wrapping_mul(31)).wrapping_add(action as u16 + rng.random_range(0..5));
        let reward = f32::from(state.at % 21) - 10.0;
        Step::terminal_if(rng.random_range(0..9) == 0, reward)
    }
    fn observe(&self, state: &WalkState, obs: &mut [T]) {
        for (i, x) in obs.iter_mut().enumerate() {
            *x = T::of(state.at.wrapping_mul(i as u16 * 7 + 1) >> 3);
        }
    }
    fn time_limit(&self) -> Option<u32> {
        Some(13)
    }
    fn action_mask(&self, state: &WalkState, mask: &mut [bool]) {
        for (action, allowed) in mask.iter_mut().enumerate() {
            *allowed = usize::from(state.at) % 3 != action;
        }
    }
}

fn registry() -> Registry {
    Registry::new()
        .env("vector", |_: &NoConfig| Ok(Walk::<f32>::new(Look::Vector)))
        .env("pixels", |_: &NoConfig| Ok(Walk::<u8>::new(Look::Pixels)))
        .env("float-pixels", |_: &NoConfig| {
            Ok(Walk::<f32>::new(Look::FloatPixels))
        })
        .env("state", |_: &NoConfig| Ok(Walk::<i32>::new(Look::State)))
        .env("states", |_: &NoConfig| Ok(Walk::<i32>::new(Look::States)))
        .env("tuple", |_: &NoConfig| Ok(Walk::<u8>::new(Look::Tuple)))
}

/// The environment `id` with options as a user writes them.
fn try_make(id: &str, options: Value, seed: u64) -> Result<Box<dyn VectorEnv>> {
    let options: EnvOptions = serde_json::from_value(options).unwrap();
    registry().make_envs(id, &Value::Null, &options, Seeds::new(seed))
}

fn make(id: &str, options: Value) -> Box<dyn VectorEnv> {
    try_make(id, options, 1).unwrap()
}

/// Takes the same random actions in both and calls `each` after every step.
fn side_by_side(
    a: &mut dyn VectorEnv,
    b: &mut dyn VectorEnv,
    steps: usize,
    mut each: impl FnMut(&dyn VectorEnv, &dyn VectorEnv),
) {
    let mut rng = Seeds::new(5).stream("test", 0);
    let mut actions = a.new_actions();
    let space = a.spec().action_space.clone();
    for _ in 0..steps {
        for row in 0..actions.rows() {
            space.sample(&mut rng, &mut actions, row);
        }
        a.step(&actions);
        b.step(&actions);
        each(a, b);
        a.advance();
        b.advance();
    }
}

/// All single options, and many together.
fn combinations(id: &str) -> Vec<Value> {
    let mut all = vec![
        json!({}),
        json!({ "time_observation": true }),
        json!({ "clip_rewards": "sign" }),
        json!({ "clip_rewards": [-0.5, 2.0] }),
        json!({ "normalize_rewards": 0.9 }),
        json!({ "normalize_rewards": 0.9, "clip_rewards": [-1, 1], "time_observation": true, "action_repeat": 3 }),
    ];
    if ["vector", "pixels", "float-pixels"].contains(&id) {
        all.push(json!({ "normalize_observations": true }));
        all.push(json!({ "max_pool": true, "action_repeat": 2 }));
        all.push(json!({ "max_pool": true, "action_repeat": 4, "normalize_observations": true, "time_observation": true,
            "normalize_rewards": 0.99, "clip_rewards": "sign" }));
    }
    if id.ends_with("pixels") {
        all.push(json!({ "grey": true }));
        all.push(json!({ "resize": [3, 5] }));
        all.push(json!({ "grey": true, "resize": [4, 3], "max_pool": true, "action_repeat": 4, "clip_rewards": "sign" }));
        all.push(json!({ "grey": true, "resize": [3, 4], "max_pool": true, "action_repeat": 2, "time_observation": true,
            "normalize_observations": true, "normalize_rewards": 0.9, "clip_rewards": [-5, 5] }));
    }
    all
}

#[test]
fn every_combination_conforms() {
    for id in registry().env_ids() {
        for (i, combination) in combinations(id).into_iter().enumerate() {
            let checked = check_vector_env(|asked, seeds| {
                let mut options: EnvOptions = serde_json::from_value(combination.clone()).unwrap();
                options.num_envs = asked.num_envs;
                options.frame_stack = asked.frame_stack;
                options.threads = Some(1 + i % 2);
                registry().make_envs(id, &Value::Null, &options, seeds)
            });
            assert_eq!(checked, Ok(()), "{id}: {combination}");
        }
    }
}

#[test]
fn what_cannot_be_done_is_one_line_with_the_key() {
    for (id, options, said) in [
        (
            "state",
            json!({ "normalize_observations": true }),
            "normalize_observations: observation space: expected numbers; states and words have no mean, found discrete(50)",
        ),
        (
            "state",
            json!({ "max_pool": true, "action_repeat": 2 }),
            "max_pool: observation space: expected numbers, of which one is the larger, found discrete(50)",
        ),
        (
            "vector",
            json!({ "max_pool": true }),
            "env.max_pool: true, but there is one frame to an action; give action_repeat of 2 or more",
        ),
        (
            "vector",
            json!({ "grey": true }),
            "grey: observation space: expected pixels, [3, height, width], found box(3; -inf..inf)",
        ),
        (
            "vector",
            json!({ "resize": [2, 2] }),
            "resize: observation space: expected pixels, [height, width] or [channels, height, width], found box(3; -inf..inf)",
        ),
        (
            "pixels",
            json!({ "resize": [9, 2] }),
            "env.resize: [9, 2] is no smaller size; give [1, 1] to [8, 6]",
        ),
        (
            "pixels",
            json!({ "time_observation": true, "time_limit": 0 }),
            "env.time_observation: true, but the environment has no time limit; give time_limit",
        ),
        (
            "vector",
            json!({ "normalize_rewards": 1.5 }),
            "env.normalize_rewards: 1.5 is out of range; give 0 to 1",
        ),
        (
            "vector",
            json!({ "clip_rewards": [1, -1] }),
            "env.clip_rewards: 1 to -1 is no range; give a low and a higher end",
        ),
        (
            "vector",
            json!({ "threads": 0 }),
            "env.threads: 0 is out of range; give 1 to 1024",
        ),
    ] {
        assert_eq!(try_make(id, options, 1).err().unwrap().to_string(), said);
    }
}

#[test]
fn a_batch_that_was_not_built_with_the_plain_options_is_refused() {
    let options = EnvOptions {
        frame_stack: 2,
        time_observation: true,
        ..Default::default()
    };
    let env = Walk::<f32>::new(Look::Vector);
    let envs = SyncVectorEnv::new(env, &options, Seeds::new(1)).unwrap();
    assert_eq!(
        super::wrap(Box::new(envs), &options)
            .err()
            .unwrap()
            .to_string(),
        "frame_stack: the environments stack 2 frames, not 1 as asked by `EnvOptions::plain`"
    );
}

#[test]
fn the_number_of_threads_changes_no_number_and_no_saved_byte() {
    for combination in combinations("pixels") {
        let with = |threads: usize| {
            let mut options = combination.clone();
            options["num_envs"] = json!(7);
            options["frame_stack"] = json!(2);
            options["threads"] = json!(threads);
            make("pixels", options)
        };
        let mut one = with(1);
        for threads in [2, 3, 7, 20] {
            let mut many = with(threads);
            let mut one = with(1);
            assert_eq!(one.batch(), many.batch());
            side_by_side(&mut *one, &mut *many, 40, |a, b| {
                assert_eq!(a.batch(), b.batch());
                let mut masks = [[true; 3]; 2];
                for row in 0..7 {
                    a.action_mask(row, &mut masks[0]);
                    b.action_mask(row, &mut masks[1]);
                    assert_eq!(masks[0], masks[1]);
                }
            });
            assert_eq!(one.save().unwrap(), many.save().unwrap());
            many.reset();
            one.reset();
            assert_eq!(one.batch().obs, many.batch().obs);
        }
        let mut many = with(3);
        side_by_side(&mut *one, &mut *with(1), 9, |_, _| ());
        many.load(&one.save().unwrap()).unwrap();
        side_by_side(&mut *one, &mut *many, 40, |a, b| {
            assert_eq!(a.batch(), b.batch())
        });
    }
}

#[test]
#[should_panic(expected = "boom")]
fn a_panic_on_a_thread_reaches_the_caller() {
    struct Fuse;
    impl Env for Fuse {
        type State = u8;
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(9)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(9)
        }
        fn reset(&self, _: &mut Rng) -> u8 {
            0
        }
        fn step(&self, _: &mut u8, action: usize, _: &mut Rng) -> Step {
            assert_eq!(action, 0, "boom");
            Step::running(0.0)
        }
        fn observe(&self, _: &u8, obs: &mut [i32]) {
            obs[0] = 0;
        }
    }
    let options = EnvOptions {
        num_envs: 2,
        threads: Some(2),
        ..Default::default()
    };
    let mut envs = crate::threads::on_threads(Fuse, &options, Seeds::new(1)).unwrap();
    envs.step(&Array::from_vec(vec![0, 0], 1));
    envs.step(&Array::from_vec(vec![0, 1], 1));
}

/// A row of whatever kind.
fn scalars<'a>(of: impl Into<Columns<'a>>, row: usize) -> Vec<f64> {
    let of = of.into();
    match of.kind() {
        Kind::F32 => of.row::<f32>(row).iter().map(|&x| x.into()).collect(),
        Kind::U8 => of.row::<u8>(row).iter().map(|&x| x.into()).collect(),
        Kind::I32 => of.row::<i32>(row).iter().map(|&x| x.into()).collect(),
    }
}

/// Frames of one row are shown as the wrappers say, whatever the other options are.
#[test]
fn stacks_hold_what_single_frames_showed() {
    for combination in combinations("pixels") {
        let with = |stack: usize| {
            let mut options = combination.clone();
            options["num_envs"] = json!(3);
            options["frame_stack"] = json!(stack);
            make("pixels", options)
        };
        let (mut single, mut stacked) = (with(1), with(3));
        let frame = single.batch().obs.cols();
        // The frames since each episode's start.
        let mut shown: Vec<Vec<Vec<f64>>> = (0..3)
            .map(|row| vec![scalars(&single.batch().obs, row)])
            .collect();
        let mut rng = Seeds::new(5).stream("test", 0);
        let mut actions = single.new_actions();
        for _ in 0..60 {
            for row in 0..3 {
                actions.row_mut::<i32>(row)[0] = rng.random_range(0..3);
            }
            single.step(&actions);
            stacked.step(&actions);
            for (row, shown) in shown.iter_mut().enumerate() {
                shown.push(scalars(&single.batch().next_obs, row));
                let last = shown.len() - 1;
                let expected: Vec<f64> = (0..3)
                    .flat_map(|back| shown[(last + back).saturating_sub(2)].clone())
                    .collect();
                assert_eq!(scalars(&stacked.batch().next_obs, row), expected);
                assert_eq!(expected.len(), 3 * frame);
            }
            assert_eq!(single.batch().status, stacked.batch().status);
            let status = single.batch().status.clone();
            single.advance();
            stacked.advance();
            for (row, status) in status.iter().enumerate() {
                if status.is_over() {
                    let start = scalars(&single.batch().obs, row);
                    assert_eq!(scalars(&stacked.batch().obs, row), start.repeat(3));
                    shown[row] = vec![start];
                }
            }
        }
    }
}

/// Replay keeps single frames and stacks them again: it must find what was seen.
#[test]
fn replay_gives_back_what_the_agent_saw() {
    for combination in combinations("pixels") {
        let mut options = combination;
        options["num_envs"] = json!(2);
        options["frame_stack"] = json!(3);
        let mut envs = make("pixels", options);
        let config = ReplayConfig {
            capacity: 400,
            ..Default::default()
        };
        let mut replay = Replay::new(&config, envs.spec(), 0.9).unwrap();
        let actions = envs.new_actions();
        let mut seen: Vec<(Array, Array)> = Vec::new();
        for _ in 0..60 {
            envs.step(&actions);
            replay.push(&Transitions::new(envs.batch(), &actions));
            seen.push((envs.batch().obs.clone(), envs.batch().next_obs.clone()));
            envs.advance();
        }
        let mut batch = replay.new_batch(64);
        replay.sample_into(&mut Seeds::new(3).stream("test", 0), 120, &mut batch);
        for i in 0..64 {
            let drawn = (scalars(batch.obs(), i), scalars(batch.next_obs(), i));
            let found = seen.iter().any(|(obs, next_obs)| {
                (0..2).any(|at| (scalars(obs, at), scalars(next_obs, at)) == drawn)
            });
            assert!(found, "{:?}", envs.spec());
        }
    }
}

#[test]
fn time_counts_from_each_start_to_the_limit() {
    for (id, share) in [
        ("vector", 1.0),
        ("pixels", 255.0),
        ("state", 13.0),
        ("states", 13.0),
    ] {
        for repeat in [1, 4] {
            let mut envs = make(
                id,
                json!({ "time_observation": true, "action_repeat": repeat }),
            );
            let time = |obs: &Array| -> f64 {
                let last = obs.cols() - 1;
                match obs.kind() {
                    Kind::F32 => obs.row::<f32>(0)[last].into(),
                    Kind::U8 => obs.row::<u8>(0)[last].into(),
                    Kind::I32 => obs.row::<i32>(0)[last].into(),
                }
            };
            let mut steps = 0;
            let mut truncated = 0;
            for _ in 0..300 {
                assert_eq!(time(&envs.batch().obs), expected(steps * repeat, share));
                envs.step(&envs.new_actions());
                steps += 1;
                let batch = envs.batch();
                assert_eq!(
                    time(&batch.next_obs),
                    expected(steps * repeat, share),
                    "{id}"
                );
                if batch.status[0] == Status::Truncated {
                    assert_eq!(time(&batch.next_obs), share);
                    truncated += 1;
                }
                if batch.status[0].is_over() {
                    steps = 0;
                }
                envs.advance();
            }
            assert!(truncated > 5);
        }
    }
    /// Share of the limit of 13 steps.
    fn expected(elapsed: u32, share: f64) -> f64 {
        let elapsed = f64::from(elapsed.min(13));
        match share {
            255.0 => (elapsed * 255.0 / 13.0).floor(),
            1.0 => (elapsed as f32 / 13.0).into(),
            _ => elapsed,
        }
    }
}

/// Steps a bare state and pools by hand.
#[test]
fn the_larger_of_the_last_two_frames_is_shown() {
    let env = Walk::<u8>::new(Look::Pixels);
    for repeat in [2, 3, 5] {
        let options = json!({ "max_pool": true, "action_repeat": repeat });
        let mut envs = make("pixels", options);
        let mut rng = Seeds::new(1).stream("env", 0);
        let mut state = env.reset(&mut rng);
        let frame = |state: &WalkState| {
            let mut frame = vec![0; 144];
            env.observe(state, &mut frame);
            frame
        };
        let mut pooled = 0;
        for _ in 0..200 {
            let start = state.time;
            let mut frames = Vec::new();
            let mut over = false;
            while !over && frames.len() < repeat as usize {
                over = env.step(&mut state, 1, &mut rng).status.is_over() || state.time == 13;
                frames.push(frame(&state));
            }
            let mut expected = frames.pop().unwrap();
            let planned = (13 - start).min(repeat) as usize;
            if planned > 1 && frames.len() + 1 == planned {
                let earlier = frames.pop().unwrap();
                expected = expected
                    .into_iter()
                    .zip(earlier)
                    .map(|(a, b)| a.max(b))
                    .collect();
                pooled += 1;
            }
            let mut actions = envs.new_actions();
            actions.row_mut::<i32>(0)[0] = 1;
            envs.step(&actions);
            assert_eq!(envs.batch().next_obs.as_slice::<u8>(), expected);
            assert_eq!(envs.batch().status[0].is_over(), over);
            envs.advance();
            if over {
                state = env.reset(&mut rng);
            }
        }
        assert!(pooled > 50);
    }
}

/// The mean over an area, pixel by pixel in fine cells.
#[test]
fn shrunk_pictures_are_means_over_areas() {
    let mut large = make("float-pixels", json!({}));
    for size in [[8, 6], [4, 3], [1, 1], [3, 5], [7, 2]] {
        let mut small = make("float-pixels", json!({ "resize": size }));
        let [height, width] = size;
        side_by_side(&mut *large, &mut *small, 5, |large, small| {
            let (large, small) = (&large.batch().next_obs, &small.batch().next_obs);
            let (large, small) = (large.as_slice::<f32>(), small.as_slice::<f32>());
            for channel in 0..3 {
                for y in 0..height {
                    for x in 0..width {
                        let mut sum = 0.0;
                        for fine_y in y * 8..(y + 1) * 8 {
                            for fine_x in x * 6..(x + 1) * 6 {
                                let pixel = (channel * 8 + fine_y / height) * 6 + fine_x / width;
                                sum += f64::from(large[pixel]);
                            }
                        }
                        let shown = f64::from(small[(channel * height + y) * width + x]);
                        // About ten roundings of numbers up to 1.
                        assert!((shown - sum / 48.0).abs() < 1e-6);
                    }
                }
            }
        });
        large = make("float-pixels", json!({}));
    }
}

#[derive(Deserialize)]
struct Pictures {
    from: [usize; 2],
    to: [usize; 2],
    grey: Option<Vec<u8>>,
    small: Vec<u8>,
}

/// A picture by formula, and nothing else.
struct Still {
    size: [usize; 2],
}

impl Env for Still {
    type State = ();
    type Obs = u8;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![3, self.size[0], self.size[1]],
            low: 0.0,
            high: 255.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(1)
    }
    fn reset(&self, _: &mut Rng) {}
    fn step(&self, (): &mut (), _: usize, _: &mut Rng) -> Step {
        Step::running(0.0)
    }
    fn observe(&self, (): &(), obs: &mut [u8]) {
        let [height, width] = self.size;
        for (i, item) in obs.iter_mut().enumerate() {
            let (y, x) = (i / width % height, i % width);
            let value = match i / width / height {
                0 => x * x * 7 + y * 13 + x * y,
                1 => x * 31 + y * y * 5,
                _ => x * y * 3 + x + 2 * y,
            };
            *item = value as u8;
        }
    }
}

/// How much of item `i` of a line of `from` lies in item `k` of one of `to`, in items.
fn overlap(i: usize, from: usize, k: usize, to: usize) -> f64 {
    let end = ((i + 1) * to).min((k + 1) * from);
    end.saturating_sub((i * to).max(k * from)) as f64 / to as f64
}

#[test]
fn grey_and_small_pictures_are_those_of_opencv_but_for_halves() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/images/opencv.jsonl.gz"
    );
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::MultiGzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    for line in text.lines() {
        let expected: Pictures = serde_json::from_str(line).unwrap();
        let show = |options: &EnvOptions| -> Vec<u8> {
            let still = Still {
                size: expected.from,
            };
            let envs = SyncVectorEnv::new(still, &options.plain(), Seeds::new(0)).unwrap();
            let envs = super::wrap(Box::new(envs), options).unwrap();
            envs.batch().obs.as_slice().to_vec()
        };
        let options = EnvOptions {
            grey: true,
            ..Default::default()
        };
        let grey = show(&options);
        if let Some(expected) = &expected.grey {
            assert_eq!(&grey, expected);
        }
        let small = show(&EnvOptions {
            resize: Some(expected.to),
            ..options
        });
        let ([height, width], [new_height, new_width]) = (expected.from, expected.to);
        for (at, (&seen, &expected)) in small.iter().zip(&expected.small).enumerate() {
            let mut sum = 0.0;
            for y in 0..height {
                let share = overlap(y, height, at / new_width, new_height);
                for x in (0..width).filter(|_| share > 0.0) {
                    let share = share * overlap(x, width, at % new_width, new_width);
                    sum += share * f64::from(grey[y * width + x]);
                }
            }
            let mean = sum * (new_height * new_width) as f64 / (height * width) as f64;
            if (mean.fract() - 0.5).abs() > 1e-4 {
                assert_eq!((seen, seen), (mean.round() as u8, expected), "{mean}");
            } else {
                assert!(seen.abs_diff(expected) <= 1);
            }
        }
        assert_eq!(small.len(), expected.small.len());
    }
}

/// Takes action 0 and remembers the rewards that it was shown.
#[derive(Default)]
struct Listener {
    heard: Vec<f32>,
}

impl Actor for Listener {
    fn act(&mut self, _: &Array, _: Mode, actions: &mut Array) {
        actions.as_mut_slice::<i32>().fill(0);
    }
}

impl Agent for Listener {
    fn observe(&mut self, transitions: &Transitions<'_>) {
        self.heard.extend(transitions.rewards);
        assert!(self.heard.iter().all(|reward| reward.abs() <= 1.0));
    }
    fn update(&mut self, _: &mut Log<'_>) -> Result<()> {
        Ok(())
    }
    fn save(&self, _: &std::path::Path) -> Result<()> {
        Ok(())
    }
    fn load(&mut self, _: &std::path::Path) -> Result<()> {
        Ok(())
    }
}

#[test]
fn episodes_and_evaluations_report_raw_returns_though_rewards_are_clipped() {
    let play = |clip: bool| {
        let options = if clip {
            json!({ "num_envs": 2, "clip_rewards": "sign", "normalize_rewards": 0.9 })
        } else {
            json!({ "num_envs": 2 })
        };
        let mut events: Vec<Event<'static>> = Vec::new();
        let agent: Box<dyn Agent> = if clip {
            Box::new(Listener::default())
        } else {
            Box::new(Deaf)
        };
        let mut trainer = Trainer::new(make("vector", options.clone()), agent, 10);
        trainer.run_until(500, &mut events).unwrap();
        let mut envs = try_make("vector", options, 2).unwrap();
        (events, trainer.evaluate(&mut *envs, 20).unwrap())
    };
    let (events, evaluation) = play(true);
    assert_eq!((events, evaluation.clone()), play(false));
    assert!(evaluation.returns.iter().any(|r| r.abs() > 20.0));
}

/// As [`Listener`], and hears nothing.
struct Deaf;

impl Actor for Deaf {
    fn act(&mut self, _: &Array, _: Mode, actions: &mut Array) {
        actions.as_mut_slice::<i32>().fill(0);
    }
}

impl Agent for Deaf {
    fn observe(&mut self, _: &Transitions<'_>) {}
    fn update(&mut self, _: &mut Log<'_>) -> Result<()> {
        Ok(())
    }
    fn save(&self, _: &std::path::Path) -> Result<()> {
        Ok(())
    }
    fn load(&mut self, _: &std::path::Path) -> Result<()> {
        Ok(())
    }
}

#[test]
fn evaluation_sees_by_the_statistics_of_training_and_leaves_them_alone() {
    let options = json!({ "num_envs": 2, "normalize_observations": true, "time_observation": true, "frame_stack": 2 });
    let mut trained = make("vector", options.clone());
    for _ in 0..200 {
        trained.step(&trained.new_actions());
        trained.advance();
    }
    let statistics = trained.statistics().unwrap();
    let mut envs = try_make("vector", options, 9).unwrap();
    let mut plain = try_make("vector", json!({ "num_envs": 2 }), 9).unwrap();
    envs.freeze(&statistics).unwrap();
    let (mean, deviation) = shown_by(&*trained);
    let check = |raw: &Array, shown: &Array| {
        for row in 0..2 {
            // The newest of two frames of three numbers and the time.
            let newest = &shown.row::<f32>(row)[4..7];
            for (i, (&raw, &shown)) in raw.row::<f32>(row).iter().zip(newest).enumerate() {
                assert!(
                    (f64::from(shown) - (f64::from(raw) - mean[i]) / deviation[i]).abs() < 1e-3
                );
            }
        }
    };
    check(&plain.batch().obs, &envs.batch().obs);
    side_by_side(&mut *plain, &mut *envs, 50, |plain, envs| {
        check(&plain.batch().next_obs, &envs.batch().next_obs);
    });
    assert_eq!(envs.statistics().unwrap(), statistics);
    assert!(plain.freeze(&statistics).is_err());
    assert!(envs.freeze(&statistics[1..]).is_err());

    /// Mean and deviation, from what a fresh copy makes of two numbers that are known.
    fn shown_by(envs: &dyn VectorEnv) -> ([f64; 3], [f64; 3]) {
        #[derive(Deserialize)]
        struct Moments {
            _count: f64,
            mean: [f32; 3],
            variance: [f32; 3],
        }
        let bytes = envs.statistics().unwrap();
        // Lengths of vectors stand before their items.
        let (count, rest) = bytes.split_at(8);
        let array = |at: usize| -> [f32; 3] {
            std::array::from_fn(|i| f32::from_le_bytes(rest[at + 4 * i..][..4].try_into().unwrap()))
        };
        let moments = Moments {
            _count: f64::from_le_bytes(count.try_into().unwrap()),
            mean: array(1),
            variance: array(14),
        };
        (
            moments.mean.map(f64::from),
            moments.variance.map(|v| f64::from(v).sqrt()),
        )
    }
}

#[test]
fn a_loaded_policy_brings_the_statistics() {
    let options = json!({ "normalize_observations": true });
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("agent")).unwrap();
    let trainer = |seed| {
        let envs = try_make("vector", options.clone(), seed).unwrap();
        Trainer::new(envs, Box::new(Deaf), 10)
    };
    let mut trained = trainer(1);
    trained.run_until(100, &mut ()).unwrap();
    trained.save(dir.path()).unwrap();
    let mut loaded = trainer(2);
    loaded.load_policy(dir.path()).unwrap();
    assert_eq!(loaded.envs().statistics(), trained.envs().statistics());
}

#[test]
fn damaged_bytes_are_refused_or_stepped_on_without_a_panic() {
    for id in ["pixels", "vector", "state"] {
        for combination in combinations(id) {
            let mut options = combination;
            options["num_envs"] = json!(2);
            let mut envs = make(id, options.clone());
            side_by_side(&mut *make(id, options.clone()), &mut *envs, 5, |_, _| ());
            let saved = envs.save().unwrap();
            let mut rng = Seeds::new(8).stream("test", 0);
            for _ in 0..200 {
                let mut bytes = saved.clone();
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
                if rng.random_range(0..4) == 0 {
                    bytes.truncate(at);
                }
                let mut copy = make(id, options.clone());
                if copy.load(&bytes).is_ok() {
                    for _ in 0..3 {
                        copy.step(&copy.new_actions());
                        copy.advance();
                    }
                }
            }
        }
    }
}

#[test]
fn a_state_of_other_options_is_refused() {
    let all = combinations("pixels");
    for (i, a) in all.iter().enumerate() {
        let saved = make("pixels", a.clone()).save().unwrap();
        for (k, b) in all.iter().enumerate() {
            let keys = |options: &Value| {
                let mut options = options.clone();
                // These are no part of what is saved.
                for key in ["clip_rewards", "action_repeat", "max_pool"] {
                    options.as_object_mut().unwrap().remove(key);
                }
                options
            };
            if keys(a) != keys(b) {
                let loaded = make("pixels", b.clone()).load(&saved);
                assert!(loaded.is_err(), "{i} in {k}: {a} in {b}");
            }
        }
    }
}
