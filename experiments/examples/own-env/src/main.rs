//! An environment of one's own with the whole command line: `cargo run -- train corridor.toml`.

use serde::{Deserialize, Serialize};
use thorndike::prelude::*;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Corridor {
    #[serde(default = "length")]
    length: usize,
}

fn length() -> usize {
    10
}

#[rustfmt::skip]
impl Env for Corridor {
    type State = usize;
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space { Space::Discrete(self.length) }
    fn action_space(&self) -> Space { Space::Discrete(2) }
    fn time_limit(&self) -> Option<u32> { Some(100) }
    fn reset(&self, _: &mut Rng) -> usize { 0 }
    fn step(&self, at: &mut usize, action: usize, _: &mut Rng) -> Step {
        *at = if action == 1 { *at + 1 } else { at.saturating_sub(1) };
        if *at + 1 == self.length { Step::terminal(1.0) } else { Step::running(-0.01) }
    }
    fn observe(&self, at: &usize, obs: &mut [i32]) { obs[0] = *at as i32 }
}

fn main() -> std::process::ExitCode {
    let corridor = |c: &Corridor| Ok(Corridor { length: c.length.max(2) });
    thorndike::main(thorndike::standard().env("my-corridor", corridor))
}
