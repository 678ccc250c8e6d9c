//! Data sets, batches and scores for supervised models; nothing here needs libtorch.
//!
//! | part | what it does |
//! |---|---|
//! | [`DataSet`], [`Sample`], [`Info`] | numbered samples of one kind, read on demand |
//! | [`Task`], [`Target`] | what is to be learned from them |
//! | [`Batch`] | samples of equal shape, side by side |
//! | [`Learner`], [`Prediction`] | a model that learns from batches |
//! | [`split`], [`Subset`] | a part to learn from and one to measure with; cross-validation |
//! | [`Augment`], [`Mixup`], [`Mosaic`] | samples changed at random while training |
//! | [`text`] | WordPiece tokens and vocabularies of them |
//! | [`Loader`] | batches prepared on threads ahead of the model, the same for any number of them |
//! | [`boxes`] | objects in pictures: overlaps, letterboxes, suppression |
//! | [`score`] | how well a model does, as scikit-learn has it, with intervals |

mod answers;
mod augment;
mod batch;
pub mod boxes;
mod classes;
mod dataset;
mod fit;
mod formats;
mod learner;
mod loader;
mod mosaic;
mod resample;
pub mod score;
mod scorer;
mod source;
mod split;
mod standardize;
pub mod text;
#[cfg(test)]
mod toy;
mod window;
mod words;

pub use answers::{Answer, AnswerLimits, Candidates};
pub use augment::{Augment, Mixup};
pub use batch::{Batch, Targets};
pub use boxes::{Detection, Object};
pub use classes::{Regrouped, few_of_each, regrouped};
pub use dataset::{DataSet, IGNORED, Info, Sample, Target, Task, Values};
pub use fit::{EarlyStopping, FitConfig, Fitter, TaskData, Validation, try_out, try_out_task};
pub use formats::boxes::BoxesConfig;
pub use formats::characters::CharactersConfig;
pub use formats::cifar::{CifarConfig, CifarLabels};
pub use formats::documents::{Document, DocumentsConfig};
pub use formats::idx::IdxConfig;
pub use formats::image_folder::ImageFolderConfig;
pub use formats::masks::MasksConfig;
pub use formats::picture::{letterboxed, read_picture};
pub use formats::questions::QuestionsConfig;
pub use formats::rows::Column;
pub use formats::sentences::SentencesConfig;
pub use formats::sequences::SequencesConfig;
pub use formats::table::TableConfig;
pub use formats::tagged::TaggedConfig;
pub use learner::{At, Learner, Prediction};
pub use loader::{Loaded, Loader, LoaderConfig};
pub use mosaic::Mosaic;
pub use scorer::{Answered, Gathered, Scorer, Scores, largest};
pub use source::{Part, SourceConfig, missing};
pub use split::{SplitConfig, Subset, split};
pub use standardize::Moments;
pub use window::Window;
pub use words::{FoundEntity, Words};
