//! Chains of layers in plain Rust: forward and backward pass without libtorch.
//!
//! One libtorch call costs a microsecond or more, and its autograd tens of them, which is most of the time of a small
//! network on the processor. Here a layer is one loop over packed panels, so that a forward pass of a 4-64-64-2 network
//! takes about as long as a single libtorch call. The weights stay in the [`ParamStore`], where everything else finds
//! them; the libtorch layers of the same network are the reference that the tests compare with.

use crate::ParamStore;
use crate::layers::{ConvShape, LayerNorm};
use crate::product::{Lane, Left, multiply_add, pack, pack_transposed};

/// A layer of a [`Chain`], whose variables are declared in this order: weight, bias, and with a norm its gain and shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// What is multiplied.
    pub product: Product,
    /// Whether every row of outputs is [normalised](LayerNorm), for a convolution the filters of every pixel.
    pub norm: bool,
    /// Whether negative outputs become 0.
    pub relu: bool,
}

/// The linear part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// [`Linear`](crate::Linear) from so many inputs to so many outputs.
    Linear(usize, usize),
    /// [`Conv`](crate::Conv).
    Conv(ConvShape),
}

impl LayerShape {
    /// A linear layer without norm.
    pub fn linear(inputs: usize, outputs: usize, relu: bool) -> Self {
        Self {
            product: Product::Linear(inputs, outputs),
            norm: false,
            relu,
        }
    }
}

/// Layers one after another on the weights of a [`ParamStore`].
#[derive(Debug)]
pub struct Chain {
    layers: Vec<Layer>,
    /// The inputs, `[batch, inputs]`.
    inputs: Vec<f32>,
    /// Gradients of the values at hand and of the layer below.
    gradients: [Vec<f32>; 2],
    /// Panels of the right factor of a product in the backward pass.
    panels: Vec<Lane>,
}

/// One layer: where its weights lie, a copy of them in the order the forward pass reads, and what it put out last.
///
/// Values are `[batch, outputs, pixels]`; a linear layer has one pixel.
#[derive(Debug)]
struct Layer {
    shape: LayerShape,
    /// Numbers that an output is made of, a pixel's patch for a convolution.
    inputs: usize,
    outputs: usize,
    pixels: usize,
    /// First weight in the flat tensor.
    start: usize,
    /// `Wᵀ` in panels, for a linear layer.
    panels: Vec<Lane>,
    /// `W`, for a convolution.
    weights: Vec<f32>,
    bias: Vec<f32>,
    gain: Vec<f32>,
    shift: Vec<f32>,
    /// For a convolution `[batch, inputs, pixels]`: the patch under each output pixel, down the columns.
    patches: Vec<f32>,
    /// With a norm the normalised values, and what those of each pixel were divided by, `[batch, pixels]`.
    normalised: Vec<f32>,
    inverse_deviations: Vec<f32>,
    values: Vec<f32>,
}

impl Chain {
    /// Layers whose variables are all of `params`, in that order.
    ///
    /// # Panics
    /// If `params` has another number of weights, or is not on the processor.
    pub fn new(shapes: &[LayerShape], params: &ParamStore) -> Self {
        let mut start = 0;
        let layers = shapes.iter().map(|&shape| {
            let layer = Layer::new(shape, start);
            start += layer.num_weights();
            layer
        });
        let mut chain = Self {
            layers: layers.collect(),
            inputs: Vec::new(),
            gradients: [Vec::new(), Vec::new()],
            panels: Vec::new(),
        };
        assert_eq!(
            start,
            params.num_parameters(),
            "layers {shapes:?} on another network's weights"
        );
        chain.refresh(params);
        chain
    }

    /// Takes over changed weights. Without this the next passes use the old ones.
    pub fn refresh(&mut self, params: &ParamStore) {
        params.read(|flat| self.layers.iter_mut().for_each(|layer| layer.refresh(flat)));
    }

    /// `obs` `[batch, inputs]` -> `[batch, outputs]`.
    ///
    /// # Panics
    /// If the length of `obs` is no multiple of the inputs.
    pub fn forward(&mut self, obs: &[f32]) -> &[f32] {
        let inputs = self.layers[0].inputs_per_sample();
        assert!(
            obs.len().is_multiple_of(inputs),
            "observations of another length"
        );
        let batch = obs.len() / inputs;
        self.inputs.clear();
        self.inputs.extend_from_slice(obs);
        let mut below = &self.inputs;
        for layer in &mut self.layers {
            layer.forward(below, batch, &mut self.panels);
            below = &layer.values;
        }
        below
    }

    /// Writes the gradient of all weights into `params`, given that of the outputs of the last
    /// [`forward`](Self::forward), `[batch, outputs]`.
    ///
    /// # Panics
    /// If `d_outputs` does not fit the last forward pass, or `params` has no gradient.
    pub fn backward(&mut self, d_outputs: &[f32], params: &mut ParamStore) {
        let Self {
            layers,
            inputs,
            gradients: [d_y, d_x],
            panels,
        } = self;
        let outputs = layers.last().map_or(0, |last| last.values.len());
        assert_eq!(d_outputs.len(), outputs, "gradient of another batch");
        d_y.clear();
        d_y.extend_from_slice(d_outputs);
        params.write(|flat, gradient| {
            for i in (0..layers.len()).rev() {
                let (before, from) = layers.split_at_mut(i);
                let layer = &mut from[0];
                let below = before.last().map_or(&*inputs, |below| &below.values);
                layer.backward(below, d_y, gradient, panels);
                if i > 0 {
                    d_x.clear();
                    d_x.resize(below.len(), 0.0);
                    layer.pass_down(flat, d_y, d_x, panels);
                    std::mem::swap(d_y, d_x);
                }
            }
        });
    }
}

impl Layer {
    fn new(shape: LayerShape, start: usize) -> Self {
        let (inputs, outputs, pixels) = match shape.product {
            Product::Linear(inputs, outputs) => (inputs, outputs, 1),
            Product::Conv(conv) => (conv.patch(), conv.filters, conv.pixels()),
        };
        let norm = if shape.norm { outputs } else { 0 };
        Self {
            shape,
            inputs,
            outputs,
            pixels,
            start,
            panels: Vec::new(),
            weights: Vec::new(),
            bias: vec![0.0; outputs],
            gain: vec![0.0; norm],
            shift: vec![0.0; norm],
            patches: Vec::new(),
            normalised: Vec::new(),
            inverse_deviations: Vec::new(),
            values: Vec::new(),
        }
    }

    fn num_weights(&self) -> usize {
        (self.inputs + 1) * self.outputs + 2 * self.gain.len()
    }

    fn inputs_per_sample(&self) -> usize {
        match self.shape.product {
            Product::Linear(inputs, _) => inputs,
            Product::Conv(conv) => conv.inputs(),
        }
    }

    fn refresh(&mut self, flat: &[f32]) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (weights, rest) = flat[self.start..].split_at(inputs * outputs);
        match self.shape.product {
            Product::Linear(..) => pack_transposed(weights, inputs, outputs, &mut self.panels),
            Product::Conv(_) => {
                self.weights.clear();
                self.weights.extend_from_slice(weights);
            }
        }
        let (bias, rest) = rest.split_at(outputs);
        self.bias.copy_from_slice(bias);
        let norm = self.gain.len();
        self.gain.copy_from_slice(&rest[..norm]);
        self.shift.copy_from_slice(&rest[norm..2 * norm]);
    }

    /// Fills `values` from those of the layer below.
    fn forward(&mut self, below: &[f32], batch: usize, panels: &mut Vec<Lane>) {
        let y = &mut self.values;
        y.clear();
        match self.shape.product {
            Product::Linear(inputs, outputs) => {
                (0..batch).for_each(|_| y.extend_from_slice(&self.bias));
                let shape = [batch, inputs, outputs];
                multiply_add(Left::Rows(below), &self.panels, y, shape);
            }
            Product::Conv(conv) => {
                gather_patches(below, conv, &mut self.patches);
                let shape = [self.outputs, self.inputs, self.pixels];
                for patches in self.patches.chunks_exact(self.inputs * self.pixels) {
                    let start = y.len();
                    for &bias in &self.bias {
                        y.resize(y.len() + self.pixels, bias);
                    }
                    pack(patches, self.inputs, self.pixels, panels);
                    multiply_add(Left::Rows(&self.weights), panels, &mut y[start..], shape);
                }
            }
        }
        if self.shape.norm {
            self.normalise();
        }
        if self.shape.relu {
            self.values.iter_mut().for_each(|y| *y = y.max(0.0));
        }
    }

    /// Normalises the values of every pixel.
    fn normalise(&mut self) {
        let (n, pixels) = (self.outputs as f32, self.pixels);
        self.inverse_deviations.clear();
        self.normalised.clear();
        self.normalised.extend_from_slice(&self.values);
        if pixels == 1 {
            return self.normalise_rows();
        }
        let samples = self
            .normalised
            .chunks_exact_mut(self.outputs * pixels)
            .zip(self.values.chunks_exact_mut(self.outputs * pixels));
        let mut means = vec![0.0; pixels];
        for (x, y) in samples {
            sum_rows(x, &mut means);
            means.iter_mut().for_each(|mean| *mean /= n);
            let start = self.inverse_deviations.len();
            self.inverse_deviations.resize(start + pixels, 0.0);
            let deviations = &mut self.inverse_deviations[start..];
            for row in x.chunks_exact_mut(pixels) {
                for ((x, mean), square) in row.iter_mut().zip(&means).zip(&mut *deviations) {
                    *x -= mean;
                    *square += *x * *x;
                }
            }
            let invert = |square: &mut f32| *square = 1.0 / (*square / n + EPSILON).sqrt();
            deviations.iter_mut().for_each(invert);
            let rows = x.chunks_exact_mut(pixels).zip(y.chunks_exact_mut(pixels));
            for ((x, y), (gain, shift)) in rows.zip(self.gain.iter().zip(&self.shift)) {
                for ((x, y), inverse) in x.iter_mut().zip(y).zip(&*deviations) {
                    *x *= inverse;
                    *y = *x * gain + shift;
                }
            }
        }
    }

    /// The same for one pixel, where what is summed lies side by side.
    fn normalise_rows(&mut self) {
        let n = self.outputs as f32;
        let rows = self
            .normalised
            .chunks_exact_mut(self.outputs)
            .zip(self.values.chunks_exact_mut(self.outputs));
        for (x, y) in rows {
            let mean = sum(x) / n;
            x.iter_mut().for_each(|x| *x -= mean);
            let inverse = 1.0 / (dot(x, x) / n + EPSILON).sqrt();
            self.inverse_deviations.push(inverse);
            let weights = self.gain.iter().zip(&self.shift);
            for ((x, y), (gain, shift)) in x.iter_mut().zip(y).zip(weights) {
                *x *= inverse;
                *y = *x * gain + shift;
            }
        }
    }

    /// Writes the gradients of the layer's weights, and turns `d_y` from the gradient of its values into that of the
    /// product.
    fn backward(
        &mut self,
        below: &[f32],
        d_y: &mut [f32],
        gradient: &mut [f32],
        panels: &mut Vec<Lane>,
    ) {
        if self.shape.relu {
            let clipped = |(d, &y): (&mut f32, &f32)| *d = if y > 0.0 { *d } else { 0.0 };
            d_y.iter_mut().zip(&self.values).for_each(clipped);
        }
        let (inputs, outputs, pixels) = (self.inputs, self.outputs, self.pixels);
        let gradient = &mut gradient[self.start..][..self.num_weights()];
        let (d_weights, rest) = gradient.split_at_mut(inputs * outputs);
        let (d_bias, d_norm) = rest.split_at_mut(outputs);
        if self.shape.norm {
            let (d_gain, d_shift) = d_norm.split_at_mut(outputs);
            self.backward_norm(d_y, d_gain, d_shift);
        }
        match self.shape.product {
            Product::Linear(..) => {
                let batch = d_y.len() / outputs;
                pack(below, batch, inputs, panels);
                d_weights.fill(0.0);
                multiply_add(
                    Left::Columns(d_y),
                    panels,
                    d_weights,
                    [outputs, batch, inputs],
                );
                sum_rows(d_y, d_bias);
            }
            Product::Conv(_) => {
                // The patches lie with their pixels along the rows, so that the transpose of the gradient is summed.
                let mut transposed = vec![0.0; inputs * outputs];
                d_bias.fill(0.0);
                let samples = self
                    .patches
                    .chunks_exact(inputs * pixels)
                    .zip(d_y.chunks_exact(outputs * pixels));
                for (patches, d_y) in samples {
                    pack_transposed(d_y, pixels, outputs, panels);
                    let shape = [inputs, pixels, outputs];
                    multiply_add(Left::Rows(patches), panels, &mut transposed, shape);
                    let rows = d_y.chunks_exact(pixels);
                    d_bias
                        .iter_mut()
                        .zip(rows)
                        .for_each(|(d, row)| *d += sum(row));
                }
                for (i, row) in transposed.chunks_exact(outputs).enumerate() {
                    let column = d_weights[i..].iter_mut().step_by(inputs);
                    column.zip(row).for_each(|(d, x)| *d = *x);
                }
            }
        }
    }

    /// The gradient through the norm: `d_x = (g - mean(g) - x̂ mean(g x̂)) / deviation` with `g = gain d_y`, the means
    /// being over the outputs of a pixel.
    fn backward_norm(&self, d_y: &mut [f32], d_gain: &mut [f32], d_shift: &mut [f32]) {
        let (n, pixels) = (self.outputs as f32, self.pixels);
        d_gain.fill(0.0);
        d_shift.fill(0.0);
        if pixels == 1 {
            return self.backward_norm_rows(d_y, d_gain, d_shift);
        }
        let (mut means, mut along) = (vec![0.0; pixels], vec![0.0; pixels]);
        let samples = d_y
            .chunks_exact_mut(self.outputs * pixels)
            .zip(self.normalised.chunks_exact(self.outputs * pixels))
            .zip(self.inverse_deviations.chunks_exact(pixels));
        for ((d_y, x), inverse) in samples {
            means.fill(0.0);
            along.fill(0.0);
            for (f, (d_y, x)) in d_y
                .chunks_exact_mut(pixels)
                .zip(x.chunks_exact(pixels))
                .enumerate()
            {
                d_shift[f] += sum(d_y);
                let mut product = 0.0;
                for (((d, x), mean), along) in d_y.iter_mut().zip(x).zip(&mut means).zip(&mut along)
                {
                    product += *d * x;
                    *d *= self.gain[f];
                    *mean += *d;
                    *along += *d * x;
                }
                d_gain[f] += product;
            }
            means.iter_mut().for_each(|mean| *mean /= n);
            along.iter_mut().for_each(|along| *along /= n);
            for (d_y, x) in d_y.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels)) {
                let numbers = d_y.iter_mut().zip(x).zip(&means).zip(&along).zip(inverse);
                for ((((d, x), mean), along), inverse) in numbers {
                    *d = inverse * (*d - mean - x * along);
                }
            }
        }
    }

    /// The same for one pixel.
    fn backward_norm_rows(&self, d_y: &mut [f32], d_gain: &mut [f32], d_shift: &mut [f32]) {
        let n = self.outputs as f32;
        let rows = d_y
            .chunks_exact_mut(self.outputs)
            .zip(self.normalised.chunks_exact(self.outputs))
            .zip(&self.inverse_deviations);
        for ((d_y, x), inverse) in rows {
            let sums = d_gain.iter_mut().zip(&mut *d_shift);
            for (((d, x), gain), (d_gain, d_shift)) in
                d_y.iter_mut().zip(x).zip(&self.gain).zip(sums)
            {
                *d_gain += *d * x;
                *d_shift += *d;
                *d *= gain;
            }
            let (mean, along) = (sum(d_y) / n, dot(d_y, x) / n);
            for (d, x) in d_y.iter_mut().zip(x) {
                *d = inverse * (*d - mean - x * along);
            }
        }
    }

    /// Adds to `d_x` the gradient of the values below, from `d_y`, that of the product.
    fn pass_down(&mut self, flat: &[f32], d_y: &[f32], d_x: &mut [f32], panels: &mut Vec<Lane>) {
        let (inputs, outputs, pixels) = (self.inputs, self.outputs, self.pixels);
        match self.shape.product {
            Product::Linear(..) => {
                let weights = &flat[self.start..][..inputs * outputs];
                pack(weights, outputs, inputs, panels);
                let shape = [d_y.len() / outputs, outputs, inputs];
                multiply_add(Left::Rows(d_y), panels, d_x, shape);
            }
            Product::Conv(conv) => {
                // The patches are needed no more.
                self.patches.fill(0.0);
                let samples = self
                    .patches
                    .chunks_exact_mut(inputs * pixels)
                    .zip(d_y.chunks_exact(outputs * pixels));
                for (patches, d_y) in samples {
                    pack(d_y, outputs, pixels, panels);
                    let shape = [inputs, outputs, pixels];
                    multiply_add(Left::Columns(&self.weights), panels, patches, shape);
                }
                scatter_patches(&self.patches, conv, d_x);
            }
        }
    }
}

const EPSILON: f32 = LayerNorm::EPSILON as f32;

/// Copies what each weight of a filter meets under all output pixels: `images` `[batch, channels, height, width]` to
/// `[batch, patch, pixels]`.
fn gather_patches(images: &[f32], conv: ConvShape, patches: &mut Vec<f32>) {
    patches.clear();
    let width = conv.output()[1];
    for image in images.chunks_exact(conv.inputs()) {
        for start in conv.line_starts() {
            let line = &image[start..];
            if let (1, 8, Some(line)) = (conv.stride, width, line.first_chunk::<8>()) {
                // MinAtar's: a copy of known length is an instruction instead of a call.
                patches.extend_from_slice(line);
            } else if conv.stride == 1 {
                patches.extend_from_slice(&line[..width]);
            } else {
                patches.extend(line.iter().step_by(conv.stride).take(width));
            }
        }
    }
}

/// Adds the patches up where they were gathered.
fn scatter_patches(patches: &[f32], conv: ConvShape, images: &mut [f32]) {
    let mut lines = patches.chunks_exact(conv.output()[1]);
    for image in images.chunks_exact_mut(conv.inputs()) {
        for start in conv.line_starts() {
            let line = lines.next().expect("a line for each that was gathered");
            let numbers = image[start..].iter_mut().step_by(conv.stride);
            numbers.zip(line).for_each(|(number, d)| *number += d);
        }
    }
}

/// Adds up the rows of `rows` into `sum`.
fn sum_rows(rows: &[f32], sum: &mut [f32]) {
    sum.fill(0.0);
    if let [only] = sum {
        *only = self::sum(rows);
        return;
    }
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// The sum of `values`, in sixteen chains so that they fit into registers.
fn sum(values: &[f32]) -> f32 {
    let mut lanes: Lane = [0.0; 16];
    let chunks = values.chunks_exact(lanes.len());
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x);
    }
    lanes.iter().sum::<f32>() + rest
}

/// The sum of the products of `a` and `b`, in sixteen chains.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes: Lane = [0.0; 16];
    let (a, b) = (a.chunks_exact(lanes.len()), b.chunks_exact(lanes.len()));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        let products = a.iter().zip(b);
        lanes
            .iter_mut()
            .zip(products)
            .for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::to_vec;
    use crate::{ExtractorConfig, FeatureExtractor, Linear};
    use tch::{Device, Kind, Tensor};
    use thorndike_core::rand::RngExt;
    use thorndike_core::{Seeds, Space};

    fn drawn(seed: u64, len: usize) -> Vec<f32> {
        let mut rng = Seeds::new(seed).stream("test", 0);
        (0..len).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect()
    }

    /// The same network in libtorch and here, with three outputs.
    fn twins(
        config: serde_json::Value,
        shape: &[usize],
    ) -> (ParamStore, Box<dyn FeatureExtractor>, Linear, Chain) {
        let config: ExtractorConfig = serde_json::from_value(config).unwrap();
        let rng = Seeds::new(7).stream("agent/init", 0);
        let (mut params, (extractor, head)) = ParamStore::build(Device::Cpu, rng, |scope| {
            let space = Space::unbounded(shape);
            let extractor =
                config.build(&mut scope.sub("extractor"), &crate::Inputs::of(&space))?;
            let head = Linear::new(&mut scope.sub("head"), extractor.width(), 3);
            Ok((extractor, head))
        })
        .unwrap();
        params.enable_gradients();
        let mut layers = extractor.chain().unwrap();
        layers.push(LayerShape::linear(extractor.width() as usize, 3, false));
        let chain = Chain::new(&layers, &params);
        (params, extractor, head, chain)
    }

    fn assert_close(a: &[f32], b: &[f32], what: &str) {
        assert_eq!(a.len(), b.len());
        let scale = b.iter().fold(1.0_f32, |max, b| max.max(b.abs()));
        for (a, b) in a.iter().zip(b) {
            // Sums of some hundred terms in another order: some 1e-6 of the largest.
            assert!((a - b).abs() < 1e-5 * scale, "{a} {b}: {what}");
        }
    }

    #[test]
    fn passes_equal_libtorch() {
        use serde_json::json;
        let conv = |filters: usize, size: usize, stride: usize| json!({"filters": filters, "size": size, "stride": stride});
        for (config, shape, batch) in [
            (json!({"kind": "mlp", "hidden": [64, 64]}), &[5][..], 32),
            (json!({"kind": "mlp", "hidden": [7]}), &[5], 1),
            (json!({"kind": "mlp", "hidden": [20, 9, 33]}), &[5], 6),
            (
                json!({"kind": "mlp", "hidden": [20, 33], "norm": "layer"}),
                &[5],
                6,
            ),
            (json!({"kind": "flatten"}), &[2, 3], 4),
            (
                json!({"kind": "cnn", "layers": [conv(16, 3, 1)], "hidden": [24]}),
                &[4, 10, 10],
                5,
            ),
            (
                json!({"kind": "cnn", "layers": [conv(5, 3, 1)], "hidden": []}),
                &[7, 6],
                3,
            ),
            (
                json!({"kind": "cnn", "layers": [conv(6, 4, 2), conv(5, 3, 1)], "hidden": [9]}),
                &[2, 11, 13],
                4,
            ),
            (
                json!({"kind": "cnn", "layers": [conv(6, 4, 3), conv(5, 2, 1)], "hidden": [9], "norm": "layer"}),
                &[2, 3, 12, 12],
                4,
            ),
        ] {
            let what = config.to_string();
            let inputs: usize = shape.iter().product();
            let (mut params, extractor, head, mut chain) = twins(config, shape);
            // Norms start as ones and zeros, which would hide a mix-up.
            let jitter = Tensor::from_slice(&drawn(99, params.num_parameters())) * 0.1;
            let _ = params.flat_and_gradient_mut().0.g_add_(&jitter);
            chain.refresh(&params);
            for round in 0..2 {
                let obs = drawn(round, batch * inputs);
                let d_outputs = drawn(10 + round, batch * 3);
                let dims: Vec<i64> = [batch].iter().chain(shape).map(|&n| n as i64).collect();
                let tensor = Tensor::from_slice(&obs).view(dims.as_slice());
                let outputs = head.forward(&extractor.features(&tensor, true));
                assert_close(chain.forward(&obs), &to_vec(&outputs), &what);

                params.zero_gradient();
                (outputs * Tensor::from_slice(&d_outputs).view([batch as i64, 3]))
                    .sum(Kind::Float)
                    .backward();
                let expected = to_vec(params.gradient());
                chain.backward(&d_outputs, &mut params);
                assert_close(&to_vec(params.gradient()), &expected, &what);

                let _ = params.flat_and_gradient_mut().0.g_mul_scalar_(0.9);
                chain.refresh(&params);
            }
        }
    }

    #[test]
    fn a_row_gives_the_same_bits_in_any_batch() {
        let (_, _, _, mut chain) = twins(serde_json::json!({"kind": "mlp"}), &[5]);
        let obs = drawn(3, 9 * 5);
        let together = chain.forward(&obs).to_vec();
        for (row, expected) in obs.chunks(5).zip(together.chunks(3)) {
            assert_eq!(chain.forward(row), expected);
        }
    }
}
