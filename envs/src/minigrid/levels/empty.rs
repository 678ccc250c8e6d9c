use thorndike_core::{Result, check_range};

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::{Cell, Draft, Level, Mission, level};

level! {
    /// `minigrid-empty`: reach the goal in the lower right corner of an empty room.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid); nothing is hidden.
    ///
    /// **Mission**: "get to the green goal square".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` at the goal; `max_steps` is `4 * size * size`.
    ///
    /// **Start**: the agent at the upper left, looking right; with `random_start` anywhere, looking anywhere.
    ///
    /// **End**: terminated at the goal; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-Empty-8x8-v0` by default; `5x5`, `6x6` and `16x16` by `size`, `Empty-Random-5x5-v0`
    /// and `Random-6x6` by `random_start = true` beside it.
    ///
    /// # Reference
    /// `minigrid/envs/empty.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    Empty {
        /// Cells of a side with its walls, 4 to 25.
        size: usize = 8,
        /// Whether the agent starts anywhere.
        random_start: bool = false,
    }
}

impl Level for Empty {
    fn reference(&self) -> &'static str {
        "MiniGrid-Empty"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 4..=MAX_SIDE)
    }
    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }
    fn max_steps(&self) -> u32 {
        4 * self.size.pow(2) as u32
    }
    fn sees_through_walls(&self) -> bool {
        true
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("get to the green goal square");
        draft.say(MISSION);
        let inside = draft.wall_in();
        draft.state.grid.set([self.size as i8 - 2; 2], Cell::GOAL);
        draft.state.position = [1, 1];
        if self.random_start {
            draft.place_agent(inside)?;
        }
        Some(())
    }
}
