//! `cargo xtask cross`: packages built and tested for aarch64 on an x86-64 Debian machine.
//!
//! Owns what is checked: tests for Linux on aarch64, run under an emulator; clippy for it and for macOS; Mach-O
//! code for macOS, and types and lints of what needs Apple's frameworks (nothing can be linked or run for macOS here). Where the tools come from is `tools`' business.
//! Where they cannot be had this says so and passes, unless they are required.

mod tools;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use self::tools::Tools;
use crate::child::{self, Closing};
use crate::project::Project;

const LINUX: &str = "aarch64-unknown-linux-gnu";
const MACOS: &str = "aarch64-apple-darwin";

/// Checked by default: packages whose code differs by architecture.
const PACKAGES: &[&str] = &["majordomo-simd"];

/// Packages with code for macOS alone, which is checked by type and linted.
const MACOS_PACKAGES: &[&str] = &["majordomo-coreml", "majordomo-memory"];

/// Runs everything for the packages named.
///
/// # Errors
/// An unknown package, a check that fails, or tools that cannot be had although they are `required`.
pub(crate) fn run(project: &Project, packages: &[String], required: bool) -> Result<Closing> {
    let is_default = packages.is_empty();
    let packages: BTreeSet<&str> = if is_default {
        PACKAGES.iter().copied().collect()
    } else {
        packages.iter().map(String::as_str).collect()
    };
    for name in &packages {
        let known = project.packages.iter().any(|package| package.name == *name);
        ensure!(known, "no package of the workspace is called `{name}`");
    }
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    let tools = match Tools::set_up(&sh, &project.target_dir().join("cross-tools")) {
        Ok(tools) => tools,
        Err(error) => {
            let why = format!("the tools for aarch64 cannot be had: {error:#}");
            return Closing::skip(why, required);
        }
    };
    let names = &packages.iter().flat_map(|name| ["--package", name]).collect::<Vec<_>>();
    let target = &project.target_dir().join("cross");

    // clippy's driver is the compiler with more lints: one build gives both. In release mode, since that is what
    // ships; without link-time optimisation, which takes minutes.
    println!("-- {LINUX}: clippy, and tests under the emulator");
    let test = cmd!(
        sh,
        "cargo test --release --target {LINUX} --target-dir {target} --no-fail-fast --lib --bins --tests {names...}"
    );
    let closing = child::run(tools.environment(test).env("CARGO_PROFILE_RELEASE_LTO", "off"))?;
    ensure!(closing.n_passed > 0, "no test ran, or the runner's closing line is unknown");

    // The standard library comes as source only, and is built without optimisation, for speed.
    println!("-- {MACOS}: clippy and code");
    let std = "profile.dev.package.\"*\".opt-level=0";
    let build = cmd!(
        sh,
        "cargo build -Zbuild-std=std --config {std} --lib --target {MACOS} --target-dir {target} {names...}"
    );
    child::run(
        tools
            .environment(build)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3"),
    )?;
    for name in &packages {
        let library = format!("lib{}.rlib", name.replace('-', "_"));
        let path = target.join(MACOS).join("debug").join(library);
        ensure!(path.exists(), "{} was not built", path.display());
        let format = tools.object_format(&sh, &path)?;
        ensure!(format.contains("mach-o arm64"), "{} is no Mach-O: {format}", path.display());
        println!("{name}: {format}");
    }
    let knows = |name: &str| project.packages.iter().any(|package| package.name == name);
    if is_default && MACOS_PACKAGES.iter().all(|name| knows(name)) {
        println!("-- {MACOS}: types and lints of the runtime for Core ML, and of its tests");
        let names = MACOS_PACKAGES.iter().flat_map(|name| ["--package", name]);
        let libraries = ["--lib"].into_iter().chain(names).collect();
        for what in [libraries, vec!["--tests", "--package", MACOS_PACKAGES[0]]] {
            let check = cmd!(
                sh,
                "cargo check -Zbuild-std=std,test --target {MACOS} --target-dir {target} {what...}"
            );
            child::run(tools.without_c(&sh, check)?.env("RUSTC_BOOTSTRAP", "1"))?;
        }
    }
    Ok(closing)
}
