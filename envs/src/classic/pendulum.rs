use std::f64::consts::{PI, TAU};

use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, NumpyRng, Picture, Result, Rng, Space, Step, check_range};

use crate::block::{self, Block};
use crate::canvas::{Canvas, colors};
use crate::math::sin_cos_lanes;

/// `pendulum`: swing a pendulum up and hold it upright, with a motor too weak to lift it at once.
///
/// **Action space**: box of 1 `f32`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0 | torque, counter-clockwise | N m | -2 to 2; clipped |
///
/// **Observation space**: box of 3 `f32`. The angle is 0 upright and grows counter-clockwise.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0, 1 | cosine and sine of the angle | – | -1 to 1 |
/// | 2 | angular velocity | rad/s | -8 to 8 |
///
/// **Reward**: `-(angle² + 0.1 velocity² + 0.001 torque²)` of the state before the step, with the angle in -π to
/// π and the clipped torque: -16.27 at worst, 0 at best.
///
/// **Start**: angle uniform in (-π, π), velocity in (-1, 1).
///
/// **End**: never terminated; truncated after 200 steps.
///
/// **Config**: [`PendulumConfig`].
///
/// # Reference
/// Constants and order of computation, single-precision products of the torque included: Gymnasium
/// `Pendulum-v1`, `envs/classic_control/pendulum.py`. No mean return is named at which it counts as solved.
///
/// Deviations: all observations are said to lie in -8 to 8, because our boxes bound all entries alike. The
/// squares in the reward are products, where Python calls `pow`: a difference of 1e-9 at most.
#[derive(Clone, Debug)]
pub struct Pendulum {
    config: PendulumConfig,
    /// Angular acceleration by gravity at a right angle, rad/s².
    fall: f64,
    /// Angular acceleration by a torque of 1, rad/s².
    push: f32,
}

/// Configuration of [`Pendulum`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PendulumConfig {
    /// Gravity, m/s².
    pub gravity: f64,
    /// Mass of the pendulum, a rod, kg.
    pub mass_kg: f64,
    /// Its length, m.
    pub length_m: f64,
    /// Highest angular velocity in either direction, rad/s.
    pub max_speed: f64,
    /// Strongest torque in either direction, N m.
    pub max_torque_nm: f64,
    /// Time between two steps, s.
    pub time_step_s: f64,
}

impl Default for PendulumConfig {
    fn default() -> Self {
        Self {
            gravity: 10.0,
            mass_kg: 1.0,
            length_m: 1.0,
            max_speed: 8.0,
            max_torque_nm: 2.0,
            time_step_s: 0.05,
        }
    }
}

/// State of [`Pendulum`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendulumState {
    /// Angle from upright, rad; any number of turns.
    pub angle: f64,
    /// Angular velocity, rad/s.
    pub velocity: f64,
    /// Sine of the angle, which the observation and the next step both need.
    pub sin: f64,
    /// Cosine of the angle.
    pub cos: f64,
}

impl From<[f64; 2]> for PendulumState {
    fn from([angle, velocity]: [f64; 2]) -> Self {
        let ([sin], [cos]) = sin_cos_lanes(&[angle]);
        Self {
            angle,
            velocity,
            sin,
            cos,
        }
    }
}

impl Pendulum {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &PendulumConfig) -> Result<Self> {
        check_range("gravity", config.gravity, 0.0..=1e3)?;
        check_range("mass_kg", config.mass_kg, 1e-3..=1e3)?;
        check_range("length_m", config.length_m, 1e-3..=1e3)?;
        check_range("max_speed", config.max_speed, 1e-3..=1e3)?;
        check_range("max_torque_nm", config.max_torque_nm, 1e-3..=1e6)?;
        check_range("time_step_s", config.time_step_s, 1e-6..=1.0)?;
        let PendulumConfig {
            gravity,
            mass_kg,
            length_m,
            ..
        } = *config;
        Ok(Self {
            config: config.clone(),
            fall: 3.0 * gravity / (2.0 * length_m),
            push: (3.0 / (mass_kg * (length_m * length_m))) as f32,
        })
    }
}

/// `angle` in -π to π.
#[inline(always)]
fn turned(angle: f64) -> f64 {
    let from_below = angle + PI;
    from_below - TAU * (from_below * (1.0 / TAU)).floor() - PI
}

impl Block for Pendulum {
    /// Steps `N` rows: first all moves, then all sines and cosines.
    #[inline(always)]
    fn step_block<const N: usize>(
        &self,
        states: &mut [PendulumState; N],
        actions: &[[f32; 1]; N],
        steps: &mut [Step; N],
    ) {
        let (most, dt) = (self.config.max_torque_nm as f32, self.config.time_step_s);
        let max_speed = self.config.max_speed;
        for i in 0..N {
            let state = &mut states[i];
            let torque = actions[i][0].clamp(-most, most);
            let lean = turned(state.angle);
            let cost = lean * lean
                + 0.1 * (state.velocity * state.velocity)
                + f64::from(0.001 * (torque * torque));
            steps[i] = Step::running(-cost as f32);
            let acceleration = self.fall * state.sin + f64::from(self.push * torque);
            state.velocity = (state.velocity + acceleration * dt).clamp(-max_speed, max_speed);
            state.angle += state.velocity * dt;
        }
        let (sin, cos) = sin_cos_lanes(&states.map(|state| state.angle));
        for (i, state) in states.iter_mut().enumerate() {
            (state.sin, state.cos) = (sin[i], cos[i]);
        }
    }
}

impl Env for Pendulum {
    type State = PendulumState;
    type Obs = f32;
    type Action = [f32; 1];

    fn observation_space(&self) -> Space {
        let most = self.config.max_speed.max(1.0) as f32;
        Space::Box {
            shape: vec![3],
            low: -most,
            high: most,
        }
    }
    fn action_space(&self) -> Space {
        let most = self.config.max_torque_nm as f32;
        Space::Box {
            shape: vec![1],
            low: -most,
            high: most,
        }
    }

    fn reset(&self, rng: &mut Rng) -> PendulumState {
        [PI, 1.0]
            .map(|most| -most + (most - -most) * rng.random::<f64>())
            .into()
    }
    fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<PendulumState> {
        Some([PI, 1.0].map(|most| rng.uniform(-most, most)).into())
    }

    #[inline]
    fn step(&self, state: &mut PendulumState, action: [f32; 1], _: &mut Rng) -> Step {
        block::step(self, state, action)
    }

    fn step_rows(
        &self,
        states: &mut [PendulumState],
        actions: &[[f32; 1]],
        _: &mut [Rng],
        steps: &mut [Step],
    ) {
        block::step_rows(self, states, actions, steps);
    }

    #[inline]
    fn observe(&self, state: &PendulumState, obs: &mut [f32]) {
        obs.copy_from_slice(&[state.cos, state.sin, state.velocity].map(|x| x as f32));
    }

    fn time_limit(&self) -> Option<u32> {
        Some(200)
    }
    fn reference(&self) -> &'static str {
        "Gymnasium Pendulum-v1"
    }

    fn render(&self, state: &PendulumState) -> Option<String> {
        const WIDTH: usize = 31;
        const HEIGHT: usize = 15;
        let mut rows = vec![vec![' '; WIDTH]; HEIGHT];
        for part in 0..=HEIGHT {
            let share = part as f64 / HEIGHT as f64;
            let place = |x: f64, count: usize| {
                let at = (0.5 + 0.5 * x * share) * (count - 1) as f64;
                (at.round() as usize).min(count - 1)
            };
            rows[place(-state.cos, HEIGHT)][place(-state.sin, WIDTH)] = 'o';
        }
        rows[HEIGHT / 2][WIDTH / 2] = '+';
        let lines = rows
            .into_iter()
            .map(|row| row.into_iter().collect::<String>() + "\n");
        let velocity = format!("velocity {:+.2} rad/s\n", state.velocity);
        Some(lines.collect::<String>() + &velocity)
    }

    fn draw(&self, state: &PendulumState) -> Option<Picture> {
        const SIDE: u32 = 200;
        let mut canvas = Canvas::new(SIDE, SIDE, [-1.2, 1.2], [-1.2, 1.2]);
        canvas.line(&[[0.0, 1.05], [0.0, 1.15]], 2.0, colors::GREEN);
        let tip = [-state.sin, state.cos];
        canvas.line(&[[0.0; 2], tip], 14.0, colors::BLUE);
        canvas.disc([0.0; 2], 0.06, colors::BLACK);
        // The velocity as an arc that runs ahead of the tip.
        let ahead: Vec<[f64; 2]> = (0..=20)
            .map(|i| state.angle + 0.15 * state.velocity * f64::from(i) / 20.0)
            .map(|angle| [-1.1 * angle.sin(), 1.1 * angle.cos()])
            .collect();
        canvas.line(&ahead, 3.0, colors::ORANGE);
        Some(canvas.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, check_env};

    fn pendulum() -> Pendulum {
        Pendulum::new(&PendulumConfig::default()).unwrap()
    }

    fn step(state: &mut PendulumState, torque: f32) -> Step {
        let rng = &mut Seeds::new(0).stream("test", 0);
        pendulum().step(state, [torque], rng)
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(pendulum()), Ok(()));
    }

    #[test]
    fn upright_at_rest_costs_nothing_and_the_other_way_round_most() {
        assert_eq!(step(&mut [0.0, 0.0].into(), 0.0), Step::running(0.0));
        let worst = step(&mut [PI, 8.0].into(), 2.0).reward;
        // 1e-6: single precision at 16.
        assert!((f64::from(worst) + PI * PI + 6.4 + 0.004).abs() < 1e-6 * 16.0);
    }

    #[test]
    fn the_new_velocity_moves_the_pendulum() {
        let mut state = PendulumState::from([0.0, 0.0]);
        step(&mut state, 1.0);
        // 3 * 0.05, in single precision before it is multiplied by the time.
        assert_eq!(
            (state.velocity, state.angle),
            (3.0 * 0.05, 3.0 * 0.05 * 0.05)
        );
    }

    #[test]
    fn torque_and_velocity_are_clipped_and_the_angle_is_not() {
        let (mut two, mut nine) = (
            PendulumState::from([1.0, 0.0]),
            PendulumState::from([1.0, 0.0]),
        );
        assert_eq!(step(&mut two, 2.0), step(&mut nine, 9.0));
        assert_eq!(two, nine);
        let mut fast = PendulumState::from([7.0, 8.0]);
        step(&mut fast, 2.0);
        assert_eq!((fast.velocity, fast.angle), (8.0, 7.0 + 8.0 * 0.05));
    }

    #[test]
    fn whole_turns_cost_nothing() {
        for turns in [-3.0, -1.0, 1.0, 4.0] {
            assert!((turned(0.5 + turns * TAU) - 0.5).abs() < 1e-14);
        }
        assert_eq!(turned(-PI), -PI);
    }

    #[test]
    fn numbers_out_of_range_name_their_key() {
        let config = PendulumConfig {
            mass_kg: 0.0,
            ..Default::default()
        };
        let error = Pendulum::new(&config).unwrap_err().to_string();
        assert_eq!(error, "mass_kg: 0 is out of range; give 0.001 to 1000");
    }

    #[test]
    fn the_frame_shows_the_pendulum_where_it_points() {
        let upright = pendulum().draw(&[0.0, 0.0].into()).unwrap();
        assert_eq!((upright.width, upright.height), (200, 200));
        assert_eq!(upright.pixel(100, 50), colors::BLUE);
        let left = pendulum().draw(&[PI / 2.0, 0.0].into()).unwrap();
        assert_eq!(left.pixel(50, 100), colors::BLUE, "counter-clockwise");
        assert_eq!(left.pixel(100, 50), colors::WHITE);
    }
}
