//! Typed leases: the right to use a loaded component, as callers hold it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ComponentId, ComponentKey};

use crate::component::{Resident, Revocation};
use crate::process::Endpoint;
use crate::stdio::{CallAnswer, CallError, CallRequest, Caller};

pub(crate) type Incarnation = majordomo_lease::Incarnation<Resident>;
pub(crate) type KnownIncarnation = majordomo_lease::KnownIncarnation<Resident>;
pub(crate) type Slot = majordomo_lease::Slot<Resident>;
pub(crate) type RawLease = majordomo_lease::Lease<Resident>;

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

    /// Where it is reached, if it is a process or a service that runs elsewhere; counts as a use.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.raw.get().endpoint()
    }

    /// The way to call the component. It keeps no lease: once the component is unloaded, its calls fail.
    ///
    /// # Errors
    /// [`CallError::NotCallable`], which says how the component is used instead.
    pub fn caller(&self) -> Result<Caller, CallError> {
        let resident = self.raw.incarnation().instance();
        resident.caller(&resident.id)
    }

    /// Passes a request to the component and waits for its answer, at most `deadline`; without one, `call_deadline` of the
    /// component. Counts as a use. Cancel safe: dropping the future takes the call back.
    ///
    /// # Errors
    /// A [`CallError`] with the reason.
    pub async fn call(
        &self,
        request: &CallRequest,
        deadline: Option<Duration>,
    ) -> Result<CallAnswer, CallError> {
        self.mark_used();
        self.caller()?.call(request, deadline).await
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

    /// The same lease on a `T`.
    ///
    /// # Errors
    /// The lease itself, when the component is no `T`.
    #[inline]
    pub fn typed<T: 'static>(self) -> Result<Lease<T>, Self> {
        match self.raw.try_map(|resident| resident.downcast_ref()) {
            Ok(raw) => Ok(Lease::of(raw)),
            Err(raw) => Err(Self { raw }),
        }
    }
}

/// A lease on a component of type `T`; dereferences to it.
pub struct Lease<T> {
    raw: majordomo_lease::MappedLease<Resident, T>,
}

impl<T: 'static> Lease<T> {
    /// A lease whose type is known.
    #[inline]
    pub(crate) fn of(raw: majordomo_lease::MappedLease<Resident, T>) -> Self {
        Self { raw }
    }

    /// The component's name.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        &self.raw.lease().incarnation().instance().id
    }

    /// Whether the component has ended or is being stopped: finish and drop the lease.
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.raw.lease().revoked()
    }

    /// Why the lease was revoked, and whether the component has ended already; none while it is not revoked.
    #[must_use]
    pub fn revocation(&self) -> Option<Revocation> {
        self.raw.lease().incarnation().instance().revocation()
    }

    /// The lease without its type.
    #[must_use]
    pub fn into_any(self) -> AnyLease {
        AnyLease { raw: self.raw.into_lease() }
    }
}

impl Lease<Endpoint> {
    /// [`AnyLease::call`] of a program.
    ///
    /// # Errors
    /// A [`CallError`] with the reason.
    pub async fn call(
        &self,
        request: &CallRequest,
        deadline: Option<Duration>,
    ) -> Result<CallAnswer, CallError> {
        let resident = self.raw.lease().incarnation().instance();
        resident.caller(&resident.id)?.call(request, deadline).await
    }
}

impl<T: 'static> Deref for Lease<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.raw
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.raw.lease().incarnation().instance().id).finish()
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
