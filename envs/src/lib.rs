//! Native reinforcement-learning environments
