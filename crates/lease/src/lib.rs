//! Leases on loaded components: callers reach a loaded component without asking the engine.
//!
//! Each load makes one [`Incarnation`], which holds the instance. A [`Slot`] publishes it, a [`Lease`] is the right to
//! use it, and a [`KnownIncarnation`] leads back to it without keeping it loaded. The [`Gate`] of an incarnation counts
//! its leases in one atomic word ([`LeaseCell`]) and can be closed. The same word is the reference count of the leases:
//! taking a lease and giving it back are one atomic operation each
//! (ADR 0025).
//!
//! Knows keys and numbers of loads; not what an instance is, and no state of a component.
//!
//! ```
//! use std::sync::Arc;
//!
//! use majordomo_core::IncarnationId;
//! use majordomo_lease::{CloseAnswer, Gate, Incarnation, ReleaseSink, Slot, Tick};
//!
//! struct Ignore;
//! impl ReleaseSink for Ignore {
//!     fn notify(&self, _: IncarnationId) {}
//! }
//!
//! let gate = Gate::new(IncarnationId::default(), false, Arc::new(Tick::new(1)), Arc::new(Ignore));
//! let slot = Slot::default();
//! slot.install(Incarnation::new(gate, "a model"), 0);
//!
//! let lease = slot.acquire().expect("the gate is open");
//! assert_eq!(*lease.get(), "a model");
//! let current = slot.current().expect("it is installed");
//! assert_eq!(current.gate().try_close(), CloseAnswer::Leased(1));
//! drop(lease);
//! assert_eq!(current.gate().try_close(), CloseAnswer::Closed);
//! assert!(slot.acquire().is_none());
//! ```

mod cell;
mod gate;
mod incarnation;
mod slot;
mod sync;
mod value;

pub use cell::{CloseAnswer, LeaseCell};
pub use gate::{Gate, ReleaseSink, Tick};
pub use incarnation::{Incarnation, KnownIncarnation, KnownPart, Lease, MappedLease};
pub use slot::Slot;
pub use value::AnyValue;
