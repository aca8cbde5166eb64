//! Findings of the rules.

use std::fmt;

/// A fault that a rule found, or a note.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    /// From 1; 0 means the file as a whole.
    line: usize,
    message: String,
    /// Printed, but no reason to fail.
    is_note: bool,
}

/// Where rules put what they find.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn error(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.0.push(Finding {
            path: path.to_owned(),
            line,
            message: message.into(),
            is_note: false,
        });
    }

    pub(super) fn note(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(Finding {
            path: path.to_owned(),
            line: 0,
            message: message.into(),
            is_note: true,
        });
    }
}

impl Findings {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// How many of them are reasons to fail.
    pub(super) fn n_errors(&self) -> usize {
        self.0.iter().filter(|finding| !finding.is_note).count()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_note { "note" } else { "error" };
        match self.line {
            0 => write!(f, "{kind}: {}: {}", self.path, self.message),
            line => write!(f, "{kind}: {}:{line}: {}", self.path, self.message),
        }
    }
}
