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
    /// Whether the training part is put in the order of speakers, each of whom owns samples: paragraphs that begin with a
    /// line such as `ROMEO:` go together with all others of that name. What does not fill a sample at the end of a speaker
    /// is left out. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub speakers: bool,
}

impl Default for CharactersConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            steps: 128,
            validation: 0.1,
            speakers: false,
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
    let all = text.chars().count();
    let training = (all as f64 * (1.0 - config.validation)) as usize;
    let cut = text
        .char_indices()
        .nth(training)
        .map_or(text.len(), |(at, _)| at);
    let (start, text) = match part {
        Part::Train => (0, &text[..cut]),
        _ => (training, &text[cut..]),
    };
    let encode = |text: &str| text.chars().map(|c| code[&c]).collect::<Vec<u16>>();
    let steps = config.steps;
    let mut tokens = Vec::new();
    let mut owners = Vec::new();
    let mut notes = Vec::new();
    if config.speakers && part == Part::Train {
        let speakers = by_speaker(text);
        let found = speakers.len();
        for (name, said) in speakers {
            let said = encode(&said);
            // The last character has none after it.
            let samples = said.len().saturating_sub(1) / steps;
            if samples > 0 {
                owners.push(Owner {
                    name,
                    first_sample: owners.last().map_or(0, Owner::end),
                    samples,
                    start: tokens.len(),
                });
                tokens.extend_from_slice(&said[..=samples * steps]);
            }
        }
        if owners.is_empty() {
            let what = format!(
                "has no paragraph of more than steps = {steps} characters that begins with a line such as `ROMEO:`, which \
                 speakers = true asks for"
            );
            return Err(damaged(&config.path, what));
        }
        notes.push(format!(
            "{} speakers with a sample of {steps} characters, {} with less than one",
            owners.len(),
            found - owners.len()
        ));
    } else {
        tokens = encode(text);
    }
    if tokens.len() <= steps {
        let found = tokens.len();
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
        len: owners.last().map_or((tokens.len() - 1) / steps, Owner::end),
        info,
        path: config.path.clone(),
        tokens,
        start,
        steps,
        labelled: true,
        owners,
        notes,
    })))
}

/// What each speaker says, names before it included, in the order in which they first speak.
fn by_speaker(text: &str) -> Vec<(String, String)> {
    let mut place = HashMap::new();
    let mut all: Vec<(String, String)> = Vec::new();
    let mut speaker = None;
    for paragraph in text.split_inclusive("\n\n") {
        let line = paragraph.lines().next().unwrap_or_default();
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.is_empty()) {
            speaker = Some(*place.entry(name).or_insert_with(|| {
                all.push((name.to_owned(), String::new()));
                all.len() - 1
            }));
        }
        if let Some(speaker) = speaker {
            all[speaker].1.push_str(paragraph);
        }
    }
    all
}

/// Whom samples that follow each other are of.
#[derive(Debug)]
struct Owner {
    name: String,
    first_sample: usize,
    samples: usize,
    /// Place of the first character.
    start: usize,
}

impl Owner {
    /// The sample after the last one.
    fn end(&self) -> usize {
        self.first_sample + self.samples
    }
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
        owners: Vec::new(),
        notes: Vec::new(),
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
    /// Speakers, if the text is in their order.
    owners: Vec<Owner>,
    notes: Vec<String>,
}

impl Characters {
    /// The speaker of sample `index`.
    fn speaker(&self, index: usize) -> Option<&Owner> {
        let after = self.owners.partition_point(|owner| owner.end() <= index);
        self.owners.get(after)
    }
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
        let start = match self.speaker(index) {
            Some(owner) => owner.start + (index - owner.first_sample) * self.steps,
            None => index * self.steps,
        };
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

    fn owner(&self, index: usize) -> Option<&str> {
        Some(&self.speaker(index)?.name)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn origin(&self, index: usize) -> String {
        if let Some(owner) = self.speaker(index) {
            let at = (index - owner.first_sample) * self.steps;
            let (path, name) = (self.path.display(), &owner.name);
            return format!("{path}, from character {at} of what {name} says");
        }
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
            speakers: false,
        })
    }

    #[test]
    fn speakers_own_what_they_say() {
        let text = "ab\n\nA:\nfirst\n\nB:\nno\n\nA:\nlast\nword\n\nand more\n\nC:\nx";
        let (_folder, path) = file(text);
        let with = |speakers, steps| {
            let config = CharactersConfig {
                path: path.clone(),
                steps,
                validation: 0.0,
                speakers,
            };
            open(&config, Part::Train)
        };
        let set = with(true, 7).unwrap().unwrap();
        // A says 35 characters, B 7 and C 4; one more than a sample is needed.
        assert_eq!(set.len(), 4);
        assert!((0..4).all(|index| set.owner(index) == Some("A")));
        let said = |index: usize| {
            let sample = set.sample(index).unwrap();
            let (Values::I32(from), Target::Positions(to)) = (sample.values, sample.target) else {
                panic!("no characters");
            };
            let names = set.info().task.names();
            [from, to].map(|tokens| {
                let letters = tokens.iter().map(|&token| names[token as usize].as_str());
                letters.collect::<String>()
            })
        };
        assert_eq!(said(0), ["A:\nfirs", ":\nfirst"]);
        assert_eq!(said(1), ["t\n\nA:\nl", "\n\nA:\nla"]);
        assert!(
            set.origin(1)
                .ends_with("a.txt, from character 7 of what A says")
        );
        assert_eq!(
            set.notes(),
            ["1 speakers with a sample of 7 characters, 2 with less than one"]
        );
        let two = with(true, 6).unwrap().unwrap();
        assert_eq!(
            (two.len(), two.owner(4), two.owner(5)),
            (6, Some("A"), Some("B"))
        );
        assert_eq!(with(false, 6).unwrap().unwrap().owner(0), None);
        let error = with(true, 40).unwrap_err().to_string();
        assert!(
            error.contains("begins with a line such as `ROMEO:`"),
            "{error}"
        );
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
