//! How well vectors agree with people: similarity of pairs, and analogies.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use thorndike_core::{Error, Result};

use crate::vectors::dot;
use crate::{WordVectors, damaged};

/// Words that are looked at, the first ones, by default; as gensim.
pub const RESTRICT: usize = 300_000;
/// Questions that are answered at a time.
const LANES: usize = 16;

/// Pairs of words with how similar people find them.
#[derive(Clone, Debug, PartialEq)]
pub struct WordPairs {
    pairs: Vec<(String, String, f64)>,
}

/// How well cosines agree with people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Spearman's rank correlation; no number if fewer than two pairs are known or all are equal.
    pub spearman: f64,
    /// Pairs that it is of.
    pub pairs: usize,
    /// Pairs with a word that has no vector; they are left out.
    pub unknown: usize,
}

impl WordPairs {
    /// Reads two words and a number from each line, with tabs, spaces, commas or semicolons between. Empty lines and those
    /// that begin with `#` are passed over, and a first line without a number, which names the columns.
    ///
    /// # Errors
    /// If a line is none of these, with its number, or there are no pairs.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let mut pairs = Vec::new();
        let mut is_first = true;
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let between = |c: char| c.is_whitespace() || c == ',' || c == ';';
            let parts: Vec<&str> = text
                .split(between)
                .filter(|part| !part.is_empty())
                .collect();
            let number = parts.get(2).and_then(|part| part.parse::<f64>().ok());
            match (&parts[..], number) {
                ([a, b, ..], Some(score)) if score.is_finite() => {
                    pairs.push(((*a).to_owned(), (*b).to_owned(), score));
                }
                _ if is_first => {}
                _ => {
                    let shown: String = text.chars().take(40).collect();
                    let what =
                        format!("line {line}: expected two words and a number, found {shown:?}");
                    return Err(damaged(path, what));
                }
            }
            is_first = false;
        }
        if pairs.is_empty() {
            return Err(damaged(path, "there are no pairs of words with a number"));
        }
        Ok(Self { pairs })
    }

    /// How well `vectors` agree. Upper and lower case are the same; of words that differ in it alone the first is taken.
    pub fn evaluate(&self, vectors: &WordVectors) -> Similarity {
        let folded = Folded::new(vectors, RESTRICT);
        let (mut cosines, mut scores) = (Vec::new(), Vec::new());
        for (a, b, score) in &self.pairs {
            if let (Some(a), Some(b)) = (folded.index(a), folded.index(b)) {
                let product = dot(&vectors.unit(a), &vectors.unit(b));
                cosines.push(f64::from(product));
                scores.push(*score);
            }
        }
        Similarity {
            spearman: spearman(&cosines, &scores),
            pairs: cosines.len(),
            unknown: self.pairs.len() - cosines.len(),
        }
    }
}

/// Words without regard to case.
struct Folded {
    indices: HashMap<String, usize>,
}

impl Folded {
    fn new(vectors: &WordVectors, restrict: usize) -> Self {
        let mut indices = HashMap::new();
        for (index, word) in vectors.words().iter().take(restrict).enumerate() {
            indices.entry(word.to_lowercase()).or_insert(index);
        }
        Self { indices }
    }

    fn index(&self, word: &str) -> Option<usize> {
        self.indices.get(&word.to_lowercase()).copied()
    }
}

/// Spearman's rank correlation of `a` and `b`: Pearson's of their ranks, equal values sharing the mean of theirs.
///
/// # Panics
/// If they are not equally long.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "values in pairs");
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let sum = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt()
}

/// The rank of each value from 1, equal ones at the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for equal in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = before + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&i| ranks[i] = rank);
        before += equal.len() as f64;
    }
    ranks
}

/// Analogies in sections: `a` is to `b` as `c` is to the word that is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    sections: Vec<(String, Vec<[String; 4]>)>,
}

/// How many analogies were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Questions that were answered right.
    pub right: usize,
    /// Questions whose four words have vectors.
    pub asked: usize,
    /// Questions with a word that has none; they are left out.
    pub unknown: usize,
}

impl Section {
    /// Share of the questions asked that were answered right; no number if none was asked.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.asked as f64
    }
}

impl Questions {
    /// Reads `questions-words.txt`: lines of four words, below lines `: NAME` of their sections.
    ///
    /// # Errors
    /// If a line is neither, with its number, or there are no questions.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let mut sections: Vec<(String, Vec<[String; 4]>)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() {
                continue;
            }
            if let Some(name) = text.strip_prefix(':') {
                sections.push((name.trim().to_owned(), Vec::new()));
                continue;
            }
            let shown = || text.chars().take(40).collect::<String>();
            let words: Vec<&str> = text.split_whitespace().collect();
            let Ok(words) = <[&str; 4]>::try_from(words) else {
                let what = format!("line {line}: expected four words, found {:?}", shown());
                return Err(damaged(path, what));
            };
            let Some((_, questions)) = sections.last_mut() else {
                let what = format!(
                    "line {line}: expected the name of a section such as \": family\" first, found {:?}",
                    shown()
                );
                return Err(damaged(path, what));
            };
            questions.push(words.map(str::to_lowercase));
        }
        if sections.iter().all(|(_, questions)| questions.is_empty()) {
            return Err(damaged(path, "there are no questions"));
        }
        Ok(Self { sections })
    }

    /// Answers each question by 3CosAdd from the first `restrict` words, without its own three, and counts the right answers
    /// of each section, as gensim's `evaluate_word_analogies`. Upper and lower case are the same. Works on all cores.
    pub fn evaluate(&self, vectors: &WordVectors, restrict: usize) -> Vec<Section> {
        let folded = Folded::new(vectors, restrict);
        let words = vectors.words().len().min(restrict);
        // The words without regard to case, which alone can be answers.
        let mut candidates: Vec<usize> = folded.indices.values().copied().collect();
        candidates.sort_unstable();
        debug_assert!(candidates.len() <= words);
        let units: Vec<Vec<f32>> = candidates
            .iter()
            .map(|&index| vectors.unit(index))
            .collect();
        let place: HashMap<usize, usize> = candidates.iter().copied().zip(0..).collect();
        let known = |word: &String| folded.index(word).map(|index| place[&index]);
        let mut counted = Vec::new();
        let mut asked: Vec<(usize, [usize; 4])> = Vec::new();
        for (section, (name, questions)) in self.sections.iter().enumerate() {
            let places = questions.iter().filter_map(|words| {
                let [a, b, c, d] = words;
                Some([known(a)?, known(b)?, known(c)?, known(d)?])
            });
            let before = asked.len();
            asked.extend(places.map(|places| (section, places)));
            counted.push(Section {
                name: name.clone(),
                right: 0,
                asked: asked.len() - before,
                unknown: questions.len() - (asked.len() - before),
            });
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = asked.len().div_ceil(threads).max(1);
        let right: Vec<usize> = std::thread::scope(|scope| {
            let work = |questions: &[(usize, [usize; 4])]| -> Vec<usize> {
                questions
                    .chunks(LANES)
                    .flat_map(|questions| answered(&units, questions))
                    .collect()
            };
            let threads: Vec<_> = asked
                .chunks(share)
                .map(|questions| scope.spawn(move || work(questions)))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("it does not panic"))
                .collect()
        });
        right
            .iter()
            .for_each(|&section| counted[section].right += 1);
        counted
    }
}

/// The sections of those of up to [`LANES`] `questions` that are answered right.
fn answered(units: &[Vec<f32>], questions: &[(usize, [usize; 4])]) -> Vec<usize> {
    let dimension = units[0].len();
    // Column by column, so that one number of a word meets all questions at once.
    let mut wanted = vec![[0.0_f32; LANES]; dimension];
    for (lane, (_, [a, b, c, _])) in questions.iter().enumerate() {
        for (i, wanted) in wanted.iter_mut().enumerate() {
            wanted[lane] = units[*b][i] - units[*a][i] + units[*c][i];
        }
    }
    let mut best = [(f32::NEG_INFINITY, usize::MAX); LANES];
    for (place, unit) in units.iter().enumerate() {
        let mut sums = [0.0_f32; LANES];
        for (x, wanted) in unit.iter().zip(&wanted) {
            for (sum, y) in sums.iter_mut().zip(wanted) {
                *sum += x * y;
            }
        }
        for ((sum, best), (_, [a, b, c, _])) in sums.iter().zip(&mut best).zip(questions) {
            if *sum > best.0 && ![*a, *b, *c].contains(&place) {
                *best = (*sum, place);
            }
        }
    }
    let pairs = questions.iter().zip(best);
    pairs
        .filter(|((_, [_, _, _, d]), (_, place))| d == place)
        .map(|((section, _), _)| *section)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.txt");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn vectors() -> WordVectors {
        let words = ["king", "queen", "man", "woman", "rock"].map(str::to_owned);
        let numbers = vec![1.0, 1.0, 1.0, -1.0, 0.1, 1.0, 0.1, -1.0, -1.0, 0.0];
        WordVectors::new(words.into(), numbers).unwrap()
    }

    #[test]
    fn spearman_shares_ranks_as_scipy_does() {
        // scipy.stats.spearmanr of scipy 1.17.1.
        let found = spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, 1.0, 2.0]);
        assert!((found - 0.774_596_669_241_483_4).abs() < 1e-12, "{found}");
        let found = spearman(&[3.0, 1.0, 4.0, 1.0, 5.0], &[2.0, 7.0, 1.0, 8.0, 2.0]);
        assert!((found + 0.789_473_684_210_526_4).abs() < 1e-12, "{found}");
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[5.0, 6.0, 7.0]), 1.0);
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn pairs_are_read_with_tabs_spaces_comments_and_a_head() {
        let text =
            "Word 1\tWord 2\tHuman\n# a comment\nking\tqueen\t9\nKing man 5.5\n\nrock,lava,1\n";
        let (_folder, path) = written(text);
        let similarity = WordPairs::read(&path).unwrap().evaluate(&vectors());
        assert_eq!((similarity.pairs, similarity.unknown), (2, 1));
        // King is nearer to man than to queen, and people say the opposite.
        assert_eq!(similarity.spearman, -1.0);
        let (_folder, path) = written("a b 1\na b\n");
        let message = WordPairs::read(&path).unwrap_err().to_string();
        assert!(
            message.ends_with("line 2: expected two words and a number, found \"a b\""),
            "{message}"
        );
    }

    #[test]
    fn analogies_are_counted_by_section_and_unknown_words_apart() {
        let text =
            ": family\nMan King Woman Queen\nman king woman rock\nman king woman lady\n: empty\n";
        let (_folder, path) = written(text);
        let sections = Questions::read(&path)
            .unwrap()
            .evaluate(&vectors(), RESTRICT);
        let family = &sections[0];
        assert_eq!((family.right, family.asked, family.unknown), (1, 2, 1));
        assert!(sections[1].accuracy().is_nan());
        // Without the queen among the words that are looked at, none can be asked.
        let sections = Questions::read(&path).unwrap().evaluate(&vectors(), 1);
        assert_eq!((sections[0].asked, sections[0].unknown), (0, 3));
        for (text, what) in [
            (": a\none two three\n", "line 2: expected four words"),
            ("a b c d\n", "line 1: expected the name of a section"),
            (": a\n", "there are no questions"),
        ] {
            let (_folder, path) = written(text);
            let message = Questions::read(&path).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
    }
}
