//! Every tunable of the manager with its default: the one table that `docs/defaults.md` repeats.

use std::time::Duration;

use crate::{ByteSize, Confidence, PressureLevel, Priority};

/// Settings of the whole. Every field has the default of `docs/defaults.md`.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Config {
    /// Budget and measuring.
    pub memory: MemoryConfig,
    /// Deadlines of demands, loads, stops and shutdown.
    pub deadlines: DeadlineConfig,
    /// Waiting after failures.
    pub back_off: BackOffConfig,
    /// Closing after many failures.
    pub quarantine: QuarantineConfig,
    /// The queue of demands.
    pub queue: QueueConfig,
    /// Concurrent loads.
    pub loads: LoadConfig,
    /// Loading ahead.
    pub speculation: SpeculationConfig,
    /// What goes while nothing is used.
    pub idle: IdleConfig,
    /// From command text to components.
    pub triggers: TriggerConfig,
    /// Learning which components texts need.
    pub intents: IntentConfig,
    /// What is kept on disk.
    pub state: StateConfig,
    /// The socket API: limits, and leases of other processes.
    pub server: ServerConfig,
}

/// The memory budget.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum BudgetSetting {
    /// A share, in `0.0..=1.0`, of the effective limit (the smaller of the machine and the own group).
    Share(f64),
    /// A stated size.
    Bytes(ByteSize),
}

/// Which victims go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum PolicyKind {
    /// Least recently used first.
    Lru,
    /// Greedy-dual-size-frequency.
    Gdsf,
    /// The least likely to be used again, per byte; as LRU while nothing is known, or while LRU does better.
    #[default]
    Vrank,
    /// The same, weighed by the time that loading again takes.
    #[cfg_attr(feature = "serde", serde(rename = "vrank-wait"))]
    VrankWait,
}

/// How available memory becomes a pressure level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum PressureProfile {
    /// By share of the effective limit, with floors.
    #[default]
    Share,
    /// The predecessor's absolute figures: 4, 2, 1 and 0.5 GiB available.
    Legacy,
}

/// Budget, booking and pressure.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemoryConfig {
    /// The total budget. Default: 60 % of the effective limit.
    pub budget: BudgetSetting,
    /// First estimates are multiplied by this. Range 1..=4, default 1.2.
    pub estimate_margin: f64,
    /// A component that became ready is no victim for this long. Default 2 s.
    pub min_residency: Duration,
    /// Which victims go first. Default vrank.
    pub policy: PolicyKind,
    /// How pressure is told. Default by share.
    pub pressure_profile: PressureProfile,
    /// A level must be left for this long before it is believed to have fallen. Default 10 s.
    pub pressure_dwell: Duration,
    /// From this level on idle LOW components go. Default HIGH.
    pub unload_low_at: PressureLevel,
    /// From this level on idle MEDIUM components go too. Default CRITICAL.
    pub unload_medium_at: PressureLevel,
    /// From this level on everything that may go goes and loads are refused. Default EMERGENCY.
    pub refuse_loads_at: PressureLevel,
    /// From this level on components are asked to trim. Default MEDIUM.
    pub trim_at: PressureLevel,
    /// First wait between rounds of pressure or overdraft actions that freed nothing; doubles up to 30 s.
    /// Default 1 s.
    pub relief_back_off: Duration,
    /// A component over its own limit that was asked to trim has this long before its `over_limit` policy is
    /// followed. Default 5 s.
    pub over_limit_grace: Duration,
    /// Snapshots of unloaded components, kept for their next load, take at most so much. Default 64 MiB.
    pub cold_store: ByteSize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            budget: BudgetSetting::Share(0.6),
            estimate_margin: 1.2,
            min_residency: Duration::from_secs(2),
            policy: PolicyKind::default(),
            pressure_profile: PressureProfile::default(),
            pressure_dwell: Duration::from_secs(10),
            unload_low_at: PressureLevel::High,
            unload_medium_at: PressureLevel::Critical,
            refuse_loads_at: PressureLevel::Emergency,
            trim_at: PressureLevel::Medium,
            relief_back_off: Duration::from_secs(1),
            over_limit_grace: Duration::from_secs(5),
            cold_store: ByteSize::mib(64),
        }
    }
}

/// Deadlines.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DeadlineConfig {
    /// A demand is answered within this. Default 30 s.
    pub demand: Duration,
    /// A load ends within this unless the component says otherwise. Default 60 s.
    pub load: Duration,
    /// A stop ends within this unless the component says otherwise. Default 5 s.
    pub stop: Duration,
    /// Shutdown ends within this. Default 10 s.
    pub shutdown: Duration,
}

impl Default for DeadlineConfig {
    fn default() -> Self {
        Self {
            demand: Duration::from_secs(30),
            load: Duration::from_secs(60),
            stop: Duration::from_secs(5),
            shutdown: Duration::from_secs(10),
        }
    }
}

/// Waiting after failures: `base · 2^n`, at most `max`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BackOffConfig {
    /// After the first failure. Default 1 s.
    pub base: Duration,
    /// At most. Default 5 min.
    pub max: Duration,
}

impl Default for BackOffConfig {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), max: Duration::from_secs(300) }
    }
}

/// Closing a component after many failures.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct QuarantineConfig {
    /// This many failures … Range 1..=32, default 5.
    pub failures: u32,
    /// … within this time close it. Default 10 min.
    pub window: Duration,
    /// It opens by itself after this. Default 15 min.
    pub duration: Duration,
}

impl Default for QuarantineConfig {
    fn default() -> Self {
        Self { failures: 5, window: Duration::from_secs(600), duration: Duration::from_secs(900) }
    }
}

/// The queue of demands.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct QueueConfig {
    /// Demands that may wait; more are refused as overloaded. Read at start. Default 1024.
    pub capacity: usize,
    /// A waiting demand rises one tier each time this passes. Default 5 s.
    pub ageing: Duration,
    /// Ageing stops at this tier. Default HIGH.
    pub ageing_ceiling: Priority,
    /// The head may be overtaken this often. Default 8.
    pub max_overtakes: u32,
    /// The head may be overtaken for this long. Default 2 s.
    pub overtake_for: Duration,
    /// A component whose leases the head waits for closes to newcomers after this. Default 2 s.
    pub drain_after: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 1024,
            ageing: Duration::from_secs(5),
            ageing_ceiling: Priority::High,
            max_overtakes: 8,
            overtake_for: Duration::from_secs(2),
            drain_after: Duration::from_secs(2),
        }
    }
}

/// Concurrent loads.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LoadConfig {
    /// Loads at a time. Range 1..=64, default 2.
    pub max_concurrent: usize,
    /// Of these, kept for loads that somebody waits for. At most `max_concurrent`, default 1.
    pub kept_for_demands: usize,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self { max_concurrent: 2, kept_for_demands: 1 }
    }
}

impl LoadConfig {
    /// How many loads may run at a time.
    #[must_use]
    pub const fn lanes(&self) -> usize {
        if self.max_concurrent == 0 { 1 } else { self.max_concurrent }
    }

    /// How many of these may be speculative loads.
    #[must_use]
    pub const fn lanes_ahead(&self) -> usize {
        self.lanes().saturating_sub(self.kept_for_demands)
    }
}

/// Loading ahead.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SpeculationConfig {
    /// Whether anything is loaded before it is asked for. Default true.
    pub enabled: bool,
    /// Hints less likely than this are ignored; too much waste raises the floor. Default 0.12.
    pub floor: Confidence,
    /// Hints that may wait. Read at start. Range 1..=4096, default 64 a tier.
    pub queue: usize,
    /// How long a delayed hint waits. Range 0..=1 day, default 100 ms.
    pub delay: Duration,
    /// A hint that waited longer is dropped. Range 1 ms..=1 day, default 60 s.
    pub patience: Duration,
    /// What was loaded ahead and nobody asked for in this time counts as wasted. Range 1 ms..=30 days, default 1 d.
    pub expiry: Duration,
    /// Predictions taken from one command, the likeliest first. Range 0..=64, default 3.
    pub per_command: usize,
    /// Loads ahead that may be wasted per command, on the average. Range 0..=1, default 0.08.
    pub waste: f64,
    /// Bytes that wasted loads ahead may hold, on the average over time; none = no bound. Default none.
    pub waste_memory: Option<ByteSize>,
}

impl Default for SpeculationConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            floor: Confidence::saturating(0.12),
            queue: 64,
            delay: Duration::from_millis(100),
            patience: Duration::from_secs(60),
            expiry: Duration::from_secs(86_400),
            per_command: 3,
            waste: 0.08,
            waste_memory: None,
        }
    }
}

/// When idle memory is given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum IdleTrimWhen {
    /// Never.
    Never,
    /// On battery, or while memory pressure is MEDIUM or higher.
    #[default]
    Pressed,
    /// Whenever nothing was used for long enough.
    Always,
}

/// What goes while nothing is used.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct IdleConfig {
    /// When idle memory is given back. Default pressed.
    pub trim: IdleTrimWhen,
    /// Nothing used for this long is idle. Range 1 ms..=30 days, default 60 min.
    pub after: Duration,
    /// Share of the budget that stays loaded, the most valuable first; the rest is loaded again ahead of its
    /// next use. Range 0..=1, default 0.1.
    pub keep_share: f64,
}

impl Default for IdleConfig {
    fn default() -> Self {
        Self { trim: IdleTrimWhen::default(), after: Duration::from_secs(3600), keep_share: 0.1 }
    }
}

/// From command text to components.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TriggerConfig {
    /// A component that nothing is learned about is needed when its keywords reach this. Default 0.5.
    pub threshold: Confidence,
}

impl Default for TriggerConfig {
    fn default() -> Self {
        Self { threshold: Confidence::saturating(0.5) }
    }
}

/// Learning which components texts need.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct IntentConfig {
    /// Whether what was learned answers; without it keywords answer alone. Default true.
    pub enabled: bool,
    /// Whether outcomes are learned from. Default true.
    pub learn: bool,
    /// Whether a model starts from the table of public command text that is shipped. Read at start. Default true.
    pub prior: bool,
    /// How sure a learned answer must be to load anything: the odds of the thresholds that are learned from outcomes are
    /// multiplied by the odds of this. Default 0.5, which leaves the learned thresholds as they are.
    pub min_confidence: Confidence,
    /// Where components exclude each other, the likeliest must be this much likelier than the next. Default 0.0.
    pub min_gap: Confidence,
    /// New outcomes after which the model is trained anew. Range 1..=100000, default 100.
    pub retrain_every: usize,
    /// Outcomes that are kept to learn from. Read at start. Range 1..=100000, default 10000.
    pub max_outcomes: usize,
    /// Whether answers say which parts of the text spoke for them, which costs some ten microseconds a command.
    /// Default true.
    pub evidence: bool,
}

impl Default for IntentConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            learn: true,
            prior: true,
            min_confidence: Confidence::saturating(0.5),
            min_gap: Confidence::saturating(0.0),
            retrain_every: 100,
            max_outcomes: 10000,
            evidence: true,
        }
    }
}

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StateConfig {
    /// What was learned is gathered for this long before it is written: a crash loses no more. Range 1 s..=1 hour,
    /// default 10 s.
    pub write_after: Duration,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { write_after: Duration::from_secs(10) }
    }
}

/// The longest time that a lease of another process lasts without being renewed.
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(600);

/// The socket API: limits, and leases of other processes.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ServerConfig {
    /// Connections at a time of the Unix socket, and as many over TCP, each at most a third of the open files that the
    /// system allows; when all are in use, one that idles gives way. Range 1..=65536, default 512.
    pub max_connections: usize,
    /// The largest body of a request. Default 1 MiB.
    pub max_body: ByteSize,
    /// A request's head is read within this. Default 5 s.
    pub header_time: Duration,
    /// A request's body is read within this. Default 10 s.
    pub body_time: Duration,
    /// A request is answered within this, but for streams, and for demands and loads, which have deadlines of their
    /// own. Default 2 min.
    pub request_time: Duration,
    /// A connection without a request or a lease is closed after this. Default 5 min.
    pub idle_time: Duration,
    /// A client that reads nothing of its answer is cut off after this. Default 30 s.
    pub stall_time: Duration,
    /// Followers of events and logs at a time. Range 1..=65536, default 256.
    pub max_streams: usize,
    /// Components that other processes lease at a time, each of a lease counted. Range 1..=1048576, default 16384.
    pub max_leases: usize,
    /// How long a lease lasts that names no time. At most 10 min, default 60 s.
    pub lease_ttl: Duration,
    /// A lease older than this is warned of. Default 60 min.
    pub max_lease_age: Duration,
    /// Whether a lease older than `max_lease_age` is ended. Default false.
    pub end_old_leases: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_body: ByteSize::mib(1),
            header_time: Duration::from_secs(5),
            body_time: Duration::from_secs(10),
            request_time: Duration::from_secs(120),
            idle_time: Duration::from_secs(300),
            stall_time: Duration::from_secs(30),
            max_streams: 256,
            max_leases: 16384,
            lease_ttl: Duration::from_secs(60),
            max_lease_age: Duration::from_secs(3600),
            end_old_leases: false,
        }
    }
}
