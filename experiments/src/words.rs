//! Word vectors in an experiment: their configuration, how they are built, and how they are judged while they learn.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thorndike_core::{EnvSteps, Error, Event, Recorder, Result, Seeds, check_range};
use thorndike_words::evaluation::{Questions, RESTRICT, Similarity, WordPairs};
use thorndike_words::{
    Corpus, CorpusConfig, LearningConfig, Word2Vec, Word2VecConfig, WordVectors, missing,
};

use crate::config::{EvalConfig, without_nulls};
use crate::supervised::read;
use crate::text::thousands;

/// The kind of model, in `model.kind`.
pub(crate) const KIND: &str = "word2vec";
/// The kind of data, in `data.kind`.
const DATA: &str = "corpus";
/// What is measured where there are word pairs.
pub(crate) const SPEARMAN: &str = "spearman";
/// What is measured where there are none: of words that are learned from.
pub(crate) const LIKELIHOOD: &str = "log-likelihood of words seen";
/// What of it is kept beside the model.
const SCORE: &str = "score.json";

/// Word vectors and the text they learn from.
#[derive(Clone, Debug)]
pub struct WordsTask {
    /// The text.
    pub data: CorpusConfig,
    /// What is learned.
    pub model: Word2VecConfig,
    /// How it is learned.
    pub training: LearningConfig,
    /// The text once it is read: the same for all seeds.
    corpus: Arc<OnceLock<Arc<Corpus>>>,
}

impl PartialEq for WordsTask {
    fn eq(&self, other: &Self) -> bool {
        (&self.data, &self.model, &self.training) == (&other.data, &other.model, &other.training)
    }
}

impl WordsTask {
    /// From the tables of a configuration.
    pub(crate) fn read(data: Value, model: Value, training: Value) -> Result<Self, String> {
        let without_kind = |mut table: Value, kind: &str, section: &str| match table
            .as_object_mut()
            .and_then(|keys| keys.remove("kind"))
        {
            Some(Value::String(found)) if found == kind => Ok(table),
            found => {
                let found = found.unwrap_or_default();
                Err(format!(
                    "{section}.kind: is {found}; word2vec learns from data of kind {kind:?}"
                ))
            }
        };
        Ok(Self {
            data: read(without_kind(data, DATA, "data")?, "data")?,
            model: read(without_kind(model, KIND, "model")?, "model")?,
            training: read(training, "training")?,
            corpus: Arc::default(),
        })
    }

    /// As [`read`](Self::read) took them.
    pub(crate) fn tables(&self) -> [Value; 3] {
        let table = |value: Result<Value, serde_json::Error>, kind: Option<&str>| {
            let mut value = without_nulls(value.expect("plain numbers and names"));
            if let Some(kind) = kind {
                value["kind"] = kind.into();
            }
            value
        };
        [
            table(serde_json::to_value(&self.data), Some(DATA)),
            table(serde_json::to_value(&self.model), Some(KIND)),
            table(serde_json::to_value(&self.training), None),
        ]
    }

    /// Name of the text: the last part of its path, or of the first of several.
    pub fn name(&self) -> &str {
        let path = self.data.path.first();
        let name = path.and_then(|path| path.file_stem()?.to_str());
        name.map_or("text", |name| name.trim_end_matches(".txt"))
    }

    /// Fills in all defaults; `steps` is set from `epochs`, which needs a look at the text.
    pub(crate) fn resolve(&mut self, epochs: Option<f64>, steps: &mut EnvSteps) -> Result<()> {
        if self.data.path.is_empty() {
            return Err(Error::config("data.path", "give a file or folder of text"));
        }
        self.model.check().map_err(|e| e.under("model"))?;
        if let Some(epochs) = epochs {
            check_range("epochs", epochs, 1e-3..=1e6)?;
            *steps = (epochs * self.corpus()?.words() as f64).ceil() as EnvSteps;
        }
        self.training = self.training.clone().over(&self.model, *steps);
        self.training.check().map_err(|e| e.under("training"))
    }

    /// The text; read the first time that it is asked for.
    fn corpus(&self) -> Result<Arc<Corpus>> {
        if let Some(corpus) = self.corpus.get() {
            return Ok(corpus.clone());
        }
        let corpus = Corpus::open(&self.data, &self.model).map_err(|e| e.under("data"))?;
        Ok(self.corpus.get_or_init(|| corpus.into()).clone())
    }

    /// Builds the model of one seed.
    ///
    /// # Errors
    /// If the text or a test is missing or damaged.
    pub fn build(&self, seed: u64, eval: &EvalConfig) -> Result<Built> {
        let corpus = self.corpus()?;
        let tests = eval.pairs.iter().map(|path| ("eval.pairs", path));
        let tests = tests.chain(eval.questions.iter().map(|path| ("eval.questions", path)));
        for (key, path) in tests {
            if !path.exists() {
                return Err(missing(path).under(key));
            }
        }
        let mut pairs = Vec::new();
        for path in &eval.pairs {
            pairs.push((stem(path), WordPairs::read(path)?));
        }
        let questions = eval.questions.as_deref().map(Questions::read).transpose()?;
        let built = Built {
            word2vec: Word2Vec::new(&self.model, &self.training, corpus, Seeds::new(seed))?,
            pairs,
            questions,
            best: None,
        };
        let vectors = built.word2vec.vectors();
        for ((_, pairs), path) in built.pairs.iter().zip(&eval.pairs) {
            let similarity = pairs.evaluate(&vectors);
            if similarity.pairs < 2 {
                let what = format!(
                    "{} of the {} pairs of {} have both words in the vocabulary; 2 are needed",
                    similarity.pairs,
                    similarity.pairs + similarity.unknown,
                    path.display()
                );
                return Err(Error::config("eval.pairs", what));
            }
        }
        Ok(built)
    }
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// What was built for one run.
#[derive(Debug)]
pub struct Built {
    /// The model and its text.
    pub word2vec: Word2Vec,
    pairs: Vec<(String, WordPairs)>,
    questions: Option<Questions>,
    best: Option<f64>,
}

/// How the vectors of a run do.
#[derive(Clone, Debug)]
pub struct WordScores {
    /// The score by which they are compared; more is better.
    pub main: f64,
    /// What it is of: word pairs, or words of the text.
    pub samples: usize,
    /// Mean loss in nats of telling one of some words of the text.
    pub loss: f64,
    /// Each test by its name.
    pub numbers: BTreeMap<String, f64>,
}

impl Built {
    /// What the main score is.
    pub fn measure(&self) -> &'static str {
        match self.pairs.is_empty() {
            true => LIKELIHOOD,
            false => SPEARMAN,
        }
    }

    /// The best score so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// What is read.
    pub fn describe(&self) -> String {
        let corpus = self.word2vec.corpus();
        format!(
            "{} words of text, {} of them among the {} that are kept",
            thousands(corpus.words_read()),
            thousands(corpus.words()),
            thousands(corpus.vocabulary().len() as u64)
        )
    }

    /// Judges the vectors and records it; answers analogies too if it is the `last` time, of which a longer run is
    /// not to know.
    ///
    /// # Errors
    /// If the text cannot be read, or the vectors are no numbers any more.
    pub fn evaluate(&mut self, last: bool, recorder: &mut dyn Recorder) -> Result<WordScores> {
        let step = self.word2vec.step();
        let loss = self.word2vec.loss()?;
        let vectors = self.word2vec.vectors();
        let mut numbers = BTreeMap::new();
        let mut main = None;
        for (name, pairs) in &self.pairs {
            let Similarity {
                spearman, pairs, ..
            } = pairs.evaluate(&vectors);
            main.get_or_insert((spearman, pairs));
            numbers.insert(format!("spearman/{name}"), spearman);
        }
        if let Some(questions) = self.questions.as_ref().filter(|_| last) {
            let sections = questions.evaluate(&vectors, RESTRICT);
            let right: usize = sections.iter().map(|section| section.right).sum();
            let asked: usize = sections.iter().map(|section| section.asked).sum();
            numbers.insert("analogies/right".into(), right as f64);
            numbers.insert("analogies/asked".into(), asked as f64);
        }
        let (main, samples) = main.unwrap_or((-loss, 0));
        recorder.record(&Event::Evaluated {
            step,
            returns: vec![main].into(),
            lengths: vec![u32::try_from(samples).unwrap_or(u32::MAX)].into(),
            only_action: None,
        })?;
        let mut scalar = |name: String, value: f64| {
            recorder.record(&Event::Scalar {
                step,
                name: name.into(),
                value,
            })
        };
        for (name, value) in &numbers {
            scalar(format!("validation/{name}"), *value)?;
        }
        scalar("loss/train".into(), loss)?;
        scalar("learning_rate".into(), self.word2vec.learning_rate())?;
        if !last && self.best.is_none_or(|best| main >= best) {
            self.best = Some(main);
        }
        Ok(WordScores {
            main,
            samples,
            loss,
            numbers,
        })
    }

    /// Writes all that changes into the folder `dir`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(SCORE);
        let text = json!(Score { best: self.best }).to_string();
        fs::write(&path, text).map_err(Error::io(path))?;
        self.word2vec.save(dir)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If a file cannot be read, or is of another model or text.
    pub fn load(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(SCORE);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let score: Score = serde_json::from_slice(&text)
            .map_err(|e| Error::checkpoint(&path, format!("is damaged: {e}")))?;
        self.best = score.best;
        self.word2vec.load(dir)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Score {
    best: Option<f64>,
}

/// The vectors in the file or, of a folder of an experiment, those of `seed` at the end; the first seed if absent.
///
/// # Errors
/// If there are none.
pub(crate) fn open(path: &Path, seed: Option<u64>) -> anyhow::Result<WordVectors> {
    if !path.is_dir() {
        if seed.is_some() {
            anyhow::bail!("--seed: {} is a file and has no seeds", path.display());
        }
        return Ok(WordVectors::read(path)?);
    }
    Ok(WordVectors::read(&checkpoint_of(path, seed)?)?)
}

fn checkpoint_of(folder: &Path, seed: Option<u64>) -> anyhow::Result<PathBuf> {
    use crate::run::{CHECKPOINTS, seed_dir};
    let dir = match seed {
        Some(seed) => seed_dir(folder, seed),
        None => match crate::runs::seed_folders(folder)?.into_iter().next() {
            Some(dir) => dir,
            None => anyhow::bail!("{}", crate::runs::no_run(folder)),
        },
    };
    let found = thorndike_core::checkpoint::latest(&dir.join(CHECKPOINTS))?;
    match found {
        Some(path) if path.join("word2vec.json").is_file() => Ok(path),
        Some(_) => anyhow::bail!("{} holds no word vectors", folder.display()),
        None => anyhow::bail!("{} holds no checkpoint", dir.display()),
    }
}
