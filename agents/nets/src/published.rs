//! Checkpoints of BERT as Hugging Face's `transformers` writes and reads them: a folder with `config.json`,
//! `model.safetensors`, and `vocab.txt` or `tokenizer.json`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use thorndike_core::{Error, Result};
use thorndike_data::{Info, Task};

use crate::handoff::{ModelFile, Which, find_model};
use crate::models::BertConfig;
use crate::supervised::WEIGHTS;
use crate::{ExtractorConfig, ParamStore, tensor_file};

/// Settings of a published checkpoint.
const CONFIG: &str = "config.json";
/// Its weights.
const MODEL: &str = "model.safetensors";
/// More bytes than any published configuration or tokenizer has.
const MAX_BYTES: u64 = 256 << 20;

/// A trained encoder: a published checkpoint, or a run of ours.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its settings.
    pub(crate) config: BertConfig,
    /// Its words in their order; empty if the folder does not say them.
    pub(crate) vocabulary: Vec<String>,
    weights: PathBuf,
    /// Names of the tensors that are there.
    names: BTreeSet<String>,
    /// A run of ours, whose names are our own.
    ours: bool,
}

fn read_text(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut text = String::new();
    let read = file.take(MAX_BYTES).read_to_string(&mut text);
    read.map_err(Error::io(path))?;
    Ok(text)
}

fn read_json(path: &Path) -> Result<Value> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|e| Error::checkpoint(path, format!("is damaged: {e}")))
}

/// The words of the checkpoint in `dir`, if it says them.
fn vocabulary(dir: &Path) -> Result<Vec<String>> {
    let path = dir.join("vocab.txt");
    if path.is_file() {
        return Ok(read_text(&path)?.lines().map(str::to_owned).collect());
    }
    let path = dir.join("tokenizer.json");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let json = read_json(&path)?;
    let wrong = || Error::checkpoint(&path, "holds no list of words (model.vocab)");
    let words = json["model"]["vocab"].as_object().ok_or_else(wrong)?;
    let mut all = vec![String::new(); words.len()];
    for (word, at) in words {
        let at = at.as_u64().and_then(|at| all.get_mut(at as usize));
        *at.ok_or_else(wrong)? = word.clone();
    }
    Ok(all)
}

impl Source {
    /// Looks at `from`: the folder of a published checkpoint, or of a run that `thorndike fit` left.
    ///
    /// # Errors
    /// [`Error::Config`] with the key `from` if there is no encoder, [`Error::Checkpoint`] if a file is damaged.
    pub(crate) fn open(from: &Path) -> Result<Self> {
        let path = from.join(CONFIG);
        if !path.is_file() {
            let dir = find_model(from, Which::Best)?;
            let model = ModelFile::load(&dir)?;
            let Some(ExtractorConfig::Bert(mut config)) = model.extractor else {
                let what = format!("{} is of another kind than \"bert\"", from.display());
                return Err(Error::config("from", what));
            };
            // It may have been as many as its own texts have, which are not ours.
            config.vocab_size = config.words(&model.info.space);
            let weights = dir.join(WEIGHTS);
            return Ok(Self {
                config,
                vocabulary: model.info.vocabulary,
                names: tensor_file::names(&weights)?,
                weights,
                ours: true,
            });
        }
        let config = BertConfig::from_published(&read_json(&path)?)
            .map_err(|what| Error::checkpoint(&path, what))?;
        let weights = from.join(MODEL);
        if !weights.is_file() {
            let what = format!(
                "{} has no {MODEL}; save the model in that form (save_pretrained does)",
                from.display()
            );
            return Err(Error::config("from", what));
        }
        let vocabulary = vocabulary(from)?;
        if vocabulary.len() > config.vocab_size {
            let what = format!(
                "has a vocab_size of {}, and the vocabulary beside it {} words",
                config.vocab_size,
                vocabulary.len()
            );
            return Err(Error::checkpoint(path, what));
        }
        Ok(Self {
            config,
            vocabulary,
            names: tensor_file::names(&weights)?,
            weights,
            ours: false,
        })
    }

    /// The name in the file of our tensor `name`, if it is there. Older checkpoints lack the prefix `bert.` or call gain and
    /// shift of a norm gamma and beta.
    fn name_of(&self, name: &str) -> Option<String> {
        if self.ours {
            return self.names.get(name).cloned();
        }
        let theirs = match (name.strip_prefix("extractor."), name.strip_prefix("head.")) {
            (Some(own), _) => vec![format!("bert.{own}"), own.to_owned()],
            (_, Some(own)) => vec![format!("cls.{own}")],
            _ => Vec::new(),
        };
        let older = |name: &String| {
            let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
            name.replace("LayerNorm.bias", "LayerNorm.beta")
        };
        let older: Vec<String> = theirs.iter().map(older).collect();
        let mut all = theirs.into_iter().chain(older);
        all.find(|name| self.names.contains(name))
    }

    /// Values of the tensors `wanted`, of which each has a name below `extractor.` or `head.`; none for one that is not there
    /// and that a checkpoint can lack: the pooler, and heads.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if another one is missing or one has another shape.
    pub(crate) fn read(&self, wanted: &[(String, &[usize])]) -> Result<Vec<Option<Vec<f32>>>> {
        let mut named = Vec::new();
        for (name, shape) in wanted {
            match self.name_of(name) {
                Some(theirs) => named.push((theirs, *shape)),
                None if name.starts_with("head.") || name.starts_with("extractor.pooler.") => {}
                None => {
                    let what = format!("tensor \"{name}\" is missing");
                    return Err(Error::checkpoint(&self.weights, what));
                }
            }
        }
        let expected: Vec<(&str, &[usize])> = named
            .iter()
            .map(|(name, shape)| (name.as_str(), *shape))
            .collect();
        let read = tensor_file::read_state_dict(&self.weights, &expected, &|_| true)?;
        let mut read = read.into_iter();
        let found = |name: &String| self.name_of(name).and_then(|_| read.next());
        Ok(wanted.iter().map(|(name, _)| name).map(found).collect())
    }
}

/// Writes a network with the encoder of `config`, trained on samples of `info`, as a published checkpoint into the folder
/// `dir`, which is made: `config.json`, `model.safetensors`, `vocab.txt` and `tokenizer_config.json`. `transformers` opens it
/// by `from_pretrained`.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written.
pub fn export_bert(
    config: &BertConfig,
    params: &ParamStore,
    info: &Info,
    dir: &Path,
) -> Result<()> {
    let (architecture, head) = match info.task {
        Task::Classes { .. } | Task::Numbers { .. } => {
            ("BertForSequenceClassification", "classifier")
        }
        Task::Positions { .. } => ("BertForTokenClassification", "classifier"),
        Task::Span { .. } => ("BertForQuestionAnswering", "qa_outputs"),
        Task::Masked { .. } | Task::Boxes { .. } => ("BertForPreTraining", "cls"),
    };
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(Error::io(path))
    };
    let config = BertConfig {
        vocab_size: match config.vocab_size {
            0 => info.vocabulary.len(),
            words => words,
        },
        ..config.clone()
    };
    let mut keys = config.to_published(architecture);
    let names = info.task.names();
    if head == "classifier" {
        let numbered = names.iter().enumerate();
        let labels = numbered
            .clone()
            .map(|(i, name)| (i.to_string(), json!(name)));
        keys["id2label"] = Value::Object(labels.collect());
        let numbers = numbered.map(|(i, name)| (name.clone(), json!(i)));
        keys["label2id"] = Value::Object(numbers.collect());
    }
    put(CONFIG, format!("{keys:#}\n"))?;
    let mut words = info.vocabulary.join("\n");
    words.push('\n');
    put("vocab.txt", words)?;
    let lower_case = info.encoding["lower_case"] != false;
    let tokenizer = json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lower_case,
        "model_max_length": config.max_position_embeddings,
    });
    put("tokenizer_config.json", format!("{tokenizer:#}\n"))?;
    let pooled = matches!(
        architecture,
        "BertForSequenceClassification" | "BertForPreTraining"
    );
    params.export(&dir.join(MODEL), |ours| {
        match (ours.strip_prefix("extractor."), ours.strip_prefix("head.")) {
            (Some(own), _) if own.starts_with("pooler.") && !pooled => None,
            (Some(own), _) => Some(format!("bert.{own}")),
            (_, Some(own)) => Some(format!("{head}.{own}")),
            _ => None,
        }
    })
}
