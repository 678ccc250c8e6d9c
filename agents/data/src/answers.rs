//! Answers taken from where a model says that they start and end.

use std::ops::Range;

use crate::Window;

/// How answers are taken from a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Answers of a question that are kept, and starts and ends of a sample that are looked at, the likeliest ones. Default
    /// 20.
    pub n_best: usize,
    /// Pieces of the longest answer. Default 30.
    pub longest: usize,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            n_best: 20,
            longest: 30,
        }
    }
}

/// An answer that a model gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its bytes in the context.
    pub place: Range<usize>,
    /// Natural logarithm of the probability of its start and its end, in its sample.
    pub log: f64,
    /// Its share among the answers of the question that were kept, and "no answer" if that was possible.
    pub share: f64,
}

/// The answers of one question, gathered from all samples of it.
///
/// # Reference
/// `run_squad.py` of Devlin et al., *BERT*, 2019: the likeliest starts and ends are paired where the end is not before the
/// start, the answer is not too long, and no other sample has more context around its start; of equal texts the likeliest
/// stands. "No answer" is as likely as in the sample where it is least likely.
///
/// Deviations: samples are compared by their log-probabilities instead of unnormalised scores; an answer is the part of
/// the context between the first and the last byte of its pieces, which the original looks for again in the words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    limits: AnswerLimits,
    best: Vec<Answer>,
    /// Log-probability of "no answer"; of no sample infinite.
    null: Option<f64>,
}

impl Candidates {
    /// Of no sample yet.
    pub fn new(limits: AnswerLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Adds what a model says of one sample: a row of two log-probabilities a position.
    ///
    /// # Panics
    /// If there are no rows, or half a row.
    pub fn add(&mut self, window: &Window<'_>, rows: &[f32]) {
        assert!(
            !rows.is_empty() && rows.len().is_multiple_of(2),
            "two logs a position"
        );
        let log = |position: usize, end: usize| f64::from(rows[2 * position + end]);
        let null = log(0, 0) + log(0, 1);
        self.null = Some(self.null.map_or(null, |known| known.min(null)));
        let likeliest = |end: usize| {
            let inside = |&position: &usize| window.place(position).is_some();
            let mut order: Vec<usize> = (0..rows.len() / 2).filter(inside).collect();
            order.sort_by(|&a, &b| log(b, end).total_cmp(&log(a, end))); // stable
            order.truncate(self.limits.n_best);
            order
        };
        let (starts, ends) = (likeliest(0), likeliest(1));
        for start in starts.into_iter().filter(|&start| window.is_best(start)) {
            for &end in &ends {
                if !(start..start + self.limits.longest).contains(&end) {
                    continue;
                }
                let [Some(first), Some(last)] = [start, end].map(|at| window.place(at)) else {
                    continue;
                };
                self.best.push(Answer {
                    place: first.start..last.end,
                    log: log(start, 0) + log(end, 1),
                    share: 0.0,
                });
            }
        }
        self.best.sort_by(|a, b| b.log.total_cmp(&a.log));
        let mut texts: Vec<&str> = Vec::new();
        let n_best = self.limits.n_best;
        self.best.retain(|answer| {
            let text = window.context.get(answer.place.clone()).unwrap_or("");
            let keep = texts.len() < n_best && !text.is_empty() && !texts.contains(&text);
            if keep {
                texts.push(text);
            }
            keep
        });
    }

    /// The answers, the likeliest first; shares count "no answer" in if it is `possible`.
    pub fn answers(&self, possible: bool) -> Vec<Answer> {
        let mut answers = self.best.clone();
        let null = self.null.filter(|_| possible).unwrap_or(f64::NEG_INFINITY);
        let top = answers.first().map_or(null, |best| best.log.max(null));
        let mut sum = (null - top).exp();
        answers
            .iter()
            .for_each(|answer| sum += (answer.log - top).exp());
        for answer in &mut answers {
            answer.share = (answer.log - top).exp() / sum;
        }
        answers
    }

    /// By how much "no answer" is likelier than the best answer, as a difference of logarithms.
    pub fn margin(&self) -> f64 {
        let null = self.null.unwrap_or(f64::NEG_INFINITY);
        let best = self.best.first().map_or(f64::NEG_INFINITY, |best| best.log);
        // Of a question without any sample nothing is known.
        if null == best { 0.0 } else { null - best }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [[u32; 2]; 4] = [[0, 1], [2, 3], [4, 5], [6, 7]];

    fn window<'a>(parts: &'a [[u32; 2]], part: usize) -> Window<'a> {
        Window {
            question: 0,
            id: "q",
            asked: "?",
            context: "a b a d",
            answers: &[],
            first: 2,
            pieces: &PIECES,
            parts,
            part,
        }
    }

    /// Log-probabilities of starts and ends of six positions.
    fn rows(starts: [f32; 6], ends: [f32; 6]) -> Vec<f32> {
        let pairs = starts.into_iter().zip(ends);
        pairs.flat_map(|(s, e)| [s.ln(), e.ln()]).collect()
    }

    #[test]
    fn pairs_in_order_and_not_too_long_are_answers() {
        let mut candidates = Candidates::new(AnswerLimits {
            longest: 2,
            ..AnswerLimits::default()
        });
        // Position 1 is of the question: likely, but no answer.
        let rows = rows(
            [0.1, 0.3, 0.1, 0.1, 0.1, 0.3],
            [0.2, 0.3, 0.3, 0.1, 0.05, 0.05],
        );
        candidates.add(&window(&[[0, 4]], 0), &rows);
        let places: Vec<_> = candidates
            .answers(false)
            .into_iter()
            .map(|a| a.place)
            .collect();
        // "a" is there once, although it stands twice; ends before starts and three pieces are not.
        assert_eq!(places[0], 0..1);
        assert_eq!(places.len(), 6);
        assert!(!places.contains(&(4..5)) && !places.contains(&(0..5)));
        let expected = (0.1_f64 * 0.2).ln() - (0.1_f64 * 0.3).ln();
        assert!((candidates.margin() - expected).abs() < 1e-6);
    }

    #[test]
    fn answers_are_joined_over_parts_and_null_is_that_of_the_least() {
        let parts = [[0, 3], [1, 4]];
        let mut candidates = Candidates::new(AnswerLimits::default());
        let even = [1.0 / 6.0; 6];
        candidates.add(
            &window(&parts, 0),
            &rows([0.5, 0.1, 0.1, 0.1, 0.1, 0.1], even),
        );
        candidates.add(
            &window(&parts, 1),
            &rows([0.1, 0.1, 0.1, 0.1, 0.6, 0.0], even),
        );
        // The second part holds pieces 1 to 3 at positions 2 to 4.
        let best = candidates.answers(true)[0].clone();
        assert_eq!(best.place, 6..7);
        let null = (0.1_f64 / 6.0).ln();
        assert!((candidates.margin() - (null - best.log)).abs() < 1e-6);
        let shares: f64 = candidates.answers(false).iter().map(|a| a.share).sum();
        assert!((shares - 1.0).abs() < 1e-12);
    }
}
