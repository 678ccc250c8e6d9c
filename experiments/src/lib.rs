//! The `thorndike` program as a library.

pub mod plot;
pub mod runs;
pub mod stats;
pub mod summary;
