//! Incarnations, slots and leases: how callers reach a loaded component without asking the engine.
//!
//! Each load makes one [`Incarnation`]; a [`Slot`] publishes it; a [`Lease`] holds its incarnation, so a
//! crash and a reload cannot confuse counts. Knows nothing of what instances are.
//!
//! Invariant: a cell that takes leases belongs to the incarnation in its slot. What leaves the slot is closed
//! first, so callers may keep a `Weak` and ask only the cell.

use std::fmt;
use std::sync::Arc;

use majordomo_core::{ComponentKey, IncarnationId};

use crate::LeaseCell;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Takes notices of releases that were asked for. Bounded by construction: one notice per `want`.
pub trait ReleaseSink: Send + Sync {
    /// A lease of this incarnation ended; must not block.
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
///
/// In this order: what leases write comes first, beside the reference counts in front of it, so that a lease
/// touches one cache line; what is only read follows, and keeps the next allocation's counts off that line.
#[repr(C)]
pub struct Incarnation<I> {
    cell: LeaseCell,
    last_use: AtomicU64,
    /// Only the engine grants leases, because it counts them against a limit.
    limited: bool,
    id: IncarnationId,
    tick: Arc<Tick>,
    sink: Arc<dyn ReleaseSink>,
    instance: I,
}

impl<I> Incarnation<I> {
    /// An incarnation that is not published yet, with `leases` in its cell.
    #[must_use]
    pub fn new(
        id: IncarnationId,
        instance: I,
        limited: bool,
        leases: u32,
        tick: Arc<Tick>,
        sink: Arc<dyn ReleaseSink>,
    ) -> Self {
        let last_use = AtomicU64::new(0);
        Self { cell: LeaseCell::new(leases), last_use, limited, id, tick, sink, instance }
    }

    /// The component.
    pub fn key(&self) -> ComponentKey {
        self.id.key
    }

    /// The component, and the load that made this incarnation of it.
    pub fn id(&self) -> IncarnationId {
        self.id
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
    #[inline]
    pub fn acquire(self: &Arc<Self>) -> Option<Lease<I>> {
        self.try_acquire().then(|| Lease::granted(Arc::clone(self)))
    }

    /// The same for who has a reference to spare: the lease keeps it.
    #[must_use]
    #[inline]
    pub fn acquire_owned(self: Arc<Self>) -> Option<Lease<I>> {
        // Not `then_some`: a lease made too early would give back what was never taken.
        if self.try_acquire() { Some(Lease::granted(self)) } else { None }
    }

    #[inline]
    fn try_acquire(&self) -> bool {
        !self.limited && self.cell.try_acquire()
    }
}

impl<I> fmt::Debug for Incarnation<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incarnation")
            .field("id", &self.id)
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
    #[inline]
    pub fn get(&self) -> &I {
        self.mark_used();
        &self.incarnation.instance
    }

    /// Counts as used without touching the instance.
    #[inline]
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
    #[inline]
    fn drop(&mut self) {
        let i = &*self.incarnation;
        if self.used.load(Ordering::Relaxed) {
            // Before the release, so that who closes after it sees this use.
            i.mark_used();
        }
        if i.cell.release() {
            i.sink.notify(i.id);
        }
    }
}

impl<I> fmt::Debug for Lease<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.incarnation.id).finish()
    }
}

/// Where the current incarnation of one component is found.
pub struct Slot<I> {
    current: Current<I>,
}

/// `load` shows the incarnation without taking a reference where it can; `swap` is one exchange, so whoever
/// loads sees the old one or the new one. While the protocol is modelled it is a mutex: arc-swap is not ours
/// to model, the protocol of slot and cell is.
#[cfg(not(majordomo_loom))]
type Current<I> = arc_swap::ArcSwapOption<Incarnation<I>>;
#[cfg(majordomo_loom)]
type Current<I> = crate::sync::Swap<Incarnation<I>>;

impl<I> Default for Slot<I> {
    fn default() -> Self {
        Self { current: Current::new(None) }
    }
}

impl<I> Slot<I> {
    /// A lease by the fast path.
    #[must_use]
    #[inline]
    pub fn acquire(&self) -> Option<Lease<I>> {
        (*self.current.load()).as_ref()?.acquire()
    }

    /// The current incarnation.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Incarnation<I>>> {
        self.current.load_full()
    }

    /// Publishes an incarnation and returns the one before, closed.
    pub fn install(&self, incarnation: Arc<Incarnation<I>>) -> Option<Arc<Incarnation<I>>> {
        self.replace(Some(incarnation))
    }

    /// Takes the incarnation away and returns it, closed.
    pub fn clear(&self) -> Option<Arc<Incarnation<I>>> {
        self.replace(None)
    }

    fn replace(&self, new: Option<Arc<Incarnation<I>>>) -> Option<Arc<Incarnation<I>>> {
        // Closed before the exchange, not after: when the new one can be leased the old one cannot. Only the
        // engine's owner writes slots, so what is closed here is what the exchange takes out.
        if let Some(old) = &*self.current.load() {
            old.cell.close();
        }
        self.current.swap(new)
    }
}

impl<I> fmt::Debug for Slot<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.current().map(|i| i.id)).finish()
    }
}
