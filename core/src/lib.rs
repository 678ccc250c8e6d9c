//! Traits, vector environments, replay, training loop, seeds, events and checkpoints of Thorndike
