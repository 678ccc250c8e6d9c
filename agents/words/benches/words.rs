//! Words a second of training, at the settings of `scripts/bench text`.
//!
//! Arguments: threads, then files or folders of text (a paragraph a line of `[a-z]+`, or anything else); without any, a text is made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use thorndike_core::Seeds;
use thorndike_words::{
    Architecture, Corpus, CorpusConfig, LearningConfig, Output, Tokens, Word2Vec, Word2VecConfig,
};

/// Epochs that are timed.
const EPOCHS: u64 = 5;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let threads: usize = arguments.first().and_then(|a| a.parse().ok()).unwrap_or(1);
    let mut path: Vec<PathBuf> = arguments.iter().skip(1).map(PathBuf::from).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    if path.is_empty() {
        path.push(folder.path().join("made.txt"));
        std::fs::write(&path[0], made()).expect("a temporary file");
    }
    let config = CorpusConfig {
        path,
        tokens: Tokens::Space,
        ..CorpusConfig::default()
    };
    let started = Instant::now();
    let corpus = Corpus::open(&config, &Word2VecConfig::default());
    let corpus = Arc::new(corpus.expect("a corpus"));
    let reading = started.elapsed().as_secs_f64();
    let speed = corpus.words_read() as f64 / reading;
    println!("bench words-read {speed:.0} words/s floor - -");
    for (name, architecture, output) in [
        (
            "skip-gram",
            Architecture::SkipGram,
            Output::NegativeSampling,
        ),
        ("cbow", Architecture::Cbow, Output::NegativeSampling),
        (
            "skip-gram-hs",
            Architecture::SkipGram,
            Output::HierarchicalSoftmax,
        ),
        ("cbow-hs", Architecture::Cbow, Output::HierarchicalSoftmax),
    ] {
        let model = Word2VecConfig {
            architecture,
            output,
            ..Word2VecConfig::default()
        };
        let learning = LearningConfig {
            threads,
            ..LearningConfig::default().over(&model, EPOCHS * corpus.words())
        };
        let mut word2vec =
            Word2Vec::new(&model, &learning, corpus.clone(), Seeds::new(1)).expect("a model");
        let started = Instant::now();
        word2vec
            .run_until(learning.decay_words)
            .expect("a corpus that is read");
        let seconds = started.elapsed().as_secs_f64();
        // As gensim counts: all words of the corpus, in the vocabulary or not.
        let words = (EPOCHS * corpus.words_read()) as f64;
        let (speed, whole) = (words / seconds, words / (reading + seconds));
        let loss = word2vec.loss().expect("a loss");
        println!(
            "bench words-{name} {speed:.0} words/s floor - - {threads} threads, loss {loss:.4}"
        );
        println!(
            "bench words-{name}-whole {whole:.0} words/s floor - - from the file to the vectors"
        );
    }
}

/// A text whose words are as often as Zipf's law says.
fn made() -> String {
    let mut text = String::new();
    let mut state = 1_u64;
    for i in 1..=500_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
        text += &format!("w{}", (20_000_f64.powf(uniform)) as u32);
        text.push(if i % 20 == 0 { '\n' } else { ' ' });
    }
    text
}
