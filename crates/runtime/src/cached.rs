//! A way to one component that skips the look-up.

use std::fmt;
use std::sync::{Arc, OnceLock};

use majordomo_core::ComponentKey;
use majordomo_lease::KnownPart;

use crate::component::Resident;
use crate::lease::Lease;
use crate::recent;
use crate::shell::Lanes;

/// A cached way to one component as a `T`, for callers that ask often: leases it without a look-up while the
/// incarnation of its first lease is loaded, and by key after that. Keeps no component loaded.
pub struct CachedIncarnation<T> {
    lanes: Arc<Lanes>,
    key: ComponentKey,
    /// The incarnation of the first lease. Written once, so that reading it takes no lock.
    first: OnceLock<KnownPart<Resident, T>>,
}

impl<T: 'static> CachedIncarnation<T> {
    pub(crate) fn new(lanes: Arc<Lanes>, key: ComponentKey) -> Self {
        Self { lanes, key, first: OnceLock::new() }
    }

    /// A lease by the fast path; none when the component is not ready or no `T`.
    #[must_use]
    #[inline]
    pub fn acquire(&self) -> Option<Lease<T>> {
        // Only its gate is asked: an open one belongs to the incarnation in the slot.
        match self.first.get().and_then(KnownPart::acquire) {
            Some(raw) => Some(Lease::of(raw)),
            None => self.look_up(),
        }
    }

    #[cold]
    fn look_up(&self) -> Option<Lease<T>> {
        let raw = recent::acquire(&self.lanes, self.key)?;
        let raw = raw.try_map(|resident| resident.downcast_ref::<T>()).ok()?;
        self.first.get_or_init(|| raw.known());
        Some(Lease::of(raw))
    }
}

impl<T> Clone for CachedIncarnation<T> {
    /// The clone caches for itself, from the component's next lease on.
    fn clone(&self) -> Self {
        let (lanes, key) = (Arc::clone(&self.lanes), self.key);
        Self { lanes, key, first: OnceLock::new() }
    }
}

impl<T> fmt::Debug for CachedIncarnation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CachedIncarnation").field(&self.key).finish()
    }
}
