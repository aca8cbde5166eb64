//! The ledger of bytes: booked by components, claimed by demands, free.
//!
//! Every number is booked twice, in the total and in a pool (a pool of memory that is not RAM counts in
//! itself only). A component's booking in its own pool is `max(reserved + overload, last measured)`, in other pools what it
//! declares. Swap is an account beside the pools, [`Need::SWAP`], for what parked components left there. Admissions (`reserve`, `claim`,
//! `settle`) never exceed a budget; measuring, a smaller budget, other programs and the overload of a load whose
//! peak is larger than the budget may, and that excess is the overdraft, reported by kind.
//!
//! Invariant: `booked` and `claimed`, of the total and of each pool, are the sums over accounts and claims.

mod account;
mod claims;
mod need;
mod overdraft;
mod parking;

use std::collections::BTreeMap;

use majordomo_core::{ByteSize, ComponentKey};

use self::account::Account;
pub use self::need::{Need, Reservation, Shortage};

/// The limit of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolLimit {
    /// Its budget in bytes; none = only the total bounds it.
    pub budget: Option<ByteSize>,
    /// The pool's bytes are not RAM and do not count in the total.
    pub declared: bool,
}

/// A misuse or a refusal of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The bytes do not fit.
    #[error("{} more are needed than the budget has free", .0.total)]
    Short(Shortage),
    /// The component has an account already.
    #[error("component {0} is booked already")]
    Booked(ComponentKey),
    /// The claim is smaller than the reservations that it should pay for.
    #[error("the claim of {0} does not cover what it is to pay for")]
    NotCovered(u64),
}

#[derive(Clone, Debug, Default)]
struct Pool {
    limit: PoolLimit,
    booked: u128,
    claimed: u128,
}

impl Pool {
    fn of_swap(room: ByteSize) -> Self {
        Self { limit: PoolLimit { budget: Some(room), declared: true }, ..Self::default() }
    }
}

/// The ledger. A plain value: the owner of the `&mut` books.
///
/// A pool that was given no limit is bounded by the total only.
#[derive(Clone, Debug)]
pub struct Budget {
    total: u64,
    // Sums are wider than their parts: no measurement, however absurd, makes them overflow.
    booked: u128,
    claimed: u128,
    external: u64,
    unreturned: u64,
    pools: Vec<Pool>,
    /// Without room until some is offered.
    swap: Pool,
    accounts: Vec<Option<Account>>,
    claims: BTreeMap<u64, Need>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            total: 0,
            booked: 0,
            claimed: 0,
            external: 0,
            unreturned: 0,
            pools: Vec::new(),
            swap: Pool::of_swap(ByteSize::ZERO),
            accounts: Vec::new(),
            claims: BTreeMap::new(),
        }
    }
}

impl Budget {
    /// A ledger with nothing booked.
    #[must_use]
    pub fn new(total: ByteSize, pools: impl IntoIterator<Item = PoolLimit>) -> Self {
        let pools = pools.into_iter().map(|limit| Pool { limit, ..Pool::default() }).collect();
        Self { total: total.0, pools, ..Self::default() }
    }

    /// Changes the limits; what is booked stays. Pools may only be appended or changed in place.
    ///
    /// A pool that changes between declared and not moves its bytes out of or into the total.
    pub fn set_limits(&mut self, total: ByteSize, pools: impl IntoIterator<Item = PoolLimit>) {
        self.total = total.0;
        for (i, limit) in pools.into_iter().enumerate() {
            if i == self.pools.len() {
                self.pools.push(Pool { limit, ..Pool::default() });
                continue;
            }
            let p = &mut self.pools[i];
            if p.limit.declared && !limit.declared {
                self.booked += p.booked;
                self.claimed += p.claimed;
            } else if !p.limit.declared && limit.declared {
                self.booked -= p.booked;
                self.claimed -= p.claimed;
            }
            p.limit = limit;
        }
    }

    /// The total budget.
    #[must_use]
    pub fn total(&self) -> ByteSize {
        ByteSize(self.total)
    }

    /// Bytes booked in the total.
    #[must_use]
    pub fn booked(&self) -> ByteSize {
        narrow(self.booked)
    }

    /// Bytes set aside for claims in the total.
    #[must_use]
    pub fn claimed(&self) -> ByteSize {
        narrow(self.claimed)
    }

    /// The booking of one component in its own pool.
    #[must_use]
    pub fn booked_for(&self, key: ComponentKey) -> ByteSize {
        ByteSize(self.account(key).map_or(0, Account::booked))
    }

    /// The booking of one component in each pool.
    #[must_use]
    pub fn bookings(&self, key: ComponentKey) -> Need {
        self.account(key).map_or_else(Need::new, Account::bookings)
    }

    /// The declared bytes that are booked for one component in pools besides its own.
    #[must_use]
    pub fn apart(&self, key: ComponentKey) -> Need {
        self.account(key).map_or_else(Need::new, |a| a.apart.clone())
    }

    /// The part of `bytes` that would help against a shortage.
    #[must_use]
    pub fn helpful(&self, bytes: &Need, short: &Shortage) -> ByteSize {
        let helps = |pool: usize| short.helped_by(pool, self.limit_of(pool).declared);
        bytes.iter().filter(|(pool, _)| helps(*pool)).map(|(_, bytes)| bytes).sum()
    }

    /// Takes bytes that are being freed off a shortage.
    pub fn relieve(&self, short: &mut Shortage, bytes: &Need) {
        for (pool, bytes) in bytes.iter() {
            short.relieve(pool, self.limit_of(pool).declared, bytes);
        }
    }

    /// The reservation of one component.
    #[must_use]
    pub fn reserved_for(&self, key: ComponentKey) -> ByteSize {
        ByteSize(self.account(key).map_or(0, |a| a.reserved))
    }

    /// The grant of one component: its first reservation, and the bytes that it asked for since.
    #[must_use]
    pub fn granted_for(&self, key: ComponentKey) -> ByteSize {
        ByteSize(self.account(key).map_or(0, |a| a.granted))
    }

    /// Bytes that a component's load takes beyond its reservation.
    #[must_use]
    pub fn overload_of(&self, key: ComponentKey) -> ByteSize {
        ByteSize(self.account(key).map_or(0, |a| a.overload))
    }

    /// The booking of one component in its own pool without the part that ends with its load.
    #[must_use]
    pub fn lasting_for(&self, key: ComponentKey) -> ByteSize {
        ByteSize(self.account(key).map_or(0, |a| a.booked() - a.transient()))
    }

    /// The pool of a component's account, while it has one.
    #[must_use]
    pub fn pool_of(&self, key: ComponentKey) -> Option<usize> {
        self.account(key).map(|a| a.pool)
    }

    /// The last measured footprint of one component since it was booked.
    #[must_use]
    pub fn measured_for(&self, key: ComponentKey) -> Option<ByteSize> {
        self.account(key).and_then(|a| a.measured).map(ByteSize)
    }

    /// Bytes booked in the pool at this position; 0 for an unknown one.
    #[must_use]
    pub fn booked_in(&self, pool: usize) -> ByteSize {
        narrow(self.pool(pool).map_or(0, |p| p.booked))
    }

    /// The limit of the pool at this position; no limit for an unknown one.
    #[must_use]
    pub fn limit_of(&self, pool: usize) -> PoolLimit {
        self.pool(pool).map_or_else(PoolLimit::default, |p| p.limit)
    }

    fn account(&self, key: ComponentKey) -> Option<&Account> {
        self.accounts.get(key.index()).and_then(Option::as_ref)
    }

    /// Free bytes of the total; negative when overdrawn.
    fn headroom(&self) -> i128 {
        i128::from(self.total)
            - signed(self.booked)
            - signed(self.claimed)
            - i128::from(self.external)
            - i128::from(self.unreturned)
    }

    fn pool_headroom(&self, pool: usize) -> i128 {
        match self.pool(pool) {
            Some(Pool { limit: PoolLimit { budget: Some(b), .. }, booked, claimed }) => {
                i128::from(b.0) - signed(*booked) - signed(*claimed)
            }
            _ => i128::MAX,
        }
    }

    /// Bytes free in the total.
    #[must_use]
    pub fn free(&self) -> ByteSize {
        ByteSize(u64::try_from(self.headroom().max(0)).unwrap_or(u64::MAX))
    }

    /// Bytes that are missing for `need` now, less the bytes that `claimant` has set aside already. Once so many are
    /// freed, the need fits; where the budget is overdrawn, that includes the overdraft.
    #[must_use]
    pub fn shortage(&self, need: &Need, claimant: Option<u64>) -> Shortage {
        let held = claimant.and_then(|c| self.claims.get(&c));
        let mut total = 0i128;
        let mut pools = Vec::new();
        for (pool, bytes) in need.iter() {
            let rest = i128::from(bytes.0) - held.map_or(0, |h| i128::from(h.of(pool).0));
            let rest = rest.max(0);
            if !self.limit_of(pool).declared {
                total += rest;
            }
            let lacks = rest - self.pool_headroom(pool);
            if rest > 0 && lacks > 0 {
                pools.push((pool, clamp(lacks)));
            }
        }
        let total = if total > 0 { clamp(total - self.headroom()) } else { ByteSize::ZERO };
        Shortage { total, pools }
    }

    /// Books a reservation for a component that has none.
    ///
    /// # Errors
    /// [`BudgetError::Short`] when it does not fit, [`BudgetError::Booked`] when it has an account.
    pub fn reserve(
        &mut self,
        key: ComponentKey,
        pool: usize,
        bytes: ByteSize,
    ) -> Result<(), BudgetError> {
        let mut need = Need::new();
        need.add(pool, bytes);
        let shortage = self.shortage(&need, None);
        if !shortage.is_none() {
            return Err(BudgetError::Short(shortage));
        }
        self.open(key, pool, bytes.0, Need::new())
    }

    /// Books other declared bytes of pools besides a component's own: this may exceed the budget.
    pub fn declare_apart(&mut self, key: ComponentKey, apart: Need) {
        if let Some(account) = self.account(key).cloned() {
            self.replace(key, Account { apart, ..account });
        }
    }

    /// Adds to a component's grant, reserves all of it, and returns what the grant is then. Bytes that are booked
    /// already because they were measured cost nothing.
    ///
    /// # Errors
    /// [`BudgetError::Short`] when the rest does not fit; nothing is changed then.
    pub fn extend(&mut self, key: ComponentKey, bytes: ByteSize) -> Result<ByteSize, BudgetError> {
        let Some(account) = self.account(key).cloned() else { return Ok(ByteSize::ZERO) };
        let granted = account.granted.saturating_add(bytes.0);
        let reserved = account.reserved.max(granted);
        let (pool, booked) = (account.pool, account.booked());
        let grown = Account { reserved, granted, grown: true, ..account };
        let mut need = Need::new();
        need.add(pool, ByteSize(grown.booked() - booked));
        let shortage = self.shortage(&need, None);
        if !shortage.is_none() {
            return Err(BudgetError::Short(shortage));
        }
        self.replace(key, grown);
        Ok(ByteSize(granted))
    }

    /// Books the peak of a load that is larger than what could be reserved for it: this may exceed the budget. It
    /// ends with [`Self::keep`] or [`Self::release`].
    pub fn set_overload(&mut self, key: ComponentKey, bytes: ByteSize) {
        if let Some(account) = self.account(key).cloned() {
            self.replace(key, Account { overload: bytes.0, ..account });
        }
    }

    /// Reserves from now on what a component that is ready was learned to need: gives bytes back, or takes as many
    /// as are free or booked for it already. The overload of its load ends. Never exceeds the budget further, and
    /// leaves alone what the component asked for itself.
    pub fn keep(&mut self, key: ComponentKey, bytes: ByteSize) {
        let Some(account) = self.account(key).cloned() else { return };
        let own = if account.grown { account.granted } else { 0 };
        let target = bytes.0.max(own);
        let mut free = self.pool_headroom(account.pool);
        if !self.limit_of(account.pool).declared {
            free = free.min(self.headroom());
        }
        // A footprint above the reservation is in the sums already.
        let most = i128::from(account.booked()).saturating_add(free);
        let most = u64::try_from(most.max(0)).unwrap_or(u64::MAX).max(account.reserved);
        self.replace(key, Account { reserved: target.min(most), overload: 0, ..account });
    }

    /// Gives back of a reservation that covers `need` only in part what is overdrawn, down to what was measured. Does
    /// nothing to a reservation that covers the need, or to what the component asked for itself.
    pub fn shrink_partial(&mut self, key: ComponentKey, need: ByteSize) {
        let Some(account) = self.account(key).cloned() else { return };
        let own = if account.grown { account.granted } else { 0 };
        let least = own.max(account.measured.unwrap_or(account.reserved));
        if account.reserved >= need.0 || account.reserved <= least {
            return;
        }
        let mut overdrawn = self.pool_overdraft(account.pool);
        if !self.limit_of(account.pool).declared {
            overdrawn = overdrawn.max(self.overdraft());
        }
        let reserved = account.reserved.saturating_sub(overdrawn.0).max(least);
        self.replace(key, Account { reserved, ..account });
    }

    fn replace(&mut self, key: ComponentKey, new: Account) {
        let Some(account) = self.accounts.get_mut(key.index()).and_then(Option::as_mut) else {
            return;
        };
        let (pool, booked, apart) = (new.pool, new.booked(), new.apart.clone());
        let swap = new.swap;
        let old = std::mem::replace(account, new);
        self.shift(pool, old.booked(), booked);
        self.shift(Need::SWAP, old.swap, swap);
        if apart != old.apart {
            self.shift_apart(&old.apart, &apart);
        }
    }

    fn shift_apart(&mut self, old: &Need, new: &Need) {
        for (pool, bytes) in old.iter() {
            self.shift(pool, bytes.0, 0);
        }
        for (pool, bytes) in new.iter() {
            self.shift(pool, 0, bytes.0);
        }
    }

    fn open(
        &mut self,
        key: ComponentKey,
        pool: usize,
        reserved: u64,
        apart: Need,
    ) -> Result<(), BudgetError> {
        if self.account(key).is_some() {
            return Err(BudgetError::Booked(key));
        }
        if self.accounts.len() <= key.index() {
            self.accounts.resize(key.index() + 1, None);
        }
        self.shift(pool, 0, reserved);
        self.shift_apart(&Need::new(), &apart);
        self.accounts[key.index()] = Some(Account::new(pool, reserved, apart));
        Ok(())
    }

    fn pool(&self, pool: usize) -> Option<&Pool> {
        if pool == Need::SWAP { Some(&self.swap) } else { self.pools.get(pool) }
    }

    /// The positions of all accounts, swap last.
    fn positions(&self) -> impl Iterator<Item = usize> {
        (0..self.pools.len()).chain([Need::SWAP])
    }

    fn pool_mut(&mut self, pool: usize) -> &mut Pool {
        if pool == Need::SWAP {
            return &mut self.swap;
        }
        if self.pools.len() <= pool {
            self.pools.resize_with(pool + 1, Pool::default);
        }
        &mut self.pools[pool]
    }

    /// Moves a pool's (and the total's) booked bytes from `old` to `new`.
    fn shift(&mut self, pool: usize, old: u64, new: u64) {
        let (old, new) = (u128::from(old), u128::from(new));
        let p = self.pool_mut(pool);
        p.booked = p.booked - old + new;
        if !p.limit.declared {
            self.booked = self.booked - old + new;
        }
    }

    /// Records what a component was measured to use. Components without an account are ignored.
    pub fn measure(&mut self, key: ComponentKey, bytes: ByteSize) {
        if let Some(account) = self.account(key).cloned() {
            self.replace(key, Account { measured: Some(bytes.0), ..account });
        }
    }

    /// Closes a component's account and returns what it had booked in its own pool.
    pub fn release(&mut self, key: ComponentKey) -> ByteSize {
        let Some(account) = self.accounts.get_mut(key.index()).and_then(Option::take) else {
            return ByteSize::ZERO;
        };
        let freed = account.booked();
        self.shift(account.pool, freed, 0);
        self.shift_apart(&account.apart, &Need::new());
        self.shift(Need::SWAP, account.swap, 0);
        ByteSize(freed)
    }

    /// Sets the bytes that other programs take of the budget, and those that this process freed but did not return.
    pub fn set_taken(&mut self, external: ByteSize, unreturned: ByteSize) {
        self.external = external.0;
        self.unreturned = unreturned.0;
    }

    /// Bytes that other programs take of the budget, and bytes that this process holds for no component, as last set.
    #[must_use]
    pub fn taken(&self) -> (ByteSize, ByteSize) {
        (ByteSize(self.external), ByteSize(self.unreturned))
    }
}

fn narrow(v: u128) -> ByteSize {
    ByteSize(u64::try_from(v).unwrap_or(u64::MAX))
}

fn signed(v: u128) -> i128 {
    i128::try_from(v).unwrap_or(i128::MAX)
}

fn clamp(v: i128) -> ByteSize {
    ByteSize(u64::try_from(v.max(0)).unwrap_or(u64::MAX))
}
