//! A row of numbers for each word: tokens `[batch, time] -> [batch, time, width]`.

use std::path::Path;

use tch::Tensor;
use thorndike_core::{Error, Result, Space, check_range};
use thorndike_words::WordVectors;

use super::mlp::MAX_UNITS;
use crate::Scope;
use crate::extractor::Inputs;
use crate::handoff::read_vectors;

/// Tokens of `space`: how many a row has, and how many different ones there are.
pub(super) fn tokens_of(space: &Space) -> Option<[usize; 2]> {
    match space {
        Space::Discrete(n) => Some([1, *n]),
        Space::MultiDiscrete(sizes) if sizes.windows(2).all(|pair| pair[0] == pair[1]) => {
            Some([sizes.len(), *sizes.first()?])
        }
        _ => None,
    }
}

/// Whether the first word of `vocabulary` stands for nothing.
pub(super) fn is_padded(vocabulary: &[String]) -> bool {
    vocabulary
        .first()
        .is_some_and(|word| word == "<pad>" || word == "[PAD]")
}

/// The numbers of each word; those of padding are no weights that learn.
///
/// # Reference
/// `torch.nn.Embedding`. Deviations: initial values are uniform with PyTorch's deviation of 1. Each vector from a file is
/// scaled so that the mean of its numbers' squares is 1, too: in Word2Vec rare words have short vectors, and a mean of words
/// would say little of them.
#[derive(Debug)]
pub(super) struct WordTable {
    /// `[words, width]`.
    pub(super) weight: Tensor,
    /// Whether token 0 stands for nothing.
    pub(super) padded: bool,
    notes: Option<String>,
}

impl WordTable {
    /// The width of the vectors at `path`, or `width` where no path is given.
    ///
    /// # Errors
    /// [`Error::Config`] with the key `vectors` if there are no vectors.
    pub(super) fn width(path: Option<&Path>, width: usize) -> Result<usize> {
        match path {
            None => Ok(width),
            Some(path) => Ok(read_vectors(path)?.dimension()),
        }
    }

    /// Declares `weight` in `scope` for `words` different tokens, with the vectors that the words of `inputs` have in the
    /// file at `path`.
    ///
    /// # Errors
    /// [`Error::Config`] with the key `vectors`.
    pub(super) fn new(
        scope: &mut Scope<'_>,
        words: usize,
        width: usize,
        vectors: Option<(&Path, bool)>,
        inputs: &Inputs<'_>,
    ) -> Result<Self> {
        check_range("width", width, 1..=MAX_UNITS)?;
        let vocabulary = inputs.vocabulary;
        let shape = [words as i64, width as i64];
        let mut notes = None;
        let weight = match vectors {
            None => scope.uniform("weight", &shape, 3_f32.sqrt()),
            Some((path, freeze)) => {
                if vocabulary.is_empty() {
                    let what =
                        "the observations have no words that could be looked up; leave it out";
                    return Err(Error::config("vectors", what));
                }
                let mut scope = scope.fixed(freeze);
                let before = scope.declared();
                let weight = scope.uniform("weight", &shape, 3_f32.sqrt());
                let file = read_vectors(path)?;
                let mut values = crate::params::to_vec(&weight);
                notes = Some(fill(&mut values, &file, path, vocabulary)?);
                scope.fill(before, |_| Ok(vec![Some(values)]))?;
                weight
            }
        };
        Ok(Self {
            weight,
            padded: is_padded(vocabulary),
            notes,
        })
    }

    /// Rows of `tokens`, `i64` `[..] -> [.., width]`.
    pub(super) fn rows(&self, tokens: &Tensor) -> Tensor {
        let padding = if self.padded { 0 } else { -1 };
        Tensor::embedding(&self.weight, tokens, padding, false, false)
    }

    /// As [`rows`](Self::rows), for one-hot rows `[.., words]`.
    pub(super) fn of_one_hot(&self, x: &Tensor) -> Tensor {
        x.matmul(&self.weight)
    }

    /// Which words had no vector.
    pub(super) fn notes(&self) -> Option<String> {
        self.notes.clone()
    }
}

/// Sets the rows of `table` whose words have a vector, and says which have none.
fn fill(
    table: &mut [f32],
    file: &WordVectors,
    path: &Path,
    vocabulary: &[String],
) -> Result<String> {
    let of = |word: &String| {
        let found = file.get(word);
        found.or_else(|| file.get(&word.to_lowercase()))
    };
    let found: Vec<Option<&[f32]>> = vocabulary.iter().map(of).collect();
    if found.iter().all(Option::is_none) {
        let what = format!(
            "{} has none of the {} words of the observations",
            path.display(),
            vocabulary.len()
        );
        return Err(Error::config("vectors", what));
    }
    for (row, vector) in table.chunks_exact_mut(file.dimension()).zip(&found) {
        if let Some(vector) = vector {
            let square: f32 = vector.iter().map(|x| x * x).sum();
            let scale = match square {
                0.0 => 0.0,
                square => (vector.len() as f32 / square).sqrt(),
            };
            row.iter_mut()
                .zip(*vector)
                .for_each(|(to, x)| *to = scale * x);
        }
    }
    let sign = |word: &str| !word.chars().any(char::is_alphanumeric) || word == "<pad>";
    let words = vocabulary.iter().zip(&found);
    let missing: Vec<&str> = words
        .filter(|(word, vector)| vector.is_none() && !sign(word))
        .map(|(word, _)| word.as_str())
        .collect();
    let named = missing.len().min(10);
    Ok(match missing.len() {
        0 => format!("{} has a vector for every word", path.display()),
        n => format!(
            "{} has no vector for {n} of {} words, which begin at random: {}{}",
            path.display(),
            vocabulary.len(),
            missing[..named].join(", "),
            if named < n { ", .." } else { "" }
        ),
    })
}
