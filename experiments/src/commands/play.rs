use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use thorndike_core::{Array, EnvOptions, Mode, Registry, Rng, Seeds, Space, Trainer, VectorEnv};

use super::eval::{read_config, trained};
use super::{Failure, Outcome};
use crate::signal::stop_on_signal;

/// Watch a trained agent in the terminal, or random actions in an environment
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of an experiment, or id of an environment (random actions)
    what: String,
    /// Which seed's agent; the first one if absent
    #[arg(long)]
    seed: Option<u64>,
    /// Episodes to watch
    #[arg(long, default_value_t = 1)]
    episodes: u32,
    /// Steps a second; 0: as fast as it goes
    #[arg(long, default_value_t = 10.0)]
    speed: f64,
    /// Root seed of the environment
    #[arg(long, default_value_t = 0)]
    env_seed: u64,
    /// Steps after which an episode is left if the environment has no time limit
    #[arg(long, default_value_t = 1000)]
    step_cap: u32,
}

/// Who chooses.
enum Player {
    Agent(Trainer),
    Random(Space, Rng),
}

impl Player {
    fn act(&mut self, obs: &Array, actions: &mut Array) {
        match self {
            Self::Agent(trainer) => trainer.agent().act(obs, Mode::Exploit, actions),
            Self::Random(space, rng) => space.sample(rng, actions, 0),
        }
    }
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    if !(0.0..=1e6).contains(&args.speed) {
        return Err(anyhow::anyhow!(
            "--speed: {} is out of range; give 0 to 1000000 steps a second",
            args.speed
        )
        .into());
    }
    let seeds = Seeds::new(args.env_seed);
    let (mut envs, mut player) = build(&args, registry, seeds)?;
    if envs.render(0).is_none() {
        return Err(anyhow::anyhow!("{}: this environment does not draw itself", args.what).into());
    }
    let stop = stop_on_signal()?;
    let mut out = stdout().lock();
    let screen = stdout().is_terminal();
    let mut actions = envs.new_actions();
    for episode in 1..=args.episodes {
        let (mut total, mut steps) = (0.0, 0);
        show(
            &mut out,
            screen,
            &*envs,
            &format!("episode {episode}, start"),
        )?;
        loop {
            if args.speed > 0.0 {
                sleep(Duration::from_secs_f64(1.0 / args.speed));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Stopped);
            }
            player.act(&envs.batch().obs, &mut actions);
            envs.step(&actions);
            let (reward, status) = (envs.batch().rewards[0], envs.batch().status[0]);
            total += f64::from(reward);
            steps += 1;
            let action = match envs.spec().action_space {
                Space::Box { .. } => format!("{:?}", actions.row::<f32>(0)),
                _ => format!("{:?}", actions.row::<i32>(0)),
            };
            let line = format!(
                "episode {episode}, step {steps}: action {action}, reward {reward}, return {total}"
            );
            show(&mut out, screen, &*envs, &line)?;
            envs.advance();
            if status.is_over() {
                writeln!(
                    out,
                    "{}: return {total} in {steps} steps",
                    format!("{status:?}").to_lowercase()
                )?;
                break;
            }
        }
    }
    Ok(())
}

fn build(
    args: &Args,
    registry: &Registry,
    seeds: Seeds,
) -> anyhow::Result<(Box<dyn VectorEnv>, Player)> {
    let one = EnvOptions::default();
    let capped = |id: &str, params: &serde_json::Value, options: EnvOptions| -> anyhow::Result<_> {
        let envs = registry.make_envs(id, params, &options, seeds)?;
        if envs.spec().time_limit.is_some() {
            return Ok(envs);
        }
        let time_limit = Some(args.step_cap);
        Ok(registry.make_envs(
            id,
            params,
            &EnvOptions {
                time_limit,
                ..options
            },
            seeds,
        )?)
    };
    let folder = PathBuf::from(&args.what);
    if folder.is_dir() {
        let config = read_config(&folder, registry)?;
        let seed = args.seed.unwrap_or(config.seeds[0]);
        if !config.seeds.contains(&seed) {
            bail!("--seed: no seed {seed}; known: {:?}", config.seeds);
        }
        let (_, trainer) = trained(&folder, &config, registry, seed)?
            .with_context(|| format!("{}: seed {seed} has no checkpoint yet", folder.display()))?;
        let options = EnvOptions {
            num_envs: 1,
            ..config.env.options.clone()
        };
        return Ok((
            capped(&config.env.id, &config.env.params, options)?,
            Player::Agent(trainer),
        ));
    }
    if args.what.contains('/') {
        bail!("{}: no such folder", args.what);
    }
    let envs = capped(&args.what, &serde_json::Value::Null, one)?;
    let space = envs.spec().action_space.clone();
    Ok((envs, Player::Random(space, seeds.stream("play", 0))))
}

/// Draws one frame: over the last one on a terminal, below it elsewhere.
fn show(
    out: &mut impl Write,
    screen: bool,
    envs: &dyn VectorEnv,
    line: &str,
) -> anyhow::Result<()> {
    let picture = envs.render(0).unwrap_or_default();
    let clear = if screen { "\x1b[H\x1b[2J" } else { "" };
    writeln!(out, "{clear}{picture}\n{line}")?;
    Ok(out.flush()?)
}
