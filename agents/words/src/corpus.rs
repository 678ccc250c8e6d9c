//! Text files as numbered words.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use thorndike_core::{Error, Result};

use crate::phrases::{Joiner, Pairs, through};
use crate::tokens::{self, Sentences, Token, Tokens};
use crate::{Vocabulary, Word2VecConfig};

/// Where text comes from, and what a word and a sentence are: `[data]` of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorpusConfig {
    /// A file, a folder of `.txt` and `.gz` files, or a list of them. What ends in `.gz` is unpacked.
    #[serde(deserialize_with = "one_or_more")]
    pub path: Vec<PathBuf>,
    /// What a word is. Default: a run of letters, in lower case.
    pub tokens: Tokens,
    /// What a sentence is. Default: a line.
    pub sentences: Sentences,
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a file or folder, or a list of them")]
    enum Paths {
        One(PathBuf),
        More(Vec<PathBuf>),
    }
    Ok(match Paths::deserialize(deserializer)? {
        Paths::One(path) => vec![path],
        Paths::More(paths) => paths,
    })
}

/// Marks the last word of a sentence, beside its number.
const LAST: u32 = 1 << 31;
/// Words that are held in memory at most, 1 GiB; more lie in a temporary file.
const HELD: usize = 1 << 28;
/// Words written to that file at a time.
const PIECE: usize = 1 << 16;
/// Different words that are counted at a time.
const DIFFERENT: usize = 1 << 24;

/// The words of a corpus that are in its vocabulary, in their order, as numbers.
///
/// *Design.* Text is read once, by one thread, and each word numbered as it comes; when all are counted the numbers are
/// replaced by places in the vocabulary. Afterwards any thread can begin at any word. The alternative, to look words up
/// anew in every epoch, costs more and cannot be resumed at any word.
#[derive(Debug)]
pub struct Corpus {
    vocabulary: Vocabulary,
    numbers: Numbers,
    read: u64,
}

#[derive(Debug)]
enum Numbers {
    Memory(Vec<u32>),
    File { file: File, len: u64 },
}

impl Corpus {
    /// Reads the files of `config`, and keeps the words and phrases that `model` says.
    ///
    /// # Errors
    /// If a file is missing or is no UTF-8, with the line, or no word is left.
    pub fn open(config: &CorpusConfig, model: &Word2VecConfig) -> Result<Self> {
        Self::open_with(config, model, HELD)
    }

    fn open_with(config: &CorpusConfig, model: &Word2VecConfig, held: usize) -> Result<Self> {
        let files = tokens::files(&config.path)?;
        let mut joiners: Vec<Joiner> = Vec::new();
        if let Some(phrases) = &model.phrases {
            for _ in 0..phrases.passes {
                let mut pairs = Pairs::default();
                each_token(&files, config, &mut joiners, |token| pairs.add(token))?;
                joiners.push(pairs.joined(phrases));
            }
        }
        let mut counter = Counter::default();
        let mut writer = Writer::new(held);
        each_token(&files, config, &mut joiners, |token| match token {
            Token::Word(word) => writer.push(counter.add(word)?),
            Token::End => {
                writer.end();
                Ok(())
            }
        })?;
        let read = counter.total();
        let shown = |paths: &[PathBuf]| match paths {
            [path] => path.display().to_string(),
            _ => format!("{} and others", paths[0].display()),
        };
        if read == 0 {
            let what = format!("there are no words in {}", shown(&config.path));
            return Err(Error::config("path", what));
        }
        let vocabulary = Vocabulary::of(counter.counts(), model.min_count);
        if vocabulary.len() < 2 {
            let what = format!(
                "of the words in {} {} occur {} times or more; two are needed",
                shown(&config.path),
                vocabulary.len(),
                model.min_count
            );
            return Err(Error::config("path", what));
        }
        let mut places = vec![NONE; counter.counts.len()];
        for (word, &number) in &counter.numbers {
            places[number as usize] = vocabulary.index(word).unwrap_or(NONE);
        }
        drop(counter);
        Ok(Self {
            vocabulary,
            numbers: writer.finish(&places)?,
            read,
        })
    }

    /// The words that are kept.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Words of the vocabulary in the corpus, each as often as it occurs.
    pub fn words(&self) -> u64 {
        match &self.numbers {
            Numbers::Memory(numbers) => numbers.len() as u64,
            Numbers::File { len, .. } => *len,
        }
    }

    /// All words in the corpus, those that are not kept too. A phrase is one.
    pub fn words_read(&self) -> u64 {
        self.read
    }

    /// Bytes it holds in memory, about.
    pub fn memory(&self) -> u64 {
        let numbers = match &self.numbers {
            Numbers::Memory(numbers) => 4 * numbers.len() as u64,
            Numbers::File { .. } => 0,
        };
        numbers + self.vocabulary.memory()
    }

    /// Puts the numbers of up to `most` words from `start` on into `out`, so many that a sentence ends there if one does;
    /// the last of a sentence has [`is_last`] set.
    pub(crate) fn read_into(&self, start: u64, most: usize, out: &mut Vec<u32>) -> Result<()> {
        let most = (self.words() - start).min(most as u64) as usize;
        out.clear();
        match &self.numbers {
            Numbers::Memory(numbers) => out.extend_from_slice(&numbers[start as usize..][..most]),
            Numbers::File { file, .. } => *out = read_numbers(file, start, most)?,
        }
        if let Some(last) = out.iter().rposition(|&number| is_last(number)) {
            out.truncate(last + 1);
        }
        Ok(())
    }
}

/// Whether a number is that of the last word of its sentence.
#[inline(always)]
pub(crate) fn is_last(number: u32) -> bool {
    number & LAST != 0
}

/// The place of the word in the vocabulary.
#[inline(always)]
pub(crate) fn word(number: u32) -> u32 {
    number & !LAST
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    // A handle of its own: threads read at the same time.
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}

fn each_token(
    files: &[PathBuf],
    config: &CorpusConfig,
    joiners: &mut [Joiner],
    mut each: impl FnMut(Token<'_>) -> Result<()>,
) -> Result<()> {
    for path in files {
        tokens::read(
            path,
            config.tokens,
            config.sentences,
            |token| match joiners.is_empty() {
                true => each(token),
                false => through(joiners, token, &mut each),
            },
        )?;
    }
    Ok(())
}

/// Collects numbers, in memory up to `held` of them and then in a file.
struct Writer {
    numbers: Vec<u32>,
    /// Where the sentence starts that is being collected.
    sentence: usize,
    held: usize,
    file: Option<File>,
}

impl Writer {
    fn new(held: usize) -> Self {
        Self {
            numbers: Vec::new(),
            sentence: 0,
            held,
            file: None,
        }
    }

    fn push(&mut self, number: u32) -> Result<()> {
        let most = if self.file.is_some() {
            PIECE
        } else {
            self.held
        };
        if self.numbers.len() > most {
            // All but the last, which may yet end its sentence.
            self.flush(self.numbers.len() - 1)?;
        }
        self.numbers.push(number);
        Ok(())
    }

    fn end(&mut self) {
        if self.numbers.len() > self.sentence
            && let Some(number) = self.numbers.last_mut()
        {
            *number |= LAST;
        }
        self.sentence = self.numbers.len();
    }

    /// Moves the first `len` numbers into the file.
    fn flush(&mut self, len: usize) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(temporary()?),
        };
        for piece in self.numbers[..len].chunks(PIECE) {
            write(file, piece)?;
        }
        self.numbers.drain(..len);
        self.numbers.shrink_to(PIECE + 1);
        self.sentence = self.sentence.saturating_sub(len);
        Ok(())
    }

    /// The numbers, each replaced by its of `places`; those without one are left out, and the one before them ends the
    /// sentence where they did.
    fn finish(mut self, places: &[u32]) -> Result<Numbers> {
        let mut kept = Kept {
            places,
            in_sentence: false,
        };
        if self.file.is_none() {
            let mut numbers = Vec::new();
            for piece in self.numbers.chunks(PIECE) {
                kept.keep_after(&mut numbers, piece);
            }
            return Ok(Numbers::Memory(numbers));
        }
        self.flush(self.numbers.len())?;
        let old = self.file.expect("just looked at");
        let all = old.metadata().map_err(Error::io(TEMPORARY))?.len() / 4;
        let mut file = temporary()?;
        let (mut written, mut at) = (0, 0);
        // The last number of a piece stays, because one that is left out may end its sentence.
        let mut piece: Vec<u32> = Vec::new();
        while at < all {
            let len = (all - at).min(PIECE as u64) as usize;
            let more = read_numbers(&old, at, len)?;
            at += len as u64;
            kept.keep_after(&mut piece, &more);
            if piece.len() > 1 {
                let last = piece.len() - 1;
                write(&mut file, &piece[..last])?;
                written += last as u64;
                piece.drain(..last);
            }
        }
        write(&mut file, &piece)?;
        written += piece.len() as u64;
        Ok(Numbers::File { file, len: written })
    }
}

/// Replaces numbers by their places.
struct Kept<'a> {
    places: &'a [u32],
    /// Whether a number of this sentence was kept.
    in_sentence: bool,
}

impl Kept<'_> {
    /// Replaces all of `more` and puts them behind `before`, whose last number may be of the same sentence.
    fn keep_after(&mut self, before: &mut Vec<u32>, more: &[u32]) {
        for &number in more {
            let place = self.places[word(number) as usize];
            if place != NONE {
                before.push(place);
                self.in_sentence = true;
            }
            if is_last(number) {
                if self.in_sentence
                    && let Some(last) = before.last_mut()
                {
                    *last |= LAST;
                }
                self.in_sentence = false;
            }
        }
    }
}

/// What has no place in the vocabulary.
const NONE: u32 = u32::MAX;
const TEMPORARY: &str = "a temporary file";

fn temporary() -> Result<File> {
    tempfile::tempfile().map_err(Error::io(TEMPORARY))
}

fn write(file: &mut File, numbers: &[u32]) -> Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    file.write_all(&bytes).map_err(Error::io(TEMPORARY))
}

fn read_numbers(file: &File, start: u64, len: usize) -> Result<Vec<u32>> {
    let mut bytes = vec![0; 4 * len];
    read_at(file, &mut bytes, 4 * start).map_err(Error::io(TEMPORARY))?;
    let numbers = bytes.chunks_exact(4);
    Ok(numbers
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect())
}

/// Numbers different words and counts them, in bounded memory: where there are too many, the rarest are forgotten, as by
/// the program word2vec.
pub(crate) struct Counter {
    numbers: HashMap<Box<str>, u32>,
    /// Of each number.
    counts: Vec<u64>,
    /// Words of this count and below are forgotten next.
    rare: u64,
    most: usize,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            counts: Vec::new(),
            rare: 1,
            most: DIFFERENT,
        }
    }
}

impl Counter {
    /// Counts a word, and gives its number.
    pub(crate) fn add(&mut self, word: &str) -> Result<u32> {
        if let Some(&number) = self.numbers.get(word) {
            self.counts[number as usize] += 1;
            return Ok(number);
        }
        while self.numbers.len() >= self.most {
            let counts = &self.counts;
            self.numbers
                .retain(|_, &mut number| counts[number as usize] > self.rare);
            self.rare += 1;
        }
        let number = self.counts.len() as u32;
        if number == LAST - 1 {
            return Err(Error::config(
                "path",
                "there are more than 2^31 different words",
            ));
        }
        self.counts.push(1);
        self.numbers.insert(word.into(), number);
        Ok(number)
    }

    /// Words counted, also those that were forgotten.
    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How often each word was counted.
    pub(crate) fn counts(&self) -> HashMap<Box<str>, u64> {
        let numbers = self.numbers.iter();
        numbers
            .map(|(word, &number)| (word.clone(), self.counts[number as usize]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PhrasesConfig;

    fn corpus(text: &str, model: &Word2VecConfig, held: usize) -> Result<Corpus> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        std::fs::write(&path, text).unwrap();
        let config = CorpusConfig {
            path: vec![path],
            ..CorpusConfig::default()
        };
        Corpus::open_with(&config, model, held)
    }

    fn all(min_count: u64) -> Word2VecConfig {
        Word2VecConfig {
            min_count,
            ..Word2VecConfig::default()
        }
    }

    /// Words with spaces between, a bar after each sentence.
    fn show(corpus: &Corpus) -> String {
        let words: Vec<&str> = corpus.vocabulary().words().collect();
        let (mut shown, mut numbers, mut at) = (String::new(), Vec::new(), 0);
        while at < corpus.words() {
            corpus.read_into(at, 3, &mut numbers).unwrap();
            at += numbers.len() as u64;
            for &number in &numbers {
                shown += words[word(number) as usize];
                shown += if is_last(number) { "|" } else { " " };
            }
        }
        shown
    }

    #[test]
    fn rare_words_are_left_out_and_sentences_end_at_the_last_word_kept() {
        let corpus = corpus("a b a rare\nonce\nb a b a\n", &all(2), HELD).unwrap();
        assert_eq!(show(&corpus), "a b a|b a b a|");
        assert_eq!((corpus.words(), corpus.words_read()), (7, 9));
    }

    #[test]
    fn a_corpus_in_a_file_is_that_in_memory() {
        let text = "the cat sat on the mat\nthe dog\n\nsat\n".repeat(9_000);
        let [file, memory] = [10, HELD].map(|held| corpus(&text, &all(1), held).unwrap());
        assert!(matches!(file.numbers, Numbers::File { .. }));
        assert_eq!(file.words(), memory.words());
        assert!(show(&file) == show(&memory));
    }

    #[test]
    fn phrases_become_words_of_their_own() {
        let model = Word2VecConfig {
            phrases: Some(PhrasesConfig {
                threshold: 2.0,
                discount: 1,
                passes: 1,
            }),
            ..all(1)
        };
        let text = "in new york\nin new york\nnew york in\nnew york in\n";
        let corpus = corpus(text, &model, HELD).unwrap();
        assert_eq!(
            show(&corpus),
            "in new_york|in new_york|new_york in|new_york in|"
        );
    }

    #[test]
    fn a_corpus_of_nothing_is_refused() {
        for (text, what) in [
            ("", "path: there are no words in "),
            ("12 34\n", "path: there are no words in "),
            ("a b a b", " 0 occur 5 times or more; two are needed"),
        ] {
            let message = corpus(text, &all(5), HELD).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
    }

    #[test]
    fn counting_forgets_rare_words_when_there_are_too_many() {
        let mut counter = Counter {
            most: 4,
            ..Counter::default()
        };
        for word in ["a", "a", "a", "b", "c", "d", "e", "a", "f"] {
            counter.add(word).unwrap();
        }
        let counts = counter.counts();
        assert!(counts.len() <= 4 && counts["a"] == 4, "{counts:?}");
        assert_eq!(counter.total(), 9);
    }
}
