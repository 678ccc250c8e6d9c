//! The one error type of the library crates.

use std::path::PathBuf;

/// What can go wrong while something is built, read, written or trained.
///
/// Messages are one line, lower case, and say what is accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An id that nothing is registered under.
    #[error("no {kind} named \"{id}\"; {}", known_ids(id, known))]
    Unknown {
        /// "environment" or "agent".
        kind: &'static str,
        /// The id that was asked for.
        id: String,
        /// All ids that exist.
        known: Vec<String>,
    },
    /// A configuration value that is not accepted.
    #[error("{key}: {what}")]
    Config {
        /// Dotted key, relative to the object that reports it; callers put their own prefix before it.
        key: String,
        /// What was found and what is accepted.
        what: String,
    },
    /// A device that is not there. Its key is the experiment's, whichever part asks for it.
    #[error("device: {0}")]
    Device(String),
    /// A space that an agent, network or wrapper cannot take.
    #[error("{what}: expected {expected}, found {found}")]
    Space {
        /// Who asks, and for which space.
        what: String,
        /// What is accepted.
        expected: String,
        /// The space at hand.
        found: String,
    },
    /// A file operation that failed.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason. Not as the error's source: who prints the chain would print it twice.
        reason: std::io::Error,
    },
    /// A checkpoint that cannot be used.
    #[error("{}: {what}", path.display())]
    Checkpoint {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Training produced a value that is not a finite number.
    #[error("{what} at environment step {step}")]
    Diverged {
        /// Environment step at which it was seen.
        step: u64,
        /// Which value.
        what: String,
    },
    /// A panic of an environment or an agent: a bug in one of them.
    #[error("the environment or the agent panicked {when}: {message}")]
    Panicked {
        /// At which step, or in which work.
        when: String,
        /// What the panic said, in one line.
        message: String,
    },
    /// Something this object does not do.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// An error of a tensor library or another backend.
    #[error(transparent)]
    Backend(Box<dyn std::error::Error + Send + Sync>),
}

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A [`Error::Config`] for `key`.
    pub fn config(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Config {
            key: key.into(),
            what: what.into(),
        }
    }

    /// A [`Error::Checkpoint`] for `path`.
    pub fn checkpoint(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Checkpoint {
            path: path.into(),
            what: what.into(),
        }
    }

    /// For `map_err`: an [`Error::Io`] on `path`.
    ///
    /// ```
    /// use thorndike_core::Error;
    /// let error = std::fs::read("no/such/file").map_err(Error::io("no/such/file")).unwrap_err();
    /// assert!(error.to_string().starts_with("no/such/file: "));
    /// ```
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |reason| Self::Io { path, reason }
    }

    /// Puts `prefix.` before the key of a [`Error::Config`]; other errors stay as they are.
    pub fn under(self, prefix: &str) -> Self {
        match self {
            Self::Config { key, what } if key.is_empty() => Self::Config {
                key: prefix.to_owned(),
                what,
            },
            Self::Config { key, what } => Self::Config {
                key: format!("{prefix}.{key}"),
                what,
            },
            other => other,
        }
    }
}

/// Checks that `value` lies in `range`; for the constructors of agents and environments.
///
/// # Errors
/// [`Error::Config`] naming `key`, the value and the range.
pub fn check_range<T: PartialOrd + std::fmt::Display>(
    key: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = range.into_inner();
    Err(Error::config(
        key,
        format!("{value} is out of range; give {low} to {high}"),
    ))
}

/// The nearest known id, if one is near, and the list of all.
fn known_ids(id: &str, known: &[String]) -> String {
    let near = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(id, k), k))
        .min()
        .filter(|(distance, k)| *distance <= k.len().max(id.len()) / 3);
    let list = known.join(", ");
    match near {
        Some((_, k)) => format!("did you mean \"{k}\"? known: {list}"),
        None => format!("known: {list}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_id_names_the_nearest_and_all_known() {
        let known = vec!["cart-pole".to_owned(), "corridor".to_owned()];
        let error = Error::Unknown {
            kind: "environment",
            id: "cart-pol".into(),
            known,
        };
        assert_eq!(
            error.to_string(),
            "no environment named \"cart-pol\"; did you mean \"cart-pole\"? known: cart-pole, corridor"
        );
    }

    #[test]
    fn prefixes_pile_up_in_front_of_the_key() {
        let error = Error::config("gamma", "2 is out of range")
            .under("params")
            .under("agent");
        assert_eq!(error.to_string(), "agent.params.gamma: 2 is out of range");
    }

    #[test]
    fn nan_is_in_no_range() {
        assert!(check_range("gamma", f64::NAN, 0.0..=1.0).is_err());
    }
}
