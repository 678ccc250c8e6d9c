use std::path::PathBuf;

use thorndike_core::Registry;

use super::Outcome;
use super::conclude::CURVE;
use super::out::outln;
use crate::plot;
use crate::references::read_with_references;
use crate::stats::Statistic;

/// Draw the reward curve of an experiment, or the numbers its agents reported
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the experiment, such as results/cart-pole-dqn
    folder: PathBuf,
    /// Picture to write, .png or .svg; curve.png or panels.png in the folder if absent
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Average over seeds
    #[arg(long, value_enum, default_value = "iqm")]
    statistic: Average,
    /// Draw reported numbers, each in its panel: all of them, or those named, such as loss/td
    #[arg(long, value_name = "NAME", num_args = 0..)]
    panels: Option<Vec<String>>,
    /// Returns to show; all by default, except the first ones where they would press the rest flat
    #[arg(long, value_name = "LOW..HIGH", value_parser = range, allow_hyphen_values = true)]
    range: Option<(f64, f64)>,
    /// Dark background
    #[arg(long)]
    dark: bool,
}

/// Reads `-200..0`.
pub(super) fn range(text: &str) -> Result<(f64, f64), String> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    text.split_once("..")
        .and_then(|(low, high)| Some((number(low)?, number(high)?)))
        .filter(|(low, high)| low < high)
        .ok_or_else(|| "give two numbers, the lower first, such as -200..0".to_owned())
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Average {
    Iqm,
    Mean,
    Median,
}

impl Average {
    pub(super) fn options(self, range: Option<(f64, f64)>, dark: bool) -> plot::Options {
        plot::Options {
            statistic: match self {
                Self::Iqm => Statistic::Iqm,
                Self::Mean => Statistic::Mean,
                Self::Median => Statistic::Median,
            },
            theme: if dark {
                plot::Theme::Dark
            } else {
                plot::Theme::Light
            },
            range,
            ..plot::Options::default()
        }
    }
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let experiment = read_with_references(&args.folder, registry)?;
    for warning in &experiment.warnings {
        eprintln!("warning: {warning}");
    }
    let options = args.statistic.options(args.range, args.dark);
    let name = if args.panels.is_some() {
        "panels.png"
    } else {
        CURVE
    };
    let out = args.out.unwrap_or_else(|| args.folder.join(name));
    match args.panels {
        Some(names) => plot::panels(&experiment, &names, &options, &out)?,
        None => plot::curve(&experiment, &options, &out)?,
    }
    outln!("{}", out.display());
    Ok(())
}
