use thorndike_core::Rng;

use super::{ONLY_ROOM, Things, all_in_reach, article};
use crate::minigrid::levels::picked_up_target;
use crate::minigrid::rooms::Rooms;
use crate::minigrid::state::DIRECTIONS;
use crate::minigrid::{
    Action, Color, Draft, Kind, Level, Mark, MiniGridState, Mission, Outcome, Place, level,
};

/// Draws of a description before the layout is given up.
const TRIES: usize = 101;

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
    /// `minigrid/envs/babyai/pickup.py`; paper as [`GoToObj`](crate::minigrid::GoToObj).
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
            let stands = side.is_none_or(|(_, turns)| lies(place, position, direction + turns));
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

/// Whether `place` lies on the side of `position` that `direction` points to.
fn lies(place: Place, position: Place, direction: usize) -> bool {
    let toward = DIRECTIONS[direction % 4];
    let along = |axis: usize| (place[axis] - position[axis]) * toward[axis];
    along(0) + along(1) > 0
}

impl Level for PickupLoc {
    fn reference(&self) -> &'static str {
        "BabyAI-PickupLoc"
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_those_of_an_agent_that_looks_down() {
        let (position, down) = ([4, 4], 1);
        // Further right in the picture and above: on its left and behind it.
        let found: Vec<String> = WHERE
            .iter()
            .filter(|(_, turns)| lies([6, 3], position, down + turns))
            .map(|(words, _)| words.text())
            .collect();
        assert_eq!(found, ["on your left", "behind you"]);
        let beside: Vec<bool> = WHERE
            .iter()
            .map(|(_, turns)| lies([4, 6], position, down + turns))
            .collect();
        assert_eq!(beside, [false, false, true, false], "straight ahead");
    }
}
