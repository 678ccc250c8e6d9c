use std::f64::consts::PI;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, NumpyRng, Picture, Result, Rng, Space, Status, Step, check_range};

use crate::canvas::{Canvas, colors};

use crate::block::{self, Block};
use crate::math::sin_cos_lanes;

/// `cart-pole`: keep a pole upright on a cart by pushing the cart.
///
/// **Action space**: `discrete(2)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | push to the left |
/// | 1 | push to the right |
///
/// **Observation space**: box of 4 `f32`.
///
/// | index | meaning | unit | range before the end |
/// |---|---|---|---|
/// | 0 | position of the cart | m | -2.4 to 2.4 |
/// | 1 | velocity of the cart | m/s | any |
/// | 2 | angle of the pole | rad | -0.2095 to 0.2095 (12 degrees) |
/// | 3 | angular velocity of the pole | rad/s | any |
///
/// **Reward**: 1 on every step, the one that ends the episode included. With
/// [`sutton_barto_reward`](CartPoleConfig::sutton_barto_reward): 0, and -1 on the ending step.
///
/// **Start**: each of the four uniform in (-0.05, 0.05).
///
/// **End**: terminated when position or angle leave their range; truncated after 500 steps.
///
/// **Config**: [`CartPoleConfig`].
///
/// # Reference
/// Barto, Sutton and Anderson, *Neuronlike Adaptive Elements That Can Solve Difficult Learning Control
/// Problems*, 1983; equations of motion without friction: Florian, *Correct equations for the dynamics of the
/// cart-pole system*, 2007. Constants and order of computation: Gymnasium `CartPole-v1`,
/// `envs/classic_control/cartpole.py`. Solved at a mean return of 475.
///
/// Deviations: the observation space has no bounds, because ours bound all four alike.
#[derive(Clone, Debug)]
pub struct CartPole {
    config: CartPoleConfig,
    total_mass: f64,
    /// Mass of the pole times half its length, kg m.
    pole_moment: f64,
    /// Of a step that goes on, one that ends the episode, and one after the end.
    rewards: [f32; 3],
}

/// Configuration of [`CartPole`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CartPoleConfig {
    /// Reward 0 and -1 on the ending step, instead of 1 on every step.
    pub sutton_barto_reward: bool,
    /// How accelerations become speeds and places.
    pub kinematics_integrator: Integrator,
    /// Gravity, m/s².
    pub gravity: f64,
    /// Mass of the cart, kg.
    pub cart_mass_kg: f64,
    /// Mass of the pole, kg.
    pub pole_mass_kg: f64,
    /// Half the length of the pole, m.
    pub pole_half_length_m: f64,
    /// Force of a push, N.
    pub force_n: f64,
    /// Time between two steps, s.
    pub time_step_s: f64,
    /// Distance from the middle at which the episode ends, m.
    pub position_limit_m: f64,
    /// Angle from upright at which the episode ends, rad.
    pub angle_limit_rad: f64,
}

impl Default for CartPoleConfig {
    fn default() -> Self {
        Self {
            sutton_barto_reward: false,
            kinematics_integrator: Integrator::Euler,
            gravity: 9.8,
            cart_mass_kg: 1.0,
            pole_mass_kg: 0.1,
            pole_half_length_m: 0.5,
            force_n: 10.0,
            time_step_s: 0.02,
            position_limit_m: 2.4,
            angle_limit_rad: 12.0 * 2.0 * PI / 360.0,
        }
    }
}

/// Order in which speeds and places are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Integrator {
    /// Places move with the old speeds.
    Euler,
    /// Places move with the new speeds.
    SemiImplicit,
}

/// State of [`CartPole`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CartPoleState {
    /// Position of the cart, m.
    pub position: f64,
    /// Velocity of the cart, m/s.
    pub velocity: f64,
    /// Angle of the pole from upright, rad.
    pub angle: f64,
    /// Angular velocity of the pole, rad/s.
    pub angular_velocity: f64,
    /// Whether the pole has fallen or the cart has left; stepping on then pays nothing, as in Gymnasium.
    pub ended: bool,
}

impl From<[f64; 4]> for CartPoleState {
    fn from([position, velocity, angle, angular_velocity]: [f64; 4]) -> Self {
        Self {
            position,
            velocity,
            angle,
            angular_velocity,
            ended: false,
        }
    }
}

impl CartPole {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &CartPoleConfig) -> Result<Self> {
        let positive = 1e-6..=1e6;
        check_range("gravity", config.gravity, 0.0..=1e6)?;
        check_range("force_n", config.force_n, 0.0..=1e6)?;
        for (key, value) in [
            ("cart_mass_kg", config.cart_mass_kg),
            ("pole_mass_kg", config.pole_mass_kg),
            ("pole_half_length_m", config.pole_half_length_m),
            ("position_limit_m", config.position_limit_m),
        ] {
            check_range(key, value, positive.clone())?;
        }
        check_range("time_step_s", config.time_step_s, 1e-6..=1.0)?;
        check_range("angle_limit_rad", config.angle_limit_rad, 1e-6..=PI)?;
        Ok(Self {
            total_mass: config.pole_mass_kg + config.cart_mass_kg,
            pole_moment: config.pole_mass_kg * config.pole_half_length_m,
            rewards: if config.sutton_barto_reward {
                [0.0, -1.0, -1.0]
            } else {
                [1.0, 1.0, 0.0]
            },
            config: config.clone(),
        })
    }
}

impl Block for CartPole {
    /// Steps `N` rows. The order of the operations is the reference's, to the last bit.
    ///
    /// First all sines and cosines, then all accelerations, then all moves: taken in turn, one row would
    /// wait for the row before. Nothing branches on the state, which would be predicted wrong.
    #[inline(always)]
    fn step_block<const N: usize>(
        &self,
        states: &mut [CartPoleState; N],
        actions: &[usize; N],
        steps: &mut [Step; N],
    ) {
        let config = &self.config;
        assert!(
            actions.iter().fold(true, |all, &action| all & (action < 2)),
            "an action of cart-pole is 0 or 1"
        );
        let mut angle = [0.0; N];
        for i in 0..N {
            angle[i] = states[i].angle;
        }
        let (sin, cos) = sin_cos_lanes(&angle);
        let mut acceleration = [0.0; N];
        let mut turn = [0.0; N];
        for i in 0..N {
            let force = if actions[i] == 1 {
                config.force_n
            } else {
                -config.force_n
            };
            let omega = states[i].angular_velocity;
            let push = (force + self.pole_moment * (omega * omega) * sin[i]) / self.total_mass;
            let share = config.pole_mass_kg * (cos[i] * cos[i]) / self.total_mass;
            turn[i] = (config.gravity * sin[i] - cos[i] * push)
                / (config.pole_half_length_m * (4.0 / 3.0 - share));
            acceleration[i] = push - self.pole_moment * turn[i] * cos[i] / self.total_mass;
        }
        let dt = config.time_step_s;
        let old_speeds = config.kinematics_integrator == Integrator::Euler;
        for i in 0..N {
            let state = &mut states[i];
            let velocity = state.velocity + dt * acceleration[i];
            let angular_velocity = state.angular_velocity + dt * turn[i];
            let (v, w) = if old_speeds {
                (state.velocity, state.angular_velocity)
            } else {
                (velocity, angular_velocity)
            };
            state.position += dt * v;
            state.velocity = velocity;
            state.angle += dt * w;
            state.angular_velocity = angular_velocity;
            let ends = (state.position.abs() > config.position_limit_m)
                | (state.angle.abs() > config.angle_limit_rad);
            steps[i].reward = self.rewards[usize::from(ends) + usize::from(ends & state.ended)];
            steps[i].status = if ends {
                Status::Terminated
            } else {
                Status::Running
            };
            state.ended |= ends;
        }
    }
}

impl Env for CartPole {
    type State = CartPoleState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        Space::unbounded(&[4])
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }

    fn reset(&self, rng: &mut Rng) -> CartPoleState {
        let start: [f64; 4] = std::array::from_fn(|_| -0.05 + 0.1 * rng.random::<f64>());
        start.into()
    }
    fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<CartPoleState> {
        Some(std::array::from_fn(|_| rng.uniform(-0.05, 0.05)).into())
    }

    #[inline]
    fn step(&self, state: &mut CartPoleState, action: usize, _: &mut Rng) -> Step {
        block::step(self, state, action)
    }

    fn step_rows(
        &self,
        states: &mut [CartPoleState],
        actions: &[usize],
        _: &mut [Rng],
        steps: &mut [Step],
    ) {
        block::step_rows(self, states, actions, steps);
    }

    #[inline]
    fn observe(&self, state: &CartPoleState, obs: &mut [f32]) {
        obs.copy_from_slice(&[
            state.position as f32,
            state.velocity as f32,
            state.angle as f32,
            state.angular_velocity as f32,
        ]);
    }

    fn time_limit(&self) -> Option<u32> {
        Some(500)
    }
    fn reward_threshold(&self) -> Option<f64> {
        // The published threshold is for a reward of 1 a step.
        (!self.config.sutton_barto_reward).then_some(475.0)
    }

    fn reference(&self) -> &'static str {
        "Gymnasium CartPole-v1"
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["left", "right"]
    }
    fn render(&self, state: &CartPoleState) -> Option<String> {
        const WIDTH: usize = 61;
        const HEIGHT: usize = 7;
        let place = |x: f64| {
            let share = x / self.config.position_limit_m / 2.0 + 0.5;
            (share.clamp(0.0, 1.0) * (WIDTH - 1) as f64).round() as usize
        };
        let mut rows = vec![vec![' '; WIDTH]; HEIGHT];
        // The picture leans as the pole does; its height is not to scale.
        for (above, row) in rows.iter_mut().rev().enumerate() {
            let height_m = 2.0 * self.config.pole_half_length_m * above as f64 / HEIGHT as f64;
            row[place(state.position + height_m * state.angle.sin())] = 'o';
        }
        let mut track = vec!['-'; WIDTH];
        track[place(state.position)] = '#';
        rows.push(track);
        let lines = rows
            .into_iter()
            .map(|row| row.into_iter().collect::<String>() + "\n");
        Some(
            lines.collect::<String>()
                + &format!(
                    "position {:+.2} m, angle {:+.1} degrees\n",
                    state.position,
                    state.angle.to_degrees()
                ),
        )
    }

    fn draw(&self, state: &CartPoleState) -> Option<Picture> {
        const WIDTH: u32 = 400;
        const HEIGHT: u32 = 200;
        let limit = self.config.position_limit_m;
        let edge = 1.1 * limit;
        // The pole is drawn with its own length, as far as there is room for it.
        let room = 2.0 * edge * f64::from(HEIGHT) / f64::from(WIDTH);
        let floor = -0.35 * room;
        let mut canvas = Canvas::new(WIDTH, HEIGHT, [-edge, edge], [floor, floor + room]);
        canvas.line(&[[-edge, 0.0], [edge, 0.0]], 1.5, colors::GREY);
        for end in [-limit, limit] {
            canvas.line(
                &[[end, -0.05 * room], [end, 0.05 * room]],
                1.5,
                colors::GREY,
            );
        }
        let (half_width, half_height) = (0.1 * room, 0.06 * room);
        let x = state.position;
        let corners = [
            [x - half_width, -half_height],
            [x + half_width, half_height],
        ];
        canvas.rectangle(corners[0], corners[1], colors::BLACK);
        let length = (2.0 * self.config.pole_half_length_m).min(0.58 * room);
        let joint = [x, 0.5 * half_height];
        let (sin, cos) = state.angle.sin_cos();
        let tip = [x + length * sin, joint[1] + length * cos];
        canvas.line(&[joint, tip], 7.0, colors::ORANGE);
        canvas.disc(joint, 0.02 * room, colors::BLUE);
        Some(canvas.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, check_env};

    fn env(config: CartPoleConfig) -> CartPole {
        CartPole::new(&config).unwrap()
    }

    fn step(env: &CartPole, state: &mut CartPoleState, action: usize) -> Step {
        env.step(state, action, &mut Seeds::new(0).stream("test", 0))
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(env(CartPoleConfig::default())), Ok(()));
    }

    #[test]
    fn from_rest_a_push_accelerates_cart_and_pole_by_the_equations() {
        // Upright and at rest: sin = 0, cos = 1, push = 10 / 1.1; the pole turns by
        // -push / (0.5 (4/3 - 0.1/1.1)), the cart by push - 0.05 (that) / 1.1; Euler moves neither yet.
        let mut state = CartPoleState::from([0.0; 4]);
        step(&env(CartPoleConfig::default()), &mut state, 1);
        let push = 10.0 / 1.1;
        let turn = -push / (0.5 * (4.0 / 3.0 - 0.1 / 1.1));
        assert_eq!((state.position, state.angle), (0.0, 0.0));
        // 1e-12: a handful of f64 roundings.
        assert!((state.angular_velocity - 0.02 * turn).abs() < 1e-12);
        assert!((state.velocity - 0.02 * (push - 0.05 * turn / 1.1)).abs() < 1e-12);
    }

    #[test]
    fn semi_implicit_steps_move_with_the_new_speed() {
        let config = CartPoleConfig {
            kinematics_integrator: Integrator::SemiImplicit,
            ..Default::default()
        };
        let mut state = CartPoleState::from([0.0; 4]);
        step(&env(config), &mut state, 1);
        assert_eq!(state.position, 0.02 * state.velocity);
        assert_eq!(state.angle, 0.02 * state.angular_velocity);
    }

    #[test]
    fn the_ending_step_pays_one_and_later_ones_nothing() {
        let env = env(CartPoleConfig::default());
        let mut state = CartPoleState::from([2.39, 1.0, 0.0, 0.0]);
        assert_eq!(step(&env, &mut state, 1), Step::terminal(1.0));
        assert_eq!(step(&env, &mut state, 1), Step::terminal(0.0));
    }

    #[test]
    fn the_other_reward_is_minus_one_at_the_end_alone() {
        let env = env(CartPoleConfig {
            sutton_barto_reward: true,
            ..Default::default()
        });
        let mut state = CartPoleState::from([0.0; 4]);
        assert_eq!(step(&env, &mut state, 1), Step::running(0.0));
        let mut state = CartPoleState::from([0.0, 0.0, 0.2, 1.0]);
        assert_eq!(step(&env, &mut state, 1), Step::terminal(-1.0));
        assert_eq!(env.reward_threshold(), None);
    }

    #[test]
    fn the_limits_themselves_are_inside() {
        let env = env(CartPoleConfig::default());
        let mut state = CartPoleState::from([2.4, 0.0, 0.0, 0.0]);
        assert_eq!(step(&env, &mut state, 1).status, Status::Running);
        let mut state = CartPoleState::from([2.4_f64.next_up(), 0.0, 0.0, 0.0]);
        assert_eq!(step(&env, &mut state, 1).status, Status::Terminated);
    }

    #[test]
    fn starts_are_within_a_twentieth_and_differ() {
        let env = env(CartPoleConfig::default());
        let mut rng = Seeds::new(5).stream("test", 0);
        let starts: Vec<CartPoleState> = (0..1000).map(|_| env.reset(&mut rng)).collect();
        let positions = starts.iter().map(|state| state.position);
        assert!(positions.clone().all(|x| x.abs() <= 0.05));
        // Mean 0 with standard error 0.1 / sqrt(12 * 1000) = 0.0009; five of them.
        assert!((positions.sum::<f64>() / 1000.0).abs() < 0.0046);
        assert_ne!(starts[0], starts[1]);
    }

    #[test]
    fn numbers_out_of_range_name_their_key() {
        let config = CartPoleConfig {
            time_step_s: 0.0,
            ..Default::default()
        };
        let error = CartPole::new(&config).unwrap_err().to_string();
        assert_eq!(error, "time_step_s: 0 is out of range; give 0.000001 to 1");
    }

    #[test]
    fn the_frame_shows_the_cart_where_it_is() {
        let env = env(CartPoleConfig::default());
        let black = |position| {
            let state = CartPoleState::from([position, 0.0, 0.0, 0.0]);
            let picture = env.draw(&state).unwrap();
            let row = 0..picture.width;
            let dark = row.filter(|&x| picture.pixel(x, 135) == colors::BLACK);
            let columns: Vec<u32> = dark.collect();
            (columns[0], columns[columns.len() - 1])
        };
        assert_eq!(black(0.0), (180, 219));
        assert!(black(1.0).0 > 219);
    }
}
