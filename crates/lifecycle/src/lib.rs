//! States and load transactions of components.
//!
//! The pure [`Scheduler`] owns every state change. Leases are the only thing that bypasses it; it closes and opens their
//! gates by the trait [`Cells`]. Knows nothing of predictions, of instances, or of tokio.
//!
//! The crate `majordomo-engine` drives the scheduler; the documentation of its type `Engine` has the loop as an example.
#![forbid(unsafe_code)]

mod cells;
mod effect;
mod entry;
mod report;
mod scheduler;
mod transaction;

pub use majordomo_lease::CloseAnswer;

pub use cells::{Cells, PeekCells};
pub use effect::{Effect, Persisted, PersistedRung, Step, Transition};
pub use entry::{
    Entry, Failures, Figures, Parking, Probes, Recovery, Removal, Restart, RungStep, Then,
};
pub use report::{LoadFailure, LoadReport, OutOfMemory, ParkReport, WakeReport};
pub use scheduler::{Admitted, DropReason, RungOffer, Scheduler, Verdict, Victim};
pub use transaction::{Origin, Phase, Request, Transaction, TxnId};
