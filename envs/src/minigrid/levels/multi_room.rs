use thorndike_core::{Result, check_range};

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::{Area, Cell, Color, Door, Draft, Level, Mission, Place, level};

const SIDE: i8 = MAX_SIDE as i8;
const MAX_ROOMS: usize = 6;
const SMALLEST_ROOM: i8 = 4;
/// Draws for the next room before the chain is given up.
const TRIES: usize = 8;

level! {
    /// `minigrid-multi-room`: go through rooms and their doors to the goal in the last one.
    ///
    /// **Action space**, **Observation space**: see [`MiniGrid`](crate::minigrid::MiniGrid).
    ///
    /// **Mission**: "traverse the rooms to get to the goal".
    ///
    /// **Reward**: `1 - 0.9 * steps / max_steps` at the goal; `max_steps` is `20 * num_rooms`.
    ///
    /// **Start**: a chain of rooms of 4 to `max_room_size` cells a side with their walls, anywhere in 25x25
    /// cells; each shares a wall with the one before, with a closed door in it, and successive doors differ in
    /// colour. The agent is anywhere in the first room, the goal anywhere in the last one.
    ///
    /// **End**: terminated at the goal; truncated after `max_steps` steps.
    ///
    /// **Config**: `MiniGrid-MultiRoom-N6-v0` by default; `N2-S4-v0` is `num_rooms = 2, max_room_size = 4`,
    /// `N4-S5-v1` is `num_rooms = 4, max_room_size = 5`; what was registered as `N4-S5-v0` has in fact
    /// `num_rooms = 6, max_room_size = 5`.
    ///
    /// # Reference
    /// `minigrid/envs/multiroom.py`. Deviations: see [`MiniGrid`](crate::minigrid::MiniGrid).
    MultiRoom {
        /// Rooms, 1 to 6.
        num_rooms: usize = 6,
        /// Most cells of a room's side with its walls, 4 to 10.
        max_room_size: usize = 10,
    }
}

/// A room of the chain, and where one enters it.
#[derive(Clone, Copy)]
struct Room {
    area: Area,
    /// 0 right, 1 down, 2 left, 3 up.
    entry_side: usize,
    entry: Place,
}

impl MultiRoom {
    /// A chain of rooms; nothing if it has too few.
    fn chain(&self, draft: &mut Draft<'_>) -> Option<[Room; MAX_ROOMS]> {
        let entry = [draft.between(0, SIDE - 2), draft.between(0, SIDE - 2)];
        let size = self.draw_size(draft);
        let first = Room {
            area: Area::new(entry, size),
            entry_side: 2,
            entry,
        };
        let mut chain = [first; MAX_ROOMS];
        if !is_free(first.area, &[]) {
            return None;
        }
        for count in 1..self.num_rooms {
            let (before, last) = (&chain[..count - 1], chain[count - 1]);
            let mut tries = (0..TRIES).map(|_| self.draw_next(draft, last));
            chain[count] = tries.find(|room| is_free(room.area, before))?;
        }
        Some(chain)
    }

    fn draw_size(&self, draft: &mut Draft<'_>) -> [i8; 2] {
        [(); 2].map(|()| draft.between(SMALLEST_ROOM, self.max_room_size as i8 + 1))
    }

    /// A room behind a door in one of the other walls of `last`.
    fn draw_next(&self, draft: &mut Draft<'_>, last: Room) -> Room {
        let exit_side = (last.entry_side + 1 + draft.below(3)) % 4;
        let Area {
            top: [x, y],
            size: [width, height],
        } = last.area;
        let entry = match exit_side {
            0 => [x + width - 1, y + draft.between(1, height - 1)],
            1 => [x + draft.between(1, width - 1), y + height - 1],
            2 => [x, y + draft.between(1, height - 1)],
            _ => [x + draft.between(1, width - 1), y],
        };
        let [x, y] = entry;
        let size = self.draw_size(draft);
        let [width, height] = size;
        let top = match exit_side {
            0 => [x, draft.between(y - height + 2, y)],
            1 => [draft.between(x - width + 2, x), y],
            2 => [x - width + 1, draft.between(y - height + 2, y)],
            _ => [draft.between(x - width + 2, x), y - height + 1],
        };
        Room {
            area: Area::new(top, size),
            entry_side: (exit_side + 2) % 4,
            entry,
        }
    }
}

/// Whether a room may lie here: inside the grid and apart from those `before`, by the reference's unequal bounds.
fn is_free(area: Area, before: &[Room]) -> bool {
    let (top, end) = (
        area.top,
        [0, 1].map(|axis| area.top[axis] + area.size[axis]),
    );
    let inside = top[0] >= 0 && top[1] >= 0 && end[0] <= SIDE && end[1] < SIDE;
    inside
        && before.iter().all(|room| {
            let other = room.area;
            (0..2).any(|axis| {
                end[axis] < other.top[axis] || other.top[axis] + other.size[axis] <= top[axis]
            })
        })
}

impl Level for MultiRoom {
    fn reference(&self) -> &'static str {
        "MiniGrid-MultiRoom"
    }
    fn check(&self) -> Result<()> {
        check_range("num_rooms", self.num_rooms, 1..=MAX_ROOMS)?;
        check_range(
            "max_room_size",
            self.max_room_size,
            SMALLEST_ROOM as usize..=10,
        )
    }
    fn size(&self) -> [usize; 2] {
        [MAX_SIDE; 2]
    }
    fn max_steps(&self) -> u32 {
        20 * self.num_rooms as u32
    }
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()> {
        const MISSION: Mission = Mission::new("traverse the rooms to get to the goal");
        draft.say(MISSION);
        let chain = self.chain(draft)?;
        let rooms = &chain[..self.num_rooms];
        let mut last_color = None;
        for (i, room) in rooms.iter().enumerate() {
            draft.state.grid.wall_in(room.area);
            if i > 0 {
                let color = other_color(draft, last_color);
                let door = Cell::door(color, Door::Closed);
                draft.state.grid.set(room.entry, door);
                last_color = Some(color);
            }
        }
        draft.place_agent(rooms[0].area)?;
        draft.place(Cell::GOAL, rooms[rooms.len() - 1].area, |_, _| true)?;
        Some(())
    }
}

/// A colour other than `last`.
fn other_color(draft: &mut Draft<'_>, last: Option<Color>) -> Color {
    match last {
        None => draft.color(),
        Some(last) => Color::ALL[(last as usize + 1 + draft.below(5)) % 6],
    }
}
