//! Clients and a server by the program as a person uses it.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use thorndike_tests::{
    final_state, small_config, small_federated, small_model, stderr, stdout, thorndike,
};

/// Runs `config`; gives what was printed on both outputs.
fn done(folder: &Path, verb: &str, config: &str, overrides: &[&str]) -> [String; 2] {
    fs::write(folder.join("small.toml"), config).unwrap();
    let args = [&[verb, "small.toml", "--force"], overrides].concat();
    let output = thorndike(folder, &args);
    assert!(
        output.status.success(),
        "{overrides:?}: {}",
        stderr(&output)
    );
    [stdout(&output), stderr(&output)]
}

/// The weights at the end of the first seed.
fn weights(folder: &Path, name: &str) -> Vec<u8> {
    let files = final_state(&folder.join("results").join(name), 1);
    let found = files
        .into_iter()
        .find(|(path, _)| path.ends_with("weights.safetensors"));
    found.unwrap().1
}

fn summary(folder: &Path, name: &str) -> Value {
    let path = folder.join(format!("results/{name}/seed-1/summary.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A federated model without what is left to chance in a round.
fn plain(folder: &Path, kind: &str) -> String {
    let config = small_model(folder, kind).replace("epochs = 12\n", "");
    let config = config.replace("every_steps = 100", "every_steps = 1");
    format!("{config}\n[federated]\nrounds = 3\nclients = 3\n")
}

#[test]
fn one_client_alone_is_central_training_to_the_last_bit() {
    // An optimiser that gathers nothing: it is a fresh one in each round.
    let sgd = "training.optimizer={ kind = \"sgd\", learning_rate = { kind = \"cosine\", from = 0.05, to = 0.01 } }";
    for (kind, samples) in [("mlp", 3 * 180), ("cnn", 3 * 120), ("rnn", 3 * LANES)] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let central = small_model(at, kind);
        let steps = format!("steps={samples}");
        done(
            at,
            "fit",
            &central,
            &["seeds=[1]", &steps, sgd, "name=central"],
        );
        let steps = format!("federated.schedule_samples={samples}");
        let one = [
            "seeds=[1]",
            &steps,
            sgd,
            "federated.clients=1",
            "name=federated",
        ];
        done(at, "fit", &plain(at, kind), &one);
        assert!(
            weights(at, "central") == weights(at, "federated"),
            "{kind}: other weights"
        );
        let score = |name| summary(at, name)["final_return"].as_f64().unwrap();
        assert_eq!(score("central"), score("federated"), "{kind}");
    }
}

/// Samples of a pass through 239 that go on where others end, in 8 lanes of equal length.
const LANES: usize = 8 * 29;

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (what, verb) in [("cnn", "fit"), ("dqn", "train")] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let config = small_federated(at, what);
        let run = |threads: usize| {
            let name = format!("name=threads-{threads}");
            let threads = format!("federated.threads={threads}");
            done(at, verb, &config, &["seeds=[1]", &name, &threads]);
            let experiment = at.join("results").join(&name[5..]);
            let events = fs::read(experiment.join("seed-1/events.jsonl")).unwrap();
            (events, final_state(&experiment, 1))
        };
        assert!(run(1) == run(4), "{what}: another result");
    }
}

#[test]
fn clients_learn_together_and_the_table_says_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let [said, begun] = done(
        at,
        "fit",
        &plain(at, "mlp"),
        &["seeds=[1]", "federated.rounds=15"],
    );
    assert!(begun.contains("3 clients of 60 samples each"), "{begun}");
    let found = summary(at, "small");
    assert!(found["final_return"].as_f64().unwrap() >= 0.9, "{found}");
    let sent = &found["federated"];
    assert_eq!((&sent["clients"], &sent["rounds"]), (&3.into(), &15.into()));
    // Two numbers and two words in, 16 units, 3 classes: 4 * 16 + 16 + 16 * 3 + 3 weights, and mean and deviation of each
    // input.
    let bytes = 3.0 * 4.0 * (131.0 + 8.0);
    let down = sent["bytes_down"].as_f64().unwrap();
    assert!(down > bytes && down < bytes + 3.0 * 40.0, "{down}");
    assert!(said.contains("down a round  up a round"), "{said}");
    // It is a model like any other.
    let scored = thorndike(at, &["eval", "results/small"]);
    assert!(scored.status.success(), "{}", stderr(&scored));
    fs::write(at.join("new.csv"), "x,y,word\n3.1,0.1,b\n").unwrap();
    let told = thorndike(at, &["predict", "results/small", "new.csv"]);
    assert!(stdout(&told).contains("elm"), "{}", stderr(&told));
    let longer = thorndike(at, &["resume", "results/small", "federated.rounds=16"]);
    assert!(longer.status.success(), "{}", stderr(&longer));
    assert_eq!(summary(at, "small")["federated"]["rounds"], 16);
}

#[test]
fn agents_learn_together_and_play_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = small_federated(at, "dqn");
    let [said, begun] = done(at, "train", &config, &["seeds=[1]"]);
    assert!(
        begun.contains("5 clients of 60 environment steps a round, 3 kinds of environments"),
        "{begun}"
    );
    assert!(said.contains("down a round  up a round"), "{said}");
    let events = fs::read_to_string(at.join("results/small/seed-1/events.jsonl")).unwrap();
    assert!(events.contains("\"event\":\"episode\"") && events.contains("return/env-2"));
    let played = thorndike(
        at,
        &[
            "eval",
            "results/small",
            "--env",
            "gravity=5.0",
            "--episodes",
            "2",
        ],
    );
    assert!(played.status.success(), "{}", stderr(&played));
}

#[test]
fn a_client_that_diverges_is_left_out_by_name_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = plain(at, "mlp");
    // One sample, and so one client, whose square is no number in f32.
    let table = at.join("drawn/table.csv");
    let text = fs::read_to_string(&table).unwrap();
    let third = text.lines().nth(2).unwrap();
    let (_, rest) = third.split_once(',').unwrap();
    fs::write(&table, text.replace(third, &format!("3e38,{rest}"))).unwrap();
    let without = [
        "seeds=[1]",
        "training.normalize=false",
        "data.split.validation=0.02",
    ];
    let [said, warned] = done(at, "fit", &config, &without);
    let named = warned.lines().find(|line| line.contains("is left out"));
    let named = named.unwrap_or_else(|| panic!("{warned}"));
    assert!(
        named.starts_with("warning: seed 1, round ") && named.contains(": the loss is "),
        "{named}"
    );
    let found = summary(at, "small");
    let left_out = found["federated"]["left_out"].as_object().unwrap();
    assert_eq!(left_out.len(), 1, "{found}");
    let (name, rounds) = left_out.iter().next().unwrap();
    assert!(named.contains(&format!(": {name} is left out")), "{named}");
    let told = format!("{name} was left out of {rounds} of them");
    assert!(said.contains(&told), "{said}");
    assert_eq!(
        warned.matches("is left out").count(),
        1,
        "once is enough: {warned}"
    );
}

#[test]
fn privacy_is_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = plain(at, "mlp");
    let privacy = "federated.privacy={ clip = 1.0, noise = 1.0, delta = 1e-3 }";
    let all = [
        "seeds=[1]",
        privacy,
        "federated.rounds=5",
        "federated.clients=60",
        "federated.fraction=0.5",
        "training.normalize=false",
    ];
    let [said, _] = done(at, "fit", &config, &all);
    let found = summary(at, "small");
    let epsilon = found["federated"]["epsilon"].as_f64().unwrap();
    // As opacus.accountants.analysis.rdp of Opacus 1.6.0 has it, of five rounds.
    assert!((epsilon - EPSILON).abs() < 1e-6, "{epsilon}");
    assert!(said.contains("epsilon"), "{said}");
}
const EPSILON: f64 = 5.916_109_742_886_152;

#[test]
fn mistakes_are_refused_before_training_with_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let model = plain(at, "mlp");
    let cnn = plain(at, "cnn");
    let rnn = plain(at, "rnn");
    let agent = small_config("dqn").replace("steps = 1500\n", "");
    let agent = format!("{agent}[federated]\nrounds = 2\n");
    let table = agent
        .replace("\"dqn\"", "\"q-learning\"")
        .replace("cart-pole", "frozen-lake");
    let table: String = table
        .lines()
        .filter(|l| !l.starts_with("params"))
        .map(|l| format!("{l}\n"))
        .collect();
    let perceptron = plain(at, "perceptron");
    let privacy = "federated.privacy={ clip = 1.0, noise = 1.0, delta = 1e-3 }";
    for (config, overrides, part) in [
        (
            &model,
            vec!["federated.clients=500"],
            "federated.clients: 500 clients cannot share 180 samples; give 1 to 180",
        ),
        (
            &model,
            vec!["federated.rounds=0"],
            "federated.rounds: 0 is out of range",
        ),
        (
            &model,
            vec!["federated.fraktion=1"],
            "unknown field `fraktion`",
        ),
        (
            &model,
            vec!["federated.split={ kind = \"owner\" }"],
            "federated.split: nobody owns samples",
        ),
        (
            &model,
            vec!["federated.split={ kind = \"dirichlet\", alpha = -1.0 }"],
            "federated.split.alpha: -1 is out of range",
        ),
        (
            &model,
            vec!["federated.server={ kind = \"adagrad\" }"],
            "federated.server",
        ),
        (
            &model,
            vec!["federated.local_steps=3"],
            "federated.local_steps: belongs to agents",
        ),
        (
            &model,
            vec!["federated.envs=[{ gravity = 3.0 }]"],
            "federated.envs: belongs to agents",
        ),
        (
            &model,
            vec!["epochs=3"],
            "epochs: a federated run has federated.rounds instead",
        ),
        (
            &model,
            vec!["steps=3"],
            "steps: a federated run has federated.rounds instead",
        ),
        (
            &model,
            vec!["training.accumulate=2"],
            "training.accumulate: a client makes an update of each batch",
        ),
        (&model, vec![privacy], "training.normalize = false"),
        (
            &cnn,
            vec![privacy, "training.normalize=false"],
            "federated.privacy: the model keeps",
        ),
        (
            &rnn,
            vec!["federated.split={ kind = \"dirichlet\", alpha = 1.0 }"],
            "federated.split.kind: \"dirichlet\" takes a class",
        ),
        (
            &perceptron,
            vec![],
            "model.kind: its weights cannot be put together",
        ),
        (
            &agent,
            vec!["federated.local_epochs=3"],
            "federated.local_epochs: belongs to models",
        ),
        (
            &agent,
            vec!["federated.split={ kind = \"iid\" }"],
            "federated.split: belongs to models",
        ),
        (
            &agent,
            vec!["federated.proximal_mu=0.1"],
            "federated.proximal_mu: belongs to models",
        ),
        (
            &agent,
            vec!["federated.envs=[{}, { gravty = 3.0 }]"],
            "gravty",
        ),
        (
            &agent,
            vec!["federated.envs=[{}, { gravity = -3.0 }]"],
            "gravity: -3 is out of range",
        ),
        (
            &agent,
            vec!["ahead={}"],
            "federated: clients learn on threads of their own already",
        ),
        (
            &table,
            vec![],
            "agent.id: its weights cannot be put together",
        ),
    ] {
        fs::write(at.join("small.toml"), config).unwrap();
        let verb = if config.contains("[env]") {
            "train"
        } else {
            "fit"
        };
        let output = thorndike(at, &[&[verb, "small.toml"], &overrides[..]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{overrides:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(part), "{overrides:?} gave: {said}");
        assert!(!at.join("results/small").exists(), "{overrides:?}");
    }
}
