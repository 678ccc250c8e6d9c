//! n-step SARSA, n-step Expected SARSA and tree backup.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use thorndike_core::{BuildContext, Result, check_range};

use crate::agent::{Rule, TdAgent};
use crate::one_step::Successor;
use crate::td::{Td, Transition, td_config};

/// Which n-step return is the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backup {
    /// `n` rewards, then the value of the action that is taken: on-policy.
    #[default]
    Sarsa,
    /// `n` rewards, then the value that exploration expects: on-policy.
    ExpectedSarsa,
    /// Rewards as long as actions are the best ones, then the value of the best action: off-policy, needs
    /// no importance weights, and with `n_step = 1` it is Q-learning.
    TreeBackup,
}

td_config! {
    /// Options of [`n_step`].
    NStepConfig {
        /// Steps until the value of a state is trusted, 1 to 10,000.
        n_step: usize = 4,
        /// Which n-step return is the target.
        backup: Backup = Backup::Sarsa,
    }
}

/// Targets `n` steps ahead. At the end of an episode the last steps get the shorter returns that are left.
#[derive(Debug)]
pub struct NStep {
    n_step: usize,
    backup: Backup,
    /// The last steps of each row that have had no update yet, oldest first.
    windows: Vec<VecDeque<Taken>>,
}

/// A pair and the reward that it gave.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Taken {
    pair: u32,
    reward: f64,
}

/// n-step learning, by `backup` on or off policy.
///
/// # Errors
/// As [`TdAgent::new`]; [`Error::Config`](thorndike_core::Error::Config) if `n_step` is out of range.
///
/// # Reference
/// Sutton and Barto (2018), sections 7.2 (SARSA, Expected SARSA) and 7.5 (tree backup; Precup, Sutton and
/// Singh, *Eligibility traces for off-policy policy evaluation*, 2000). Deviations: the target policy of
/// tree backup is the greedy one, in which every best action counts as greedy, so a return ends before
/// the first action that was not best.
pub fn n_step(config: &NStepConfig, context: &BuildContext<'_>) -> Result<TdAgent<NStep>> {
    TdAgent::new("n-step", config, context, |td| {
        check_range("n_step", config.n_step, 1..=10_000)?;
        Ok(NStep {
            n_step: config.n_step,
            backup: config.backup,
            windows: vec![VecDeque::new(); td.rows()],
        })
    })
}

impl Rule for NStep {
    type State = Vec<VecDeque<Taken>>;

    fn learn(&mut self, td: &mut Td, t: &Transition) {
        let successor = match self.backup {
            Backup::Sarsa => Successor::Taken,
            Backup::ExpectedSarsa => Successor::Expected,
            Backup::TreeBackup => Successor::Best,
        };
        let future = successor.discounted(td, t);
        let window = &mut self.windows[t.row];
        window.push_back(Taken {
            pair: td.pair(t.state, t.action) as u32,
            reward: t.reward,
        });
        let over = t.status.is_over();
        while window.len() == self.n_step || (over && !window.is_empty()) {
            let target = n_step_return(td, window, future, self.backup == Backup::TreeBackup);
            let oldest = window.pop_front().expect("the window is not empty");
            td.move_towards(oldest.pair as usize, target);
        }
    }

    fn state(&self) -> &Self::State {
        &self.windows
    }

    fn restore(&mut self, td: &Td, windows: Self::State) -> Result<(), String> {
        if windows.len() != td.rows() || windows.iter().any(|window| window.len() >= self.n_step) {
            return Err(format!(
                "is not of {} environments with fewer than {} open steps each",
                td.rows(),
                self.n_step
            ));
        }
        let sound = |taken: &Taken| (taken.pair as usize) < td.pairs() && taken.reward.is_finite();
        if !windows.iter().flatten().all(sound) {
            return Err("holds a step that cannot have been taken".into());
        }
        self.windows = windows;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        (self.windows.len() * (size_of::<VecDeque<Taken>>() + self.n_step * size_of::<Taken>()))
            as u64
    }
}

/// Return from the oldest step in `window`; `future` is what follows the newest, discounted.
fn n_step_return(td: &Td, window: &VecDeque<Taken>, future: f64, cut: bool) -> f64 {
    let mut future = future;
    let mut total = 0.0;
    for taken in window.iter().rev() {
        total = taken.reward + future;
        // An earlier step goes on with this one, unless the target policy would not have taken it.
        let pair = taken.pair as usize;
        let value = if cut {
            let best = td.max(pair / td.actions());
            if td.value(pair) == best { total } else { best }
        } else {
            total
        };
        future = td.gamma() * value;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{RUNNING, TERMINATED, TRUNCATED, Written, agent, context, observe, train};
    use crate::{
        ExpectedSarsaConfig, Exploration, QLearningConfig, SarsaConfig, expected_sarsa, q_learning,
        sarsa,
    };
    use thorndike_core::Schedule;

    /// Step size and discount one half, no exploration: all numbers below are exact.
    fn config(n_step: usize, backup: Backup) -> NStepConfig {
        NStepConfig {
            n_step,
            backup,
            gamma: 0.5,
            learning_rate: Schedule::constant(0.5),
            exploration: Exploration::EpsilonGreedy {
                epsilon: Schedule::constant(0.0),
            },
            ..Default::default()
        }
    }

    /// After the steps 0 -> 1 -> 2 -> 3 with the rewards 1, 2, 4 and one action, with `Q(3) = 8`.
    fn two_steps(backup: Backup, end: thorndike_core::Status) -> Vec<f64> {
        let mut agent = agent(n_step, &config(2, backup), [4, 1, 1]);
        agent.td.set(3, 8.0);
        observe(&mut agent, &[(0, 0, 1.0, 1, RUNNING)]);
        assert_eq!(agent.td().q(), [0.0, 0.0, 0.0, 8.0], "one step is not two");
        observe(&mut agent, &[(1, 0, 2.0, 2, RUNNING)]);
        // 1 + 2/2 + Q(2)/4 = 2
        assert_eq!(agent.td().q(), [1.0, 0.0, 0.0, 8.0]);
        observe(&mut agent, &[(2, 0, 4.0, 3, end)]);
        agent.td().q().to_vec()
    }

    #[test]
    fn n_step_tail_is_flushed_at_the_end() {
        for backup in [Backup::Sarsa, Backup::ExpectedSarsa, Backup::TreeBackup] {
            // 2 + 4/2 = 4 for state 1 and 4 for state 2.
            assert_eq!(two_steps(backup, TERMINATED), [1.0, 2.0, 2.0, 8.0]);
        }
    }

    #[test]
    fn truncated_tail_bootstraps_from_the_true_successor() {
        for backup in [Backup::Sarsa, Backup::ExpectedSarsa, Backup::TreeBackup] {
            // 2 + 4/2 + 8/4 = 6 for state 1 and 4 + 8/2 = 8 for state 2.
            assert_eq!(two_steps(backup, TRUNCATED), [1.0, 3.0, 4.0, 8.0]);
        }
    }

    #[test]
    fn an_episode_shorter_than_n_is_learned_at_its_end() {
        let mut agent = agent(n_step, &config(50, Backup::Sarsa), [3, 1, 1]);
        observe(&mut agent, &[(0, 0, 1.0, 1, RUNNING)]);
        observe(&mut agent, &[(1, 0, 2.0, 2, TERMINATED)]);
        assert_eq!(
            agent.td().q(),
            [1.0, 1.0, 0.0],
            "half of the returns 2 and 2"
        );
        observe(&mut agent, &[(0, 0, 0.0, 1, RUNNING)]);
        assert_eq!(
            agent.td().q()[0],
            1.0,
            "the next episode starts with an empty window"
        );
    }

    #[test]
    fn tree_backup_is_cut_before_an_action_that_is_not_best() {
        // Two actions; the second step takes one of value 0 where the other is worth 6.
        let returned = |backup| {
            let mut agent = agent(n_step, &config(2, backup), [3, 2, 1]);
            agent.td.set(2, 6.0);
            observe(&mut agent, &[(0, 0, 1.0, 1, RUNNING)]);
            observe(&mut agent, &[(1, 1, 100.0, 2, RUNNING)]);
            2.0 * agent.td().q()[0]
        };
        assert_eq!(returned(Backup::TreeBackup), 1.0 + 6.0 / 2.0);
        assert_eq!(returned(Backup::Sarsa), 1.0 + 100.0 / 2.0);
    }

    #[test]
    fn rows_are_trajectories_of_their_own() {
        let mut agent = agent(n_step, &config(2, Backup::Sarsa), [6, 1, 2]);
        observe(
            &mut agent,
            &[(0, 0, 1.0, 1, RUNNING), (3, 0, 8.0, 4, TERMINATED)],
        );
        observe(
            &mut agent,
            &[(1, 0, 2.0, 2, RUNNING), (3, 0, 8.0, 4, RUNNING)],
        );
        assert_eq!(agent.td().q(), [1.0, 0.0, 0.0, 4.0, 0.0, 0.0]);
        observe(
            &mut agent,
            &[(2, 0, 0.0, 2, RUNNING), (4, 0, 8.0, 5, RUNNING)],
        );
        // 8 + 8/2 = 12 on the way from 4; 2 + 0 for state 1.
        assert_eq!(agent.td().q(), [1.0, 1.0, 0.0, 8.0, 0.0, 0.0]);
    }

    /// The table after 3,000 steps on the grid in 2 environments, as bits.
    fn trained<C, R: Rule>(
        build: impl Fn(&C, &BuildContext<'_>) -> Result<TdAgent<R>>,
        config: &C,
    ) -> Vec<u64> {
        let mut envs = Written::grid().envs(2, 30, 5);
        let mut agent = build(config, &context(envs.spec(), 5)).unwrap();
        train(&mut agent, &mut *envs, 3_000);
        agent.td().q().iter().map(|q| q.to_bits()).collect()
    }

    #[test]
    fn one_step_of_each_backup_is_the_one_step_agent() {
        let one = |backup| NStepConfig {
            n_step: 1,
            backup,
            ..Default::default()
        };
        assert_eq!(
            trained(n_step, &one(Backup::Sarsa)),
            trained(sarsa, &SarsaConfig::default())
        );
        assert_eq!(
            trained(n_step, &one(Backup::ExpectedSarsa)),
            trained(expected_sarsa, &ExpectedSarsaConfig::default())
        );
        assert_eq!(
            trained(n_step, &one(Backup::TreeBackup)),
            trained(q_learning, &QLearningConfig::default())
        );
    }
}
