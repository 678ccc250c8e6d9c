use std::io::{IsTerminal, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use thorndike_core::{
    Array, EnvOptions, MIXED, MixedConfig, Mode, Registry, Rng, Seeds, Space, Trainer, VectorEnv,
};

use super::eval::{read_config, trained};
use super::out::out;
use super::{Failure, Outcome};
use crate::caught::caught;
use crate::config::EnvConfig;
use crate::film::Film;
use crate::keyboard::{Choice, Keyboard, Wish};
use crate::signal::stop_on_signal;

/// Watch a trained agent in the terminal, or play an environment yourself; --record makes a film of it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of an experiment (its agent plays), or id of an environment (you play by keyboard)
    what: String,
    /// Which seed's agent; the first one if absent
    #[arg(long)]
    seed: Option<u64>,
    /// Of an agent of several tasks: the one that is played
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Random actions instead of the keyboard or the agent
    #[arg(long)]
    random: bool,
    /// Episodes to play
    #[arg(long, default_value_t = 1)]
    episodes: u32,
    /// Steps a second; 0: as fast as it goes. Absent: 10, 20 in a film, and by keyboard a step a key
    #[arg(long)]
    speed: Option<f64>,
    /// Record every frame into this GIF, with step, action and return
    #[arg(long, value_name = "FILE.gif")]
    record: Option<PathBuf>,
    /// Root seed of the environment
    #[arg(long, default_value_t = 0)]
    env_seed: u64,
    /// Steps after which an episode is left if the environment has no time limit
    #[arg(long, default_value_t = 1000)]
    step_cap: u32,
}

/// Seconds that the last frame of an episode stays in a film.
const END_S: f64 = 1.0;

/// Seconds between two steps at the slowest speed.
const LONGEST_S: f64 = 3600.0;

/// Who chooses.
enum Player {
    Agent(Trainer),
    Random(Space, Rng),
    Keys(Keyboard),
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    if let Some(speed) = args.speed
        && !(0.0..=1e6).contains(&speed)
    {
        return Err(
            anyhow!("--speed: {speed} is out of range; give 0 to 1000000 steps a second").into(),
        );
    }
    let seeds = Seeds::new(args.env_seed);
    let (envs, player) = build(&args, registry, seeds)?;
    let film = args.record.as_deref().map(|path| film(path, &args, &*envs));
    let film = film.transpose()?;
    let text = stdout().is_terminal() || film.is_none();
    if film.is_none() && envs.render(0).is_none() {
        return Err(anyhow!("{}: this environment shows itself in no text", args.what).into());
    }
    let mut game = Game {
        actions: envs.new_actions(),
        envs,
        player,
        film,
        text,
        speed: args.speed,
        stop: stop_on_signal()?,
    };
    for episode in 1..=args.episodes {
        let played = caught("in play", || Ok(game.episode(episode)));
        if !played.map_err(|e| Failure::Work(e.into()))?? {
            break;
        }
    }
    if let (Some(film), Some(path)) = (game.film.take(), &args.record) {
        film.finish().map_err(Failure::Work)?;
        game.say(&format!("film in {}", path.display()))?;
    }
    Ok(())
}

fn film(path: &Path, args: &Args, envs: &dyn VectorEnv) -> anyhow::Result<Film> {
    if envs.draw(0).is_none() {
        bail!("--record: {} does not draw itself", args.what);
    }
    let speed = args.speed.filter(|&speed| speed > 0.0);
    Film::create(path, speed.unwrap_or(20.0))
}

/// Episodes being played and shown.
struct Game {
    envs: Box<dyn VectorEnv>,
    player: Player,
    actions: Array,
    film: Option<Film>,
    /// Whether frames are written as text.
    text: bool,
    speed: Option<f64>,
    stop: std::sync::Arc<AtomicBool>,
}

impl Game {
    /// Whether to go on after it.
    fn episode(&mut self, episode: u32) -> Result<bool, Failure> {
        let (mut total, mut steps) = (0.0, 0_u32);
        if let Player::Agent(trainer) = &mut self.player {
            trainer.agent().begin(&[true], Mode::Exploit);
        }
        self.show(&[&format!("episode {episode}, start"), "return 0"])?;
        loop {
            if !self.choose()? {
                self.say(&format!("left: return {} in {steps} steps", short(total)))?;
                return Ok(false);
            }
            self.envs.step(&self.actions);
            let (reward, status) = (self.envs.raw_rewards()[0], self.envs.batch().status[0]);
            total += f64::from(reward);
            steps += 1;
            let action = self.action_name();
            let end = format!("{status:?}").to_lowercase();
            let total_so_far = short(total);
            self.show(&[
                &format!("episode {episode}, step {steps}: {action}"),
                // One line of a small film.
                &match status.is_over() {
                    true => format!("return {total_so_far}, {end}"),
                    false => {
                        let reward = short(f64::from(reward));
                        format!("reward {reward}, return {total_so_far}")
                    }
                },
            ])?;
            self.envs.advance();
            if status.is_over() {
                if let Some(film) = &mut self.film {
                    film.hold(END_S);
                }
                self.say(&format!("{end}: return {} in {steps} steps", short(total)))?;
                return Ok(true);
            }
        }
    }

    /// Writes the next action, at the pace that was asked for; false if the player wants to leave.
    fn choose(&mut self) -> Result<bool, Failure> {
        let pause = self.speed.map(|speed| {
            if speed > 0.0 {
                (1.0 / speed).min(LONGEST_S)
            } else {
                0.0
            }
        });
        if let Player::Keys(keyboard) = &mut self.player {
            let deadline = pause.map(|pause| Instant::now() + Duration::from_secs_f64(pause));
            match keyboard.wish(deadline, &self.stop)? {
                Wish::Act(Choice::Number(n)) => self.actions.row_mut::<i32>(0)[0] = n as i32,
                Wish::Act(Choice::Force(x)) => self.actions.row_mut::<f32>(0)[0] = x,
                Wish::Quit if self.stop.load(Ordering::Relaxed) => return Err(Failure::Stopped),
                Wish::Quit => return Ok(false),
            }
            return Ok(true);
        }
        if self.text {
            self.wait(Duration::from_secs_f64(pause.unwrap_or(0.1)));
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(Failure::Stopped);
        }
        let obs = &self.envs.batch().obs;
        match &mut self.player {
            Player::Agent(trainer) => trainer.agent().act(obs, Mode::Exploit, &mut self.actions),
            Player::Random(space, rng) => {
                let mut mask = vec![true; space.discrete().unwrap_or(0)];
                self.envs.action_mask(0, &mut mask);
                space.sample_allowed(&mask, rng, &mut self.actions, 0);
            }
            Player::Keys(_) => unreachable!("handled above"),
        }
        Ok(true)
    }

    /// Sleeps, but not through a signal.
    fn wait(&self, pause: Duration) {
        const PIECE: Duration = Duration::from_millis(100);
        let until = Instant::now() + pause;
        while !self.stop.load(Ordering::Relaxed) {
            match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => break,
                left => sleep(left.min(PIECE)),
            }
        }
    }

    fn action_name(&self) -> String {
        let spec = self.envs.spec();
        match spec.action_space {
            Space::Box { .. } => {
                let forces = self.actions.row::<f32>(0).iter();
                let forces: Vec<String> = forces.map(|x| format!("{x:+.2}")).collect();
                format!("action {}", forces.join(" "))
            }
            _ => {
                let number = self.actions.row::<i32>(0)[0];
                match spec.action_names.get(number as usize) {
                    Some(name) => name.clone(),
                    None => format!("action {number}"),
                }
            }
        }
    }

    /// Shows one frame: over the last one on a terminal, below it elsewhere.
    fn show(&mut self, caption: &[&str]) -> Outcome {
        if let Some(film) = &mut self.film {
            let picture = self.envs.draw(0).context("a frame was not drawn")?;
            film.add(&picture, caption).map_err(Failure::Work)?;
        }
        if self.text {
            let picture = self.envs.render(0).unwrap_or_default();
            let clear = if stdout().is_terminal() {
                "\x1b[H\x1b[2J"
            } else {
                ""
            };
            let help = match &self.player {
                Player::Keys(keyboard) => keyboard.help(),
                _ => "",
            };
            self.say(&format!("{clear}{picture}\n{}\n{help}", caption.join(", ")))?;
        }
        Ok(())
    }

    fn say(&self, text: &str) -> Outcome {
        // While single keys are read, the terminal does not go back to the left margin by itself.
        let raw = matches!(self.player, Player::Keys(_));
        let end = if raw { "\r\n" } else { "\n" };
        let lines = text.trim_end().lines();
        let text: String = lines.flat_map(|line| [line, end]).collect();
        out!("{text}");
        Ok(())
    }
}

/// At most four digits behind the point, and none that say nothing.
fn short(x: f64) -> String {
    let text = format!("{x:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn build(
    args: &Args,
    registry: &Registry,
    seeds: Seeds,
) -> anyhow::Result<(Box<dyn VectorEnv>, Player)> {
    let random = |envs: &dyn VectorEnv| {
        Player::Random(envs.spec().action_space.clone(), seeds.stream("play", 0))
    };
    let capped = |id: &str, params: &Value, options: EnvOptions| -> anyhow::Result<_> {
        let envs = registry.make_envs(id, params, &options, seeds)?;
        if envs.spec().time_limit.is_some() {
            return Ok(envs);
        }
        let options = EnvOptions {
            time_limit: Some(args.step_cap),
            ..options
        };
        Ok(registry.make_envs(id, params, &options, seeds)?)
    };
    let folder = PathBuf::from(&args.what);
    if folder.is_dir() {
        let config = read_config(&folder, registry)?;
        let env = &config.agent_task()?.env;
        let options = EnvOptions {
            num_envs: 1,
            ..env.options.clone()
        };
        let (id, params) = played(env, args.task.as_deref())?;
        let mut envs = capped(&id, &params, options)?;
        if args.random {
            let player = random(&*envs);
            return Ok((envs, player));
        }
        let seed = args.seed.unwrap_or(config.seeds[0]);
        if !config.seeds.contains(&seed) {
            bail!("--seed: no seed {seed}; known: {:?}", config.seeds);
        }
        let (_, trainer) = trained(&folder, &config, registry, seed)?
            .with_context(|| format!("{}: seed {seed} has no checkpoint yet", folder.display()))?;
        if let Some(statistics) = trainer.envs().statistics() {
            envs.freeze(&statistics)?;
        }
        return Ok((envs, Player::Agent(trainer)));
    }
    if args.what.contains('/') {
        bail!("{}: no such folder", args.what);
    }
    let envs = capped(&args.what, &Value::Null, EnvOptions::default())?;
    let terminal = stdin().is_terminal() && stdout().is_terminal();
    if !args.random && !terminal {
        eprintln!("no terminal to read keys from: random actions");
    }
    let player = if args.random || !terminal {
        random(&*envs)
    } else {
        Player::Keys(Keyboard::new(envs.spec())?)
    };
    Ok((envs, player))
}

/// The environment that is played in: of several tasks the one called `task`.
fn played(env: &EnvConfig, task: Option<&str>) -> anyhow::Result<(String, Value)> {
    if env.id != MIXED {
        if task.is_some() {
            bail!("--task: the agent learned one task, which has no name; leave it out");
        }
        return Ok((env.id.clone(), env.params.clone()));
    }
    let config: MixedConfig = serde_json::from_value(env.params.clone())?;
    let names: Vec<&str> = config.tasks.iter().map(|task| task.name.as_str()).collect();
    let known = names.join(", ");
    let Some(task) = task else {
        bail!("--task: missing; give one of {known}");
    };
    let found = config.tasks.iter().find(|found| found.name == task);
    let found = found.with_context(|| format!("--task: no task {task:?}; known: {known}"))?;
    Ok((found.id.clone(), found.params.clone()))
}
