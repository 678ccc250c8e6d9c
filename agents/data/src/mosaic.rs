//! Four pictures in one.

use serde::{Deserialize, Serialize};
use thorndike_core::rand::RngExt;
use thorndike_core::{Error, Kind, Result, Rng, check_range};

use crate::boxes::Letterbox;
use crate::resample::{Place, move_boxes, paste};
use crate::{Info, Sample, Target, Task, Values};

/// Puts four pictures around a point, so that a detector sees objects in other surroundings, smaller, and cut off. A
/// sample and three others of its set, each resized by a factor of its own; what they leave free is grey. Comes before
/// other changes.
///
/// # Reference
/// Bochkovskiy, Wang, Liao, *YOLOv4: Optimal Speed and Accuracy of Object Detection*, 2020, section 3.3 and figure 3.
/// Deviations: pictures are resized to fit the input instead of drawn on a ground of four times its area and cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mosaic {
    /// How often. Default 1.
    pub probability: f64,
    /// Least and greatest size of a picture, as shares of its own. Default 0.4 to 1.
    pub scale: [f64; 2],
    /// Only in so many epochs from the start, so that a model sees whole pictures in the end. Default: in all.
    pub epochs: Option<u64>,
}

impl Default for Mosaic {
    fn default() -> Self {
        Self {
            probability: 1.0,
            scale: [0.4, 1.0],
            epochs: None,
        }
    }
}

impl Mosaic {
    /// Refuses values out of range and data that it does not fit.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self, info: &Info) -> Result<()> {
        check_range("probability", self.probability, 0.0..=1.0)?;
        for scale in self.scale {
            check_range("scale", scale, 0.05..=4.0)?;
        }
        if self.scale[0] > self.scale[1] {
            let what = format!(
                "{:?} is no range; give the smaller number first",
                self.scale
            );
            return Err(Error::config("scale", what));
        }
        let pictures = info.scalar == Kind::U8 && info.space.shape().len() == 3;
        match info.task {
            Task::Boxes { .. } if pictures => Ok(()),
            _ => Err(Error::config(
                "",
                "it needs pictures with boxes; leave it out",
            )),
        }
    }

    /// Whether there are any in `epoch`.
    pub(crate) fn is_due(&self, epoch: u64) -> bool {
        self.epochs.is_none_or(|epochs| epoch < epochs)
    }

    /// Numbers of the other three samples, of `samples`; `None` if this one stays as it is.
    pub(crate) fn partners(&self, samples: usize, rng: &mut Rng) -> Option<[usize; 3]> {
        if !rng.random_bool(self.probability) {
            return None;
        }
        // As u64: the same samples on every machine.
        Some([(); 3].map(|()| rng.random_range(0..samples as u64) as usize))
    }

    /// Puts `samples` above and left, above and right, below and left, below and right of a point in the middle half.
    ///
    /// # Panics
    /// If they are no pictures of one size with boxes.
    pub fn apply(&self, samples: [Sample; 4], rng: &mut Rng) -> Sample {
        let shape = samples[0].shape.clone();
        let &[channels, height, width] = shape.as_slice() else {
            panic!("a picture");
        };
        let size = [height, width];
        let middle = size.map(|side| {
            let (least, most) = (side / 4, side - side / 4);
            rng.random_range(least as u32..=most as u32) as usize
        });
        let mut canvas = vec![Letterbox::GREY; channels * height * width];
        let mut objects = Vec::new();
        for (i, mut sample) in samples.into_iter().enumerate() {
            assert_eq!(sample.shape, shape, "pictures of one size");
            let scale = rng.random_range(self.scale[0]..=self.scale[1]) as f32;
            let after = [i / 2 == 1, i % 2 == 1];
            let window = [0, 1].map(|axis| match after[axis] {
                true => [middle[axis], size[axis]],
                false => [0, middle[axis]],
            });
            let start = [0, 1].map(|axis| match after[axis] {
                true => middle[axis] as f32,
                false => middle[axis] as f32 - size[axis] as f32 * scale,
            });
            let place = Place { scale, start };
            let Values::U8(pixels) = &sample.values else {
                panic!("a picture of bytes");
            };
            paste(pixels, size, &mut canvas, size, place, window);
            // Only the canvas cuts off: towards the point a picture ends by itself.
            move_boxes(&mut sample.target, size, |bounds| place.apply(bounds));
            match sample.target {
                Target::Boxes(own) => objects.extend(own),
                _ => panic!("a picture with boxes"),
            }
        }
        Sample {
            values: Values::U8(canvas),
            shape,
            target: Target::Boxes(objects),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Object;
    use thorndike_core::Seeds;

    /// A dark picture with bright rectangles under its boxes; `level` tells pictures apart.
    pub(crate) fn marked(size: [usize; 2], level: u8, rng: &mut Rng) -> Sample {
        let [height, width] = size;
        let mut pixels = vec![0; height * width];
        let side = |from: u32, all: usize, rng: &mut Rng| {
            let start = rng.random_range(0..all as u32 - from);
            let end = rng.random_range(start + from..=all as u32);
            [start as usize, end as usize]
        };
        let ([x1, x2], [y1, y2]) = (side(6, width, rng), side(6, height, rng));
        for row in pixels.chunks_exact_mut(width).take(y2).skip(y1) {
            row[x1..x2].fill(level);
        }
        Sample {
            values: Values::U8(pixels),
            shape: vec![1, height, width],
            target: Target::Boxes(vec![Object::new(
                usize::from(level),
                [x1, y1, x2, y2].map(|edge| edge as f32),
            )]),
        }
    }

    /// That what is bright lies under the boxes of its level, up to a pixel of blurring, and nowhere else.
    #[track_caller]
    pub(crate) fn check_marks(sample: &Sample, levels: &[u8]) -> usize {
        let (Values::U8(pixels), Target::Boxes(objects)) = (&sample.values, &sample.target) else {
            panic!("{sample:?}");
        };
        let width = sample.shape[2];
        for object in objects {
            let level = object.class as u8;
            let [x1, y1, x2, y2] = object.bounds;
            // Whole pixels inside the box, but for its rim.
            let inside =
                |from: f32, to: f32| (from + 1.0).ceil() as usize..(to - 1.0).max(0.0) as usize;
            for y in inside(y1, y2) {
                for x in inside(x1, x2) {
                    assert_eq!(pixels[y * width + x], level, "{x}, {y} in {object:?}");
                }
            }
        }
        // A pixel of one level among its like was no mixture. Of a box that was dropped nothing can be said.
        let height = sample.shape[1];
        for (y, x) in (1..height - 1).flat_map(|y| (1..width - 1).map(move |x| (y, x))) {
            let level = pixels[y * width + x];
            let alike = (0..9).all(|i| pixels[(y + i / 3 - 1) * width + x + i % 3 - 1] == level);
            let of = objects.iter().filter(|object| object.class as u8 == level);
            if !alike || !levels.contains(&level) || of.clone().next().is_none() {
                continue;
            }
            let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
            let under = |object: &Object| {
                let [x1, y1, x2, y2] = object.bounds;
                x > x1 && x < x2 && y > y1 && y < y2
            };
            assert!(
                of.clone().any(under),
                "{x}, {y}: {level} is under no box of {objects:?}"
            );
        }
        objects.len()
    }

    #[test]
    fn marks_stay_under_their_boxes() {
        let mut rng = Seeds::new(1).stream("mosaic", 0);
        let levels = [60, 110, 160, 210];
        let mut boxes = 0;
        for _ in 0..300 {
            let size = [0, 0].map(|_| rng.random_range(16..60_u32) as usize);
            let samples = levels.map(|level| marked(size, level, &mut rng));
            let mosaic = Mosaic::default().apply(samples, &mut rng);
            assert_eq!(mosaic.shape, [1, size[0], size[1]]);
            boxes += check_marks(&mosaic, &levels);
        }
        assert!(boxes > 700, "{boxes} of 1200 boxes are left");
    }

    #[test]
    fn mosaic_is_value_stable() {
        let mut rng = Seeds::new(3).stream("mosaic", 0);
        let samples = [10, 20, 30, 40].map(|level| marked([8, 8], level, &mut rng));
        let Values::U8(pixels) = Mosaic::default().apply(samples, &mut rng).values else {
            panic!("bytes")
        };
        let sum = pixels
            .iter()
            .enumerate()
            .map(|(i, &p)| (i + 1) * usize::from(p));
        assert_eq!(sum.sum::<usize>(), PINNED, "published results depend on it");
    }
    const PINNED: usize = 81_211;
}
