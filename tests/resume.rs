//! Exact resume: a run that is killed and resumed ends as if it had never been.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use thorndike_core::{Rng, Seeds};
use thorndike_tests::{
    Files, MODELS, binary, final_state, small_config, small_federated, small_mixed, small_model,
    small_tasks, small_thawing, stderr, thorndike,
};

/// Events and final state of both seeds.
fn result(experiment: &Path) -> Vec<(Vec<u8>, Files)> {
    let events = |seed| fs::read(experiment.join(format!("seed-{seed}/events.jsonl"))).unwrap();
    [1, 2]
        .map(|seed| (events(seed), final_state(experiment, seed)))
        .into()
}

/// Starts the binary and kills it with SIGKILL after `delay`. Whether it was still running.
fn run_and_kill(folder: &Path, args: &[&str], delay: Duration) -> bool {
    let mut child = Command::new(binary())
        .current_dir(folder)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while start.elapsed() < delay {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

/// Writes the configuration of an agent or a model, at clients if its name begins so; gives the command that takes it.
fn write_config(folder: &Path, what: &str) -> &'static str {
    let federated = what.strip_prefix("federated ");
    let (config, command) = match federated.unwrap_or(what) {
        "tasks" => (small_tasks(folder, "{ kind = \"grad-norm\" }"), "fit"),
        "thawing" => (small_thawing(folder), "fit"),
        "mixed" => (small_mixed(), "train"),
        what if MODELS.contains(&what) => (small_model(folder, what), "fit"),
        what => (small_config(what), "train"),
    };
    let config = match federated {
        Some(what) => small_federated(folder, what),
        None => config,
    };
    fs::write(folder.join("small.toml"), config).unwrap();
    command
}

/// Kills a run of `agent` at least `kills` times and compares its end with an undisturbed run.
fn killed_run_ends_as_an_undisturbed_one(agent: &str, kills: usize, rng: &mut Rng) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let verb = write_config(folder.path(), agent);
    let start = Instant::now();
    let whole = thorndike(folder.path(), &[verb, "small.toml", "--results", "whole"]);
    assert!(whole.status.success(), "{agent}: {}", stderr(&whole));
    let seconds = start.elapsed().as_secs_f64();
    let expected = result(&folder.path().join("whole/small"));

    let killed_at = folder.path().join("killed/small");
    let train = [verb, "small.toml", "--results", "killed", "--force"];
    let resume = ["resume", "killed/small"];
    let command = || -> &[&str] {
        let begun = killed_at.join("config.toml").is_file() && killed_at.join("seed-1").is_dir();
        if begun { &resume } else { &train }
    };
    let mut killed = 0;
    while killed < kills {
        // Short spans, so that no run ends before its share of kills; each goes on from the last checkpoint.
        let delay = Duration::from_secs_f64(seconds * rng.random_range(0.02..0.3));
        if run_and_kill(folder.path(), command(), delay) {
            killed += 1;
        } else {
            break;
        }
    }
    let rest = thorndike(folder.path(), command());
    assert!(rest.status.success(), "{agent}: {}", stderr(&rest));
    let found = result(&killed_at);
    for (seed, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert!(
            expected.0 == found.0,
            "{agent}, seed {}: events differ",
            seed + 1
        );
        let names = |files: &Files| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&expected.1), names(&found.1), "{agent}: files");
        for (a, b) in expected.1.iter().zip(&found.1) {
            assert!(
                a.1 == b.1,
                "{agent}, seed {}: {} differs after {killed} kills",
                seed + 1,
                a.0.display()
            );
        }
    }
    killed
}

#[test]
fn every_agent_survives_being_killed_at_random_moments() {
    let mut rng = Seeds::new(20).stream("kill", 0);
    let registry = thorndike::standard();
    let mut kills = 0;
    for agent in registry.agent_ids() {
        let wanted = if agent == "dqn" { 8 } else { 3 };
        kills += killed_run_ends_as_an_undisturbed_one(agent, wanted, &mut rng);
    }
    assert!(kills >= 20, "only {kills} kills hit a running process");
    println!("{kills} kills");
}

#[test]
fn every_kind_of_model_survives_being_killed_at_random_moments() {
    let mut rng = Seeds::new(21).stream("kill", 0);
    let mut kills = 0;
    for kind in MODELS {
        kills += killed_run_ends_as_an_undisturbed_one(kind, 4, &mut rng);
    }
    assert!(kills >= 10, "only {kills} kills hit a running process");
    println!("{kills} kills");
}

#[test]
fn runs_of_several_tasks_and_of_thawing_layers_survive_being_killed_at_random_moments() {
    let mut rng = Seeds::new(22).stream("kill", 0);
    let mut kills = 0;
    for what in ["tasks", "thawing", "mixed"] {
        kills += killed_run_ends_as_an_undisturbed_one(what, 4, &mut rng);
    }
    assert!(kills >= 5, "only {kills} kills hit a running process");
    println!("{kills} kills");
}

#[test]
fn clients_survive_being_killed_at_random_moments() {
    let mut rng = Seeds::new(22).stream("kill", 0);
    let mut kills = 0;
    for what in ["cnn", "rnn", "dqn", "pqn"] {
        let what = format!("federated {what}");
        kills += killed_run_ends_as_an_undisturbed_one(&what, 4, &mut rng);
    }
    assert!(kills >= 6, "only {kills} kills hit a running process");
    println!("{kills} kills");
}

#[test]
fn an_interrupt_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "q-learning");
    let long = [
        "train",
        "small.toml",
        "steps=500_000_000",
        "save.every_steps=400_000_000",
        "eval.every_steps=400_000_000",
    ];
    let child = Command::new(binary())
        .current_dir(folder.path())
        .args(long)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let events = folder.path().join("results/small/seed-2/events.jsonl");
    let start = Instant::now();
    while !events.is_file() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(
        text.contains("go on with: thorndike resume results/small"),
        "{text}"
    );
    assert!(
        folder
            .path()
            .join("results/small/seed-1/checkpoints/latest")
            .is_file()
    );
}

#[test]
fn a_damaged_checkpoint_without_an_intact_older_one_is_refused_with_its_file_and_fault() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "q-learning");
    let trained = thorndike(
        folder.path(),
        &["train", "small.toml", "steps=2000", "save.keep=1"],
    );
    assert!(trained.status.success(), "{}", stderr(&trained));
    let root = folder.path().join("results/small/seed-1/checkpoints");
    let name = fs::read_to_string(root.join("latest")).unwrap();
    let check = |file: &str, damage: &dyn Fn(&mut Vec<u8>), words: &str| {
        let path = root.join(&name).join(file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        damage(&mut bad);
        fs::write(&path, bad).unwrap();
        for command in ["resume", "eval"] {
            let output = thorndike(folder.path(), &[command, "results/small"]);
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(text.contains(file) && text.contains(words), "{text}");
        }
        fs::write(&path, good).unwrap();
    };
    check(
        "envs.bin",
        &|bytes| bytes.truncate(bytes.len() / 2),
        "cut short",
    );
    check("trainer.bin", &|bytes| bytes[0] ^= 1, "is damaged");
    let newer = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("\"format\": 1", "\"format\": 99").into_bytes();
    };
    check(
        "manifest.json",
        &newer,
        "is in format 99; this program reads up to format 1",
    );
    let sound = thorndike(folder.path(), &["resume", "results/small"]);
    assert!(sound.status.success(), "{}", stderr(&sound));
}

#[test]
fn an_intact_older_checkpoint_takes_the_place_of_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "q-learning");
    let trained = thorndike(folder.path(), &["train", "small.toml", "steps=2000"]);
    assert!(trained.status.success(), "{}", stderr(&trained));
    let experiment = folder.path().join("results/small");
    let expected = result(&experiment);
    let root = experiment.join("seed-1/checkpoints");
    let damaged = [
        ("step-000002000/trainer.bin", &b"x"[..]),
        ("step-000002000/manifest.json", b"{}"),
        ("latest", b"nonsense"),
    ];
    let words = "seed 1: the intact checkpoint of step 1,000 is taken instead";
    for (file, damage) in damaged {
        fs::write(root.join(file), damage).unwrap();
        if file == "latest" {
            fs::remove_dir_all(root.join("step-000002000")).unwrap();
        }
        for command in [
            &["eval", "results/small"][..],
            &["play", "results/small", "--speed", "0"],
            &["resume", "results/small"],
        ] {
            let output = thorndike(folder.path(), command);
            let text = stderr(&output);
            assert!(output.status.success(), "{file}: {text}");
            let warning = text.lines().find(|line| line.starts_with("warning: "));
            let warning = warning.unwrap_or_else(|| panic!("{command:?}: {text}"));
            assert!(warning.contains(file) && warning.contains(words), "{text}");
        }
        assert!(result(&experiment) == expected, "{file}: another end");
    }
}

#[test]
fn a_finished_run_that_is_given_more_steps_ends_as_one_of_that_length() {
    for agent in ["q-learning", "dqn"] {
        let folder = tempfile::tempdir().unwrap();
        write_config(folder.path(), agent);
        let run = |args: &[&str]| {
            let output = thorndike(folder.path(), args);
            assert!(output.status.success(), "{agent}: {}", stderr(&output));
            stderr(&output)
        };
        let every = [
            "eval.every_steps=150",
            "save.every_steps=100",
            "log_every_steps=50",
        ];
        let train = |steps, results| {
            let args = ["train", "small.toml", steps, "--results", results];
            run(&[&args, &every[..]].concat());
        };
        train("steps=900", "whole");
        let expected = result(&folder.path().join("whole/small"));
        // One end on an evaluation, one beside all intervals.
        for first in ["steps=600", "steps=333"] {
            train(first, first);
            let name = format!("{first}/small");
            let experiment = folder.path().join(&name);
            let text = run(&["resume", &name, "steps=700"]);
            assert!(text.contains("to 700 steps; evaluation"), "{text}");
            // The other way: the file itself is changed.
            let config = experiment.join("config.toml");
            let text = fs::read_to_string(&config).unwrap();
            assert!(text.contains("steps = 700\n"), "{text}");
            fs::write(&config, text.replace("steps = 700\n", "steps = 900\n")).unwrap();
            run(&["resume", &name]);
            assert!(
                result(&experiment) == expected,
                "{agent}, {first}: another end"
            );
            let summary = fs::read_to_string(experiment.join("summary.json")).unwrap();
            assert!(summary.contains("900"), "{summary}");
        }
    }
}

#[test]
fn a_run_that_goes_on_stays_the_same_experiment() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "q-learning");
    let trained = thorndike(folder.path(), &["train", "small.toml", "steps=1000"]);
    assert!(trained.status.success(), "{}", stderr(&trained));
    for (change, words) in [
        ("steps=500", "steps: 500 is less than the 1000 of"),
        ("agent.params.gamma=0.5", "train anew under another name"),
    ] {
        let output = thorndike(folder.path(), &["resume", "results/small", change]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}
