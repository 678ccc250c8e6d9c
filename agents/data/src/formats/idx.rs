//! IDX, the format of MNIST: a file of images and one of their labels, plain or compressed.
//!
//! Two zero bytes, 8 for bytes as scalars, the number of sizes; the sizes, 32 bits each, highest byte first; the scalars.
//!
//! # Reference
//! Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Kind, Result};

use super::{MAX_INFLATION, damaged, image_space, numbered};
use crate::{DataSet, Info, Part, Sample, Target, Task, Values};

/// A folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`, the test part; plain or
/// `.gz`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdxConfig {
    /// The folder.
    pub path: PathBuf,
    /// Names of the classes; the digits from 0 to the greatest label if there are none.
    pub classes: Vec<String>,
}

pub(crate) fn open(config: &IdxConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let (own, other) = match part {
        Part::Train => ("train", "t10k"),
        Part::Test => ("t10k", "train"),
        Part::Validation => return Ok(None),
    };
    let find = |part: &str, what: &str| find(&config.path, &format!("{part}-{what}-ubyte"));
    let Some(images) = find(own, "images-idx3") else {
        if part == Part::Test {
            return Ok(None);
        }
        let what = "there is no file train-images-idx3-ubyte or train-images-idx3-ubyte.gz in it";
        return Err(damaged(&config.path, what));
    };
    let Some(labels) = find(own, "labels-idx1") else {
        let what = format!("there is no file {own}-labels-idx1-ubyte[.gz] beside it");
        return Err(damaged(&images, what));
    };
    let mut set = Idx::read(images, &labels)?;
    let classes = if config.classes.is_empty() {
        // Both parts have the same classes, even if one lacks the last.
        let mut most = set.labels.iter().copied().max();
        if let Some(labels) = find(other, "labels-idx1") {
            most = most.max(read(&labels, 1)?.1.into_iter().max());
        }
        numbered(most.map_or(0, |most| usize::from(most) + 1))
    } else {
        config.classes.clone()
    };
    if let Some(i) = set
        .labels
        .iter()
        .position(|&label| usize::from(label) >= classes.len())
    {
        let (offset, label, last) = (8 + i, set.labels[i], classes.len() - 1);
        let what = format!("byte {offset}: the label is {label}, expected 0 to {last}");
        return Err(damaged(&labels, what));
    }
    set.info.task = Task::Classes { names: classes };
    Ok(Some(Arc::new(set)))
}

/// The file `name` of `folder`; some copies have a point for its last but one hyphen, most are compressed.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let pointed = name.replace("-idx", ".idx");
    let names = [name, &pointed].map(|name| [name.to_owned(), format!("{name}.gz")]);
    let mut paths = names.iter().flatten().map(|name| folder.join(name));
    paths.find(|path| path.is_file())
}

#[derive(Debug)]
struct Idx {
    info: Info,
    path: PathBuf,
    shape: Vec<usize>,
    /// Image after image, row by row.
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Idx {
    fn read(path: PathBuf, label_path: &Path) -> Result<Self> {
        let (sizes, pixels) = read(&path, 3)?;
        let (_, labels) = read(label_path, 1)?;
        let [images, height, width] = sizes[..] else {
            unreachable!("three sizes were asked for")
        };
        if labels.len() != images {
            let what = format!("holds {} labels for {images} images", labels.len());
            return Err(damaged(label_path, what));
        }
        Ok(Self {
            info: Info {
                space: image_space(1, height, width),
                scalar: Kind::U8,
                task: Task::Classes { names: Vec::new() },
                vocabulary: Vec::new(),
                encoding: serde_json::Value::Null,
            },
            path,
            shape: vec![1, height, width],
            pixels,
            labels,
        })
    }
}

impl DataSet for Idx {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let size: usize = self.shape.iter().product();
        Ok(Sample {
            values: Values::U8(self.pixels[index * size..][..size].to_vec()),
            shape: self.shape.clone(),
            target: Target::Class(self.labels[index].into()),
        })
    }

    fn origin(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }

    fn class(&self, index: usize) -> Result<Option<usize>> {
        Ok(Some(self.labels[index].into()))
    }
}

/// The sizes and scalars of an IDX file of bytes with as many sizes.
fn read(path: &Path, dimensions: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);
    let start = reader.fill_buf().map_err(Error::io(path))?;
    let zipped = start.starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn Read> = if zipped {
        Box::new(MultiGzDecoder::new(reader))
    } else {
        Box::new(reader)
    };

    let mut offset = 0;
    let mut word = || {
        let mut bytes = [0; 4];
        let read = reader.read_exact(&mut bytes);
        read.map_err(|e| damaged(path, format!("byte {offset}: the header is cut short: {e}")))?;
        offset += 4;
        Ok::<_, Error>(u32::from_be_bytes(bytes))
    };
    let magic = word()?;
    let expected = 0x0800 + dimensions as u32;
    if magic != expected {
        let what = format!("byte 0: found {magic:#010x}, expected {expected:#010x}");
        return Err(damaged(path, what));
    }
    let sizes = (0..dimensions)
        .map(|_| word())
        .collect::<Result<Vec<_>>>()?;
    if let Some(i) = sizes.iter().position(|&size| size == 0) {
        return Err(damaged(path, format!("byte {}: a size is 0", 4 + 4 * i)));
    }
    let header = 4 + 4 * dimensions as u64;
    let scalars = sizes
        .iter()
        .try_fold(1, |n: u64, &size| n.checked_mul(size.into()));
    let fits = |n: u64| {
        let whole = n.checked_add(header);
        whole.is_some_and(|whole| match zipped {
            true => whole <= length.saturating_mul(MAX_INFLATION),
            false => whole == length,
        })
    };
    let Some(scalars) = scalars.filter(|&n| fits(n)) else {
        let what = format!("byte 4: sizes {sizes:?} do not fit a file of {length} bytes");
        return Err(damaged(path, what));
    };
    // What a compressed file really holds is not known before: room is made as the bytes come.
    let mut data = Vec::with_capacity(if zipped { 0 } else { scalars as usize });
    let read = reader.take(scalars + 1).read_to_end(&mut data);
    let at = |n: usize| header + n as u64;
    read.map_err(|e| damaged(path, format!("cut short or damaged: {e}")))?;
    let found = data.len() as u64;
    if found != scalars {
        let more = if found < scalars { "ends" } else { "goes on" };
        let what = format!(
            "{more} at byte {}, expected {}",
            at(data.len()),
            header + scalars
        );
        return Err(damaged(path, what));
    }
    Ok((sizes.into_iter().map(|n| n as usize).collect(), data))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::SourceConfig;
    use crate::formats::tests::real;

    fn idx(sizes: &[u32], scalars: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(scalars);
        bytes
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    fn source(folder: &Path) -> SourceConfig {
        SourceConfig::Idx(IdxConfig {
            path: folder.to_owned(),
            classes: Vec::new(),
        })
    }

    /// Two training images of 2 x 3 pixels with labels 1 and 0, one test image with label 3.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        let pixels: Vec<u8> = (0..12).collect();
        write("train-images-idx3-ubyte", idx(&[2, 2, 3], &pixels));
        write("train-labels-idx1-ubyte", idx(&[2], &[1, 0]));
        write(
            "t10k-images-idx3-ubyte.gz",
            gz(&idx(&[1, 2, 3], &pixels[..6])),
        );
        write("t10k-labels-idx1-ubyte.gz", gz(&idx(&[1], &[3])));
        folder
    }

    #[test]
    fn plain_and_compressed_parts_share_their_classes() {
        let folder = folder();
        let source = source(folder.path());
        let train = source.open(Part::Train).unwrap().unwrap();
        let test = source.open(Part::Test).unwrap().unwrap();
        assert!(source.open(Part::Validation).unwrap().is_none());
        assert_eq!(train.info(), test.info());
        assert_eq!(train.info().task.names(), ["0", "1", "2", "3"]);
        assert_eq!((train.len(), test.len()), (2, 1));
        let sample = train.sample(1).unwrap();
        assert_eq!(sample.values, Values::U8((6..12).collect()));
        assert_eq!(
            (sample.shape, sample.target),
            (vec![1, 2, 3], Target::Class(0))
        );
        assert_eq!(test.class(0).unwrap(), Some(3));
        let [from, to] = ["images-idx3", "images.idx3"]
            .map(|name| folder.path().join(format!("train-{name}-ubyte")));
        fs::rename(from, to).unwrap();
        assert_eq!(source.open(Part::Train).unwrap().unwrap().len(), 2);
    }

    #[test]
    fn any_other_length_is_refused() {
        let folder = folder();
        for (name, part) in [
            ("train-images-idx3-ubyte", Part::Train),
            ("train-labels-idx1-ubyte", Part::Train),
            ("t10k-images-idx3-ubyte.gz", Part::Test),
            ("t10k-labels-idx1-ubyte.gz", Part::Test),
        ] {
            let path = folder.path().join(name);
            let whole = fs::read(&path).unwrap();
            let longer = [&whole[..], &[0]].concat();
            for bytes in (0..whole.len()).map(|n| &whole[..n]).chain([&longer[..]]) {
                fs::write(&path, bytes).unwrap();
                let error = source(folder.path()).open(part).unwrap_err().to_string();
                assert!(error.contains(name), "{error}");
            }
            fs::write(&path, whole).unwrap();
        }
    }

    #[test]
    fn sizes_beyond_the_file_are_refused_before_room_is_made() {
        let folder = folder();
        let path = folder.path().join("train-images-idx3-ubyte");
        for (sizes, zipped) in [
            ([u32::MAX; 3], true),
            ([1 << 20; 3], true),
            ([u32::MAX; 3], false),
        ] {
            let bytes = idx(&sizes, &[0; 12]);
            fs::write(&path, if zipped { gz(&bytes) } else { bytes }).unwrap();
            let error = source(folder.path())
                .open(Part::Train)
                .unwrap_err()
                .to_string();
            assert!(error.contains("byte 4: sizes ["), "{error}");
        }
    }

    #[test]
    fn labels_without_class_and_other_counts_are_refused() {
        let folder = folder();
        let config = IdxConfig {
            path: folder.path().to_owned(),
            classes: vec!["only".to_owned()],
        };
        let error = open(&config, Part::Train).unwrap_err().to_string();
        assert!(
            error.ends_with("byte 8: the label is 1, expected 0 to 0"),
            "{error}"
        );
        let labels = folder.path().join("train-labels-idx1-ubyte");
        fs::write(labels, idx(&[3], &[0, 0, 0])).unwrap();
        let error = source(folder.path())
            .open(Part::Train)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("holds 3 labels for 2 images"), "{error}");
    }

    #[test]
    fn fashion_mnist_has_700_and_200_images() {
        let Some(folder) = real("fashion_mnist_900") else {
            return;
        };
        let train = source(&folder).open(Part::Train).unwrap().unwrap();
        let test = source(&folder).open(Part::Test).unwrap().unwrap();
        assert_eq!((train.len(), test.len()), (700, 200));
        assert_eq!(train.info().task.names().len(), 10);
        assert_eq!(train.sample(699).unwrap().shape, [1, 28, 28]);
    }
}
