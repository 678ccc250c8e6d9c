//! Classic control.

use std::fmt::Debug;

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::Env;
use thorndike_envs::classic::{
    CartPole, CartPoleConfig, CartPoleState, Integrator, MountainCar, MountainCarConfig,
    MountainCarState,
};

use crate::records::{Trajectory, arguments, for_each_record, replay, rng, status};

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
