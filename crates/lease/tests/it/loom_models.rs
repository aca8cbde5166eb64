//! Every interleaving (up to loom's bound of preemptions) of short programs on cell and slot.
//!
//! Instances are relaxed counters, so what a model reads there shows whether the cell's own orderings make
//! holders' work visible to who closes after them; the sink's condition variable makes a lost notice a
//! deadlock, which loom reports.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Arc as LoomArc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use majordomo_core::{ComponentKey, IncarnationId, OpId};
use majordomo_lease::{CloseAnswer, Gate, Incarnation, Lease, ReleaseSink, Slot, Tick};

/// An instance: how often it was worked with, and a value whose drop must come after all reads of it.
struct Instance {
    done: AtomicU64,
    value: UnsafeCell<u64>,
    n_dropped: Arc<AtomicU64>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Loom reports a read that is not ordered before this write.
        self.value.with_mut(|_| ());
        self.n_dropped.fetch_add(1, Relaxed);
    }
}

type Made = Incarnation<Instance>;

#[derive(Default)]
struct Sink {
    n_notices: Mutex<u32>,
    more: Condvar,
}

impl Sink {
    fn n_notices(&self) -> u32 {
        *self.n_notices.lock().unwrap()
    }

    /// Waits for the next notice and takes it.
    fn wait(&self) {
        let mut n_notices = self.n_notices.lock().unwrap();
        while *n_notices == 0 {
            n_notices = self.more.wait(n_notices).unwrap();
        }
        *n_notices -= 1;
    }
}

impl ReleaseSink for Sink {
    fn notify(&self, _: IncarnationId) {
        *self.n_notices.lock().unwrap() += 1;
        self.more.notify_one();
    }
}

fn made(op: u64, sink: &Arc<Sink>, n_dropped: &Arc<AtomicU64>) -> Made {
    let (tick, sink) = (Arc::new(Tick::new(1)), Arc::clone(sink));
    let id = IncarnationId { key: ComponentKey(0), op: OpId(op) };
    let instance = Instance {
        done: AtomicU64::new(0),
        value: UnsafeCell::new(op),
        n_dropped: Arc::clone(n_dropped),
    };
    Incarnation::new(Gate::new(id, false, tick, sink), instance)
}

/// A slot with an incarnation, and what a model watches of it.
struct World {
    slot: Arc<Slot<Instance>>,
    made: LoomArc<Made>,
    sink: Arc<Sink>,
    n_dropped: Arc<AtomicU64>,
    leases: Vec<Lease<Instance>>,
}

fn published(op: u64, n: u32) -> World {
    let (sink, n_dropped) = (Arc::new(Sink::default()), Arc::new(AtomicU64::new(0)));
    let slot = Arc::new(Slot::default());
    let (leases, _) = slot.install(made(op, &sink, &n_dropped), n);
    let made = slot.current().unwrap();
    World { slot, made, sink, n_dropped, leases }
}

/// Work under a lease. Not a use in the sense of statistics: that would only add steps to explore.
fn work(lease: &Lease<Instance>) {
    let instance = lease.incarnation().instance();
    instance.value.with(|_| ());
    instance.done.fetch_add(1, Relaxed);
}

fn done(made: &Made) -> u64 {
    made.instance().done.load(Relaxed)
}

#[test]
fn acquire_against_close() {
    loom::model(|| {
        let World { slot, made, .. } = published(1, 0);
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let slot = Arc::clone(&slot);
                thread::spawn(move || {
                    if let Some(lease) = slot.acquire() {
                        work(&lease);
                    }
                })
            })
            .collect();
        let closed = match made.gate().try_close() {
            CloseAnswer::Closed => {
                // All holders have finished, and their work is seen.
                Some((done(&made), made.gate().uses()))
            }
            CloseAnswer::Leased(n) => {
                assert!((1..=2).contains(&n));
                None
            }
        };
        for caller in callers {
            caller.join().unwrap();
        }
        let after = (done(&made), made.gate().uses());
        assert_eq!(made.gate().leases(), 0);
        assert_eq!(after.0, after.1);
        match closed {
            Some(then) => assert!(then == after && slot.acquire().is_none()),
            None => assert!(slot.acquire().is_some()),
        }
    });
}

#[test]
fn acquire_against_crash_and_reload() {
    loom::model(|| {
        let World { slot, made: old, sink, n_dropped, leases } = published(1, 1);
        let known = leases[0].known();
        drop(leases);
        let new = made(2, &sink, &n_dropped);
        let caller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                let first = slot.acquire();
                // By the known way, after the slot was asked.
                let second = known.acquire();
                let op = |l: &Option<Lease<_>>| l.as_ref().map(|l| l.incarnation().id().op.0);
                if op(&first) == Some(2) {
                    assert!(second.is_none(), "the old one was left open beside the new one");
                }
                let taken = (op(&first), op(&second));
                if let Some(l) = &first {
                    work(l);
                }
                drop((first, second));
                taken
            })
        };
        // The crash: holders are shown it, the slot is cleared; then the reload is published.
        old.gate().revoke();
        slot.clear();
        slot.install(new, 0);
        let new = slot.current().unwrap();
        if new.gate().try_close() == CloseAnswer::Closed {
            // Leases of the old one never keep the new one open.
            new.gate().reopen();
        } else {
            assert_eq!(new.gate().leases().max(1), 1);
        }
        let (first, second) = caller.join().unwrap();
        let of = |op| u64::from(first == Some(op)) + u64::from(second == Some(op));
        // One use of the old one was before.
        assert_eq!((old.gate().uses(), new.gate().uses()), (1 + of(1), of(2)));
        assert_eq!((old.gate().leases(), new.gate().leases()), (0, 0));
        assert!(old.gate().is_revoked() && !new.gate().is_revoked());
        assert!(slot.acquire().is_some_and(|l| l.incarnation().id().op == OpId(2)));
    });
}

#[test]
fn replaced_without_a_crash() {
    loom::model(|| {
        let World { slot, made: old, sink, n_dropped, leases } = published(1, 1);
        let known = leases[0].known();
        drop(leases);
        let new = made(2, &sink, &n_dropped);
        let caller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                let first = slot.acquire().map(|l| l.incarnation().id().op.0);
                let second = known.acquire();
                assert!(first != Some(2) || second.is_none(), "two incarnations were open at once");
            })
        };
        slot.install(new, 0);
        assert!(old.gate().is_closed());
        caller.join().unwrap();
        assert_eq!(old.gate().leases(), 0);
    });
}

/// The engine's way to take a component down when its leases are back: try, request a notice, try again, and
/// then only wait. Ends in every interleaving; a lost notice would be a deadlock.
fn close_when_idle(made: &Made, sink: &Sink) -> u32 {
    let mut n_requests = 0;
    loop {
        if made.gate().try_close() == CloseAnswer::Closed {
            return n_requests;
        }
        made.gate().request_notice();
        n_requests += 1;
        if made.gate().try_close() == CloseAnswer::Closed {
            return n_requests;
        }
        sink.wait();
    }
}

#[test]
fn last_release_against_request_of_a_notice() {
    loom::model(|| {
        let World { slot: _slot, made, sink, leases, .. } = published(1, 2);
        let holders: Vec<_> = leases
            .into_iter()
            .map(|lease| {
                thread::spawn(move || {
                    work(&lease);
                    drop(lease);
                })
            })
            .collect();
        let n_requests = close_when_idle(&made, &sink);
        assert_eq!(done(&made), 2, "closed before the holders had finished");
        for holder in holders {
            holder.join().unwrap();
        }
        assert!(sink.n_notices() <= n_requests, "more notices than requests");
    });
}

#[test]
fn one_request_is_answered_by_one_notice() {
    loom::model(|| {
        let World { slot: _slot, made, sink, mut leases, .. } = published(1, 3);
        made.gate().request_notice();
        let last = leases.pop();
        let holders: Vec<_> =
            leases.into_iter().map(|lease| thread::spawn(move || drop(lease))).collect();
        drop(last);
        for holder in holders {
            holder.join().unwrap();
        }
        assert_eq!(sink.n_notices(), 1);
    });
}

#[test]
fn close_against_reopen() {
    loom::model(|| {
        let World { slot, made, .. } = published(1, 0);
        // Only the engine touches this while it holds the gate closed.
        let closed_now = Arc::new(AtomicU64::new(0));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (slot, closed_now) = (Arc::clone(&slot), Arc::clone(&closed_now));
                thread::spawn(move || {
                    let lease = slot.acquire();
                    if lease.is_some() {
                        assert_eq!(closed_now.load(Relaxed), 0, "leased while closed");
                    }
                    lease.is_some()
                })
            })
            .collect();
        if made.gate().try_close() == CloseAnswer::Closed {
            closed_now.store(1, Relaxed);
            assert!(slot.acquire().is_none());
            closed_now.store(0, Relaxed);
            made.gate().reopen();
        }
        let taken: u64 = callers.into_iter().map(|c| u64::from(c.join().unwrap())).sum();
        assert_eq!((made.gate().leases(), made.gate().uses()), (0, taken));
        assert!(slot.acquire().is_some(), "reopened cells give leases");
    });
}

/// The engine parks an incarnation that is not leased, wakes it, and grants a lease to a waiter before it reopens the
/// gate. Loom reports a holder whose work is not ordered before the park or after the wake.
#[test]
fn reopened_after_a_park() {
    loom::model(|| {
        let World { slot, made, leases, .. } = published(1, 1);
        let known = leases[0].known();
        drop(leases);
        let by_slot = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.acquire().iter().map(work).count() as u64)
        };
        let by_known = thread::spawn(move || known.acquire().iter().map(work).count() as u64);
        let mut granted = Vec::new();
        if made.gate().try_close() == CloseAnswer::Closed {
            // The park takes the memory of the instance, the wake returns it.
            made.instance().value.with_mut(|_| ());
            assert!(slot.acquire().is_none(), "leased while it is parked");
            made.instance().value.with_mut(|_| ());
            granted = slot.grant(1);
            made.gate().reopen();
            assert!(slot.acquire().is_some_and(|lease| lease.incarnation().id() == made.id()));
            granted.iter().for_each(work);
        }
        let n_granted = granted.len() as u64;
        drop(granted);
        let taken = by_slot.join().unwrap() + by_known.join().unwrap();
        // One use of the first lease, and one to look whether the gate is open.
        assert_eq!((made.gate().leases(), made.gate().uses()), (0, 1 + 2 * n_granted + taken));
        assert_eq!(done(&made), n_granted + taken);
    });
}

/// A parked incarnation ends by itself: its gate never opens again, and its instance is dropped once.
#[test]
fn end_of_a_parked_incarnation() {
    loom::model(|| {
        let World { slot, made, n_dropped, leases, .. } = published(1, 1);
        let known = leases[0].known();
        drop(leases);
        let caller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                slot.acquire().iter().for_each(work);
                known.acquire().iter().for_each(work);
            })
        };
        if made.gate().try_close() == CloseAnswer::Closed {
            made.instance().value.with_mut(|_| ());
            assert!(slot.acquire().is_none(), "leased while it is parked");
        }
        drop(made);
        drop(slot.clear());
        assert!(slot.acquire().is_none());
        caller.join().unwrap();
        assert_eq!(n_dropped.load(Relaxed), 1);
    });
}

#[test]
fn grants_against_release_and_close() {
    loom::model(|| {
        let World { slot, made, sink, .. } = published(1, 0);
        let caller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                let lease = slot.acquire();
                lease.iter().for_each(work);
                u64::from(lease.is_some())
            })
        };
        // The engine closes to new leases and still grants one to a waiter.
        made.gate().close();
        let granted = slot.grant(1).remove(0);
        let waiter = thread::spawn(move || {
            work(&granted);
            drop(granted);
        });
        close_when_idle(&made, &sink);
        let done = done(&made);
        assert_eq!(done, made.gate().uses(), "closed before all holders had finished");
        waiter.join().unwrap();
        let taken = caller.join().unwrap();
        assert_eq!((done, made.gate().leases()), (1 + taken, 0));
    });
}

#[test]
fn revoke_against_acquire() {
    loom::model(|| {
        let World { slot, made, .. } = published(1, 0);
        let reason = Arc::new(AtomicU64::new(0));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (slot, reason) = (Arc::clone(&slot), Arc::clone(&reason));
                thread::spawn(move || {
                    let lease = slot.acquire();
                    if lease.as_ref().is_some_and(Lease::revoked) {
                        assert_eq!(
                            reason.load(Relaxed),
                            1,
                            "shown before the engine had written why"
                        );
                    }
                    u64::from(lease.is_some())
                })
            })
            .collect();
        reason.store(1, Relaxed);
        made.gate().revoke();
        // No lease is acquired any more, and reopening does not help.
        made.gate().reopen();
        let uses = made.gate().uses();
        assert!(slot.acquire().is_none());
        let taken: u64 = callers.into_iter().map(|c| c.join().unwrap()).sum();
        assert_eq!((made.gate().leases(), made.gate().uses(), taken), (0, uses, uses));
    });
}

#[test]
fn instance_is_dropped_once_after_its_last_use() {
    loom::model(|| {
        let World { slot, made, n_dropped, leases, .. } = published(1, 1);
        let known = leases[0].known();
        drop(made);
        let holder = thread::spawn(move || {
            leases.iter().for_each(work);
            drop(leases);
        });
        let late = thread::spawn(move || {
            // Finds the instance alive or acquires nothing.
            known.acquire().iter().for_each(work);
        });
        drop(slot.clear());
        holder.join().unwrap();
        late.join().unwrap();
        assert_eq!(n_dropped.load(Relaxed), 1);
    });
}

#[test]
fn grant_against_the_end_of_the_leases_keeps_the_instance() {
    loom::model(|| {
        let World { slot, made, n_dropped, leases, .. } = published(1, 1);
        drop(made);
        let granting = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.grant(1).iter().for_each(work))
        };
        let holder = thread::spawn(move || drop(leases));
        drop(slot.clear());
        granting.join().unwrap();
        holder.join().unwrap();
        assert_eq!(n_dropped.load(Relaxed), 1);
    });
}

#[test]
fn release_that_reports_against_the_end_of_the_leases() {
    loom::model(|| {
        let World { slot, made, sink, n_dropped, leases } = published(1, 2);
        made.gate().request_notice();
        drop(made);
        let holders: Vec<_> =
            leases.into_iter().map(|lease| thread::spawn(move || drop(lease))).collect();
        drop(slot.clear());
        for holder in holders {
            holder.join().unwrap();
        }
        assert_eq!((sink.n_notices(), n_dropped.load(Relaxed)), (1, 1));
    });
}

/// A receiver that its gate alone keeps: no notice may reach it after its drop.
struct OwnedSink {
    n_notices: Arc<AtomicU64>,
    n_dropped: Arc<AtomicU64>,
}

impl ReleaseSink for OwnedSink {
    fn notify(&self, _: IncarnationId) {
        assert_eq!(self.n_dropped.load(Relaxed), 0);
        self.n_notices.fetch_add(1, Relaxed);
    }
}

impl Drop for OwnedSink {
    fn drop(&mut self) {
        self.n_dropped.fetch_add(1, Relaxed);
    }
}

#[test]
fn release_that_reports_keeps_its_gate() {
    loom::model(|| {
        let (n_notices, n_dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let sink =
            OwnedSink { n_notices: Arc::clone(&n_notices), n_dropped: Arc::clone(&n_dropped) };
        let (id, tick) = (IncarnationId::default(), Arc::new(Tick::new(1)));
        let slot = Slot::default();
        let made = Incarnation::new(Gate::new(id, false, tick, Arc::new(sink)), ());
        let (leases, _) = slot.install(made, 2);
        slot.current().unwrap().gate().request_notice();
        drop(slot);
        let holders: Vec<_> =
            leases.into_iter().map(|lease| thread::spawn(move || drop(lease))).collect();
        for holder in holders {
            holder.join().unwrap();
        }
        assert_eq!((n_notices.load(Relaxed), n_dropped.load(Relaxed)), (1, 1));
    });
}
