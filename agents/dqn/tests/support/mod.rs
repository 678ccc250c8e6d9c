//! What several test files use.

#![allow(dead_code, reason = "every test file takes a part")]

use std::fs;
use std::path::Path;

use thorndike_core::prelude::*;

/// A corridor of eight cells. Right costs 0.1 and pays 3 at the end, left pays 0.01 at once, for ever: what an agent
/// takes that does not look ahead. At gamma = 0.9 the better action is worth at least 0.1 more in every cell.
pub(crate) struct Temptation;

impl Env for Temptation {
    type State = usize;
    type Obs = i32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::Discrete(8)
    }
    fn action_space(&self) -> Space {
        Space::Discrete(2)
    }
    fn reset(&self, rng: &mut Rng) -> usize {
        rng.random_range(0..7)
    }
    fn step(&self, at: &mut usize, action: usize, _: &mut Rng) -> Step {
        if action == 0 {
            *at = at.saturating_sub(1);
            return Step::running(0.01);
        }
        *at += 1;
        if *at == 7 {
            Step::terminal(3.0)
        } else {
            Step::running(-0.1)
        }
    }
    fn observe(&self, at: &usize, obs: &mut [i32]) {
        obs[0] = *at as i32;
    }
    fn time_limit(&self) -> Option<u32> {
        Some(50)
    }
}

/// Every file of a folder with its content, by name.
pub(crate) fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}
