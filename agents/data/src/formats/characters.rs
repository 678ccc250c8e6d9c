//! Text by character: at every position the next one is to be learned.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Kind, Result, Space, check_range};

use super::damaged;
use crate::{DataSet, Info, Part, Sample, Target, Task, Values};

/// A file of plain text in UTF-8, cut into samples that go on where the one before ends. The vocabulary is every
/// character of the whole text; what does not fill a sample at the end of a part is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CharactersConfig {
    /// The file.
    pub path: PathBuf,
    /// Characters of one sample.
    pub steps: usize,
    /// Share of the text, at its end, that is the validation part; there is none if it is 0.
    pub validation: f64,
}

impl Default for CharactersConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            steps: 128,
            validation: 0.1,
        }
    }
}

impl CharactersConfig {
    pub(crate) fn check(&self) -> Result<()> {
        check_range("steps", self.steps, 1..=65_536)?;
        check_range("validation", self.validation, 0.0..=0.9)
    }
}

pub(crate) fn open(config: &CharactersConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    if part == Part::Test || part == Part::Validation && config.validation == 0.0 {
        return Ok(None);
    }
    let text = read(&config.path)?;
    let distinct: BTreeSet<char> = text.chars().collect();
    let code: HashMap<char, u16> = distinct.iter().copied().zip(0..=u16::MAX).collect();
    if distinct.len() > code.len() {
        let what = format!(
            "has {} distinct characters, expected at most {}",
            distinct.len(),
            code.len()
        );
        return Err(damaged(&config.path, what));
    }
    let mut tokens: Vec<u16> = text.chars().map(|c| code[&c]).collect();
    drop(text);
    let all = tokens.len();
    let training = (all as f64 * (1.0 - config.validation)) as usize;
    let start = match part {
        Part::Train => {
            tokens.truncate(training);
            0
        }
        _ => {
            tokens.drain(..training);
            training
        }
    };
    if tokens.len() <= config.steps {
        let (found, steps) = (tokens.len(), config.steps);
        let what =
            format!("the {part:?} part has {found} characters, expected more than steps = {steps}");
        return Err(damaged(&config.path, what.to_lowercase()));
    }
    let names: Vec<String> = distinct.into_iter().map(String::from).collect();
    let info = Info {
        space: Space::MultiDiscrete(vec![names.len(); config.steps]),
        scalar: Kind::I32,
        task: Task::Positions {
            names: names.clone(),
        },
        vocabulary: names,
        encoding: serde_json::Value::Null,
    };
    Ok(Some(Arc::new(Characters {
        // The last character has none after it.
        len: (tokens.len() - 1) / config.steps,
        info,
        path: config.path.clone(),
        tokens,
        start,
        steps: config.steps,
        labelled: true,
    })))
}

/// The whole text of `path`, whose last sample is shorter if it does not fill it.
pub(crate) fn unlabelled(info: &Info, path: &Path) -> Result<Arc<dyn DataSet>> {
    let Space::MultiDiscrete(sizes) = &info.space else {
        return Err(Error::Unsupported(
            "a text for a model of no text".to_owned(),
        ));
    };
    let steps = sizes.len().max(1);
    let mut code: HashMap<char, u16> = HashMap::new();
    for (word, number) in info.vocabulary.iter().zip(0..) {
        let mut characters = word.chars();
        let (Some(c), None) = (characters.next(), characters.next()) else {
            return Err(Error::Unsupported(
                "a text by character for a model of words".to_owned(),
            ));
        };
        code.insert(c, number);
    }
    let text = read(path)?;
    let mut tokens = Vec::with_capacity(text.len());
    for (line, text) in text.split_inclusive('\n').enumerate() {
        for (column, c) in text.chars().enumerate() {
            tokens.push(*code.get(&c).ok_or_else(|| {
                let (line, column) = (line + 1, column + 1);
                let what =
                    format!("line {line}, column {column}: {c:?} is not in the text learned from");
                damaged(path, what)
            })?);
        }
    }
    if tokens.is_empty() {
        return Err(damaged(path, "is empty, expected text"));
    }
    Ok(Arc::new(Characters {
        len: tokens.len().div_ceil(steps),
        info: info.clone(),
        path: path.to_owned(),
        tokens,
        start: 0,
        steps,
        labelled: false,
    }))
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        damaged(path, format!("byte {at}: is no UTF-8"))
    })
}

#[derive(Debug)]
struct Characters {
    info: Info,
    path: PathBuf,
    tokens: Vec<u16>,
    /// Number of the first character in the file.
    start: usize,
    steps: usize,
    len: usize,
    labelled: bool,
}

impl DataSet for Characters {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.len
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        assert!(index < self.len, "no sample {index} of {}", self.len);
        let start = index * self.steps;
        let end = self.tokens.len().min(start + self.steps);
        let of = |tokens: &[u16]| {
            tokens
                .iter()
                .map(|&token| token.into())
                .collect::<Vec<i32>>()
        };
        Ok(Sample {
            values: Values::I32(of(&self.tokens[start..end])),
            shape: vec![end - start],
            target: match self.labelled {
                true => Target::Positions(of(&self.tokens[start + 1..=end])),
                false => Target::Unknown,
            },
        })
    }

    fn origin(&self, index: usize) -> String {
        let character = self.start + index * self.steps;
        format!("{}, from character {character}", self.path.display())
    }

    fn class(&self, _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn is_consecutive(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceConfig;
    use crate::formats::tests::real;

    fn file(text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn source(path: &Path, steps: usize, validation: f64) -> SourceConfig {
        SourceConfig::Characters(CharactersConfig {
            path: path.to_owned(),
            steps,
            validation,
        })
    }

    #[test]
    fn the_next_character_is_learned_at_every_position() {
        let (_folder, path) = file("abcäbcaba");
        let source = source(&path, 2, 1.0 / 3.0);
        let train = source.open(Part::Train).unwrap().unwrap();
        let validation = source.open(Part::Validation).unwrap().unwrap();
        assert!(source.open(Part::Test).unwrap().is_none());
        assert_eq!(train.info().vocabulary, ["a", "b", "c", "ä"]);
        assert_eq!(train.info(), validation.info());
        assert_eq!(train.info().space, Space::MultiDiscrete(vec![4; 2]));
        // a b | c ä | b, and c has none after it.
        assert_eq!((train.len(), validation.len()), (2, 1));
        assert!(train.is_consecutive());
        let sample = train.sample(1).unwrap();
        assert_eq!(sample.values, Values::I32(vec![2, 3]));
        assert_eq!(
            (sample.shape, sample.target),
            (vec![2], Target::Positions(vec![3, 1]))
        );
        let sample = validation.sample(0).unwrap();
        assert_eq!(sample.values, Values::I32(vec![0, 1]));
        assert_eq!(sample.target, Target::Positions(vec![1, 0]));
        assert!(validation.origin(0).ends_with("a.txt, from character 6"));
    }

    #[test]
    fn a_text_to_go_on_with_is_read_to_its_end() {
        let (folder, path) = file("abcabc\nabc");
        let source = source(&path, 2, 0.0);
        assert!(source.open(Part::Validation).unwrap().is_none());
        let info = source.open(Part::Train).unwrap().unwrap().info().clone();
        let other = folder.path().join("other.txt");
        fs::write(&other, "bca").unwrap();
        let set = source.unlabelled(&info, &other).unwrap();
        assert_eq!((set.len(), set.is_consecutive()), (2, true));
        let sample = set.sample(1).unwrap();
        assert_eq!(
            (sample.values, sample.shape),
            (Values::I32(vec![1]), vec![1])
        );
        assert_eq!(sample.target, Target::Unknown);
        fs::write(&other, "abc\nbxa").unwrap();
        let error = source.unlabelled(&info, &other).unwrap_err().to_string();
        let what = "other.txt: line 2, column 2: 'x' is not in the text learned from";
        assert!(error.ends_with(what), "{error}");
    }

    #[test]
    fn short_texts_and_no_text_are_refused() {
        let (_folder, path) = file("ab");
        let error = source(&path, 2, 0.0)
            .open(Part::Train)
            .unwrap_err()
            .to_string();
        let what = "the train part has 2 characters, expected more than steps = 2";
        assert!(error.ends_with(what), "{error}");
        let (_folder, path) = file(b"ab\xc3\x28");
        let error = source(&path, 2, 0.0)
            .open(Part::Train)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("a.txt: byte 2: is no UTF-8"), "{error}");
        let text = "aäbc".as_bytes();
        for n in 0..text.len() {
            let (_folder, path) = file(&text[..n]);
            assert!(source(&path, 3, 0.0).open(Part::Train).is_err());
        }
    }

    #[test]
    fn shakespeare_wrote_1115394_characters_of_65_kinds() {
        let Some(path) = real("tiny_shakespeare/input.txt") else {
            return;
        };
        let source = source(&path, 128, 0.1);
        let [train, validation] =
            [Part::Train, Part::Validation].map(|part| source.open(part).unwrap().unwrap());
        assert_eq!(train.info().vocabulary.len(), 65);
        let training = 1_003_854;
        assert_eq!(train.len(), (training - 1) / 128);
        assert_eq!(validation.len(), (111_540 - 1) / 128);
    }
}
