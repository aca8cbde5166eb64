//! Problems of a configuration that was built in code.

use std::sync::Arc;

use majordomo_registry::{CatalogError, Problem, Severity};

/// An error whose place is the program itself.
pub(crate) fn in_code(
    code: &'static str,
    message: String,
    suggestion: impl Into<String>,
) -> Problem {
    Problem {
        severity: Severity::Error,
        code,
        file: Arc::from("in code"),
        at: None,
        value: None,
        message,
        suggestion: Some(suggestion.into()),
    }
}

/// An error of a catalog.
pub(crate) fn of_catalog(error: &CatalogError) -> Problem {
    in_code(error.code(), error.what(), error.way_out())
}
