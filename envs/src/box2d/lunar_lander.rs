use std::f64::consts::PI;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Error, Picture, Result, Rng, Space, Step, check_range};

use super::physics::{EDGES, Edge, Joint, Load, Model, Part, Polygon, Vec2, World, vec2};
use crate::canvas::{Canvas, colors};

/// Rows that step together: two registers of four numbers each on any x86-64.
const BLOCK: usize = 8;

// Gymnasium `envs/box2d/lunar_lander.py`: sizes in pixels of a frame, 30 to the metre.
const SCALE: f64 = 30.0;
const WIDTH_M: f64 = 600.0 / SCALE;
const HEIGHT_M: f64 = 400.0 / SCALE;
const STEPS_A_SECOND: f64 = 50.0;
const MAIN_ENGINE_POWER: f64 = 13.0;
const SIDE_ENGINE_POWER: f64 = 0.6;
const MAIN_ENGINE_BELOW: f64 = 4.0;
const SIDE_ENGINE_AWAY: f64 = 12.0;
const SIDE_ENGINE_HEIGHT: f64 = 14.0;
/// The other coordinate of a side engine is another one, so that its torque depends on the angle.
const SIDE_ENGINE_OTHER_HEIGHT: f64 = 17.0;
const MAX_START_FORCE_N: f64 = 1000.0;
const LANDER: [[f64; 2]; 6] = [
    [17.0, -10.0],
    [17.0, 0.0],
    [14.0, 17.0],
    [-14.0, 17.0],
    [-17.0, 0.0],
    [-17.0, -10.0],
];
const LANDER_DENSITY: f32 = 5.0;
const LANDER_FRICTION: f32 = 0.1;
const LEG_AWAY: f64 = 20.0;
const LEG_DOWN: f64 = 18.0;
const LEG_SIZE: [f64; 2] = [2.0, 8.0];
const LEG_DENSITY: f32 = 1.0;
const LEG_FRICTION: f32 = 0.2;
const LEG_TILT: f64 = 0.05;
const LEG_TORQUE: f32 = 40.0;
const LEG_SPEED: f32 = 0.3;
const LEG_LIMITS: [f64; 2] = [0.4, 0.9];
const GROUND_FRICTION: f32 = 0.1;
/// Of the edge below everything, for which Gymnasium names none.
const DEFAULT_FRICTION: f32 = 0.2;
const HELIPAD_M: f64 = HEIGHT_M / 4.0;
/// Heights drawn for a terrain of one less.
const HEIGHTS: usize = 12;
const CHUNKS: usize = HEIGHTS - 1;
const HELIPAD_CHUNKS: std::ops::RangeInclusive<usize> = CHUNKS / 2 - 2..=CHUNKS / 2 + 2;
const MAIN_FUEL: f64 = 0.30;
const SIDE_FUEL: f64 = 0.03;

/// `lunar-lander`: land a craft between two flags by firing its engines.
///
/// **Action space**: `discrete(4)`.
///
/// | action | meaning |
/// |---|---|
/// | 0 | nothing |
/// | 1 | fire the left engine: pushes to the left and turns to the left |
/// | 2 | fire the main engine |
/// | 3 | fire the right engine: the other way round |
///
/// **Observation space**: box of 8 `f32`.
///
/// | index | meaning | unit | usual range |
/// |---|---|---|---|
/// | 0 | distance to the right of the flags' middle | 10 m, half the frame | -1 to 1 |
/// | 1 | height over where it stands when landed | 6.67 m, half the frame | 0 to 1.5 |
/// | 2 | velocity to the right | 5 m/s | -2 to 2 |
/// | 3 | velocity upwards | 7.5 m/s | -2 to 2 |
/// | 4 | angle, left is positive | rad | -π to π |
/// | 5 | angular velocity | 2.5 rad/s | -5 to 5 |
/// | 6 | whether the leg on the right touches the ground | 0 or 1 | |
/// | 7 | whether the leg on the left touches the ground | 0 or 1 | |
///
/// **Reward**: the gain in `-100 distance - 100 speed - 100 |angle| + 10` a touching leg, each as observed, less 0.3
/// for the main engine and 0.03 for a side engine. The last step pays -100 after a crash or beyond the frame
/// and 100 after landing *instead* of that.
///
/// **Start**: at the top of the frame over the flags, with a push of up to 1000 N in both directions over one
/// step of 0.02 s, which is done before the first observation; the ground but for the five heights around
/// the flags is drawn anew.
///
/// **End**: terminated when the body touches the ground, when it is beyond the frame to the left or right, or
/// when it has come to rest; truncated after 1000 steps. A leg that touched two pieces of the ground and leaves one
/// counts as off the ground.
///
/// **Config**: [`LunarLanderConfig`].
///
/// # Reference
/// Gymnasium `LunarLander-v3`, `envs/box2d/lunar_lander.py`, by Oleg Klimov; constants and order of computation, with
/// the two draws of the engines' unsteadiness in every step. Physics: our own, after Box2D 2.3 by Erin Catto (zlib
/// licence), in plain Rust; recorded episodes are followed bit for bit where sine and cosine are those of the GNU C
/// library. Solved at a mean return of 200.
///
/// Deviations: no particles, which Gymnasium makes only when it draws; the observation space has no bounds,
/// because ours bound all eight alike; wind power and turbulence beyond the recommended are refused only where
/// they make no sense, without a warning.
#[derive(Clone, Debug)]
pub struct LunarLander {
    rules: Rules,
}

/// `lunar-lander-continuous`: [`LunarLander`] with throttles.
///
/// **Action space**: box of 2 `f32` in -1 to 1.
///
/// | index | meaning |
/// |---|---|
/// | 0 | main engine: off up to 0, then from half power to full |
/// | 1 | side engines: off up to a half in both directions, then that share of full power; left is negative |
///
/// **Observation space**, **Start**, **End**, **Config**: those of [`LunarLander`].
///
/// **Reward**: the same, with fuel in proportion to power.
///
/// # Reference
/// Gymnasium `LunarLander-v3` with `continuous=True`.
///
/// Deviations: those of [`LunarLander`].
#[derive(Clone, Debug)]
pub struct LunarLanderContinuous {
    rules: Rules,
}

/// Configuration of [`LunarLander`] and [`LunarLanderContinuous`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LunarLanderConfig {
    /// Gravity upwards, m/s²; between -12 and 0.
    pub gravity: f64,
    /// Whether there is wind until a leg touches.
    pub enable_wind: bool,
    /// Greatest force of the wind, N; 0 to 20 is recommended.
    pub wind_power: f64,
    /// Greatest torque of the wind, N m; 0 to 2 is recommended.
    pub turbulence_power: f64,
}

impl Default for LunarLanderConfig {
    fn default() -> Self {
        Self {
            gravity: -10.0,
            enable_wind: false,
            wind_power: 15.0,
            turbulence_power: 1.5,
        }
    }
}

/// Everything that is drawn at a start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LunarLanderDraws {
    /// Heights of the ground, in 0 to half the height of the frame, m.
    pub heights: [f64; 12],
    /// Push to the right and upwards, each in -1000 to 1000 N.
    pub force_n: [f64; 2],
    /// Where force and torque of the wind begin, in -9999 to 9998; without meaning if there is no wind.
    pub wind: [i64; 2],
    /// Unsteadiness of the engines in the step before the first observation, in -1 to 1.
    pub dispersion: [f64; 2],
}

/// State of [`LunarLander`] and [`LunarLanderContinuous`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LunarLanderState {
    world: World,
    /// Numbers of the next force and the next torque of the wind.
    wind: [i64; 2],
    /// What the reward is the gain in.
    potential: f64,
    /// Engines in the last step.
    thrust: Thrust,
}

/// One of the three bodies of the craft.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LunarLanderBody {
    /// To the right of the frame's left end and above its lower end, m.
    pub position: [f32; 2],
    /// rad.
    pub angle: f32,
    /// m/s.
    pub velocity: [f32; 2],
    /// rad/s.
    pub angular_velocity: f32,
    /// Whether it has not come to rest.
    pub awake: bool,
}

impl LunarLanderState {
    /// Lander, leg on the right, leg on the left.
    pub fn bodies(&self) -> [LunarLanderBody; 3] {
        self.world.bodies.map(|body| {
            let position = body.placement.position;
            let velocity = body.velocity.linear;
            LunarLanderBody {
                position: [position.x, position.y],
                angle: body.angle(),
                velocity: [velocity.x, velocity.y],
                angular_velocity: body.velocity.angular,
                awake: body.awake,
            }
        })
    }

    /// Whether the leg on the right, the leg on the left touches the ground, and whether the lander ever did.
    pub fn contacts(&self) -> [bool; 3] {
        let [_, right, left] = self.world.grounded;
        [right, left, self.world.hit[0]]
    }

    /// The observation before it is rounded.
    fn observation(&self) -> [f64; 8] {
        let lander = &self.world.bodies[0];
        let (at, velocity) = (lander.placement.position, lander.velocity);
        let [_, right, left] = self.world.grounded;
        [
            (f64::from(at.x) - WIDTH_M / 2.0) / (WIDTH_M / 2.0),
            (f64::from(at.y) - (HELIPAD_M + LEG_DOWN / SCALE)) / (HEIGHT_M / 2.0),
            f64::from(velocity.linear.x) * (WIDTH_M / 2.0) / STEPS_A_SECOND,
            f64::from(velocity.linear.y) * (HEIGHT_M / 2.0) / STEPS_A_SECOND,
            f64::from(lander.angle()),
            20.0 * f64::from(velocity.angular) / STEPS_A_SECOND,
            f64::from(u8::from(right)),
            f64::from(u8::from(left)),
        ]
    }
}

/// Powers of the engines.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Thrust {
    /// 0, or 0.5 to 1.
    main: f64,
    /// 0, or 0.5 to 1 in either direction; the left engine is negative.
    side: f64,
}

impl Thrust {
    fn discrete(action: usize) -> Self {
        let (main, side) = match action {
            1 => (0.0, -1.0),
            2 => (1.0, 0.0),
            3 => (0.0, 1.0),
            _ => (0.0, 0.0),
        };
        Self { main, side }
    }

    fn continuous(action: [f32; 2]) -> Self {
        let [main, side] = action.map(|throttle| f64::from(throttle).clamp(-1.0, 1.0));
        Self {
            main: if main > 0.0 { (main + 1.0) * 0.5 } else { 0.0 },
            side: if side.abs() > 0.5 { side } else { 0.0 },
        }
    }
}

/// What both kinds share.
#[derive(Clone, Debug)]
struct Rules {
    config: LunarLanderConfig,
    model: Model,
}

impl Rules {
    fn new(config: &LunarLanderConfig) -> Result<Self> {
        if !(config.gravity > -12.0 && config.gravity < 0.0) {
            let what = format!(
                "{} is out of range; give more than -12 and less than 0",
                config.gravity
            );
            return Err(Error::config("gravity", what));
        }
        check_range("wind_power", config.wind_power, 0.0..=1e3)?;
        check_range("turbulence_power", config.turbulence_power, 0.0..=1e3)?;
        Ok(Self {
            config: config.clone(),
            model: model(config.gravity),
        })
    }

    fn draw(&self, rng: &mut Rng) -> LunarLanderDraws {
        LunarLanderDraws {
            heights: std::array::from_fn(|_| HEIGHT_M / 2.0 * rng.random::<f64>()),
            force_n: dispersion(rng).map(|share| MAX_START_FORCE_N * share),
            wind: if self.config.enable_wind {
                [(); 2].map(|()| rng.random_range(-9999..9999))
            } else {
                [0; 2]
            },
            dispersion: dispersion(rng),
        }
    }

    fn start(&self, draws: &LunarLanderDraws, nothing: Thrust) -> LunarLanderState {
        let middle = vec2((WIDTH_M / 2.0) as f32, HEIGHT_M as f32);
        let leg = |side: f64| {
            let x = WIDTH_M / 2.0 - side * LEG_AWAY / SCALE;
            (vec2(x as f32, HEIGHT_M as f32), (side * LEG_TILT) as f32)
        };
        let places = [(middle, 0.0), leg(-1.0), leg(1.0)];
        let mut state = LunarLanderState {
            world: World::new(&self.model, places, terrain(&draws.heights)),
            wind: draws.wind,
            potential: 0.0,
            thrust: nothing,
        };
        let push = single(draws.force_n);
        let load = self.begin(&mut state, nothing, draws.dispersion, push);
        World::step([&mut state.world], &self.model, [load]);
        state.potential = potential(&state.observation());
        state
    }

    fn fly_one(&self, state: &mut LunarLanderState, thrust: Thrust, draws: [f64; 2]) -> Step {
        let [step] = self.fly(std::array::from_mut(state), [thrust], [draws]);
        step
    }

    /// One step of all rows, which go faster together.
    fn fly_rows<A: Copy>(
        &self,
        states: &mut [LunarLanderState],
        actions: &[A],
        rngs: &mut [Rng],
        steps: &mut [Step],
        thrust: fn(A) -> Thrust,
    ) {
        let (blocks, states) = states.as_chunks_mut::<BLOCK>();
        let (block_actions, actions) = actions.as_chunks::<BLOCK>();
        let (block_rngs, rngs) = rngs.as_chunks_mut::<BLOCK>();
        let (block_steps, steps) = steps.as_chunks_mut::<BLOCK>();
        let block_rows = blocks.iter_mut().zip(block_actions).zip(block_rngs);
        for (((states, actions), rngs), steps) in block_rows.zip(block_steps) {
            let draws = rngs.each_mut().map(dispersion);
            *steps = self.fly(states, actions.map(thrust), draws);
        }
        let rows = states.iter_mut().zip(actions).zip(rngs);
        for (((state, &action), rng), step) in rows.zip(steps) {
            *step = self.fly_one(state, thrust(action), dispersion(rng));
        }
    }

    /// One step of several craft together.
    fn fly<const N: usize>(
        &self,
        states: &mut [LunarLanderState; N],
        thrusts: [Thrust; N],
        dispersions: [[f64; 2]; N],
    ) -> [Step; N] {
        let loads = std::array::from_fn(|i| {
            self.begin(&mut states[i], thrusts[i], dispersions[i], vec2(0.0, 0.0))
        });
        World::step(
            states.each_mut().map(|state| &mut state.world),
            &self.model,
            loads,
        );
        states.each_mut().map(Self::end)
    }

    /// Blows and fires; `force`, N, comes on top.
    fn begin(
        &self,
        state: &mut LunarLanderState,
        thrust: Thrust,
        dispersion: [f64; 2],
        mut force: Vec2,
    ) -> Load {
        let mut torque = 0.0;
        let [_, right, left] = state.world.grounded;
        if self.config.enable_wind && !right && !left {
            state.world.wake(0);
            let [blow, turn] = state.wind.map(gust);
            force += vec2((blow * self.config.wind_power) as f32, 0.0);
            torque = (turn * self.config.turbulence_power) as f32;
            state.wind = state.wind.map(|i| i.wrapping_add(1));
        }
        self.fire(&mut state.world, thrust, dispersion.map(|d| d / SCALE));
        state.thrust = thrust;
        Load { force, torque }
    }

    /// What the step gave.
    fn end(state: &mut LunarLanderState) -> Step {
        let obs = state.observation();
        let before = std::mem::replace(&mut state.potential, potential(&obs));
        if !state.world.bodies[0].awake {
            return Step::terminal(100.0);
        }
        if state.world.hit[0] || obs[0].abs() >= 1.0 {
            return Step::terminal(-100.0);
        }
        let Thrust { main, side } = state.thrust;
        let gain = state.potential - before;
        Step::running((gain - main * MAIN_FUEL - side.abs() * SIDE_FUEL) as f32)
    }

    /// Pushes the lander by its engines.
    fn fire(&self, world: &mut World, thrust: Thrust, [d0, d1]: [f64; 2]) {
        let lander = &world.bodies[0];
        let [x, y] = [lander.placement.position.x, lander.placement.position.y].map(f64::from);
        let (sin, cos) = f64::from(lander.angle()).sin_cos();
        if thrust.main > 0.0 {
            let below = MAIN_ENGINE_BELOW / SCALE + 2.0 * d0;
            let offset = [sin * below + -cos * d1, -cos * below - sin * d1];
            let impulse = offset.map(|o| -o * MAIN_ENGINE_POWER * thrust.main);
            let point = [x + offset[0], y + offset[1]];
            world.push(&self.model, 0, single(impulse), single(point));
        }
        if thrust.side != 0.0 {
            let away = 3.0 * d1 + thrust.side.signum() * SIDE_ENGINE_AWAY / SCALE;
            let offset = [sin * d0 + -cos * away, -cos * d0 - sin * away];
            let impulse = offset.map(|o| -o * SIDE_ENGINE_POWER * thrust.side.abs());
            let point = [
                x + offset[0] - sin * SIDE_ENGINE_OTHER_HEIGHT / SCALE,
                y + offset[1] + cos * SIDE_ENGINE_HEIGHT / SCALE,
            ];
            world.push(&self.model, 0, single(impulse), single(point));
        }
    }

    fn render(&self, state: &LunarLanderState) -> String {
        const COLUMNS: usize = 60;
        const ROWS: usize = 16;
        let column = |x: f64| (x / WIDTH_M * COLUMNS as f64) as usize;
        let row = |y: f64| ROWS - 1 - ((y / HEIGHT_M * ROWS as f64) as usize).min(ROWS - 1);
        let mut rows = vec![vec![' '; COLUMNS]; ROWS];
        let surface = surface(&state.world.edges);
        for i in 0..COLUMNS {
            let x = (i as f64 + 0.5) / COLUMNS as f64 * WIDTH_M;
            let chunk = ((x / WIDTH_M * (CHUNKS - 1) as f64) as usize).min(CHUNKS - 2);
            let [a, b] = [surface[chunk], surface[chunk + 1]];
            let height = a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0]);
            for line in &mut rows[row(height)..] {
                line[i] = '.';
            }
        }
        for x in flags() {
            rows[row(HELIPAD_M + 1.0)][column(x)] = '|';
        }
        let lander = state.bodies()[0];
        let [x, y] = lander.position.map(f64::from);
        if let Some(cell) = rows[row(y)].get_mut(column(x)) {
            *cell = 'A';
        }
        let lines = rows
            .into_iter()
            .map(|row| row.into_iter().collect::<String>() + "\n");
        lines.collect::<String>()
            + &format!(
                "speed {:+.2} {:+.2} m/s, angle {:+.1} degrees\n",
                lander.velocity[0],
                lander.velocity[1],
                lander.angle.to_degrees()
            )
    }

    fn picture(&self, state: &LunarLanderState) -> Picture {
        let mut canvas = Canvas::new(360, 240, [0.0, WIDTH_M], [0.0, HEIGHT_M]);
        canvas.rectangle([0.0, 0.0], [WIDTH_M, HEIGHT_M], colors::BLACK);
        let mut ground = surface(&state.world.edges).to_vec();
        ground.extend([[WIDTH_M, 0.0], [0.0, 0.0]]);
        canvas.polygon(&ground, colors::LIGHT_GREY);
        for x in flags() {
            let top = HELIPAD_M + 50.0 / SCALE;
            canvas.line(&[[x, HELIPAD_M], [x, top]], 1.5, colors::GREY);
            let tip = [x + 25.0 / SCALE, top - 5.0 / SCALE];
            canvas.polygon(&[[x, top], tip, [x, top - 10.0 / SCALE]], colors::YELLOW);
        }
        let bodies = &state.world.bodies;
        let place = |i: usize, [x, y]: [f64; 2]| {
            let point = vec2((x / SCALE) as f32, (y / SCALE) as f32);
            point_of(bodies[i].placement.apply(point))
        };
        let flame = |canvas: &mut Canvas, corners: [[f64; 2]; 3]| {
            canvas.polygon(&corners.map(|corner| place(0, corner)), colors::ORANGE);
        };
        let main = 26.0 * state.thrust.main;
        if main > 0.0 {
            flame(
                &mut canvas,
                [[-7.0, -9.0], [7.0, -9.0], [0.0, -10.0 - main]],
            );
        }
        let side = state.thrust.side;
        if side != 0.0 {
            // What is called the left engine blows to the right.
            let from = -14.0 * side.signum();
            flame(
                &mut canvas,
                [[from, 4.0], [from, 12.0], [from - 20.0 * side, 8.0]],
            );
        }
        for (leg, hip) in [(1, 15.0), (2, -15.0)] {
            let strut = [place(0, [hip, -3.0]), place(leg, [0.0, 5.0])];
            canvas.line(&strut, 1.5, colors::GREY);
        }
        for (i, color) in [(1, colors::SKY), (2, colors::SKY), (0, colors::PURPLE)] {
            let corners = self.model.parts[i].polygon.corners().iter();
            let outline: Vec<[f64; 2]> = corners
                .map(|&corner| point_of(bodies[i].placement.apply(corner)))
                .collect();
            canvas.polygon(&outline, color);
        }
        canvas.finish()
    }
}

/// Two numbers in -1 to 1.
fn dispersion(rng: &mut Rng) -> [f64; 2] {
    [(); 2].map(|()| -1.0 + 2.0 * rng.random::<f64>())
}

/// Strength of the wind, in -1 to 1; it never repeats itself.
fn gust(i: i64) -> f64 {
    let i = i as f64;
    ((0.02 * i).sin() + (PI * 0.01 * i).sin()).tanh()
}

/// What the reward is the gain in.
fn potential(obs: &[f64; 8]) -> f64 {
    -100.0 * (obs[0] * obs[0] + obs[1] * obs[1]).sqrt()
        - 100.0 * (obs[2] * obs[2] + obs[3] * obs[3]).sqrt()
        - 100.0 * obs[4].abs()
        + 10.0 * obs[6]
        + 10.0 * obs[7]
}

fn single([x, y]: [f64; 2]) -> Vec2 {
    vec2(x as f32, y as f32)
}

fn point_of(v: Vec2) -> [f64; 2] {
    [f64::from(v.x), f64::from(v.y)]
}

fn flags() -> [f64; 2] {
    [CHUNKS / 2 - 1, CHUNKS / 2 + 1].map(chunk_x)
}

fn chunk_x(chunk: usize) -> f64 {
    WIDTH_M / (CHUNKS - 1) as f64 * chunk as f64
}

/// The edge below everything, then the ground from left to right.
fn terrain(heights: &[f64; HEIGHTS]) -> [Edge; EDGES] {
    let mut heights = *heights;
    heights[HELIPAD_CHUNKS].fill(HELIPAD_M);
    // The first height has none before it; the reference takes the last one.
    let smooth: [f64; CHUNKS] = std::array::from_fn(|i| {
        let before = heights[i.checked_sub(1).unwrap_or(HEIGHTS - 1)];
        0.33 * (before + heights[i] + heights[i + 1])
    });
    std::array::from_fn(|i| match i.checked_sub(1) {
        None => Edge::new([single([0.0; 2]), single([WIDTH_M, 0.0])], DEFAULT_FRICTION),
        Some(chunk) => {
            let end = |chunk: usize| single([chunk_x(chunk), smooth[chunk]]);
            Edge::new([end(chunk), end(chunk + 1)], GROUND_FRICTION)
        }
    })
}

/// Points of the ground, m.
fn surface(edges: &[Edge; EDGES]) -> [[f64; 2]; CHUNKS] {
    std::array::from_fn(|i| {
        if i + 1 < EDGES {
            point_of(edges[i + 1].ends[0])
        } else {
            point_of(edges[i].ends[1])
        }
    })
}

fn model(gravity: f64) -> Model {
    let corners = LANDER.map(|corner| single(corner.map(|x| x / SCALE)));
    let lander = Part::new(Polygon::new(&corners), LANDER_DENSITY, LANDER_FRICTION);
    let leg = Part::new(
        Polygon::rectangle(single(LEG_SIZE.map(|x| x / SCALE))),
        LEG_DENSITY,
        LEG_FRICTION,
    );
    let joint = |side: f64| {
        let [low, high] = LEG_LIMITS;
        Joint {
            anchors: [
                vec2(0.0, 0.0),
                single([side * LEG_AWAY / SCALE, LEG_DOWN / SCALE]),
            ],
            // How the leg hangs at the start.
            reference_angle: (side * LEG_TILT) as f32,
            limits: if side < 0.0 {
                [low, high]
            } else {
                [-high, -low]
            }
            .map(|x| x as f32),
            motor_speed: LEG_SPEED * side as f32,
            max_torque: LEG_TORQUE,
        }
    };
    Model {
        parts: [lander, leg.clone(), leg],
        joints: [joint(-1.0), joint(1.0)],
        gravity: gravity as f32,
    }
}

impl LunarLander {
    /// # Errors
    /// [`Error::Config`] if a number is out of range.
    pub fn new(config: &LunarLanderConfig) -> Result<Self> {
        let rules = Rules::new(config)?;
        Ok(Self { rules })
    }

    /// The start that these draws give.
    pub fn start(&self, draws: &LunarLanderDraws) -> LunarLanderState {
        self.rules.start(draws, Thrust::discrete(0))
    }

    /// The step that `dispersion`, two numbers in -1 to 1, gives.
    pub fn fly(&self, state: &mut LunarLanderState, action: usize, dispersion: [f64; 2]) -> Step {
        self.rules.fly_one(state, Self::thrust(action), dispersion)
    }

    fn thrust(action: usize) -> Thrust {
        Thrust::discrete(action)
    }
}

impl LunarLanderContinuous {
    /// # Errors
    /// [`Error::Config`] if a number is out of range.
    pub fn new(config: &LunarLanderConfig) -> Result<Self> {
        let rules = Rules::new(config)?;
        Ok(Self { rules })
    }

    /// The start that these draws give.
    pub fn start(&self, draws: &LunarLanderDraws) -> LunarLanderState {
        self.rules.start(draws, Thrust::continuous([0.0; 2]))
    }

    /// The step that `dispersion`, two numbers in -1 to 1, gives.
    pub fn fly(
        &self,
        state: &mut LunarLanderState,
        action: [f32; 2],
        dispersion: [f64; 2],
    ) -> Step {
        self.rules.fly_one(state, Self::thrust(action), dispersion)
    }

    fn thrust(action: [f32; 2]) -> Thrust {
        Thrust::continuous(action)
    }
}

/// Everything but the actions.
macro_rules! shared {
    () => {
        type State = LunarLanderState;
        type Obs = f32;

        fn observation_space(&self) -> Space {
            Space::unbounded(&[8])
        }

        fn reset(&self, rng: &mut Rng) -> LunarLanderState {
            self.start(&self.rules.draw(rng))
        }

        fn step(&self, state: &mut LunarLanderState, action: Self::Action, rng: &mut Rng) -> Step {
            self.fly(state, action, dispersion(rng))
        }
        fn step_rows(
            &self,
            states: &mut [LunarLanderState],
            actions: &[Self::Action],
            rngs: &mut [Rng],
            steps: &mut [Step],
        ) {
            self.rules
                .fly_rows(states, actions, rngs, steps, Self::thrust);
        }

        fn observe(&self, state: &LunarLanderState, obs: &mut [f32]) {
            obs.copy_from_slice(&state.observation().map(|x| x as f32));
        }

        fn time_limit(&self) -> Option<u32> {
            Some(1000)
        }
        fn reward_threshold(&self) -> Option<f64> {
            Some(200.0)
        }

        fn reference(&self) -> &'static str {
            "Gymnasium LunarLander-v3"
        }
        fn render(&self, state: &LunarLanderState) -> Option<String> {
            Some(self.rules.render(state))
        }
        fn draw(&self, state: &LunarLanderState) -> Option<Picture> {
            Some(self.rules.picture(state))
        }
    };
}

impl Env for LunarLander {
    type Action = usize;

    fn action_space(&self) -> Space {
        Space::Discrete(4)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["nothing", "left engine", "main engine", "right engine"]
    }
    shared!();
}

impl Env for LunarLanderContinuous {
    type Action = [f32; 2];

    fn action_space(&self) -> Space {
        Space::Box {
            shape: vec![2],
            low: -1.0,
            high: 1.0,
        }
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["main engine", "side engines"]
    }
    shared!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Seeds, Status, check_env};

    fn rng() -> Rng {
        Seeds::new(3).stream("test", 0)
    }

    fn lander() -> LunarLander {
        LunarLander::new(&LunarLanderConfig::default()).unwrap()
    }

    /// Over flat ground, without a push.
    fn calm() -> LunarLanderDraws {
        LunarLanderDraws {
            heights: [HELIPAD_M; 12],
            force_n: [0.0; 2],
            wind: [40, 7],
            dispersion: [0.0; 2],
        }
    }

    fn windy() -> LunarLander {
        let config = LunarLanderConfig {
            enable_wind: true,
            ..Default::default()
        };
        LunarLander::new(&config).unwrap()
    }

    /// The last step and all before it, falling without engines.
    fn fall(env: &LunarLander, state: &mut LunarLanderState) -> Vec<Step> {
        let mut steps = Vec::new();
        while steps
            .last()
            .is_none_or(|step: &Step| !step.status.is_over())
        {
            steps.push(env.fly(state, 0, [0.0; 2]));
        }
        steps
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(lander()), Ok(()));
        assert_eq!(check_env(windy()), Ok(()));
        let continuous = LunarLanderContinuous::new(&LunarLanderConfig::default()).unwrap();
        assert_eq!(check_env(continuous), Ok(()));
    }

    #[test]
    fn the_parts_weigh_what_box2d_says() {
        // Of Box2D 2.3.10 for Python: masses, inertias about the origins, centres.
        let mass = |i: usize| {
            let part = &model(-10.0).parts[i];
            let (mass, center) = (1.0 / part.inverse_mass, part.local_center);
            let from_origin = mass * (center.x * center.x + center.y * center.y);
            (mass, 1.0 / part.inverse_inertia + from_origin, center)
        };
        let near = |a: f32, b: f32| assert!((a / b - 1.0).abs() < 1e-6, "{a} {b}");
        let (lander, inertia, center) = mass(0);
        near(lander, 4.816_666_6);
        near(inertia, 0.833_314_9);
        assert_eq!(center, vec2(0.0, 0.101_307_19));
        let (leg, inertia, center) = mass(1);
        near(leg, 0.071_111_12);
        near(inertia, 0.001_790_947);
        assert_eq!(center, vec2(0.0, 0.0));
    }

    #[test]
    fn the_angle_of_a_leg_counts_from_how_it_hangs_at_the_start() {
        let env = lander();
        let mut state = env.start(&calm());
        for _ in 0..40 {
            env.fly(&mut state, 0, [0.0; 2]);
        }
        let [lander, right, left] = state.bodies().map(|body| body.angle);
        // The motors hold them at 0.4 from there, give or take the 2 degrees that limits leave alone.
        let slop = 2.0_f32.to_radians();
        assert!((right - lander - (0.4 - 0.05)).abs() <= slop);
        assert!((left - lander - (-0.4 + 0.05)).abs() <= slop);
    }

    #[test]
    fn the_first_chunk_is_smoothed_with_the_last_height() {
        let mut heights = [0.0; HEIGHTS];
        (heights[0], heights[1], heights[11]) = (1.0, 2.0, 4.0);
        let surface = surface(&terrain(&heights));
        assert_eq!(surface[0], [0.0, f64::from((0.33 * 7.0) as f32)]);
        // And the last chunk with all three of its own.
        assert_eq!(surface[10], [20.0, f64::from((0.33 * 4.0) as f32)]);
        // Between the flags it is level: 0.33 of three times a quarter of the frame.
        assert_eq!(surface[4][1], f64::from((0.99 * HELIPAD_M) as f32));
        assert_eq!(
            (surface[5][1], surface[6][1]),
            (surface[4][1], surface[4][1])
        );
    }

    #[test]
    fn the_first_observation_is_one_step_old() {
        let env = lander();
        let state = env.start(&LunarLanderDraws {
            force_n: [500.0, 0.0],
            ..calm()
        });
        let (mut momentum, mut mass) = ([0.0, 0.0], 0.0);
        for (part, body) in env.rules.model.parts.iter().zip(state.bodies()) {
            mass += 1.0 / part.inverse_mass;
            momentum[0] += body.velocity[0] / part.inverse_mass;
            momentum[1] += body.velocity[1] / part.inverse_mass;
        }
        // 500 N and gravity of 10 m/s² over 0.02 s; 1e-4: f32 through 180 iterations.
        assert!((momentum[0] / 10.0 - 1.0).abs() < 1e-4, "{momentum:?}");
        assert!(
            (momentum[1] / (-0.2 * mass) - 1.0).abs() < 1e-4,
            "{momentum:?}"
        );
    }

    #[test]
    fn every_step_draws_two_numbers_used_or_not() {
        let env = lander();
        for action in 0..4 {
            let mut used = rng();
            let mut state = env.reset(&mut used);
            env.step(&mut state, action, &mut used);
            let mut counted = rng();
            for _ in 0..12 + 2 + 2 + 2 {
                counted.random::<f64>();
            }
            assert_eq!(used, counted);
        }
    }

    #[test]
    fn the_left_engine_pushes_and_turns_to_the_left_and_the_right_one_the_other_way() {
        let env = lander();
        let after = |action| {
            let mut state = env.start(&calm());
            env.fly(&mut state, action, [0.0; 2]);
            state.observation()
        };
        let [left, main, right] = [1, 2, 3].map(after);
        assert!(left[2] < 0.0 && left[5] > 0.0);
        assert!(right[2] > 0.0 && right[5] < 0.0);
        assert!(main[3] > after(0)[3]);
    }

    #[test]
    fn throttles_have_dead_zones_and_begin_at_half_power() {
        let power = |action| {
            let Thrust { main, side } = Thrust::continuous(action);
            (main, side)
        };
        assert_eq!(power([0.0, 0.5]), (0.0, 0.0));
        assert_eq!(power([0.5, -0.75]), (0.75, -0.75));
        assert_eq!(power([7.0, -7.0]), (1.0, -1.0));
        assert_eq!(power([-1.0, 0.0]), (0.0, 0.0));
        assert!(power([1e-6, 0.0]).0 > 0.5);
        assert_eq!(power([f32::NAN; 2]), (0.0, 0.0));
    }

    #[test]
    fn full_throttle_is_what_the_button_does() {
        let (env, draws) = (lander(), calm());
        let continuous = LunarLanderContinuous::new(&LunarLanderConfig::default()).unwrap();
        let throttles = [[0.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]];
        for (action, throttles) in throttles.into_iter().enumerate() {
            let (mut a, mut b) = (env.start(&draws), continuous.start(&draws));
            let step = env.fly(&mut a, action, [0.3, -0.6]);
            assert_eq!(step, continuous.fly(&mut b, throttles, [0.3, -0.6]));
            assert_eq!(a, b);
        }
    }

    #[test]
    fn the_reward_is_the_gain_less_fuel() {
        let env = lander();
        for (action, fuel) in [(0, 0.0), (1, 0.03), (2, 0.3), (3, 0.03)] {
            let mut state = env.start(&calm());
            let before = potential(&state.observation());
            let step = env.fly(&mut state, action, [0.0; 2]);
            let gain = potential(&state.observation()) - before;
            assert_eq!(step.reward, (gain - fuel) as f32);
        }
    }

    #[test]
    fn a_crash_pays_minus_hundred_and_nothing_else() {
        let env = lander();
        let mut state = env.start(&calm());
        let steps = fall(&env, &mut state);
        assert_eq!(steps.last(), Some(&Step::terminal(-100.0)));
        assert!(state.contacts()[2]);
        // Also if it is stepped on.
        assert_eq!(env.fly(&mut state, 2, [0.0; 2]), Step::terminal(-100.0));
    }

    /// Just over the ground, at rest.
    fn before_landing(env: &LunarLander) -> LunarLanderState {
        let mut state = env.start(&calm());
        for _ in 0..60 {
            env.fly(&mut state, 0, [0.0; 2]);
        }
        // Onto a cushion: without speed again and again.
        while !state.contacts().contains(&true) {
            for body in &mut state.world.bodies {
                body.velocity = Default::default();
            }
            env.fly(&mut state, 0, [0.0; 2]);
        }
        state
    }

    #[test]
    fn what_comes_to_rest_pays_a_hundred_and_nothing_else_even_after_a_crash() {
        let env = lander();
        let landed = before_landing(&env);
        let mut state = landed.clone();
        let steps = fall(&env, &mut state);
        assert_eq!(steps.last(), Some(&Step::terminal(100.0)));
        assert_eq!(state.contacts(), [true, true, false]);
        // With the step in which it touched, half a second at rest.
        assert!(steps.len() + 1 >= 25, "{}", steps.len());
        state.world.hit[0] = true;
        assert_eq!(env.fly(&mut state, 0, [0.0; 2]), Step::terminal(100.0));
    }

    #[test]
    fn beyond_the_frame_pays_minus_hundred() {
        let env = lander();
        let mut state = env.start(&LunarLanderDraws {
            force_n: [1000.0, 1000.0],
            ..calm()
        });
        let mut last = Step::running(0.0);
        while !last.status.is_over() {
            // Up and to the right.
            let action = if state.bodies()[0].velocity[1] < 0.0 {
                2
            } else {
                0
            };
            last = env.fly(&mut state, action, [0.0; 2]);
        }
        assert_eq!(last, Step::terminal(-100.0));
        assert!(state.observation()[0] >= 1.0 && !state.contacts()[2]);
    }

    #[test]
    fn the_wind_and_its_numbers_stand_still_while_a_leg_touches() {
        let env = windy();
        let mut state = env.start(&calm());
        assert_eq!(
            state.wind,
            [41, 8],
            "blown in the step before the first observation"
        );
        env.fly(&mut state, 0, [0.0; 2]);
        assert_eq!(state.wind, [42, 9]);
        let mut on_the_ground = state.clone();
        on_the_ground.world.grounded[1] = true;
        env.fly(&mut on_the_ground, 0, [0.0; 2]);
        assert_eq!(on_the_ground.wind, [42, 9]);
        env.fly(&mut state, 0, [0.0; 2]);
        assert!(state.bodies()[0].velocity[0] > on_the_ground.bodies()[0].velocity[0]);
    }

    #[test]
    fn a_state_that_was_written_goes_on_as_it_was() {
        let env = lander();
        let state = before_landing(&env);
        let text = serde_json::to_string(&state).unwrap();
        let mut copy: LunarLanderState = serde_json::from_str(&text).unwrap();
        assert_eq!(copy, state);
        let mut state = state;
        assert_eq!(fall(&env, &mut copy), fall(&env, &mut state));
        assert_eq!(copy, state);
    }

    #[test]
    fn rows_fly_together_as_they_would_alone_also_on_the_ground_and_after_the_end() {
        const ROWS: usize = BLOCK + 3;
        let env = windy();
        let mut rngs: Vec<Rng> = (0..ROWS as u64)
            .map(|i| Seeds::new(i).stream("test", 0))
            .collect();
        let mut states: Vec<LunarLanderState> = rngs.iter_mut().map(|rng| env.reset(rng)).collect();
        // One of them sleeps among the others.
        for body in &mut states[2].world.bodies {
            body.awake = false;
        }
        let (mut lone, mut lone_rngs) = (states.clone(), rngs.clone());
        let mut steps = [Step::running(0.0); ROWS];
        let mut touched = 0;
        for t in 0..200 {
            let actions: [usize; ROWS] = std::array::from_fn(|row| (t / 7 + row) % 4);
            env.step_rows(&mut states, &actions, &mut rngs, &mut steps);
            for (row, state) in lone.iter_mut().enumerate() {
                let step = env.step(state, actions[row], &mut lone_rngs[row]);
                assert_eq!(step, steps[row], "row {row}, step {t}");
                touched += usize::from(state.contacts().contains(&true));
            }
            assert_eq!(states, lone, "step {t}");
        }
        assert!(touched > 100, "{touched}");
    }

    /// Pointers to every number, flag and name in `value`.
    fn leaves(value: &serde_json::Value, path: String, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    leaves(item, format!("{path}/{i}"), found);
                }
            }
            serde_json::Value::Object(items) => {
                for (key, item) in items {
                    leaves(item, format!("{path}/{key}"), found);
                }
            }
            _ => found.push(path),
        }
    }

    #[test]
    fn no_loaded_state_makes_it_panic() {
        let env = windy();
        let state = before_landing(&env);
        let value = serde_json::to_value(&state).unwrap();
        let mut paths = Vec::new();
        leaves(&value, String::new(), &mut paths);
        assert!(paths.len() > 200);
        let others = [
            serde_json::json!(-1),
            serde_json::json!(3),
            serde_json::json!(255),
            serde_json::json!(i64::MAX),
            serde_json::json!(-1e38),
            serde_json::json!(1e300),
        ];
        let (mut loaded, mut refused) = (0, 0);
        for path in &paths {
            for other in &others {
                let mut changed = value.clone();
                *changed.pointer_mut(path).unwrap() = other.clone();
                let Ok(mut state) = serde_json::from_value::<LunarLanderState>(changed) else {
                    refused += 1;
                    continue;
                };
                loaded += 1;
                for action in [0, 2] {
                    env.fly(&mut state, action, [0.5; 2]);
                }
                let _ = env.render(&state);
                let _ = env.draw(&state);
            }
        }
        assert!(loaded > 500 && refused > 50, "{loaded} {refused}");
    }

    #[test]
    fn numbers_out_of_range_name_their_key() {
        let refused =
            |config: LunarLanderConfig| LunarLander::new(&config).unwrap_err().to_string();
        let default = LunarLanderConfig::default;
        for gravity in [-12.0, 0.0, f64::NAN] {
            let what =
                format!("gravity: {gravity} is out of range; give more than -12 and less than 0");
            assert_eq!(
                refused(LunarLanderConfig {
                    gravity,
                    ..default()
                }),
                what
            );
        }
        let config = LunarLanderConfig {
            wind_power: -1.0,
            ..default()
        };
        assert_eq!(
            refused(config),
            "wind_power: -1 is out of range; give 0 to 1000"
        );
        let config = LunarLanderConfig {
            turbulence_power: 1e4,
            ..default()
        };
        assert_eq!(
            refused(config),
            "turbulence_power: 10000 is out of range; give 0 to 1000"
        );
    }

    #[test]
    fn the_pictures_show_the_craft_and_its_flames() {
        let env = lander();
        let mut state = env.start(&calm());
        for _ in 0..20 {
            env.fly(&mut state, 0, [0.0; 2]);
        }
        assert!(env.render(&state).unwrap().contains('A'));
        let orange = |state: &LunarLanderState| {
            let picture = env.draw(state).unwrap();
            assert_eq!((picture.width, picture.height), (360, 240));
            picture
                .rgb
                .chunks_exact(3)
                .filter(|p| **p == colors::ORANGE)
                .count()
        };
        assert_eq!(orange(&state), 0);
        for action in 1..4 {
            env.fly(&mut state, action, [0.0; 2]);
            assert!(orange(&state) > 5, "{action}");
        }
        assert_eq!(env.fly(&mut state, 0, [0.0; 2]).status, Status::Running);
        assert_eq!(orange(&state), 0);
    }
}
