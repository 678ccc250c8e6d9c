//! Problems seen as pictures or read as text, for agents with trained feature extractors.

mod cart_pole_pixels;
mod mountain_car_pixels;
mod raster;

pub use cart_pole_pixels::CartPolePixels;
pub use mountain_car_pixels::MountainCarPixels;
