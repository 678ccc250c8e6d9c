//! What the documents promise.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::process::Command;

use thorndike_tests::{stderr, thorndike, workspace};

#[test]
fn the_crates_of_environment_authors_do_not_compile_libtorch() {
    for package in ["thorndike-core", "thorndike-envs", "thorndike-tabular"] {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--edges",
                "normal,build",
                "--prefix",
                "none",
                "--package",
                package,
            ])
            .current_dir(workspace())
            .output()
            .unwrap();
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(
            tree.starts_with(package),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            !tree.contains("tch v") && !tree.contains("torch-sys"),
            "{package} depends on libtorch"
        );
    }
}

/// Commands of the README that are the binary's: `thorndike ..` or `scripts/run ..` in code blocks.
fn readme_commands() -> Vec<Vec<String>> {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let mut in_block = false;
    let mut commands = Vec::new();
    for line in readme.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let line = line.split(" #").next().unwrap_or_default().trim();
        let args = line
            .strip_prefix("scripts/run")
            .or_else(|| line.strip_prefix("thorndike "));
        if let (true, Some(args)) = (in_block, args) {
            commands.push(args.split_whitespace().map(str::to_owned).collect());
        }
    }
    commands
}

/// Whether `scripts/data` knows the data set.
fn is_fetched(set: &str) -> bool {
    let script = fs::read_to_string(workspace().join("scripts/data")).unwrap();
    script
        .lines()
        .any(|line| line.split_whitespace().next() == Some(set))
}

#[test]
fn every_command_of_the_readme_is_understood() {
    let commands = readme_commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        let Some(name) = command.first() else {
            continue; // `scripts/run` alone trains the default experiment.
        };
        // A command of its own below it, or what it is to work on.
        let second = command.get(1).filter(|arg| !arg.starts_with('-'));
        let mut args = vec![name.as_str()];
        args.extend(second.map(String::as_str));
        args.push("--help");
        let help = thorndike(&workspace(), &args);
        assert!(
            help.status.success(),
            "README: no command {name}: {}",
            stderr(&help)
        );
        for path in command.iter().filter(|arg| arg.ends_with(".toml")) {
            let output = thorndike(&workspace(), &["check", path]);
            let said = stderr(&output);
            if let Some((_, set)) = said.trim().split_once("is not there; run scripts/data ") {
                let set = set.split(',').next().unwrap_or_default();
                assert!(is_fetched(set), "README: {path}: no scripts/data {set}");
                eprintln!("skipped: {path} was not checked, as the data set {set} is not here");
                continue;
            }
            if said.contains("is not there; give the folder that `thorndike fit` left") {
                eprintln!(
                    "skipped: {path} was not checked, as it goes on from a run that is not here"
                );
                continue;
            }
            assert!(output.status.success(), "README: {path}: {said}");
        }
        let usage = String::from_utf8_lossy(&help.stdout).into_owned();
        for flag in command.iter().filter(|arg| arg.starts_with("--")) {
            let flag = flag.split('=').next().unwrap_or_default();
            assert!(usage.contains(flag), "README: {name} has no {flag}");
        }
    }
}
