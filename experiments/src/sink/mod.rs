//! Where events go: the record itself, and what is derived from it while it grows.

mod csv;
mod jsonl;
mod tensorboard;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thorndike_core::{EnvSteps, Error, Event, Recorder, Result};

use csv::Csv;
use jsonl::Jsonl;
use tensorboard::TensorBoard;

/// File of the record, below the folder of a seed.
pub(crate) const EVENTS: &str = "events.jsonl";
/// Derived table, below the folder of a seed.
pub(crate) const PROGRESS: &str = "progress.csv";
/// Derived logs, below the folder of a seed.
pub(crate) const TENSORBOARD: &str = "tensorboard";

/// Everything that one run writes while it goes.
pub(crate) struct RunLog {
    events: Jsonl,
    numbers: Numbers,
    csv: Csv,
    tensorboard: TensorBoard,
    recent: Recent,
}

impl RunLog {
    /// Opens the log of the run in `dir`. `keep` bytes of an existing record stay; what is derived is made anew
    /// from them, so that nothing is logged twice.
    ///
    /// # Errors
    /// If a file cannot be written, or the record is shorter than `keep` or damaged.
    pub(crate) fn open(dir: &Path, keep: u64, every: EnvSteps) -> Result<Self> {
        let tensorboard = dir.join(TENSORBOARD);
        match fs::remove_dir_all(&tensorboard) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(tensorboard)(e)),
            _ => {}
        }
        let (events, kept) = Jsonl::open(&dir.join(EVENTS), keep)?;
        let mut log = Self {
            events,
            numbers: Numbers::new(every),
            csv: Csv::create(&dir.join(PROGRESS))?,
            tensorboard: TensorBoard::create(&tensorboard)?,
            recent: Recent::default(),
        };
        kept.read(|event| log.derive(event))?;
        Ok(log)
    }

    fn derive(&mut self, event: &Event<'_>) -> Result<()> {
        self.recent.count(event);
        let Self {
            numbers,
            csv,
            tensorboard,
            ..
        } = self;
        numbers.take(event, |step, name, value| {
            csv.write(step, name, value)?;
            tensorboard.write(step, name, value)
        })
    }

    /// Bytes of the record so far; flushes it.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn mark(&mut self) -> Result<u64> {
        self.flush()?;
        Ok(self.events.bytes())
    }

    /// Mean return of the latest episodes.
    pub(crate) fn recent_return(&self) -> Option<f64> {
        self.recent.mean()
    }
}

impl Recorder for RunLog {
    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        self.events.record(event)?;
        self.derive(event)
    }

    fn flush(&mut self) -> Result<()> {
        self.events.flush()?;
        self.csv.flush()?;
        self.tensorboard.flush()
    }
}

impl std::fmt::Debug for RunLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunLog").finish_non_exhaustive()
    }
}

/// Events as named numbers over steps; episodes are averaged over windows, since there can be millions.
struct Numbers {
    every: EnvSteps,
    next: EnvSteps,
    episodes: u32,
    returns: f64,
    lengths: f64,
}

impl Numbers {
    fn new(every: EnvSteps) -> Self {
        Self {
            every,
            next: every,
            episodes: 0,
            returns: 0.0,
            lengths: 0.0,
        }
    }

    fn take(
        &mut self,
        event: &Event<'_>,
        mut each: impl FnMut(EnvSteps, &str, f64) -> Result<()>,
    ) -> Result<()> {
        match event {
            Event::Episode {
                step,
                episode_return,
                length,
                ..
            } => {
                self.episodes += 1;
                self.returns += episode_return;
                self.lengths += f64::from(*length);
                if *step >= self.next {
                    let n = f64::from(self.episodes);
                    each(*step, "rollout/episode_return", self.returns / n)?;
                    each(*step, "rollout/episode_length", self.lengths / n)?;
                    *self = Self {
                        next: (step / self.every + 1) * self.every,
                        ..Self::new(self.every)
                    };
                }
                Ok(())
            }
            Event::Scalar { step, name, value } => each(*step, name, *value),
            Event::Evaluated {
                step,
                returns,
                lengths,
                ..
            } => {
                let n = returns.len() as f64;
                each(
                    *step,
                    "eval/episode_return",
                    returns.iter().sum::<f64>() / n,
                )?;
                each(
                    *step,
                    "eval/episode_length",
                    lengths.iter().map(|&l| f64::from(l)).sum::<f64>() / n,
                )
            }
            Event::Started { .. } | Event::Finished { .. } => Ok(()),
        }
    }
}

/// Returns of the latest episodes, for the progress line.
#[derive(Default)]
struct Recent {
    returns: VecDeque<f64>,
}

impl Recent {
    const EPISODES: usize = 100;

    fn count(&mut self, event: &Event<'_>) {
        if let Event::Episode { episode_return, .. } = event {
            if self.returns.len() == Self::EPISODES {
                self.returns.pop_front();
            }
            self.returns.push_back(*episode_return);
        }
    }

    fn mean(&self) -> Option<f64> {
        let n = self.returns.len();
        (n > 0).then(|| self.returns.iter().sum::<f64>() / n as f64)
    }
}

/// A buffered file that knows its name, so that its errors do.
struct NamedFile {
    path: PathBuf,
    file: io::BufWriter<fs::File>,
}

impl NamedFile {
    fn new(path: PathBuf, file: fs::File) -> Self {
        Self {
            path,
            file: io::BufWriter::new(file),
        }
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut io::BufWriter<fs::File>) -> io::Result<()>,
    ) -> Result<()> {
        write(&mut self.file).map_err(|e| Error::io(&self.path)(e))
    }

    fn flush(&mut self) -> Result<()> {
        self.write(io::Write::flush)
    }
}
