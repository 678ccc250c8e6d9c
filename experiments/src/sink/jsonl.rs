//! `events.jsonl`: one event a line. Everything else is derived from it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use thorndike_core::{Error, Event, Result};

use super::NamedFile;

pub(super) struct Jsonl {
    out: NamedFile,
    line: Vec<u8>,
    bytes: u64,
}

impl Jsonl {
    /// Opens the record at `path` and cuts it to `keep` bytes.
    pub(super) fn open(path: &Path, keep: u64) -> Result<(Self, Kept)> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(Error::io(path))?;
        let found = file.metadata().map_err(Error::io(path))?.len();
        if found < keep {
            let what =
                format!("has {found} bytes where the checkpoint knows {keep}; it was cut short");
            return Err(Error::checkpoint(path, what));
        }
        file.set_len(keep).map_err(Error::io(path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io(path))?;
        let this = Self {
            out: NamedFile::new(path.to_owned(), file),
            line: Vec::new(),
            bytes: keep,
        };
        Ok((
            this,
            Kept {
                path: path.to_owned(),
            },
        ))
    }

    pub(super) fn record(&mut self, event: &Event<'_>) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event).map_err(|e| Error::Backend(Box::new(e)))?;
        self.line.push(b'\n');
        self.bytes += self.line.len() as u64;
        let line = &self.line;
        self.out.write(|file| file.write_all(line))
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The part of a record that was kept.
pub(super) struct Kept {
    path: PathBuf,
}

impl Kept {
    /// Hands every kept event to `each`.
    pub(super) fn read(&self, mut each: impl FnMut(&Event<'_>) -> Result<()>) -> Result<()> {
        let file = File::open(&self.path).map_err(Error::io(&self.path))?;
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(Error::io(&self.path))?;
            let event: Event<'static> = serde_json::from_str(&line).map_err(|e| {
                Error::checkpoint(&self.path, format!("line {} is damaged: {e}", number + 1))
            })?;
            each(&event)?;
        }
        Ok(())
    }
}
