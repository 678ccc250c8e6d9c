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
