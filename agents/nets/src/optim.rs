//! Optimisers on the flat tensor of a [`ParamStore`].
//!
//! Each is a few in-place vector operations whatever the network's depth, and its whole state is one or
//! two tensors and a counter, so that it can be saved and a run resumed exactly. The formulas are
//! PyTorch's; "as PyTorch" below means `torch.optim` without `amsgrad` and `maximize`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use thorndike_core::{Error, Result, Schedule};

use crate::handoff::layer_of;
use crate::params::{ParamStore, slice_mut, to_vec};
use crate::{ExtractorConfig, PretrainedConfig, tensor_file};

/// Which optimiser, and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OptimConfig {
    /// Adaptive moments; the weight decay is an L2 term of the gradient.
    Adam(AdamConfig),
    /// Adaptive moments; the weight decay is taken from the weights directly.
    #[serde(rename = "adamw")]
    AdamW(AdamConfig),
    /// Adaptive moments, whose adaption is held back until enough gradients were seen.
    #[serde(rename = "radam")]
    RAdam(AdamConfig),
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Gradients over a running root mean square.
    #[serde(rename = "rmsprop")]
    RmsProp(RmsPropConfig),
}

/// Settings of [`OptimConfig::Adam`], [`OptimConfig::AdamW`] and [`OptimConfig::RAdam`].
///
/// # Reference
/// Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1; Loshchilov and
/// Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2; Liu et al., "On the Variance of the Adaptive
/// Learning Rate and Beyond" (2020), algorithm 2. Deviations: as PyTorch, epsilon is added after the bias correction of
/// the root (in RAdam before it), and RAdam adapts from a length of 5 on, not 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// Step size, a number or a schedule. Default 1e-3 (paper, section 2).
    pub learning_rate: Schedule,
    /// Decay of the mean of the gradient, per update. Default 0.9 (paper).
    pub beta1: f64,
    /// Decay of the mean of the squared gradient, per update. Default 0.999 (paper).
    pub beta2: f64,
    /// Added to the root of the second moment. Default 1e-8 (paper).
    pub epsilon: f64,
    /// Weight decay. Default 0.
    pub weight_decay: f64,
    /// Whether weights that are vectors decay too: biases, and gains of norms. Default true (PyTorch); Devlin et al. (2019)
    /// trained BERT with false.
    pub decay_vectors: bool,
    /// Whether the means, which begin at zero, are corrected for it. Default true (paper); the code that BERT was trained
    /// with does not.
    pub bias_correction: bool,
}

/// Settings of [`OptimConfig::Sgd`].
///
/// # Reference
/// Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
/// learning" (2013). Deviations: as PyTorch, the velocity is not scaled by the learning rate, and its
/// first value is the first gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Step size, a number or a schedule. Default 1e-3 (PyTorch).
    pub learning_rate: Schedule,
    /// Decay of the velocity, per update; 0 is plain gradient descent. Default 0.
    pub momentum: f64,
    /// Look ahead along the velocity (Nesterov). Needs a momentum. Default false.
    pub nesterov: bool,
    /// L2 term added to the gradient. Default 0.
    pub weight_decay: f64,
}

/// Settings of [`OptimConfig::RmsProp`].
///
/// # Reference
/// Tieleman and Hinton, "Lecture 6.5: RMSProp" (2012); centred as in Graves, "Generating Sequences With
/// Recurrent Neural Networks" (2013), equations 38–45. Deviations: as PyTorch, epsilon is added outside
/// the root; DQN's own code adds it inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsPropConfig {
    /// Step size, a number or a schedule. Default 2.5e-4 (Mnih et al., "Human-level control through deep
    /// reinforcement learning", 2015, extended data table 1).
    pub learning_rate: Schedule,
    /// Decay of the running means, per update. Default 0.95 (same table, "squared gradient momentum").
    pub alpha: f64,
    /// Added to the root. Default 0.01 (same table, "min squared gradient").
    pub epsilon: f64,
    /// Subtract the squared mean of the gradient under the root. Default true (same source).
    pub centered: bool,
    /// Decay of the velocity, per update. Default 0.
    pub momentum: f64,
    /// L2 term added to the gradient. Default 0.
    pub weight_decay: f64,
}

impl Default for OptimConfig {
    fn default() -> Self {
        Self::Adam(AdamConfig::default())
    }
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            learning_rate: Schedule::constant(1e-3),
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decay_vectors: true,
            bias_correction: true,
        }
    }
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self {
            learning_rate: Schedule::constant(1e-3),
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }
    }
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self {
            learning_rate: Schedule::constant(2.5e-4),
            alpha: 0.95,
            epsilon: 0.01,
            centered: true,
            momentum: 0.0,
            weight_decay: 0.0,
        }
    }
}

impl OptimConfig {
    /// The step size.
    pub fn learning_rate(&self) -> Schedule {
        match self {
            Self::Adam(c) | Self::AdamW(c) | Self::RAdam(c) => c.learning_rate,
            Self::Sgd(c) => c.learning_rate,
            Self::RmsProp(c) => c.learning_rate,
        }
    }

    /// This, with a step size for a run of `total` steps where its schedule goes over the whole run.
    #[must_use]
    pub fn over(mut self, total: u64) -> Self {
        let rate = match &mut self {
            Self::Adam(c) | Self::AdamW(c) | Self::RAdam(c) => &mut c.learning_rate,
            Self::Sgd(c) => &mut c.learning_rate,
            Self::RmsProp(c) => &mut c.learning_rate,
        };
        *rate = rate.over(total);
        self
    }

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        let decay = |key, x| within(key, x, (0.0..1.0).contains(&x), "0 or more and below 1");
        let positive = |key, x: f64| within(key, x, x > 0.0 && x.is_finite(), "a number above 0");
        let not_negative = |key, x: f64| within(key, x, x >= 0.0 && x.is_finite(), "0 or more");
        self.learning_rate().check("learning_rate", 0.0, 10.0)?;
        match self {
            Self::Adam(c) | Self::AdamW(c) | Self::RAdam(c) => {
                decay("beta1", c.beta1)?;
                decay("beta2", c.beta2)?;
                positive("epsilon", c.epsilon)?;
                if !c.bias_correction && matches!(self, Self::RAdam(_)) {
                    let what = "radam is made of it; give true, or take \"adam\"";
                    return Err(Error::config("bias_correction", what));
                }
                not_negative("weight_decay", c.weight_decay)
            }
            Self::Sgd(c) => {
                decay("momentum", c.momentum)?;
                not_negative("weight_decay", c.weight_decay)?;
                if c.nesterov && c.momentum == 0.0 {
                    return Err(Error::config("nesterov", "true needs a momentum above 0"));
                }
                Ok(())
            }
            Self::RmsProp(c) => {
                decay("alpha", c.alpha)?;
                positive("epsilon", c.epsilon)?;
                decay("momentum", c.momentum)?;
                not_negative("weight_decay", c.weight_decay)
            }
        }
    }

    /// Copies of the weights that an [`Optimizer`] holds: its moments and the scratch room.
    pub fn copies(&self) -> u64 {
        self.moments().len() as u64 + 1
    }

    /// Names of the state tensors.
    fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::Adam(_) | Self::AdamW(_) | Self::RAdam(_) => &["exp_avg", "exp_avg_sq"],
            Self::Sgd(c) if c.momentum > 0.0 => &["momentum_buffer"],
            Self::Sgd(_) => &[],
            Self::RmsProp(c) => match (c.centered, c.momentum > 0.0) {
                (false, false) => &["square_avg"],
                (true, false) => &["square_avg", "grad_avg"],
                (false, true) => &["square_avg", "momentum_buffer"],
                (true, true) => &["square_avg", "grad_avg", "momentum_buffer"],
            },
        }
    }
}

fn within(key: &str, value: f64, accepted: bool, range: &str) -> Result<()> {
    if accepted {
        return Ok(());
    }
    Err(Error::config(
        key,
        format!("{value} is out of range; give {range}"),
    ))
}

/// An optimiser and its state.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimConfig,
    /// Updates made.
    updates: u64,
    /// One flat tensor per name in `config.moments()`.
    moments: Vec<Tensor>,
    /// Room for intermediate results, `[num_parameters]`.
    scratch: Tensor,
    /// Layers of a pretrained extractor, in order of declaration; empty until they are asked for.
    layers: Vec<RateLayer>,
}

/// A layer with a learning rate of its own.
#[derive(Clone, Copy, Debug)]
struct RateLayer {
    /// Weights.
    len: i64,
    /// Which it is from the head, counted from 1; 0 if it is a fresh one, which learns as all others do.
    depth: usize,
}

impl RateLayer {
    fn rate_factor(self, pretrained: &PretrainedConfig, step: u64) -> f64 {
        match self.depth {
            0 => 1.0,
            depth => pretrained.rate_factor(step, depth),
        }
    }
}

impl Optimizer {
    /// An optimiser for the weights of `params`.
    ///
    /// # Errors
    /// [`Error::Config`] if a value is out of range.
    pub fn new(config: &OptimConfig, params: &ParamStore) -> Result<Self> {
        config.check()?;
        let zeros = |_: &&str| params.flat().zeros_like();
        Ok(Self {
            config: config.clone(),
            updates: 0,
            moments: config.moments().iter().map(zeros).collect(),
            scratch: params.flat().zeros_like(),
            layers: Vec::new(),
        })
    }

    #[cfg(test)]
    pub(crate) fn set_config(&mut self, config: OptimConfig) {
        self.config = config;
    }

    /// Forgets all that it has gathered.
    pub fn reset(&mut self) {
        self.updates = 0;
        for moment in &mut self.moments {
            let _ = moment.zero_();
        }
    }

    /// Updates made so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Bytes of the state and the scratch room.
    pub fn bytes(&self) -> u64 {
        (4 * self.scratch.numel() * (self.moments.len() + 1)) as u64
    }

    /// Changes the weights by one step down the gradient; the learning rate is that at `step`, environment
    /// steps for an agent. The gradient may be changed too.
    ///
    /// # Panics
    /// If `params` is not the store this was made for, or has no gradient.
    pub fn step(&mut self, params: &mut ParamStore, step: u64) {
        self.updates += 1;
        let rate = self.config.learning_rate().at(step);
        let decayed = match &self.config {
            OptimConfig::Adam(c) | OptimConfig::AdamW(c) | OptimConfig::RAdam(c)
                if !c.decay_vectors && c.weight_decay > 0.0 =>
            {
                params.matrices()
            }
            _ => vec![[0, params.flat().numel() as i64]],
        };
        let (weights, gradient) = params.flat_and_gradient_mut();
        let Self {
            config,
            moments,
            scratch,
            ..
        } = self;
        match &*config {
            OptimConfig::Adam(c) | OptimConfig::AdamW(c) | OptimConfig::RAdam(c) => {
                let rectified = matches!(config, OptimConfig::RAdam(_));
                let adam = Adam::new(c, rectified, self.updates, rate);
                if matches!(config, OptimConfig::AdamW(_)) {
                    if c.weight_decay > 0.0 {
                        for [start, len] in decayed {
                            let mut part = weights.narrow(0, start, len);
                            let _ = part.g_mul_scalar_(1.0 - rate * c.weight_decay);
                        }
                    }
                } else {
                    for [start, len] in decayed {
                        let part = |all: &Tensor| all.narrow(0, start, len);
                        add_decay(&mut part(gradient), &part(weights), c.weight_decay);
                    }
                }
                if weights.device() == Device::Cpu {
                    adam.one_pass(weights, gradient, moments);
                } else {
                    adam.operations(weights, gradient, moments, scratch);
                }
            }
            OptimConfig::Sgd(c) => {
                add_decay(gradient, weights, c.weight_decay);
                sgd_step(c, rate, weights, gradient, moments, scratch);
            }
            OptimConfig::RmsProp(c) => {
                add_decay(gradient, weights, c.weight_decay);
                match &mut moments[..] {
                    [mean_square, mean] if c.centered && weights.device() == Device::Cpu => {
                        centred_rms_prop_one_pass(c, rate, weights, gradient, [mean_square, mean]);
                    }
                    moments => rms_prop_step(c, rate, weights, gradient, moments, scratch),
                }
            }
        }
    }

    /// As [`step`](Self::step), but the weights of a [pretrained](crate::PretrainedConfig) extractor, if this is or has one, go only as far as
    /// its settings let them at `step`, layer by layer.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn step_with(&mut self, params: &mut ParamStore, extractor: &ExtractorConfig, step: u64) {
        let Some((pretrained, prefix)) = extractor.pretrained() else {
            return self.step(params, step);
        };
        if pretrained.learns_as_all_others() {
            return self.step(params, step);
        }
        self.find_layers(params, pretrained, prefix);
        let len = self.layers.iter().map(|layer| layer.len).sum();
        let before = params.flat().narrow(0, 0, len).copy();
        self.step(params, step);
        let (weights, _) = params.flat_and_gradient_mut();
        let mut start = 0;
        for layer in &self.layers {
            let factor = layer.rate_factor(pretrained, step);
            if factor != 1.0 {
                let before = before.narrow(0, start, layer.len);
                let mut weights = weights.narrow(0, start, layer.len);
                if factor == 0.0 {
                    weights.copy_(&before);
                } else {
                    let gone = before.lerp(&weights, factor);
                    weights.copy_(&gone);
                }
            }
            start += layer.len;
        }
    }

    /// Sets the gradient of those weights to zero that [`step_with`](Self::step_with) would not change at `step`, so that a
    /// norm is one of what learns, and moments are not of what does not.
    pub(crate) fn drop_frozen_gradient(
        &mut self,
        params: &mut ParamStore,
        extractor: &ExtractorConfig,
        step: u64,
    ) {
        let Some((pretrained, prefix)) = extractor.pretrained() else {
            return;
        };
        self.find_layers(params, pretrained, prefix);
        let (_, gradient) = params.flat_and_gradient_mut();
        let mut start = 0;
        for layer in &self.layers {
            if layer.rate_factor(pretrained, step) == 0.0 {
                let _ = gradient.narrow(0, start, layer.len).zero_();
            }
            start += layer.len;
        }
    }

    /// Finds the layers of a pretrained extractor, once.
    fn find_layers(&mut self, params: &ParamStore, pretrained: &PretrainedConfig, prefix: &str) {
        if !self.layers.is_empty() {
            return;
        }
        let layers = params.layers_below(prefix, layer_of).into_iter();
        self.layers = layers
            .map(|(name, len)| RateLayer {
                len,
                depth: usize::from(!pretrained.is_fresh(&name)),
            })
            .collect();
        let mut depth = 0;
        for layer in self.layers.iter_mut().rev() {
            depth += layer.depth;
            layer.depth *= depth;
        }
    }

    /// Writes the state to a safetensors file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let values: Vec<Vec<f32>> = self.moments.iter().map(to_vec).collect();
        let shape = [self.scratch.numel()];
        let arrays: Vec<_> = self
            .config
            .moments()
            .iter()
            .zip(&values)
            .map(|(&name, values)| (name, shape.as_slice(), values.as_slice()))
            .collect();
        tensor_file::write(path, &arrays, &format!("updates {}", self.updates))
    }

    /// Reads what [`save`](Self::save) wrote. Nothing changes if it fails.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] if the file holds the state of another optimiser or network.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let shape = [self.scratch.numel()];
        let expected: Vec<_> = self
            .config
            .moments()
            .iter()
            .map(|&name| (name, shape.as_slice()))
            .collect();
        let (arrays, note) = tensor_file::read(path, &expected)?;
        let updates = note.strip_prefix("updates ").and_then(|n| n.parse().ok());
        self.updates = updates.ok_or_else(|| {
            Error::checkpoint(path, "its note does not say how many updates were made")
        })?;
        for (moment, values) in self.moments.iter_mut().zip(arrays) {
            moment.copy_(&Tensor::from_slice(&values));
        }
        Ok(())
    }
}

/// Adds an L2 term to the gradient.
fn add_decay(gradient: &mut Tensor, weights: &Tensor, weight_decay: f64) {
    if weight_decay > 0.0 {
        let _ = gradient.g_add_(&(weights * weight_decay));
    }
}

/// The numbers of one Adam step:
/// `m += rates[0] (g - m)`, `v += rates[1] (g² - v)`, `w -= step m / (root_scale √v + epsilon)`.
#[derive(Clone, Copy, Debug)]
struct Adam {
    step: f64,
    root_scale: f64,
    rates: [f64; 2],
    epsilon: f64,
}

impl Adam {
    /// The numbers of update `updates`, counted from 1.
    fn new(c: &AdamConfig, rectified: bool, updates: u64, rate: f64) -> Self {
        let power = i32::try_from(updates).unwrap_or(i32::MAX);
        let powers = match c.bias_correction {
            true => [c.beta1, c.beta2].map(|b| b.powi(power)),
            false => [0.0; 2],
        };
        let [correction1, correction2] = powers.map(|power| 1.0 - power);
        let rates = [1.0 - c.beta1, 1.0 - c.beta2];
        if !rectified {
            return Self {
                step: rate / correction1,
                root_scale: 1.0 / correction2.sqrt(),
                rates,
                epsilon: c.epsilon,
            };
        }
        // Length of the average that the second moment is, at the end and now.
        let longest = 2.0 / (1.0 - c.beta2) - 1.0;
        let length = longest - 2.0 * updates as f64 * powers[1] / correction2;
        if length <= 5.0 {
            // Its variance is not known: the mean alone.
            return Self {
                step: rate / correction1,
                root_scale: 0.0,
                rates,
                epsilon: 1.0,
            };
        }
        let term = |length: f64| (length - 4.0) * (length - 2.0) / length;
        let rectification = (term(length) / term(longest)).sqrt();
        Self {
            step: rate / correction1 * rectification * correction2.sqrt(),
            root_scale: 1.0,
            rates,
            epsilon: c.epsilon,
        }
    }

    /// One pass over the memory of the tensors: a fifth of the time that the operations take.
    #[expect(unsafe_code, reason = "reads and writes the memory of tensors")]
    fn one_pass(self, weights: &mut Tensor, gradient: &mut Tensor, moments: &mut [Tensor]) {
        let (step, root_scale, epsilon) = (
            self.step as f32,
            self.root_scale as f32,
            self.epsilon as f32,
        );
        let [rate1, rate2] = self.rates.map(|rate| rate as f32);
        let [mean, mean_square] = moments else {
            unreachable!("Adam has two moments")
        };
        // SAFETY: four tensors that share no memory, borrowed here alone; no tensor is used while the slices live.
        let (weights, gradient, mean, mean_square) = unsafe {
            (
                slice_mut::<f32>(weights),
                slice_mut::<f32>(gradient),
                slice_mut::<f32>(mean),
                slice_mut::<f32>(mean_square),
            )
        };
        let moments = mean.iter_mut().zip(mean_square);
        for ((w, g), (m, v)) in weights.iter_mut().zip(gradient).zip(moments) {
            *m = normal(*m + rate1 * (*g - *m));
            *v = normal(*v + rate2 * (*g * *g - *v));
            *w -= step * *m / (v.sqrt() * root_scale + epsilon);
        }
    }

    /// The same in tensor operations, for any device.
    fn operations(
        self,
        weights: &mut Tensor,
        gradient: &Tensor,
        moments: &mut [Tensor],
        scratch: &mut Tensor,
    ) {
        let [mean, mean_square] = moments else {
            unreachable!("Adam has two moments")
        };
        let _ = mean.lerp_(gradient, self.rates[0]);
        let _ = gradient.square_out(scratch);
        let _ = mean_square.lerp_(scratch, self.rates[1]);
        let _ = mean_square.sqrt_out(scratch);
        let _ = scratch.g_mul_scalar_(self.root_scale);
        let _ = scratch.g_add_scalar_(self.epsilon);
        subtract_ratio(weights, mean, scratch, self.step);
    }
}

/// A number that is as good as 0 as 0: the means of a weight that gets no more gradient would stay subnormal for ever, and
/// slow.
#[inline(always)]
fn normal(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }
}

fn sgd_step(
    c: &SgdConfig,
    rate: f64,
    weights: &mut Tensor,
    gradient: &mut Tensor,
    moments: &mut [Tensor],
    scratch: &mut Tensor,
) {
    if let [velocity] = moments {
        let _ = velocity.g_mul_scalar_(c.momentum);
        let _ = velocity.g_add_(gradient);
        if c.nesterov {
            let _ = velocity.mul_scalar_out(scratch, c.momentum);
            let _ = gradient.g_add_(scratch);
        } else {
            gradient.copy_(velocity);
        }
    }
    let _ = gradient.g_mul_scalar_(rate);
    let _ = weights.g_sub_(gradient);
}

fn rms_prop_step(
    c: &RmsPropConfig,
    rate: f64,
    weights: &mut Tensor,
    gradient: &Tensor,
    moments: &mut [Tensor],
    scratch: &mut Tensor,
) {
    let (mean_square, rest) = moments.split_first_mut().expect("RMSProp has a moment");
    let _ = gradient.square_out(scratch);
    let _ = mean_square.lerp_(scratch, 1.0 - c.alpha);
    let rest = if c.centered {
        let (mean, rest) = rest
            .split_first_mut()
            .expect("centred RMSProp has two moments");
        let _ = mean.lerp_(gradient, 1.0 - c.alpha);
        let _ = mean.square_out(scratch);
        // Rounding can leave a tiny negative variance, whose root is no number.
        let variance = mean_square.g_sub(scratch).clamp_min(0.0);
        let _ = variance.sqrt_out(scratch);
        rest
    } else {
        let _ = mean_square.sqrt_out(scratch);
        rest
    };
    let _ = scratch.g_add_scalar_(c.epsilon);
    if let [velocity] = rest {
        let _ = velocity.g_mul_scalar_(c.momentum);
        let _ = velocity.addcdiv_(gradient, scratch);
        let _ = velocity.mul_scalar_out(scratch, rate);
        let _ = weights.g_sub_(scratch);
    } else {
        subtract_ratio(weights, gradient, scratch, rate);
    }
}

/// [`rms_prop_step`] for the centred form without momentum, which is DQN's, in one pass over the memory of the tensors.
#[expect(unsafe_code, reason = "reads and writes the memory of tensors")]
fn centred_rms_prop_one_pass(
    c: &RmsPropConfig,
    rate: f64,
    weights: &mut Tensor,
    gradient: &mut Tensor,
    moments: [&mut Tensor; 2],
) {
    let [rate, share, epsilon] = [rate, 1.0 - c.alpha, c.epsilon].map(|x| x as f32);
    let [mean_square, mean] = moments;
    // SAFETY: four tensors that share no memory, borrowed here alone; no tensor is used while the slices live.
    let (weights, gradient, mean_square, mean) = unsafe {
        (
            slice_mut::<f32>(weights),
            slice_mut::<f32>(gradient),
            slice_mut::<f32>(mean_square),
            slice_mut::<f32>(mean),
        )
    };
    let moments = mean_square.iter_mut().zip(mean);
    for ((w, g), (square, mean)) in weights.iter_mut().zip(gradient).zip(moments) {
        *square = normal(*square + share * (*g * *g - *square));
        *mean = normal(*mean + share * (*g - *mean));
        // Rounding can leave a tiny negative variance, whose root is no number.
        let variance = (*square - *mean * *mean).max(0.0);
        *w -= rate * *g / (variance.sqrt() + epsilon);
    }
}

/// `weights -= rate * numerator / denominator`, spoiling the denominator; tch's `addcdiv_` has no factor.
fn subtract_ratio(weights: &mut Tensor, numerator: &Tensor, denominator: &mut Tensor, rate: f64) {
    let _ = numerator.div_out(denominator, denominator);
    let _ = denominator.g_mul_scalar_(rate);
    let _ = weights.g_sub_(denominator);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;
    use tch::nn::{self, OptimizerConfig};
    use thorndike_core::Seeds;

    const START: [f32; 3] = [1.0, -2.0, 0.5];

    fn store() -> ParamStore {
        let rng = Seeds::new(0).stream("agent/init", 0);
        let build = ParamStore::build(Device::Cpu, rng, |s| Ok(s.variable("w", &[3], &START)));
        let (mut store, _) = build.unwrap();
        store.enable_gradients();
        store
    }

    /// A gradient that changes from step to step, in size and sign, and is zero at times.
    fn gradient(step: i32) -> [f32; 3] {
        let t = step as f32;
        [
            (0.7 * t).sin(),
            0.1 * t - 0.9,
            if step % 3 == 0 { 0.0 } else { -2.0 },
        ]
    }

    fn step_once(store: &mut ParamStore, optimizer: &mut Optimizer, gradient: [f32; 3]) {
        store
            .flat_and_gradient_mut()
            .1
            .copy_(&Tensor::from_slice(&gradient));
        optimizer.step(store, 0);
    }

    fn run(config: &OptimConfig, steps: i32) -> Vec<f32> {
        let mut store = store();
        let mut optimizer = Optimizer::new(config, &store).unwrap();
        (0..steps).for_each(|t| step_once(&mut store, &mut optimizer, gradient(t)));
        to_vec(store.flat())
    }

    /// libtorch's own optimiser on the same gradients.
    fn libtorch(config: impl OptimizerConfig, learning_rate: f64, steps: i32) -> Vec<f32> {
        let vs = nn::VarStore::new(Device::Cpu);
        let w = vs.root().var_copy("w", &Tensor::from_slice(&START));
        let mut optimizer = config.build(&vs, learning_rate).unwrap();
        for t in 0..steps {
            let loss = (&w * Tensor::from_slice(&gradient(t))).sum(Kind::Float);
            optimizer.backward_step(&loss);
        }
        to_vec(&w)
    }

    fn assert_close(a: &[f32], b: &[f32]) {
        for (a, b) in a.iter().zip(b) {
            // Weights are of order 1; 40 steps of a rounding each of at most 6e-8 partly cancel.
            assert!((a - b).abs() <= 1e-6, "{a} and {b}");
        }
    }

    #[test]
    fn adam_takes_the_published_first_step() {
        // The corrected moments of the first step are g and g², so the step is rate * g / (|g| + eps).
        let mut store = store();
        let mut optimizer = Optimizer::new(&OptimConfig::default(), &store).unwrap();
        step_once(&mut store, &mut optimizer, [0.5, -4.0, 0.0]);
        assert_close(&to_vec(store.flat()), &[1.0 - 1e-3, -2.0 + 1e-3, 0.5]);
    }

    #[test]
    fn sgd_with_momentum_takes_the_hand_computed_steps() {
        // v = 1, then 0.9 * 1 + 1 = 1.9; w = 1 - 0.1 * 1 - 0.1 * 1.9 = 0.71.
        let config = SgdConfig {
            learning_rate: Schedule::constant(0.1),
            momentum: 0.9,
            ..SgdConfig::default()
        };
        let mut store = store();
        let mut optimizer = Optimizer::new(&OptimConfig::Sgd(config), &store).unwrap();
        for _ in 0..2 {
            step_once(&mut store, &mut optimizer, [1.0, 0.0, 0.0]);
        }
        assert_close(&to_vec(store.flat()), &[0.71, -2.0, 0.5]);
    }

    #[test]
    fn centred_rmsprop_takes_the_hand_computed_first_step() {
        // E[g²] = 0.05 * 4 = 0.2, E[g] = 0.1, root of 0.2 - 0.01 is 0.4358899; 1 - 0.01 * 2 / 0.4458899.
        let config = RmsPropConfig {
            learning_rate: Schedule::constant(0.01),
            ..RmsPropConfig::default()
        };
        let mut store = store();
        let mut optimizer = Optimizer::new(&OptimConfig::RmsProp(config), &store).unwrap();
        step_once(&mut store, &mut optimizer, [2.0, 0.0, 0.0]);
        assert_close(&to_vec(store.flat()), &[0.955_146, -2.0, 0.5]);
    }

    #[test]
    fn adam_equals_libtorch() {
        for weight_decay in [0.0, 0.1] {
            let config = AdamConfig {
                learning_rate: Schedule::constant(0.01),
                weight_decay,
                ..AdamConfig::default()
            };
            let ours = run(&OptimConfig::Adam(config), 40);
            assert_close(
                &ours,
                &libtorch(
                    nn::Adam {
                        wd: weight_decay,
                        ..nn::Adam::default()
                    },
                    0.01,
                    40,
                ),
            );
        }
    }

    #[test]
    fn adamw_equals_libtorch() {
        let config = AdamConfig {
            learning_rate: Schedule::constant(0.01),
            weight_decay: 0.1,
            ..AdamConfig::default()
        };
        let ours = run(&OptimConfig::AdamW(config), 40);
        assert_close(
            &ours,
            &libtorch(
                nn::AdamW {
                    wd: 0.1,
                    ..nn::AdamW::default()
                },
                0.01,
                40,
            ),
        );
    }

    #[test]
    fn radam_equals_pytorch() {
        // The formulas of PyTorch 2.11's radam.py in f64: lr 0.01, the gradients above. The mean alone moves the weights
        // up to step 5, where the length of the second moment's average is 4.99; after it they are rectified.
        for (weight_decay, steps, expected) in [
            (0.0, 5, [0.978_416, -1.960_437_4, 0.546_893_4]),
            (0.0, 6, [0.978_258_9, -1.960_199_3, 0.547_115_1]),
            (0.0, 40, [0.977_661_7, -1.985_687_7, 0.572_285_7]),
            (0.1, 40, [0.968_529_6, -1.971_088_3, 0.569_377_5]),
        ] {
            let config = AdamConfig {
                learning_rate: Schedule::constant(0.01),
                weight_decay,
                ..AdamConfig::default()
            };
            assert_close(&run(&OptimConfig::RAdam(config), steps), &expected);
        }
    }

    #[test]
    fn radam_becomes_adam_in_the_long_run() {
        let c = AdamConfig::default();
        let [rectified, plain] = [true, false].map(|r| Adam::new(&c, r, 100_000, 1.0));
        // Both divide by the corrected root; only RAdam's epsilon is not corrected.
        let ratio = rectified.step / (plain.step / plain.root_scale);
        assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn sgd_equals_libtorch() {
        for (momentum, nesterov, wd) in [(0.0, false, 0.0), (0.9, false, 0.1), (0.9, true, 0.0)] {
            let config = SgdConfig {
                learning_rate: Schedule::constant(0.01),
                momentum,
                nesterov,
                weight_decay: wd,
            };
            let theirs = nn::Sgd {
                momentum,
                dampening: 0.0,
                wd,
                nesterov,
            };
            assert_close(
                &run(&OptimConfig::Sgd(config), 40),
                &libtorch(theirs, 0.01, 40),
            );
        }
    }

    #[test]
    fn rmsprop_equals_libtorch() {
        for (centered, momentum, wd) in [
            (false, 0.0, 0.0),
            (true, 0.0, 0.1),
            (false, 0.9, 0.0),
            (true, 0.9, 0.0),
        ] {
            let config = RmsPropConfig {
                learning_rate: Schedule::constant(0.001),
                alpha: 0.95,
                epsilon: 0.01,
                centered,
                momentum,
                weight_decay: wd,
            };
            let theirs = nn::RmsProp {
                alpha: 0.95,
                eps: 0.01,
                wd,
                momentum,
                centered,
            };
            assert_close(
                &run(&OptimConfig::RmsProp(config), 40),
                &libtorch(theirs, 0.001, 40),
            );
        }
    }

    #[test]
    fn one_pass_of_adam_equals_its_operations() {
        let adam = Adam {
            step: 0.01,
            root_scale: 1.5,
            rates: [0.1, 0.001],
            epsilon: 1e-8,
        };
        let tensors =
            || [START, gradient(1), gradient(2), [0.5, 0.0, 2.0]].map(|t| Tensor::from_slice(&t));
        let [mut w, mut g, m, v] = tensors();
        let mut moments = [m, v];
        adam.one_pass(&mut w, &mut g, &mut moments);
        let [mut w2, g2, m2, v2] = tensors();
        let mut moments2 = [m2, v2];
        adam.operations(&mut w2, &g2, &mut moments2, &mut Tensor::from_slice(&START));
        assert_close(&to_vec(&w), &to_vec(&w2));
        assert_close(&to_vec(&moments[0]), &to_vec(&moments2[0]));
        assert_close(&to_vec(&moments[1]), &to_vec(&moments2[1]));
    }

    #[test]
    fn the_means_of_a_weight_without_gradient_end_at_zero() {
        for (config, updates) in [
            (OptimConfig::RmsProp(RmsPropConfig::default()), 3_000),
            (
                OptimConfig::Adam(AdamConfig {
                    beta2: 0.97,
                    ..AdamConfig::default()
                }),
                5_000,
            ),
        ] {
            let mut store = store();
            let mut optimizer = Optimizer::new(&config, &store).unwrap();
            step_once(&mut store, &mut optimizer, [1e-3; 3]);
            (0..updates).for_each(|_| step_once(&mut store, &mut optimizer, [0.0; 3]));
            for moment in &optimizer.moments {
                assert!(
                    to_vec(moment).iter().all(|&x| x == 0.0),
                    "{config:?}: {moment:?}"
                );
            }
        }
    }

    #[test]
    fn one_pass_of_rmsprop_equals_its_operations() {
        let config = RmsPropConfig::default();
        let tensors = || {
            [START, gradient(1), [4.0, 1.0, 9.0], [0.5, 0.0, -2.0]].map(|t| Tensor::from_slice(&t))
        };
        let [mut w, mut g, mut square, mut mean] = tensors();
        let [mut w2, g2, square2, mean2] = tensors();
        centred_rms_prop_one_pass(&config, 0.1, &mut w, &mut g, [&mut square, &mut mean]);
        let mut moments = [square2, mean2];
        let mut scratch = Tensor::from_slice(&START);
        rms_prop_step(&config, 0.1, &mut w2, &g2, &mut moments, &mut scratch);
        assert_close(&to_vec(&w), &to_vec(&w2));
        assert_close(&to_vec(&square), &to_vec(&moments[0]));
        assert_close(&to_vec(&mean), &to_vec(&moments[1]));
    }

    #[test]
    fn the_learning_rate_follows_its_schedule() {
        let config = SgdConfig {
            learning_rate: Schedule::linear(1.0, 0.0, 100),
            ..SgdConfig::default()
        };
        let mut store = store();
        let mut optimizer = Optimizer::new(&OptimConfig::Sgd(config), &store).unwrap();
        for (step, expected) in [(75, 1.0 - 0.25), (100, 0.75), (1000, 0.75)] {
            store
                .flat_and_gradient_mut()
                .1
                .copy_(&Tensor::from_slice(&[1_f32, 0.0, 0.0]));
            optimizer.step(&mut store, step);
            assert_eq!(to_vec(store.flat())[0], expected);
        }
    }

    fn all_kinds() -> [OptimConfig; 5] {
        [
            OptimConfig::RAdam(AdamConfig::default()),
            OptimConfig::default(),
            OptimConfig::AdamW(AdamConfig {
                weight_decay: 0.1,
                ..AdamConfig::default()
            }),
            OptimConfig::Sgd(SgdConfig {
                momentum: 0.9,
                nesterov: true,
                ..SgdConfig::default()
            }),
            OptimConfig::RmsProp(RmsPropConfig {
                momentum: 0.5,
                ..RmsPropConfig::default()
            }),
        ]
    }

    #[test]
    fn a_saved_optimiser_goes_on_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        for config in all_kinds() {
            let (mut one, mut two) = (store(), store());
            let mut whole = Optimizer::new(&config, &one).unwrap();
            (0..7).for_each(|t| step_once(&mut one, &mut whole, gradient(t)));
            whole
                .save(&dir.path().join("optimizer.safetensors"))
                .unwrap();
            two.copy_from(&one);
            let mut resumed = Optimizer::new(&config, &two).unwrap();
            resumed
                .load(&dir.path().join("optimizer.safetensors"))
                .unwrap();
            assert_eq!(resumed.updates(), 7);
            for t in 7..20 {
                step_once(&mut one, &mut whole, gradient(t));
                step_once(&mut two, &mut resumed, gradient(t));
            }
            assert_eq!(to_vec(one.flat()), to_vec(two.flat()), "{config:?}");
        }
    }

    #[test]
    fn the_state_of_another_optimiser_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("optimizer.safetensors");
        let store = store();
        let [_, adam, _, sgd, _] = all_kinds();
        Optimizer::new(&adam, &store).unwrap().save(&path).unwrap();
        let error = Optimizer::new(&sgd, &store)
            .unwrap()
            .load(&path)
            .unwrap_err()
            .to_string();
        assert!(error.contains("\"momentum_buffer\" is missing"), "{error}");
    }

    #[test]
    fn configs_read_as_written_and_name_unknown_keys() {
        for config in all_kinds() {
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<OptimConfig>(&json).unwrap(), config);
        }
        let adam: OptimConfig = serde_json::from_str(r#"{"kind": "adam", "beta1": 0.5}"#).unwrap();
        assert_eq!(
            adam,
            OptimConfig::Adam(AdamConfig {
                beta1: 0.5,
                ..AdamConfig::default()
            })
        );
        let error =
            serde_json::from_str::<OptimConfig>(r#"{"kind": "sgd", "beta1": 0.5}"#).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `beta1`"),
            "{error}"
        );
    }

    #[test]
    fn values_out_of_range_are_refused_with_key_and_range() {
        let message = |config: OptimConfig| config.check().unwrap_err().to_string();
        let adam = AdamConfig {
            beta2: 1.0,
            ..AdamConfig::default()
        };
        assert_eq!(
            message(OptimConfig::Adam(adam)),
            "beta2: 1 is out of range; give 0 or more and below 1"
        );
        let sgd = SgdConfig {
            learning_rate: Schedule::constant(f64::NAN),
            ..SgdConfig::default()
        };
        assert_eq!(
            message(OptimConfig::Sgd(sgd)),
            "learning_rate: NaN is out of range; give 0 to 10"
        );
        let sgd = SgdConfig {
            nesterov: true,
            ..SgdConfig::default()
        };
        assert_eq!(
            message(OptimConfig::Sgd(sgd)),
            "nesterov: true needs a momentum above 0"
        );
    }
}
