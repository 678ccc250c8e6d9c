//! The command line as a person types it: what it prints, and what it says to mistakes.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::Path;
use std::process::Command;

use thorndike_tests::{binary, small_config, stderr, stdout, thorndike, workspace};

fn folder_with_config() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), small_config("q-learning")).unwrap();
    folder
}

/// Runs a mistake: exit code 2, one line that holds all `parts`, nothing created.
fn mistake(args: &[&str], parts: &[&str]) {
    let folder = folder_with_config();
    let output = thorndike(folder.path(), args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    let error = text.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("{args:?} printed no error line: {text}"));
    for part in parts {
        assert!(error.contains(part), "{args:?} printed: {error}");
    }
    assert!(!text.contains("panicked"), "{text}");
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["small.toml"], "{args:?} left something behind");
}

#[test]
fn mistakes_in_a_configuration_name_file_key_and_what_is_accepted() {
    let train = |overrides: &[&str], parts: &[&str]| {
        let mut args = vec!["train", "small.toml"];
        args.extend(overrides);
        let parts: Vec<_> = [&["small.toml: "], parts].concat();
        mistake(&args, &parts);
    };
    train(
        &["env.id=frozen-lak"],
        &["env.id: no environment named \"frozen-lak\"; did you mean \"frozen-lake\"?"],
    );
    train(
        &["agent.id=q-learnin"],
        &["agent.id: ", "did you mean \"q-learning\"?"],
    );
    train(
        &["stepz=3"],
        &["stepz: unknown field `stepz`, expected one of"],
    );
    train(&["steps=many"], &["steps: invalid type: string \"many\""]);
    train(
        &["agent.params.gama=1"],
        &["agent.params.gama: unknown field `gama`, expected"],
    );
    train(
        &["device=gpu"],
        &["device: no device \"gpu\"; give \"auto\", \"cpu\" or \"cuda:0\""],
    );
    mistake(&["train", "nothing.toml"], &["nothing.toml: No such file"]);
}

#[test]
fn mistakes_that_show_when_things_are_built_leave_nothing_behind() {
    let train = |overrides: &[&str], parts: &[&str]| {
        let mut args = vec!["train", "small.toml"];
        args.extend(overrides);
        mistake(&args, parts);
    };
    train(
        &["agent.params.gamma=1.5"],
        &["agent.params.gamma: 1.5 is out of range; give 0 to 1"],
    );
    train(
        &["env.id=cart-pole"],
        &["observation space: expected discrete states, found box(4"],
    );
    train(
        &["env.params.map=[\"SF\", \"FF\"]"],
        &["env.params.map", "goal"],
    );
    train(
        &["agent.id=dqn", "env.id=cart-pole", "device=cuda:7"],
        &["error: device: cuda:7 is not there"],
    );
    train(
        &[
            "agent.id=dqn",
            "env.id=cart-pole",
            "agent.params.extractor={ kind = \"mlp\", hidden = [65536, 65536, 65536, 65536] }",
        ],
        &[
            "agent.params.extractor.hidden: the networks would take ",
            "available",
        ],
    );
    train(
        &[
            "agent.id=dqn",
            "env.id=cart-pole",
            "agent.params.replay.capacity=4000000000",
        ],
        &["agent.params.replay.capacity: ", "would take", "available"],
    );
    train(
        &["ahead={}"],
        &["ahead: this agent must act and learn in turns; leave the table out"],
    );
    let dqn = |change: &str, part: &str| {
        train(
            &["agent.id=dqn", "env.id=cart-pole", change],
            &["error: agent.params.", part],
        );
    };
    dqn(
        "agent.params.head={ kind = \"categorical\", v_min = 9, v_max = 3 }",
        "head.v_min: 9 is not below v_max, 3",
    );
    dqn(
        "agent.params={ munchausen = {}, double = true }",
        "munchausen: its soft values choose no action, so double = true means nothing",
    );
    dqn(
        "agent.params.extractor={ kind = \"cnn\" }",
        "extractor.kind: it reads images, and the observation has shape [4]; use \"mlp\"",
    );
    train(
        &[
            "agent.id=pqn",
            "env.id=cart-pole",
            "agent.params.minibatches=5",
        ],
        &[
            "agent.params.minibatches: 5",
            "rollout_steps = 32",
            "num_envs",
        ],
    );
}

#[test]
fn a_folder_of_another_run_is_not_overwritten() {
    let folder = folder_with_config();
    let train = ["train", "small.toml", "steps=1000"];
    assert!(thorndike(folder.path(), &train).status.success());
    let again = thorndike(folder.path(), &train);
    let text = stderr(&again);
    assert_eq!(again.status.code(), Some(2), "{text}");
    assert!(
        text.contains(
            "holds another run; `thorndike resume results/small` goes on with it, --force"
        ),
        "{text}"
    );
    let forced = thorndike(
        folder.path(),
        &["train", "small.toml", "steps=1000", "--force"],
    );
    assert!(forced.status.success(), "{}", stderr(&forced));
}

#[test]
fn a_disk_that_cannot_be_written_is_named_and_nothing_is_left() {
    if !Path::new("/dev/full").exists() {
        println!("skipped: no /dev/full here");
        return;
    }
    let folder = folder_with_config();
    // A file where the folder of results should be: no permissions are needed to test it, also as root.
    fs::write(folder.path().join("results"), "").unwrap();
    let output = thorndike(folder.path(), &["train", "small.toml"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("error: results/small: "), "{text}");
}

#[test]
fn standard_output_that_cannot_be_written_is_one_line_and_exit_code_1() {
    if !Path::new("/dev/full").exists() {
        println!("skipped: no /dev/full here");
        return;
    }
    let folder = folder_with_config();
    for args in [
        &["list"][..],
        &["list", "agents", "q-learning"],
        &["check", "small.toml"],
        &["doctor"],
        &["completions", "bash"],
        &["play", "frozen-lake", "--random", "--speed", "0"],
        &["train", "small.toml", "steps=1000"],
        &["eval", "results/small"],
        &["plot", "results/small"],
        &["compare", "results/small"],
        &["report", "results/small"],
    ] {
        let output = Command::new(binary())
            .current_dir(folder.path())
            .args(args)
            .stdout(fs::File::create("/dev/full").unwrap())
            .output()
            .unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("error: cannot write to standard output: "),
            "{args:?}: {text}"
        );
    }
}

#[test]
fn a_trained_experiment_can_be_evaluated_watched_drawn_and_compared() {
    let folder = folder_with_config();
    let run = |args: &[&str]| {
        let output = thorndike(folder.path(), args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    };
    let text = run(&["train", "small.toml"]);
    assert!(
        text.contains("IQM") && text.contains("optimum 0.74"),
        "{text}"
    );
    assert!(
        text.contains("± is the standard deviation over the episodes")
            && text.contains("over seeds] (from 2 seeds: take the interval as a hint)"),
        "{text}"
    );
    let small = folder.path().join("results/small");
    for file in [
        "config.toml",
        "curve.png",
        "summary.json",
        "seed-2/progress.csv",
        "seed-2/events.jsonl",
    ] {
        assert!(small.join(file).is_file(), "{file}");
    }
    assert!(
        run(&["eval", "results/small", "--episodes", "7"])
            .contains("(95 % interval of the mean) over 7 episodes")
    );
    assert!(run(&["play", "results/small", "--speed", "0"]).contains("return"));
    run(&["plot", "results/small", "--out", "a.svg"]);
    run(&["plot", "results/small", "--panels", "--out", "b.png"]);
    run(&[
        "plot",
        "results/small",
        "--range",
        "-0.5..0.01",
        "--out",
        "d.svg",
    ]);
    let ranged = fs::read_to_string(folder.path().join("d.svg")).unwrap();
    assert!(ranged.contains("lie above the picture"), "{ranged}");
    run(&[
        "compare",
        "results/small",
        "small.toml",
        "--out",
        "c.png",
        "--range=0..1",
    ]);
    let wrong = thorndike(
        folder.path(),
        &["plot", "results/small", "--range", "1..-1"],
    );
    let text = stderr(&wrong);
    assert_eq!(wrong.status.code(), Some(2), "{text}");
    assert!(
        text.contains("'--range <LOW..HIGH>': give two numbers, the lower first, such as -200..0"),
        "{text}"
    );
    for picture in ["a.svg", "b.png", "c.png"] {
        assert!(folder.path().join(picture).is_file(), "{picture}");
    }
    let again = thorndike(folder.path(), &["resume", "results/small"]);
    assert!(
        stderr(&again).contains("was finished before"),
        "{}",
        stderr(&again)
    );
}

#[test]
fn episodes_that_an_evaluation_cut_off_are_counted() {
    let folder = folder_with_config();
    // Untrained, it walks into a wall for ever, and this world has no limit of its own.
    let train = |id: &str| {
        let env = format!("env.id={id}");
        let args = [
            "train",
            "small.toml",
            "--force",
            &env,
            "steps=2",
            "eval.step_cap=60",
        ];
        stdout(&thorndike(folder.path(), &args))
    };
    let text = train("cliff-walking");
    assert!(
        text.contains("20 of 20 episodes were cut off by eval.step_cap"),
        "{text}"
    );
    let text = train("frozen-lake");
    assert!(!text.contains("cut off"), "{text}");
}

#[test]
fn every_configuration_that_comes_along_passes_the_check() {
    let configs = workspace()
        .join("experiments/configs")
        .canonicalize()
        .unwrap();
    // Data sets are not part of the project: those that lie beside it are used, and those that are drawn.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let shared = std::env::var_os("THORNDIKE_DATA")
        .map_or_else(|| workspace().join("../shared/data"), Into::into);
    for name in [
        "tabular_uci",
        "mnist1d",
        "fashion_mnist_900",
        "nuclei",
        "tiny_shakespeare",
        "text_novels",
        "text_factual",
        "word_eval",
    ] {
        if let Ok(there) = shared.join(name).canonicalize() {
            std::os::unix::fs::symlink(there, data.join(name)).unwrap();
        }
    }
    for draw in [&["digits"][..], &["recall", "--bits", "3"]] {
        let to = format!("data/{}", draw[0]);
        let args = [&["data"], &draw[..1], &[to.as_str()], &draw[1..]].concat();
        let output = thorndike(folder.path(), &args);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let (mut checked, mut missing) = (0, 0);
    for entry in fs::read_dir(configs).unwrap() {
        let path = entry.unwrap().path();
        let output = thorndike(folder.path(), &["check", path.to_str().unwrap()]);
        let error = stderr(&output);
        let needs = error.contains("is not there; run scripts/data")
            || error.contains("is not there; give the folder that `thorndike fit` left")
            || error.contains("is not there; give a file of word vectors");
        if needs && !output.status.success() {
            println!("not checked: {}", error.trim());
            missing += 1;
            continue;
        }
        assert!(output.status.success(), "{}: {error}", path.display());
        assert!(stdout(&output).ends_with("ok\n"));
        checked += 1;
    }
    assert!(
        checked >= 30,
        "only {checked} configurations, {missing} without their data"
    );
}

#[test]
fn lists_completions_and_the_doctor_answer() {
    let folder = tempfile::tempdir().unwrap();
    for (args, part) in [
        (vec!["list"], "frozen-lake"),
        (vec!["list", "agents", "q-learning"], "gamma"),
        (vec!["completions", "bash"], "complete"),
        (vec!["doctor"], "libtorch"),
    ] {
        let output = thorndike(folder.path(), &args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        assert!(
            stdout(&output).contains(part),
            "{args:?}: {}",
            stdout(&output)
        );
    }
}

#[test]
fn a_reward_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let folder = folder_with_config();
    // Plain gradient steps a thousand times too long: the values grow until they overflow.
    let output = thorndike(
        folder.path(),
        &[
            "train",
            "small.toml",
            "agent.id=dqn",
            "env.id=cart-pole",
            "steps=3000",
            "seeds=[1]",
            "agent.params.optimizer={ kind = \"sgd\", learning_rate = 10 }",
            "agent.params.warmup_steps=600",
            "save.every_steps=200",
        ],
    );
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("at environment step")
            && text.contains("checkpoints are kept, but from them it comes to the same"),
        "{text}"
    );
    assert!(
        folder
            .path()
            .join("results/small/seed-1/checkpoints/latest")
            .is_file(),
        "{text}"
    );
}

#[test]
fn the_same_folder_twice_is_not_compared_and_files_are_passed_over() {
    let folder = folder_with_config();
    let trained = thorndike(folder.path(), &["train", "small.toml", "steps=1000"]);
    assert!(trained.status.success(), "{}", stderr(&trained));
    let other = [
        "train",
        "small.toml",
        "steps=1000",
        "--results",
        "results-2",
    ];
    assert!(thorndike(folder.path(), &other).status.success());
    let compare = |folders: &[&str]| {
        let output = thorndike(folder.path(), &[&["compare"], folders].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let (code, text) = compare(&["results/small", "results/../results/small"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("results/../results/small: is there twice"),
        "{text}"
    );
    let (code, text) = compare(&["small.toml"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("give folders of experiments"), "{text}");
    let (code, text) = compare(&["results/small", "small.toml", "results-2/small"]);
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "small.toml: passed over",
        "| results/small ",
        "| results-2/small ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_folder_without_its_runs_says_how_to_make_them() {
    let folder = folder_with_config();
    let trained = thorndike(folder.path(), &["train", "small.toml", "steps=1000"]);
    assert!(trained.status.success(), "{}", stderr(&trained));
    for seed in ["seed-1", "seed-2"] {
        fs::remove_dir_all(folder.path().join("results/small").join(seed)).unwrap();
    }
    for command in ["compare", "plot", "report", "eval", "play", "resume"] {
        let output = thorndike(folder.path(), &[command, "results/small"]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command}: {text}");
        assert!(
            text.contains("small/config.toml` makes them") && text.contains("`thorndike train "),
            "{command}: {text}"
        );
    }
}

#[test]
fn playing_without_a_terminal_says_that_actions_are_random() {
    let folder = tempfile::tempdir().unwrap();
    let play = |more: &[&str]| {
        let args = [&["play", "frozen-lake", "--speed", "0"], more].concat();
        let output = thorndike(folder.path(), &args);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let words = "no terminal to read keys from: random actions";
    assert!(play(&[]).contains(words));
    assert!(!play(&["--random"]).contains(words));
}

#[test]
fn a_resume_that_fails_at_once_does_not_promise_that_another_goes_on() {
    let folder = folder_with_config();
    let trained = thorndike(folder.path(), &["train", "small.toml", "steps=1000"]);
    assert!(trained.status.success(), "{}", stderr(&trained));
    fs::write(folder.path().join("results/small/seed-1/events.jsonl"), "").unwrap();
    let output = thorndike(folder.path(), &["resume", "results/small"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("1 of 2 seeds failed; ") && text.contains("it was cut short"),
        "{text}"
    );
    assert!(!text.contains("goes on from them"), "{text}");
}

#[test]
fn a_vocabulary_is_learned_once() {
    let folder = folder_with_config();
    fs::write(
        folder.path().join("a.txt"),
        "the hug of the pug\n".repeat(9),
    )
    .unwrap();
    let learn = |more: &[&str]| {
        let args = [
            "data",
            "vocabulary",
            "--size",
            "24",
            "--out",
            "v/w",
            "a.txt",
        ];
        thorndike(folder.path(), &[&args, more].concat())
    };
    let output = learn(&[]);
    assert!(
        stdout(&output).starts_with("v/w: 24 words and pieces from 1 files in "),
        "{}",
        stderr(&output)
    );
    let words = || fs::read_to_string(folder.path().join("v/w/vocab.txt")).unwrap();
    let first = words();
    assert!(first.starts_with("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n") && first.contains("\nthe\n"));
    let output = learn(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("v/w holds a vocabulary; give another folder, or --force"));
    assert!(learn(&["--force"]).status.success() && words() == first);
    mistake(
        &["data", "vocabulary", "--out", "w", "none.txt"],
        &["none.txt"],
    );
}
