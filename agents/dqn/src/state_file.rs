//! The file of an agent's counters and generators, `state.json` in the folder of a checkpoint.

use std::fs;
use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use thorndike_core::{Error, Result};

const NAME: &str = "state.json";

/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub(crate) fn write<T: Serialize>(dir: &Path, state: &T) -> Result<()> {
    let path = dir.join(NAME);
    let json = serde_json::to_vec_pretty(state).map_err(|e| Error::Backend(Box::new(e)))?;
    fs::write(&path, json).map_err(Error::io(path))
}

/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] if the file is damaged or of another agent.
pub(crate) fn read<T: DeserializeOwned>(dir: &Path) -> Result<T> {
    let path = dir.join(NAME);
    let json = fs::read(&path).map_err(Error::io(&path))?;
    serde_json::from_slice(&json).map_err(|e| Error::checkpoint(&path, e.to_string()))
}
