use std::f64::consts::{FRAC_PI_2, PI, TAU};
use std::hint::black_box;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, NumpyRng, Picture, Result, Rng, Space, Step, check_range};

use crate::block::{self, Block};
use crate::canvas::{Canvas, colors};
use crate::math::{cos_lanes, sin_cos_lanes};

const GRAVITY: f64 = 9.8;

/// `acrobot`: swing up a double pendulum that has a motor in its elbow alone.
///
/// **Action space**: `discrete(3)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | torque of -1 N m between the links |
/// | 1 | no torque |
/// | 2 | torque of 1 N m |
///
/// **Observation space**: box of 6 `f32`. Both angles are 0 hanging down, the second is that between the links.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | 0, 1 | cosine and sine of the first angle | – | -1 to 1 |
/// | 2, 3 | cosine and sine of the second angle | – | -1 to 1 |
/// | 4 | angular velocity of the first link | rad/s | -4 π to 4 π |
/// | 5 | angular velocity of the second link | rad/s | -9 π to 9 π |
///
/// **Reward**: -1 on every step, and 0 on the one that ends the episode.
///
/// **Start**: angles and velocities uniform in (-0.1, 0.1), in single precision.
///
/// **End**: terminated when the tip is higher than 1 m above the shoulder; truncated after 500 steps.
///
/// **Config**: [`AcrobotConfig`].
///
/// # Reference
/// Sutton, *Generalization in Reinforcement Learning: Successful Examples Using Sparse Coarse Coding*, 1996;
/// Sutton and Barto, *Reinforcement Learning: An Introduction*, 1st edition, 1998, section 11.3. Constants and
/// order of computation: Gymnasium `Acrobot-v1`, `envs/classic_control/acrobot.py`. Solved at a mean return
/// of -100.
///
/// Deviations: all observations are said to lie in -9 π to 9 π, because our boxes bound all entries alike. The
/// reference can add noise to the torque, and does not by default; here there is none.
#[derive(Clone, Debug)]
pub struct Acrobot {
    config: AcrobotConfig,
    terms: Terms,
}

/// Configuration of [`Acrobot`]. Pairs are of the first link, at the shoulder, and the second one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcrobotConfig {
    /// Which equations of motion.
    pub book_or_nips: BookOrNips,
    /// Lengths of the links, m. That of the second one is only drawn.
    pub link_lengths_m: [f64; 2],
    /// Masses of the links, kg.
    pub link_masses_kg: [f64; 2],
    /// Distances of the centres of mass from the upper ends of the links, m.
    pub link_centers_m: [f64; 2],
    /// Moment of inertia of each link, kg m².
    pub link_inertia: f64,
    /// Highest angular velocities in either direction, rad/s.
    pub max_speeds: [f64; 2],
    /// Torques of the actions, N m.
    pub torques_nm: [f64; 3],
    /// Time between two steps, s.
    pub time_step_s: f64,
}

impl Default for AcrobotConfig {
    fn default() -> Self {
        Self {
            book_or_nips: BookOrNips::Book,
            link_lengths_m: [1.0, 1.0],
            link_masses_kg: [1.0, 1.0],
            link_centers_m: [0.5, 0.5],
            link_inertia: 1.0,
            max_speeds: [4.0 * PI, 9.0 * PI],
            torques_nm: [-1.0, 0.0, 1.0],
            time_step_s: 0.2,
        }
    }
}

/// Published equations of motion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BookOrNips {
    /// Those of the book.
    Book,
    /// Those of the paper, which lack a term of the second link's acceleration.
    Nips,
}

/// State of [`Acrobot`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcrobotState {
    /// Angle of the first link from hanging down, rad.
    pub theta1: f64,
    /// Angle between the links, rad.
    pub theta2: f64,
    /// Angular velocity of the first angle, rad/s.
    pub omega1: f64,
    /// Angular velocity of the second angle, rad/s.
    pub omega2: f64,
    /// Cosine and sine of the first angle, then of the second, which are observed.
    pub directions: [f64; 4],
}

impl From<[f64; 4]> for AcrobotState {
    fn from([theta1, theta2, omega1, omega2]: [f64; 4]) -> Self {
        let ([sin1, sin2], [cos1, cos2]) = sin_cos_lanes(&[theta1, theta2]);
        Self {
            directions: [cos1, sin1, cos2, sin2],
            theta1,
            theta2,
            omega1,
            omega2,
        }
    }
}

/// What the equations of motion multiply again and again, each product in the reference's order.
#[derive(Clone, Debug)]
struct Terms {
    /// Mass of the second link.
    mass2: f64,
    inertia: f64,
    /// Parts of `d1` and `d2`, the inertias seen by the shoulder.
    inertia1: f64,
    lengths: f64,
    twice: f64,
    center: f64,
    product: f64,
    /// Part of the denominator of the second link's acceleration.
    inertia2: f64,
    /// Gravity's torques.
    weight1: f64,
    weight2: f64,
    /// Torques by the links' rotation.
    swing: f64,
    coupling: f64,
    book: bool,
}

impl Terms {
    fn new(config: &AcrobotConfig) -> Self {
        let [l1, _] = config.link_lengths_m;
        let [m1, m2] = config.link_masses_kg;
        let [lc1, lc2] = config.link_centers_m;
        Self {
            mass2: m2,
            inertia: config.link_inertia,
            inertia1: m1 * square(lc1),
            lengths: square(l1) + square(lc2),
            twice: 2.0 * l1 * lc2,
            center: square(lc2),
            product: l1 * lc2,
            inertia2: m2 * square(lc2) + config.link_inertia,
            weight1: (m1 * lc1 + m2 * l1) * GRAVITY,
            weight2: m2 * lc2 * GRAVITY,
            swing: m2 * l1 * lc2,
            coupling: 2.0 * m2 * l1 * lc2,
            book: config.book_or_nips == BookOrNips::Book,
        }
    }

    /// Time derivatives of `[theta1, theta2, omega1, omega2]` for `N` rows: first all sines and cosines, then
    /// all accelerations, so that one row does not wait for the row before.
    #[inline(always)]
    fn derivatives<const N: usize>(
        &self,
        [theta1, theta2, omega1, omega2]: &[[f64; N]; 4],
        torque: &[f64; N],
    ) -> [[f64; N]; 4] {
        let (sin2, cos2) = sin_cos_lanes(theta2);
        let lean1 = cos_lanes(&theta1.map(|angle| angle - FRAC_PI_2));
        let both: [f64; N] = std::array::from_fn(|i| theta1[i] + theta2[i]);
        let lean2 = cos_lanes(&both.map(|angle| angle - FRAC_PI_2));
        let d2 = cos2.map(|cos2| self.mass2 * (self.center + self.product * cos2) + self.inertia);
        let [squares1, squares2, d2_squares] = [omega1, omega2, &d2].map(square_lanes);
        let mut alpha1 = [0.0; N];
        let mut alpha2 = [0.0; N];
        for i in 0..N {
            let turn = self.lengths + self.twice * cos2[i];
            let d1 = self.inertia1 + self.mass2 * turn + self.inertia + self.inertia;
            let phi2 = self.weight2 * lean2[i];
            let phi1 = -self.swing * squares2[i] * sin2[i]
                - self.coupling * omega2[i] * omega1[i] * sin2[i]
                + self.weight1 * lean1[i]
                + phi2;
            let mut force = torque[i] + d2[i] / d1 * phi1;
            if self.book {
                force -= self.swing * squares1[i] * sin2[i];
            }
            alpha2[i] = (force - phi2) / (self.inertia2 - d2_squares[i] / d1);
            alpha1[i] = -(d2[i] * alpha2[i] + phi1) / d1;
        }
        [*omega1, *omega2, alpha1, alpha2]
    }
}

/// The squares of `x` as the C library's `pow(x, 2)` gives them, which Python calls.
///
/// They are nearly always the numbers nearest to the true squares: the error before rounding is 0.015 of the last
/// place at most, for squares of 1e-43 to 1e43 (the bounds that glibc's `e_pow.c` states). So only a square close
/// to halfway between two numbers needs the real thing.
#[inline(always)]
fn square_lanes<const N: usize>(x: &[f64; N]) -> [f64; N] {
    let mut squares = [0.0; N];
    let mut sure = [true; N];
    for i in 0..N {
        squares[i] = x[i] * x[i];
        // What rounding took off, exactly: Dekker, "A Floating-Point Technique for Extending the Available
        // Precision", 1971.
        let carried = x[i] * 134_217_729.0;
        let high = carried - (carried - x[i]);
        let low = x[i] - high;
        let error = (high * high - squares[i]) + 2.0 * high * low + low * low;
        let power = f64::from_bits(squares[i].to_bits() & f64::INFINITY.to_bits());
        sure[i] = error.abs() < 0.485 * f64::EPSILON * power;
    }
    for i in 0..N {
        if !sure[i] {
            squares[i] = square(x[i]);
        }
    }
    squares
}

fn square(x: f64) -> f64 {
    // The exponent is hidden, or the compiler makes it a product.
    x.powf(black_box(2.0))
}

/// `angle` in -π to π, by whole turns one after another as in the reference.
#[inline]
fn wrap(angle: f64) -> f64 {
    // Far out, where no episode comes, a turn may be less than the last place.
    let mut angle = if angle.abs() < 1e4 {
        angle
    } else {
        angle % TAU
    };
    while angle > PI {
        angle -= TAU;
    }
    while angle < -PI {
        angle += TAU;
    }
    angle
}

impl Acrobot {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &AcrobotConfig) -> Result<Self> {
        let range = |key: &str, values: &[f64], low: f64, high: f64| {
            let mut values = values.iter();
            values.try_for_each(|&value| check_range(key, value, low..=high))
        };
        range("link_lengths_m", &config.link_lengths_m, 0.01, 100.0)?;
        range("link_masses_kg", &config.link_masses_kg, 0.01, 100.0)?;
        range("link_centers_m", &config.link_centers_m, 0.0, 100.0)?;
        range("link_inertia", &[config.link_inertia], 0.01, 100.0)?;
        range("max_speeds", &config.max_speeds, 0.01, 1000.0)?;
        range("torques_nm", &config.torques_nm, -1000.0, 1000.0)?;
        range("time_step_s", &[config.time_step_s], 1e-6, 1.0)?;
        Ok(Self {
            terms: Terms::new(config),
            config: config.clone(),
        })
    }
}

/// `start + time * slope`.
#[inline(always)]
fn moved<const N: usize>(start: &[[f64; N]; 4], time: f64, slope: &[[f64; N]; 4]) -> [[f64; N]; 4] {
    std::array::from_fn(|j| std::array::from_fn(|i| start[j][i] + time * slope[j][i]))
}

impl Block for Acrobot {
    /// Steps `N` rows by one step of the classical Runge-Kutta method; the torque is held.
    #[inline(always)]
    fn step_block<const N: usize>(
        &self,
        states: &mut [AcrobotState; N],
        actions: &[usize; N],
        steps: &mut [Step; N],
    ) {
        let dt = self.config.time_step_s;
        let torque = actions.map(|action| self.config.torques_nm[action]);
        let slope = |at: &[[f64; N]; 4]| self.terms.derivatives(at, &torque);
        let mut start = [[0.0; N]; 4];
        for (i, state) in states.iter().enumerate() {
            start[0][i] = state.theta1;
            start[1][i] = state.theta2;
            start[2][i] = state.omega1;
            start[3][i] = state.omega2;
        }
        let k1 = slope(&start);
        let k2 = slope(&moved(&start, dt / 2.0, &k1));
        let k3 = slope(&moved(&start, dt / 2.0, &k2));
        let k4 = slope(&moved(&start, dt, &k3));
        let mut sum = k1;
        for (j, sum) in sum.iter_mut().enumerate() {
            for (i, sum) in sum.iter_mut().enumerate() {
                *sum = *sum + 2.0 * k2[j][i] + 2.0 * k3[j][i] + k4[j][i];
            }
        }
        let end = moved(&start, dt / 6.0, &sum);
        let [most1, most2] = self.config.max_speeds;
        let (theta1, theta2) = (end[0].map(wrap), end[1].map(wrap));
        let (sin1, cos1) = sin_cos_lanes(&theta1);
        let (sin2, cos2) = sin_cos_lanes(&theta2);
        let tip: [f64; N] = std::array::from_fn(|i| theta2[i] + theta1[i]);
        let tip = cos_lanes(&tip);
        for i in 0..N {
            states[i] = AcrobotState {
                theta1: theta1[i],
                theta2: theta2[i],
                omega1: end[2][i].clamp(-most1, most1),
                omega2: end[3][i].clamp(-most2, most2),
                directions: [cos1[i], sin1[i], cos2[i], sin2[i]],
            };
            steps[i] = if -cos1[i] - tip[i] > 1.0 {
                Step::terminal(0.0)
            } else {
                Step::running(-1.0)
            };
        }
    }
}

impl Env for Acrobot {
    type State = AcrobotState;
    type Obs = f32;
    type Action = usize;

    fn observation_space(&self) -> Space {
        let [most1, most2] = self.config.max_speeds;
        let most = most1.max(most2).max(1.0) as f32;
        Space::Box {
            shape: vec![6],
            low: -most,
            high: most,
        }
    }
    fn action_space(&self) -> Space {
        Space::Discrete(3)
    }

    fn reset(&self, rng: &mut Rng) -> AcrobotState {
        let start: [f64; 4] = std::array::from_fn(|_| -0.1 + 0.2 * rng.random::<f64>());
        start.map(|x| f64::from(x as f32)).into()
    }
    fn numpy_reset(&self, rng: &mut NumpyRng) -> Option<AcrobotState> {
        let start: [f64; 4] = std::array::from_fn(|_| rng.uniform(-0.1, 0.1));
        Some(start.map(|x| f64::from(x as f32)).into())
    }

    #[inline]
    fn step(&self, state: &mut AcrobotState, action: usize, _: &mut Rng) -> Step {
        block::step(self, state, action)
    }

    fn step_rows(
        &self,
        states: &mut [AcrobotState],
        actions: &[usize],
        _: &mut [Rng],
        steps: &mut [Step],
    ) {
        block::step_rows(self, states, actions, steps);
    }

    #[inline]
    fn observe(&self, state: &AcrobotState, obs: &mut [f32]) {
        let [cos1, sin1, cos2, sin2] = state.directions;
        let numbers = [cos1, sin1, cos2, sin2, state.omega1, state.omega2];
        obs.copy_from_slice(&numbers.map(|x| x as f32));
    }

    fn time_limit(&self) -> Option<u32> {
        Some(500)
    }
    fn reward_threshold(&self) -> Option<f64> {
        Some(-100.0)
    }
    fn reference(&self) -> &'static str {
        "Gymnasium Acrobot-v1"
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["torque -1", "none", "torque +1"]
    }

    fn render(&self, state: &AcrobotState) -> Option<String> {
        const WIDTH: usize = 41;
        const HEIGHT: usize = 21;
        let joints = self.joints(state);
        let reach = self.reach();
        let place = |share: f64, count: usize| {
            ((share / reach / 2.0 + 0.5) * (count - 1) as f64).round() as usize
        };
        let mut rows = vec![vec![' '; WIDTH]; HEIGHT];
        let target = place(-1.0, HEIGHT).min(HEIGHT - 1);
        rows[target].fill('-');
        for (from, to) in joints.iter().zip(&joints[1..]) {
            for part in 0..=20 {
                let at = |i: usize| from[i] + (to[i] - from[i]) * f64::from(part) / 20.0;
                let (column, row) = (place(at(0), WIDTH), place(-at(1), HEIGHT));
                rows[row.min(HEIGHT - 1)][column.min(WIDTH - 1)] = 'o';
            }
        }
        let lines = rows
            .into_iter()
            .map(|row| row.into_iter().collect::<String>() + "\n");
        Some(lines.collect())
    }

    fn draw(&self, state: &AcrobotState) -> Option<Picture> {
        const SIDE: u32 = 240;
        let edge = 1.1 * self.reach();
        let mut canvas = Canvas::new(SIDE, SIDE, [-edge, edge], [-edge, edge]);
        canvas.line(&[[-edge, 1.0], [edge, 1.0]], 1.5, colors::GREEN);
        let [shoulder, elbow, tip] = self.joints(state);
        canvas.line(&[shoulder, elbow], 9.0, colors::BLUE);
        canvas.line(&[elbow, tip], 9.0, colors::SKY);
        for joint in [shoulder, elbow] {
            canvas.disc(joint, 0.05 * edge, colors::ORANGE);
        }
        Some(canvas.finish())
    }
}

impl Acrobot {
    /// Length of both links, m.
    fn reach(&self) -> f64 {
        self.config.link_lengths_m.iter().sum::<f64>().max(1.0)
    }

    /// Where shoulder, elbow and tip are, m.
    fn joints(&self, state: &AcrobotState) -> [[f64; 2]; 3] {
        let [l1, l2] = self.config.link_lengths_m;
        let (sin1, cos1) = state.theta1.sin_cos();
        let (sin2, cos2) = (state.theta1 + state.theta2).sin_cos();
        let elbow = [l1 * sin1, -l1 * cos1];
        [
            [0.0; 2],
            elbow,
            [elbow[0] + l2 * sin2, elbow[1] - l2 * cos2],
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, Status, check_env};

    fn env(config: AcrobotConfig) -> Acrobot {
        Acrobot::new(&config).unwrap()
    }

    fn rng() -> Rng {
        Seeds::new(0).stream("test", 0)
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(env(AcrobotConfig::default())), Ok(()));
        let nips = AcrobotConfig {
            book_or_nips: BookOrNips::Nips,
            ..Default::default()
        };
        assert_eq!(check_env(env(nips)), Ok(()));
    }

    #[test]
    fn squares_are_those_of_the_c_library() {
        let mut rng = rng();
        let check = |x: [f64; 8]| assert_eq!(square_lanes(&x), x.map(square), "{x:?}");
        for i in 0..200_000 {
            let size = [60.0, 1.0, 1e-5, 1e-20, 1e20][i % 5];
            check(std::array::from_fn(|_| (rng.random::<f64>() - 0.5) * size));
        }
        let rare = [0.0, 1.0, -4.0, 1e-200, 1e200, f64::INFINITY, 1e-308, 5e-324];
        check(rare);
        assert!(square_lanes(&[f64::NAN])[0].is_nan());
    }

    #[test]
    fn hanging_still_it_stays_and_a_torque_turns_both_links() {
        let env = env(AcrobotConfig::default());
        let mut rng = rng();
        let mut state = AcrobotState::from([0.0; 4]);
        assert_eq!(env.step(&mut state, 1, &mut rng), Step::running(-1.0));
        // The cosine of a right angle is 6e-17, not 0.
        assert!(state.theta1.abs() < 1e-15 && state.omega2.abs() < 1e-15);
        env.step(&mut state, 2, &mut rng);
        assert!(state.omega2 > 0.0 && state.omega1 < 0.0, "{state:?}");
    }

    /// Without a torque nothing but the method's error changes the energy.
    #[test]
    fn swinging_freely_keeps_the_energy() {
        let config = AcrobotConfig {
            time_step_s: 0.001,
            ..Default::default()
        };
        let env = env(config);
        let energy = |s: &AcrobotState| {
            let (d, w) = (s.omega1 + s.omega2, s.omega1);
            let moving = 0.5 * (0.25 + 1.0) * w * w
                + 0.5 * (w * w + 0.25 * d * d + w * d * s.theta2.cos())
                + 0.5 * d * d;
            moving - GRAVITY * (1.5 * s.theta1.cos() + 0.5 * (s.theta1 + s.theta2).cos())
        };
        let mut state = AcrobotState::from([1.0, 0.5, 0.0, 0.0]);
        let before = energy(&state);
        for _ in 0..1000 {
            env.step(&mut state, 1, &mut rng());
        }
        assert!(state.omega1.abs() > 0.1, "it moves");
        // The method's error grows as the fourth power of the time step: 1e-12 a second, and rounding.
        assert!((energy(&state) - before).abs() < 1e-9);
    }

    #[test]
    fn the_tip_above_one_metre_ends_the_episode_for_nothing() {
        let env = env(AcrobotConfig::default());
        let step = |angles: [f64; 2]| {
            let mut state = AcrobotState::from([angles[0], angles[1], 0.0, 0.0]);
            env.step(&mut state, 1, &mut rng())
        };
        assert_eq!(step([PI, 0.0]), Step::terminal(0.0), "upright");
        assert_eq!(step([PI, PI]).status, Status::Running, "folded");
    }

    #[test]
    fn angles_wrap_and_speeds_are_capped() {
        let env = env(AcrobotConfig::default());
        let mut state = AcrobotState::from([3.1, -3.1, 12.5, -28.2]);
        env.step(&mut state, 1, &mut rng());
        assert!(state.theta1.abs() <= PI && state.theta2.abs() <= PI);
        assert!(state.omega1.abs() <= 4.0 * PI && state.omega2.abs() <= 9.0 * PI);
        assert_eq!(wrap(PI), PI);
        assert_eq!(wrap(4.0), 4.0 - TAU);
        for far in [1e300, -1e17, f64::INFINITY, f64::NAN] {
            assert!(wrap(far).abs() <= PI || wrap(far).is_nan(), "ends at all");
        }
    }

    #[test]
    fn starts_have_single_precision() {
        let start = env(AcrobotConfig::default()).reset(&mut rng());
        assert_eq!(start.theta1, f64::from(start.theta1 as f32));
        assert!(start.theta1.abs() <= 0.1 && start.theta1 != start.theta2);
    }

    #[test]
    fn numbers_out_of_range_name_their_key() {
        let config = AcrobotConfig {
            link_masses_kg: [1.0, 0.0],
            ..Default::default()
        };
        let error = Acrobot::new(&config).unwrap_err().to_string();
        assert_eq!(error, "link_masses_kg: 0 is out of range; give 0.01 to 100");
    }

    #[test]
    fn the_frame_shows_both_links() {
        let picture = env(AcrobotConfig::default())
            .draw(&[0.0, PI / 2.0, 0.0, 0.0].into())
            .unwrap();
        // Hanging down one metre of 240 / 4.4 pixels, then to the right.
        assert_eq!(picture.pixel(120, 147), colors::BLUE);
        assert_eq!(picture.pixel(147, 174), colors::SKY);
    }
}
