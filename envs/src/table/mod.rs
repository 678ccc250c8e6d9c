//! Problems that are no grid, and whose dynamics are known all the same.

mod blackjack;
mod garnet;

pub use blackjack::{Blackjack, BlackjackConfig, BlackjackState};
pub use garnet::{Garnet, GarnetConfig};
