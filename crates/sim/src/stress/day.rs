//! One run of a script.

use super::coverage::Coverage;
use super::script::Script;
use super::waits::Waits;
use super::world::{Counts, Failure, World};

/// The result of a run.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct Outcome {
    /// Inputs and answers of the engine.
    pub counts: Counts,
    /// Inputs by the states they met.
    pub coverage: Coverage,
    pub waits: Waits,
    /// The first broken invariant; none after a clean day.
    pub failure: Option<Failure>,
    /// Inputs, effects and records as text, if requested.
    pub trace: Option<String>,
}

/// Plays a script. With `trace`, also writes every input and effect as text.
#[must_use]
pub fn run(script: &Script, trace: bool) -> Outcome {
    let mut world = World::new(script, trace);
    let failure = world.run().err();
    let World { counts, coverage, watch, trace, .. } = world;
    Outcome { failure, counts, coverage, waits: watch.waits, trace }
}
