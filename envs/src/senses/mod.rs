//! Problems seen as pictures or read as text, for agents with trained feature extractors.

mod cart_pole_pixels;
mod digit_maze;
mod images;
mod mountain_car_pixels;
mod phrases;
mod raster;
mod split;
pub mod spot;
mod text_world;

pub use cart_pole_pixels::CartPolePixels;
pub use digit_maze::{DigitMaze, DigitMazeConfig, DigitMazeState, View};
pub use images::{ImageSource, Images};
pub use mountain_car_pixels::MountainCarPixels;
pub use phrases::Paraphrases;
pub use split::Split;
pub use spot::{Spot, SpotConfig, SpotState};
pub use text_world::{Goal, Place, TextWorld, TextWorldConfig, TextWorldState};
