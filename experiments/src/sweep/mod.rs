//! Search over the keys of a configuration: many trials from one small file, each an ordinary experiment.
//!
//! [`mod@file`] reads the sweep file and makes its trials, [`keys`] are the values that a key may take, [`halving`] decides
//! which trials are given more steps, [`folder`] runs them and resumes what was interrupted, [`ranking`] says what came
//! of it. To add a way to search, add an arm to [`Search`] and draw its trials in [`Sweep::trials`].
//!
//! ```toml
//! config    = "../configs/frozen-lake-q.toml"     # the experiment that is varied
//! overrides = ["steps=20_000", "seeds=[1, 2, 3]"]  # of its keys, as on the command line
//! search    = { kind = "random", trials = 32, seed = 1 }
//!
//! [keys]
//! agent.params.gamma = [0.9, 0.95, 0.99]
//! agent.params.learning_rate = { kind = "log-uniform", from = 1e-3, to = 1.0 }
//! ```
//!
//! All trials have the same seeds, those of the experiment: what differs between two trials is then their values and not
//! their luck. The other side of it is that the winner was chosen by these seeds and flatters itself; train `best.toml`
//! with other ones to see what it is worth.

pub mod file;
pub mod folder;
pub mod halving;
pub mod keys;
pub mod ranking;

pub use file::{Search, Sweep, Trial};
pub use folder::{Folder, Plan};
pub use ranking::{Outcome, Ranking, Score};
