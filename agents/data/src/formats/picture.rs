//! Pictures in files: JPEG and PNG, decoded on demand.

use std::ffi::OsStr;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};
use thorndike_core::{Error, Kind, Picture, Result, Space, check_range};

use super::{MAX_INFLATION, damaged};
use crate::boxes::Letterbox;
use crate::{DataSet, Info, Sample, Target, Values};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";
/// Both formats have an entropy code: a bit for eight pixels at the least, before deflate.
const MAX_PIXELS_PER_BYTE: u64 = 8 * MAX_INFLATION;
/// More than any picture that a model is trained on needs.
const MAX_DECODED_BYTES: u64 = 1 << 30;

/// The greatest height or width that pictures are resized to.
const MAX_SIDE: usize = 16_384;

/// How pictures come to the size of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// They keep their own.
    Own,
    /// Height and width, whatever that does to proportions.
    Stretch([usize; 2]),
    /// Height and width, with proportions kept and grey around; see [`Letterbox`].
    Letterbox([usize; 2]),
}

impl From<Option<[usize; 2]>> for Fit {
    fn from(size: Option<[usize; 2]>) -> Self {
        size.map_or(Self::Own, Self::Stretch)
    }
}

/// The pixels of one picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pixels {
    /// `[channels, height, width]`
    pub(super) values: Vec<u8>,
    /// Height and width.
    pub(super) size: [usize; 2],
}

/// Files of pictures, whose pixels are kept as long as there is room.
#[derive(Debug)]
pub(super) struct Pictures {
    pub(super) files: Vec<PathBuf>,
    channels: usize,
    fit: Fit,
    kept: Vec<OnceLock<Pixels>>,
    /// Bytes that may still be kept.
    room: AtomicUsize,
}

impl Pictures {
    /// `channels` is 1 or 3.
    pub(super) fn new(
        files: Vec<PathBuf>,
        channels: usize,
        fit: impl Into<Fit>,
        cache_bytes: usize,
    ) -> Self {
        Self {
            kept: files.iter().map(|_| OnceLock::new()).collect(),
            files,
            channels,
            fit: fit.into(),
            room: AtomicUsize::new(cache_bytes),
        }
    }

    pub(super) fn read(&self, index: usize) -> Result<Pixels> {
        if let Some(pixels) = self.kept[index].get() {
            return Ok(pixels.clone());
        }
        let pixels = read(&self.files[index], self.channels, self.fit)?;
        let bytes = pixels.values.len();
        // What is kept stays: every epoch reads every picture, so that making room for another one gains nothing.
        let taken = self
            .room
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                room.checked_sub(bytes)
            });
        if taken.is_ok() && self.kept[index].set(pixels.clone()).is_err() {
            self.room.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(pixels)
    }

    /// The greatest height and width, and whether all are of that size.
    pub(super) fn largest(&self) -> Result<([usize; 2], bool)> {
        if let Fit::Stretch(size) | Fit::Letterbox(size) = self.fit {
            return Ok((size, true));
        }
        let (mut largest, mut equal) = (None, true);
        for file in &self.files {
            let size @ [height, width] = size_of(file)?;
            let [h, w] = *largest.get_or_insert(size);
            equal &= size == [h, w];
            largest = Some([h.max(height), w.max(width)]);
        }
        Ok((largest.unwrap_or([0, 0]), equal))
    }
}

/// Pictures without labels.
#[derive(Debug)]
pub(super) struct Unlabelled {
    info: Info,
    pictures: Pictures,
    /// Of letterboxed pictures.
    frames: Vec<Letterbox>,
}

impl Unlabelled {
    /// The picture `path`, or those in the folder `path`, in the order of their names, but for those that `skip`
    /// says. `fit` is given the size that `info` has.
    pub(super) fn open(
        info: &Info,
        path: &Path,
        fit: impl FnOnce([usize; 2]) -> Fit,
        skip: impl Fn(&Path) -> bool,
    ) -> Result<Self> {
        let shape = match &info.space {
            Space::Box { shape, .. } if info.scalar == Kind::U8 => &shape[..],
            _ => &[],
        };
        let &[channels, height, width] = shape else {
            let what = "pictures for a model of no pictures";
            return Err(Error::Unsupported(what.to_owned()));
        };
        check(channels, Some([height, width]))?;
        let fit = fit([height, width]);
        let mut files = match path.is_dir() {
            true => pictures_in(path)?,
            false => vec![path.to_owned()],
        };
        files.retain(|file| !skip(file));
        if files.is_empty() {
            return Err(damaged(path, "there is no JPEG or PNG file in it"));
        }
        let mut frames = Vec::new();
        for file in &files {
            let size = size_of(file)?;
            if let Fit::Letterbox(to) = fit {
                frames.push(Letterbox::new(size, to));
            }
        }
        Ok(Self {
            info: info.clone(),
            pictures: Pictures::new(files, channels, fit, 0),
            frames,
        })
    }
}

impl DataSet for Unlabelled {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.pictures.files.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let pixels = self.pictures.read(index)?;
        Ok(pixels.into_sample(self.pictures.channels, Target::Unknown))
    }

    fn origin(&self, index: usize) -> String {
        self.pictures.files[index].display().to_string()
    }

    fn class(&self, _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn frame(&self, index: usize) -> Option<Letterbox> {
        self.frames.get(index).copied()
    }
}

impl Pixels {
    /// Set on a grey ground of size `to`, from row and column `start` on.
    fn framed(self, [top, left]: [usize; 2], to: [usize; 2]) -> Self {
        let [height, width] = self.size;
        let channels = self.values.len() / (height * width);
        let mut values = vec![Letterbox::GREY; channels * to[0] * to[1]];
        for (y, row) in self.values.chunks_exact(width).enumerate() {
            let (channel, y) = (y / height, y % height + top);
            values[(channel * to[0] + y) * to[1] + left..][..width].copy_from_slice(row);
        }
        Self { values, size: to }
    }

    pub(super) fn into_sample(self, channels: usize, target: Target) -> Sample {
        let [height, width] = self.size;
        Sample {
            values: Values::U8(self.values),
            shape: vec![channels, height, width],
            target,
        }
    }
}

/// Checks options that formats of pictures share.
pub(super) fn check(channels: usize, size: Option<[usize; 2]>) -> Result<()> {
    if ![1, 3].contains(&channels) {
        return Err(Error::config(
            "channels",
            format!("{channels} is out of range; give 1 or 3"),
        ));
    }
    for side in size.into_iter().flatten() {
        check_range("size", side, 1..=MAX_SIDE)?;
    }
    Ok(())
}

/// The JPEG and PNG files of `folder`, in the order of their names.
pub(super) fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_picture = |path: &Path| {
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        ["jpg", "jpeg", "png"]
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    };
    let mut files = entries(folder)?;
    files.retain(|path| is_picture(path) && path.is_file());
    Ok(files)
}

/// What is in `folder`, in the order of the names; without hidden files, which programs leave behind.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Height and width of a picture, of which only the head is looked at.
pub(super) fn size_of(path: &Path) -> Result<[usize; 2]> {
    let length = fs::metadata(path).map_err(Error::io(path))?.len();
    let reader = ImageReader::open(path).map_err(Error::io(path))?;
    let reader = reader.with_guessed_format().map_err(Error::io(path))?;
    if !matches!(reader.format(), Some(ImageFormat::Jpeg | ImageFormat::Png)) {
        return Err(damaged(path, "byte 0: expected a JPEG or PNG file"));
    }
    let size = reader.into_dimensions();
    let size = size.map_err(|e| damaged(path, one_line(&e.to_string())))?;
    checked_size(path, size, length)
}

/// Height and width, if a file of `length` bytes can hold so many pixels.
fn checked_size(path: &Path, (width, height): (u32, u32), length: u64) -> Result<[usize; 2]> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > length.saturating_mul(MAX_PIXELS_PER_BYTE) {
        let what = format!("says {width} x {height} pixels, which {length} bytes cannot hold");
        return Err(damaged(path, what));
    }
    Ok([height as usize, width as usize])
}

/// Decodes a picture of 1 or 3 `channels`; resized with a triangle filter, which averages when it makes smaller.
pub(super) fn read(path: &Path, channels: usize, fit: impl Into<Fit>) -> Result<Pixels> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    Ok(fitted(decode(path, &bytes)?, channels, fit.into()))
}

/// Brings a picture to the size of the input.
fn fitted(image: DynamicImage, channels: usize, fit: Fit) -> Pixels {
    let own = [image.height() as usize, image.width() as usize];
    let frame = match fit {
        Fit::Own => None,
        Fit::Stretch(inner) => Some(inner),
        Fit::Letterbox(to) => Some(Letterbox::new(own, to).inner),
    };
    let image = match frame {
        Some(inner @ [height, width]) if inner != own => {
            image.resize_exact(width as u32, height as u32, FilterType::Triangle)
        }
        _ => image,
    };
    let size = [image.height() as usize, image.width() as usize];
    let values = match channels {
        1 => image.into_luma8().into_raw(),
        _ => {
            let pixels = image.into_rgb8().into_raw(); // [H, W, 3]
            let channel = |c| pixels.iter().skip(c).step_by(3).copied();
            (0..3).flat_map(channel).collect() // [H, W, 3] -> [3, H, W]
        }
    };
    let pixels = Pixels { values, size };
    match fit {
        Fit::Letterbox(to) if size != to => pixels.framed(Letterbox::new(own, to).start, to),
        _ => pixels,
    }
}

/// A picture as the detector of `info` reads it, and how it was fitted into the input.
///
/// # Errors
/// If `info` is not of pictures.
pub fn letterboxed(picture: &Picture, info: &Info) -> Result<(Sample, Letterbox)> {
    let &[channels, height, width] = info.space.shape().as_slice() else {
        let what = "pictures for a model of no pictures";
        return Err(Error::Unsupported(what.to_owned()));
    };
    check(channels, Some([height, width]))?;
    let (own, to) = (
        [picture.height as usize, picture.width as usize],
        [height, width],
    );
    let image = RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone());
    let image = image.expect("three bytes a pixel");
    let pixels = fitted(image.into(), channels, Fit::Letterbox(to));
    let sample = pixels.into_sample(channels, Target::Unknown);
    Ok((sample, Letterbox::new(own, to)))
}

/// The picture in a JPEG or PNG file, as it is.
///
/// # Errors
/// If it cannot be read or is damaged, with its name.
pub fn read_picture(path: &Path) -> Result<Picture> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let image = decode(path, &bytes)?;
    Ok(Picture {
        width: image.width(),
        height: image.height(),
        rgb: image.into_rgb8().into_raw(),
    })
}

fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage> {
    let format = whole(bytes).map_err(|what| damaged(path, what))?;
    let wrong = |e: image::ImageError| damaged(path, one_line(&e.to_string()));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(wrong)?;
    checked_size(path, decoder.dimensions(), bytes.len() as u64)?;
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        let (width, height) = decoder.dimensions();
        return Err(damaged(
            path,
            format!("{width} x {height} pixels are more than can be decoded"),
        ));
    }
    DynamicImage::from_decoder(decoder).map_err(wrong)
}

/// The values of the pixels of a PNG file of one channel, as they stand there: grey of up to 16 bits, or numbers of a
/// palette.
pub(super) fn read_numbers(path: &Path) -> Result<(Vec<u16>, [usize; 2])> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let format = whole(&bytes).map_err(|what| damaged(path, what))?;
    if format != ImageFormat::Png {
        return Err(damaged(
            path,
            "byte 0: expected a PNG file, as JPEG changes numbers",
        ));
    }
    let wrong = |e: png::DecodingError| damaged(path, one_line(&e.to_string()));
    let limits = png::Limits {
        bytes: MAX_DECODED_BYTES as usize,
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(&bytes), limits);
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(wrong)?;
    let head = reader.info();
    let size @ [height, width] = checked_size(path, (head.width, head.height), bytes.len() as u64)?;
    let (color, depth) = (head.color_type, head.bit_depth as usize);
    if !matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed) {
        let what = format!("expected one number for each pixel (grey or palette), found {color:?}");
        return Err(damaged(path, what));
    }
    let room = reader
        .output_buffer_size()
        .filter(|&n| n as u64 <= MAX_DECODED_BYTES);
    let room = room.ok_or_else(|| damaged(path, "holds more pixels than can be decoded"))?;
    let mut buffer = vec![0; room];
    let frame = reader.next_frame(&mut buffer).map_err(wrong)?;
    reader.finish().map_err(wrong)?;
    let mut numbers = Vec::with_capacity(height * width);
    for row in buffer.chunks_exact(frame.line_size).take(height) {
        match depth {
            16 => numbers.extend(
                row.chunks_exact(2)
                    .map(|b| u16::from_be_bytes([b[0], b[1]])),
            ),
            _ => {
                let (in_byte, mask) = (8 / depth, (1_u16 << depth) - 1);
                let number = |x: usize| {
                    let shift = 8 - depth * (x % in_byte + 1);
                    u16::from(row[x / in_byte]) >> shift & mask
                };
                numbers.extend((0..width).map(number));
            }
        }
    }
    Ok((numbers, size))
}

/// The format of `bytes`, if they go on to the end of the picture; decoders fill with grey what is missing.
fn whole(bytes: &[u8]) -> Result<ImageFormat, String> {
    let cut = || format!("ends at byte {}, before the picture ends", bytes.len());
    if bytes.starts_with(PNG) {
        let mut at = PNG.len();
        loop {
            // Length, name, contents, checksum.
            let head = bytes.get(at..at + 8).ok_or_else(cut)?;
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            at += 12 + length;
            if at > bytes.len() {
                return Err(cut());
            }
            if &head[4..] == b"IEND" {
                return Ok(ImageFormat::Png);
            }
        }
    }
    if bytes.starts_with(JPEG) {
        let mut at = 2;
        loop {
            // To the next marker, over coded pixels, in which 0xff is followed by 0.
            let pair = bytes.get(at..at + 2).ok_or_else(cut)?;
            at += 1;
            let (0xff, marker @ 1..=0xfe) = (pair[0], pair[1]) else {
                continue;
            };
            at += 1;
            match marker {
                0xd9 => return Ok(ImageFormat::Jpeg),
                0x01 | 0xd0..=0xd8 => {}
                _ => {
                    let length = bytes.get(at..at + 2).ok_or_else(cut)?;
                    at += usize::from(u16::from_be_bytes([length[0], length[1]]));
                }
            }
        }
    }
    Err("byte 0: expected a JPEG or PNG file".to_owned())
}

/// Messages of decoders may have several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use image::{GrayImage, Luma, RgbImage};

    use super::*;

    /// 4 x 3 pixels: `x` in red, `10 * y` in green, 7 in blue.
    pub(crate) fn colours() -> RgbImage {
        RgbImage::from_fn(4, 3, |x, y| image::Rgb([x as u8, 10 * y as u8, 7]))
    }

    #[test]
    fn channels_lie_one_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        colours().save(&path).unwrap();
        let pixels = read(&path, 3, None).unwrap();
        assert_eq!(pixels.size, [3, 4]);
        assert_eq!(pixels.values[..5], [0, 1, 2, 3, 0]);
        assert_eq!(pixels.values[12..20], [0, 0, 0, 0, 10, 10, 10, 10]);
        assert_eq!(pixels.values[24..], [7; 12]);
        assert_eq!(read(&path, 1, Some([2, 2])).unwrap().values.len(), 4);
    }

    #[test]
    fn every_truncation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.jpg"] {
            let path = folder.path().join(name);
            colours().save(&path).unwrap();
            let bytes = fs::read(&path).unwrap();
            assert!(read(&path, 3, None).is_ok());
            for n in 0..bytes.len() {
                fs::write(&path, &bytes[..n]).unwrap();
                let error = read(&path, 3, None).unwrap_err().to_string();
                assert!(error.contains(name) && !error.contains('\n'), "{error}");
                let _ = size_of(&path);
                assert!(read_numbers(&path).is_err());
            }
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.jpg"] {
            let path = folder.path().join(name);
            GrayImage::from_fn(9, 9, |x, y| Luma([(x * y) as u8]))
                .save(&path)
                .unwrap();
            let bytes = fs::read(&path).unwrap();
            for at in 0..bytes.len() {
                for value in [0xff, bytes[at] ^ 1] {
                    let mut bytes = bytes.clone();
                    bytes[at] = value;
                    fs::write(&path, bytes).unwrap();
                    let _ = (
                        size_of(&path),
                        read(&path, 3, Some([4, 4])),
                        read_numbers(&path),
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_of_few_bits_and_of_a_palette_are_read_as_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        for (color, depth, data, expected) in [
            (
                png::ColorType::Grayscale,
                png::BitDepth::One,
                vec![0b1010_0000],
                [1, 0, 1],
            ),
            (
                png::ColorType::Indexed,
                png::BitDepth::Two,
                vec![0b1101_0000],
                [3, 1, 0],
            ),
            (
                png::ColorType::Grayscale,
                png::BitDepth::Eight,
                vec![200, 0, 9],
                [200, 0, 9],
            ),
            (
                png::ColorType::Grayscale,
                png::BitDepth::Sixteen,
                vec![1, 2, 0, 3, 255, 255],
                [258, 3, 65535],
            ),
        ] {
            let file = fs::File::create(&path).unwrap();
            let mut encoder = png::Encoder::new(file, 3, 1);
            encoder.set_color(color);
            encoder.set_depth(depth);
            if color == png::ColorType::Indexed {
                encoder.set_palette(vec![0; 12]);
            }
            let mut writer = encoder.write_header().unwrap();
            writer.write_image_data(&data).unwrap();
            writer.finish().unwrap();
            assert_eq!(read_numbers(&path).unwrap(), (expected.to_vec(), [1, 3]));
        }
    }

    #[test]
    fn what_is_kept_is_the_same_and_stays_within_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a.png", "b.png"].map(|name| folder.path().join(name));
        for file in &files {
            colours().save(file).unwrap();
        }
        let pictures = Pictures::new(files.to_vec(), 3, None, 40);
        let first = [0, 1].map(|i| pictures.read(i).unwrap());
        assert!(pictures.kept[0].get().is_some() && pictures.kept[1].get().is_none());
        assert_eq!([0, 1].map(|i| pictures.read(i).unwrap()), first);
        assert_eq!(pictures.room.load(Ordering::Relaxed), 40 - 36);
    }
}
