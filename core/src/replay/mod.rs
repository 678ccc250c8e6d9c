//! Experience replay: what happened, stored once and drawn again.
//!
//! [`Replay`] is three parts: a ring of observations, the n-step windows of each environment, and a
//! sampler. An agent pushes every step of the vector environment and draws a [`MiniBatch`] when it learns.
//!
//! ```
//! use thorndike_core::replay::{MiniBatch, Replay, ReplayConfig};
//! use thorndike_core::{EnvOptions, Seeds, SyncVectorEnv, Transitions, VectorEnv};
//! # use thorndike_core::prelude::*;
//! # struct Coin;
//! # impl Env for Coin {
//! #     type State = usize;
//! #     type Obs = i32;
//! #     type Action = usize;
//! #     fn observation_space(&self) -> Space { Space::Discrete(9) }
//! #     fn action_space(&self) -> Space { Space::Discrete(2) }
//! #     fn reset(&self, _: &mut Rng) -> usize { 0 }
//! #     fn step(&self, at: &mut usize, _: usize, _: &mut Rng) -> Step {
//! #         *at += 1;
//! #         if *at == 8 { Step::terminal(1.0) } else { Step::running(0.0) }
//! #     }
//! #     fn observe(&self, at: &usize, obs: &mut [i32]) { obs[0] = *at as i32 }
//! # }
//! let seeds = Seeds::new(1);
//! let mut envs = SyncVectorEnv::new(Coin, &EnvOptions::default(), seeds)?;
//! let config = ReplayConfig { capacity: 1000, n_step: 3, ..Default::default() };
//! let mut replay = Replay::new(&config, envs.spec(), 0.99)?;
//! let actions = envs.new_actions();
//! for _ in 0..20 {
//!     envs.step(&actions);
//!     replay.push(&Transitions::new(envs.batch(), &actions));
//!     envs.advance();
//! }
//! assert_eq!(replay.len(), 18, "two windows of three steps are still open");
//!
//! let mut batch = MiniBatch::new(32, envs.spec());
//! replay.sample_into(&mut seeds.stream("replay", 0), 20, &mut batch);
//! let discounts = [0.0, 0.99f32.powi(3)];
//! assert!(batch.discounts.iter().all(|d| discounts.iter().any(|e| (d - e).abs() < 1e-6)));
//! # Ok::<(), Error>(())
//! ```

mod n_step;
mod priority;
mod rows;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::agent::{EnvSteps, Transitions};
use crate::array::Array;
use crate::error::{Error, Result, check_range};
use crate::seed::Rng;
use crate::vector::EnvSpec;
use n_step::{Closed, NStep, OpenStep};
use priority::Prioritized;
pub use priority::PrioritizedConfig;
use rows::{NONE, Rows};

/// How much is stored and how it is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// Observations kept, all environments together; the oldest are overwritten. An episode takes one for each
    /// of its steps and one for its end. Default 1,000,000 (Mnih et al., *Human-level control through deep
    /// reinforcement learning*, 2015, extended data table 1).
    pub capacity: usize,
    /// Steps whose rewards are summed before the target network is asked. Default 1.
    pub n_step: usize,
    /// How transitions are drawn. Default uniform.
    pub sampler: SamplerConfig,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            capacity: 1_000_000,
            n_step: 1,
            sampler: SamplerConfig::Uniform,
        }
    }
}

/// How transitions are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", from = "SamplerTable")]
pub enum SamplerConfig {
    /// All with the same probability, with replacement.
    #[default]
    Uniform,
    /// In proportion to their TD errors.
    Prioritized(PrioritizedConfig),
}

/// [`SamplerConfig`] as it is read: a unit variant would accept unknown keys.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum SamplerTable {
    Uniform {},
    Prioritized(PrioritizedConfig),
}

impl From<SamplerTable> for SamplerConfig {
    fn from(table: SamplerTable) -> Self {
        match table {
            SamplerTable::Uniform {} => Self::Uniform,
            SamplerTable::Prioritized(config) => Self::Prioritized(config),
        }
    }
}

impl ReplayConfig {
    /// Longest n-step window.
    pub const MAX_N_STEP: usize = 1024;
    /// Most rows: their numbers have 32 bits.
    pub const MAX_CAPACITY: usize = NONE as usize;

    /// Checks all numbers against each other and the environments.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self, spec: &EnvSpec) -> Result<()> {
        check_range("n_step", self.n_step, 1..=Self::MAX_N_STEP)?;
        // A push writes at most two rows for each environment, so no row is overwritten before the window of its
        // transition closes and the transition could be drawn at least once.
        let least = 2 * spec.num_envs * (self.n_step + spec.frame_stack);
        check_range("capacity", self.capacity, least..=Self::MAX_CAPACITY)?;
        match &self.sampler {
            SamplerConfig::Uniform => Ok(()),
            SamplerConfig::Prioritized(config) => config.check().map_err(|e| e.under("sampler")),
        }
    }

    /// Bytes that a [`Replay`] of this configuration allocates.
    pub fn bytes(&self, spec: &EnvSpec) -> u64 {
        let capacity = self.capacity as u64;
        let action = spec.action_space.len() * spec.action_kind().bytes();
        let transition = (action + size_of::<Transition>()) as u64;
        let sampler = match self.sampler {
            SamplerConfig::Uniform => 0,
            SamplerConfig::Prioritized(_) => Prioritized::bytes(capacity),
        };
        Rows::bytes(capacity, spec)
            .saturating_add(capacity.saturating_mul(transition))
            .saturating_add(NStep::bytes(self.n_step as u64, spec.num_envs as u64))
            .saturating_add((spec.num_envs * size_of::<u32>()) as u64)
            .saturating_add(sampler)
    }
}

/// What was drawn; allocated once and filled again and again. Row `i` of every part is transition `i`.
#[derive(Clone, Debug)]
pub struct MiniBatch {
    /// Observations acted on, `[batch, observation row]`.
    pub obs: Array,
    /// Actions taken, `[batch, action row]`.
    pub actions: Array,
    /// Sums of discounted rewards over the steps of each transition.
    pub rewards: Vec<f32>,
    /// Factor on the value of `next_obs`: `gamma^m` after `m` steps, 0 where the task ended the episode.
    pub discounts: Vec<f32>,
    /// Observations `m` steps on, `[batch, observation row]`.
    pub next_obs: Array,
    /// Importance weights, the largest is 1; all 1 for uniform sampling.
    pub weights: Vec<f32>,
    /// What [`Replay::update_priorities`] knows the transitions by, until the next push.
    pub indices: Vec<usize>,
    scratch: Vec<f64>,
}

impl MiniBatch {
    /// Zeros for `batch_size` transitions.
    pub fn new(batch_size: usize, spec: &EnvSpec) -> Self {
        let obs = Array::zeros_of(spec.obs_kind, batch_size, spec.observation_space().len());
        Self {
            next_obs: obs.clone(),
            obs,
            actions: Array::zeros_of(spec.action_kind(), batch_size, spec.action_space.len()),
            rewards: vec![0.0; batch_size],
            discounts: vec![0.0; batch_size],
            weights: vec![1.0; batch_size],
            indices: vec![0; batch_size],
            scratch: vec![0.0; batch_size],
        }
    }

    /// Number of transitions.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.indices.len()
    }
}

/// What is known of the transition that starts at a row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Transition {
    /// Row of the observation it leads to; [`NONE`] if it cannot be drawn.
    successor: u32,
    reward: f32,
    discount: f32,
}

const NO_TRANSITION: Transition = Transition {
    successor: NONE,
    reward: 0.0,
    discount: 0.0,
};

#[derive(Debug)]
enum Sampler {
    Uniform,
    Prioritized(Prioritized),
}

/// Replay memory of N environments.
///
/// The transitions that can be drawn are those whose n-step window has closed and of whose two stacks no frame
/// was overwritten. Everything is allocated at construction; memory is touched only as it fills.
///
/// *Design.* Observations lie in one ring in the order in which they were seen, each stored once, and linked
/// within their episode: half the memory of pairs, `1 / 2k` for stacks of `k` frames. A ring for each environment
/// would need no links, but would keep old steps of one environment that ends its episodes slowly.
#[derive(Debug)]
pub struct Replay {
    rows: Rows,
    /// One for each filled row; never grows beyond its first allocation.
    transitions: Vec<Transition>,
    /// One for each row.
    actions: Array,
    n_step: NStep,
    sampler: Sampler,
    /// For each environment the row of its current observation; [`NONE`] if an episode is to start.
    heads: Vec<u32>,
    /// Transitions that can be drawn.
    len: usize,
}

impl Replay {
    /// An empty replay for environments of the form `spec`, whose n-step sums are discounted with `gamma`.
    ///
    /// # Errors
    /// [`Error::Config`] if a number is out of range or the memory cannot be had.
    pub fn new(config: &ReplayConfig, spec: &EnvSpec, gamma: f32) -> Result<Self> {
        check_range("gamma", gamma, 0.0..=1.0)?;
        config.check(spec)?;
        check_memory(config.bytes(spec))?;
        let capacity = config.capacity;
        Ok(Self {
            rows: Rows::new(capacity, spec),
            transitions: Vec::with_capacity(capacity),
            actions: Array::zeros_of(spec.action_kind(), capacity, spec.action_space.len()),
            n_step: NStep::new(config.n_step, gamma, spec.num_envs),
            sampler: match config.sampler {
                SamplerConfig::Uniform => Sampler::Uniform,
                SamplerConfig::Prioritized(config) => {
                    Sampler::Prioritized(Prioritized::new(config, capacity))
                }
            },
            heads: vec![NONE; spec.num_envs],
            len: 0,
        })
    }

    /// Number of transitions that can be drawn.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing can be drawn yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes allocated; what [`ReplayConfig::bytes`] said.
    pub fn bytes(&self) -> u64 {
        let actions = self.actions.rows() * self.actions.cols() * self.actions.kind().bytes();
        let sampler = match &self.sampler {
            Sampler::Uniform => 0,
            Sampler::Prioritized(prioritized) => prioritized.allocated(),
        };
        let bytes = self.rows.allocated()
            + self.transitions.capacity() * size_of::<Transition>()
            + actions
            + self.n_step.allocated()
            + self.heads.capacity() * size_of::<u32>()
            + sampler;
        bytes as u64
    }

    /// Stores one step of all environments.
    ///
    /// Where the last step did not end an episode, `obs` must be the `next_obs` of that step, as it is in every
    /// [`VectorEnv`](crate::VectorEnv). Anything else means that the environment was reset from outside: what is
    /// open is closed as truncated, and an episode starts.
    ///
    /// # Panics
    /// If the arrays are not of the form that the replay was built for.
    pub fn push(&mut self, step: &Transitions<'_>) {
        assert_eq!(step.len(), self.heads.len(), "environments in a push");
        for env in 0..self.heads.len() {
            let row = match self.heads[env] {
                head if head != NONE && self.rows.holds(head, step.obs, env) => head,
                head => {
                    self.close(env, head, None);
                    self.append(step.obs, env, NONE)
                }
            };
            self.actions.copy_row(row as usize, step.actions, env);
            let next = self.append(step.next_obs, env, row);
            let reward = step.rewards[env];
            let status = step.status[env];
            self.close(env, next, Some((OpenStep { row, reward }, status)));
            self.heads[env] = if status.is_over() { NONE } else { next };
        }
    }

    /// Writes a row over the oldest one, whose transitions can then be drawn no more.
    fn append(&mut self, obs: &Array, env: usize, previous: u32) -> u32 {
        let Self {
            rows,
            transitions,
            sampler,
            len,
            ..
        } = self;
        rows.losing_their_stack(|row| {
            if transitions[row].successor != NONE {
                transitions[row].successor = NONE;
                *len -= 1;
                if let Sampler::Prioritized(prioritized) = sampler {
                    prioritized.remove(row);
                }
            }
        });
        let row = rows.append(obs, env, previous);
        if row as usize == transitions.len() {
            transitions.push(NO_TRANSITION);
        }
        row
    }

    /// Closes the windows of `env` that end in `successor`: those that `step` closes, or all if there is none.
    fn close(&mut self, env: usize, successor: u32, step: Option<(OpenStep, crate::Status)>) {
        let Self {
            n_step,
            transitions,
            sampler,
            len,
            ..
        } = self;
        let mut add = |closed: Closed| {
            let row = closed.row as usize;
            *len += usize::from(transitions[row].successor == NONE);
            transitions[row] = Transition {
                successor,
                reward: closed.reward,
                discount: closed.discount,
            };
            if let Sampler::Prioritized(prioritized) = sampler {
                prioritized.add(row);
            }
        };
        match step {
            Some((step, status)) => n_step.push(env, step, status, &mut add),
            None => n_step.close_all(env, true, &mut add),
        }
    }

    /// Draws transitions and fills `out` with them; `step` is where the run is, for the importance weights.
    ///
    /// # Panics
    /// If nothing can be drawn, or `out` was made for other environments.
    pub fn sample_into(&mut self, rng: &mut Rng, step: EnvSteps, out: &mut MiniBatch) {
        assert!(!self.is_empty(), "drawn from an empty replay");
        match &self.sampler {
            Sampler::Uniform => {
                // At least every other row starts a transition, but for windows that are still open.
                let rows = self.transitions.len() as u32;
                for index in &mut out.indices {
                    *index = loop {
                        let row = rng.random_range(0..rows) as usize;
                        if self.transitions[row].successor != NONE {
                            break row;
                        }
                    };
                }
                out.weights.fill(1.0);
            }
            Sampler::Prioritized(prioritized) => prioritized.sample(
                rng,
                step,
                &mut out.indices,
                &mut out.weights,
                &mut out.scratch,
            ),
        }
        self.read_into(out);
    }

    /// Fills `out` with the transitions that its indices name.
    fn read_into(&self, out: &mut MiniBatch) {
        for (i, &row) in out.indices.iter().enumerate() {
            let transition = &self.transitions[row];
            out.rewards[i] = transition.reward;
            out.discounts[i] = transition.discount;
            out.actions.copy_row(i, &self.actions, row);
        }
        let rows = out.indices.iter().copied();
        self.rows.gather(rows.clone(), &mut out.obs);
        let successors = rows.map(|row| self.transitions[row].successor as usize);
        self.rows.gather(successors, &mut out.next_obs);
    }

    /// Gives drawn transitions priorities for their new absolute TD errors; does nothing for uniform sampling.
    ///
    /// `indices` are those of a [`MiniBatch`]; a push makes them stale. TD errors that are no finite numbers are
    /// passed over.
    ///
    /// # Panics
    /// If an index is no row.
    pub fn update_priorities(&mut self, indices: &[usize], td_errors_abs: &[f32]) {
        assert_eq!(indices.len(), td_errors_abs.len(), "one TD error an index");
        if let Sampler::Prioritized(prioritized) = &mut self.sampler {
            prioritized.update(indices, td_errors_abs);
        }
    }
}

/// Asks for the memory once and gives it back untouched: an allocation that fails later ends the program.
fn check_memory(bytes: u64) -> Result<()> {
    let probe = usize::try_from(bytes)
        .ok()
        .and_then(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).ok());
    probe.ok_or_else(|| {
        let gigabytes = bytes as f64 / 1e9;
        Error::config(
            "capacity",
            format!("the replay needs {gigabytes:.1} GB, which the system refuses; give fewer"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Element;
    use crate::space::Space;

    /// Environments that show two scalars a frame and have three actions.
    pub(super) fn spec<T: Element>(num_envs: usize, frame_stack: usize) -> EnvSpec {
        EnvSpec {
            frame_space: Space::unbounded(&[2]),
            obs_kind: T::KIND,
            action_space: Space::Discrete(3),
            num_envs,
            time_limit: None,
            frame_stack,
            action_repeat: 1,
            reward_threshold: None,
        }
    }
}
