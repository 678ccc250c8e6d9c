//! The levels.

mod baby_ai;
mod crossing;
mod dist_shift;
mod door_key;
mod dynamic_obstacles;
mod empty;
mod fetch;
mod four_rooms;
mod go_to_door;
mod key_corridor;
mod lava_gap;
mod memory;
mod multi_room;
mod obstructed_maze;
mod put_near;
mod red_blue_doors;
mod unlock;

pub use baby_ai::{GoToLocal, GoToObj, GoToRedBall, PickupLoc, PutNextLocal};
pub use crossing::{Crossing, Obstacle};
pub use dist_shift::DistShift;
pub use door_key::DoorKey;
pub use dynamic_obstacles::DynamicObstacles;
pub use empty::Empty;
pub use fetch::Fetch;
pub use four_rooms::FourRooms;
pub use go_to_door::GoToDoor;
pub use key_corridor::KeyCorridor;
pub use lava_gap::LavaGap;
pub use memory::Memory;
pub use multi_room::MultiRoom;
pub use obstructed_maze::{Maze, ObstructedMaze};
pub use put_near::PutNear;
pub use red_blue_doors::RedBlueDoors;
pub use unlock::{BlockedUnlockPickup, Unlock, UnlockPickup};

use super::{Action, Mark, MiniGridState, Outcome};

/// Success when a target is picked up.
fn picked_up_target(state: &mut MiniGridState, action: Action) -> Outcome {
    let outcome = state.act(action);
    if action == Action::PickUp && state.carrying.is(Mark::Target) {
        return Outcome::Success;
    }
    outcome
}
