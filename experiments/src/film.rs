//! Frames of environments that draw themselves: films (GIF) and contact sheets (PNG).

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gif::{Encoder, Frame, Repeat};
use thorndike_core::Picture;

use crate::launch::write_whole;
use crate::plot;

/// A film that is being written beside its place; it gets its name when it is whole.
pub(crate) struct Film {
    path: PathBuf,
    tmp: PathBuf,
    encoder: Option<Encoder<BufWriter<File>>>,
    /// Hundredths of a second that a frame stays.
    delay: u16,
    /// Size of the first frame, enlarged.
    size: Option<(u32, u32)>,
    /// The newest frame, which is written when it is known how long it stays.
    newest: Option<Frame<'static>>,
    finished: bool,
}

/// Frames narrower than this are enlarged by a whole number: their captions would not be legible.
const MIN_WIDTH: u32 = 240;
const CAPTION_PIXELS: f64 = 13.0;

impl Film {
    /// A GIF at `path`, `speed` frames a second (50 at most: viewers slow faster ones down).
    ///
    /// # Errors
    /// If the file cannot be made, or its name does not end in `.gif`.
    pub(crate) fn create(path: &Path, speed: f64) -> Result<Self> {
        let is_gif = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("gif"));
        ensure!(is_gif, "{}: a film's name must end in .gif", path.display());
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let tmp = path.with_file_name(name);
        File::create(&tmp).with_context(|| format!("{}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            tmp,
            encoder: None,
            delay: (100.0 / speed.clamp(1.0, 50.0)).round() as u16,
            size: None,
            newest: None,
            finished: false,
        })
    }

    /// Adds a frame with its caption below.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add(&mut self, picture: &Picture, caption: &[&str]) -> Result<()> {
        let factor = MIN_WIDTH.div_ceil(picture.width.max(1)).max(1);
        let mut frame = picture.enlarged(factor);
        let (text, strip) = plot::strip(frame.width, CAPTION_PIXELS, caption)?;
        frame.rgb.extend(strip);
        let size = (frame.width, frame.height + text);
        ensure!(
            *self.size.get_or_insert(size) == size,
            "the environment changed the size of its frames"
        );
        let fits = |pixels: u32| u16::try_from(pixels).context("a frame is too large for a GIF");
        let (width, height) = (fits(size.0)?, fits(size.1)?);
        let failed = || format!("{}", self.path.display());
        if self.encoder.is_none() {
            let file = BufWriter::new(File::create(&self.tmp).with_context(failed)?);
            let mut encoder = Encoder::new(file, width, height, &[]).with_context(failed)?;
            encoder.set_repeat(Repeat::Infinite).with_context(failed)?;
            self.encoder = Some(encoder);
        }
        self.write()?;
        let mut frame = Frame::from_rgb_speed(width, height, &frame.rgb, 10);
        frame.delay = self.delay;
        self.newest = Some(frame);
        Ok(())
    }

    /// Lets the newest frame stay for at least `seconds`: where a film begins anew at once, nobody sees its end.
    pub(crate) fn hold(&mut self, seconds: f64) {
        if let Some(frame) = &mut self.newest {
            frame.delay = frame.delay.max((100.0 * seconds) as u16);
        }
    }

    fn write(&mut self) -> Result<()> {
        if let (Some(encoder), Some(frame)) = (&mut self.encoder, self.newest.take()) {
            let written = encoder.write_frame(&frame);
            written.with_context(|| format!("{}", self.path.display()))?;
        }
        Ok(())
    }

    /// Gives the film its name.
    ///
    /// # Errors
    /// If it cannot be written to the end.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.write()?;
        let failed = format!("{}", self.path.display());
        let encoder = self.encoder.take().context("no frame was drawn")?;
        let mut file = encoder.into_inner().with_context(|| failed.clone())?;
        file.flush().with_context(|| failed.clone())?;
        fs::rename(&self.tmp, &self.path).context(failed)?;
        self.finished = true;
        Ok(())
    }
}

/// What was not finished leaves nothing behind.
impl Drop for Film {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.tmp);
        }
    }
}

/// Writes pictures with their names as one PNG, `columns` beside each other.
///
/// # Errors
/// If there is none, or the file cannot be written.
pub(crate) fn contact_sheet(
    path: &Path,
    pictures: &[(String, Picture)],
    columns: u32,
) -> Result<()> {
    const CELL: u32 = 200;
    const GAP: u32 = 16;
    /// The longest name fits under its picture.
    const NAME_PIXELS: f64 = 11.0;
    ensure!(!pictures.is_empty(), "no environment draws itself");
    ensure!(
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("png")),
        "{}: a contact sheet's name must end in .png",
        path.display()
    );
    let (text, _) = plot::strip(CELL, NAME_PIXELS, &[""])?;
    let rows = (pictures.len() as u32).div_ceil(columns);
    let (width, row_height) = (columns * (CELL + GAP) + GAP, CELL + text + GAP);
    let mut sheet = Picture::filled(width, rows * row_height + GAP, [255; 3]);
    for (i, (name, picture)) in pictures.iter().enumerate() {
        let (x, y) = (
            GAP + i as u32 % columns * (CELL + GAP),
            GAP + i as u32 / columns * row_height,
        );
        let fitted = fitted(picture, CELL);
        let (dx, dy) = ((CELL - fitted.width) / 2, CELL - fitted.height);
        paste(&mut sheet, &fitted, x + dx, y + dy);
        let (height, rgb) = plot::strip(CELL, NAME_PIXELS, &[name])?;
        let caption = Picture {
            width: CELL,
            height,
            rgb,
        };
        paste(&mut sheet, &caption, x, y + CELL);
    }
    write_whole(path, &plot::png(sheet.width, sheet.height, &sheet.rgb)?)
}

/// The picture with its longer side `side` pixels long; each pixel is the mean of what it covers.
fn fitted(picture: &Picture, side: u32) -> Picture {
    let longer = f64::from(picture.width.max(picture.height));
    let scale = longer / f64::from(side);
    let scaled = |pixels: u32| ((f64::from(pixels) / scale).round() as u32).clamp(1, side);
    let mut out = Picture::filled(scaled(picture.width), scaled(picture.height), [0; 3]);
    let span = |at: u32, pixels: u32| {
        let first = ((f64::from(at) * scale) as u32).min(pixels - 1);
        let last = ((f64::from(at + 1) * scale).ceil() as u32).clamp(first + 1, pixels);
        first..last
    };
    for y in 0..out.height {
        for x in 0..out.width {
            let (mut sum, mut count) = ([0_u32; 3], 0);
            for from_y in span(y, picture.height) {
                for from_x in span(x, picture.width) {
                    let pixel = picture.pixel(from_x, from_y);
                    (0..3).for_each(|channel| sum[channel] += u32::from(pixel[channel]));
                    count += 1;
                }
            }
            let at = ((y * out.width + x) * 3) as usize;
            (0..3).for_each(|channel| out.rgb[at + channel] = (sum[channel] / count) as u8);
        }
    }
    out
}

fn paste(sheet: &mut Picture, picture: &Picture, x: u32, y: u32) {
    let (row, from) = (sheet.width as usize * 3, picture.width as usize * 3);
    for (i, pixels) in picture.rgb.chunks_exact(from).enumerate() {
        let at = (y as usize + i) * row + x as usize * 3;
        sheet.rgb[at..at + from].copy_from_slice(pixels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_appears_when_it_is_whole_and_has_every_frame() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.gif");
        let mut film = Film::create(&path, 20.0).unwrap();
        for shade in [0, 100, 200] {
            film.add(&Picture::filled(100, 50, [shade; 3]), &["step", "return"])
                .unwrap();
            assert!(!path.exists());
        }
        film.hold(1.0);
        film.finish().unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut film = options.read_info(File::open(&path).unwrap()).unwrap();
        let mut shades = Vec::new();
        while let Some(frame) = film.read_next_frame().unwrap() {
            assert_eq!(frame.width, 300, "enlarged three times");
            shades.push((frame.buffer[0], frame.delay));
        }
        assert_eq!(shades, [(0, 5), (100, 5), (200, 100)]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_film_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut film = Film::create(&dir.path().join("film.gif"), 20.0).unwrap();
        film.add(&Picture::filled(10, 10, [0; 3]), &[""]).unwrap();
        let error = film
            .add(&Picture::filled(11, 10, [0; 3]), &[""])
            .unwrap_err();
        assert!(error.to_string().contains("changed the size"), "{error}");
        drop(film);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(Film::create(&dir.path().join("film.mp4"), 20.0).is_err());
    }

    #[test]
    fn a_fitted_picture_keeps_its_form_and_its_mean() {
        let mut picture = Picture::filled(400, 100, [0; 3]);
        picture.rgb[..400 * 50 * 3].fill(200);
        let small = fitted(&picture, 200);
        assert_eq!((small.width, small.height), (200, 50));
        assert_eq!((small.pixel(0, 24), small.pixel(0, 25)), ([200; 3], [0; 3]));
        let large = fitted(&Picture::filled(3, 2, [7; 3]), 200);
        assert_eq!((large.width, large.height), (200, 133));
        assert!(large.rgb.iter().all(|&x| x == 7));
    }
}
