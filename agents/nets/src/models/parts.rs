//! The parts of an observation, such as a picture and a text, each by an extractor of its own:
//! `[batch, numbers of all parts] -> [batch, width]`.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result, Space};

use super::bag_of_words::check_layers;
use super::cell::{dense, dense_size, relu_layers};
use crate::extractor::Inputs;
use crate::input::float_shape;
use crate::{ExtractorConfig, FeatureExtractor, Linear, Scope};

/// Settings of [`Parts`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartsConfig {
    /// An extractor for each part, in their order.
    pub each: Vec<ExtractorConfig>,
    /// Units of the layers with ReLU behind the features of all parts side by side. Default none.
    #[serde(default)]
    pub hidden: Vec<usize>,
}

impl PartsConfig {
    /// Weights and features for observations of `inputs`, zeros if they have other parts.
    pub(crate) fn size(&self, inputs: &Inputs<'_>) -> (u64, u64) {
        let Ok(parts) = self.parts(inputs.space) else {
            return (0, 0);
        };
        let all = self
            .each
            .iter()
            .zip(parts)
            .fold((0_u64, 0_u64), |sum, (each, space)| {
                let (weights, width) = each.size(&Inputs { space, ..*inputs });
                (sum.0.saturating_add(weights), sum.1.saturating_add(width))
            });
        dense_size(all, &self.hidden)
    }

    /// This as a network that has its weights already is built.
    pub(crate) fn settled(&self) -> Result<Self> {
        let each = self.each.iter().map(ExtractorConfig::settled);
        Ok(Self {
            each: each.collect::<Result<_>>().map_err(|e| e.under("each"))?,
            ..self.clone()
        })
    }

    /// The parts of `space`, one for each extractor.
    fn parts<'a>(&self, space: &'a Space) -> Result<&'a [Space]> {
        let Space::Tuple(parts) = space else {
            let what =
                format!("kind \"parts\" reads observations of several parts, and {space} has one");
            return Err(Error::config("", what));
        };
        if parts.len() != self.each.len() {
            let what = format!(
                "{} extractors for the {} parts of {space}; give one for each",
                self.each.len(),
                parts.len()
            );
            return Err(Error::config("each", what));
        }
        Ok(parts)
    }
}

/// Each part of an observation goes through its extractor, and their features side by side through dense layers.
///
/// # Reference
/// None: what published agents for MiniGrid do, such as that of Chevalier-Boisvert et al., "BabyAI" (2019), section 4.1,
/// with convolutions for the picture and a GRU for the mission. Deviations: no FiLM.
#[derive(Debug)]
pub struct Parts {
    parts: Vec<Part>,
    hidden: Vec<Linear>,
    width: i64,
}

/// A stretch of an encoded observation, and what reads it.
#[derive(Debug)]
struct Part {
    extractor: Box<dyn FeatureExtractor>,
    start: i64,
    len: i64,
    shape: Shape,
}

/// How a stretch becomes what is read.
#[derive(Debug)]
enum Shape {
    /// `[batch, ..shape]`.
    Numbers(Vec<i64>),
    /// Tokens `[batch, time]` out of one-hot rows of that many words.
    Tokens(i64),
}

impl Parts {
    /// Declares `0`, `1`, … and `hidden.0`, … in `scope`, for the parts of `inputs`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or there are not so many parts.
    pub fn new(config: &PartsConfig, scope: &mut Scope<'_>, inputs: &Inputs<'_>) -> Result<Self> {
        check_layers("hidden", &config.hidden)?;
        let spaces = config.parts(inputs.space)?;
        let (mut parts, mut start, mut width) = (Vec::new(), 0, 0);
        for (i, (each, space)) in config.each.iter().zip(spaces).enumerate() {
            let name = i.to_string();
            let frozen = match each.pretrained() {
                Some((pretrained, _))
                    if !pretrained.is_frozen() && !pretrained.learns_as_all_others() =>
                {
                    let what = "a trained model in a part stays as it is or learns as fast as all else; give freeze = true, or \
                                false without a learning_rate_factor";
                    return Err(Error::config(format!("each.{i}.freeze"), what));
                }
                Some((pretrained, _)) => {
                    pretrained.is_frozen() && matches!(each, ExtractorConfig::Pretrained(_))
                }
                None => false,
            };
            let scope = &mut scope.sub(&name);
            let built = each.build(&mut scope.fixed(frozen), &Inputs { space, ..*inputs });
            let extractor = built.map_err(|e| e.under(&format!("each.{i}")))?;
            let shape = float_shape(space);
            let len = shape.iter().product();
            width += extractor.width();
            let shape = match (extractor.reads_tokens(), space) {
                (true, Space::MultiDiscrete(sizes)) => Shape::Tokens(len / sizes.len() as i64),
                (true, _) => Shape::Tokens(len),
                (false, _) => Shape::Numbers([&[-1], &shape[..]].concat()),
            };
            parts.push(Part {
                extractor,
                start,
                len,
                shape,
            });
            start += len;
        }
        let hidden = dense("hidden", &config.hidden, scope, &mut width);
        Ok(Self {
            parts,
            hidden,
            width,
        })
    }
}

impl FeatureExtractor for Parts {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let read = self.parts.iter().map(|part| {
            let own = obs.narrow(1, part.start, part.len);
            let own = match &part.shape {
                Shape::Numbers(shape) => own.reshape(&shape[..]),
                Shape::Tokens(words) => own.reshape([own.size()[0], -1, *words]).argmax(-1, false),
            };
            part.extractor.features(&own, train)
        });
        let read: Vec<Tensor> = read.collect();
        relu_layers(&self.hidden, Tensor::cat(&read, 1))
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn notes(&self) -> Option<String> {
        self.parts.iter().find_map(|part| part.extractor.notes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{BagOfWordsConfig, MlpConfig};
    use crate::{Input, ParamStore};
    use tch::Device;
    use thorndike_core::{Array, Kind, Seeds};

    fn config() -> PartsConfig {
        let bag = BagOfWordsConfig {
            width: 3,
            ..BagOfWordsConfig::default()
        };
        PartsConfig {
            each: vec![
                ExtractorConfig::Flatten {},
                ExtractorConfig::Mlp(MlpConfig {
                    hidden: vec![2],
                    ..MlpConfig::default()
                }),
                ExtractorConfig::BagOfWords(bag),
            ],
            hidden: vec![],
        }
    }

    fn space() -> Space {
        let picture = Space::Box {
            shape: vec![1, 2, 2],
            low: 0.0,
            high: 10.0,
        };
        let mission = Space::MultiDiscrete(vec![5; 2]);
        Space::Tuple(vec![picture, Space::Discrete(4), mission])
    }

    fn build(config: &PartsConfig, space: &Space) -> Result<(ParamStore, Parts)> {
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| {
            Parts::new(config, scope, &Inputs::of(space))
        })
    }

    #[test]
    fn each_part_is_read_by_its_own_extractor() {
        let (config, space) = (config(), space());
        let (store, net) = build(&config, &space).unwrap();
        let mut input = Input::floats(&space, Kind::U8, Device::Cpu).unwrap();
        let rows: Vec<u8> = [[10, 5, 0, 1, 3, 4, 2], [0, 0, 0, 0, 0, 1, 1]].concat();
        let found = net.features(&input.tensor(&Array::from_vec(rows, 7)), false);
        let numbers = Tensor::from_slice(&[1_f32, 0.5, 0.0, 0.1]);
        assert_eq!(found.get(0).narrow(0, 0, 4), numbers);
        let direction = Tensor::from_slice(&[0_f32, 0.0, 0.0, 1.0]).view([1, 4]);
        let read = net.parts[1].extractor.features(&direction, false);
        assert_eq!(found.narrow(0, 0, 1).narrow(1, 4, 2), read);
        let mission = Tensor::from_slice(&[4_i64, 2]).view([1, 2]);
        let read = net.parts[2].extractor.features(&mission, false);
        assert_eq!(found.narrow(0, 0, 1).narrow(1, 6, 3), read);
        let size = config.size(&Inputs::of(&space));
        assert_eq!(size, (store.num_parameters() as u64, 9));
    }

    #[test]
    fn other_parts_are_refused_in_one_line() {
        let error = build(&config(), &Space::Discrete(3)).unwrap_err();
        let error = error.under("extractor").to_string();
        assert!(
            error.starts_with("extractor: kind \"parts\" reads observations of several parts"),
            "{error}"
        );
        let error = build(&config(), &Space::Tuple(vec![Space::Discrete(3)])).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("each: 3 extractors for the 1 parts of"),
            "{error}"
        );
    }
}
