//! A cached way to one component, for callers that ask often.

use std::fmt;

use majordomo_core::{ComponentKey, Refusal};
use majordomo_runtime::{AcquireOptions, AnyLease, CachedIncarnation, Host, Lease};

/// A cached way to one component of type `T`: while the same incarnation is loaded a lease costs two atomic
/// operations and no look-up.
pub struct Handle<T> {
    pub(crate) host: Host,
    pub(crate) key: ComponentKey,
    pub(crate) name: majordomo_core::ComponentId,
    pub(crate) cached: CachedIncarnation<T>,
}

impl<T: 'static> Handle<T> {
    /// A lease if the component is ready and a `T`, without asking the engine.
    #[must_use]
    #[inline]
    pub fn try_acquire(&mut self) -> Option<Lease<T>> {
        self.cached.acquire()
    }

    /// A lease; loads the component if need be.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn acquire(&mut self) -> Result<Lease<T>, Refusal> {
        if let Some(lease) = self.try_acquire() {
            return Ok(lease);
        }
        let mut leases = self.host.acquire_all(&[self.key], AcquireOptions::default()).await?;
        let lease = leases.pop().ok_or(Refusal::Abandoned)?;
        typed(lease)
    }
}

/// A lease as a `T`, or the refusal that says what it is not.
pub(crate) fn typed<T: 'static>(lease: AnyLease) -> Result<Lease<T>, Refusal> {
    lease.typed().map_err(|lease| Refusal::WrongType {
        component: lease.id().clone(),
        requested: std::any::type_name::<T>(),
    })
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.name).finish()
    }
}
