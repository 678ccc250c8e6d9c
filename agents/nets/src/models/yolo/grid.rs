//! The original head: a grid of cells, each with a few boxes and one class.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Result, check_range};
use thorndike_data::boxes::{Bounds, iou};
use thorndike_data::{Detection, Object};

use super::{Branch, Level, Looked, beside, values};
use crate::Scope;
use crate::models::csp::Pass;

/// Settings of the original head. A cell says, of each of its boxes, where in the cell its middle is (across and down, from
/// 0 to 1), the roots of its width and height as shares of the picture, and how sure it is; and then of each class how
/// likely an object in the cell is of it.
///
/// # Reference
/// Redmon et al., "You Only Look Once: Unified, Real-Time Object Detection" (2016), section 2.2 and equation 3. Deviations:
/// convolutions instead of fully connected layers, so that the grid is as fine as `stride` makes it on any picture instead
/// of 7x7; of two objects in a cell the first is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridConfig {
    /// Height and width of a cell in pixels. Default 32.
    pub stride: usize,
    /// Boxes of a cell. Default 2 (paper).
    pub boxes: usize,
    /// Channels in front of the last layer. Default 64.
    pub width: usize,
    /// Weight of places and sizes. Default 5 (paper).
    pub lambda_coord: f64,
    /// Weight of boxes without an object. Default 0.5 (paper).
    pub lambda_noobj: f64,
}

impl Default for GridConfig {
    fn default() -> Self {
        Self {
            stride: 32,
            boxes: 2,
            width: 64,
            lambda_coord: 5.0,
            lambda_noobj: 0.5,
        }
    }
}

/// Numbers of a box: middle across and down, roots of width and height, sureness.
const BOX: usize = 5;

impl GridConfig {
    pub(super) fn check(&self) -> Result<()> {
        check_range("stride", self.stride, 1..=1024)?;
        check_range("boxes", self.boxes, 1..=100)?;
        check_range("width", self.width, 1..=4096)?;
        check_range("lambda_coord", self.lambda_coord, 0.0..=1e3)?;
        check_range("lambda_noobj", self.lambda_noobj, 0.0..=1e3)
    }

    /// Weights of [`Head`].
    pub(super) fn weights(&self, mut channels: impl Iterator<Item = usize>, classes: usize) -> u64 {
        let inputs = channels.next().unwrap_or(0);
        Branch::weights(inputs, self.width, self.boxes * BOX + classes)
    }
}

/// The layers behind the backbone.
#[derive(Debug)]
pub(super) struct Head {
    cells: Branch,
    boxes: usize,
    classes: usize,
}

impl Head {
    /// Declares `cells.*` in `scope`, for a map of so many channels.
    pub(super) fn new(
        config: &GridConfig,
        scope: &mut Scope<'_>,
        mut channels: impl Iterator<Item = usize>,
        classes: usize,
    ) -> Self {
        let inputs = channels.next().expect("one map");
        // In the middle of the cell, a fourth of the picture in each direction, not sure.
        let mut bias = [0.5, 0.5, 0.5, 0.5, 0.0].repeat(config.boxes);
        bias.resize(bias.len() + classes, 1.0 / classes as f32);
        Self {
            cells: Branch::new(&mut scope.sub("cells"), inputs, config.width, &bias),
            boxes: config.boxes,
            classes,
        }
    }

    pub(super) fn probe(&self) -> &Tensor {
        self.cells.unit.probe()
    }

    /// `[batch, cells, 5 boxes + classes]`.
    pub(super) fn forward(&self, map: &Tensor, pass: Pass) -> Tensor {
        self.cells.forward(map, pass)
    }

    fn grid(&self, looked: &Looked) -> Grid {
        Grid {
            level: looked.levels[0],
            size: looked.size.map(|n| n as f32),
            boxes: self.boxes,
            classes: self.classes,
        }
    }

    /// Detections of each image before any is suppressed: a box is as sure of a class as of an object, times how likely
    /// the cell's object is of it.
    pub(super) fn detections(&self, looked: &Looked, from: f32) -> Vec<Vec<Detection>> {
        let grid = self.grid(looked);
        let numbers = values(&looked.numbers.detach());
        let images = numbers.chunks_exact(grid.level.places() * grid.numbers());
        let images = images.map(|image| {
            let mut found = Vec::new();
            for (cell, said) in image.chunks_exact(grid.numbers()).enumerate() {
                let classes = &said[grid.boxes * BOX..];
                for said in said[..grid.boxes * BOX].chunks_exact(BOX) {
                    for (class, likely) in classes.iter().enumerate() {
                        let score = said[4].clamp(0.0, 1.0) * likely.clamp(0.0, 1.0);
                        if score >= from {
                            found.push(Detection {
                                class,
                                score,
                                bounds: grid.bounds(cell, said),
                            });
                        }
                    }
                }
            }
            found
        });
        images.collect()
    }

    pub(super) fn loss(
        &self,
        config: &GridConfig,
        looked: &Looked,
        objects: &[Vec<Object>],
    ) -> Tensor {
        let grid = self.grid(looked);
        let numbers = values(&looked.numbers.detach());
        let mut targets = numbers.clone();
        let mut weights = vec![0.0; numbers.len()];
        let each = grid.level.places() * grid.numbers();
        for (i, objects) in objects.iter().enumerate() {
            let own = i * each..(i + 1) * each;
            grid.aim(
                config,
                objects,
                &numbers[own.clone()],
                &mut targets[own.clone()],
                &mut weights[own],
            );
        }
        let shape = looked.numbers.size();
        let [targets, weights] =
            [targets, weights].map(|values| beside(&looked.numbers, &values, &shape));
        let squares = (&looked.numbers - targets).square() * weights;
        squares.sum(Kind::Float) / objects.len() as f64
    }
}

/// The cells of a picture.
#[derive(Clone, Copy, Debug)]
struct Grid {
    level: Level,
    /// Height and width of the picture.
    size: [f32; 2],
    boxes: usize,
    classes: usize,
}

impl Grid {
    /// Numbers of a cell.
    fn numbers(&self) -> usize {
        self.boxes * BOX + self.classes
    }

    /// The box that `said`, its five numbers, means in `cell`.
    fn bounds(&self, cell: usize, said: &[f32]) -> Bounds {
        let stride = self.level.stride as f32;
        let [height, width] = self.size;
        let x = ((cell % self.level.columns) as f32 + said[0]) * stride;
        let y = ((cell / self.level.columns) as f32 + said[1]) * stride;
        // A root below 0 is none: nothing of its square is left.
        let [w, h] = [said[2], said[3]].map(|root| root.max(0.0).powi(2));
        let (w, h) = (w * width / 2.0, h * height / 2.0);
        [x - w, y - h, x + w, y + h]
    }

    /// Sets what a cell is to say, and how much each number counts in the sum of squares; all weights are 0 before. Of the
    /// boxes of a cell with an object's middle, the one that overlaps it most is responsible.
    fn aim(
        &self,
        config: &GridConfig,
        objects: &[Object],
        said: &[f32],
        targets: &mut [f32],
        weights: &mut [f32],
    ) {
        let (numbers, boxes) = (self.numbers(), self.boxes * BOX);
        let cells = targets
            .chunks_exact_mut(numbers)
            .zip(weights.chunks_exact_mut(numbers));
        for (targets, weights) in cells {
            for sure in (BOX - 1..boxes).step_by(BOX) {
                (targets[sure], weights[sure]) = (0.0, config.lambda_noobj as f32);
            }
        }
        let stride = self.level.stride as f32;
        let [height, width] = self.size;
        let mut taken = vec![false; self.level.places()];
        for object in objects.iter().filter(|object| !object.crowd) {
            let [x1, y1, x2, y2] = object.bounds;
            let place = |middle: f32, count: usize| {
                let at = (middle / stride).max(0.0);
                let cell = (at as usize).min(count - 1);
                (cell, at - cell as f32)
            };
            let (column, x) = place((x1 + x2) / 2.0, self.level.columns);
            let (row, y) = place((y1 + y2) / 2.0, self.level.rows);
            let cell = row * self.level.columns + column;
            if std::mem::replace(&mut taken[cell], true) {
                continue;
            }
            let start = cell * numbers;
            let said = said[start..start + boxes].chunks_exact(BOX);
            let overlaps = said.map(|said| iou(self.bounds(cell, said), object.bounds));
            let best = overlaps.enumerate().fold((0, -1.0), |best, (i, overlap)| {
                if overlap > best.1 { (i, overlap) } else { best }
            });
            let (responsible, overlap) = best;
            let root = |side: f32, of: f32| (side / of).sqrt();
            let aim = [x, y, root(x2 - x1, width), root(y2 - y1, height), overlap];
            let at = start + responsible * BOX;
            targets[at..at + BOX].copy_from_slice(&aim);
            weights[at..at + BOX - 1].fill(config.lambda_coord as f32);
            weights[at + BOX - 1] = 1.0;
            let classes = start + boxes..start + numbers;
            targets[classes.clone()].fill(0.0);
            weights[classes].fill(1.0);
            targets[start + boxes + object.class] = 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        level: Level {
            stride: 32,
            rows: 2,
            columns: 2,
        },
        size: [64.0, 64.0],
        boxes: 2,
        classes: 2,
    };

    #[test]
    fn the_loss_is_that_of_the_paper_computed_by_hand() {
        let head = Head {
            cells: {
                let rng = thorndike_core::Seeds::new(1).stream("agent/init", 0);
                let build = |scope: &mut Scope<'_>| Ok(Branch::new(scope, 1, 1, &[0.0; 12]));
                crate::ParamStore::build(tch::Device::Cpu, rng, build)
                    .unwrap()
                    .1
            },
            boxes: 2,
            classes: 2,
        };
        // Cell 3 says two boxes: of 16 x 16 and of 32 x 32 pixels around its middle, at (48, 48).
        let mut said = vec![0.0; 4 * 12];
        said[36..].copy_from_slice(&[
            0.5,
            0.5,
            0.5,
            0.5,
            0.3, //
            0.5,
            0.5,
            0.5_f32.sqrt(),
            0.5_f32.sqrt(),
            0.6, //
            0.9,
            0.2,
        ]);
        said[4] = 0.4; // a sure box of an empty cell
        let looked = Looked {
            numbers: Tensor::from_slice(&said).view([1, 4, 12]),
            levels: vec![GRID.level],
            size: [64, 64],
        };
        // An object of 32 x 16 pixels with its middle at (50, 48): 0.5625 across. It overlaps the first box by
        // 16 * 16 of 512, hence 0.5, the second by 30 * 16 of 1024 + 512 - 480.
        let object = Object::new(1, [34.0, 40.0, 66.0, 56.0]);
        let first = iou([40.0, 40.0, 56.0, 56.0], object.bounds);
        let second = iou([32.0, 32.0, 64.0, 64.0], object.bounds);
        assert!(first > second);
        let place = 0.0625_f32.powi(2);
        let size = (0.5 - 0.5_f32.sqrt()).powi(2) + 0.0;
        let sure = (0.3 - first).powi(2);
        let not = 0.6_f32.powi(2) + 0.4_f32.powi(2);
        let classes = 0.9_f32.powi(2) + 0.8_f32.powi(2);
        let expected = 5.0 * (place + size) + sure + 0.5 * not + classes;
        let loss = head.loss(&GridConfig::default(), &looked, &[vec![object]]);
        let loss = loss.double_value(&[]) as f32;
        assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
        // Sureness times class.
        let found = &head.detections(&looked, 0.25)[0];
        let scores: Vec<f32> = found.iter().map(|found| found.score).collect();
        assert_eq!(scores, [0.3 * 0.9, 0.6 * 0.9]);
        assert_eq!(found[0].bounds, [40.0, 40.0, 56.0, 56.0]);
    }

    #[test]
    fn the_first_of_two_objects_in_a_cell_is_learned() {
        let objects = [
            Object::new(0, [0.0, 0.0, 20.0, 20.0]),
            Object::new(1, [0.0, 0.0, 24.0, 24.0]),
        ];
        let said = vec![0.1; 4 * 12];
        let (mut targets, mut weights) = (said.clone(), vec![0.0; 4 * 12]);
        GRID.aim(
            &GridConfig::default(),
            &objects,
            &said,
            &mut targets,
            &mut weights,
        );
        assert_eq!(targets[10..12], [1.0, 0.0]);
        // Elsewhere, sureness alone counts.
        let counted = weights[12..24]
            .iter()
            .filter(|weight| **weight > 0.0)
            .count();
        assert_eq!((counted, weights[16], weights[21]), (2, 0.5, 0.5));
    }
}
