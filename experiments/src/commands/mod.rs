//! The command line: one file a command.

#![deny(clippy::print_stdout, reason = "it panics where `out!` is an error")]

mod check;
mod compare;
mod completions;
mod conclude;
mod data;
mod doctor;
mod eval;
#[cfg(feature = "torch")]
mod export;
mod list;
mod out;
mod play;
mod plot;
#[cfg(feature = "torch")]
mod predict;
mod report;
mod resume;
mod sweep;
mod train;
mod vocabulary;
mod words;

use std::process::ExitCode;

use anyhow::Error;
use clap::{Parser, Subcommand};
use thorndike_core::Registry;

/// Reinforcement-learning experiments: train, resume, sweep, evaluate, plot and compare.
#[derive(Debug, Parser)]
#[command(
    name = "thorndike",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train an agent as a configuration file says, and draw its reward curve
    Train(train::Args),
    /// Train a supervised model as a configuration file says, and draw its learning curve
    Fit(train::Args),
    Resume(resume::Args),
    Sweep(sweep::Args),
    Eval(eval::Args),
    #[cfg(feature = "torch")]
    Predict(predict::Args),
    #[cfg(feature = "torch")]
    Export(export::Args),
    #[command(subcommand)]
    Words(words::Command),
    Play(play::Args),
    Plot(plot::Args),
    Compare(compare::Args),
    Report(report::Args),
    List(list::Args),
    Check(check::Args),
    Data(data::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
enum Failure {
    /// Wrong use, found before anything was done: exit code 2.
    Usage(Error),
    /// Failed while at work: exit code 1.
    Work(Error),
    /// Stopped by a signal: exit code 130.
    Stopped,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        if error.is::<out::Unwritten>() {
            Self::Work(error)
        } else {
            Self::Usage(error)
        }
    }
}

type Outcome = Result<(), Failure>;

/// Runs the command line with what `registry` holds.
///
/// Exit codes: 0 done, 1 failed, 2 wrong use, 130 stopped by a signal.
pub fn main(registry: Registry) -> ExitCode {
    crate::signal::end_with_the_reader();
    #[cfg(feature = "torch")]
    thorndike_nets::keep_freed_memory();
    let cli = Cli::parse();
    #[cfg(feature = "torch")]
    thorndike_nets::use_threads(1);
    let outcome = match cli.command {
        Command::Train(args) => train::run(args, &registry),
        Command::Fit(args) => train::fit(args, &registry),
        Command::Resume(args) => resume::run(args, &registry),
        Command::Sweep(args) => sweep::run(args, &registry),
        Command::Eval(args) => eval::run(args, &registry),
        #[cfg(feature = "torch")]
        Command::Predict(args) => predict::run(args, &registry),
        #[cfg(feature = "torch")]
        Command::Export(args) => export::run(args, &registry),
        Command::Words(command) => words::run(command),
        Command::Play(args) => play::run(args, &registry),
        Command::Plot(args) => plot::run(args, &registry),
        Command::Compare(args) => compare::run(args, &registry),
        Command::Report(args) => report::run(args, &registry),
        Command::List(args) => list::run(args, &registry),
        Command::Check(args) => check::run(args, &registry),
        Command::Data(args) => data::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
        Err(Failure::Work(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
        Err(Failure::Stopped) => ExitCode::from(130),
    }
}
