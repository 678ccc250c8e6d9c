//! A level while it is laid out.

use rand::RngExt;
use thorndike_core::Rng;

use super::cell::{Cell, Color};
use super::grid::{Area, Grid, Place};
use super::mission::Mission;
use super::state::{MiniGridState, distances};

/// Draws for one place before the layout is given up.
const TRIES: u32 = 1000;

/// A level while it is laid out, and the draws for it.
#[derive(Debug)]
pub struct Draft<'a> {
    /// What there is so far.
    pub state: MiniGridState,
    rng: &'a mut Rng,
}

impl<'a> Draft<'a> {
    /// An empty grid of `[columns, rows]` cells; the agent is nowhere yet and looks right.
    ///
    /// # Panics
    /// If a side is 0 or longer than [`MAX_SIDE`](super::MAX_SIDE).
    pub fn new(size: [usize; 2], rng: &'a mut Rng) -> Self {
        let mut state = MiniGridState::new(Grid::empty(size));
        state.position = [-1, -1];
        Self { state, rng }
    }

    /// Walls all around; the area within.
    pub fn wall_in(&mut self) -> Area {
        let area = self.state.grid.area();
        self.state.grid.wall_in(area);
        let [width, height] = area.size;
        Area::new([1, 1], [width - 2, height - 2])
    }

    /// A number in `low..high`.
    ///
    /// # Panics
    /// If there is none.
    pub fn between(&mut self, low: i8, high: i8) -> i8 {
        self.rng.random_range(low..high)
    }

    /// A number below `n`.
    ///
    /// # Panics
    /// If there is none.
    pub fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.rng.random()
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Puts `items` in any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }

    /// One of the six colours.
    pub fn color(&mut self) -> Color {
        self.pick(&Color::ALL)
    }

    /// Puts `cell` at an empty place of `area` where the agent is not and that is `allowed`; nothing if none is
    /// found.
    pub fn place(
        &mut self,
        cell: Cell,
        area: Area,
        allowed: impl Fn(&MiniGridState, Place) -> bool,
    ) -> Option<Place> {
        let place = self.find(area, TRIES, allowed)?;
        self.state.grid.set(place, cell);
        Some(place)
    }

    /// Draws up to `tries` places of `area` until one is empty, without the agent, and `allowed`.
    pub(super) fn find(
        &mut self,
        area: Area,
        tries: u32,
        allowed: impl Fn(&MiniGridState, Place) -> bool,
    ) -> Option<Place> {
        find(&self.state, self.rng, area, tries, allowed)
    }

    /// Puts the agent at an empty place of `area`, looking anywhere; nothing if none is found.
    pub fn place_agent(&mut self, area: Area) -> Option<Place> {
        self.state.position = [-1, -1];
        self.state.position = self.find(area, TRIES, |_, _| true)?;
        self.state.direction = self.below(4) as u8;
        Some(self.state.position)
    }

    /// Adds words to the mission.
    pub fn say(&mut self, words: Mission) {
        self.state.mission = self.state.mission.then(words);
    }
}

/// Draws up to `tries` places of `area` until one is empty, without the agent, and `allowed`.
pub(super) fn find(
    state: &MiniGridState,
    rng: &mut Rng,
    area: Area,
    tries: u32,
    allowed: impl Fn(&MiniGridState, Place) -> bool,
) -> Option<Place> {
    let end = |axis: usize| {
        let side = state.grid.area().size[axis];
        area.top[axis].saturating_add(area.size[axis]).min(side)
    };
    let ends = [end(0), end(1)];
    if area.top[0] >= ends[0] || area.top[1] >= ends[1] {
        return None;
    }
    (0..tries).find_map(|_| {
        let place = [0, 1].map(|axis| rng.random_range(area.top[axis]..ends[axis]));
        let free = state.grid.get(place).is_empty() && state.position != place;
        (free && allowed(state, place)).then_some(place)
    })
}

/// Whether `place` is neither the agent's nor beside it.
pub(super) fn away_from_agent(state: &MiniGridState, place: Place) -> bool {
    distances(state.position, place).iter().sum::<u32>() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;

    #[test]
    fn things_are_placed_everywhere_they_may_and_nowhere_else() {
        let mut rng = Seeds::new(0).stream("test", 0);
        let mut found = std::collections::BTreeMap::new();
        for _ in 0..4000 {
            let mut draft = Draft::new([6, 5], &mut rng);
            let inside = draft.wall_in();
            draft.state.position = [2, 2];
            draft.state.grid.set([4, 3], Cell::GOAL);
            let place = draft.place(Cell::LAVA, inside, away_from_agent).unwrap();
            *found.entry(place).or_insert(0) += 1;
        }
        // 12 cells less the agent's, four beside it, of which all lie inside, and the goal's.
        assert_eq!(found.len(), 6, "{found:?}");
        // Expected 667 each, standard deviation 24.
        assert!(
            found.values().all(|count| (520..820).contains(count)),
            "{found:?}"
        );
    }

    #[test]
    fn a_full_area_is_given_up() {
        let mut rng = Seeds::new(0).stream("test", 0);
        let mut draft = Draft::new([3, 3], &mut rng);
        let inside = draft.wall_in();
        draft.state.position = [1, 1];
        assert_eq!(
            draft.place(Cell::GOAL, inside, |_, _| true),
            None,
            "the agent is there"
        );
        draft.state.position = [0, 0];
        assert_eq!(draft.place(Cell::GOAL, inside, |_, _| true), Some([1, 1]));
        let nowhere = Area::new([3, 0], [2, 2]);
        assert_eq!(draft.place(Cell::GOAL, nowhere, |_, _| true), None);
    }

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let mut rng = Seeds::new(1).stream("test", 0);
        let mut draft = Draft::new([3, 3], &mut rng);
        let mut found = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            draft.shuffle(&mut items);
            *found.entry(items).or_insert(0) += 1;
        }
        // Expected 1000 each, standard deviation 29.
        assert_eq!(found.len(), 6);
        assert!(
            found.values().all(|count| (850..1150).contains(count)),
            "{found:?}"
        );
    }
}
