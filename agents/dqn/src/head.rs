//! The head of a Q-network: features to values, in libtorch operations.

use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result, Rng, check_range};
use thorndike_nets::tch::{Device, Kind, Tensor};
use thorndike_nets::{LayerShape, Linear, Scope};

use crate::loss::{Fractions, Support, categorical_means, midpoints, quantile_means};

/// What the head says of each action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HeadConfig {
    /// The expected return. (With braces, because a unit variant would accept unknown keys.)
    Expected {},
    /// Probabilities of fixed returns (C51).
    Categorical(CategoricalConfig),
    /// Quantiles of the return at fixed fractions (QR-DQN).
    Quantile(QuantileConfig),
    /// Quantiles of the return at whatever fractions are asked for (IQN).
    ImplicitQuantile(ImplicitQuantileConfig),
}

/// Settings of [`HeadConfig::Categorical`].
///
/// # Reference
/// Bellemare, Dabney and Munos, "A Distributional Perspective on Reinforcement Learning" (2017), section 5.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CategoricalConfig {
    /// Number of returns. Default 51.
    pub atoms: usize,
    /// Lowest return, in (clipped) reward units. Default -10, for Atari's clipped rewards.
    pub v_min: f64,
    /// Highest return. Default 10.
    pub v_max: f64,
}

/// Settings of [`HeadConfig::Quantile`].
///
/// # Reference
/// Dabney et al., "Distributional Reinforcement Learning with Quantile Regression" (2018), section "Experimental
/// Results".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantileConfig {
    /// Number of quantiles. Default 200.
    pub quantiles: usize,
    /// Where the loss turns from quadratic to linear; 0: linear everywhere. Default 1.
    pub kappa: f64,
}

/// Settings of [`HeadConfig::ImplicitQuantile`].
///
/// # Reference
/// Dabney, Ostrovski, Silver and Munos, "Implicit Quantile Networks for Distributional Reinforcement Learning" (2018),
/// section 3 and appendix. Deviations: actions are chosen by the quantiles at `policy_samples` evenly spaced
/// fractions and not at drawn ones, so that the policy is no matter of chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImplicitQuantileConfig {
    /// Fractions drawn for the online network (N). Default 64.
    pub samples: usize,
    /// Fractions drawn for the target network (N'). Default 64.
    pub target_samples: usize,
    /// Fractions that a choice of action averages over (K). Default 32.
    pub policy_samples: usize,
    /// Cosines that describe a fraction (n). Default 64.
    pub cosines: usize,
    /// Where the loss turns from quadratic to linear; 0: linear everywhere. Default 1.
    pub kappa: f64,
}

impl Default for CategoricalConfig {
    fn default() -> Self {
        Self {
            atoms: 51,
            v_min: -10.0,
            v_max: 10.0,
        }
    }
}

impl Default for QuantileConfig {
    fn default() -> Self {
        Self {
            quantiles: 200,
            kappa: 1.0,
        }
    }
}

impl Default for ImplicitQuantileConfig {
    fn default() -> Self {
        Self {
            samples: 64,
            target_samples: 64,
            policy_samples: 32,
            cosines: 64,
            kappa: 1.0,
        }
    }
}

/// More atoms, quantiles or fractions than any published head; a mistyped number is caught before it is allocated.
const MAX_ATOMS: usize = 4096;

impl HeadConfig {
    pub(crate) fn check(&self) -> Result<()> {
        let kappa = |kappa: f64| {
            let what = format!("{kappa} is out of range; give 0 or more");
            match kappa >= 0.0 && kappa.is_finite() {
                true => Ok(()),
                false => Err(Error::config("kappa", what)),
            }
        };
        match self {
            Self::Expected {} => Ok(()),
            Self::Categorical(c) => {
                check_range("atoms", c.atoms, 2..=MAX_ATOMS)?;
                if c.v_min < c.v_max && c.v_min.is_finite() && c.v_max.is_finite() {
                    return Ok(());
                }
                let what = format!(
                    "{} is not below v_max, {}; give the lowest and the highest return that can be",
                    c.v_min, c.v_max
                );
                Err(Error::config("v_min", what))
            }
            Self::Quantile(c) => {
                check_range("quantiles", c.quantiles, 1..=MAX_ATOMS)?;
                kappa(c.kappa)
            }
            Self::ImplicitQuantile(c) => {
                check_range("samples", c.samples, 1..=MAX_ATOMS)?;
                check_range("target_samples", c.target_samples, 1..=MAX_ATOMS)?;
                check_range("policy_samples", c.policy_samples, 1..=MAX_ATOMS)?;
                check_range("cosines", c.cosines, 1..=MAX_ATOMS)?;
                kappa(c.kappa)
            }
        }
    }

    /// Outputs of the network for each action.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::Expected {} | Self::ImplicitQuantile(_) => 1,
            Self::Categorical(c) => c.atoms,
            Self::Quantile(c) => c.quantiles,
        }
    }

    /// Fractions that actions are chosen by, where the network is asked for fractions.
    pub(crate) fn policy_fractions(&self) -> Option<Vec<f32>> {
        match self {
            Self::ImplicitQuantile(c) => Some(midpoints(c.policy_samples)),
            _ => None,
        }
    }

    /// Turns values `[batch, actions, atoms]` into Q-values `[batch, actions]`; false if they are that already.
    pub(crate) fn means(&self, values: &[f32], atoms: usize, q: &mut Vec<f32>) -> bool {
        match self {
            Self::Expected {} => return false,
            Self::Categorical(c) => categorical_means(values, c.support(), q),
            Self::Quantile(_) | Self::ImplicitQuantile(_) => quantile_means(values, atoms, q),
        }
        true
    }
}

impl CategoricalConfig {
    pub(crate) fn support(&self) -> Support {
        Support {
            v_min: self.v_min as f32,
            v_max: self.v_max as f32,
            atoms: self.atoms,
        }
    }
}

/// What a head is built of.
#[derive(Clone, Debug)]
pub(crate) struct HeadShape {
    pub(crate) config: HeadConfig,
    pub(crate) actions: usize,
    pub(crate) dueling: bool,
    /// Units of a hidden layer in each stream; 0: none.
    pub(crate) units: usize,
    /// Initial scale of learned noise.
    pub(crate) noise: Option<f64>,
}

impl HeadShape {
    /// Rows of values that the head puts out, the state's included.
    pub(crate) fn rows(&self) -> usize {
        self.actions + usize::from(self.dueling)
    }

    /// Outputs of each stream, the state's first.
    fn streams(&self) -> Vec<usize> {
        let outputs = self.config.outputs();
        if self.dueling && self.units > 0 {
            vec![outputs, self.actions * outputs]
        } else {
            vec![self.rows() * outputs]
        }
    }

    /// The layers behind an extractor of `features` features, if the head is a plain chain of them.
    pub(crate) fn chain(&self, features: usize) -> Option<Vec<LayerShape>> {
        let implicit = matches!(self.config, HeadConfig::ImplicitQuantile(_));
        let [outputs] = self.streams()[..] else {
            return None;
        };
        if self.noise.is_some() || implicit {
            return None;
        }
        Some(match self.units {
            0 => vec![LayerShape::linear(features, outputs, false)],
            units => vec![
                LayerShape::linear(features, units, true),
                LayerShape::linear(units, outputs, false),
            ],
        })
    }

    /// Weights for an extractor of `features` features.
    pub(crate) fn num_weights(&self, features: u64) -> u64 {
        let layer = |inputs: u64, outputs: u64| {
            let plain = inputs.saturating_add(1).saturating_mul(outputs);
            plain.saturating_mul(1 + u64::from(self.noise.is_some()))
        };
        let units = self.units as u64;
        let stream = |outputs: usize| match units {
            0 => layer(features, outputs as u64),
            _ => layer(features, units).saturating_add(layer(units, outputs as u64)),
        };
        let streams = self.streams().into_iter().map(stream);
        let embedding = match &self.config {
            HeadConfig::ImplicitQuantile(c) => (c.cosines as u64 + 1).saturating_mul(features),
            _ => 0,
        };
        streams.fold(embedding, u64::saturating_add)
    }
}

/// Streams of layers from features to values.
#[derive(Debug)]
pub(crate) struct Head {
    streams: Vec<Stream>,
    embedding: Option<Embedding>,
    rows: i64,
}

impl Head {
    /// Declares the head's variables in `scope`.
    pub(crate) fn new(shape: &HeadShape, scope: &mut Scope<'_>, features: i64) -> Self {
        let embedding = match &shape.config {
            HeadConfig::ImplicitQuantile(c) => Some(Embedding {
                layer: Linear::new(&mut scope.sub("fraction"), c.cosines as i64, features),
            }),
            _ => None,
        };
        let streams = match shape.streams()[..] {
            [all] => vec![Stream::new(shape, scope, features, all)],
            [value, advantage] => vec![
                Stream::new(shape, &mut scope.sub("value"), features, value),
                Stream::new(shape, &mut scope.sub("advantage"), features, advantage),
            ],
            _ => unreachable!("one stream or two"),
        };
        Self {
            streams,
            embedding,
            rows: shape.rows() as i64,
        }
    }

    /// `features` `[batch, width]` to values `[batch, rows, atoms]`, the quantiles at `fractions` if the head is
    /// implicit.
    pub(crate) fn forward(&self, features: &Tensor, fractions: Option<Fractions<'_>>) -> Tensor {
        let batch = features.size()[0];
        let Some(embedding) = &self.embedding else {
            return self.streams(features).view([batch, self.rows, -1]);
        };
        let Fractions { values, each } =
            fractions.expect("an implicit head is asked for fractions");
        let values = Tensor::from_slice(values).to_device(features.device());
        let (samples, width) = (each as i64, features.size()[1]);
        let embedded = embedding.forward(&values).view([-1, samples, width]); // [batch or 1, N, width]
        let joined = features.unsqueeze(1) * embedded; // [batch, N, width]
        let values = self.streams(&joined.flatten(0, 1)); // [batch * N, rows]
        let values = values.view([batch, samples, self.rows]);
        values.transpose(1, 2).contiguous() // [batch, rows, N]
    }

    fn streams(&self, x: &Tensor) -> Tensor {
        let outputs: Vec<Tensor> = self.streams.iter().map(|s| s.forward(x)).collect();
        match &outputs[..] {
            [one] => one.shallow_clone(),
            _ => Tensor::cat(&outputs, 1),
        }
    }

    /// Draws new noise for all noisy layers.
    pub(crate) fn draw_noise(&mut self, rng: &mut Rng) {
        self.layers().for_each(|layer| layer.draw_noise(rng));
    }

    /// Lets noisy layers give their means.
    pub(crate) fn silence(&mut self) {
        self.layers().for_each(|layer| layer.noise = None);
    }

    fn layers(&mut self) -> impl Iterator<Item = &mut Layer> {
        let streams = self.streams.iter_mut();
        streams.flat_map(|s| s.hidden.iter_mut().chain([&mut s.output]))
    }
}

/// Perhaps a hidden layer with ReLU, and an output layer.
#[derive(Debug)]
struct Stream {
    hidden: Option<Layer>,
    output: Layer,
}

impl Stream {
    fn new(shape: &HeadShape, scope: &mut Scope<'_>, features: i64, outputs: usize) -> Self {
        let units = shape.units as i64;
        let hidden =
            (units > 0).then(|| Layer::new(shape, &mut scope.sub("hidden"), features, units));
        let inputs = if units > 0 { units } else { features };
        Self {
            hidden,
            output: Layer::new(shape, scope, inputs, outputs as i64),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        match &self.hidden {
            Some(hidden) => self.output.forward(&hidden.forward(x).relu_()),
            None => self.output.forward(x),
        }
    }
}

/// An affine layer that may have noise in its weights: `y = (μ + σ ⊙ ε) x`.
///
/// # Reference
/// Fortunato et al., "Noisy Networks for Exploration" (2018), section 3, factorised Gaussian noise: `ε_ij = f(ε_i)
/// f(ε_j)` with `f(x) = sgn(x) √|x|`; initial values as in section 3.2. Deviations: none.
#[derive(Debug)]
struct Layer {
    mean: Linear,
    deviation: Option<Linear>,
    /// Noise of inputs `[inputs]` and outputs `[outputs]`; none: the means alone.
    noise: Option<[Tensor; 2]>,
}

impl Layer {
    fn new(shape: &HeadShape, scope: &mut Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let mean = Linear::new(scope, inputs, outputs);
        let deviation = shape.noise.map(|sigma| {
            let sigma = (sigma / (inputs as f64).sqrt()) as f32;
            let mut filled = |name, dims: &[i64]| {
                let len = dims.iter().product::<i64>() as usize;
                scope.variable(name, dims, &vec![sigma; len])
            };
            Linear {
                weight: filled("weight_sigma", &[outputs, inputs]),
                bias: filled("bias_sigma", &[outputs]),
            }
        });
        Self {
            mean,
            deviation,
            noise: None,
        }
    }

    fn draw_noise(&mut self, rng: &mut Rng) {
        if let Some(deviation) = &self.deviation {
            let device = deviation.weight.device();
            let [outputs, inputs] = [0, 1].map(|i| deviation.weight.size()[i]);
            self.noise = Some([noise(rng, inputs, device), noise(rng, outputs, device)]);
        }
    }

    /// `[batch, inputs] -> [batch, outputs]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.mean.forward(x);
        match (&self.deviation, &self.noise) {
            // The outer product of the noises is never made: it multiplies inputs, then outputs.
            (Some(deviation), Some([inputs, outputs])) => {
                y + deviation.forward(&(x * inputs)) * outputs
            }
            _ => y,
        }
    }
}

/// `sgn(x) √|x|` of `n` draws from the normal distribution.
fn noise(rng: &mut Rng, n: i64, device: Device) -> Tensor {
    let draws = (0..n).map(|_| {
        let x: f32 = StandardNormal.sample(rng);
        x.abs().sqrt().copysign(x)
    });
    Tensor::from_slice(&draws.collect::<Vec<_>>()).to_device(device)
}

/// Describes fractions in the space of the features: `ReLU(W cos(π i τ) + b)`, i = 0 .. cosines.
///
/// # Reference
/// Dabney et al., "Implicit Quantile Networks" (2018), equation 4.
#[derive(Debug)]
struct Embedding {
    layer: Linear,
}

impl Embedding {
    /// `[fractions] -> [fractions, width]`.
    fn forward(&self, fractions: &Tensor) -> Tensor {
        let cosines = self.layer.weight.size()[1];
        let steps = Tensor::arange(cosines, (Kind::Float, fractions.device()));
        let angles = fractions.unsqueeze(1) * steps * std::f64::consts::PI;
        self.layer.forward(&angles.cos()).relu_()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;
    use thorndike_nets::ParamStore;

    fn built(shape: &HeadShape, features: i64) -> (ParamStore, Head) {
        let rng = Seeds::new(5).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| {
            Ok(Head::new(shape, &mut scope.sub("head"), features))
        })
        .unwrap()
    }

    fn shape(config: HeadConfig) -> HeadShape {
        HeadShape {
            config,
            actions: 3,
            dueling: false,
            units: 0,
            noise: None,
        }
    }

    fn all_shapes() -> Vec<HeadShape> {
        let configs = [
            HeadConfig::Expected {},
            HeadConfig::Categorical(CategoricalConfig::default()),
            HeadConfig::Quantile(QuantileConfig::default()),
            HeadConfig::ImplicitQuantile(ImplicitQuantileConfig::default()),
        ];
        let mut shapes = Vec::new();
        for config in configs {
            for (dueling, units, noise) in [
                (false, 0, None),
                (true, 7, None),
                (true, 0, Some(0.5)),
                (false, 7, Some(0.5)),
            ] {
                shapes.push(HeadShape {
                    dueling,
                    units,
                    noise,
                    ..shape(config.clone())
                });
            }
        }
        shapes
    }

    #[test]
    fn every_head_has_the_weights_it_was_said_to_have_and_gives_its_rows() {
        for shape in all_shapes() {
            let (store, head) = built(&shape, 5);
            assert_eq!(
                store.num_parameters() as u64,
                shape.num_weights(5),
                "{shape:?}"
            );
            let fractions = Fractions {
                values: &[0.1, 0.9],
                each: 2,
            };
            let x = Tensor::zeros([4, 5], (Kind::Float, Device::Cpu));
            let values = head.forward(&x, Some(fractions));
            let atoms = match &shape.config {
                HeadConfig::ImplicitQuantile(_) => 2,
                config => config.outputs() as i64,
            };
            assert_eq!(values.size(), [4, shape.rows() as i64, atoms], "{shape:?}");
        }
    }

    #[test]
    fn plain_chains_are_told() {
        let plain = HeadShape {
            units: 9,
            ..shape(HeadConfig::Quantile(QuantileConfig::default()))
        };
        let (hidden, outputs) = (
            LayerShape::linear(5, 9, true),
            LayerShape::linear(9, 600, false),
        );
        assert_eq!(plain.chain(5), Some(vec![hidden, outputs]));
        let dueling = HeadShape {
            units: 0,
            dueling: true,
            ..plain.clone()
        };
        assert_eq!(
            dueling.chain(5),
            Some(vec![LayerShape::linear(5, 800, false)])
        );
        let two_streams = HeadShape {
            dueling: true,
            ..plain.clone()
        };
        assert_eq!(two_streams.chain(5), None);
        let noisy = HeadShape {
            noise: Some(0.5),
            ..plain
        };
        assert_eq!(noisy.chain(5), None);
    }

    #[test]
    fn a_noisy_layer_is_its_formula_and_silent_its_mean() {
        let noisy = HeadShape {
            noise: Some(0.5),
            ..shape(HeadConfig::Expected {})
        };
        let (_, mut head) = built(&noisy, 2);
        let x = Tensor::from_slice(&[0.3_f32, -2.0]).view([1, 2]);
        let layer = &head.streams[0].output;
        let deviation = layer.deviation.as_ref().unwrap();
        assert_eq!(
            deviation.bias,
            Tensor::from_slice(&[0.5_f32 / 2_f32.sqrt(); 3])
        );
        let mean = layer.mean.forward(&x);
        assert_eq!(head.streams(&x), mean);
        head.draw_noise(&mut Seeds::new(1).stream("agent/noise", 0));
        let layer = &head.streams[0].output;
        let [inputs, outputs] = layer.noise.as_ref().unwrap();
        let deviation = layer.deviation.as_ref().unwrap();
        let outer = outputs.unsqueeze(1) * inputs.unsqueeze(0); // [outputs, inputs]
        let weight = &layer.mean.weight + &deviation.weight * outer;
        let bias = &layer.mean.bias + &deviation.bias * outputs;
        let expected = x.linear(&weight, Some(&bias));
        let found = head.streams(&x);
        // Sums of four products of order 1.
        assert!((&found - expected).abs().max().double_value(&[]) < 1e-6);
        assert!(
            (&found - &mean).abs().max().double_value(&[]) > 0.01,
            "noise does something"
        );
        head.silence();
        assert_eq!(head.streams(&x), mean);
    }

    #[test]
    fn noise_has_the_deviation_of_its_formula() {
        // E[f(x)²] = E|x| = √(2/π) for x from the normal distribution; 20,000 draws of deviation 0.6 / 141.
        let draws = noise(&mut Seeds::new(3).stream("test", 0), 20_000, Device::Cpu);
        let square = draws.square().mean(Kind::Float).double_value(&[]);
        assert!(
            (square - (2.0 / std::f64::consts::PI).sqrt()).abs() < 0.022,
            "{square}"
        );
        assert!(draws.mean(Kind::Float).double_value(&[]).abs() < 0.032);
    }

    #[test]
    fn an_implicit_head_gives_each_fraction_its_own_quantile() {
        let implicit = shape(HeadConfig::ImplicitQuantile(
            ImplicitQuantileConfig::default(),
        ));
        let (_, head) = built(&implicit, 4);
        let x = Tensor::from_slice(&[0.3_f32, 1.0, 0.7, 2.0, 0.1, 0.2, 0.9, 0.4]).view([2, 4]);
        let ask = |values: &[f32], each| head.forward(&x, Some(Fractions { values, each }));
        let both = ask(&[0.2, 0.8], 2); // [2, 3, 2]
        let own = ask(&[0.2, 0.8, 0.8, 0.2], 2);
        for (action, fraction) in [(0, 0), (1, 1), (2, 0)] {
            let at = |t: &Tensor, row, fraction| t.double_value(&[row, action, fraction]);
            // Two cosines and four of them may take different instructions: a few roundings of 6e-8 at values about 1.
            assert!((at(&both, 0, fraction) - at(&own, 0, fraction)).abs() < 1e-6);
            // The second row was asked in the other order.
            assert!((at(&both, 1, fraction) - at(&own, 1, 1 - fraction)).abs() < 1e-6);
        }
        assert_ne!(both.double_value(&[0, 0, 0]), both.double_value(&[0, 0, 1]));
    }
}
