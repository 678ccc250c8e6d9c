//! What stands in a cell.

use serde::{Deserialize, Serialize};

/// Kinds of things, by MiniGrid's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Hidden from the agent; in observations only.
    Unseen,
    /// Nothing.
    Empty,
    /// Stops the agent and hides what lies behind.
    Wall,
    /// Coloured ground.
    Floor,
    /// Open, closed or locked.
    Door,
    /// Opens locked doors of its colour while carried.
    Key,
    /// Can be carried.
    Ball,
    /// Can be carried, and opened once: what it holds takes its place.
    Box,
    /// Ends the episode with success.
    Goal,
    /// Ends the episode without reward.
    Lava,
    /// The agent; in the full view only.
    Agent,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Unseen,
        Self::Empty,
        Self::Wall,
        Self::Floor,
        Self::Door,
        Self::Key,
        Self::Ball,
        Self::Box,
        Self::Goal,
        Self::Lava,
        Self::Agent,
    ];
    /// Things that can be carried.
    pub const CARRIED: [Self; 3] = [Self::Key, Self::Ball, Self::Box];

    /// The kind with MiniGrid's number `index`.
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// Its English name.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 11] = [
            "unseen", "empty", "wall", "floor", "door", "key", "ball", "box", "goal", "lava",
            "agent",
        ];
        NAMES[self as usize]
    }
}

/// Colours, by MiniGrid's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Color {
    /// Red.
    Red,
    /// Green.
    Green,
    /// Blue.
    Blue,
    /// Purple.
    Purple,
    /// Yellow.
    Yellow,
    /// Grey.
    Grey,
}

impl Color {
    /// All six, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Red,
        Self::Green,
        Self::Blue,
        Self::Purple,
        Self::Yellow,
        Self::Grey,
    ];

    /// The colour with MiniGrid's number `index`.
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// Its English name.
    pub fn name(self) -> &'static str {
        ["red", "green", "blue", "purple", "yellow", "grey"][self as usize]
    }
}

/// How a door stands, by MiniGrid's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Door {
    /// The agent can pass and see through.
    Open,
    /// `toggle` opens it.
    Closed,
    /// `toggle` opens it for who carries a key of its colour.
    Locked,
}

/// What a task is about: which things the level asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Mark {
    /// To be fetched, faced, opened or moved.
    Target = 1 << MARKS,
    /// That the target is to be put next to.
    Landmark = 2 << MARKS,
}

const COLOR: u32 = 4;
const STATE: u32 = 7;
const CONTENT: u32 = 9;
const MARKS: u32 = 12;

/// One cell in 14 bits: kind (4), colour (3), state of a door (2), colour of the key in a box plus one (3),
/// marks (2).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Cell(u16);

impl Cell {
    /// Nothing.
    pub const EMPTY: Self = Self(Kind::Empty as u16);
    /// A wall.
    pub const WALL: Self = Self::new(Kind::Wall, Color::Grey);
    /// The goal.
    pub const GOAL: Self = Self::new(Kind::Goal, Color::Green);
    /// Lava.
    pub const LAVA: Self = Self::new(Kind::Lava, Color::Red);

    /// A thing of this kind and colour; a door is open.
    pub const fn new(kind: Kind, color: Color) -> Self {
        Self(kind as u16 | (color as u16) << COLOR)
    }

    /// A door.
    pub const fn door(color: Color, door: Door) -> Self {
        Self::new(Kind::Door, color).with_state(door as u8)
    }

    pub(super) const fn with_state(self, state: u8) -> Self {
        Self(self.0 & !(3 << STATE) | (state as u16 & 3) << STATE)
    }

    /// This box with a key in it.
    pub const fn holding_key(self, color: Color) -> Self {
        Self(self.0 & !(7 << CONTENT) | (color as u16 + 1) << CONTENT)
    }

    /// This thing, marked.
    pub const fn marked(self, mark: Mark) -> Self {
        Self(self.0 | mark as u16)
    }

    /// Whether it is marked.
    #[inline]
    pub const fn is(self, mark: Mark) -> bool {
        self.0 & mark as u16 != 0
    }

    /// What it is.
    #[inline]
    pub fn kind(self) -> Kind {
        Kind::ALL[usize::from(self.kind_index()).min(10)]
    }

    /// Its colour; red where there is nothing.
    pub fn color(self) -> Color {
        Color::ALL[usize::from(self.color_index()).min(5)]
    }

    #[inline]
    pub(super) const fn kind_index(self) -> u8 {
        self.0 as u8 & 15
    }

    #[inline]
    pub(super) const fn color_index(self) -> u8 {
        (self.0 >> COLOR) as u8 & 7
    }

    #[inline]
    pub(super) const fn state_index(self) -> u8 {
        (self.0 >> STATE) as u8 & 3
    }

    /// What a box holds.
    pub fn content(self) -> Self {
        match usize::from(self.0 >> CONTENT & 7).checked_sub(1) {
            Some(color) => Self::new(Kind::Key, Color::ALL[color.min(5)]),
            None => Self::EMPTY,
        }
    }

    /// Whether there is nothing.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.kind_index() == Kind::Empty as u8
    }

    /// How a door stands; nothing if this is none.
    pub fn door_state(self) -> Option<Door> {
        let state = match self.state_index() {
            0 => Door::Open,
            1 => Door::Closed,
            _ => Door::Locked,
        };
        (self.kind() == Kind::Door).then_some(state)
    }

    /// Whether this is an open door.
    #[inline]
    pub const fn is_open_door(self) -> bool {
        self.kind_index() == Kind::Door as u8 && self.state_index() == Door::Open as u8
    }

    /// Whether both are of the same kind and colour, however they stand and whatever they hold.
    pub const fn looks_like(self, other: Self) -> bool {
        self.kind_index() == other.kind_index() && self.color_index() == other.color_index()
    }

    /// This cell for the mask 255, an unseen one for 0.
    #[inline]
    pub(super) const fn masked(self, mask: u8) -> Self {
        Self(self.0 & (mask as i8 as u16))
    }

    /// Whether the agent can stand here.
    #[inline]
    pub(super) fn lets_pass(self) -> bool {
        const FREE: u16 = 1 << Kind::Empty as u16
            | 1 << Kind::Floor as u16
            | 1 << Kind::Goal as u16
            | 1 << Kind::Lava as u16;
        FREE >> self.kind_index() & 1 == 1 || self.is_open_door()
    }

    /// Whether the agent can carry this.
    #[inline]
    pub(super) fn can_be_carried(self) -> bool {
        (Kind::Key as u8..=Kind::Box as u8).contains(&self.kind_index())
    }

    /// Whether this hides what lies behind it.
    #[inline]
    pub(super) const fn hides(self) -> bool {
        let kind = self.kind_index();
        (kind == Kind::Wall as u8) | ((kind == Kind::Door as u8) & (self.state_index() != 0))
    }
}

impl From<Cell> for u16 {
    fn from(cell: Cell) -> Self {
        cell.0
    }
}

impl TryFrom<u16> for Cell {
    type Error = String;

    fn try_from(bits: u16) -> Result<Self, String> {
        let cell = Self(bits);
        let kinds = Kind::Empty as u8..=Kind::Lava as u8;
        let sound = bits >> (MARKS + 2) == 0
            && kinds.contains(&cell.kind_index())
            && cell.color_index() <= 5
            && cell.state_index() <= 2
            && bits >> CONTENT & 7 <= 6;
        sound.then_some(cell).ok_or(format!("{bits} is no cell"))
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (color, kind) = (self.color().name(), self.kind().name());
        write!(f, "{color} {kind} {}", self.state_index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_cell_are_kept_apart() {
        for color in Color::ALL {
            for inside in Color::ALL {
                let cell = Cell::new(Kind::Box, color).holding_key(inside);
                let cell = cell.marked(Mark::Target);
                assert_eq!((cell.kind(), cell.color()), (Kind::Box, color));
                assert_eq!(cell.content(), Cell::new(Kind::Key, inside));
                assert!(cell.is(Mark::Target) && !cell.is(Mark::Landmark));
                assert_eq!(Cell::try_from(u16::from(cell)), Ok(cell));
            }
        }
        let door = Cell::door(Color::Grey, Door::Locked);
        assert_eq!((door.state_index(), door.color_index()), (2, 5));
    }

    #[test]
    fn bits_that_are_no_cell_are_refused() {
        let sound = (0..=u16::MAX).filter(|&bits| Cell::try_from(bits).is_ok());
        // Kinds, colours, states, contents, marks.
        assert_eq!(sound.count(), 9 * 6 * 3 * 7 * 4);
    }
}
