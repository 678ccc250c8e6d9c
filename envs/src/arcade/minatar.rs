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
/// them. Draws are MinAtar's in kind and order, but come from our generator and not from numpy's, and none is
/// made for stickiness if its probability is 0. A new episode begins with no-op as the button before, where
/// MinAtar remembers the last one of the episode before.
///
/// ```
/// use thorndike_core::{Env, Seeds};
/// use thorndike_envs::arcade::{Breakout, MinAtar, MinAtarConfig};
/// let env = MinAtar::<Breakout>::new(&MinAtarConfig::default()).unwrap();
/// assert_eq!(env.action_names(), ["no-op", "left", "right"]);
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
    /// Probability that the button of the step before is pressed again, 0 to 1. Published: 0.1 (section 2).
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
/// *Design.* The minimal set is the default, as in MinAtar's newest ids: most published results of today use
/// it, and an agent that must find out which buttons do nothing learns nothing else from it.
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
        const NAMES: [&str; 6] = ["no-op", "left", "up", "right", "down", "fire"];
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
    /// Its letter in a text frame.
    pub letter: char,
    /// Its colour in a picture.
    pub color: Rgb,
}

impl Channel {
    /// All three.
    pub const fn new(name: &'static str, letter: char, color: Rgb) -> Self {
        Self {
            name,
            letter,
            color,
        }
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
            && let Some(cell) = self.0.get_mut(channel * CELLS + y as usize * SIDE + x as usize)
        {
            *cell = 1;
        }
    }

    /// Marks the cells of `board` and no others.
    #[inline]
    pub fn board(&mut self, channel: usize, board: Board) {
        let mut bits = board.bits();
        for eight in self.0[channel * CELLS..][..CELLS].chunks_mut(8) {
            // Seven copies of seven bits, one place further each, bring bit `i` to byte `i`; the eighth follows.
            let seven = (bits as u64 & 0x7f).wrapping_mul(0x0002_0408_1020_4081);
            let spread = (seven & 0x0101_0101_0101_0101) | ((bits as u64 & 0x80) << 49);
            eight.copy_from_slice(&spread.to_le_bytes()[..eight.len()]);
            bits >>= 8;
        }
    }
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
    /// [`Error::Config`](thorndike_core::Error::Config) if the probability is none.
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

    /// The observation of `state`.
    fn planes(&self, state: &MinAtarState<G::State>) -> Vec<u8> {
        let mut planes = vec![0; G::CHANNELS.len() * CELLS];
        self.game.show(&state.game, &mut Planes(&mut planes));
        planes
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
    fn action_names(&self) -> &'static [&'static str] {
        &self.buttons.names[..self.buttons.count]
    }

    fn render(&self, state: &Self::State) -> Option<String> {
        let planes = self.planes(state);
        let letter = |cell: usize| {
            let seen = (0..G::CHANNELS.len()).find(|channel| planes[channel * CELLS + cell] == 1);
            seen.map_or('.', |channel| G::CHANNELS[channel].letter)
        };
        let mut text = String::new();
        for row in 0..SIDE {
            text.extend((0..SIDE).map(|column| letter(row * SIDE + column)));
            text.push('\n');
        }
        Some(text)
    }

    fn draw(&self, state: &Self::State) -> Option<Picture> {
        let planes = self.planes(state);
        let mut canvas = Canvas::grid(SIDE, SIDE, CELL_PIXELS);
        canvas.rectangle([0.0; 2], [SIDE as f64; 2], colors::BLACK);
        // What a text frame shows goes on top.
        for (channel, plane) in planes.chunks_exact(CELLS).enumerate().rev() {
            for cell in (0..CELLS).filter(|&cell| plane[cell] == 1) {
                let [x, y] = [cell % SIDE, cell / SIDE].map(|at| at as f64);
                let color = G::CHANNELS[channel].color;
                canvas.rectangle([x + 0.05, y + 0.05], [x + 0.95, y + 0.95], color);
            }
        }
        Some(canvas.finish())
    }
}

/// Reads a number that must lie in `LOW..=HIGH`, so that no saved state is one that no episode can be in.
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
