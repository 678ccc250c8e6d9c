//! Boxes with their classes, drawn on pictures.

use anyhow::Result;
use thorndike_core::Picture;
use thorndike_data::boxes::Bounds;

use super::drawing::{Align, Drawing, Shape, Text, text_width};
use super::theme::{Colour, Theme};

/// A box, and what is written on it.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    /// In pixels of the picture.
    pub(crate) bounds: Bounds,
    /// Its colour is that of this number.
    pub(crate) class: usize,
    /// Nothing is written if it is empty.
    pub(crate) label: String,
}

/// Height of the letters in pixels.
const SIZE: f64 = 13.0;
/// Small pictures are enlarged until their shorter side has as many pixels: text needs room.
const LEAST_SIDE: u32 = 300;

/// Draws boxes, later ones over earlier ones and all labels over all boxes. A small picture is enlarged.
///
/// # Errors
/// If text cannot be drawn.
pub(crate) fn with_boxes(picture: &Picture, boxes: &[Labelled]) -> Result<Picture> {
    let side = picture.width.min(picture.height).max(1);
    let factor = LEAST_SIDE.div_ceil(side);
    let mut canvas = picture.enlarged(factor);
    let place = |edge: f32| (edge * factor as f32).round() as i64;
    for Labelled { bounds, class, .. } in boxes {
        let colour = Theme::Light.series(*class);
        // A rim of the other lightness keeps the line apart from whatever lies around it.
        let rim = contrast(colour);
        let [x1, y1, x2, y2] = bounds.map(place);
        for (inset, colour) in [(-1, rim), (2, rim), (0, colour), (1, colour)] {
            frame(
                &mut canvas,
                [x1 + inset, y1 + inset, x2 - inset, y2 - inset],
                colour,
            );
        }
    }
    for Labelled {
        bounds,
        class,
        label,
    } in boxes.iter().filter(|drawn| !drawn.label.is_empty())
    {
        let (width, height, pixels) = plate(label, Theme::Light.series(*class))?;
        let [x1, y1, ..] = bounds.map(place);
        // Above the box if there is room, else within; never past the right edge.
        let x = (x1 - 1).clamp(0, (i64::from(canvas.width) - i64::from(width)).max(0));
        let above = y1 - 1 - i64::from(height);
        let y = if above >= 0 { above } else { (y1 + 2).max(0) };
        paste(&mut canvas, x as u32, y as u32, width, &pixels);
    }
    Ok(canvas)
}

/// Black or white, whichever is farther from `colour` in lightness.
fn contrast(Colour(r, g, b): Colour) -> Colour {
    let light = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    match light > 140.0 {
        true => Colour(0, 0, 0),
        false => Colour(0xFF, 0xFF, 0xFF),
    }
}

/// A line around the pixels from the left and upper edge up to before the right and lower one.
fn frame(canvas: &mut Picture, [x1, y1, x2, y2]: [i64; 4], Colour(r, g, b): Colour) {
    let (width, height) = (i64::from(canvas.width), i64::from(canvas.height));
    let mut dot = |x: i64, y: i64| {
        if (0..width).contains(&x) && (0..height).contains(&y) {
            let at = 3 * (y * width + x) as usize;
            canvas.rgb[at..at + 3].copy_from_slice(&[r, g, b]);
        }
    };
    for x in x1.max(0)..x2.min(width) {
        dot(x, y1);
        dot(x, y2 - 1);
    }
    for y in y1.max(0)..y2.min(height) {
        dot(x1, y);
        dot(x2 - 1, y);
    }
}

/// Text on a plate of `colour`: width, height, pixels.
fn plate(label: &str, colour: Colour) -> Result<(u32, u32, Vec<u8>)> {
    let width = (text_width(label, SIZE) + 0.6 * SIZE).ceil() as u32;
    let height = (1.35 * SIZE).ceil() as u32;
    let text = Shape::Text(Text {
        at: (0.3 * SIZE, SIZE),
        align: Align::Left,
        text: label.to_owned(),
        size: SIZE,
        colour: contrast(colour),
    });
    let drawing = Drawing {
        width,
        height,
        background: colour,
        shapes: vec![text],
    };
    Ok((width, height, drawing.pixels()?))
}

/// Puts pixels on the canvas, as far as they fit.
fn paste(canvas: &mut Picture, x: u32, y: u32, width: u32, pixels: &[u8]) {
    let shown = width.min(canvas.width.saturating_sub(x)) as usize;
    for (line, y) in pixels
        .chunks_exact(3 * width as usize)
        .zip(y..canvas.height)
    {
        let start = 3 * (y * canvas.width + x) as usize;
        canvas.rgb[start..][..3 * shown].copy_from_slice(&line[..3 * shown]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_framed_and_labelled_and_its_inside_is_left_alone() {
        let picture = Picture::filled(400, 300, [90; 3]);
        let drawn = Labelled {
            bounds: [50.0, 100.0, 350.0, 250.0],
            class: 0,
            label: "WBC 97 %".to_owned(),
        };
        let shown = with_boxes(&picture, &[drawn]).unwrap();
        let Colour(r, g, b) = Theme::Light.series(0);
        assert_eq!((shown.width, shown.height), (400, 300));
        for (x, y) in [(50, 200), (51, 200), (349, 200), (200, 249), (200, 101)] {
            assert_eq!(shown.pixel(x, y), [r, g, b], "{x}, {y}");
        }
        assert_eq!(shown.pixel(49, 200), [255; 3]);
        assert_eq!(shown.pixel(52, 200), [255; 3]);
        assert_eq!(shown.pixel(200, 175), [90; 3]);
        // White letters on a plate above the box.
        let plate = (50..130).flat_map(|x| (82..99).map(move |y| (x, y)));
        let plate: Vec<[u8; 3]> = plate.map(|(x, y)| shown.pixel(x, y)).collect();
        assert!(plate.contains(&[255; 3]) && plate.contains(&[r, g, b]));
    }

    #[test]
    fn boxes_past_the_edges_and_on_small_pictures_are_drawn_too() {
        let picture = Picture::filled(20, 10, [0; 3]);
        let label = |bounds| Labelled {
            bounds,
            class: 5,
            label: "a name much longer than the picture is wide, and then some more words"
                .to_owned(),
        };
        let boxes = [
            label([-5.0, -5.0, 30.0, 30.0]),
            label([19.0, 9.0, 20.0, 10.0]),
            label([3.0, 3.0, 3.0, 3.0]),
        ];
        let shown = with_boxes(&picture, &boxes).unwrap();
        assert_eq!((shown.width, shown.height), (600, 300));
        assert!(shown.rgb.iter().any(|&value| value > 0));
    }
}
