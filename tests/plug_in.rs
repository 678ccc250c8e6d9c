//! Environments, agents and extractors of one's own get the whole program.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use thorndike_tests::{binary, stderr, stdout, workspace};

fn example(name: &str, folder: &Path, args: &[&str]) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--example", name]);
    assert!(cargo.current_dir(workspace()).status().unwrap().success());
    let program = binary().parent().unwrap().join("examples").join(name);
    Command::new(program)
        .current_dir(folder)
        .args(args)
        .output()
        .unwrap()
}

fn example_config(name: &str) -> PathBuf {
    workspace()
        .join("experiments/examples")
        .join(name)
        .canonicalize()
        .unwrap()
}

#[test]
fn an_own_environment_in_a_crate_of_its_own_gets_the_whole_program() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = example_config("own-env/Cargo.toml");
    let source = std::fs::read_to_string(manifest.with_file_name("src/main.rs")).unwrap();
    assert!(source.lines().count() < 40, "the example must stay short");

    // In the target folder of the workspace, so that what both need is compiled once.
    let target = binary().ancestors().nth(2).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--manifest-path",
        manifest.to_str().unwrap(),
    ]);
    let built = cargo
        .env("CARGO_TARGET_DIR", target)
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", stderr(&built));

    let program = target.join("debug/own-env");
    let run = |args: &[&str]| {
        Command::new(&program)
            .current_dir(folder.path())
            .args(args)
            .output()
            .unwrap()
    };
    let config = example_config("own-env/corridor.toml");
    let trained = run(&["train", config.to_str().unwrap()]);
    assert!(trained.status.success(), "{}", stderr(&trained));
    // 11 steps to the right of 12 cells: ten of -0.01 and one of 1.
    assert!(
        stdout(&trained).contains("IQM      0.9 "),
        "{}",
        stdout(&trained)
    );
    assert!(stdout(&run(&["list", "envs"])).contains("my-corridor"));
    let wrong = run(&["check", config.to_str().unwrap(), "env.params.lenght=3"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        stderr(&wrong).contains("env.params.lenght: unknown field `lenght`, expected `length`")
    );
}

#[test]
fn an_own_agent_gets_the_whole_program() {
    let folder = tempfile::tempdir().unwrap();
    let config = example_config("own_agent.toml");
    let trained = example(
        "own_agent",
        folder.path(),
        &["train", config.to_str().unwrap()],
    );
    assert!(trained.status.success(), "{}", stderr(&trained));
    let resumed = example("own_agent", folder.path(), &["resume", "results/own_agent"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert!(
        stdout(&resumed).contains("seeds      3"),
        "{}",
        stdout(&resumed)
    );
}

#[test]
fn an_own_extractor_gets_the_whole_program() {
    let folder = tempfile::tempdir().unwrap();
    let config = workspace()
        .join("experiments/configs/cart-pole-dqn.toml")
        .canonicalize()
        .unwrap();
    let small = [
        "train",
        config.to_str().unwrap(),
        "agent.id=dqn-waves",
        "steps=3000",
        "seeds=[1]",
    ];
    let trained = example("own_extractor", folder.path(), &small);
    assert!(trained.status.success(), "{}", stderr(&trained));
}
