//! Worlds of rigid bodies.

mod lunar_lander;
mod physics;

pub use lunar_lander::{
    LunarLander, LunarLanderBody, LunarLanderConfig, LunarLanderContinuous, LunarLanderDraws,
    LunarLanderState,
};
