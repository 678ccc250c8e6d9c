//! Lunar Lander: every body after every step, bit for bit.

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::rand::RngExt;
use thorndike_core::{Env, Rng, Seeds, Step};
use thorndike_envs::box2d::{
    LunarLander, LunarLanderBody, LunarLanderConfig, LunarLanderContinuous, LunarLanderDraws,
    LunarLanderState,
};

use crate::records::{arguments, for_each_record, roots, status, tell};

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

/// The built-in policy of the reference, `heuristic` in `lunar_lander.py`: how much to turn and to climb.
fn wishes(obs: &[f32; 8]) -> [f32; 2] {
    let [x, y, vx, vy, angle, turning, right, left] = *obs;
    if right != 0.0 || left != 0.0 {
        return [0.0, -vy * 0.5];
    }
    let wanted_angle = (x * 0.5 + vx).clamp(-0.4, 0.4);
    let wanted_height = 0.55 * x.abs();
    [
        (wanted_angle - angle) * 0.5 - turning,
        (wanted_height - y) * 0.5 - vy * 0.5,
    ]
}

fn heuristic(obs: &[f32; 8], _: &mut Rng) -> usize {
    let [turn, climb] = wishes(obs);
    if climb > turn.abs() && climb > 0.05 {
        2
    } else if turn < -0.05 {
        3
    } else if turn > 0.05 {
        1
    } else {
        0
    }
}

fn continuous_heuristic(obs: &[f32; 8], _: &mut Rng) -> [f32; 2] {
    let [turn, climb] = wishes(obs);
    [climb * 20.0 - 1.0, -turn * 20.0].map(|throttle| throttle.clamp(-1.0, 1.0))
}

/// Mean return of `policy` over so many episodes, and its standard error.
fn returns<E: Env<Obs = f32>>(
    env: &E,
    episodes: u64,
    policy: impl Fn(&[f32; 8], &mut Rng) -> E::Action,
) -> [f64; 2] {
    let total = |episode| {
        let mut rng = Seeds::new(episode).stream("golden", 0);
        let mut state = env.reset(&mut rng);
        let (mut obs, mut total) = ([0.0; 8], 0.0);
        for _ in 0..env.time_limit().unwrap() {
            env.observe(&state, &mut obs);
            let action = policy(&obs, &mut rng);
            let step = env.step(&mut state, action, &mut rng);
            total += f64::from(step.reward);
            if step.status.is_over() {
                break;
            }
        }
        total
    };
    let totals: Vec<f64> = (0..episodes).map(total).collect();
    let n = episodes as f64;
    let mean = totals.iter().sum::<f64>() / n;
    let variance = totals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    [mean, (variance / n).sqrt()]
}

#[derive(Deserialize)]
struct Statistics {
    mean: f64,
    standard_error: f64,
}

/// Whether a mean return is that of the reference, within three standard errors of their difference.
fn check_returns(name: &str, [mean, error]: [f64; 2]) {
    let path = roots()[0].join("lunar_lander/statistics.json");
    let all: std::collections::BTreeMap<String, Statistics> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let reference = &all[name];
    let error = error.hypot(reference.standard_error);
    assert!(
        (mean - reference.mean).abs() < 3.0 * error,
        "{name}: {mean}, not {} +- {error}",
        reference.mean
    );
}

fn lander(config: LunarLanderConfig) -> LunarLander {
    LunarLander::new(&config).unwrap()
}

fn random(_: &[f32; 8], rng: &mut Rng) -> usize {
    rng.random_range(0..4)
}

#[test]
fn policies_return_what_they_do_in_the_reference() {
    let calm = lander(LunarLanderConfig::default());
    check_returns("heuristic", returns(&calm, 150, heuristic));
    check_returns("random", returns(&calm, 150, random));
    check_returns("noop", returns(&calm, 150, |_, _| 0));
    let windy = lander(LunarLanderConfig {
        enable_wind: true,
        ..Default::default()
    });
    check_returns("heuristic_wind", returns(&windy, 150, heuristic));
    let throttled = LunarLanderContinuous::new(&LunarLanderConfig::default()).unwrap();
    let continuous = returns(&throttled, 150, continuous_heuristic);
    check_returns("heuristic_continuous", continuous);
}

#[test]
#[ignore = "a minute"]
fn long_policies_return_what_they_do_in_the_reference() {
    let calm = lander(LunarLanderConfig::default());
    let [mean, error] = returns(&calm, 2000, heuristic);
    tell(&format!("lunar-lander, heuristic: {mean:.1} +- {error:.1}"));
    // Several runs of the reference over as many starts gave 237 to 243.
    assert!((237.0 - 2.0 * error..243.0 + 2.0 * error).contains(&mean));
    let [mean, error] = returns(&calm, 2000, random);
    tell(&format!("lunar-lander, random: {mean:.1} +- {error:.1}"));
    check_returns("random", [mean, error]);
}
