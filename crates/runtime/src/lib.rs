//! The tokio shell of Majordomo: what runs, measures and remembers components. It never decides.
//!
//! - [`Host`]: the shell as callers see it; its task owns the engine and carries out its effects.
//! - [`Factory`], [`Instance`], [`Component`]: components inside this process.
//! - [`process`]: programs as components: start, readiness, health, stop, exit.
//! - [`guard`]: the process that keeps children from outliving the manager.
//! - [`logs`]: bounded, numbered logs.
//! - [`footprint`]: memory of components that are processes.
//! - [`state`]: what survives a restart.
//! - [`stdio`]: calls of programs by lines of JSON.
//! - [`clock`]: the one place that reads clocks.
//! - [`log_throttle`]: rate limit for the log of a repeated failure.
//!
//! Unix only: Linux and macOS.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use majordomo_core::{ByteSize, Config};
//! use majordomo_registry::{Catalog, ComponentSpec};
//! use majordomo_runtime::clock::WallClock;
//! use majordomo_runtime::{AcquireOptions, Factory, Host, Instance, ShellParts};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let catalog = Catalog::build(vec![ComponentSpec::builtin("greeter")?], Vec::new(), None)?;
//! let factory = Factory::blocking(|_context| Ok(Instance::plain("hello".to_owned())));
//! let parts = ShellParts {
//!     catalog: Arc::new(catalog),
//!     config: Config::default(),
//!     budget: ByteSize::mib(256),
//!     factories: BTreeMap::from([("greeter".to_owned(), factory)]),
//!     processes: None,
//!     base_dir: "/".into(),
//!     store: None,
//!     pressure: None,
//!     wall_clock: WallClock::default(),
//!     start: true,
//!     sections: Vec::new(),
//! };
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     let host = Host::start(parts)?;
//!     let greeter = host.key("greeter")?;
//!     // Loads the component if it is not ready.
//!     let leases = host.acquire_all(&[greeter], AcquireOptions::default()).await?;
//!     assert_eq!(leases[0].get::<String>().map(String::as_str), Some("hello"));
//!     drop(leases);
//!     assert!(host.shutdown(None).await.is_empty(), "every component stopped");
//!     Ok(())
//! })
//! # }
//! ```
#![forbid(unsafe_code)]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("Majordomo runs on Linux and macOS; on Windows use WSL 2");

pub mod children;
pub mod clock;
pub mod footprint;
pub mod guard;
pub mod log_throttle;
pub mod logs;
pub mod process;
pub mod state;
pub mod stdio;

mod budget;
mod cached;
mod cancel;
mod component;
mod component_files;
mod component_thread;
mod drivers;
mod events;
mod exchange;
mod external;
mod failed_load;
mod host;
mod lease;
mod load_clock;
mod loader;
mod machine;
mod memory;
mod message;
mod notices;
mod polling;
mod pressure;
mod proctable;
mod recent;
mod rungs;
mod shell;
mod snapshot;
mod tags;
mod usage;

pub use budget::budget_bytes;
pub use cached::CachedIncarnation;
pub use component::{Component, Instance, Revocation};
pub use drivers::check_drivers;
pub use events::{EventLog, Followed, Follower};
pub use exchange::OldLeases;
pub use host::{AcquireOptions, Acquired, Ask, Host};
pub use lease::{AnyLease, Dependency, Lease};
pub use load_clock::LoadClock;
pub use loader::{CORE_ML_FACTORY, Factory, LoadContext, LoadError};
pub use memory::ComponentMemory;
pub use proctable::{ProcessGroup, StartTime};
pub use rungs::paged::try_parking;
pub use shell::{ShellParts, StatusSection};
pub use tags::{Party, Tagged};
pub use usage::{UsageSummary, usage_trace};
