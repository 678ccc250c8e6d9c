use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result, check_range};

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::{Area, Cell, Draft, Level, Mission, level};

level! {
    /// `minigrid-crossing`: cross rivers of lava, or walls, by the one gap in each and reach the goal.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "avoid the lava and get to the green goal square"; with walls "find the opening and get to the
    /// green goal square".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` at the goal; `max_steps` is `4 * size * size`.
    ///
    /// **Start**: the agent at the upper left, looking right, the goal at the lower right; `num_crossings` rivers
    /// across every other row or column, crossed in any order.
    ///
    /// **End**: terminated at the goal, and in lava, without reward; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-LavaCrossingS9N1-v0` by default; `S9N2`, `S9N3` by `num_crossings`, `S11N5` by
    /// `size = 11, num_crossings = 5`; `SimpleCrossing` of the same names by `obstacle = "wall"`.
    ///
    /// # Reference
    /// `minigrid/envs/crossing.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    Crossing {
        /// Cells of a side with its walls, odd, 5 to 25.
        size: usize = 9,
        /// Rivers, 1 to `size - 3`.
        num_crossings: usize = 1,
        /// What the rivers are made of.
        obstacle: Obstacle = Obstacle::Lava,
    }
}

/// What stands between the agent and the goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// Ends the episode.
    Lava,
    /// Stops the agent and hides what lies behind.
    Wall,
}

/// Most rivers in one direction.
const MAX_RIVERS: usize = (MAX_SIDE - 3) / 2;

impl Level for Crossing {
    fn reference(&self) -> &'static str {
        "MiniGrid-LavaCrossing, MiniGrid-SimpleCrossing"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 5..=MAX_SIDE)?;
        if self.size.is_multiple_of(2) {
            let what = format!("{} is even; give an odd number", self.size);
            return Err(Error::config("size", what));
        }
        check_range("num_crossings", self.num_crossings, 1..=self.size - 3)
    }
    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }
    fn max_steps(&self) -> u32 {
        4 * self.size.pow(2) as u32
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const LAVA: Mission = Mission::new("avoid the lava and get to the green goal square");
        const WALL: Mission = Mission::new("find the opening and get to the green goal square");
        let (mission, cell) = match self.obstacle {
            Obstacle::Lava => (LAVA, Cell::LAVA),
            Obstacle::Wall => (WALL, Cell::WALL),
        };
        let size = self.size as i8;
        draft.say(mission);
        draft.wall_in();
        draft.state.position = [1, 1];
        draft.state.grid.set([size - 2; 2], Cell::GOAL);

        let rivers = self.draw_rivers(draft);
        for [column, row] in rivers {
            // Those that are not there lie in the outer wall.
            if column > 0 {
                draft
                    .state
                    .grid
                    .fill(Area::new([column, 1], [1, size - 2]), cell);
            }
            if row > 0 {
                draft
                    .state
                    .grid
                    .fill(Area::new([1, row], [size - 2, 1]), cell);
            }
        }
        self.open_path(draft, rivers);
        Some(())
    }
}

impl Crossing {
    /// Columns and rows of rivers, `[column, row]`, ascending; 0 where there is none.
    fn draw_rivers(&self, draft: &mut Draft<'_>) -> [[i8; 2]; MAX_RIVERS] {
        let each = (self.size - 3) / 2;
        let mut order: [usize; 2 * MAX_RIVERS] = std::array::from_fn(|i| i);
        draft.shuffle(&mut order[..2 * each]);
        let mut rivers = [[0; 2]; MAX_RIVERS];
        for &river in &order[..self.num_crossings] {
            rivers[river % each][river / each] = 2 * (river % each) as i8 + 2;
        }
        rivers
    }

    /// Opens one gap in each river along a path of rooms to the lower right.
    fn open_path(&self, draft: &mut Draft<'_>, rivers: [[i8; 2]; MAX_RIVERS]) {
        // Ends of the room that the path has come to; which river comes next is drawn.
        let mut steps = [0; 2 * MAX_RIVERS];
        let crossed = |axis: usize| rivers.iter().filter(move |river| river[axis] > 0);
        let columns = crossed(0).count();
        steps[columns..self.num_crossings].fill(1);
        draft.shuffle(&mut steps[..self.num_crossings]);
        let mut room = [0, 0];
        for &axis in &steps[..self.num_crossings] {
            let next = |axis: usize, room: [i8; 2]| {
                let ahead = crossed(axis).map(|river| river[axis]);
                ahead
                    .filter(|&river| river > room[axis])
                    .min()
                    .unwrap_or(self.size as i8 - 1)
            };
            let other = 1 - axis;
            let mut gap = [0; 2];
            gap[axis] = next(axis, room);
            gap[other] = draft.between(room[other] + 1, next(other, room));
            draft.state.grid.set(gap, Cell::EMPTY);
            room[axis] = gap[axis];
        }
    }
}
