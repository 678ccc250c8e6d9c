//! Convolutions, poolings and residual blocks, then fully connected layers, ReLU after each:
//! `[batch, channels, height, width] -> [batch, width()]`, or of sequences `[batch, steps, inputs] -> [batch, width()]`.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result, check_range};

use super::mlp::{Mlp, MlpConfig, check_rate, dropout};
use crate::layers::{Conv, ConvShape, Dropout, Norm, NormLayer, Window, channels_last};
use crate::{FeatureExtractor, LayerShape, Product, Scope};

/// Settings of [`Cnn`]. The default is DQN's network for Atari.
///
/// # Reference
/// Mnih et al., "Human-level control through deep reinforcement learning" (2015), section "Model architecture":
/// [`nature`](Self::nature). Young and Tian, "MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible
/// Reinforcement Learning Experiments" (2019), section 4: [`minatar`](Self::minatar), in a file `layers = [{ filters =
/// 16, size = 3, stride = 1 }]` and `hidden = [128]`. Deviations: none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CnnConfig {
    /// Convolutions, poolings and residual blocks. Default convolutions of 32 filters of 8x8 every 4 pixels, 64 of 4x4
    /// every 2, 64 of 3x3.
    pub layers: Vec<LayerConfig>,
    /// Whether observations are sequences `[steps, inputs]`, or `[steps]` of one input each: sizes, strides and paddings
    /// then count steps, and the inputs of a step are channels. Without it they are images `[.., height, width]`, what
    /// is in front being channels. Default false.
    pub one_dimensional: bool,
    /// Whether each filter of the last layer gives one feature, its mean over all places. Default false: one for each
    /// place.
    pub global_pool: bool,
    /// Units of the fully connected layers behind them; may be empty. Default `[512]`.
    pub hidden: Vec<usize>,
    /// Normalisation before every nonlinearity. Default none.
    pub norm: Norm,
    /// Share of the numbers that are [dropped](Dropout) while learning, where fully connected layers and the head read
    /// them: in front of each hidden layer and behind the last. Default 0.
    pub dropout: f64,
}

/// Settings of a layer of [`Cnn`], told apart by their first key:
///
/// | keys | layer |
/// |---|---|
/// | `filters`, `size`, `stride`, `padding` | convolution |
/// | `pool`, `size`, `stride`, `padding` | pooling |
/// | `residual`, `size`, `stride` | residual block |
///
/// ```
/// use thorndike_nets::models::{CnnConfig, PoolConfig, PoolKind};
/// let config: CnnConfig = serde_json::from_str(
///     r#"{"layers": [{"filters": 6, "size": 5, "stride": 1, "padding": 2}, {"pool": "max", "size": 2}, {"residual": 16}]}"#,
/// )?;
/// let pool = PoolConfig { pool: PoolKind::Max, size: 2, stride: 2, padding: 0 };
/// assert_eq!(config.layers[1], pool.into());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LayerKeys", into = "LayerKeys")]
pub enum LayerConfig {
    /// A convolution, normalised and with ReLU.
    Conv(ConvConfig),
    /// A pooling.
    Pool(PoolConfig),
    /// A residual block.
    Residual(ResidualConfig),
}

/// Settings of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Channels it puts out.
    pub filters: usize,
    /// Height and width of a filter, pixels.
    pub size: usize,
    /// Pixels from one place of a filter to the next.
    pub stride: usize,
    /// Rows and columns of zeros put on each side of the image. Default 0.
    pub padding: usize,
}

/// Settings of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// What is taken of the pixels.
    pub pool: PoolKind,
    /// Height and width of what one is taken of, pixels.
    pub size: usize,
    /// Pixels from one place to the next. Default `size`.
    pub stride: usize,
    /// Rows and columns put on each side of the image, which count for nothing. Default 0; at most half of `size`.
    pub padding: usize,
}

/// What a pooling takes of the pixels it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// The highest of each channel.
    Max,
    /// The mean of each channel.
    Average,
}

/// Settings of a residual block: two convolutions, the second added to what the block reads before its ReLU. Where the
/// shape changes, a convolution of 1x1 fits what is read to it.
///
/// # Reference
/// He et al., "Deep Residual Learning for Image Recognition" (2016), figure 2 and section 3.2, equations 1 and 2.
/// Deviations: convolutions have a bias also where they are normalised; initial values are those of [`Conv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResidualConfig {
    /// Channels of both convolutions.
    pub residual: usize,
    /// Height and width of their filters, pixels; odd, as padding keeps the image's size. Default 3.
    pub size: usize,
    /// Pixels from one place of the first convolution's filters to the next. Default 1.
    pub stride: usize,
}

/// All keys that a layer may have in a file.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LayerKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    filters: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<PoolKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    residual: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    padding: Option<usize>,
}

impl TryFrom<LayerKeys> for LayerConfig {
    type Error = String;

    fn try_from(keys: LayerKeys) -> std::result::Result<Self, String> {
        let needed = |name: &str, value: Option<usize>| {
            value.ok_or_else(|| format!("missing field `{name}`"))
        };
        match keys {
            LayerKeys {
                filters: Some(filters),
                pool: None,
                residual: None,
                ..
            } => Ok(Self::Conv(ConvConfig {
                filters,
                size: needed("size", keys.size)?,
                stride: needed("stride", keys.stride)?,
                padding: keys.padding.unwrap_or(0),
            })),
            LayerKeys {
                filters: None,
                pool: Some(pool),
                residual: None,
                ..
            } => {
                let size = needed("size", keys.size)?;
                Ok(Self::Pool(PoolConfig {
                    pool,
                    size,
                    stride: keys.stride.unwrap_or(size),
                    padding: keys.padding.unwrap_or(0),
                }))
            }
            LayerKeys {
                filters: None,
                pool: None,
                residual: Some(residual),
                padding: None,
                ..
            } => Ok(Self::Residual(ResidualConfig {
                residual,
                size: keys.size.unwrap_or(3),
                stride: keys.stride.unwrap_or(1),
            })),
            LayerKeys {
                filters: None,
                pool: None,
                residual: Some(_),
                ..
            } => Err("a residual block has no `padding`: it keeps the image's size".to_owned()),
            _ => Err("give a layer one of `filters`, `pool` and `residual`".to_owned()),
        }
    }
}

impl From<LayerConfig> for LayerKeys {
    fn from(layer: LayerConfig) -> Self {
        let padding = |n: usize| (n > 0).then_some(n);
        match layer {
            LayerConfig::Conv(conv) => Self {
                filters: Some(conv.filters),
                size: Some(conv.size),
                stride: Some(conv.stride),
                padding: padding(conv.padding),
                ..Self::default()
            },
            LayerConfig::Pool(pool) => Self {
                pool: Some(pool.pool),
                size: Some(pool.size),
                stride: Some(pool.stride),
                padding: padding(pool.padding),
                ..Self::default()
            },
            LayerConfig::Residual(block) => Self {
                residual: Some(block.residual),
                size: Some(block.size),
                stride: Some(block.stride),
                ..Self::default()
            },
        }
    }
}

impl From<ConvConfig> for LayerConfig {
    fn from(conv: ConvConfig) -> Self {
        Self::Conv(conv)
    }
}

impl From<PoolConfig> for LayerConfig {
    fn from(pool: PoolConfig) -> Self {
        Self::Pool(pool)
    }
}

impl From<ResidualConfig> for LayerConfig {
    fn from(block: ResidualConfig) -> Self {
        Self::Residual(block)
    }
}

impl From<(usize, usize, usize)> for LayerConfig {
    /// A convolution of so many filters, of that size and stride, without padding.
    fn from((filters, size, stride): (usize, usize, usize)) -> Self {
        Self::Conv(ConvConfig {
            filters,
            size,
            stride,
            padding: 0,
        })
    }
}

impl LayerConfig {
    /// Size, stride and padding.
    fn numbers(&self) -> [usize; 3] {
        match *self {
            Self::Conv(conv) => [conv.size, conv.stride, conv.padding],
            Self::Pool(pool) => [pool.size, pool.stride, pool.padding],
            Self::Residual(block) => [block.size, block.stride, block.size / 2],
        }
    }

    fn window(&self, one_dimensional: bool) -> Window {
        let [size, stride, padding] = self.numbers();
        match one_dimensional {
            true => Window::line(size, stride, padding),
            false => Window::square(size, stride, padding),
        }
    }

    /// Channels it puts out if it reads that many.
    fn outputs(&self, channels: usize) -> usize {
        match *self {
            Self::Conv(conv) => conv.filters,
            Self::Pool(_) => channels,
            Self::Residual(block) => block.residual,
        }
    }

    /// Weights if it reads so many channels; `norm` are those for each channel of an output.
    fn weights(&self, channels: usize, one_dimensional: bool, norm: usize) -> u64 {
        let area: usize = self.window(one_dimensional).size.iter().product();
        let conv = |inputs: usize, outputs: usize, area: usize| {
            outputs as u64 * (inputs * area + 1 + norm) as u64
        };
        match *self {
            Self::Conv(layer) => conv(channels, layer.filters, area),
            Self::Pool(_) => 0,
            Self::Residual(block) => {
                let outputs = block.residual;
                let both = conv(channels, outputs, area) + conv(outputs, outputs, area);
                both + if block.projects(channels) {
                    conv(channels, outputs, 1)
                } else {
                    0
                }
            }
        }
    }

    /// Refuses values out of range; `layer` is the key of this one.
    fn check(&self, layer: &str) -> Result<()> {
        let key = |name: &str| format!("{layer}.{name}");
        let [size, stride, padding] = self.numbers();
        match *self {
            Self::Conv(conv) => check_range(&key("filters"), conv.filters, 1..=65_536)?,
            Self::Pool(_) => {}
            Self::Residual(block) => check_range(&key("residual"), block.residual, 1..=65_536)?,
        }
        check_range(&key("size"), size, 1..=1024)?;
        check_range(&key("stride"), stride, 1..=1024)?;
        match *self {
            Self::Conv(_) => check_range(&key("padding"), padding, 0..=1024),
            Self::Pool(_) => check_range(&key("padding"), padding, 0..=size / 2),
            Self::Residual(_) if size % 2 == 0 => {
                let what = format!("{size} is even; give a residual block an odd size");
                Err(Error::config(key("size"), what))
            }
            Self::Residual(_) => Ok(()),
        }
    }
}

impl ResidualConfig {
    /// Whether what is read must be fitted to the output.
    fn projects(&self, channels: usize) -> bool {
        self.stride > 1 || channels != self.residual
    }
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self::nature()
    }
}

impl CnnConfig {
    /// DQN's network for Atari.
    pub fn nature() -> Self {
        Self {
            layers: [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
                .map(LayerConfig::from)
                .to_vec(),
            one_dimensional: false,
            global_pool: false,
            hidden: vec![512],
            norm: Norm::None,
            dropout: 0.0,
        }
    }

    /// The network of MinAtar's authors.
    pub fn minatar() -> Self {
        Self {
            layers: vec![(16, 3, 1).into()],
            hidden: vec![128],
            ..Self::nature()
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
            layer.check(&format!("layers[{i}]"))?;
        }
        check_rate("dropout", self.dropout)?;
        if self.hidden.is_empty() {
            return Ok(());
        }
        self.dense().check()
    }

    fn dense(&self) -> MlpConfig {
        MlpConfig {
            hidden: self.hidden.clone(),
            norm: self.norm,
            dropout: self.dropout,
            ..MlpConfig::default()
        }
    }

    /// Channels, height and width in front of each layer and behind the last, for observations of `shape`.
    ///
    /// # Errors
    /// [`Error::Config`] if `shape` does not fit or is too small.
    fn images(&self, shape: &[i64]) -> Result<Vec<[usize; 3]>> {
        let mut at = match self.one_dimensional {
            true => sequence(shape)?,
            false => image(shape)?,
        };
        let mut images = vec![at];
        for (i, layer) in self.layers.iter().enumerate() {
            let [channels, height, width] = at;
            let window = layer.window(self.one_dimensional);
            let Some([h, w]) = window.output([height, width]) else {
                let [size, _, padding] = layer.numbers();
                let image = match self.one_dimensional {
                    true => format!("the {width} steps there"),
                    false => format!("the image there, {height}x{width}"),
                };
                let padded = match padding {
                    0 => String::new(),
                    _ => format!(" and {padding} around it"),
                };
                let what = format!(
                    "{size} is more than {image}{padded}; give a smaller size or fewer layers"
                );
                return Err(Error::config(format!("layers[{i}].size"), what));
            };
            at = [layer.outputs(channels), h, w];
            images.push(at);
        }
        Ok(images)
    }

    /// Features that an image behind the last layer gives.
    fn flat(&self, [channels, height, width]: [usize; 3]) -> usize {
        channels * if self.global_pool { 1 } else { height * width }
    }

    /// Stride and channels of the last map of each stride.
    pub(crate) fn map_shapes(&self) -> Vec<[usize; 2]> {
        let (mut shapes, mut stride, mut channels) = (Vec::<[usize; 2]>::new(), 1, 0);
        if self.one_dimensional {
            return shapes;
        }
        for layer in &self.layers {
            let [_, step, _] = layer.numbers();
            channels = layer.outputs(channels);
            stride *= step;
            shapes.retain(|shape| shape[0] != stride);
            shapes.push([stride, channels]);
        }
        shapes
    }

    /// Weights on images of `shape`, and the features they give; 0 where [`Cnn::new`] would refuse.
    pub(crate) fn size(&self, shape: &[i64]) -> (u64, u64) {
        let Ok(images) = self.check().and_then(|()| self.images(shape)) else {
            return (0, 0);
        };
        let layers = self.layers.iter().zip(&images).map(|(layer, image)| {
            layer.weights(image[0], self.one_dimensional, self.norm.weights())
        });
        let flat = self.flat(images[images.len() - 1]) as u64;
        let (dense, features) = self.dense().size(flat);
        (layers.sum::<u64>().saturating_add(dense), features)
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

/// A sequence of `shape` as an image one pixel high, the inputs of a step being its channels.
fn sequence(shape: &[i64]) -> Result<[usize; 3]> {
    match *shape {
        [steps] => Ok([1, 1, steps as usize]),
        [steps, inputs] => Ok([inputs as usize, 1, steps as usize]),
        _ => {
            let what = format!(
                "it reads sequences [steps, inputs], and the observation has shape {shape:?}; give false"
            );
            Err(Error::config("one_dimensional", what))
        }
    }
}

/// Multiply-adds of a row's convolutions above which libtorch is faster: an update of MinAtar's network (37,000) takes
/// 0.59 ms here and 0.77 ms there, one of Nature's (7,700,000) 36 ms and 21 ms (`cargo bench -p thorndike-dqn`).
const MOST_PRODUCTS: usize = 500_000;

/// Convolutions, poolings and residual blocks, then perhaps fully connected layers.
#[derive(Debug)]
pub struct Cnn {
    config: CnnConfig,
    /// Channels, height and width of what is read.
    image: [usize; 3],
    layers: Vec<Layer>,
    /// In front of the first hidden layer.
    dropout: Option<Dropout>,
    dense: Option<Mlp>,
    width: i64,
}

#[derive(Debug)]
enum Layer {
    Conv(ConvNorm),
    Pool(PoolKind, Window),
    Residual {
        first: ConvNorm,
        second: ConvNorm,
        projection: Option<ConvNorm>,
    },
}

/// A convolution and its normalisation, if any.
#[derive(Debug)]
pub(super) struct ConvNorm {
    conv: Conv,
    norm: Option<NormLayer>,
}

impl ConvNorm {
    /// Declares `weight`, `bias` and perhaps `norm.*` in `scope`.
    pub(super) fn new(
        scope: &mut Scope<'_>,
        channels: usize,
        filters: usize,
        window: Window,
        norm: Norm,
    ) -> Self {
        let conv = Conv::of_window(scope, channels, filters, window);
        let norm = NormLayer::new(norm, scope, filters as i64);
        Self { conv, norm }
    }

    /// `[batch, channels, height, width] -> [batch, filters, height', width']`.
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let x = self.conv.forward(x);
        match &self.norm {
            Some(norm) => norm.forward(&x, train),
            None => x,
        }
    }
}

impl Layer {
    fn new(
        layer: &LayerConfig,
        config: &CnnConfig,
        scope: &mut Scope<'_>,
        channels: usize,
    ) -> Self {
        let window = layer.window(config.one_dimensional);
        let mut conv = |name: &str, inputs, outputs, window| match name {
            "" => ConvNorm::new(scope, inputs, outputs, window, config.norm),
            _ => ConvNorm::new(&mut scope.sub(name), inputs, outputs, window, config.norm),
        };
        match layer {
            LayerConfig::Conv(layer) => Self::Conv(conv("", channels, layer.filters, window)),
            LayerConfig::Pool(pool) => Self::Pool(pool.pool, window),
            LayerConfig::Residual(block) => {
                let filters = block.residual;
                let still = Window {
                    stride: [1; 2],
                    ..window
                };
                let pixel = Window {
                    size: [1; 2],
                    padding: [0; 2],
                    ..window
                };
                Self::Residual {
                    first: conv("first", channels, filters, window),
                    second: conv("second", filters, filters, still),
                    projection: block
                        .projects(channels)
                        .then(|| conv("projection", channels, filters, pixel)),
                }
            }
        }
    }

    /// `[batch, channels, height, width] -> [batch, channels', height', width']`.
    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        match self {
            Self::Conv(conv) => conv.forward(x, train).relu_(),
            Self::Pool(PoolKind::Max, window) => window.max_pool(x),
            Self::Pool(PoolKind::Average, window) => window.average_pool(x),
            Self::Residual {
                first,
                second,
                projection,
            } => {
                let inner = first.forward(x, train).relu_();
                let sum = second.forward(&inner, train);
                match projection {
                    Some(projection) => (sum + projection.forward(x, train)).relu_(),
                    None => (sum + x).relu_(),
                }
            }
        }
    }
}

impl Cnn {
    /// Declares layers `conv.0`, `conv.1`, … (numbered by their place in the configuration; poolings have no weights)
    /// and fully connected ones `0`, `1`, … in `scope`, for observations of `shape`. A residual block has convolutions
    /// `first`, `second` and perhaps `projection`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or does not fit the shape.
    pub fn new(config: &CnnConfig, scope: &mut Scope<'_>, shape: &[i64]) -> Result<Self> {
        config.check()?;
        let images = config.images(shape)?;
        let mut layers = Vec::with_capacity(config.layers.len());
        for (i, (layer, image)) in config.layers.iter().zip(&images).enumerate() {
            let scope = &mut scope.sub(&format!("conv.{i}"));
            layers.push(Layer::new(layer, config, scope, image[0]));
        }
        let features = config.flat(images[images.len() - 1]) as i64;
        let dropout = dropout(scope, config.dropout);
        let dense = match config.hidden[..] {
            [] => None,
            _ => Some(Mlp::new(&config.dense(), scope, features)?),
        };
        Ok(Self {
            config: config.clone(),
            image: images[0],
            layers,
            dropout,
            width: dense.as_ref().map_or(features, FeatureExtractor::width),
            dense,
        })
    }

    /// The convolutions, if there is nothing else in front of the fully connected layers, and none has padding.
    fn plain_convolutions(&self) -> Option<Vec<LayerShape>> {
        let config = &self.config;
        if config.one_dimensional || config.global_pool || config.dropout > 0.0 {
            return None;
        }
        let mut input = self.image;
        let shapes = config.layers.iter().map(|layer| {
            let LayerConfig::Conv(ConvConfig {
                filters,
                size,
                stride,
                padding: 0,
            }) = *layer
            else {
                return None;
            };
            let shape = ConvShape {
                input,
                filters,
                size,
                stride,
            };
            let [height, width] = shape.output();
            input = [filters, height, width];
            Some(LayerShape {
                product: Product::Conv(shape),
                norm: match config.norm {
                    Norm::None => false,
                    Norm::Layer => true,
                    Norm::Batch => return None,
                },
                relu: true,
            })
        });
        shapes.collect()
    }
}

impl FeatureExtractor for Cnn {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let [channels, height, width] = self.image.map(|n| n as i64);
        let images = match self.config.one_dimensional {
            // [batch, steps, inputs] -> [batch, inputs, 1, steps]
            true => obs.view([-1, 1, width, channels]).permute([0, 3, 1, 2]),
            false => obs.view([-1, channels, height, width]),
        };
        let images = channels_last(&images);
        let layers = self.layers.iter();
        let x = layers.fold(images, |x, layer| layer.forward(&x, train));
        let mut flat = match self.config.global_pool {
            true => x.mean_dim([2_i64, 3].as_slice(), false, None::<tch::Kind>),
            false => x.flatten(1, -1),
        };
        if let Some(dropout) = &self.dropout {
            flat = dropout.forward(&flat, train);
        }
        match &self.dense {
            Some(dense) => dense.features(&flat, train),
            None => flat,
        }
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn maps(&self, images: &Tensor, train: bool) -> Option<Vec<Tensor>> {
        let mut maps: Vec<Tensor> = Vec::new();
        let mut x = channels_last(images);
        for (layer, config) in self.layers.iter().zip(&self.config.layers) {
            x = layer.forward(&x, train);
            // The last of each stride.
            if config.numbers()[1] == 1 {
                maps.pop();
            }
            maps.push(x.shallow_clone());
        }
        (!self.config.one_dimensional).then_some(maps)
    }

    fn chain(&self) -> Option<Vec<LayerShape>> {
        let mut layers = self.plain_convolutions()?;
        let products = |layer: &LayerShape| match layer.product {
            Product::Conv(shape) => shape.pixels() * shape.patch() * shape.filters,
            Product::Linear(..) => 0,
        };
        if layers.iter().map(products).sum::<usize>() > MOST_PRODUCTS {
            return None;
        }
        if let Some(dense) = &self.dense {
            layers.extend(dense.chain()?);
        }
        Some(layers)
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
            ..CnnConfig::default()
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

    fn config(json: &str) -> CnnConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn existing_settings_are_a_chain_and_others_are_none() {
        let (_, minatar) = built(&CnnConfig::minatar(), &[4, 10, 10]).unwrap();
        assert_eq!(minatar.chain().map(|layers| layers.len()), Some(2));
        let conv = r#"{"filters": 2, "size": 3, "stride": 1}"#;
        for json in [
            r#"{"layers": [{"filters": 2, "size": 3, "stride": 1, "padding": 1}]}"#.to_owned(),
            format!(r#"{{"layers": [{conv}, {{"pool": "max", "size": 2}}]}}"#),
            r#"{"layers": [{"residual": 2}]}"#.to_owned(),
            format!(r#"{{"layers": [{conv}], "norm": "batch"}}"#),
            format!(r#"{{"layers": [{conv}], "dropout": 0.5}}"#),
            format!(r#"{{"layers": [{conv}], "global_pool": true}}"#),
        ] {
            let (_, cnn) = built(&config(&json), &[1, 8, 8]).unwrap();
            assert_eq!(cnn.chain(), None, "{json}");
        }
        let (_, line) = built(
            &config(
                r#"{"layers": [{"filters": 2, "size": 3, "stride": 1}], "one_dimensional": true}"#,
            ),
            &[8, 1],
        )
        .unwrap();
        assert_eq!(line.chain(), None);
    }

    #[test]
    fn sizes_are_known_before_anything_is_allocated() {
        let layers = r#"[{"filters": 6, "size": 5, "stride": 1, "padding": 2}, {"pool": "max", "size": 2},
            {"residual": 6}, {"residual": 8, "stride": 2}, {"pool": "average", "size": 3, "stride": 1, "padding": 1}]"#;
        for rest in [
            r#""hidden": [10]"#,
            r#""hidden": [], "norm": "batch""#,
            r#""hidden": [7, 5], "norm": "layer", "global_pool": true"#,
            r#""hidden": [], "global_pool": true, "dropout": 0.25"#,
        ] {
            let two = config(&format!(r#"{{"layers": {layers}, {rest}}}"#));
            let one = config(&format!(
                r#"{{"layers": {layers}, {rest}, "one_dimensional": true}}"#
            ));
            for (config, shape) in [(two, &[2, 12, 16][..]), (one, &[40, 3])] {
                let (store, cnn) = built(&config, shape).unwrap();
                let size = (store.num_parameters() as u64, cnn.width() as u64);
                assert_eq!(config.size(shape), size, "{rest} {shape:?}");
                let obs = Tensor::ones([&[3], shape].concat(), (Kind::Float, Device::Cpu));
                assert_eq!(cnn.features(&obs, true).size(), [3, cnn.width()]);
            }
        }
    }

    /// Sets the weights of `store` in order of declaration.
    fn set(store: &mut ParamStore, weights: &[f32]) {
        let flat = store.flat_and_gradient_mut().0;
        flat.copy_(&Tensor::from_slice(weights));
    }

    #[test]
    fn a_residual_block_is_the_hand_computed_one() {
        let (mut store, cnn) = built(
            &config(r#"{"layers": [{"residual": 1, "size": 1}], "hidden": []}"#),
            &[1, 2],
        )
        .unwrap();
        // relu(x + 3 relu(2 x + 1) - 4): 1 + 9 - 4, and -2 + 0 - 4.
        set(&mut store, &[2.0, 1.0, 3.0, -4.0]);
        let obs = Tensor::from_slice(&[1_f32, -2.0]).view([1, 1, 2]);
        let expected = Tensor::from_slice(&[6_f32, 0.0]).view([1, 2]);
        assert_eq!(cnn.features(&obs, false), expected);

        let (mut store, cnn) = built(
            &config(r#"{"layers": [{"residual": 1, "size": 1, "stride": 2}], "hidden": []}"#),
            &[1, 3],
        )
        .unwrap();
        let names: Vec<_> = store.shapes().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names[4], "conv.0.projection.weight");
        // The first and third pixel, and what is read times 10 plus 1.
        set(&mut store, &[2.0, 1.0, 3.0, -4.0, 10.0, 1.0]);
        let obs = Tensor::from_slice(&[1_f32, 7.0, 2.0]).view([1, 1, 3]);
        let expected = Tensor::from_slice(&[5_f32 + 11.0, 11.0 + 21.0]).view([1, 2]);
        assert_eq!(cnn.features(&obs, false), expected);
    }

    #[test]
    fn poolings_and_padding_are_the_hand_computed_ones() {
        let pooled = |layers: &str, rest: &str| {
            let config = config(&format!(r#"{{"layers": [{layers}], "hidden": [] {rest}}}"#));
            let (_, cnn) = built(&config, &[2, 4]).unwrap();
            let obs = Tensor::arange_start(1, 9, (Kind::Float, Device::Cpu)).view([1, 2, 4]);
            Vec::<f32>::try_from(cnn.features(&obs, false).flatten(0, -1)).unwrap()
        };
        // 1 2 3 4 over 5 6 7 8.
        let max = r#"{"pool": "max", "size": 2}"#;
        let average = r#"{"pool": "average", "size": 2, "stride": 1}"#;
        assert_eq!(pooled(max, ""), [6.0, 8.0]);
        assert_eq!(pooled(average, ""), [3.5, 4.5, 5.5]);
        assert_eq!(pooled(average, r#", "global_pool": true"#), [4.5]);

        let padded = config(
            r#"{"layers": [{"filters": 1, "size": 3, "stride": 1, "padding": 1}], "hidden": []}"#,
        );
        let (mut store, cnn) = built(&padded, &[1, 2]).unwrap();
        // The middle line of the filter is 1, 2, 4: under the first pixel 0, 3, 5.
        set(
            &mut store,
            &[9.0, 9.0, 9.0, 1.0, 2.0, 4.0, 9.0, 9.0, 9.0, 0.5],
        );
        let obs = Tensor::from_slice(&[3_f32, 5.0]).view([1, 1, 2]);
        let expected = Tensor::from_slice(&[26.5_f32, 13.5]).view([1, 2]);
        assert_eq!(cnn.features(&obs, false), expected);
    }

    #[test]
    fn sequences_are_read_along_their_steps() {
        let line = config(
            r#"{"layers": [{"filters": 1, "size": 2, "stride": 1}], "hidden": [], "one_dimensional": true}"#,
        );
        let (mut store, cnn) = built(&line, &[3, 2]).unwrap();
        assert_eq!(store.shapes().next().unwrap().1, [1, 2, 1, 2]);
        // The first input times 1 and 10 in two steps, the second times 100 and 1000.
        set(&mut store, &[1.0, 10.0, 100.0, 1000.0, 0.0]);
        let obs = Tensor::from_slice(&[1_f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([1, 3, 2]);
        let expected = Tensor::from_slice(&[4231_f32, 6453.0]).view([1, 2]);
        assert_eq!(cnn.features(&obs, false), expected);
        let (_, cnn) = built(&line, &[7]).unwrap();
        let obs = Tensor::zeros([2, 7], (Kind::Float, Device::Cpu));
        assert_eq!(cnn.features(&obs, false).size(), [2, 6]);
    }

    #[test]
    fn normalisation_is_in_front_of_the_nonlinearity() {
        let batch = config(
            r#"{"layers": [{"filters": 1, "size": 1, "stride": 1}], "hidden": [], "norm": "batch"}"#,
        );
        let (mut store, cnn) = built(&batch, &[1, 2]).unwrap();
        let names: Vec<_> = store.shapes().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names[2], "conv.0.norm.weight");
        set(&mut store, &[1.0, 5.0, 2.0, 0.0]);
        let obs = Tensor::from_slice(&[1_f32, 3.0]).view([1, 1, 2]);
        // 6 and 8 normalised are -1 and 1, doubled.
        let features = Vec::<f32>::try_from(cnn.features(&obs, true).flatten(0, -1)).unwrap();
        assert_eq!(features[0], 0.0);
        assert!((features[1] - 2.0).abs() < 1e-4); // the 1e-5 beside the variance
    }

    #[test]
    fn layers_are_read_and_written_by_their_keys() {
        let json = r#"[{"filters":6,"size":5,"stride":1},{"pool":"average","size":2,"stride":2},{"residual":4,"size":3,"stride":1}]"#;
        let layers: Vec<LayerConfig> = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&layers).unwrap(), json);
        for (json, message) in [
            (r#"{"filters": 6, "stride": 1}"#, "missing field `size`"),
            (
                r#"{"filters": 6, "pool": "max"}"#,
                "give a layer one of `filters`, `pool`",
            ),
            (r#"{"size": 6}"#, "give a layer one of `filters`, `pool`"),
            (r#"{"filtres": 6}"#, "unknown field `filtres`"),
            (
                r#"{"residual": 6, "padding": 1}"#,
                "a residual block has no `padding`",
            ),
        ] {
            let error = serde_json::from_str::<LayerConfig>(json).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn layers_that_leave_no_pixel_are_refused_by_their_key() {
        for (layers, rest, shape, message) in [
            (
                r#"{"filters": 2, "size": 3, "stride": 1}, {"pool": "max", "size": 3}"#,
                "",
                &[1, 4, 9][..],
                "layers[1].size: 3 is more than the image there, 2x7;",
            ),
            (
                r#"{"filters": 2, "size": 9, "stride": 1, "padding": 1}"#,
                "",
                &[1, 6, 6],
                "layers[0].size: 9 is more than the image there, 6x6 and 1 around it;",
            ),
            (
                r#"{"pool": "max", "size": 2, "padding": 2}"#,
                "",
                &[1, 6, 6],
                "layers[0].padding: 2 is out of range; give 0 to 1",
            ),
            (
                r#"{"residual": 2, "size": 4}"#,
                "",
                &[1, 6, 6],
                "layers[0].size: 4 is even",
            ),
            (
                r#"{"pool": "max", "size": 9}"#,
                r#", "one_dimensional": true"#,
                &[6, 1],
                "layers[0].size: 9 is more than the 6 steps there;",
            ),
            (
                r#"{"pool": "max", "size": 2}"#,
                r#", "one_dimensional": true"#,
                &[6, 1, 3],
                "one_dimensional: it reads sequences [steps, inputs]",
            ),
            (
                r#"{"pool": "max", "size": 2}"#,
                r#", "dropout": 1.5"#,
                &[6, 6],
                "dropout: 1.5 is out of range",
            ),
        ] {
            let config = config(&format!(r#"{{"layers": [{layers}] {rest}}}"#));
            let error = built(&config, shape).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert_eq!(config.size(shape), (0, 0));
        }
    }
}
