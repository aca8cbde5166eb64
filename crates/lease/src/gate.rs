//! The gate of one incarnation: its lease cell, and the time of its last use.
//!
//! Owns what leases write. A gate outlives the instance while a [`KnownIncarnation`](crate::KnownIncarnation) leads
//! to it. Only this crate adds and releases leases: the count is also the reference count of the leases.

use std::fmt;
use std::sync::Arc;

use majordomo_core::IncarnationId;

use crate::sync::{AtomicU64, Ordering};
use crate::{CloseAnswer, LeaseCell};

/// The receiver of notices of releases that were requested. Bounded by construction: one notice for each request.
pub trait ReleaseSink: Send + Sync {
    /// A lease of this incarnation was given back; must not block.
    fn notify(&self, id: IncarnationId);
}

/// A coarse clock that is only read here: ticks since some start, written by one thread of the runtime.
#[derive(Debug, Default)]
pub struct Tick(AtomicU64);

impl Tick {
    /// A clock at a number of ticks.
    #[must_use]
    pub fn new(ticks: u64) -> Self {
        Self(AtomicU64::new(ticks))
    }

    /// Ticks since the clock's start.
    #[must_use]
    pub fn get(&self) -> u64 {
        // Relaxed: the value stands alone, nothing is published with it.
        self.0.load(Ordering::Relaxed)
    }

    /// Moves the clock to a number of ticks.
    pub fn set(&self, ticks: u64) {
        self.0.store(ticks, Ordering::Relaxed);
    }
}

/// Where the leases of one incarnation are counted, and whether it takes more.
///
/// Aligned to two cache lines, so that leases on two components never share a line (processors fetch lines in pairs).
#[repr(align(128))]
pub struct Gate {
    pub(crate) cell: LeaseCell,
    last_use: AtomicU64,
    /// Only the engine grants leases, because it counts them against a limit.
    pub(crate) is_limited: bool,
    id: IncarnationId,
    tick: Arc<Tick>,
    sink: Arc<dyn ReleaseSink>,
}

impl Gate {
    /// An open gate of one incarnation. With `is_limited` callers get no lease by themselves: the
    /// engine counts leases against a limit and grants them.
    #[must_use]
    pub fn new(
        id: IncarnationId,
        is_limited: bool,
        tick: Arc<Tick>,
        sink: Arc<dyn ReleaseSink>,
    ) -> Self {
        let (cell, last_use) = (LeaseCell::new(0), AtomicU64::new(0));
        Self { cell, last_use, is_limited, id, tick, sink }
    }

    /// The component, and the load that made this incarnation of it.
    #[must_use]
    pub fn id(&self) -> IncarnationId {
        self.id
    }

    /// Closes the gate if no lease is out.
    pub fn try_close(&self) -> CloseAnswer {
        self.cell.try_close()
    }

    /// Closes the gate to new leases, whether or not leases are out.
    pub fn close(&self) {
        self.cell.close();
    }

    /// Opens the gate again, unless it was revoked or its incarnation was replaced.
    pub fn reopen(&self) {
        self.cell.reopen();
    }

    /// Requests a notice from the next release. A caller that waits for the last lease tries to close once more after
    /// this.
    pub fn request_notice(&self) {
        self.cell.request_notice();
    }

    /// Shows holders that the instance is taken away; closes for good.
    pub fn revoke(&self) {
        self.cell.revoke();
    }

    /// Leases out now.
    #[must_use]
    pub fn leases(&self) -> u32 {
        self.cell.leases()
    }

    /// Leases ever given, modulo 2^36.
    #[must_use]
    pub fn uses(&self) -> u64 {
        self.cell.uses()
    }

    /// Whether new leases are refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.cell.is_closed()
    }

    /// Whether holders are shown that the instance is taken away.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.cell.is_revoked()
    }

    /// The tick of the last use; 0 when it was never used.
    #[must_use]
    pub fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }

    /// Records a use now.
    #[inline]
    pub fn mark_used(&self) {
        // Relaxed: a statistic; the engine reads it in its sweep.
        self.last_use.store(self.tick.get(), Ordering::Relaxed);
    }

    pub(crate) fn notify(&self) {
        self.sink.notify(self.id);
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("id", &self.id)
            .field("cell", &self.cell)
            .finish_non_exhaustive()
    }
}
