//! The settings of [`R2d2`](crate::R2d2).

use serde::{Deserialize, Serialize};
use thorndike_core::memory::check_fits;
use thorndike_core::replay::{PrioritizedConfig, SamplerConfig, SequenceConfig};
use thorndike_core::{BuildContext, EnvSteps, Error, Result, Schedule, check_range};
use thorndike_nets::models::{Cell, RecurrentConfig};
use thorndike_nets::{AdamConfig, ExtractorConfig, OptimConfig, float_shape};

use crate::explore::Exploration;
use crate::{Loss, TargetConfig};

/// Settings of R2D2.
///
/// "Paper" is Kapturowski et al., "Recurrent Experience Replay in Distributed Reinforcement Learning" (2019), table
/// 2 and section 3. Its sizes are for Atari, 256 actors and 10^10 frames; where a default is smaller, the paper's
/// number stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct R2d2Config {
    /// Discount of rewards per environment step. Default 0.997 (paper).
    pub gamma: f64,
    /// Optimiser of the online network; its learning rate may be a schedule in environment steps. Default Adam
    /// with 1e-3 (paper: 1e-4) and an epsilon of 1e-3 (paper).
    pub optimizer: OptimConfig,
    /// Replay memory and the form of its sequences.
    pub replay: SequenceReplayConfig,
    /// Steps whose rewards are summed before the target network is asked; fewer at the end of a sequence. Default 5
    /// (paper).
    pub n_step: usize,
    /// Sequences in an update. Default 32 (paper: 64).
    pub batch_size: usize,
    /// Environment steps with random actions before the first update. Default 1,000.
    pub warmup_steps: EnvSteps,
    /// Environment steps from one round of updates to the next, over all environments. Default 10, which is the
    /// default period: every step is learned from as often as a sequence is drawn.
    pub train_every_steps: EnvSteps,
    /// Updates in a round. Default 1.
    pub updates_per_train: u64,
    /// How the target network follows the online one. Default every 100 updates (paper: 2,500).
    pub target: TargetConfig,
    /// Choose the next action with the online network (Double DQN). Default true (paper).
    pub double: bool,
    /// Learn a value and advantages (dueling network). Default true (paper).
    pub dueling: bool,
    /// Learn `h(q)` in place of `q`, with `h(x) = sign(x) (sqrt(|x| + 1) - 1) + 0.001 x`, so that large returns do
    /// not need clipped rewards. Default true (paper).
    pub rescale_values: bool,
    /// Loss of a TD error. Default the squared error (paper).
    pub loss: Loss,
    /// Largest Euclidean norm of the gradient; absent: no limit. Default absent.
    pub max_grad_norm: Option<f64>,
    /// Share of the largest TD error of a sequence in its priority; the rest is that of the mean. Default 0.9
    /// (paper).
    pub eta: f64,
    /// Probability of a random action, as a function of the environment step. Default from 1 to 0.05 over 10,000
    /// steps.
    pub epsilon: Schedule,
    /// How much less the later of several environments explore, as in [`DqnConfig`](crate::DqnConfig). Default 0: all
    /// the same. (Paper: a constant `epsilon` of 0.4 and a spread of 7 over 256 environments.)
    pub epsilon_spread: f64,
    /// What lies between observation and head: kind `recurrent`. Default an LSTM with 64 units (paper: 512) behind
    /// a dense layer of 64.
    pub extractor: ExtractorConfig,
}

/// Settings of the replay memory and its sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SequenceReplayConfig {
    /// Sequences kept, over all environments. Default 5,000 (paper: 100,000).
    pub capacity: usize,
    /// Steps before the ones that are learned from, at most: they only bring the stored state up to date. Default
    /// 10 (paper: 40).
    pub burn_in: usize,
    /// Steps of a sequence that are learned from, at most. Default 20 (paper: 80).
    pub length: usize,
    /// Steps from one sequence to the next; what is left of `length` is in both. Default 10 (paper: 40).
    pub period: usize,
    /// How sequences are drawn. Default by priority with alpha = 0.9 and beta = 0.6 (paper).
    pub sampler: SamplerConfig,
}

impl Default for R2d2Config {
    fn default() -> Self {
        Self {
            gamma: 0.997,
            optimizer: OptimConfig::Adam(AdamConfig {
                learning_rate: Schedule::constant(1e-3),
                epsilon: 1e-3,
                ..AdamConfig::default()
            }),
            replay: SequenceReplayConfig::default(),
            n_step: 5,
            batch_size: 32,
            warmup_steps: 1_000,
            train_every_steps: 10,
            updates_per_train: 1,
            target: TargetConfig::EveryUpdates { updates: 100 },
            double: true,
            dueling: true,
            rescale_values: true,
            loss: Loss::Mse,
            max_grad_norm: None,
            eta: 0.9,
            epsilon: Schedule::linear(1.0, 0.05, 10_000),
            epsilon_spread: 0.0,
            extractor: ExtractorConfig::Recurrent(RecurrentConfig {
                cell: Cell::Lstm,
                encoder: vec![64],
                ..RecurrentConfig::default()
            }),
        }
    }
}

impl Default for SequenceReplayConfig {
    fn default() -> Self {
        Self {
            capacity: 5_000,
            burn_in: 10,
            length: 20,
            period: 10,
            sampler: SamplerConfig::Prioritized(PrioritizedConfig {
                alpha: 0.9,
                beta: Schedule::constant(0.6),
                ..PrioritizedConfig::default()
            }),
        }
    }
}

impl R2d2Config {
    /// Largest batch; a mistyped number is caught before it is allocated.
    const MAX_BATCH: usize = 65_536;

    /// The epsilon of `h` (paper, section 2.3).
    const RESCALE_EPSILON: f64 = 1e-3;

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        check_range("gamma", self.gamma, 0.0..=1.0)?;
        self.optimizer.check().map_err(|e| e.under("optimizer"))?;
        check_range("batch_size", self.batch_size, 1..=Self::MAX_BATCH)?;
        check_range(
            "train_every_steps",
            self.train_every_steps,
            1..=EnvSteps::MAX,
        )?;
        check_range("updates_per_train", self.updates_per_train, 1..=1_000_000)?;
        self.target.check().map_err(|e| e.under("target"))?;
        if let Some(norm) = self
            .max_grad_norm
            .filter(|norm| !(*norm > 0.0 && norm.is_finite()))
        {
            return Err(Error::config(
                "max_grad_norm",
                format!("{norm} is out of range; give a number above 0"),
            ));
        }
        check_range("eta", self.eta, 0.0..=1.0)?;
        self.epsilon.check("epsilon", 0.0, 1.0)?;
        check_range("epsilon_spread", self.epsilon_spread, 0.0..=100.0)?;
        let state_len = self.recurrent()?.state_len();
        let replay = self.core_replay(state_len);
        replay.check().map_err(|e| e.under("replay"))?;
        check_range("n_step", self.n_step, 1..=self.replay.length)?;
        if self.batch_size > self.replay.capacity {
            let what = format!(
                "{} is out of range; give 1 to {}, the replay's capacity",
                self.batch_size, self.replay.capacity
            );
            return Err(Error::config("batch_size", what));
        }
        Ok(())
    }

    /// The settings of the network, which must be one with a memory.
    ///
    /// # Errors
    /// [`Error::Config`] on `extractor`, if it has none or a value is out of range.
    pub(super) fn recurrent(&self) -> Result<&RecurrentConfig> {
        match &self.extractor {
            ExtractorConfig::Recurrent(config) => {
                config.check().map_err(|e| e.under("extractor"))?;
                Ok(config)
            }
            _ => Err(Error::config(
                "extractor",
                "R2D2 without a recurrent extractor has nothing to remember with; give \
                 extractor = { kind = \"recurrent\" }, or the agent dqn",
            )),
        }
    }

    /// Refuses networks or a replay that the memory cannot hold, before anything is allocated.
    ///
    /// # Errors
    /// [`Error::Config`] with what it would take and what there is.
    pub(super) fn check_fits(&self, ctx: &BuildContext<'_>) -> Result<()> {
        let inputs: i64 = float_shape(&ctx.spec.observation_space()).iter().product();
        let recurrent = self.recurrent()?;
        let (weights, features) = recurrent.size(inputs as u64);
        let outputs = ctx.spec.num_actions("r2d2")? as u64 + u64::from(self.dueling);
        let head = features.saturating_add(1).saturating_mul(outputs);
        // Both networks, the gradient, and what the optimiser holds.
        let bytes = weights.saturating_add(head).saturating_mul(4);
        let bytes = bytes.saturating_mul(3 + self.optimizer.copies());
        check_fits("extractor.units", "the networks", bytes)?;
        let replay = self.core_replay(recurrent.state_len());
        check_fits(
            "replay.capacity",
            "the replay memory",
            replay.bytes(ctx.spec),
        )
    }

    /// The replay memory's own form of these settings.
    pub(super) fn core_replay(&self, state_len: usize) -> SequenceConfig {
        SequenceConfig {
            capacity: self.replay.capacity,
            burn_in: self.replay.burn_in,
            length: self.replay.length,
            period: self.replay.period,
            state_len,
            sampler: self.replay.sampler,
        }
    }

    /// How environments explore at an environment step.
    pub(super) fn exploration(&self, step: EnvSteps) -> Exploration {
        let warm = step >= self.warmup_steps;
        Exploration {
            epsilon: if warm { self.epsilon.at(step) } else { 1.0 },
            spread: self.epsilon_spread,
        }
    }

    /// The epsilon with which values are rescaled, if they are.
    pub(super) fn rescaling(&self) -> Option<f64> {
        self.rescale_values.then_some(Self::RESCALE_EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> std::result::Result<R2d2Config, String> {
        let config: R2d2Config = serde_json::from_str(json).map_err(|e| e.to_string())?;
        config.check().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn defaults_are_accepted_and_survive_being_written() {
        let config = parse("{}").unwrap();
        assert_eq!(config, R2d2Config::default());
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(parse(&written).unwrap(), config);
    }

    #[test]
    fn an_extractor_without_memory_is_refused() {
        for json in [
            r#"{"extractor": {"kind": "mlp", "hidden": [20]}}"#,
            r#"{"extractor": {"kind": "flatten"}}"#,
        ] {
            let error = parse(json).unwrap_err();
            assert!(
                error.starts_with("extractor: R2D2 without a recurrent extractor"),
                "{error}"
            );
            assert!(
                error.contains("extractor = { kind = \"recurrent\" }"),
                "{error}"
            );
        }
    }

    #[test]
    fn values_out_of_range_and_unknown_keys_are_refused() {
        for (json, message) in [
            (
                r#"{"gamma": 1.5}"#,
                "gamma: 1.5 is out of range; give 0 to 1",
            ),
            (
                r#"{"epsilon_spread": -1}"#,
                "epsilon_spread: -1 is out of range; give 0 to 100",
            ),
            (r#"{"eta": -1}"#, "eta: -1 is out of range; give 0 to 1"),
            (
                r#"{"n_step": 21}"#,
                "n_step: 21 is out of range; give 1 to 20",
            ),
            (
                r#"{"replay": {"period": 21}}"#,
                "replay.period: 21 is out of range; give 1 to 20",
            ),
            (
                r#"{"replay": {"capacity": 1}}"#,
                "replay.capacity: 1 is out of range; give 2 to",
            ),
            (
                r#"{"replay": {"capacity": 20}}"#,
                "batch_size: 32 is out of range; give 1 to 20, the replay's capacity",
            ),
            (
                r#"{"replay": {"sampler": {"kind": "prioritized", "alpha": 2}}}"#,
                "replay.sampler.alpha: 2 is out of range; give 0 to 1",
            ),
            (
                r#"{"max_grad_norm": 0}"#,
                "max_grad_norm: 0 is out of range; give a number above 0",
            ),
            (
                r#"{"extractor": {"kind": "recurrent", "units": 0}}"#,
                "extractor.units: 0 is out of range; give 1 to 65536",
            ),
            (
                r#"{"target": {"kind": "every-updates", "updates": 0}}"#,
                "target.updates: 0 is out of range",
            ),
            (r#"{"replay": {"burnin": 5}}"#, "unknown field `burnin`"),
            (r#"{"lenght": 5}"#, "unknown field `lenght`"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
