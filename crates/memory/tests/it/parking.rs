//! Parks and wakes in the ledger: no byte is counted twice, none is lost.

use majordomo_core::{ByteSize, ComponentKey};
use majordomo_memory::{Budget, BudgetError, Need, PoolLimit, Reservation};
use proptest::prelude::*;

const KEY: ComponentKey = ComponentKey(0);
const CARD: usize = 1;

fn need(parts: &[(usize, u64)]) -> Need {
    parts.iter().map(|&(pool, bytes)| (pool, ByteSize(bytes))).collect()
}

/// A ledger of 1000 bytes and a card of 500 with one component.
fn loaded(ram: u64, card: u64, swap_room: u64) -> Budget {
    let declared = PoolLimit { budget: Some(ByteSize(500)), declared: true };
    let mut ledger = Budget::new(ByteSize(1000), [PoolLimit::default(), declared]);
    ledger.set_swap_room(ByteSize(swap_room));
    load(&mut ledger, KEY, ram, card, false).unwrap();
    ledger
}

fn load(
    ledger: &mut Budget,
    key: ComponentKey,
    ram: u64,
    card: u64,
    adds: bool,
) -> Result<(), BudgetError> {
    let apart = need(&[(CARD, card)]);
    let member = Reservation { key, pool: 0, bytes: ByteSize(ram), apart, adds };
    ledger.claim(1, &member.need());
    let settled = ledger.settle(1, &[member]);
    ledger.drop_claim(1);
    settled
}

#[test]
fn park_keeps_the_old_booking_and_reserves_swap_until_bytes_are_proven_free() {
    let mut ledger = loaded(400, 0, 300);
    ledger.reserve_park(KEY, &need(&[(0, 40), (Need::SWAP, 300)])).unwrap();
    assert_eq!(ledger.bookings(KEY), need(&[(0, 400), (Need::SWAP, 300)]));
    ledger.hold(KEY, &need(&[(0, 50), (Need::SWAP, 280)]));
    assert_eq!(ledger.bookings(KEY), need(&[(0, 50), (Need::SWAP, 280)]));
    assert_eq!((ledger.booked(), ledger.free()), (ByteSize(50), ByteSize(950)));
    assert_eq!(ledger.audit(), Ok(()));
}

#[test]
fn park_without_room_in_swap_changes_nothing() {
    let mut ledger = loaded(400, 0, 299);
    let held = need(&[(0, 40), (Need::SWAP, 300)]);
    assert!(matches!(ledger.reserve_park(KEY, &held), Err(BudgetError::Short(_))));
    assert_eq!(ledger.bookings(KEY), need(&[(0, 400)]));
    ledger.set_swap_room(ByteSize(300));
    assert_eq!(ledger.reserve_park(KEY, &held), Ok(()));
}

#[test]
fn model_that_leaves_its_card_is_booked_in_both_pools_until_it_is_there() {
    let mut ledger = loaded(100, 400, 0);
    ledger.reserve_park(KEY, &need(&[(0, 450), (CARD, 50)])).unwrap();
    assert_eq!(ledger.bookings(KEY), need(&[(0, 450), (CARD, 400)]));
    ledger.hold(KEY, &need(&[(0, 450), (CARD, 50)]));
    assert_eq!(ledger.bookings(KEY), need(&[(0, 450), (CARD, 50)]));
    load(&mut ledger, ComponentKey(1), 550, 450, false).unwrap();
    assert_eq!(ledger.audit(), Ok(()));
}

#[test]
fn wake_adds_to_the_account_and_leaves_swap_booked_until_it_is_measured() {
    let mut ledger = loaded(400, 0, 300);
    let held = need(&[(0, 50), (Need::SWAP, 280)]);
    ledger.hold(KEY, &held);
    assert_eq!(load(&mut ledger, KEY, 150, 0, false), Err(BudgetError::Booked(KEY)));
    load(&mut ledger, KEY, 150, 0, true).unwrap();
    assert_eq!(ledger.bookings(KEY), need(&[(0, 200), (Need::SWAP, 280)]));
    ledger.measure_swap(KEY, ByteSize(100));
    assert_eq!(ledger.booked_in(Need::SWAP), ByteSize(100));
    assert_eq!(ledger.release(KEY), ByteSize(200));
    assert_eq!((ledger.booked_in(Need::SWAP), ledger.audit()), (ByteSize::ZERO, Ok(())));
    assert_eq!(load(&mut ledger, KEY, 1, 0, true), Err(BudgetError::Booked(KEY)), "no account");
}

#[test]
fn smaller_room_in_swap_is_an_overdraft_of_swap() {
    let mut ledger = loaded(400, 0, 300);
    ledger.hold(KEY, &need(&[(0, 50), (Need::SWAP, 300)]));
    ledger.set_swap_room(ByteSize(200));
    assert!(ledger.is_overdrawn());
    assert_eq!(ledger.excess().pools, [(Need::SWAP, ByteSize(100))]);
    assert_eq!((ledger.excess().total, ledger.overdraft()), (ByteSize::ZERO, ByteSize::ZERO));
}

#[derive(Clone, Debug)]
enum Op {
    Park { ram: u64, swap: u64, card: u64 },
    Hold { ram: u64, swap: u64, card: u64 },
    Wake { ram: u64, card: u64 },
    Measure(u64),
    MeasureSwap(u64),
    Room(u64),
    Reload(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0u64..600;
    prop_oneof![
        (n(), n(), n()).prop_map(|(ram, swap, card)| Op::Park { ram, swap, card }),
        (n(), n(), n()).prop_map(|(ram, swap, card)| Op::Hold { ram, swap, card }),
        (n(), n()).prop_map(|(ram, card)| Op::Wake { ram, card }),
        n().prop_map(Op::Measure),
        n().prop_map(Op::MeasureSwap),
        n().prop_map(Op::Room),
        n().prop_map(Op::Reload),
    ]
}

proptest! {
    #[test]
    fn sums_agree_and_no_admission_overdraws(ops in prop::collection::vec((0u32..3, op()), 1..60)) {
        let mut ledger = loaded(100, 0, 300);
        for (key, op) in ops {
            let key = ComponentKey(key);
            let excess = ledger.excess();
            let lacks = |l: &Budget| {
                let now = l.excess();
                let of = |s: &majordomo_memory::Shortage, pool| {
                    s.pools.iter().find(|p| p.0 == pool).map_or(ByteSize::ZERO, |p| p.1)
                };
                now.total > excess.total
                    || now.pools.iter().any(|(pool, bytes)| *bytes > of(&excess, *pool))
            };
            let held = |ram, swap, card| need(&[(0, ram), (Need::SWAP, swap), (CARD, card)]);
            match op {
                Op::Park { ram, swap, card } => {
                    let before = ledger.bookings(key);
                    let held = held(ram, swap, card);
                    let fits = ledger.reserve_park(key, &held).is_ok();
                    let after = ledger.bookings(key);
                    if !fits {
                        prop_assert_eq!(before, after);
                    } else if before.is_empty() {
                        // Without bytes there may be an account or none; one takes the whole reservation.
                        prop_assert!(after.is_empty() || after == held);
                    } else {
                        for pool in [0, CARD, Need::SWAP] {
                            prop_assert_eq!(after.of(pool), before.of(pool).max(held.of(pool)));
                        }
                    }
                    prop_assert!(!lacks(&ledger));
                }
                Op::Hold { ram, swap, card } => ledger.hold(key, &held(ram, swap, card)),
                Op::Wake { ram, card } => {
                    let before = ledger.bookings(key);
                    if load(&mut ledger, key, ram, card, true).is_ok() {
                        let mut want = before;
                        want.add_all(&need(&[(0, ram), (CARD, card)]));
                        prop_assert_eq!(ledger.bookings(key), want);
                    }
                    prop_assert!(!lacks(&ledger));
                }
                Op::Measure(bytes) => ledger.measure(key, ByteSize(bytes)),
                Op::MeasureSwap(bytes) => ledger.measure_swap(key, ByteSize(bytes)),
                Op::Room(bytes) => ledger.set_swap_room(ByteSize(bytes)),
                Op::Reload(bytes) => {
                    ledger.release(key);
                    drop(load(&mut ledger, key, bytes, 0, false));
                }
            }
            prop_assert_eq!(ledger.audit(), Ok(()));
        }
    }
}
