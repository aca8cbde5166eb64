//! The components of an application: specifications, configuration files, validation and dependency plans.
//!
//! Does not know which components are loaded.
//!
//! ```
//! use majordomo_registry::parse_toml;
//!
//! let text = r#"
//!     [components.voice]
//!     command = ["voice-server", "--port={port}"]
//!     ready = "connect"
//!
//!     [components.assistant]
//!     command = ["assistant", "--voice", "{voice.url}"]
//!     dependencies = ["voice"]
//! "#;
//! let config = parse_toml(text, "majordomo.toml", None)?;
//! let catalog = config.catalog(None)?;
//! let assistant = catalog.key("assistant").expect("declared above");
//! let plan = catalog.plan_load(&[assistant]);
//! let waves = plan.waves().map(|wave| wave.iter().map(|key| catalog.id(*key).as_str()).collect());
//! assert_eq!(waves.collect::<Vec<Vec<_>>>(), [["voice"], ["assistant"]]);
//!
//! // All problems are reported at once, each with its place and a solution.
//! let wrong = text.replace("connect", "conect").replace("= [\"voice\"]", "= [\"voise\"]");
//! let problems = parse_toml(&wrong, "majordomo.toml", None).unwrap_err();
//! let help: Vec<_> = problems.into_iter().filter_map(|problem| problem.suggestion).collect();
//! assert!(help.contains(&"did you mean \"connect\"?".to_owned()));
//! assert!(help.contains(&"did you mean \"voice\"?".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
    Finding, LoadedConfig, Look, ResolvedComponent, ResolvedKey, base_dir, legacy_schema,
    parse_legacy_json, parse_toml, parse_toml_with, read_config, read_config_with, reference,
    resolve_config_with, schema, value_problems,
};
pub use environment::{environment_variable, temporary_folder};
pub use problem::{Position, Problem, Problems, Severity};
pub use spec::{
    AsleepSpec, ComponentSpec, ComputeUnits, ConflictPolicy, ConnectionUse, CoreMlSpec,
    ExternalSpec, GatewaySpec, ListenAddress, LoadOn, LoaderSpec, OnAbandon, OverLimit, PoolSpec,
    ProbeRule, ProbeSpec, ProcessSpec, Protocol, ReadySpec, RestartPolicy, RouteSpec, Select,
    SelectorSpec, Serves, ServiceRequest, ServiceUrl, StdinMode, StdioSpec, StepRequest, StepSpec,
    StopSignal, StopSpec, TokenSpec, TrimSignal, TrimSpec, UrlScheme, WELL_KNOWN_POOLS,
    WarmUpRequest, WarmUpSpec, WhileLeased,
};
