//! Layers that models are built of.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use thorndike_core::Rng;
use thorndike_core::rand::RngExt;

use crate::Scope;
use crate::params::Clock;

/// Affine map `y = x Wᵀ + b`: `[batch, inputs] -> [batch, outputs]`.
///
/// # Reference
/// Initial values as PyTorch's `torch.nn.Linear`: weight and bias uniform in `±1/sqrt(inputs)`, which is
/// the uniform initialisation of He et al., "Delving Deep into Rectifiers" (2015), with a = √5.
/// Deviations: none.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Tensor,
    /// `[outputs]`.
    pub bias: Tensor,
}

impl Linear {
    /// Declares `weight` and `bias` in `scope`.
    pub fn new(scope: &mut Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let bound = 1.0 / (inputs as f32).sqrt();
        Self {
            weight: scope.uniform("weight", &[outputs, inputs], bound),
            bias: scope.uniform("bias", &[outputs], bound),
        }
    }

    /// As [`new`](Self::new) with weights drawn from the normal distribution of that deviation, and no bias at first.
    pub fn normal(scope: &mut Scope<'_>, inputs: i64, outputs: i64, deviation: f32) -> Self {
        Self {
            weight: scope.normal("weight", &[outputs, inputs], deviation),
            bias: scope.variable("bias", &[outputs], &vec![0.0; outputs as usize]),
        }
    }

    /// `[batch, inputs] -> [batch, outputs]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// Normalises the last dimension to mean 0 and deviation 1, then scales and shifts it: `[.., width] -> [.., width]`,
/// `y = gain (x - mean(x)) / sqrt(var(x) + 1e-5) + shift`.
///
/// # Reference
/// Ba, Kiros and Hinton, "Layer Normalization" (2016), equation 4. Deviations: as PyTorch, 1e-5 is added to the
/// (biased) variance.
#[derive(Debug)]
pub struct LayerNorm {
    /// `[width]`, ones at first.
    pub gain: Tensor,
    /// `[width]`, zeros at first.
    pub shift: Tensor,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// What is added to the variance if nothing else is said.
    pub const EPSILON: f64 = 1e-5;

    /// Declares `norm.weight` and `norm.bias` in `scope`.
    pub fn new(scope: &mut Scope<'_>, width: i64) -> Self {
        Self::with_epsilon(&mut scope.sub("norm"), width, Self::EPSILON)
    }

    /// Declares `weight` and `bias` in `scope`; `epsilon` is added to the variance.
    pub fn with_epsilon(scope: &mut Scope<'_>, width: i64, epsilon: f64) -> Self {
        Self {
            gain: scope.variable("weight", &[width], &vec![1.0; width as usize]),
            shift: scope.variable("bias", &[width], &vec![0.0; width as usize]),
            epsilon,
        }
    }

    /// `[.., width] -> [.., width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let width = self.gain.size();
        x.layer_norm(
            width,
            Some(&self.gain),
            Some(&self.shift),
            self.epsilon,
            false,
        )
    }
}

/// Normalises each channel to mean 0 and deviation 1, then scales and shifts it: `[batch, channels, ..]` to the same,
/// `y = weight (x - mean) / sqrt(var + 1e-5) + bias`. While learning, mean and variance are those of the channel's
/// numbers in the batch, and running ones move towards them by a tenth; these are used otherwise.
///
/// # Reference
/// Ioffe and Szegedy, "Batch Normalization" (2015), algorithms 1 and 2. Deviations: as PyTorch, the running values are
/// exponential averages. Unlike there, a batch with one number a channel, which has no variance, is normalised by the
/// running values and leaves them as they are.
#[derive(Debug)]
pub struct BatchNorm {
    /// `[channels]`, ones at first.
    pub weight: Tensor,
    /// `[channels]`, zeros at first.
    pub bias: Tensor,
    /// `[channels]`, zeros at first; not trained.
    pub running_mean: Tensor,
    /// `[channels]`, ones at first; not trained. Of the variances by `n - 1`.
    pub running_var: Tensor,
    /// `[]`: batches that the running values are of.
    pub num_batches_tracked: Tensor,
}

impl BatchNorm {
    /// Added to the variance.
    pub const EPSILON: f64 = 1e-5;
    /// Share of a batch in the running values.
    pub const MOMENTUM: f64 = 0.1;

    /// Declares `weight`, `bias` and the buffers `running_mean`, `running_var`, `num_batches_tracked` in `scope`.
    pub fn new(scope: &mut Scope<'_>, channels: i64) -> Self {
        let (zeros, ones) = (vec![0.0; channels as usize], vec![1.0; channels as usize]);
        Self {
            weight: scope.variable("weight", &[channels], &ones),
            bias: scope.variable("bias", &[channels], &zeros),
            running_mean: scope.buffer("running_mean", &[channels], &zeros),
            running_var: scope.buffer("running_var", &[channels], &ones),
            num_batches_tracked: scope.buffer("num_batches_tracked", &[], &[0.0]),
        }
    }

    /// `[batch, channels, ..]` to the same.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let train = train && x.numel() > self.weight.numel();
        if train {
            let _ = self.num_batches_tracked.shallow_clone().g_add_scalar_(1.0);
        }
        x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            Self::MOMENTUM,
            Self::EPSILON,
            true,
        )
    }
}

/// Sets each number to zero with a probability of `rate` while learning and divides the others by `1 - rate`; hands
/// them on unchanged otherwise.
///
/// # Reference
/// Srivastava et al., "Dropout" (2014). Deviations: as PyTorch, what is left is scaled while learning, not while
/// predicting. The numbers are drawn from a stream of the layer's own, for the pass that
/// [`ParamStore::draw_for`](crate::ParamStore::draw_for) names; each forward pass of the same number drops the same. A graphics
/// card draws for itself, from a seed of that stream: other numbers than the processor's, and the same again on such a card.
#[derive(Debug)]
pub struct Dropout {
    rate: f32,
    stream: Rng,
    clock: Clock,
}

impl Dropout {
    /// Draws the layer's stream in `scope`; it has no weights.
    ///
    /// # Panics
    /// If `rate` is not in `0..1`.
    pub fn new(scope: &mut Scope<'_>, rate: f64) -> Self {
        assert!((0.0..1.0).contains(&rate), "a rate of {rate}");
        let (stream, clock) = scope.draws();
        Self {
            rate: rate as f32,
            stream,
            clock,
        }
    }

    /// `x` of any shape.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        if !train || self.rate == 0.0 {
            return x.shallow_clone();
        }
        let mut rng = self.stream.clone();
        rng.set_stream(self.clock.load(Ordering::Relaxed));
        if x.device() != Device::Cpu {
            // To draw here and to copy over would take longer than all else of a pass. All runs share the card's generator.
            static GENERATOR: Mutex<()> = Mutex::new(());
            let _own = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
            tch::manual_seed(rng.random::<i64>());
            return x.dropout(f64::from(self.rate), true);
        }
        let kept = 1.0 / (1.0 - self.rate);
        // 16 bits decide: a rate is kept to within 1/65,536.
        let bound = (self.rate * 65_536.0) as u32;
        let mut mask = vec![0.0_f32; x.numel()];
        for pair in mask.chunks_mut(2) {
            let bits: u32 = rng.random();
            for (value, bits) in pair.iter_mut().zip([bits & 0xffff, bits >> 16]) {
                *value = if bits < bound { 0.0 } else { kept };
            }
        }
        x * Tensor::from_slice(&mask).to_device(x.device()).view_as(x)
    }
}

/// Which layers are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// None.
    #[default]
    None,
    /// [`LayerNorm`] before every nonlinearity; behind a convolution over the filters of each pixel.
    Layer,
    /// [`BatchNorm`] before every nonlinearity.
    Batch,
}

impl Norm {
    /// Trainable numbers for each channel.
    pub(crate) fn weights(self) -> usize {
        if self == Self::None { 0 } else { 2 }
    }
}

/// A normalisation that [`Norm`] chose.
#[derive(Debug)]
pub(crate) enum NormLayer {
    Layer(LayerNorm),
    Batch(BatchNorm),
}

impl NormLayer {
    /// Declares `norm.*` in `scope`, if there is a normalisation.
    pub(crate) fn new(norm: Norm, scope: &mut Scope<'_>, channels: i64) -> Option<Self> {
        match norm {
            Norm::None => None,
            Norm::Layer => Some(Self::Layer(LayerNorm::new(scope, channels))),
            Norm::Batch => Some(Self::Batch(BatchNorm::new(
                &mut scope.sub("norm"),
                channels,
            ))),
        }
    }

    /// `[batch, channels]` or `[batch, channels, height, width]` to the same.
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        match self {
            Self::Batch(norm) => norm.forward(x, train),
            Self::Layer(norm) if x.dim() == 2 => norm.forward(x),
            Self::Layer(norm) => {
                let pixels = x.permute([0, 2, 3, 1]); // [batch, height, width, channels]
                norm.forward(&pixels).permute([0, 3, 1, 2])
            }
        }
    }
}

/// The numbers of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// Channels of the output.
    pub filters: usize,
    /// Height and width of a filter.
    pub size: usize,
    /// Pixels from one place of a filter to the next.
    pub stride: usize,
}

impl ConvShape {
    /// Height and width of the output; there is no padding.
    pub fn output(&self) -> [usize; 2] {
        let [_, height, width] = self.input;
        [height, width].map(|n| (n - self.size) / self.stride + 1)
    }

    /// Pixels of the output.
    pub fn pixels(&self) -> usize {
        self.output().iter().product()
    }

    /// Numbers of an image.
    pub fn inputs(&self) -> usize {
        self.input.iter().product()
    }

    /// Numbers that an output pixel is made of: weights of a filter.
    pub fn patch(&self) -> usize {
        self.input[0] * self.size * self.size
    }

    /// For each weight of a filter, and for each line of the output, the number of an image that the weight meets
    /// under the first pixel of the line.
    pub(crate) fn line_starts(&self) -> impl Iterator<Item = usize> {
        let Self {
            input,
            size,
            stride,
            ..
        } = *self;
        let [channels, height, width] = input;
        let lines = self.output()[0];
        (0..channels * size * size).flat_map(move |weight| {
            let (channel, row, column) =
                (weight / (size * size), weight / size % size, weight % size);
            let first = (channel * height + row) * width + column;
            (0..lines).map(move |line| first + line * stride * width)
        })
    }
}

/// How a filter or a pooling lies on an image: `[height, width]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pixels it covers.
    pub size: [usize; 2],
    /// Pixels from one place of it to the next.
    pub stride: [usize; 2],
    /// Pixels put around the image on each side: zeros, but none that a pooling would take.
    pub padding: [usize; 2],
}

impl Window {
    /// The same in both directions.
    pub fn square(size: usize, stride: usize, padding: usize) -> Self {
        Self {
            size: [size; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        }
    }

    /// Along the width alone.
    pub fn line(size: usize, stride: usize, padding: usize) -> Self {
        Self {
            size: [1, size],
            stride: [1, stride],
            padding: [0, padding],
        }
    }

    /// Places of it on an image of that height and width; none if it is larger than the image.
    pub fn output(&self, image: [usize; 2]) -> Option<[usize; 2]> {
        let places = |i: usize| {
            let free = (image[i] + 2 * self.padding[i]).checked_sub(self.size[i])?;
            Some(free / self.stride[i] + 1)
        };
        Some([places(0)?, places(1)?])
    }

    fn sizes(&self) -> [[i64; 2]; 3] {
        [self.size, self.stride, self.padding].map(|pair| pair.map(|n| n as i64))
    }

    /// The highest number under each place: `[batch, channels, height, width] -> [batch, channels, height', width']`.
    pub fn max_pool(&self, x: &Tensor) -> Tensor {
        let [size, stride, padding] = self.sizes();
        x.max_pool2d(size, stride, padding, [1; 2], false)
    }

    /// The mean of the image's numbers under each place, with shapes as [`max_pool`](Self::max_pool).
    pub fn average_pool(&self, x: &Tensor) -> Tensor {
        let [size, stride, padding] = self.sizes();
        x.avg_pool2d(size, stride, padding, false, false, None)
    }
}

/// Convolution: `[batch, channels, height, width] -> [batch, filters, height', width']`.
///
/// # Reference
/// Initial values as PyTorch's `torch.nn.Conv2d`: uniform in `±1/sqrt(channels size²)`. Deviations: none.
#[derive(Debug)]
pub struct Conv {
    /// `[filters, channels, ..size]`.
    pub weight: Tensor,
    /// `[filters]`.
    pub bias: Tensor,
    stride: [i64; 2],
    padding: [i64; 2],
}

impl Conv {
    /// Declares `weight` and `bias` in `scope`, for a convolution without padding.
    pub fn new(scope: &mut Scope<'_>, shape: ConvShape) -> Self {
        let window = Window::square(shape.size, shape.stride, 0);
        Self::of_window(scope, shape.input[0], shape.filters, window)
    }

    /// Declares `weight` and `bias` in `scope`, with the same initial values as [`new`](Self::new).
    pub fn of_window(
        scope: &mut Scope<'_>,
        channels: usize,
        filters: usize,
        window: Window,
    ) -> Self {
        let [size, stride, padding] = window.sizes();
        let patch = channels * window.size.iter().product::<usize>();
        let bound = 1.0 / (patch as f32).sqrt();
        let [channels, filters] = [channels, filters].map(|n| n as i64);
        Self {
            weight: scope.uniform("weight", &[filters, channels, size[0], size[1]], bound),
            bias: scope.uniform("bias", &[filters], bound),
            stride,
            padding,
        }
    }

    /// As [`of_window`](Self::of_window) with weights drawn from the normal distribution of deviation
    /// `sqrt(2 / (filters size²))`, and no bias at first.
    ///
    /// # Reference
    /// He et al., "Delving Deep into Rectifiers" (2015), equation 14. Deviations: none.
    pub fn kaiming(scope: &mut Scope<'_>, channels: usize, filters: usize, window: Window) -> Self {
        let [size, stride, padding] = window.sizes();
        let fan_out = filters * window.size.iter().product::<usize>();
        let deviation = (2.0 / fan_out as f32).sqrt();
        let shape = [filters as i64, channels as i64, size[0], size[1]];
        Self {
            weight: scope.normal("weight", &shape, deviation),
            bias: scope.variable("bias", &[filters as i64], &vec![0.0; filters]),
            stride,
            padding,
        }
    }

    /// `[batch, channels, height, width] -> [batch, filters, height', width']`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (bias, one) = (Some(&self.bias), [1; 2]);
        x.conv2d(&self.weight, bias, self.stride, self.padding, one, 1)
    }
}

/// `x` `[batch, channels, height, width]` with the channels of each pixel side by side in memory where this is on the
/// processor. What follows keeps that order, in which convolutions, poolings and batch norms are faster there: training
/// VGG-11 on 32x32 by a third (`cargo bench -p thorndike-nets`).
pub(crate) fn channels_last(x: &Tensor) -> Tensor {
    if x.device() != Device::Cpu {
        return x.shallow_clone();
    }
    let pixels = x.permute([0, 2, 3, 1]).contiguous(); // [batch, height, width, channels]
    let size = x.size();
    let [channels, height, width] = [size[1], size[2], size[3]];
    // Not `permute`: with a single channel the strides would say that it is in front, the memory being the same.
    let strides = [height * width * channels, 1, width * channels, channels];
    pixels.as_strided(size, strides, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use crate::params::to_vec;
    use tch::Kind;
    use thorndike_core::Seeds;

    #[test]
    fn dropout_zeroes_its_share_scales_the_rest_and_repeats_itself() {
        for device in [Device::Cpu, Device::cuda_if_available()] {
            dropout_holds_on(device);
        }
    }

    fn dropout_holds_on(device: Device) {
        let rng = Seeds::new(1).stream("agent/init", 0);
        let (store, layer) =
            ParamStore::build(device, rng, |scope| Ok(Dropout::new(scope, 0.25))).unwrap();
        let x = Tensor::ones([100, 101], (Kind::Float, device));
        assert_eq!(layer.forward(&x, false), x);
        let drawn = |pass| {
            store.draw_for(pass);
            to_vec(&layer.forward(&x, true))
        };
        let first = drawn(1);
        let zeros = first.iter().filter(|&&v| v == 0.0).count();
        // 10,100 draws: a deviation of 44 about 2,525.
        assert!((2350..2700).contains(&zeros), "{zeros}");
        assert!(
            first
                .iter()
                .all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6)
        );
        assert_ne!(drawn(2), first);
        assert_eq!(drawn(1), first);
    }

    fn floats(values: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).view(shape)
    }

    fn assert_near(found: &Tensor, expected: &[f32]) {
        for (found, expected) in to_vec(found).iter().zip(expected) {
            // A few roundings of numbers up to 4.
            assert!((found - expected).abs() < 2e-6, "{found} {expected}");
        }
    }

    #[test]
    fn batch_norm_learns_by_the_batch_and_predicts_by_the_running_values() {
        let rng = Seeds::new(1).stream("agent/init", 0);
        let (store, norm) =
            ParamStore::build(Device::Cpu, rng, |scope| Ok(BatchNorm::new(scope, 2))).unwrap();
        norm.weight
            .shallow_clone()
            .copy_(&floats(&[1.0, 2.0], &[2]));
        norm.bias.shallow_clone().copy_(&floats(&[0.0, 1.0], &[2]));
        // Channel 0 holds 1, 3 (mean 2, variance 1); channel 1 holds 0, 4 (mean 2, variance 4).
        let x = floats(&[1.0, 0.0, 3.0, 4.0], &[2, 2]);
        let (one, two) = (1.0 / 1.00001_f32.sqrt(), 4.0 / 4.00001_f32.sqrt());
        assert_near(&norm.forward(&x, true), &[-one, 1.0 - two, one, 1.0 + two]);
        // A tenth of the means, and of the variances by n - 1, which are 2 and 8.
        assert_near(&norm.running_mean, &[0.2, 0.2]);
        assert_near(&norm.running_var, &[1.1, 1.7]);
        let [a, b] = [1.1_f32, 1.7].map(|v| (v + 1e-5).sqrt());
        let predicted = [0.8 / a, 1.0 - 0.4 / b, 2.8 / a, 1.0 + 7.6 / b];
        assert_near(&norm.forward(&x, false), &predicted);
        // A batch of one row has no variance.
        assert_near(&norm.forward(&x.narrow(0, 0, 1), true), &predicted[..2]);
        assert_eq!(to_vec(&norm.num_batches_tracked), [1.0]);
        let names: Vec<&str> = store.shapes().map(|(name, _)| name).collect();
        let buffers = ["running_mean", "running_var", "num_batches_tracked"];
        assert_eq!(names[2..], buffers);
        assert_eq!(store.num_parameters(), 4);
    }

    #[test]
    fn batch_norm_takes_the_pixels_of_all_images_of_a_channel() {
        let rng = Seeds::new(1).stream("agent/init", 0);
        let (_, norm) =
            ParamStore::build(Device::Cpu, rng, |scope| Ok(BatchNorm::new(scope, 2))).unwrap();
        let x = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([2, 2, 1, 3]);
        let y = norm.forward(&x, true);
        // Channel 0 is 0, 1, 2, 6, 7, 8: mean 4, variance (16 + 9 + 4) / 3; channel 1 the same shifted by 3.
        let deviation = (29.0_f32 / 3.0 + 1e-5).sqrt();
        let line = [-4.0, -3.0, -2.0].map(|v| v / deviation);
        assert_near(&y, &[line, line].concat());
        assert_near(&norm.running_mean, &[0.4, 0.7]);
        assert_near(&norm.running_var, &[0.9 + 0.1 * 11.6; 2]);
    }

    #[test]
    fn windows_cover_padded_images_as_often_as_they_fit() {
        let window = Window::square(3, 2, 1);
        assert_eq!(window.output([5, 6]), Some([3, 3]));
        assert_eq!(Window::square(3, 1, 0).output([2, 9]), None);
        assert_eq!(Window::line(3, 1, 1).output([1, 9]), Some([1, 9]));
        let x = floats(&[1.0, -2.0, 3.0, -4.0], &[1, 1, 2, 2]);
        // What is put around is never the highest and does not count in a mean.
        assert_eq!(to_vec(&window.max_pool(&x)), [3.0]);
        assert_eq!(to_vec(&window.average_pool(&x)), [-0.5]);
    }

    #[test]
    fn drawn_filters_have_the_deviation_of_he_and_others() {
        let rng = Seeds::new(1).stream("agent/init", 0);
        let window = Window::square(3, 1, 1);
        let (_, conv) =
            ParamStore::build(Device::Cpu, rng, |s| Ok(Conv::kaiming(s, 32, 50, window))).unwrap();
        let deviation = conv.weight.std(true).double_value(&[]);
        // 14,400 draws: a relative error of 0.6 %.
        assert!((deviation / (2.0_f64 / 450.0).sqrt() - 1.0).abs() < 0.03);
        assert!(conv.weight.mean(Kind::Float).double_value(&[]).abs() < 0.003);
        assert_eq!(to_vec(&conv.bias), [0.0; 50]);
    }

    #[test]
    fn the_order_of_channels_in_memory_changes_no_number() {
        for channels in [1, 3] {
            let x = Tensor::arange(2 * channels * 20, (Kind::Float, Device::Cpu));
            let x = x.view([2, channels, 4, 5]);
            let last = channels_last(&x);
            assert_eq!(last, x);
            assert_eq!(last.stride(), [20 * channels, 1, 5 * channels, channels]);
        }
    }
}
