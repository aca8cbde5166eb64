//! One run of a script.

use super::coverage::Coverage;
use super::script::Script;
use super::waits::Waits;
use super::world::{Counts, Failure, World};

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
