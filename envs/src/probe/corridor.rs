use serde::{Deserialize, Serialize};
use thorndike_core::{Env, FiniteMdp, Result, Rng, Space, Step, check_range};

/// `corridor`: walk to the far end. Tests whether a delayed reward travels back.
///
/// Only the last step pays, so the value of the goal has to be handed down cell by cell. The smallest
/// environment with a path to learn, and the example of how to write one.
///
/// **Action space**: `discrete(2)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | left |
/// | 1 | right |
///
/// **Observation space**: `discrete(length)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | position | cells | 0 to `length - 1` |
///
/// **Reward**: 1 on reaching the right end, [`step_reward`](CorridorConfig::step_reward) on every other step.
/// The best return is `1 + (length - 2) * step_reward`.
///
/// **Start**: cell 0, the left end. Walking left there stays.
///
/// **End**: terminated on reaching the right end; truncated after `10 * length` steps.
///
/// **Config**: [`CorridorConfig`].
///
/// # Reference
/// A chain as in Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd edition, 2018, example 6.2,
/// with actions. Deviations: everything beyond the idea.
#[derive(Clone, Debug)]
pub struct Corridor {
    length: usize,
    step_reward: f32,
}

/// Configuration of [`Corridor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorridorConfig {
    /// Cells, 2 to 1,000,000.
    pub length: usize,
    /// Reward of a step that does not reach the end, -1 to 1.
    pub step_reward: f32,
}

impl Default for CorridorConfig {
    fn default() -> Self {
        Self {
            length: 10,
            step_reward: -0.01,
        }
    }
}

impl Corridor {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &CorridorConfig) -> Result<Self> {
        check_range("length", config.length, 2..=1_000_000)?;
        check_range("step_reward", config.step_reward, -1.0..=1.0)?;
        Ok(Self {
            length: config.length,
            step_reward: config.step_reward,
        })
    }

    fn walk(&self, at: usize, action: usize) -> (usize, Step) {
        let next = if action == 1 {
            at + 1
        } else {
            at.saturating_sub(1)
        };
        if next + 1 >= self.length {
            (self.length - 1, Step::terminal(1.0))
        } else {
            (next, Step::running(self.step_reward))
        }
    }
}

impl Env for Corridor {
    type State = u32;
    type Obs = i32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(self.length)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, _: &mut Rng) -> u32 {
        0
    }
    fn step(&self, at: &mut u32, action: usize, _: &mut Rng) -> Step {
        let (next, step) = self.walk(*at as usize, action);
        *at = next as u32;
        step
    }
    fn observe(&self, at: &u32, obs: &mut [i32]) {
        obs[0] = *at as i32;
    }
    fn time_limit(&self) -> Option<u32> {
        Some(10 * self.length as u32)
    }
    fn reference(&self) -> &'static str {
        "Thorndike"
    }
    fn render(&self, at: &u32) -> Option<String> {
        let cell = |i| if i == *at as usize { '@' } else { '.' };
        Some((0..self.length).map(cell).collect::<String>() + "G\n")
    }
}

impl FiniteMdp for Corridor {
    fn num_states(&self) -> usize {
        self.length
    }
    fn num_actions(&self) -> usize {
        2
    }
    fn starts(&self, each: &mut dyn FnMut(f64, usize)) {
        each(1.0, 0);
    }
    fn outcomes(&self, state: usize, action: usize, each: &mut dyn FnMut(f64, usize, Step)) {
        let (next, step) = self.walk(state, action);
        each(1.0, next, step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::check_env;

    fn corridor(length: usize) -> Corridor {
        let step_reward = -0.25;
        Corridor::new(&CorridorConfig {
            length,
            step_reward,
        })
        .unwrap()
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(corridor(5)), Ok(()));
    }

    #[test]
    fn the_last_step_alone_pays_and_the_left_end_holds() {
        let env = corridor(3);
        assert_eq!(env.walk(0, 0), (0, Step::running(-0.25)));
        assert_eq!(env.walk(0, 1), (1, Step::running(-0.25)));
        assert_eq!(env.walk(1, 1), (2, Step::terminal(1.0)));
    }

    #[test]
    fn a_corridor_without_a_way_is_refused() {
        let config = CorridorConfig {
            length: 1,
            ..Default::default()
        };
        assert_eq!(
            Corridor::new(&config).unwrap_err().to_string(),
            "length: 1 is out of range; give 2 to 1000000"
        );
    }
}
