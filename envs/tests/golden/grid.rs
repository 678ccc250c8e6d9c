//! Tables of the grid worlds, and episodes in them.

use std::cell::Cell;
use std::fmt::Debug;

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::{Env, FiniteMdp, NumpyRng, Status};
use thorndike_envs::grid::{
    CliffWalking, CliffWalkingConfig, Dynamics, FickleTaxi, FickleTaxiConfig, FrozenLake,
    FrozenLakeConfig, Map, NamedMap, Taxi, TaxiConfig, TaxiVersion,
};

use crate::records::{Trajectory, arguments, for_each_record, replay, status};

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

/// A draw by numpy's generator: method, arguments, value.
type Draw = (String, Value, Value);

#[derive(Deserialize)]
struct Episode {
    id: String,
    env: String,
    kwargs: Value,
    seed: u64,
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
        self.check_start(env, &start);
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

    /// Compares `start` with what numpy's generator draws from the seed.
    fn check_start<E: Env<State: PartialEq + Debug>>(&self, env: &E, start: &E::State) {
        let drawn = env.numpy_reset(&mut NumpyRng::new(self.seed));
        assert_eq!(drawn.as_ref(), Some(start), "{}: start by seed", self.id);
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

fn mask(taxi: &Taxi, state: usize) -> Vec<u8> {
    let mut mask = [false; 6];
    taxi.action_mask(&(state as u32), &mut mask);
    mask.map(u8::from).to_vec()
}

#[test]
fn golden_taxi_tables() {
    for_each_record("taxi", "tables", |table: Table| {
        let (taxi, ..) = taxi(&table.id, &table.env, &table.kwargs);
        assert_eq!(table.max_episode_steps, taxi.time_limit(), "{}", table.id);
        for (state, expected) in table.action_mask.iter().flatten().enumerate() {
            assert_eq!(
                &mask(&taxi, state),
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
    for_each_record("taxi", "episodes", |episode: Episode| {
        let (taxi, kwargs, version) = taxi(&episode.id, &episode.env, &episode.kwargs);
        let states = std::iter::once(&episode.obs0).chain(&episode.obs);
        for (&state, expected) in states.zip(episode.masks.iter().flatten()) {
            assert_eq!(
                &mask(&taxi, state as usize),
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
    episode.check_start(&env, &start);
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
