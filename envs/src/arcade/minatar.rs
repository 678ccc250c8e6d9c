use std::fmt::Debug;

use rand::RngExt;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Status, Step, check_range};

use super::Board;
use crate::canvas::{Canvas, Rgb, colors};

/// Width and height of the grid.
const SIDE: usize = 10;
const CELLS: usize = SIDE * SIDE;
/// Pixels of a cell in a drawn frame.
const CELL_PIXELS: u32 = 20;

/// A game of MinAtar: the rules of `G` behind sticky buttons, seen as planes of cells.
///
/// Five games follow games of the Atari 2600 on a grid of 10 x 10 cells: what makes them hard to act in is
/// kept, what makes them slow to see is left out.
///
/// **Action space**: discrete. With [`ActionSet::Minimal`] the buttons that the game listens to, in the order
/// of this table; with [`ActionSet::Full`] all of it.
///
/// | full | button |
/// |---|---|
/// | 0 | no-op |
/// | 1 | left |
/// | 2 | up |
/// | 3 | right |
/// | 4 | down |
/// | 5 | fire |
///
/// With probability `sticky_probability` the button of the step before is pressed again instead.
///
/// **Observation space**: box of `channels x 10 x 10` `u8`, one plane for each kind of thing.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | `(channel * 10 + y) * 10 + x` | whether such a thing is in column `x` of row `y`, from the top | – | 0 or 1 |
///
/// **Reward**, **Start**, **End**: see the page of each game. A step after the end gives 0 and changes nothing.
/// None has a time limit; [`Freeway`](super::Freeway) ends by its own clock.
///
/// **Config**: [`MinAtarConfig`].
///
/// **Frames**: text shows a letter for each thing, the pictures a colour; both are on each game's page.
///
/// # Reference
/// Young and Tian, *MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible Reinforcement Learning
/// Experiments*, 2019; MinAtar 1.0.15, whose recorded episodes these games reproduce.
///
/// Deviations: planes come first (`channels x 10 x 10`, MinAtar: `10 x 10 x channels`), as convolutions want
/// them. Random numbers are drawn in MinAtar's order and from its distributions, but by our generator and not by
/// numpy's, so that a seed gives other episodes; none is drawn for stickiness if its probability is 0. A new
/// episode begins with no-op as the button before, where MinAtar remembers the last one of the episode before.
///
/// ```
/// use thorndike_core::{Env, Seeds};
/// use thorndike_envs::arcade::{Breakout, MinAtar, MinAtarConfig};
/// let env = MinAtar::<Breakout>::new(&MinAtarConfig::default()).unwrap();
/// assert_eq!(env.action_names(), ["noop", "left", "right"]);
/// let state = env.reset(&mut Seeds::new(1).stream("env", 0));
/// let mut planes = vec![0; env.observation_space().len()];
/// env.observe(&state, &mut planes);
/// assert_eq!(planes[94], 1, "the paddle, in column 4 of the bottom row");
/// ```
#[derive(Clone, Debug)]
pub struct MinAtar<G> {
    game: G,
    buttons: &'static Buttons,
    sticky_probability: f64,
}

/// Configuration of [`MinAtar`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinAtarConfig {
    /// Probability that the button of the step before is pressed again, 0 to 1. Published: 0.1.
    pub sticky_probability: f64,
    /// Whether a game gets harder with time or success. Breakout and Freeway have no such rule.
    pub ramping: bool,
    /// Which buttons there are: `"minimal"` (MinAtar's `-v1`) or `"full"` (`-v0`, and the paper).
    pub actions: ActionSet,
}

impl Default for MinAtarConfig {
    fn default() -> Self {
        Self {
            sticky_probability: 0.1,
            ramping: true,
            actions: ActionSet::Minimal,
        }
    }
}

/// Which buttons an agent has.
///
/// *Design.* The minimal set is the default, as in MinAtar's newer ids (`-v1`): to find out which buttons do
/// nothing is no part of these games. The paper's own results are those of the full set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionSet {
    /// Those that the game listens to.
    #[default]
    Minimal,
    /// All six.
    Full,
}

/// A button of the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Button {
    /// None is pressed.
    #[default]
    NoOp,
    /// To the left.
    Left,
    /// Upwards.
    Up,
    /// To the right.
    Right,
    /// Downwards.
    Down,
    /// Shoots.
    Fire,
}

/// Buttons with their names, in the order of their actions.
#[derive(Clone, Debug)]
pub struct Buttons {
    count: usize,
    buttons: [Button; 6],
    names: [&'static str; 6],
}

impl Buttons {
    /// All six.
    pub const FULL: Self = Self::of(&[
        Button::NoOp,
        Button::Left,
        Button::Up,
        Button::Right,
        Button::Down,
        Button::Fire,
    ]);

    /// At most six buttons.
    pub const fn of(some: &[Button]) -> Self {
        const NAMES: [&str; 6] = ["noop", "left", "up", "right", "down", "fire"];
        let mut all = Self {
            count: some.len(),
            buttons: [Button::NoOp; 6],
            names: [""; 6],
        };
        let mut i = 0;
        while i < some.len() {
            all.buttons[i] = some[i];
            all.names[i] = NAMES[some[i] as usize];
            i += 1;
        }
        all
    }
}

/// Where random numbers come from: our generator, or the record of an episode.
pub trait Draws {
    /// A uniform draw in `[0, 1)`.
    fn uniform(&mut self) -> f64;
    /// A whole number from `low` to `high - 1`, each with the same probability.
    fn integer(&mut self, low: i8, high: i8) -> i8;
}

impl Draws for Rng {
    #[inline]
    fn uniform(&mut self) -> f64 {
        self.random()
    }
    #[inline]
    fn integer(&mut self, low: i8, high: i8) -> i8 {
        self.random_range(low..high)
    }
}

/// The rules of one game.
pub trait Game: Send + Sync + Sized {
    /// All that changes during an episode.
    type State: Clone + Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned;
    /// Where it comes from.
    const REFERENCE: &'static str;
    /// The buttons that it listens to.
    const BUTTONS: Buttons;
    /// What the planes of the observation show, in their order.
    const CHANNELS: &'static [Channel];

    /// The rules, with or without those that make the game harder.
    fn new(ramping: bool) -> Self;
    /// Starts an episode.
    fn reset(&self, draws: &mut impl Draws) -> Self::State;
    /// Plays one frame of an episode that is not over.
    fn step(&self, state: &mut Self::State, button: Button, draws: &mut impl Draws) -> Step;
    /// Marks what is seen; all planes are empty before.
    fn show(&self, state: &Self::State, planes: &mut Planes<'_>);
}

/// A kind of thing that is seen.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// What it is.
    pub name: &'static str,
    /// Its letter in a text frame and its colour in a picture; none where other channels say more.
    pub look: Option<(char, Rgb)>,
}

impl Channel {
    /// A kind of thing with its letter and colour.
    pub const fn new(name: &'static str, letter: char, color: Rgb) -> Self {
        Self {
            name,
            look: Some((letter, color)),
        }
    }

    /// A kind of thing that other channels show in more detail.
    pub const fn implied(name: &'static str) -> Self {
        Self { name, look: None }
    }
}

/// The observation being written.
#[derive(Debug)]
pub struct Planes<'a>(&'a mut [u8]);

impl Planes<'_> {
    /// Marks one cell; what lies outside the grid is not seen.
    #[inline]
    pub fn mark(&mut self, channel: usize, x: i8, y: i8) {
        if (x as u8) < SIDE as u8
            && (y as u8) < SIDE as u8
            && let Some(cell) = self
                .0
                .get_mut(channel * CELLS + y as usize * SIDE + x as usize)
        {
            *cell = 1;
        }
    }

    /// Marks the cells of `board`, the only ones of this channel.
    #[inline]
    pub fn board(&mut self, channel: usize, board: Board) {
        if board.is_empty() {
            return;
        }
        let mut bits = board.bits();
        let (eights, rest) = self.0[channel * CELLS..][..CELLS].as_chunks_mut();
        for eight in eights {
            *eight = spread(bits as u8);
            bits >>= 8;
        }
        for (cell, bit) in rest.iter_mut().zip(spread(bits as u8)) {
            *cell = bit;
        }
    }
}

/// One byte for each bit, the lowest first.
#[inline]
fn spread(bits: u8) -> [u8; 8] {
    // Copies of the seven low bits, each seven places further, have bit `i` at the foot of byte `i`.
    let seven = u64::from(bits & 0x7f) * 0x0002_0408_1020_4081;
    let eighth = u64::from(bits >> 7) << 56;
    ((seven & 0x0101_0101_0101_0101) | eighth).to_le_bytes()
}

/// State of [`MinAtar`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinAtarState<S> {
    /// State of the game.
    pub game: S,
    /// The button of the step before, which may stick.
    pub button: Button,
    /// Whether the game has ended.
    pub over: bool,
}

impl<G: Game> MinAtar<G> {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if `sticky_probability` does not lie in 0 to 1.
    pub fn new(config: &MinAtarConfig) -> Result<Self> {
        check_range("sticky_probability", config.sticky_probability, 0.0..=1.0)?;
        Ok(Self {
            game: G::new(config.ramping),
            buttons: match config.actions {
                ActionSet::Minimal => &G::BUTTONS,
                ActionSet::Full => &Buttons::FULL,
            },
            sticky_probability: config.sticky_probability,
        })
    }

    /// The rules of the game.
    pub fn game(&self) -> &G {
        &self.game
    }

    /// The start that `draws` give.
    pub fn start_with(&self, draws: &mut impl Draws) -> MinAtarState<G::State> {
        MinAtarState {
            game: self.game.reset(draws),
            button: Button::NoOp,
            over: false,
        }
    }

    /// Applies `action` with random numbers from `draws`.
    ///
    /// # Panics
    /// If there is no such action.
    #[inline]
    pub fn step_with(
        &self,
        state: &mut MinAtarState<G::State>,
        action: usize,
        draws: &mut impl Draws,
    ) -> Step {
        let pressed = self.buttons.buttons[..self.buttons.count][action];
        if state.over {
            return Step::terminal(0.0);
        }
        let sticks = self.sticky_probability > 0.0 && draws.uniform() < self.sticky_probability;
        if !sticks {
            state.button = pressed;
        }
        let step = self.game.step(&mut state.game, state.button, draws);
        state.over = step.status == Status::Terminated;
        step
    }

    /// What is to be seen in each cell: of several things the one of the first channel.
    fn looks(&self, state: &MinAtarState<G::State>) -> [Option<(char, Rgb)>; CELLS] {
        let mut planes = vec![0; G::CHANNELS.len() * CELLS];
        self.game.show(&state.game, &mut Planes(&mut planes));
        std::array::from_fn(|cell| {
            let seen = planes.chunks_exact(CELLS).zip(G::CHANNELS);
            seen.filter(|(plane, _)| plane[cell] == 1)
                .find_map(|(_, channel)| channel.look)
        })
    }
}

impl<G: Game> Env for MinAtar<G> {
    type State = MinAtarState<G::State>;
    type Obs = u8;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![G::CHANNELS.len(), SIDE, SIDE],
            low: 0.0,
            high: 1.0,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(self.buttons.count)
    }
    fn reset(&self, rng: &mut Rng) -> Self::State {
        self.start_with(rng)
    }
    #[inline]
    fn step(&self, state: &mut Self::State, action: usize, rng: &mut Rng) -> Step {
        self.step_with(state, action, rng)
    }
    #[inline]
    fn observe(&self, state: &Self::State, obs: &mut [u8]) {
        obs.fill(0);
        self.game.show(&state.game, &mut Planes(obs));
    }
    fn reference(&self) -> &'static str {
        G::REFERENCE
    }
    fn action_names(&self) -> &'static [&'static str] {
        &self.buttons.names[..self.buttons.count]
    }

    fn render(&self, state: &Self::State) -> Option<String> {
        let looks = self.looks(state);
        let lines = looks.chunks_exact(SIDE).map(|row| {
            let letters = row
                .iter()
                .map(|look| look.map_or('.', |(letter, _)| letter));
            letters.chain(['\n']).collect::<String>()
        });
        Some(lines.collect())
    }

    fn draw(&self, state: &Self::State) -> Option<Picture> {
        let mut canvas = Canvas::grid(SIDE, SIDE, CELL_PIXELS);
        canvas.rectangle([0.0; 2], [SIDE as f64; 2], colors::BLACK);
        for (cell, look) in self.looks(state).into_iter().enumerate() {
            if let Some((_, color)) = look {
                let [x, y] = [cell % SIDE, cell / SIDE].map(|at| at as f64);
                canvas.rectangle([x + 0.05, y + 0.05], [x + 0.95, y + 0.95], color);
            }
        }
        Some(canvas.finish())
    }
}

/// Reads a number of a saved state, which the rules rely on to lie in `LOW..=HIGH`.
pub(super) fn in_range<'de, D, T, const LOW: i32, const HIGH: i32>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Into<i32> + Copy,
{
    let number = T::deserialize(from)?;
    if (LOW..=HIGH).contains(&number.into()) {
        Ok(number)
    } else {
        let number: i32 = number.into();
        Err(D::Error::custom(format!(
            "{number} is out of range; give {LOW} to {HIGH}"
        )))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::arcade::{Asterix, Breakout, Freeway, FreewayState, Seaquest, SpaceInvaders};
    use thorndike_core::{EnvOptions, Seeds, SyncVectorEnv, VectorEnv, check_env};

    /// Draws the same again and again.
    pub(crate) struct Always(pub(crate) f64, pub(crate) i8);

    impl Draws for Always {
        fn uniform(&mut self) -> f64 {
            self.0
        }
        fn integer(&mut self, low: i8, high: i8) -> i8 {
            assert!((low..high).contains(&self.1), "{} of {low}..{high}", self.1);
            self.1
        }
    }

    /// Presses `buttons` one after the other, with no draw that matters.
    pub(crate) fn press<G: Game>(game: &G, state: &mut G::State, buttons: &[Button]) -> Vec<Step> {
        let press = |&button: &Button| game.step(state, button, &mut Always(0.9, 1));
        buttons.iter().map(press).collect()
    }

    fn make<G: Game>(sticky_probability: f64, actions: ActionSet) -> MinAtar<G> {
        MinAtar::new(&MinAtarConfig {
            sticky_probability,
            actions,
            ..Default::default()
        })
        .unwrap()
    }

    fn conforms<G: Game>() {
        for (sticky, actions) in [(0.1, ActionSet::Minimal), (0.0, ActionSet::Full)] {
            assert_eq!(check_env(make::<G>(sticky, actions)), Ok(()));
        }
        assert_eq!(make::<G>(0.1, ActionSet::Full).action_names().len(), 6);
        stays_sound_whatever_bytes_it_reads::<G>();
    }

    /// Loads every saved byte changed, and goes on from what is accepted.
    fn stays_sound_whatever_bytes_it_reads<G: Game>() {
        let make = || {
            let env = make::<G>(0.1, ActionSet::Minimal);
            SyncVectorEnv::new(env, &EnvOptions::default(), Seeds::new(1)).unwrap()
        };
        let mut envs = make();
        let act = |envs: &mut SyncVectorEnv<MinAtar<G>>, steps: i32| {
            let mut actions = envs.new_actions();
            for step in 0..steps {
                actions.row_mut::<i32>(0)[0] = step % 3;
                envs.step(&actions);
                envs.advance();
            }
        };
        act(&mut envs, 120);
        let saved = envs.save().unwrap();
        let mut accepted = 0;
        let mut copy = make();
        for place in 0..saved.len() {
            for change in [1, 4, 16, 128] {
                let mut bytes = saved.clone();
                bytes[place] ^= change;
                if copy.load(&bytes).is_ok() {
                    accepted += 1;
                    act(&mut copy, 12);
                }
            }
        }
        assert!(accepted > 0, "nothing was tried");
    }

    #[test]
    fn asterix_conforms() {
        conforms::<Asterix>();
    }
    #[test]
    fn breakout_conforms() {
        conforms::<Breakout>();
    }
    #[test]
    fn freeway_conforms() {
        conforms::<Freeway>();
    }
    #[test]
    fn seaquest_conforms() {
        conforms::<Seaquest>();
    }
    #[test]
    fn space_invaders_conforms() {
        conforms::<SpaceInvaders>();
    }

    #[test]
    fn minimal_actions_are_the_buttons_that_a_game_listens_to() {
        fn names<G: Game>() -> String {
            make::<G>(0.0, ActionSet::Minimal).action_names().join(" ")
        }
        assert_eq!(names::<Asterix>(), "noop left up right down");
        assert_eq!(names::<Breakout>(), "noop left right");
        assert_eq!(names::<Freeway>(), "noop up down");
        assert_eq!(names::<Seaquest>(), "noop left up right down fire");
        assert_eq!(names::<SpaceInvaders>(), "noop left right fire");
    }

    #[test]
    fn both_action_sets_press_the_same_buttons() {
        for (actions, right) in [(ActionSet::Minimal, 2), (ActionSet::Full, 3)] {
            let env = make::<Breakout>(0.0, actions);
            let mut state = env.start_with(&mut Always(0.0, 0));
            env.step_with(&mut state, right, &mut Always(0.0, 0));
            assert_eq!(state.button, Button::Right);
            assert_eq!(state.game.paddle, 5);
        }
    }

    #[test]
    fn a_button_sticks_if_the_draw_is_below_the_probability() {
        let env = make::<SpaceInvaders>(0.25, ActionSet::Minimal);
        let mut state = env.start_with(&mut Always(0.0, 0));
        let mut cannon = |action, u| {
            env.step_with(&mut state, action, &mut Always(u, 0));
            state.game.cannon
        };
        assert_eq!(cannon(2, 0.24), 5, "no-op sticks");
        assert_eq!(cannon(2, 0.25), 6);
        assert_eq!(cannon(1, 0.0), 7, "right sticks");
        assert_eq!(cannon(0, 0.0), 8, "and goes on to stick");
        assert_eq!(cannon(0, 0.9), 8);
    }

    #[test]
    fn without_stickiness_nothing_is_drawn_for_it() {
        let env = make::<SpaceInvaders>(0.0, ActionSet::Minimal);
        let mut rng = Seeds::new(0).stream("test", 0);
        let untouched = rng.clone();
        let mut state = env.reset(&mut rng);
        env.step(&mut state, 1, &mut rng);
        assert_eq!(rng, untouched);
    }

    #[test]
    fn a_step_after_the_end_changes_nothing() {
        let env = make::<Breakout>(0.5, ActionSet::Minimal);
        let mut rng = Seeds::new(0).stream("test", 0);
        let mut state = env.reset(&mut rng);
        while !env.step(&mut state, 0, &mut rng).status.is_over() {}
        let (ended, untouched) = (state.clone(), rng.clone());
        assert_eq!(env.step(&mut state, 1, &mut rng), Step::terminal(0.0));
        assert_eq!((state, rng), (ended, untouched));
    }

    #[test]
    fn a_board_is_seen_bit_by_bit() {
        let board = Board::from(0x9_5a3c_17e0_4f21_8888_1234_5678);
        let (mut fast, mut slow) = ([0; 200], [0; 200]);
        Planes(&mut fast).board(1, board);
        for cell in (0..100).filter(|cell| board.bits() >> cell & 1 == 1) {
            Planes(&mut slow).mark(1, cell % 10, cell / 10);
        }
        assert_eq!(fast, slow);
    }

    #[test]
    fn what_lies_outside_the_grid_is_not_seen() {
        let mut planes = [0; 100];
        for (channel, x, y) in [(0, -1, 3), (0, 10, 3), (0, 3, -1), (0, 3, 10), (1, 3, 3)] {
            Planes(&mut planes).mark(channel, x, y);
        }
        assert_eq!(planes, [0; 100]);
    }

    #[test]
    fn frames_show_what_is_there() {
        let env = make::<Breakout>(0.1, ActionSet::Minimal);
        let mut state = env.start_with(&mut Always(0.0, 0));
        env.step_with(&mut state, 2, &mut Always(0.9, 0));
        let text = env.render(&state).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2..5], ["##########", "'#########", ".o........"]);
        assert_eq!(lines[9], ".....=....");
        let picture = env.draw(&state).unwrap();
        assert_eq!((picture.width, picture.height), (200, 200));
        assert_eq!(picture.pixel(30, 90), colors::YELLOW, "the ball");
        assert_eq!(picture.pixel(90, 190), colors::BLACK);
        assert_eq!(picture.pixel(110, 190), colors::WHITE, "the paddle");
    }

    #[test]
    fn a_number_that_is_no_probability_names_its_key() {
        let config = MinAtarConfig {
            sticky_probability: 1.5,
            ..Default::default()
        };
        assert_eq!(
            MinAtar::<Breakout>::new(&config).unwrap_err().to_string(),
            "sticky_probability: 1.5 is out of range; give 0 to 1"
        );
    }

    #[test]
    fn a_saved_number_out_of_range_is_refused() {
        let state = make::<Freeway>(0.1, ActionSet::Full).start_with(&mut Always(0.0, 5));
        let text = serde_json::to_string(&state).unwrap();
        let read = |text: &str| serde_json::from_str::<MinAtarState<FreewayState>>(text);
        assert_eq!(read(&text).unwrap(), state);
        let error = read(&text.replace("\"clock\":2500", "\"clock\":2501")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("2501 is out of range; give -1 to 2500"),
            "{error}"
        );
    }
}
