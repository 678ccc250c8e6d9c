//! Published settings of the DQN family, as values.

use thorndike_core::Schedule;
use thorndike_core::replay::{PrioritizedConfig, SamplerConfig};
use thorndike_nets::models::CnnConfig;
use thorndike_nets::{AdamConfig, ExtractorConfig, OptimConfig, RmsPropConfig};

use crate::config::{DqnConfig, ReplayConfig, TargetConfig};
use crate::head::{CategoricalConfig, HeadConfig};
use crate::loss::Loss;

impl DqnConfig {
    /// DQN on Atari: frames of 84x84, `env.frame_stack = 4`, `env.action_repeat = 4`, rewards clipped to their sign.
    ///
    /// # Reference
    /// Mnih et al., "Human-level control through deep reinforcement learning" (2015), extended data table 1. Deviations:
    /// as PyTorch, RMSProp adds its epsilon outside the root. The table counts the anneal of ε and the start of learning
    /// in frames, and the authors' code steps of the agent, as here; the target period in updates, as here, and the
    /// code in steps.
    pub fn nature() -> Self {
        Self {
            gamma: 0.99,
            // Learning rate 0.00025, (squared) gradient momentum 0.95, min squared gradient 0.01: the defaults.
            optimizer: OptimConfig::RmsProp(RmsPropConfig::default()),
            replay: ReplayConfig {
                capacity: 1_000_000,
                sampler: SamplerConfig::Uniform,
            },
            batch_size: 32,
            warmup_steps: 50_000,
            train_every_steps: 4,
            target: TargetConfig::EveryUpdates { updates: 10_000 },
            // The TD error is clipped to -1 .. 1.
            loss: Loss::Huber,
            epsilon: Schedule::linear(1.0, 0.1, 1_000_000),
            extractor: ExtractorConfig::Cnn(CnnConfig::nature()),
            ..Self::default()
        }
    }

    /// Rainbow on Atari, with the same environment as [`nature`](Self::nature).
    ///
    /// # Reference
    /// Hessel et al., "Rainbow: Combining Improvements in Deep Reinforcement Learning" (2018), table 1, in frames there
    /// and in steps of 4 frames here; β is annealed over the 200 million frames of a run. Deviations: none known.
    pub fn rainbow() -> Self {
        Self {
            optimizer: adam(6.25e-5),
            replay: ReplayConfig {
                capacity: 1_000_000,
                sampler: SamplerConfig::Prioritized(PrioritizedConfig {
                    alpha: 0.5,
                    beta: Schedule::linear(0.4, 1.0, 50_000_000),
                    ..PrioritizedConfig::default()
                }),
            },
            n_step: 3,
            // 80,000 frames.
            warmup_steps: 20_000,
            // 32,000 frames.
            target: TargetConfig::EverySteps { steps: 8_000 },
            double: true,
            dueling: true,
            head: HeadConfig::Categorical(CategoricalConfig {
                atoms: 51,
                v_min: -10.0,
                v_max: 10.0,
            }),
            head_units: 512,
            noisy_sigma: Some(0.5),
            epsilon: Schedule::constant(0.0),
            extractor: ExtractorConfig::Cnn(CnnConfig {
                hidden: Vec::new(),
                ..CnnConfig::nature()
            }),
            ..Self::nature()
        }
    }

    /// Rainbow for 100,000 steps on Atari.
    ///
    /// # Reference
    /// van Hasselt, Hessel and Aslanides, "When to use parametric models in reinforcement learning?" (2019), appendix E.
    /// Deviations: none known.
    pub fn rainbow_data_efficient() -> Self {
        Self {
            optimizer: adam(1e-4),
            replay: ReplayConfig {
                capacity: 100_000,
                sampler: SamplerConfig::Prioritized(PrioritizedConfig {
                    alpha: 0.5,
                    beta: Schedule::linear(0.4, 1.0, 100_000),
                    ..PrioritizedConfig::default()
                }),
            },
            n_step: 20,
            warmup_steps: 1_600,
            train_every_steps: 1,
            target: TargetConfig::EveryUpdates { updates: 2_000 },
            head_units: 256,
            extractor: ExtractorConfig::Cnn(CnnConfig {
                layers: vec![(32, 5, 5).into(), (64, 5, 5).into()],
                hidden: Vec::new(),
                ..CnnConfig::default()
            }),
            ..Self::rainbow()
        }
    }

    /// DQN on MinAtar.
    ///
    /// # Reference
    /// Young and Tian, "MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible Reinforcement Learning
    /// Experiments" (2019), section 4: [`nature`](Self::nature) with smaller numbers. Deviations: none known.
    pub fn minatar() -> Self {
        Self {
            replay: ReplayConfig {
                capacity: 100_000,
                sampler: SamplerConfig::Uniform,
            },
            warmup_steps: 5_000,
            train_every_steps: 1,
            target: TargetConfig::EverySteps { steps: 1_000 },
            epsilon: Schedule::linear(1.0, 0.1, 100_000),
            extractor: ExtractorConfig::Cnn(CnnConfig::minatar()),
            ..Self::nature()
        }
    }
}

/// Adam with Rainbow's epsilon.
fn adam(learning_rate: f64) -> OptimConfig {
    OptimConfig::Adam(AdamConfig {
        learning_rate: Schedule::constant(learning_rate),
        epsilon: 1.5e-4,
        ..AdamConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dqn;
    use thorndike_core::{BuildContext, Device, EnvSpec, Kind, Seeds, Space};

    #[test]
    fn every_preset_is_accepted_and_has_its_network() {
        for (mut config, shape, weights) in [
            // The paper's 1,684,128 weights and a head of 18 actions.
            (DqnConfig::nature(), [4, 84, 84], 1_684_128 + 18 * 513),
            // Convolutions (77,984); two streams of 512 behind 3,136 features and 51 or 18 * 51 outputs, all twice.
            (
                DqnConfig::rainbow(),
                [4, 84, 84],
                77_984 + 2 * (2 * 512 * 3137 + 513 * 51 * 19),
            ),
            // 32 * 101 + 64 * 801; 576 features.
            (
                DqnConfig::rainbow_data_efficient(),
                [4, 84, 84],
                54_496 + 2 * (2 * 256 * 577 + 257 * 51 * 19),
            ),
            (DqnConfig::minatar(), [4, 10, 10], 131_792 + 18 * 129),
        ] {
            config.replay.capacity = 1000;
            let spec = EnvSpec::new(
                Space::Box {
                    shape: shape.to_vec(),
                    low: 0.0,
                    high: 255.0,
                },
                Kind::U8,
                Space::Discrete(18),
            );
            let ctx = BuildContext {
                spec: &spec,
                seeds: Seeds::new(1),
                device: Device::Cpu,
            };
            let agent = Dqn::new(&config, &ctx).unwrap();
            let described = thorndike_core::Agent::describe(&agent);
            assert!(
                described.contains(&format!("\n{weights} parameters")),
                "{described}"
            );
        }
    }
}
