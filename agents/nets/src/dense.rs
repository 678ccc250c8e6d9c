//! A chain of fully connected ReLU layers in plain Rust: forward and backward pass without libtorch.
//!
//! One libtorch call costs a microsecond or more, and its autograd tens of them, which is most of the time
//! of a small network on the processor. Here a layer is one loop over packed panels, so that a forward pass
//! of a 4-64-64-2 network takes about as long as a single libtorch call. The weights stay in the
//! [`ParamStore`], where everything else finds them; the libtorch layers of the same network are the
//! reference that the tests compare with.

use crate::ParamStore;

/// Rows of a tile: this many rows of the left factor share each load of the right one.
const ROWS: usize = 4;
/// Columns of a panel: two AVX registers.
const COLS: usize = 16;
/// One row of a panel.
type Lane = [f32; COLS];

/// Layers `y = max(0, x Wᵀ + b)`, the last one without the maximum, on the weights of a [`ParamStore`].
#[derive(Debug)]
pub struct Dense {
    layers: Vec<Layer>,
    /// Values after each layer, `[batch, units]`; the first are the inputs.
    values: Vec<Vec<f32>>,
    /// Gradients of the values at hand and of the layer below.
    gradients: [Vec<f32>; 2],
    /// Panels of the right factor of a product in the backward pass.
    panels: Vec<Lane>,
}

/// One layer: where its weights lie and a copy of them in the order the forward pass reads.
#[derive(Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    /// First weight in the flat tensor; the bias follows the weights.
    start: usize,
    /// `Wᵀ` in panels.
    weights: Vec<Lane>,
    bias: Vec<f32>,
}

impl Dense {
    /// Layers from `sizes[0]` inputs to `sizes.last()` outputs, whose weights and biases are all of
    /// `params`, in that order.
    ///
    /// # Panics
    /// If `params` has another number of weights, or is not on the processor.
    pub fn new(sizes: &[usize], params: &ParamStore) -> Self {
        let mut start = 0;
        let layers = sizes.windows(2).map(|pair| {
            let layer = Layer {
                inputs: pair[0],
                outputs: pair[1],
                start,
                weights: Vec::new(),
                bias: vec![0.0; pair[1]],
            };
            start += (pair[0] + 1) * pair[1];
            layer
        });
        let mut dense = Self {
            layers: layers.collect(),
            values: vec![Vec::new(); sizes.len()],
            gradients: [Vec::new(), Vec::new()],
            panels: Vec::new(),
        };
        assert_eq!(
            start,
            params.num_parameters(),
            "layers {sizes:?} on another network's weights"
        );
        dense.refresh(params);
        dense
    }

    /// Takes over changed weights. Without this the next passes use the old ones.
    pub fn refresh(&mut self, params: &ParamStore) {
        params.read(|flat| {
            for layer in &mut self.layers {
                let (weights, rest) = flat[layer.start..].split_at(layer.inputs * layer.outputs);
                pack_transposed(weights, layer.inputs, layer.outputs, &mut layer.weights);
                layer.bias.copy_from_slice(&rest[..layer.outputs]);
            }
        });
    }

    /// `obs` `[batch, inputs]` -> `[batch, outputs]`.
    ///
    /// # Panics
    /// If the length of `obs` is no multiple of the inputs.
    pub fn forward(&mut self, obs: &[f32]) -> &[f32] {
        let batch = obs.len() / self.layers[0].inputs;
        assert_eq!(
            batch * self.layers[0].inputs,
            obs.len(),
            "observations of another length"
        );
        self.values[0].clear();
        self.values[0].extend_from_slice(obs);
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter().enumerate() {
            let (below, above) = self.values.split_at_mut(i + 1);
            let (x, y) = (&below[i], &mut above[0]);
            y.clear();
            (0..batch).for_each(|_| y.extend_from_slice(&layer.bias));
            multiply_add(
                Left::Rows(x),
                &layer.weights,
                y,
                [batch, layer.inputs, layer.outputs],
            );
            if i < last {
                y.iter_mut().for_each(|y| *y = y.max(0.0));
            }
        }
        &self.values[last + 1]
    }

    /// Writes the gradient of all weights into `params`, given that of the outputs of the last
    /// [`forward`](Self::forward), `[batch, outputs]`.
    ///
    /// # Panics
    /// If `d_outputs` does not fit the last forward pass, or `params` has no gradient.
    pub fn backward(&mut self, d_outputs: &[f32], params: &mut ParamStore) {
        let Self {
            layers,
            values,
            gradients: [d_y, d_x],
            panels,
        } = self;
        assert_eq!(
            d_outputs.len(),
            values[layers.len()].len(),
            "gradient of another batch"
        );
        d_y.clear();
        d_y.extend_from_slice(d_outputs);
        params.write(|flat, gradient| {
            for (i, layer) in layers.iter().enumerate().rev() {
                let x = &values[i];
                let batch = x.len() / layer.inputs;
                let size = layer.inputs * layer.outputs;
                let (d_weights, rest) = gradient[layer.start..].split_at_mut(size);
                pack(x, batch, layer.inputs, panels);
                d_weights.fill(0.0);
                multiply_add(
                    Left::Columns(d_y),
                    panels,
                    d_weights,
                    [layer.outputs, batch, layer.inputs],
                );
                sum_rows(d_y, &mut rest[..layer.outputs]);
                if i > 0 {
                    pack(
                        &flat[layer.start..][..size],
                        layer.outputs,
                        layer.inputs,
                        panels,
                    );
                    d_x.clear();
                    d_x.resize(x.len(), 0.0);
                    multiply_add(
                        Left::Rows(d_y),
                        panels,
                        d_x,
                        [batch, layer.outputs, layer.inputs],
                    );
                    let clipped = |(d, &x): (&mut f32, &f32)| *d = if x > 0.0 { *d } else { 0.0 };
                    d_x.iter_mut().zip(x).for_each(clipped);
                    std::mem::swap(d_y, d_x);
                }
            }
        });
    }
}

/// Adds up the rows of `rows` into `sum`.
fn sum_rows(rows: &[f32], sum: &mut [f32]) {
    sum.fill(0.0);
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// `matrix` `[inner, cols]` in panels: for each 16 columns their rows one after another, short ones padded
/// with zeros.
fn pack(matrix: &[f32], inner: usize, cols: usize, panels: &mut Vec<Lane>) {
    panels.clear();
    panels.resize(cols.div_ceil(COLS) * inner, [0.0; COLS]);
    for (p, panel) in panels.chunks_exact_mut(inner).enumerate() {
        let first = p * COLS;
        let width = COLS.min(cols - first);
        for (lane, row) in panel.iter_mut().zip(matrix.chunks_exact(cols)) {
            lane[..width].copy_from_slice(&row[first..first + width]);
        }
    }
}

/// The transpose of `matrix` `[cols, inner]` in panels.
fn pack_transposed(matrix: &[f32], inner: usize, cols: usize, panels: &mut Vec<Lane>) {
    panels.resize(cols.div_ceil(COLS) * inner, [0.0; COLS]);
    for (p, panel) in panels.chunks_exact_mut(inner).enumerate() {
        for (j, column) in matrix
            .chunks_exact(inner)
            .skip(p * COLS)
            .take(COLS)
            .enumerate()
        {
            panel
                .iter_mut()
                .zip(column)
                .for_each(|(lane, &x)| lane[j] = x);
        }
    }
}

/// The left factor of a product.
#[derive(Clone, Copy)]
enum Left<'a> {
    /// `[rows, inner]`.
    Rows(&'a [f32]),
    /// `[inner, rows]`: its transpose is meant.
    Columns(&'a [f32]),
}

/// `out += left · right`, with `right` in panels and `out` `[rows, cols]`.
fn multiply_add(left: Left<'_>, right: &[Lane], out: &mut [f32], [rows, inner, cols]: [usize; 3]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return multiply_add_avx2(left, right, out, [rows, inner, cols]);
    }
    multiply_add_with::<false>(left, right, out, [rows, inner, cols]);
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "calls a function compiled for more instructions than the crate"
)]
fn multiply_add_avx2(left: Left<'_>, right: &[Lane], out: &mut [f32], shape: [usize; 3]) {
    #[target_feature(enable = "avx2,fma")]
    fn compiled(left: Left<'_>, right: &[Lane], out: &mut [f32], shape: [usize; 3]) {
        multiply_add_with::<true>(left, right, out, shape);
    }
    // SAFETY: the only caller has asked the processor for both features.
    unsafe { compiled(left, right, out, shape) }
}

/// `FUSED`: with one rounding for product and sum, which is slow where the processor has no such instruction.
#[inline(always)]
fn multiply_add_with<const FUSED: bool>(
    left: Left<'_>,
    right: &[Lane],
    out: &mut [f32],
    [rows, inner, cols]: [usize; 3],
) {
    for (p, panel) in right.chunks_exact(inner).enumerate() {
        let first = p * COLS;
        let width = COLS.min(cols - first);
        for top in (0..rows).step_by(ROWS) {
            let height = ROWS.min(rows - top);
            let tile = match left {
                Left::Rows(a) => {
                    // Missing rows repeat the last one; their results are dropped.
                    let row = |r: usize| a[(top + r.min(height - 1)) * inner..][..inner].iter();
                    let quads = row(0).zip(row(1)).zip(row(2)).zip(row(3));
                    tile::<FUSED>(quads.map(|(((a, b), c), d)| [*a, *b, *c, *d]), panel)
                }
                Left::Columns(a) if height == ROWS => {
                    let quads = a
                        .chunks_exact(rows)
                        .map(|row| *row[top..].first_chunk().expect("four rows"));
                    tile::<FUSED>(quads, panel)
                }
                Left::Columns(a) => {
                    let quads = a.chunks_exact(rows).map(|row| {
                        let mut quad = [0.0; ROWS];
                        quad[..height].copy_from_slice(&row[top..]);
                        quad
                    });
                    tile::<FUSED>(quads, panel)
                }
            };
            for (r, sums) in tile.iter().take(height).enumerate() {
                let out = &mut out[(top + r) * cols + first..][..width];
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            }
        }
    }
}

/// Sums of four rows times sixteen columns; the compiler keeps them in registers.
#[inline(always)]
fn tile<const FUSED: bool>(
    quads: impl Iterator<Item = [f32; ROWS]>,
    panel: &[Lane],
) -> [Lane; ROWS] {
    let mut sums = [[0.0; COLS]; ROWS];
    for (quad, lane) in quads.zip(panel) {
        for (sums, a) in sums.iter_mut().zip(quad) {
            for (sum, &b) in sums.iter_mut().zip(lane) {
                *sum = if FUSED {
                    a.mul_add(b, *sum)
                } else {
                    *sum + a * b
                };
            }
        }
    }
    sums
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

    /// The textbook triple loop.
    fn reference(a: &[f32], b: &[f32], [rows, inner, cols]: [usize; 3]) -> Vec<f64> {
        let mut out = vec![0.0; rows * cols];
        for i in 0..rows {
            for j in 0..cols {
                for k in 0..inner {
                    out[i * cols + j] += f64::from(a[i * inner + k]) * f64::from(b[k * cols + j]);
                }
            }
        }
        out
    }

    fn transposed(matrix: &[f32], cols: usize) -> Vec<f32> {
        (0..cols)
            .flat_map(|j| matrix.iter().skip(j).step_by(cols).copied())
            .collect()
    }

    #[test]
    fn products_of_all_layouts_equal_the_triple_loop() {
        for shape @ [rows, inner, cols] in
            [[1, 1, 1], [4, 5, 16], [3, 7, 2], [5, 64, 17], [33, 3, 40]]
        {
            let (a, b) = (drawn(1, rows * inner), drawn(2, inner * cols));
            let expected = reference(&a, &b, shape);
            let (a_t, b_t) = (transposed(&a, inner), transposed(&b, cols));
            let mut panels = [Vec::new(), Vec::new()];
            pack(&b, inner, cols, &mut panels[0]);
            pack_transposed(&b_t, inner, cols, &mut panels[1]);
            for right in &panels {
                for left in [Left::Rows(&a), Left::Columns(&a_t)] {
                    for multiply in [multiply_add, multiply_add_with::<false>] {
                        let mut out = vec![1.0; rows * cols];
                        multiply(left, right, &mut out, shape);
                        for (out, expected) in out.iter().zip(&expected) {
                            // 64 products below 1, each rounded to 6e-8 of the sum so far.
                            assert!((f64::from(*out) - 1.0 - expected).abs() < 1e-5, "{shape:?}");
                        }
                    }
                }
            }
        }
    }

    /// The same network in libtorch and here.
    fn twins(hidden: &[usize]) -> (ParamStore, Box<dyn FeatureExtractor>, Linear, Dense) {
        let config = serde_json::json!({"kind": "mlp", "hidden": hidden});
        let config: ExtractorConfig = serde_json::from_value(config).unwrap();
        let rng = Seeds::new(7).stream("agent/init", 0);
        let (mut params, (extractor, head)) = ParamStore::build(Device::Cpu, rng, |scope| {
            let extractor = config.build(&mut scope.sub("extractor"), &Space::unbounded(&[5]))?;
            let head = Linear::new(&mut scope.sub("head"), extractor.width(), 3);
            Ok((extractor, head))
        })
        .unwrap();
        params.enable_gradients();
        let dense = Dense::new(&[&[5], hidden, &[3]].concat(), &params);
        (params, extractor, head, dense)
    }

    fn assert_close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            // Sums of up to 64 terms of order 0.1 in another order; observed below 2e-6.
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn passes_equal_libtorch() {
        for (hidden, batch) in [(vec![64, 64], 32), (vec![7], 1), (vec![20, 9, 33], 6)] {
            let (mut params, extractor, head, mut dense) = twins(&hidden);
            for round in 0..2 {
                let obs = drawn(round, batch * 5);
                let d_outputs = drawn(10 + round, batch * 3);
                let tensor = Tensor::from_slice(&obs).view([batch as i64, 5]);
                let outputs = head.forward(&extractor.features(&tensor, true));
                assert_close(dense.forward(&obs), &to_vec(&outputs));

                params.zero_gradient();
                (outputs * Tensor::from_slice(&d_outputs).view([batch as i64, 3]))
                    .sum(Kind::Float)
                    .backward();
                let expected = to_vec(params.gradient());
                dense.backward(&d_outputs, &mut params);
                assert_close(&to_vec(params.gradient()), &expected);

                let _ = params.flat_and_gradient_mut().0.g_mul_scalar_(0.9);
                dense.refresh(&params);
            }
        }
    }

    #[test]
    fn a_row_gives_the_same_bits_in_any_batch() {
        let (_, _, _, mut dense) = twins(&[64, 64]);
        let obs = drawn(3, 9 * 5);
        let together = dense.forward(&obs).to_vec();
        for (row, expected) in obs.chunks(5).zip(together.chunks(3)) {
            assert_eq!(dense.forward(row), expected);
        }
    }
}
