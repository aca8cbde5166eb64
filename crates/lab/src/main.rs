//! The binary `majordomo-lab`: the heavy work that `cargo xtask` spawns.
//!
//! Owns the command line only; each command is a module.
#![forbid(unsafe_code)]

mod intents;
mod pretrain;
mod replay;
mod stress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "majordomo-lab", about = "Measurements of Majordomo", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Score the intent predictor on labelled texts
    Intents(intents::Args),
    /// Train the table of n-grams that ships with the predictor
    Pretrain(pretrain::Args),
    /// Replay usage traces against eviction and preloading policies
    Replay(replay::Args),
    /// Simulate days of use with faults and check every invariant after every input
    Stress(stress::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Intents(args) => intents::run(&args),
        Command::Pretrain(args) => pretrain::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Stress(args) => stress::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
