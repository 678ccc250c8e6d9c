//! Q-learning, SARSA and Expected SARSA: targets one step ahead.

use thorndike_core::{BuildContext, Result};

use crate::agent::{Rule, TdAgent};
use crate::td::{Td, Transition, td_config};

/// What a successor is worth: all in which Q-learning, SARSA and Expected SARSA differ.
///
/// After a terminal step nothing follows and every one of them is 0; after a truncated step every one
/// of them is taken at the true successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {
    /// `max_a Q(s',a)`.
    Best,
    /// `Q(s',a')` with the action `a'` that is taken there. Where a limit cut the episode off no action
    /// is taken; then one is drawn by the same exploration, which keeps the target unbiased.
    Taken,
    /// `sum_a pi(a|s') Q(s',a)` under exploration as it is at this step.
    Expected,
}

impl Successor {
    /// Discounted value of the successor of `t`. Where this is [`Taken`](Successor::Taken) it draws the next
    /// action, so it is asked for once a step.
    #[inline]
    pub fn discounted(self, td: &mut Td, t: &Transition) -> f64 {
        if !t.status.bootstraps() {
            return 0.0;
        }
        let value = match self {
            Self::Best => td.max(t.next_state),
            Self::Expected => td.expected(t.next_state),
            Self::Taken => {
                let next = td
                    .choose_next(t)
                    .expect("a step that bootstraps has a next action");
                td.values(t.next_state)[next]
            }
        };
        td.gamma() * value
    }
}

/// `Q(s,a) += step size * (r + gamma * value of the successor - Q(s,a))`.
#[derive(Debug)]
pub struct OneStep {
    successor: Successor,
}

impl Rule for OneStep {
    type State = ();

    #[inline]
    fn learn(&mut self, td: &mut Td, t: &Transition) {
        let target = t.reward + self.successor.discounted(td, t);
        td.move_towards(td.pair(t.state, t.action), target);
    }

    fn state(&self) -> &() {
        &()
    }

    fn restore(&mut self, _: &Td, (): ()) -> Result<(), String> {
        Ok(())
    }
}

td_config! {
    /// Options of [`q_learning`].
    QLearningConfig {}
}

td_config! {
    /// Options of [`sarsa`].
    SarsaConfig {}
}

td_config! {
    /// Options of [`expected_sarsa`].
    ExpectedSarsaConfig {}
}

/// Q-learning: off-policy, learns the best actions whatever is explored.
///
/// # Errors
/// As [`TdAgent::new`].
///
/// # Reference
/// Watkins and Dayan, *Q-learning* (1992); Sutton and Barto (2018), section 6.5. Deviations: none.
pub fn q_learning(
    config: &QLearningConfig,
    context: &BuildContext<'_>,
) -> Result<TdAgent<OneStep>> {
    let successor = Successor::Best;
    TdAgent::new("q-learning", config, context, |_| Ok(OneStep { successor }))
}

/// SARSA: on-policy, learns the value of what it does, exploration included.
///
/// # Errors
/// As [`TdAgent::new`].
///
/// # Reference
/// Rummery and Niranjan, *On-line Q-learning using connectionist systems* (1994); Sutton and Barto (2018),
/// section 6.4. Deviations: none.
pub fn sarsa(config: &SarsaConfig, context: &BuildContext<'_>) -> Result<TdAgent<OneStep>> {
    let successor = Successor::Taken;
    TdAgent::new("sarsa", config, context, |_| Ok(OneStep { successor }))
}

/// Expected SARSA: on-policy like SARSA, without the noise of the next action.
///
/// # Errors
/// As [`TdAgent::new`].
///
/// # Reference
/// van Seijen, van Hasselt, Whiteson and Wiering, *A theoretical and empirical analysis of Expected Sarsa*
/// (2009); Sutton and Barto (2018), section 6.6. Deviations: none.
pub fn expected_sarsa(
    config: &ExpectedSarsaConfig,
    context: &BuildContext<'_>,
) -> Result<TdAgent<OneStep>> {
    let successor = Successor::Expected;
    TdAgent::new("expected-sarsa", config, context, |_| {
        Ok(OneStep { successor })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{RUNNING, TERMINATED, TRUNCATED, act, agent, context, observe, spec};
    use crate::{Exploration, TdConfig};
    use thorndike_core::{Agent, Mode, Schedule};

    /// Step size and discount one half: all numbers below are exact.
    fn with_epsilon(epsilon: f64) -> TdConfig {
        TdConfig {
            gamma: 0.5,
            learning_rate: Schedule::constant(0.5),
            visit_power: 0.0,
            initial_value: 0.0,
            exploration: Exploration::EpsilonGreedy {
                epsilon: Schedule::constant(epsilon),
            },
        }
    }

    /// An agent with two states and two actions that knows `Q(1, .) = [4, 12]`.
    fn knowing(successor: Successor, epsilon: f64, seed: u64) -> TdAgent<OneStep> {
        let (spec, config) = (spec(2, 2, 1), with_epsilon(epsilon));
        let mut agent = TdAgent::new("test", config, &context(&spec, seed), |_| {
            Ok(OneStep { successor })
        })
        .unwrap();
        agent.td.set(2, 4.0);
        agent.td.set(3, 12.0);
        agent
    }

    const ALL: [Successor; 3] = [Successor::Best, Successor::Taken, Successor::Expected];

    #[test]
    fn terminal_step_does_not_bootstrap() {
        for successor in ALL {
            let mut agent = knowing(successor, 0.0, 1);
            observe(&mut agent, &[(0, 1, 2.0, 1, TERMINATED)]);
            assert_eq!(agent.td().q(), [0.0, 1.0, 4.0, 12.0], "{successor:?}");
        }
    }

    #[test]
    fn truncated_step_does() {
        for successor in ALL {
            let mut agent = knowing(successor, 0.0, 1);
            observe(&mut agent, &[(0, 1, 2.0, 1, TRUNCATED)]);
            assert_eq!(
                agent.td().q(),
                [0.0, 4.0, 4.0, 12.0],
                "{successor:?}: (2 + 12/2) / 2"
            );
        }
    }

    #[test]
    fn q_learning_takes_the_best_and_expected_sarsa_the_mean_over_what_it_does() {
        for (successor, expected) in [
            (Successor::Best, 12.0),
            // Of four draws one is at random for each action: 1/4 * 4 + 3/4 * 12.
            (Successor::Expected, 10.0),
        ] {
            let mut agent = knowing(successor, 0.5, 1);
            observe(&mut agent, &[(0, 0, 2.0, 1, RUNNING)]);
            assert_eq!(agent.td().q()[0], (2.0 + expected / 2.0) / 2.0);
        }
    }

    #[test]
    fn sarsa_uses_the_action_it_takes() {
        let mut seen = [false; 2];
        for seed in 0..20 {
            let mut agent = knowing(Successor::Taken, 1.0, seed);
            observe(&mut agent, &[(0, 0, 2.0, 1, RUNNING)]);
            let taken = act(&mut agent, Mode::Explore, &[1])[0] as usize;
            assert_eq!(agent.td().q()[0], (2.0 + [4.0, 12.0][taken] / 2.0) / 2.0);
            seen[taken] = true;
        }
        assert_eq!(seen, [true; 2]);
    }

    #[test]
    fn an_action_drawn_after_a_truncated_step_is_not_taken_in_the_next_episode() {
        let mut agent = knowing(Successor::Taken, 0.0, 1);
        agent.td.set(0, 1.0);
        observe(&mut agent, &[(0, 0, 2.0, 1, TRUNCATED)]);
        assert_eq!(
            act(&mut agent, Mode::Explore, &[0]),
            [0],
            "action 1 was best in the old state"
        );
    }

    #[test]
    fn greedy_play_leaves_the_action_that_was_chosen_ahead_alone() {
        let run = |evaluate: bool| {
            let mut agent = knowing(Successor::Taken, 1.0, 7);
            (0..50)
                .map(|_| {
                    observe(&mut agent, &[(0, 0, 2.0, 1, RUNNING)]);
                    if evaluate {
                        assert_eq!(act(&mut agent, Mode::Exploit, &[1, 0, 1]), [1, 0, 1]);
                    }
                    act(&mut agent, Mode::Explore, &[1])[0]
                })
                .collect::<Vec<i32>>()
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn each_row_takes_the_action_that_was_chosen_for_it() {
        let config = SarsaConfig {
            exploration: Exploration::EpsilonGreedy {
                epsilon: Schedule::constant(0.0),
            },
            ..Default::default()
        };
        let mut agent = agent(sarsa, &config, [4, 2, 3]);
        for (state, best) in [(1, 0), (2, 1), (3, 0)] {
            agent.td.set(state * 2 + best, 1.0);
        }
        let steps = [1, 2, 3].map(|next| (0, 0, 0.0, next, RUNNING));
        observe(&mut agent, &steps);
        assert_eq!(act(&mut agent, Mode::Explore, &[1, 2, 3]), [0, 1, 0]);
    }

    #[test]
    fn one_over_n_gives_the_mean_of_the_targets() {
        let config = QLearningConfig {
            learning_rate: Schedule::constant(1.0),
            visit_power: 1.0,
            ..Default::default()
        };
        let mut agent = agent(q_learning, &config, [1, 1, 1]);
        for reward in [3.0, 5.0, 10.0, -2.0] {
            observe(&mut agent, &[(0, 0, reward, 0, TERMINATED)]);
        }
        // 1e-15: three roundings of numbers near 4.
        assert!((agent.td().q()[0] - 4.0).abs() < 1e-15);
    }

    #[test]
    fn schedules_go_by_environment_steps_of_all_rows() {
        let config = QLearningConfig {
            learning_rate: Schedule::linear(1.0, 0.0, 8),
            ..Default::default()
        };
        let mut agent = agent(q_learning, &config, [4, 1, 4]);
        // The first step of four rows ends at step 4, where the step size is 1/2; the second at step 8.
        let steps = [0, 1, 2, 3].map(|state| (state, 0, 2.0, state, TERMINATED));
        observe(&mut agent, &steps);
        assert_eq!(agent.td().q(), [1.0; 4]);
        observe(&mut agent, &steps);
        assert_eq!(agent.td().q(), [1.0; 4]);
    }

    #[test]
    fn a_table_that_overflows_stops_the_run() {
        let config = QLearningConfig {
            gamma: 1.0,
            ..Default::default()
        };
        let mut agent = agent(q_learning, &config, [2, 1, 1]);
        agent.td.set(0, f64::MIN);
        agent.td.set(1, f64::MAX);
        observe(&mut agent, &[(0, 0, 0.0, 1, RUNNING)]);
        let error = agent
            .update(&mut thorndike_core::Log::new(&mut (), 1, false))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the sum of errors is inf at environment step 1"
        );
    }
}
