//! Native reinforcement-learning environments.
//!
//! - [`arcade`]: the five games of MinAtar, seen as planes of cells;
//! - [`box2d`]: worlds of rigid bodies;
//! - [`classic`]: control problems with continuous state;
//! - [`grid`]: grid worlds whose dynamics are known as a table;
//! - [`minigrid`]: levels of MiniGrid and BabyAI, seen from within and with a mission in words;
//! - [`probe`]: tiny problems that each test one ability of an agent;
//! - [`senses`]: problems seen as pictures or read as text;
//! - [`table`]: other problems whose dynamics are known as a table.
//!
//! Dynamics, rewards and time limits are those of Gymnasium, bsuite, POPGym, MinAtar and MiniGrid where they have
//! the problem, and are checked against recorded episodes of them. Each environment's page says in this order:
//! what it is, its actions, its observations, its rewards, how episodes start and end, its configuration, and its
//! reference.
//!
//! To add an environment: one file in the folder where it belongs, and one line in [`register`].
//!
//! ```
//! use thorndike_core::{EnvOptions, Registry, Seeds};
//! let registry = thorndike_envs::register(Registry::new());
//! let params = serde_json::json!({ "map": "8x8", "slippery": false });
//! let options = EnvOptions { num_envs: 4, ..EnvOptions::default() };
//! let envs = registry.make_envs("frozen-lake", &params, &options, Seeds::new(1)).unwrap();
//! assert_eq!(envs.spec().num_states("me").unwrap(), 64);
//! ```

pub mod arcade;
mod block;
pub mod box2d;
pub mod canvas;
pub mod classic;
pub mod grid;
mod math;
pub mod minigrid;
pub mod probe;
#[cfg(test)]
mod score;
pub mod senses;
pub mod table;

use minigrid::MiniGrid;
use thorndike_core::Registry;

/// Adds every environment of this crate to `registry`.
pub fn register(registry: Registry) -> Registry {
    registry
        .env("acrobot", classic::Acrobot::new)
        .env("autoencode", probe::Autoencode::new)
        .env("babyai-go-to-local", MiniGrid::new::<minigrid::GoToLocal>)
        .env("babyai-go-to-obj", MiniGrid::new::<minigrid::GoToObj>)
        .env(
            "babyai-go-to-red-ball",
            MiniGrid::new::<minigrid::GoToRedBall>,
        )
        .env("babyai-pickup-loc", MiniGrid::new::<minigrid::PickupLoc>)
        .env(
            "babyai-put-next-local",
            MiniGrid::new::<minigrid::PutNextLocal>,
        )
        .finite_env("bandit", probe::Bandit::new)
        .finite_env("blackjack", table::Blackjack::new)
        .env("cart-pole", classic::CartPole::new)
        .env("cart-pole-bins", classic::cart_pole_bins)
        .env("cart-pole-pixels", senses::CartPolePixels::new)
        .env("cart-pole-position-only", probe::CartPolePositionOnly::new)
        .env("catch", probe::Catch::new)
        .finite_env("cliff-walking", grid::CliffWalking::new)
        .finite_env("corridor", probe::Corridor::new)
        .env("deep-sea", probe::DeepSea::new)
        .finite_env("deep-sea-tabular", probe::TabularDeepSea::new)
        .env("digit-maze", senses::DigitMaze::new)
        .env("discounting-chain", probe::DiscountingChain::new)
        .finite_env("frozen-lake", grid::FrozenLake::new)
        .finite_env("garnet", table::Garnet::new)
        .finite_env("gridworld", grid::GridWorld::new)
        .env("lunar-lander", box2d::LunarLander::new)
        .env("lunar-lander-continuous", box2d::LunarLanderContinuous::new)
        .env("memory-chain", probe::MemoryChain::new)
        .env("minatar-asterix", arcade::MinAtar::<arcade::Asterix>::new)
        .env("minatar-breakout", arcade::MinAtar::<arcade::Breakout>::new)
        .env("minatar-freeway", arcade::MinAtar::<arcade::Freeway>::new)
        .env("minatar-seaquest", arcade::MinAtar::<arcade::Seaquest>::new)
        .env(
            "minatar-space-invaders",
            arcade::MinAtar::<arcade::SpaceInvaders>::new,
        )
        .env(
            "minigrid-blocked-unlock-pickup",
            MiniGrid::new::<minigrid::BlockedUnlockPickup>,
        )
        .env("minigrid-crossing", MiniGrid::new::<minigrid::Crossing>)
        .env("minigrid-dist-shift", MiniGrid::new::<minigrid::DistShift>)
        .env("minigrid-door-key", MiniGrid::new::<minigrid::DoorKey>)
        .env(
            "minigrid-dynamic-obstacles",
            MiniGrid::new::<minigrid::DynamicObstacles>,
        )
        .env("minigrid-empty", MiniGrid::new::<minigrid::Empty>)
        .env("minigrid-fetch", MiniGrid::new::<minigrid::Fetch>)
        .env("minigrid-four-rooms", MiniGrid::new::<minigrid::FourRooms>)
        .env("minigrid-go-to-door", MiniGrid::new::<minigrid::GoToDoor>)
        .env(
            "minigrid-key-corridor",
            MiniGrid::new::<minigrid::KeyCorridor>,
        )
        .env("minigrid-lava-gap", MiniGrid::new::<minigrid::LavaGap>)
        .env("minigrid-memory", MiniGrid::new::<minigrid::Memory>)
        .env("minigrid-multi-room", MiniGrid::new::<minigrid::MultiRoom>)
        .env(
            "minigrid-obstructed-maze",
            MiniGrid::new::<minigrid::ObstructedMaze>,
        )
        .env("minigrid-put-near", MiniGrid::new::<minigrid::PutNear>)
        .env(
            "minigrid-red-blue-doors",
            MiniGrid::new::<minigrid::RedBlueDoors>,
        )
        .env("minigrid-unlock", MiniGrid::new::<minigrid::Unlock>)
        .env(
            "minigrid-unlock-pickup",
            MiniGrid::new::<minigrid::UnlockPickup>,
        )
        .env("mountain-car", classic::MountainCar::new)
        .env("mountain-car-bins", classic::mountain_car_bins)
        .env(
            "mountain-car-continuous",
            classic::MountainCarContinuous::new,
        )
        .env("mountain-car-pixels", senses::MountainCarPixels::new)
        .env("pendulum", classic::Pendulum::new)
        .env("repeat-first", probe::RepeatFirst::new)
        .env("repeat-previous", probe::RepeatPrevious::new)
        .env("spot", senses::Spot::new)
        .env("t-maze", probe::TMaze::new)
        .finite_env("taxi", grid::Taxi::new)
        .env("taxi-fickle", grid::FickleTaxi::new)
        .env("text-world", senses::TextWorld::new)
        .env("umbrella-chain", probe::UmbrellaChain::new)
}
