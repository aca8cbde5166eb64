//! Errors of arenas, grants and mapped files.

use std::io;
use std::path::PathBuf;

use majordomo_core::ByteSize;

/// Why an arena has no memory to give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// The grant does not cover the request.
    #[error("{requested} more are needed; {used} of the granted {limit} are in use")]
    GrantExhausted {
        /// Bytes asked for.
        requested: ByteSize,
        /// Bytes taken from the grant.
        used: ByteSize,
        /// Bytes granted.
        limit: ByteSize,
    },
    /// The system has no memory or address space for the mapping.
    #[error("the system refuses to map {requested}: {error}")]
    Map {
        /// Bytes asked for.
        requested: ByteSize,
        /// The system's words.
        error: io::Error,
    },
    /// A file cannot be mapped.
    #[error("{} cannot be mapped: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// Another user could change the file under the mapping.
    #[error(
        "{} is not mapped since others may write to it; make it yours and remove the write permission of group and others",
        .0.display()
    )]
    ForeignFile(PathBuf),
}
