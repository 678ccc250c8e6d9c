//! Words with a tag each, in sentences.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thorndike_core::Result;

use super::rows::{Classes, MOST_CLASSES};
use super::tokens::{Encoding, Texts, Tokens, check_max_len, file_of, vocabulary};
use super::{damaged, shortened, some_of};
use crate::text::{WordPiece, each_line};
use crate::{DataSet, IGNORED, Info, Part, Sample, Target, Task, Values, Words};

/// A line a word, as the CoNLL tasks have it: columns between tabs, or between spaces if there are no tabs; the word is the
/// first, its tag the last. A blank line ends a sentence; lines that begin with `-DOCSTART-` are left out.
///
/// If all tags are `O`, `B-` and `I-` with a type, they are read as IOB2: an `I-` that begins an entity, as IOB1 has it, is
/// made a `B-`. Of a word in pieces the first one has the tag. Words for which a sample has no room count as not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaggedConfig {
    /// The file to learn from.
    pub path: PathBuf,
    /// The file to validate on; without it some of the other sentences are kept back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// The file to test on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// `vocab.txt` or `tokenizer.json` of BERT, or a folder with one of them.
    pub vocabulary: PathBuf,
    /// Tokens of a sample at most, with its marks. Default 128.
    pub max_len: usize,
    /// Whether letters are made small. Absent: as `tokenizer.json` says, else yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
    /// Whether accents are dropped. Absent: as `tokenizer.json` says, else if letters are made small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_accents: Option<bool>,
}

impl Default for TaggedConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            validation: None,
            test: None,
            vocabulary: PathBuf::new(),
            max_len: 128,
            lowercase: None,
            strip_accents: None,
        }
    }
}

impl TaggedConfig {
    pub(crate) fn check(&self) -> Result<()> {
        check_max_len(self.max_len)
    }
}

/// A sentence as it stands in its file.
#[derive(Default)]
struct Sentence {
    /// Line of its first word.
    line: u32,
    text: String,
    places: Vec<[u32; 2]>,
    tags: Vec<String>,
}

impl Sentence {
    fn push(&mut self, word: &str, tag: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len() as u32;
        self.text.push_str(word);
        self.places.push([start, self.text.len() as u32]);
        self.tags.push(tag.to_owned());
    }
}

/// Calls `each` for each sentence of `path`.
fn sentences(path: &Path, mut each: impl FnMut(Sentence) -> Result<()>) -> Result<()> {
    let mut sentence = Sentence::default();
    let mut expected = None;
    each_line(path, |number, line| {
        if line.trim().is_empty() || line.starts_with("-DOCSTART-") {
            if !sentence.tags.is_empty() {
                each(std::mem::take(&mut sentence))?;
            }
            return Ok(());
        }
        let columns: Vec<&str> = match line.contains('\t') {
            true => line.split('\t').collect(),
            false => line.split_whitespace().collect(),
        };
        let expected = *expected.get_or_insert(columns.len());
        if columns.len() != expected || expected < 2 {
            let found = columns.len();
            let what = match expected {
                0 | 1 => "a word and its tag".to_owned(),
                _ => format!("{expected} as in the lines before"),
            };
            return Err(damaged(
                path,
                format!("line {number}: has {found} columns, expected {what}"),
            ));
        }
        let (word, tag) = (columns[0].trim(), columns[expected - 1].trim());
        if word.is_empty() || tag.is_empty() {
            let which = if word.is_empty() { "word" } else { "tag" };
            return Err(damaged(
                path,
                format!("line {number}: the {which} is empty"),
            ));
        }
        if sentence.tags.is_empty() {
            sentence.line = number;
        }
        sentence.push(word, tag);
        Ok(())
    })?;
    if !sentence.tags.is_empty() {
        each(sentence)?;
    }
    Ok(())
}

/// The type of a tag such as `B-PER` or `I-PER`.
fn kind(tag: &str) -> Option<&str> {
    let (start, kind) = tag.split_once('-')?;
    (matches!(start, "B" | "I") && !kind.is_empty()).then_some(kind)
}

/// The tags of `path`: if they are those of entities, `O` and `B-` and `I-` of each type.
fn tags_of(path: &Path) -> Result<(Classes, bool)> {
    let mut tags = BTreeSet::new();
    sentences(path, |sentence| {
        for (word, tag) in sentence.tags.into_iter().enumerate() {
            if !tags.contains(&tag) {
                if tags.len() == MOST_CLASSES {
                    let line = sentence.line as usize + word;
                    let what = format!("line {line}: is more than {MOST_CLASSES} tags");
                    return Err(damaged(path, what));
                }
                tags.insert(tag);
            }
        }
        Ok(())
    })?;
    if tags.is_empty() {
        return Err(damaged(path, "has no words"));
    }
    let kinds: BTreeSet<&str> = tags.iter().filter_map(|tag| kind(tag)).collect();
    let entities = !kinds.is_empty() && tags.iter().all(|tag| tag == "O" || kind(tag).is_some());
    if !entities {
        return Ok((Classes::new(tags.into_iter().collect()), false));
    }
    let both = kinds
        .iter()
        .flat_map(|kind| [format!("B-{kind}"), format!("I-{kind}")]);
    Ok((
        Classes::new(std::iter::once("O".to_owned()).chain(both).collect()),
        true,
    ))
}

pub(crate) fn open(config: &TaggedConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let Some(path) = file_of(part, &config.path, &config.validation, &config.test)? else {
        return Ok(None);
    };
    let pieces = vocabulary(&config.vocabulary, config.lowercase, config.strip_accents)?;
    // Tags are those of the training part.
    let (known, entities) = tags_of(&config.path)?;
    let mut tagged = Tagged::new(path);
    sentences(path, |mut sentence| {
        if entities {
            tagged.begun += begin(&mut sentence.tags);
        }
        let class = |(word, tag): (usize, &String)| {
            let number = known.number(tag);
            number.map(|class| class as i32).ok_or_else(|| {
                let line = sentence.line as usize + word;
                let (tag, known) = (shortened(tag), some_of(&known.names));
                let what = format!("line {line}: {tag:?} is none of the tags learned: {known}");
                damaged(path, what)
            })
        };
        let tags = sentence
            .tags
            .iter()
            .enumerate()
            .map(class)
            .collect::<Result<_>>()?;
        tagged.push(&pieces, config.max_len, sentence, tags);
        Ok(())
    })?;
    if tagged.sentences.is_empty() {
        return Err(damaged(path, "has no words"));
    }
    let encoding = Encoding {
        texts: Texts::Tagged,
        rules: pieces.rules(),
        max_len: config.max_len,
        pairs: false,
        stride: None,
        longest_question: None,
    };
    let names = known.names;
    Ok(Some(Arc::new(Tagged {
        info: Some(encoding.info(&pieces, Task::Positions { names })?),
        ..tagged
    })))
}

/// Makes each `I-` that begins an entity a `B-`; gives their number.
fn begin(tags: &mut [String]) -> usize {
    let mut begun = 0;
    for word in 0..tags.len() {
        let before = word.checked_sub(1).and_then(|before| kind(&tags[before]));
        if tags[word].starts_with('I') && kind(&tags[word]) != before {
            tags[word].replace_range(..1, "B");
            begun += 1;
        }
    }
    begun
}

/// A line a text. Words are what stands between white space, without the punctuation before and after them, whose marks
/// are words of their own.
pub(crate) fn unlabelled(info: &Info, path: &Path) -> Result<Arc<dyn DataSet>> {
    let (encoding, pieces) = Encoding::of_texts(info, Texts::Tagged)?;
    let mut tagged = Tagged::new(path);
    each_line(path, |number, line| {
        let sentence = Sentence {
            line: number,
            places: words_of(line),
            text: line.to_owned(),
            tags: Vec::new(),
        };
        if sentence.places.is_empty() {
            return Err(damaged(
                path,
                format!("line {number}: is empty, expected words"),
            ));
        }
        tagged.push(&pieces, encoding.max_len, sentence, Vec::new());
        Ok(())
    })?;
    if tagged.sentences.is_empty() {
        return Err(damaged(path, "is empty, expected a text a line"));
    }
    Ok(Arc::new(Tagged {
        info: Some(info.clone()),
        ..tagged
    }))
}

/// First and end byte of each word.
fn words_of(text: &str) -> Vec<[u32; 2]> {
    let mut places = Vec::new();
    let mut push = |start: usize, end: usize| places.push([start as u32, end as u32]);
    let is_mark = |c: char| !c.is_alphanumeric() && !matches!(c, '@' | '#');
    for chunk in text.split_whitespace() {
        let start = chunk.as_ptr() as usize - text.as_ptr() as usize;
        let inner = chunk.trim_matches(is_mark);
        let from = match inner {
            "" => start + chunk.len(),
            inner => inner.as_ptr() as usize - text.as_ptr() as usize,
        };
        let marks = |range: std::ops::Range<usize>| {
            let at = range.start;
            let each = text[range].char_indices();
            each.map(move |(i, c)| (at + i, at + i + c.len_utf8()))
                .collect::<Vec<_>>()
        };
        marks(start..from).into_iter().for_each(|(a, b)| push(a, b));
        if !inner.is_empty() {
            push(from, from + inner.len());
            let rest = from + inner.len()..start + chunk.len();
            marks(rest).into_iter().for_each(|(a, b)| push(a, b));
        }
    }
    places
}

/// Words of one sample.
#[derive(Debug)]
struct Kept {
    line: u32,
    text: String,
    places: Vec<[u32; 2]>,
    /// None if they are not known.
    tags: Vec<i32>,
    /// Of the words that have room.
    positions: Vec<u32>,
}

#[derive(Debug)]
struct Tagged {
    /// There once all is read.
    info: Option<Info>,
    path: PathBuf,
    tokens: Tokens,
    sentences: Vec<Kept>,
    /// Tags that were made to begin an entity.
    begun: usize,
    /// Words without room.
    cut: usize,
}

impl Tagged {
    fn new(path: &Path) -> Self {
        Self {
            info: None,
            path: path.to_owned(),
            tokens: Tokens::default(),
            sentences: Vec::new(),
            begun: 0,
            cut: 0,
        }
    }

    fn push(&mut self, pieces: &WordPiece, max_len: usize, sentence: Sentence, tags: Vec<i32>) {
        let mut tokens = Vec::new();
        let mut positions = Vec::with_capacity(sentence.places.len());
        for &[start, end] in &sentence.places {
            if tokens.len() + 2 < max_len {
                positions.push(tokens.len() as u32 + 1);
            }
            let word = pieces.pieces(&sentence.text[start as usize..end as usize]);
            tokens.extend(word.iter().map(|piece| piece.id));
            if word.is_empty() {
                // A word of control characters alone.
                tokens.push(pieces.unknown());
            }
        }
        self.cut += sentence.places.len() - positions.len();
        self.tokens.push(&pieces.join(&tokens, None, max_len));
        self.sentences.push(Kept {
            line: sentence.line,
            text: sentence.text,
            places: sentence.places,
            tags,
            positions,
        });
    }
}

impl DataSet for Tagged {
    fn info(&self) -> &Info {
        self.info
            .as_ref()
            .expect("it is set before anybody sees the set")
    }

    fn len(&self) -> usize {
        self.sentences.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let tokens = self.tokens.of(index);
        let sentence = &self.sentences[index];
        let target = match sentence.tags.is_empty() {
            true => Target::Unknown,
            false => {
                let mut tags = vec![IGNORED; tokens.len()];
                for (&position, &tag) in sentence.positions.iter().zip(&sentence.tags) {
                    tags[position as usize] = tag;
                }
                Target::Positions(tags)
            }
        };
        Ok(Sample {
            values: Values::I32(tokens.to_vec()),
            shape: vec![tokens.len()],
            target,
        })
    }

    fn steps(&self, index: usize) -> Option<usize> {
        Some(self.tokens.of(index).len())
    }

    fn words(&self, index: usize) -> Option<Words<'_>> {
        let sentence = &self.sentences[index];
        Some(Words {
            text: &sentence.text,
            places: &sentence.places,
            tags: &sentence.tags,
            positions: &sentence.positions,
        })
    }

    fn origin(&self, index: usize) -> String {
        format!(
            "{}, line {}",
            self.path.display(),
            self.sentences[index].line
        )
    }

    fn class(&self, _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn notes(&self) -> Vec<String> {
        let path = self.path.display();
        let mut notes = Vec::new();
        if self.begun > 0 {
            let begun = self.begun;
            notes.push(format!(
                "{path}: {begun} tags I- begin an entity and were read as B-"
            ));
        }
        if self.cut > 0 {
            let cut = self.cut;
            notes.push(format!(
                "{path}: {cut} words have no room in max_len tokens; their entities count as not found"
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::real;
    use super::super::tokens::tests::Files;
    use super::*;
    use crate::SourceConfig;

    const DATA: &str = "kind = 'tagged'\npath = 'DIR/a.conll'\nmax_len = 8";

    #[test]
    fn the_first_piece_of_a_word_has_its_tag() {
        let files = Files::new(&[("a.conll", "-DOCSTART- O\n\nab B-X\n. O\n\n\nC I-Y\n")]);
        let set = files.train(DATA);
        let names = ["O", "B-X", "I-X", "B-Y", "I-Y"];
        assert_eq!(set.info().task.names(), names);
        assert_eq!(Files::words(&*set, 0), ["[CLS]", "a", "##b", ".", "[SEP]"]);
        let tags = vec![IGNORED, 1, IGNORED, 0, IGNORED];
        assert_eq!(set.sample(0).unwrap().target, Target::Positions(tags));
        // IOB1 is made IOB2.
        let tags = vec![IGNORED, 3, IGNORED];
        assert_eq!(set.sample(1).unwrap().target, Target::Positions(tags));
        assert!(set.notes()[0].ends_with("1 tags I- begin an entity and were read as B-"));
        assert!(set.origin(1).ends_with("a.conll, line 7"));
    }

    #[test]
    fn only_tags_that_begin_an_entity_are_changed() {
        let mut tags = ["I-X", "I-X", "B-X", "I-X", "I-Y", "O", "I-Y"].map(str::to_owned);
        assert_eq!(begin(&mut tags), 3);
        assert_eq!(tags, ["B-X", "I-X", "B-X", "I-X", "B-Y", "O", "B-Y"]);
    }

    #[test]
    fn words_without_room_are_kept_for_the_score() {
        let text: String = (0..9)
            .map(|i| format!("a\t{}\n", if i > 5 { "B-X" } else { "O" }))
            .collect();
        let files = Files::new(&[("a.conll", &text)]);
        let set = files.train(DATA);
        let words = set.words(0).unwrap();
        assert_eq!(
            (words.tags.len(), words.positions),
            (9, &[1, 2, 3, 4, 5, 6][..])
        );
        assert!(set.notes()[0].contains("3 words have no room in max_len tokens"));
    }

    #[test]
    fn other_tags_stay_as_they_are() {
        let files = Files::new(&[("a.conll", "a DT\nb N-N\n")]);
        let set = files.train(DATA);
        assert_eq!(set.info().task.names(), ["DT", "N-N"]);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        for (text, what) in [
            (
                "a O\nb x O\n",
                "line 2: has 3 columns, expected 2 as in the lines before",
            ),
            ("a\n", "line 1: has 1 columns, expected a word and its tag"),
            ("a\tO\n\tO\n", "line 2: the word is empty"),
            ("\n\n", "has no words"),
        ] {
            let error = Files::new(&[("a.conll", text)]).error(DATA);
            assert!(error.ends_with(what), "{error}");
        }
        let files = Files::new(&[
            ("a.conll", "a B-X\nb O\n"),
            ("b.conll", "a O\n\na O\nb B-Z\n"),
        ]);
        let keys = format!("{DATA}\ntest = 'DIR/b.conll'");
        let error = files.open(&keys, Part::Test).unwrap_err().to_string();
        assert!(
            error.ends_with("line 4: \"B-Z\" is none of the tags learned: O, B-X, I-X"),
            "{error}"
        );
    }

    #[test]
    fn texts_are_cut_into_words_with_their_places() {
        let text = "(Hi) @you don't, u.s. \u{201c}\u{e9}\u{201d} :)";
        let words: Vec<&str> = words_of(text)
            .iter()
            .map(|&[a, b]| &text[a as usize..b as usize])
            .collect();
        let expected = [
            "(", "Hi", ")", "@you", "don't", ",", "u.s", ".", "\u{201c}", "\u{e9}", "\u{201d}",
            ":", ")",
        ];
        assert_eq!(words, expected);
        let files = Files::new(&[("a.conll", "a O\nb B-X\n"), ("b.txt", "a b!\n")]);
        let set = unlabelled(files.train(DATA).info(), &files.path("b.txt")).unwrap();
        assert_eq!(Files::words(&*set, 0), ["[CLS]", "a", "b", "!", "[SEP]"]);
        assert_eq!(set.words(0).unwrap().positions, [1, 2, 3]);
        assert_eq!(set.sample(0).unwrap().target, Target::Unknown);
    }

    #[test]
    fn the_tweets_are_read() {
        for (name, train, dev, types) in [("ner_btc", 7338, 1000, 3), ("ner_wnut17", 3394, 1009, 6)]
        {
            let (Some(data), Some(vocabulary)) = (real(name), real("bert_vocab")) else {
                return;
            };
            let source = SourceConfig::Tagged(TaggedConfig {
                path: data.join("train.conll"),
                validation: Some(data.join("dev.conll")),
                vocabulary,
                ..TaggedConfig::default()
            });
            let [learned, kept] =
                [Part::Train, Part::Validation].map(|part| source.open(part).unwrap().unwrap());
            assert_eq!((learned.len(), kept.len()), (train, dev));
            assert_eq!(kept.info().task.names().len(), 1 + 2 * types);
        }
    }
}
