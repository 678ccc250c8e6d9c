//! Stepping of several environments at once.
//!
//! To use it: write the equations of motion as [`Block::step_block`], and let [`Env::step`] and
//! [`Env::step_rows`] call [`step`] and [`step_rows`].

use thorndike_core::{Env, Step};

use crate::math::wide;

/// Rows that step together; 32 were measured to be faster than 4, 8, 16 and 64.
const BLOCK: usize = 32;

/// Rules that step `N` rows together.
///
/// In loops over lanes without a branch, of which the compiler makes vector instructions. Mark `step_block`
/// and all that it calls `#[inline(always)]`, and take sines from the lanes of [`math`](crate::math). Several
/// short loops are better than a long one, in which a row waits for the row before; the compiler takes a loop
/// apart into single rows if it reads and writes states of more than a few fields.
pub(crate) trait Block: Env {
    /// Applies `actions[i]` to `states[i]` and writes `steps[i]`.
    fn step_block<const N: usize>(
        &self,
        states: &mut [Self::State; N],
        actions: &[Self::Action; N],
        steps: &mut [Step; N],
    );
}

wide! {
    /// [`Env::step`] of rules that step in blocks.
    pub(crate) fn step[E: Block](env: &E, state: &mut E::State, action: E::Action) -> Step {
        let mut step = [Step::running(0.0)];
        env.step_block(std::array::from_mut(state), &[action], &mut step);
        step[0]
    }

    /// [`Env::step_rows`] of rules that step in blocks.
    pub(crate) fn step_rows[E: Block](
        env: &E,
        states: &mut [E::State],
        actions: &[E::Action],
        steps: &mut [Step],
    ) {
        let (state_blocks, states) = states.as_chunks_mut::<BLOCK>();
        let (action_blocks, actions) = actions.as_chunks();
        let (step_blocks, steps) = steps.as_chunks_mut();
        for ((states, actions), steps) in state_blocks.iter_mut().zip(action_blocks).zip(step_blocks) {
            env.step_block(states, actions, steps);
        }
        for ((state, &action), step) in states.iter_mut().zip(actions).zip(steps) {
            env.step_block(std::array::from_mut(state), &[action], std::array::from_mut(step));
        }
    }
}
