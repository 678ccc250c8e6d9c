//! Frames.

use thorndike_core::Picture;

use super::cell::{Cell, Color, Door, Kind};
use super::grid::MAX_SIDE;
use super::state::{DIRECTIONS, MiniGridState};
use super::view::{VIEW_CELLS, VIEW_SIDE, look, visible};
use crate::canvas::{Canvas, Rgb, colors};

/// Pixels of the longer side, at most.
const FRAME: usize = 400;
/// What the agent does not see.
const HIDDEN: Rgb = [196, 196, 196];
const WALL: Rgb = [72, 72, 72];
const LINE: Rgb = [170, 170, 170];

/// The grid of `[columns, rows]` cells; what the agent sees is white.
pub(super) fn picture(
    state: &MiniGridState,
    [columns, rows]: [usize; 2],
    through_walls: bool,
) -> Picture {
    let cell_pixels = (FRAME / columns.max(rows)).min(32);
    let mut canvas = Canvas::grid(columns, rows, cell_pixels as u32);
    let lit = lit(state, through_walls);
    for (y, row) in lit.iter().enumerate().take(rows) {
        for (x, &lit) in row.iter().enumerate().take(columns) {
            let place = [x as i8, y as i8];
            let mut tile = Tile {
                canvas: &mut canvas,
                left: x as f64,
                top: y as f64,
                scale: 1.0,
                pixels: cell_pixels as f32,
            };
            let ground = if lit { colors::WHITE } else { HIDDEN };
            tile.rectangle([0.0, 0.0], [1.0, 1.0], LINE);
            tile.rectangle([0.0, 0.0], [0.96, 0.96], ground);
            tile.cell(state.grid.get(place), ground);
            if state.position == place {
                tile.agent(state.direction);
                if !state.carrying.is_empty() {
                    // What it carries, small in the corner.
                    tile.left += 0.5;
                    tile.top += 0.48;
                    tile.scale = 0.5;
                    tile.cell(state.carrying, colors::WHITE);
                }
            }
        }
    }
    canvas.finish()
}

/// Which cells of the grid the agent sees, `[row][column]`.
fn lit(state: &MiniGridState, through_walls: bool) -> [[bool; MAX_SIDE]; MAX_SIDE] {
    let view = look(&state.grid, state.position, state.direction);
    let seen = if through_walls {
        [!0; VIEW_SIDE]
    } else {
        visible(&view)
    };
    let turned = |turns: u8| DIRECTIONS[usize::from(state.direction.wrapping_add(turns) & 3)];
    let (ahead, right) = (turned(0), turned(1));
    let mut lit = [[false; MAX_SIDE]; MAX_SIDE];
    for i in (0..VIEW_CELLS).filter(|i| seen[i / VIEW_SIDE] >> (i % VIEW_SIDE) & 1 == 1) {
        let far = (VIEW_SIDE - 1 - i / VIEW_SIDE) as i8;
        let aside = (i % VIEW_SIDE) as i8 - 3;
        let along = |axis: usize| {
            let offset = far * ahead[axis] + aside * right[axis];
            usize::try_from(state.position[axis].wrapping_add(offset)).ok()
        };
        if let (Some(x), Some(y)) = (along(0), along(1))
            && let Some(cell) = lit.get_mut(y).and_then(|row| row.get_mut(x))
        {
            *cell = true;
        }
    }
    lit
}

fn rgb(color: Color) -> Rgb {
    match color {
        Color::Red => colors::RED,
        Color::Green => colors::GREEN,
        Color::Blue => colors::BLUE,
        Color::Purple => colors::PURPLE,
        Color::Yellow => colors::YELLOW,
        Color::Grey => colors::GREY,
    }
}

/// One cell of a frame; points are in parts of its side, from its upper left corner.
struct Tile<'a> {
    canvas: &'a mut Canvas,
    left: f64,
    top: f64,
    scale: f64,
    pixels: f32,
}

impl Tile<'_> {
    fn at(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.left + x * self.scale, self.top + y * self.scale]
    }
    fn rectangle(&mut self, a: [f64; 2], b: [f64; 2], color: Rgb) {
        let (a, b) = (self.at(a), self.at(b));
        self.canvas.rectangle(a, b, color);
    }
    fn disc(&mut self, center: [f64; 2], radius: f64, color: Rgb) {
        let center = self.at(center);
        self.canvas.disc(center, radius * self.scale, color);
    }
    fn line(&mut self, points: &[[f64; 2]], width: f32, color: Rgb) {
        let points: Vec<_> = points.iter().map(|&point| self.at(point)).collect();
        self.canvas.line(&points, width * self.pixels, color);
    }

    fn cell(&mut self, cell: Cell, ground: Rgb) {
        let color = rgb(cell.color());
        match cell.kind() {
            Kind::Unseen | Kind::Empty | Kind::Agent => {}
            Kind::Wall => self.rectangle([0.0, 0.0], [1.0, 1.0], WALL),
            Kind::Floor | Kind::Goal => self.rectangle([0.0, 0.0], [1.0, 1.0], color),
            Kind::Lava => self.lava(),
            Kind::Door => self.door(cell, ground),
            Kind::Key => self.key(color),
            Kind::Ball => {
                self.disc([0.5, 0.5], 0.33, colors::BLACK);
                self.disc([0.5, 0.5], 0.29, color);
            }
            Kind::Box => {
                self.rectangle([0.12, 0.12], [0.88, 0.88], colors::BLACK);
                self.rectangle([0.16, 0.16], [0.84, 0.84], color);
                self.rectangle([0.28, 0.28], [0.72, 0.72], ground);
                self.rectangle([0.16, 0.45], [0.84, 0.55], color);
            }
        }
    }

    fn lava(&mut self) {
        self.rectangle([0.0, 0.0], [1.0, 1.0], colors::ORANGE);
        for y in [0.3, 0.5, 0.7] {
            let wave = [[0.1, y], [0.3, y - 0.1], [0.5, y], [0.7, y - 0.1], [0.9, y]];
            self.line(&wave, 0.05, colors::BLACK);
        }
    }

    fn door(&mut self, cell: Cell, ground: Rgb) {
        let color = rgb(cell.color());
        self.rectangle([0.0, 0.0], [1.0, 1.0], colors::BLACK);
        self.rectangle([0.04, 0.04], [0.96, 0.96], color);
        if cell.is_open_door() {
            self.rectangle([0.14, 0.14], [0.86, 0.86], ground);
        } else if cell.door_state() == Some(Door::Locked) {
            // A keyhole.
            self.disc([0.5, 0.42], 0.15, colors::BLACK);
            let hole = [[0.5, 0.42], [0.38, 0.76], [0.62, 0.76]].map(|point| self.at(point));
            self.canvas.polygon(&hole, colors::BLACK);
        } else {
            self.rectangle([0.12, 0.12], [0.88, 0.88], colors::BLACK);
            self.rectangle([0.16, 0.16], [0.84, 0.84], color);
            self.disc([0.72, 0.5], 0.08, colors::BLACK);
        }
    }

    fn key(&mut self, color: Rgb) {
        // A dark outline, and the key in it.
        for (edge, color) in [(0.04, colors::BLACK), (0.0, color)] {
            self.disc([0.5, 0.28], 0.17 + edge, color);
            self.rectangle([0.44 - edge, 0.3], [0.56 + edge, 0.88 + edge], color);
            for y in [0.6, 0.76] {
                self.rectangle([0.5, y - edge], [0.72 + edge, y + 0.08 + edge], color);
            }
        }
        self.disc([0.5, 0.28], 0.07, colors::BLACK);
    }

    fn agent(&mut self, direction: u8) {
        let (sin, cos) = (f64::from(direction & 3) * std::f64::consts::FRAC_PI_2).sin_cos();
        let corner = |[x, y]: [f64; 2]| [0.5 + x * cos - y * sin, 0.5 + x * sin + y * cos];
        let triangle = [[-0.38, -0.32], [0.4, 0.0], [-0.38, 0.32]].map(corner);
        let triangle = triangle.map(|point| self.at(point));
        self.canvas.polygon(&triangle, colors::BLACK);
    }
}
