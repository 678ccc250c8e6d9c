//! The settings of [`Dqn`](crate::Dqn).

use serde::{Deserialize, Serialize};
use thorndike_core::memory::check_fits;
use thorndike_core::replay::{self, SamplerConfig};
use thorndike_core::{BuildContext, EnvSpec, EnvSteps, Error, Result, Schedule, check_range};
use thorndike_nets::models::MlpConfig;
use thorndike_nets::{AdamConfig, ExtractorConfig, OptimConfig, find_device, tch};

use crate::Loss;
use crate::explore::Exploration;
use crate::head::{HeadConfig, HeadShape};
use crate::loss::Munchausen;
use crate::network::inputs;

/// Settings of the DQN family; its variants are switches that can be combined.
///
/// The defaults are those of CleanRL's `dqn.py` (Huang et al., "CleanRL: High-quality Single-file
/// Implementations of Deep Reinforcement Learning Algorithms", 2022), made for classic control and 500,000
/// environment steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DqnConfig {
    /// Discount of rewards per environment step. Default 0.99.
    pub gamma: f64,
    /// Optimiser of the online network; its learning rate may be a schedule in environment steps. Default
    /// Adam with 2.5e-4.
    pub optimizer: OptimConfig,
    /// Replay memory.
    pub replay: ReplayConfig,
    /// Steps whose rewards are summed before the target network is asked. Default 1.
    pub n_step: usize,
    /// Transitions in an update. Default 128.
    pub batch_size: usize,
    /// Environment steps with random actions before the first update. Default 10,000. (CleanRL acts
    /// ε-greedily meanwhile.)
    pub warmup_steps: EnvSteps,
    /// Environment steps from one round of updates to the next, over all environments. Default 10.
    pub train_every_steps: EnvSteps,
    /// Updates in a round. Default 1.
    pub updates_per_train: u64,
    /// How the target network follows the online one. Default every 500 environment steps.
    pub target: TargetConfig,
    /// Choose the next action with the online network (Double DQN). Default false.
    pub double: bool,
    /// Learn a value and advantages (dueling network). Default false.
    pub dueling: bool,
    /// What is learned of the return: its expectation or its distribution. Default the expectation.
    pub head: HeadConfig,
    /// Units of a hidden layer between extractor and outputs; with `dueling`, of one for the value and one for the
    /// advantages. Default 0: no such layer.
    pub head_units: usize,
    /// Explore by learned noise in the layers behind the extractor, which starts at this scale (NoisyNet; the paper's
    /// is 0.5). `epsilon` still counts: set it to 0 for noise alone. Default absent: no noise.
    pub noisy_sigma: Option<f64>,
    /// Loss of a TD error, where the expectation is learned. Default the squared error.
    pub loss: Loss,
    /// Add the policy's log-probability to the reward, and learn soft values. Default absent.
    pub munchausen: Option<MunchausenConfig>,
    /// Largest Euclidean norm of the gradient; absent: no limit. Default absent.
    pub max_grad_norm: Option<f64>,
    /// Probability of a random action, as a function of the environment step. Default from 1 to 0.05 over
    /// 250,000 steps.
    pub epsilon: Schedule,
    /// How much less the later of several environments explore: environment `i` of `n` has
    /// `epsilon^(1 + epsilon_spread * i / (n - 1))` (Horgan et al., "Distributed Prioritized Experience Replay", 2018,
    /// section 4.1, with `epsilon` 0.4 and 7). Default 0: all the same.
    pub epsilon_spread: f64,
    /// What lies between observation and head. Default a perceptron with 120 and 84 units.
    pub extractor: ExtractorConfig,
}

/// Settings of the replay memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// Observations kept, over all environments; an episode takes one more than it has steps. Default 10,000.
    pub capacity: usize,
    /// How transitions are drawn: uniformly or by priority. Default uniformly.
    pub sampler: SamplerConfig,
}

/// Settings of Munchausen learning.
///
/// # Reference
/// Vieillard, Pietquin and Geist, "Munchausen Reinforcement Learning" (2020), section 4, whose values these are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MunchausenConfig {
    /// Share of the scaled log-policy that is added to the reward. Default 0.9.
    pub alpha: f64,
    /// Temperature of the softmax policy, in reward units. Default 0.03.
    pub temperature: f64,
    /// The scaled log-policy is not counted below this number. Default -1.
    pub clip: f64,
}

impl Default for MunchausenConfig {
    fn default() -> Self {
        Self {
            alpha: 0.9,
            temperature: 0.03,
            clip: -1.0,
        }
    }
}

impl MunchausenConfig {
    fn check(&self) -> Result<()> {
        check_range("alpha", self.alpha, 0.0..=1.0)?;
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let what = format!(
                "{} is out of range; give a number above 0",
                self.temperature
            );
            return Err(Error::config("temperature", what));
        }
        if !(self.clip <= 0.0 && self.clip.is_finite()) {
            let what = format!("{} is out of range; give 0 or less", self.clip);
            return Err(Error::config("clip", what));
        }
        Ok(())
    }

    pub(crate) fn numbers(&self) -> Munchausen {
        Munchausen {
            alpha: self.alpha as f32,
            temperature: self.temperature as f32,
            clip: self.clip as f32,
        }
    }
}

/// How the target network follows the online one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TargetConfig {
    /// A copy every so many environment steps after the warm-up.
    EverySteps {
        /// Environment steps from copy to copy, over all environments.
        steps: EnvSteps,
    },
    /// A copy every so many updates.
    EveryUpdates {
        /// Updates from copy to copy.
        updates: u64,
    },
    /// After every update a share of the way (Lillicrap et al., "Continuous control with deep reinforcement
    /// learning", 2016).
    Soft {
        /// The share, above 0 and at most 1.
        tau: f64,
    },
}

impl Default for DqnConfig {
    fn default() -> Self {
        Self {
            gamma: 0.99,
            optimizer: OptimConfig::Adam(AdamConfig {
                learning_rate: Schedule::constant(2.5e-4),
                ..AdamConfig::default()
            }),
            replay: ReplayConfig::default(),
            n_step: 1,
            batch_size: 128,
            warmup_steps: 10_000,
            train_every_steps: 10,
            updates_per_train: 1,
            target: TargetConfig::EverySteps { steps: 500 },
            double: false,
            dueling: false,
            head: HeadConfig::Expected {},
            head_units: 0,
            noisy_sigma: None,
            munchausen: None,
            loss: Loss::Mse,
            max_grad_norm: None,
            epsilon: Schedule::linear(1.0, 0.05, 250_000),
            epsilon_spread: 0.0,
            extractor: ExtractorConfig::Mlp(MlpConfig {
                hidden: vec![120, 84],
                ..MlpConfig::default()
            }),
        }
    }
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            sampler: SamplerConfig::Uniform,
        }
    }
}

impl DqnConfig {
    /// Largest batch; a mistyped number is caught before it is allocated.
    const MAX_BATCH: usize = 65_536;

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self, spec: &EnvSpec) -> Result<()> {
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
        self.epsilon.check("epsilon", 0.0, 1.0)?;
        check_range("epsilon_spread", self.epsilon_spread, 0.0..=100.0)?;
        self.head.check().map_err(|e| e.under("head"))?;
        check_range("head_units", self.head_units, 0..=65_536)?;
        if let Some(sigma) = self.noisy_sigma
            && !(sigma > 0.0 && sigma.is_finite())
        {
            let what = format!("{sigma} is out of range; give a number above 0");
            return Err(Error::config("noisy_sigma", what));
        }
        self.check_munchausen()?;
        self.core_replay()
            .check(spec)
            .map_err(|error| match error {
                Error::Config { key, what } if key == "n_step" => Error::Config { key, what },
                other => other.under("replay"),
            })?;
        if self.batch_size > self.replay.capacity {
            let what = format!(
                "{} is out of range; give 1 to {}, the replay's capacity",
                self.batch_size, self.replay.capacity
            );
            return Err(Error::config("batch_size", what));
        }
        Ok(())
    }

    /// Refuses what Munchausen learning cannot be combined with.
    fn check_munchausen(&self) -> Result<()> {
        let Some(munchausen) = &self.munchausen else {
            return Ok(());
        };
        munchausen.check().map_err(|e| e.under("munchausen"))?;
        let refuse = |what: &str| Err(Error::config("munchausen", what));
        if matches!(self.head, HeadConfig::Categorical(_)) {
            return refuse(
                "it cannot shift the fixed atoms of head.kind = \"categorical\"; use another head",
            );
        }
        if self.double {
            return refuse(
                "its soft values choose no action, so double = true means nothing; leave one of them out",
            );
        }
        if self.n_step > 1 {
            return refuse(
                "it adds to the reward of one step, and n_step is more than 1; set n_step = 1",
            );
        }
        Ok(())
    }

    /// Refuses a network that the memory cannot hold, before anything is allocated.
    ///
    /// # Errors
    /// [`Error::Config`] with what it would take and what there is.
    pub(crate) fn check_network_fits(&self, ctx: &BuildContext<'_>) -> Result<()> {
        let bytes = self.network_bytes(ctx.spec)?;
        // On another device the weights only pass through this memory, one network at a time.
        let on_processor = find_device(ctx.device)? == tch::Device::Cpu;
        let bytes = if on_processor {
            bytes
        } else {
            bytes / self.copies()
        };
        check_fits("extractor.hidden", "the networks", bytes)
    }

    /// Bytes of online and target network, gradient and optimiser on the processor.
    fn network_bytes(&self, spec: &EnvSpec) -> Result<u64> {
        let (weights, features) = self
            .extractor
            .size(&inputs(&spec.observation_space(), spec));
        let head = self
            .head_shape(spec.num_actions("dqn")?)
            .num_weights(features);
        let bytes = weights.saturating_add(head).saturating_mul(4);
        Ok(bytes.saturating_mul(self.copies()))
    }

    /// Arrays as large as the weights: those of both networks, each with a copy in the order the fast passes read,
    /// the gradient, and what the optimiser holds.
    fn copies(&self) -> u64 {
        2 * 2 + 1 + self.optimizer.copies()
    }

    /// How environments explore at an environment step.
    pub(crate) fn exploration(&self, step: EnvSteps) -> Exploration {
        let warm = step >= self.warmup_steps;
        Exploration {
            epsilon: if warm { self.epsilon.at(step) } else { 1.0 },
            spread: self.epsilon_spread,
        }
    }

    /// What the head is built of.
    pub(crate) fn head_shape(&self, actions: usize) -> HeadShape {
        HeadShape {
            config: self.head.clone(),
            actions,
            dueling: self.dueling,
            units: self.head_units,
            noise: self.noisy_sigma,
        }
    }

    /// The replay memory's own form of these settings.
    pub(crate) fn core_replay(&self) -> replay::ReplayConfig {
        replay::ReplayConfig {
            capacity: self.replay.capacity,
            n_step: self.n_step,
            sampler: self.replay.sampler,
        }
    }
}

impl TargetConfig {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::EverySteps { steps } => check_range("steps", steps, 1..=EnvSteps::MAX),
            Self::EveryUpdates { updates } => check_range("updates", updates, 1..=u64::MAX),
            Self::Soft { tau } if tau > 0.0 && tau <= 1.0 => Ok(()),
            Self::Soft { tau } => Err(Error::config(
                "tau",
                format!("{tau} is out of range; give a number above 0 and at most 1"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::{Kind, Space};

    fn spec() -> EnvSpec {
        EnvSpec::new(Space::unbounded(&[4]), Kind::F32, Space::Discrete(2))
    }

    #[test]
    fn the_memory_of_a_network_is_known_before_it_is_built() {
        let config = DqnConfig {
            extractor: ExtractorConfig::Mlp(MlpConfig {
                hidden: vec![65_536, 65_536],
                ..MlpConfig::default()
            }),
            ..DqnConfig::default()
        };
        // Layers of 4, 65,536, 65,536 and 2 units with biases; f32; eight copies with Adam.
        let weights = 5 * 65_536 + 65_537 * 65_536 + 65_537 * 2;
        assert_eq!(config.network_bytes(&spec()).unwrap(), weights * 4 * 8);
    }

    fn parse(json: &str) -> std::result::Result<DqnConfig, String> {
        let config: DqnConfig = serde_json::from_str(json).map_err(|e| e.to_string())?;
        config.check(&spec()).map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn defaults_are_accepted_and_survive_being_written() {
        let config = parse("{}").unwrap();
        assert_eq!(config, DqnConfig::default());
        assert_eq!(
            parse(&serde_json::to_string(&config).unwrap()).unwrap(),
            config
        );
    }

    #[test]
    fn variants_read_as_tables() {
        let config = parse(
            r#"{"target": {"kind": "soft", "tau": 0.005}, "loss": "huber", "max_grad_norm": 10,
                "optimizer": {"kind": "adamw", "learning_rate": {"kind": "linear", "from": 1e-3, "to": 0, "steps": 9}},
                "replay": {"capacity": 1000, "sampler": {"kind": "prioritized"}},
                "epsilon": 0.1, "extractor": {"kind": "flatten"}}"#,
        )
        .unwrap();
        assert_eq!(config.target, TargetConfig::Soft { tau: 0.005 });
        assert_eq!(config.epsilon, Schedule::constant(0.1));
        assert_eq!(
            parse(&serde_json::to_string(&config).unwrap()).unwrap(),
            config
        );
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        for json in [
            r#"{"gama": 0.9}"#,
            r#"{"replay": {"capasity": 5}}"#,
            r#"{"target": {"kind": "soft", "tua": 5}}"#,
            r#"{"extractor": {"kind": "mlp", "hiden": [5]}}"#,
            r#"{"optimizer": {"kind": "adam", "lr": 5}}"#,
            r#"{"head": {"kind": "expected", "atoms": 5}}"#,
            r#"{"head": {"kind": "categorical", "vmin": 5}}"#,
            r#"{"munchausen": {"tau": 5}}"#,
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains("unknown field"), "{json}: {error}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_with_key_and_range() {
        for (json, message) in [
            (
                r#"{"gamma": 1.5}"#,
                "gamma: 1.5 is out of range; give 0 to 1",
            ),
            (
                r#"{"batch_size": 0}"#,
                "batch_size: 0 is out of range; give 1 to 65536",
            ),
            (
                r#"{"batch_size": 20000}"#,
                "batch_size: 20000 is out of range; give 1 to 10000, the replay's capacity",
            ),
            (
                r#"{"train_every_steps": 0}"#,
                "train_every_steps: 0 is out of range; give 1 to 18446744073709551615",
            ),
            (
                r#"{"epsilon": 1.5}"#,
                "epsilon: 1.5 is out of range; give 0 to 1",
            ),
            (
                r#"{"epsilon": {"kind": "linear", "from": 2, "to": 0, "steps": 9}}"#,
                "epsilon.from: 2 is out of range; give 0 to 1",
            ),
            (
                r#"{"max_grad_norm": 0}"#,
                "max_grad_norm: 0 is out of range; give a number above 0",
            ),
            (
                r#"{"target": {"kind": "soft", "tau": 0}}"#,
                "target.tau: 0 is out of range; give a number above 0 and at most 1",
            ),
            (
                r#"{"head": {"kind": "categorical", "v_min": 5, "v_max": 5}}"#,
                "head.v_min: 5 is not below v_max, 5; give the lowest and the highest return",
            ),
            (
                r#"{"head": {"kind": "categorical", "atoms": 1}}"#,
                "head.atoms: 1 is out of range; give 2 to 4096",
            ),
            (
                r#"{"head": {"kind": "quantile", "kappa": -1}}"#,
                "head.kappa: -1 is out of range; give 0 or more",
            ),
            (
                r#"{"head": {"kind": "implicit-quantile", "samples": 0}}"#,
                "head.samples: 0 is out of range; give 1 to 4096",
            ),
            (
                r#"{"noisy_sigma": 0}"#,
                "noisy_sigma: 0 is out of range; give a number above 0",
            ),
            (
                r#"{"epsilon_spread": -1}"#,
                "epsilon_spread: -1 is out of range; give 0 to 100",
            ),
            (
                r#"{"munchausen": {"temperature": 0}}"#,
                "munchausen.temperature: 0 is out of range; give a number above 0",
            ),
            (
                r#"{"munchausen": {"clip": 1}}"#,
                "munchausen.clip: 1 is out of range; give 0 or less",
            ),
            (
                r#"{"munchausen": {}, "head": {"kind": "categorical"}}"#,
                "munchausen: it cannot shift the fixed atoms of head.kind = \"categorical\"",
            ),
            (
                r#"{"munchausen": {}, "double": true}"#,
                "munchausen: its soft values choose no action, so double = true means nothing",
            ),
            (
                r#"{"munchausen": {}, "n_step": 3}"#,
                "munchausen: it adds to the reward of one step, and n_step is more than 1",
            ),
            (
                r#"{"n_step": 0}"#,
                "n_step: 0 is out of range; give 1 to 1024",
            ),
            (
                r#"{"replay": {"capacity": 1}}"#,
                "replay.capacity: 1 is out of range",
            ),
            (
                r#"{"optimizer": {"kind": "adam", "learning_rate": -1}}"#,
                "optimizer.learning_rate: -1 is out of range; give 0 to 10",
            ),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
