//! Pictures in grey, and smaller.

use crate::array::{Array, Element, Kind};
use crate::error::{Error, Result};
use crate::space::Space;
use crate::vector::EnvSpec;

use super::{FrameLayer, Moment, cannot_take};

/// A scalar of a picture.
trait Pixel: Element {
    /// The nearest pixel; halves go to the even one.
    fn nearest(x: f32) -> Self;
    /// Brightness of red, green and blue.
    fn grey(rgb: [Self; 3]) -> Self;
}

impl Pixel for u8 {
    fn nearest(x: f32) -> Self {
        x.round_ties_even() as Self
    }
    /// In units of 2⁻¹⁵, rounded to the nearest.
    fn grey(rgb: [Self; 3]) -> Self {
        let [red, green, blue] = rgb.map(u32::from);
        ((9798 * red + 19_235 * green + 3735 * blue + (1 << 14)) >> 15) as Self
    }
}

impl Pixel for f32 {
    fn nearest(x: f32) -> Self {
        x
    }
    fn grey([red, green, blue]: [Self; 3]) -> Self {
        0.299 * red + 0.587 * green + 0.114 * blue
    }
}

/// `[3, height, width]` to `[height, width]`.
///
/// # Reference
/// ITU-R BT.601, section 2.5.1: 0.299 red + 0.587 green + 0.114 blue. Equal to OpenCV's `COLOR_RGB2GRAY`.
pub(super) struct Grey {
    low: f32,
    high: f32,
    shown: Array,
}

impl Grey {
    pub(super) fn new(spec: &mut EnvSpec) -> Result<Self> {
        match (&spec.frame_space, spec.obs_kind) {
            (Space::Box { shape, low, high }, Kind::U8 | Kind::F32)
                if shape.len() == 3 && shape[0] == 3 =>
            {
                let (low, high) = (*low, *high);
                spec.frame_space = Space::Box {
                    shape: shape[1..].to_vec(),
                    low,
                    high,
                };
                let shown = Array::zeros_of(spec.obs_kind, spec.num_envs, spec.frame_space.len());
                Ok(Self { low, high, shown })
            }
            _ => Err(cannot_take("grey", "pixels, [3, height, width]", spec)),
        }
    }
}

impl FrameLayer for Grey {
    fn show(&mut self, rows: &[usize], _: Moment, frames: &Array) -> &Array {
        fn show<T: Pixel>(rows: &[usize], frames: &Array, shown: &mut Array) {
            for &row in rows {
                let shown = shown.row_mut::<T>(row);
                let (red, rest) = frames.row::<T>(row).split_at(shown.len());
                let (green, blue) = rest.split_at(shown.len());
                let channels = red.iter().zip(green).zip(blue);
                for (shown, ((&red, &green), &blue)) in shown.iter_mut().zip(channels) {
                    *shown = T::grey([red, green, blue]);
                }
            }
        }
        if frames.kind() == Kind::U8 {
            show::<u8>(rows, frames, &mut self.shown);
        } else {
            show::<f32>(rows, frames, &mut self.shown);
            for &row in rows {
                let shown = self.shown.row_mut::<f32>(row);
                // One rounding may lead past the bounds.
                shown
                    .iter_mut()
                    .for_each(|x| *x = x.clamp(self.low, self.high));
            }
        }
        &self.shown
    }
}

/// Which items of a line make up an item of a shorter one.
struct Part {
    first: usize,
    /// How much of each item lies in it, in items.
    shares: Vec<f32>,
}

/// Cuts `from` items into `to` equal parts.
fn parts(from: usize, to: usize) -> Vec<Part> {
    let part = |i: usize| {
        // In units of 1 / to of an item, so that nothing is rounded.
        let (start, end) = (i * from, (i + 1) * from);
        let items = start / to..end.div_ceil(to);
        let share = |item: usize| {
            let inside = end.min((item + 1) * to) - start.max(item * to);
            inside as f32 / to as f32
        };
        Part {
            first: items.start,
            shares: items.map(share).collect(),
        }
    };
    (0..to).map(part).collect()
}

/// Pictures shrunk by averaging over areas: every new pixel is the mean of what it covers, pixels that are covered in
/// part by that part.
///
/// # Reference
/// Equal to OpenCV's `INTER_AREA`, but for `u8` pixels whose mean is a half: those are rounded to the even one here,
/// and either way there.
pub(super) struct Resize {
    channels: usize,
    /// Old width.
    width: usize,
    rows: Vec<Part>,
    columns: Vec<Part>,
    /// One over the area of a new pixel in old ones.
    per_area: f32,
    low: f32,
    high: f32,
    /// A new row with the old width.
    line: Vec<f32>,
    shown: Array,
}

impl Resize {
    pub(super) fn new([height, width]: [usize; 2], spec: &mut EnvSpec) -> Result<Self> {
        let picture = match &spec.frame_space {
            Space::Box { shape, low, high } if spec.obs_kind != Kind::I32 => match shape[..] {
                [old_height, old_width] => Some((1, old_height, old_width, *low, *high)),
                [channels, old_height, old_width] => {
                    Some((channels, old_height, old_width, *low, *high))
                }
                _ => None,
            },
            _ => None,
        };
        let Some((channels, old_height, old_width, low, high)) = picture else {
            let expected = "pixels, [height, width] or [channels, height, width]";
            return Err(cannot_take("resize", expected, spec));
        };
        if !(1..=old_height).contains(&height) || !(1..=old_width).contains(&width) {
            let what = format!(
                "[{height}, {width}] is no smaller size; give [1, 1] to [{old_height}, {old_width}]"
            );
            return Err(Error::config("resize", what));
        }
        let mut shape = spec.frame_space.shape();
        let dims = shape.len();
        shape[dims - 2..].copy_from_slice(&[height, width]);
        spec.frame_space = Space::Box { shape, low, high };
        Ok(Self {
            channels,
            width: old_width,
            rows: parts(old_height, height),
            columns: parts(old_width, width),
            per_area: (height * width) as f32 / (old_height * old_width) as f32,
            low,
            high,
            line: vec![0.0; old_width],
            shown: Array::zeros_of(spec.obs_kind, spec.num_envs, spec.frame_space.len()),
        })
    }

    fn shrink<T: Pixel>(&mut self, rows: &[usize], frames: &Array)
    where
        f32: From<T>,
    {
        let old = frames.cols() / self.channels;
        let new = self.shown.cols() / self.channels;
        for &row in rows {
            let shown = self.shown.row_mut::<T>(row).chunks_exact_mut(new);
            for (shown, frame) in shown.zip(frames.row::<T>(row).chunks_exact(old)) {
                for (part, shown) in self
                    .rows
                    .iter()
                    .zip(shown.chunks_exact_mut(self.columns.len()))
                {
                    // Rows first: whole lines are added up at once.
                    self.line.fill(0.0);
                    let covered = frame[part.first * self.width..].chunks_exact(self.width);
                    for (&share, pixels) in part.shares.iter().zip(covered) {
                        for (sum, &pixel) in self.line.iter_mut().zip(pixels) {
                            *sum += share * f32::from(pixel);
                        }
                    }
                    for (shown, part) in shown.iter_mut().zip(&self.columns) {
                        let covered = part.shares.iter().zip(&self.line[part.first..]);
                        let sum: f32 = covered.map(|(share, x)| share * x).sum();
                        *shown = T::nearest((sum * self.per_area).clamp(self.low, self.high));
                    }
                }
            }
        }
    }
}

impl FrameLayer for Resize {
    fn show(&mut self, rows: &[usize], _: Moment, frames: &Array) -> &Array {
        if frames.kind() == Kind::U8 {
            self.shrink::<u8>(rows, frames);
        } else {
            self.shrink::<f32>(rows, frames);
        }
        &self.shown
    }
}
