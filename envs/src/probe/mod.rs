//! Tiny problems that each test one ability of an agent.

mod corridor;

pub use corridor::{Corridor, CorridorConfig};
