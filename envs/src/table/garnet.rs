use std::f64::consts::TAU;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Error, FiniteMdp, Result, Rng, Seeds, Space, Step, check_range};

/// `garnet`: a problem drawn at random, of any size, without any structure to it.
///
/// Garnet(states, actions, branches): each action in each state leads to `branches` different states, drawn
/// at random; their probabilities are the pieces into which random cuts divide the unit interval. How
/// agents and exact solvers scale with each of the three numbers is measured on such problems.
///
/// **Action space**: `discrete(actions)`.
///
/// | action | meaning |
/// |---|---|
/// | any | none but what was drawn |
///
/// **Observation space**: `discrete(states)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | number of the state | – | 0 to `states` - 1 |
///
/// **Reward**: of each transition, drawn once from a normal distribution with mean 0 and variance 1.
///
/// **Start**: every state with the same probability.
///
/// **End**: never terminated; truncated after 100 steps.
///
/// **Config**: [`GarnetConfig`].
///
/// # Reference
/// Archibald, McKinnon and Thomas, *On the Generation of Markov Decision Processes*, 1995; notation and rewards:
/// Bhatnagar, Sutton, Ghavamzadeh and Lee, *Natural actor-critic algorithms*, 2009, section 7, where the size by default
/// comes from.
///
/// Deviations: the reward of a transition is its mean, without the noise of the latter; nothing changes with time.
/// The time limit is ours.
#[derive(Clone, Debug)]
pub struct Garnet {
    config: GarnetConfig,
    /// `[state, action, branch]`, as the others: where it leads.
    next: Vec<u32>,
    /// Running sum of the probabilities.
    reached: Vec<f64>,
    rewards: Vec<f32>,
}

/// Configuration of [`Garnet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GarnetConfig {
    /// Number of states, 1 to 16,777,216.
    pub states: usize,
    /// Number of actions, 1 to 65,536.
    pub actions: usize,
    /// States to which an action may lead, 1 to `states`.
    pub branches: usize,
    /// The same seed gives the same problem.
    pub seed: u64,
}

impl Default for GarnetConfig {
    fn default() -> Self {
        Self {
            states: 30,
            actions: 4,
            branches: 2,
            seed: 0,
        }
    }
}

/// Most transitions; each takes 16 bytes.
const MAX_TRANSITIONS: usize = 1 << 26;

impl Garnet {
    /// # Errors
    /// [`Error::Config`] if a number is out of range, or there are too many transitions.
    pub fn new(config: &GarnetConfig) -> Result<Self> {
        let GarnetConfig {
            states,
            actions,
            branches,
            seed,
        } = *config;
        check_range("states", states, 1..=1 << 24)?;
        check_range("actions", actions, 1..=1 << 16)?;
        check_range("branches", branches, 1..=states)?;
        let transitions = states.saturating_mul(actions).saturating_mul(branches);
        if transitions > MAX_TRANSITIONS {
            let what = format!(
                "{transitions} transitions ({states} states x {actions} actions x {branches} branches); \
                 give at most {MAX_TRANSITIONS}"
            );
            return Err(Error::config("states", what));
        }
        let mut this = Self {
            config: config.clone(),
            next: Vec::with_capacity(transitions),
            reached: Vec::with_capacity(transitions),
            rewards: Vec::with_capacity(transitions),
        };
        let mut rng = Seeds::new(seed).stream("garnet", 0);
        let mut order: Vec<u32> = (0..states as u32).collect();
        for _ in 0..states * actions {
            this.draw_row(&mut order, &mut rng);
        }
        Ok(this)
    }

    /// Draws what one action in one state does. `order` holds the states in any order.
    fn draw_row(&mut self, order: &mut [u32], rng: &mut Rng) {
        let branches = self.config.branches;
        for i in 0..branches {
            order.swap(i, rng.random_range(i..order.len()));
        }
        self.next.extend(&order[..branches]);
        let first = self.reached.len();
        self.reached
            .extend((1..branches).map(|_| rng.random::<f64>()));
        self.reached[first..].sort_by(f64::total_cmp);
        self.reached.push(1.0);
        self.rewards.extend((0..branches).map(|_| normal(rng)));
    }

    /// First transition of a row.
    #[inline]
    fn row(&self, state: usize, action: usize) -> usize {
        (state * self.config.actions + action) * self.config.branches
    }
}

/// A draw from the normal distribution by Box and Muller's method.
fn normal(rng: &mut Rng) -> f32 {
    // 1 less the draw, which may be 0.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    (radius * (TAU * rng.random::<f64>()).cos()) as f32
}

impl Env for Garnet {
    type State = u32;
    type Obs = i32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Discrete(self.config.states)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(self.config.actions)
    }
    fn reset(&self, rng: &mut Rng) -> u32 {
        rng.random_range(0..self.config.states as u32)
    }
    #[inline]
    fn step(&self, state: &mut u32, action: usize, rng: &mut Rng) -> Step {
        let row = self.row(*state as usize, action);
        let branches = self.config.branches;
        let u: f64 = rng.random();
        let branch = self.reached[row..][..branches].partition_point(|&reached| reached <= u);
        *state = self.next[row + branch];
        Step::running(self.rewards[row + branch])
    }
    #[inline]
    fn observe(&self, state: &u32, obs: &mut [i32]) {
        obs[0] = *state as i32;
    }
    fn time_limit(&self) -> Option<u32> {
        Some(100)
    }
    fn reference(&self) -> &'static str {
        "Archibald, McKinnon and Thomas, 1995"
    }
    fn render(&self, state: &u32) -> Option<String> {
        Some(format!("state {state} of {}\n", self.config.states))
    }
}

impl FiniteMdp for Garnet {
    fn num_states(&self) -> usize {
        self.config.states
    }
    fn num_actions(&self) -> usize {
        self.config.actions
    }
    fn starts(&self, each: &mut dyn FnMut(f64, usize)) {
        let states = self.config.states;
        (0..states).for_each(|state| each(1.0 / states as f64, state));
    }
    fn outcomes(&self, state: usize, action: usize, each: &mut dyn FnMut(f64, usize, Step)) {
        let row = self.row(state, action);
        let mut before = 0.0;
        for i in row..row + self.config.branches {
            let probability = self.reached[i] - before;
            before = self.reached[i];
            each(
                probability,
                self.next[i] as usize,
                Step::running(self.rewards[i]),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::check_env;

    fn garnet(states: usize, actions: usize, branches: usize, seed: u64) -> Result<Garnet> {
        Garnet::new(&GarnetConfig {
            states,
            actions,
            branches,
            seed,
        })
    }

    #[test]
    fn conforms() {
        for (states, actions, branches) in [(30, 4, 2), (7, 1, 7), (1, 2, 1), (100, 10, 3)] {
            assert_eq!(
                check_env(garnet(states, actions, branches, 3).unwrap()),
                Ok(())
            );
        }
    }

    #[test]
    fn an_action_leads_to_as_many_different_states_as_asked_for() {
        let env = garnet(20, 3, 5, 1).unwrap();
        for (state, action) in (0..20).flat_map(|s| (0..3).map(move |a| (s, a))) {
            let (mut sum, mut states) = (0.0, Vec::new());
            env.outcomes(state, action, &mut |p, next, _| {
                assert!(p >= 0.0 && next < 20);
                sum += p;
                states.push(next);
            });
            states.sort_unstable();
            states.dedup();
            assert_eq!(states.len(), 5);
            assert!((sum - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn rewards_are_standard_normal_and_pieces_have_the_mean_of_random_cuts() {
        let env = garnet(500, 4, 5, 2).unwrap();
        let n = env.rewards.len() as f64;
        let mean = env.rewards.iter().map(|&r| f64::from(r)).sum::<f64>() / n;
        let square = env
            .rewards
            .iter()
            .map(|&r| f64::from(r).powi(2))
            .sum::<f64>()
            / n;
        // Five standard errors of 10,000 draws: 1 / 100 and sqrt(2) / 100.
        assert!(mean.abs() < 0.05 && (square - 1.0).abs() < 0.071);
        // The square of a piece of five has the mean 2 / (5 * 6), with a deviation below 0.1.
        let mut pieces = 0.0;
        for (state, action) in (0..500).flat_map(|s| (0..4).map(move |a| (s, a))) {
            env.outcomes(state, action, &mut |p, _, _| pieces += p * p / n);
        }
        assert!((pieces - 1.0 / 15.0).abs() < 0.005);
    }

    #[test]
    fn steps_follow_the_table() {
        let env = garnet(4, 1, 3, 5).unwrap();
        let mut rng = Seeds::new(1).stream("test", 0);
        let mut counts = [0.0; 4];
        const DRAWS: f64 = 30_000.0;
        for _ in 0..DRAWS as usize {
            let mut state = 2;
            env.step(&mut state, 0, &mut rng);
            counts[state as usize] += 1.0 / DRAWS;
        }
        // Five standard errors: 5 * 0.5 / sqrt(30,000).
        env.outcomes(2, 0, &mut |p, next, _| {
            assert!((counts[next] - p).abs() < 0.0145)
        });
    }

    #[test]
    fn a_seed_is_a_problem() {
        let rewards = |seed| garnet(30, 4, 2, seed).unwrap().rewards;
        assert_eq!(rewards(1), rewards(1));
        assert_ne!(rewards(1), rewards(2));
    }

    #[test]
    fn numbers_out_of_range_name_their_key() {
        let refusal = |states, actions, branches| {
            let made = garnet(states, actions, branches, 0);
            made.unwrap_err().to_string()
        };
        assert_eq!(refusal(3, 1, 4), "branches: 4 is out of range; give 1 to 3");
        assert_eq!(
            refusal(0, 1, 1),
            "states: 0 is out of range; give 1 to 16777216"
        );
        assert_eq!(
            refusal(1 << 20, 8, 16),
            "states: 134217728 transitions (1048576 states x 8 actions x 16 branches); give at most 67108864"
        );
    }
}
