use thorndike_core::{Result, check_range};

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::{Area, Cell, Draft, Level, Mission, level};

level! {
    /// `minigrid-lava-gap`: pass the one gap in a strip of lava and reach the goal.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "avoid the lava and get to the green goal square".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` at the goal; `max_steps` is `4 * size * size`.
    ///
    /// **Start**: the agent at the upper left, looking right, the goal at the lower right; a column of lava
    /// anywhere between, with a gap anywhere in it.
    ///
    /// **End**: terminated at the goal, and in lava, without reward; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-LavaGapS7-v0` by default; `S5` and `S6` by `size`.
    ///
    /// # Reference
    /// `minigrid/envs/lavagap.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    LavaGap {
        /// Cells of a side with its walls, 5 to 25.
        size: usize = 7,
    }
}

impl Level for LavaGap {
    fn reference(&self) -> &'static str {
        "MiniGrid-LavaGap"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 5..=MAX_SIDE)
    }
    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }
    fn max_steps(&self) -> u32 {
        4 * self.size.pow(2) as u32
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("avoid the lava and get to the green goal square");
        let size = self.size as i8;
        draft.say(MISSION);
        draft.wall_in();
        draft.state.position = [1, 1];
        draft.state.grid.set([size - 2; 2], Cell::GOAL);
        let gap = [draft.between(2, size - 2), draft.between(1, size - 1)];
        let strip = Area::new([gap[0], 1], [1, size - 2]);
        draft.state.grid.fill(strip, Cell::LAVA);
        draft.state.grid.set(gap, Cell::EMPTY);
        Some(())
    }
}
