//! The index of the leases: order, due times, connections, totals, and the reasons of the last ends.
//!
//! A due time may be earlier than the lease's own, since a renewal moves only the lease's: the task that keeps time then
//! finds the lease not due and arms it again. It is never later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use majordomo::Moment;

use super::entry::Entry;
use crate::problem::Problem;
use crate::wire::{Bind, EndReason};

/// Ended leases whose reason is kept.
pub(super) const ENDED_KEPT: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Index {
    next: u64,
    pub(super) version: u64,
    /// All leases, oldest first.
    pub(super) numbers: BTreeSet<u64>,
    /// Of all leases together.
    pub(super) n_components: usize,
    pub(super) due: BTreeSet<(Moment, u64)>,
    /// The leases that end with a connection.
    pub(super) by_connection: BTreeMap<u64, BTreeSet<u64>>,
    ended: VecDeque<(u64, EndReason)>,
    /// The server is shutting down and takes no lease.
    pub(super) is_closed: bool,
}

impl Index {
    /// Adds a lease; returns its number, and whether it is due before all others.
    pub(super) fn insert(&mut self, entry: &Entry) -> (u64, bool) {
        let number = self.next;
        self.next += 1;
        self.version += 1;
        self.n_components += entry.n_components;
        self.numbers.insert(number);
        if entry.terms.bind == Bind::Connection {
            self.by_connection.entry(entry.terms.connection).or_default().insert(number);
        }
        let first = self.due.first().map(|(due, _)| *due);
        self.due.extend(entry.armed.map(|due| (due, number)));
        let is_first = entry.armed.is_some_and(|due| first.is_none_or(|first| due < first));
        (number, is_first)
    }

    /// Removes a lease that ended.
    pub(super) fn remove(&mut self, number: u64, entry: &Entry, reason: EndReason) {
        self.version += 1;
        self.n_components -= entry.n_components;
        self.numbers.remove(&number);
        if let Some(due) = entry.armed {
            self.due.remove(&(due, number));
        }
        if let Some(of) = self.by_connection.get_mut(&entry.terms.connection) {
            of.remove(&number);
            if of.is_empty() {
                self.by_connection.remove(&entry.terms.connection);
            }
        }
        if self.ended.len() == ENDED_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back((number, reason));
    }

    /// Puts the due time of a lease in the place of its old one.
    pub(super) fn arm(&mut self, number: u64, entry: &mut Entry) {
        if let Some(old) = entry.armed {
            self.due.remove(&(old, number));
        }
        entry.armed = entry.due();
        self.due.extend(entry.armed.map(|due| (due, number)));
    }

    /// Why a lease ended; none for one that never was, or ended long ago.
    pub(super) fn reason(&self, number: u64) -> Option<EndReason> {
        self.ended.iter().rev().find(|(n, _)| *n == number).map(|(_, reason)| *reason)
    }

    pub(super) fn check_room(&self, more: usize, max: usize) -> Result<(), Problem> {
        if self.n_components + more <= max {
            return Ok(());
        }
        Err(too_many(self.n_components, more, max))
    }
}

pub(super) fn too_many(n: usize, more: usize, max: usize) -> Problem {
    Problem::new(
        "too_many_leases",
        format!(
            "{n} components are leased already, and {more} more would be too many; give leases back, or raise server.max_leases ({max})"
        ),
    )
    .retry_after(Duration::from_secs(1))
}
