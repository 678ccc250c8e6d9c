//! Supervised models by the program as a person uses it, and what agents make of them.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;

use thorndike_nets::{Which, find_model};
use thorndike_tests::{MODELS, small_model, stderr, stdout, thorndike};

/// Writes the configuration of a model and trains it; gives what was printed.
fn fitted(folder: &Path, kind: &str, overrides: &[&str]) -> String {
    fs::write(folder.join("small.toml"), small_model(folder, kind)).unwrap();
    let args = [&["fit", "small.toml"], overrides].concat();
    let output = thorndike(folder, &args);
    assert!(output.status.success(), "{kind}: {}", stderr(&output));
    stdout(&output)
}

/// The one-line error of a configuration with `overrides`.
fn error(folder: &Path, kind: &str, overrides: &[&str]) -> String {
    fs::write(folder.join("small.toml"), small_model(folder, kind)).unwrap();
    let args = [&["fit", "small.toml"], overrides].concat();
    let output = thorndike(folder, &args);
    assert_eq!(output.status.code(), Some(2), "{overrides:?}");
    assert!(!folder.join("results/small").exists(), "{overrides:?}");
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// The score of each seed at the end.
fn scores(folder: &Path) -> [f64; 2] {
    [1, 2].map(|seed| {
        let path = folder.join(format!("results/small/seed-{seed}/summary.json"));
        let summary: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        summary["final_return"].as_f64().unwrap()
    })
}

#[test]
fn every_kind_of_model_learns_what_was_drawn_for_it() {
    for kind in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let said = fitted(folder.path(), kind, &[]);
        // Chance is a third, a third, a quarter, ln 6 nats, and an empty mask.
        let enough = match kind {
            "perceptron" | "mlp" | "cnn" | "bert" => 0.9,
            // Half of the characters follow from the others, the other half is one of two: 0.35 nats at best.
            "rnn" => -0.5,
            _ => 0.8,
        };
        let found = scores(folder.path());
        assert!(
            found.iter().all(|&score| score >= enough),
            "{kind}: {found:?}\n{said}"
        );
        assert!(folder.path().join("results/small/curve.png").is_file());
    }
}

#[test]
fn a_model_is_scored_and_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fitted(at, "mlp", &["seeds=[1]"]);
    let output = thorndike(at, &["eval", "results/small"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    for part in [
        "accuracy",
        "macro F1",
        "ROC AUC",
        "calibration error",
        "oak",
        "95 % interval",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(at.join("results/small/confusion.png").is_file());

    fs::write(
        at.join("new.csv"),
        "x,y,word\n3.1,0.1,b\n0.0,3.0,never-seen\n",
    )
    .unwrap();
    let output = thorndike(at, &["predict", "results/small", "new.csv", "--top", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].contains("  elm 0.") && lines[1].contains("  fir 0."),
        "{said}"
    );

    let output = thorndike(
        at,
        &["predict", "results/small", "new.csv", "--out", "said.csv"],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let table = fs::read_to_string(at.join("said.csv")).unwrap();
    assert_eq!(table.lines().next(), Some("sample,\"elm\",\"fir\",\"oak\""));
    for line in table.lines().skip(1) {
        let numbers = line
            .rsplitn(4, ',')
            .take(3)
            .map(|x| x.parse::<f64>().unwrap());
        assert!((numbers.sum::<f64>() - 1.0).abs() < 1e-5, "{line}");
    }
}

#[test]
fn a_model_of_characters_goes_on_with_a_text_of_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fitted(at, "rnn", &["seeds=[1]"]);
    let write = |seed: &str| {
        let args = [
            "predict",
            "results/small",
            "--write",
            "60",
            "--prompt",
            "(b",
            "--sample-seed",
            seed,
        ];
        let output = thorndike(at, &args);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let text = write("1");
    assert_eq!(text, write("1"));
    assert_ne!(text, write("2"));
    let letters: Vec<char> = text.trim().chars().collect();
    // Brackets and letters take turns in all that it has read.
    let right = letters
        .chunks(2)
        .filter(|pair| "()".contains(pair[0]))
        .count();
    assert!(right >= 28, "{text}");
}

#[test]
fn early_stopping_ends_a_run_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = fitted(
        at,
        "perceptron",
        &[
            "seeds=[1]",
            "epochs=200",
            "training.early_stopping={ patience = 3 }",
        ],
    );
    let path = at.join("results/small/seed-1/summary.json");
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(summary["steps"].as_u64().unwrap() < 180 * 100, "{said}");
    let before = fs::read(at.join("results/small/seed-1/events.jsonl")).unwrap();
    let output = thorndike(at, &["resume", "results/small"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let after = fs::read(at.join("results/small/seed-1/events.jsonl")).unwrap();
    assert!(before == after, "it went on");
}

#[test]
fn mistakes_are_refused_before_training_with_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (kind, overrides, part) in [
        ("mlp", vec!["model.kind=perceptro"], "model: "),
        ("mlp", vec!["model.hiden=[3]"], "unknown field `hiden`"),
        (
            "mlp",
            vec!["training.class_weights=[1, 2]"],
            "training.class_weights: [1.0, 2.0] does not fit; give 3",
        ),
        (
            "mlp",
            vec!["training.optimizer.learning_rate=-1"],
            "learning_rate",
        ),
        (
            "mlp",
            vec!["training.batch_siz=3"],
            "unknown field `batch_siz`",
        ),
        (
            "mlp",
            vec!["data.path=data/iris.csv"],
            "data.path: data/iris.csv is not there; run scripts/data iris",
        ),
        (
            "mlp",
            vec!["data.split={ validation = 1.5 }"],
            "data.split.validation: 1.5",
        ),
        ("mlp", vec!["epochs=0"], "epochs: 0 is out of range"),
        (
            "mlp",
            vec!["eval.episodes=3"],
            "eval: a model has eval.every_steps alone",
        ),
        (
            "cnn",
            vec!["model.layers=[{ filters = 4, size = 17, stride = 1 }]"],
            "layers[0].size: 17",
        ),
        (
            "cnn",
            vec!["data.classes=[\"a\", \"b\"]"],
            "byte 10: the label is 2, expected 0 to 1",
        ),
        (
            "cnn",
            vec!["data.augment=[{ kind = \"flop\" }]"],
            "data.augment",
        ),
        (
            "u-net",
            vec!["model.kind=mlp", "model={ kind = \"mlp\" }"],
            "u-net",
        ),
        ("rnn", vec!["model={ kind = \"mlp\" }"], "rnn"),
    ] {
        let said = error(at, kind, &overrides);
        assert!(said.contains(part), "{overrides:?} gave: {said}");
    }
    // Numbers that are none, in the data.
    fs::write(at.join("small.toml"), small_model(at, "mlp")).unwrap();
    let table = at.join("drawn/table.csv");
    let text = fs::read_to_string(&table).unwrap();
    let third = text.lines().nth(2).unwrap();
    let (_, rest) = third.split_once(',').unwrap();
    fs::write(&table, text.replace(third, &format!("NaN,{rest}"))).unwrap();
    let output = thorndike(at, &["fit", "small.toml"]);
    let said = stderr(&output);
    assert!(
        said.contains("table.csv: line 3") && said.contains('x'),
        "{said}"
    );
}

#[test]
fn what_an_agent_cannot_read_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fitted(at, "cnn", &["seeds=[1]", "epochs=1"]);
    let agent = |from: &str| {
        let text = format!(
            "name = \"agent\"\nsteps = 50\n[env]\nid = \"cart-pole\"\n[agent]\nid = \"dqn\"\n\
             params = {{ extractor = {{ kind = \"pretrained\", from = \"{from}\" }} }}\n"
        );
        fs::write(at.join("agent.toml"), text).unwrap();
        let output = thorndike(at, &["train", "agent.toml"]);
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    };
    let said = agent("results/small");
    assert!(
        said.contains("extractor.from: results/small reads box(1x16x16"),
        "{said}"
    );
    assert!(said.contains("and the observations are box(4;"), "{said}");
    let said = agent("results/smal");
    assert!(
        said.contains("extractor.from: results/smal is not there"),
        "{said}"
    );
    // A damaged file is named.
    let dir = find_model(&at.join("results/small"), Which::Best).unwrap();
    let weights = dir.join("weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let said = agent("results/small");
    assert!(
        said.contains("weights.safetensors") && said.contains("damaged"),
        "{said}"
    );
}

#[test]
fn agents_learn_behind_a_model_frozen_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fitted(at, "cnn", &["seeds=[1]", "epochs=2"]);
    let weights = |run: &str| {
        let latest = at.join(format!("results/{run}/seed-1/checkpoints"));
        let name = fs::read_to_string(latest.join("latest")).unwrap();
        latest.join(name).join("agent")
    };
    for (run, freeze) in [
        ("frozen", "true"),
        ("fine", "false"),
        ("later", "{ until_step = 10_000 }"),
    ] {
        let text = format!(
            "name = \"{run}\"\nsteps = 300\n[env]\nid = \"cart-pole-pixels\"\nresize = [16, 16]\n[agent]\nid = \"dqn\"\n\
             params = {{ warmup_steps = 50, batch_size = 8, replay = {{ capacity = 200 }}, \
             extractor = {{ kind = \"pretrained\", from = \"results/small\", freeze = {freeze} }} }}\n\
             [eval]\nepisodes = 1\nfinal_episodes = 1\n"
        );
        fs::write(at.join("agent.toml"), text).unwrap();
        let output = thorndike(at, &["train", "agent.toml"]);
        assert!(output.status.success(), "{freeze}: {}", stderr(&output));
    }
    // Frozen: the agent's own file has no extractor, which lies beside it.
    let size = |run: &str, file: &str| fs::metadata(weights(run).join(file)).map(|m| m.len()).ok();
    assert!(size("frozen", "extractor.safetensors").is_some());
    assert!(size("fine", "extractor.safetensors").is_none());
    assert!(size("frozen", "weights.safetensors") < size("fine", "weights.safetensors"));
    // Until a step that is not reached, nothing of it moves; without, all of it does.
    let read = |run: &str| fs::read(weights(run).join("weights.safetensors")).unwrap();
    assert_ne!(read("fine"), read("later"));
}

#[test]
fn sequences_with_tags_learn_in_batches_of_any_size_and_crops_need_a_model_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let drawn = thorndike(at, &["data", "copy", "data/copy", "--samples", "300"]);
    assert!(drawn.status.success(), "{}", stderr(&drawn));
    let shown = stdout(&drawn);
    let table = &shown[shown.find("[data]").unwrap()..];
    let config = |model: &str| {
        format!(
            "name = \"small\"\nepochs = 12\nseeds = [1, 2]\n{table}\n[model]\nkind = \"rnn\"\n{model}\n[training]\n\
             batch_size = 64\noptimizer = {{ kind = \"adam\", learning_rate = 2e-2 }}\n"
        )
    };
    for model in [
        "cell = \"gru\"\nunits = 32",
        "cell = \"rnn\"\nunits = 8\nbidirectional = true",
    ] {
        fs::write(at.join("small.toml"), config(model)).unwrap();
        let output = thorndike(at, &["fit", "small.toml", "--force"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let resumed = thorndike(at, &["resume", "results/small", "steps=4000"]);
        assert!(resumed.status.success(), "{}", stderr(&resumed));
    }
    fs::write(at.join("small.toml"), config("cell = \"gru\"\nunits = 32")).unwrap();
    thorndike(at, &["fit", "small.toml", "--force"]);
    let found = scores(at);
    // A quarter is chance.
    assert!(found.iter().all(|&score| score > 0.9), "{found:?}");
    fs::remove_dir_all(at.join("results")).unwrap();

    fs::write(at.join("small.toml"), small_model(at, "cnn")).unwrap();
    let crop = "data.augment=[{ kind = \"crop\", size = [8, 8] }]";
    let output = thorndike(at, &["fit", "small.toml", crop]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("this model reads inputs of shape [1, 16, 16]"),
        "{said}"
    );
}
