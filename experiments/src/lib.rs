//! The `thorndike` program as a library: experiments from one configuration file, with exact resume and published
//! curves.
//!
//! A program with environments or agents of its own registers them and gets the whole command line:
//!
//! ```no_run
//! # use std::process::ExitCode;
//! fn main() -> ExitCode {
//!     thorndike::main(thorndike::standard() /* .env("corridor", Corridor::new) */)
//! }
//! ```
//!
//! Feature `torch` (on by default): the libtorch-backed agents.

pub mod alarms;
mod caught;
mod commands;
pub mod comparison;
pub mod config;
#[cfg(any(feature = "torch", test))]
mod detected;
mod display;
mod drawn;
pub mod federated;
mod film;
#[cfg(feature = "torch")]
mod frames;
mod keyboard;
pub mod launch;
pub mod machine;
pub mod plot;
mod references;
mod report;
pub mod run;
pub mod runs;
#[cfg(feature = "torch")]
mod scored;
mod signal;
mod sink;
pub mod stats;
pub mod summary;
pub mod supervised;
pub mod sweep;
pub mod text;
pub mod words;

pub use commands::main;
pub use thorndike_core::{self, prelude};
pub use {thorndike_data, thorndike_envs, thorndike_federated, thorndike_tabular, thorndike_words};
#[cfg(feature = "torch")]
pub use {thorndike_dqn, thorndike_nets};

use thorndike_core::Registry;

/// Every environment and agent that comes with Thorndike.
pub fn standard() -> Registry {
    let registry = thorndike_tabular::register(thorndike_envs::register(Registry::new()));
    #[cfg(feature = "torch")]
    let registry = thorndike_dqn::register(registry);
    registry
}
