//! Typed leases: the right to use a loaded component, as callers hold it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use majordomo_core::{ComponentId, ComponentKey};
use majordomo_lifecycle as lifecycle;

use crate::component::Instance;
use crate::process::Endpoint;

pub(crate) type Incarnation = lifecycle::Incarnation<Instance>;
pub(crate) type Slot = lifecycle::Slot<Instance>;
pub(crate) type RawLease = lifecycle::Lease<Instance>;

/// A lease on a component, whatever it is. Dropping it gives it back.
#[derive(Debug)]
pub struct AnyLease {
    pub(crate) raw: RawLease,
    pub(crate) id: ComponentId,
}

impl AnyLease {
    /// A lease by a cached way; none when the component is not ready.
    #[must_use]
    pub fn from_cached(cached: &mut CachedIncarnation, id: &ComponentId) -> Option<Self> {
        Some(Self { raw: cached.acquire()?, id: id.clone() })
    }

    /// The component's name.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Its key in the catalog.
    #[must_use]
    pub fn key(&self) -> ComponentKey {
        self.raw.incarnation().key()
    }

    /// The component as a `T`, if it is one; counts as a use.
    #[must_use]
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

    /// Whether the component is being taken away: finish and drop the lease.
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.raw.revoked()
    }

    /// The same lease on a `T`, or this lease again when it is none.
    ///
    /// # Errors
    /// The lease itself, when the component is no `T`.
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
        &self.any.id
    }

    /// Whether the component is being taken away: finish and drop the lease.
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.any.revoked()
    }

    /// The lease without its type.
    #[must_use]
    pub fn into_any(self) -> AnyLease {
        self.any
    }
}

impl<T: 'static> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // Its type was checked when the lease was made, and the instance never changes.
        self.any.get::<T>().expect("a lease has the type that it was made with")
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.any.id).finish()
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

/// A cached way to one component for callers that ask often: leases it without a look-up while the same
/// incarnation is loaded.
#[derive(Debug)]
pub struct CachedIncarnation {
    slot: Arc<Slot>,
    current: Weak<Incarnation>,
}

impl CachedIncarnation {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot, current: Weak::new() }
    }

    /// A lease by the fast path; none when the component is not ready.
    pub(crate) fn acquire(&mut self) -> Option<RawLease> {
        if let Some(lease) = self.current.upgrade().and_then(|i| i.acquire()) {
            return Some(lease);
        }
        let current = self.slot.current()?;
        self.current = Arc::downgrade(&current);
        current.acquire()
    }
}
