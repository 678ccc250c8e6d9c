//! Several tasks in one batch of environments, for one agent that learns all of them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::array::Array;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::registry::Registry;
use crate::seed::Seeds;
use crate::vector::{Batch, EnvOptions, EnvSpec, VectorEnv, join_rows, split_rows};

/// Id of a batch of several environments; its parameters are [`MixedConfig`].
pub const MIXED: &str = "mixed";

/// The tasks of a batch: row `i` is of task `i mod k`, where there are `k` of them.
///
/// Their observations, actions and words are of the same spaces; what tells them apart is in what is observed, such as the
/// mission of MiniGrid. Each task has its own time limit and its own random streams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedConfig {
    /// The tasks, in their order.
    pub tasks: Vec<MixedTask>,
}

/// One of several tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedTask {
    /// Its name in reports, unlike all others. Default the id of the environment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Id of the environment.
    pub id: String,
    /// The environment's own configuration.
    #[serde(default)]
    pub params: Value,
}

impl MixedConfig {
    /// With the defaults of all environments filled in.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no task, two have one name, or a parameter is not accepted.
    pub(crate) fn resolved(mut self, registry: &Registry) -> Result<Self> {
        if self.tasks.is_empty() {
            let what = "give at least one, such as [{ id = \"minigrid-empty\" }]";
            return Err(Error::config("tasks", what));
        }
        let mut names = BTreeSet::new();
        for (i, task) in self.tasks.iter_mut().enumerate() {
            let key = |key: &str| format!("tasks[{i}].{key}");
            if task.id == MIXED {
                let what = "a task of several has no tasks of its own; name an environment";
                return Err(Error::config(key("id"), what));
            }
            if task.name.is_empty() {
                task.name.clone_from(&task.id);
            }
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if task.name.len() > 60 || !task.name.chars().all(is_plain) {
                let what = format!(
                    "{:?} is no name; give up to 60 letters, digits, - and _",
                    task.name
                );
                return Err(Error::config(key("name"), what));
            }
            if !names.insert(task.name.clone()) {
                let what = format!(
                    "{:?} is there twice; give each task a name of its own",
                    task.name
                );
                return Err(Error::config(key("name"), what));
            }
            let resolved = registry.resolve_plain(&task.id, &task.params);
            task.params = resolved.map_err(|e| match e {
                unknown @ Error::Unknown { .. } => Error::config(key("id"), unknown.to_string()),
                other => other.under(&key("params")),
            })?;
        }
        Ok(self)
    }

    /// Builds the environments of all tasks, `options.num_envs` together.
    pub(crate) fn make(
        &self,
        registry: &Registry,
        options: &EnvOptions,
        seeds: Seeds,
    ) -> Result<MixedVectorEnv> {
        let (rows, tasks) = (options.num_envs, self.tasks.len());
        let mut members = Vec::new();
        for (i, task) in self.tasks.iter().enumerate() {
            let own = EnvOptions {
                num_envs: rows.saturating_sub(i).div_ceil(tasks).max(1),
                ..options.clone()
            };
            let seeds = seeds.child("env/task", i as u64);
            let member = registry.make_plain(&task.id, &task.params, &own, seeds);
            members.push(member.map_err(|e| e.under(&format!("tasks[{i}].params")))?);
        }
        let first = members[0].spec();
        let mut spec = EnvSpec {
            num_envs: rows,
            reward_threshold: None,
            reference: String::new(),
            tasks: self.tasks.iter().map(|task| task.name.clone()).collect(),
            ..first.clone()
        };
        for (i, (member, task)) in members.iter().zip(&self.tasks).enumerate() {
            let other = member.spec();
            let wrong = |what: &str, found: String, own: String| {
                let what = format!(
                    "{} has {what} {found}, {} {own}; tasks of one agent have the same",
                    task.name, self.tasks[0].name
                );
                Err(Error::config(format!("tasks[{i}]"), what))
            };
            let [found, own] = [other, first].map(EnvSpec::observation_space);
            if (&found, other.obs_kind) != (&own, first.obs_kind) {
                return wrong("observations", found.to_string(), own.to_string());
            }
            if other.action_space != first.action_space {
                let [found, own] = [other, first].map(|spec| spec.action_space.to_string());
                return wrong("actions", found, own);
            }
            if other.vocabulary != first.vocabulary {
                return wrong("words", "of its own".to_owned(), "others".to_owned());
            }
            spec.time_limit = spec.time_limit.zip(other.time_limit).map(|(a, b)| a.max(b));
        }
        if rows < tasks {
            let what = format!(
                "{rows} environments are less than one of each of {tasks} tasks; give {tasks} or more in env.num_envs"
            );
            return Err(Error::config("tasks", what));
        }
        let kind = spec.obs_kind;
        let obs = Array::zeros_of(kind, rows, spec.observation_space().len());
        let mut mixed = MixedVectorEnv {
            batch: Batch {
                next_obs: obs.clone(),
                obs,
                rewards: vec![0.0; rows],
                status: vec![crate::env::Status::Running; rows],
            },
            actions: members.iter().map(|member| member.new_actions()).collect(),
            members,
            spec,
        };
        mixed.gather_obs();
        Ok(mixed)
    }
}

/// Environments of several tasks as one batch; see [`MixedConfig`].
pub struct MixedVectorEnv {
    members: Vec<Box<dyn VectorEnv>>,
    /// Room for the actions of each.
    actions: Vec<Array>,
    spec: EnvSpec,
    batch: Batch,
}

impl MixedVectorEnv {
    fn gather_obs(&mut self) {
        let tasks = self.members.len();
        for row in 0..self.spec.num_envs {
            let member = self.members[row % tasks].batch();
            self.batch.obs.copy_row(row, &member.obs, row / tasks);
        }
    }
}

impl fmt::Debug for MixedVectorEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MixedVectorEnv")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

impl VectorEnv for MixedVectorEnv {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn batch(&self) -> &Batch {
        &self.batch
    }

    fn reset(&mut self) {
        self.members.iter_mut().for_each(|member| member.reset());
        self.gather_obs();
    }

    fn step(&mut self, actions: &Array) {
        let tasks = self.members.len();
        for row in 0..self.spec.num_envs {
            self.actions[row % tasks].copy_row(row / tasks, actions, row);
        }
        for (member, actions) in self.members.iter_mut().zip(&self.actions) {
            member.step(actions);
        }
        let Batch {
            next_obs,
            rewards,
            status,
            ..
        } = &mut self.batch;
        for row in 0..self.spec.num_envs {
            let (member, own) = (self.members[row % tasks].batch(), row / tasks);
            next_obs.copy_row(row, &member.next_obs, own);
            rewards[row] = member.rewards[own];
            status[row] = member.status[own];
        }
    }

    fn advance(&mut self) {
        self.members.iter_mut().for_each(|member| member.advance());
        self.gather_obs();
    }

    fn save(&self) -> Result<Vec<u8>> {
        let members = self.members.iter().map(|member| member.save());
        join_rows(&members.collect::<Result<Vec<_>>>()?)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let saved = split_rows(bytes, self.members.len())?;
        for (member, bytes) in self.members.iter_mut().zip(saved) {
            member.load(&bytes)?;
        }
        self.gather_obs();
        Ok(())
    }

    fn action_mask(&self, index: usize, mask: &mut [bool]) {
        let tasks = self.members.len();
        self.members[index % tasks].action_mask(index / tasks, mask);
    }

    fn render(&self, index: usize) -> Option<String> {
        let tasks = self.members.len();
        self.members[index % tasks].render(index / tasks)
    }

    fn draw(&self, index: usize) -> Option<Picture> {
        let tasks = self.members.len();
        self.members[index % tasks].draw(index / tasks)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Env, Rng, Space, Step};

    /// Ends after `len` steps, each worth `len`; shows the steps that are left.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Count {
        len: u8,
        wide: bool,
    }

    impl Default for Count {
        fn default() -> Self {
            Self {
                len: 3,
                wide: false,
            }
        }
    }

    impl Env for Count {
        type State = u8;
        type Obs = u8;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Box {
                shape: vec![if self.wide { 2 } else { 1 }],
                low: 0.0,
                high: 255.0,
            }
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn reset(&self, _: &mut Rng) -> u8 {
            self.len
        }
        fn step(&self, left: &mut u8, _: usize, _: &mut Rng) -> Step {
            *left -= 1;
            match *left {
                0 => Step::terminal(self.len.into()),
                _ => Step::running(self.len.into()),
            }
        }
        fn observe(&self, left: &u8, obs: &mut [u8]) {
            obs.fill(*left);
        }
    }

    fn registry() -> Registry {
        Registry::new().env("count", |config: &Count| Ok(config.clone()))
    }

    fn made(tasks: Value, num_envs: usize) -> Result<Box<dyn VectorEnv>> {
        let options = EnvOptions {
            num_envs,
            ..EnvOptions::default()
        };
        let registry = registry();
        let params = registry.resolve_env(MIXED, &json!({ "tasks": tasks }))?;
        registry.make_envs(MIXED, &params, &options, Seeds::new(1))
    }

    #[test]
    fn row_i_is_of_task_i_mod_k() {
        let tasks = json!([{"name": "two", "id": "count", "params": {"len": 2}}, {"id": "count"}]);
        let mut envs = made(tasks, 5).unwrap();
        assert_eq!(envs.spec().tasks, ["two", "count"]);
        assert_eq!(envs.batch().obs.as_slice::<u8>(), [2, 3, 2, 3, 2]);
        let actions = envs.new_actions();
        envs.step(&actions);
        assert_eq!(envs.batch().rewards, [2.0, 3.0, 2.0, 3.0, 2.0]);
        envs.advance();
        let saved = envs.save().unwrap();
        envs.step(&actions);
        let over: Vec<bool> = envs.batch().status.iter().map(|s| s.is_over()).collect();
        assert_eq!(over, [true, false, true, false, true]);
        assert_eq!(envs.batch().next_obs.as_slice::<u8>(), [0, 1, 0, 1, 0]);
        envs.advance();
        assert_eq!(envs.batch().obs.as_slice::<u8>(), [2, 1, 2, 1, 2]);
        envs.load(&saved).unwrap();
        assert_eq!(envs.batch().obs.as_slice::<u8>(), [1, 2, 1, 2, 1]);
    }

    #[test]
    fn tasks_that_do_not_go_together_are_refused_by_key() {
        for (tasks, num_envs, expected) in [
            (json!([]), 1, "env.params.tasks: give at least one"),
            (
                json!([{"id": "count"}, {"id": "count"}]),
                2,
                "env.params.tasks[1].name: \"count\" is there twice",
            ),
            (
                json!([{"id": "count"}, {"name": "b", "id": "count", "params": {"wide": true}}]),
                2,
                "env.params.tasks[1]: b has observations box(2; 0..255), count box(1; 0..255)",
            ),
            (
                json!([{"id": "count"}, {"id": "cuont"}]),
                2,
                "env.params.tasks[1].id: no environment named \"cuont\"",
            ),
            (
                json!([{"id": "count", "params": {"length": 2}}]),
                1,
                "env.params.tasks[0].params.length: unknown field",
            ),
            (
                json!([{"id": "count"}, {"name": "b", "id": "count"}]),
                1,
                "env.params.tasks: 1 environments are less than one of each of 2 tasks",
            ),
        ] {
            let error = made(tasks, num_envs).err().unwrap().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
