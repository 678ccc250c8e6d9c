use thorndike_core::{Result, check_range};

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::{Area, Cell, Color, Door, Draft, Kind, Level, Mission, level};

level! {
    /// `minigrid-door-key`: take the key, open the door with it, and reach the goal behind it.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "use the key to open the door and then get to the goal".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` at the goal; `max_steps` is `10 * size * size`.
    ///
    /// **Start**: a wall anywhere parts the room into left and right; in it a locked yellow door, left of it the
    /// yellow key and the agent, in the lower right corner the goal.
    ///
    /// **End**: terminated at the goal; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-DoorKey-8x8-v0` by default; `5x5`, `6x6` and `16x16` by `size`.
    ///
    /// # Reference
    /// `minigrid/envs/doorkey.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    DoorKey {
        /// Cells of a side with its walls, 5 to 25.
        size: usize = 8,
    }
}

impl Level for DoorKey {
    fn reference(&self) -> &'static str {
        "MiniGrid-DoorKey"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 5..=MAX_SIDE)
    }
    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }
    fn max_steps(&self) -> u32 {
        10 * self.size.pow(2) as u32
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission =
            Mission::new("use the key to open the door and then get to the goal");
        let size = self.size as i8;
        draft.say(MISSION);
        draft.wall_in();
        draft.state.grid.set([size - 2; 2], Cell::GOAL);
        let wall = draft.between(2, size - 2);
        draft
            .state
            .grid
            .fill(Area::new([wall, 0], [1, size]), Cell::WALL);
        let left = Area::new([0, 0], [wall, size]);
        draft.place_agent(left)?;
        let row = draft.between(1, size - 2);
        let door = Cell::door(Color::Yellow, Door::Locked);
        draft.state.grid.set([wall, row], door);
        draft.place(Cell::new(Kind::Key, Color::Yellow), left, |_, _| true)?;
        Some(())
    }
}
