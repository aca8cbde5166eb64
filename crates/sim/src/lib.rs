//! Drives the production crates without a machine: trace replay and simulated days behind a virtual clock.
//!
//! Knows no real clock and starts no thread; everything is deterministic.
#![forbid(unsafe_code)]

pub mod replay;
mod rng;
pub mod stress;

pub use rng::Rng;
