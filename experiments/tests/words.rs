//! Word vectors by the program as a person makes them: trained, killed, resumed, looked at, and with mistakes. Needs no
//! libtorch.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const CONFIG: &str = "\
epochs = 4
seeds = [1]
[data]
kind = \"corpus\"
path = \"text\"
[model]
kind = \"word2vec\"
dimension = 16
min_count = 2
sample = 0.0
[eval]
pairs = [\"pairs.txt\"]
questions = \"questions.txt\"
";

/// Days stand near days and numbers near numbers, and capitals near their countries.
fn text(lines: usize) -> String {
    let days = ["monday", "tuesday", "friday", "sunday"];
    let numbers = ["one", "two", "three", "four"];
    let places = ["paris france", "rome italy", "athens greece"];
    let mut text = String::new();
    for i in 0..lines {
        let (a, b) = (i % 4, (i / 4) % 4);
        text += &match i % 3 {
            0 => format!("on {} and on {} we rest\n", days[a], days[b]),
            1 => format!("count {} and {} and more\n", numbers[a], numbers[b]),
            _ => format!("the way to {} is long\n", places[i / 3 % 3]),
        };
    }
    text
}

fn folder(lines: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("text")).unwrap();
    fs::write(at("text/a.txt"), text(lines)).unwrap();
    fs::write(at("days.toml"), CONFIG).unwrap();
    fs::write(
        at("pairs.txt"),
        "# word pairs\nmonday\tfriday\t9\none\ttwo\t8.5\nmonday\ttwo\t1\nrest\tgreece\t0.5\nmonday\tzebra\t3\n",
    )
    .unwrap();
    fs::write(
        at("questions.txt"),
        ": capitals\nParis France Rome Italy\nparis france oslo norway\n",
    )
    .unwrap();
    folder
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thorndike"));
    command.current_dir(folder).args(args);
    command
}

fn text_of(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn run(folder: &Path, args: &[&str]) -> (String, String) {
    let output = command(folder, args).output().unwrap();
    let (out, err) = text_of(&output);
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

fn refused(folder: &Path, args: &[&str]) -> String {
    let output = command(folder, args).output().unwrap();
    let (_, err) = text_of(&output);
    assert!(!output.status.success(), "{args:?} is taken");
    assert_eq!(err.lines().count(), 1, "{err}");
    err
}

/// The files of the newest checkpoint of seed 1 in the experiment in `dir`, but for its times.
fn checkpoint(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let root = dir.join("seed-1/checkpoints");
    let latest = fs::read_to_string(root.join("latest")).unwrap();
    let names = [
        "word2vec.safetensors",
        "vocabulary.txt",
        "word2vec.json",
        "score.json",
    ];
    names
        .map(|name| {
            (
                PathBuf::from(name),
                fs::read(root.join(latest.trim()).join(name)).unwrap(),
            )
        })
        .into()
}

#[test]
fn vectors_are_trained_judged_looked_at_and_exported() {
    let folder = folder(900);
    let path = folder.path();
    let (out, err) = run(path, &["fit", "days.toml"]);
    assert!(err.contains("skip-gram, 5 negatives, "), "{err}");
    assert!(out.contains("spearman"), "{out}");
    let summary = fs::read_to_string(path.join("results/days/summary.json")).unwrap();
    assert!(
        summary.contains("\"measure\": \"spearman\"")
            && summary.contains("\"analogies/asked\": 1.0"),
        "{summary}"
    );
    assert!(path.join("results/days/curve.png").is_file());

    let (out, _) = run(
        path,
        &["words", "nearest", "results/days", "monday", "--top", "3"],
    );
    let days = ["tuesday", "friday", "sunday"];
    assert_eq!(out.lines().count(), 3);
    assert!(
        out.lines()
            .all(|line| days.iter().any(|day| line.contains(day))),
        "{out}"
    );
    let (out, _) = run(
        path,
        &[
            "words",
            "analogy",
            "results/days",
            "paris",
            "france",
            "rome",
            "--top",
            "1",
        ],
    );
    assert_eq!(out.lines().count(), 1, "{out}");
    let (near, _) = run(
        path,
        &["words", "similarity", "results/days", "monday", "friday"],
    );
    let (far, _) = run(
        path,
        &["words", "similarity", "results/days", "monday", "two"],
    );
    assert!(near.trim().parse::<f64>().unwrap() > far.trim().parse::<f64>().unwrap());

    let tests = ["--pairs", "pairs.txt", "--questions", "questions.txt"];
    let evaluate = |of: &str| run(path, &[&["words", "evaluate", of][..], &tests].concat()).0;
    let expected = evaluate("results/days");
    assert!(
        expected.contains("of 4 pairs, 1 more have a word that is not known"),
        "{expected}"
    );
    assert!(
        expected.contains("of 1 right, 1 more have a word that is not known"),
        "{expected}"
    );
    for file in ["days.bin", "days.txt", "days.safetensors"] {
        run(path, &["words", "export", "results/days", file]);
        assert_eq!(evaluate(file), expected, "{file}");
    }
    for method in ["pca", "t-sne"] {
        run(
            path,
            &[
                "words",
                "plot",
                "results/days",
                "--skip",
                "0",
                "--method",
                method,
                "--out",
                "words.svg",
            ],
        );
        let picture = fs::read_to_string(path.join("words.svg")).unwrap();
        assert!(picture.contains("monday"), "{method}");
    }
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_bytes() {
    let folder = folder(6000);
    let path = folder.path();
    let fit = |name: &str| {
        let name = format!("name={name}");
        let more = [
            "fit",
            "days.toml",
            &name,
            "epochs=40",
            "save.every_steps=20000",
            "save.keep=1000",
        ];
        more.map(str::to_owned)
    };
    let whole = fit("whole");
    run(path, &whole.each_ref().map(String::as_str));
    let killed = fit("killed");
    let mut child = command(path, &killed.each_ref().map(String::as_str))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let latest = path.join("results/killed/seed-1/checkpoints/latest");
    let started = Instant::now();
    while !latest.is_file() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let summary = path.join("results/killed/summary.json");
    assert!(
        latest.is_file() && !summary.is_file(),
        "killed while at work"
    );
    run(path, &["resume", "results/killed"]);
    let [a, b] = ["whole", "killed"].map(|name| path.join("results").join(name));
    assert!(checkpoint(&a) == checkpoint(&b));
    let events = |dir: &Path| fs::read(dir.join("seed-1/events.jsonl")).unwrap();
    assert!(events(&a) == events(&b));
}

#[test]
fn each_mistake_is_one_line_that_says_where_it_is() {
    let folder = folder(60);
    let path = folder.path();
    fs::write(path.join("latin.txt"), b"one two\nthree caf\xe9\n").unwrap();
    fs::write(path.join("empty.txt"), "").unwrap();
    fs::write(path.join("bad.txt"), "one two 3\none two\n").unwrap();
    fs::write(path.join("other.txt"), "zebra lion 3\n").unwrap();
    fs::write(path.join("lies.bin"), "999999999999 100\na ").unwrap();
    for (args, what) in [
        (
            &["data.path=latin.txt"][..],
            "latin.txt: line 2: is no UTF-8",
        ),
        (
            &["data.path=empty.txt"],
            "data.path: there are no words in empty.txt",
        ),
        (
            &["data.path=data/text_novels"],
            "data/text_novels is not there; run scripts/data text_novels",
        ),
        (
            &["data.tokens=words"],
            "data.tokens: unknown variant `words`",
        ),
        (&["data.pth=a"], "data.pth: unknown field `pth`"),
        (
            &["data.kind=idx"],
            "data.kind: is \"idx\"; word2vec learns from data of kind \"corpus\"",
        ),
        (&["model.dimension=0"], "model.dimension: 0 is out of range"),
        (
            &["model.min_count=1000000"],
            "occur 1000000 times or more; two are needed",
        ),
        (
            &["training.threads=0"],
            "training.threads: 0 is out of range",
        ),
        (
            &["training.batch_size=3"],
            "training.batch_size: unknown field",
        ),
        (
            &["eval.pairs=[\"bad.txt\"]"],
            "bad.txt: line 2: expected two words and a number",
        ),
        (
            &["eval.pairs=[\"other.txt\"]"],
            "eval.pairs: 0 of the 1 pairs of other.txt have both words",
        ),
        (
            &["eval.questions=bad.txt"],
            "bad.txt: line 1: expected four words",
        ),
        (
            &["eval.episodes=3"],
            "eval: word vectors have eval.every_steps, eval.pairs and eval.questions",
        ),
    ] {
        let message = refused(path, &[&["fit", "days.toml"][..], args].concat());
        assert!(message.contains(what), "{what} is not in {message}");
    }
    for (args, what) in [
        (
            &["words", "nearest", "lies.bin", "a"][..],
            "lies.bin: line 1: 999999999999 words of 100 numbers need",
        ),
        (&["words", "nearest", "text", "a"], "no run in text"),
        (
            &["words", "nearest", "days.toml", "a"],
            "the ending of a file of vectors must be",
        ),
        (
            &["words", "evaluate", "lies.bin"],
            "give --pairs FILE or --questions FILE",
        ),
        (
            &["train", "days.toml"],
            "describes a supervised model; run thorndike fit days.toml",
        ),
    ] {
        let message = refused(path, args);
        assert!(message.contains(what), "{what} is not in {message}");
    }
}
