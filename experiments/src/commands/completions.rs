use clap::CommandFactory;
use clap_complete::Shell;

use super::out::out;
use super::{Cli, Outcome};

/// Print completions for a shell, to be sourced by it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "thorndike", &mut script);
    out!("{}", String::from_utf8_lossy(&script));
    Ok(())
}
