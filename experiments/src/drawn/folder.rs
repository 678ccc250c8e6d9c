//! A folder that is there when all of it is written, and not before.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, process, thread};

use anyhow::{Context, Result, bail};

use crate::launch::make_dirs;

/// The file that says how a set was drawn.
pub(super) const SOURCE: &str = "SOURCE.md";
/// How it begins; the mark of a folder that may be replaced.
pub(super) const TITLE: &str = "# Drawn by `";

/// Files are written below another name, which [`finish`](Self::finish) changes. What is not finished leaves nothing
/// behind.
#[derive(Debug)]
pub(crate) struct Folder<'a> {
    path: PathBuf,
    tmp: PathBuf,
    force: bool,
    stop: &'a AtomicBool,
    files: Vec<PathBuf>,
    /// Folders around it that were not there before.
    made: Vec<PathBuf>,
    finished: bool,
}

impl<'a> Folder<'a> {
    /// The folder `path`, which is not there or is empty; with `force` it may hold a drawn set. No file is written once
    /// `stop` is set.
    pub(super) fn new(path: &Path, force: bool, stop: &'a AtomicBool) -> Result<Self> {
        // A link stays what it is: the folder behind it is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        check(&path, force)?;
        let Some(tmp) = beside(&path, "tmp") else {
            bail!("{} has no name; give another folder", path.display());
        };
        Ok(Self {
            path,
            tmp,
            force,
            stop,
            files: Vec::new(),
            made: Vec::new(),
            finished: false,
        })
    }

    /// Writes the file `name`, which may be in folders.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
        let path = self.tmp.join(name);
        if let Some(parent) = path.parent()
            && !parent.is_dir()
        {
            self.made.extend(make_dirs(parent)?);
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        self.files.push(path);
        Ok(())
    }

    /// Gives the folder its name.
    pub(super) fn finish(mut self) -> Result<()> {
        let failed = format!("cannot write {}", self.path.display());
        sync(&self.files).with_context(|| failed.clone())?;
        let mut old = None;
        if self.path.exists() {
            check(&self.path, self.force)?;
            old = beside(&self.path, "old");
        }
        if let Some(old) = &old {
            fs::rename(&self.path, old).with_context(|| failed.clone())?;
        }
        if let Err(e) = fs::rename(&self.tmp, &self.path) {
            if let Some(old) = &old {
                // The error that matters is the first one.
                let _ = fs::rename(old, &self.path);
            }
            return Err(e).context(failed);
        }
        self.finished = true;
        if let Some(old) = &old {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
        Ok(())
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_dir_all(&self.tmp);
            for folder in self.made.iter().rev() {
                // Those inside are gone; one around it that somebody else uses stays.
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// Waits until `files` are on the disk. One after the other would wait a thousand times as long as one.
fn sync(files: &[PathBuf]) -> io::Result<()> {
    const THREADS: usize = 16;
    thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(THREADS).max(1));
        let sync = |file: &PathBuf| File::open(file)?.sync_all();
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().try_for_each(sync)))
            .collect();
        let mut results = threads
            .into_iter()
            .map(|thread| thread.join().expect("nothing in it panics"));
        results.by_ref().find(Result::is_err).unwrap_or(Ok(()))
    })
}

/// Refuses to write over what was not drawn, or was not to be drawn anew.
fn check(path: &Path, force: bool) -> Result<()> {
    let shown = path.display();
    if !path.exists() {
        return Ok(());
    }
    if !path.is_dir() {
        bail!("{shown} is a file; give a folder");
    }
    let empty = fs::read_dir(path)
        .with_context(|| format!("{shown}"))?
        .next()
        .is_none();
    if empty {
        return Ok(());
    }
    let source = fs::read(path.join(SOURCE)).unwrap_or_default();
    if !source.starts_with(TITLE.as_bytes()) {
        bail!("{shown} holds something else than a drawn set; give another folder");
    }
    if !force {
        bail!("{shown} is there already; --force draws it anew");
    }
    Ok(())
}

/// A hidden name beside `path`, of this process alone.
fn beside(path: &Path, ending: &str) -> Option<PathBuf> {
    let name = path.file_name()?.display();
    Some(path.with_file_name(format!(".{name}.{ending}-{}", process::id())))
}
