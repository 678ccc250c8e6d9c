//! Classic control.

use std::fmt::Debug;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thorndike_core::{Env, NumpyRng, Step};
use thorndike_envs::classic::{
    Acrobot, AcrobotConfig, AcrobotState, BookOrNips, CartPole, CartPoleState, MountainCar,
    MountainCarContinuous, MountainCarContinuousState, MountainCarState, Pendulum, PendulumState,
};

use crate::records::{Taken, Trajectory, arguments, for_each_record, replay, rng, status};

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Classic<A> {
    Rollout {
        id: String,
        env: String,
        kwargs: Value,
        attrs: Value,
        max_episode_steps: Option<u32>,
        state0: Vec<f64>,
        obs0: Vec<f64>,
        actions: Vec<A>,
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
        action: Vec<A>,
        next_state: Vec<Vec<f64>>,
        obs: Vec<Vec<f64>>,
        reward: Vec<f64>,
        terminated: Vec<u8>,
    },
    /// Drawn by numpy's generator from a seed.
    Reset {
        env: String,
        seed: u64,
        state: Vec<f64>,
        obs: Vec<f64>,
    },
}

/// Replays one record of a problem whose state is a few numbers.
///
/// An action of one number is recorded as that number, `A`.
fn check_classic<E, A>(
    record: Classic<A>,
    env_id: &str,
    make: impl Fn(&str, &Value, &Value) -> E,
    read: fn(&[f64]) -> E::State,
    write: fn(&E::State) -> Vec<f64>,
    action: fn(A) -> E::Action,
    same_reward: fn(f32, f64) -> bool,
) -> usize
where
    E: Env<Obs = f32, Action: Taken>,
    E::State: Sync + Debug,
    A: Copy,
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
            let actions: Vec<E::Action> = actions.into_iter().map(action).collect();
            let trajectory = Trajectory {
                id: &id,
                obs0,
                actions: &actions,
                obs,
                rewards: &rewards,
                status: status(&terminated, &truncated),
                time_limit: max_episode_steps,
            };
            let step = |state: &mut E::State, action, t: usize| {
                let step = env.step(state, action, &mut rng());
                let reward = step.reward;
                assert!(
                    same_reward(reward, rewards[t]),
                    "{id}: reward {t}: {reward}"
                );
                Step {
                    reward: rewards[t] as f32,
                    ..step
                }
            };
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
            action: actions,
            next_state,
            obs,
            reward,
            terminated,
        } => {
            assert_eq!(env, env_id);
            let env = make(&id, &kwargs, &attrs);
            for (i, &taken) in actions.iter().enumerate() {
                let mut at = read(&state[i]);
                let step = env.step(&mut at, action(taken), &mut rng());
                assert_eq!(bits(&write(&at)), bits(&next_state[i]), "{id}: state {i}");
                assert_eq!(observed(&env, &at), obs[i], "{id}: observation {i}");
                assert!(same_reward(step.reward, reward[i]), "{id}: reward {i}");
                assert_eq!(
                    !step.status.bootstraps(),
                    terminated[i] != 0,
                    "{id}: end {i}"
                );
            }
            actions.len()
        }
        Classic::Reset {
            env,
            seed,
            state,
            obs,
        } => {
            assert_eq!(env, env_id);
            let empty = serde_json::json!({});
            let env = make("reset", &empty, &empty);
            let start = env.numpy_reset(&mut NumpyRng::new(seed)).unwrap();
            assert_eq!(bits(&write(&start)), bits(&state), "state of seed {seed}");
            assert_eq!(observed(&env, &start), obs, "observation of seed {seed}");
            1
        }
    }
}

fn discrete(action: usize) -> usize {
    action
}

fn continuous(action: f32) -> [f32; 1] {
    [action]
}

/// Rewards are recorded in double precision and given in single precision.
fn rounded(reward: f32, recorded: f64) -> bool {
    reward == recorded as f32
}

/// A configuration out of the arguments of a problem and the attributes set on the object, which go first; some are
/// called otherwise there: `(theirs, ours)`.
fn config<C: DeserializeOwned>(id: &str, given: [&Value; 2], names: &[(&str, &str)]) -> C {
    let mut ours = Map::new();
    for (key, value) in given
        .into_iter()
        .flat_map(|given| given.as_object().unwrap())
    {
        let renamed = names.iter().find(|(theirs, _)| theirs == key);
        let key = renamed.map_or(key.as_str(), |(_, ours)| ours);
        ours.insert(key.into(), value.clone());
    }
    arguments(id, &ours.into())
}

fn cart_pole(id: &str, kwargs: &Value, attrs: &Value) -> CartPole {
    let names = [
        ("force_mag", "force_n"),
        ("tau", "time_step_s"),
        ("x_threshold", "position_limit_m"),
        ("theta_threshold_radians", "angle_limit_rad"),
    ];
    CartPole::new(&config(id, [kwargs, attrs], &names)).unwrap()
}

#[test]
fn golden_cart_pole() {
    let read = |state: &[f64]| CartPoleState::from(<[f64; 4]>::try_from(state).unwrap());
    let write = |s: &CartPoleState| vec![s.position, s.velocity, s.angle, s.angular_velocity];
    for_each_record("cartpole", "trajectories", |record| {
        check_classic(
            record,
            "CartPole-v1",
            cart_pole,
            read,
            write,
            discrete,
            rounded,
        )
    });
}

fn mountain_car(id: &str, kwargs: &Value, attrs: &Value) -> MountainCar {
    MountainCar::new(&config(id, [kwargs, attrs], &[])).unwrap()
}

#[test]
fn golden_mountain_car() {
    let read = |state: &[f64]| MountainCarState {
        position: state[0],
        velocity: state[1],
    };
    let write = |s: &MountainCarState| vec![s.position, s.velocity];
    for_each_record("mountain_car", "trajectories", |record| {
        check_classic(
            record,
            "MountainCar-v0",
            mountain_car,
            read,
            write,
            discrete,
            rounded,
        )
    });
}

fn mountain_car_continuous(id: &str, kwargs: &Value, attrs: &Value) -> MountainCarContinuous {
    MountainCarContinuous::new(&config(id, [kwargs, attrs], &[])).unwrap()
}

#[test]
fn golden_mountain_car_continuous() {
    // Only a start has more than single precision.
    let read = |state: &[f64]| MountainCarContinuousState {
        position: state[0],
        velocity: state[1],
        at_start: state[0] != f64::from(state[0] as f32),
    };
    let write = |s: &MountainCarContinuousState| vec![s.position, s.velocity];
    let id = "MountainCarContinuous-v0";
    for_each_record("mountain_car_continuous", "trajectories", |record| {
        let make = mountain_car_continuous;
        check_classic(record, id, make, read, write, continuous, rounded)
    });
}

/// All of them can only be set on the object.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AcrobotAttributes {
    book_or_nips: Option<BookOrNips>,
    #[serde(rename = "LINK_LENGTH_1")]
    link_length_1: Option<f64>,
    #[serde(rename = "LINK_LENGTH_2")]
    link_length_2: Option<f64>,
    #[serde(rename = "LINK_MASS_1")]
    link_mass_1: Option<f64>,
    #[serde(rename = "LINK_MASS_2")]
    link_mass_2: Option<f64>,
    #[serde(rename = "LINK_COM_POS_1")]
    link_com_pos_1: Option<f64>,
    #[serde(rename = "LINK_COM_POS_2")]
    link_com_pos_2: Option<f64>,
    #[serde(rename = "LINK_MOI")]
    link_moi: Option<f64>,
    #[serde(rename = "MAX_VEL_1")]
    max_vel_1: Option<f64>,
    #[serde(rename = "MAX_VEL_2")]
    max_vel_2: Option<f64>,
    #[serde(rename = "AVAIL_TORQUE")]
    avail_torque: Option<[f64; 3]>,
    dt: Option<f64>,
}

fn acrobot(id: &str, kwargs: &Value, attrs: &Value) -> Acrobot {
    assert_eq!(kwargs, &serde_json::json!({}), "{id}: cannot be replayed");
    let attrs: AcrobotAttributes = arguments(id, attrs);
    let default = AcrobotConfig::default();
    let pair = |first: Option<f64>, second: Option<f64>, default: [f64; 2]| {
        [first.unwrap_or(default[0]), second.unwrap_or(default[1])]
    };
    Acrobot::new(&AcrobotConfig {
        book_or_nips: attrs.book_or_nips.unwrap_or(default.book_or_nips),
        link_lengths_m: pair(
            attrs.link_length_1,
            attrs.link_length_2,
            default.link_lengths_m,
        ),
        link_masses_kg: pair(attrs.link_mass_1, attrs.link_mass_2, default.link_masses_kg),
        link_centers_m: pair(
            attrs.link_com_pos_1,
            attrs.link_com_pos_2,
            default.link_centers_m,
        ),
        link_inertia: attrs.link_moi.unwrap_or(default.link_inertia),
        max_speeds: pair(attrs.max_vel_1, attrs.max_vel_2, default.max_speeds),
        torques_nm: attrs.avail_torque.unwrap_or(default.torques_nm),
        time_step_s: attrs.dt.unwrap_or(default.time_step_s),
    })
    .unwrap()
}

#[test]
fn golden_acrobot() {
    let read = |state: &[f64]| AcrobotState::from(<[f64; 4]>::try_from(state).unwrap());
    let write = |s: &AcrobotState| vec![s.theta1, s.theta2, s.omega1, s.omega2];
    for_each_record("acrobot", "trajectories", |record| {
        check_classic(
            record,
            "Acrobot-v1",
            acrobot,
            read,
            write,
            discrete,
            rounded,
        )
    });
}

fn pendulum(id: &str, kwargs: &Value, attrs: &Value) -> Pendulum {
    let names = [
        ("g", "gravity"),
        ("m", "mass_kg"),
        ("l", "length_m"),
        ("max_torque", "max_torque_nm"),
        ("dt", "time_step_s"),
    ];
    Pendulum::new(&config(id, [kwargs, attrs], &names)).unwrap()
}

#[test]
fn golden_pendulum() {
    let read = |state: &[f64]| PendulumState::from([state[0], state[1]]);
    let write = |s: &PendulumState| vec![s.angle, s.velocity];
    // 1e-9: numpy squares the torque by powf, which is not always the product; and one f32 rounding.
    let near = |reward: f32, recorded: f64| {
        let rounding = recorded.abs() * f64::from(f32::EPSILON) / 2.0;
        (f64::from(reward) - recorded).abs() <= 1e-9 + rounding
    };
    for_each_record("pendulum", "trajectories", |record| {
        check_classic(
            record,
            "Pendulum-v1",
            pendulum,
            read,
            write,
            continuous,
            near,
        )
    });
}
