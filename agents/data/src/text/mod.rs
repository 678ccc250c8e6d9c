//! Text: files of it, and how it becomes tokens.

mod lines;
mod vocabulary;
mod word_piece;

pub use lines::text_files;
pub(crate) use lines::{each_line, read_text};
pub use vocabulary::{VocabularyConfig, VocabularyStage, train_vocabulary};
pub(crate) use word_piece::Cache;
pub use word_piece::{Piece, TextRules, WordPiece};
