//! Which part of which question a sample holds.

use std::ops::Range;

/// A question, and the part of its context that one sample holds: `[CLS] question [SEP] part [SEP]`.
///
/// A context that is longer than a sample is read in several, which overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window<'a> {
    /// Number of the question: the same for all samples of it.
    pub question: usize,
    /// Its name in its file.
    pub id: &'a str,
    /// What is asked.
    pub asked: &'a str,
    /// The whole text with the answer.
    pub context: &'a str,
    /// The answers that are right; none if the text has none.
    pub answers: &'a [String],
    /// The position of the sample with the first piece of its part.
    pub first: usize,
    /// First and end byte in the context of each piece of the whole context.
    pub pieces: &'a [[u32; 2]],
    /// First and end piece of each part that the context is read in.
    pub parts: &'a [[u32; 2]],
    /// Which of the parts this sample holds.
    pub part: usize,
}

impl Window<'_> {
    /// The piece of the context at a position of the sample; none at those of the question and of marks.
    fn piece(&self, position: usize) -> Option<usize> {
        let [start, end] = self.parts[self.part];
        let piece = start as usize + position.checked_sub(self.first)?;
        (piece < end as usize).then_some(piece)
    }

    /// The bytes of the context at a position of the sample; none at those of the question and of marks.
    pub fn place(&self, position: usize) -> Option<Range<usize>> {
        let [start, end] = self.pieces[self.piece(position)?];
        Some(start as usize..end as usize)
    }

    /// Whether no other part has more context around what is at this position of the sample. An answer that starts there
    /// is taken from this sample alone. As BERT's `run_squad` has it: the smaller of the pieces to the left and to the
    /// right counts, and then the length of the part.
    pub fn is_best(&self, position: usize) -> bool {
        let Some(piece) = self.piece(position) else {
            return false;
        };
        let context = |[start, end]: [u32; 2]| {
            let (start, last) = (start as usize, end as usize - 1);
            let around = piece.checked_sub(start)?.min(last.checked_sub(piece)?);
            Some(100 * around + (last + 1 - start))
        };
        let mut best = (None, 0);
        for (part, &range) in self.parts.iter().enumerate() {
            let context = context(range);
            if context > best.0 {
                best = (context, part);
            }
        }
        best.1 == self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_with_most_context_on_both_sides_is_best() {
        let pieces: Vec<[u32; 2]> = (0..7).map(|i| [2 * i, 2 * i + 1]).collect();
        let window = |part| Window {
            question: 0,
            id: "q",
            asked: "?",
            context: "a b c d e f g",
            answers: &[],
            first: 3,
            pieces: &pieces,
            parts: &[[0, 4], [2, 6], [4, 7]],
            part,
        };
        // Pieces 2 and 3 are in the first two parts: min(2, 1) against min(0, 3), then min(3, 0) against min(1, 2).
        assert!(window(0).is_best(3 + 2) && !window(1).is_best(3));
        assert!(!window(0).is_best(3 + 3) && window(1).is_best(3 + 1));
        // Piece 4: min(2, 1) against min(0, 2).
        assert!(window(1).is_best(3 + 2) && !window(2).is_best(3));
        assert_eq!(window(2).place(5), Some(12..13));
        assert_eq!((window(2).place(2), window(2).place(6)), (None, None));
    }
}
