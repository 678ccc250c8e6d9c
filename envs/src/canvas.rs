//! Drawing of frames: shapes in an environment's own units, smooth at the edges.

use thorndike_core::Picture;
use tiny_skia::{Color, FillRule, LineCap, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// Colours that stay apart for colour-blind eyes (Okabe and Ito, "Color Universal Design", 2008).
pub mod colors {
    use super::Rgb;
    /// Paper.
    pub const WHITE: Rgb = [255, 255, 255];
    /// Ink.
    pub const BLACK: Rgb = [0, 0, 0];
    /// Lines of a grid.
    pub const LIGHT_GREY: Rgb = [217, 217, 217];
    /// Walls.
    pub const GREY: Rgb = [128, 128, 128];
    /// Okabe and Ito's orange.
    pub const ORANGE: Rgb = [230, 159, 0];
    /// Okabe and Ito's sky blue.
    pub const SKY: Rgb = [86, 180, 233];
    /// Okabe and Ito's bluish green.
    pub const GREEN: Rgb = [0, 158, 115];
    /// Okabe and Ito's yellow.
    pub const YELLOW: Rgb = [240, 228, 66];
    /// Okabe and Ito's blue.
    pub const BLUE: Rgb = [0, 114, 178];
    /// Okabe and Ito's vermillion.
    pub const RED: Rgb = [213, 94, 0];
    /// Okabe and Ito's reddish purple.
    pub const PURPLE: Rgb = [204, 121, 167];
}

/// A frame being drawn. Points are in the units that [`Canvas::new`] was given: x to the right, y upwards
/// from `bottom`.
#[derive(Debug)]
pub struct Canvas {
    pixels: Pixmap,
    to_pixels: Transform,
}

impl Canvas {
    /// A white frame of `width` x `height` pixels that shows `left..right` across and `bottom..top` upwards.
    /// With `top` below `bottom`, y grows downwards, as rows of a grid do.
    ///
    /// # Panics
    /// If the frame or what it shows is empty.
    pub fn new(width: u32, height: u32, [left, right]: [f64; 2], [bottom, top]: [f64; 2]) -> Self {
        let mut pixels = Pixmap::new(width, height).expect("a frame has pixels");
        pixels.fill(Color::WHITE);
        assert!(right != left && top != bottom, "a frame shows something");
        let (sx, sy) = (
            f64::from(width) / (right - left),
            f64::from(height) / (bottom - top),
        );
        let to_pixels = Transform::from_row(
            sx as f32,
            0.0,
            0.0,
            sy as f32,
            (-left * sx) as f32,
            (-top * sy) as f32,
        );
        Self { pixels, to_pixels }
    }

    /// A frame for a grid of `columns` x `rows` square cells: cell (column, row) covers `column..column + 1`
    /// across and `row..row + 1` downwards.
    pub fn grid(columns: usize, rows: usize, cell_pixels: u32) -> Self {
        Self::new(
            columns as u32 * cell_pixels,
            rows as u32 * cell_pixels,
            [0.0, columns as f64],
            [rows as f64, 0.0],
        )
    }

    /// Fills the rectangle from corner `a` to the opposite corner `b`.
    pub fn rectangle(&mut self, a: [f64; 2], b: [f64; 2], color: Rgb) {
        self.polygon(&[a, [b[0], a[1]], b, [a[0], b[1]]], color);
    }

    /// Fills the polygon through `points`.
    pub fn polygon(&mut self, points: &[[f64; 2]], color: Rgb) {
        if let Some(path) = outline(points, true) {
            self.fill(&path, color);
        }
    }

    /// Fills the disc around `center`; `radius` counts in units of x.
    pub fn disc(&mut self, center: [f64; 2], radius: f64, color: Rgb) {
        // Sides of a polygon fine enough for any frame; a circle in pixels even where the units of x and y differ.
        const SIDES: usize = 64;
        let squash = f64::from(self.to_pixels.sx / self.to_pixels.sy).abs();
        let points: Vec<[f64; 2]> = (0..SIDES)
            .map(|i| {
                let (sin, cos) = (std::f64::consts::TAU * i as f64 / SIDES as f64).sin_cos();
                [center[0] + radius * cos, center[1] + radius * sin * squash]
            })
            .collect();
        self.polygon(&points, color);
    }

    /// Draws the line through `points`, `pixels` wide, with round ends.
    pub fn line(&mut self, points: &[[f64; 2]], pixels: f32, color: Rgb) {
        // Stroked in pixels, so that its width is the same in both directions.
        let path = outline(points, false).and_then(|path| path.transform(self.to_pixels));
        let stroke = Stroke {
            width: pixels,
            line_cap: LineCap::Round,
            ..Stroke::default()
        };
        if let Some(path) = path {
            self.pixels
                .stroke_path(&path, &paint(color), &stroke, Transform::identity(), None);
        }
    }

    /// The frame.
    pub fn finish(self) -> Picture {
        Picture {
            width: self.pixels.width(),
            height: self.pixels.height(),
            rgb: self
                .pixels
                .data()
                .chunks_exact(4)
                .flat_map(|rgba| [rgba[0], rgba[1], rgba[2]])
                .collect(),
        }
    }

    fn fill(&mut self, path: &Path, color: Rgb) {
        self.pixels
            .fill_path(path, &paint(color), FillRule::Winding, self.to_pixels, None);
    }
}

fn paint([red, green, blue]: Rgb) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

/// Nothing if there are less than two points, or one is no number.
fn outline(points: &[[f64; 2]], closed: bool) -> Option<Path> {
    let (first, rest) = points.split_first()?;
    let mut path = PathBuilder::new();
    path.move_to(first[0] as f32, first[1] as f32);
    for point in rest {
        path.line_to(point[0] as f32, point[1] as f32);
    }
    if closed {
        path.close();
    }
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_the_environments_and_y_points_upwards() {
        let mut canvas = Canvas::new(40, 20, [-2.0, 2.0], [0.0, 1.0]);
        canvas.rectangle([-2.0, 0.0], [0.0, 0.5], colors::BLUE);
        let picture = canvas.finish();
        assert_eq!((picture.width, picture.height), (40, 20));
        assert_eq!(picture.pixel(5, 15), colors::BLUE, "lower left");
        assert_eq!(picture.pixel(5, 5), colors::WHITE, "upper left");
        assert_eq!(picture.pixel(25, 15), colors::WHITE, "lower right");
    }

    #[test]
    fn rows_of_a_grid_go_downwards() {
        let mut canvas = Canvas::grid(3, 2, 10);
        canvas.rectangle([2.0, 0.0], [3.0, 1.0], colors::RED);
        let picture = canvas.finish();
        assert_eq!(picture.pixel(25, 5), colors::RED);
        assert_eq!(picture.pixel(25, 15), colors::WHITE);
    }

    #[test]
    fn a_disc_is_round_in_pixels_whatever_the_units() {
        let mut canvas = Canvas::new(100, 100, [0.0, 1.0], [0.0, 50.0]);
        canvas.disc([0.5, 25.0], 0.25, colors::GREEN);
        let picture = canvas.finish();
        for (x, y) in [(50, 27), (50, 72), (27, 50), (72, 50)] {
            assert_eq!(picture.pixel(x, y), colors::GREEN, "{x} {y}");
        }
        for (x, y) in [(50, 22), (50, 77), (22, 50), (77, 50)] {
            assert_eq!(picture.pixel(x, y), colors::WHITE, "{x} {y}");
        }
    }

    #[test]
    fn what_is_no_number_is_not_drawn() {
        let mut canvas = Canvas::grid(1, 1, 4);
        canvas.line(&[[f64::NAN, 0.0], [1.0, 1.0]], 2.0, colors::BLACK);
        canvas.disc([0.5, 0.5], f64::INFINITY, colors::BLACK);
        assert_eq!(canvas.finish(), Picture::filled(4, 4, colors::WHITE));
    }
}
