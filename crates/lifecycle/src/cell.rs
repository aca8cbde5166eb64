//! One word that counts the leases of an incarnation and says whether it takes more.
//!
//! `leases (24 bits) | uses (37 bits) | CLOSED | WANTED | REVOKED`. Knows nothing of instances or of who is
//! told. Invariant: while CLOSED or REVOKED is set only [`LeaseCell::lease_n`], which the engine alone
//! calls, adds leases; REVOKED is never cleared.
//!
//! # Why the protocol holds
//! Every change is a read-modify-write of this one word, so all changes have one total order, and each sees
//! the change just before it whatever the memory orderings are: no answer is ever stale.
//! - *acquire‖close*: in that order either the acquire is first, and the closer counts it, or the closer is
//!   first, and the acquire's exchange fails, reads CLOSED and gives up.
//! - *last release‖WANTED*: the engine sets WANTED and then tries to close again. A release before `want` is
//!   counted by that second `try_close`; one after it finds WANTED and tells. There is no third case, so no
//!   notice is lost. The release that *clears* WANTED tells, so each `want` is answered once.
//!
//! The orderings only say what else becomes visible with the word:
//! - releases of a lease are `Release`, closers `Acquire`: all that holders did with the instance (and their
//!   last-use tick) happened before a close that saw them gone. Other changes in between are
//!   read-modify-writes and continue the release sequence, so `Relaxed` ones would not break it.
//! - an acquire is `Acquire` and the engine's changes `Release`: who takes a lease after a `reopen` or
//!   `lease_n` sees all that the engine did before it. An acquire publishes nothing of its own.
//! - the first load of a loop and a failed exchange are `Relaxed` where their value only feeds the next
//!   exchange, which decides.

use crate::sync::{AtomicU64, Ordering};

const LEASE: u64 = 1;
const LEASES: u64 = (1 << 24) - 1;
/// Callers stop here, so that the engine's grants, at most a queue of waiters, never leave the field.
const FULL: u64 = LEASES / 2;
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
        Self { word: AtomicU64::new(leased(0, u64::from(leases))) }
    }

    /// Takes a lease; fails without writing when the cell is closed, revoked or full (2^23 leases).
    #[must_use]
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (CLOSED | REVOKED) != 0 || word & LEASES >= FULL {
                return false;
            }
            match self.word.compare_exchange_weak(
                word,
                leased(word, 1),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Adds leases whether or not the cell is closed: the engine's grant.
    pub fn lease_n(&self, n: u32) {
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(now) = self.word.compare_exchange_weak(
            word,
            leased(word, u64::from(n)),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            word = now;
        }
    }

    /// Gives a lease back. True when somebody wants to know, which only one release is told.
    #[must_use]
    #[inline]
    pub fn release(&self) -> bool {
        let before = self.word.fetch_sub(LEASE, Ordering::Release);
        debug_assert_ne!(before & LEASES, 0, "released more often than acquired");
        // A second operation, and only when wanted: the usual release stays one. Two releases may both come
        // here; the one that clears the flag tells. If the engine wants again in between, the late one
        // clears that wish and tells of it: the engine looks again, which is all a notice is for.
        before & WANTED != 0 && self.word.fetch_and(!WANTED, Ordering::Relaxed) & WANTED != 0
    }

    /// Closes the cell if no lease is out.
    pub fn try_close(&self) -> CloseAnswer {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            match count(word) {
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
        self.word.fetch_or(CLOSED, Ordering::Release);
    }

    /// Opens a closed cell, unless it was revoked. Somebody who wanted a notice still gets it.
    pub fn reopen(&self) {
        self.word.fetch_and(!CLOSED, Ordering::Release);
    }

    /// Asks the next release to tell. Who waits for the last one tries to close once more after this.
    pub fn want(&self) {
        self.word.fetch_or(WANTED, Ordering::Release);
    }

    /// Tells holders that the instance goes; closes for good.
    pub fn revoke(&self) {
        self.word.fetch_or(REVOKED | CLOSED, Ordering::Release);
    }

    /// Leases out now.
    #[must_use]
    pub fn leases(&self) -> u32 {
        count(self.word.load(Ordering::Acquire))
    }

    /// Leases ever given, modulo 2^37.
    #[must_use]
    pub fn uses(&self) -> u64 {
        // Relaxed: a statistic.
        (self.word.load(Ordering::Relaxed) & USES) >> USE_SHIFT
    }

    /// Whether newcomers are turned away.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & (CLOSED | REVOKED) != 0
    }

    /// Whether holders were told that the instance goes.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        // Acquire: a holder who sees this also sees what the engine did before it told.
        self.word.load(Ordering::Acquire) & REVOKED != 0
    }
}

fn count(word: u64) -> u32 {
    // The field has 24 bits.
    (word & LEASES) as u32
}

/// The word with `n` more leases and uses; the use count wraps inside its field.
#[inline]
fn leased(word: u64, n: u64) -> u64 {
    debug_assert!((word & LEASES) + n * LEASE <= LEASES, "more leases than waiters can be");
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
        c.reopen();
        assert!(c.is_revoked() && !c.try_acquire(), "revoked is for good");
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

    #[test]
    fn callers_leave_room_for_the_engine() {
        let c = LeaseCell { word: AtomicU64::new(FULL) };
        assert!(!c.try_acquire());
        c.lease_n(1024);
        assert_eq!((c.leases(), c.uses()), (FULL as u32 + 1024, 1024));
        assert!(!c.try_acquire() && !c.is_closed());
    }
}
