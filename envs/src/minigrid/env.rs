//! The environment that every level runs in.

use std::fmt;

use thorndike_core::{Env, Error, Picture, Result, Rng, Space, Step, check_range};

use super::draft::Draft;
use super::grid::MAX_SIDE;
use super::mission::{MISSION_WORDS, VOCABULARY};
use super::state::{Action, MiniGridState, Outcome};
use super::view::{VIEW_CELLS, VIEW_SIDE};
use super::{draw, view};

/// What the agent is shown, as every level's configuration says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The whole grid instead of what the agent sees.
    pub full_view: bool,
    /// The mission, behind image and direction.
    pub mission: bool,
}

/// The configuration of a level: its options, and what of them the engine asks.
pub trait Configured: fmt::Debug + Send + Sync {
    /// What the agent is shown.
    fn shown(&self) -> Shown;
}

/// A level: how it is laid out, and what it asks for.
///
/// *Design.* A level is its own configuration, plain data; [`MiniGrid`] is one type for all of them, so that
/// thirty levels compile as quickly as one. Asking the level costs a call by pointer a step.
pub trait Level: Configured {
    /// What the published level is called; empty if it is the author's own.
    fn reference(&self) -> &'static str {
        ""
    }
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] if an option is not accepted; then there is no environment. All other methods may rely
    /// on it.
    fn check(&self) -> Result<()> {
        Ok(())
    }
    /// Columns and rows of the grid.
    fn size(&self) -> [usize; 2];
    /// Steps after which an episode is truncated; the reward falls with the part of them used.
    fn max_steps(&self) -> u32;
    /// Whether walls and doors hide nothing.
    fn sees_through_walls(&self) -> bool {
        false
    }
    /// Whether all episodes ask for the same.
    fn has_one_mission(&self) -> bool {
        true
    }
    /// How many of the seven actions there are, from the first.
    fn num_actions(&self) -> usize {
        Action::ALL.len()
    }
    /// Lays out an episode; nothing if the draws led to a dead end, then it is asked again.
    fn lay_out(&self, draft: &mut Draft<'_>) -> Option<()>;
    /// Applies `action` and says what it led to.
    fn step(&self, state: &mut MiniGridState, action: Action, rng: &mut Rng) -> Outcome {
        let _ = rng;
        state.act(action)
    }
}

/// The engine of all MiniGrid and BabyAI levels: an agent in a grid of walls, doors and things.
///
/// What a level looks like and asks for stands on its own page, such as [`Empty`](super::Empty); what they share
/// stands here.
///
/// **Action space**: `discrete(7)`; only 0 to 2 in [`DynamicObstacles`](super::DynamicObstacles).
///
/// | action | name | meaning |
/// |---|---|---|
/// | 0 | left | turns left |
/// | 1 | right | turns right |
/// | 2 | forward | goes one cell ahead, unless a wall, a thing or a closed door stops it |
/// | 3 | pickup | takes the key, ball or box ahead, if it carries nothing |
/// | 4 | drop | puts what it carries into the cell ahead, if that is empty |
/// | 5 | toggle | opens or closes the door ahead, a locked one only with a key of its colour in hand; opens the box ahead, which vanishes and leaves what it held |
/// | 6 | done | nothing, save where the level asks for it |
///
/// **Observation space**: box of `[3, 7, 7]` `u8`, then direction, then the words of the mission; 161 bytes.
///
/// | index | meaning | range |
/// |---|---|---|
/// | 0..49 | kind of each cell: 0 unseen, 1 empty, 2 wall, 3 floor, 4 door, 5 key, 6 ball, 7 box, 8 goal, 9 lava, 10 agent | 0 to 10 |
/// | 49..98 | colour: 0 red, 1 green, 2 blue, 3 purple, 4 yellow, 5 grey | 0 to 5 |
/// | 98..147 | doors: 0 open, 1 closed, 2 locked; in the full view the direction, in the agent's cell; otherwise 0 | 0 to 3 |
/// | 147 | direction: 0 right, 1 down, 2 left, 3 up | 0 to 3 |
/// | 148..161 | words of the mission, by their number in [`VOCABULARY`]; 0 behind the last | 0 to 49 |
///
/// The image is what lies before the agent, turned so that it looks up: the agent is in the last row, fourth
/// column, and its cell shows what it carries. Cells outside the grid are walls. What walls and closed doors
/// hide is unseen, except in levels that say otherwise.
///
/// With `full_view = true` the image is the whole grid, `[3, rows, columns]`, with the agent in it (kind 10) and
/// nothing hidden; what is carried is not shown. With `mission = false` there are no words: for levels whose
/// mission never changes. The default has them everywhere, so that an agent trained in one level can be used in
/// all others.
///
/// **Reward**: `1 - 0.9 * steps / max_steps` for success, otherwise 0.
///
/// **Start**: see the level.
///
/// **End**: terminated by success or failure; truncated after `max_steps` steps, which is the time limit.
///
/// **Config**: that of the level.
///
/// # Reference
/// Chevalier-Boisvert et al., *Minigrid & Miniworld: Modular & Customizable Reinforcement Learning Environments
/// for Goal-Oriented Tasks*, 2023 (arXiv:2306.13831). Rules and levels: `minigrid` 3.2.0.
///
/// Deviations: the image is planes, rows, columns where the reference has columns, rows, planes; the mission is
/// token numbers where the reference has a text; levels are drawn with the same distribution, but by another
/// generator.
#[derive(Debug)]
pub struct MiniGrid {
    level: Box<dyn Level>,
    // What the level answers, asked once.
    size: [usize; 2],
    max_steps: u32,
    through_walls: bool,
    shown: Shown,
    vocabulary: Vec<String>,
}

impl MiniGrid {
    /// The environment of `level`.
    ///
    /// # Errors
    /// [`Error::Config`] if an option of the level is not accepted.
    pub fn new<L: Level + Clone + 'static>(level: &L) -> Result<Self> {
        level.check()?;
        for side in level.size() {
            check_range("size", side, 1..=MAX_SIDE)?;
        }
        let shown = level.shown();
        if !shown.mission && !level.has_one_mission() {
            let what = "false in a level whose mission changes; give true";
            return Err(Error::config("mission", what));
        }
        let words: &[&str] = if shown.mission { &VOCABULARY } else { &[] };
        Ok(Self {
            size: level.size(),
            max_steps: level.max_steps(),
            through_walls: level.sees_through_walls(),
            shown,
            vocabulary: words.iter().map(ToString::to_string).collect(),
            level: Box::new(level.clone()),
        })
    }

    /// Columns and rows of the image.
    fn image_size(&self) -> [usize; 2] {
        if self.shown.full_view {
            self.size
        } else {
            [VIEW_SIDE; 2]
        }
    }

    fn reward(&self, steps: u32) -> f32 {
        (1.0 - 0.9 * (f64::from(steps) / f64::from(self.max_steps))) as f32
    }
}

impl Env for MiniGrid {
    type State = MiniGridState;
    type Obs = u8;
    type Action = usize;

    fn observation_space(&self) -> Space {
        let [columns, rows] = self.image_size();
        let image = Space::Box {
            shape: vec![3, rows, columns],
            low: 0.0,
            high: 10.0,
        };
        let mut parts = vec![image, Space::Discrete(4)];
        if self.shown.mission {
            parts.push(Space::MultiDiscrete(vec![VOCABULARY.len(); MISSION_WORDS]));
        }
        Space::Tuple(parts)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(self.level.num_actions())
    }
    fn time_limit(&self) -> Option<u32> {
        Some(self.max_steps)
    }
    fn reference(&self) -> &'static str {
        self.level.reference()
    }
    fn action_names(&self) -> &'static [&'static str] {
        &Action::NAMES[..self.level.num_actions()]
    }
    fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    fn reset(&self, rng: &mut Rng) -> MiniGridState {
        loop {
            let mut draft = Draft::new(self.size, rng);
            if self.level.lay_out(&mut draft).is_some() {
                return draft.state;
            }
        }
    }

    /// # Panics
    /// If there is no such action.
    fn step(&self, state: &mut MiniGridState, action: usize, rng: &mut Rng) -> Step {
        state.steps = state.steps.saturating_add(1);
        match self.level.step(state, Action::ALL[action], rng) {
            Outcome::Running => Step::running(0.0),
            Outcome::Success => Step::terminal(self.reward(state.steps)),
            Outcome::Failure => Step::terminal(0.0),
            Outcome::Collision => Step::terminal(-1.0),
        }
    }

    fn observe(&self, state: &MiniGridState, obs: &mut [u8]) {
        let [columns, rows] = self.image_size();
        let (image, rest) = obs.split_at_mut(3 * columns * rows);
        if self.shown.full_view {
            view::write_grid(state, self.size, image);
        } else {
            let mut seen = view::look(&state.grid, state.position, state.direction);
            view::hide(&mut seen, self.through_walls);
            seen[view::OWN_CELL] = state.carrying;
            view::write_planes::<VIEW_CELLS>(&seen, image);
        }
        rest[0] = state.direction & 3;
        if self.shown.mission {
            rest[1..].copy_from_slice(&state.mission.tokens);
        }
    }

    fn render(&self, state: &MiniGridState) -> Option<String> {
        Some(state.text())
    }
    fn draw(&self, state: &MiniGridState) -> Option<Picture> {
        Some(draw::picture(state, self.size, self.through_walls))
    }
}

/// The configuration of a level: its own options, and those that all levels have.
macro_rules! level {
    ($(#[$about:meta])* $name:ident {
        $($(#[$option_about:meta])* $option:ident: $kind:ty = $default:expr,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$option_about])* pub $option: $kind,)*
            /// Whether the image is the whole grid instead of what the agent sees.
            pub full_view: bool,
            /// Whether the words of the mission are shown; false only where they never change.
            pub mission: bool,
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($option: $default,)* full_view: false, mission: true }
            }
        }

        impl $crate::minigrid::Configured for $name {
            fn shown(&self) -> $crate::minigrid::Shown {
                $crate::minigrid::Shown { full_view: self.full_view, mission: self.mission }
            }
        }
    };
}
pub(super) use level;
