//! The components of an application: specifications, configuration files, validation and dependency plans.
//!
//! Does not know which components are loaded.
#![forbid(unsafe_code)]

mod catalog;
mod config;
mod environment;
mod nearest;
mod problem;
mod rules;
mod spec;
pub mod template;

/// Public for the bench only.
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
