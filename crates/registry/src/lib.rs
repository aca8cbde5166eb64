//! What components there are: specifications, configuration files, validation and dependency plans.
//!
//! Knows nothing of what is loaded now.
#![forbid(unsafe_code)]

mod catalog;
mod config;
mod environment;
mod nearest;
mod problem;
mod rules;
mod spec;
pub mod template;

/// Measured by the bench apart from names; no part of the interface.
#[doc(hidden)]
pub use catalog::LoadGraph;
pub use catalog::{Catalog, CatalogError, Conflict, EndpointProblem, LoadPlan, Relation};
pub use config::{
    Finding, LoadedConfig, Look, base_dir, legacy_schema, parse_legacy_json, parse_toml,
    parse_toml_with, read_config, read_config_with, reference, schema,
};
pub use environment::{environment_variable, temporary_folder};
pub use problem::{Position, Problem, Problems, Severity};
pub use spec::{
    ComponentSpec, ConflictPolicy, LoaderSpec, OnAbandon, OverLimit, PoolSpec, ProbeRule,
    ProbeSpec, ProcessSpec, ReadySpec, RestartPolicy, StdinMode, TrimSignal, TrimSpec,
    WELL_KNOWN_POOLS, WhileLeased,
};
