//! Every interleaving (up to loom's bound of preemptions) of short programs on cell and slot.
//!
//! Instances are relaxed counters, so what a model reads there shows whether the cell's own orderings make
//! holders' work visible to who closes after them; the sink's condition variable makes a lost notice a
//! deadlock, which loom reports.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use majordomo_core::{ComponentKey, IncarnationId, OpId};
use majordomo_lifecycle::{CloseAnswer, Incarnation, Lease, ReleaseSink, Slot, Tick};

type Made = Incarnation<AtomicU64>;

#[derive(Default)]
struct Sink {
    told: Mutex<u32>,
    more: Condvar,
}

impl Sink {
    fn told(&self) -> u32 {
        *self.told.lock().unwrap()
    }

    /// Waits for the next notice and takes it.
    fn wait(&self) {
        let mut told = self.told.lock().unwrap();
        while *told == 0 {
            told = self.more.wait(told).unwrap();
        }
        *told -= 1;
    }
}

impl ReleaseSink for Sink {
    fn notify(&self, _: IncarnationId) {
        *self.told.lock().unwrap() += 1;
        self.more.notify_one();
    }
}

fn made(op: u64, leases: u32, sink: &Arc<Sink>) -> Arc<Made> {
    let (tick, sink) = (Arc::new(Tick::new(1)), Arc::clone(sink));
    let id = IncarnationId { key: ComponentKey(0), op: OpId(op) };
    Arc::new(Incarnation::new(id, AtomicU64::new(0), false, leases, tick, sink))
}

fn published(op: u64, leases: u32) -> (Arc<Slot<AtomicU64>>, Arc<Made>, Arc<Sink>) {
    let sink = Arc::new(Sink::default());
    let made = made(op, leases, &sink);
    let slot = Arc::new(Slot::default());
    slot.install(Arc::clone(&made));
    (slot, made, sink)
}

/// Work under a lease. Not a use in the sense of statistics: that would only add steps to explore.
fn work(lease: &Lease<AtomicU64>) {
    let done = lease.incarnation().instance();
    done.fetch_add(1, Relaxed);
}

#[test]
fn acquire_against_close() {
    loom::model(|| {
        let (slot, made, _) = published(1, 0);
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
        let closed = match made.cell().try_close() {
            CloseAnswer::Closed => {
                // All that had a lease have finished, and their work is seen.
                Some((made.instance().load(Relaxed), made.cell().uses()))
            }
            CloseAnswer::Leased(n) => {
                assert!((1..=2).contains(&n));
                None
            }
        };
        for caller in callers {
            caller.join().unwrap();
        }
        let after = (made.instance().load(Relaxed), made.cell().uses());
        assert_eq!(made.cell().leases(), 0);
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
        let (slot, old, sink) = published(1, 0);
        let new = made(2, 0, &sink);
        let cached = Arc::downgrade(&old);
        let caller = {
            let (slot, new) = (Arc::clone(&slot), Arc::clone(&new));
            thread::spawn(move || {
                let first = slot.acquire();
                // By the cached way, after the slot was asked.
                let second = cached.upgrade().and_then(Incarnation::acquire_owned);
                let op = |l: &Option<Lease<_>>| l.as_ref().map(|l| l.incarnation().id().op.0);
                if op(&first) == Some(2) {
                    assert!(second.is_none(), "the old one was left open beside the new one");
                }
                if op(&first).is_none_or(|op| op == 1) && new.cell().uses() > 0 {
                    panic!("a lease of the old one counts for the new one");
                }
                let taken = (op(&first), op(&second));
                if let Some(l) = &first {
                    work(l);
                }
                drop((first, second));
                taken
            })
        };
        // The crash: holders are told, the slot is cleared; then the reload is published.
        old.cell().revoke();
        slot.clear();
        slot.install(Arc::clone(&new));
        if new.cell().try_close() == CloseAnswer::Closed {
            // Leases of the old one never keep the new one open.
            new.cell().reopen();
        } else {
            assert_eq!(new.cell().leases().max(1), 1);
        }
        let (first, second) = caller.join().unwrap();
        let of = |op| u64::from(first == Some(op)) + u64::from(second == Some(op));
        assert_eq!((old.cell().uses(), new.cell().uses()), (of(1), of(2)));
        assert_eq!((old.cell().leases(), new.cell().leases()), (0, 0));
        assert!(old.cell().is_revoked() && !new.cell().is_revoked());
        assert!(slot.acquire().is_some_and(|l| l.incarnation().id().op == OpId(2)));
    });
}

#[test]
fn replaced_without_a_crash() {
    loom::model(|| {
        let (slot, old, sink) = published(1, 0);
        let cached = Arc::downgrade(&old);
        let new = made(2, 0, &sink);
        let caller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                let first = slot.acquire().map(|l| l.incarnation().id().op.0);
                let second = cached.upgrade().and_then(Incarnation::acquire_owned);
                assert!(first != Some(2) || second.is_none(), "two incarnations were open at once");
            })
        };
        slot.install(new);
        assert!(old.cell().is_closed());
        caller.join().unwrap();
        assert_eq!(old.cell().leases(), 0);
    });
}

/// What the engine does to take a component down when its leases are gone: try, wish, try again, and then
/// only wait. Ends in every interleaving; a lost notice would be a deadlock.
fn close_when_idle(made: &Made, sink: &Sink) -> u32 {
    let mut wishes = 0;
    loop {
        if made.cell().try_close() == CloseAnswer::Closed {
            return wishes;
        }
        made.cell().want();
        wishes += 1;
        if made.cell().try_close() == CloseAnswer::Closed {
            return wishes;
        }
        sink.wait();
    }
}

#[test]
fn last_release_against_want() {
    loom::model(|| {
        let (_slot, made, sink) = published(1, 2);
        let holders: Vec<_> = (0..2)
            .map(|_| {
                let lease = Lease::granted(Arc::clone(&made));
                thread::spawn(move || {
                    work(&lease);
                    drop(lease);
                })
            })
            .collect();
        let wishes = close_when_idle(&made, &sink);
        assert_eq!(made.instance().load(Relaxed), 2, "closed before the holders had finished");
        for holder in holders {
            holder.join().unwrap();
        }
        assert!(sink.told() <= wishes, "more notices than wishes");
    });
}

#[test]
fn one_wish_one_notice() {
    loom::model(|| {
        let (_slot, made, sink) = published(1, 3);
        made.cell().want();
        let mut leases: Vec<_> = (0..3).map(|_| Lease::granted(Arc::clone(&made))).collect();
        let last = leases.pop();
        let holders: Vec<_> =
            leases.into_iter().map(|lease| thread::spawn(move || drop(lease))).collect();
        drop(last);
        for holder in holders {
            holder.join().unwrap();
        }
        assert_eq!(sink.told(), 1);
    });
}

#[test]
fn close_against_reopen() {
    loom::model(|| {
        let (slot, made, _) = published(1, 0);
        // What only the engine touches while it holds the cell closed.
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
        if made.cell().try_close() == CloseAnswer::Closed {
            closed_now.store(1, Relaxed);
            assert!(slot.acquire().is_none());
            closed_now.store(0, Relaxed);
            made.cell().reopen();
        }
        let taken: u64 = callers.into_iter().map(|c| u64::from(c.join().unwrap())).sum();
        assert_eq!((made.cell().leases(), made.cell().uses()), (0, taken));
        assert!(slot.acquire().is_some(), "reopened cells give leases");
    });
}

#[test]
fn grants_against_release_and_close() {
    loom::model(|| {
        let (slot, made, sink) = published(1, 0);
        let caller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                let lease = slot.acquire();
                lease.iter().for_each(work);
                u64::from(lease.is_some())
            })
        };
        // The engine closes to newcomers and still grants to who has waited.
        made.cell().close();
        made.cell().lease_n(1);
        let granted = Lease::granted(Arc::clone(&made));
        let waiter = thread::spawn(move || {
            work(&granted);
            drop(granted);
        });
        close_when_idle(&made, &sink);
        let done = made.instance().load(Relaxed);
        assert_eq!(done, made.cell().uses(), "closed before everybody had finished");
        waiter.join().unwrap();
        let taken = caller.join().unwrap();
        assert_eq!((done, made.cell().leases()), (1 + taken, 0));
    });
}

#[test]
fn revoke_against_acquire() {
    loom::model(|| {
        let (slot, made, _) = published(1, 0);
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
                            "told before the engine had written why"
                        );
                    }
                    u64::from(lease.is_some())
                })
            })
            .collect();
        reason.store(1, Relaxed);
        made.cell().revoke();
        // Nobody comes in any more, and reopening does not help.
        made.cell().reopen();
        let uses = made.cell().uses();
        assert!(slot.acquire().is_none());
        let taken: u64 = callers.into_iter().map(|c| c.join().unwrap()).sum();
        assert_eq!((made.cell().leases(), made.cell().uses(), taken), (0, uses, uses));
    });
}
