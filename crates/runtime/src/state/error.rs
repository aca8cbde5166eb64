//! Errors of opening the state, and files that were set aside.

use std::io;
use std::path::PathBuf;

use majordomo_core::quoted_path;
use majordomo_files::FileError;

/// Whether an error says that there is no room on the disk, or no more for this user or process.
#[must_use]
pub fn is_full_disk(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Why the state cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process has it.
    #[error("the state directory {} is in use{by}; stop that program or choose another directory", quoted_path(dir), by = pid.map_or(String::new(), |p| format!(" by the program with pid {p}")))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process that has it, when that is known.
        pid: Option<u32>,
    },
    /// It is not this user's alone to change, or is something else than a file or directory.
    #[error("{0}")]
    Untrusted(FileError),
    /// It cannot be made, written or read.
    #[error(
        "the state in {} cannot be {what}: {source}; check its permissions and the disk, or choose another state directory",
        quoted_path(path)
    )]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The failed operation: `created`, `written`, `read`, `set aside`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl StateError {
    /// `what` was being done: `created`, `written`, `read`.
    pub(super) fn of(error: FileError, what: &'static str) -> Self {
        let path = error.at().to_owned();
        match error.into_system_error() {
            Ok(source) => Self::Io { path, what, source },
            Err(error) => Self::Untrusted(error),
        }
    }
}

/// A file that was not ours, or no longer whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was.
    pub from: PathBuf,
    /// Where it is now.
    pub to: PathBuf,
    /// The reason, in words.
    pub why: String,
}

impl std::fmt::Display for SetAside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, why } = self;
        write!(
            f,
            "{} could not be used ({why}); it was renamed to {} and learning starts again",
            quoted_path(from),
            quoted_path(to)
        )
    }
}
