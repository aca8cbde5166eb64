//! Problems of a configuration that was built in code.

use std::sync::Arc;

use majordomo_registry::{CatalogError, ComponentSpec, Finding, Problem, Severity};

/// An error whose place is the program itself.
pub(crate) fn in_code(
    code: &'static str,
    message: String,
    suggestion: impl Into<String>,
) -> Problem {
    Problem {
        severity: Severity::Error,
        code,
        file: Arc::from("builder"),
        at: None,
        value: None,
        message,
        suggestion: Some(suggestion.into()),
    }
}

pub(crate) fn of_catalog(error: &CatalogError) -> Problem {
    in_code(error.code(), error.what(), error.way_out())
}

/// A finding about a component that was added in code.
pub(crate) fn of_finding(spec: &ComponentSpec, finding: Finding) -> Problem {
    let Finding { severity, code, message, suggestion } = finding;
    let message = format!("components.{}: {message}", spec.id);
    Problem { severity, ..in_code(code, message, suggestion) }
}
