//! Sweeps by the program as a person runs it: interrupted, resumed, and with mistakes. Needs no libtorch.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const BASE: &str = "\
steps = 4_000
seeds = [1, 2]
[env]
id = \"frozen-lake\"
[agent]
id = \"q-learning\"
params = { exploration = { kind = \"epsilon-greedy\", epsilon = 0.3 } }
[eval]
episodes = 4
final_episodes = 20
[save]
every_steps = 2_000
";

const GRID: &str = "\
config = \"base.toml\"
search = { kind = \"grid\" }
[keys]
agent.params.gamma = [0.9, 0.95, 0.99, 1.5]
agent.params.learning_rate = [0.05, 0.2, 0.8]
env.num_envs = [1, 2]
";

const HALVING: &str = "\
config = \"base.toml\"
search = { kind = \"halving\", trials = 24, seed = 3, eta = 2, min_steps = 500 }
[keys]
agent.params.gamma = [0.9, 0.99]
agent.params.learning_rate = { kind = \"log-uniform\", from = 0.01, to = 1.0 }
agent.params.exploration.epsilon = { kind = \"uniform\", from = 0.05, to = 0.9 }
";

fn folder(sweep: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("base.toml"), BASE).unwrap();
    fs::write(folder.path().join("search.toml"), sweep).unwrap();
    folder
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thorndike"));
    command.current_dir(folder).args(args);
    command
}

fn thorndike(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn run(folder: &Path, args: &[&str]) -> (String, String) {
    let output = thorndike(folder, args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
    (text(&output.stdout), text(&output.stderr))
}

/// Starts a sweep and kills it with SIGKILL as soon as `enough` files called `name` are in its folder. Whether it was
/// still running.
fn kill_when(folder: &Path, args: &[&str], results: &str, name: &str, enough: usize) -> bool {
    let mut child = command(folder, args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let there = || {
        let Ok(trials) = fs::read_dir(folder.join(results)) else {
            return 0;
        };
        let seed = |path: &Path| path.join("seed-2").join(name).is_file();
        trials
            .filter(|entry| entry.as_ref().is_ok_and(|entry| seed(&entry.path())))
            .count()
    };
    while there() < enough && start.elapsed() < Duration::from_secs(60) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

fn lines(folder: &Path, file: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_killed_sweep_ends_as_an_undisturbed_one() {
    for (name, sweep, enough) in [("grid", GRID, 5), ("halving", HALVING, 7)] {
        let folder = folder(sweep);
        let folder = folder.path();
        let (printed, _) = run(folder, &["sweep", "search.toml", "--results", "whole"]);
        for part in [
            "| 1    | trial-0",
            "best whole/search/best.toml",
            "picture whole/search/sweep.png",
        ] {
            assert!(printed.contains(part), "{name}: {printed}");
        }
        let args = ["sweep", "search.toml", "--results", "killed", "--jobs", "2"];
        let mut kills = 0;
        // In the middle of a trial, and after some of them.
        for (file, enough) in [("events.jsonl", 1), ("summary.json", enough)] {
            kills += usize::from(kill_when(folder, &args, "killed/search", file, enough));
        }
        assert_eq!(kills, 2, "{name}: it was over before it was killed");
        assert!(
            !folder.join("killed/search/table.csv").exists(),
            "{name}: it was over"
        );
        let (_, told) = run(folder, &args);
        assert!(
            told.contains("trials were finished before"),
            "{name}: {told}"
        );
        for file in [
            "table.csv",
            "sweep.json",
            "sweep.png",
            "best.toml",
            "sweep.toml",
        ] {
            let of =
                |results: &str| fs::read(folder.join(results).join("search").join(file)).unwrap();
            assert!(of("whole") == of("killed"), "{name}: {file} differs");
        }
        let table = lines(folder, "killed/search/table.csv");
        assert_eq!(table.len(), 25, "{name}: a header and 24 trials");
        // Run once more, nothing is left to do and nothing changes.
        run(folder, &args);
        assert_eq!(lines(folder, "killed/search/table.csv"), table, "{name}");

        run(folder, &["check", "killed/search/best.toml"]);
        run(folder, &["train", "killed/search/best.toml"]);
        let best = table[1].split(',').nth(1).unwrap().to_owned();
        for seed in ["seed-1", "seed-2"] {
            let of = |experiment: &str| {
                fs::read(folder.join(experiment).join(seed).join("events.jsonl")).unwrap()
            };
            let trial = of(&format!("killed/search/{best}"));
            assert!(
                trial == of("results/search-best"),
                "{name}: best.toml trains another run"
            );
        }
    }
}

#[test]
fn trials_that_cannot_be_built_are_last_with_their_reason() {
    let folder = folder(GRID);
    let folder = folder.path();
    let (_, told) = run(folder, &["sweep", "search.toml", "steps=200"]);
    assert!(
        told.contains("warning: 6 of 24 trials cannot be built: agent.params.gamma: 1.5"),
        "{told}"
    );
    let table = lines(folder, "results/search/table.csv");
    let failed =
        |line: &&String| line.contains("agent.params.gamma: 1.5 is out of range; give 0 to 1");
    assert_eq!(table[19..].iter().filter(failed).count(), 6, "{table:?}");
    assert!(!folder.join("results/search/trial-018").exists());
}

#[test]
fn halving_lengthens_the_best_and_ranks_them_first() {
    let folder = folder(HALVING);
    let folder = folder.path();
    run(folder, &["sweep", "search.toml"]);
    let table = lines(folder, "results/search/table.csv");
    let steps: Vec<&str> = table[1..]
        .iter()
        .map(|line| line.rsplit(',').nth(1).unwrap())
        .collect();
    // 24 for 500 steps, 12 for 1,000, 6 for 2,000, 3 for 4,000.
    for (range, expected) in [
        (0..3, "4000"),
        (3..6, "2000"),
        (6..12, "1000"),
        (12..24, "500"),
    ] {
        assert!(
            steps[range].iter().all(|steps| *steps == expected),
            "{steps:?}"
        );
    }
}

#[test]
fn an_interrupted_sweep_says_how_to_go_on() {
    let folder = folder(GRID);
    let folder = folder.path();
    let child = command(
        folder,
        &[
            "sweep",
            "search.toml",
            "steps=500_000_000",
            "save.every_steps=400_000_000",
            "eval.every_steps=400_000_000",
        ],
    )
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let start = Instant::now();
    let events = folder.join("results/search/trial-000/seed-1/events.jsonl");
    while !events.is_file() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("stopped; the same command goes on"), "{text}");
    let trial = folder.join("results/search/trial-000/seed-1/checkpoints/latest");
    assert!(trial.is_file());
}

/// Runs a mistake: exit code 2, one line that holds `part`, and nothing but `left` in the folder.
fn mistake(folder: &Path, args: &[&str], part: &str, left: &[&str]) {
    let output = thorndike(folder, args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert!(errors[0].contains(part), "wanted {part}; got {text}");
    assert!(!text.contains("panicked"), "{text}");
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, left, "{part}");
}

#[test]
fn mistakes_are_one_line_and_leave_nothing_behind() {
    let gamma = "agent.params.gamma = [0.9, 0.95, 0.99, 1.5]";
    for (old, new, part) in [
        (
            gamma,
            "agent.params.gamme = [0.9]",
            "search.toml: agent.params.gamme: unknown field `gamme`",
        ),
        (
            gamma,
            "agent.params.gamma = [\"much\"]",
            "agent.params.gamma: invalid type: string \"much\"",
        ),
        (
            gamma,
            "agent.params.gamma = []",
            "keys: agent.params.gamma: the list is empty",
        ),
        (
            gamma,
            "agent.params.gamma = [1.5]",
            "none of the 6 trials can be built: agent.params.gamma: 1.5",
        ),
        (
            gamma,
            "agent.params.gamma = { kind = \"uniform\", from = 0, to = 1 }",
            "keys: agent.params.gamma: a grid takes lists of values",
        ),
        (
            gamma,
            "agent.params.gamma = { kind = \"uniform\", from = 1, to = 1 }",
            "keys: agent.params.gamma: from 1 to 1: from has to be less than to",
        ),
        ("base.toml", "no.toml", "config: no.toml: No such file"),
    ] {
        let folder = folder(&GRID.replace(old, new));
        mistake(
            folder.path(),
            &["sweep", "search.toml"],
            part,
            &["base.toml", "search.toml"],
        );
    }
    let none = GRID.split("[keys]").next().unwrap();
    let folder = folder(none);
    mistake(
        folder.path(),
        &["sweep", "search.toml"],
        "keys: there are none",
        &["base.toml", "search.toml"],
    );
    mistake(
        folder.path(),
        &["sweep", "other.toml"],
        "other.toml: No such file",
        &["base.toml", "search.toml"],
    );
}

#[test]
fn a_folder_that_holds_something_else_is_refused_unless_forced() {
    let folder = folder(GRID);
    let folder = folder.path();
    let left = ["base.toml", "results", "search.toml"];
    run(folder, &["sweep", "search.toml", "steps=100"]);
    let table = || fs::read(folder.join("results/search/table.csv")).unwrap();
    let before = table();
    let other = ["sweep", "search.toml", "steps=200"];
    mistake(
        folder,
        &other,
        "holds another sweep, which differs in config.steps; give",
        &left,
    );
    assert!(table() == before);
    let train = ["train", "base.toml", "name=search"];
    mistake(
        folder,
        &train,
        "results/search holds a sweep; give the run another name",
        &left,
    );
    run(folder, &[&other[..], &["--force"]].concat());
    assert!(table() != before);
    // A sweep has all of itself in its folder.
    let whole = table();
    run(folder, &["sweep", "results/search/sweep.toml"]);
    assert!(table() == whole);

    run(folder, &["train", "base.toml", "name=run", "steps=100"]);
    let force = ["sweep", "search.toml", "name=run", "--force"];
    mistake(
        folder,
        &force,
        "results/run holds a run and no sweep; give the sweep another name",
        &left,
    );
    let lock = fs::File::create(folder.join("results/search/.lock")).unwrap();
    lock.lock().unwrap();
    mistake(
        folder,
        &other,
        "results/search is in use by another process",
        &left,
    );
}

#[test]
fn every_sweep_that_comes_along_is_understood() {
    let sweeps = Path::new(env!("CARGO_MANIFEST_DIR")).join("sweeps");
    let mut checked = 0;
    for entry in fs::read_dir(sweeps).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("dqn") && !cfg!(feature = "torch") {
            continue;
        }
        let (told, _) = run(Path::new("."), &["check", path.to_str().unwrap()]);
        assert!(told.ends_with("ok\n"), "{told}");
        checked += 1;
    }
    assert!(checked > 0);
}
