//! Control problems with continuous state.

mod cart_pole;

pub use cart_pole::{CartPole, CartPoleConfig, CartPoleState, Integrator};
