use thorndike_core::{Error, Result, Rng, check_range};

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::{
    Action, Area, Cell, Color, Draft, Kind, Level, MiniGridState, Mission, Outcome, level,
};

level! {
    /// `minigrid-memory`: look at a thing in the first room, walk down the hallway, and turn to where the same thing
    /// stands.
    ///
    /// **Action space**: see [`MiniGrid`](crate::minigrid::MiniGrid); `pickup` does what `toggle` does, so that nothing
    /// can be carried away.
    ///
    /// **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "go to the matching object at the end of the hallway".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` beside the matching thing, 0 beside the other; `max_steps` is
    /// `5 * size * size`.
    ///
    /// **Start**: a small room on the left with a green key or ball; a hallway; at its end a key above and a ball
    /// below, or the other way round. The agent is anywhere in the row of the hallway, looking right. With
    /// `random_length` the hallway ends anywhere. `places`: beside the matching thing, beside the other.
    ///
    /// **End**: terminated beside either thing; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-MemoryS13-v0` by default; `S7`, `S9`, `S11` by `size`, `S13Random` and `S17Random` by
    /// `random_length = true` beside it.
    ///
    /// # Reference
    /// `minigrid/envs/memory.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    Memory {
        /// Cells of a side with its walls, odd, 7 to 25.
        size: usize = 13,
        /// Whether the hallway ends anywhere.
        random_length: bool = false,
    }
}

impl Level for Memory {
    fn reference(&self) -> &'static str {
        "MiniGrid-Memory"
    }
    fn check(&self) -> Result<()> {
        check_range("size", self.size, 7..=MAX_SIDE)?;
        if self.size.is_multiple_of(2) {
            let what = format!("{} is even; give an odd number", self.size);
            return Err(Error::config("size", what));
        }
        Ok(())
    }
    fn size(&self) -> [usize; 2] {
        [self.size; 2]
    }
    fn max_steps(&self) -> u32 {
        5 * self.size.pow(2) as u32
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission =
            Mission::new("go to the matching object at the end of the hallway");
        draft.say(MISSION);
        draft.wall_in();
        let (size, middle) = (self.size as i8, self.size as i8 / 2);
        let end = if self.random_length {
            draft.between(4, size - 2)
        } else {
            size - 3
        };
        let grid = &mut draft.state.grid;
        for side in [-1, 1] {
            // The first room, and the hallway.
            grid.fill(Area::new([1, middle + 2 * side], [4, 1]), Cell::WALL);
            grid.fill(
                Area::new([4, middle + side], [(end - 4).max(1), 1]),
                Cell::WALL,
            );
        }
        // Its end, open in the middle, and the wall behind.
        grid.fill(Area::new([end, 0], [1, size]), Cell::WALL);
        grid.set([end, middle], Cell::EMPTY);
        grid.fill(Area::new([end + 2, 0], [1, size]), Cell::WALL);
        draft.state.position = [draft.between(1, end + 1), middle];

        let [key, ball] = [Kind::Key, Kind::Ball].map(|kind| Cell::new(kind, Color::Green));
        let shown = draft.pick(&[key, ball]);
        let [above, below] = draft.pick(&[[key, ball], [ball, key]]);
        draft.state.grid.set([1, middle - 1], shown);
        draft.state.grid.set([end + 1, middle - 2], above);
        draft.state.grid.set([end + 1, middle + 2], below);
        let matching = if above == shown { -1 } else { 1 };
        draft.state.places[0] = [end + 1, middle + matching];
        draft.state.places[1] = [end + 1, middle - matching];
        Some(())
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        let outcome = state.act(match action {
            Action::PickUp => Action::Toggle,
            other => other,
        });
        match state.position {
            here if here == state.places[0] => Outcome::Success,
            here if here == state.places[1] => Outcome::Failure,
            _ => outcome,
        }
    }
}
