//! Shared by the benches: the clock, and whether a run measures.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "benches measure time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// `cargo bench` measures; run otherwise (or with `--test`) a bench runs once with little.
pub(crate) fn is_measured() -> bool {
    let has = |word: &str| std::env::args().any(|a| a == word);
    has("--bench") && !has("--test")
}
