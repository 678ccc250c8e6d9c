//! Recurrent layers: `[batch, time, inputs] -> [batch, time, directions * units]`, with a state that is carried on.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::Activation;
use crate::{Linear, Scope};

/// What one step of a recurrent layer computes.
///
/// | cell | one step, with `a = W_ih x + b_ih` and `u = W_hh h + b_hh` | state |
/// |---|---|---|
/// | `rnn` | `h' = f(a + u)`, with tanh or ReLU as `f` | `h` |
/// | `gru` | `r, z = s(a_rz + u_rz)`, `n = tanh(a_n + r u_n)`, `h' = (1 - z) n + z h` | `h` |
/// | `lstm` | `i, f, o = s(a_ifo + u_ifo)`, `g = tanh(a_g + u_g)`, `c' = f c + i g`, `h' = o tanh(c')` | `h`, then `c` |
///
/// where `s` is the logistic function and the rows of `W` are those of the gates in the order `r, z, n` and
/// `i, f, g, o`, as PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// The plain one (Elman, "Finding Structure in Time", 1990).
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

    /// Weights of one direction of a layer.
    pub(super) fn weights(self, inputs: u64, units: u64) -> u64 {
        let row = inputs.saturating_add(units).saturating_add(2);
        units
            .saturating_mul(self.gates() as u64)
            .saturating_mul(row)
    }

    /// Numbers in a state of one direction of a layer, for each unit.
    pub(super) fn states(self) -> usize {
        if self == Self::Lstm { 2 } else { 1 }
    }
}

/// One recurrent layer, in one direction or in both; a whole sequence is one call of libtorch.
///
/// # Reference
/// Cells: see [`Cell`]; both directions: Schuster and Paliwal, "Bidirectional Recurrent Neural Networks" (1997).
/// Weights, gate order and initial values (all uniform in `±1/sqrt(units)`) as PyTorch's `torch.nn.RNN`, `GRU` and
/// `LSTM`, so that their weights can be exchanged. Deviations: the GRU's reset gate acts behind the product with
/// `W_hh`, as in PyTorch and cuDNN, where the paper's acts before it.
#[derive(Debug)]
pub(super) struct RecurrentLayer {
    pub(super) cell: Cell,
    /// Of the cell `rnn`.
    pub(super) activation: Activation,
    pub(super) units: i64,
    directions: i64,
    /// For each direction `W_ih` `[gates * units, inputs]`, `W_hh` `[gates * units, units]`, `b_ih` and `b_hh`
    /// `[gates * units]`.
    pub(super) weights: Vec<Tensor>,
}

impl RecurrentLayer {
    /// Declares `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh` in `scope` for each of `suffixes`, one a direction.
    pub(super) fn new(
        scope: &mut Scope<'_>,
        suffixes: &[String],
        (cell, activation): (Cell, Activation),
        [inputs, units]: [i64; 2],
    ) -> Self {
        let bound = 1.0 / (units as f32).sqrt();
        let rows = cell.gates() * units;
        let mut weights = Vec::with_capacity(4 * suffixes.len());
        for suffix in suffixes {
            let shapes: [(&str, &[i64]); 4] = [
                ("weight_ih", &[rows, inputs]),
                ("weight_hh", &[rows, units]),
                ("bias_ih", &[rows]),
                ("bias_hh", &[rows]),
            ];
            let names = shapes.map(|(name, shape)| (format!("{name}{suffix}"), shape));
            weights.extend(names.map(|(name, shape)| scope.uniform(&name, shape, bound)));
        }
        Self {
            cell,
            activation,
            units,
            directions: suffixes.len() as i64,
            weights,
        }
    }

    /// Features of each step.
    pub(super) fn width(&self) -> i64 {
        self.directions * self.units
    }

    /// Numbers in a state: `h` of each direction, then `c` of each.
    pub(super) fn state_len(&self) -> i64 {
        self.width() * self.cell.states() as i64
    }

    /// Outputs `[batch, time, width]` and the states behind the last step, from `states` `[batch, state_len]`. The last
    /// step of the way back is the first one of the sequence.
    pub(super) fn run(&self, x: &Tensor, states: &Tensor, train: bool) -> (Tensor, Tensor) {
        self.run_with(&self.weights, x, states, train)
    }

    fn run_with(&self, w: &[Tensor], x: &Tensor, states: &Tensor, train: bool) -> (Tensor, Tensor) {
        let (h, c) = self.split(states);
        let both = self.directions == 2;
        let (outputs, after) = match (self.cell, self.activation) {
            (Cell::Rnn, Activation::Tanh) => x.rnn_tanh(&h, w, true, 1, 0.0, train, both, true),
            (Cell::Rnn, Activation::Relu) => x.rnn_relu(&h, w, true, 1, 0.0, train, both, true),
            (Cell::Gru, _) => x.gru(&h, w, true, 1, 0.0, train, both, true),
            (Cell::Lstm, _) => {
                let (outputs, h, c) = x.lstm(&[h, c], w, true, 1, 0.0, train, both, true);
                (outputs, Tensor::cat(&[h, c], 0))
            }
        };
        (outputs, join(&after))
    }

    /// As [`run`](Self::run), for sequences of unequal length: outputs are zeros at `padding`, and each row's states
    /// are those behind its own last step. A row without steps keeps its state.
    ///
    /// What lies at the padding is read as zeros with an input more, whose weights keep the state as it is: they open
    /// the forget gate and shut the input gate (or update with the old state alone), so that the way back, which begins
    /// at the padding, comes to a row's last step with a state of zeros. This is several times as fast as libtorch's
    /// packed sequences, whose every step is a call of its own: an LSTM of 192 units, on one thread, learnt from 68,000
    /// and 14,000 steps a second.
    pub(super) fn run_padded(
        &self,
        x: &Tensor,
        padding: &Padding,
        states: &Tensor,
        train: bool,
    ) -> (Tensor, Tensor) {
        let mask = &padding.mask;
        let x = Tensor::cat(&[x.masked_fill(mask, 0.0), mask.to_kind(x.kind())], 2);
        let weights: Vec<Tensor> = self
            .weights
            .chunks(4)
            .flat_map(|w| self.keeping(w))
            .collect();
        let (outputs, after) = self.run_with(&weights, &x, states, train);
        let outputs = outputs.masked_fill(mask, 0.0);
        // Only the output of the way forward still moves behind the last step.
        let forward = outputs.narrow(2, 0, self.units);
        let place = padding
            .last
            .view([-1, 1, 1])
            .expand([-1, 1, self.units], false);
        let h = forward.gather(1, &place, false).squeeze_dim(1);
        let h = states
            .narrow(1, 0, self.units)
            .where_self(&padding.empty, &h);
        let rest = after.narrow(1, self.units, self.state_len() - self.units);
        (outputs, Tensor::cat(&[h, rest], 1))
    }

    /// Weights `w` of one direction with one more column, which keeps a state that is not to change: that of an `rnn`
    /// only if it is zeros.
    fn keeping(&self, w: &[Tensor]) -> [Tensor; 4] {
        // The logistic function of it is 1 in every bit, whatever a sum of weights adds.
        const OPEN: f64 = 1e4;
        let block = |value| w[2].new_full([self.units, 1], value, (w[2].kind(), w[2].device()));
        let [_, w_hh, b_ih, b_hh] = [0, 1, 2, 3].map(|i| w[i].shallow_clone());
        let (column, b_ih, b_hh) = match self.cell {
            Cell::Rnn => {
                let bias = b_ih + b_hh;
                (-bias.unsqueeze(1), bias, w[3].zeros_like())
            }
            Cell::Gru => (Tensor::cat(&[0.0, OPEN, 0.0].map(block), 0), b_ih, b_hh),
            Cell::Lstm => {
                let gates = [-OPEN, OPEN, 0.0, 0.0];
                (Tensor::cat(&gates.map(block), 0), b_ih, b_hh)
            }
        };
        [Tensor::cat(&[&w[0], &column], 1), w_hh, b_ih, b_hh]
    }

    /// As [`run`](Self::run), for packed steps: `x` `[steps, inputs]` to outputs `[steps, width]`. A row without steps
    /// keeps its state.
    pub(super) fn run_packed(
        &self,
        x: &Tensor,
        packing: &Packing,
        states: &Tensor,
        train: bool,
    ) -> (Tensor, Tensor) {
        if packing.is_empty() {
            return (
                x.new_zeros([0, self.width()], (x.kind(), x.device())),
                states.shallow_clone(),
            );
        }
        let (h, c) = self.split(&states.index_select(0, &packing.order));
        let (w, both) = (&self.weights, self.directions == 2);
        let sizes = &packing.batch_sizes;
        let (outputs, after) = match (self.cell, self.activation) {
            (Cell::Rnn, Activation::Tanh) => {
                Tensor::rnn_tanh_data(x, sizes, &h, w, true, 1, 0.0, train, both)
            }
            (Cell::Rnn, Activation::Relu) => {
                Tensor::rnn_relu_data(x, sizes, &h, w, true, 1, 0.0, train, both)
            }
            (Cell::Gru, _) => Tensor::gru_data(x, sizes, &h, w, true, 1, 0.0, train, both),
            (Cell::Lstm, _) => {
                let (outputs, h, c) =
                    Tensor::lstm_data(x, sizes, &[h, c], w, true, 1, 0.0, train, both);
                (outputs, Tensor::cat(&[h, c], 0))
            }
        };
        (outputs, states.index_copy(0, &packing.order, &join(&after)))
    }

    /// `[batch, state_len]` -> `h` and, for an LSTM, `c`, each `[directions, batch, units]`.
    fn split(&self, states: &Tensor) -> (Tensor, Tensor) {
        let part = |start| {
            let part = states.narrow(1, start, self.width());
            let part = part.reshape([-1, self.directions, self.units]);
            part.transpose(0, 1).contiguous() // [B, D, H] -> [D, B, H]
        };
        match self.cell {
            Cell::Lstm => (part(0), part(self.width())),
            _ => (part(0), Tensor::new()),
        }
    }
}

/// `[parts, batch, units]` -> `[batch, parts * units]`.
fn join(states: &Tensor) -> Tensor {
    states.transpose(0, 1).flatten(1, 2)
}

/// The steps of sequences of unequal length without their padding: those of one time together, the longest sequences
/// first, as libtorch wants them.
#[derive(Debug)]
pub(super) struct Packing {
    /// Rows of the batch that have steps, the longest first.
    order: Tensor,
    /// Where each step lies in the batch, `row * time + step`.
    places: Tensor,
    /// Rows that have a step at each time.
    batch_sizes: Tensor,
}

impl Packing {
    /// For a batch `[lens.len(), time, ..]` whose row `i` has `lens[i]` steps.
    ///
    /// # Panics
    /// If a length is above the time.
    pub(super) fn new(lens: &[usize], time: i64, device: Device) -> Self {
        let mut order: Vec<i64> = (0..lens.len() as i64)
            .filter(|&i| lens[i as usize] > 0)
            .collect();
        order.sort_by_key(|&i| std::cmp::Reverse(lens[i as usize]));
        let longest = order.first().map_or(0, |&first| lens[first as usize]);
        assert!(longest as i64 <= time, "{longest} steps of {time}");
        let (mut places, mut batch_sizes) = (Vec::new(), Vec::with_capacity(longest));
        for t in 0..longest {
            let before = places.len();
            let running = order.iter().take_while(|&&i| lens[i as usize] > t);
            places.extend(running.map(|&i| i * time + t as i64));
            batch_sizes.push((places.len() - before) as i64);
        }
        Self {
            order: Tensor::from_slice(&order).to_device(device),
            places: Tensor::from_slice(&places).to_device(device),
            batch_sizes: Tensor::from_slice(&batch_sizes),
        }
    }

    /// Whether there is no step at all.
    fn is_empty(&self) -> bool {
        self.places.numel() == 0
    }

    /// `[batch, time, ..] -> [steps, ..]`.
    pub(super) fn pack(&self, x: &Tensor) -> Tensor {
        x.flatten(0, 1).index_select(0, &self.places)
    }
}

/// Where sequences of unequal length have no steps.
#[derive(Debug)]
pub(super) struct Padding {
    /// True at padding, `[batch, time, 1]`.
    pub(super) mask: Tensor,
    /// Steps of each row, `[batch, 1]`.
    pub(super) lens: Tensor,
    /// The last step of each row, `[batch]`; the first one of a row without any.
    last: Tensor,
    /// Rows without steps, `[batch, 1]`.
    empty: Tensor,
}

impl Padding {
    /// For a batch `[lens.len(), time, ..]` whose row `i` has `lens[i]` steps.
    ///
    /// # Panics
    /// If a length is above the time.
    pub(super) fn new(lens: &[u32], time: i64, device: Device) -> Self {
        let longest = i64::from(lens.iter().copied().max().unwrap_or(0));
        assert!(longest <= time, "{longest} steps of {time}");
        let lens: Vec<i64> = lens.iter().map(|&len| i64::from(len)).collect();
        let lens = Tensor::from_slice(&lens).to_device(device).unsqueeze(1);
        let steps = Tensor::arange(time, (Kind::Int64, device));
        Self {
            mask: steps.unsqueeze(0).ge_tensor(&lens).unsqueeze(2),
            last: (&lens - 1).clamp_min(0).squeeze_dim(1),
            empty: lens.eq(0),
            lens,
        }
    }
}

/// Declares layers of `units` below `name`, and sets `width` to the last one's.
pub(super) fn dense(
    name: &str,
    units: &[usize],
    scope: &mut Scope<'_>,
    width: &mut i64,
) -> Vec<Linear> {
    let mut scope = scope.sub(name);
    let layers = units.iter().enumerate().map(|(i, &units)| {
        let inputs = std::mem::replace(width, units as i64);
        Linear::new(&mut scope.sub(&i.to_string()), inputs, units as i64)
    });
    layers.collect()
}

/// Weights of [`dense`] layers behind `sum` others, and what comes out of them.
pub(super) fn dense_size((sum, inputs): (u64, u64), units: &[usize]) -> (u64, u64) {
    units.iter().fold((sum, inputs), |(sum, inputs), &units| {
        let layer = inputs.saturating_add(1).saturating_mul(units as u64);
        (layer.saturating_add(sum), units as u64)
    })
}

pub(super) fn relu_layers(layers: &[Linear], x: Tensor) -> Tensor {
    layers.iter().fold(x, |x, layer| layer.forward(&x).relu_())
}

/// States at the start of sequences: zeros.
pub(super) fn no_states(batch: i64, state_len: i64, device: Device) -> Tensor {
    Tensor::zeros([batch, state_len], (Kind::Float, device))
}

/// What tests of recurrent networks share: their formulas, one number after another in f64.
#[cfg(test)]
pub(super) mod by_hand {
    use super::*;
    use crate::params::to_vec;
    use thorndike_core::Seeds;
    use thorndike_core::rand::RngExt;

    pub(in crate::models) fn numbers(shape: &[i64], seed: u64) -> Tensor {
        let mut rng = Seeds::new(seed).stream("test", 0);
        let len = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..len).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
        Tensor::from_slice(&values).view(shape)
    }

    pub(in crate::models) fn doubles(x: &Tensor) -> Vec<f64> {
        to_vec(x).into_iter().map(f64::from).collect()
    }

    pub(in crate::models) fn assert_close(a: &Tensor, b: &[f64]) {
        let a = to_vec(a);
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            // Numbers of order 1 through a few dozen f32 roundings.
            assert!((f64::from(*a) - b).abs() < 1e-5, "{a} {b}");
        }
    }

    /// `W x + b`.
    pub(in crate::models) fn affine(w: &Tensor, b: &Tensor, x: &[f64]) -> Vec<f64> {
        let (w, b) = (doubles(w), doubles(b));
        let rows = w.chunks_exact(x.len()).zip(b);
        rows.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
            .collect()
    }

    /// The state of one row after a step of a layer in one direction, whose output is the `h` it starts with.
    pub(in crate::models) fn step(
        (cell, activation): (Cell, Activation),
        weights: &[Tensor],
        x: &[f64],
        state: &[f64],
    ) -> Vec<f64> {
        let units = state.len() / cell.states();
        let (h, c) = state.split_at(units);
        let a = affine(&weights[0], &weights[2], x);
        let u = affine(&weights[1], &weights[3], h);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let gate = |block: usize, i: usize| a[block * units + i] + u[block * units + i];
        match cell {
            Cell::Rnn => (0..units)
                .map(|i| match activation {
                    Activation::Tanh => gate(0, i).tanh(),
                    Activation::Relu => gate(0, i).max(0.0),
                })
                .collect(),
            Cell::Gru => (0..units)
                .map(|i| {
                    let (r, z) = (logistic(gate(0, i)), logistic(gate(1, i)));
                    let n = (a[2 * units + i] + r * u[2 * units + i]).tanh();
                    (1.0 - z) * n + z * h[i]
                })
                .collect(),
            Cell::Lstm => {
                let c = (0..units).map(|i| {
                    logistic(gate(1, i)) * c[i] + logistic(gate(0, i)) * gate(2, i).tanh()
                });
                let c: Vec<f64> = c.collect();
                let h = (0..units).map(|i| logistic(gate(3, i)) * c[i].tanh());
                h.chain(c.iter().copied()).collect()
            }
        }
    }
}
