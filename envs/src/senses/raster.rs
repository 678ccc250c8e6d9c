//! Shapes drawn straight into the pixels of an observation, smooth at the edges.
//!
//! A shape is its signed distance function, in pixels: negative inside. A pixel takes on as much of the shape's
//! colour as the distance of its middle says, so that a move by a tenth of a pixel is seen.

use thorndike_core::Picture;

/// A rectangle of a frame: left, top, right, bottom, in pixels.
pub(super) type Bounds = [f32; 4];

/// No frame is wider.
const WIDEST: usize = 96;

/// A frame of `width` x `height` pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Frame {
    /// Calls `put(pixel, covers)` for each row of `bounds`: from `pixel` on, the shape covers so much of the pixels,
    /// in 128ths.
    ///
    /// A row is computed as a whole and without a branch, several pixels at a time.
    #[inline]
    pub(super) fn fill(
        self,
        bounds: Bounds,
        distance: impl Fn(f32, f32) -> f32,
        mut put: impl FnMut(usize, &[i16]),
    ) {
        let [left, top, right, bottom] = bounds;
        // A float that is too large or no number becomes the nearest whole one.
        let left = left as usize;
        let right = (right.ceil() as usize).min(self.width).min(WIDEST);
        if left >= right {
            return;
        }
        let mut covers = [0; WIDEST];
        let covers = &mut covers[left..right];
        for row in top as usize..(bottom.ceil() as usize).min(self.height) {
            let y = row as f32 + 0.5;
            for (cover, column) in covers.iter_mut().zip(left as i32..) {
                let inside = 0.5 - distance(column as f32 + 0.5, y);
                *cover = (inside.clamp(0.0, 1.0) * 128.0) as i16;
            }
            put(row * self.width + left, covers);
        }
    }

    /// Fills the rectangle `bounds`.
    #[inline]
    pub(super) fn rectangle(self, bounds: Bounds, put: impl FnMut(usize, &[i16])) {
        let [left, top, right, bottom] = bounds;
        let [x, y] = [(left + right) / 2.0, (top + bottom) / 2.0];
        let [half_width, half_height] = [(right - left) / 2.0, (bottom - top) / 2.0];
        self.fill(
            grown(bounds),
            |px, py| ((px - x).abs() - half_width).max((py - y).abs() - half_height),
            put,
        );
    }

    /// Fills the disc around `center`.
    #[inline]
    pub(super) fn disc(self, [x, y]: [f32; 2], radius: f32, put: impl FnMut(usize, &[i16])) {
        self.fill(
            grown([x - radius, y - radius, x + radius, y + radius]),
            |px, py| ((px - x) * (px - x) + (py - y) * (py - y)).sqrt() - radius,
            put,
        );
    }

    /// Draws the line from `a` to `b`, with round ends.
    #[inline]
    pub(super) fn line(self, a: [f32; 2], b: [f32; 2], width: f32, put: impl FnMut(usize, &[i16])) {
        let radius = width / 2.0;
        let [dx, dy] = [b[0] - a[0], b[1] - a[1]];
        let per_square = 1.0 / (dx * dx + dy * dy).max(1e-6);
        let bounds = [
            a[0].min(b[0]) - radius,
            a[1].min(b[1]) - radius,
            a[0].max(b[0]) + radius,
            a[1].max(b[1]) + radius,
        ];
        self.fill(
            grown(bounds),
            |px, py| {
                let [x, y] = [px - a[0], py - a[1]];
                let share = ((x * dx + y * dy) * per_square).clamp(0.0, 1.0);
                let [x, y] = [x - share * dx, y - share * dy];
                (x * x + y * y).sqrt() - radius
            },
            put,
        );
    }

    /// The picture of `planes`, one plane (grey) or three (red, green, blue).
    pub(super) fn picture(self, planes: &[u8]) -> Picture {
        let pixels = self.width * self.height;
        let step = if planes.len() == pixels { 0 } else { pixels };
        let colors = |at| [planes[at], planes[at + step], planes[at + 2 * step]];
        Picture {
            width: self.width as u32,
            height: self.height as u32,
            rgb: (0..pixels).flat_map(colors).collect(),
        }
    }
}

/// With room for the half pixel over which an edge is smooth.
fn grown([left, top, right, bottom]: Bounds) -> Bounds {
    [left - 1.0, top - 1.0, right + 1.0, bottom + 1.0]
}

/// Brings each pixel nearer to `ink`, by as much as is covered, in 128ths.
#[inline]
pub(super) fn blend(pixels: &mut [u8], ink: u8, covers: &[i16]) {
    let ink = i16::from(ink);
    for (pixel, cover) in pixels.iter_mut().zip(covers) {
        // 255 * 128 and the half fit into 16 bits, of which a machine multiplies eight at a time.
        let from = i16::from(*pixel);
        *pixel = (from + (((ink - from) * cover + 64) >> 7)) as u8;
    }
}

/// A closure for [`Frame`]'s shapes: draws in grey `ink` on `pixels`.
pub(super) fn grey(pixels: &mut [u8], ink: u8) -> impl FnMut(usize, &[i16]) {
    move |at, covers| blend(&mut pixels[at..], ink, covers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        width: 8,
        height: 6,
    };

    #[test]
    fn a_rectangle_covers_its_area_also_between_pixels() {
        let mut pixels = [0; 48];
        FRAME.rectangle([1.25, 1.0, 4.25, 3.0], grey(&mut pixels, 200));
        let row = &pixels[8..16];
        assert_eq!(row, [0, 150, 200, 200, 50, 0, 0, 0]);
        assert_eq!(pixels[..8], [0; 8], "the row above");
        let sum: u32 = pixels.iter().map(|&p| u32::from(p)).sum();
        assert_eq!(sum, 200 * 6, "three by two pixels");
    }

    #[test]
    fn a_disc_covers_its_area() {
        let frame = Frame {
            width: 40,
            height: 40,
        };
        let mut area = 0.0;
        frame.disc([20.3, 19.6], 11.0, |_, covers| {
            area += covers.iter().map(|&c| f32::from(c)).sum::<f32>() / 128.0;
        });
        // Half a pixel along the edge at most, and the errors of both signs cancel.
        assert!((area - std::f32::consts::PI * 121.0).abs() < 1.0, "{area}");
    }

    #[test]
    fn a_line_is_as_wide_as_asked() {
        let mut pixels = [0; 48];
        FRAME.line([-9.0, 3.0], [99.0, 3.0], 2.0, grey(&mut pixels, 100));
        for row in 0..6 {
            let ink = if (2..4).contains(&row) { 100 } else { 0 };
            assert_eq!(pixels[row * 8..][..8], [ink; 8], "row {row}");
        }
    }

    #[test]
    fn what_lies_outside_or_is_no_number_is_not_drawn() {
        for x in [-1e30, 1e30, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut pixels = [7; 48];
            FRAME.disc([x, 2.0], 1.0, grey(&mut pixels, 100));
            FRAME.line([x, 2.0], [x, 4.0], 1.0, grey(&mut pixels, 100));
            FRAME.rectangle([x, 1.0, x + 2.0, 4.0], grey(&mut pixels, 100));
            assert_eq!(pixels, [7; 48], "{x}");
        }
    }

    #[test]
    fn planes_become_the_colours_of_a_picture() {
        let frame = Frame {
            width: 2,
            height: 1,
        };
        let picture = frame.picture(&[1, 2, 3, 4, 5, 6]);
        assert_eq!((picture.width, picture.height), (2, 1));
        assert_eq!(picture.rgb, [1, 3, 5, 2, 4, 6]);
        assert_eq!(frame.picture(&[1, 2]).pixel(1, 0), [2; 3]);
    }
}
