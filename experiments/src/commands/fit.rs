use std::path::PathBuf;

use anyhow::anyhow;
use thorndike_core::Registry;

use super::{Outcome, conclude};
use crate::config::{Config, Task};
use crate::launch::{Experiment, Plan};

/// Train a supervised model as a configuration file says, and draw its learning curve
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file, such as experiments/configs/mnist1d-cnn.toml
    config: PathBuf,
    /// Overrides, such as epochs=5 or training.batch_size=32
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Seeds at a time; as many as there are cores if absent
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Folder of all results
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
    /// Replace another run of the same name
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let config = Config::load(&args.config, &args.overrides, registry)?;
    if let Task::Agent(_) = config.task {
        let path = args.config.display();
        return Err(anyhow!("{path} describes an agent; run thorndike train {path}").into());
    }
    let plan = Plan::new(&config, registry, args.jobs.map(usize::from))?;
    eprintln!("{}", plan.describe(&config));
    eprintln!("  {}", plan.agent);
    let experiment = Experiment::create(config, &args.results, args.force)?;
    eprintln!("  results in {}\n", experiment.dir.display());
    conclude::run_and_conclude(&experiment, registry, plan.jobs)
}
