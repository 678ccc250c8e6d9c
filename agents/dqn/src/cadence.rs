//! When an agent with a replay learns, and when its target network follows.

use serde::{Deserialize, Serialize};
use thorndike_core::EnvSteps;

use crate::config::TargetConfig;

/// Counts environment steps and updates. What is due is counted with a remainder, so that 16 environments learn as often
/// as one.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cadence {
    /// Environment steps observed.
    pub(crate) env_steps: EnvSteps,
    /// Updates made.
    pub(crate) updates: u64,
    /// Environment steps since the last round of updates.
    untrained_steps: EnvSteps,
    /// Environment steps since the target network was last copied.
    target_age_steps: EnvSteps,
}

impl Cadence {
    /// Counts `steps` environment steps. Only those after the warm-up, and with enough to learn from, are learned from.
    pub(crate) fn observe(&mut self, steps: usize, warmup_steps: EnvSteps, is_enough: bool) {
        let steps = steps as EnvSteps;
        self.env_steps += steps;
        let learning = self.env_steps.saturating_sub(warmup_steps).min(steps);
        if is_enough {
            self.untrained_steps += learning;
            self.target_age_steps += learning;
        }
    }

    /// Whether a round of updates is due; it then counts as made.
    pub(crate) fn begins_round(&mut self, train_every_steps: EnvSteps) -> bool {
        let due = self.untrained_steps >= train_every_steps;
        if due {
            self.untrained_steps -= train_every_steps;
        }
        due
    }

    /// Whether the target network is to be copied after the update that was just made.
    pub(crate) fn copies_after_update(&self, target: TargetConfig) -> bool {
        matches!(target, TargetConfig::EveryUpdates { updates } if self.updates.is_multiple_of(updates))
    }

    /// Whether the target network is to be copied after the steps so far; it then counts as copied.
    pub(crate) fn copies_after_steps(&mut self, target: TargetConfig) -> bool {
        match target {
            TargetConfig::EverySteps { steps } if self.target_age_steps >= steps => {
                self.target_age_steps %= steps;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_the_warm_up_are_not_learned_from() {
        let mut cadence = Cadence::default();
        cadence.observe(8, 10, true);
        assert!(!cadence.begins_round(1));
        cadence.observe(8, 10, true);
        // Six steps after the warm-up: three rounds of two.
        assert!((0..3).all(|_| cadence.begins_round(2)) && !cadence.begins_round(2));
        cadence.observe(8, 10, false);
        assert!(
            !cadence.begins_round(1),
            "there was not enough to learn from"
        );
        assert_eq!(cadence.env_steps, 24);
    }

    #[test]
    fn a_remainder_counts_for_the_next_round() {
        let rounds = |num_envs: usize| {
            let mut cadence = Cadence::default();
            let mut rounds = 0;
            for _ in 0..1600 / num_envs {
                cadence.observe(num_envs, 0, true);
                while cadence.begins_round(10) {
                    rounds += 1;
                }
            }
            rounds
        };
        assert_eq!([rounds(1), rounds(16), rounds(64)], [160; 3]);
    }

    #[test]
    fn the_target_follows_steps_or_updates_by_its_own_count() {
        let mut cadence = Cadence::default();
        let by_steps = TargetConfig::EverySteps { steps: 10 };
        let by_updates = TargetConfig::EveryUpdates { updates: 3 };
        let copies = (0..10).filter(|_| {
            cadence.observe(4, 0, true);
            cadence.copies_after_steps(by_steps)
        });
        assert_eq!(copies.count(), 4);
        let copies = (1..=10).filter(|&updates| {
            cadence.updates = updates;
            assert!(!cadence.copies_after_steps(by_updates));
            cadence.copies_after_update(by_updates)
        });
        assert_eq!(copies.collect::<Vec<_>>(), [3, 6, 9]);
    }
}
