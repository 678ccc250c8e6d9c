use std::fmt;

use rand::RngExt;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Error, Picture, Result, Seeds, Step, check_range};

use super::{Dynamics, MAX_SIDE, Outcome, Row, by_table, check_rows, finite_mdp, frame, picture};
use crate::canvas::colors;

/// `frozen-lake`: cross a frozen lake without falling into a hole.
///
/// ```text
/// [S] F  F  F
///  F  H  F  H
///  F  F  F  H
///  H  F  F  G
/// ```
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | left |
/// | 1 | down |
/// | 2 | right |
/// | 3 | up |
///
/// **Observation space**: `discrete(rows * columns)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | `row * columns + column` | cells | 0 to 15 (4x4), 0 to 63 (8x8) |
///
/// **Reward**: 1 on entering the goal, otherwise 0; see [`FrozenLakeConfig::reward_schedule`].
///
/// **Start**: on `S`; if a map has several, on each with the same probability.
///
/// **End**: terminated on entering a hole `H` or the goal `G`. Truncated after 100 steps, on the named
/// map `8x8` after 200. (Gymnasium ties the limit to its id, so its `FrozenLake-v1` with `map_name="8x8"`
/// keeps 100; here the map decides, as in its `FrozenLake8x8-v1`. `env.time_limit` sets another.)
///
/// **Config**: [`FrozenLakeConfig`].
///
/// # Reference
/// Dynamics, maps and constants: Gymnasium `FrozenLake-v1` and `FrozenLake8x8-v1`,
/// `envs/toy_text/frozen_lake.py`. Solved at a mean return of 0.70 (4x4; the optimum within 100 steps is
/// 0.744) and 0.85 (8x8; 0.913 within 200).
///
/// Deviations: an own map must have equal rows of `S`, `F`, `H`, `G` only and a goal that can be reached,
/// where Gymnasium takes what it gets. A random map has the same distribution, but another one for a seed.
#[derive(Clone, Debug)]
pub struct FrozenLake {
    dynamics: Dynamics,
    cells: Vec<u8>,
    columns: usize,
    time_limit: u32,
    reward_threshold: Option<f64>,
}

/// Configuration of [`FrozenLake`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrozenLakeConfig {
    /// `"4x4"`, `"8x8"`, a list of rows, or `{ size, frozen_probability, seed }` for a random map.
    pub map: Map,
    /// Whether an action slips to the one before or after it in the table of actions.
    pub slippery: bool,
    /// Probability that a slippery action does what it says; the rest is shared by both slips.
    pub success_rate: f64,
    /// Rewards for entering the goal, a hole, and any other cell.
    pub reward_schedule: [f32; 3],
}

impl Default for FrozenLakeConfig {
    fn default() -> Self {
        Self {
            map: Map::Named(NamedMap::FourByFour),
            slippery: true,
            success_rate: 1.0 / 3.0,
            reward_schedule: [1.0, 0.0, 0.0],
        }
    }
}

/// Which lake.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Map {
    /// One of Gymnasium's.
    Named(NamedMap),
    /// One's own, a string a row: `S` start, `F` frozen, `H` hole, `G` goal.
    Rows(Vec<String>),
    /// Drawn from a seed.
    Random(RandomMap),
}

/// Gymnasium's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamedMap {
    /// The map above.
    #[serde(rename = "4x4")]
    FourByFour,
    /// Twice as wide and high.
    #[serde(rename = "8x8")]
    EightByEight,
}

/// A square map with the start top left and the goal bottom right, drawn until the goal can be reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomMap {
    /// Cells on a side, 2 to 512.
    pub size: usize,
    /// Probability that a cell is frozen and no hole.
    pub frozen_probability: f64,
    /// The same seed gives the same map.
    pub seed: u64,
}

impl Default for RandomMap {
    fn default() -> Self {
        Self {
            size: 8,
            frozen_probability: 0.8,
            seed: 0,
        }
    }
}

/// Cells drawn before a random map is given up.
const MAX_DRAWS: usize = 50_000_000;

impl NamedMap {
    fn rows(self) -> &'static [&'static str] {
        match self {
            Self::FourByFour => &["SFFF", "FHFH", "FFFH", "HFFG"],
            Self::EightByEight => &[
                "SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF",
                "FFFHFFFG",
            ],
        }
    }
}

impl RandomMap {
    fn cells(&self) -> Result<Vec<u8>> {
        check_range("map.size", self.size, 2..=MAX_SIDE)?;
        check_range("map.frozen_probability", self.frozen_probability, 0.0..=1.0)?;
        let mut rng = Seeds::new(self.seed).stream("frozen-lake/map", 0);
        let num_cells = self.size * self.size;
        let mut cells = vec![b'F'; num_cells];
        for _ in 0..(MAX_DRAWS / num_cells).min(100_000) {
            for cell in &mut cells {
                let frozen = rng.random::<f64>() < self.frozen_probability;
                *cell = if frozen { b'F' } else { b'H' };
            }
            cells[0] = b'S';
            cells[num_cells - 1] = b'G';
            if stranded_start(&cells, self.size).is_none() {
                return Ok(cells);
            }
        }
        Err(Error::config(
            "map.frozen_probability",
            format!(
                "no map of size {} drawn with {} has a way to the goal; give a higher probability",
                self.size, self.frozen_probability
            ),
        ))
    }
}

/// The cells of an own map, once it is known to be a sound one.
fn own_cells(rows: &[String]) -> Result<(Vec<u8>, usize)> {
    let wrong = |what: String| Err(Error::config("map", what));
    let letters = "S (start), F (frozen), H (hole) or G (goal)";
    let columns = check_rows(rows, |letter| "SFHG".contains(letter), letters)?;
    let cells = rows.concat().into_bytes();
    for (letter, name) in [(b'S', "start"), (b'G', "goal")] {
        if !cells.contains(&letter) {
            return wrong(format!(
                "no row has a {name}; give at least one {}",
                char::from(letter)
            ));
        }
    }
    match stranded_start(&cells, columns) {
        None => Ok((cells, columns)),
        Some(start) => wrong(format!(
            "no way from the start in row {}, column {} to a goal; give a map that has one",
            start / columns + 1,
            start % columns + 1
        )),
    }
}

/// A start from which no goal can be reached, if there is one.
fn stranded_start(cells: &[u8], columns: usize) -> Option<usize> {
    let mut reaches = vec![false; cells.len()];
    let mut open: Vec<usize> = (0..cells.len()).filter(|&i| cells[i] == b'G').collect();
    while let Some(cell) = open.pop() {
        if !std::mem::replace(&mut reaches[cell], true) {
            let neighbours =
                (0..4).map(|direction| neighbour(cells.len(), columns, cell, direction));
            open.extend(neighbours.filter(|&i| b"SF".contains(&cells[i]) && !reaches[i]));
        }
    }
    (0..cells.len()).find(|&i| cells[i] == b'S' && !reaches[i])
}

/// The cell that lies in `direction`, or the cell itself at the edge of the map.
fn neighbour(num_cells: usize, columns: usize, cell: usize, direction: usize) -> usize {
    match direction {
        0 if !cell.is_multiple_of(columns) => cell - 1,
        1 if cell + columns < num_cells => cell + columns,
        2 if !(cell + 1).is_multiple_of(columns) => cell + 1,
        3 if cell >= columns => cell - columns,
        _ => cell,
    }
}

impl FrozenLake {
    /// # Errors
    /// [`Error::Config`] if the map is unsound, or a number out of range.
    pub fn new(config: &FrozenLakeConfig) -> Result<Self> {
        check_range("success_rate", config.success_rate, 0.0..=1.0)?;
        for reward in config.reward_schedule {
            check_range("reward_schedule", reward, f32::MIN..=f32::MAX)?;
        }
        let (cells, columns) = match &config.map {
            Map::Named(map) => (map.rows().concat().into_bytes(), map.rows()[0].len()),
            Map::Rows(rows) => own_cells(rows)?,
            Map::Random(map) => (map.cells()?, map.size),
        };
        let (time_limit, threshold) = match config.map {
            Map::Named(NamedMap::FourByFour) => (100, Some(0.70)),
            Map::Named(NamedMap::EightByEight) => (200, Some(0.85)),
            _ => (100, None),
        };
        let published = config.reward_schedule == FrozenLakeConfig::default().reward_schedule;
        Ok(Self {
            dynamics: dynamics(config, &cells, columns),
            cells,
            columns,
            time_limit,
            reward_threshold: threshold.filter(|_| published),
        })
    }

    /// The table behind the steps.
    pub fn dynamics(&self) -> &Dynamics {
        &self.dynamics
    }
}

fn dynamics(config: &FrozenLakeConfig, cells: &[u8], columns: usize) -> Dynamics {
    let [goal, hole, other] = config.reward_schedule;
    let walk = |state: usize, direction: usize| {
        let next = neighbour(cells.len(), columns, state, direction);
        Outcome {
            next: next as u32,
            step: match cells[next] {
                b'G' => Step::terminal(goal),
                b'H' => Step::terminal(hole),
                _ => Step::running(other),
            },
        }
    };
    let fail_rate = (1.0 - config.success_rate) / 2.0;
    let slip = [fail_rate, config.success_rate, fail_rate];
    let starts = (0..cells.len()).filter(|&i| cells[i] == b'S');
    Dynamics::new(
        cells.len(),
        4,
        config.slippery.then_some(slip),
        starts.map(|i| i as u32).collect(),
        |state, action| match cells[state] {
            b'G' | b'H' => Row::Sure(Outcome {
                next: state as u32,
                step: Step::terminal(0.0),
            }),
            _ if config.slippery => {
                Row::Slips([3, 0, 1].map(|turn| walk(state, (action + turn) % 4)))
            }
            _ => Row::Sure(walk(state, action)),
        },
    )
}

impl Env for FrozenLake {
    by_table!(numpy_starts);

    fn time_limit(&self) -> Option<u32> {
        Some(self.time_limit)
    }
    fn reward_threshold(&self) -> Option<f64> {
        self.reward_threshold
    }
    fn reference(&self) -> &'static str {
        "Gymnasium FrozenLake-v1"
    }
    fn render(&self, state: &u32) -> Option<String> {
        Some(picture(&self.cells, self.columns, *state as usize))
    }
    fn draw(&self, state: &u32) -> Option<Picture> {
        let color = |cell| match cell {
            b'H' => colors::GREY,
            b'G' => colors::GREEN,
            b'S' => colors::YELLOW,
            _ => colors::WHITE,
        };
        Some(frame(&self.cells, self.columns, *state as usize, color))
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["left", "down", "right", "up"]
    }
}
finite_mdp!(FrozenLake);

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MapVisitor)
    }
}

/// Chooses by the kind of value, so that an error speaks of the form that was meant.
struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = Map;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"4x4\", \"8x8\", a list of rows, or { size, frozen_probability, seed }")
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Map, E> {
        NamedMap::deserialize(StrDeserializer::<E>::new(name)).map(Map::Named)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<Map, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(rows)).map(Map::Rows)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Map, A::Error> {
        RandomMap::deserialize(MapAccessDeserializer::new(map)).map(Map::Random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use thorndike_core::{EnvOptions, FiniteMdp, Registry, check_env};

    fn lake(params: Value) -> FrozenLake {
        FrozenLake::new(&serde_json::from_value(params).unwrap()).unwrap()
    }

    /// The message for `params`, as a user sees it.
    fn refusal(params: Value) -> String {
        let registry = Registry::new().env("lake", FrozenLake::new);
        let options = EnvOptions::default();
        let made = registry.make_envs("lake", &params, &options, Seeds::new(0));
        made.err().unwrap().to_string()
    }

    #[test]
    fn conforms() {
        for params in [
            json!({}),
            json!({ "map": "8x8", "slippery": false }),
            json!({ "map": { "size": 6, "seed": 4 } }),
            json!({ "map": ["SHS", "FFF", "HGF"], "success_rate": 0.9 }),
        ] {
            assert_eq!(check_env(lake(params)), Ok(()));
        }
    }

    #[test]
    fn dry_steps_do_what_they_say_and_edges_hold() {
        let env = lake(json!({ "slippery": false }));
        let next = |state: u32, action| {
            let mut state = state;
            let step = env.dynamics.step(&mut state, action, 0.0);
            (state, step)
        };
        assert_eq!(next(0, 0), (0, Step::running(0.0)));
        assert_eq!(next(0, 1), (4, Step::running(0.0)));
        assert_eq!(next(3, 2), (3, Step::running(0.0)));
        assert_eq!(next(4, 2), (5, Step::terminal(0.0)));
        assert_eq!(next(14, 2), (15, Step::terminal(1.0)));
    }

    #[test]
    fn a_slip_takes_the_action_before_or_after() {
        let env = lake(json!({ "success_rate": 0.8 }));
        let next = |u| {
            let mut state = 9;
            env.dynamics.step(&mut state, 0, u);
            state
        };
        // Left: 0.1 up, 0.8 left, 0.1 down.
        assert_eq!([0.05, 0.5, 0.95].map(next), [5, 8, 13]);
    }

    #[test]
    fn holes_and_goal_lead_to_themselves_without_reward() {
        let env = lake(json!({ "reward_schedule": [10.0, -10.0, -1.0] }));
        for state in [5, 15] {
            let mut outcomes = Vec::new();
            env.outcomes(state, 2, &mut |p, next, step| {
                outcomes.push((p, next, step))
            });
            assert_eq!(outcomes, [(1.0, state, Step::terminal(0.0))]);
        }
    }

    #[test]
    fn the_map_decides_limit_and_threshold() {
        let of = |params| {
            let env = lake(params);
            (env.time_limit(), env.reward_threshold())
        };
        assert_eq!(of(json!({})), (Some(100), Some(0.70)));
        assert_eq!(of(json!({ "map": "8x8" })), (Some(200), Some(0.85)));
        assert_eq!(of(json!({ "map": ["SG"] })), (Some(100), None));
        assert_eq!(
            of(json!({ "reward_schedule": [5, 0, 0] })),
            (Some(100), None)
        );
    }

    #[test]
    fn an_unsound_map_is_refused_with_key_row_and_what_is_accepted() {
        for (map, message) in [
            (json!([]), "0 rows of 0 letters; give 1 to 512 of each"),
            (
                json!(["SF", "FFG"]),
                "row 2 has 3 letters, row 1 has 2; give rows of equal length",
            ),
            (
                json!(["SF", "XG"]),
                "row 2 has the letter 'X'; give S (start), F (frozen), H (hole) or G (goal)",
            ),
            (
                json!(["SF", "Fé"]),
                "row 2 has the letter 'é'; give S (start), F (frozen), H (hole) or G (goal)",
            ),
            (
                json!(["SF", "FF"]),
                "no row has a goal; give at least one G",
            ),
            (
                json!(["FF", "FG"]),
                "no row has a start; give at least one S",
            ),
            (
                json!(["SFG", "HHH", "FSF"]),
                "no way from the start in row 3, column 2 to a goal; give a map that has one",
            ),
        ] {
            let refused = refusal(json!({ "map": map }));
            assert_eq!(refused, format!("env.params.map: {message}"));
        }
    }

    #[test]
    fn other_bad_values_name_their_key() {
        for (params, message) in [
            (
                json!({ "map": "5x5" }),
                "env.params.map: unknown variant `5x5`, expected `4x4` or `8x8`",
            ),
            (
                json!({ "map": 8 }),
                "env.params.map: invalid type: integer `8`, expected \"4x4\", \"8x8\", a list of rows, or { size, frozen_probability, seed }",
            ),
            (
                json!({ "map": { "size": 1 } }),
                "env.params.map.size: 1 is out of range; give 2 to 512",
            ),
            (
                json!({ "map": { "frozen_probability": 0.0 } }),
                "env.params.map.frozen_probability: no map of size 8 drawn with 0 has a way to the goal; give a higher probability",
            ),
            (
                json!({ "success_rate": 1.5 }),
                "env.params.success_rate: 1.5 is out of range; give 0 to 1",
            ),
        ] {
            assert_eq!(refusal(params), message);
        }
    }

    #[test]
    fn a_random_map_is_the_same_for_the_same_seed_and_the_config_can_be_read_back() {
        let config = FrozenLakeConfig {
            map: Map::Random(RandomMap::default()),
            ..Default::default()
        };
        let env = FrozenLake::new(&config).unwrap();
        assert_eq!(env.cells, FrozenLake::new(&config).unwrap().cells);
        assert_eq!((env.cells[0], env.cells[63]), (b'S', b'G'));
        let back: FrozenLakeConfig =
            serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
        assert_eq!(back, config);
    }
}
