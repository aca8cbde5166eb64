//! Bytes by pool: what is wanted, and what is missing for it.

use majordomo_core::ByteSize;

/// Bytes wanted, by pool position. Pools stand once, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need(pub(super) Vec<(usize, u64)>);

impl Need {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds bytes of a pool.
    pub fn add(&mut self, pool: usize, bytes: ByteSize) {
        if bytes.0 == 0 {
            return;
        }
        match self.0.binary_search_by_key(&pool, |e| e.0) {
            Ok(i) => self.0[i].1 = self.0[i].1.saturating_add(bytes.0),
            Err(i) => self.0.insert(i, (pool, bytes.0)),
        }
    }

    /// Takes off what comes from elsewhere; nothing falls below zero.
    pub fn take(&mut self, other: &Self) {
        for entry in &mut self.0 {
            entry.1 = entry.1.saturating_sub(other.of(entry.0).0);
        }
        self.0.retain(|e| e.1 > 0);
    }

    /// The bytes of a pool.
    #[must_use]
    pub fn of(&self, pool: usize) -> ByteSize {
        ByteSize(self.0.iter().find(|e| e.0 == pool).map_or(0, |e| e.1))
    }

    /// Pools and bytes, ascending by pool.
    pub fn iter(&self) -> impl Iterator<Item = (usize, ByteSize)> + '_ {
        self.0.iter().map(|&(p, b)| (p, ByteSize(b)))
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How much is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// In the total.
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
