//! Incarnations, slots and leases: how callers reach a loaded component without asking the engine.
//!
//! Each load makes one [`Incarnation`]; a [`Slot`] publishes it; a [`Lease`] holds its incarnation, so a
//! crash and a reload cannot confuse counts.

use std::fmt;
use std::sync::Arc;

use majordomo_core::{ComponentKey, OpId};

use crate::LeaseCell;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// A release that somebody waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseNotice {
    /// The component.
    pub key: ComponentKey,
    /// Its incarnation.
    pub op: OpId,
}

/// Where releases are told. Bounded by construction: one notice per `want`.
pub trait ReleaseSink: Send + Sync {
    /// Takes a notice; must not block.
    fn notify(&self, notice: ReleaseNotice);
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

    /// The number of ticks.
    #[must_use]
    pub fn get(&self) -> u64 {
        // Relaxed: the value stands alone, nothing is published with it.
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub fn set(&self, ticks: u64) {
        self.0.store(ticks, Ordering::Relaxed);
    }
}

/// One load of a component: its instance and its leases.
pub struct Incarnation<I> {
    key: ComponentKey,
    op: OpId,
    cell: LeaseCell,
    /// Only the engine grants leases, because it counts them against a limit.
    limited: bool,
    instance: I,
    last_use: AtomicU64,
    tick: Arc<Tick>,
    sink: Arc<dyn ReleaseSink>,
}

impl<I> Incarnation<I> {
    /// An incarnation that is not published yet, with `leases` in its cell.
    #[must_use]
    pub fn new(
        key: ComponentKey,
        op: OpId,
        instance: I,
        limited: bool,
        leases: u32,
        tick: Arc<Tick>,
        sink: Arc<dyn ReleaseSink>,
    ) -> Self {
        let last_use = AtomicU64::new(0);
        Self { key, op, cell: LeaseCell::new(leases), limited, instance, last_use, tick, sink }
    }

    /// The component.
    pub fn key(&self) -> ComponentKey {
        self.key
    }

    /// Which load made it.
    pub fn op(&self) -> OpId {
        self.op
    }

    /// Its cell.
    pub fn cell(&self) -> &LeaseCell {
        &self.cell
    }

    /// The instance.
    pub fn instance(&self) -> &I {
        &self.instance
    }

    /// The tick of the last use; 0 when never used.
    pub fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }

    /// Records a use now.
    pub fn mark_used(&self) {
        // Relaxed: a statistic; the engine reads it in its sweep.
        self.last_use.store(self.tick.get(), Ordering::Relaxed);
    }

    /// A lease by the fast path; none when the cell is closed or its leases are limited.
    #[must_use]
    pub fn acquire(self: &Arc<Self>) -> Option<Lease<I>> {
        if self.limited || !self.cell.try_acquire() {
            return None;
        }
        Some(Lease { incarnation: Arc::clone(self), used: AtomicBool::new(false) })
    }
}

impl<I> fmt::Debug for Incarnation<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incarnation")
            .field("key", &self.key)
            .field("op", &self.op)
            .field("cell", &self.cell)
            .finish_non_exhaustive()
    }
}

/// The right to use an incarnation; dropping it gives it back.
pub struct Lease<I> {
    incarnation: Arc<Incarnation<I>>,
    used: AtomicBool,
}

impl<I> Lease<I> {
    /// Wraps a lease that the engine has already put into the cell.
    #[must_use]
    pub fn granted(incarnation: Arc<Incarnation<I>>) -> Self {
        Self { incarnation, used: AtomicBool::new(false) }
    }

    /// The instance; the first call counts as the use.
    pub fn get(&self) -> &I {
        self.mark_used();
        &self.incarnation.instance
    }

    /// Counts as used without touching the instance.
    pub fn mark_used(&self) {
        // Relaxed: read by this lease's own drop, which the borrow checker orders after every use.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was used.
    pub fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether the instance is being taken away: finish and drop the lease.
    pub fn revoked(&self) -> bool {
        self.incarnation.cell.is_revoked()
    }

    /// The incarnation.
    pub fn incarnation(&self) -> &Arc<Incarnation<I>> {
        &self.incarnation
    }
}

impl<I> Drop for Lease<I> {
    fn drop(&mut self) {
        let i = &*self.incarnation;
        if self.used.load(Ordering::Relaxed) {
            i.mark_used();
        }
        if i.cell.release() {
            i.sink.notify(ReleaseNotice { key: i.key, op: i.op });
        }
    }
}

impl<I> fmt::Debug for Lease<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("key", &self.incarnation.key)
            .field("op", &self.incarnation.op)
            .finish()
    }
}

/// Where the current incarnation of one component is found.
pub struct Slot<I> {
    #[cfg(not(majordomo_loom))]
    current: arc_swap::ArcSwapOption<Incarnation<I>>,
    #[cfg(majordomo_loom)]
    current: loom::sync::Mutex<Option<Arc<Incarnation<I>>>>,
}

impl<I> Default for Slot<I> {
    fn default() -> Self {
        #[cfg(not(majordomo_loom))]
        let current = arc_swap::ArcSwapOption::empty();
        #[cfg(majordomo_loom)]
        let current = loom::sync::Mutex::new(None);
        Self { current }
    }
}

#[cfg(not(majordomo_loom))]
impl<I> Slot<I> {
    /// A lease by the fast path.
    #[must_use]
    pub fn acquire(&self) -> Option<Lease<I>> {
        let current = self.current.load();
        current.as_ref()?.acquire()
    }

    /// The current incarnation.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Incarnation<I>>> {
        self.current.load_full()
    }

    /// Publishes an incarnation and returns the one before.
    pub fn install(&self, incarnation: Arc<Incarnation<I>>) -> Option<Arc<Incarnation<I>>> {
        self.current.swap(Some(incarnation))
    }

    /// Takes the incarnation away.
    pub fn clear(&self) -> Option<Arc<Incarnation<I>>> {
        self.current.swap(None)
    }
}

#[cfg(majordomo_loom)]
#[allow(missing_docs, clippy::unwrap_used)]
impl<I> Slot<I> {
    #[must_use]
    pub fn acquire(&self) -> Option<Lease<I>> {
        let current = self.current.lock().unwrap().clone();
        current.as_ref()?.acquire()
    }

    #[must_use]
    pub fn current(&self) -> Option<Arc<Incarnation<I>>> {
        self.current.lock().unwrap().clone()
    }

    pub fn install(&self, incarnation: Arc<Incarnation<I>>) -> Option<Arc<Incarnation<I>>> {
        self.current.lock().unwrap().replace(incarnation)
    }

    pub fn clear(&self) -> Option<Arc<Incarnation<I>>> {
        self.current.lock().unwrap().take()
    }
}

impl<I> fmt::Debug for Slot<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.current().map(|i| i.op)).finish()
    }
}
