//! Scores of entities and answers against those that seqeval and the SQuAD script gave, as the files in the folder
//! `metric_golden` of the data have them.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thorndike_data::score::{Entities, Scheme, Tags, answer_f1, exact_match};

/// The folder with the data, if there is one.
fn data() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("THORNDIKE_DATA");
    let data = workspace.join(data.as_deref().unwrap_or("../shared/data".as_ref()));
    if data.join("metric_golden").is_dir() {
        return Some(data);
    }
    eprintln!("skipped: no metric_golden in {}", data.display());
    None
}

/// The JSON files of `folder`.
fn files(folder: &Path) -> Vec<(PathBuf, Value)> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, serde_json::from_str(&text).unwrap())
    };
    paths.into_iter().map(read).collect()
}

fn close(what: &str, found: f64, expected: &Value) {
    let expected = expected
        .as_f64()
        .unwrap_or_else(|| panic!("{what}: no number is expected"));
    assert!(
        (found - expected).abs() <= 1e-9,
        "{what}: {found}, expected {expected}"
    );
}

#[test]
fn metric_golden_entities_are_counted_as_seqeval_counts_them() {
    let Some(data) = data() else { return };
    let golden = files(&data.join("metric_golden"));
    let golden: Vec<_> = golden
        .iter()
        .filter(|(_, json)| json["pred_tags"].is_array())
        .collect();
    for (path, json) in &golden {
        let gold = data.join(json["gold_file"].as_str().unwrap());
        let mut truth: Vec<Vec<String>> = vec![Vec::new()];
        for line in fs::read_to_string(gold).unwrap().lines() {
            match line.rsplit_once(['\t', ' ']) {
                Some((_, tag)) => truth.last_mut().unwrap().push(tag.to_owned()),
                None => truth.push(Vec::new()),
            }
        }
        truth.retain(|tags| !tags.is_empty());
        let said = json["pred_tags"].as_array().unwrap();
        assert_eq!(truth.len(), said.len());
        let said: Vec<Vec<String>> = said
            .iter()
            .map(|tags| {
                tags.as_str()
                    .unwrap()
                    .split(' ')
                    .map(str::to_owned)
                    .collect()
            })
            .collect();
        let mut names: Vec<String> = truth.iter().chain(&said).flatten().cloned().collect();
        names.sort();
        names.dedup();
        let numbers: HashMap<&str, i32> = names.iter().map(String::as_str).zip(0..).collect();
        let tags = Tags::of(&names).unwrap();
        let expected = &json["expected"];
        for (scheme, key) in [(Scheme::Conll, "default"), (Scheme::Strict, "strict_IOB2")] {
            let mut entities = Entities::new(tags.clone(), scheme);
            let (mut right, mut words) = (0, 0);
            for (truth, said) in truth.iter().zip(&said) {
                let number = |tags: &Vec<String>| -> Vec<i32> {
                    tags.iter().map(|tag| numbers[tag.as_str()]).collect()
                };
                entities.add(&number(truth), &number(said));
                right += truth.iter().zip(said).filter(|(a, b)| a == b).count();
                words += truth.len();
            }
            let what = format!("{} {key}", path.display());
            let (all, expected_of) = (entities.all(), &expected[key]);
            close(&what, all.precision, &expected_of["precision"]);
            close(&what, all.recall, &expected_of["recall"]);
            close(&what, all.f1, &expected_of["micro_f1"]);
            close(
                &what,
                right as f64 / words as f64,
                &expected["token_accuracy"],
            );
            if scheme == Scheme::Conll {
                let mut mean = (0.0, 0.0);
                for (name, score) in entities.per_type() {
                    close(name, score.f1, &expected["per_type_f1_default"][name]);
                    mean = (mean.0 + score.f1, mean.1 + 1.0);
                }
                close(&what, mean.0 / mean.1, &expected_of["macro_f1"]);
            }
        }
    }
    assert!(
        !golden.is_empty(),
        "no file with pred_tags in metric_golden"
    );
}

#[test]
fn metric_golden_answers_are_scored_as_the_squad_script_scores_them() {
    let Some(data) = data() else { return };
    let golden = files(&data.join("metric_golden"));
    let golden: Vec<_> = golden
        .iter()
        .filter(|(_, json)| json["predictions"].is_object())
        .collect();
    // Right answers of all SQuAD files, by the id of the question.
    let mut answers: HashMap<String, Vec<String>> = HashMap::new();
    let mut sizes = Vec::new();
    for folder in fs::read_dir(&data).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.is_dir() || folder.ends_with("metric_golden") {
            continue;
        }
        for (_, json) in files(&folder) {
            let before = answers.len();
            for article in json["data"].as_array().unwrap_or(&Vec::new()) {
                for paragraph in article["paragraphs"].as_array().unwrap_or(&Vec::new()) {
                    for asked in paragraph["qas"].as_array().unwrap() {
                        let given = asked["answers"].as_array().unwrap().iter();
                        let given = given.map(|answer| answer["text"].as_str().unwrap().to_owned());
                        answers.insert(asked["id"].as_str().unwrap().to_owned(), given.collect());
                    }
                }
            }
            sizes.push(answers.len() - before);
        }
    }
    for (path, json) in &golden {
        let (mut exact, mut f1) = (0.0, 0.0);
        for (id, said) in json["predictions"].as_object().unwrap() {
            let said = said.as_str().unwrap();
            exact += exact_match(said, &answers[id]);
            f1 += answer_f1(said, &answers[id]);
        }
        // Questions without a prediction count 0.
        let expected = &json["expected"];
        let total = expected["total"].as_u64().unwrap();
        assert!(
            sizes.contains(&(total as usize)),
            "{total} questions, files have {sizes:?}"
        );
        close(
            &format!("{} exact", path.display()),
            100.0 * exact / total as f64,
            &expected["exact_match"],
        );
        close(
            &format!("{} F1", path.display()),
            100.0 * f1 / total as f64,
            &expected["f1"],
        );
    }
    assert!(
        !golden.is_empty(),
        "no file with predictions in metric_golden"
    );
}
