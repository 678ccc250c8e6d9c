use thorndike_core::{Result, Rng, check_range};

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::state::distances;
use crate::minigrid::{
    Action, Area, Cell, Color, Door, Draft, Level, MiniGridState, Mission, Outcome, level,
};

level! {
    /// `minigrid-go-to-door`: go to the door that the mission names and say so.
    ///
    /// **Action space**: see [`MiniGrid`](crate::minigrid::MiniGrid); `done` says that the agent is beside the door.
    ///
    /// **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid); nothing is hidden.
    ///
    /// **Mission**: "go to the (colour) door".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` for `done` beside the door; `max_steps` is `4 * size * size`.
    ///
    /// **Start**: a room of 5 to `size` cells a side with its walls; a door in each of them, all of different colours;
    /// the agent anywhere. `places`: the door to go to.
    ///
    /// **End**: terminated by `done` and by `toggle`; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-GoToDoor-8x8-v0` by default; `5x5` and `6x6` by `size`.
    ///
    /// # Reference
    /// `minigrid/envs/gotodoor.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    GoToDoor {
        /// Most cells of a side with its walls, 5 to 25.
        size: usize = 8,
    }
}

impl Level for GoToDoor {
    fn reference(&self) -> &'static str {
        "MiniGrid-GoToDoor"
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
    fn sees_through_walls(&self) -> bool {
        true
    }
    fn has_one_mission(&self) -> bool {
        false
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("go to the");
        let [width, height] = [(); 2].map(|()| draft.between(5, self.size as i8 + 1));
        let room = Area::new([0, 0], [width, height]);
        draft.state.grid.wall_in(room);
        let doors = [
            [draft.between(2, width - 2), 0],
            [draft.between(2, width - 2), height - 1],
            [0, draft.between(2, height - 2)],
            [width - 1, draft.between(2, height - 2)],
        ];
        let mut colors = Color::ALL;
        draft.shuffle(&mut colors);
        for (door, color) in doors.into_iter().zip(colors) {
            draft.state.grid.set(door, Cell::door(color, Door::Closed));
        }
        draft.place_agent(room)?;
        draft.state.places[0] = draft.pick(&doors);
        let target = draft.state.grid.get(draft.state.places[0]);
        draft.say(MISSION.then(Mission::thing(target)));
        Some(())
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        let outcome = state.act(action);
        let beside = || {
            distances(state.position, state.places[0])
                .iter()
                .sum::<u32>()
                == 1
        };
        match action {
            Action::Done if beside() => Outcome::Success,
            Action::Done | Action::Toggle => Outcome::Failure,
            _ => outcome,
        }
    }
}
