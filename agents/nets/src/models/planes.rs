//! A picture, with all else of an observation as planes beside it: `[batch, numbers of all parts] -> [batch, width]`.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result, Space};

use crate::extractor::Inputs;
use crate::input::float_shape;
use crate::{ExtractorConfig, FeatureExtractor, PretrainedConfig, Scope};

/// Settings of [`Planes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanesConfig {
    /// A trained detector with `layer = "map"`, whose maps are read instead of the picture. Default none: the picture itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<PretrainedConfig>,
    /// What reads the planes; any extractor of images.
    pub net: Box<ExtractorConfig>,
}

impl PlanesConfig {
    /// Weights and features for observations of `inputs`, zeros if they are not a picture and more.
    pub(crate) fn size(&self, inputs: &Inputs<'_>) -> (u64, u64) {
        let Some((picture, others)) = split(inputs.space) else {
            return (0, 0);
        };
        let (weights, shape) = match &self.picture {
            None => (0, float_shape(picture)),
            Some(pretrained) => {
                let reads = Inputs {
                    space: picture,
                    ..*inputs
                };
                let Some(shape) = pretrained.map_shape(&reads) else {
                    return (0, 0);
                };
                (pretrained.size(&reads).0, shape)
            }
        };
        let space = stacked(&shape, others);
        let (own, width) = self.net.size(&Inputs::of(&space));
        (weights.saturating_add(own), width)
    }

    /// This as a network that has its weights already is built.
    pub(crate) fn settled(&self) -> Result<Self> {
        Ok(Self {
            net: Box::new(self.net.settled().map_err(|e| e.under("net"))?),
            ..self.clone()
        })
    }
}

/// The picture of an observation, which is its first part, and how many numbers all others have.
fn split(space: &Space) -> Option<(&Space, i64)> {
    let Space::Tuple(parts) = space else {
        return None;
    };
    let (picture, others) = parts.split_first()?;
    let numbers = |space| float_shape(space).iter().product::<i64>();
    (float_shape(picture).len() == 3).then(|| (picture, others.iter().map(numbers).sum()))
}

/// Pictures of `shape`, with `others` planes more.
fn stacked(shape: &[i64], others: i64) -> Space {
    let mut shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
    shape[0] += others as usize;
    Space::unbounded(&shape)
}

/// Every number beside the picture becomes a plane of the picture's size that has it everywhere, so that convolutions see at
/// each place both what is there and what is asked for.
///
/// # Reference
/// Silver et al., "Mastering Chess and Shogi by Self-Play with a General Reinforcement Learning Algorithm" (2017), table S1,
/// gives a network what is no picture in planes of one value. Maps of what a detector finds, instead of the picture: Chaplot
/// et al., "Object Goal Navigation using Goal-Oriented Semantic Exploration" (2020), section 3. Deviations: one picture, no
/// map of what was seen before.
#[derive(Debug)]
pub struct Planes {
    picture: Option<Box<dyn FeatureExtractor>>,
    net: Box<dyn FeatureExtractor>,
    /// Of the picture in an observation.
    picture_shape: Vec<i64>,
    /// Of the planes.
    shape: Vec<i64>,
    others: i64,
}

impl Planes {
    /// Declares `picture.*` and `net.*` in `scope`, for observations of `inputs`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or the observations are not a picture and more.
    pub fn new(config: &PlanesConfig, scope: &mut Scope<'_>, inputs: &Inputs<'_>) -> Result<Self> {
        let Some((space, others)) = split(inputs.space) else {
            let what = format!(
                "kind \"planes\" reads observations of several parts, the first a picture, and there is {}",
                inputs.space
            );
            return Err(Error::config("", what));
        };
        let picture_shape = float_shape(space);
        let picture = match &config.picture {
            None => None,
            Some(pretrained) if !pretrained.is_frozen() => {
                let what = "what a detector finds tells it nothing that it could learn from; leave freeze out";
                return Err(Error::config("picture.freeze", what));
            }
            Some(pretrained) => {
                let scope = &mut scope.sub("picture");
                let reads = Inputs { space, ..*inputs };
                let built = pretrained.build(&mut scope.fixed(true), &reads);
                Some(built.map_err(|e| e.under("picture"))?)
            }
        };
        let map = picture
            .as_ref()
            .map_or(picture_shape.clone(), |picture| picture.shape());
        if map.len() != 3 {
            return Err(Error::config(
                "picture.layer",
                "gives no maps; take a detector with layer = \"map\"",
            ));
        }
        let space = stacked(&map, others);
        let net = config
            .net
            .build(&mut scope.sub("net"), &Inputs::of(&space))
            .map_err(|e| e.under("net"))?;
        Ok(Self {
            picture,
            net,
            picture_shape,
            shape: float_shape(&space),
            others,
        })
    }
}

impl FeatureExtractor for Planes {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let batch = obs.size()[0];
        let numbers = self.picture_shape.iter().product();
        let own = [&[batch], &self.picture_shape[..]].concat();
        let mut map = obs.narrow(1, 0, numbers).reshape(&own[..]);
        let (channels, size) = (self.shape[0] - self.others, &self.shape[1..]);
        if let Some(picture) = &self.picture {
            let shape = [&[batch, channels], size].concat();
            map = picture.features(&map, false).view(&shape[..]);
        }
        let others = obs.narrow(1, numbers, self.others);
        let shape = [&[batch, self.others], size].concat();
        let others = others.view([batch, -1, 1, 1]).expand(&shape[..], false);
        let planes = Tensor::cat(&[map, others], 1);
        self.net.features(&planes, train)
    }

    fn width(&self) -> i64 {
        self.net.width()
    }

    fn shape(&self) -> Vec<i64> {
        self.net.shape()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{CnnConfig, ConvConfig};
    use crate::{Input, ParamStore};
    use tch::Device;
    use thorndike_core::{Array, Kind, Seeds};

    fn space() -> Space {
        let picture = Space::Box {
            shape: vec![1, 2, 2],
            low: 0.0,
            high: 10.0,
        };
        Space::Tuple(vec![picture, Space::Discrete(3)])
    }

    fn build(net: ExtractorConfig, space: &Space) -> Result<(ParamStore, Planes)> {
        let config = PlanesConfig {
            picture: None,
            net: Box::new(net),
        };
        let rng = Seeds::new(1).stream("agent/init", 0);
        let built = ParamStore::build(Device::Cpu, rng, |scope| {
            Planes::new(&config, scope, &Inputs::of(space))
        })?;
        let size = (built.0.num_parameters() as u64, built.1.width() as u64);
        assert_eq!(config.size(&Inputs::of(space)), size);
        Ok(built)
    }

    #[test]
    fn what_is_no_picture_is_the_same_in_every_place() {
        let (_, net) = build(ExtractorConfig::Flatten {}, &space()).unwrap();
        let mut input = Input::floats(&space(), Kind::U8, Device::Cpu).unwrap();
        let rows: Vec<u8> = [[10, 5, 0, 1, 2], [0, 0, 0, 10, 0]].concat();
        let found = net.features(&input.tensor(&Array::from_vec(rows, 5)), false);
        assert_eq!(net.shape(), [4, 2, 2]);
        let planes = [
            [1.0, 0.5, 0.0, 0.1],
            [0.0; 4],
            [0.0; 4],
            [1.0; 4],
            [0.0, 0.0, 0.0, 1.0],
            [1.0; 4],
            [0.0; 4],
            [0.0; 4],
        ];
        let expected = Tensor::from_slice(&planes.concat()).view([2, 16]);
        assert_eq!(found, expected.to_kind(found.kind()));
    }

    #[test]
    fn a_network_behind_learns() {
        let layer = ConvConfig {
            filters: 5,
            size: 2,
            stride: 1,
            padding: 0,
        };
        let cnn = CnnConfig {
            layers: vec![layer.into()],
            hidden: vec![],
            ..CnnConfig::default()
        };
        let (mut store, net) = build(ExtractorConfig::Cnn(cnn), &space()).unwrap();
        assert_eq!((net.width(), net.shape()), (5, vec![5]));
        store.enable_gradients();
        let obs = Tensor::ones([3, 7], (tch::Kind::Float, Device::Cpu));
        net.features(&obs, true).sum(tch::Kind::Float).backward();
        assert!(
            store
                .gradient()
                .abs()
                .sum(tch::Kind::Float)
                .double_value(&[])
                > 0.0
        );
    }

    #[test]
    fn what_is_no_picture_first_is_refused_in_one_line() {
        for space in [
            Space::Discrete(3),
            Space::Tuple(vec![Space::Discrete(3), Space::Discrete(2)]),
        ] {
            let error = build(ExtractorConfig::Flatten {}, &space).unwrap_err();
            let error = error.under("extractor").to_string();
            assert!(
                error.starts_with("extractor: kind \"planes\" reads observations of several parts, the first a picture"),
                "{error}"
            );
        }
    }
}
