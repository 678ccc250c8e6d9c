use std::path::{Path, PathBuf};

use anyhow::anyhow;
use thorndike_core::Registry;

use super::out::{out, outln};
use super::{Failure, Outcome};
use crate::plot::Theme;
use crate::signal::stop_on_signal;
use crate::sweep::{Folder, Plan, Ranking, Sweep, Trial};

/// Search over keys of a configuration: train many trials, rank them, and write the best one out
///
/// The same command goes on with a sweep that was interrupted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Sweep file, such as experiments/sweeps/frozen-lake-q.toml
    file: PathBuf,
    /// Overrides of the configuration that is varied, such as steps=1000; name=other names the sweep
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Seeds at a time, over all trials; as many as there are cores if absent
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Folder of all results
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
    /// Replace another sweep of the same name
    #[arg(long)]
    force: bool,
    /// Dark background of the picture
    #[arg(long)]
    dark: bool,
}

/// Trials that are printed at the end; table.csv has all.
const SHOWN: usize = 10;

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let jobs = args.jobs.map(usize::from);
    let (sweep, trials, plan) = prepare(&args.file, &args.overrides, registry, jobs)?;
    eprintln!("{plan}");
    let folder = Folder::claim(&sweep, &trials, &args.results, args.force)?;
    let stop = stop_on_signal()?;
    let ranking = folder.run(&plan, registry, &stop).map_err(Failure::Work)?;
    let Some(ranking) = ranking else {
        eprintln!("\nstopped; the same command goes on");
        return Err(Failure::Stopped);
    };
    let theme = if args.dark { Theme::Dark } else { Theme::Light };
    report(&ranking, &folder.dir, &sweep, &trials, theme).map_err(Failure::Work)
}

/// Reads a sweep and builds every trial once.
pub(super) fn prepare(
    file: &Path,
    overrides: &[String],
    registry: &Registry,
    jobs: Option<usize>,
) -> anyhow::Result<(Sweep, Vec<Trial>, Plan)> {
    let sweep = Sweep::load(file, overrides)?;
    let at = |error: anyhow::Error| error.context(format!("{}", file.display()));
    let trials = sweep.trials(registry).map_err(at)?;
    let plan = Plan::new(&sweep, &trials, registry, jobs).map_err(at)?;
    Ok((sweep, trials, plan))
}

fn report(
    ranking: &Ranking,
    dir: &Path,
    sweep: &Sweep,
    trials: &[Trial],
    theme: Theme,
) -> anyhow::Result<()> {
    let written = ranking.write(sweep, trials, theme, dir)?;
    let (Some((best, score)), Some(config), Some(picture)) =
        (ranking.best(), written.best, written.picture)
    else {
        let why = ranking.rows.first().map(|row| &row.outcome);
        return Err(match why {
            Some(crate::sweep::Outcome::Failed(why)) => {
                anyhow!("every trial failed; the first: {why}")
            }
            _ => anyhow!("there is no trial"),
        });
    };
    out!("\n{}", ranking.table(sweep, trials, SHOWN));
    let all = ranking.rows.len();
    if all > SHOWN {
        outln!(
            "  {} more in {}",
            all - SHOWN,
            dir.join("table.csv").display()
        );
    }
    if !score.hint.is_empty() {
        outln!("  intervals{}", score.hint);
    }
    outln!(
        "  {} was chosen by its own seeds, which flatters it; with new ones: thorndike train {} seeds={}",
        trials[best].config.name,
        config.display(),
        new_seeds(&trials[best].config.seeds)
    );
    outln!("best {}", config.display());
    outln!("picture {}", picture.display());
    Ok(())
}

/// As many seeds as there were, none of them the same.
fn new_seeds(old: &[u64]) -> String {
    let first = old.iter().max().map_or(1, |most| most.saturating_add(1));
    let seeds: Vec<String> = (0..old.len() as u64)
        .map(|i| first.saturating_add(i).to_string())
        .collect();
    format!("[{}]", seeds.join(","))
}
