//! Scores of a whole part of a data set, gathered batch by batch.

use thorndike_core::Kind;

use crate::score::Regression;
use crate::{Batch, IGNORED, Info, Prediction, Targets, Task};

/// How a model did on a part of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Samples.
    pub samples: u64,
    /// Name of the score by which models are compared; more is better.
    pub name: &'static str,
    /// What was gathered.
    pub gathered: Gathered,
    /// Mean loss of what counts: negative logarithms of probabilities (nats), or squared errors.
    pub loss: f64,
}

/// What was gathered of all samples, for scores and pictures.
#[derive(Clone, Debug, PartialEq)]
pub enum Gathered {
    /// Of classes of samples.
    Classes {
        /// The right class of each sample.
        classes: Vec<u32>,
        /// `[samples, classes]`: natural logarithms of the probabilities.
        logs: Vec<f32>,
    },
    /// Of classes of steps.
    Steps {
        /// Steps that count.
        counted: u64,
        /// Those of them that were put into the right class.
        right: u64,
        /// Whether the steps are those of one long sequence, whose probability is the score.
        consecutive: bool,
    },
    /// Of classes of pixels: for each image and each class, pixels of both, of the prediction, and of the truth.
    Pixels {
        /// `[images, classes]`.
        overlaps: Vec<[u64; 3]>,
        /// Number of classes.
        classes: usize,
        /// The first class that is scored: 1 if class 0 is the background.
        first: usize,
    },
    /// Of numbers.
    Numbers {
        /// `[samples, numbers]`, the right ones.
        truth: Vec<f32>,
        /// `[samples, numbers]`.
        outputs: Vec<f32>,
        /// Numbers of a sample.
        width: usize,
    },
}

/// Gathers scores.
#[derive(Debug)]
pub struct Scorer {
    gathered: Gathered,
    samples: u64,
    loss: f64,
    counted: u64,
}

impl Scorer {
    /// For a task of `info`; `consecutive` steps are those of one long sequence.
    pub fn new(info: &Info, consecutive: bool) -> Self {
        let gathered = match &info.task {
            Task::Classes { .. } => Gathered::Classes {
                classes: Vec::new(),
                logs: Vec::new(),
            },
            Task::Positions { names } if info.scalar == Kind::U8 => Gathered::Pixels {
                overlaps: Vec::new(),
                classes: names.len(),
                first: usize::from(names[0] == "background"),
            },
            Task::Positions { .. } => Gathered::Steps {
                counted: 0,
                right: 0,
                consecutive,
            },
            Task::Numbers { names } => Gathered::Numbers {
                truth: Vec::new(),
                outputs: Vec::new(),
                width: names.len(),
            },
        };
        Self {
            gathered,
            samples: 0,
            loss: 0.0,
            counted: 0,
        }
    }

    /// Adds what a model said of `batch`.
    ///
    /// # Panics
    /// If the batch is of another task.
    pub fn add(&mut self, batch: &Batch, prediction: &Prediction) {
        self.samples += batch.len() as u64;
        self.loss += prediction.loss;
        self.counted += prediction.counted;
        let rows = prediction.outputs.chunks_exact(prediction.width);
        match (&mut self.gathered, &batch.targets) {
            (Gathered::Classes { classes, logs }, Targets::Classes(truth)) => {
                classes.extend(truth.as_slice::<i32>().iter().map(|&class| class as u32));
                logs.extend_from_slice(&prediction.outputs);
            }
            (Gathered::Steps { counted, right, .. }, Targets::Classes(truth)) => {
                for (row, &class) in rows.zip(truth.as_slice::<i32>()) {
                    if class != IGNORED {
                        *counted += 1;
                        *right += u64::from(largest(row) == class as usize);
                    }
                }
            }
            (
                Gathered::Pixels {
                    overlaps, classes, ..
                },
                Targets::Classes(truth),
            ) => {
                let mut rows = rows;
                for image in 0..batch.len() {
                    let mut counts = vec![[0; 3]; *classes];
                    for &class in truth.row::<i32>(image) {
                        let said = largest(rows.next().expect("a row a pixel"));
                        if class == IGNORED {
                            continue;
                        }
                        counts[said][1] += 1;
                        counts[class as usize][2] += 1;
                        if said == class as usize {
                            counts[said][0] += 1;
                        }
                    }
                    overlaps.extend(counts);
                }
            }
            (Gathered::Numbers { truth, outputs, .. }, Targets::Numbers(numbers)) => {
                truth.extend_from_slice(numbers.as_slice::<f32>());
                outputs.extend_from_slice(&prediction.outputs);
            }
            _ => panic!("targets of another task"),
        }
    }

    /// Name of the score by which models are compared.
    pub fn name(&self) -> &'static str {
        match &self.gathered {
            Gathered::Classes { .. } => "accuracy",
            Gathered::Steps {
                consecutive: true, ..
            } => "log-likelihood",
            Gathered::Steps { .. } => "step accuracy",
            Gathered::Pixels { .. } => "mean IoU",
            Gathered::Numbers { .. } => "R2",
        }
    }

    /// The scores of all that was added.
    pub fn finish(self) -> Scores {
        Scores {
            samples: self.samples,
            name: self.name(),
            loss: self.loss / self.counted.max(1) as f64,
            gathered: self.gathered,
        }
    }
}

impl Scores {
    /// The score by which models are compared; more is better.
    pub fn main(&self) -> f64 {
        match &self.gathered {
            Gathered::Classes { classes, logs } => {
                let width = logs.len() / classes.len().max(1);
                let rows = logs.chunks_exact(width.max(1)).zip(classes);
                let right = rows.filter(|(row, class)| largest(row) == **class as usize);
                right.count() as f64 / classes.len().max(1) as f64
            }
            Gathered::Steps {
                consecutive: true, ..
            } => -self.loss,
            Gathered::Steps { counted, right, .. } => *right as f64 / (*counted).max(1) as f64,
            Gathered::Pixels { .. } => mean(&self.image_ious()),
            Gathered::Numbers {
                truth,
                outputs,
                width,
            } => {
                let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| x.into()).collect() };
                Regression::of(*width, &wide(truth), &wide(outputs)).r2()
            }
        }
    }

    /// Further scores by name, for records.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let mut named = vec![("loss", self.loss)];
        match &self.gathered {
            Gathered::Steps {
                counted,
                right,
                consecutive: true,
            } => {
                named.push(("accuracy", *right as f64 / (*counted).max(1) as f64));
            }
            Gathered::Pixels {
                overlaps,
                classes,
                first,
            } => {
                let mut sums = vec![[0; 3]; *classes];
                for image in overlaps.chunks_exact(*classes) {
                    for (sum, counts) in sums.iter_mut().zip(image) {
                        (0..3).for_each(|i| sum[i] += counts[i]);
                    }
                }
                let of = |f: fn(&[u64; 3]) -> Option<f64>| {
                    mean(&sums[*first..].iter().filter_map(f).collect::<Vec<_>>())
                };
                named.push(("IoU of all pixels", of(iou)));
                named.push(("dice of all pixels", of(dice)));
            }
            _ => {}
        }
        named
    }

    /// Mean over the scored classes of the intersection over union, of each image; empty for other tasks. A class that
    /// neither the image nor the prediction has is not counted; an image without any counts 1.
    pub fn image_ious(&self) -> Vec<f64> {
        self.of_images(iou)
    }

    /// As [`image_ious`](Self::image_ious), of the Dice coefficient.
    pub fn image_dices(&self) -> Vec<f64> {
        self.of_images(dice)
    }

    fn of_images(&self, of: fn(&[u64; 3]) -> Option<f64>) -> Vec<f64> {
        let Gathered::Pixels {
            overlaps,
            classes,
            first,
        } = &self.gathered
        else {
            return Vec::new();
        };
        let image = |counts: &[[u64; 3]]| {
            let ious: Vec<f64> = counts[*first..].iter().filter_map(of).collect();
            if ious.is_empty() { 1.0 } else { mean(&ious) }
        };
        overlaps.chunks_exact(*classes).map(image).collect()
    }
}

/// Intersection over union of `[both, said, true]`.
fn iou(&[both, said, truth]: &[u64; 3]) -> Option<f64> {
    let union = said + truth - both;
    (union > 0).then(|| both as f64 / union as f64)
}

/// Dice coefficient of `[both, said, true]`.
fn dice(&[both, said, truth]: &[u64; 3]) -> Option<f64> {
    (said + truth > 0).then(|| 2.0 * both as f64 / (said + truth) as f64)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Place of the first of the largest numbers of a row: the class that a model says.
pub fn largest(row: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = i;
        }
    }
    best
}
