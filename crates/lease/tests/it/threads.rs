//! Real threads on one slot, for the sanitizers: loom models neither `arc_swap` nor freed memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use majordomo_core::{ComponentKey, IncarnationId, OpId};
use majordomo_lease::{Gate, Incarnation, ReleaseSink, Slot, Tick};

const N_INCARNATIONS: u64 = 500;

#[derive(Default)]
struct Sink(AtomicU64);

impl ReleaseSink for Sink {
    fn notify(&self, _: IncarnationId) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts its drops; the number is on the heap, so that a read after the drop is one of freed memory.
struct Instance(Box<u64>, Arc<AtomicU64>);

impl Drop for Instance {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn instances_outlive_their_leases_on_any_thread() {
    let (slot, sink) = (Slot::<Instance>::default(), Arc::new(Sink::default()));
    let (n_dropped, done) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    let mut n_requests = 0;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut known = None;
                while done.load(Ordering::Relaxed) == 0 {
                    let lease = slot.acquire();
                    let known_lease =
                        known.as_ref().and_then(majordomo_lease::KnownIncarnation::acquire);
                    for lease in lease.iter().chain(&known_lease) {
                        assert_eq!(*lease.get().0, lease.incarnation().id().op.0);
                    }
                    known = lease.map(|l| l.known()).or(known);
                }
            });
        }
        for op in 0..N_INCARNATIONS {
            let id = IncarnationId { key: ComponentKey(0), op: OpId(op) };
            let gate = Gate::new(id, false, Arc::new(Tick::new(op)), Arc::clone(&sink) as _);
            let instance = Instance(Box::new(op), Arc::clone(&n_dropped));
            let (granted, _) = slot.install(Incarnation::new(gate, instance), 1);
            scope.spawn(move || granted.iter().for_each(|l| assert_eq!(*l.get().0, op)));
            for lease in slot.grant(2) {
                slot.current().unwrap().gate().request_notice();
                n_requests += 1;
                drop(lease);
            }
            if op % 2 == 0 {
                drop(slot.clear());
            }
        }
        drop(slot.clear());
        done.store(1, Ordering::Relaxed);
    });
    assert_eq!(n_dropped.load(Ordering::Relaxed), N_INCARNATIONS);
    assert!((1..=n_requests).contains(&sink.0.load(Ordering::Relaxed)));
}
