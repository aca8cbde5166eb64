//! Drives the production crates without a machine: trace replay behind a virtual clock.
//!
//! Knows no real clock and starts no thread; everything is deterministic.
#![forbid(unsafe_code)]

pub mod replay;
