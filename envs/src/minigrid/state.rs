//! What changes during an episode, and what actions do to it.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Door, Kind};
use super::grid::{Grid, Place};
use super::mission::Mission;

/// Most places that a level can keep in mind.
pub const MAX_PLACES: usize = 16;

/// Right, down, left, up.
pub(super) const DIRECTIONS: [Place; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/// The place beside `place`.
#[inline]
pub(super) fn beside([x, y]: Place, [dx, dy]: Place) -> Place {
    [x.wrapping_add(dx), y.wrapping_add(dy)]
}

/// Steps between two places, along columns and rows.
pub(super) fn distances(a: Place, b: Place) -> [u32; 2] {
    [0, 1].map(|i| u32::from(a[i].abs_diff(b[i])))
}

/// What an agent can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Turns left.
    Left,
    /// Turns right.
    Right,
    /// Goes one cell ahead.
    Forward,
    /// Takes the thing ahead.
    PickUp,
    /// Puts down what it carries, in the cell ahead.
    Drop,
    /// Opens or closes the door ahead, opens the box ahead.
    Toggle,
    /// Says that the task is done.
    Done,
}

impl Action {
    /// In the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Left,
        Self::Right,
        Self::Forward,
        Self::PickUp,
        Self::Drop,
        Self::Toggle,
        Self::Done,
    ];
    pub(super) const NAMES: [&str; 7] = [
        "left", "right", "forward", "pickup", "drop", "toggle", "done",
    ];
}

/// What an action led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The episode goes on.
    Running,
    /// The task is done: it ends with a reward.
    Success,
    /// It ends without.
    Failure,
    /// It ends with -1.
    Collision,
}

/// State of every level of MiniGrid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MiniGridState {
    /// What stands where, the agent apart.
    pub grid: Grid,
    /// Where the agent is.
    pub position: Place,
    /// 0 right, 1 down, 2 left, 3 up.
    pub direction: u8,
    /// What the agent carries; empty if nothing.
    pub carrying: Cell,
    /// Steps taken.
    pub steps: u32,
    /// What the episode asks for.
    pub mission: Mission,
    /// Places that the level keeps in mind; see there.
    pub places: [Place; MAX_PLACES],
}

impl MiniGridState {
    /// The agent at the upper left of `grid`, looking right.
    pub fn new(grid: Grid) -> Self {
        Self {
            grid,
            position: [1, 1],
            direction: 0,
            carrying: Cell::EMPTY,
            steps: 0,
            mission: Mission::default(),
            places: [[0, 0]; MAX_PLACES],
        }
    }

    /// The cell that the agent looks at.
    #[inline]
    pub fn ahead(&self) -> Place {
        beside(self.position, DIRECTIONS[usize::from(self.direction & 3)])
    }

    /// Applies `action` by the rules that all levels share: success on the goal, failure in lava.
    #[inline]
    pub fn act(&mut self, action: Action) -> Outcome {
        let ahead = self.ahead();
        match action {
            Action::Left => self.direction = self.direction.wrapping_sub(1) & 3,
            Action::Right => self.direction = self.direction.wrapping_add(1) & 3,
            Action::Forward => return self.enter(ahead),
            Action::PickUp => self.pick_up(ahead),
            Action::Drop => self.drop(ahead),
            Action::Toggle => self.toggle(ahead),
            Action::Done => {}
        }
        Outcome::Running
    }

    #[inline]
    fn enter(&mut self, place: Place) -> Outcome {
        let cell = self.grid.get(place);
        if !cell.lets_pass() {
            return Outcome::Running;
        }
        self.position = place;
        match cell.kind() {
            Kind::Goal => Outcome::Success,
            Kind::Lava => Outcome::Failure,
            _ => Outcome::Running,
        }
    }

    fn pick_up(&mut self, place: Place) {
        let cell = self.grid.get(place);
        if cell.can_be_carried() && self.carrying.is_empty() {
            self.carrying = cell;
            self.grid.set(place, Cell::EMPTY);
        }
    }

    fn drop(&mut self, place: Place) {
        if self.grid.get(place).is_empty() && !self.carrying.is_empty() {
            self.grid.set(place, self.carrying);
            self.carrying = Cell::EMPTY;
        }
    }

    fn toggle(&mut self, place: Place) {
        let cell = self.grid.get(place);
        match cell.kind() {
            Kind::Door => {
                let key = Cell::new(Kind::Key, cell.color());
                let door = match cell.door_state() {
                    Some(Door::Locked) if !self.carrying.looks_like(key) => Door::Locked,
                    Some(Door::Open) => Door::Closed,
                    _ => Door::Open,
                };
                self.grid.set(place, cell.with_state(door as u8));
            }
            Kind::Box => self.grid.set(place, cell.content()),
            _ => {}
        }
    }

    /// The grid as text, two characters a cell: the kind and the first letter of the colour; `>>`, `VV`, `<<` or
    /// `^^` the agent, `L` a locked door, `__` an open one, `A` a ball.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for y in 0..self.grid.height() as i8 {
            for x in 0..self.grid.width() as i8 {
                let pair = if self.position == [x, y] {
                    [[b'>'; 2], [b'V'; 2], [b'<'; 2], [b'^'; 2]][usize::from(self.direction & 3)]
                } else {
                    letters(self.grid.get([x, y]))
                };
                text.extend(pair.map(char::from));
            }
            text.push('\n');
        }
        text += &self.mission.text();
        if !self.carrying.is_empty() {
            let (color, kind) = (self.carrying.color().name(), self.carrying.kind().name());
            text += &format!(" (carrying a {color} {kind})");
        }
        text.push('\n');
        text
    }
}

fn letters(cell: Cell) -> [u8; 2] {
    let kind = match cell.kind() {
        Kind::Empty => return *b"  ",
        Kind::Door if cell.is_open_door() => return *b"__",
        Kind::Door if cell.door_state() == Some(Door::Locked) => b'L',
        Kind::Door => b'D',
        Kind::Wall => b'W',
        Kind::Floor => b'F',
        Kind::Key => b'K',
        Kind::Ball => b'A',
        Kind::Box => b'B',
        Kind::Goal => b'G',
        Kind::Lava => b'V',
        Kind::Unseen | Kind::Agent => b'?',
    };
    [kind, cell.color().name().as_bytes()[0].to_ascii_uppercase()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::minigrid::Color;

    /// The agent in a row of empty cells, before `cell`.
    fn before(cell: Cell) -> MiniGridState {
        let mut state = MiniGridState::new(Grid::empty([5, 3]));
        state.grid.set([2, 1], cell);
        state
    }

    const RED_KEY: Cell = Cell::new(Kind::Key, Color::Red);

    #[test]
    fn four_turns_lead_back() {
        let mut state = before(Cell::EMPTY);
        for (action, directions) in [(Action::Left, [3, 2, 1, 0]), (Action::Right, [1, 2, 3, 0])] {
            let seen = directions.map(|_| {
                state.act(action);
                state.direction
            });
            assert_eq!(seen, directions);
        }
    }

    #[test]
    fn only_the_key_of_its_colour_opens_a_locked_door() {
        let mut state = before(Cell::door(Color::Red, Door::Locked));
        for (key, open) in [
            (Cell::EMPTY, false),
            (Cell::new(Kind::Key, Color::Blue), false),
            (Cell::new(Kind::Ball, Color::Red), false),
            (RED_KEY, true),
        ] {
            state.carrying = key;
            state.act(Action::Toggle);
            assert_eq!(state.grid.get([2, 1]).is_open_door(), open, "{key:?}");
        }
        state.act(Action::Toggle);
        assert_eq!(state.grid.get([2, 1]), Cell::door(Color::Red, Door::Closed));
    }

    #[test]
    fn an_opened_box_leaves_what_it_held() {
        let mut state = before(Cell::new(Kind::Box, Color::Grey).holding_key(Color::Red));
        state.act(Action::Toggle);
        assert_eq!(state.grid.get([2, 1]), RED_KEY);
        let mut state = before(Cell::new(Kind::Box, Color::Grey));
        state.act(Action::Toggle);
        assert_eq!(state.grid.get([2, 1]), Cell::EMPTY);
    }

    #[test]
    fn one_thing_is_carried_at_a_time_and_dropped_on_empty_cells_only() {
        let mut state = before(RED_KEY);
        state.act(Action::PickUp);
        assert_eq!(
            (state.carrying, state.grid.get([2, 1])),
            (RED_KEY, Cell::EMPTY)
        );
        let ball = Cell::new(Kind::Ball, Color::Blue);
        state.grid.set([2, 1], ball);
        for action in [Action::PickUp, Action::Drop] {
            state.act(action);
            assert_eq!((state.carrying, state.grid.get([2, 1])), (RED_KEY, ball));
        }
        state.grid.set([2, 1], Cell::door(Color::Red, Door::Open));
        state.act(Action::Drop);
        assert_eq!(state.carrying, RED_KEY, "an open door is not empty");
        state.grid.set([2, 1], Cell::EMPTY);
        state.act(Action::Drop);
        assert_eq!(
            (state.carrying, state.grid.get([2, 1])),
            (Cell::EMPTY, RED_KEY)
        );
    }

    #[test]
    fn goal_and_lava_end_and_walls_and_closed_doors_stop() {
        for (cell, outcome, passes) in [
            (Cell::EMPTY, Outcome::Running, true),
            (Cell::GOAL, Outcome::Success, true),
            (Cell::LAVA, Outcome::Failure, true),
            (Cell::WALL, Outcome::Running, false),
            (RED_KEY, Outcome::Running, false),
            (
                Cell::door(Color::Red, Door::Closed),
                Outcome::Running,
                false,
            ),
            (Cell::door(Color::Red, Door::Open), Outcome::Running, true),
        ] {
            let mut state = before(cell);
            assert_eq!(state.act(Action::Forward), outcome, "{cell:?}");
            assert_eq!(state.position == [2, 1], passes, "{cell:?}");
        }
    }

    #[test]
    fn the_text_shows_kinds_and_colours() {
        let mut state = before(Cell::door(Color::Yellow, Door::Locked));
        state.carrying = RED_KEY;
        state.mission = Mission::new("go to the yellow door");
        let text = state.text();
        assert_eq!(text.lines().nth(1), Some("  >>LY    "));
        assert!(text.ends_with("go to the yellow door (carrying a red key)\n"));
    }
}
