//! The `thorndike` program as a library.
