//! Spaces: which observations and actions exist.

use std::fmt;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::array::{Array, Kind};
use crate::seed::Rng;

/// The set of possible observations or actions of one environment.
///
/// A row of an [`Array`] holds one element of a space: one `i32` for `Discrete`, one `i32` per
/// dimension for `MultiDiscrete`, and `shape.iter().product()` scalars for `Box`.
///
/// *Design.* Three flat spaces and no dictionaries: flat rows are what networks and replay want.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Space {
    /// `0..n`.
    Discrete(usize),
    /// A dense array; every entry lies in `low..=high` (infinities allowed).
    Box {
        /// Shape of one element, without a batch dimension.
        shape: Vec<usize>,
        /// Lowest entry.
        low: f32,
        /// Highest entry.
        high: f32,
    },
    /// `0..n` per dimension.
    MultiDiscrete(Vec<usize>),
}

impl Space {
    /// A box without bounds.
    pub fn unbounded(shape: &[usize]) -> Self {
        Self::Box {
            shape: shape.to_vec(),
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
        }
    }

    /// Scalars in one element: the length of a row.
    #[expect(clippy::len_without_is_empty, reason = "a space is never empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::Discrete(_) => 1,
            Self::Box { shape, .. } => shape.iter().product(),
            Self::MultiDiscrete(sizes) => sizes.len(),
        }
    }

    /// Shape of one element, without a batch dimension.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Discrete(_) => vec![1],
            Self::Box { shape, .. } => shape.clone(),
            Self::MultiDiscrete(sizes) => vec![sizes.len()],
        }
    }

    /// Number of elements of a `Discrete` space.
    pub fn discrete(&self) -> Option<usize> {
        match self {
            Self::Discrete(n) => Some(*n),
            _ => None,
        }
    }

    /// The space of `k` successive elements, oldest first: what a frame stack of `k` observes.
    pub fn stacked(&self, k: usize) -> Self {
        if k == 1 {
            return self.clone();
        }
        match self {
            Self::Discrete(n) => Self::MultiDiscrete(vec![*n; k]),
            Self::Box { shape, low, high } => Self::Box {
                shape: [&[k], shape.as_slice()].concat(),
                low: *low,
                high: *high,
            },
            Self::MultiDiscrete(sizes) => Self::MultiDiscrete(sizes.repeat(k)),
        }
    }

    /// Whether row `row` of `array` is an element of this space.
    pub fn contains(&self, array: &Array, row: usize) -> bool {
        if array.cols() != self.len() {
            return false;
        }
        match (self, array.kind()) {
            (Self::Discrete(n), Kind::I32) => in_range(array.row(row)[0], *n),
            (Self::MultiDiscrete(sizes), Kind::I32) => {
                let row = array.row::<i32>(row);
                row.iter().zip(sizes).all(|(&x, &n)| in_range(x, n))
            }
            (Self::Box { low, high, .. }, kind) => {
                let inside = |x: f32| x >= *low && x <= *high;
                match kind {
                    Kind::F32 => array.row(row).iter().copied().all(inside),
                    Kind::U8 => array.row::<u8>(row).iter().all(|&x| inside(f32::from(x))),
                    Kind::I32 => array.row::<i32>(row).iter().all(|&x| inside(x as f32)),
                }
            }
            _ => false,
        }
    }

    /// Writes a uniformly drawn element into row `row`; unbounded box entries are drawn from `[-1, 1)`.
    ///
    /// # Panics
    /// If `array` has another row length or scalar than this space.
    pub fn sample(&self, rng: &mut Rng, array: &mut Array, row: usize) {
        match self {
            Self::Discrete(n) => array.row_mut::<i32>(row)[0] = rng.random_range(0..*n as i32),
            Self::MultiDiscrete(sizes) => {
                for (x, n) in array.row_mut::<i32>(row).iter_mut().zip(sizes) {
                    *x = rng.random_range(0..*n as i32);
                }
            }
            Self::Box { low, high, .. } => {
                let (low, high) = if low.is_finite() && high.is_finite() {
                    (*low, *high)
                } else {
                    (-1.0, 1.0)
                };
                match array.kind() {
                    Kind::F32 => array
                        .row_mut::<f32>(row)
                        .iter_mut()
                        .for_each(|x| *x = low + (high - low) * rng.random::<f32>()),
                    Kind::U8 => array
                        .row_mut::<u8>(row)
                        .iter_mut()
                        .for_each(|x| *x = rng.random_range(low as u8..=high as u8)),
                    Kind::I32 => array
                        .row_mut::<i32>(row)
                        .iter_mut()
                        .for_each(|x| *x = rng.random_range(low as i32..=high as i32)),
                }
            }
        }
    }
}

fn in_range(x: i32, n: usize) -> bool {
    usize::try_from(x).is_ok_and(|x| x < n)
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discrete(n) => write!(f, "discrete({n})"),
            Self::Box { shape, low, high } => {
                let shape: Vec<_> = shape.iter().map(ToString::to_string).collect();
                write!(f, "box({}; {low}..{high})", shape.join("x"))
            }
            Self::MultiDiscrete(sizes) => {
                let sizes: Vec<_> = sizes.iter().map(ToString::to_string).collect();
                write!(f, "multi-discrete({})", sizes.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seeds;

    #[test]
    fn samples_lie_inside_and_outsiders_are_seen() {
        let mut rng = Seeds::new(1).stream("test", 0);
        let spaces = [Space::Discrete(3), Space::MultiDiscrete(vec![2, 5])];
        for space in spaces {
            let mut array = Array::zeros::<i32>(1, space.len());
            for _ in 0..100 {
                space.sample(&mut rng, &mut array, 0);
                assert!(space.contains(&array, 0));
            }
            array.row_mut::<i32>(0)[0] = 9;
            assert!(!space.contains(&array, 0));
            array.row_mut::<i32>(0)[0] = -1;
            assert!(!space.contains(&array, 0));
        }
        let space = Space::Box {
            shape: vec![2, 2],
            low: -1.0,
            high: 1.0,
        };
        let mut array = Array::zeros::<f32>(1, 4);
        space.sample(&mut rng, &mut array, 0);
        assert!(space.contains(&array, 0));
        array.row_mut::<f32>(0)[3] = f32::NAN;
        assert!(!space.contains(&array, 0), "NaN is in no box");
    }

    #[test]
    fn stacking_puts_the_frames_in_front() {
        assert_eq!(Space::unbounded(&[2, 3]).stacked(4).shape(), [4, 2, 3]);
        assert_eq!(
            Space::Discrete(7).stacked(2),
            Space::MultiDiscrete(vec![7, 7])
        );
        assert_eq!(Space::Discrete(7).stacked(1), Space::Discrete(7));
    }
}
