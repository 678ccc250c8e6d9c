//! Samples changed at random while training, so that a model learns what does not matter.
//!
//! All of it works on what a data set gives: images are bytes before and after, and nothing is normalised.

use std::ops::RangeInclusive;

use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};
use thorndike_core::rand::{RngExt, seq::SliceRandom};
use thorndike_core::{Array, Element, Error, Kind, Result, Rng, Space, check_range};

use crate::boxes::Letterbox;
use crate::resample::{Place, move_boxes, paste};
use crate::{Batch, IGNORED, Info, Sample, Target, Targets, Task, Values};

/// A random change of one image, bytes of shape `[channels, height, width]`. Where each pixel has a class
/// ([`Target::Positions`]), the classes move with their pixels; so do boxes ([`Target::Boxes`]), which are cut off at the
/// edges, and dropped where less than a tenth of their area or a side under 2 pixels is left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Augment {
    /// Mirrors left and right.
    Flip {
        /// How often. Default 0.5.
        #[serde(default = "half")]
        probability: f64,
    },
    /// Mirrors above and below.
    FlipVertical {
        /// How often. Default 0.5.
        #[serde(default = "half")]
        probability: f64,
    },
    /// Resizes the image about its middle and moves it; what comes in from outside is grey as in a
    /// [`Letterbox`], [`IGNORED`] among classes of pixels.
    Affine {
        /// Least and greatest factor. Default 1 to 1.
        #[serde(default = "unchanged")]
        scale: [f64; 2],
        /// Largest distance in each direction, as a share of the height or width. Default 0.
        #[serde(default)]
        translate: f64,
    },
    /// Cuts out a window at a random place. An image smaller than the window is first filled up with zeros at the bottom
    /// and on the right, [`IGNORED`] among classes of pixels.
    Crop {
        /// Height and width of the window.
        size: [usize; 2],
    },
    /// Moves the image by up to so many pixels in each direction; zeros come in, [`IGNORED`] among classes of pixels.
    /// The same as filling up all sides with `pixels` zeros and cutting out a window of the old size.
    Shift {
        /// Largest distance in each direction, in pixels.
        pixels: usize,
    },
    /// Changes brightness, contrast and saturation, in this order, each by a factor drawn evenly from `1 - x` to
    /// `1 + x`.
    ///
    /// # Reference
    /// torchvision's `ColorJitter`.
    /// Deviations: the order is fixed, there is no hue, and bytes are rounded once at the end instead of cut off after
    /// each change.
    ColorJitter {
        /// The image beside black. Default 0.
        #[serde(default)]
        brightness: f64,
        /// The image beside its mean grey. Default 0.
        #[serde(default)]
        contrast: f64,
        /// The image beside its own grey picture; for three channels: red, green, blue. Default 0.
        #[serde(default)]
        saturation: f64,
    },
    /// Blackens a square around a random pixel; what lies outside the image is lost. Classes of pixels stay.
    ///
    /// # Reference
    /// DeVries, Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017, section 3.2.
    /// Deviations: the square is black; the paper's, cut after normalisation, has the mean colour.
    Cutout {
        /// Side of the square in pixels.
        size: usize,
    },
}

fn half() -> f64 {
    0.5
}

fn unchanged() -> [f64; 2] {
    [1.0, 1.0]
}

impl Augment {
    /// Refuses values out of range and data that it does not fit. Returns what the samples are afterwards.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self, info: &Info) -> Result<Info> {
        let shape = info.space.shape();
        let &[channels, height, width] = shape.as_slice() else {
            return Err(Error::config("kind", self.needs_images(info)));
        };
        if info.scalar != Kind::U8 {
            return Err(Error::config("kind", self.needs_images(info)));
        }
        let side = height.min(width);
        let mut after = info.clone();
        match self {
            Self::Flip { probability } | Self::FlipVertical { probability } => {
                check_range("probability", *probability, 0.0..=1.0)?;
            }
            Self::Affine { scale, translate } => {
                for factor in scale {
                    check_range("scale", *factor, 0.05..=20.0)?;
                }
                if scale[0] > scale[1] {
                    let what = format!("{scale:?} is no range; give the smaller number first");
                    return Err(Error::config("scale", what));
                }
                check_range("translate", *translate, 0.0..=1.0)?;
            }
            Self::Crop { size } => {
                if size[0] == 0 || size[0] > height || size[1] == 0 || size[1] > width {
                    let what = format!(
                        "{size:?} is no window of an image of {height} x {width}; give 1 to {height}, 1 to {width}"
                    );
                    return Err(Error::config("size", what));
                }
                if let Space::Box { shape, .. } = &mut after.space {
                    shape[1..].copy_from_slice(size);
                }
            }
            Self::Shift { pixels } => check_range("pixels", *pixels, 1..=(side - 1).max(1))?,
            Self::ColorJitter {
                brightness,
                contrast,
                saturation,
            } => {
                check_range("brightness", *brightness, 0.0..=MOST)?;
                check_range("contrast", *contrast, 0.0..=MOST)?;
                check_range("saturation", *saturation, 0.0..=MOST)?;
                if *saturation > 0.0 && channels != 3 {
                    let what = format!("it needs 3 channels, the images have {channels}; give 0");
                    return Err(Error::config("saturation", what));
                }
            }
            Self::Cutout { size } => check_range("size", *size, 1..=height.max(width))?,
        }
        Ok(after)
    }

    fn needs_images(&self, info: &Info) -> String {
        format!(
            "it needs images (u8, three dimensions), not {:?} of shape {:?}",
            info.scalar,
            info.space.shape()
        )
    }

    /// Changes `sample`. What is drawn does not depend on the image's content.
    ///
    /// # Panics
    /// If it is no image.
    ///
    /// # Examples
    /// ```
    /// use thorndike_core::Seeds;
    /// use thorndike_data::{Augment, Sample, Target, Values};
    /// let mut image = Sample {
    ///     values: Values::U8(vec![1, 2, 3]),
    ///     shape: vec![1, 1, 3],
    ///     target: Target::Class(0),
    /// };
    /// let flip = Augment::Flip { probability: 1.0 };
    /// flip.apply(&mut image, &mut Seeds::new(0).stream("example", 0));
    /// assert_eq!(image.values, Values::U8(vec![3, 2, 1]));
    /// ```
    pub fn apply(&self, sample: &mut Sample, rng: &mut Rng) {
        let shape: [usize; 3] = sample.shape[..].try_into().expect("an image");
        let [_, height, width] = shape;
        let (tall, wide) = (height as f32, width as f32);
        let Values::U8(pixels) = &mut sample.values else {
            panic!("an image of bytes");
        };
        match *self {
            Self::Flip { probability } => {
                if rng.random_bool(probability) {
                    pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse);
                    if let Target::Positions(classes) = &mut sample.target {
                        classes.chunks_exact_mut(width).for_each(<[i32]>::reverse);
                    }
                    move_boxes(&mut sample.target, [height, width], |[x1, y1, x2, y2]| {
                        [wide - x2, y1, wide - x1, y2]
                    });
                }
            }
            Self::FlipVertical { probability } => {
                if rng.random_bool(probability) {
                    for channel in pixels.chunks_exact_mut(height * width) {
                        upside_down(channel, width);
                    }
                    if let Target::Positions(classes) = &mut sample.target {
                        upside_down(classes, width);
                    }
                    move_boxes(&mut sample.target, [height, width], |[x1, y1, x2, y2]| {
                        [x1, tall - y2, x2, tall - y1]
                    });
                }
            }
            Self::Affine { scale, translate } => {
                let scale = rng.random_range(scale[0]..=scale[1]) as f32;
                let mut start = |side: f32| {
                    let distance = rng.random_range(-translate..=translate) as f32;
                    side * ((1.0 - scale) / 2.0 + distance)
                };
                let start = [start(tall), start(wide)];
                place(sample, Place { scale, start });
            }
            Self::Crop { size } => {
                let mut start = |all: usize, part: usize| {
                    rng.random_range(0..=all.saturating_sub(part) as u32) as isize
                };
                let at = [start(height, size[0]), start(width, size[1])];
                cut(sample, at, size);
            }
            Self::Shift { pixels } => {
                let range: RangeInclusive<i32> = -(pixels as i32)..=pixels as i32;
                let mut start = || rng.random_range(range.clone()) as isize;
                let at = [start(), start()];
                cut(sample, at, [height, width]);
            }
            Self::ColorJitter {
                brightness,
                contrast,
                saturation,
            } => {
                let mut factor = |x: f64| rng.random_range((1.0 - x).max(0.0)..=1.0 + x) as f32;
                let factors = [factor(brightness), factor(contrast), factor(saturation)];
                jitter(pixels, shape[0], factors);
            }
            Self::Cutout { size } => {
                // An even square reaches one pixel further up and left than down and right.
                let mut around = |all: usize| {
                    let middle = rng.random_range(0..all as u32) as usize;
                    let end = (middle + size.div_ceil(2)).min(all);
                    middle.saturating_sub(size / 2)..end
                };
                let (rows, columns) = (around(height), around(width));
                for channel in pixels.chunks_exact_mut(height * width) {
                    for row in rows.clone() {
                        channel[row * width..][columns.clone()].fill(0);
                    }
                }
            }
        }
    }
}

/// The strongest jitter: a factor of up to 11.
const MOST: f64 = 10.0;

/// Cuts a window of `size` (height, width) out of an image and its classes, its upper left corner at `at`.
fn cut(sample: &mut Sample, at: [isize; 2], size: [usize; 2]) {
    let from = [sample.shape[1], sample.shape[2]];
    if let Values::U8(pixels) = &mut sample.values {
        let area = from[0] * from[1];
        let channels = pixels.chunks_exact(area);
        *pixels = channels
            .flat_map(|channel| window(channel, from, at, size, 0))
            .collect();
    }
    if let Target::Positions(classes) = &mut sample.target {
        *classes = window(classes, from, at, size, IGNORED);
    }
    move_boxes(&mut sample.target, size, |[x1, y1, x2, y2]| {
        let [top, left] = at.map(|start| start as f32);
        [x1 - left, y1 - top, x2 - left, y2 - top]
    });
    sample.shape[1..].copy_from_slice(&size);
}

/// Turns the rows of one channel around.
fn upside_down<T>(channel: &mut [T], width: usize) {
    let (mut rows, mut rest) = (channel.len() / width, channel);
    while rows > 1 {
        let (first, others) = rest.split_at_mut(width);
        let (between, last) = others.split_at_mut((rows - 2) * width);
        first.swap_with_slice(last);
        (rows, rest) = (rows - 2, between);
    }
}

/// Resizes and moves an image, its classes and its boxes.
fn place(sample: &mut Sample, place: Place) {
    let size @ [height, width] = [sample.shape[1], sample.shape[2]];
    let whole = [[0, height], [0, width]];
    if let Values::U8(pixels) = &mut sample.values {
        let mut canvas = vec![Letterbox::GREY; pixels.len()];
        paste(pixels, size, &mut canvas, size, place, whole);
        *pixels = canvas;
    }
    if let Target::Positions(classes) = &mut sample.target {
        let from = |at: usize, axis: usize| {
            let from = (at as f32 + 0.5 - place.start[axis]) / place.scale;
            (0.0..size[axis] as f32)
                .contains(&from)
                .then_some(from as usize)
        };
        let class = |at: usize| {
            let (y, x) = (from(at / width, 0)?, from(at % width, 1)?);
            Some(classes[y * width + x])
        };
        *classes = (0..classes.len())
            .map(|at| class(at).unwrap_or(IGNORED))
            .collect();
    }
    move_boxes(&mut sample.target, size, |bounds| place.apply(bounds));
}

/// A window of one channel, `outside` where it lies outside.
fn window<T: Copy>(
    channel: &[T],
    [rows, columns]: [usize; 2],
    [top, left]: [isize; 2],
    [height, width]: [usize; 2],
    outside: T,
) -> Vec<T> {
    let mut out = vec![outside; height * width];
    // Columns of the window that lie inside.
    let start = (-left).clamp(0, width as isize) as usize;
    let end = (columns as isize - left).clamp(start as isize, width as isize) as usize;
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        let y = y as isize + top;
        if (0..rows as isize).contains(&y) && start < end {
            let x = (start as isize + left) as usize;
            let from = &channel[y as usize * columns + x..][..end - start];
            row[start..end].copy_from_slice(from);
        }
    }
    out
}

/// Brightness, contrast and saturation times `factors`.
fn jitter(pixels: &mut [u8], channels: usize, factors: [f32; 3]) {
    let area = pixels.len() / channels;
    let mut image: Vec<f32> = pixels.iter().map(|&p| f32::from(p)).collect();
    // As ITU-R BT.601 weighs red, green and blue.
    let grey = |image: &[f32], at: usize| match channels {
        3 => 0.299 * image[at] + 0.587 * image[area + at] + 0.114 * image[2 * area + at],
        _ => image[at..].iter().step_by(area).sum::<f32>() / channels as f32,
    };
    let [brightness, contrast, saturation] = factors;
    let blend = |x: f32, other: f32, factor: f32| (other + factor * (x - other)).clamp(0.0, 255.0);
    for x in &mut image {
        *x = blend(*x, 0.0, brightness);
    }
    let mean = (0..area).map(|at| grey(&image, at)).sum::<f32>() / area as f32;
    for x in &mut image {
        *x = blend(*x, mean, contrast);
    }
    if channels == 3 {
        for at in 0..area {
            let grey = grey(&image, at);
            for channel in 0..3 {
                let x = &mut image[channel * area + at];
                *x = blend(*x, grey, saturation);
            }
        }
    }
    for (pixel, x) in pixels.iter_mut().zip(image) {
        *pixel = x.round() as u8;
    }
}

/// Samples of a batch mixed in pairs, inputs and classes alike.
///
/// Bytes stay bytes, rounded: half a grey level of 255 is less than a camera's noise, and a model then reads the same
/// scalar while it is trained and afterwards. Of sequences of unequal length, a mixture is as long as the longer one.
///
/// # Reference
/// Zhang, Cisse, Dauphin, Lopez-Paz, *mixup: Beyond Empirical Risk Minimization*, 2018, section 2 and figure 1.
/// Deviations: none; as in the authors' program, a batch has one share `lambda` and is mixed with itself in another order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mixup {
    /// Shares are drawn from Beta(alpha, alpha): small values leave most samples almost alone. Default 0.2, the lower of
    /// the paper's two values for ImageNet.
    pub alpha: f64,
}

impl Default for Mixup {
    fn default() -> Self {
        Self { alpha: 0.2 }
    }
}

impl Mixup {
    /// Refuses values out of range and data that cannot be mixed.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self, info: &Info) -> Result<()> {
        check_range("alpha", self.alpha, 0.001..=1000.0)?;
        if info.scalar == Kind::I32 {
            return Err(Error::config("", "tokens cannot be mixed; leave it out"));
        }
        match info.task {
            Task::Classes { .. } => Ok(()),
            _ => Err(Error::config(
                "",
                "it needs one class for each sample; leave it out",
            )),
        }
    }

    /// Mixes a batch of samples that have one of `classes` classes each.
    ///
    /// # Panics
    /// If the targets are neither classes nor shares, or the inputs are tokens.
    pub fn apply(&self, batch: &mut Batch, classes: usize, rng: &mut Rng) {
        let beta = Beta::new(self.alpha, self.alpha).expect("alpha was checked");
        let lambda = beta.sample(rng) as f32;
        let mut partners: Vec<usize> = (0..batch.len()).collect();
        partners.shuffle(rng);
        self.mix(batch, classes, lambda, &partners);
    }

    fn mix(&self, batch: &mut Batch, classes: usize, lambda: f32, partners: &[usize]) {
        match batch.inputs.kind() {
            Kind::F32 => mix_rows::<f32>(&mut batch.inputs, partners, |x, y| {
                lambda * x + (1.0 - lambda) * y
            }),
            Kind::U8 => mix_rows::<u8>(&mut batch.inputs, partners, |x, y| {
                (lambda * f32::from(x) + (1.0 - lambda) * f32::from(y)).round() as u8
            }),
            Kind::I32 => panic!("tokens cannot be mixed"),
        }
        let mut shares = match &batch.targets {
            Targets::Shares(shares) => shares.clone(),
            Targets::Classes(of) => {
                let mut shares = Array::zeros::<f32>(batch.len(), classes);
                for (row, &class) in of.as_slice::<i32>().iter().enumerate() {
                    shares.row_mut::<f32>(row)[class as usize] = 1.0;
                }
                shares
            }
            other => panic!("{other:?} cannot be mixed"),
        };
        mix_rows::<f32>(&mut shares, partners, |x, y| {
            lambda * x + (1.0 - lambda) * y
        });
        batch.targets = Targets::Shares(shares);
        if !batch.lengths.is_empty() {
            let longer = |(&length, &partner): (&u32, &usize)| length.max(batch.lengths[partner]);
            batch.lengths = batch.lengths.iter().zip(partners).map(longer).collect();
        }
    }
}

/// Replaces each row by itself mixed with its partner's old values.
fn mix_rows<T: Element>(rows: &mut Array, partners: &[usize], mix: impl Fn(T, T) -> T) {
    let old = rows.clone();
    for (row, &partner) in partners.iter().enumerate() {
        let pairs = rows.row_mut::<T>(row).iter_mut().zip(old.row(partner));
        pairs.for_each(|(x, &y)| *x = mix(*x, y));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;
    use crate::mosaic::tests::{check_marks, marked};
    use crate::toy::Toy;
    use thorndike_core::Seeds;

    fn rng() -> Rng {
        Seeds::new(3).stream("augment", 0)
    }

    /// One channel of 2 x 3 whose pixels have the classes 0 to 5.
    fn picture() -> Sample {
        Sample {
            values: Values::U8(vec![1, 2, 3, 4, 5, 6]),
            shape: vec![1, 2, 3],
            target: Target::Positions((0..6).collect()),
        }
    }

    fn pixels(sample: &Sample) -> &[u8] {
        match &sample.values {
            Values::U8(pixels) => pixels,
            other => panic!("{other:?}"),
        }
    }

    /// What comes out in 200 tries, without repetitions.
    fn outcomes(augment: &Augment, sample: &Sample) -> Vec<Sample> {
        let mut rng = rng();
        let mut outcomes: Vec<Sample> = Vec::new();
        for _ in 0..200 {
            let mut sample = sample.clone();
            augment.apply(&mut sample, &mut rng);
            if !outcomes.contains(&sample) {
                outcomes.push(sample);
            }
        }
        outcomes
    }

    #[test]
    fn flip_mirrors_rows_and_their_classes() {
        let mut sample = picture();
        Augment::Flip { probability: 1.0 }.apply(&mut sample, &mut rng());
        assert_eq!(pixels(&sample), [3, 2, 1, 6, 5, 4]);
        assert_eq!(sample.target, Target::Positions(vec![2, 1, 0, 5, 4, 3]));
        assert_eq!(
            outcomes(&Augment::Flip { probability: 0.5 }, &picture()).len(),
            2
        );
        let never = Augment::Flip { probability: 0.0 };
        assert_eq!(outcomes(&never, &picture()), [picture()]);
    }

    #[test]
    fn crop_finds_every_window_and_its_classes() {
        let windows = outcomes(&Augment::Crop { size: [1, 2] }, &picture());
        assert_eq!(windows.len(), 4);
        for window in windows {
            assert_eq!(window.shape, [1, 1, 2]);
            let [a, b] = pixels(&window) else { panic!() };
            assert!(b - a == 1 && *a != 3, "side by side");
            let classes = vec![i32::from(*a) - 1, i32::from(*b) - 1];
            assert_eq!(window.target, Target::Positions(classes));
        }
    }

    #[test]
    fn crop_fills_up_what_is_too_small() {
        let mut sample = picture();
        Augment::Crop { size: [3, 3] }.apply(&mut sample, &mut rng());
        assert_eq!(pixels(&sample), [1, 2, 3, 4, 5, 6, 0, 0, 0]);
        let classes = vec![0, 1, 2, 3, 4, 5, IGNORED, IGNORED, IGNORED];
        assert_eq!(sample.target, Target::Positions(classes));
    }

    #[test]
    fn a_window_past_a_corner_is_filled_up() {
        let channel = [1, 2, 3, 4, 5, 6];
        let cut = |at| window(&channel, [2, 3], at, [2, 3], 0);
        assert_eq!(cut([0, 0]), channel);
        assert_eq!(cut([1, 1]), [5, 6, 0, 0, 0, 0]);
        assert_eq!(cut([-1, -1]), [0, 0, 0, 0, 1, 2]);
        assert_eq!(cut([0, -2]), [0, 0, 1, 0, 0, 4]);
        assert_eq!(cut([5, 0]), [0; 6]);
        assert_eq!(cut([0, -7]), [0; 6]);
        assert_eq!(cut([0, 7]), [0; 6]);
    }

    #[test]
    fn shift_goes_everywhere_within_its_reach() {
        let outcomes = outcomes(&Augment::Shift { pixels: 1 }, &picture());
        assert_eq!(outcomes.len(), 9);
        let right_and_down = Sample {
            values: Values::U8(vec![0, 0, 0, 0, 1, 2]),
            shape: vec![1, 2, 3],
            target: Target::Positions(vec![IGNORED, IGNORED, IGNORED, IGNORED, 0, 1]),
        };
        assert!(outcomes.contains(&right_and_down));
    }

    #[test]
    fn jitter_blends_with_black_mean_grey_and_grey() {
        let mut pixels = [100, 200];
        jitter(&mut pixels, 1, [0.5, 1.0, 1.0]);
        assert_eq!(pixels, [50, 100]);
        // The mean is 150.
        let mut pixels = [100, 200];
        jitter(&mut pixels, 1, [1.0, 1.5, 1.0]);
        assert_eq!(pixels, [75, 225]);
        // Brightness is cut off at 255 first: 200 and 255, mean 227.5.
        let mut pixels = [100, 200];
        jitter(&mut pixels, 1, [2.0, 0.5, 1.0]);
        assert_eq!(pixels, [214, 241]);
        // Grey is 0.299 * 100 + 0.587 * 200 + 0.114 * 50 = 153.
        let mut pixels = [100, 200, 50];
        jitter(&mut pixels, 3, [1.0, 1.0, 0.0]);
        assert_eq!(pixels, [153; 3]);
        let mut pixels = [100, 200, 50];
        jitter(&mut pixels, 3, [1.0, 1.0, 2.0]);
        assert_eq!(pixels, [47, 247, 0]);
    }

    #[test]
    fn jitter_by_nothing_changes_nothing() {
        let jitter = Augment::ColorJitter {
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
        };
        assert_eq!(outcomes(&jitter, &picture()), [picture()]);
    }

    #[test]
    fn cutout_blackens_a_square_around_any_pixel() {
        let mut white = picture();
        white.values = Values::U8(vec![255; 6]);
        let cut = outcomes(&Augment::Cutout { size: 1 }, &white);
        assert_eq!(cut.len(), 6);
        for sample in cut {
            assert_eq!(pixels(&sample).iter().filter(|&&p| p == 0).count(), 1);
            assert_eq!(sample.target, white.target);
        }
        // Around the left column two columns are black, else all three or the right two.
        let cut = outcomes(&Augment::Cutout { size: 3 }, &white);
        let mut rows: Vec<&[u8]> = cut.iter().map(|sample| &pixels(sample)[..3]).collect();
        rows.sort_unstable();
        assert_eq!(rows, [[0, 0, 0], [0, 0, 255], [255, 0, 0]]);
        // An even square reaches up and left.
        let cut = outcomes(&Augment::Cutout { size: 2 }, &white);
        assert!(
            cut.iter()
                .any(|sample| pixels(sample) == [0, 0, 255, 0, 0, 255])
        );
        assert!(
            cut.iter()
                .any(|sample| pixels(sample) == [0, 255, 255, 255, 255, 255])
        );
    }

    #[test]
    fn flip_vertical_mirrors_columns_and_their_classes() {
        let mut sample = picture();
        Augment::FlipVertical { probability: 1.0 }.apply(&mut sample, &mut rng());
        assert_eq!(pixels(&sample), [4, 5, 6, 1, 2, 3]);
        assert_eq!(sample.target, Target::Positions(vec![3, 4, 5, 0, 1, 2]));
        let mut rows = [1, 2, 3];
        upside_down(&mut rows, 1);
        assert_eq!(rows, [3, 2, 1]);
    }

    #[test]
    fn affine_by_nothing_changes_nothing_and_by_two_enlarges_the_middle() {
        let affine = |scale: f64| Augment::Affine {
            scale: [scale; 2],
            translate: 0.0,
        };
        assert_eq!(outcomes(&affine(1.0), &picture()), [picture()]);
        let mut sample = Sample {
            values: Values::U8((1..=16).collect()),
            shape: vec![1, 4, 4],
            target: Target::Positions((1..=16).collect()),
        };
        affine(2.0).apply(&mut sample, &mut rng());
        let classes = vec![6, 6, 7, 7, 6, 6, 7, 7, 10, 10, 11, 11, 10, 10, 11, 11];
        assert_eq!(sample.target, Target::Positions(classes));
        // The first pixel has its middle at 1.25 of the picture: three quarters of pixel 1, a quarter of pixel 0.
        // 0.75 * (0.75 * 6 + 0.25 * 5) + 0.25 * (0.75 * 2 + 0.25 * 1) = 4.75.
        assert_eq!(pixels(&sample)[0], 5);
    }

    #[test]
    fn marks_stay_under_their_boxes() {
        let mut rng = rng();
        let augments = [
            Augment::Flip { probability: 0.5 },
            Augment::FlipVertical { probability: 0.5 },
            Augment::Affine {
                scale: [0.5, 1.6],
                translate: 0.2,
            },
            Augment::Shift { pixels: 5 },
            Augment::Crop { size: [14, 14] },
        ];
        for augment in &augments {
            let mut left = 0;
            for _ in 0..300 {
                let size = [0, 0].map(|_| rng.random_range(16..60_u32) as usize);
                let mut sample = marked(size, 200, &mut rng);
                augment.apply(&mut sample, &mut rng);
                left += check_marks(&sample, &[200]);
            }
            assert!(left > 50, "{augment:?}: {left} of 300 are left");
        }
        let mut all = 0;
        for _ in 0..300 {
            let mut sample = marked([40, 50], 200, &mut rng);
            for augment in &augments {
                augment.apply(&mut sample, &mut rng);
            }
            all += check_marks(&sample, &[200]);
        }
        assert!(all > 30, "{all} of 300 are left");
    }

    #[test]
    fn boxes_of_which_little_is_left_are_dropped() {
        let whole = |bounds| {
            let mut target = Target::Boxes(vec![Object::new(0, bounds)]);
            move_boxes(&mut target, [20, 20], |[x1, y1, x2, y2]| {
                [x1 - 9.0, y1, x2 - 9.0, y2]
            });
            target != Target::Boxes(Vec::new())
        };
        // 1 of 10 pixels, less than 2; 3 of 12; all of one that was small before; nothing.
        assert!(!whole([0.0, 0.0, 10.0, 8.0]));
        assert!(whole([0.0, 0.0, 12.0, 8.0]));
        assert!(whole([12.0, 3.0, 13.0, 4.0]));
        assert!(!whole([1.0, 3.0, 9.0, 4.0]));
        // 2 of 27 pixels.
        assert!(!whole([-16.0, 0.0, 11.0, 8.0]));
    }

    #[test]
    fn augmentation_is_value_stable() {
        let mut sample = Sample {
            values: Values::U8((0..48).map(|x| 5 * x).collect()),
            shape: vec![3, 4, 4],
            target: Target::Unknown,
        };
        let mut rng = rng();
        for augment in [
            Augment::Flip { probability: 0.5 },
            Augment::Shift { pixels: 1 },
            Augment::ColorJitter {
                brightness: 0.4,
                contrast: 0.3,
                saturation: 0.2,
            },
            Augment::Cutout { size: 1 },
            Augment::Crop { size: [2, 3] },
        ] {
            augment.apply(&mut sample, &mut rng);
        }
        assert_eq!(pixels(&sample), PINNED, "published results depend on it");
    }
    const PINNED: [u8; 18] = [
        0, 0, 0, 0, 9, 13, 0, 65, 69, 0, 81, 85, 0, 138, 142, 0, 154, 158,
    ];

    fn pair(scalar: Values) -> Batch {
        let halves = match &scalar {
            Values::U8(v) => [Values::U8(v[..2].to_vec()), Values::U8(v[2..].to_vec())],
            Values::F32(v) => [Values::F32(v[..2].to_vec()), Values::F32(v[2..].to_vec())],
            Values::I32(_) => panic!("tokens cannot be mixed"),
        };
        let samples = halves.into_iter().enumerate().map(|(class, values)| {
            let sample = Sample {
                values,
                shape: vec![2],
                target: Target::Class(2 * class),
            };
            (class, sample)
        });
        Batch::collate(samples.collect()).unwrap()
    }

    #[test]
    fn mixup_mixes_inputs_and_classes_alike() {
        let mixup = Mixup::default();
        let mut batch = pair(Values::F32(vec![0.0, 4.0, 8.0, 12.0]));
        mixup.mix(&mut batch, 3, 0.75, &[1, 0]);
        assert_eq!(batch.inputs.as_slice::<f32>(), [2.0, 6.0, 6.0, 10.0]);
        let shares = vec![0.75, 0.0, 0.25, 0.25, 0.0, 0.75];
        assert_eq!(batch.targets, Targets::Shares(Array::from_vec(shares, 3)));
        // Shares can be mixed again.
        mixup.mix(&mut batch, 3, 0.0, &[1, 0]);
        assert_eq!(batch.inputs.row::<f32>(0), [6.0, 10.0]);
    }

    #[test]
    fn mixed_bytes_are_rounded() {
        let mut batch = pair(Values::U8(vec![0, 255, 10, 0]));
        Mixup::default().mix(&mut batch, 3, 0.75, &[1, 0]);
        // 2.5, 191.25, 7.5, 63.75
        assert_eq!(batch.inputs.as_slice::<u8>(), [3, 191, 8, 64]);
    }

    #[test]
    fn a_mixture_is_as_long_as_the_longer_sequence() {
        let sequence = |steps: usize| Sample {
            values: Values::F32(vec![1.0; steps]),
            shape: vec![steps, 1],
            target: Target::Class(0),
        };
        let samples = vec![(0, sequence(1)), (1, sequence(3)), (2, sequence(2))];
        let mut batch = Batch::collate(samples).unwrap();
        Mixup::default().mix(&mut batch, 1, 0.5, &[2, 1, 0]);
        assert_eq!(batch.lengths, [2, 3, 2]);
        assert_eq!(batch.inputs.row::<f32>(0), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn shares_of_a_mixture_follow_the_beta_distribution() {
        // Beta(1, 1) is uniform: mean 1/2, variance 1/12. Standard errors of 2,000 draws: 0.0065 and 0.0017.
        let mut rng = rng();
        let lambdas: Vec<f64> = (0..2000)
            .map(|_| {
                let mut batch = pair(Values::F32(vec![0.0; 4]));
                let mut partner_changed = false;
                while !partner_changed {
                    batch = pair(Values::F32(vec![0.0, 0.0, 1.0, 1.0]));
                    Mixup { alpha: 1.0 }.apply(&mut batch, 3, &mut rng);
                    partner_changed = batch.inputs.row::<f32>(0)[0] != 0.0;
                }
                1.0 - f64::from(batch.inputs.row::<f32>(0)[0])
            })
            .collect();
        let mean = lambdas.iter().sum::<f64>() / 2000.0;
        let variance = lambdas.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2000.0;
        assert!((mean - 0.5).abs() < 0.03, "{mean}");
        assert!((variance - 1.0 / 12.0).abs() < 0.008, "{variance}");
    }

    #[test]
    fn mixup_is_value_stable() {
        let mut batch = pair(Values::F32(vec![0.0, 0.0, 1.0, 1.0]));
        let mut rng = Seeds::new(9).stream("data/mixup", 1);
        for _ in 0..3 {
            Mixup { alpha: 0.4 }.apply(&mut batch, 3, &mut rng);
        }
        let mixed = batch.inputs.as_slice::<f32>();
        assert_eq!(mixed, MIXED, "published results depend on it");
    }
    const MIXED: [f32; 4] = [0.96709, 0.96709, 0.032910068, 0.032910068];

    #[test]
    fn what_does_not_fit_is_refused_by_key() {
        let info = Toy::images(1).info;
        let error = |augment: Augment| augment.check(&info).unwrap_err().to_string();
        assert_eq!(
            error(Augment::Flip { probability: 1.5 }),
            "probability: 1.5 is out of range; give 0 to 1"
        );
        assert_eq!(
            error(Augment::Shift { pixels: 4 }),
            "pixels: 4 is out of range; give 1 to 3"
        );
        assert_eq!(
            error(Augment::Cutout { size: 0 }),
            "size: 0 is out of range; give 1 to 4"
        );
        let jitter = Augment::ColorJitter {
            brightness: 0.1,
            contrast: 0.1,
            saturation: 0.1,
        };
        assert_eq!(
            error(jitter),
            "saturation: it needs 3 channels, the images have 2; give 0"
        );
        let table = Info {
            space: Space::unbounded(&[7]),
            scalar: Kind::F32,
            ..info.clone()
        };
        let error = Augment::Flip { probability: 0.5 }.check(&table);
        assert_eq!(
            error.unwrap_err().to_string(),
            "kind: it needs images (u8, three dimensions), not F32 of shape [7]"
        );
        let masks = Info {
            task: Task::Positions { names: Vec::new() },
            ..info
        };
        let error = Mixup::default().check(&masks).unwrap_err();
        let error = error.under("mixup").to_string();
        assert_eq!(
            error,
            "mixup: it needs one class for each sample; leave it out"
        );
    }

    #[test]
    fn a_configuration_reads_as_it_is_written() {
        let text = r#"[{"kind": "flip"}, {"kind": "crop", "size": [2, 3]}, {"kind": "color-jitter", "contrast": 0.2}]"#;
        let read: Vec<Augment> = serde_json::from_str(text).unwrap();
        assert_eq!(read[0], Augment::Flip { probability: 0.5 });
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(
            serde_json::from_str::<Vec<Augment>>(&written).unwrap(),
            read
        );
        let error = serde_json::from_str::<Augment>(r#"{"kind": "flip", "often": 1}"#);
        assert!(error.unwrap_err().to_string().contains("often"));
    }
}
