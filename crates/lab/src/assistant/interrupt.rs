//! An interrupt (Ctrl-C, SIGTERM): heard once, and known to all who wait for it.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether this program was interrupted.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let mut interrupt =
            signal(SignalKind::interrupt()).context("interrupts cannot be heard")?;
        let mut end = signal(SignalKind::terminate()).context("signals cannot be heard")?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = end.recv() => {}
                }
                eprintln!("\ninterrupted: the server is stopped, and the results so far are kept");
                sender.send_replace(true);
            }
        });
        Ok(Self(receiver))
    }

    pub(crate) fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it. Cancel safe.
    pub(crate) async fn raised(&self) {
        let mut receiver = self.0.clone();
        // The sender lives as long as the runtime.
        let _ = receiver.wait_for(|raised| *raised).await;
    }
}
