//! Choosing actions: ε-greedily, by noise, or greedily.

use serde::{Deserialize, Serialize};
use thorndike_core::rand::RngExt;
use thorndike_core::{Array, Mode, Rng, Seeds};

use crate::loss::argmax;
use crate::network::QNetwork;

/// How much the environments of a batch explore.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exploration {
    /// Share of random actions in the first environment.
    pub(crate) epsilon: f64,
    /// How much less the later ones have.
    pub(crate) spread: f64,
}

impl Exploration {
    /// The share of random actions in environment `row` of `rows`.
    ///
    /// # Reference
    /// Horgan et al., "Distributed Prioritized Experience Replay" (2018), section 4.1. Deviations: a single
    /// environment has `epsilon`.
    fn epsilon_of(self, row: usize, rows: usize) -> f64 {
        if self.spread == 0.0 || row == 0 {
            return self.epsilon;
        }
        let exponent = 1.0 + self.spread * row as f64 / (rows - 1) as f64;
        self.epsilon.powf(exponent)
    }
}

/// The streams that acting draws from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explorer {
    actions: Rng,
    noise: Rng,
    #[serde(skip)]
    choices: Vec<Option<i32>>,
}

impl Explorer {
    pub(crate) fn new(seeds: Seeds) -> Self {
        Self {
            actions: seeds.stream("agent/explore", 0),
            noise: seeds.stream("agent/noise", 0),
            choices: Vec::new(),
        }
    }

    /// Writes an action a row, and tells whether the network was asked. Exploiting draws nothing.
    pub(crate) fn act(
        &mut self,
        network: &mut QNetwork,
        exploration: Exploration,
        obs: &Array,
        mode: Mode,
        actions: &mut Array,
    ) -> bool {
        let (actions, num_actions) = (actions.as_mut_slice::<i32>(), network.num_actions());
        let choices = self.choices(exploration, num_actions, obs.rows(), mode);
        let ask = choices.iter().any(Option::is_none);
        if ask {
            match mode {
                Mode::Exploit => network.silence(),
                Mode::Explore => network.draw_noise(&mut self.noise),
            }
            let rows = network.q_values(obs).chunks_exact(num_actions);
            for (action, q) in actions.iter_mut().zip(rows) {
                *action = argmax(q) as i32;
            }
        }
        for (action, choice) in actions.iter_mut().zip(&self.choices) {
            *action = choice.unwrap_or(*action);
        }
        ask
    }

    /// The actions of the rows that explore; all `None` when exploiting, which draws nothing.
    pub(crate) fn choices(
        &mut self,
        exploration: Exploration,
        num_actions: usize,
        rows: usize,
        mode: Mode,
    ) -> &[Option<i32>] {
        self.choices.clear();
        self.choices.resize(rows, None);
        if mode == Mode::Explore {
            self.draw(exploration, num_actions);
        }
        &self.choices
    }

    /// Draws for each row whether to explore, and how: `Some(action)`, drawn uniformly from `0..num_actions`, or
    /// `None`.
    ///
    /// The draws do not depend on the network, which is not asked where every row explores.
    fn draw(&mut self, exploration: Exploration, num_actions: usize) {
        let (rng, rows) = (&mut self.actions, self.choices.len());
        for (row, choice) in self.choices.iter_mut().enumerate() {
            let explores = rng.random::<f64>() < exploration.epsilon_of(row, rows);
            *choice = explores.then(|| rng.random_range(0..num_actions as i32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, epsilon: f64, actions: usize, rows: usize) -> Vec<Option<i32>> {
        let mut explorer = Explorer::new(Seeds::new(seed));
        explorer.choices = vec![None; rows];
        let spread = 0.0;
        explorer.draw(Exploration { epsilon, spread }, actions);
        explorer.choices
    }

    #[test]
    fn the_ends_are_always_and_never() {
        assert!(drawn(4, 1.0, 3, 30_000).iter().all(Option::is_some));
        assert!(drawn(4, 0.0, 3, 30_000).iter().all(Option::is_none));
    }

    #[test]
    fn actions_are_uniform_with_the_probability_asked_for() {
        let choices = drawn(4, 0.3, 3, 30_000);
        for action in 0..3 {
            let count = choices.iter().filter(|c| **c == Some(action)).count() as f64;
            // Binomial with mean 3,000 and standard deviation 52: five of them.
            assert!((count - 3000.0).abs() < 260.0, "{count}");
        }
    }

    #[test]
    fn draws_are_value_stable() {
        let expected = [None, None, Some(2), None, Some(1), None, Some(1), Some(0)];
        assert_eq!(
            drawn(1, 0.5, 4, 8),
            expected,
            "published results depend on these values"
        );
    }

    #[test]
    fn later_rows_explore_less_by_the_formula_of_ape_x() {
        // 0.4^(1 + 7 i / 7) for eight rows.
        let of = |epsilon, spread, row, rows| Exploration { epsilon, spread }.epsilon_of(row, rows);
        let epsilons: Vec<f64> = (0..8).map(|row| of(0.4, 7.0, row, 8)).collect();
        assert_eq!(epsilons[0], 0.4);
        assert!(
            (epsilons[1] - 0.16).abs() < 1e-12 && (epsilons[7] - 0.4_f64.powi(8)).abs() < 1e-12
        );
        assert_eq!(of(0.3, 0.0, 5, 8), 0.3);
        assert_eq!(of(1.0, 7.0, 5, 8), 1.0, "a warm-up is random everywhere");
        assert_eq!(of(0.3, 7.0, 0, 1), 0.3);
    }
}
