//! The tokio shell of Majordomo: what runs, measures and remembers components. It never decides.
//!
//! - [`process`]: programs as components: start, readiness, health, stop, exit.
//! - [`guard`]: the process that keeps children from outliving the manager.
//! - [`logs`]: bounded, numbered logs.
//! - [`footprint`]: memory of process groups.
//! - [`state`]: what survives a restart.
//! - [`clock`]: the one place that reads clocks.
//!
//! Unix only: Linux and macOS.
#![forbid(unsafe_code)]

pub mod clock;
pub mod footprint;
pub mod guard;
pub mod logs;
pub mod process;
pub mod state;

mod proctable;

pub use proctable::{Group, StartTime};
