//! The surroundings of the manager as the engine last heard of them: wall clock, processor, battery, spare memory.

use majordomo_core::{ByteSize, Moment, WallSeconds};

use crate::machine::Machine;

/// The surroundings as last reported to the engine.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub(super) machine: Machine,
    pub(super) wall: Option<(Moment, WallSeconds)>,
    pub(super) busy: bool,
    pub(super) on_battery: bool,
    pub(super) looks: u64,
    /// The memory that the machine can spare, as last reported to the engine.
    pub(super) spare: Option<ByteSize>,
}
