use std::path::{Path, PathBuf};

use anyhow::bail;
use thorndike_core::{Evaluation, Registry, Seeds, Trainer};

use super::Outcome;
use super::out::outln;
use crate::config::Config;
use crate::launch::CONFIG;
use crate::run::{build, evaluation_envs, find_checkpoint, seed_dir};
use crate::runs;
use crate::text::thousands;

/// Play greedy episodes with trained agents and print their returns
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the experiment, such as results/cart-pole-dqn
    folder: PathBuf,
    /// Only this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Episodes of each seed
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    episodes: u32,
    /// Root seed of the evaluation's own random streams
    #[arg(long, default_value_t = 0)]
    eval_seed: u64,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let config = read_config(&args.folder, registry)?;
    let seeds = match args.seed {
        Some(seed) if !config.seeds.contains(&seed) => {
            let known: Vec<_> = config.seeds.iter().map(u64::to_string).collect();
            return Err(
                anyhow::anyhow!("--seed: no seed {seed}; known: {}", known.join(", ")).into(),
            );
        }
        Some(seed) => vec![seed],
        None => config.seeds.clone(),
    };
    let episodes = args.episodes as usize;
    let mut means = Vec::new();
    for seed in seeds {
        let Some((step, mut trainer)) = trained(&args.folder, &config, registry, seed)? else {
            outln!("seed {seed}  no checkpoint yet");
            continue;
        };
        let seeds = Seeds::new(args.eval_seed).child("eval", seed);
        let mut envs = evaluation_envs(&config, registry, seeds, episodes)?;
        let evaluation = trainer.evaluate(&mut *envs, episodes)?;
        outln!(
            "seed {seed}  after {} steps: {}",
            thousands(step),
            describe(&evaluation)
        );
        means.push(evaluation.mean());
    }
    match means.as_slice() {
        [] => {
            Err(anyhow::anyhow!("{}: no seed has a checkpoint yet", args.folder.display()).into())
        }
        [_] => Ok(()),
        means => {
            let n = means.len() as f64;
            let mean = means.iter().sum::<f64>() / n;
            outln!("mean over {} seeds {mean:.3}", means.len());
            Ok(())
        }
    }
}

fn describe(evaluation: &Evaluation) -> String {
    let (low, high) = evaluation
        .returns
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &r| {
            (low.min(r), high.max(r))
        });
    let n = evaluation.returns.len();
    let length = evaluation
        .lengths
        .iter()
        .map(|&l| f64::from(l))
        .sum::<f64>()
        / n as f64;
    let warning = match evaluation.only_action {
        Some(action) => format!("; action {action} in every step"),
        None => String::new(),
    };
    format!(
        "return {:.3} ± {:.3} (95 % interval of the mean) over {n} episodes ({low} to {high}), {length:.1} steps each{warning}",
        evaluation.mean(),
        evaluation.std() / (n as f64).sqrt() * 1.96,
    )
}

/// The configuration of the experiment in `folder`.
pub(super) fn read_config(folder: &Path, registry: &Registry) -> anyhow::Result<Config> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        bail!(
            "{} holds no run; give a folder that `thorndike train` made, such as results/NAME",
            folder.display()
        );
    }
    Config::load(&path, &[], registry)
}

/// The agent of `seed` as its latest checkpoint has it, and the step of that.
pub(super) fn trained(
    folder: &Path,
    config: &Config,
    registry: &Registry,
    seed: u64,
) -> anyhow::Result<Option<(u64, Trainer)>> {
    let Some(found) = find_checkpoint(&seed_dir(folder, seed), config, seed)? else {
        if runs::seed_folders(folder)?.is_empty() {
            bail!("{}", runs::no_run(folder));
        }
        return Ok(None);
    };
    found.warn();
    let (_, mut trainer) = build(config, registry, seed)?;
    trainer.load_policy(&found.path)?;
    Ok(Some((found.step, trainer)))
}
