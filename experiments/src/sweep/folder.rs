//! A sweep as a folder: run on all cores, and taken up again where it was.
//!
//! ```text
//! results/<sweep>/
//!   sweep.toml     the whole sweep in one file
//!   trial-000/     an ordinary experiment; failed.txt in a seed's folder says why it cannot go on
//!   rungs.json     which trials were given more steps, and by which results; of halving only
//!   table.csv sweep.json sweep.png best.toml     written at the end, from the events of the trials
//! ```
//!
//! What is written while a sweep runs is enough to go on: the events and checkpoints of each seed, and the choice of each
//! rung, which is written before one of its trials is lengthened (the evaluation that it was made by ends then).

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use thorndike_core::memory::{available, human};
use thorndike_core::{EnvSteps, Registry};

use super::file::{Search, Sweep, Trial};
use super::halving::{self, Rung};
use super::keys::{short_names, short_value};
use super::ranking::{FILES, Outcome, Ranking, Score};
use crate::config::Config;
use crate::display::SweepDisplay;
use crate::launch::{
    Built, CONFIG, Experiment, SWEEP, among, check_memory, new_folder, side_by_side, write_whole,
};
use crate::run::{Halt, Run, difference, find_checkpoint, seed_dir};
use crate::runs;
use crate::text::thousands;

const RUNGS: &str = "rungs.json";
const FAILED: &str = "failed.txt";

/// What a sweep is going to do; found out without leaving anything behind.
#[derive(Debug)]
pub struct Plan {
    /// Why a trial cannot be built; by trial.
    pub refused: Vec<Option<String>>,
    /// Runs at a time.
    pub jobs: usize,
    line: String,
}

impl Plan {
    /// Builds environments and agent of every trial once.
    ///
    /// # Errors
    /// If none can be built, or as many as would run side by side do not fit into memory.
    pub fn new(
        sweep: &Sweep,
        trials: &[Trial],
        registry: &Registry,
        jobs: Option<usize>,
    ) -> Result<Self> {
        // Not a plan of each, which would ask for the memory that is free now: a trial that is refused for what else runs
        // on the machine would be ranked last.
        let bytes_of = |config: &Config| -> Result<u64> { Ok(Built::of(config, registry)?.bytes) };
        let built: Vec<Result<u64>> = trials.iter().map(|trial| bytes_of(&trial.config)).collect();
        let bytes = built.iter().flatten().max().copied();
        let refused: Vec<Option<String>> = built
            .into_iter()
            .map(|built| built.err().map(|error| format!("{error:#}")))
            .collect();
        let (Some(bytes), Some(config)) = (bytes, trials.first().map(|trial| &trial.config)) else {
            let why = refused.into_iter().flatten().next().unwrap_or_default();
            bail!("none of the {} trials can be built: {why}", trials.len());
        };
        let seeds = config.seeds.len();
        let cores = available_parallelism().map_or(1, usize::from);
        let jobs = jobs.unwrap_or(cores).clamp(1, trials.len() * seeds);
        check_memory(bytes, jobs)?;
        let line = plan_line(sweep, trials, bytes, jobs)?;
        Ok(Self {
            refused,
            jobs,
            line,
        })
    }
}

fn plan_line(sweep: &Sweep, trials: &[Trial], bytes: u64, jobs: usize) -> Result<String> {
    let config = &trials[0].config;
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let how = match sweep.search {
        Search::Grid {} => "a grid",
        Search::Random { .. } => "at random",
        Search::Halving { .. } => "at random, halved",
    };
    let seeds = plural(config.seeds.len(), "seed");
    let steps = match sweep.rungs(trials)? {
        Some(rungs) => {
            let rung = |rung: &Rung| format!("{} for {}", rung.trials, thousands(rung.steps));
            let rungs: Vec<String> = rungs.iter().map(rung).collect();
            format!("{} steps", rungs.join(", "))
        }
        None => {
            let steps = || trials.iter().map(|trial| trial.config.steps);
            let (least, most) = (steps().min().unwrap_or(0), steps().max().unwrap_or(0));
            if least == most {
                format!("{} steps each", thousands(most))
            } else {
                format!("{} to {} steps", thousands(least), thousands(most))
            }
        }
    };
    let free = available().map_or(String::new(), |free| format!(" of {}", human(free)));
    Ok(format!(
        "{}: {} over {} ({how}), {seeds} each, {steps}; {jobs} at a time in {}{free} of memory",
        sweep.name,
        plural(trials.len(), "trial"),
        plural(sweep.keys.len(), "key"),
        human(bytes.saturating_mul(jobs as u64)),
    ))
}

/// One line; a second one if there are trials that cannot be built.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)?;
        let refused = || self.refused.iter().flatten();
        if let Some(why) = refused().next() {
            let (n, all) = (refused().count(), self.refused.len());
            write!(f, "\nwarning: {n} of {all} trials cannot be built: {why}")?;
        }
        Ok(())
    }
}

/// The folder of a sweep, held against other processes.
#[derive(Debug)]
pub struct Folder<'a> {
    /// Where it is.
    pub dir: PathBuf,
    sweep: &'a Sweep,
    trials: &'a [Trial],
    _lock: File,
}

/// The choice after a rung. Its scores are of evaluations that are no longer in the events of the promoted trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Environment steps of each seed.
    pub steps: EnvSteps,
    /// Results of the trials that did not fail.
    pub scores: Vec<(usize, f64)>,
    /// The trials that go on.
    pub promoted: Vec<usize>,
}

/// What the threads of a rung share.
struct Shared<'a> {
    registry: &'a Registry,
    stop: &'a AtomicBool,
    display: &'a SweepDisplay,
    /// By place in the rung.
    entries: Vec<Mutex<Entry>>,
    progress: Mutex<Told>,
    error: Mutex<Option<Error>>,
}

/// One trial in a rung.
struct Entry {
    trial: usize,
    config: Config,
    seeds_left: usize,
    held: Option<Experiment>,
    outcome: Option<Outcome>,
}

/// What was said so far.
struct Told {
    done: usize,
    best: Option<(f64, usize)>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Folder<'a> {
    /// Takes the folder of a sweep below `results`: a new one, or that of the same sweep to go on with it.
    ///
    /// # Errors
    /// If it holds something else and `force` is not given, or cannot be written; nothing is left behind then.
    pub fn claim(
        sweep: &'a Sweep,
        trials: &'a [Trial],
        results: &Path,
        force: bool,
    ) -> Result<Self> {
        let dir = results.join(&sweep.name);
        let (lock, ()) = new_folder(&dir, |dir| claim(sweep, dir, force))?;
        Ok(Self {
            dir,
            sweep,
            trials,
            _lock: lock,
        })
    }

    /// Runs all trials that are not finished, `plan.jobs` seeds at a time; `None` if `stop` was set before the end.
    ///
    /// # Errors
    /// If something fails that is not the fault of a trial, such as a full disk. The same call goes on later.
    pub fn run(
        &self,
        plan: &Plan,
        registry: &Registry,
        stop: &AtomicBool,
    ) -> Result<Option<Ranking>> {
        let display = &SweepDisplay::new();
        // What has been trained could be built then, whatever the machine says now.
        let refused = plan.refused.iter().enumerate().map(|(trial, why)| {
            let why = why.as_ref().filter(|_| !self.trial_dir(trial).exists());
            why.cloned().map(Outcome::Failed)
        });
        let mut outcomes: Vec<Option<Outcome>> = refused.collect();
        let mut left: Vec<usize> = (0..self.trials.len())
            .filter(|&trial| outcomes[trial].is_none())
            .collect();
        let rungs = self.sweep.rungs(self.trials)?;
        let mut choices = self.choices()?;
        let lengths: Vec<Option<EnvSteps>> = match &rungs {
            Some(rungs) => rungs.iter().map(|rung| Some(rung.steps)).collect(),
            None => vec![None],
        };
        let fits = |(choice, steps): (&Choice, &Option<EnvSteps>)| Some(choice.steps) == *steps;
        ensure!(
            choices.len() < lengths.len() && choices.iter().zip(&lengths).all(fits),
            "{}: is not of this sweep",
            self.dir.join(RUNGS).display()
        );
        for (number, &steps) in lengths.iter().enumerate() {
            if let Some(choice) = choices.get(number) {
                left.retain(|trial| choice.promoted.contains(trial));
                continue;
            }
            if lengths.len() > 1 {
                display.line(&format!(
                    "rung {} of {}: {} trials to {} steps",
                    number + 1,
                    lengths.len(),
                    left.len(),
                    thousands(steps.unwrap_or(0))
                ));
            }
            let Some(ended) = self.rung(&left, steps, plan.jobs, registry, stop, display)? else {
                return Ok(None);
            };
            let next = rungs.as_ref().and_then(|rungs| rungs.get(number + 1));
            let promoted = match next.zip(steps) {
                Some((next, steps)) => {
                    let score = |(trial, outcome): &(usize, Outcome)| {
                        Some((*trial, outcome.score()?.iqm.value))
                    };
                    let scores: Vec<(usize, f64)> = ended.iter().filter_map(score).collect();
                    let promoted = halving::best(&scores, next.trials);
                    choices.push(Choice {
                        steps,
                        scores,
                        promoted: promoted.clone(),
                    });
                    self.write_choices(&choices)?;
                    promoted
                }
                None => Vec::new(),
            };
            for (trial, outcome) in ended {
                if !promoted.contains(&trial) {
                    outcomes[trial] = Some(outcome);
                }
            }
            left = promoted;
        }
        // Those that were left behind before this call.
        let mut rungs_reached = vec![0; self.trials.len()];
        for (number, choice) in choices.iter().enumerate() {
            for &trial in &choice.promoted {
                rungs_reached[trial] = number + 1;
            }
        }
        for (trial, outcome) in outcomes.iter_mut().enumerate() {
            if outcome.is_none() {
                let config = self.config(trial, lengths[rungs_reached[trial]]);
                *outcome = Some(self.outcome(trial, &config)?.with_context(|| {
                    format!("{}: not finished", self.trial_dir(trial).display())
                })?);
            }
        }
        let outcomes = outcomes.into_iter().zip(rungs_reached);
        let outcomes = outcomes.map(|(outcome, rung)| {
            let outcome = outcome.unwrap_or_else(|| Outcome::Failed("not run".to_owned()));
            (outcome, rung)
        });
        Ok(Some(Ranking::new(outcomes.collect(), choices)))
    }

    /// Folder of a trial.
    pub fn trial_dir(&self, trial: usize) -> PathBuf {
        self.dir.join(&self.trials[trial].config.name)
    }

    /// A trial with the steps of a rung. All else, such as the spacing of evaluations, is that of the full length.
    fn config(&self, trial: usize, steps: Option<EnvSteps>) -> Config {
        let config = &self.trials[trial].config;
        Config {
            steps: steps.unwrap_or(config.steps),
            ..config.clone()
        }
    }

    fn choices(&self) -> Result<Vec<Choice>> {
        let path = self.dir.join(RUNGS);
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let at = || format!("{}", path.display());
        let choices: Vec<Choice> =
            serde_json::from_slice(&fs::read(&path).with_context(at)?).with_context(at)?;
        let known = |trial: &usize| *trial < self.trials.len();
        ensure!(
            choices
                .iter()
                .all(|choice| choice.promoted.iter().all(known)),
            "{}: names a trial that is not there",
            path.display()
        );
        Ok(choices)
    }

    fn write_choices(&self, choices: &[Choice]) -> Result<()> {
        write_whole(&self.dir.join(RUNGS), &serde_json::to_vec(choices)?)
    }

    /// Trains `trials` until `steps`, and says how each came out; `None` if it was stopped.
    fn rung(
        &self,
        trials: &[usize],
        steps: Option<EnvSteps>,
        jobs: usize,
        registry: &Registry,
        stop: &AtomicBool,
        display: &SweepDisplay,
    ) -> Result<Option<Vec<(usize, Outcome)>>> {
        let mut entries = Vec::new();
        let mut tasks = Vec::new();
        let (mut before, mut work) = (0, 0);
        let mut told = Told {
            done: 0,
            best: None,
        };
        for (place, &trial) in trials.iter().enumerate() {
            let config = self.config(trial, steps);
            let dir = self.trial_dir(trial);
            let mut seeds_left = 0;
            for &seed in &config.seeds {
                if !is_over(&dir, &config, seed)? {
                    tasks.push((place, seed));
                    seeds_left += 1;
                    work += config.steps;
                }
            }
            let outcome = match seeds_left {
                0 => self.outcome(trial, &config)?,
                _ => None,
            };
            if let Some(outcome) = &outcome {
                before += 1;
                told.add(trial, outcome);
            }
            entries.push(Mutex::new(Entry {
                trial,
                config,
                seeds_left,
                held: None,
                outcome,
            }));
        }
        if before > 0 {
            display.line(&format!(
                "{before} of {} trials were finished before",
                trials.len()
            ));
        }
        display.begin(work);
        let shared = Shared {
            registry,
            stop,
            display,
            entries,
            progress: Mutex::new(told),
            error: Mutex::new(None),
        };
        side_by_side(&tasks, jobs, |&(place, seed)| {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = self.run_seed(place, seed, jobs.min(tasks.len()), &shared) {
                locked(&shared.error).get_or_insert(error);
                // The others save what they have.
                stop.store(true, Ordering::Relaxed);
            }
        });
        display.end();
        let Shared { entries, error, .. } = shared;
        if let Some(error) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let ended = entries.into_iter().map(|entry| {
            let entry = entry.into_inner().unwrap_or_else(PoisonError::into_inner);
            Some((entry.trial, entry.outcome?))
        });
        Ok(ended.collect())
    }

    /// One seed of a trial from where it is to its end, or until it is stopped.
    fn run_seed(&self, place: usize, seed: u64, jobs: usize, shared: &Shared<'_>) -> Result<()> {
        let entry = &shared.entries[place];
        let (config, dir) = {
            let mut entry = locked(entry);
            let dir = self.trial_dir(entry.trial);
            if entry.held.is_none() {
                let held = Experiment::begin_or_go_on(entry.config.clone(), dir.clone())?;
                entry.held = Some(held);
            }
            (among(jobs, &entry.config), dir)
        };
        let halted = Run::open(&config, shared.registry, &dir, seed).and_then(|mut run| {
            let mut last = 0;
            run.go(shared.stop, |progress| {
                shared.display.advance(progress.step - last);
                last = progress.step;
            })
        });
        match halted {
            Ok(Halt::Stopped) => return Ok(()),
            Ok(Halt::Finished) => {}
            Err(error) if is_of_the_trial(&error) => {
                let path = seed_dir(&dir, seed).join(FAILED);
                write_whole(&path, error.to_string().as_bytes())?;
            }
            Err(error) => {
                let name = &config.name;
                return Err(Error::new(error).context(format!("{name}: seed {seed}")));
            }
        }
        let mut entry = locked(entry);
        entry.seeds_left -= 1;
        if entry.seeds_left > 0 {
            return Ok(());
        }
        entry.held = None;
        let outcome = self.outcome(entry.trial, &entry.config)?;
        if let Some(outcome) = &outcome {
            let mut told = locked(&shared.progress);
            told.add(entry.trial, outcome);
            let line = self.line(entry.trial, outcome, &told, shared.entries.len());
            shared.display.line(&line);
        }
        entry.outcome = outcome;
        Ok(())
    }

    /// How a trial came out, from its files; `None` if seeds of it are still to be run.
    fn outcome(&self, trial: usize, config: &Config) -> Result<Option<Outcome>> {
        let dir = self.trial_dir(trial);
        for &seed in &config.seeds {
            if let Some(why) = failure(&dir, seed)? {
                return Ok(Some(Outcome::Failed(format!("seed {seed}: {why}"))));
            }
        }
        for &seed in &config.seeds {
            if !is_over(&dir, config, seed)? {
                return Ok(None);
            }
        }
        let read = runs::Experiment::read(&dir)?;
        Score::of(&read).map(Some)
    }

    fn line(&self, trial: usize, outcome: &Outcome, told: &Told, all: usize) -> String {
        let Trial { values, config } = &self.trials[trial];
        let keys = &self.sweep.keys;
        let names = short_names(keys);
        let set: Vec<String> = keys
            .iter()
            .zip(&names)
            .zip(values)
            .map(|((key, name), value)| format!("{name} {}", short_value(key, value)))
            .collect();
        let best = match told.best {
            Some((_, best)) if best == trial => "  best so far".to_owned(),
            _ => String::new(),
        };
        let width = all.to_string().len();
        let outcome = match outcome {
            Outcome::Finished(score) => format!("IQM {}{best}", score.iqm),
            Outcome::Failed(why) => format!("failed: {why}"),
        };
        format!(
            "{:>width$} of {all}  {}  {}: {outcome}",
            told.done,
            config.name,
            set.join(", ")
        )
    }
}

impl Told {
    fn add(&mut self, trial: usize, outcome: &Outcome) {
        self.done += 1;
        if let Some(score) = outcome.score() {
            let value = score.iqm.value;
            let better =
                |&(best, first): &(f64, usize)| value > best || (value == best && trial < first);
            if self.best.as_ref().is_none_or(better) {
                self.best = Some((value, trial));
            }
        }
    }
}

/// Whether nothing is left to do for a seed: it has made its steps, or it cannot.
fn is_over(dir: &Path, config: &Config, seed: u64) -> Result<bool> {
    if failure(dir, seed)?.is_some() {
        return Ok(true);
    }
    let dir = seed_dir(dir, seed);
    if !dir.is_dir() {
        return Ok(false);
    }
    let found = find_checkpoint(&dir, config, seed)?;
    if let Some(found) = &found {
        found.warn();
    }
    Ok(found.is_some_and(|found| found.is_over(config.steps)))
}

fn failure(dir: &Path, seed: u64) -> Result<Option<String>> {
    let path = seed_dir(dir, seed).join(FAILED);
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    Ok(Some(text))
}

/// Whether an error comes again whenever the seed is run again, and says something about the values of its trial.
fn is_of_the_trial(error: &thorndike_core::Error) -> bool {
    use thorndike_core::Error as E;
    matches!(error, E::Diverged { .. } | E::Panicked { .. })
}

fn claim(sweep: &Sweep, dir: &Path, force: bool) -> Result<()> {
    let path = dir.join(SWEEP);
    let whole = sweep.to_toml()?;
    let shown = dir.display();
    if !runs::seed_folders(dir)?.is_empty() || dir.join(CONFIG).is_file() {
        bail!(
            "{shown} holds a run and no sweep; give the sweep another name, such as name={}-2",
            sweep.name
        );
    }
    let old = ours(dir)?;
    if path.is_file() && !force {
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let there: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| anyhow!("{}: {}", path.display(), e.message()))?;
        let (there, wanted) = (serde_json::to_value(there)?, serde_json::to_value(&whole)?);
        if let Some(key) = difference(&there, &wanted) {
            bail!(
                "{shown} holds another sweep, which differs in {key}; give this one another name, such as name={}-2, or \
                 replace that one by --force",
                sweep.name
            );
        }
        return Ok(());
    }
    if !old.is_empty() && !force {
        bail!("{shown} holds trials of a sweep without its sweep.toml; --force replaces them");
    }
    // The description goes first and comes last: what is between them is nobody's.
    for path in [path.clone()]
        .into_iter()
        .filter(|path| path.is_file())
        .chain(old)
    {
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("{}", path.display()))?;
    }
    write_whole(&path, toml::to_string(&whole)?.as_bytes())
}

/// What a sweep has left in its folder, without its description.
fn ours(dir: &Path) -> Result<Vec<PathBuf>> {
    let at = || format!("{}", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(at)? {
        let path = entry.with_context(at)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.strip_prefix("trial-");
        if number.is_some_and(|n| n.parse::<usize>().is_ok())
            || name == RUNGS
            || FILES.contains(&&*name)
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use thorndike_core::prelude::*;

    /// Counts the steps of an episode, and panics at the one that its fuse says; 0: never.
    struct Bomb {
        fuse: u32,
        steps_made: Arc<AtomicU64>,
    }

    impl Env for Bomb {
        type State = u32;
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn time_limit(&self) -> Option<u32> {
            Some(10)
        }
        fn reset(&self, _: &mut Rng) -> u32 {
            0
        }
        fn step(&self, steps: &mut u32, action: usize, _: &mut Rng) -> Step {
            self.steps_made.fetch_add(1, Ordering::Relaxed);
            *steps += 1;
            assert_ne!(*steps, self.fuse, "it went off");
            Step::running(action as f32)
        }
        fn observe(&self, steps: &u32, obs: &mut [i32]) {
            obs[0] = (*steps % 2) as i32;
        }
    }

    type Params = std::collections::BTreeMap<String, u32>;

    fn registry() -> (Registry, Arc<AtomicU64>) {
        let steps_made = Arc::new(AtomicU64::new(0));
        let counter = steps_made.clone();
        let bomb = move |params: &Params| {
            Ok(Bomb {
                fuse: params.get("fuse").copied().unwrap_or(0),
                steps_made: counter.clone(),
            })
        };
        (crate::standard().env("bomb", bomb), steps_made)
    }

    const TEXT: &str = r#"
        search = { kind = "grid" }
        [config]
        steps = 200
        seeds = [1, 2]
        env = { id = "bomb" }
        agent = { id = "q-learning" }
        eval = { every_steps = 100, episodes = 1, final_episodes = 1 }
        [keys]
        env.params.fuse = [0, 5, 99]
    "#;

    #[test]
    fn a_trial_that_fails_keeps_its_reason_and_is_not_tried_again() {
        let (registry, steps_made) = registry();
        let results = tempfile::tempdir().unwrap();
        let sweep = Sweep::parse(TEXT, "bombs", Path::new(""), &[]).unwrap();
        let trials = sweep.trials(&registry).unwrap();
        let plan = Plan::new(&sweep, &trials, &registry, Some(2)).unwrap();
        let folder = Folder::claim(&sweep, &trials, results.path(), false).unwrap();
        let go = || {
            folder
                .run(&plan, &registry, &AtomicBool::new(false))
                .unwrap()
                .unwrap()
        };
        let ranking = go();
        let order: Vec<usize> = ranking.rows.iter().map(|row| row.trial).collect();
        assert_eq!(order, [0, 2, 1], "two are as good, and one failed");
        let Outcome::Failed(why) = &ranking.rows[2].outcome else {
            panic!("{ranking:?}")
        };
        let expected = "seed 1: the environment or the agent panicked at environment step 0: ";
        assert!(
            why.starts_with(expected) && why.ends_with("it went off left: 5 right: 5"),
            "{why}"
        );
        let before = steps_made.load(Ordering::Relaxed);
        assert_eq!(go(), ranking);
        assert_eq!(
            steps_made.load(Ordering::Relaxed),
            before,
            "something was run again"
        );
    }

    #[test]
    fn what_is_not_the_fault_of_a_trial_ends_the_sweep_which_then_goes_on() {
        let (registry, _) = registry();
        let results = tempfile::tempdir().unwrap();
        let sweep = Sweep::parse(TEXT, "bombs", Path::new(""), &[]).unwrap();
        let trials = sweep.trials(&registry).unwrap();
        let plan = Plan::new(&sweep, &trials, &registry, Some(1)).unwrap();
        let folder = Folder::claim(&sweep, &trials, results.path(), false).unwrap();
        let go = || folder.run(&plan, &registry, &AtomicBool::new(false));
        // A file where a folder should be.
        let blocked = folder.trial_dir(2);
        fs::write(&blocked, "").unwrap();
        let error = format!("{:#}", go().unwrap_err());
        assert!(error.contains("trial-002"), "{error}");
        fs::remove_file(&blocked).unwrap();
        assert_eq!(go().unwrap().unwrap().rows.len(), 3);
    }

    #[test]
    fn a_sweep_that_is_told_to_stop_says_so() {
        let (registry, steps_made) = registry();
        let results = tempfile::tempdir().unwrap();
        let sweep = Sweep::parse(TEXT, "bombs", Path::new(""), &[]).unwrap();
        let trials = sweep.trials(&registry).unwrap();
        let plan = Plan::new(&sweep, &trials, &registry, None).unwrap();
        let folder = Folder::claim(&sweep, &trials, results.path(), false).unwrap();
        assert_eq!(
            folder
                .run(&plan, &registry, &AtomicBool::new(true))
                .unwrap(),
            None
        );
        assert_eq!(steps_made.load(Ordering::Relaxed), 0);
    }
}
