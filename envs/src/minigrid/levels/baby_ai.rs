//! BabyAI levels of one room.

use thorndike_core::{Result, Rng, check_range};

use super::picked_up_target;
use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::rooms::Rooms;
use crate::minigrid::state::{DIRECTIONS, beside};
use crate::minigrid::{
    Action, Cell, Color, Draft, Grid, Kind, Level, Mark, MiniGridState, Mission, Outcome, Place,
    level,
};

const ONLY_ROOM: [usize; 2] = [0, 0];
/// Different things: three kinds, six colours.
const MAX_DIFFERENT: usize = 18;
/// Most things in any level of one room.
const MAX_OBJECTS: usize = 36;
/// Draws of a description before the layout is given up.
const TRIES: usize = 101;

/// Most things in a room, so that there are ways between them without many draws; `most` at most.
fn most_things(room_size: usize, most: usize) -> usize {
    ((room_size - 2).pow(2) / 3).min(most)
}

/// Things in the room: any, or all different.
#[derive(Clone, Copy)]
struct Things {
    cells: [(Cell, Place); MAX_OBJECTS],
    count: usize,
}

impl Things {
    fn draw(draft: &mut Draft<'_>, rooms: &Rooms, count: usize, different: bool) -> Option<Self> {
        let mut things = Self {
            cells: [(Cell::EMPTY, [0, 0]); MAX_OBJECTS],
            count: 0,
        };
        while things.count < count {
            let thing = Cell::new(draft.pick(&Kind::CARRIED), draft.color());
            if different && things.all().iter().any(|&(other, _)| other == thing) {
                continue;
            }
            let place = rooms.place(draft, ONLY_ROOM, thing)?;
            things.cells[things.count] = (thing, place);
            things.count += 1;
        }
        Some(things)
    }

    fn all(&self) -> &[(Cell, Place)] {
        &self.cells[..self.count]
    }
}

/// Whether the agent can come beside every thing without moving any.
fn all_in_reach(state: &MiniGridState) -> bool {
    let grid = &state.grid;
    let mut reached = [[false; MAX_SIDE]; MAX_SIDE];
    let mut mark = |[x, y]: Place| {
        let cell = reached
            .get_mut(y as usize)
            .and_then(|row| row.get_mut(x as usize));
        cell.is_some_and(|cell| !std::mem::replace(cell, true))
    };
    let mut waiting = [[0; 2]; MAX_SIDE * MAX_SIDE];
    let (mut next, mut end) = (0, 1);
    waiting[0] = state.position;
    mark(state.position);
    while next < end {
        for step in DIRECTIONS {
            let place = beside(waiting[next], step);
            if mark(place) && grid.get(place).is_empty() {
                waiting[end] = place;
                end += 1;
            }
        }
        next += 1;
    }
    grid.places().all(|[x, y]| {
        let cell = grid.get([x, y]);
        cell.is_empty() || cell.kind() == Kind::Wall || reached[y as usize][x as usize]
    })
}

/// "a" or "the", by how many things are meant.
fn article(grid: &Grid, mark: Mark) -> Mission {
    const A: Mission = Mission::new("a");
    const THE: Mission = Mission::new("the");
    let meant = grid.cells().iter().filter(|cell| cell.is(mark)).count();
    if meant > 1 { A } else { THE }
}

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

/// Success when a target is ahead, whatever was done.
fn faces_target(state: &mut MiniGridState, action: Action) -> Outcome {
    let outcome = state.act(action);
    if state.grid.get(state.ahead()).is(Mark::Target) {
        return Outcome::Success;
    }
    outcome
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
    fn check(&self) -> Result<()> {
        check_range("room_size", self.room_size, 4..=MAX_SIDE)
    }
    fn size(&self) -> [usize; 2] {
        [self.room_size; 2]
    }
    fn max_steps(&self) -> u32 {
        self.room_size.pow(2) as u32
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
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        faces_target(state, action)
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
    fn check(&self) -> Result<()> {
        check_range("room_size", self.room_size, 5..=MAX_SIDE)?;
        let most = most_things(self.room_size, MAX_OBJECTS) - 1;
        check_range("num_distractors", self.num_distractors, 0..=most)
    }
    fn size(&self) -> [usize; 2] {
        [self.room_size; 2]
    }
    fn max_steps(&self) -> u32 {
        self.room_size.pow(2) as u32
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
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        faces_target(state, action)
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
    fn check(&self) -> Result<()> {
        check_range("room_size", self.room_size, 5..=MAX_SIDE)?;
        let most = most_things(self.room_size, MAX_OBJECTS);
        check_range("num_objects", self.num_objects, 1..=most)
    }
    fn size(&self) -> [usize; 2] {
        [self.room_size; 2]
    }
    fn max_steps(&self) -> u32 {
        self.room_size.pow(2) as u32
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
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        faces_target(state, action)
    }
}

level! {
    /// `babyai-pickup-loc`: pick up the thing that the mission describes, by where it stands or not.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "pick up the", or "a" if several things are meant; a colour, or none; "key", "ball" or "box"; then
    /// nothing, or "on your left", "on your right", "in front of you" or "behind you", as seen from the start.
    ///
    /// **Reward**: `1 - 0.9 * steps / 64` when a thing that was meant at the start is picked up.
    ///
    /// **Start**: 8x8 cells with their walls; eight keys, balls and boxes of any colours, several may be alike, and the
    /// agent anywhere, not looking at a thing from beside it; all things in reach.
    ///
    /// **End**: terminated by success; truncated after 64 steps.
    ///
    /// **Config**: `BabyAI-PickupLoc-v0`.
    ///
    /// # Reference
    /// `minigrid/envs/babyai/pickup.py`; paper as [`GoToObj`].
    PickupLoc {}
}

/// How [`PickupLoc`] may say where a thing is: words, and quarter turns to the right that lead there.
const WHERE: [(Mission, usize); 4] = [
    (Mission::new("on your left"), 3),
    (Mission::new("on your right"), 1),
    (Mission::new("in front of you"), 0),
    (Mission::new("behind you"), 2),
];

impl PickupLoc {
    const ROOM_SIZE: usize = 8;
    const NUM_OBJECTS: usize = 8;

    /// Draws a description, marks what it means and says it; nothing if it means nothing.
    fn describe(draft: &mut Draft<'_>) -> Option<()> {
        const PICK_UP: Mission = Mission::new("pick up");
        // One of seven: no colour, or one of six.
        let color = Color::from_index(draft.below(7));
        let kind = draft.pick(&Kind::CARRIED);
        let side = draft.coin().then(|| draft.pick(&WHERE));
        let state = &mut draft.state;
        let (position, direction) = (state.position, usize::from(state.direction));
        for place in state.grid.places() {
            let cell = state.grid.get(place);
            let looks = cell.kind() == kind && color.is_none_or(|color| cell.color() == color);
            let stands = side.is_none_or(|(_, turns)| {
                let toward = DIRECTIONS[(direction + turns) % 4];
                (0..2)
                    .map(|axis| (place[axis] - position[axis]) * toward[axis])
                    .sum::<i8>()
                    > 0
            });
            if looks && stands {
                state.grid.set(place, cell.marked(Mark::Target));
            }
        }
        if !state.grid.cells().iter().any(|cell| cell.is(Mark::Target)) {
            return None;
        }
        let article = article(&state.grid, Mark::Target);
        draft.say(PICK_UP.then(article));
        if let Some(color) = color {
            draft.say(Mission::color(color));
        }
        draft.say(Mission::kind(kind));
        if let Some((words, _)) = side {
            draft.say(words);
        }
        Some(())
    }
}

impl Level for PickupLoc {
    fn size(&self) -> [usize; 2] {
        [Self::ROOM_SIZE; 2]
    }
    fn max_steps(&self) -> u32 {
        Self::ROOM_SIZE.pow(2) as u32
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        let rooms = Rooms::new(draft, Self::ROOM_SIZE, [1, 1]);
        Things::draw(draft, &rooms, Self::NUM_OBJECTS, false)?;
        rooms.place_agent(draft, ONLY_ROOM)?;
        if !all_in_reach(&draft.state) {
            return None;
        }
        (0..TRIES).find_map(|_| Self::describe(draft))
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        picked_up_target(state, action)
    }
}

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
    /// `minigrid/envs/babyai/putnext.py`; paper as [`GoToObj`].
    PutNextLocal {
        /// Cells of a side with its walls, 5 to 25.
        room_size: usize = 8,
        /// Things, 2 to a third of the cells, and 18 at most.
        num_objects: usize = 8,
    }
}

impl Level for PutNextLocal {
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
