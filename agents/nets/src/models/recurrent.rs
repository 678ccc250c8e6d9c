//! Recurrent networks of agents: `[batch, time, inputs] -> [batch, time, width]`, with a state that is carried on.
//!
//! Dense layers on every observation, then one recurrent layer, then dense layers on its output. What one step
//! computes is in [`Cell`](super::Cell).

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result};

use super::cell::{Packing, RecurrentLayer, dense, dense_size, no_states, relu_layers};
use super::mlp::MAX_UNITS;
use super::{Activation, Cell};
use crate::{FeatureExtractor, Linear, Scope};

/// Settings of [`Recurrent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecurrentConfig {
    /// What one step computes. Default GRU.
    pub cell: Cell,
    /// Units of the recurrent layer. Default 64; Hausknecht and Stone and Kapturowski et al. have 512 for Atari.
    pub units: usize,
    /// Units of the layers with ReLU before the recurrence. Default none.
    pub encoder: Vec<usize>,
    /// Units of the layers with ReLU behind the recurrence. Default none.
    pub hidden: Vec<usize>,
}

impl Default for RecurrentConfig {
    fn default() -> Self {
        Self {
            cell: Cell::default(),
            units: 64,
            encoder: Vec::new(),
            hidden: Vec::new(),
        }
    }
}

impl RecurrentConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        thorndike_core::check_range("units", self.units, 1..=MAX_UNITS)?;
        for (key, layers) in [("encoder", &self.encoder), ("hidden", &self.hidden)] {
            if layers.iter().any(|&n| n == 0 || n > MAX_UNITS) {
                let what =
                    format!("{layers:?} is out of range; give layers of 1 to {MAX_UNITS} units");
                return Err(Error::config(key, what));
            }
        }
        Ok(())
    }

    /// Weights for observations of `inputs` numbers, and the features: known before anything is allocated.
    pub fn size(&self, inputs: u64) -> (u64, u64) {
        let (weights, inputs) = dense_size((0, inputs), &self.encoder);
        let units = self.units as u64;
        let weights = self.cell.weights(inputs, units).saturating_add(weights);
        dense_size((weights, units), &self.hidden)
    }

    /// Numbers in a state.
    pub fn state_len(&self) -> usize {
        self.units * self.cell.states()
    }
}

/// Dense layers, a recurrent layer, dense layers; ReLU after each dense one.
///
/// # Reference
/// Cells: see [`Cell`]. Weights, gate order and initial values (all uniform in `±1/sqrt(units)`) as PyTorch's
/// `torch.nn.RNN`, `GRU` and `LSTM` of one layer, so that their weights can be exchanged; a whole sequence is one
/// call of libtorch. Deviations: the GRU's reset gate acts behind the product with `W_hh`, as in PyTorch and
/// cuDNN, where the paper's acts before it.
#[derive(Debug)]
pub struct Recurrent {
    encoder: Vec<Linear>,
    layer: RecurrentLayer,
    hidden: Vec<Linear>,
    width: i64,
}

impl Recurrent {
    /// Declares `encoder.0`, …, `cell` and `hidden.0`, … in `scope`, for observations of `inputs` numbers.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range.
    pub fn new(config: &RecurrentConfig, scope: &mut Scope<'_>, inputs: i64) -> Result<Self> {
        config.check()?;
        let mut width = inputs;
        let encoder = dense("encoder", &config.encoder, scope, &mut width);
        let layer = RecurrentLayer::new(
            &mut scope.sub("cell"),
            &[String::new()],
            (config.cell, Activation::Tanh),
            [width, config.units as i64],
        );
        width = layer.width();
        let hidden = dense("hidden", &config.hidden, scope, &mut width);
        Ok(Self {
            encoder,
            layer,
            hidden,
            width,
        })
    }

    /// Numbers in a state; the state at the start of a sequence is all zeros.
    pub fn state_len(&self) -> i64 {
        self.layer.state_len()
    }

    /// Number of features.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// `x` `[batch, time, inputs]` from `states` `[batch, state_len]` -> features `[batch, time, width]` and the
    /// states behind the last step. `train` is for passes that a gradient goes back through.
    pub fn run(&self, x: &Tensor, states: &Tensor, train: bool) -> (Tensor, Tensor) {
        let x = relu_layers(&self.encoder, x.shallow_clone());
        let (outputs, states) = self.layer.run(&x, states, train);
        (relu_layers(&self.hidden, outputs), states)
    }

    /// The states behind the first `lens[i]` steps of row `i` of `x` `[batch, time, inputs]`, from `states`
    /// `[batch, state_len]`. A row without steps keeps its state.
    ///
    /// # Panics
    /// If there are not as many lengths as rows, or a length is above the time.
    pub fn states_after(&self, x: &Tensor, lens: &[usize], states: &Tensor) -> Tensor {
        let size = x.size();
        assert_eq!(size[0] as usize, lens.len(), "one length a row");
        let packing = Packing::new(lens, size[1], x.device());
        let packed = relu_layers(&self.encoder, packing.pack(x));
        self.layer.run_packed(&packed, &packing, states, false).1
    }
}

/// A [`Recurrent`] network over the frames of a stack, from a state of zeros: its features of the newest frame,
/// `[batch, ..stacked observation] -> [batch, width]`.
///
/// # Reference
/// Hausknecht and Stone, "Deep Recurrent Q-Learning for Partially Observable MDPs" (2015). Deviations: what is
/// remembered goes back as far as the frame stack, in acting as in learning, so that any replay will do.
#[derive(Debug)]
pub struct RecurrentStack {
    network: Recurrent,
    frames: i64,
}

impl RecurrentStack {
    /// Declares the network's variables in `scope`, for stacks of `frames` frames with `inputs` numbers in all.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or there is one frame and so nothing to remember.
    pub fn new(
        config: &RecurrentConfig,
        scope: &mut Scope<'_>,
        inputs: i64,
        frames: usize,
    ) -> Result<Self> {
        if frames < 2 {
            let what = "kind \"recurrent\" reads the frames of a stack, and env.frame_stack is 1; give \
                        env.frame_stack of 2 or more, or the agent r2d2, which carries a memory along";
            return Err(Error::config("", what));
        }
        let frames = frames as i64;
        let network = Recurrent::new(config, scope, inputs / frames)?;
        Ok(Self { network, frames })
    }
}

impl FeatureExtractor for RecurrentStack {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let network = &self.network;
        let batch = obs.size()[0];
        let x = obs.reshape([batch, self.frames, -1]);
        let x = relu_layers(&network.encoder, x);
        let states = no_states(batch, network.state_len(), obs.device());
        let (_, states) = network.layer.run(&x, &states, train);
        let newest = states.narrow(1, 0, network.layer.units);
        relu_layers(&network.hidden, newest)
    }

    fn width(&self) -> i64 {
        self.network.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use crate::models::cell::by_hand::{affine, assert_close, doubles, numbers, step};
    use crate::params::to_vec;
    use tch::{Device, Kind};
    use thorndike_core::Seeds;

    const CELLS: [Cell; 3] = [Cell::Rnn, Cell::Gru, Cell::Lstm];

    fn config(cell: Cell) -> RecurrentConfig {
        RecurrentConfig {
            cell,
            units: 3,
            encoder: vec![4],
            hidden: vec![5],
        }
    }

    /// For observations of two numbers.
    fn built(config: &RecurrentConfig) -> (ParamStore, Recurrent) {
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| Recurrent::new(config, scope, 2)).unwrap()
    }

    fn relu_layer(layers: &[Linear], x: &[f64]) -> Vec<f64> {
        let mut y = affine(&layers[0].weight, &layers[0].bias, x);
        y.iter_mut().for_each(|y| *y = y.max(0.0));
        y
    }

    /// One step of the papers' formulas on one row: features, and the state after it.
    fn step_by_hand(net: &Recurrent, x: &[f64], state: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let x = relu_layer(&net.encoder, x);
        let cell = (net.layer.cell, Activation::Tanh);
        let state = step(cell, &net.layer.weights, &x, state);
        (relu_layer(&net.hidden, &state[..3]), state)
    }

    #[test]
    fn every_cell_equals_its_formula_step_by_step() {
        for cell in CELLS {
            let (_, net) = built(&config(cell));
            let x = numbers(&[2, 4, 2], 7);
            let start = numbers(&[2, net.state_len()], 8);
            let (features, states) = net.run(&x, &start, true);
            assert_eq!(features.size(), [2, 4, 5]);
            for row in 0..2 {
                let mut state = doubles(&start.get(row));
                for t in 0..4 {
                    let by_hand = step_by_hand(&net, &doubles(&x.get(row).get(t)), &state);
                    state = by_hand.1;
                    assert_close(&features.get(row).get(t), &by_hand.0);
                }
                assert_close(&states.get(row), &state);
            }
        }
    }

    #[test]
    fn one_call_equals_a_call_for_each_step() {
        for cell in CELLS {
            let (_, net) = built(&config(cell));
            let x = numbers(&[2, 4, 2], 9);
            let mut states = Tensor::zeros([2, net.state_len()], (Kind::Float, Device::Cpu));
            let (whole, end) = net.run(&x, &states, false);
            for t in 0..4 {
                let (features, next) = net.run(&x.narrow(1, t, 1), &states, false);
                states = next;
                assert_close(&features, &doubles(&whole.narrow(1, t, 1)));
            }
            assert_close(&states, &doubles(&end));
        }
    }

    #[test]
    fn states_after_some_steps_are_those_of_each_row_alone() {
        for cell in CELLS {
            let (_, net) = built(&config(cell));
            let x = numbers(&[5, 4, 2], 3);
            let start = numbers(&[5, net.state_len()], 4);
            for lens in [[2, 0, 4, 1, 2], [0; 5], [4; 5], [0, 0, 0, 0, 3]] {
                let states = net.states_after(&x, &lens, &start);
                for (row, &len) in lens.iter().enumerate() {
                    let row = row as i64;
                    let mut expected = start.narrow(0, row, 1);
                    if len > 0 {
                        let x = x.narrow(0, row, 1).narrow(1, 0, len as i64);
                        expected = net.run(&x, &expected, false).1;
                    }
                    assert_close(&states.get(row), &doubles(&expected));
                }
            }
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for cell in CELLS {
            let rng = Seeds::new(2).stream("agent/init", 0);
            let (mut store, stack) = ParamStore::build(Device::Cpu, rng, |scope| {
                RecurrentStack::new(&config(cell), scope, 6, 3)
            })
            .unwrap();
            store.enable_gradients();
            let obs = numbers(&[2, 3, 2], 5);
            let loss = || stack.features(&obs, true).square().sum(Kind::Double);
            loss().backward();
            let gradient = to_vec(store.gradient());
            assert!(gradient.iter().filter(|g| g.abs() > 1e-4).count() > gradient.len() / 3);
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
                    "{cell:?}, weight {i}: {difference} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_stack_is_read_oldest_frame_first() {
        let rng = Seeds::new(2).stream("agent/init", 0);
        let (_, stack) = ParamStore::build(Device::Cpu, rng, |scope| {
            RecurrentStack::new(&config(Cell::Lstm), scope, 6, 3)
        })
        .unwrap();
        let obs = numbers(&[1, 3, 2], 6);
        let features = stack.features(&obs, false);
        assert_eq!(features.size(), [1, stack.width()]);
        let mut state = vec![0.0; 6];
        let mut expected = Vec::new();
        for t in 0..3 {
            let x = doubles(&obs.get(0).get(t));
            (expected, state) = step_by_hand(&stack.network, &x, &state);
        }
        assert_close(&features, &expected);
        assert_eq!(
            stack.features(&obs.view([1, 6]), false),
            features,
            "one-hot frames lie in one row"
        );
    }

    #[test]
    fn sizes_are_known_before_the_network_is_built() {
        for cell in CELLS {
            for (encoder, hidden) in [(vec![], vec![]), (vec![4, 7], vec![5])] {
                let config = RecurrentConfig {
                    encoder,
                    hidden,
                    ..config(cell)
                };
                let (store, net) = built(&config);
                let size = (store.num_parameters() as u64, net.width() as u64);
                assert_eq!(config.size(2), size);
                assert_eq!(config.state_len() as i64, net.state_len());
            }
        }
        let (store, _) = built(&config(Cell::Gru));
        let names: Vec<_> = store.shapes().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "encoder.0.weight",
                "encoder.0.bias",
                "cell.weight_ih",
                "cell.weight_hh",
                "cell.bias_ih",
                "cell.bias_hh",
                "hidden.0.weight",
                "hidden.0.bias"
            ]
        );
    }

    #[test]
    fn one_frame_and_sizes_out_of_range_are_refused() {
        let refused = |config: RecurrentConfig, frames| {
            let rng = Seeds::new(1).stream("agent/init", 0);
            let built = ParamStore::build(Device::Cpu, rng, |scope| {
                RecurrentStack::new(&config, scope, 6, frames)
            });
            built.unwrap_err().under("extractor").to_string()
        };
        assert!(
            refused(config(Cell::Gru), 1)
                .starts_with("extractor: kind \"recurrent\" reads the frames of a stack")
        );
        for (config, message) in [
            (
                RecurrentConfig {
                    units: 0,
                    ..config(Cell::Gru)
                },
                "extractor.units: 0 is out of range; give 1 to 65536",
            ),
            (
                RecurrentConfig {
                    encoder: vec![0],
                    ..config(Cell::Gru)
                },
                "extractor.encoder: [0] is out of range; give layers of 1 to 65536 units",
            ),
            (
                RecurrentConfig {
                    hidden: vec![1 << 20],
                    ..config(Cell::Gru)
                },
                "extractor.hidden: [1048576] is out of range; give layers of 1 to 65536 units",
            ),
        ] {
            assert_eq!(refused(config, 3), message);
        }
    }
}
