//! Requests of operators about components: load, unload, pin, trim, hints, logs.

use std::sync::Arc;

use majordomo_core::{Confidence, HintSource, HintTier, Refusal};
use majordomo_engine::OperatorAction;
use majordomo_runtime::logs::{LogBuffer, LogChunk, LogFollower};

use super::Manager;

impl Manager {
    /// Loads a component; a failed or quarantined one is tried at once.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn load(&self, name: &str) -> Result<(), Refusal> {
        self.operate(name, OperatorAction::Load).await
    }

    /// Unloads a component with everything that depends on it, and waits until it is down.
    ///
    /// # Errors
    /// [`Refusal::InUse`] without `force` when it is CORE, pinned or leased.
    pub async fn unload(&self, name: &str, force: bool) -> Result<(), Refusal> {
        self.operate(name, OperatorAction::Unload { force }).await
    }

    /// Makes a component no victim (`true`) or a possible one (`false`) until the process ends.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub async fn pin(&self, name: &str, pinned: bool) -> Result<(), Refusal> {
        let action = if pinned { OperatorAction::Pin } else { OperatorAction::Unpin };
        self.operate(name, action).await
    }

    /// Asks a component to give back what it can spare. Of a program it waits until the request has reached it.
    ///
    /// # Errors
    /// [`Refusal::CannotTrim`] for a program without a declared way, [`Refusal::TrimFailed`] when the request did not
    /// reach the program or failed there, [`Refusal::UnknownComponent`].
    pub async fn trim(&self, name: &str) -> Result<(), Refusal> {
        self.operate(name, OperatorAction::Trim).await
    }

    async fn operate(&self, name: &str, action: OperatorAction) -> Result<(), Refusal> {
        let key = self.host().key(name)?;
        self.host().operate(key, action).await
    }

    /// Announces that a component is likely to be needed. False when the lane of that tier is full.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub fn hint(
        &self,
        name: &str,
        confidence: Confidence,
        tier: HintTier,
    ) -> Result<bool, Refusal> {
        let key = self.host().key(name)?;
        Ok(self.host().hint(tier, key, confidence, HintSource::Application))
    }

    /// The output of a component: lines from number `from` on, at most `max`.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub fn logs(&self, name: &str, from: u64, max: usize) -> Result<LogChunk, Refusal> {
        Ok(self.log(name)?.since(from, max))
    }

    /// Follows the output of a component from line number `from` on.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`], or [`Refusal::Removed`].
    pub fn follow_logs(&self, name: &str, from: u64) -> Result<LogFollower, Refusal> {
        Ok(self.log(name)?.follow(from))
    }

    fn log(&self, name: &str) -> Result<Arc<LogBuffer>, Refusal> {
        let key = self.host().key(name)?;
        let removed = || Refusal::Removed { component: self.host().catalog().id(key).clone() };
        self.host().logs(key).ok_or_else(removed)
    }
}
