//! The anchor-free head: a feature pyramid, two branches on each of its maps, and what they learn.

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};
use thorndike_core::{Error, Result, check_range};
use thorndike_data::boxes::{Bounds, ciou};
use thorndike_data::{Detection, Object};

use super::{Branch, Level, Looked, beside, values};
use crate::Scope;
use crate::models::csp::{CspBlock, Pass, Unit};

/// Settings of the anchor-free head.
///
/// # Reference
/// Feng et al., "TOOD: Task-aligned One-stage Object Detection" (2021), section 3.2: which place learns which object. Li et
/// al., "Generalized Focal Loss" (2020), section 3.2: distances to edges as distributions over whole numbers. Zheng et al.,
/// "Distance-IoU Loss" (2020): [CIoU](thorndike_data::boxes::ciou). Deviations: overlaps are CIoU, those below 0 counting
/// as 0; the exponent of the score is 0.5 instead of 1 and there are 10 places an object instead of 13; scores learn by
/// cross-entropy instead of a focal loss; biases begin so that boxes of about six strides and rare objects are expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnchorFreeConfig {
    /// Pixels from place to place of the maps in which objects are found, ascending. Default `[8, 16, 32]`.
    pub strides: Vec<usize>,
    /// Channels of each map of the pyramid. Default 48.
    pub pyramid: usize,
    /// Channels of the branches for boxes and classes. Default 32.
    pub width: usize,
    /// Whole numbers that a distance is a distribution over, in strides, from 0 on. Default 16.
    pub bins: usize,
    /// The most places that learn an object. Default 10.
    pub places: usize,
    /// Exponent of the score where places are chosen. Default 0.5.
    pub alpha: f64,
    /// Exponent of the overlap where places are chosen. Default 6.
    pub beta: f64,
    /// Weight of the overlap in the loss. Default 7.5.
    pub box_gain: f64,
    /// Weight of the classes in the loss. Default 0.5.
    pub class_gain: f64,
    /// Weight of the distributions in the loss. Default 1.5.
    pub distribution_gain: f64,
}

impl Default for AnchorFreeConfig {
    fn default() -> Self {
        Self {
            strides: vec![8, 16, 32],
            pyramid: 48,
            width: 32,
            bins: 16,
            places: 10,
            alpha: 0.5,
            beta: 6.0,
            box_gain: 7.5,
            class_gain: 0.5,
            distribution_gain: 1.5,
        }
    }
}

impl AnchorFreeConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.strides.is_empty() || !self.strides.is_sorted_by(|a, b| a < b) {
            let what = format!("{:?} do not ascend; give some as [8, 16, 32]", self.strides);
            return Err(Error::config("strides", what));
        }
        check_range("pyramid", self.pyramid, 2..=4096)?;
        check_range("width", self.width, 1..=4096)?;
        check_range("bins", self.bins, 2..=256)?;
        check_range("places", self.places, 1..=1000)?;
        for (key, gain) in [
            ("alpha", self.alpha),
            ("beta", self.beta),
            ("box_gain", self.box_gain),
            ("class_gain", self.class_gain),
            ("distribution_gain", self.distribution_gain),
        ] {
            check_range(key, gain, 0.0..=1e3)?;
        }
        Ok(())
    }

    /// Weights of [`Head`].
    pub(super) fn weights(&self, channels: impl Iterator<Item = usize>, classes: usize) -> u64 {
        let Self {
            pyramid,
            width,
            bins,
            ..
        } = *self;
        let branches =
            Branch::weights(pyramid, width, 4 * bins) + Branch::weights(pyramid, width, classes);
        let mut channels: Vec<usize> = channels.collect();
        let last = channels.pop().unwrap_or(0);
        let joined = channels
            .iter()
            .map(|channels| CspBlock::weights(channels + pyramid, pyramid, 1) + branches);
        Unit::weights(last, pyramid, 1) + branches + joined.sum::<u64>()
    }
}

/// The layers behind the backbone.
#[derive(Debug)]
pub(super) struct Head {
    /// Of the coarsest map.
    top: Unit,
    /// Each map beside the coarser one of the pyramid, the finest first.
    joins: Vec<CspBlock>,
    /// Of boxes and of classes, for each map, the finest first.
    branches: Vec<[Branch; 2]>,
    bins: usize,
    classes: usize,
}

/// How much less likely each whole number is than the one before, at first, as a difference of logarithms: distances of
/// about three are expected.
const FALL: f32 = 0.3;
/// How sure a class is at first.
const RARE: f32 = 0.01;

impl Head {
    /// Declares `join.0.*`, …, `top.*`, and `0.box.*` and `0.class.*`, … in `scope`, for maps of so many channels.
    pub(super) fn new(
        config: &AnchorFreeConfig,
        scope: &mut Scope<'_>,
        channels: impl Iterator<Item = usize>,
        classes: usize,
    ) -> Self {
        let AnchorFreeConfig {
            pyramid,
            width,
            bins,
            ..
        } = *config;
        let mut channels: Vec<usize> = channels.collect();
        let last = channels.pop().expect("at least one stride");
        let joins = channels.iter().enumerate().map(|(i, channels)| {
            let scope = &mut scope.sub(&format!("join.{i}"));
            CspBlock::new(scope, channels + pyramid, pyramid, 1, false)
        });
        let joins = joins.collect();
        let falling: Vec<f32> = (0..4 * bins).map(|i| -FALL * (i % bins) as f32).collect();
        let rare = vec![(RARE / (1.0 - RARE)).ln(); classes];
        let top = Unit::new(&mut scope.sub("top"), last, pyramid, 1, 1);
        let branches = (0..=channels.len()).map(|i| {
            let mut branch = |name: &str, bias: &[f32]| {
                Branch::new(&mut scope.sub(&format!("{i}.{name}")), pyramid, width, bias)
            };
            [branch("box", &falling), branch("class", &rare)]
        });
        Self {
            branches: branches.collect(),
            top,
            joins,
            bins,
            classes,
        }
    }

    pub(super) fn probe(&self) -> &Tensor {
        self.top.probe()
    }

    /// `[batch, places, 4 bins + classes]` of `maps`, the finest first.
    pub(super) fn forward(&self, maps: &[&Tensor], pass: Pass) -> Tensor {
        let (last, finer) = maps.split_last().expect("at least one stride");
        let mut pyramid = vec![self.top.forward(last, pass)];
        for (join, map) in self.joins.iter().zip(finer).rev() {
            let size = map.size();
            let above = &pyramid[pyramid.len() - 1];
            let above = above.upsample_nearest2d([size[2], size[3]], None, None);
            pyramid.push(join.forward(&Tensor::cat(&[&above, map], 1), pass));
        }
        let levels = self.branches.iter().zip(pyramid.iter().rev());
        let levels = levels.map(|(branches, map)| {
            let both = branches.each_ref().map(|branch| branch.forward(map, pass));
            Tensor::cat(&both, 2)
        });
        Tensor::cat(&levels.collect::<Vec<_>>(), 1)
    }

    /// Scores of the classes as logits, `[batch, places, classes]`.
    fn classes(&self, looked: &Looked) -> Tensor {
        let from = 4 * self.bins as i64;
        looked.numbers.narrow(2, from, self.classes as i64)
    }

    /// Scores `[batch, places, classes]` and bounds `[batch, places, 4]`.
    fn read(&self, looked: &Looked) -> (Vec<f32>, Vec<Bounds>) {
        let numbers = looked.numbers.detach();
        let size = numbers.size();
        let (batch, places, bins) = (size[0], size[1], self.bins as i64);
        let distances = numbers.narrow(2, 0, 4 * bins);
        let distances = distances.reshape([batch * places * 4, bins]);
        let distances = values(&expected(&distances));
        let points = points(&looked.levels);
        let bounds = distances.chunks_exact(4).zip(points.iter().cycle());
        let bounds = bounds.map(|(distances, point)| point.bounds(distances));
        let scores = values(&self.classes(looked).detach().sigmoid());
        (scores, bounds.collect())
    }

    /// Detections of each image before any is suppressed.
    pub(super) fn detections(&self, looked: &Looked, from: f32) -> Vec<Vec<Detection>> {
        let numbers = looked.numbers.detach();
        let size = numbers.size();
        let (batch, places, bins) = (size[0] as usize, size[1] as usize, self.bins as i64);
        let logits = values(&self.classes(looked).detach());
        // Of most places nothing is said that is sure enough: their boxes are not computed.
        let least = -(1.0 / from - 1.0).ln();
        let is_sure = |logits: &[f32]| logits.iter().any(|&logit| logit >= least);
        let rows = logits.chunks_exact(self.classes).enumerate();
        let rows: Vec<i64> = rows
            .filter(|(_, logits)| is_sure(logits))
            .map(|(row, _)| row as i64)
            .collect();
        let mut found: Vec<Vec<Detection>> = (0..batch).map(|_| Vec::new()).collect();
        if rows.is_empty() {
            return found;
        }
        let index = Tensor::from_slice(&rows).to_device(numbers.device());
        let distances = numbers
            .flatten(0, 1)
            .narrow(1, 0, 4 * bins)
            .index_select(0, &index);
        let distances = values(&expected(&distances.reshape([-1, bins])));
        let points = points(&looked.levels);
        for (&row, distances) in rows.iter().zip(distances.chunks_exact(4)) {
            let row = row as usize;
            let bounds = points[row % places].bounds(distances);
            let logits = &logits[row * self.classes..][..self.classes];
            for (class, &logit) in logits.iter().enumerate() {
                if logit >= least {
                    let score = 1.0 / (1.0 + (-logit).exp());
                    let detection = Detection {
                        class,
                        score,
                        bounds,
                    };
                    found[row / places].push(detection);
                }
            }
        }
        found
    }

    pub(super) fn loss(
        &self,
        config: &AnchorFreeConfig,
        looked: &Looked,
        objects: &[Vec<Object>],
    ) -> Tensor {
        let (scores, bounds) = self.read(looked);
        let points = points(&looked.levels);
        let (places, classes) = (points.len(), self.classes);
        let mut learning = Vec::new();
        let mut targets = vec![0.0; scores.len()];
        // 0 where a crowd is, of which nothing is known.
        let mut counts = objects
            .iter()
            .flatten()
            .any(|object| object.crowd)
            .then(|| vec![1.0; scores.len()]);
        for (image, objects) in objects.iter().enumerate() {
            let start = image * places;
            let said = Said {
                scores: &scores[start * classes..][..places * classes],
                bounds: &bounds[start..][..places],
                classes,
            };
            if let Some(counts) = &mut counts {
                let own = &mut counts[start * classes..][..places * classes];
                for (point, counts) in points.iter().zip(own.chunks_exact_mut(classes)) {
                    let crowd = |object: &Object| object.crowd && point.is_in(object.bounds);
                    if objects.iter().any(crowd) {
                        counts.fill(0.0);
                    }
                }
            }
            for chosen in assign(config, objects, &looked.levels, &said) {
                let place = start + chosen.place;
                let Object { class, bounds, .. } = objects[chosen.object];
                targets[place * classes + class] = chosen.score;
                if let Some(counts) = &mut counts {
                    counts[place * classes..][..classes].fill(1.0);
                }
                learning.push(Learning {
                    place,
                    point: points[chosen.place],
                    bounds,
                    score: chosen.score,
                });
            }
        }
        let numbers = &looked.numbers;
        let shape = [objects.len() as i64, places as i64, classes as i64];
        let entropy = self.classes(looked).binary_cross_entropy_with_logits(
            &beside(numbers, &targets, &shape),
            counts.map(|counts| beside(numbers, &counts, &shape)),
            None::<Tensor>,
            Reduction::Sum,
        );
        let all = learning.iter().map(|of| of.score).sum::<f32>().max(1.0);
        let entropy = entropy * (config.class_gain / f64::from(all));
        if learning.is_empty() {
            return entropy;
        }
        let column = |f: &dyn Fn(&Learning) -> Vec<f32>| {
            let values: Vec<f32> = learning.iter().flat_map(f).collect();
            beside(numbers, &values, &[learning.len() as i64, -1])
        };
        let truth = column(&|of| of.bounds.to_vec());
        let strides = column(&|of| vec![of.point.stride]);
        let points = column(&|of| vec![of.point.x, of.point.y]);
        let shares = column(&|of| vec![of.score / all]).squeeze_dim(1);
        let rows: Vec<i64> = learning.iter().map(|of| of.place as i64).collect();
        let rows = Tensor::from_slice(&rows).to_device(numbers.device());
        let bins = self.bins as i64;
        let logits = numbers
            .flatten(0, 1)
            .index_select(0, &rows)
            .narrow(1, 0, 4 * bins)
            .reshape([-1, 4, bins]); // [learning, 4, bins]
        let distances = expected(&logits) * &strides;
        let found = bounds_of(&points, &distances);
        let overlap = (ciou_loss(&found, &truth) * &shares).sum(Kind::Float);
        let wanted = distances_of(&points, &truth) / &strides;
        let distribution = (distribution_loss(&logits, &wanted) * &shares).sum(Kind::Float);
        entropy + overlap * config.box_gain + distribution * config.distribution_gain
    }
}

/// A place that learns an object, in a batch.
struct Learning {
    /// Place among those of all images.
    place: usize,
    point: Point,
    /// Of the object.
    bounds: Bounds,
    /// The score that it is to give the object's class.
    score: f32,
}

/// A place of a map.
#[derive(Clone, Copy, Debug)]
struct Point {
    x: f32,
    y: f32,
    stride: f32,
}

impl Point {
    /// Those of `level` in row order.
    fn of(level: &Level) -> impl Iterator<Item = Self> {
        let Level {
            stride,
            rows,
            columns,
        } = *level;
        let at = move |i: usize| (i as f32 + 0.5) * stride as f32;
        (0..rows).flat_map(move |row| {
            (0..columns).map(move |column| Self {
                x: at(column),
                y: at(row),
                stride: stride as f32,
            })
        })
    }

    /// The box whose edges lie so many strides to the left, above, to the right and below.
    fn bounds(&self, distances: &[f32]) -> Bounds {
        [
            self.x - self.stride * distances[0],
            self.y - self.stride * distances[1],
            self.x + self.stride * distances[2],
            self.y + self.stride * distances[3],
        ]
    }

    fn is_in(&self, [x1, y1, x2, y2]: Bounds) -> bool {
        self.x > x1 && self.x < x2 && self.y > y1 && self.y < y2
    }
}

/// All places, level by level, in row order.
fn points(levels: &[Level]) -> Vec<Point> {
    levels.iter().flat_map(Point::of).collect()
}

/// What is said of one image now.
struct Said<'a> {
    /// `[places, classes]`.
    scores: &'a [f32],
    /// `[places]`.
    bounds: &'a [Bounds],
    classes: usize,
}

/// A place that learns an object.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Chosen {
    place: usize,
    object: usize,
    /// The score that it is to give the object's class.
    score: f32,
}

/// Chooses the places that learn each of `objects`: of those inside of its box, the ones with the highest
/// `score^alpha overlap^beta`. A place that two objects want takes the one that it overlaps more. The score to be learned
/// is that product over the highest of the object's places, times their highest overlap. A box that lies between all
/// places is learned by the nearest one of the finest map. Crowds are not learned.
///
/// # Reference
/// Feng et al., "TOOD" (2021), section 3.2, equations 3 and 4.
fn assign(
    config: &AnchorFreeConfig,
    objects: &[Object],
    levels: &[Level],
    said: &Said<'_>,
) -> Vec<Chosen> {
    /// A place that is wanted.
    #[derive(Clone, Copy)]
    struct Wanted {
        place: usize,
        object: usize,
        overlap: f32,
        fit: f32,
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut inside = Vec::new();
    for (i, object) in objects
        .iter()
        .enumerate()
        .filter(|(_, object)| !object.crowd)
    {
        places_inside(levels, object.bounds, &mut inside);
        let rated = inside.iter().map(|&place| {
            let overlap = ciou(object.bounds, said.bounds[place]).max(0.0);
            let score = said.scores[place * said.classes + object.class];
            let fit = f64::from(score).powf(config.alpha) * f64::from(overlap).powf(config.beta);
            Wanted {
                place,
                object: i,
                overlap,
                fit: fit as f32,
            }
        });
        let mut rated: Vec<Wanted> = rated.collect();
        rated.sort_by(|a, b| b.fit.total_cmp(&a.fit)); // stable
        rated.truncate(config.places);
        wanted.extend(rated);
    }
    // Of each place, the object that it overlaps most comes first.
    wanted.sort_by(|a, b| a.place.cmp(&b.place).then(b.overlap.total_cmp(&a.overlap)));
    wanted.dedup_by_key(|wanted| wanted.place);
    let mut highest = vec![[0.0_f32; 2]; objects.len()];
    for &Wanted {
        object,
        overlap,
        fit,
        ..
    } in &wanted
    {
        let [fits, overlaps] = &mut highest[object];
        (*fits, *overlaps) = (fits.max(fit), overlaps.max(overlap));
    }
    let chosen = wanted.into_iter().map(|wanted| {
        let [fit, overlap] = highest[wanted.object];
        let share = if fit > 0.0 { wanted.fit / fit } else { 0.0 };
        Chosen {
            place: wanted.place,
            object: wanted.object,
            score: share * overlap,
        }
    });
    chosen.filter(|chosen| chosen.score > 0.0).collect()
}

/// Sets `inside` to the places of all levels that lie within `bounds`, or the nearest one of the first level.
fn places_inside(levels: &[Level], [x1, y1, x2, y2]: Bounds, inside: &mut Vec<usize>) {
    inside.clear();
    let mut start = 0;
    for level in levels {
        let range = |from: f32, to: f32, count: usize| {
            let place = |edge: f32| edge / level.stride as f32 - 0.5;
            let first = (place(from).floor() + 1.0).max(0.0) as usize;
            let end = place(to).ceil().max(0.0) as usize;
            first.min(count)..end.min(count)
        };
        for row in range(y1, y2, level.rows) {
            let columns = range(x1, x2, level.columns);
            inside.extend(columns.map(|column| start + row * level.columns + column));
        }
        start += level.places();
    }
    if let (true, Some(level)) = (inside.is_empty(), levels.first()) {
        let nearest = |from: f32, to: f32, count: usize| {
            let place = (from + to) / 2.0 / level.stride as f32;
            (place.max(0.0) as usize).min(count - 1)
        };
        let (row, column) = (nearest(y1, y2, level.rows), nearest(x1, x2, level.columns));
        inside.push(row * level.columns + column);
    }
}

/// The mean of the whole numbers that `logits` `[.., bins]` are a distribution over: `[..]`.
fn expected(logits: &Tensor) -> Tensor {
    let bins = logits.size()[logits.dim() - 1];
    let numbers = Tensor::arange(bins, (Kind::Float, logits.device()));
    logits.softmax(-1, Kind::Float).matmul(&numbers)
}

/// Bounds of the boxes whose edges are at `distances` `[n, 4]` from `points` `[n, 2]`: `[n, 4]`.
fn bounds_of(points: &Tensor, distances: &Tensor) -> Tensor {
    let [before, after] = [0, 2].map(|start| distances.narrow(1, start, 2));
    Tensor::cat(&[points - before, points + after], 1)
}

/// Distances of the edges of `bounds` `[n, 4]` from `points` `[n, 2]`: `[n, 4]`.
fn distances_of(points: &Tensor, bounds: &Tensor) -> Tensor {
    let [before, after] = [0, 2].map(|start| bounds.narrow(1, start, 2));
    Tensor::cat(&[points - before, after - points], 1)
}

/// `1 - CIoU` of boxes `[n, 4]` and theirs, `[n]`; the weight of the ratio of the sides is taken as a constant.
///
/// # Reference
/// Zheng et al., "Distance-IoU Loss" (2020), equations 8 to 11. Deviations: none.
fn ciou_loss(found: &Tensor, truth: &Tensor) -> Tensor {
    const SMALL: f64 = 1e-7;
    let corners = |boxes: &Tensor| [0, 2].map(|start| boxes.narrow(1, start, 2));
    let ([a1, a2], [b1, b2]) = (corners(found), corners(truth));
    let product = |sides: &Tensor| sides.select(1, 0) * sides.select(1, 1);
    let (sides_a, sides_b) = (&a2 - &a1, &b2 - &b1);
    let shared = (a2.minimum(&b2) - a1.maximum(&b1)).clamp_min(0.0);
    let shared = product(&shared);
    let union = product(&sides_a) + product(&sides_b) - &shared + SMALL;
    let iou = shared / union;
    let hull = a2.maximum(&b2) - a1.minimum(&b1);
    let sum = |x: Tensor| x.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
    let diagonal = sum(hull.square()) + SMALL;
    // Twice the middles, hence a fourth of the square.
    let apart = sum((&a1 + &a2 - &b1 - &b2).square()) / 4.0;
    let angle = |sides: &Tensor| sides.select(1, 0).atan2(&(sides.select(1, 1) + SMALL));
    let v = (angle(&sides_b) - angle(&sides_a)).square() * (4.0 / std::f64::consts::PI.powi(2));
    let alpha = (&v / (&v - &iou + (1.0 + SMALL))).detach();
    1.0 - iou + apart / diagonal + alpha * v
}

/// Cross-entropy of `logits` `[n, 4, bins]` where each of the `distances` `[n, 4]` lies between two whole numbers, which
/// share it by their nearness; mean over the four: `[n]`. Distances past the last number count as just below it.
///
/// # Reference
/// Li et al., "Generalized Focal Loss" (2020), equation 6. Deviations: none.
fn distribution_loss(logits: &Tensor, distances: &Tensor) -> Tensor {
    let bins = logits.size()[2];
    let distances = distances.clamp(0.0, bins as f64 - 1.01);
    let below = distances.floor();
    let share = &distances - &below; // of the number above
    let index = below.to_kind(Kind::Int64).unsqueeze(2);
    let logs = logits.log_softmax(2, Kind::Float);
    let of = |index: &Tensor| logs.gather(2, index, false).squeeze_dim(2); // [n, 4]
    let (low, high) = (of(&index), of(&(&index + 1)));
    let log = &low + (high - &low) * share;
    -log.mean_dim([1_i64].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).view(shape)
    }

    const LEVELS: [Level; 2] = [
        Level {
            stride: 8,
            rows: 4,
            columns: 4,
        },
        Level {
            stride: 16,
            rows: 2,
            columns: 2,
        },
    ];

    #[test]
    fn places_inside_of_a_box_are_those_whose_middles_are() {
        let mut inside = Vec::new();
        for bounds in [
            [0.0, 0.0, 32.0, 32.0],
            [3.9, 4.1, 20.1, 30.0],
            [4.0, 4.0, 12.0, 12.0],
            [-5.0, 9.0, 40.0, 22.0],
        ] {
            places_inside(&LEVELS, bounds, &mut inside);
            let all = points(&LEVELS);
            let slow = (0..all.len()).filter(|&i| all[i].is_in(bounds));
            assert!(
                inside.iter().copied().eq(slow) || inside.len() == 1,
                "{inside:?}"
            );
        }
        // What lies on an edge is not inside; here only the first place of the coarse map is, at (8, 8).
        places_inside(&LEVELS, [4.0, 4.0, 12.0, 12.0], &mut inside);
        assert_eq!(inside, [16]);
        // Between all places: the nearest one.
        places_inside(&LEVELS, [13.0, 21.0, 15.0, 23.0], &mut inside);
        assert_eq!(inside, [2 * 4 + 1]);
    }

    /// What is said of 20 places: the same score and box everywhere, but for some.
    fn said(special: &[(usize, f32, Bounds)]) -> (Vec<f32>, Vec<Bounds>) {
        let (mut scores, mut bounds) = (vec![0.25; 20], vec![[100.0, 100.0, 101.0, 101.0]; 20]);
        for &(place, score, of) in special {
            (scores[place], bounds[place]) = (score, of);
        }
        (scores, bounds)
    }

    #[test]
    fn places_are_chosen_by_score_and_overlap_as_computed_by_hand() {
        let object = Object::new(0, [0.0, 0.0, 16.0, 16.0]);
        let half = [0.0, 0.0, 16.0, 8.0];
        // Place 0 says it exactly but is little sure; place 1 says half of it.
        let (scores, bounds) = said(&[(0, 0.04, object.bounds), (1, 0.36, half)]);
        let said = Said {
            scores: &scores,
            bounds: &bounds,
            classes: 1,
        };
        let config = AnchorFreeConfig {
            places: 2,
            alpha: 0.5,
            beta: 1.0,
            ..AnchorFreeConfig::default()
        };
        let chosen = assign(&config, &[object], &LEVELS, &said);
        // Fits 0.2 * 1 and 0.6 * CIoU; the first of these is what the overlap's maximum, 1, is a share of.
        let overlap = ciou(object.bounds, half);
        let best = (0.6 * overlap).max(0.2);
        let expected = [(0, 0.2 / best), (1, 0.6 * overlap / best)];
        assert_eq!(chosen.len(), 2);
        for (chosen, (place, score)) in chosen.iter().zip(expected) {
            assert_eq!((chosen.place, chosen.object), (place, 0));
            assert!((chosen.score - score).abs() < 1e-6, "{chosen:?} {score}");
        }
    }

    #[test]
    fn a_place_that_two_objects_want_takes_the_one_it_overlaps_more_and_crowds_are_left() {
        let a = Object::new(0, [0.0, 0.0, 16.0, 16.0]);
        let b = Object::new(0, [0.0, 0.0, 16.0, 12.0]);
        let crowd = Object {
            crowd: true,
            ..Object::new(0, [16.0, 16.0, 32.0, 32.0])
        };
        let (scores, bounds) = said(&[(0, 0.5, b.bounds), (15, 0.5, crowd.bounds)]);
        let said = Said {
            scores: &scores,
            bounds: &bounds,
            classes: 1,
        };
        let chosen = assign(&AnchorFreeConfig::default(), &[a, b, crowd], &LEVELS, &said);
        let expected = Chosen {
            place: 0,
            object: 1,
            score: 1.0,
        };
        assert_eq!(chosen, [expected]);
    }

    #[test]
    fn the_loss_of_boxes_is_one_minus_their_ciou() {
        let pairs: [[Bounds; 2]; 4] = [
            [[0.0, 1.0, 4.0, 3.0], [1.0, 0.0, 3.0, 4.0]],
            [[0.0, 0.0, 4.0, 2.0], [8.0, 0.0, 12.0, 2.0]],
            [[2.0, 3.0, 9.0, 30.0], [2.5, 1.0, 8.0, 20.0]],
            [[5.0, 5.0, 25.0, 15.0], [5.0, 5.0, 25.0, 15.0]],
        ];
        let side = |i: usize| {
            let values: Vec<f32> = pairs.iter().flat_map(|pair| pair[i]).collect();
            tensor(&values, &[4, 4])
        };
        let losses = values(&ciou_loss(&side(0), &side(1)));
        for (pair, loss) in pairs.iter().zip(losses) {
            // Roundings of numbers up to 1000.
            assert!(
                (loss - (1.0 - ciou(pair[0], pair[1]))).abs() < 1e-5,
                "{pair:?} {loss}"
            );
        }
    }

    #[test]
    fn distances_between_whole_numbers_share_them() {
        // Log-probabilities of 0, 1, 2 of each edge: 1/2, 1/4, 1/4.
        let logits = [0.5_f32, 0.25, 0.25].map(f32::ln).repeat(4);
        let logits = tensor(&logits, &[1, 4, 3]);
        let found = values(&expected(&logits));
        assert!(found.iter().all(|x| (x - 0.75).abs() < 1e-6), "{found:?}");
        // Of 0.25: three parts of ln 2, one of ln 4. Of 7, which is past the end: as 1.99, both ln 4.
        let distances = tensor(&[0.25, 0.25, 0.0, 7.0], &[1, 4]);
        let [ln2, ln4] = [2.0_f32, 4.0].map(f32::ln);
        let part = 0.75 * ln2 + 0.25 * ln4;
        let loss = values(&distribution_loss(&logits, &distances))[0];
        assert!(
            (loss - (2.0 * part + ln2 + ln4) / 4.0).abs() < 1e-6,
            "{loss}"
        );
    }

    #[test]
    fn distances_and_bounds_are_two_words_for_one_thing() {
        let points = tensor(&[10.0, 20.0], &[1, 2]);
        let bounds = tensor(&[4.0, 15.0, 11.0, 40.0], &[1, 4]);
        let distances = distances_of(&points, &bounds);
        assert_eq!(values(&distances), [6.0, 5.0, 1.0, 20.0]);
        assert_eq!(bounds_of(&points, &distances), bounds);
        let point = Point {
            x: 10.0,
            y: 20.0,
            stride: 2.0,
        };
        assert_eq!(
            point.bounds(&[3.0, 2.5, 0.5, 10.0]).to_vec(),
            values(&bounds)
        );
    }
}
