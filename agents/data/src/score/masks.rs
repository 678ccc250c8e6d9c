//! Scores of predicted masks.

use serde::{Deserialize, Serialize};

use super::{Confusion, Mean};

/// How well the pixels of images, or the steps of sequences, are told apart: over all of them, and image by image.
///
/// Over all pixels, large things count more; image by image, every image counts the same. Classes that neither occur in
/// an image nor were predicted there are left out of its mean. The background is a class as any other.
///
/// # Examples
/// ```
/// use thorndike_data::score::Masks;
/// // Two images of two pixels; the second is wrong in one.
/// let masks = Masks::of(2, 2, &[0, 1, 0, 0], &[0, 1, 0, 1]);
/// assert_eq!(masks.iou_each(), [1.0, 0.25]); // of class 0 a half, of class 1 nothing
/// assert_eq!(masks.whole().mean_iou(), (2.0 / 3.0 + 1.0 / 2.0) / 2.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Masks {
    whole: Confusion,
    iou: Vec<f64>,
    dice: Vec<f64>,
}

impl Masks {
    /// Nothing added yet.
    pub fn new(classes: usize) -> Self {
        Self {
            whole: Confusion::new(classes),
            iou: Vec::new(),
            dice: Vec::new(),
        }
    }

    /// Of these images of `pixels` pixels; see [`add`](Self::add).
    pub fn of(classes: usize, pixels: usize, truth: &[i32], predicted: &[i32]) -> Self {
        let mut masks = Self::new(classes);
        masks.add(pixels, truth, predicted);
        masks
    }

    /// Adds images, both `[images, pixels]`. Pixels whose true class is [`IGNORED`](crate::IGNORED) are not counted, nor
    /// images that have no other.
    ///
    /// # Panics
    /// If there are not as many of both, the last image is not whole, or another class is not in `0..classes`.
    pub fn add(&mut self, pixels: usize, truth: &[i32], predicted: &[i32]) {
        assert_eq!(truth.len(), predicted.len(), "true and predicted pixels");
        assert!(
            truth.len().is_multiple_of(pixels),
            "{pixels} pixels an image"
        );
        for (truth, predicted) in truth
            .chunks_exact(pixels)
            .zip(predicted.chunks_exact(pixels))
        {
            let image = Confusion::of(self.whole.classes(), truth, predicted);
            if image.total() > 0 {
                self.iou.push(image.mean_iou());
                self.dice.push(image.mean_dice());
                self.whole.merge(&image);
            }
        }
    }

    /// All pixels together.
    pub fn whole(&self) -> &Confusion {
        &self.whole
    }

    /// Mean intersection over union of each image.
    pub fn iou_each(&self) -> &[f64] {
        &self.iou
    }

    /// Mean Dice coefficient of each image.
    pub fn dice_each(&self) -> &[f64] {
        &self.dice
    }

    /// Mean over images of their mean intersection over union.
    pub fn mean_iou(&self) -> f64 {
        self.iou.iter().copied().collect::<Mean>().value()
    }

    /// Mean over images of their mean Dice coefficient.
    pub fn mean_dice(&self) -> f64 {
        self.dice.iter().copied().collect::<Mean>().value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IGNORED;

    #[test]
    fn an_image_without_a_counted_pixel_is_left_out() {
        let masks = Masks::of(2, 2, &[IGNORED, IGNORED, 1, IGNORED], &[0, 0, 1, 0]);
        assert_eq!((masks.iou_each(), masks.mean_dice()), (&[1.0][..], 1.0));
        assert!(Masks::new(2).mean_iou().is_nan());
    }
}
