//! Lunar Lander: every body after every step, bit for bit.

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::{Env, Step};
use thorndike_envs::box2d::{
    LunarLander, LunarLanderBody, LunarLanderConfig, LunarLanderContinuous, LunarLanderDraws,
    LunarLanderState,
};

use crate::records::{arguments, for_each_record, status};

#[derive(Deserialize)]
struct Flight {
    id: String,
    env: String,
    kwargs: Value,
    terrain_draw: [f64; 12],
    initial_force: [f64; 2],
    wind_idx: Option<[i64; 2]>,
    reset_dispersion: [f64; 2],
    obs0: [f32; 8],
    bodies0: [Body; 3],
    actions: Value,
    dispersion: Vec<[f64; 2]>,
    obs: Vec<[f32; 8]>,
    rewards: Vec<f64>,
    terminated: Vec<u8>,
    truncated: Vec<u8>,
    bodies: Vec<[Body; 3]>,
    contacts: Vec<[u8; 3]>,
}

/// x, y, angle, their velocities, awake.
type Body = [f32; 7];

fn read(body: Body) -> LunarLanderBody {
    let [x, y, angle, vx, vy, angular_velocity, awake] = body;
    LunarLanderBody {
        position: [x, y],
        angle,
        velocity: [vx, vy],
        angular_velocity,
        awake: awake != 0.0,
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Arguments {
    continuous: bool,
    gravity: f64,
    enable_wind: bool,
    wind_power: f64,
    turbulence_power: f64,
}

impl Default for Arguments {
    fn default() -> Self {
        let config = LunarLanderConfig::default();
        Self {
            continuous: false,
            gravity: config.gravity,
            enable_wind: config.enable_wind,
            wind_power: config.wind_power,
            turbulence_power: config.turbulence_power,
        }
    }
}

/// Flies a record again with its draws and compares everything.
fn check_flight<E: Env<Obs = f32, State = LunarLanderState>>(
    flight: &Flight,
    env: &E,
    start: LunarLanderState,
    step: impl Fn(&mut LunarLanderState, usize) -> Step,
) -> usize {
    let id = &flight.id;
    let mut state = start;
    let mut obs = [0.0; 8];
    env.observe(&state, &mut obs);
    assert_eq!(state.bodies(), flight.bodies0.map(read), "{id}: start");
    assert_eq!(obs, flight.obs0, "{id}: first observation");
    let ends = status(&flight.terminated, &flight.truncated);
    for (t, end) in ends.iter().enumerate() {
        let step = step(&mut state, t);
        assert_eq!(
            state.bodies(),
            flight.bodies[t].map(read),
            "{id}: bodies after step {t}"
        );
        let contacts = flight.contacts[t].map(|flag| flag != 0);
        assert_eq!(state.contacts(), contacts, "{id}: contacts after step {t}");
        env.observe(&state, &mut obs);
        assert_eq!(obs, flight.obs[t], "{id}: observation {t}");
        assert_eq!(step.reward, flight.rewards[t] as f32, "{id}: reward {t}");
        assert_eq!(step.status.bootstraps(), end.bootstraps(), "{id}: end {t}");
    }
    assert!(
        ends.last().is_some_and(|end| end.is_over()),
        "{id}: the end"
    );
    ends.len()
}

#[test]
fn golden_lunar_lander() {
    for_each_record("lunar_lander", "trajectories", |flight: Flight| {
        let id = &flight.id;
        assert_eq!(flight.env, "LunarLander-v3");
        let kwargs: Arguments = arguments(id, &flight.kwargs);
        let config = LunarLanderConfig {
            gravity: kwargs.gravity,
            enable_wind: kwargs.enable_wind,
            wind_power: kwargs.wind_power,
            turbulence_power: kwargs.turbulence_power,
        };
        let draws = LunarLanderDraws {
            heights: flight.terrain_draw,
            force_n: flight.initial_force,
            wind: flight.wind_idx.unwrap_or_default(),
            dispersion: flight.reset_dispersion,
        };
        if kwargs.continuous {
            let env = LunarLanderContinuous::new(&config).unwrap();
            let actions: Vec<[f32; 2]> = arguments(id, &flight.actions);
            check_flight(&flight, &env, env.start(&draws), |state, t| {
                env.fly(state, actions[t], flight.dispersion[t])
            })
        } else {
            let env = LunarLander::new(&config).unwrap();
            let actions: Vec<usize> = arguments(id, &flight.actions);
            check_flight(&flight, &env, env.start(&draws), |state, t| {
                env.fly(state, actions[t], flight.dispersion[t])
            })
        }
    });
}
