//! The overdraft of the ledger: by how much bookings exceed budgets, of which kind, and the audit of the sums.

use std::collections::BTreeMap;

use majordomo_core::{ByteSize, OverdraftStatus};

use super::account::Account;
use super::{Budget, Need, Shortage, clamp};

impl Budget {
    /// By how much bookings and takings exceed the total budget.
    #[must_use]
    pub fn overdraft(&self) -> ByteSize {
        clamp(-self.headroom())
    }

    /// By how much a pool's bookings exceed its budget.
    #[must_use]
    pub fn pool_overdraft(&self, pool: usize) -> ByteSize {
        clamp(-self.pool_headroom(pool))
    }

    /// Whether the total or any pool is overdrawn.
    #[must_use]
    pub fn is_overdrawn(&self) -> bool {
        self.headroom() < 0 || self.positions().any(|p| self.pool_headroom(p) < 0)
    }

    /// Whether memory is overdrawn: the total or any pool, swap apart. Bytes in swap are no memory that a load or a wake
    /// would need.
    #[must_use]
    pub fn is_memory_overdrawn(&self) -> bool {
        self.headroom() < 0 || (0..self.pools.len()).any(|p| self.pool_headroom(p) < 0)
    }

    /// Bytes that must be freed to end every overdraft that does not end by itself: all but the overload of loads.
    #[must_use]
    pub fn excess(&self) -> Shortage {
        let ending = |of: &dyn Fn(&Account) -> bool| -> i128 {
            let loads = self.accounts.iter().flatten().filter(|a| of(a));
            loads.map(|a| i128::from(a.transient())).sum()
        };
        let total = ending(&|a| !self.limit_of(a.pool).declared);
        let pools = self
            .positions()
            .map(|p| (p, clamp((-self.pool_headroom(p)).saturating_sub(ending(&|a| a.pool == p)))))
            .filter(|(_, b)| b.0 > 0)
            .collect();
        Shortage { total: clamp((-self.headroom()).saturating_sub(total)), pools }
    }

    /// Whether RAM is missing, in the total or in a pool of it.
    #[must_use]
    pub fn is_ram(&self, short: &Shortage) -> bool {
        short.total.0 > 0 || short.pools.iter().any(|(pool, _)| !self.limit_of(*pool).declared)
    }

    /// The total's overdraft by kind. The kinds add up to it; what no other kind explains comes from the
    /// configuration.
    #[must_use]
    pub fn overdraft_by_kind(&self) -> OverdraftStatus {
        let mut rest = self.overdraft().0;
        let mut take = |bytes: u64| {
            let part = rest.min(bytes);
            rest -= part;
            ByteSize(part)
        };
        let sum = |part: &dyn Fn(&Account) -> u64| -> u64 {
            let ram = self.accounts.iter().flatten().filter(|a| !self.limit_of(a.pool).declared);
            ram.map(part).fold(0, u64::saturating_add)
        };
        let external = take(self.external);
        let unreturned = take(self.unreturned);
        let growth = take(sum(&|a| a.booked() - a.planned()));
        let load = take(sum(&|a| a.overload));
        OverdraftStatus { growth, load, external, unreturned, config: ByteSize(rest) }
    }

    /// Checks the sums against the accounts and claims.
    ///
    /// # Errors
    /// Says which sum is wrong.
    pub fn audit(&self) -> Result<(), String> {
        let mut added: BTreeMap<usize, (u128, u128)> = BTreeMap::new();
        for a in self.accounts.iter().flatten() {
            for (pool, bytes) in a.bookings().iter() {
                added.entry(pool).or_default().0 += u128::from(bytes.0);
            }
        }
        for need in self.claims.values() {
            for (pool, bytes) in need.iter() {
                added.entry(pool).or_default().1 += u128::from(bytes.0);
            }
        }
        let mut sums = (0u128, 0u128);
        for i in self.positions() {
            let Some(p) = self.pool(i) else { continue };
            let (booked, claimed) = added.get(&i).copied().unwrap_or_default();
            if (p.booked, p.claimed) != (booked, claimed) {
                let name = if i == Need::SWAP { "swap".to_owned() } else { format!("pool {i}") };
                return Err(format!(
                    "{name} has {}+{} on its books, its accounts and claims add up to {booked}+{claimed}",
                    p.booked, p.claimed
                ));
            }
            if !p.limit.declared {
                sums = (sums.0 + p.booked, sums.1 + p.claimed);
            }
        }
        if sums != (self.booked, self.claimed) {
            return Err(format!(
                "the total has {}+{} on its books, its pools add up to {}+{}",
                self.booked, self.claimed, sums.0, sums.1
            ));
        }
        Ok(())
    }
}
