//! `cargo xtask leak`: the tests of what has unsafe code or counts references, under the tools that see leaks and
//! stray accesses.
//!
//! Address- and LeakSanitizer come with the toolchain's own runtimes; the flag that asks for them is unstable, so the
//! compiler is told to take it all the same, for these builds only and in a folder of their own. valgrind runs where
//! it is installed, and loom always. Whatever cannot run says so and is no failure, unless it is required.

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use crate::child::{self, Closing};
use crate::project::Project;
use crate::stages;

/// Whose tests run under the sanitizers: the homes of unsafe code, the lease cell, and the manager as a whole.
const SANITIZED: &[&str] =
    &["majordomo-simd", "majordomo-memory", "majordomo-lifecycle", "majordomo"];
/// Whose tests run under valgrind, which is some fifty times as slow.
const CHECKED: &[&str] = &["majordomo-lifecycle", "majordomo-memory"];

/// Runs every tool that is there.
pub(crate) fn run(project: &Project, required: bool) -> Result<Closing> {
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    let mut closing = sanitizers(project, &sh, required)?;
    closing = closing.join(valgrind(project, &sh, required)?);
    if !stages::run(project, &["loom".to_owned()])? {
        bail!("loom found an interleaving that breaks the lease cell");
    }
    Ok(closing)
}

fn skip(what: &str, required: bool) -> Result<Closing> {
    if required {
        bail!("{what}");
    }
    println!("skipped: {what}");
    Ok(Closing::default())
}

/// The host, if its toolchain has the runtimes.
fn sanitized_host(sh: &Shell) -> Result<Option<String>> {
    let version = cmd!(sh, "rustc --version --verbose").quiet().read()?;
    let Some(host) = version.lines().find_map(|l| l.strip_prefix("host: ")) else {
        return Ok(None);
    };
    let libraries = cmd!(sh, "rustc --print target-libdir").quiet().read()?;
    let has_runtime = sh
        .read_dir(libraries.trim())?
        .iter()
        .any(|path| path.file_name().is_some_and(|n| n.to_string_lossy().contains("rt.asan")));
    Ok(has_runtime.then(|| host.to_owned()))
}

fn sanitizers(project: &Project, sh: &Shell, required: bool) -> Result<Closing> {
    println!("\n== AddressSanitizer with LeakSanitizer");
    let Some(host) = sanitized_host(sh)? else {
        return skip("this toolchain has no sanitizer runtimes", required);
    };
    let target = project.target_dir().join("asan");
    let packages = SANITIZED.iter().flat_map(|name| ["--package", name]);
    // With a target named, build scripts and macros are built without the sanitizer.
    child::run(
        cmd!(sh, "cargo test {packages...} --target {host} --target-dir {target} --lib --tests")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zsanitizer=address -Cforce-frame-pointers=yes")
            .env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0"),
    )
}

fn valgrind(project: &Project, sh: &Shell, required: bool) -> Result<Closing> {
    println!("\n== valgrind");
    if cmd!(sh, "valgrind --version").quiet().ignore_stderr().read().is_err() {
        return skip("valgrind is not installed (apt-get install valgrind)", required);
    }
    let target = project.target_dir().join("valgrind");
    let packages = CHECKED.iter().flat_map(|name| ["--package", name]);
    let host = cmd!(sh, "rustc --print host-tuple").quiet().read()?;
    let runner = format!("CARGO_TARGET_{}_RUNNER", host.trim().replace('-', "_").to_uppercase());
    // Property tests are for breadth; here a few cases of each show what is never given back.
    child::run(
        cmd!(sh, "cargo test {packages...} --target-dir {target} --lib")
            .env(runner, "valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite")
            .env("PROPTEST_CASES", "4"),
    )
}
