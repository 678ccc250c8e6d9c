//! Labelled images: read from IDX files, or generated.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result, Rng, Seeds};

use super::Split;
use super::raster::{Frame, blend, grey};

/// Width and height of an image.
pub(super) const SIDE: usize = 28;
/// Pixels of an image.
pub(super) const PIXELS: usize = SIDE * SIDE;
/// More images than any known set of this form has.
const MAX_IMAGES: u32 = 1_000_000;
/// The most that deflate makes of a byte.
const MAX_INFLATION: u64 = 1032;
/// Of how many images one is held back, where the files say nothing about it.
const HELD_BACK_ONE_OF: usize = 5;
const WHAT_TO_GIVE: &str = "give images = { folder = \"..\" } with the four IDX files of MNIST or Fashion-MNIST (.gz or \
    plain), images = { files = { images = \"..\", labels = \"..\" } }, or images = \"generated\"";

/// Where images come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageSource {
    /// Digits drawn by this program; every fifth one is held back.
    #[default]
    Generated,
    /// A folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k`, which are held
    /// back; `.gz` or plain.
    Folder(PathBuf),
    /// Two files; every fifth image is held back.
    Files {
        /// IDX file of images, 28 x 28 `u8`.
        images: PathBuf,
        /// IDX file of their labels, `u8`.
        labels: PathBuf,
    },
}

/// Labelled grey images of 28 x 28 pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// Image after image, row by row.
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    /// The images of `source` that belong to `split`; `seed` is for generated ones.
    ///
    /// ```
    /// use thorndike_envs::senses::{ImageSource, Images, Split};
    /// let images = Images::of(&ImageSource::Generated, Split::Train, 0).unwrap();
    /// assert_eq!(images.image(3).len(), 28 * 28);
    /// assert!(images.labels().contains(&7));
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] if a file is missing, or is not what it should be.
    pub fn of(source: &ImageSource, split: Split, seed: u64) -> Result<Self> {
        let every_fifth = |all: Self| match split {
            Split::All => all,
            Split::Train => all.filtered(|i| i % HELD_BACK_ONE_OF + 1 != HELD_BACK_ONE_OF),
            Split::HeldBack => all.filtered(|i| i % HELD_BACK_ONE_OF + 1 == HELD_BACK_ONE_OF),
        };
        match source {
            ImageSource::Generated => Ok(every_fifth(Self::generated(seed))),
            ImageSource::Files { images, labels } => Self::read(images, labels).map(every_fifth),
            ImageSource::Folder(folder) => {
                let part = |name: &str| {
                    let images = in_folder(folder, &format!("{name}-images"), "idx3-ubyte")?;
                    let labels = in_folder(folder, &format!("{name}-labels"), "idx1-ubyte")?;
                    Self::read(&images, &labels)
                };
                match split {
                    Split::Train => part("train"),
                    Split::HeldBack => part("t10k"),
                    Split::All => {
                        let (mut all, more) = (part("train")?, part("t10k")?);
                        all.pixels.extend(more.pixels);
                        all.labels.extend(more.labels);
                        Ok(all)
                    }
                }
            }
        }
    }

    /// Reads a file of images and one of their labels.
    ///
    /// # Errors
    /// [`Error::Config`] if a file cannot be read, is no IDX file of 28 x 28 images or of labels, is longer or
    /// shorter than it says, or if there are not as many labels as images.
    pub fn read(images: &Path, labels: &Path) -> Result<Self> {
        let side = SIDE as u32;
        let read = Self {
            pixels: read_idx(images, &[side, side])?,
            labels: read_idx(labels, &[])?,
        };
        let (found, expected) = (read.labels.len(), read.pixels.len() / PIXELS);
        if found != expected {
            return Err(wrong(
                labels,
                format!("holds {found} labels for {expected} images"),
            ));
        }
        Ok(read)
    }

    /// Digits of ten classes, 125 each, in strokes of varying width, size, slant and place, with noise.
    pub fn generated(seed: u64) -> Self {
        const EACH: usize = 125;
        let mut rng = Seeds::new(seed).stream("images/generated", 0);
        let mut images = Self::default();
        images.pixels.resize(10 * EACH * PIXELS, 0);
        for (i, image) in images.pixels.chunks_exact_mut(PIXELS).enumerate() {
            draw_digit(i / EACH, &mut rng, image);
            images.labels.push((i / EACH) as u8);
        }
        images
    }

    fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut kept = Self::default();
        for i in (0..self.labels.len()).filter(|&i| keep(i)) {
            kept.pixels.extend(self.image(i));
            kept.labels.push(self.labels[i]);
        }
        kept
    }

    /// Image `i`, row by row; a black one if there is none.
    pub fn image(&self, i: usize) -> &[u8] {
        const BLACK: &[u8] = &[0; PIXELS];
        let start = i.saturating_mul(PIXELS);
        let pixels = self.pixels.get(start..);
        pixels.map_or(BLACK, |rest| rest.get(..PIXELS).unwrap_or(BLACK))
    }

    /// The class of each image.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
}

fn wrong(path: &Path, what: String) -> Error {
    Error::config("images", format!("{}: {what}", path.display()))
}

/// The file `name-suffix` or `name.suffix` in `folder`, plain or compressed.
fn in_folder(folder: &Path, name: &str, suffix: &str) -> Result<PathBuf> {
    let names = ["-", "."].map(|dot| format!("{name}{dot}{suffix}"));
    let mut paths = names
        .iter()
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]);
    paths.find(|path| path.is_file()).ok_or_else(|| {
        let file = &names[0];
        wrong(
            folder,
            format!("there is no file {file} or {file}.gz; {WHAT_TO_GIVE}"),
        )
    })
}

/// The bytes of the IDX file `path`, whose items have the shape `item`.
///
/// The format: two zero bytes, 8 for bytes as scalars, the number of sizes; the sizes, 32 bits each, highest byte
/// first; the scalars (Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*).
fn read_idx(path: &Path, item: &[u32]) -> Result<Vec<u8>> {
    let wrong = |what: String| wrong(path, what);
    let unreadable = |e: std::io::Error| wrong(format!("cannot be read: {e}"));
    let file =
        File::open(path).map_err(|e| wrong(format!("cannot be read: {e}; {WHAT_TO_GIVE}")))?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(wrong(format!("is no file; {WHAT_TO_GIVE}")));
    }
    let mut reader = BufReader::new(file);
    let zipped = reader
        .fill_buf()
        .map_err(unreadable)?
        .starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn Read> = if zipped {
        Box::new(GzDecoder::new(reader))
    } else {
        Box::new(reader)
    };

    let mut word = || {
        let mut bytes = [0; 4];
        let read = reader.read_exact(&mut bytes);
        read.map(|()| u32::from_be_bytes(bytes))
            .map_err(|e| wrong(format!("is cut short or damaged: {e}")))
    };
    let expected = 0x0800 + 1 + item.len() as u32;
    let magic = word()?;
    if magic != expected {
        return Err(wrong(format!(
            "begins with {magic:#010x} where an IDX file of {} begins with {expected:#010x}",
            if item.is_empty() { "labels" } else { "images" }
        )));
    }
    let count = word()?;
    for &size in item {
        let found = word()?;
        if found != size {
            return Err(wrong(format!(
                "holds images of another size than 28 x 28: {found}"
            )));
        }
    }
    let header = u64::from(8 + 4 * item.len() as u32);
    // At most 10^6 * 28 * 28.
    let bytes =
        u64::from(count.min(MAX_IMAGES)) * item.iter().map(|&n| u64::from(n)).product::<u64>();
    let fits = if zipped {
        header + bytes <= metadata.len().saturating_mul(MAX_INFLATION)
    } else {
        header + bytes == metadata.len()
    };
    if count > MAX_IMAGES || !fits {
        return Err(wrong(format!(
            "says that it holds {count} items, which its length of {} bytes does not",
            metadata.len()
        )));
    }
    // Of a compressed file it is not known before what is in it: room is taken as the bytes come.
    let mut data = Vec::with_capacity(if zipped { 0 } else { bytes as usize });
    let read = reader.take(bytes + 1).read_to_end(&mut data);
    read.map_err(|e| wrong(format!("is cut short or damaged: {e}")))?;
    if data.len() as u64 != bytes {
        return Err(wrong(format!(
            "says that it holds {count} items and holds {} them",
            if (data.len() as u64) < bytes {
                "less than"
            } else {
                "more than"
            }
        )));
    }
    Ok(data)
}

/// Strokes of the digits, in a square with its origin at the upper left.
const DIGITS: [&[[f32; 2]]; 10] = [
    &[
        [0.5, 0.05],
        [0.25, 0.15],
        [0.15, 0.5],
        [0.25, 0.85],
        [0.5, 0.95],
        [0.75, 0.85],
        [0.85, 0.5],
        [0.75, 0.15],
        [0.5, 0.05],
    ],
    &[[0.3, 0.25], [0.55, 0.05], [0.55, 0.95]],
    &[
        [0.2, 0.25],
        [0.35, 0.08],
        [0.65, 0.08],
        [0.8, 0.27],
        [0.7, 0.5],
        [0.2, 0.95],
        [0.85, 0.95],
    ],
    &[
        [0.2, 0.1],
        [0.8, 0.1],
        [0.45, 0.42],
        [0.75, 0.52],
        [0.8, 0.75],
        [0.6, 0.95],
        [0.2, 0.88],
    ],
    &[[0.65, 0.95], [0.65, 0.05], [0.15, 0.65], [0.88, 0.65]],
    &[
        [0.8, 0.05],
        [0.25, 0.05],
        [0.22, 0.45],
        [0.6, 0.4],
        [0.82, 0.6],
        [0.75, 0.88],
        [0.5, 0.95],
        [0.18, 0.88],
    ],
    &[
        [0.72, 0.05],
        [0.35, 0.3],
        [0.18, 0.65],
        [0.3, 0.92],
        [0.6, 0.95],
        [0.8, 0.75],
        [0.65, 0.52],
        [0.35, 0.55],
        [0.2, 0.7],
    ],
    &[[0.15, 0.07], [0.85, 0.07], [0.45, 0.95]],
    &[
        [0.5, 0.48],
        [0.25, 0.3],
        [0.3, 0.1],
        [0.5, 0.04],
        [0.7, 0.1],
        [0.75, 0.3],
        [0.5, 0.48],
        [0.2, 0.7],
        [0.28, 0.9],
        [0.5, 0.96],
        [0.72, 0.9],
        [0.8, 0.7],
        [0.5, 0.48],
    ],
    &[
        [0.78, 0.35],
        [0.6, 0.48],
        [0.32, 0.45],
        [0.2, 0.25],
        [0.35, 0.06],
        [0.65, 0.06],
        [0.78, 0.35],
        [0.7, 0.7],
        [0.5, 0.95],
    ],
];

fn draw_digit(digit: usize, rng: &mut Rng, image: &mut [u8]) {
    let frame = Frame {
        width: SIDE,
        height: SIDE,
    };
    let mut between = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();
    let middle = [between(11.5, 16.5), between(11.5, 16.5)];
    let height = between(15.0, 21.0);
    let width = height * between(0.6, 0.95);
    let slant = between(-0.3, 0.3);
    let (thickness, ink) = (between(1.6, 3.6), between(150.0, 255.0) as u8);
    let mut place = |[x, y]: [f32; 2]| {
        let [x, y] = [
            x - 0.5 + between(-0.04, 0.04),
            y - 0.5 + between(-0.04, 0.04),
        ];
        [
            middle[0] + width * x - height * slant * y,
            middle[1] + height * y,
        ]
    };
    let mut from = place(DIGITS[digit][0]);
    for &point in &DIGITS[digit][1..] {
        let to = place(point);
        frame.line(from, to, thickness, grey(image, ink));
        from = to;
    }
    for pixel in image.chunks_exact_mut(1) {
        blend(pixel, rng.random(), &[rng.random_range(0..16)]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    /// A folder that is removed at the end.
    pub(crate) struct Folder(pub(crate) PathBuf);

    impl Folder {
        pub(crate) fn new(name: &str) -> Self {
            let folder = format!("thorndike-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(folder);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
        fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    pub(crate) fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        bytes.extend(sizes.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Two images and their labels.
    fn sample() -> (Vec<u8>, Vec<u8>) {
        let pixels: Vec<u8> = (0..2 * PIXELS).map(|i| (i % 251) as u8).collect();
        (idx(&[2, 28, 28], &pixels), idx(&[2], &[4, 9]))
    }

    #[test]
    fn plain_and_compressed_files_give_the_same() {
        let folder = Folder::new("idx-same");
        let (images, labels) = sample();
        let plain = Images::read(&folder.write("i", &images), &folder.write("l", &labels)).unwrap();
        assert_eq!(plain.labels(), [4, 9]);
        assert_eq!(plain.image(1)[0], (PIXELS % 251) as u8);
        let small = Images::read(
            &folder.write("i.gz", &zipped(&images)),
            &folder.write("l.gz", &zipped(&labels)),
        );
        assert_eq!(small.unwrap(), plain);
    }

    #[test]
    fn every_cut_is_refused() {
        let folder = Folder::new("idx-cut");
        let (images, labels) = sample();
        let labels = folder.write("labels", &labels);
        for bytes in [images.clone(), zipped(&images)] {
            for n in (0..20).chain([bytes.len() / 2, bytes.len() - 1]) {
                let cut = folder.write("images", &bytes[..n]);
                let error = Images::read(&cut, &labels).unwrap_err().to_string();
                assert!(
                    error.starts_with("images: ") && error.contains("images: "),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let folder = Folder::new("idx-flip");
        let (images, labels) = sample();
        let label_file = folder.write("labels", &labels);
        for bytes in [images.clone(), zipped(&images)] {
            for at in 0..bytes.len().min(60) {
                for flip in [1, 0x80, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[at] ^= flip;
                    let _ = Images::read(&folder.write("images", &bytes), &label_file);
                }
            }
        }
    }

    #[test]
    fn what_a_file_says_must_be_what_it_holds() {
        let folder = Folder::new("idx-says");
        let (images, labels) = sample();
        let labels = folder.write("labels", &labels);
        let refused = |bytes: &[u8]| {
            let path = folder.write("images", bytes);
            Images::read(&path, &labels).unwrap_err().to_string()
        };
        let header = |count: u32, side: u32| idx(&[count, side, 28], &[]);
        assert!(refused(&header(u32::MAX, 28)).contains("says that it holds 4294967295 items"));
        assert!(refused(&zipped(&header(999_999, 28))).contains("says that it holds 999999 items"));
        assert!(refused(&header(0, 27)).contains("another size than 28 x 28: 27"));
        assert!(refused(&idx(&[2], &[4, 9])).contains("begins with 0x00000801 where"));
        assert!(refused(&[images.as_slice(), &[0]].concat()).contains("its length of 1585 bytes"));
        assert!(refused(&zipped(&[images.as_slice(), &[0]].concat())).contains("more than"));
        assert!(refused(&idx(&[1, 28, 28], &[0; PIXELS])).contains("holds 2 labels for 1 images"));
    }

    #[test]
    fn a_missing_set_says_what_to_give() {
        let folder = Folder::new("idx-none");
        let source = ImageSource::Folder(folder.0.clone());
        let error = Images::of(&source, Split::Train, 0)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("images: "), "{error}");
        assert!(
            error.contains("there is no file train-images-idx3-ubyte or"),
            "{error}"
        );
        assert!(error.ends_with("or images = \"generated\""), "{error}");
        assert!(!error.contains('\n'));
        let files = ImageSource::Files {
            images: folder.0.join("no"),
            labels: folder.0.clone(),
        };
        let error = Images::of(&files, Split::Train, 0).unwrap_err().to_string();
        assert!(error.contains("cannot be read: ") && error.contains("give images ="));
    }

    #[test]
    fn the_parts_of_a_set_share_no_image() {
        let part = |split| Images::of(&ImageSource::Generated, split, 0).unwrap();
        let (train, held_back) = (part(Split::Train), part(Split::HeldBack));
        assert_eq!((train.labels.len(), held_back.labels.len()), (1000, 250));
        for class in 0..10 {
            let count = |part: &Images| part.labels.iter().filter(|&&l| l == class).count();
            assert_eq!((count(&train), count(&held_back)), (100, 25));
        }
        let known: std::collections::HashSet<&[u8]> = train.pixels.chunks_exact(PIXELS).collect();
        assert!(
            held_back
                .pixels
                .chunks_exact(PIXELS)
                .all(|image| !known.contains(image))
        );
    }

    #[test]
    fn the_nearest_generated_image_is_mostly_of_the_same_class() {
        let part = |split| Images::of(&ImageSource::Generated, split, 0).unwrap();
        let (train, held_back) = (part(Split::Train), part(Split::HeldBack));
        let mut right = 0;
        for (image, label) in held_back.pixels.chunks_exact(PIXELS).zip(&held_back.labels) {
            let apart = |other: &[u8]| -> u32 {
                let pairs = image.iter().zip(other);
                pairs.map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum()
            };
            let nearest = (0..1000).min_by_key(|&i| apart(train.image(i))).unwrap();
            right += usize::from(train.labels[nearest] == *label);
        }
        // Neither a guess (a tenth) nor a gift.
        assert!((125..250).contains(&right), "{right} of 250");
    }

    #[test]
    fn fashion_mnist_is_read() {
        let Some(folder) = fashion_mnist() else {
            return;
        };
        let source = ImageSource::Folder(folder);
        let count = |split| Images::of(&source, split, 0).unwrap().labels.len();
        let counts = [Split::Train, Split::HeldBack, Split::All].map(count);
        assert_eq!(counts, [700, 200, 900]);
    }

    /// Real images, where they are at hand.
    pub(crate) fn fashion_mnist() -> Option<PathBuf> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let data = std::env::var_os("THORNDIKE_DATA");
        let data = data.as_deref().unwrap_or("../shared/data".as_ref());
        let folder = workspace.join(data).join("fashion_mnist_900");
        if folder.is_dir() {
            return Some(folder);
        }
        let line = format!("skipped: no folder {}\n", folder.display());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        None
    }
}
