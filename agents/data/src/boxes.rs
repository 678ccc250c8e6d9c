//! Boxes around objects: what a detector learns and says, and the arithmetic on them.
//!
//! Bounds are `[x1, y1, x2, y2]`: left, upper, right and lower edge in pixels. A pixel is a unit square, so the picture
//! lies between 0 and its width and height, and `x2 - x1` is the width of the box.

use serde::{Deserialize, Serialize};

/// Left, upper, right and lower edge in pixels.
pub type Bounds = [f32; 4];

/// An object in a picture, as it was annotated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its class.
    pub class: usize,
    /// Where it is.
    pub bounds: Bounds,
    /// Whether it is a group of objects that were not told apart (COCO's `iscrowd`), or one too difficult to be asked for
    /// (VOC's `difficult`): scores pass it over, and a detection on it is not counted as wrong.
    pub crowd: bool,
}

impl Object {
    /// One object, no crowd.
    pub fn new(class: usize, bounds: Bounds) -> Self {
        Self {
            class,
            bounds,
            crowd: false,
        }
    }
}

/// An object that a detector has found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Its class.
    pub class: usize,
    /// How sure the detector is, between 0 and 1.
    pub score: f32,
    /// Where it is.
    pub bounds: Bounds,
}

/// Area in square pixels; 0 if a side is not positive.
pub fn area([x1, y1, x2, y2]: Bounds) -> f32 {
    (x2 - x1).max(0.0) * (y2 - y1).max(0.0)
}

/// Area of what two boxes share.
pub fn intersection(a: Bounds, b: Bounds) -> f32 {
    area([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ])
}

/// Intersection over union, from 0 to 1; 0 of two boxes without area.
///
/// # Examples
/// ```
/// use thorndike_data::boxes::iou;
/// // They share 1 of 7 square pixels.
/// assert_eq!(iou([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]), 1.0 / 7.0);
/// ```
pub fn iou(a: Bounds, b: Bounds) -> f32 {
    let both = intersection(a, b);
    let union = area(a) + area(b) - both;
    if union > 0.0 { both / union } else { 0.0 }
}

/// Generalised intersection over union, from -1 to 1: below 0, it says how far apart boxes are.
///
/// # Reference
/// Rezatofighi et al., *Generalized Intersection over Union*, 2019, algorithm 1. Deviations: none.
pub fn giou(a: Bounds, b: Bounds) -> f32 {
    let both = intersection(a, b);
    let union = area(a) + area(b) - both;
    let hull = area(hull(a, b));
    match hull > 0.0 {
        true => iou(a, b) - (hull - union) / hull,
        false => 0.0,
    }
}

/// Complete intersection over union: minus the distance of the middles in diagonals of the common hull, minus a
/// difference of the ratios of the sides.
///
/// # Reference
/// Zheng et al., *Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression*, 2020, equations 8 to 11, of
/// which this is 1 minus the loss. Deviations: none.
pub fn ciou(a: Bounds, b: Bounds) -> f32 {
    let iou = iou(a, b);
    let [x1, y1, x2, y2] = hull(a, b);
    let diagonal = (x2 - x1).powi(2) + (y2 - y1).powi(2);
    // Twice the middles, hence a fourth of the square.
    let apart = ((a[0] + a[2] - b[0] - b[2]).powi(2) + (a[1] + a[3] - b[1] - b[3]).powi(2)) / 4.0;
    let angle = |b: Bounds| (b[2] - b[0]).atan2(b[3] - b[1]);
    let v = 4.0 / std::f32::consts::PI.powi(2) * (angle(a) - angle(b)).powi(2);
    let alpha = if v > 0.0 { v / (1.0 - iou + v) } else { 0.0 };
    let distance = if diagonal > 0.0 {
        apart / diagonal
    } else {
        0.0
    };
    iou - distance - alpha * v
}

/// The smallest box around two.
fn hull(a: Bounds, b: Bounds) -> Bounds {
    [
        a[0].min(b[0]),
        a[1].min(b[1]),
        a[2].max(b[2]),
        a[3].max(b[3]),
    ]
}

/// The part of a box that lies in a picture of `[height, width]`.
pub fn clipped([x1, y1, x2, y2]: Bounds, [height, width]: [usize; 2]) -> Bounds {
    let (width, height) = (width as f32, height as f32);
    [
        x1.clamp(0.0, width),
        y1.clamp(0.0, height),
        x2.clamp(0.0, width),
        y2.clamp(0.0, height),
    ]
}

/// How a picture was fitted into an input of another size without changing its proportions: resized, and set in the
/// middle of a grey ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letterbox {
    /// Height and width of the picture.
    pub from: [usize; 2],
    /// Height and width that it is resized to.
    pub inner: [usize; 2],
    /// Row and column of the input where it begins.
    pub start: [usize; 2],
}

impl Letterbox {
    /// Grey of what the picture does not cover.
    pub const GREY: u8 = 114;

    /// Fits a picture of `from` (height, width) into an input of `to`.
    ///
    /// # Examples
    /// ```
    /// use thorndike_data::boxes::Letterbox;
    /// let fit = Letterbox::new([480, 640], [320, 320]);
    /// assert_eq!((fit.inner, fit.start), ([240, 320], [40, 0]));
    /// let bounds = [64.0, 48.0, 128.0, 96.0];
    /// assert_eq!(fit.apply(bounds), [32.0, 64.0, 64.0, 88.0]);
    /// assert_eq!(fit.back(fit.apply(bounds)), bounds);
    /// ```
    pub fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        // In whole numbers: the side that is relatively longer fills its own.
        let [height, width] = from.map(|n| n.max(1));
        let part = |n: usize, to: usize, from: usize| ((2 * n * to + from) / (2 * from)).max(1);
        let inner = match width * to[0] > height * to[1] {
            true => [part(height, to[1], width).min(to[0]), to[1]],
            false => [to[0], part(width, to[0], height).min(to[1])],
        };
        let start = [(to[0] - inner[0]) / 2, (to[1] - inner[1]) / 2];
        Self { from, inner, start }
    }

    /// Bounds in the input of a box in the picture.
    pub fn apply(&self, [x1, y1, x2, y2]: Bounds) -> Bounds {
        let [sy, sx] = self.scale();
        let [top, left] = self.start.map(|n| n as f32);
        [x1 * sx + left, y1 * sy + top, x2 * sx + left, y2 * sy + top]
    }

    /// Bounds in the picture of a box in the input. Not clipped.
    pub fn back(&self, [x1, y1, x2, y2]: Bounds) -> Bounds {
        let [sy, sx] = self.scale();
        let [top, left] = self.start.map(|n| n as f32);
        [
            (x1 - left) / sx,
            (y1 - top) / sy,
            (x2 - left) / sx,
            (y2 - top) / sy,
        ]
    }

    /// Pixels of the input for one of the picture, down and across.
    fn scale(&self) -> [f32; 2] {
        [0, 1].map(|i| self.inner[i] as f32 / self.from[i].max(1) as f32)
    }
}

/// Leaves the best detections only: from the surest on, each removes those that overlap it by an intersection over union
/// of more than `threshold`. Of equally sure ones the first in the list wins. `classes`: only of its own class. At most
/// `most` are left, the surest first. Scores that are no number are removed.
///
/// # Examples
/// ```
/// use thorndike_data::{Detection, boxes::nms};
/// let found = |score, x1| Detection { class: 0, score, bounds: [x1, 0.0, x1 + 4.0, 4.0] };
/// let mut detections = vec![found(0.6, 0.0), found(0.9, 1.0), found(0.5, 9.0)];
/// nms(&mut detections, 0.5, true, 100);
/// assert_eq!(detections, [found(0.9, 1.0), found(0.5, 9.0)]);
/// ```
///
/// # Reference
/// Neubeck, Van Gool, *Efficient Non-Maximum Suppression*, 2006, algorithm 1 (greedy). Deviations: none.
pub fn nms(detections: &mut Vec<Detection>, threshold: f32, classes: bool, most: usize) {
    detections.retain(|found| !found.score.is_nan());
    detections.sort_by(|a, b| b.score.total_cmp(&a.score)); // stable
    // What is kept, and for each class (or all) a copy of its edges and areas side by side.
    let mut kept = 0;
    let mut lanes: Vec<Lane> = Vec::new();
    for i in 0..detections.len() {
        if kept == most {
            break;
        }
        let found = detections[i];
        let class = if classes { found.class } else { 0 };
        let lane = match lanes.iter().position(|lane| lane.class == class) {
            Some(lane) => lane,
            None => {
                lanes.push(Lane {
                    class,
                    ..Lane::default()
                });
                lanes.len() - 1
            }
        };
        if !lanes[lane].overlaps(found.bounds, threshold) {
            lanes[lane].push(found.bounds);
            detections[kept] = found;
            kept += 1;
        }
    }
    detections.truncate(kept);
}

/// Edges and areas of boxes.
#[derive(Default)]
struct Lane {
    class: usize,
    edges: [Vec<f32>; 4],
    areas: Vec<f32>,
}

impl Lane {
    /// How many are compared between two looks at the outcome: enough for wide registers.
    const CHUNK: usize = 16;

    fn push(&mut self, bounds: Bounds) {
        for (edges, edge) in self.edges.iter_mut().zip(bounds) {
            edges.push(edge);
        }
        self.areas.push(area(bounds));
    }

    /// Whether one of them overlaps `bounds` by more than `threshold`.
    fn overlaps(&self, bounds: Bounds, threshold: f32) -> bool {
        let [x1, y1, x2, y2] = &self.edges;
        let own = area(bounds);
        let n = self.areas.len();
        let mut start = 0;
        while start < n {
            let end = (start + Self::CHUNK).min(n);
            let mut any = false;
            let boxes = x1[start..end]
                .iter()
                .zip(&y1[start..end])
                .zip(&x2[start..end])
                .zip(&y2[start..end])
                .zip(&self.areas[start..end]);
            for ((((x1, y1), x2), y2), area) in boxes {
                let width = (bounds[2].min(*x2) - bounds[0].max(*x1)).max(0.0);
                let height = (bounds[3].min(*y2) - bounds[1].max(*y1)).max(0.0);
                let both = width * height;
                any |= both > threshold * (own + area - both);
            }
            if any {
                return true;
            }
            start = end;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use thorndike_core::Seeds;
    use thorndike_core::rand::RngExt;

    use super::*;

    #[test]
    fn overlaps_of_boxes_beside_within_and_apart() {
        let a = [0.0, 0.0, 4.0, 2.0];
        assert_eq!(iou(a, a), 1.0);
        assert_eq!(giou(a, a), 1.0);
        assert_eq!(ciou(a, a), 1.0);
        // Half of it: 4 of 8.
        assert_eq!(iou(a, [0.0, 0.0, 2.0, 2.0]), 0.5);
        assert_eq!(giou(a, [0.0, 0.0, 2.0, 2.0]), 0.5);
        // Apart by their own width: hull 12 x 2 = 24, union 16.
        let b = [8.0, 0.0, 12.0, 2.0];
        assert_eq!(iou(a, b), 0.0);
        assert!((giou(a, b) + 1.0 / 3.0).abs() < 1e-6);
        // Middles 8 apart, diagonal of the hull squared 144 + 4; equal sides.
        assert!((ciou(a, b) + 64.0 / 148.0).abs() < 1e-6);
        assert_eq!(iou([1.0; 4], [1.0; 4]), 0.0);
        assert_eq!(giou([1.0; 4], [1.0; 4]), 0.0);
        assert_eq!(area([3.0, 0.0, 1.0, 5.0]), 0.0);
    }

    #[test]
    fn ciou_counts_the_ratio_of_the_sides() {
        // Same middle; 4 x 2 and 2 x 4 share 4 of 12. v = 4 / pi^2 (atan 2 - atan 1/2)^2 = 0.167822...
        let (a, b) = ([0.0, 1.0, 4.0, 3.0], [1.0, 0.0, 3.0, 4.0]);
        let v = 4.0 / std::f32::consts::PI.powi(2) * (2.0_f32.atan() - 0.5_f32.atan()).powi(2);
        let alpha = v / (2.0 / 3.0 + v);
        assert!((ciou(a, b) - (1.0 / 3.0 - alpha * v)).abs() < 1e-6);
    }

    #[test]
    fn a_letterbox_fits_any_picture_and_goes_back() {
        let mut rng = Seeds::new(4).stream("letterbox", 0);
        for _ in 0..2000 {
            let mut side = || rng.random_range(1..700_u32) as usize;
            let (from, to) = ([side(), side()], [side(), side()]);
            let fit = Letterbox::new(from, to);
            for (i, &to) in to.iter().enumerate() {
                assert!(fit.inner[i] >= 1 && fit.start[i] + fit.inner[i] <= to);
                // In the middle, but for half a pixel.
                assert!(to - fit.inner[i] - 2 * fit.start[i] <= 1);
            }
            assert!(fit.inner[0] == to[0] || fit.inner[1] == to[1]);
            let whole = [0.0, 0.0, from[1] as f32, from[0] as f32];
            let inside = fit.apply(whole);
            let size = [inside[3] - inside[1], inside[2] - inside[0]];
            assert!((0..2).all(|i| (size[i] - fit.inner[i] as f32).abs() < 1e-3));
            let back = fit.back(inside);
            // Some roundings of numbers up to 700, divided by scales down to 1/700.
            assert!((0..4).all(|i| (back[i] - whole[i]).abs() < 0.1), "{back:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        assert_eq!(clipped([-3.0, 1.0, 9.0, 7.0], [5, 8]), [0.0, 1.0, 8.0, 5.0]);
        assert_eq!(area(clipped([9.0, 1.0, 12.0, 4.0], [5, 8])), 0.0);
    }

    /// As the paper has it, without any haste.
    fn slow(mut all: Vec<Detection>, threshold: f32, classes: bool) -> Vec<Detection> {
        let mut kept = Vec::new();
        while !all.is_empty() {
            let mut best = 0;
            for i in 0..all.len() {
                if all[i].score > all[best].score {
                    best = i;
                }
            }
            let best = all.remove(best);
            all.retain(|other| {
                classes && other.class != best.class || iou(best.bounds, other.bounds) <= threshold
            });
            kept.push(best);
        }
        kept
    }

    #[test]
    fn suppression_is_that_of_the_slow_loop() {
        let mut rng = Seeds::new(5).stream("nms", 0);
        for round in 0..50 {
            let mut found = Vec::new();
            for _ in 0..rng.random_range(0..200) {
                let [x, y] = [0, 0].map(|_| rng.random_range(0.0..40.0_f32));
                let [w, h] = [0, 0].map(|_| rng.random_range(0.0..20.0_f32));
                found.push(Detection {
                    class: rng.random_range(0..3),
                    // Few values, so that there are ties.
                    score: rng.random_range(0..12_u32) as f32 / 12.0,
                    bounds: [x, y, x + w, y + h],
                });
            }
            let classes = round % 2 == 0;
            let expected = slow(found.clone(), 0.45, classes);
            nms(&mut found, 0.45, classes, usize::MAX);
            assert_eq!(found, expected);
            let most = expected.len() / 2;
            nms(&mut found, 0.45, classes, most);
            assert_eq!(found, expected[..most]);
        }
    }

    #[test]
    fn scores_that_are_no_number_are_left_out() {
        let mut found = vec![Detection {
            class: 0,
            score: f32::NAN,
            bounds: [0.0, 0.0, 1.0, 1.0],
        }];
        nms(&mut found, 0.5, true, 10);
        assert!(found.is_empty());
    }
}
