use thorndike_core::{Result, Rng, check_range};

use super::{MAX_OBJECTS, ONLY_ROOM, Things, all_in_reach, article, most_things};
use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::rooms::Rooms;
use crate::minigrid::{
    Action, Cell, Color, Draft, Kind, Level, Mark, MiniGridState, Mission, Outcome, level,
};

/// Asks to go to one of the things that look like `target`.
fn ask_to_go(draft: &mut Draft<'_>, target: Cell) {
    const GO_TO: Mission = Mission::new("go to");
    draft
        .state
        .grid
        .mark(Mark::Target, |cell| cell.looks_like(target));
    let article = article(&draft.state.grid, Mark::Target);
    draft.say(GO_TO.then(article).then(Mission::thing(target)));
}

/// What the levels have alike: one square room, and success when a target is ahead, whatever was done.
macro_rules! goes_to_target {
    () => {
        fn size(&self) -> [usize; 2] {
            [self.room_size; 2]
        }
        fn max_steps(&self) -> u32 {
            self.room_size.pow(2) as u32
        }
        fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
            let outcome = state.act(action);
            if state.grid.get(state.ahead()).is(Mark::Target) {
                return Outcome::Success;
            }
            outcome
        }
    };
}

level! {
    /// `babyai-go-to-obj`: go to the only thing in the room.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "go to the (colour) (thing)".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` when the agent looks at the thing from the cell beside it; `max_steps`
    /// is `room_size * room_size`.
    ///
    /// **Start**: one key, ball or box of any colour anywhere but beside the agent; the agent anywhere.
    ///
    /// **End**: terminated by success; truncated after `max_steps` steps.
    ///
    /// **Config**: `BabyAI-GoToObj-v0` by default; `GoToObjS4-v0` and `GoToObjS6-v1` by `room_size`.
    ///
    /// # Reference
    /// Chevalier-Boisvert et al., *BabyAI: A Platform to Study the Sample Efficiency of Grounded Language Learning*,
    /// 2019; `minigrid/envs/babyai/goto.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    GoToObj {
        /// Cells of a side with its walls, 4 to 25.
        room_size: usize = 8,
    }
}

impl Level for GoToObj {
    goes_to_target!();

    fn reference(&self) -> &'static str {
        "BabyAI-GoToObj"
    }
    fn check(&self) -> Result<()> {
        check_range("room_size", self.room_size, 4..=MAX_SIDE)
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        let rooms = Rooms::new(draft, self.room_size, [1, 1]);
        rooms.place_agent(draft, ONLY_ROOM)?;
        let things = Things::draw(draft, &rooms, 1, true)?;
        ask_to_go(draft, things.cells[0].0);
        Some(())
    }
}

level! {
    /// `babyai-go-to-red-ball`: go to the red ball among other things.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "go to the red ball"; "go to a red ball" if there are several.
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` when the agent looks at a red ball from the cell beside it; `max_steps`
    /// is `room_size * room_size`.
    ///
    /// **Start**: the agent anywhere; a red ball and `num_distractors` keys, balls and boxes of any colours, or grey,
    /// anywhere but beside it, all of them in reach.
    ///
    /// **End**: terminated by success; truncated after `max_steps` steps.
    ///
    /// **Config**: `BabyAI-GoToRedBall-v0` by default; `GoToRedBallGrey-v0` by `grey = true`, `GoToRedBallNoDists-v0` by
    /// `num_distractors = 0`.
    ///
    /// # Reference
    /// As [`GoToObj`].
    GoToRedBall {
        /// Cells of a side with its walls, 5 to 25.
        room_size: usize = 8,
        /// Other things, 0 to a third of the cells less one, and 35 at most.
        num_distractors: usize = 7,
        /// Whether all other things are grey.
        grey: bool = false,
    }
}

impl Level for GoToRedBall {
    goes_to_target!();

    fn reference(&self) -> &'static str {
        "BabyAI-GoToRedBall"
    }
    fn check(&self) -> Result<()> {
        check_range("room_size", self.room_size, 5..=MAX_SIDE)?;
        let most = most_things(self.room_size, MAX_OBJECTS) - 1;
        check_range("num_distractors", self.num_distractors, 0..=most)
    }
    fn has_one_mission(&self) -> bool {
        self.grey || self.num_distractors == 0
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const RED_BALL: Cell = Cell::new(Kind::Ball, Color::Red);
        let rooms = Rooms::new(draft, self.room_size, [1, 1]);
        rooms.place_agent(draft, ONLY_ROOM)?;
        let place = rooms.place(draft, ONLY_ROOM, RED_BALL)?;
        let things = Things::draw(draft, &rooms, self.num_distractors, false)?;
        if self.grey {
            for &(thing, place) in things.all() {
                let grey = Cell::new(thing.kind(), Color::Grey);
                draft.state.grid.set(place, grey);
            }
        }
        debug_assert_eq!(draft.state.grid.get(place), RED_BALL);
        ask_to_go(draft, RED_BALL);
        all_in_reach(&draft.state).then_some(())
    }
}

level! {
    /// `babyai-go-to-local`: go to the thing that the mission names, among others.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "go to the (colour) (thing)"; "go to a" if there are several such things.
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` when the agent looks at such a thing from the cell beside it;
    /// `max_steps` is `room_size * room_size`.
    ///
    /// **Start**: the agent anywhere; `num_objects` keys, balls and boxes of any colours, several may be alike,
    /// anywhere but beside it, all of them in reach.
    ///
    /// **End**: terminated by success; truncated after `max_steps` steps.
    ///
    /// **Config**: `BabyAI-GoToLocal-v0` by default; `GoToLocalS5N2-v0` is `room_size = 5, num_objects = 2`, and so on
    /// for `S6N2` to `S8N7`.
    ///
    /// # Reference
    /// As [`GoToObj`].
    GoToLocal {
        /// Cells of a side with its walls, 5 to 25.
        room_size: usize = 8,
        /// Things, 1 to a third of the cells, and 36 at most.
        num_objects: usize = 8,
    }
}

impl Level for GoToLocal {
    goes_to_target!();

    fn reference(&self) -> &'static str {
        "BabyAI-GoToLocal"
    }
    fn check(&self) -> Result<()> {
        check_range("room_size", self.room_size, 5..=MAX_SIDE)?;
        let most = most_things(self.room_size, MAX_OBJECTS);
        check_range("num_objects", self.num_objects, 1..=most)
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        let rooms = Rooms::new(draft, self.room_size, [1, 1]);
        rooms.place_agent(draft, ONLY_ROOM)?;
        let things = Things::draw(draft, &rooms, self.num_objects, false)?;
        let (target, _) = draft.pick(things.all());
        ask_to_go(draft, target);
        all_in_reach(&draft.state).then_some(())
    }
}
