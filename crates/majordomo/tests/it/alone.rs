//! Runs one test again in a separate process, without the memory of other tests.

use std::process::Command;

const MARK: &str = "MAJORDOMO_TEST_ALONE";

/// Returns true in the separate process. Otherwise runs the test there, checks that it passes, and
/// returns false.
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
