//! Feature extractors: what lies between the observation and an agent's head.

use std::fmt::Debug;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Result, Space};

use crate::chain::LayerShape;
use crate::input::float_shape;
use crate::models::{
    BagOfWords, BagOfWordsConfig, Bert, BertConfig, Cnn, CnnConfig, Csp, CspConfig, Impala,
    ImpalaConfig, Looked, Mlp, MlpConfig, Parts, PartsConfig, Planes, PlanesConfig,
    RecurrentConfig, RecurrentStack, Rnn, RnnConfig, Sentences, SentencesConfig, UNet, UNetConfig,
    Vgg, VggConfig, Yolo, YoloConfig,
};
use crate::{PretrainedConfig, Scope};

/// Turns encoded observations into one row of features each.
///
/// All random numbers it needs come from its variables' initial values: libtorch's own generator is shared by
/// all threads and cannot be saved, so a layer that draws from it would make a run impossible to repeat.
pub trait FeatureExtractor: Send + Debug {
    /// `obs` `[batch, ..observation shape]` -> features `[batch, width()]`. `train` switches what differs
    /// between learning and acting, such as dropout.
    fn features(&self, obs: &Tensor, train: bool) -> Tensor;

    /// Number of features.
    fn width(&self) -> i64;

    /// Their shape: `[width()]`, or of maps `[channels, height, width]`, which [`features`](Self::features) gives flattened.
    fn shape(&self) -> Vec<i64> {
        vec![self.width()]
    }

    /// Features of each pixel, `[batch, position_width(), height, width]`, if this reads images and keeps their places.
    fn pixels(&self, _images: &Tensor, _train: bool) -> Option<Tensor> {
        None
    }

    /// Maps of features of `images` `[batch, channels, height, width]` of any height and width, `[batch, channels', height /
    /// stride, width / stride]` each, the finest first, if this makes such; their strides and channels are those of
    /// [`ExtractorConfig::map_shapes`].
    fn maps(&self, _images: &Tensor, _train: bool) -> Option<Vec<Tensor>> {
        None
    }

    /// This as a detector, if it is one.
    fn detector(&self) -> Option<&Yolo> {
        None
    }

    /// What a detector's layers say of `images` `[batch, channels, height, width]`.
    fn look(&self, _images: &Tensor, _train: bool) -> Option<Looked> {
        None
    }

    /// This as a reader of sequences, if it is one.
    fn sequence(&self) -> Option<&dyn SequenceReader> {
        None
    }

    /// Number of features of each pixel or step.
    fn position_width(&self) -> i64 {
        self.width()
    }

    /// Whether this reads tokens, `i64` `[batch, time]`, where observations hold them; others get a one-hot row of each.
    fn reads_tokens(&self) -> bool {
        false
    }

    /// This as an encoder of text, if it is one.
    fn bert(&self) -> Option<&Bert> {
        None
    }

    /// What people should know of how it was built, such as words that have no vector.
    fn notes(&self) -> Option<String> {
        None
    }

    /// The layers, if this is nothing but a chain of them, with ReLU after each, declared one after another. On the
    /// processor such a network is run by [`Chain`](crate::Chain).
    fn chain(&self) -> Option<Vec<LayerShape>> {
        None
    }
}

/// An extractor that reads sequences step by step, with a state that can be carried on.
pub trait SequenceReader: FeatureExtractor {
    /// `x` `[batch, time, inputs]`, or `i64` tokens `[batch, time]`; `lengths` are the steps of each row before it was
    /// padded, empty if all rows are whole. `state` `[batch, state_len]` is what an earlier read left, zeros if absent.
    fn read(&self, x: &Tensor, lengths: &[u32], state: Option<&Tensor>, train: bool) -> Read;

    /// Numbers of the state of one row; 0 if none can be carried on, as where a sequence is read in both directions.
    fn state_len(&self) -> i64;
}

/// What reading sequences gives.
#[derive(Debug)]
pub struct Read {
    /// Features of each step, `[batch, time, position_width]`; those of padding mean nothing.
    pub steps: Tensor,
    /// Features of each sequence, `[batch, width]`.
    pub features: Tensor,
    /// The state behind each row's last step, `[batch, state_len]`.
    pub state: Tensor,
}

/// What an extractor reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Space of an observation.
    pub space: &'a Space,
    /// Frames that lie one after another in it, the oldest first
    /// ([`EnvSpec::frame_stack`](thorndike_core::EnvSpec::frame_stack)).
    pub frames: usize,
    /// Words that its tokens stand for, in their order; empty if they are not known, or it holds none.
    pub vocabulary: &'a [String],
}

impl<'a> Inputs<'a> {
    /// Single observations of `space`, without words.
    pub fn of(space: &'a Space) -> Self {
        Self {
            space,
            frames: 1,
            vocabulary: &[],
        }
    }
}

/// Which feature extractor, and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ExtractorConfig {
    /// The observation itself, as one row. (With braces, because a unit variant would accept unknown keys.)
    Flatten {},
    /// Fully connected layers on the flattened observation.
    Mlp(MlpConfig),
    /// Convolutions, poolings and residual blocks, and fully connected layers; of images or sequences.
    Cnn(CnnConfig),
    /// VGG 11, 13, 16 or 19.
    Vgg(VggConfig),
    /// Stages of convolutions, a small backbone of detectors.
    Csp(CspConfig),
    /// A detector, whose features are what it finds.
    Yolo(YoloConfig),
    /// U-Net, whose features are those of every pixel.
    UNet(UNetConfig),
    /// Residual convolutions and a fully connected layer.
    Impala(ImpalaConfig),
    /// A recurrent layer over the frames of a stack; the agent `r2d2` carries its state along instead.
    Recurrent(RecurrentConfig),
    /// That of a model which `thorndike fit` trained.
    Pretrained(PretrainedConfig),
    /// Recurrent layers over the steps of a sequence.
    Rnn(RnnConfig),
    /// An encoder of text.
    Bert(BertConfig),
    /// The mean of the vectors of words.
    BagOfWords(BagOfWordsConfig),
    /// Text sentence by sentence.
    Sentences(SentencesConfig),
    /// The parts of an observation, each by an extractor of its own.
    Parts(PartsConfig),
    /// A picture, with all else of an observation as planes beside it.
    Planes(PlanesConfig),
}

impl Default for ExtractorConfig {
    fn default() -> Self {
        Self::Mlp(MlpConfig::default())
    }
}

impl ExtractorConfig {
    /// Weights that [`build`](Self::build) would declare for `reads`, and the features it would give: known before anything
    /// is allocated.
    pub fn size(&self, reads: &Inputs<'_>) -> (u64, u64) {
        let Inputs { space, frames, .. } = *reads;
        let shape = float_shape(space);
        let inputs = shape.iter().product::<i64>() as u64;
        match self {
            Self::Flatten {} => (0, inputs),
            Self::Mlp(config) => config.size(inputs),
            Self::Cnn(config) => config.size(&shape),
            Self::Vgg(config) => config.size(&shape),
            Self::UNet(config) => config.size(&shape),
            Self::Csp(config) => config.size(&shape),
            Self::Yolo(config) => config.size(reads),
            Self::Impala(config) => config.size(&shape),
            Self::Recurrent(config) => config.size(inputs / frames.max(1) as u64),
            Self::Pretrained(config) => config.size(reads),
            Self::Rnn(config) => config.size(space, frames),
            Self::Bert(config) => config.size(space),
            Self::BagOfWords(config) => config.size(space),
            Self::Sentences(config) => config.size(reads),
            Self::Parts(config) => config.size(reads),
            Self::Planes(config) => config.size(reads),
        }
    }

    /// This as a network that has its weights already is built: without the trained encoder that they began from.
    ///
    /// # Errors
    /// [`Config`](thorndike_core::Error::Config) if there is no such encoder.
    pub fn settled(&self) -> Result<Self> {
        match self {
            Self::Bert(config) => Ok(Self::Bert(BertConfig {
                from: None,
                ..config.resolved()?
            })),
            Self::BagOfWords(config) => config.settled().map(Self::BagOfWords),
            Self::Rnn(config) => config.settled().map(Self::Rnn),
            Self::Sentences(config) => config.settled().map(Self::Sentences),
            Self::Parts(config) => config.settled().map(Self::Parts),
            Self::Planes(config) => config.settled().map(Self::Planes),
            Self::Yolo(config) => config.settled().map(Self::Yolo),
            other => Ok(other.clone()),
        }
    }

    /// This in two, one behind the other, if the first is a trained model that never changes, or parts of which one is such a
    /// model and none learns.
    pub(crate) fn behind_frozen(&self) -> Option<[Self; 2]> {
        self.frozen_from()?;
        Some(match self {
            Self::Parts(parts) if !parts.hidden.is_empty() => {
                let first = PartsConfig {
                    hidden: Vec::new(),
                    ..parts.clone()
                };
                let second = MlpConfig {
                    hidden: parts.hidden.clone(),
                    ..MlpConfig::default()
                };
                [Self::Parts(first), Self::Mlp(second)]
            }
            Self::Planes(planes) => {
                let first = PlanesConfig {
                    net: Box::new(Self::Flatten {}),
                    ..planes.clone()
                };
                [Self::Planes(first), (*planes.net).clone()]
            }
            whole => [whole.clone(), Self::Flatten {}],
        })
    }

    /// The folder of that model.
    pub(crate) fn frozen_from(&self) -> Option<&Path> {
        let fixed = |each: &Self| matches!(each, Self::Flatten {}) || each.frozen_from().is_some();
        match self {
            Self::Pretrained(pretrained) => pretrained.frozen_from(),
            Self::Parts(parts) if parts.each.iter().all(fixed) => {
                parts.each.iter().find_map(Self::frozen_from)
            }
            Self::Planes(planes) => planes.picture.as_ref()?.frozen_from(),
            _ => None,
        }
    }

    /// Stride and channels of each of the [maps](FeatureExtractor::maps) that this makes, the finest first; none if it makes
    /// none.
    pub fn map_shapes(&self) -> Vec<[usize; 2]> {
        match self {
            Self::Csp(config) => config.map_shapes(),
            Self::Cnn(config) => config.map_shapes(),
            Self::Vgg(config) => config.map_shapes(),
            _ => Vec::new(),
        }
    }

    /// The trained model in this, if there is one, and what the names of its weights begin with below a network.
    pub(crate) fn pretrained(&self) -> Option<(&PretrainedConfig, &'static str)> {
        match self {
            Self::Pretrained(pretrained) => Some((pretrained, "extractor.")),
            Self::Sentences(sentences) => match &*sentences.each {
                Self::Pretrained(pretrained) => Some((pretrained, "extractor.each.")),
                _ => None,
            },
            Self::Yolo(yolo) => match &*yolo.backbone {
                Self::Pretrained(pretrained) => Some((pretrained, "extractor.backbone.")),
                _ => None,
            },
            _ => None,
        }
    }

    /// Declares the extractor's variables in `scope`, for `reads`.
    ///
    /// # Errors
    /// [`Config`](thorndike_core::Error::Config) if a setting is out of range.
    pub fn build(
        &self,
        scope: &mut Scope<'_>,
        reads: &Inputs<'_>,
    ) -> Result<Box<dyn FeatureExtractor>> {
        let Inputs { space, frames, .. } = *reads;
        let shape = float_shape(space);
        let inputs = shape.iter().product();
        Ok(match self {
            Self::Flatten {} => Box::new(Flatten { shape }),
            Self::Mlp(config) => Box::new(Mlp::new(config, scope, inputs)?),
            Self::Cnn(config) => Box::new(Cnn::new(config, scope, &shape)?),
            Self::Vgg(config) => Box::new(Vgg::new(config, scope, &shape)?),
            Self::UNet(config) => Box::new(UNet::new(config, scope, &shape)?),
            Self::Csp(config) => Box::new(Csp::new(config, scope, &shape)?),
            Self::Yolo(config) => Box::new(Yolo::new(config, scope, reads)?),
            Self::Impala(config) => Box::new(Impala::new(config, scope, &shape)?),
            Self::Recurrent(config) => {
                Box::new(RecurrentStack::new(config, scope, inputs, frames)?)
            }
            Self::Pretrained(config) => config.build(scope, reads)?,
            Self::Rnn(config) => Box::new(Rnn::new(config, scope, reads)?),
            Self::Bert(config) => Box::new(Bert::new(config, scope, reads)?),
            Self::BagOfWords(config) => Box::new(BagOfWords::new(config, scope, reads)?),
            Self::Sentences(config) => Box::new(Sentences::new(config, scope, reads)?),
            Self::Parts(config) => Box::new(Parts::new(config, scope, reads)?),
            Self::Planes(config) => Box::new(Planes::new(config, scope, reads)?),
        })
    }
}

/// The observation as one row.
#[derive(Debug)]
struct Flatten {
    /// Of the observation.
    shape: Vec<i64>,
}

impl FeatureExtractor for Flatten {
    fn features(&self, obs: &Tensor, _train: bool) -> Tensor {
        obs.flatten(1, -1)
    }

    fn width(&self) -> i64 {
        self.shape.iter().product()
    }

    fn shape(&self) -> Vec<i64> {
        self.shape.clone()
    }

    fn chain(&self) -> Option<Vec<LayerShape>> {
        Some(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use tch::{Device, Kind};
    use thorndike_core::Seeds;

    fn built(config: &ExtractorConfig, space: &Space) -> (ParamStore, Box<dyn FeatureExtractor>) {
        let rng = Seeds::new(3).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |s| {
            config.build(&mut s.sub("extractor"), &Inputs::of(space))
        })
        .unwrap()
    }

    #[test]
    fn flatten_keeps_every_number_in_order() {
        let (store, extractor) = built(&ExtractorConfig::Flatten {}, &Space::unbounded(&[2, 2]));
        assert_eq!((store.num_parameters(), extractor.width()), (0, 4));
        assert_eq!(extractor.chain(), Some(vec![]));
        let obs = Tensor::arange(8, (Kind::Float, Device::Cpu)).view([2, 2, 2]);
        assert_eq!(extractor.features(&obs, true), obs.view([2, 4]));
    }

    #[test]
    fn unknown_keys_are_refused_in_every_kind() {
        for json in [
            r#"{"kind": "flatten", "hidden": [3]}"#,
            r#"{"kind": "mlp", "hiden": [3]}"#,
            r#"{"kind": "recurrent", "unit": 3}"#,
        ] {
            let error = serde_json::from_str::<ExtractorConfig>(json).unwrap_err();
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn mlp_reads_any_shape_and_names_its_weights() {
        let config: ExtractorConfig =
            serde_json::from_str(r#"{"kind": "mlp", "hidden": [5, 3]}"#).unwrap();
        let (store, extractor) = built(&config, &Space::unbounded(&[2, 2]));
        let names: Vec<_> = store.shapes().collect();
        assert_eq!(names[0], ("extractor.0.weight", [5, 4].as_slice()));
        assert_eq!(names[3], ("extractor.1.bias", [3].as_slice()));
        let obs = Tensor::zeros([7, 2, 2], (Kind::Float, Device::Cpu));
        assert_eq!(extractor.features(&obs, false).size(), [7, 3]);
        let (weights, width) = config.size(&Inputs::of(&Space::unbounded(&[2, 2])));
        assert_eq!((weights, width), (store.num_parameters() as u64, 3));
    }
}
