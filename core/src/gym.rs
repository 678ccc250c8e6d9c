//! Vector environments as Gymnasium has them, for those who come from there.
//!
//! Gymnasium's vector environments start ended episodes anew by themselves, in one of three ways. Here
//! [`VectorEnv::step`] shows true successors and [`VectorEnv::advance`] starts anew, so a learner has no mode to know
//! of; a [`GymEnvs`] is a view for code that was written for one.
//!
//! | Gymnasium | here |
//! |---|---|
//! | `obs` of the step after | `batch().obs` after `advance` |
//! | `final_obs`, or `obs` of an ending step | `batch().next_obs` after `step` |
//! | `terminated`, `truncated` | `batch().status` |
//! | `options["reset_mask"]` | every ended row, by `advance` |

use crate::array::Array;
use crate::env::Status;
use crate::error::{Error, Result};
use crate::vector::VectorEnv;

/// When an ended episode starts anew: Gymnasium's `AutoresetMode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Autoreset {
    /// In the step after its end. That step ignores the action, shows the first observation, and has reward 0 and no
    /// flag: a transition that a learner must leave out.
    #[default]
    NextStep,
    /// In the step that ends it, which shows the first observation of the next episode with the reward and flags of
    /// the end; the last observation is in [`GymStep::final_obs`].
    SameStep,
    /// When the caller says so, by [`GymEnvs::reset_rows`].
    Disabled,
}

/// Environments that start ended episodes anew as Gymnasium's do.
///
/// *Design.* Each row is a batch of one, because a row that starts anew must stand still while the others are
/// stepped, and no batch can do that. So each row also keeps statistics of its own, as Gymnasium's do where single
/// environments are wrapped before they are put together.
///
/// ```
/// use thorndike_core::gym::{Autoreset, GymEnvs};
/// use thorndike_core::{EnvOptions, Seeds, SyncVectorEnv, VectorEnv};
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
/// #         if *at == 2 { Step::terminal(1.0) } else { Step::running(0.0) }
/// #     }
/// #     fn observe(&self, at: &usize, obs: &mut [i32]) { obs[0] = *at as i32 }
/// # }
/// let row = |i| -> Result<Box<dyn VectorEnv>> {
///     let seeds = Seeds::new(1).child("row", i);
///     Ok(Box::new(SyncVectorEnv::new(Coin, &EnvOptions::default(), seeds)?))
/// };
/// let mut envs = GymEnvs::new((0..3).map(row).collect::<Result<_>>()?, Autoreset::SameStep)?;
/// let actions = envs.new_actions();
/// envs.step(&actions);
/// let step = envs.step(&actions);
/// assert_eq!(step.terminated, [true; 3]);
/// assert_eq!(step.obs.as_slice::<i32>(), [0; 3]);
/// assert_eq!(step.final_obs.as_slice::<i32>(), [2; 3]);
/// # Ok::<(), Error>(())
/// ```
pub struct GymEnvs {
    rows: Vec<Box<dyn VectorEnv>>,
    mode: Autoreset,
    action: Array,
    obs: Array,
    final_obs: Array,
    has_final: Vec<bool>,
    rewards: Vec<f32>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
    /// Rows whose episodes have ended and not started anew.
    ended: Vec<bool>,
}

/// What a step gave; row `i` belongs to environment `i`.
#[derive(Clone, Copy, Debug)]
pub struct GymStep<'a> {
    /// Observations, `[num_envs, observation row]`.
    pub obs: &'a Array,
    /// Rewards.
    pub rewards: &'a [f32],
    /// Whether the task ended the episode.
    pub terminated: &'a [bool],
    /// Whether a limit cut it off. Never together with `terminated`, which wins.
    pub truncated: &'a [bool],
    /// Last observations of the episodes that ended, in mode [`Autoreset::SameStep`].
    pub final_obs: &'a Array,
    /// Rows of `final_obs` that are of this step.
    pub has_final: &'a [bool],
}

impl GymEnvs {
    /// One batch of one environment for each row, all at the start of an episode.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none, or one is not a single environment or not like the others.
    pub fn new(rows: Vec<Box<dyn VectorEnv>>, mode: Autoreset) -> Result<Self> {
        let Some(first) = rows.first() else {
            return Err(Error::config("rows", "none; give one or more"));
        };
        let spec = first.spec().clone();
        if spec.num_envs != 1 || rows.iter().any(|row| *row.spec() != spec) {
            let what = "not single environments of one kind; give num_envs of 1 and the same options to each";
            return Err(Error::config("rows", what));
        }
        let n = rows.len();
        let obs = Array::zeros_of(spec.obs_kind, n, spec.observation_space().len());
        let mut this = Self {
            action: first.new_actions(),
            rows,
            mode,
            final_obs: obs.clone(),
            obs,
            has_final: vec![false; n],
            rewards: vec![0.0; n],
            terminated: vec![false; n],
            truncated: vec![false; n],
            ended: vec![false; n],
        };
        for (i, row) in this.rows.iter().enumerate() {
            this.obs.copy_row(i, &row.batch().obs, 0);
        }
        Ok(this)
    }

    /// The current observations.
    pub fn obs(&self) -> &Array {
        &self.obs
    }

    /// A zeroed array of the right form for [`step`](GymEnvs::step).
    pub fn new_actions(&self) -> Array {
        Array::zeros_of(self.action.kind(), self.rows.len(), self.action.cols())
    }

    /// Starts every episode anew.
    pub fn reset(&mut self) -> &Array {
        for i in 0..self.rows.len() {
            self.reset_row(i);
        }
        &self.obs
    }

    /// Starts the episodes of the rows that `mask` says anew.
    ///
    /// # Panics
    /// If the mask has another length.
    pub fn reset_rows(&mut self, mask: &[bool]) -> &Array {
        assert_eq!(mask.len(), self.rows.len(), "mask of another batch");
        for (i, _) in mask.iter().enumerate().filter(|(_, reset)| **reset) {
            self.reset_row(i);
        }
        &self.obs
    }

    fn reset_row(&mut self, i: usize) {
        self.rows[i].reset();
        self.obs.copy_row(i, &self.rows[i].batch().obs, 0);
        self.ended[i] = false;
    }

    /// Applies one action a row, but for the rows that start anew in this step.
    ///
    /// # Panics
    /// In mode [`Autoreset::Disabled`], if an episode has ended and was not started anew.
    pub fn step(&mut self, actions: &Array) -> GymStep<'_> {
        for i in 0..self.rows.len() {
            self.has_final[i] = false;
            if !self.ended[i] {
                self.step_row(i, actions);
                continue;
            }
            assert!(
                self.mode == Autoreset::NextStep,
                "the episode of row {i} has ended; reset it before the next step"
            );
            self.reset_row(i);
            self.rewards[i] = 0.0;
            (self.terminated[i], self.truncated[i]) = (false, false);
        }
        GymStep {
            obs: &self.obs,
            rewards: &self.rewards,
            terminated: &self.terminated,
            truncated: &self.truncated,
            final_obs: &self.final_obs,
            has_final: &self.has_final,
        }
    }

    fn step_row(&mut self, i: usize, actions: &Array) {
        let row = &mut self.rows[i];
        self.action.copy_row(0, actions, i);
        row.step(&self.action);
        let batch = row.batch();
        let status = batch.status[0];
        self.rewards[i] = batch.rewards[0];
        self.terminated[i] = status == Status::Terminated;
        self.truncated[i] = status == Status::Truncated;
        self.obs.copy_row(i, &batch.next_obs, 0);
        if !status.is_over() {
            row.advance();
        } else if self.mode == Autoreset::SameStep {
            self.final_obs.copy_row(i, &batch.next_obs, 0);
            self.has_final[i] = true;
            row.advance();
            self.obs.copy_row(i, &row.batch().obs, 0);
        } else {
            self.ended[i] = true;
        }
    }
}

impl std::fmt::Debug for GymEnvs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GymEnvs")
            .field("mode", &self.mode)
            .field("obs", &self.obs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, Step};
    use crate::seed::{Rng, Seeds};
    use crate::space::Space;
    use crate::vector::{EnvOptions, SyncVectorEnv};

    struct OneStep;

    impl Env for OneStep {
        type State = ();
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(1)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(1)
        }
        fn reset(&self, _: &mut Rng) {}
        fn step(&self, (): &mut (), _: usize, _: &mut Rng) -> Step {
            Step::terminal(1.0)
        }
        fn observe(&self, (): &(), obs: &mut [i32]) {
            obs[0] = 0;
        }
    }

    fn batch(num_envs: usize) -> Box<dyn VectorEnv> {
        let options = EnvOptions {
            num_envs,
            ..Default::default()
        };
        Box::new(SyncVectorEnv::new(OneStep, &options, Seeds::new(0)).unwrap())
    }

    #[test]
    #[should_panic(expected = "the episode of row 1 has ended; reset it before the next step")]
    fn without_autoreset_an_ended_row_must_be_reset() {
        let mut envs = GymEnvs::new(vec![batch(1), batch(1)], Autoreset::Disabled).unwrap();
        let actions = envs.new_actions();
        envs.step(&actions);
        envs.reset_rows(&[true, false]);
        envs.step(&actions);
    }

    #[test]
    fn rows_that_are_no_single_environments_are_refused() {
        assert!(GymEnvs::new(vec![], Autoreset::NextStep).is_err());
        assert!(GymEnvs::new(vec![batch(1), batch(2)], Autoreset::NextStep).is_err());
    }
}
