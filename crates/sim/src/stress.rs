//! Simulated days: the production engine in a made-up world with faults, every invariant after every input.
//!
//! A seed draws a [`Script`] (what clients, operators, other programs and faults do, and when); [`run`] plays
//! it against an engine behind a virtual clock; [`shrink`] reduces the script of a run that fails. The same
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
pub use script::{Action, LoadFault, Script, StopFault, Verb};
pub use shrink::{Shrunk, shrink};
pub use waits::{DemandId, Waits};
pub use world::{Counts, Failure};
