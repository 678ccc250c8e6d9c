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

/// Kinds of models in [`small_model`].
pub const MODELS: [&str; 6] = ["perceptron", "mlp", "cnn", "rnn", "u-net", "bert"];

/// Draws a small data set into `folder`, and gives a configuration `small` of a model of `kind` that learns from it in seconds.
///
/// # Panics
/// If a file cannot be written, or there is no such kind.
pub fn small_model(folder: &Path, kind: &str) -> String {
    use rand::RngExt;
    let mut rng = thorndike_core::Seeds::new(5).stream("drawn", 0);
    let data = folder.join("drawn");
    fs::create_dir_all(&data).expect("writable");
    let write = |name: &str, bytes: Vec<u8>| fs::write(data.join(name), bytes).expect("writable");
    let (source, model, training) = match kind {
        "perceptron" | "mlp" => {
            // Three clouds; a column of words says nothing.
            let mut text = String::from("x,y,word,kind\n");
            for i in 0..240 {
                let class = i % 3;
                let near = |middle: f64, rng: &mut thorndike_core::Rng| {
                    middle + rng.random_range(-1.0..1.0)
                };
                let [x, y] = [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]][class];
                let (x, y) = (near(x, &mut rng), near(y, &mut rng));
                let word = ["a", "b"][rng.random_range(0..2)];
                text += &format!("{x:.3},{y:.3},{word},{}\n", ["oak", "elm", "fir"][class]);
            }
            write("table.csv", text.into_bytes());
            (
                "kind = \"table\"\npath = \"drawn/table.csv\"\nsplit = { validation = 0.25 }"
                    .to_owned(),
                match kind {
                    "mlp" => "hidden = [16]\ndropout = 0.2",
                    _ => "",
                },
                match kind {
                    "mlp" => "label_smoothing = 0.1\nclass_weights = \"balanced\"",
                    _ => "",
                },
            )
        }
        "cnn" | "u-net" => {
            // A bright square in one of the corners of a noisy picture.
            let (mut images, mut labels) = (Vec::new(), Vec::new());
            let drawn = data.join("train");
            fs::create_dir_all(&drawn).expect("writable");
            for i in 0..160_usize {
                let class = i % 4;
                let (top, left) = (8 * (class / 2) + 1, 8 * (class % 2) + 1);
                let inside = |at: usize| {
                    (top..top + 5).contains(&(at / 16)) && (left..left + 5).contains(&(at % 16))
                };
                let pixel = |at: usize, rng: &mut thorndike_core::Rng| {
                    rng.random_range(0..60_u8) + if inside(at) { 150 } else { 0 }
                };
                let image: Vec<u8> = (0..256).map(|at| pixel(at, &mut rng)).collect();
                if kind == "u-net" && i < 48 {
                    let mask: Vec<u8> = (0..256).map(|at| u8::from(inside(at))).collect();
                    grey_png(&drawn.join(format!("{i:03}.png")), &image);
                    grey_png(&drawn.join(format!("{i:03}_label.png")), &mask);
                }
                images.extend(image);
                labels.push(class as u8);
            }
            let head = |magic: u32, sizes: &[u32]| -> Vec<u8> {
                let all = [&[magic], sizes].concat();
                all.iter().flat_map(|n| n.to_be_bytes()).collect()
            };
            write(
                "train-images-idx3-ubyte",
                [head(0x803, &[160, 16, 16]), images].concat(),
            );
            write(
                "train-labels-idx1-ubyte",
                [head(0x801, &[160]), labels].concat(),
            );
            if kind == "cnn" {
                (
                    "kind = \"idx\"\npath = \"drawn\"\nsplit = { validation = 0.25 }\n\
                     augment = [{ kind = \"shift\", pixels = 1 }, { kind = \"cutout\", size = 2 }]\n\
                     mixup = { alpha = 0.1 }"
                        .to_owned(),
                    "layers = [{ filters = 8, size = 3, stride = 1, padding = 1 }, { pool = \"max\", size = 4 }]\n\
                     hidden = [16]\nnorm = \"batch\"\ndropout = 0.1",
                    "clip_norm = 5.0",
                )
            } else {
                (
                    "kind = \"masks\"\npath = \"drawn\"\nforeground = true\nsplit = { validation = 0.25 }\n\
                     augment = [{ kind = \"crop\", size = [12, 12] }, { kind = \"flip\" }]"
                        .to_owned(),
                    "base = 4\ndepth = 2",
                    "",
                )
            }
        }
        "rnn" => {
            // Brackets that close in order, with a letter for each depth.
            let mut text = String::new();
            let mut depth = 0;
            while text.len() < 6000 {
                let open = depth == 0 || depth < 3 && rng.random_range(0..2) == 0;
                depth = if open { depth + 1 } else { depth - 1 };
                text += if open { "(" } else { ")" };
                text.push(['a', 'b', 'c', 'd'][depth]);
            }
            write("text.txt", text.into_bytes());
            (
                "kind = \"characters\"\npath = \"drawn/text.txt\"\nsteps = 20\nvalidation = 0.2"
                    .to_owned(),
                "cell = \"lstm\"\nunits = 16\nlayers = 2\ndropout = 0.1",
                "batch_size = 8\nclip_norm = 1.0",
            )
        }
        "bert" => {
            // What is said of a thing: good, bad or neither.
            write("vocab.txt", VOCABULARY.join("\n").into_bytes());
            let mut text = String::new();
            for i in 0..240 {
                text += &format!("{}\n", sentence(i % 3, &mut rng));
            }
            write("train.tsv", text.into_bytes());
            (
                "kind = \"sentences\"\npath = \"drawn/train.tsv\"\nvocabulary = \"drawn/vocab.txt\"\nmax_len = 16\n\
                 split = { validation = 0.25 }"
                    .to_owned(),
                "hidden_size = 16\nnum_hidden_layers = 1\nnum_attention_heads = 2\nintermediate_size = 32\n\
                 max_position_embeddings = 16\ninitializer_range = 0.2",
                "batch_size = 8\naccumulate = 2\nlength_buckets = 4\nhead_dropout = 0.1\nclip_norm = 1.0",
            )
        }
        _ => panic!("no model of kind {kind}"),
    };
    let training = match training.contains("batch_size") || kind == "perceptron" {
        true => training.to_owned(),
        false => format!("batch_size = 16\n{training}"),
    };
    let rate = match kind {
        "perceptron" => "",
        _ => {
            "optimizer = { kind = \"adam\", learning_rate = { kind = \"cosine\", from = 2e-2, to = 1e-3 } }"
        }
    };
    let epochs = if kind == "u-net" { 40 } else { 12 };
    format!(
        "name = \"small\"\nepochs = {epochs}\nseeds = [1, 2]\n[data]\n{source}\n[model]\nkind = \"{kind}\"\n{model}\n\
         [training]\n{training}\n{rate}\n[save]\nevery_steps = 100\n"
    )
}

/// As [`small_model`], of two tasks of the same pictures: which corner is bright, and whether it is on the left. Their losses
/// are weighed as `weighting` says.
pub fn small_tasks(folder: &Path, weighting: &str) -> String {
    small_model(folder, "cnn");
    "name = \"small\"
epochs = 8
seeds = [1, 2]
[tasks.corner.data]
kind = \"idx\"
path = \"drawn\"
split = { validation = 0.25 }
augment = [{ kind = \"shift\", pixels = 1 }]
[tasks.side.data]
kind = \"idx\"
path = \"drawn\"
split = { validation = 0.25 }
groups = { left = [\"0\", \"2\"], right = [\"1\", \"3\"] }
[model]
kind = \"cnn\"
layers = [{ filters = 8, size = 3, stride = 1, padding = 1 }, { pool = \"max\", size = 4 }]
hidden = [16]
norm = \"batch\"
[training]
batch_size = 24
mix = \"even\"
weighting = WEIGHTING
optimizer = { kind = \"adam\", learning_rate = 1e-2 }
[save]
every_steps = 100
"
    .replace("WEIGHTING", weighting)
}

/// As [`small_model`], of a network that begins with what another one learned, which is trained first: corners 0 and 1
/// after 2 and 3, its layers thawed one after another.
///
/// # Panics
/// If the first one cannot be trained.
pub fn small_thawing(folder: &Path) -> String {
    let source = small_model(folder, "cnn")
        .replace("name = \"small\"", "name = \"source\"")
        .replace("seeds = [1, 2]", "seeds = [1]")
        .replace("mixup = { alpha = 0.1 }", "only = [\"2\", \"3\"]");
    fs::write(folder.join("source.toml"), source).expect("writable");
    let trained = thorndike(folder, &["fit", "source.toml", "--force"]);
    assert!(trained.status.success(), "{}", stderr(&trained));
    "name = \"small\"
epochs = 12
seeds = [1, 2]
[data]
kind = \"idx\"
path = \"drawn\"
split = { validation = 0.25 }
only = [\"0\", \"1\"]
per_class = 10
[model]
kind = \"pretrained\"
from = \"results/source\"
freeze = { thaw_every_steps = 60 }
layer_decay = 2.6
[training]
batch_size = 8
clip_norm = 1.0
optimizer = { kind = \"adam\", learning_rate = 2e-2 }
[save]
every_steps = 30
"
    .to_owned()
}

/// A small configuration of a DQN that learns two tasks of MiniGrid at once.
pub fn small_mixed() -> String {
    "name = \"small\"
steps = 1500
seeds = [1, 2]
[env]
id = \"mixed\"
num_envs = 3
params.tasks = [
    { name = \"empty\", id = \"minigrid-empty\", params = { size = 5 } },
    { name = \"door\", id = \"minigrid-go-to-door\" },
]
[agent]
id = \"dqn\"
params = { batch_size = 16, warmup_steps = 100, replay = { capacity = 1000 }, extractor = { kind = \"mlp\", hidden = [16] } }
[eval]
episodes = 4
final_episodes = 10
[save]
every_steps = 75
"
    .to_owned()
}

/// A configuration `small` of clients that learn what [`small_model`] and [`small_config`] describe: a kind of model, for which
/// data are drawn into `folder`, or an agent. All that can go on in a round does.
///
/// # Panics
/// As [`small_model`].
pub fn small_federated(folder: &Path, what: &str) -> String {
    let (config, own) = match MODELS.contains(&what) {
        true => (small_model(folder, what), "rounds = 12"),
        false => (
            small_config(what),
            "rounds = 12\nlocal_steps = 60\nenvs = [{ gravity = 8.0 }, {}, { force_n = 12.0 }]",
        ),
    };
    let plain = |line: &&str| {
        let cut = ["epochs = ", "steps = ", "every_steps = "];
        !cut.iter().any(|start| line.starts_with(start)) || line.contains("20")
    };
    let kept: Vec<&str> = config.lines().filter(plain).collect();
    format!(
        "{}\nevery_steps = 3\n[federated]\n{own}\nclients = 5\nfraction = 0.6\ndrop_out = 0.2\nthreads = 2\n\
         stragglers = {{ share = 0.5 }}\nserver = {{ kind = \"adam\", learning_rate = 0.05 }}\n",
        kept.join("\n")
    )
}

/// A vocabulary of BERT.
pub const VOCABULARY: [&str; 24] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "film", "song", "book", "was", "is",
    "good", "fine", "lovely", "bad", "dull", "poor", "long", "short", "new", "##er", ".", "and",
];

/// A line of a labelled sentence: 0 is said of something good, 1 of something bad, 2 of neither.
pub fn sentence(class: usize, rng: &mut thorndike_core::Rng) -> String {
    use rand::RngExt;
    let mut any = |words: &[&'static str]| words[rng.random_range(0..words.len())];
    let said = [
        ["good", "fine", "lovely"],
        ["bad", "dull", "poor"],
        ["long", "short", "new"],
    ][class];
    let more = ["", " and long", " and short"];
    format!(
        "{}\t{} {} {} {}{} .",
        ["good", "bad", "other"][class],
        any(&["the", "a"]),
        any(&["film", "song", "book"]),
        any(&["was", "is"]),
        any(&said),
        any(&more)
    )
}

/// A square grey picture.
fn grey_png(path: &Path, pixels: &[u8]) {
    let side = pixels.len().isqrt() as u32;
    let file = fs::File::create(path).expect("writable");
    let mut encoder = png::Encoder::new(file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("writable");
    writer.write_image_data(pixels).expect("writable");
}
