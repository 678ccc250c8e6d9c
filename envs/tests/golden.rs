//! Parity with recorded episodes and tables of Gymnasium and bsuite, step for step.
//!
//! The records lie in `tests/golden` of the repository and in the folder that `THORNDIKE_GOLDEN` names (a
//! relative path starts at the workspace; default `../shared/golden`, passed over where there is none).
//! Other records of the same form can be run through these tests that way. An argument of an
//! environment that is not known here fails the test; it is never passed over.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::cell::Cell;
use std::fmt::Debug;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thorndike_core::{
    Array, Element, Env, EnvOptions, FiniteMdp, Rng, Seeds, Space, Status, Step, SyncVectorEnv,
    VectorEnv,
};
use thorndike_envs::classic::{
    CartPole, CartPoleConfig, CartPoleState, Integrator, MountainCar, MountainCarConfig,
    MountainCarState,
};
use thorndike_envs::grid::{
    CliffWalking, CliffWalkingConfig, Dynamics, FickleTaxi, FickleTaxiConfig, FrozenLake,
    FrozenLakeConfig, Map, NamedMap, Taxi, TaxiConfig, TaxiVersion,
};
use thorndike_envs::probe::{
    Catch, CatchConfig, DeepSea, DeepSeaConfig, MemoryChain, MemoryChainConfig, MemoryChainState,
};

// ---- files --------------------------------------------------------------------------------------

/// Past the capture of test output, so that a test that was passed over is seen.
fn tell(line: &str) {
    let line = format!("golden: {line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The folders that hold records.
fn roots() -> Vec<PathBuf> {
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
fn for_each_record<T: DeserializeOwned>(
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
fn arguments<T: DeserializeOwned>(id: &str, value: &Value) -> T {
    serde_json::from_value(value.clone())
        .unwrap_or_else(|e| panic!("{id}: cannot be replayed: {e}"))
}

// ---- replay -------------------------------------------------------------------------------------

/// What a trajectory shows.
struct Trajectory<'a> {
    id: &'a str,
    obs0: Vec<f64>,
    actions: &'a [usize],
    obs: Vec<Vec<f64>>,
    rewards: &'a [f64],
    status: Vec<Status>,
    time_limit: Option<u32>,
}

/// Terminated wins where both are set.
fn status(terminated: &[u8], truncated: &[u8]) -> Vec<Status> {
    let pairs = terminated.iter().zip(truncated);
    pairs
        .map(|flags| match flags {
            (0, 0) => Status::Running,
            (0, _) => Status::Truncated,
            _ => Status::Terminated,
        })
        .collect()
}

/// Starts where a record starts and draws what it drew, so that it goes through the vector environment.
struct Recorded<T, S, F, O> {
    observation_space: Space,
    num_actions: usize,
    start: S,
    /// Of state, action, and number of the step.
    step: F,
    observe: O,
    scalar: std::marker::PhantomData<fn() -> T>,
}

impl<T, S, F, O> Env for Recorded<T, S, F, O>
where
    T: Element,
    S: Clone + Send + Sync + Serialize + DeserializeOwned,
    F: Fn(&mut S, usize, usize) -> Step + Send + Sync,
    O: Fn(&S, &mut [T]) + Send + Sync,
{
    type State = (S, usize);
    type Obs = T;
    type Action = usize;
    fn observation_space(&self) -> Space {
        self.observation_space.clone()
    }
    fn action_space(&self) -> Space {
        Space::Discrete(self.num_actions)
    }
    fn reset(&self, _: &mut Rng) -> (S, usize) {
        (self.start.clone(), 0)
    }
    fn step(&self, state: &mut (S, usize), action: usize, _: &mut Rng) -> Step {
        let step = (self.step)(&mut state.0, action, state.1);
        state.1 += 1;
        step
    }
    fn observe(&self, state: &(S, usize), obs: &mut [T]) {
        (self.observe)(&state.0, obs);
    }
}

/// Plays `trajectory` from `start` by `step` through a vector environment and compares everything.
fn replay<E, S, F>(
    env: &E,
    trajectory: &Trajectory<'_>,
    start: S,
    step: F,
    observe: fn(&E, &S, &mut [E::Obs]),
    mut check_state: impl FnMut(usize, &S),
) -> usize
where
    E: Env<Action = usize>,
    E::Obs: Into<f64>,
    S: Clone + Send + Sync + Serialize + DeserializeOwned,
    F: Fn(&mut S, usize, usize) -> Step + Send + Sync,
{
    let Trajectory { id, actions, .. } = *trajectory;
    let recorded = Recorded {
        observation_space: env.observation_space(),
        num_actions: env.action_space().discrete().unwrap(),
        start,
        step,
        observe: |state: &S, obs: &mut [E::Obs]| observe(env, state, obs),
        scalar: std::marker::PhantomData,
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
        action.row_mut::<i32>(0)[0] = taken as i32;
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

fn rng() -> Rng {
    Seeds::new(0).stream("golden", 0)
}

// ---- classic ------------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Classic {
    Rollout {
        id: String,
        env: String,
        kwargs: Value,
        attrs: Value,
        max_episode_steps: Option<u32>,
        state0: Vec<f64>,
        obs0: Vec<f64>,
        actions: Vec<usize>,
        states: Vec<Vec<f64>>,
        obs: Vec<Vec<f64>>,
        rewards: Vec<f64>,
        terminated: Vec<u8>,
        truncated: Vec<u8>,
    },
    Steps {
        id: String,
        env: String,
        kwargs: Value,
        attrs: Value,
        state: Vec<Vec<f64>>,
        action: Vec<usize>,
        next_state: Vec<Vec<f64>>,
        obs: Vec<Vec<f64>>,
        reward: Vec<f64>,
        terminated: Vec<u8>,
    },
    /// Drawn by numpy's generator from a seed, which is not reproduced: only the observation is checked.
    Reset {
        env: String,
        state: Vec<f64>,
        obs: Vec<f64>,
    },
}

/// Replays one record of a problem whose state is a few numbers.
fn check_classic<E>(
    record: Classic,
    env_id: &str,
    make: impl Fn(&str, &Value, &Value) -> E,
    read: fn(&[f64]) -> E::State,
    write: fn(&E::State) -> Vec<f64>,
) -> usize
where
    E: Env<Obs = f32, Action = usize>,
    E::State: Sync + Debug,
{
    let observed = |env: &E, state: &E::State| {
        let mut obs = vec![0.0; env.observation_space().len()];
        env.observe(state, &mut obs);
        obs.into_iter().map(f64::from).collect::<Vec<f64>>()
    };
    // Bit for bit: 0.0 and -0.0 differ.
    let bits = |state: &[f64]| -> Vec<u64> { state.iter().map(|x| x.to_bits()).collect() };
    match record {
        Classic::Rollout {
            id,
            env,
            kwargs,
            attrs,
            max_episode_steps,
            state0,
            obs0,
            actions,
            states,
            obs,
            rewards,
            terminated,
            truncated,
        } => {
            assert_eq!(env, env_id);
            let env = make(&id, &kwargs, &attrs);
            let trajectory = Trajectory {
                id: &id,
                obs0,
                actions: &actions,
                obs,
                rewards: &rewards,
                status: status(&terminated, &truncated),
                time_limit: max_episode_steps,
            };
            let step = |state: &mut E::State, action, _| env.step(state, action, &mut rng());
            replay(
                &env,
                &trajectory,
                read(&state0),
                step,
                E::observe,
                |t, state| {
                    assert_eq!(
                        bits(&write(state)),
                        bits(&states[t]),
                        "{id}: state {t}: {state:?}"
                    );
                },
            )
        }
        Classic::Steps {
            id,
            env,
            kwargs,
            attrs,
            state,
            action,
            next_state,
            obs,
            reward,
            terminated,
        } => {
            assert_eq!(env, env_id);
            let env = make(&id, &kwargs, &attrs);
            for (i, &action) in action.iter().enumerate() {
                let mut at = read(&state[i]);
                let step = env.step(&mut at, action, &mut rng());
                assert_eq!(bits(&write(&at)), bits(&next_state[i]), "{id}: state {i}");
                assert_eq!(observed(&env, &at), obs[i], "{id}: observation {i}");
                assert_eq!(step.reward, reward[i] as f32, "{id}: reward {i}");
                assert_eq!(
                    !step.status.bootstraps(),
                    terminated[i] != 0,
                    "{id}: end {i}"
                );
            }
            action.len()
        }
        Classic::Reset { env, state, obs } => {
            assert_eq!(env, env_id);
            let empty = serde_json::json!({});
            let env = make("reset", &empty, &empty);
            assert_eq!(
                observed(&env, &read(&state)),
                obs,
                "observation of {state:?}"
            );
            1
        }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CartPoleArguments {
    sutton_barto_reward: bool,
}

impl Default for CartPoleArguments {
    fn default() -> Self {
        let sutton_barto_reward = CartPoleConfig::default().sutton_barto_reward;
        Self {
            sutton_barto_reward,
        }
    }
}

/// What can be set on the object without contradicting its other attributes: the masses cannot.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CartPoleAttributes {
    kinematics_integrator: Option<Integrator>,
    gravity: Option<f64>,
    force_mag: Option<f64>,
    tau: Option<f64>,
    x_threshold: Option<f64>,
    theta_threshold_radians: Option<f64>,
}

fn cart_pole(id: &str, kwargs: &Value, attrs: &Value) -> CartPole {
    let CartPoleArguments {
        sutton_barto_reward,
    } = arguments(id, kwargs);
    let attrs: CartPoleAttributes = arguments(id, attrs);
    let default = CartPoleConfig::default();
    CartPole::new(&CartPoleConfig {
        sutton_barto_reward,
        kinematics_integrator: attrs
            .kinematics_integrator
            .unwrap_or(default.kinematics_integrator),
        gravity: attrs.gravity.unwrap_or(default.gravity),
        force_n: attrs.force_mag.unwrap_or(default.force_n),
        time_step_s: attrs.tau.unwrap_or(default.time_step_s),
        position_limit_m: attrs.x_threshold.unwrap_or(default.position_limit_m),
        angle_limit_rad: attrs
            .theta_threshold_radians
            .unwrap_or(default.angle_limit_rad),
        ..default
    })
    .unwrap()
}

#[test]
fn golden_cart_pole() {
    let read = |state: &[f64]| CartPoleState::from(<[f64; 4]>::try_from(state).unwrap());
    let write = |s: &CartPoleState| vec![s.position, s.velocity, s.angle, s.angular_velocity];
    for_each_record("cartpole", "trajectories", |record| {
        check_classic(record, "CartPole-v1", cart_pole, read, write)
    });
}

/// Gymnasium takes only the first one; the others can be set on the object.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MountainCarArguments {
    goal_velocity: Option<f64>,
    goal_position: Option<f64>,
    min_position: Option<f64>,
    max_position: Option<f64>,
    max_speed: Option<f64>,
    force: Option<f64>,
    gravity: Option<f64>,
}

fn mountain_car(id: &str, kwargs: &Value, attrs: &Value) -> MountainCar {
    let kwargs: MountainCarArguments = arguments(id, kwargs);
    let attrs: MountainCarArguments = arguments(id, attrs);
    let default = MountainCarConfig::default();
    let pick = |of: fn(&MountainCarArguments) -> Option<f64>, default| {
        of(&attrs).or(of(&kwargs)).unwrap_or(default)
    };
    MountainCar::new(&MountainCarConfig {
        goal_velocity: pick(|a| a.goal_velocity, default.goal_velocity),
        goal_position: pick(|a| a.goal_position, default.goal_position),
        min_position: pick(|a| a.min_position, default.min_position),
        max_position: pick(|a| a.max_position, default.max_position),
        max_speed: pick(|a| a.max_speed, default.max_speed),
        force: pick(|a| a.force, default.force),
        gravity: pick(|a| a.gravity, default.gravity),
    })
    .unwrap()
}

#[test]
fn golden_mountain_car() {
    let read = |state: &[f64]| MountainCarState {
        position: state[0],
        velocity: state[1],
    };
    let write = |s: &MountainCarState| vec![s.position, s.velocity];
    for_each_record("mountain_car", "trajectories", |record| {
        check_classic(record, "MountainCar-v0", mountain_car, read, write)
    });
}

// ---- grids: tables ------------------------------------------------------------------------------

/// Probability, next state, reward, terminated.
type Outcome = (f64, usize, f64, bool);

#[derive(Deserialize)]
struct Table {
    id: String,
    env: String,
    kwargs: Value,
    n_states: usize,
    n_actions: usize,
    max_episode_steps: Option<u32>,
    start: Vec<(usize, f64)>,
    /// `[state, action]`.
    #[serde(rename = "P")]
    p: Vec<Vec<Vec<Outcome>>>,
    action_mask: Option<Vec<Vec<u8>>>,
}

impl Table {
    /// Compares start and outcomes, in their order, number for number.
    fn check(&self, mdp: &dyn FiniteMdp) -> usize {
        let id = &self.id;
        assert_eq!(mdp.num_states(), self.n_states, "{id}");
        assert_eq!(mdp.num_actions(), self.n_actions, "{id}");
        let mut start = Vec::new();
        mdp.starts(&mut |probability, state| start.push((state, probability)));
        assert_eq!(start, self.start, "{id}: start");
        let mut compared = 0;
        for (state, actions) in self.p.iter().enumerate() {
            assert_eq!(actions.len(), self.n_actions, "{id}");
            for (action, expected) in actions.iter().enumerate() {
                let expected: Vec<_> = expected
                    .iter()
                    .map(|&(p, next, reward, terminated)| (p, next, reward as f32, terminated))
                    .collect();
                let mut found = Vec::new();
                mdp.outcomes(state, action, &mut |p, next, step| {
                    found.push((p, next, step.reward, step.status == Status::Terminated));
                });
                assert_eq!(found, expected, "{id}: state {state}, action {action}");
                compared += found.len();
            }
        }
        assert_eq!(self.p.len(), self.n_states, "{id}");
        compared
    }
}

// ---- grids: episodes ----------------------------------------------------------------------------

/// A draw by numpy's generator: method, arguments, value.
type Draw = (String, Value, Value);

#[derive(Deserialize)]
struct Episode {
    id: String,
    env: String,
    kwargs: Value,
    obs0: u32,
    reset_draws: Vec<Draw>,
    actions: Vec<usize>,
    draws: Vec<Vec<Draw>>,
    obs: Vec<u32>,
    rewards: Vec<f64>,
    terminated: Vec<u8>,
    truncated: Vec<u8>,
    probs: Vec<f64>,
    masks: Option<Vec<Vec<u8>>>,
}

/// The value of a draw that must be a uniform one.
fn uniform(draw: &Draw) -> f64 {
    let (method, _, value) = draw;
    assert_eq!(method, "random");
    value.as_f64().unwrap()
}

impl Episode {
    fn trajectory(&self, time_limit: Option<u32>) -> Trajectory<'_> {
        Trajectory {
            id: &self.id,
            obs0: vec![f64::from(self.obs0)],
            actions: &self.actions,
            obs: self.obs.iter().map(|&obs| vec![f64::from(obs)]).collect(),
            rewards: &self.rewards,
            status: status(&self.terminated, &self.truncated),
            time_limit,
        }
    }

    /// Replays an episode in which a step draws once.
    fn check<E>(&self, env: &E, dynamics: &Dynamics, time_limit: Option<u32>) -> usize
    where
        E: Env<State = u32, Obs = i32, Action = usize> + FiniteMdp,
    {
        let [start] = &self.reset_draws[..] else {
            panic!("{}: more than one draw at the start", self.id)
        };
        let start = dynamics.start(uniform(start));
        let step = |state: &mut u32, action, t: usize| {
            let [draw] = &self.draws[t][..] else {
                panic!("{}: not one draw at step {t}", self.id)
            };
            self.check_outcome(env, *state, action, uniform(draw), t);
            dynamics.step(state, action, uniform(draw))
        };
        let trajectory = self.trajectory(time_limit);
        replay(env, &trajectory, start, step, E::observe, |_, _| ())
    }

    /// Chooses by the slow rule from the table and compares with what the record did.
    fn check_outcome(&self, mdp: &dyn FiniteMdp, state: u32, action: usize, u: f64, t: usize) {
        let mut outcomes = Vec::new();
        mdp.outcomes(state as usize, action, &mut |p, next, _| {
            outcomes.push((p, next as u32))
        });
        let mut sum = 0.0;
        let chosen = outcomes.iter().find(|(p, _)| {
            sum += p;
            sum > u
        });
        let id = &self.id;
        assert_eq!(
            chosen,
            Some(&(self.probs[t], self.obs[t])),
            "{id}: outcome {t}"
        );
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FrozenLakeArguments {
    desc: Option<Vec<String>>,
    map_name: Option<NamedMap>,
    is_slippery: bool,
    success_rate: f64,
    reward_schedule: [f32; 3],
}

impl Default for FrozenLakeArguments {
    fn default() -> Self {
        let FrozenLakeConfig {
            slippery,
            success_rate,
            reward_schedule,
            ..
        } = FrozenLakeConfig::default();
        Self {
            desc: None,
            map_name: None,
            is_slippery: slippery,
            success_rate,
            reward_schedule,
        }
    }
}

/// The lake, and the time limit under the id `env`.
fn frozen_lake(id: &str, env: &str, kwargs: &Value) -> (FrozenLake, u32) {
    let (registered, limit) = match env {
        "FrozenLake-v1" => (NamedMap::FourByFour, 100),
        "FrozenLake8x8-v1" => (NamedMap::EightByEight, 200),
        _ => panic!("{id}: cannot be replayed: environment {env}"),
    };
    let kwargs: FrozenLakeArguments = arguments(id, kwargs);
    let name = kwargs.map_name.unwrap_or(registered);
    let lake = FrozenLake::new(&FrozenLakeConfig {
        map: kwargs.desc.clone().map_or(Map::Named(name), Map::Rows),
        slippery: kwargs.is_slippery,
        success_rate: kwargs.success_rate,
        reward_schedule: kwargs.reward_schedule,
    })
    .unwrap();
    if kwargs.desc.is_none() && name == registered {
        assert_eq!(lake.time_limit(), Some(limit), "{id}: time limit");
    }
    (lake, limit)
}

#[test]
fn golden_frozen_lake_tables() {
    for_each_record("frozen_lake", "tables", |table: Table| {
        let (lake, limit) = frozen_lake(&table.id, &table.env, &table.kwargs);
        assert_eq!(table.max_episode_steps, Some(limit), "{}", table.id);
        table.check(&lake)
    });
}

#[test]
fn golden_frozen_lake_episodes() {
    for_each_record("frozen_lake", "episodes", |episode: Episode| {
        let (lake, limit) = frozen_lake(&episode.id, &episode.env, &episode.kwargs);
        episode.check(&lake, lake.dynamics(), Some(limit))
    });
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CliffWalkingArguments {
    is_slippery: Option<bool>,
}

fn cliff_walking(id: &str, env: &str, kwargs: &Value) -> CliffWalking {
    let registered = match env {
        "CliffWalking-v1" => false,
        "CliffWalkingSlippery-v1" => true,
        _ => panic!("{id}: cannot be replayed: environment {env}"),
    };
    let CliffWalkingArguments { is_slippery } = arguments(id, kwargs);
    let slippery = is_slippery.unwrap_or(registered);
    CliffWalking::new(&CliffWalkingConfig { slippery }).unwrap()
}

#[test]
fn golden_cliff_walking_tables() {
    for_each_record("cliff_walking", "tables", |table: Table| {
        let cliff = cliff_walking(&table.id, &table.env, &table.kwargs);
        assert_eq!(table.max_episode_steps, cliff.time_limit(), "{}", table.id);
        table.check(&cliff)
    });
}

#[test]
fn golden_cliff_walking_episodes() {
    for_each_record("cliff_walking", "episodes", |episode: Episode| {
        let cliff = cliff_walking(&episode.id, &episode.env, &episode.kwargs);
        episode.check(&cliff, cliff.dynamics(), cliff.time_limit())
    });
}

// ---- taxi ---------------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TaxiArguments {
    is_rainy: bool,
    rainy_probability: f64,
    fickle_passenger: bool,
    fickle_probability: f64,
}

impl Default for TaxiArguments {
    fn default() -> Self {
        Self {
            is_rainy: TaxiConfig::default().rainy,
            rainy_probability: TaxiConfig::default().rainy_probability,
            fickle_passenger: false,
            fickle_probability: FickleTaxiConfig::default().fickle_probability,
        }
    }
}

/// The taxi, and the arguments that it was made by.
fn taxi(id: &str, env: &str, kwargs: &Value) -> (Taxi, TaxiArguments, TaxiVersion) {
    let version = match env {
        "Taxi-v3" => TaxiVersion::V3,
        "Taxi-v4" => TaxiVersion::V4,
        _ => panic!("{id}: cannot be replayed: environment {env}"),
    };
    let kwargs: TaxiArguments = arguments(id, kwargs);
    let taxi = Taxi::new(&TaxiConfig {
        rainy: kwargs.is_rainy,
        rainy_probability: kwargs.rainy_probability,
        version,
    });
    (taxi.unwrap(), kwargs, version)
}

/// Gymnasium's mask says which actions would change the state without rain.
fn mask(dry: &Taxi, state: usize) -> Vec<u8> {
    let changes = |action| {
        let mut changes = false;
        dry.outcomes(state, action, &mut |_, next, _| changes = next != state);
        u8::from(changes)
    };
    (0..6).map(changes).collect()
}

#[test]
fn golden_taxi_tables() {
    let dry = Taxi::new(&TaxiConfig::default()).unwrap();
    for_each_record("taxi", "tables", |table: Table| {
        let (taxi, ..) = taxi(&table.id, &table.env, &table.kwargs);
        assert_eq!(table.max_episode_steps, taxi.time_limit(), "{}", table.id);
        for (state, expected) in table.action_mask.iter().flatten().enumerate() {
            assert_eq!(
                &mask(&dry, state),
                expected,
                "{}: mask of {state}",
                table.id
            );
        }
        table.check(&taxi)
    });
}

#[test]
fn golden_taxi_episodes() {
    let dry = Taxi::new(&TaxiConfig::default()).unwrap();
    for_each_record("taxi", "episodes", |episode: Episode| {
        let (taxi, kwargs, version) = taxi(&episode.id, &episode.env, &episode.kwargs);
        let states = std::iter::once(&episode.obs0).chain(&episode.obs);
        for (&state, expected) in states.zip(episode.masks.iter().flatten()) {
            assert_eq!(
                &mask(&dry, state as usize),
                expected,
                "{}: mask",
                episode.id
            );
        }
        if kwargs.fickle_passenger {
            check_fickle(&episode, &taxi, &kwargs, version)
        } else {
            episode.check(&taxi, taxi.dynamics(), taxi.time_limit())
        }
    });
}

/// Replays an episode in which a second draw of a step is the new destination.
fn check_fickle(
    episode: &Episode,
    taxi: &Taxi,
    kwargs: &TaxiArguments,
    version: TaxiVersion,
) -> usize {
    let id = &episode.id;
    let env = FickleTaxi::new(&FickleTaxiConfig {
        fickle_probability: kwargs.fickle_probability,
        rainy: kwargs.is_rainy,
        rainy_probability: kwargs.rainy_probability,
        version,
    })
    .unwrap();
    let [place, mind] = &episode.reset_draws[..] else {
        panic!("{id}: not two draws at the start")
    };
    let start = env.start_with(uniform(place), uniform(mind));
    let step = |state: &mut _, action, t: usize| {
        let before = thorndike_envs::grid::FickleTaxiState::clone(state);
        let (first, rest) = episode.draws[t].split_first().unwrap();
        let drawn = Cell::new(false);
        let turn = || {
            drawn.set(true);
            let [(method, _, destination)] = rest else {
                panic!("{id}: no new destination was drawn at step {t}")
            };
            assert_eq!(method, "choice");
            // Destinations count modulo 4, the last digit of the state.
            (destination.as_u64().unwrap() as usize + 4 - before.observed as usize % 4) % 4
        };
        let step = env.step_with(state, action, uniform(first), turn);
        assert_eq!(drawn.get(), !rest.is_empty(), "{id}: draws of step {t}");
        if !drawn.get() {
            episode.check_outcome(taxi, before.observed, action, uniform(first), t);
        }
        step
    };
    let trajectory = episode.trajectory(env.time_limit());
    replay(
        &env,
        &trajectory,
        start,
        step,
        FickleTaxi::observe,
        |_, _| (),
    )
}

// ---- bsuite -------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Bsuite {
    id: String,
    env: String,
    kwargs: Value,
    num_actions: usize,
    constant: Value,
    episodes: Vec<BsuiteEpisode>,
}

#[derive(Deserialize)]
struct BsuiteEpisode {
    hidden: Value,
    obs0: Vec<f64>,
    actions: Vec<usize>,
    obs: Vec<Vec<f64>>,
    rewards: Vec<f64>,
    discount: Vec<f64>,
    last: Vec<u8>,
}

impl Bsuite {
    /// Replays every episode from the state that `start` reads out of what its reset drew.
    fn check<E>(&self, env: &E, start: impl Fn(&Value) -> E::State) -> usize
    where
        E: Env<Obs = f32, Action = usize>,
        E::State: Sync,
    {
        assert_eq!(
            env.action_space(),
            Space::Discrete(self.num_actions),
            "{}",
            self.id
        );
        let episodes = self.episodes.iter();
        episodes
            .map(|episode| {
                let ends = episode.last.iter().zip(&episode.discount);
                let trajectory = Trajectory {
                    id: &self.id,
                    obs0: episode.obs0.clone(),
                    actions: &episode.actions,
                    obs: episode.obs.clone(),
                    rewards: &episode.rewards,
                    status: ends
                        .map(|(&last, &discount)| match (last, discount) {
                            (0, 1.0) => Status::Running,
                            (1, 0.0) => Status::Terminated,
                            other => panic!("{}: last and discount {other:?}", self.id),
                        })
                        .collect(),
                    time_limit: env.time_limit(),
                };
                let start = start(&episode.hidden);
                let step = |state: &mut E::State, action, _| env.step(state, action, &mut rng());
                replay(env, &trajectory, start, step, E::observe, |_, _| ())
            })
            .sum()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeepSeaArguments {
    size: usize,
    unscaled_move_cost: Option<f64>,
    randomize_actions: Option<bool>,
    /// Gives the mapping, which the record holds.
    #[serde(rename = "mapping_seed")]
    _mapping_seed: Option<u64>,
}

#[test]
fn golden_bsuite() {
    for_each_record("memory", "bsuite", |record: Bsuite| match &*record.env {
        "catch" => {
            let config: CatchConfig = arguments(&record.id, &record.kwargs);
            let catch = Catch::new(&config).unwrap();
            record.check(&catch, |hidden| {
                catch.start_with(hidden["ball_x"].as_u64().unwrap() as u32)
            })
        }
        "memory_chain" => {
            let config: MemoryChainConfig = arguments(&record.id, &record.kwargs);
            let chain = MemoryChain::new(&config).unwrap();
            record.check(&chain, |hidden| {
                let bits = hidden["context"].as_array().unwrap();
                MemoryChainState {
                    context: (0..bits.len())
                        .fold(0, |context, i| context | bits[i].as_u64().unwrap() << i),
                    query: hidden["query"].as_u64().unwrap() as u32,
                    steps: 0,
                }
            })
        }
        "deep_sea" => {
            let kwargs: DeepSeaArguments = arguments(&record.id, &record.kwargs);
            let default = DeepSeaConfig::default();
            let mapping: Vec<Vec<f64>> = arguments(&record.id, &record.constant["action_mapping"]);
            let sea = DeepSea::new(&DeepSeaConfig {
                size: kwargs.size,
                move_cost: kwargs.unscaled_move_cost.unwrap_or(default.move_cost),
                randomize_actions: kwargs.randomize_actions.unwrap_or(true),
                ..default
            });
            // The mapping names the action that goes right.
            let right = mapping.concat().iter().map(|&right| right == 1.0).collect();
            let sea = sea.unwrap().with_mapping(right);
            record.check(&sea, |_| sea.reset(&mut rng()))
        }
        // Environments that this crate does not have.
        "umbrella_chain" | "discounting_chain" => 0,
        other => panic!("{}: cannot be replayed: environment {other}", record.id),
    });
}
