//! A feature extractor of one's own under a DQN:
//! `cargo run --example own_extractor -- train experiments/configs/cart-pole-dqn.toml agent.id=dqn-waves`.
//!
//! It maps an observation to sines and cosines of random frequencies (Rahimi and Recht, "Random features for
//! large-scale kernel machines", 2007), so that the head alone learns.

use std::process::ExitCode;

use thorndike::prelude::*;
use thorndike::thorndike_dqn::{Dqn, DqnConfig};
use thorndike::thorndike_nets::tch::{Kind, Tensor};
use thorndike::thorndike_nets::{FeatureExtractor, Scope};

#[derive(Debug)]
struct Waves {
    /// `[observation, waves]`.
    frequencies: Tensor,
}

impl Waves {
    const WAVES: usize = 64;

    fn build(scope: &mut Scope<'_>, space: &Space) -> Result<Box<dyn FeatureExtractor>> {
        let mut rng = Seeds::new(7).stream("waves", 0);
        let drawn: Vec<f32> = (0..space.len() * Self::WAVES)
            .map(|_| 2.0 * rng.random::<f32>() - 1.0)
            .collect();
        let shape = [space.len() as i64, Self::WAVES as i64];
        // A buffer is saved with the weights and is not trained.
        let frequencies = scope.buffer("frequencies", &shape, &drawn);
        Ok(Box::new(Self { frequencies }))
    }
}

impl FeatureExtractor for Waves {
    fn features(&self, obs: &Tensor, _train: bool) -> Tensor {
        let phases = obs.to_kind(Kind::Float).matmul(&self.frequencies); // [B, D] -> [B, W]
        Tensor::cat(&[phases.sin(), phases.cos()], 1) // [B, 2W]
    }

    fn width(&self) -> i64 {
        2 * Self::WAVES as i64
    }
}

fn main() -> ExitCode {
    let agent = |config: &DqnConfig, context: &BuildContext<'_>| {
        Dqn::with_extractor(config, context, Waves::build)
    };
    thorndike::main(thorndike::standard().agent("dqn-waves", agent))
}
