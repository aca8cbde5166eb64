//! Trace replay: what preloading and eviction are worth, measured on recorded usage.
//!
//! Owns the trace format, the virtual clock with its fake loader, and the control policies that exist to
//! compare with. Product policies come from `majordomo-memory` and are run, never copied. Invariant: the
//! same traces and settings give the same figures, digit for digit, on one machine type.

mod control;
mod item;
mod policy;
mod progress;
mod report;
mod run;
mod trace;
mod vrank;
mod whole;

pub use item::ItemCost;
pub use policy::{EnginePolicy, PolicyName, ReplayPolicy, TimerAction, UnknownPolicy, View};
pub use progress::Progress;
pub use report::{Budget, BudgetError, Report, Tally};
pub use run::{ReplayBudget, replay_one, replay_trace, replay_user};
pub use trace::{MIN_EVENTS, Trace, TraceError, TraceEvent, UserTrace};
