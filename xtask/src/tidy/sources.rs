//! Rust files: how they open, how long they are, what a crate root may hold, how tests are laid out.

use super::{Findings, layers};
use crate::project::Project;

/// Above this a file is worth a second look …
const LONG_LINES: usize = 400;
/// … and above this it is split, or its header says why not.
const TOO_LONG_LINES: usize = 600;
const WHY_LONG: &str = "//! Length:";
const FORBID_UNSAFE: &str = "#![forbid(unsafe_code)]";

/// The one helper that may wait for time in tests of real processes, and its kin (`eventually_async`).
const WAITING_FN: &str = "fn eventually";
const SLEEPS: &[&str] = &["thread::sleep", "time::sleep"];

pub(super) fn check(project: &Project, findings: &mut Findings) {
    for (path, text) in project.rust_files() {
        let name = path.rsplit('/').next().unwrap_or(path);
        if !text.starts_with("//!") {
            findings.error(
                path,
                1,
                "a file opens with `//!`: what it owns, what it does not know, its invariant",
            );
        }
        if name == "mod.rs" {
            findings.error(path, 0, "`foo.rs` beside `foo/`, not `foo/mod.rs`");
        }
        check_length(path, text, findings);
        check_sleeps(path, name, text, findings);
        if path.ends_with("/src/lib.rs") {
            check_root(path, text, findings);
        }
        if let Some((folder, test)) = path.split_once("/tests/")
            && project.has_package(folder)
            && !test.contains('/')
        {
            findings.error(path, 0, "one test binary a crate: tests live under `tests/it/`");
        }
    }
    for package in &project.packages {
        if layers::find(&package.short).is_some_and(|row| row.may_be_unsafe) {
            continue;
        }
        let bins = format!("{}/src/bin/", package.folder);
        for (path, text) in project.rust_files() {
            let is_root = ["src/lib.rs", "src/main.rs"].iter().any(|root| {
                path.strip_prefix(&package.folder)
                    .is_some_and(|rest| rest.strip_prefix('/') == Some(root))
            });
            let is_bin = path.strip_prefix(&bins).is_some_and(|bin| !bin.contains('/'));
            if (is_root || is_bin) && !text.lines().any(|line| line == FORBID_UNSAFE) {
                findings.error(path, 0, format!("`{FORBID_UNSAFE}` is missing"));
            }
        }
    }
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

fn check_length(path: &str, text: &str, findings: &mut Findings) {
    let n_lines = text.lines().filter(|line| is_code(line)).count();
    let says_why = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .any(|line| line.starts_with(WHY_LONG));
    if n_lines > TOO_LONG_LINES && !says_why {
        findings.error(
            path,
            0,
            format!(
                "{n_lines} lines of code: split it, or say why not in the header (`{WHY_LONG} …`)"
            ),
        );
    } else if n_lines > LONG_LINES && !says_why {
        findings.note(path, format!("{n_lines} lines of code"));
    }
}

fn check_sleeps(path: &str, name: &str, text: &str, findings: &mut Findings) {
    let is_test_file =
        path.contains("/tests/") || name == "tests.rs" || name.ends_with("_tests.rs");
    let mut is_test = is_test_file;
    let mut is_waiting_fn = false;
    for (line_idx, line) in text.lines().enumerate() {
        is_test |= line.trim() == "#[cfg(test)]";
        if !is_code(line) {
            continue;
        }
        if line.contains("fn ") {
            is_waiting_fn = line.contains(WAITING_FN);
        }
        if is_test && !is_waiting_fn && SLEEPS.iter().any(|sleep| line.contains(sleep)) {
            let message =
                "nothing sleeps in tests: the virtual clock, or the one helper `eventually`";
            findings.error(path, line_idx + 1, message);
        }
    }
}

/// A library root holds documentation, modules and re-exports; whatever does something has its own file.
fn check_root(path: &str, text: &str, findings: &mut Findings) {
    const ALLOWED: &[&str] = &[
        "mod ",
        "pub mod ",
        "pub(crate) mod ",
        "use ",
        "pub use ",
        "pub(crate) use ",
        "extern crate ",
        "compile_error!",
    ];
    let code: Vec<_> = text.lines().map(str::trim).filter(|line| is_code(line)).collect();
    let code = code.join(" ");
    let mut rest = code.as_str();
    while !rest.is_empty() {
        if rest.starts_with("#[") || rest.starts_with("#![") {
            rest = after_attribute(rest);
            continue;
        }
        let (statement, after) = split_statement(rest);
        let is_inline_module = statement.contains("mod ") && statement.contains('{');
        if !ALLOWED.iter().any(|allowed| statement.starts_with(allowed)) || is_inline_module {
            let start: String = statement.chars().take(60).collect();
            findings.error(path, 0, format!("a library root holds docs, `mod` and `use` only; this has a file of its own: `{start}`"));
            return;
        }
        rest = after.trim_start();
    }
}

/// Up to the first `;` that stands in no string.
fn split_statement(text: &str) -> (&str, &str) {
    let mut is_string = false;
    for (position, char) in text.char_indices() {
        match char {
            '"' => is_string = !is_string,
            ';' if !is_string => {
                return (
                    text.get(..position).unwrap_or(text),
                    text.get(position + 1..).unwrap_or(""),
                );
            }
            _ => {}
        }
    }
    (text, "")
}

fn after_attribute(text: &str) -> &str {
    let mut depth = 0_usize;
    for (position, char) in text.char_indices() {
        match char {
            '[' => depth += 1,
            ']' if depth == 1 => return text.get(position + 1..).unwrap_or("").trim_start(),
            ']' => depth -= 1,
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const CORE: (&str, &str) = ("crates/core/Cargo.toml", "[package]\nname = \"majordomo-core\"\n");

    #[test]
    fn a_good_root_passes() {
        let root = "//! Core.\n#![forbid(unsafe_code)]\n#![cfg_attr(not(feature = \"std\"), no_std)]\n\n\
            #[cfg(windows)]\ncompile_error!(\"no; not there\");\n\nmod a;\n#[cfg(test)]\nmod tests;\n\
            // Why.\npub use a::{\n    One,\n    Two,\n};\n";
        testing::check(check, &[CORE, ("crates/core/src/lib.rs", root)], &[]);
    }

    #[test]
    fn roots_that_do_something_or_allow_unsafe_are_found() {
        let files = [
            CORE,
            ("crates/core/src/bin/tool.rs", "//! Tool.\nfn main() {}\n"),
            ("crates/core/src/lib.rs", "//! Core.\nmod a;\nfn f() {}\n"),
            ("crates/core/src/a.rs", "fn f() {}\n"),
            ("crates/core/src/b/mod.rs", "//! B.\n"),
        ];
        let expected = [
            "a.rs:1: a file opens",
            "not `foo/mod.rs`",
            "docs, `mod` and `use` only",
            "tool.rs: `#!",
            "lib.rs: `#!",
        ];
        testing::check(check, &files, &expected);
    }

    #[test]
    fn an_inline_module_in_a_root_is_found() {
        let root = "//! Core.\n#![forbid(unsafe_code)]\nmod a {\n    fn f() {}\n}\n";
        testing::check(
            check,
            &[CORE, ("crates/core/src/lib.rs", root)],
            &["docs, `mod` and `use` only"],
        );
    }

    #[test]
    fn length_is_counted_in_lines_of_code() {
        let body = |n: usize| "fn f() {}\n\n// comment\n".repeat(n);
        let long = format!("//! A.\n{}", body(LONG_LINES + 1));
        let too_long = format!("//! A.\n{}", body(TOO_LONG_LINES + 1));
        let explained = format!("//! A.\n//! Length: one table.\n{}", body(TOO_LONG_LINES + 1));
        let fine = format!("//! A.\n{}", body(LONG_LINES));
        testing::check(
            check,
            &[
                ("crates/core/src/a.rs", fine.as_str()),
                ("crates/core/src/b.rs", long.as_str()),
                ("crates/core/src/c.rs", too_long.as_str()),
                ("crates/core/src/d.rs", explained.as_str()),
            ],
            &["note: crates/core/src/b.rs: 401", "error: crates/core/src/c.rs: 601"],
        );
    }

    #[test]
    fn tests_that_sleep_or_make_another_binary_are_found() {
        let [thread, time] = SLEEPS else { panic!("two ways to sleep") };
        let sleeping = format!("//! A.\nstd::{thread}(x);\n// {thread}\n");
        let waiting = format!(
            "//! A.\npub(crate) fn eventually(x: X) {{\n    std::{thread}(x);\n}}\nfn f() {{\n    {thread}(x);\n}}\n"
        );
        let in_source = format!(
            "//! A.\ntokio::{time}(x);\n#[cfg(test)]\nmod tests {{ use tokio::{time}; }}\n"
        );
        testing::check(
            check,
            &[
                CORE,
                ("crates/core/src/a.rs", in_source.as_str()),
                ("crates/core/tests/it/support.rs", waiting.as_str()),
                ("crates/core/tests/it/main.rs", sleeping.as_str()),
                ("crates/core/tests/more.rs", "//! More.\n"),
            ],
            &[
                "a.rs:4: nothing sleeps",
                "main.rs:2: nothing sleeps",
                "support.rs:6: nothing sleeps",
                "more.rs: one test binary",
            ],
        );
    }
}
