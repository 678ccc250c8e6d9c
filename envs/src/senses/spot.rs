//! Scenes of coloured shapes, with the boxes and classes of what they show, and the problem of pointing at a shape.
//!
//! A detector can be trained on [`Scene`]s drawn from any generator; [`Spot`] shows scenes from the same source.
//!
//! ```
//! use thorndike_core::Seeds;
//! use thorndike_envs::senses::spot::{CLASSES, PIXELS, Scene};
//! let mut rng = Seeds::new(1).stream("scenes", 0);
//! let scene = Scene::random(&mut rng, 6);
//! let mut pixels = vec![0; PIXELS];
//! scene.render_into(&mut pixels);
//! for object in scene.objects() {
//!     let [left, top, right, bottom] = object.bounds();
//!     println!("{} at {left} {top} {right} {bottom}", CLASSES[object.class as usize]);
//! }
//! assert_eq!(pixels.len(), 3 * 64 * 64);
//! ```

use rand::RngExt;
use serde::{Deserialize, Serialize};
use thorndike_core::{Env, Picture, Result, Rng, Space, Step, check_range};

use super::raster::{Frame, blend};
use crate::canvas::{Rgb, colors};

/// Width and height of a scene.
pub const SIDE: usize = 64;
/// Scalars of a scene: red, green and blue plane.
pub const PIXELS: usize = 3 * SIDE * SIDE;
/// What the classes of shapes are called.
pub const CLASSES: [&str; 5] = ["disc", "square", "triangle", "cross", "ring"];
/// Objects that a scene has room for.
pub const MAX_OBJECTS: usize = 8;

const FRAME: Frame = Frame {
    width: SIDE,
    height: SIDE,
};
const COLORS: [Rgb; 7] = [
    colors::ORANGE,
    colors::SKY,
    colors::GREEN,
    colors::YELLOW,
    colors::BLUE,
    colors::RED,
    colors::PURPLE,
];
/// Pixels between two places of the cursor, and places in a row.
const STRIDE: usize = 4;
const PLACES: u8 = (SIDE / STRIDE) as u8;

/// A shape in a scene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What it is, a number of [`CLASSES`].
    pub class: u8,
    /// Which colour it has; any class has any.
    pub color: u8,
    /// Column of its middle, in pixels.
    pub x: u8,
    /// Row of its middle, in pixels.
    pub y: u8,
    /// Half its size, in pixels.
    pub radius: u8,
}

impl Object {
    /// Its box: left, top, right, bottom, in pixels from the upper left corner, as if nothing lay over it.
    pub fn bounds(&self) -> [f32; 4] {
        // In radii around the middle.
        let [left, top, right, bottom] = match self.class % 5 {
            1 => [-0.85, -0.85, 0.85, 0.85],
            2 => [-0.95, -1.0, 0.95, 0.75],
            _ => [-1.0, -1.0, 1.0, 1.0],
        };
        let [x, y, radius] = [self.x, self.y, self.radius].map(f32::from);
        [
            x + radius * left,
            y + radius * top,
            x + radius * right,
            y + radius * bottom,
        ]
    }

    /// Whether its shape covers the point (`x`, `y`).
    pub fn covers(&self, x: f32, y: f32) -> bool {
        let (x, y) = (x - f32::from(self.x), y - f32::from(self.y));
        let radius = f32::from(self.radius);
        let distance = match self.class % 5 {
            0 => disc(x, y, radius),
            1 => square(x, y, radius),
            2 => triangle(x, y, radius),
            3 => cross(x, y, radius),
            _ => ring(x, y, radius),
        };
        distance < 0.0
    }

    fn draw(&self, pixels: &mut [u8]) {
        // The shape is chosen here and not for every pixel.
        match self.class % 5 {
            0 => self.fill(pixels, disc),
            1 => self.fill(pixels, square),
            2 => self.fill(pixels, triangle),
            3 => self.fill(pixels, cross),
            _ => self.fill(pixels, ring),
        }
    }

    #[inline]
    fn fill(&self, pixels: &mut [u8], distance: impl Fn(f32, f32, f32) -> f32) {
        let [x, y, radius] = [self.x, self.y, self.radius].map(f32::from);
        let [left, top, right, bottom] = self.bounds();
        let bounds = [left - 1.0, top - 1.0, right + 1.0, bottom + 1.0];
        let ink = COLORS[usize::from(self.color) % COLORS.len()];
        FRAME.fill(
            bounds,
            |px, py| distance(px - x, py - y, radius),
            paint(pixels, ink),
        );
    }
}

/// Signed distance of a point from the edge of a shape around the origin.
fn disc(x: f32, y: f32, radius: f32) -> f32 {
    (x * x + y * y).sqrt() - radius
}
fn square(x: f32, y: f32, radius: f32) -> f32 {
    x.abs().max(y.abs()) - 0.85 * radius
}
/// Top at (0, -1), base from (-0.95, 0.75) to (0.95, 0.75), in radii.
fn triangle(x: f32, y: f32, radius: f32) -> f32 {
    let side = 0.879 * x.abs() - 0.477 * (y + radius);
    side.max(y - 0.75 * radius)
}
fn cross(x: f32, y: f32, radius: f32) -> f32 {
    let (long, short) = (x.abs().max(y.abs()), x.abs().min(y.abs()));
    (long - radius).max(short - 0.35 * radius)
}
fn ring(x: f32, y: f32, radius: f32) -> f32 {
    (disc(x, y, 0.75 * radius)).abs() - 0.25 * radius
}

/// A closure for [`Frame`]'s shapes: draws in `ink` on three planes.
fn paint(pixels: &mut [u8], ink: Rgb) -> impl FnMut(usize, &[i16]) {
    move |at, covers| {
        for (plane, ink) in pixels.chunks_exact_mut(SIDE * SIDE).zip(ink) {
            blend(&mut plane[at..], ink, covers);
        }
    }
}

/// Shapes on a grey ground, later ones over earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    ground: u8,
    len: u8,
    objects: [Object; MAX_OBJECTS],
}

impl Scene {
    /// The scene with `objects`, of which the first [`MAX_OBJECTS`] count, on a ground of grey `ground`.
    pub fn new(ground: u8, objects: &[Object]) -> Self {
        let mut scene = Self {
            ground,
            len: objects.len().min(MAX_OBJECTS) as u8,
            objects: Default::default(),
        };
        for (place, &object) in scene.objects.iter_mut().zip(objects) {
            *place = object;
        }
        scene
    }

    /// A scene of 3 to `max_objects` shapes (all of them if that is less), each of any class, colour, size and place,
    /// wholly inside.
    ///
    /// # Panics
    /// If `max_objects` is 0 or more than [`MAX_OBJECTS`].
    pub fn random(rng: &mut Rng, max_objects: usize) -> Self {
        assert!(
            (1..=MAX_OBJECTS).contains(&max_objects),
            "{max_objects} objects"
        );
        let mut scene = Self::new(rng.random_range(30..=220), &[]);
        scene.len = rng.random_range(3.min(max_objects)..=max_objects) as u8;
        for object in &mut scene.objects[..usize::from(scene.len)] {
            let radius = rng.random_range(6..=12);
            let mut middle = || rng.random_range(radius..=SIDE as u8 - radius);
            let (x, y) = (middle(), middle());
            *object = Object {
                class: rng.random_range(0..CLASSES.len() as u8),
                color: rng.random_range(0..COLORS.len() as u8),
                x,
                y,
                radius,
            };
        }
        scene
    }

    /// What it shows, from the back to the front.
    pub fn objects(&self) -> &[Object] {
        &self.objects[..usize::from(self.len).min(MAX_OBJECTS)]
    }

    /// The frontmost object at the point (`x`, `y`), as its place in [`objects`](Self::objects).
    pub fn at(&self, x: f32, y: f32) -> Option<usize> {
        self.objects()
            .iter()
            .rposition(|object| object.covers(x, y))
    }

    /// Pixels of each object that nothing lies over: a detector need not find what is hidden.
    pub fn visible(&self) -> [u32; MAX_OBJECTS] {
        let mut visible = [0; MAX_OBJECTS];
        for at in 0..SIDE * SIDE {
            let (x, y) = (at % SIDE, at / SIDE);
            if let Some(object) = self.at(x as f32 + 0.5, y as f32 + 0.5) {
                visible[object] += 1;
            }
        }
        visible
    }

    /// Draws it: red, green and blue plane of 64 x 64 pixels each.
    ///
    /// # Panics
    /// If `pixels` has another length than [`PIXELS`].
    pub fn render_into(&self, pixels: &mut [u8]) {
        assert_eq!(pixels.len(), PIXELS, "a scene has three planes");
        pixels.fill(self.ground);
        for object in self.objects() {
            object.draw(pixels);
        }
    }
}

/// `spot`: point at the shape that is asked for, in a scene of shapes that lie over one another. Tests whether an agent
/// finds and tells apart objects.
///
/// **Action space**: `discrete(5)`.
///
/// | action | meaning |
/// |---|---|
/// | 0, 1, 2, 3 | move the cursor up, right, down, left by 4 pixels; at the edge: stay |
/// | 4 | choose what the cursor points at |
///
/// **Observation space**: box of `3 x 64 x 64` `u8`, 0 to 255, and `discrete(5)`.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | `(plane * 64 + row) * 64 + column` | red, green and blue of the scene, with the cursor as a white frame with a black edge around the pixels that it points at | – | 0 to 255 |
/// | 12288 | the class asked for: disc, square, triangle, cross, ring | – | 0 to 4 |
///
/// The class is a number beside the picture and not a sign in it, so that the picture is a scene like those that a
/// detector is trained on ([`Scene`]), in which every shape is an object.
///
/// **Reward**: `1 - step_cost` for choosing an object of the class asked for, `-1 - step_cost` for another choice,
/// `-step_cost` for a move, and `nearer` for each place that it leads nearer to the closest to be chosen, or less for each
/// away from it. At the defaults, of which `nearer` is 0, random actions have a mean return of -0.992 ± 0.005 (5000
/// episodes), an oracle that knows the objects 0.9226 ± 0.0009 (2000 episodes).
///
/// **Start**: a scene of shapes; a class drawn from those that can be pointed at, the cursor anywhere but there.
///
/// **End**: terminated by a choice; truncated after 100 steps.
///
/// **Config**: [`SpotConfig`].
///
/// # Reference
/// Our own.
#[derive(Clone, Debug)]
pub struct Spot {
    config: SpotConfig,
}

/// Configuration of [`Spot`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpotConfig {
    /// The most objects in a scene, 2 to 8; the least are 3 or as many.
    pub max_objects: usize,
    /// Cost of a step, 0 to 1.
    pub step_cost: f32,
    /// Reward for each place that a move leads nearer to the closest that is to be chosen, and cost of each away from it, 0
    /// to 1. Without it hardly a choice of random actions is a right one.
    ///
    /// Shaping by a potential, after Ng et al., "Policy Invariance Under Reward Transformations" (1999). Deviations: nothing
    /// is discounted, and a choice pays nothing back, so that the best policy can be another one where the way costs more
    /// than a wrong choice. What an agent has learned is better told without it.
    pub nearer: f32,
}

impl Default for SpotConfig {
    fn default() -> Self {
        Self {
            max_objects: 6,
            step_cost: 0.01,
            nearer: 0.0,
        }
    }
}

/// State of [`Spot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotState {
    /// What is shown.
    pub scene: Scene,
    /// The class asked for.
    pub wanted: u8,
    /// Column of the cursor, in places of 4 pixels.
    pub column: u8,
    /// Row of the cursor, in places of 4 pixels.
    pub row: u8,
}

impl SpotState {
    /// The class of what the cursor would point at in place (`column`, `row`).
    pub fn class_at(&self, column: u8, row: u8) -> Option<u8> {
        let [x, y] = middle(column, row);
        let object = self.scene.at(x, y)?;
        Some(self.scene.objects()[object].class)
    }

    /// Moves to the closest place with the class asked for; none if there is no such place.
    pub fn moves_left(&self) -> Option<u16> {
        let away = |(column, row): (u8, u8)| {
            u16::from(column.abs_diff(self.column)) + u16::from(row.abs_diff(self.row))
        };
        let wanted =
            places().filter(|&(column, row)| self.class_at(column, row) == Some(self.wanted));
        wanted.map(away).min()
    }
}

/// All places of the cursor, as column and row.
fn places() -> impl Iterator<Item = (u8, u8)> {
    (0..PLACES).flat_map(|row| (0..PLACES).map(move |column| (column, row)))
}

/// The point of place (`column`, `row`) of the cursor.
fn middle(column: u8, row: u8) -> [f32; 2] {
    [column, row].map(|place| (usize::from(place) * STRIDE) as f32 + STRIDE as f32 / 2.0)
}

impl Spot {
    /// # Errors
    /// [`Error::Config`](thorndike_core::Error::Config) if a number is out of range.
    pub fn new(config: &SpotConfig) -> Result<Self> {
        check_range("max_objects", config.max_objects, 2..=MAX_OBJECTS)?;
        check_range("step_cost", config.step_cost, 0.0..=1.0)?;
        check_range("nearer", config.nearer, 0.0..=1.0)?;
        Ok(Self {
            config: config.clone(),
        })
    }
}

impl Env for Spot {
    type State = SpotState;
    type Obs = u8;
    type Action = usize;

    fn observation_space(&self) -> Space {
        let picture = Space::Box {
            shape: vec![3, SIDE, SIDE],
            low: 0.0,
            high: 255.0,
        };
        Space::Tuple(vec![picture, Space::Discrete(CLASSES.len())])
    }
    fn action_space(&self) -> Space {
        Space::Discrete(5)
    }
    fn action_names(&self) -> &'static [&'static str] {
        &["up", "right", "down", "left", "choose"]
    }
    fn time_limit(&self) -> Option<u32> {
        Some(100)
    }

    fn reset(&self, rng: &mut Rng) -> SpotState {
        loop {
            let mut state = SpotState {
                scene: Scene::random(rng, self.config.max_objects),
                wanted: 0,
                column: rng.random_range(0..PLACES),
                row: rng.random_range(0..PLACES),
            };
            // A class that can be pointed at, all with the same probability, unless the cursor does so.
            let mut reachable = [false; CLASSES.len()];
            for (column, row) in places() {
                if let Some(class) = state.class_at(column, row) {
                    reachable[usize::from(class)] = true;
                }
            }
            if let Some(class) = state.class_at(state.column, state.row) {
                reachable[usize::from(class)] = false;
            }
            let count = reachable.iter().filter(|&&class| class).count();
            if count > 0 {
                let choice = rng.random_range(0..count);
                let classes = (0..).zip(reachable).filter(|&(_, reachable)| reachable);
                let chosen = classes.map(|(class, _)| class).nth(choice);
                state.wanted = chosen.expect("the choice is one of them");
                return state;
            }
        }
    }

    fn step(&self, state: &mut SpotState, action: usize, _: &mut Rng) -> Step {
        let SpotConfig {
            step_cost: cost,
            nearer,
            ..
        } = self.config;
        if action >= 4 {
            let right = state.class_at(state.column, state.row) == Some(state.wanted);
            return Step::terminal(if right { 1.0 - cost } else { -1.0 - cost });
        }
        // Looked for only where it counts.
        let left = |state: &SpotState| match nearer > 0.0 {
            true => state.moves_left().map_or(0.0, f32::from),
            false => 0.0,
        };
        let before = left(state);
        let last = PLACES - 1;
        match action {
            0 => state.row = state.row.saturating_sub(1),
            1 => state.column = state.column.saturating_add(1).min(last),
            2 => state.row = state.row.saturating_add(1).min(last),
            _ => state.column = state.column.saturating_sub(1),
        }
        Step::running(nearer * (before - left(state)) - cost)
    }

    fn observe(&self, state: &SpotState, obs: &mut [u8]) {
        let (pixels, wanted) = obs.split_at_mut(PIXELS);
        state.scene.render_into(pixels);
        wanted[0] = state.wanted;
        let [x, y] = middle(state.column, state.row);
        for (radius, ink) in [(5.5, colors::BLACK), (4.5, colors::WHITE)] {
            let reach = radius + 2.0;
            FRAME.fill(
                [x - reach, y - reach, x + reach, y + reach],
                |px, py| ((px - x).abs().max((py - y).abs()) - radius).abs() - 0.5,
                paint(pixels, ink),
            );
        }
    }

    fn reference(&self) -> &'static str {
        "Thorndike"
    }
    fn render(&self, state: &SpotState) -> Option<String> {
        let wanted = CLASSES.get(usize::from(state.wanted)).unwrap_or(&"nothing");
        let mut text = format!("find: {wanted}\n");
        for row in 0..PLACES {
            text.extend((0..PLACES).map(|column| match state.class_at(column, row) {
                _ if (column, row) == (state.column, state.row) => '+',
                // Disc, square, triangle, cross, ring.
                Some(class) => ['d', 's', 't', 'c', 'r'][usize::from(class) % 5],
                None => '.',
            }));
            text.push('\n');
        }
        Some(text)
    }

    fn draw(&self, state: &SpotState) -> Option<Picture> {
        let mut obs = vec![0; PIXELS + 1];
        self.observe(state, &mut obs);
        // Below the scene what is asked for.
        let sign = Object {
            class: state.wanted,
            color: 6,
            x: 32,
            y: 8,
            radius: 6,
        };
        let mut below = vec![0; PIXELS];
        Scene::new(255, &[sign]).render_into(&mut below);
        let plane = SIDE * SIDE;
        let planes =
            (0..3).flat_map(|i| [&obs[i * plane..][..plane], &below[i * plane..][..plane / 4]]);
        let frame = Frame {
            width: SIDE,
            height: SIDE + SIDE / 4,
        };
        let planes = planes.collect::<Vec<_>>().concat();
        Some(frame.picture(&planes).enlarged(4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::{Seeds, check_env};

    fn spot() -> Spot {
        Spot::new(&SpotConfig::default()).unwrap()
    }

    fn rng() -> Rng {
        Seeds::new(0).stream("test", 0)
    }

    fn object(class: u8, x: u8, y: u8) -> Object {
        Object {
            class,
            color: 0,
            x,
            y,
            radius: 10,
        }
    }

    fn rendered(scene: &Scene) -> Vec<u8> {
        let mut pixels = vec![7; PIXELS];
        scene.render_into(&mut pixels);
        pixels
    }

    /// To the nearest place with the class asked for, and there choose.
    fn oracle(state: &SpotState) -> usize {
        let wanted = places().filter(|&(c, r)| state.class_at(c, r) == Some(state.wanted));
        let away = |&(c, r): &(u8, u8)| c.abs_diff(state.column) + r.abs_diff(state.row);
        match wanted.min_by_key(away).unwrap() {
            (column, _) if column > state.column => 1,
            (column, _) if column < state.column => 3,
            (_, row) if row > state.row => 2,
            (_, row) if row < state.row => 0,
            _ => 4,
        }
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(spot()), Ok(()));
        for max_objects in [2, MAX_OBJECTS] {
            let config = SpotConfig {
                max_objects,
                ..Default::default()
            };
            assert_eq!(check_env(Spot::new(&config).unwrap()), Ok(()));
        }
    }

    #[test]
    fn boxes_are_those_of_the_pixels() {
        for class in 0..5 {
            for (x, y, radius) in [(30, 33, 12), (40, 20, 7), (12, 51, 11)] {
                let object = Object {
                    radius,
                    ..object(class, x, y)
                };
                let pixels = rendered(&Scene::new(0, &[object]));
                // Red of orange, by at least half: the pixel's middle is inside.
                let lit = (0..SIDE * SIDE).filter(|&at| pixels[at] >= 115);
                let lit: Vec<[usize; 2]> = lit.map(|at| [at % SIDE, at / SIDE]).collect();
                let least = |axis: usize| lit.iter().map(|at| at[axis]).min().unwrap() as f32;
                let most = |axis: usize| lit.iter().map(|at| at[axis] + 1).max().unwrap() as f32;
                let seen = [least(0), least(1), most(0), most(1)];
                for (seen, edge) in seen.iter().zip(object.bounds()) {
                    // The tip of a triangle is thinner than a pixel.
                    let room = if class == 2 { 1.6 } else { 0.6 };
                    assert!((seen - edge).abs() <= room, "{object:?}: {seen} for {edge}");
                }
            }
        }
    }

    #[test]
    fn the_class_at_a_pixel_is_the_one_that_is_seen() {
        let mut rng = rng();
        for _ in 0..50 {
            let scene = Scene::random(&mut rng, MAX_OBJECTS);
            let pixels = rendered(&scene);
            let mut same = 0;
            for at in 0..SIDE * SIDE {
                let seen = [0, 1, 2].map(|plane| pixels[plane * SIDE * SIDE + at]);
                let (x, y) = ((at % SIDE) as f32 + 0.5, (at / SIDE) as f32 + 0.5);
                let expected = scene
                    .at(x, y)
                    .map(|i| COLORS[usize::from(scene.objects()[i].color)]);
                same += usize::from(seen == expected.unwrap_or([scene.ground; 3]));
            }
            // But for the smooth edges.
            assert!(same > SIDE * SIDE * 4 / 5, "{same}");
        }
    }

    #[test]
    fn what_is_in_front_hides_what_is_behind() {
        let scene = Scene::new(
            90,
            &[object(0, 30, 30), object(1, 30, 30), object(4, 50, 50)],
        );
        assert_eq!(scene.at(30.0, 30.0), Some(1));
        assert_eq!(scene.at(50.0, 50.0), None, "the hole of the ring");
        assert_eq!(scene.at(58.5, 50.0), Some(2));
        let visible = scene.visible();
        // The square's sides of 17 run through the middles of pixels, which are then not inside.
        assert_eq!(visible[1], 16 * 16);
        // The disc's area but for the square's, of which the corners lie outside the disc.
        let alone = Scene::new(90, &[object(0, 30, 30)]).visible()[0];
        assert!(
            visible[0] > alone - 16 * 16 && visible[0] < alone / 3,
            "{visible:?} of {alone}"
        );
        assert_eq!(visible[3..], [0; 5]);
    }

    #[test]
    fn a_choice_ends_the_episode_by_what_it_points_at() {
        let env = spot();
        let mut state = SpotState {
            scene: Scene::new(90, &[object(3, 22, 22), object(1, 42, 22)]),
            wanted: 3,
            column: 5,
            row: 6,
        };
        assert_eq!(env.step(&mut state, 0, &mut rng()), Step::running(-0.01));
        assert_eq!(
            env.step(&mut state.clone(), 4, &mut rng()),
            Step::terminal(0.99)
        );
        state.column = 10;
        assert_eq!(
            env.step(&mut state.clone(), 4, &mut rng()),
            Step::terminal(-1.01)
        );
        state.row = 15;
        assert_eq!(env.step(&mut state, 4, &mut rng()), Step::terminal(-1.01));
    }

    /// Moves cost 0.25 and are paid 0.5 for each place that they lead nearer.
    fn paying() -> Spot {
        let config = SpotConfig {
            step_cost: 0.25,
            nearer: 0.5,
            ..Default::default()
        };
        Spot::new(&config).unwrap()
    }

    #[test]
    fn moves_are_paid_by_how_much_nearer_they_lead() {
        let env = paying();
        // The disc covers columns 3 to 7 of row 5: middles at 14, 18, 22, 26 and 30 within 10 of 22.
        let mut state = SpotState {
            scene: Scene::new(90, &[object(0, 22, 22)]),
            wanted: 0,
            column: 10,
            row: 5,
        };
        let away = env.step(&mut state.clone(), 4, &mut rng());
        assert_eq!(away, Step::terminal(-1.25), "a choice is paid as ever");
        let mut go = |action| env.step(&mut state, action, &mut rng());
        assert_eq!(go(3), Step::running(0.25), "nearer");
        assert_eq!(go(1), Step::running(-0.75), "away");
        assert_eq!(go(3), Step::running(0.25));
        assert_eq!(go(3), Step::running(0.25));
        assert_eq!(go(3), Step::running(0.25), "there");
        assert_eq!(go(3), Step::running(-0.25), "within");
        assert_eq!(go(4), Step::terminal(0.75));
    }

    #[test]
    fn what_is_paid_on_the_way_is_how_much_nearer_its_end_is() {
        let env = paying();
        let mut rng = rng();
        for _ in 0..20 {
            let mut state = env.reset(&mut rng);
            let first = f32::from(state.moves_left().unwrap());
            let paid: f32 = (0..40)
                .map(|_| env.step(&mut state, rng.random_range(0..4), &mut rng.clone()))
                .map(|step| step.reward + 0.25)
                .sum();
            let last = f32::from(state.moves_left().unwrap());
            assert_eq!(paid, 0.5 * (first - last));
        }
    }

    #[test]
    fn the_cursor_frames_what_it_points_at_and_hides_nothing_of_it() {
        let env = spot();
        let scene = Scene::new(90, &[object(0, 30, 30)]);
        let state = SpotState {
            scene,
            wanted: 2,
            column: 7,
            row: 7,
        };
        let mut obs = vec![7; PIXELS + 1];
        env.observe(&state, &mut obs);
        assert_eq!(obs[PIXELS], 2);
        let at = |x: usize, y: usize| [0, 1, 2].map(|plane| obs[(plane * SIDE + y) * SIDE + x]);
        assert_eq!(at(30, 30), colors::ORANGE);
        assert_eq!(at(25, 30).map(|v| v > 120), [true; 3], "white of the frame");
        assert_eq!(at(24, 30).map(|v| v < 120), [true; 3], "black around it");
        assert_eq!(at(5, 30), [90; 3]);
    }

    #[test]
    fn numbers_of_an_untrusted_state_are_no_place_outside() {
        let config = SpotConfig {
            nearer: 1.0,
            ..Default::default()
        };
        let env = Spot::new(&config).unwrap();
        let mut scene = Scene::new(1, &[object(255, 255, 0); MAX_OBJECTS]);
        scene.len = 255;
        scene.objects[0].radius = 255;
        scene.objects[1].color = 255;
        let mut state = SpotState {
            scene,
            wanted: 255,
            column: 255,
            row: 255,
        };
        env.observe(&state, &mut vec![0; PIXELS + 1]);
        env.draw(&state).unwrap();
        env.render(&state).unwrap();
        scene.visible();
        for action in 0..5 {
            env.step(&mut state, action, &mut rng());
        }
    }

    #[test]
    fn the_pages_figures_hold() {
        Score::of_random(&spot(), 5000).agrees_with(-0.992, 0.005);
        Score::of(&spot(), 2000, |state, _| oracle(state)).agrees_with(0.9226, 0.00093);
    }

    #[test]
    fn one_object_is_too_few() {
        let config = SpotConfig {
            max_objects: 1,
            ..Default::default()
        };
        let error = Spot::new(&config).unwrap_err().to_string();
        assert_eq!(error, "max_objects: 1 is out of range; give 2 to 8");
    }
}
