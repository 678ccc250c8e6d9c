//! Words of a sample whose tokens are pieces of them.

use std::ops::Range;

use crate::score::{Scheme, Tags};
use crate::{IGNORED, largest};

/// The words of a sample; the class of a word is said at its first piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Words<'a> {
    /// The text that the words stand in.
    pub text: &'a str,
    /// First and end byte of each word in the text.
    pub places: &'a [[u32; 2]],
    /// Class of each word; none if they are not known.
    pub tags: &'a [i32],
    /// Position of the first piece of each word that has room in the sample: the last words may have none.
    pub positions: &'a [u32],
}

/// An entity that a model found in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundEntity {
    /// Name of its type.
    pub kind: String,
    /// Its bytes in the text.
    pub place: Range<usize>,
    /// Mean probability of the tags of its words.
    pub probability: f64,
}

impl Words<'_> {
    /// The entities that `logs` say, a row of log-probabilities of the classes `names` for each position of the sample.
    /// None if the names are no tags of entities.
    ///
    /// # Panics
    /// If there are too few rows.
    pub fn entities(&self, names: &[String], logs: &[f32]) -> Vec<FoundEntity> {
        let Some(tags) = Tags::of(names) else {
            return Vec::new();
        };
        let row = |&position: &u32| &logs[position as usize * names.len()..][..names.len()];
        let mut said: Vec<i32> = self
            .positions
            .iter()
            .map(|at| largest(row(at)) as i32)
            .collect();
        said.resize(self.places.len(), IGNORED);
        let found = tags
            .entities(&said, Scheme::Conll)
            .into_iter()
            .map(|entity| {
                let words = entity.words.clone();
                let sure =
                    |word: usize| f64::from(row(&self.positions[word])[said[word] as usize]).exp();
                let sum: f64 = words.clone().map(sure).sum();
                FoundEntity {
                    kind: tags.types()[entity.kind].clone(),
                    place: self.places[words.start][0] as usize
                        ..self.places[words.end - 1][1] as usize,
                    probability: sum / words.len() as f64,
                }
            });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_found_with_their_place_in_the_text() {
        let words = Words {
            text: "in New York .",
            places: &[[0, 2], [3, 6], [7, 11], [12, 13]],
            tags: &[],
            positions: &[1, 2, 4],
        };
        let names = ["O", "B-LOC", "I-LOC"].map(str::to_owned);
        // Position 3 is a second piece of "New": what is said there does not count.
        let rows = [
            [0.8, 0.1, 0.1_f32],
            [0.8, 0.1, 0.1],
            [0.2, 0.7, 0.1],
            [0.8, 0.1, 0.1],
            [0.2, 0.3, 0.5],
        ];
        let logs: Vec<f32> = rows.concat().iter().map(|p| p.ln()).collect();
        let [found] = &words.entities(&names, &logs)[..] else {
            panic!("one entity")
        };
        assert_eq!(
            (found.kind.as_str(), &words.text[found.place.clone()]),
            ("LOC", "New York")
        );
        assert!((found.probability - 0.6).abs() < 1e-6);
    }
}
