//! `cargo xtask leak`: the tests of what has unsafe code or counts references, under the tools that see leaks and
//! stray accesses.
//!
//! Address- and LeakSanitizer come with the toolchain's own runtimes; the flag that asks for them is unstable, so the
//! compiler is forced to accept it, for these builds only and in a folder of their own. valgrind runs where
//! it is installed, and loom always. A tool that cannot run is reported and is no failure, unless it is required.

use anyhow::{Context as _, Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::child::{self, Closing};
use crate::project::Project;
use crate::stages;

/// Whose tests run under the sanitizers: the homes of unsafe code, the lease cell, and the manager as a whole.
const SANITIZED: &[&str] = &["majordomo-simd", "majordomo-memory", "majordomo-lease", "majordomo"];
/// Those of them whose build and tests take a minute or two.
const QUICK: &[&str] = &["majordomo-simd", "majordomo-memory", "majordomo-lease"];
/// Why tests of giving back are left out.
const ALLOCATOR: &str = "measures the C library's allocator, which the sanitizer replaces";
/// Tests that cannot hold under the sanitizers, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("a_million_small_allocations_come_back", ALLOCATOR),
    ("million_small_allocations_are_returned_by_the_trim", ALLOCATOR),
    ("what_living_threads_freed_comes_back", ALLOCATOR),
    ("reuse_costs_no_page_faults", "counts page faults, and the sanitizer has its own"),
    (
        "guard_kills_programs_when_the_runtime_is_dropped_first",
        "forgets a manager on purpose, to see that its guard does the rest",
    ),
];
/// Whose tests run under valgrind, which is some fifty times as slow.
const CHECKED: &[&str] = &["majordomo-lease", "majordomo-memory"];

/// Runs every available tool, and prints at the end which were run and which were not.
pub(crate) fn run(project: &Project, required: bool) -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    let mut report = Vec::new();
    let mut record = |tool: &str, closing: Closing| {
        for why in &closing.skipped {
            report.push(format!("{tool}: skipped, {why}"));
        }
        if closing.n_passed > 0 {
            report.push(format!("{tool}: {} tests, nothing found", closing.n_passed));
        }
    };
    record("Address- and LeakSanitizer", sanitizers(project, &sh, SANITIZED, required)?);
    record("valgrind", valgrind(project, &sh, required)?);
    if !stages::run(project, &["loom".to_owned()])? {
        bail!("loom found an interleaving that breaks the lease cell");
    }
    println!();
    report.iter().for_each(|line| println!("{line}"));
    println!("loom: no interleaving breaks the lease cell");
    Ok(())
}

/// The sanitizers alone, on the crates that are quickly done.
pub(crate) fn quick(project: &Project) -> Result<Closing> {
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    sanitizers(project, &sh, QUICK, false)
}

/// The host, if its toolchain has the runtimes.
pub(crate) fn sanitized_host(sh: &Shell) -> Result<Option<String>> {
    let version = cmd!(sh, "rustc --version --verbose").quiet().read()?;
    let Some(host) = host(&version) else { return Ok(None) };
    let libraries = cmd!(sh, "rustc --print target-libdir").quiet().read()?;
    let has_runtime = sh
        .read_dir(libraries.trim())?
        .iter()
        .any(|path| path.file_name().is_some_and(|n| is_runtime(&n.to_string_lossy())));
    Ok(has_runtime.then(|| host.to_owned()))
}

/// The host, whatever its toolchain has.
pub(crate) fn any_host(sh: &Shell) -> Result<String> {
    let version = cmd!(sh, "rustc --version --verbose").quiet().read()?;
    host(&version).map(str::to_owned).context("rustc does not print its host")
}

fn host(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: "))
}

/// `librustc-stable_rt.asan.a` on Linux, `librustc-stable_rt.asan.dylib` on macOS.
fn is_runtime(file: &str) -> bool {
    file.contains("rt.asan.")
}

fn sanitizers(project: &Project, sh: &Shell, packages: &[&str], required: bool) -> Result<Closing> {
    println!("\n== AddressSanitizer with LeakSanitizer");
    let Some(host) = sanitized_host(sh)? else {
        return Closing::skip("this toolchain has no sanitizer runtimes", required);
    };
    let target = project.target_dir().join("asan");
    let packages = packages.iter().flat_map(|name| ["--package", name]);
    for (test, why) in LEFT_OUT {
        println!("left out: {test}, which {why}");
    }
    let left_out = LEFT_OUT.iter().flat_map(|(test, _)| ["--skip", test]);
    // With a target named, build scripts and macros are built without the sanitizer.
    let closing = child::run(
        cmd!(sh, "cargo test --no-fail-fast {packages...} --target {host} --target-dir {target} --lib --tests -- {left_out...}")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zsanitizer=address -Cforce-frame-pointers=yes")
            .env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0"),
    )?;
    ensure!(closing.n_passed > 0, "no test ran, or the runner's closing line is unknown");
    Ok(closing)
}

fn valgrind(project: &Project, sh: &Shell, required: bool) -> Result<Closing> {
    println!("\n== valgrind");
    if cmd!(sh, "valgrind --version").quiet().ignore_stderr().read().is_err() {
        return Closing::skip("valgrind is not installed (apt-get install valgrind)", required);
    }
    let target = project.target_dir().join("valgrind");
    let packages = CHECKED.iter().flat_map(|name| ["--package", name]);
    let version = cmd!(sh, "rustc --version --verbose").quiet().read()?;
    let Some(host) = host(&version) else {
        return Closing::skip("rustc does not print its host", required);
    };
    // Property tests are for breadth; here a few cases of each show what is never given back.
    let closing = child::run(
        cmd!(sh, "cargo test --no-fail-fast {packages...} --target-dir {target} --lib")
            .env(runner(host), "valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite")
            .env("PROPTEST_CASES", "4"),
    )?;
    ensure!(closing.n_passed > 0, "no test ran, or the runner's closing line is unknown");
    Ok(closing)
}

/// The variable that makes cargo start a host's programs by another one.
fn runner(host: &str) -> String {
    format!("CARGO_TARGET_{}_RUNNER", host.replace('-', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_that_is_left_out_is_there() {
        let project = Project::load().unwrap();
        for (test, _) in LEFT_OUT {
            let words = format!("fn {test}(");
            let found = project.rust_files().any(|(_, text)| text.contains(&words));
            assert!(found, "{test}");
        }
    }

    #[test]
    fn the_toolchains_words_are_understood() {
        let said = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(host(said), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host("rustc 1.95.0"), None);
        assert_eq!(
            runner("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"
        );
        assert!(is_runtime("librustc-stable_rt.asan.a"));
        assert!(is_runtime("librustc-nightly_rt.asan.a"));
        assert!(!is_runtime("librustc-stable_rt.lsan.a") && !is_runtime("libstd-1.rlib"));
    }
}
