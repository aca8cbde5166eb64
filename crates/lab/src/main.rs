//! The binary `majordomo-lab`: the heavy work that `cargo xtask` spawns.
//!
//! Owns the command line only; each command is a module.
#![forbid(unsafe_code)]

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
    /// Replay usage traces against eviction and preloading policies
    Replay(replay::Args),
    /// Simulate days of use with faults and check every invariant after every input
    Stress(stress::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
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
