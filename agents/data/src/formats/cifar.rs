//! The binary files of CIFAR-10 and CIFAR-100, read from the disk at each call.
//!
//! Rows of one label byte (CIFAR-100: two, coarse and fine) and 3,072 bytes of pixels: red, green, blue, each row by row.
//!
//! # Reference
//! A. Krizhevsky, *Learning multiple layers of features from tiny images*, 2009; "binary version" of its page.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Kind, Result};

use super::{damaged, image_space, numbered};
use crate::{DataSet, Info, Part, Sample, Target, Task, Values};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// A folder with `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin` (CIFAR-10), or `train.bin` and `test.bin`
/// (CIFAR-100).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CifarConfig {
    /// The folder.
    pub path: PathBuf,
    /// Which labels of CIFAR-100 are learned.
    pub labels: CifarLabels,
}

/// Which labels of CIFAR-100 are learned; CIFAR-10 has one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CifarLabels {
    /// 100 classes.
    #[default]
    Fine,
    /// 20 classes.
    Coarse,
}

pub(crate) fn open(config: &CifarConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let path = |name: &str| config.path.join(name);
    let hundred = path("train.bin").is_file();
    let files: Vec<PathBuf> = match (part, hundred) {
        (Part::Validation, _) => return Ok(None),
        (Part::Train, true) => vec![path("train.bin")],
        (Part::Train, false) => (1..=5)
            .map(|i| path(&format!("data_batch_{i}.bin")))
            .collect(),
        (Part::Test, true) => vec![path("test.bin")],
        (Part::Test, false) => vec![path("test_batch.bin")],
    };
    if part == Part::Test && !files[0].exists() {
        return Ok(None);
    }
    if let Some(file) = files.iter().find(|file| !file.is_file()) {
        let name = file.file_name().unwrap_or_default().display();
        let what = format!(
            "there is no file {name} in it; expected data_batch_1.bin to data_batch_5.bin, or train.bin"
        );
        return Err(damaged(&config.path, what));
    }
    let (label_bytes, label_at, classes, names) = match (hundred, config.labels) {
        (false, _) => (1, 0, 10, "batches.meta.txt"),
        (true, CifarLabels::Coarse) => (2, 0, 20, "coarse_label_names.txt"),
        (true, CifarLabels::Fine) => (2, 1, 100, "fine_label_names.txt"),
    };
    let record = label_bytes + PIXELS;
    let names = read_names(&path(names), classes)?;
    let (mut batches, mut len) = (Vec::new(), 0);
    for path in files {
        let file = File::open(&path).map_err(Error::io(&path))?;
        let length = file.metadata().map_err(Error::io(&path))?.len();
        if length == 0 || !length.is_multiple_of(record as u64) {
            let what = format!("has {length} bytes, expected a multiple of {record}");
            return Err(damaged(&path, what));
        }
        len += (length / record as u64) as usize;
        let file = Mutex::new(file);
        batches.push(Batch {
            path,
            file,
            end: len,
        });
    }
    let info = Info {
        space: image_space(SHAPE[0], SHAPE[1], SHAPE[2]),
        scalar: Kind::U8,
        task: Task::Classes { names },
        vocabulary: Vec::new(),
        encoding: serde_json::Value::Null,
    };
    Ok(Some(Arc::new(Cifar {
        info,
        batches,
        label_bytes,
        label_at,
    })))
}

/// The names of the classes, one a line; numbers if there is no such file.
fn read_names(path: &Path, classes: usize) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok(numbered(classes));
    }
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<String> = lines.map(str::to_owned).collect();
    if names.len() != classes {
        let what = format!("names {} classes, expected {classes}", names.len());
        return Err(damaged(path, what));
    }
    Ok(names)
}

#[derive(Debug)]
struct Cifar {
    info: Info,
    batches: Vec<Batch>,
    /// Label bytes of a row.
    label_bytes: usize,
    /// Which of them counts.
    label_at: usize,
}

#[derive(Debug)]
struct Batch {
    path: PathBuf,
    file: Mutex<File>,
    /// Number of the first sample behind it.
    end: usize,
}

impl Cifar {
    /// The file of sample `index`, and its row there.
    fn place(&self, index: usize) -> (&Batch, usize) {
        let i = self.batches.partition_point(|batch| batch.end <= index);
        let start = i
            .checked_sub(1)
            .map_or(0, |before| self.batches[before].end);
        (&self.batches[i], index - start)
    }

    /// The first bytes of the row of sample `index`, and its class.
    fn read(&self, index: usize, bytes: &mut [u8]) -> Result<usize> {
        let (batch, row) = self.place(index);
        let start = (row * (self.label_bytes + PIXELS)) as u64;
        let read = {
            let mut file = batch.file.lock().unwrap_or_else(|e| e.into_inner());
            let place = file.seek(SeekFrom::Start(start));
            place.and_then(|_| file.read_exact(bytes))
        };
        read.map_err(Error::io(&batch.path))?;
        let (label, classes) = (bytes[self.label_at], self.info.task.names().len());
        if usize::from(label) >= classes {
            let (at, last) = (start + self.label_at as u64, classes - 1);
            let what = format!("byte {at}: the label is {label}, expected 0 to {last}");
            return Err(damaged(&batch.path, what));
        }
        Ok(label.into())
    }
}

impl DataSet for Cifar {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.batches.last().map_or(0, |batch| batch.end)
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let mut bytes = vec![0; self.label_bytes + PIXELS];
        let class = self.read(index, &mut bytes)?;
        bytes.drain(..self.label_bytes);
        Ok(Sample {
            values: Values::U8(bytes),
            shape: SHAPE.to_vec(),
            target: Target::Class(class),
        })
    }

    fn origin(&self, index: usize) -> String {
        let (batch, row) = self.place(index);
        format!("{}, image {row}", batch.path.display())
    }

    fn class(&self, index: usize) -> Result<Option<usize>> {
        self.read(index, &mut [0; 2][..self.label_bytes]).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with these labels and pixels of the row's number, red; 1, green; 2, blue.
    fn rows(labels: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (i, label) in labels.iter().enumerate() {
            bytes.extend(*label);
            bytes.extend(
                [i as u8; 1024]
                    .into_iter()
                    .chain([1; 1024])
                    .chain([2; 1024]),
            );
        }
        bytes
    }

    fn ten() -> (tempfile::TempDir, CifarConfig) {
        let folder = tempfile::tempdir().unwrap();
        for i in 1..=5 {
            let bytes = rows(&[&[i], &[0]]);
            fs::write(folder.path().join(format!("data_batch_{i}.bin")), bytes).unwrap();
        }
        let config = CifarConfig {
            path: folder.path().to_owned(),
            ..CifarConfig::default()
        };
        (folder, config)
    }

    #[test]
    fn rows_of_all_batches_are_read_in_order() {
        let (folder, config) = ten();
        assert!(open(&config, Part::Test).unwrap().is_none());
        fs::write(folder.path().join("test_batch.bin"), rows(&[&[9]])).unwrap();
        fs::write(
            folder.path().join("batches.meta.txt"),
            "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n",
        )
        .unwrap();
        let train = open(&config, Part::Train).unwrap().unwrap();
        let test = open(&config, Part::Test).unwrap().unwrap();
        assert_eq!(train.info(), test.info());
        assert_eq!(train.info().task.names()[9], "j");
        assert_eq!((train.len(), test.len()), (10, 1));
        let classes: Vec<_> = (0..10).map(|i| train.class(i).unwrap().unwrap()).collect();
        assert_eq!(classes, [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
        let Values::U8(pixels) = train.sample(7).unwrap().values else {
            panic!("pixels are bytes")
        };
        assert_eq!(
            [pixels[0], pixels[1023], pixels[1024], pixels[3071]],
            [1, 1, 1, 2]
        );
        assert!(train.origin(7).ends_with("data_batch_4.bin, image 1"));
    }

    #[test]
    fn the_hundred_have_coarse_and_fine_classes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("train.bin"),
            rows(&[&[3, 70], &[19, 99]]),
        )
        .unwrap();
        for (labels, classes, expected) in
            [(CifarLabels::Fine, 100, 70), (CifarLabels::Coarse, 20, 3)]
        {
            let path = folder.path().to_owned();
            let set = open(&CifarConfig { path, labels }, Part::Train)
                .unwrap()
                .unwrap();
            assert_eq!(set.info().task.names().len(), classes);
            assert_eq!(set.sample(0).unwrap().target, Target::Class(expected));
            assert_eq!(set.len(), 2);
        }
    }

    #[test]
    fn other_lengths_and_labels_are_refused() {
        let (folder, config) = ten();
        let path = folder.path().join("data_batch_2.bin");
        for length in [0, 1, 3072, 3074, 6145] {
            fs::write(&path, vec![0; length]).unwrap();
            let error = open(&config, Part::Train).unwrap_err().to_string();
            let what = format!("data_batch_2.bin: has {length} bytes, expected a multiple of 3073");
            assert!(error.ends_with(&what), "{error}");
        }
        fs::write(&path, rows(&[&[0], &[10]])).unwrap();
        let set = open(&config, Part::Train).unwrap().unwrap();
        let error = set.sample(3).unwrap_err().to_string();
        assert!(
            error.ends_with("byte 3073: the label is 10, expected 0 to 9"),
            "{error}"
        );
        fs::remove_file(path).unwrap();
        let error = open(&config, Part::Train).unwrap_err().to_string();
        assert!(
            error.contains("there is no file data_batch_2.bin in it"),
            "{error}"
        );
    }
}
