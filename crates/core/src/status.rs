//! A picture of the whole at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{ByteSize, ComponentId, ComponentState, Moment, PressureLevel, Priority};

/// A value in a section of the status.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
#[non_exhaustive]
pub enum StatusValue {
    /// A yes or no.
    Bool(bool),
    /// A count.
    Count(u64),
    /// A number; its unit stands in the name.
    Number(f64),
    /// Bytes.
    Bytes(ByteSize),
    /// A time span.
    Time(Duration),
    /// Text.
    Text(String),
}

impl fmt::Display for StatusValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => write!(f, "{v}"),
            Self::Count(v) => write!(f, "{v}"),
            Self::Number(v) => write!(f, "{v:.3}"),
            Self::Bytes(v) => write!(f, "{v}"),
            Self::Time(v) => write!(f, "{v:.1?}"),
            Self::Text(v) => f.write_str(v),
        }
    }
}

/// One component.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ComponentStatus {
    /// Its name.
    pub id: ComponentId,
    /// Its state.
    pub state: ComponentState,
    /// Since when.
    pub since: Moment,
    /// Its priority.
    pub priority: Priority,
    /// Its pool.
    pub pool: Arc<str>,
    /// Whether it is pinned, by configuration or by an operator.
    pub pinned: bool,
    /// Whether nobody has asked for it yet in this incarnation.
    pub speculative: bool,
    /// Whether its configuration changed under it.
    pub stale: bool,
    /// Bytes booked for it now.
    pub booked: ByteSize,
    /// Bytes last measured, if any.
    pub measured: Option<ByteSize>,
    /// The highest measured in this incarnation or a remembered one.
    pub peak: Option<ByteSize>,
    /// Its declared estimate.
    pub estimate: ByteSize,
    /// Leases out; filled in by the shell.
    pub leases: u32,
    /// Uses in this process.
    pub uses: u64,
    /// Loads in this process.
    pub loads: u64,
    /// Failures in this process.
    pub failures: u64,
    /// Last use.
    pub last_use: Option<Moment>,
    /// Learned load time.
    pub load_time: Option<Duration>,
    /// Why it is in this state, in words.
    pub cause: String,
}

/// One pool.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Its budget; none = only the total bounds it.
    pub budget: Option<ByteSize>,
    /// Bytes booked in it.
    pub booked: ByteSize,
    /// Whether its bytes are no RAM and so not part of the total.
    pub declared: bool,
}

/// Bytes booked or taken beyond the plan, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OverdraftStatus {
    /// Measured above what was reserved.
    pub growth: ByteSize,
    /// Left over from a larger budget.
    pub config: ByteSize,
    /// Taken by other programs.
    pub external: ByteSize,
    /// Freed inside this process but not given back to the system.
    pub unreturned: ByteSize,
}

/// Memory as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemoryStatus {
    /// The total budget.
    pub budget: ByteSize,
    /// Sum of all booked bytes that count in the total.
    pub booked: ByteSize,
    /// Bytes set aside for demands that clear memory now.
    pub claimed: ByteSize,
    /// How much more is booked and taken than the budget has.
    pub overdraft: ByteSize,
    /// Where an overdraft comes from.
    pub overdraft_by_kind: OverdraftStatus,
    /// The pressure level.
    pub pressure: Option<PressureLevel>,
    /// The pools.
    pub pools: Vec<PoolStatus>,
}

/// The whole.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Status {
    /// When.
    pub at: Moment,
    /// Every component of the configuration, by key order.
    pub components: Vec<ComponentStatus>,
    /// Memory.
    pub memory: MemoryStatus,
    /// Demands that wait.
    pub waiting: usize,
    /// Whether shutdown has begun.
    pub shutting_down: bool,
    /// What each part has to tell besides: name of the part → its figures.
    pub sections: BTreeMap<String, Vec<(String, StatusValue)>>,
}
