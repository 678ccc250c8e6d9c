use thorndike_core::Rng;

use super::picked_up_target;
use crate::minigrid::rooms::{Rooms, grid_size};
use crate::minigrid::state::{DIRECTIONS, beside};
use crate::minigrid::{
    Action, Cell, Door, Draft, Kind, Level, Mark, MiniGridState, Mission, Outcome, level,
};

const ROOM_SIZE: usize = 6;
const LEFT: [usize; 2] = [0, 0];
const RIGHT: [usize; 2] = [1, 0];

level! {
    /// `minigrid-unlock`: open a locked door with its key.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "open the door".
    ///
    /// **Reward**: `1 - 0.9 * steps / 288` when the door is opened.
    ///
    /// **Start**: two rooms side by side, 11x6 cells, with a locked door of any colour between them; its key and the
    /// agent anywhere in the left one.
    ///
    /// **End**: terminated when the door is opened; truncated after 288 steps.
    ///
    /// **Config**: `MiniGrid-Unlock-v0`.
    ///
    /// # Reference
    /// `minigrid/envs/unlock.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    Unlock {}
}

impl Level for Unlock {
    fn reference(&self) -> &'static str {
        "MiniGrid-Unlock"
    }
    fn size(&self) -> [usize; 2] {
        grid_size(ROOM_SIZE, [2, 1])
    }
    fn max_steps(&self) -> u32 {
        8 * ROOM_SIZE.pow(2) as u32
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("open the door");
        draft.say(MISSION);
        let mut rooms = Rooms::new(draft, ROOM_SIZE, [2, 1]);
        let color = draft.color();
        let door = rooms.add_door(draft, LEFT, 0, color, Door::Locked)?;
        let cell = draft.state.grid.get(door).marked(Mark::Target);
        draft.state.grid.set(door, cell);
        rooms.place(draft, LEFT, Cell::new(Kind::Key, color))?;
        rooms.place_agent(draft, LEFT)
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        let outcome = state.act(action);
        let ahead = state.grid.get(state.ahead());
        if action == Action::Toggle && ahead.is(Mark::Target) && ahead.is_open_door() {
            return Outcome::Success;
        }
        outcome
    }
}

level! {
    /// `minigrid-unlock-pickup`: open a locked door with its key and take the box behind it.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "pick up the (colour) box".
    ///
    /// **Reward**: `1 - 0.9 * steps / 288` when the box is picked up.
    ///
    /// **Start**: as [`Unlock`], with a box of any colour anywhere in the right room.
    ///
    /// **End**: terminated when the box is picked up; truncated after 288 steps. A box that is opened is lost.
    ///
    /// **Config**: `MiniGrid-UnlockPickup-v0`.
    ///
    /// # Reference
    /// `minigrid/envs/unlockpickup.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    UnlockPickup {}
}

impl Level for UnlockPickup {
    fn reference(&self) -> &'static str {
        "MiniGrid-UnlockPickup"
    }
    fn size(&self) -> [usize; 2] {
        grid_size(ROOM_SIZE, [2, 1])
    }
    fn max_steps(&self) -> u32 {
        8 * ROOM_SIZE.pow(2) as u32
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        lay_out_pickup(draft, false)
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        picked_up_target(state, action)
    }
}

level! {
    /// `minigrid-blocked-unlock-pickup`: move the ball out of the way, open the locked door behind it with its key
    /// and take the box in the other room.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "pick up the (colour) box".
    ///
    /// **Reward**: `1 - 0.9 * steps / 576` when the box is picked up.
    ///
    /// **Start**: as [`UnlockPickup`], with a ball of any colour before the door.
    ///
    /// **End**: terminated when the box is picked up; truncated after 576 steps. A box that is opened is lost.
    ///
    /// **Config**: `MiniGrid-BlockedUnlockPickup-v0`.
    ///
    /// # Reference
    /// `minigrid/envs/blockedunlockpickup.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    BlockedUnlockPickup {}
}

impl Level for BlockedUnlockPickup {
    fn reference(&self) -> &'static str {
        "MiniGrid-BlockedUnlockPickup"
    }
    fn size(&self) -> [usize; 2] {
        grid_size(ROOM_SIZE, [2, 1])
    }
    fn max_steps(&self) -> u32 {
        16 * ROOM_SIZE.pow(2) as u32
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        lay_out_pickup(draft, true)
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        picked_up_target(state, action)
    }
}

fn lay_out_pickup(draft: &mut Draft<'_>, blocked: bool) -> Option<()> {
    const MISSION: Mission = Mission::new("pick up the");
    let mut rooms = Rooms::new(draft, ROOM_SIZE, [2, 1]);
    let target = Cell::new(Kind::Box, draft.color()).marked(Mark::Target);
    rooms.place(draft, RIGHT, target)?;
    draft.say(MISSION.then(Mission::thing(target)));
    let color = draft.color();
    let door = rooms.add_door(draft, LEFT, 0, color, Door::Locked)?;
    if blocked {
        let ball = Cell::new(Kind::Ball, draft.color());
        draft.state.grid.set(beside(door, DIRECTIONS[2]), ball);
    }
    rooms.place(draft, LEFT, Cell::new(Kind::Key, color))?;
    rooms.place_agent(draft, LEFT)
}
