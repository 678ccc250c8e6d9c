//! A picture as a list of shapes, and its way into a PNG or SVG file.
//!
//! Charts are laid out once, in pixels, without knowing the format; plotters then draws the shapes. A list can be
//! checked by a test (no two texts overlap, nothing leaves the picture), which a drawing call cannot.

use std::path::Path;
use std::sync::Once;

use anyhow::{Result, anyhow, bail};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle};

use super::theme::Colour;
use crate::launch::write_whole;

/// A point in pixels, from the upper left corner.
pub(super) type Point = (f64, f64);

/// Which end of a text its position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// One line of text.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Where the baseline starts, has its middle, or ends.
    pub(super) at: Point,
    pub(super) align: Align,
    pub(super) text: String,
    /// Height of an em in pixels.
    pub(super) size: f64,
    pub(super) colour: Colour,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Line {
        points: Vec<Point>,
        width: f64,
        colour: Colour,
        dash: Option<(f64, f64)>,
    },
    Area {
        points: Vec<Point>,
        colour: Colour,
        opacity: f64,
    },
    Dot {
        at: Point,
        radius: f64,
        colour: Colour,
    },
    Text(Text),
}

/// Shapes in the order in which they are painted.
#[derive(Clone, Debug)]
pub(super) struct Drawing {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) background: Colour,
    pub(super) shapes: Vec<Shape>,
}

/// Shapes are drawn this many times larger: the PNG is averaged down to smooth its edges, which plotters does not do
/// for thick lines, and the SVG keeps positions finer than a pixel, which plotters rounds to.
const FINE: u32 = 3;

/// The embedded font first, then the nearest ones that a browser may have; Verdana has the same widths.
const FONT: &str = "DejaVu Sans, Verdana, Arial, sans-serif";

/// plotters takes the height of a line for the size of a font. For this font that is 1.164 em.
const LINE_PER_EM: f64 = 1.164;

fn register_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let bytes = include_bytes!("../../assets/DejaVuSans.ttf");
        let registered = plotters::style::register_font(FONT, FontStyle::Normal, bytes);
        assert!(registered.is_ok(), "the embedded font is readable");
    });
}

/// Width in pixels of a line of text.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    register_font();
    // Measured large and scaled down, because plotters answers in whole pixels.
    let large = 100.0;
    let font = (FontFamily::Name(FONT), large * LINE_PER_EM).into_font();
    font.box_size(text)
        .map_or(0.0, |(width, _)| f64::from(width))
        * size
        / large
}

impl Drawing {
    /// Writes the picture in the format of the file's ending, `png` or `svg`.
    ///
    /// The file appears whole or not at all: it is written beside its place and then renamed.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let bytes = match path.extension().and_then(|ending| ending.to_str()) {
            Some("png") => png(self.width, self.height, &self.pixels()?)?,
            Some("svg") => self.svg()?.into_bytes(),
            _ => bail!(
                "{}: a picture's name must end in .png or .svg",
                path.display()
            ),
        };
        write_whole(path, &bytes)
    }

    pub(super) fn svg(&self) -> Result<String> {
        let (width, height) = (self.width, self.height);
        let fine = (width * FINE, height * FINE);
        let mut svg = String::new();
        let mut pen = Pen {
            backend: SVGBackend::with_string(&mut svg, fine),
            line_per_em: 1.24,
            baseline: 0.76,
            joins: false,
        };
        pen.draw(self)?;
        drop(pen);
        let large = format!("width=\"{}\" height=\"{}\"", fine.0, fine.1);
        let shown = format!("width=\"{width}\" height=\"{height}\" stroke-linejoin=\"round\"");
        Ok(svg.replacen(&large, &shown, 1))
    }

    /// RGB, row by row.
    pub(super) fn pixels(&self) -> Result<Vec<u8>> {
        let (width, fine) = (self.width as usize * 3, FINE as usize);
        let mut large = vec![0; width * self.height as usize * fine * fine];
        let size = (self.width * FINE, self.height * FINE);
        let mut pen = Pen {
            backend: BitMapBackend::with_buffer(&mut large, size),
            line_per_em: LINE_PER_EM,
            baseline: 0.5 * LINE_PER_EM,
            joins: true,
        };
        pen.draw(self)?;
        drop(pen);
        let mut small = vec![0; width * self.height as usize];
        let mut sums = vec![0u32; width];
        for (rows, out) in large
            .chunks_exact(width * fine * fine)
            .zip(small.chunks_exact_mut(width))
        {
            sums.fill(0);
            for row in rows.chunks_exact(width * fine) {
                for (sum, block) in sums.chunks_exact_mut(3).zip(row.chunks_exact(3 * fine)) {
                    for pixel in block.chunks_exact(3) {
                        (0..3).for_each(|channel| sum[channel] += u32::from(pixel[channel]));
                    }
                }
            }
            for (value, sum) in out.iter_mut().zip(&sums) {
                *value = ((sum + FINE * FINE / 2) / (FINE * FINE)) as u8;
            }
        }
        Ok(small)
    }
}

/// RGB pixels as a PNG file.
pub(crate) fn png(width: u32, height: u32, rgb: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(rgb)?;
    Ok(bytes)
}

struct Pen<DB> {
    backend: DB,
    /// What the backend takes for the height of a line.
    line_per_em: f64,
    /// How far under its position the backend puts the baseline of text that hangs from its top, in em.
    baseline: f64,
    /// Thick lines need their joins filled: the bitmap backend turns a line into one polygon, whose overlaps at sharp
    /// turns stay empty.
    joins: bool,
}

/// Gives the backends' error types, which borrow and differ, one form.
fn drawn<E: std::fmt::Display>(result: std::result::Result<(), E>) -> Result<()> {
    result.map_err(|error| anyhow!("cannot draw: {error}"))
}

fn fine((x, y): Point) -> (i32, i32) {
    let place = |v: f64| (v * f64::from(FINE)).round() as i32;
    (place(x), place(y))
}

fn style(Colour(r, g, b): Colour, opacity: f64, width: f64) -> ShapeStyle {
    let width = (width * f64::from(FINE)).round().max(1.0) as u32;
    ShapeStyle {
        color: plotters::style::Color::mix(&RGBColor(r, g, b), opacity),
        filled: true,
        stroke_width: width,
    }
}

impl<DB: DrawingBackend> Pen<DB> {
    fn draw(&mut self, drawing: &Drawing) -> Result<()> {
        register_font();
        let corner = fine((f64::from(drawing.width), f64::from(drawing.height)));
        drawn(
            self.backend
                .draw_rect((0, 0), corner, &style(drawing.background, 1.0, 1.0), true),
        )?;
        for shape in &drawing.shapes {
            match shape {
                Shape::Line {
                    points,
                    width,
                    colour,
                    dash: None,
                } => self.line(points, *width, *colour)?,
                Shape::Line {
                    points,
                    width,
                    colour,
                    dash: Some(dash),
                } => {
                    for piece in dashes(points, *dash) {
                        self.line(&piece, *width, *colour)?;
                    }
                }
                Shape::Area {
                    points,
                    colour,
                    opacity,
                } => {
                    let points: Vec<_> = points.iter().map(|&point| fine(point)).collect();
                    drawn(
                        self.backend
                            .fill_polygon(points, &style(*colour, *opacity, 1.0)),
                    )?;
                }
                Shape::Dot { at, radius, colour } => {
                    let radius = (radius * f64::from(FINE)).round() as u32;
                    drawn(self.backend.draw_circle(
                        fine(*at),
                        radius,
                        &style(*colour, 1.0, 1.0),
                        true,
                    ))?;
                }
                Shape::Text(text) => self.text(text)?,
            }
        }
        drawn(self.backend.present())
    }

    fn line(&mut self, points: &[Point], width: f64, colour: Colour) -> Result<()> {
        let style = style(colour, 1.0, width);
        let points: Vec<_> = points.iter().map(|&point| fine(point)).collect();
        if !self.joins {
            return drawn(self.backend.draw_path(points, &style));
        }
        for pair in points.windows(2).filter(|pair| pair[0] != pair[1]) {
            drawn(self.backend.draw_path(pair.iter().copied(), &style))?;
        }
        let inner = points
            .get(1..points.len().saturating_sub(1))
            .unwrap_or_default();
        for &point in inner.iter().filter(|_| style.stroke_width > 2) {
            drawn(
                self.backend
                    .draw_circle(point, style.stroke_width / 2, &style, true),
            )?;
        }
        Ok(())
    }

    fn text(&mut self, text: &Text) -> Result<()> {
        let line = text.size * self.line_per_em;
        let at = (text.at.0, text.at.1 - self.baseline * text.size);
        let align = match text.align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let Colour(r, g, b) = text.colour;
        let font = (FontFamily::Name(FONT), line * f64::from(FINE)).into_font();
        let colour = RGBColor(r, g, b);
        let style = TextStyle::from(font)
            .color(&colour)
            .pos(Pos::new(align, VPos::Top));
        // XML has no place for control characters, and no font has a picture for them.
        let shown: String = text
            .text
            .chars()
            .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
            .collect();
        drawn(self.backend.draw_text(&shown, &style, fine(at)))
    }
}

/// The painted pieces of a dashed line.
fn dashes(points: &[Point], (on, off): (f64, f64)) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let Some(&first) = points.first() else {
        return pieces;
    };
    let mut piece = vec![first];
    let (mut painting, mut left) = (true, on);
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let mut done = 0.0;
        while length - done >= left {
            done += left;
            let at = (
                x0 + (x1 - x0) * done / length,
                y0 + (y1 - y0) * done / length,
            );
            piece.push(at);
            if painting {
                pieces.push(std::mem::take(&mut piece));
            }
            painting = !painting;
            left = if painting { on } else { off };
            piece = vec![at];
        }
        left -= length - done;
        if piece.last() != Some(&(x1, y1)) {
            piece.push((x1, y1));
        }
    }
    if painting && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_a_bent_line() {
        let pieces = dashes(&[(0.0, 0.0), (10.0, 0.0), (10.0, 5.0)], (4.0, 2.0));
        let expected = [
            vec![(0.0, 0.0), (4.0, 0.0)],
            vec![(6.0, 0.0), (10.0, 0.0)],
            vec![(10.0, 2.0), (10.0, 5.0)],
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn an_unknown_ending_is_refused_by_name() {
        let drawing = Drawing {
            width: 10,
            height: 10,
            background: Colour(0, 0, 0),
            shapes: Vec::new(),
        };
        let error = drawing
            .save(Path::new("curve.jpg"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("curve.jpg") && error.contains(".png or .svg"),
            "{error}"
        );
    }

    #[test]
    fn averaging_down_keeps_flat_colours_and_places() {
        let square = [(2.0, 1.0), (4.0, 1.0), (4.0, 3.0), (2.0, 3.0)];
        let red = Colour(255, 0, 0);
        let area = Shape::Area {
            points: square.to_vec(),
            colour: red,
            opacity: 1.0,
        };
        let drawing = Drawing {
            width: 6,
            height: 4,
            background: Colour(255, 255, 255),
            shapes: vec![area],
        };
        let pixels = drawing.pixels().unwrap();
        let at = |x: usize, y: usize| &pixels[(y * 6 + x) * 3..][..3];
        assert_eq!(at(2, 1), [255, 0, 0]);
        assert_eq!(at(3, 2), [255, 0, 0]);
        assert_eq!(at(0, 0), [255, 255, 255]);
        assert_eq!(at(5, 3), [255, 255, 255]);
    }

    #[test]
    fn the_font_has_every_sign_that_labels_use() {
        // A missing glyph is drawn as a box of one fixed width.
        let missing = text_width("\u{10FFFF}", 20.0);
        for sign in "09aZ−–·…→%()[]/²≥,.:×".chars() {
            assert!(text_width(&sign.to_string(), 20.0) != missing, "{sign}");
        }
    }
}
