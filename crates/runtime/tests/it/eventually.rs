//! The only helpers of these tests that wait for time.

use std::time::Duration;

use crate::support::DEADLINE;

/// Waits until `check` is true, at most ten times `deadline`.
#[expect(clippy::disallowed_methods, reason = "the one helper that waits")]
pub(crate) fn eventually(deadline: Duration, what: &str, mut check: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !check() {
        assert!(start.elapsed() < deadline * 10, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The asynchronous [`eventually`]: tasks of the runtime continue meanwhile.
pub(crate) async fn until(mut check: impl FnMut() -> bool) {
    let rounds = tokio::time::timeout(DEADLINE * 10, async {
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        while !check() {
            looks.tick().await;
        }
    });
    rounds.await.expect("waited too long");
}
