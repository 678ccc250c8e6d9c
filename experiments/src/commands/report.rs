use std::path::PathBuf;

use thorndike_core::Registry;

use super::compare::{folders, tell_apart};
use super::out::outln;
use super::plot::{Average, range};
use super::{Failure, Outcome};
use crate::launch::write_whole;
use crate::report::{Entry, page};
use crate::runs::Experiment;
use crate::stats::Bootstrap;

/// File of a report.
const REPORT: &str = "report.html";

/// Write experiments as one HTML page: results, curves, seeds, settings, machine and how to get them again
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders of experiments; several are compared first
    #[arg(required = true, num_args = 1..)]
    folders: Vec<PathBuf>,
    /// Page to write; report.html in the folder if absent, and in the current one for several
    #[arg(short, long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Average over seeds
    #[arg(long, value_enum, default_value = "iqm")]
    statistic: Average,
    /// Returns to show; all by default, except the first ones where they would press the rest flat
    #[arg(long, value_name = "LOW..HIGH", value_parser = range, allow_hyphen_values = true)]
    range: Option<(f64, f64)>,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let (folders, whole) = folders(args.folders)?;
    let options = args.statistic.options(args.range, false);
    // Of a table, as `train` prints it.
    let bootstrap = Bootstrap::for_tables();
    let mut entries = Vec::new();
    for folder in &folders {
        let entry = Entry::read(folder, registry, &bootstrap, options.window)?;
        entries.push(entry);
    }
    let mut experiments: Vec<&mut Experiment> = entries
        .iter_mut()
        .map(|entry| &mut entry.experiment)
        .collect();
    tell_apart(&mut experiments, &whole);
    let page = page(&entries, &options)?;
    let out = args.out.unwrap_or_else(|| match &folders[..] {
        [folder] => folder.join(REPORT),
        _ => PathBuf::from(REPORT),
    });
    write_whole(&out, page.as_bytes()).map_err(Failure::Work)?;
    outln!("{}", out.display());
    Ok(())
}
