//! The system's table of processes: who belongs to which process group, since when, and with which tag; and by that,
//! which processes are the members of a component.
//!
//! Owns reading it (Linux `/proc`, elsewhere `ps`). Everything here blocks for a moment and belongs on a blocking
//! thread. Invariant: a process that vanishes while being read
//! is left out, never an error.

#[cfg(not(unix))]
compile_error!("Majordomo runs on Linux and macOS; on Windows use WSL");

mod entry;
mod members;
mod signal;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod ps;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use ps as system;

pub(crate) use entry::Entry;
pub use entry::{ProcessGroup, StartTime, TAG_VARIABLE};
pub(crate) use members::{Members, ProcessTable};
pub(crate) use signal::signal_process;
pub(crate) use system::{boot_id, children, entry, handles, scan, start_time, tagged};
