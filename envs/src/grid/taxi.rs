use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Error, NumpyRng, Picture, Result, Rng, Step, check_range, same_as};

use super::{Dynamics, Outcome, Row, by_table, finite_mdp, grid, lines};
use crate::canvas::{Rgb, colors};

const SIDE: usize = 5;
const NUM_STATES: usize = 500;
const NUM_ACTIONS: usize = 6;
/// `|` between two cells is a wall, `:` is none; cell `(row, column)` stands at `2 * column + 1`.
const MAP: [&[u8; 11]; SIDE] = [
    b"|R: | : :G|",
    b"| : | : : |",
    b"| : : : : |",
    b"| | : | : |",
    b"|Y| : |B: |",
];
/// Where passengers wait and want to go: red, green, yellow, blue.
const MARKS: [(usize, usize); 4] = [(0, 0), (0, 4), (4, 0), (4, 3)];
const MARK_NAMES: [&str; 4] = ["R", "G", "Y", "B"];
const MARK_COLORS: [Rgb; 4] = [colors::RED, colors::GREEN, colors::YELLOW, colors::BLUE];
const IN_TAXI: usize = 4;

/// `taxi`: fetch a passenger and take them where they want to go.
///
/// ```text
/// +---------+
/// |R: | : :G|
/// | : | : : |
/// | : : : : |
/// | | : | : |
/// |Y| : |B: |
/// +---------+
/// ```
///
/// **Action space**: `discrete(6)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | drive south |
/// | 1 | drive north |
/// | 2 | drive east |
/// | 3 | drive west |
/// | 4 | pick up the passenger |
/// | 5 | drop off the passenger |
///
/// **Observation space**: `discrete(500)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | `((row * 5 + column) * 5 + passenger) * 4 + destination` | – | 0 to 499 |
///
/// Passenger and destination: 0 red, 1 green, 2 yellow, 3 blue; passenger 4: in the taxi.
///
/// **Reward**: -1 a step; -10 instead for a pick-up where no passenger waits and for a drop-off without a
/// passenger or off the marks; +20 instead for the drop-off at the destination. Dropping the passenger at
/// another mark is allowed and costs 1.
///
/// **Start**: each of the 300 states in which the passenger waits at a mark that is not the destination,
/// with the same probability.
///
/// **End**: terminated by the drop-off at the destination; truncated after 200 steps.
///
/// **Config**: [`TaxiConfig`]. A passenger who changes their mind: [`FickleTaxi`].
///
/// # Reference
/// Dietterich, *Hierarchical Reinforcement Learning with the MAXQ Value Function Decomposition*, 2000,
/// section 3.1. Dynamics and constants: Gymnasium `Taxi-v4` and `Taxi-v3`, `envs/toy_text/taxi.py`. Solved at a
/// mean return of 8 (the optimum is 8.46).
///
/// The action mask is Gymnasium's: what would change the state without rain.
///
/// Deviations: none.
#[derive(Clone, Debug)]
pub struct Taxi {
    dynamics: Dynamics,
}

/// Configuration of [`Taxi`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaxiConfig {
    /// Whether the taxi drifts sideways at times.
    pub rainy: bool,
    /// Probability that the rainy taxi goes where it is told; the rest is shared by left and right.
    pub rainy_probability: f64,
    /// Which rules of drifting; without rain both are the same.
    pub version: TaxiVersion,
}

impl Default for TaxiConfig {
    fn default() -> Self {
        Self {
            rainy: false,
            rainy_probability: 0.8,
            version: TaxiVersion::V4,
        }
    }
}

/// How a rainy taxi drifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaxiVersion {
    /// Gymnasium up to 1.2. Probabilities 0.8, 0.1, 0.1; the drift is west or east on the way south and
    /// north, south or north on the way east and west; it is stopped by a wall to the east (first
    /// drift) or west (second) of the cell that it leads to; at the edges it happens though the way is
    /// blocked.
    V3,
    /// Gymnasium from 1.3 on. The drift is to the left or right of the heading and stopped by walls, and
    /// there is none where the way ahead is blocked.
    V4,
}

impl Taxi {
    /// # Errors
    /// [`Error::Config`] if the probability is out of range, or not 0.8 where the version has no other.
    pub fn new(config: &TaxiConfig) -> Result<Self> {
        check_range("rainy_probability", config.rainy_probability, 0.0..=1.0)?;
        if config.version == TaxiVersion::V3 && config.rainy_probability != 0.8 {
            return Err(Error::config(
                "rainy_probability",
                format!(
                    "{} with version v3; give 0.8, or version \"v4\"",
                    config.rainy_probability
                ),
            ));
        }
        let ahead = config.rainy_probability;
        let aside = match config.version {
            TaxiVersion::V3 => 0.1,
            TaxiVersion::V4 => (1.0 - ahead) / 2.0,
        };
        let slip = config.rainy.then_some([ahead, aside, aside]);
        let is_start = |&state: &usize| {
            let Cab {
                passenger,
                destination,
                ..
            } = Cab::decode(state);
            passenger != IN_TAXI && passenger != destination
        };
        let starts = (0..NUM_STATES).filter(is_start).map(|state| state as u32);
        let dynamics = Dynamics::new(
            NUM_STATES,
            NUM_ACTIONS,
            slip,
            starts.collect(),
            |state, action| {
                let cab = Cab::decode(state);
                match Heading::of(action) {
                    Some(heading) if config.rainy => {
                        Row::Slips(cab.drift(heading, config.version).map(Cab::driven))
                    }
                    Some(heading) => Row::Sure(cab.drive(heading).driven()),
                    None if action == 4 => Row::Sure(cab.pick_up()),
                    None => Row::Sure(cab.drop_off()),
                }
            },
        );
        Ok(Self { dynamics })
    }

    /// The table behind the steps.
    pub fn dynamics(&self) -> &Dynamics {
        &self.dynamics
    }
}

/// A state, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cab {
    row: usize,
    column: usize,
    passenger: usize,
    destination: usize,
}

/// Directions in the order of the actions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Heading {
    South,
    North,
    East,
    West,
}

impl Heading {
    fn of(action: usize) -> Option<Self> {
        [Self::South, Self::North, Self::East, Self::West]
            .get(action)
            .copied()
    }

    fn left(self) -> Self {
        match self {
            Self::South => Self::East,
            Self::North => Self::West,
            Self::East => Self::North,
            Self::West => Self::South,
        }
    }

    fn back(self) -> Self {
        self.left().left()
    }

    fn right(self) -> Self {
        self.left().back()
    }
}

impl Cab {
    fn encode(self) -> u32 {
        (((self.row * SIDE + self.column) * 5 + self.passenger) * 4 + self.destination) as u32
    }

    fn decode(state: usize) -> Self {
        Self {
            row: state / 100,
            column: state / 20 % SIDE,
            passenger: state / 4 % 5,
            destination: state % 4,
        }
    }

    fn mark(self) -> Option<usize> {
        MARKS
            .iter()
            .position(|&mark| mark == (self.row, self.column))
    }

    /// Whether there is no wall on this side of the cell; the map's own edge stops north and south.
    fn is_open(self, side: Heading) -> bool {
        match side {
            Heading::East => MAP[self.row][2 * self.column + 2] == b':',
            Heading::West => MAP[self.row][2 * self.column] == b':',
            _ => true,
        }
    }

    /// One cell on, walls or not; the edge of the map holds.
    fn moved(self, heading: Heading) -> Self {
        let (mut row, mut column) = (self.row, self.column);
        match heading {
            Heading::South => row = (row + 1).min(SIDE - 1),
            Heading::North => row = row.saturating_sub(1),
            Heading::East => column = (column + 1).min(SIDE - 1),
            Heading::West => column = column.saturating_sub(1),
        }
        Self {
            row,
            column,
            ..self
        }
    }

    fn drive(self, heading: Heading) -> Self {
        if self.is_open(heading) {
            self.moved(heading)
        } else {
            self
        }
    }

    /// Where the rainy taxi may come to: ahead, and to one side and the other.
    fn drift(self, heading: Heading, version: TaxiVersion) -> [Self; 3] {
        use Heading::{East, North, South, West};
        let ahead = self.drive(heading);
        match version {
            TaxiVersion::V4 if ahead == self => [self; 3],
            TaxiVersion::V4 => [
                ahead,
                self.drive(heading.left()),
                self.drive(heading.right()),
            ],
            TaxiVersion::V3 if !self.is_open(heading) => [self; 3],
            TaxiVersion::V3 => {
                let (first, second) = match heading {
                    South | North => (West, East),
                    East | West => (South, North),
                };
                let past = |to: Self, wall| if to.is_open(wall) { to } else { self };
                [
                    ahead,
                    past(self.moved(first), East),
                    past(self.moved(second), West),
                ]
            }
        }
    }

    fn outcome(self, step: Step) -> Outcome {
        Outcome {
            next: self.encode(),
            step,
        }
    }

    fn driven(self) -> Outcome {
        self.outcome(Step::running(-1.0))
    }

    fn pick_up(self) -> Outcome {
        if self.mark() == Some(self.passenger) {
            let passenger = IN_TAXI;
            Self { passenger, ..self }.outcome(Step::running(-1.0))
        } else {
            self.outcome(Step::running(-10.0))
        }
    }

    fn drop_off(self) -> Outcome {
        match self.mark() {
            Some(passenger) if self.passenger == IN_TAXI => {
                let step = if passenger == self.destination {
                    Step::terminal(20.0)
                } else {
                    Step::running(-1.0)
                };
                Self { passenger, ..self }.outcome(step)
            }
            _ => self.outcome(Step::running(-10.0)),
        }
    }

    /// Whether `action` changes anything without rain.
    fn allows(self, action: usize) -> bool {
        let next = match Heading::of(action) {
            Some(heading) => self.drive(heading).encode(),
            None if action == 4 => self.pick_up().next,
            None => self.drop_off().next,
        };
        next != self.encode()
    }

    /// The map with its marks; the taxi grey, the passenger a black disc, the destination in a frame.
    fn frame(self) -> Picture {
        let mut canvas = grid(SIDE, SIDE);
        let place = |(row, column): (usize, usize)| [column as f64, row as f64];
        for (mark, color) in MARKS.into_iter().zip(MARK_COLORS) {
            let [x, y] = place(mark);
            canvas.rectangle([x, y], [x + 1.0, y + 1.0], color);
        }
        lines(&mut canvas, SIDE, SIDE);
        for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE - 1).map(move |i| (row, i))) {
            if MAP[row][2 * column + 2] == b'|' {
                let [x, y] = place((row, column + 1));
                canvas.line(&[[x, y], [x, y + 1.0]], 5.0, colors::BLACK);
            }
        }
        let [x, y] = place(MARKS[self.destination]);
        let (low, high) = (0.06, 0.94);
        let corners = [
            [low, low],
            [high, low],
            [high, high],
            [low, high],
            [low, low],
        ];
        canvas.line(&corners.map(|[a, b]| [x + a, y + b]), 4.0, colors::PURPLE);
        let taxi = (self.row, self.column);
        let [x, y] = place(taxi);
        canvas.rectangle([x + 0.18, y + 0.3], [x + 0.82, y + 0.7], colors::GREY);
        let waits = MARKS.get(self.passenger);
        let [x, y] = place(waits.copied().unwrap_or(taxi));
        canvas.disc([x + 0.5, y + 0.5], 0.14, colors::BLACK);
        canvas.finish()
    }

    /// The map with `T` where the taxi is, and in words who wants to go where.
    fn picture(self) -> String {
        let mut text = String::from("+---------+\n");
        for (row, cells) in MAP.iter().enumerate() {
            text.extend(cells.iter().enumerate().map(|(i, &cell)| {
                let taxi = (row, i) == (self.row, 2 * self.column + 1);
                char::from(if taxi { b'T' } else { cell })
            }));
            text.push('\n');
        }
        let passenger = MARK_NAMES
            .get(self.passenger)
            .map_or("in the taxi T".to_owned(), |mark| format!("at {mark}"));
        let destination = MARK_NAMES[self.destination];
        text + &format!("+---------+\npassenger {passenger}, wants to go to {destination}\n")
    }
}

impl Env for Taxi {
    by_table!(numpy_starts);

    fn time_limit(&self) -> Option<u32> {
        Some(200)
    }
    fn reward_threshold(&self) -> Option<f64> {
        Some(8.0)
    }
    fn action_mask(&self, state: &u32, mask: &mut [bool]) {
        let cab = Cab::decode(*state as usize);
        for (action, allowed) in mask.iter_mut().enumerate() {
            *allowed = cab.allows(action);
        }
    }

    fn reference(&self) -> &'static str {
        "Gymnasium Taxi-v4"
    }
    fn render(&self, state: &u32) -> Option<String> {
        Some(Cab::decode(*state as usize).picture())
    }
    fn draw(&self, state: &u32) -> Option<Picture> {
        Some(Cab::decode(*state as usize).frame())
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["south", "north", "east", "west", "pick up", "drop off"]
    }
}
finite_mdp!(Taxi);

/// `taxi-fickle`: a [`Taxi`] whose passenger may change their mind on the way.
///
/// Whether they will is drawn at the start and cannot be observed, so these dynamics are no table over
/// what is observed, and no exact solution is drawn beside a run. Hence an environment of its own.
///
/// **Action space**, **Observation space**, **Reward**, **End**: as [`Taxi`].
///
/// **Start**: as [`Taxi`]; with [`fickle_probability`](FickleTaxiConfig::fickle_probability) the passenger
/// will change their mind. Then, on the first step that moves the taxi with the passenger already in it,
/// the destination becomes one of the three others, with the same probability; once an episode.
///
/// **Config**: [`FickleTaxiConfig`].
///
/// # Reference
/// Dietterich, 2000, section 7.1. Gymnasium `Taxi-v4` with `fickle_passenger=True`, `envs/toy_text/taxi.py`.
///
/// Deviations: as [`Taxi`]; no reward threshold, since the registered one is for the plain problem.
#[derive(Clone, Debug)]
pub struct FickleTaxi {
    taxi: Taxi,
    fickle_probability: f64,
}

/// Configuration of [`FickleTaxi`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FickleTaxiConfig {
    /// Probability that the passenger changes their mind.
    pub fickle_probability: f64,
    /// As [`TaxiConfig::rainy`].
    pub rainy: bool,
    /// As [`TaxiConfig::rainy_probability`].
    pub rainy_probability: f64,
    /// As [`TaxiConfig::version`].
    pub version: TaxiVersion,
}

impl Default for FickleTaxiConfig {
    fn default() -> Self {
        let TaxiConfig {
            rainy,
            rainy_probability,
            version,
        } = TaxiConfig::default();
        Self {
            fickle_probability: 0.3,
            rainy,
            rainy_probability,
            version,
        }
    }
}

/// State of a [`FickleTaxi`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FickleTaxiState {
    /// What is observed.
    pub observed: u32,
    /// Whether the passenger has yet to change their mind.
    pub fickle: bool,
}

impl FickleTaxi {
    /// # Errors
    /// [`Error::Config`] if a probability is out of range, or not 0.8 where the version has no other.
    pub fn new(config: &FickleTaxiConfig) -> Result<Self> {
        check_range("fickle_probability", config.fickle_probability, 0.0..=1.0)?;
        let taxi = Taxi::new(&TaxiConfig {
            rainy: config.rainy,
            rainy_probability: config.rainy_probability,
            version: config.version,
        })?;
        Ok(Self {
            taxi,
            fickle_probability: config.fickle_probability,
        })
    }

    /// The start that the uniform draws `u` (where) and `mind` (whether it will be changed) choose.
    pub fn start_with(&self, u: f64, mind: f64) -> FickleTaxiState {
        FickleTaxiState {
            observed: self.taxi.dynamics.start(u),
            fickle: mind < self.fickle_probability,
        }
    }

    /// Applies `action`; the uniform draw `u` chooses where a rainy taxi goes, and `turn` in 1 to 3 is
    /// asked for how many destinations further the passenger wants to go, if they change their mind.
    pub fn step_with(
        &self,
        state: &mut FickleTaxiState,
        action: usize,
        u: f64,
        turn: impl FnOnce() -> usize,
    ) -> Step {
        let before = Cab::decode(state.observed as usize);
        let step = self.taxi.dynamics.step(&mut state.observed, action, u);
        if state.fickle && before.passenger == IN_TAXI {
            let cab = Cab::decode(state.observed as usize);
            if (cab.row, cab.column) != (before.row, before.column) {
                state.fickle = false;
                let destination = (before.destination + turn()) % MARKS.len();
                state.observed = Cab { destination, ..cab }.encode();
            }
        }
        step
    }
}

impl Env for FickleTaxi {
    type State = FickleTaxiState;
    type Obs = i32;
    type Action = usize;

    same_as!(|this| this.taxi; observation_space, action_space, time_limit, reference, action_names);
    fn reset(&self, rng: &mut Rng) -> FickleTaxiState {
        self.start_with(rng.random(), rng.random())
    }
    fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<FickleTaxiState> {
        let place = rng.random();
        Some(self.start_with(place, rng.random()))
    }
    fn step(&self, state: &mut FickleTaxiState, action: usize, rng: &mut Rng) -> Step {
        let u = rng.random();
        self.step_with(state, action, u, || rng.random_range(1..MARKS.len()))
    }
    fn observe(&self, state: &FickleTaxiState, obs: &mut [i32]) {
        self.taxi.observe(&state.observed, obs);
    }
    fn action_mask(&self, state: &FickleTaxiState, mask: &mut [bool]) {
        self.taxi.action_mask(&state.observed, mask);
    }
    fn render(&self, state: &FickleTaxiState) -> Option<String> {
        self.taxi.render(&state.observed)
    }
    fn draw(&self, state: &FickleTaxiState) -> Option<Picture> {
        self.taxi.draw(&state.observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::check_env;

    fn taxi(rainy: bool, version: TaxiVersion) -> Taxi {
        Taxi::new(&TaxiConfig {
            rainy,
            version,
            ..Default::default()
        })
        .unwrap()
    }

    fn state(row: usize, column: usize, passenger: usize, destination: usize) -> u32 {
        Cab {
            row,
            column,
            passenger,
            destination,
        }
        .encode()
    }

    fn step(from: u32, action: usize) -> (u32, Step) {
        let mut state = from;
        let step = taxi(false, TaxiVersion::V4)
            .dynamics
            .step(&mut state, action, 0.0);
        (state, step)
    }

    #[test]
    fn conforms() {
        for rainy in [false, true] {
            for version in [TaxiVersion::V3, TaxiVersion::V4] {
                assert_eq!(check_env(taxi(rainy, version)), Ok(()));
            }
            let config = FickleTaxiConfig {
                rainy,
                fickle_probability: 0.9,
                ..Default::default()
            };
            assert_eq!(check_env(FickleTaxi::new(&config).unwrap()), Ok(()));
        }
    }

    #[test]
    fn states_are_numbered_as_published() {
        // The example of Gymnasium's documentation: row 3, column 1, passenger 2, destination 0.
        assert_eq!(state(3, 1, 2, 0), 328);
        for i in 0..NUM_STATES {
            assert_eq!(Cab::decode(i).encode() as usize, i);
        }
    }

    #[test]
    fn walls_and_edges_stop_the_taxi() {
        let at = |row, column| state(row, column, 0, 1);
        assert_eq!(step(at(0, 1), 2).0, at(0, 1), "wall to the east");
        assert_eq!(
            step(at(0, 2), 3).0,
            at(0, 2),
            "the same wall from the other side"
        );
        assert_eq!(step(at(2, 1), 2).0, at(2, 2), "no wall in the middle row");
        assert_eq!(step(at(4, 0), 0).0, at(4, 0), "southern edge");
        assert_eq!(
            step(at(0, 4), 2),
            (at(0, 4), Step::running(-1.0)),
            "eastern edge"
        );
    }

    #[test]
    fn a_ride_pays_twenty_and_mistakes_cost_ten() {
        assert_eq!(
            step(state(0, 0, 0, 1), 4),
            (state(0, 0, 4, 1), Step::running(-1.0))
        );
        assert_eq!(
            step(state(0, 1, 0, 1), 4),
            (state(0, 1, 0, 1), Step::running(-10.0))
        );
        assert_eq!(
            step(state(0, 4, 4, 1), 5),
            (state(0, 4, 1, 1), Step::terminal(20.0))
        );
        assert_eq!(
            step(state(4, 0, 4, 1), 5),
            (state(4, 0, 2, 1), Step::running(-1.0))
        );
        assert_eq!(
            step(state(2, 2, 4, 1), 5),
            (state(2, 2, 4, 1), Step::running(-10.0))
        );
        assert_eq!(
            step(state(0, 0, 0, 0), 5),
            (state(0, 0, 0, 0), Step::running(-10.0))
        );
    }

    #[test]
    fn a_rainy_taxi_drifts_left_and_right_of_its_heading() {
        let env = taxi(true, TaxiVersion::V4);
        let next = |row, column, action| {
            [0.5, 0.85, 0.95].map(|u| {
                let mut at = state(row, column, 0, 1);
                env.dynamics.step(&mut at, action, u);
                let cab = Cab::decode(at as usize);
                (cab.row, cab.column)
            })
        };
        assert_eq!(
            next(2, 2, 0),
            [(3, 2), (2, 3), (2, 1)],
            "south: left is east"
        );
        assert_eq!(
            next(2, 2, 1),
            [(1, 2), (2, 1), (2, 3)],
            "north: left is west"
        );
        assert_eq!(
            next(2, 2, 2),
            [(2, 3), (1, 2), (3, 2)],
            "east: left is north"
        );
        assert_eq!(
            next(2, 2, 3),
            [(2, 1), (3, 2), (1, 2)],
            "west: left is south"
        );
        assert_eq!(
            next(3, 0, 1),
            [(2, 0), (3, 0), (3, 0)],
            "walls stop the drift"
        );
        assert_eq!(
            next(0, 3, 1),
            [(0, 3); 3],
            "no drift where the way is blocked"
        );
    }

    #[test]
    fn a_fickle_passenger_changes_their_mind_once_and_on_the_way() {
        let config = FickleTaxiConfig {
            fickle_probability: 0.5,
            ..Default::default()
        };
        let env = FickleTaxi::new(&config).unwrap();
        assert!(env.start_with(0.0, 0.49).fickle && !env.start_with(0.0, 0.5).fickle);
        let mut at = FickleTaxiState {
            observed: state(0, 0, 0, 1),
            fickle: true,
        };
        let mut step = |action| {
            env.step_with(&mut at, action, 0.0, || 2);
            at
        };
        assert_eq!(step(4).observed, state(0, 0, 4, 1), "not while getting in");
        assert_eq!(step(1).observed, state(0, 0, 4, 1), "not while standing");
        let turned = step(0);
        assert_eq!((turned.observed, turned.fickle), (state(1, 0, 4, 3), false));
        assert_eq!(step(0).observed, state(2, 0, 4, 3), "only once");
    }

    #[test]
    fn version_3_has_one_probability() {
        let config = TaxiConfig {
            rainy_probability: 0.7,
            version: TaxiVersion::V3,
            ..Default::default()
        };
        assert_eq!(
            Taxi::new(&config).unwrap_err().to_string(),
            "rainy_probability: 0.7 with version v3; give 0.8, or version \"v4\""
        );
    }

    #[test]
    fn the_picture_shows_taxi_passenger_and_destination() {
        let picture = taxi(false, TaxiVersion::V4)
            .render(&state(0, 1, 4, 3))
            .unwrap();
        assert_eq!(picture.lines().nth(1), Some("|R:T| : :G|"));
        assert!(picture.contains("passenger in the taxi T, wants to go to B"));
    }
}
