//! The start of a command's own manager, and what is said when one could not be stopped.

use std::path::Path;
use std::process::ExitCode;

use majordomo::{BuildError, Builder, ComponentId, GuardForm, Manager};

use crate::exit::Exit;
use crate::print;
use crate::signals::Interrupts;

/// A manager of a configuration whose programs do not outlive it.
///
/// # Errors
/// When the system does not report the path of this program, which is the guard.
pub(crate) fn builder(config: &Path, state_dir: Option<&Path>) -> anyhow::Result<Builder> {
    let builder =
        Manager::builder().config_file(config).guard(GuardForm::this_program()?).adopt_strays();
    Ok(match state_dir {
        Some(dir) => builder.state_dir(dir),
        None => builder,
    })
}

/// A manager's problems are printed as the configuration's own; others as one error.
pub(crate) async fn start(
    builder: Builder,
    json: bool,
) -> anyhow::Result<Result<Manager, ExitCode>> {
    match builder.start().await {
        Ok(manager) => Ok(Ok(manager)),
        Err(BuildError::Config(problems)) => {
            if json {
                problems
                    .as_slice()
                    .iter()
                    .for_each(|p| print::json(&crate::check::problem_json(p)));
            } else {
                print::message_block(&problems.to_string());
            }
            Ok(Err(ExitCode::FAILURE))
        }
        Err(error) => Err(error.into()),
    }
}

/// The same, unless an interrupt comes first (a configuration may be on a file system that hangs), which is reported by `say` and
/// ends the command with `interrupted`.
pub(crate) async fn start_or_interrupt(
    builder: Builder,
    json: bool,
    interrupts: &mut Interrupts,
    say: fn(&str),
    interrupted: Exit,
) -> anyhow::Result<Result<Manager, ExitCode>> {
    tokio::select! {
        started = start(builder, json) => started,
        () = interrupts.next() => {
            say("interrupted while starting");
            Ok(Err(interrupted.into()))
        }
    }
}

/// Prints the components whose processes still run.
pub(crate) fn report_stuck(stuck: &[ComponentId]) {
    for id in stuck {
        print::error(&format!("{id} could not be stopped"));
    }
}
