//! The values that a key may take, and how trials draw from them.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use thorndike_core::rand::RngExt;
use thorndike_core::{Rng, Seeds};

use crate::summary::number;

/// A key of the configuration with the values to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Dotted, such as `agent.params.gamma`.
    pub name: String,
    /// What it may be.
    pub values: Values,
}

/// What a key may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// One of these.
    List(Vec<toml::Value>),
    /// Anything between two ends.
    Range(Range),
}

/// Numbers between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Range {
    /// Every number is as likely.
    Uniform {
        /// Lower end.
        from: f64,
        /// Upper end.
        to: f64,
    },
    /// Every order of magnitude is as likely.
    LogUniform {
        /// Lower end, above 0.
        from: f64,
        /// Upper end.
        to: f64,
    },
    /// Every whole number is as likely.
    Integer {
        /// Lowest.
        from: i64,
        /// Highest.
        to: i64,
    },
}

impl Range {
    /// Name of its kind in the file.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Uniform { .. } => "uniform",
            Self::LogUniform { .. } => "log-uniform",
            Self::Integer { .. } => "integer",
        }
    }

    /// Its ends.
    pub fn ends(self) -> (f64, f64) {
        match self {
            Self::Uniform { from, to } | Self::LogUniform { from, to } => (from, to),
            Self::Integer { from, to } => (from as f64, to as f64),
        }
    }

    fn check(self) -> Result<()> {
        let (from, to) = self.ends();
        ensure!(
            from.is_finite() && to.is_finite(),
            "from {from} to {to}: give finite numbers"
        );
        let in_order = match self {
            // As floats, ends beyond 2^53 could be equal.
            Self::Integer { from, to } => from < to,
            _ => from < to,
        };
        ensure!(in_order, "from {from} to {to}: from has to be less than to");
        if matches!(self, Self::LogUniform { .. }) {
            ensure!(
                from > 0.0,
                "from {from}: a log-uniform range begins above 0"
            );
        }
        ensure!(
            (to - from).is_finite(),
            "from {from} to {to}: the range is too wide"
        );
        Ok(())
    }

    /// Real numbers have four digits, which is finer than a search can tell; a configuration with them can be read, and
    /// does not depend on the last bit of a machine's logarithm.
    fn draw(self, rng: &mut Rng) -> toml::Value {
        let share: f64 = rng.random();
        match self {
            Self::Uniform { from, to } => {
                toml::Value::Float(four_digits(from + share * (to - from)).clamp(from, to))
            }
            Self::LogUniform { from, to } => {
                let value = (from.ln() + share * (to.ln() - from.ln())).exp();
                toml::Value::Float(four_digits(value).clamp(from, to))
            }
            Self::Integer { from, to } => toml::Value::Integer(rng.random_range(from..=to)),
        }
    }
}

fn four_digits(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

impl Values {
    /// Reads what stands beside a key.
    ///
    /// # Errors
    /// What is wrong with it, without the key.
    pub fn read(value: toml::Value) -> Result<Self> {
        match value {
            toml::Value::Array(list) => {
                ensure!(
                    !list.is_empty(),
                    "the list is empty; give at least one value"
                );
                for (i, value) in list.iter().enumerate() {
                    ensure!(!list[..i].contains(value), "{value} is there twice");
                }
                Ok(Self::List(list))
            }
            toml::Value::Table(table) => {
                let range: Range = toml::Value::Table(table)
                    .try_into()
                    .map_err(|e: toml::de::Error| anyhow!("{}", e.message().replace('\n', " ")))?;
                range.check()?;
                Ok(Self::Range(range))
            }
            other => bail!(
                "{other} is neither a list of values nor a range; write [{other}], or put it under `overrides`"
            ),
        }
    }

    /// As it stands in a file.
    ///
    /// # Errors
    /// If a number cannot be written as TOML.
    pub fn to_toml(&self) -> Result<toml::Value> {
        Ok(match self {
            Self::List(list) => toml::Value::Array(list.clone()),
            Self::Range(range) => toml::Value::try_from(range)?,
        })
    }

    fn draw(&self, rng: &mut Rng) -> toml::Value {
        match self {
            Self::List(list) => list[rng.random_range(0..list.len())].clone(),
            Self::Range(range) => range.draw(rng),
        }
    }
}

/// Every combination of listed values; the last key changes fastest.
///
/// # Errors
/// If a key has a range, or there are more than `most` combinations.
pub fn grid(keys: &[Key], most: usize) -> Result<Vec<Vec<toml::Value>>> {
    let mut all: Vec<Vec<toml::Value>> = vec![Vec::new()];
    for Key { name, values } in keys {
        let list = match values {
            Values::List(list) => list,
            Values::Range(range) => bail!(
                "{name}: a grid takes lists of values; {} ranges are for the searches random and halving",
                range.kind()
            ),
        };
        if all.len().saturating_mul(list.len()) > most {
            bail!("the grid has more than {most} trials; search at random, or give fewer values");
        }
        all = all
            .into_iter()
            .flat_map(|row| {
                let longer = |value: &toml::Value| [&row[..], std::slice::from_ref(value)].concat();
                list.iter().map(longer).collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(all)
}

/// `count` combinations, no two of them equal.
///
/// Trial `i` draws the value of key `k` from a stream called `k` below `(seed, "trial", i)`: more trials leave the first
/// ones as they are. So does another key, except where a combination came twice and was drawn again.
///
/// # Errors
/// If there are not as many different ones, as far as a thousand draws for one trial show.
pub fn random(keys: &[Key], count: usize, seed: u64) -> Result<Vec<Vec<toml::Value>>> {
    const DRAWS: u64 = 1000;
    let mut rows: Vec<Vec<toml::Value>> = Vec::new();
    let mut seen = BTreeSet::new();
    for trial in 0..count {
        let seeds = Seeds::new(seed).child("trial", trial as u64);
        let draw = |attempt| -> Vec<toml::Value> {
            let value = |key: &Key| key.values.draw(&mut seeds.stream(&key.name, attempt));
            keys.iter().map(value).collect()
        };
        let fresh = (0..DRAWS)
            .map(draw)
            .find(|row| seen.insert(toml::Value::Array(row.clone()).to_string()));
        match fresh {
            Some(row) => rows.push(row),
            None => bail!(
                "search: {count} trials are more than the keys have different values for, about {trial}; give fewer, or \
                 take a grid"
            ),
        }
    }
    Ok(rows)
}

/// Names for a heading: the last parts of dotted keys, as many as tell them apart and say something.
pub fn short_names(keys: &[Key]) -> Vec<String> {
    // The same in every schedule, and `steps` also of the experiment.
    const VAGUE: [&str; 5] = ["from", "to", "steps", "value", "kind"];
    let last_parts = |name: &str, parts: usize| {
        let all: Vec<&str> = name.split('.').collect();
        all[all.len().saturating_sub(parts)..].join(".")
    };
    let name = |key: &Key| {
        let alone = |parts: &usize| {
            let own = last_parts(&key.name, *parts);
            let same = |other: &&Key| last_parts(&other.name, *parts) == own;
            keys.iter().filter(same).count() == 1
        };
        let all = key.name.split('.').count();
        let vague = VAGUE.contains(&&*last_parts(&key.name, 1));
        let parts = (1 + usize::from(vague && all > 1)..=all).find(alone);
        parts.map_or_else(|| key.name.clone(), |parts| last_parts(&key.name, parts))
    };
    keys.iter().map(name).collect()
}

/// A value as people read it: four digits, text without quotes, and of a table only what tells it from the others in
/// the list.
pub fn short_value(key: &Key, value: &toml::Value) -> String {
    let others = match &key.values {
        Values::List(list) => &list[..],
        Values::Range(_) => &[],
    };
    let Some(leaves) = value.as_table().map(|_| leaves(value)) else {
        return plain(value);
    };
    let others: Vec<_> = others.iter().map(self::leaves).collect();
    let differs = |leaf: &&(String, String)| others.iter().any(|other| !other.contains(leaf));
    let telling: Vec<&(String, String)> = leaves.iter().filter(differs).collect();
    match &telling[..] {
        [] => plain(value),
        [(_, value)] => value.clone(),
        // Such as an exploration with its one parameter.
        [(key, kind), (_, value)] if key == "kind" => format!("{kind} {value}"),
        several => {
            let pair = |(key, value): &&(String, String)| match key.as_str() {
                "kind" => value.clone(),
                key => format!("{key} {value}"),
            };
            several.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Dotted keys and values of a table, `kind` first.
fn leaves(value: &toml::Value) -> Vec<(String, String)> {
    let toml::Value::Table(table) = value else {
        return vec![(String::new(), plain(value))];
    };
    let mut all = Vec::new();
    for (key, value) in table {
        for (below, value) in leaves(value) {
            let key = match below.as_str() {
                "" => key.clone(),
                below => format!("{key}.{below}"),
            };
            all.push((key, value));
        }
    }
    all.sort_by_key(|(key, _)| key != "kind");
    all
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Float(x) => number(*x),
        toml::Value::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(plain).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string().trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, toml: &str) -> Key {
        let mut table: toml::Table = format!("v = {toml}").parse().unwrap();
        Key {
            name: name.to_owned(),
            values: Values::read(table.remove("v").unwrap()).unwrap(),
        }
    }

    fn error(toml: &str) -> String {
        let mut table: toml::Table = format!("v = {toml}").parse().unwrap();
        format!(
            "{:#}",
            Values::read(table.remove("v").unwrap()).unwrap_err()
        )
    }

    fn text(rows: &[Vec<toml::Value>]) -> Vec<String> {
        let row = |row: &Vec<toml::Value>| toml::Value::Array(row.clone()).to_string();
        rows.iter().map(row).collect()
    }

    #[test]
    fn a_grid_has_every_combination_and_its_last_key_changes_fastest() {
        let keys = [
            key("a", "[1, 2]"),
            key("b", "[true]"),
            key("c", "[\"x\", \"y\"]"),
        ];
        let expected = [
            r#"[1, true, "x"]"#,
            r#"[1, true, "y"]"#,
            r#"[2, true, "x"]"#,
            r#"[2, true, "y"]"#,
        ];
        assert_eq!(text(&grid(&keys, 4).unwrap()), expected);
        let error = grid(&keys, 3).unwrap_err().to_string();
        assert!(error.contains("more than 3 trials"), "{error}");
    }

    #[test]
    fn a_range_in_a_grid_is_refused_by_its_key() {
        let keys = [key(
            "rate",
            r#"{ kind = "log-uniform", from = 1e-3, to = 1 }"#,
        )];
        let error = grid(&keys, 100).unwrap_err().to_string();
        let expected = "rate: a grid takes lists of values; log-uniform ranges are for the searches random and halving";
        assert_eq!(error, expected);
    }

    #[test]
    fn mistakes_in_values_say_what_is_accepted() {
        for (toml, part) in [
            ("[]", "the list is empty; give at least one value"),
            ("[1, 2, 1]", "1 is there twice"),
            ("0.5", "write [0.5], or put it under `overrides`"),
            (
                r#"{ kind = "uniform", from = 2, to = 1 }"#,
                "from 2 to 1: from has to be less than to",
            ),
            (
                r#"{ kind = "integer", from = 3, to = 3 }"#,
                "from 3 to 3: from has to be less than to",
            ),
            (
                r#"{ kind = "log-uniform", from = 0, to = 1 }"#,
                "a log-uniform range begins above 0",
            ),
            (
                r#"{ kind = "uniform", from = 0, to = inf }"#,
                "from 0 to inf: give finite numbers",
            ),
            (r#"{ kind = "uniform", from = 0 }"#, "missing field `to`"),
            (
                r#"{ kind = "normal", from = 0 }"#,
                "unknown variant `normal`, expected one of `uniform`",
            ),
            (
                r#"{ kind = "integer", from = 0.5, to = 3 }"#,
                "invalid type: floating point `0.5`",
            ),
        ] {
            let error = error(toml);
            assert!(
                error.contains(part) && !error.contains('\n'),
                "{toml}: {error}"
            );
        }
    }

    fn mixed() -> [Key; 4] {
        [
            key("list", "[\"a\", \"b\", \"c\"]"),
            key("log", r#"{ kind = "log-uniform", from = 1e-4, to = 1e-2 }"#),
            key("uniform", r#"{ kind = "uniform", from = -1, to = 1 }"#),
            key("whole", r#"{ kind = "integer", from = 1, to = 1000 }"#),
        ]
    }

    #[test]
    fn random_trials_are_value_stable() {
        let drawn = text(&random(&mixed(), 3, 1).unwrap());
        assert_eq!(
            drawn, PINNED,
            "a sweep that goes on depends on these values"
        );
    }
    const PINNED: [&str; 3] = [
        "[\"b\", 0.003478, -0.6101, 656]",
        "[\"b\", 0.002409, -0.4267, 897]",
        "[\"b\", 0.001453, 0.05057, 70]",
    ];

    #[test]
    fn more_trials_and_more_keys_leave_the_values_that_were_there() {
        let keys = mixed();
        let (few, many) = (random(&keys, 5, 7).unwrap(), random(&keys, 50, 7).unwrap());
        assert_eq!(few, many[..5]);
        let fewer_keys = random(&keys[1..], 5, 7).unwrap();
        let rest: Vec<Vec<toml::Value>> = few.iter().map(|row| row[1..].to_vec()).collect();
        assert_eq!(fewer_keys, rest);
        assert_ne!(few, random(&keys, 5, 8).unwrap());
    }

    #[test]
    fn draws_fill_their_ranges_evenly() {
        let keys = mixed();
        let rows = random(&keys, 1000, 3).unwrap();
        let column = |i: usize| -> Vec<f64> {
            let float = |v: &toml::Value| v.as_float().or(v.as_integer().map(|v| v as f64));
            rows.iter().map(|row| float(&row[i]).unwrap()).collect()
        };
        // Shares of 1000 draws have a standard deviation of at most 1.6 %; four of them.
        let below = |values: &[f64], x: f64| values.iter().filter(|v| **v < x).count() as f64 / 1e3;
        for (i, low, middle, high) in [
            (1, 1e-4, 1e-3, 1e-2),
            (2, -1.0, 0.0, 1.0),
            (3, 1.0, 500.5, 1000.0),
        ] {
            let values = column(i);
            assert!(
                values.iter().all(|v| (low..=high).contains(v)),
                "{}",
                keys[i].name
            );
            assert!(
                (below(&values, middle) - 0.5).abs() < 0.064,
                "{}",
                keys[i].name
            );
        }
        let first = rows
            .iter()
            .filter(|row| row[0].as_str() == Some("a"))
            .count();
        assert!((first as f64 / 1e3 - 1.0 / 3.0).abs() < 0.06, "{first}");
    }

    #[test]
    fn no_trial_is_there_twice_and_too_many_are_refused() {
        let keys = [key("a", "[1, 2, 3]"), key("b", "[1, 2]")];
        let mut rows = text(&random(&keys, 6, 1).unwrap());
        rows.sort();
        assert_eq!(rows, text(&grid(&keys, 6).unwrap()));
        let error = random(&keys, 7, 1).unwrap_err().to_string();
        assert!(
            error.contains("7 trials are more than the keys have"),
            "{error}"
        );
    }

    #[test]
    fn short_names_have_as_many_parts_as_tell_them_apart() {
        let keys = [
            "agent.params.gamma",
            "env.params.size",
            "agent.params.size",
            "steps",
            "agent.params.epsilon.steps",
        ];
        let keys = keys.map(|name| key(name, "[1]"));
        assert_eq!(
            short_names(&keys),
            [
                "gamma",
                "env.params.size",
                "agent.params.size",
                "steps",
                "epsilon.steps"
            ]
        );
    }

    #[test]
    fn short_values_leave_out_what_all_have() {
        let extractor = key(
            "extractor",
            r#"[{ kind = "mlp", hidden = [64, 64] }, { kind = "mlp", hidden = [256] }]"#,
        );
        let shown = |key: &Key| -> Vec<String> {
            let Values::List(list) = &key.values else {
                panic!()
            };
            list.iter().map(|value| short_value(key, value)).collect()
        };
        assert_eq!(shown(&extractor), ["[64, 64]", "[256]"]);
        let explore = key(
            "exploration",
            r#"[{ kind = "boltzmann", temperature = 0.5 }, { kind = "epsilon-greedy", epsilon = 0.1 }]"#,
        );
        assert_eq!(shown(&explore), ["boltzmann 0.5", "epsilon-greedy 0.1"]);
        let optimizer = key(
            "optimizer",
            r#"[{ kind = "sgd" }, { kind = "rms", a = 1, b = 2 }]"#,
        );
        assert_eq!(shown(&optimizer), ["sgd", "rms a 1 b 2"]);
        assert_eq!(
            shown(&key("a", r#"["text", 1e-4, 3, true]"#)),
            ["text", "0.0001", "3", "true"]
        );
    }
}
