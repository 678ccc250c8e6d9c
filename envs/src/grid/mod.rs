//! Grid worlds whose dynamics are known: one table says what every action leads to.
//!
//! To add one: a file beside these that fills a [`Dynamics`], `finite_mdp!` so that exact solutions can
//! be drawn beside learned ones, and a line in [`register`](crate::register).

mod cliff_walking;
mod frozen_lake;
mod gridworld;
mod taxi;

pub use cliff_walking::{CliffWalking, CliffWalkingConfig};
pub use frozen_lake::{FrozenLake, FrozenLakeConfig, Map, NamedMap, RandomMap};
pub use gridworld::{GridMap, GridWorld, GridWorldConfig, NamedGrid};
pub use taxi::{FickleTaxi, FickleTaxiConfig, FickleTaxiState, Taxi, TaxiConfig, TaxiVersion};

use rand::RngExt;
use thorndike_core::{Error, Picture, Result, Rng, Step};

use crate::canvas::{Canvas, Rgb, colors};

/// What an action may lead to.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    next: u32,
    step: Step,
}

/// What one action does in one state.
enum Row {
    /// It has one outcome.
    Sure(Outcome),
    /// It slips: one outcome for each probability of the table, in their order.
    Slips([Outcome; 3]),
}

/// The dynamics of a grid world as a table.
///
/// An action has one outcome, or it slips to one of three by probabilities that are the same everywhere.
/// The uniform draw that chooses is an argument, so that recorded episodes can be replayed.
///
/// *Design.* Two thresholds serve the whole table, so choosing needs no branch and no search; a sure row
/// of a slippery table repeats its outcome.
#[derive(Clone, Debug)]
pub struct Dynamics {
    num_actions: usize,
    /// Of the outcomes in a row.
    probabilities: Vec<f64>,
    /// Running sums of the first two probabilities; infinite where nothing slips.
    thresholds: [f64; 2],
    /// `[state, action, probability]`.
    outcomes: Vec<Outcome>,
    /// `[state, action]`: whether the row has one outcome.
    sure: Vec<bool>,
    starts: Vec<u32>,
    /// Running sums of the start probabilities.
    start_thresholds: Vec<f64>,
}

impl Dynamics {
    /// A table of rows in which slippery ones have the probabilities `slip`, and in which an episode
    /// starts in each of `starts` with the same probability.
    fn new(
        num_states: usize,
        num_actions: usize,
        slip: Option<[f64; 3]>,
        starts: Vec<u32>,
        row: impl Fn(usize, usize) -> Row,
    ) -> Self {
        let probabilities = slip.map_or(vec![1.0], Vec::from);
        let thresholds = slip.map_or([f64::INFINITY; 2], |p| [p[0], p[0] + p[1]]);
        let mut outcomes = Vec::with_capacity(num_states * num_actions * probabilities.len());
        let mut sure = Vec::with_capacity(num_states * num_actions);
        for (state, action) in (0..num_states).flat_map(|s| (0..num_actions).map(move |a| (s, a))) {
            let row = row(state, action);
            sure.push(matches!(row, Row::Sure(_)));
            match row {
                Row::Sure(outcome) => {
                    outcomes.extend(std::iter::repeat_n(outcome, probabilities.len()));
                }
                Row::Slips(three) => outcomes.extend(three),
            }
        }
        let each = 1.0 / starts.len() as f64;
        let start_thresholds = starts
            .iter()
            .scan(0.0, |sum, _| {
                *sum += each;
                Some(*sum)
            })
            .collect();
        Self {
            num_actions,
            probabilities,
            thresholds,
            outcomes,
            sure,
            starts,
            start_thresholds,
        }
    }

    /// Whether any action has more than one outcome.
    pub fn slips(&self) -> bool {
        self.probabilities.len() > 1
    }

    /// The start state that the uniform draw `u` in `[0, 1)` chooses: the first one whose running sum of
    /// probabilities exceeds `u`.
    pub fn start(&self, u: f64) -> u32 {
        let i = self.start_thresholds.partition_point(|&sum| sum <= u);
        self.starts[i.min(self.starts.len() - 1)]
    }

    /// Applies `action`; the uniform draw `u` in `[0, 1)` chooses the first outcome whose running sum of
    /// probabilities exceeds `u`.
    ///
    /// # Panics
    /// If there is no such state or action.
    #[inline]
    pub fn step(&self, state: &mut u32, action: usize, u: f64) -> Step {
        assert!(action < self.num_actions, "no action {action}");
        let slip = usize::from(u >= self.thresholds[0]) + usize::from(u >= self.thresholds[1]);
        let row = *state as usize * self.num_actions + action;
        let outcome = self.outcomes[row * self.probabilities.len() + slip];
        *state = outcome.next;
        outcome.step
    }

    /// [`start`](Self::start) with a draw from `rng`, if there is a choice.
    fn draw_start(&self, rng: &mut Rng) -> u32 {
        match self.starts[..] {
            [only] => only,
            _ => self.start(rng.random()),
        }
    }

    /// [`step`](Self::step) with a draw from `rng`, if anything slips.
    #[inline]
    fn draw_step(&self, state: &mut u32, action: usize, rng: &mut Rng) -> Step {
        let u = if self.slips() { rng.random() } else { 0.0 };
        self.step(state, action, u)
    }

    fn num_states(&self) -> usize {
        self.sure.len() / self.num_actions
    }

    /// Whether there is a way from a start to the end of an episode.
    fn can_end(&self) -> bool {
        let mut seen = vec![false; self.num_states()];
        let mut open: Vec<usize> = self.starts.iter().map(|&state| state as usize).collect();
        let mut ends = false;
        while let Some(state) = open.pop() {
            if std::mem::replace(&mut seen[state], true) {
                continue;
            }
            for action in 0..self.num_actions {
                self.for_each_outcome(state, action, &mut |probability, next, step| {
                    if probability > 0.0 {
                        ends |= !step.status.bootstraps();
                        open.push(next);
                    }
                });
            }
        }
        ends
    }

    fn for_each_start(&self, each: &mut dyn FnMut(f64, usize)) {
        for &state in &self.starts {
            each(1.0 / self.starts.len() as f64, state as usize);
        }
    }

    fn for_each_outcome(
        &self,
        state: usize,
        action: usize,
        each: &mut dyn FnMut(f64, usize, Step),
    ) {
        let width = self.probabilities.len();
        let row = state * self.num_actions + action;
        let outcomes = &self.outcomes[row * width..][..width];
        if self.sure[row] {
            return each(1.0, outcomes[0].next as usize, outcomes[0].step);
        }
        for (&probability, outcome) in self.probabilities.iter().zip(outcomes) {
            each(probability, outcome.next as usize, outcome.step);
        }
    }
}

/// `FiniteMdp` for an environment with a field `dynamics`.
macro_rules! finite_mdp {
    ($env:ty) => {
        impl thorndike_core::FiniteMdp for $env {
            fn num_states(&self) -> usize {
                self.dynamics.num_states()
            }
            fn num_actions(&self) -> usize {
                self.dynamics.num_actions
            }
            fn starts(&self, each: &mut dyn FnMut(f64, usize)) {
                self.dynamics.for_each_start(each);
            }
            fn outcomes(
                &self,
                state: usize,
                action: usize,
                each: &mut dyn FnMut(f64, usize, thorndike_core::Step),
            ) {
                self.dynamics.for_each_outcome(state, action, each);
            }
        }
    };
}
use finite_mdp;

/// What an `Env` with a field `dynamics` does by it: a state is its row in the table, and that is what is seen.
macro_rules! by_table {
    () => {
        type State = u32;
        type Obs = i32;
        type Action = usize;

        fn observation_space(&self) -> thorndike_core::Space {
            thorndike_core::Space::Discrete(self.dynamics.num_states())
        }
        fn action_space(&self) -> thorndike_core::Space {
            thorndike_core::Space::Discrete(self.dynamics.num_actions)
        }
        fn reset(&self, rng: &mut thorndike_core::Rng) -> u32 {
            self.dynamics.draw_start(rng)
        }
        #[inline]
        fn step(
            &self,
            state: &mut u32,
            action: usize,
            rng: &mut thorndike_core::Rng,
        ) -> thorndike_core::Step {
            self.dynamics.draw_step(state, action, rng)
        }
        #[inline]
        fn observe(&self, state: &u32, obs: &mut [i32]) {
            obs[0] = *state as i32;
        }
    };
    (numpy_starts) => {
        by_table!();

        fn numpy_reset(&self, rng: &mut thorndike_core::NumpyRng) -> Option<u32> {
            // Gymnasium draws even where there is but one start.
            Some(self.dynamics.start(rng.random()))
        }
    };
}
use by_table;

/// Most cells on a side of an own map.
const MAX_SIDE: usize = 512;

/// The columns of an own map, once its rows are known to be of equal length and of `letters` only.
fn check_rows(rows: &[String], is_known: impl Fn(char) -> bool, letters: &str) -> Result<usize> {
    let wrong = |what: String| Err(Error::config("map", what));
    let columns = rows.first().map_or(0, String::len);
    if columns == 0 || columns > MAX_SIDE || rows.len() > MAX_SIDE {
        return wrong(format!(
            "{} rows of {columns} letters; give 1 to {MAX_SIDE} of each",
            rows.len()
        ));
    }
    for (i, row) in rows.iter().enumerate() {
        if let Some(letter) = row.chars().find(|&letter| !is_known(letter)) {
            return wrong(format!(
                "row {} has the letter {letter:?}; give {letters}",
                i + 1
            ));
        }
        if row.len() != columns {
            return wrong(format!(
                "row {} has {} letters, row 1 has {columns}; give rows of equal length",
                i + 1,
                row.len()
            ));
        }
    }
    Ok(columns)
}

/// A letter a cell, row by row; the cell `at` in brackets.
fn picture(cells: &[u8], columns: usize, at: usize) -> String {
    let mut text = String::new();
    for (i, &cell) in cells.iter().enumerate() {
        let cell = char::from(cell);
        text.extend(if i == at {
            ['[', cell, ']']
        } else {
            [' ', cell, ' ']
        });
        if (i + 1).is_multiple_of(columns) {
            text.push('\n');
        }
    }
    text
}

/// A frame of coloured cells with the walker, a disc, in cell `at`.
fn frame(cells: &[u8], columns: usize, at: usize, color: impl Fn(u8) -> Rgb) -> Picture {
    let rows = cells.len() / columns;
    let mut canvas = grid(columns, rows);
    for (i, &cell) in cells.iter().enumerate() {
        let (row, column) = ((i / columns) as f64, (i % columns) as f64);
        canvas.rectangle([column, row], [column + 1.0, row + 1.0], color(cell));
    }
    lines(&mut canvas, columns, rows);
    let (row, column) = ((at / columns) as f64, (at % columns) as f64);
    canvas.disc([column + 0.5, row + 0.5], 0.3, colors::BLUE);
    canvas.finish()
}

/// A frame whose longer side has about 320 pixels.
fn grid(columns: usize, rows: usize) -> Canvas {
    let cell_pixels = (320 / columns.max(rows)).clamp(2, 64);
    Canvas::grid(columns, rows, cell_pixels as u32)
}

/// Lines between the cells.
fn lines(canvas: &mut Canvas, columns: usize, rows: usize) {
    let (right, bottom) = (columns as f64, rows as f64);
    for row in 1..rows {
        canvas.line(
            &[[0.0, row as f64], [right, row as f64]],
            1.0,
            colors::LIGHT_GREY,
        );
    }
    for column in 1..columns {
        canvas.line(
            &[[column as f64, 0.0], [column as f64, bottom]],
            1.0,
            colors::LIGHT_GREY,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three states in a row; action 0 slips to each of them, action 1 stays for sure.
    fn three(slip: [f64; 3]) -> Dynamics {
        let to = |next: u32| Outcome {
            next,
            step: Step::running(next as f32),
        };
        Dynamics::new(3, 2, Some(slip), vec![0, 2], |state, action| match action {
            0 => Row::Slips([to(0), to(1), to(2)]),
            _ => Row::Sure(to(state as u32)),
        })
    }

    #[test]
    fn the_first_outcome_whose_running_sum_exceeds_the_draw_is_chosen() {
        let slip = [0.2, 0.5, 0.3];
        let dynamics = three(slip);
        let slow = |u: f64| {
            let mut sum = 0.0;
            slip.iter()
                .position(|p| {
                    sum += p;
                    sum > u
                })
                .unwrap()
        };
        for u in [
            0.0,
            0.1,
            0.2_f64.next_down(),
            0.2,
            0.5,
            0.7_f64.next_down(),
            0.7,
            0.99,
        ] {
            let mut state = 1;
            let step = dynamics.step(&mut state, 0, u);
            assert_eq!(state as usize, slow(u), "u = {u}");
            assert_eq!(step.reward, state as f32);
        }
    }

    #[test]
    fn a_sure_row_of_a_slippery_table_never_slips_and_has_one_outcome() {
        let dynamics = three([0.2, 0.5, 0.3]);
        for u in [0.0, 0.3, 0.9] {
            let mut state = 2;
            dynamics.step(&mut state, 1, u);
            assert_eq!(state, 2);
        }
        let mut outcomes = Vec::new();
        dynamics.for_each_outcome(2, 1, &mut |p, next, _| outcomes.push((p, next)));
        assert_eq!(outcomes, [(1.0, 2)]);
        outcomes.clear();
        dynamics.for_each_outcome(2, 0, &mut |p, next, _| outcomes.push((p, next)));
        assert_eq!(outcomes, [(0.2, 0), (0.5, 1), (0.3, 2)]);
    }

    #[test]
    fn start_states_share_the_unit_interval() {
        let dynamics = three([0.2, 0.5, 0.3]);
        let starts = [0.0, 0.499, 0.5, 0.999].map(|u| dynamics.start(u));
        assert_eq!(starts, [0, 0, 2, 2]);
    }
}
