//! A way to one component for callers that ask often.

use std::fmt;

use majordomo_core::{ComponentId, ComponentKey, Refusal};
use majordomo_runtime::{AcquireOptions, AnyLease, CachedIncarnation, Host, Lease};

/// A way to one component of type `T` that skips the look-up: a lease of a loaded component costs two atomic
/// operations. Cloned or shared between threads; a clone or two threads that lease different components share nothing.
///
/// A handle does not keep the manager running: after the last [`Manager`](crate::Manager) is dropped, requests are
/// refused with [`Refusal::ShuttingDown`].
pub struct Handle<T> {
    pub(crate) host: Host,
    pub(crate) key: ComponentKey,
    pub(crate) name: ComponentId,
    pub(crate) cached: CachedIncarnation<T>,
}

impl<T: 'static> Handle<T> {
    /// The component's name.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        &self.name
    }

    /// A lease if the component is ready and a `T`; loads nothing and never waits.
    #[must_use]
    #[inline]
    pub fn try_acquire(&self) -> Option<Lease<T>> {
        self.cached.acquire()
    }

    /// A lease; loads the component if it is not ready.
    ///
    /// # Errors
    /// The [`Refusal`] with its reason; [`Refusal::WrongType`] when the component is no `T`.
    pub async fn acquire(&self) -> Result<Lease<T>, Refusal> {
        self.acquire_with(AcquireOptions::default()).await
    }

    /// [`Self::acquire`] with a priority, a deadline, or a caller that may hold leases already.
    ///
    /// # Errors
    /// The [`Refusal`] with its reason; [`Refusal::WrongType`] when the component is no `T`.
    pub async fn acquire_with(&self, options: AcquireOptions) -> Result<Lease<T>, Refusal> {
        if let Some(lease) = self.try_acquire() {
            return Ok(lease);
        }
        let mut leases = self.host.acquire_all(&[self.key], options).await?;
        typed(leases.pop().ok_or(Refusal::Abandoned)?)
    }
}

/// A lease as a `T`, or the refusal that names the type.
pub(crate) fn typed<T: 'static>(lease: AnyLease) -> Result<Lease<T>, Refusal> {
    lease.typed().map_err(|lease| Refusal::WrongType {
        component: lease.id().clone(),
        requested: std::any::type_name::<T>(),
    })
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        let Self { host, key, name, cached } = self;
        Self { host: host.clone(), key: *key, name: name.clone(), cached: cached.clone() }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.name).finish()
    }
}
