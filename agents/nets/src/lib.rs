//! Networks, optimisers and feature extractors on libtorch.
//!
//! | part | what it does |
//! |---|---|
//! | [`ParamStore`], [`Scope`] | all weights as views of one flat tensor; saved as safetensors |
//! | [`OptimConfig`], [`Optimizer`] | Adam, AdamW, SGD and RMSProp on that tensor, with state that can be saved |
//! | [`Input`] | observations as tensors |
//! | [`FeatureExtractor`], [`ExtractorConfig`] | observation `[batch, ..shape]` -> features `[batch, width]` |
//! | [`models`] | [`Mlp`](models::Mlp), [`Cnn`](models::Cnn), [`Impala`](models::Impala), [`Vgg`](models::Vgg), [`UNet`](models::UNet), [`Csp`](models::Csp), [`Yolo`](models::Yolo), [`Recurrent`](models::Recurrent), [`Rnn`](models::Rnn), [`BagOfWords`](models::BagOfWords), [`Bert`](models::Bert), [`Sentences`](models::Sentences), [`Parts`](models::Parts), [`Planes`](models::Planes), [`Perceptron`](models::Perceptron) |
//! | [`sample_next`] | the next token of a language model |
//! | [`Network`], [`LearningConfig`] | a network that learns from labelled samples |
//! | [`MultiNetwork`], [`Weighting`] | the same with several heads, each for a task of its own |
//! | [`PretrainedConfig`], [`ModelFile`], [`Frozen`] | a trained model as the extractor of another one or of an agent |
//! | [`Chain`] | chains of layers without libtorch calls, for speed on the processor |
//! | [`find_device`], [`use_threads`], [`keep_freed_memory`], [`Backend`] | devices, threads and memory |
//!
//! A network is an extractor and a head; its weights are called `extractor.*` and `head.*`.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use thorndike_core::{Seeds, Space};
//! use thorndike_nets::{ExtractorConfig, Inputs, Linear, OptimConfig, Optimizer, ParamStore};
//!
//! let init = Seeds::new(1).stream("agent/init", 0);
//! let (mut params, (extractor, head)) = ParamStore::build(Device::Cpu, init, |scope| {
//!     let extractor = ExtractorConfig::default().build(&mut scope.sub("extractor"), &Inputs::of(&Space::unbounded(&[4])))?;
//!     let head = Linear::new(&mut scope.sub("head"), extractor.width(), 1);
//!     Ok((extractor, head))
//! })?;
//! params.enable_gradients();
//! let mut optimizer = Optimizer::new(&OptimConfig::default(), &params)?;
//!
//! let x = Tensor::ones([8, 4], (Kind::Float, Device::Cpu));
//! let loss = || (head.forward(&extractor.features(&x, true)) - 1.0).square().mean(Kind::Float);
//! let before = loss().double_value(&[]);
//! for step in 0..10 {
//!     params.zero_gradient();
//!     loss().backward();
//!     optimizer.step(&mut params, step);
//! }
//! assert!(loss().double_value(&[]) < before);
//! # Ok::<(), thorndike_core::Error>(())
//! ```

mod average;
mod backend;
mod chain;
mod extractor;
mod frozen;
mod handoff;
mod input;
mod layers;
mod memory;
pub mod models;
mod multi;
mod optim;
mod params;
mod product;
mod published;
mod sample;
mod supervised;
mod task_head;
mod tensor_file;
mod translation;
mod weighting;

pub use backend::{Backend, find_device, use_threads};
pub use chain::{Chain, LayerShape, Product};
pub use extractor::{ExtractorConfig, FeatureExtractor, Inputs, Read, SequenceReader};
pub use frozen::Frozen;
pub use handoff::{
    AgentFile, BEST, Freeze, HeadFrom, Layer, MODEL, ModelFile, PretrainedConfig, Which, find_model,
};
pub use input::{Input, float_shape};
pub use layers::{BatchNorm, Conv, ConvShape, Dropout, LayerNorm, Linear, Norm, Window};
pub use memory::keep_freed_memory;
pub use multi::{HeadTask, MultiNetwork, shared_input};
pub use optim::{AdamConfig, OptimConfig, Optimizer, RmsPropConfig, SgdConfig};
pub use params::{ParamStore, Scope};
pub use published::export_bert;
pub use sample::sample_next;
pub use supervised::{ClassWeights, Known, LearningConfig, Network, WEIGHTS};
pub use tch;
pub use weighting::{Weighting, grad_norm_step, uncertainty_loss, weighed_loss};
