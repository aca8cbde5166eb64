//! Reads the configuration again: checks, compares and applies it.

use std::sync::Arc;

use super::Manager;
use crate::change::Reloaded;
use crate::check::check_config_in;
use crate::error::{BuildError, ReloadError};
use crate::intents::{Matchers, Settings};
use crate::parts::Parts;

impl Manager {
    /// Reads the configuration file again, and applies the changes if `apply`.
    pub(super) async fn reload(&self, apply: bool) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.inner.reloading.lock().await;
        let origin = &self.inner.origin;
        let file = origin.file.clone().ok_or(ReloadError::NoFile)?;
        let limit = origin.limit;
        let folder = origin.folder.clone();
        let read = tokio::task::spawn_blocking(move || {
            check_config_in(&file, folder.as_deref(), Some(limit))
        });
        let loaded =
            read.await.map_err(|_| ReloadError::ShuttingDown)?.map_err(BuildError::from)?;
        let mut parts = Parts { specs: loaded.specs, pools: loaded.pools, config: loaded.config };
        parts.specs.extend(origin.extra.0.iter().cloned());
        parts.pools.extend(origin.extra.1.iter().cloned());
        if let Some(budget) = origin.budget {
            parts.config.memory.budget = budget;
        }
        let old = self.host().catalog();
        let (catalog, budget) = parts.check(limit, Some(&old))?;
        let catalog = Arc::new(catalog);
        let matchers = Matchers::new(Arc::clone(&catalog))?;
        let settings = Settings::from(&parts.config);
        let status = self.status().await.map_err(|_| ReloadError::ShuttingDown)?;
        let mut reloaded = Reloaded::new(&old, &catalog, &status);
        reloaded.warnings = loaded.warnings;
        reloaded.before = self.config();
        reloaded.after = Arc::new(parts.config.clone());
        if !apply {
            return Ok(reloaded);
        }
        let specs = parts.specs.iter().map(|s| (**s).clone()).collect();
        match self.host().configure(specs, parts.pools, parts.config, budget).await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(BuildError::from(error).into()),
            None => return Err(ReloadError::ShuttingDown),
        }
        self.inner.intents.configure(matchers, settings).await.ok_or(ReloadError::ShuttingDown)?;
        self.inner.config.store(Arc::clone(&reloaded.after));
        Ok(reloaded)
    }
}
