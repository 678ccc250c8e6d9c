//! Recurrent networks: `[batch, time, inputs] -> [batch, time, width]`, with a state that is carried on.
//!
//! Dense layers on every observation, then one recurrent layer, then dense layers on its output:
//!
//! | cell | one step, with `a = W_ih x + b_ih` and `u = W_hh h + b_hh` | state |
//! |---|---|---|
//! | `rnn` | `h' = tanh(a + u)` | `h` |
//! | `gru` | `r, z = s(a_rz + u_rz)`, `n = tanh(a_n + r u_n)`, `h' = (1 - z) n + z h` | `h` |
//! | `lstm` | `i, f, o = s(a_ifo + u_ifo)`, `g = tanh(a_g + u_g)`, `c' = f c + i g`, `h' = o tanh(c')` | `h`, then `c` |
//!
//! where `s` is the logistic function and the rows of `W` are those of the gates in the order `r, z, n` and
//! `i, f, g, o`, as PyTorch's.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Error, Result};

use super::mlp::MAX_UNITS;
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

/// What one step of a recurrent layer computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// The plain one with tanh (Elman, "Finding Structure in Time", 1990).
    Rnn,
    /// Gated recurrent unit (Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
    /// Machine Translation", 2014).
    #[default]
    Gru,
    /// Long short-term memory with forget gate (Gers, Schmidhuber and Cummins, "Learning to Forget", 2000).
    Lstm,
}

impl Cell {
    /// Blocks of `units` rows in the weights.
    fn gates(self) -> i64 {
        match self {
            Self::Rnn => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
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
        let dense = |(sum, inputs): (u64, u64), &units: &usize| {
            let layer = inputs.saturating_add(1).saturating_mul(units as u64);
            (layer.saturating_add(sum), units as u64)
        };
        let (weights, inputs) = self.encoder.iter().fold((0, inputs), dense);
        let units = self.units as u64;
        let row = inputs.saturating_add(units).saturating_add(2);
        let rows = units.saturating_mul(self.cell.gates() as u64);
        let weights = rows.saturating_mul(row).saturating_add(weights);
        self.hidden.iter().fold((weights, units), dense)
    }

    /// Numbers in a state.
    pub fn state_len(&self) -> usize {
        self.units * if self.cell == Cell::Lstm { 2 } else { 1 }
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
    cell: Cell,
    /// `W_ih` `[gates * units, inputs]`, `W_hh` `[gates * units, units]`, `b_ih` and `b_hh` `[gates * units]`.
    weights: [Tensor; 4],
    units: i64,
    state_len: i64,
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
        let units = config.units as i64;
        let rows = config.cell.gates() * units;
        let bound = 1.0 / (units as f32).sqrt();
        let mut cell = scope.sub("cell");
        let weights = [
            cell.uniform("weight_ih", &[rows, width], bound),
            cell.uniform("weight_hh", &[rows, units], bound),
            cell.uniform("bias_ih", &[rows], bound),
            cell.uniform("bias_hh", &[rows], bound),
        ];
        width = units;
        let hidden = dense("hidden", &config.hidden, scope, &mut width);
        Ok(Self {
            encoder,
            cell: config.cell,
            weights,
            units,
            state_len: config.state_len() as i64,
            hidden,
            width,
        })
    }

    /// Numbers in a state; the state at the start of a sequence is all zeros.
    pub fn state_len(&self) -> i64 {
        self.state_len
    }

    /// Number of features.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// `x` `[batch, time, inputs]` from `states` `[batch, state_len]` -> features `[batch, time, width]` and the
    /// states behind the last step. `train` is for passes that a gradient goes back through.
    pub fn run(&self, x: &Tensor, states: &Tensor, train: bool) -> (Tensor, Tensor) {
        let x = relu_layers(&self.encoder, x.shallow_clone());
        let (outputs, states) = self.unroll(&x, states, train);
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
        // Packed sequences: the longest first, and the rows of one time step together.
        let mut order: Vec<i64> = (0..size[0]).filter(|&i| lens[i as usize] > 0).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(lens[i as usize]));
        let Some(&first) = order.first() else {
            return states.shallow_clone();
        };
        let longest = lens[first as usize];
        assert!(longest as i64 <= size[1], "{longest} steps of {}", size[1]);
        let (mut rows, mut batch_sizes) = (Vec::new(), Vec::with_capacity(longest));
        for t in 0..longest {
            let before = rows.len();
            let running = order.iter().take_while(|&&i| lens[i as usize] > t);
            rows.extend(running.map(|&i| i * size[1] + t as i64));
            batch_sizes.push((rows.len() - before) as i64);
        }
        let on_device = |indices: &[i64]| Tensor::from_slice(indices).to_device(x.device());
        let packed = x.flatten(0, 1).index_select(0, &on_device(&rows));
        let packed = relu_layers(&self.encoder, packed);
        let order = on_device(&order);
        let batch_sizes = Tensor::from_slice(&batch_sizes);
        let (h, c) = self.split(&states.index_select(0, &order));
        let (w, no) = (&self.weights, false);
        let after = match self.cell {
            Cell::Rnn => {
                Tensor::rnn_tanh_data(&packed, &batch_sizes, &h, w, true, 1, 0.0, no, no).1
            }
            Cell::Gru => Tensor::gru_data(&packed, &batch_sizes, &h, w, true, 1, 0.0, no, no).1,
            Cell::Lstm => {
                let (_, h, c) =
                    Tensor::lstm_data(&packed, &batch_sizes, &[h, c], w, true, 1, 0.0, no, no);
                Tensor::cat(&[h, c], 2)
            }
        };
        states.index_copy(0, &order, &after.squeeze_dim(0))
    }

    /// The recurrent layer alone: outputs `[batch, time, units]` and the states behind the last step.
    fn unroll(&self, x: &Tensor, states: &Tensor, train: bool) -> (Tensor, Tensor) {
        let (h, c) = self.split(states);
        let w = &self.weights;
        let (outputs, after) = match self.cell {
            Cell::Rnn => x.rnn_tanh(&h, w, true, 1, 0.0, train, false, true),
            Cell::Gru => x.gru(&h, w, true, 1, 0.0, train, false, true),
            Cell::Lstm => {
                let (outputs, h, c) = x.lstm(&[h, c], w, true, 1, 0.0, train, false, true);
                (outputs, Tensor::cat(&[h, c], 2))
            }
        };
        (outputs, after.squeeze_dim(0))
    }

    /// `[batch, state_len]` -> `h` and, for an LSTM, `c`, each `[1, batch, units]`.
    fn split(&self, states: &Tensor) -> (Tensor, Tensor) {
        let part = |start| {
            let part = states.narrow(1, start, self.units);
            part.contiguous().unsqueeze(0)
        };
        match self.cell {
            Cell::Lstm => (part(0), part(self.units)),
            _ => (part(0), Tensor::new()),
        }
    }
}

/// Declares layers of `units` below `name`, and sets `width` to the last one's.
fn dense(name: &str, units: &[usize], scope: &mut Scope<'_>, width: &mut i64) -> Vec<Linear> {
    let mut scope = scope.sub(name);
    let layers = units.iter().enumerate().map(|(i, &units)| {
        let inputs = std::mem::replace(width, units as i64);
        Linear::new(&mut scope.sub(&i.to_string()), inputs, units as i64)
    });
    layers.collect()
}

fn relu_layers(layers: &[Linear], x: Tensor) -> Tensor {
    layers.iter().fold(x, |x, layer| layer.forward(&x).relu_())
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
        let states = Tensor::zeros([batch, network.state_len], (Kind::Float, obs.device()));
        let (_, states) = network.unroll(&x, &states, train);
        let newest = states.narrow(1, 0, network.units);
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
    use crate::params::to_vec;
    use tch::Device;
    use thorndike_core::Seeds;
    use thorndike_core::rand::RngExt;

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

    fn numbers(shape: &[i64], seed: u64) -> Tensor {
        let mut rng = Seeds::new(seed).stream("test", 0);
        let len = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..len).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
        Tensor::from_slice(&values).view(shape)
    }

    fn assert_close(a: &Tensor, b: &[f64]) {
        let a = to_vec(a);
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            // Numbers of order 1 through a few dozen f32 roundings.
            assert!((f64::from(*a) - b).abs() < 1e-5, "{a} {b}");
        }
    }

    /// `W x + b` in f64, with row-major `W`.
    fn affine(w: &[f32], b: &[f32], x: &[f64]) -> Vec<f64> {
        let rows = w.chunks_exact(x.len()).zip(b);
        rows.map(|(w, b)| {
            let products = w.iter().zip(x).map(|(w, x)| f64::from(*w) * x);
            f64::from(*b) + products.sum::<f64>()
        })
        .collect()
    }

    fn relu_layer(layers: &[Linear], x: &[f64]) -> Vec<f64> {
        let mut y = affine(&to_vec(&layers[0].weight), &to_vec(&layers[0].bias), x);
        y.iter_mut().for_each(|y| *y = y.max(0.0));
        y
    }

    /// One step of the papers' formulas on one row: features, and the state after it.
    fn step_by_hand(net: &Recurrent, x: &[f64], state: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let [w_ih, w_hh, b_ih, b_hh] = net.weights.each_ref().map(to_vec);
        let x = relu_layer(&net.encoder, x);
        let (h, c) = state.split_at(3);
        let (a, u) = (affine(&w_ih, &b_ih, &x), affine(&w_hh, &b_hh, h));
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let gate = |block: usize, i: usize| a[3 * block + i] + u[3 * block + i];
        let state: Vec<f64> = match net.cell {
            Cell::Rnn => (0..3).map(|i| gate(0, i).tanh()).collect(),
            Cell::Gru => (0..3)
                .map(|i| {
                    let (r, z) = (logistic(gate(0, i)), logistic(gate(1, i)));
                    let n = (a[6 + i] + r * u[6 + i]).tanh();
                    (1.0 - z) * n + z * h[i]
                })
                .collect(),
            Cell::Lstm => {
                let c = (0..3).map(|i| {
                    logistic(gate(1, i)) * c[i] + logistic(gate(0, i)) * gate(2, i).tanh()
                });
                let c: Vec<f64> = c.collect();
                let h = (0..3).map(|i| logistic(gate(3, i)) * c[i].tanh());
                h.chain(c.iter().copied()).collect()
            }
        };
        (relu_layer(&net.hidden, &state[..3]), state)
    }

    fn doubles(x: &Tensor) -> Vec<f64> {
        to_vec(x).into_iter().map(f64::from).collect()
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
