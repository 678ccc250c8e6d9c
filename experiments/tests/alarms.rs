//! Alarms of runs that deserve them, and none of one that does not. Needs no libtorch.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::process::Command;

/// What `train` says on standard error about Q-learning on an environment.
fn said(env: &str, steps: u32, params: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "steps = {steps}\nseeds = [1, 2]\n[env]\nid = \"{env}\"\n[agent]\nid = \"q-learning\"\nparams = {params}\n\
         [eval]\nepisodes = 10\nfinal_episodes = 20\n"
    );
    fs::write(folder.path().join("run.toml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_thorndike"))
        .current_dir(folder.path())
        .args(["train", "run.toml"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines()
        .filter(|line| line.contains("warning"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn a_run_that_learns_raises_no_alarm() {
    let text = said(
        "cliff-walking",
        20_000,
        "{ gamma = 1.0, learning_rate = 0.5 }",
    );
    assert_eq!(text, "");
}

#[test]
fn a_run_that_learns_nothing_is_told_at_half_time_and_at_the_end() {
    // Steps so small that no value moves: the first of equal actions is taken for ever.
    let text = said(
        "cliff-walking",
        2_000,
        "{ learning_rate = 1e-9, exploration = { kind = \"epsilon-greedy\", epsilon = 1.0 } }",
    );
    assert!(
        text.contains("seed 1  warning: half of the steps are gone"),
        "{text}"
    );
    assert!(text.contains("warning: learning has not started"), "{text}");
    assert!(text.contains("warning: all episodes of the last evaluation are the same, and no better than before training"), "{text}");
    assert!(text.contains("(seeds 1, 2)"), "{text}");
}

#[test]
fn one_action_only_is_told() {
    // All values stay next to 0, and of equal ones the first is taken.
    let text = said("frozen-lake", 200, "{ learning_rate = 1e-9 }");
    assert!(
        text.contains("warning: the greedy policy takes one action only: action 0 in every step"),
        "{text}"
    );
}

#[test]
fn values_that_no_return_explains_are_told() {
    // No step is worth more than 1, and no state more than 1.
    let text = said(
        "frozen-lake",
        2_000,
        "{ initial_value = 1e6, learning_rate = 0.01, gamma = 0.9 }",
    );
    assert!(
        text.contains("warning: Q-values are astray: they are 9"),
        "{text}"
    );
}
