//! Vocabularies of WordPiece, learned from texts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result, check_range};

use super::word_piece::MARKS;
use super::{TextRules, WordPiece, each_line};

/// How a vocabulary is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VocabularyConfig {
    /// Words and pieces, with the five marks. Default 30,000.
    pub size: usize,
    /// Characters that are kept, the most frequent ones; words with others are left out. Default 1,000.
    pub characters: usize,
    /// A piece that occurs less often is not made. Default 2.
    pub min_count: u64,
    /// What is done to a text first.
    pub rules: TextRules,
}

impl Default for VocabularyConfig {
    fn default() -> Self {
        Self {
            size: 30_000,
            characters: 1_000,
            min_count: 2,
            rules: TextRules::default(),
        }
    }
}

/// How far learning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocabularyStage {
    /// Files that were read, of how many.
    Files(usize, usize),
    /// Words that were made, of how many.
    Words(usize, usize),
}

/// Learns a vocabulary from `files`, plain or gz: the same one for the same files in any order. `progress` is told how
/// far it is; `false` from it ends the work with `Ok(None)`.
///
/// # Errors
/// [`Error::Config`] if a setting is out of range; if a file cannot be read.
///
/// # Reference
/// Wu et al., *Google's Neural Machine Translation System*, 2016, section 4.1, as the `tokenizers` library does it: pairs of
/// neighbouring pieces are joined, the most frequent first (Sennrich et al., *Neural Machine Translation of Rare Words
/// with Subword Units*, 2016, algorithm 1). Of equally frequent pairs the one with the older pieces is first.
///
/// Deviations: the order of joins does not depend on a hash; a word with a rare character is left out whole, where the
/// library leaves out the character.
pub fn train_vocabulary(
    files: &[PathBuf],
    config: &VocabularyConfig,
    progress: &mut dyn FnMut(VocabularyStage) -> bool,
) -> Result<Option<WordPiece>> {
    check_range("size", config.size, MARKS.len() + 1..=1 << 20)?;
    check_range("characters", config.characters, 1..=100_000)?;
    // Words between white space are the same in any text, so each is looked at once.
    let mut chunks: HashMap<String, u64> = HashMap::new();
    for (at, file) in files.iter().enumerate() {
        if !progress(VocabularyStage::Files(at, files.len())) {
            return Ok(None);
        }
        each_line(file, |_, line| {
            for chunk in line.split_whitespace() {
                match chunks.get_mut(chunk) {
                    Some(count) => *count += 1,
                    None => _ = chunks.insert(chunk.to_owned(), 1),
                }
            }
            Ok(())
        })?;
    }
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    for (chunk, count) in chunks {
        for word in config.rules.words(&chunk) {
            *words.entry(word).or_default() += count;
        }
    }
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in &words {
        word.chars()
            .for_each(|c| *counts.entry(c).or_default() += count);
    }
    let mut kept: Vec<(char, u64)> = counts.into_iter().collect();
    kept.sort_by_key(|&(_, count)| Reverse(count)); // stable: equal ones by number
    kept.truncate(config.characters);
    let kept: BTreeSet<char> = kept.into_iter().map(|(c, _)| c).collect();
    words.retain(|word, _| word.chars().all(|c| kept.contains(&c)));
    if words.is_empty() {
        return Err(Error::config("files", "there are no words in them"));
    }
    let mut joining = Joining::new(&words, &kept);
    if joining.pieces.len() > config.size {
        let least = joining.pieces.len();
        let what = format!(
            "{} is too small; give at least {least}, for the marks and the characters that occur",
            config.size
        );
        return Err(Error::config("size", what));
    }
    while joining.pieces.len() < config.size {
        let done = joining.pieces.len();
        if done.is_multiple_of(256) && !progress(VocabularyStage::Words(done, config.size)) {
            return Ok(None);
        }
        if !joining.join_next(config.min_count.max(1)) {
            break;
        }
    }
    let pieces = WordPiece::new(joining.pieces, config.rules);
    pieces.map(Some).map_err(|what| Error::Backend(what.into()))
}

type Pair = (u32, u32);

/// Words while their pieces are joined.
struct Joining {
    pieces: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Pieces of each word, and how often it occurs.
    words: Vec<(Vec<u32>, u64)>,
    /// How often each pair occurs, and the words in which it was seen: some twice, and some that have it no more.
    pairs: HashMap<Pair, (u64, Vec<u32>)>,
    /// Counts of pairs; those that are not the present ones are stale.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Joining {
    fn new(words: &BTreeMap<String, u64>, alphabet: &BTreeSet<char>) -> Self {
        let inner = words.keys().flat_map(|word| word.chars().skip(1));
        let inner: BTreeSet<char> = inner.collect();
        let marks = MARKS.iter().map(|&mark| mark.to_owned());
        let first = alphabet.iter().map(char::to_string);
        let inner = inner.iter().map(|c| format!("##{c}"));
        let pieces: Vec<String> = marks.chain(first).chain(inner).collect();
        let numbers: HashMap<String, u32> = pieces.iter().cloned().zip(0..).collect();
        let mut joining = Self {
            pieces,
            words: Vec::with_capacity(words.len()),
            pairs: HashMap::new(),
            queue: BinaryHeap::new(),
            numbers,
        };
        for ((word, &count), at) in words.iter().zip(0..) {
            let number = |(i, c): (usize, char)| match i {
                0 => joining.numbers[&c.to_string()],
                _ => joining.numbers[&format!("##{c}")],
            };
            let pieces: Vec<u32> = word.chars().enumerate().map(number).collect();
            for pair in pieces.windows(2) {
                let (of, seen) = joining.pairs.entry((pair[0], pair[1])).or_default();
                *of += count;
                seen.push(at);
            }
            joining.words.push((pieces, count));
        }
        let counts = joining.pairs.iter();
        joining.queue = counts
            .map(|(&pair, &(count, _))| (count, Reverse(pair)))
            .collect();
        joining
    }

    /// Joins the most frequent pair; `false` if there is none that occurs `min_count` times.
    fn join_next(&mut self, min_count: u64) -> bool {
        let (pair, seen) = loop {
            let Some((count, Reverse(pair))) = self.queue.pop() else {
                return false;
            };
            let Some((now, seen)) = self.pairs.get_mut(&pair) else {
                continue;
            };
            if *now == count {
                if count < min_count {
                    return false;
                }
                *now = 0;
                break (pair, std::mem::take(seen));
            }
        };
        let [left, right] = [pair.0, pair.1].map(|piece| self.pieces[piece as usize].as_str());
        let joined = format!("{left}{}", right.strip_prefix("##").unwrap_or(right));
        let joined = *self.numbers.entry(joined).or_insert_with_key(|joined| {
            self.pieces.push(joined.clone());
            self.pieces.len() as u32 - 1
        });
        let mut changed: BTreeSet<Pair> = BTreeSet::new();
        for at in seen {
            let (pieces, count) = &mut self.words[at as usize];
            let has_pair = pieces.windows(2).any(|two| (two[0], two[1]) == pair);
            if !has_pair {
                continue;
            }
            for two in pieces.windows(2).map(|two| (two[0], two[1])) {
                if two != pair {
                    self.pairs.entry(two).or_default().0 -= *count;
                    changed.insert(two);
                }
            }
            let mut to = 0;
            let mut from = 0;
            while from < pieces.len() {
                let is_pair = pieces[from] == pair.0 && pieces.get(from + 1) == Some(&pair.1);
                pieces[to] = if is_pair { joined } else { pieces[from] };
                from += if is_pair { 2 } else { 1 };
                to += 1;
            }
            pieces.truncate(to);
            for two in pieces.windows(2).map(|two| (two[0], two[1])) {
                let (of, seen) = self.pairs.entry(two).or_default();
                *of += *count;
                // Where neither piece is new, the word is known to have it.
                if two.0 == joined || two.1 == joined {
                    seen.push(at);
                }
                changed.insert(two);
            }
        }
        for two in changed {
            match self.pairs[&two].0 {
                0 => _ = self.pairs.remove(&two),
                count => self.queue.push((count, Reverse(two))),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(size: usize) -> VocabularyConfig {
        VocabularyConfig {
            size,
            ..VocabularyConfig::default()
        }
    }

    fn train(texts: &[&str], config: &VocabularyConfig) -> Result<Option<WordPiece>> {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            files.push(folder.path().join(format!("{i}.txt")));
            fs::write(&files[i], text).unwrap();
        }
        train_vocabulary(&files, config, &mut |_| true)
    }

    /// Counts all pairs anew before each join.
    fn slowly(words: &[(&str, u64)], size: usize) -> Vec<String> {
        let counted: BTreeMap<String, u64> = words
            .iter()
            .map(|&(word, count)| (word.to_owned(), count))
            .collect();
        let alphabet = words.iter().flat_map(|(word, _)| word.chars()).collect();
        let start = Joining::new(&counted, &alphabet);
        let (mut pieces, mut words) = (start.pieces, start.words);
        while pieces.len() < size {
            let mut counts: BTreeMap<Pair, u64> = BTreeMap::new();
            for (word, count) in &words {
                for two in word.windows(2) {
                    *counts.entry((two[0], two[1])).or_default() += count;
                }
            }
            let Some((&pair, _)) = counts.iter().rev().max_by_key(|&(_, &count)| count) else {
                break;
            };
            let right = &pieces[pair.1 as usize];
            let joined = format!(
                "{}{}",
                pieces[pair.0 as usize],
                right.trim_start_matches("##")
            );
            let at = pieces.iter().position(|piece| *piece == joined);
            let at = at.unwrap_or_else(|| {
                pieces.push(joined);
                pieces.len() - 1
            });
            for (word, _) in &mut words {
                let mut i = 0;
                while i + 1 < word.len() {
                    if (word[i], word[i + 1]) == pair {
                        word[i] = at as u32;
                        word.remove(i + 1);
                    }
                    i += 1;
                }
            }
        }
        pieces
    }

    #[test]
    fn the_most_frequent_pairs_are_joined_first() {
        let words = [
            ("hug", 10),
            ("pug", 5),
            ("pun", 12),
            ("bun", 4),
            ("hugs", 5),
            ("aaaab", 3),
        ];
        let text: String = words
            .iter()
            .map(|&(word, n)| format!("{word} ").repeat(n as usize))
            .collect();
        let learned = train(&[&text], &config(40)).unwrap().unwrap();
        let pieces = learned.words();
        // u and g stand together 20 times, u and n 16 times.
        let place = |word: &str| pieces.iter().position(|piece| piece == word).unwrap();
        assert!(place("##ug") < place("##un") && place("##un") < place("pun"));
        assert_eq!(pieces, slowly(&words, pieces.len()));
        assert!(pieces.iter().any(|piece| piece == "aaaab"));
    }

    #[test]
    fn the_same_files_give_the_same_bytes_in_any_order() {
        let texts: Vec<String> = (0..3)
            .map(|k| {
                (0..2000)
                    .map(|i: u64| format!("w{} ", (i * i + k) % 977))
                    .collect()
            })
            .collect();
        let [a, b, c] = [0, 1, 2].map(|i| texts[i].as_str());
        let folders = [[a, b, c], [c, a, b]].map(|texts| {
            let folder = tempfile::tempdir().unwrap();
            train(&texts, &config(200))
                .unwrap()
                .unwrap()
                .save(folder.path())
                .unwrap();
            folder
        });
        for name in ["vocab.txt", "tokenizer.json"] {
            let [first, second] = [0, 1].map(|i| fs::read(folders[i].path().join(name)).unwrap());
            assert!(first == second && first.len() > 500, "{name}");
        }
        let read = WordPiece::load(folders[0].path(), None, None).unwrap();
        assert_eq!(read.words().len(), 200);
    }

    #[test]
    fn sizes_without_room_for_the_characters_are_refused() {
        let error = train(&["abc"], &config(9)).unwrap_err().to_string();
        // Five marks; a, b, c; ##b, ##c.
        assert!(
            error.starts_with("size: 9 is too small; give at least 10"),
            "{error}"
        );
        let error = train(&["\n"], &config(9)).unwrap_err().to_string();
        assert_eq!(error, "files: there are no words in them");
    }
}
