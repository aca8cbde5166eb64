//! Components that are added to a running manager in code, and removed from it.

use std::sync::Arc;

use majordomo_core::Refusal;
use majordomo_registry::ComponentSpec;
use majordomo_runtime::{LoadContext, LoadError};

use super::Manager;
use crate::change::Reloaded;
use crate::component_ref::ComponentRef;
use crate::error::ReloadError;
use crate::factory::Factory;

impl Manager {
    /// Adds a component that runs inside this process, with the function that makes it; the function may block. The
    /// component is checked as at the start.
    ///
    /// # Errors
    /// A [`ReloadError`] with every problem; nothing is changed then.
    pub async fn add<T: Send + Sync + 'static>(
        &self,
        spec: ComponentSpec,
        make: impl Fn(LoadContext) -> Result<T, LoadError> + Send + Sync + 'static,
    ) -> Result<ComponentRef<T>, ReloadError> {
        self.add_with(spec, Factory::new(make)).await
    }

    /// [`Self::add`] with any [`Factory`].
    ///
    /// # Errors
    /// A [`ReloadError`] with every problem; nothing is changed then.
    pub async fn add_with<T: Send + Sync + 'static>(
        &self,
        spec: ComponentSpec,
        factory: Factory<T>,
    ) -> Result<ComponentRef<T>, ReloadError> {
        let mut origin = self.inner.origin.lock().await;
        let (mut code, read) = (origin.code.clone(), origin.read.clone());
        let component = code.add(spec, factory);
        self.reconfigure(&mut origin, read, code, true).await?;
        Ok(component)
    }

    /// Adds a component that needs no factory: a program.
    ///
    /// # Errors
    /// A [`ReloadError`] with every problem; nothing is changed then.
    pub async fn add_component(&self, spec: ComponentSpec) -> Result<(), ReloadError> {
        let mut origin = self.inner.origin.lock().await;
        let (mut code, read) = (origin.code.clone(), origin.read.clone());
        code.specs.push(Arc::new(spec));
        self.reconfigure(&mut origin, read, code, true).await.map(drop)
    }

    /// Removes a component that was added in code, before the start or after. The component is unloaded when its last
    /// lease has ended; [`Reloaded::components`] says which it is.
    ///
    /// # Errors
    /// A [`ReloadError`], such as when another component depends on it, or when the configuration file declares it;
    /// nothing is changed then.
    pub async fn remove(&self, name: &str) -> Result<Reloaded, ReloadError> {
        let mut origin = self.inner.origin.lock().await;
        let (mut code, read) = (origin.code.clone(), origin.read.clone());
        let at = code.specs.iter().position(|spec| spec.id.as_str() == name);
        let Some(at) = at else {
            let key = self.host().key(name)?;
            let component = self.host().catalog().id(key).clone();
            let declared = read.iter().flat_map(|r| &r.specs).any(|s| s.id == component);
            return Err(match declared {
                true => ReloadError::DeclaredInFile { component },
                false => Refusal::Removed { component }.into(),
            });
        };
        let spec = code.specs.remove(at);
        code.factories.remove_for(&spec.id);
        self.reconfigure(&mut origin, read, code, true).await
    }
}
