//! What `train` and `resume` leave and print at the end: a summary, a picture, a table.

use std::path::Path;

use anyhow::{Result, anyhow};
use serde::Serialize;
use thorndike_core::memory::human;
use thorndike_core::{Error, Registry, checkpoint};

use super::out::{out, outln};
use super::{Failure, Outcome};
use crate::alarms::{Expected, alarms};
use crate::launch::{Experiment, SeedFailure, write_whole};
use crate::plot;
use crate::references::{reached, references};
use crate::run::{CHECKPOINTS, SUMMARY, SeedSummary, seed_dir};
use crate::runs::{self, ReferenceLine};
use crate::signal::stop_on_signal;
use crate::stats::{Bootstrap, mean};
use crate::summary::{Summary, number};
use crate::text::{duration, thousands};
use crate::words;

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
pub(super) fn run_and_conclude(
    experiment: &Experiment,
    registry: &Registry,
    jobs: usize,
) -> Outcome {
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
        .map(|path| SeedSummary::read(&path))
        .collect::<Result<_>>()?;
    let bootstrap = Bootstrap::for_tables();
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
    print(&report, &picture)?;
    for alarm in alarms(&read, Expected::of(config)) {
        eprintln!("warning: {alarm}");
    }
    Ok(())
}

fn print(report: &Report, picture: &Path) -> Result<()> {
    let seeds = &report.final_evaluations;
    if let Some(first) = seeds.first().and_then(|seed| seed.scores.as_ref()) {
        let steps = match seeds[0].federated {
            Some(_) => "rounds",
            None => "samples",
        };
        outln!(
            "\nseed  {:<12}  best    loss    {steps:<8}  kept back  time",
            first.measure
        );
        for seed in seeds {
            let Some(scores) = &seed.scores else { continue };
            let numbers = scores.numbers.iter();
            let numbers: String = numbers
                .map(|(name, &value)| {
                    let parts: Vec<&str> = name.split('/').collect();
                    let name = match parts[..] {
                        ["task", task, ..] => task.to_owned(),
                        ["weight", task] => format!("weight of {task}"),
                        [.., last] => last.to_owned(),
                        [] => String::new(),
                    };
                    format!("  {name} {}", number(value))
                })
                .collect();
            outln!(
                "{:>4}  {:<12.4}  {:<6.4}  {:<6.4}  {:<8}  {:<9}  {}{numbers}",
                seed.seed,
                seed.final_return,
                scores.best,
                scores.loss,
                thousands(seed.steps),
                thousands(seed.final_episodes as u64),
                duration(seed.seconds)
            );
        }
        if first.measure == words::LIKELIHOOD {
            outln!(
                "  of words of the text, which are learned from, at the end; give eval.pairs for a test"
            );
        } else if report.summary.agent == words::KIND {
            outln!(
                "  of eval.pairs, at the end; the loss is of words of the text, which are learned from"
            );
        } else {
            outln!(
                "  of samples that were not learned from, at the end; the best model is kept beside the last"
            );
        }
        print_federated(seeds)?;
        out!("\n{}", report.summary);
        for line in &report.references {
            outln!("{}", reached(line, seeds));
        }
        outln!("curve {}", picture.display());
        return Ok(());
    }
    outln!("\nseed  final return         episodes  learning  time");
    for seed in seeds {
        let warning = match seed.only_action {
            Some(action) => format!("  (action {action} in every step)"),
            None => String::new(),
        };
        let of_tasks = seed.tasks.iter();
        let of_tasks: String = of_tasks
            .map(|(task, &value)| format!("  {task} {}", number(value)))
            .collect();
        let value = format!("{:.2} ± {:.2}", seed.final_return, seed.final_return_std);
        let learning = seed
            .learning_return
            .map_or("-".into(), |value| format!("{value:.2}"));
        outln!(
            "{:>4}  {value:<20} {:>8}  {learning:>8}  {}{warning}{of_tasks}",
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
    print_federated(seeds)?;
    out!("\n{}", report.summary);
    let exact: Option<Vec<f64>> = seeds.iter().map(|seed| seed.exact_return).collect();
    if let (Some(exact), Some(optimum)) = (exact, report.summary.optimum) {
        let value = mean(&exact);
        outln!(
            "  exact return of the greedy policies: mean {value:.4}, regret {:.4}",
            optimum - value
        );
    }
    for line in &report.references {
        outln!("{}", reached(line, seeds));
    }
    outln!("curve {}", picture.display());
    Ok(())
}

/// What server and clients sent each other, and what it cost in privacy; nothing of other runs.
fn print_federated(seeds: &[SeedSummary]) -> Result<()> {
    let of_seed = |seed: &SeedSummary| Some((seed.seed, seed.federated.clone()?));
    let rows: Vec<_> = seeds.iter().filter_map(of_seed).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let private = rows.iter().any(|(_, federated)| federated.private);
    let epsilon = if private { "  epsilon" } else { "" };
    outln!("\nseed  clients  rounds   down a round  up a round{epsilon}");
    for (seed, federated) in rows {
        let epsilon = match (federated.private, federated.epsilon) {
            (false, _) => String::new(),
            (true, Some(epsilon)) => format!("  {epsilon:.3}"),
            (true, None) => "  infinite".to_owned(),
        };
        outln!(
            "{seed:>4}  {:<7}  {:<7}  {:<12}  {:<10}{epsilon}",
            thousands(federated.clients as u64),
            thousands(federated.rounds),
            human(federated.bytes_down.round() as u64),
            human(federated.bytes_up.round() as u64),
        );
        for (name, rounds) in &federated.left_out {
            outln!(
                "      {name} was left out of {} of them: its weights were no numbers",
                thousands(*rounds)
            );
        }
    }
    Ok(())
}
