//! Spaces: which observations and actions exist.

use std::fmt;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::array::{Array, Element, Kind};
use crate::seed::Rng;

/// The set of possible observations or actions of one environment.
///
/// A row of an [`Array`] holds one element of a space: one `i32` for `Discrete`, one `i32` per
/// dimension for `MultiDiscrete`, `shape.iter().product()` scalars for `Box`, and the rows of its parts
/// end to end for `Tuple`. Small integers may also stand in rows of `u8`, such as words beside pixels.
///
/// *Design.* Flat spaces and no dictionaries: flat rows are what networks and replay want. An observation
/// of two kinds is a `Tuple`: one row still, whose parts a network finds by their place.
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
    /// One element of each space, in this order.
    Tuple(Vec<Space>),
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
            Self::Tuple(parts) => parts.iter().map(Self::len).sum(),
        }
    }

    /// Shape of one element, without a batch dimension.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Discrete(_) => vec![1],
            Self::Box { shape, .. } => shape.clone(),
            Self::MultiDiscrete(_) | Self::Tuple(_) => vec![self.len()],
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
            Self::Tuple(_) => Self::Tuple(vec![self.clone(); k]),
        }
    }

    /// Whether row `row` of `array` is an element of this space.
    pub fn contains(&self, array: &Array, row: usize) -> bool {
        self.check(array, row).is_ok()
    }

    /// As [`contains`](Space::contains), and says what is wrong.
    ///
    /// # Errors
    /// One line with the first item that does not fit and its value.
    pub fn check(&self, array: &Array, row: usize) -> Result<(), String> {
        if array.cols() != self.len() {
            return Err(format!("it has {} items, not {}", array.cols(), self.len()));
        }
        let outsider = match array.kind() {
            Kind::F32 => self.outsider(array.row::<f32>(row)),
            Kind::U8 => self.outsider(array.row::<u8>(row)),
            Kind::I32 => self.outsider(array.row::<i32>(row)),
        };
        match outsider {
            Some((item, value)) => Err(format!("item {item} is {value}")),
            None => Ok(()),
        }
    }

    /// The first item of `row`, of this space's length, that is not as this space has it, and its value.
    fn outsider<T: Element>(&self, row: &[T]) -> Option<(usize, f64)> {
        // Counts are whole numbers: a float is none.
        let in_range = |x: T, n: usize| T::KIND != Kind::F32 && (0.0..n as f64).contains(&x.into());
        let item = match self {
            Self::Discrete(n) => (!in_range(row[0], *n)).then_some(0),
            Self::MultiDiscrete(sizes) => {
                let mut items = row.iter().zip(sizes);
                items.position(|(&x, &n)| !in_range(x, n))
            }
            Self::Box { low, high, .. } => {
                let range = f64::from(*low)..=f64::from(*high);
                row.iter().position(|&x| !range.contains(&x.into()))
            }
            Self::Tuple(parts) => {
                let mut start = 0;
                parts.iter().find_map(|part| {
                    let items = start..start + part.len();
                    start = items.end;
                    let (item, _) = part.outsider(&row[items.clone()])?;
                    Some(items.start + item)
                })
            }
        };
        item.map(|item| (item, row[item].into()))
    }

    /// Writes a uniformly drawn element into row `row`; unbounded box entries are drawn from `[-1, 1)`.
    ///
    /// # Panics
    /// If `array` has another row length or scalar than this space.
    pub fn sample(&self, rng: &mut Rng, array: &mut Array, row: usize) {
        match array.kind() {
            Kind::F32 => self.draw(rng, array.row_mut::<f32>(row), &|x| x as f32),
            Kind::U8 => self.draw(rng, array.row_mut::<u8>(row), &|x| x as u8),
            Kind::I32 => self.draw(rng, array.row_mut::<i32>(row), &|x| x as i32),
        }
    }

    /// As [`sample`](Space::sample), among the elements of a `Discrete` space that `mask` allows; any other space has
    /// no mask.
    ///
    /// # Panics
    /// As [`sample`](Space::sample); or if the mask of a `Discrete` space has another length or allows nothing.
    pub fn sample_allowed(&self, mask: &[bool], rng: &mut Rng, array: &mut Array, row: usize) {
        let Self::Discrete(n) = self else {
            return self.sample(rng, array, row);
        };
        assert_eq!(mask.len(), *n, "mask of another space");
        let allowed = mask.iter().filter(|&&allowed| allowed).count();
        let drawn = rng.random_range(0..allowed as u32) as usize;
        let mut elements = (0..*n).filter(|&element| mask[element]);
        array.row_mut::<i32>(row)[0] = elements.nth(drawn).expect("one of them") as i32;
    }

    fn draw<T: Element>(&self, rng: &mut Rng, row: &mut [T], scalar: &dyn Fn(f64) -> T) {
        assert_eq!(row.len(), self.len(), "row of another space");
        match self {
            Self::Discrete(n) => row[0] = scalar(f64::from(rng.random_range(0..*n as u32))),
            Self::MultiDiscrete(sizes) => {
                for (x, n) in row.iter_mut().zip(sizes) {
                    *x = scalar(f64::from(rng.random_range(0..*n as u32)));
                }
            }
            Self::Box { low, high, .. } => {
                let (low, high) = if low.is_finite() && high.is_finite() {
                    (*low, *high)
                } else {
                    (-1.0, 1.0)
                };
                for x in row {
                    *x = scalar(match T::KIND {
                        Kind::F32 => f64::from(low + (high - low) * rng.random::<f32>()),
                        _ => f64::from(rng.random_range(low as i32..=high as i32)),
                    });
                }
            }
            Self::Tuple(parts) => {
                let mut rest = row;
                for part in parts {
                    let (row, after) = rest.split_at_mut(part.len());
                    rest = after;
                    part.draw(rng, row, scalar);
                }
            }
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discrete(n) => write!(f, "discrete({n})"),
            Self::Box { shape, low, high } => {
                let shape: Vec<_> = shape.iter().map(ToString::to_string).collect();
                write!(f, "box({}; {low}..{high})", shape.join("x"))
            }
            Self::MultiDiscrete(sizes)
                if sizes.len() > 2 && sizes.iter().all(|n| *n == sizes[0]) =>
            {
                write!(f, "multi-discrete({}, {} times)", sizes[0], sizes.len())
            }
            Self::MultiDiscrete(sizes) => {
                let sizes: Vec<_> = sizes.iter().map(ToString::to_string).collect();
                write!(f, "multi-discrete({})", sizes.join(", "))
            }
            Self::Tuple(parts) => {
                let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
                write!(f, "{}", parts.join(" + "))
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
    fn only_what_is_allowed_is_drawn_and_a_full_mask_changes_no_draw() {
        let (mut rng, space) = (Seeds::new(1).stream("test", 0), Space::Discrete(4));
        let mut array = Array::zeros::<i32>(1, 1);
        let mut seen = [0_u32; 4];
        for _ in 0..300 {
            space.sample_allowed(&[true, false, false, true], &mut rng, &mut array, 0);
            seen[array.row::<i32>(0)[0] as usize] += 1;
        }
        // 150 of 300 each, give or take six standard deviations of 8.7.
        assert!(
            seen[0].abs_diff(150) < 52 && seen[0] + seen[3] == 300,
            "{seen:?}"
        );
        let (mut rng, mut copy) = (rng.clone(), rng);
        let mut other = array.clone();
        for _ in 0..20 {
            space.sample_allowed(&[true; 4], &mut rng, &mut array, 0);
            space.sample(&mut copy, &mut other, 0);
            assert_eq!(array, other);
        }
    }

    #[test]
    fn parts_of_a_tuple_lie_end_to_end_in_one_row() {
        let pixels = Space::Box {
            shape: vec![2],
            low: 0.0,
            high: 9.0,
        };
        let space = Space::Tuple(vec![pixels, Space::MultiDiscrete(vec![4, 4, 4])]);
        assert_eq!((space.len(), space.stacked(2).len()), (5, 10));
        assert_eq!(
            space.to_string(),
            "box(2; 0..9) + multi-discrete(4, 3 times)"
        );
        let row = |items: [u8; 5]| Array::from_vec(items.to_vec(), 5);
        assert!(space.contains(&row([9, 0, 3, 3, 3]), 0));
        assert!(!space.contains(&row([9, 10, 3, 3, 3]), 0));
        assert!(!space.contains(&row([9, 0, 3, 3, 4]), 0));
        let what = space.check(&row([9, 0, 3, 3, 4]), 0).unwrap_err();
        assert_eq!(what, "item 4 is 4", "items count from the start of the row");
        let mut drawn = row([0; 5]);
        for _ in 0..100 {
            space.sample(&mut Seeds::new(2).stream("test", 0), &mut drawn, 0);
            assert!(space.contains(&drawn, 0));
        }
        let floats = Array::from_vec(vec![0.0_f32; 5], 5);
        assert!(!space.contains(&floats, 0), "words are whole numbers");
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
