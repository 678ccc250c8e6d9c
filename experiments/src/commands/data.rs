use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::ValueEnum;

use super::out::{out, outln};
use super::{Failure, Outcome, vocabulary};
use crate::drawn::{Order, Set};
use crate::signal::stop_on_signal;
use crate::text::thousands;

/// Draw a labelled data set into a folder, the same for the same seed; without a name, list those there are
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// What to draw
    #[arg(value_enum, requires = "folder")]
    name: Option<Set>,
    /// Folder for it, such as data/digits
    folder: Option<PathBuf>,
    /// The same seed draws the same samples
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Samples to learn from; a quarter as many are drawn to test with
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Longest string of parentheses, steps back of copy, memory_length of recall
    #[arg(long, value_name = "N")]
    length: Option<usize>,
    /// Bits that recall has to remember
    #[arg(long, value_name = "N")]
    bits: Option<u32>,
    /// Replace a set that was drawn before
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Other {
    Vocabulary(vocabulary::Args),
}

pub(super) fn run(args: Args) -> Outcome {
    if let Some(Other::Vocabulary(args)) = args.other {
        return vocabulary::run(args);
    }
    let (Some(set), Some(folder)) = (args.name, args.folder) else {
        return list();
    };
    let order = Order::new(set, args.seed, args.samples, args.length, args.bits)?;
    let stop = stop_on_signal()?;
    let place = order.place(&folder, args.force, &stop)?;
    order.draw(place).map_err(|error| {
        if stop.load(Ordering::Relaxed) {
            Failure::Stopped
        } else {
            Failure::Work(error)
        }
    })?;
    let [train, test] = order.counts().map(|n| thousands(n as u64));
    let name = set.name();
    match order.counts() {
        [_, 0] => outln!("{name}: {train} samples\n"),
        _ => outln!("{name}: {train} samples to learn from and {test} to test with\n"),
    }
    out!("{}", order.data(&folder));
    Ok(())
}

fn list() -> Outcome {
    outln!("{:<14} samples  --length", "data sets");
    for set in Set::value_variants() {
        let about = set.about();
        let length = about.length.map_or(String::new(), |length| {
            format!("{} ({})", length.default, length.what)
        });
        let samples = thousands(about.samples as u64);
        outln!(
            "  {:<12} {samples:>7}  {length:<19}  {}",
            set.name(),
            about.what
        );
    }
    Ok(())
}
