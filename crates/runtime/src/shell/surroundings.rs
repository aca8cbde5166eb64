//! The surroundings of the manager as the engine last heard of them: wall clock, processor, battery, spare memory.

use majordomo_core::{ByteSize, Moment, WallSeconds};

use crate::machine::Machine;

/// What the engine was last told of the world around.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub(super) machine: Machine,
    pub(super) wall: Option<(Moment, WallSeconds)>,
    pub(super) busy: bool,
    pub(super) on_battery: bool,
    pub(super) looks: u64,
    /// What the machine can spare, as the engine was last told.
    pub(super) spare: Option<ByteSize>,
}
