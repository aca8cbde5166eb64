//! Instruction counts of two revisions by valgrind's callgrind: they repeat on a machine whose times do not.
//!
//! Two kinds of work: the engine over a simulated stretch of time with fixed seeds, and each bench of both revisions
//! run once. Knows how counts are taken and read, not what is good.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::project::Project;

/// The engine's work: known to every revision that has the simulator.
const SIMULATED: &[&str] =
    &["stress", "--simulated", "600s", "--seeds", "4", "--max-reduction-runs", "0"];

/// One piece of work.
struct Work {
    name: String,
    build: Vec<String>,
    arguments: Vec<String>,
}

/// The counts of one piece of work at two revisions.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    other: u64,
    this: u64,
}

/// Compares; says so where valgrind is missing.
pub(crate) fn compare(
    project: &Project,
    other: (&Path, &Path),
    benches: &[(String, String)],
) -> Result<()> {
    let sh = Shell::new()?;
    if cmd!(sh, "valgrind --version").quiet().ignore_stderr().read().is_err() {
        println!(
            "skipped: no instruction counts, valgrind is not installed (apt-get install valgrind)"
        );
        return Ok(());
    }
    let target = project.target_dir();
    let sides = [other, (project.root.as_path(), target.as_path())];
    println!("\ninstructions, thousands; a ratio below 1 means that this tree needs fewer");
    for work in works(benches) {
        let mut counts = Vec::new();
        for (root, target) in sides {
            sh.change_dir(root);
            match count(&sh, &work, target) {
                Ok(n) => counts.push(n),
                Err(error) => {
                    println!("{:<40} not counted in {}: {error:#}", work.name, root.display());
                    break;
                }
            }
        }
        if let [other, this] = counts[..] {
            println!("{}", told(&Row { name: work.name, other, this }));
        }
    }
    Ok(())
}

fn works(benches: &[(String, String)]) -> Vec<Work> {
    let words = |text: &[&str]| text.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let mut works = vec![Work {
        name: "engine: 4 simulated stretches of 600 s".to_owned(),
        build: words(&["build", "--release", "--package", "majordomo-lab"]),
        arguments: words(SIMULATED),
    }];
    works.extend(benches.iter().map(|(package, bench)| Work {
        name: format!("{package}: bench {bench}, each once"),
        build: words(&["bench", "--no-run", "--package", package, "--bench", bench]),
        arguments: words(&["--test"]),
    }));
    works
}

/// Builds the work's program and counts its instructions, with what it starts left out.
fn count(sh: &Shell, work: &Work, target: &Path) -> Result<u64> {
    let build = &work.build;
    let built = cmd!(sh, "cargo {build...} --message-format=json-render-diagnostics")
        .env("CARGO_TARGET_DIR", target)
        .quiet()
        .read()?;
    let program = executable(&built).context("cargo names no executable")?;
    let arguments = &work.arguments;
    let out = target.join("callgrind.out");
    let said =
        cmd!(sh, "valgrind --tool=callgrind --callgrind-out-file={out} {program} {arguments...}")
            .quiet()
            .ignore_stdout()
            // A bench or a seed that fails has still done its work, the same at both revisions.
            .ignore_status()
            .output()?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    collected(&said).with_context(|| format!("valgrind counts nothing: {}", said.trim()))
}

/// The last executable that cargo names.
fn executable(messages: &str) -> Option<PathBuf> {
    let named = messages.lines().filter_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        Some(PathBuf::from(rest.split_once('"')?.0))
    });
    named.fold(None, |_, path| Some(path))
}

/// The instructions that callgrind says it collected.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|l| l.split_once("Collected : ")?.1.trim().parse().ok())
}

fn told(row: &Row) -> String {
    let ratio = row.this as f64 / (row.other as f64).max(1.0);
    format!(
        "{:<52} {:>12} -> {:>12}  ratio {ratio:.4}",
        row.name,
        row.other / 1_000,
        row.this / 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_executables_are_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 1234567\n==7==\n";
        assert_eq!(collected(said), Some(1_234_567));
        assert_eq!(collected("==7== nothing"), None);
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n{\"executable\":\"/t/a\",\"fresh\":true}\n{\"executable\":\"/t/b\",\"fresh\":true}\n{\"reason\":\"build-finished\"}";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/b")));
        let row = Row { name: "x".to_owned(), other: 2_000_000, this: 1_000_000 };
        assert!(told(&row).ends_with("2000 ->         1000  ratio 0.5000"), "{}", told(&row));
    }
}
