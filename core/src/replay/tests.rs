//! Tests of the whole replay, against a slow twin that keeps whole episodes.

use rand::RngExt;

use super::*;
use crate::array::Element;
use crate::env::{Env, Status, Step};
use crate::schedule::Schedule;
use crate::seed::Seeds;
use crate::space::Space;
use crate::vector::{EnvOptions, SyncVectorEnv, VectorEnv};

/// Environments that show two scalars a frame and take one of 100,000 actions.
pub(super) fn spec<T: Element>(num_envs: usize, frame_stack: usize) -> EnvSpec {
    EnvSpec {
        num_envs,
        frame_stack,
        ..EnvSpec::new(Space::unbounded(&[2]), T::KIND, Space::Discrete(100_000))
    }
}

pub(super) fn config(capacity: usize, n_step: usize) -> ReplayConfig {
    ReplayConfig {
        capacity,
        n_step,
        sampler: SamplerConfig::Uniform,
    }
}

pub(super) fn prioritized(capacity: usize, n_step: usize) -> ReplayConfig {
    ReplayConfig {
        sampler: SamplerConfig::Prioritized(PrioritizedConfig::default()),
        ..config(capacity, n_step)
    }
}

/// A scalar that can tell many frames apart.
pub(super) trait Numbered: Element {
    /// Two scalars that no other `id` below 65,536 has.
    fn frame(id: u32) -> [Self; 2];
}
impl Numbered for u8 {
    fn frame(id: u32) -> [u8; 2] {
        [(id >> 8) as u8, id as u8]
    }
}
impl Numbered for i32 {
    fn frame(id: u32) -> [i32; 2] {
        [id as i32, -(id as i32)]
    }
}
impl Numbered for f32 {
    fn frame(id: u32) -> [f32; 2] {
        [id as f32, 0.5]
    }
}

/// A vector environment of random episodes in which no frame comes twice.
pub(super) struct Stream<T> {
    pub(super) rng: Rng,
    pub(super) obs: Array,
    next_obs: Array,
    actions: Array,
    rewards: Vec<f32>,
    status: Vec<Status>,
    stack: usize,
    ids: u32,
    scalar: std::marker::PhantomData<T>,
}

impl<T: Numbered> Stream<T> {
    pub(super) fn new(num_envs: usize, stack: usize, seed: u64) -> Self {
        let mut this = Self {
            rng: Seeds::new(seed).stream("stream", 0),
            obs: Array::zeros::<T>(num_envs, 2 * stack),
            next_obs: Array::zeros::<T>(num_envs, 2 * stack),
            actions: Array::zeros::<i32>(num_envs, 1),
            rewards: vec![0.0; num_envs],
            status: vec![Status::Truncated; num_envs],
            stack,
            ids: 0,
            scalar: std::marker::PhantomData,
        };
        this.advance();
        this
    }

    fn frame(&mut self) -> [T; 2] {
        self.ids += 1;
        T::frame(self.ids)
    }

    /// One step: random rewards in -8..=8; an episode ends in one of three steps.
    pub(super) fn step(&mut self) -> Transitions<'_> {
        for env in 0..self.rewards.len() {
            let frame = self.frame();
            self.actions.row_mut::<i32>(env)[0] = self.ids as i32;
            let old = self.obs.row::<T>(env)[2..].to_vec();
            let next = self.next_obs.row_mut::<T>(env);
            next[..old.len()].copy_from_slice(&old);
            next[old.len()..].copy_from_slice(&frame);
            self.rewards[env] = self.rng.random_range(-8..=8) as f32;
            self.status[env] = match self.rng.random_range(0..12) {
                0 | 1 => Status::Terminated,
                2 | 3 => Status::Truncated,
                _ => Status::Running,
            };
        }
        Transitions {
            obs: &self.obs,
            actions: &self.actions,
            rewards: &self.rewards,
            next_obs: &self.next_obs,
            status: &self.status,
        }
    }

    pub(super) fn advance(&mut self) {
        for env in 0..self.rewards.len() {
            if self.status[env].is_over() {
                let frame = self.frame().repeat(self.stack);
                self.next_obs.row_mut::<T>(env).copy_from_slice(&frame);
            }
        }
        std::mem::swap(&mut self.obs, &mut self.next_obs);
    }
}

/// One transition as the agent would see it; scalars as `f32`, so that any two compare.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
struct Seen {
    obs: Vec<f32>,
    action: i32,
    reward: f32,
    discount: f32,
    next_obs: Vec<f32>,
}

fn floats<'a>(array: impl Into<Columns<'a>>, row: usize) -> Vec<f32> {
    let array = array.into();
    match array.kind() {
        crate::Kind::F32 => array.row::<f32>(row).to_vec(),
        crate::Kind::U8 => array.row::<u8>(row).iter().map(|&x| x.into()).collect(),
        crate::Kind::I32 => array.row::<i32>(row).iter().map(|&x| x as f32).collect(),
    }
}

fn seen(batch: &MiniBatch, i: usize) -> Seen {
    Seen {
        obs: floats(batch.obs(), i),
        action: batch.actions.row::<i32>(i)[0],
        reward: batch.rewards[i],
        discount: batch.discounts[i],
        next_obs: floats(batch.next_obs(), i),
    }
}

impl Replay {
    /// The rows whose transitions can be drawn.
    pub(super) fn candidate_rows(&self) -> Vec<usize> {
        let by_row = &self.candidates.by_row;
        (0..by_row.len())
            .filter(|&row| by_row[row].successor != NONE)
            .collect()
    }

    fn candidates_seen(&self) -> Vec<Seen> {
        let rows = self.candidate_rows();
        let mut batch = self.new_batch(rows.len());
        batch.indices = rows;
        self.read_into(&mut batch);
        (0..batch.len()).map(|i| seen(&batch, i)).collect()
    }
}

/// The slow twin: whole episodes in plain vectors, and how old every frame is.
struct Twin {
    n: usize,
    gamma: f64,
    stack: usize,
    capacity: usize,
    /// Frames stored so far, all environments together.
    stored: usize,
    episodes: Vec<Episode>,
    /// For each environment the episode that it is in.
    running: Vec<Option<usize>>,
}

#[derive(Default)]
struct Episode {
    /// Frames with the number of frames that were stored before them.
    frames: Vec<(Vec<f32>, usize)>,
    actions: Vec<i32>,
    rewards: Vec<f32>,
    end: Option<Status>,
}

impl Twin {
    fn new(config: &ReplayConfig, spec: &EnvSpec, gamma: f32) -> Self {
        Self {
            n: config.n_step,
            gamma: gamma.into(),
            stack: spec.frame_stack,
            capacity: config.capacity,
            stored: 0,
            episodes: Vec::new(),
            running: vec![None; spec.num_envs],
        }
    }

    fn store(&mut self, episode: usize, obs: &Array, env: usize) {
        let row = floats(obs, env);
        let newest = row[row.len() - 2..].to_vec();
        self.episodes[episode].frames.push((newest, self.stored));
        self.stored += 1;
    }

    fn push(&mut self, step: &Transitions<'_>) {
        for env in 0..step.len() {
            let episode = match self.running[env] {
                Some(episode) => episode,
                None => {
                    self.episodes.push(Episode::default());
                    self.store(self.episodes.len() - 1, step.obs, env);
                    self.episodes.len() - 1
                }
            };
            self.running[env] = Some(episode);
            self.store(episode, step.next_obs, env);
            let at = &mut self.episodes[episode];
            at.actions.push(step.actions.row::<i32>(env)[0]);
            at.rewards.push(step.rewards[env]);
            if step.status[env].is_over() {
                at.end = Some(step.status[env]);
                self.running[env] = None;
            }
        }
    }

    fn stack(&self, episode: &Episode, t: usize) -> Vec<f32> {
        (0..self.stack)
            .rev()
            .flat_map(|back| episode.frames[t.saturating_sub(back)].0.clone())
            .collect()
    }

    fn transitions(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for episode in &self.episodes {
            let len = episode.actions.len();
            for t in 0..len {
                let m = self.n.min(len - t);
                let oldest = episode.frames[t.saturating_sub(self.stack - 1)].1;
                let is_overwritten = oldest + self.capacity < self.stored;
                if is_overwritten || (m < self.n && episode.end.is_none()) {
                    continue;
                }
                let discounted =
                    (0..m).map(|i| self.gamma.powi(i as i32) * f64::from(episode.rewards[t + i]));
                let terminates = t + m == len && episode.end == Some(Status::Terminated);
                all.push(Seen {
                    obs: self.stack(episode, t),
                    action: episode.actions[t],
                    reward: discounted.sum::<f64>() as f32,
                    discount: if terminates {
                        0.0
                    } else {
                        self.gamma.powi(m as i32) as f32
                    },
                    next_obs: self.stack(episode, t + m),
                });
            }
        }
        all
    }
}

fn sorted(mut all: Vec<Seen>) -> Vec<Seen> {
    all.sort_by(|a, b| a.partial_cmp(b).expect("no NaN here"));
    all
}

/// Pushes `steps` random steps and compares all transitions with those of the twin after each.
fn compare_with_twin<T: Numbered>(
    num_envs: usize,
    stack: usize,
    config: &ReplayConfig,
    steps: usize,
) {
    // Rewards are whole numbers and gamma is a power of two: every sum is exact, in whatever order.
    let gamma = 0.5;
    let spec = spec::<T>(num_envs, stack);
    let mut replay = Replay::new(config, &spec, gamma).unwrap();
    let mut twin = Twin::new(config, &spec, gamma);
    let mut stream = Stream::<T>::new(num_envs, stack, (10 * config.n_step + stack) as u64);
    let mut rng = Seeds::new(1).stream("sample", 0);
    let mut batch = replay.new_batch(8);
    for _ in 0..steps {
        let step = stream.step();
        replay.push(&step);
        twin.push(&step);
        stream.advance();
        let expected = sorted(twin.transitions());
        assert_eq!(replay.len(), expected.len());
        assert_eq!(sorted(replay.candidates_seen()), expected);
        if !replay.is_empty() {
            replay.sample_into(&mut rng, 0, &mut batch);
            for i in 0..batch.len() {
                let drawn = seen(&batch, i);
                assert!(expected.contains(&drawn), "{drawn:?} was drawn");
            }
            let errors: Vec<f32> = batch.rewards.iter().map(|r| r.abs()).collect();
            replay.update_priorities(&batch.indices, &errors);
        }
    }
    assert!(
        twin.stored > 3 * config.capacity,
        "the ring went round thrice"
    );
}

#[test]
fn every_transition_is_that_of_the_slow_twin() {
    for n_step in 1..=5 {
        for stack in 1..=4 {
            // Odd and of the least size, so that nothing fits by chance.
            compare_with_twin::<f32>(1, stack, &config(2 * (n_step + stack), n_step), 100);
            compare_with_twin::<u8>(3, stack, &config(61, n_step), 80);
            compare_with_twin::<u8>(2, stack, &prioritized(37, n_step), 80);
            compare_with_twin::<i32>(2, stack, &prioritized(37, n_step), 80);
        }
    }
}

#[test]
fn shared_frames_are_those_of_two_stacks() {
    let spec = spec::<u8>(2, 4);
    let mut replay = Replay::new(&config(61, 1), &spec, 0.5).unwrap();
    let mut stream = Stream::<u8>::new(2, 4, 7);
    let mut ends = Vec::new();
    for _ in 0..100 {
        let step = stream.step();
        replay.push(&step);
        ends.extend(step.status.iter().filter(|status| status.is_over()));
        stream.advance();
        let rows = replay.candidate_rows();
        let mut batch = replay.new_batch(rows.len());
        assert!(matches!(batch.stacks, Stacks::Shared { .. }));
        batch.indices.copy_from_slice(&rows);
        replay.read_into(&mut batch);
        let [mut obs, mut next_obs] = [(), ()].map(|()| Array::zeros::<u8>(rows.len(), 8));
        let successor = |row: usize| replay.candidates.by_row[row].successor as usize;
        let pairs = rows.iter().map(|&row| [row, successor(row)]);
        replay.rows.gather(pairs, [&mut obs, &mut next_obs]);
        assert!(batch.obs().iter::<u8>().eq(obs.columns(0..8).iter::<u8>()));
        assert!((batch.next_obs().iter::<u8>()).eq(next_obs.columns(0..8).iter::<u8>()));
    }
    for end in [Status::Terminated, Status::Truncated] {
        assert!(ends.contains(&end));
    }
    assert_eq!(replay.rows.filled(), 61, "the ring is full");
}

#[test]
#[should_panic(expected = "a batch of another form")]
fn a_batch_of_one_step_is_not_filled_with_longer_ones() {
    let spec = spec::<u8>(1, 2);
    let replay = |n_step| Replay::new(&config(20, n_step), &spec, 0.5).unwrap();
    replay(2).read_into(&mut replay(1).new_batch(1));
}

/// Shows the steps since its start, plus 100 times the number of the episode; ends by itself after five.
struct Counter;

impl Env for Counter {
    type State = (i32, i32);
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::unbounded(&[1])
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, rng: &mut Rng) -> (i32, i32) {
        (rng.random_range(1..100_000), 0)
    }
    fn step(&self, (_, time): &mut (i32, i32), _: usize, _: &mut Rng) -> Step {
        *time += 1;
        Step::terminal_if(*time == 5, 1.0)
    }
    fn observe(&self, (episode, time): &(i32, i32), obs: &mut [i32]) {
        obs[0] = 100 * episode + time;
    }
}

/// The transitions of 20 steps of [`Counter`].
fn counted(n_step: usize, options: EnvOptions) -> Vec<Seen> {
    let mut envs = SyncVectorEnv::new(Counter, &options, Seeds::new(3)).unwrap();
    let mut replay = Replay::new(&config(100, n_step), envs.spec(), 0.5).unwrap();
    let actions = envs.new_actions();
    for _ in 0..20 {
        envs.step(&actions);
        replay.push(&Transitions::new(envs.batch(), &actions));
        envs.advance();
    }
    replay.candidates_seen()
}

#[test]
fn truncation_bootstraps_from_the_true_last_observation() {
    let options = EnvOptions {
        time_limit: Some(3),
        ..Default::default()
    };
    let all = counted(2, options);
    let last: Vec<&Seen> = all.iter().filter(|s| s.obs[0] % 100.0 == 2.0).collect();
    assert_eq!(
        last.len(),
        6,
        "20 steps are six episodes of three and two steps"
    );
    for item in last {
        assert_eq!(
            item.next_obs[0],
            item.obs[0] + 1.0,
            "observation 3 of the same episode"
        );
        assert_eq!(item.discount, 0.5);
    }
    assert!(all.iter().all(|s| s.discount > 0.0));
}

#[test]
fn reset_observation_never_enters() {
    for n_step in 1..=3 {
        let all = counted(n_step, EnvOptions::default());
        assert!(all.len() > 15);
        for item in all {
            assert_ne!(item.next_obs[0] % 100.0, 0.0, "a start is no successor");
            assert_eq!(item.discount == 0.0, item.next_obs[0] % 100.0 == 5.0);
        }
    }
}

#[test]
fn stack_does_not_reach_into_the_previous_episode() {
    let options = EnvOptions {
        frame_stack: 3,
        ..Default::default()
    };
    for item in counted(1, options) {
        let start = 100.0 * (item.obs[2] / 100.0).floor();
        let time = item.obs[2] - start;
        let frame = |back: f32| start + (time - back).max(0.0);
        assert_eq!(item.obs, [frame(2.0), frame(1.0), frame(0.0)]);
    }
}

#[test]
fn overwritten_rows_are_never_sampled() {
    let spec = spec::<f32>(1, 3);
    let mut replay = Replay::new(&prioritized(16, 2), &spec, 0.9).unwrap();
    let mut stream = Stream::<f32>::new(1, 3, 9);
    let mut rng = Seeds::new(1).stream("sample", 0);
    let mut batch = replay.new_batch(64);
    for step in 0..200 {
        replay.push(&stream.step());
        stream.advance();
        if step < 50 {
            continue;
        }
        replay.sample_into(&mut rng, 0, &mut batch);
        // Frames are numbered in the order in which they come; starts of episodes are frames too.
        let oldest = stream.ids as f32 - 16.0 - 1.0;
        for i in 0..batch.len() {
            assert!(batch.obs().row::<f32>(i)[0] >= oldest);
        }
    }
}

#[test]
fn a_reset_from_outside_closes_what_is_open_as_truncated() {
    let spec = spec::<i32>(1, 1);
    let mut replay = Replay::new(&config(100, 3), &spec, 0.5).unwrap();
    let mut push = |obs: i32, next: i32| {
        replay.push(&Transitions {
            obs: &Array::from_vec(vec![obs, 0], 2),
            actions: &Array::from_vec(vec![0], 1),
            rewards: &[1.0],
            next_obs: &Array::from_vec(vec![next, 0], 2),
            status: &[Status::Running],
        });
    };
    push(0, 1);
    push(1, 2);
    push(50, 51);
    let all = replay.candidates_seen();
    assert_eq!(all.len(), 2);
    assert_eq!(
        (all[0].next_obs[0], all[0].reward, all[0].discount),
        (2.0, 1.5, 0.25)
    );
    assert_eq!(
        (all[1].next_obs[0], all[1].reward, all[1].discount),
        (2.0, 1.0, 0.5)
    );
}

#[test]
fn a_start_that_looks_like_the_last_end_is_a_start() {
    let spec = spec::<i32>(1, 2);
    let mut replay = Replay::new(&config(100, 2), &spec, 0.5).unwrap();
    let mut push = |obs: [i32; 2], next: [i32; 2], status| {
        let row = |[a, b]: [i32; 2]| Array::from_vec(vec![a, 0, b, 0], 4);
        replay.push(&Transitions {
            obs: &row(obs),
            actions: &Array::from_vec(vec![0], 1),
            rewards: &[1.0],
            next_obs: &row(next),
            status: &[status],
        });
    };
    push([1, 1], [1, 7], Status::Truncated);
    push([7, 7], [7, 8], Status::Terminated);
    let all = replay.candidates_seen();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].next_obs, [1.0, 0.0, 7.0, 0.0]);
    assert_eq!(all[1].obs, [7.0, 0.0, 7.0, 0.0]);
}

#[test]
fn continuous_actions_come_back_with_their_observation() {
    let spec = EnvSpec {
        action_space: Space::unbounded(&[2]),
        ..spec::<f32>(1, 1)
    };
    let mut replay = Replay::new(&config(10, 1), &spec, 0.9).unwrap();
    for t in 0..30 {
        let t = t as f32;
        replay.push(&Transitions {
            obs: &Array::from_vec(vec![t, 0.0], 2),
            actions: &Array::from_vec(vec![t + 0.25, -t], 2),
            rewards: &[t],
            next_obs: &Array::from_vec(vec![t + 1.0, 0.0], 2),
            status: &[Status::Running],
        });
    }
    let mut batch = replay.new_batch(32);
    replay.sample_into(&mut Seeds::new(1).stream("sample", 0), 0, &mut batch);
    for i in 0..batch.len() {
        let t = batch.obs().row::<f32>(i)[0];
        assert_eq!(batch.actions.row::<f32>(i), [t + 0.25, -t]);
    }
}

/// Sum over cells of (observed - expected)^2 / expected.
pub(super) fn chi_square(observed: &[u32], expected: &[f64]) -> f64 {
    (observed.iter().zip(expected))
        .map(|(&o, &e)| (f64::from(o) - e).powi(2) / e)
        .sum()
}

/// How often each of the candidates was drawn in `batches` batches of 50.
fn drawn(replay: &mut Replay, batches: usize) -> Vec<u32> {
    let mut rng = Seeds::new(11).stream("sample", 0);
    let mut batch = replay.new_batch(50);
    let mut counts = vec![0; replay.candidates.by_row.len()];
    for _ in 0..batches {
        replay.sample_into(&mut rng, 0, &mut batch);
        batch.indices.iter().for_each(|&row| counts[row] += 1);
    }
    let rows = replay.candidate_rows();
    let counts: Vec<u32> = rows.iter().map(|&row| counts[row]).collect();
    assert_eq!(
        counts.iter().sum::<u32>() as usize,
        50 * batches,
        "nothing else was drawn"
    );
    counts
}

#[test]
fn uniform_sampling_draws_all_alike() {
    let spec = spec::<f32>(2, 2);
    let mut replay = Replay::new(&config(120, 3), &spec, 0.9).unwrap();
    let mut stream = Stream::<f32>::new(2, 2, 4);
    for _ in 0..200 {
        replay.push(&stream.step());
        stream.advance();
    }
    let counts = drawn(&mut replay, 2000);
    let expected = vec![100_000.0 / counts.len() as f64; counts.len()];
    // Degrees of freedom d, standard deviation sqrt(2 d): above d + 4 sqrt(2 d) lies less than 1 in 1000.
    let freedom = counts.len() as f64 - 1.0;
    let bound = freedom + 4.0 * (2.0 * freedom).sqrt();
    assert!(freedom > 60.0);
    assert!(chi_square(&counts, &expected) < bound);
    let skewed: Vec<f64> = (expected.iter().enumerate())
        .map(|(i, e)| if i % 2 == 0 { e * 1.05 } else { e * 0.95 })
        .collect();
    assert!(chi_square(&counts, &skewed) > bound, "the test sees 5 %");
}

#[test]
fn prioritized_sampling_draws_in_proportion() {
    let spec = spec::<f32>(2, 2);
    let mut replay = Replay::new(&prioritized(120, 3), &spec, 0.9).unwrap();
    let mut stream = Stream::<f32>::new(2, 2, 4);
    for _ in 0..200 {
        replay.push(&stream.step());
        stream.advance();
    }
    let rows = replay.candidate_rows();
    let errors: Vec<f32> = (0..rows.len()).map(|i| 0.5 + (i % 7) as f32).collect();
    replay.update_priorities(&rows, &errors);
    let counts = drawn(&mut replay, 2000);
    let powers: Vec<f64> = errors
        .iter()
        .map(|&e| (f64::from(e) + 1e-6).powf(0.6))
        .collect();
    let total: f64 = powers.iter().sum();
    let expected: Vec<f64> = powers.iter().map(|p| 100_000.0 * p / total).collect();
    // One draw from each part varies less than independent draws, so the bound for those holds.
    let freedom = counts.len() as f64 - 1.0;
    let bound = freedom + 4.0 * (2.0 * freedom).sqrt();
    assert!(chi_square(&counts, &expected) < bound);
    let uniform = vec![100_000.0 / counts.len() as f64; counts.len()];
    assert!(chi_square(&counts, &uniform) > bound);
}

#[test]
fn drawn_rows_are_value_stable() {
    for (config, pinned) in [(config(64, 2), UNIFORM), (prioritized(64, 2), PRIORITIZED)] {
        let spec = spec::<f32>(2, 1);
        let mut replay = Replay::new(&config, &spec, 0.9).unwrap();
        let mut stream = Stream::<f32>::new(2, 1, 1);
        for _ in 0..100 {
            replay.push(&stream.step());
            stream.advance();
        }
        let mut batch = replay.new_batch(8);
        let mut rng = Seeds::new(42).stream("replay", 0);
        replay.sample_into(&mut rng, 0, &mut batch);
        replay.update_priorities(&batch.indices, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        replay.sample_into(&mut rng, 0, &mut batch);
        assert_eq!(batch.indices, pinned, "published results depend on these");
    }
}
const UNIFORM: [usize; 8] = [61, 27, 46, 43, 51, 28, 1, 24];
const PRIORITIZED: [usize; 8] = [8, 16, 23, 34, 41, 47, 55, 60];

#[test]
fn a_million_stacked_frames_take_less_than_7_3_gigabytes() {
    let spec = EnvSpec {
        frame_space: Space::Box {
            shape: vec![84, 84],
            low: 0.0,
            high: 255.0,
        },
        obs_kind: crate::Kind::U8,
        action_space: Space::Discrete(18),
        num_envs: 8,
        frame_stack: 4,
        ..spec::<u8>(1, 1)
    };
    // A row: the frame, two links, an action, a transition; prioritized two nodes more.
    let row = 84 * 84 + 2 * 4 + 4 + 3 * 4;
    // Beside them an open step and a current row for each environment, and gamma^0 and gamma^1.
    let envs = 8 * (8 + 4 + 4) + 2 * 4;
    assert_eq!(config(1_000_000, 1).bytes(&spec), 1_000_000 * row + envs);
    let bytes = prioritized(1_000_000, 1).bytes(&spec);
    assert_eq!(bytes, 1_000_000 * (row + 16) + envs);
    assert!(bytes <= 7_300_000_000);
}

#[test]
fn memory_is_what_was_said_and_does_not_grow() {
    for config in [config(1000, 3), prioritized(999, 5)] {
        let spec = spec::<u8>(4, 4);
        let mut replay = Replay::new(&config, &spec, 0.9).unwrap();
        assert_eq!(replay.bytes(), config.bytes(&spec));
        let mut stream = Stream::<u8>::new(4, 4, 1);
        for _ in 0..600 {
            replay.push(&stream.step());
            stream.advance();
        }
        assert_eq!(replay.bytes(), config.bytes(&spec));
    }
}

#[test]
fn bad_numbers_are_refused_with_their_key() {
    let refused = |config: ReplayConfig, gamma: f32| {
        let spec = spec::<f32>(4, 2);
        Replay::new(&config, &spec, gamma).unwrap_err().to_string()
    };
    let with = |sampler: PrioritizedConfig| ReplayConfig {
        sampler: SamplerConfig::Prioritized(sampler),
        ..config(100, 1)
    };
    let default = PrioritizedConfig::default();
    assert_eq!(
        refused(config(23, 1), 0.9),
        "capacity: 23 is out of range; give 24 to 4294967295"
    );
    assert!(refused(config(usize::MAX, 1), 0.9).starts_with("capacity: "));
    assert_eq!(
        refused(config(24, 0), 0.9),
        "n_step: 0 is out of range; give 1 to 1024"
    );
    assert!(refused(config(24, 1), f32::NAN).starts_with("gamma: "));
    let alpha = PrioritizedConfig {
        alpha: 1.5,
        ..default
    };
    assert_eq!(
        refused(with(alpha), 0.9),
        "sampler.alpha: 1.5 is out of range; give 0 to 1"
    );
    let beta = Schedule::constant(-1.0);
    assert!(
        refused(with(PrioritizedConfig { beta, ..default }), 0.9).starts_with("sampler.beta: ")
    );
    let epsilon = PrioritizedConfig {
        epsilon: 0.0,
        ..default
    };
    assert!(refused(with(epsilon), 0.9).starts_with("sampler.epsilon: 0 is out of range"));
}

#[test]
fn the_configuration_is_read_with_defaults_and_refuses_unknown_keys() {
    let read = serde_json::from_str::<ReplayConfig>;
    let config =
        read(r#"{"capacity": 500, "sampler": {"kind": "prioritized", "beta": 0.5}}"#).unwrap();
    let sampler = PrioritizedConfig {
        beta: Schedule::constant(0.5),
        ..Default::default()
    };
    assert_eq!(config.sampler, SamplerConfig::Prioritized(sampler));
    assert_eq!((config.capacity, config.n_step), (500, 1));
    let written = serde_json::to_string(&config).unwrap();
    assert_eq!(read(&written).unwrap(), config);
    assert_eq!(
        read(r#"{"sampler": {"kind": "uniform"}}"#).unwrap(),
        ReplayConfig::default()
    );
    for (text, key) in [
        (r#"{"size": 5}"#, "size"),
        (r#"{"sampler": {"kind": "uniform", "alpha": 1}}"#, "alpha"),
        (
            r#"{"sampler": {"kind": "prioritized", "alhpa": 1}}"#,
            "alhpa",
        ),
        (r#"{"sampler": {"kind": "rank"}}"#, "rank"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
}
