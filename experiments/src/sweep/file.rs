//! The sweep file: what is varied, how, and the trials that this makes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use thorndike_core::{EnvSteps, Registry};

use super::halving::{self, Rung};
use super::keys::{self, Key, Values};
use crate::config::{self, Config};

/// Most trials of a sweep.
const MOST: usize = 10_000;

/// A search over keys of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Folder of the results, below the results folder.
    pub name: String,
    /// How trials are chosen.
    pub search: Search,
    /// The keys that are varied, in alphabetical order: the order of lines in the file changes no trial.
    pub keys: Vec<Key>,
    /// The configuration that is varied, overrides applied; defaults are filled in for each trial.
    base: toml::Table,
}

/// How trials are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Search {
    /// Every combination of the listed values.
    Grid {},
    /// Combinations drawn at random.
    Random {
        /// How many.
        trials: usize,
        /// Root seed of the draws.
        #[serde(default = "first_seed")]
        seed: u64,
    },
    /// Combinations drawn at random, of which the best are trained longer; see [`halving`].
    Halving {
        /// How many begin.
        trials: usize,
        /// Root seed of the draws.
        #[serde(default = "first_seed")]
        seed: u64,
        /// One of so many is trained so many times longer.
        #[serde(default = "three")]
        eta: u64,
        /// Environment steps of each seed before the first choice, at least.
        min_steps: EnvSteps,
    },
}

fn first_seed() -> u64 {
    1
}

fn three() -> u64 {
    3
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// A value for each key of the sweep, in their order.
    pub values: Vec<toml::Value>,
    /// The whole configuration, at full length. Its name is that of the trial's folder.
    pub config: Config,
}

impl Sweep {
    /// Reads `path`. `overrides` are applied to the configuration that is varied, after those in the file; `name=..`
    /// names the sweep.
    ///
    /// # Errors
    /// One line with the file, the key and what is accepted.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &stem, folder, overrides).with_context(|| format!("{}", path.display()))
    }

    /// Whether the file at `path` looks like one of a sweep, and not like a configuration.
    pub fn is_at(path: &Path) -> bool {
        let text = fs::read_to_string(path).unwrap_or_default();
        let has = |table: toml::Table| table.contains_key("search") || table.contains_key("keys");
        text.parse::<toml::Table>().is_ok_and(has)
    }

    /// As [`load`](Sweep::load), from text; paths in it begin at `folder`.
    ///
    /// # Errors
    /// One line with the key and what is accepted.
    pub fn parse(text: &str, name: &str, folder: &Path, overrides: &[String]) -> Result<Self> {
        const KNOWN: [&str; 5] = ["name", "config", "overrides", "search", "keys"];
        let mut file = config::table(text, &[])?;
        if let Some(key) = file.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            bail!("{key}: unknown key of a sweep; known: {}", KNOWN.join(", "));
        }
        let (names, overrides): (Vec<&String>, Vec<&String>) =
            overrides.iter().partition(|text| text.starts_with("name="));
        let mut name = match file.remove("name") {
            Some(toml::Value::String(name)) => name,
            Some(other) => bail!("name: {other} is no text"),
            None => name.to_owned(),
        };
        if let Some(given) = names.last().and_then(|text| text.strip_prefix("name=")) {
            given.trim_matches('"').clone_into(&mut name);
        }
        config::check_name(&name)?;
        let mut all = match file.remove("overrides") {
            Some(list) => list.try_into::<Vec<String>>().map_err(|_| {
                anyhow!("overrides: give a list of texts, such as [\"steps=20_000\"]")
            })?,
            None => Vec::new(),
        };
        all.extend(overrides.into_iter().cloned());
        let base = match file.remove("config") {
            Some(toml::Value::String(path)) => read_base(&folder.join(path), &all)?,
            Some(toml::Value::Table(table)) => config::table(&toml::to_string(&table)?, &all)?,
            _ => {
                bail!("config: give the file of the experiment, such as \"../configs/taxi-q.toml\"")
            }
        };
        let search = Search::read(file.remove("search"))?;
        let mut keys = Vec::new();
        match file.remove("keys") {
            Some(toml::Value::Table(table)) => read_keys("", table, &mut keys)?,
            Some(_) => bail!("keys: give a table [keys]"),
            None => {}
        }
        keys.sort_by(|a: &Key, b| a.name.cmp(&b.name));
        ensure!(
            !keys.is_empty(),
            "keys: there are none; give some below [keys], such as agent.params.gamma = [0.9, 0.99]"
        );
        if let Some(pair) = keys.windows(2).find(|pair| pair[0].name == pair[1].name) {
            bail!("keys: {} is there twice", pair[0].name);
        }
        let sweep = Self {
            name,
            search,
            keys,
            base,
        };
        sweep.check_keys()?;
        Ok(sweep)
    }

    fn check_keys(&self) -> Result<()> {
        for Key { name, .. } in &self.keys {
            match name.as_str() {
                "name" => bail!("keys: name: a sweep names its trials itself"),
                "seeds" => bail!(
                    "keys: seeds: all trials have the same ones; give them under `overrides`, such as \"seeds=[1, 2, 3]\""
                ),
                "steps" if matches!(self.search, Search::Halving { .. }) => {
                    bail!("keys: steps: a search by halving chooses them itself")
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The whole sweep in one file, which [`load`](Sweep::load) takes and which needs no other.
    ///
    /// # Errors
    /// If a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<toml::Table> {
        let mut file = toml::Table::new();
        file.insert("name".into(), toml::Value::String(self.name.clone()));
        file.insert("search".into(), toml::Value::try_from(self.search)?);
        file.insert("config".into(), toml::Value::Table(self.base.clone()));
        let mut keys = toml::Table::new();
        for Key { name, values } in &self.keys {
            keys.insert(name.clone(), values.to_toml()?);
        }
        file.insert("keys".into(), toml::Value::Table(keys));
        Ok(file)
    }

    /// All trials, each with its whole configuration.
    ///
    /// # Errors
    /// If a combination of values is no configuration, or there are too many or too few combinations.
    pub fn trials(&self, registry: &Registry) -> Result<Vec<Trial>> {
        let rows = match self.search {
            Search::Grid {} => keys::grid(&self.keys, MOST).context("keys")?,
            Search::Random { trials, seed } | Search::Halving { trials, seed, .. } => {
                keys::random(&self.keys, trials, seed)?
            }
        };
        let trial = |(index, values): (usize, Vec<toml::Value>)| {
            let mut table = self.base.clone();
            for (key, value) in self.keys.iter().zip(&values) {
                config::set_key(&mut table, &key.name, value.clone()).context("keys")?;
            }
            let name = format!("trial-{index:03}");
            table.insert("name".into(), toml::Value::String(name));
            let config = Config::from_table(table, "", registry)?;
            Ok(Trial { values, config })
        };
        let trials: Vec<Trial> = rows
            .into_iter()
            .enumerate()
            .map(trial)
            .collect::<Result<_>>()?;
        self.rungs(&trials)?;
        Ok(trials)
    }

    /// The rungs of a search by halving; `None` for the others, whose trials are all trained to their ends.
    ///
    /// # Errors
    /// If the steps of the trials leave nothing to halve.
    pub fn rungs(&self, trials: &[Trial]) -> Result<Option<Vec<Rung>>> {
        match (self.search, trials) {
            (Search::Halving { eta, min_steps, .. }, [first, ..]) => {
                halving::rungs(trials.len(), eta, min_steps, first.config.steps).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Search {
    fn read(value: Option<toml::Value>) -> Result<Self> {
        const HOW: &str = "search: give how to search, such as { kind = \"grid\" } or { kind = \"random\", trials = 32 }";
        let Some(mut value) = value else {
            bail!(HOW);
        };
        let Some(table) = value.as_table_mut() else {
            bail!(HOW);
        };
        table
            .iter_mut()
            .for_each(|(_, value)| config::whole_float_to_integer(value));
        let search: Self = value
            .try_into()
            .map_err(|e: toml::de::Error| anyhow!("search: {}", e.message().replace('\n', " ")))?;
        let (trials, eta, min_steps) = match search {
            Self::Grid {} => return Ok(search),
            Self::Random { trials, .. } => (trials, 2, 1),
            Self::Halving {
                trials,
                eta,
                min_steps,
                ..
            } => (trials, eta, min_steps),
        };
        let range = |key: &str, ok: bool, given: u64, accepted: &str| {
            ensure!(ok, "search.{key}: {given} is out of range; give {accepted}");
            Ok(())
        };
        range(
            "trials",
            (1..=MOST).contains(&trials),
            trials as u64,
            "1 to 10000",
        )?;
        range("eta", (2..=1000).contains(&eta), eta, "2 to 1000")?;
        range("min_steps", min_steps > 0, min_steps, "1 or more")?;
        Ok(search)
    }
}

fn read_base(path: &Path, overrides: &[String]) -> Result<toml::Table> {
    let at = || format!("config: {}", path.display());
    let text = fs::read_to_string(path).with_context(at)?;
    config::table(&text, overrides).with_context(at)
}

/// Keys as they may be written: `a.b = ..`, `"a.b" = ..`, or below `[keys.a]`. A table is a range if its `kind` is text,
/// and holds keys if not.
fn read_keys(above: &str, table: toml::Table, keys: &mut Vec<Key>) -> Result<()> {
    for (part, value) in table {
        let name = match above {
            "" => part,
            above => format!("{above}.{part}"),
        };
        match value {
            toml::Value::Table(table) if !table.get("kind").is_some_and(toml::Value::is_str) => {
                // A key may be called so too, as that of a learning rate's schedule: its values are a list or a table.
                let is_end = |key: &str| {
                    let value = table.get(key);
                    value.is_some_and(|value| !value.is_array() && !value.is_table())
                };
                ensure!(
                    !(is_end("from") || is_end("to")),
                    "keys: {name}: a range needs a kind: uniform, log-uniform or integer"
                );
                read_keys(&name, table, keys)?;
            }
            value => {
                let values = Values::read(value).with_context(|| format!("keys: {name}"))?;
                keys.push(Key { name, values });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        overrides = ["steps=1000"]
        search = { kind = "grid" }
        [config]
        steps = 5
        env = { id = "frozen-lake" }
        agent = { id = "q-learning" }
        [keys]
        agent.params.gamma = [0.9, 0.99]
    "#;

    fn trials(text: &str, overrides: &[&str]) -> Result<Vec<Trial>> {
        let overrides: Vec<String> = overrides.iter().map(|&o| o.to_owned()).collect();
        let sweep = Sweep::parse(text, "test", Path::new(""), &overrides)?;
        sweep.trials(&crate::standard())
    }

    fn error(text: &str) -> String {
        format!("{:#}", trials(text, &[]).unwrap_err())
    }

    #[test]
    fn trials_differ_in_their_keys_and_overrides_come_in_order() {
        let trials = trials(TEXT, &["agent.params.learning_rate=0.5", "steps=2000"]).unwrap();
        let seen: Vec<_> = trials
            .iter()
            .map(|trial| {
                let Config { name, steps, .. } = &trial.config;
                let agent = &trial.config.agent_task().unwrap().agent;
                let param = |key: &str| agent.params[key].as_f64().unwrap();
                (name.as_str(), *steps, param("gamma"))
            })
            .collect();
        assert_eq!(seen, [("trial-000", 2000, 0.9), ("trial-001", 2000, 0.99)]);
    }

    #[test]
    fn keys_can_be_written_in_three_ways() {
        let line = "agent.params.gamma = [0.9, 0.99]";
        let expected = trials(TEXT, &[]).unwrap();
        for other in [
            "\"agent.params.gamma\" = [0.9, 0.99]",
            "[keys.agent.params]\ngamma = [0.9, 0.99]",
        ] {
            assert_eq!(trials(&TEXT.replace(line, other), &[]).unwrap(), expected);
        }
        // A key that is itself called `kind`.
        let kinds = "agent.params.exploration.kind = [\"boltzmann\", \"epsilon-greedy\"]";
        let text = TEXT.replace(line, kinds);
        let sweep = Sweep::parse(&text, "test", Path::new(""), &[]).unwrap();
        assert_eq!(sweep.keys[0].name, "agent.params.exploration.kind");
    }

    #[test]
    fn a_key_may_be_called_as_the_end_of_a_range() {
        let keys = "agent.params.learning_rate.from = [0.1, 0.2]\nagent.params.learning_rate.to = [0.0, 0.1]";
        let base = "agent.params.learning_rate={kind=\"linear\",from=0.2,to=0.1,steps=9}";
        let text = TEXT.replace("agent.params.gamma = [0.9, 0.99]", keys);
        let text = text.replace("\"steps=1000\"", &format!("'{base}'"));
        let sweep = Sweep::parse(&text, "test", Path::new(""), &[]).unwrap();
        let names: Vec<&str> = sweep.keys.iter().map(|key| &*key.name).collect();
        assert_eq!(
            names,
            [
                "agent.params.learning_rate.from",
                "agent.params.learning_rate.to"
            ]
        );
    }

    #[test]
    fn a_sweep_in_one_file_is_the_same_sweep() {
        let random = TEXT
            .replace("kind = \"grid\"", "kind = \"random\", trials = 4, seed = 9")
            .replace(
                "[0.9, 0.99]",
                "{ kind = \"uniform\", from = 0.5, to = 1 }\nenv.num_envs = [1, 2]",
            );
        for text in [TEXT, &random] {
            let sweep = Sweep::parse(text, "test", Path::new(""), &[]).unwrap();
            let whole = toml::to_string(&sweep.to_toml().unwrap()).unwrap();
            let again = Sweep::parse(&whole, "other", Path::new("elsewhere"), &[]).unwrap();
            assert_eq!(again, sweep, "{whole}");
        }
    }

    #[test]
    fn each_mistake_is_one_line_with_its_key() {
        let replaced = |old: &str, new: &str| error(&TEXT.replace(old, new));
        let key = |new: &str| replaced("agent.params.gamma = [0.9, 0.99]", new);
        let search = |new: &str| replaced("{ kind = \"grid\" }", new);
        for (found, part) in [
            (key(""), "keys: there are none; give some below [keys]"),
            (
                key("agent.params.gamme = [1]"),
                "agent.params.gamme: unknown field `gamme`, expected",
            ),
            (
                key("agent.params.gamma = [\"x\"]"),
                "agent.params.gamma: invalid type: string \"x\", expected",
            ),
            (
                key("agent.params.gamma = []"),
                "keys: agent.params.gamma: the list is empty",
            ),
            (
                key("agent.params.gamma = 0.9"),
                "keys: agent.params.gamma: 0.9 is neither a list",
            ),
            (
                key("agent.params.gamma = { from = 0, to = 1 }"),
                "keys: agent.params.gamma: a range needs a kind",
            ),
            (
                key("agent.params.gamma = { kind = \"uniform\", from = 0, to = 1 }"),
                "keys: agent.params.gamma: a grid takes lists of values; uniform ranges are for",
            ),
            (
                key("seeds = [[1], [2]]"),
                "keys: seeds: all trials have the same ones",
            ),
            (
                key("name = [\"a\"]"),
                "keys: name: a sweep names its trials itself",
            ),
            (key("steps.x = [1]"), "keys: steps.x: steps is a value"),
            (key("env.num_envs = [0]"), "env.num_envs: 0 is out of range"),
            (key("\"a..b\" = [0]"), "keys: \"a..b\" is no key"),
            (
                key("\"env.num_envs\" = [1]\nenv.num_envs = [2]"),
                "keys: env.num_envs is there twice",
            ),
            (search("3"), "search: give how to search, such as"),
            (
                search("{ kind = \"gird\" }"),
                "search: unknown variant `gird`, expected one of `grid`, `random`",
            ),
            (
                search("{ kind = \"grid\", trials = 3 }"),
                "search: unknown field `trials`",
            ),
            (
                search("{ kind = \"random\" }"),
                "search: missing field `trials`",
            ),
            (
                search("{ kind = \"random\", trials = 0 }"),
                "search.trials: 0 is out of range; give 1 to 10000",
            ),
            (
                search("{ kind = \"random\", trials = 9 }"),
                "search: 9 trials are more than the keys have",
            ),
            (
                search("{ kind = \"halving\", trials = 2, min_steps = 500 }"),
                "search: 3 times min_steps 500 is more than the 1000 steps",
            ),
            (
                search("{ kind = \"halving\", trials = 2, eta = 1, min_steps = 500 }"),
                "search.eta: 1 is out of range; give 2 to 1000",
            ),
            (
                replaced("overrides =", "override ="),
                "override: unknown key of a sweep; known: name, config",
            ),
            (
                replaced("[\"steps=1000\"]", "[3]"),
                "overrides: give a list of texts",
            ),
            (
                error("search = { kind = \"grid\" }"),
                "config: give the file of the experiment",
            ),
            (
                error("config = \"none.toml\""),
                "config: none.toml: No such file",
            ),
            (
                error("name = \"a/b\""),
                "name: \"a/b\" is no name for a folder",
            ),
            (error("[search"), "line 1, column"),
        ] {
            assert!(
                found.contains(part) && !found.contains('\n'),
                "wanted {part}; got {found}"
            );
        }
        let steps = TEXT.replace("agent.params.gamma = [0.9, 0.99]", "steps = [10, 20]");
        assert_eq!(trials(&steps, &[]).unwrap()[1].config.steps, 20);
        let halving = steps.replace(
            "kind = \"grid\"",
            "kind = \"halving\", trials = 2, min_steps = 5",
        );
        assert!(error(&halving).contains("keys: steps: a search by halving chooses them itself"));
    }
}
