//! The cells of a level.

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Mark};

/// Longest side of a level.
pub const MAX_SIDE: usize = 25;

/// A cell's column and row; those outside the grid are walls.
pub type Place = [i8; 2];

/// A rectangle of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Column and row of its first cell.
    pub top: Place,
    /// Columns and rows.
    pub size: [i8; 2],
}

impl Area {
    /// The rectangle from `top` on.
    pub const fn new(top: Place, size: [i8; 2]) -> Self {
        Self { top, size }
    }
}

/// Cells, row by row.
///
/// *Design.* Of one size whatever the level, so that a new episode allocates nothing; only the cells in use are
/// ever touched or saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SavedGrid", into = "SavedGrid")]
pub struct Grid {
    width: u8,
    height: u8,
    cells: [Cell; MAX_SIDE * MAX_SIDE],
}

#[derive(Serialize, Deserialize)]
struct SavedGrid {
    width: u8,
    height: u8,
    cells: Vec<Cell>,
}

impl From<Grid> for SavedGrid {
    fn from(grid: Grid) -> Self {
        Self {
            width: grid.width,
            height: grid.height,
            cells: grid.cells().to_vec(),
        }
    }
}

impl TryFrom<SavedGrid> for Grid {
    type Error = String;

    fn try_from(saved: SavedGrid) -> Result<Self, String> {
        let size = [saved.width, saved.height].map(usize::from);
        let sides = 1..=MAX_SIDE;
        if !size.iter().all(|side| sides.contains(side)) || saved.cells.len() != size[0] * size[1] {
            return Err(format!("no grid of {size:?} cells"));
        }
        let mut grid = Self::empty(size);
        grid.cells[..saved.cells.len()].copy_from_slice(&saved.cells);
        Ok(grid)
    }
}

impl Grid {
    /// Nothing in `[columns, rows]` cells.
    ///
    /// # Panics
    /// If a side is 0 or longer than [`MAX_SIDE`].
    pub fn empty([width, height]: [usize; 2]) -> Self {
        let sides = 1..=MAX_SIDE;
        assert!(sides.contains(&width) && sides.contains(&height));
        Self {
            width: width as u8,
            height: height as u8,
            cells: [Cell::EMPTY; MAX_SIDE * MAX_SIDE],
        }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        usize::from(self.width)
    }

    /// Rows.
    pub fn height(&self) -> usize {
        usize::from(self.height)
    }

    /// All of the grid.
    pub fn area(&self) -> Area {
        Area::new([0, 0], [self.width as i8, self.height as i8])
    }

    /// Cells, row by row.
    pub fn cells(&self) -> &[Cell] {
        &self.cells[..self.width() * self.height()]
    }

    #[inline]
    fn index(&self, [x, y]: Place) -> Option<usize> {
        // Negative numbers become large ones.
        let (x, y) = (x as u8, y as u8);
        (x < self.width && y < self.height)
            .then(|| usize::from(y) * usize::from(self.width) + usize::from(x))
    }

    /// What stands at `place`.
    #[inline]
    pub fn get(&self, place: Place) -> Cell {
        self.index(place).map_or(Cell::WALL, |i| self.cells[i])
    }

    /// Puts `cell` at `place`; nothing happens outside.
    #[inline]
    pub fn set(&mut self, place: Place, cell: Cell) {
        if let Some(i) = self.index(place) {
            self.cells[i] = cell;
        }
    }

    /// Puts `cell` everywhere in `area`.
    pub fn fill(&mut self, area: Area, cell: Cell) {
        for y in 0..area.size[1] {
            for x in 0..area.size[0] {
                self.set([area.top[0] + x, area.top[1] + y], cell);
            }
        }
    }

    /// Walls along the border of `area`.
    pub fn wall_in(&mut self, area: Area) {
        let ([x, y], [width, height]) = (area.top, area.size);
        for row in [y, y + height - 1] {
            self.fill(Area::new([x, row], [width, 1]), Cell::WALL);
        }
        for column in [x, x + width - 1] {
            self.fill(Area::new([column, y], [1, height]), Cell::WALL);
        }
    }

    /// Marks all cells that are `meant`.
    pub fn mark(&mut self, mark: Mark, meant: impl Fn(Cell) -> bool) {
        let used = self.cells().len();
        for cell in &mut self.cells[..used] {
            if meant(*cell) {
                *cell = cell.marked(mark);
            }
        }
    }

    /// Places of the grid, row by row.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let (width, height) = (self.width as i8, self.height as i8);
        (0..height).flat_map(move |y| (0..width).map(move |x| [x, y]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_there_are_walls_and_nothing_can_be_put() {
        let mut grid = Grid::empty([3, 2]);
        for place in [[-1, 0], [0, -1], [3, 0], [0, 2], [i8::MIN, i8::MAX]] {
            grid.set(place, Cell::GOAL);
            assert_eq!(grid.get(place), Cell::WALL);
        }
        assert_eq!(grid, Grid::empty([3, 2]));
    }

    #[test]
    fn a_border_is_one_cell_wide() {
        let mut grid = Grid::empty([4, 3]);
        grid.wall_in(grid.area());
        let free: Vec<Place> = grid.places().filter(|&p| grid.get(p).is_empty()).collect();
        assert_eq!(free, [[1, 1], [2, 1]]);
    }

    #[test]
    fn saved_grids_of_other_sizes_are_refused() {
        let json = |width: u8, height: u8, cells: &[u16]| {
            let value = serde_json::json!({ "width": width, "height": height, "cells": cells });
            serde_json::from_value::<Grid>(value)
        };
        assert!(json(2, 1, &[1, 1]).is_ok());
        assert!(json(2, 1, &[1]).is_err());
        assert!(json(0, 0, &[]).is_err());
        assert!(json(26, 1, &[1; 26]).is_err());
        assert!(json(1, 1, &[0]).is_err(), "unseen");
    }
}
