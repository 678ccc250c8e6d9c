//! Q-learning from parallel environments, without replay and target network (PQN).

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thorndike_core::memory::check_fits;
use thorndike_core::rand::seq::SliceRandom;
use thorndike_core::{
    Actor, Agent, Array, BuildContext, EnvSteps, Error, Exchange, Log, Mode, Result, Rng, Schedule,
    Status, Transitions, Weights, check_range,
};
use thorndike_nets::models::MlpConfig;
use thorndike_nets::{
    AdamConfig, AgentFile, ExtractorConfig, Norm, OptimConfig, Optimizer, find_device,
};

use crate::Loss;
use crate::explore::{Exploration, Explorer};
use crate::head::{HeadConfig, HeadShape};
use crate::loss::{Sample, lambda_returns, td_loss};
use crate::network::{Blueprint, Passes, QNetwork, build_extractor, handed_on, inputs};
use crate::state_file;

/// Settings of [`Pqn`].
///
/// The defaults are those of the authors' repository for MinAtar (`purejaxql/config/alg/pqn_minatar.yaml`), with which
/// 128 environments are stepped together; only the network, for observations of any shape, is that of their CartPole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PqnConfig {
    /// Discount of rewards per environment step. Default 0.99.
    pub gamma: f64,
    /// How much longer returns count: 0 is one step, 1 is to the end of the rollout. Default 0.65.
    pub lambda: f64,
    /// Steps of every environment from one round of updates to the next. Default 32.
    pub rollout_steps: usize,
    /// What rewards are multiplied by before they are learned from. Default 1. (The authors' CartPole has 0.1.)
    pub reward_scale: f64,
    /// Times that a rollout is learned from. Default 2.
    pub epochs: usize,
    /// Updates of an epoch, each from as many steps, in random order. Default 32.
    pub minibatches: usize,
    /// Optimiser; its learning rate may be a schedule in environment steps, taken where the rollout began. Default RAdam
    /// with 5e-4. (The authors let the rate fall to 0 at the end of a run.)
    pub optimizer: OptimConfig,
    /// Largest Euclidean norm of the gradient. Default 10.
    pub max_grad_norm: f64,
    /// Probability of a random action, as a function of the environment step. Default from 1 to 0.05 over 1,000,000
    /// steps. (The authors' first tenth of 10 million.)
    pub epsilon: Schedule,
    /// What lies between observation and head; the method needs normalised layers. Default a perceptron with 256 and
    /// 256 units and layer norms.
    pub extractor: ExtractorConfig,
}

impl Default for PqnConfig {
    fn default() -> Self {
        Self {
            gamma: 0.99,
            lambda: 0.65,
            rollout_steps: 32,
            reward_scale: 1.0,
            epochs: 2,
            minibatches: 32,
            optimizer: OptimConfig::RAdam(AdamConfig {
                learning_rate: Schedule::constant(5e-4),
                ..AdamConfig::default()
            }),
            max_grad_norm: 10.0,
            epsilon: Schedule::linear(1.0, 0.05, 1_000_000),
            extractor: ExtractorConfig::Mlp(MlpConfig {
                hidden: vec![256, 256],
                norm: Norm::Layer,
                ..MlpConfig::default()
            }),
        }
    }
}

impl PqnConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self, num_envs: usize) -> Result<()> {
        check_range("gamma", self.gamma, 0.0..=1.0)?;
        check_range("lambda", self.lambda, 0.0..=1.0)?;
        check_range("rollout_steps", self.rollout_steps, 1..=65_536)?;
        check_range("epochs", self.epochs, 1..=10_000)?;
        let steps = self.rollout_steps * num_envs;
        check_range("minibatches", self.minibatches, 1..=steps)?;
        if !steps.is_multiple_of(self.minibatches) {
            let what = format!(
                "{} parts cannot be equal of {steps} steps, rollout_steps = {} of num_envs = {num_envs}; give a divisor",
                self.minibatches, self.rollout_steps
            );
            return Err(Error::config("minibatches", what));
        }
        self.optimizer.check().map_err(|e| e.under("optimizer"))?;
        for (key, value) in [
            ("max_grad_norm", self.max_grad_norm),
            ("reward_scale", self.reward_scale),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                let what = format!("{value} is out of range; give a number above 0");
                return Err(Error::config(key, what));
            }
        }
        self.epsilon.check("epsilon", 0.0, 1.0)
    }
}

/// Q-learning from parallel environments, without replay and target network.
///
/// All environments are stepped `rollout_steps` times with the same weights; then the network learns the
/// lambda-returns of these steps, in some epochs of minibatches, and the steps are forgotten. The network's own values
/// are bootstrapped from, which normalised layers keep stable.
///
/// # Reference
/// Gallici et al., "Simplifying Deep Temporal Difference Learning" (2024), algorithm 1 and section 4. Deviations: an
/// episode that was cut off bootstraps from its true last observation, where the authors' code treats it as ended;
/// images are normalised over the filters of each pixel, as in their code for MinAtar.
#[derive(Debug)]
pub struct Pqn {
    config: PqnConfig,
    network: QNetwork,
    optimizer: Optimizer,
    rollout: Rollout,
    state: State,
    room: Room,
    /// What another agent needs to begin with the extractor.
    handed_on: AgentFile,
}

/// Counters and generators.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    env_steps: EnvSteps,
    updates: u64,
    explorer: Explorer,
    shuffle: Rng,
}

/// The steps since the last round of updates: `[steps, environments]`, row by row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollout {
    envs: usize,
    /// Steps of every environment so far.
    steps: usize,
    obs: Array,
    actions: Vec<i32>,
    rewards: Vec<f32>,
    status: Vec<Status>,
    /// The largest Q-value of each observation.
    v: Vec<f32>,
    /// That of the observation each step led to; filled in where an episode went on, when the next one is known.
    v_next: Vec<f32>,
}

impl Rollout {
    fn new(steps: usize, envs: usize, zeros: impl Fn(usize) -> Array) -> Self {
        let len = steps * envs;
        Self {
            envs,
            steps: 0,
            obs: zeros(len),
            actions: vec![0; len],
            rewards: vec![0.0; len],
            status: vec![Status::Running; len],
            v: vec![0.0; len],
            v_next: vec![0.0; len],
        }
    }

    /// Number of steps that fit, all environments together.
    fn len(&self) -> usize {
        self.rewards.len()
    }

    fn is_full(&self) -> bool {
        self.steps * self.envs == self.len()
    }

    fn bytes(&self) -> u64 {
        let row = self.obs.cols() * self.obs.kind().bytes() + 4 * size_of::<f32>();
        (self.len() * (row + size_of::<Status>())) as u64
    }

    /// Whether `other`, untrusted, has the same form and is not full: it never is between steps.
    fn is_like(&self, other: &Self) -> bool {
        let lens = |r: &Self| {
            let lens = [r.actions.len(), r.status.len(), r.v.len(), r.v_next.len()];
            (r.envs, r.len(), lens)
        };
        let [a, b] = [&self.obs, &other.obs];
        lens(self) == lens(other)
            && (a.kind(), a.cols()) == (b.kind(), b.cols())
            && a.rows() == b.rows()
            && other.steps < self.len() / self.envs
    }
}

/// Room for intermediate results, made once.
#[derive(Debug)]
struct Room {
    returns: Vec<f32>,
    /// Steps of the rollout in the order in which they are learned from.
    order: Vec<usize>,
    obs: Array,
    actions: Vec<i32>,
    targets: Vec<f32>,
    weights: Vec<f32>,
    d_q: Vec<f32>,
    td_abs: Vec<f32>,
}

impl Pqn {
    /// An agent for the environments of `ctx`.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, a device that is not there, or what does not fit the memory;
    /// [`Error::Space`] if actions are no discrete choice or the network cannot read the observations.
    pub fn new(config: &PqnConfig, ctx: &BuildContext<'_>) -> Result<Self> {
        let spec = ctx.spec;
        let actions = spec.num_actions("pqn")?;
        config.check(spec.num_envs)?;
        let head = HeadShape {
            config: HeadConfig::Expected {},
            actions,
            dueling: false,
            units: 0,
            noise: None,
        };
        let space = spec.observation_space();
        let (weights, features) = config.extractor.size(&inputs(&space, spec));
        let weights = weights.saturating_add(head.num_weights(features));
        // Weights and their copy for the fast passes, the gradient, and what the optimiser holds.
        let copies = 3 + config.optimizer.copies();
        let bytes = weights.saturating_mul(4 * copies);
        check_fits("extractor.hidden", "the network", bytes)?;
        let len = config.rollout_steps * spec.num_envs;
        let zeros = |rows| Array::zeros_of(spec.obs_kind, rows, space.len());
        let row = (space.len() * spec.obs_kind.bytes()) as u64;
        check_fits(
            "rollout_steps",
            "the rollout",
            row.saturating_mul(len as u64),
        )?;

        let blueprint = Blueprint {
            extractor: build_extractor(&config.extractor, spec),
            head,
            passes: Passes::Fast,
            space: space.clone(),
            scalar: spec.obs_kind,
        };
        let init = ctx.seeds.stream("agent/init", 0);
        let mut network = QNetwork::new(blueprint, find_device(ctx.device)?, init)?;
        network.enable_gradients();
        let optimizer = Optimizer::new(&config.optimizer, network.params())
            .map_err(|e| e.under("optimizer"))?;
        let batch = len / config.minibatches;
        Ok(Self {
            network,
            optimizer,
            rollout: Rollout::new(config.rollout_steps, spec.num_envs, zeros),
            state: State {
                env_steps: 0,
                updates: 0,
                explorer: Explorer::new(ctx.seeds),
                shuffle: ctx.seeds.stream("agent/shuffle", 0),
            },
            room: Room {
                returns: vec![0.0; len],
                order: (0..len).collect(),
                obs: zeros(batch),
                actions: vec![0; batch],
                targets: vec![0.0; batch],
                // The authors' loss is half the squared error.
                weights: vec![0.5; batch],
                d_q: Vec::new(),
                td_abs: Vec::new(),
            },
            handed_on: handed_on(&config.extractor, spec)?,
            config: config.clone(),
        })
    }

    fn exploration(&self) -> Exploration {
        Exploration {
            epsilon: self.config.epsilon.at(self.state.env_steps),
            spread: 0.0,
        }
    }

    /// Learns from the rollout, which is full, and empties it.
    fn learn(&mut self, log: &mut Log<'_>) -> Result<()> {
        let rollout = &mut self.rollout;
        for step in 0..rollout.len() - rollout.envs {
            if rollout.status[step] == Status::Running {
                rollout.v_next[step] = rollout.v[step + rollout.envs];
            }
        }
        lambda_returns(
            &rollout.rewards,
            &rollout.status,
            &rollout.v_next,
            rollout.envs,
            [self.config.gamma, self.config.lambda].map(|x| x as f32),
            &mut self.room.returns,
        );
        // Every round is the same whatever was shuffled before, so that nothing but the stream is to be saved.
        let room = &mut self.room;
        room.order.clear();
        room.order.extend(0..self.rollout.len());
        for _ in 0..self.config.epochs {
            self.room.order.shuffle(&mut self.state.shuffle);
            for part in 0..self.config.minibatches {
                self.learn_part(part, log)?;
            }
        }
        self.rollout.steps = 0;
        Ok(())
    }

    /// One update.
    fn learn_part(&mut self, part: usize, log: &mut Log<'_>) -> Result<()> {
        let Room {
            returns,
            order,
            obs,
            actions,
            targets,
            weights,
            d_q,
            td_abs,
        } = &mut self.room;
        let batch = targets.len();
        for (row, &step) in order[part * batch..][..batch].iter().enumerate() {
            obs.copy_row(row, &self.rollout.obs, step);
            actions[row] = self.rollout.actions[step];
            targets[row] = returns[step];
        }
        let q = self.network.forward((&*obs).into(), None);
        let sample = Sample { actions, weights };
        let loss = td_loss(Loss::Mse, q, targets, sample, d_q, td_abs);
        self.state.updates += 1;
        let step = self.state.env_steps;
        if !loss.is_finite() {
            let what = format!("the loss of update {} is {loss}", self.state.updates);
            return Err(Error::Diverged { step, what });
        }
        let report = log.is_due() && !log.used();
        if report {
            let mean = q.iter().map(|&q| f64::from(q)).sum::<f64>() / q.len() as f64;
            log.scalar("loss/td", f64::from(loss))?;
            log.scalar("q/mean", mean)?;
        }
        self.network.backward(d_q);
        let norm = self.network.clip_gradient(self.config.max_grad_norm);
        if report {
            log.scalar("grad/norm", norm)?;
            log.scalar("explore/epsilon", self.exploration().epsilon)?;
        }
        // Where the rollout began: a rate that falls to 0 at the end of a run would waste its last rollout.
        let began = step - self.rollout.len() as EnvSteps;
        let (optimizer, extractor) = (&mut self.optimizer, &self.config.extractor);
        self.network
            .change(|params| optimizer.step_with(params, extractor, began));
        Ok(())
    }
}

/// The largest number of each row.
fn largest(q: &[f32], actions: usize) -> impl Iterator<Item = f32> {
    let rows = q.chunks_exact(actions);
    rows.map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

impl Actor for Pqn {
    fn act(&mut self, obs: &Array, mode: Mode, actions: &mut Array) {
        let exploration = self.exploration();
        let explorer = &mut self.state.explorer;
        let asked = explorer.act(&mut self.network, exploration, obs, mode, actions);
        if mode == Mode::Explore {
            let actions = self.network.num_actions();
            let q = match asked {
                true => self.network.means(),
                false => self.network.q_values(obs),
            };
            let rollout = &mut self.rollout;
            let first = rollout.steps * rollout.envs;
            let v = rollout.v[first..].iter_mut();
            v.zip(largest(q, actions)).for_each(|(v, q)| *v = q);
        }
    }
}

impl Exchange for Pqn {
    fn weights(&self) -> Weights {
        self.network.params().weights()
    }

    fn set_weights(&mut self, weights: &Weights) {
        self.network.change(|params| params.set_weights(weights));
    }

    fn restart(&mut self, _: f64) {}
}

impl Agent for Pqn {
    fn observe(&mut self, transitions: &Transitions<'_>) {
        let rollout = &mut self.rollout;
        let first = rollout.steps * rollout.envs;
        let rows = first..first + rollout.envs;
        rollout.actions[rows.clone()].copy_from_slice(transitions.actions.as_slice());
        let scale = self.config.reward_scale as f32;
        let rewards = rollout.rewards[rows.clone()].iter_mut();
        (rewards.zip(transitions.rewards)).for_each(|(scaled, reward)| *scaled = scale * reward);
        rollout.status[rows.clone()].copy_from_slice(transitions.status);
        for (row, step) in rows.clone().enumerate() {
            rollout.obs.copy_row(step, transitions.obs, row);
        }
        rollout.steps += 1;
        // What the step led to is seen again in the next one, but for the last step and where an episode was cut off.
        let cut = transitions.status.contains(&Status::Truncated);
        if cut || rollout.is_full() {
            let q = self.network.q_values(transitions.next_obs);
            let actions = q.len() / rollout.envs;
            let v_next = rollout.v_next[rows].iter_mut();
            v_next.zip(largest(q, actions)).for_each(|(v, q)| *v = q);
        }
        self.state.env_steps += transitions.len() as EnvSteps;
    }

    fn update(&mut self, log: &mut Log<'_>) -> Result<()> {
        if self.rollout.is_full() {
            self.learn(log)?;
        }
        Ok(())
    }

    fn save(&self, dir: &Path) -> Result<()> {
        self.network
            .params()
            .save(&dir.join("weights.safetensors"))?;
        self.optimizer.save(&dir.join("optimizer.safetensors"))?;
        self.handed_on.save(dir)?;
        let rollout =
            postcard::to_stdvec(&self.rollout).map_err(|e| Error::Backend(Box::new(e)))?;
        let path = dir.join("rollout.bin");
        fs::write(&path, rollout).map_err(Error::io(path))?;
        state_file::write(dir, &self.state)
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let state = state_file::read(dir)?;
        let path = dir.join("rollout.bin");
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let rollout: Rollout = postcard::from_bytes(&bytes)
            .map_err(|e| Error::checkpoint(&path, format!("cannot be read: {e}")))?;
        if !self.rollout.is_like(&rollout) {
            let what = "is not of a run with these rollout_steps, environments and observations";
            return Err(Error::checkpoint(&path, what.to_owned()));
        }
        self.load_policy(dir)?;
        self.optimizer.load(&dir.join("optimizer.safetensors"))?;
        self.rollout = rollout;
        self.state = state;
        Ok(())
    }

    fn load_policy(&mut self, dir: &Path) -> Result<()> {
        self.network.load(&dir.join("weights.safetensors"))
    }

    fn exchange(&mut self) -> Option<&mut dyn Exchange> {
        Some(self)
    }

    fn memory(&self) -> u64 {
        let room = &self.room;
        let minibatch = room.obs.rows() * (room.obs.cols() * room.obs.kind().bytes() + 5 * 4);
        let orders = room.returns.len() * (size_of::<f32>() + size_of::<usize>());
        let rollout = self.rollout.bytes() + (minibatch + orders) as u64;
        rollout + self.network.params().bytes() + self.optimizer.bytes()
    }

    fn describe(&self) -> String {
        format!(
            "{}\na rollout of {} steps of {} environments: {} epochs of {} minibatches of {} steps",
            self.network.describe(),
            self.config.rollout_steps,
            self.rollout.envs,
            self.config.epochs,
            self.config.minibatches,
            self.room.actions.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Running, Terminated, Truncated};
    use thorndike_core::rand::RngExt;
    use thorndike_core::{Device, Env, EnvOptions, Seeds, Space, Step, SyncVectorEnv, VectorEnv};
    use thorndike_nets::tch::Tensor;

    /// A drunkard on a line who is paid to the right. It ends at 1 and -1, and is cut off after four steps.
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
            *at += 0.4 * (action as f32 - 1.0) + 0.3 * *wind + 0.3 * rng.random::<f32>();
            if at.abs() > 1.0 {
                Step::terminal(*at)
            } else {
                Step::running(0.1 * *at)
            }
        }
        fn observe(&self, state: &[f32; 2], obs: &mut [f32]) {
            obs.copy_from_slice(state);
        }
        fn time_limit(&self) -> Option<u32> {
            Some(4)
        }
    }

    fn config(json: serde_json::Value) -> PqnConfig {
        let mut all = serde_json::json!({"rollout_steps": 12, "minibatches": 4, "epsilon": 0.5,
            "extractor": {"kind": "mlp", "hidden": [16]}});
        let json = json.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(json);
        serde_json::from_value(all).unwrap()
    }

    fn built(config: &PqnConfig) -> (Pqn, SyncVectorEnv<Walk>) {
        thorndike_nets::use_threads(1);
        let seeds = Seeds::new(11);
        let options = EnvOptions {
            num_envs: 3,
            ..EnvOptions::default()
        };
        let envs = SyncVectorEnv::new(Walk, &options, seeds).unwrap();
        let ctx = BuildContext {
            spec: envs.spec(),
            seeds,
            device: Device::Cpu,
        };
        (Pqn::new(config, &ctx).unwrap(), envs)
    }

    /// Steps without an update; gives the true successor of every row, with how the step ended.
    fn steps(
        agent: &mut Pqn,
        envs: &mut SyncVectorEnv<Walk>,
        steps: usize,
    ) -> Vec<(Status, Vec<f32>)> {
        let (mut actions, mut seen) = (envs.new_actions(), Vec::new());
        for _ in 0..steps {
            agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
            envs.step(&actions);
            let transitions = Transitions::new(envs.batch(), &actions);
            agent.observe(&transitions);
            for row in 0..transitions.len() {
                let next = transitions.next_obs.row::<f32>(row).to_vec();
                seen.push((transitions.status[row], next));
            }
            envs.advance();
        }
        seen
    }

    fn update(agent: &mut Pqn) -> Result<()> {
        agent.update(&mut Log::new(&mut (), 0, false))
    }

    fn weights(agent: &Pqn) -> Vec<f32> {
        Vec::try_from(agent.network.params().flat()).unwrap()
    }

    /// The largest Q-value of each observation, asked for one by one.
    fn values(agent: &mut Pqn, seen: &[(Status, Vec<f32>)]) -> Vec<f32> {
        let value = |(_, obs): &(Status, Vec<f32>)| {
            let q = agent.network.q_values(&Array::from_vec(obs.clone(), 2));
            q.iter().copied().reduce(f32::max).unwrap()
        };
        seen.iter().map(value).collect()
    }

    #[test]
    fn every_successor_is_valued_by_its_true_observation() {
        let (mut agent, mut envs) = built(&config(serde_json::json!({})));
        for _ in 0..3 {
            let seen = steps(&mut agent, &mut envs, 12);
            let count = |of| seen.iter().filter(|(status, _)| *status == of).count();
            assert!(count(Truncated) > 3 && count(Terminated) > 0 && count(Running) > 9);
            let expected = values(&mut agent, &seen);
            update(&mut agent).unwrap();
            for (row, (status, _)) in seen.iter().enumerate() {
                // The sums of a row may be rounded otherwise where there are fewer rows.
                let close = (expected[row] - agent.rollout.v_next[row]).abs() < 1e-6;
                assert!(*status == Terminated || close, "row {row}, {status:?}");
            }
            assert_eq!(agent.rollout.steps, 0);
        }
        assert_eq!(agent.state.updates, 3 * 2 * 4);
    }

    #[test]
    fn an_update_is_a_step_down_the_gradient_of_half_the_squared_error() {
        // A linear network, one minibatch, one epoch, plain gradient descent.
        let config = config(
            serde_json::json!({"minibatches": 1, "epochs": 1, "reward_scale": 0.5,
            "extractor": {"kind": "flatten"}, "max_grad_norm": 1e9,
            "optimizer": {"kind": "sgd", "learning_rate": {"kind": "linear", "from": 0.2, "to": 0.1, "steps": 36}}}),
        );
        let (mut agent, mut envs) = built(&config);
        let seen = steps(&mut agent, &mut envs, 12);
        let v_next = values(&mut agent, &seen);
        // `[actions, inputs]`, then `[actions]`.
        let before = weights(&agent);
        let Rollout {
            obs,
            actions,
            rewards,
            status,
            ..
        } = &agent.rollout;
        let mut targets = vec![0.0; 36];
        lambda_returns(rewards, status, &v_next, 3, [0.99, 0.65], &mut targets);
        let mut expected = before.clone();
        for row in 0..36 {
            let (x, action) = (obs.row::<f32>(row), actions[row] as usize);
            let q = before[2 * action] * x[0] + before[2 * action + 1] * x[1] + before[6 + action];
            // The learning rate is that of the rollout's first step.
            let change = 0.2 * (q - targets[row]) / 36.0;
            expected[2 * action] -= change * x[0];
            expected[2 * action + 1] -= change * x[1];
            expected[6 + action] -= change;
        }
        update(&mut agent).unwrap();
        assert_ne!(weights(&agent), before);
        for (w, expected) in weights(&agent).iter().zip(expected) {
            // Sums of 36 terms of order 1 over 36, each rounded.
            assert!((w - expected).abs() < 1e-5, "{w} {expected}");
        }
    }

    #[test]
    fn rewards_are_scaled() {
        let rewards = |scale: f64| {
            let (mut agent, mut envs) = built(&config(serde_json::json!({"reward_scale": scale})));
            steps(&mut agent, &mut envs, 1);
            agent.rollout.rewards[..3].to_vec()
        };
        let whole = rewards(1.0);
        assert!(whole.iter().all(|&r| r != 0.0));
        let quarter: Vec<f32> = whole.iter().map(|r| r * 0.25).collect();
        assert_eq!(rewards(0.25), quarter);
    }

    #[test]
    fn gradients_are_clipped() {
        let norm_of_step = |max: f64| {
            let (mut agent, mut envs) = built(&config(serde_json::json!({"max_grad_norm": max,
                "minibatches": 1, "epochs": 1, "optimizer": {"kind": "sgd", "learning_rate": 1.0}})));
            steps(&mut agent, &mut envs, 12);
            let before = Tensor::from_slice(&weights(&agent));
            update(&mut agent).unwrap();
            let after = Tensor::from_slice(&weights(&agent));
            (after - before).norm().double_value(&[])
        };
        assert!(norm_of_step(1e9) > 0.02);
        assert!((norm_of_step(0.01) - 0.01).abs() < 1e-5);
    }

    #[test]
    fn a_loss_that_is_no_number_stops_before_the_weights_change() {
        let (mut agent, mut envs) = built(&config(serde_json::json!({})));
        steps(&mut agent, &mut envs, 12);
        agent.rollout.rewards.fill(f32::NAN);
        let before = weights(&agent);
        let error = update(&mut agent).unwrap_err().to_string();
        assert_eq!(error, "the loss of update 1 is NaN at environment step 36");
        assert_eq!(weights(&agent), before);
    }

    #[test]
    fn exploiting_leaves_streams_and_rollout_alone() {
        let (mut agent, mut envs) = built(&config(serde_json::json!({})));
        steps(&mut agent, &mut envs, 5);
        let all = |agent: &Pqn| {
            let state = serde_json::to_string(&agent.state).unwrap();
            (state, postcard::to_stdvec(&agent.rollout).unwrap())
        };
        let before = all(&agent);
        let elsewhere = Array::from_vec(vec![0.3_f32; 14], 2);
        agent.act(&elsewhere, Mode::Exploit, &mut Array::zeros::<i32>(7, 1));
        assert!(all(&agent) == before);
        let mut actions = envs.new_actions();
        agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
        assert!(all(&agent) != before);
    }

    #[test]
    fn the_order_of_learning_is_value_stable() {
        let mut order: Vec<usize> = (0..8).collect();
        order.shuffle(&mut Seeds::new(1).stream("agent/shuffle", 0));
        assert_eq!(order, ORDER, "published results depend on these values");
    }
    const ORDER: [usize; 8] = [4, 0, 6, 3, 5, 1, 7, 2];

    #[test]
    fn values_out_of_range_are_refused_with_key_and_range() {
        for (json, message) in [
            (
                r#"{"lambda": 1.5}"#,
                "lambda: 1.5 is out of range; give 0 to 1",
            ),
            (
                r#"{"rollout_steps": 0}"#,
                "rollout_steps: 0 is out of range; give 1 to 65536",
            ),
            (
                r#"{"minibatches": 0}"#,
                "minibatches: 0 is out of range; give 1 to 256",
            ),
            (
                r#"{"minibatches": 7}"#,
                "minibatches: 7 parts cannot be equal of 256 steps, rollout_steps = 32 of num_envs = 8; give a divisor",
            ),
            (r#"{"epochs": 0}"#, "epochs: 0 is out of range"),
            (
                r#"{"max_grad_norm": 0}"#,
                "max_grad_norm: 0 is out of range; give a number above 0",
            ),
            (
                r#"{"reward_scale": -2}"#,
                "reward_scale: -2 is out of range; give a number above 0",
            ),
            (
                r#"{"optimizer": {"kind": "radam", "beta1": 1}}"#,
                "optimizer.beta1: 1 is out of range; give 0 or more and below 1",
            ),
        ] {
            let config: PqnConfig = serde_json::from_str(json).unwrap();
            let error = config.check(8).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        PqnConfig::default().check(128).unwrap();
        let json = serde_json::to_string(&PqnConfig::default()).unwrap();
        let read: PqnConfig = serde_json::from_str(&json).unwrap();
        assert_eq!(read, PqnConfig::default());
        assert!(serde_json::from_str::<PqnConfig>(r#"{"lamda": 1}"#).is_err());
    }
}
