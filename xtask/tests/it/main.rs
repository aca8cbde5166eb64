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
