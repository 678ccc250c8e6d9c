use std::fs;
use std::path::PathBuf;

use thorndike_core::{EnvOptions, Registry, Seeds};

use super::Outcome;
use crate::config::Config;
use crate::launch::CONFIG;
use crate::text::thousands;

/// List environments, agents and experiments; with a name, its parameters and their defaults
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to list; all three if absent
    #[arg(value_enum)]
    what: Option<What>,
    /// An environment or an agent whose parameters to print
    id: Option<String>,
    /// Folder of the configurations
    #[arg(long, value_name = "FOLDER", default_value = "experiments/configs")]
    configs: PathBuf,
    /// Folder of all results
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    #[value(alias = "environments", alias = "env")]
    Envs,
    #[value(alias = "agent")]
    Agents,
    #[value(alias = "experiment")]
    Experiments,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    if let (Some(what), Some(id)) = (args.what, &args.id) {
        let empty = serde_json::Value::Null;
        let params = match what {
            What::Envs => registry.resolve_env(id, &empty)?,
            What::Agents => registry.resolve_agent(id, &empty)?,
            What::Experiments => {
                let path = args.configs.join(format!("{id}.toml"));
                print!("{}", Config::load(&path, &[], registry)?.to_toml()?);
                return Ok(());
            }
        };
        print!("{}", toml::to_string(&params)?);
        return Ok(());
    }
    let wanted = |what| args.what.is_none_or(|w| w == what);
    if wanted(What::Envs) {
        envs(registry);
    }
    if wanted(What::Agents) {
        println!("agents");
        for id in registry.agent_ids() {
            println!("  {id}");
        }
        println!();
    }
    if wanted(What::Experiments) {
        experiments(&args, registry)?;
    }
    Ok(())
}

fn envs(registry: &Registry) {
    println!("environments");
    let (options, seeds) = (EnvOptions::default(), Seeds::new(0));
    for id in registry.env_ids() {
        let line = match registry.make_envs(id, &serde_json::Value::Null, &options, seeds) {
            Ok(envs) => {
                let spec = envs.spec();
                let limit = spec.time_limit.map_or("-".into(), |n| thousands(n.into()));
                let solved = spec.reward_threshold.map_or("-".into(), |r| r.to_string());
                let (obs, actions) = (spec.observation_space().to_string(), &spec.action_space);
                format!(
                    "{obs:<28} {actions:<14} limit {limit:<6} solved {solved}",
                    actions = actions.to_string()
                )
            }
            Err(error) => error.to_string(),
        };
        println!("  {id:<18} {line}");
    }
    println!();
}

fn experiments(args: &Args, registry: &Registry) -> Outcome {
    println!("experiments in {}", args.configs.display());
    let mut files: Vec<PathBuf> = match fs::read_dir(&args.configs) {
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    for path in files {
        match Config::load(&path, &[], registry) {
            Ok(config) => println!(
                "  {:<24} {} on {}, {} steps, {} seeds{}",
                path.file_name().unwrap_or_default().to_string_lossy(),
                config.agent.id,
                config.env.id,
                thousands(config.steps),
                config.seeds.len(),
                if args.results.join(&config.name).join(CONFIG).is_file() {
                    ", has results"
                } else {
                    ""
                },
            ),
            Err(error) => println!("  {error:#}"),
        }
    }
    Ok(())
}
