//! Tiny problems that each test one ability of an agent.

mod bandit;
mod catch;
mod corridor;
mod deep_sea;
mod memory_chain;

pub use bandit::{Bandit, BanditConfig};
pub use catch::{Catch, CatchConfig, CatchState};
pub use corridor::{Corridor, CorridorConfig};
pub use deep_sea::{DeepSea, DeepSeaConfig, DeepSeaState, TabularDeepSea};
pub use memory_chain::{MemoryChain, MemoryChainConfig, MemoryChainState};
