//! What `train` and `resume` leave and print at the end: a summary, a picture, a table.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use thorndike_core::{Error, Registry, checkpoint};
use thorndike_tabular::exact::Solver;

use super::out::{out, outln};
use super::{Failure, Outcome};
use crate::config::Config;
use crate::launch::{Experiment, SeedFailure, write_whole};
use crate::run::{CHECKPOINTS, SUMMARY, SeedSummary, evaluation_limit, seed_dir};
use crate::runs::{self, ReferenceLine};
use crate::signal::stop_on_signal;
use crate::stats::{Bootstrap, mean};
use crate::summary::{Summary, number};
use crate::text::duration;
use crate::{launch, plot};

/// File of the reward curve, below the folder of an experiment.
pub(super) const CURVE: &str = "curve.png";

/// What `summary.json` of an experiment holds.
#[derive(Debug, Serialize)]
struct Report {
    /// Version of the program that wrote it.
    version: &'static str,
    #[serde(flatten)]
    summary: Summary,
    /// Returns worth comparing with, such as the optimum.
    references: Vec<ReferenceLine>,
    /// The final evaluation of each seed.
    final_evaluations: Vec<SeedSummary>,
}

/// Runs the seeds that are left, then concludes from all of them.
pub(super) fn run_and_conclude(experiment: &Experiment, registry: &Registry, jobs: usize) -> Outcome {
    let stop = stop_on_signal()?;
    let outcome = experiment.run(registry, jobs, &stop);
    let dir = experiment.dir.display();
    if !outcome.finished.is_empty() {
        conclude(experiment, registry).map_err(Failure::Work)?;
    }
    if !outcome.failed.is_empty() {
        let n = experiment.config.seeds.len();
        let failed: Vec<_> = outcome
            .failed
            .iter()
            .map(|failure| format!("seed {}: {}", failure.seed, failure.error))
            .collect();
        let what = format!(
            "{} of {n} seeds failed; {}{}",
            failed.len(),
            failed.join("; "),
            what_is_left(experiment, &outcome.failed)
        );
        return Err(Failure::Work(anyhow!(what)));
    }
    if !outcome.stopped.is_empty() {
        eprintln!("\nstopped; go on with: thorndike resume {dir}");
        return Err(Failure::Stopped);
    }
    Ok(())
}

/// What can be done with the checkpoints of the seeds that failed.
fn what_is_left(experiment: &Experiment, failed: &[SeedFailure]) -> String {
    let checkpoints = |seed| seed_dir(&experiment.dir, seed).join(CHECKPOINTS);
    let saved = |failure: &&SeedFailure| {
        failure.at_work && matches!(checkpoint::latest(&checkpoints(failure.seed)), Ok(Some(_)))
    };
    let diverged = |failure: &SeedFailure| matches!(failure.error, Error::Diverged { .. });
    let mut saved = failed.iter().filter(saved).peekable();
    if saved.peek().is_none() {
        String::new()
    } else if saved.all(diverged) {
        "; checkpoints are kept, but from them it comes to the same: train anew with other parameters".into()
    } else {
        format!(
            "; checkpoints are kept, `thorndike resume {}` goes on from them",
            experiment.dir.display()
        )
    }
}

fn conclude(experiment: &Experiment, registry: &Registry) -> Result<()> {
    let Experiment { config, dir, .. } = experiment;
    let references = references(config, registry)?;
    let mut read = runs::Experiment::read(dir)?;
    read.lines.clone_from(&references);
    let picture = dir.join(CURVE);
    plot::curve(&read, &plot::Options::default(), &picture)?;

    let seeds: Vec<SeedSummary> = config
        .seeds
        .iter()
        .map(|&seed| seed_dir(dir, seed).join(SUMMARY))
        .filter(|path| path.is_file())
        .map(|path| read_summary(&path))
        .collect::<Result<_>>()?;
    let bootstrap = Bootstrap {
        resamples: 50_000,
        ..Bootstrap::default()
    };
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        summary: Summary::of(&read, &bootstrap, plot::Options::default().window)?,
        references,
        final_evaluations: seeds,
    };
    write_whole(
        &dir.join(SUMMARY),
        serde_json::to_string_pretty(&report)?.as_bytes(),
    )?;
    print(&report, &picture)
}

fn print(report: &Report, picture: &Path) -> Result<()> {
    let seeds = &report.final_evaluations;
    outln!("\nseed  final return         episodes  learning  time");
    for seed in seeds {
        let warning = match seed.only_action {
            Some(action) => format!("  (action {action} in every step)"),
            None => String::new(),
        };
        let value = format!("{:.2} ± {:.2}", seed.final_return, seed.final_return_std);
        let learning = seed
            .learning_return
            .map_or("-".into(), |value| format!("{value:.2}"));
        outln!(
            "{:>4}  {value:<20} {:>8}  {learning:>8}  {}{warning}",
            seed.seed,
            seed.final_episodes,
            duration(seed.seconds)
        );
    }

    outln!("  ± is the standard deviation over the episodes of the final evaluation");
    let cut: usize = seeds.iter().map(|seed| seed.final_episodes_cut).sum();
    if cut > 0 {
        let all: usize = seeds.iter().map(|seed| seed.final_episodes).sum();
        outln!(
            "  {cut} of {all} episodes were cut off by eval.step_cap; a higher one shows what they were worth"
        );
    }
    out!("\n{}", report.summary);
    let exact: Option<Vec<f64>> = seeds.iter().map(|seed| seed.exact_return).collect();
    if let (Some(exact), Some(optimum)) = (exact, report.summary.optimum) {
        let value = mean(&exact);
        outln!(
            "  exact return of the greedy policies: mean {value:.4}, regret {:.4}",
            optimum - value
        );
    }
    // The return to reach, which comes last.
    if let Some(line) = report.references.last() {
        outln!("{}", reached(line, seeds));
    }
    outln!("curve {}", picture.display());
    Ok(())
}

/// How many seeds came as far as a line. The optimum is compared with the exact return where that is known, since the
/// mean of some episodes is below it half of the time however good the policy is.
fn reached(line: &ReferenceLine, seeds: &[SeedSummary]) -> String {
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

fn read_summary(path: &Path) -> Result<SeedSummary> {
    let text = fs::read(path).with_context(|| format!("{}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))
}

/// The optimum of a problem with known dynamics, the return from which a problem counts as solved, unless not even
/// the optimum reaches it, and what the configuration names.
pub(super) fn references(config: &Config, registry: &Registry) -> Result<Vec<ReferenceLine>> {
    let (spec, limit) = evaluation_limit(config, registry)?;
    let mut lines = Vec::new();
    if let Some(mdp) = registry.make_finite(&config.env.id, &config.env.params)? {
        let value = Solver::new(&*mdp)?.best_return(Some(limit))?;
        lines.push(ReferenceLine::optimum(value));
    }
    let optimum = lines.first().map_or(f64::INFINITY, |line| line.value);
    if let Some(threshold) = spec.reward_threshold.filter(|&value| value <= optimum) {
        lines.push(ReferenceLine::solved(threshold));
    }
    lines.extend(config.references.iter().cloned());
    Ok(lines)
}

/// The runs in `dir`, with their reference lines where this program knows the environment.
pub(super) fn read_with_references(dir: &Path, registry: &Registry) -> Result<runs::Experiment> {
    let mut read = runs::Experiment::read(dir)?;
    let config = dir.join(launch::CONFIG);
    if let Ok(lines) =
        Config::load(&config, &[], registry).and_then(|config| references(&config, registry))
    {
        read.lines = lines;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

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
