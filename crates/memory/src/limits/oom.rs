//! Evidence that separates an OOM kill from any other end of a process.
//!
//! Knows counters and signals; the engine decides the consequences of an OOM kill (a higher estimate, a restart).

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use majordomo_core::ByteSize;

use crate::cgroup::MemoryCgroup;

/// A process that dies by SIGKILL within this share of its limit is taken for an OOM kill even where no
/// counter says so.
const NEAR_LIMIT: f64 = 0.95;

/// `SIGKILL` has this number on every platform we know.
const SIGKILL: i32 = 9;

/// Evidence that a process was killed for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OomEvidence {
    /// The cgroup's own counter rose.
    CgroupKill {
        /// How many kills were counted meanwhile.
        kills: u64,
        /// The highest usage, where known.
        peak: Option<ByteSize>,
    },
    /// The process was killed with its usage at the limit.
    NearLimit {
        /// The highest usage known.
        peak: ByteSize,
        /// The limit of the process.
        limit: ByteSize,
    },
    /// The process was killed while the machine's count of OOM kills rose.
    MachineKill {
        /// How many kills were counted meanwhile.
        kills: u64,
    },
}

impl OomEvidence {
    /// The highest usage, where known.
    #[must_use]
    pub fn peak(&self) -> Option<ByteSize> {
        match *self {
            Self::CgroupKill { peak, .. } => peak,
            Self::NearLimit { peak, .. } => Some(peak),
            Self::MachineKill { .. } => None,
        }
    }
}

impl fmt::Display for OomEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CgroupKill { kills, peak } => {
                write!(f, "out of memory: the kernel killed {kills} in its cgroup")?;
                peak.map_or(Ok(()), |peak| write!(f, " at {peak}"))
            }
            Self::NearLimit { peak, limit } => {
                write!(f, "out of memory: killed at {peak} with a limit of {limit}")
            }
            Self::MachineKill { kills } => {
                write!(f, "out of memory: killed while the machine counted {kills} OOM kills")
            }
        }
    }
}

/// Counters as they stood before a process started.
#[derive(Clone, Debug)]
pub struct OomWatch {
    vmstat: PathBuf,
    cgroup: Option<MemoryCgroup>,
    limit: Option<ByteSize>,
    cgroup_kills: u64,
    machine_kills: u64,
}

impl OomWatch {
    /// Reads the counters now. `cgroup`: the process's own cgroup, without other components' processes; `limit`: its
    /// bound.
    #[must_use]
    pub fn new(root: &Path, cgroup: Option<MemoryCgroup>, limit: Option<ByteSize>) -> Self {
        let vmstat = root.join("proc/vmstat");
        let machine_kills = machine_kills(&vmstat);
        let cgroup_kills = cgroup.as_ref().and_then(kills_in).unwrap_or(0);
        Self { vmstat, cgroup, limit, cgroup_kills, machine_kills }
    }

    /// The evidence that the process which ended was killed for memory; none when there is none.
    ///
    /// `signal`: by which signal it ended; `killed_by_us`: whether we sent it; `peak`: the highest footprint
    /// measured, used where the cgroup keeps none. Call it before the [`ProcessLimit`](super::ProcessLimit) is
    /// dropped.
    #[must_use]
    pub fn evidence(
        &self,
        signal: Option<i32>,
        killed_by_us: bool,
        peak: Option<ByteSize>,
    ) -> Option<OomEvidence> {
        // The peak of a cgroup without a limit may be file cache for the larger part.
        let bounded = self.cgroup.as_ref().filter(|_| self.limit.is_some());
        let cgroup_peak = bounded.and_then(|g| g.peak().ok().flatten());
        let peak = cgroup_peak.or(peak);
        let cgroup_kills = self.cgroup.as_ref().and_then(kills_in);
        if let Some(kills @ 1..) = cgroup_kills.map(|now| now.saturating_sub(self.cgroup_kills)) {
            return Some(OomEvidence::CgroupKill { kills, peak });
        }
        if signal != Some(SIGKILL) || killed_by_us {
            return None;
        }
        // A cgroup's usage counts file cache, so usage near the limit is no evidence beside its counter.
        if let (Some(peak), Some(limit), None) = (peak, self.limit, cgroup_kills)
            && peak >= limit.scaled(NEAR_LIMIT)
        {
            return Some(OomEvidence::NearLimit { peak, limit });
        }
        let kills = machine_kills(&self.vmstat).saturating_sub(self.machine_kills);
        (kills > 0).then_some(OomEvidence::MachineKill { kills })
    }
}

fn kills_in(cgroup: &MemoryCgroup) -> Option<u64> {
    cgroup.events().ok().map(|e| e.oom_kill)
}

/// The machine's count of OOM kills, those in cgroups included; 0 where the kernel keeps none.
fn machine_kills(vmstat: &Path) -> u64 {
    let text = fs::read_to_string(vmstat).unwrap_or_default();
    let value = text.lines().find_map(|l| l.strip_prefix("oom_kill "));
    value.and_then(|v| v.trim().parse().ok()).unwrap_or(0)
}
