//! The binary as its user sees it: output, exit codes, files.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod assistant;
mod cycles;
#[allow(dead_code, reason = "these tests have no tasks that must continue")]
#[path = "../../../runtime/tests/it/eventually.rs"]
mod eventually;
mod stress;
mod support;
