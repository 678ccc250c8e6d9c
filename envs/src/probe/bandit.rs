use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Error, FiniteMdp, Result, Rng, Space, Step, check_range};

/// `bandit`: find the best of k arms. Tests whether an agent weighs trying against using.
///
/// **Action space**: `discrete(k)`.
///
/// | action | meaning |
/// |---|---|
/// | i | pull arm i |
///
/// **Observation space**: `discrete(1)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | nothing | – | 0 |
///
/// **Reward**: 1 with the success probability of the arm, otherwise 0.
///
/// **Start**: the only state.
///
/// **End**: terminated after one step. No time limit.
///
/// **Config**: [`BanditConfig`].
///
/// # Reference
/// Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd edition, 2018, section 2.1; bsuite's `bandit` (Osband
/// et al., *Behaviour Suite for Reinforcement Learning*, 2020), which has 11 arms too.
///
/// Deviations: an arm pays 1 or 0 where the book adds normal noise and bsuite pays the mean itself, so that
/// the dynamics stay a finite table. The arms' order is fixed, not drawn.
#[derive(Clone, Debug)]
pub struct Bandit {
    success_probabilities: Vec<f64>,
}

/// Configuration of [`Bandit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BanditConfig {
    /// Of each arm, 1 to 1,000,000 of them.
    pub success_probabilities: Vec<f64>,
}

impl Default for BanditConfig {
    /// bsuite's means 0, 0.1, ..., 1, out of order.
    fn default() -> Self {
        Self {
            success_probabilities: vec![0.3, 0.8, 0.1, 0.6, 0.9, 0.0, 0.5, 1.0, 0.2, 0.7, 0.4],
        }
    }
}

impl Bandit {
    /// # Errors
    /// [`Error::Config`] if there is no arm, or a probability is none.
    pub fn new(config: &BanditConfig) -> Result<Self> {
        const KEY: &str = "success_probabilities";
        let arms = config.success_probabilities.len();
        if !(1..=1_000_000).contains(&arms) {
            let what = format!("{arms} arms; give 1 to 1000000");
            return Err(Error::config(KEY, what));
        }
        for &probability in &config.success_probabilities {
            check_range(KEY, probability, 0.0..=1.0)?;
        }
        Ok(Self {
            success_probabilities: config.success_probabilities.clone(),
        })
    }
}

impl Env for Bandit {
    type State = ();
    type Obs = i32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(1)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(self.success_probabilities.len())
    }
    fn reset(&self, _: &mut Rng) {}
    fn step(&self, _: &mut (), action: usize, rng: &mut Rng) -> Step {
        let success = rng.random::<f64>() < self.success_probabilities[action];
        Step::terminal(f32::from(u8::from(success)))
    }
    fn observe(&self, _: &(), obs: &mut [i32]) {
        obs[0] = 0;
    }
    fn reference(&self) -> &'static str {
        "bsuite bandit"
    }
    fn render(&self, _: &()) -> Option<String> {
        let arms = self.success_probabilities.len();
        Some(format!("{arms} arms, 0 to {}\n", arms - 1))
    }
}

impl FiniteMdp for Bandit {
    fn num_states(&self) -> usize {
        1
    }
    fn num_actions(&self) -> usize {
        self.success_probabilities.len()
    }
    fn starts(&self, each: &mut dyn FnMut(f64, usize)) {
        each(1.0, 0);
    }
    fn outcomes(&self, _: usize, action: usize, each: &mut dyn FnMut(f64, usize, Step)) {
        let success = self.success_probabilities[action];
        each(success, 0, Step::terminal(1.0));
        each(1.0 - success, 0, Step::terminal(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, check_env};

    #[test]
    fn conforms() {
        let bandit = Bandit::new(&BanditConfig::default()).unwrap();
        assert_eq!(check_env(bandit), Ok(()));
    }

    #[test]
    fn arms_pay_as_often_as_they_say() {
        let bandit = Bandit::new(&BanditConfig {
            success_probabilities: vec![0.0, 0.3, 1.0],
        })
        .unwrap();
        let mut rng = Seeds::new(2).stream("test", 0);
        let mut paid = |arm| {
            (0..10_000)
                .map(|_| bandit.step(&mut (), arm, &mut rng).reward)
                .sum()
        };
        let sums: [f32; 3] = [paid(0), paid(1), paid(2)];
        assert_eq!((sums[0], sums[2]), (0.0, 10_000.0));
        // Standard deviation sqrt(10000 * 0.3 * 0.7) = 46; five of them.
        assert!((sums[1] - 3000.0).abs() < 230.0);
    }

    #[test]
    fn no_arms_and_no_probability_are_refused() {
        let refusal = |success_probabilities| {
            let config = BanditConfig {
                success_probabilities,
            };
            Bandit::new(&config).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(vec![]),
            "success_probabilities: 0 arms; give 1 to 1000000"
        );
        assert_eq!(
            refusal(vec![0.5, -0.1]),
            "success_probabilities: -0.1 is out of range; give 0 to 1"
        );
    }
}
