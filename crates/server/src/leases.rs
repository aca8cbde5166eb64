//! Leases of other processes: who holds what, until when.
//!
//! Owns one table and one ordered map of due times, served by one task. Invariants: a lease that left the table
//! is given back, outside the lock; every lease ends with its time, its connection, its holder's word or the
//! server; the last [`ENDED_KEPT`] that ended can be asked why.

mod list;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use majordomo::{
    AnyLease, Manager, Moment, OldLeases, Outcome, Party, Refusal, ServerConfig, Tagged,
    quoted_start,
};
use tokio::sync::Notify;

use crate::lock::locked;
use crate::problem::Problem;
use crate::wire::{Bind, EndReason, Endpoint, Lease, Leased};

pub(crate) use list::MAX_PAGE;

/// Ended leases whose reason is remembered.
const ENDED_KEPT: usize = 1024;

/// What is held.
#[derive(Debug)]
pub(crate) enum Held {
    /// Leases asked for by name.
    Leases(Vec<AnyLease>),
    /// What a command has.
    Outcome(Box<Outcome>),
}

impl Held {
    /// The holder acted on its lease: renewed it, or gave it back itself when its work was done. A command's text
    /// is learned from then, unless feedback has the last word.
    fn used_by_holder(&self) {
        if let Self::Outcome(outcome) = self {
            outcome.confirm_used();
        }
    }

    fn leases(&self) -> &[AnyLease] {
        match self {
            Self::Leases(leases) => leases,
            Self::Outcome(outcome) => outcome.leases(),
        }
    }

    /// Puts other leases in the place of those it has, which are handed out.
    fn replace(&mut self, new: Vec<AnyLease>) -> Vec<AnyLease> {
        match self {
            Self::Leases(leases) => std::mem::replace(leases, new),
            Self::Outcome(outcome) => {
                let old = outcome.replace_leases(new);
                outcome.mark_used();
                old
            }
        }
    }
}

/// The leases of an entry while an exchange for others waits; given back when the entry goes meanwhile.
#[derive(Debug)]
struct Exchanging(Arc<OldLeases>);

impl Drop for Exchanging {
    fn drop(&mut self) {
        drop(self.0.take_back());
    }
}

/// How it is held.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) bind: Bind,
    pub(crate) ttl: Option<Duration>,
    /// Asked for, or the process' number.
    pub(crate) tag: String,
    /// Whether the tag tells the holder from others.
    pub(crate) is_named: bool,
    /// The connection that asked.
    pub(crate) connection: u64,
    pub(crate) pid: Option<u32>,
}

impl Terms {
    /// The holder, as its own leases are told from those of others.
    pub(crate) fn party(&self) -> Party {
        Party {
            tag: self.is_named.then(|| self.tag.as_str().into()),
            pid: self.pid,
            connection: Some(self.connection),
        }
    }
}

#[derive(Debug)]
struct Entry {
    /// Keeps the tag where those who wait are told. Goes before the leases: fewer are counted as the holder's own
    /// than there are, never more.
    tagged: Tagged,
    held: Held,
    /// How many components it holds.
    n_components: usize,
    /// Its leases are here while they are being exchanged.
    exchanging: Option<Exchanging>,
    terms: Terms,
    since: Moment,
    expires: Option<Moment>,
    /// When it becomes old; none once it was warned of.
    old_at: Option<Moment>,
    old: bool,
}

impl Entry {
    fn with_leases<R>(&self, look: impl FnOnce(&[AnyLease]) -> R) -> R {
        match &self.exchanging {
            Some(exchanging) => exchanging.0.with(look),
            None => look(self.held.leases()),
        }
    }

    fn due(&self) -> Option<Moment> {
        match (self.expires, self.old_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    version: u64,
    by_number: BTreeMap<u64, Entry>,
    /// Of all leases together.
    n_components: usize,
    due: BTreeSet<(Moment, u64)>,
    by_connection: BTreeMap<u64, BTreeSet<u64>>,
    ended: VecDeque<(u64, EndReason)>,
    /// The server ends: nobody would end what comes now.
    is_closed: bool,
}

impl Table {
    fn take(&mut self, number: u64, reason: EndReason) -> Option<Entry> {
        let entry = self.by_number.remove(&number)?;
        self.version += 1;
        self.n_components -= entry.n_components;
        if let Some(due) = entry.due() {
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
        Some(entry)
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct LeaseTable {
    boot: String,
    table: Mutex<Table>,
    /// The first due time may have changed.
    changed: Notify,
}

impl LeaseTable {
    pub(crate) fn new(boot: String) -> Self {
        Self { boot, table: Mutex::default(), changed: Notify::new() }
    }

    /// Changes with every lease that comes or goes.
    pub(crate) fn version(&self) -> u64 {
        locked(&self.table).version
    }

    /// Whether a connection holds leases that end with it.
    pub(crate) fn holds(&self, connection: u64) -> bool {
        locked(&self.table).by_connection.contains_key(&connection)
    }

    /// Whether so many more components may be leased.
    pub(crate) fn check_room(&self, more: usize, limits: &ServerConfig) -> Result<(), Problem> {
        let max = limits.max_leases;
        let n = locked(&self.table).n_components;
        if n + more <= max {
            return Ok(());
        }
        Err(too_many(n, more, max))
    }

    /// Takes a lease in.
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
        let entry = Entry {
            tagged: manager.tag_as(held.leases(), &terms.tag, terms.party()),
            held,
            n_components,
            exchanging: None,
            since: now,
            expires: terms.ttl.map(|ttl| now + ttl),
            old_at: Some(now + limits.max_lease_age),
            old: false,
            terms,
        };
        let mut table = locked(&self.table);
        if table.is_closed {
            return Err(Refusal::ShuttingDown.into());
        }
        let number = table.next;
        table.next += 1;
        table.version += 1;
        if entry.terms.bind == Bind::Connection {
            table.by_connection.entry(entry.terms.connection).or_default().insert(number);
        }
        let lease = self.described(number, &entry, now);
        let due = entry.due();
        let is_first = due.is_some_and(|due| table.due.first().is_none_or(|f| due < f.0));
        table.due.extend(due.map(|due| (due, number)));
        table.n_components += n_components;
        table.by_number.insert(number, entry);
        drop(table);
        if is_first {
            self.changed.notify_one();
        }
        Ok(lease)
    }

    /// The number in a lease's name.
    fn number(&self, id: &str) -> Result<u64, Problem> {
        let number = id.rsplit_once('-').filter(|(boot, _)| *boot == self.boot);
        number.and_then(|(_, n)| n.parse().ok()).ok_or_else(|| {
            Problem::new(
                "unknown_lease",
                format!("no lease is called {}; if the server was restarted since, its leases are gone: ask again", quoted_start(id)),
            )
        })
    }

    fn gone(table: &Table, id: &str, number: u64) -> Problem {
        match table.ended.iter().rev().find(|(n, _)| *n == number) {
            Some((_, reason)) => {
                let word = serde_json::to_value(reason).unwrap_or_default();
                let why = match reason {
                    EndReason::Released => "was given back",
                    EndReason::Expired => "was not renewed in time",
                    EndReason::Disconnected => "ended with its connection",
                    EndReason::TooOld => "was older than server.max_lease_age",
                    EndReason::ShuttingDown => "ended with the server",
                    EndReason::Exchanged => "was given up for an exchange whose loads failed",
                };
                Problem::new("lease_ended", format!("lease {id} {why}; ask for a new one"))
                    .with("reason", word)
            }
            None => {
                Problem::new("unknown_lease", format!("no lease is called {}", quoted_start(id)))
            }
        }
    }

    pub(crate) fn get(&self, id: &str, now: Moment) -> Result<Lease, Problem> {
        let number = self.number(id)?;
        let table = locked(&self.table);
        match table.by_number.get(&number) {
            Some(entry) => Ok(self.described(number, entry, now)),
            None => Err(Self::gone(&table, id, number)),
        }
    }

    /// Lets a lease last from now on; one whose component has ended or is being stopped is not extended.
    pub(crate) fn renew(
        &self,
        id: &str,
        ttl: Option<Duration>,
        default: Duration,
        now: Moment,
    ) -> Result<Lease, Problem> {
        let number = self.number(id)?;
        let mut table = locked(&self.table);
        let Some(entry) = table.by_number.get_mut(&number) else {
            return Err(Self::gone(&table, id, number));
        };
        let lost: Vec<_> =
            entry.with_leases(|l| l.iter().filter(|l| l.revoked()).map(leased).collect());
        if !lost.is_empty() {
            return Err(Problem::revoked(id, &lost));
        }
        entry.held.used_by_holder();
        let before = entry.due();
        let bound = entry.terms.bind == Bind::Connection;
        entry.terms.ttl = ttl.or(entry.terms.ttl).or((!bound).then_some(default));
        entry.expires = entry.terms.ttl.map(|ttl| now + ttl);
        let after = entry.due();
        let lease = self.described(number, entry, now);
        if let Some(due) = before {
            table.due.remove(&(due, number));
        }
        table.due.extend(after.map(|due| (due, number)));
        table.version += 1;
        drop(table);
        self.changed.notify_one();
        Ok(lease)
    }

    /// Begins an exchange: the leases are shared with the demand that is to have their place. Renews the lease, for as
    /// long as the demand may wait besides.
    pub(crate) fn begin_exchange(
        &self,
        id: &str,
        n_new: usize,
        (wait, limits): (Duration, &ServerConfig),
        now: Moment,
    ) -> Result<(Arc<OldLeases>, Party), Problem> {
        let number = self.number(id)?;
        let mut table = locked(&self.table);
        let n_components = table.n_components;
        let Some(entry) = table.by_number.get_mut(&number) else {
            return Err(Self::gone(&table, id, number));
        };
        if entry.exchanging.is_some() {
            return Err(Problem::new(
                "exchange_under_way",
                format!("lease {id} is being exchanged already; wait for that to end"),
            ));
        }
        let others = n_components - entry.n_components;
        if n_new > entry.n_components && others + n_new > limits.max_leases {
            return Err(too_many(others, n_new, limits.max_leases));
        }
        let before = entry.due();
        let old = Arc::new(OldLeases::new(entry.held.replace(Vec::new())));
        entry.exchanging = Some(Exchanging(Arc::clone(&old)));
        entry.expires = entry.terms.ttl.map(|ttl| now + wait + ttl);
        let (after, party) = (entry.due(), entry.terms.party());
        Self::move_due(&mut table, number, before, after);
        drop(table);
        self.changed.notify_one();
        Ok((old, party))
    }

    fn move_due(table: &mut Table, number: u64, before: Option<Moment>, after: Option<Moment>) {
        if let Some(due) = before {
            table.due.remove(&(due, number));
        }
        table.due.extend(after.map(|due| (due, number)));
        table.version += 1;
    }

    /// Ends an exchange with the new leases.
    pub(crate) fn end_exchange(
        &self,
        manager: &Manager,
        id: &str,
        new: Vec<AnyLease>,
    ) -> Result<Lease, Problem> {
        let number = self.number(id)?;
        let now = manager.now();
        let mut table = locked(&self.table);
        let Some(entry) = table.by_number.get_mut(&number) else {
            return Err(Self::gone(&table, id, number));
        };
        let before = entry.due();
        entry.tagged = manager.tag_as(&new, &entry.terms.tag, entry.terms.party());
        let old = entry.exchanging.take();
        let before_n = std::mem::replace(&mut entry.n_components, new.len());
        entry.held.replace(new);
        entry.expires = entry.terms.ttl.map(|ttl| now + ttl);
        let (after, after_n) = (entry.due(), entry.n_components);
        let lease = self.described(number, entry, now);
        table.n_components = table.n_components - before_n + after_n;
        Self::move_due(&mut table, number, before, after);
        drop(table);
        // What fitted beside the new ones is given back now.
        drop(old);
        self.changed.notify_one();
        Ok(lease)
    }

    /// Ends an exchange without new leases: the lease is as it was, or has ended if it was given up.
    pub(crate) fn undo_exchange(&self, id: &str) {
        let Ok(number) = self.number(id) else { return };
        let mut table = locked(&self.table);
        let Some(entry) = table.by_number.get_mut(&number) else { return };
        let Some(old) = entry.exchanging.take() else { return };
        let ended = if old.0.are_gone() {
            table.take(number, EndReason::Exchanged)
        } else {
            entry.held.replace(old.0.take_back());
            None
        };
        table.version += 1;
        drop(table);
        drop((ended, old));
    }

    /// Gives a lease back.
    pub(crate) fn release(&self, id: &str) -> Result<Held, Problem> {
        let number = self.number(id)?;
        let mut table = locked(&self.table);
        match table.take(number, EndReason::Released) {
            Some(entry) => {
                entry.held.used_by_holder();
                Ok(entry.held)
            }
            None => Err(Self::gone(&table, id, number)),
        }
    }

    /// Takes what a command has, if the lease is of one.
    pub(crate) fn take_outcome(&self, id: &str) -> Result<Outcome, Problem> {
        let number = self.number(id)?;
        let mut table = locked(&self.table);
        match table.by_number.get(&number).map(|e| &e.held) {
            None => return Err(Self::gone(&table, id, number)),
            Some(Held::Leases(_)) => {
                return Err(Problem::new(
                    "no_outcome",
                    format!("lease {id} was asked for by name; feedback is about commands"),
                ));
            }
            Some(Held::Outcome(_)) => {}
        }
        match table.take(number, EndReason::Released).map(|e| e.held) {
            Some(Held::Outcome(outcome)) => Ok(*outcome),
            _ => Err(Self::gone(&table, id, number)),
        }
    }

    /// Gives back what ends with a connection.
    pub(crate) fn disconnected(&self, connection: u64) {
        let mut table = locked(&self.table);
        let numbers = table.by_connection.remove(&connection).unwrap_or_default();
        let entries: Vec<_> =
            numbers.into_iter().filter_map(|n| table.take(n, EndReason::Disconnected)).collect();
        drop(table);
        drop(entries);
    }

    /// Gives everything back, and takes nothing in any more: a load that ends during shutdown must not hold it up.
    pub(crate) fn close(&self) {
        let mut table = locked(&self.table);
        table.is_closed = true;
        let numbers: Vec<_> = table.by_number.keys().copied().collect();
        let entries: Vec<_> =
            numbers.into_iter().filter_map(|n| table.take(n, EndReason::ShuttingDown)).collect();
        drop(table);
        drop(entries);
    }

    /// Ends what is due, and tells when to come again.
    fn sweep(&self, limits: &ServerConfig, now: Moment) -> Option<Moment> {
        let mut ended = Vec::new();
        let mut table = locked(&self.table);
        while let Some(&(due, number)) = table.due.first()
            && due <= now
        {
            table.due.remove(&(due, number));
            let Some(entry) = table.by_number.get_mut(&number) else { continue };
            if entry.expires.is_some_and(|t| t <= now) {
                ended.extend(table.take(number, EndReason::Expired));
                continue;
            }
            // Old, then. The setting may have been changed since the lease came.
            let old_at = entry.since + limits.max_lease_age;
            if old_at > now {
                entry.old_at = Some(old_at);
            } else {
                entry.old_at = None;
                entry.old = true;
                let (tag, pid) = (&entry.terms.tag, entry.terms.pid);
                let names: Vec<_> =
                    entry.with_leases(|l| l.iter().map(|l| l.id().to_string()).collect());
                tracing::warn!(
                    components = names.join(", "),
                    tag,
                    pid,
                    ended = limits.end_old_leases,
                    "a lease is older than server.max_lease_age"
                );
                if limits.end_old_leases {
                    ended.extend(table.take(number, EndReason::TooOld));
                    continue;
                }
                table.version += 1;
            }
            let due = table.by_number.get(&number).and_then(Entry::due);
            table.due.extend(due.map(|due| (due, number)));
        }
        let next = table.due.first().map(|(due, _)| *due);
        drop(table);
        drop(ended);
        next
    }

    /// The one task that ends leases in time. `limits` gives the settings in force.
    pub(crate) async fn keep_time(&self, manager: &Manager, limits: impl Fn() -> ServerConfig) {
        loop {
            let now = manager.now();
            let next = self.sweep(&limits(), now);
            let changed = self.changed.notified();
            match next {
                Some(due) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(due.since(now)) => {}
                    }
                }
                None => changed.await,
            }
        }
    }
}

fn too_many(n: usize, more: usize, max: usize) -> Problem {
    Problem::new(
        "too_many_leases",
        format!(
            "{n} components are leased already, and {more} more would be too many; give leases back, or raise server.max_leases ({max})"
        ),
    )
    .retry_after(Duration::from_secs(1))
}

/// A leased component as it is told; handing out its endpoint counts as a use.
pub(crate) fn leased(lease: &AnyLease) -> Leased {
    let revocation = lease.revocation();
    Leased {
        component: lease.id().clone(),
        endpoint: lease.endpoint().map(Endpoint::from).filter(|e| *e != Endpoint::default()),
        revoked: lease.revoked(),
        ended: revocation.as_ref().is_some_and(|r| r.ended),
        reason: revocation.map(|r| r.cause.to_string()),
    }
}
