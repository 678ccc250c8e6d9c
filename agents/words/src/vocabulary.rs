//! The words that are kept.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use thorndike_core::{Error, Result};

use crate::damaged;

/// Words with how often each occurs, the most frequent first; of equal ones the first in the alphabet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<Box<str>>,
    counts: Vec<u64>,
    indices: HashMap<Box<str>, u32>,
}

impl Vocabulary {
    /// The words of `counts` that occur at least `min_count` times.
    pub(crate) fn of(counts: HashMap<Box<str>, u64>, min_count: u64) -> Self {
        let kept = counts.into_iter().filter(|&(_, count)| count >= min_count);
        let mut kept: Vec<(Box<str>, u64)> = kept.collect();
        kept.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let (words, counts) = kept.into_iter().unzip();
        Self::sorted(words, counts)
    }

    fn sorted(words: Vec<Box<str>>, counts: Vec<u64>) -> Self {
        let indices = words.iter().cloned().zip(0..).collect();
        Self {
            words,
            counts,
            indices,
        }
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words, the most frequent first.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(|word| &**word)
    }

    /// How often each occurs.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The place of `word`, if it was kept.
    pub fn index(&self, word: &str) -> Option<u32> {
        self.indices.get(word).copied()
    }

    /// Bytes it takes, about.
    pub(crate) fn memory(&self) -> u64 {
        let letters: usize = self.words.iter().map(|word| word.len()).sum();
        (2 * letters + 60 * self.words.len()) as u64
    }

    /// Writes a line for each word: the word, a space, its count. word2vec's `-save-vocab` writes the same.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = String::new();
        for (word, count) in self.words.iter().zip(&self.counts) {
            let _ = writeln!(text, "{word} {count}");
        }
        fs::write(path, text).map_err(Error::io(path))
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is no word with a count, with its number.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let (mut words, mut counts) = (Vec::new(), Vec::new());
        for (line, text) in (1..).zip(text.lines()) {
            let parsed = text
                .rsplit_once(' ')
                .and_then(|(word, count)| Some((word, count.parse().ok()?)));
            let Some((word, count)) = parsed else {
                let what = format!("line {line}: expected a word, a space and its count");
                return Err(damaged(path, what));
            };
            words.push(word.into());
            counts.push(count);
        }
        Ok(Self::sorted(words, counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_come_first_and_ties_by_the_alphabet() {
        let counts = [("b", 2), ("a", 2), ("rare", 1), ("the", 9)];
        let counts = counts.map(|(word, count)| (word.into(), count)).into();
        let vocabulary = Vocabulary::of(counts, 2);
        let words: Vec<&str> = vocabulary.words().collect();
        assert_eq!(words, ["the", "a", "b"]);
        assert_eq!(vocabulary.counts(), [9, 2, 2]);
        assert_eq!(
            (vocabulary.index("b"), vocabulary.index("rare")),
            (Some(2), None)
        );
    }

    #[test]
    fn a_saved_vocabulary_is_read_as_it_was_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vocabulary.txt");
        let vocabulary = Vocabulary::of([("new_york".into(), 7), ("é".into(), 3)].into(), 1);
        vocabulary.save(&path).unwrap();
        assert_eq!(Vocabulary::load(&path).unwrap(), vocabulary);
        fs::write(&path, "a 1\nb\n").unwrap();
        let message = Vocabulary::load(&path).unwrap_err().to_string();
        assert!(
            message.ends_with("line 2: expected a word, a space and its count"),
            "{message}"
        );
    }
}
