//! What [`Fitter`](crate::Fitter) trains.

use std::fmt::Debug;
use std::path::Path;

use thorndike_core::Result;

use crate::Batch;

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

    /// Bytes it holds at most, beside the batches.
    fn memory(&self) -> u64;

    /// One line for people: layers, weights, device.
    fn describe(&self) -> String;

    /// Numbers it has to report of its own, such as the mistakes of a perceptron, by name.
    fn numbers(&self) -> Vec<(&'static str, f64)> {
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
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// `[rows, width]` in row order: natural logarithms of the probabilities of the classes, or numbers. A row is a sample,
    /// or a position of one, all positions of a sample one after another.
    pub outputs: Vec<f32>,
    /// Classes, or numbers.
    pub width: usize,
    /// Sum of the losses of all rows that count.
    pub loss: f64,
    /// Rows that count.
    pub counted: u64,
}
