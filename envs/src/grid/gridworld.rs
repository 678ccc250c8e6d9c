use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Error, Picture, Result, Step, check_range};

use super::{Dynamics, MAX_SIDE, Outcome, Row, by_table, check_rows, finite_mdp, frame, picture};
use crate::canvas::colors;

/// `gridworld`: find a good way over a map of one's own, or over one of the textbooks'.
///
/// ```text
///  .  .  .  G        4x3
///  .  #  .  P
/// [S] .  .  .
/// ```
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | up |
/// | 1 | right |
/// | 2 | down |
/// | 3 | left |
///
/// **Observation space**: `discrete(rows * columns)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | `row * columns + column` | cells | 0 to 11 (4x3) |
///
/// **Reward**: on a step into an end the reward of that end, on every other one the reward of a step.
///
/// **Start**: on `S`; if a map has several, on each with the same probability.
///
/// **End**: terminated on entering a cell whose letter is in [`ends`](GridWorldConfig::ends). No time limit.
///
/// **Config**: [`GridWorldConfig`]. What it leaves out is as the named map has it:
///
/// | map | step reward | ends | slip | wind | from |
/// |---|---|---|---|---|---|
/// | `"4x3"` | -0.04 | `G` 1, `P` -1 | 0.2 | none | Russell and Norvig, figure 17.1 |
/// | `"windy"` | -1 | `G` -1 | 0 | 0 0 0 1 1 1 2 2 1 0 | Sutton and Barto, example 6.5 |
/// | `"dyna-maze"` | 0 | `G` 1 | 0 | none | Sutton and Barto, example 8.1 |
/// | one's own | 0 | `G` 1, `P` -1 | 0 | none | |
///
/// # Reference
/// Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd edition, 2018; Russell and Norvig, *Artificial
/// Intelligence: A Modern Approach*, 4th edition, 2020, chapter 17. (In its 3rd edition the reward belongs to the
/// state that is left: there `ends = { G = 0.96, P = -1.04 }`.)
///
/// Deviations: none.
#[derive(Clone, Debug)]
pub struct GridWorld {
    dynamics: Dynamics,
    cells: Vec<u8>,
    columns: usize,
    ends: BTreeMap<char, f32>,
}

/// Configuration of [`GridWorld`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridWorldConfig {
    /// `"4x3"`, `"windy"`, `"dyna-maze"`, or a list of rows.
    pub map: GridMap,
    /// Reward of a step that does not end the episode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_reward: Option<f32>,
    /// Letters of cells that end the episode, and the reward for entering them: goals and pits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<BTreeMap<char, f32>>,
    /// Probability that a step goes to the left or right of where it should, half of it each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slip: Option<f64>,
    /// Cells that the wind carries a step upwards (negative: downwards), by the column that it starts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wind: Option<Vec<i32>>,
}

impl Default for GridWorldConfig {
    fn default() -> Self {
        Self {
            map: GridMap::Named(NamedGrid::FourByThree),
            step_reward: None,
            ends: None,
            slip: None,
            wind: None,
        }
    }
}

/// Which grid.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum GridMap {
    /// One of the textbooks'.
    Named(NamedGrid),
    /// One's own, a string a row: `S` start, `.` floor, `#` wall, and the letters of the ends.
    Rows(Vec<String>),
}

/// Textbook maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamedGrid {
    /// Russell and Norvig's world of 4x3 cells.
    #[serde(rename = "4x3")]
    FourByThree,
    /// Sutton and Barto's windy gridworld.
    #[serde(rename = "windy")]
    Windy,
    /// Sutton and Barto's maze for Dyna.
    #[serde(rename = "dyna-maze")]
    DynaMaze,
}

/// A map with all that the configuration may leave out.
struct Plan {
    rows: Vec<String>,
    step_reward: f32,
    ends: BTreeMap<char, f32>,
    slip: f64,
    wind: Vec<i32>,
}

impl GridMap {
    fn plan(&self) -> Plan {
        let own = Plan {
            rows: Vec::new(),
            step_reward: 0.0,
            ends: BTreeMap::from([('G', 1.0), ('P', -1.0)]),
            slip: 0.0,
            wind: Vec::new(),
        };
        let rows = |rows: &[&str]| rows.iter().map(ToString::to_string).collect();
        match self {
            Self::Rows(rows) => Plan {
                rows: rows.clone(),
                ..own
            },
            Self::Named(NamedGrid::FourByThree) => Plan {
                rows: rows(&["...G", ".#.P", "S..."]),
                step_reward: -0.04,
                slip: 0.2,
                ..own
            },
            Self::Named(NamedGrid::Windy) => Plan {
                rows: rows(&[
                    "..........",
                    "..........",
                    "..........",
                    "S......G..",
                    "..........",
                    "..........",
                    "..........",
                ]),
                step_reward: -1.0,
                ends: BTreeMap::from([('G', -1.0)]),
                wind: vec![0, 0, 0, 1, 1, 1, 2, 2, 1, 0],
                ..own
            },
            Self::Named(NamedGrid::DynaMaze) => Plan {
                rows: rows(&[
                    ".......#G",
                    "..#....#.",
                    "S.#....#.",
                    "..#......",
                    ".....#...",
                    ".........",
                ]),
                ends: BTreeMap::from([('G', 1.0)]),
                ..own
            },
        }
    }
}

impl Plan {
    fn of(config: &GridWorldConfig) -> Result<Self> {
        let mut plan = config.map.plan();
        plan.step_reward = config.step_reward.unwrap_or(plan.step_reward);
        plan.slip = config.slip.unwrap_or(plan.slip);
        if let Some(ends) = &config.ends {
            plan.ends.clone_from(ends);
        }
        plan.check_numbers()?;
        let columns = plan.check_rows()?;
        match &config.wind {
            Some(wind) => plan.wind.clone_from(wind),
            None if plan.wind.is_empty() => plan.wind = vec![0; columns],
            None => {}
        }
        for &wind in &plan.wind {
            check_range("wind", wind, -(MAX_SIDE as i32)..=MAX_SIDE as i32)?;
        }
        if plan.wind.len() != columns {
            let what = format!(
                "{} numbers; give one for each of {columns} columns",
                plan.wind.len()
            );
            return Err(Error::config("wind", what));
        }
        Ok(plan)
    }

    fn check_numbers(&self) -> Result<()> {
        check_range("slip", self.slip, 0.0..=1.0)?;
        check_range("step_reward", self.step_reward, f32::MIN..=f32::MAX)?;
        for (letter, &reward) in &self.ends {
            check_range(&format!("ends.{letter}"), reward, f32::MIN..=f32::MAX)?;
            if !letter.is_ascii_alphanumeric() || *letter == 'S' {
                let what = format!("the letter {letter:?}; give digits and letters other than S");
                return Err(Error::config("ends", what));
            }
        }
        Ok(())
    }

    fn check_rows(&self) -> Result<usize> {
        let ends: String = self.ends.keys().collect();
        let is_known = |letter| "S.#".contains(letter) || self.ends.contains_key(&letter);
        let letters = format!("S (start), . (floor), # (wall) or one of the ends {ends}");
        let columns = check_rows(&self.rows, is_known, &letters)?;
        if self.rows.iter().any(|row| row.contains('S')) {
            return Ok(columns);
        }
        let what = "no row has a start; give at least one S";
        Err(Error::config("map", what))
    }

    fn dynamics(&self, cells: &[u8]) -> Dynamics {
        let aside = self.slip / 2.0;
        let slip = [aside, 1.0 - self.slip, aside];
        let starts = (0..cells.len()).filter(|&i| cells[i] == b'S');
        Dynamics::new(
            cells.len(),
            4,
            (self.slip > 0.0).then_some(slip),
            starts.map(|i| i as u32).collect(),
            |state, action| {
                let outcome = |turn| self.outcome(cells, state, (action + turn) % 4);
                if cells[state] == b'#' || self.end(cells[state]).is_some() {
                    Row::Sure(Outcome {
                        next: state as u32,
                        step: Step::terminal(0.0),
                    })
                } else if self.slip > 0.0 {
                    Row::Slips([3, 0, 1].map(outcome))
                } else {
                    Row::Sure(outcome(0))
                }
            },
        )
    }

    fn end(&self, cell: u8) -> Option<f32> {
        self.ends.get(&char::from(cell)).copied()
    }

    /// Where a step in `direction` leads, if nothing slips: first sideways, then up or down by itself and
    /// the wind together, cell by cell as far as there is no wall.
    fn outcome(&self, cells: &[u8], state: usize, direction: usize) -> Outcome {
        let columns = self.wind.len();
        let (mut row, mut column) = (state / columns, state % columns);
        let is_open = |row: usize, column: usize| {
            row < cells.len() / columns && column < columns && cells[row * columns + column] != b'#'
        };
        let upwards = self.wind[column]
            + match direction {
                0 => 1,
                2 => -1,
                _ => 0,
            };
        // One less than 0 is not open either.
        let aside = match direction {
            1 => column + 1,
            3 => column.wrapping_sub(1),
            _ => column,
        };
        if is_open(row, aside) {
            column = aside;
        }
        for _ in 0..upwards.unsigned_abs() {
            let beyond = if upwards > 0 {
                row.wrapping_sub(1)
            } else {
                row + 1
            };
            if is_open(beyond, column) {
                row = beyond;
            }
        }
        let next = row * columns + column;
        Outcome {
            next: next as u32,
            step: match self.end(cells[next]) {
                Some(reward) => Step::terminal(reward),
                None => Step::running(self.step_reward),
            },
        }
    }
}

impl GridWorld {
    /// # Errors
    /// [`Error::Config`] if the map is unsound, or a number out of range.
    pub fn new(config: &GridWorldConfig) -> Result<Self> {
        let plan = Plan::of(config)?;
        let cells = plan.rows.concat().into_bytes();
        let dynamics = plan.dynamics(&cells);
        if !dynamics.can_end() {
            let what = "no way from a start to an end; give a map that has one";
            return Err(Error::config("map", what));
        }
        Ok(Self {
            dynamics,
            cells,
            columns: plan.wind.len(),
            ends: plan.ends,
        })
    }

    /// The table behind the steps.
    pub fn dynamics(&self) -> &Dynamics {
        &self.dynamics
    }
}

impl Env for GridWorld {
    by_table!();

    fn reference(&self) -> &'static str {
        "Sutton and Barto; Russell and Norvig"
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["up", "right", "down", "left"]
    }
    fn render(&self, state: &u32) -> Option<String> {
        Some(picture(&self.cells, self.columns, *state as usize))
    }
    fn draw(&self, state: &u32) -> Option<Picture> {
        let color = |cell| match (cell, self.ends.get(&char::from(cell))) {
            (b'#', _) => colors::GREY,
            (b'S', _) => colors::YELLOW,
            (_, Some(&reward)) if reward < 0.0 && self.ends.len() > 1 => colors::RED,
            (_, Some(_)) => colors::GREEN,
            _ => colors::WHITE,
        };
        Some(frame(&self.cells, self.columns, *state as usize, color))
    }
}
finite_mdp!(GridWorld);

impl<'de> Deserialize<'de> for GridMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MapVisitor)
    }
}

/// Chooses by the kind of value, so that an error speaks of the form that was meant.
struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = GridMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"4x3\", \"windy\", \"dyna-maze\", or a list of rows")
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<GridMap, E> {
        NamedGrid::deserialize(StrDeserializer::<E>::new(name)).map(GridMap::Named)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<GridMap, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(rows)).map(GridMap::Rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use thorndike_core::{EnvOptions, Registry, Seeds, check_env};

    fn world(params: Value) -> GridWorld {
        GridWorld::new(&serde_json::from_value(params).unwrap()).unwrap()
    }

    /// The message for `params`, as a user sees it.
    fn refusal(params: Value) -> String {
        let registry = Registry::new().env("world", GridWorld::new);
        let options = EnvOptions::default();
        let made = registry.make_envs("world", &params, &options, Seeds::new(0));
        let error = made.err().unwrap().to_string();
        error.replace("env.params.", "")
    }

    fn step(env: &GridWorld, from: u32, action: usize, u: f64) -> (u32, Step) {
        let mut state = from;
        let step = env.dynamics.step(&mut state, action, u);
        (state, step)
    }

    #[test]
    fn conforms() {
        for params in [
            json!({}),
            json!({ "map": "windy" }),
            json!({ "map": "dyna-maze", "slip": 0.5 }),
            json!({ "map": ["S.#", "#.a", "S.b"], "ends": { "a": 5, "b": -2.5 }, "wind": [0, -1, 1] }),
        ] {
            assert_eq!(check_env(world(params)), Ok(()));
        }
    }

    #[test]
    fn walls_and_edges_stop_and_ends_pay_their_own_reward() {
        let env = world(json!({ "slip": 0.0 }));
        assert_eq!(step(&env, 4, 1, 0.0), (4, Step::running(-0.04)), "wall");
        assert_eq!(step(&env, 8, 2, 0.0), (8, Step::running(-0.04)), "edge");
        assert_eq!(step(&env, 2, 1, 0.0), (3, Step::terminal(1.0)));
        assert_eq!(step(&env, 6, 1, 0.0), (7, Step::terminal(-1.0)));
    }

    #[test]
    fn a_slip_goes_left_or_right_of_the_action() {
        let env = world(json!({}));
        let next = [0.05, 0.5, 0.95].map(|u| step(&env, 9, 0, u).0);
        assert_eq!(next, [8, 9, 10], "up from below the wall");
    }

    #[test]
    fn the_wind_of_the_column_left_carries_upwards() {
        let env = world(json!({ "map": "windy" }));
        let at = |row: u32, column: u32| row * 10 + column;
        assert_eq!(step(&env, at(3, 2), 1, 0.0).0, at(3, 3), "calm");
        assert_eq!(step(&env, at(3, 3), 1, 0.0).0, at(2, 4));
        assert_eq!(step(&env, at(3, 6), 2, 0.0).0, at(2, 6), "2 up, 1 down");
        assert_eq!(step(&env, at(0, 6), 0, 0.0).0, at(0, 6), "edge");
        // The book: one cell to the right of the goal, left leads to just above the goal.
        assert_eq!(step(&env, at(3, 8), 3, 0.0).0, at(2, 7));
    }

    #[test]
    fn what_a_map_has_can_be_changed() {
        let env = world(json!({ "map": "windy", "wind": vec![0; 10], "step_reward": -2 }));
        assert_eq!(step(&env, 33, 1, 0.0), (34, Step::running(-2.0)));
    }

    #[test]
    fn an_unsound_map_is_refused() {
        assert_eq!(
            refusal(json!({ "map": ["SxG"] })),
            "map: row 1 has the letter 'x'; give S (start), . (floor), # (wall) or one of the ends GP"
        );
        assert_eq!(
            refusal(json!({ "map": ["S.G", ".."] })),
            "map: row 2 has 2 letters, row 1 has 3; give rows of equal length"
        );
        assert_eq!(
            refusal(json!({ "map": [".G"] })),
            "map: no row has a start; give at least one S"
        );
        assert_eq!(
            refusal(json!({ "map": ["S#G"] })),
            "map: no way from a start to an end; give a map that has one"
        );
        assert_eq!(
            refusal(json!({ "map": [] })),
            "map: 0 rows of 0 letters; give 1 to 512 of each"
        );
        assert!(
            refusal(json!({ "map": "5x5" }))
                .contains("expected one of `4x3`, `windy`, `dyna-maze`")
        );
        assert!(refusal(json!({ "map": 3 })).contains("or a list of rows"));
    }

    #[test]
    fn numbers_out_of_range_name_their_key() {
        assert_eq!(
            refusal(json!({ "slip": 1.5 })),
            "slip: 1.5 is out of range; give 0 to 1"
        );
        assert_eq!(
            refusal(json!({ "wind": [1] })),
            "wind: 1 numbers; give one for each of 4 columns"
        );
        assert!(refusal(json!({ "ends": { "S": 1 } })).starts_with("ends: the letter 'S'"));
    }

    #[test]
    fn the_frame_tells_walls_ends_and_walker_apart() {
        let frame = world(json!({})).draw(&8).unwrap();
        let cell = frame.width / 4;
        let center =
            |column: u32, row: u32| frame.pixel(column * cell + cell / 2, row * cell + cell / 2);
        assert_eq!(center(3, 0), colors::GREEN);
        assert_eq!(center(3, 1), colors::RED);
        assert_eq!(center(1, 1), colors::GREY);
        assert_eq!(center(0, 2), colors::BLUE);
    }
}
