//! Double Q-learning.

use thorndike_core::rand::Rng as _;
use thorndike_core::{BuildContext, Result};

use crate::agent::{Rule, TdAgent};
use crate::explore::argmax;
use crate::td::{Td, Transition, td_config};

td_config! {
    /// Options of [`double_q_learning`].
    DoubleQConfig {}
}

/// Two tables: one chooses the best next action, the other says what it is worth.
///
/// The table that is acted on is their mean.
#[derive(Debug)]
pub struct DoubleQ {
    tables: [Vec<f64>; 2],
}

/// Double Q-learning: free of the bias that a maximum over noisy values has.
///
/// # Errors
/// As [`TdAgent::new`].
///
/// # Reference
/// van Hasselt, *Double Q-learning* (2010); Sutton and Barto (2018), section 6.7. Deviations: with
/// `visit_power`, visits are counted for both tables together.
pub fn double_q_learning(
    config: &DoubleQConfig,
    context: &BuildContext<'_>,
) -> Result<TdAgent<DoubleQ>> {
    TdAgent::new("double-q-learning", config, context, |td| {
        let tables = [td.q().to_vec(), td.q().to_vec()];
        Ok(DoubleQ { tables })
    })
}

impl Rule for DoubleQ {
    type State = [Vec<f64>; 2];

    #[inline]
    fn learn(&mut self, td: &mut Td, t: &Transition) {
        let [one, two] = &mut self.tables;
        let heads = td.rng().next_u32() >> 31 == 1;
        let (learner, judge) = if heads { (one, two) } else { (two, one) };
        let next = t.next_state * td.actions();
        let target = if t.status.bootstraps() {
            let best = argmax(&learner[next..][..td.actions()]);
            t.reward + td.gamma() * judge[next + best]
        } else {
            t.reward
        };
        let pair = td.pair(t.state, t.action);
        let error = target - learner[pair];
        learner[pair] += td.step_size(pair) * error;
        td.set(pair, 0.5 * (learner[pair] + judge[pair]));
        td.note_error(error);
    }

    fn state(&self) -> &Self::State {
        &self.tables
    }

    fn restore(&mut self, td: &Td, tables: Self::State) -> Result<(), String> {
        if tables.iter().any(|table| table.len() != td.pairs()) {
            return Err(format!("holds tables that have not {} values", td.pairs()));
        }
        if tables.iter().flatten().any(|value| !value.is_finite()) {
            return Err("holds a value that is no finite number".into());
        }
        self.tables = tables;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.tables[0].len() as u64 * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{RUNNING, TERMINATED, Written, agent, context, observe, train};
    use crate::{QLearningConfig, q_learning};
    use thorndike_core::Schedule;

    #[test]
    fn one_table_chooses_and_the_other_judges() {
        let config = DoubleQConfig {
            gamma: 0.5,
            learning_rate: Schedule::constant(1.0),
            ..Default::default()
        };
        let mut agent = agent(double_q_learning, &config, [2, 2, 1]);
        // In state 1 each table thinks highly of another action than its twin does.
        let tables = [vec![0.0, 0.0, 8.0, 4.0], vec![0.0, 0.0, 2.0, 6.0]];
        let mut seen = [false; 2];
        for _ in 0..20 {
            agent.rule.tables = tables.clone();
            observe(&mut agent, &[(0, 0, 1.0, 1, RUNNING)]);
            let [one, two] = &agent.rule.tables;
            assert_eq!(
                agent.td().q()[0],
                0.5 * (one[0] + two[0]),
                "acts on the mean"
            );
            // The first takes action 0, which the second says is worth 2: 1 + 2/2. The second takes
            // action 1, which the first says is worth 4: 1 + 4/2.
            match (one[0], two[0]) {
                (2.0, 0.0) => seen[0] = true,
                (0.0, 3.0) => seen[1] = true,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, [true; 2], "each table has its turn");
    }

    #[test]
    fn terminal_step_does_not_bootstrap() {
        let config = DoubleQConfig {
            learning_rate: Schedule::constant(1.0),
            initial_value: 100.0,
            ..Default::default()
        };
        let mut agent = agent(double_q_learning, &config, [2, 1, 1]);
        for _ in 0..20 {
            observe(&mut agent, &[(0, 0, 1.0, 1, TERMINATED)]);
        }
        assert_eq!(agent.td().q()[0], 1.0, "both tables have been moved by now");
    }

    /// Example 6.7 of Sutton and Barto: from state 0, half of the actions end with 0, the other half
    /// lead to state 1, where every action ends with a reward of mean -0.1 (here 0.9 or -1.1).
    fn bias() -> Written {
        let mut problem = Written::sure(2, 10, |_, action| (1, 0.0, action >= 5));
        problem.outcomes[1].fill(vec![(0.5, 1, 0.9, true), (0.5, 1, -1.1, true)]);
        problem
    }

    /// Share of 300 episodes that went to state 1, over 50 runs; 5 % is what exploration alone does.
    fn share_of_left<C: Default, R: Rule>(
        build: impl Fn(&C, &BuildContext<'_>) -> Result<TdAgent<R>>,
    ) -> f64 {
        let runs = 50;
        let left: usize = (0..runs)
            .map(|seed| {
                let mut envs = bias().envs(1, 10, seed);
                let mut agent = build(&C::default(), &context(envs.spec(), seed)).unwrap();
                let returns = train(&mut agent, &mut *envs, 450);
                returns[..220].iter().filter(|r| **r != 0.0).count()
            })
            .sum();
        left as f64 / (220 * runs) as f64
    }

    #[test]
    fn double_q_does_not_overestimate_where_q_learning_falls_for_maximisation_bias() {
        let single = share_of_left::<QLearningConfig, _>(q_learning);
        let double = share_of_left::<DoubleQConfig, _>(double_q_learning);
        println!("{single} {double}");
        assert!(single > 0.5, "{single}");
        assert!(double < 0.3, "{double}");
    }
}
