//! How much memory components that are processes use.
//!
//! A returned figure is *exact*: pages that members share count once (see [`Figure`]). Resident sizes
//! count them for each member, so they are only ever a hint that an exact look is due. Knows nothing of budgets.
//! Everything here reads files or runs a tool, so it belongs on a blocking thread.

use majordomo_core::ByteSize;

use crate::proctable;

mod figure;
mod reading;
mod sampler;

pub use figure::{Figure, Footprint, LoadFootprint};
pub(crate) use reading::{after_load, of_known};
pub use sampler::{Sampler, exact};

/// The resident size of this very process. Blocks.
#[must_use]
pub fn own() -> ByteSize {
    let pid = i32::try_from(std::process::id()).ok();
    pid.and_then(proctable::entry).map(|entry| entry.resident).unwrap_or_default()
}
