//! Bytes by pool: needed ones, and the shortage for them.

use majordomo_core::{ByteSize, ComponentKey};

/// Needed bytes, by pool position. Each pool appears once, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need(pub(super) Vec<(usize, u64)>);

impl Need {
    /// The position of swap, which is no pool of a catalog.
    pub const SWAP: usize = usize::MAX;

    /// No bytes of any pool.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds bytes of one pool; saturates at `u64::MAX`.
    pub fn add(&mut self, pool: usize, bytes: ByteSize) {
        if bytes.0 == 0 {
            return;
        }
        match self.0.binary_search_by_key(&pool, |e| e.0) {
            Ok(i) => self.0[i].1 = self.0[i].1.saturating_add(bytes.0),
            Err(i) => self.0.insert(i, (pool, bytes.0)),
        }
    }

    /// Adds the bytes of every pool of another vector.
    pub fn add_all(&mut self, other: &Self) {
        for (pool, bytes) in other.iter() {
            self.add(pool, bytes);
        }
    }

    /// The bytes of all pools together.
    #[must_use]
    pub fn sum(&self) -> ByteSize {
        self.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Subtracts bytes that come from another source; no entry falls below zero.
    pub fn take(&mut self, other: &Self) {
        for entry in &mut self.0 {
            entry.1 = entry.1.saturating_sub(other.of(entry.0).0);
        }
        self.0.retain(|e| e.1 > 0);
    }

    /// The needed bytes of one pool; 0 if it has no entry.
    #[must_use]
    pub fn of(&self, pool: usize) -> ByteSize {
        ByteSize(self.0.iter().find(|e| e.0 == pool).map_or(0, |e| e.1))
    }

    /// Pools and bytes, ascending by pool.
    pub fn iter(&self) -> impl Iterator<Item = (usize, ByteSize)> + '_ {
        self.0.iter().map(|&(p, b)| (p, ByteSize(b)))
    }

    /// Whether no bytes are needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(usize, ByteSize)> for Need {
    fn from_iter<I: IntoIterator<Item = (usize, ByteSize)>>(all: I) -> Self {
        let mut need = Self::new();
        all.into_iter().for_each(|(pool, bytes)| need.add(pool, bytes));
        need
    }
}

/// Bytes to reserve for one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The component whose account is opened, or raised.
    pub key: ComponentKey,
    /// Its own pool, by position.
    pub pool: usize,
    /// Bytes of its own pool.
    pub bytes: ByteSize,
    /// Bytes of other pools, which stay at their declaration.
    pub apart: Need,
    /// The component is parked and has an account: the bytes are added to it.
    pub adds: bool,
}

impl Reservation {
    /// The reserved bytes of each pool.
    #[must_use]
    pub fn need(&self) -> Need {
        let mut need = self.apart.clone();
        need.add(self.pool, self.bytes);
        need
    }
}

/// Missing bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// Bytes missing in the total budget.
    pub total: ByteSize,
    /// In pools, ascending by position; only those that lack something.
    pub pools: Vec<(usize, ByteSize)>,
}

impl Shortage {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.total.0 == 0 && self.pools.is_empty()
    }

    /// The same without swap, and what is missing there alone.
    #[must_use]
    pub fn apart_from_swap(mut self) -> (Self, Self) {
        let (swap, pools) = self.pools.into_iter().partition(|(pool, _)| *pool == Need::SWAP);
        self.pools = pools;
        (self, Self { total: ByteSize::ZERO, pools: swap })
    }

    /// Takes bytes that a victim frees off what is missing.
    pub fn relieve(&mut self, pool: usize, declared: bool, bytes: ByteSize) {
        if !declared {
            self.total = self.total - bytes;
        }
        if let Some(entry) = self.pools.iter_mut().find(|e| e.0 == pool) {
            entry.1 = entry.1 - bytes;
        }
        self.pools.retain(|e| e.1.0 > 0);
    }

    /// Whether bytes of this pool would help.
    #[must_use]
    pub fn helped_by(&self, pool: usize, declared: bool) -> bool {
        (self.total.0 > 0 && !declared) || self.pools.iter().any(|e| e.0 == pool)
    }
}
