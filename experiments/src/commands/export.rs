use std::path::PathBuf;

use anyhow::anyhow;
use thorndike_core::Registry;
use thorndike_data::Learner;
use thorndike_nets::{Which, export_bert};

use super::Outcome;
use super::eval::read_config;
use super::out::outln;
use crate::run::seed_dir;
use crate::scored::{find, first_seed};
use crate::supervised::models::encoder;

/// Write a trained encoder of text as a published checkpoint, which Hugging Face's transformers open
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the experiment, such as results/bert-mini-sentiment
    folder: PathBuf,
    /// Folder for config.json, model.safetensors, vocab.txt and tokenizer_config.json; it is made
    to: PathBuf,
    /// The model of this seed; the first one if absent
    #[arg(long)]
    seed: Option<u64>,
    /// The weights at the end instead of the best
    #[arg(long)]
    last: bool,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let config = read_config(&args.folder, registry)?;
    let which = match args.last {
        true => Which::Last,
        false => Which::Best,
    };
    let seed = args.seed.map_or_else(|| first_seed(&args.folder), Ok)?;
    let (path, model) = find(&seed_dir(&args.folder, seed), which)?;
    let Some((mut network, encoder)) = encoder(&model, config.device)? else {
        let folder = args.folder.display();
        return Err(anyhow!(
            "{folder} holds another model than an encoder of text (model.kind \"bert\"); its weights are in {}",
            path.display()
        )
        .into());
    };
    network.load_model(&path)?;
    export_bert(&encoder, network.params(), &model.info, &args.to)?;
    outln!("{}", args.to.display());
    Ok(())
}
