use std::path::PathBuf;

use thorndike_core::Registry;

use super::Outcome;
use crate::config::Config;
use crate::launch::Plan;

/// Build everything a configuration names, print shapes, parameters and memory, and stop
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file
    config: PathBuf,
    /// Overrides, such as agent.params.gamma=0.95
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print the configuration with every default filled in
    #[arg(long)]
    resolved: bool,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let config = Config::load(&args.config, &args.overrides, registry)?;
    let plan = Plan::new(&config, registry, None)?;
    if args.resolved {
        print!("{}", config.to_toml()?);
        return Ok(());
    }
    println!("{}", plan.describe(&config));
    for line in plan.agent.lines() {
        println!("  {line}");
    }
    println!("ok");
    Ok(())
}
