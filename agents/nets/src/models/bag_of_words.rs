//! A bag of words: `relu(W mean(v(words)) + b)`, tokens `[batch, time] -> [batch, width]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Error, Result, Space};

use super::cell::{dense, dense_size, relu_layers};
use super::mlp::MAX_UNITS;
use super::word_table::{WordTable, tokens_of};
use crate::extractor::Inputs;
use crate::{FeatureExtractor, Linear, Scope};

/// Settings of [`BagOfWords`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BagOfWordsConfig {
    /// Vectors that the words begin with, by their names: a file of word2vec (`.bin`, `.txt`, `.vec`), `.safetensors`, or
    /// the folder of a trained Word2Vec. Words that are not there begin at random. Default none: all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<PathBuf>,
    /// Whether the words' vectors stay as they are; needs `vectors`. Default false.
    pub freeze: bool,
    /// Numbers of a word's vector where they are not from a file. Default 64.
    pub width: usize,
    /// Units of the layers with ReLU behind the mean. Default none.
    pub hidden: Vec<usize>,
}

impl Default for BagOfWordsConfig {
    fn default() -> Self {
        Self {
            vectors: None,
            freeze: false,
            width: 64,
            hidden: Vec::new(),
        }
    }
}

impl BagOfWordsConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        thorndike_core::check_range("width", self.width, 1..=MAX_UNITS)?;
        if self.freeze && self.vectors.is_none() {
            let what = "vectors that begin at random have to learn; give vectors, or leave it out";
            return Err(Error::config("freeze", what));
        }
        check_layers("hidden", &self.hidden)
    }

    /// Weights and features for observations of `space`, zeros if it holds no tokens.
    pub(crate) fn size(&self, space: &Space) -> (u64, u64) {
        let width = WordTable::width(self.vectors.as_deref(), self.width);
        let (Some([_, words]), Ok(width)) = (tokens_of(space), width) else {
            return (0, 0);
        };
        let table = (words as u64).saturating_mul(width as u64);
        dense_size((table, width as u64), &self.hidden)
    }

    /// This as a network that has its weights already is built.
    pub(crate) fn settled(&self) -> Result<Self> {
        Ok(Self {
            vectors: None,
            freeze: false,
            width: WordTable::width(self.vectors.as_deref(), self.width)?,
            hidden: self.hidden.clone(),
        })
    }
}

/// Refuses layers of no unit or too many.
pub(super) fn check_layers(key: &str, layers: &[usize]) -> Result<()> {
    if layers.iter().any(|&n| n == 0 || n > MAX_UNITS) {
        let what = format!("{layers:?} is out of range; give layers of 1 to {MAX_UNITS} units");
        return Err(Error::config(key, what));
    }
    Ok(())
}

/// The mean of the vectors of all words, and dense layers on it; where the words stand does not count. Padding is no word.
///
/// # Reference
/// Iyyer, Manjunatha, Boyd-Graber, Daumé III, "Deep Unordered Composition Rivals Syntactic Methods for Text
/// Classification" (2015), section 3. Deviations: no words are dropped; vectors from a file are all made as
/// long as those that begin at random.
#[derive(Debug)]
pub struct BagOfWords {
    words: WordTable,
    hidden: Vec<Linear>,
    width: i64,
}

impl BagOfWords {
    /// Declares `words.weight` and `hidden.0`, … in `scope`, for the tokens of `inputs`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, the observations hold no tokens, or there are no vectors.
    pub fn new(
        config: &BagOfWordsConfig,
        scope: &mut Scope<'_>,
        inputs: &Inputs<'_>,
    ) -> Result<Self> {
        config.check()?;
        let Some([_, words]) = tokens_of(inputs.space) else {
            let what = format!(
                "kind \"bag-of-words\" reads tokens, and {} holds none",
                inputs.space
            );
            return Err(Error::config("", what));
        };
        let path = config.vectors.as_deref();
        let width = WordTable::width(path, config.width)?;
        let vectors = path.map(|path| (path, config.freeze));
        let words = WordTable::new(&mut scope.sub("words"), words, width, vectors, inputs)?;
        let mut width = width as i64;
        let hidden = dense("hidden", &config.hidden, scope, &mut width);
        Ok(Self {
            words,
            hidden,
            width,
        })
    }
}

impl FeatureExtractor for BagOfWords {
    fn features(&self, tokens: &Tensor, _train: bool) -> Tensor {
        let rows = self.words.rows(tokens); // [batch, time, width]
        let mean = match self.words.padded {
            false => rows.mean_dim(1, false, None),
            true => {
                let is_word = tokens.ne(0).to_kind(Kind::Float).unsqueeze(1); // [batch, 1, time]
                let count = is_word.sum_dim_intlist(2, false, None).clamp_min(1.0);
                is_word.bmm(&rows).squeeze_dim(1) / count
            }
        };
        relu_layers(&self.hidden, mean)
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn reads_tokens(&self) -> bool {
        true
    }

    fn notes(&self) -> Option<String> {
        self.words.notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use crate::params::to_vec;
    use std::path::Path;
    use tch::Device;
    use thorndike_core::Seeds;

    const WORDS: [&str; 4] = ["<pad>", ".", "Lamp", "key"];

    fn build(
        config: &BagOfWordsConfig,
        space: &Space,
        words: &[&str],
    ) -> Result<(ParamStore, BagOfWords)> {
        let vocabulary: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| {
            let inputs = Inputs {
                space,
                frames: 1,
                vocabulary: &vocabulary,
            };
            BagOfWords::new(config, scope, &inputs)
        })
    }

    fn sentence(tokens: &[i64]) -> Tensor {
        Tensor::from_slice(tokens).view([1, -1])
    }

    /// A file of two words of two numbers.
    fn vectors(dir: &Path) -> PathBuf {
        let path = dir.join("vectors.txt");
        std::fs::write(&path, "2 2\nlamp 3 3\nchest -1 0.5\n").unwrap();
        path
    }

    #[test]
    fn features_are_the_mean_of_the_words_without_padding_in_any_order() {
        let config = BagOfWordsConfig {
            width: 3,
            ..BagOfWordsConfig::default()
        };
        let space = Space::MultiDiscrete(vec![4; 5]);
        let (store, bag) = build(&config, &space, &WORDS).unwrap();
        let table: Vec<f32> = to_vec(store.flat());
        let expected: Vec<f32> = (0..3)
            .map(|i| (table[3 + i] + 2.0 * table[9 + i]) / 3.0)
            .collect();
        for tokens in [[3, 3, 1, 0, 0], [1, 3, 3, 0, 0]] {
            let found = to_vec(&bag.features(&sentence(&tokens), false));
            for (found, expected) in found.iter().zip(&expected) {
                // One rounding for each of three terms.
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
        assert_eq!(to_vec(&bag.features(&sentence(&[0; 5]), false)), [0.0; 3]);
        assert_eq!(config.size(&space), (store.num_parameters() as u64, 3));
    }

    #[test]
    fn words_begin_with_their_vectors_and_those_without_are_said() {
        let dir = tempfile::tempdir().unwrap();
        for freeze in [false, true] {
            let config = BagOfWordsConfig {
                vectors: Some(vectors(dir.path())),
                freeze,
                ..BagOfWordsConfig::default()
            };
            let space = Space::MultiDiscrete(vec![4; 5]);
            let (store, bag) = build(&config, &space, &WORDS).unwrap();
            // Capitals do not count; scaled to a mean square of 1.
            let found = to_vec(&bag.features(&sentence(&[2, 0, 0, 0, 0]), false));
            assert_eq!(found, [1.0, 1.0]);
            let weights = if freeze { 0 } else { 8 };
            assert_eq!((store.num_parameters(), bag.width()), (weights, 2));
            let notes = bag.notes().unwrap();
            let end = "has no vector for 1 of 4 words, which begin at random: key";
            assert!(notes.ends_with(end), "{notes}");
            let settled = config.settled().unwrap();
            let (own, _) = build(&settled, &space, &WORDS).unwrap();
            assert!(
                own.shapes().eq(store.shapes()),
                "a file is not needed again"
            );
        }
    }

    #[test]
    fn what_holds_no_words_is_refused_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = vectors(dir.path());
        let error = |config: &BagOfWordsConfig, space: &Space, words: &[&str]| {
            let error = build(config, space, words).unwrap_err();
            error.under("extractor").to_string()
        };
        let default = BagOfWordsConfig::default();
        let text = error(&default, &Space::unbounded(&[4]), &[]);
        assert!(
            text.starts_with("extractor: kind \"bag-of-words\" reads tokens, and "),
            "{text}"
        );
        let frozen = BagOfWordsConfig {
            freeze: true,
            ..default.clone()
        };
        let tokens = Space::MultiDiscrete(vec![4; 5]);
        assert!(
            error(&frozen, &tokens, &WORDS).starts_with("extractor.freeze: vectors that begin at")
        );
        let from = |path: PathBuf| BagOfWordsConfig {
            vectors: Some(path),
            ..default.clone()
        };
        let text = error(&from(file.clone()), &tokens, &[]);
        assert!(
            text.starts_with("extractor.vectors: the observations have no words"),
            "{text}"
        );
        let text = error(&from(file), &tokens, &["<pad>", "a", "b", "c"]);
        assert!(
            text.ends_with("has none of the 4 words of the observations"),
            "{text}"
        );
        let text = error(&from(dir.path().join("none.txt")), &tokens, &WORDS);
        assert!(
            text.starts_with("extractor.vectors: ") && text.contains("none.txt"),
            "{text}"
        );
    }
}
