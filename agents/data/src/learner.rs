//! What [`Fitter`](crate::Fitter) trains.

use std::borrow::Cow;
use std::fmt::Debug;
use std::path::Path;

use thorndike_core::{Exchange, Result};

use crate::{Batch, Detection};

/// A model that learns from labelled batches.
///
/// *Design.* The counterpart of [`Agent`](thorndike_core::Agent): it gets what it learns from and keeps its own state;
/// the loop around it knows nothing of networks. All that changes in it goes through [`save`](Self::save), so that a run
/// that was stopped goes on as if it had not been.
pub trait Learner: Send + Debug {
    /// Makes one update from `batch`, and gives its mean loss before the update.
    ///
    /// # Errors
    /// [`Diverged`](thorndike_core::Error::Diverged) if the loss is no number any more.
    fn learn(&mut self, batch: &Batch, at: At) -> Result<f64>;

    /// As [`learn`](Self::learn), from a batch of each of several tasks, in their order; `starts` says of each whether nothing
    /// is carried over. Gives the mean loss of each. A model of one task has no need of its own.
    ///
    /// # Errors
    /// As [`learn`](Self::learn).
    fn learn_tasks(&mut self, batches: &[Batch], starts: &[bool], at: At) -> Result<Vec<f64>> {
        let ([batch], [starts]) = (batches, starts) else {
            panic!("a model of one task learns from one batch");
        };
        let at = At {
            starts: *starts,
            ..at
        };
        Ok(vec![self.learn(batch, at)?])
    }

    /// As [`predict`](Self::predict), of the task with that number.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    fn predict_task(&mut self, task: usize, batch: &Batch, starts: bool) -> Result<Prediction> {
        assert_eq!(task, 0, "a model of one task");
        self.predict(batch, starts)
    }

    /// What the model says of `batch`. `starts`: nothing is carried over from the batch before; only asked of models of
    /// [consecutive](crate::DataSet::is_consecutive) samples.
    ///
    /// # Errors
    /// If the batch is not of the shape the model reads.
    fn predict(&mut self, batch: &Batch, starts: bool) -> Result<Prediction>;

    /// Writes all that changes into the folder `dir`.
    ///
    /// # Errors
    /// If it cannot be written.
    fn save(&self, dir: &Path) -> Result<()>;

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If it cannot be read, or is of another model.
    fn load(&mut self, dir: &Path) -> Result<()>;

    /// Reads what predictions need of what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn load_model(&mut self, dir: &Path) -> Result<()>;

    /// Itself as something whose weights can be taken out and put in; none if it has no such weights.
    fn exchange(&mut self) -> Option<&mut dyn Exchange> {
        None
    }

    /// Bytes it holds at most, beside the batches.
    fn memory(&self) -> u64;

    /// One line for people: layers, weights, device.
    fn describe(&self) -> String;

    /// Numbers it has to report of its own, such as the mistakes of a perceptron, by name.
    fn numbers(&self) -> Vec<(Cow<'static, str>, f64)> {
        Vec::new()
    }
}

/// Where in a run an update is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Samples seen before.
    pub step: u64,
    /// Updates made before.
    pub update: u64,
    /// Nothing is carried over from the batch before.
    pub starts: bool,
}

/// What a model says of a batch.
///
/// | task | rows | width |
/// |---|---|---|
/// | [`Classes`](crate::Task::Classes), [`Numbers`](crate::Task::Numbers) | a sample | classes, or numbers |
/// | [`Positions`](crate::Task::Positions) | a position | classes |
/// | [`Boxes`](crate::Task::Boxes) | a detection | 7; see [`of_detections`](Self::of_detections) |
/// | [`Span`](crate::Task::Span) | a position | 2: that the answer starts, that it ends there |
/// | [`Masked`](crate::Task::Masked) | a masked position, in order; then a sample | 2: the right word and the likeliest one; then "is next" and "not next" |
///
/// Of masked words that are not known, a row is a position, and its width the vocabulary: each word's logarithm.
///
/// Rows of positions are those of all positions of a sample, one sample after another, padding among them. A span's
/// probabilities are over those positions of a sample that are no padding. Of masked words, loss and number are those of
/// the words alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// `[rows, width]` in row order: natural logarithms of probabilities, or numbers.
    pub outputs: Vec<f32>,
    /// Numbers in a row.
    pub width: usize,
    /// Sum of the losses of all rows that count.
    pub loss: f64,
    /// Rows that count.
    pub counted: u64,
}

impl Prediction {
    /// Columns of a detection: place of the sample in the batch, the four edges in pixels of the input, score, class.
    pub const DETECTION: usize = 7;

    /// What a detector says of a batch, a list for each sample. All numbers of a row are whole up to 2^24 in `f32`.
    ///
    /// # Examples
    /// ```
    /// use thorndike_data::{Detection, Prediction};
    /// let found = Detection { class: 2, score: 0.5, bounds: [1.0, 2.0, 3.0, 4.0] };
    /// let prediction = Prediction::of_detections(&[vec![], vec![found]], 0.25, 2);
    /// assert_eq!(prediction.outputs, [1.0, 1.0, 2.0, 3.0, 4.0, 0.5, 2.0]);
    /// assert_eq!(prediction.detections(2), [vec![], vec![found]]);
    /// ```
    pub fn of_detections(detections: &[Vec<Detection>], loss: f64, counted: u64) -> Self {
        let mut outputs = Vec::new();
        for (sample, found) in detections.iter().enumerate() {
            for &Detection {
                class,
                score,
                bounds: [x1, y1, x2, y2],
            } in found
            {
                outputs.extend([sample as f32, x1, y1, x2, y2, score, class as f32]);
            }
        }
        Self {
            outputs,
            width: Self::DETECTION,
            loss,
            counted,
        }
    }

    /// The detections of each of `samples` samples.
    ///
    /// # Panics
    /// If these are no detections, or of more samples.
    pub fn detections(&self, samples: usize) -> Vec<Vec<Detection>> {
        assert_eq!(self.width, Self::DETECTION, "columns of a detection");
        let mut all = vec![Vec::new(); samples];
        for row in self.outputs.chunks_exact(Self::DETECTION) {
            all[row[0] as usize].push(Detection {
                class: row[6] as usize,
                score: row[5],
                bounds: [row[1], row[2], row[3], row[4]],
            });
        }
        all
    }
}
