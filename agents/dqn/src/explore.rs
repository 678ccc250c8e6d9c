//! ε-greedy exploration.

use thorndike_core::Rng;
use thorndike_core::rand::RngExt;

/// Draws for each row whether to explore, and how: `Some(action)` with probability `epsilon`, drawn uniformly
/// from `0..num_actions`, else `None`.
///
/// The draws do not depend on the network, so that a caller may skip it where every row explores.
pub(crate) fn draw(rng: &mut Rng, epsilon: f64, num_actions: usize, choices: &mut [Option<i32>]) {
    for choice in choices {
        *choice = (rng.random::<f64>() < epsilon).then(|| rng.random_range(0..num_actions as i32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;

    fn drawn(epsilon: f64) -> Vec<Option<i32>> {
        let mut choices = vec![None; 30_000];
        draw(
            &mut Seeds::new(4).stream("test", 0),
            epsilon,
            3,
            &mut choices,
        );
        choices
    }

    #[test]
    fn the_ends_are_always_and_never() {
        assert!(drawn(1.0).iter().all(Option::is_some));
        assert!(drawn(0.0).iter().all(Option::is_none));
    }

    #[test]
    fn actions_are_uniform_with_the_probability_asked_for() {
        let choices = drawn(0.3);
        for action in 0..3 {
            let count = choices.iter().filter(|c| **c == Some(action)).count() as f64;
            // Binomial with mean 3,000 and standard deviation 52: five of them.
            assert!((count - 3000.0).abs() < 260.0, "{count}");
        }
    }

    #[test]
    fn draws_are_value_stable() {
        let mut choices = [None; 8];
        draw(
            &mut Seeds::new(1).stream("agent/explore", 0),
            0.5,
            4,
            &mut choices,
        );
        let expected = [None, None, Some(2), None, Some(1), None, Some(1), Some(0)];
        assert_eq!(
            choices, expected,
            "published results depend on these values"
        );
    }
}
