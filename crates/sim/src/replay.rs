//! Trace replay: the benefit of preloading and eviction, measured on recorded usage.
//!
//! Owns the trace format, the virtual clock with its fake loader, and the control policies for
//! comparison. Product policies come from `majordomo-memory` and are run, never copied. Invariant: the
//! same traces and settings give the same figures, digit for digit, on one machine type.

mod budget;
mod closed;
mod cold;
mod control;
mod engine;
mod item;
mod name;
mod policy;
mod progress;
mod report;
mod run;
mod rungs;
mod trace;
mod vrank;

pub use budget::ReplayBudget;
pub use closed::{
    ClosedCommand, ClosedEvent, ClosedLoop, ClosedShape, ClosedTally, NOTICED, replay_closed,
};
pub use cold::{replay_one, replay_trace};
pub use item::ItemCost;
pub use name::{EnginePolicy, PolicyName, UnknownPolicy};
pub use policy::{ReplayPolicy, TimerAction, View};
pub use progress::Progress;
pub use report::{Budget, BudgetError, Report, Tally};
pub use run::replay_user;
pub use rungs::{RungTable, RungTableError};
pub use trace::{MIN_EVENTS, Trace, TraceError, TraceEvent, UserTrace};
