//! What acts and what learns.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::env::Status;
use crate::error::Result;
use crate::event::Log;
use crate::exchange::Exchange;
use crate::seed::Seeds;
use crate::vector::{Batch, EnvSpec};

/// Environment steps since the start of a run, all environments added up.
pub type EnvSteps = u64;

/// How to choose actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// While learning: with the agent's exploration.
    Explore,
    /// For evaluation: the best known action. Draws from no stream that training draws from.
    Exploit,
}

/// Chooses actions: all that is needed to play a trained agent.
pub trait Actor: Send {
    /// Writes one action a row of `obs` into `actions`.
    fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array);

    /// Is told before [`act`](Actor::act) which rows begin an episode, whenever one does. An actor with a memory
    /// forgets those rows then; it remembers each mode apart, so that an evaluation leaves training alone.
    fn begin(&mut self, _starts: &[bool], _mode: Mode) {}
}

/// An actor that learns. `observe` stores, `update` learns if its own schedule says so.
///
/// *Design.* Warm-up, update frequency and target period belong to the agent; they count environment
/// steps with a remainder, so that 16 environments give the same replay ratio as 1. The loop stays
/// eight lines and knows no algorithm.
pub trait Agent: Actor {
    /// Takes in one step of all environments.
    fn observe(&mut self, transitions: &Transitions<'_>);
    /// Learns, if it is time to.
    ///
    /// # Errors
    /// [`Error::Diverged`](crate::Error::Diverged) if a loss is no finite number; errors of the recorder and the backend.
    fn update(&mut self, log: &mut Log<'_>) -> Result<()>;
    /// Writes everything into the folder `dir`: weights, targets, optimiser, counters, generators, replay.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn save(&self, dir: &Path) -> Result<()>;
    /// Takes back what [`save`](Agent::save) wrote.
    ///
    /// # Errors
    /// If a file is missing, damaged, or of another agent.
    fn load(&mut self, dir: &Path) -> Result<()>;
    /// Takes back what acting needs and nothing else; enough for evaluation.
    ///
    /// # Errors
    /// As [`load`](Agent::load).
    fn load_policy(&mut self, dir: &Path) -> Result<()> {
        self.load(dir)
    }
    /// A copy of what acts, to act on another thread while this agent learns; none if it cannot. `number` tells
    /// apart the streams of random numbers of one copy and the next.
    fn policy(&self, _number: u64) -> Option<Box<dyn Actor>> {
        None
    }
    /// Itself as something whose weights can be taken out and put in; none if it has no such weights.
    fn exchange(&mut self) -> Option<&mut dyn Exchange> {
        None
    }
    /// Bytes it will hold at most; known before the run starts.
    fn memory(&self) -> u64 {
        0
    }
    /// Lines for `thorndike check`: shapes, number of parameters.
    fn describe(&self) -> String {
        String::new()
    }
}

/// One step of all environments, as seen by an agent. Row `i` belongs to environment `i`.
#[derive(Clone, Copy, Debug)]
pub struct Transitions<'a> {
    /// Observations that were acted on.
    pub obs: &'a Array,
    /// Actions taken.
    pub actions: &'a Array,
    /// Rewards, clipped or normalised where the environments' options say so.
    pub rewards: &'a [f32],
    /// True successors, also where an episode ended.
    pub next_obs: &'a Array,
    /// Whether and how episodes ended.
    pub status: &'a [Status],
}

impl<'a> Transitions<'a> {
    /// The last step of `batch`, which `actions` led to.
    pub fn new(batch: &'a Batch, actions: &'a Array) -> Self {
        Self {
            obs: &batch.obs,
            actions,
            rewards: &batch.rewards,
            next_obs: &batch.next_obs,
            status: &batch.status,
        }
    }

    /// Number of environments.
    #[expect(
        clippy::len_without_is_empty,
        reason = "there is at least one environment"
    )]
    pub fn len(&self) -> usize {
        self.rewards.len()
    }
}

/// What the constructor of an agent is given beside its configuration.
#[derive(Clone, Copy, Debug)]
pub struct BuildContext<'a> {
    /// The environments it will act in.
    pub spec: &'a EnvSpec,
    /// Root of its random streams.
    pub seeds: Seeds,
    /// Where its tensors live.
    pub device: Device,
}

/// Where tensors live. Written `auto`, `cpu` or `cuda:0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The first CUDA device if there is one, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A CUDA device; an error if it is not there.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| {
                    format!("no device \"{text}\"; give \"auto\", \"cpu\" or \"cuda:0\"")
                }),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_written_as_they_are_read() {
        for text in ["auto", "cpu", "cuda:3"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert!(
            "gpu"
                .parse::<Device>()
                .unwrap_err()
                .contains("\"auto\", \"cpu\" or \"cuda:0\"")
        );
    }
}
