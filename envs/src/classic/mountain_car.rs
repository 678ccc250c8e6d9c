use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, NumpyRng, Picture, Result, Rng, Space, Status, Step, check_range};

use super::valley::Valley;
use crate::block::{self, Block};
use crate::math::cos_lanes;

/// `mountain-car`: drive a weak car out of a valley by swinging back and forth.
///
/// **Action space**: `discrete(3)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | accelerate to the left |
/// | 1 | do nothing |
/// | 2 | accelerate to the right |
///
/// **Observation space**: box of 2 `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | position | length | -1.2 to 0.6 |
/// | 1 | velocity | length a step | -0.07 to 0.07 |
///
/// **Reward**: -1 on every step, the last one included.
///
/// **Start**: position uniform in (-0.6, -0.4), at rest.
///
/// **End**: terminated at a position of 0.5 or more with at least
/// [`goal_velocity`](MountainCarConfig::goal_velocity); truncated after 200 steps. The left end of the valley
/// is a wall that stops the car.
///
/// **Config**: [`MountainCarConfig`].
///
/// # Reference
/// Moore, *Efficient Memory-based Learning for Robot Control*, 1990. Constants and order of computation:
/// Gymnasium `MountainCar-v0`, `envs/classic_control/mountain_car.py`. Solved at a mean return of -110.
///
/// Deviations: both observations are said to lie in -1.2 to 0.6, because our boxes bound all entries alike.
#[derive(Clone, Debug)]
pub struct MountainCar {
    config: MountainCarConfig,
    valley: Valley,
}

/// Configuration of [`MountainCar`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountainCarConfig {
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
    /// Acceleration by the engine, length a step².
    pub force: f64,
    /// Acceleration by a vertical slope, length a step².
    pub gravity: f64,
}

impl Default for MountainCarConfig {
    fn default() -> Self {
        Self {
            goal_velocity: 0.0,
            goal_position: 0.5,
            min_position: -1.2,
            max_position: 0.6,
            max_speed: 0.07,
            force: 0.001,
            gravity: 0.0025,
        }
    }
}

/// State of [`MountainCar`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MountainCarState {
    /// Position, length.
    pub position: f64,
    /// Velocity, length a step.
    pub velocity: f64,
}

impl MountainCar {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range, or the ends of the valley do
    /// not hold the start.
    pub fn new(config: &MountainCarConfig) -> Result<Self> {
        let valley = Valley {
            left: config.min_position,
            right: config.max_position,
            goal: config.goal_position,
            goal_velocity: config.goal_velocity,
            max_speed: config.max_speed,
        };
        valley.check()?;
        check_range("force", config.force, 0.0..=1e3)?;
        check_range("gravity", config.gravity, 0.0..=1e3)?;
        Ok(Self {
            config: config.clone(),
            valley,
        })
    }
}

impl Block for MountainCar {
    #[inline(always)]
    fn step_block<const N: usize>(
        &self,
        states: &mut [MountainCarState; N],
        actions: &[usize; N],
        steps: &mut [Step; N],
    ) {
        let config = &self.config;
        let mut angle = [0.0; N];
        for i in 0..N {
            angle[i] = 3.0 * states[i].position;
        }
        let slope = cos_lanes(&angle);
        for i in 0..N {
            let MountainCarState { position, velocity } = &mut states[i];
            let engine = (actions[i] as i32 as f64 - 1.0) * config.force;
            let speed = *velocity + (engine + slope[i] * -config.gravity);
            let speed = speed.clamp(-config.max_speed, config.max_speed);
            *position = (*position + speed).clamp(config.min_position, config.max_position);
            let at_wall = (*position == config.min_position) & (speed < 0.0);
            *velocity = if at_wall { 0.0 } else { speed };
            let at_goal = (*position >= config.goal_position) & (*velocity >= config.goal_velocity);
            steps[i].reward = -1.0;
            steps[i].status = if at_goal {
                Status::Terminated
            } else {
                Status::Running
            };
        }
    }
}

impl Env for MountainCar {
    type State = MountainCarState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        self.valley.space()
    }
    fn action_space(&self) -> Space {
        Space::Discrete(3)
    }

    fn reset(&self, rng: &mut Rng) -> MountainCarState {
        MountainCarState {
            position: -0.6 + (-0.4 - -0.6) * rng.random::<f64>(),
            velocity: 0.0,
        }
    }
    fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<MountainCarState> {
        Some(MountainCarState {
            position: rng.uniform(-0.6, -0.4),
            velocity: 0.0,
        })
    }

    fn step(&self, state: &mut MountainCarState, action: usize, _: &mut Rng) -> Step {
        block::step(self, state, action)
    }

    fn step_rows(
        &self,
        states: &mut [MountainCarState],
        actions: &[usize],
        _: &mut [Rng],
        steps: &mut [Step],
    ) {
        block::step_rows(self, states, actions, steps);
    }

    #[inline]
    fn observe(&self, state: &MountainCarState, obs: &mut [f32]) {
        obs.copy_from_slice(&[state.position as f32, state.velocity as f32]);
    }

    fn time_limit(&self) -> Option<u32> {
        Some(200)
    }
    fn reward_threshold(&self) -> Option<f64> {
        Some(-110.0)
    }

    fn reference(&self) -> &'static str {
        "Gymnasium MountainCar-v0"
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["left", "nothing", "right"]
    }
    fn render(&self, state: &MountainCarState) -> Option<String> {
        Some(self.valley.render(state.position))
    }
    fn draw(&self, state: &MountainCarState) -> Option<Picture> {
        Some(self.valley.draw(state.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, check_env};

    fn car(config: MountainCarConfig) -> MountainCar {
        MountainCar::new(&config).unwrap()
    }

    fn step(config: MountainCarConfig, from: (f64, f64), action: usize) -> (f64, f64, Status) {
        let mut state = MountainCarState {
            position: from.0,
            velocity: from.1,
        };
        let rng = &mut Seeds::new(0).stream("test", 0);
        let step = car(config).step(&mut state, action, rng);
        assert_eq!(step.reward, -1.0);
        (state.position, state.velocity, step.status)
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(car(MountainCarConfig::default())), Ok(()));
    }

    #[test]
    fn the_new_velocity_moves_the_car() {
        // At 0 the slope is cos 0 = 1: velocity 0.001 - 0.0025, and the position follows at once.
        let (position, velocity, _) = step(MountainCarConfig::default(), (0.0, 0.0), 2);
        assert_eq!((position, velocity), (0.001 - 0.0025, 0.001 - 0.0025));
    }

    #[test]
    fn the_left_wall_stops_the_car_and_the_right_one_does_not() {
        let config = MountainCarConfig::default;
        let left = step(config(), (-1.19, -0.07), 0);
        assert_eq!((left.0, left.1), (-1.2, 0.0));
        let right = step(config(), (0.59, 0.07), 2);
        assert_eq!((right.0, right.1), (0.6, 0.07));
    }

    #[test]
    fn the_goal_asks_for_its_velocity() {
        let fast = MountainCarConfig {
            goal_velocity: 0.03,
            ..Default::default()
        };
        let at = (0.49, 0.02);
        assert_eq!(
            step(MountainCarConfig::default(), at, 2).2,
            Status::Terminated
        );
        assert_eq!(step(fast, at, 2).2, Status::Running);
    }

    #[test]
    fn a_goal_out_of_reach_is_refused() {
        let config = MountainCarConfig {
            goal_position: 0.7,
            ..Default::default()
        };
        let error = MountainCar::new(&config).unwrap_err().to_string();
        assert!(error.starts_with("goal_position: the goal is out of reach"));
    }

    #[test]
    fn the_picture_shows_car_and_goal() {
        let state = MountainCarState {
            position: -0.5,
            velocity: 0.0,
        };
        let picture = car(MountainCarConfig::default()).render(&state).unwrap();
        assert!(picture.contains('@') && picture.contains('|'));
    }

    #[test]
    fn the_frame_shows_the_car_on_the_ground() {
        let state = MountainCarState {
            position: -0.3,
            velocity: 0.0,
        };
        let picture = car(MountainCarConfig::default()).draw(&state).unwrap();
        let blue = |x| (0..picture.height).find(|&y| picture.pixel(x, y) == [0, 114, 178]);
        assert!(blue(150).is_some() && blue(50).is_none());
    }
}
