//! Claims: bytes that are set aside for a demand while its victims are on their way out, and their settlement.

use majordomo_core::ByteSize;

use super::{Budget, BudgetError, Need, Reservation};

impl Budget {
    /// Sets free bytes aside for a claimant, up to `need`. True when the claim is complete.
    pub fn claim(&mut self, claimant: u64, need: &Need) -> bool {
        let mut held = self.claims.remove(&claimant).unwrap_or_default();
        let mut complete = true;
        for (pool, bytes) in need.iter() {
            let want = bytes.0 - bytes.0.min(held.of(pool).0);
            let declared = self.limit_of(pool).declared;
            let mut room = self.pool_headroom(pool).max(0);
            if !declared {
                room = room.min(self.headroom().max(0));
            }
            let take = u64::try_from(room).unwrap_or(u64::MAX).min(want);
            complete &= take == want;
            held.add(pool, ByteSize(take));
            self.pool_mut(pool).claimed += u128::from(take);
            if !declared {
                self.claimed += u128::from(take);
            }
        }
        if !held.is_empty() {
            self.claims.insert(claimant, held);
        }
        complete
    }

    /// Gives up a claim; its bytes are free again.
    pub fn drop_claim(&mut self, claimant: u64) {
        let Some(held) = self.claims.remove(&claimant) else { return };
        for (pool, bytes) in held.iter() {
            let bytes = u128::from(bytes.0);
            let p = self.pool_mut(pool);
            p.claimed -= bytes;
            if !p.limit.declared {
                self.claimed -= bytes;
            }
        }
    }

    /// The rest of `need` when `coming` is being freed: bytes of a pool count for that pool, and bytes of every pool
    /// of RAM for the total. Where a pool has a budget of its own, bytes from other pools do not count, since only a claim
    /// keeps its bytes.
    #[must_use]
    pub fn beyond(&self, need: &Need, coming: &Need) -> Need {
        let in_total = |need: &Need| -> u64 {
            let ram = need.iter().filter(|(pool, _)| !self.limit_of(*pool).declared);
            ram.fold(0, |sum: u64, (_, bytes)| sum.saturating_add(bytes.0))
        };
        let mut rest = need.clone();
        rest.take(coming);
        let due = in_total(need).saturating_sub(in_total(coming));
        let mut surplus = in_total(&rest).saturating_sub(due);
        for (pool, bytes) in &mut rest.0 {
            let limit = self.limit_of(*pool);
            if !limit.declared && limit.budget.is_none() {
                let less = surplus.min(*bytes);
                (surplus, *bytes) = (surplus - less, *bytes - less);
            }
        }
        rest.0.retain(|e| e.1 > 0);
        rest
    }

    /// The part of `need` that a claimant has not set aside yet.
    #[must_use]
    pub fn unclaimed(&self, need: &Need, claimant: u64) -> Need {
        let mut rest = need.clone();
        if let Some(held) = self.claims.get(&claimant) {
            rest.take(held);
        }
        rest
    }

    /// Turns a claim into the reservations that it covers, all or none. Bytes claimed beyond them are free.
    ///
    /// # Errors
    /// [`BudgetError::NotCovered`] when it holds too little, [`BudgetError::Booked`] when a component has an
    /// account already, or none that the bytes could be added to; nothing is changed then.
    pub fn settle(&mut self, claimant: u64, members: &[Reservation]) -> Result<(), BudgetError> {
        let mut need = Need::new();
        for (i, member) in members.iter().enumerate() {
            let twice = members[..i].iter().any(|m| m.key == member.key);
            if twice || self.account(member.key).is_some() != member.adds {
                return Err(BudgetError::Booked(member.key));
            }
            need.add_all(&member.need());
        }
        let empty = Need::new();
        let held = self.claims.get(&claimant).unwrap_or(&empty);
        if need.iter().any(|(pool, bytes)| held.of(pool) < bytes) {
            return Err(BudgetError::NotCovered(claimant));
        }
        self.drop_claim(claimant);
        for member in members {
            if member.adds {
                self.raise(member);
            } else {
                self.open(member.key, member.pool, member.bytes.0, member.apart.clone())?;
            }
        }
        Ok(())
    }
}
