//! Why a file is not read.

use std::fmt;
use std::path::PathBuf;

use crate::wire::WireError;

/// Why a Core ML file is not read: the part that has the fault, and the fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system refuses.
    #[error("{} cannot be read: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A part of it is not as the format demands, or nothing that is evaluated here.
    #[error("{at}: {why}")]
    Fault {
        /// The part of the file.
        at: String,
        /// The fault.
        why: String,
    },
}

/// A fault of a part.
pub(super) fn fault<T>(at: impl fmt::Display, why: impl fmt::Display) -> Result<T, ReadError> {
    Err(ReadError::Fault { at: at.to_string(), why: why.to_string() })
}

/// Names the part that has a fault.
pub(super) trait At<T> {
    fn at(self, part: impl fmt::Display) -> Result<T, ReadError>;
}

impl<T> At<T> for Result<T, WireError> {
    fn at(self, part: impl fmt::Display) -> Result<T, ReadError> {
        self.or_else(|error| fault(part, error))
    }
}
