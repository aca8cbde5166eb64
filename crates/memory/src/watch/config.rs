//! Which files a [`PressureWatcher`](super::PressureWatcher) watches.

use std::path::PathBuf;

use majordomo_core::ByteSize;

use crate::cgroup::MemoryCgroup;

/// The files to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// The root of the file system; `/` but in tests.
    pub root: PathBuf,
    /// The cgroup to watch, with the available bytes below which each level begins
    /// ([`pressure_thresholds`](crate::pressure_thresholds)); none = the machine alone.
    pub cgroup: Option<(MemoryCgroup, [ByteSize; 4])>,
}
