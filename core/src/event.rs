//! The one stream of what happens in a run.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::agent::EnvSteps;
use crate::env::Status;
use crate::error::Result;

/// One thing that happened. A line of `events.jsonl`.
///
/// Events hold no wall-clock time: the same configuration and seed give the same bytes, also when a run
/// was interrupted and resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The run began.
    Started {
        /// Id of the environment, or name of the data.
        env: Cow<'a, str>,
        /// Id of the agent, or kind of the model.
        agent: Cow<'a, str>,
        /// Root seed.
        seed: u64,
        /// What an evaluation measures, such as `accuracy`; absent: returns of episodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measure: Option<Cow<'a, str>>,
        /// Names of the tasks of the environments, if there are several: row `i` is of task `i mod k`.
        #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
        tasks: Cow<'a, [String]>,
    },
    /// An episode ended while learning.
    Episode {
        /// Environment steps of the run when it ended.
        step: EnvSteps,
        /// Row of the environment.
        env: u32,
        /// Sum of raw rewards.
        episode_return: f64,
        /// Steps of the agent in this episode.
        length: u32,
        /// How it ended.
        status: Status,
    },
    /// A number that an agent reports.
    Scalar {
        /// Environment steps of the run.
        step: EnvSteps,
        /// Name such as `loss/td`.
        name: Cow<'a, str>,
        /// Its value.
        value: f64,
    },
    /// The agent was evaluated, greedily and in environments apart.
    Evaluated {
        /// Environment steps of the run.
        step: EnvSteps,
        /// Return of each episode.
        returns: Cow<'a, [f64]>,
        /// Steps of the agent in each episode.
        lengths: Cow<'a, [u32]>,
        /// The discrete action that was taken in every step of all episodes, if there was only one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only_action: Option<i32>,
    },
    /// The run reached its last step.
    Finished {
        /// Environment steps of the run.
        step: EnvSteps,
    },
}

/// Takes events: a file, a progress line, a list in a test.
pub trait Recorder {
    /// Takes one event.
    ///
    /// # Errors
    /// If it cannot be written.
    fn record(&mut self, event: &Event<'_>) -> Result<()>;
    /// Hands on what is buffered.
    ///
    /// # Errors
    /// If it cannot be written.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Forgets everything.
impl Recorder for () {
    fn record(&mut self, _: &Event<'_>) -> Result<()> {
        Ok(())
    }
}

/// Keeps everything.
impl Recorder for Vec<Event<'static>> {
    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        self.push(event.clone().into_owned());
        Ok(())
    }
}

/// Hands every event to each recorder in turn.
impl Recorder for Vec<Box<dyn Recorder + Send>> {
    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        self.iter_mut()
            .try_for_each(|recorder| recorder.record(event))
    }
    fn flush(&mut self) -> Result<()> {
        self.iter_mut().try_for_each(|recorder| recorder.flush())
    }
}

impl Event<'_> {
    /// The same event, borrowing nothing.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Started {
                env,
                agent,
                seed,
                measure,
                tasks,
            } => Event::Started {
                env: Cow::Owned(env.into_owned()),
                agent: Cow::Owned(agent.into_owned()),
                seed,
                measure: measure.map(|measure| Cow::Owned(measure.into_owned())),
                tasks: Cow::Owned(tasks.into_owned()),
            },
            Self::Episode {
                step,
                env,
                episode_return,
                length,
                status,
            } => Event::Episode {
                step,
                env,
                episode_return,
                length,
                status,
            },
            Self::Scalar { step, name, value } => Event::Scalar {
                step,
                name: Cow::Owned(name.into_owned()),
                value,
            },
            Self::Evaluated {
                step,
                returns,
                lengths,
                only_action,
            } => Event::Evaluated {
                step,
                only_action,
                returns: Cow::Owned(returns.into_owned()),
                lengths: Cow::Owned(lengths.into_owned()),
            },
            Self::Finished { step } => Event::Finished { step },
        }
    }
}

/// Where an agent reports numbers during an update.
///
/// Ask [`is_due`](Log::is_due) before computing a number that nobody may want.
pub struct Log<'a> {
    recorder: &'a mut dyn Recorder,
    step: EnvSteps,
    due: bool,
    used: bool,
}

impl<'a> Log<'a> {
    /// A log at environment step `step`; `due` says whether numbers are wanted now.
    pub fn new(recorder: &'a mut dyn Recorder, step: EnvSteps, due: bool) -> Self {
        Self {
            recorder,
            step,
            due,
            used: false,
        }
    }

    /// Whether numbers are wanted now. Stays true until an update has reported some.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Environment steps of the run.
    #[inline]
    pub fn step(&self) -> EnvSteps {
        self.step
    }

    /// Whether anything was reported.
    pub fn used(&self) -> bool {
        self.used
    }

    /// Reports one number if numbers are wanted now.
    ///
    /// # Errors
    /// If the recorder cannot write it.
    pub fn scalar<'n>(&mut self, name: impl Into<Cow<'n, str>>, value: f64) -> Result<()> {
        if !self.due {
            return Ok(());
        }
        self.used = true;
        self.recorder.record(&Event::Scalar {
            step: self.step,
            name: name.into(),
            value,
        })
    }
}

impl std::fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("step", &self.step)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_tagged_json_object() {
        let event = Event::Episode {
            step: 12,
            env: 0,
            episode_return: 3.5,
            length: 4,
            status: Status::Truncated,
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(
            line,
            r#"{"event":"episode","step":12,"env":0,"episode_return":3.5,"length":4,"status":"truncated"}"#
        );
        assert_eq!(
            serde_json::from_str::<Event<'static>>(&line).unwrap(),
            event
        );
    }

    #[test]
    fn nothing_is_reported_when_nothing_is_due() {
        let mut events: Vec<Event<'static>> = Vec::new();
        let mut log = Log::new(&mut events, 1, false);
        log.scalar("loss/td", 1.0).unwrap();
        assert!(!log.used());
        assert!(events.is_empty());
    }
}
