use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Step};

use crate::canvas::{Canvas, colors};

/// Steps in an episode.
const STEPS: u32 = 100;
/// Step on which each chain pays.
const PAY_DAYS: [u32; 5] = [1, 3, 10, 30, 100];
/// What the best chain pays on top of 1.
const BONUS: f64 = 0.1;

/// `discounting-chain`: choose one of five chains; each pays once, sooner or later, and one of them pays a little
/// more. Tests how far an agent looks ahead.
///
/// **Action space**: `discrete(5)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 to 4 | enter the chain that pays on step 1, 3, 10, 30, 100; heard on the first step only |
///
/// **Observation space**: box of 2 `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | the chain entered, -1 before the first step | – | -1 to 4 |
/// | 1 | time, `t / 100` | episodes | 0 to 1 |
///
/// **Reward**: 1 on the pay day of the chain, 1.1 in the best chain; otherwise 0. The best return is 1.1; random
/// actions have 1.02 on average.
///
/// **Start**: in no chain.
///
/// **End**: terminated after 100 steps. No time limit.
///
/// **Config**: [`DiscountingChainConfig`].
///
/// # Reference
/// bsuite (Osband et al., *Behaviour Suite for Reinforcement Learning*, 2020),
/// `environments/discounting_chain.py`.
///
/// Deviations: without a seed bsuite draws the best chain; ours is then the first one. The observation is a row
/// where bsuite's has a leading dimension of 1.
#[derive(Clone, Debug)]
pub struct DiscountingChain {
    rewards: [f32; 5],
}

/// Configuration of [`DiscountingChain`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscountingChainConfig {
    /// The best chain is this number modulo 5.
    pub mapping_seed: u64,
}

/// State of [`DiscountingChain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscountingChainState {
    /// The chain entered; none before the first step.
    pub chain: Option<u8>,
    /// Steps taken.
    pub steps: u32,
}

impl DiscountingChain {
    /// # Errors
    /// None; as all constructors.
    pub fn new(config: &DiscountingChainConfig) -> Result<Self> {
        let mut rewards = [1.0; 5];
        rewards[(config.mapping_seed % 5) as usize] = (1.0 + BONUS) as f32;
        Ok(Self { rewards })
    }
}

impl Env for DiscountingChain {
    type State = DiscountingChainState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![2],
            low: -1.0,
            high: 4.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(5)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &[
            "pays on 1",
            "pays on 3",
            "pays on 10",
            "pays on 30",
            "pays on 100",
        ]
    }

    fn reset(&self, _: &mut Rng) -> DiscountingChainState {
        DiscountingChainState {
            chain: None,
            steps: 0,
        }
    }

    fn step(&self, state: &mut DiscountingChainState, action: usize, _: &mut Rng) -> Step {
        let chain = usize::from(*state.chain.get_or_insert(action as u8));
        state.steps = state.steps.saturating_add(1);
        let pays = PAY_DAYS.get(chain) == Some(&state.steps);
        let reward = if pays { self.rewards[chain] } else { 0.0 };
        Step::terminal_if(state.steps >= STEPS, reward)
    }

    fn observe(&self, state: &DiscountingChainState, obs: &mut [f32]) {
        obs[0] = state.chain.map_or(-1.0, f32::from);
        obs[1] = (f64::from(state.steps) / f64::from(STEPS)) as f32;
    }

    fn reference(&self) -> &'static str {
        "bsuite discounting_chain"
    }
    fn render(&self, state: &DiscountingChainState) -> Option<String> {
        let chain = state.chain.map_or("no chain".into(), |chain| {
            let day = PAY_DAYS.get(usize::from(chain)).unwrap_or(&0);
            format!("the chain that pays on step {day}")
        });
        Some(format!("step {} of {STEPS}, in {chain}\n", state.steps))
    }

    fn draw(&self, state: &DiscountingChainState) -> Option<Picture> {
        let mut canvas = Canvas::new(320, 160, [-12.0, 108.0], [5.2, -0.2]);
        for (i, &day) in PAY_DAYS.iter().enumerate() {
            let (y, day) = (i as f64 + 0.5, f64::from(day));
            canvas.line(&[[0.0, y], [day, y]], 3.0, colors::LIGHT_GREY);
            let best = self.rewards[i] > 1.0;
            let color = if best { colors::ORANGE } else { colors::SKY };
            canvas.disc([day, y], 4.0, color);
        }
        let y = state.chain.map_or(2.5, |chain| f64::from(chain) + 0.5);
        let x = state.chain.map_or(-7.0, |_| f64::from(state.steps));
        canvas.disc([x, y], 2.5, colors::BLACK);
        Some(canvas.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::check_env;

    fn chain(mapping_seed: u64) -> DiscountingChain {
        DiscountingChain::new(&DiscountingChainConfig { mapping_seed }).unwrap()
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(chain(0)), Ok(()));
    }

    #[test]
    fn each_chain_pays_once_on_its_day() {
        for (action, day) in PAY_DAYS.into_iter().enumerate() {
            let mut paid = Vec::new();
            let mut t = 0;
            Score::of(&chain(7), 1, |state, _| {
                t = state.steps;
                action
            });
            assert_eq!(t, 99, "the episode has 100 steps");
            let env = chain(7);
            let mut state = DiscountingChainState {
                chain: None,
                steps: 0,
            };
            let rng = &mut thorndike_core::Seeds::new(0).stream("test", 0);
            for t in 1..=STEPS {
                // Later actions are not heard.
                let action = if t == 1 { action } else { 0 };
                let step = env.step(&mut state, action, rng);
                if step.reward != 0.0 {
                    paid.push((t, step.reward));
                }
            }
            let reward = if action == 2 { 1.1 } else { 1.0 };
            assert_eq!(paid, [(day, reward)]);
        }
    }

    #[test]
    fn the_best_return_is_the_bonus_more_than_one() {
        Score::of(&chain(4), 10, |_, _| 4).agrees_with(1.1, 0.0);
        // 1.1 in one of five episodes: standard deviation 0.1 * sqrt(0.2 * 0.8).
        let error = 0.04 / (10_000_f64).sqrt();
        Score::of_random(&chain(4), 10_000).agrees_with(1.02, error);
    }

    #[test]
    fn a_chain_that_is_none_pays_nothing() {
        let mut state = DiscountingChainState {
            chain: Some(200),
            steps: u32::MAX,
        };
        let rng = &mut thorndike_core::Seeds::new(0).stream("test", 0);
        assert_eq!(chain(0).step(&mut state, 0, rng), Step::terminal(0.0));
        assert!(chain(0).render(&state).is_some());
    }
}
