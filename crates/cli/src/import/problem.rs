//! A mistake of the imported file that no translation can be made of.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// From 1; `None` when it concerns the file.
    pub line: Option<usize>,
    /// Says what is wrong and the way out.
    pub message: String,
}

impl Problem {
    pub(super) fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), message: message.into() }
    }

    pub(super) fn file(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
