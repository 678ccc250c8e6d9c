//! Watkins's Q(lambda): Q-learning with eligibility traces.

use serde::{Deserialize, Serialize};
use thorndike_core::{BuildContext, Result, check_range};

use crate::agent::{Rule, TdAgent};
use crate::one_step::Successor;
use crate::td::{Td, Transition, td_config};

/// Traces below this are dropped.
const NEGLIGIBLE: f64 = 1e-5;

/// What a visit does to a trace that is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trace {
    /// The trace becomes 1: safe with any step size.
    #[default]
    Replacing,
    /// The trace grows by 1: pairs that come again soon learn faster, and may diverge.
    Accumulating,
}

td_config! {
    /// Options of [`q_lambda`].
    QLambdaConfig {
        /// Share of a trace that is left after a step, beside the discount; 0 is Q-learning.
        lambda: f64 = 0.9,
        /// What a visit does to a trace that is already there.
        trace: Trace = Trace::Replacing,
    }
}

/// An error is shared by all pairs that led to it, by how long ago they did.
#[derive(Debug)]
pub struct QLambda {
    lambda: f64,
    trace: Trace,
    /// Pairs with a trace, by row. A list, since few of a table's pairs have one.
    traces: Vec<Vec<(u32, f64)>>,
    /// Most pairs that have a trace in one row.
    longest: usize,
}

/// Watkins's Q(lambda): off-policy; traces end where an action was not the best one.
///
/// # Errors
/// As [`TdAgent::new`]; [`Error::Config`](thorndike_core::Error::Config) if `lambda` is out of range.
///
/// # Reference
/// Watkins, *Learning from delayed rewards* (1989); Sutton and Barto, 1st ed. (1998), sections 7.6 and 7.8, and
/// 2nd ed. (2018), section 12.10. Deviations: traces below 1e-5 are dropped.
pub fn q_lambda(config: &QLambdaConfig, context: &BuildContext<'_>) -> Result<TdAgent<QLambda>> {
    TdAgent::new("q-lambda", config, context, |td| {
        check_range("lambda", config.lambda, 0.0..=1.0)?;
        let longest = longest(config.gamma * config.lambda).min(td.pairs() as f64) as usize;
        Ok(QLambda {
            lambda: config.lambda,
            trace: config.trace,
            traces: vec![Vec::new(); td.rows()],
            longest,
        })
    })
}

/// Steps after which a trace is negligible, even one that accumulated.
fn longest(decay: f64) -> f64 {
    if decay < 1.0 {
        (NEGLIGIBLE * (1.0 - decay)).ln() / decay.ln() + 2.0
    } else {
        f64::INFINITY
    }
}

impl Rule for QLambda {
    type State = Vec<Vec<(u32, f64)>>;

    fn learn(&mut self, td: &mut Td, t: &Transition) {
        let next = td.choose_next(t);
        let next_is_best = next.is_some_and(|action| td.is_greedy(t.next_state, action));
        let pair = td.pair(t.state, t.action);
        let error = t.reward + Successor::Best.discounted(td, t) - td.value(pair);
        td.note_error(error);

        let traces = &mut self.traces[t.row];
        match traces
            .iter_mut()
            .find(|(visited, _)| *visited as usize == pair)
        {
            Some((_, trace)) if self.trace == Trace::Accumulating => *trace += 1.0,
            Some((_, trace)) => *trace = 1.0,
            None => traces.push((pair as u32, 1.0)),
        }
        let decay = td.gamma() * self.lambda;
        traces.retain_mut(|(visited, trace)| {
            let visited = *visited as usize;
            td.set(
                visited,
                td.value(visited) + td.step_size(visited) * error * *trace,
            );
            *trace *= decay;
            *trace >= NEGLIGIBLE
        });
        if t.status.is_over() || !next_is_best {
            traces.clear();
        }
    }

    fn state(&self) -> &Self::State {
        &self.traces
    }

    fn restore(&mut self, td: &Td, traces: Self::State) -> Result<(), String> {
        if traces.len() != td.rows() || traces.iter().any(|row| row.len() > self.longest) {
            return Err(format!(
                "is not of {} environments with such traces",
                td.rows()
            ));
        }
        let sound = |&(pair, trace): &(u32, f64)| (pair as usize) < td.pairs() && trace.is_finite();
        if !traces.iter().flatten().all(sound) {
            return Err("holds a trace that cannot be".into());
        }
        self.traces = traces;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        (self.traces.len() * (size_of::<Vec<()>>() + self.longest * size_of::<(u32, f64)>())) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{RUNNING, TERMINATED, TRUNCATED, act, agent, context, observe, spec};
    use crate::{Exploration, QLearningConfig, q_learning};
    use thorndike_core::rand::RngExt;
    use thorndike_core::{Mode, Schedule, Seeds};

    /// Step size, discount and lambda one half: all numbers below are exact.
    fn config(epsilon: f64, trace: Trace) -> QLambdaConfig {
        QLambdaConfig {
            lambda: 0.5,
            trace,
            gamma: 0.5,
            learning_rate: Schedule::constant(0.5),
            exploration: Exploration::EpsilonGreedy {
                epsilon: Schedule::constant(epsilon),
            },
            ..Default::default()
        }
    }

    #[test]
    fn an_error_is_shared_by_all_pairs_that_led_to_it() {
        let mut agent = agent(q_lambda, &config(0.0, Trace::Replacing), [4, 1, 1]);
        observe(&mut agent, &[(0, 0, 1.0, 1, RUNNING)]);
        assert_eq!(agent.td().q(), [0.5, 0.0, 0.0, 0.0]);
        // Error 2: half of it for state 1, an eighth for state 0, whose trace is 1/4.
        observe(&mut agent, &[(1, 0, 2.0, 2, RUNNING)]);
        assert_eq!(agent.td().q(), [0.75, 1.0, 0.0, 0.0]);
        observe(&mut agent, &[(2, 0, 16.0, 3, TERMINATED)]);
        assert_eq!(agent.td().q(), [1.25, 3.0, 8.0, 0.0]);
        observe(&mut agent, &[(2, 0, 8.0, 3, TERMINATED)]);
        assert_eq!(
            agent.td().q()[..2],
            [1.25, 3.0],
            "traces end with the episode"
        );
    }

    #[test]
    fn truncated_step_bootstraps_and_ends_the_traces() {
        let mut agent = agent(q_lambda, &config(0.0, Trace::Replacing), [3, 1, 1]);
        agent.td.set(1, 8.0);
        observe(&mut agent, &[(0, 0, 1.0, 1, TRUNCATED)]);
        assert_eq!(agent.td().q()[0], 2.5, "half of 1 + 8/2");
        observe(&mut agent, &[(2, 0, 100.0, 1, TERMINATED)]);
        assert_eq!(agent.td().q()[0], 2.5);
    }

    #[test]
    fn a_second_visit_replaces_the_trace_or_adds_to_it() {
        let second = |trace| {
            let mut agent = agent(q_lambda, &config(0.0, trace), [2, 1, 1]);
            observe(&mut agent, &[(0, 0, 0.0, 0, RUNNING)]);
            observe(&mut agent, &[(0, 0, 8.0, 1, RUNNING)]);
            agent.td().q()[0]
        };
        assert_eq!(second(Trace::Replacing), 4.0);
        assert_eq!(second(Trace::Accumulating), 5.0, "the trace is 1 + 1/4");
    }

    #[test]
    fn watkins_cuts_traces_after_an_exploratory_action() {
        let mut seen = [false; 2];
        let spec = spec(3, 2, 1);
        for seed in 0..20 {
            let mut agent =
                q_lambda(&config(1.0, Trace::Replacing), &context(&spec, seed)).unwrap();
            agent.td.set(2, 4.0);
            observe(&mut agent, &[(0, 0, 0.0, 1, RUNNING)]);
            assert_eq!(agent.td().q()[0], 1.0, "half of 4/2");
            let next = act(&mut agent, Mode::Explore, &[1])[0];
            observe(&mut agent, &[(1, next, 12.0, 2, TERMINATED)]);
            // After the best action its error 12 - 4 reaches state 0 by an eighth; after the other one,
            // nothing does.
            let expected = if next == 0 { 2.0 } else { 1.0 };
            assert_eq!(agent.td().q()[0], expected, "after action {next}");
            seen[next as usize] = true;
        }
        assert_eq!(seen, [true; 2]);
    }

    #[test]
    fn any_best_action_keeps_the_traces() {
        let mut agent = agent(q_lambda, &config(1.0, Trace::Replacing), [3, 2, 1]);
        observe(&mut agent, &[(0, 0, 0.0, 1, RUNNING)]);
        let next = act(&mut agent, Mode::Explore, &[1])[0];
        observe(&mut agent, &[(1, next, 8.0, 2, TERMINATED)]);
        assert_eq!(
            agent.td().q()[0],
            1.0,
            "both actions of state 1 were worth 0"
        );
    }

    #[test]
    fn without_lambda_it_is_q_learning() {
        let mut traced = agent(
            q_lambda,
            &QLambdaConfig {
                lambda: 0.0,
                ..Default::default()
            },
            [5, 3, 2],
        );
        let mut plain = agent(q_learning, &QLearningConfig::default(), [5, 3, 2]);
        let mut rng = Seeds::new(4).stream("test", 0);
        for _ in 0..500 {
            let steps = [0, 1].map(|_| {
                let (s, a, next) = (
                    rng.random_range(0..5),
                    rng.random_range(0..3),
                    rng.random_range(0..5),
                );
                let status = [RUNNING, TERMINATED, TRUNCATED][rng.random_range(0..3)];
                (s, a, rng.random::<f32>(), next, status)
            });
            observe(&mut traced, &steps);
            observe(&mut plain, &steps);
        }
        assert_eq!(traced.td().q(), plain.td().q());
    }

    #[test]
    fn there_are_never_more_traces_than_announced() {
        for (gamma, lambda) in [(0.99, 0.9), (0.5, 0.5), (0.0, 1.0), (1.0, 1.0)] {
            for trace in [Trace::Replacing, Trace::Accumulating] {
                let config = QLambdaConfig {
                    gamma,
                    lambda,
                    trace,
                    ..Default::default()
                };
                let mut agent = agent(q_lambda, &config, [400, 1, 1]);
                for step in 0..2_000 {
                    let state = step / 3 % 400;
                    observe(&mut agent, &[(state, 0, 0.0, (state + 1) % 400, RUNNING)]);
                    let rule = &agent.rule;
                    assert!(
                        rule.traces[0].len() <= rule.longest,
                        "{gamma} {lambda} {trace:?}"
                    );
                }
            }
        }
    }
}
