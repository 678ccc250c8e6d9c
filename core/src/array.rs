//! The one container: rows of equal length in one allocation.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Which scalar an [`Array`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// 32-bit floats.
    F32,
    /// Bytes, such as pixels.
    U8,
    /// 32-bit integers: states, tokens, discrete actions.
    I32,
}

impl Kind {
    /// Size of one scalar in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::U8 => 1,
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
    impl Sealed for i32 {}
}

/// A scalar that an [`Array`] can hold: `f32`, `u8` or `i32`.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialOrd + Into<f64> + std::fmt::Debug + Send + Sync + 'static
{
    /// The scalar's name.
    const KIND: Kind;
    #[doc(hidden)]
    fn slice(data: &Data) -> Option<&[Self]>;
    #[doc(hidden)]
    fn slice_mut(data: &mut Data) -> Option<&mut Vec<Self>>;
    #[doc(hidden)]
    fn data(values: Vec<Self>) -> Data;
}

#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Data {
    F32(Vec<f32>),
    U8(Vec<u8>),
    I32(Vec<i32>),
}

macro_rules! element {
    ($scalar:ty, $variant:ident) => {
        impl Element for $scalar {
            const KIND: Kind = Kind::$variant;
            #[inline]
            fn slice(data: &Data) -> Option<&[Self]> {
                match data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }
            #[inline]
            fn slice_mut(data: &mut Data) -> Option<&mut Vec<Self>> {
                match data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }
            fn data(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }
        }
    };
}
element!(f32, F32);
element!(u8, U8);
element!(i32, I32);

/// `rows x cols` scalars in row order; `f32`, `u8` or `i32`.
///
/// Typed access panics if the scalar is another one: who reads an array knows its space, and that
/// was checked when the program was put together.
///
/// ```
/// use thorndike_core::Array;
/// let mut array = Array::zeros::<f32>(2, 3);
/// array.row_mut::<f32>(1)[2] = 5.0;
/// assert_eq!(array.as_slice::<f32>(), [0.0, 0.0, 0.0, 0.0, 0.0, 5.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Array {
    data: Data,
    cols: usize,
}

impl Array {
    /// An array of zeros.
    pub fn zeros<T: Element>(rows: usize, cols: usize) -> Self {
        Self {
            data: T::data(vec![T::default(); rows * cols]),
            cols,
        }
    }

    /// An array of zeros of a scalar that is known only at run time.
    pub fn zeros_of(kind: Kind, rows: usize, cols: usize) -> Self {
        match kind {
            Kind::F32 => Self::zeros::<f32>(rows, cols),
            Kind::U8 => Self::zeros::<u8>(rows, cols),
            Kind::I32 => Self::zeros::<i32>(rows, cols),
        }
    }

    /// Takes over `values`, `cols` to a row.
    ///
    /// # Panics
    /// If the length of `values` is no multiple of `cols`.
    pub fn from_vec<T: Element>(values: Vec<T>, cols: usize) -> Self {
        assert!(
            cols > 0 && values.len().is_multiple_of(cols),
            "values do not fill rows of {cols}"
        );
        Self {
            data: T::data(values),
            cols,
        }
    }

    /// Which scalar it holds.
    pub fn kind(&self) -> Kind {
        match self.data {
            Data::F32(_) => Kind::F32,
            Data::U8(_) => Kind::U8,
            Data::I32(_) => Kind::I32,
        }
    }

    /// Length of a row.
    #[inline]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        let len = match &self.data {
            Data::F32(v) => v.len(),
            Data::U8(v) => v.len(),
            Data::I32(v) => v.len(),
        };
        len.checked_div(self.cols).unwrap_or(0)
    }

    /// All scalars in row order.
    ///
    /// # Panics
    /// If the array holds another scalar than `T`.
    #[inline]
    pub fn as_slice<T: Element>(&self) -> &[T] {
        match T::slice(&self.data) {
            Some(values) => values,
            None => wrong_kind(T::KIND, self.kind()),
        }
    }

    /// All scalars in row order, to be written.
    ///
    /// # Panics
    /// If the array holds another scalar than `T`.
    #[inline]
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        let kind = self.kind();
        match T::slice_mut(&mut self.data) {
            Some(values) => values,
            None => wrong_kind(T::KIND, kind),
        }
    }

    /// One row.
    ///
    /// # Panics
    /// If there is no such row, or the array holds another scalar than `T`.
    #[inline]
    pub fn row<T: Element>(&self, row: usize) -> &[T] {
        &self.as_slice::<T>()[row * self.cols..][..self.cols]
    }

    /// One row, to be written.
    ///
    /// # Panics
    /// If there is no such row, or the array holds another scalar than `T`.
    #[inline]
    pub fn row_mut<T: Element>(&mut self, row: usize) -> &mut [T] {
        let cols = self.cols;
        &mut self.as_mut_slice::<T>()[row * cols..][..cols]
    }

    /// A stretch of every row.
    ///
    /// # Panics
    /// If rows are not as long.
    pub fn columns(&self, range: Range<usize>) -> Columns<'_> {
        assert!(
            range.start <= range.end && range.end <= self.cols,
            "columns {range:?} of {}",
            self.cols
        );
        Columns {
            array: self,
            first: range.start,
            len: range.len(),
        }
    }

    /// Copies row `from_row` of `from` into row `row`.
    ///
    /// # Panics
    /// If scalars or row lengths differ or a row does not exist.
    pub fn copy_row(&mut self, row: usize, from: &Array, from_row: usize) {
        match &from.data {
            Data::F32(_) => self.row_mut::<f32>(row).copy_from_slice(from.row(from_row)),
            Data::U8(_) => self.row_mut::<u8>(row).copy_from_slice(from.row(from_row)),
            Data::I32(_) => self.row_mut::<i32>(row).copy_from_slice(from.row(from_row)),
        }
    }

    /// Copies all rows of `from` into this array, from row `row` on.
    pub(crate) fn copy_rows(&mut self, row: usize, from: &Array) {
        fn copy<T: Element>(to: &mut Array, row: usize, from: &[T]) {
            let at = row * to.cols;
            to.as_mut_slice()[at..][..from.len()].copy_from_slice(from);
        }
        debug_assert_eq!(self.cols, from.cols);
        match &from.data {
            Data::F32(values) => copy(self, row, values),
            Data::U8(values) => copy(self, row, values),
            Data::I32(values) => copy(self, row, values),
        }
    }
}

/// The same stretch of every row of an [`Array`]; all of each, if it was made of a reference to one.
///
/// What reads rows takes this, so that arrays which overlap can lie in one.
///
/// ```
/// use thorndike_core::{Array, Columns};
/// let array = Array::from_vec(vec![1, 2, 3, 4, 5, 6], 3);
/// let columns = array.columns(1..3);
/// assert_eq!(columns.row::<i32>(1), [5, 6]);
/// assert!(columns.as_slice::<i32>().is_none(), "the rows do not touch");
/// assert_eq!(Columns::from(&array).as_slice::<i32>(), Some(array.as_slice()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    array: &'a Array,
    first: usize,
    len: usize,
}

impl<'a> From<&'a Array> for Columns<'a> {
    fn from(array: &'a Array) -> Self {
        array.columns(0..array.cols)
    }
}

impl<'a> Columns<'a> {
    /// Which scalar they hold.
    pub fn kind(&self) -> Kind {
        self.array.kind()
    }

    /// Length of a row.
    pub fn cols(&self) -> usize {
        self.len
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.array.rows()
    }

    /// One row.
    ///
    /// # Panics
    /// If there is no such row, or the array holds another scalar than `T`.
    #[inline]
    pub fn row<T: Element>(&self, row: usize) -> &'a [T] {
        &self.array.row(row)[self.first..][..self.len]
    }

    /// All rows in order.
    ///
    /// # Panics
    /// If the array holds another scalar than `T`.
    pub fn iter<T: Element>(&self) -> impl ExactSizeIterator<Item = &'a [T]> {
        let columns = *self;
        (0..self.rows()).map(move |row| columns.row(row))
    }

    /// All scalars in row order, if they are those of whole rows and so touch.
    ///
    /// # Panics
    /// If the array holds another scalar than `T`.
    #[inline]
    pub fn as_slice<T: Element>(&self) -> Option<&'a [T]> {
        let all = self.array.as_slice();
        (self.len == self.array.cols).then_some(all)
    }
}

#[cold]
fn wrong_kind(wanted: Kind, held: Kind) -> ! {
    panic!("array of {held:?} read as {wanted:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "array of U8 read as F32")]
    fn reading_another_scalar_panics_with_both_names() {
        Array::zeros::<u8>(1, 1).as_slice::<f32>();
    }

    #[test]
    fn rows_lie_one_after_another() {
        let mut array = Array::from_vec(vec![1, 2, 3, 4, 5, 6], 2);
        assert_eq!((array.rows(), array.cols()), (3, 2));
        assert_eq!(array.row::<i32>(1), [3, 4]);
        let other = array.clone();
        array.copy_row(0, &other, 2);
        assert_eq!(array.as_slice::<i32>(), [5, 6, 3, 4, 5, 6]);
    }
}
