//! Residual convolutions: `[batch, channels, height, width] -> [batch, width()]`.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result, check_range};

use super::cnn::image;
use crate::layers::{Conv, Window, channels_last};
use crate::{FeatureExtractor, Linear, Scope};

/// Settings of [`Impala`].
///
/// # Reference
/// Espeholt et al., "IMPALA: Scalable Distributed Deep-RL with Importance Weighted Actor-Learner Architectures" (2018),
/// figure 3, right, without the LSTM. Deviations: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImpalaConfig {
    /// Channels of each section, which halves height and width. Default `[16, 32, 32]`.
    pub channels: Vec<usize>,
    /// Units of the fully connected layer behind them; 0: none. Default 256.
    pub hidden: usize,
}

impl Default for ImpalaConfig {
    fn default() -> Self {
        Self {
            channels: vec![16, 32, 32],
            hidden: 256,
        }
    }
}

impl ImpalaConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        if self.channels.is_empty() || self.channels.len() > 16 {
            return Err(Error::config("channels", "give 1 to 16 sections"));
        }
        for (i, &channels) in self.channels.iter().enumerate() {
            check_range(&format!("channels[{i}]"), channels, 1..=65_536)?;
        }
        check_range("hidden", self.hidden, 0..=65_536)
    }

    /// Numbers behind the last section for images of `shape`.
    fn flat(&self, [_, height, width]: [usize; 3]) -> u64 {
        let [height, width] = [height, width].map(|n| {
            let halved = self.channels.iter().fold(n, |n, _| n.div_ceil(2));
            halved as u64
        });
        height * width * self.channels.last().map_or(0, |&c| c as u64)
    }

    /// Weights on images of `shape`, and the features they give; 0 where [`Impala::new`] would refuse.
    pub(crate) fn size(&self, shape: &[i64]) -> (u64, u64) {
        let (Ok(()), Ok(image)) = (self.check(), image(shape)) else {
            return (0, 0);
        };
        let conv = |inputs: u64, outputs: u64| (9 * inputs + 1).saturating_mul(outputs);
        let sections = self.channels.iter().map(|&c| c as u64);
        let (weights, _) = sections.fold((0_u64, image[0] as u64), |(sum, inputs), outputs| {
            let residual = conv(outputs, outputs).saturating_mul(4);
            (
                sum.saturating_add(conv(inputs, outputs))
                    .saturating_add(residual),
                outputs,
            )
        });
        match (self.flat(image), self.hidden as u64) {
            (flat, 0) => (weights, flat),
            (flat, units) => (
                weights.saturating_add((flat + 1).saturating_mul(units)),
                units,
            ),
        }
    }
}

/// Sections of a convolution, a pooling and two residual blocks.
#[derive(Debug)]
pub struct Impala {
    image: [i64; 3],
    sections: Vec<Section>,
    hidden: Option<Linear>,
    width: i64,
}

#[derive(Debug)]
struct Section {
    first: Conv,
    blocks: [[Conv; 2]; 2],
}

/// A convolution of 3x3 that keeps height and width.
fn conv(scope: &mut Scope<'_>, inputs: usize, outputs: usize) -> Conv {
    Conv::of_window(scope, inputs, outputs, Window::square(3, 1, 1))
}

impl Section {
    fn new(scope: &mut Scope<'_>, inputs: usize, outputs: usize) -> Self {
        let first = conv(&mut scope.sub("conv"), inputs, outputs);
        let mut block = |i: usize| {
            [0, 1].map(|j| {
                let scope = &mut scope.sub(&format!("block.{i}.{j}"));
                conv(scope, outputs, outputs)
            })
        };
        Self {
            first,
            blocks: [block(0), block(1)],
        }
    }

    /// `[batch, inputs, h, w] -> [batch, outputs, h / 2, w / 2]`, rounded up.
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = Window::square(3, 2, 1).max_pool(&self.first.forward(x));
        self.blocks.iter().fold(x, |x, [first, second]| {
            let inner = first.forward(&x.relu()).relu();
            x + second.forward(&inner)
        })
    }
}

impl Impala {
    /// Declares sections `section.0`, … and the layer `hidden` in `scope`, for observations of `shape`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the observation is no image.
    pub fn new(config: &ImpalaConfig, scope: &mut Scope<'_>, shape: &[i64]) -> Result<Self> {
        config.check()?;
        let image = image(shape)?;
        let mut inputs = image[0];
        let sections = config.channels.iter().enumerate().map(|(i, &channels)| {
            let scope = &mut scope.sub(&format!("section.{i}"));
            let section = Section::new(scope, inputs, channels);
            inputs = channels;
            section
        });
        let sections = sections.collect();
        let (flat, units) = (config.flat(image) as i64, config.hidden as i64);
        let hidden = (units > 0).then(|| Linear::new(&mut scope.sub("hidden"), flat, units));
        Ok(Self {
            image: image.map(|n| n as i64),
            sections,
            width: if units > 0 { units } else { flat },
            hidden,
        })
    }
}

impl FeatureExtractor for Impala {
    fn features(&self, obs: &Tensor, _train: bool) -> Tensor {
        let [channels, height, width] = self.image;
        let images = channels_last(&obs.view([-1, channels, height, width]));
        let x = self
            .sections
            .iter()
            .fold(images, |x, section| section.forward(&x));
        let flat = x.relu().flatten(1, -1);
        match &self.hidden {
            Some(hidden) => hidden.forward(&flat).relu_(),
            None => flat,
        }
    }

    fn width(&self) -> i64 {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use tch::{Device, Kind};
    use thorndike_core::Seeds;

    fn built(config: &ImpalaConfig, shape: &[i64]) -> Result<(ParamStore, Impala)> {
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| Impala::new(config, scope, shape))
    }

    #[test]
    fn the_network_of_the_paper_has_fifteen_convolutions_and_its_size() {
        let config = ImpalaConfig::default();
        let (store, impala) = built(&config, &[4, 84, 84]).unwrap();
        assert_eq!(
            store.shapes().filter(|(_, shape)| shape.len() == 4).count(),
            15
        );
        // 84 halves to 42, 21, 11: 11 * 11 * 32 numbers before the last layer.
        let (name, shape) = store
            .shapes()
            .find(|(name, _)| *name == "hidden.weight")
            .unwrap();
        assert_eq!((name, shape), ("hidden.weight", [256, 3872].as_slice()));
        assert_eq!(
            config.size(&[4, 84, 84]),
            (store.num_parameters() as u64, 256)
        );
        let obs = Tensor::zeros([2, 4, 84, 84], (Kind::Float, Device::Cpu));
        assert_eq!(impala.features(&obs, true).size(), [2, 256]);
    }

    #[test]
    fn blocks_that_put_out_nothing_leave_the_pooled_convolution() {
        let config = ImpalaConfig {
            channels: vec![1],
            hidden: 0,
        };
        let (mut store, impala) = built(&config, &[2, 2]).unwrap();
        // The first filter keeps its middle alone; all others are zero.
        let mut weights = vec![0_f32; store.num_parameters()];
        weights[4] = 1.0;
        store
            .flat_and_gradient_mut()
            .0
            .copy_(&Tensor::from_slice(&weights));
        let obs = Tensor::from_slice(&[1_f32, 7.0, 3.0, -2.0]).view([1, 2, 2]);
        assert_eq!(
            impala.features(&obs, false),
            Tensor::from_slice(&[7_f32]).view([1, 1])
        );
        assert_eq!(config.size(&[2, 2]), (store.num_parameters() as u64, 1));
    }

    #[test]
    fn a_row_is_no_image() {
        let error = built(&ImpalaConfig::default(), &[4])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("kind: it reads images"), "{error}");
    }
}
