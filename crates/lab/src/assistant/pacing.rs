//! Plays the pauses of a day, and in them the unloads of the idle timeout.
//!
//! A pause takes the same time under every policy, except that it does not end before the unloads
//! that began in it: in the trace it is longer than they take.

use std::collections::BTreeSet;

use anyhow::Context;
use majordomo_server::{Address, Client};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::idle_clock::IdleClock;
use super::pause::Pause;
use super::player::refusal;

/// Pauses against one server.
#[derive(Debug)]
pub(super) struct Pacing {
    address: Address,
    /// Under the idle timeout alone.
    idle: Option<IdleClock>,
    n_refused: usize,
}

impl Pacing {
    pub(super) fn new(address: Address, idle: Option<IdleClock>) -> Self {
        Self { address, idle, n_refused: 0 }
    }

    /// Components were leased since the last pause.
    pub(super) fn record_uses(&mut self, components: &BTreeSet<String>) {
        for component in components {
            if let Some(idle) = &mut self.idle {
                idle.record_use(component);
            }
        }
    }

    /// Rests for a pause; components that expire in it are unloaded at the corresponding moments.
    pub(super) async fn pass(&mut self, pause: Pause) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut unloads = JoinSet::new();
        let expired = self.idle.as_mut().map(|idle| idle.pass(pause.length)).unwrap_or_default();
        for expiry in expired {
            sleep_until(begin + pause.played_until(expiry.after)).await;
            let client = Client::new(self.address.clone());
            unloads.spawn(async move {
                let unloaded = client.unload(&expiry.component, false).await;
                (expiry.component, unloaded)
            });
        }
        sleep_until(begin + pause.played).await;
        while let Some(ended) = unloads.join_next().await {
            let (component, unloaded) = ended.context("an unload panicked")?;
            if refusal(unloaded)?.is_err() {
                // The server says that it is in use, so its idle time begins again.
                self.n_refused += 1;
                self.record_uses(&[component].into());
            }
        }
        Ok(())
    }

    /// Unloads that the server refused.
    pub(super) fn n_refused(&self) -> usize {
        self.n_refused
    }
}
