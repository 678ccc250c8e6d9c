use thorndike_core::{Result, Rng, check_range};

use super::{MAX_DIFFERENT, ONLY_ROOM, Things, all_in_reach, most_things};
use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::rooms::Rooms;
use crate::minigrid::state::{DIRECTIONS, beside};
use crate::minigrid::{Action, Draft, Level, Mark, MiniGridState, Mission, Outcome, Place, level};

level! {
    /// `babyai-put-next-local`: pick up one thing and put it next to another.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "put the (colour) (thing) next to the (colour) (thing)".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` when the first thing is dropped in one of the four cells beside the
    /// second one; `max_steps` is `2 * room_size * room_size`.
    ///
    /// **Start**: the agent anywhere; `num_objects` different keys, balls and boxes anywhere but beside it, all of them
    /// in reach, the two of the mission not next to each other.
    ///
    /// **End**: terminated by success; truncated after `max_steps` steps.
    ///
    /// **Config**: `BabyAI-PutNextLocal-v0` by default; `PutNextLocalS5N3-v0` is `room_size = 5, num_objects = 3`,
    /// `S6N4-v0` is `room_size = 6, num_objects = 4`.
    ///
    /// # Reference
    /// `minigrid/envs/babyai/putnext.py`; paper as [`GoToObj`](crate::minigrid::GoToObj).
    PutNextLocal {
        /// Cells of a side with its walls, 5 to 25.
        room_size: usize = 8,
        /// Things, 2 to a third of the cells, and 18 at most.
        num_objects: usize = 8,
    }
}

impl Level for PutNextLocal {
    fn reference(&self) -> &'static str {
        "BabyAI-PutNextLocal"
    }
    fn check(&self) -> Result<()> {
        check_range("room_size", self.room_size, 5..=MAX_SIDE)?;
        let most = most_things(self.room_size, MAX_DIFFERENT);
        check_range("num_objects", self.num_objects, 2..=most)
    }
    fn size(&self) -> [usize; 2] {
        [self.room_size; 2]
    }
    fn max_steps(&self) -> u32 {
        2 * self.room_size.pow(2) as u32
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const PUT_THE: Mission = Mission::new("put the");
        const NEXT_TO_THE: Mission = Mission::new("next to the");
        let rooms = Rooms::new(draft, self.room_size, [1, 1]);
        rooms.place_agent(draft, ONLY_ROOM)?;
        let things = Things::draw(draft, &rooms, self.num_objects, true)?;
        let target = draft.below(things.count);
        let landmark = (target + 1 + draft.below(things.count - 1)) % things.count;
        let (target, target_place) = things.cells[target];
        let (landmark, landmark_place) = things.cells[landmark];
        let grid = &mut draft.state.grid;
        grid.set(target_place, target.marked(Mark::Target));
        grid.set(landmark_place, landmark.marked(Mark::Landmark));
        draft.say(PUT_THE.then(Mission::thing(target)));
        draft.say(NEXT_TO_THE.then(Mission::thing(landmark)));
        let apart = DIRECTIONS
            .iter()
            .all(|&step| beside(target_place, step) != landmark_place);
        (apart && all_in_reach(&draft.state)).then_some(())
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        let target = state.carrying.is(Mark::Target);
        let outcome = state.act(action);
        let dropped = action == Action::Drop && target && state.carrying.is_empty();
        let ahead = state.ahead();
        let next_to = |&step: &Place| state.grid.get(beside(ahead, step)).is(Mark::Landmark);
        if dropped && DIRECTIONS.iter().any(next_to) {
            return Outcome::Success;
        }
        outcome
    }
}
