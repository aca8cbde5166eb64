//! `cargo xtask fuzz`: the targets of `fuzz/`, built with coverage and run for a while.
//!
//! Owns the build and the arguments of libFuzzer. Coverage is an option of the stable compiler; the AddressSanitizer is asked
//! for by an unstable flag, which `RUSTC_BOOTSTRAP` allows for this build alone, as for `cargo xtask leak`. Inputs that were
//! found stay below `target/fuzz/corpus`; an input that fails is kept and named.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use toml_edit::Item;
use xshell::{Shell, cmd};

use crate::child::{self, Closing};
use crate::leak;
use crate::project::Project;

const FOLDER: &str = "fuzz";
/// The flags of cargo-fuzz: counters of edges, their places, and comparisons, so that magic numbers are found.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";
/// An input may have as many bytes, take as many seconds, and as many MiB.
const LIMITS: [&str; 3] = ["-max_len=16384", "-timeout=10", "-rss_limit_mb=2048"];

/// The sanitizer of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sanitizer {
    Address,
    None,
}

impl Sanitizer {
    /// # Errors
    /// Another word.
    pub(crate) fn parse(word: Option<&str>) -> Result<Self> {
        match word {
            None | Some("address") => Ok(Self::Address),
            Some("none") => Ok(Self::None),
            Some(other) => bail!("no sanitizer is called `{other}`; there are address and none"),
        }
    }
}

/// Builds the targets and runs one, or all one after the other, for so many seconds together.
///
/// # Errors
/// No such target, no tool, or an input that fails.
pub(crate) fn run(
    project: &Project,
    target: Option<&str>,
    seconds: u64,
    sanitizer: Sanitizer,
) -> Result<Closing> {
    let manifest = format!("{FOLDER}/Cargo.toml");
    let text = project.file(&manifest).with_context(|| format!("{manifest} is missing"))?;
    let all = targets(text)?;
    let chosen: Vec<&String> =
        all.iter().filter(|t| target.is_none_or(|name| name == *t)).collect();
    ensure!(
        !chosen.is_empty(),
        "no target is called `{}`; there are {}",
        target.unwrap_or_default(),
        all.join(", ")
    );
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    let host = match leak::sanitized_host(&sh)? {
        Some(host) => host,
        None if sanitizer == Sanitizer::None => leak::any_host(&sh)?,
        None => bail!("this toolchain has no sanitizer runtimes; go without: --sanitizer none"),
    };
    let folder = project.target_dir().join("fuzz");
    let flags = match sanitizer {
        Sanitizer::Address => format!("{COVERAGE} -Zsanitizer=address"),
        Sanitizer::None => COVERAGE.to_owned(),
    };
    // With a target named, build scripts and macros are built without either.
    let build = cmd!(
        sh,
        "cargo build --release --locked --manifest-path {manifest} --target {host} --target-dir {folder}"
    );
    child::run(build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags))?;
    let share = (seconds / chosen.len() as u64).max(1);
    let mut closing = Closing::default();
    for name in chosen {
        let program = folder.join(&host).join("release").join(name);
        let said = one(project, &folder, &program, name, share)?;
        closing = closing.join(said);
        closing.n_passed += 1;
    }
    Ok(closing)
}

fn one(
    project: &Project,
    folder: &Path,
    program: &Path,
    name: &str,
    seconds: u64,
) -> Result<Closing> {
    let corpus = folder.join("corpus").join(name);
    let artifacts = folder.join("artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    println!("\n== {name}: {seconds} s, inputs in {}", corpus.display());
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(artifacts.join(""));
    let mut run = std::process::Command::new(program);
    run.arg(&corpus).arg(project.root.join(FOLDER).join("seeds").join(name));
    run.args(LIMITS).arg(prefix).arg("-print_final_stats=1");
    run.arg(format!("-max_total_time={seconds}"));
    child::run(run).with_context(|| {
        let (program, artifacts) = (program.display(), artifacts.display());
        format!("an input failed; repeat it with: {program} {artifacts}/FILE")
    })
}

/// The names of the targets.
fn targets(manifest: &str) -> Result<Vec<String>> {
    let manifest = toml_edit::Document::parse(manifest)?;
    let bins = manifest.get("bin").and_then(Item::as_array_of_tables);
    let names = bins.into_iter().flatten().filter_map(|bin| bin.get("name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_a_source() {
        let project = Project::load().unwrap();
        let all = targets(project.file("fuzz/Cargo.toml").unwrap()).unwrap();
        assert!(!all.is_empty());
        for name in all {
            assert!(project.file(&format!("fuzz/fuzz_targets/{name}.rs")).is_some(), "{name}");
            let seeds = project.root.join("fuzz/seeds").join(&name);
            assert!(std::fs::read_dir(seeds).unwrap().count() > 0, "{name}");
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        let project = Project::load().unwrap();
        let error = run(&project, Some("no-such"), 1, Sanitizer::None).unwrap_err().to_string();
        assert!(error.contains("no-such") && error.contains("mlmodel"), "{error}");
        assert!(Sanitizer::parse(Some("memory")).is_err());
        assert_eq!(Sanitizer::parse(None).unwrap(), Sanitizer::Address);
    }
}
