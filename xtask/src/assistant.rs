//! `cargo xtask assistant`: the assistant of public packages in `examples/assistant`, prepared and served.
//!
//! Owns the arguments, where a prepared folder is, and which program serves it. `day` and `report` measure the prepared
//! folder and need the product: they are handed on to `majordomo-lab`, with the folders and the program to measure, so
//! that all four commands look in one place.

mod arguments;
mod check;
mod config;
#[cfg(test)]
mod example;
pub(crate) mod packages;
mod program;
mod python;
mod setup;
mod short;
mod step;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use self::arguments::flags;
pub(crate) use self::short::run as short;
use crate::lab;
use crate::project::Project;

/// The commands that `majordomo-lab` carries out, each with the options that name the prepared folder, the results and
/// the program to measure.
const MEASURING: &[(&str, &[&str])] = &[("day", &[DIR, OUT, PROGRAM]), ("report", &[OUT])];
const DIR: &str = "--dir";
const OUT: &str = "--out";
const PROGRAM: &str = "--majordomo";

/// Runs one of the commands.
pub(crate) fn run(project: &Project, name: &str, arguments: &[OsString]) -> Result<ExitCode> {
    let measuring = |first: &OsString| MEASURING.iter().find(|(command, _)| first == command);
    if let Some((_, options)) = arguments.first().and_then(measuring) {
        let mut arguments = arguments.to_vec();
        for option in unnamed(&arguments, options) {
            let value = match option {
                DIR => folder(project, None)?,
                OUT => project.target_dir().join("assistant-day"),
                _ => program::majordomo(project, None)?,
            };
            arguments.extend([option.into(), value.into()]);
        }
        return lab::run(project, name, &arguments);
    }
    let flags = match flags::Assistant::from_vec(arguments.to_vec()) {
        Ok(flags) => flags,
        Err(error) => error.exit(),
    };
    match flags.subcommand {
        flags::AssistantCmd::Setup(flags) => {
            let folder = folder(project, flags.dir.as_deref())?;
            setup::run(project, &folder, &flags)?;
            Ok(ExitCode::SUCCESS)
        }
        flags::AssistantCmd::Run(flags) => {
            let folder = folder(project, flags.dir.as_deref())?;
            serve(project, &folder, flags.majordomo.as_deref())
        }
    }
}

/// The options that are not among the arguments: `--dir PATH` or `--dir=PATH` is.
fn unnamed<'a>(arguments: &[OsString], options: &[&'a str]) -> Vec<&'a str> {
    let is_named = |option: &str| {
        arguments.iter().any(|argument| {
            let argument = argument.to_string_lossy();
            argument.split_once('=').map_or(&*argument, |(name, _)| name) == option
        })
    };
    options.iter().copied().filter(|option| !is_named(option)).collect()
}

/// An absolute path, since the environment's programs are started from other folders.
fn folder(project: &Project, given: Option<&Path>) -> Result<PathBuf> {
    let folder = given.map_or_else(|| project.target_dir().join("assistant"), Path::to_owned);
    std::path::absolute(&folder).with_context(|| format!("{} is no path", folder.display()))
}

/// Replaces this process by the server: output and interrupts are its own.
fn serve(project: &Project, folder: &Path, given: Option<&Path>) -> Result<ExitCode> {
    let config = folder.join("assistant.toml");
    ensure!(
        config.is_file() && folder.join("setup.json").is_file(),
        "{} is not prepared: run `cargo xtask assistant setup --dir {0}` first",
        folder.display()
    );
    let program = program::majordomo(project, given)?;
    let mut server = Command::new(&program);
    server.arg("serve").arg(&config).arg("--state-dir").arg(folder.join("state"));
    // `exec` returns only where it fails.
    Err(server.exec()).with_context(|| format!("{} cannot be started", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_are_not_given_are_added() {
        let unnamed = |words: &str| {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            unnamed(&words, &[DIR, OUT, PROGRAM])
        };
        assert_eq!(unnamed("day"), [DIR, OUT, PROGRAM]);
        assert_eq!(unnamed("day --out=x --trace --dirt"), [DIR, PROGRAM]);
        assert_eq!(unnamed("day --dir a --majordomo b"), [OUT]);
    }
}
