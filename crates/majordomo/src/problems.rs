//! Problems of a configuration that was built in code.

use majordomo_registry::{CatalogError, ComponentSpec, Finding, Problem};

pub(crate) fn of_catalog(error: &CatalogError) -> Problem {
    Problem::in_code(error.code(), error.what(), error.way_out())
}

/// A finding about a component that was added in code.
pub(crate) fn of_finding(spec: &ComponentSpec, finding: Finding) -> Problem {
    let Finding { severity, code, message, suggestion } = finding;
    let message = format!("components.{}: {message}", spec.id);
    let mut problem = Problem::in_code(code, message, suggestion);
    problem.severity = severity;
    problem
}
