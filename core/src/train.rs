//! The training loop, and evaluation.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::agent::{Actor, Agent, EnvSteps, Mode, Transitions};
use crate::array::Array;
use crate::env::Status;
use crate::error::{Error, Result};
use crate::event::{Event, Log, Recorder};
use crate::vector::VectorEnv;

/// Environments and an agent that learns in them.
///
/// *Design.* No callbacks: the caller asks to run until a step, and then evaluates, saves or stops. Where
/// the caller pauses changes nothing in the result.
pub struct Trainer {
    pub(crate) envs: Box<dyn VectorEnv>,
    pub(crate) learner: Learner,
    actions: Array,
    /// Rows that begin an episode with the next action.
    pub(crate) starts: Vec<bool>,
}

/// The agent, and how far it has come.
pub(crate) struct Learner {
    pub(crate) agent: Box<dyn Agent>,
    log_every: EnvSteps,
    pub(crate) counters: Counters,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) step: EnvSteps,
    next_log: EnvSteps,
    returns: Vec<f64>,
    lengths: Vec<u32>,
}

impl Trainer {
    /// Training of `agent` in `envs` from step 0; agents report numbers about every `log_every` environment
    /// steps.
    pub fn new(envs: Box<dyn VectorEnv>, agent: Box<dyn Agent>, log_every: EnvSteps) -> Self {
        let n = envs.spec().num_envs;
        Self {
            actions: envs.new_actions(),
            envs,
            learner: Learner {
                agent,
                log_every: log_every.max(1),
                counters: Counters {
                    step: 0,
                    next_log: log_every.max(1),
                    returns: vec![0.0; n],
                    lengths: vec![0; n],
                },
            },
            starts: vec![true; n],
        }
    }

    /// Environment steps so far.
    pub fn step(&self) -> EnvSteps {
        self.learner.counters.step
    }

    /// The agent.
    pub fn agent(&mut self) -> &mut dyn Agent {
        &mut *self.learner.agent
    }

    /// The environments.
    pub fn envs(&self) -> &dyn VectorEnv {
        &*self.envs
    }

    /// Runs until at least `step` environment steps were made: the next multiple of the number of environments.
    ///
    /// # Errors
    /// [`Error::Diverged`] if a reward or a loss is no finite number; errors of agent and recorder.
    pub fn run_until(&mut self, step: EnvSteps, recorder: &mut dyn Recorder) -> Result<()> {
        let Self {
            envs,
            learner,
            actions,
            starts,
        } = self;
        while learner.counters.step < step {
            if starts.contains(&true) {
                learner.agent.begin(starts, Mode::Explore);
            }
            let obs = &envs.batch().obs;
            learner.agent.act(obs, Mode::Explore, actions);
            envs.step(actions);
            let transitions = Transitions::new(envs.batch(), actions);
            learner.learn(&transitions, envs.raw_rewards(), recorder)?;
            mark_starts(&envs.batch().status, starts);
            envs.advance();
        }
        Ok(())
    }

    /// Plays greedily as [`evaluate`] does, in environments of their own that show what training has shown so far:
    /// they take the [statistics](VectorEnv::statistics) of the trainer's and keep them.
    ///
    /// # Errors
    /// If `envs` are of another form.
    pub fn evaluate(&mut self, envs: &mut dyn VectorEnv, episodes: usize) -> Result<Evaluation> {
        if let Some(statistics) = self.envs.statistics() {
            envs.freeze(&statistics)?;
        }
        Ok(evaluate(envs, &mut *self.learner.agent, episodes))
    }

    /// Writes counters, environments and agent into the folder `dir`.
    ///
    /// # Errors
    /// If a file cannot be written, or the environments cannot be saved.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let write = |name: &str, bytes: Vec<u8>| {
            let path = dir.join(name);
            fs::write(&path, bytes).map_err(Error::io(path))
        };
        let counters =
            postcard::to_stdvec(&self.learner.counters).map_err(|e| Error::Backend(Box::new(e)))?;
        write("trainer.bin", counters)?;
        write("envs.bin", self.envs.save()?)?;
        let agent = dir.join("agent");
        fs::create_dir_all(&agent).map_err(Error::io(&agent))?;
        self.learner.agent.save(&agent)
    }

    /// Takes back what [`save`](Trainer::save) wrote.
    ///
    /// # Errors
    /// If a file is missing, damaged, or of another run.
    pub fn load(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("trainer.bin");
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let counters: Counters = postcard::from_bytes(&bytes)
            .map_err(|e| Error::checkpoint(&path, format!("cannot be read: {e}")))?;
        let n = self.envs.spec().num_envs;
        if counters.returns.len() != n || counters.lengths.len() != n {
            return Err(Error::checkpoint(
                &path,
                format!("is not of a run with {n} environments"),
            ));
        }
        self.load_envs(dir)?;
        self.learner.agent.load(&dir.join("agent"))?;
        let began = self.starts.iter_mut().zip(&counters.lengths);
        began.for_each(|(start, &length)| *start = length == 0);
        self.learner.counters = counters;
        Ok(())
    }

    /// Takes back what [`evaluate`](Trainer::evaluate) needs: the policy, and the environments if they keep
    /// statistics.
    ///
    /// # Errors
    /// As [`load`](Trainer::load).
    pub fn load_policy(&mut self, dir: &Path) -> Result<()> {
        if self.envs.statistics().is_some() {
            self.load_envs(dir)?;
        }
        self.learner.agent.load_policy(&dir.join("agent"))
    }

    fn load_envs(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("envs.bin");
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let loaded = self.envs.load(&bytes);
        loaded.map_err(|e| Error::checkpoint(&path, e.to_string()))
    }
}

impl Learner {
    /// Takes in one step of all environments, reports what ended, and learns if it is time to.
    #[inline]
    pub(crate) fn learn(
        &mut self,
        transitions: &Transitions<'_>,
        raw_rewards: &[f32],
        recorder: &mut dyn Recorder,
    ) -> Result<()> {
        let Self {
            agent,
            log_every,
            counters,
        } = self;
        counters.step += transitions.len() as EnvSteps;
        counters.count(raw_rewards, transitions.status, recorder)?;
        agent.observe(transitions);
        let mut log = Log::new(recorder, counters.step, counters.step >= counters.next_log);
        agent.update(&mut log)?;
        if log.used() {
            counters.next_log = (counters.step / *log_every + 1) * *log_every;
        }
        Ok(())
    }
}

impl Counters {
    /// Adds up raw rewards and reports ended episodes.
    #[inline]
    fn count(
        &mut self,
        rewards: &[f32],
        status: &[Status],
        recorder: &mut dyn Recorder,
    ) -> Result<()> {
        let rows = self.returns.iter_mut().zip(&mut self.lengths);
        for (row, ((sum, length), (&reward, &status))) in
            rows.zip(rewards.iter().zip(status)).enumerate()
        {
            if !reward.is_finite() {
                return Err(Error::Diverged {
                    step: self.step,
                    what: format!("the reward of environment {row} is {reward}"),
                });
            }
            *sum += f64::from(reward);
            *length += 1;
            if status.is_over() {
                recorder.record(&Event::Episode {
                    step: self.step,
                    env: row as u32,
                    episode_return: *sum,
                    length: *length,
                    status,
                })?;
                *sum = 0.0;
                *length = 0;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("counters", &self.learner.counters)
            .finish_non_exhaustive()
    }
}

/// The rows whose episodes ended begin one with the next action.
pub(crate) fn mark_starts(status: &[Status], starts: &mut [bool]) {
    for (start, status) in starts.iter_mut().zip(status) {
        *start = status.is_over();
    }
}

/// What [`evaluate`] saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Return of each episode, in the order of environments and then of episodes.
    pub returns: Vec<f64>,
    /// Steps of the agent in each episode.
    pub lengths: Vec<u32>,
    /// The one action that was taken in every step, if there was only one: often the sign of an agent that
    /// has learned nothing.
    pub only_action: Option<i32>,
}

impl Evaluation {
    /// Mean return.
    pub fn mean(&self) -> f64 {
        self.returns.iter().sum::<f64>() / self.returns.len() as f64
    }

    /// Mean return of each of `tasks` tasks, where row `i` of the `rows` environments is of task `i mod tasks`; no number if
    /// none of its episodes was played.
    pub fn means_of_tasks(&self, tasks: usize, rows: usize) -> Vec<f64> {
        if tasks == 0 {
            return Vec::new();
        }
        let episodes = self.returns.len();
        let (mut sums, mut counts) = (vec![0.0; tasks], vec![0.0; tasks]);
        let mut returns = self.returns.iter();
        for row in 0..rows {
            for _ in 0..share(episodes, rows, row) {
                sums[row % tasks] += returns.next().expect("a share of them");
                counts[row % tasks] += 1.0;
            }
        }
        sums.iter().zip(counts).map(|(sum, n)| sum / n).collect()
    }

    /// Standard deviation of the returns (population).
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.returns.iter().map(|r| (r - mean).powi(2)).sum();
        (squares / self.returns.len() as f64).sqrt()
    }
}

/// How many of `episodes` episodes are played in row `row` of `rows`.
fn share(episodes: usize, rows: usize, row: usize) -> usize {
    episodes / rows + usize::from(row < episodes % rows)
}

/// Plays `episodes` episodes greedily, from the start, in `envs`, which must be environments of its own. Returns are
/// of [raw](VectorEnv::raw_rewards) rewards.
///
/// Every environment plays a fixed share of the episodes. (Counting whichever episodes end first would
/// prefer short ones.) Give `envs` a time limit: a greedy policy can run in a circle.
pub fn evaluate(envs: &mut dyn VectorEnv, actor: &mut dyn Actor, episodes: usize) -> Evaluation {
    let n = envs.spec().num_envs;
    let share = |row| share(episodes, n, row);
    let mut played: Vec<Vec<(f64, u32)>> =
        (0..n).map(|row| Vec::with_capacity(share(row))).collect();
    let mut running = vec![(0.0, 0); n];
    let mut actions = envs.new_actions();
    let discrete = envs.spec().action_space.discrete().is_some();
    let mut seen_actions: (i32, i32) = (i32::MAX, i32::MIN);
    let mut left = episodes;
    let mut starts = vec![true; n];
    while left > 0 {
        if starts.contains(&true) {
            actor.begin(&starts, Mode::Exploit);
        }
        actor.act(&envs.batch().obs, Mode::Exploit, &mut actions);
        envs.step(&actions);
        let batch = envs.batch();
        for row in 0..n {
            if played[row].len() == share(row) {
                continue;
            }
            if discrete {
                let action = actions.row::<i32>(row)[0];
                seen_actions = (seen_actions.0.min(action), seen_actions.1.max(action));
            }
            running[row].0 += f64::from(envs.raw_rewards()[row]);
            running[row].1 += 1;
            if batch.status[row].is_over() {
                played[row].push(std::mem::take(&mut running[row]));
                left -= 1;
            }
        }
        mark_starts(&batch.status, &mut starts);
        envs.advance();
    }
    let (returns, lengths) = played.into_iter().flatten().unzip();
    Evaluation {
        returns,
        lengths,
        only_action: (seen_actions.0 == seen_actions.1).then_some(seen_actions.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, Step};
    use crate::seed::{Rng, Seeds};
    use crate::space::Space;
    use crate::vector::{EnvOptions, SyncVectorEnv};
    use rand::RngExt;

    /// Lasts 1 or 20 steps, drawn at the start; reward 1 a step, or `reward` in the first.
    struct Lengths {
        reward: f32,
    }

    impl Env for Lengths {
        type State = u32;
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(21)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn reset(&self, rng: &mut Rng) -> u32 {
            if rng.random::<bool>() { 1 } else { 20 }
        }
        fn step(&self, left: &mut u32, _: usize, _: &mut Rng) -> Step {
            *left -= 1;
            Step::terminal_if(*left == 0, self.reward)
        }
        fn observe(&self, left: &u32, obs: &mut [i32]) {
            obs[0] = *left as i32;
        }
    }

    /// Counts what it is shown, and remembers the last observation of each row and mode.
    #[derive(Default)]
    struct Watcher {
        updates: u64,
        remembered: [Vec<Option<i32>>; 2],
    }

    impl Actor for Watcher {
        fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array) {
            let remembered = &mut self.remembered[mode as usize];
            for (row, last) in remembered.iter_mut().enumerate() {
                let seen = obs.row::<i32>(row)[0];
                actions.row_mut::<i32>(row)[0] = seen % 2;
                let expected = last.map_or(seen, |last| last - 1);
                assert_eq!(seen, expected, "row {row} began unannounced, {mode:?}");
                *last = Some(seen);
            }
        }
        fn begin(&mut self, starts: &[bool], mode: Mode) {
            let remembered = &mut self.remembered[mode as usize];
            remembered.resize(starts.len(), None);
            for (last, &start) in remembered.iter_mut().zip(starts) {
                *last = last.filter(|_| !start);
            }
        }
    }

    impl Agent for Watcher {
        fn observe(&mut self, _: &Transitions<'_>) {}
        fn update(&mut self, log: &mut Log<'_>) -> Result<()> {
            self.updates += 1;
            if self.updates.is_multiple_of(3) {
                log.scalar("updates", self.updates as f64)?;
            }
            Ok(())
        }
        fn save(&self, dir: &Path) -> Result<()> {
            fs::write(dir.join("n"), self.updates.to_le_bytes()).map_err(Error::io(dir))
        }
        fn load(&mut self, dir: &Path) -> Result<()> {
            let bytes = fs::read(dir.join("n")).map_err(Error::io(dir))?;
            self.updates = u64::from_le_bytes(bytes.try_into().unwrap());
            Ok(())
        }
    }

    fn envs(num_envs: usize, reward: f32) -> Box<dyn VectorEnv> {
        let options = EnvOptions {
            num_envs,
            ..Default::default()
        };
        Box::new(SyncVectorEnv::new(Lengths { reward }, &options, Seeds::new(5)).unwrap())
    }

    #[test]
    fn evaluation_over_many_environments_does_not_prefer_short_episodes() {
        let evaluation = evaluate(&mut *envs(64, 1.0), &mut Watcher::default(), 640);
        assert_eq!(evaluation.returns.len(), 640);
        // Mean length 10.5, standard deviation 9.5 / sqrt(640) = 0.38: five of them.
        assert!(
            (evaluation.mean() - 10.5).abs() < 1.9,
            "{}",
            evaluation.mean()
        );
    }

    #[test]
    fn where_the_caller_pauses_changes_nothing() {
        let run = |stops: &[u64]| {
            let mut events: Vec<Event<'static>> = Vec::new();
            let mut trainer = Trainer::new(envs(2, 1.0), Box::new(Watcher::default()), 10);
            for &stop in stops {
                trainer.run_until(stop, &mut events).unwrap();
            }
            events
        };
        let events = run(&[200]);
        assert_eq!(events, run(&[1, 2, 17, 30, 200]));
        assert!(events.iter().any(|e| matches!(e, Event::Scalar { .. })));
        assert!(events.iter().any(|e| matches!(
            e,
            Event::Episode {
                status: Status::Terminated,
                ..
            }
        )));
    }

    #[test]
    fn actors_are_told_of_every_start_in_each_mode() {
        let mut trainer = Trainer::new(envs(3, 1.0), Box::new(Watcher::default()), 10);
        trainer.run_until(100, &mut ()).unwrap();
        trainer.evaluate(&mut *envs(2, 1.0), 7).unwrap();
        trainer.run_until(200, &mut ()).unwrap();
        trainer.evaluate(&mut *envs(2, 1.0), 7).unwrap();
    }

    #[test]
    fn a_loaded_trainer_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut all: Vec<Event<'static>> = Vec::new();
        let mut trainer = Trainer::new(envs(3, 1.0), Box::new(Watcher::default()), 10);
        trainer.run_until(100, &mut all).unwrap();
        trainer.save(dir.path()).unwrap();
        let mark = all.len();
        trainer.run_until(300, &mut all).unwrap();

        let mut rest: Vec<Event<'static>> = Vec::new();
        let mut again = Trainer::new(envs(3, 1.0), Box::new(Watcher::default()), 10);
        again.load(dir.path()).unwrap();
        again.run_until(300, &mut rest).unwrap();
        assert_eq!(rest, all[mark..]);
    }

    #[test]
    fn a_reward_that_is_no_number_stops_the_run() {
        let mut trainer = Trainer::new(envs(1, f32::NAN), Box::new(Watcher::default()), 10);
        let error = trainer.run_until(10, &mut ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the reward of environment 0 is NaN at environment step 1"
        );
    }
}
