//! A panic of an environment or an agent as an error: it ends one seed, and not the others.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use thorndike_core::{Error, Result};

/// Does `work`. A panic in it becomes an error that says `when`; where in the source it was, the program's panic hook
/// has printed.
///
/// What `work` changes may be half changed after a panic: drop it.
pub(crate) fn caught<T>(when: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Error::Panicked {
            when: when.to_owned(),
            message: message(&*panic),
        })
    })
}

/// What a panic said, in one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it said nothing");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(panics: fn()) -> String {
        caught("at environment step 7", || {
            panics();
            Ok(())
        })
        .unwrap_err()
        .to_string()
    }

    #[test]
    fn what_a_panic_said_becomes_one_line() {
        let start = "the environment or the agent panicked at environment step 7: ";
        assert_eq!(error(|| panic!("boom")), format!("{start}boom"));
        assert_eq!(
            error(|| panic!("cell {}\n  left: 3", 9)),
            format!("{start}cell 9 left: 3")
        );
        assert_eq!(
            error(|| std::panic::panic_any(3)),
            format!("{start}it said nothing")
        );
    }
}
