//! YOLO: objects in pictures, found in one pass: images `[batch, channels, height, width]` -> boxes with a class each.
//!
//! | file | what |
//! |---|---|
//! | here | settings, backbone, feature pyramid, and what is common to both heads |
//! | [`anchor_free`] | the modern head: which place of which map learns which object, and the losses |
//! | [`grid`] | the original head: cells, and their loss |

mod anchor_free;
mod grid;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use thorndike_core::{Error, Result, check_range};
use thorndike_data::boxes::nms;
use thorndike_data::{Detection, Object};

pub use anchor_free::AnchorFreeConfig;
pub use grid::GridConfig;

use super::CspConfig;
use super::cnn::image;
use super::csp::{Pass, Unit};
use crate::extractor::Inputs;
use crate::handoff::{backbone_again, build_backbone};
use crate::input::float_shape;
use crate::layers::{Conv, Window};
use crate::{ExtractorConfig, FeatureExtractor, Scope};

/// Settings of [`Yolo`]. The default is `nano`, an anchor-free detector of 0.4 M weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct YoloConfig {
    /// What makes maps of features out of an image: `"csp"`, `"cnn"`, `"vgg"`, or `"pretrained"`, the convolutions of such a
    /// model that `thorndike fit` left. Default `"csp"` with its own defaults.
    pub backbone: Box<ExtractorConfig>,
    /// What finds objects in the maps.
    pub head: HeadConfig,
    /// Classes of objects; 0, the default: as many as the data has.
    pub classes: usize,
    /// Detections that are less sure are left out. Default 0.001.
    pub score_from: f64,
    /// Of two detections of a class that overlap by a larger intersection over union, the surer one stays. Default 0.6.
    pub overlap: f64,
    /// Whether this holds for detections of two classes, too. Default false.
    pub agnostic: bool,
    /// The most detections in a picture. Default 100, as many as COCO scores.
    pub most: usize,
    /// Detections of each class that an agent gets to see. Default 2.
    pub seen: usize,
}

impl Default for YoloConfig {
    fn default() -> Self {
        Self {
            backbone: Box::new(ExtractorConfig::Csp(CspConfig::default())),
            head: HeadConfig::AnchorFree(AnchorFreeConfig::default()),
            classes: 0,
            score_from: 0.001,
            overlap: 0.6,
            agnostic: false,
            most: 100,
            seen: 2,
        }
    }
}

/// What finds objects in maps of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum HeadConfig {
    /// Each place of maps of several sizes says how far the edges of an object around it are.
    AnchorFree(AnchorFreeConfig),
    /// Each cell of one grid says a few boxes whose middles are in it.
    Grid(GridConfig),
}

impl HeadConfig {
    /// Pixels from place to place of each map that is read, ascending.
    fn strides(&self) -> &[usize] {
        match self {
            Self::AnchorFree(config) => &config.strides,
            Self::Grid(config) => std::slice::from_ref(&config.stride),
        }
    }
}

/// Numbers of the features of a detection that an agent sees.
const SEEN_NUMBERS: usize = 5;

impl YoloConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        match &self.head {
            HeadConfig::AnchorFree(config) => config.check(),
            HeadConfig::Grid(config) => config.check(),
        }
        .map_err(|e| e.under("head"))?;
        check_range("classes", self.classes, 0..=100_000)?;
        check_range("score_from", self.score_from, 0.0..=1.0)?;
        check_range("overlap", self.overlap, 0.0..=1.0)?;
        check_range("most", self.most, 1..=100_000)?;
        check_range("seen", self.seen, 1..=100)
    }

    /// This for data of so many classes.
    ///
    /// # Errors
    /// [`Error::Config`] if it is for another number.
    pub fn of_classes(&self, classes: usize) -> Result<Self> {
        if self.classes != 0 && self.classes != classes {
            let what = format!("{} are not the {classes} of the data; give 0", self.classes);
            return Err(Error::config("classes", what));
        }
        Ok(Self {
            classes,
            ..self.clone()
        })
    }

    /// This as a network that has its weights already is built.
    pub(crate) fn settled(&self) -> Result<Self> {
        let backbone = backbone_again(&self.backbone).map_err(|e| e.under("backbone"))?;
        Ok(Self {
            backbone: Box::new(backbone),
            ..self.clone()
        })
    }

    /// Weights for observations of `inputs`, and the features they give; 0 where [`Yolo::new`] would refuse.
    pub(crate) fn size(&self, inputs: &Inputs<'_>) -> (u64, u64) {
        let sized = || {
            let backbone = backbone_again(&self.backbone)?;
            let shapes = backbone.map_shapes();
            let channels = self.chosen(&shapes)?.map(|i| shapes[i][1]);
            let weights = match &self.head {
                HeadConfig::AnchorFree(config) => config.weights(channels, self.classes),
                HeadConfig::Grid(config) => config.weights(channels, self.classes),
            };
            let width = self.classes * self.seen * SEEN_NUMBERS;
            Ok::<_, Error>((backbone.size(inputs).0 + weights, width as u64))
        };
        sized().unwrap_or_default()
    }

    /// Shape of a [`map`](Yolo::map) of an image of that height and width, `centred` around a detection or not.
    pub(crate) fn map_shape(&self, size: [i64; 2], centred: bool) -> [i64; 3] {
        let stride = self.head.strides().first().map_or(1, |&stride| stride);
        let [rows, columns] = size.map(|n| {
            let places = n / stride.max(1) as i64;
            // All of the picture lies within while the middle is half a place or more from its edges.
            if centred { 2 * places - 1 } else { places }
        });
        [self.classes as i64, rows, columns]
    }

    /// Which maps of a backbone are read, the finest first.
    fn chosen<'a>(&'a self, shapes: &'a [[usize; 2]]) -> Result<impl Iterator<Item = usize> + 'a> {
        let place = |&stride: &usize| shapes.iter().position(|shape| shape[0] == stride);
        for stride in self.head.strides() {
            if place(stride).is_none() {
                let known: Vec<String> = shapes.iter().map(|shape| shape[0].to_string()).collect();
                let what = format!(
                    "the backbone has no map of every {stride}th pixel; it has {}",
                    known.join(", ")
                );
                return Err(Error::config("head.strides", what));
            }
        }
        Ok(self.head.strides().iter().filter_map(place))
    }
}

/// A map of places, each in the middle of a square of `stride` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Pixels from place to place.
    pub stride: usize,
    /// Places below one another.
    pub rows: usize,
    /// Places side by side.
    pub columns: usize,
}

impl Level {
    fn places(&self) -> usize {
        self.rows * self.columns
    }
}

/// What a detector's layers say of images.
#[derive(Debug)]
pub struct Looked {
    /// `[batch, places, numbers]`, level by level, row by row.
    pub numbers: Tensor,
    /// The maps that the places are of.
    pub levels: Vec<Level>,
    /// Height and width of an image.
    pub size: [usize; 2],
}

/// Finds objects.
///
/// [`features`](FeatureExtractor::features) are what an agent sees of them: for each class the surest ones, five numbers
/// each: how sure, then middle across and down, width and height as shares of the picture; zeros where there are no more.
///
/// # Reference
/// The original: Redmon et al., "You Only Look Once: Unified, Real-Time Object Detection" (2016). The anchor-free one: a
/// feature pyramid of Lin et al., "Feature Pyramid Networks for Object Detection" (2017), with branches for boxes and
/// classes of their own as in Ge et al., "YOLOX" (2021), and the losses that [`AnchorFreeConfig`] names. Deviations: there
/// is no path back down the pyramid; sizes are those of a network that trains in minutes on a processor.
#[derive(Debug)]
pub struct Yolo {
    config: YoloConfig,
    backbone: Box<dyn FeatureExtractor>,
    /// Which of its maps are read, and their strides.
    read: Vec<(usize, usize)>,
    head: Head,
    image: [i64; 3],
}

#[derive(Debug)]
enum Head {
    AnchorFree(anchor_free::Head),
    Grid(grid::Head),
}

impl Yolo {
    /// Declares `backbone.*` and `head.*` in `scope`, for observations of `inputs`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or the backbone does not make the maps that are needed.
    pub fn new(config: &YoloConfig, scope: &mut Scope<'_>, inputs: &Inputs<'_>) -> Result<Self> {
        config.check()?;
        if config.classes == 0 {
            let what = "a detector is trained on pictures with boxes first; take it with kind = \"pretrained\"";
            return Err(Error::config("kind", what));
        }
        let image = image(&float_shape(inputs.space))?;
        let backbone = build_backbone(&config.backbone, &mut scope.sub("backbone"), inputs)
            .map_err(|e| e.under("backbone"))?;
        let shapes = backbone_again(&config.backbone)?.map_shapes();
        let read: Vec<(usize, usize)> =
            config.chosen(&shapes)?.map(|i| (i, shapes[i][0])).collect();
        let channels = read.iter().map(|&(i, _)| shapes[i][1]);
        let scope = &mut scope.sub("head");
        let head = match &config.head {
            HeadConfig::AnchorFree(head) => Head::AnchorFree(anchor_free::Head::new(
                head,
                scope,
                channels,
                config.classes,
            )),
            HeadConfig::Grid(head) => {
                Head::Grid(grid::Head::new(head, scope, channels, config.classes))
            }
        };
        Ok(Self {
            config: config.clone(),
            backbone,
            read,
            head,
            image: image.map(|n| n as i64),
        })
    }

    /// Mean loss of an image in which `objects` are, `[]`.
    ///
    /// # Panics
    /// If there are not as many lists as images.
    pub fn loss(&self, looked: &Looked, objects: &[Vec<Object>]) -> Tensor {
        assert_eq!(
            objects.len() as i64,
            looked.numbers.size()[0],
            "a list an image"
        );
        match (&self.head, &self.config.head) {
            (Head::AnchorFree(head), HeadConfig::AnchorFree(config)) => {
                head.loss(config, looked, objects)
            }
            (Head::Grid(head), HeadConfig::Grid(config)) => head.loss(config, looked, objects),
            _ => unreachable!("the head is that of the settings"),
        }
    }

    /// What is found in each image, the surest first.
    pub fn detections(&self, looked: &Looked) -> Vec<Vec<Detection>> {
        let from = self.config.score_from as f32;
        let mut all = match &self.head {
            Head::AnchorFree(head) => head.detections(looked, from),
            Head::Grid(head) => head.detections(looked, from),
        };
        let YoloConfig {
            overlap,
            agnostic,
            most,
            ..
        } = self.config;
        for found in &mut all {
            nms(found, overlap as f32, !agnostic, most);
        }
        all
    }

    /// What is found in images as maps `[batch, classes, height / stride, width / stride]` with the finest stride of the head:
    /// in each place of each class how sure the surest detection is in whose box the place's middle lies, 0 if there is none.
    ///
    /// With the class `centre`, one place less than twice as high and wide: the middle place lies in the middle of the surest
    /// detection of that class, or of the picture if there is none. Of what the picture's edge cuts off, only the rest has been
    /// seen, and its middle is that of the rest.
    pub fn map(&self, looked: &Looked, centre: Option<usize>) -> Tensor {
        let found = self.detections(looked);
        let [classes, rows, columns] = self.map_shape(centre.is_some());
        let len = (classes * rows * columns) as usize;
        let mut maps = vec![0.0; found.len() * len];
        for (found, map) in found.iter().zip(maps.chunks_exact_mut(len)) {
            self.paint(found, centre, map);
        }
        Tensor::from_slice(&maps)
            .view([-1, classes, rows, columns])
            .to_device(looked.numbers.device())
    }

    /// Shape of a [`map`](Self::map), without the batch, `centred` on a class or not.
    pub fn map_shape(&self, centred: bool) -> [i64; 3] {
        let [_, height, width] = self.image;
        self.config.map_shape([height, width], centred)
    }

    /// Where the first place of a map lies, across and down in pixels.
    fn origin(&self, found: &[Detection], centre: Option<usize>) -> [f32; 2] {
        let stride = self.read[0].1 as f32;
        let Some(centre) = centre else {
            return [stride / 2.0; 2];
        };
        // The surest come first.
        let surest = found.iter().find(|found| found.class == centre);
        let [_, height, width] = self.image.map(|n| n as f32);
        let [x1, y1, x2, y2] = surest.map_or([0.0, 0.0, width, height], |found| found.bounds);
        let [_, rows, columns] = self.map_shape(true).map(|n| (n / 2) as f32);
        [
            (x1 + x2) / 2.0 - stride * columns,
            (y1 + y2) / 2.0 - stride * rows,
        ]
    }

    /// As [`map`](Self::map) has them.
    fn paint(&self, found: &[Detection], centre: Option<usize>, map: &mut [f32]) {
        let [_, rows, columns] = self.map_shape(centre.is_some()).map(|n| n as usize);
        let stride = self.read[0].1 as f32;
        let [x, y] = self.origin(found, centre);
        // The first place whose middle an edge does not lie behind.
        let place = |edge: f32, first: f32, most: usize| {
            (((edge - first) / stride).ceil().max(0.0) as usize).min(most)
        };
        for detection in found {
            let [x1, y1, x2, y2] = detection.bounds;
            let (left, right) = (place(x1, x, columns), place(x2, x, columns));
            for row in place(y1, y, rows)..place(y2, y, rows) {
                let start = (detection.class * rows + row) * columns;
                for sure in &mut map[start + left..start + right.max(left)] {
                    *sure = sure.max(detection.score);
                }
            }
        }
    }

    /// As [`features`](FeatureExtractor::features) has them.
    fn seen(&self, found: &[Detection], out: &mut [f32]) {
        let [_, height, width] = self.image.map(|n| n as f32);
        let seen = self.config.seen;
        let mut counts = vec![0; self.config.classes];
        for &Detection {
            class,
            score,
            bounds: [x1, y1, x2, y2],
        } in found
        {
            let place = counts[class];
            if place < seen {
                counts[class] += 1;
                let middle = [(x1 + x2) / 2.0 / width, (y1 + y2) / 2.0 / height];
                let size = [(x2 - x1) / width, (y2 - y1) / height];
                let row = [score, middle[0], middle[1], size[0], size[1]];
                let start = (class * seen + place) * SEEN_NUMBERS;
                out[start..start + SEEN_NUMBERS].copy_from_slice(&row);
            }
        }
    }
}

/// Pixels of an image from which on each one goes through the layers alone: what lies between them then stays in the cache,
/// which is a third faster than eight together (`cargo bench -p thorndike-nets --bench models -- detect`).
const ALONE_FROM: i64 = 1 << 15;

impl FeatureExtractor for Yolo {
    fn features(&self, obs: &Tensor, _train: bool) -> Tensor {
        let [channels, height, width] = self.image;
        let images = obs.view([-1, channels, height, width]);
        let looked = tch::no_grad(|| self.look(&images, false)).expect("a detector looks");
        let found = self.detections(&looked);
        let len = self.width() as usize;
        let mut rows = vec![0.0; found.len() * len];
        for (found, row) in found.iter().zip(rows.chunks_exact_mut(len)) {
            self.seen(found, row);
        }
        Tensor::from_slice(&rows)
            .view([found.len() as i64, len as i64])
            .to_device(obs.device())
    }

    fn width(&self) -> i64 {
        (self.config.classes * self.config.seen * SEEN_NUMBERS) as i64
    }

    fn detector(&self) -> Option<&Yolo> {
        Some(self)
    }

    fn look(&self, images: &Tensor, train: bool) -> Option<Looked> {
        let size = images.size();
        let is_large = size[2] * size[3] >= ALONE_FROM && images.device() == tch::Device::Cpu;
        let pass = Pass::of(train, self.head.probe());
        if pass == Pass::Fused && is_large && size[0] > 1 {
            let each = (0..size[0]).map(|i| self.look(&images.narrow(0, i, 1), false));
            let each: Vec<Looked> = each.collect::<Option<_>>()?;
            let numbers: Vec<&Tensor> = each.iter().map(|looked| &looked.numbers).collect();
            return Some(Looked {
                numbers: Tensor::cat(&numbers, 0),
                levels: each[0].levels.clone(),
                size: each[0].size,
            });
        }
        let size = [size[2], size[3]].map(|n| n as usize);
        let all = self.backbone.maps(images, train)?;
        let maps = self.read.iter().map(|&(i, _)| &all[i]);
        let maps: Vec<&Tensor> = maps.collect();
        let levels = self.read.iter().zip(&maps).map(|(&(_, stride), map)| {
            let size = map.size();
            Level {
                stride,
                rows: size[2] as usize,
                columns: size[3] as usize,
            }
        });
        let levels = levels.collect();
        let numbers = match &self.head {
            Head::AnchorFree(head) => head.forward(&maps, pass),
            Head::Grid(head) => head.forward(maps[0], pass),
        };
        Some(Looked {
            numbers,
            levels,
            size,
        })
    }
}

impl Head {
    fn probe(&self) -> &Tensor {
        match self {
            Self::AnchorFree(head) => head.probe(),
            Self::Grid(head) => head.probe(),
        }
    }
}

/// A convolution of 3x3 and one of 1x1 without nonlinearity.
#[derive(Debug)]
struct Branch {
    unit: Unit,
    last: Conv,
}

impl Branch {
    /// Declares `0` and `1` in `scope`; the last biases are `bias` at first.
    fn new(scope: &mut Scope<'_>, inputs: usize, width: usize, bias: &[f32]) -> Self {
        Self {
            unit: Unit::new(&mut scope.sub("0"), inputs, width, 3, 1),
            last: {
                let scope = &mut scope.sub("1");
                let mut last = Conv::of_window(scope, width, bias.len(), Window::square(1, 1, 0));
                last.bias.copy_(&Tensor::from_slice(bias));
                last
            },
        }
    }

    fn weights(inputs: usize, width: usize, outputs: usize) -> u64 {
        Unit::weights(inputs, width, 3) + ((width + 1) * outputs) as u64
    }

    /// `[batch, inputs, height, width] -> [batch, height * width, outputs]`.
    fn forward(&self, x: &Tensor, pass: Pass) -> Tensor {
        let x = self.last.forward(&self.unit.forward(x, pass)); // [batch, outputs, height, width]
        x.flatten(2, 3).transpose(1, 2)
    }
}

/// The values of `numbers` in row order.
fn values(numbers: &Tensor) -> Vec<f32> {
    crate::params::to_vec(&numbers.contiguous())
}

/// Numbers as a tensor of that shape, beside `like`.
fn beside(like: &Tensor, values: &[f32], shape: &[i64]) -> Tensor {
    Tensor::from_slice(values)
        .view(shape)
        .to_device(like.device())
}

#[cfg(test)]
mod tests;
