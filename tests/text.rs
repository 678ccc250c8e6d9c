//! Models of text by the program as a person uses it: a vocabulary, pre-training, what it is tuned to, and predictions.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;

use thorndike_core::Seeds;
use thorndike_tests::{sentence, stderr, stdout, thorndike};

/// Runs the program in `folder`; what it printed.
fn run(folder: &Path, args: &[&str]) -> String {
    let output = thorndike(folder, args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

/// Its one-line error.
fn error(folder: &Path, args: &[&str]) -> String {
    let output = thorndike(folder, args);
    assert!(!output.status.success(), "{args:?}");
    let said = stderr(&output);
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("error: "), "{said}");
    last
}

/// The sizes and the training of a small encoder.
const SMALL: &str = "hidden_size = 32\nnum_hidden_layers = 2\nnum_attention_heads = 4\nintermediate_size = 64\n\
                     max_position_embeddings = 32\ninitializer_range = 0.15\n";
const TRAINING: &str = "[training]\nbatch_size = 16\nclip_norm = 1.0\n\
                        optimizer = { kind = \"adamw\", decay_vectors = false, learning_rate = 2e-3 }\n";

/// Writes texts, learns a vocabulary of them and trains an encoder on them, as `results/pre`.
fn pretrained(folder: &Path) {
    let mut rng = Seeds::new(8).stream("drawn", 0);
    for name in ["one", "two", "unseen"] {
        let mut text = String::new();
        for i in 0..240 {
            let line = sentence(i % 3, &mut rng);
            text += &line.split('\t').next_back().unwrap().replace(" .", ". ");
            if i % 6 == 5 {
                text += "\n\n";
            }
        }
        fs::create_dir_all(folder.join("texts")).unwrap();
        fs::write(folder.join(format!("texts/{name}.txt")), text).unwrap();
    }
    let words = [
        "data",
        "vocabulary",
        "--size",
        "80",
        "--out",
        "words",
        "texts",
    ];
    run(folder, &words);
    let config = format!(
        "name = \"pre\"\nepochs = 150\nseeds = [1]\n[data]\nkind = \"documents\"\npath = \"texts\"\n\
         validation = \"texts/unseen.txt\"\nvocabulary = \"words\"\nmax_len = 32\n\
         [model]\nkind = \"bert\"\n{SMALL}{TRAINING}[eval]\nevery_steps = 1000000\n"
    );
    fs::write(folder.join("pre.toml"), config).unwrap();
    run(folder, &["fit", "pre.toml"]);
}

#[test]
fn an_encoder_learns_fills_masks_and_is_tuned_and_published() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    pretrained(at);
    let summary = fs::read(at.join("results/pre/seed-1/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    let found = summary["final_return"].as_f64().unwrap();
    // Guessed by how often each word occurs: 2.7 nats.
    assert!(found > -1.6, "{found}");
    let said = run(at, &["eval", "results/pre"]);
    assert!(said.contains("word accuracy"), "{said}");
    let said = run(
        at,
        &[
            "predict",
            "results/pre",
            "--text",
            "the film was [MASK] .",
            "--top",
            "12",
        ],
    );
    let words = ["good", "bad", "long", "dull", "fine", "new"];
    let found = words.iter().filter(|word| said.contains(*word)).count();
    assert!(found >= 3, "{said}");
    let said = error(
        at,
        &["predict", "results/pre", "--text", "the film was good"],
    );
    assert!(said.contains("has no [MASK]"), "{said}");

    // Sentences, from the encoder and in its vocabulary.
    let mut rng = Seeds::new(9).stream("drawn", 0);
    let lines: String = (0..180).map(|i| sentence(i % 3, &mut rng) + "\n").collect();
    fs::write(at.join("said.tsv"), lines).unwrap();
    let config = format!(
        "name = \"tuned\"\nepochs = 10\nseeds = [1]\n[data]\nkind = \"sentences\"\npath = \"said.tsv\"\n\
         vocabulary = \"words\"\nmax_len = 32\nsplit = {{ validation = 0.25 }}\n\
         [model]\nkind = \"bert\"\nfrom = \"results/pre\"\n{TRAINING}"
    );
    fs::write(at.join("tuned.toml"), &config).unwrap();
    run(at, &["fit", "tuned.toml"]);
    let said = run(
        at,
        &[
            "predict",
            "results/tuned",
            "--text",
            "a song is dull .",
            "--text",
            "the book was lovely .",
        ],
    );
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("a song is dull .  bad 0.") && lines[1].contains("good 0."),
        "{said}"
    );

    // A published checkpoint gives the same scores.
    run(at, &["export", "results/tuned", "published"]);
    let json = fs::read_to_string(at.join("published/config.json")).unwrap();
    let keys: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(keys["architectures"][0], "BertForSequenceClassification");
    assert_eq!(keys["id2label"]["0"], "bad");
    fs::write(
        at.join("again.toml"),
        config
            .replace("results/pre", "published")
            .replace("\"tuned\"", "\"again\"")
            .replace("\"words\"", "\"published\""),
    )
    .unwrap();
    run(at, &["check", "again.toml"]);

    // Words of another vocabulary are refused.
    fs::create_dir_all(at.join("other")).unwrap();
    let words = fs::read_to_string(at.join("words/vocab.txt")).unwrap();
    fs::write(at.join("other/vocab.txt"), words.replace("song", "opera")).unwrap();
    fs::write(
        at.join("other.toml"),
        config.replace("vocabulary = \"words\"", "vocabulary = \"other\""),
    )
    .unwrap();
    let said = error(at, &["fit", "other.toml", "name=\"other\""]);
    assert!(
        said.contains("model.from: the data was tokenised with another vocabulary"),
        "{said}"
    );
    assert!(!at.join("results/other").exists());
}

#[test]
fn entities_and_answers_are_found_in_texts() {
    use rand::RngExt;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut rng = Seeds::new(10).stream("drawn", 0);
    let people = ["mary", "john", "ann", "bob"];
    let places = ["rome", "oslo", "lima"];
    let mut conll = String::new();
    let mut articles = Vec::new();
    for i in 0..160 {
        let person = people[rng.random_range(0..4)];
        let place = places[rng.random_range(0..3)];
        conll += &format!("{person}\tB-PER\nwent\tO\nto\tO\n{place}\tB-LOC\n.\tO\n\n");
        let context = format!("{person} went to {place} .");
        let start = context.find(place).unwrap();
        articles.push(
            serde_json::json!({"title": "t", "paragraphs": [{"context": context, "qas": [
            {"id": format!("q{i}"), "question": format!("where is {person} ?"),
             "answers": [{"text": place, "answer_start": start}]}]}]}),
        );
    }
    fs::write(at.join("tags.conll"), conll).unwrap();
    let squad = serde_json::json!({"version": "1.1", "data": articles});
    fs::write(at.join("questions.json"), squad.to_string()).unwrap();
    let words = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "mary", "john", "ann", "bob", "rome", "oslo",
        "lima", "went", "to", "where", "is", "?", ".",
    ];
    fs::write(at.join("vocab.txt"), words.join("\n")).unwrap();
    for (name, kind, path) in [
        ("tags", "tagged", "tags.conll\""),
        (
            "answers",
            "questions",
            "questions.json\"\nlongest_question = 8",
        ),
    ] {
        let config = format!(
            "name = \"{name}\"\nepochs = 12\nseeds = [1]\n[data]\nkind = \"{kind}\"\npath = \"{path}\n\
             vocabulary = \"vocab.txt\"\nmax_len = 32\nsplit = {{ validation = 0.25 }}\n\
             [model]\nkind = \"bert\"\n{SMALL}{TRAINING}"
        );
        fs::write(at.join("small.toml"), config).unwrap();
        run(at, &["fit", "small.toml"]);
    }
    let said = run(
        at,
        &["predict", "results/tags", "--text", "bob went to oslo ."],
    );
    assert!(
        said.contains("PER      bob") && said.contains("LOC      oslo"),
        "{said}"
    );
    let said = run(
        at,
        &[
            "predict",
            "results/answers",
            "--text",
            "where is ann ?\tann went to lima .",
        ],
    );
    assert!(
        said.contains("  lima  ") && said.contains("bytes 12 to 16"),
        "{said}"
    );
    let said = run(at, &["eval", "results/answers"]);
    assert!(
        said.contains("exact match") && said.contains("F1"),
        "{said}"
    );
    let said = run(at, &["eval", "results/tags"]);
    assert!(said.contains("entity F1"), "{said}");
}
