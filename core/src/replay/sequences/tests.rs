//! Tests of the sequence replay, against a slow twin that keeps whole episodes.

use std::fs;

use super::*;
use crate::replay::PrioritizedConfig;
use crate::replay::tests::{Numbered, Stream, spec};
use crate::seed::Seeds;

fn config(capacity: usize, [burn_in, length, period]: [usize; 3]) -> SequenceConfig {
    SequenceConfig {
        capacity,
        burn_in,
        length,
        period,
        state_len: 2,
        sampler: SamplerConfig::Uniform,
    }
}

fn prioritized(config: SequenceConfig) -> SequenceConfig {
    SequenceConfig {
        sampler: SamplerConfig::Prioritized(PrioritizedConfig::default()),
        ..config
    }
}

fn rng() -> Rng {
    Seeds::new(8).stream("sample", 0)
}

/// One sequence without its padding; scalars as `f64`, so that any two compare.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    burn_in: Vec<Vec<f64>>,
    state: Vec<f32>,
    obs: Vec<Vec<f64>>,
    actions: Vec<i32>,
    rewards: Vec<f32>,
    terminated: bool,
}

fn numbers(array: &Array, row: usize) -> Vec<f64> {
    match array.kind() {
        Kind::F32 => array.row::<f32>(row).iter().map(|&x| x.into()).collect(),
        Kind::U8 => array.row::<u8>(row).iter().map(|&x| x.into()).collect(),
        Kind::I32 => array.row::<i32>(row).iter().map(|&x| x.into()).collect(),
    }
}

/// Sequence `i` of a batch; also checks what its padding must be.
fn seen(config: &SequenceConfig, batch: &SequenceBatch, i: usize) -> Seen {
    let time = config.length + 1;
    let (burn_in, len) = (batch.burn_ins[i], batch.lens[i]);
    let rows = |array: &Array, start: usize, n: usize| -> Vec<Vec<f64>> {
        (start..start + n).map(|row| numbers(array, row)).collect()
    };
    let actions = &batch.actions.as_slice::<i32>()[i * time..][..time];
    let rewards = &batch.rewards[i * time..][..time];
    assert!(actions[len..].iter().all(|&a| a == 0) && rewards[len..].iter().all(|&r| r == 0.0));
    for t in len..time {
        let last = numbers(&batch.obs, i * time + len);
        assert_eq!(numbers(&batch.obs, i * time + t), last);
    }
    Seen {
        burn_in: rows(&batch.burn_in_obs, i * config.burn_in, burn_in),
        state: batch.states[2 * i..][..2].to_vec(),
        obs: rows(&batch.obs, i * time, len + 1),
        actions: actions[..len].to_vec(),
        rewards: rewards[..len].to_vec(),
        terminated: batch.terminated[i],
    }
}

impl SequenceReplay {
    /// All stored sequences, oldest first.
    fn all(&self) -> Vec<Seen> {
        let mut batch = SequenceBatch::new(self.len(), &self.config, &self.spec);
        let oldest = if self.len() < self.config.capacity {
            0
        } else {
            self.cursor
        };
        batch.indices = (0..self.len()).map(|i| (oldest + i) % self.len()).collect();
        self.read_into(&mut batch);
        (0..self.len())
            .map(|i| seen(&self.config, &batch, i))
            .collect()
    }
}

/// An episode so far.
#[derive(Default)]
struct Episode {
    obs: Vec<Vec<f64>>,
    actions: Vec<i32>,
    rewards: Vec<f32>,
    states: Vec<Vec<f32>>,
}

impl Episode {
    fn push(&mut self, step: &Transitions<'_>, state: &[f32], env: usize) {
        if self.obs.is_empty() {
            self.obs.push(numbers(step.obs, env));
        }
        self.obs.push(numbers(step.next_obs, env));
        self.actions.push(step.actions.row::<i32>(env)[0]);
        self.rewards.push(step.rewards[env]);
        self.states.push(state.to_vec());
    }

    /// The sequence that ends with the newest step.
    fn last(&self, config: &SequenceConfig, terminated: bool) -> Seen {
        let end = self.actions.len();
        let first = end.saturating_sub(config.length);
        let start = first.saturating_sub(config.burn_in);
        Seen {
            burn_in: self.obs[start..first].to_vec(),
            state: self.states[start].clone(),
            obs: self.obs[first..].to_vec(),
            actions: self.actions[first..].to_vec(),
            rewards: self.rewards[first..].to_vec(),
            terminated,
        }
    }
}

/// States that no other step has.
fn states(steps: usize, num_envs: usize) -> Vec<f32> {
    let first = (2 * steps * num_envs) as f32;
    (0..2 * num_envs).map(|i| first + i as f32).collect()
}

fn compare_with_twin<T: Numbered>(num_envs: usize, config: &SequenceConfig) {
    let spec = spec::<T>(num_envs, 1);
    let mut replay = SequenceReplay::new(config, &spec).unwrap();
    let mut stream = Stream::<T>::new(num_envs, 1, config.capacity as u64);
    let mut episodes: Vec<Episode> = (0..num_envs).map(|_| Episode::default()).collect();
    let mut expected = Vec::new();
    let mut lens = Vec::new();
    let mut batch = SequenceBatch::new(4, config, &spec);
    let mut rng = rng();
    for i in 0..300 {
        let states = states(i, num_envs);
        let step = stream.step();
        replay.push(&step, &states);
        for (env, episode) in episodes.iter_mut().enumerate() {
            episode.push(&step, &states[2 * env..][..2], env);
            let len = episode.actions.len();
            let mut whole = (0..).map(|i| config.length + i * config.period);
            let is_full = whole.find(|&end| end >= len) == Some(len);
            let status = step.status[env];
            if is_full || status.is_over() {
                expected.push(episode.last(config, status == Status::Terminated));
            }
            if status.is_over() {
                lens.push(len);
                *episode = Episode::default();
            }
        }
        stream.advance();
        let kept = expected.len().saturating_sub(config.capacity);
        assert_eq!(replay.all(), expected[kept..]);
        if !replay.is_empty() {
            replay.sample_into(&mut rng, 0, &mut batch);
            for i in 0..batch.len() {
                let drawn = seen(config, &batch, i);
                assert!(expected[kept..].contains(&drawn), "{drawn:?} was drawn");
            }
            let errors: Vec<f32> = batch.rewards.iter().take(4).map(|r| r.abs()).collect();
            replay.update_priorities(&batch.indices, &errors);
        }
    }
    assert!(
        expected.len() > 3 * config.capacity,
        "the ring went round thrice"
    );
    assert!(
        lens.iter().max() > Some(&(config.length + 1)) && lens.contains(&1),
        "episodes of all sorts"
    );
}

#[test]
fn every_sequence_is_that_of_the_slow_twin() {
    for shape in [[0, 1, 1], [3, 2, 1], [1, 4, 2], [2, 3, 3], [5, 4, 3]] {
        compare_with_twin::<f32>(1, &config(7, shape));
        compare_with_twin::<u8>(3, &prioritized(config(9, shape)));
        compare_with_twin::<i32>(2, &prioritized(config(5, shape)));
    }
}

/// Steps of one environment whose observation is the number of steps so far, ending as `end` says.
fn episode(replay: &mut SequenceReplay, steps: usize, end: Status) {
    for t in 0..steps {
        let row = |t: usize| Array::from_vec(vec![t as f32, 0.0], 2);
        let over = t + 1 == steps;
        let step = Transitions {
            obs: &row(t),
            actions: &Array::from_vec(vec![t as i32], 1),
            rewards: &[t as f32],
            next_obs: &row(t + 1),
            status: &[if over { end } else { Status::Running }],
        };
        replay.push(&step, &[t as f32, 0.5]);
    }
}

/// Burn-in, first and last step, and whether the task ended the episode, of every sequence.
fn extents(replay: &SequenceReplay) -> Vec<(usize, i32, i32, bool)> {
    let extent = |s: &Seen| {
        assert_eq!(
            s.state[0] as usize + s.burn_in.len(),
            s.actions[0] as usize,
            "the state is that before the burn-in"
        );
        assert_eq!(
            s.obs.last().unwrap()[0] as i32,
            s.actions.last().unwrap() + 1
        );
        let last = *s.actions.last().unwrap();
        (s.burn_in.len(), s.actions[0], last, s.terminated)
    };
    replay.all().iter().map(extent).collect()
}

#[test]
fn an_episode_is_cut_as_computed_by_hand() {
    let cut = |shape, steps, end| {
        let mut replay = SequenceReplay::new(&config(20, shape), &spec::<f32>(1, 1)).unwrap();
        episode(&mut replay, steps, end);
        extents(&replay)
    };
    let shape = [3, 4, 2];
    assert_eq!(
        cut(shape, 9, Status::Terminated),
        [
            (0, 0, 3, false),
            (2, 2, 5, false),
            (3, 4, 7, false),
            (3, 5, 8, true)
        ]
    );
    assert_eq!(
        cut(shape, 6, Status::Truncated),
        [(0, 0, 3, false), (2, 2, 5, false)],
        "an end that a sequence ends with is not stored twice"
    );
    assert_eq!(cut(shape, 2, Status::Terminated), [(0, 0, 1, true)]);
    assert_eq!(cut(shape, 3, Status::Running), []);
}

#[test]
fn an_environment_that_was_reset_from_outside_is_closed_as_truncated() {
    let mut replay = SequenceReplay::new(&config(20, [3, 4, 2]), &spec::<f32>(1, 1)).unwrap();
    episode(&mut replay, 5, Status::Running);
    episode(&mut replay, 2, Status::Terminated);
    assert_eq!(
        extents(&replay),
        [(0, 0, 3, false), (1, 1, 4, false), (0, 0, 1, true)]
    );
    // Where a sequence had just ended, nothing is left to be closed.
    replay.clear();
    episode(&mut replay, 4, Status::Running);
    episode(&mut replay, 1, Status::Terminated);
    assert_eq!(extents(&replay), [(0, 0, 3, false), (0, 0, 0, true)]);
}

#[test]
fn memory_is_known_before_and_numbers_out_of_range_are_refused() {
    for config in [config(50, [3, 4, 2]), prioritized(config(51, [0, 1, 1]))] {
        for spec in [spec::<u8>(3, 2), spec::<f32>(1, 1)] {
            let replay = SequenceReplay::new(&config, &spec).unwrap();
            assert_eq!(replay.bytes(), config.bytes(&spec));
        }
    }
    for (config, message) in [
        (
            config(1, [1, 1, 1]),
            "capacity: 1 is out of range; give 2 to",
        ),
        (
            config(9, [1, 0, 1]),
            "length: 0 is out of range; give 1 to 65536",
        ),
        (
            config(9, [1, 4, 5]),
            "period: 5 is out of range; give 1 to 4",
        ),
        (
            config(9, [1 << 20, 4, 4]),
            "burn_in: 1048576 is out of range; give 0 to 65536",
        ),
        (
            config(u32::MAX as usize, [9, 60_000, 4]),
            "capacity: the replay would take ",
        ),
    ] {
        let error = SequenceReplay::new(&config, &spec::<f32>(1, 1)).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

/// Pushes, draws and updates priorities; gives everything drawn.
fn go_on<T: Numbered>(
    replay: &mut SequenceReplay,
    stream: &mut Stream<T>,
    steps: std::ops::Range<usize>,
) -> Vec<(Vec<Seen>, Vec<usize>, Vec<f32>)> {
    let mut rng = rng();
    let config = replay.config.clone();
    let mut batch = SequenceBatch::new(4, &config, &replay.spec);
    let mut all = Vec::new();
    for i in steps {
        let states = states(i, stream.step().len());
        replay.push(&stream.step(), &states);
        stream.advance();
        if replay.is_empty() {
            continue;
        }
        replay.sample_into(&mut rng, 7, &mut batch);
        let drawn = (0..4).map(|i| seen(&config, &batch, i)).collect();
        all.push((drawn, batch.indices.clone(), batch.weights.clone()));
        // Above 1, so that the largest priority changes.
        let errors: Vec<f32> = (0..4).map(|_| 5.0 * rng.random::<f32>()).collect();
        replay.update_priorities(&batch.indices, &errors);
    }
    all
}

#[test]
fn a_loaded_replay_goes_on_bit_for_bit() {
    fn check<T: Numbered>(config: &SequenceConfig, steps: usize) {
        let spec = spec::<T>(2, 1);
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        let new = || SequenceReplay::new(config, &spec).unwrap();
        let mut streams = [Stream::<T>::new(2, 1, 6), Stream::<T>::new(2, 1, 6)];
        let mut replay = new();
        for stream in &mut streams {
            replay.clear();
            go_on(&mut replay, stream, 0..steps);
        }
        replay.save(&first).unwrap();
        let mut loaded = new();
        go_on(&mut loaded, &mut Stream::<T>::new(2, 1, 3), 0..30);
        loaded.load(&first).unwrap();
        loaded.save(&second).unwrap();
        assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
        let [a, b] = &mut streams;
        let rest = steps..steps + 50;
        assert_eq!(
            go_on(&mut replay, a, rest.clone()),
            go_on(&mut loaded, b, rest)
        );
    }
    for steps in [0, 1, 3, 7, 100] {
        check::<f32>(&config(11, [3, 4, 2]), steps);
        check::<u8>(&prioritized(config(10, [2, 3, 3])), steps);
        check::<i32>(&prioritized(config(10, [0, 2, 1])), steps);
    }
}

#[test]
fn no_flipped_byte_and_no_cut_makes_a_replay_panic() {
    let path = Path::new("replay.bin");
    let spec = spec::<i32>(2, 1);
    for (config, steps) in [
        (config(6, [2, 3, 2]), 4),
        (prioritized(config(6, [2, 3, 2])), 30),
    ] {
        let mut replay = SequenceReplay::new(&config, &spec).unwrap();
        go_on(&mut replay, &mut Stream::<i32>::new(2, 1, 6), 0..steps);
        let mut sound = Vec::new();
        replay.write(&mut sound).unwrap();
        let mut accepted = 0;
        for at in 0..sound.len() {
            for mask in [1, 2, 128, 255] {
                let mut damaged = sound.clone();
                damaged[at] ^= mask;
                if let Err(error) = replay.load_from(path, &damaged[..]) {
                    assert!(error.to_string().starts_with("replay.bin: "), "{error}");
                    assert!(replay.is_empty());
                    continue;
                }
                accepted += 1;
                go_on(&mut replay, &mut Stream::<i32>::new(2, 1, 1), 0..8);
            }
            assert!(replay.load_from(path, &sound[..at]).is_err());
        }
        assert!(accepted > 0, "most of the file is plain data");
    }
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_the_reason() {
    let path = Path::new("replay.bin");
    let spec = spec::<i32>(1, 1);
    let shape = config(6, [2, 3, 2]);
    let mut replay = SequenceReplay::new(&prioritized(shape.clone()), &spec).unwrap();
    go_on(&mut replay, &mut Stream::<i32>::new(1, 1, 6), 0..30);
    let mut refused = |tamper: &dyn Fn(&mut SequenceReplay)| {
        let mut sound = Vec::new();
        replay.write(&mut sound).unwrap();
        tamper(&mut replay);
        let mut tampered = Vec::new();
        replay.write(&mut tampered).unwrap();
        replay.load_from(path, &sound[..]).unwrap();
        let error = replay.load_from(path, &tampered[..]).unwrap_err();
        replay.load_from(path, &sound[..]).unwrap();
        error.to_string().replace("replay.bin: is damaged: ", "")
    };
    assert_eq!(
        refused(&|r| (r.extents[1].burn_in, r.extents[1].len) = (2, 0)),
        "a sequence has 2 and 0 steps"
    );
    assert_eq!(
        refused(&|r| (r.extents[0].burn_in, r.extents[0].len) = (3, 3)),
        "a sequence has 3 and 3 steps"
    );
    assert_eq!(
        refused(&|r| r.elapsed[0] = u64::MAX),
        "an episode is longer than any can be"
    );
    assert_eq!(
        refused(&|r| r.stored.actions.row_mut::<i32>(2)[0] = 100_000),
        "row 2 lies outside discrete(100000)"
    );
    assert_eq!(
        refused(&|r| if let Sampler::Prioritized(p) = &mut r.sampler {
            p.max_priority = f64::NAN;
        }),
        "a priority is NaN"
    );
    let mut bytes = Vec::new();
    replay.write(&mut bytes).unwrap();
    let other = |config: &SequenceConfig, bytes: &[u8]| {
        let mut other = SequenceReplay::new(config, &spec).unwrap();
        other.load_from(path, bytes).unwrap_err().to_string()
    };
    assert_eq!(
        other(&shape, &bytes),
        "replay.bin: is of another replay: sampler \"prioritized\", expected \"uniform\""
    );
    let longer = prioritized(config(6, [2, 4, 2]));
    assert_eq!(
        other(&longer, &bytes),
        "replay.bin: is of another replay: length 3, expected 4"
    );
    bytes.push(0);
    assert_eq!(
        other(&prioritized(shape), &bytes),
        "replay.bin: is damaged: it goes on after its end"
    );
}
