use serde::{Deserialize, Serialize};

/// A part of what can be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// What agents are trained with.
    #[default]
    Train,
    /// What is held back for evaluation.
    HeldBack,
    /// Everything.
    All,
}
