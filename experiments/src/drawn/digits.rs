//! Digits in the files of MNIST: the very images that `digit-maze` shows.

use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use thorndike_envs::senses::{ImageSource, Images, Split};

use super::Order;
use super::folder::Folder;

const CLASSES: usize = 10;
const SIDE: u32 = 28;

/// 1,000 images to learn from and 250 held back are those of `digit-maze` with `image_seed = seed`; more go on with those
/// of the next seeds. Classes take turns, so that each has as many.
pub(super) fn draw(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    let names = ["train", "t10k"].into_iter().zip(order.counts());
    for ((name, count), split) in names.zip([Split::Train, Split::HeldBack]) {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        let mut seed = order.seed;
        while labels.len() < count {
            let images = Images::of(&ImageSource::Generated, split, seed)?;
            // They come class by class.
            let all = images.labels().len();
            let mixed = (0..all).map(|i| i % CLASSES * (all / CLASSES) + i / CLASSES);
            for i in mixed.take(count - labels.len()) {
                pixels.extend(images.image(i));
                labels.push(images.labels()[i]);
            }
            seed = seed.wrapping_add(1);
        }
        let number = count as u32;
        let images = idx(&[number, SIDE, SIDE], &pixels)?;
        out.write(&format!("{name}-images-idx3-ubyte.gz"), &images)?;
        let labels = idx(&[number], &labels)?;
        out.write(&format!("{name}-labels-idx1-ubyte.gz"), &labels)?;
    }
    Ok(())
}

/// A compressed IDX file of bytes.
fn idx(sizes: &[u32], bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&[0, 0, 8, sizes.len() as u8])?;
    for size in sizes {
        encoder.write_all(&size.to_be_bytes())?;
    }
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
