//! The paged rung: the process runs on, and its memory was moved to swap.

use majordomo_core::ByteSize;
use majordomo_engine::{ParkReport, RungOffer, WakeReport};
use majordomo_registry::Catalog;

use super::Subject;

/// The paged rung of this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paged;

impl Paged {
    pub(crate) fn offers(&self, _catalog: &Catalog) -> Vec<RungOffer> {
        Vec::new()
    }

    /// The bytes that parked components may have in swap, all together.
    pub(crate) fn room(&self) -> ByteSize {
        ByteSize::ZERO
    }

    /// Wakes that may run at a time; none where nothing is paged.
    pub(crate) fn wake_lanes(&self) -> Option<usize> {
        None
    }

    pub(crate) async fn park(&self, _subject: &Subject) -> Result<ParkReport, String> {
        Err("no component is paged out on this machine".to_owned())
    }

    pub(crate) async fn wake(&self, _subject: &Subject) -> Result<WakeReport, String> {
        Err("no component is paged out on this machine".to_owned())
    }
}
