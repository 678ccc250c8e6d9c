//! Pictures with a class for each pixel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Kind, Result};

use super::boxes::components::{instances, parts};
use super::boxes::{self, Boxes, BoxesConfig};
use super::picture::{self, Fit, Pictures, Unlabelled, pictures_in, read_numbers, size_of};
use super::{damaged, image_space, part_folder};
use crate::{DataSet, IGNORED, Info, Part, Sample, Target, Task};

/// Pictures `ID.png` (or JPEG), each with a label `ID_label.png` of the same size beside it, in `path/train/`, `path/val/`
/// and `path/test/`, or in `path` if there are no parts. A label holds a number for each pixel: grey of up to 16 bits,
/// or a palette.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MasksConfig {
    /// The folder.
    pub path: PathBuf,
    /// What the name of a label has behind that of its picture.
    pub suffix: String,
    /// 1: grey; 3: red, green, blue.
    pub channels: usize,
    /// Whether the numbers count instances: all above 0 are the class `foreground`.
    pub foreground: bool,
    /// Without `foreground`: names of the classes 0, 1, ..
    pub classes: Vec<String>,
    /// The number of pixels that are not counted.
    pub ignored: Option<u16>,
    /// Whether boxes are to be learned instead: with `foreground` one around each number above 0, else one around each
    /// connected part of a class; a class 0 called "background" has none.
    pub boxes: bool,
    /// With `boxes`: height and width that every picture is fitted into; see [`BoxesConfig`].
    pub size: Option<[usize; 2]>,
    /// Bytes of decoded pixels that are kept in memory.
    pub cache_bytes: usize,
}

impl Default for MasksConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            suffix: "_label".to_owned(),
            channels: 1,
            foreground: false,
            classes: Vec::new(),
            ignored: None,
            boxes: false,
            size: None,
            cache_bytes: 512_000_000,
        }
    }
}

impl MasksConfig {
    pub(crate) fn check(&self) -> Result<()> {
        picture::check(self.channels, self.size)?;
        if self.size.is_some() && !self.boxes {
            return Err(Error::config(
                "size",
                "is for boxes = true alone; leave it out",
            ));
        }
        if self.suffix.is_empty() {
            return Err(Error::config(
                "suffix",
                "is empty; labels need another name than pictures",
            ));
        }
        if self.foreground != self.classes.is_empty() {
            let what = "give the names of the classes, or foreground = true, and not both";
            return Err(Error::config("classes", what));
        }
        Ok(())
    }

    fn is_label(&self, path: &Path) -> bool {
        let stem = path.file_stem().unwrap_or_default();
        stem.as_encoded_bytes().ends_with(self.suffix.as_bytes())
    }
}

pub(crate) fn open(config: &MasksConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let Some(folder) = part_folder(&config.path, part)? else {
        return Ok(None);
    };
    let (labels, pictures): (Vec<_>, Vec<_>) = pictures_in(&folder)?
        .into_iter()
        .partition(|path| config.is_label(path));
    let mut without_picture: BTreeSet<PathBuf> = labels.into_iter().collect();
    let mut labels = Vec::with_capacity(pictures.len());
    for picture in &pictures {
        let mut name = picture.file_stem().unwrap_or_default().to_owned();
        name.push(&config.suffix);
        name.push(".png");
        let label = picture.with_file_name(&name);
        if !without_picture.remove(&label) {
            let what = format!(
                "has no label: there is no file {} beside it",
                name.display()
            );
            return Err(damaged(picture, what));
        }
        let (size, expected) = (size_of(&label)?, size_of(picture)?);
        if size != expected {
            let what = format!("is of {size:?} pixels, expected {expected:?} as its picture");
            return Err(damaged(&label, what));
        }
        labels.push(label);
    }
    if let Some(label) = without_picture.first() {
        return Err(damaged(
            label,
            "is a label, but its picture is not beside it",
        ));
    }
    if pictures.is_empty() {
        return Err(damaged(&folder, "there is no JPEG or PNG file in it"));
    }
    let names = match config.foreground {
        true => vec!["background".to_owned(), "foreground".to_owned()],
        false => config.classes.clone(),
    };
    let pictures = Pictures::new(pictures, config.channels, None, config.cache_bytes);
    let ([height, width], _) = pictures.largest()?;
    let info = Info {
        space: image_space(config.channels, height, width),
        scalar: Kind::U8,
        task: Task::Positions { names },
        vocabulary: Vec::new(),
        encoding: serde_json::Value::Null,
    };
    let masks = Masks {
        info,
        pictures,
        labels,
        config: config.clone(),
    };
    match config.boxes {
        true => masks.into_boxes().map(Some),
        false => Ok(Some(Arc::new(masks))),
    }
}

/// Pictures in their own size; labels among them are passed over.
pub(crate) fn unlabelled(
    config: &MasksConfig,
    info: &Info,
    path: &Path,
) -> Result<Arc<dyn DataSet>> {
    if config.boxes {
        return boxes::unlabelled(info, path);
    }
    let skip = |file: &Path| file != path && config.is_label(file);
    Ok(Arc::new(Unlabelled::open(info, path, |_| Fit::Own, skip)?))
}

#[derive(Debug)]
struct Masks {
    info: Info,
    pictures: Pictures,
    labels: Vec<PathBuf>,
    config: MasksConfig,
}

impl Masks {
    /// The same pictures with boxes around what the masks show.
    fn into_boxes(self) -> Result<Arc<dyn DataSet>> {
        let names = self.info.task.names();
        let background = usize::from(names[0] == "background");
        let (mut sizes, mut objects) = (Vec::new(), Vec::new());
        for (index, label) in self.labels.iter().enumerate() {
            let size = size_of(label)?;
            sizes.push(size);
            objects.push(match self.config.foreground {
                true => instances(&read_numbers(label)?.0, size[1]),
                false => parts(&self.positions(index, size)?, size[1], |class| {
                    usize::try_from(class).ok()?.checked_sub(background)
                }),
            });
        }
        let config = BoxesConfig {
            size: self.config.size,
            channels: self.config.channels,
            cache_bytes: self.config.cache_bytes,
            ..BoxesConfig::default()
        };
        let names = names[background..].to_vec();
        let boxes = Boxes::of(
            &config,
            names,
            self.pictures.files,
            &sizes,
            objects,
            Vec::new(),
        )?;
        Ok(Arc::new(boxes))
    }

    /// The class of each pixel.
    fn positions(&self, index: usize, size: [usize; 2]) -> Result<Vec<i32>> {
        let path = &self.labels[index];
        let (numbers, found) = read_numbers(path)?;
        if found != size {
            let what = format!("is of {found:?} pixels, expected {size:?} as its picture");
            return Err(damaged(path, what));
        }
        let classes = self.info.task.names().len();
        let class = |(at, number): (usize, u16)| {
            if self.config.ignored == Some(number) {
                return Ok(IGNORED);
            }
            let class = match self.config.foreground {
                true => u16::from(number > 0),
                false => number,
            };
            if usize::from(class) < classes {
                return Ok(class.into());
            }
            let (row, column, last) = (at / size[1], at % size[1], classes - 1);
            let what =
                format!("row {row}, column {column}: the class is {class}, expected 0 to {last}");
            Err(damaged(path, what))
        };
        numbers.into_iter().enumerate().map(class).collect()
    }
}

impl DataSet for Masks {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let pixels = self.pictures.read(index)?;
        let positions = self.positions(index, pixels.size)?;
        Ok(pixels.into_sample(self.config.channels, Target::Positions(positions)))
    }

    fn origin(&self, index: usize) -> String {
        self.pictures.files[index].display().to_string()
    }

    fn class(&self, _: usize) -> Result<Option<usize>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, ImageBuffer, Luma};

    use super::*;
    use crate::formats::tests::real;
    use crate::{Object, SourceConfig, Values};

    /// Picture `a` of 2 x 3 pixels, in `train`, with the label 0, 1, 2, 3, 4, 300 of 16 bits.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let train = folder.path().join("train");
        fs::create_dir(&train).unwrap();
        let pixels = GrayImage::from_vec(3, 2, vec![9, 8, 7, 6, 5, 4]).unwrap();
        pixels.save(train.join("a.png")).unwrap();
        let numbers = vec![0_u16, 1, 2, 3, 4, 300];
        let label: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_vec(3, 2, numbers).unwrap();
        label.save(train.join("a_label.png")).unwrap();
        folder
    }

    fn config(folder: &Path, classes: &[&str]) -> MasksConfig {
        MasksConfig {
            path: folder.to_owned(),
            foreground: classes.is_empty(),
            classes: classes.iter().map(|&name| name.to_owned()).collect(),
            ..MasksConfig::default()
        }
    }

    #[test]
    fn instances_become_foreground() {
        let folder = folder();
        let set = open(&config(folder.path(), &[]), Part::Train)
            .unwrap()
            .unwrap();
        let sample = set.sample(0).unwrap();
        assert_eq!((set.len(), sample.shape), (1, vec![1, 2, 3]));
        assert_eq!(sample.values, Values::U8(vec![9, 8, 7, 6, 5, 4]));
        assert_eq!(sample.target, Target::Positions(vec![0, 1, 1, 1, 1, 1]));
        assert_eq!(set.info().task.names(), ["background", "foreground"]);
        assert_eq!(set.info().space, image_space(1, 2, 3));
    }

    #[test]
    fn a_number_without_class_is_refused_with_its_place() {
        let folder = folder();
        let mut config = config(folder.path(), &["a", "b", "c", "d", "e"]);
        let set = open(&config, Part::Train).unwrap().unwrap();
        let error = set.sample(0).unwrap_err().to_string();
        let what = "a_label.png: row 1, column 2: the class is 300, expected 0 to 4";
        assert!(error.ends_with(what), "{error}");
        config.ignored = Some(300);
        let set = open(&config, Part::Train).unwrap().unwrap();
        let positions = vec![0, 1, 2, 3, 4, IGNORED];
        assert_eq!(set.sample(0).unwrap().target, Target::Positions(positions));
    }

    #[test]
    fn picture_and_label_come_in_pairs_of_one_size() {
        let folder = folder();
        let (config, train) = (config(folder.path(), &[]), folder.path().join("train"));
        let error = || open(&config, Part::Train).unwrap_err().to_string();
        let label = train.join("a_label.png");
        GrayImage::new(2, 2).save(&label).unwrap();
        assert!(error().ends_with("is of [2, 2] pixels, expected [2, 3] as its picture"));
        fs::rename(&label, train.join("b_label.png")).unwrap();
        assert!(error().contains("a.png: has no label: there is no file a_label.png"));
        fs::remove_file(train.join("a.png")).unwrap();
        assert!(error().contains("b_label.png: is a label"));
    }

    #[test]
    fn pictures_to_predict_keep_their_size_and_labels_are_passed_over() {
        let folder = folder();
        let source = SourceConfig::Masks(config(folder.path(), &[]));
        let info = source.open(Part::Train).unwrap().unwrap().info().clone();
        let more = folder.path().join("train/z.png");
        GrayImage::new(5, 7).save(more).unwrap();
        let set = source
            .unlabelled(&info, &folder.path().join("train"))
            .unwrap();
        assert_eq!(set.len(), 2);
        assert_eq!(set.sample(1).unwrap().shape, [1, 7, 5]);
        assert_eq!(set.sample(0).unwrap().target, Target::Unknown);
    }

    #[test]
    fn boxes_are_those_of_numbers_or_of_parts_of_classes() {
        let folder = folder();
        let mut config = config(folder.path(), &[]);
        config.boxes = true;
        let set = open(&config, Part::Train).unwrap().unwrap();
        assert_eq!(set.info().task.names(), ["foreground"]);
        let Target::Boxes(objects) = set.sample(0).unwrap().target else {
            panic!("boxes")
        };
        assert_eq!(objects.len(), 5);
        assert_eq!(objects[4], Object::new(0, [2.0, 1.0, 3.0, 2.0]));
        config.foreground = false;
        config.classes = ["background", "a", "b", "c", "d"]
            .map(str::to_owned)
            .to_vec();
        config.ignored = Some(300);
        config.size = Some([4, 6]);
        let set = open(&config, Part::Train).unwrap().unwrap();
        let sample = set.sample(0).unwrap();
        let Target::Boxes(objects) = sample.target else {
            panic!("boxes")
        };
        assert_eq!((objects.len(), sample.shape), (4, vec![1, 4, 6]));
        // Twice as large: number 4 is the pixel in the middle of the second row.
        assert_eq!(objects[3], Object::new(3, [2.0, 2.0, 4.0, 4.0]));
    }

    #[test]
    fn nuclei_have_4251_and_1070_boxes() {
        let Some(folder) = real("nuclei") else {
            return;
        };
        let mut config = config(&folder, &[]);
        config.boxes = true;
        for (part, expected) in [
            (Part::Train, "150 pictures; boxes: foreground 4251"),
            (Part::Validation, "40 pictures; boxes: foreground 1070"),
        ] {
            let set = open(&config, part).unwrap().unwrap();
            assert_eq!(set.notes(), [expected]);
        }
    }

    #[test]
    fn nuclei_cover_7_4_percent_of_150_and_40_pictures() {
        let Some(folder) = real("nuclei") else {
            return;
        };
        let open = |part| open(&config(&folder, &[]), part).unwrap().unwrap();
        let (train, validation) = (open(Part::Train), open(Part::Validation));
        assert_eq!((train.len(), validation.len()), (150, 40));
        let (mut foreground, mut pixels) = (0, 0);
        for (set, i) in (0..150)
            .map(|i| (&train, i))
            .chain((0..40).map(|i| (&validation, i)))
        {
            let sample = set.sample(i).unwrap();
            assert_eq!(sample.shape, [1, 256, 256]);
            let Target::Positions(positions) = sample.target else {
                panic!("masks have positions")
            };
            foreground += positions.iter().sum::<i32>();
            pixels += positions.len();
        }
        let share = f64::from(foreground) / pixels as f64;
        assert!((share - 0.074).abs() < 0.0005, "foreground {share}");
    }
}
