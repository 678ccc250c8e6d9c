//! Experience replay: what happened, stored once and drawn again.
//!
//! [`Replay`] is three parts: a ring of observations, the n-step windows of each environment, and a
//! sampler. An agent pushes every step of the vector environment and draws a [`MiniBatch`] when it learns.
//! [`SequenceReplay`] keeps stretches of episodes instead, for agents with a memory.
//!
//! ```
//! use thorndike_core::replay::{Replay, ReplayConfig};
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
//! let mut batch = replay.new_batch(32);
//! replay.sample_into(&mut seeds.stream("replay", 0), 20, &mut batch);
//! let discounts = [0.0, 0.99f32.powi(3)];
//! assert!(batch.discounts.iter().all(|d| discounts.iter().any(|e| (d - e).abs() < 1e-6)));
//! # Ok::<(), Error>(())
//! ```

mod file;
mod n_step;
mod priority;
mod rows;
mod sequences;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::agent::{EnvSteps, Transitions};
use crate::array::{Array, Columns, Kind};
use crate::error::{Result, check_range};
use crate::memory::check_fits;
use crate::seed::Rng;
use crate::vector::EnvSpec;
use n_step::{Closed, NStep, OpenStep};
use priority::Prioritized;
pub use priority::PrioritizedConfig;
use rows::{NONE, Rows};
pub use sequences::{SequenceBatch, SequenceConfig, SequenceReplay};

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
    /// [`Error::Config`](crate::Error::Config) naming the key.
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
        let action = (spec.action_space.len() * spec.action_kind().bytes()) as u64;
        Rows::bytes(capacity, spec)
            .saturating_add(capacity.saturating_mul(action))
            .saturating_add(Candidates::bytes(self.sampler, capacity))
            .saturating_add(NStep::bytes(self.n_step as u64, spec.num_envs as u64))
            .saturating_add((spec.num_envs * size_of::<u32>()) as u64)
    }
}

/// What was drawn; allocated once by [`Replay::new_batch`] and filled again and again. Row `i` of every part is
/// transition `i`.
#[derive(Clone, Debug)]
pub struct MiniBatch {
    stacks: Stacks,
    /// Actions taken, `[batch, action row]`.
    pub actions: Array,
    /// Sums of discounted rewards over the steps of each transition.
    pub rewards: Vec<f32>,
    /// Factor on the value of [`next_obs`](Self::next_obs): `gamma^m` after `m` steps, 0 where the task ended the episode.
    pub discounts: Vec<f32>,
    /// Importance weights, the largest is 1; all 1 for uniform sampling.
    pub weights: Vec<f32>,
    /// What [`Replay::update_priorities`] knows the transitions by, until the next push.
    pub indices: Vec<usize>,
    scratch: Vec<f64>,
}

/// The two stacks of frames of each transition.
#[derive(Clone, Debug, PartialEq)]
enum Stacks {
    /// Those acted on and those led to, `[batch, observation row]` each.
    Apart([Array; 2]),
    /// One stack and the frame after it, `[batch, (stack + 1) * frame]`: the second stack is the first, one frame on.
    Shared { frames: Array, frame: usize },
}

impl MiniBatch {
    /// Observations acted on, `[batch, observation row]`.
    ///
    /// Where they and [`next_obs`](Self::next_obs) are stacks of `u8` frames one step apart, the frames of both lie in
    /// one row of memory: copying frames is most of what a draw costs. Rows of other scalars lie one after another,
    /// as networks read them.
    pub fn obs(&self) -> Columns<'_> {
        match &self.stacks {
            Stacks::Apart([obs, _]) => obs.into(),
            Stacks::Shared { frames, frame } => frames.columns(0..frames.cols() - frame),
        }
    }

    /// Observations `m` steps on, `[batch, observation row]`.
    pub fn next_obs(&self) -> Columns<'_> {
        match &self.stacks {
            Stacks::Apart([_, next_obs]) => next_obs.into(),
            Stacks::Shared { frames, frame } => frames.columns(*frame..frames.cols()),
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

/// The transitions that can be drawn, by the row that they start at.
#[derive(Debug)]
struct Candidates {
    /// One for each filled row; never grows beyond its first allocation.
    by_row: Vec<Transition>,
    /// How many of them can be drawn.
    len: usize,
    sampler: Sampler,
}

#[derive(Debug)]
enum Sampler {
    Uniform,
    Prioritized(Prioritized),
}

impl Candidates {
    fn new(sampler: SamplerConfig, capacity: usize) -> Self {
        Self {
            by_row: Vec::with_capacity(capacity),
            len: 0,
            sampler: match sampler {
                SamplerConfig::Uniform => Sampler::Uniform,
                SamplerConfig::Prioritized(config) => {
                    Sampler::Prioritized(Prioritized::new(config, capacity))
                }
            },
        }
    }

    /// Bytes for `capacity` rows.
    fn bytes(sampler: SamplerConfig, capacity: u64) -> u64 {
        let sampler = match sampler {
            SamplerConfig::Uniform => 0,
            SamplerConfig::Prioritized(_) => Prioritized::bytes(capacity),
        };
        capacity
            .saturating_mul(size_of::<Transition>() as u64)
            .saturating_add(sampler)
    }

    /// Bytes that were really allocated.
    fn allocated(&self) -> usize {
        let sampler = match &self.sampler {
            Sampler::Uniform => 0,
            Sampler::Prioritized(prioritized) => prioritized.allocated(),
        };
        self.by_row.capacity() * size_of::<Transition>() + sampler
    }

    fn clear(&mut self) {
        self.by_row.clear();
        self.len = 0;
        if let Sampler::Prioritized(prioritized) = &mut self.sampler {
            prioritized.clear();
        }
    }

    fn add(&mut self, closed: Closed, successor: u32) {
        let row = closed.row as usize;
        self.len += usize::from(self.by_row[row].successor == NONE);
        self.by_row[row] = Transition {
            successor,
            reward: closed.reward,
            discount: closed.discount,
        };
        if let Sampler::Prioritized(prioritized) = &mut self.sampler {
            prioritized.add(row);
        }
    }

    fn remove(&mut self, row: usize) {
        if self.by_row[row].successor == NONE {
            return;
        }
        self.by_row[row] = NO_TRANSITION;
        self.len -= 1;
        if let Sampler::Prioritized(prioritized) = &mut self.sampler {
            prioritized.remove(row);
        }
    }

    fn sample(&self, rng: &mut Rng, step: EnvSteps, out: &mut MiniBatch) {
        assert!(self.len > 0, "drawn from an empty replay");
        match &self.sampler {
            Sampler::Uniform => {
                // Rows that start no transition are drawn again: the ends of episodes and open windows, seldom
                // more than half of all.
                let rows = self.by_row.len() as u32;
                for index in &mut out.indices {
                    *index = loop {
                        let row = rng.random_range(0..rows) as usize;
                        if self.by_row[row].successor != NONE {
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
    }
}

/// Replay memory of N environments.
///
/// The transitions that can be drawn are those whose n-step window has closed and of whose two stacks no frame
/// was overwritten. Everything is allocated at construction; memory is touched only as it fills.
///
/// *Design.* Observations lie in one ring in the order in which they were seen, each stored once, and linked
/// within their episode: half the memory of pairs, `1 / 2k` for stacks of `k` frames. A ring for each environment
/// would need no links, but an environment that is slow to end its episodes would keep older steps than others.
#[derive(Debug)]
pub struct Replay {
    spec: EnvSpec,
    gamma: f32,
    rows: Rows,
    /// One for each row.
    actions: Array,
    candidates: Candidates,
    n_step: NStep,
    /// For each environment the row of its current observation; [`NONE`] if an episode is to start.
    heads: Vec<u32>,
}

impl Replay {
    /// An empty replay for environments of the form `spec`, whose n-step sums are discounted with `gamma`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a number is out of range or the memory is not there.
    pub fn new(config: &ReplayConfig, spec: &EnvSpec, gamma: f32) -> Result<Self> {
        check_range("gamma", gamma, 0.0..=1.0)?;
        config.check(spec)?;
        check_fits("capacity", "the replay", config.bytes(spec))?;
        let capacity = config.capacity;
        Ok(Self {
            rows: Rows::new(capacity, spec),
            actions: Array::zeros_of(spec.action_kind(), capacity, spec.action_space.len()),
            candidates: Candidates::new(config.sampler, capacity),
            n_step: NStep::new(config.n_step, gamma, spec.num_envs),
            heads: vec![NONE; spec.num_envs],
            spec: spec.clone(),
            gamma,
        })
    }

    /// Number of transitions that can be drawn.
    pub fn len(&self) -> usize {
        self.candidates.len
    }

    /// Whether nothing can be drawn yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated; what [`ReplayConfig::bytes`] said.
    pub fn bytes(&self) -> u64 {
        let actions = self.actions.rows() * self.actions.cols() * self.actions.kind().bytes();
        let bytes = self.rows.allocated()
            + actions
            + self.candidates.allocated()
            + self.n_step.allocated()
            + self.heads.capacity() * size_of::<u32>();
        bytes as u64
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.candidates.clear();
        self.n_step.clear();
        self.heads.fill(NONE);
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
            let row = self.current_row(step.obs, env);
            self.actions.copy_row(row as usize, step.actions, env);
            let successor = self.append(step.next_obs, env, row);
            let (reward, status) = (step.rewards[env], step.status[env]);
            let candidates = &mut self.candidates;
            self.n_step
                .push(env, OpenStep { row, reward }, status, |closed| {
                    candidates.add(closed, successor);
                });
            self.heads[env] = if status.is_over() { NONE } else { successor };
        }
    }

    /// The row that holds the current observation of `env`; a new one at the start of an episode.
    fn current_row(&mut self, obs: &Array, env: usize) -> u32 {
        let head = self.heads[env];
        if head != NONE {
            if self.rows.holds(head, obs, env) {
                return head;
            }
            let candidates = &mut self.candidates;
            self.n_step
                .close_all(env, true, |closed| candidates.add(closed, head));
        }
        self.append(obs, env, NONE)
    }

    /// Writes a row over the oldest one; transitions that needed that can be drawn no more.
    fn append(&mut self, obs: &Array, env: usize, previous: u32) -> u32 {
        let candidates = &mut self.candidates;
        self.rows.losing_their_stack(|row| candidates.remove(row));
        let row = self.rows.append(obs, env, previous);
        if row as usize == candidates.by_row.len() {
            candidates.by_row.push(NO_TRANSITION);
        }
        row
    }

    /// Whether a [`MiniBatch`] holds frames that are in both stacks once.
    fn shares_frames(&self) -> bool {
        let EnvSpec {
            frame_stack,
            obs_kind,
            ..
        } = self.spec;
        self.n_step.n() == 1 && frame_stack > 1 && obs_kind == Kind::U8
    }

    /// Zeros for `batch_size` transitions, for [`sample_into`](Self::sample_into) to fill.
    pub fn new_batch(&self, batch_size: usize) -> MiniBatch {
        let Self { spec, actions, .. } = self;
        let (frame, stack) = (spec.frame_space.len(), spec.frame_stack);
        let rows = |frames| Array::zeros_of(spec.obs_kind, batch_size, frames * frame);
        MiniBatch {
            stacks: if self.shares_frames() {
                Stacks::Shared {
                    frames: rows(stack + 1),
                    frame,
                }
            } else {
                Stacks::Apart([rows(stack), rows(stack)])
            },
            actions: Array::zeros_of(actions.kind(), batch_size, actions.cols()),
            rewards: vec![0.0; batch_size],
            discounts: vec![0.0; batch_size],
            weights: vec![1.0; batch_size],
            indices: vec![0; batch_size],
            scratch: vec![0.0; batch_size],
        }
    }

    /// Draws transitions and fills `out` with them; `step` is where the run is, for the importance weights.
    ///
    /// # Panics
    /// If nothing can be drawn, or `out` was made by a replay of another form.
    pub fn sample_into(&mut self, rng: &mut Rng, step: EnvSteps, out: &mut MiniBatch) {
        self.candidates.sample(rng, step, out);
        self.read_into(out);
    }

    /// Fills `out` with the transitions that its indices name.
    fn read_into(&self, out: &mut MiniBatch) {
        let cols = self.spec.frame_stack * self.rows.frames.cols();
        let shared = match out.stacks {
            Stacks::Shared { frame, .. } => Some(frame),
            Stacks::Apart(_) => None,
        };
        let frame = self.shares_frames().then_some(self.rows.frames.cols());
        assert!(
            out.obs().cols() == cols && shared == frame,
            "a batch of another form"
        );
        let by_row = &self.candidates.by_row;
        for (i, &row) in out.indices.iter().enumerate() {
            out.rewards[i] = by_row[row].reward;
            out.discounts[i] = by_row[row].discount;
            out.actions.copy_row(i, &self.actions, row);
        }
        let indices = out.indices.iter();
        let successor = |row: usize| by_row[row].successor as usize;
        match &mut out.stacks {
            Stacks::Apart([obs, next_obs]) => {
                let pairs = indices.map(|&row| [row, successor(row)]);
                self.rows.gather(pairs, [obs, next_obs]);
            }
            Stacks::Shared { frames, .. } => {
                // The frame before a successor's is that acted on.
                let successors = indices.map(|&row| [successor(row)]);
                self.rows.gather(successors, [frames]);
            }
        }
    }

    /// Gives drawn transitions priorities for their new absolute TD errors; does nothing for uniform sampling.
    ///
    /// `indices` are those of a [`MiniBatch`]; a push makes them stale. TD errors that are no finite numbers are
    /// passed over.
    ///
    /// # Panics
    /// If there are not as many TD errors as indices, or an index is no row.
    pub fn update_priorities(&mut self, indices: &[usize], td_errors_abs: &[f32]) {
        assert_eq!(indices.len(), td_errors_abs.len(), "one TD error an index");
        if let Sampler::Prioritized(prioritized) = &mut self.candidates.sampler {
            prioritized.update(indices, td_errors_abs);
        }
    }
}

#[cfg(test)]
mod tests;
