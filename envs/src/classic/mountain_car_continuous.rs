use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, NumpyRng, Picture, Result, Rng, Space, Step, check_range};

use super::valley::Valley;

/// `mountain-car-continuous`: drive a weak car out of a valley, and pay for the fuel.
///
/// **Action space**: box of 1 `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | acceleration to the right, as a share of the engine's power | – | -1 to 1; what lies outside drives as the bound does |
///
/// **Observation space**: box of 2 `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | position | length | -1.2 to 0.6 |
/// | 1 | velocity | length a step | -0.07 to 0.07 |
///
/// **Reward**: 100 on the step that reaches the goal, less 0.1 times the square of the action, as it was given,
/// on every step.
///
/// **Start**: position uniform in (-0.6, -0.4), at rest.
///
/// **End**: terminated at a position of 0.45 or more with at least
/// [`goal_velocity`](MountainCarContinuousConfig::goal_velocity); truncated after 999 steps. The left end of
/// the valley is a wall that stops the car.
///
/// **Config**: [`MountainCarContinuousConfig`].
///
/// # Reference
/// Moore, *Efficient Memory-based Learning for Robot Control*, 1990. Constants and order of computation, the
/// rounding to single precision after each step included: Gymnasium `MountainCarContinuous-v0`,
/// `envs/classic_control/continuous_mountain_car.py`. Solved at a mean return of 90.
///
/// Deviations: both observations are said to lie in -1.2 to 0.6, because our boxes bound all entries alike.
#[derive(Clone, Debug)]
pub struct MountainCarContinuous {
    config: MountainCarContinuousConfig,
    valley: Valley,
}

/// Configuration of [`MountainCarContinuous`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountainCarContinuousConfig {
    /// Least velocity at the goal, length a step.
    pub goal_velocity: f64,
    /// Where the goal begins.
    pub goal_position: f64,
    /// Left end of the valley, a wall.
    pub min_position: f64,
    /// Right end of the valley.
    pub max_position: f64,
    /// Highest velocity in either direction, length a step.
    pub max_speed: f64,
    /// Acceleration by the engine at an action of 1, length a step².
    pub power: f64,
}

impl Default for MountainCarContinuousConfig {
    fn default() -> Self {
        Self {
            goal_velocity: 0.0,
            goal_position: 0.45,
            min_position: -1.2,
            max_position: 0.6,
            max_speed: 0.07,
            power: 0.0015,
        }
    }
}

/// Acceleration by a vertical slope, length a step².
const GRAVITY: f64 = 0.0025;

/// State of [`MountainCarContinuous`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MountainCarContinuousState {
    /// Position, length.
    pub position: f64,
    /// Velocity, length a step.
    pub velocity: f64,
    /// Whether the episode is at its start. Only there the numbers have more than single precision.
    pub at_start: bool,
}

impl MountainCarContinuous {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range, or the ends of the valley do
    /// not hold the start.
    pub fn new(config: &MountainCarContinuousConfig) -> Result<Self> {
        let valley = Valley {
            left: config.min_position,
            right: config.max_position,
            goal: config.goal_position,
            goal_velocity: config.goal_velocity,
            max_speed: config.max_speed,
        };
        valley.check()?;
        check_range("power", config.power, 0.0..=1e3)?;
        Ok(Self {
            config: config.clone(),
            valley,
        })
    }

    /// Change of the velocity by engine and slope.
    ///
    /// An action within its bounds is a single-precision number, and so is what comes of it; one outside is
    /// replaced by a bound, which is a double-precision one.
    #[inline]
    fn push(&self, action: f32, angle_rad: f64) -> f64 {
        let slope = GRAVITY * angle_rad.cos();
        if action.abs() > 1.0 {
            f64::from(action.signum()) * self.config.power - slope
        } else {
            f64::from(action * self.config.power as f32 - slope as f32)
        }
    }
}

impl Env for MountainCarContinuous {
    type State = MountainCarContinuousState;
    type Obs = f32;
    type Action = [f32; 1];

    fn observation_space(&self) -> Space {
        self.valley.space()
    }
    fn action_space(&self) -> Space {
        Space::Box {
            shape: vec![1],
            low: -1.0,
            high: 1.0,
        }
    }

    fn reset(&self, rng: &mut Rng) -> MountainCarContinuousState {
        MountainCarContinuousState {
            position: -0.6 + (-0.4 - -0.6) * rng.random::<f64>(),
            velocity: 0.0,
            at_start: true,
        }
    }
    fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<MountainCarContinuousState> {
        Some(MountainCarContinuousState {
            position: rng.uniform(-0.6, -0.4),
            velocity: 0.0,
            at_start: true,
        })
    }

    #[inline]
    fn step(
        &self,
        state: &mut MountainCarContinuousState,
        [action]: [f32; 1],
        _: &mut Rng,
    ) -> Step {
        let config = &self.config;
        // To single precision, but at the start. One sum or product of such numbers, rounded from double
        // precision, is the single-precision one.
        let double = state.at_start;
        let round = |x: f64| if double { x } else { f64::from(x as f32) };
        let (max_speed, min_position) = (round(config.max_speed), round(config.min_position));
        let push = self.push(action, round(3.0 * state.position));
        let mut velocity = round(state.velocity + round(push)).clamp(-max_speed, max_speed);
        let position =
            round(state.position + velocity).clamp(min_position, round(config.max_position));
        if position == min_position && velocity < 0.0 {
            velocity = 0.0;
        }
        let reached =
            position >= round(config.goal_position) && velocity >= round(config.goal_velocity);
        *state = MountainCarContinuousState {
            position: f64::from(position as f32),
            velocity: f64::from(velocity as f32),
            at_start: false,
        };
        let action = f64::from(action);
        let fuel = action * action * 0.1;
        if reached {
            Step::terminal((100.0 - fuel) as f32)
        } else {
            Step::running((0.0 - fuel) as f32)
        }
    }

    #[inline]
    fn observe(&self, state: &MountainCarContinuousState, obs: &mut [f32]) {
        obs.copy_from_slice(&[state.position as f32, state.velocity as f32]);
    }

    fn time_limit(&self) -> Option<u32> {
        Some(999)
    }
    fn reward_threshold(&self) -> Option<f64> {
        Some(90.0)
    }
    fn reference(&self) -> &'static str {
        "Gymnasium MountainCarContinuous-v0"
    }

    fn render(&self, state: &MountainCarContinuousState) -> Option<String> {
        Some(self.valley.render(state.position))
    }
    fn draw(&self, state: &MountainCarContinuousState) -> Option<Picture> {
        Some(self.valley.draw(state.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, Status, check_env};

    fn car(config: MountainCarContinuousConfig) -> MountainCarContinuous {
        MountainCarContinuous::new(&config).unwrap()
    }

    fn state(position: f64, velocity: f64) -> MountainCarContinuousState {
        MountainCarContinuousState {
            position,
            velocity,
            at_start: false,
        }
    }

    fn step(state: &mut MountainCarContinuousState, action: f32) -> Step {
        let rng = &mut Seeds::new(0).stream("test", 0);
        car(Default::default()).step(state, [action], rng)
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(car(Default::default())), Ok(()));
    }

    #[test]
    fn after_the_first_step_the_state_has_single_precision() {
        let mut at = MountainCarContinuousState {
            position: -0.512_345_678_912_345,
            velocity: 0.0,
            at_start: true,
        };
        step(&mut at, 0.3);
        for number in [at.position, at.velocity] {
            assert_eq!(number, f64::from(number as f32));
        }
        assert!(!at.at_start);
    }

    #[test]
    fn fuel_is_paid_for_the_action_as_given_and_the_engine_gives_no_more_than_its_power() {
        let (mut at, mut beyond) = (state(-0.5, 0.0), state(-0.5, 0.0));
        assert_eq!(step(&mut at, 1.0), Step::running(-0.1));
        assert_eq!(step(&mut beyond, 3.0), Step::running(-0.9));
        // The bound is a double-precision number, so the last bit of the push may differ.
        assert!((at.velocity - beyond.velocity).abs() < 1e-9);
    }

    #[test]
    fn the_goal_is_at_0_45_and_pays_a_hundred() {
        assert_eq!(
            step(&mut state(0.449, 0.01), 0.0),
            Step::terminal(100.0),
            "the hill of the other mountain car is higher"
        );
        assert_eq!(step(&mut state(0.40, 0.01), 0.0).status, Status::Running);
    }

    #[test]
    fn the_left_wall_stops_the_car() {
        let mut at = state(-1.19, -0.07);
        step(&mut at, -1.0);
        assert_eq!(at, state(f64::from(-1.2_f32), 0.0));
    }

    #[test]
    fn numbers_out_of_range_name_their_key() {
        let config = MountainCarContinuousConfig {
            power: -1.0,
            ..Default::default()
        };
        let error = MountainCarContinuous::new(&config).unwrap_err().to_string();
        assert_eq!(error, "power: -1 is out of range; give 0 to 1000");
        let config = MountainCarContinuousConfig {
            goal_position: 0.7,
            ..Default::default()
        };
        let error = MountainCarContinuous::new(&config).unwrap_err().to_string();
        assert!(error.starts_with("goal_position: the goal is out of reach"));
    }
}
