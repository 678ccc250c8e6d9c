//! The DQN family.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | [`DqnConfig`]: all settings and their sources |
//! | `presets` | published settings, as values |
//! | `agent` | [`Dqn`]: the loop's three calls, and saving |
//! | `pqn` | [`Pqn`]: from parallel environments, without replay |
//! | `network` | the Q-network: extractor and head, run fast or by libtorch |
//! | `head` | [`HeadConfig`]: expectation, atoms or quantiles; streams and noise |
//! | [`loss`] | targets, losses and their gradients, as pure functions |
//! | `cadence` | when to learn, and when to copy the target network |
//! | `explore` | ε-greedy |
//! | [`r2d2`] | [`R2d2`]: recurrent Q-learning from sequences, with its own settings, network and losses |
//!
//! Places where implementations are known to differ, and what happens here; each has a test in `tests/traps.rs`:
//!
//! | trap | here |
//! |---|---|
//! | truncation | an episode that was cut off bootstraps from its true last observation; one that ended does not |
//! | autoreset | no transition leads from the end of an episode to the start of the next |
//! | n-step tails | windows at an end are shorter and have their own discount |
//! | unit of the target period | in its name: environment steps or updates |
//! | units of ε | environment steps, however many environments there are |
//! | Huber | slope of at most 1; not the square of a clamped error, whose slope is 0 |
//! | the optimiser's epsilon | as configured, added behind the root |
//! | priorities | of the TD error before its importance weight; the largest so far for new transitions |
//! | clipped rewards | the agent's alone; returns are recorded as the environment gave them |
//! | evaluation | environments, random streams and memory of its own |
//!
//! One update is: a batch from the replay, targets from the target network, the loss and its gradient with
//! respect to the Q-values, a backward pass, a step of the optimiser, and perhaps a new target network.
//!
//! ```
//! use thorndike_core::prelude::*;
//! use thorndike_core::{Device, EnvOptions, SyncVectorEnv, Trainer};
//! use thorndike_dqn::{Dqn, DqnConfig};
//! # struct Corridor;
//! # impl Env for Corridor {
//! #     type State = f32;
//! #     type Obs = f32;
//! #     type Action = usize;
//! #     fn observation_space(&self) -> Space { Space::unbounded(&[1]) }
//! #     fn action_space(&self) -> Space { Space::Discrete(2) }
//! #     fn reset(&self, _: &mut Rng) -> f32 { 0.0 }
//! #     fn step(&self, at: &mut f32, action: usize, _: &mut Rng) -> Step {
//! #         *at = (*at + if action == 1 { 0.25 } else { -0.25 }).max(0.0);
//! #         if *at >= 1.0 { Step::terminal(1.0) } else { Step::running(-0.1) }
//! #     }
//! #     fn observe(&self, at: &f32, obs: &mut [f32]) { obs[0] = *at }
//! # }
//! let seeds = Seeds::new(1);
//! let envs = SyncVectorEnv::new(Corridor, &EnvOptions::default(), seeds)?;
//! let config = DqnConfig { warmup_steps: 200, ..DqnConfig::default() };
//! let ctx = BuildContext { spec: envs.spec(), seeds, device: Device::Cpu };
//! let agent = Dqn::new(&config, &ctx)?;
//! let mut trainer = Trainer::new(Box::new(envs), Box::new(agent), 100);
//! trainer.run_until(500, &mut ())?;
//! # Ok::<(), Error>(())
//! ```

mod agent;
mod cadence;
mod config;
mod explore;
mod head;
pub mod loss;
mod network;
mod pqn;
mod presets;
pub mod r2d2;
mod state_file;

use thorndike_core::{BuildContext, Registry, Result};
use thorndike_nets::Frozen;

pub use agent::Dqn;
pub use config::{DqnConfig, MunchausenConfig, ReplayConfig, TargetConfig};
pub use head::{CategoricalConfig, HeadConfig, ImplicitQuantileConfig, QuantileConfig};
pub use loss::Loss;
pub use pqn::{Pqn, PqnConfig};
pub use r2d2::{R2d2, R2d2Config, SequenceReplayConfig};

/// Adds the agents `dqn`, its presets, `pqn` and `r2d2`.
pub fn register(registry: Registry) -> Registry {
    registry
        .agent("dqn", dqn)
        .preset("dqn-minatar", &DqnConfig::minatar(), dqn)
        .preset("dqn-nature", &DqnConfig::nature(), dqn)
        .preset("rainbow", &DqnConfig::rainbow(), dqn)
        .preset("rainbow-der", &DqnConfig::rainbow_data_efficient(), dqn)
        .agent("pqn", pqn)
        .agent("r2d2", R2d2::new)
}

fn dqn(config: &DqnConfig, ctx: &BuildContext<'_>) -> Result<Frozen<Dqn>> {
    Frozen::new(config, ctx, |config| &mut config.extractor, Dqn::new)
}

fn pqn(config: &PqnConfig, ctx: &BuildContext<'_>) -> Result<Frozen<Pqn>> {
    Frozen::new(config, ctx, |config| &mut config.extractor, Pqn::new)
}
