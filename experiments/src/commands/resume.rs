use std::path::PathBuf;

use thorndike_core::Registry;

use super::{Outcome, conclude};
use crate::launch::{Experiment, Plan};

/// Go on with a run that was stopped or killed, as if it had never been, or give it more steps
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the experiment, such as results/cart-pole-dqn
    folder: PathBuf,
    /// More steps, such as steps=100000; also save.every_steps and save.keep
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Seeds at a time; as many as there are cores if absent
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let experiment = Experiment::open(&args.folder, &args.overrides, registry)?;
    let plan = Plan::new(&experiment.config, registry, args.jobs.map(usize::from))?;
    eprintln!("{}\n", plan.describe(&experiment.config));
    conclude::run_and_conclude(&experiment, registry, plan.jobs)
}
