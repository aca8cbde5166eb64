//! Commands that need the product: built and run as `majordomo-lab`, in release mode.
//!
//! Knows nothing of what they do: name and arguments are handed on unread.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::project::Project;

/// The folder of the binary.
const FOLDER: &str = "crates/lab";

/// Builds it, then becomes its parent: input, output and exit code are the command's own.
pub(crate) fn run(project: &Project, name: &str, arguments: &[OsString]) -> Result<ExitCode> {
    let status = Command::new(build(project)?)
        .arg(name)
        .args(arguments)
        .status()
        .context("majordomo-lab cannot be started")?;
    // Without a code it died of a signal, which it has no words for.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Builds it and tells where it is.
pub(crate) fn build(project: &Project) -> Result<std::path::PathBuf> {
    ensure!(
        project.has_package(FOLDER),
        "{FOLDER} is not in this tree: there is no majordomo-lab to run"
    );
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    cmd!(sh, "cargo build --quiet --release --package majordomo-lab --bin majordomo-lab")
        .quiet()
        .run()?;
    Ok(project.target_dir().join("release").join("majordomo-lab"))
}
