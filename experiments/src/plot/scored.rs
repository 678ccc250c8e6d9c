//! Pictures of what a model says: which classes it takes for which, and its worst mistakes.

use std::path::Path;

use anyhow::Result;
use thorndike_core::Picture;
use thorndike_data::{Sample, Values};

use super::drawing::{Align, Drawing, Shape, Text, png, text_width};
use super::figure::clip;
use super::theme::{Colour, Theme};
use crate::launch::write_whole;

/// Height of a cell of the matrix, pixels.
const CELL: f64 = 44.0;
const SIZE: f64 = 14.0;
const PAD: f64 = 24.0;
/// More classes than this are too many to read.
pub(crate) const MOST_CLASSES: usize = 40;

/// Draws a confusion matrix: `counts` `[truth, predicted]` of classes called `names`.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn confusion(title: &str, names: &[String], counts: &[u64], path: &Path) -> Result<()> {
    let theme = Theme::Light;
    let n = names.len();
    let shown: Vec<String> = names.iter().map(|name| clip(name, SIZE, 150.0)).collect();
    let widest = shown.iter().map(|name| text_width(name, SIZE));
    let labels = widest.fold(40.0, f64::max) + 10.0;
    // Names of columns lie one under another on a slope of their own: every second is a line lower.
    let head = PAD + 3.0 * SIZE + 3.0 * SIZE + 12.0;
    let (left, side) = (PAD + SIZE * 1.6 + labels, CELL * n as f64);
    let width = (left + side + PAD).max(PAD * 2.0 + text_width(title, 1.2 * SIZE));
    let height = head + side + PAD;
    let mut shapes = Vec::new();
    let mut text = |at, align, text: String, size, colour| {
        shapes.push(Shape::Text(Text {
            at,
            align,
            text,
            size,
            colour,
        }));
    };
    text(
        (PAD, PAD + SIZE),
        Align::Left,
        title.to_owned(),
        1.2 * SIZE,
        theme.text(),
    );
    let facts = "rows: the right class; columns: what the model said; shade: share of the row";
    text(
        (PAD, PAD + 2.6 * SIZE),
        Align::Left,
        clip(facts, 0.85 * SIZE, width - 2.0 * PAD),
        0.85 * SIZE,
        theme.muted(),
    );
    for (i, name) in shown.iter().enumerate() {
        let middle = (i as f64 + 0.5) * CELL;
        let line = if i % 2 == 0 { 0.0 } else { SIZE };
        text(
            (left + middle, head - 8.0 - SIZE + line),
            Align::Centre,
            clip(name, 0.75 * SIZE, 2.0 * CELL - 6.0),
            0.75 * SIZE,
            theme.text(),
        );
        text(
            (left - 8.0, head + middle + 0.35 * SIZE),
            Align::Right,
            name.clone(),
            SIZE,
            theme.text(),
        );
    }
    let (blue, red) = (theme.series(0), Colour(0xC4, 0x3C, 0x2E));
    for (truth, row) in counts.chunks_exact(n).enumerate() {
        let all = row.iter().sum::<u64>().max(1);
        for (said, &count) in row.iter().enumerate() {
            let (x, y) = (left + said as f64 * CELL, head + truth as f64 * CELL);
            let share = count as f64 / all as f64;
            let colour = if truth == said { blue } else { red };
            let gap = 1.0;
            shapes.push(Shape::Area {
                points: vec![
                    (x + gap, y + gap),
                    (x + CELL - gap, y + gap),
                    (x + CELL - gap, y + CELL - gap),
                    (x + gap, y + CELL - gap),
                ],
                colour: match count {
                    0 => theme.grid().over(theme.background(), 0.35),
                    _ => colour.over(theme.background(), 0.12 + 0.88 * share),
                },
                opacity: 1.0,
            });
            if count > 0 {
                let dark = share > 0.5;
                shapes.push(Shape::Text(Text {
                    at: (x + CELL / 2.0, y + CELL / 2.0 + 0.35 * SIZE),
                    align: Align::Centre,
                    text: count.to_string(),
                    size: if count > 9_999 { 0.75 * SIZE } else { SIZE },
                    colour: if dark {
                        theme.background()
                    } else {
                        theme.text()
                    },
                }));
            }
        }
    }
    Drawing {
        width: width.ceil() as u32,
        height: height.ceil() as u32,
        background: theme.background(),
        shapes,
    }
    .save(path)
}

/// What a sample looks like; none if it is no picture.
pub(crate) fn picture(sample: &Sample) -> Option<Picture> {
    let (Values::U8(pixels), [channels, height, width]) = (&sample.values, &sample.shape[..])
    else {
        return None;
    };
    let plane = height * width;
    let rgb = (0..plane).flat_map(|at| {
        let of = |channel: usize| pixels[channel * plane + at];
        match channels {
            3 => [of(0), of(1), of(2)],
            _ => [of(0); 3],
        }
    });
    Some(Picture {
        width: *width as u32,
        height: *height as u32,
        rgb: rgb.collect(),
    })
}

/// One entry of a sheet: pictures side by side, and two lines under them.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Of one height.
    pub(crate) pictures: Vec<Picture>,
    /// Shown below.
    pub(crate) lines: [String; 2],
}

/// Draws a sheet of entries, `columns` in a row, under a title.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn sheet(title: &str, entries: &[Entry], columns: usize, path: &Path) -> Result<()> {
    const GAP: u32 = 14;
    const LETTERS: f64 = 12.0;
    /// Small pictures are enlarged to about this many pixels.
    const SHOWN: u32 = 140;
    let enlarged: Vec<Vec<Picture>> = entries
        .iter()
        .map(|entry| {
            let side = entry.pictures.iter().map(|p| p.height.max(1)).max();
            let factor = (SHOWN / side.unwrap_or(1)).max(1);
            let larger = entry.pictures.iter().map(|p| p.enlarged(factor));
            larger.collect()
        })
        .collect();
    let wide = |pictures: &Vec<Picture>| -> u32 {
        let widths: u32 = pictures.iter().map(|p| p.width).sum();
        widths + 4 * (pictures.len() as u32).saturating_sub(1)
    };
    let tile = enlarged.iter().map(wide).max().unwrap_or(SHOWN).max(SHOWN);
    let tall = enlarged.iter().flatten().map(|p| p.height).max();
    let tall = tall.unwrap_or(SHOWN);
    let (caption_height, _) = super::strip(tile, LETTERS, &["", ""])?;
    let columns = columns.clamp(1, entries.len().max(1)) as u32;
    let rows = (entries.len() as u32).div_ceil(columns);
    let width = GAP + columns * (tile + GAP);
    let (title_height, title_pixels) = super::strip(width, 16.0, &[title])?;
    let height = title_height + GAP + rows * (tall + caption_height + GAP);
    let mut rgb = vec![255; 3 * (width * height) as usize];
    let mut paste = |x0: u32, y0: u32, w: u32, pixels: &[u8]| {
        for (y, line) in pixels.chunks_exact(3 * w as usize).enumerate() {
            let start = 3 * ((y0 + y as u32) * width + x0) as usize;
            rgb[start..][..line.len()].copy_from_slice(line);
        }
    };
    paste(0, 0, width, &title_pixels);
    for (i, (entry, pictures)) in entries.iter().zip(&enlarged).enumerate() {
        let (column, row) = (i as u32 % columns, i as u32 / columns);
        let (mut x, y) = (
            GAP + column * (tile + GAP),
            title_height + GAP + row * (tall + caption_height + GAP),
        );
        let lines = entry
            .lines
            .each_ref()
            .map(|line| clip(line, LETTERS, f64::from(tile) - LETTERS));
        let (_, caption) = super::strip(tile, LETTERS, &lines.each_ref().map(String::as_str))?;
        paste(x, y + tall, tile, &caption);
        for picture in pictures {
            paste(x, y, picture.width, &picture.rgb);
            x += picture.width + 4;
        }
    }
    write_whole(path, &png(width, height, &rgb)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confusion_matrix_has_a_cell_for_each_pair() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("confusion.png");
        let names = ["a".to_owned(), "b".to_owned()];
        assert!(names.len() <= MOST_CLASSES);
        confusion("title", &names, &[3, 1, 0, 4], &path).unwrap();
        let drawn = thorndike_data::read_picture(&path).unwrap();
        let cell = CELL as u32;
        assert!(drawn.width > 2 * cell && drawn.height > 2 * cell);
    }
}
