//! Sentences with a class, alone or in pairs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result};

use super::rows::{Classes, Column, MOST_CLASSES};
use super::tokens::{Encoding, Texts, Tokens, check_max_len, file_of, vocabulary};
use super::{damaged, shortened, some_of};
use crate::text::{Cache, WordPiece, each_line};
use crate::{DataSet, Info, Part, Sample, Target, Task, Values};

/// A line a sample, its columns separated by tabs: `label`, `sentence`, and for pairs a second sentence. Plain text in
/// UTF-8 or gz; quotes are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SentencesConfig {
    /// The file to learn from.
    pub path: PathBuf,
    /// The file to validate on; without it some of the others are kept back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// The file to test on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// `vocab.txt` or `tokenizer.json` of BERT, or a folder with one of them.
    pub vocabulary: PathBuf,
    /// Tokens of a sample at most, with its marks; of longer ones the ends are cut. Default 128.
    pub max_len: usize,
    /// Whether letters are made small. Absent: as `tokenizer.json` says, else yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
    /// Whether accents are dropped. Absent: as `tokenizer.json` says, else if letters are made small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_accents: Option<bool>,
    /// Whether the first line names the columns. Default false.
    pub header: bool,
    /// The column with the class, by its name or number from 1. Default 1.
    pub label: Column,
    /// The column with the sentence. Default 2.
    pub sentence: Column,
    /// The column with the second sentence. Absent: the third one, if there are three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Column>,
}

impl Default for SentencesConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            validation: None,
            test: None,
            vocabulary: PathBuf::new(),
            max_len: 128,
            lowercase: None,
            strip_accents: None,
            header: false,
            label: Column::Number(1),
            sentence: Column::Number(2),
            second: None,
        }
    }
}

impl SentencesConfig {
    pub(crate) fn check(&self) -> Result<()> {
        check_max_len(self.max_len)
    }
}

/// Places of the columns, from 0.
#[derive(Clone, Copy)]
struct Places {
    label: usize,
    sentence: usize,
    second: Option<usize>,
    columns: usize,
}

impl Places {
    /// In a file that begins with `line`.
    fn of(config: &SentencesConfig, line: &str) -> Result<Self> {
        let names: Vec<&str> = line.split('\t').collect();
        let columns = names.len();
        let place = |key: &str, column: &Column| {
            let place = match column {
                Column::Number(n) => n.checked_sub(1).filter(|&n| n < columns),
                Column::Name(name) if config.header => names.iter().position(|n| n == name),
                Column::Name(_) => None,
            };
            let found = match config.header {
                true => names.join(", "),
                false => format!("1 to {columns}"),
            };
            place.ok_or_else(|| {
                let column = match column {
                    Column::Number(number) => number.to_string(),
                    Column::Name(name) => format!("{name:?}"),
                };
                Error::config(
                    key,
                    format!("there is no column {column}; there are {found}"),
                )
            })
        };
        let third = Column::Number(3);
        let second = config.second.as_ref().or((columns == 3).then_some(&third));
        Ok(Self {
            label: place("label", &config.label)?,
            sentence: place("sentence", &config.sentence)?,
            second: second.map(|second| place("second", second)).transpose()?,
            columns,
        })
    }
}

/// Calls `each` with number, label, sentence and second sentence of each line of `path`.
fn rows(
    config: &SentencesConfig,
    path: &Path,
    mut each: impl FnMut(u32, &str, &str, Option<&str>) -> Result<()>,
) -> Result<bool> {
    let mut places: Option<Places> = None;
    each_line(path, |number, line| {
        let at = match &places {
            Some(places) => *places,
            None => {
                let found = *places.insert(Places::of(config, line)?);
                if config.header {
                    return Ok(());
                }
                found
            }
        };
        let columns: Vec<&str> = line.split('\t').collect();
        if columns.len() != at.columns {
            let (found, expected) = (columns.len(), at.columns);
            let what = format!("line {number}: has {found} columns, expected {expected}");
            return Err(damaged(path, what));
        }
        let second = at.second.map(|second| columns[second]);
        let label = columns[at.label].trim();
        let texts = [("label", label), ("sentence", columns[at.sentence])];
        for (name, text) in texts
            .into_iter()
            .chain(second.map(|text| ("second sentence", text)))
        {
            if text.trim().is_empty() {
                return Err(damaged(path, format!("line {number}: the {name} is empty")));
            }
        }
        each(number, label, columns[at.sentence], second)
    })?;
    Ok(places.is_some_and(|places| places.second.is_some()))
}

pub(crate) fn open(config: &SentencesConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let Some(path) = file_of(part, &config.path, &config.validation, &config.test)? else {
        return Ok(None);
    };
    let pieces = vocabulary(&config.vocabulary, config.lowercase, config.strip_accents)?;
    // Classes are those of the training part.
    let mut names = BTreeSet::new();
    let pairs = rows(config, &config.path, |number, label, _, _| {
        if !names.contains(label) {
            if names.len() == MOST_CLASSES {
                let what = format!("line {number}: is more than {MOST_CLASSES} classes");
                return Err(damaged(&config.path, what));
            }
            names.insert(label.to_owned());
        }
        Ok(())
    })?;
    let known = Classes::sorted(names);
    let mut read = Reader::new(&pieces, config.max_len);
    let mut classes = Vec::new();
    let paired = rows(config, path, |number, label, sentence, second| {
        let class = known.number(label).ok_or_else(|| {
            let (label, known) = (shortened(label), some_of(&known.names));
            let what = format!("line {number}: {label:?} is none of the classes learned: {known}");
            damaged(path, what)
        })?;
        classes.push(class as u32);
        read.push(number, sentence, second);
        Ok(())
    })?;
    if classes.is_empty() {
        return Err(damaged(path, "has no samples"));
    }
    if paired != pairs {
        let what = "one of training and this file has pairs of sentences, the other has not";
        return Err(damaged(path, what));
    }
    let encoding = Encoding {
        texts: Texts::Sentences,
        rules: pieces.rules(),
        max_len: config.max_len,
        pairs,
        stride: None,
        longest_question: None,
    };
    let info = encoding.info(&pieces, Task::Classes { names: known.names })?;
    Ok(Some(Arc::new(read.finish(info, path, classes))))
}

/// A line a sample: a sentence, or two separated by a tab.
pub(crate) fn unlabelled(info: &Info, path: &Path) -> Result<Arc<dyn DataSet>> {
    let (encoding, pieces) = Encoding::of_texts(info, Texts::Sentences)?;
    let mut read = Reader::new(&pieces, encoding.max_len);
    each_line(path, |number, line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let (first, second) = match columns[..] {
            [first] if !encoding.pairs => (first, None),
            [first, second] if encoding.pairs => (first, Some(second)),
            _ => {
                let expected = if encoding.pairs {
                    "two sentences"
                } else {
                    "a sentence"
                };
                let (found, what) = (columns.len() - 1, "and tabs between them");
                let what = format!("line {number}: has {found} tabs, expected {expected} {what}");
                return Err(damaged(path, what));
            }
        };
        if line.trim().is_empty() {
            return Err(damaged(
                path,
                format!("line {number}: is empty, expected a sentence"),
            ));
        }
        read.push(number, first, second);
        Ok(())
    })?;
    if read.lines.is_empty() {
        return Err(damaged(path, "is empty, expected a sentence a line"));
    }
    Ok(Arc::new(read.finish(info.clone(), path, Vec::new())))
}

/// Sentences while they are read.
struct Reader<'a> {
    pieces: &'a WordPiece,
    cache: Cache<'a>,
    max_len: usize,
    tokens: Tokens,
    lines: Vec<u32>,
    cut: usize,
}

impl<'a> Reader<'a> {
    fn new(pieces: &'a WordPiece, max_len: usize) -> Self {
        Self {
            pieces,
            cache: Cache::new(pieces),
            max_len,
            tokens: Tokens::default(),
            lines: Vec::new(),
            cut: 0,
        }
    }

    fn push(&mut self, line: u32, first: &str, second: Option<&str>) {
        let mut tokens = |text| {
            let mut tokens = Vec::new();
            self.cache.extend(text, &mut tokens);
            tokens
        };
        let (a, b) = (tokens(first), second.map(tokens));
        let joined = self.pieces.join(&a, b.as_deref(), self.max_len);
        let whole = a.len() + b.as_ref().map_or(2, |b| b.len() + 3);
        self.cut += usize::from(joined.len() < whole);
        self.tokens.push(&joined);
        self.lines.push(line);
    }

    fn finish(self, info: Info, path: &Path, classes: Vec<u32>) -> Sentences {
        Sentences {
            info,
            path: path.to_owned(),
            tokens: self.tokens,
            lines: self.lines,
            classes,
            cut: self.cut,
        }
    }
}

#[derive(Debug)]
struct Sentences {
    info: Info,
    path: PathBuf,
    tokens: Tokens,
    lines: Vec<u32>,
    /// None if they are not known.
    classes: Vec<u32>,
    /// Samples whose ends were cut.
    cut: usize,
}

impl DataSet for Sentences {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.tokens.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let tokens = self.tokens.of(index);
        Ok(Sample {
            values: Values::I32(tokens.to_vec()),
            shape: vec![tokens.len()],
            target: match self.classes.get(index) {
                Some(&class) => Target::Class(class as usize),
                None => Target::Unknown,
            },
        })
    }

    fn steps(&self, index: usize) -> Option<usize> {
        Some(self.tokens.of(index).len())
    }

    fn origin(&self, index: usize) -> String {
        format!("{}, line {}", self.path.display(), self.lines[index])
    }

    fn class(&self, index: usize) -> Result<Option<usize>> {
        Ok(self.classes.get(index).map(|&class| class as usize))
    }

    fn notes(&self) -> Vec<String> {
        let (cut, all, path) = (self.cut, self.len(), self.path.display());
        let note = format!("{path}: {cut} of {all} samples were cut to max_len tokens");
        if cut > 0 { vec![note] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::real;
    use super::super::tokens::tests::Files;
    use super::*;
    use crate::SourceConfig;

    const DATA: &str = "kind = 'sentences'\npath = 'DIR/a.tsv'\nmax_len = 8";

    #[test]
    fn lines_become_samples_with_a_class() {
        let files = Files::new(&[("a.tsv", "1\tgood a\n0\tBAD!\n"), ("b.tsv", "0\tab\n")]);
        let set = files.train(DATA);
        assert_eq!(set.info().task.names(), ["0", "1"]);
        assert_eq!(Files::words(&*set, 0), ["[CLS]", "good", "a", "[SEP]"]);
        assert_eq!(Files::words(&*set, 1), ["[CLS]", "bad", "!", "[SEP]"]);
        assert_eq!(set.sample(0).unwrap().target, Target::Class(1));
        assert_eq!(
            (set.steps(0), set.origin(1).ends_with("a.tsv, line 2")),
            (Some(4), true)
        );
        let keys = format!("{DATA}\nvalidation = 'DIR/b.tsv'");
        let kept = files.open(&keys, Part::Validation).unwrap().unwrap();
        assert_eq!((kept.len(), kept.info()), (1, set.info()));
        assert!(files.open(&keys, Part::Test).unwrap().is_none());
    }

    #[test]
    fn pairs_are_cut_where_they_are_longer() {
        let files = Files::new(&[("a.tsv", "x\ta\tb b b b b b\ny\ta\tb\n")]);
        let set = files.train(DATA);
        let expected = ["[CLS]", "a", "[SEP]", "b", "b", "b", "b", "[SEP]"];
        assert_eq!(Files::words(&*set, 0), expected);
        assert!(set.notes()[0].ends_with("1 of 2 samples were cut to max_len tokens"));
    }

    #[test]
    fn columns_are_chosen_by_name() {
        let files = Files::new(&[("a.tsv", "id\ttext\tclass\n7\tgood\tx\n8\tbad\ty\n")]);
        let keys = "header = true\nlabel = 'class'\nsentence = 'text'\nsecond = 'id'";
        let set = files.train(&format!("{DATA}\n{keys}"));
        assert_eq!(
            (set.len(), set.info().task.names()),
            (2, &["x".to_owned(), "y".to_owned()][..])
        );
        let error = files.error(&format!("{DATA}\nheader = true\nlabel = 'none'"));
        assert_eq!(
            error,
            "data.label: there is no column \"none\"; there are id, text, class"
        );
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        for (text, what) in [
            ("1\ta\n0\n", "line 2: has 1 columns, expected 2"),
            ("1\ta\n\tb\n", "line 2: the label is empty"),
            ("1\ta\n0\t \n", "line 2: the sentence is empty"),
            (
                "a\n",
                "data.sentence: there is no column 2; there are 1 to 1",
            ),
            ("", "has no samples"),
        ] {
            let error = Files::new(&[("a.tsv", text)]).error(DATA);
            assert!(error.ends_with(what), "{error}");
        }
        let files = Files::new(&[("a.tsv", "1\ta\n"), ("b.tsv", "1\ta\n2\tb\n")]);
        let keys = format!("{DATA}\nvalidation = 'DIR/b.tsv'");
        let error = files.open(&keys, Part::Validation).unwrap_err().to_string();
        assert!(
            error.ends_with("line 2: \"2\" is none of the classes learned: 1"),
            "{error}"
        );
    }

    #[test]
    fn sentences_without_labels_become_the_same_tokens() {
        let files = Files::new(&[("a.tsv", "1\tgood a\n0\tbad\n"), ("b.txt", "bad\ngood a\n")]);
        let set = files.train(DATA);
        let other = unlabelled(set.info(), &files.path("b.txt")).unwrap();
        assert_eq!(Files::words(&*other, 1), Files::words(&*set, 0));
        assert_eq!(other.sample(0).unwrap().target, Target::Unknown);
        let error = unlabelled(set.info(), &files.path("a.tsv"))
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("line 1: has 1 tabs, expected a sentence and tabs between them"),
            "{error}"
        );
    }

    #[test]
    fn the_film_reviews_are_read() {
        let (Some(data), Some(vocabulary)) = (real("sentiment_mr"), real("bert_vocab")) else {
            return;
        };
        let source = SourceConfig::Sentences(SentencesConfig {
            path: data.join("train.tsv"),
            validation: Some(data.join("dev.tsv")),
            vocabulary,
            ..SentencesConfig::default()
        });
        let train = source.open(Part::Train).unwrap().unwrap();
        let kept = source.open(Part::Validation).unwrap().unwrap();
        assert_eq!((train.len(), kept.len()), (7680, 850));
        assert!(train.notes().is_empty());
    }
}
