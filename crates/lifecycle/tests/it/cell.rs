//! Cell, slot and leases against a model that does everything the naive way, one step at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};

use majordomo_core::{ComponentKey, IncarnationId, OpId};
use majordomo_lifecycle::{CloseAnswer, Incarnation, Lease, LeaseCell, ReleaseSink, Slot, Tick};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Acquire,
    Release,
    LeaseN(u32),
    TryClose,
    Close,
    Reopen,
    Want,
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
        2 => Just(Op::Want),
        1 => Just(Op::Revoke),
    ]
}

#[derive(Debug, Default)]
struct Naive {
    leases: u32,
    uses: u64,
    closed: bool,
    wanted: bool,
    revoked: bool,
}

proptest! {
    #[test]
    fn the_cell_is_five_plain_fields(start in 0..4u32, ops in prop::collection::vec(op(), 0..200)) {
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
                    prop_assert_eq!(cell.release(), std::mem::take(&mut m.wanted));
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
                Op::Want => {
                    cell.want();
                    m.wanted = true;
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

/// What a program does with a slot; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    /// By a `Weak` on any incarnation that there ever was.
    ByWeak(usize),
    Use(usize),
    Drop(usize),
    Want,
    Install(u32),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Acquire),
        3 => any::<usize>().prop_map(Step::ByWeak),
        3 => any::<usize>().prop_map(Step::Use),
        4 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Want),
        1 => (0..3u32).prop_map(Step::Install),
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
    wanted: bool,
    last_use: u64,
}

proptest! {
    #[test]
    fn leases_stay_with_their_incarnation(steps in prop::collection::vec(step(), 0..150)) {
        let (slot, tick, sink) = (Slot::default(), Arc::new(Tick::new(0)), Arc::new(Sink::default()));
        let mut known: Vec<Known> = Vec::new();
        let mut weaks: Vec<Weak<Incarnation<u64>>> = Vec::new();
        let mut leases: Vec<Lease<u64>> = Vec::new();
        let mut current: Option<usize> = None;
        for (now, step) in steps.into_iter().enumerate() {
            tick.set(now as u64 + 1);
            let mut expected = None;
            match step {
                Step::Acquire => {
                    let lease = slot.acquire();
                    prop_assert_eq!(lease.as_ref().map(|l| l.incarnation().id().op.0 as usize), current);
                    if let (Some(lease), Some(c)) = (lease, current) {
                        known[c].leases += 1;
                        known[c].uses += 1;
                        leases.push(lease);
                    }
                }
                Step::ByWeak(i) if !weaks.is_empty() => {
                    let i = i % weaks.len();
                    let lease = weaks[i].upgrade().and_then(Incarnation::acquire_owned);
                    prop_assert_eq!(lease.is_some(), current == Some(i));
                    if let Some(lease) = lease {
                        known[i].leases += 1;
                        known[i].uses += 1;
                        leases.push(lease);
                    }
                }
                Step::Use(i) if !leases.is_empty() => {
                    let lease = &leases[i % leases.len()];
                    prop_assert_eq!(*lease.get(), lease.incarnation().id().op.0);
                    prop_assert!(lease.was_used());
                }
                Step::Drop(i) if !leases.is_empty() => {
                    let lease = leases.swap_remove(i % leases.len());
                    let k = &mut known[lease.incarnation().id().op.0 as usize];
                    k.leases -= 1;
                    if lease.was_used() {
                        k.last_use = tick.get();
                    }
                    expected = std::mem::take(&mut k.wanted).then(|| lease.incarnation().id().op);
                    let after = Arc::clone(lease.incarnation());
                    drop(lease);
                    prop_assert_eq!(after.last_use(), k.last_use);
                }
                Step::Want => if let Some(c) = current {
                    slot.current().unwrap().cell().want();
                    known[c].wanted = true;
                },
                Step::Install(n) => {
                    let id = IncarnationId { key: ComponentKey(7), op: OpId(known.len() as u64) };
                    let (tick, sink) = (Arc::clone(&tick), Arc::clone(&sink));
                    let made = Arc::new(Incarnation::new(id, id.op.0, false, n, tick, sink));
                    weaks.push(Arc::downgrade(&made));
                    leases.extend((0..n).map(|_| Lease::granted(Arc::clone(&made))));
                    let old = slot.install(made);
                    prop_assert_eq!(old.map(|o| o.id().op.0 as usize), current);
                    known.push(Known { leases: n, uses: n.into(), ..Known::default() });
                    current = Some(known.len() - 1);
                }
                Step::Clear => {
                    let old = slot.clear();
                    prop_assert!(old.as_ref().is_none_or(|o| o.cell().is_closed()));
                    prop_assert_eq!(old.map(|o| o.id().op.0 as usize), current.take());
                }
                _ => {}
            }
            prop_assert_eq!(sink.0.lock().unwrap().pop_front(), expected);
            for (i, (weak, k)) in weaks.iter().zip(&known).enumerate() {
                let alive = weak.upgrade();
                // Its holders and its slot keep it, nothing else does.
                prop_assert_eq!(alive.is_some(), k.leases > 0 || current == Some(i));
                if let Some(alive) = alive {
                    prop_assert_eq!((alive.cell().leases(), alive.cell().uses()), (k.leases, k.uses));
                }
            }
        }
    }

    /// An incarnation whose leases are limited gives none by the fast path.
    #[test]
    fn limited_incarnations_leave_leases_to_the_engine(granted in 0..5u32) {
        let (tick, sink) = (Arc::default(), Arc::new(Sink::default()));
        let id = IncarnationId::default();
        let made = Arc::new(Incarnation::new(id, (), true, granted, tick, sink));
        let slot = Slot::default();
        slot.install(Arc::clone(&made));
        prop_assert!(slot.acquire().is_none() && made.clone().acquire_owned().is_none());
        prop_assert_eq!((made.cell().leases(), made.cell().is_closed()), (granted, false));
    }
}
