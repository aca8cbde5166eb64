//! Places for connections: how many may be open on one listener, and which one gives way when there are no more.
//!
//! Knows nothing of sockets and HTTP. Invariant: a connection with a request in flight, or with leases that end with
//! it, never gives way to another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::lock::locked;

/// The activity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing of the next request is there.
    Idle,
    /// A head is being read.
    Head,
    /// A request is being answered.
    Busy,
}

#[derive(Clone, Copy, Debug)]
struct Activity {
    phase: Phase,
    since: Instant,
    /// No request of the connection passed the gate so far.
    is_stranger: bool,
}

/// One connection, as its place sees it.
#[derive(Debug)]
pub(crate) struct Occupant {
    /// The connection's number.
    pub(crate) connection: u64,
    activity: Mutex<Activity>,
    give_way: Notify,
}

impl Occupant {
    /// A client that says nothing at all has as long as one that says half a head.
    fn new(connection: u64) -> Self {
        let activity = Activity { phase: Phase::Head, since: Instant::now(), is_stranger: true };
        Self { connection, activity: Mutex::new(activity), give_way: Notify::new() }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let mut activity = locked(&self.activity);
        (activity.phase, activity.since) = (phase, Instant::now());
    }

    /// The phase of the connection, and since when.
    pub(crate) fn doing(&self) -> (Phase, Instant) {
        let activity = locked(&self.activity);
        (activity.phase, activity.since)
    }

    /// A request of the connection passed the gate.
    pub(crate) fn is_known(&self) {
        locked(&self.activity).is_stranger = false;
    }

    /// Waits until another connection has its place.
    pub(crate) async fn gives_way(&self) {
        self.give_way.notified().await;
    }

    /// How soon it gives way: strangers first, then the longest idle. None with a request in flight.
    fn rank(&self) -> Option<(bool, Instant)> {
        let activity = *locked(&self.activity);
        (activity.phase != Phase::Busy).then_some((!activity.is_stranger, activity.since))
    }
}

/// Displaced connections that may still be closing when the next connection is accepted: each has a descriptor.
const MAX_CLOSING: usize = 16;

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Places {
    open: Mutex<BTreeMap<u64, Arc<Occupant>>>,
    /// Displaced connections that have not closed yet.
    n_closing: Mutex<usize>,
    /// Notified when a place becomes free or a displaced connection has closed.
    gone: watch::Sender<()>,
}

impl Default for Places {
    fn default() -> Self {
        Self { open: Mutex::default(), n_closing: Mutex::default(), gone: watch::Sender::new(()) }
    }
}

/// A taken place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) occupant: Arc<Occupant>,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if locked(&self.places.open).remove(&self.occupant.connection).is_none() {
            *locked(&self.places.n_closing) -= 1;
        }
        self.places.gone.send_replace(());
    }
}

impl Places {
    /// A place for a connection while fewer than `max` are taken.
    pub(crate) fn take(self: &Arc<Self>, connection: u64, max: usize) -> Option<Place> {
        let mut open = locked(&self.open);
        (open.len() < max).then(|| self.insert(&mut open, connection))
    }

    /// A place for a connection; when all `max` are taken, that of the connection that can best be spared. None when
    /// all are in use. `holds` says whether a connection has leases that end with it.
    pub(crate) fn take_or_displace(
        self: &Arc<Self>,
        connection: u64,
        max: usize,
        holds: impl Fn(u64) -> bool,
    ) -> Option<Place> {
        let mut open = locked(&self.open);
        if open.len() >= max {
            let ranked = open.values().filter_map(|o| Some((o.rank()?, o)));
            let spared = ranked.filter(|(_, o)| !holds(o.connection)).min_by_key(|(rank, _)| *rank);
            let spared = Arc::clone(spared?.1);
            open.remove(&spared.connection);
            *locked(&self.n_closing) += 1;
            spared.give_way.notify_one();
        }
        Some(self.insert(&mut open, connection))
    }

    fn insert(self: &Arc<Self>, open: &mut BTreeMap<u64, Arc<Occupant>>, connection: u64) -> Place {
        let occupant = Arc::new(Occupant::new(connection));
        open.insert(connection, Arc::clone(&occupant));
        Place { occupant, places: Arc::clone(self) }
    }

    /// Waits until fewer than `max` are taken.
    pub(crate) async fn room(&self, max: usize) {
        self.until(|| locked(&self.open).len() < max).await;
    }

    /// Waits until few displaced connections are still closing.
    pub(crate) async fn displaced_have_closed(&self) {
        self.until(|| *locked(&self.n_closing) < MAX_CLOSING).await;
    }

    /// Waits until none is taken.
    pub(crate) async fn all_gone(&self) {
        self.until(|| locked(&self.open).is_empty()).await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        let mut gone = self.gone.subscribe();
        while !is_so() {
            // The sender lives as long as `self`.
            drop(gone.changed().await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_gives_way_and_strangers_before_known_ones() {
        let places = Arc::new(Places::default());
        let tick = async || tokio::time::advance(std::time::Duration::from_millis(1)).await;
        let mut held = Vec::new();
        for connection in 0..4 {
            held.push(places.take(connection, 4).unwrap());
            tick().await;
        }
        let phases = [(true, Phase::Idle), (true, Phase::Busy), (true, Phase::Idle)];
        for (place, (is_known, phase)) in held.iter().zip(phases) {
            if is_known {
                place.occupant.is_known();
            }
            place.occupant.enter(phase);
            tick().await;
        }
        // 0 and 2 are idle, 1 has a request in flight, 3 is a stranger; the newcomers are busy.
        let mut next = |want: Option<u64>| {
            let connection = 10 + held.len() as u64;
            let before: Vec<u64> = locked(&places.open).keys().copied().collect();
            let place = places.take_or_displace(connection, 4, |c| c == 2);
            assert_eq!(place.is_some(), want.is_some());
            if let Some(place) = &place {
                place.occupant.enter(Phase::Busy);
            }
            let after = locked(&places.open);
            assert_eq!(after.len(), 4);
            assert_eq!(before.into_iter().find(|c| !after.contains_key(c)), want);
            drop(after);
            held.extend(place);
        };
        next(Some(3));
        next(Some(0));
        // 2 is idle and holds leases.
        next(None);
    }

    #[tokio::test]
    async fn a_displaced_connection_frees_no_place_of_another() {
        let places = Arc::new(Places::default());
        let first = places.take(1, 1).unwrap();
        let second = places.take_or_displace(2, 1, |_| false).unwrap();
        first.occupant.gives_way().await;
        drop(first);
        assert!(places.take(3, 1).is_none());
        drop(second);
        places.all_gone().await;
        assert!(places.take(3, 1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn displaced_connections_count_until_they_have_closed() {
        let places = Arc::new(Places::default());
        let is_waiting = async || {
            let closed = places.displaced_have_closed();
            tokio::time::timeout(std::time::Duration::from_secs(1), closed).await.is_err()
        };
        let mut held: Vec<_> = (0..=MAX_CLOSING as u64)
            .filter_map(|connection| places.take_or_displace(connection, 1, |_| false))
            .collect();
        assert!(is_waiting().await, "{MAX_CLOSING} have not closed yet");
        drop(held.remove(0));
        assert!(!is_waiting().await);
    }
}
