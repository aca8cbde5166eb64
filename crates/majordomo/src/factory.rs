//! Factories of builtins: functions that make a component of one type inside this process.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use majordomo_runtime::{self as runtime, Component, Instance, LoadContext, LoadError};

/// Makes a builtin component of type `T`, once per load.
pub struct Factory<T> {
    inner: runtime::Factory,
    of: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> Factory<T> {
    /// A function that may block; each load runs on a thread of its own.
    #[must_use]
    pub fn new(make: impl Fn(LoadContext) -> Result<T, LoadError> + Send + Sync + 'static) -> Self {
        Self::of(runtime::Factory::blocking(move |ctx| make(ctx).map(Instance::plain)))
    }

    /// An async function, which must not block; nor must the drop of the component.
    #[must_use]
    pub fn asynchronous<R>(make: impl Fn(LoadContext) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<T, LoadError>> + Send + 'static,
    {
        Self::of(runtime::Factory::asynchronous(move |ctx| {
            let made = make(ctx);
            async move { made.await.map(Instance::plain) }
        }))
    }

    fn of(inner: runtime::Factory) -> Self {
        Self { inner, of: PhantomData }
    }

    pub(crate) fn into_inner(self) -> runtime::Factory {
        self.inner
    }
}

impl<T: Component> Factory<T> {
    /// [`Self::new`] for a component with hooks: footprint, trim, hibernation, health.
    #[must_use]
    pub fn component(
        make: impl Fn(LoadContext) -> Result<T, LoadError> + Send + Sync + 'static,
    ) -> Self {
        Self::of(runtime::Factory::blocking(move |ctx| make(ctx).map(Instance::component)))
    }
}

impl<T> Clone for Factory<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Factory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factory").field("of", &std::any::type_name::<T>()).finish_non_exhaustive()
    }
}
