//! Experience replay.
