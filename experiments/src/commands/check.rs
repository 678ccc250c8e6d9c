use std::path::PathBuf;

use thorndike_core::{EnvOptions, Error, MIXED, Registry, Result, Seeds, check_random_play};

use super::Outcome;
use super::out::{out, outln};
use super::sweep::prepare;
use crate::caught::caught;
use crate::config::{AgentTask, Config, Task};
use crate::launch::Plan;
use crate::sweep::Sweep;

/// Build everything a configuration names, try the environment, print shapes, parameters and memory, and stop
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file, or the file of a sweep
    config: PathBuf,
    /// Overrides, such as agent.params.gamma=0.95
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print the configuration with every default filled in
    #[arg(long)]
    resolved: bool,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    if Sweep::is_at(&args.config) {
        return check_sweep(&args, registry);
    }
    let config = Config::load(&args.config, &args.overrides, registry)?;
    let plan = Plan::new(&config, registry, None)?;
    play_a_little(&config, registry)?;
    if args.resolved {
        out!("{}", config.to_toml()?);
        return Ok(());
    }
    outln!("{}", plan.describe(&config));
    for line in plan.agent.lines() {
        outln!("  {line}");
    }
    outln!("ok");
    Ok(())
}

/// Builds every trial; prints the whole sweep in one file where `--resolved` asks for all that follows from it.
fn check_sweep(args: &Args, registry: &Registry) -> Outcome {
    let (sweep, trials, plan) = prepare(&args.config, &args.overrides, registry, None)?;
    // One that can be built; a sweep of which none can is refused before.
    let first = plan.refused.iter().position(Option::is_none).unwrap_or(0);
    play_a_little(&trials[first].config, registry)?;
    if args.resolved {
        out!("{}", toml::to_string(&sweep.to_toml()?)?);
        return Ok(());
    }
    outln!("{plan}");
    outln!("ok");
    Ok(())
}

/// Takes random actions in a few of the environments: what they show must be what they say of themselves.
fn play_a_little(config: &Config, registry: &Registry) -> Result<()> {
    const STEPS: usize = 300;
    let Task::Agent(AgentTask { env, .. }) = &config.task else {
        return Ok(());
    };
    let options = EnvOptions {
        num_envs: match env.id.as_str() {
            // At least one of each task.
            MIXED => env.options.num_envs,
            _ => env.options.num_envs.min(3),
        },
        threads: Some(1),
        ..env.options.clone()
    };
    caught("in random play", || {
        let mut envs =
            registry.make_envs(&env.id, &env.params, &options, Seeds::new(config.seeds[0]))?;
        let played = check_random_play(&mut *envs, STEPS);
        played.map_err(|what| Error::config("env", format!("{} breaks a rule: {what}", env.id)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::prelude::*;

    /// Counts its steps and ends after 50; shows them scaled, or panics at the end.
    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    #[serde(default)]
    struct Counter {
        scale: f32,
        panics: bool,
    }

    impl Default for Counter {
        fn default() -> Self {
            Self {
                scale: 0.02,
                panics: false,
            }
        }
    }

    impl Env for Counter {
        type State = u8;
        type Obs = f32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Box {
                shape: vec![2],
                low: -1.0,
                high: 1.0,
            }
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn reset(&self, _: &mut Rng) -> u8 {
            0
        }
        fn step(&self, steps: &mut u8, _: usize, _: &mut Rng) -> Step {
            *steps += 1;
            if *steps < 50 {
                return Step::running(0.0);
            }
            assert!(!self.panics, "the end");
            Step::terminal(1.0)
        }
        fn observe(&self, steps: &u8, obs: &mut [f32]) {
            obs.copy_from_slice(&[0.0, self.scale * f32::from(*steps)]);
        }
    }

    fn check(over: &str) -> Result<(), String> {
        let registry = crate::standard().env("counter", |env: &Counter| Ok(env.clone()));
        let text =
            "steps = 5\n[env]\nid = \"counter\"\nnum_envs = 8\n[agent]\nid = \"q-learning\"\n";
        let config = Config::parse(text, "test", &[over.into()], &registry).unwrap();
        play_a_little(&config, &registry).map_err(|e| e.to_string())
    }

    #[test]
    fn an_environment_is_tried_and_its_first_fault_is_one_line() {
        assert_eq!(check("steps=6"), Ok(()));
        let wrong = "env: counter breaks a rule: step 2: an observation of environment 0 lies outside \
                     box(2; -1..1): item 1 is 1.5";
        assert_eq!(check("env.params.scale=0.5"), Err(wrong.into()));
        let wrong = "the environment or the agent panicked in random play: the end";
        assert_eq!(check("env.params.panics=true"), Err(wrong.into()));
    }
}
