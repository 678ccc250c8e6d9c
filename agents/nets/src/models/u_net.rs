//! U-Net: a feature row for each pixel, `[batch, channels, height, width] -> [batch, base, height, width]`, and one for
//! the image, `[batch, base 2^depth]`.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Error, Result, check_range};

use super::cnn::{ConvNorm, image};
use super::mlp::{check_rate, dropout};
use crate::layers::{Dropout, Norm, Window, channels_last};
use crate::{FeatureExtractor, Scope};

/// Settings of [`UNet`].
///
/// Level `i` of `0..=depth` holds `base 2^i` channels of images halved `i` times. Its two convolutions of 3x3 read the
/// level above, and on the way back the level below, doubled in height and width, beside what they gave before.
///
/// # Reference
/// Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015), figure 1.
/// Deviations: convolutions are padded, so that the size of an image is kept; they are normalised; 8 channels at first
/// instead of 64; no dropout unless asked for. Images whose sides do not divide by `2^depth` get zeros at the right and
/// the bottom, where features are cut off again. The layer of 1x1 that scores pixels is the head of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNetConfig {
    /// Channels of the first level, features of each pixel. Default 8.
    pub base: usize,
    /// How often images are halved. Default 4.
    pub depth: usize,
    /// Normalisation before every nonlinearity. Default `"batch"`.
    pub norm: Norm,
    /// How images are doubled. Default `"transposed"`.
    pub up: Upsampling,
    /// Share of the lowest level's numbers that are [dropped](Dropout) while learning. Default 0.
    pub dropout: f64,
}

/// How [`UNet`] doubles height and width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upsampling {
    /// A transposed convolution of 2x2, which halves the channels.
    #[default]
    Transposed,
    /// Interpolation between pixels, which keeps them and has no weights.
    Bilinear,
}

impl Default for UNetConfig {
    fn default() -> Self {
        Self {
            base: 8,
            depth: 4,
            norm: Norm::Batch,
            up: Upsampling::Transposed,
            dropout: 0.0,
        }
    }
}

impl UNetConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        check_range("depth", self.depth, 1..=8)?;
        check_range("base", self.base, 1..=65_536 >> self.depth)?;
        check_rate("dropout", self.dropout)
    }

    fn channels(&self, level: usize) -> usize {
        self.base << level
    }

    /// Channels that a level reads on the way back.
    fn joined(&self, level: usize) -> usize {
        self.channels(level)
            * match self.up {
                Upsampling::Transposed => 2,
                Upsampling::Bilinear => 3,
            }
    }

    /// Weights on images of `shape`, and the features they give; 0 where [`UNet::new`] would refuse.
    pub(crate) fn size(&self, shape: &[i64]) -> (u64, u64) {
        let (Ok(()), Ok(image)) = (self.check(), image(shape)) else {
            return (0, 0);
        };
        let norm = self.norm.weights();
        let double = |inputs: usize, outputs: usize| {
            outputs as u64 * (9 * (inputs + outputs) + 2 + 2 * norm) as u64
        };
        let down = (0..=self.depth).map(|level| match level {
            0 => double(image[0], self.base),
            _ => double(self.channels(level - 1), self.channels(level)),
        });
        let up = (0..self.depth).map(|level| {
            let channels = self.channels(level);
            let transposed = match self.up {
                Upsampling::Transposed => channels as u64 * (8 * channels + 1) as u64,
                Upsampling::Bilinear => 0,
            };
            transposed + double(self.joined(level), channels)
        });
        let weights = down.chain(up).sum();
        (weights, self.channels(self.depth) as u64)
    }
}

/// U-Net without the layer that scores pixels. [`pixels`](FeatureExtractor::pixels) reads images of any size;
/// [`features`](FeatureExtractor::features) are the means of the lowest level's channels over the image.
#[derive(Debug)]
pub struct UNet {
    image: [i64; 3],
    down: Vec<Double>,
    dropout: Option<Dropout>,
    /// The lowest first.
    up: Vec<(Option<Transposed>, Double)>,
    base: i64,
    width: i64,
}

/// Two convolutions of 3x3.
#[derive(Debug)]
struct Double {
    first: ConvNorm,
    second: ConvNorm,
}

impl Double {
    fn new(scope: &mut Scope<'_>, inputs: usize, outputs: usize, norm: Norm) -> Self {
        let window = Window::square(3, 1, 1);
        let mut conv =
            |name: &str, inputs| ConvNorm::new(&mut scope.sub(name), inputs, outputs, window, norm);
        Self {
            first: conv("first", inputs),
            second: conv("second", outputs),
        }
    }

    /// `[batch, inputs, height, width] -> [batch, outputs, height, width]`.
    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let inner = self.first.forward(x, train).relu_();
        self.second.forward(&inner, train).relu_()
    }
}

/// Transposed convolution of 2x2: every pixel becomes four.
///
/// Initial values as PyTorch's `torch.nn.ConvTranspose2d`: uniform in `±1/sqrt(4 outputs)`.
#[derive(Debug)]
struct Transposed {
    /// `[inputs, outputs, 2, 2]`.
    weight: Tensor,
    /// `[outputs]`.
    bias: Tensor,
}

impl Transposed {
    fn new(scope: &mut Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let bound = 0.5 / (outputs as f32).sqrt();
        Self {
            weight: scope.uniform("weight", &[inputs, outputs, 2, 2], bound),
            bias: scope.uniform("bias", &[outputs], bound),
        }
    }

    /// `[batch, inputs, height, width] -> [batch, outputs, 2 height, 2 width]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let (two, zero, one) = ([2; 2], [0; 2], [1; 2]);
        x.conv_transpose2d(&self.weight, Some(&self.bias), two, zero, zero, 1, one)
    }
}

impl UNet {
    /// Declares levels `down.0`, … and `up.0`, …, each with convolutions `first` and `second`, and transposed
    /// convolutions `up.0.transposed`, … in `scope`, for observations of `shape`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the observation is no image.
    pub fn new(config: &UNetConfig, scope: &mut Scope<'_>, shape: &[i64]) -> Result<Self> {
        config.check()?;
        let image = image(shape)?;
        if image.contains(&0) {
            let what = format!("it reads images, and one of shape {shape:?} has no pixels");
            return Err(Error::config("kind", what));
        }
        let mut inputs = image[0];
        let down = (0..=config.depth).map(|level| {
            let scope = &mut scope.sub(&format!("down.{level}"));
            let double = Double::new(scope, inputs, config.channels(level), config.norm);
            inputs = config.channels(level);
            double
        });
        let down = down.collect();
        let dropout = dropout(scope, config.dropout);
        let up = (0..config.depth).rev().map(|level| {
            let scope = &mut scope.sub(&format!("up.{level}"));
            let channels = config.channels(level);
            let transposed = (config.up == Upsampling::Transposed).then(|| {
                let scope = &mut scope.sub("transposed");
                Transposed::new(scope, 2 * channels as i64, channels as i64)
            });
            let double = Double::new(scope, config.joined(level), channels, config.norm);
            (transposed, double)
        });
        Ok(Self {
            image: image.map(|n| n as i64),
            down,
            dropout,
            up: up.collect(),
            base: config.base as i64,
            width: config.channels(config.depth) as i64,
        })
    }

    /// What each level gives on the way down, the highest first, for images whose sides divide.
    fn levels(&self, images: &Tensor, train: bool) -> Vec<Tensor> {
        let halves = Window::square(2, 2, 0);
        let mut levels: Vec<Tensor> = Vec::with_capacity(self.down.len());
        for double in &self.down {
            let level = match levels.last() {
                None => double.forward(images, train),
                Some(above) => double.forward(&halves.max_pool(above), train),
            };
            levels.push(level);
        }
        if let (Some(dropout), Some(lowest)) = (&self.dropout, levels.last_mut()) {
            *lowest = dropout.forward(lowest, train);
        }
        levels
    }

    /// Zeros at the right and the bottom, until the sides divide.
    fn padded(&self, images: &Tensor) -> Tensor {
        let unit = 1 << self.up.len();
        let size = images.size();
        let [down, right] = [size[2], size[3]].map(|n| (unit - n % unit) % unit);
        match (down, right) {
            (0, 0) => images.shallow_clone(),
            _ => images.constant_pad_nd([0, right, 0, down]),
        }
    }
}

impl FeatureExtractor for UNet {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let [channels, height, width] = self.image;
        let images = obs.view([-1, channels, height, width]);
        let levels = self.levels(&channels_last(&self.padded(&images)), train);
        levels[levels.len() - 1].mean_dim([2_i64, 3].as_slice(), false, Kind::Float)
    }

    fn width(&self) -> i64 {
        self.width
    }

    /// `images` `[batch, .., height, width]` of any height and width.
    fn pixels(&self, images: &Tensor, train: bool) -> Option<Tensor> {
        let size = images.size();
        let [height, width] = [size[size.len() - 2], size[size.len() - 1]];
        let images = images.view([-1, self.image[0], height, width]);
        let mut levels = self.levels(&channels_last(&self.padded(&images)), train);
        let mut x = levels.pop()?;
        for ((transposed, double), level) in self.up.iter().zip(levels.into_iter().rev()) {
            let doubled = match transposed {
                Some(transposed) => transposed.forward(&x),
                None => {
                    let size = level.size();
                    x.upsample_bilinear2d([size[2], size[3]], false, None, None)
                }
            };
            x = double.forward(&Tensor::cat(&[level, doubled], 1), train);
        }
        Some(x.narrow(2, 0, height).narrow(3, 0, width))
    }

    fn position_width(&self) -> i64 {
        self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use crate::params::to_vec;
    use tch::Device;
    use thorndike_core::Seeds;

    fn built(config: &UNetConfig, shape: &[i64]) -> Result<(ParamStore, UNet)> {
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| UNet::new(config, scope, shape))
    }

    fn config(json: &str) -> UNetConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_pixel_of_any_image_gets_its_features() {
        for json in [
            "{}",
            r#"{"up": "bilinear", "depth": 3, "base": 4}"#,
            r#"{"norm": "layer", "depth": 1, "dropout": 0.2}"#,
        ] {
            let config = config(json);
            let (store, net) = built(&config, &[3, 20, 33]).unwrap();
            let size = (store.num_parameters() as u64, net.width() as u64);
            assert_eq!(config.size(&[3, 20, 33]), size, "{json}");
            assert_eq!(net.width(), (config.base as i64) << config.depth);
            let obs = Tensor::ones([2, 3, 20, 33], (Kind::Float, Device::Cpu));
            assert_eq!(net.features(&obs, true).size(), [2, net.width()]);
            for (height, width) in [(20, 33), (32, 16), (5, 1)] {
                let images = Tensor::ones([2, 3, height, width], (Kind::Float, Device::Cpu));
                let pixels = net.pixels(&images, true).unwrap();
                let expected = [2, net.position_width(), height, width];
                assert_eq!(pixels.size(), expected);
            }
        }
    }

    #[test]
    fn the_network_of_the_paper_has_its_size() {
        let config = config(r#"{"base": 64, "norm": "none"}"#);
        // 31,030,593 with padding, one channel and one class, whose layer of 1x1 has 65 of them.
        let expected = 31_030_593 - 65;
        assert_eq!(config.size(&[1, 572, 572]), (expected, 1024));
    }

    /// Sets the weights of `store` in order of declaration.
    fn set(store: &mut ParamStore, weights: &[f32]) {
        let flat = store.flat_and_gradient_mut().0;
        flat.copy_(&Tensor::from_slice(weights));
    }

    /// A filter of 3x3 whose middle alone counts.
    fn middle(weight: f32) -> [f32; 9] {
        let mut filter = [0.0; 9];
        filter[4] = weight;
        filter
    }

    #[test]
    fn levels_are_joined_as_computed_by_hand() {
        let config = config(r#"{"base": 1, "depth": 1, "norm": "none"}"#);
        let (mut store, net) = built(&config, &[2, 2]).unwrap();
        let names: Vec<_> = store.shapes().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names[4], "down.1.first.weight");
        assert_eq!(names[8], "up.0.transposed.weight");
        assert_eq!(names[10], "up.0.first.weight");
        let mut weights = Vec::new();
        // The first level doubles and adds 1; the second takes the highest and its negative, plus 20.
        weights.extend([&middle(2.0)[..], &[1.0], &middle(1.0), &[0.0]].concat());
        weights.extend([&middle(1.0)[..], &middle(-1.0), &[0.0, 20.0]].concat());
        let [one, none] = [middle(1.0), middle(0.0)];
        weights.extend([&one[..], &none, &none, &one, &[0.0, 0.0]].concat());
        // Corners times 1, 2, 3, 4 of the first channel, and 0.5 of the second, plus 0.25.
        weights.extend([1.0, 2.0, 3.0, 4.0, 0.5, 0.5, 0.5, 0.5, 0.25]);
        // A thousand times the first level, and what came from below.
        weights.extend(
            [
                &middle(1000.0)[..],
                &middle(1.0),
                &[0.0],
                &middle(1.0),
                &[0.0],
            ]
            .concat(),
        );
        set(&mut store, &weights);
        let obs = Tensor::from_slice(&[1_f32, 2.0, 3.0, 4.0]).view([1, 1, 2, 2]);
        // First level 3, 5, 7, 9; second 9 and 11.
        assert_eq!(to_vec(&net.features(&obs, false)), [9.0, 11.0]);
        let below = [9.0, 18.0, 27.0, 36.0].map(|x| x + 5.75);
        let above = [3000.0, 5000.0, 7000.0, 9000.0];
        let expected: Vec<f32> = above.iter().zip(below).map(|(a, b)| a + b).collect();
        assert_eq!(to_vec(&net.pixels(&obs, false).unwrap()), expected);
    }

    #[test]
    fn padding_adds_nothing_but_zeros_at_the_right_and_the_bottom() {
        let (_, net) = built(&config(r#"{"depth": 2}"#), &[1, 6, 7]).unwrap();
        let images = Tensor::arange(42, (Kind::Float, Device::Cpu)).view([1, 1, 6, 7]) / 42.0;
        let padded = images.constant_pad_nd([0, 1, 0, 2]);
        let pixels = net.pixels(&padded, false).unwrap();
        let expected = pixels.narrow(2, 0, 6).narrow(3, 0, 7);
        assert_eq!(net.pixels(&images, false).unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_key() {
        for (json, shape, message) in [
            (
                r#"{"depth": 0}"#,
                &[1, 8, 8][..],
                "depth: 0 is out of range; give 1 to 8",
            ),
            (
                r#"{"base": 0}"#,
                &[1, 8, 8],
                "base: 0 is out of range; give 1 to 4096",
            ),
            (r#"{"dropout": -0.5}"#, &[1, 8, 8], "dropout: -0.5"),
            ("{}", &[8], "kind: it reads images"),
        ] {
            let config = config(json);
            let error = built(&config, shape).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert_eq!(config.size(shape), (0, 0));
        }
    }
}
