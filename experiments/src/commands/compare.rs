use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use thorndike_core::Registry;

use super::Outcome;
use super::out::{out, outln};
use super::plot::{Average, range};
use crate::comparison::Comparison;
use crate::launch::write_whole;
use crate::plot;
use crate::references::read_with_references;
use crate::runs::Experiment;
use crate::stats::Bootstrap;
use crate::summary::{Summary, table};

/// Compare several experiments: tables, which differences are there, and pictures
///
/// Beside the picture of the curves it leaves those of the scores at the end, of the performance profiles and of the
/// probabilities of improvement, and the tables as text: compare-scores.png, compare-profiles.png,
/// compare-improvement.png and compare-tables.md. Experiments on several environments are put together by their names without
/// that of the environment: cart-pole-dqn and acrobot-dqn are both of dqn. One of several tasks stands beside those of each.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders of experiments
    #[arg(required = true, num_args = 1..)]
    folders: Vec<PathBuf>,
    /// Picture of the curves, .png or .svg; the others get names like it
    #[arg(short, long, value_name = "FILE", default_value = "compare.png")]
    out: PathBuf,
    /// Average over seeds
    #[arg(long, value_enum, default_value = "iqm")]
    statistic: Average,
    /// Returns to show; all by default, except the first ones where they would press the rest flat
    #[arg(long, value_name = "LOW..HIGH", value_parser = range, allow_hyphen_values = true)]
    range: Option<(f64, f64)>,
    /// Dark background
    #[arg(long)]
    dark: bool,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let (folders, whole) = folders(args.folders)?;
    let mut experiments = Vec::new();
    for folder in &folders {
        let experiment = read_with_references(folder, registry)?;
        for warning in &experiment.warnings {
            eprintln!("warning: {warning}");
        }
        experiments.push(experiment);
    }
    tell_apart(&mut experiments.iter_mut().collect::<Vec<_>>(), &whole);
    let experiments: Vec<Experiment> = experiments
        .into_iter()
        .flat_map(Experiment::by_task)
        .collect();
    let options = args.statistic.options(args.range, args.dark);
    plot::compare(&experiments, &options, &args.out)?;
    let summaries = experiments
        .iter()
        .map(|experiment| Summary::of(experiment, &options.bootstrap, options.window))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut text = table(&summaries);
    for summary in summaries.iter().filter(|s| !s.hint().is_empty()) {
        text += &format!("{}{}\n", summary.name, summary.hint());
    }
    let mut written = vec![args.out.clone()];
    let mut beside = |what: &str, ending: Option<&str>| {
        let path = named_like(&args.out, what, ending);
        written.push(path.clone());
        path
    };
    // The picture of the scores shows the intervals of the table.
    let options = plot::Options {
        bootstrap: Bootstrap::for_tables(),
        ..options
    };
    match Comparison::of(&experiments, &options.bootstrap, options.window) {
        Ok(comparison) => {
            text += &format!("\n{comparison}");
            plot::scores(&comparison, &options, &beside("scores", None))?;
            let profiles = plot::Options {
                bootstrap: Bootstrap::default(),
                ..options.clone()
            };
            if comparison.algorithms.iter().any(|a| a.aggregate.is_some()) {
                plot::profiles(&comparison, &profiles, &beside("profiles", None))?;
            }
            if !comparison.pairs.is_empty() {
                plot::improvement(&comparison, &options, &beside("improvement", None))?;
            }
        }
        Err(error) => text += &format!("\n{error:#}\n"),
    }
    out!("{text}");
    write_whole(&beside("tables", Some("md")), text.as_bytes())?;
    outln!("");
    for path in written {
        outln!("{}", path.display());
    }
    Ok(())
}

/// `compare-scores.png` for `compare.png`.
fn named_like(path: &Path, what: &str, ending: Option<&str>) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let own = path.extension().unwrap_or_default().to_string_lossy();
    let ending = ending.unwrap_or(&own);
    path.with_file_name(format!("{stem}-{what}.{ending}"))
}

/// The folders among `given`, as they are given and as whole paths; `results/*` has plain files too.
pub(super) fn folders(given: Vec<PathBuf>) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut folders, mut wholes) = (Vec::new(), Vec::new());
    for path in given {
        if path.is_file() {
            eprintln!("{}: passed over, it is no folder", path.display());
            continue;
        }
        let whole = path
            .canonicalize()
            .with_context(|| format!("cannot read results folder {}", path.display()))?;
        if wholes.contains(&whole) {
            bail!("{}: is there twice; give each folder once", path.display());
        }
        folders.push(path);
        wholes.push(whole);
    }
    if folders.is_empty() {
        bail!("only files are given; give folders of experiments, such as results/NAME");
    }
    Ok((folders, wholes))
}

/// Puts parent folders before names that are there more than once.
pub(super) fn tell_apart(experiments: &mut [&mut Experiment], folders: &[PathBuf]) {
    let longest = folders.iter().map(|folder| folder.components().count());
    for parts in 2..=longest.max().unwrap_or(0) {
        let names: Vec<String> = experiments.iter().map(|e| e.name.clone()).collect();
        for (experiment, folder) in experiments.iter_mut().zip(folders) {
            if names
                .iter()
                .filter(|&name| *name == experiment.name)
                .count()
                > 1
            {
                experiment.name = last_parts(folder, parts);
            }
        }
    }
}

fn last_parts(folder: &Path, parts: usize) -> String {
    let all = folder.components().count();
    let last: PathBuf = folder
        .components()
        .skip(all.saturating_sub(parts))
        .collect();
    last.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_get_as_many_parent_folders_as_tell_them_apart() {
        let folders = ["/x/a/run", "/y/a/run", "/y/b/run", "/y/other"].map(PathBuf::from);
        let mut experiments: Vec<Experiment> = folders
            .iter()
            .map(|folder| Experiment {
                name: last_parts(folder, 1),
                ..Experiment::default()
            })
            .collect();
        tell_apart(&mut experiments.iter_mut().collect::<Vec<_>>(), &folders);
        let names: Vec<_> = experiments.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["x/a/run", "y/a/run", "b/run", "other"]);
    }
}
