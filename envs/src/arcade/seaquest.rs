use serde::{Deserialize, Serialize};
use thorndike_core::Step;

use super::minatar::in_range;
use super::{Button, Buttons, Channel, Draws, Game, Planes};
use crate::canvas::colors;

/// State of Seaquest.
pub type List = ();
/// x
pub type Swimmer = ();
/// x
pub type SeaquestState = ();
/// x
pub type Seaquest = ();
