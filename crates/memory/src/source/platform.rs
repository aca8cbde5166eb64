//! The pressure sources that this platform has, in order of preference.

use majordomo_core::ByteSize;

#[cfg(target_os = "linux")]
use super::CgroupSource;
#[cfg(target_os = "macos")]
use super::MacosSource;
use super::{MachineSource, PressureSource, SourceChain};
use crate::error::SourceError;

/// The sources of this platform in order of preference.
#[must_use]
pub fn platform_source() -> SourceChain {
    SourceChain::new(vec![
        #[cfg(target_os = "linux")]
        Box::new(CgroupSource::new("/", MachineSource::default())),
        #[cfg(target_os = "macos")]
        Box::new(MacosSource::default()),
        Box::new(MachineSource::default()),
    ])
}

/// The effective limit of this process: the smaller of the machine's memory and its own cgroup's limit.
///
/// # Errors
/// As [`PressureSource::read`].
pub fn effective_limit(source: &mut dyn PressureSource) -> Result<ByteSize, SourceError> {
    source.read().map(|r| r.limit)
}
