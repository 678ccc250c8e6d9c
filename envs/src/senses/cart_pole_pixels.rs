use thorndike_core::{Env, Picture, Result, Space, same_as};

use super::raster::{Frame, grey};
use crate::classic::{CartPole, CartPoleConfig, CartPoleState};

const SIDE: usize = 84;
const FRAME: Frame = Frame {
    width: SIDE,
    height: SIDE,
};
/// Row of the track, and of the axle on which the pole turns.
const TRACK: f32 = 72.0;
const AXLE: f32 = 64.0;
/// Length of the pole, about 2.7 times to scale.
const POLE: f32 = 46.0;
/// Share of the frame's width that the cart's positions take up.
const ACROSS: f64 = 0.85;

/// `cart-pole-pixels`: [`CartPole`] seen as a grey picture. Tests whether an agent sees places in pictures and
/// velocities between them.
///
/// **Action space**: as [`CartPole`]: 0 pushes to the left, 1 to the right.
///
/// **Observation space**: box of `84 x 84` `u8`, 0 to 255.
///
/// | index | meaning | unit | range |
/// |---|---|---|---|
/// | `row * 84 + column` | the ground black, track 90, cart 160, pole 255; edges smooth, so that a tenth of a pixel is seen | grey | 0 to 255 |
///
/// A picture shows no velocity: stack at least two frames (`frame_stack`). The pole is drawn longer than to scale,
/// so that its angle is seen.
///
/// **Reward**, **Start**, **End**: as [`CartPole`]. Random actions have a mean return of 22.3 ± 0.12 (10,000
/// episodes), an oracle that sees the state 500 ± 0 (100 episodes).
///
/// **Config**: [`CartPoleConfig`].
///
/// # Reference
/// That of [`CartPole`]; 84 x 84 grey pixels are those of Mnih et al., *Human-level control through deep
/// reinforcement learning*, 2015. The drawing is our own.
#[derive(Clone, Debug)]
pub struct CartPolePixels {
    cart_pole: CartPole,
    position_limit_m: f64,
}

impl CartPolePixels {
    /// # Errors
    /// As [`CartPole::new`].
    pub fn new(config: &CartPoleConfig) -> Result<Self> {
        Ok(Self {
            cart_pole: CartPole::new(config)?,
            position_limit_m: config.position_limit_m,
        })
    }
}

impl Env for CartPolePixels {
    type State = CartPoleState;
    type Obs = u8;
    type Action = usize;

    same_as!(|this| this.cart_pole; action_space, reset, numpy_reset, step, step_rows, time_limit, reward_threshold,
        action_names, action_mask, render);
    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![SIDE, SIDE],
            low: 0.0,
            high: 255.0,
        }
    }
    fn observe(&self, state: &CartPoleState, obs: &mut [u8]) {
        let share = state.position / self.position_limit_m * ACROSS;
        let x = ((share + 1.0) * (SIDE / 2) as f64) as f32;
        let (sin, cos) = state.angle.sin_cos();
        let tip = [x + POLE * sin as f32, AXLE - POLE * cos as f32];
        obs.fill(0);
        obs[TRACK as usize * SIDE..][..2 * SIDE].fill(90);
        FRAME.rectangle([x - 8.0, AXLE - 1.0, x + 8.0, TRACK - 1.0], grey(obs, 160));
        FRAME.line([x, AXLE], tip, 3.0, grey(obs, 255));
    }

    fn reference(&self) -> &'static str {
        "Gymnasium CartPole-v1, drawn"
    }
    fn draw(&self, state: &CartPoleState) -> Option<Picture> {
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

    fn env() -> CartPolePixels {
        CartPolePixels::new(&CartPoleConfig::default()).unwrap()
    }

    fn see(state: [f64; 4]) -> Vec<u8> {
        let mut obs = vec![7; SIDE * SIDE];
        env().observe(&state.into(), &mut obs);
        obs
    }

    #[test]
    fn conforms() {
        assert_eq!(check_env(env()), Ok(()));
    }

    #[test]
    fn a_frame_shows_places_and_no_velocities() {
        let still = see([0.3, 0.0, 0.1, 0.0]);
        assert_eq!(still, see([0.3, 1.0, 0.1, -2.0]));
        // What a step moves at the slow speed of 0.25 m/s or 0.25 rad/s.
        assert_ne!(still, see([0.305, 0.0, 0.1, 0.0]));
        assert_ne!(still, see([0.3, 0.0, 0.105, 0.0]));
    }

    #[test]
    fn cart_and_pole_are_where_the_state_has_them() {
        let middle_of = |pixels: &[u8], row: usize, least: u8| {
            let row = &pixels[row * SIDE..][..SIDE];
            let lit = (0..SIDE).filter(|&x| row[x] >= least);
            let (n, sum) = lit.fold((0.0, 0.0), |(n, sum), x| (n + 1.0, sum + x as f64 + 0.5));
            sum / n
        };
        let frame = see([1.2, 0.0, 0.2, 0.0]);
        // Half the limit is 0.85 of half of half the frame away from the middle.
        let x = 42.0 + 42.0 * 0.85 / 2.0;
        assert!((middle_of(&frame, 69, 150) - x).abs() < 0.6, "cart");
        // 40 pixels above the axle.
        let x = x + 40.0 * 0.2_f64.tan();
        assert!((middle_of(&frame, 24, 128) - x).abs() < 0.8, "pole");
    }

    #[test]
    fn states_far_out_are_seen_without_a_panic() {
        for x in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
            see([x, x, 0.0, x]);
            see([0.0, 0.0, x, 0.0]);
        }
    }

    #[test]
    fn the_pages_figures_hold() {
        let balance = |state: &CartPoleState, _: &mut Rng| {
            let lean = state.angle + 0.3 * state.angular_velocity;
            let drift = 0.03 * state.position + 0.06 * state.velocity;
            usize::from(lean + drift > 0.0)
        };
        Score::of(&env(), 100, balance).agrees_with(500.0, 0.0);
        Score::of_random(&env(), 10_000).agrees_with(22.3, 0.12);
    }
}
