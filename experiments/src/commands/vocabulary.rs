use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use thorndike_data::text::{
    TextRules, VocabularyConfig, VocabularyStage, text_files, train_vocabulary,
};

use super::out::outln;
use super::{Failure, Outcome};
use crate::signal::stop_on_signal;
use crate::text::thousands;

/// Learn a WordPiece vocabulary from texts; the same one for the same files
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Texts in UTF-8, plain or gz, or folders with files that end with .txt or .txt.gz
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder for vocab.txt and tokenizer.json
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Words and pieces, with the five marks
    #[arg(long, value_name = "N", default_value_t = 30_000)]
    size: usize,
    /// A piece that occurs less often is not made
    #[arg(long, value_name = "N", default_value_t = 2)]
    min_count: u64,
    /// Keep capital letters and accents
    #[arg(long)]
    cased: bool,
    /// Replace a vocabulary that is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: Args) -> Outcome {
    let out = args.out.display();
    if args.out.join("vocab.txt").exists() && !args.force {
        return Err(anyhow!("{out} holds a vocabulary; give another folder, or --force").into());
    }
    let mut files = Vec::new();
    for path in &args.files {
        files.extend(text_files(path)?);
    }
    let config = VocabularyConfig {
        size: args.size,
        min_count: args.min_count,
        rules: TextRules {
            lowercase: !args.cased,
            ..TextRules::default()
        },
        ..VocabularyConfig::default()
    };
    let stop = stop_on_signal()?;
    let bar = bar();
    let start = Instant::now();
    let learned = train_vocabulary(&files, &config, &mut |stage| {
        let (what, done, of) = match stage {
            VocabularyStage::Files(done, of) => ("files read", done, of),
            VocabularyStage::Words(done, of) => ("words made", done, of),
        };
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        bar.set_message(what);
        !stop.load(Ordering::Relaxed)
    })?;
    bar.finish_and_clear();
    let learned = learned.ok_or(Failure::Stopped)?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {out}"))?;
    learned.save(&args.out)?;
    outln!(
        "{out}: {} words and pieces from {} files in {:.1} s",
        thousands(learned.words().len() as u64),
        files.len(),
        start.elapsed().as_secs_f64()
    );
    if learned.words().len() < args.size {
        outln!("  no other piece occurs {} times", args.min_count);
    }
    Ok(())
}

/// On a terminal only.
fn bar() -> ProgressBar {
    let target = match stderr().is_terminal() {
        true => ProgressDrawTarget::stderr_with_hz(5),
        false => ProgressDrawTarget::hidden(),
    };
    let style =
        ProgressStyle::with_template("{bar:32.cyan/dim} {percent:>3} %  {pos} of {len} {msg}")
            .expect("the template is a constant")
            .progress_chars("━━─");
    ProgressBar::with_draw_target(Some(1), target).with_style(style)
}
