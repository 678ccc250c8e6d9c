//! Recurrent networks over whole sequences, `[batch, time, inputs]` or tokens `[batch, time] -> [batch, width]`, and
//! a row of features for each step.
//!
//! Tokens become embeddings; then dense layers on every step, recurrent layers in one direction or in both, one row
//! of features out of all steps (the readout), dense layers on it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Error, Result, Space, check_range};

use super::cell::{Padding, RecurrentLayer, dense, dense_size, no_states, relu_layers};
use super::mlp::MAX_UNITS;
use super::word_table::WordTable;
use super::{Activation, Cell};
use crate::extractor::Inputs;
use crate::input::float_shape;
use crate::{Dropout, FeatureExtractor, Linear, Read, Scope, SequenceReader};

/// Settings of [`Rnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RnnConfig {
    /// What one step computes. Default GRU.
    pub cell: Cell,
    /// Units of each recurrent layer, in each direction. Default 128 (Karpathy, "char-rnn", 2015).
    pub units: usize,
    /// Recurrent layers, each on the outputs of the one before. Default 1.
    pub layers: usize,
    /// Whether every layer also reads the sequence backwards; its features lie behind those of the forward direction.
    /// Default false.
    pub bidirectional: bool,
    /// Nonlinearity of the cell `rnn`. Default tanh.
    pub activation: Activation,
    /// Share of the numbers dropped between recurrent layers while learning. Default 0.
    pub dropout: f64,
    /// Width of a learned embedding of tokens; 0 hands them on one-hot, or takes the width of `vectors`. Default 0.
    pub embedding: usize,
    /// Vectors that the embedding begins with, as those of [`BagOfWordsConfig`](super::BagOfWordsConfig). Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<PathBuf>,
    /// Whether the embedding stays as it is; needs `vectors`. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub freeze: bool,
    /// Units of the layers with ReLU before the recurrence. Default none.
    pub encoder: Vec<usize>,
    /// Units of the layers with ReLU behind the readout. Default none.
    pub hidden: Vec<usize>,
    /// How the steps of a sequence become one row of features. Default the last one.
    pub readout: Readout,
}

/// How the outputs of all steps, `[batch, time, directions * units]`, become one row of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// Those of the last step; of the backward direction those of the first, which it reads last.
    #[default]
    Last,
    /// Their mean over the steps.
    Mean,
    /// The highest of each over the steps.
    Max,
    /// All of them, one step after another; padding counts as zeros. All batches must be as long as the observation
    /// that the network was built for.
    All,
}

impl Default for RnnConfig {
    fn default() -> Self {
        Self {
            cell: Cell::default(),
            units: 128,
            layers: 1,
            bidirectional: false,
            activation: Activation::Tanh,
            dropout: 0.0,
            embedding: 0,
            vectors: None,
            freeze: false,
            encoder: Vec::new(),
            hidden: Vec::new(),
            readout: Readout::default(),
        }
    }
}

impl RnnConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        check_range("units", self.units, 1..=MAX_UNITS)?;
        check_range("layers", self.layers, 1..=MAX_LAYERS)?;
        check_range("embedding", self.embedding, 0..=MAX_UNITS)?;
        if self.vectors.is_some() && self.embedding > 0 {
            let what = "is that of the vectors; leave it out, or leave out vectors";
            return Err(Error::config("embedding", what));
        }
        if self.freeze && self.vectors.is_none() {
            let what =
                "an embedding that begins at random has to learn; give vectors, or leave it out";
            return Err(Error::config("freeze", what));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let what = format!(
                "{} is out of range; give 0 or more and below 1",
                self.dropout
            );
            return Err(Error::config("dropout", what));
        }
        if self.dropout > 0.0 && self.layers == 1 {
            let what = "there is one layer, and nothing is dropped behind the last; give 0, or layers of 2 or more";
            return Err(Error::config("dropout", what));
        }
        if self.activation != Activation::Tanh && self.cell != Cell::Rnn {
            let what = "only the cell \"rnn\" can have another than tanh";
            return Err(Error::config("activation", what));
        }
        for (key, layers) in [("encoder", &self.encoder), ("hidden", &self.hidden)] {
            if layers.iter().any(|&n| n == 0 || n > MAX_UNITS) {
                let what =
                    format!("{layers:?} is out of range; give layers of 1 to {MAX_UNITS} units");
                return Err(Error::config(key, what));
            }
        }
        Ok(())
    }

    /// Weights for observations of `space`, a stack of `frames` frames, and the features; zeros if it is no sequence.
    pub(crate) fn size(&self, space: &Space, frames: usize) -> (u64, u64) {
        let Ok(steps) = Steps::of(space, frames) else {
            return (0, 0);
        };
        let [time, inputs] = [steps.time, steps.inputs].map(|n| n as u64);
        let Ok(width) = WordTable::width(self.vectors.as_deref(), self.embedding) else {
            return (0, 0);
        };
        let embedded = match width as u64 {
            0 => (0, inputs),
            width => (inputs.saturating_mul(width), width),
        };
        let (mut weights, mut inputs) = dense_size(embedded, &self.encoder);
        let directions = self.directions() as u64;
        for _ in 0..self.layers {
            let layer = self.cell.weights(inputs, self.units as u64);
            weights = weights.saturating_add(layer.saturating_mul(directions));
            inputs = directions.saturating_mul(self.units as u64);
        }
        if self.readout == Readout::All {
            inputs = inputs.saturating_mul(time);
        }
        dense_size((weights, inputs), &self.hidden)
    }

    /// This as a network that has its weights already is built.
    pub(crate) fn settled(&self) -> Result<Self> {
        Ok(Self {
            embedding: WordTable::width(self.vectors.as_deref(), self.embedding)?,
            vectors: None,
            freeze: false,
            ..self.clone()
        })
    }

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }
}

/// More layers than any published recurrent network.
const MAX_LAYERS: usize = 64;

/// An observation as a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Steps {
    time: i64,
    /// Numbers of a step; of a token how many different ones there are.
    inputs: i64,
    tokens: bool,
}

impl Steps {
    /// The frames of a stack, or the first dimension of a box, or the tokens of a discrete space.
    fn of(space: &Space, frames: usize) -> Result<Self> {
        let shape = float_shape(space);
        let numbers = shape.iter().product::<i64>();
        let tokens = match space {
            Space::Discrete(_) => Some(1),
            Space::MultiDiscrete(sizes) if sizes.windows(2).all(|pair| pair[0] == pair[1]) => {
                Some(sizes.len() as i64)
            }
            _ => None,
        };
        let frames = frames as i64;
        let (time, tokens) = match (space, tokens) {
            _ if frames > 1 => (frames, tokens == Some(frames)),
            (_, Some(time)) => (time, true),
            (Space::Box { .. }, _) if !shape.is_empty() => (shape[0], false),
            _ => (0, false),
        };
        if time == 0 || numbers == 0 {
            let what = format!(
                "kind \"rnn\" reads a sequence, and {space} is none; give numbers [time, ..], tokens of one \
                 vocabulary, or env.frame_stack of 2 or more"
            );
            return Err(Error::config("", what));
        }
        Ok(Self {
            time,
            inputs: numbers / time,
            tokens,
        })
    }
}

/// Embedding, dense layers, recurrent layers, readout, dense layers; ReLU after each dense one.
///
/// The steps of an observation are the frames of a stack if there is more than one; else the first dimension of a box
/// (`[40]` is a sequence of 40 numbers) or the tokens of a discrete space. A batch may have another number of steps,
/// unless all of them are read out. Sequences of unequal length are read without their padding, which the token 0 is where the
/// vocabulary calls it `<pad>` and there is an embedding.
///
/// The state is that of the first layer, `h` and for an LSTM `c`, then of the second, and so on.
///
/// # Reference
/// Cells, weights and initial values: see [`Cell`]; as PyTorch's `torch.nn.RNN`, `GRU` and `LSTM`, down to the names of
/// the weights, and `torch.nn.Embedding`. Backward direction: Schuster and Paliwal, "Bidirectional Recurrent Neural
/// Networks" (1997). Deviations: the embedding's initial values are uniform with PyTorch's deviation of 1, or vectors scaled to it.
#[derive(Debug)]
pub struct Rnn {
    embedding: Option<WordTable>,
    encoder: Vec<Linear>,
    layers: Vec<RecurrentLayer>,
    dropout: Vec<Dropout>,
    hidden: Vec<Linear>,
    readout: Readout,
    steps: Steps,
    bidirectional: bool,
    width: i64,
}

/// Outputs of the recurrent layers.
struct Outputs {
    /// Of each step, `[batch, time, width]`; zeros where a row has none.
    steps: Tensor,
    /// `h` of the last layer behind each row's last step, `[batch, width]`.
    last: Tensor,
    /// States of all layers.
    state: Tensor,
}

impl Rnn {
    /// Declares `embedding.weight`, `encoder.0`, …, `rnn` and `hidden.0`, … in `scope`, for observations of `inputs`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the observation is no sequence.
    pub fn new(config: &RnnConfig, scope: &mut Scope<'_>, inputs: &Inputs<'_>) -> Result<Self> {
        config.check()?;
        let Inputs { space, frames, .. } = *inputs;
        let steps = Steps::of(space, frames)?;
        if !steps.tokens {
            let what = format!("{space} holds no tokens");
            if config.embedding > 0 {
                return Err(Error::config("embedding", format!("{what}; give 0")));
            }
            if config.vectors.is_some() {
                return Err(Error::config("vectors", format!("{what}; leave it out")));
            }
        }
        let mut width = steps.inputs;
        let path = config.vectors.as_deref();
        let embedding = match WordTable::width(path, config.embedding)? {
            0 => None,
            own => {
                width = own as i64;
                let vectors = path.map(|path| (path, config.freeze));
                let (scope, words) = (&mut scope.sub("embedding"), steps.inputs as usize);
                Some(WordTable::new(scope, words, own, vectors, inputs)?)
            }
        };
        let encoder = dense("encoder", &config.encoder, scope, &mut width);
        let (mut layers, mut dropout) = (Vec::new(), Vec::new());
        let mut rnn = scope.sub("rnn");
        for i in 0..config.layers {
            let suffixes = [format!("_l{i}"), format!("_l{i}_reverse")];
            let layer = RecurrentLayer::new(
                &mut rnn,
                &suffixes[..config.directions()],
                (config.cell, config.activation),
                [width, config.units as i64],
            );
            width = layer.width();
            layers.push(layer);
            if i + 1 < config.layers && config.dropout > 0.0 {
                dropout.push(Dropout::new(&mut rnn, config.dropout));
            }
        }
        if config.readout == Readout::All {
            width *= steps.time;
        }
        let hidden = dense("hidden", &config.hidden, scope, &mut width);
        Ok(Self {
            embedding,
            encoder,
            layers,
            dropout,
            hidden,
            readout: config.readout,
            steps,
            bidirectional: config.bidirectional,
            width,
        })
    }

    /// Observations `[batch, ..]` as steps `[batch, time, inputs]`; tokens `[batch, time]` stay.
    fn sequences(&self, obs: &Tensor) -> Tensor {
        match obs.kind() {
            Kind::Int64 => obs.shallow_clone(),
            _ => obs.reshape([obs.size()[0], -1, self.steps.inputs]),
        }
    }

    /// Steps `[.., inputs]` or tokens `[..]`, as the first recurrent layer reads them.
    fn encode(&self, x: &Tensor) -> Tensor {
        let x = match (x.kind(), &self.embedding) {
            (Kind::Int64, Some(words)) => words.rows(x),
            (Kind::Int64, None) => {
                let shape = [&x.size()[..], &[self.steps.inputs]].concat();
                let zeros = Tensor::zeros(shape, (Kind::Float, x.device()));
                zeros.scatter_value(-1, &x.unsqueeze(-1), 1.0)
            }
            (_, Some(words)) => words.of_one_hot(x),
            (_, None) => x.shallow_clone(),
        };
        relu_layers(&self.encoder, x)
    }

    /// The recurrent layers on sequences as [`sequences`](Self::sequences) gives them; without `padding` all are whole.
    fn run(
        &self,
        x: &Tensor,
        padding: Option<&Padding>,
        state: Option<&Tensor>,
        train: bool,
    ) -> Outputs {
        let (batch, device) = (x.size()[0], x.device());
        let mut x = match padding {
            // What lies there may be anything.
            Some(padding) if x.dim() == 2 => {
                self.encode(&x.masked_fill(&padding.mask.squeeze_dim(2), 0))
            }
            Some(padding) => self.encode(&x.masked_fill(&padding.mask, 0)),
            None => self.encode(x),
        };
        let (mut states, mut start) = (Vec::with_capacity(self.layers.len()), 0);
        for (i, layer) in self.layers.iter().enumerate() {
            let len = layer.state_len();
            let before = match state {
                Some(state) if !self.bidirectional => state.narrow(1, start, len),
                _ => no_states(batch, len, device),
            };
            start += len;
            let (outputs, after) = match padding {
                Some(padding) => layer.run_padded(&x, padding, &before, train),
                None => layer.run(&x, &before, train),
            };
            x = match self.dropout.get(i) {
                Some(dropout) => dropout.forward(&outputs, train),
                None => outputs,
            };
            states.push(after);
        }
        let width = self.layers[0].width();
        let last = states[states.len() - 1].narrow(1, 0, width);
        let state = match self.bidirectional {
            true => no_states(batch, 0, device),
            false => Tensor::cat(&states, 1),
        };
        Outputs {
            steps: x,
            last,
            state,
        }
    }

    /// Features of each sequence.
    ///
    /// # Panics
    /// If all steps are read out, and they are not as many as the network was built for.
    fn read_out(&self, outputs: &Outputs, padding: Option<&Padding>) -> Tensor {
        let steps = &outputs.steps;
        let features = match (self.readout, padding) {
            (Readout::Last, _) => outputs.last.shallow_clone(),
            (Readout::Mean, None) => steps.mean_dim(1, false, None),
            (Readout::Mean, Some(padding)) => {
                steps.sum_dim_intlist(1, false, None) / padding.lens.clamp_min(1)
            }
            (Readout::Max, None) => steps.max_dim(1, false).0,
            (Readout::Max, Some(padding)) => {
                let lowest = steps.masked_fill(&padding.mask, f64::NEG_INFINITY);
                let highest = lowest.max_dim(1, false).0;
                highest.masked_fill(&padding.lens.eq(0), 0.0)
            }
            (Readout::All, _) => {
                let (built, found) = (self.steps.time, steps.size()[1]);
                assert_eq!(
                    found, built,
                    "all steps are read out, of sequences of another length"
                );
                steps.flatten(1, 2)
            }
        };
        relu_layers(&self.hidden, features)
    }
}

/// Tokens of each row of `tokens`, `i64` `[batch, time]`, before its padding.
fn lengths_of(tokens: &Tensor) -> Vec<u32> {
    let (batch, time) = (tokens.size()[0] as usize, tokens.size()[1] as usize);
    let mut all = vec![0_i64; batch * time];
    tokens.copy_data(&mut all, batch * time);
    let rows = all.chunks_exact(time);
    rows.map(|row| {
        row.iter()
            .rposition(|&token| token != 0)
            .map_or(0, |at| at as u32 + 1)
    })
    .collect()
}

impl FeatureExtractor for Rnn {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let padded = self.embedding.as_ref().is_some_and(|words| words.padded);
        if padded && obs.kind() == Kind::Int64 {
            let lengths = lengths_of(obs);
            let longest = lengths.iter().copied().max().unwrap_or(0).max(1);
            let obs = match self.readout {
                Readout::All => obs.shallow_clone(),
                _ => obs.narrow(1, 0, i64::from(longest)),
            };
            return self.read(&obs, &lengths, None, train).features;
        }
        let outputs = self.run(&self.sequences(obs), None, None, train);
        self.read_out(&outputs, None)
    }

    fn reads_tokens(&self) -> bool {
        self.embedding.is_some()
    }

    fn notes(&self) -> Option<String> {
        self.embedding.as_ref()?.notes()
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn sequence(&self) -> Option<&dyn SequenceReader> {
        Some(self)
    }

    fn position_width(&self) -> i64 {
        match self.readout {
            // The dense layers are for all steps together.
            Readout::All => self.layers[0].width(),
            _ => self.width,
        }
    }
}

impl SequenceReader for Rnn {
    fn read(&self, x: &Tensor, lengths: &[u32], state: Option<&Tensor>, train: bool) -> Read {
        let x = self.sequences(x);
        let (rows, time, device) = (x.size()[0] as usize, x.size()[1], x.device());
        let whole = lengths.iter().all(|&len| i64::from(len) == time);
        assert!(
            lengths.is_empty() || lengths.len() == rows,
            "one length a row"
        );
        let padding = (!whole).then(|| Padding::new(lengths, time, device));
        let outputs = self.run(&x, padding.as_ref(), state, train);
        let features = self.read_out(&outputs, padding.as_ref());
        let steps = match self.readout {
            Readout::All => outputs.steps,
            _ => relu_layers(&self.hidden, outputs.steps),
        };
        Read {
            steps,
            features,
            state: outputs.state,
        }
    }

    fn state_len(&self) -> i64 {
        match self.bidirectional {
            true => 0,
            false => self.layers.iter().map(RecurrentLayer::state_len).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use crate::models::cell::by_hand::{affine, assert_close, doubles, numbers, step};
    use crate::params::to_vec;
    use tch::Device;
    use thorndike_core::Seeds;

    const CELLS: [(Cell, Activation); 4] = [
        (Cell::Rnn, Activation::Tanh),
        (Cell::Rnn, Activation::Relu),
        (Cell::Gru, Activation::Tanh),
        (Cell::Lstm, Activation::Tanh),
    ];
    const READOUTS: [Readout; 4] = [Readout::Last, Readout::Mean, Readout::Max, Readout::All];

    /// Two layers of three units.
    fn config((cell, activation): (Cell, Activation), bidirectional: bool) -> RnnConfig {
        RnnConfig {
            cell,
            activation,
            units: 3,
            layers: 2,
            bidirectional,
            ..RnnConfig::default()
        }
    }

    fn all_configs() -> impl Iterator<Item = RnnConfig> {
        let pairs = CELLS
            .into_iter()
            .flat_map(|cell| [(cell, false), (cell, true)]);
        pairs.map(|(cell, bidirectional)| config(cell, bidirectional))
    }

    fn build(config: &RnnConfig, space: &Space, frames: usize) -> Result<(ParamStore, Rnn)> {
        // More threads only wait for each other on so little work.
        crate::use_threads(1);
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| {
            let inputs = Inputs {
                frames,
                ..Inputs::of(space)
            };
            Rnn::new(config, scope, &inputs)
        })
    }

    /// For sequences of four steps of two numbers.
    fn built(config: &RnnConfig) -> (ParamStore, Rnn) {
        build(config, &Space::unbounded(&[4, 2]), 1).unwrap()
    }

    /// Outputs of all steps of one row, by the formulas and from zeros.
    fn by_hand(net: &Rnn, x: &Tensor) -> Vec<Vec<f64>> {
        let mut x: Vec<Vec<f64>> = (0..x.size()[0]).map(|t| doubles(&x.get(t))).collect();
        for layer in &net.layers {
            let cell = (layer.cell, layer.activation);
            let units = layer.units as usize;
            let direction = |weights: &[Tensor], order: &mut dyn Iterator<Item = usize>| {
                let mut state = vec![0.0; units * layer.cell.states()];
                let mut outputs = vec![Vec::new(); x.len()];
                for t in order {
                    state = step(cell, weights, &x[t], &state);
                    outputs[t] = state[..units].to_vec();
                }
                outputs
            };
            let mut outputs = direction(&layer.weights[..4], &mut (0..x.len()));
            if net.bidirectional {
                let back = direction(&layer.weights[4..], &mut (0..x.len()).rev());
                outputs
                    .iter_mut()
                    .zip(back)
                    .for_each(|(to, back)| to.extend(back));
            }
            x = outputs;
        }
        x
    }

    /// What a readout makes of the outputs of all steps.
    fn read_by_hand(net: &Rnn, outputs: &[Vec<f64>]) -> Vec<f64> {
        let width = outputs[0].len();
        let column = |i: usize| outputs.iter().map(move |step| step[i]);
        match net.readout {
            Readout::Last => {
                let forward = outputs[outputs.len() - 1][..3].iter();
                forward.chain(&outputs[0][3..]).copied().collect()
            }
            Readout::Mean => {
                let mean = |i| column(i).sum::<f64>() / outputs.len() as f64;
                (0..width).map(mean).collect()
            }
            Readout::Max => {
                let max = |i| column(i).fold(f64::NEG_INFINITY, f64::max);
                (0..width).map(max).collect()
            }
            Readout::All => outputs.concat(),
        }
    }

    #[test]
    fn every_cell_layer_direction_and_readout_equals_its_formula() {
        for config in all_configs() {
            for readout in READOUTS {
                let config = RnnConfig {
                    readout,
                    ..config.clone()
                };
                let (_, net) = built(&config);
                let x = numbers(&[2, 4, 2], 7);
                let read = net.read(&x, &[], None, true);
                assert_eq!(net.features(&x, true), read.features);
                for row in 0..2 {
                    let outputs = by_hand(&net, &x.get(row));
                    assert_close(&read.steps.get(row), &outputs.concat());
                    assert_close(&read.features.get(row), &read_by_hand(&net, &outputs));
                }
            }
        }
    }

    #[test]
    fn padding_and_other_rows_change_nothing() {
        for config in all_configs() {
            for readout in [Readout::Last, Readout::Mean, Readout::Max] {
                let config = RnnConfig {
                    readout,
                    hidden: vec![5],
                    ..config.clone()
                };
                let (_, net) = built(&config);
                let x = numbers(&[5, 6, 2], 3);
                let lengths = [2, 6, 1, 4, 0];
                for (row, &len) in lengths.iter().enumerate() {
                    let _ = x
                        .get(row as i64)
                        .narrow(0, i64::from(len), 6 - i64::from(len))
                        .fill_(f64::NAN);
                }
                let read = net.read(&x, &lengths, None, false);
                for (row, &len) in lengths[..4].iter().enumerate() {
                    let row = row as i64;
                    let alone = x.narrow(0, row, 1).narrow(1, 0, i64::from(len));
                    let alone = net.read(&alone, &[], None, false);
                    let steps = read.steps.narrow(0, row, 1).narrow(1, 0, i64::from(len));
                    assert_close(&steps, &doubles(&alone.steps));
                    assert_close(&read.features.get(row), &doubles(&alone.features));
                    assert_close(&read.state.get(row), &doubles(&alone.state));
                }
                let nothing = relu_layers(
                    &net.hidden,
                    Tensor::zeros([1, net.layers[0].width()], (Kind::Float, Device::Cpu)),
                );
                assert_close(&read.features.get(4), &doubles(&nothing));
                assert_eq!(
                    read.state.get(4).abs().sum(Kind::Float).double_value(&[]),
                    0.0
                );
            }
        }
    }

    #[test]
    fn two_reads_that_carry_the_state_on_equal_a_long_one() {
        for cell in CELLS {
            let (_, net) = built(&config(cell, false));
            let x = numbers(&[3, 7, 2], 9);
            for (lengths, first, second) in [
                (vec![], vec![], vec![]),
                (vec![7, 5, 3], vec![3; 3], vec![4, 2, 0]),
            ] {
                let whole = net.read(&x, &lengths, None, false);
                let start = net.read(&x.narrow(1, 0, 3), &first, None, false);
                let rest = net.read(&x.narrow(1, 3, 4), &second, Some(&start.state), false);
                assert_eq!(rest.state.size(), [3, net.state_len()]);
                assert_close(&rest.state, &doubles(&whole.state));
                assert_close(&rest.features, &doubles(&whole.features));
                assert_close(
                    &Tensor::cat(&[start.steps, rest.steps], 1),
                    &doubles(&whole.steps),
                );
            }
        }
        assert_eq!(built(&config(CELLS[2], true)).1.state_len(), 0);
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let space = Space::MultiDiscrete(vec![5; 4]);
        let obs = Tensor::from_slice(&[0_i64, 2, 4, 1, 3, 3, 0, 2]).view([2, 4]);
        // Those of a ReLU have kinks that a difference would meet.
        let smooth = all_configs().filter(|config| config.activation == Activation::Tanh);
        for (config, readout) in smooth.zip(READOUTS.into_iter().cycle()) {
            let config = RnnConfig {
                embedding: 2,
                readout,
                ..config
            };
            let (mut store, net) = build(&config, &space, 1).unwrap();
            store.enable_gradients();
            let loss = || {
                let read = net.read(&obs, &[4, 2], None, true);
                let steps = read.steps.pow_tensor_scalar(3).mean(Kind::Double);
                read.features.square().sum(Kind::Double) + steps
            };
            loss().backward();
            let gradient = to_vec(store.gradient());
            assert!(gradient.iter().filter(|g| g.abs() > 1e-4).count() > gradient.len() / 4);
            for (i, expected) in gradient.into_iter().enumerate() {
                let mut at = |shift: f64| {
                    let mut weight = store.flat_and_gradient_mut().0.narrow(0, i as i64, 1);
                    let _ = weight.g_add_scalar_(shift);
                    loss().double_value(&[])
                };
                let step = 5e-3;
                let (up, down) = (at(step), at(-2.0 * step));
                at(step);
                // f32 rounding over the step: about 1e-6 / 1e-2; curvature adds the rest.
                let difference = (up - down) / (2.0 * step);
                assert!(
                    (difference - f64::from(expected)).abs() < 3e-3 * (1.0 + difference.abs()),
                    "{config:?}, weight {i}: {difference} {expected}"
                );
            }
        }
    }

    #[test]
    fn tokens_equal_their_one_hot_rows() {
        let tokens = Tensor::from_slice(&[0_i64, 2, 4, 1, 3, 3]).view([2, 3]);
        let rows =
            Tensor::eye(5, (Kind::Float, Device::Cpu)).index_select(0, &tokens.flatten(0, 1));
        for (embedding, first) in [(0, [9, 5]), (2, [5, 2])] {
            let config = RnnConfig {
                embedding,
                ..config(CELLS[2], false)
            };
            let (store, net) = build(&config, &Space::MultiDiscrete(vec![5; 3]), 1).unwrap();
            assert_eq!(store.shapes().next().unwrap().1, first);
            let expected = doubles(&net.features(&tokens, false));
            assert_close(&net.features(&rows.view([2, 15]), false), &expected);
            assert_close(&net.features(&rows.view([2, 3, 5]), false), &expected);
        }
        // By hand: an embedded token is its row of the table.
        let config = RnnConfig {
            embedding: 2,
            layers: 1,
            ..config(CELLS[0], false)
        };
        let (_, net) = build(&config, &Space::Discrete(5), 1).unwrap();
        let row = doubles(&net.embedding.as_ref().unwrap().weight.get(1));
        let w = &net.layers[0].weights;
        let a = affine(&w[0], &w[2], &row);
        let expected: Vec<f64> = a
            .iter()
            .zip(doubles(&w[3]))
            .map(|(a, b)| (a + b).tanh())
            .collect();
        assert_close(
            &net.features(&tokens.get(1).narrow(0, 0, 1).view([1, 1]), false),
            &expected,
        );
    }

    #[test]
    fn frames_of_a_stack_numbers_and_tokens_are_steps() {
        let boxed = Space::unbounded;
        for (space, frames, time, inputs, tokens) in [
            (boxed(&[40]), 1, 40, 1, false),
            (boxed(&[4, 3, 2]), 1, 4, 6, false),
            (boxed(&[4, 3]), 4, 4, 3, false),
            (boxed(&[6]), 3, 3, 2, false),
            (Space::Discrete(7), 1, 1, 7, true),
            (Space::MultiDiscrete(vec![7; 5]), 1, 5, 7, true),
            (Space::MultiDiscrete(vec![7; 5]), 5, 5, 7, true),
            (Space::MultiDiscrete(vec![7; 6]), 3, 3, 14, false),
            (Space::MultiDiscrete(vec![2, 3, 2, 3]), 2, 2, 5, false),
        ] {
            let expected = Steps {
                time,
                inputs,
                tokens,
            };
            assert_eq!(
                Steps::of(&space, frames).unwrap(),
                expected,
                "{space}, {frames} frames"
            );
        }
        let (_, net) = build(&config(CELLS[0], false), &boxed(&[6]), 3).unwrap();
        let obs = numbers(&[2, 6], 4);
        let outputs = by_hand(&net, &obs.get(1).view([3, 2]));
        assert_close(&net.features(&obs, false).get(1), &outputs[2]);
        for space in [
            Space::MultiDiscrete(vec![2, 3]),
            boxed(&[]),
            Space::Tuple(vec![boxed(&[4])]),
        ] {
            let error = build(&config(CELLS[0], false), &space, 1).unwrap_err();
            let error = error.under("extractor").to_string();
            assert!(
                error.starts_with("extractor: kind \"rnn\" reads a sequence, and "),
                "{error}"
            );
        }
    }

    #[test]
    fn sizes_and_names_are_known_before_the_network_is_built() {
        let space = Space::MultiDiscrete(vec![5; 4]);
        for config in all_configs() {
            for readout in READOUTS {
                for (embedding, encoder, hidden) in [(0, vec![], vec![]), (2, vec![4, 7], vec![5])]
                {
                    let config = RnnConfig {
                        readout,
                        embedding,
                        encoder,
                        hidden,
                        ..config.clone()
                    };
                    let (store, net) = build(&config, &space, 1).unwrap();
                    let size = (store.num_parameters() as u64, net.width() as u64);
                    assert_eq!(config.size(&space, 1), size);
                    let read = net.read(
                        &Tensor::zeros([2, 4], (Kind::Int64, Device::Cpu)),
                        &[],
                        None,
                        false,
                    );
                    assert_eq!(read.features.size(), [2, net.width()]);
                    assert_eq!(read.steps.size(), [2, 4, net.position_width()]);
                    assert_eq!(read.state.size(), [2, net.state_len()]);
                }
            }
        }
        let (store, _) = built(&config(CELLS[3], true));
        let names: Vec<_> = store.shapes().map(|(name, _)| name).collect();
        let per_layer = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
        let suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"];
        let expected = suffixes.map(|suffix| per_layer.map(|name| format!("rnn.{name}{suffix}")));
        assert_eq!(names, expected.concat());
    }

    #[test]
    fn numbers_are_dropped_between_layers_while_learning_only() {
        let plain = config(CELLS[2], false);
        let dropping = RnnConfig {
            dropout: 0.5,
            ..plain.clone()
        };
        let ((mut store, net), (other, expected)) = (built(&dropping), built(&plain));
        assert_eq!(net.dropout.len(), 1);
        store.copy_from(&other);
        let x = numbers(&[2, 4, 2], 5);
        assert_eq!(net.features(&x, false), expected.features(&x, false));
        let features = |pass| {
            store.draw_for(pass);
            net.features(&x, true)
        };
        assert_ne!(features(1), features(2));
        assert_eq!(features(1), features(1));
    }

    #[test]
    fn bad_settings_are_refused_by_name() {
        let good = config(CELLS[2], false);
        for (config, message) in [
            (
                RnnConfig {
                    units: 0,
                    ..good.clone()
                },
                "extractor.units: 0 is out of range; give 1 to 65536",
            ),
            (
                RnnConfig {
                    layers: 0,
                    ..good.clone()
                },
                "extractor.layers: 0 is out of range; give 1 to 64",
            ),
            (
                RnnConfig {
                    dropout: 1.0,
                    ..good.clone()
                },
                "extractor.dropout: 1 is out of range; give 0 or more and below 1",
            ),
            (
                RnnConfig {
                    dropout: 0.1,
                    layers: 1,
                    ..good.clone()
                },
                "extractor.dropout: there is one layer, and nothing is dropped behind the last; give 0, or layers of 2 or more",
            ),
            (
                RnnConfig {
                    activation: Activation::Relu,
                    ..good.clone()
                },
                "extractor.activation: only the cell \"rnn\" can have another than tanh",
            ),
            (
                RnnConfig {
                    embedding: 8,
                    ..good.clone()
                },
                "extractor.embedding: box(4x2; -inf..inf) holds no tokens; give 0",
            ),
            (
                RnnConfig {
                    embedding: 1 << 20,
                    ..good.clone()
                },
                "extractor.embedding: 1048576 is out of range; give 0 to 65536",
            ),
            (
                RnnConfig {
                    hidden: vec![0],
                    ..good.clone()
                },
                "extractor.hidden: [0] is out of range; give layers of 1 to 65536 units",
            ),
        ] {
            let error = build(&config, &Space::unbounded(&[4, 2]), 1).unwrap_err();
            assert_eq!(error.under("extractor").to_string(), message);
        }
    }

    #[test]
    #[should_panic(expected = "all steps are read out, of sequences of another length")]
    fn all_steps_of_another_length_are_not_read_out() {
        let config = RnnConfig {
            readout: Readout::All,
            ..config(CELLS[2], false)
        };
        let _ = built(&config).1.features(&numbers(&[2, 3, 2], 1), false);
    }
}
