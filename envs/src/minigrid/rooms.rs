//! Levels of square rooms side by side.

use super::cell::{Cell, Color, Door, Kind};
use super::draft::{Draft, away_from_agent};
use super::grid::{Area, Place};
use super::state::DIRECTIONS;

const MAX_ROOMS: usize = 9;
/// Draws for a connection before the layout is given up.
const CONNECT_TRIES: usize = 5000;
/// Draws of an agent that looks at nothing before the layout is given up.
const AGENT_TRIES: usize = 1000;

/// Column and row of a room.
pub(super) type Room = [usize; 2];

/// Square rooms side by side that share their walls; sides are 0 right, 1 down, 2 left, 3 up.
#[derive(Debug)]
pub(super) struct Rooms {
    room_size: i8,
    count: [usize; 2],
    /// Where a door would be, one a room and side.
    door_places: [[Option<Place>; 4]; MAX_ROOMS],
    /// Which rooms are connected, by a door or without a wall.
    open: [[bool; 4]; MAX_ROOMS],
    locked: [bool; MAX_ROOMS],
}

/// Columns and rows of the grid that `count` rooms take.
pub(super) fn grid_size(room_size: usize, count: [usize; 2]) -> [usize; 2] {
    count.map(|rooms| (room_size - 1) * rooms + 1)
}

impl Rooms {
    /// Builds the walls of `count` columns and rows of rooms; the agent stands in the middle, for now.
    pub(super) fn new(draft: &mut Draft<'_>, room_size: usize, count: [usize; 2]) -> Self {
        let mut rooms = Self {
            room_size: room_size as i8,
            count,
            door_places: Default::default(),
            open: Default::default(),
            locked: Default::default(),
        };
        for room in rooms.all() {
            draft.state.grid.wall_in(rooms.area(room));
        }
        for room in rooms.all() {
            let [left, top] = rooms.area(room).top;
            let last = rooms.room_size - 1;
            for side in [0, 1] {
                let Some(neighbor) = rooms.neighbor(room, side) else {
                    continue;
                };
                let along = draft.between(1, last);
                let place = match side {
                    0 => [left + last, top + along],
                    _ => [left + along, top + last],
                };
                rooms.door_places[rooms.index(room)][side] = Some(place);
                rooms.door_places[rooms.index(neighbor)][side + 2] = Some(place);
            }
        }
        let middle =
            |axis: usize| count[axis] as i8 / 2 * (rooms.room_size - 1) + rooms.room_size / 2;
        draft.state.position = [middle(0), middle(1)];
        rooms
    }

    fn all(&self) -> impl Iterator<Item = Room> + use<> {
        let [columns, rows] = self.count;
        (0..rows).flat_map(move |j| (0..columns).map(move |i| [i, j]))
    }

    fn index(&self, [i, j]: Room) -> usize {
        j * self.count[0] + i
    }

    /// The room with its walls.
    pub(super) fn area(&self, room: Room) -> Area {
        let top = room.map(|i| i as i8 * (self.room_size - 1));
        Area::new(top, [self.room_size; 2])
    }

    fn neighbor(&self, room: Room, side: usize) -> Option<Room> {
        let [dx, dy] = DIRECTIONS[side].map(isize::from);
        let [i, j] = [
            room[0].wrapping_add_signed(dx),
            room[1].wrapping_add_signed(dy),
        ];
        (i < self.count[0] && j < self.count[1]).then_some([i, j])
    }

    /// Connects two rooms by a door; where it is.
    pub(super) fn add_door(
        &mut self,
        draft: &mut Draft<'_>,
        room: Room,
        side: usize,
        color: Color,
        door: Door,
    ) -> Option<Place> {
        let place = self.door_places[self.index(room)][side]?;
        draft.state.grid.set(place, Cell::door(color, door));
        self.locked[self.index(room)] = door == Door::Locked;
        self.connect(room, side);
        Some(place)
    }

    /// Takes away the wall between two rooms, corners apart.
    pub(super) fn remove_wall(&mut self, draft: &mut Draft<'_>, room: Room, side: usize) {
        let Area {
            top: [x, y],
            size: [size, _],
        } = self.area(room);
        let (top, size) = match side {
            0 => ([x + size - 1, y + 1], [1, size - 2]),
            1 => ([x + 1, y + size - 1], [size - 2, 1]),
            2 => ([x, y + 1], [1, size - 2]),
            _ => ([x + 1, y], [size - 2, 1]),
        };
        draft.state.grid.fill(Area::new(top, size), Cell::EMPTY);
        self.connect(room, side);
    }

    fn connect(&mut self, room: Room, side: usize) {
        if let Some(neighbor) = self.neighbor(room, side) {
            self.open[self.index(room)][side] = true;
            self.open[self.index(neighbor)][(side + 2) % 4] = true;
        }
    }

    /// Puts `cell` into a room, not beside the agent; nothing if there is no place.
    pub(super) fn place(&self, draft: &mut Draft<'_>, room: Room, cell: Cell) -> Option<Place> {
        draft.place(cell, self.area(room), away_from_agent)
    }

    /// Puts the agent into a room, not looking at a thing or a door; nothing if there is no place.
    pub(super) fn place_agent(&self, draft: &mut Draft<'_>, room: Room) -> Option<()> {
        for _ in 0..AGENT_TRIES {
            draft.place_agent(self.area(room))?;
            let ahead = draft.state.grid.get(draft.state.ahead());
            if ahead.is_empty() || ahead.kind() == Kind::Wall {
                return Some(());
            }
        }
        None
    }

    /// Adds closed doors between rooms that are not locked, until every room can be reached from `start`;
    /// nothing if that fails.
    pub(super) fn connect_all(&mut self, draft: &mut Draft<'_>, start: Room) -> Option<()> {
        for _ in 0..CONNECT_TRIES {
            if self.reaches_all(start) {
                return Some(());
            }
            let room = self.count.map(|n| draft.below(n));
            let side = draft.below(4);
            let Some(neighbor) = self.neighbor(room, side) else {
                continue;
            };
            let [here, there] = [room, neighbor].map(|room| self.index(room));
            if !self.open[here][side] && !self.locked[here] && !self.locked[there] {
                let color = draft.color();
                self.add_door(draft, room, side, color, Door::Closed)?;
            }
        }
        None
    }

    fn reaches_all(&self, start: Room) -> bool {
        let mut reached = [false; MAX_ROOMS];
        reached[self.index(start)] = true;
        // Every pass reaches one more room, if there is one.
        for _ in 0..MAX_ROOMS {
            for room in self.all() {
                for side in 0..4 {
                    if let Some(neighbor) = self.neighbor(room, side)
                        && self.open[self.index(room)][side]
                    {
                        reached[self.index(neighbor)] |= reached[self.index(room)];
                    }
                }
            }
        }
        self.all().all(|room| reached[self.index(room)])
    }
}
