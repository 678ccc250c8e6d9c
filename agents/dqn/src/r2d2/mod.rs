//! R2D2: a recurrent network learned from sequences in a replay memory.

mod config;
pub mod loss;
mod network;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thorndike_core::replay::{SequenceBatch, SequenceReplay};
use thorndike_core::{
    Actor, Agent, Array, BuildContext, Error, Log, Mode, Result, Rng, Transitions,
};
use thorndike_nets::{Optimizer, find_device};

use crate::cadence::Cadence;
use crate::config::TargetConfig;
use crate::explore::Explorer;
use crate::loss::{Sample, argmax, next_values, td_loss};
use crate::state_file;
pub use config::{R2d2Config, SequenceReplayConfig};
use loss::{Returns, sequence_errors, step_weights};
use network::SequenceNetwork;

/// Recurrent deep Q-learning from sequences with stored states and burn-in.
///
/// The network's state is carried along while acting, from zeros where an episode starts. The replay keeps
/// stretches of episodes with the state in which they were met; a few steps of burn-in bring that state up to date
/// with the weights of now, and the steps after them are learned from in one pass.
///
/// # Reference
/// Kapturowski et al., "Recurrent Experience Replay in Distributed Reinforcement Learning" (2019). Deviations: one
/// actor in place of 256, which may have an epsilon for each environment; the network sees observations only, not
/// the last action and reward; new sequences have the largest priority so far, not one from the actor's own TD
/// errors; the loss is the mean over all steps of a batch; returns are cut at the end of a sequence; all steps of an
/// episode are learned from (see [`SequenceReplay`]). An episode that was cut off bootstraps from its true last
/// observation.
#[derive(Debug)]
pub struct R2d2 {
    config: R2d2Config,
    online: SequenceNetwork,
    target: SequenceNetwork,
    optimizer: Optimizer,
    replay: SequenceReplay,
    state: State,
    memory: Memory,
    num_actions: usize,
    num_envs: usize,
    room: Room,
}

/// Counters and generators: what is saved beside weights, optimiser, replay and memory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    cadence: Cadence,
    explorer: Explorer,
    replay: Rng,
}

/// States of the network, `[rows, state_len]`, in the episodes that are played.
#[derive(Debug, Default)]
struct Memory {
    /// In training, after the last action. Saved.
    explore: Vec<f32>,
    /// In training, before the last action: what the replay stores.
    before: Vec<f32>,
    /// In evaluation, whose environments are others.
    exploit: Vec<f32>,
}

/// Room for intermediate results, made once.
#[derive(Debug)]
struct Room {
    batch: SequenceBatch,
    /// `[batch, time]`: values of the observations, then targets.
    targets: Vec<f32>,
    /// `[batch, time]`.
    weights: Vec<f32>,
    /// `[batch, time, actions]`.
    d_q: Vec<f32>,
    /// `[batch, time]`.
    td_abs: Vec<f32>,
    /// `[batch]`.
    errors: Vec<f32>,
}

impl R2d2 {
    /// An agent for the environments of `ctx`.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, an extractor without memory, a device that is not there, or a
    /// replay or network that does not fit the memory; [`Error::Space`] if actions are no discrete choice or a
    /// network cannot read the observations.
    pub fn new(config: &R2d2Config, ctx: &BuildContext<'_>) -> Result<Self> {
        let num_actions = ctx.spec.num_actions("r2d2")?;
        config.check()?;
        let device = find_device(ctx.device)?;
        config.check_fits(ctx)?;
        let network = || SequenceNetwork::new(config, ctx, device);
        let (mut online, target) = (network()?, network()?);
        online.enable_gradients();
        let optimizer =
            Optimizer::new(&config.optimizer, online.params()).map_err(|e| e.under("optimizer"))?;
        let sequences = config.core_replay(online.state_len());
        let replay =
            SequenceReplay::new(&sequences, ctx.spec).map_err(|error| error.under("replay"))?;
        let steps = config.batch_size * (sequences.length + 1);
        Ok(Self {
            online,
            target,
            optimizer,
            replay,
            state: State {
                cadence: Cadence::default(),
                explorer: Explorer::new(ctx.seeds),
                replay: ctx.seeds.stream("replay", 0),
            },
            memory: Memory::default(),
            num_actions,
            num_envs: ctx.spec.num_envs,
            room: Room {
                batch: SequenceBatch::new(config.batch_size, &sequences, ctx.spec),
                targets: Vec::with_capacity(steps),
                weights: vec![0.0; steps],
                d_q: Vec::new(),
                td_abs: Vec::new(),
                errors: vec![0.0; config.batch_size],
            },
            config: config.clone(),
        })
    }

    /// One update from one batch of sequences.
    fn learn(&mut self, log: &mut Log<'_>) -> Result<()> {
        let (config, step) = (&self.config, self.state.cadence.env_steps);
        let Room {
            batch,
            targets,
            weights,
            d_q,
            td_abs,
            errors,
            ..
        } = &mut self.room;
        self.replay.sample_into(&mut self.state.replay, step, batch);

        let q = self.online.unroll(batch, true);
        let q_target = self.target.unroll(batch, false);
        let selector = if config.double { q } else { q_target };
        next_values(q_target, selector, self.num_actions, targets);
        let returns = Returns {
            gamma: config.gamma,
            n_step: config.n_step,
            rescaling: config.rescaling(),
        };
        returns.targets(&batch.rewards, &batch.lens, &batch.terminated, targets);
        step_weights(&batch.lens, &batch.weights, weights);
        let sample = Sample {
            actions: batch.actions.as_slice(),
            weights,
        };
        let loss = td_loss(config.loss, q, targets, sample, d_q, td_abs);
        self.state.cadence.updates += 1;
        if !loss.is_finite() {
            return Err(Error::Diverged {
                step,
                what: format!(
                    "the loss of update {} is {loss}",
                    self.state.cadence.updates
                ),
            });
        }
        let report = log.is_due() && !log.used();
        if report {
            log.scalar("loss/td", f64::from(loss))?;
            log.scalar("q/mean", mean(q))?;
        }
        self.online.backward(d_q);
        let params = self.online.params_mut();
        if report || config.max_grad_norm.is_some() {
            let norm = params.clip_gradient(config.max_grad_norm.unwrap_or(f64::INFINITY));
            if report {
                log.scalar("grad/norm", norm)?;
            }
        }
        self.optimizer.step(params, step);
        sequence_errors(config.eta, td_abs, &batch.lens, errors);
        self.replay.update_priorities(&batch.indices, errors);
        if self.state.cadence.copies_after_update(self.config.target) {
            self.copy_target();
        }
        if let TargetConfig::Soft { tau } = self.config.target {
            let target = self.target.params_mut();
            target.lerp_from(self.online.params(), tau);
        }
        if report {
            log.scalar("explore/epsilon", self.config.exploration(step).epsilon)?;
        }
        Ok(())
    }

    fn copy_target(&mut self) {
        self.target.params_mut().copy_from(self.online.params());
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64
}

/// Makes room for `rows` states; if there were others than these, all start from zeros.
fn fit(states: &mut Vec<f32>, rows: usize, state_len: usize) {
    if states.len() != rows * state_len {
        states.clear();
        states.resize(rows * state_len, 0.0);
    }
}

impl Actor for R2d2 {
    fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array) {
        let exploration = self.config.exploration(self.state.cadence.env_steps);
        let Memory {
            explore,
            before,
            exploit,
        } = &mut self.memory;
        let states = match mode {
            Mode::Explore => explore,
            Mode::Exploit => exploit,
        };
        fit(states, obs.rows(), self.online.state_len());
        if mode == Mode::Explore {
            before.clone_from(states);
        }
        // Also where every action is a random one: what was seen is remembered.
        let (explorer, num_actions) = (&mut self.state.explorer, self.num_actions);
        let choices = explorer.choices(exploration, num_actions, obs.rows(), mode);
        let rows = self.online.step(obs, states);
        let rows = rows.chunks_exact(num_actions).zip(choices);
        for (action, (q, choice)) in actions.as_mut_slice::<i32>().iter_mut().zip(rows) {
            *action = choice.unwrap_or_else(|| argmax(q) as i32);
        }
    }

    fn begin(&mut self, starts: &[bool], mode: Mode) {
        let states = match mode {
            Mode::Explore => &mut self.memory.explore,
            Mode::Exploit => &mut self.memory.exploit,
        };
        let state_len = self.online.state_len();
        fit(states, starts.len(), state_len);
        let rows = states.chunks_exact_mut(state_len).zip(starts);
        for (state, _) in rows.filter(|(_, starts)| **starts) {
            state.fill(0.0);
        }
    }
}

impl Agent for R2d2 {
    fn observe(&mut self, transitions: &Transitions<'_>) {
        self.replay.push(transitions, &self.memory.before);
        let is_enough = self.replay.len() >= self.config.batch_size;
        let cadence = &mut self.state.cadence;
        cadence.observe(transitions.len(), self.config.warmup_steps, is_enough);
    }

    fn update(&mut self, log: &mut Log<'_>) -> Result<()> {
        while self
            .state
            .cadence
            .begins_round(self.config.train_every_steps)
        {
            for _ in 0..self.config.updates_per_train {
                self.learn(log)?;
            }
        }
        if self.state.cadence.copies_after_steps(self.config.target) {
            self.copy_target();
        }
        Ok(())
    }

    fn save(&self, dir: &Path) -> Result<()> {
        let weights = self.online.params();
        weights.save(&dir.join("weights.safetensors"))?;
        self.target.params().save(&dir.join("target.safetensors"))?;
        self.optimizer.save(&dir.join("optimizer.safetensors"))?;
        self.replay.save(&dir.join("replay.bin"))?;
        let memory = self.memory.explore.iter().flat_map(|x| x.to_le_bytes());
        let path = dir.join("memory.bin");
        fs::write(&path, memory.collect::<Vec<_>>()).map_err(Error::io(path))?;
        state_file::write(dir, &self.state)
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let state: State = state_file::read(dir)?;
        let path = dir.join("memory.bin");
        let memory = fs::read(&path).map_err(Error::io(&path))?;
        let (numbers, rest) = memory.as_chunks::<4>();
        let states = self.num_envs * self.online.state_len();
        let none_yet = numbers.is_empty() && state.cadence.env_steps == 0;
        if !rest.is_empty() || !(none_yet || numbers.len() == states) {
            let bytes = memory.len();
            let what = format!("has {bytes} bytes; a memory here has {}", 4 * states);
            return Err(Error::checkpoint(path, what));
        }
        self.load_policy(dir)?;
        self.target.load(&dir.join("target.safetensors"))?;
        self.optimizer.load(&dir.join("optimizer.safetensors"))?;
        self.replay.load(&dir.join("replay.bin"))?;
        self.state = state;
        self.memory = Memory {
            explore: numbers.iter().map(|&x| f32::from_le_bytes(x)).collect(),
            ..Memory::default()
        };
        Ok(())
    }

    fn load_policy(&mut self, dir: &Path) -> Result<()> {
        self.online.load(&dir.join("weights.safetensors"))
    }

    fn memory(&self) -> u64 {
        self.replay.bytes()
            + self.online.params().bytes()
            + self.target.params().bytes()
            + self.optimizer.bytes()
    }

    fn describe(&self) -> String {
        self.online.describe()
    }
}

#[cfg(test)]
mod tests;
