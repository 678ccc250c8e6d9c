//! How actions are chosen while learning.

use serde::{Deserialize, Serialize};
use thorndike_core::rand::{Rng as _, RngExt};
use thorndike_core::{EnvSteps, Result, Rng, Schedule};

/// How actions are chosen while learning.
///
/// Ties among the best actions are broken at random: in a table that still holds its initial value
/// everywhere, the first index would be one action for ever, and a corridor in the other direction
/// would never be walked. Greedy play ([`Mode::Exploit`](thorndike_core::Mode::Exploit)) takes the
/// first of the best.
///
/// # Reference
/// Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd ed. (2018), sections 2.2 and 2.8;
/// Strehl and Littman, *An analysis of model-based interval estimation for Markov decision processes*
/// (2008), for the bonus.
///
/// Deviations: the count bonus steers the choice of actions only and is not part of the targets, so
/// the table converges to the values of the task itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Exploration {
    /// With probability `epsilon` any action, each alike; else a best one.
    EpsilonGreedy {
        /// Probability, 0 to 1.
        epsilon: Schedule,
    },
    /// Action `a` with a probability proportional to `exp(Q(s,a) / temperature)`.
    Boltzmann {
        /// In units of reward, 1e-6 to 1e9.
        temperature: Schedule,
    },
    /// The action with the greatest `Q(s,a) + scale / sqrt(n(s,a))`; an untried one first.
    CountBonus {
        /// In units of reward, 0 to 1e9.
        scale: Schedule,
    },
}

impl Default for Exploration {
    fn default() -> Self {
        Self::EpsilonGreedy {
            epsilon: Schedule::constant(0.1),
        }
    }
}

impl Exploration {
    pub(crate) fn check(&self) -> Result<()> {
        let checked = match self {
            Self::EpsilonGreedy { epsilon } => epsilon.check("epsilon", 0.0, 1.0),
            Self::Boltzmann { temperature } => temperature.check("temperature", 1e-6, 1e9),
            Self::CountBonus { scale } => scale.check("scale", 0.0, 1e9),
        };
        checked.map_err(|e| e.under("exploration"))
    }

    /// Its number.
    pub(crate) fn schedule(&self) -> &Schedule {
        match self {
            Self::EpsilonGreedy { epsilon: number }
            | Self::Boltzmann {
                temperature: number,
            }
            | Self::CountBonus { scale: number } => number,
        }
    }

    /// Name of its number in the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::EpsilonGreedy { .. } => "explore/epsilon",
            Self::Boltzmann { .. } => "explore/temperature",
            Self::CountBonus { .. } => "explore/bonus",
        }
    }

    pub(crate) fn at(&self, step: EnvSteps) -> Policy {
        let number = self.schedule().at(step);
        match self {
            Self::EpsilonGreedy { .. } => Policy::EpsilonGreedy {
                epsilon: number,
                // Of the 2^32 values of a draw, those below explore.
                threshold: (number * 4_294_967_296.0) as u64,
            },
            Self::Boltzmann { .. } => Policy::Boltzmann {
                temperature: number,
            },
            Self::CountBonus { .. } => Policy::CountBonus { scale: number },
        }
    }
}

/// An [`Exploration`] at one environment step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    EpsilonGreedy { epsilon: f64, threshold: u64 },
    Boltzmann { temperature: f64 },
    CountBonus { scale: f64 },
}

impl Policy {
    /// Its number in the log.
    pub(crate) fn number(&self) -> f64 {
        match *self {
            Self::EpsilonGreedy { epsilon, .. } => epsilon,
            Self::Boltzmann { temperature } => temperature,
            Self::CountBonus { scale } => scale,
        }
    }

    /// Draws an action in a state with the values `q` and the visits `n()`; `scores` is room for as many.
    #[inline(always)]
    pub(crate) fn choose<'a>(
        &self,
        q: &[f64],
        n: impl FnOnce() -> &'a [u32],
        scores: &mut [f64],
        rng: &mut Rng,
    ) -> usize {
        match *self {
            Self::EpsilonGreedy { threshold, .. } => {
                if u64::from(rng.next_u32()) < threshold {
                    below(q.len(), rng)
                } else {
                    best_at_random(q, rng)
                }
            }
            Self::Boltzmann { temperature } => boltzmann(q, temperature, scores, rng),
            Self::CountBonus { scale } => {
                with_bonus(q, n(), scale, scores);
                best_at_random(scores, rng)
            }
        }
    }

    /// Expected value of `q` under this policy.
    #[inline]
    pub(crate) fn expected(&self, q: &[f64], n: &[u32], scores: &mut [f64]) -> f64 {
        match *self {
            Self::EpsilonGreedy { epsilon, .. } => {
                let mean = q.iter().sum::<f64>() / q.len() as f64;
                epsilon * mean + (1.0 - epsilon) * max(q)
            }
            Self::Boltzmann { temperature } => {
                let total = softmax(q, temperature, scores);
                q.iter().zip(scores).map(|(q, w)| q * *w).sum::<f64>() / total
            }
            Self::CountBonus { scale } => {
                with_bonus(q, n, scale, scores);
                let top = max(scores);
                let best = q.iter().zip(scores).filter(|(_, score)| **score == top);
                let (sum, count) = best.fold((0.0, 0), |(sum, count), (q, _)| (sum + q, count + 1));
                sum / f64::from(count)
            }
        }
    }
}

/// Draws an action with a probability proportional to `exp(q / temperature)`.
#[inline(never)]
fn boltzmann(q: &[f64], temperature: f64, weights: &mut [f64], rng: &mut Rng) -> usize {
    let mut left = rng.random::<f64>() * softmax(q, temperature, weights);
    let last = q.len() - 1;
    let passed = |weight: &&f64| {
        left -= **weight;
        left >= 0.0
    };
    weights[..last].iter().take_while(passed).count()
}

/// Writes `exp((q - max q) / temperature)`; returns the sum.
fn softmax(q: &[f64], temperature: f64, weights: &mut [f64]) -> f64 {
    let top = max(q);
    for (weight, q) in weights.iter_mut().zip(q) {
        *weight = ((q - top) / temperature).exp();
    }
    weights.iter().sum()
}

#[inline(never)]
fn with_bonus(q: &[f64], n: &[u32], scale: f64, scores: &mut [f64]) {
    for ((score, q), &n) in scores.iter_mut().zip(q).zip(n) {
        *score = if n == 0 {
            f64::INFINITY
        } else {
            q + scale / f64::from(n).sqrt()
        };
    }
}

/// Greatest value.
#[inline]
pub(crate) fn max(q: &[f64]) -> f64 {
    match *q {
        // Four actions, as in most grids: half the depth of a chain.
        [a, b, c, d] => greater(greater(a, b), greater(c, d)),
        _ => q.iter().copied().fold(f64::NEG_INFINITY, greater),
    }
}

/// The greater of two numbers; a single instruction, since neither is NaN.
#[inline]
fn greater(a: f64, b: f64) -> f64 {
    std::hint::select_unpredictable(b > a, b, a)
}

/// First index of the greatest value.
#[inline]
pub(crate) fn argmax(q: &[f64]) -> usize {
    let top = max(q);
    q.iter().position(|&value| value == top).unwrap_or(0)
}

/// An index of the greatest value, each alike.
#[inline(always)]
fn best_at_random(q: &[f64], rng: &mut Rng) -> usize {
    let top = max(q);
    let (first, ties) = match *q {
        [a, b, c, d] => first_and_ties(&[a, b, c, d], top), // unrolled
        _ => first_and_ties(q, top),
    };
    if ties < 2 {
        return first;
    }
    let place = below(ties, rng);
    let mut best = (0..q.len()).filter(|&action| q[action] == top);
    best.nth(place).unwrap_or(first)
}

/// First index of the value `top`, and how often it occurs.
///
/// Without a branch, since no predictor can guess which action is the best.
#[inline(always)]
fn first_and_ties(q: &[f64], top: f64) -> (usize, usize) {
    let (mut first, mut ties) = (0, 0);
    for (action, &value) in q.iter().enumerate().rev() {
        first = std::hint::select_unpredictable(value == top, action, first);
        ties += usize::from(value == top);
    }
    (first, ties)
}

/// A number below `n`, which fits 32 bits. One multiplication; no value is preferred by more than 2^-32.
#[inline]
pub(crate) fn below(n: usize, rng: &mut Rng) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;

    const DRAWS: usize = 100_000;

    fn frequencies(policy: Policy, q: &[f64], n: &[u32]) -> Vec<f64> {
        let mut rng = Seeds::new(3).stream("test", 0);
        let mut scores = vec![0.0; q.len()];
        let mut counts = vec![0.0; q.len()];
        for _ in 0..DRAWS {
            counts[policy.choose(q, || n, &mut scores, &mut rng)] += 1.0;
        }
        counts.iter().map(|count| count / DRAWS as f64).collect()
    }

    /// Five standard deviations of a frequency.
    fn assert_near(found: &[f64], expected: &[f64]) {
        for (f, p) in found.iter().zip(expected) {
            let bound = 5.0 * (p * (1.0 - p) / DRAWS as f64).sqrt();
            assert!((f - p).abs() <= bound, "{found:?}, expected {expected:?}");
        }
    }

    fn epsilon_greedy(epsilon: f64) -> Policy {
        let epsilon = Schedule::constant(epsilon);
        Exploration::EpsilonGreedy { epsilon }.at(0)
    }

    #[test]
    fn epsilon_greedy_takes_every_action_with_its_share() {
        let found = frequencies(epsilon_greedy(0.2), &[0.0, 2.0, 1.0, -1.0], &[0; 4]);
        assert_near(&found, &[0.05, 0.85, 0.05, 0.05]);
        assert_eq!(
            frequencies(epsilon_greedy(0.0), &[0.0, 2.0], &[0; 2]),
            [0.0, 1.0]
        );
        assert_near(
            &frequencies(epsilon_greedy(1.0), &[0.0, 2.0], &[0; 2]),
            &[0.5, 0.5],
        );
    }

    #[test]
    fn ties_are_broken_evenly_while_exploring_and_by_the_first_index_in_play() {
        let q = [1.0, -3.0, 1.0, 0.0, 1.0];
        let third = 1.0 / 3.0;
        let found = frequencies(epsilon_greedy(0.0), &q, &[0; 5]);
        assert_near(&found, &[third, 0.0, third, 0.0, third]);
        assert_eq!(argmax(&q), 0);
    }

    #[test]
    fn boltzmann_probabilities_go_with_the_exponential_of_the_value() {
        // exp(ln 2 / 1) : exp(0) : exp(ln 5) = 2 : 1 : 5, also far from zero.
        for shift in [0.0, 1e4] {
            let q = [2.0_f64.ln() + shift, shift, 5.0_f64.ln() + shift];
            let found = frequencies(Policy::Boltzmann { temperature: 1.0 }, &q, &[0; 3]);
            assert_near(&found, &[0.25, 0.125, 0.625]);
        }
        // At twice the temperature the ratios are square roots.
        let q = [4.0_f64.ln(), 0.0];
        let found = frequencies(Policy::Boltzmann { temperature: 2.0 }, &q, &[0; 2]);
        assert_near(&found, &[2.0 / 3.0, 1.0 / 3.0]);
    }

    #[test]
    fn a_count_bonus_tries_everything_once_and_then_weighs_doubt_against_value() {
        let policy = Policy::CountBonus { scale: 2.0 };
        assert_near(
            &frequencies(policy, &[5.0, 0.0, 1.0], &[9, 0, 0]),
            &[0.0, 0.5, 0.5],
        );
        // 1 + 2/sqrt(4) = 2 against 0 + 2/sqrt(1) = 2 and 1.9 + 2/sqrt(400) = 2: all alike.
        assert_near(
            &frequencies(policy, &[1.0, 0.0, 1.0], &[4, 1, 4]),
            &[1.0 / 3.0; 3],
        );
        assert_eq!(frequencies(policy, &[1.0, 0.0], &[16, 1]), [0.0, 1.0]);
    }

    #[test]
    fn the_expected_value_is_the_mean_over_the_chosen_actions() {
        let q = [1.0, 4.0, 4.0, -2.0];
        let n = [1, 4, 1, 4];
        for policy in [
            epsilon_greedy(0.3),
            Policy::Boltzmann { temperature: 1.5 },
            Policy::CountBonus { scale: 1.0 },
            Policy::CountBonus { scale: 6.0 },
        ] {
            let found = frequencies(policy, &q, &n);
            let mean: f64 = q.iter().zip(&found).map(|(q, f)| q * f).sum();
            let expected = policy.expected(&q, &n, &mut [0.0; 4]);
            // Values span 6, so the mean of 100,000 draws is within 5 * 3 / sqrt(100,000) = 0.05.
            assert!(
                (mean - expected).abs() < 0.05,
                "{policy:?}: {mean} {expected}"
            );
        }
    }

    #[test]
    fn choices_are_value_stable() {
        let mut rng = Seeds::new(42).stream("agent/explore", 0);
        let mut draw = |policy: Policy| -> Vec<usize> {
            let q = [0.5, 0.5, 0.0, 0.25];
            (0..12)
                .map(|_| policy.choose(&q, || &[1; 4], &mut [0.0; 4], &mut rng))
                .collect()
        };
        let drawn = [
            draw(epsilon_greedy(0.5)),
            draw(Policy::Boltzmann { temperature: 0.5 }),
            draw(Policy::CountBonus { scale: 0.6 }),
        ];
        assert_eq!(drawn, PINNED, "published results depend on these values");
    }
    const PINNED: [[usize; 12]; 3] = [
        [1, 1, 2, 1, 3, 1, 0, 0, 1, 1, 0, 1],
        [0, 3, 0, 2, 1, 2, 0, 1, 0, 1, 1, 0],
        [1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1],
    ];

    #[test]
    fn numbers_out_of_range_are_refused_under_their_key() {
        let exploration = Exploration::EpsilonGreedy {
            epsilon: Schedule::linear(1.0, -0.1, 10),
        };
        assert_eq!(
            exploration.check().unwrap_err().to_string(),
            "exploration.epsilon.to: -0.1 is out of range; give 0 to 1"
        );
    }
}
