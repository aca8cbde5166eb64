//! Leases of other processes: the table of all of them, by number.
//!
//! The leases are in a sharded map: a holder that looks at its lease or renews it locks one shard. An index beside it,
//! behind one lock, has everything that concerns several leases: the order of numbers, due times, connections, ended
//! leases, totals. The index is always locked before a shard, and no shard is held across an `.await`.
//!
//! Invariants: under the lock of the index, map and index have the same leases; a lease that left the table is
//! given back while neither is locked; a lease ends with its time, its connection, a request of its holder, or the
//! server; the reasons of the last [`index::ENDED_KEPT`] ends are kept.

mod entry;
mod exchange;
mod index;
mod list;
mod time;

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use dashmap::DashMap;
use majordomo::{
    AnyLease, Caller, ComponentId, Manager, Moment, Outcome, Refusal, ServerConfig, quoted_start,
};
use tokio::sync::Notify;

use crate::lock::locked;
use crate::problem::Problem;
use crate::wire::{EndReason, Lease};

use entry::Entry;
pub(crate) use entry::{Held, Terms, leased};
use index::Index;
pub(crate) use list::MAX_PAGE;

/// All leases of the server, by number.
#[derive(Debug)]
pub(crate) struct LeaseTable {
    boot: String,
    /// By number.
    entries: DashMap<u64, Entry>,
    index: Mutex<Index>,
    /// Notified when the first due time may have changed.
    changed: Notify,
}

impl LeaseTable {
    pub(crate) fn new(boot: String) -> Self {
        Self { boot, entries: DashMap::new(), index: Mutex::default(), changed: Notify::new() }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        locked(&self.index)
    }

    /// Changes whenever a lease is added, ends, is exchanged or becomes old.
    pub(crate) fn version(&self) -> u64 {
        self.index().version
    }

    /// Whether a connection holds leases that end with it.
    pub(crate) fn holds(&self, connection: u64) -> bool {
        self.index().by_connection.contains_key(&connection)
    }

    /// Refuses `more` components beyond `server.max_leases`.
    pub(crate) fn check_room(&self, more: usize, limits: &ServerConfig) -> Result<(), Problem> {
        self.index().check_room(more, limits.max_leases)
    }

    /// Adds a lease to the table.
    pub(crate) fn insert(
        &self,
        manager: &Manager,
        held: Held,
        terms: Terms,
        limits: &ServerConfig,
    ) -> Result<Lease, Problem> {
        let n_components = held.leases().len();
        self.check_room(n_components, limits)?;
        let now = manager.now();
        let tagged = manager.tag_as(held.leases(), &terms.tag, terms.party());
        let entry = Entry::new(held, terms, tagged, now, limits.max_lease_age);
        let mut index = self.index();
        if index.is_closed {
            return Err(Refusal::ShuttingDown.into());
        }
        let (number, is_first) = index.insert(&entry);
        let lease = self.described(number, &entry, now);
        self.entries.insert(number, entry);
        drop(index);
        if is_first {
            self.changed.notify_one();
        }
        Ok(lease)
    }

    /// The number in the id of a lease.
    fn number(&self, id: &str) -> Result<u64, Problem> {
        let number = id.rsplit_once('-').filter(|(boot, _)| *boot == self.boot);
        number.and_then(|(_, n)| n.parse().ok()).ok_or_else(|| {
            Problem::new(
                "unknown_lease",
                format!("no lease has the id {}; leases end when the server is restarted: ask for a new one", quoted_start(id)),
            )
        })
    }

    /// The problem of a lease that is not in the table.
    fn missing(&self, index: &Index, id: &str, number: u64) -> Problem {
        index.reason(number).map_or_else(
            || Problem::new("unknown_lease", format!("no lease has the id {}", quoted_start(id))),
            |reason| ended(id, reason),
        )
    }

    pub(crate) fn get(&self, id: &str, now: Moment) -> Result<Lease, Problem> {
        let number = self.number(id)?;
        let found = self.entries.get(&number).map(|entry| self.described(number, &entry, now));
        found.ok_or_else(|| self.missing(&self.index(), id, number))
    }

    /// Extends a lease from now on. A lease with a revoked component is not extended.
    pub(crate) fn renew(
        &self,
        id: &str,
        ttl: Option<Duration>,
        default: Duration,
        now: Moment,
    ) -> Result<Lease, Problem> {
        let number = self.number(id)?;
        let renewed = self.entries.get_mut(&number).map(|mut entry| {
            let lost = entry.revoked();
            if !lost.is_empty() {
                return Err(Problem::revoked(id, &lost));
            }
            entry.renew(ttl, default, now);
            Ok((self.described(number, &entry, now), entry.is_due_before_armed()))
        });
        let Some(renewed) = renewed else {
            return Err(self.missing(&self.index(), id, number));
        };
        let (lease, is_due_earlier) = renewed?;
        if is_due_earlier {
            self.arm(&mut self.index(), number);
            self.changed.notify_one();
        }
        Ok(lease)
    }

    /// The way to call a component of a lease, which may be unnamed when the lease has one. Counts as a use.
    pub(crate) fn caller(
        &self,
        id: &str,
        name: Option<&str>,
    ) -> Result<(ComponentId, Caller), Problem> {
        let number = self.number(id)?;
        let found = self.entries.get(&number).map(|entry| {
            entry.with_leases(|leases| {
                let lease = chosen(id, leases, name)?;
                if lease.revoked() {
                    return Err(Problem::revoked(id, &[leased(lease)]));
                }
                let caller = lease.caller()?;
                lease.mark_used();
                Ok((lease.id().clone(), caller))
            })
        });
        found.unwrap_or_else(|| Err(self.missing(&self.index(), id, number)))
    }

    /// Ends a lease at its holder's request and hands out what it held.
    pub(crate) fn release(&self, id: &str) -> Result<Held, Problem> {
        let number = self.number(id)?;
        let mut index = self.index();
        match self.take(&mut index, number, EndReason::Released) {
            Some(entry) => {
                entry.held.used_by_holder();
                Ok(entry.held)
            }
            None => Err(self.missing(&index, id, number)),
        }
    }

    /// Ends a lease that a command gave and hands out the command's outcome.
    pub(crate) fn take_outcome(&self, id: &str) -> Result<Outcome, Problem> {
        let number = self.number(id)?;
        let mut index = self.index();
        let is_of_command = self.entries.get(&number).map(|e| matches!(e.held, Held::Outcome(_)));
        if is_of_command == Some(false) {
            return Err(Problem::new(
                "no_outcome",
                format!("lease {id} was asked for by name; feedback is about commands"),
            ));
        }
        match self.take(&mut index, number, EndReason::Released).map(|e| e.held) {
            Some(Held::Outcome(outcome)) => Ok(*outcome),
            _ => Err(self.missing(&index, id, number)),
        }
    }

    /// Gives back the leases that end with a connection.
    pub(crate) fn disconnected(&self, connection: u64) {
        let mut index = self.index();
        let numbers = index.by_connection.remove(&connection).unwrap_or_default();
        let entries = self.take_all(&mut index, numbers, EndReason::Disconnected);
        drop(index);
        drop(entries);
    }

    /// Gives all leases back and adds none from now on: a load that ends during the shutdown must not delay it.
    pub(crate) fn close(&self) {
        let mut index = self.index();
        index.is_closed = true;
        let numbers: Vec<_> = index.numbers.iter().copied().collect();
        let entries = self.take_all(&mut index, numbers, EndReason::ShuttingDown);
        drop(index);
        drop(entries);
    }

    fn take_all(
        &self,
        index: &mut Index,
        numbers: impl IntoIterator<Item = u64>,
        reason: EndReason,
    ) -> Vec<Entry> {
        numbers.into_iter().filter_map(|n| self.take(index, n, reason)).collect()
    }

    /// Removes a lease from the table. The caller drops it when nothing is locked.
    fn take(&self, index: &mut Index, number: u64, reason: EndReason) -> Option<Entry> {
        let (_, entry) = self.entries.remove(&number)?;
        index.remove(number, &entry, reason);
        Some(entry)
    }

    /// Puts the due time of a lease into the index.
    fn arm(&self, index: &mut Index, number: u64) {
        if let Some(mut entry) = self.entries.get_mut(&number) {
            index.arm(number, &mut entry);
        }
    }
}

/// The lease of the named component, or the only one.
fn chosen<'l>(
    id: &str,
    leases: &'l [AnyLease],
    name: Option<&str>,
) -> Result<&'l AnyLease, Problem> {
    let found = match (name, leases) {
        (Some(name), _) => leases.iter().find(|lease| lease.id().as_str() == name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        let names: Vec<_> = leases.iter().map(|lease| lease.id().as_str()).collect();
        let names = names.join(", ");
        let detail = match name {
            Some(name) => {
                format!("lease {id} has no component {}; it has {names}", quoted_start(name))
            }
            None => format!(
                "lease {id} has several components; name one of them as `component`: {names}"
            ),
        };
        Problem::new("bad_value", detail)
    })
}

fn ended(id: &str, reason: EndReason) -> Problem {
    let word = serde_json::to_value(reason).unwrap_or_default();
    let why = match reason {
        EndReason::Released => "was given back",
        EndReason::Expired => "was not renewed before its time was over",
        EndReason::Disconnected => "ended with its connection",
        EndReason::TooOld => "was older than server.max_lease_age",
        EndReason::ShuttingDown => "ended with the server",
        EndReason::Exchanged => "was given up for an exchange whose loads failed",
    };
    Problem::new("lease_ended", format!("lease {id} {why}; ask for a new one")).with("reason", word)
}
