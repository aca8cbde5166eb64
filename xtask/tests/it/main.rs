//! The program itself, as `cargo xtask` starts it: the tree is tidy, and bad arguments are refused.

use std::process::{Command, Output};

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().expect("xtask starts")
}

#[test]
fn the_tree_is_tidy() {
    let output = xtask(&["tidy"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_unknown_stage_is_refused_with_the_ones_there_are() {
    let output = xtask(&["test", "no-such-stage"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no-such-stage") && said.contains("clippy"), "{said}");
}

#[test]
fn assistant_refuses_a_folder_that_is_not_prepared_and_a_python_that_does_not_fit() {
    let output = xtask(&["assistant", "run", "--dir", "/nowhere/assistant"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cargo xtask assistant setup --dir /nowhere/assistant"), "{said}");

    let folder = ["--dir", "/nowhere/assistant", "--only", "sentiment"];
    let output = xtask(&[&["assistant", "setup", "--python", "true"], &folder[..]].concat());
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--python PATH") && said.contains("CPython 3.11 or 3.12"), "{said}");
}
