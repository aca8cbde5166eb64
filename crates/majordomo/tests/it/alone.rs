//! Runs one test again in a process of its own, where no other test's memory counts.

use std::process::Command;

const MARK: &str = "MAJORDOMO_TEST_ALONE";

/// True in the process of its own. Elsewhere: starts it, checks that it passed, and gives false.
#[track_caller]
pub(crate) fn alone(test: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = [out.stdout, out.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    assert!(out.status.success(), "{text}");
    assert!(text.contains("1 passed"), "no test is called {test}: {text}");
    eprintln!("{text}");
    false
}
