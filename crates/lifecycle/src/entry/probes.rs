//! Health probes of one incarnation: which are due and outstanding, and what their answers add up to.
//!
//! A *gated* incarnation grants no lease until a probe has answered (after a suspend). A *failing* one has failed as
//! often as takes it out of service, and stays up only while it is leased. An answer is *outdated* when its probe was
//! asked for under leases that have ended since.

use majordomo_core::{Moment, ProbeFailure};

/// The probes of one incarnation.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    next: Option<Moment>,
    gated: bool,
    n_outstanding: u32,
    /// Of the outstanding ones, those whose answers are outdated.
    n_outdated: u32,
    n_failed_in_row: u32,
    failed_since: Moment,
    failing: Option<ProbeFailure>,
    /// While it is failing: a probe was asked for since its last lease ended.
    asked_unleased: bool,
}

/// The change that a successful probe brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The component was failing.
    pub was_failing: bool,
    /// The component was gated.
    pub was_gated: bool,
}

impl Probes {
    /// When the component is probed next.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        self.next
    }

    /// Whether no lease is granted before a probe has answered.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.gated
    }

    /// The failure that leases keep from being acted upon.
    #[must_use]
    pub fn failing(&self) -> Option<&ProbeFailure> {
        self.failing.as_ref()
    }

    /// Sets the moment of the next probe.
    pub fn schedule(&mut self, next: Option<Moment>) {
        self.next = next;
    }

    /// Counts a probe that was asked for.
    pub fn asked(&mut self) {
        self.n_outstanding = self.n_outstanding.saturating_add(1);
    }

    /// Counts an answer; returns whether it is outdated.
    pub fn answered(&mut self) -> bool {
        self.n_outstanding = self.n_outstanding.saturating_sub(1);
        let is_outdated = self.n_outdated > 0;
        self.n_outdated = self.n_outdated.saturating_sub(1);
        is_outdated
    }

    /// Records a success.
    pub fn succeeded(&mut self) -> Recovery {
        self.n_failed_in_row = 0;
        self.asked_unleased = false;
        Recovery {
            was_failing: self.failing.take().is_some(),
            was_gated: std::mem::take(&mut self.gated),
        }
    }

    /// Records a failure; returns how many there are in a row.
    pub fn failed(&mut self, now: Moment) -> u32 {
        if self.n_failed_in_row == 0 {
            self.failed_since = now;
        }
        self.n_failed_in_row = self.n_failed_in_row.saturating_add(1);
        self.n_failed_in_row
    }

    /// Records that the component is failing, with the latest error; returns the number of failures if that is new.
    pub fn report_failing(&mut self, error: String) -> Option<u32> {
        let failures = self.n_failed_in_row;
        let failure = ProbeFailure { since: self.failed_since, failures, error };
        self.failing.replace(failure).is_none().then_some(failures)
    }

    /// A failing component is still leased.
    pub fn leased(&mut self) {
        self.asked_unleased = false;
    }

    /// A failing component is not leased any more: outstanding answers are outdated. Returns whether to probe now,
    /// which is once.
    pub fn unleased(&mut self) -> bool {
        if std::mem::replace(&mut self.asked_unleased, true) {
            return false;
        }
        self.n_outdated = self.n_outstanding;
        true
    }

    /// The component grants leases again, or is taken out of service.
    pub fn open_gate(&mut self) {
        self.gated = false;
    }

    /// After a suspend earlier failures do not count. With `gate` nothing is granted before the next answer.
    pub fn resumed(&mut self, gate: bool) {
        self.n_failed_in_row = 0;
        self.failing = None;
        if gate {
            self.gated = true;
            self.next = None;
        }
    }

    /// The component is ready again: earlier failures do not count, nor do answers to earlier probes.
    pub(crate) fn restart(&mut self, next: Option<Moment>) {
        let n_outstanding = self.n_outstanding;
        *self = Self { next, n_outstanding, n_outdated: n_outstanding, ..Self::default() };
    }

    /// The component is not ready any more, and not probed.
    pub(crate) fn stop(&mut self) {
        self.next = None;
        self.failing = None;
    }
}
