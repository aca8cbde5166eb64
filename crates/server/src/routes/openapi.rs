//! The description of the interface.

/// The description of the interface (OpenAPI 3.1), as text.
pub const OPENAPI: &str = include_str!("../../openapi.json");
