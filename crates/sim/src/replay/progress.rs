//! The progress of a replay, as a line of text that the caller prints.
//!
//! Invariant: a line is returned only when it differs from the last one, so it can be requested after every event.

use super::trace::Trace;

/// Characters of the bar.
const WIDTH: usize = 30;

/// The progress of some runs over the same traces.
#[derive(Clone, Debug)]
pub struct Progress {
    done: usize,
    all: usize,
    shown: Option<(usize, String)>,
}

impl Progress {
    /// The start of `n_runs` runs over all events of the traces.
    #[must_use]
    pub fn new(traces: &[Trace], n_runs: usize) -> Self {
        let all = traces.iter().map(Trace::n_events).sum::<usize>() * n_runs;
        Self { done: 0, all, shown: None }
    }

    /// Number of events of all runs.
    #[must_use]
    pub fn n_events(&self) -> usize {
        self.all
    }

    /// Counts one event of the run called `what`. Returns the bar when it has changed.
    pub fn step(&mut self, what: &str) -> Option<String> {
        self.done += 1;
        let per_mille = self.done * 1000 / self.all.max(1);
        if self.shown.as_ref().is_some_and(|(shown, of)| *shown == per_mille && of == what) {
            return None;
        }
        self.shown = Some((per_mille, what.to_owned()));
        let full = (per_mille * WIDTH / 1000).min(WIDTH);
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(WIDTH - full));
        Some(format!("[{bar}] {}.{} % {what}", per_mille / 10, per_mille % 10))
    }
}
