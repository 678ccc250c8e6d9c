//! What the author of an environment writes.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::array::{Element, Kind};
use crate::numpy::NumpyRng;
use crate::picture::Picture;
use crate::seed::Rng;
use crate::space::Space;

/// The rules of a problem. What changes during an episode lives in `State`.
///
/// *Design.* Rules (`&self`) and state are apart, so that exact resume, copying, planning and exact
/// dynamic programming come for free. `observe` is apart from `step`, so an observation is written in
/// one place and a repeated action never renders what nobody sees. Types are erased where N
/// environments become one batch ([`VectorEnv`](crate::VectorEnv)), not per step.
///
/// ```
/// use thorndike_core::{Env, Rng, Space, Step};
/// struct Corridor { length: usize }
/// impl Env for Corridor {
///     type State = usize;
///     type Obs = i32;
///     type Action = usize;
///     fn observation_space(&self) -> Space { Space::Discrete(self.length) }
///     fn action_space(&self) -> Space { Space::Discrete(2) }
///     fn reset(&self, _: &mut Rng) -> usize { 0 }
///     fn step(&self, at: &mut usize, action: usize, _: &mut Rng) -> Step {
///         *at = if action == 1 { *at + 1 } else { at.saturating_sub(1) };
///         if *at + 1 == self.length { Step::terminal(1.0) } else { Step::running(-0.01) }
///     }
///     fn observe(&self, at: &usize, obs: &mut [i32]) { obs[0] = *at as i32 }
/// }
/// thorndike_core::check_env(Corridor { length: 5 }).unwrap();
/// ```
pub trait Env: Send + Sync {
    /// All that changes during an episode, scratch buffers (`#[serde(skip)]`) included.
    type State: Clone + Send + Serialize + DeserializeOwned;
    /// Scalar of the observation: `f32`, `u8` (pixels) or `i32` (states, tokens).
    type Obs: Element;
    /// `usize` for discrete actions, `[f32; N]` for continuous ones.
    type Action: Action;

    /// Space of one observation.
    fn observation_space(&self) -> Space;
    /// Space of one action.
    fn action_space(&self) -> Space;
    /// Starts an episode.
    fn reset(&self, rng: &mut Rng) -> Self::State;
    /// Starts an episode as the reference implementation does with numpy's generator, for
    /// [`EnvOptions::numpy_seeding`](crate::EnvOptions::numpy_seeding); none where there is no such reference.
    fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<Self::State> {
        let _ = rng;
        None
    }
    /// Applies one action.
    fn step(&self, state: &mut Self::State, action: Self::Action, rng: &mut Rng) -> Step;
    /// Applies `actions[i]` to `states[i]` with draws from `rngs[i]`, and writes `steps[i]`.
    ///
    /// Write it only where several rows are faster together; it must give what [`step`](Env::step) gives
    /// row by row, which [`check_env`](crate::check_env) checks.
    #[inline]
    fn step_rows(
        &self,
        states: &mut [Self::State],
        actions: &[Self::Action],
        rngs: &mut [Rng],
        steps: &mut [Step],
    ) {
        for (((state, &action), rng), step) in states.iter_mut().zip(actions).zip(rngs).zip(steps) {
            *step = self.step(state, action, rng);
        }
    }
    /// Writes the observation of `state`; `obs` has `observation_space().len()` items, all to be written.
    fn observe(&self, state: &Self::State, obs: &mut [Self::Obs]);

    /// Steps after which an episode is truncated; applied by the vector environment.
    fn time_limit(&self) -> Option<u32> {
        None
    }
    /// Mean return from which the problem counts as solved, where the literature names one.
    fn reward_threshold(&self) -> Option<f64> {
        None
    }
    /// Where the problem comes from, such as "Gymnasium CartPole-v1"; empty if it is the author's own.
    fn reference(&self) -> &'static str {
        ""
    }
    /// What the actions are called, in their order; none where a number says it all.
    fn action_names(&self) -> &'static [&'static str] {
        &[]
    }
    /// Writes into `mask`, one item an action, which of the discrete actions make sense in `state`. At least one
    /// does; the others may be taken all the same. By default all do.
    fn action_mask(&self, state: &Self::State, mask: &mut [bool]) {
        let _ = state;
        mask.fill(true);
    }
    /// The words that the tokens of the observation stand for: token `i` is `vocabulary()[i]`; none where
    /// nothing is said in words.
    fn vocabulary(&self) -> &[String] {
        &[]
    }
    /// Text picture of a state for `thorndike play`.
    fn render(&self, state: &Self::State) -> Option<String> {
        let _ = state;
        None
    }
    /// Drawn picture of a state, always of the same size, for recordings.
    fn draw(&self, state: &Self::State) -> Option<Picture> {
        let _ = state;
        None
    }
}

/// Writes methods of an [`Env`] around another one that has the same states and actions: they do what the inner
/// one does.
///
/// `same_as!(|this| this.inner; reset, step)` says where in `this` the inner one is, and which methods to write.
#[macro_export]
macro_rules! same_as {
    (|$this:ident| $inner:expr; $($method:ident),+ $(,)?) => {
        $($crate::same_as!(@$method $this $inner);)+
    };
    (@observation_space $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; observation_space() -> $crate::Space);
    };
    (@action_space $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; action_space() -> $crate::Space);
    };
    (@reset $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; reset(rng: &mut $crate::Rng) -> Self::State);
    };
    (@numpy_reset $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; numpy_reset(rng: &mut $crate::NumpyRng) -> Option<Self::State>);
    };
    (@step $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; step(state: &mut Self::State, action: Self::Action, rng: &mut $crate::Rng) -> $crate::Step);
    };
    (@step_rows $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; step_rows(
            states: &mut [Self::State],
            actions: &[Self::Action],
            rngs: &mut [$crate::Rng],
            steps: &mut [$crate::Step]
        ));
    };
    (@observe $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; observe(state: &Self::State, obs: &mut [Self::Obs]));
    };
    (@time_limit $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; time_limit() -> Option<u32>);
    };
    (@reward_threshold $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; reward_threshold() -> Option<f64>);
    };
    (@reference $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; reference() -> &'static str);
    };
    (@action_names $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; action_names() -> &'static [&'static str]);
    };
    (@action_mask $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; action_mask(state: &Self::State, mask: &mut [bool]));
    };
    (@vocabulary $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; vocabulary() -> &[String]);
    };
    (@render $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; render(state: &Self::State) -> Option<String>);
    };
    (@draw $($at:tt)+) => {
        $crate::same_as!(@ $($at)+; draw(state: &Self::State) -> Option<$crate::Picture>);
    };
    (@ $this:ident $inner:expr; $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?) => {
        #[inline]
        fn $name(&self, $($arg: $type),*) $(-> $result)? {
            let $this = self;
            $inner.$name($($arg),*)
        }
    };
}

/// The same rules for several batches.
impl<E: Env> Env for Arc<E> {
    type State = E::State;
    type Obs = E::Obs;
    type Action = E::Action;

    same_as!(|this| **this; observation_space, action_space, reset, numpy_reset, step, step_rows, observe, time_limit,
        reward_threshold, reference, action_names, action_mask, vocabulary, render, draw);
}

/// What a step gave: a reward and whether the episode goes on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Reward of this step.
    pub reward: f32,
    /// Whether and how the episode ended.
    pub status: Status,
}

impl Step {
    /// The episode goes on.
    #[inline]
    pub fn running(reward: f32) -> Self {
        Self {
            reward,
            status: Status::Running,
        }
    }

    /// The task ended the episode.
    #[inline]
    pub fn terminal(reward: f32) -> Self {
        Self {
            reward,
            status: Status::Terminated,
        }
    }

    /// The task ended the episode if `ends`; otherwise it goes on.
    #[inline]
    pub fn terminal_if(ends: bool, reward: f32) -> Self {
        if ends {
            Self::terminal(reward)
        } else {
            Self::running(reward)
        }
    }
}

/// Running, ended by the task, or cut off from outside. If both ends coincide, `Terminated` wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The episode goes on.
    Running,
    /// The task ended the episode: nothing follows, the value of the successor is 0.
    Terminated,
    /// A limit cut the episode off: the successor keeps its value.
    Truncated,
}

impl Status {
    /// Whether the episode has ended in either way.
    #[inline]
    pub fn is_over(self) -> bool {
        self != Self::Running
    }

    /// Whether the value of the successor belongs in the target: everywhere but at a terminal step.
    #[inline]
    pub fn bootstraps(self) -> bool {
        self != Self::Terminated
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl<const N: usize> Sealed for [f32; N] {}
}

/// An action as the author of an environment sees it: `usize` or `[f32; N]`.
pub trait Action: sealed::Sealed + Copy + Send + Sync + 'static {
    /// Scalar of the action rows.
    type Scalar: Element;
    /// Reads an action from its row.
    fn read(row: &[Self::Scalar]) -> Self;
    /// Whether actions of `space` have this type.
    fn fits(space: &Space) -> bool;
}

impl Action for usize {
    type Scalar = i32;
    #[inline]
    fn read(row: &[i32]) -> Self {
        row[0] as usize
    }
    fn fits(space: &Space) -> bool {
        matches!(space, Space::Discrete(_))
    }
}

impl<const N: usize> Action for [f32; N] {
    type Scalar = f32;
    #[inline]
    fn read(row: &[f32]) -> Self {
        std::array::from_fn(|i| row[i])
    }
    fn fits(space: &Space) -> bool {
        matches!(space, Space::Box { .. }) && space.len() == N
    }
}

/// Scalar of the action rows of a space.
pub(crate) fn action_kind(space: &Space) -> Kind {
    match space {
        Space::Box { .. } => Kind::F32,
        _ => Kind::I32,
    }
}

/// Known dynamics of a small problem: lets exact solutions score learned ones.
///
/// States are numbered as the environment observes them (`Space::Discrete(num_states)`).
///
/// *Design.* Object safe and apart from [`Env`], so that exact solvers need no type of the
/// environment; register such a problem with [`Registry::finite_env`](crate::Registry::finite_env).
pub trait FiniteMdp: Send + Sync {
    /// Number of states.
    fn num_states(&self) -> usize;
    /// Number of actions.
    fn num_actions(&self) -> usize;
    /// Calls `each(probability, state)` for every start state.
    fn starts(&self, each: &mut dyn FnMut(f64, usize));
    /// Calls `each(probability, next_state, step)` for every outcome of `action` in `state`; probabilities
    /// sum to 1.
    fn outcomes(&self, state: usize, action: usize, each: &mut dyn FnMut(f64, usize, Step));
}
