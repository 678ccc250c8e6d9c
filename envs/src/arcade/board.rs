use serde::{Deserialize, Serialize};

/// A set of cells of the 10 x 10 grid, one bit a cell: moving all of them is one shift, finding out which of
/// two sets meet is one "and".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u128")]
pub struct Board(u128);

impl From<u128> for Board {
    /// Bit `10 * y + x` is the cell in column `x` of row `y`; bits of no cell are dropped.
    fn from(bits: u128) -> Self {
        Self(bits & Self::ALL)
    }
}

impl Board {
    /// No cell.
    pub const EMPTY: Self = Self(0);
    const ALL: u128 = (1 << 100) - 1;
    /// The first column.
    const LEFT: u128 = Self::ALL / 0x3ff;

    /// One cell.
    #[inline]
    pub fn cell(x: i8, y: i8) -> Self {
        Self::from(1 << ((10 * y + x) & 127))
    }
    /// Cells from column `left` to `right` in rows from `top` to `bottom`.
    pub const fn rectangle([left, right]: [u32; 2], [top, bottom]: [u32; 2]) -> Self {
        let row = (1 << (right + 1)) - (1 << left);
        let rows = ((1_u128 << (10 * (bottom + 1) - 1)) | ((1 << (10 * (bottom + 1) - 1)) - 1))
            & !((1 << (10 * top)) - 1);
        Self((Self::LEFT * row) & rows)
    }
    /// The bits, `10 * y + x` for column `x` of row `y`.
    #[inline]
    pub fn bits(self) -> u128 {
        self.0
    }
    /// Whether no cell is in it.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Number of cells.
    #[inline]
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }
    /// The cells of both.
    #[inline]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    /// The cells of either.
    #[inline]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// The cells that are not in `other`.
    #[inline]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// The cells of column `x`.
    #[inline]
    pub fn column(self, x: i8) -> Self {
        Self(self.0 & (Self::LEFT << (x & 15)) & Self::ALL)
    }
    /// The cells of row `y`.
    #[inline]
    pub fn row(self, y: i8) -> Self {
        Self(self.0 & Self::from(0x3ff << ((10 * y) & 127)).0)
    }
    /// All one row up; the top row is lost.
    #[inline]
    pub fn up(self) -> Self {
        Self(self.0 >> 10)
    }
    /// All one row down; the bottom row is lost.
    #[inline]
    pub fn down(self) -> Self {
        Self::from(self.0 << 10)
    }
    /// All one row down; the bottom row comes in at the top.
    #[inline]
    pub fn down_around(self) -> Self {
        Self(self.down().0 | (self.0 >> 90))
    }
    /// All one column to the left; the first column is lost.
    #[inline]
    pub fn left(self) -> Self {
        Self((self.0 & !Self::LEFT) >> 1)
    }
    /// All one column to the right; the last column is lost.
    #[inline]
    pub fn right(self) -> Self {
        Self((self.0 << 1) & Self::ALL & !Self::LEFT)
    }
    /// Row of the lowest cell, if there is one.
    #[inline]
    pub fn lowest_row(self) -> Option<i8> {
        self.0.checked_ilog2().map(|bit| (bit / 10) as i8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(board: Board) -> Vec<(i8, i8)> {
        let all = (0..10).flat_map(|y| (0..10).map(move |x| (x, y)));
        all.filter(|&(x, y)| !board.and(Board::cell(x, y)).is_empty())
            .collect()
    }

    #[test]
    fn a_rectangle_holds_its_corners_and_nothing_else() {
        let found = cells(Board::rectangle([2, 4], [8, 9]));
        assert_eq!(found, [(2, 8), (3, 8), (4, 8), (2, 9), (3, 9), (4, 9)]);
        assert_eq!(Board::rectangle([0, 9], [0, 9]).len(), 100);
    }

    #[test]
    fn what_leaves_the_grid_is_lost() {
        let corners = [(0, 0), (9, 0), (0, 9), (9, 9)];
        let board = corners
            .iter()
            .fold(Board::EMPTY, |all, &(x, y)| all.or(Board::cell(x, y)));
        assert_eq!(cells(board.up()), [(0, 8), (9, 8)]);
        assert_eq!(cells(board.down()), [(0, 1), (9, 1)]);
        assert_eq!(
            cells(board.down_around()),
            [(0, 0), (9, 0), (0, 1), (9, 1)],
            "the one that wraps"
        );
        assert_eq!(cells(board.left()), [(8, 0), (8, 9)]);
        assert_eq!(cells(board.right()), [(1, 0), (1, 9)]);
    }

    #[test]
    fn rows_and_columns_are_found() {
        let all = Board::rectangle([0, 9], [0, 9]);
        assert_eq!(
            cells(all.row(9)),
            (0..10).map(|x| (x, 9)).collect::<Vec<_>>()
        );
        assert_eq!(
            cells(all.column(9)),
            (0..10).map(|y| (9, y)).collect::<Vec<_>>()
        );
        assert_eq!(all.column(3).lowest_row(), Some(9));
        assert_eq!(
            Board::cell(9, 4).or(Board::cell(0, 3)).lowest_row(),
            Some(4)
        );
        assert_eq!(Board::EMPTY.lowest_row(), None);
    }

    #[test]
    fn bits_of_no_cell_are_dropped_when_read() {
        let board: Board = serde_json::from_str(&u128::MAX.to_string()).unwrap();
        assert_eq!(board.len(), 100);
    }
}
