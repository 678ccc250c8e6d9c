use thorndike_core::{Result, Rng, check_range};

use super::picked_up_target;
use crate::minigrid::rooms::{Rooms, grid_size};
use crate::minigrid::{
    Action, Cell, Door, Draft, Kind, Level, Mark, MiniGridState, Mission, Outcome, level,
};

level! {
    /// `minigrid-key-corridor`: find the key in the rooms on one side of a corridor and take the ball that it locks up
    /// on the other side.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "pick up the (colour) ball".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` when the ball is picked up; `max_steps` is `30 * room_size * room_size`.
    ///
    /// **Start**: three columns of rooms, of which the middle one is a corridor. One of the right rooms is locked and
    /// has the ball, of any colour; its key is in one of the left rooms. Closed doors are added until every room can be
    /// reached. The agent is in the middle of the corridor.
    ///
    /// **End**: terminated when the ball is picked up; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-KeyCorridorS6R3-v0` by default; `S3R1` is `room_size = 3, num_rows = 1`, and so on for
    /// `S3R2`, `S3R3`, `S4R3`, `S5R3`.
    ///
    /// # Reference
    /// `minigrid/envs/keycorridor.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    KeyCorridor {
        /// Cells of a room's side with its walls, 3 to 9.
        room_size: usize = 6,
        /// Rows of rooms, 1 to 3.
        num_rows: usize = 3,
    }
}

impl Level for KeyCorridor {
    fn reference(&self) -> &'static str {
        "MiniGrid-KeyCorridor"
    }
    fn check(&self) -> Result<()> {
        check_range("room_size", self.room_size, 3..=9)?;
        check_range("num_rows", self.num_rows, 1..=3)
    }
    fn size(&self) -> [usize; 2] {
        grid_size(self.room_size, [3, self.num_rows])
    }
    fn max_steps(&self) -> u32 {
        30 * self.room_size.pow(2) as u32
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("pick up the");
        let mut rooms = Rooms::new(draft, self.room_size, [3, self.num_rows]);
        for row in 1..self.num_rows {
            rooms.remove_wall(draft, [1, row], 3);
        }
        let locked = [2, draft.below(self.num_rows)];
        let color = draft.color();
        rooms.add_door(draft, locked, 2, color, Door::Locked)?;
        let ball = Cell::new(Kind::Ball, draft.color()).marked(Mark::Target);
        rooms.place(draft, locked, ball)?;
        draft.say(MISSION.then(Mission::thing(ball)));
        let left = [0, draft.below(self.num_rows)];
        rooms.place(draft, left, Cell::new(Kind::Key, color))?;
        let middle = [1, self.num_rows / 2];
        rooms.place_agent(draft, middle)?;
        rooms.connect_all(draft, middle)
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        picked_up_target(state, action)
    }
}
