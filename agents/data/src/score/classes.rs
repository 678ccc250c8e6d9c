//! Scores of predicted classes.

use serde::{Deserialize, Serialize};

use crate::IGNORED;

/// Counts of true and predicted classes, and the scores that follow from them.
///
/// A quotient without denominator is 0: the precision of a class that was never predicted, the recall of one that never
/// occurs (scikit-learn's `zero_division=0`).
///
/// # Examples
/// ```
/// use thorndike_data::score::{Average, Confusion};
/// let confusion = Confusion::of(2, &[0, 0, 1, 1], &[0, 1, 1, 1]);
/// assert_eq!(confusion.accuracy(), 0.75);
/// assert_eq!(confusion.class(1).recall, 1.0);
/// assert_eq!(confusion.class(1).precision, 2.0 / 3.0);
/// assert!(confusion.average(Average::Macro).f1 < 0.75);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    classes: usize,
    /// `[true, predicted]`.
    counts: Vec<u64>,
}

/// How well one class is found, or all together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Share of what was predicted that is right.
    pub precision: f64,
    /// Share of what there is that was found.
    pub recall: f64,
    /// Harmonic mean of both; the same as the Dice coefficient.
    pub f1: f64,
    /// How many there are.
    pub support: u64,
}

/// How classes are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Average {
    /// Every class counts the same; those that neither occur nor were predicted are left out.
    Macro,
    /// Every sample counts the same. All scores are then the accuracy.
    Micro,
    /// Every class counts as often as it occurs.
    Weighted,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0; classes * classes],
        }
    }

    /// Of these pairs; see [`add`](Self::add).
    pub fn of(classes: usize, truth: &[i32], predicted: &[i32]) -> Self {
        let mut confusion = Self::new(classes);
        confusion.add(truth, predicted);
        confusion
    }

    /// Counts pairs of a true and a predicted class, unless the true one is [`IGNORED`].
    ///
    /// # Panics
    /// If there are not as many of both, or another class is not in `0..classes`.
    pub fn add(&mut self, truth: &[i32], predicted: &[i32]) {
        assert_eq!(truth.len(), predicted.len(), "true and predicted classes");
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            if truth != IGNORED {
                self.count(truth as usize, predicted as usize);
            }
        }
    }

    /// Counts one pair.
    ///
    /// # Panics
    /// If one is not in `0..classes`.
    pub fn count(&mut self, truth: usize, predicted: usize) {
        let classes = self.classes;
        assert!(
            truth < classes && predicted < classes,
            "classes {truth} and {predicted} of {classes}"
        );
        self.counts[truth * classes + predicted] += 1;
    }

    /// Adds what another one has counted.
    ///
    /// # Panics
    /// If it has other classes.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.classes, other.classes, "classes of both");
        let pairs = self.counts.iter_mut().zip(&other.counts);
        pairs.for_each(|(count, more)| *count += more);
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The confusion matrix, `[classes, classes]`: a row a true class, a column a predicted one.
    pub fn matrix(&self) -> &[u64] {
        &self.counts
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many were predicted right.
    pub fn correct(&self) -> u64 {
        self.counts.iter().step_by(self.classes + 1).sum()
    }

    /// Share that was predicted right.
    pub fn accuracy(&self) -> f64 {
        self.correct() as f64 / self.total() as f64
    }

    /// How well class `class` is found.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn class(&self, class: usize) -> ClassScore {
        let Outcomes {
            found,
            occurs,
            predicted,
        } = self.outcomes(class);
        ClassScore {
            precision: quotient(found, predicted),
            recall: quotient(found, occurs),
            f1: quotient(2 * found, occurs + predicted),
            support: occurs,
        }
    }

    /// How well each class is found.
    pub fn per_class(&self) -> Vec<ClassScore> {
        (0..self.classes).map(|class| self.class(class)).collect()
    }

    /// How well all classes are found; its support is that of all.
    pub fn average(&self, average: Average) -> ClassScore {
        let score = |of: &dyn Fn(ClassScore) -> f64| match average {
            Average::Micro => self.accuracy(),
            Average::Macro => self.mean(|class| of(self.class(class))),
            Average::Weighted => {
                let weighed = |score: ClassScore| of(score) * score.support as f64;
                let sum: f64 = (0..self.classes).map(|c| weighed(self.class(c))).sum();
                sum / self.total() as f64
            }
        };
        ClassScore {
            precision: score(&|class| class.precision),
            recall: score(&|class| class.recall),
            f1: score(&|class| class.f1),
            support: self.total(),
        }
    }

    /// Intersection over union of class `class` (Jaccard index).
    ///
    /// # Panics
    /// If there is no such class.
    pub fn iou(&self, class: usize) -> f64 {
        let of = self.outcomes(class);
        quotient(of.found, of.occurs + of.predicted - of.found)
    }

    /// Mean intersection over union of the classes that occur or were predicted.
    pub fn mean_iou(&self) -> f64 {
        self.mean(|class| self.iou(class))
    }

    /// Mean Dice coefficient of the classes that occur or were predicted: the macro F1.
    pub fn mean_dice(&self) -> f64 {
        self.mean(|class| self.class(class).f1)
    }

    /// Mean over the classes that occur or were predicted.
    fn mean(&self, score: impl Fn(usize) -> f64) -> f64 {
        let seen = (0..self.classes).filter(|&class| {
            let of = self.outcomes(class);
            of.occurs + of.predicted > 0
        });
        seen.map(score).collect::<super::Mean>().value()
    }

    fn outcomes(&self, class: usize) -> Outcomes {
        let classes = self.classes;
        assert!(class < classes, "class {class} of {classes}");
        Outcomes {
            found: self.counts[class * classes + class],
            occurs: self.counts[class * classes..][..classes].iter().sum(),
            predicted: self.counts[class..].iter().step_by(classes).sum(),
        }
    }
}

/// What became of one class.
struct Outcomes {
    found: u64,
    occurs: u64,
    predicted: u64,
}

pub(super) fn quotient(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 / whole as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_not_counted() {
        let all = Confusion::of(3, &[0, 2, IGNORED, 1], &[0, 1, 2, 1]);
        assert_eq!(all.matrix(), [1, 0, 0, 0, 1, 0, 0, 1, 0]);
        assert_eq!((all.correct(), all.total()), (2, 3));
    }

    #[test]
    fn parts_add_up() {
        let mut sum = Confusion::of(2, &[0, 1], &[0, 0]);
        sum.merge(&Confusion::of(2, &[1, 1], &[1, 0]));
        assert_eq!(sum, Confusion::of(2, &[0, 1, 1, 1], &[0, 0, 1, 0]));
    }

    #[test]
    fn a_class_that_is_not_there_scores_nothing_and_is_not_averaged() {
        let confusion = Confusion::of(3, &[0, 1], &[0, 1]);
        assert_eq!(confusion.class(2).f1, 0.0);
        assert_eq!(confusion.iou(2), 0.0);
        assert_eq!(confusion.average(Average::Macro).f1, 1.0);
        assert_eq!(confusion.mean_iou(), 1.0);
    }

    #[test]
    fn of_nothing_there_is_no_score() {
        let nothing = Confusion::new(2);
        assert!(nothing.accuracy().is_nan() && nothing.mean_iou().is_nan());
    }
}
