//! What the whole-system tests share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The `thorndike` binary of this build; built if it is not there yet.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its own path");
        let folder = test
            .ancestors()
            .nth(2)
            .expect("tests lie in target/<profile>/deps");
        let mut cargo = Command::new(env!("CARGO"));
        // The same selection as `cargo test --workspace`, so that nothing else is compiled again.
        cargo.args(["build", "--quiet", "--workspace", "--bin", "thorndike"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo
            .current_dir(workspace())
            .status()
            .expect("cargo is there");
        assert!(built.success(), "the binary must build");
        folder.join("thorndike")
    })
}

/// Runs the binary in `folder` and waits for it.
///
/// # Panics
/// If it cannot be started.
pub fn thorndike(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(folder).args(args);
    command.output().expect("the binary starts")
}

/// What a process printed on standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a process printed on standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A small configuration of `agent` that takes seconds even without optimisation.
pub fn small_config(agent: &str) -> String {
    let replays = ["dqn", "rainbow"].iter().any(|id| agent.starts_with(id));
    let (env, steps) = if replays || ["pqn", "r2d2"].contains(&agent) {
        ("cart-pole", 1500)
    } else {
        ("frozen-lake", 20_000)
    };
    let params = if agent == "pqn" {
        "params = { minibatches = 4, extractor = { kind = \"mlp\", hidden = [16], norm = \"layer\" } }"
    } else if agent == "r2d2" {
        "params = { batch_size = 8, warmup_steps = 100, n_step = 2, \
         replay = { capacity = 100, burn_in = 4, length = 8, period = 5 }, \
         extractor = { kind = \"recurrent\", cell = \"lstm\", units = 8, encoder = [8] } }"
    } else if replays {
        "params = { batch_size = 16, warmup_steps = 100, n_step = 2, \
         replay = { capacity = 1000, sampler = { kind = \"prioritized\" } }, \
         extractor = { kind = \"mlp\", hidden = [16] } }"
    } else {
        ""
    };
    format!(
        "name = \"small\"\nsteps = {steps}\nseeds = [1, 2]\n[env]\nid = \"{env}\"\nnum_envs = 2\n\
         [agent]\nid = \"{agent}\"\n{params}\n[eval]\nepisodes = 4\nfinal_episodes = 10\n[save]\nevery_steps = {}\n",
        steps / 20
    )
}

/// Files with their contents.
pub type Files = Vec<(PathBuf, Vec<u8>)>;

/// Every file below `folder` with its content, sorted by path.
///
/// # Panics
/// If a file cannot be read.
pub fn files(folder: &Path) -> Files {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("the folder is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = fs::read(&path).expect("readable");
                let name = path
                    .strip_prefix(folder)
                    .expect("below the folder")
                    .to_owned();
                found.push((name, content));
            }
        }
    }
    found.sort();
    found
}

/// The newest checkpoint of a seed: every file but the manifest, which knows how long the work took.
///
/// # Panics
/// If there is none.
pub fn final_state(experiment: &Path, seed: u64) -> Files {
    let root = experiment.join(format!("seed-{seed}/checkpoints"));
    let name = fs::read_to_string(root.join("latest")).expect("a finished run has a checkpoint");
    let mut files = files(&root.join(name));
    files.retain(|(name, _)| name != Path::new("manifest.json"));
    files
}
