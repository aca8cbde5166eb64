//! Requests of operators about components: load, unload, park, pin, trim, logs, learned figures.

use std::sync::Arc;

use majordomo_core::{EventRecord, Refusal};
use majordomo_engine::OperatorAction;
use majordomo_runtime::logs::{LogBuffer, LogChunk, LogFollower};

use super::Manager;
use crate::change::Reloaded;
use crate::error::{ReloadError, StateError};
use crate::state::Remembered;

/// Requests of operators: [`Manager::operator`].
#[derive(Clone, Copy, Debug)]
pub struct Operator<'m> {
    manager: &'m Manager,
}

impl<'m> Operator<'m> {
    pub(super) fn new(manager: &'m Manager) -> Self {
        Self { manager }
    }

    /// Loads a component; a failed or quarantined one is tried at once.
    ///
    /// # Errors
    /// The [`Refusal`] with its reason.
    pub async fn load(self, name: &str) -> Result<(), Refusal> {
        self.request(name, OperatorAction::Load).await
    }

    /// Unloads a component with everything that depends on it, and waits until it is down.
    ///
    /// # Errors
    /// [`Refusal::InUse`] without `force` when it is CORE, pinned or leased.
    pub async fn unload(self, name: &str, force: bool) -> Result<(), Refusal> {
        self.request(name, OperatorAction::Unload { force }).await
    }

    /// Parks a component with everything that depends on it, at the rung that frees most, and waits until it is there. The next
    /// demand wakes it.
    ///
    /// # Errors
    /// [`Refusal::InUse`] when it is CORE, pinned or leased, [`Refusal::CannotPark`] with the reason why it is not parked now,
    /// [`Refusal::ParkFailed`] when it was unloaded instead, [`Refusal::UnknownComponent`].
    pub async fn park(self, name: &str) -> Result<(), Refusal> {
        self.request(name, OperatorAction::Park).await
    }

    /// Protects a component from eviction (`true`) or allows its eviction again (`false`), until the process ends.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub async fn pin(self, name: &str, pinned: bool) -> Result<(), Refusal> {
        let action = if pinned { OperatorAction::Pin } else { OperatorAction::Unpin };
        self.request(name, action).await
    }

    /// Asks a component to give back memory that it can spare. For a program, waits until the request has reached it.
    ///
    /// # Errors
    /// [`Refusal::CannotTrim`] for a program without a declared way, [`Refusal::TrimFailed`] when the request did not
    /// reach the program or failed there, [`Refusal::UnknownComponent`].
    pub async fn trim(self, name: &str) -> Result<(), Refusal> {
        self.request(name, OperatorAction::Trim).await
    }

    async fn request(self, name: &str, action: OperatorAction) -> Result<(), Refusal> {
        let key = self.manager.host().key(name)?;
        self.manager.host().operate(key, action).await
    }

    /// The last records about a component, oldest first, with the causes of its states.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub fn why(self, name: &str) -> Result<Vec<EventRecord>, Refusal> {
        Ok(self.manager.host().events().history(self.manager.host().key(name)?))
    }

    /// The output of a component: lines from number `from` on, at most `max`.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`], or [`Refusal::Removed`].
    pub fn logs(self, name: &str, from: u64, max: usize) -> Result<LogChunk, Refusal> {
        Ok(self.log(name)?.since(from, max))
    }

    /// Follows the output of a component from line number `from` on.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`], or [`Refusal::Removed`].
    pub fn follow_logs(self, name: &str, from: u64) -> Result<LogFollower, Refusal> {
        Ok(self.log(name)?.follow(from))
    }

    fn log(self, name: &str) -> Result<Arc<LogBuffer>, Refusal> {
        let host = self.manager.host();
        let key = host.key(name)?;
        let removed = || Refusal::Removed { component: host.catalog().id(key).clone() };
        host.logs(key).ok_or_else(removed)
    }

    /// Reads the configuration file again and applies the changes; a file with errors changes nothing.
    ///
    /// # Errors
    /// A [`ReloadError`]; nothing is changed then.
    pub async fn reload(self) -> Result<Reloaded, ReloadError> {
        self.manager.reload(true).await
    }

    /// The changes that [`Self::reload`] would make, and their effect on each component now; changes nothing.
    ///
    /// # Errors
    /// A [`ReloadError`].
    pub async fn reload_preview(self) -> Result<Reloaded, ReloadError> {
        self.manager.reload(false).await
    }

    /// Everything in the learned store, which survives restarts; empty without a state directory.
    ///
    /// # Errors
    /// A [`StateError`].
    pub async fn remembered(self) -> Result<Remembered, StateError> {
        let Some(store) = self.manager.inner.store.upgrade() else {
            return Ok(Remembered::default());
        };
        let read = tokio::task::spawn_blocking(move || crate::state::read(&*store));
        read.await.map_err(|_| StateError::ShuttingDown)?.map_err(StateError::Store)
    }

    /// Forgets the measured figures of a component, in the learned store as well: its next load is planned by the
    /// declared estimate. Without a name, of all components. Returns the number of figures forgotten.
    ///
    /// # Errors
    /// A [`StateError`].
    pub async fn forget_figures(self, name: Option<&str>) -> Result<usize, StateError> {
        let host = self.manager.host();
        let keys = match name {
            Some(name) => vec![host.key(name)?],
            None => host.catalog().keys().collect(),
        };
        host.forget(keys).await.ok_or(StateError::ShuttingDown)?.map_err(StateError::Store)
    }
}
