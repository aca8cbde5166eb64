//! The protocol of lines: requests to a program on its standard input, answers on its standard output.
//!
//! Owns the calls of one incarnation. Knows nothing of leases, states or readiness beyond the line that reports it.

mod calls;
pub mod codec;
mod error;
mod request;
mod silence;
mod tap;

pub(crate) use calls::Calls;
pub use calls::{CallSlot, Caller};
pub(crate) use error::Instead;
pub use error::{CallError, CallsEnded};
pub use request::{CallAnswer, CallRequest};
pub(crate) use tap::Tap;
