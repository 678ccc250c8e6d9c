//! Text files, plain or compressed by gzip.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use thorndike_core::{Error, Result};

use crate::formats::damaged;

/// Bytes of the longest line: those of a novel without any line end.
const LONGEST_LINE: usize = 1 << 26;
/// Bytes of the largest file that is read whole.
const LARGEST: u64 = 1 << 30;

/// The bytes of `path`, decompressed if they begin as gzip files do.
fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io(path))?);
    let start = file.fill_buf().map_err(Error::io(path))?;
    Ok(match start.starts_with(&[0x1f, 0x8b]) {
        true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
        false => Box::new(file),
    })
}

/// Calls `each` with the number, from 1, and the text of each line of `path`, without line end.
pub(crate) fn each_line(path: &Path, mut each: impl FnMut(u32, &str) -> Result<()>) -> Result<()> {
    let mut file = open(path)?;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let mut limited = (&mut file).take(LONGEST_LINE as u64 + 1);
        if limited
            .read_until(b'\n', &mut line)
            .map_err(Error::io(path))?
            == 0
        {
            return Ok(());
        }
        number += 1;
        if line.len() > LONGEST_LINE {
            let what = format!("line {number}: is longer than {LONGEST_LINE} bytes");
            return Err(damaged(path, what));
        }
        let text = std::str::from_utf8(&line).map_err(|e| {
            let byte = e.valid_up_to() + 1;
            damaged(
                path,
                format!("line {number}, byte {byte}: is no UTF-8; convert the file to it"),
            )
        })?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let text = match number {
            1 => text.strip_prefix('\u{feff}').unwrap_or(text),
            _ => text,
        };
        each(number, text)?;
    }
}

/// All of `path`.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let mut file = open(path)?.take(LARGEST + 1);
    file.read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > LARGEST {
        return Err(damaged(path, format!("is larger than {LARGEST} bytes")));
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let (valid, _) = e.as_bytes().split_at(e.utf8_error().valid_up_to());
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        damaged(
            path,
            format!("line {line}: is no UTF-8; convert the file to it"),
        )
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..3);
    }
    Ok(text)
}

/// `path`, or, if it is a folder, the files in it that end with `.txt` or `.txt.gz`, by name.
///
/// # Errors
/// If it is not there, or a folder without such files.
pub fn text_files(path: &Path) -> Result<Vec<PathBuf>> {
    let whole = |path: &Path| path.canonicalize().map_err(Error::io(path));
    if !path.is_dir() {
        return Ok(vec![whole(path)?]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(Error::io(path))? {
        let file = entry.map_err(Error::io(path))?.path();
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if file.is_file() && (name.ends_with(".txt") || name.ends_with(".txt.gz")) {
            files.push(whole(&file)?);
        }
    }
    if files.is_empty() {
        return Err(damaged(
            path,
            "there is no file in it that ends with .txt or .txt.gz",
        ));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn lines(path: &Path) -> Result<Vec<(u32, String)>> {
        let mut lines = Vec::new();
        each_line(path, |number, text| {
            lines.push((number, text.to_owned()));
            Ok(())
        })?;
        Ok(lines)
    }

    #[test]
    fn plain_and_compressed_files_have_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        let text = "\u{feff}a\r\n\nb \n\u{e9}";
        let plain = folder.path().join("a.txt");
        fs::write(&plain, text).unwrap();
        let packed = folder.path().join("a.txt.gz");
        let mut encoder = GzEncoder::new(File::create(&packed).unwrap(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
        let expected = [(1, "a"), (2, ""), (3, "b "), (4, "\u{e9}")];
        let expected = expected.map(|(number, text)| (number, text.to_owned()));
        assert_eq!(lines(&plain).unwrap(), expected);
        assert_eq!(lines(&packed).unwrap(), expected);
        assert_eq!(read_text(&packed).unwrap(), text[3..]);
    }

    #[test]
    fn other_encodings_are_refused_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin.txt");
        fs::write(&path, b"one\ncaf\xe9\n").unwrap();
        let error = lines(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("line 2, byte 4: is no UTF-8; convert the file to it"),
            "{error}"
        );
        let error = read_text(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("line 2: is no UTF-8; convert the file to it"),
            "{error}"
        );
    }
}
