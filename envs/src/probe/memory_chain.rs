use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Result, Rng, Space, Step, check_range};

/// `memory-chain`: remember a bit that was shown once. Tests how long an agent remembers.
///
/// The first observation shows the context bits; the last one that can be acted on asks for one of them.
/// An agent without memory (or without a frame stack of the whole episode) can only guess.
///
/// **Action space**: `discrete(2)`.
///
/// | action | meaning |
/// |---|---|
/// | 0, 1 | says that the bit asked for is 0, 1; heard on the last step only |
///
/// **Observation space**: box of `2 + num_bits` `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | time left, `1 - t / memory_length` | episodes | 0 to 1 |
/// | 1 | number of the bit asked for, at `t = memory_length - 1`; otherwise 0 | – | 0 to `num_bits - 1` |
/// | 2.. | context, -1 for a 0 and 1 for a 1, at `t = 0`; otherwise 0 | – | -1 to 1 |
///
/// **Reward**: 1 on the last step for the right bit, -1 for the wrong one; otherwise 0.
///
/// **Start**: context bits and the bit asked for drawn uniformly, `t = 0`. The first step shows `t = 0` again.
///
/// **End**: terminated after `memory_length + 1` steps. No time limit.
///
/// **Config**: [`MemoryChainConfig`].
///
/// # Reference
/// bsuite (Osband et al., *Behaviour Suite for Reinforcement Learning*, 2020), `environments/memory_chain.py`.
///
/// Deviations: none; the observation is a row where bsuite's has a leading dimension of 1. bsuite has no
/// default length; ours is one of those that its sweep goes through.
#[derive(Clone, Debug)]
pub struct MemoryChain {
    memory_length: u32,
    num_bits: u32,
}

/// Configuration of [`MemoryChain`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryChainConfig {
    /// Steps over which to remember, 1 to 1,000,000.
    pub memory_length: u32,
    /// Bits shown, 1 to 64.
    pub num_bits: u32,
}

impl Default for MemoryChainConfig {
    fn default() -> Self {
        Self {
            memory_length: 10,
            num_bits: 1,
        }
    }
}

/// State of [`MemoryChain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryChainState {
    /// The bits to be remembered, bit `i` of the context in bit `i` of the number.
    pub context: u64,
    /// Which of them is asked for.
    pub query: u32,
    /// Steps taken.
    pub steps: u32,
}

impl MemoryChainState {
    fn asked(self) -> bool {
        self.context >> self.query & 1 == 1
    }
}

impl MemoryChain {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &MemoryChainConfig) -> Result<Self> {
        check_range("memory_length", config.memory_length, 1..=1_000_000)?;
        check_range("num_bits", config.num_bits, 1..=64)?;
        Ok(Self {
            memory_length: config.memory_length,
            num_bits: config.num_bits,
        })
    }
}

impl Env for MemoryChain {
    type State = MemoryChainState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![2 + self.num_bits as usize],
            low: -1.0,
            high: (self.num_bits - 1).max(1) as f32,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, rng: &mut Rng) -> MemoryChainState {
        MemoryChainState {
            context: rng.random::<u64>() >> (64 - self.num_bits),
            query: rng.random_range(0..self.num_bits),
            steps: 0,
        }
    }

    fn step(&self, state: &mut MemoryChainState, action: usize, _: &mut Rng) -> Step {
        state.steps += 1;
        if state.steps <= self.memory_length {
            Step::running(0.0)
        } else if (action == 1) == state.asked() {
            Step::terminal(1.0)
        } else {
            Step::terminal(-1.0)
        }
    }

    fn observe(&self, state: &MemoryChainState, obs: &mut [f32]) {
        // What is shown lags one step behind.
        let t = state.steps.saturating_sub(1);
        obs.fill(0.0);
        obs[0] = (1.0 - f64::from(t) / f64::from(self.memory_length)) as f32;
        if t + 1 == self.memory_length {
            obs[1] = state.query as f32;
        }
        if t == 0 {
            for (i, bit) in obs[2..].iter_mut().enumerate() {
                *bit = if state.context >> i & 1 == 1 {
                    1.0
                } else {
                    -1.0
                };
            }
        }
    }

    fn reference(&self) -> &'static str {
        "bsuite memory_chain"
    }
    fn render(&self, state: &MemoryChainState) -> Option<String> {
        let mut obs = vec![0.0; 2 + self.num_bits as usize];
        self.observe(state, &mut obs);
        let (query, context) = (obs[1], &obs[2..]);
        Some(format!(
            "step {} of {}: asks for bit {query}, shows {context:?}\n",
            state.steps,
            self.memory_length + 1
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, check_env};

    fn chain(memory_length: u32, num_bits: u32) -> MemoryChain {
        MemoryChain::new(&MemoryChainConfig {
            memory_length,
            num_bits,
        })
        .unwrap()
    }

    #[test]
    fn conforms() {
        for (length, bits) in [(10, 1), (1, 1), (30, 3), (5, 64)] {
            assert_eq!(check_env(chain(length, bits)), Ok(()));
        }
    }

    #[test]
    fn the_context_is_shown_twice_first_and_the_query_last_but_one() {
        let env = chain(2, 2);
        let mut state = MemoryChainState {
            context: 0b10,
            query: 1,
            steps: 0,
        };
        let rng = &mut Seeds::new(0).stream("test", 0);
        let mut seen = Vec::new();
        for action in [0, 0, 1] {
            let mut obs = [9.0; 4];
            env.observe(&state, &mut obs);
            seen.push((obs, env.step(&mut state, action, rng)));
        }
        assert_eq!(
            seen,
            [
                ([1.0, 0.0, -1.0, 1.0], Step::running(0.0)),
                ([1.0, 0.0, -1.0, 1.0], Step::running(0.0)),
                ([0.5, 1.0, 0.0, 0.0], Step::terminal(1.0)),
            ]
        );
    }

    #[test]
    fn the_wrong_bit_costs_one() {
        let env = chain(1, 1);
        let mut state = MemoryChainState {
            context: 0,
            query: 0,
            steps: 1,
        };
        let rng = &mut Seeds::new(0).stream("test", 0);
        assert_eq!(env.step(&mut state, 1, rng), Step::terminal(-1.0));
    }

    #[test]
    fn every_bit_is_drawn() {
        let env = chain(1, 64);
        let mut rng = Seeds::new(0).stream("test", 0);
        let (mut some, mut all, mut queries) = (0, u64::MAX, 0);
        for _ in 0..1000 {
            let state = env.reset(&mut rng);
            some |= state.context;
            all &= state.context;
            queries |= 1_u64 << state.query;
        }
        assert_eq!((some, all, queries), (u64::MAX, 0, u64::MAX));
    }
}
