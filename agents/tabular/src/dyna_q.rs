//! Dyna-Q: learning, and planning in a model that is learned beside.

use serde::{Deserialize, Serialize};
use thorndike_core::memory::check_fits;
use thorndike_core::{BuildContext, Error, Result, check_range};

use crate::agent::{Rule, TdAgent};
use crate::explore::below;
use crate::one_step::Successor;
use crate::td::{MAX_PAIRS, Td, Transition, td_config};

td_config! {
    /// Options of [`dyna_q`].
    DynaQConfig {
        /// Steps in the model after each step in the environment, 0 to 1,000,000; 0 is Q-learning.
        planning_steps: usize = 10,
        /// Last outcomes of a pair that the model remembers, 1 to 1,000. 1 is exact where nothing is left to
        /// chance; elsewhere planning draws one of these, so more of them give better odds.
        outcomes: usize = 1,
    }
}

/// Q-learning, and steps of the same in a model.
#[derive(Debug)]
pub struct DynaQ {
    planning_steps: usize,
    /// Outcomes kept for a pair.
    capacity: usize,
    model: Model,
}

/// What was seen of the environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    /// Pairs that were taken at least once, in the order of their first time.
    seen: Vec<u32>,
    /// Outcomes that were seen, by pair; counted on from one to two capacities, so that the remainder is
    /// the place of the next one.
    counts: Vec<u32>,
    /// `[pairs, capacity]`.
    outcomes: Vec<Outcome>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Outcome {
    next_state: u32,
    reward: f32,
    terminated: bool,
}

/// Dyna-Q: learns from every step, and from remembered steps of other times between them.
///
/// # Errors
/// As [`TdAgent::new`]; [`Error::Config`] if an option is out of range.
///
/// # Reference
/// Sutton, *Integrated architectures for learning, planning, and reacting* (1990); Sutton and Barto (2018),
/// section 8.2. Deviations: planning draws among the pairs that were taken, each alike (there: a state,
/// then an action); the model can remember several outcomes of a pair and draws one of them; a truncated
/// step is remembered as one that goes on.
pub fn dyna_q(config: &DynaQConfig, context: &BuildContext<'_>) -> Result<TdAgent<DynaQ>> {
    TdAgent::new("dyna-q", config, context, |td| {
        check_range("planning_steps", config.planning_steps, 0..=1_000_000)?;
        check_range("outcomes", config.outcomes, 1..=1_000)?;
        let places = td.pairs() * config.outcomes;
        if places > MAX_PAIRS {
            let what = format!("{places} outcomes in all; give fewer, {MAX_PAIRS} are the most");
            return Err(Error::config("outcomes", what));
        }
        let bytes = places * size_of::<Outcome>();
        check_fits("outcomes", "a model with so many", bytes as u64)?;
        Ok(DynaQ {
            planning_steps: config.planning_steps,
            capacity: config.outcomes,
            model: Model {
                seen: Vec::new(),
                counts: vec![0; td.pairs()],
                outcomes: vec![Outcome::default(); places],
            },
        })
    })
}

impl DynaQ {
    fn remember(&mut self, pair: usize, outcome: Outcome) {
        let Model {
            seen,
            counts,
            outcomes,
        } = &mut self.model;
        let count = counts[pair] as usize;
        if count == 0 {
            seen.push(pair as u32);
        }
        outcomes[pair * self.capacity + count % self.capacity] = outcome;
        let wrapped = count + 1 == 2 * self.capacity;
        counts[pair] = if wrapped { self.capacity } else { count + 1 } as u32;
    }

    /// A remembered step of some pair.
    #[inline]
    fn imagine(&self, td: &mut Td) -> (usize, Outcome) {
        let model = &self.model;
        let pair = model.seen[below(model.seen.len(), td.rng())] as usize;
        let known = (model.counts[pair] as usize).min(self.capacity);
        let place = if known > 1 { below(known, td.rng()) } else { 0 };
        (pair, model.outcomes[pair * self.capacity + place])
    }
}

impl Rule for DynaQ {
    type State = Model;

    fn learn(&mut self, td: &mut Td, t: &Transition) {
        let pair = td.pair(t.state, t.action);
        let target = t.reward + Successor::Best.discounted(td, t);
        td.move_towards(pair, target);
        self.remember(
            pair,
            Outcome {
                next_state: t.next_state as u32,
                reward: t.reward as f32,
                terminated: !t.status.bootstraps(),
            },
        );
        for _ in 0..self.planning_steps {
            let (pair, outcome) = self.imagine(td);
            let future = if outcome.terminated {
                0.0
            } else {
                td.gamma() * td.max(outcome.next_state as usize)
            };
            td.move_towards(pair, f64::from(outcome.reward) + future);
        }
    }

    fn state(&self) -> &Model {
        &self.model
    }

    fn restore(&mut self, td: &Td, model: Model) -> Result<(), String> {
        if (model.counts.len(), model.outcomes.len()) != (td.pairs(), td.pairs() * self.capacity) {
            return Err(format!(
                "holds a model that is not of {} pairs with {} outcomes each",
                td.pairs(),
                self.capacity
            ));
        }
        let sound = |o: &Outcome| (o.next_state as usize) < td.states() && o.reward.is_finite();
        let count = |pair: &u32| model.counts.get(*pair as usize).copied().unwrap_or(0);
        let known = model.counts.iter().filter(|count| **count > 0).count();
        if !model.outcomes.iter().all(sound)
            || model
                .counts
                .iter()
                .any(|&count| count as usize >= 2 * self.capacity)
            || model.seen.len() != known
            || model.seen.iter().any(|pair| count(pair) == 0)
        {
            return Err("holds a model that cannot have been learned".into());
        }
        self.model = model;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let model = &self.model;
        (model.outcomes.len() * size_of::<Outcome>() + model.counts.len() * 8) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{RUNNING, TERMINATED, TRUNCATED, Written, agent, context, observe, train};
    use crate::{QLearningConfig, q_learning};
    use thorndike_core::Schedule;

    fn config(planning_steps: usize, outcomes: usize) -> DynaQConfig {
        DynaQConfig {
            planning_steps,
            outcomes,
            gamma: 0.5,
            learning_rate: Schedule::constant(1.0),
            ..Default::default()
        }
    }

    #[test]
    fn planning_carries_a_reward_back_that_q_learning_leaves_where_it_was() {
        let learned = |planning_steps| {
            let mut agent = agent(dyna_q, &config(planning_steps, 1), [4, 1, 1]);
            observe(&mut agent, &[(0, 0, 0.0, 1, RUNNING)]);
            observe(&mut agent, &[(1, 0, 0.0, 2, RUNNING)]);
            observe(&mut agent, &[(2, 0, 8.0, 3, TERMINATED)]);
            agent.td().q().to_vec()
        };
        assert_eq!(learned(0), [0.0, 0.0, 8.0, 0.0]);
        assert_eq!(learned(100), [2.0, 4.0, 8.0, 0.0]);
    }

    #[test]
    fn a_remembered_terminal_step_does_not_bootstrap_and_a_truncated_one_does() {
        for (status, expected) in [(TERMINATED, 1.0), (TRUNCATED, 3.0)] {
            let mut agent = agent(dyna_q, &config(1, 1), [2, 1, 1]);
            agent.td.set(1, 4.0);
            observe(&mut agent, &[(0, 0, 1.0, 1, status)]);
            assert_eq!(agent.td().q()[0], expected);
            agent.td.set(0, 0.0);
            let (pair, outcome) = agent.rule.imagine(&mut agent.td);
            assert_eq!((pair, outcome.terminated), (0, status == TERMINATED));
        }
    }

    #[test]
    fn the_model_keeps_the_last_outcomes_and_draws_each_alike() {
        let mut agent = agent(dyna_q, &config(0, 3), [2, 1, 1]);
        for reward in 1..=8 {
            observe(&mut agent, &[(0, 0, reward as f32, 1, RUNNING)]);
        }
        let mut counts = [0.0; 9];
        for _ in 0..3_000 {
            counts[agent.rule.imagine(&mut agent.td).1.reward as usize] += 1.0;
        }
        assert_eq!(counts[..6], [0.0; 6], "older ones are forgotten");
        // Five standard deviations of 3,000 draws with probability 1/3: 129.
        assert!(
            counts[6..]
                .iter()
                .all(|count: &f64| (count - 1_000.0).abs() < 129.0),
            "{counts:?}"
        );
    }

    #[test]
    fn without_planning_it_is_q_learning() {
        let mut envs = [
            Written::grid().envs(3, 30, 2),
            Written::grid().envs(3, 30, 2),
        ];
        let spec = envs[0].spec().clone();
        let none = DynaQConfig {
            planning_steps: 0,
            ..Default::default()
        };
        let mut dyna = dyna_q(&none, &context(&spec, 2)).unwrap();
        let mut plain = q_learning(&QLearningConfig::default(), &context(&spec, 2)).unwrap();
        train(&mut dyna, &mut *envs[0], 2_000);
        train(&mut plain, &mut *envs[1], 2_000);
        assert_eq!(dyna.td().q(), plain.td().q());
    }

    #[test]
    fn planning_needs_fewer_steps_than_learning_alone() {
        let episodes = |planning_steps| {
            let config = DynaQConfig {
                planning_steps,
                ..Default::default()
            };
            let mut envs = Written::grid().envs(1, 200, 3);
            let mut agent = dyna_q(&config, &context(envs.spec(), 3)).unwrap();
            train(&mut agent, &mut *envs, 600).len()
        };
        let (without, with) = (episodes(0), episodes(50));
        assert!(with > without * 3 / 2, "{with} episodes against {without}");
    }
}
