//! `cargo xtask`: the project's chores.
//!
//! Owns what must pass (`test`, `tidy`) and how the heavy commands are built and started. Links none of the
//! product's crates, so that it starts in seconds: whatever needs them is a command of `majordomo-lab`, which
//! this program builds in release mode and runs.
#![forbid(unsafe_code)]

mod assistant;
mod bench;
mod bounds;
mod callgrind;
mod child;
mod coreml;
mod cross;
mod fuzz;
mod lab;
mod leak;
mod package;
mod project;
mod python;
mod stages;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::project::Project;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "written by xflags"
)]
mod flags {
    xflags::xflags! {
        /// The project's chores. `stress`, `planted`, `park-cycles`, `hog`, `footprint`, `intents`, `replay` and `pretrain` build majordomo-lab in
        /// release mode and hand it every argument that follows. `assistant` prepares, serves and measures an assistant of public
        /// packages (`cargo xtask assistant --help`).
        cmd xtask {
            /// Runs everything that must pass, or only the stages named; ends with the minutes of each.
            cmd test {
                /// Lists the stages and runs none.
                optional --list
                /// Names of stages; none means all.
                repeated stages: String
            }
            /// Checks the rules of the house: layers, manifests, headers, lengths, documents.
            cmd tidy {
                /// Rewrites what is derived: README's table of crates, shared parts of clippy.toml.
                optional --bless
                /// Prints all findings of the word list under a path, and checks nothing else.
                optional --words path: String
            }
            /// Runs the model check of the lease cell (the stage `loom` of `test`).
            cmd loom {}
            /// Runs tests under Address- and LeakSanitizer, valgrind and loom, as far as they are there.
            cmd leak {
                /// Fails, instead of saying so and passing, where a tool is missing.
                optional --required
            }
            /// Builds and tests packages for aarch64, and builds them for macOS (default: majordomo-simd).
            cmd cross {
                /// A package to check; may be repeated.
                repeated -p,--package name: String
                /// Fails, instead of saying so and passing, where the tools cannot be had.
                optional --required
            }
            /// Runs the fuzz targets for a while; inputs that were found stay in target/fuzz/corpus.
            cmd fuzz {
                /// Minutes of all targets together (default: 5).
                optional --minutes n: u64
                /// address (default), or none where the toolchain has no sanitizers.
                optional --sanitizer word: String
                /// One target of fuzz/fuzz_targets; without it all.
                optional target: String
            }
            /// Compares with another revision: instruction counts of the key paths, then the criterion benches in turn.
            cmd bench {
                /// The revision to compare with.
                required --compare rev: String
                /// Only the instruction counts, which repeat and take minutes.
                optional --instructions
                /// Only benchmarks whose name contains this.
                optional filter: String
            }
        }
    }
}

type HandedOn = fn(&Project, &str, &[OsString]) -> Result<ExitCode>;

/// Commands that read their own arguments.
const HANDED_ON: &[(&str, HandedOn)] = &[
    ("assistant", assistant::run),
    ("footprint", lab::run_beside_product),
    ("hog", lab::run),
    ("intents", lab::run),
    ("park-cycles", lab::run_beside_product),
    ("planted", lab::run),
    ("pretrain", lab::run),
    ("replay", lab::run),
    ("stress", lab::run),
];

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let project = Project::load()?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some((name, rest)) = arguments.split_first()
        && let Some((name, run)) = HANDED_ON.iter().find(|(known, _)| name == known)
    {
        return run(&project, name, rest);
    }

    let passed = match flags::Xtask::from_env_or_exit().subcommand {
        flags::XtaskCmd::Test(flags) if flags.list => {
            stages::list();
            true
        }
        flags::XtaskCmd::Test(flags) => stages::run(&project, &flags.stages)?,
        flags::XtaskCmd::Loom(_) => stages::run(&project, &["loom".to_owned()])?,
        flags::XtaskCmd::Leak(flags) => {
            leak::run(&project, flags.required)?;
            true
        }
        flags::XtaskCmd::Cross(flags) => {
            cross::run(&project, &flags.package, flags.required)?;
            true
        }
        flags::XtaskCmd::Tidy(flags) => {
            if flags.bless {
                tidy::bless(&project)?;
            }
            match &flags.words {
                Some(path) => tidy::run_words(&project, path),
                None => tidy::run(&Project::load()?),
            }
        }
        flags::XtaskCmd::Fuzz(flags) => {
            let sanitizer = fuzz::Sanitizer::parse(flags.sanitizer.as_deref())?;
            let seconds = flags.minutes.unwrap_or(5).saturating_mul(60);
            fuzz::run(&project, flags.target.as_deref(), seconds, sanitizer)?;
            true
        }
        flags::XtaskCmd::Bench(flags) => {
            bench::compare(&project, &flags.compare, flags.filter.as_deref(), flags.instructions)?;
            true
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
