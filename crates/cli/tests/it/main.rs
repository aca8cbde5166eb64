//! The binary as an operator meets it: what it prints, how it exits, and that it leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod api;
mod bench_rungs;
mod call;
mod check;
mod demo;
#[allow(dead_code, reason = "these tests have no tasks that must continue")]
#[path = "../../../runtime/tests/it/eventually.rs"]
mod eventually;
mod files;
mod footprint;
mod guides;
mod import;
mod intents;
mod model;
mod output;
mod paths;
mod plan;
#[path = "../../../majordomo/tests/it/processes.rs"]
mod processes;
mod remote;
mod replay;
mod run;
mod serve;
mod setup;
mod signals;
mod support;
mod text;
mod trust;
mod words;
