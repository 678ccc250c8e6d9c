//! The agent around every rule.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thorndike_core::{Actor, Agent, Array, BuildContext, Error, Log, Mode, Result, Transitions};

use crate::table;
use crate::td::{Counters, Td, TdConfig, Transition};

/// How an algorithm learns from one step: all in which the agents of this crate differ.
///
/// *Design.* Acting, exploration, counting, logging and checkpoints are the same for all of them and
/// live in [`TdAgent`]; an algorithm is the dozen lines that its paper gives. The rule is a type
/// parameter, so it costs no call.
///
/// ```
/// use thorndike_core::{Registry, Result};
/// use thorndike_tabular::{QLearningConfig, Rule, Td, TdAgent, Transition};
///
/// /// Monte-Carlo's cousin: learns the reward of the next step and nothing beyond it.
/// #[derive(Debug)]
/// struct Myopic;
///
/// impl Rule for Myopic {
///     type State = ();
///     fn learn(&mut self, td: &mut Td, t: &Transition) {
///         td.move_towards(td.pair(t.state, t.action), t.reward);
///     }
///     fn state(&self) -> &() { &() }
///     fn restore(&mut self, _: &Td, _: ()) -> Result<(), String> { Ok(()) }
/// }
///
/// let registry = Registry::new().agent("myopic", |config: &QLearningConfig, context| {
///     TdAgent::new("myopic", config, context, |_| Ok(Myopic))
/// });
/// ```
pub trait Rule: Send + std::fmt::Debug {
    /// What the rule remembers beside the table, such as traces.
    type State: Serialize + DeserializeOwned;
    /// Learns from one step of one trajectory. Steps of a trajectory come in their order.
    fn learn(&mut self, td: &mut Td, t: &Transition);
    /// What has to be saved.
    fn state(&self) -> &Self::State;
    /// Takes back what [`state`](Rule::state) gave; the bytes may come from anywhere.
    ///
    /// # Errors
    /// What is wrong with it, if it does not fit the table or the rule.
    fn restore(&mut self, td: &Td, state: Self::State) -> Result<(), String>;
    /// Bytes it holds at most.
    fn bytes(&self) -> u64 {
        0
    }
}

/// An agent that acts on a table and moves it by the rule `R`.
#[derive(Debug)]
pub struct TdAgent<R> {
    id: &'static str,
    pub(crate) td: Td,
    pub(crate) rule: R,
}

/// What `state.bin` holds.
#[derive(Serialize, Deserialize)]
struct Saved<C, S> {
    id: String,
    counters: C,
    rule: S,
}

const TABLE: &str = "table.safetensors";
const STATE: &str = "state.bin";

impl<R: Rule> TdAgent<R> {
    /// An agent called `id` that knows nothing yet; `rule` builds its rule for the new table.
    ///
    /// # Errors
    /// [`Error::Config`] if a number is out of range; [`Error::Space`] if states or actions cannot be
    /// counted, or are too many for a table.
    pub fn new(
        id: &'static str,
        config: impl Into<TdConfig>,
        context: &BuildContext<'_>,
        rule: impl FnOnce(&Td) -> Result<R>,
    ) -> Result<Self> {
        let td = Td::new(id, config.into(), context)?;
        let rule = rule(&td)?;
        Ok(Self { id, td, rule })
    }

    /// The table.
    pub fn td(&self) -> &Td {
        &self.td
    }

    fn shape(&self) -> [usize; 2] {
        [self.td.states(), self.td.actions()]
    }
}

impl<R: Rule> Actor for TdAgent<R> {
    fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array) {
        let states = obs.as_slice::<i32>();
        let actions = actions.as_mut_slice::<i32>();
        let rows = states.iter().zip(actions).enumerate();
        match mode {
            Mode::Explore => rows.for_each(|(row, (&state, action))| {
                *action = self.td.take_action(row, state as usize) as i32;
            }),
            Mode::Exploit => rows.for_each(|(_, (&state, action))| {
                *action = self.td.best(state as usize) as i32;
            }),
        }
    }
}

impl<R: Rule> Agent for TdAgent<R> {
    fn observe(&mut self, transitions: &Transitions<'_>) {
        self.td.begin();
        let rows = transitions.len();
        let states = &transitions.obs.as_slice::<i32>()[..rows];
        let actions = &transitions.actions.as_slice::<i32>()[..rows];
        let next_states = &transitions.next_obs.as_slice::<i32>()[..rows];
        let status = &transitions.status[..rows];
        for row in 0..rows {
            let t = Transition {
                row,
                state: states[row] as usize,
                action: actions[row] as usize,
                reward: f64::from(transitions.rewards[row]),
                next_state: next_states[row] as usize,
                status: status[row],
            };
            self.td.count_visit(self.td.pair(t.state, t.action));
            self.rule.learn(&mut self.td, &t);
        }
    }

    #[inline]
    fn update(&mut self, log: &mut Log<'_>) -> Result<()> {
        self.td.report(log)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        let table = dir.join(TABLE);
        table::write(&table, self.shape(), &self.td.q, &self.td.visits)?;
        let saved = Saved {
            id: self.id.to_owned(),
            counters: &self.td.counters,
            rule: self.rule.state(),
        };
        let bytes = postcard::to_stdvec(&saved).map_err(|e| Error::Backend(Box::new(e)))?;
        let path = dir.join(STATE);
        fs::write(&path, bytes).map_err(Error::io(path))
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let (q, visits) = table::read(&dir.join(TABLE), self.shape())?;
        let path = dir.join(STATE);
        let wrong = |what: String| Error::checkpoint(&path, what);
        // No state is larger than what it was made from in memory, but for the generator and the name.
        let bytes = table::read_at_most(&path, self.memory() + (64 << 10))?;
        let (saved, rest) = postcard::take_from_bytes::<Saved<Counters, R::State>>(&bytes)
            .map_err(|e| wrong(format!("cannot be read: {e}")))?;
        if saved.id != self.id {
            return Err(wrong(format!(
                "is of agent \"{}\", expected \"{}\"",
                saved.id, self.id
            )));
        }
        if !rest.is_empty() {
            return Err(wrong(format!("has {} bytes too many", rest.len())));
        }
        self.rule.restore(&self.td, saved.rule).map_err(wrong)?;
        self.td.restore(q, visits, saved.counters).map_err(wrong)
    }

    fn load_policy(&mut self, dir: &Path) -> Result<()> {
        let (q, visits) = table::read(&dir.join(TABLE), self.shape())?;
        self.td.q = q;
        self.td.visits = visits;
        Ok(())
    }

    fn memory(&self) -> u64 {
        self.td.bytes() + self.rule.bytes()
    }

    fn describe(&self) -> String {
        let [states, actions] = self.shape();
        format!("{}: table of {states} states x {actions} actions", self.id)
    }
}
