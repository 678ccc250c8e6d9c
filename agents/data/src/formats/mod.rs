//! Readers of data sets, one file a format. Files are not trusted: sizes are checked before room is made for them, and
//! what is damaged is refused with its file and place.
//!
//! To add a format: a file here with its config, `open` and, if it needs its own, `unlabelled`; a variant of
//! [`SourceConfig`](crate::SourceConfig).

use std::io;
use std::path::{Path, PathBuf};

use thorndike_core::{Error, Result, Space};

use crate::Part;

pub(crate) mod boxes;
pub(crate) mod characters;
pub(crate) mod cifar;
pub(crate) mod documents;
pub(crate) mod idx;
pub(crate) mod image_folder;
pub(crate) mod masks;
pub(crate) mod picture;
pub(crate) mod questions;
pub(crate) mod rows;
pub(crate) mod sentences;
pub(crate) mod sequences;
pub(crate) mod table;
pub(crate) mod tagged;
pub(crate) mod tokens;

/// The most that deflate makes of a byte.
const MAX_INFLATION: u64 = 1032;

/// An error of the contents of `path`.
pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Error {
    Error::io(path)(io::Error::new(io::ErrorKind::InvalidData, what.into()))
}

/// Images of bytes.
fn image_space(channels: usize, height: usize, width: usize) -> Space {
    Space::Box {
        shape: vec![channels, height, width],
        low: 0.0,
        high: 255.0,
    }
}

/// Any finite numbers: infinite bounds would not outlive the JSON that an [`Info`](crate::Info) is written as.
fn number_space(shape: &[usize]) -> Space {
    Space::Box {
        shape: shape.to_vec(),
        low: f32::MIN,
        high: f32::MAX,
    }
}

/// The folder of `part` in `path`: `train`, `val` or `test`; `path` itself for training if there is none of them.
fn part_folder(path: &Path, part: Part) -> Result<Option<PathBuf>> {
    let [train, val, test] = ["train", "val", "test"].map(|name| path.join(name));
    let whole = ![&train, &val, &test].iter().any(|part| part.is_dir());
    Ok(match part {
        Part::Train if whole => Some(path.to_owned()),
        Part::Train if !train.is_dir() => {
            return Err(damaged(
                path,
                "there is no folder train in it, but one of val or test",
            ));
        }
        Part::Train => Some(train),
        Part::Validation => Some(val).filter(|part| part.is_dir()),
        Part::Test => Some(test).filter(|part| part.is_dir()),
    })
}

/// Names for classes without a name.
fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

/// The first of many names.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| shortened(name))
        .collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

/// What is shown of a text of a file: its start, in one line.
fn shortened(text: &str) -> String {
    text.chars()
        .take(40)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::{Path, PathBuf};

    /// Real data, where they are at hand.
    pub(crate) fn real(name: &str) -> Option<PathBuf> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = std::env::var_os("THORNDIKE_DATA");
        let data = data.as_deref().unwrap_or("../shared/data".as_ref());
        let path = workspace.join(data).join(name);
        if path.exists() {
            return Some(path);
        }
        eprintln!("skipped: no {}", path.display());
        None
    }
}
