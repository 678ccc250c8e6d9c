//! What others read: TensorBoard opens the logs, and the weights are safetensors files. Each test is skipped where the
//! Python package is missing.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;
use std::process::Command;

use thorndike_tests::{small_config, small_model, stderr, thorndike};

/// Runs `script` with `arg`; `None` if one of `modules` is missing.
fn python(modules: &[&str], script: &str, arg: &Path) -> Option<String> {
    let import = format!("import {}", modules.join(", "));
    let there = Command::new("python3")
        .args(["-c", &import])
        .output()
        .ok()?;
    if !there.status.success() {
        println!("skipped: python3 cannot import {}", modules.join(", "));
        return None;
    }
    let output = Command::new("python3")
        .arg("-c")
        .arg(script)
        .arg(arg)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn trained(agent: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), small_config(agent)).unwrap();
    let output = thorndike(folder.path(), &["train", "small.toml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    folder
}

#[test]
fn tensorboard_reads_the_logs() {
    let folder = trained("q-learning");
    let seed = folder.path().join("results/small/seed-1");
    let script = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
log = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0})
log.Reload()
for tag in sorted(log.Tags()['scalars']):
    for event in log.Scalars(tag):
        print(event.step, tag, event.value, sep=',')
";
    let Some(text) = python(&["tensorboard"], script, &seed.join("tensorboard")) else {
        return;
    };
    let rows = |text: &str| -> Vec<(u64, String, f32)> {
        let mut rows: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with("step,"))
            .map(|line| {
                let mut parts = line.split(',');
                let step = parts.next().unwrap().parse().unwrap();
                let name = parts.next().unwrap().to_owned();
                (
                    step,
                    name,
                    parts.next().unwrap().parse::<f64>().unwrap() as f32,
                )
            })
            .collect();
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
        rows
    };
    let table = fs::read_to_string(seed.join("progress.csv")).unwrap();
    let (read, written) = (rows(&text), rows(&table));
    assert!(written.iter().any(|row| row.1 == "eval/episode_return"));
    assert_eq!(read, written);
}

#[test]
fn python_opens_the_weights() {
    for agent in ["q-learning", "dqn"] {
        let folder = trained(agent);
        let root = folder.path().join("results/small/seed-1/checkpoints");
        let latest = fs::read_to_string(root.join("latest")).unwrap();
        let script = "
import glob, sys
from safetensors.numpy import load_file
files = glob.glob(sys.argv[1] + '/*.safetensors')
assert files
for file in files:
    for name, tensor in load_file(file).items():
        print(name, tensor.dtype, tensor.shape, abs(tensor).sum())
";
        let Some(text) = python(
            &["safetensors.numpy", "numpy"],
            script,
            &root.join(latest).join("agent"),
        ) else {
            return;
        };
        assert!(text.lines().count() >= 1, "{agent}");
        println!("{text}");
    }
}

#[test]
fn transformers_opens_an_exported_encoder_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("small.toml"), small_model(at, "bert")).unwrap();
    for args in [
        &["fit", "small.toml", "seeds=[1]", "epochs=2"][..],
        &["export", "results/small", "published"],
        &[
            "predict",
            "results/small",
            "--text",
            "the film was good and long .",
            "--text",
            "a duller song .",
            "--out",
            "said.csv",
        ],
    ] {
        let output = thorndike(at, args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
    let script = "
import sys, torch
from transformers import AutoTokenizer, AutoModelForSequenceClassification
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
for text in ['the film was good and long .', 'a duller song .']:
    with torch.no_grad():
        shares = model(**tokenizer(text, return_tensors='pt')).logits.softmax(-1)[0]
    print(*[f'{x:.9f}' for x in shares.tolist()], sep=',')
";
    let Some(theirs) = python(&["torch", "transformers"], script, &at.join("published")) else {
        return;
    };
    let ours = fs::read_to_string(at.join("said.csv")).unwrap();
    assert_eq!(ours.lines().count(), 3, "{ours}");
    for (ours, theirs) in ours.lines().skip(1).zip(theirs.lines()) {
        let ours = ours
            .rsplitn(4, ',')
            .take(3)
            .map(|x| x.parse::<f64>().unwrap());
        let theirs = theirs.split(',').rev().map(|x| x.parse::<f64>().unwrap());
        for (a, b) in ours.zip(theirs) {
            // Softmax of f32 sums in another order.
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
