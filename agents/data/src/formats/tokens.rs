//! What formats of texts share: their vocabulary, and what travels with a model.

use std::path::Path;

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Kind, Result, Space, check_range};

use crate::source::missing;
use crate::text::{TextRules, WordPiece};
use crate::{Info, Part, Task};

/// Which format the texts are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Texts {
    Sentences,
    Tagged,
    Questions,
    Documents,
}

/// What is needed to make tokens of other texts in the same way, beside the vocabulary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encoding {
    pub(crate) texts: Texts,
    pub(crate) rules: TextRules,
    /// Tokens of a sample at most, with its marks.
    pub(crate) max_len: usize,
    /// Whether a sample holds two texts.
    pub(crate) pairs: bool,
    /// Of questions: tokens from one part of a context to the next, and of a question at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stride: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) longest_question: Option<usize>,
}

impl Encoding {
    pub(crate) fn info(&self, pieces: &WordPiece, task: Task) -> Result<Info> {
        let words = pieces.words().to_vec();
        Ok(Info {
            space: Space::MultiDiscrete(vec![words.len(); self.max_len]),
            scalar: Kind::I32,
            task,
            vocabulary: words,
            encoding: serde_json::to_value(self).map_err(|e| Error::Backend(e.into()))?,
        })
    }

    /// What a model of `info` reads texts by.
    pub(crate) fn of(info: &Info) -> Result<(Self, WordPiece)> {
        let encoding: Option<Self> = serde_json::from_value(info.encoding.clone()).ok();
        let sound = |e: &Self| (8..=MOST_TOKENS).contains(&e.max_len);
        let encoding = encoding.filter(sound).ok_or_else(|| {
            Error::Unsupported("texts for a model that reads no WordPiece tokens".to_owned())
        })?;
        let pieces = WordPiece::new(info.vocabulary.clone(), encoding.rules);
        let pieces = pieces.map_err(|what| {
            Error::Unsupported(format!("texts for this model: its vocabulary {what}"))
        })?;
        Ok((encoding, pieces))
    }

    /// The same, for a model of these texts only.
    pub(crate) fn of_texts(info: &Info, texts: Texts) -> Result<(Self, WordPiece)> {
        let found = Self::of(info)?;
        if found.0.texts != texts {
            let trained = found.0.texts;
            let what = format!("{texts:?} for a model of {trained:?}").to_lowercase();
            return Err(Error::Unsupported(what));
        }
        Ok(found)
    }
}

/// Tokens of the longest sample.
const MOST_TOKENS: usize = 65_536;

pub(crate) fn check_max_len(max_len: usize) -> Result<()> {
    check_range("max_len", max_len, 8..=MOST_TOKENS)
}

/// Reads the vocabulary of a source.
pub(crate) fn vocabulary(
    path: &Path,
    lowercase: Option<bool>,
    strip_accents: Option<bool>,
) -> Result<WordPiece> {
    if path.as_os_str().is_empty() {
        let what = "missing; give a vocab.txt, a tokenizer.json, or a folder with one of them; \
                    thorndike data vocabulary makes one";
        return Err(Error::config("vocabulary", what));
    }
    if !path.exists() {
        return Err(match missing("vocabulary", path) {
            Error::Config { key, what } if path.starts_with("data") => {
                let or = ", or thorndike data vocabulary to learn one";
                Error::config(key, what + or)
            }
            error => error,
        });
    }
    WordPiece::load(path, lowercase, strip_accents)
}

/// The file of `part`, if there is one.
pub(crate) fn file_of<'a>(
    part: Part,
    train: &'a Path,
    validation: &'a Option<std::path::PathBuf>,
    test: &'a Option<std::path::PathBuf>,
) -> Result<Option<&'a Path>> {
    let (key, path) = match part {
        Part::Train => return Ok(Some(train)),
        Part::Validation => ("validation", validation),
        Part::Test => ("test", test),
    };
    match path {
        Some(path) if !path.exists() => Err(missing(key, path)),
        path => Ok(path.as_deref()),
    }
}

/// Tokens of many samples, one after another.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    tokens: Vec<i32>,
    ends: Vec<usize>,
}

impl Tokens {
    pub(crate) fn push(&mut self, tokens: &[i32]) {
        self.tokens.extend_from_slice(tokens);
        self.ends.push(self.tokens.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn of(&self, index: usize) -> &[i32] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.tokens[start..self.ends[index]]
    }
}

/// A small vocabulary for tests, in a folder of its own.
#[cfg(test)]
pub(crate) fn toy_vocabulary() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut words: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .map(str::to_owned)
        .to_vec();
    words.extend(('a'..='z').map(String::from));
    words.extend(('a'..='z').map(|c| format!("##{c}")));
    words.extend([".", ",", "?", "!", "the", "good", "bad"].map(str::to_owned));
    WordPiece::new(words, TextRules::default())
        .unwrap()
        .save(folder.path())
        .unwrap();
    folder
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{DataSet, SourceConfig};
    use std::sync::Arc;

    /// Files with a toy vocabulary, and a configuration that reads them.
    #[derive(Debug)]
    pub(crate) struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        /// The first file is learned from.
        pub(crate) fn new(files: &[(&str, &str)]) -> Self {
            let folder = toy_vocabulary();
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            Self { folder }
        }

        /// The part of a source of `kind`; `DIR` in `keys` is the folder.
        pub(crate) fn open(&self, keys: &str, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
            let dir = self.folder.path().display().to_string();
            let keys = format!("vocabulary = 'DIR/vocab.txt'\n{keys}").replace("DIR", &dir);
            toml::from_str::<SourceConfig>(&keys).unwrap().open(part)
        }

        pub(crate) fn train(&self, keys: &str) -> Arc<dyn DataSet> {
            self.open(keys, Part::Train).unwrap().unwrap()
        }

        pub(crate) fn error(&self, keys: &str) -> String {
            let error = self.open(keys, Part::Train).unwrap_err().to_string();
            error.replace(&self.folder.path().display().to_string(), "DIR")
        }

        pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
            self.folder.path().join(name)
        }

        /// The words of a sample.
        pub(crate) fn words(set: &dyn DataSet, index: usize) -> Vec<String> {
            let crate::Values::I32(tokens) = set.sample(index).unwrap().values else {
                panic!("tokens")
            };
            let word = |&token: &i32| set.info().vocabulary[token as usize].clone();
            tokens.iter().map(word).collect()
        }
    }

    #[test]
    fn no_truncation_and_no_changed_byte_makes_it_panic() {
        let squad = r#"{"data": [{"title": "T", "paragraphs": [{"context": "\u00e9 good a", "qas": [{"id": "q", "question":
            "a b", "answers": [{"text": "good", "answer_start": 2}]}]}]}]}"#;
        let kinds = [
            ("sentences", "a.tsv", "1\tgood \u{e9}\n0\tbad\n"),
            ("tagged", "a.conll", "a B-X\nb I-X\n\nc O\n"),
            ("questions", "a.json", squad),
            ("questions", "b.txt", "1 a bad.\n2 b?\tbad\t1\n"),
            ("documents", "c.txt", "Aa \u{e9}. Bb?\n\nCc.\n"),
        ];
        let (mut read, mut refused) = (0, 0);
        for (kind, name, text) in kinds {
            let files = Files::new(&[(name, text)]);
            let longest = if kind == "questions" {
                "longest_question = 8"
            } else {
                ""
            };
            let keys = format!("kind = '{kind}'\npath = 'DIR/{name}'\nmax_len = 16\n{longest}");
            for at in 0..text.len() {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = changed[at].wrapping_add(1 + at as u8 % 7);
                for bytes in [&text.as_bytes()[..at], &changed] {
                    std::fs::write(files.path(name), bytes).unwrap();
                    match files.open(&keys, Part::Train) {
                        Ok(set) => {
                            let set = set.unwrap();
                            read += (0..set.len()).filter(|&i| set.sample(i).is_ok()).count();
                        }
                        Err(_) => refused += 1,
                    }
                }
            }
        }
        assert!(read > 100 && refused > 100, "{read} {refused}");
        let files = Files::new(&[]);
        let path = files.path("tokenizer.json");
        let text = std::fs::read(&path).unwrap();
        for at in (0..text.len()).step_by(7) {
            std::fs::write(&path, &text[..at]).unwrap();
            assert!(WordPiece::load(&path, None, None).is_err());
        }
    }

    #[test]
    fn a_missing_vocabulary_is_named() {
        let files = Files::new(&[("a.tsv", "1\ta\n")]);
        let data = "kind = 'sentences'\npath = 'DIR/a.tsv'";
        let source = |vocabulary: &str| {
            let dir = files.path("");
            let keys = format!("{data}\n{vocabulary}").replace("DIR", &dir.display().to_string());
            let source = toml::from_str::<SourceConfig>(&keys).unwrap();
            source.open(Part::Train).unwrap_err().to_string()
        };
        assert!(source("").starts_with("data.vocabulary: missing; give a vocab.txt"));
        let error = source("vocabulary = 'data/bert_none/vocab.txt'");
        let expected = "data.vocabulary: data/bert_none/vocab.txt is not there; run scripts/data bert_none, or thorndike data \
                        vocabulary to learn one";
        assert_eq!(error, expected);
    }
}
