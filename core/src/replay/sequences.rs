//! Replay of sequences, for agents with a memory.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::file::{Reader, VERSION, write_rows};
use super::priority::Prioritized;
use super::{Sampler, SamplerConfig};
use crate::agent::{EnvSteps, Transitions};
use crate::array::{Array, Kind};
use crate::env::Status;
use crate::error::{Error, Result, check_range};
use crate::memory::check_fits;
use crate::seed::Rng;
use crate::vector::EnvSpec;

const FORMAT: &str = "thorndike-sequences";

/// How much is stored, how long sequences are, and how they are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceConfig {
    /// Sequences kept; the oldest are overwritten.
    pub capacity: usize,
    /// Steps before the ones that are learned from, at most.
    pub burn_in: usize,
    /// Steps of a sequence that are learned from, at most.
    pub length: usize,
    /// Steps from the end of one sequence to the end of the next, at most `length`.
    pub period: usize,
    /// Numbers of an agent's state.
    pub state_len: usize,
    /// How sequences are drawn.
    pub sampler: SamplerConfig,
}

impl SequenceConfig {
    /// Most steps before and in a sequence.
    pub const MAX_STEPS: usize = 65_536;

    /// Checks all numbers against each other.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        check_range("capacity", self.capacity, 2..=u32::MAX as usize)?;
        check_range("burn_in", self.burn_in, 0..=Self::MAX_STEPS)?;
        check_range("length", self.length, 1..=Self::MAX_STEPS)?;
        check_range("period", self.period, 1..=self.length)?;
        check_range("state_len", self.state_len, 1..=u32::MAX as usize)?;
        match &self.sampler {
            SamplerConfig::Uniform => Ok(()),
            SamplerConfig::Prioritized(config) => config.check().map_err(|e| e.under("sampler")),
        }
    }

    /// Bytes that a [`SequenceReplay`] of this configuration allocates.
    pub fn bytes(&self, spec: &EnvSpec) -> u64 {
        let (capacity, envs) = (self.capacity as u64, spec.num_envs as u64);
        let (rows, steps) = (self.rows() as u64, self.length as u64);
        let obs = (spec.observation_space().len() as u64)
            .saturating_mul(spec.obs_kind.bytes() as u64)
            .saturating_mul(rows);
        let step = (spec.action_space.len() * spec.action_kind().bytes()) as u64 + 4;
        let state = 4 * self.state_len as u64;
        let sequence = obs + steps * step + state + size_of::<Extent>() as u64;
        let open = obs + rows * (step + state) + size_of::<u64>() as u64;
        let sampler = match self.sampler {
            SamplerConfig::Uniform => 0,
            SamplerConfig::Prioritized(_) => Prioritized::bytes(capacity),
        };
        capacity
            .saturating_mul(sequence)
            .saturating_add(envs.saturating_mul(open))
            .saturating_add(sampler)
    }

    /// Observations of a sequence: one before each step and one behind the last.
    fn rows(&self) -> usize {
        self.burn_in + self.length + 1
    }
}

/// What was drawn; allocated once and filled again and again. Row `i` of every part is sequence `i`.
///
/// Time `length + 1` is one more than there are steps: rows of actions and rewards line up with those of the
/// observations. Behind the end of a sequence the last observation is repeated; actions and rewards are 0 there.
#[derive(Clone, Debug)]
pub struct SequenceBatch {
    /// Observations before the steps that are learned from, `[batch * burn_in, observation row]`; those of
    /// sequence `i` are the first `burn_ins[i]` of its `burn_in` rows.
    pub burn_in_obs: Array,
    /// Steps before the ones that are learned from; fewer than configured at the start of an episode.
    pub burn_ins: Vec<usize>,
    /// The agent's states before the first observation, `[batch, state_len]`.
    pub states: Vec<f32>,
    /// Observations acted on, and the one behind the last step, `[batch * (length + 1), observation row]`.
    pub obs: Array,
    /// Actions taken, `[batch * (length + 1), action row]`.
    pub actions: Array,
    /// Reward of each step, `[batch, length + 1]`.
    pub rewards: Vec<f32>,
    /// Steps, `[batch]`.
    pub lens: Vec<usize>,
    /// Whether the task ended the episode with the last step, `[batch]`; if not, what follows it has a value.
    pub terminated: Vec<bool>,
    /// Importance weights, the largest is 1; all 1 for uniform sampling.
    pub weights: Vec<f32>,
    /// What [`SequenceReplay::update_priorities`] knows the sequences by, until the next push.
    pub indices: Vec<usize>,
    scratch: Vec<f64>,
}

impl SequenceBatch {
    /// Zeros for `batch_size` sequences.
    pub fn new(batch_size: usize, config: &SequenceConfig, spec: &EnvSpec) -> Self {
        let time = config.length + 1;
        let cols = spec.observation_space().len();
        let obs = |rows| Array::zeros_of(spec.obs_kind, batch_size * rows, cols);
        let actions = batch_size * time;
        Self {
            burn_in_obs: obs(config.burn_in),
            burn_ins: vec![0; batch_size],
            states: vec![0.0; batch_size * config.state_len],
            obs: obs(time),
            actions: Array::zeros_of(spec.action_kind(), actions, spec.action_space.len()),
            rewards: vec![0.0; batch_size * time],
            lens: vec![0; batch_size],
            terminated: vec![false; batch_size],
            weights: vec![1.0; batch_size],
            indices: vec![0; batch_size],
            scratch: vec![0.0; batch_size],
        }
    }

    /// Number of sequences.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.indices.len()
    }
}

/// Where a stored sequence ends, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extent {
    burn_in: u32,
    len: u32,
    terminated: bool,
}

/// Observations, actions, rewards and states.
#[derive(Debug)]
struct Steps {
    obs: Array,
    actions: Array,
    rewards: Array,
    states: Array,
}

impl Steps {
    fn new(spec: &EnvSpec, config: &SequenceConfig, rows: [usize; 3]) -> Self {
        let [obs, steps, states] = rows;
        Self {
            obs: Array::zeros_of(spec.obs_kind, obs, spec.observation_space().len()),
            actions: Array::zeros_of(spec.action_kind(), steps, spec.action_space.len()),
            rewards: Array::zeros::<f32>(steps, 1),
            states: Array::zeros::<f32>(states, config.state_len),
        }
    }

    fn parts(&self) -> [&Array; 4] {
        [&self.obs, &self.actions, &self.rewards, &self.states]
    }

    /// Bytes that were really allocated.
    fn allocated(&self) -> usize {
        let bytes = |array: &Array| array.rows() * array.cols() * array.kind().bytes();
        self.parts().into_iter().map(bytes).sum()
    }
}

/// Replay memory of sequences of N environments, none of which crosses the end of an episode.
///
/// The steps of an episode are cut into sequences of `length` steps, one every `period` steps, the first one at
/// its start. The last one is moved back so that it ends with the episode; so every step is learned from, and only
/// an episode that is shorter than `length` makes a shorter sequence. With each go the `burn_in` steps before it
/// (fewer at the start of an episode), the agent's state before them, and the observation behind the last step,
/// also where a time limit cut the episode off.
///
/// *Design.* A ring of sequences of equal size, each whole: steps that two sequences share are stored twice, with
/// the published settings three times. What is drawn is then contiguous, an overwritten sequence is one leaf less in
/// the sum tree, and a damaged file cannot join what does not belong together. A ring of steps with links, as in
/// [`Replay`](super::Replay), would need a state at each step or a second ring for them.
///
/// # Reference
/// Kapturowski et al., "Recurrent Experience Replay in Distributed Reinforcement Learning" (2019), section 2.3 and
/// 3. Deviations: the burn-in of the first sequence of an episode is what there is before it, nothing, and the last
/// one is moved back, where published programs never learn from the first `burn_in` steps of an episode and fill up
/// its end.
///
/// ```
/// use thorndike_core::replay::{SamplerConfig, SequenceBatch, SequenceConfig, SequenceReplay};
/// use thorndike_core::{EnvOptions, Seeds, SyncVectorEnv, Transitions, VectorEnv};
/// # use thorndike_core::prelude::*;
/// # struct Coin;
/// # impl Env for Coin {
/// #     type State = usize;
/// #     type Obs = i32;
/// #     type Action = usize;
/// #     fn observation_space(&self) -> Space { Space::Discrete(9) }
/// #     fn action_space(&self) -> Space { Space::Discrete(2) }
/// #     fn reset(&self, _: &mut Rng) -> usize { 0 }
/// #     fn step(&self, at: &mut usize, _: usize, _: &mut Rng) -> Step {
/// #         *at += 1;
/// #         if *at == 7 { Step::terminal(1.0) } else { Step::running(0.0) }
/// #     }
/// #     fn observe(&self, at: &usize, obs: &mut [i32]) { obs[0] = *at as i32 }
/// # }
/// let seeds = Seeds::new(1);
/// let mut envs = SyncVectorEnv::new(Coin, &EnvOptions::default(), seeds)?;
/// let sampler = SamplerConfig::Uniform;
/// let config = SequenceConfig { capacity: 100, burn_in: 3, length: 4, period: 2, state_len: 1, sampler };
/// let mut replay = SequenceReplay::new(&config, envs.spec())?;
/// let actions = envs.new_actions();
/// for _ in 0..7 {
///     let state = [0.5];
///     envs.step(&actions);
///     replay.push(&Transitions::new(envs.batch(), &actions), &state);
///     envs.advance();
/// }
/// assert_eq!(replay.len(), 3, "steps 0 to 3, 2 to 5 and 3 to 6");
///
/// let mut batch = SequenceBatch::new(1, &config, envs.spec());
/// replay.sample_into(&mut seeds.stream("replay", 0), 7, &mut batch);
/// let first = batch.obs.row::<i32>(0)[0] as usize;
/// assert_eq!(batch.burn_ins[0], first, "all that comes before");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct SequenceReplay {
    config: SequenceConfig,
    spec: EnvSpec,
    /// Sequence `i` has [`rows`](SequenceConfig::rows) observations, `length` actions and rewards, and one state.
    stored: Steps,
    /// One for each stored sequence; never grows beyond its first allocation.
    extents: Vec<Extent>,
    /// The sequence that is written next.
    cursor: usize,
    sampler: Sampler,
    /// The newest steps of the running episodes: environment `i` has a ring of [`rows`](SequenceConfig::rows), in
    /// which step `t` of the episode is row `t % rows`.
    open: Steps,
    /// Steps of each running episode.
    elapsed: Vec<u64>,
}

impl SequenceReplay {
    /// An empty replay for environments of the form `spec`.
    ///
    /// # Errors
    /// [`Error::Config`] if a number is out of range or the memory is not there.
    pub fn new(config: &SequenceConfig, spec: &EnvSpec) -> Result<Self> {
        config.check()?;
        check_fits("capacity", "the replay", config.bytes(spec))?;
        let (capacity, rows) = (config.capacity, config.rows());
        let open = spec.num_envs * rows;
        Ok(Self {
            stored: Steps::new(
                spec,
                config,
                [capacity * rows, capacity * config.length, capacity],
            ),
            extents: Vec::with_capacity(capacity),
            cursor: 0,
            sampler: match config.sampler {
                SamplerConfig::Uniform => Sampler::Uniform,
                SamplerConfig::Prioritized(config) => {
                    Sampler::Prioritized(Prioritized::new(config, capacity))
                }
            },
            open: Steps::new(spec, config, [open; 3]),
            elapsed: vec![0; spec.num_envs],
            config: config.clone(),
            spec: spec.clone(),
        })
    }

    /// Number of sequences that can be drawn.
    pub fn len(&self) -> usize {
        self.extents.len()
    }

    /// Whether nothing can be drawn yet.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// Bytes allocated; what [`SequenceConfig::bytes`] said.
    pub fn bytes(&self) -> u64 {
        let sampler = match &self.sampler {
            Sampler::Uniform => 0,
            Sampler::Prioritized(prioritized) => prioritized.allocated(),
        };
        let bytes = self.stored.allocated()
            + self.open.allocated()
            + self.extents.capacity() * size_of::<Extent>()
            + self.elapsed.capacity() * size_of::<u64>()
            + sampler;
        bytes as u64
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.extents.clear();
        self.cursor = 0;
        self.elapsed.fill(0);
        if let Sampler::Prioritized(prioritized) = &mut self.sampler {
            prioritized.clear();
        }
    }

    /// Stores one step of all environments; `states` `[num_envs, state_len]` are the agent's before it saw `obs`.
    ///
    /// Where the last step did not end an episode, `obs` must be the `next_obs` of that step, as it is in every
    /// [`VectorEnv`](crate::VectorEnv). Anything else means that the environment was reset from outside: the
    /// episode so far is closed as truncated, and one starts.
    ///
    /// # Panics
    /// If the arrays are not of the form that the replay was built for.
    pub fn push(&mut self, step: &Transitions<'_>, states: &[f32]) {
        let envs = self.elapsed.len();
        assert_eq!(step.len(), envs, "environments in a push");
        let state_len = self.config.state_len;
        assert_eq!(states.len(), envs * state_len, "states in a push");
        for (env, state) in states.chunks_exact(state_len).enumerate() {
            let mut t = self.elapsed[env];
            if t > 0 && !same_row(&self.open.obs, self.open_row(env, t), step.obs, env) {
                if !self.ends_sequence(t) {
                    self.store(env, t, false);
                }
                t = 0;
            }
            let row = self.open_row(env, t);
            if t == 0 {
                self.open.obs.copy_row(row, step.obs, env);
            }
            self.open.actions.copy_row(row, step.actions, env);
            self.open.rewards.row_mut::<f32>(row)[0] = step.rewards[env];
            self.open.states.row_mut::<f32>(row).copy_from_slice(state);
            t += 1;
            let next = self.open_row(env, t);
            self.open.obs.copy_row(next, step.next_obs, env);
            let status = step.status[env];
            if self.ends_sequence(t) || status.is_over() {
                self.store(env, t, status == Status::Terminated);
            }
            self.elapsed[env] = if status.is_over() { 0 } else { t };
        }
    }

    /// Whether a sequence ends when `t` steps of an episode were made, whatever comes after.
    fn ends_sequence(&self, t: u64) -> bool {
        let past_first = t.checked_sub(self.config.length as u64);
        past_first.is_some_and(|past| past.is_multiple_of(self.config.period as u64))
    }

    /// The row of `open` for step `t` of environment `env`.
    fn open_row(&self, env: usize, t: u64) -> usize {
        let rows = self.config.rows();
        env * rows + (t % rows as u64) as usize
    }

    /// Copies what leads up to step `t` of environment `env` over the oldest sequence.
    fn store(&mut self, env: usize, t: u64, terminated: bool) {
        let len = t.min(self.config.length as u64);
        let burn_in = (t - len).min(self.config.burn_in as u64);
        let (start, first) = (t - len - burn_in, t - len);
        let (rows, steps, slot) = (self.config.rows(), self.config.length, self.cursor);
        for (i, t) in (start..=t).enumerate() {
            let row = self.open_row(env, t);
            let to = slot * rows + i;
            self.stored.obs.copy_row(to, &self.open.obs, row);
        }
        for (i, t) in (first..t).enumerate() {
            let row = self.open_row(env, t);
            let to = slot * steps + i;
            self.stored.actions.copy_row(to, &self.open.actions, row);
            self.stored.rewards.copy_row(to, &self.open.rewards, row);
        }
        let row = self.open_row(env, start);
        self.stored.states.copy_row(slot, &self.open.states, row);
        let extent = Extent {
            burn_in: burn_in as u32,
            len: len as u32,
            terminated,
        };
        match self.extents.get_mut(slot) {
            Some(old) => *old = extent,
            None => self.extents.push(extent),
        }
        if let Sampler::Prioritized(prioritized) = &mut self.sampler {
            prioritized.add(slot);
        }
        self.cursor = (slot + 1) % self.config.capacity;
    }

    /// Draws sequences and fills `out` with them; `step` is where the run is, for the importance weights.
    ///
    /// # Panics
    /// If nothing can be drawn, or `out` was made for another form.
    pub fn sample_into(&mut self, rng: &mut Rng, step: EnvSteps, out: &mut SequenceBatch) {
        assert!(!self.is_empty(), "drawn from an empty replay");
        match &self.sampler {
            Sampler::Uniform => {
                let stored = self.extents.len() as u32;
                for index in &mut out.indices {
                    *index = rng.random_range(0..stored) as usize;
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

    /// Fills `out` with the sequences that its indices name.
    fn read_into(&self, out: &mut SequenceBatch) {
        let (rows, steps) = (self.config.rows(), self.config.length);
        let (burn_in_rows, time) = (self.config.burn_in, steps + 1);
        for (i, &slot) in out.indices.iter().enumerate() {
            let extent = self.extents[slot];
            let (burn_in, len) = (extent.burn_in as usize, extent.len as usize);
            for t in 0..burn_in {
                let to = i * burn_in_rows + t;
                out.burn_in_obs
                    .copy_row(to, &self.stored.obs, slot * rows + t);
            }
            for t in 0..time {
                let row = slot * rows + burn_in + t.min(len);
                out.obs.copy_row(i * time + t, &self.stored.obs, row);
            }
            for t in 0..len {
                out.actions
                    .copy_row(i * time + t, &self.stored.actions, slot * steps + t);
            }
            let padding = i * time + len..(i + 1) * time;
            zero_rows(&mut out.actions, padding.clone());
            let rewards = &self.stored.rewards.as_slice::<f32>()[slot * steps..][..len];
            out.rewards[i * time..][..len].copy_from_slice(rewards);
            out.rewards[padding].fill(0.0);
            let state_len = self.config.state_len;
            let state = self.stored.states.row::<f32>(slot);
            out.states[i * state_len..][..state_len].copy_from_slice(state);
            out.burn_ins[i] = burn_in;
            out.lens[i] = len;
            out.terminated[i] = extent.terminated;
        }
    }

    /// Gives drawn sequences priorities for their new absolute TD errors, one for each; does nothing for uniform
    /// sampling.
    ///
    /// `indices` are those of a [`SequenceBatch`]; a push makes them stale. Errors that are no finite numbers are
    /// passed over.
    ///
    /// # Panics
    /// If there are not as many errors as indices, or an index is no sequence.
    pub fn update_priorities(&mut self, indices: &[usize], td_errors_abs: &[f32]) {
        assert_eq!(indices.len(), td_errors_abs.len(), "one TD error an index");
        if let Sampler::Prioritized(prioritized) = &mut self.sampler {
            prioritized.update(indices, td_errors_abs);
        }
    }

    /// Writes everything that is stored to the file `path`; no second copy is made in memory.
    ///
    /// One line of JSON says for which form of replay it is and how many sequences it holds. Little-endian scalars
    /// follow: observations, actions, rewards and states of all sequences, how long each is and how it ended, the
    /// same of the running episodes with their steps so far, and priorities.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let file = File::create(path).map_err(Error::io(path))?;
        let mut file = BufWriter::new(file);
        (self.write(&mut file))
            .and_then(|()| file.flush())
            .map_err(Error::io(path))
    }

    /// Takes back what [`save`](SequenceReplay::save) wrote: everything drawn from then on is the same, bit for
    /// bit.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file cannot be opened, is damaged, or is that of another form of replay. If it
    /// could be opened, the replay is then empty.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path)
            .map_err(|e| Error::checkpoint(path, format!("cannot be read: {e}")))?;
        self.load_from(path, BufReader::new(file))
    }

    fn load_from(&mut self, path: &Path, file: impl BufRead) -> Result<()> {
        self.clear();
        let loaded = self.read(Reader { path, file });
        if loaded.is_err() {
            self.clear();
        }
        loaded
    }

    /// What must be the same in the replay that writes and the one that reads.
    fn form(&self) -> Map<String, Value> {
        let config = &self.config;
        let form = [
            ("capacity", json!(config.capacity)),
            ("environments", json!(self.spec.num_envs)),
            (
                "observation",
                json!(self.spec.observation_space().to_string()),
            ),
            ("observation_scalar", json!(self.stored.obs.kind())),
            ("action", json!(self.spec.action_space.to_string())),
            ("action_scalar", json!(self.stored.actions.kind())),
            ("burn_in", json!(config.burn_in)),
            ("length", json!(config.length)),
            ("period", json!(config.period)),
            ("state", json!(config.state_len)),
            (
                "sampler",
                json!(match self.sampler {
                    Sampler::Uniform => "uniform",
                    Sampler::Prioritized(_) => "prioritized",
                }),
            ),
        ];
        form.map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect()
    }

    /// Rows of each part of `stored` that `sequences` sequences fill.
    fn stored_rows(&self, sequences: usize) -> [usize; 4] {
        let (rows, steps) = (self.config.rows(), self.config.length);
        [
            sequences * rows,
            sequences * steps,
            sequences * steps,
            sequences,
        ]
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let mut header = self.form();
        header.insert("format".into(), json!(FORMAT));
        header.insert("version".into(), json!(VERSION));
        header.insert("rows".into(), json!(self.len()));
        header.insert("cursor".into(), json!(self.cursor));
        writeln!(out, "{}", Value::Object(header))?;
        for (part, rows) in self.stored.parts().iter().zip(self.stored_rows(self.len())) {
            write_rows(out, part, rows)?;
        }
        for extent in &self.extents {
            out.write_all(&extent.burn_in.to_le_bytes())?;
            out.write_all(&extent.len.to_le_bytes())?;
            out.write_all(&[u8::from(extent.terminated)])?;
        }
        for part in self.open.parts() {
            write_rows(out, part, part.rows())?;
        }
        for elapsed in &self.elapsed {
            out.write_all(&elapsed.to_le_bytes())?;
        }
        if let Sampler::Prioritized(prioritized) = &self.sampler {
            out.write_all(&prioritized.max_priority.to_le_bytes())?;
            for priority in prioritized.priorities(self.len()) {
                out.write_all(&priority.to_le_bytes())?;
            }
        }
        Ok(())
    }

    fn read(&mut self, mut file: Reader<'_, impl BufRead>) -> Result<()> {
        let header = file.header(FORMAT, &self.form())?;
        let capacity = self.config.capacity;
        let sequences = file.count(&header, "rows", capacity)?;
        self.cursor = file.cursor(&header, sequences, capacity)?;
        let filled = self.stored_rows(sequences);
        self.read_steps(&mut file, filled, |replay| &mut replay.stored)?;
        for _ in 0..sequences {
            let extent = self.read_extent(&mut file)?;
            self.extents.push(extent);
        }
        let all = [self.open.obs.rows(); 4];
        self.read_steps(&mut file, all, |replay| &mut replay.open)?;
        for elapsed in &mut self.elapsed {
            *elapsed = u64::from_le_bytes(file.take()?);
            if *elapsed > u64::MAX / 2 {
                return Err(file.damaged("an episode is longer than any can be"));
            }
        }
        if let Sampler::Prioritized(prioritized) = &mut self.sampler {
            prioritized.max_priority = file.priority()?;
            prioritized.set_priorities(sequences, |_| file.priority())?;
        }
        file.end()
    }

    fn read_steps(
        &mut self,
        file: &mut Reader<'_, impl BufRead>,
        rows: [usize; 4],
        of: impl Fn(&mut Self) -> &mut Steps,
    ) -> Result<()> {
        let (observations, actions) = (self.spec.observation_space(), &self.spec.action_space);
        let actions = actions.clone();
        let steps = of(self);
        file.rows(&mut steps.obs, rows[0])?;
        file.inside(&observations, &steps.obs, rows[0])?;
        file.rows(&mut steps.actions, rows[1])?;
        file.inside(&actions, &steps.actions, rows[1])?;
        file.rows(&mut steps.rewards, rows[2])?;
        file.rows(&mut steps.states, rows[3])
    }

    fn read_extent(&self, file: &mut Reader<'_, impl BufRead>) -> Result<Extent> {
        let extent = Extent {
            burn_in: u32::from_le_bytes(file.take()?),
            len: u32::from_le_bytes(file.take()?),
            terminated: match file.take()? {
                [0] => false,
                [1] => true,
                [other] => return Err(file.damaged(&format!("a sequence ends in way {other}"))),
            },
        };
        let fits = extent.burn_in as usize <= self.config.burn_in
            && (1..=self.config.length).contains(&(extent.len as usize));
        if fits {
            Ok(extent)
        } else {
            let (burn_in, len) = (extent.burn_in, extent.len);
            Err(file.damaged(&format!("a sequence has {burn_in} and {len} steps")))
        }
    }
}

/// Whether row `i` of `a` is row `j` of `b`.
fn same_row(a: &Array, i: usize, b: &Array, j: usize) -> bool {
    match a.kind() {
        Kind::F32 => a.row::<f32>(i) == b.row::<f32>(j),
        Kind::U8 => a.row::<u8>(i) == b.row::<u8>(j),
        Kind::I32 => a.row::<i32>(i) == b.row::<i32>(j),
    }
}

fn zero_rows(array: &mut Array, rows: std::ops::Range<usize>) {
    let items = rows.start * array.cols()..rows.end * array.cols();
    match array.kind() {
        Kind::F32 => array.as_mut_slice::<f32>()[items].fill(0.0),
        Kind::U8 => array.as_mut_slice::<u8>()[items].fill(0),
        Kind::I32 => array.as_mut_slice::<i32>()[items].fill(0),
    }
}

#[cfg(test)]
mod tests;
