//! Components that block a demand.

use std::fmt;
use std::sync::Arc;

use crate::{ByteSize, ComponentId, count, printable};

/// Why a component cannot be unloaded now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[expect(missing_docs, reason = "the variants are states and settings of the component")]
#[non_exhaustive]
pub enum HolderKind {
    Core,
    Pinned,
    Leased {
        leases: u32,
    },
    /// A demand's load needs it.
    InTransaction,
    /// It has been ready for less than the minimum residency, or thrashes and has been ready for less than its load takes.
    JustLoaded,
    Stuck,
    /// It refuses new leases and waits for its last leases to end.
    Draining,
    Unloading,
    /// It failed and may not be retried yet.
    BackingOff,
}

impl HolderKind {
    /// Whether the holder blocks a demand however long that waits.
    #[must_use]
    pub const fn never_ends(self) -> bool {
        matches!(self, Self::Core | Self::Pinned | Self::Stuck)
    }
}

/// A component that blocks a demand: it holds memory that the demand needs, or conflicts with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the component's name, memory and state")]
pub struct Holder {
    pub component: ComponentId,
    pub booked: ByteSize,
    pub kind: HolderKind,
    /// The tags of its lease holders, where they have any; filled in by the shell.
    pub tags: Vec<Arc<str>>,
}

impl Holder {
    /// Why the component stays, as a sentence about it.
    pub(super) fn write_reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            HolderKind::Core => f.write_str("it is CORE")?,
            HolderKind::Pinned => f.write_str("it is pinned")?,
            HolderKind::Leased { leases } => write!(f, "it has {}", count(leases, "lease"))?,
            HolderKind::InTransaction => f.write_str("a load needs it")?,
            HolderKind::JustLoaded => f.write_str("it was just loaded")?,
            HolderKind::Stuck => f.write_str("it is stuck")?,
            HolderKind::Draining => f.write_str("it waits for its last leases to end")?,
            HolderKind::Unloading => f.write_str("it is unloading")?,
            HolderKind::BackingOff => f.write_str("it failed and waits for its next attempt")?,
        }
        self.write_tags(f, " of ")
    }

    fn write_tags(&self, f: &mut fmt::Formatter<'_>, first: &str) -> fmt::Result {
        for (i, tag) in self.tags.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { first } else { ", " }, printable(tag))?;
        }
        Ok(())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, ", self.component, self.booked)?;
        match self.kind {
            HolderKind::Core => f.write_str("CORE")?,
            HolderKind::Pinned => f.write_str("pinned")?,
            HolderKind::Leased { leases } => write!(f, "{}", count(leases, "lease"))?,
            HolderKind::InTransaction => f.write_str("needed by a load")?,
            HolderKind::JustLoaded => f.write_str("just loaded")?,
            HolderKind::Stuck => f.write_str("stuck")?,
            HolderKind::Draining => f.write_str("draining, still leased")?,
            HolderKind::Unloading => f.write_str("unloading")?,
            HolderKind::BackingOff => f.write_str("backing off after a failure")?,
        }
        self.write_tags(f, ": ")?;
        f.write_str(")")
    }
}
