//! Simulated days: the production engine in a made-up world with faults, every invariant after every input.
//!
//! A seed draws a [`Script`] (what clients, operators, other programs and faults do, and when); [`run`] plays
//! it against an engine behind a virtual clock; [`shrink`] reduces the script of a run that fails. The same
//! seed gives the same records, byte for byte.

mod blueprint;
mod cells;
mod check;
mod coverage;
mod digest;
mod script;
mod shrink;
mod waits;
mod world;

pub use check::Broken;
pub use coverage::{Coverage, INPUTS, STATES, unreachable};
pub use digest::Digest;
pub use script::{Action, LoadFault, Script, StopFault, Verb};
pub use shrink::{Shrunk, shrink};
pub use waits::{DemandId, Waits};
pub use world::{Counts, Failure};

use world::World;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the engine was told, and answered.
    pub counts: Counts,
    /// Which states met which inputs.
    pub coverage: Coverage,
    /// How long demands waited.
    pub waits: Waits,
    /// The first broken invariant; none = the day was clean.
    pub failure: Option<Failure>,
    /// Inputs, effects and records as text, where it was asked for.
    pub trace: Option<String>,
}

/// Plays a script. With `trace`, writes down everything that was told and answered.
#[must_use]
pub fn run(script: &Script, trace: bool) -> Outcome {
    let mut world = World::new(script, trace);
    let failure = world.run().err();
    let World { counts, coverage, watch, trace, .. } = world;
    Outcome { failure, counts, coverage, waits: watch.waits, trace }
}
