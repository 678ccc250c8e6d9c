//! What all agents share: the table that is acted on, exploration, learning rate, counters.

use serde::{Deserialize, Serialize};
use thorndike_core::memory::check_fits;
use thorndike_core::{
    BuildContext, EnvSteps, Error, Log, Result, Rng, Schedule, Status, check_range,
};

use crate::explore::{Exploration, Policy, argmax, max};

/// Most pairs of state and action: 2^28, 3 GiB of table.
pub(crate) const MAX_PAIRS: usize = 1 << 28;

/// A value and a count.
const PAIR_BYTES: u64 = 12;

/// Options that all agents share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TdConfig {
    /// Discount a step.
    pub gamma: f64,
    /// Step size.
    pub learning_rate: Schedule,
    /// Power of the visits in the step size.
    pub visit_power: f64,
    /// What the table holds at first.
    pub initial_value: f64,
    /// How actions are chosen while learning.
    pub exploration: Exploration,
}

/// Declares the configuration of an agent: its own keys, and those that all agents share.
///
/// (A macro, because serde can flatten a shared struct into another only at the price of refusing
/// unknown keys with a list of the known ones.)
macro_rules! td_config {
    ($(#[$doc:meta])* $name:ident { $($(#[$own:meta])* $key:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$own])* pub $key: $type,)*
            /// Discount a step, 0 to 1.
            pub gamma: f64,
            /// Step size, 0 to 1, in environment steps: a number or a schedule.
            pub learning_rate: thorndike_core::Schedule,
            /// Divides the step size by `n(s,a)^visit_power`, 0 to 1, where `n` counts visits. With a
            /// learning rate of 1, powers above 0.5 meet the conditions of Robbins and Monro.
            pub visit_power: f64,
            /// What the table holds at first; above every return it makes the agent curious.
            pub initial_value: f64,
            /// How actions are chosen while learning.
            pub exploration: $crate::Exploration,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $default,)*
                    gamma: 0.99,
                    learning_rate: thorndike_core::Schedule::constant(0.1),
                    visit_power: 0.0,
                    initial_value: 0.0,
                    exploration: $crate::Exploration::default(),
                }
            }
        }

        impl From<&$name> for $crate::TdConfig {
            fn from(config: &$name) -> Self {
                Self {
                    gamma: config.gamma,
                    learning_rate: config.learning_rate,
                    visit_power: config.visit_power,
                    initial_value: config.initial_value,
                    exploration: config.exploration,
                }
            }
        }
    };
}
pub(crate) use td_config;

/// One step of one trajectory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// Which trajectory: the row of the environment.
    pub row: usize,
    /// State that was acted in.
    pub state: usize,
    /// Action that was taken.
    pub action: usize,
    /// What it gave.
    pub reward: f64,
    /// True successor, also where the episode ended.
    pub next_state: usize,
    /// Whether and how the episode ended.
    pub status: Status,
}

/// The table `Q(s,a)` that is acted on, and how it is acted on and moved.
///
/// A *pair* is the index `s * actions + a` of a state and an action.
#[derive(Debug)]
pub struct Td {
    states: usize,
    actions: usize,
    config: TdConfig,
    pub(crate) q: Vec<f64>,
    pub(crate) visits: Vec<u32>,
    pub(crate) counters: Counters,
    /// Exploration and step size at this step.
    policy: Policy,
    learning_rate: f64,
    /// Whether either of them changes with the steps.
    varies: bool,
    scores: Vec<f64>,
}

/// What changes beside the tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counters {
    step: EnvSteps,
    rng: Rng,
    /// Actions that were chosen before their step, one a row.
    ahead: Vec<Option<u32>>,
    error_sum: f64,
    error_count: u64,
}

impl Td {
    pub(crate) fn new(agent: &str, config: TdConfig, context: &BuildContext<'_>) -> Result<Self> {
        check_range("gamma", config.gamma, 0.0..=1.0)?;
        config.learning_rate.check("learning_rate", 0.0, 1.0)?;
        check_range("visit_power", config.visit_power, 0.0..=1.0)?;
        check_range("initial_value", config.initial_value, -1e9..=1e9)?;
        config.exploration.check()?;
        let actions = context.spec.num_actions(agent)?;
        let states = context.spec.num_states(agent)?;
        let pairs = states
            .checked_mul(actions)
            .filter(|pairs| (1..=MAX_PAIRS).contains(pairs))
            .ok_or_else(|| Error::Space {
                what: format!("{agent}: table"),
                expected: format!("1 to {MAX_PAIRS} pairs of state and action"),
                found: format!("{states} states and {actions} actions"),
            })?;
        let what = format!("a table of {states} states and {actions} actions");
        check_fits("", &what, pairs as u64 * PAIR_BYTES)?;
        Ok(Self {
            states,
            actions,
            config,
            q: vec![config.initial_value; pairs],
            visits: vec![0; pairs],
            counters: Counters {
                step: 0,
                rng: context.seeds.stream("agent/explore", 0),
                ahead: vec![None; context.spec.num_envs],
                error_sum: 0.0,
                error_count: 0,
            },
            policy: config.exploration.at(0),
            learning_rate: config.learning_rate.at(0),
            varies: [config.learning_rate, *config.exploration.schedule()]
                .iter()
                .any(|schedule| !matches!(schedule, Schedule::Constant { .. })),
            scores: vec![0.0; actions],
        })
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.states
    }

    /// Number of actions.
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.q.len()
    }

    /// Number of trajectories.
    pub fn rows(&self) -> usize {
        self.counters.ahead.len()
    }

    /// Discount a step.
    #[inline]
    pub fn gamma(&self) -> f64 {
        self.config.gamma
    }

    /// The table, `[states, actions]`.
    pub fn q(&self) -> &[f64] {
        &self.q
    }

    /// Index of a state and an action.
    ///
    /// # Panics
    /// In debug builds, if there is no such action.
    #[inline]
    pub fn pair(&self, state: usize, action: usize) -> usize {
        debug_assert!(action < self.actions);
        state * self.actions + action
    }

    /// Values of all actions in `state`.
    #[inline]
    pub fn values(&self, state: usize) -> &[f64] {
        &self.q[state * self.actions..][..self.actions]
    }

    /// Value of the best action in `state`.
    #[inline]
    pub fn max(&self, state: usize) -> f64 {
        max(self.values(state))
    }

    /// The best action in `state`, the first of several.
    #[inline]
    pub fn best(&self, state: usize) -> usize {
        argmax(self.values(state))
    }

    /// Whether no action in `state` is better; true for each of several best ones.
    #[inline]
    pub fn is_greedy(&self, state: usize, action: usize) -> bool {
        self.values(state)[action] == self.max(state)
    }

    /// Expected value of the action that exploration chooses in `state`.
    #[inline]
    pub fn expected(&mut self, state: usize) -> f64 {
        let start = state * self.actions;
        let q = &self.q[start..][..self.actions];
        let n = &self.visits[start..][..self.actions];
        self.policy.expected(q, n, &mut self.scores)
    }

    /// Draws an action in `state`.
    #[inline(always)]
    pub fn choose(&mut self, state: usize) -> usize {
        let start = state * self.actions;
        let q = &self.q[start..][..self.actions];
        let n = || &self.visits[start..][..self.actions];
        let rng = &mut self.counters.rng;
        self.policy.choose(q, n, &mut self.scores, rng)
    }

    /// The action in the successor of `t`: none after a terminal step; while the episode runs, the one
    /// that will be taken there; after a truncated step, one drawn alike that nobody will take.
    #[inline]
    pub fn choose_next(&mut self, t: &Transition) -> Option<usize> {
        match t.status {
            Status::Terminated => None,
            Status::Truncated => Some(self.choose(t.next_state)),
            Status::Running => {
                let action = self.choose(t.next_state);
                self.counters.ahead[t.row] = Some(action as u32);
                Some(action)
            }
        }
    }

    /// The action to take in row `row` while learning.
    #[inline(always)]
    pub(crate) fn take_action(&mut self, row: usize, state: usize) -> usize {
        match self.counters.ahead[row].take() {
            Some(action) => action as usize,
            None => self.choose(state),
        }
    }

    /// The generator of all choices.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.counters.rng
    }

    /// Step size for `pair`.
    #[inline]
    pub fn step_size(&self, pair: usize) -> f64 {
        if self.config.visit_power == 0.0 {
            return self.learning_rate;
        }
        let visits = f64::from(self.visits[pair].max(1));
        self.learning_rate * visits.powf(-self.config.visit_power)
    }

    /// Value of `pair`.
    #[inline]
    pub fn value(&self, pair: usize) -> f64 {
        self.q[pair]
    }

    /// Sets the value of `pair`.
    #[inline]
    pub fn set(&mut self, pair: usize, value: f64) {
        self.q[pair] = value;
    }

    /// Moves `pair` towards `target`: `Q += step size * (target - Q)`.
    #[inline]
    pub fn move_towards(&mut self, pair: usize, target: f64) {
        let error = target - self.q[pair];
        self.q[pair] += self.step_size(pair) * error;
        self.note_error(error);
    }

    /// Takes an error into the mean that is logged, which also shows values that are no numbers.
    #[inline]
    pub fn note_error(&mut self, error: f64) {
        self.counters.error_sum += error.abs();
        self.counters.error_count = self.counters.error_count.wrapping_add(1);
    }

    /// One step of all rows is about to be learned from.
    #[inline]
    pub(crate) fn begin(&mut self) {
        // Wraps, since a loaded step may be anything.
        self.counters.step = self.counters.step.wrapping_add(self.rows() as EnvSteps);
        if self.varies {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        self.policy = self.config.exploration.at(self.counters.step);
        self.learning_rate = self.config.learning_rate.at(self.counters.step);
    }

    #[inline]
    pub(crate) fn count_visit(&mut self, pair: usize) {
        let visits = &mut self.visits[pair];
        *visits = visits.saturating_add(1);
    }

    /// Reports what is due.
    #[inline]
    pub(crate) fn report(&mut self, log: &mut Log<'_>) -> Result<()> {
        if log.is_due() || !self.counters.error_sum.is_finite() {
            return self.report_now(log);
        }
        Ok(())
    }

    #[cold]
    fn report_now(&mut self, log: &mut Log<'_>) -> Result<()> {
        let counters = &mut self.counters;
        if !counters.error_sum.is_finite() {
            return Err(Error::Diverged {
                step: counters.step,
                what: format!("the sum of errors is {}", counters.error_sum),
            });
        }
        if counters.error_count > 0 {
            log.scalar("loss/td", counters.error_sum / counters.error_count as f64)?;
            log.scalar("q/mean", self.q.iter().sum::<f64>() / self.q.len() as f64)?;
            log.scalar(self.config.exploration.name(), self.policy.number())?;
            log.scalar("learning_rate", self.learning_rate)?;
            counters.error_sum = 0.0;
            counters.error_count = 0;
        }
        Ok(())
    }

    /// Takes back what changes; refuses what is not of this agent.
    pub(crate) fn restore(
        &mut self,
        q: Vec<f64>,
        visits: Vec<u32>,
        counters: Counters,
    ) -> Result<(), String> {
        if counters.ahead.len() != self.rows() {
            return Err(format!(
                "has {} environments, expected {}",
                counters.ahead.len(),
                self.rows()
            ));
        }
        if counters
            .ahead
            .iter()
            .flatten()
            .any(|&action| action as usize >= self.actions)
        {
            return Err("names an action that does not exist".into());
        }
        if !counters.error_sum.is_finite() {
            return Err("holds a value that is no finite number".into());
        }
        self.q = q;
        self.visits = visits;
        self.counters = counters;
        self.refresh();
        Ok(())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.q.len() as u64 * PAIR_BYTES + self.rows() as u64 * 8
    }
}
