//! MiniGrid and BabyAI: an agent that sees only what lies before it, in a grid of rooms, doors and things, with a
//! mission in words.
//!
//! [`MiniGrid`] is the engine and says what all levels share; every level has a page of its own, such as
//! [`DoorKey`], and is its own configuration.
//!
//! To add one: a file in `levels` with `level!` for its options and [`Level`] for its layout and what it asks for,
//! and a line in [`register`](crate::register). A level of one's own outside this crate is any type with
//! [`Configured`] and [`Level`]:
//!
//! ```
//! use thorndike_core::check_env;
//! use thorndike_envs::minigrid::{Cell, Configured, Draft, Level, MiniGrid, Mission, Shown};
//!
//! /// Two goals, one of them behind the agent.
//! #[derive(Clone, Debug)]
//! struct TwoGoals;
//! impl Configured for TwoGoals {
//!     fn shown(&self) -> Shown { Shown { full_view: false, mission: true } }
//! }
//! impl Level for TwoGoals {
//!     fn size(&self) -> [usize; 2] { [9, 3] }
//!     fn max_steps(&self) -> u32 { 30 }
//!     fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
//!         draft.say(Mission::new("go to the goal"));
//!         let inside = draft.wall_in();
//!         draft.place_agent(inside)?;
//!         for _ in 0..2 {
//!             draft.place(Cell::GOAL, inside, |_, _| true)?;
//!         }
//!         Some(())
//!     }
//! }
//! check_env(MiniGrid::new(&TwoGoals).unwrap()).unwrap();
//! ```

mod cell;
mod draft;
mod draw;
mod env;
mod grid;
mod levels;
mod mission;
mod rooms;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use cell::{Cell, Color, Door, Kind, Mark};
pub use draft::Draft;
pub use env::{Configured, Level, MiniGrid, Shown};
pub use grid::{Area, Grid, MAX_SIDE, Place};
pub use levels::{
    BlockedUnlockPickup, Crossing, DistShift, DoorKey, DynamicObstacles, Empty, Fetch, FourRooms,
    GoToDoor, GoToLocal, GoToObj, GoToRedBall, KeyCorridor, LavaGap, Maze, Memory, MultiRoom,
    Obstacle, ObstructedMaze, PickupLoc, PutNear, PutNextLocal, RedBlueDoors, Unlock, UnlockPickup,
};
pub use mission::{MISSION_WORDS, Mission, VOCABULARY};
pub use state::{Action, MAX_PLACES, MiniGridState, Outcome};
pub use view::VIEW_SIDE;

use env::level;
