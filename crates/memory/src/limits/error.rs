//! Errors of memory limits, and the one way in which a control file is written.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a process cannot be limited.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// The system refused.
    #[error("the memory limit {} cannot be set: {error}", path.display())]
    Io {
        /// The file or cgroup.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// The resource limit was refused.
    #[error("the data limit of process {pid} cannot be set: {error}")]
    Rlimit {
        /// The process.
        pid: u32,
        /// The system's words.
        error: io::Error,
    },
    /// A name that is not a single path element.
    #[error("{0:?} is not a name for a cgroup; use letters, digits, \"-\", \"_\" and \".\"")]
    Name(String),
    /// A limit of zero.
    #[error("a memory limit of 0 lets no process start")]
    Zero,
    /// Other processes live in a cgroup of this name.
    #[error("the cgroup {} is in use by other processes", .0.display())]
    InUse(PathBuf),
}

/// Writes to a control file, which must exist.
pub(super) fn write(path: &Path, text: &str) -> Result<(), LimitError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| LimitError::Io { path: path.to_owned(), error })
}
