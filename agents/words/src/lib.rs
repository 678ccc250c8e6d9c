//! Word vectors: Word2Vec, its file formats, and how vectors are judged. Nothing here needs libtorch.
//!
//! | part | what it does |
//! |---|---|
//! | [`CorpusConfig`], [`Corpus`] | text files as numbered words, read once, larger than memory if need be |
//! | [`Vocabulary`], [`PhrasesConfig`] | the words that are kept, and pairs of words that are taken for one |
//! | [`Word2VecConfig`], [`Word2Vec`] | skip-gram and CBOW by negative sampling or hierarchical softmax |
//! | [`WordVectors`] | vectors with their words: word2vec's text and binary files, safetensors, nearest words, analogies |
//! | [`evaluation`] | similarity and analogy tests as gensim counts them |
//! | [`plane`] | vectors as points in two dimensions |
//!
//! ```
//! use thorndike_core::Seeds;
//! use thorndike_words::{Corpus, CorpusConfig, LearningConfig, Word2Vec, Word2VecConfig};
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("text.txt");
//! std::fs::write(&path, "a cat sat on a mat\na dog sat on a mat\n".repeat(50)).unwrap();
//! let config = CorpusConfig { path: vec![path], ..CorpusConfig::default() };
//! let model = Word2VecConfig { dimension: 8, ..Word2VecConfig::default() };
//! let corpus = Corpus::open(&config, &model).unwrap();
//! let learning = LearningConfig { decay_words: 3 * corpus.words(), ..LearningConfig::of(&model) };
//! let mut word2vec = Word2Vec::new(&model, &learning, corpus.into(), Seeds::new(1)).unwrap();
//! word2vec.run_until(learning.decay_words).unwrap();
//! let vectors = word2vec.vectors();
//! assert_eq!(vectors.words()[0], "a", "the most frequent word is the first");
//! assert_eq!(vectors.nearest("cat", 1).unwrap().len(), 1);
//! ```

mod alias;
mod corpus;
pub mod evaluation;
mod huffman;
mod kernel;
mod phrases;
pub mod plane;
mod tokens;
mod vectors;
mod vocabulary;
mod word2vec;

pub use corpus::{Corpus, CorpusConfig};
pub use phrases::PhrasesConfig;
pub use tokens::{Sentences, Tokens};
pub use vectors::{Near, WordVectors};
pub use vocabulary::Vocabulary;
pub use word2vec::{Architecture, LearningConfig, Output, Word2Vec, Word2VecConfig};

use std::path::Path;

use thorndike_core::Error;

/// A file or folder that is not there, with the script that brings it if it is one of `data`.
pub fn missing(path: &Path) -> Error {
    let name = path.strip_prefix("data").ok().and_then(|p| p.iter().next());
    let hint = match name {
        Some(name) => {
            let name = Path::new(name).with_extension("");
            format!("; run scripts/data {}", name.display())
        }
        None => String::new(),
    };
    Error::config("", format!("{} is not there{hint}", path.display()))
}

/// What is wrong with the file at `path`, and where.
fn damaged(path: &Path, what: impl Into<String>) -> Error {
    Error::io(path)(std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        what.into(),
    ))
}
