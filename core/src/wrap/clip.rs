//! Clipped rewards.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How rewards are clipped. Written `"sign"` or `[-1.0, 1.0]`.
///
/// # Reference
/// Mnih et al., *Human-level control through deep reinforcement learning*, 2015, methods: positive rewards count as 1,
/// negative ones as -1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum ClipRewards {
    /// -1, 0 or 1.
    Sign,
    /// Into the range from the first number to the second.
    Range([f32; 2]),
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"sign\" or a range such as [-1.0, 1.0]"
)]
enum Written {
    Word(String),
    Range([f32; 2]),
}

impl TryFrom<Written> for ClipRewards {
    type Error = String;
    fn try_from(written: Written) -> std::result::Result<Self, String> {
        match written {
            Written::Range(range) => Ok(Self::Range(range)),
            Written::Word(word) if word == "sign" => Ok(Self::Sign),
            Written::Word(word) => Err(format!(
                "no way to clip \"{word}\"; give \"sign\" or a range such as [-1.0, 1.0]"
            )),
        }
    }
}

impl From<ClipRewards> for Written {
    fn from(clip: ClipRewards) -> Self {
        match clip {
            ClipRewards::Sign => Self::Word("sign".into()),
            ClipRewards::Range(range) => Self::Range(range),
        }
    }
}

impl ClipRewards {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Range([low, high]) if !(low < high && low.is_finite() && high.is_finite()) => {
                let what = format!("{low} to {high} is no range; give a low and a higher end");
                Err(Error::config("clip_rewards", what))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn apply(self, rewards: &mut [f32]) {
        match self {
            Self::Sign => {
                for reward in rewards {
                    *reward = f32::from(*reward > 0.0) - f32::from(*reward < 0.0);
                }
            }
            Self::Range([low, high]) => {
                for reward in rewards {
                    *reward = reward.clamp(low, high);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_one_of_three_and_a_range_keeps_what_is_inside() {
        let clipped = |clip: ClipRewards| {
            let mut rewards = [-7.0, -0.25, 0.0, -0.0, 0.25, 7.0];
            clip.apply(&mut rewards);
            rewards
        };
        assert_eq!(clipped(ClipRewards::Sign), [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(
            clipped(ClipRewards::Range([-0.5, 2.0])),
            [-0.5, -0.25, 0.0, 0.0, 0.25, 2.0]
        );
    }

    #[test]
    fn it_is_read_as_it_is_written_and_a_mistake_says_what_is_accepted() {
        for clip in [ClipRewards::Sign, ClipRewards::Range([-1.0, 0.5])] {
            let text = serde_json::to_string(&clip).unwrap();
            assert_eq!(serde_json::from_str::<ClipRewards>(&text).unwrap(), clip);
        }
        for text in ["\"signum\"", "true", "[1]"] {
            let error = serde_json::from_str::<ClipRewards>(text).unwrap_err();
            let said = error.to_string();
            assert!(
                said.contains("\"sign\" or a range such as [-1.0, 1.0]"),
                "{said}"
            );
        }
        for range in [[1.0, 1.0], [0.0, f32::NAN], [f32::NEG_INFINITY, 0.0]] {
            assert!(ClipRewards::Range(range).check().is_err());
        }
    }
}
