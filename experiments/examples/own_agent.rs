//! An agent of one's own with the whole command line:
//! `cargo run --example own_agent -- train experiments/examples/own_agent.toml`.
//!
//! It is the oldest one: for each action the mean of the rewards seen, and the best action most of the time.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use thorndike::prelude::*;
use thorndike::thorndike_core::check_range;

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AveragesConfig {
    /// Probability of a random action while learning.
    epsilon: f64,
}

impl Default for AveragesConfig {
    fn default() -> Self {
        Self { epsilon: 0.1 }
    }
}

struct Averages {
    epsilon: f64,
    learned: Learned,
}

/// All that changes, and so all that is saved.
#[derive(Serialize, Deserialize)]
struct Learned {
    means: Vec<f64>,
    counts: Vec<u64>,
    rng: Rng,
}

impl Averages {
    fn new(config: &AveragesConfig, context: &BuildContext<'_>) -> Result<Self> {
        check_range("epsilon", config.epsilon, 0.0..=1.0)?;
        let actions = context.spec.num_actions("averages")?;
        Ok(Self {
            epsilon: config.epsilon,
            learned: Learned {
                means: vec![0.0; actions],
                counts: vec![0; actions],
                rng: context.seeds.stream("agent/explore", 0),
            },
        })
    }
}

impl Actor for Averages {
    fn act(&mut self, _: &Array, mode: Mode, actions: &mut Array) {
        let Learned { means, rng, .. } = &mut self.learned;
        for action in actions.as_mut_slice::<i32>() {
            let explores = mode == Mode::Explore && rng.random::<f64>() < self.epsilon;
            *action = if explores {
                rng.random_range(0..means.len() as i32)
            } else {
                let better = |best: usize, i: usize| if means[i] > means[best] { i } else { best };
                (0..means.len()).fold(0, better) as i32
            };
        }
    }
}

impl Agent for Averages {
    fn observe(&mut self, transitions: &Transitions<'_>) {
        let Learned { means, counts, .. } = &mut self.learned;
        for (&action, &reward) in transitions
            .actions
            .as_slice::<i32>()
            .iter()
            .zip(transitions.rewards)
        {
            let action = action as usize;
            counts[action] += 1;
            means[action] += (f64::from(reward) - means[action]) / counts[action] as f64;
        }
    }

    fn update(&mut self, log: &mut Log<'_>) -> Result<()> {
        log.scalar("explore/epsilon", self.epsilon)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join("averages.json");
        let json = serde_json::to_vec(&self.learned).map_err(|e| Error::Backend(Box::new(e)))?;
        fs::write(&path, json).map_err(Error::io(path))
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("averages.json");
        let json = fs::read(&path).map_err(Error::io(&path))?;
        let learned: Learned =
            serde_json::from_slice(&json).map_err(|e| Error::checkpoint(&path, e.to_string()))?;
        if [learned.means.len(), learned.counts.len()] != [self.learned.means.len(); 2] {
            return Err(Error::checkpoint(&path, "has another number of actions"));
        }
        self.learned = learned;
        Ok(())
    }
}

fn main() -> ExitCode {
    thorndike::main(thorndike::standard().agent("averages", Averages::new))
}
