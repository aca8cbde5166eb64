//! The manager's history of use.

use majordomo_core::{CommandId, Refusal};
use majordomo_runtime::{Host, UsageSummary};

use super::Manager;

/// The history of use, and the predictions learned from it: [`Manager::usage`].
#[derive(Clone, Copy, Debug)]
pub struct Usage<'m> {
    manager: &'m Manager,
}

impl<'m> Usage<'m> {
    pub(super) fn new(manager: &'m Manager) -> Self {
        Self { manager }
    }

    /// Reports that a use of a component begins which lasts, such as a client's session. It is learned once, at its beginning,
    /// however often the component is leased until the returned value is dropped; while it lasts, evictions take it into account.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub fn begin(self, name: &str) -> Result<UnderWay, Refusal> {
        let host = self.manager.host();
        let key = host.key(name)?;
        host.observed(None, vec![key], Vec::new());
        Ok(UnderWay { command: host.begun(vec![key]), host: host.guest() })
    }

    /// How much was learned, how much is kept, and the components that are likeliest next.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the manager has ended.
    pub async fn summary(self) -> Result<UsageSummary, Refusal> {
        self.manager.host().usage_summary().await.ok_or(Refusal::ShuttingDown)
    }

    /// The history as a trace that `majordomo replay` reads: user, unix seconds and component, separated by tabs,
    /// a line for each component that a command used. Bounded to the last 16384 commands; empty without a state
    /// directory.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the manager has ended.
    pub async fn export(self) -> Result<String, Refusal> {
        self.manager.host().usage_export().await.ok_or(Refusal::ShuttingDown)
    }

    /// Forgets the history and everything learned from it, in memory and on disk.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the manager has ended.
    pub async fn forget(self) -> Result<(), Refusal> {
        self.manager.host().usage_forget().await.ok_or(Refusal::ShuttingDown)
    }
}

/// A use of a component that lasts: [`Usage::begin`]. Dropping it ends the use.
#[derive(Debug)]
#[must_use = "dropping it ends the use"]
pub struct UnderWay {
    host: Host,
    command: CommandId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.host.ended(self.command);
    }
}
