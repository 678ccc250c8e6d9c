//! The agent: acts, stores, and learns when its schedule says so.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thorndike_core::memory::check_fits;
use thorndike_core::rand::RngExt;
use thorndike_core::replay::{MiniBatch, Replay};
use thorndike_core::{
    Actor, Agent, Array, BuildContext, EnvSteps, Error, Exchange, Log, Mode, Result, Rng, Seeds,
    Space, Transitions, Weights,
};
use thorndike_nets::{
    AgentFile, Backend, FeatureExtractor, Optimizer, Scope, find_device, use_threads,
};

use crate::cadence::Cadence;
use crate::config::{DqnConfig, TargetConfig};
use crate::explore::Explorer;
use crate::head::HeadConfig;
use crate::loss::{
    Fractions, Sample, categorical_loss, categorical_targets, midpoints, next_values,
    quantile_loss, td_loss, td_targets,
};
use crate::network::{Blueprint, BuildExtractor, Passes, QNetwork, build_extractor, handed_on};
use crate::state_file;

/// Deep Q-learning with replay and a target network.
///
/// For a batch of transitions it takes one step down the gradient of
/// `mean(weight_t * loss(q(s_t, a_t) - (r_t + discount_t * max_a q_target(s_{t+n}, a))))`.
///
/// # Reference
/// Mnih et al., "Human-level control through deep reinforcement learning" (2015), algorithm 1. By switches:
/// van Hasselt, Guez and Silver, "Deep Reinforcement Learning with Double Q-learning" (2016); Wang et al.,
/// "Dueling Network Architectures for Deep Reinforcement Learning" (2016); Schaul et al., "Prioritized
/// Experience Replay" (2016); Sutton, "Learning to Predict by the Methods of Temporal Differences" (1988) for
/// n steps. Deviations: an episode that was cut off bootstraps from its true last observation; rewards are
/// not clipped.
#[derive(Debug)]
pub struct Dqn {
    config: DqnConfig,
    seeds: Seeds,
    online: QNetwork,
    target: QNetwork,
    optimizer: Optimizer,
    replay: Replay,
    state: State,
    num_actions: usize,
    room: Room,
    /// What another agent needs to begin with the extractor; none of one of the caller's own.
    handed_on: Option<AgentFile>,
}

/// Counters and generators: what is saved beside weights, optimiser and replay.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    cadence: Cadence,
    explorer: Explorer,
    replay: Rng,
    /// Noise of layers and fractions of implicit heads, in updates.
    noise: Rng,
}

/// Room for intermediate results, made once.
#[derive(Debug)]
struct Room {
    batch: MiniBatch,
    /// `[batch, actions]`: what chooses the next actions.
    selector: Vec<f32>,
    /// `[batch, atoms]`: values of the next states, then targets.
    targets: Vec<f32>,
    /// Fractions that the target network and the online network are asked for.
    fractions: [Vec<f32>; 2],
    /// `[batch, actions, atoms]`.
    d_values: Vec<f32>,
    /// `[batch]`: what priorities are made of.
    surprise: Vec<f32>,
}

impl Dqn {
    /// An agent for the environments of `ctx`.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, a device that is not there, or a replay or network that does not
    /// fit the memory; [`Error::Space`] if actions are no discrete choice or a network cannot read the
    /// observations.
    pub fn new(config: &DqnConfig, ctx: &BuildContext<'_>) -> Result<Self> {
        config.check_network_fits(ctx)?;
        let build = build_extractor(&config.extractor, ctx.spec);
        let mut agent = Self::build(config, ctx, build, Passes::Fast)?;
        agent.handed_on = Some(handed_on(&config.extractor, ctx.spec)?);
        Ok(agent)
    }

    /// An agent with an extractor of one's own in place of the configured one. `extractor` is called for each of
    /// the agent's networks, and declares its variables in the scope it is given.
    ///
    /// # Errors
    /// As [`new`](Self::new), and those of `extractor`.
    pub fn with_extractor(
        config: &DqnConfig,
        ctx: &BuildContext<'_>,
        extractor: impl Fn(&mut Scope<'_>, &Space) -> Result<Box<dyn FeatureExtractor>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self> {
        Self::build(config, ctx, Arc::new(extractor), Passes::Fast)
    }

    fn build(
        config: &DqnConfig,
        ctx: &BuildContext<'_>,
        extractor: Arc<BuildExtractor>,
        passes: Passes,
    ) -> Result<Self> {
        let num_actions = ctx.spec.num_actions("dqn")?;
        config.check(ctx.spec)?;
        let device = find_device(ctx.device)?;
        let replay_config = config.core_replay();
        check_fits(
            "replay.capacity",
            "the replay memory",
            replay_config.bytes(ctx.spec),
        )?;
        let blueprint = Blueprint {
            extractor,
            head: config.head_shape(num_actions),
            passes,
            space: ctx.spec.observation_space(),
            scalar: ctx.spec.obs_kind,
        };
        let mut online = QNetwork::new(blueprint, device, ctx.seeds.stream("agent/init", 0))?;
        let target = online.twin()?;
        online.enable_gradients();
        let optimizer =
            Optimizer::new(&config.optimizer, online.params()).map_err(|e| e.under("optimizer"))?;
        let replay = Replay::new(&replay_config, ctx.spec, config.gamma as f32)
            .map_err(|e| e.under("replay"))?;
        let batch = replay.new_batch(config.batch_size);
        Ok(Self {
            seeds: ctx.seeds,
            online,
            target,
            optimizer,
            replay,
            state: State {
                cadence: Cadence::default(),
                explorer: Explorer::new(ctx.seeds),
                replay: ctx.seeds.stream("replay", 0),
                noise: ctx.seeds.stream("agent/noise", 1),
            },
            num_actions,
            room: Room {
                batch,
                selector: Vec::new(),
                targets: Vec::new(),
                fractions: match &config.head {
                    HeadConfig::Quantile(c) => [Vec::new(), midpoints(c.quantiles)],
                    HeadConfig::ImplicitQuantile(c) => [c.target_samples, c.samples]
                        .map(|samples| vec![0.0; config.batch_size * samples]),
                    _ => [Vec::new(), Vec::new()],
                },
                d_values: Vec::new(),
                surprise: Vec::new(),
            },
            config: config.clone(),
            handed_on: None,
        })
    }

    /// Writes what the batch's transitions turned out to be worth, `[batch, atoms]`.
    fn set_targets(&mut self) {
        let Self {
            config,
            online,
            target,
            state,
            ..
        } = self;
        let Room {
            batch,
            selector,
            targets,
            fractions: [fractions, _],
            ..
        } = &mut self.room;
        let implicit = draw_fractions(&config.head, &mut state.noise, fractions);
        let asked = implicit.then(|| Fractions::of_each(fractions, batch.len()));
        target.draw_noise(&mut state.noise);
        if let Some(munchausen) = config.munchausen.map(|m| m.numbers()) {
            let q_t = target.q_values(batch.obs());
            munchausen.add_bonus(q_t, batch.actions.as_slice(), &mut batch.rewards);
            let values = target.values(batch.next_obs(), asked);
            let atoms = values.len() / (batch.len() * self.num_actions);
            munchausen.soft_values(values, self.num_actions, atoms, targets);
        } else {
            selector.clear();
            if config.double {
                online.draw_noise(&mut state.noise);
                selector.extend_from_slice(online.q_values(batch.next_obs()));
            } else if implicit {
                selector.extend_from_slice(target.q_values(batch.next_obs()));
            }
            target.values(batch.next_obs(), asked);
            if selector.is_empty() {
                selector.extend_from_slice(target.means());
            }
            next_values(target.at_hand(), selector, self.num_actions, targets);
        }
        match &config.head {
            HeadConfig::Categorical(c) => {
                categorical_targets(&batch.rewards, &batch.discounts, c.support(), targets);
            }
            _ => td_targets(&batch.rewards, &batch.discounts, targets),
        }
    }

    /// The loss of the batch against the targets, and its gradient with respect to the values.
    fn set_loss(&mut self) -> f32 {
        let Room {
            batch,
            targets,
            fractions: [_, fractions],
            d_values,
            surprise,
            ..
        } = &mut self.room;
        let (config, noise) = (&self.config, &mut self.state.noise);
        let implicit = draw_fractions(&config.head, noise, fractions);
        let asked = implicit.then(|| Fractions::of_each(fractions, batch.len()));
        self.online.draw_noise(noise);
        let values = self.online.forward(batch.obs(), asked);
        let sample = Sample {
            actions: batch.actions.as_slice(),
            weights: &batch.weights,
        };
        let kappa = match &config.head {
            HeadConfig::Expected {} => {
                return td_loss(config.loss, values, targets, sample, d_values, surprise);
            }
            HeadConfig::Categorical(_) => {
                return categorical_loss(values, targets, sample, d_values, surprise);
            }
            HeadConfig::Quantile(c) => c.kappa,
            HeadConfig::ImplicitQuantile(c) => c.kappa,
        };
        let (kappa, fractions) = (kappa as f32, asked.unwrap_or(Fractions::of_all(fractions)));
        quantile_loss(
            values, fractions, targets, kappa, sample, d_values, surprise,
        )
    }

    /// One update from one batch.
    fn learn(&mut self, log: &mut Log<'_>) -> Result<()> {
        let (state, batch) = (&mut self.state, &mut self.room.batch);
        self.replay
            .sample_into(&mut state.replay, state.cadence.env_steps, batch);
        self.set_targets();
        let loss = self.set_loss();
        self.state.cadence.updates += 1;
        if !loss.is_finite() {
            return Err(Error::Diverged {
                step: self.state.cadence.env_steps,
                what: format!(
                    "the loss of update {} is {loss}",
                    self.state.cadence.updates
                ),
            });
        }
        let report = log.is_due() && !log.used();
        if report {
            log.scalar("loss/td", f64::from(loss))?;
            log.scalar("q/mean", mean(self.online.means()))?;
        }
        self.online.backward(&self.room.d_values);
        if report || self.config.max_grad_norm.is_some() {
            let norm = self
                .online
                .clip_gradient(self.config.max_grad_norm.unwrap_or(f64::INFINITY));
            log_if(report, log, "grad/norm", norm)?;
        }
        let step = self.state.cadence.env_steps;
        self.online.change(|params| {
            self.optimizer
                .step_with(params, &self.config.extractor, step)
        });
        self.replay
            .update_priorities(&self.room.batch.indices, &self.room.surprise);
        let epsilon = self.config.exploration(step).epsilon;
        log_if(report, log, "explore/epsilon", epsilon)?;
        if self.state.cadence.copies_after_update(self.config.target) {
            self.copy_target();
        }
        if let TargetConfig::Soft { tau } = self.config.target {
            self.target
                .change(|target| target.lerp_from(self.online.params(), tau));
        }
        Ok(())
    }

    fn copy_target(&mut self) {
        self.target
            .change(|target| target.copy_from(self.online.params()));
    }
}

/// Draws the fractions that an implicit head is asked for; false for another head, whose fractions stay.
fn draw_fractions(head: &HeadConfig, rng: &mut Rng, fractions: &mut [f32]) -> bool {
    let implicit = matches!(head, HeadConfig::ImplicitQuantile(_));
    if implicit {
        fractions.iter_mut().for_each(|tau| *tau = rng.random());
    }
    implicit
}

/// Reports a number in the update that was chosen for it.
fn log_if(report: bool, log: &mut Log<'_>, name: &'static str, value: f64) -> Result<()> {
    if report {
        log.scalar(name, value)
    } else {
        Ok(())
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64
}

impl Actor for Dqn {
    fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array) {
        let epsilon = self.config.exploration(self.state.cadence.env_steps);
        let explorer = &mut self.state.explorer;
        explorer.act(&mut self.online, epsilon, obs, mode, actions);
    }
}

impl Exchange for Dqn {
    fn weights(&self) -> Weights {
        self.online.params().weights()
    }

    fn set_weights(&mut self, weights: &Weights) {
        self.online.change(|params| params.set_weights(weights));
    }

    fn restart(&mut self, _: f64) {
        self.copy_target();
    }
}

/// A copy of what acts.
#[derive(Debug)]
struct Policy {
    network: QNetwork,
    explorer: Explorer,
    config: DqnConfig,
    env_steps: EnvSteps,
    /// libtorch threads of the learner, until the acting thread has taken that number over.
    threads: Option<usize>,
}

impl Actor for Policy {
    fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array) {
        // Part of libtorch asks for the number of the calling thread.
        if let Some(threads) = self.threads.take() {
            use_threads(threads);
        }
        let epsilon = self.config.exploration(self.env_steps);
        self.explorer
            .act(&mut self.network, epsilon, obs, mode, actions);
        self.env_steps += obs.rows() as EnvSteps;
    }
}

impl Agent for Dqn {
    fn observe(&mut self, transitions: &Transitions<'_>) {
        self.replay.push(transitions);
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
        self.online
            .params()
            .save(&dir.join("weights.safetensors"))?;
        self.target.params().save(&dir.join("target.safetensors"))?;
        self.optimizer.save(&dir.join("optimizer.safetensors"))?;
        self.replay.save(&dir.join("replay.bin"))?;
        if let Some(handed_on) = &self.handed_on {
            handed_on.save(dir)?;
        }
        state_file::write(dir, &self.state)
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let state = state_file::read(dir)?;
        self.load_policy(dir)?;
        self.target.load(&dir.join("target.safetensors"))?;
        self.optimizer.load(&dir.join("optimizer.safetensors"))?;
        self.replay.load(&dir.join("replay.bin"))?;
        self.state = state;
        Ok(())
    }

    fn load_policy(&mut self, dir: &Path) -> Result<()> {
        self.online.load(&dir.join("weights.safetensors"))
    }

    fn policy(&self, number: u64) -> Option<Box<dyn Actor>> {
        let policy = Policy {
            network: self.online.twin().ok()?,
            explorer: Explorer::new(self.seeds.child("policy", number)),
            config: self.config.clone(),
            env_steps: self.state.cadence.env_steps,
            threads: Some(Backend::detect().threads.max(1)),
        };
        Some(Box::new(policy))
    }

    fn exchange(&mut self) -> Option<&mut dyn Exchange> {
        Some(self)
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
mod tests {
    use super::*;
    use crate::Loss;
    use thorndike_core::{
        Columns, Device, Env, EnvOptions, Schedule, Seeds, Step, SyncVectorEnv, VectorEnv,
    };
    use thorndike_nets::tch::{Kind, Tensor};
    use thorndike_nets::{AdamConfig, OptimConfig};

    /// A drunkard on a line who is paid to the right; ends at 1 and -1.
    struct Walk;

    impl Env for Walk {
        type State = [f32; 2];
        type Obs = f32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::unbounded(&[2])
        }
        fn action_space(&self) -> Space {
            Space::Discrete(3)
        }
        fn reset(&self, rng: &mut Rng) -> [f32; 2] {
            [0.0, rng.random::<f32>() - 0.5]
        }
        fn step(&self, [at, wind]: &mut [f32; 2], action: usize, rng: &mut Rng) -> Step {
            *at += 0.3 * (action as f32 - 1.0) + 0.1 * *wind + 0.1 * rng.random::<f32>();
            if at.abs() > 1.0 {
                Step::terminal(*at)
            } else {
                Step::running(0.1 * *at)
            }
        }
        fn observe(&self, state: &[f32; 2], obs: &mut [f32]) {
            obs.copy_from_slice(state);
        }
    }

    fn config(json: serde_json::Value) -> DqnConfig {
        let mut all = serde_json::json!({"batch_size": 16, "warmup_steps": 50, "train_every_steps": 1,
            "replay": {"capacity": 500}, "extractor": {"kind": "mlp", "hidden": [20, 10]}});
        all.as_object_mut()
            .unwrap()
            .extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn built(config: &DqnConfig, passes: Passes) -> (Dqn, SyncVectorEnv<Walk>) {
        let seeds = Seeds::new(11);
        let envs = SyncVectorEnv::new(Walk, &EnvOptions::default(), seeds).unwrap();
        let ctx = BuildContext {
            spec: envs.spec(),
            seeds,
            device: Device::Cpu,
        };
        let extractor = config.extractor.clone();
        let build = move |scope: &mut Scope<'_>, space: &Space| {
            extractor.build(scope, &thorndike_nets::Inputs::of(space))
        };
        (
            Dqn::build(config, &ctx, Arc::new(build), passes).unwrap(),
            envs,
        )
    }

    fn run(agent: &mut Dqn, envs: &mut SyncVectorEnv<Walk>, steps: usize) {
        let mut actions = envs.new_actions();
        for _ in 0..steps {
            agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
            envs.step(&actions);
            agent.observe(&Transitions::new(envs.batch(), &actions));
            agent.update(&mut Log::new(&mut (), 0, false)).unwrap();
            envs.advance();
        }
    }

    fn weights(network: &QNetwork) -> Vec<f32> {
        Vec::try_from(network.params().flat()).unwrap()
    }

    fn variants() -> [DqnConfig; 3] {
        [
            config(serde_json::json!({"loss": "huber", "max_grad_norm": 0.1})),
            config(
                serde_json::json!({"double": true, "n_step": 3, "target": {"kind": "soft", "tau": 0.1}}),
            ),
            config(serde_json::json!({"dueling": true, "double": true,
                "replay": {"capacity": 500, "sampler": {"kind": "prioritized"}},
                "target": {"kind": "every-updates", "updates": 7}})),
        ]
    }

    #[test]
    fn fast_passes_learn_what_libtorch_passes_learn() {
        let distributions = [
            serde_json::json!({"head": {"kind": "categorical", "v_min": -2, "v_max": 2}, "dueling": true}),
            serde_json::json!({"head": {"kind": "quantile", "quantiles": 9}, "head_units": 12}),
        ];
        for config in variants().into_iter().chain(distributions.map(config)) {
            // Random actions, so that rounding cannot lead the two into different states.
            let config = DqnConfig {
                epsilon: Schedule::constant(1.0),
                ..config
            };
            let (mut fast, mut fast_envs) = built(&config, Passes::Fast);
            let (mut graph, mut graph_envs) = built(&config, Passes::Graph);
            assert!(
                fast.describe()
                    .ends_with("fast passes for chains of layers")
            );
            assert!(graph.describe().ends_with("libtorch's passes"));
            let before = weights(&fast.online);
            run(&mut fast, &mut fast_envs, 90);
            run(&mut graph, &mut graph_envs, 90);
            assert_eq!(fast.state.cadence.updates, 40);
            let changed = weights(&fast.online)
                .iter()
                .zip(&before)
                .filter(|(a, b)| a != b)
                .count();
            assert!(changed > before.len() / 2, "weights learn");
            for (a, b) in [(&fast.online, &graph.online), (&fast.target, &graph.target)] {
                for (a, b) in weights(a).iter().zip(weights(b)) {
                    // Adam's step is at most 2.5e-4; rounding may turn it where a gradient is almost zero.
                    assert!((a - b).abs() < 2e-5, "{a} {b}: {config:?}");
                }
            }
        }
    }

    /// One update as the papers write it, in tensors.
    fn reference_update(agent: &Dqn, start: &[f32], target: &[f32]) -> Vec<f32> {
        let config = &agent.config;
        let (mut twin, _) = built(config, Passes::Graph);
        let (Room { batch, .. }, rows) = (&agent.room, config.batch_size as i64);
        let floats = |values: &[f32]| Tensor::from_slice(values);
        let q = |twin: &mut QNetwork, weights: &[f32], obs: Columns<'_>| {
            twin.change(|params| params.flat_and_gradient_mut().0.copy_(&floats(weights)));
            floats(twin.q_values(obs)).view([rows, 3])
        };
        let q_target = q(&mut twin.target, target, batch.next_obs());
        let q_online = q(&mut twin.online, start, batch.next_obs());
        let selector = if config.double { &q_online } else { &q_target };
        let v_next = q_target
            .gather(1, &selector.argmax(1, true), false)
            .squeeze_dim(1);
        let targets = floats(&batch.rewards) + floats(&batch.discounts) * v_next;
        // The loss as a function of the Q-values alone; `backward` carries its gradient on to the weights.
        let values = q(&mut twin.online, start, batch.obs()).set_requires_grad(true);
        let chosen: Vec<i64> = batch
            .actions
            .as_slice::<i32>()
            .iter()
            .map(|&a| i64::from(a))
            .collect();
        let actions = Tensor::from_slice(&chosen).view([rows, 1]);
        let td_error = values.gather(1, &actions, false).squeeze_dim(1) - targets;
        let each = match config.loss {
            Loss::Mse => td_error.square(),
            Loss::Huber => {
                let small = td_error.abs().clamp_max(1.0);
                &small * (td_error.abs() - &small * 0.5)
            }
        };
        (each * floats(&batch.weights)).mean(Kind::Float).backward();
        let d_q: Vec<f32> = Vec::try_from(values.grad().flatten(0, 1)).unwrap();
        twin.online.forward(batch.obs(), None);
        twin.online.backward(&d_q);
        let gradient = twin.online.params().gradient().copy();
        let norm = gradient.norm().double_value(&[]);
        let scale = config
            .max_grad_norm
            .map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
        // Adam's first step: the corrected moments are g and g².
        let g = gradient * scale;
        let step = &g / (g.abs() + 1e-8) * 2.5e-4;
        Vec::try_from(floats(start) - step).unwrap()
    }

    #[test]
    fn an_update_is_the_formula_of_the_papers() {
        for config in variants() {
            let (mut agent, mut envs) = built(&config, Passes::Fast);
            run(&mut agent, &mut envs, 49);
            let (start, target) = (weights(&agent.online), weights(&agent.target));
            run(&mut agent, &mut envs, 1);
            assert_eq!(agent.state.cadence.updates, 0, "the warm-up has no update");
            run(&mut agent, &mut envs, 1);
            assert_eq!(agent.state.cadence.updates, 1);
            let expected = reference_update(&agent, &start, &target);
            for (w, expected) in weights(&agent.online).iter().zip(expected) {
                // A first step is 2.5e-4 whatever the gradient, but for gradients near epsilon.
                assert!((w - expected).abs() < 1e-6, "{w} {expected}: {config:?}");
            }
        }
    }

    #[test]
    fn target_follows_as_configured() {
        let copied = |target: serde_json::Value, steps| {
            let (mut agent, mut envs) =
                built(&config(serde_json::json!({"target": target})), Passes::Fast);
            run(&mut agent, &mut envs, steps);
            weights(&agent.online) == weights(&agent.target)
        };
        // Steps 51, 52, … learn.
        let by_updates = serde_json::json!({"kind": "every-updates", "updates": 3});
        assert!(
            !copied(by_updates.clone(), 52)
                && copied(by_updates.clone(), 53)
                && !copied(by_updates, 54)
        );
        let by_steps = serde_json::json!({"kind": "every-steps", "steps": 5});
        assert!(
            !copied(by_steps.clone(), 54) && copied(by_steps.clone(), 55) && !copied(by_steps, 56)
        );
    }

    #[test]
    fn exploiting_draws_nothing_from_the_training_streams() {
        let (mut agent, mut envs) = built(&config(serde_json::json!({})), Passes::Fast);
        run(&mut agent, &mut envs, 60);
        let before = serde_json::to_string(&agent.state).unwrap();
        let mut actions = envs.new_actions();
        agent.act(&envs.batch().obs, Mode::Exploit, &mut actions);
        assert_eq!(serde_json::to_string(&agent.state).unwrap(), before);
        agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
        assert_ne!(serde_json::to_string(&agent.state).unwrap(), before);
    }

    #[test]
    fn a_loss_that_is_no_number_stops_before_the_weights_change() {
        let optimizer = OptimConfig::Adam(AdamConfig::default());
        let config = DqnConfig {
            optimizer,
            ..config(serde_json::json!({}))
        };
        let (mut agent, mut envs) = built(&config, Passes::Fast);
        run(&mut agent, &mut envs, 60);
        agent.target.change(|params| {
            let _ = params.flat_and_gradient_mut().0.fill_(f64::NAN);
        });
        let before = weights(&agent.online);
        let error = agent.learn(&mut Log::new(&mut (), 60, false)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the loss of update 11 is NaN at environment step 60"
        );
        assert_eq!(weights(&agent.online), before);
    }
}
