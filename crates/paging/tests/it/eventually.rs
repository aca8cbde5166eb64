//! The only helper of these tests that waits for time.

use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(50);

/// Waits until `check` is true.
#[expect(clippy::disallowed_methods, reason = "the one helper that waits")]
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !check() {
        assert!(start.elapsed() < DEADLINE, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
