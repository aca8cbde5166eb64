//! The program `majordomo`: what an operator without code types.
//!
//! Owns arguments, printing and signals; everything else is the facade's. First of all it serves as its own
//! guard process and trampoline (hidden modes), and as the demo's components.
#![forbid(unsafe_code)]

mod args;
mod check;
mod demo;
mod lines;
mod plan;
mod print;
mod run;
mod serve;
mod signals;
mod summary;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    if let Some(code) = majordomo::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    let args = Args::parse();
    if let Command::Worker(worker) = &args.command {
        return worker::run(worker);
    }
    start_log(args.verbose);
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                print::error(&format!("the program cannot start its threads: {error}"));
                return ExitCode::FAILURE;
            }
        };
    let result = runtime.block_on(dispatch(args));
    // Readers of standard input cannot be interrupted; nothing else is left to wait for.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => {
            let mut text = error.to_string();
            for cause in error.chain().skip(1) {
                let cause = cause.to_string();
                if !text.contains(&cause) {
                    text = format!("{text}: {cause}");
                }
            }
            print::error(&text);
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check(a) => check::run(&a, args.json),
        Command::Plan(a) => plan::run(a, args.json).await,
        Command::Run(a) => run::run(a, args.json).await,
        Command::Serve(a) => serve::run(a, args.json).await,
        Command::Demo(a) => demo::run(a, args.json).await,
        Command::Schema => {
            print::line(&majordomo::schema());
            Ok(ExitCode::SUCCESS)
        }
        Command::Worker(w) => Ok(worker::run(&w)),
    }
}

/// Warnings go to standard error; `-v` shows more, `RUST_LOG` decides over both.
fn start_log(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(print::colour(std::io::IsTerminal::is_terminal(&std::io::stderr())))
        .with_target(false)
        .init();
}
