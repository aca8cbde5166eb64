//! The ledger against a naive model that adds everything up again after each operation.

use std::collections::BTreeMap;

use majordomo_core::{ByteSize, ComponentKey};
use majordomo_memory::{Budget, BudgetError, Need, PoolLimit, Reservation};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

const KEYS: u32 = 24;
const CLAIMANTS: u64 = 6;
const POOLS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Account {
    pool: usize,
    reserved: u64,
    granted: u64,
    grown: bool,
    overload: u64,
    measured: Option<u64>,
    /// Declared bytes of pools besides its own.
    apart: [u64; POOLS],
}

impl Account {
    fn new(pool: usize, reserved: u64, apart: [u64; POOLS]) -> Self {
        Self { pool, reserved, granted: reserved, grown: false, overload: 0, measured: None, apart }
    }

    fn booked_in(&self, pool: usize) -> u64 {
        self.apart[pool] + if self.pool == pool { self.booked() } else { 0 }
    }

    fn booked(&self) -> u64 {
        (self.reserved + self.overload).max(self.measured.unwrap_or(0))
    }
}

/// Accounts and claims as plain maps; every question is answered by adding up.
#[derive(Clone, Debug)]
struct Model {
    total: u64,
    limits: Vec<PoolLimit>,
    accounts: BTreeMap<u32, Account>,
    /// claimant → bytes by pool
    claims: BTreeMap<u64, [u64; POOLS]>,
    external: u64,
    unreturned: u64,
}

impl Model {
    fn booked_in(&self, pool: usize) -> i128 {
        self.accounts.values().map(|a| i128::from(a.booked_in(pool))).sum()
    }

    fn claimed_in(&self, pool: usize) -> i128 {
        self.claims.values().map(|c| i128::from(c[pool])).sum()
    }

    fn over(&self, each: impl Fn(usize) -> i128) -> i128 {
        (0..POOLS).filter(|&p| !self.limits[p].declared).map(each).sum()
    }

    fn free(&self) -> i128 {
        i128::from(self.total)
            - self.over(|p| self.booked_in(p) + self.claimed_in(p))
            - i128::from(self.external)
            - i128::from(self.unreturned)
    }

    fn free_in(&self, pool: usize) -> i128 {
        self.limits[pool]
            .budget
            .map_or(i128::MAX, |b| i128::from(b.0) - self.booked_in(pool) - self.claimed_in(pool))
    }

    fn fits(&self, pool: usize, bytes: u64) -> bool {
        bytes == 0
            || (i128::from(bytes) <= self.free_in(pool)
                && (self.limits[pool].declared || i128::from(bytes) <= self.free()))
    }
}

#[derive(Clone, Debug)]
enum Op {
    Reserve { key: u32, pool: usize, bytes: u64 },
    Measure { key: u32, bytes: u64 },
    Extend { key: u32, bytes: u64 },
    Overload { key: u32, bytes: u64 },
    Keep { key: u32, bytes: u64 },
    Shrink { key: u32, need: u64 },
    Release { key: u32 },
    Claim { claimant: u64, wants: [u64; POOLS] },
    Drop { claimant: u64 },
    Apart { key: u32, apart: [u64; POOLS] },
    Settle { claimant: u64, members: Vec<Member> },
    Limits { total: u64, limits: Vec<PoolLimit> },
    Taken { external: u64, unreturned: u64 },
}

/// Component, own pool and its bytes, declared bytes of other pools.
type Member = (u32, usize, u64, [u64; POOLS]);

fn need(bytes: [u64; POOLS]) -> Need {
    bytes.into_iter().map(ByteSize).enumerate().collect()
}

struct Pair {
    ledger: Budget,
    model: Model,
}

impl Pair {
    fn new() -> Self {
        let limits = vec![PoolLimit::default(); POOLS];
        Self {
            ledger: Budget::new(ByteSize(1000), limits.clone()),
            model: Model {
                total: 1000,
                limits,
                accounts: BTreeMap::new(),
                claims: BTreeMap::new(),
                external: 0,
                unreturned: 0,
            },
        }
    }

    /// Does the operation to both and compares what they answer.
    fn apply(&mut self, op: &Op) {
        match op {
            &Op::Reserve { key, pool, bytes } => self.reserve(key, pool, bytes),
            &Op::Measure { key, bytes } => {
                self.ledger.measure(ComponentKey(key), ByteSize(bytes));
                if let Some(a) = self.model.accounts.get_mut(&key) {
                    a.measured = Some(bytes);
                }
            }
            &Op::Extend { key, bytes } => self.extend(key, bytes),
            &Op::Overload { key, bytes } => {
                self.ledger.set_overload(ComponentKey(key), ByteSize(bytes));
                if let Some(a) = self.model.accounts.get_mut(&key) {
                    a.overload = bytes;
                }
            }
            &Op::Keep { key, bytes } => self.keep(key, bytes),
            &Op::Shrink { key, need } => self.shrink(key, need),
            &Op::Release { key } => {
                let want = self.model.accounts.remove(&key);
                let want = want.map_or(0, |a| a.booked());
                assert_eq!(self.ledger.release(ComponentKey(key)), ByteSize(want), "{op:?}");
            }
            &Op::Claim { claimant, wants } => self.claim(claimant, wants),
            &Op::Drop { claimant } => {
                self.ledger.drop_claim(claimant);
                self.model.claims.remove(&claimant);
            }
            &Op::Apart { key, apart } => {
                self.ledger.declare_apart(ComponentKey(key), need(apart));
                if let Some(a) = self.model.accounts.get_mut(&key) {
                    a.apart = apart;
                }
            }
            Op::Settle { claimant, members } => self.settle(*claimant, members),
            Op::Limits { total, limits } => {
                self.ledger.set_limits(ByteSize(*total), limits.iter().copied());
                (self.model.total, self.model.limits) = (*total, limits.clone());
            }
            &Op::Taken { external, unreturned } => {
                self.ledger.set_taken(ByteSize(external), ByteSize(unreturned));
                (self.model.external, self.model.unreturned) = (external, unreturned);
            }
        }
    }

    fn reserve(&mut self, key: u32, pool: usize, bytes: u64) {
        let got = self.ledger.reserve(ComponentKey(key), pool, ByteSize(bytes));
        match got {
            Ok(()) => {
                assert!(self.model.fits(pool, bytes) && !self.model.accounts.contains_key(&key));
                self.model.accounts.insert(key, Account::new(pool, bytes, [0; POOLS]));
            }
            Err(BudgetError::Short(short)) => {
                assert!(!self.model.fits(pool, bytes));
                let mut room = self.clone_ledger_with(short.total, &short.pools);
                room.release(ComponentKey(key));
                assert_eq!(room.reserve(ComponentKey(key), pool, ByteSize(bytes)), Ok(()));
            }
            Err(BudgetError::Booked(_)) => assert!(self.model.accounts.contains_key(&key)),
            Err(other) => panic!("{other}"),
        }
    }

    fn extend(&mut self, key: u32, bytes: u64) {
        let Some(old) = self.model.accounts.get(&key).copied() else { return };
        let granted = old.granted + bytes;
        let new = Account { granted, reserved: old.reserved.max(granted), grown: true, ..old };
        let fits = self.model.fits(old.pool, new.booked() - old.booked());
        let got = self.ledger.extend(ComponentKey(key), ByteSize(bytes));
        assert_eq!(got.ok(), fits.then_some(ByteSize(granted)));
        if fits {
            self.model.accounts.insert(key, new);
        }
    }

    /// Gives back at once; takes more only out of what is free, or booked for it already.
    fn keep(&mut self, key: u32, bytes: u64) {
        let before = self.ledger.excess();
        self.ledger.keep(ComponentKey(key), ByteSize(bytes));
        let Some(a) = self.model.accounts.get_mut(&key) else { return };
        let target = bytes.max(if a.grown { a.granted } else { 0 });
        let was = std::mem::replace(&mut a.reserved, self.ledger.reserved_for(ComponentKey(key)).0);
        a.overload = 0;
        let (now, pool) = (a.reserved, a.pool);
        if target <= was {
            assert_eq!(now, target);
        } else {
            assert!(was <= now && now <= target, "{was} {now} {target}");
            let declared = self.model.limits[pool].declared;
            let no_room = self.model.free_in(pool) <= 0 || (!declared && self.model.free() <= 0);
            assert!(now == target || no_room, "{now} of {target} are kept");
        }
        let after = self.ledger.excess();
        assert!(after.total <= before.total, "{before:?} {after:?}");
        for (p, more) in after.pools {
            assert!(before.pools.iter().any(|b| b.0 == p && b.1 >= more), "pool {p}");
        }
    }

    /// Gives back only of what covers the need in part and is not in use, and only what is overdrawn.
    fn shrink(&mut self, key: u32, need: u64) {
        let overdrawn =
            self.ledger.overdraft().0.max(
                self.model.accounts.get(&key).map_or(0, |a| self.ledger.pool_overdraft(a.pool).0),
            );
        self.ledger.shrink_partial(ComponentKey(key), ByteSize(need));
        let Some(a) = self.model.accounts.get_mut(&key) else { return };
        let was = std::mem::replace(&mut a.reserved, self.ledger.reserved_for(ComponentKey(key)).0);
        let (now, measured) = (a.reserved, a.measured.unwrap_or(was));
        let own = if a.grown { a.granted } else { 0 };
        assert!(now <= was && was - now <= overdrawn, "{was} {now} of {overdrawn} overdrawn");
        assert!(now == was || (was < need && now >= measured.max(own)), "{was} {now} {measured}");
        if !self.ledger.limit_of(a.pool).declared && self.ledger.overdraft() > ByteSize::ZERO {
            assert!(now == was.min(measured.max(own)) || was >= need, "{was} {now} {measured}");
        }
    }

    /// The ledger with so much more room: what a shortage asks for.
    fn clone_ledger_with(&self, total: ByteSize, pools: &[(usize, ByteSize)]) -> Budget {
        let mut ledger = self.ledger.clone();
        let limits = (0..POOLS).map(|p| {
            let mut limit = self.model.limits[p];
            let more = pools.iter().find(|e| e.0 == p).map_or(ByteSize::ZERO, |e| e.1);
            limit.budget = limit.budget.map(|b| b + more);
            limit
        });
        ledger.set_limits(ByteSize(self.model.total) + total, limits);
        ledger
    }

    fn claim(&mut self, claimant: u64, wants: [u64; POOLS]) {
        let need = need(wants);
        let complete = self.ledger.claim(claimant, &need);
        let mut want_complete = true;
        for (pool, want) in wants.into_iter().enumerate() {
            let held = self.model.claims.get(&claimant).map_or(0, |c| c[pool]);
            let mut room = self.model.free_in(pool).max(0);
            if !self.model.limits[pool].declared {
                room = room.min(self.model.free().max(0));
            }
            let lacks = want.saturating_sub(held);
            let take = u64::try_from(room).unwrap_or(u64::MAX).min(lacks);
            want_complete &= take == lacks;
            self.model.claims.entry(claimant).or_default()[pool] += take;
        }
        assert_eq!(complete, want_complete);
        assert_eq!(complete, self.ledger.shortage(&need, Some(claimant)).is_none());
    }

    fn settle(&mut self, claimant: u64, members: &[Member]) {
        let typed: Vec<_> = members
            .iter()
            .map(|&(key, pool, bytes, apart)| Reservation {
                key: ComponentKey(key),
                pool,
                bytes: ByteSize(bytes),
                apart: need(apart),
                adds: false,
            })
            .collect();
        let held = self.model.claims.get(&claimant).copied().unwrap_or_default();
        let need_in = |p: usize| -> u64 {
            members.iter().map(|m| m.3[p] + if m.1 == p { m.2 } else { 0 }).sum()
        };
        let covered = (0..POOLS).all(|p| need_in(p) <= held[p]);
        let mut keys: Vec<_> = members.iter().map(|m| m.0).collect();
        keys.sort_unstable();
        keys.dedup();
        let fresh = keys.len() == members.len()
            && members.iter().all(|m| !self.model.accounts.contains_key(&m.0));
        let got = self.ledger.settle(claimant, &typed);
        assert_eq!(got.is_ok(), covered && fresh, "{got:?}");
        if got.is_ok() {
            self.model.claims.remove(&claimant);
            self.model.accounts.extend(members.iter().map(|m| (m.0, Account::new(m.1, m.2, m.3))));
        }
    }

    fn compare(&self, op: &Op) {
        let (l, m) = (&self.ledger, &self.model);
        l.audit().unwrap_or_else(|e| panic!("{e} after {op:?}"));
        assert_eq!(i128::from(l.booked().0), m.over(|p| m.booked_in(p)), "booked after {op:?}");
        assert_eq!(i128::from(l.claimed().0), m.over(|p| m.claimed_in(p)), "claimed after {op:?}");
        assert_eq!(i128::from(l.free().0), m.free().max(0), "free after {op:?}");
        assert_eq!(i128::from(l.overdraft().0), (-m.free()).max(0), "overdraft after {op:?}");
        for p in 0..POOLS {
            assert_eq!(i128::from(l.booked_in(p).0), m.booked_in(p), "pool {p} after {op:?}");
            assert_eq!(i128::from(l.pool_overdraft(p).0), (-m.free_in(p)).max(0));
        }
        let kinds = l.overdraft_by_kind();
        let sum = kinds.growth + kinds.load + kinds.config + kinds.external + kinds.unreturned;
        assert_eq!(sum, l.overdraft(), "kinds of {kinds:?} after {op:?}");
        let of_loads = |p: usize| -> i128 {
            let accounts = m.accounts.values().filter(|a| a.pool == p);
            accounts.map(|a| i128::from(a.booked() - a.reserved.max(a.measured.unwrap_or(0)))).sum()
        };
        let excess = l.excess();
        let total = (-m.free() - m.over(of_loads)).max(0);
        assert_eq!(i128::from(excess.total.0), total, "excess after {op:?}");
        for p in 0..POOLS {
            let want = (-m.free_in(p)).saturating_sub(of_loads(p)).max(0);
            let got = excess.pools.iter().find(|e| e.0 == p).map_or(0, |e| e.1.0);
            assert_eq!(i128::from(got), want, "excess of pool {p} after {op:?}");
        }
    }
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0u64), 1u64..400, 1u64..50]
}

fn limits() -> impl Strategy<Value = Vec<PoolLimit>> {
    let one = (prop::option::of(0u64..800), prop::bool::weighted(0.25))
        .prop_map(|(b, declared)| PoolLimit { budget: b.map(ByteSize), declared });
    prop::collection::vec(one, POOLS)
}

fn ops() -> impl Strategy<Value = Op> {
    let key = 0..KEYS;
    let member = (0..KEYS, 0..POOLS, sizes(), prop::array::uniform4(sizes()));
    prop_oneof![
        4 => (key.clone(), 0..POOLS, sizes())
            .prop_map(|(key, pool, bytes)| Op::Reserve { key, pool, bytes }),
        4 => (key.clone(), sizes()).prop_map(|(key, bytes)| Op::Measure { key, bytes }),
        2 => (key.clone(), sizes()).prop_map(|(key, bytes)| Op::Extend { key, bytes }),
        2 => (key.clone(), sizes()).prop_map(|(key, bytes)| Op::Overload { key, bytes }),
        3 => (key.clone(), sizes()).prop_map(|(key, bytes)| Op::Keep { key, bytes }),
        2 => (key.clone(), sizes()).prop_map(|(key, need)| Op::Shrink { key, need }),
        3 => key.prop_map(|key| Op::Release { key }),
        3 => (0..CLAIMANTS, prop::array::uniform4(sizes()))
            .prop_map(|(claimant, wants)| Op::Claim { claimant, wants }),
        1 => (0..KEYS, prop::array::uniform4(sizes()))
            .prop_map(|(key, apart)| Op::Apart { key, apart }),
        1 => (0..CLAIMANTS).prop_map(|claimant| Op::Drop { claimant }),
        3 => (0..CLAIMANTS, prop::collection::vec(member, 0..4))
            .prop_map(|(claimant, members)| Op::Settle { claimant, members }),
        1 => (200u64..2000, limits()).prop_map(|(total, limits)| Op::Limits { total, limits }),
        1 => (sizes(), sizes())
            .prop_map(|(external, unreturned)| Op::Taken { external, unreturned }),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_naive_model(ops in prop::collection::vec(ops(), 1..150)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.apply(op);
            pair.compare(op);
        }
    }
}

/// 10^6 operations on one ledger, so that a byte lost seldom is found too.
#[test]
fn a_million_operations_conserve_bytes() {
    let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &[7; 16]);
    let mut below = |n: u64| u64::from(rng.next_u32()) % n;
    let mut pair = Pair::new();
    for i in 0..1_000_000u32 {
        let key = below(u64::from(KEYS)) as u32;
        let pool = below(POOLS as u64) as usize;
        let claimant = below(CLAIMANTS);
        let op = match below(25) {
            0..4 => Op::Reserve { key, pool, bytes: below(120) },
            4..9 => Op::Measure { key, bytes: below(160) },
            9..12 => Op::Release { key },
            12..15 => Op::Claim { claimant, wants: std::array::from_fn(|_| below(3) * below(60)) },
            15 => Op::Drop { claimant },
            16..19 => Op::Settle {
                claimant,
                members: vec![(
                    key,
                    pool,
                    below(40),
                    std::array::from_fn(|_| below(2) * below(20)),
                )],
            },
            19 => Op::Keep { key, bytes: below(160) },
            20 => Op::Shrink { key, need: below(160) },
            21 => Op::Extend { key, bytes: below(40) },
            23 => Op::Apart { key, apart: std::array::from_fn(|_| below(2) * below(30)) },
            22 => Op::Overload { key, bytes: below(200) },
            _ if below(8) == 0 => Op::Limits {
                total: 300 + below(1500),
                limits: (0..POOLS)
                    .map(|_| PoolLimit {
                        budget: (below(2) == 0).then(|| ByteSize(below(700))),
                        declared: below(4) == 0,
                    })
                    .collect(),
            },
            _ => Op::Taken { external: below(80), unreturned: below(80) },
        };
        pair.apply(&op);
        // Every answer is compared with the model's; the sums, which keep any error, now and then.
        if i % 64 == 0 {
            pair.compare(&op);
        }
    }
    // The rest is released at once.
    for key in 0..KEYS {
        pair.apply(&Op::Release { key });
    }
    for claimant in 0..CLAIMANTS {
        pair.apply(&Op::Drop { claimant });
    }
    assert_eq!((pair.ledger.booked(), pair.ledger.claimed()), (ByteSize::ZERO, ByteSize::ZERO));
}

#[test]
fn absurd_figures_do_not_overflow() {
    let mut ledger = Budget::new(ByteSize::gib(1), []);
    for key in 0..4 {
        ledger.reserve(ComponentKey(key), 0, ByteSize(1)).unwrap();
    }
    for key in 0..4 {
        ledger.measure(ComponentKey(key), ByteSize(u64::MAX));
    }
    assert_eq!(ledger.booked(), ByteSize(u64::MAX));
    ledger.audit().unwrap();
    assert!(ledger.is_overdrawn());
    for key in 0..4 {
        ledger.release(ComponentKey(key));
    }
    assert_eq!(ledger.free(), ByteSize::gib(1));
}

#[test]
fn a_settlement_that_names_a_component_twice_changes_nothing() {
    let mut ledger = Budget::new(ByteSize(100), []);
    let mut need = Need::new();
    need.add(0, ByteSize(20));
    assert!(ledger.claim(1, &need));
    let (key, apart) = (ComponentKey(3), Need::new());
    let member = Reservation { key, pool: 0, bytes: ByteSize(5), apart, adds: false };
    assert_eq!(
        ledger.settle(1, &[member.clone(), member]),
        Err(BudgetError::Booked(ComponentKey(3)))
    );
    assert_eq!((ledger.booked(), ledger.claimed()), (ByteSize::ZERO, ByteSize(20)));
}

#[test]
fn what_is_coming_counts_for_the_total_whatever_its_pool() {
    let bounded = PoolLimit { budget: Some(ByteSize(500)), declared: false };
    let apart = PoolLimit { budget: None, declared: true };
    let budget = Budget::new(ByteSize(1000), [PoolLimit::default(), bounded, apart]);
    let need = |parts: [u64; 3]| {
        let mut need = Need::new();
        for (pool, bytes) in parts.into_iter().enumerate() {
            need.add(pool, ByteSize(bytes));
        }
        need
    };
    let beyond = |needed, coming| budget.beyond(&need(needed), &need(coming));
    assert_eq!(beyond([100, 100, 100], [0, 0, 0]), need([100, 100, 100]));
    assert_eq!(beyond([100, 100, 100], [30, 0, 0]), need([70, 100, 100]));
    // 130 come into a pool that needs 100: the other 30 count for the total.
    assert_eq!(beyond([100, 100, 100], [0, 130, 0]), need([70, 0, 100]));
    assert_eq!(beyond([100, 0, 0], [0, 250, 0]), need([0, 0, 0]));
    assert_eq!(beyond([100, 100, 100], [0, 0, 250]), need([100, 100, 0]));
    assert_eq!(beyond([0, 100, 0], [60, 0, 0]), need([0, 100, 0]), "its pool is its own");
}
