//! Signals: Ctrl-C saves, and a reader that goes away ends the program quietly.

#![allow(
    unsafe_code,
    reason = "setting a signal's disposition is a foreign call"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Sets the returned flag at the first Ctrl-C or termination signal; the second one ends the program at once.
///
/// # Errors
/// If the signal cannot be caught.
pub(crate) fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            crate::keyboard::restore();
            std::process::exit(130);
        }
        eprintln!("\nstopping (again: at once)");
    })
    .context("cannot catch Ctrl-C")?;
    Ok(stop)
}

/// Lets `thorndike list | head` end as other programs do, instead of with a panic about a broken pipe.
pub(crate) fn end_with_the_reader() {
    #[cfg(unix)]
    // SAFETY: called once, before any thread is started; SIG_DFL is a valid disposition of SIGPIPE.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
