//! The binary as somebody meets it who soaks: what it prints, how it exits, what it leaves.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

#[allow(dead_code, reason = "these tests have no tasks to let go on")]
#[path = "../../../runtime/tests/it/eventually.rs"]
mod eventually;
mod stress;
mod support;
