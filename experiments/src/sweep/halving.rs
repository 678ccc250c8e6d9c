//! Successive halving: many trials for few steps, the best of them for more.
//!
//! # Reference
//! Jamieson, Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*, 2016, figure 3; with
//! the rungs of Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, *Hyperband: A Novel Bandit-Based Approach to
//! Hyperparameter Optimization*, 2018, algorithm 1 (one bracket of it).
//! Deviations: the number of trials and the least steps are given, instead of a budget or the bracket; steps are rounded
//! up; a trial that failed is never promoted; one trial is left at least. Rungs wait for all their trials, so that the
//! outcome does not depend on the number of cores.
//!
//! A promoted trial goes on from where it was. Its end is therefore that of one training run of full length, and what
//! follows from the length (the spacing of evaluations, logs and checkpoints) is that of the full length from the start.
//! Schedules count environment steps from 0 and are not shortened either: a rung sees their first part, so that a
//! trial whose learning rate falls late, or that explores long, is judged before it has settled. `min_steps` has to be
//! enough for good trials to have begun to learn.

use anyhow::{Result, ensure};
use thorndike_core::EnvSteps;

/// Trials that are trained until the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Environment steps of each seed at its end.
    pub steps: EnvSteps,
    /// Trials in it.
    pub trials: usize,
}

/// Rungs up to `steps`: each has `eta` times the steps of the one before and one `eta`-th of its trials, the first one
/// at least `min_steps`.
///
/// # Errors
/// If there would be only one.
pub fn rungs(trials: usize, eta: u64, min_steps: EnvSteps, steps: EnvSteps) -> Result<Vec<Rung>> {
    let mut lengths = vec![steps];
    let mut factor = eta;
    // Steps are rounded up, so what is compared is the exact share.
    while factor.saturating_mul(min_steps) <= steps {
        lengths.push(steps.div_ceil(factor));
        factor = factor.saturating_mul(eta);
    }
    ensure!(
        lengths.len() > 1,
        "search: {eta} times min_steps {min_steps} is more than the {steps} steps of a trial, so that nothing is \
         halved; give min_steps up to {}",
        steps / eta
    );
    let mut left = trials as u64;
    let rung = |steps| {
        let rung = Rung {
            steps,
            trials: left as usize,
        };
        left = (left / eta).max(1);
        rung
    };
    Ok(lengths.into_iter().rev().map(rung).collect())
}

/// The `count` best of `scores`, `(trial, value)`, in their order; ties go to the first.
pub fn best(scores: &[(usize, f64)], count: usize) -> Vec<usize> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut kept: Vec<usize> = sorted
        .into_iter()
        .take(count)
        .map(|score| score.0)
        .collect();
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(trials: usize, eta: u64, min_steps: u64, steps: u64) -> Vec<(u64, usize)> {
        let rungs = rungs(trials, eta, min_steps, steps).unwrap();
        rungs.iter().map(|rung| (rung.steps, rung.trials)).collect()
    }

    #[test]
    fn rungs_are_those_of_a_bracket_of_hyperband() {
        // Table 1 of Li et al.: 81 units, eta 3, the bracket that begins with one unit.
        let expected = [(1, 81), (3, 27), (9, 9), (27, 3), (81, 1)];
        assert_eq!(plain(81, 3, 1, 81), expected);
    }

    #[test]
    fn the_last_rung_has_all_steps_and_the_first_at_least_the_least() {
        assert_eq!(
            plain(27, 3, 5_000, 50_000),
            [(5_556, 27), (16_667, 9), (50_000, 3)]
        );
        assert_eq!(
            plain(3, 4, 10, 1_000),
            [(16, 3), (63, 1), (250, 1), (1_000, 1)]
        );
        assert_eq!(plain(8, 2, 500, 1_000), [(500, 8), (1_000, 4)]);
    }

    #[test]
    fn one_rung_is_no_halving() {
        let error = rungs(9, 3, 400, 1_000).unwrap_err().to_string();
        assert!(error.ends_with("give min_steps up to 333"), "{error}");
    }

    #[test]
    fn the_best_are_kept_in_order_and_ties_go_to_the_first() {
        let scores = [(0, 1.0), (2, 5.0), (3, 1.0), (4, -1.0), (7, 5.0), (8, 1.0)];
        assert_eq!(best(&scores, 3), [0, 2, 7]);
        assert_eq!(best(&scores, 99).len(), 6);
    }
}
