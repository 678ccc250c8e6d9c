//! Tabular agents and exact dynamic programming.
//!
//! States and actions are counted, the values `Q(s,a)` are a table, and an agent is a [`Rule`] that moves
//! one entry, or a few, towards a target:
//!
//! ```text
//! Q(s,a) += alpha * (target - Q(s,a))         alpha = learning_rate(step) / n(s,a)^visit_power
//! ```
//!
//! | id | target | source |
//! |---|---|---|
//! | `q-learning` | `r + gamma max_b Q(s',b)` | Watkins and Dayan 1992 |
//! | `sarsa` | `r + gamma Q(s',a')`, `a'` taken | Rummery and Niranjan 1994 |
//! | `expected-sarsa` | `r + gamma sum_b pi(b|s') Q(s',b)` | van Seijen and others 2009 |
//! | `double-q-learning` | `r + gamma Q2(s', argmax_b Q1(s',b))`, roles by coin | van Hasselt 2010 |
//! | `n-step` | `r + gamma r' + ... + gamma^n Q(s_n,a_n)`; or Expected SARSA, or tree backup | Sutton and Barto 2018, chapter 7 |
//! | `q-lambda` | as `q-learning`; the error goes to all pairs by `(gamma lambda)^age`, cut by exploration | Watkins 1989 |
//! | `dyna-q` | as `q-learning`, and for remembered steps between | Sutton 1990 |
//!
//! What follows a terminal step is worth 0; a truncated step bootstraps from its true successor, where
//! SARSA draws an action that is not taken.
//!
//! Every agent runs in any number of environments at once: rows are trajectories of their own that
//! learn into one table, in the order of the rows. All schedules count environment steps of all rows.
//!
//! [`exact`] solves small problems whose dynamics are known, so that what was learned can be scored
//! without sampling.
//!
//! A checkpoint holds `table.safetensors` (`q`, f64, and `visits`, u32, both `[states, actions]`) and
//! `state.bin` (all else, so that training goes on bit for bit).
//!
//! ```
//! use thorndike_core::{Registry, Trainer, EnvOptions, Seeds, BuildContext, Device, evaluate};
//! use thorndike_tabular::exact::Solver;
//!
//! let registry = thorndike_tabular::register(thorndike_envs::register(Registry::new()));
//! let dry = serde_json::json!({ "slippery": false });
//! let make = |seed| registry.make_envs("frozen-lake", &dry, &EnvOptions::default(), Seeds::new(seed));
//! let envs = make(1)?;
//! let spec = envs.spec().clone();
//! let context = BuildContext { spec: &spec, seeds: Seeds::new(1), device: Device::Cpu };
//! let agent = registry.make_agent("q-learning", &serde_json::json!({ "learning_rate": 0.5 }), &context)?;
//! let mut trainer = Trainer::new(envs, agent, 1_000);
//! trainer.run_until(20_000, &mut ())?;
//!
//! assert_eq!(evaluate(&mut *make(2)?, trainer.agent(), 10).mean(), 1.0);
//! let lake = registry.make_finite("frozen-lake", &dry)?.expect("its dynamics are known");
//! let solver = Solver::new(&*lake)?;
//! let policy = solver.played_by(trainer.agent());
//! assert_eq!(solver.policy_return(&policy, Some(100))?, solver.best_return(Some(100))?);
//! # Ok::<(), thorndike_core::Error>(())
//! ```

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
