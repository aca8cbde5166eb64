//! The program `majordomo` that serves a prepared folder.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::project::Project;

/// The program that serves: the one given, or one that is built.
pub(super) fn majordomo(project: &Project, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        let program = std::path::absolute(given)?;
        ensure!(program.is_file(), "{} is not there", program.display());
        return Ok(program);
    }
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    cmd!(sh, "cargo build --quiet --release --package majordomo-cli --bin majordomo")
        .quiet()
        .run()?;
    Ok(project.target_dir().join("release").join("majordomo"))
}
