//! Tabular agents and exact dynamic programming.
//!
//! States and actions are counted, `Q(s,a)` is a table, and an agent is a [`Rule`] that moves it.
//!
//! Every agent runs in any number of environments at once: rows are trajectories of their own that
//! learn into one table, in the order of the rows.

mod agent;
mod double_q;
mod dyna_q;
pub mod exact;
mod explore;
mod n_step;
mod one_step;
mod q_lambda;
mod table;
mod td;
#[cfg(test)]
mod testing;

pub use agent::{Rule, TdAgent};
pub use double_q::{DoubleQ, DoubleQConfig, double_q_learning};
pub use dyna_q::{DynaQ, DynaQConfig, dyna_q};
pub use explore::Exploration;
pub use n_step::{Backup, NStep, NStepConfig, n_step};
pub use one_step::{
    ExpectedSarsaConfig, OneStep, QLearningConfig, SarsaConfig, Successor, expected_sarsa,
    q_learning, sarsa,
};
pub use q_lambda::{QLambda, QLambdaConfig, Trace, q_lambda};
pub use td::{Td, TdConfig, Transition};

use thorndike_core::Registry;

/// Adds all agents of this crate.
pub fn register(registry: Registry) -> Registry {
    registry
        .agent("q-learning", q_learning)
        .agent("sarsa", sarsa)
        .agent("expected-sarsa", expected_sarsa)
        .agent("double-q-learning", double_q_learning)
        .agent("n-step", n_step)
        .agent("q-lambda", q_lambda)
        .agent("dyna-q", dyna_q)
}
