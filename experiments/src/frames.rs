//! Reads the frames of a GIF as whole pictures.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gif::{ColorOutput, DecodeOptions, DisposalMethod, MemoryLimit};
use thorndike_core::Picture;

/// The most bytes that a frame may unfold to.
const MAX_FRAME_BYTES: u64 = 1 << 28;

/// Hands each frame of the GIF at `path` to `each`, with the seconds that it stays. Frames hold only what changes: they are
/// drawn over one another on black ground, and taken away again as the file says.
///
/// # Errors
/// If the file is damaged or too large, with its name and the number of the frame; what `each` gives.
pub(crate) fn each_frame(
    path: &Path,
    mut each: impl FnMut(&Picture, f64) -> Result<()>,
) -> Result<()> {
    let place = || path.display().to_string();
    let file = BufReader::new(File::open(path).with_context(place)?);
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.set_memory_limit(MemoryLimit::Bytes(
        std::num::NonZeroU64::new(MAX_FRAME_BYTES).expect("not 0"),
    ));
    let mut decoder = options.read_info(file).with_context(place)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let bytes = 3 * u64::from(width) * u64::from(height);
    ensure!(
        (1..=MAX_FRAME_BYTES).contains(&bytes),
        "{}: {width} x {height} pixels are none or too many",
        path.display()
    );
    let mut canvas = Picture::filled(width, height, [0; 3]);
    let mut number = 0;
    loop {
        number += 1;
        let damaged = || format!("{}, frame {number}", path.display());
        let Some(frame) = decoder.read_next_frame().with_context(damaged)? else {
            return Ok(());
        };
        let before = (frame.dispose == DisposalMethod::Previous).then(|| canvas.clone());
        let area = [frame.left, frame.top, frame.width, frame.height].map(u32::from);
        let pixels = frame.buffer.chunks_exact(4);
        paint(
            &mut canvas,
            area,
            pixels.map(|rgba| (rgba[3] > 0).then_some([rgba[0], rgba[1], rgba[2]])),
        );
        each(&canvas, f64::from(frame.delay) / 100.0)?;
        match (frame.dispose, before) {
            (DisposalMethod::Previous, Some(before)) => canvas = before,
            (DisposalMethod::Background, _) => {
                let black = (0..area[2] as usize * area[3] as usize).map(|_| Some([0; 3]));
                paint(&mut canvas, area, black);
            }
            _ => {}
        }
    }
}

/// Sets the pixels of an area, row by row, as far as they lie on the canvas and are not transparent.
fn paint(
    canvas: &mut Picture,
    [left, top, width, _]: [u32; 4],
    pixels: impl Iterator<Item = Option<[u8; 3]>>,
) {
    for (i, pixel) in pixels.enumerate() {
        let (x, y) = (left + i as u32 % width, top + i as u32 / width);
        if let Some(pixel) = pixel
            && x < canvas.width
            && y < canvas.height
        {
            let at = 3 * (y as usize * canvas.width as usize + x as usize);
            canvas.rgb[at..at + 3].copy_from_slice(&pixel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gif::{Encoder, Frame};

    #[test]
    fn frames_are_drawn_over_one_another_and_taken_away_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.gif");
        let mut encoder = Encoder::new(
            File::create(&path).unwrap(),
            2,
            1,
            &[0, 0, 0, 255, 0, 0, 0, 0, 255],
        )
        .unwrap();
        let mut add = |left, buffer: &'static [u8], transparent, dispose| {
            let frame = Frame {
                left,
                width: buffer.len() as u16,
                height: 1,
                buffer: buffer.into(),
                transparent,
                dispose,
                delay: 5,
                ..Frame::default()
            };
            encoder.write_frame(&frame).unwrap();
        };
        add(0, &[1, 1], None, DisposalMethod::Keep);
        add(1, &[2], None, DisposalMethod::Previous); // blue on the right, for once
        add(0, &[2, 0], Some(0), DisposalMethod::Background); // blue on the left
        add(1, &[2], None, DisposalMethod::Keep);
        drop(encoder);
        let mut seen = Vec::new();
        each_frame(&path, |picture, seconds| {
            assert_eq!(seconds, 0.05);
            seen.push([picture.pixel(0, 0), picture.pixel(1, 0)]);
            Ok(())
        })
        .unwrap();
        let (red, blue, black) = ([255, 0, 0], [0, 0, 255], [0; 3]);
        assert_eq!(seen, [[red, red], [red, blue], [blue, red], [black, blue]]);
    }

    #[test]
    fn a_damaged_film_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.gif");
        std::fs::write(&path, b"GIF89a\x01").unwrap();
        let error = each_frame(&path, |_, _| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("film.gif"), "{error:#}");
    }
}
