//! Interrupts: the first asks for a graceful end, the second hastens it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM together.
#[derive(Debug)]
pub(crate) struct Interrupts {
    int: Signal,
    term: Signal,
}

impl Interrupts {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }

    /// Shuts a manager down; a further interrupt hastens. Says which components could not be stopped.
    pub(crate) async fn shutdown(
        &mut self,
        manager: &majordomo::Manager,
    ) -> Vec<majordomo::ComponentId> {
        let down = manager.shutdown(None);
        tokio::pin!(down);
        tokio::select! {
            stuck = &mut down => stuck,
            () = self.next() => manager.shutdown(None).await,
        }
    }
}
