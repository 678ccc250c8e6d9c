//! The `thorndike` binary.

fn main() {}
