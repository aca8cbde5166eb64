//! Commands that need the product: built and run as `majordomo-lab`, in release mode.
//!
//! Knows nothing of what they do: name and arguments are handed on unread.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::project::Project;

/// The folder of the binary.
const FOLDER: &str = "crates/lab";

/// Builds it, then becomes it: input, output, interrupts and exit code are the command's own.
pub(crate) fn run(project: &Project, name: &str, arguments: &[OsString]) -> Result<ExitCode> {
    let error = Command::new(build(project)?).arg(name).args(arguments).exec();
    // `exec` returns only where it fails.
    Err(error).context("majordomo-lab cannot be started")
}

/// As [`run`], for a command that measures the product's program, which is built too.
pub(crate) fn run_beside_product(
    project: &Project,
    name: &str,
    arguments: &[OsString],
) -> Result<ExitCode> {
    build_product(project)?;
    run(project, name, arguments)
}

/// Builds the product's program, which commands find beside `majordomo-lab`.
pub(crate) fn build_product(project: &Project) -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    cmd!(sh, "cargo build --quiet --release --package majordomo-cli --bin majordomo")
        .quiet()
        .run()?;
    Ok(())
}

/// Builds the program and returns its path.
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
