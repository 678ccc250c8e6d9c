//! Checkpoint folders.
