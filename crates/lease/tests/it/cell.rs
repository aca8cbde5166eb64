//! Cell, slot and leases against a model that does everything the naive way, one step at a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};

use majordomo_core::{ComponentKey, IncarnationId, OpId};
use majordomo_lease::{
    CloseAnswer, Gate, Incarnation, KnownIncarnation, Lease, LeaseCell, ReleaseSink, Slot, Tick,
};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire,
    Release,
    LeaseN(u32),
    TryClose,
    Close,
    Reopen,
    RequestNotice,
    Revoke,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Acquire),
        4 => Just(Op::Release),
        1 => (0..5u32).prop_map(Op::LeaseN),
        2 => Just(Op::TryClose),
        1 => Just(Op::Close),
        2 => Just(Op::Reopen),
        2 => Just(Op::RequestNotice),
        1 => Just(Op::Revoke),
    ]
}

#[derive(Debug, Default)]
struct Naive {
    leases: u32,
    uses: u64,
    closed: bool,
    awaited: bool,
    revoked: bool,
}

proptest! {
    #[test]
    fn cell_equals_five_plain_fields(start in 0..4u32, ops in prop::collection::vec(op(), 0..200)) {
        let cell = LeaseCell::new(start);
        let mut m = Naive { leases: start, uses: start.into(), ..Naive::default() };
        for op in ops {
            match op {
                Op::Acquire => {
                    let may = !m.closed && !m.revoked;
                    prop_assert_eq!(cell.try_acquire(), may);
                    m.leases += u32::from(may);
                    m.uses += u64::from(may);
                }
                Op::Release if m.leases == 0 => {}
                Op::Release => {
                    prop_assert_eq!(cell.release(), std::mem::take(&mut m.awaited));
                    m.leases -= 1;
                }
                Op::LeaseN(n) => {
                    cell.lease_n(n);
                    m.leases += n;
                    m.uses += u64::from(n);
                }
                Op::TryClose if m.leases > 0 => {
                    prop_assert_eq!(cell.try_close(), CloseAnswer::Leased(m.leases));
                }
                Op::TryClose => {
                    prop_assert_eq!(cell.try_close(), CloseAnswer::Closed);
                    m.closed = true;
                }
                Op::Close => {
                    cell.close();
                    m.closed = true;
                }
                Op::Reopen => {
                    cell.reopen();
                    m.closed = false;
                }
                Op::RequestNotice => {
                    cell.request_notice();
                    m.awaited = true;
                }
                Op::Revoke => {
                    cell.revoke();
                    (m.closed, m.revoked) = (true, true);
                }
            }
            prop_assert_eq!(
                (cell.leases(), cell.uses(), cell.is_closed(), cell.is_revoked()),
                (m.leases, m.uses, m.closed || m.revoked, m.revoked)
            );
        }
    }
}

/// A step of a program on a slot; numbers choose among the leases or incarnations that exist.
#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    /// By the known way to any incarnation that ever was.
    ByKnown(usize),
    Use(usize),
    Drop(usize),
    RequestNotice,
    Install(u32),
    /// Leases that the engine grants, even on a closed gate.
    Grant(u32),
    Close,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Acquire),
        3 => any::<usize>().prop_map(Step::ByKnown),
        3 => any::<usize>().prop_map(Step::Use),
        4 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::RequestNotice),
        1 => (0..3u32).prop_map(Step::Install),
        1 => (0..3u32).prop_map(Step::Grant),
        1 => Just(Step::Close),
        1 => Just(Step::Clear),
    ]
}

#[derive(Default)]
struct Sink(Mutex<VecDeque<OpId>>);

impl ReleaseSink for Sink {
    fn notify(&self, id: IncarnationId) {
        self.0.lock().expect("no test panics in here").push_back(id.op);
    }
}

/// An incarnation as the naive model knows it.
#[derive(Debug, Default)]
struct Known {
    leases: u32,
    uses: u64,
    awaited: bool,
    closed: bool,
    last_use: u64,
}

proptest! {
    #[test]
    fn leases_count_for_and_keep_their_own_incarnation(steps in prop::collection::vec(step(), 0..150)) {
        let (slot, tick, sink) = (Slot::default(), Arc::new(Tick::new(0)), Arc::new(Sink::default()));
        let mut known: Vec<Known> = Vec::new();
        // Each instance is an `Arc`, whose `Weak` shows whether it lives.
        let mut weaks: Vec<Weak<u64>> = Vec::new();
        let mut ways: Vec<Option<KnownIncarnation<Arc<u64>>>> = Vec::new();
        let mut leases: Vec<Lease<Arc<u64>>> = Vec::new();
        let mut current: Option<usize> = None;
        for (now, step) in steps.into_iter().enumerate() {
            tick.set(now as u64 + 1);
            let mut expected = None;
            match step {
                Step::Acquire => {
                    let lease = slot.acquire();
                    let open = current.filter(|c| !known[*c].closed);
                    prop_assert_eq!(lease.as_ref().map(|l| l.incarnation().id().op.0 as usize), open);
                    if let (Some(lease), Some(c)) = (lease, open) {
                        ways[c] = Some(lease.known());
                        known[c].leases += 1;
                        known[c].uses += 1;
                        leases.push(lease);
                    }
                }
                Step::ByKnown(i) if !weaks.is_empty() => {
                    let i = i % weaks.len();
                    let Some(way) = &ways[i] else { continue };
                    let lease = way.acquire();
                    prop_assert_eq!(lease.is_some(), current == Some(i) && !known[i].closed);
                    if let Some(lease) = lease {
                        known[i].leases += 1;
                        known[i].uses += 1;
                        leases.push(lease);
                    }
                }
                Step::Use(i) if !leases.is_empty() => {
                    let lease = &leases[i % leases.len()];
                    prop_assert_eq!(**lease.get(), lease.incarnation().id().op.0);
                    prop_assert!(lease.was_used());
                }
                Step::Drop(i) if !leases.is_empty() => {
                    let lease = leases.swap_remove(i % leases.len());
                    let k = &mut known[lease.incarnation().id().op.0 as usize];
                    k.leases -= 1;
                    if lease.was_used() {
                        k.last_use = tick.get();
                    }
                    expected = std::mem::take(&mut k.awaited).then(|| lease.incarnation().id().op);
                    let op = lease.incarnation().id().op.0 as usize;
                    drop(lease);
                    if let Some(c) = slot.current().filter(|c| c.id().op.0 as usize == op) {
                        prop_assert_eq!(c.gate().last_use(), known[op].last_use);
                    }
                }
                Step::RequestNotice => if let Some(c) = current {
                    slot.current().unwrap().gate().request_notice();
                    known[c].awaited = true;
                },
                Step::Install(n) => {
                    let op = OpId(known.len() as u64);
                    let id = IncarnationId { key: ComponentKey(7), op };
                    let (tick, sink) = (Arc::clone(&tick), Arc::clone(&sink));
                    let instance = Arc::new(op.0);
                    weaks.push(Arc::downgrade(&instance));
                    let gate = Gate::new(id, false, tick, sink);
                    let (granted, old) = slot.install(Incarnation::new(gate, instance), n);
                    ways.push(granted.first().map(Lease::known));
                    leases.extend(granted);
                    prop_assert_eq!(old.map(|o| o.id().op.0 as usize), current);
                    known.push(Known { leases: n, uses: n.into(), ..Known::default() });
                    current = Some(known.len() - 1);
                }
                Step::Grant(n) => {
                    let granted = slot.grant(n);
                    prop_assert_eq!(granted.len(), if current.is_some() { n as usize } else { 0 });
                    if let Some(c) = current {
                        known[c].leases += n;
                        known[c].uses += u64::from(n);
                    }
                    leases.extend(granted);
                }
                Step::Close => if let Some(c) = current {
                    slot.current().unwrap().gate().close();
                    known[c].closed = true;
                },
                Step::Clear => {
                    let old = slot.clear();
                    prop_assert!(old.as_ref().is_none_or(|o| o.gate().is_closed()));
                    if let Some(old) = &old {
                        old.gate().reopen();
                        prop_assert!(old.gate().is_closed(), "an incarnation out of its slot stays closed");
                    }
                    prop_assert_eq!(old.map(|o| o.id().op.0 as usize), current.take());
                }
                _ => {}
            }
            prop_assert_eq!(sink.0.lock().unwrap().pop_front(), expected);
            for (i, (weak, k)) in weaks.iter().zip(&known).enumerate() {
                // Its holders and its slot keep it, nothing else does.
                prop_assert_eq!(weak.strong_count(), usize::from(k.leases > 0 || current == Some(i)));
            }
            if let (Some(c), Some(alive)) = (current, slot.current()) {
                let k = &known[c];
                prop_assert_eq!((alive.gate().leases(), alive.gate().uses()), (k.leases, k.uses));
            }
        }
    }

    /// Callers acquire no lease by themselves where leases are limited.
    #[test]
    fn limited_incarnations_leave_leases_to_the_engine(granted in 0..5u32) {
        let (tick, sink) = (Arc::default(), Arc::new(Sink::default()));
        let gate = Gate::new(IncarnationId::default(), true, tick, sink);
        let slot = Slot::default();
        let (leases, _) = slot.install(Incarnation::new(gate, ()), granted);
        prop_assert!(slot.acquire().is_none());
        prop_assert!(leases.first().is_none_or(|lease| lease.known().acquire().is_none()));
        let current = slot.current().unwrap();
        prop_assert_eq!((current.gate().leases(), current.gate().is_closed()), (granted, false));
    }
}

#[test]
fn instance_is_dropped_by_its_last_holder_when_the_slot_is_gone() {
    let (tick, sink) = (Arc::default(), Arc::new(Sink::default()));
    let instance = Arc::new(());
    let alive = Arc::downgrade(&instance);
    let slot = Slot::default();
    let gate = Gate::new(IncarnationId::default(), false, tick, sink);
    let (mut leases, _) = slot.install(Incarnation::new(gate, instance), 2);
    let way = leases[0].known();
    drop(slot);
    drop(leases.pop());
    assert_eq!((alive.strong_count(), way.acquire().is_none()), (1, true));
    drop(leases);
    assert_eq!((alive.strong_count(), way.acquire().is_none()), (0, true));
}

#[test]
fn incarnation_is_installed_once() {
    let slot = Slot::default();
    let gate =
        Gate::new(IncarnationId::default(), false, Arc::default(), Arc::new(Sink::default()));
    slot.install(Incarnation::new(gate, ()), 0);
    let retired = Arc::into_inner(slot.clear().unwrap()).expect("nothing else keeps it");
    assert!(catch_unwind(AssertUnwindSafe(|| slot.install(retired, 1))).is_err());
    assert!(slot.current().is_none());
}

#[test]
fn receiver_of_notices_that_panics_keeps_no_instance_alive() {
    struct Panics;
    impl ReleaseSink for Panics {
        fn notify(&self, _: IncarnationId) {
            panic!("the receiver is broken");
        }
    }
    let (slot, instance) = (Slot::default(), Arc::new(()));
    let alive = Arc::downgrade(&instance);
    let gate = Gate::new(IncarnationId::default(), false, Arc::default(), Arc::new(Panics));
    let (leases, _) = slot.install(Incarnation::new(gate, instance), 1);
    slot.current().unwrap().gate().request_notice();
    drop(slot.clear());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(leases))).is_err());
    assert_eq!(alive.strong_count(), 0);
}

#[test]
fn lease_is_one_word() {
    assert_eq!(size_of::<Lease<String>>(), size_of::<usize>());
}
