//! `model export` and `model inspect`: the learned text model as a Core ML file.
//!
//! Without the feature `coreml` both say how to get it.

#[cfg(feature = "coreml")]
mod core_ml;

use std::process::ExitCode;

use crate::args::ModelArgs;

#[cfg(feature = "coreml")]
pub(crate) async fn run(args: ModelArgs, json: bool) -> anyhow::Result<ExitCode> {
    tokio::task::spawn_blocking(move || core_ml::run(&args.verb, json)).await?
}

#[cfg(not(feature = "coreml"))]
pub(crate) async fn run(args: ModelArgs, _json: bool) -> anyhow::Result<ExitCode> {
    let command = match args.verb {
        crate::args::ModelVerb::Export(_) => "model export",
        crate::args::ModelVerb::Inspect { .. } => "model inspect",
    };
    anyhow::bail!(
        "this build of majordomo has no `{command}`: it is left out unless asked for; install one that has it with `cargo install --locked \
         majordomo-cli --features coreml`"
    )
}
