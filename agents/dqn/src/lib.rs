//! The DQN family
