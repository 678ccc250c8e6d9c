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
        let rows = (0..).zip(states.iter().zip(actions));
        match mode {
            Mode::Explore => {
                for (row, (&state, action)) in rows {
                    *action = self.td.take_action(row, state as usize) as i32;
                }
            }
            Mode::Exploit => {
                for (_, (&state, action)) in rows {
                    *action = self.td.best(state as usize) as i32;
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::Solver;
    use crate::explore;
    use crate::testing::{RUNNING, Written, context, observe, spec, train};
    use serde_json::{Value, json};
    use thorndike_core::{EnvSpec, Event, Kind, Registry, Space};

    /// Every agent, and the options that change what it remembers.
    fn all() -> Vec<(&'static str, Value)> {
        let mut all: Vec<_> = (crate::register(Registry::new()).agent_ids())
            .map(|id| (id, json!({})))
            .collect();
        all.extend([
            ("n-step", json!({ "backup": "expected-sarsa" })),
            ("n-step", json!({ "backup": "tree-backup" })),
            ("q-lambda", json!({ "trace": "accumulating" })),
            ("dyna-q", json!({ "outcomes": 3 })),
            (
                "sarsa",
                json!({ "exploration": { "kind": "boltzmann", "temperature": 0.1 } }),
            ),
            (
                "expected-sarsa",
                json!({ "exploration": { "kind": "count-bonus", "scale": 0.1 } }),
            ),
            (
                "q-learning",
                json!({ "visit_power": 0.7, "learning_rate": 1 }),
            ),
        ]);
        all
    }

    fn make(id: &str, params: &Value, spec: &EnvSpec, seed: u64) -> Box<dyn Agent> {
        let registry = crate::register(Registry::new());
        registry
            .make_agent(id, params, &context(spec, seed))
            .unwrap()
    }

    /// All bytes that `agent` saves.
    fn saved(agent: &dyn Agent) -> [Vec<u8>; 2] {
        let dir = tempfile::tempdir().unwrap();
        agent.save(dir.path()).unwrap();
        [TABLE, STATE].map(|file| fs::read(dir.path().join(file)).unwrap())
    }

    fn load(agent: &mut dyn Agent, files: &[Vec<u8>; 2]) -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(TABLE), &files[0]).unwrap();
        fs::write(dir.path().join(STATE), &files[1]).unwrap();
        agent.load(dir.path())
    }

    #[test]
    fn a_loaded_agent_goes_on_bit_for_bit() {
        for (id, params) in all() {
            let mut envs = Written::grid().envs(3, 17, 1);
            let mut agent = make(id, &params, envs.spec(), 1);
            train(&mut *agent, &mut *envs, 400);
            let mut other_envs = Written::grid().envs(3, 17, 2);
            let mut other = make(id, &params, envs.spec(), 2);
            other_envs.load(&envs.save().unwrap()).unwrap();
            load(&mut *other, &saved(&*agent)).unwrap();
            train(&mut *agent, &mut *envs, 400);
            train(&mut *other, &mut *other_envs, 400);
            assert_eq!(saved(&*agent), saved(&*other), "{id} {params}");
            assert_eq!(
                envs.save().unwrap(),
                other_envs.save().unwrap(),
                "{id} {params}"
            );
        }
    }

    #[test]
    fn what_training_gives_is_value_stable() {
        let sum = |id: &str, params: &Value| {
            let mut envs = Written::grid().envs(2, 17, 1);
            let mut agent = make(id, params, envs.spec(), 1);
            train(&mut *agent, &mut *envs, 300);
            let [table, _] = saved(&*agent);
            table.iter().fold(0_u32, |sum, &byte| {
                sum.wrapping_mul(31).wrapping_add(byte.into())
            })
        };
        let sums: Vec<(String, u32)> = (all().iter())
            .filter(|(_, params)| !params.to_string().contains("boltzmann")) // exp differs by platform
            .map(|(id, params)| (format!("{id} {params}"), sum(id, params)))
            .collect();
        let sums: Vec<(&str, u32)> = sums
            .iter()
            .map(|(name, sum)| (name.as_str(), *sum))
            .collect();
        assert_eq!(sums, PINNED, "published results depend on these values");
    }
    const PINNED: &[(&str, u32)] = &[
        ("double-q-learning {}", 3645437092),
        ("dyna-q {}", 2444174199),
        ("expected-sarsa {}", 2633207191),
        ("n-step {}", 715921004),
        ("q-lambda {}", 1574240889),
        ("q-learning {}", 975822810),
        ("sarsa {}", 551345851),
        ("n-step {\"backup\":\"expected-sarsa\"}", 970212480),
        ("n-step {\"backup\":\"tree-backup\"}", 1904926402),
        ("q-lambda {\"trace\":\"accumulating\"}", 2527185780),
        ("dyna-q {\"outcomes\":3}", 400373482),
        (
            "expected-sarsa {\"exploration\":{\"kind\":\"count-bonus\",\"scale\":0.1}}",
            3453577739,
        ),
        (
            "q-learning {\"learning_rate\":1,\"visit_power\":0.7}",
            1698232367,
        ),
    ];

    #[test]
    fn no_damaged_state_panics_and_what_is_taken_can_be_trained() {
        for (id, params) in all() {
            let mut envs = Written::grid().envs(2, 17, 1);
            let mut agent = make(id, &params, envs.spec(), 1);
            train(&mut *agent, &mut *envs, 40);
            let dir = tempfile::tempdir().unwrap();
            agent.save(dir.path()).unwrap();
            let path = dir.path().join(STATE);
            let state = fs::read(&path).unwrap();
            let mut load = |bytes: &[u8]| {
                fs::write(&path, bytes).unwrap();
                agent.load(dir.path())
            };
            assert!(load(&[&state[..], b"x"].concat()).is_err(), "{id}");
            for at in (0..state.len()).step_by(state.len() / 200 + 1) {
                let error = load(&state[..at]).unwrap_err();
                assert!(error.to_string().contains("state.bin: "), "{id}: {error}");
            }
            for at in (0..state.len()).step_by(state.len() / 200 + 1) {
                for flip in [1, 0x80, 0xff] {
                    let mut state = state.clone();
                    state[at] ^= flip;
                    fs::write(&path, state).unwrap();
                    let mut agent = make(id, &params, envs.spec(), 1);
                    if agent.load(dir.path()).is_ok() {
                        train(&mut *agent, &mut *Written::grid().envs(2, 17, 1), 5);
                    }
                }
            }
        }
    }

    #[test]
    fn checkpoints_of_other_agents_and_tables_are_refused_by_name() {
        let grid = spec(16, 4, 2);
        let files = saved(&*make("sarsa", &json!({}), &grid, 1));
        let refusal = |id: &str, params: Value, spec: &EnvSpec| {
            load(&mut *make(id, &params, spec, 1), &files)
                .unwrap_err()
                .to_string()
        };
        let error = refusal("q-learning", json!({}), &grid);
        assert!(
            error.ends_with("state.bin: is of agent \"sarsa\", expected \"q-learning\""),
            "{error}"
        );
        let error = refusal("sarsa", json!({}), &spec(16, 5, 2));
        assert!(
            error.contains("table.safetensors: tensor \"q\" is F64 [16, 4]"),
            "{error}"
        );
        let error = refusal("sarsa", json!({}), &spec(16, 4, 3));
        assert!(error.ends_with("has 2 environments, expected 3"), "{error}");
    }

    #[test]
    fn a_policy_is_loaded_for_any_number_of_environments() {
        let dir = tempfile::tempdir().unwrap();
        let mut envs = Written::grid().envs(4, 50, 1);
        let mut agent = make("n-step", &json!({}), envs.spec(), 1);
        train(&mut *agent, &mut *envs, 5_000);
        agent.save(dir.path()).unwrap();
        let mut player = make("n-step", &json!({}), &spec(16, 4, 1), 9);
        player.load_policy(dir.path()).unwrap();
        let solver = Solver::new(&Written::grid()).unwrap();
        assert_eq!(
            solver.played_by(&mut *player),
            solver.played_by(&mut *agent)
        );
    }

    #[test]
    fn every_agent_learns_the_exact_values_where_nothing_is_left_to_chance() {
        // Starts everywhere, and so little exploration in the end that what is done is the best.
        let mut grid = Written::grid();
        let cells = (0..15).filter(|cell| ![5, 6, 9].contains(cell));
        grid.start = cells.map(|cell| (cell, 1.0 / 12.0)).collect();
        let exact = Solver::new(&grid)
            .unwrap()
            .value_iteration(0.9, 1e-12)
            .unwrap();
        for id in crate::register(Registry::new()).agent_ids() {
            let epsilon = json!({ "kind": "linear", "from": 1, "to": 0.0005, "steps": 200_000 });
            let params = json!({
                "gamma": 0.9, "learning_rate": 0.5,
                "exploration": { "kind": "epsilon-greedy", "epsilon": epsilon }
            });
            let mut envs = grid.envs(4, 12, 1);
            let mut agent = make(id, &params, envs.spec(), 1);
            train(&mut *agent, &mut *envs, 500_000);
            let dir = tempfile::tempdir().unwrap();
            agent.save(dir.path()).unwrap();
            let (q, _) = table::read(&dir.path().join(TABLE), [16, 4]).unwrap();
            // On policy, an action that is no longer taken keeps a value from days of more exploration, so
            // only the best value of a state has to be right.
            let on_policy = ["sarsa", "expected-sarsa", "n-step"].contains(&id);
            let error = |state: usize| {
                let (q, exact) = (&q[state * 4..][..4], &exact.q[state * 4..][..4]);
                if on_policy {
                    return (explore::max(q) - explore::max(exact)).abs();
                }
                let errors = q.iter().zip(exact).map(|(q, exact)| (q - exact).abs());
                errors.fold(0.0, f64::max)
            };
            let worst = grid
                .start
                .iter()
                .map(|&(state, _)| error(state))
                .fold(0.0, f64::max);
            assert!(worst < 1e-3, "{id}: {worst}");
        }
    }

    #[test]
    fn numbers_are_reported_when_they_are_due() {
        let mut agent = make(
            "q-learning",
            &json!({ "learning_rate": 0.5 }),
            &spec(2, 1, 1),
            1,
        );
        let mut events: Vec<Event<'static>> = Vec::new();
        for reward in [4.0, -3.0] {
            observe(&mut *agent, &[(0, 0, reward, 1, RUNNING)]);
            agent
                .update(&mut Log::new(&mut events, 1, reward < 0.0))
                .unwrap();
        }
        let scalars: Vec<(String, f64)> = (events.into_iter())
            .map(|event| match event {
                Event::Scalar { name, value, .. } => (name.into_owned(), value),
                other => panic!("{other:?}"),
            })
            .collect();
        // Errors 4 and -5; then Q is 2 - 2.5.
        let expected = [
            ("loss/td", 4.5),
            ("q/mean", -0.25),
            ("explore/epsilon", 0.1),
            ("learning_rate", 0.5),
        ];
        assert_eq!(
            scalars,
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }

    #[test]
    fn environments_without_a_table_are_refused() {
        let registry = crate::register(Registry::new());
        let refusal = |spec: &EnvSpec| {
            let made = registry.make_agent("dyna-q", &json!({}), &context(spec, 1));
            made.err().unwrap().to_string()
        };
        let mut boxes = spec(16, 4, 1);
        boxes.frame_space = Space::unbounded(&[4]);
        boxes.obs_kind = Kind::F32;
        let error = refusal(&boxes);
        assert_eq!(
            error,
            "dyna-q: observation space: expected discrete states, found box(4; -inf..inf)"
        );
        let error = refusal(&spec(1 << 30, 4, 1));
        assert!(
            error.contains("table: expected 1 to 268435456 pairs"),
            "{error}"
        );
        let mut stacked = spec(16, 4, 1);
        stacked.frame_stack = 2;
        assert!(refusal(&stacked).contains("found multi-discrete(16, 16)"));
    }

    #[test]
    fn wrong_options_are_named() {
        let registry = crate::register(Registry::new());
        let refusal = |id: &str, params: Value| {
            let spec = spec(16, 4, 1);
            let made = registry.make_agent(id, &params, &context(&spec, 1));
            made.err().unwrap().to_string()
        };
        assert_eq!(
            refusal("sarsa", json!({ "gamma": 1.5 })),
            "agent.params.gamma: 1.5 is out of range; give 0 to 1"
        );
        assert_eq!(
            refusal("n-step", json!({ "n_step": 0 })),
            "agent.params.n_step: 0 is out of range; give 1 to 10000"
        );
        let unknown = refusal("q-lambda", json!({ "lamda": 0.5 }));
        assert!(
            unknown.contains("unknown field `lamda`, expected one of `lambda`, `trace`, `gamma`"),
            "{unknown}"
        );
    }
}
