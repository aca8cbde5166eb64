//! Simulated days: the production engine in a simulated world with faults, every invariant after every input.
//!
//! A seed draws a [`Script`]: the actions of clients, operators, other programs and faults, with their times. [`run`]
//! plays it against an engine behind a virtual clock; [`shrink`] reduces the script of a run that fails. The same
//! seed gives the same records, byte for byte.

mod blueprint;
mod cells;
mod check;
mod coverage;
mod day;
mod digest;
mod script;
mod shrink;
mod waits;
mod world;

pub use check::Broken;
pub use coverage::{Coverage, INPUTS, STATES, unreachable};
pub use day::{Outcome, run};
pub use digest::Digest;
pub use script::{Action, LoadFault, ParkFault, Script, StopFault, Verb, WakeFault};
pub use shrink::{Shrunk, shrink};
pub use waits::{DemandId, Waits};
pub use world::{Counts, Failure};
