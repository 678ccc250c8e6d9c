//! Standard output that may fail: a full disk behind it ends the program with one line, not with a panic.

use std::fmt;
use std::io::{self, Write, stdout};

/// Standard output could not be written.
#[derive(Debug)]
pub(super) struct Unwritten(io::Error);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write to standard output: {}", self.0)
    }
}

impl std::error::Error for Unwritten {}

/// Writes text at once.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(text: fmt::Arguments<'_>) -> Result<(), Unwritten> {
    let mut out = stdout().lock();
    out.write_fmt(text)
        .and_then(|()| out.flush())
        .map_err(Unwritten)
}

/// As `print!`, for functions whose errors may be [`Unwritten`].
macro_rules! out {
    ($($part:tt)*) => {
        $crate::commands::out::write(format_args!($($part)*))?
    };
}

/// As `println!`, for functions whose errors may be [`Unwritten`].
macro_rules! outln {
    ($($part:tt)*) => {
        $crate::commands::out::write(format_args!("{}\n", format_args!($($part)*)))?
    };
}

pub(super) use {out, outln};
