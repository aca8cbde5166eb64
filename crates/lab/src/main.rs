//! The binary `majordomo-lab`: the heavy work that `cargo xtask` spawns.
//!
//! Owns the command line only; each command is a module. Of itself it is also what a soak needs besides: guard and
//! trampoline of the manager, the process under test, and the components.
#![forbid(unsafe_code)]

mod assistant;
mod closed;
mod cold_start;
mod core_ml;
mod cycles;
mod follower;
mod footprint;
mod hog;
mod intents;
mod load;
mod paired;
mod planted;
mod pretrain;
mod readiness;
mod replay;
mod short;
mod soak;
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
    /// Play days of a real assistant's commands under several policies, and compare them
    Assistant(assistant::Args),
    /// Run users who wait for each answer, with the components of a configuration, against other policies
    Closed(closed::Args),
    /// Measure loads of real components with warm, cold, and read-ahead files
    ColdStart(cold_start::Args),
    /// Compare the answers of exported Core ML files with those of the kernels
    CoreMl(core_ml::Args),
    /// Measure the manager's own memory, at rest and while it retrains
    Footprint(footprint::Args),
    /// Let a program take memory fast beside a manager in a cgroup: does a process die?
    Hog(hog::Args),
    /// Park and wake real programs many times: is a request lost, does a program die, does anything grow?
    ParkCycles(cycles::Args),
    /// Score the intent predictor on labelled texts
    Intents(intents::Args),
    /// Train the table of n-grams that ships with the predictor
    Pretrain(pretrain::Args),
    /// Measure how late a program that is ready is taken as ready
    Readiness(readiness::Args),
    /// Replay usage traces against eviction and preloading policies
    Replay(replay::Args),
    /// Soak a real manager in real time, or simulate days; with faults, and every invariant checked
    Stress(stress::Args),
    /// Soak with and without planted leaks: the test of the soak's verdict
    Planted(planted::Args),
    /// Be the server that is put under load
    #[command(hide = true)]
    LoadServer(load::ServerArgs),
    /// Be the process that a soak tests
    #[command(hide = true)]
    SoakSubject(soak::subject::Args),
    /// Be the server of a test
    #[command(hide = true)]
    Serve(assistant::stand_in::ServeArgs),
    /// Be a component of a test
    #[command(hide = true)]
    Answer(assistant::stand_in::AnswerArgs),
    /// Be a program that opens its port late
    #[command(hide = true)]
    Late(readiness::LateArgs),
    /// Be a program that is parked and woken
    #[command(hide = true)]
    ParkSubject(cycles::subject::Args),
    /// Be the hog beside a measurement
    #[command(hide = true)]
    LockedHog(hog::LockedArgs),
    /// Be a component of a soak
    #[command(hide = true)]
    Component(soak::component::Args),
}

fn main() -> ExitCode {
    if let Some(code) = majordomo::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    let result = match Cli::parse().command {
        Command::Assistant(args) => {
            return assistant::run(&args).unwrap_or_else(|error| failed(&error));
        }
        Command::Closed(args) => closed::run(&args),
        Command::ColdStart(args) => cold_start::run(&args),
        Command::CoreMl(args) => core_ml::run(&args),
        Command::Footprint(args) => footprint::run(&args),
        Command::Hog(args) => hog::run(&args),
        Command::Intents(args) => intents::run(&args),
        Command::Pretrain(args) => pretrain::run(&args),
        Command::Readiness(args) => readiness::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Stress(args) => {
            return stress::run(&args).unwrap_or_else(|error| failed(&error));
        }
        Command::Planted(args) => planted::run(&args),
        Command::LoadServer(args) => load::serve(&args),
        Command::SoakSubject(args) => soak::subject::run(&args),
        Command::Serve(args) => assistant::stand_in::serve(&args),
        Command::Late(args) => readiness::late(&args),
        Command::Answer(args) => return assistant::stand_in::answer(&args),
        Command::ParkCycles(args) => {
            return cycles::run(&args).unwrap_or_else(|error| failed(&error));
        }
        Command::ParkSubject(args) => cycles::subject::run(&args),
        Command::LockedHog(args) => hog::locked(&args),
        Command::Component(args) => return soak::component::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
