//! From the words of an environment to the pieces of an encoder.

use std::collections::HashMap;

use tch::{Kind, Tensor};
use thorndike_core::{Error, Result};

/// Turns tokens of one vocabulary into those of another, `i64` `[batch, time] -> [batch, time']`: each word becomes its
/// pieces, `[CLS]` and `[SEP]` stand around all of them, and 0 (`[PAD]`) behind.
///
/// # Reference
/// Pieces: the longest first, as WordPiece of Devlin et al. (2019), in their code `tokenization.py`. Deviations: a word is
/// one token of an environment, and is not split at punctuation.
#[derive(Debug)]
pub(crate) struct Translation {
    /// Pieces of each word; none of one that stands for nothing.
    pieces: Vec<Vec<i64>>,
    first: i64,
    last: i64,
    /// Longest sequence that is given.
    most: usize,
}

impl Translation {
    /// From `words` to `vocabulary`, for an encoder of at most `most` tokens.
    ///
    /// # Errors
    /// [`Error::Config`] with the key `from` if the vocabulary is not one of BERT's, or does not begin with `[PAD]`.
    pub(crate) fn new(words: &[String], vocabulary: &[String], most: usize) -> Result<Self> {
        let place: HashMap<&str, i64> = vocabulary.iter().map(String::as_str).zip(0..).collect();
        let special = |word: &str| {
            place.get(word).copied().ok_or_else(|| {
                let what = format!("its vocabulary has no {word}, which a text is given with");
                Error::config("from", what)
            })
        };
        if special("[PAD]")? != 0 {
            return Err(Error::config("from", "[PAD] is not its first word"));
        }
        let unknown = special("[UNK]")?;
        // A vocabulary without capitals is one of lower-cased text.
        let cased = vocabulary
            .iter()
            .any(|word| !word.starts_with('[') && word.chars().any(char::is_uppercase));
        let pieces = |word: &String| match word.as_str() {
            "<pad>" | "[PAD]" | "" => Vec::new(),
            word if cased => split(word, &place).unwrap_or_else(|| vec![unknown]),
            word => split(&word.to_lowercase(), &place).unwrap_or_else(|| vec![unknown]),
        };
        Ok(Self {
            pieces: words.iter().map(pieces).collect(),
            first: special("[CLS]")?,
            last: special("[SEP]")?,
            most,
        })
    }

    /// `tokens` on any device; what is longer than the encoder reads is cut at its end.
    pub(crate) fn translate(&self, tokens: &Tensor) -> Tensor {
        let (batch, time) = (tokens.size()[0] as usize, tokens.size()[1] as usize);
        let mut words = vec![0_i64; batch * time];
        tokens
            .to_kind(Kind::Int64)
            .copy_data(&mut words, batch * time);
        let rows: Vec<Vec<i64>> = words
            .chunks(time.max(1))
            .map(|row| {
                let mut out = vec![self.first];
                let pieces = row.iter().flat_map(|&word| &self.pieces[word as usize]);
                out.extend(pieces.take(self.most - 2));
                out.push(self.last);
                out
            })
            .collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut all = Vec::with_capacity(batch * longest);
        for mut row in rows {
            row.resize(longest, 0);
            all.extend(row);
        }
        Tensor::from_slice(&all)
            .view([batch as i64, -1])
            .to_device(tokens.device())
    }
}

/// The pieces of `word`, the longest that fits first; none if one is not there.
fn split(word: &str, place: &HashMap<&str, i64>) -> Option<Vec<i64>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < word.len() {
        let ends = word.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
        let found = ends.take_while(|&end| end > start).find_map(|end| {
            let own = &word[start..end];
            let piece = match start {
                0 => place.get(own),
                _ => place.get(format!("##{own}").as_str()),
            };
            piece.map(|&piece| (piece, end))
        });
        let (piece, end) = found?;
        pieces.push(piece);
        start = end;
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn words_become_their_pieces_between_the_special_tokens() {
        let vocabulary = words(&[
            "[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "lamp", "##p", "la", "##m", ".",
        ]);
        let own = words(&["<pad>", "The", "lamp", "lamm", "qx", "."]);
        let translation = Translation::new(&own, &vocabulary, 8).unwrap();
        let tokens = Tensor::from_slice(&[1_i64, 2, 5, 0, 3, 4, 5, 1]).view([2, 4]);
        let found = translation.translate(&tokens);
        let expected = [[2_i64, 4, 5, 9, 3, 0, 0, 0], [2, 7, 8, 8, 1, 9, 4, 3]];
        assert_eq!(found, Tensor::from_slice2(&expected));
        // Too long: cut at the end, the last token stays.
        let short = Translation::new(&own, &vocabulary, 4).unwrap();
        assert_eq!(
            short.translate(&tokens),
            Tensor::from_slice2(&[[2_i64, 4, 5, 3], [2, 7, 8, 3]])
        );
        let error = Translation::new(&own, &words(&["[PAD]", "[UNK]", "a"]), 8).unwrap_err();
        assert_eq!(
            error.to_string(),
            "from: its vocabulary has no [CLS], which a text is given with"
        );
    }
}
