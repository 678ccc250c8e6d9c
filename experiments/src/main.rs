//! The `thorndike` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    thorndike::main(thorndike::standard())
}
