//! Leases by name, without a text.

use std::sync::Arc;

use majordomo_core::Refusal;
use majordomo_runtime::{AcquireOptions, AnyLease, Ask, Lease, OldLeases, Party, Tagged};

use super::Manager;
use crate::component_ref::LeasedAs;
use crate::exchange::exchange;
use crate::handle::{Handle, typed};

impl Manager {
    /// A lease on a component as a `T`, if the component is ready and a `T`; loads nothing and never waits.
    #[must_use]
    #[inline]
    pub fn try_acquire<T: 'static>(
        &self,
        component: &(impl LeasedAs<T> + ?Sized),
    ) -> Option<Lease<T>> {
        self.host().try_acquire_named(component.name())?.typed().ok()
    }

    /// A lease on a component as a `T`; loads the component if it is not ready. The component is a
    /// [`ComponentRef`](crate::ComponentRef), which knows its type, or a name: `manager.acquire(&model)`, or
    /// `manager.acquire::<Model>("model")`.
    ///
    /// # Errors
    /// The [`Refusal`] with its reason; [`Refusal::WrongType`] when the component is no `T`.
    pub async fn acquire<T: 'static>(
        &self,
        component: &(impl LeasedAs<T> + ?Sized),
    ) -> Result<Lease<T>, Refusal> {
        self.acquire_with(component, AcquireOptions::default()).await
    }

    /// [`Self::acquire`] with a priority, a deadline, or a caller that may hold leases already.
    ///
    /// # Errors
    /// The [`Refusal`] with its reason; [`Refusal::WrongType`] when the component is no `T`.
    pub async fn acquire_with<T: 'static>(
        &self,
        component: &(impl LeasedAs<T> + ?Sized),
        options: AcquireOptions,
    ) -> Result<Lease<T>, Refusal> {
        if let Some(lease) = self.host().try_acquire_named(component.name()) {
            return typed(lease);
        }
        let mut leases = self.acquire_all(&[component.name()], options).await?;
        typed(leases.pop().ok_or(Refusal::Abandoned)?)
    }

    /// Leases on a set of components, all or none, in the order of the names with repeats left out.
    ///
    /// # Errors
    /// The [`Refusal`] with its reason.
    pub async fn acquire_all(
        &self,
        names: &[&str],
        options: AcquireOptions,
    ) -> Result<Vec<AnyLease>, Refusal> {
        let keys = self.keys(names)?;
        self.host().acquire_all(&keys, options).await
    }

    /// Exchanges leases for leases on other components, all or none. The old leases are returned when the demand for
    /// the new ones is admitted, so that the new components may take their place, and otherwise when it is granted.
    /// After a refusal `leases` is unchanged, unless the refusal came after the admission (a load that failed); then
    /// it is empty. Dropping the future leaves the old leases in `leases`, too.
    ///
    /// # Errors
    /// The [`Refusal`] with its reason.
    pub async fn exchange(
        &self,
        leases: &mut Vec<AnyLease>,
        names: &[&str],
        options: AcquireOptions,
    ) -> Result<(), Refusal> {
        let keys = self.keys(names)?;
        exchange(self.host(), leases, &keys, options).await
    }

    /// [`Self::exchange`] for leases that are shared while the demand waits: leases that were not exchanged are taken
    /// back with [`OldLeases::take_back`].
    ///
    /// # Errors
    /// The [`Refusal`] with its reason.
    pub async fn exchange_shared(
        &self,
        old: Arc<OldLeases>,
        names: &[&str],
        options: AcquireOptions,
    ) -> Result<Vec<AnyLease>, Refusal> {
        let keys = self.keys(names)?;
        let ask = Ask { options, partial: false, old: Some(old) };
        Ok(self.host().acquire(&keys, ask).await?.leases)
    }

    /// Names the holder of leases: a caller that waits for them, or is refused because of them, is given the name.
    /// Keep the returned value beside the leases; dropping it removes the name.
    #[must_use]
    pub fn tag(&self, leases: &[AnyLease], tag: &str) -> Tagged {
        self.host().tag(leases.iter().map(|l| l.id().clone()).collect(), tag)
    }

    /// [`Self::tag`] for a holder whose process or connection is known, too.
    #[must_use]
    pub fn tag_as(&self, leases: &[AnyLease], tag: &str, party: Party) -> Tagged {
        self.host().tag_as(leases.iter().map(|l| l.id().clone()).collect(), tag, party)
    }

    /// A handle on one component, which leases it without a look-up.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub fn handle_of<T: 'static>(
        &self,
        component: &(impl LeasedAs<T> + ?Sized),
    ) -> Result<Handle<T>, Refusal> {
        let key = self.host().key(component.name())?;
        let id = self.host().catalog().id(key).clone();
        let cached = self.host().cached(key).ok_or(Refusal::Removed { component: id.clone() })?;
        Ok(Handle { host: self.host().guest(), key, name: id, cached })
    }
}
