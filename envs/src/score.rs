//! Scores of fixed policies: they hold the figures on the environments' pages.

use thorndike_core::rand::RngExt;
use thorndike_core::{Env, Rng, Seeds};

/// Mean return over some episodes, and its standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    pub(crate) mean: f64,
    pub(crate) error: f64,
}

impl Score {
    /// Plays `episodes` by `policy`, which sees the state; the time limit of `env` counts.
    pub(crate) fn of<E: Env>(
        env: &E,
        episodes: u32,
        mut policy: impl FnMut(&E::State, &mut Rng) -> E::Action,
    ) -> Self {
        let mut rng = Seeds::new(5).stream("score", 0);
        let mut actions = Seeds::new(5).stream("score/actions", 0);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..episodes {
            let mut state = env.reset(&mut rng);
            let mut episode_return = 0.0;
            for _ in 0..env.time_limit().unwrap_or(u32::MAX) {
                let action = policy(&state, &mut actions);
                let step = env.step(&mut state, action, &mut rng);
                episode_return += f64::from(step.reward);
                if step.status.is_over() {
                    break;
                }
            }
            sum += episode_return;
            squares += episode_return * episode_return;
        }
        let n = f64::from(episodes);
        let mean = sum / n;
        let variance = (squares / n - mean * mean).max(0.0);
        Self {
            mean,
            error: (variance / n).sqrt(),
        }
    }

    /// Plays `episodes` with random actions.
    pub(crate) fn of_random<E: Env<Action = usize>>(env: &E, episodes: u32) -> Self {
        let n = env.action_space().discrete().unwrap();
        Self::of(env, episodes, |_, rng| rng.random_range(0..n))
    }

    /// Checks the figure `mean` ± `error` of a page: the mean within four standard errors (and the rounding of
    /// rewards to `f32`), the error to a tenth of itself.
    #[track_caller]
    pub(crate) fn agrees_with(self, mean: f64, error: f64) {
        let off = (self.mean - mean).abs();
        assert!(off <= 4.0 * error + 1e-5, "{self:?} is not {mean}");
        let off = (self.error - error).abs();
        assert!(off <= 0.1 * error + 1e-5, "{self:?} has not error {error}");
    }
}
