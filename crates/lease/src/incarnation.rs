//! Incarnations and leases: the one file of this crate with unsafe code.
//!
//! A [`Lease`] is a pointer to its incarnation and no `Arc`: the lease is counted in the gate's cell, and that count is
//! its reference. All leases together own one reference of the incarnation's `Arc`, the *share of the leases*. Why each
//! pointer is valid:
//!
//! 1. The share is taken before the incarnation is published ([`Published::new`]), with RETIRED not set.
//! 2. The share is dropped by the one party that sees the end of the leases: RETIRED is set and no lease is counted
//!    (`cell`: *last release‖retire*). So while a lease is counted, or RETIRED is not set, the incarnation lives.
//! 3. A successful `try_acquire` sees RETIRED not set and counts the new lease in one operation. After RETIRED only
//!    [`Published::grant`] counts leases; it holds a reference of its own and takes the share again when that has ended.
//! 4. A release that could see the end or has to report takes a reference of its own first, while its lease is still
//!    counted; any other release touches nothing after the operation that uncounts it.
//! 5. The part of a [`MappedLease`] is borrowed from the instance by a function for every lifetime, and an instance never
//!    moves and is never borrowed mutably while it is published. So the part lives where the lease's target lives.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

use majordomo_core::{ComponentKey, IncarnationId};

use crate::Gate;
use crate::sync::Arc;

/// One load of a component: its instance, and the gate that counts its leases.
pub struct Incarnation<I> {
    gate: Arc<Gate>,
    instance: I,
}

impl<I> Incarnation<I> {
    /// An incarnation that is not published yet: [`Slot::install`](crate::Slot::install) does that.
    #[must_use]
    pub fn new(gate: Gate, instance: I) -> Self {
        Self { gate: Arc::new(gate), instance }
    }

    /// The component's key in the catalog.
    pub fn key(&self) -> ComponentKey {
        self.gate.id().key
    }

    /// The component, and the load that made this incarnation of it.
    pub fn id(&self) -> IncarnationId {
        self.gate.id()
    }

    /// Where its leases are counted.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The instance that the component's loader made.
    pub fn instance(&self) -> &I {
        &self.instance
    }
}

impl<I> fmt::Debug for Incarnation<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incarnation").field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// An incarnation that a slot publishes or has published: its leases have a share of its `Arc`.
pub(crate) struct Published<I>(Arc<Incarnation<I>>);

impl<I> Published<I> {
    /// Takes the share of the leases. The caller retires the incarnation once, when it takes it out of its slot.
    pub(crate) fn new(incarnation: Incarnation<I>) -> Self {
        assert!(!incarnation.gate.cell.is_retired(), "an incarnation is installed once");
        let incarnation = Arc::new(incarnation);
        std::mem::forget(Arc::clone(&incarnation));
        Self(incarnation)
    }

    /// One that came out of a slot.
    pub(crate) fn from_slot(incarnation: Arc<Incarnation<I>>) -> Self {
        Self(incarnation)
    }

    pub(crate) fn into_arc(self) -> Arc<Incarnation<I>> {
        self.0
    }

    /// Closes the gate for good; the last lease, or this call if there is none, drops the share of the leases.
    pub(crate) fn retire(&self) {
        if self.0.gate.cell.retire() {
            // SAFETY: rule 2: this call saw the end, so the share that was forgotten is dropped here and nowhere else.
            drop(unsafe { Arc::from_raw(Arc::as_ptr(&self.0)) });
        }
    }

    /// Leases that the engine grants, whether or not the gate is closed.
    pub(crate) fn grant(&self, n: u32) -> Vec<Lease<I>> {
        if self.0.gate.cell.grant(n) {
            // Rule 3: the leases of a retired incarnation begin again, so they need their share again.
            std::mem::forget(Arc::clone(&self.0));
        }
        // Each is counted already.
        (0..n).map(|_| Lease::counted(pointer(&self.0))).collect()
    }

    /// A lease without asking the engine; none when the gate is closed or its leases are limited.
    #[inline]
    pub(crate) fn acquire(incarnation: &Arc<Incarnation<I>>) -> Option<Lease<I>> {
        let is_counted = !incarnation.gate.is_limited && incarnation.gate.cell.try_acquire();
        is_counted.then(|| Lease::counted(pointer(incarnation)))
    }
}

/// The pointer of an `Arc`, fit to make an `Arc` of it again.
#[inline]
fn pointer<I>(incarnation: &Arc<Incarnation<I>>) -> NonNull<Incarnation<I>> {
    // SAFETY: the pointer of an `Arc` is not null.
    unsafe { NonNull::new_unchecked(Arc::as_ptr(incarnation).cast_mut()) }
}

/// Leads back to an incarnation and keeps only its gate: its instance may be dropped meanwhile.
pub struct KnownIncarnation<I> {
    gate: Arc<Gate>,
    target: NonNull<Incarnation<I>>,
}

// SAFETY: it gives `&I` to the thread that acquires by it, and may drop the instance there as the last lease does.
unsafe impl<I: Send + Sync> Send for KnownIncarnation<I> {}
// SAFETY: as for `Send`.
unsafe impl<I: Send + Sync> Sync for KnownIncarnation<I> {}

impl<I> KnownIncarnation<I> {
    /// A lease on that incarnation without asking the engine; none when its gate is closed or its leases are limited.
    #[must_use]
    #[inline]
    pub fn acquire(&self) -> Option<Lease<I>> {
        let is_counted = !self.gate.is_limited && self.gate.cell.try_acquire();
        // Rule 3: the gate belongs to the target, which therefore lives now.
        is_counted.then(|| Lease::counted(self.target))
    }
}

impl<I> Clone for KnownIncarnation<I> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate), target: self.target }
    }
}

impl<I> fmt::Debug for KnownIncarnation<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownIncarnation").field(&self.gate).finish()
    }
}

/// Set in a lease's pointer when the lease was used. Free, since a gate's `Arc` aligns incarnations to more than a byte.
const USED: usize = 1;

/// The right to use an incarnation; dropping it gives it back.
///
/// One word, so that it travels in a register: a lease that was written in parts and read as a whole costs more than
/// both its atomic operations.
pub struct Lease<I> {
    /// To the incarnation, with [`USED`].
    target: AtomicPtr<Incarnation<I>>,
    /// It may drop the instance, and is `Send` and `Sync` where an `Arc` is.
    owns: PhantomData<Arc<Incarnation<I>>>,
}

impl<I> Lease<I> {
    const ALIGNED: () = assert!(align_of::<Incarnation<I>>() > USED);

    /// Of a lease that is counted in the cell.
    #[inline]
    fn counted(target: NonNull<Incarnation<I>>) -> Self {
        let () = Self::ALIGNED;
        Self { target: AtomicPtr::new(target.as_ptr()), owns: PhantomData }
    }

    #[inline]
    fn target(&self) -> *mut Incarnation<I> {
        // Relaxed: only the mark changes, which nothing is published with.
        self.target.load(Ordering::Relaxed).map_addr(|address| address & !USED)
    }

    /// The instance; the first call counts as the use.
    #[inline]
    pub fn get(&self) -> &I {
        self.mark_used();
        &self.incarnation().instance
    }

    /// Counts the lease as used without touching the instance.
    #[inline]
    pub fn mark_used(&self) {
        // Relaxed: read by this lease's own drop, which the borrow checker orders after every use.
        let target = self.target.load(Ordering::Relaxed);
        if target.addr() & USED == 0 {
            self.target.store(target.map_addr(|address| address | USED), Ordering::Relaxed);
        }
    }

    /// Whether the lease counts as used.
    #[inline]
    pub fn was_used(&self) -> bool {
        self.target.load(Ordering::Relaxed).addr() & USED != 0
    }

    /// Whether the instance is being taken away: finish and drop the lease.
    pub fn revoked(&self) -> bool {
        self.incarnation().gate.is_revoked()
    }

    /// The incarnation that the lease is on.
    #[inline]
    pub fn incarnation(&self) -> &Incarnation<I> {
        // SAFETY: rule 2: this lease is counted as long as it exists, so its target lives.
        unsafe { &*self.target() }
    }

    /// A way back to the incarnation after this lease, which keeps nothing loaded.
    #[must_use]
    pub fn known(&self) -> KnownIncarnation<I> {
        // SAFETY: the target of a lease is not null.
        let target = unsafe { NonNull::new_unchecked(self.target()) };
        KnownIncarnation { gate: Arc::clone(&self.incarnation().gate), target }
    }
}

impl<I> Lease<I> {
    /// The same lease, which dereferences to a part of the instance.
    ///
    /// # Errors
    /// The lease itself, when `part` finds none.
    #[inline]
    pub fn try_map<T>(
        self,
        part: impl for<'a> FnOnce(&'a I) -> Option<&'a T>,
    ) -> Result<MappedLease<I, T>, Self> {
        // Rule 5: for every lifetime `'a`, the part is borrowed from the instance or lives as long as an `I` can.
        match part(&self.incarnation().instance).map(NonNull::from) {
            Some(part) => Ok(MappedLease { lease: self, part }),
            None => Err(self),
        }
    }
}

impl<I> Drop for Lease<I> {
    #[inline]
    fn drop(&mut self) {
        let gate = &*self.incarnation().gate;
        if self.was_used() {
            // Before the release, so that a party that closes after it sees this use.
            gate.mark_used();
        }
        if !gate.cell.try_release() {
            release_watched(self.target());
        }
    }
}

/// A lease that dereferences to a part of the instance.
pub struct MappedLease<I, T> {
    lease: Lease<I>,
    part: NonNull<T>,
}

// SAFETY: it is a lease and a `&T`.
unsafe impl<I: Send + Sync, T: Sync> Send for MappedLease<I, T> {}
// SAFETY: as for `Send`.
unsafe impl<I: Send + Sync, T: Sync> Sync for MappedLease<I, T> {}

impl<I, T> MappedLease<I, T> {
    /// The lease on the instance.
    #[must_use]
    pub fn lease(&self) -> &Lease<I> {
        &self.lease
    }

    /// The lease without its part.
    #[must_use]
    pub fn into_lease(self) -> Lease<I> {
        self.lease
    }

    /// A way back to the same part after this lease, which keeps nothing loaded.
    #[must_use]
    pub fn known(&self) -> KnownPart<I, T> {
        KnownPart { incarnation: self.lease.known(), part: self.part }
    }
}

impl<I, T> Deref for MappedLease<I, T> {
    type Target = T;

    /// The part; the first call counts as the use.
    #[inline]
    fn deref(&self) -> &T {
        self.lease.mark_used();
        // SAFETY: rule 5.
        unsafe { self.part.as_ref() }
    }
}

/// Leads back to a part of an incarnation's instance and keeps only the gate, as [`KnownIncarnation`] does.
pub struct KnownPart<I, T> {
    incarnation: KnownIncarnation<I>,
    part: NonNull<T>,
}

// SAFETY: it gives a `MappedLease` to the thread that acquires by it.
unsafe impl<I: Send + Sync, T: Sync> Send for KnownPart<I, T> {}
// SAFETY: as for `Send`.
unsafe impl<I: Send + Sync, T: Sync> Sync for KnownPart<I, T> {}

impl<I, T> KnownPart<I, T> {
    /// A lease on that part without asking the engine; none when the gate is closed or its leases are limited.
    #[must_use]
    #[inline]
    pub fn acquire(&self) -> Option<MappedLease<I, T>> {
        // Rule 5: the part is one of the instance that the lease is on.
        self.incarnation.acquire().map(|lease| MappedLease { lease, part: self.part })
    }
}

impl<I, T> Clone for KnownPart<I, T> {
    fn clone(&self) -> Self {
        Self { incarnation: self.incarnation.clone(), part: self.part }
    }
}

impl<I, T> fmt::Debug for KnownPart<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownPart").field(&self.incarnation).finish()
    }
}

impl<I, T> fmt::Debug for MappedLease<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MappedLease").field(&self.lease).finish()
    }
}

/// Gives back a lease of a gate that is retired or awaits a notice.
#[cold]
fn release_watched<I>(target: *const Incarnation<I>) {
    // SAFETY: rule 4: the lease is still counted, so the share is there and the pointer came from its `Arc`.
    let incarnation = unsafe {
        Arc::increment_strong_count(target);
        Arc::from_raw(target)
    };
    let released = incarnation.gate.cell.release_watched();
    // Before the notice, so that a receiver that panics keeps no instance alive.
    if released.is_end {
        // SAFETY: rule 2: this release saw the end, so the share that was forgotten is dropped here and nowhere else.
        drop(unsafe { Arc::from_raw(target) });
    }
    if released.is_awaited {
        incarnation.gate.notify();
    }
}

impl<I> fmt::Debug for Lease<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.incarnation().id()).finish()
    }
}
