//! One word that counts the leases of an incarnation and says whether it takes more.
//!
//! `leases (24 bits) | uses (37 bits) | CLOSED | WANTED | REVOKED`. All changes are read-modify-write
//! operations on this one word, so they have one total order and every decision reads the newest value;
//! `AcqRel` makes what a lease holder did before its release visible to whoever closes after it.
//!
//! Invariant: while CLOSED is set only [`LeaseCell::lease_n`], which the engine alone calls, adds leases.

use crate::sync::{AtomicU64, Ordering};

const LEASE: u64 = 1;
const LEASES: u64 = (1 << 24) - 1;
const USE_SHIFT: u32 = 24;
const USE: u64 = 1 << USE_SHIFT;
const USES: u64 = ((1 << 37) - 1) << USE_SHIFT;
const CLOSED: u64 = 1 << 61;
const WANTED: u64 = 1 << 62;
const REVOKED: u64 = 1 << 63;

/// What an attempt to close found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseAnswer {
    /// No leases were out and none can be had any more.
    Closed,
    /// This many leases are out; nothing was changed.
    Leased(u32),
}

/// The lease count of one incarnation.
#[derive(Debug)]
pub struct LeaseCell {
    word: AtomicU64,
}

impl LeaseCell {
    /// An open cell with `leases` out already.
    #[must_use]
    pub fn new(leases: u32) -> Self {
        let n = u64::from(leases);
        Self { word: AtomicU64::new(n * LEASE + n * USE) }
    }

    /// Takes a lease; fails without writing when the cell is closed or full.
    #[must_use]
    pub fn try_acquire(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 || word & LEASES == LEASES {
                return false;
            }
            match self.word.compare_exchange_weak(
                word,
                leased(word, 1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Adds leases whether or not the cell is closed: the engine's grant.
    pub fn lease_n(&self, n: u32) {
        self.update(|word| leased(word, u64::from(n)));
    }

    /// Gives a lease back. True when somebody wants to know, which only one release is told.
    #[must_use]
    pub fn release(&self) -> bool {
        let before = self.word.fetch_sub(LEASE, Ordering::AcqRel);
        debug_assert_ne!(before & LEASES, 0, "released more often than acquired");
        before & WANTED != 0 && self.word.fetch_and(!WANTED, Ordering::AcqRel) & WANTED != 0
    }

    /// Closes the cell if no lease is out.
    pub fn try_close(&self) -> CloseAnswer {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            match u32::try_from(word & LEASES).unwrap_or(u32::MAX) {
                0 => {}
                n => return CloseAnswer::Leased(n),
            }
            match self.word.compare_exchange_weak(
                word,
                word | CLOSED,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return CloseAnswer::Closed,
                Err(now) => word = now,
            }
        }
    }

    /// Closes the cell to newcomers, leases or not.
    pub fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Opens a closed cell. Somebody who wanted a notice still gets it.
    pub fn reopen(&self) {
        self.word.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    /// Asks the next release to tell.
    pub fn want(&self) {
        self.word.fetch_or(WANTED, Ordering::AcqRel);
    }

    /// Tells holders that the instance goes; closes as well.
    pub fn revoke(&self) {
        self.word.fetch_or(REVOKED | CLOSED, Ordering::AcqRel);
    }

    /// Leases out now.
    #[must_use]
    pub fn leases(&self) -> u32 {
        u32::try_from(self.word.load(Ordering::Acquire) & LEASES).unwrap_or(u32::MAX)
    }

    /// Leases ever given, modulo 2^37.
    #[must_use]
    pub fn uses(&self) -> u64 {
        (self.word.load(Ordering::Relaxed) & USES) >> USE_SHIFT
    }

    /// Whether newcomers are turned away.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Whether holders were told that the instance goes.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.word.load(Ordering::Acquire) & REVOKED != 0
    }

    fn update(&self, change: impl Fn(u64) -> u64) {
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(now) =
            self.word.compare_exchange_weak(word, change(word), Ordering::AcqRel, Ordering::Relaxed)
        {
            word = now;
        }
    }
}

/// The word with `n` more leases and uses; the use count wraps inside its field.
fn leased(word: u64, n: u64) -> u64 {
    let uses = (word & USES).wrapping_add(n * USE) & USES;
    (word & !USES & !LEASES) | uses | ((word & LEASES) + n * LEASE)
}

#[cfg(all(test, not(majordomo_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_and_flags_do_not_disturb_each_other() {
        let c = LeaseCell::new(2);
        assert!(c.try_acquire());
        assert_eq!((c.leases(), c.uses()), (3, 3));
        assert_eq!(c.try_close(), CloseAnswer::Leased(3));
        c.want();
        assert!(c.release(), "the first release after `want` tells");
        assert!(!c.release());
        c.close();
        assert!(!c.try_acquire());
        c.lease_n(2);
        assert_eq!((c.leases(), c.uses()), (3, 5));
        c.reopen();
        assert!(c.try_acquire());
        c.revoke();
        assert!(c.is_revoked() && !c.try_acquire());
        for _ in 0..4 {
            assert!(!c.release());
        }
        assert_eq!(c.try_close(), CloseAnswer::Closed);
    }

    #[test]
    fn the_use_count_wraps_inside_its_field() {
        let c = LeaseCell { word: AtomicU64::new(USES | 5) };
        assert!(c.try_acquire());
        assert_eq!((c.uses(), c.leases(), c.is_closed()), (0, 6, false));
    }
}
