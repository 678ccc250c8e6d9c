//! Parity with recorded episodes and tables of Gymnasium, bsuite, POPGym and MinAtar, step for step.
//!
//! The records lie in `tests/golden` of the repository and in the folder that `THORNDIKE_GOLDEN` names (a
//! relative path starts at the workspace; default `../shared/golden`, passed over where there is none).
//! Other records of the same form can be run through these tests that way. An argument of an
//! environment that is not known here fails the test; it is never passed over.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

mod box2d;
mod classic;
mod grid;
mod memory;
mod minatar;
mod minigrid;
mod numpy;
mod probe;
mod records;
mod table;
mod vector;
