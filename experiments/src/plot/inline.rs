//! A drawing as SVG inside a page, in the colours of the reader's choice.
//!
//! Files keep to what plotters writes. A page holds many pictures and should stay small and follow the light or dark of
//! its reader: colours are classes, points closer than a pixel's fraction are left out, and text stays text.

use std::fmt::Write;

use super::drawing::{Align, Drawing, Point, Shape};
use super::theme::Colour;
use crate::report::escape;

/// The colours of all pictures of a page: pairs of a light and a dark one, each a class.
#[derive(Debug, Default)]
pub(crate) struct Palette {
    pairs: Vec<(Colour, Colour)>,
}

impl Palette {
    fn index(&mut self, pair: (Colour, Colour)) -> usize {
        let known = self.pairs.iter().position(|known| *known == pair);
        known.unwrap_or_else(|| {
            self.pairs.push(pair);
            self.pairs.len() - 1
        })
    }

    /// Rules for a style sheet: `.f0` fills with the first colour, `.s0` draws lines with it. Paper is light.
    pub(crate) fn css(&self) -> String {
        let rules = |dark: bool| -> String {
            let rule = |(index, &(light, other)): (usize, &(Colour, Colour))| {
                let Colour(r, g, b) = if dark { other } else { light };
                let hex = format!("#{r:02x}{g:02x}{b:02x}");
                format!(".f{index}{{fill:{hex}}}.s{index}{{stroke:{hex}}}\n")
            };
            self.pairs.iter().enumerate().map(rule).collect()
        };
        let (light, dark) = (rules(false), rules(true));
        format!("{light}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n")
    }
}

/// The picture with the alternative text `label`. `light` and `dark` are the same shapes in other colours.
pub(super) fn svg(light: &Drawing, dark: &Drawing, label: &str, palette: &mut Palette) -> String {
    let (width, height) = (light.width, light.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" \
         fill=\"none\" stroke-linejoin=\"round\">\n",
        escape(label)
    );
    for (shape, other) in light.shapes.iter().zip(&dark.shapes) {
        let class = palette.index((colour(shape), colour(other)));
        // Writing to a String cannot fail.
        let _ = element(&mut svg, shape, class);
    }
    svg + "</svg>\n"
}

fn colour(shape: &Shape) -> Colour {
    match shape {
        Shape::Line { colour, .. } | Shape::Area { colour, .. } | Shape::Dot { colour, .. } => {
            *colour
        }
        Shape::Text(text) => text.colour,
    }
}

fn element(svg: &mut String, shape: &Shape, class: usize) -> std::fmt::Result {
    match shape {
        Shape::Line {
            points,
            width,
            dash,
            ..
        } => {
            let (width, path) = (short(*width), path(points));
            write!(svg, "<path class=\"s{class}\" stroke-width=\"{width}\"")?;
            if let Some((on, off)) = dash {
                write!(svg, " stroke-dasharray=\"{} {}\"", short(*on), short(*off))?;
            }
            writeln!(svg, " d=\"{path}\"/>")
        }
        Shape::Area {
            points, opacity, ..
        } => {
            let path = path(points);
            writeln!(
                svg,
                "<path class=\"f{class}\" fill-opacity=\"{opacity}\" d=\"{path}Z\"/>"
            )
        }
        Shape::Dot { at, radius, .. } => {
            let (x, y, r) = (short(at.0), short(at.1), short(*radius));
            writeln!(
                svg,
                "<circle class=\"f{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"
            )
        }
        Shape::Text(text) => {
            let anchor = match text.align {
                Align::Left => "",
                Align::Centre => " text-anchor=\"middle\"",
                Align::Right => " text-anchor=\"end\"",
            };
            writeln!(
                svg,
                "<text class=\"f{class}\" x=\"{}\" y=\"{}\" font-size=\"{}\"{anchor}>{}</text>",
                short(text.at.0),
                short(text.at.1),
                short(text.size),
                escape(&text.text)
            )
        }
    }
}

/// Lines through the points, without those that nobody could see.
fn path(points: &[Point]) -> String {
    /// In pixels of the picture, which is not shown larger than it is.
    const SEEN: f64 = 0.4;
    let mut path = String::new();
    let mut last: Option<Point> = None;
    for (index, &(x, y)) in points.iter().enumerate() {
        let near = last.is_some_and(|(a, b)| (x - a).abs() < SEEN && (y - b).abs() < SEEN);
        if near && index + 1 < points.len() {
            continue;
        }
        path.push(if last.is_none() { 'M' } else { 'L' });
        path.push_str(&short(x));
        path.push(' ');
        path.push_str(&short(y));
        last = Some((x, y));
    }
    path
}

/// A tenth of a pixel is as fine as it is seen.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0").unwrap_or(&text) {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::drawing::Text;

    fn drawing(colour: Colour) -> Drawing {
        let at = |x, y| (f64::from(x), f64::from(y));
        Drawing {
            width: 100,
            height: 50,
            background: Colour(0, 0, 0),
            shapes: vec![
                Shape::Line {
                    points: vec![at(0, 0), (0.2, 0.3), at(10, 5), (10.1, 5.0)],
                    width: 1.26,
                    colour,
                    dash: Some((4.0, 2.5)),
                },
                Shape::Dot {
                    at: at(3, 4),
                    radius: 2.0,
                    colour: Colour(9, 9, 9),
                },
                Shape::Text(Text {
                    at: (-0.01, 7.0),
                    align: Align::Right,
                    text: "a<b>&\u{1}".to_owned(),
                    size: 20.0,
                    colour,
                }),
            ],
        }
    }

    #[test]
    fn shapes_are_named_by_colour_and_points_that_nobody_sees_are_left_out() {
        let mut palette = Palette::default();
        let (light, dark) = (drawing(Colour(1, 2, 3)), drawing(Colour(255, 254, 253)));
        let svg = svg(&light, &dark, "\"x\" & y", &mut palette);
        for part in [
            "viewBox=\"0 0 100 50\"",
            "aria-label=\"&quot;x&quot; &amp; y\"",
            "<path class=\"s0\" stroke-width=\"1.3\" stroke-dasharray=\"4 2.5\" d=\"M0 0L10 5L10.1 5\"/>",
            "<circle class=\"f1\" cx=\"3\" cy=\"4\" r=\"2\"/>",
            "<text class=\"f0\" x=\"0\" y=\"7\" font-size=\"20\" text-anchor=\"end\">a&lt;b&gt;&amp;\u{FFFD}</text>",
        ] {
            assert!(svg.contains(part), "no {part} in\n{svg}");
        }
        assert!(roxmltree::Document::parse(&svg).is_ok());
        let css = palette.css();
        let (on_paper, on_screen) = css.split_once("@media").unwrap();
        assert!(on_paper.contains(".f0{fill:#010203}") && on_paper.contains(".s1{stroke:#090909}"));
        assert!(on_screen.contains(".f0{fill:#fffefd}"), "{css}");
    }
}
