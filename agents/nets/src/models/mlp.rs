//! The multilayer perceptron: `h_k = σ(norm(W_k h_{k-1} + b_k))`, `[batch, inputs] -> [batch, hidden.last()]`.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result};

use crate::layers::{Norm, NormLayer};
use crate::{Dropout, FeatureExtractor, LayerShape, Linear, Scope};

/// Settings of [`Mlp`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// Units of each layer. Default `[64, 64]` (Raffin et al., "Stable-Baselines3", 2021, DQN's MLP policy).
    pub hidden: Vec<usize>,
    /// Nonlinearity after every layer. Default ReLU (same source).
    pub activation: Activation,
    /// Normalisation before every nonlinearity. Default none.
    pub norm: Norm,
    /// Share of the numbers behind each layer that are [dropped](crate::Dropout) while learning. Default 0.
    pub dropout: f64,
}

/// An elementwise nonlinearity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(0, x)`.
    #[default]
    Relu,
    /// `tanh(x)`.
    Tanh,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self {
            hidden: vec![64, 64],
            activation: Activation::Relu,
            norm: Norm::None,
            dropout: 0.0,
        }
    }
}

impl MlpConfig {
    /// Weights on `inputs` numbers, and units of the last layer.
    pub(crate) fn size(&self, inputs: u64) -> (u64, u64) {
        let norm = self.norm.weights() as u64;
        let layers = self.hidden.iter().map(|&units| units as u64);
        layers.fold((0, inputs), |(sum, inputs), units| {
            let layer = inputs.saturating_add(1 + norm).saturating_mul(units);
            (layer.saturating_add(sum), units)
        })
    }

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        if self.hidden.is_empty() || self.hidden.iter().any(|&n| n == 0 || n > MAX_UNITS) {
            let what = format!(
                "{:?} is out of range; give one or more layers of 1 to {MAX_UNITS} units",
                self.hidden
            );
            return Err(Error::config("hidden", what));
        }
        check_rate("dropout", self.dropout)
    }
}

/// Refuses a rate of [`Dropout`] that leaves nothing.
pub(super) fn check_rate(key: &str, rate: f64) -> Result<()> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    let what = format!("{rate} is out of range; give 0 or more, but less than 1");
    Err(Error::config(key, what))
}

/// A layer that drops numbers, if `rate` is above 0; else nothing is drawn in `scope`.
pub(super) fn dropout(scope: &mut Scope<'_>, rate: f64) -> Option<Dropout> {
    (rate > 0.0).then(|| Dropout::new(scope, rate))
}

/// More units than any published fully connected layer; a mistyped number is caught before it is allocated.
pub(super) const MAX_UNITS: usize = 65_536;

/// Fully connected layers, a nonlinearity after each.
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<(Linear, Option<NormLayer>, Option<Dropout>)>,
    activation: Activation,
    width: i64,
}

impl Mlp {
    /// Declares the layers `0`, `1`, … in `scope`, for rows of `inputs` numbers.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range.
    pub fn new(config: &MlpConfig, scope: &mut Scope<'_>, inputs: i64) -> Result<Self> {
        config.check()?;
        let mut width = inputs;
        let layers = config.hidden.iter().enumerate().map(|(i, &units)| {
            let scope = &mut scope.sub(&i.to_string());
            let layer = Linear::new(scope, width, units as i64);
            width = units as i64;
            let norm = NormLayer::new(config.norm, scope, width);
            (layer, norm, dropout(scope, config.dropout))
        });
        Ok(Self {
            layers: layers.collect(),
            activation: config.activation,
            width,
        })
    }
}

impl FeatureExtractor for Mlp {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let flat = match obs.dim() {
            2 => obs.shallow_clone(),
            _ => obs.flatten(1, -1),
        };
        self.layers.iter().fold(flat, |x, (layer, norm, dropout)| {
            let mut x = layer.forward(&x);
            if let Some(norm) = norm {
                x = norm.forward(&x, train);
            }
            // In place: neither backward pass needs the value before the nonlinearity.
            x = match self.activation {
                Activation::Relu => x.relu_(),
                Activation::Tanh => x.tanh_(),
            };
            match dropout {
                Some(dropout) => dropout.forward(&x, train),
                None => x,
            }
        })
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn chain(&self) -> Option<Vec<LayerShape>> {
        let shape = |(layer, norm, dropout): &(Linear, Option<NormLayer>, Option<Dropout>)| {
            let [outputs, inputs] = [0, 1].map(|i| layer.weight.size()[i] as usize);
            let is_chained = dropout.is_none() && !matches!(norm, Some(NormLayer::Batch(_)));
            is_chained.then(|| LayerShape {
                norm: norm.is_some(),
                ..LayerShape::linear(inputs, outputs, true)
            })
        };
        if self.activation != Activation::Relu {
            return None;
        }
        self.layers.iter().map(shape).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use tch::{Device, Kind};
    use thorndike_core::Seeds;

    fn built(config: &MlpConfig) -> Result<(ParamStore, Mlp)> {
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| Mlp::new(config, scope, 2))
    }

    fn config(hidden: &[usize], activation: Activation) -> MlpConfig {
        MlpConfig {
            hidden: hidden.to_vec(),
            activation,
            ..MlpConfig::default()
        }
    }

    #[test]
    fn forward_equals_a_hand_computed_example() {
        let (mut store, mlp) = built(&config(&[2, 1], Activation::Relu)).unwrap();
        // Layer 0: W = [[1, 2], [3, -4]], b = [0.5, 1]; layer 1: W = [[2, 10]], b = [-1].
        let weights = [1.0_f32, 2.0, 3.0, -4.0, 0.5, 1.0, 2.0, 10.0, -1.0];
        store
            .flat_and_gradient_mut()
            .0
            .copy_(&Tensor::from_slice(&weights));
        let obs = Tensor::from_slice(&[1_f32, 1.0, -1.0, -1.0]).view([2, 2]);
        // Rows: relu(3.5, 0) -> 2 * 3.5 - 1 = 6; relu(-2.5, 2) -> 20 - 1 = 19.
        assert_eq!(
            mlp.features(&obs, true),
            Tensor::from_slice(&[6_f32, 19.0]).view([2, 1])
        );
    }

    #[test]
    fn only_relu_layers_are_told() {
        let (_, relu) = built(&config(&[3, 5], Activation::Relu)).unwrap();
        let layers = [
            LayerShape::linear(2, 3, true),
            LayerShape::linear(3, 5, true),
        ];
        assert_eq!(relu.chain(), Some(layers.to_vec()));
        let (_, tanh) = built(&config(&[3, 5], Activation::Tanh)).unwrap();
        assert_eq!(tanh.chain(), None);
    }

    #[test]
    fn what_differs_between_learning_and_predicting_is_no_chain() {
        let dropped = MlpConfig {
            dropout: 0.5,
            ..config(&[8], Activation::Relu)
        };
        let batch = MlpConfig {
            norm: Norm::Batch,
            ..config(&[8], Activation::Relu)
        };
        for config in [dropped, batch] {
            let (store, mlp) = built(&config).unwrap();
            assert_eq!(mlp.chain(), None);
            assert_eq!(store.num_parameters() as u64, config.size(2).0);
            let obs = Tensor::from_slice(&[1_f32, 2.0, -1.0, 0.5]).view([2, 2]);
            store.draw_for(1);
            assert_ne!(mlp.features(&obs, true), mlp.features(&obs, false));
        }
        let all = MlpConfig {
            dropout: 1.0,
            ..config(&[8], Activation::Relu)
        };
        let error = built(&all).unwrap_err().to_string();
        assert!(error.starts_with("dropout: 1 is out of range"), "{error}");
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for activation in [Activation::Relu, Activation::Tanh] {
            let (mut store, mlp) = built(&config(&[4, 3], activation)).unwrap();
            store.enable_gradients();
            let obs = Tensor::from_slice(&[0.3_f32, -0.7, 1.1, 0.4]).view([2, 2]);
            let loss = || mlp.features(&obs, true).square().sum(Kind::Float);
            loss().backward();
            let gradient = Vec::<f32>::try_from(store.gradient()).unwrap();
            for (i, expected) in gradient.into_iter().enumerate() {
                let mut at = |shift: f64| {
                    let mut weight = store.flat_and_gradient_mut().0.narrow(0, i as i64, 1);
                    let _ = weight.g_add_scalar_(shift);
                    loss().double_value(&[])
                };
                let step = 1e-2;
                let (up, down) = (at(step), at(-2.0 * step));
                at(step);
                // f32 rounding over the step: about 1e-7 / 2e-2; curvature adds the rest.
                let difference = (up - down) / (2.0 * step);
                assert!(
                    (difference - f64::from(expected)).abs() < 1e-3,
                    "weight {i}: {difference} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_normalised_layer_is_the_hand_computed_one() {
        let normalised = MlpConfig {
            norm: Norm::Layer,
            ..config(&[2], Activation::Relu)
        };
        let (mut store, mlp) = built(&normalised).unwrap();
        assert_eq!(store.num_parameters() as u64, normalised.size(2).0);
        // W = [[1, 0], [0, 1]], b = 0, gain = [2, 3], shift = [0.5, 1].
        let weights = [1.0_f32, 0.0, 0.0, 1.0, 0.0, 0.0, 2.0, 3.0, 0.5, 1.0];
        store
            .flat_and_gradient_mut()
            .0
            .copy_(&Tensor::from_slice(&weights));
        let obs = Tensor::from_slice(&[5_f32, 1.0]).view([1, 2]);
        // Mean 3, deviation 2: normalised to 1 and -1 but for the 1e-5; relu(2.5), relu(-2).
        let features = mlp.features(&obs, true);
        assert!((features.double_value(&[0, 0]) - 2.5).abs() < 1e-5);
        assert_eq!(features.double_value(&[0, 1]), 0.0);
    }

    #[test]
    fn layers_without_units_are_refused() {
        for hidden in [&[] as &[usize], &[64, 0], &[1 << 20]] {
            let error = built(&config(hidden, Activation::Relu))
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("hidden: ") && error.contains("1 to 65536 units"),
                "{error}"
            );
        }
    }
}
