//! An experiment as a folder: started, resumed, several seeds side by side.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use anyhow::{Context, Result, anyhow, bail};
use thorndike_core::Registry;
use thorndike_core::memory::{available, human};

use crate::config::{Config, Task};
use crate::display::Display;
use crate::federated;
use crate::run::{Halt, Run, build, find_checkpoint, seed_dir};
use crate::text::{duration, thousands};
use crate::{machine, runs};

/// The resolved configuration, below the folder of an experiment.
pub const CONFIG: &str = "config.toml";
/// The description of a sweep, below its folder.
pub(crate) const SWEEP: &str = "sweep.toml";
const LOCK: &str = ".lock";

/// An experiment whose folder is held against other processes.
#[derive(Debug)]
pub struct Experiment {
    /// Its configuration, with every default filled in.
    pub config: Config,
    /// Its folder.
    pub dir: PathBuf,
    _lock: File,
}

/// How the seeds of an experiment came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Seeds that made all steps.
    pub finished: Vec<u64>,
    /// Seeds that were stopped and can go on.
    pub stopped: Vec<u64>,
    /// Seeds that failed.
    pub failed: Vec<SeedFailure>,
}

/// A seed that failed.
#[derive(Debug)]
pub struct SeedFailure {
    /// Its root seed.
    pub seed: u64,
    /// Why.
    pub error: thorndike_core::Error,
    /// Whether it failed while at work; if not, it could not be begun.
    pub at_work: bool,
}

/// What one seed of a configuration turns out to be, once it is built.
#[derive(Debug)]
pub(crate) struct Built {
    /// What the agent or the model reads and answers.
    reads: String,
    /// What the agent or the model says of itself.
    agent: String,
    /// Bytes that it holds at most.
    pub(crate) bytes: u64,
}

impl Built {
    /// Builds the first seed of `config`.
    pub(crate) fn of(config: &Config, registry: &Registry) -> thorndike_core::Result<Self> {
        if let Some(federated) = &config.federated {
            let seed = config.seeds[0];
            let mut built = federated::Built::new(config, federated, registry, seed)?;
            let (agent, bytes) = built.learner();
            return Ok(Self {
                reads: built.describe().to_owned(),
                agent,
                bytes,
            });
        }
        match &config.task {
            Task::Agent(_) => {
                let (spec, mut trainer) = build(config, registry, config.seeds[0])?;
                let limit = match spec.time_limit {
                    Some(limit) => format!("time limit {limit} steps"),
                    None => "no time limit".into(),
                };
                Ok(Self {
                    reads: format!(
                        "observations {}, actions {}, {limit}",
                        spec.observation_space(),
                        spec.action_space
                    ),
                    agent: trainer.agent().describe(),
                    bytes: trainer.agent().memory(),
                })
            }
            Task::Model(task) => {
                let every = config.log_every_steps;
                let mut built = task.build(config.seeds[0], config.device, every)?;
                let learner = built.fitter.learner();
                let (agent, bytes) = (learner.describe(), learner.memory());
                Ok(Self {
                    reads: built.describe(),
                    agent,
                    bytes,
                })
            }
            Task::Words(task) => {
                let built = task.build(config.seeds[0], &config.eval)?;
                Ok(Self {
                    reads: built.describe(),
                    agent: built.word2vec.describe(),
                    bytes: built.word2vec.memory(),
                })
            }
        }
    }
}

/// What a run of `config` needs; found out without leaving anything behind.
#[derive(Debug)]
pub struct Plan {
    /// What the agent or the model reads and answers.
    reads: String,
    /// What the agent or the model says of itself.
    pub agent: String,
    /// Bytes that one seed holds at most.
    pub bytes: u64,
    /// Seeds at a time.
    pub jobs: usize,
}

impl Plan {
    /// Builds environments and agent once.
    ///
    /// # Errors
    /// If they do not fit each other, or the seeds that would run side by side do not fit into memory.
    pub fn new(config: &Config, registry: &Registry, jobs: Option<usize>) -> Result<Self> {
        let Built {
            reads,
            agent,
            bytes,
        } = Built::of(config, registry)?;
        let cores = available_parallelism().map_or(1, usize::from);
        let threads = match &config.task {
            _ if config.federated.is_some() => config.federated.as_ref().map_or(1, |f| f.threads),
            Task::Agent(_) => 1,
            Task::Model(task) => task.threads(),
            Task::Words(task) => task.training.threads,
        };
        let jobs = jobs.unwrap_or((cores / threads).max(1));
        let jobs = jobs.clamp(1, config.seeds.len());
        check_memory(bytes, jobs)?;
        Ok(Self {
            reads,
            agent,
            bytes,
            jobs,
        })
    }

    /// A few lines for people.
    pub fn describe(&self, config: &Config) -> String {
        let seeds: Vec<String> = config.seeds.iter().map(u64::to_string).collect();
        let held = self.bytes.saturating_mul(self.jobs as u64);
        let free = available().map_or(String::new(), |free| {
            format!(" of {} available", human(free))
        });
        let at_a_time = if self.jobs < config.seeds.len() {
            format!(", {} at a time", self.jobs)
        } else {
            String::new()
        };
        format!(
            "{name}: {agent} on {env}\n  \
             {steps} {unit}, seeds {seeds}{at_a_time}\n  \
             {reads}\n  \
             memory {bytes} a seed, {held} in all{free}",
            name = config.name,
            agent = config.ids().0,
            env = config.ids().1,
            unit = match config.task {
                _ if config.federated.is_some() => "rounds",
                Task::Agent(_) => "environment steps",
                Task::Model(_) => "samples to learn from",
                Task::Words(_) => "words to learn from",
            },
            steps = thousands(config.steps),
            seeds = seeds.join(" "),
            reads = self.reads,
            bytes = human(self.bytes),
            held = human(held),
        )
    }
}

/// Refuses to hold `bytes` in each of `jobs` runs at a time if there is not as much.
pub(crate) fn check_memory(bytes: u64, jobs: usize) -> Result<()> {
    let all = bytes.saturating_mul(jobs as u64);
    if let Some(free) = available().filter(|&free| all > free) {
        bail!(
            "{jobs} seeds at a time would hold {}; {} are available: give fewer --jobs or a smaller replay",
            human(all),
            human(free)
        );
    }
    Ok(())
}

/// Does `work` for each item in their order, `jobs` at a time on threads of their own.
///
/// # Panics
/// If `work` does.
pub(crate) fn side_by_side<T: Sync>(items: &[T], jobs: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    crossbeam::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|_| {
                // The number of a thread's own: what was set in the one that starts this does not hold here.
                #[cfg(feature = "torch")]
                thorndike_nets::use_threads(1);
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    })
    .expect("panics of environments and agents are caught where they happen");
}

/// `config` for one of `jobs` runs at a time. Side by side they take the cores; more threads for the environments of
/// one would only get into the way of the others.
pub(crate) fn among(jobs: usize, config: &Config) -> Config {
    let mut config = config.clone();
    if jobs > 1
        && let Task::Agent(task) = &mut config.task
    {
        task.env.options.threads.get_or_insert(1);
    }
    config
}

impl Experiment {
    /// Makes the folder of a new experiment below `results`.
    ///
    /// # Errors
    /// If the folder holds another run and `force` is not given, or cannot be written; nothing is left behind then.
    pub fn create(config: Config, results: &Path, force: bool) -> Result<Self> {
        let dir = results.join(&config.name);
        let (lock, ()) = new_folder(&dir, |dir| Self::claim(&config, dir, force))?;
        Ok(Self {
            config,
            dir,
            _lock: lock,
        })
    }

    fn claim(config: &Config, dir: &Path, force: bool) -> Result<()> {
        let old = runs::seed_folders(dir)?;
        if !old.is_empty() && !force {
            bail!(
                "{} holds another run; `thorndike resume {}` goes on with it, --force replaces it",
                dir.display(),
                dir.display()
            );
        }
        if dir.join(SWEEP).is_file() {
            bail!(
                "{} holds a sweep; give the run another name, such as name={}-2",
                dir.display(),
                config.name
            );
        }
        let text = config.to_toml()?;
        write_whole(&dir.join(CONFIG), text.as_bytes())?;
        machine::started(dir)?;
        for folder in old {
            fs::remove_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        }
        Ok(())
    }

    /// Begins an experiment in `dir`, or goes on with the same one there, perhaps with more steps.
    ///
    /// # Errors
    /// If the folder is in use or cannot be written.
    pub(crate) fn begin_or_go_on(config: Config, dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        let lock = lock(&dir)?;
        if dir.join(CONFIG).is_file() {
            machine::resumed(&dir)?;
        } else {
            machine::started(&dir)?;
        }
        write_whole(&dir.join(CONFIG), config.to_toml()?.as_bytes())?;
        Ok(Self {
            config,
            dir,
            _lock: lock,
        })
    }

    /// Opens the folder of an experiment that was started before, to go on with it. `overrides` may give it more
    /// steps, or other `save` keys; config.toml is written anew then.
    ///
    /// # Errors
    /// If there is none, it is in use, all checkpoints of a seed are damaged, or an override would make another
    /// experiment of it.
    pub fn open(dir: &Path, overrides: &[String], registry: &Registry) -> Result<Self> {
        let path = dir.join(CONFIG);
        if !path.is_file() {
            bail!(
                "{} holds no run; give a folder that `thorndike train` made, such as results/NAME",
                dir.display()
            );
        }
        if runs::seed_folders(dir)?.is_empty() {
            bail!("{}", runs::no_run(dir));
        }
        let lock = lock(dir)?;
        let before = Config::load(&path, &[], registry)?;
        let config = lengthen(&before, &path, overrides, registry)?;
        let mut trained = before.steps;
        let mut done = 0;
        for &seed in &config.seeds {
            if let Some(found) = find_checkpoint(&seed_dir(dir, seed), &config, seed)? {
                found.warn();
                if found.is_over(config.steps) {
                    done += 1;
                } else if found.is_finished() {
                    trained = trained.min(found.step);
                }
            }
        }
        if trained < config.steps {
            eprintln!(
                "from {} to {} steps; evaluation, log and checkpoints stay at every {}, {} and {} steps, as config.toml \
                 has them",
                thousands(trained),
                thousands(config.steps),
                thousands(config.eval.every_steps),
                thousands(config.log_every_steps),
                thousands(config.save.every_steps)
            );
        }
        if config != before {
            write_whole(&path, config.to_toml()?.as_bytes())?;
        }
        if done < config.seeds.len() {
            machine::resumed(dir)?;
        }
        Ok(Self {
            config,
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Runs every seed that is not finished, `jobs` at a time, until all are or `stop` is set.
    ///
    /// A seed that fails does not hold up the others.
    pub fn run(&self, registry: &Registry, jobs: usize, stop: &AtomicBool) -> Outcome {
        let display = Display::new(self.config.steps, &self.config.seeds);
        let outcome = Mutex::new(Outcome::default());
        let config = among(jobs.min(self.config.seeds.len()), &self.config);
        side_by_side(&self.config.seeds, jobs, |&seed| {
            let result = self.run_seed(&config, seed, registry, &display, stop);
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(Halt::Finished) => outcome.finished.push(seed),
                Ok(Halt::Stopped) => outcome.stopped.push(seed),
                Err(failure) => outcome.failed.push(failure),
            }
        });
        let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.finished.sort_unstable();
        outcome.stopped.sort_unstable();
        outcome.failed.sort_unstable_by_key(|failure| failure.seed);
        outcome
    }

    fn run_seed(
        &self,
        config: &Config,
        seed: u64,
        registry: &Registry,
        display: &Display,
        stop: &AtomicBool,
    ) -> Result<Halt, SeedFailure> {
        let mut line = display.seed(seed);
        if stop.load(Ordering::Relaxed) {
            line.end("not started");
            return Ok(Halt::Stopped);
        }
        let started = std::time::Instant::now();
        let mut at_work = false;
        let halted = Run::open(config, registry, &self.dir, seed).and_then(|mut run| {
            at_work = true;
            if run.is_finished() {
                return Ok((Halt::Finished, "was finished before".to_owned()));
            }
            let mut last = Default::default();
            let halt = run.go(stop, |progress| {
                line.update(progress);
                last = progress;
            })?;
            let word = match halt {
                Halt::Stopped => {
                    format!("stopped at step {}, checkpoint saved", thousands(last.step))
                }
                Halt::Finished => {
                    let time = duration(started.elapsed().as_secs_f64());
                    let value = last.evaluated.unwrap_or(f64::NAN);
                    match config.task {
                        Task::Agent(_) => format!(
                            "finished in {time}: mean return {value:.2} over {} greedy episodes",
                            config.eval.final_episodes
                        ),
                        Task::Model(_) => {
                            format!("finished in {time}: validation {value:.4} at the end")
                        }
                        Task::Words(_) => {
                            format!("finished in {time}: score {value:.4} at the end")
                        }
                    }
                }
            };
            Ok((halt, word))
        });
        match &halted {
            Ok((_, word)) => line.end(word),
            Err(error) => line.end(&format!("failed: {error}")),
        }
        halted.map(|(halt, _)| halt).map_err(|error| SeedFailure {
            seed,
            error,
            at_work,
        })
    }
}

/// The configuration in `path` with `overrides` that leave the experiment what it is.
fn lengthen(
    before: &Config,
    path: &Path,
    overrides: &[String],
    registry: &Registry,
) -> Result<Config> {
    for text in overrides {
        let key = text.split('=').next().unwrap_or_default().trim();
        if !["steps", "federated.rounds"].contains(&key) && !key.starts_with("save.") {
            bail!(
                "{text}: a run that goes on can be given more steps and other save keys, such as steps=100000; train \
                 anew under another name for anything else"
            );
        }
    }
    let config = Config::load(path, overrides, registry)?;
    if config.steps < before.steps {
        bail!(
            "steps: {} is less than the {} of {}; give a larger number",
            config.steps,
            before.steps,
            path.display()
        );
    }
    Ok(config)
}

/// Makes `dir`, holds it against other processes and does `claim` in it; if that fails, leaves no folder that was not
/// there before.
pub(crate) fn new_folder<T>(
    dir: &Path,
    claim: impl FnOnce(&Path) -> Result<T>,
) -> Result<(File, T)> {
    let made = make_dirs(dir)?;
    let claimed = lock(dir).and_then(|lock| Ok((lock, claim(dir)?)));
    if claimed.is_err() {
        // Only folders that this call made, and only if they are empty: the error is what matters.
        for dir in made.iter().rev() {
            let _ = fs::remove_file(dir.join(LOCK));
            let _ = fs::remove_dir(dir);
        }
    }
    claimed
}

/// Makes `dir` and its parents; gives those that did not exist before, outermost first.
pub(crate) fn make_dirs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut missing: Vec<PathBuf> = dir
        .ancestors()
        .filter(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
    Ok(missing)
}

/// Holds the folder against other processes, as long as the file lives.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let file = File::create(&path).with_context(|| format!("{}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(anyhow!("{} is in use by another process", dir.display()))
        }
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("{}", path.display())),
    }
}

/// Writes a file under another name and renames it: never half of it is in sight.
///
/// # Errors
/// If it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let tmp = path.with_file_name(name);
    let written = File::create(&tmp)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&tmp, path));
    if written.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&tmp);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::CHECKPOINTS;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use thorndike_core::prelude::*;

    /// Its configuration: a table without keys.
    type Nothing = std::collections::BTreeMap<String, u8>;

    /// Walks in a circle of four cells; the step that brings the counter to its end panics, and no other.
    struct Bomb {
        steps_left: Arc<AtomicU64>,
    }

    impl Env for Bomb {
        type State = i32;
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(4)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn reset(&self, _: &mut Rng) -> i32 {
            0
        }
        fn step(&self, cell: &mut i32, action: usize, _: &mut Rng) -> Step {
            let left = self.steps_left.fetch_sub(1, Ordering::Relaxed);
            assert_ne!(left, 1, "cell {cell} fell in");
            *cell = (*cell + action as i32) % 4;
            if *cell == 3 {
                Step::terminal(1.0)
            } else {
                Step::running(0.0)
            }
        }
        fn observe(&self, cell: &i32, obs: &mut [i32]) {
            obs[0] = *cell;
        }
    }

    fn with_bomb(steps: u64) -> Registry {
        let steps_left = Arc::new(AtomicU64::new(steps));
        crate::standard().env("bomb", move |_: &Nothing| {
            Ok(Bomb {
                steps_left: steps_left.clone(),
            })
        })
    }

    #[test]
    fn a_panic_fails_its_seed_names_the_step_and_keeps_the_checkpoint() {
        const TEXT: &str = "steps = 500\nseeds = [1, 2]\n[env]\nid = \"bomb\"\nnum_envs = 2\ntime_limit = 20\n\
                            [agent]\nid = \"q-learning\"\n[eval]\nevery_steps = 500\nepisodes = 1\n\
                            [save]\nevery_steps = 100\n";
        let folder = tempfile::tempdir().unwrap();
        for threads in ["env.threads=1", "env.threads=2"] {
            let registry = with_bomb(300);
            let name = format!("name={}", threads.replace('=', "-"));
            let config = Config::parse(TEXT, "", &[threads.into(), name], &registry).unwrap();
            let experiment = Experiment::create(config, folder.path(), false).unwrap();
            let go = || experiment.run(&registry, 1, &AtomicBool::new(false));
            let outcome = go();
            assert_eq!(outcome.finished, [2]);
            let [SeedFailure { seed: 1, error, .. }] = &outcome.failed[..] else {
                panic!("{outcome:?}")
            };
            let error = error.to_string();
            // The evaluation at step 0 takes 3 to 20 of the 300 steps.
            let step = error
                .strip_prefix("the environment or the agent panicked at environment step 2")
                .unwrap_or_else(|| panic!("{error}"));
            assert!(
                step.contains(": assertion `left != right` failed: cell "),
                "{error}"
            );
            assert!(!error.contains('\n'), "{error}");
            let saved = seed_dir(&experiment.dir, 1).join(CHECKPOINTS);
            assert!(saved.join("latest").is_file());
            assert_eq!(go().finished, [1, 2], "it goes on from there");
        }
    }

    #[test]
    fn a_panic_while_things_are_built_is_one_line() {
        let registry = crate::standard()
            .env("bad", |_: &Nothing| -> thorndike_core::Result<Bomb> {
                panic!("no {}", "map")
            });
        let text = "steps = 5\n[env]\nid = \"bad\"\n[agent]\nid = \"q-learning\"\n";
        let config = Config::parse(text, "bad", &[], &registry).unwrap();
        let error = Plan::new(&config, &registry, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "the environment or the agent panicked while it was built: no map"
        );
    }
}
