//! A small network of convolutions in stages, the backbone of detectors:
//! `[batch, channels, height, width] -> [batch, width()]`, or a map of features for each halving.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Error, Result, check_range};

use super::cnn::image;
use crate::layers::{BatchNorm, channels_last};
use crate::params::Version;
use crate::{FeatureExtractor, Scope};

/// Settings of [`Csp`]: a convolution of 3x3 that halves the image, then stages of another one and a block of CSPNet.
///
/// # Reference
/// Wang et al., "CSPNet: A New Backbone that can Enhance Learning Capability of CNN" (2020), figure 2 b. Deviations: the
/// parts of a block are halves of one convolution's channels, all of which are read again behind it; SiLU for Leaky ReLU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CspConfig {
    /// Channels of the first convolution, then of each stage; each halves height and width. Default `[16, 32, 48, 64, 96]`.
    pub channels: Vec<usize>,
    /// Pairs of convolutions in a block. Default 1.
    pub blocks: usize,
}

impl Default for CspConfig {
    fn default() -> Self {
        Self {
            channels: vec![16, 32, 48, 64, 96],
            blocks: 1,
        }
    }
}

impl CspConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        if !(2..=8).contains(&self.channels.len()) {
            let what = format!("{} numbers; give 2 to 8", self.channels.len());
            return Err(Error::config("channels", what));
        }
        for (i, &channels) in self.channels.iter().enumerate() {
            check_range(&format!("channels[{i}]"), channels, 2..=4096)?;
        }
        check_range("blocks", self.blocks, 1..=32)
    }

    /// Stride and channels of each map.
    pub(crate) fn map_shapes(&self) -> Vec<[usize; 2]> {
        let stages = self.channels.iter().enumerate().skip(1);
        stages.map(|(i, &channels)| [2 << i, channels]).collect()
    }

    /// Weights on images of `shape`, and the features they give; 0 where [`Csp::new`] would refuse.
    pub(crate) fn size(&self, shape: &[i64]) -> (u64, u64) {
        let (Ok(()), Ok([mut inputs, ..])) = (self.check(), image(shape)) else {
            return (0, 0);
        };
        let mut weights = 0;
        for (i, &channels) in self.channels.iter().enumerate() {
            weights += Unit::weights(inputs, channels, 3);
            if i > 0 {
                weights += CspBlock::weights(channels, channels, self.blocks);
            }
            inputs = channels;
        }
        (weights, inputs as u64)
    }
}

/// How a network is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Batch norms take the batch.
    Train,
    /// Batch norms take their running values.
    Apply,
    /// As `Apply`, where nothing learns: batch norms are part of their convolutions.
    Fused,
}

impl Pass {
    /// That of a network one of whose weights is `probe`.
    pub(super) fn of(train: bool, probe: &Tensor) -> Self {
        match train {
            true => Self::Train,
            // What is made of a weight learns if the weight does and gradients are not switched off.
            false if probe.view([-1]).requires_grad() => Self::Apply,
            false => Self::Fused,
        }
    }
}

/// A convolution without bias, its batch norm, and SiLU, `x sigmoid(x)`.
///
/// *Design.* Where nothing learns, a batch norm is a factor and a sum for each channel, which go into the convolution's
/// weights. These are kept until the store's version says that weights were changed, or the norm has seen a batch.
#[derive(Debug)]
pub(super) struct Unit {
    weight: Tensor,
    norm: BatchNorm,
    stride: [i64; 2],
    padding: [i64; 2],
    version: Version,
    /// The version that they are of, weight and bias.
    fused: RefCell<Option<(u64, [Tensor; 2])>>,
}

impl Unit {
    /// Declares `weight` and `norm.*` in `scope`, for filters of `size` x `size`, an odd number.
    pub(super) fn new(
        scope: &mut Scope<'_>,
        inputs: usize,
        outputs: usize,
        size: usize,
        stride: usize,
    ) -> Self {
        let bound = 1.0 / ((inputs * size * size) as f32).sqrt();
        let shape = [outputs, inputs, size, size].map(|n| n as i64);
        Self {
            weight: scope.uniform("weight", &shape, bound),
            norm: BatchNorm::new(&mut scope.sub("norm"), outputs as i64),
            stride: [stride as i64; 2],
            padding: [size as i64 / 2; 2],
            version: scope.version(),
            fused: RefCell::new(None),
        }
    }

    /// Trainable numbers.
    pub(super) fn weights(inputs: usize, outputs: usize, size: usize) -> u64 {
        (outputs * (inputs * size * size + 2)) as u64
    }

    /// A weight, for [`Pass::of`].
    pub(super) fn probe(&self) -> &Tensor {
        &self.weight
    }

    /// `[batch, inputs, height, width] -> [batch, outputs, height', width']`.
    pub(super) fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let (stride, padding) = (self.stride, self.padding);
        let conv = |weight: &Tensor, bias: Option<&Tensor>| {
            x.conv2d(weight, bias, stride, padding, [1; 2], 1)
        };
        match pass {
            Pass::Fused => {
                let version = self.version.load(Ordering::Relaxed);
                let mut kept = self.fused.borrow_mut();
                let (_, [weight, bias]) = match kept.take() {
                    Some(fused) if fused.0 == version => kept.insert(fused),
                    _ => kept.insert((version, self.fuse())),
                };
                conv(weight, Some(bias)).silu_()
            }
            _ => {
                if pass == Pass::Train {
                    self.fused.take();
                }
                let x = conv(&self.weight, None::<&Tensor>);
                self.norm.forward(&x, pass == Pass::Train).silu()
            }
        }
    }

    /// Weight and bias of a convolution that does what this and its norm do.
    fn fuse(&self) -> [Tensor; 2] {
        let norm = &self.norm;
        let factor = &norm.weight / (&norm.running_var + BatchNorm::EPSILON).sqrt();
        let bias = &norm.bias - &norm.running_mean * &factor;
        [&self.weight * factor.view([-1, 1, 1, 1]), bias]
    }
}

/// A convolution of 1x1, pairs of convolutions of 3x3 on half of its channels, each added to what it reads if `shortcut`,
/// and one of 1x1 of all of them side by side: `[batch, inputs, height, width] -> [batch, outputs, height, width]`.
#[derive(Debug)]
pub(super) struct CspBlock {
    first: Unit,
    pairs: Vec<[Unit; 2]>,
    last: Unit,
    /// Channels of a part, and where the second one begins.
    half: [i64; 2],
    shortcut: bool,
}

impl CspBlock {
    /// Declares `first`, `0.0`, `0.1`, … and `last` in `scope`.
    pub(super) fn new(
        scope: &mut Scope<'_>,
        inputs: usize,
        outputs: usize,
        pairs: usize,
        shortcut: bool,
    ) -> Self {
        let half = outputs / 2;
        let mut unit = |name: &str, inputs, outputs, size| {
            Unit::new(&mut scope.sub(name), inputs, outputs, size, 1)
        };
        Self {
            first: unit("first", inputs, outputs, 1),
            pairs: (0..pairs)
                .map(|i| [0, 1].map(|j| unit(&format!("{i}.{j}"), half, half, 3)))
                .collect(),
            last: unit("last", outputs + pairs * half, outputs, 1),
            half: [half, outputs - half].map(|n| n as i64),
            shortcut,
        }
    }

    /// Trainable numbers.
    pub(super) fn weights(inputs: usize, outputs: usize, pairs: usize) -> u64 {
        let half = outputs / 2;
        Unit::weights(inputs, outputs, 1)
            + (2 * pairs) as u64 * Unit::weights(half, half, 3)
            + Unit::weights(outputs + pairs * half, outputs, 1)
    }

    pub(super) fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let x = self.first.forward(x, pass);
        let [half, start] = self.half;
        let mut inner = x.narrow(1, start, half);
        let mut parts = vec![x];
        for [first, second] in &self.pairs {
            let read = second.forward(&first.forward(&inner, pass), pass);
            inner = match self.shortcut {
                true => read + inner,
                false => read,
            };
            parts.push(inner.shallow_clone());
        }
        self.last.forward(&Tensor::cat(&parts, 1), pass)
    }
}

/// Convolutions in stages, each of which halves height and width.
#[derive(Debug)]
pub struct Csp {
    /// Channels, height and width of what it was declared for.
    image: [i64; 3],
    width: i64,
    stem: Unit,
    stages: Vec<(Unit, CspBlock)>,
}

impl Csp {
    /// Declares `stem`, and `0.down` and `0.block.*`, … in `scope`, for observations of `shape`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the observation is no image.
    pub fn new(config: &CspConfig, scope: &mut Scope<'_>, shape: &[i64]) -> Result<Self> {
        config.check()?;
        let image = image(shape)?;
        if image.contains(&0) {
            let what = format!("it reads images, and one of shape {shape:?} has no pixels");
            return Err(Error::config("kind", what));
        }
        let mut inputs = config.channels[0];
        let stem = Unit::new(&mut scope.sub("stem"), image[0], inputs, 3, 2);
        let stages = config.channels[1..].iter().enumerate();
        let stages = stages.map(|(i, &channels)| {
            let scope = &mut scope.sub(&i.to_string());
            let down = Unit::new(&mut scope.sub("down"), inputs, channels, 3, 2);
            let scope = &mut scope.sub("block");
            inputs = channels;
            (
                down,
                CspBlock::new(scope, channels, channels, config.blocks, true),
            )
        });
        let stages = stages.collect();
        Ok(Self {
            image: image.map(|n| n as i64),
            stages,
            stem,
            width: inputs as i64,
        })
    }
}

impl FeatureExtractor for Csp {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let [channels, height, width] = self.image;
        let maps = self.maps(&obs.view([-1, channels, height, width]), train);
        let last = maps.and_then(|mut maps| maps.pop());
        let last = last.expect("there is at least one stage");
        last.mean_dim([2_i64, 3].as_slice(), false, Kind::Float)
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn maps(&self, images: &Tensor, train: bool) -> Option<Vec<Tensor>> {
        let pass = Pass::of(train, self.stem.probe());
        let mut maps = Vec::with_capacity(self.stages.len());
        let mut x = self.stem.forward(&channels_last(images), pass);
        for (down, block) in &self.stages {
            x = block.forward(&down.forward(&x, pass), pass);
            maps.push(x.shallow_clone());
        }
        Some(maps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use crate::params::to_vec;
    use tch::{Device, no_grad};
    use thorndike_core::Seeds;

    fn built(config: &CspConfig, shape: &[i64]) -> (ParamStore, Csp) {
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| Csp::new(config, scope, shape)).unwrap()
    }

    #[test]
    fn each_stage_halves_the_image() {
        let config = CspConfig {
            channels: vec![4, 6, 10],
            blocks: 2,
        };
        let (store, net) = built(&config, &[3, 24, 40]);
        let size = (store.num_parameters() as u64, net.width() as u64);
        assert_eq!(config.size(&[3, 24, 40]), size);
        let images = Tensor::ones([2, 3, 24, 40], (Kind::Float, Device::Cpu));
        let maps = net.maps(&images, true).unwrap();
        let shapes: Vec<_> = maps.iter().map(Tensor::size).collect();
        assert_eq!(shapes, [vec![2, 6, 6, 10], vec![2, 10, 3, 5]]);
        assert_eq!(config.map_shapes(), [[4, 6], [8, 10]]);
        assert_eq!(net.features(&images, true).size(), [2, 10]);
    }

    #[test]
    fn what_is_fused_says_the_same_and_follows_its_weights() {
        let (mut store, net) = built(&CspConfig::default(), &[3, 64, 64]);
        store.enable_gradients();
        let images = Tensor::arange(2 * 3 * 64 * 64, (Kind::Float, Device::Cpu));
        let images = (images * 0.37).sin().view([2, 3, 64, 64]);
        let apart = |net: &Csp| {
            let learning = net.features(&images, false);
            assert!(learning.requires_grad());
            let fused = no_grad(|| net.features(&images, false));
            (learning - fused).abs().max().double_value(&[])
        };
        for _ in 0..3 {
            let _ = net.features(&images, true); // moves running values
            // Sums of up to 864 terms of size 1 in another order.
            assert!(apart(&net) < 1e-4, "{}", apart(&net));
        }
        let before = to_vec(&no_grad(|| net.features(&images, false)));
        let (flat, _) = store.flat_and_gradient_mut();
        let _ = no_grad(|| flat.g_mul_scalar_(1.5));
        assert!(apart(&net) < 1e-3, "{}", apart(&net));
        assert_ne!(to_vec(&no_grad(|| net.features(&images, false))), before);
    }
}
