//! Tests of the registry through its public interface.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod addresses;
mod catalog;
mod catalog_laws;
mod code;
mod config;
mod config_components;
mod config_files;
mod config_fuzz;
mod documents;
mod gateway;
mod inheritance;
mod programs;
mod services;
