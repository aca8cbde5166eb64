//! Changes of a running configuration: checked, compared, applied.

use std::sync::Arc;

use majordomo_registry::Problems;

use super::{Declared, Manager, Origin};
use crate::change::Reloaded;
use crate::error::{BuildError, ReloadError};
use crate::intents::Settings;
use crate::parts::{Checked, Code, Parts, Source};
use crate::problems::of_catalog;

impl Manager {
    /// Reads the configuration file again, and applies the changes if `apply`.
    pub(super) async fn reload(&self, apply: bool) -> Result<Reloaded, ReloadError> {
        let mut origin = self.inner.origin.lock().await;
        let Some(source @ Source::File(_)) = origin.source.clone() else {
            return Err(ReloadError::NoFile);
        };
        let (folder, limit) = (origin.folder.clone(), origin.limit);
        let read = tokio::task::spawn_blocking(move || source.read(folder.as_deref(), Some(limit)));
        let loaded =
            read.await.map_err(|_| ReloadError::ShuttingDown)?.map_err(BuildError::from)?;
        let read = Some(Parts::from(&loaded));
        let code = origin.code.clone();
        let mut reloaded = self.reconfigure(&mut origin, read, code, apply).await?;
        reloaded.warnings = loaded.warnings;
        Ok(reloaded)
    }

    /// Compares a new configuration with the one in force, and applies it if `apply`. After an error nothing is
    /// changed.
    pub(super) async fn reconfigure(
        &self,
        origin: &mut Origin,
        read: Option<Parts>,
        code: Code,
        apply: bool,
    ) -> Result<Reloaded, ReloadError> {
        let parts = Parts::new(read.as_ref(), &code, origin.budget);
        let mut problems = code.factories.problems();
        problems.extend(code.factories.missing(&parts.specs));
        if !origin.runs_programs {
            problems.extend(code.programs_without_guard());
        }
        problems.extend(code.problems(origin.base_dir.clone()).await.map_err(BuildError::from)?);
        let old = self.host().catalog();
        let checked = parts.check(origin.limit, Some(&old), problems).map_err(BuildError::from)?;
        let Checked { catalog, matchers, budget } = checked;
        let settings = Settings::from(&parts.config);
        let status = self.status().await.map_err(|_| ReloadError::ShuttingDown)?;
        let mut reloaded = Reloaded::new(&old, &catalog, &status);
        reloaded.before = self.config();
        reloaded.after = Arc::new(parts.config.clone());
        let declared = Declared::new(parts.specs.clone(), parts.gateway.clone());
        reloaded.gateway_before.clone_from(&self.declared().gateway);
        reloaded.gateway_after.clone_from(&declared.gateway);
        if !apply {
            return Ok(reloaded);
        }
        let specs = parts.specs.iter().map(|s| (**s).clone()).collect();
        let factories = Some(code.factories.by_name(&origin.base_dir));
        let configured =
            self.host().configure(specs, parts.pools, parts.config, budget, factories).await;
        // The catalog was built of the same specifications before.
        match configured {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                return Err(BuildError::from(Problems::new(vec![of_catalog(&error)])).into());
            }
            None => return Err(ReloadError::ShuttingDown),
        }
        self.inner.intents.configure(matchers, settings).await.ok_or(ReloadError::ShuttingDown)?;
        self.inner.config.store(Arc::clone(&reloaded.after));
        self.inner.declared.send_replace(Arc::new(declared));
        (origin.read, origin.code) = (read, code);
        Ok(reloaded)
    }
}
