//! The manager's history of use.

use majordomo_core::Refusal;
use majordomo_runtime::UsageSummary;

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
