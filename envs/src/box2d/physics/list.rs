//! A list with room for all contacts that there can be, so that nothing is allocated.

use std::ops::{Deref, DerefMut};

use super::{BODIES, EDGES};

/// Up to one item for each pair of a body and an edge.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List<T> {
    items: [[T; EDGES]; BODIES],
    len: usize,
}

impl<T: Copy> List<T> {
    /// # Panics
    /// If the list is full.
    pub(super) fn push(&mut self, item: T) {
        self.items.as_flattened_mut()[self.len] = item;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, i: usize) -> T {
        let item = self[i];
        self.copy_within(i + 1.., i);
        self.len -= 1;
        item
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }
}

impl<T> Deref for List<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items.as_flattened()[..self.len]
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items.as_flattened_mut()[..self.len]
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_closes_the_gap_and_what_is_gone_does_not_count() {
        let mut list = List::default();
        for item in [1, 2, 3] {
            list.push(item);
        }
        assert_eq!(list.remove(1), 2);
        assert_eq!(*list, [1, 3]);
        list.clear();
        assert_eq!(list, List::default());
        for item in 0..BODIES * EDGES {
            list.push(item);
        }
        assert_eq!(list.len(), BODIES * EDGES);
    }
}
