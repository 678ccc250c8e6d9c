//! Layers that models are built of.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::Scope;

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
}

impl LayerNorm {
    /// Added to the variance.
    pub const EPSILON: f64 = 1e-5;

    /// Declares `norm.weight` and `norm.bias` in `scope`.
    pub fn new(scope: &mut Scope<'_>, width: i64) -> Self {
        let scope = &mut scope.sub("norm");
        Self {
            gain: scope.variable("weight", &[width], &vec![1.0; width as usize]),
            shift: scope.variable("bias", &[width], &vec![0.0; width as usize]),
        }
    }

    /// `[.., width] -> [.., width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let width = self.gain.size();
        x.layer_norm(
            width,
            Some(&self.gain),
            Some(&self.shift),
            Self::EPSILON,
            false,
        )
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

/// Convolution without padding: `[batch, channels, height, width] -> [batch, filters, height', width']`.
///
/// # Reference
/// Initial values as PyTorch's `torch.nn.Conv2d`: uniform in `±1/sqrt(channels size²)`. Deviations: none.
#[derive(Debug)]
pub struct Conv {
    /// `[filters, channels, size, size]`.
    pub weight: Tensor,
    /// `[filters]`.
    pub bias: Tensor,
    stride: i64,
}

impl Conv {
    /// Declares `weight` and `bias` in `scope`.
    pub fn new(scope: &mut Scope<'_>, shape: ConvShape) -> Self {
        let bound = 1.0 / (shape.patch() as f32).sqrt();
        let [filters, channels, size] =
            [shape.filters, shape.input[0], shape.size].map(|n| n as i64);
        Self {
            weight: scope.uniform("weight", &[filters, channels, size, size], bound),
            bias: scope.uniform("bias", &[filters], bound),
            stride: shape.stride as i64,
        }
    }

    /// `[batch, channels, height, width] -> [batch, filters, height', width']`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (stride, one) = ([self.stride; 2], [1; 2]);
        x.conv2d(&self.weight, Some(&self.bias), stride, [0; 2], one, 1)
    }
}
