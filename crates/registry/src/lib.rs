//! What components there are: specifications, configuration files, validation and dependency plans.
//!
//! Knows nothing of what is loaded now.
#![forbid(unsafe_code)]

mod catalog;
mod nearest;
mod spec;

pub use catalog::{Catalog, CatalogError, Conflict, LoadPlan, Relation};
pub use spec::{
    ComponentSpec, ConflictPolicy, LoaderSpec, OnAbandon, PoolSpec, ProbeSpec, ProcessSpec,
    ReadySpec, RestartPolicy, StdinMode, WELL_KNOWN_POOLS,
};
