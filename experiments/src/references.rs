//! Returns worth comparing with: the optimum where the dynamics are known, the return that counts as solved, and what the
//! configuration names.

use std::path::Path;

use anyhow::Result;
use thorndike_core::Registry;
use thorndike_tabular::exact::Solver;

use crate::alarms::{Expected, alarms};
use crate::config::{AgentTask, Config, Task};
use crate::launch::CONFIG;
use crate::run::{SeedSummary, evaluation_limit};
use crate::runs::{self, ReferenceLine};
use crate::summary::number;

/// The optimum of a problem with known dynamics, the return from which a problem counts as solved, unless not even
/// the optimum reaches it, and what the configuration names.
pub(crate) fn references(config: &Config, registry: &Registry) -> Result<Vec<ReferenceLine>> {
    let Task::Agent(AgentTask { env, .. }) = &config.task else {
        return Ok(config.references.clone());
    };
    let (spec, limit) = evaluation_limit(config, registry)?;
    let mut lines = Vec::new();
    if let Some(mdp) = registry.make_finite(&env.id, &env.params)? {
        let value = Solver::new(&*mdp)?.best_return(Some(limit))?;
        lines.push(ReferenceLine::optimum(value));
    }
    let optimum = lines.first().map_or(f64::INFINITY, |line| line.value);
    if let Some(threshold) = spec.reward_threshold.filter(|&value| value <= optimum) {
        lines.push(ReferenceLine::solved(threshold));
    }
    for line in &config.references {
        if !lines.contains(line) {
            lines.push(line.clone());
        }
    }
    Ok(lines)
}

/// The runs in `dir`, with their reference lines where this program knows the environment, and what is alarming in them
/// among the warnings.
pub(crate) fn read_with_references(dir: &Path, registry: &Registry) -> Result<runs::Experiment> {
    let mut read = runs::Experiment::read(dir)?;
    let config = dir.join(CONFIG);
    let config = Config::load(&config, &[], registry);
    if let Some(Ok(lines)) = config
        .as_ref()
        .ok()
        .map(|config| references(config, registry))
    {
        read.lines = lines;
    }
    let expected = config.map_or_else(|_| Expected::default(), |config| Expected::of(&config));
    let alarms = alarms(&read, expected).into_iter();
    let alarms: Vec<String> = alarms
        .map(|alarm| format!("{}: {alarm}", read.name))
        .collect();
    read.warnings.extend(alarms);
    Ok(read)
}

/// How many seeds came as far as a line. The optimum is compared with the exact return where that is known, since the
/// mean of some episodes is below it half of the time however good the policy is.
pub(crate) fn reached(line: &ReferenceLine, seeds: &[SeedSummary]) -> String {
    let optimum = line.label == ReferenceLine::OPTIMUM;
    let there = |seed: &&SeedSummary| match seed.exact_return.filter(|_| optimum) {
        // Far above the rounding of sums, far below any difference of policies that matters.
        Some(exact) => exact >= line.value - 1e-6 * line.value.abs().max(1.0),
        None => seed.final_return >= line.value,
    };
    let there = seeds.iter().filter(there).count();
    let (value, all) = (number(line.value), seeds.len());
    if optimum {
        format!("  optimum {value} reached: {there} of {all} seeds")
    } else {
        format!("  {} from {value}: {there} of {all} seeds", line.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn references_of(env: &str, agent: &str) -> Vec<ReferenceLine> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let text =
            format!("steps = 1\nseeds = [1]\n[env]\nid = \"{env}\"\n[agent]\nid = \"{agent}\"\n");
        fs::write(&file, text).unwrap();
        let registry = crate::standard();
        let config = Config::load(&file, &[], &registry).unwrap();
        references(&config, &registry).unwrap()
    }

    fn seed(final_return: f64, exact_return: Option<f64>) -> SeedSummary {
        SeedSummary {
            seed: 1,
            steps: 1,
            final_return,
            final_return_std: 0.0,
            final_episodes: 1,
            final_episodes_cut: 0,
            learning_return: None,
            only_action: None,
            exact_return,
            seconds: 0.0,
            scores: None,
            federated: None,
        }
    }

    #[test]
    fn a_threshold_that_no_policy_reaches_gives_way_to_the_optimum() {
        let labels = |env: &str| -> Vec<String> {
            let lines = references_of(env, "q-learning");
            lines.into_iter().map(|line| line.label).collect()
        };
        assert_eq!(labels("taxi"), ["optimum"]);
        assert_eq!(labels("frozen-lake"), ["optimum", "solved"]);
    }

    #[test]
    fn an_optimal_policy_reaches_the_optimum_with_bad_luck_and_no_other_does_with_good() {
        let line = ReferenceLine::optimum(7.929_999_999_999_999);
        let seeds = [
            seed(7.91, Some(7.93)),
            seed(7.92, Some(7.93)),
            seed(7.95, Some(7.9)),
            seed(7.94, None),
        ];
        assert_eq!(
            reached(&line, &seeds),
            "  optimum 7.93 reached: 3 of 4 seeds"
        );
        let solved = ReferenceLine::solved(7.94);
        assert_eq!(reached(&solved, &seeds), "  solved from 7.94: 2 of 4 seeds");
    }
}
