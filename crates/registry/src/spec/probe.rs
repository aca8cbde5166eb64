//! Health probes: how a component is probed, and the rule by which failures take it out of service.

use std::time::Duration;

use super::ReadySpec;

/// The action on failed health probes while clients hold leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum WhileLeased {
    /// The component is kept and the failure is reported: a component that works for a client may be too busy to answer a
    /// probe. When the last lease has ended, the component is probed once more, and unloaded if the probe fails.
    #[default]
    Report,
    /// The leases are revoked and the component is stopped, as without leases.
    Restart,
}

/// The rule by which failed health probes take a component out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProbeRule {
    /// Failures in a row. Default 3, range 1 to 1000.
    pub failures: u32,
    /// The action while clients hold leases.
    pub while_leased: WhileLeased,
}

impl Default for ProbeRule {
    fn default() -> Self {
        Self { failures: 3, while_leased: WhileLeased::default() }
    }
}

/// The health probe of a running process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProbeSpec {
    /// `Connect` or `Http`, as for readiness.
    pub how: ReadySpec,
    /// Time between probes. Default 10 s.
    pub every: Duration,
    /// A probe that takes longer fails. Default 2 s.
    pub timeout: Duration,
    /// The rule for failures.
    pub rule: ProbeRule,
}
