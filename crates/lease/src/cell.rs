//! One word that counts the leases of an incarnation and says whether it takes more.
//!
//! From the lowest bit: `leases (24 bits) | RETIRED | CLOSED | AWAITED | REVOKED | uses (36 bits)`. The uses stand highest,
//! so that one addition counts a lease and a use, and the use count wraps without touching its neighbours. Knows nothing
//! of instances or of the receiver of notices. Invariants: while CLOSED, RETIRED or REVOKED is set only [`LeaseCell::lease_n`], which the
//! engine alone causes, adds leases; RETIRED and REVOKED are never cleared.
//!
//! # Why the protocol holds
//! Every change is a read-modify-write of this one word, so all changes have one total order, and each sees
//! the change just before it whatever the memory orderings are: no answer is ever stale.
//! - *acquire‖close*: in that order either the acquire is first, and the closer counts it, or the closer is
//!   first, and the acquire's exchange fails, reads CLOSED and gives up.
//! - *last release‖AWAITED*: the engine sets AWAITED and then tries to close again. A release before the request is
//!   counted by that second `try_close`; one after it finds AWAITED and reports. There is no third case, so no
//!   notice is lost. The release that *clears* AWAITED reports, so each request is answered once.
//! - *last release‖retire*: the one of both that comes second sees what the first did. A retirement that finds no
//!   lease, or else the release that finds RETIRED and no other lease, is the end of the leases: exactly one party sees
//!   it, since nothing acquires after RETIRED, and `lease_n` reports when it begins again.
//!
//! The orderings only say what else becomes visible with the word:
//! - releases of a lease are `Release`, closers and the party that sees the end `Acquire`: all that holders did with the
//!   instance (and their last-use tick) happened before a close or an end that saw no lease. Other changes in between
//!   are read-modify-writes and continue the release sequence, so `Relaxed` ones would not break it.
//! - an acquire is `Acquire` and the engine's changes `Release`: a holder that takes a lease after a `reopen` or
//!   `lease_n` sees all that the engine did before it. An acquire publishes nothing of its own.
//! - the first load of a loop and a failed exchange are `Relaxed` where their value only feeds the next
//!   exchange, which decides.

use crate::sync::{AtomicU64, Ordering};

const LEASE: u64 = 1;
const LEASES: u64 = (1 << 24) - 1;
/// Callers stop where this bit of the count is set, so that the engine's grants, at most a queue of waiters, never leave
/// the field.
const FULL: u64 = 1 << 23;
const RETIRED: u64 = 1 << 24;
const CLOSED: u64 = 1 << 25;
const AWAITED: u64 = 1 << 26;
const REVOKED: u64 = 1 << 27;
const USE_SHIFT: u32 = 28;
const USE: u64 = 1 << USE_SHIFT;

/// The answer to an attempt to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseAnswer {
    /// No leases were out and none can be acquired any more.
    Closed,
    /// This many leases are out; nothing was changed.
    Leased(u32),
}

/// The meaning of a release besides one lease fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Released {
    /// A notice was requested, and this release is the one that reports.
    pub(crate) is_awaited: bool,
    /// It was the last lease of a retired incarnation.
    pub(crate) is_end: bool,
}

/// The lease count of one incarnation.
#[derive(Debug)]
pub struct LeaseCell {
    word: AtomicU64,
}

impl LeaseCell {
    /// An open cell with `leases` out already.
    ///
    /// # Panics
    /// When they are 2^24 or more.
    #[must_use]
    pub fn new(leases: u32) -> Self {
        Self { word: AtomicU64::new(granted(0, leases)) }
    }

    /// Takes a lease; fails without writing when the cell is closed, retired, revoked or full (2^23 leases).
    #[must_use]
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (CLOSED | RETIRED | REVOKED | FULL) != 0 {
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
    ///
    /// # Panics
    /// When 2^24 leases or more would be out; the cell is unchanged then.
    pub fn lease_n(&self, n: u32) {
        let _ = self.grant(n);
    }

    /// [`Self::lease_n`]; true when the leases of a retired incarnation had ended and begin again.
    #[must_use]
    pub(crate) fn grant(&self, n: u32) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(now) = self.word.compare_exchange_weak(
            word,
            granted(word, n),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            word = now;
        }
        n > 0 && word & RETIRED != 0 && word & LEASES == 0
    }

    /// Gives a lease back. True when a notice was requested; only one release reports each request.
    #[must_use]
    #[inline]
    pub fn release(&self) -> bool {
        self.release_watched().is_awaited
    }

    /// Gives a lease back if no notice is requested and the incarnation is not retired, else changes nothing.
    ///
    /// After a success the cell is not touched again: another party may end the leases, and with them the cell.
    #[must_use]
    #[inline]
    pub(crate) fn try_release(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (AWAITED | RETIRED) != 0 {
                return false;
            }
            debug_assert_ne!(word & LEASES, 0, "released more often than acquired");
            match self.word.compare_exchange_weak(
                word,
                word - LEASE,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Gives a lease back and says what that meant.
    #[must_use]
    pub(crate) fn release_watched(&self) -> Released {
        // AcqRel: the party that sees the end drops the instance after all that other holders did with it.
        let before = self.word.fetch_sub(LEASE, Ordering::AcqRel);
        debug_assert_ne!(before & LEASES, 0, "released more often than acquired");
        // A second operation, and only when requested. Two releases may both come here; the one that clears the flag
        // reports. If the engine requests again in between, the late one clears that request and reports it: the engine
        // looks again, which is all a notice is for.
        let is_awaited = before & AWAITED != 0
            && self.word.fetch_and(!AWAITED, Ordering::Relaxed) & AWAITED != 0;
        Released { is_awaited, is_end: before & RETIRED != 0 && before & LEASES == LEASE }
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

    /// Closes the cell to new leases, whether or not leases are out.
    pub fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::Release);
    }

    /// Opens a closed cell, unless it was retired or revoked. A notice that was requested is still given.
    pub fn reopen(&self) {
        self.word.fetch_and(!CLOSED, Ordering::Release);
    }

    /// Closes the cell for good. True when no lease was out: that is the end of the leases, which is reported once.
    #[must_use]
    pub(crate) fn retire(&self) -> bool {
        let before = self.word.fetch_or(RETIRED | CLOSED, Ordering::AcqRel);
        debug_assert_eq!(before & RETIRED, 0, "an incarnation is retired once");
        before & LEASES == 0
    }

    /// Requests a notice from the next release. A caller that waits for the last lease tries to close once more after
    /// this.
    pub fn request_notice(&self) {
        self.word.fetch_or(AWAITED, Ordering::Release);
    }

    /// Shows holders that the instance is taken away; closes for good.
    pub fn revoke(&self) {
        self.word.fetch_or(REVOKED | CLOSED, Ordering::Release);
    }

    /// Whether the incarnation was taken out of its slot.
    pub(crate) fn is_retired(&self) -> bool {
        // Relaxed: asked by an owner, after whom no other party changes it.
        self.word.load(Ordering::Relaxed) & RETIRED != 0
    }

    /// Leases out now.
    #[must_use]
    pub fn leases(&self) -> u32 {
        count(self.word.load(Ordering::Acquire))
    }

    /// Leases ever given, modulo 2^36.
    #[must_use]
    pub fn uses(&self) -> u64 {
        // Relaxed: a statistic.
        self.word.load(Ordering::Relaxed) >> USE_SHIFT
    }

    /// Whether new leases are refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & (CLOSED | RETIRED | REVOKED) != 0
    }

    /// Whether holders are shown that the instance is taken away.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        // Acquire: a holder that sees this also sees what the engine did before it revoked.
        self.word.load(Ordering::Acquire) & REVOKED != 0
    }
}

fn count(word: u64) -> u32 {
    // The field has 24 bits.
    (word & LEASES) as u32
}

/// The word with `n` more leases and uses; the use count wraps.
#[inline]
fn leased(word: u64, n: u64) -> u64 {
    word.wrapping_add(n * (USE + LEASE))
}

/// [`leased`] for a grant, which FULL does not stop. A count that left its field would change the flags, and leases would
/// outlive their instance.
fn granted(word: u64, n: u32) -> u64 {
    let n = u64::from(n);
    assert!((word & LEASES) + n <= LEASES, "at most {LEASES} leases of one incarnation");
    leased(word, n)
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
        c.request_notice();
        assert!(c.release(), "the first release after the request reports");
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
    fn end_of_the_leases_is_seen_once() {
        let c = LeaseCell::new(0);
        assert!(c.retire(), "no lease was out");
        c.reopen();
        assert!(!c.try_acquire() && c.is_closed(), "retired is for good");
        assert!(c.grant(2), "they begin again");
        assert!(!c.grant(1));
        let ends: Vec<_> = (0..3).map(|_| c.release_watched().is_end).collect();
        assert_eq!(ends, [false, false, true]);

        let c = LeaseCell::new(1);
        assert!(!c.retire(), "a lease is out");
        assert!(!c.try_release(), "the last release has to see the end");
        assert_eq!(c.release_watched(), Released { is_awaited: false, is_end: true });
    }

    #[test]
    fn release_that_may_have_to_report_changes_nothing_by_the_short_way() {
        let c = LeaseCell::new(2);
        assert!(c.try_release());
        c.request_notice();
        assert!(!c.try_release());
        assert_eq!(c.leases(), 1);
        assert_eq!(c.release_watched(), Released { is_awaited: true, is_end: false });
    }

    #[test]
    fn use_count_wraps_inside_its_field() {
        let c = LeaseCell { word: AtomicU64::new(!(USE - 1) | 5) };
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

    #[test]
    fn grant_that_would_leave_its_field_changes_nothing() {
        let c = LeaseCell::new(LEASES as u32);
        for n in [1, LEASES as u32 + 1, u32::MAX] {
            assert!(std::panic::catch_unwind(|| c.lease_n(n)).is_err(), "{n}");
        }
        assert_eq!((c.leases(), c.uses(), c.is_closed()), (LEASES as u32, LEASES, false));
    }
}
