//! The clock of one load: when it reached each of its stages.
//!
//! Loaders write it, the shell reads it when the load has ended. Knows nothing of what a stage means.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use majordomo_core::LoadStage;
use tokio::time::Instant;

/// Times of the stages of one load, since its start.
#[derive(Debug)]
pub struct LoadClock {
    since: Instant,
    reached: Mutex<Vec<(LoadStage, Duration)>>,
}

impl LoadClock {
    /// A load starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { since: Instant::now(), reached: Mutex::default() }
    }

    fn times(&self) -> MutexGuard<'_, Vec<(LoadStage, Duration)>> {
        // A push leaves the list whole, so a panic elsewhere does not spoil it.
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The load has reached a stage. The first time counts.
    pub(crate) fn reached(&self, stage: LoadStage) {
        let took = self.since.elapsed();
        let mut times = self.times();
        if times.iter().all(|(known, _)| *known != stage) {
            times.push((stage, took));
        }
    }

    /// The program is started once more: its stages are still to come.
    pub(crate) fn begin_again(&self) {
        self.times().clear();
    }

    /// The stages that were reached, in that order.
    #[must_use]
    pub fn stages(&self) -> Vec<(LoadStage, Duration)> {
        self.times().clone()
    }
}
