//! Memory that is taken, as of the last measurement.

use std::collections::BTreeMap;

use majordomo_core::{ByteSize, ComponentKey, OpId};

use crate::footprint::{self, Footprint};

/// The memory taken by this manager and by other programs.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Processes, each page of memory counted once.
    pub(super) processes: ByteSize,
    /// This process.
    pub(super) own: ByteSize,
    /// This process before anything was loaded.
    pub(super) own_at_start: ByteSize,
    /// The last exact look at each incarnation that is processes.
    pub(super) footprints: BTreeMap<ComponentKey, (OpId, Footprint)>,
    pub(super) external: ByteSize,
}

impl Taken {
    pub(super) fn start() -> Self {
        let own = footprint::own();
        Self {
            processes: ByteSize::ZERO,
            own,
            own_at_start: own,
            footprints: BTreeMap::new(),
            external: ByteSize::ZERO,
        }
    }
}
