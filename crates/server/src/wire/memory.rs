//! Memory as it is sent: budget, pools, bounds, pressure, memory returned to the system.
#![expect(missing_docs, reason = "members that say all by their names have no comment")]

use majordomo::{ByteSize, MemoryStatus, Moment, PressureLevel};
use serde::{Deserialize, Serialize};

use super::{Parking, ms};

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<ByteSize>,
    /// Bytes booked in it.
    pub booked: ByteSize,
    /// Whether its bytes are no RAM.
    pub declared: bool,
}

/// Bytes booked or taken beyond the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdraft {
    /// All in all.
    pub total: ByteSize,
    /// Measured above what was reserved.
    pub growth: ByteSize,
    /// The peak of a load that is larger than what the budget has; ends with the load.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub load: ByteSize,
    /// Left over from a larger budget.
    pub config: ByteSize,
    /// Taken by other programs.
    pub external: ByteSize,
    /// Freed inside the server but not given back to the system.
    pub unreturned: ByteSize,
}

/// Memory as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub budget: ByteSize,
    pub booked: ByteSize,
    /// Bytes set aside for demands that clear memory now.
    pub claimed: ByteSize,
    /// Beyond the budget.
    pub overdraft: Overdraft,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<PressureLevel>,
    pub pools: Vec<Pool>,
    /// Bytes of the budget that other programs take.
    #[serde(default)]
    pub external: ByteSize,
    /// Bytes that the server holds for no component.
    #[serde(default)]
    pub unreturned: ByteSize,
    /// Resident memory of the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<ByteSize>,
    /// Where pressure is felt, and what was felt lately; none when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub felt: Option<Felt>,
    /// Snapshots of unloaded components.
    #[serde(default)]
    pub cold: Cold,
    /// Times that freed heap memory was given back.
    #[serde(default)]
    pub trims: u64,
    /// How long the last of them took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trim_ms: Option<f64>,
    /// How processes are bounded, and why not better.
    #[serde(default)]
    pub process_limits: String,
    /// Programs that are parked in swap; none of an older server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parking: Option<Parking>,
}

/// One bound on the memory that can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// `machine`, or the path of the cgroup.
    pub name: String,
    /// Its memory or limit; none = not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<ByteSize>,
    /// Bytes in use.
    pub used: ByteSize,
}

/// A change of the level, or what happened to a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PressureRecord {
    /// How long ago.
    pub ago_ms: f64,
    /// The level from then on.
    pub level: PressureLevel,
    /// Bytes that were available.
    pub available: ByteSize,
    /// The failure or recovery of a source; empty when the level changed.
    pub event: String,
}

/// Where pressure is felt, and what was felt lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Felt {
    /// The source that answers.
    pub source: String,
    /// Whether the last reading failed.
    pub failing: bool,
    /// The effective limit.
    pub limit: ByteSize,
    /// Bytes available before the tightest bound.
    pub available: ByteSize,
    /// The level that the kernel hints at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<PressureLevel>,
    /// Below how many available bytes MEDIUM, HIGH, CRITICAL and EMERGENCY begin.
    pub thresholds: [ByteSize; 4],
    /// Every bound that was read, the machine first.
    pub bounds: Vec<Bound>,
    /// The means that wake the watcher, and the missing ones.
    pub means: Vec<String>,
    /// Readings so far.
    pub readings: u64,
    /// Changes, oldest first.
    pub history: Vec<PressureRecord>,
}

/// Snapshots of unloaded components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cold {
    /// The bytes that snapshots may take.
    pub budget: ByteSize,
    /// The bytes that snapshots take.
    pub used: ByteSize,
    /// How many there are.
    pub snapshots: u64,
    /// Handed to a load.
    pub handed_back: u64,
    /// Gone for others, or too large.
    pub dropped: u64,
    /// Not as they were.
    pub corrupt: u64,
}

fn is_zero(bytes: &ByteSize) -> bool {
    *bytes == ByteSize::ZERO
}

impl Memory {
    /// Of the memory part of a status of the moment `now`.
    #[must_use]
    pub fn new(m: &MemoryStatus, now: Moment) -> Self {
        let by_kind = m.overdraft_by_kind;
        let pool = |p: &majordomo::PoolStatus| Pool {
            name: p.name.to_string(),
            budget: p.budget,
            booked: p.booked,
            declared: p.declared,
        };
        Self {
            budget: m.budget,
            booked: m.booked,
            claimed: m.claimed,
            overdraft: Overdraft {
                total: m.overdraft,
                growth: by_kind.growth,
                load: by_kind.load,
                config: by_kind.config,
                external: by_kind.external,
                unreturned: by_kind.unreturned,
            },
            pressure: m.pressure,
            pools: m.pools.iter().map(pool).collect(),
            external: m.external,
            unreturned: m.unreturned,
            own: m.own,
            felt: m.felt.as_ref().map(|f| Felt::new(f, now)),
            cold: Cold {
                budget: m.cold.budget,
                used: m.cold.used,
                snapshots: m.cold.snapshots,
                handed_back: m.cold.handed_back,
                dropped: m.cold.dropped,
                corrupt: m.cold.corrupt,
            },
            trims: m.trims.trims,
            last_trim_ms: m.trims.last_took.map(ms),
            process_limits: m.process_limits.clone(),
            parking: Some(Parking::from(&m.parking)),
        }
    }
}

impl Felt {
    fn new(f: &majordomo::PressureStatus, now: Moment) -> Self {
        let bound = |b: &majordomo::BoundStatus| Bound {
            name: b.name.clone(),
            limit: b.limit,
            used: b.used,
        };
        let record = |n: &majordomo::PressureRecord| PressureRecord {
            ago_ms: ms(now.since(n.at)),
            level: n.level,
            available: n.available,
            event: n.event.clone(),
        };
        Self {
            source: f.source.clone(),
            failing: f.failing,
            limit: f.limit,
            available: f.available,
            hint: f.hint,
            thresholds: f.thresholds,
            bounds: f.bounds.iter().map(bound).collect(),
            means: f.means.clone(),
            readings: f.readings,
            history: f.history.iter().map(record).collect(),
        }
    }
}
