use std::path::PathBuf;

use anyhow::anyhow;
use thorndike_core::Registry;

use super::{Outcome, conclude};
use crate::config::{Config, Task};
use crate::launch::{Experiment, Plan};

/// Of `train` and `fit`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file, such as those in experiments/configs
    config: PathBuf,
    /// Overrides, such as steps=1000 or seeds=[1,2]
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

/// Trains an agent.
pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let config = Config::load(&args.config, &args.overrides, registry)?;
    if let Task::Model(_) | Task::Words(_) = config.task {
        let path = args.config.display();
        return Err(
            anyhow!("{path} describes a supervised model; run thorndike fit {path}").into(),
        );
    }
    start(&args, config, registry)
}

/// Trains a supervised model.
pub(super) fn fit(args: Args, registry: &Registry) -> Outcome {
    let config = Config::load(&args.config, &args.overrides, registry)?;
    if let Task::Agent(_) = config.task {
        let path = args.config.display();
        return Err(anyhow!("{path} describes an agent; run thorndike train {path}").into());
    }
    start(&args, config, registry)
}

fn start(args: &Args, config: Config, registry: &Registry) -> Outcome {
    let plan = Plan::new(&config, registry, args.jobs.map(usize::from))?;
    eprintln!("{}", plan.describe(&config));
    if let Task::Model(_) | Task::Words(_) = config.task {
        eprintln!("  {}", plan.agent);
    }
    let experiment = Experiment::create(config, &args.results, args.force)?;
    eprintln!("  results in {}\n", experiment.dir.display());
    conclude::run_and_conclude(&experiment, registry, plan.jobs)
}
