//! The stages that a load passes, and when it reaches them.
//!
//! Also owns the rule by which times of loads are learned.

use std::time::Duration;

use crate::words::words;

/// The share of the last load in a learned time.
const LAST_SHARE: f64 = 0.3;

words! {
    /// A point that a load reaches on its way to a usable component. Which of them a load has depends on its loader and on
    /// what makes the component ready.
    LoadStage {
        /// The program was started.
        Spawn = "spawn",
        /// A service that runs elsewhere has answered its `wake` request.
        Wake = "wake",
        /// The program wrote to standard output or standard error for the first time.
        FirstOutput = "first_output",
        /// Its port or socket took a connection.
        PortOpen = "port_open",
        /// The condition of readiness held.
        Ready = "ready",
        /// The program has answered its `warm_up` request.
        WarmUp = "warm_up",
    }
}

/// When loads of a component reach a stage, counted from the start of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StageTime {
    #[expect(missing_docs, reason = "the type says it")]
    pub stage: LoadStage,
    /// As learned from all loads, the last ones counting most.
    pub learned: Duration,
    /// In the last load of this process; none = that load did not reach it, or there was none.
    pub last: Option<Duration>,
}

/// A learned time after one more load, of the load itself or of one of its stages.
#[must_use]
pub fn learned_time(known: Option<Duration>, took: Duration) -> Duration {
    known.map_or(took, |known| known.mul_f64(1.0 - LAST_SHARE) + took.mul_f64(LAST_SHARE))
}
