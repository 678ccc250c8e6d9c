//! What a person sees while seeds run: a bar each on a terminal, plain lines elsewhere.

use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use thorndike_core::EnvSteps;

use crate::run::{Of, Progress};
use crate::text::{duration, thousands};

/// All seeds of an experiment.
#[derive(Debug)]
pub(crate) struct Display {
    bars: Option<MultiProgress>,
    steps: EnvSteps,
    width: usize,
}

/// One seed.
#[derive(Debug)]
pub(crate) struct SeedDisplay<'a> {
    display: &'a Display,
    label: String,
    bar: Option<ProgressBar>,
    evaluated: Option<f64>,
    last_line: Instant,
}

impl Display {
    /// For runs of `steps` environment steps each. Bars if standard error is a terminal and `quiet` is not asked for.
    pub(crate) fn new(steps: EnvSteps, seeds: &[u64]) -> Self {
        let bars = stderr().is_terminal().then(|| {
            // Few frames a second: the picture is for people, the time for learning.
            MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5))
        });
        let widest = seeds.iter().max().copied().unwrap_or(0);
        Self {
            bars,
            steps,
            width: widest.to_string().len(),
        }
    }

    /// The line of one seed.
    pub(crate) fn seed(&self, seed: u64) -> SeedDisplay<'_> {
        let label = format!("seed {seed:>width$}", width = self.width);
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(self.steps));
            let style =
                ProgressStyle::with_template("{prefix}  {bar:24.cyan/dim} {percent:>3} %  {msg}")
                    .expect("the template is a constant")
                    .progress_chars("━━─");
            bar.set_style(style);
            bar.set_prefix(label.clone());
            bar
        });
        SeedDisplay {
            display: self,
            label,
            bar,
            evaluated: None,
            last_line: Instant::now(),
        }
    }
}

/// All trials of a sweep: a line for each that has ended, and on a terminal one bar for all that is left.
#[derive(Debug)]
pub(crate) struct SweepDisplay {
    bar: Option<ProgressBar>,
}

impl SweepDisplay {
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(5);
            let style = ProgressStyle::with_template(
                "{bar:32.cyan/dim} {percent:>3} %  {per_sec}  {eta} left",
            )
            .expect("the template is a constant")
            .with_key("per_sec", |state: &ProgressState, out: &mut dyn Write| {
                // What cannot be written is not shown.
                let _ = write!(out, "{} steps/s", thousands(state.per_sec() as u64));
            })
            .with_key("eta", |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{}", duration(state.eta().as_secs_f64()));
            })
            .progress_chars("━━─");
            ProgressBar::with_draw_target(Some(0), target).with_style(style)
        });
        Self { bar }
    }

    /// `steps` environment steps are to be made, of all seeds together.
    pub(crate) fn begin(&self, steps: EnvSteps) {
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(steps);
        }
    }

    /// So many of them were made.
    pub(crate) fn advance(&self, steps: EnvSteps) {
        if let Some(bar) = &self.bar {
            bar.inc(steps);
        }
    }

    /// A line above the bar.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// All were made, or it was stopped.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl SeedDisplay<'_> {
    /// A line is printed for each evaluation, but not more often than this.
    const LINE_EVERY: Duration = Duration::from_secs(2);

    /// Shows how far the seed is.
    pub(crate) fn update(&mut self, progress: Progress) {
        let steps = self.display.steps;
        self.evaluated = progress.evaluated.or(self.evaluated);
        let left = steps.saturating_sub(progress.step) as f64 / progress.steps_per_s.max(1e-9);
        let mut message = String::new();
        if let Some(value) = self.evaluated {
            // Scores of models lie below 1, returns of agents seldom.
            message += &match progress.of {
                Of::Samples | Of::Rounds { scored: true } => format!("validation {value:.4}  "),
                Of::Words => format!("score {value:.4}  "),
                Of::Steps | Of::Rounds { scored: false } => format!("eval {value:.1}  "),
            };
        }
        if let Some(value) = progress.recent_return {
            message += &format!("return {value:.1}  ");
        }
        let speed = thousands(progress.steps_per_s as u64);
        message += &match (progress.of, progress.waiting) {
            (Of::Samples, waiting) => format!(
                "{speed} samples/s, {:.0} % waiting for data  ",
                100.0 * waiting.unwrap_or(0.0)
            ),
            (Of::Words, _) => format!("{speed} words/s  "),
            (Of::Steps, _) => format!("{speed} steps/s  "),
            (Of::Rounds { .. }, _) => {
                format!("{:.2} s a round  ", 1.0 / progress.steps_per_s.max(1e-9))
            }
        };
        if progress.step < steps {
            message += &format!("{} left", duration(left));
        }
        if progress.no_start {
            let warning = format!(
                "{}  warning: half of the steps are gone, and no evaluation was better than before training",
                self.label
            );
            match &self.bar {
                Some(bar) => bar.suspend(|| eprintln!("{warning}")),
                None => eprintln!("{warning}"),
            }
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(progress.step);
                bar.set_message(message);
            }
            None if progress.evaluated.is_some()
                && self.last_line.elapsed() >= Self::LINE_EVERY =>
            {
                self.last_line = Instant::now();
                let (step, steps) = (thousands(progress.step), thousands(steps));
                let unit = match progress.of {
                    Of::Samples => "samples",
                    Of::Words => "words",
                    Of::Steps => "steps",
                    Of::Rounds { .. } => "rounds",
                };
                eprintln!(
                    "{}  {step:>width$} of {steps} {unit}  {}",
                    self.label,
                    message.trim_end(),
                    width = steps.len()
                );
            }
            None => {}
        }
    }

    /// The seed has come to a halt.
    pub(crate) fn end(&self, word: &str) {
        match &self.bar {
            Some(bar) => bar.abandon_with_message(word.to_owned()),
            None => eprintln!("{}  {word}", self.label),
        }
    }
}
