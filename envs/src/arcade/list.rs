use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// At most `N` items in a row, kept in place: a vector that never allocates.
#[derive(Clone, Copy)]
pub struct List<T, const N: usize> {
    len: usize,
    items: [T; N],
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// Appends `item`; a full list stays as it is.
    #[inline]
    pub fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = item;
            self.len += 1;
        }
    }

    /// Takes out item `index`; those behind it move up.
    ///
    /// # Panics
    /// If there is no such item.
    #[inline]
    pub fn remove(&mut self, index: usize) {
        self.copy_within(index + 1.., index);
        self.len -= 1;
    }
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self {
            len: 0,
            items: [T::default(); N],
        }
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

impl<T, const N: usize> DerefMut for List<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.len]
    }
}

impl<T: PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Copy + Default, const N: usize> FromIterator<T> for List<T, N> {
    /// The first `N` items.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::default();
        items.into_iter().for_each(|item| list.push(item));
        list
    }
}

impl<T: Serialize, const N: usize> Serialize for List<T, N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de, T, const N: usize> Deserialize<'de> for List<T, N>
where
    T: Copy + Default + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Items(Self::default()))
    }
}

struct Items<T, const N: usize>(List<T, N>);

impl<'de, T, const N: usize> Visitor<'de> for Items<T, N>
where
    T: Copy + Default + Deserialize<'de>,
{
    type Value = List<T, N>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {N} items")
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<List<T, N>, A::Error> {
        while let Some(item) = seq.next_element()? {
            if self.0.len == N {
                return Err(A::Error::invalid_length(N + 1, &self));
            }
            self.0.push(item);
        }
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Three = List<u8, 3>;

    #[test]
    fn a_full_list_stays_as_it_is() {
        assert_eq!(*Three::from_iter([1, 2, 3, 4]), [1, 2, 3]);
    }

    #[test]
    fn removing_keeps_the_order_and_what_was_removed_does_not_count() {
        let mut list = Three::from_iter([1, 2, 3]);
        list.remove(0);
        assert_eq!(*list, [2, 3]);
        list.remove(1);
        assert_eq!(list, Three::from_iter([2]));
    }

    #[test]
    fn too_many_items_are_refused() {
        let read = |text: &str| serde_json::from_str::<Three>(text);
        assert_eq!(*read("[7, 8]").unwrap(), [7, 8]);
        let error = read("[1, 2, 3, 4]").unwrap_err().to_string();
        assert!(error.contains("expected at most 3 items"), "{error}");
    }
}
