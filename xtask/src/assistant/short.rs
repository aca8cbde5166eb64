//! The short form of a day, a stage of `cargo xtask test`: three components, few commands, two
//! policies.
//!
//! Checks that nothing is refused though memory is short, that every answer is real, that most
//! choices are right, that no process is left, and that there is a report; never a time. Where
//! Python or the packages cannot be had it is skipped with the way out.

use std::ffi::OsStr;
use std::fs;

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use super::arguments::flags;
use super::config::SOURCE;
use super::program::majordomo;
use super::setup;
use crate::child::{self, Closing};
use crate::lab;
use crate::project::Project;

/// The components that install in the shortest time.
const COMPONENTS: &str = "sentiment,entities,faces";
/// Under the target folder: the prepared assistant, and its results.
const FOLDER: &str = "assistant-short";
/// Words of a setup's errors that mean that the packages cannot be had on this machine now.
const UNAVAILABLE: &[&str] = &[
    "no Python was found",
    "module venv is not complete",
    "the package index cannot be reached",
    "the disk is full",
];
/// Arguments of `unshare` before a command that runs in a network of its own: nothing but the
/// loopback address can be reached, so that a component which downloads anything at run time fails.
const APART: &[&str] = &["-rn", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
const AGAIN: &str = "then: cargo xtask test assistant";

/// Sets up, plays and reports.
pub(crate) fn run(project: &Project) -> Result<Closing> {
    let folder = project.target_dir().join(FOLDER);
    let results = folder.join("day");
    // It builds the program itself, once there is a Python.
    let setup = setup::run(
        project,
        &folder,
        &flags::Setup {
            dir: Some(folder.clone()),
            only: Some(COMPONENTS.to_owned()),
            python: None,
            majordomo: None,
            check: false,
        },
    );
    if let Err(error) = setup {
        let why = format!("{error:#}");
        ensure!(is_unavailable(&why), "{why}");
        return Closing::skip(format!("{}; {AGAIN}", why.replace('\n', " ")), false);
    }
    let (python, ask) = (folder.join("venv/bin/python"), folder.join("ask.py"));
    let cases = project.root.join(SOURCE).join("answers.json");
    let sh = Shell::new()?;
    child::run(cmd!(sh, "{python} {ask} --cases {cases}"))?;
    let _ = fs::remove_dir_all(&results);
    let program = majordomo(project, None)?;
    let lab = lab::build(project)?;
    let words: [&OsStr; 8] = [
        "assistant".as_ref(),
        "day".as_ref(),
        "--short".as_ref(),
        "--dir".as_ref(),
        folder.as_ref(),
        "--out".as_ref(),
        results.as_ref(),
        "--majordomo".as_ref(),
    ];
    let day = match can_be_apart(&sh) {
        true => cmd!(sh, "unshare {APART...} {lab} {words...} {program}"),
        false => {
            println!("no network namespace (`unshare -rn`, `ip`): downloads at run time go unseen");
            cmd!(sh, "{lab} {words...} {program}")
        }
    };
    child::run(day)?;
    child::run(cmd!(sh, "{lab} assistant report --out {results}"))?;
    let report = fs::read_to_string(results.join("report.md"))?;
    ensure!(report.contains("| product |"), "the report has no row for the product");
    Ok(Closing::default())
}

/// Whether the system allows a program to have a network of its own.
fn can_be_apart(sh: &Shell) -> bool {
    cmd!(sh, "unshare {APART...} true").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

fn is_unavailable(why: &str) -> bool {
    UNAVAILABLE.iter().any(|words| why.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_packages_skip_the_short_form() {
        assert!(is_unavailable(
            "the packages cannot be installed: the package index cannot be reached; check"
        ));
        assert!(!is_unavailable("sentiment does not answer its question"));
    }
}
