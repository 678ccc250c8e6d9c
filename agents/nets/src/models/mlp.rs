//! The multilayer perceptron: `h_k = σ(W_k h_{k-1} + b_k)`, `[batch, inputs] -> [batch, hidden.last()]`.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result};

use crate::{FeatureExtractor, Linear, Scope};

/// Settings of [`Mlp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// Units of each layer. Default `[64, 64]` (Raffin et al., "Stable-Baselines3", 2021, DQN's MLP policy).
    pub hidden: Vec<usize>,
    /// Nonlinearity after every layer. Default ReLU (same source).
    pub activation: Activation,
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
        }
    }
}

impl MlpConfig {
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
        Ok(())
    }
}

/// More units than any published fully connected layer; a mistyped number is caught before it is allocated.
const MAX_UNITS: usize = 65_536;

/// Fully connected layers, a nonlinearity after each.
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
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
            let layer = Linear::new(&mut scope.sub(&i.to_string()), width, units as i64);
            width = units as i64;
            layer
        });
        Ok(Self {
            layers: layers.collect(),
            activation: config.activation,
            width,
        })
    }
}

impl FeatureExtractor for Mlp {
    fn features(&self, obs: &Tensor, _train: bool) -> Tensor {
        let mut layers = self.layers.iter();
        let first = layers.next().expect("checked: at least one layer");
        let activate = |mut x: Tensor| match self.activation {
            // In place: neither backward pass needs the value before the nonlinearity.
            Activation::Relu => x.relu_(),
            Activation::Tanh => x.tanh_(),
        };
        let x = match obs.dim() {
            2 => first.forward(obs),
            _ => first.forward(&obs.flatten(1, -1)),
        };
        layers.fold(activate(x), |x, layer| activate(layer.forward(&x)))
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn relu_layers(&self) -> Option<Vec<usize>> {
        let units = |n: i64| n as usize;
        let inputs = self.layers[0].weight.size()[1];
        let outputs = self
            .layers
            .iter()
            .map(|layer| units(layer.weight.size()[0]));
        (self.activation == Activation::Relu)
            .then(|| std::iter::once(units(inputs)).chain(outputs).collect())
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
        assert_eq!(relu.relu_layers(), Some(vec![2, 3, 5]));
        let (_, tanh) = built(&config(&[3, 5], Activation::Tanh)).unwrap();
        assert_eq!(tanh.relu_layers(), None);
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
