//! Tabular agents and exact dynamic programming
