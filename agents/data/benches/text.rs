//! Speed of text on its way to a model: `cargo bench -p thorndike-data --bench text`.
//!
//! One million words, drawn with the frequencies of Zipf's law: learning a vocabulary of 4,000 pieces, opening the text as
//! documents, and then tokens a second of batches of 16 as the loader makes them, of documents with new masks in each
//! epoch and of sentences.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use thorndike_core::prelude::RngExt;
use thorndike_core::{Error, Result, Seeds};
use thorndike_data::text::{VocabularyConfig, train_vocabulary};
use thorndike_data::{
    DataSet, DocumentsConfig, Loader, LoaderConfig, Part, SentencesConfig, SourceConfig,
};

const WORDS: usize = 1_000_000;

fn main() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
    let [documents, sentences] =
        ["documents.txt", "sentences.tsv"].map(|name| folder.path().join(name));
    write(&documents, &sentences)?;
    let start = Instant::now();
    let config = VocabularyConfig {
        size: 4_000,
        ..VocabularyConfig::default()
    };
    let learned = train_vocabulary(std::slice::from_ref(&documents), &config, &mut |_| true)?;
    let learned = learned.expect("nobody stops it");
    said("vocabulary", start, WORDS as f64, "words/s");
    learned.save(folder.path())?;
    let vocabulary = folder.path().join("vocab.txt");
    let documents = SourceConfig::Documents(DocumentsConfig {
        path: documents,
        vocabulary: vocabulary.clone(),
        ..DocumentsConfig::default()
    });
    let sentences = SourceConfig::Sentences(SentencesConfig {
        path: sentences,
        vocabulary,
        ..SentencesConfig::default()
    });
    for (name, source) in [("documents", documents), ("sentences", sentences)] {
        let start = Instant::now();
        let set = source.open(Part::Train)?.expect("it is there");
        said(&format!("{name}/open"), start, WORDS as f64, "words/s");
        for workers in [0, 1] {
            load(&format!("{name}/{workers}-workers"), &set, workers)?;
        }
    }
    Ok(())
}

/// The same words as a text in sentences and paragraphs, and as labelled sentences.
fn write(documents: &Path, sentences: &Path) -> Result<()> {
    let mut rng = Seeds::new(1).stream("bench", 0);
    let words: Vec<String> = (0..20_000)
        .map(|_| {
            let letters = 2 + rng.random_range(0..8);
            (0..letters)
                .map(|_| char::from(rng.random_range(b'a'..=b'z')))
                .collect()
        })
        .collect();
    let (mut text, mut lines) = (String::new(), String::new());
    for sentence in 0..WORDS / 20 {
        let _ = write!(lines, "{}\t", sentence % 2);
        for _ in 0..20 {
            // Rank r with a probability in proportion to 1 / r.
            let rank = (words.len() as f64).powf(rng.random::<f64>()) as usize - 1;
            let _ = write!(text, "{} ", words[rank]);
            let _ = write!(lines, "{} ", words[rank]);
        }
        text.push_str(if sentence % 8 == 7 { ".\n\n" } else { ".\n" });
        lines.push_str(".\n");
    }
    fs::write(documents, text).map_err(Error::io(documents))?;
    fs::write(sentences, lines).map_err(Error::io(sentences))
}

fn load(name: &str, set: &Arc<dyn DataSet>, workers: usize) -> Result<()> {
    let config = LoaderConfig {
        batch_size: 16,
        workers,
        ..LoaderConfig::default()
    };
    let mut loader = Loader::new(set.clone(), &config, Seeds::new(1))?;
    loader.next()?;
    let start = Instant::now();
    let mut tokens = 0;
    for _ in 0..500 {
        let batch = black_box(loader.next()?).batch;
        tokens += batch.len() * batch.shape[0];
    }
    said(name, start, tokens as f64, "tokens/s");
    Ok(())
}

fn said(name: &str, start: Instant, count: f64, unit: &str) {
    println!(
        "{name:22} {:>12.0} {unit}",
        count / start.elapsed().as_secs_f64()
    );
}
