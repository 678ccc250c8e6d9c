use thorndike_core::{Result, Rng, check_range};

use crate::minigrid::state::distances;
use crate::minigrid::{
    Action, Cell, Draft, Kind, Level, Mark, MiniGridState, Mission, Outcome, Place, level,
};

const MAX_SIZE: usize = 12;
const MAX_OBJECTS: usize = 12;

level! {
    /// `minigrid-put-near`: pick up one thing and put it near another.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid); nothing is hidden.
    ///
    /// **Mission**: "put the (colour) (thing) near the (colour) (thing)".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` when the first thing is dropped in one of the eight cells around where
    /// the second one was; `max_steps` is `5 * size`.
    ///
    /// **Start**: `num_objects` different keys, balls and boxes anywhere, none beside another; the agent anywhere.
    /// `places`: the second thing.
    ///
    /// **End**: terminated when another thing is picked up, and when `drop` is tried with the thing in hand; truncated
    /// after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-PutNear-6x6-N2-v0` by default; `8x8-N3` is `size = 8, num_objects = 3`.
    ///
    /// # Reference
    /// `minigrid/envs/putnear.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    PutNear {
        /// Cells of a side with its walls, 5 to 12.
        size: usize = 6,
        /// Things, 2 to as many as always find a place: one more for every 9 cells.
        num_objects: usize = 2,
    }
}

impl Level for PutNear {
    fn reference(&self) -> &'static str {
        "MiniGrid-PutNear"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 6..=MAX_SIZE)?;
        // Each thing keeps others from nine cells at most.
        let most = ((self.size - 2).pow(2) - 1) / 9 + 1;
        check_range("num_objects", self.num_objects, 2..=most)
    }
    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }
    fn max_steps(&self) -> u32 {
        5 * self.size as u32
    }
    fn sees_through_walls(&self) -> bool {
        true
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const PUT: Mission = Mission::new("put the");
        const NEAR: Mission = Mission::new("near the");
        let inside = draft.wall_in();
        let mut things = [(Cell::EMPTY, [0, 0]); MAX_OBJECTS];
        let mut count = 0;
        while count < self.num_objects {
            let thing = Cell::new(draft.pick(&Kind::CARRIED), draft.color());
            let before = &things[..count];
            if before.iter().all(|&(other, _)| other != thing) {
                let apart = |_: &MiniGridState, place| {
                    before.iter().all(|&(_, other)| !is_near(place, other))
                };
                let place = draft.place(thing, inside, apart)?;
                things[count] = (thing, place);
                count += 1;
            }
        }
        draft.place_agent(inside)?;
        let target = draft.below(count);
        let landmark = (target + 1 + draft.below(count - 1)) % count;
        let ((target, place), (landmark, landmark_place)) = (things[target], things[landmark]);
        draft.state.grid.set(place, target.marked(Mark::Target));
        draft.state.places[0] = landmark_place;
        draft.say(PUT.then(Mission::thing(target)));
        draft.say(NEAR.then(Mission::thing(landmark)));
        Some(())
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        let carried = !state.carrying.is_empty();
        let outcome = state.act(action);
        let carries = !state.carrying.is_empty();
        match action {
            Action::PickUp if carries && !state.carrying.is(Mark::Target) => Outcome::Failure,
            Action::Drop if carried => {
                let near = is_near(state.ahead(), state.places[0]);
                if near && !carries {
                    Outcome::Success
                } else {
                    Outcome::Failure
                }
            }
            _ => outcome,
        }
    }
}

fn is_near(a: Place, b: Place) -> bool {
    distances(a, b).iter().all(|&distance| distance <= 1)
}
