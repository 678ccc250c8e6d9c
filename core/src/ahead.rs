//! Acting on a thread of its own while the agent learns.

use std::panic::resume_unwind;
use std::sync::Mutex;

use crossbeam::channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::agent::{Actor, Agent, EnvSteps, Mode, Transitions};
use crate::array::Array;
use crate::error::{Error, Result, check_range};
use crate::event::Recorder;
use crate::train::{Learner, Trainer, mark_starts};
use crate::vector::{Batch, VectorEnv};

/// How far acting may run ahead of learning.
///
/// The agent's own schedule says how many updates a step gets, so the replay ratio is that of a run that takes turns;
/// these numbers bound how old the weights are that act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ahead {
    /// Environment steps that acting may be ahead of learning, all environments added up; then it waits. At least one
    /// step of every environment. Default 64.
    pub steps: EnvSteps,
    /// Environment steps after which acting gets the newest weights. Default 64.
    pub refresh_steps: EnvSteps,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            steps: 64,
            refresh_steps: 64,
        }
    }
}

impl Ahead {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        check_range("steps", self.steps, 1..=1_000_000)?;
        check_range("refresh_steps", self.refresh_steps, 1..=EnvSteps::MAX)
    }
}

/// One step of all environments on its way from acting to learning.
struct Parcel {
    batch: Batch,
    actions: Array,
    raw_rewards: Vec<f32>,
}

/// The newest policy that acting has not yet taken over.
type Slot = Mutex<Option<Box<dyn Actor>>>;

impl Trainer {
    /// Whether [`run_ahead_until`](Trainer::run_ahead_until) can be called.
    ///
    /// # Errors
    /// [`Error::Config`] if the agent cannot lend its policy.
    pub fn check_ahead(&self) -> Result<()> {
        lend(&*self.learner.agent, 0).map(drop)
    }

    /// Runs as [`run_until`](Trainer::run_until), but acts on a thread of its own, ahead of learning by `ahead`.
    ///
    /// Which weights chose an action then depends on the machine, so that a run cannot be repeated exactly; what it
    /// saves is whole nevertheless, as both threads have come to the same step when this returns.
    ///
    /// # Errors
    /// As [`run_until`](Trainer::run_until); [`Error::Config`] if the agent cannot lend its policy.
    pub fn run_ahead_until(
        &mut self,
        step: EnvSteps,
        ahead: Ahead,
        recorder: &mut dyn Recorder,
    ) -> Result<()> {
        ahead.check()?;
        let Self {
            envs,
            learner,
            starts,
            ..
        } = self;
        let n = envs.spec().num_envs as EnvSteps;
        let rounds = step.saturating_sub(learner.counters.step).div_ceil(n);
        let policy = lend(&*learner.agent, learner.counters.step)?;
        let (to_learn, learning) = bounded((ahead.steps / n).max(1) as usize);
        let (to_act, acting) = bounded(to_learn.capacity().expect("it is bounded"));
        for _ in 0..to_learn.capacity().expect("it is bounded") {
            let parcel = Parcel {
                batch: envs.batch().clone(),
                actions: envs.new_actions(),
                raw_rewards: vec![0.0; n as usize],
            };
            to_act.send(parcel).expect("the other end is here");
        }
        let newest: Slot = Mutex::new(Some(policy));
        std::thread::scope(|scope| {
            let thread = {
                let (newest, envs) = (&newest, &mut **envs);
                scope.spawn(move || act(envs, starts, rounds, newest, &acting, &to_learn))
            };
            let learned = learn(learner, ahead, n, &newest, &learning, to_act, recorder);
            // An agent that failed drops its end, on which acting stops; then both have.
            drop(learning);
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            learned
        })
    }
}

fn lend(agent: &dyn Agent, number: EnvSteps) -> Result<Box<dyn Actor>> {
    agent.policy(number).ok_or_else(|| {
        let what = "this agent must act and learn in turns; leave the table out";
        Error::config("ahead", what)
    })
}

/// Steps the environments until `rounds` are done or nobody learns any more.
fn act(
    envs: &mut dyn VectorEnv,
    starts: &mut [bool],
    rounds: EnvSteps,
    newest: &Slot,
    empty: &Receiver<Parcel>,
    full: &Sender<Parcel>,
) {
    let mut policy = None;
    for _ in 0..rounds {
        let Ok(mut parcel) = empty.recv() else {
            return;
        };
        if let Some(newer) = newest.lock().expect("nothing panics in it").take() {
            policy = Some(newer);
        }
        let policy = policy
            .as_mut()
            .expect("the first one is there from the start");
        if starts.contains(&true) {
            policy.begin(starts, Mode::Explore);
        }
        policy.act(&envs.batch().obs, Mode::Explore, &mut parcel.actions);
        envs.step(&parcel.actions);
        parcel.batch.copy_from(envs.batch());
        parcel.raw_rewards.copy_from_slice(envs.raw_rewards());
        mark_starts(&parcel.batch.status, starts);
        if full.send(parcel).is_err() {
            return;
        }
        envs.advance();
    }
}

/// Takes in what was done, and learns.
fn learn(
    learner: &mut Learner,
    ahead: Ahead,
    n: EnvSteps,
    newest: &Slot,
    full: &Receiver<Parcel>,
    empty: Sender<Parcel>,
    recorder: &mut dyn Recorder,
) -> Result<()> {
    let mut age = 0;
    while let Ok(parcel) = full.recv() {
        let transitions = Transitions::new(&parcel.batch, &parcel.actions);
        learner.learn(&transitions, &parcel.raw_rewards, recorder)?;
        age += n;
        if age >= ahead.refresh_steps {
            age = 0;
            let policy = lend(&*learner.agent, learner.counters.step)?;
            *newest.lock().expect("nothing panics in it") = Some(policy);
        }
        // Acting may have done its last round.
        let _ = empty.send(parcel);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, Step};
    use crate::event::{Event, Log};
    use crate::seed::{Rng, Seeds};
    use crate::space::Space;
    use crate::vector::{EnvOptions, SyncVectorEnv};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Counts to seven and starts again.
    struct Seven;

    impl Env for Seven {
        type State = i32;
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(8)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(1000)
        }
        fn reset(&self, _: &mut Rng) -> i32 {
            0
        }
        fn step(&self, at: &mut i32, _: usize, _: &mut Rng) -> Step {
            *at += 1;
            if *at == 7 {
                Step::terminal(1.0)
            } else {
                Step::running(1.0)
            }
        }
        fn observe(&self, at: &i32, obs: &mut [i32]) {
            obs[0] = *at;
        }
    }

    /// Acts with the number of its policy, and checks what it is shown.
    struct Student {
        steps: u64,
        acted: Arc<AtomicU64>,
        most_ahead: u64,
        seen: Vec<i32>,
        policies: Vec<i32>,
        fails_at: u64,
        lends: bool,
        /// Steps, most steps ahead, policies.
        report: Arc<Mutex<[u64; 3]>>,
    }

    struct Numbered {
        number: i32,
        acted: Arc<AtomicU64>,
    }

    impl Actor for Numbered {
        fn act(&mut self, obs: &Array, _: Mode, actions: &mut Array) {
            actions.as_mut_slice::<i32>().fill(self.number);
            self.acted.fetch_add(obs.rows() as u64, Ordering::SeqCst);
        }
    }

    impl Actor for Student {
        fn act(&mut self, _: &Array, _: Mode, _: &mut Array) {
            panic!("its policy acts");
        }
    }

    impl Agent for Student {
        fn observe(&mut self, transitions: &Transitions<'_>) {
            for row in 0..transitions.len() {
                let (obs, next) = (
                    transitions.obs.row::<i32>(row)[0],
                    transitions.next_obs.row::<i32>(row)[0],
                );
                assert_eq!(
                    (obs, next),
                    (self.seen[row], obs + 1),
                    "steps come in order"
                );
                self.seen[row] = next % 7;
            }
            let number = transitions.actions.as_slice::<i32>()[0];
            if self.policies.last() != Some(&number) {
                self.policies.push(number);
            }
            self.steps += transitions.len() as u64;
            let ahead = self.acted.load(Ordering::SeqCst) - self.steps;
            self.most_ahead = self.most_ahead.max(ahead);
            *self.report.lock().unwrap() =
                [self.steps, self.most_ahead, self.policies.len() as u64];
        }
        fn update(&mut self, _: &mut Log<'_>) -> Result<()> {
            if self.steps >= self.fails_at {
                let what = "as it was told to".to_owned();
                return Err(Error::Diverged {
                    step: self.steps,
                    what,
                });
            }
            // Acting would run away from a slow learner.
            std::thread::sleep(std::time::Duration::from_micros(50));
            Ok(())
        }
        fn save(&self, _: &Path) -> Result<()> {
            Ok(())
        }
        fn load(&mut self, _: &Path) -> Result<()> {
            Ok(())
        }
        fn policy(&self, number: u64) -> Option<Box<dyn Actor>> {
            let (number, acted) = (number as i32, self.acted.clone());
            self.lends
                .then(|| Box::new(Numbered { number, acted }) as Box<dyn Actor>)
        }
    }

    fn run(
        fails_at: u64,
        lends: bool,
        until: &[u64],
    ) -> (Result<()>, Vec<Event<'static>>, [u64; 3]) {
        let options = EnvOptions {
            num_envs: 2,
            ..EnvOptions::default()
        };
        let envs = Box::new(SyncVectorEnv::new(Seven, &options, Seeds::new(1)).unwrap());
        let (acted, report) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new([0; 3])));
        let student = Student {
            steps: 0,
            acted,
            most_ahead: 0,
            seen: vec![0; 2],
            policies: Vec::new(),
            fails_at,
            lends,
            report: report.clone(),
        };
        let mut trainer = Trainer::new(envs, Box::new(student), 100);
        let mut events = Vec::new();
        let ahead = Ahead {
            steps: 16,
            refresh_steps: 40,
        };
        let mut result = Ok(());
        for &until in until {
            result = result.and_then(|()| trainer.run_ahead_until(until, ahead, &mut events));
        }
        let report = *report.lock().unwrap();
        (result, events, report)
    }

    #[test]
    fn learning_sees_every_step_in_order_and_acting_stays_within_its_lead() {
        let (result, events, [steps, most_ahead, policies]) = run(u64::MAX, true, &[100, 101, 700]);
        result.unwrap();
        assert_eq!(
            steps, 700,
            "both threads come to the step that was asked for"
        );
        // One more step of both environments can be under way.
        assert!((2..=18).contains(&most_ahead), "{most_ahead}");
        assert!(policies > 5, "{policies} policies of 17 acted");
        let returns = events.iter().filter_map(|event| match event {
            Event::Episode { episode_return, .. } => Some(*episode_return),
            _ => None,
        });
        assert_eq!(returns.collect::<Vec<_>>(), [7.0; 100]);
    }

    #[test]
    fn an_agent_that_fails_ends_acting_too() {
        let (result, _, [steps, ..]) = run(50, true, &[10_000]);
        assert!(
            result
                .unwrap_err()
                .to_string()
                .contains("as it was told to")
        );
        assert_eq!(steps, 50);
    }

    #[test]
    fn an_agent_that_cannot_lend_its_policy_is_refused() {
        let (result, ..) = run(u64::MAX, false, &[10]);
        let message = "ahead: this agent must act and learn in turns; leave the table out";
        assert_eq!(result.unwrap_err().to_string(), message);
    }
}
