use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Step, check_range};

use crate::canvas::{Canvas, colors};

/// `umbrella-chain`: take an umbrella or not, and hear at the far end of the day whether that was right. Tests
/// whether credit reaches an action long ago through rewards that are noise.
///
/// **Action space**: `discrete(2)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | leave the umbrella; heard on the first step only |
/// | 1 | take it |
///
/// **Observation space**: box of `3 + n_distractor` `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | whether an umbrella will be needed | – | 0 or 1 |
/// | 1 | whether there is one (before the first step: at random) | – | 0 or 1 |
/// | 2 | time left, `1 - t / chain_length` | episodes | 0 to 1 |
/// | 3.. | distractors, drawn anew on every step | – | 0 or 1 |
///
/// **Reward**: on the last step 1 if the umbrella is there just if it is needed, otherwise -1; on the steps before
/// 1 or -1 at random. The best mean return is 1; random actions have 0.
///
/// **Start**: need, umbrella and distractors drawn uniformly.
///
/// **End**: terminated after `chain_length` steps. No time limit.
///
/// **Config**: [`UmbrellaChainConfig`].
///
/// # Reference
/// bsuite (Osband et al., *Behaviour Suite for Reinforcement Learning*, 2020), `environments/umbrella_chain.py`.
///
/// Deviations: none; the observation is a row where bsuite's has a leading dimension of 1. bsuite has no default
/// length; ours is one of those that its sweep goes through.
#[derive(Clone, Debug)]
pub struct UmbrellaChain {
    config: UmbrellaChainConfig,
}

/// Configuration of [`UmbrellaChain`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UmbrellaChainConfig {
    /// Steps in an episode, 1 to 1,000,000.
    pub chain_length: u32,
    /// Observations that mean nothing, 0 to 128.
    pub n_distractor: u32,
}

impl Default for UmbrellaChainConfig {
    fn default() -> Self {
        Self {
            chain_length: 10,
            n_distractor: 0,
        }
    }
}

/// State of [`UmbrellaChain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UmbrellaChainState {
    /// Whether an umbrella will be needed.
    pub need: bool,
    /// Whether there is one.
    pub has: bool,
    /// Steps taken.
    pub steps: u32,
    /// Distractor `i` in bit `i`.
    pub distractors: u128,
}

impl UmbrellaChain {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &UmbrellaChainConfig) -> Result<Self> {
        check_range("chain_length", config.chain_length, 1..=1_000_000)?;
        check_range("n_distractor", config.n_distractor, 0..=128)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// The step by `action`, with `luck` as its reward unless it is the last one.
    pub fn step_with(&self, state: &mut UmbrellaChainState, action: usize, luck: f32) -> Step {
        state.steps = state.steps.saturating_add(1);
        if state.steps == 1 {
            state.has = action == 1;
        }
        if state.steps < self.config.chain_length {
            Step::running(luck)
        } else if state.has == state.need {
            Step::terminal(1.0)
        } else {
            Step::terminal(-1.0)
        }
    }

    fn distractors(&self, rng: &mut Rng) -> u128 {
        match self.config.n_distractor {
            0 => 0,
            n => rng.random::<u128>() >> (128 - n),
        }
    }
}

impl Env for UmbrellaChain {
    type State = UmbrellaChainState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![3 + self.config.n_distractor as usize],
            low: 0.0,
            high: 1.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["leave umbrella", "take umbrella"]
    }

    fn reset(&self, rng: &mut Rng) -> UmbrellaChainState {
        UmbrellaChainState {
            need: rng.random(),
            has: rng.random(),
            steps: 0,
            distractors: self.distractors(rng),
        }
    }

    fn step(&self, state: &mut UmbrellaChainState, action: usize, rng: &mut Rng) -> Step {
        let luck = if rng.random() { 1.0 } else { -1.0 };
        state.distractors = self.distractors(rng);
        self.step_with(state, action, luck)
    }

    fn observe(&self, state: &UmbrellaChainState, obs: &mut [f32]) {
        let passed = f64::from(state.steps) / f64::from(self.config.chain_length);
        obs[0] = state.need.into();
        obs[1] = state.has.into();
        obs[2] = (1.0 - passed) as f32;
        for (i, distractor) in obs[3..].iter_mut().enumerate() {
            *distractor = (state.distractors >> i & 1 == 1).into();
        }
    }

    fn reference(&self) -> &'static str {
        "bsuite umbrella_chain"
    }
    fn render(&self, state: &UmbrellaChainState) -> Option<String> {
        let weather = if state.need { "rain" } else { "sun" };
        let umbrella = if state.has { "an" } else { "no" };
        Some(format!(
            "step {} of {}: {weather} to come, {umbrella} umbrella\n",
            state.steps, self.config.chain_length
        ))
    }

    fn draw(&self, state: &UmbrellaChainState) -> Option<Picture> {
        let mut canvas = Canvas::new(240, 160, [0.0, 240.0], [160.0, 0.0]);
        // Left what is to come, right the umbrella, below the time that has passed.
        if state.need {
            for [x, y] in [[44.0, 44.0], [64.0, 34.0], [86.0, 44.0]] {
                canvas.disc([x, y], 20.0, colors::GREY);
            }
            for x in [40.0, 64.0, 88.0] {
                canvas.line(&[[x, 78.0], [x - 10.0, 106.0]], 4.0, colors::BLUE);
            }
        } else {
            canvas.disc([64.0, 58.0], 32.0, colors::ORANGE);
        }
        if state.has {
            let roof: Vec<[f64; 2]> = (0..=20)
                .map(|i| {
                    let (sin, cos) = (std::f64::consts::PI * f64::from(i) / 20.0).sin_cos();
                    [172.0 + 46.0 * cos, 66.0 - 46.0 * sin]
                })
                .collect();
            canvas.polygon(&roof, colors::PURPLE);
            let stick = [[172.0, 64.0], [172.0, 110.0], [184.0, 110.0]];
            canvas.line(&stick, 4.0, colors::BLACK);
        }
        canvas.rectangle([12.0, 134.0], [228.0, 146.0], colors::LIGHT_GREY);
        let passed = f64::from(state.steps) / f64::from(self.config.chain_length);
        let end = 12.0 + 216.0 * passed.min(1.0);
        canvas.rectangle([12.0, 134.0], [end, 146.0], colors::BLUE);
        Some(canvas.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::{Seeds, check_env};

    fn chain(chain_length: u32, n_distractor: u32) -> UmbrellaChain {
        UmbrellaChain::new(&UmbrellaChainConfig {
            chain_length,
            n_distractor,
        })
        .unwrap()
    }

    #[test]
    fn conforms() {
        for (length, distractors) in [(10, 0), (1, 0), (20, 128), (7, 3)] {
            assert_eq!(check_env(chain(length, distractors)), Ok(()));
        }
    }

    #[test]
    fn only_the_first_action_is_heard() {
        let env = chain(3, 0);
        let mut state = UmbrellaChainState {
            need: true,
            has: false,
            steps: 0,
            distractors: 0,
        };
        let steps = [1, 0, 0].map(|action| env.step_with(&mut state, action, -1.0));
        let running = Step::running(-1.0);
        assert_eq!(steps, [running, running, Step::terminal(1.0)]);
    }

    #[test]
    fn an_umbrella_for_the_sun_costs_one() {
        let env = chain(1, 0);
        let mut state = UmbrellaChainState {
            need: false,
            has: false,
            steps: 0,
            distractors: 0,
        };
        assert_eq!(env.step_with(&mut state, 1, 1.0), Step::terminal(-1.0));
    }

    #[test]
    fn distractors_come_anew_and_fill_their_places() {
        let env = chain(100, 128);
        let mut rng = Seeds::new(0).stream("test", 0);
        let mut state = env.reset(&mut rng);
        let (mut some, mut all) = (0, u128::MAX);
        for _ in 0..60 {
            env.step(&mut state, 0, &mut rng);
            some |= state.distractors;
            all &= state.distractors;
        }
        assert_eq!((some, all), (u128::MAX, 0));
    }

    #[test]
    fn the_best_mean_return_is_one_and_the_random_one_is_nought() {
        // Nine rewards of standard deviation 1 before the last, which is sure or one more.
        let env = chain(10, 0);
        let best = Score::of(&env, 10_000, |state, _| state.need.into());
        best.agrees_with(1.0, (9.0 / 10_000_f64).sqrt());
        Score::of_random(&env, 10_000).agrees_with(0.0, (10.0 / 10_000_f64).sqrt());
    }

    #[test]
    fn no_steps_are_refused() {
        let config = UmbrellaChainConfig {
            chain_length: 0,
            ..Default::default()
        };
        let error = UmbrellaChain::new(&config).unwrap_err().to_string();
        assert_eq!(error, "chain_length: 0 is out of range; give 1 to 1000000");
    }
}
