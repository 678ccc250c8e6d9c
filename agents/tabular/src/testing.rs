//! What the tests share: problems written out as tables, and ways to drive an agent step by step.

use serde::Deserialize;
use thorndike_core::rand::RngExt;
use thorndike_core::{
    Agent, Array, BuildContext, Device, Env, EnvOptions, EnvSpec, FiniteMdp, Kind, Mode, Result,
    Rng, Seeds, Space, Status, Step, SyncVectorEnv, Transitions, VectorEnv,
};

use crate::{Rule, TdAgent};

/// `(probability, next state, reward, terminated)`.
type Outcome = (f64, usize, f32, bool);

/// A problem as a table of outcomes by state and action.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Written {
    #[serde(rename = "P")]
    pub(crate) outcomes: Vec<Vec<Vec<Outcome>>>,
    pub(crate) start: Vec<(usize, f64)>,
}

impl Written {
    /// A problem without chance: `to(state, action)` gives the next state, the reward and whether it ended.
    pub(crate) fn sure(
        states: usize,
        actions: usize,
        to: impl Fn(usize, usize) -> (usize, f32, bool),
    ) -> Self {
        let outcome = |state, action| {
            let (next, reward, terminated) = to(state, action);
            vec![(1.0, next, reward, terminated)]
        };
        Self {
            outcomes: (0..states)
                .map(|state| (0..actions).map(|action| outcome(state, action)).collect())
                .collect(),
            start: vec![(0, 1.0)],
        }
    }

    /// Four by four cells, start top left, goal bottom right, which gives 1; a step costs 0.04, a wall
    /// stands in the way of the straight path.
    pub(crate) fn grid() -> Self {
        Self::sure(16, 4, |at, action| {
            let (row, col) = (at / 4, at % 4);
            let (row, col) = match action {
                0 => (row, col.saturating_sub(1)),
                1 => ((row + 1).min(3), col),
                2 => (row, (col + 1).min(3)),
                _ => (row.saturating_sub(1), col),
            };
            let next = row * 4 + col;
            let next = if [5, 6, 9].contains(&next) { at } else { next };
            (next, if next == 15 { 1.0 } else { -0.04 }, next == 15)
        })
    }

    fn draw<T: Copy>(rng: &mut Rng, choices: impl Iterator<Item = (f64, T)>) -> T {
        let mut left: f64 = rng.random();
        let mut last = None;
        for (probability, choice) in choices {
            last = Some(choice);
            left -= probability;
            if left < 0.0 {
                break;
            }
        }
        last.expect("there is a choice")
    }

    /// Environments that play this problem.
    pub(crate) fn envs(&self, num_envs: usize, time_limit: u32, seed: u64) -> Box<dyn VectorEnv> {
        let options = EnvOptions {
            num_envs,
            time_limit: Some(time_limit),
            ..Default::default()
        };
        Box::new(SyncVectorEnv::new(self.clone(), &options, Seeds::new(seed)).unwrap())
    }
}

impl FiniteMdp for Written {
    fn num_states(&self) -> usize {
        self.outcomes.len()
    }
    fn num_actions(&self) -> usize {
        self.outcomes[0].len()
    }
    fn starts(&self, each: &mut dyn FnMut(f64, usize)) {
        self.start.iter().for_each(|&(state, p)| each(p, state));
    }
    fn outcomes(&self, state: usize, action: usize, each: &mut dyn FnMut(f64, usize, Step)) {
        for &(probability, next, reward, terminated) in &self.outcomes[state][action] {
            let step = if terminated {
                Step::terminal(reward)
            } else {
                Step::running(reward)
            };
            each(probability, next, step);
        }
    }
}

impl Env for Written {
    type State = usize;
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Discrete(self.num_states())
    }
    fn action_space(&self) -> Space {
        Space::Discrete(self.num_actions())
    }
    fn reset(&self, rng: &mut Rng) -> usize {
        Self::draw(rng, self.start.iter().map(|&(state, p)| (p, state)))
    }
    fn step(&self, at: &mut usize, action: usize, rng: &mut Rng) -> Step {
        let outcomes = self.outcomes[*at][action].iter();
        let (next, reward, terminated) =
            Self::draw(rng, outcomes.map(|&(p, s, r, t)| (p, (s, r, t))));
        *at = next;
        if terminated {
            Step::terminal(reward)
        } else {
            Step::running(reward)
        }
    }
    fn observe(&self, at: &usize, obs: &mut [i32]) {
        obs[0] = *at as i32;
    }
}

/// What an agent for `rows` environments with these numbers of states and actions is told.
pub(crate) fn spec(states: usize, actions: usize, rows: usize) -> EnvSpec {
    EnvSpec {
        num_envs: rows,
        ..EnvSpec::new(Space::Discrete(states), Kind::I32, Space::Discrete(actions))
    }
}

pub(crate) fn context(spec: &EnvSpec, seed: u64) -> BuildContext<'_> {
    BuildContext {
        spec,
        seeds: Seeds::new(seed),
        device: Device::Cpu,
    }
}

/// A new agent in `rows` environments with these numbers of states and actions.
pub(crate) fn agent<C, R: Rule>(
    build: impl FnOnce(&C, &BuildContext<'_>) -> Result<TdAgent<R>>,
    config: &C,
    [states, actions, rows]: [usize; 3],
) -> TdAgent<R> {
    build(config, &context(&spec(states, actions, rows), 1)).unwrap()
}

pub(crate) const RUNNING: Status = Status::Running;
pub(crate) const TERMINATED: Status = Status::Terminated;
pub(crate) const TRUNCATED: Status = Status::Truncated;

/// Shows `agent` one step of all its rows: `(state, action, reward, next state, status)` of each.
pub(crate) fn observe(agent: &mut dyn Agent, steps: &[(i32, i32, f32, i32, Status)]) {
    let column = |of: fn(&(i32, i32, f32, i32, Status)) -> i32| {
        Array::from_vec(steps.iter().map(of).collect::<Vec<i32>>(), 1)
    };
    agent.observe(&Transitions {
        obs: &column(|step| step.0),
        actions: &column(|step| step.1),
        rewards: &steps.iter().map(|step| step.2).collect::<Vec<_>>(),
        next_obs: &column(|step| step.3),
        status: &steps.iter().map(|step| step.4).collect::<Vec<_>>(),
    });
}

/// The actions that `agent` takes in `states`, one a row.
pub(crate) fn act(agent: &mut dyn Agent, mode: Mode, states: &[i32]) -> Vec<i32> {
    let mut actions = Array::zeros::<i32>(states.len(), 1);
    agent.act(&Array::from_vec(states.to_vec(), 1), mode, &mut actions);
    actions.as_slice().to_vec()
}

/// Trains `agent` for `steps` steps of each environment; gives the returns of the episodes that ended.
pub(crate) fn train(agent: &mut dyn Agent, envs: &mut dyn VectorEnv, steps: usize) -> Vec<f64> {
    let mut actions = envs.new_actions();
    let mut running = vec![0.0; actions.rows()];
    let mut returns = Vec::new();
    for _ in 0..steps {
        agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
        envs.step(&actions);
        let batch = envs.batch();
        for (row, sum) in running.iter_mut().enumerate() {
            *sum += f64::from(batch.rewards[row]);
            if batch.status[row].is_over() {
                returns.push(std::mem::take(sum));
            }
        }
        agent.observe(&Transitions::new(batch, &actions));
        envs.advance();
    }
    returns
}
