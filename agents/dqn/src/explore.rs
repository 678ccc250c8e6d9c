//! ε-greedy exploration.

use thorndike_core::Rng;
use thorndike_core::rand::RngExt;

/// Draws for each row whether to explore, and how: `Some(action)` with probability `epsilon(row, rows)`, drawn
/// uniformly from `0..num_actions`, else `None`.
///
/// The draws do not depend on the network, so that a caller may skip it where every row explores.
pub(crate) fn draw(
    rng: &mut Rng,
    epsilon: impl Fn(usize, usize) -> f64,
    num_actions: usize,
    choices: &mut [Option<i32>],
) {
    let rows = choices.len();
    for (row, choice) in choices.iter_mut().enumerate() {
        let epsilon = epsilon(row, rows);
        *choice = (rng.random::<f64>() < epsilon).then(|| rng.random_range(0..num_actions as i32));
    }
}

/// The share of random actions of row `row` of `rows`: `epsilon` in the first, less in the later ones.
///
/// # Reference
/// Horgan et al., "Distributed Prioritized Experience Replay" (2018), section 4.1. Deviations: a single row has
/// `epsilon`.
pub(crate) fn spread(epsilon: f64, spread: f64, row: usize, rows: usize) -> f64 {
    if spread == 0.0 || row == 0 {
        return epsilon;
    }
    epsilon.powf(1.0 + spread * row as f64 / (rows - 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;

    fn drawn(epsilon: f64) -> Vec<Option<i32>> {
        let mut choices = vec![None; 30_000];
        draw(
            &mut Seeds::new(4).stream("test", 0),
            |_, _| epsilon,
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
            |_, _| 0.5,
            4,
            &mut choices,
        );
        let expected = [None, None, Some(2), None, Some(1), None, Some(1), Some(0)];
        assert_eq!(
            choices, expected,
            "published results depend on these values"
        );
    }

    #[test]
    fn later_rows_explore_less_by_the_formula_of_ape_x() {
        // 0.4^(1 + 7 i / 7) for eight rows.
        let epsilons: Vec<f64> = (0..8).map(|row| spread(0.4, 7.0, row, 8)).collect();
        assert_eq!(epsilons[0], 0.4);
        assert!(
            (epsilons[1] - 0.16).abs() < 1e-12 && (epsilons[7] - 0.4_f64.powi(8)).abs() < 1e-12
        );
        assert_eq!(spread(0.3, 0.0, 5, 8), 0.3);
        assert_eq!(
            spread(1.0, 7.0, 5, 8),
            1.0,
            "a warm-up is random everywhere"
        );
        assert_eq!(spread(0.3, 7.0, 0, 1), 0.3);
    }
}
