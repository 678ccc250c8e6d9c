//! Data sets, batches and scores for supervised models; nothing here needs libtorch.
//!
//! | part | what it does |
//! |---|---|
//! | [`DataSet`], [`Sample`], [`Info`] | numbered samples of one kind, read on demand |
//! | [`Task`], [`Target`] | what is to be learned from them |
//! | [`Batch`] | samples of equal shape, side by side |
//! | [`Learner`], [`Prediction`] | a model that learns from batches |
//! | [`split`], [`Subset`] | a part to learn from and one to measure with; cross-validation |
//! | [`Augment`], [`Mixup`] | samples changed at random while training |
//! | [`Loader`] | batches prepared on threads ahead of the model, the same for any number of them |
//! | [`score`] | how well a model does, as scikit-learn has it, with intervals |

mod augment;
mod batch;
mod dataset;
mod fit;
mod formats;
mod learner;
mod loader;
pub mod score;
mod scorer;
mod source;
mod split;
mod standardize;
#[cfg(test)]
mod toy;

pub use augment::{Augment, Mixup};
pub use batch::{Batch, Targets};
pub use dataset::{DataSet, IGNORED, Info, Sample, Target, Task, Values};
pub use fit::{EarlyStopping, FitConfig, Fitter, Validation, try_out};
pub use formats::characters::CharactersConfig;
pub use formats::cifar::{CifarConfig, CifarLabels};
pub use formats::idx::IdxConfig;
pub use formats::image_folder::ImageFolderConfig;
pub use formats::masks::MasksConfig;
pub use formats::rows::Column;
pub use formats::sequences::SequencesConfig;
pub use formats::table::TableConfig;
pub use learner::{At, Learner, Prediction};
pub use loader::{Loaded, Loader, LoaderConfig};
pub use scorer::{Gathered, Scorer, Scores, largest};
pub use source::{Part, SourceConfig};
pub use split::{SplitConfig, Subset, split};
pub use standardize::Moments;
