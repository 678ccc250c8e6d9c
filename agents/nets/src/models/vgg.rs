//! VGG: convolutions of 3x3 in five stages, each halved by a pooling, then fully connected layers, ReLU after each:
//! `[batch, channels, height, width] -> [batch, width()]`.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result, check_range};

use super::cnn::image;
use super::mlp::{MAX_UNITS, check_rate, dropout};
use crate::layers::{BatchNorm, Conv, Dropout, Window, channels_last};
use crate::{FeatureExtractor, Linear, Scope};

/// Settings of [`Vgg`]. The default is VGG-16 as torchvision has it, without its last layer: that is the head of the
/// model that reads the features.
///
/// The variables have torchvision's names, `features.0.weight` and so on; [`torchvision_name`](Self::torchvision_name)
/// gives them for a whole model, so that its weights can be read and written. Those of torchvision expect the three
/// colours of a pixel between 0 and 1, less 0.485, 0.456, 0.406 and over 0.229, 0.224, 0.225.
///
/// ```no_run
/// # use thorndike_nets::{ParamStore, models::VggConfig};
/// # fn read(config: &VggConfig, params: &mut ParamStore) -> thorndike_core::Result<()> {
/// let file = "vgg16.safetensors".as_ref();
/// // All weights, for a head of as many outputs; then all but the head's.
/// params.import(file, |ours| Some(config.torchvision_name(ours)), |_| false)?;
/// let is_head = |ours: &str| ours.starts_with("head.");
/// let name = |ours: &str| (!is_head(ours)).then(|| config.torchvision_name(ours));
/// params.import(file, name, |theirs| theirs.starts_with("classifier.6."))?;
/// # Ok(())
/// # }
/// ```
///
/// # Reference
/// Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), table 1,
/// configurations A, B, D and E. Deviations: as torchvision, pooling to a fixed size in front of the fully connected
/// layers, and initial values of He et al. for convolutions, of deviation 0.01 for fully connected layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VggConfig {
    /// Layers with weights, the head included: 11 (configuration A), 13 (B), 16 (D) or 19 (E). Default 16.
    pub depth: usize,
    /// Whether the convolutions are [normalised](BatchNorm). Default false.
    pub batch_norm: bool,
    /// Times the published numbers of channels (64 to 512), rounded. Default 1.
    pub width: f64,
    /// Height and width that the last images are averaged to; those that are smaller are repeated. Default 7; images of
    /// 32x32 leave but one pixel, so that 1 says as much.
    pub pool: usize,
    /// Units of the fully connected layers; may be empty. Default `[4096, 4096]`.
    pub hidden: Vec<usize>,
    /// Share of the numbers behind each of them that are [dropped](Dropout) while learning. Default 0.5.
    pub dropout: f64,
    /// Where the features are taken from. What lies behind is not declared. Default `"classifier"`.
    pub layer: VggLayer,
}

/// Where [`Vgg`] takes its features from, in a file a word or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"features\", \"classifier\" or a number"
)]
pub enum VggLayer {
    /// Behind a part.
    Part(VggPart),
    /// Behind the entry of that number in torchvision's `features`, which counts convolutions, normalisations, ReLUs and
    /// poolings from 0: `[channels, height, width]` in a row.
    Entry(usize),
}

/// A part of [`Vgg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VggPart {
    /// The convolutions: `[channels, pool, pool]` in a row.
    Features,
    /// The last fully connected layer, of `hidden`, with its ReLU.
    Classifier,
}

impl Default for VggConfig {
    fn default() -> Self {
        Self {
            depth: 16,
            batch_norm: false,
            width: 1.0,
            pool: 7,
            hidden: vec![4096, 4096],
            dropout: 0.5,
            layer: VggLayer::Part(VggPart::Classifier),
        }
    }
}

/// An entry of torchvision's `features`, with its numbers of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Conv(usize, usize),
    Norm(usize),
    Relu,
    Pool,
}

/// What a network is for images of some shape.
#[derive(Debug)]
struct Plan {
    entries: Vec<Entry>,
    /// Channels, height and width behind them.
    image: [usize; 3],
    /// Numbers in front of the fully connected layers.
    flat: usize,
    /// Units of these.
    hidden: Vec<usize>,
}

impl VggConfig {
    /// Convolutions of each stage.
    fn stages(&self) -> Option<[usize; 5]> {
        match self.depth {
            11 => Some([1, 1, 2, 2, 2]),
            13 => Some([2, 2, 2, 2, 2]),
            16 => Some([2, 2, 3, 3, 3]),
            19 => Some([2, 2, 4, 4, 4]),
            _ => None,
        }
    }

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        if self.stages().is_none() {
            let what = format!("{} is out of range; give 11, 13, 16 or 19", self.depth);
            return Err(Error::config("depth", what));
        }
        if !(self.width > 0.0 && self.width <= 16.0) {
            let what = format!(
                "{} is out of range; give more than 0, at most 16",
                self.width
            );
            return Err(Error::config("width", what));
        }
        check_range("pool", self.pool, 1..=64)?;
        for (i, &units) in self.hidden.iter().enumerate() {
            check_range(&format!("hidden[{i}]"), units, 1..=MAX_UNITS)?;
        }
        check_rate("dropout", self.dropout)?;
        match self.layer {
            VggLayer::Entry(i) => check_range("layer", i, 0..=self.entries(1).len() - 1),
            VggLayer::Part(_) => Ok(()),
        }
    }

    /// All entries of `features`, for images of so many channels.
    fn entries(&self, mut channels: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let stages = self.stages().unwrap_or_default();
        for (convolutions, published) in stages.into_iter().zip([64, 128, 256, 512, 512]) {
            let filters = ((f64::from(published) * self.width).round() as usize).max(1);
            for _ in 0..convolutions {
                entries.push(Entry::Conv(channels, filters));
                if self.batch_norm {
                    entries.push(Entry::Norm(filters));
                }
                entries.push(Entry::Relu);
                channels = filters;
            }
            entries.push(Entry::Pool);
        }
        entries
    }

    fn plan(&self, shape: &[i64]) -> Result<Plan> {
        self.check()?;
        let seen = image(shape)?;
        let mut entries = self.entries(seen[0]);
        if let VggLayer::Entry(last) = self.layer {
            entries.truncate(last + 1);
        }
        let mut image = seen;
        for entry in &entries {
            match entry {
                Entry::Conv(_, filters) => image[0] = *filters,
                Entry::Pool if image[1].min(image[2]) < 2 => {
                    let poolings = entries.iter().filter(|e| **e == Entry::Pool).count();
                    let [_, height, width] = seen;
                    let what = format!(
                        "it halves images {poolings} times, which {height}x{width} is too small for"
                    );
                    return Err(Error::config("kind", what));
                }
                Entry::Pool => image = [image[0], image[1] / 2, image[2] / 2],
                Entry::Norm(_) | Entry::Relu => {}
            }
        }
        let (flat, hidden) = match self.layer {
            VggLayer::Entry(_) => (image.iter().product(), Vec::new()),
            VggLayer::Part(part) => {
                let hidden = match part {
                    VggPart::Features => Vec::new(),
                    VggPart::Classifier => self.hidden.clone(),
                };
                (image[0] * self.pool * self.pool, hidden)
            }
        };
        Ok(Plan {
            entries,
            image,
            flat,
            hidden,
        })
    }

    /// Stride and channels of each stage behind its pooling.
    pub(crate) fn map_shapes(&self) -> Vec<[usize; 2]> {
        let (mut shapes, mut stride, mut channels) = (Vec::new(), 1, 0);
        for entry in self.entries(1) {
            match entry {
                Entry::Conv(_, filters) => channels = filters,
                Entry::Pool => {
                    stride *= 2;
                    shapes.push([stride, channels]);
                }
                Entry::Norm(_) | Entry::Relu => {}
            }
        }
        shapes
    }

    /// Weights on images of `shape`, and the features they give; 0 where [`Vgg::new`] would refuse.
    pub(crate) fn size(&self, shape: &[i64]) -> (u64, u64) {
        let Ok(plan) = self.plan(shape) else {
            return (0, 0);
        };
        let entries = plan.entries.iter().map(|entry| match *entry {
            Entry::Conv(channels, filters) => (9 * channels as u64 + 1) * filters as u64,
            Entry::Norm(channels) => 2 * channels as u64,
            Entry::Relu | Entry::Pool => 0,
        });
        let hidden = plan.hidden.iter();
        hidden.fold(
            (entries.sum(), plan.flat as u64),
            |(sum, inputs), &units| (sum + (inputs + 1) * units as u64, units as u64),
        )
    }

    /// Name in torchvision of a variable that a model calls `extractor.*` or `head.*`.
    pub fn torchvision_name(&self, ours: &str) -> String {
        match (ours.strip_prefix("extractor."), ours.strip_prefix("head.")) {
            (Some(name), _) => name.to_owned(),
            (_, Some(name)) => format!("classifier.{}.{name}", 3 * self.hidden.len()),
            _ => ours.to_owned(),
        }
    }
}

/// VGG without the last fully connected layer.
#[derive(Debug)]
pub struct Vgg {
    channels: i64,
    /// Height and width of what the network was declared for.
    extent: [i64; 2],
    features: Vec<Layer>,
    /// Height and width that images are averaged to, if that changes them.
    pool: Option<i64>,
    classifier: Vec<(Linear, Option<Dropout>)>,
    width: i64,
}

#[derive(Debug)]
enum Layer {
    Conv(Conv),
    Norm(BatchNorm),
    Relu,
    Pool,
}

impl Vgg {
    /// Declares `features.0`, … and `classifier.0`, `classifier.3`, … in `scope`, for observations of `shape`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or does not fit the shape.
    pub fn new(config: &VggConfig, scope: &mut Scope<'_>, shape: &[i64]) -> Result<Self> {
        let plan = config.plan(shape)?;
        let [channels, height, width] = image(shape)?.map(|n| n as i64);
        let features = plan.entries.iter().enumerate().map(|(i, entry)| {
            let scope = &mut scope.sub(&format!("features.{i}"));
            match *entry {
                Entry::Conv(channels, filters) => {
                    let window = Window::square(3, 1, 1);
                    Layer::Conv(Conv::kaiming(scope, channels, filters, window))
                }
                Entry::Norm(channels) => Layer::Norm(BatchNorm::new(scope, channels as i64)),
                Entry::Relu => Layer::Relu,
                Entry::Pool => Layer::Pool,
            }
        });
        let features = features.collect();
        let mut inputs = plan.flat as i64;
        let classifier = plan.hidden.iter().enumerate().map(|(i, &units)| {
            let scope = &mut scope.sub(&format!("classifier.{}", 3 * i));
            let layer = Linear::normal(scope, inputs, units as i64, 0.01);
            inputs = units as i64;
            (layer, dropout(scope, config.dropout))
        });
        let classifier = classifier.collect();
        let is_pooled = matches!(config.layer, VggLayer::Part(_));
        let is_fitting = plan.image[1..] == [config.pool; 2];
        Ok(Self {
            channels,
            extent: [height, width],
            features,
            pool: (is_pooled && !is_fitting).then_some(config.pool as i64),
            classifier,
            width: inputs,
        })
    }
}

impl Layer {
    fn forward(&self, mut x: Tensor, train: bool) -> Tensor {
        match self {
            Self::Conv(conv) => conv.forward(&x),
            Self::Norm(norm) => norm.forward(&x, train),
            // In place: no backward pass needs the value in front of it.
            Self::Relu => x.relu_(),
            Self::Pool => Window::square(2, 2, 0).max_pool(&x),
        }
    }
}

impl FeatureExtractor for Vgg {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let [height, width] = self.extent;
        let images = channels_last(&obs.view([-1, self.channels, height, width]));
        let layers = self.features.iter();
        let x = layers.fold(images, |x, layer| layer.forward(x, train));
        let x = match self.pool {
            Some(pool) => x.adaptive_avg_pool2d([pool; 2]),
            None => x,
        };
        let flat = x.flatten(1, -1);
        self.classifier.iter().fold(flat, |x, (layer, dropout)| {
            let x = layer.forward(&x).relu_();
            match dropout {
                Some(dropout) => dropout.forward(&x, train),
                None => x,
            }
        })
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn maps(&self, images: &Tensor, train: bool) -> Option<Vec<Tensor>> {
        let (mut maps, mut x) = (Vec::new(), channels_last(images));
        for layer in &self.features {
            x = layer.forward(x, train);
            if let Layer::Pool = layer {
                maps.push(x.shallow_clone());
            }
        }
        Some(maps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use crate::params::to_vec;
    use serde_json::Value;
    use std::io::Write as _;
    use std::path::Path;
    use tch::{Device, Kind};
    use thorndike_core::Seeds;

    /// The extractor and a head of so many outputs.
    fn built(
        config: &VggConfig,
        shape: &[i64],
        outputs: i64,
    ) -> Result<(ParamStore, (Vgg, Linear))> {
        let rng = Seeds::new(1).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| {
            let vgg = Vgg::new(config, &mut scope.sub("extractor"), shape)?;
            let head = Linear::new(&mut scope.sub("head"), vgg.width(), outputs);
            Ok((vgg, head))
        })
    }

    fn config(json: &str) -> VggConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn networks_of_the_paper_have_the_sizes_of_torchvision() {
        // Weights of vgg11, vgg13, vgg16, vgg19 and vgg16_bn, less the last layer's 4097 * 1000.
        for (depth, batch_norm, weights) in [
            (11, false, 132_863_336),
            (13, false, 133_047_848),
            (16, false, 138_357_544),
            (19, false, 143_667_240),
            (16, true, 138_365_992),
        ] {
            let config = VggConfig {
                depth,
                batch_norm,
                ..VggConfig::default()
            };
            let size = config.size(&[3, 224, 224]);
            assert_eq!(size, (weights - 4_097_000, 4096), "{depth}");
        }
    }

    #[test]
    fn features_come_from_any_layer_and_sizes_are_known_before() {
        let small = r#""depth": 11, "batch_norm": true, "width": 0.05, "hidden": [6, 5]"#;
        let width = |layer: &str| {
            let config = config(&format!(r#"{{{small}, "layer": {layer}}}"#));
            let (store, (vgg, head)) = built(&config, &[2, 32, 64], 1).unwrap();
            let weights = (store.num_parameters() - head.weight.numel() - 1) as u64;
            assert_eq!(config.size(&[2, 32, 64]), (weights, vgg.width() as u64));
            let obs = Tensor::ones([2, 2, 32, 64], (Kind::Float, Device::Cpu));
            assert_eq!(vgg.features(&obs, true).size(), [2, vgg.width()]);
            vgg.width()
        };
        assert_eq!(width(r#""classifier""#), 5);
        // 512 / 20 rounded, and 7x7.
        assert_eq!(width(r#""features""#), 26 * 49);
        assert_eq!(width("0"), 3 * 32 * 64);
        assert_eq!(width("3"), 3 * 16 * 32);
        assert_eq!(width("28"), 26 * 2);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_key() {
        for (json, shape, message) in [
            (r#"{"depth": 12}"#, &[3, 64, 64][..], "depth: 12"),
            (r#"{"width": 0}"#, &[3, 64, 64], "width: 0"),
            (r#"{"pool": 0}"#, &[3, 64, 64], "pool: 0"),
            (r#"{"hidden": [0]}"#, &[3, 64, 64], "hidden[0]: 0"),
            (r#"{"dropout": 1}"#, &[3, 64, 64], "dropout: 1"),
            (
                r#"{"layer": 31}"#,
                &[3, 64, 64],
                "layer: 31 is out of range; give 0 to 30",
            ),
            (
                "{}",
                &[3, 31, 64],
                "kind: it halves images 5 times, which 31x64 is too small",
            ),
            ("{}", &[64], "kind: it reads images"),
        ] {
            let config = config(json);
            let error = built(&config, shape, 1).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert_eq!(config.size(shape), (0, 0));
        }
        let error = serde_json::from_str::<VggConfig>(r#"{"layer": "last"}"#).unwrap_err();
        assert!(
            error.to_string().contains("\"classifier\" or a number"),
            "{error}"
        );
    }

    #[test]
    fn weights_go_to_torchvision_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vgg.safetensors");
        let config = config(
            r#"{"depth": 11, "batch_norm": true, "width": 0.02, "hidden": [4, 3], "pool": 1}"#,
        );
        let (store, (vgg, _)) = built(&config, &[3, 32, 32], 2).unwrap();
        let obs = Tensor::arange(6 * 32 * 32, (Kind::Float, Device::Cpu)).view([2, 3, 32, 32]);
        let _ = vgg.features(&(&obs / 6000.0), true); // changes the running values
        store
            .export(&path, |ours| Some(config.torchvision_name(ours)))
            .unwrap();

        let rng = Seeds::new(2).stream("agent/init", 0);
        let declare = |outputs| {
            ParamStore::build(Device::Cpu, rng.clone(), |scope| {
                Vgg::new(&config, &mut scope.sub("extractor"), &[3, 32, 32])?;
                Ok(Linear::new(&mut scope.sub("head"), 3, outputs))
            })
        };
        let (mut other, _) = declare(2).unwrap();
        let all = |ours: &str| Some(config.torchvision_name(ours));
        other.import(&path, all, |_| false).unwrap();
        assert_eq!(to_vec(other.flat()), to_vec(store.flat()));
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        store.save(&ours).unwrap();
        other.save(&theirs).unwrap();
        assert!(std::fs::read(ours).unwrap() == std::fs::read(theirs).unwrap());

        // With another head: refused by name, unless it is left out.
        let (mut wider, head) = declare(5).unwrap();
        let before = to_vec(wider.flat());
        let error = wider.import(&path, all, |_| false).unwrap_err().to_string();
        let expected = "\"classifier.6.weight\" has shape [2, 3], expected [5, 3]";
        assert!(error.contains(expected), "{error}");
        assert_eq!(to_vec(wider.flat()), before);
        let but_head =
            |ours: &str| (!ours.starts_with("head.")).then(|| config.torchvision_name(ours));
        let error = wider
            .import(&path, but_head, |_| false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("\"classifier.6.bias\" is not part of"),
            "{error}"
        );
        let is_head = |theirs: &str| theirs.starts_with("classifier.6.");
        wider.import(&path, but_head, is_head).unwrap();
        let head_weights = head.weight.numel() + 5;
        let body = before.len() - head_weights;
        assert_eq!(to_vec(wider.flat())[body..], before[body..]);
        assert_eq!(to_vec(wider.flat())[..body], to_vec(store.flat())[..body]);
    }

    /// Numbers of PyTorch, where they are at hand.
    fn parity() -> Option<Value> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = std::env::var_os("THORNDIKE_DATA");
        let data = data.as_deref().unwrap_or("../shared/data".as_ref());
        let file = workspace.join(data).join("vgg_parity/vgg11.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            let line = format!("skipped: no file {}\n", file.display());
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        Some(serde_json::from_str(&text).unwrap())
    }

    /// Numbers between 0 and 1 that the file's `recipe` gives to the tensor of number `j`.
    fn uniform(j: u64) -> impl Iterator<Item = f64> {
        (0_u64..).map(move |k| {
            let mut z = (k + (j << 32) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            (z >> 11) as f64 / (1_u64 << 53) as f64
        })
    }

    /// Place of a variable in a state dict: part, entry and field.
    fn place(name: &str) -> (bool, usize, usize) {
        let fields = [
            "weight",
            "bias",
            "running_mean",
            "running_var",
            "num_batches_tracked",
        ];
        let parts: Vec<_> = name.split('.').collect();
        let field = fields.iter().position(|field| *field == parts[2]).unwrap();
        (parts[0] == "classifier", parts[1].parse().unwrap(), field)
    }

    fn numbers(value: &Value) -> Vec<f32> {
        let rows = value.as_array().unwrap();
        let number = |v: &Value| v.as_f64().unwrap() as f32;
        match rows[0].is_array() {
            true => rows.iter().flat_map(numbers).collect(),
            false => rows.iter().map(number).collect(),
        }
    }

    fn assert_near(found: &Tensor, expected: &Value, what: &str) {
        let (found, expected) = (to_vec(found), numbers(expected));
        assert_eq!(found.len(), expected.len(), "{what}");
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-4, "{what} {i}: {found} {expected}");
        }
    }

    /// Gives the variables of `store` the values of the file's `recipe`.
    fn fill(store: &ParamStore, config: &VggConfig, case: &Value) {
        let tensors = case["state_dict"].as_object().unwrap();
        let mut names: Vec<&String> = tensors.keys().collect();
        names.sort_by_key(|name| place(name));
        for (ours, shape, mut tensor) in store.tensors() {
            let name = config.torchvision_name(ours);
            let j = names.iter().position(|n| **n == name).unwrap();
            assert_eq!(shape, numbers_of_shape(&tensors[&name]), "{name}");
            let field = place(&name).2;
            let is_norm = config.batch_norm && shape.len() == 1;
            let numel: usize = shape.iter().product();
            let values = uniform(j as u64).take(numel);
            let values: Vec<f32> = match (field, shape.len()) {
                (4, _) => continue,
                (_, 2..) => {
                    let bound = (24.0 * shape[0] as f64 / numel as f64).sqrt();
                    values.map(|u| ((u - 0.5) * bound) as f32).collect()
                }
                (0 | 3, _) if is_norm => values.map(|u| (0.5 + u) as f32).collect(),
                _ => values.map(|u| ((u - 0.5) * 0.2) as f32).collect(),
            };
            tensor.copy_(&Tensor::from_slice(&values).view_as(&tensor));
        }
    }

    #[test]
    fn outputs_equal_those_of_torchvision() {
        let Some(file) = parity() else {
            return;
        };
        let input: Vec<f32> = uniform(1000)
            .take(2 * 3 * 64 * 64)
            .map(|u| ((u - 0.5) * 4.0) as f32)
            .collect();
        let obs = Tensor::from_slice(&input).view([2, 3, 64, 64]);
        for case in file["cases"].as_array().unwrap() {
            let config = VggConfig {
                depth: 11,
                batch_norm: case["batch_norm"].as_bool().unwrap(),
                ..VggConfig::default()
            };
            let expected = &case["expected"];
            let (store, (vgg, head)) = built(&config, &[3, 64, 64], 20).unwrap();
            assert_eq!(
                store.shapes().count(),
                case["state_dict"].as_object().unwrap().len()
            );
            fill(&store, &config, case);
            let embedding = vgg.features(&obs, false);
            let first = embedding.narrow(1, 0, 16);
            assert_near(&first, &expected["embedding_fc7_relu_first16"], "embedding");
            let norms = embedding
                .square()
                .sum_dim_intlist(1, false, Kind::Float)
                .sqrt();
            assert_near(&norms, &expected["embedding_fc7_l2"], "norm");
            assert_near(&head.forward(&embedding), &expected["logits"], "logits");

            let config = VggConfig {
                layer: VggLayer::Part(VggPart::Features),
                ..config
            };
            let rng = Seeds::new(1).stream("agent/init", 0);
            let (store, vgg) = ParamStore::build(Device::Cpu, rng, |scope| {
                Vgg::new(&config, &mut scope.sub("extractor"), &[3, 64, 64])
            })
            .unwrap();
            fill(&store, &config, case);
            let features = vgg.features(&obs, false);
            let first = features.narrow(1, 0, 16);
            assert_near(&first, &expected["features_first16"], "features");
            let means = features.mean_dim(1, false, Kind::Float);
            assert_near(&means, &expected["features_mean"], "mean");
        }
    }

    fn numbers_of_shape(value: &Value) -> Vec<usize> {
        let sizes = value.as_array().unwrap().iter();
        sizes.map(|n| n.as_u64().unwrap() as usize).collect()
    }
}
