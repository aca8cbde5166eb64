//! Where memory pressure is felt: the trait of all sources, what they tell, and how they fail.
//!
//! A source does I/O inside [`PressureSource::read`] only and keeps no clock. Which level a reading means is
//! the classifier's business. Invariant: a reading has a limit above zero; a source that cannot tell says so
//! with an error instead of repeating its last answer.

mod chain;
mod group;
mod machine;
#[cfg(target_os = "macos")]
mod macos;
mod scripted;

pub use chain::SourceChain;
pub use group::GroupSource;
pub use machine::MachineSource;
#[cfg(target_os = "macos")]
pub use macos::{MacosSource, physical_footprint};
pub use scripted::{ScriptHandle, ScriptedSource};

use std::fmt;
use std::io;
use std::path::PathBuf;

use majordomo_core::{BoundStatus, ByteSize};

use crate::hints::{Hints, MachineMemory};
use crate::watch::WatchConfig;

/// Whose limit a reading is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReadingSource {
    /// The machine's memory is the tighter bound.
    Machine,
    /// A control group that this process belongs to is the tighter bound.
    Group,
    /// A script of a test or a simulation.
    Scripted,
}

impl fmt::Display for ReadingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Machine => "machine",
            Self::Group => "own group",
            Self::Scripted => "script",
        })
    }
}

/// What a source told at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressureReading {
    /// Bytes that can still be had before the limit: free, or reclaimable without swapping.
    pub available: ByteSize,
    /// The effective limit: the smaller of the machine's memory and the own group's limit. Above zero.
    pub limit: ByteSize,
    /// The whole machine's memory, of which `available` and `limit` may be a part.
    pub machine: MachineMemory,
    /// What the system itself signals; [`Self::hint`] says which of it counts.
    pub hints: Hints,
    /// Whose limit it is.
    pub source: ReadingSource,
}

impl PressureReading {
    /// A reading of the machine alone, without signals.
    #[must_use]
    pub fn of_machine(available: ByteSize, total: ByteSize) -> Self {
        Self {
            available,
            limit: total,
            machine: MachineMemory { available, total },
            hints: Hints::default(),
            source: ReadingSource::Machine,
        }
    }

    /// A scripted reading, of a machine with so much memory and without signals.
    #[must_use]
    pub fn scripted(available: ByteSize, limit: ByteSize) -> Self {
        Self { source: ReadingSource::Scripted, ..Self::of_machine(available, limit) }
    }
}

/// Why a source cannot tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file of the system could not be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// A file of the system says something that is not understood.
    #[error("{}: {what} in {text:?}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
        /// The text in question.
        text: String,
    },
    /// The system does not offer this.
    #[error("{what}")]
    Unavailable {
        /// What is missing, and why.
        what: String,
    },
    /// A script ended, or was told to fail.
    #[error("the script {0}")]
    Script(String),
    /// Every source of a chain failed.
    #[error("no source of memory pressure works: {}", list(.0))]
    AllFailed(Vec<(String, SourceError)>),
}

fn list(failures: &[(String, SourceError)]) -> String {
    let words: Vec<_> = failures.iter().map(|(name, e)| format!("{name}: {e}")).collect();
    words.join("; ")
}

/// What happened to a source; for logs and the status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceReport {
    /// It cannot tell any more; the next one is asked instead.
    Failed {
        /// The source or the part of it.
        source: String,
        /// Its error.
        error: String,
        /// Who answers now; none = nobody.
        replaced_by: Option<String>,
    },
    /// It works again and answers instead of the ones behind it.
    Recovered {
        /// The source or the part of it.
        source: String,
    },
}

impl fmt::Display for SourceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { source, error, replaced_by: Some(next) } => {
                write!(f, "pressure source {source} failed ({error}); {next} is asked instead")
            }
            Self::Failed { source, error, replaced_by: None } => {
                write!(f, "pressure source {source} failed ({error}); nothing stands in for it")
            }
            Self::Recovered { source } => write!(f, "pressure source {source} works again"),
        }
    }
}

/// Tells how much memory there is. Blocking: the shell calls it on an owned or blocking thread.
pub trait PressureSource: Send {
    /// Its name in logs and tables.
    fn name(&self) -> &str;

    /// Reads the system now.
    ///
    /// # Errors
    /// When the system cannot be read, or says something that is no reading.
    fn read(&mut self) -> Result<PressureReading, SourceError>;

    /// Takes the reports that piled up since the last call: parts that failed or came back.
    fn take_reports(&mut self) -> Vec<SourceReport> {
        Vec::new()
    }

    /// Every bound that the last reading was made of, the machine's first.
    fn bounds(&self) -> Vec<BoundStatus> {
        Vec::new()
    }

    /// What a [`PressureWatcher`](crate::PressureWatcher) should wait for beside this source, as of the last
    /// reading, with the available bytes below which each level begins; none when nothing wakes for it.
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

/// The sources of this platform in order of preference.
#[must_use]
pub fn platform_source() -> SourceChain {
    SourceChain::new(vec![
        #[cfg(target_os = "linux")]
        Box::new(GroupSource::new("/", MachineSource::default())),
        #[cfg(target_os = "macos")]
        Box::new(MacosSource::default()),
        Box::new(MachineSource::default()),
    ])
}

/// The effective limit of this process: the smaller of the machine's memory and its own group's limit.
///
/// # Errors
/// As [`PressureSource::read`].
pub fn effective_limit(source: &mut dyn PressureSource) -> Result<ByteSize, SourceError> {
    source.read().map(|r| r.limit)
}
