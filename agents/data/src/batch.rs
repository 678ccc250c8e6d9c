//! Samples side by side.

use thorndike_core::{Array, Kind};

use crate::{IGNORED, Object, Sample, Target, Values};

/// Samples of one shape, side by side, as a model reads them.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Numbers of the samples in their data set.
    pub samples: Vec<usize>,
    /// One input a row.
    pub inputs: Array,
    /// Shape of one input.
    pub shape: Vec<usize>,
    /// Steps of each input before it was padded at its end; empty if all are as long as the shape says.
    pub lengths: Vec<u32>,
    /// What is to be learned.
    pub targets: Targets,
}

/// What is to be learned from a batch; a row a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// `i32`, `[batch, 1]`: classes; or `[batch, positions]`: classes of each position, [`IGNORED`] where none is counted.
    Classes(Array),
    /// `f32`, `[batch, classes]`.
    Shares(Array),
    /// `f32`, `[batch, numbers]`.
    Numbers(Array),
    /// The objects of each sample.
    Boxes(Vec<Vec<Object>>),
    /// `i32`, `[batch, 2]`: first and last position of the answer; 0 and 0 if there is none.
    Spans(Array),
    /// Masked words and the next sentence.
    Masked {
        /// `i32`, `[batch, steps]`: the right word; [`IGNORED`] where none is asked for.
        words: Array,
        /// `i32`, `[batch, 1]`: 0 if the second text follows the first, 1 if it does not, [`IGNORED`] if there is none.
        next: Array,
    },
    /// Not known.
    Unknown,
}

impl Batch {
    /// Puts `samples`, with their numbers, side by side. Sequences of unequal length (shapes that differ in the first
    /// dimension only) are padded at their end with zeros, their positions with [`IGNORED`].
    ///
    /// # Errors
    /// If the shapes do not go together; says which samples.
    ///
    /// # Panics
    /// If there is no sample, or they differ in kind.
    pub fn collate(samples: Vec<(usize, Sample)>) -> Result<Self, String> {
        let (first, rest) = samples.split_first().expect("a batch has samples");
        let mut shape = first.1.shape.clone();
        for (index, sample) in rest {
            let fits = sample.shape.len() == shape.len()
                && (sample.shape == shape
                    || shape.len() <= 2 && sample.shape.get(1..) == shape.get(1..));
            if !fits {
                return Err(format!(
                    "samples {} and {index} have shapes {:?} and {:?}, which do not go into one batch",
                    first.0, first.1.shape, sample.shape
                ));
            }
            shape[0] = shape[0].max(sample.shape[0]);
        }
        let lengths: Vec<u32> = samples.iter().map(|(_, s)| s.shape[0] as u32).collect();
        let whole = lengths.iter().all(|&n| n as usize == shape[0]);
        let cols = shape.iter().product();
        let rows = samples.len();
        let kind = match first.1.values {
            Values::F32(_) => Kind::F32,
            Values::U8(_) => Kind::U8,
            Values::I32(_) => Kind::I32,
        };
        let mut inputs = Array::zeros_of(kind, rows, cols);
        for (row, (_, sample)) in samples.iter().enumerate() {
            match &sample.values {
                Values::F32(v) => inputs.row_mut::<f32>(row)[..v.len()].copy_from_slice(v),
                Values::U8(v) => inputs.row_mut::<u8>(row)[..v.len()].copy_from_slice(v),
                Values::I32(v) => inputs.row_mut::<i32>(row)[..v.len()].copy_from_slice(v),
            }
        }
        Ok(Self {
            targets: Targets::collate(samples.iter().map(|(_, s)| &s.target)),
            samples: samples.iter().map(|(index, _)| *index).collect(),
            inputs,
            shape,
            lengths: if whole { Vec::new() } else { lengths },
        })
    }

    /// Number of samples.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.samples.len()
    }
}

impl Targets {
    fn collate<'a>(targets: impl ExactSizeIterator<Item = &'a Target> + Clone) -> Self {
        let numbers = |width: usize| {
            let mut values = Vec::with_capacity(targets.len() * width);
            for target in targets.clone() {
                match target {
                    Target::Shares(x) | Target::Numbers(x) => values.extend_from_slice(x),
                    Target::Class(class) => {
                        let start = values.len();
                        values.resize(start + width, 0.0);
                        values[start + class] = 1.0;
                    }
                    _ => panic!("targets of two kinds in one batch"),
                }
            }
            Array::from_vec(values, width)
        };
        let shares = targets.clone().find_map(|target| match target {
            Target::Shares(shares) => Some(shares.len()),
            _ => None,
        });
        if let Some(classes) = shares {
            return Self::Shares(numbers(classes));
        }
        match targets.clone().next().expect("a batch has samples") {
            Target::Unknown => Self::Unknown,
            Target::Numbers(first) => Self::Numbers(numbers(first.len())),
            Target::Boxes(_) => Self::Boxes(
                targets
                    .map(|target| match target {
                        Target::Boxes(objects) => objects.clone(),
                        _ => panic!("targets of two kinds in one batch"),
                    })
                    .collect(),
            ),
            Target::Span(_) => {
                let span = |target: &Target| match target {
                    Target::Span(span) => *span,
                    _ => panic!("targets of two kinds in one batch"),
                };
                Self::Spans(Array::from_vec(targets.flat_map(span).collect(), 2))
            }
            Target::Masked { .. } => Self::collate_masked(targets),
            _ => {
                let len = |target: &Target| match target {
                    Target::Positions(classes) => classes.len(),
                    _ => 1,
                };
                let cols = targets.clone().map(len).max().unwrap_or(1);
                let mut classes = Vec::with_capacity(targets.len() * cols);
                for target in targets {
                    let end = classes.len() + cols;
                    match target {
                        Target::Class(class) => classes.push(*class as i32),
                        Target::Positions(positions) => classes.extend_from_slice(positions),
                        _ => panic!("targets of two kinds in one batch"),
                    }
                    classes.resize(end, IGNORED);
                }
                Self::Classes(Array::from_vec(classes, cols))
            }
        }
    }

    fn collate_masked<'a>(targets: impl ExactSizeIterator<Item = &'a Target> + Clone) -> Self {
        let of = |target: &'a Target| match target {
            Target::Masked { words, next } => (words, next),
            _ => panic!("targets of two kinds in one batch"),
        };
        let steps = targets.clone().map(|target| of(target).0.len()).max();
        let steps = steps.expect("a batch has samples");
        let mut all = Vec::with_capacity(targets.len() * steps);
        let mut nexts = Vec::with_capacity(targets.len());
        for (words, next) in targets.map(of) {
            let end = all.len() + steps;
            all.extend_from_slice(words);
            all.resize(end, IGNORED);
            nexts.push(match next {
                Some(true) => 0,
                Some(false) => 1,
                None => IGNORED,
            });
        }
        Self::Masked {
            words: Array::from_vec(all, steps),
            next: Array::from_vec(nexts, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(steps: usize, target: Target) -> Sample {
        Sample {
            values: Values::F32((0..2 * steps).map(|x| x as f32).collect()),
            shape: vec![steps, 2],
            target,
        }
    }

    #[test]
    fn shorter_sequences_are_padded_and_their_positions_ignored() {
        let a = sequence(1, Target::Positions(vec![2]));
        let b = sequence(3, Target::Positions(vec![0, 1, 2]));
        let batch = Batch::collate(vec![(7, a), (4, b)]).unwrap();
        assert_eq!((batch.shape, batch.lengths), (vec![3, 2], vec![1, 3]));
        assert_eq!(batch.inputs.row::<f32>(0), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let classes = vec![2, IGNORED, IGNORED, 0, 1, 2];
        assert_eq!(batch.targets, Targets::Classes(Array::from_vec(classes, 3)));
        assert_eq!(batch.samples, [7, 4]);
    }

    #[test]
    fn a_class_beside_shares_is_one_whole_share() {
        let a = sequence(1, Target::Class(2));
        let b = sequence(1, Target::Shares(vec![0.25, 0.0, 0.75]));
        let batch = Batch::collate(vec![(0, a), (1, b)]).unwrap();
        let shares = vec![0.0, 0.0, 1.0, 0.25, 0.0, 0.75];
        assert_eq!(batch.targets, Targets::Shares(Array::from_vec(shares, 3)));
        assert!(batch.lengths.is_empty());
    }

    #[test]
    fn masked_words_are_padded_with_what_is_not_asked() {
        let tokens = |words: Vec<i32>, next| Sample {
            values: Values::I32(vec![5; words.len()]),
            shape: vec![words.len()],
            target: Target::Masked { words, next },
        };
        let a = tokens(vec![IGNORED, 7], None);
        let b = tokens(vec![IGNORED, 3, IGNORED], Some(false));
        let batch = Batch::collate(vec![(0, a), (1, b)]).unwrap();
        assert_eq!(batch.inputs.row::<i32>(0), [5, 5, 0]);
        let expected = Targets::Masked {
            words: Array::from_vec(vec![IGNORED, 7, IGNORED, IGNORED, 3, IGNORED], 3),
            next: Array::from_vec(vec![IGNORED, 1], 1),
        };
        assert_eq!(batch.targets, expected);
    }

    #[test]
    fn images_of_two_sizes_are_refused() {
        let image = |n: usize| Sample {
            values: Values::U8(vec![0; n * n]),
            shape: vec![1, n, n],
            target: Target::Class(0),
        };
        let error = Batch::collate(vec![(3, image(2)), (9, image(4))]).unwrap_err();
        assert_eq!(
            error,
            "samples 3 and 9 have shapes [1, 2, 2] and [1, 4, 4], which do not go into one batch"
        );
    }
}
