//! Failures of one component: the row by which its back-off grows, and the window that quarantine counts over.

use std::collections::VecDeque;
use std::time::Duration;

use majordomo_core::{BackOffConfig, Moment, QuarantineConfig};

/// Failures of one component in this process.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    n_total: u64,
    /// Within the quarantine window, the latest last; no more than quarantine counts.
    recent: VecDeque<Moment>,
    /// Failures, and runs that were too short, in a row.
    n_in_row: u32,
    /// A failure after this moment begins a new row.
    row_ends: Moment,
}

impl Failures {
    /// All failures in this process.
    #[must_use]
    pub fn n_total(&self) -> u64 {
        self.n_total
    }

    /// Failures that count towards quarantine.
    #[must_use]
    pub fn n_recent(&self) -> usize {
        self.recent.len()
    }

    /// Counts one more in the row; returns the back-off that follows.
    pub(crate) fn lengthen_row(
        &mut self,
        now: Moment,
        back_off: &BackOffConfig,
        window: Duration,
    ) -> Duration {
        if now > self.row_ends {
            self.n_in_row = 0;
        }
        let factor = 1u32.checked_shl(self.n_in_row).unwrap_or(u32::MAX);
        let wait = back_off.base.checked_mul(factor).map_or(back_off.max, |w| w.min(back_off.max));
        self.n_in_row = self.n_in_row.saturating_add(1);
        self.row_ends = now + wait + window;
        wait
    }

    pub(crate) fn end_row(&mut self) {
        self.n_in_row = 0;
    }

    /// Counts a failure; returns whether there are as many within the window as quarantine takes.
    pub(crate) fn add(&mut self, now: Moment, quarantine: &QuarantineConfig) -> bool {
        let most = quarantine.failures.max(1) as usize;
        self.n_total += 1;
        self.recent.push_back(now);
        while self.recent.len() > most
            || self.recent.front().is_some_and(|t| now.since(*t) > quarantine.window)
        {
            self.recent.pop_front();
        }
        self.recent.len() >= most
    }

    pub(crate) fn forgive(&mut self) {
        self.recent.clear();
        self.n_in_row = 0;
    }
}
