//! Word2Vec: vectors of words, learned by telling which words stand near which.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thorndike_core::rand::RngExt;
use thorndike_core::{Error, Result, Seeds, check_range};

use crate::alias::Alias;
use crate::corpus::{Corpus, is_last, word};
use crate::huffman::Huffman;
use crate::kernel::{Kernel, Matrix, Outputs, Sigmoid, Simd, Update, Work, with_simd};
use crate::vectors::{TENSORS, VOCABULARY, WordVectors, read_tensors, write_tensors};
use crate::{PhrasesConfig, Vocabulary};

/// What is told from what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// A word from each word near it.
    #[default]
    SkipGram,
    /// A word from the mean of the words near it.
    Cbow,
}

/// How it is told which word it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// The word from a few drawn at random.
    #[default]
    NegativeSampling,
    /// The turns on the way to the word in a Huffman tree.
    HierarchicalSoftmax,
}

/// What is learned: `[model]` of a configuration.
///
/// # Reference
/// Mikolov, Chen, Corrado, Dean, *Efficient Estimation of Word Representations in Vector Space*, 2013; Mikolov, Sutskever,
/// Chen, Corrado, Dean, *Distributed Representations of Words and Phrases and their Compositionality*, 2013. Defaults are
/// those of gensim. Deviations from the program word2vec:
/// - Where a product is beyond 8, the logistic function is held there, 3e-4 from its end; the program holds it at its end
///   beyond 6 (negative sampling) or skips the output (hierarchical softmax).
/// - All products of a word with its outputs come before all changes, so that a step is a gradient of one objective.
/// - Words are read in blocks of at most 1,000 and drawn for by a generator of the block's own: a run goes on
///   from any block.
///
/// As there, CBOW adds the whole gradient of the mean to each word of the context, and words that are left out by
/// subsampling bring those on both sides nearer to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Word2VecConfig {
    /// What is told from what. Default skip-gram.
    pub architecture: Architecture,
    /// How it is told. Default negative sampling.
    pub output: Output,
    /// Numbers of a vector. Default 100.
    pub dimension: usize,
    /// Words on each side that are near, at most: a number from 1 to this is drawn for each word. Default 5.
    pub window: usize,
    /// Words drawn against each right one, of negative sampling. Default 5.
    pub negatives: usize,
    /// Times a word must occur to be kept. Default 5.
    pub min_count: u64,
    /// Share of the corpus above which a word is left out at random, the more often the more frequent it is. 0: none is
    /// left out. Default 1e-3.
    pub sample: f64,
    /// Pairs of words that are taken for one. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phrases: Option<PhrasesConfig>,
}

impl Default for Word2VecConfig {
    fn default() -> Self {
        Self {
            architecture: Architecture::default(),
            output: Output::default(),
            dimension: 100,
            window: 5,
            negatives: 5,
            min_count: 5,
            sample: 1e-3,
            phrases: None,
        }
    }
}

impl Word2VecConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self) -> Result<()> {
        check_range("dimension", self.dimension, 1..=100_000)?;
        check_range("window", self.window, 1..=1000)?;
        check_range("negatives", self.negatives, 1..=1000)?;
        check_range("min_count", self.min_count, 1..=1 << 40)?;
        check_range("sample", self.sample, 0.0..=1.0)?;
        match &self.phrases {
            Some(phrases) => phrases.check().map_err(|e| e.under("phrases")),
            None => Ok(()),
        }
    }
}

/// How it is learned: `[training]` of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearningConfig {
    /// Learning rate at the start. 0: 0.025 of skip-gram and 0.05 of CBOW, as the program word2vec.
    pub learning_rate: f64,
    /// Learning rate at the end, to which it falls in a line. Default 1e-4.
    pub final_learning_rate: f64,
    /// Words over which it falls. 0: all of the run.
    pub decay_words: u64,
    /// Threads that learn at the same time from different words. One thread alone can be repeated and resumed exactly.
    /// Default 1.
    pub threads: usize,
}

impl Default for LearningConfig {
    fn default() -> Self {
        Self {
            learning_rate: 0.0,
            final_learning_rate: 1e-4,
            decay_words: 0,
            threads: 1,
        }
    }
}

impl LearningConfig {
    /// The defaults for `model`.
    pub fn of(model: &Word2VecConfig) -> Self {
        Self::default().over(model, 0)
    }

    /// With the defaults that depend on the model and on the words of the run filled in.
    pub fn over(mut self, model: &Word2VecConfig, words: u64) -> Self {
        if self.learning_rate == 0.0 {
            self.learning_rate = match model.architecture {
                Architecture::SkipGram => 0.025,
                Architecture::Cbow => 0.05,
            };
        }
        if self.decay_words == 0 {
            self.decay_words = words;
        }
        self
    }

    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key.
    pub fn check(&self) -> Result<()> {
        check_range("learning_rate", self.learning_rate, 0.0..=10.0)?;
        let (low, high) = (0.0, self.learning_rate);
        check_range("final_learning_rate", self.final_learning_rate, low..=high)?;
        check_range("threads", self.threads, 1..=256)
    }

    /// The learning rate after `words` words.
    fn rate(&self, words: u64) -> f32 {
        let share = (words as f64 / self.decay_words.max(1) as f64).min(1.0);
        (self.learning_rate + (self.final_learning_rate - self.learning_rate) * share) as f32
    }
}

/// Words of a block at most: as long as the longest sentence of the program word2vec.
const BLOCK: usize = 1000;
/// Rows of each side that each of several threads has for itself, and the blocks after which it exchanges them.
const OWN: usize = 512;
const EXCHANGED: usize = 4;
/// Words that [`Word2Vec::loss`] tries.
const TRIED: usize = 5000;

/// Vectors of words that learn from a corpus.
///
/// *Design.* A step is a word of the corpus that is in the vocabulary, also if subsampling leaves it out. Nothing but the
/// weights and the number of steps changes: what is drawn for a block follows from the seed and its place, so that a
/// checkpoint holds no generator and threads need none.
#[derive(Debug)]
pub struct Word2Vec {
    config: Word2VecConfig,
    learning: LearningConfig,
    corpus: Arc<Corpus>,
    /// The vectors, `[words, dimension]`.
    input: Matrix,
    /// Weights of words or inner nodes, `[words, dimension]`.
    output: Matrix,
    sigmoid: Sigmoid,
    noise: Alias,
    huffman: Option<Huffman>,
    /// Of each word, how much of 2^32 it is kept with.
    keep: Vec<u32>,
    seeds: Seeds,
    step: u64,
}

impl Word2Vec {
    /// A model at the start of a run: vectors uniform in ±1 / `dimension`, outputs zero.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range.
    pub fn new(
        config: &Word2VecConfig,
        learning: &LearningConfig,
        corpus: Arc<Corpus>,
        seeds: Seeds,
    ) -> Result<Self> {
        config.check()?;
        learning.check()?;
        let counts = corpus.vocabulary().counts();
        let (rows, width) = (counts.len(), config.dimension);
        let mut input = Matrix::zeros(rows, width);
        let mut rng = seeds.stream("vectors", 0);
        let scale = 1.0 / width as f32;
        input.fill(std::iter::repeat_with(|| {
            (2.0 * rng.random::<f32>() - 1.0) * scale
        }));
        let noise: Vec<f64> = counts.iter().map(|&n| (n as f64).powf(0.75)).collect();
        let most = config.sample * corpus.words() as f64;
        let keep = |&count: &u64| {
            let share = most / count as f64;
            match most > 0.0 {
                // Saturates at all of it.
                true => ((share.sqrt() + share) * 4_294_967_296.0) as u32,
                false => u32::MAX,
            }
        };
        Ok(Self {
            output: Matrix::zeros(rows, width),
            sigmoid: Sigmoid::new(),
            noise: Alias::new(&noise),
            huffman: match config.output {
                Output::HierarchicalSoftmax => Some(Huffman::new(counts)),
                Output::NegativeSampling => None,
            },
            keep: counts.iter().map(keep).collect(),
            config: config.clone(),
            learning: learning.clone(),
            input,
            corpus,
            seeds,
            step: 0,
        })
    }

    /// Words of the vocabulary learned from so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The learning rate now.
    pub fn learning_rate(&self) -> f64 {
        f64::from(self.learning.rate(self.step))
    }

    /// What it learns from.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Learns until `step` words were seen; a block that was begun is finished.
    ///
    /// # Errors
    /// If the corpus cannot be read.
    pub fn run_until(&mut self, step: u64) -> Result<()> {
        if self.learning.threads == 1 {
            let mut learner = Learner::new(self, 0);
            let mut at = self.step;
            while at < step {
                at = learner.read(at)?;
                learner.learn();
            }
            self.step = at;
            return Ok(());
        }
        let at = Mutex::new(self.step);
        let lock = || at.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            let mut learner = Learner::new(self, OWN);
            let mut blocks = 0;
            loop {
                let mut at = lock();
                if *at >= step {
                    learner.exchange();
                    return Ok(());
                }
                if blocks == EXCHANGED {
                    learner.exchange();
                    blocks = 0;
                }
                blocks += 1;
                *at = learner.read(*at)?;
                drop(at);
                learner.learn();
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..self.learning.threads)
                .map(|_| scope.spawn(work))
                .collect();
            let own = work();
            let others = threads.into_iter().map(|thread| thread.join());
            others.fold(own, |all, one| {
                all.and(one.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        })?;
        self.step = *lock();
        Ok(())
    }

    /// Mean loss in nats of telling a word, of 5,000 words of the corpus and noise that are the same every time. They are
    /// words that are learned from: it shows whether learning goes on, not how good the vectors are.
    ///
    /// # Errors
    /// If the corpus cannot be read, or [`Error::Diverged`] if it is no number any more.
    pub fn loss(&self) -> Result<f64> {
        let mut rng = self.seeds.stream("loss", 0);
        let (mut sum, mut terms) = (0.0, 0_u64);
        let mut numbers = Vec::new();
        for _ in 0..TRIED {
            let start = rng.random_range(0..self.corpus.words());
            self.corpus
                .read_into(start, 8 * self.config.window, &mut numbers)?;
            let center = rng.random_range(0..numbers.len());
            let negatives: Vec<u32> = (0..self.config.negatives)
                .map(|_| self.noise.draw(rng.random()))
                .collect();
            let before = numbers[..center].iter().rposition(|&n| is_last(n));
            let from = before
                .map_or(0, |last| last + 1)
                .max(center.saturating_sub(self.config.window));
            let after = numbers[center..].iter().position(|&n| is_last(n));
            let until = after.map_or(numbers.len(), |last| center + last + 1);
            let until = until.min(center + self.config.window + 1);
            let near = (from..until).filter(|&i| i != center);
            let context: Vec<u32> = near.map(|i| word(numbers[i])).collect();
            let center = word(numbers[center]);
            match self.config.architecture {
                _ if context.is_empty() => {}
                Architecture::Cbow => {
                    sum += self.objective(&context, center, &negatives);
                    terms += 1;
                }
                Architecture::SkipGram => {
                    for &one in &context {
                        sum += self.objective(&[one], center, &negatives);
                        terms += 1;
                    }
                }
            }
        }
        let loss = sum / terms.max(1) as f64;
        match loss.is_finite() {
            true => Ok(loss),
            false => Err(Error::Diverged {
                step: self.step,
                what: format!("the loss is {loss}; give a smaller training.learning_rate"),
            }),
        }
    }

    /// The loss in nats of telling `center` from the mean of `context`, against `negatives` if there are such: what one
    /// update goes down in, computed the slow way.
    fn objective(&self, context: &[u32], center: u32, negatives: &[u32]) -> f64 {
        let mean = |column| {
            let numbers = context.iter().map(|&word| self.input.get(word, column));
            numbers.map(f64::from).sum::<f64>() / context.len() as f64
        };
        let mean: Vec<f64> = (0..self.config.dimension).map(mean).collect();
        let mut outputs = Outputs::default();
        self.outputs_into(center, negatives.iter().copied(), &mut outputs);
        let loss = |(row, target): (u32, f32)| {
            let numbers = mean.iter().enumerate();
            let product: f64 = numbers
                .map(|(column, x)| x * f64::from(self.output.get(row, column)))
                .sum();
            let signed = if target > 0.0 { product } else { -product };
            // -ln of the logistic function, without loss of digits.
            (-signed).max(0.0) + (-signed.abs()).exp().ln_1p()
        };
        outputs.iter().map(loss).sum()
    }

    /// What tells `center`; `negatives` are left alone by hierarchical softmax.
    #[inline(always)]
    fn outputs_into(
        &self,
        center: u32,
        negatives: impl Iterator<Item = u32>,
        outputs: &mut Outputs,
    ) {
        outputs.clear();
        match &self.huffman {
            Some(huffman) => {
                let (nodes, turns) = huffman.way(center);
                for (&node, &turn) in nodes.iter().zip(turns) {
                    outputs.push(node, if turn { 0.0 } else { 1.0 });
                }
            }
            None => {
                outputs.push(center, 1.0);
                for negative in negatives {
                    if negative != center {
                        outputs.push(negative, 0.0);
                    }
                }
            }
        }
    }

    /// The vectors as they are now.
    pub fn vectors(&self) -> WordVectors {
        let words = self.corpus.vocabulary().words().map(str::to_owned);
        WordVectors::new(words.collect(), self.input.to_vec())
            .expect("as many rows as words, none of which is there twice")
    }

    /// Bytes it holds, the corpus included.
    pub fn memory(&self) -> u64 {
        let words = self.keep.len() as u64;
        let weights = 2 * words * self.input.stride() as u64 * 4;
        let huffman = self.huffman.as_ref().map_or(0, Huffman::memory);
        weights + 12 * words + huffman + self.corpus.memory()
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let mut text = match self.config.architecture {
            Architecture::SkipGram => "skip-gram",
            Architecture::Cbow => "CBOW",
        }
        .to_owned();
        let _ = match self.config.output {
            Output::NegativeSampling => write!(text, ", {} negatives", self.config.negatives),
            Output::HierarchicalSoftmax => write!(text, ", hierarchical softmax"),
        };
        let _ = write!(
            text,
            ", {} words in {} dimensions, {} thread{}",
            self.keep.len(),
            self.config.dimension,
            self.learning.threads,
            if self.learning.threads == 1 { "" } else { "s" }
        );
        text
    }

    /// Writes all that changes, and the words, into the folder `dir`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.corpus.vocabulary().save(&dir.join(VOCABULARY))?;
        let state = State {
            step: self.step,
            words: self.corpus.words(),
        };
        let path = dir.join(STATE);
        let text = serde_json::to_vec(&state).map_err(|e| Error::Backend(Box::new(e)))?;
        fs::write(&path, text).map_err(Error::io(path))?;
        let (vectors, output) = (self.input.to_vec(), self.output.to_vec());
        let shape = [self.keep.len(), self.config.dimension];
        write_tensors(
            &dir.join(TENSORS),
            shape,
            &[("vectors", &vectors), ("output", &output)],
        )
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If a file cannot be read, or is of another model or of another corpus.
    pub fn load(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(STATE);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let state: State = serde_json::from_slice(&text)
            .map_err(|e| Error::checkpoint(&path, format!("is damaged: {e}")))?;
        let vocabulary = Vocabulary::load(&dir.join(VOCABULARY))?;
        if vocabulary != *self.corpus.vocabulary() || state.words != self.corpus.words() {
            let what = format!(
                "is of a corpus of {} words, {} different, and the one at hand has {} and {} or others; bring the \
                 files back, or train anew",
                state.words,
                vocabulary.len(),
                self.corpus.words(),
                self.corpus.vocabulary().len()
            );
            return Err(Error::checkpoint(path, what));
        }
        let shape = [self.keep.len(), self.config.dimension];
        let path = dir.join(TENSORS);
        let mut tensors = read_tensors(&path, &["vectors", "output"])?;
        if let Some(tensor) = tensors.iter().find(|tensor| tensor.shape != shape) {
            let what = format!("holds weights {:?}, expected {shape:?}", tensor.shape);
            return Err(Error::checkpoint(path, what));
        }
        self.output.fill(tensors.remove(1).values);
        self.input.fill(tensors.remove(0).values);
        self.step = state.step;
        Ok(())
    }
}

const STATE: &str = "word2vec.json";

/// What a checkpoint holds beside the weights.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    step: u64,
    /// Words of the corpus.
    words: u64,
}

/// A thread that learns.
struct Learner<'a> {
    model: &'a Word2Vec,
    kernel: Kernel<'a>,
    rng: SplitMix,
    rate: f32,
    /// The block, as it is in the corpus.
    numbers: Vec<u32>,
    /// Those of its words that subsampling has kept, and where sentences end among them.
    kept: Vec<u32>,
    ends: Vec<usize>,
    /// Those around one of them.
    near: Vec<u32>,
    /// What is learned next, and what after it.
    now: Update,
    next: Update,
}

impl<'a> Learner<'a> {
    /// With the first `own` rows not shared until they are exchanged.
    fn new(model: &'a Word2Vec, own: usize) -> Self {
        Self {
            model,
            kernel: Kernel::new(&model.input, &model.output, &model.sigmoid, own),
            rng: SplitMix::new(0),
            rate: 0.0,
            numbers: Vec::with_capacity(BLOCK),
            kept: Vec::with_capacity(BLOCK),
            ends: Vec::new(),
            near: Vec::new(),
            now: Update::default(),
            next: Update::default(),
        }
    }

    /// Takes the block that starts at `step`, and gives the step after it.
    fn read(&mut self, step: u64) -> Result<u64> {
        let model = self.model;
        let start = step % model.corpus.words();
        model.corpus.read_into(start, BLOCK, &mut self.numbers)?;
        self.rng = SplitMix::new(model.seeds.child("block", step).root());
        self.rate = model.learning.rate(step);
        Ok(step + self.numbers.len() as u64)
    }

    /// Lets all threads know what this one's own rows have learned, and the other way round; under a lock.
    fn exchange(&mut self) {
        struct Exchange<'a, 'b>(&'a mut Learner<'b>);
        impl Work for Exchange<'_, '_> {
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) {
                let Learner {
                    kernel,
                    model,
                    rate,
                    ..
                } = self.0;
                kernel.exchange(simd, model.learning.threads, *rate);
            }
        }
        with_simd(Exchange(self));
    }

    /// Learns from the block.
    fn learn(&mut self) {
        self.kept.clear();
        self.ends.clear();
        for &number in &self.numbers {
            if self.rng.next() as u32 <= self.model.keep[word(number) as usize] {
                self.kept.push(word(number));
            }
            if is_last(number) {
                self.ends.push(self.kept.len());
            }
        }
        self.ends.push(self.kept.len());
        with_simd(self);
    }
}

impl Work for &mut Learner<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Learner {
            model,
            kernel,
            rng,
            rate,
            kept,
            ends,
            near,
            now,
            next,
            ..
        } = self;
        let window = model.config.window;
        let mut start = 0;
        for &end in ends.iter() {
            for i in start..end {
                let center = kept[i];
                let reach = rng.below(window) + 1;
                let from = i.saturating_sub(reach).max(start);
                let until = (i + reach + 1).min(end);
                near.clear();
                near.extend_from_slice(&kept[from..i]);
                near.extend_from_slice(&kept[i + 1..until]);
                let together = match model.config.architecture {
                    Architecture::SkipGram => 1,
                    Architecture::Cbow => near.len().max(1),
                };
                for context in near.chunks(together) {
                    next.context.clear();
                    next.context.extend_from_slice(context);
                    let draw = || model.noise.draw(rng.next());
                    let negatives = std::iter::repeat_with(draw).take(model.config.negatives);
                    model.outputs_into(center, negatives, &mut next.outputs);
                    kernel.learn_before(simd, next, now, *rate);
                    std::mem::swap(now, next);
                }
            }
            start = end;
        }
        next.context.clear();
        next.outputs.clear();
        kernel.learn_before(simd, next, now, *rate);
        now.context.clear();
    }
}

/// A generator of 64 random bits in a few instructions; as good as what is drawn here needs.
///
/// # Reference
/// Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, 2014. Deviations: none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline(always)]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is small.
    #[inline(always)]
    fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CorpusConfig;
    use crate::kernel::Portable;
    use std::path::PathBuf;

    const WORDS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

    /// A text whose sentences go round in the alphabet, so that words near each other can be told.
    fn text() -> String {
        let mut text = String::new();
        for line in 0..400 {
            for at in 0..(3 + line % 11) {
                text += WORDS[(line * 5 + at) % (3 + line % 10)];
                text.push(' ');
            }
            text.push('\n');
        }
        text
    }

    fn corpus(text: &str, model: &Word2VecConfig) -> Arc<Corpus> {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("text.txt");
        fs::write(&path, text).unwrap();
        let config = CorpusConfig {
            path: vec![path],
            ..CorpusConfig::default()
        };
        Arc::new(Corpus::open(&config, model).unwrap())
    }

    /// Each architecture with each output.
    fn all() -> [Word2VecConfig; 4] {
        use {Architecture::*, Output::*};
        [
            (SkipGram, NegativeSampling),
            (SkipGram, HierarchicalSoftmax),
            (Cbow, NegativeSampling),
            (Cbow, HierarchicalSoftmax),
        ]
        .map(|(architecture, output)| Word2VecConfig {
            architecture,
            output,
            dimension: 21,
            window: 3,
            min_count: 1,
            sample: 0.05,
            ..Word2VecConfig::default()
        })
    }

    fn built(model: &Word2VecConfig, threads: usize, epochs: u64) -> Word2Vec {
        let corpus = corpus(&text(), model);
        let learning = LearningConfig {
            threads,
            learning_rate: 0.05,
            ..LearningConfig::default().over(model, epochs * corpus.words())
        };
        Word2Vec::new(model, &learning, corpus, Seeds::new(7)).unwrap()
    }

    /// Weights that are not small, so that no gradient is.
    fn shaken(model: &Word2VecConfig) -> Word2Vec {
        let mut word2vec = built(model, 1, 1);
        let mut rng = Seeds::new(1).stream("shaken", 0);
        let mut number = || rng.random::<f32>() - 0.5;
        word2vec.input.fill(std::iter::repeat_with(&mut number));
        word2vec.output.fill(std::iter::repeat_with(&mut number));
        word2vec
    }

    #[derive(Clone, Copy)]
    struct OneUpdate<'a> {
        model: &'a Word2Vec,
        context: &'a [u32],
        center: u32,
        negatives: &'a [u32],
        rate: f32,
    }

    impl Work for OneUpdate<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let model = self.model;
            let mut kernel = Kernel::new(&model.input, &model.output, &model.sigmoid, 0);
            let mut update = Update::default();
            update.context.extend_from_slice(self.context);
            let negatives = self.negatives.iter().copied();
            model.outputs_into(self.center, negatives, &mut update.outputs);
            kernel.learn_before(simd, &Update::default(), &update, self.rate);
        }
    }

    /// The weights of both sides.
    fn weights(model: &Word2Vec) -> [Vec<f32>; 2] {
        [model.input.to_vec(), model.output.to_vec()]
    }

    #[test]
    fn an_update_is_the_gradient_by_finite_differences_of_every_objective() {
        // Ten negatives: more than are learned from at a time.
        let negatives: Vec<u32> = (2..12).collect();
        for config in all() {
            let mut model = shaken(&config);
            let context: &[u32] = match config.architecture {
                Architecture::SkipGram => &[4],
                Architecture::Cbow => &[4, 7, 5],
            };
            let before = weights(&model);
            const RATE: f32 = 1.0;
            with_simd(OneUpdate {
                model: &model,
                context,
                center: 1,
                negatives: &negatives,
                rate: RATE,
            });
            let after = weights(&model);
            // All of the gradient goes to each word of the context, not its share.
            let times = [context.len() as f64, 1.0];
            let mut moved = 0;
            for side in 0..2 {
                for at in 0..before[side].len() {
                    const STEP: f32 = 1.0 / 256.0;
                    let mut loss = |change: f32| {
                        let mut shifted = before.clone();
                        shifted[side][at] += change;
                        let [input, output] = shifted;
                        model.input.fill(input);
                        model.output.fill(output);
                        model.objective(context, 1, &negatives)
                    };
                    let slope = (loss(STEP) - loss(-STEP)) / f64::from(2.0 * STEP);
                    let expected = -times[side] * slope;
                    let found = f64::from((after[side][at] - before[side][at]) / RATE);
                    // The differences are off by STEP^2 / 6 of a third derivative below 0.1, the table by 1e-6.
                    assert!(
                        (found - expected).abs() < 1e-5,
                        "{config:?} {side} {at}: {found} {expected}"
                    );
                    moved += usize::from(found != 0.0);
                }
            }
            assert!(moved > 21 * (context.len() + 2), "{moved} weights moved");
        }
    }

    /// Learns a whole run the slow way: one number at a time, in 64 bits, by the text of the paper.
    fn slowly(model: &Word2Vec, until: u64) -> [Vec<f64>; 2] {
        let config = &model.config;
        let width = config.dimension;
        let [mut input, mut output] =
            weights(model).map(|side| side.into_iter().map(f64::from).collect::<Vec<f64>>());
        let mut step = 0;
        while step < until {
            let mut numbers = Vec::new();
            model
                .corpus
                .read_into(step % model.corpus.words(), BLOCK, &mut numbers)
                .unwrap();
            let mut rng = SplitMix::new(model.seeds.child("block", step).root());
            let rate = f64::from(model.learning.rate(step));
            step += numbers.len() as u64;
            let mut sentences = vec![Vec::new()];
            for &number in &numbers {
                if rng.next() as u32 <= model.keep[word(number) as usize] {
                    sentences.last_mut().unwrap().push(word(number));
                }
                if is_last(number) {
                    sentences.push(Vec::new());
                }
            }
            for sentence in sentences {
                for i in 0..sentence.len() {
                    let reach = rng.below(config.window) + 1;
                    let near = (0..sentence.len()).filter(|&j| j != i && j.abs_diff(i) <= reach);
                    let near: Vec<u32> = near.map(|j| sentence[j]).collect();
                    let contexts: Vec<&[u32]> = match config.architecture {
                        Architecture::SkipGram => near.chunks(1).collect(),
                        Architecture::Cbow if near.is_empty() => vec![],
                        Architecture::Cbow => vec![&near],
                    };
                    for context in contexts {
                        let mut outputs = Outputs::default();
                        let draws = match model.huffman {
                            Some(_) => 0,
                            None => config.negatives,
                        };
                        let negatives: Vec<u32> =
                            (0..draws).map(|_| model.noise.draw(rng.next())).collect();
                        model.outputs_into(sentence[i], negatives.into_iter(), &mut outputs);
                        let row = |word: u32| word as usize * width..(word as usize + 1) * width;
                        let mut mean = vec![0.0; width];
                        for &word in context {
                            let share = 1.0 / context.len() as f64;
                            mean.iter_mut()
                                .zip(&input[row(word)])
                                .for_each(|(m, x)| *m += share * x);
                        }
                        let mut change = vec![0.0; width];
                        let steps: Vec<f64> = outputs
                            .iter()
                            .map(|(at, target)| {
                                let f: f64 =
                                    mean.iter().zip(&output[row(at)]).map(|(a, b)| a * b).sum();
                                rate * (f64::from(target) - 1.0 / (1.0 + (-f).exp()))
                            })
                            .collect();
                        for ((at, _), step) in outputs.iter().zip(steps) {
                            for k in 0..width {
                                let y = &mut output[at as usize * width + k];
                                change[k] += step * *y;
                                *y += step * mean[k];
                            }
                        }
                        for &word in context {
                            input[row(word)]
                                .iter_mut()
                                .zip(&change)
                                .for_each(|(x, c)| *x += c);
                        }
                    }
                }
            }
        }
        [input, output]
    }

    #[test]
    fn a_run_is_that_of_the_slow_reference() {
        for config in all() {
            let mut model = built(&config, 1, 1);
            let words = model.corpus.words();
            let expected = slowly(&model, words);
            model.run_until(words).unwrap();
            assert_eq!(model.step(), words);
            for (found, expected) in weights(&model).into_iter().flatten().zip(expected.concat()) {
                // 3,186 words of at most 6 outputs at a mean rate of 0.025, each off by the table's 7e-7 of numbers around 1.
                assert!(
                    (f64::from(found) - expected).abs() < 3e-4,
                    "{config:?}: {found} {expected}"
                );
            }
            assert!(
                model.vectors().as_slice().iter().any(|x| x.abs() > 0.1),
                "it has learned"
            );
        }
    }

    #[test]
    fn plain_code_learns_what_vector_instructions_learn() {
        for config in all() {
            let [a, b] = [shaken(&config), shaken(&config)];
            let update = |model| OneUpdate {
                model,
                context: &[4, 7],
                center: 1,
                negatives: &[2, 9, 9],
                rate: 0.5,
            };
            update(&a).run(Portable);
            with_simd(update(&b));
            for (a, b) in weights(&a).concat().iter().zip(weights(&b).concat()) {
                // Sums of 21 products in another order.
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_run_that_was_saved_anywhere_goes_on_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        for config in all() {
            let mut whole = built(&config, 1, 3);
            let end = 3 * whole.corpus.words();
            whole.run_until(end).unwrap();
            let mut first = built(&config, 1, 3);
            first.run_until(end / 2 + 17).unwrap();
            first.save(folder.path()).unwrap();
            let mut second = built(&config, 1, 3);
            second.load(folder.path()).unwrap();
            assert_eq!(second.step(), first.step());
            second.run_until(end - 40).unwrap();
            second.run_until(end).unwrap();
            assert!(weights(&whole) == weights(&second), "{config:?}");
        }
    }

    #[test]
    fn a_checkpoint_of_another_text_or_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [config, ..] = all();
        built(&config, 1, 1).save(folder.path()).unwrap();
        let wide = Word2VecConfig {
            dimension: 22,
            ..config.clone()
        };
        let message = built(&wide, 1, 1)
            .load(folder.path())
            .unwrap_err()
            .to_string();
        assert!(
            message.ends_with("holds weights [12, 21], expected [12, 22]"),
            "{message}"
        );
        let learning = LearningConfig::of(&config);
        let other = corpus("another text of other words\n", &config);
        let mut other = Word2Vec::new(&config, &learning, other, Seeds::new(7)).unwrap();
        let message = other.load(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("is of a corpus of 3186 words, 12 different"),
            "{message}"
        );
    }

    // How well is measured on a real text: on twelve words threads get into each other's way all the time.
    #[test]
    fn several_threads_learn_and_each_word_is_taken_once() {
        for config in all() {
            let mut model = built(&config, 3, 20);
            let before = model.loss().unwrap();
            let end = 20 * model.corpus.words();
            model.run_until(end).unwrap();
            assert_eq!(model.step(), end);
            let after = model.loss().unwrap();
            // One thread gains 0.28 nats or more, of which lost updates may cost some; a thread that learned nothing of
            // its words, or undid those of others, would cost more than half.
            assert!(before - after > 0.14, "{config:?}: {before} to {after}");
        }
    }

    #[test]
    fn frequent_words_are_left_out_as_often_as_the_formula_says() {
        let config = Word2VecConfig {
            min_count: 1,
            sample: 0.01,
            ..Word2VecConfig::default()
        };
        // "a" is half of all words: kept with sqrt(0.02) + 0.02; "b" is one of a hundred: always.
        let corpus = corpus(
            &(("a ".repeat(50) + "b " + &"c ".repeat(49)) + "\n"),
            &config,
        );
        let model = Word2Vec::new(&config, &LearningConfig::of(&config), corpus, Seeds::new(1));
        let model = model.unwrap();
        let kept = |word: &str| {
            let index = model.corpus.vocabulary().index(word).unwrap();
            f64::from(model.keep[index as usize]) / 4_294_967_296.0
        };
        assert!((kept("a") - (0.02_f64.sqrt() + 0.02)).abs() < 1e-8);
        assert_eq!(
            model.keep[model.corpus.vocabulary().index("b").unwrap() as usize],
            u32::MAX
        );
    }

    #[test]
    fn draws_are_value_stable() {
        let mut rng = SplitMix::new(1_234_567);
        // Of the reference program, Vigna's splitmix64.c.
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_learning_rate_that_is_too_large_is_told() {
        let [config, ..] = all();
        let mut model = built(&config, 1, 1);
        model.output.fill(std::iter::repeat(f32::NAN));
        let message = model.loss().unwrap_err().to_string();
        assert!(
            message.contains("give a smaller training.learning_rate"),
            "{message}"
        );
    }
}
