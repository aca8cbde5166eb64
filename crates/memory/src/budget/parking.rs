//! The bookings of parks and wakes, which change an account that exists.
//!
//! A park keeps the old booking until its bytes are proven free, and reserves beyond it what the rung is expected to hold
//! elsewhere: in swap, or in main memory for a model that leaves its card. Invariant: only [`Budget::hold`] lowers the
//! account of a component that is parked or woken.

use majordomo_core::{ByteSize, ComponentKey};

use super::account::Account;
use super::{Budget, BudgetError, Need, Reservation};

impl Budget {
    /// Sets the bytes that parked components may have in swap, all together.
    pub fn set_swap_room(&mut self, room: ByteSize) {
        self.swap.limit.budget = Some(room);
    }

    /// The bytes that a park needs beyond the booking of the component.
    #[must_use]
    pub fn needed_to_park(&self, key: ComponentKey, held: &Need) -> Need {
        let mut need = held.clone();
        need.take(&self.bookings(key));
        need
    }

    /// Reserves what a parked component is expected to hold, beside all that is booked for it.
    ///
    /// # Errors
    /// [`BudgetError::Short`] when that does not fit; nothing is changed then.
    pub fn reserve_park(&mut self, key: ComponentKey, held: &Need) -> Result<(), BudgetError> {
        let Some(account) = self.account(key).cloned() else { return Ok(()) };
        let need = self.needed_to_park(key, held);
        let shortage = self.shortage(&need, None);
        if !shortage.is_none() {
            return Err(BudgetError::Short(shortage));
        }
        let mut apart = account.apart.clone();
        apart.add_all(&apart_of(&need, account.pool));
        let more = need.of(account.pool).0;
        let reserved = if more > 0 { account.booked() + more } else { account.reserved };
        let swap = account.swap + need.of(Need::SWAP).0;
        self.replace(key, Account { reserved, swap, apart, ..account });
        Ok(())
    }

    /// Reserves for a parked component what it holds and no more; its last measurement stays.
    pub fn hold(&mut self, key: ComponentKey, held: &Need) {
        if let Some(account) = self.account(key).cloned() {
            let reserved = held.of(account.pool).0;
            let (swap, apart) = (held.of(Need::SWAP).0, apart_of(held, account.pool));
            self.replace(key, Account { reserved, overload: 0, swap, apart, ..account });
        }
    }

    /// Books what a component was measured to have in swap.
    pub fn measure_swap(&mut self, key: ComponentKey, bytes: ByteSize) {
        if let Some(account) = self.account(key).cloned() {
            self.replace(key, Account { swap: bytes.0, ..account });
        }
    }

    /// The last measurement of a component is out of date: until the next one, its reservation is booked.
    pub fn unmeasure(&mut self, key: ComponentKey) {
        if let Some(account) = self.account(key).cloned() {
            self.replace(key, Account { measured: None, ..account });
        }
    }

    /// Adds the bytes of a wake to the account of a parked component.
    pub(super) fn raise(&mut self, member: &Reservation) {
        if let Some(account) = self.account(member.key).cloned() {
            let reserved = account.booked().saturating_add(member.bytes.0);
            let mut apart = account.apart.clone();
            apart.add_all(&member.apart);
            self.replace(member.key, Account { reserved, apart, ..account });
        }
    }

    /// The grant that a component asked for itself, which it still has after a wake.
    #[must_use]
    pub fn grown_grant(&self, key: ComponentKey) -> ByteSize {
        ByteSize(self.account(key).filter(|a| a.grown).map_or(0, |a| a.granted))
    }
}

/// The bytes in pools other than the own one and swap.
fn apart_of(bytes: &Need, own: usize) -> Need {
    bytes.iter().filter(|(pool, _)| *pool != own && *pool != Need::SWAP).collect()
}
