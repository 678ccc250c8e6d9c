//! Tiny problems that each test one ability of an agent.

mod autoencode;
mod bandit;
mod cards;
mod cart_pole_position_only;
mod catch;
mod corridor;
mod deep_sea;
mod discounting_chain;
mod memory_chain;
mod repeat_first;
mod repeat_previous;
mod t_maze;
mod umbrella_chain;

pub use autoencode::{Autoencode, AutoencodeConfig, AutoencodeState};
pub use bandit::{Bandit, BanditConfig};
pub use cards::Deck;
pub use cart_pole_position_only::{CartPolePositionOnly, CartPolePositionOnlyConfig};
pub use catch::{Catch, CatchConfig, CatchState};
pub use corridor::{Corridor, CorridorConfig};
pub use deep_sea::{DeepSea, DeepSeaConfig, DeepSeaState, TabularDeepSea};
pub use discounting_chain::{DiscountingChain, DiscountingChainConfig, DiscountingChainState};
pub use memory_chain::{MemoryChain, MemoryChainConfig, MemoryChainState};
pub use repeat_first::{RepeatFirst, RepeatFirstConfig, RepeatFirstState};
pub use repeat_previous::{RepeatPrevious, RepeatPreviousConfig, RepeatPreviousState};
pub use t_maze::{TMaze, TMazeConfig, TMazeState};
pub use umbrella_chain::{UmbrellaChain, UmbrellaChainConfig, UmbrellaChainState};
