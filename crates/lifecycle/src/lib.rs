//! States, load transactions and leases of components.
//!
//! Two halves that meet in the [`Cells`] trait: the pure [`Scheduler`], which owns every state change, and
//! the lease cell ([`Slot`], [`Incarnation`], [`Lease`]), the only thing that bypasses it. Knows nothing
//! of predictions, of instances' types, or of tokio.
#![forbid(unsafe_code)]

mod cell;
mod cells;
mod effect;
mod entry;
mod scheduler;
mod slot;
mod sync;
mod transaction;

pub use cell::{CloseAnswer, LeaseCell};
pub use cells::{Cells, PeekCells};
pub use effect::{Effect, Persisted, Step, Transition};
pub use entry::{Entry, Failures, Figures, Probes, Recovery, Removal, Restart, Then};
pub use scheduler::{DropReason, LoadFailure, LoadReport, OutOfMemory, Scheduler, Verdict};
pub use slot::{Incarnation, Lease, ReleaseSink, Slot, Tick};
pub use transaction::{Origin, Phase, Request, Transaction, TxnId};
