//! Gymnasium's vector environments and its wrappers that keep statistics.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use thorndike_core::gym::{Autoreset, GymEnvs};
use thorndike_core::{
    Array, Env, EnvOptions, Rng, Seeds, Space, Status, Step, SyncVectorEnv, VectorEnv, wrap,
};
use thorndike_envs::classic::{CartPole, CartPoleState};

use crate::records::for_each_record;

/// Position, velocity, angle, angular velocity.
type Start = [f64; 4];
/// Step that it is before, mask, starts drawn, observations.
type Reset = (usize, Vec<bool>, Vec<Option<Start>>, Vec<Vec<f32>>);
/// Last observations, where episodes ended.
type Last = Vec<Option<Vec<f32>>>;

#[derive(Deserialize)]
struct AutoresetRecord {
    id: String,
    num_envs: usize,
    max_episode_steps: u32,
    state0: Vec<Start>,
    obs0: Vec<Vec<f32>>,
    actions: Vec<Vec<i32>>,
    obs: Vec<Vec<Vec<f32>>>,
    rewards: Vec<Vec<f32>>,
    terminated: Vec<Vec<bool>>,
    truncated: Vec<Vec<bool>>,
    /// States drawn inside step t.
    reset_state: Option<Vec<Vec<Option<Start>>>>,
    final_obs: Option<Vec<Option<Last>>>,
    reset_mask: Option<Vec<Reset>>,
    /// All states of Gymnasium's own batch.
    states: Option<Vec<Vec<Start>>>,
}

/// A cart-pole that starts where a record starts.
struct Started {
    env: CartPole,
    starts: Mutex<VecDeque<Start>>,
}

impl Env for Started {
    type State = CartPoleState;
    type Obs = f32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        self.env.observation_space()
    }
    fn action_space(&self) -> Space {
        self.env.action_space()
    }
    fn reset(&self, _: &mut Rng) -> CartPoleState {
        let [position, velocity, angle, angular_velocity] =
            self.starts.lock().unwrap().pop_front().unwrap();
        CartPoleState {
            position,
            velocity,
            angle,
            angular_velocity,
            ended: false,
        }
    }
    fn step(&self, state: &mut CartPoleState, action: usize, rng: &mut Rng) -> Step {
        self.env.step(state, action, rng)
    }
    fn observe(&self, state: &CartPoleState, obs: &mut [f32]) {
        self.env.observe(state, obs);
    }
}

impl AutoresetRecord {
    /// All starts of row `i`, in order.
    fn starts(&self, i: usize) -> VecDeque<Start> {
        let mut starts = VecDeque::from([self.state0[i]]);
        if let Some(states) = &self.states {
            let ended = |t: usize| self.terminated[t][i] || self.truncated[t][i];
            starts.extend(
                (1..states.len())
                    .filter(|&t| ended(t - 1))
                    .map(|t| states[t][i]),
            );
        }
        let drawn = self.reset_state.iter().flatten();
        starts.extend(drawn.filter_map(|states| states[i]));
        let asked = self.reset_mask.iter().flatten();
        starts.extend(asked.filter_map(|(_, _, states, _)| states[i]));
        starts
    }

    fn check(&self) -> usize {
        let id = &self.id;
        let mode = match id.as_str() {
            "sync-NextStep" | "native" => Autoreset::NextStep,
            "sync-SameStep" => Autoreset::SameStep,
            "sync-Disabled" => Autoreset::Disabled,
            _ => panic!("{id}: cannot be replayed"),
        };
        let options = EnvOptions {
            time_limit: Some(self.max_episode_steps),
            ..Default::default()
        };
        let row = |i| {
            let env = Started {
                env: CartPole::new(&Default::default()).unwrap(),
                starts: Mutex::new(self.starts(i)),
            };
            let envs = SyncVectorEnv::new(env, &options, Seeds::new(0)).unwrap();
            Box::new(envs) as Box<dyn VectorEnv>
        };
        let mut envs = GymEnvs::new((0..self.num_envs).map(row).collect(), mode).unwrap();
        assert_eq!(rows(envs.obs()), self.obs0, "{id}: first observations");
        for (t, actions) in self.actions.iter().enumerate() {
            let resets = self.reset_mask.iter().flatten();
            for (_, mask, _, obs) in resets.filter(|reset| reset.0 == t) {
                assert_eq!(&rows(envs.reset_rows(mask)), obs, "{id}: reset before {t}");
            }
            let step = envs.step(&Array::from_vec(actions.clone(), 1));
            assert_eq!(rows(step.obs), self.obs[t], "{id}: observations {t}");
            assert_eq!(step.rewards, self.rewards[t], "{id}: rewards {t}");
            assert_eq!(step.terminated, self.terminated[t], "{id}: terminated {t}");
            assert_eq!(step.truncated, self.truncated[t], "{id}: truncated {t}");
            let last = rows(step.final_obs);
            let last = last.into_iter().zip(step.has_final);
            let last: Vec<_> = last.map(|(obs, has)| has.then_some(obs)).collect();
            let nothing = vec![None; self.num_envs];
            let expected = self.final_obs.as_ref().and_then(|obs| obs[t].as_ref());
            assert_eq!(&last, expected.unwrap_or(&nothing), "{id}: last {t}");
        }
        self.actions.len()
    }
}

fn rows(array: &Array) -> Vec<Vec<f32>> {
    (0..array.rows())
        .map(|row| array.row(row).to_vec())
        .collect()
}

#[test]
fn golden_autoreset() {
    for_each_record("vector", "autoreset", |record: AutoresetRecord| {
        record.check()
    });
}

/// A value of one environment, or one of each.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Each<T> {
    Many(Vec<T>),
    One(T),
}

impl<T: Clone> Each<T> {
    fn of(&self, row: usize) -> T {
        match self {
            Self::One(value) => value.clone(),
            Self::Many(values) => values[row].clone(),
        }
    }
}

#[derive(Deserialize)]
struct NormalizeRecord {
    id: String,
    gamma: f64,
    vector: bool,
    raw_obs: Vec<Each<serde_json::Value>>,
    raw_reward: Vec<Each<f64>>,
    obs: Vec<Each<serde_json::Value>>,
    reward: Vec<Each<f64>>,
    reset_after_step: Option<Vec<usize>>,
}

/// Gives again what was recorded: observations and rewards, one episode after another.
struct Recorded {
    episodes: Vec<Episode>,
    num_envs: usize,
    /// Episodes begun, of all rows in turn.
    begun: AtomicUsize,
}

/// Indices into a record, where an episode is.
#[derive(Clone)]
struct Episode {
    /// `[time, row]`, one more than steps.
    obs: Vec<Vec<[f32; 3]>>,
    rewards: Vec<Vec<f32>>,
    /// What Gymnasium's wrappers made of them.
    expected_obs: Vec<Vec<[f32; 3]>>,
    expected_rewards: Vec<Vec<f64>>,
}

impl Env for Recorded {
    /// Episode, row, time.
    type State = (usize, usize, usize);
    type Obs = f32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::unbounded(&[3])
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, _: &mut Rng) -> (usize, usize, usize) {
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        (begun / self.num_envs, begun % self.num_envs, 0)
    }
    fn step(&self, state: &mut (usize, usize, usize), _: usize, _: &mut Rng) -> Step {
        let episode = &self.episodes[state.0];
        let step = Step::running(episode.rewards[state.2][state.1]);
        state.2 += 1;
        let last = state.2 == episode.rewards.len();
        Step {
            status: if last {
                Status::Truncated
            } else {
                Status::Running
            },
            ..step
        }
    }
    fn observe(&self, state: &(usize, usize, usize), obs: &mut [f32]) {
        obs.copy_from_slice(&self.episodes[state.0].obs[state.2][state.1]);
    }
}

impl NormalizeRecord {
    fn num_envs(&self) -> usize {
        match &self.raw_reward[0] {
            Each::One(_) => 1,
            Each::Many(rewards) => rewards.len(),
        }
    }

    /// The episodes of all rows, which end together. A dead step of Gymnasium's is no step.
    fn episodes(&self) -> Vec<Episode> {
        let n = self.num_envs();
        let row = |each: &Each<serde_json::Value>, row| -> [f32; 3] {
            let value = if self.vector {
                each.of(row)
            } else {
                let Each::Many(items) = each else {
                    panic!("{}: no vector", self.id)
                };
                serde_json::Value::Array(items.clone())
            };
            serde_json::from_value(value).unwrap()
        };
        let obs =
            |all: &[Each<serde_json::Value>], t: usize| (0..n).map(|i| row(&all[t], i)).collect();
        // Observation after step t, and whether it begins an episode.
        const LENGTH: usize = 200;
        let mut episodes = Vec::new();
        let (mut at_obs, mut at_step) = (0, 0);
        while at_step < self.raw_reward.len() {
            let steps = LENGTH.min(self.raw_reward.len() - at_step);
            let range = at_step..at_step + steps;
            let times = at_obs..=at_obs + steps;
            episodes.push(Episode {
                obs: times.clone().map(|t| obs(&self.raw_obs, t)).collect(),
                expected_obs: times.map(|t| obs(&self.obs, t)).collect(),
                rewards: (range.clone())
                    .map(|t| (0..n).map(|i| self.raw_reward[t].of(i) as f32).collect())
                    .collect(),
                expected_rewards: (range)
                    .map(|t| (0..n).map(|i| self.reward[t].of(i)).collect())
                    .collect(),
            });
            // In a batch the step after an end shows the start; a single environment is reset between.
            at_obs += steps + 1;
            at_step += steps + usize::from(self.vector);
        }
        if let Some(resets) = &self.reset_after_step {
            let ends = (1..episodes.len()).map(|k| k * LENGTH - 1);
            assert!(ends.eq(resets.iter().copied()), "{}: resets", self.id);
        }
        episodes
    }

    fn check(&self) -> usize {
        let (id, num_envs) = (&self.id, self.num_envs());
        let episodes = self.episodes();
        let options = EnvOptions {
            num_envs,
            normalize_observations: true,
            normalize_rewards: Some(self.gamma),
            ..Default::default()
        };
        let env = Recorded {
            episodes: episodes.clone(),
            num_envs,
            begun: AtomicUsize::new(0),
        };
        let envs = SyncVectorEnv::new(env, &options.plain(), Seeds::new(0)).unwrap();
        let mut envs = wrap(Box::new(envs), &options).unwrap();
        let compare = |seen: &Array, expected: &[[f32; 3]], place: &str| {
            for (seen, expected) in rows(seen).iter().flatten().zip(expected.as_flattened()) {
                assert_eq!(seen, expected, "{id}: {place}");
            }
        };
        let actions = envs.new_actions();
        let mut compared = 0;
        for (k, episode) in episodes.iter().enumerate() {
            compare(&envs.batch().obs, &episode.expected_obs[0], "start");
            for (t, expected) in episode.expected_rewards.iter().enumerate() {
                envs.step(&actions);
                let batch = envs.batch();
                compare(&batch.next_obs, &episode.expected_obs[t + 1], "step");
                assert_eq!(envs.raw_rewards(), episode.rewards[t], "{id}");
                for (&seen, &expected) in batch.rewards.iter().zip(expected) {
                    // Rewards go in and come out as f32: two roundings of 2^-24, and the same in the statistics. A
                    // batch of Gymnasium's rounds its sums to f32 too, twice a step, discounted by 0.99.
                    let roundings = if num_envs == 1 { 4.0 } else { 4.0 + 2.0 / 0.01 };
                    let error = (f64::from(seen) - expected).abs();
                    assert!(
                        error <= roundings * 2_f64.powi(-24) * expected.abs(),
                        "{id}: reward {t}: {seen} {expected}"
                    );
                }
                compared += 1;
                if t + 1 < episode.rewards.len() || k + 1 < episodes.len() {
                    envs.advance();
                }
            }
        }
        compared
    }
}

#[test]
fn golden_normalize() {
    for_each_record("vector", "normalize", |record: NormalizeRecord| {
        record.check()
    });
}
