//! What the agent sees.

use super::cell::{Cell, Color, Kind};
use super::grid::{Grid, Place};
use super::state::{DIRECTIONS, MiniGridState};

/// Columns and rows of the agent's view.
pub const VIEW_SIDE: usize = 7;
/// Cells of the agent's view.
pub(super) const VIEW_CELLS: usize = VIEW_SIDE * VIEW_SIDE;
/// The agent's own cell in it: the middle of the last row.
pub(super) const OWN_CELL: usize = VIEW_CELLS - 1 - VIEW_SIDE / 2;

/// The cells before the agent row by row, as if it looked up from the middle of the last row; walls outside.
pub(super) fn look(grid: &Grid, position: Place, direction: u8) -> [Cell; VIEW_CELLS] {
    let size = [grid.width() as isize, grid.height() as isize];
    let at = [0, 1].map(|axis| isize::from(position[axis]).clamp(0, size[axis] - 1));
    let strides = [1, size[0]];
    // A row of the view lies one cell nearer than the one before, a column one cell further to the right.
    let [row, column] =
        [2, 1].map(|turn| DIRECTIONS[usize::from(direction.wrapping_add(turn) & 3)]);
    let axis = |[dx, dy]: Place| {
        if dx == 0 {
            (1, isize::from(dy))
        } else {
            (0, isize::from(dx))
        }
    };
    let ((row_axis, row_sign), (column_axis, column_sign)) = (axis(row), axis(column));
    let row_start = at[row_axis] - 6 * row_sign;
    let column_start = at[column_axis] - 3 * column_sign;
    let rows = inside(row_start, row_sign, size[row_axis]);
    let columns = inside(column_start, column_sign, size[column_axis]);

    let cells = grid.cells();
    let mut view = [Cell::WALL; VIEW_CELLS];
    let (row_step, column_step) = (
        row_sign * strides[row_axis],
        column_sign * strides[column_axis],
    );
    let first = row_start * strides[row_axis] + column_start * strides[column_axis];
    for r in rows {
        let in_view = &mut view[r * VIEW_SIDE..][..VIEW_SIDE];
        let start = first + r as isize * row_step;
        for c in columns.clone() {
            in_view[c] = cells[(start + c as isize * column_step) as usize];
        }
    }
    view
}

/// For which of `0..7` the place `start + sign * i` lies in `0..size`.
#[inline]
fn inside(start: isize, sign: isize, size: isize) -> std::ops::Range<usize> {
    let (low, high) = if sign > 0 {
        (-start, size - start)
    } else {
        (start - size + 1, start + 1)
    };
    low.clamp(0, 7) as usize..high.clamp(0, 7) as usize
}

/// A row of a view in bits, column `i` in bit `i`.
type Bits = u64;
const ROW: Bits = 0x7f;

/// Which cells of a view can be seen, row by row: MiniGrid's own flood, which is no line of sight.
///
/// From the agent's row upwards, light spreads along each row to the right and then to the left. Every cell that is
/// lit and hides nothing lights its neighbour on that side, and the cells above both.
pub(super) fn visible(view: &[Cell; VIEW_CELLS]) -> [Bits; VIEW_SIDE] {
    // One byte a cell, and one more, so that every row has eight.
    let mut clear = [0_u8; VIEW_CELLS + 1];
    for (byte, cell) in clear.iter_mut().zip(view) {
        *byte = u8::from(!cell.hides());
    }
    let mut seen = [0; VIEW_SIDE];
    let mut lit = 1 << (VIEW_SIDE / 2);
    for row in (0..VIEW_SIDE).rev() {
        let clear = gather_bits(&clear[row * VIEW_SIDE..][..8]);
        let start = lit & clear;
        // To the right: the carry of the sum runs through clear cells.
        let right = clear & !(clear + start) | start;
        // And back to the left, doubling the reach each time. What the way there has lit lies in the same runs of
        // clear cells, so the start serves for both.
        let (mut left, mut way) = (start, clear);
        for reach in [1, 2, 4] {
            left |= way & (left >> reach);
            way &= way >> reach;
        }
        // The cells at the ends light nothing beyond them.
        let (right, left) = (right & (ROW >> 1), (right | left) & (ROW & !1));
        let above = (right | right << 1) | (left | left >> 1);
        lit |= right << 1 | left >> 1;
        seen[row] = lit;
        lit = above;
    }
    seen
}

/// The lowest bits of the first seven of eight bytes.
#[inline]
fn gather_bits(bytes: &[u8]) -> Bits {
    let bytes: [u8; 8] = bytes.try_into().expect("eight bytes");
    // Each byte's bit meets the one factor that carries it to its place among the highest eight.
    (u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56) & ROW
}

/// A byte for each bit: 255 for those that are set, otherwise 0.
#[inline]
fn scatter_bits(bits: Bits) -> [u8; 8] {
    // Every byte keeps its own bit of a copy of all seven; adding 127 carries it to the highest.
    let own = bits.wrapping_mul(0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
    let set = own + 0x7f7f_7f7f_7f7f_7f7f;
    ((set >> 7 & 0x0101_0101_0101_0101) * 255).to_le_bytes()
}

/// Makes what cannot be seen unseen.
#[inline]
pub(super) fn hide(view: &mut [Cell; VIEW_CELLS], through_walls: bool) {
    if through_walls {
        return;
    }
    let mut masks = [0_u8; VIEW_CELLS + 1];
    // Each row's eighth byte is overwritten by the next.
    for (row, &bits) in visible(view).iter().enumerate() {
        masks[row * VIEW_SIDE..][..8].copy_from_slice(&scatter_bits(bits));
    }
    for (cell, &mask) in view.iter_mut().zip(&masks) {
        *cell = cell.masked(mask);
    }
}

/// Writes kinds, colours and states of `cells`, one plane after the other.
#[inline]
pub(super) fn write_planes<const CELLS: usize>(cells: &[Cell; CELLS], image: &mut [u8]) {
    let (kinds, rest) = image.split_at_mut(CELLS);
    let (colors, states) = rest.split_at_mut(CELLS);
    for (byte, cell) in kinds.iter_mut().zip(cells) {
        *byte = cell.kind_index();
    }
    for (byte, cell) in colors.iter_mut().zip(cells) {
        *byte = cell.color_index();
    }
    for (byte, cell) in states.iter_mut().zip(cells) {
        *byte = cell.state_index();
    }
}

/// Writes the planes of a grid of `[columns, rows]` cells with the agent in it.
pub(super) fn write_grid(state: &MiniGridState, [columns, rows]: [usize; 2], image: &mut [u8]) {
    let (kinds, rest) = image.split_at_mut(columns * rows);
    let (colors, states) = rest.split_at_mut(columns * rows);
    let agent = Cell::new(Kind::Agent, Color::Red).with_state(state.direction);
    for y in 0..rows {
        for x in 0..columns {
            let (place, i) = ([x as i8, y as i8], y * columns + x);
            let here = state.position == place;
            let cell = if here { agent } else { state.grid.get(place) };
            kinds[i] = cell.kind_index();
            colors[i] = cell.color_index();
            states[i] = cell.state_index();
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use thorndike_core::Seeds;

    use super::*;
    use crate::minigrid::Door;

    /// The flood as its description says it, cell by cell.
    fn slow_flood(view: &[Cell; VIEW_CELLS]) -> [[bool; 7]; 7] {
        let mut lit = [[false; 7]; 7];
        lit[6][3] = true;
        for row in (0..7).rev() {
            let sweeps: [(Vec<usize>, isize); 2] =
                [((0..6).collect(), 1), ((1..7).rev().collect(), -1)];
            for (columns, side) in sweeps {
                for column in columns {
                    if !lit[row][column] || view[row * 7 + column].hides() {
                        continue;
                    }
                    let next = column.wrapping_add_signed(side);
                    lit[row][next] = true;
                    if row > 0 {
                        lit[row - 1][column] = true;
                        lit[row - 1][next] = true;
                    }
                }
            }
        }
        lit
    }

    fn fast_flood(view: &[Cell; VIEW_CELLS]) -> [[bool; 7]; 7] {
        visible(view).map(|bits| std::array::from_fn(|i| bits >> i & 1 == 1))
    }

    #[test]
    fn the_flood_in_bits_is_the_flood_cell_by_cell() {
        let mut rng = Seeds::new(5).stream("test", 0);
        for round in 0..20_000 {
            let walls = f64::from(round % 10) / 10.0;
            let view = [(); VIEW_CELLS].map(|()| match rng.random::<f64>() {
                u if u < walls * 0.8 => Cell::WALL,
                u if u < walls => Cell::door(Color::Red, Door::Closed),
                u if u > 0.95 => Cell::door(Color::Red, Door::Open),
                _ => Cell::EMPTY,
            });
            let lit = slow_flood(&view);
            assert_eq!(fast_flood(&view), lit, "{view:?}");
            let mut seen = view;
            hide(&mut seen, false);
            for (i, cell) in seen.into_iter().enumerate() {
                let expected = if lit[i / 7][i % 7] {
                    view[i]
                } else {
                    Cell::EMPTY.masked(0)
                };
                assert_eq!(cell, expected);
            }
        }
    }

    #[test]
    fn an_agent_behind_walls_sees_itself_and_them() {
        let mut view = [Cell::WALL; VIEW_CELLS];
        view[OWN_CELL] = Cell::EMPTY;
        let around = 0b001_1100;
        assert_eq!(visible(&view), [0, 0, 0, 0, 0, around, around]);
    }

    #[test]
    fn every_direction_looks_at_the_cells_ahead() {
        let mut grid = Grid::empty([9, 8]);
        let color = |i: usize| Color::ALL[i];
        // One thing two cells ahead and one to the right of it, for each direction.
        let position = [4, 4];
        for (direction, place) in [(0, [6, 5]), (1, [3, 6]), (2, [2, 3]), (3, [5, 2])] {
            grid.set(place, Cell::new(Kind::Ball, color(direction)));
        }
        for direction in 0..4 {
            let view = look(&grid, position, direction as u8);
            let found = view[4 * 7 + 4];
            assert_eq!(found.color(), color(direction), "direction {direction}");
            assert!(!found.is_empty());
        }
    }

    #[test]
    fn outside_the_grid_the_view_is_wall_wherever_the_agent_is() {
        let grid = Grid::empty([3, 2]);
        for x in -3..6 {
            for y in -3..5 {
                for direction in 0..4 {
                    let view = look(&grid, [x, y], direction);
                    let free = view.iter().filter(|cell| cell.is_empty()).count();
                    let clamped = [x.clamp(0, 2), y.clamp(0, 1)];
                    let ahead = match direction {
                        0 => (3 - clamped[0]) * 2,
                        1 => (2 - clamped[1]) * 3,
                        2 => (clamped[0] + 1) * 2,
                        _ => (clamped[1] + 1) * 3,
                    };
                    assert_eq!(free, ahead as usize, "{x} {y} {direction}");
                }
            }
        }
    }
}
