//! From one task to another, and several at once, by the program as a person uses it.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;

use thorndike_tests::{
    small_mixed, small_model, small_tasks, small_thawing, stderr, stdout, thorndike,
};

/// Runs the program and gives what it printed.
fn run(folder: &Path, args: &[&str]) -> String {
    let output = thorndike(folder, args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

/// The one line that a configuration is refused by.
fn refused(folder: &Path, command: &str, config: &str, overrides: &[&str]) -> String {
    fs::write(folder.join("refused.toml"), config).unwrap();
    let output = thorndike(folder, &[&[command, "refused.toml"], overrides].concat());
    assert_ne!(output.status.code(), Some(0), "{overrides:?}");
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// What `summary.json` of seed 1 of `small` holds.
fn summary(folder: &Path) -> serde_json::Value {
    let path = folder.join("results/small/seed-1/summary.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn one_network_learns_two_tasks_by_each_weighting_and_is_scored_in_each() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (weighting, weighs) in [
        ("{ kind = \"fixed\" }", false),
        ("{ kind = \"uncertainty\" }", true),
        ("{ kind = \"grad-norm\", alpha = 1.0 }", true),
    ] {
        fs::write(at.join("small.toml"), small_tasks(at, weighting)).unwrap();
        run(at, &["fit", "small.toml", "--force"]);
        let numbers = &summary(at)["scores"]["numbers"];
        for task in ["corner", "side"] {
            // Chance is a quarter and a half.
            let score = numbers[format!("task/{task}/accuracy")].as_f64().unwrap();
            assert!(score > 0.9, "{weighting}: {numbers}");
            assert_eq!(numbers[format!("weight/{task}")].is_number(), weighs);
        }
    }
    let said = run(at, &["eval", "results/small"]);
    assert!(
        said.contains("seed 1, task corner  40 samples") && said.contains("task side"),
        "{said}"
    );
    let said = run(
        at,
        &["eval", "results/small", "--task", "side", "--seed", "1"],
    );
    assert!(!said.contains("corner") && said.contains("left"), "{said}");
    let output = thorndike(at, &["eval", "results/small", "--task", "sides"]);
    let said = stderr(&output);
    assert!(
        said.contains("no task \"sides\"; known: corner, side"),
        "{said}"
    );
    let output = thorndike(at, &["predict", "results/small", "drawn"]);
    assert!(stderr(&output).contains("task: missing; give one of corner, side"));
    // One network against one for each task.
    for task in ["corner", "side"] {
        let alone = small_tasks(at, "{ kind = \"fixed\" }");
        let other = if task == "corner" { "side" } else { "corner" };
        let start = alone.find(&format!("[tasks.{other}.data]")).unwrap();
        let rest = &alone[start + 1..];
        let end = start + 1 + rest.find("\n[").unwrap() + 1;
        let alone = format!("{}{}", &alone[..start], &alone[end..]);
        let alone = alone.replace("name = \"small\"", &format!("name = \"{task}-alone\""));
        fs::write(at.join("alone.toml"), alone).unwrap();
        run(at, &["fit", "alone.toml"]);
    }
    let args = [
        "compare",
        "results/small",
        "results/corner-alone",
        "results/side-alone",
    ];
    let said = run(at, &args);
    for part in ["corner", "side", "alone", "small"] {
        assert!(said.contains(part), "{said}");
    }
    // What both have learned is handed on as that of one.
    let further = small_model(at, "cnn");
    let model = further.find("[model]").unwrap();
    let training = further.find("[training]").unwrap();
    let head = further[..model].replace("\"small\"", "\"further\"");
    let handed = "[model]\nkind = \"pretrained\"\nfrom = \"results/small\"\n";
    fs::write(
        at.join("further.toml"),
        format!("{head}{handed}{}", &further[training..]),
    )
    .unwrap();
    run(at, &["fit", "further.toml", "epochs=2"]);
}

#[test]
fn tasks_that_cannot_be_learned_together_are_refused_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = small_tasks(at, "{ kind = \"uncertainty\" }");
    for (override_, expected) in [
        (
            "tasks.side.weight=2.0",
            "tasks.side.weight: weights are learned by this",
        ),
        (
            "training.batch_size=1",
            "training.batch_size: 1 samples are less than one of each task",
        ),
        (
            "training.accumulate=2",
            "training.accumulate: an update of several tasks",
        ),
        (
            "tasks.side.data.groups={ left = [\"9\"] }",
            "tasks.side.data.groups: no class \"9\"; known: 0, 1, 2, 3",
        ),
        (
            "tasks.side.data.path=\"nothing\"",
            "tasks.side.data.path: nothing is not there",
        ),
        ("tasks.side.dta=1", "tasks.side.dta: unknown field"),
        (
            "training.weighting.kind=\"hand\"",
            "training: weighting.kind: unknown variant `hand`",
        ),
        (
            "data={ kind = \"idx\", path = \"drawn\" }",
            "tasks: each has data of its own",
        ),
    ] {
        let said = refused(at, "fit", &config, &[override_]);
        assert!(said.contains(expected), "{override_}: {said}");
    }
    let one = small_model(at, "cnn");
    let said = refused(at, "fit", &one, &["training.mix=\"even\""]);
    assert!(said.contains("training.mix: shares a batch out"), "{said}");
    let said = refused(
        at,
        "fit",
        &one,
        &["training.weighting={ kind = \"uncertainty\" }"],
    );
    assert!(
        said.contains("training.weighting: weighs several tasks"),
        "{said}"
    );
    // A table of two numbers beside pictures.
    small_model(at, "mlp");
    let other = "tasks.side.data={ kind = \"table\", path = \"drawn/table.csv\" }";
    let said = refused(at, "fit", &config, &[other]);
    assert!(said.contains("tasks.side.data: inputs are box("), "{said}");
}

#[test]
fn a_new_head_on_trained_layers_learns_other_classes_from_few_samples() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = small_thawing(at);
    fs::write(at.join("small.toml"), &config).unwrap();
    run(at, &["fit", "small.toml"]);
    assert!(summary(at)["final_return"].as_f64().unwrap() > 0.9);
    // Scored by what it says of the other classes, without the model that it began with.
    fs::rename(at.join("results/source"), at.join("results/moved")).unwrap();
    let said = run(at, &["eval", "results/small"]);
    assert!(said.contains("accuracy"), "{said}");
    fs::rename(at.join("results/moved"), at.join("results/source")).unwrap();

    for (overrides, expected) in [
        (
            &["model.head=\"trained\""][..],
            "model.head: that of results/source is for 2, 3, and the data has 0, 1",
        ),
        (
            &[
                "model.head=\"trained\"",
                "data.only=[\"2\", \"3\"]",
                "model.freeze=true",
            ],
            "model.freeze: nothing is left to learn",
        ),
        (
            &["model.freeze={ thaw_every_steps = 0 }"],
            "freeze.thaw_every_steps: 0 is out of range",
        ),
        (
            &["model.fresh=[\"up\"]"],
            "fresh: there is no layer \"up\"; known: conv.0, 0",
        ),
        (
            &["model.from=\"results/nothing\""],
            "from: results/nothing is not there",
        ),
        (
            &["data.per_class=100"],
            "data.per_class: 100 of each class, and there are 30",
        ),
        (&["data.only=[\"7\"]"], "data.only: no class \"7\""),
    ] {
        let said = refused(at, "fit", &config, overrides);
        assert!(said.contains(expected), "{overrides:?}: {said}");
    }
}

#[test]
fn the_way_down_of_a_u_net_that_knows_classes_finds_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let source = small_model(at, "cnn");
    let (model, training) = (
        source.find("[model]").unwrap(),
        source.find("[training]").unwrap(),
    );
    let source = format!(
        "{}[model]\nkind = \"u-net\"\nbase = 4\ndepth = 2\n{}",
        source[..model].replace("\"small\"", "\"source\""),
        &source[training..]
    );
    fs::write(at.join("source.toml"), source).unwrap();
    run(at, &["fit", "source.toml", "seeds=[1]", "epochs=4"]);
    let config = small_model(at, "u-net");
    let (model, training) = (
        config.find("[model]").unwrap(),
        config.find("[training]").unwrap(),
    );
    let handed = "[model]\nkind = \"pretrained\"\nfrom = \"results/source\"\nfresh = [\"up\"]\n";
    let config = format!("{}{handed}{}", &config[..model], &config[training..]);
    fs::write(at.join("small.toml"), config).unwrap();
    run(at, &["fit", "small.toml", "seeds=[1]"]);
    // Half is what an empty mask scores.
    let score = summary(at)["final_return"].as_f64().unwrap();
    assert!(score > 0.8, "{score}");
    run(at, &["eval", "results/small"]);
}

#[test]
fn an_agent_begins_with_the_eyes_of_another_and_several_tasks_are_scored_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("small.toml"), small_mixed()).unwrap();
    run(at, &["train", "small.toml"]);
    let tasks = &summary(at)["tasks"];
    assert!(
        tasks["empty"].is_number() && tasks["door"].is_number(),
        "{tasks}"
    );
    let events = fs::read_to_string(at.join("results/small/seed-1/events.jsonl")).unwrap();
    assert!(events.contains("\"tasks\":[\"empty\",\"door\"]") && events.contains("task/door"));

    let agent = |freeze: &str, env: &str| {
        format!(
            "name = \"second-{}\"\nsteps = 300\n[env]\n{env}\n[agent]\nid = \"dqn\"\n\
             params = {{ batch_size = 16, warmup_steps = 100, replay = {{ capacity = 1000 }}, \
             extractor = {{ kind = \"pretrained\", from = \"results/small\", freeze = {freeze} }} }}\n\
             [eval]\nepisodes = 2\nfinal_episodes = 2\n",
            freeze.len()
        )
    };
    let unlock = "id = \"minigrid-unlock\"";
    for freeze in ["true", "false", "{ thaw_every_steps = 100 }"] {
        fs::write(at.join("second.toml"), agent(freeze, unlock)).unwrap();
        run(at, &["train", "second.toml"]);
    }
    let said = refused(at, "train", &agent("false", "id = \"cart-pole\""), &[]);
    let expected = "extractor.from: the agent in results/small observed ";
    assert!(
        said.contains(expected) && said.contains("observations are box(4"),
        "{said}"
    );
    let said = refused(
        at,
        "train",
        &agent("false", unlock),
        &["agent.params.extractor.layer=\"classes\""],
    );
    assert!(
        said.contains("extractor.layer: \"classes\" needs a trained model, and there is an agent"),
        "{said}"
    );
    // A frozen extractor is not the agent's own to hand on.
    let second = agent("false", unlock).replace("results/small", "results/second-4");
    let said = refused(at, "train", &second, &[]);
    assert!(
        said.contains("extractor.from: the agent in results/second-4 observed "),
        "{said}"
    );

    let said = refused(at, "train", &small_mixed(), &["env.num_envs=1"]);
    assert!(
        said.contains("env.params.tasks: 1 environments are less than one of each"),
        "{said}"
    );
    let dynamic = small_mixed().replace("minigrid-go-to-door", "minigrid-dynamic-obstacles");
    let said = refused(at, "train", &dynamic, &[]);
    assert!(
        said.contains("env.params.tasks[1]: door has actions discrete(3), empty discrete(7)"),
        "{said}"
    );
    let unknown = small_mixed().replace("minigrid-go-to-door", "minigrid-go-to-dor");
    let said = refused(at, "train", &unknown, &[]);
    assert!(
        said.contains("env.params.tasks[1].id: no environment named \"minigrid-go-to-dor\""),
        "{said}"
    );
}
