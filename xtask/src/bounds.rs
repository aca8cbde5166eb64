//! The lower bounds of dependencies: everything builds with the oldest version of each that its manifest allows.
//!
//! Only a nightly toolchain selects those versions (`-Z direct-minimal-versions`). The tree's own `Cargo.lock` stays
//! as it is: the build is one of a second workspace whose members are links to the first one's.

use std::os::unix::fs::symlink;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::child::{self, Closing};
use crate::package;
use crate::project::Project;

/// Checks the workspace with the oldest versions.
pub(crate) fn run(project: &Project, sh: &Shell) -> Result<Closing> {
    if cmd!(sh, "cargo +nightly --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        let install = "rustup toolchain install nightly --profile minimal";
        return Closing::skip(format!("no nightly toolchain ({install})"), false);
    }
    if !package::registry_answers(sh) {
        return Closing::skip("the registry, which lists the versions, cannot be reached", false);
    }
    let copy = project.target_dir().join("bounds");
    link_members(project, sh, &copy)?;
    let (manifest, target) = (copy.join("Cargo.toml"), copy.join("target"));
    let _folder = sh.push_dir(&copy);
    child::run(cmd!(
        sh,
        "cargo +nightly -Z direct-minimal-versions update --quiet --manifest-path {manifest}"
    ))?;
    child::run(cmd!(
        sh,
        "cargo +nightly check --workspace --all-targets --all-features --locked --manifest-path {manifest} --target-dir {target}"
    ))
}

/// A folder with the workspace's manifest, and links to everything beside it but the lock file.
fn link_members(project: &Project, sh: &Shell, copy: &std::path::Path) -> Result<()> {
    sh.create_dir(copy)?;
    sh.copy_file(project.root.join("Cargo.toml"), copy)?;
    sh.remove_path(copy.join("Cargo.lock"))?;
    for name in ["crates", "xtask", "docs", "examples"] {
        let link = copy.join(name);
        // A link of an earlier run may point to a folder that is gone; it is removed all the same.
        if link.is_symlink() {
            std::fs::remove_file(&link)?;
        }
        symlink(project.root.join(name), &link)
            .with_context(|| format!("{} cannot be made", link.display()))?;
    }
    Ok(())
}
