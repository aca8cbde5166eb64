//! The tokio shell of Majordomo: what runs, measures and remembers components. It never decides.
//!
//! - [`Host`]: the shell as callers see it; its task owns the engine and carries out its effects.
//! - [`Factory`], [`Instance`], [`Component`]: components inside this process.
//! - [`process`]: programs as components: start, readiness, health, stop, exit.
//! - [`guard`]: the process that keeps children from outliving the manager.
//! - [`logs`]: bounded, numbered logs.
//! - [`footprint`]: memory of process groups.
//! - [`state`]: what survives a restart.
//! - [`clock`]: the one place that reads clocks.
//! - [`complaint`]: when a failure that repeats is told.
//!
//! Unix only: Linux and macOS.
#![forbid(unsafe_code)]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("Majordomo runs on Linux and macOS; on Windows use WSL 2");

pub mod clock;
pub mod complaint;
pub mod footprint;
pub mod guard;
pub mod logs;
pub mod process;
pub mod state;

mod budget;
mod cached;
mod children;
mod component;
mod component_thread;
mod events;
mod exchange;
mod failed_load;
mod host;
mod lease;
mod loader;
mod machine;
mod memory;
mod message;
mod notices;
mod pressure;
mod proctable;
mod recent;
mod shell;
mod snapshot;
mod tags;
mod usage;

pub use budget::budget_bytes;
pub use cached::CachedIncarnation;
pub use component::{Component, Instance, Revocation};
pub use events::{EventLog, Followed, Follower};
pub use exchange::OldLeases;
pub use host::{AcquireOptions, Acquired, Ask, Host};
pub use lease::{AnyLease, Dependency, Lease};
pub use loader::{Factory, LoadContext, LoadError};
pub use memory::ComponentMemory;
pub use proctable::{Group, StartTime};
pub use shell::{ShellParts, StatusSection};
pub use tags::{Party, Tagged};
pub use usage::{UsageSummary, usage_trace};
