//! A running mean of all weights, which predicts better than the weights that learn.

use std::path::Path;

use tch::Tensor;
use thorndike_core::Result;

use crate::ParamStore;

/// Exponential moving average of the weights and buffers of a store: after each update
/// `average += (1 - d) (weights - average)` with `d = min(decay, (1 + n) / (10 + n))` after `n` updates, so that the first
/// weights are soon forgotten.
///
/// # Reference
/// Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992), for the idea; the exponential form
/// and its start are those of TensorFlow's `ExponentialMovingAverage`. Deviations: running statistics of batch norms are
/// averaged too.
#[derive(Debug)]
pub(crate) struct Average {
    decay: f64,
    /// Weights and buffers, as [`ParamStore::state`] has them.
    values: Vec<Tensor>,
}

impl Average {
    pub(crate) fn new(decay: f64, params: &ParamStore) -> Self {
        Self {
            decay,
            values: params.state().map(|tensor| tensor.copy()).collect(),
        }
    }

    /// Takes in the weights of `params` after its update number `updates`.
    pub(crate) fn update(&mut self, params: &ParamStore, updates: u64) {
        let n = updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        for (average, value) in self.values.iter_mut().zip(params.state()) {
            let _ = average.lerp_(&value, 1.0 - decay);
        }
    }

    /// Sets the average to the weights of `params`.
    pub(crate) fn copy_from(&mut self, params: &ParamStore) {
        for (average, value) in self.values.iter_mut().zip(params.state()) {
            average.copy_(&value);
        }
    }

    /// Exchanges the average and the weights of `params`; a second call puts them back.
    pub(crate) fn swap(&mut self, params: &ParamStore) {
        for (average, mut value) in self.values.iter_mut().zip(params.state()) {
            let kept = value.copy();
            value.copy_(average);
            *average = kept;
        }
        params.changed();
    }

    /// Writes the average to a file, as [`ParamStore::save`] does the weights.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn save(&self, params: &ParamStore, path: &Path) -> Result<()> {
        params.save_state(path, &self.values)
    }

    /// Bytes of the copy.
    pub(crate) fn bytes(&self) -> u64 {
        4 * self.values.iter().map(Tensor::numel).sum::<usize>() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::BatchNorm;
    use crate::params::to_vec;
    use tch::Device;
    use thorndike_core::Seeds;

    #[test]
    fn the_mean_follows_weights_and_buffers_and_comes_back_from_an_exchange() {
        let rng = Seeds::new(1).stream("agent/init", 0);
        let build = ParamStore::build(Device::Cpu, rng, |scope| Ok(BatchNorm::new(scope, 1)));
        let (mut params, norm) = build.unwrap();
        let mut average = Average::new(0.5, &params);
        // Weight 1 and bias 0 become 5 and 8, the running mean 0 becomes 4.
        let (flat, _) = params.flat_and_gradient_mut();
        flat.copy_(&Tensor::from_slice(&[5.0_f32, 8.0]));
        norm.running_mean
            .shallow_clone()
            .copy_(&Tensor::from_slice(&[4.0_f32]));
        // 11 of 20 updates were enough for a decay of 0.5; after one it is 2 / 11.
        average.update(&params, 1);
        average.swap(&params);
        let near = |tensor: &Tensor, expected: &[f32]| {
            for (found, expected) in to_vec(tensor).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        };
        near(params.flat(), &[1.0 + 4.0 * 9.0 / 11.0, 8.0 * 9.0 / 11.0]);
        near(&norm.running_mean, &[4.0 * 9.0 / 11.0]);
        average.swap(&params);
        assert_eq!(to_vec(params.flat()), [5.0, 8.0]);
        average.update(&params, 100);
        average.swap(&params);
        let [first, second] = [1.0 + 4.0 * 9.0 / 11.0, 8.0 * 9.0 / 11.0];
        near(params.flat(), &[(first + 5.0) / 2.0, (second + 8.0) / 2.0]);
    }
}
