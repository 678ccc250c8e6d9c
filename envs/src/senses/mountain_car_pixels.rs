use thorndike_core::{Env, Picture, Result, Space, same_as};

use super::raster::{Frame, grey};
use crate::classic::{MountainCar, MountainCarConfig, MountainCarState};

const SIDE: usize = 84;
const FRAME: Frame = Frame {
    width: SIDE,
    height: SIDE,
};
/// Rows of the hilltop and of the valley's floor.
const TOP: f64 = 22.0;
const FLOOR: f64 = 74.0;
/// Radius of the car, in pixels.
const CAR: f32 = 4.0;

/// `mountain-car-pixels`: [`MountainCar`] seen as a grey picture. Tests whether an agent sees places in pictures and
/// velocities between them, with a reward that says little.
///
/// **Action space**: as [`MountainCar`]: accelerate to the left, not at all, to the right.
///
/// **Observation space**: box of `84 x 84` `u8`, 0 to 255.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | `row * 84 + column` | the sky black, hill 90, flag at the goal 170, car 255; edges smooth, so that a tenth of a pixel is seen | grey | 0 to 255 |
///
/// A picture shows no velocity: stack at least two frames (`frame_stack`).
///
/// **Reward**, **Start**, **End**: as [`MountainCar`]. Random actions have a mean return of -200 ± 0 (1000 episodes:
/// they hardly ever arrive), an oracle that sees the velocity and pushes along -119.42 ± 0.04 (10,000 episodes).
///
/// **Config**: [`MountainCarConfig`].
///
/// # Reference
/// That of [`MountainCar`]; 84 x 84 grey pixels are those of Mnih et al., *Human-level control through deep
/// reinforcement learning*, 2015. The drawing is our own.
#[derive(Clone, Debug)]
pub struct MountainCarPixels {
    mountain_car: MountainCar,
    min_position: f64,
    pixels_per_length: f64,
    /// What every frame shows.
    background: Vec<u8>,
}

impl MountainCarPixels {
    /// # Errors
    /// As [`MountainCar::new`].
    pub fn new(config: &MountainCarConfig) -> Result<Self> {
        let mut env = Self {
            mountain_car: MountainCar::new(config)?,
            min_position: config.min_position,
            pixels_per_length: SIDE as f64 / (config.max_position - config.min_position),
            background: vec![0; SIDE * SIDE],
        };
        let mut hill = vec![0; SIDE * SIDE];
        for column in 0..SIDE {
            let x = config.min_position + (column as f64 + 0.5) / env.pixels_per_length;
            let column = column as f32;
            let top = env.place(x)[1];
            FRAME.rectangle(
                [column, top, column + 1.0, SIDE as f32],
                grey(&mut hill, 90),
            );
        }
        let [x, y] = env.place(config.goal_position);
        FRAME.rectangle([x - 0.75, y - 16.0, x + 0.75, y], grey(&mut hill, 170));
        FRAME.rectangle([x - 6.0, y - 16.0, x, y - 11.0], grey(&mut hill, 170));
        env.background = hill;
        Ok(env)
    }

    /// Column and row of the ground at position `x`: the slope in the equation of motion is that of sin(3 x).
    fn place(&self, x: f64) -> [f32; 2] {
        let column = (x - self.min_position) * self.pixels_per_length;
        let height = (1.0 + (3.0 * x).sin()) / 2.0;
        [column as f32, (FLOOR + (TOP - FLOOR) * height) as f32]
    }
}

impl Env for MountainCarPixels {
    type State = MountainCarState;
    type Obs = u8;
    type Action = usize;

    same_as!(|this| this.mountain_car; action_space, reset, numpy_reset, step, step_rows, time_limit, reward_threshold,
        action_names, action_mask, render);
    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![SIDE, SIDE],
            low: 0.0,
            high: 255.0,
        }
    }
    fn observe(&self, state: &MountainCarState, obs: &mut [u8]) {
        obs.copy_from_slice(&self.background);
        let [x, y] = self.place(state.position);
        FRAME.disc([x, y - CAR], CAR, grey(obs, 255));
    }

    fn reference(&self) -> &'static str {
        "Gymnasium MountainCar-v0, drawn"
    }
    fn draw(&self, state: &MountainCarState) -> Option<Picture> {
        let mut obs = vec![0; SIDE * SIDE];
        self.observe(state, &mut obs);
        Some(FRAME.picture(&obs).enlarged(4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Score;
    use thorndike_core::{Rng, check_env};

    fn env() -> MountainCarPixels {
        MountainCarPixels::new(&MountainCarConfig::default()).unwrap()
    }

    fn see(position: f64, velocity: f64) -> Vec<u8> {
        let mut obs = vec![7; SIDE * SIDE];
        env().observe(&MountainCarState { position, velocity }, &mut obs);
        obs
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(env()), Ok(()));
    }

    #[test]
    fn a_frame_shows_places_and_no_velocities() {
        let still = see(-0.5, 0.0);
        assert_eq!(still, see(-0.5, 0.05));
        // What one step of the engine from rest moves.
        assert_ne!(still, see(-0.499, 0.0));
    }

    #[test]
    fn the_car_is_where_the_state_has_it() {
        let frame = see(0.0, 0.0);
        // Position 0 is two thirds of the way from -1.2 to 0.6, half way up.
        let (x, y) = (56, 48 - 4);
        assert_eq!(frame[y * SIDE + x], 255);
        assert_eq!(frame[y * SIDE + x - 8], 0, "sky to the left of the car");
    }

    #[test]
    fn states_far_out_are_seen_without_a_panic() {
        for x in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
            see(x, x);
        }
    }

    #[test]
    fn the_pages_figures_hold() {
        let along =
            |state: &MountainCarState, _: &mut Rng| if state.velocity < 0.0 { 0 } else { 2 };
        Score::of(&env(), 10_000, along).agrees_with(-119.42, 0.04);
        Score::of_random(&env(), 1000).agrees_with(-200.0, 0.0);
    }
}
