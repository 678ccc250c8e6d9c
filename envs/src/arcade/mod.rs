//! Small arcade games on a grid of 10 x 10 cells: the five games of MinAtar.
//!
//! [`MinAtar`] is what they share: buttons, sticky actions and the observation. The rules of each game
//! are a [`Game`] in a file of its own. To add one: a file beside these and a line in
//! [`register`](crate::register).
//!
//! Written from the paper's description and recorded episodes, not from MinAtar's source code.

mod asterix;
mod board;
mod breakout;
mod freeway;
mod list;
mod minatar;
mod seaquest;
mod space_invaders;

pub use asterix::{Asterix, AsterixState, Thing};
pub use board::Board;
pub use breakout::{Breakout, BreakoutState};
pub use freeway::{Car, Freeway, FreewayState};
pub use list::List;
pub use minatar::{
    ActionSet, Button, Buttons, Channel, Draws, Game, MinAtar, MinAtarConfig, MinAtarState, Planes,
};
pub use seaquest::{Seaquest, SeaquestState, Swimmer};
pub use space_invaders::{SpaceInvaders, SpaceInvadersState};
