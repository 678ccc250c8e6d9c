//! Boxes cut into states.

use crate::env::Env;
use crate::error::{Error, Result, check_range};
use crate::same_as;
use crate::space::Space;

/// Equal bins between `low` and `high`; what lies outside counts to the first or last one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bins {
    /// Where the first bin begins.
    pub low: f32,
    /// Where the last bin ends.
    pub high: f32,
    /// How many there are.
    pub count: usize,
}

impl Bins {
    /// The bin of `x`. What is no number falls into the first one.
    #[inline]
    fn of(self, x: f32) -> usize {
        let share = (x - self.low) / (self.high - self.low);
        // A float becomes the nearest integer that exists, so anything below 0 becomes 0.
        ((share * self.count as f32) as usize).min(self.count - 1)
    }
}

/// A box of `f32` seen as one discrete state, so that tables can be learned on it: every dimension is cut
/// into equal bins.
///
/// State `((b0 * n1 + b1) * n2 + b2) ...` for bins `b` out of `n`.
#[derive(Clone, Debug)]
pub struct Discretize<E> {
    env: E,
    bins: Vec<Bins>,
}

/// More dimensions than a table can hold with two bins each.
const MAX_DIMS: usize = 31;

impl<E: Env<Obs = f32>> Discretize<E> {
    /// `env` with one [`Bins`] for each scalar of its observation.
    ///
    /// # Errors
    /// [`Error::Space`] if there are more or fewer bins than scalars; [`Error::Config`] for the key `bins` if
    /// one is empty, or there are more than 2³¹ states.
    pub fn new(env: E, bins: Vec<Bins>) -> Result<Self> {
        let space = env.observation_space();
        if space.len() != bins.len() || bins.len() > MAX_DIMS {
            return Err(Error::Space {
                what: "bins: observation space".into(),
                expected: format!("{} scalars, and {MAX_DIMS} at most", bins.len()),
                found: space.to_string(),
            });
        }
        let mut states = 1_usize;
        for bin in &bins {
            check_range("bins", bin.count, 1..=i32::MAX as usize)?;
            if bin.low.partial_cmp(&bin.high) != Some(std::cmp::Ordering::Less)
                || !(bin.high - bin.low).is_finite()
            {
                let what = format!(
                    "{} to {} is no range; give a low and a higher end",
                    bin.low, bin.high
                );
                return Err(Error::config("bins", what));
            }
            states = states
                .checked_mul(bin.count)
                .filter(|&states| states <= i32::MAX as usize)
                .ok_or_else(|| {
                    let what = format!("more than {} states; give fewer bins", i32::MAX);
                    Error::config("bins", what)
                })?;
        }
        Ok(Self { env, bins })
    }
}

impl<E: Env<Obs = f32>> Env for Discretize<E> {
    type State = E::State;
    type Obs = i32;
    type Action = E::Action;

    same_as!(|this| this.env; action_space, reset, numpy_reset, step, step_rows, time_limit, reward_threshold,
        reference, action_names, action_mask, render, draw);
    fn observation_space(&self) -> Space {
        Space::Discrete(self.bins.iter().map(|bin| bin.count).product())
    }
    #[inline]
    fn observe(&self, state: &E::State, obs: &mut [i32]) {
        let mut row = [0.0; MAX_DIMS];
        let row = &mut row[..self.bins.len()];
        self.env.observe(state, row);
        let bins = row.iter().zip(&self.bins);
        obs[0] = bins.fold(0, |number, (&x, bin)| number * bin.count + bin.of(x)) as i32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check_env;
    use crate::{Rng, Step};

    /// A point that stays where it is put.
    struct Point;

    impl Env for Point {
        type State = [f32; 2];
        type Obs = f32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::unbounded(&[2])
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn reset(&self, _: &mut Rng) -> [f32; 2] {
            [0.0; 2]
        }
        fn step(&self, at: &mut [f32; 2], action: usize, _: &mut Rng) -> Step {
            at[action] += 0.25;
            Step::running(0.0)
        }
        fn observe(&self, at: &[f32; 2], obs: &mut [f32]) {
            obs.copy_from_slice(at);
        }
    }

    fn bins(low: f32, high: f32, count: usize) -> Bins {
        Bins { low, high, count }
    }

    #[test]
    fn states_count_bins_with_the_last_dimension_first() {
        let env = Discretize::new(Point, vec![bins(-1.0, 1.0, 4), bins(0.0, 3.0, 3)]).unwrap();
        assert_eq!(env.observation_space(), Space::Discrete(12));
        let number = |at| {
            let mut obs = [0];
            env.observe(&at, &mut obs);
            obs[0]
        };
        assert_eq!(number([-1.0, 0.0]), 0);
        assert_eq!(number([-0.5, 0.0]), 3, "an edge belongs to the upper bin");
        assert_eq!(number([0.6, 2.5]), 3 * 3 + 2);
        assert_eq!(
            number([f32::NEG_INFINITY, -9.0]),
            0,
            "outside: the first bin"
        );
        assert_eq!(number([1.0, f32::INFINITY]), 11, "outside: the last bin");
        assert_eq!(number([f32::NAN, 0.0]), 0);
    }

    #[test]
    fn conforms() {
        let env = Discretize::new(Point, vec![bins(0.0, 40.0, 7), bins(0.0, 9.0, 2)]).unwrap();
        assert_eq!(check_env(env), Ok(()));
    }

    #[test]
    fn unfit_bins_are_refused() {
        let refusal = |bins| Discretize::new(Point, bins).err().unwrap().to_string();
        let one = bins(0.0, 1.0, 1);
        assert_eq!(
            refusal(vec![one]),
            "bins: observation space: expected 1 scalars, and 31 at most, found box(2; -inf..inf)"
        );
        assert_eq!(
            refusal(vec![one, bins(1.0, 1.0, 2)]),
            "bins: 1 to 1 is no range; give a low and a higher end"
        );
        assert!(refusal(vec![one, bins(0.0, 1.0, 0)]).starts_with("bins: 0 is out of range"));
        assert_eq!(
            refusal(vec![bins(0.0, 1.0, 1 << 16), bins(0.0, 1.0, 1 << 16)]),
            "bins: more than 2147483647 states; give fewer bins"
        );
    }
}
