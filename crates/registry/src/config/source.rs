//! A configuration file's text, and places in it.
//!
//! Owns reading files (size, encoding) and turning byte positions into lines and columns.
//! Does not know the meaning of the text. Every returned place lies inside the text.

use std::cell::OnceCell;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use majordomo_core::{decode_text, plain_text};
use majordomo_files::{Fault, Trust};

use crate::problem::{Position, Problem, Severity};

/// The largest file that is read: 64 MiB, several times a configuration of 100 000 components.
const MAX_BYTES: usize = 64 << 20;

/// The longest offending value that is shown, in characters.
const MAX_SHOWN: usize = 60;

/// A file's text under the name it was called by.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) text: String,
    line_starts: OnceCell<Vec<usize>>,
}

impl Source {
    /// The text of a file, or one that was made otherwise.
    pub(crate) fn new(name: &str, text: String) -> Self {
        Self { name: Arc::from(name), text: plain_text(text), line_starts: OnceCell::new() }
    }

    /// Reads a file.
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let fail = |code, message: String, suggestion: &str| {
            whole_file(&name, code, message, Some(suggestion.to_owned()))
        };
        let unreadable = |error: std::io::Error| {
            let way_out = match error.kind() {
                std::io::ErrorKind::NotFound => "check the path",
                std::io::ErrorKind::PermissionDenied => "make it readable for this user",
                _ => "check that it is a file that can be read",
            };
            fail("unreadable", format!("cannot read the file: {error}"), way_out)
        };
        let file = majordomo_files::open(path, Trust::Input).map_err(|error| {
            let message = error.message();
            match (error.fault(), error.way_out()) {
                (Fault::Kind { .. }, _) => {
                    let way_out = match path.is_dir() {
                        true => "name the configuration file in it",
                        false => "write the configuration to a file",
                    };
                    fail("unreadable", message, way_out)
                }
                (_, Some(way_out)) => {
                    let why =
                        format!("it names the programs to run, and it is not trusted: {message}");
                    fail("unsafe-file", why, &way_out)
                }
                _ => unreadable(error.into()),
            }
        })?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > MAX_BYTES {
            return Err(fail(
                "too-large",
                format!("the file is larger than {} MiB", MAX_BYTES >> 20),
                "check that it is a configuration",
            ));
        }
        Self::decode(&name, bytes)
    }

    fn decode(name: &str, bytes: Vec<u8>) -> Result<Self, Problem> {
        let text = decode_text(bytes).map_err(|error| {
            let at = |n| u32::try_from(n).unwrap_or(u32::MAX);
            let place = Position { line: at(error.line()), column: at(error.column()) };
            let problem = whole_file(name, "not-utf8", error.what(), Some(error.way_out()));
            Problem { at: (!error.is_whole_text()).then_some(place), ..problem }
        })?;
        Ok(Self::new(name, text))
    }

    /// The line and column of a byte position; the end when it lies behind it.
    pub(crate) fn position(&self, at: usize) -> Position {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let starts = self.line_starts.get_or_init(|| {
            let newlines = self.text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
            std::iter::once(0).chain(newlines.map(|(i, _)| i + 1)).collect()
        });
        let line = starts.partition_point(|start| *start <= at);
        let column = self.text[starts[line - 1]..at].chars().count() + 1;
        Position { line: line as u32, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    pub(crate) fn problem(
        &self,
        severity: Severity,
        code: &'static str,
        span: Range<usize>,
        message: String,
        suggestion: Option<String>,
    ) -> Problem {
        let shown = self.text.get(span.clone()).and_then(|t| t.lines().next()).map(shorten);
        Problem {
            severity,
            code,
            file: self.name.clone(),
            at: Some(self.position(span.start)),
            value: shown.filter(|t| !t.is_empty()),
            message,
            suggestion,
        }
    }
}

/// An error about a file as a whole.
pub(crate) fn whole_file(
    name: &str,
    code: &'static str,
    message: String,
    suggestion: Option<String>,
) -> Problem {
    let (severity, file) = (Severity::Error, Arc::from(name));
    Problem { severity, code, file, at: None, value: None, message, suggestion }
}

/// A text cut to what is shown of it.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}...", &text[..at]),
    }
}

/// A source and what is wrong with it so far.
#[derive(Debug)]
pub(crate) struct Report<'s> {
    pub(crate) source: &'s Source,
    pub(crate) problems: Vec<Problem>,
    /// The places of values that components may inherit.
    pub(crate) inheritable: Vec<Range<usize>>,
    /// The component that is being read or checked, by name: a problem of an inherited value is one of this component too.
    pub(crate) heir: Option<String>,
    /// Problems of inherited values, each once, with the components that inherit them.
    inherited: Vec<(Problem, Vec<String>)>,
    n_added: usize,
}

/// So many components are named that inherit a wrong value.
const MAX_HEIRS: usize = 3;

impl<'s> Report<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self {
            source,
            problems: Vec::new(),
            inheritable: Vec::new(),
            heir: None,
            inherited: Vec::new(),
            n_added: 0,
        }
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: String,
        suggestion: Option<String>,
    ) {
        self.add(Severity::Error, code, span, message, suggestion);
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: &Range<usize>,
        message: String,
        suggestion: Option<String>,
    ) {
        self.n_added += 1;
        let problem = self.source.problem(severity, code, span.clone(), message, suggestion);
        let is_inherited = || self.inheritable.iter().any(|place| place.contains(&span.start));
        let Some(heir) = self.heir.as_ref().filter(|_| is_inherited()) else {
            return self.problems.push(problem);
        };
        // A value that is wrong by itself was reported where it stands, for whatever inherits it.
        if self.problems.iter().any(|known| known.at == problem.at && known.code == code) {
            return;
        }
        match self.inherited.iter_mut().find(|(known, _)| *known == problem) {
            Some((_, heirs)) => heirs.push(heir.clone()),
            None => self.inherited.push((problem, vec![heir.clone()])),
        }
    }

    /// Whether nothing is wrong so far.
    pub(crate) const fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.inherited.is_empty()
    }

    /// How many problems were reported, those included that were known already.
    pub(crate) const fn n_added(&self) -> usize {
        self.n_added
    }

    /// Whether a problem was reported within a value: by itself, or for the component that is being read.
    pub(crate) fn has_problem_in(&self, span: &Range<usize>) -> bool {
        let within = self.source.position(span.start)..=self.source.position(span.end);
        let is_within = |problem: &Problem| problem.at.is_some_and(|at| within.contains(&at));
        let is_own = |heirs: &[String]| self.heir.as_ref().is_some_and(|heir| heirs.contains(heir));
        self.problems.iter().any(is_within)
            || self.inherited.iter().any(|(problem, heirs)| is_own(heirs) && is_within(problem))
    }

    /// Every problem; one of an inherited value names the components that inherit it.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems;
        problems.extend(self.inherited.into_iter().map(|(mut problem, heirs)| {
            let mut shown: Vec<String> =
                heirs.iter().take(MAX_HEIRS).map(|heir| format!("\"{heir}\"")).collect();
            if heirs.len() > MAX_HEIRS {
                shown.push(format!("{} more", heirs.len() - MAX_HEIRS));
            }
            let components = if heirs.len() == 1 { "component" } else { "components" };
            problem.message.push_str(&format!(" (inherited by {components} {})", shown.join(", ")));
            problem
        }));
        problems
    }
}
