//! Convolutions and fully connected layers, ReLU after each: `[batch, channels, height, width] -> [batch, width()]`.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result, check_range};

use super::mlp::{Mlp, MlpConfig};
use crate::layers::{Conv, ConvShape, LayerNorm, Norm};
use crate::{FeatureExtractor, LayerShape, Product, Scope};

/// Settings of [`Cnn`]. The default is DQN's network for Atari.
///
/// # Reference
/// Mnih et al., "Human-level control through deep reinforcement learning" (2015), section "Model architecture":
/// [`nature`](Self::nature). Young and Tian, "MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible
/// Reinforcement Learning Experiments" (2019), section 4: [`minatar`](Self::minatar), in a file `layers = [{ filters =
/// 16, size = 3, stride = 1 }]` and `hidden = [128]`. Deviations: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CnnConfig {
    /// The convolutions. Default 32 of 8x8 every 4 pixels, 64 of 4x4 every 2, 64 of 3x3.
    pub layers: Vec<ConvConfig>,
    /// Units of the fully connected layers behind them; may be empty. Default `[512]`.
    pub hidden: Vec<usize>,
    /// Normalisation before every nonlinearity. Default none.
    pub norm: Norm,
}

/// Settings of a convolution, which has no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvConfig {
    /// Channels it puts out.
    pub filters: usize,
    /// Height and width of a filter, pixels.
    pub size: usize,
    /// Pixels from one place of a filter to the next.
    pub stride: usize,
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self::nature()
    }
}

impl CnnConfig {
    /// DQN's network for Atari.
    pub fn nature() -> Self {
        let layers = [(32, 8, 4), (64, 4, 2), (64, 3, 1)];
        Self {
            layers: layers.map(ConvConfig::from).to_vec(),
            hidden: vec![512],
            norm: Norm::None,
        }
    }

    /// The network of MinAtar's authors.
    pub fn minatar() -> Self {
        Self {
            layers: vec![(16, 3, 1).into()],
            hidden: vec![128],
            norm: Norm::None,
        }
    }

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(Error::config("layers", "give at least one convolution"));
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let key = |name: &str| format!("layers[{i}].{name}");
            check_range(&key("filters"), layer.filters, 1..=65_536)?;
            check_range(&key("size"), layer.size, 1..=1024)?;
            check_range(&key("stride"), layer.stride, 1..=1024)?;
        }
        if self.hidden.is_empty() {
            return Ok(());
        }
        self.dense().check()
    }

    fn dense(&self) -> MlpConfig {
        MlpConfig {
            hidden: self.hidden.clone(),
            norm: self.norm,
            ..MlpConfig::default()
        }
    }

    /// The convolutions on images of `shape`, which is `[.., height, width]`; what is in front counts as channels.
    ///
    /// # Errors
    /// [`Error::Config`] if `shape` is no image or too small.
    fn shapes(&self, shape: &[i64]) -> Result<Vec<ConvShape>> {
        let mut input = image(shape)?;
        let layers = self.layers.iter().enumerate().map(|(i, layer)| {
            let [_, height, width] = input;
            if layer.size > height.min(width) {
                let what = format!(
                    "{} is more than the image there, {height}x{width}; give a smaller size or fewer layers",
                    layer.size
                );
                return Err(Error::config(format!("layers[{i}].size"), what));
            }
            let shape = ConvShape {
                input,
                filters: layer.filters,
                size: layer.size,
                stride: layer.stride,
            };
            let [height, width] = shape.output();
            input = [layer.filters, height, width];
            Ok(shape)
        });
        layers.collect()
    }

    /// Weights on images of `shape`, and the features they give; 0 where [`Cnn::new`] would refuse.
    pub(crate) fn size(&self, shape: &[i64]) -> (u64, u64) {
        let Ok(shapes) = self.check().and_then(|()| self.shapes(shape)) else {
            return (0, 0);
        };
        let norm = if self.norm == Norm::Layer { 2 } else { 0 };
        let weights = shapes
            .iter()
            .map(|s| ((s.patch() + 1 + norm) * s.filters) as u64);
        let last = shapes[shapes.len() - 1];
        let (dense, features) = self.dense().size((last.pixels() * last.filters) as u64);
        (weights.sum::<u64>().saturating_add(dense), features)
    }
}

impl From<(usize, usize, usize)> for ConvConfig {
    fn from((filters, size, stride): (usize, usize, usize)) -> Self {
        Self {
            filters,
            size,
            stride,
        }
    }
}

/// Channels, height and width of an observation of `shape`.
///
/// # Errors
/// [`Error::Config`] if it is no image.
pub(super) fn image(shape: &[i64]) -> Result<[usize; 3]> {
    match shape {
        [channels @ .., height, width] => {
            let channels = channels.iter().product::<i64>();
            Ok([channels, *height, *width].map(|n| n as usize))
        }
        _ => {
            let what =
                format!("it reads images, and the observation has shape {shape:?}; use \"mlp\"");
            Err(Error::config("kind", what))
        }
    }
}

/// Multiply-adds of a row's convolutions above which libtorch is faster: an update of MinAtar's network (37,000) takes
/// 0.59 ms here and 0.77 ms there, one of Nature's (7,700,000) 36 ms and 21 ms (`cargo bench -p thorndike-dqn`).
const MOST_PRODUCTS: usize = 500_000;

/// Convolutions, then perhaps fully connected layers.
#[derive(Debug)]
pub struct Cnn {
    convolutions: Vec<(ConvShape, Conv, Option<LayerNorm>)>,
    dense: Option<Mlp>,
    width: i64,
}

impl Cnn {
    /// Declares convolutions `conv.0`, `conv.1`, … and layers `0`, `1`, … in `scope`, for observations of `shape`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or does not fit the shape.
    pub fn new(config: &CnnConfig, scope: &mut Scope<'_>, shape: &[i64]) -> Result<Self> {
        config.check()?;
        let shapes = config.shapes(shape)?;
        let last = shapes[shapes.len() - 1];
        let convolutions = shapes.into_iter().enumerate().map(|(i, shape)| {
            let scope = &mut scope.sub(&format!("conv.{i}"));
            let conv = Conv::new(scope, shape);
            let norm =
                (config.norm == Norm::Layer).then(|| LayerNorm::new(scope, shape.filters as i64));
            (shape, conv, norm)
        });
        let convolutions = convolutions.collect();
        let features = (last.pixels() * last.filters) as i64;
        let dense = match config.hidden[..] {
            [] => None,
            _ => Some(Mlp::new(&config.dense(), scope, features)?),
        };
        Ok(Self {
            convolutions,
            width: dense.as_ref().map_or(features, FeatureExtractor::width),
            dense,
        })
    }
}

impl FeatureExtractor for Cnn {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let [channels, height, width] = self.convolutions[0].0.input.map(|n| n as i64);
        let images = obs.view([-1, channels, height, width]);
        let x = self.convolutions.iter().fold(images, |x, (_, conv, norm)| {
            let x = conv.forward(&x);
            match norm {
                Some(norm) => {
                    let pixels = x.permute([0, 2, 3, 1]); // [batch, height, width, filters]
                    norm.forward(&pixels).permute([0, 3, 1, 2]).relu()
                }
                None => x.relu(),
            }
        });
        let flat = x.flatten(1, -1);
        match &self.dense {
            Some(dense) => dense.features(&flat, train),
            None => flat,
        }
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn chain(&self) -> Option<Vec<LayerShape>> {
        let products =
            |(shape, ..): &(ConvShape, _, _)| shape.pixels() * shape.patch() * shape.filters;
        if self.convolutions.iter().map(products).sum::<usize>() > MOST_PRODUCTS {
            return None;
        }
        let convolutions = self.convolutions.iter().map(|(shape, _, norm)| LayerShape {
            product: Product::Conv(*shape),
            norm: norm.is_some(),
            relu: true,
        });
        let dense = self.dense.as_ref().map(|dense| dense.chain());
        let dense = dense.unwrap_or(Some(Vec::new()))?;
        Some(convolutions.chain(dense).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use tch::{Device, Kind};
    use thorndike_core::Seeds;

    fn built(config: &CnnConfig, shape: &[i64]) -> Result<(ParamStore, Cnn)> {
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| Cnn::new(config, scope, shape))
    }

    #[test]
    fn networks_of_the_papers_have_their_sizes() {
        // Nature: 32 * (4 * 64 + 1) + 64 * (32 * 16 + 1) + 64 * (64 * 9 + 1) + 512 * (3136 + 1).
        let (store, cnn) = built(&CnnConfig::nature(), &[4, 84, 84]).unwrap();
        assert_eq!((store.num_parameters(), cnn.width()), (1_684_128, 512));
        assert_eq!(CnnConfig::nature().size(&[4, 84, 84]), (1_684_128, 512));
        // MinAtar with 4 channels: 16 * (4 * 9 + 1) + 128 * (1024 + 1).
        let (store, cnn) = built(&CnnConfig::minatar(), &[4, 10, 10]).unwrap();
        assert_eq!((store.num_parameters(), cnn.width()), (131_792, 128));
        let obs = Tensor::zeros([3, 4, 10, 10], (Kind::Float, Device::Cpu));
        assert_eq!(cnn.features(&obs, true).size(), [3, 128]);
    }

    #[test]
    fn a_convolution_is_the_hand_computed_one() {
        let config = CnnConfig {
            layers: vec![(1, 2, 1).into()],
            hidden: vec![],
            norm: Norm::None,
        };
        let (mut store, cnn) = built(&config, &[2, 3]).unwrap();
        // Filter [[1, 2], [3, 4]], bias -10, on [[1, 2, 3], [4, 5, 6]].
        let weights = Tensor::from_slice(&[1_f32, 2.0, 3.0, 4.0, -10.0]);
        store.flat_and_gradient_mut().0.copy_(&weights);
        let obs = Tensor::arange_start(1, 7, (Kind::Float, Device::Cpu)).view([1, 2, 3]);
        // 1 + 4 + 12 + 20 - 10 and 2 + 6 + 15 + 24 - 10.
        let expected = Tensor::from_slice(&[27_f32, 37.0]).view([1, 2]);
        assert_eq!(cnn.features(&obs, false), expected);
    }

    #[test]
    fn stacked_frames_are_channels() {
        let (store, cnn) = built(&CnnConfig::minatar(), &[2, 3, 10, 10]).unwrap();
        assert_eq!(store.shapes().next().unwrap().1, [16, 6, 3, 3]);
        let obs = Tensor::zeros([5, 2, 3, 10, 10], (Kind::Float, Device::Cpu));
        assert_eq!(cnn.features(&obs, true).size(), [5, 128]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_key() {
        let minatar = CnnConfig::minatar;
        let none = CnnConfig {
            layers: vec![],
            ..minatar()
        };
        let still = CnnConfig {
            layers: vec![(16, 3, 0).into()],
            ..minatar()
        };
        for (config, shape, message) in [
            (
                minatar(),
                &[4][..],
                "kind: it reads images, and the observation has shape [4]",
            ),
            (
                CnnConfig::nature(),
                &[4, 10, 10],
                "layers[1].size: 4 is more than the image there, 1x1",
            ),
            (none, &[4, 10, 10], "layers: give at least one convolution"),
            (
                still,
                &[4, 10, 10],
                "layers[0].stride: 0 is out of range; give 1 to 1024",
            ),
        ] {
            let error = built(&config, shape).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert_eq!(config.size(shape), (0, 0));
        }
    }
}
