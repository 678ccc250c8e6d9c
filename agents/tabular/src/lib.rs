//! Tabular agents and exact dynamic programming.
//!
//! States and actions are counted, `Q(s,a)` is a table, and an agent is a [`Rule`] that moves it.
//!
//! Every agent runs in any number of environments at once: rows are trajectories of their own that
//! learn into one table, in the order of the rows.

mod agent;
pub mod exact;
mod explore;
mod one_step;
mod table;
mod td;

pub use agent::{Rule, TdAgent};
pub use explore::Exploration;
pub use one_step::{
    ExpectedSarsaConfig, OneStep, QLearningConfig, SarsaConfig, Successor, expected_sarsa,
    q_learning, sarsa,
};
pub use td::{Td, TdConfig, Transition};

use thorndike_core::Registry;

/// Adds all agents of this crate.
pub fn register(registry: Registry) -> Registry {
    registry
        .agent("q-learning", q_learning)
        .agent("sarsa", sarsa)
        .agent("expected-sarsa", expected_sarsa)
}
