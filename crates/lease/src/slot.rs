//! Slots: where the current incarnation of each component is found.
//!
//! Invariant: a gate that takes leases belongs to the incarnation in its slot. An incarnation is closed before it is
//! taken out, so callers may keep a [`KnownIncarnation`](crate::KnownIncarnation) and ask only its gate.

use std::fmt;

use crate::incarnation::Published;
use crate::sync::Arc;
use crate::{Incarnation, Lease};

/// Where the current incarnation of one component is found.
pub struct Slot<I> {
    current: Current<I>,
}

/// `load` shows the incarnation without taking a reference where it can; `swap` is one exchange, so a caller that
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
    /// A lease without asking the engine; none when the gate is closed or its leases are limited.
    #[must_use]
    #[inline]
    pub fn acquire(&self) -> Option<Lease<I>> {
        Published::acquire((*self.current.load()).as_ref()?)
    }

    /// Leases that the engine grants, whether or not the gate is closed; none when no incarnation is installed.
    ///
    /// # Panics
    /// When 2^24 leases of the incarnation or more would be out.
    pub fn grant(&self, n: u32) -> Vec<Lease<I>> {
        self.current().map(|current| Published::from_slot(current).grant(n)).unwrap_or_default()
    }

    /// The incarnation that is installed.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Incarnation<I>>> {
        self.current.load_full()
    }

    /// Publishes an incarnation, and returns `n` leases that the engine grants on it and the incarnation before, closed.
    ///
    /// # Panics
    /// When `n` is 2^24 or more, or when the incarnation was installed before: one that was taken out stays closed.
    pub fn install(
        &self,
        incarnation: Incarnation<I>,
        n: u32,
    ) -> (Vec<Lease<I>>, Option<Arc<Incarnation<I>>>) {
        let published = Published::new(incarnation);
        let leases = published.grant(n);
        (leases, self.replace(Some(published)))
    }

    /// Takes the incarnation out and returns it, closed.
    pub fn clear(&self) -> Option<Arc<Incarnation<I>>> {
        self.replace(None)
    }

    fn replace(&self, new: Option<Published<I>>) -> Option<Arc<Incarnation<I>>> {
        // Closed before the exchange, not after: when the new one can be leased the old one cannot. Only the
        // engine's owner writes slots, so the one that is closed here is the one that the exchange takes out.
        if let Some(old) = &*self.current.load() {
            old.gate().close();
        }
        let old = Published::from_slot(self.current.swap(new.map(Published::into_arc))?);
        old.retire();
        Some(old.into_arc())
    }
}

impl<I> Drop for Slot<I> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<I> fmt::Debug for Slot<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.current().map(|i| i.id())).finish()
    }
}
