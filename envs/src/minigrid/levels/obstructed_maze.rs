use serde::{Deserialize, Serialize};
use thorndike_core::Rng;

use super::picked_up_target;
use crate::minigrid::rooms::{Room, Rooms, grid_size};
use crate::minigrid::state::{DIRECTIONS, beside};
use crate::minigrid::{
    Action, Cell, Color, Door, Draft, Kind, Level, Mark, MiniGridState, Mission, Outcome, level,
};

const ROOM_SIZE: usize = 6;
const TARGET: Cell = Cell::new(Kind::Ball, Color::Blue).marked(Mark::Target);
const OBSTACLE: Cell = Cell::new(Kind::Ball, Color::Green);
const BOX: Cell = Cell::new(Kind::Box, Color::Grey);

level! {
    /// `minigrid-obstructed-maze`: find a ball behind locked doors whose keys are hidden in boxes and whose way is
    /// blocked by balls.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "pick up the blue ball".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` when the blue ball is picked up.
    ///
    /// **Start**: rooms of 6x6 cells. `1d`: two rooms with a locked door between them, the agent left, the ball right.
    /// Otherwise nine rooms: the middle one is connected with its 1, 2 or 4 side rooms by closed doors, and each
    /// side room with both corner rooms beside it by locked doors, whose keys are in the side room; the ball is in one
    /// of the corner rooms of as many quarters, which start at the upper right. The keys are in grey boxes
    /// (`key_in_box`) and a green ball stands before each locked door (`blocked`), or not.
    ///
    /// | maze | grid | side rooms | start | `max_steps` |
    /// |---|---|---|---|---|
    /// | `1d` | 11x6 | – | left room | 288 |
    /// | `2d` | 16x16 | 1 | right side room | 576 |
    /// | `1q` | 16x16 | 1 | middle room | 720 |
    /// | `2q` | 16x16 | 2 | right side room | 1584 |
    /// | `full` | 16x16 | 4 | middle room | 3600 |
    ///
    /// **End**: terminated when the blue ball is picked up; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-ObstructedMaze-1Dlhb-v0` by default; without `h` is `key_in_box = false`, without `b`
    /// `blocked = false`; `2Dl-v0`, `2Dlh-v0`, `2Dlhb-v1` by `maze = "2d"`, `1Q-v1`, `2Q-v1` and `Full-v1` by `maze`.
    ///
    /// # Reference
    /// `minigrid/envs/obstructedmaze_v1.py`, `obstructedmaze.py`. Deviations: see
    /// [`MiniGrid`](crate::minigrid::MiniGrid). `2Dlhb-v0`, `1Q-v0`, `2Q-v0` and `Full-v0` are not there: in them a ball
    /// may take the place of a key, and then there is no solution.
    ObstructedMaze {
        /// Which rooms there are.
        maze: Maze = Maze::OneDoor,
        /// Whether keys are hidden in boxes.
        key_in_box: bool = true,
        /// Whether balls stand before locked doors.
        blocked: bool = true,
    }
}

/// The rooms of [`ObstructedMaze`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Maze {
    /// Two rooms.
    #[serde(rename = "1d")]
    OneDoor,
    /// One side room, where the agent is, with its two corners.
    #[serde(rename = "2d")]
    TwoDoors,
    /// One side room, from the middle.
    #[serde(rename = "1q")]
    OneQuarter,
    /// Two side rooms, from one of them.
    #[serde(rename = "2q")]
    TwoQuarters,
    /// All four side rooms, from the middle.
    #[serde(rename = "full")]
    Full,
}

impl ObstructedMaze {
    fn rooms(&self) -> [usize; 2] {
        match self.maze {
            Maze::OneDoor => [2, 1],
            _ => [3, 3],
        }
    }

    /// A locked door with a ball before it, if there is to be one.
    fn lock(
        &self,
        draft: &mut Draft<'_>,
        rooms: &mut Rooms,
        room: Room,
        side: usize,
        color: Color,
    ) -> Option<()> {
        let door = rooms.add_door(draft, room, side, color, Door::Locked)?;
        if self.blocked {
            let before = beside(door, DIRECTIONS[(side + 2) % 4]);
            draft.state.grid.set(before, OBSTACLE);
        }
        Some(())
    }

    fn place_key(
        &self,
        draft: &mut Draft<'_>,
        rooms: &Rooms,
        room: Room,
        color: Color,
    ) -> Option<()> {
        let cell = if self.key_in_box {
            BOX.holding_key(color)
        } else {
            Cell::new(Kind::Key, color)
        };
        rooms.place(draft, room, cell).map(|_| ())
    }

    fn lay_out_quarters(
        &self,
        draft: &mut Draft<'_>,
        rooms: &mut Rooms,
        colors: [Color; 6],
    ) -> Option<()> {
        const SIDES: [Room; 4] = [[2, 1], [1, 2], [0, 1], [1, 0]];
        const CORNERS: [Room; 4] = [[2, 0], [2, 2], [0, 2], [0, 0]];
        let (quarters, start) = match self.maze {
            Maze::OneDoor | Maze::TwoDoors => (1, [2, 1]),
            Maze::OneQuarter => (1, [1, 1]),
            Maze::TwoQuarters => (2, [2, 1]),
            Maze::Full => (4, [1, 1]),
        };
        for (side, &room) in SIDES[..quarters].iter().enumerate() {
            rooms.add_door(draft, [1, 1], side, colors[side], Door::Closed)?;
            // The doors to both sides of it, and then their keys, so that no ball takes a key's place.
            let locks = [(side + 3) % 4, (side + 1) % 4];
            let colors = [colors[(side + 5) % 6], colors[(side + 1) % 6]];
            for (side, color) in locks.into_iter().zip(colors) {
                self.lock(draft, rooms, room, side, color)?;
            }
            for color in colors {
                self.place_key(draft, rooms, room, color)?;
            }
        }
        let corner = draft.pick(&CORNERS[..quarters]);
        rooms.place(draft, corner, TARGET)?;
        rooms.place_agent(draft, start)
    }
}

impl Level for ObstructedMaze {
    fn reference(&self) -> &'static str {
        "MiniGrid-ObstructedMaze"
    }
    fn size(&self) -> [usize; 2] {
        grid_size(ROOM_SIZE, self.rooms())
    }
    fn max_steps(&self) -> u32 {
        let rooms_visited = match self.maze {
            Maze::OneDoor => 2,
            Maze::TwoDoors => 4,
            Maze::OneQuarter => 5,
            Maze::TwoQuarters => 11,
            Maze::Full => 25,
        };
        4 * rooms_visited * ROOM_SIZE.pow(2) as u32
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("pick up the blue ball");
        draft.say(MISSION);
        let mut rooms = Rooms::new(draft, ROOM_SIZE, self.rooms());
        let mut colors = Color::ALL;
        draft.shuffle(&mut colors);
        if self.maze != Maze::OneDoor {
            return self.lay_out_quarters(draft, &mut rooms, colors);
        }
        self.lock(draft, &mut rooms, [0, 0], 0, colors[0])?;
        self.place_key(draft, &rooms, [0, 0], colors[0])?;
        rooms.place(draft, [1, 0], TARGET)?;
        rooms.place_agent(draft, [0, 0])
    }
    fn step(&self, state: &mut MiniGridState, action: Action, _: &mut Rng) -> Outcome {
        picked_up_target(state, action)
    }
}
