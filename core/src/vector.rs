//! N environments stepped together: where types are erased.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::array::{Array, Element, Kind};
use crate::env::{Action, Env, Status, Step, action_kind};
use crate::error::{Error, Result, check_range};
use crate::numpy::NumpyRng;
use crate::picture::Picture;
use crate::seed::{Rng, Seeds};
use crate::space::Space;
use crate::wrap::ClipRewards;

/// How environments are put together into a batch, and what is between them and the agent.
///
/// [`Registry::make_envs`](crate::Registry::make_envs) does all of it for any environment; a [`SyncVectorEnv`] by
/// itself does what [`plain`](EnvOptions::plain) leaves. In this order:
///
/// | option | what it changes | ns a row |
/// |---|---|---|
/// | `max_pool` | frame: the larger of two | 220 (84x84), 3,400 (3x210x160) |
/// | `grey` | frame: three channels to one | 7,100 (210x160) |
/// | `resize` | frame: shrunk | 32,000 (210x160 to 84x84) |
/// | `normalize_observations` | frame: mean 0, deviation 1; becomes `f32` | 15 (4 numbers), 5,400 (84x84) |
/// | `time_observation` | frame: one item longer | 10 (4 numbers) |
/// | `frame_stack` | observation: the last frames | |
/// | `normalize_rewards` | reward: deviation of the return 1 | 12 |
/// | `clip_rewards` | reward: sign or range | 7 |
///
/// Each cost but that of `max_pool` has 6 ns in it that are paid once (140 for 84x84): the batch is copied. Measured by
/// `cargo bench -p thorndike-core --bench wrap`: best of 200 runs, 64 rows of numbers or 8 of `u8` pixels, one of two
/// shared cores of an AMD EPYC.
///
/// Episodes and evaluations report rewards as the environment gave them. Evaluations see by the statistics of training
/// and leave them alone: [`Trainer::evaluate`](crate::Trainer::evaluate).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvOptions {
    /// Environments stepped together.
    pub num_envs: usize,
    /// Environment steps after which an episode is truncated; absent: the environment's own limit; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<u32>,
    /// Successive observations shown together, oldest first; the first one is repeated at a start.
    pub frame_stack: usize,
    /// Times an action is applied; rewards add up, and the time limit counts every one.
    pub action_repeat: u32,
    /// Shows the larger one, item by item, of the last two frames of a repeated action. Where an episode ends before
    /// the last repetition, its last frame alone.
    pub max_pool: bool,
    /// Threads that step the environments; absent: as many as pay off by measurement. It changes no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Shows red, green and blue (`u8` or `f32`, `[3, height, width]`) as one brightness, `[height, width]`.
    pub grey: bool,
    /// Height and width to which frames (`[height, width]` or `[channels, height, width]`) are shrunk by averaging
    /// over areas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<[usize; 2]>,
    /// Shows observations less their running mean, over their running standard deviation.
    pub normalize_observations: bool,
    /// Shows how far the episode is on its way to the time limit.
    pub time_observation: bool,
    /// Divides rewards by the running standard deviation of the return with this discount, such as 0.99.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize_rewards: Option<f64>,
    /// Shows the agent clipped rewards; those of episodes are reported as the environment gave them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_rewards: Option<ClipRewards>,
    /// Seed by which episodes start as in the reference implementation: row `i` starts as after Gymnasium's
    /// `reset(seed + i)`, and its later episodes draw from the same stream. Absent: starts of our own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numpy_seeding: Option<u64>,
}

impl Default for EnvOptions {
    fn default() -> Self {
        Self {
            num_envs: 1,
            time_limit: None,
            frame_stack: 1,
            action_repeat: 1,
            max_pool: false,
            threads: None,
            grey: false,
            resize: None,
            normalize_observations: false,
            time_observation: false,
            normalize_rewards: None,
            clip_rewards: None,
            numpy_seeding: None,
        }
    }
}

impl EnvOptions {
    /// Most environments in one batch.
    pub const MAX_ENVS: usize = 1 << 20;

    /// What a batch of environments must do itself: these options without those that [`wrap`](crate::wrap) adds, and
    /// without the frame stack if there is something to be done before it.
    pub fn plain(&self) -> Self {
        let plain = Self {
            grey: false,
            resize: None,
            normalize_observations: false,
            time_observation: false,
            normalize_rewards: None,
            clip_rewards: None,
            ..self.clone()
        };
        let frame_stack = if plain == *self { self.frame_stack } else { 1 };
        Self {
            frame_stack,
            ..plain
        }
    }

    /// # Errors
    /// [`Error::Config`] if a number is out of range.
    pub fn check(&self) -> Result<()> {
        let range = |key: &str, value: usize, max: usize| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(Error::config(
                    key,
                    format!("{value} is out of range; give 1 to {max}"),
                ))
            }
        };
        range("num_envs", self.num_envs, Self::MAX_ENVS)?;
        range("frame_stack", self.frame_stack, 1024)?;
        range("action_repeat", self.action_repeat as usize, 1024)?;
        if self.max_pool && self.action_repeat == 1 {
            let what = "true, but there is one frame to an action; give action_repeat of 2 or more";
            return Err(Error::config("max_pool", what));
        }
        if let Some(threads) = self.threads {
            range("threads", threads, 1024)?;
        }
        if let Some(gamma) = self.normalize_rewards {
            check_range("normalize_rewards", gamma, 0.0..=1.0)?;
        }
        if let Some(clip) = self.clip_rewards {
            clip.check()?;
        }
        let most = u64::MAX - Self::MAX_ENVS as u64;
        self.numpy_seeding
            .map_or(Ok(()), |seed| check_range("numpy_seeding", seed, 0..=most))
    }
}

/// What an agent must know of its environments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// Space of one frame: the newest observation, without the stack.
    pub frame_space: Space,
    /// Scalar of the observations.
    pub obs_kind: Kind,
    /// Space of one action.
    pub action_space: Space,
    /// Rows of a batch.
    pub num_envs: usize,
    /// Environment steps after which an episode is truncated.
    pub time_limit: Option<u32>,
    /// Frames in an observation row.
    pub frame_stack: usize,
    /// Times an action is applied.
    pub action_repeat: u32,
    /// Mean return from which the problem counts as solved.
    pub reward_threshold: Option<f64>,
    /// Where the problem comes from; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// What the actions are called, in their order; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub action_names: Vec<String>,
    /// The words that the tokens of an observation stand for; empty where nothing is said in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vocabulary: Vec<String>,
    /// Names of the tasks, if there are several: row `i` is of task `i mod k`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
}

impl EnvSpec {
    /// One environment without a limit, a stack or words.
    pub fn new(frame_space: Space, obs_kind: Kind, action_space: Space) -> Self {
        Self {
            frame_space,
            obs_kind,
            action_space,
            num_envs: 1,
            time_limit: None,
            frame_stack: 1,
            action_repeat: 1,
            reward_threshold: None,
            reference: String::new(),
            action_names: Vec::new(),
            vocabulary: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// Space of an observation row: `frame_stack` frames.
    pub fn observation_space(&self) -> Space {
        self.frame_space.stacked(self.frame_stack)
    }

    /// Scalar of the action rows.
    pub fn action_kind(&self) -> Kind {
        action_kind(&self.action_space)
    }

    /// Number of actions, for agents that take nothing but a discrete choice.
    ///
    /// # Errors
    /// [`Error::Space`] naming `agent` if actions are something else.
    pub fn num_actions(&self, agent: &str) -> Result<usize> {
        self.action_space.discrete().ok_or_else(|| Error::Space {
            what: format!("{agent}: action space"),
            expected: "discrete actions".into(),
            found: self.action_space.to_string(),
        })
    }

    /// Number of states, for agents that keep a table.
    ///
    /// # Errors
    /// [`Error::Space`] naming `agent` if observations are something else.
    pub fn num_states(&self, agent: &str) -> Result<usize> {
        match self.observation_space() {
            Space::Discrete(n) if self.obs_kind == Kind::I32 => Ok(n),
            other => Err(Error::Space {
                what: format!("{agent}: observation space"),
                expected: "discrete states".into(),
                found: other.to_string(),
            }),
        }
    }
}

/// One step of N environments. Row `i` belongs to environment `i`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What the actor sees now, `[num_envs, observation row]`.
    pub obs: Array,
    /// What the last step led to: true successors, also where an episode ended.
    pub next_obs: Array,
    /// Rewards of the last step.
    pub rewards: Vec<f32>,
    /// Whether and how episodes ended in the last step.
    pub status: Vec<Status>,
}

impl Batch {
    /// Takes over `other`, a batch of the same form, without allocating.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.obs.copy_rows(0, &other.obs);
        self.next_obs.copy_rows(0, &other.next_obs);
        self.rewards.copy_from_slice(&other.rewards);
        self.status.copy_from_slice(&other.status);
    }
}

/// N environments stepped together. Object safe.
///
/// *Design.* `step` writes true successors and `advance` starts ended episodes anew: there is no final
/// observation to fetch from elsewhere, no reset that could be stored as a transition, and no copy of
/// the successor to forget.
pub trait VectorEnv: Send {
    /// Spaces and options.
    fn spec(&self) -> &EnvSpec;
    /// The current observations and the last step.
    fn batch(&self) -> &Batch;
    /// A zeroed array of the right form for [`step`](VectorEnv::step).
    fn new_actions(&self) -> Array {
        Array::zeros_of(
            self.spec().action_kind(),
            self.spec().num_envs,
            self.spec().action_space.len(),
        )
    }
    /// Starts every episode anew.
    fn reset(&mut self);
    /// Applies one action per row; writes `next_obs`, `rewards` and `status`.
    fn step(&mut self, actions: &Array);
    /// Starts ended episodes anew and makes the successors the current observations.
    fn advance(&mut self);
    /// Everything that changes, as bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a foreign simulator cannot be saved; resuming then starts new episodes.
    fn save(&self) -> Result<Vec<u8>>;
    /// Takes back what [`save`](VectorEnv::save) gave.
    ///
    /// # Errors
    /// [`Error::Config`] if the bytes do not fit these environments.
    fn load(&mut self, bytes: &[u8]) -> Result<()>;
    /// Rewards of the last step as the environments gave them; those of the batch may be normalised or clipped.
    fn raw_rewards(&self) -> &[f32] {
        &self.batch().rewards
    }
    /// Writes into `mask` which of the discrete actions environment `index` allows now: one item an action.
    fn action_mask(&self, index: usize, mask: &mut [bool]) {
        let _ = index;
        mask.fill(true);
    }
    /// What was learned from the observations and shapes what is shown, such as a running mean; none mostly.
    fn statistics(&self) -> Option<Vec<u8>> {
        None
    }
    /// Takes the [`statistics`](VectorEnv::statistics) of other environments, keeps them from now on, and shows the
    /// current observations, which must be the first of their episodes, by them.
    ///
    /// # Errors
    /// [`Error::Config`] if they are not of such environments.
    fn freeze(&mut self, statistics: &[u8]) -> Result<()> {
        let _ = statistics;
        Err(Error::config(
            "statistics",
            "these environments keep none; give normalize_observations",
        ))
    }
    /// Text picture of environment `index`.
    fn render(&self, index: usize) -> Option<String> {
        let _ = index;
        None
    }
    /// Drawn picture of environment `index`.
    fn draw(&self, index: usize) -> Option<Picture> {
        let _ = index;
        None
    }
}

/// Environments whose rows can be saved apart, so that bytes do not depend on how rows are shared out.
pub(crate) trait Rows: VectorEnv {
    fn save_rows(&self) -> Result<Vec<Vec<u8>>>;
    fn load_rows(&mut self, rows: &[Vec<u8>]) -> Result<()>;
}

/// Bytes of all rows.
pub(crate) fn join_rows(rows: &[Vec<u8>]) -> Result<Vec<u8>> {
    postcard::to_stdvec(rows).map_err(|e| Error::Backend(Box::new(e)))
}

/// Takes [`join_rows`] apart.
pub(crate) fn split_rows(bytes: &[u8], n: usize) -> Result<Vec<Vec<u8>>> {
    let rows: Vec<Vec<u8>> = postcard::from_bytes(bytes)
        .map_err(|e| unfit(format!("saved state cannot be read: {e}")))?;
    if rows.len() != n {
        return Err(unfit(format!(
            "saved state is of {} environments, not of {n}",
            rows.len()
        )));
    }
    Ok(rows)
}

/// What cannot be loaded into these environments.
pub(crate) fn unfit(what: String) -> Error {
    Error::config("environments", what)
}

/// N environments of one type, stepped one after another on the calling thread.
///
/// Row `i` draws from the stream `env/i`, so its episodes do not depend on how many rows there are.
pub struct SyncVectorEnv<E: Env> {
    env: E,
    spec: EnvSpec,
    batch: Batch,
    states: Vec<E::State>,
    rngs: Vec<Rng>,
    /// Streams of the starts with `numpy_seeding`; else empty.
    numpy: Vec<NumpyRng>,
    elapsed: Vec<u32>,
    /// Actions and outcomes of the last step.
    actions: Vec<E::Action>,
    steps: Vec<Step>,
    /// Rows whose episodes ended in the last step.
    ended: Vec<usize>,
    /// The last frames but one, where the larger one of two is shown.
    pool: Option<Pool>,
}

/// The last frames but one of a repeated action.
struct Pool {
    /// `[num_envs, frame]`
    frames: Array,
    /// Rows that have one.
    filled: Vec<bool>,
}

/// What [`SyncVectorEnv`] saves of a row.
#[derive(Serialize, Deserialize)]
struct SavedRow<S> {
    state: S,
    rng: Rng,
    numpy: Option<NumpyRng>,
    elapsed: u32,
    /// One row.
    obs: Array,
}

impl<E: Env> SyncVectorEnv<E> {
    /// `options.num_envs` environments under the rules `env`, each at the start of an episode.
    ///
    /// # Errors
    /// [`Error::Config`] if an option is out of range or not for `env`; [`Error::Space`] if the actions of
    /// `env` are not of the type that its action space asks for.
    pub fn new(env: E, options: &EnvOptions, seeds: Seeds) -> Result<Self> {
        Self::part(env, options, seeds, 0)
    }

    /// `options.num_envs` rows of a larger batch, from row `first` on.
    pub(crate) fn part(env: E, options: &EnvOptions, seeds: Seeds, first: usize) -> Result<Self> {
        options.check()?;
        let spec = EnvSpec {
            frame_space: env.observation_space(),
            obs_kind: E::Obs::KIND,
            action_space: env.action_space(),
            num_envs: options.num_envs,
            time_limit: options
                .time_limit
                .or(env.time_limit())
                .filter(|&limit| limit > 0),
            frame_stack: options.frame_stack,
            action_repeat: options.action_repeat,
            reward_threshold: env.reward_threshold(),
            reference: env.reference().to_owned(),
            action_names: env.action_names().iter().map(ToString::to_string).collect(),
            vocabulary: env.vocabulary().to_vec(),
            tasks: Vec::new(),
        };
        if !E::Action::fits(&spec.action_space) {
            return Err(Error::Space {
                what: "environment: action space".into(),
                expected: format!("the space of {}", std::any::type_name::<E::Action>()),
                found: spec.action_space.to_string(),
            });
        }
        if options.max_pool && !matches!(spec.frame_space, Space::Box { .. }) {
            return Err(Error::Space {
                what: "max_pool: observation space".into(),
                expected: "numbers, of which one is the larger".into(),
                found: spec.frame_space.to_string(),
            });
        }
        let n = options.num_envs;
        let mut rngs: Vec<Rng> = (first..first + n)
            .map(|i| seeds.stream("env", i as u64))
            .collect();
        let mut numpy = numpy_streams(&env, options, first)?;
        let obs = Array::zeros::<E::Obs>(n, spec.observation_space().len());
        let no_action = vec![Default::default(); spec.action_space.len()];
        let mut this = Self {
            states: (rngs.iter_mut().enumerate())
                .map(|(row, rng)| start(&env, rng, numpy.get_mut(row)))
                .collect(),
            batch: Batch {
                next_obs: obs.clone(),
                obs,
                rewards: vec![0.0; n],
                status: vec![Status::Running; n],
            },
            spec,
            rngs,
            numpy,
            elapsed: vec![0; n],
            actions: vec![E::Action::read(&no_action); n],
            steps: vec![Step::running(0.0); n],
            ended: Vec::with_capacity(n),
            pool: options.max_pool.then(|| Pool {
                frames: Array::zeros::<E::Obs>(n, env.observation_space().len()),
                filled: vec![false; n],
            }),
            env,
        };
        for row in 0..n {
            observe_start(
                &this.env,
                &this.states[row],
                this.batch.obs.row_mut(row),
                this.spec.frame_stack,
            );
        }
        Ok(this)
    }

    /// The rules.
    pub fn env(&self) -> &E {
        &self.env
    }

    /// The states, one a row.
    pub fn states(&self) -> &[E::State] {
        &self.states
    }
}

/// The streams of the rows from `first` on, if the options ask for them.
fn numpy_streams<E: Env>(env: &E, options: &EnvOptions, first: usize) -> Result<Vec<NumpyRng>> {
    let Some(seed) = options.numpy_seeding else {
        return Ok(Vec::new());
    };
    if env.numpy_reset(&mut NumpyRng::new(seed)).is_none() {
        let what =
            format!("{seed}, but this environment has no starts drawn by numpy; leave it out");
        return Err(Error::config("numpy_seeding", what));
    }
    let rows = first..first + options.num_envs;
    Ok(rows.map(|row| NumpyRng::new(seed + row as u64)).collect())
}

/// A first state, by numpy's stream if there is one.
fn start<E: Env>(env: &E, rng: &mut Rng, numpy: Option<&mut NumpyRng>) -> E::State {
    match numpy {
        None => env.reset(rng),
        Some(numpy) => env
            .numpy_reset(numpy)
            .expect("it gave a start when the batch was built"),
    }
}

/// Fills a stack with the first observation of an episode.
fn observe_start<E: Env>(env: &E, state: &E::State, row: &mut [E::Obs], stack: usize) {
    let frame = row.len() / stack;
    env.observe(state, &mut row[..frame]);
    for k in 1..stack {
        row.copy_within(..frame, k * frame);
    }
}

// The parts of a step. Several short loops rather than one long one: the processor then works on several
// rows at once. Rows are found by multiplication: `chunks_exact` divides lengths, and a division costs as
// much as a small environment's whole step.
impl<E: Env> SyncVectorEnv<E> {
    /// Applies the actions again, in episodes that go on.
    fn repeat_actions(&mut self) {
        let limit = self.spec.time_limit.unwrap_or(u32::MAX);
        let rows = self
            .states
            .iter_mut()
            .zip(&self.actions)
            .zip(&mut self.rngs);
        let counts = self.steps.iter_mut().zip(&mut self.elapsed);
        for (row, (((state, action), rng), (step, elapsed))) in rows.zip(counts).enumerate() {
            for left in (1..self.spec.action_repeat).rev() {
                if step.status.is_over() || *elapsed >= limit {
                    break;
                }
                if let Some(pool) = &mut self.pool
                    && (left == 1 || *elapsed + 1 == limit)
                {
                    self.env.observe(state, pool.frames.row_mut(row));
                    pool.filled[row] = true;
                }
                let again = self.env.step(state, *action, rng);
                *elapsed += 1;
                step.reward += again.reward;
                step.status = again.status;
            }
        }
    }

    /// Shows the larger one of the last two frames.
    fn pool_frames(&mut self) {
        let Some(pool) = &mut self.pool else { return };
        for (row, filled) in pool.filled.iter_mut().enumerate() {
            if std::mem::take(filled) {
                let earlier = pool.frames.row::<E::Obs>(row);
                let shown = self.batch.next_obs.row_mut::<E::Obs>(row);
                let older = shown.len() - earlier.len();
                for (shown, &earlier) in shown[older..].iter_mut().zip(earlier) {
                    // Written in any case: a loop without a branch takes many items at once.
                    *shown = if earlier > *shown { earlier } else { *shown };
                }
            }
        }
    }

    /// Writes rewards and status, and truncates at the time limit.
    fn write_outcomes(&mut self) {
        let limit = self.spec.time_limit.unwrap_or(u32::MAX);
        self.ended.clear();
        let outcomes = self.batch.rewards.iter_mut().zip(&mut self.batch.status);
        let rows = self.steps.iter().zip(&self.elapsed).zip(outcomes);
        for (row, ((step, &elapsed), (reward, status))) in rows.enumerate() {
            *reward = step.reward;
            *status = match step.status {
                Status::Running if elapsed >= limit => Status::Truncated,
                status => status,
            };
            if status.is_over() {
                self.ended.push(row);
            }
        }
    }

    /// Writes the true successors behind what is still in the stack.
    fn write_successors(&mut self) {
        let stack = self.spec.frame_stack;
        let cols = self.batch.obs.cols();
        let older = if stack == 1 { 0 } else { cols - cols / stack };
        let obs = self.batch.obs.as_slice::<E::Obs>();
        let next_obs = self.batch.next_obs.as_mut_slice::<E::Obs>();
        for (row, state) in self.states.iter().enumerate() {
            let next_obs = &mut next_obs[row * cols..][..cols];
            if stack > 1 {
                next_obs[..older].copy_from_slice(&obs[(row + 1) * cols - older..][..older]);
            }
            self.env.observe(state, &mut next_obs[older..]);
        }
    }
}

impl<E: Env> VectorEnv for SyncVectorEnv<E> {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn batch(&self) -> &Batch {
        &self.batch
    }

    fn reset(&mut self) {
        self.ended.clear();
        self.ended.extend(0..self.spec.num_envs);
        self.advance();
        self.batch.status.fill(Status::Running);
    }

    fn step(&mut self, actions: &Array) {
        let cols = actions.cols();
        let scalars = actions.as_slice();
        for (row, action) in self.actions.iter_mut().enumerate() {
            *action = E::Action::read(&scalars[row * cols..][..cols]);
        }
        self.env.step_rows(
            &mut self.states,
            &self.actions,
            &mut self.rngs,
            &mut self.steps,
        );
        self.elapsed.iter_mut().for_each(|elapsed| *elapsed += 1);
        if self.spec.action_repeat > 1 {
            self.repeat_actions();
        }
        self.write_outcomes();
        self.write_successors();
        self.pool_frames();
    }

    fn advance(&mut self) {
        for &row in &self.ended {
            let numpy = self.numpy.get_mut(row);
            self.states[row] = start(&self.env, &mut self.rngs[row], numpy);
            self.elapsed[row] = 0;
            observe_start(
                &self.env,
                &self.states[row],
                self.batch.next_obs.row_mut(row),
                self.spec.frame_stack,
            );
        }
        self.ended.clear();
        std::mem::swap(&mut self.batch.obs, &mut self.batch.next_obs);
    }

    fn save(&self) -> Result<Vec<u8>> {
        join_rows(&self.save_rows()?)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        self.load_rows(&split_rows(bytes, self.spec.num_envs)?)
    }

    fn action_mask(&self, index: usize, mask: &mut [bool]) {
        self.env.action_mask(&self.states[index], mask);
    }

    fn render(&self, index: usize) -> Option<String> {
        self.env.render(&self.states[index])
    }

    fn draw(&self, index: usize) -> Option<Picture> {
        self.env.draw(&self.states[index])
    }
}

impl<E: Env> Rows for SyncVectorEnv<E> {
    fn save_rows(&self) -> Result<Vec<Vec<u8>>> {
        let save_row = |row| {
            let mut obs = Array::zeros::<E::Obs>(1, self.batch.obs.cols());
            obs.copy_row(0, &self.batch.obs, row);
            let saved = SavedRow {
                state: self.states[row].clone(),
                rng: self.rngs[row].clone(),
                numpy: self.numpy.get(row).cloned(),
                elapsed: self.elapsed[row],
                obs,
            };
            postcard::to_stdvec(&saved).map_err(|e| Error::Backend(Box::new(e)))
        };
        (0..self.spec.num_envs).map(save_row).collect()
    }

    fn load_rows(&mut self, rows: &[Vec<u8>]) -> Result<()> {
        let space = self.spec.observation_space();
        let cols = self.batch.obs.cols();
        let mut frame = vec![E::Obs::default(); cols / self.spec.frame_stack];
        let mut loaded = Vec::with_capacity(rows.len());
        for (row, bytes) in rows.iter().enumerate() {
            let saved: SavedRow<E::State> = postcard::from_bytes(bytes)
                .map_err(|e| unfit(format!("saved state {row} cannot be read: {e}")))?;
            let obs = &saved.obs;
            if (obs.kind(), obs.rows(), obs.cols()) != (E::Obs::KIND, 1, cols) {
                return Err(unfit(format!(
                    "saved state {row} is not that of such an environment"
                )));
            }
            if saved.numpy.is_none() != self.numpy.is_empty() {
                return Err(unfit(format!(
                    "saved state {row} differs in whether `numpy_seeding` draws its starts"
                )));
            }
            if !space.contains(obs, 0) {
                return Err(unfit(format!(
                    "saved observation {row} lies outside {space}"
                )));
            }
            // A state that does not show what was saved is not of these rules; stepping from it might panic.
            self.env.observe(&saved.state, &mut frame);
            let shown = &obs.row::<E::Obs>(0)[cols - frame.len()..];
            let agree = match self.pool {
                None => shown == frame,
                Some(_) => shown.iter().zip(&frame).all(|(shown, x)| shown >= x),
            };
            if !agree {
                return Err(unfit(format!(
                    "saved state {row} does not show the saved observation"
                )));
            }
            loaded.push(saved);
        }
        for (row, saved) in loaded.into_iter().enumerate() {
            self.states[row] = saved.state;
            self.rngs[row] = saved.rng;
            if let Some(numpy) = saved.numpy {
                self.numpy[row] = numpy;
            }
            self.elapsed[row] = saved.elapsed;
            self.batch.obs.copy_row(row, &saved.obs, 0);
        }
        self.batch.rewards.fill(0.0);
        self.batch.status.fill(Status::Running);
        self.ended.clear();
        Ok(())
    }
}

impl<E: Env> fmt::Debug for SyncVectorEnv<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncVectorEnv")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up; ends by itself at `end`.
    struct Counter {
        end: u32,
    }

    impl Env for Counter {
        type State = u32;
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(1000)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn reset(&self, _: &mut Rng) -> u32 {
            0
        }
        fn step(&self, state: &mut u32, _: usize, _: &mut Rng) -> Step {
            *state += 1;
            if *state == self.end {
                Step::terminal(10.0)
            } else {
                Step::running(1.0)
            }
        }
        fn observe(&self, state: &u32, obs: &mut [i32]) {
            obs[0] = *state as i32;
        }
    }

    fn make(end: u32, options: EnvOptions) -> SyncVectorEnv<Counter> {
        SyncVectorEnv::new(Counter { end }, &options, Seeds::new(0)).unwrap()
    }

    fn step(envs: &mut SyncVectorEnv<Counter>) {
        envs.step(&envs.new_actions());
    }

    #[test]
    fn next_obs_is_the_true_successor_and_a_reset_follows_advance() {
        let mut envs = make(2, EnvOptions::default());
        step(&mut envs);
        envs.advance();
        step(&mut envs);
        assert_eq!(envs.batch().next_obs.as_slice::<i32>(), [2]);
        assert_eq!(envs.batch().status, [Status::Terminated]);
        envs.advance();
        assert_eq!(envs.batch().obs.as_slice::<i32>(), [0]);
    }

    #[test]
    fn a_time_limit_truncates_and_termination_wins_where_both_meet() {
        let limit = |steps| EnvOptions {
            time_limit: Some(steps),
            ..Default::default()
        };
        let mut envs = make(5, limit(2));
        step(&mut envs);
        envs.advance();
        step(&mut envs);
        assert_eq!(envs.batch().status, [Status::Truncated]);
        assert!(envs.batch().status[0].bootstraps());

        let mut envs = make(2, limit(2));
        step(&mut envs);
        envs.advance();
        step(&mut envs);
        assert_eq!(envs.batch().status, [Status::Terminated]);
    }

    #[test]
    fn the_time_limit_starts_anew_with_each_episode() {
        let options = EnvOptions {
            time_limit: Some(3),
            ..Default::default()
        };
        let mut envs = make(100, options);
        let ends: Vec<bool> = (0..9)
            .map(|_| {
                step(&mut envs);
                let over = envs.batch().status[0].is_over();
                envs.advance();
                over
            })
            .collect();
        assert_eq!(ends, [false, false, true].repeat(3));
    }

    #[test]
    fn a_stack_repeats_the_first_frame_and_then_shifts() {
        let options = EnvOptions {
            frame_stack: 3,
            ..Default::default()
        };
        let mut envs = make(4, options);
        let mut seen = vec![envs.batch().obs.as_slice::<i32>().to_vec()];
        for _ in 0..4 {
            step(&mut envs);
            seen.push(envs.batch().next_obs.as_slice().to_vec());
            envs.advance();
        }
        seen.push(envs.batch().obs.as_slice().to_vec());
        assert_eq!(
            seen,
            [
                [0, 0, 0],
                [0, 0, 1],
                [0, 1, 2],
                [1, 2, 3],
                [2, 3, 4],
                [0, 0, 0]
            ]
        );
    }

    #[test]
    fn a_repeated_action_adds_rewards_and_stops_at_the_end() {
        let options = EnvOptions {
            action_repeat: 4,
            ..Default::default()
        };
        let mut envs = make(6, options);
        step(&mut envs);
        assert_eq!(
            (envs.batch().rewards[0], envs.batch().status[0]),
            (4.0, Status::Running)
        );
        envs.advance();
        step(&mut envs);
        assert_eq!(
            (envs.batch().rewards[0], envs.batch().status[0]),
            (11.0, Status::Terminated)
        );
        assert_eq!(envs.batch().next_obs.as_slice::<i32>(), [6]);
    }

    #[test]
    fn saved_environments_go_on_where_they_were() {
        let options = EnvOptions {
            num_envs: 2,
            frame_stack: 2,
            time_limit: Some(5),
            ..Default::default()
        };
        let mut a = make(7, options.clone());
        for _ in 0..3 {
            step(&mut a);
            a.advance();
        }
        let mut b = make(7, options);
        b.load(&a.save().unwrap()).unwrap();
        for _ in 0..20 {
            assert_eq!(a.batch().obs, b.batch().obs);
            step(&mut a);
            step(&mut b);
            assert_eq!(a.batch(), b.batch());
            a.advance();
            b.advance();
        }
    }

    #[test]
    fn bytes_of_other_environments_are_refused() {
        let two = EnvOptions {
            num_envs: 2,
            ..Default::default()
        };
        let bytes = make(7, two).save().unwrap();
        let mut one = make(7, EnvOptions::default());
        assert!(one.load(&bytes).is_err());
        for cut in 0..bytes.len() {
            assert!(one.load(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_state_that_shows_something_else_is_refused() {
        let envs = make(7, EnvOptions::default());
        let saved = SavedRow {
            state: 3_u32,
            rng: envs.rngs[0].clone(),
            numpy: None,
            elapsed: 0,
            obs: envs.batch.obs.clone(),
        };
        let bytes = join_rows(&[postcard::to_stdvec(&saved).unwrap()]).unwrap();
        let error = make(7, EnvOptions::default()).load(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environments: saved state 0 does not show the saved observation"
        );
    }

    /// One throw of a die an episode, by either generator.
    struct Die;

    impl Env for Die {
        type State = i64;
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(7)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(1)
        }
        fn reset(&self, _: &mut Rng) -> i64 {
            0
        }
        fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<i64> {
            Some(rng.integers(1..7))
        }
        fn step(&self, _: &mut i64, _: usize, _: &mut Rng) -> Step {
            Step::terminal(0.0)
        }
        fn observe(&self, state: &i64, obs: &mut [i32]) {
            obs[0] = *state as i32;
        }
    }

    fn dice(numpy_seeding: Option<u64>) -> SyncVectorEnv<Die> {
        let options = EnvOptions {
            num_envs: 3,
            numpy_seeding,
            ..Default::default()
        };
        SyncVectorEnv::new(Die, &options, Seeds::new(0)).unwrap()
    }

    /// Throws of `episodes` more episodes.
    fn throws(envs: &mut SyncVectorEnv<Die>, episodes: usize) -> Vec<Vec<i64>> {
        let mut throw = |_| {
            envs.step(&envs.new_actions());
            envs.advance();
            envs.states().to_vec()
        };
        (0..episodes).map(&mut throw).collect()
    }

    #[test]
    fn row_i_starts_by_numpys_stream_of_seed_plus_i_and_goes_on_in_it() {
        let mut envs = dice(Some(40));
        let mut streams = [40, 41, 42].map(NumpyRng::new);
        let mut next = || streams.each_mut().map(|rng| rng.integers(1..7)).to_vec();
        assert_eq!(envs.states(), next());
        for throw in throws(&mut envs, 20) {
            assert_eq!(throw, next());
        }
        assert_eq!(
            dice(None).states(),
            [0; 3],
            "by our own stream if not asked"
        );
    }

    #[test]
    fn numpys_streams_are_saved_and_only_loaded_where_they_are_used() {
        let mut envs = dice(Some(40));
        throws(&mut envs, 5);
        let saved = envs.save().unwrap();
        let mut copy = dice(Some(1));
        copy.load(&saved).unwrap();
        assert_eq!(throws(&mut copy, 20), throws(&mut envs, 20));
        assert!(dice(None).load(&saved).is_err());
    }

    #[test]
    fn numpys_seed_is_refused_where_no_start_is_drawn_by_it() {
        let options = EnvOptions {
            numpy_seeding: Some(7),
            ..Default::default()
        };
        let error = SyncVectorEnv::new(Counter { end: 1 }, &options, Seeds::new(0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "numpy_seeding: 7, but this environment has no starts drawn by numpy; leave it out"
        );
    }

    #[test]
    fn options_out_of_range_name_the_key() {
        let options = EnvOptions {
            num_envs: 0,
            ..Default::default()
        };
        let error = SyncVectorEnv::new(Counter { end: 1 }, &options, Seeds::new(0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "num_envs: 0 is out of range; give 1 to 1048576"
        );
    }
}
