//! Pictures in a folder for each class.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use thorndike_core::{Kind, Result};

use super::picture::{self, Fit, Pictures, Unlabelled, entries, pictures_in};
use super::{damaged, image_space, part_folder, some_of};
use crate::{DataSet, Info, Part, Sample, Target, Task};

/// JPEG and PNG pictures in `path/train/<class>/`, `path/val/<class>/` and `path/test/<class>/`, or in `path/<class>/` if
/// there are no parts. Classes and pictures are in the order of their names. Hidden and other files are passed over, and
/// a picture is not turned as its EXIF data may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageFolderConfig {
    /// The folder.
    pub path: PathBuf,
    /// Height and width that every picture is resized to; each keeps its own without it.
    pub size: Option<[usize; 2]>,
    /// 1: grey; 3: red, green, blue.
    pub channels: usize,
    /// Bytes of decoded pixels that are kept in memory.
    pub cache_bytes: usize,
    /// Decode all pictures at the start, and leave those out that are damaged, instead of stopping at the first one.
    pub skip_damaged: bool,
}

impl Default for ImageFolderConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            size: None,
            channels: 3,
            cache_bytes: 512_000_000,
            skip_damaged: false,
        }
    }
}

impl ImageFolderConfig {
    pub(crate) fn check(&self) -> Result<()> {
        picture::check(self.channels, self.size)
    }
}

pub(crate) fn open(config: &ImageFolderConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let Some(folder) = part_folder(&config.path, part)? else {
        return Ok(None);
    };
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    // The classes are those of the training part, whichever part is opened.
    let train = part_folder(&config.path, Part::Train)?.unwrap_or_else(|| config.path.clone());
    let mut names: Vec<String> = Vec::new();
    for path in entries(&train)? {
        if path.is_dir() {
            names.push(name(&path));
        }
    }
    if names.is_empty() {
        return Err(damaged(
            &train,
            "expected a folder for each class in it, found none",
        ));
    }
    let (mut files, mut classes) = (Vec::new(), Vec::new());
    for path in entries(&folder)?.into_iter().filter(|path| path.is_dir()) {
        let Some(class) = names.iter().position(|known| *known == name(&path)) else {
            let what = format!(
                "is no class of the training part; classes: {}",
                some_of(&names)
            );
            return Err(damaged(&path, what));
        };
        for file in pictures_in(&path)? {
            files.push(file);
            classes.push(class);
        }
    }
    if config.skip_damaged {
        let sound = sound(&files, config)?;
        let kept = files.into_iter().zip(classes).zip(sound);
        (files, classes) = kept
            .filter_map(|(pair, sound)| sound.then_some(pair))
            .unzip();
    }
    if files.is_empty() {
        return Err(damaged(
            &folder,
            "there is no JPEG or PNG file in the folders of its classes",
        ));
    }
    let pictures = Pictures::new(files, config.channels, config.size, config.cache_bytes);
    let ([height, width], equal) = pictures.largest()?;
    let info = Info {
        space: image_space(config.channels, height, width),
        scalar: Kind::U8,
        task: Task::Classes { names },
        vocabulary: Vec::new(),
        encoding: json!({ "resize": equal }),
    };
    Ok(Some(Arc::new(ImageFolder {
        info,
        pictures,
        channels: config.channels,
        classes,
    })))
}

/// Which of `files` can be decoded; counts and names the others on the standard error output.
fn sound(files: &[PathBuf], config: &ImageFolderConfig) -> Result<Vec<bool>> {
    let mut sound = Vec::with_capacity(files.len());
    for file in files {
        let read = picture::read(file, config.channels, config.size);
        if let Err(e) = &read {
            eprintln!("left out: {e}");
        }
        sound.push(read.is_ok());
    }
    let damaged = sound.iter().filter(|&&sound| !sound).count();
    if damaged > 0 {
        eprintln!(
            "{damaged} of {} pictures are damaged and left out",
            files.len()
        );
    }
    Ok(sound)
}

/// Pictures as the model of `info` reads them: resized if all of its training pictures were of one size.
pub(crate) fn unlabelled(info: &Info, path: &Path) -> Result<Arc<dyn DataSet>> {
    let resize = info
        .encoding
        .get("resize")
        .is_none_or(|resize| resize == true);
    let fit = |size| if resize { Fit::Stretch(size) } else { Fit::Own };
    Ok(Arc::new(Unlabelled::open(info, path, fit, |_| false)?))
}

#[derive(Debug)]
struct ImageFolder {
    info: Info,
    pictures: Pictures,
    channels: usize,
    classes: Vec<usize>,
}

impl DataSet for ImageFolder {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.classes.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let pixels = self.pictures.read(index)?;
        Ok(pixels.into_sample(self.channels, Target::Class(self.classes[index])))
    }

    fn origin(&self, index: usize) -> String {
        self.pictures.files[index].display().to_string()
    }

    fn class(&self, index: usize) -> Result<Option<usize>> {
        Ok(Some(self.classes[index]))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::formats::picture::tests::colours;
    use crate::formats::tests::real;
    use crate::{SourceConfig, Values};

    fn save(folder: &Path, name: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        colours().save(path).unwrap();
    }

    fn config(folder: &Path) -> ImageFolderConfig {
        ImageFolderConfig {
            path: folder.to_owned(),
            ..ImageFolderConfig::default()
        }
    }

    #[test]
    fn classes_and_pictures_are_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/2.png", "b/1.jpg", "a/9.JPEG", ".hidden/1.png"] {
            save(folder.path(), name);
        }
        fs::write(folder.path().join("a/notes.txt"), "no picture").unwrap();
        let set = open(&config(folder.path()), Part::Train).unwrap().unwrap();
        assert!(open(&config(folder.path()), Part::Test).unwrap().is_none());
        assert_eq!(set.info().task.names(), ["a", "b"]);
        let classes: Vec<_> = (0..set.len()).map(|i| set.class(i).unwrap()).collect();
        assert_eq!(classes, [Some(0), Some(1), Some(1)]);
        assert!(set.origin(1).ends_with("1.jpg"));
        assert_eq!(set.sample(2).unwrap().shape, [3, 3, 4]);
        assert_eq!(set.info().space, image_space(3, 3, 4));
    }

    #[test]
    fn parts_have_the_classes_of_training() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "train/a/1.png",
            "train/b/1.png",
            "val/b/1.png",
            "test/c/1.png",
        ] {
            save(folder.path(), name);
        }
        let config = config(folder.path());
        let validation = open(&config, Part::Validation).unwrap().unwrap();
        assert_eq!(validation.class(0).unwrap(), Some(1));
        let error = open(&config, Part::Test).unwrap_err().to_string();
        assert!(
            error.ends_with("c: is no class of the training part; classes: a, b"),
            "{error}"
        );
    }

    #[test]
    fn a_damaged_picture_is_named_or_left_out() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "a/1.png");
        save(folder.path(), "a/2.png");
        let path = folder.path().join("a/1.png");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        let mut config = config(folder.path());
        config.size = Some([2, 2]);
        let set = open(&config, Part::Train).unwrap().unwrap();
        assert!(set.sample(0).unwrap_err().to_string().contains("1.png"));
        config.skip_damaged = true;
        let set = open(&config, Part::Train).unwrap().unwrap();
        assert_eq!(set.len(), 1);
        assert!(set.origin(0).ends_with("2.png"));
    }

    #[test]
    fn pictures_to_predict_are_resized_as_those_learned_from() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), "a/1.png");
        let mut config = config(folder.path());
        (config.size, config.channels) = (Some([6, 2]), 1);
        let source = SourceConfig::ImageFolder(config);
        let info = source.open(Part::Train).unwrap().unwrap().info().clone();
        for path in ["a/1.png", "a"] {
            let set = source.unlabelled(&info, &folder.path().join(path)).unwrap();
            let sample = set.sample(0).unwrap();
            assert_eq!(
                (sample.shape, sample.target),
                (vec![1, 6, 2], Target::Unknown)
            );
            assert!(matches!(sample.values, Values::U8(v) if v.len() == 12));
        }
    }

    #[test]
    fn pictures_of_cameras_are_decoded() {
        let Some(folder) = real("bccd/JPEGImages") else {
            return;
        };
        let info = Info {
            space: image_space(3, 48, 64),
            scalar: Kind::U8,
            task: Task::Classes { names: Vec::new() },
            vocabulary: Vec::new(),
            encoding: serde_json::Value::Null,
        };
        let set = unlabelled(&info, &folder).unwrap();
        assert_eq!(set.len(), 292);
        for i in (0..set.len()).step_by(20) {
            assert_eq!(set.sample(i).unwrap().shape, [3, 48, 64]);
        }
    }
}
