//! Records: where they lie, and how one is played.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

use flate2::read::MultiGzDecoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thorndike_core::{
    Action, Array, Element, Env, EnvOptions, Rng, Seeds, Space, Status, Step, SyncVectorEnv,
    VectorEnv,
};

/// Past the capture of test output, so that a test that was passed over is seen.
pub(crate) fn tell(line: &str) {
    let line = format!("golden: {line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The folders that hold records.
pub(crate) fn roots() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut roots = vec![workspace.join("tests/golden")];
    let named = std::env::var_os("THORNDIKE_GOLDEN");
    let outer = workspace.join(named.as_deref().unwrap_or("../shared/golden".as_ref()));
    if outer.is_dir() {
        roots.push(outer);
    } else {
        assert!(
            named.is_none(),
            "THORNDIKE_GOLDEN: no folder {}",
            outer.display()
        );
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tell("skipped ../shared/golden: no such folder"));
    }
    roots
}

/// Runs `check` on every record of the files in `folder` whose name begins with `prefix`; it says how many
/// steps or rows it compared.
pub(crate) fn for_each_record<T: DeserializeOwned>(
    folder: &str,
    prefix: &str,
    mut check: impl FnMut(T) -> usize,
) {
    for root in roots() {
        let Ok(files) = std::fs::read_dir(root.join(folder)) else {
            tell(&format!(
                "skipped {folder}: no such folder in {}",
                root.display()
            ));
            continue;
        };
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(prefix) && name.ends_with(".jsonl.gz")
        });
        files.sort();
        if files.is_empty() {
            tell(&format!(
                "skipped {folder}/{prefix}*: no such file in {}",
                root.display()
            ));
        }
        for path in files {
            let reader = BufReader::new(MultiGzDecoder::new(File::open(&path).unwrap()));
            let (mut records, mut compared) = (0, 0);
            for (line, text) in reader.lines().enumerate() {
                let place = format!("{}, line {}", path.display(), line + 1);
                let record =
                    serde_json::from_str(&text.unwrap()).unwrap_or_else(|e| panic!("{place}: {e}"));
                compared += check(record);
                records += 1;
            }
            assert!(
                records > 0 && compared > 0,
                "{}: nothing compared",
                path.display()
            );
            tell(&format!(
                "{}: {records} records, {compared} comparisons",
                path.display()
            ));
        }
    }
}

/// The arguments of an environment; an unknown one panics.
pub(crate) fn arguments<T: DeserializeOwned>(id: &str, value: &Value) -> T {
    serde_json::from_value(value.clone())
        .unwrap_or_else(|e| panic!("{id}: cannot be replayed: {e}"))
}

/// What a trajectory shows.
pub(crate) struct Trajectory<'a, A = usize> {
    pub(crate) id: &'a str,
    pub(crate) obs0: Vec<f64>,
    pub(crate) actions: &'a [A],
    pub(crate) obs: Vec<Vec<f64>>,
    pub(crate) rewards: &'a [f64],
    pub(crate) status: Vec<Status>,
    pub(crate) time_limit: Option<u32>,
}

/// Terminated wins where both are set.
pub(crate) fn status(terminated: &[u8], truncated: &[u8]) -> Vec<Status> {
    let pairs = terminated.iter().zip(truncated);
    pairs
        .map(|flags| match flags {
            (0, 0) => Status::Running,
            (0, _) => Status::Truncated,
            _ => Status::Terminated,
        })
        .collect()
}

/// An action that goes into a row as it was recorded.
pub(crate) trait Taken: Action {
    fn write(self, row: &mut [Self::Scalar]);
}

impl Taken for usize {
    fn write(self, row: &mut [i32]) {
        row[0] = self as i32;
    }
}

impl<const N: usize> Taken for [f32; N] {
    fn write(self, row: &mut [f32]) {
        row.copy_from_slice(&self);
    }
}

/// Starts where a record starts and draws what it drew, so that it goes through the vector environment.
pub(crate) struct Recorded<A, T, S, F, O> {
    observation_space: Space,
    action_space: Space,
    start: S,
    /// Of state, action, and number of the step.
    step: F,
    observe: O,
    types: std::marker::PhantomData<fn(A) -> T>,
}

impl<A, T, S, F, O> Env for Recorded<A, T, S, F, O>
where
    A: Taken,
    T: Element,
    S: Clone + Send + Sync + Serialize + DeserializeOwned,
    F: Fn(&mut S, A, usize) -> Step + Send + Sync,
    O: Fn(&S, &mut [T]) + Send + Sync,
{
    type State = (S, usize);
    type Obs = T;
    type Action = A;
    fn observation_space(&self) -> Space {
        self.observation_space.clone()
    }
    fn action_space(&self) -> Space {
        self.action_space.clone()
    }
    fn reset(&self, _: &mut Rng) -> (S, usize) {
        (self.start.clone(), 0)
    }
    fn step(&self, state: &mut (S, usize), action: A, _: &mut Rng) -> Step {
        let step = (self.step)(&mut state.0, action, state.1);
        state.1 += 1;
        step
    }
    fn observe(&self, state: &(S, usize), obs: &mut [T]) {
        (self.observe)(&state.0, obs);
    }
}

/// Plays `trajectory` from `start` by `step` through a vector environment and compares everything.
pub(crate) fn replay<E, S, F>(
    env: &E,
    trajectory: &Trajectory<'_, E::Action>,
    start: S,
    step: F,
    observe: fn(&E, &S, &mut [E::Obs]),
    mut check_state: impl FnMut(usize, &S),
) -> usize
where
    E: Env<Action: Taken>,
    E::Obs: Into<f64>,
    S: Clone + Send + Sync + Serialize + DeserializeOwned,
    F: Fn(&mut S, E::Action, usize) -> Step + Send + Sync,
{
    let Trajectory { id, actions, .. } = *trajectory;
    let recorded = Recorded {
        observation_space: env.observation_space(),
        action_space: env.action_space(),
        start,
        step,
        observe: |state: &S, obs: &mut [E::Obs]| observe(env, state, obs),
        types: std::marker::PhantomData,
    };
    let options = EnvOptions {
        time_limit: Some(trajectory.time_limit.unwrap_or(0)),
        ..Default::default()
    };
    let mut envs = SyncVectorEnv::new(recorded, &options, Seeds::new(0)).unwrap();
    let seen =
        |obs: &Array| -> Vec<f64> { obs.row::<E::Obs>(0).iter().map(|&x| x.into()).collect() };
    assert_eq!(
        seen(&envs.batch().obs),
        trajectory.obs0,
        "{id}: first observation"
    );
    let lengths = [
        trajectory.obs.len(),
        trajectory.rewards.len(),
        trajectory.status.len(),
    ];
    assert_eq!(lengths, [actions.len(); 3], "{id}: lengths");
    let mut action = envs.new_actions();
    for (t, &taken) in actions.iter().enumerate() {
        taken.write(action.row_mut(0));
        envs.step(&action);
        let batch = envs.batch();
        check_state(t, &envs.states()[0].0);
        assert_eq!(
            seen(&batch.next_obs),
            trajectory.obs[t],
            "{id}: observation {t}"
        );
        assert_eq!(
            batch.rewards[0], trajectory.rewards[t] as f32,
            "{id}: reward {t}"
        );
        assert_eq!(batch.status[0], trajectory.status[t], "{id}: status {t}");
        // Some records go on past the end on purpose; a reset would not.
        if !batch.status[0].is_over() {
            envs.advance();
        }
    }
    actions.len()
}

pub(crate) fn rng() -> Rng {
    Seeds::new(0).stream("golden", 0)
}
