//! Files of rows and columns (CSV, RFC 4180), as tables and sequences read them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result};

use super::{damaged, shortened, some_of};
use crate::Part;

/// More classes of a label, or categories of a column, than a table of use has.
pub(super) const MOST_CLASSES: usize = 10_000;
/// What stands for a missing value.
const MISSING: [&str; 6] = ["", "?", "na", "n/a", "nan", "null"];

/// A column of a file: its name in the header line, or its number, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Its number, from 1.
    Number(usize),
    /// Its name.
    Name(String),
}

/// A file of rows, each as long as the first.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) path: PathBuf,
    /// Names of the columns, as its header line has them, or `column 1` and so on.
    pub(super) names: Vec<String>,
    bytes: Vec<u8>,
    header: bool,
    separator: u8,
}

impl Rows {
    pub(super) fn open(path: &Path, header: bool, separator: char) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let mut rows = Self {
            path: path.to_owned(),
            names: Vec::new(),
            bytes,
            header,
            separator: separator as u8,
        };
        let mut reader = rows.reader();
        let mut first = StringRecord::new();
        if !reader.read_record(&mut first).map_err(|e| rows.wrong(&e))? {
            return Err(damaged(path, "is empty, expected rows"));
        }
        drop(reader);
        rows.names = match header {
            true => first.iter().map(str::to_owned).collect(),
            false => (1..=first.len()).map(|i| format!("column {i}")).collect(),
        };
        let mut seen = BTreeSet::new();
        if let Some(twice) = rows.names.iter().find(|name| !seen.insert(*name)) {
            let what = format!("line 1: two columns are named \"{}\"", shortened(twice));
            return Err(damaged(path, what));
        }
        Ok(rows)
    }

    fn reader(&self) -> csv::Reader<&[u8]> {
        let mut builder = ReaderBuilder::new();
        let builder = builder.has_headers(false).trim(Trim::All);
        builder
            .delimiter(self.separator)
            .from_reader(&self.bytes[..])
    }

    /// Hands every row with its line number to `read`, but for the header.
    pub(super) fn each(
        &self,
        mut read: impl FnMut(u32, &StringRecord) -> Result<()>,
    ) -> Result<()> {
        let mut reader = self.reader();
        let mut row = StringRecord::new();
        let mut header = self.header;
        let (mut line, mut at) = (1_u32, 0);
        while reader.read_record(&mut row).map_err(|e| self.wrong(&e))? {
            let start = row.position().map_or(at, |position| self.start(position));
            line = newlines(&self.bytes[at..start]).saturating_add(line);
            at = start;
            if !std::mem::take(&mut header) {
                read(line, &row)?;
            }
        }
        Ok(())
    }

    /// The first byte of the row at `position`, which may lie before the line breaks in front of it.
    fn start(&self, position: &csv::Position) -> usize {
        let from = self.bytes.len().min(position.byte() as usize);
        let breaks = self.bytes[from..]
            .iter()
            .take_while(|&byte| b"\r\n".contains(byte));
        from + breaks.count()
    }

    fn wrong(&self, error: &csv::Error) -> Error {
        let start = error.position().map_or(0, |position| self.start(position));
        let line = newlines(&self.bytes[..start]).saturating_add(1);
        let what = match error.kind() {
            ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => {
                format!("line {line}: has {len} columns, expected {expected_len} as the first line")
            }
            ErrorKind::Utf8 { err, .. } => {
                format!("line {line}, column {}: is no UTF-8", err.field() + 1)
            }
            _ => error.to_string(),
        };
        damaged(&self.path, what)
    }

    /// An error of one cell.
    pub(super) fn damaged(&self, line: u32, column: usize, what: impl std::fmt::Display) -> Error {
        let name = match self.header {
            true => format!(" \"{}\"", shortened(&self.names[column])),
            false => String::new(),
        };
        damaged(
            &self.path,
            format!("line {line}, column {}{name}: {what}", column + 1),
        )
    }

    /// The number of `column`, from 0; `key` is that of the configuration.
    pub(super) fn place(&self, key: &str, column: &Column) -> Result<usize> {
        let place = match column {
            Column::Number(number) => number.checked_sub(1).filter(|&i| i < self.names.len()),
            Column::Name(name) => self
                .names
                .iter()
                .position(|known| self.header && known == name),
        };
        place.ok_or_else(|| {
            let known = match self.header {
                true => some_of(&self.names),
                false => format!("1 to {}", self.names.len()),
            };
            let column = match column {
                Column::Number(number) => number.to_string(),
                Column::Name(name) => format!("\"{name}\""),
            };
            let path = self.path.display();
            Error::config(
                key,
                format!("{path} has no column {column}; columns: {known}"),
            )
        })
    }

    /// The number of the column with the label: as given, or the one named `label`, or the last.
    pub(super) fn label(&self, label: Option<&Column>) -> Result<usize> {
        match label {
            Some(column) => self.place("label", column),
            None => {
                let named = self
                    .names
                    .iter()
                    .position(|name| self.header && name == "label");
                Ok(named.unwrap_or(self.names.len() - 1))
            }
        }
    }

    /// The number in a cell.
    pub(super) fn number(&self, line: u32, column: usize, text: &str) -> Result<f32> {
        number(text).map_err(|what| self.damaged(line, column, what))
    }

    /// The text in a cell, if it is not missing.
    pub(super) fn text<'a>(&self, line: u32, column: usize, text: &'a str) -> Result<&'a str> {
        match is_missing(text) {
            true => Err(self.damaged(line, column, missing(text))),
            false => Ok(text),
        }
    }
}

/// The columns of the training part, by which those of other files are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    /// All names.
    pub(super) names: Vec<String>,
    /// Number of the column with the label, from 0.
    pub(super) label: usize,
}

impl Layout {
    /// Where the column that training has at `place` is in `rows`: by its name, or, without a header, by its number.
    pub(super) fn find(&self, rows: &Rows, place: usize) -> Result<usize> {
        self.place(rows, place)?.ok_or_else(|| {
            let name = shortened(&self.names[place]);
            damaged(&rows.path, format!("line 1: there is no column \"{name}\""))
        })
    }

    fn place(&self, rows: &Rows, place: usize) -> Result<Option<usize>> {
        if rows.header {
            let name = &self.names[place];
            return Ok(rows.names.iter().position(|known| known == name));
        }
        let (width, all) = (rows.names.len(), self.names.len());
        if width == all {
            return Ok(Some(place));
        }
        if width + 1 == all {
            let before = usize::from(place > self.label);
            return Ok((place != self.label).then(|| place - before));
        }
        let less = all - 1;
        let what = format!("has {width} columns, expected {all}, or {less} without the label");
        Err(damaged(&rows.path, what))
    }

    /// Whether `places` are columns besides the label.
    pub(super) fn has(&self, mut places: impl Iterator<Item = usize>) -> bool {
        let all = self.names.len();
        self.label < all && places.all(|place| place < all && place != self.label)
    }
}

fn newlines(bytes: &[u8]) -> u32 {
    let newlines = bytes.iter().filter(|&&byte| byte == b'\n').count();
    newlines.try_into().unwrap_or(u32::MAX)
}

pub(super) fn is_missing(text: &str) -> bool {
    MISSING
        .iter()
        .any(|missing| text.eq_ignore_ascii_case(missing))
}

fn missing(text: &str) -> String {
    format!("the value is missing (\"{text}\"); fill it in or leave the row out")
}

/// A finite number.
pub(super) fn number(text: &str) -> Result<f32, String> {
    if is_missing(text) {
        return Err(missing(text));
    }
    match text.parse::<f64>() {
        Ok(x) if (x as f32).is_finite() => Ok(x as f32),
        Ok(_) => Err(format!(
            "expected a finite number of 32 bits, found \"{text}\""
        )),
        Err(_) => Err(format!("expected a number, found \"{}\"", shortened(text))),
    }
}

/// Classes and their numbers.
#[derive(Debug)]
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Classes {
    /// Sorted as numbers if all are numbers, else as text.
    pub(super) fn sorted(names: BTreeSet<String>) -> Self {
        let mut names: Vec<String> = names.into_iter().collect();
        if names.iter().all(|name| name.parse::<f64>().is_ok()) {
            names.sort_by(|a, b| {
                let [a, b] = [a, b].map(|name| name.parse::<f64>().unwrap_or_default());
                a.total_cmp(&b)
            });
        }
        Self::new(names)
    }

    pub(super) fn new(names: Vec<String>) -> Self {
        let numbers = names.iter().cloned().zip(0..).collect();
        Self { names, numbers }
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// The class in a cell.
    pub(super) fn read(&self, rows: &Rows, line: u32, column: usize, text: &str) -> Result<usize> {
        self.number(text).ok_or_else(|| {
            let (text, known) = (shortened(text), some_of(&self.names));
            rows.damaged(
                line,
                column,
                format!("no class \"{text}\"; classes: {known}"),
            )
        })
    }
}

/// The file of `part`: `path` for training if it is a file; `train.csv`, `val.csv` or `test.csv` of a folder.
pub(super) fn part_file(path: &Path, part: Part) -> Result<Option<PathBuf>> {
    if !path.is_dir() {
        return Ok((part == Part::Train).then(|| path.to_owned()));
    }
    let file = path.join(match part {
        Part::Train => "train.csv",
        Part::Validation => "val.csv",
        Part::Test => "test.csv",
    });
    match (file.is_file(), part) {
        (true, _) => Ok(Some(file)),
        (false, Part::Train) => Err(damaged(path, "there is no file train.csv in it")),
        (false, _) => Ok(None),
    }
}

/// Checks the separator of a file.
pub(super) fn check_separator(separator: char) -> Result<()> {
    if separator.is_ascii() && !"\"\r\n.+-".contains(separator) && !separator.is_alphanumeric() {
        return Ok(());
    }
    let what = format!("{separator:?} cannot separate columns; give \",\", \";\" or \"\\t\"");
    Err(Error::config("separator", what))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file `a.csv` in a folder of its own.
    pub(crate) fn file(text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    /// All starts of `text`, and all of `text` with one byte changed to one that may matter.
    pub(crate) fn changed(text: &str) -> Vec<Vec<u8>> {
        let mut changed: Vec<Vec<u8>> = Vec::new();
        for at in 0..text.len() {
            changed.push(text.as_bytes()[..at].to_vec());
            for byte in [b',', b'\n', b'\r', b'"', b'0', b' ', 0, 0xff] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                changed.push(bytes);
            }
        }
        changed
    }

    fn lines(text: &str) -> Result<Vec<u32>> {
        let (_folder, path) = file(text);
        let mut lines = Vec::new();
        Rows::open(&path, true, ',')?.each(|line, _| {
            lines.push(line);
            Ok(())
        })?;
        Ok(lines)
    }

    #[test]
    fn lines_are_counted_past_quotes_and_ends_of_windows() {
        assert_eq!(lines("a,b\r\n1,2\r\n\r\n3,4\r\n").unwrap(), [2, 4]);
        assert_eq!(lines("\n\na,b\n\n1,2").unwrap(), [5]);
        assert_eq!(lines("\u{feff}a,b\n\"x\ny\",2\n3,4").unwrap(), [2, 4]);
    }

    #[test]
    fn rows_of_another_length_and_no_text_are_refused_with_their_line() {
        let error = lines("a,b\r\n1,2\r\n3\r\n").unwrap_err().to_string();
        assert!(
            error.ends_with("a.csv: line 3: has 1 columns, expected 2 as the first line"),
            "{error}"
        );
        let (_folder, path) = file(b"a,b\n1,\xff\n");
        let rows = Rows::open(&path, true, ',').unwrap();
        let error = rows.each(|_, _| Ok(())).unwrap_err().to_string();
        assert!(error.ends_with("line 2, column 2: is no UTF-8"), "{error}");
        assert!(
            lines("")
                .unwrap_err()
                .to_string()
                .ends_with("is empty, expected rows")
        );
        assert!(
            lines("a,a\n")
                .unwrap_err()
                .to_string()
                .contains("two columns are named \"a\"")
        );
    }

    #[test]
    fn classes_that_are_numbers_are_in_their_order() {
        let names = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            Classes::sorted(names).names
        };
        assert_eq!(names(&["10", "9", "-1"]), ["-1", "9", "10"]);
        assert_eq!(names(&["10", "9", "x"]), ["10", "9", "x"]);
    }

    #[test]
    fn numbers_are_finite() {
        assert_eq!(number("-1.5e3"), Ok(-1500.0));
        for text in ["", "NaN", "inf", "1e39", "?", "1,5", "0x10"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
