//! Errors of pressure sources, cgroups and footprints, and the one way in which files of the system are read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a source of pressure or of footprints has no reading.
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
    /// The content of a file of the system is not understood.
    #[error("{}: {what} in {text:?}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The mistake, in words.
        what: &'static str,
        /// The text in question.
        text: String,
    },
    /// The system does not offer this.
    #[error("{what}")]
    Unavailable {
        /// The missing thing and the reason, in words.
        what: String,
    },
    /// A script ended, or its handle made it fail.
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

impl SourceError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }

    pub(crate) fn malformed(path: &Path, what: &'static str, text: &str) -> Self {
        let text = text.chars().take(80).collect();
        Self::Malformed { path: path.to_owned(), what, text }
    }
}

/// Reads a small text file of the system.
pub(crate) fn read_text(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|error| SourceError::io(path, error))
}
