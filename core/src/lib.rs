//! Traits, vector environments, replay, training loop, seeds, events and checkpoints of Thorndike.
//!
//! Nine concepts carry everything: [`Space`], [`Env`], [`VectorEnv`], [`Array`], [`Actor`], [`Agent`],
//! [`Recorder`], [`Registry`] and [`Seeds`]. An author writes typed code for one environment; the loop and
//! the agents see contiguous rows for N of them. This crate knows no tensor library and no file format
//! but its own checkpoints.
//!
//! The whole loop, as [`Trainer::run_until`] has it:
//!
//! ```text
//! agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
//! envs.step(&actions);                        // true successors, rewards, endings
//! agent.observe(&Transitions::new(envs.batch(), &actions));
//! agent.update(&mut log)?;                    // learns, if it is due
//! envs.advance();                             // ended episodes start anew
//! ```

pub use rand;

mod agent;
mod ahead;
mod array;
mod check;
pub mod checkpoint;
mod env;
mod error;
mod event;
mod exchange;
pub mod gym;
pub mod memory;
mod mixed;
mod numpy;
mod picture;
mod registry;
pub mod replay;
mod schedule;
mod seed;
mod space;
mod threads;
mod train;
mod vector;
mod wrap;

pub use agent::{Actor, Agent, BuildContext, Device, EnvSteps, Mode, Transitions};
pub use ahead::Ahead;
pub use array::{Array, Columns, Element, Kind};
pub use check::{check_env, check_random_play, check_vector_env};
pub use env::{Action, Env, FiniteMdp, Status, Step};
pub use error::{Error, Result, check_range};
pub use event::{Event, Log, Recorder};
pub use exchange::{Exchange, Weights};
pub use mixed::{MIXED, MixedConfig, MixedTask, MixedVectorEnv};
pub use numpy::NumpyRng;
pub use picture::Picture;
pub use registry::Registry;
pub use schedule::Schedule;
pub use seed::{Rng, Seeds};
pub use space::Space;
pub use train::{Evaluation, Trainer, evaluate};
pub use vector::{Batch, EnvOptions, EnvSpec, SyncVectorEnv, VectorEnv};
pub use wrap::{Bins, ClipRewards, Discretize, wrap};

/// What the author of an environment or an agent imports.
pub mod prelude {
    pub use crate::{
        Actor, Agent, Array, BuildContext, Env, EnvSpec, Error, Event, FiniteMdp, Log, Mode,
        Registry, Result, Rng, Seeds, Space, Status, Step, Transitions, VectorEnv,
    };
    pub use rand::RngExt;
}
