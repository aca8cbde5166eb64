//! `cargo xtask test`: the table of stages, and how they are run and timed.
//!
//! Owns what must pass. A failed stage does not stop the others, so one run shows everything; the run passes
//! only when all did. Adding a stage is a line in [`STAGES`].

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use xshell::{Cmd, Shell, cmd};

use crate::child::{self, Closing};
use crate::project::{Package, Project};
use crate::{assistant, bounds, callgrind, coreml, cross, lab, leak, package, python, tidy};

struct Stage {
    name: &'static str,
    about: &'static str,
    /// The subject of the stage: a folder, and words in a source file below it. Without them there is nothing to run.
    subject: Option<(&'static str, &'static str)>,
    run: fn(&Context<'_>) -> Result<Closing>,
}

const STAGES: &[Stage] = &[
    Stage { name: "fmt", about: "formatting", subject: None, run: fmt },
    Stage { name: "tidy", about: "the rules of the house", subject: None, run: check_tidy },
    Stage { name: "clippy", about: "lints, warnings are errors", subject: None, run: clippy },
    Stage { name: "tests", about: "unit and integration tests", subject: None, run: tests },
    Stage {
        name: "doc-tests",
        about: "examples in the documentation",
        subject: None,
        run: doc_tests,
    },
    Stage { name: "docs", about: "documentation, warnings are errors", subject: None, run: docs },
    Stage {
        name: "alone",
        about: "each crate and feature set by itself",
        subject: None,
        run: alone,
    },
    Stage {
        name: "package",
        about: "each package builds by itself, and the registry would take it",
        subject: None,
        run: packages,
    },
    Stage {
        name: "bounds",
        about: "everything builds with the oldest dependencies that are allowed; skipped without a nightly toolchain",
        subject: None,
        run: lower_bounds,
    },
    Stage {
        name: "benches",
        about: "each bench once, as a smoke test",
        subject: None,
        run: benches,
    },
    Stage {
        name: "loom",
        about: "model check of the lease cell",
        subject: Some(("crates/lease/", "loom::model")),
        run: loom,
    },
    Stage {
        name: "sanitizers",
        about: "Address- and LeakSanitizer where unsafe code is; skipped where there are none",
        subject: None,
        run: sanitizers,
    },
    Stage {
        name: "cross",
        about: "aarch64 under an emulator, code for macOS; skipped where the tools cannot be had",
        subject: None,
        run: cross_builds,
    },
    Stage {
        name: "coreml",
        about: "Core ML files have the kernels' answers, and coremltools accepts them; skipped where it cannot be had",
        subject: Some(("crates/lab/", "core_ml::Args")),
        run: core_ml_files,
    },
    Stage {
        name: "python",
        about: "the Python package against the program, and its types; skipped without Python 3.11, types without mypy",
        subject: None,
        run: python_package,
    },
    Stage {
        name: "simulated",
        about: "50 seeds of a simulated day, and the same with rungs beside it",
        subject: Some(("crates/lab/", "simulated")),
        run: simulated,
    },
    Stage {
        name: "callgrind",
        about: "instruction counts repeat; skipped where valgrind is not installed",
        subject: Some(("crates/lab/", "simulated")),
        run: counts_repeat,
    },
    Stage {
        name: "assistant",
        about: "a short day of an assistant of public packages; skipped where Python or the packages cannot be had",
        subject: Some(("crates/lab/", "DayArgs")),
        run: assistant_day,
    },
    Stage {
        name: "park-cycles",
        about: "20 parks and wakes of real programs; skipped where the machine offers no paging",
        subject: Some(("crates/lab/", "ParkCycles")),
        run: park_cycles,
    },
    Stage {
        name: "soak",
        about: "3 minutes of a real manager under faults of every kind, with components that are parked",
        subject: Some(("crates/lab/", "SoakSubject")),
        run: soak,
    },
    Stage {
        name: "planted",
        about: "the soak finds leaks that are planted, each by its name, and none where there is none",
        subject: Some(("crates/lab/", "SoakSubject")),
        run: planted,
    },
];

/// Loom explores interleavings with at most this many preemptions, unless the environment says otherwise: its
/// documentation finds two or three enough for nearly all bugs, and more take hours.
const LOOM_MAX_PREEMPTIONS: &str = "3";

/// Features that the product leaves out, that change nothing of it, and that have tests and examples of their own.
const ADDED_FEATURES: &str =
    "majordomo-predictor/linfa,majordomo-preloader/worker,majordomo/coreml,majordomo-cli/coreml";
/// Tests of a feature that would change the product's.
const FEATURE_TESTS: &[&str] = &["--package", "majordomo-memory", "--all-features", "--", "cold"];

struct Context<'a> {
    project: &'a Project,
    sh: Shell,
}

struct Outcome {
    stage: &'static Stage,
    took: Duration,
    result: Result<Closing>,
}

/// Prints the stages.
pub(crate) fn list() {
    for stage in STAGES {
        println!("{:<10}  {}", stage.name, stage.about);
    }
}

/// Runs the named stages, or all, in the order of the table, and returns whether all passed.
pub(crate) fn run(project: &Project, names: &[String]) -> Result<bool> {
    if let Some(unknown) = names.iter().find(|name| STAGES.iter().all(|stage| stage.name != **name))
    {
        let known: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        bail!("no stage is called `{unknown}`; there are {}", known.join(", "));
    }
    let sh = Shell::new()?;
    sh.change_dir(&project.root);
    let context = Context { project, sh };
    let mut outcomes = Vec::new();
    for stage in STAGES {
        if !names.is_empty() && !names.iter().any(|name| name == stage.name) {
            continue;
        }
        if let Some((folder, words)) = stage.subject
            && !project
                .rust_files()
                .any(|(path, text)| path.starts_with(folder) && text.contains(words))
        {
            println!("\n== {}: nothing to run, no `{words}` in {folder}", stage.name);
            continue;
        }
        println!("\n== {}: {}", stage.name, stage.about);
        let (took, result) = timed(|| (stage.run)(&context));
        if let Err(error) = &result {
            eprintln!("error: {}: {error:#}", stage.name);
        }
        outcomes.push(Outcome { stage, took, result });
    }
    Ok(summary(&outcomes))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a stage's minutes are printed; nothing is decided by them"
)]
fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = run();
    (start.elapsed(), result)
}

/// The closing table, then the test runners' own last words.
fn summary(outcomes: &[Outcome]) -> bool {
    println!("\n{:<10} {:>8} {:>7}  result", "stage", "minutes", "tests");
    for Outcome { stage, took, result } in outcomes {
        let (n_passed, verdict) = match result {
            Ok(closing) => (shown_if_any(closing.n_passed), verdict(closing)),
            Err(error) => (String::new(), format!("FAILED: {error}")),
        };
        println!("{:<10} {:>8} {n_passed:>7}  {verdict}", stage.name, minutes(*took));
    }
    println!("{:<10} {:>8}", "sum", minutes(outcomes.iter().map(|outcome| outcome.took).sum()));
    for outcome in outcomes {
        for line in outcome.result.iter().flat_map(|closing| &closing.lines) {
            println!("{}: {line}", outcome.stage.name);
        }
    }
    let passed = outcomes.iter().all(|outcome| outcome.result.is_ok());
    println!("{}", if passed { "all passed" } else { "FAILED" });
    passed
}

fn shown_if_any(n: u64) -> String {
    if n > 0 { n.to_string() } else { String::new() }
}

fn verdict(closing: &Closing) -> String {
    match closing.skipped.join("; ") {
        why if why.is_empty() => "ok".to_owned(),
        why if closing.n_passed > 0 => format!("ok; skipped: {why}"),
        why => format!("skipped: {why}"),
    }
}

fn minutes(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64() / 60.0)
}

fn fmt(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    child::run(cmd!(sh, "cargo fmt --all --check"))
}

fn check_tidy(context: &Context<'_>) -> Result<Closing> {
    ensure!(tidy::run(context.project), "the tree is not tidy");
    Ok(Closing::default())
}

fn clippy(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    child::run(cmd!(sh, "cargo clippy --workspace --all-targets -- -D warnings"))
}

fn tests(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    let has_nextest = cmd!(sh, "cargo nextest --version").quiet().ignore_stderr().read().is_ok();
    let run = |selection: &[&str]| {
        let closing = child::run(if has_nextest {
            cmd!(sh, "cargo nextest run --no-fail-fast {selection...}")
        } else {
            cmd!(sh, "cargo test --no-fail-fast --lib --bins --tests --examples {selection...}")
        })?;
        some_passed(closing)
    };
    let all = run(&["--workspace", "--features", ADDED_FEATURES])?;
    Ok(all.join(run(FEATURE_TESTS)?))
}

fn doc_tests(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    child::run(cmd!(sh, "cargo test --workspace --no-fail-fast --features {ADDED_FEATURES} --doc"))
}

fn docs(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    child::run(cmd!(sh, "cargo doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
}

/// A workspace build unifies features and so hides those that a crate forgot to ask for.
fn alone(context: &Context<'_>) -> Result<Closing> {
    let mut failed = Vec::new();
    for package in &context.project.packages {
        for features in feature_sets(package) {
            let (sh, name) = (&context.sh, &package.name);
            if child::run(cmd!(sh, "cargo clippy --package {name} {features...} -- -D warnings"))
                .is_err()
            {
                failed.push([&[name.as_str()], features].concat().join(" "));
            }
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join(", "));
    Ok(Closing::default())
}

/// The sets that differ: the default features, none, all.
fn feature_sets(package: &Package) -> Vec<&'static [&'static str]> {
    let mut sets: Vec<&'static [&'static str]> = vec![&[]];
    if package.has_default_features() {
        sets.push(&["--no-default-features"]);
    }
    if package.features().iter().any(|name| *name != "default") {
        sets.push(&["--all-features"]);
    }
    sets
}

fn packages(context: &Context<'_>) -> Result<Closing> {
    package::run(context.project, &context.sh)
}

fn lower_bounds(context: &Context<'_>) -> Result<Closing> {
    bounds::run(context.project, &context.sh)
}

/// Criterion runs each benchmark once when cargo does not ask it to measure. The test profile shares its
/// dependencies with the tests; measured are they by `cargo bench`.
fn benches(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    let names = context.project.packages.iter().flat_map(Package::benches);
    let targets: Vec<_> = names.flat_map(|name| ["--bench", name]).collect();
    if targets.is_empty() {
        println!("no crate declares a bench");
        return Ok(Closing::default());
    }
    // With the features of the tests, whose builds are there.
    child::run(cmd!(sh, "cargo test --workspace --features {ADDED_FEATURES} {targets...}"))
}

/// In release mode and in a folder of its own: another cfg means other builds of everything.
fn loom(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    let target = context.project.target_dir().join("loom");
    let mut command: Cmd<'_> = cmd!(
        sh,
        "cargo test --release --package majordomo-lease --tests --target-dir {target} loom"
    )
    .env("RUSTFLAGS", "--cfg majordomo_loom");
    if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
        command = command.env("LOOM_MAX_PREEMPTIONS", LOOM_MAX_PREEMPTIONS);
    }
    some_passed(child::run(command)?)
}

fn sanitizers(context: &Context<'_>) -> Result<Closing> {
    leak::quick(context.project)
}

fn counts_repeat(context: &Context<'_>) -> Result<Closing> {
    callgrind::repeats(context.project, &lab::build(context.project)?)
}

fn cross_builds(context: &Context<'_>) -> Result<Closing> {
    cross::run(context.project, &[], false)
}

fn core_ml_files(context: &Context<'_>) -> Result<Closing> {
    coreml::run(context.project)
}

fn python_package(context: &Context<'_>) -> Result<Closing> {
    python::run(context.project)
}

fn simulated(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    let lab = lab::build(context.project)?;
    let day = ["stress", "--simulated", "24h", "--seeds", "50"];
    // Each runs on one core, and shows its output when it has ended.
    let rungs = cmd!(sh, "{lab} {day...} --rungs");
    let (plain, rungs) = child::run_beside(cmd!(sh, "{lab} {day...}"), rungs);
    Ok(plain?.join(rungs?))
}

fn assistant_day(context: &Context<'_>) -> Result<Closing> {
    assistant::short(context.project)
}

fn park_cycles(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    let lab = lab::build(context.project)?;
    lab::build_product(context.project)?;
    let offered = cmd!(sh, "{lab} park-cycles --offered").read()?;
    match offered.strip_prefix("not offered: ") {
        Some(why) => {
            let required = std::env::var_os("MAJORDOMO_REQUIRE_PAGING").is_some_and(|v| v == "1");
            Closing::skip(
                format!("nothing is parked here, so that no test pages anything: {why}"),
                required,
            )
        }
        None => child::run(cmd!(sh, "{lab} park-cycles --cycles 20")),
    }
}

fn soak(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    let lab = lab::build(context.project)?;
    child::run(cmd!(sh, "{lab} stress --minutes 3 --profile mixed --rungs"))
}

/// One run with all leaks and one without, side by side.
fn planted(context: &Context<'_>) -> Result<Closing> {
    let sh = &context.sh;
    let lab = lab::build(context.project)?;
    child::run(cmd!(sh, "{lab} planted --seeds 1 --minutes 3 --jobs 2"))
}

/// A filter that matches nothing, or a runner whose words changed, must not pass for success.
fn some_passed(closing: Closing) -> Result<Closing> {
    ensure!(closing.n_passed > 0, "no test ran, or the runner's closing line is unknown");
    Ok(closing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_says_what_it_did_not_do() {
        let skipped = || Closing::skip("no valgrind", false).unwrap();
        assert_eq!(verdict(&Closing::default()), "ok");
        assert_eq!(verdict(&skipped()), "skipped: no valgrind");
        let some = Closing { n_passed: 3, ..skipped() };
        assert_eq!(verdict(&some), "ok; skipped: no valgrind");
    }
}
