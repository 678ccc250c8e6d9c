//! What is between a batch of environments and the agent: observations and rewards seen in another way.
//!
//! Each is an option of [`EnvOptions`], applied in the order that is written there. A new one for observations is
//! a [`FrameLayer`] in a file of its own, an option, and a line in [`Wrapped::new`].

mod clip;
mod discretize;
mod image;
mod normalize;
#[cfg(test)]
mod tests;
mod time;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::array::{Array, Element, Kind};
use crate::env::Status;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::vector::{Batch, EnvOptions, EnvSpec, VectorEnv, unfit};
pub use clip::ClipRewards;
pub use discretize::{Bins, Discretize};
use image::{Grey, Resize};
use normalize::{NormalizeObservations, NormalizeRewards};
use time::Time;

/// When frames are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// They begin episodes.
    Start,
    /// They follow from actions.
    Step,
}

/// Shows the frames of a batch in another way. Its constructor puts what it shows into the [`EnvSpec`].
trait FrameLayer: Send {
    /// `frames` seen in another way; only `rows` of both are used.
    fn show(&mut self, rows: &[usize], moment: Moment, frames: &Array) -> &Array;
    /// Everything that changes, as bytes.
    fn save(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    /// Takes back what `save` gave, untrusted.
    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        Err(unfit("saved state is of other options".into()))
    }
    /// See [`VectorEnv::statistics`].
    fn statistics(&self) -> Option<Vec<u8>> {
        None
    }
    /// See [`VectorEnv::freeze`]; called on layers that have statistics.
    fn freeze(&mut self, statistics: &[u8]) -> Result<()> {
        let _ = statistics;
        Ok(())
    }
}

/// `envs`, built with [`options.plain()`](EnvOptions::plain), with the rest of `options`.
/// [`Registry::make_envs`](crate::Registry::make_envs) does it for every environment.
///
/// ```
/// use thorndike_core::{ClipRewards, EnvOptions, Seeds, SyncVectorEnv, wrap};
/// # use thorndike_core::prelude::*;
/// # struct Walk;
/// # impl Env for Walk {
/// #     type State = f32;
/// #     type Obs = f32;
/// #     type Action = usize;
/// #     fn observation_space(&self) -> Space { Space::unbounded(&[1]) }
/// #     fn action_space(&self) -> Space { Space::Discrete(2) }
/// #     fn reset(&self, _: &mut Rng) -> f32 { 0.0 }
/// #     fn step(&self, at: &mut f32, _: usize, _: &mut Rng) -> Step { *at += 3.0; Step::running(*at) }
/// #     fn observe(&self, at: &f32, obs: &mut [f32]) { obs[0] = *at }
/// # }
/// let options = EnvOptions {
///     normalize_observations: true,
///     clip_rewards: Some(ClipRewards::Sign),
///     ..EnvOptions::default()
/// };
/// let envs = SyncVectorEnv::new(Walk, &options.plain(), Seeds::new(1))?;
/// let mut envs = wrap(Box::new(envs), &options)?;
/// envs.step(&envs.new_actions());
/// assert_eq!((envs.batch().rewards[0], envs.raw_rewards()[0]), (1.0, 3.0));
/// // The mean of 0 and 3 is 1.5, and so is their standard deviation.
/// assert!((envs.batch().next_obs.as_slice::<f32>()[0] - 1.0).abs() < 1e-3);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`Error::Space`] if an option cannot take these observations; [`Error::Config`] if one is out of range, or
/// `frame_stack` is not that of the plain options.
pub fn wrap<'a>(
    envs: Box<dyn VectorEnv + 'a>,
    options: &EnvOptions,
) -> Result<Box<dyn VectorEnv + 'a>> {
    options.check()?;
    let plain = options.plain();
    let built = envs.spec().frame_stack;
    if built != plain.frame_stack {
        let what = format!(
            "the environments stack {built} frames, not {} as asked by `EnvOptions::plain`",
            plain.frame_stack
        );
        return Err(Error::config("frame_stack", what));
    }
    if plain == *options {
        Ok(envs)
    } else {
        Ok(Box::new(Wrapped::new(envs, options)?))
    }
}

/// A batch of environments whose frames and rewards are shown in another way, and stacked.
struct Wrapped<'a> {
    envs: Box<dyn VectorEnv + 'a>,
    spec: EnvSpec,
    batch: Batch,
    layers: Vec<Box<dyn FrameLayer>>,
    normalize_rewards: Option<NormalizeRewards>,
    clip_rewards: Option<ClipRewards>,
    /// All rows, and those whose episodes ended in the last step.
    all: Vec<usize>,
    ended: Vec<usize>,
}

/// What [`Wrapped::save`] writes.
#[derive(Serialize, Deserialize)]
struct Saved {
    envs: Vec<u8>,
    layers: Vec<Vec<u8>>,
    rewards: Option<NormalizeRewards>,
    obs: Array,
}

impl<'a> Wrapped<'a> {
    fn new(envs: Box<dyn VectorEnv + 'a>, options: &EnvOptions) -> Result<Self> {
        let mut spec = envs.spec().clone();
        let mut layers: Vec<Box<dyn FrameLayer>> = Vec::new();
        if options.grey {
            layers.push(Box::new(Grey::new(&mut spec)?));
        }
        if let Some(size) = options.resize {
            layers.push(Box::new(Resize::new(size, &mut spec)?));
        }
        if options.normalize_observations {
            layers.push(Box::new(NormalizeObservations::new(&mut spec)?));
        }
        if options.time_observation {
            layers.push(Box::new(Time::new(&mut spec)?));
        }
        spec.frame_stack = options.frame_stack;
        let n = spec.num_envs;
        let obs = Array::zeros_of(spec.obs_kind, n, spec.observation_space().len());
        let mut this = Self {
            batch: Batch {
                next_obs: obs.clone(),
                obs,
                rewards: vec![0.0; n],
                status: vec![Status::Running; n],
            },
            layers,
            normalize_rewards: options
                .normalize_rewards
                .map(|gamma| NormalizeRewards::new(gamma, n)),
            clip_rewards: options.clip_rewards,
            all: (0..n).collect(),
            ended: Vec::with_capacity(n),
            envs,
            spec,
        };
        this.show_starts();
        Ok(this)
    }

    /// Shows the current observations of the environments, all of which begin an episode.
    fn show_starts(&mut self) {
        self.ended.clear();
        self.ended.extend(&self.all);
        self.show(Moment::Start);
        self.ended.clear();
        std::mem::swap(&mut self.batch.obs, &mut self.batch.next_obs);
    }

    /// Writes `next_obs`: the successors of a step in all rows, or the starts of new episodes where old ones ended.
    fn show(&mut self, moment: Moment) {
        let batch = self.envs.batch();
        let (rows, mut frames) = match moment {
            Moment::Start => (&self.ended, &batch.obs),
            Moment::Step => (&self.all, &batch.next_obs),
        };
        for layer in &mut self.layers {
            frames = layer.show(rows, moment, frames);
        }
        let Batch { obs, next_obs, .. } = &mut self.batch;
        match self.spec.obs_kind {
            Kind::F32 => stack::<f32>(rows, moment, frames, obs, next_obs),
            Kind::U8 => stack::<u8>(rows, moment, frames, obs, next_obs),
            Kind::I32 => stack::<i32>(rows, moment, frames, obs, next_obs),
        }
    }
}

/// Puts frames behind what is still in the stack, or fills it with the first one.
fn stack<T: Element>(
    rows: &[usize],
    moment: Moment,
    frames: &Array,
    obs: &Array,
    next_obs: &mut Array,
) {
    let (frame, cols) = (frames.cols(), obs.cols());
    let (frames, obs) = (frames.as_slice::<T>(), obs.as_slice::<T>());
    let next_obs = next_obs.as_mut_slice::<T>();
    for &row in rows {
        let newest = &frames[row * frame..][..frame];
        let next_obs = &mut next_obs[row * cols..][..cols];
        match moment {
            Moment::Start => {
                for shown in next_obs.chunks_exact_mut(frame) {
                    shown.copy_from_slice(newest);
                }
            }
            Moment::Step => {
                let (older, shown) = next_obs.split_at_mut(cols - frame);
                older.copy_from_slice(&obs[row * cols + frame..][..cols - frame]);
                shown.copy_from_slice(newest);
            }
        }
    }
}

impl VectorEnv for Wrapped<'_> {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn batch(&self) -> &Batch {
        &self.batch
    }

    fn reset(&mut self) {
        self.envs.reset();
        self.show_starts();
        self.batch.status.fill(Status::Running);
    }

    fn step(&mut self, actions: &Array) {
        self.envs.step(actions);
        self.show(Moment::Step);
        let batch = self.envs.batch();
        self.batch.rewards.copy_from_slice(&batch.rewards);
        self.batch.status.copy_from_slice(&batch.status);
        if let Some(normalize) = &mut self.normalize_rewards {
            normalize.apply(&mut self.batch.rewards, &self.batch.status);
        }
        if let Some(clip) = self.clip_rewards {
            clip.apply(&mut self.batch.rewards);
        }
        let rows = self.batch.status.iter().enumerate();
        self.ended.clear();
        self.ended
            .extend(rows.filter_map(|(row, status)| status.is_over().then_some(row)));
    }

    fn advance(&mut self) {
        self.envs.advance();
        if !self.ended.is_empty() {
            self.show(Moment::Start);
            self.ended.clear();
        }
        std::mem::swap(&mut self.batch.obs, &mut self.batch.next_obs);
    }

    fn save(&self) -> Result<Vec<u8>> {
        let layers = self.layers.iter().map(|layer| layer.save());
        let saved = Saved {
            envs: self.envs.save()?,
            layers: layers.collect::<Result<_>>()?,
            rewards: self.normalize_rewards.clone(),
            obs: self.batch.obs.clone(),
        };
        postcard::to_stdvec(&saved).map_err(|e| Error::Backend(Box::new(e)))
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let saved: Saved = postcard::from_bytes(bytes)
            .map_err(|e| unfit(format!("saved state cannot be read: {e}")))?;
        let obs = &self.batch.obs;
        if saved.layers.len() != self.layers.len()
            || saved.rewards.is_some() != self.normalize_rewards.is_some()
            || (saved.obs.kind(), saved.obs.rows(), saved.obs.cols())
                != (obs.kind(), obs.rows(), obs.cols())
        {
            return Err(unfit("saved state is of other options".into()));
        }
        let space = self.spec.observation_space();
        if let Some(&row) = self
            .all
            .iter()
            .find(|&&row| !space.contains(&saved.obs, row))
        {
            return Err(unfit(format!(
                "saved observation {row} lies outside {space}"
            )));
        }
        self.envs.load(&saved.envs)?;
        for (layer, bytes) in self.layers.iter_mut().zip(&saved.layers) {
            layer.load(bytes)?;
        }
        if let (Some(normalize), Some(saved)) = (&mut self.normalize_rewards, saved.rewards) {
            normalize.load(saved)?;
        }
        self.batch.obs = saved.obs;
        self.batch.rewards.fill(0.0);
        self.batch.status.fill(Status::Running);
        self.ended.clear();
        Ok(())
    }

    fn raw_rewards(&self) -> &[f32] {
        self.envs.raw_rewards()
    }

    fn action_mask(&self, index: usize, mask: &mut [bool]) {
        self.envs.action_mask(index, mask);
    }

    fn statistics(&self) -> Option<Vec<u8>> {
        self.layers.iter().find_map(|layer| layer.statistics())
    }

    fn freeze(&mut self, statistics: &[u8]) -> Result<()> {
        let mut layers = self.layers.iter_mut();
        let Some(layer) = layers.find(|layer| layer.statistics().is_some()) else {
            return self.envs.freeze(statistics);
        };
        layer.freeze(statistics)?;
        self.show_starts();
        Ok(())
    }

    fn render(&self, index: usize) -> Option<String> {
        self.envs.render(index)
    }

    fn draw(&self, index: usize) -> Option<Picture> {
        self.envs.draw(index)
    }
}

impl fmt::Debug for Wrapped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

/// An option that cannot take the frames at hand.
fn cannot_take(option: &str, expected: &str, spec: &EnvSpec) -> Error {
    Error::Space {
        what: format!("{option}: observation space"),
        expected: expected.into(),
        found: spec.frame_space.to_string(),
    }
}
