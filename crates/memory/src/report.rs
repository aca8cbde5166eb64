//! Reports of failed and recovered pressure sources.

use std::fmt;

/// The failure or recovery of a source, for logs and the status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceReport {
    /// It has no readings any more; the next one is asked instead.
    Failed {
        /// The name of the source, or of the part of it.
        source: String,
        /// The error in words.
        error: String,
        /// The source that answers now; none = no source is left.
        replaced_by: Option<String>,
    },
    /// It works again and answers instead of the ones behind it.
    Recovered {
        /// The name of the source, or of the part of it.
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
