//! One ring of frames; stacks are gathered on read.

use crate::array::{Array, Element, Kind};
use crate::vector::EnvSpec;

/// "No row" in the place of a row number.
pub(super) const NONE: u32 = u32::MAX;

/// The rows before and after a row in its episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Link {
    /// The row one step earlier; [`NONE`] at the start of an episode.
    pub(super) previous: u32,
    /// The row one step later; [`NONE`] at the newest row and at the end of an episode.
    pub(super) next: u32,
}

/// Frames of all environments in the order in which they were seen; the oldest is overwritten.
///
/// A frame is stored once, however many stacks it is part of. A stack is read along the `previous`
/// links and repeats the first frame of its episode, as acting does.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) frames: Array,
    /// As many as there are filled rows; never grows beyond its first allocation.
    pub(super) links: Vec<Link>,
    /// The row that is written next.
    pub(super) cursor: usize,
    capacity: usize,
    stack: usize,
}

impl Rows {
    pub(super) fn new(capacity: usize, spec: &EnvSpec) -> Self {
        Self {
            frames: Array::zeros_of(spec.obs_kind, capacity, spec.frame_space.len()),
            links: Vec::with_capacity(capacity),
            cursor: 0,
            capacity,
            stack: spec.frame_stack,
        }
    }

    /// Bytes of `capacity` rows.
    pub(super) fn bytes(capacity: u64, spec: &EnvSpec) -> u64 {
        let frame = (spec.frame_space.len() as u64).saturating_mul(spec.obs_kind.bytes() as u64);
        capacity.saturating_mul(frame.saturating_add(size_of::<Link>() as u64))
    }

    /// Bytes that were really allocated.
    pub(super) fn allocated(&self) -> usize {
        let frames = self.frames.rows() * self.frames.cols() * self.frames.kind().bytes();
        frames + self.links.capacity() * size_of::<Link>()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number of rows that hold a frame.
    pub(super) fn filled(&self) -> usize {
        self.links.len()
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.links.clear();
        self.cursor = 0;
    }

    /// Writes the newest frame of row `env` of `obs` into the oldest row and gives that row's number.
    #[inline]
    pub(super) fn append(&mut self, obs: &Array, env: usize, previous: u32) -> u32 {
        match self.frames.kind() {
            Kind::F32 => self.write::<f32>(obs, env),
            Kind::U8 => self.write::<u8>(obs, env),
            Kind::I32 => self.write::<i32>(obs, env),
        }
        let row = self.cursor;
        let link = Link {
            previous,
            next: NONE,
        };
        match self.links.get_mut(row) {
            Some(old) => *old = link,
            None => self.links.push(link),
        }
        if previous != NONE {
            self.links[previous as usize].next = row as u32;
        }
        self.cursor = if row + 1 == self.capacity { 0 } else { row + 1 };
        row as u32
    }

    fn write<T: Element>(&mut self, obs: &Array, env: usize) {
        let newest = newest_frame(obs.row::<T>(env), self.stack);
        self.frames.row_mut(self.cursor).copy_from_slice(newest);
    }

    /// Whether `row` holds the newest frame of row `env` of `obs`.
    #[inline]
    pub(super) fn holds(&self, row: u32, obs: &Array, env: usize) -> bool {
        fn same<T: Element>(rows: &Rows, row: u32, obs: &Array, env: usize) -> bool {
            newest_frame(obs.row::<T>(env), rows.stack) == rows.frames.row::<T>(row as usize)
        }
        match self.frames.kind() {
            Kind::F32 => same::<f32>(self, row, obs, env),
            Kind::U8 => same::<u8>(self, row, obs, env),
            Kind::I32 => same::<i32>(self, row, obs, env),
        }
    }

    /// Calls `each` for every row whose stack ends with the next [`append`](Rows::append): the row that is
    /// overwritten and the `stack - 1` rows after it in its episode.
    #[inline]
    pub(super) fn losing_their_stack(&self, mut each: impl FnMut(usize)) {
        if self.filled() < self.capacity {
            return;
        }
        let mut row = self.cursor;
        each(row);
        for _ in 1..self.stack {
            row = match self.links[row].next {
                NONE => return,
                next => next as usize,
            };
            each(row);
        }
    }

    /// Copies for each of `groups` the stacks that end in its rows into a row of each of `out`, with as many frames as
    /// that has room for.
    ///
    /// Group by group, because stacks of one episode share frames, which are then in the cache already.
    pub(super) fn gather<const N: usize>(
        &self,
        groups: impl Iterator<Item = [usize; N]>,
        out: [&mut Array; N],
    ) {
        match self.frames.kind() {
            Kind::F32 => self.gather_as::<f32, N>(groups, out),
            Kind::U8 => self.gather_as::<u8, N>(groups, out),
            Kind::I32 => self.gather_as::<i32, N>(groups, out),
        }
    }

    fn gather_as<T: Element, const N: usize>(
        &self,
        groups: impl Iterator<Item = [usize; N]>,
        out: [&mut Array; N],
    ) {
        let mut out = out.map(|array| {
            let cols = array.cols();
            array.as_mut_slice::<T>().chunks_exact_mut(cols)
        });
        for group in groups {
            for (newest, out) in group.into_iter().zip(&mut out) {
                self.copy_stack(newest, out.next().expect("a row for each group"));
            }
        }
    }

    #[inline]
    fn copy_stack<T: Element>(&self, newest: usize, stack: &mut [T]) {
        let len = self.frames.cols();
        let frames = self.frames.as_slice::<T>();
        let (earlier, last) = stack.split_at_mut(stack.len() - len);
        last.copy_from_slice(&frames[newest * len..][..len]);
        let mut row = newest;
        for frame in earlier.rchunks_exact_mut(len) {
            row = match self.links[row].previous {
                NONE => row,
                previous => previous as usize,
            };
            frame.copy_from_slice(&frames[row * len..][..len]);
        }
    }
}

/// The last of the `stack` frames of an observation row.
fn newest_frame<T>(obs: &[T], stack: usize) -> &[T] {
    &obs[obs.len() / stack * (stack - 1)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::tests::spec;

    #[test]
    fn a_stack_is_read_oldest_first_and_repeats_the_first_frame() {
        let mut rows = Rows::new(8, &spec::<u8>(1, 3));
        let mut previous = NONE;
        for frame in [1u8, 2, 3, 4] {
            // Only the newest frame is looked at.
            let obs = Array::from_vec(vec![99, 99, 99, 99, frame, frame + 10], 6);
            previous = rows.append(&obs, 0, previous);
        }
        let [mut first, mut second] = [(), ()].map(|()| Array::zeros::<u8>(2, 6));
        let mut longer = Array::zeros::<u8>(2, 8);
        let pairs = [[0, 1], [1, 3]].into_iter();
        rows.gather(pairs, [&mut first, &mut second]);
        rows.gather([[1], [3]].into_iter(), [&mut longer]);
        assert_eq!(first.row::<u8>(0), [1, 11, 1, 11, 1, 11]);
        assert_eq!(first.row::<u8>(1), [1, 11, 1, 11, 2, 12]);
        assert_eq!(second.row::<u8>(0), [1, 11, 1, 11, 2, 12]);
        assert_eq!(second.row::<u8>(1), [2, 12, 3, 13, 4, 14]);
        assert_eq!(longer.row::<u8>(0), [1, 11, 1, 11, 1, 11, 2, 12]);
        assert_eq!(longer.row::<u8>(1), [1, 11, 2, 12, 3, 13, 4, 14]);
    }

    #[test]
    fn a_full_ring_names_the_stacks_that_the_next_row_breaks() {
        let mut rows = Rows::new(4, &spec::<i32>(1, 3));
        let mut previous = NONE;
        let broken = |rows: &Rows| {
            let mut all = Vec::new();
            rows.losing_their_stack(|row| all.push(row));
            all
        };
        for step in 0..4 {
            assert_eq!(broken(&rows), [0; 0], "nothing is overwritten yet");
            previous = rows.append(&Array::from_vec(vec![step; 6], 6), 0, previous);
        }
        assert_eq!(broken(&rows), [0, 1, 2]);
        rows.append(&Array::from_vec(vec![4; 6], 6), 0, NONE);
        assert_eq!(broken(&rows), [1, 2, 3]);
        rows.append(&Array::from_vec(vec![5; 6], 6), 0, 0);
        assert_eq!(broken(&rows), [2, 3], "the episode ended with row 3");
    }
}
