//! Instruction counts by valgrind's callgrind: they repeat on a machine whose times do not.
//!
//! Two kinds of work: the engine over a simulated stretch of time with fixed seeds, and each bench run once. Owns how
//! counts are taken, read, compared between two revisions, and shown to repeat. Knows not what is good.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::child::Closing;
use crate::project::Project;

/// The engine's work: known to every revision that has the simulator.
const SIMULATED: &[&str] =
    &["stress", "--simulated", "600s", "--seeds", "4", "--max-reduction-runs", "0"];
/// Its name.
const ENGINE: &str = "engine: 4 simulated stretches of 600 s";
/// Two counts of the same work are no further apart than this, as a share.
const REPEATS_WITHIN: f64 = 0.01;
const MISSING: &str = "valgrind is not installed (apt-get install valgrind)";

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

/// Compares two revisions by all work whose name contains the filter; says so where valgrind is missing.
pub(crate) fn compare(
    project: &Project,
    other: (&Path, &Path),
    benches: &[(String, String)],
    filter: Option<&str>,
) -> Result<Closing> {
    let sh = Shell::new()?;
    if !is_there(&sh) {
        return Closing::skip(format!("no instruction counts: {MISSING}"), false);
    }
    let target = project.target_dir();
    let sides = [other, (project.root.as_path(), target.as_path())];
    println!("\ninstructions, thousands; a ratio below 1 means that this tree needs fewer");
    let mut n_counted = 0;
    for work in works(benches).into_iter().filter(|w| filter.is_none_or(|f| w.name.contains(f))) {
        let mut counts = Vec::new();
        for (root, target) in sides {
            sh.change_dir(root);
            match count(&sh, &work, target) {
                Ok(n) => counts.push(n),
                Err(error) => {
                    println!("{:<52} not counted in {}: {error:#}", work.name, root.display());
                    break;
                }
            }
        }
        if let [other, this] = counts[..] {
            n_counted += 1;
            println!("{}", line(&Row { name: work.name, other, this }));
        }
    }
    if n_counted == 0 {
        println!("nothing was counted on both sides");
    }
    Ok(Closing::default())
}

/// Counts the engine's work twice: a count that does not repeat would compare nothing.
pub(crate) fn repeats(project: &Project, lab: &Path) -> Result<Closing> {
    let sh = Shell::new()?;
    if !is_there(&sh) {
        return Closing::skip(MISSING, false);
    }
    let mut counts = [0; 2];
    for n in &mut counts {
        *n = run(&sh, lab, SIMULATED, &project.target_dir())?;
    }
    let [first, second] = counts;
    println!("{ENGINE}: {} and {} thousand instructions", first / 1_000, second / 1_000);
    ensure!(
        first.abs_diff(second) as f64 <= REPEATS_WITHIN * first.max(1) as f64,
        "the instruction counts {first} and {second} of the same work differ by more than {REPEATS_WITHIN}"
    );
    Ok(Closing::default())
}

fn is_there(sh: &Shell) -> bool {
    cmd!(sh, "valgrind --version").quiet().ignore_stderr().read().is_ok()
}

fn works(benches: &[(String, String)]) -> Vec<Work> {
    let words = |text: &[&str]| text.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let mut works = vec![Work {
        name: ENGINE.to_owned(),
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

/// Builds the work's program and counts its instructions.
fn count(sh: &Shell, work: &Work, target: &Path) -> Result<u64> {
    let build = &work.build;
    let built = cmd!(sh, "cargo {build...} --quiet --message-format=json-render-diagnostics")
        .env("CARGO_TARGET_DIR", target)
        .quiet()
        .read()?;
    let program = executable(&built).context("cargo names no executable")?;
    run(sh, &program, &work.arguments, target)
}

/// Counts the instructions of a program, with those of what it starts left out.
fn run(
    sh: &Shell,
    program: &Path,
    arguments: &[impl AsRef<std::ffi::OsStr>],
    target: &Path,
) -> Result<u64> {
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

/// The instructions that callgrind says it collected. A process that the program forks (a search for gnuplot) is reported,
/// too, with fewer.
fn collected(said: &str) -> Option<u64> {
    said.lines().filter_map(|l| l.split_once("Collected : ")?.1.trim().parse().ok()).max()
}

fn line(row: &Row) -> String {
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
        let forked = format!("==8== Collected : 577\n{said}");
        assert_eq!(collected(&forked), Some(1_234_567));
        assert_eq!(collected("==7== nothing"), None);
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n{\"executable\":\"/t/a\",\"fresh\":true}\n{\"executable\":\"/t/b\",\"fresh\":true}\n{\"reason\":\"build-finished\"}";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/b")));
        let row = Row { name: "x".to_owned(), other: 2_000_000, this: 1_000_000 };
        assert!(line(&row).ends_with("2000 ->         1000  ratio 0.5000"), "{}", line(&row));
    }

    #[test]
    fn each_bench_is_work_besides_the_engine() {
        let works = works(&[("majordomo-sim".to_owned(), "sequence".to_owned())]);
        let names: Vec<_> = works.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, [ENGINE, "majordomo-sim: bench sequence, each once"]);
        assert_eq!(works[1].build[2..], ["--package", "majordomo-sim", "--bench", "sequence"]);
        assert_eq!(works[1].arguments, ["--test"]);
    }
}
