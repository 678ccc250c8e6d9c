use crate::minigrid::{Area, Cell, Draft, Level, Mission, level};

const SIDE: i8 = 19;

level! {
    /// `minigrid-four-rooms`: reach the goal in one of four rooms that gaps connect.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "reach the goal".
    ///
    /// **Reward**: `1 - 0.9 * steps / 100` at the goal.
    ///
    /// **Start**: 19x19 cells, one gap anywhere in each of the four inner walls; agent and goal anywhere.
    ///
    /// **End**: terminated at the goal; truncated after 100 steps.
    ///
    /// **Config**: `MiniGrid-FourRooms-v0`.
    ///
    /// # Reference
    /// `minigrid/envs/fourrooms.py`, after Sutton, Precup, Singh, *Between MDPs and semi-MDPs*, 1999. Deviations:
    /// see [`MiniGrid`](crate::minigrid::MiniGrid).
    FourRooms {}
}

impl Level for FourRooms {
    fn reference(&self) -> &'static str {
        "MiniGrid-FourRooms"
    }
    fn size(&self) -> [usize; 2] {
        [SIDE as usize; 2]
    }
    fn max_steps(&self) -> u32 {
        100
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("reach the goal");
        const MIDDLE: i8 = SIDE / 2;
        draft.say(MISSION);
        let inside = draft.wall_in();
        let grid = &mut draft.state.grid;
        grid.fill(Area::new([MIDDLE, 0], [1, SIDE]), Cell::WALL);
        grid.fill(Area::new([0, MIDDLE], [SIDE, 1]), Cell::WALL);
        for start in [0, MIDDLE] {
            let gaps = [(); 2].map(|()| draft.between(start + 1, start + MIDDLE));
            draft.state.grid.set([MIDDLE, gaps[0]], Cell::EMPTY);
            draft.state.grid.set([gaps[1], MIDDLE], Cell::EMPTY);
        }
        draft.place_agent(inside)?;
        draft.place(Cell::GOAL, inside, |_, _| true)?;
        Some(())
    }
}
