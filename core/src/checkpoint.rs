//! Checkpoint folders: written whole or not at all, verified when read.
//!
//! ```text
//! checkpoints/
//!   step-000050000/
//!     manifest.json     format, step, and for every file its size and SHA-256
//!     trainer.bin ..    whatever `fill` wrote
//!   latest              name of the newest complete folder
//! ```
//!
//! A folder is filled under another name, hashed, synced and renamed; then `latest` is replaced. A kill at
//! any moment leaves the previous checkpoint valid.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::agent::EnvSteps;
use crate::error::{Error, Result};

/// Newest format of [`Manifest`] that this program writes and reads.
pub const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const LATEST: &str = "latest";
/// A manifest is read into memory; this bounds it.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the checkpoint; see [`FORMAT`].
    pub format: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// Environment steps of the run.
    pub step: EnvSteps,
    /// What the writer wants to find again.
    pub meta: Value,
    /// Every other file, by its path with `/`.
    pub files: BTreeMap<String, FileEntry>,
    /// SHA-256 of this manifest with an empty checksum.
    checksum: String,
}

/// Size and hash of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Writes the checkpoint of `step` below `root`; `fill` writes its files into the folder that it is given.
///
/// If the latest checkpoint is already that of `step` and sound, it stays: the same run gives the same state.
///
/// # Errors
/// If a file cannot be written; the previous checkpoint is then still the latest.
pub fn write(
    root: &Path,
    step: EnvSteps,
    meta: Value,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    fs::create_dir_all(root).map_err(Error::io(root))?;
    remove_leftovers(root)?;
    let name = format!("step-{step:09}");
    let dir = root.join(&name);
    // A damaged `latest` is written anew below.
    if latest(root).is_ok_and(|latest| latest.as_ref() == Some(&dir)) && open(&dir).is_ok() {
        return Ok(dir);
    }
    let tmp = root.join(format!(".tmp-{name}"));
    fs::create_dir(&tmp).map_err(Error::io(&tmp))?;
    let written = fill(&tmp).and_then(|()| seal(&tmp, step, meta));
    if let Err(error) = written {
        // The error that matters is the first one; a leftover is removed by the next write.
        let _ = fs::remove_dir_all(&tmp);
        return Err(error);
    }
    if dir.exists() {
        discard(root, &name)?;
    }
    fs::rename(&tmp, &dir).map_err(Error::io(&dir))?;
    sync_dir(root)?;
    let latest = root.join(".tmp-latest");
    fs::write(&latest, &name).map_err(Error::io(&latest))?;
    File::open(&latest)
        .and_then(|f| f.sync_all())
        .map_err(Error::io(&latest))?;
    fs::rename(&latest, root.join(LATEST)).map_err(Error::io(&latest))?;
    sync_dir(root)?;
    Ok(dir)
}

/// Hashes and syncs all files below `dir` and writes the manifest.
fn seal(dir: &Path, step: EnvSteps, meta: Value) -> Result<()> {
    let mut files = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let full = dir.join(&folder);
        for entry in fs::read_dir(&full).map_err(Error::io(&full))? {
            let entry = entry.map_err(Error::io(&full))?;
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                let name = path.components().map(|c| c.as_os_str().to_string_lossy());
                let name = name.collect::<Vec<_>>().join("/");
                files.insert(name, hash(&entry.path())?);
            }
        }
        sync_dir(&full)?;
    }
    let mut manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        step,
        meta,
        files,
        checksum: String::new(),
    };
    manifest.checksum = manifest.own_checksum()?;
    let path = dir.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::Backend(Box::new(e)))?;
    fs::write(&path, text).map_err(Error::io(&path))?;
    File::open(&path)
        .and_then(|f| f.sync_all())
        .map_err(Error::io(&path))?;
    sync_dir(dir)
}

/// The newest complete checkpoint below `root`, if there is one.
///
/// # Errors
/// [`Error::Checkpoint`] if `latest` is damaged.
pub fn latest(root: &Path) -> Result<Option<PathBuf>> {
    let path = root.join(LATEST);
    let name = match fs::read(&path) {
        Ok(name) => name,
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(e) => return Err(Error::io(path)(e)),
    };
    match std::str::from_utf8(&name) {
        Ok(name) if is_checkpoint(name) => Ok(Some(root.join(name))),
        _ => Err(Error::checkpoint(
            path,
            "is damaged: it should hold the name of a checkpoint folder",
        )),
    }
}

/// All checkpoint folders below `root`, oldest first; they are not verified.
///
/// # Errors
/// If `root` cannot be read.
pub fn list(root: &Path) -> Result<Vec<PathBuf>> {
    let mut names = names(root)?;
    names.retain(|name| is_checkpoint(name));
    // Nine digits sort as numbers; more digits mean a later step.
    names.sort_by_key(|name| (name.len(), name.clone()));
    Ok(names.into_iter().map(|name| root.join(name)).collect())
}

/// The step in the name of a checkpoint folder.
pub fn step_of(dir: &Path) -> Option<EnvSteps> {
    let name = dir.file_name()?.to_str()?;
    is_checkpoint(name).then(|| name["step-".len()..].parse().ok())?
}

/// Removes the checkpoints of later steps than `step`: damaged ones, after the run went on from an older one.
///
/// # Errors
/// If a folder cannot be removed.
pub fn discard_after(root: &Path, step: EnvSteps) -> Result<()> {
    for dir in list(root)? {
        if let Some(name) = dir.file_name()
            && step_of(&dir).is_some_and(|of| of > step)
        {
            discard(root, &name.to_string_lossy())?;
        }
    }
    Ok(())
}

/// Removes all but the newest `keep` checkpoints.
///
/// # Errors
/// If a folder cannot be removed.
pub fn prune(root: &Path, keep: usize) -> Result<()> {
    let all = list(root)?;
    for dir in &all[..all.len().saturating_sub(keep.max(1))] {
        if let Some(name) = dir.file_name() {
            discard(root, &name.to_string_lossy())?;
        }
    }
    Ok(())
}

/// Reads the manifest of the checkpoint in `dir` and verifies every file.
///
/// # Errors
/// [`Error::Checkpoint`] with the file at fault and what is wrong with it; [`Error::Unsupported`] if a newer version
/// wrote it.
pub fn open(dir: &Path) -> Result<Manifest> {
    let manifest = read_manifest(&dir.join(MANIFEST))?;
    for (name, entry) in &manifest.files {
        let relative = Path::new(name);
        let path = dir.join(relative);
        if !relative
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
        {
            return Err(Error::checkpoint(
                dir.join(MANIFEST),
                format!("names a file outside the checkpoint: {name:?}"),
            ));
        }
        let bytes = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(e) => return Err(Error::checkpoint(path, format!("cannot be read: {e}"))),
        };
        if bytes != entry.bytes {
            let what = format!(
                "has {bytes} bytes where {} were written; it was cut short or changed",
                entry.bytes
            );
            return Err(Error::checkpoint(path, what));
        }
        if hash(&path)?.sha256 != entry.sha256 {
            return Err(Error::checkpoint(
                path,
                "is damaged: its SHA-256 is not the one in manifest.json",
            ));
        }
    }
    Ok(manifest)
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let wrong = |what: String| Error::checkpoint(path, what);
    let file = File::open(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let mut text = Vec::new();
    file.take(MAX_MANIFEST_BYTES)
        .read_to_end(&mut text)
        .map_err(Error::io(path))?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|e| wrong(format!("is damaged: {e}")))?;
    match value["format"].as_u64() {
        Some(format) if format > u64::from(FORMAT) => {
            // Not a fault of the checkpoint: an older one must not take its place.
            return Err(Error::Unsupported(format!(
                "{}: is in format {format}; this program reads up to format {FORMAT}: use a newer version of it",
                path.display()
            )));
        }
        Some(_) => {}
        None => return Err(wrong("is damaged: it names no format".into())),
    }
    let manifest: Manifest =
        serde_json::from_value(value).map_err(|e| wrong(format!("is damaged: {e}")))?;
    if manifest.own_checksum()? != manifest.checksum {
        return Err(wrong(
            "is damaged: it does not match its own checksum".into(),
        ));
    }
    Ok(manifest)
}

impl Manifest {
    fn own_checksum(&self) -> Result<String> {
        let bare = Self {
            checksum: String::new(),
            ..self.clone()
        };
        let text = serde_json::to_vec(&bare).map_err(|e| Error::Backend(Box::new(e)))?;
        Ok(hex(&Sha256::digest(text)))
    }
}

/// Size and SHA-256 of a file, which is synced to disk first.
fn hash(path: &Path) -> Result<FileEntry> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer).map_err(Error::io(path))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        bytes += n as u64;
    }
    file.sync_all().map_err(Error::io(path))?;
    Ok(FileEntry {
        bytes,
        sha256: hex(&hasher.finalize()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_checkpoint(name: &str) -> bool {
    name.strip_prefix("step-").is_some_and(|digits| {
        (9..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

fn names(root: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(root)(e)),
    };
    entries
        .map(|entry| {
            Ok(entry
                .map_err(Error::io(root))?
                .file_name()
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}

/// Renames a checkpoint out of sight and then removes it, so that a kill leaves no half of it in sight.
fn discard(root: &Path, name: &str) -> Result<()> {
    let hidden = root.join(format!(".tmp-old-{name}"));
    fs::rename(root.join(name), &hidden).map_err(Error::io(&hidden))?;
    fs::remove_dir_all(&hidden).map_err(Error::io(&hidden))
}

fn remove_leftovers(root: &Path) -> Result<()> {
    for name in names(root)?.iter().filter(|name| name.starts_with(".tmp-")) {
        let path = root.join(name);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(Error::io(&path))?;
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|f| f.sync_all())
        .map_err(Error::io(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(dir: &Path) -> Result<()> {
        fs::create_dir(dir.join("agent")).unwrap();
        fs::write(dir.join("trainer.bin"), b"counters").unwrap();
        fs::write(dir.join("agent/weights"), b"weights").unwrap();
        Ok(())
    }

    fn written(root: &Path) -> PathBuf {
        write(root, 7, serde_json::json!({ "events": 12, "x": 0.1 }), fill).unwrap()
    }

    #[test]
    fn what_was_written_is_found_and_opened() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(latest(root.path()).unwrap(), None);
        let dir = written(root.path());
        assert_eq!(latest(root.path()).unwrap(), Some(dir.clone()));
        let manifest = open(&dir).unwrap();
        assert_eq!(
            (manifest.step, manifest.meta["events"].as_u64()),
            (7, Some(12))
        );
        assert_eq!(manifest.files.len(), 2);
    }

    #[test]
    fn a_save_that_fails_leaves_the_previous_checkpoint() {
        let root = tempfile::tempdir().unwrap();
        let first = written(root.path());
        let failing = |dir: &Path| {
            fs::write(dir.join("half"), b"..").unwrap();
            Err(Error::Unsupported("disk full".into()))
        };
        assert!(write(root.path(), 8, Value::Null, failing).is_err());
        assert_eq!(latest(root.path()).unwrap(), Some(first.clone()));
        assert_eq!(list(root.path()).unwrap(), std::slice::from_ref(&first));
        open(&first).unwrap();
    }

    #[test]
    fn leftovers_of_a_killed_save_are_removed_by_the_next_one() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(".tmp-step-000000009/agent")).unwrap();
        fs::write(root.path().join(".tmp-latest"), "x").unwrap();
        written(root.path());
        let names = names(root.path()).unwrap();
        assert!(
            names.iter().all(|name| !name.starts_with(".tmp")),
            "{names:?}"
        );
    }

    #[test]
    fn pruning_keeps_the_newest() {
        let root = tempfile::tempdir().unwrap();
        for step in [5, 900, 1_000_000_000, 70] {
            write(root.path(), step, Value::Null, fill).unwrap();
        }
        prune(root.path(), 2).unwrap();
        let left = list(root.path()).unwrap();
        let names: Vec<_> = left
            .iter()
            .map(|p| p.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["step-000000900", "step-1000000000"]);
    }

    #[test]
    fn checkpoints_after_a_step_are_discarded() {
        let root = tempfile::tempdir().unwrap();
        for step in [5, 70, 900] {
            write(root.path(), step, Value::Null, fill).unwrap();
        }
        discard_after(root.path(), 70).unwrap();
        let steps: Vec<_> = list(root.path())
            .unwrap()
            .iter()
            .map(|dir| step_of(dir))
            .collect();
        assert_eq!(steps, [Some(5), Some(70)]);
        assert_eq!(step_of(Path::new("step-7")), None);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused_with_the_file_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = written(root.path());
        for name in ["manifest.json", "trainer.bin", "agent/weights"] {
            let path = dir.join(name);
            let good = fs::read(&path).unwrap();
            for at in 0..good.len() {
                fs::write(&path, &good[..at]).unwrap();
                assert!(
                    open(&dir).unwrap_err().to_string().contains(name),
                    "{name} cut at {at}"
                );
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                fs::write(&path, &bad).unwrap();
                match open(&dir) {
                    Err(error) => assert!(
                        error.to_string().contains(".json") || error.to_string().contains(name)
                    ),
                    // White space between the values of the manifest carries nothing.
                    Ok(manifest) => {
                        fs::write(&path, &good).unwrap();
                        assert_eq!(manifest, open(&dir).unwrap(), "{name} flipped at {at}");
                    }
                }
            }
            fs::remove_file(&path).unwrap();
            assert!(open(&dir).unwrap_err().to_string().contains(name));
            fs::write(&path, &good).unwrap();
        }
        open(&dir).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_by_number() {
        let root = tempfile::tempdir().unwrap();
        let dir = written(root.path());
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        let error = open(&dir).unwrap_err().to_string();
        assert!(
            error.contains("manifest.json: is in format 2; this program reads up to format 1"),
            "{error}"
        );
    }

    #[test]
    fn a_manifest_that_names_files_elsewhere_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = written(root.path());
        let mut manifest = open(&dir).unwrap();
        let entry = manifest.files["trainer.bin"].clone();
        manifest.files.insert("../outside".into(), entry);
        manifest.checksum = manifest.own_checksum().unwrap();
        fs::write(dir.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert!(
            open(&dir)
                .unwrap_err()
                .to_string()
                .contains("outside the checkpoint")
        );
    }
}
