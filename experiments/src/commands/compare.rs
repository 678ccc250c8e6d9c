use std::path::PathBuf;

use thorndike_core::Registry;

use super::Outcome;
use super::plot::{Average, range};
use super::report::read_with_references;
use crate::plot;
use crate::summary::{Summary, table};

/// Compare several experiments: a table, and their curves in one picture
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders of experiments
    #[arg(required = true, num_args = 1..)]
    folders: Vec<PathBuf>,
    /// Picture to write, .png or .svg
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
    let mut experiments = Vec::new();
    for folder in &args.folders {
        let experiment = read_with_references(folder, registry)?;
        for warning in &experiment.warnings {
            eprintln!("warning: {warning}");
        }
        experiments.push(experiment);
    }
    let options = args.statistic.options(args.range, args.dark);
    plot::compare(&experiments, &options, &args.out)?;
    let summaries = experiments
        .iter()
        .map(|experiment| Summary::of(experiment, &options.bootstrap, options.window))
        .collect::<anyhow::Result<Vec<_>>>()?;
    print!("{}", table(&summaries));
    println!("{}", args.out.display());
    Ok(())
}
