//! Sources of memory pressure: their trait, and one file for each kind.
//!
//! A source does I/O inside [`PressureSource::read`] only and keeps no clock. Which level a reading means is
//! the classifier's business. Invariant: a reading has a limit above zero; a source without a reading returns an
//! error instead of repeating its last one.

mod cgroup;
mod chain;
mod machine;
#[cfg(target_os = "macos")]
mod macos;
mod platform;
mod scripted;

pub use cgroup::CgroupSource;
pub use chain::SourceChain;
pub use machine::MachineSource;
#[cfg(target_os = "macos")]
pub use macos::{MacosSource, physical_footprint};
pub use platform::{effective_limit, platform_source};
pub use scripted::{ScriptHandle, ScriptedSource};

use majordomo_core::{BoundStatus, ByteSize};

use crate::error::SourceError;
use crate::reading::PressureReading;
use crate::report::SourceReport;
use crate::watch::WatchConfig;

/// Measures how much memory is available. Blocking: the shell calls it on an owned or blocking thread.
pub trait PressureSource: Send {
    /// Its name in logs and tables.
    fn name(&self) -> &str;

    /// Reads the system now.
    ///
    /// # Errors
    /// When the system cannot be read, or says something that is no reading.
    fn read(&mut self) -> Result<PressureReading, SourceError>;

    /// Takes the reports since the last call: parts that failed or recovered.
    fn take_reports(&mut self) -> Vec<SourceReport> {
        Vec::new()
    }

    /// Every bound that the last reading was made of, the machine's first.
    fn bounds(&self) -> Vec<BoundStatus> {
        Vec::new()
    }

    /// The files that a [`PressureWatcher`](crate::PressureWatcher) should watch for this source, as of the last reading,
    /// with the available bytes below which each level begins; none when there are no wake-ups for it.
    fn watch(&self, thresholds: [ByteSize; 4]) -> Option<WatchConfig> {
        let _ = thresholds;
        None
    }
}

impl<S: PressureSource + ?Sized> PressureSource for Box<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn read(&mut self) -> Result<PressureReading, SourceError> {
        (**self).read()
    }

    fn take_reports(&mut self) -> Vec<SourceReport> {
        (**self).take_reports()
    }

    fn bounds(&self) -> Vec<BoundStatus> {
        (**self).bounds()
    }

    fn watch(&self, thresholds: [ByteSize; 4]) -> Option<WatchConfig> {
        (**self).watch(thresholds)
    }
}
