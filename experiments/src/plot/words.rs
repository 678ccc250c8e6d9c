//! A picture of words as points in a plane.

use std::path::Path;

use anyhow::Result;

use super::drawing::{Align, Drawing, Point, Shape, Text, text_width};
use super::theme::Theme;

const SIZE: f64 = 11.0;
const SIDE: f64 = 1100.0;
const PAD: f64 = 24.0;
/// Height of the title.
const HEAD: f64 = 40.0;

/// A label that has its place: left, top, right, bottom.
type Box4 = [f64; 4];

/// Draws a dot for each of `words` at its place, with the word beside it wherever that covers no other; earlier words have
/// the first choice.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn words(
    title: &str,
    words: &[String],
    places: &[[f64; 2]],
    theme: Theme,
    path: &Path,
) -> Result<()> {
    drawing(title, words, places, theme).save(path)
}

fn drawing(title: &str, words: &[String], places: &[[f64; 2]], theme: Theme) -> Drawing {
    let points = on_paper(places);
    let mut shapes = Vec::new();
    let mut taken: Vec<Box4> = points
        .iter()
        .map(|&(x, y)| [x - 2.0, y - 2.0, x + 2.0, y + 2.0])
        .collect();
    let mut hidden = 0;
    for &at in &points {
        shapes.push(Shape::Dot {
            at,
            radius: 1.8,
            colour: theme.series(0),
        });
    }
    for (own, (word, &at)) in words.iter().zip(&points).enumerate() {
        let free = places_around(at, text_width(word, SIZE))
            .into_iter()
            .find(|(_, area)| is_free(area, &taken, own));
        let Some((at, area)) = free else {
            hidden += 1;
            continue;
        };
        taken.push(area);
        shapes.push(Shape::Text(Text {
            at,
            align: Align::Left,
            text: word.clone(),
            size: SIZE,
            colour: theme.text(),
        }));
    }
    let title = match hidden {
        0 => title.to_owned(),
        _ => format!("{title}; {hidden} without a name for want of room"),
    };
    shapes.push(Shape::Text(Text {
        at: (PAD, PAD + 8.0),
        align: Align::Left,
        text: title,
        size: 1.3 * SIZE,
        colour: theme.muted(),
    }));
    Drawing {
        width: SIDE as u32,
        height: (SIDE + HEAD) as u32,
        background: theme.background(),
        shapes,
    }
}

/// Points in the picture, the farthest at its edges; both directions have the same scale.
fn on_paper(places: &[[f64; 2]]) -> Vec<Point> {
    let range = |axis: usize| {
        let values = places.iter().map(|place| place[axis]);
        let low = values.clone().fold(f64::INFINITY, f64::min);
        (low, values.fold(f64::NEG_INFINITY, f64::max))
    };
    let ((left, right), (bottom, top)) = (range(0), range(1));
    let span = (right - left).max(top - bottom);
    // Room for a word on either side; all in one place are in the middle.
    let scale = match span > 0.0 {
        true => (SIDE - 2.0 * PAD - 80.0) / span,
        false => 0.0,
    };
    let middle = |low: f64, high: f64| (low + high) / 2.0;
    places
        .iter()
        .map(|&[x, y]| {
            let x = (x - middle(left, right)) * scale + SIDE / 2.0;
            let y = (middle(bottom, top) - y) * scale + SIDE / 2.0 + HEAD;
            (x, y)
        })
        .collect()
}

/// Where a word of `width` may stand beside its point, the best first: start of its baseline, and what it covers.
fn places_around((x, y): Point, width: f64) -> Vec<(Point, Box4)> {
    const GAP: f64 = 4.0;
    let (right, left, middle) = (x + GAP, x - GAP - width, x - width / 2.0);
    let (above, level, below) = (y - GAP, y + 0.35 * SIZE, y + GAP + 0.75 * SIZE);
    [
        (right, level),
        (left, level),
        (middle, above),
        (middle, below),
        (right, above),
        (right, below),
        (left, above),
        (left, below),
    ]
    .map(|(x, y)| {
        (
            (x, y),
            [x - 1.0, y - 0.8 * SIZE, x + width + 1.0, y + 0.25 * SIZE],
        )
    })
    .into()
}

/// Whether `area` lies in the picture and covers none of `taken` but the point that is its `own`.
fn is_free(area: &Box4, taken: &[Box4], own: usize) -> bool {
    let &[left, top, right, bottom] = area;
    let inside = left >= 4.0 && right <= SIDE - 4.0 && top >= HEAD && bottom <= SIDE + HEAD - 4.0;
    let apart = |(index, other): (usize, &Box4)| {
        index == own
            || left >= other[2]
            || right <= other[0]
            || top >= other[3]
            || bottom <= other[1]
    };
    inside && taken.iter().enumerate().all(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_words_overlap_and_none_leaves_the_picture() {
        let words: Vec<String> = (0..200).map(|i| format!("word{}", i * 37)).collect();
        let place = |i: usize| [(i as f64 * 1.7).sin() * 3.0, (i as f64 * 0.9).cos()];
        let places: Vec<[f64; 2]> = (0..200).map(place).collect();
        let drawing = drawing("words", &words, &places, Theme::Light);
        let boxes: Vec<Box4> = drawing
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Text(text) => {
                    let (x, y) = text.at;
                    let width = text_width(&text.text, text.size);
                    Some([x, y - 0.75 * text.size, x + width, y + 0.2 * text.size])
                }
                _ => None,
            })
            .collect();
        assert!(boxes.len() > 100, "{} words have room", boxes.len());
        for (i, a) in boxes.iter().enumerate() {
            assert!(a[0] >= 0.0 && a[2] <= SIDE && a[3] <= SIDE + HEAD, "{a:?}");
            for b in &boxes[i + 1..] {
                let apart = a[0] >= b[2] || a[2] <= b[0] || a[1] >= b[3] || a[3] <= b[1];
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn words_in_one_place_are_drawn_too() {
        let words = ["a".to_owned(), "b".to_owned()];
        let drawing = drawing("", &words, &[[1.0, 1.0]; 2], Theme::Dark);
        assert!(drawing.shapes.len() >= 4);
    }
}
