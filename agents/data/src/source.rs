//! Where samples come from, as a configuration says it.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result};

use crate::formats::boxes::{self, Format};
use crate::formats::{
    characters, cifar, documents, idx, image_folder, masks, questions, sentences, sequences, table,
    tagged,
};
use crate::{
    BoxesConfig, CharactersConfig, CifarConfig, DataSet, DocumentsConfig, IdxConfig,
    ImageFolderConfig, Info, MasksConfig, QuestionsConfig, SentencesConfig, SequencesConfig,
    TableConfig, TaggedConfig,
};

/// Where samples come from: `[data]` of a configuration.
///
/// ```
/// use thorndike_data::{Part, SourceConfig, Target};
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("leaves.csv");
/// std::fs::write(&path, "length,width,kind\n5.1,3.5,oak\n4.9,3.0,elm\n").unwrap();
/// let data = format!("kind = 'table'\npath = '{}'", path.display());
/// let source: SourceConfig = toml::from_str(&data).unwrap();
/// let leaves = source.open(Part::Train).unwrap().unwrap();
/// assert_eq!(leaves.info().task.names(), ["elm", "oak"]);
/// assert_eq!(leaves.sample(0).unwrap().target, Target::Class(1));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SourceConfig {
    /// Images and labels in IDX files.
    Idx(IdxConfig),
    /// Images and labels in the binary files of CIFAR.
    Cifar(CifarConfig),
    /// JPEG and PNG pictures, a folder for each class.
    ImageFolder(ImageFolderConfig),
    /// Pictures with a class for each pixel.
    Masks(MasksConfig),
    /// Pictures with boxes around objects, in the XML files of Pascal VOC.
    Voc(BoxesConfig),
    /// Pictures with boxes around objects, in a JSON file of COCO's form.
    Coco(BoxesConfig),
    /// Pictures with boxes around objects, in the text files of YOLO.
    Yolo(BoxesConfig),
    /// CSV, a row a sample.
    Table(TableConfig),
    /// CSV, a row a sequence or a step of one.
    Sequences(SequencesConfig),
    /// Text by character.
    Characters(CharactersConfig),
    /// Sentences, alone or in pairs, with a class.
    Sentences(SentencesConfig),
    /// Words with a tag each.
    Tagged(TaggedConfig),
    /// Questions whose answers stand in a text.
    Questions(QuestionsConfig),
    /// Plain text for pre-training.
    Documents(DocumentsConfig),
}

/// Which part of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// What a model learns from.
    Train,
    /// What training is watched and stopped with.
    Validation,
    /// What is looked at once, in the end.
    Test,
}

impl SourceConfig {
    /// Opens the samples of `part`. The training part is all there is if the source has no parts; another part that
    /// the source does not have of its own is `None`.
    ///
    /// # Errors
    /// If a file is missing or damaged, with its name and the place; keys begin with `data`.
    pub fn open(&self, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
        self.check()?;
        let path = self.path();
        if !path.exists() {
            return Err(missing("path", path).under("data"));
        }
        match self {
            Self::Idx(config) => idx::open(config, part),
            Self::Cifar(config) => cifar::open(config, part),
            Self::ImageFolder(config) => image_folder::open(config, part),
            Self::Masks(config) => masks::open(config, part),
            Self::Voc(config) => boxes::open(Format::Voc, config, part),
            Self::Coco(config) => boxes::open(Format::Coco, config, part),
            Self::Yolo(config) => boxes::open(Format::Yolo, config, part),
            Self::Table(config) => table::open(config, part),
            Self::Sequences(config) => sequences::open(config, part),
            Self::Characters(config) => characters::open(config, part),
            Self::Sentences(config) => sentences::open(config, part),
            Self::Tagged(config) => tagged::open(config, part),
            Self::Questions(config) => questions::open(config, part),
            Self::Documents(config) => documents::open(config, part),
        }
        .map_err(|e| e.under("data"))
    }

    /// Samples without labels from `path`, as a model trained on data of `info` reads them: a picture or a folder of
    /// pictures, a CSV file with or without the label, a text.
    ///
    /// # Errors
    /// If a file is missing, damaged or does not go with `info`.
    pub fn unlabelled(&self, info: &Info, path: &Path) -> Result<Arc<dyn DataSet>> {
        match self {
            Self::Idx(_) | Self::Cifar(_) | Self::ImageFolder(_) => {
                image_folder::unlabelled(info, path)
            }
            Self::Masks(config) => masks::unlabelled(config, info, path),
            Self::Voc(_) | Self::Coco(_) | Self::Yolo(_) => boxes::unlabelled(info, path),
            Self::Table(config) => table::unlabelled(config, info, path),
            Self::Sequences(config) => sequences::unlabelled(config, info, path),
            Self::Characters(_) => characters::unlabelled(info, path),
            Self::Sentences(_) => sentences::unlabelled(info, path),
            Self::Tagged(_) => tagged::unlabelled(info, path),
            Self::Questions(_) => questions::unlabelled(info, path),
            Self::Documents(_) => Err(Error::Unsupported(
                "labels of a text by a model of masked words".to_owned(),
            )),
        }
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Idx(config) => &config.path,
            Self::Cifar(config) => &config.path,
            Self::ImageFolder(config) => &config.path,
            Self::Masks(config) => &config.path,
            Self::Voc(config) | Self::Coco(config) | Self::Yolo(config) => &config.path,
            Self::Table(config) => &config.path,
            Self::Sequences(config) => &config.path,
            Self::Characters(config) => &config.path,
            Self::Sentences(config) => &config.path,
            Self::Tagged(config) => &config.path,
            Self::Questions(config) => &config.path,
            Self::Documents(config) => &config.path,
        }
    }

    /// Checks what can be checked without a look at the files.
    ///
    /// # Errors
    /// [`Error::Config`] for the first value that is not accepted; its key begins with `data`.
    pub fn check(&self) -> Result<()> {
        if self.path().as_os_str().is_empty() {
            return Err(Error::config("data.path", "give a file or folder"));
        }
        match self {
            Self::Idx(_) | Self::Cifar(_) => Ok(()),
            Self::ImageFolder(config) => config.check(),
            Self::Masks(config) => config.check(),
            Self::Voc(config) | Self::Coco(config) | Self::Yolo(config) => config.check(),
            Self::Table(config) => config.check(),
            Self::Sequences(config) => config.check(),
            Self::Characters(config) => config.check(),
            Self::Sentences(config) => config.check(),
            Self::Tagged(config) => config.check(),
            Self::Questions(config) => config.check(),
            Self::Documents(config) => config.check(),
        }
        .map_err(|e: Error| e.under("data"))
    }
}

/// The error for what is not there, as `key` names it, with the command that brings it if it lies in `data`.
pub fn missing(key: &str, path: &Path) -> Error {
    let name = path
        .strip_prefix("data")
        .ok()
        .and_then(|rest| rest.iter().next());
    let hint = name.map_or_else(String::new, |name| {
        let name = Path::new(name).with_extension("");
        format!("; run scripts/data {}", name.display())
    });
    Error::config(key, format!("{} is not there{hint}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(data: &str) -> String {
        match toml::from_str::<SourceConfig>(data) {
            Ok(source) => source.open(Part::Train).unwrap_err().to_string(),
            Err(e) => e.message().to_owned(),
        }
    }

    #[test]
    fn missing_data_are_named_with_the_script_that_brings_them() {
        for (path, what) in [
            (
                "data/tabular_none/iris.csv",
                "; run scripts/data tabular_none",
            ),
            ("data/none.csv", "; run scripts/data none"),
            ("/no/such/data", ""),
            ("nothing", ""),
        ] {
            let error = error(&format!("kind = 'table'\npath = '{path}'"));
            assert_eq!(error, format!("data.path: {path} is not there{what}"));
        }
    }

    #[test]
    fn values_are_checked_with_their_keys() {
        for (data, what) in [
            ("kind = 'idx'", "data.path: give a file or folder"),
            (
                "kind = 'image-folder'\npath = '.'\nchannels = 2",
                "data.channels: 2 is out of range; give 1 or 3",
            ),
            (
                "kind = 'image-folder'\npath = '.'\nsize = [0, 2]",
                "data.size: 0 is out of range",
            ),
            ("kind = 'masks'\npath = '.'", "data.classes: give the names"),
            (
                "kind = 'table'\npath = '.'\nseparator = '\"'",
                "data.separator: '\"' cannot",
            ),
            (
                "kind = 'sequences'\npath = '.'\ntags = true",
                "data.tags: needs ids",
            ),
            (
                "kind = 'sequences'\npath = '.'\nfeatures = 0",
                "data.features: 0 is out of range",
            ),
            (
                "kind = 'characters'\npath = '.'\nvalidation = 1.0",
                "data.validation: 1 is out of range",
            ),
            (
                "kind = 'cifar'\npath = '.'\nlabel = 'fine'",
                "unknown field `label`",
            ),
            ("kind = 'tables'\npath = '.'", "unknown variant `tables`"),
        ] {
            let error = error(data);
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn files_for_a_model_of_other_data_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "id,x,label\n1,2,3\n").unwrap();
        let sources = [
            "kind = 'idx'\n",
            "kind = 'cifar'\n",
            "kind = 'image-folder'\n",
            "kind = 'masks'\nforeground = true\n",
            "kind = 'table'\n",
            "kind = 'sequences'\n",
            "kind = 'characters'\nsteps = 2\n",
        ]
        .map(|data| {
            let data = format!("{data}path = '{}'", path.display());
            toml::from_str::<SourceConfig>(&data).unwrap()
        });
        for (i, learned) in sources.iter().enumerate().skip(4) {
            let info = learned.open(Part::Train).unwrap().unwrap().info().clone();
            for (j, other) in sources.iter().enumerate() {
                assert_eq!(other.unlabelled(&info, &path).is_ok(), i == j, "{i} {j}");
            }
        }
    }

    #[test]
    fn configurations_are_read_as_written() {
        for data in [
            "kind = 'table'\npath = 'a.csv'\nlabel = 3\nwithout = ['id', 2]",
            "kind = 'cifar'\npath = 'c'\nlabels = 'coarse'",
            "kind = 'sequences'\npath = 's'\nids = 'id'\ntags = true",
            "kind = 'sentences'\npath = 's'\nvalidation = 'v'\nlabel = 'class'\nlowercase = false",
            "kind = 'tagged'\npath = 't'\ntest = 'u'",
            "kind = 'questions'\npath = 'q'\nstride = 64",
            "kind = 'documents'\npath = 'd'\nmore = ['e']\ndocument = 'block'\nmask_share = 0.2",
        ] {
            let source: SourceConfig = toml::from_str(data).unwrap();
            source.check().unwrap();
            let written = toml::to_string(&source).unwrap();
            assert_eq!(toml::from_str::<SourceConfig>(&written).unwrap(), source);
        }
    }
}
