//! Tests of the Core ML files: written, read back, evaluated, damaged; and of the choice among back ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod back_ends;
#[cfg(target_os = "macos")]
mod core_ml;
mod counting;
mod export;
mod fakes;
mod hostile;
mod place;
mod seeds;
mod support;
mod target;
