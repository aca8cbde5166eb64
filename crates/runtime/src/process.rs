//! Programs as components: started without a shell, watched, probed and stopped with all they started.
//!
//! Owns the way of a process from configuration to "down". Knows nothing of states, budgets or leases.
//! Invariants: a program runs only after the guard has its process group; dropping a load or a
//! [`RunningProcess`] kills it; a process group is signalled only while its number cannot have been given
//! to another one (its leader is reaped last); everything that waits has a deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, OpId};
use majordomo_registry::ProcessSpec;

use crate::load_clock::LoadClock;
use crate::logs::LogBuffer;

mod bound;
mod command;
mod error;
mod heard;
pub(crate) mod http;
mod loader;
mod phase;
mod prepare;
mod ready;
mod resolve;
mod running;
mod spawn;
mod step;
pub(crate) mod stepping;
mod stop_request;
mod strays;
mod supervise;
mod template;
mod trim;
mod warm_up;

pub use error::{Advice, ProcessError, Tail};
pub use loader::{ProcessConfig, ProcessLoader};
pub use majordomo_core::Endpoint;
pub use prepare::look_up;
pub use running::RunningProcess;
pub use strays::Subreaper;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// Killed by the signal with this number.
    Signal(i32),
    /// Other code of this process collected its exit status.
    Unknown,
}

impl Exit {
    /// The exit code of a program that ended by itself.
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(_) | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(n) => match signal_name(*n) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {n}"),
            },
            Self::Unknown => f.write_str("ended"),
        }
    }
}

/// The signals whose numbers are the same everywhere.
fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [(i32, &str); 11] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
    ];
    NAMES.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

/// The context of one load.
#[derive(Clone, Debug)]
pub struct StartContext {
    /// The component that the program is started for.
    pub component: ComponentId,
    /// This load; makes the socket's name unique.
    pub op: OpId,
    /// The program.
    pub spec: Arc<ProcessSpec>,
    /// It and its children may use so much memory, where the system can bound them.
    pub memory_limit: Option<ByteSize>,
    /// It may be parked: where the system has swap it gets a cgroup of its own, whose usage proves the bytes freed.
    pub may_park: bool,
    /// Relative paths of the specification count from here: the configuration file's folder, absolute.
    pub base_dir: PathBuf,
    /// Where its dependencies are reached, direct or not, that are programs with an address.
    pub dependencies: BTreeMap<ComponentId, Endpoint>,
    /// It must be ready within this.
    pub deadline: Duration,
    /// The log of its output.
    pub logs: Arc<LogBuffer>,
    /// The learned time of such a load; it says how often the program is asked whether it is ready.
    pub usual: Option<Duration>,
    /// Where the stages of the load are recorded.
    pub clock: Arc<LoadClock>,
}
