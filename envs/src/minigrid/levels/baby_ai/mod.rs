//! BabyAI levels of one room: what they share.

mod go_to;
mod pickup_loc;
mod put_next_local;

pub use go_to::{GoToLocal, GoToObj, GoToRedBall};
pub use pickup_loc::PickupLoc;
pub use put_next_local::PutNextLocal;

use crate::minigrid::grid::MAX_SIDE;
use crate::minigrid::rooms::{Room, Rooms};
use crate::minigrid::state::{DIRECTIONS, beside};
use crate::minigrid::{Cell, Draft, Grid, Kind, Mark, MiniGridState, Mission, Place};

const ONLY_ROOM: Room = [0, 0];
/// Different things: three kinds, six colours.
const MAX_DIFFERENT: usize = 18;
/// Most things in any level of one room.
const MAX_OBJECTS: usize = 36;
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
