//! Problems of a configuration: place, message and solution.
//!
//! Owns their text and order. Does not know how they are found.

use std::fmt;
use std::sync::Arc;

use majordomo_core::{count, printable};

/// Whether a problem prevents the use of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// The configuration works, but perhaps not as its author expects.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A place in a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "severity and message")]
pub struct Problem {
    pub severity: Severity,
    /// A fixed word for the kind of problem, such as `unknown-key`.
    pub code: &'static str,
    /// The file, as it was named; `builder` for a configuration made in code.
    pub file: Arc<str>,
    /// The place in the file; none for a problem of the file itself, or of a configuration made in code.
    pub at: Option<Position>,
    /// The offending text, shortened to one line.
    pub value: Option<String>,
    pub message: String,
    /// The solution.
    pub suggestion: Option<String>,
}

/// The name in the place of a file's, for a configuration that was built in code.
pub(crate) const BUILDER: &str = "builder";

impl Problem {
    /// An error in a configuration that was built in code; `severity` may be lowered.
    #[must_use]
    pub fn in_code(code: &'static str, message: String, suggestion: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            file: Arc::from(BUILDER),
            at: None,
            value: None,
            message,
            suggestion: Some(suggestion.into()),
        }
    }
}

/// `file:line:column: error[code]: message`, and the solution on a line of its own, or with `{:#}` on the same line.
/// Quotations of the file are escaped.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file))?;
        if let Some(Position { line, column }) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}[{}]: {}", self.severity, self.code, printable(&self.message))?;
        if let Some(suggestion) = &self.suggestion {
            let before = if f.alternate() { "; " } else { "\n  " };
            write!(f, "{before}help: {}", printable(suggestion))?;
        }
        Ok(())
    }
}

/// All problems of a configuration: at least one error, and the warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// In order of file, place and severity. One of them must be an error.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        sort(&mut problems);
        Self(problems)
    }

    /// The problems in order of file and place.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|p| p.severity == Severity::Error).count()
    }
}

/// Files keep the order in which they were read, which is that of their first problem.
pub(crate) fn sort(problems: &mut [Problem]) {
    let mut files: Vec<Arc<str>> = Vec::new();
    for problem in problems.iter() {
        if !files.contains(&problem.file) {
            files.push(problem.file.clone());
        }
    }
    let file_idx = |p: &Problem| files.iter().position(|f| *f == p.file);
    problems.sort_by_cached_key(|p| (file_idx(p), p.at, p.severity));
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        let errors = self.errors();
        write!(f, "{}", count(errors, "error"))?;
        match self.0.len() - errors {
            0 => Ok(()),
            warnings => write!(f, ", {}", count(warnings, "warning")),
        }
    }
}

impl std::error::Error for Problems {}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
