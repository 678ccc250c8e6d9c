//! What exists under which id: environments and agents.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::agent::{Agent, BuildContext};
use crate::env::{Env, FiniteMdp};
use crate::error::{Error, Result};
use crate::mixed::{MIXED, MixedConfig};
use crate::seed::Seeds;
use crate::threads::on_threads;
use crate::vector::{EnvOptions, VectorEnv};
use crate::wrap::wrap;

type Resolve = Box<dyn Fn(&Value) -> Result<Value> + Send + Sync>;
type MakeEnvs = Box<dyn Fn(&Value, &EnvOptions, Seeds) -> Result<Box<dyn VectorEnv>> + Send + Sync>;
type MakeFinite = Box<dyn Fn(&Value) -> Result<Box<dyn FiniteMdp>> + Send + Sync>;
type MakeAgent = Box<dyn Fn(&Value, &BuildContext<'_>) -> Result<Box<dyn Agent>> + Send + Sync>;

/// Environments and agents by id. The constructor is the registration: the type of the configuration
/// is inferred from it.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use thorndike_core::{Env, EnvOptions, Registry, Result, Rng, Seeds, Space, Step};
///
/// #[derive(Default, Serialize, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct CoinConfig { prize: f32 }
/// struct Coin { prize: f32 }
/// impl Coin { fn new(c: &CoinConfig) -> Result<Self> { Ok(Self { prize: c.prize }) } }
/// # impl Env for Coin {
/// #     type State = (); type Obs = i32; type Action = usize;
/// #     fn observation_space(&self) -> Space { Space::Discrete(1) }
/// #     fn action_space(&self) -> Space { Space::Discrete(2) }
/// #     fn reset(&self, _: &mut Rng) {}
/// #     fn step(&self, _: &mut (), _: usize, _: &mut Rng) -> Step { Step::terminal(self.prize) }
/// #     fn observe(&self, _: &(), obs: &mut [i32]) { obs[0] = 0 }
/// # }
/// let registry = Registry::new().env("coin", Coin::new);
/// let options = EnvOptions::default();
/// let made = registry.make_envs("coin", &serde_json::json!({ "prize": 2.0 }), &options, Seeds::new(1));
/// assert!(made.is_ok());
/// let error = registry.make_envs("coin", &serde_json::json!({ "price": 2.0 }), &options, Seeds::new(1));
/// assert!(error.err().unwrap().to_string().contains("unknown field `price`, expected `prize`"));
/// ```
#[derive(Default)]
pub struct Registry {
    envs: BTreeMap<&'static str, EnvEntry>,
    agents: BTreeMap<&'static str, AgentEntry>,
}

struct EnvEntry {
    resolve: Resolve,
    make: MakeEnvs,
    finite: Option<MakeFinite>,
}

struct AgentEntry {
    resolve: Resolve,
    make: MakeAgent,
}

impl Registry {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an environment built by `make` from its configuration.
    ///
    /// # Panics
    /// If the id is taken.
    pub fn env<C, E, F>(self, id: &'static str, make: F) -> Self
    where
        C: DeserializeOwned + Serialize,
        E: Env + 'static,
        F: Fn(&C) -> Result<E> + Send + Sync + 'static,
    {
        let make: MakeEnvs = Box::new(move |params, options, seeds| {
            on_threads(make(&parse::<C>(params)?)?, options, seeds)
        });
        self.add_env::<C>(id, make, None)
    }

    /// Adds an environment with known dynamics: exact solutions can be drawn beside learned ones.
    ///
    /// # Panics
    /// If the id is taken.
    pub fn finite_env<C, E, F>(self, id: &'static str, make: F) -> Self
    where
        C: DeserializeOwned + Serialize,
        E: Env + FiniteMdp + 'static,
        F: Fn(&C) -> Result<E> + Clone + Send + Sync + 'static,
    {
        let again = make.clone();
        let finite: MakeFinite =
            Box::new(move |params| Ok(Box::new(again(&parse::<C>(params)?)?) as _));
        let mut this = self.env(id, make);
        this.envs.get_mut(id).expect("just added").finite = Some(finite);
        this
    }

    /// Adds an environment that is a batch by itself: natively vectorised, or a foreign simulator.
    ///
    /// `make` is given [`EnvOptions::plain`]: what those say it must do itself.
    ///
    /// # Panics
    /// If the id is taken.
    pub fn vector_env<C, V, F>(self, id: &'static str, make: F) -> Self
    where
        C: DeserializeOwned + Serialize,
        V: VectorEnv + 'static,
        F: Fn(&C, &EnvOptions, Seeds) -> Result<V> + Send + Sync + 'static,
    {
        let make: MakeEnvs = Box::new(move |params, options, seeds| {
            Ok(Box::new(make(&parse::<C>(params)?, options, seeds)?) as Box<dyn VectorEnv>)
        });
        self.add_env::<C>(id, make, None)
    }

    fn add_env<C: DeserializeOwned + Serialize>(
        mut self,
        id: &'static str,
        make: MakeEnvs,
        finite: Option<MakeFinite>,
    ) -> Self {
        let resolve: Resolve = Box::new(|params| resolve::<C>(params));
        let old = self.envs.insert(
            id,
            EnvEntry {
                resolve,
                make,
                finite,
            },
        );
        assert!(old.is_none(), "two environments are named \"{id}\"");
        self
    }

    /// Adds an agent built by `make` from its configuration.
    ///
    /// # Panics
    /// If the id is taken.
    pub fn agent<C, A, F>(mut self, id: &'static str, make: F) -> Self
    where
        C: DeserializeOwned + Serialize,
        A: Agent + 'static,
        F: Fn(&C, &BuildContext<'_>) -> Result<A> + Send + Sync + 'static,
    {
        let make: MakeAgent = Box::new(move |params, context| {
            Ok(Box::new(make(&parse::<C>(params)?, context)?) as Box<dyn Agent>)
        });
        let resolve: Resolve = Box::new(|params| resolve::<C>(params));
        let old = self.agents.insert(id, AgentEntry { resolve, make });
        assert!(old.is_none(), "two agents are named \"{id}\"");
        self
    }

    /// Adds an agent that is another one with settings of its own: what a run does not give is as in `preset`.
    ///
    /// A table that a run gives is laid over the preset's, key by key; one of another `kind` takes its place.
    ///
    /// # Panics
    /// If the id is taken.
    pub fn preset<C, A, F>(mut self, id: &'static str, preset: &C, make: F) -> Self
    where
        C: DeserializeOwned + Serialize,
        A: Agent + 'static,
        F: Fn(&C, &BuildContext<'_>) -> Result<A> + Send + Sync + 'static,
    {
        let preset = serde_json::to_value(preset).expect("a configuration can be written as JSON");
        let again = preset.clone();
        let make: MakeAgent = Box::new(move |params, context| {
            let config = parse::<C>(&laid_over(&preset, params))?;
            Ok(Box::new(make(&config, context)?) as Box<dyn Agent>)
        });
        let resolve: Resolve = Box::new(move |params| resolve::<C>(&laid_over(&again, params)));
        let old = self.agents.insert(id, AgentEntry { resolve, make });
        assert!(old.is_none(), "two agents are named \"{id}\"");
        self
    }

    /// Ids of the environments, sorted.
    pub fn env_ids(&self) -> impl Iterator<Item = &'static str> {
        self.envs.keys().copied()
    }

    /// Ids of the agents, sorted.
    pub fn agent_ids(&self) -> impl Iterator<Item = &'static str> {
        self.agents.keys().copied()
    }

    /// `params` of environment `id` with all defaults filled in.
    ///
    /// # Errors
    /// [`Error::Unknown`], or [`Error::Config`] with the key under `env`.
    pub fn resolve_env(&self, id: &str, params: &Value) -> Result<Value> {
        if id == MIXED {
            let config = parse::<MixedConfig>(params).and_then(|config| config.resolved(self));
            let config = config.map_err(|e| e.under("env.params"))?;
            return serde_json::to_value(config).map_err(|e| Error::Backend(Box::new(e)));
        }
        self.resolve_plain(id, params)
            .map_err(|e| e.under("env.params"))
    }

    /// As [`resolve_env`](Registry::resolve_env), of one environment, with keys as they are.
    pub(crate) fn resolve_plain(&self, id: &str, params: &Value) -> Result<Value> {
        (self.env_entry(id)?.resolve)(params)
    }

    /// Builds environments of one kind without what `options` would wrap around them, with keys as they are.
    pub(crate) fn make_plain(
        &self,
        id: &str,
        params: &Value,
        options: &EnvOptions,
        seeds: Seeds,
    ) -> Result<Box<dyn VectorEnv>> {
        (self.env_entry(id)?.make)(params, options, seeds)
    }

    /// `params` of agent `id` with all defaults filled in.
    ///
    /// # Errors
    /// [`Error::Unknown`], or [`Error::Config`] with the key under `agent`.
    pub fn resolve_agent(&self, id: &str, params: &Value) -> Result<Value> {
        (self.agent_entry(id)?.resolve)(params).map_err(|e| e.under("agent.params"))
    }

    /// Builds environments.
    ///
    /// # Errors
    /// [`Error::Unknown`], or [`Error::Config`] with the key under `env`.
    pub fn make_envs(
        &self,
        id: &str,
        params: &Value,
        options: &EnvOptions,
        seeds: Seeds,
    ) -> Result<Box<dyn VectorEnv>> {
        options.check().map_err(|e| e.under("env"))?;
        let envs = match id {
            MIXED => self.make_mixed(params, options, seeds),
            _ => self.make_plain(id, params, &options.plain(), seeds),
        };
        wrap(envs.map_err(|e| e.under("env.params"))?, options).map_err(|e| e.under("env"))
    }

    fn make_mixed(
        &self,
        params: &Value,
        options: &EnvOptions,
        seeds: Seeds,
    ) -> Result<Box<dyn VectorEnv>> {
        let config = parse::<MixedConfig>(params)?.resolved(self)?;
        Ok(Box::new(config.make(self, &options.plain(), seeds)?))
    }

    /// The dynamics of environment `id`, if they are known.
    ///
    /// # Errors
    /// As [`make_envs`](Registry::make_envs).
    pub fn make_finite(&self, id: &str, params: &Value) -> Result<Option<Box<dyn FiniteMdp>>> {
        if id == MIXED {
            return Ok(None);
        }
        let entry = self.env_entry(id)?;
        let made = entry
            .finite
            .as_ref()
            .map(|finite| finite(params))
            .transpose();
        made.map_err(|e| e.under("env.params"))
    }

    /// Builds an agent.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Config`] with the key under `agent`, or [`Error::Space`] if the agent
    /// cannot take the environment.
    pub fn make_agent(
        &self,
        id: &str,
        params: &Value,
        context: &BuildContext<'_>,
    ) -> Result<Box<dyn Agent>> {
        (self.agent_entry(id)?.make)(params, context).map_err(|e| e.under("agent.params"))
    }

    fn env_entry(&self, id: &str) -> Result<&EnvEntry> {
        self.envs.get(id).ok_or_else(|| Error::Unknown {
            kind: "environment",
            id: id.to_owned(),
            known: self.env_ids().map(str::to_owned).collect(),
        })
    }

    fn agent_entry(&self, id: &str) -> Result<&AgentEntry> {
        self.agents.get(id).ok_or_else(|| Error::Unknown {
            kind: "agent",
            id: id.to_owned(),
            known: self.agent_ids().map(str::to_owned).collect(),
        })
    }
}

/// Reads a configuration; absent means all defaults.
fn parse<C: DeserializeOwned>(params: &Value) -> Result<C> {
    let empty = Value::Object(serde_json::Map::new());
    let params = if params.is_null() { &empty } else { params };
    serde_path_to_error::deserialize(params).map_err(|e| {
        let path = e.path().to_string();
        let key = if path == "." { String::new() } else { path };
        Error::config(key, e.into_inner().to_string())
    })
}

/// `base` with what `over` gives.
fn laid_over(base: &Value, over: &Value) -> Value {
    let (Value::Object(base), Value::Object(over)) = (base, over) else {
        return if over.is_null() { base } else { over }.clone();
    };
    let kind = over.get("kind");
    if kind.is_some() && kind != base.get("kind") {
        return Value::Object(over.clone());
    }
    let mut both = base.clone();
    for (key, value) in over {
        let value = base
            .get(key)
            .map_or(value.clone(), |base| laid_over(base, value));
        both.insert(key.clone(), value);
    }
    Value::Object(both)
}

fn resolve<C: DeserializeOwned + Serialize>(params: &Value) -> Result<Value> {
    serde_json::to_value(parse::<C>(params)?).map_err(|e| Error::Backend(Box::new(e)))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("envs", &self.envs.keys())
            .field("agents", &self.agents.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_laid_over_a_preset_key_by_key_and_another_kind_takes_its_place() {
        let preset =
            json!({"rate": 1, "net": {"kind": "mlp", "units": 5, "norm": true}, "limit": 3});
        for (over, expected) in [
            (json!(null), preset.clone()),
            (
                json!({"rate": 2}),
                json!({"rate": 2, "net": preset["net"], "limit": 3}),
            ),
            (
                json!({"net": {"units": 6}}),
                json!({"rate": 1, "net": {"kind": "mlp", "units": 6, "norm": true}, "limit": 3}),
            ),
            (
                json!({"net": {"kind": "flatten"}, "more": 1}),
                json!({"rate": 1, "net": {"kind": "flatten"}, "limit": 3, "more": 1}),
            ),
        ] {
            assert_eq!(laid_over(&preset, &over), expected, "{over}");
        }
    }
}
