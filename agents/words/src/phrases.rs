//! Pairs of words that are taken for one.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use thorndike_core::{Result, check_range};

use crate::corpus::Counter;
use crate::tokens::Token;

/// Which pairs of words are joined: those that stand together much more often than chance would have it.
///
/// # Reference
/// Mikolov, Sutskever, Chen, Corrado, Dean, *Distributed Representations of Words and Phrases and their Compositionality*,
/// 2013, section 4, equation 6: `(count(ab) - discount) / (count(a) count(b))`, times the number of words, as their
/// program word2phrase has it. Deviations: none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhrasesConfig {
    /// Score above which a pair is joined. Default 100, as word2phrase.
    pub threshold: f64,
    /// Taken from the count of a pair, and what its words must occur at least. Default 5.
    pub discount: u64,
    /// Passes; each can make phrases one word longer or twice as long. The paper made 2 to 4. Default 1.
    pub passes: usize,
}

impl Default for PhrasesConfig {
    fn default() -> Self {
        Self {
            threshold: 100.0,
            discount: 5,
            passes: 1,
        }
    }
}

impl PhrasesConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) with the key.
    pub fn check(&self) -> Result<()> {
        check_range("threshold", self.threshold, 0.0..=1e15)?;
        check_range("discount", self.discount, 1..=1 << 40)?;
        check_range("passes", self.passes, 1..=10)
    }
}

/// Counts words and pairs of words.
#[derive(Default)]
pub(crate) struct Pairs {
    words: Counter,
    pairs: Counter,
    total: u64,
    before: String,
}

impl Pairs {
    pub(crate) fn add(&mut self, token: Token<'_>) -> Result<()> {
        match token {
            Token::End => self.before.clear(),
            Token::Word(word) => {
                self.total += 1;
                self.words.add(word)?;
                if !self.before.is_empty() {
                    self.before.push(' ');
                    self.before.push_str(word);
                    self.pairs.add(&self.before)?;
                    self.before.clear();
                }
                self.before.push_str(word);
            }
        }
        Ok(())
    }

    /// The pairs that are joined.
    pub(crate) fn joined(self, config: &PhrasesConfig) -> Joiner {
        let words = self.words.counts();
        let count = |word: &str| words.get(word).copied().unwrap_or(0);
        let is_phrase = |pair: &str, together: u64| {
            let Some((a, b)) = pair.split_once(' ') else {
                return false;
            };
            let (a, b) = (count(a), count(b));
            a.min(b) >= config.discount && together > config.discount && {
                let above = (together - config.discount) as f64;
                above / a as f64 / b as f64 * self.total as f64 > config.threshold
            }
        };
        let pairs = self.pairs.counts().into_iter();
        Joiner {
            joined: pairs
                .filter(|(pair, together)| is_phrase(pair, *together))
                .map(|(pair, _)| pair)
                .collect(),
            held: String::new(),
        }
    }
}

/// Joins pairs of words by `_`, from the left to the right.
#[derive(Debug)]
pub(crate) struct Joiner {
    joined: HashSet<Box<str>>,
    /// A word that the next one may join.
    held: String,
}

/// Sends `token` through all of `joiners`, and what comes out to `each`.
pub(crate) fn through(
    joiners: &mut [Joiner],
    token: Token<'_>,
    each: &mut dyn FnMut(Token<'_>) -> Result<()>,
) -> Result<()> {
    let Some((joiner, rest)) = joiners.split_first_mut() else {
        return each(token);
    };
    let held = &mut joiner.held;
    match token {
        Token::End => {
            if !held.is_empty() {
                through(rest, Token::Word(held), each)?;
                held.clear();
            }
            through(rest, Token::End, each)
        }
        Token::Word(word) if held.is_empty() => {
            held.push_str(word);
            Ok(())
        }
        Token::Word(word) => {
            let space = held.len();
            held.push(' ');
            held.push_str(word);
            if joiner.joined.contains(held.as_str()) {
                held.replace_range(space..=space, "_");
                through(rest, Token::Word(held), each)?;
                held.clear();
            } else {
                through(rest, Token::Word(&held[..space]), each)?;
                held.drain(..=space);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &str, mut each: impl FnMut(Token<'_>)) {
        for line in text.lines() {
            line.split(' ').for_each(|word| each(Token::Word(word)));
            each(Token::End);
        }
    }

    fn learned(text: &str, config: &PhrasesConfig) -> Joiner {
        let mut pairs = Pairs::default();
        feed(text, |token| pairs.add(token).unwrap());
        pairs.joined(config)
    }

    fn joined(text: &str, joiners: &mut [Joiner]) -> String {
        let mut out = String::new();
        feed(text, |token| {
            through(joiners, token, &mut |token| {
                match token {
                    Token::Word(word) => out.extend([word, " "]),
                    Token::End => out.push('|'),
                }
                Ok(())
            })
            .unwrap();
        });
        out
    }

    #[test]
    fn a_pair_is_joined_exactly_where_the_formula_says() {
        // "new york" 4 times, each word 4 times, 12 words: (4 - 1) / 16 * 12 = 2.25. "in new": (2 - 1) / 16 * 12 = 0.75.
        let text = "in new york\nin new york\nnew york in\nnew york in\n";
        let at = |threshold| PhrasesConfig {
            threshold,
            discount: 1,
            passes: 1,
        };
        let below = learned(text, &at(2.2499));
        assert_eq!(below.joined, HashSet::from(["new york".into()]));
        assert!(learned(text, &at(2.25)).joined.is_empty());
        assert_eq!(
            joined("new york new\nyork in", &mut [below]),
            "new_york new |york in |"
        );
    }

    #[test]
    fn a_second_pass_makes_longer_phrases() {
        // (6 - 1) / (6 * 6) * 138 = 19.2 for "new york", (6 - 1) / (6 * 66) * 138 = 1.7 for "york times"; the second time
        // (6 - 1) / (6 * 66) * 132 = 1.67 for "new_york times".
        let text = "new york times\n".repeat(6) + &"other times other times\n".repeat(30);
        let at = |threshold| PhrasesConfig {
            threshold,
            discount: 1,
            passes: 1,
        };
        let mut first = [learned(&text, &at(10.0))];
        let once = joined(&text, &mut first).replace(" |", "\n");
        assert!(once.starts_with("new_york times\n"), "{once}");
        let second = learned(&once, &at(1.6));
        let [first] = first;
        let twice = joined("new york times", &mut [first, second]);
        assert_eq!(twice, "new_york_times |");
    }
}
