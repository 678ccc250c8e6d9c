//! How well a model does: scores of classes, rankings, probabilities, numbers, masks and boxes, and how sure they are.
//!
//! Functions read slices of `f64` and of classes as [`Targets`](crate::Targets) has them: `i32`, [`IGNORED`] where none is
//! counted. What adds up over batches has a type of its own. Where nothing can be said, such as of no samples at all, a
//! score is NaN.
//!
//! | score | of a whole slice | over batches |
//! |---|---|---|
//! | accuracy, precision, recall, F1, confusion matrix | [`Confusion::of`] | [`Confusion::add`] |
//! | accuracy among the `k` likeliest | [`top_k_accuracy`] | [`Mean`] |
//! | area under the ROC curve | [`roc_auc`], [`roc_auc_ovr`] | |
//! | log loss, perplexity | [`log_loss`], [`perplexity`] | [`Mean`] |
//! | expected calibration error | [`Calibration::of`] | [`Calibration::add`] |
//! | R², mean squared and absolute error | [`Regression::of`] | [`Regression::add`] |
//! | IoU and Dice of masks, by image and over all pixels | [`Masks::of`] | [`Masks::add`] |
//! | average precision of boxes, of COCO and of Pascal VOC | [`voc_ap`] | [`Coco::add`] |
//! | entities in tags, as seqeval and conlleval count them | | [`Entities::add`] |
//! | exact match and F1 of answers, as SQuAD counts them | [`exact_match`], [`answer_f1`] | [`Mean`] |
//! | 95 % intervals | [`wilson`] for shares, [`interval`] for the rest | |
//!
//! # Reference
//! Pedregosa et al., *Scikit-learn: Machine Learning in Python*, 2011, whose version 1.9.1 gives the same numbers
//! (`tests/metrics.rs`).

mod calibration;
mod classes;
mod coco;
mod entities;
mod interval;
mod masks;
mod mean;
mod probabilities;
mod ranking;
mod regression;
mod spans;
mod voc;

pub use calibration::{Calibration, CalibrationBin};
pub use classes::{Average, ClassScore, Confusion};
pub use coco::{Coco, CocoSummary, Found, Truth};
pub use entities::{Entities, Entity, Scheme, Tags};
pub use interval::{Interval, interval, wilson};
pub use masks::Masks;
pub use mean::Mean;
pub use probabilities::{log_loss, perplexity, top_k_accuracy};
pub use ranking::{roc_auc, roc_auc_ovr};
pub use regression::Regression;
pub use spans::{NullScore, answer_f1, best_threshold, exact_match, normalize_answer};
pub use voc::{VocPoints, voc_ap};

use crate::IGNORED;

/// Each class that is counted, with its row of `scores`.
///
/// # Panics
/// If there are not `classes` scores for each.
fn counted<'a>(
    truth: &'a [i32],
    scores: &'a [f64],
    classes: usize,
) -> impl Iterator<Item = (usize, &'a [f64])> {
    assert_eq!(scores.len(), truth.len() * classes, "scores of all classes");
    let rows = truth.iter().zip(scores.chunks_exact(classes));
    rows.filter(|&(&class, _)| class != IGNORED)
        .map(|(&class, row)| (class as usize, row))
}
