//! The packages as they would be published: complete by themselves, and accepted by the registry.
//!
//! Owns how they are packaged and built. The contents of a manifest are a rule of `tidy`. Cargo's own verification
//! builds every package with dependencies of its own; here all packages are checked in one workspace with the profile
//! and the versions of this one, so that the builds of other stages are used again.

use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::child::{self, Closing};
use crate::project::{Package, Project};

/// Whether the package registry can be asked.
pub(crate) fn registry_answers(sh: &Shell) -> bool {
    cmd!(sh, "cargo update --dry-run").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// Packages every crate that is published and builds them from their packages alone. Asks the registry whether it
/// would take them, in the order of their dependencies; where it cannot be reached, this part is skipped.
pub(crate) fn run(project: &Project, sh: &Shell) -> Result<Closing> {
    let published: Vec<_> = project.packages.iter().filter(|p| !p.is_unpublished()).collect();
    let names: Vec<_> = published.iter().flat_map(|p| ["--package", p.name.as_str()]).collect();
    child::run(cmd!(sh, "cargo package {names...} --no-verify --allow-dirty --offline"))?;

    let sources = project.target_dir().join("package").join("sources");
    unpack(project, sh, &published, &sources)?;
    let target = project.target_dir();
    let manifest = sources.join("Cargo.toml");
    child::run(cmd!(
        sh,
        "cargo check --workspace --all-features --offline --manifest-path {manifest} --target-dir {target}"
    ))?;

    if registry_answers(sh) {
        child::run(cmd!(sh, "cargo publish --workspace --dry-run --no-verify --allow-dirty"))
    } else {
        Closing::skip("the registry cannot be reached and was not asked", false)
    }
}

/// Unpacks the packages side by side into a workspace in which each depends on the others' packages.
fn unpack(project: &Project, sh: &Shell, packages: &[&Package], to: &Path) -> Result<()> {
    let version = project
        .workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("package")?.get("version")?.as_str())
        .context("Cargo.toml states no version")?;
    sh.remove_path(to)?;
    sh.create_dir(to)?;
    let mut patches = String::new();
    for Package { name, .. } in packages {
        let folder = format!("{name}-{version}");
        let package = project.target_dir().join("package").join(format!("{folder}.crate"));
        // Packages carry no times; without new ones cargo would take changed sources for the old ones.
        cmd!(sh, "tar -x -z -m -f {package} -C {to}").quiet().run()?;
        patches.push_str(&format!("{name} = {{ path = \"{folder}\" }}\n"));
    }
    let profiles = profiles(project.file("Cargo.toml").unwrap_or_default());
    sh.write_file(to.join("Cargo.toml"), workspace(&patches, &profiles))?;
    sh.copy_file(project.root.join("Cargo.lock"), to)?;
    Ok(())
}

fn workspace(patches: &str, profiles: &str) -> String {
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n\n[patch.crates-io]\n{patches}\n{profiles}"
    )
}

/// The tables of a manifest that are about profiles.
fn profiles(manifest: &str) -> String {
    let mut is_profile = false;
    let lines = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            is_profile = line.starts_with("[profile.");
        }
        is_profile
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_built_with_the_profiles_of_the_workspace() {
        let manifest = "[workspace]\n[profile.dev]\ndebug = 1\n\n[workspace.lints]\nx = 1\n[profile.dev.package.\"*\"]\nopt-level = 1\n";
        assert_eq!(
            profiles(manifest),
            "[profile.dev]\ndebug = 1\n\n[profile.dev.package.\"*\"]\nopt-level = 1\n"
        );
    }
}
