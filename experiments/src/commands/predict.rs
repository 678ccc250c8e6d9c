use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use thorndike_core::{Registry, Seeds};
use thorndike_data::{Batch, Task};
use thorndike_nets::{Which, sample_next};

use super::Outcome;
use super::eval::read_config;
use super::out::{out, outln};
use crate::config::Task as Work;
use crate::launch::write_whole;
use crate::scored::{Trained, first_seed, said, trained};

/// Let a trained model label files: pictures, folders of them, tables, texts; or go on with a text
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the experiment, such as results/fashion-mnist-900-cnn
    folder: PathBuf,
    /// Files or folders; as the data of the model are, with or without labels
    files: Vec<PathBuf>,
    /// The model of this seed; the first one if absent
    #[arg(long)]
    seed: Option<u64>,
    /// The weights at the end instead of the best
    #[arg(long)]
    last: bool,
    /// Classes that are shown, the likeliest first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// Write a CSV file with all probabilities instead of printing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Of a model of characters: characters to go on with
    #[arg(long, value_name = "N")]
    write: Option<usize>,
    /// Of a model of characters: the text to go on from
    #[arg(long, default_value = "\n")]
    prompt: String,
    /// Of a model of characters: 0 is the likeliest one, 1 the model's own probabilities
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Of a model of characters: only so many of the likeliest ones; 0 is all
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Of a model of characters: seed of what is written
    #[arg(long, default_value_t = 0)]
    sample_seed: u64,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let config = read_config(&args.folder, registry)?;
    let Work::Model(task) = &config.task else {
        let folder = args.folder.display();
        return Err(
            anyhow!("{folder} holds an agent; thorndike play {folder} shows what it does").into(),
        );
    };
    let which = match args.last {
        true => Which::Last,
        false => Which::Best,
    };
    let seed = args.seed.map_or_else(|| first_seed(&args.folder), Ok)?;
    let mut model = trained(&args.folder, Some(seed), which, config.device)?;
    if let Some(len) = args.write {
        return write(&args, &mut model, len);
    }
    if args.files.is_empty() {
        return Err(
            anyhow!("give the files to be labelled, or --write N to go on with a text").into(),
        );
    }
    let names = model.model.info.task.names().to_vec();
    let mut table = String::from("sample");
    for name in &names {
        let _ = write!(table, ",\"{}\"", name.replace('"', "\"\""));
    }
    table.push('\n');
    for file in &args.files {
        let set = task.data.source.unlabelled(&model.model.info, file)?;
        for index in 0..set.len() {
            let batch =
                Batch::collate(vec![(index, set.sample(index)?)]).map_err(anyhow::Error::msg)?;
            let starts = index == 0 || !set.is_consecutive();
            let prediction = model.learner.predict(&batch, starts)?;
            let rows = prediction.outputs.chunks_exact(prediction.width);
            let positions = matches!(model.model.info.task, Task::Positions { .. });
            for (position, row) in rows.enumerate() {
                let mut origin = set.origin(index);
                if positions {
                    let _ = write!(origin, " position {position}");
                }
                if args.out.is_some() {
                    let _ = write!(table, "\"{}\"", origin.replace('"', "\"\""));
                    let is_log = !matches!(model.model.info.task, Task::Numbers { .. });
                    for &value in row {
                        let value = f64::from(value);
                        let _ = write!(table, ",{}", if is_log { value.exp() } else { value });
                    }
                    table.push('\n');
                } else {
                    let words = said(&model.model.info, row, args.top as usize);
                    let words: Vec<String> = words
                        .iter()
                        .map(|(name, value)| format!("{name} {value:.4}"))
                        .collect();
                    outln!("{origin}  {}", words.join("  "));
                }
            }
        }
    }
    if let Some(path) = &args.out {
        write_whole(path, table.as_bytes())?;
        outln!("{}", path.display());
    }
    Ok(())
}

/// Goes on with a text, character by character.
fn write(args: &Args, model: &mut Trained, len: usize) -> Outcome {
    let info = &model.model.info;
    if info.vocabulary.is_empty() || !matches!(info.task, Task::Positions { .. }) {
        return Err(anyhow!("--write: this is no model of characters").into());
    }
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return Err(anyhow!(
            "--temperature: {} is out of range; give 0 or more",
            args.temperature
        )
        .into());
    }
    let token = |word: &str| {
        let at = info.vocabulary.iter().position(|known| known == word);
        at.with_context(|| format!("--prompt: the model does not know {word:?}"))
    };
    let mut next: Vec<usize> = args
        .prompt
        .chars()
        .map(|c| token(&c.to_string()))
        .collect::<anyhow::Result<_>>()?;
    if next.is_empty() {
        return Err(anyhow!("--prompt: give at least one character").into());
    }
    let vocabulary = info.vocabulary.clone();
    let mut rng = Seeds::new(args.sample_seed).stream("sample", 0);
    out!("{}", args.prompt);
    let mut starts = true;
    for _ in 0..len {
        let batch = Batch {
            samples: vec![0],
            inputs: thorndike_core::Array::from_vec(
                next.iter().map(|&token| token as i32).collect(),
                next.len(),
            ),
            shape: vec![next.len()],
            lengths: Vec::new(),
            targets: thorndike_data::Targets::Unknown,
        };
        let prediction = model.learner.predict(&batch, starts)?;
        starts = false;
        let last = &prediction.outputs[prediction.outputs.len() - prediction.width..];
        let token = sample_next(last, args.temperature, args.top_k, &mut rng);
        out!("{}", vocabulary[token]);
        next = vec![token];
    }
    outln!("");
    Ok(())
}
