//! The program `majordomo`: what an operator without code types.
//!
//! Owns arguments, printing and signals; everything else is the facade's. First of all it serves as its own
//! guard process and trampoline (hidden modes), and as the demo's components.
#![forbid(unsafe_code)]

mod args;
mod bench_rungs;
mod check;
mod demo;
mod docs;
mod exit;
mod figure;
mod import;
mod intents;
mod lines;
mod log;
mod memory;
mod model;
mod notify;
mod parking;
mod plan;
mod print;
mod remote;
mod replay;
mod run;
mod serve;
mod service;
mod setup;
mod signals;
mod start;
mod summary;
mod table;
mod target;
mod worker;

use std::process::ExitCode;

use args::{Args, Command, FeedbackArgs, LogFormat, MemoryArgs};
use exit::Exit;
use majordomo_server::ClientError;
use target::Target;

fn main() -> ExitCode {
    if let Some(code) = majordomo::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    #[cfg(feature = "coreml")]
    if let Some(code) = majordomo::calibration_main(std::env::args_os().skip(1)) {
        return code;
    }
    // A dozen threads, of which few allocate much: heaps of their own would keep what each has freed.
    majordomo::bound_heaps(2);
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) => return misused(&error),
    };
    if let Command::Worker(worker) = &args.command {
        return worker::run(worker);
    }
    let (more, format) = match &args.command {
        // The log is the only report of a server's work.
        Command::Serve(serve) => (1, serve.log_format),
        _ => (0, LogFormat::Text),
    };
    log::start(args.verbose.saturating_add(more), format);
    let json = args.json;
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
    print::exit(match result {
        Ok(code) => code,
        Err(error) => report(&error, json),
    })
}

/// Prints an error, as text or as JSON, and gives the code that it ends with.
fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let client: Option<&ClientError> = error.downcast_ref();
    let exit = client.map_or(Exit::Failure, Exit::of);
    if json {
        let mut value = serde_json::json!({ "error": text, "exit": exit.code() });
        if let Some(problem) = client.and_then(ClientError::problem) {
            value["problem"] = serde_json::to_value(problem).unwrap_or_default();
        }
        print::json_message(&value);
    } else if client.is_some_and(|error| !is_bad_configuration(error)) {
        print::error(&text);
    } else {
        // The problems of a configuration have lines of their own.
        print::error_block(&text);
    }
    exit.into()
}

fn is_bad_configuration(error: &ClientError) -> bool {
    error.problem().is_some_and(|problem| problem.code == "bad_configuration")
}

/// Prints the problem of the arguments, or the help that they ask for, and returns the exit code.
fn misused(error: &clap::Error) -> ExitCode {
    // The arguments could not be read, so the option is looked for in the words; after `--` they belong to another command.
    let json = std::env::args_os().skip(1).take_while(|a| a != "--").any(|a| a == "--json");
    if json && error.use_stderr() {
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default();
        let what = what.strip_prefix("error: ").unwrap_or(what);
        let value = serde_json::json!({ "error": what, "exit": Exit::Usage.code(), "usage": text });
        print::json_message(&value);
        return Exit::Usage.into();
    }
    let text = error.render();
    if error.use_stderr() {
        print::message_block(&text.to_string());
        return Exit::Usage.into();
    }
    print::help(&text.to_string(), &text.ansi().to_string());
    print::exit(Exit::Success.into())
}

async fn dispatch(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(done) = remote::dispatch(&args).await {
        return done;
    }
    match args.command {
        Command::Check(a) => check::run(&a, args.json),
        Command::Plan(a) => plan::run(a, args.socket.as_deref(), args.json).await,
        Command::Run(a) => match Target::of(a, |word| std::path::Path::new(word).exists()) {
            Ok(Target::Configuration(job)) => run::run(job, args.json).await,
            Ok(Target::Server(a)) => remote::run(&a, args.socket.as_deref(), args.json).await,
            Err(why) => {
                print::error(&why);
                Ok(Exit::Usage.into())
            }
        },
        Command::Intents(a) => intents::run(a, args.socket.as_deref(), args.json).await,
        Command::Learn(a) => intents::learn(a, args.json).await,
        Command::Feedback(FeedbackArgs { state_dir: Some(dir), text, used, .. }) => {
            intents::feedback(&text.join(" "), &used, dir, args.json).await
        }
        Command::Model(a) => model::run(a, args.json).await,
        Command::Serve(a) => serve::run(a, args.socket, args.json).await,
        Command::Demo(a) => demo::run(a, args.json).await,
        Command::Memory(MemoryArgs { config: Some(config), state_dir }) => {
            memory::run(config, state_dir, args.json).await
        }
        Command::Service(a) => service::run(&a.verb).map(|()| ExitCode::SUCCESS),
        Command::Setup(a) => setup::run(&a.part, args.json),
        Command::Completions { shell } => {
            docs::completions(shell);
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { dir } => docs::man(&dir).map(|()| ExitCode::SUCCESS),
        Command::BenchRungs(a) => bench_rungs::run(a, args.json).await,
        Command::Import(a) => import::run(&a, args.json),
        Command::Replay(a) => replay::run(&a, args.json),
        Command::Schema => {
            print::json_text(&majordomo::schema());
            Ok(ExitCode::SUCCESS)
        }
        Command::Worker(w) => Ok(worker::run(&w)),
        // The verbs for a server are dealt with above.
        _ => Ok(Exit::Usage.into()),
    }
}
