use thorndike_core::{Result, Rng, check_range};

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::{
    Action, Cell, Draft, Kind, Level, Mark, MiniGridState, Mission, Outcome, level,
};

level! {
    /// `minigrid-fetch`: pick up the thing that the mission names, and no other.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid); nothing is hidden.
    ///
    /// **Mission**: "get a", "go get a", "fetch a", "go fetch a" or "you must fetch a", then "(colour) key" or
    /// "(colour) ball".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` for such a thing, 0 for another; `max_steps` is `5 * size * size`.
    ///
    /// **Start**: `num_objects` keys and balls of any colours anywhere, several may be alike; the agent anywhere.
    ///
    /// **End**: terminated when something is picked up; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-Fetch-8x8-N3-v0` by default; `5x5-N2` and `6x6-N2` by `size` and `num_objects`.
    ///
    /// # Reference
    /// `minigrid/envs/fetch.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    Fetch {
        /// Cells of a side with its walls, 5 to 25.
        size: usize = 8,
        /// Things, 1 to 8.
        num_objects: usize = 3,
    }
}

impl Level for Fetch {
    fn reference(&self) -> &'static str {
        "MiniGrid-Fetch"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 5..=MAX_SIDE)?;
        check_range("num_objects", self.num_objects, 1..=8)
    }
    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }
    fn max_steps(&self) -> u32 {
        5 * self.size.pow(2) as u32
    }
    fn sees_through_walls(&self) -> bool {
        true
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSIONS: [Mission; 5] = [
            Mission::new("get a"),
            Mission::new("go get a"),
            Mission::new("fetch a"),
            Mission::new("go fetch a"),
            Mission::new("you must fetch a"),
        ];
        let inside = draft.wall_in();
        let asked = draft.below(self.num_objects);
        let mut target = Cell::EMPTY;
        for i in 0..self.num_objects {
            let kind = draft.pick(&[Kind::Key, Kind::Ball]);
            let thing = Cell::new(kind, draft.color());
            draft.place(thing, inside, |_, _| true)?;
            if i == asked {
                target = thing;
            }
        }
        draft.place_agent(inside)?;
        draft.state.grid.mark(Mark::Target, |cell| cell == target);
        let mission = draft.pick(&MISSIONS);
        draft.say(mission.then(Mission::thing(target)));
        Some(())
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        let outcome = state.act(action);
        if state.carrying.is_empty() {
            outcome
        } else if state.carrying.is(Mark::Target) {
            Outcome::Success
        } else {
            Outcome::Failure
        }
    }
}
