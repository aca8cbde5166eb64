//! Typed leases: the right to use a loaded component, as callers hold it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_lifecycle as lifecycle;

use crate::component::{Resident, Revocation};
use crate::process::Endpoint;

pub(crate) type Incarnation = lifecycle::Incarnation<Resident>;
pub(crate) type Slot = lifecycle::Slot<Resident>;
pub(crate) type RawLease = lifecycle::Lease<Resident>;

/// A lease on a component, whatever it is. Dropping it gives it back.
#[derive(Debug)]
pub struct AnyLease {
    pub(crate) raw: RawLease,
}

impl AnyLease {
    /// The component's name.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        &self.raw.incarnation().instance().id
    }

    /// Its key in the catalog.
    #[must_use]
    pub fn key(&self) -> ComponentKey {
        self.raw.incarnation().key()
    }

    /// The component as a `T`, if it is one; counts as a use.
    #[must_use]
    #[inline]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.raw.get().downcast_ref()
    }

    /// Where it is reached, if it is a process; counts as a use.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.raw.get().endpoint()
    }

    /// Counts it as used.
    pub fn mark_used(&self) {
        self.raw.mark_used();
    }

    /// Whether it counts as used.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.raw.was_used()
    }

    /// Whether the component has ended or is being stopped: finish and drop the lease.
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.raw.revoked()
    }

    /// Why the lease was revoked, and whether the component has ended already; none while it is not revoked.
    #[must_use]
    pub fn revocation(&self) -> Option<Revocation> {
        self.raw.incarnation().instance().revocation()
    }

    /// The same lease on a `T`, or this lease again when it is none.
    ///
    /// # Errors
    /// The lease itself, when the component is no `T`.
    #[inline]
    pub fn typed<T: 'static>(self) -> Result<Lease<T>, Self> {
        if self.raw.incarnation().instance().downcast_ref::<T>().is_some() {
            Ok(Lease { any: self, of: PhantomData })
        } else {
            Err(self)
        }
    }
}

/// A lease on a component of type `T`; dereferences to it.
pub struct Lease<T> {
    any: AnyLease,
    of: PhantomData<fn() -> T>,
}

impl<T: 'static> Lease<T> {
    /// The component's name.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        self.any.id()
    }

    /// Whether the component has ended or is being stopped: finish and drop the lease.
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.any.revoked()
    }

    /// Why the lease was revoked, and whether the component has ended already; none while it is not revoked.
    #[must_use]
    pub fn revocation(&self) -> Option<Revocation> {
        self.any.revocation()
    }

    /// The lease without its type.
    #[must_use]
    pub fn into_any(self) -> AnyLease {
        self.any
    }
}

impl<T: 'static> Deref for Lease<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // Its type was checked when the lease was made, and the instance never changes.
        self.any.get::<T>().expect("a lease has the type that it was made with")
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(self.any.id()).finish()
    }
}

/// A dependency as a component's loader sees it: no lease, it stays as long as its dependent is loaded.
pub struct Dependency<T> {
    incarnation: Arc<Incarnation>,
    of: PhantomData<fn() -> T>,
}

impl<T: 'static> Dependency<T> {
    pub(crate) fn new(incarnation: Arc<Incarnation>) -> Option<Self> {
        incarnation.instance().downcast_ref::<T>()?;
        Some(Self { incarnation, of: PhantomData })
    }
}

impl<T: 'static> Deref for Dependency<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.incarnation.instance().downcast_ref().expect("checked when it was made")
    }
}

impl<T> fmt::Debug for Dependency<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dependency").field(&self.incarnation.key()).finish()
    }
}

/// A cached way to one component as a `T`, for callers that ask often: leases it without a look-up while the
/// same incarnation is loaded. Keeps no component alive.
pub struct CachedIncarnation<T> {
    slot: Arc<Slot>,
    /// Its instance is a `T`, or it is empty.
    current: Weak<Incarnation>,
    of: PhantomData<fn() -> T>,
}

impl<T: 'static> CachedIncarnation<T> {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot, current: Weak::new(), of: PhantomData }
    }

    /// A lease by the fast path; none when the component is not ready or no `T`.
    #[inline]
    pub fn acquire(&mut self) -> Option<Lease<T>> {
        // Only its cell is asked: an open one belongs to the incarnation in the slot.
        let raw = match self.current.upgrade().and_then(Incarnation::acquire_owned) {
            Some(raw) => raw,
            None => self.look_up()?,
        };
        Some(Lease { any: AnyLease { raw }, of: PhantomData })
    }

    #[cold]
    fn look_up(&mut self) -> Option<RawLease> {
        let current = self.slot.current()?;
        current.instance().downcast_ref::<T>()?;
        self.current = Arc::downgrade(&current);
        current.acquire_owned()
    }
}

impl<T> fmt::Debug for CachedIncarnation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CachedIncarnation").field(&self.slot).finish()
    }
}
