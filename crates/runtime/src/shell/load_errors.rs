//! The errors that loaders returned, for the refusals that they cause.
//!
//! The engine knows the words of an error; the error itself is attached to a refusal on its way to the caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{ComponentId, Refusal};

/// The error of each component whose last load failed. One per component at most.
#[derive(Debug, Default)]
pub(crate) struct LoadErrors(BTreeMap<ComponentId, Arc<dyn std::error::Error + Send + Sync>>);

impl LoadErrors {
    /// A load ended: with this error, or with none.
    pub(super) fn ended(
        &mut self,
        component: &ComponentId,
        error: Option<Arc<dyn std::error::Error + Send + Sync>>,
    ) {
        match error {
            Some(error) => drop(self.0.insert(component.clone(), error)),
            None => drop(self.0.remove(component)),
        }
    }

    /// Attaches the loader's error to a refusal that a failed load caused.
    pub(super) fn attach(&self, refusal: &mut Refusal) {
        if let Some((component, cause)) = refusal.failure_mut()
            && let Some(error) = self.0.get(component)
        {
            cause.set_error(Arc::clone(error));
        }
    }
}
