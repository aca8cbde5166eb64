//! `majordomo-lab assistant day|report`: a real assistant of public programs as the yardstick of
//! the product.
//!
//! `day` plays days of commands against servers that differ in their policy alone and measures
//! waits and memory from outside; `report` writes the comparison as Markdown and pictures. Knows no
//! component: the prepared folder names them, with commands, questions and the signs of real
//! answers (ADR 0027).

mod args;
mod ask;
mod calibrate;
pub(crate) mod clock;
mod columns;
mod commands;
mod day;
mod equal;
mod events;
mod figures;
mod folder;
mod goals;
mod http;
mod idle_clock;
pub(crate) mod interrupt;
mod learn;
mod markdown;
mod overview;
mod pacing;
mod pause;
mod played;
mod player;
mod plot;
mod policy;
mod pooled;
mod prepare;
pub(crate) mod processes;
mod progress;
mod questions;
mod quiet;
mod ram;
mod readme;
mod record;
mod remarks;
mod report;
mod routine;
mod run;
pub(crate) mod rungs;
mod sampler;
pub(crate) mod server;
pub(crate) mod stand_in;
mod steps;
pub(crate) mod used;
mod verdict;
mod warm;

use std::process::ExitCode;

pub(crate) use args::Args;
use args::Verb;

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Day(args) => day::run(args),
        Verb::Report(args) => report::run(args),
    }
}
