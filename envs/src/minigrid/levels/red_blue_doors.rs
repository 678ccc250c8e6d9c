use thorndike_core::{Result, Rng, check_range};

use crate::minigrid::{
    Action, Area, Cell, Color, Door, Draft, Level, MiniGridState, Mission, Outcome, level,
};

level! {
    /// `minigrid-red-blue-doors`: open the red door, then the blue one.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid). An agent that does not look
    /// back must remember whether it has opened the red door.
    ///
    /// **Mission**: "open the red door then the blue door".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` when the blue door is opened while the red one is open, 0 when it is
    /// closed; `max_steps` is `20 * size * size`.
    ///
    /// **Start**: a square room in the middle of `2 * size` columns, a red door anywhere in its left wall, a blue one
    /// anywhere in its right wall; the agent anywhere in it. `places`: the red door, the blue door.
    ///
    /// **End**: terminated when the blue door is opened; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-RedBlueDoors-8x8-v0` by default; `6x6` by `size`.
    ///
    /// # Reference
    /// `minigrid/envs/redbluedoors.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    RedBlueDoors {
        /// Rows, 4 to 12.
        size: usize = 8,
    }
}

impl Level for RedBlueDoors {
    fn reference(&self) -> &'static str {
        "MiniGrid-RedBlueDoors"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 4..=12)
    }
    fn size(&self) -> [usize; 2] {
        [2 * self.size, self.size]
    }
    fn max_steps(&self) -> u32 {
        20 * self.size.pow(2) as u32
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("open the red door then the blue door");
        let size = self.size as i8;
        draft.say(MISSION);
        draft.wall_in();
        let room = Area::new([size / 2, 0], [size, size]);
        draft.state.grid.wall_in(room);
        draft.place_agent(room)?;
        let columns = [size / 2, size / 2 + size - 1];
        for (i, color) in [Color::Red, Color::Blue].into_iter().enumerate() {
            let place = [columns[i], draft.between(1, size - 1)];
            draft.state.grid.set(place, Cell::door(color, Door::Closed));
            draft.state.places[i] = place;
        }
        Some(())
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        let outcome = state.act(action);
        let is_open = |i: usize| state.grid.get(state.places[i]).is_open_door();
        match (is_open(1), is_open(0)) {
            (true, true) => Outcome::Success,
            (true, false) => Outcome::Failure,
            _ => outcome,
        }
    }
}
