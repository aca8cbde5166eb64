//! The name of a component together with its type.

use std::fmt;
use std::marker::PhantomData;

use majordomo_core::ComponentId;

/// The name of a component, and the type that it is leased as: what [`Builder::add`](crate::Builder::add) returns and
/// [`Manager::acquire`](crate::Manager::acquire) takes. Keeps nothing loaded.
pub struct ComponentRef<T> {
    id: ComponentId,
    of: PhantomData<fn() -> T>,
}

impl<T: 'static> ComponentRef<T> {
    pub(crate) fn new(id: ComponentId) -> Self {
        Self { id, of: PhantomData }
    }

    /// The component's name.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        &self.id
    }
}

impl<T> Clone for ComponentRef<T> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for ComponentRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ComponentRef").field(&self.id).finish()
    }
}

impl<T> fmt::Display for ComponentRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// A component by name that is leased as a `T`: a [`ComponentRef`] of that type, or a name, whose type is checked when
/// the lease is made. Implemented for these only.
pub trait LeasedAs<T>: sealed::Sealed {
    /// The component's name.
    fn name(&self) -> &str;
}

impl<T> LeasedAs<T> for str {
    fn name(&self) -> &str {
        self
    }
}

impl<T> LeasedAs<T> for String {
    fn name(&self) -> &str {
        self
    }
}

impl<T> LeasedAs<T> for ComponentId {
    fn name(&self) -> &str {
        self.as_str()
    }
}

impl<T> LeasedAs<T> for ComponentRef<T> {
    fn name(&self) -> &str {
        self.id.as_str()
    }
}

impl<T, N: LeasedAs<T> + ?Sized> LeasedAs<T> for &N {
    fn name(&self) -> &str {
        (**self).name()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for str {}
    impl Sealed for String {}
    impl Sealed for super::ComponentId {}
    impl<T> Sealed for super::ComponentRef<T> {}
    impl<N: Sealed + ?Sized> Sealed for &N {}
}
