use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Result, Rng, Space, Step, check_range, same_as};

use crate::classic::{CartPole, CartPoleConfig, CartPoleState};

/// `cart-pole-position-only`: [`CartPole`] without the velocities. Tests whether an agent infers from a few
/// observations what none of them shows.
///
/// **Action space**: as [`CartPole`]: 0 pushes to the left, 1 to the right.
///
/// **Observation space**: box of 2 `f32`.
///
/// | index | meaning | unit | range before the end |
/// |---|---|---|---|
/// | 0 | position of the cart | m | -2.4 to 2.4 |
/// | 1 | angle of the pole | rad | -0.2095 to 0.2095 (12 degrees) |
///
/// **Reward**: `1 / max_episode_length` on every step, the one that ends the episode included. The best return is
/// 1; random actions have 0.1117 ± 0.0006 (10,000 episodes).
///
/// **Start**: as [`CartPole`].
///
/// **End**: terminated when position or angle leave their range; truncated after `max_episode_length` steps.
///
/// **Config**: [`CartPolePositionOnlyConfig`].
///
/// # Reference
/// Morad et al., *POPGym: Benchmarking Partially Observable Reinforcement Learning*, 2023, "Position Only CartPole";
/// POPGym, `envs/position_only_cartpole.py`. Its easy, medium and hard versions last 200, 400 and 600 steps.
///
/// Deviations: the observation space has no bounds, because ours bound both alike; steps after the end pay nothing,
/// where POPGym's cost 1.
#[derive(Clone, Debug)]
pub struct CartPolePositionOnly {
    cart_pole: CartPole,
    max_episode_length: u32,
    reward: f32,
}

/// Configuration of [`CartPolePositionOnly`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CartPolePositionOnlyConfig {
    /// Steps after which an episode is truncated, 1 to 1,000,000.
    pub max_episode_length: u32,
}

impl Default for CartPolePositionOnlyConfig {
    fn default() -> Self {
        Self {
            max_episode_length: 200,
        }
    }
}

impl CartPolePositionOnly {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if the length is out of range.
    pub fn new(config: &CartPolePositionOnlyConfig) -> Result<Self> {
        let max_episode_length = config.max_episode_length;
        check_range("max_episode_length", max_episode_length, 1..=1_000_000)?;
        Ok(Self {
            cart_pole: CartPole::new(&CartPoleConfig::default())?,
            max_episode_length,
            reward: (1.0 / f64::from(max_episode_length)) as f32,
        })
    }

    fn scale(&self, step: &mut Step) {
        // One a step of the original, and nothing after the end.
        step.reward *= self.reward;
    }
}

impl Env for CartPolePositionOnly {
    type State = CartPoleState;
    type Obs = f32;
    type Action = usize;

    same_as!(|this| this.cart_pole; action_space, reset, numpy_reset, action_names, action_mask, render, draw);
    fn observation_space(&self) -> Space {
        Space::unbounded(&[2])
    }
    fn step(&self, state: &mut CartPoleState, action: usize, rng: &mut Rng) -> Step {
        let mut step = self.cart_pole.step(state, action, rng);
        self.scale(&mut step);
        step
    }
    fn step_rows(
        &self,
        states: &mut [CartPoleState],
        actions: &[usize],
        rngs: &mut [Rng],
        steps: &mut [Step],
    ) {
        self.cart_pole.step_rows(states, actions, rngs, steps);
        steps.iter_mut().for_each(|step| self.scale(step));
    }
    fn observe(&self, state: &CartPoleState, obs: &mut [f32]) {
        obs.copy_from_slice(&[state.position as f32, state.angle as f32]);
    }

    fn time_limit(&self) -> Option<u32> {
        Some(self.max_episode_length)
    }
    fn reference(&self) -> &'static str {
        "POPGym PositionOnlyCartPole"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::check_env;

    fn env() -> CartPolePositionOnly {
        CartPolePositionOnly::new(&Default::default()).unwrap()
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(env()), Ok(()));
    }

    #[test]
    fn velocities_are_not_seen() {
        let see = |state: [f64; 4]| {
            let mut obs = [9.0; 2];
            env().observe(&state.into(), &mut obs);
            obs
        };
        assert_eq!(see([1.0, 2.0, 0.125, 4.0]), [1.0, 0.125]);
        assert_eq!(see([1.0, -7.0, 0.125, 0.0]), [1.0, 0.125]);
    }

    #[test]
    fn the_pages_figures_hold() {
        // Pushes under the side to which the pole leans or is about to lean; it holds for 200 steps.
        let balance = |state: &CartPoleState, _: &mut Rng| {
            let lean = state.angle + 0.3 * state.angular_velocity;
            let drift = 0.03 * state.position + 0.06 * state.velocity;
            usize::from(lean + drift > 0.0)
        };
        Score::of(&env(), 200, balance).agrees_with(1.0, 0.0);
        Score::of_random(&env(), 10_000).agrees_with(0.1117, 0.0006);
    }

    #[test]
    fn no_steps_are_refused() {
        let config = CartPolePositionOnlyConfig {
            max_episode_length: 0,
        };
        let error = CartPolePositionOnly::new(&config).unwrap_err().to_string();
        assert_eq!(
            error,
            "max_episode_length: 0 is out of range; give 1 to 1000000"
        );
    }
}
