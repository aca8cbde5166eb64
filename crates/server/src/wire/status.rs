//! The status of the manager and its components at one moment.
#![expect(missing_docs, reason = "members that say all by their names have no comment")]

use std::collections::BTreeMap;

use majordomo::{ByteSize, ComponentId, ComponentState, Priority, Rung, StatusValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Memory, Parks, ms};

/// The server that answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// The server's version.
    pub version: String,
    /// The version of the interface: the first part of every path.
    pub api: String,
    /// The server's process.
    pub pid: u32,
    /// How long it has run.
    pub uptime_ms: f64,
    /// Its state directory.
    pub state_dir: String,
}

/// `/healthz` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
}

/// The state of a component; see `docs/architecture.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Not in memory.
    Unloaded,
    /// Not usable; its process runs and holds less memory by its own means.
    Asleep,
    /// Not usable; its process runs, and its memory was moved to swap.
    Paged,
    /// Will be loaded.
    Queued,
    /// Its loader runs.
    Loading,
    /// Returns from `asleep` or `paged`.
    Waking,
    /// Usable.
    Ready,
    /// Closed to newcomers.
    Draining,
    /// Being taken down.
    Unloading,
    /// On its way to `asleep` or `paged`.
    Parking,
    /// Failed; tried again later.
    Failed,
    /// Failed too often.
    Quarantined,
    /// Neither loads nor stops.
    Stuck,
}

impl State {
    /// The state's name as it is sent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Asleep => "asleep",
            Self::Paged => "paged",
            Self::Queued => "queued",
            Self::Loading => "loading",
            Self::Waking => "waking",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unloading => "unloading",
            Self::Parking => "parking",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Stuck => "stuck",
        }
    }
}

impl From<ComponentState> for State {
    fn from(state: ComponentState) -> Self {
        match state {
            ComponentState::Down(Rung::Gone) => Self::Unloaded,
            ComponentState::Down(Rung::Asleep) => Self::Asleep,
            ComponentState::Down(Rung::Paged) => Self::Paged,
            ComponentState::Queued { .. } => Self::Queued,
            ComponentState::Loading { from: Rung::Gone } => Self::Loading,
            ComponentState::Loading { .. } => Self::Waking,
            ComponentState::Ready => Self::Ready,
            ComponentState::Draining => Self::Draining,
            ComponentState::Unloading { to: Rung::Gone } => Self::Unloading,
            ComponentState::Unloading { .. } => Self::Parking,
            ComponentState::Failed { .. } => Self::Failed,
            ComponentState::Quarantined { .. } => Self::Quarantined,
            ComponentState::Stuck => Self::Stuck,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Where a program, or a service that runs elsewhere, is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// 127.0.0.1, or ::1 where the program listens there alone; when there is a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// `http://127.0.0.1:PORT` or `http://[::1]:PORT`, or `unix:PATH` when there is no port; of a service that runs elsewhere
    /// `http://HOST:PORT` or `tcp://HOST:PORT`, alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl From<&majordomo::Endpoint> for Endpoint {
    fn from(endpoint: &majordomo::Endpoint) -> Self {
        Self {
            host: endpoint.address().map(|address| address.ip().to_string()),
            port: endpoint.port,
            socket: endpoint.socket.as_ref().map(|s| s.display().to_string()),
            url: endpoint.url(),
        }
    }
}

/// Health probes that fail while clients hold leases, so that the component stays up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeFailing {
    /// For how long they have failed.
    pub for_ms: f64,
    /// How many failed in a row.
    pub failures: u32,
    /// The words of the last one.
    pub error: String,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    pub name: ComponentId,
    pub state: State,
    /// For how long.
    pub for_ms: f64,
    /// Why, in words.
    pub cause: String,
    /// When it is, or may be, loaded again, from now; for one that is down, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<f64>,
    /// From that time on a demand may load it: nothing else does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry_on_demand: bool,
    pub priority: Priority,
    pub pool: String,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Whether it is an unused preload: no demand has asked for it in this incarnation.
    pub speculative: bool,
    /// Whether its configuration changed under it.
    pub stale: bool,
    /// Bytes booked for it in its pool.
    pub booked: ByteSize,
    /// Its declared memory in other pools, which is not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<DeclaredMemory>,
    /// Bytes last measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<ByteSize>,
    /// The larger of the two peaks that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<ByteSize>,
    /// The learned peak of a load, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_peak: Option<ByteSize>,
    /// The learned peak of its use, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_peak: Option<ByteSize>,
    /// Bytes reserved for its next load, until it is ready.
    #[serde(default)]
    pub load_need: ByteSize,
    /// Bytes reserved for it from then on.
    #[serde(default)]
    pub settled_need: ByteSize,
    /// Its declared estimate.
    pub estimate: ByteSize,
    /// Bytes that it shares with others and that are not booked for it, such as mapped files.
    #[serde(default)]
    pub shared: ByteSize,
    /// Its own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<ByteSize>,
    /// Its health probes fail, and it stays up because clients hold leases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_failing: Option<ProbeFailing>,
    /// Leases out.
    pub leases: u32,
    /// Uses in this process.
    pub uses: u64,
    /// Loads in this process.
    pub loads: u64,
    /// Failures in this process.
    pub failures: u64,
    /// How long ago it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<f64>,
    /// How long it takes to load, as learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_time_ms: Option<f64>,
    /// When its loads reach their stages, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_stages: Vec<LoadStage>,
    /// The first process of a running program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Where a running program is reached, when it has an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Its parks; none of an older server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parking: Option<Parks>,
}

/// A stage of a component's loads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadStage {
    /// `spawn`, `wake`, `first_output`, `port_open`, `ready` or `warm_up`; later versions may have others.
    pub stage: String,
    /// When loads reach it, from their start, as learned.
    pub learned_ms: f64,
    /// When the last load of this process reached it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<f64>,
}

impl From<&majordomo::StageTime> for LoadStage {
    fn from(time: &majordomo::StageTime) -> Self {
        let majordomo::StageTime { stage, learned, last } = time;
        Self { stage: stage.to_string(), learned_ms: ms(*learned), last_ms: last.map(ms) }
    }
}

/// Memory of a component in a pool besides its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredMemory {
    /// The name of the pool.
    pub pool: String,
    /// Bytes by configuration.
    pub declared: ByteSize,
    /// Bytes booked now.
    pub booked: ByteSize,
}

impl From<&majordomo::DeclaredMemory> for DeclaredMemory {
    fn from(memory: &majordomo::DeclaredMemory) -> Self {
        let majordomo::DeclaredMemory { pool, declared, booked } = memory;
        Self { pool: pool.to_string(), declared: *declared, booked: *booked }
    }
}

impl Component {
    /// Of a component's status at `now`.
    #[must_use]
    pub fn new(c: &majordomo::ComponentStatus, now: majordomo::Moment) -> Self {
        Self {
            name: c.id.clone(),
            state: c.state.into(),
            for_ms: ms(now.since(c.since)),
            cause: c.cause.clone(),
            retry_in_ms: c.retry_at.map(|t| ms(t.since(now))),
            retry_on_demand: c.retry_on_demand,
            priority: c.priority,
            pool: c.pool.to_string(),
            pinned: c.pinned,
            speculative: c.speculative,
            stale: c.stale,
            booked: c.booked,
            apart: c.apart.iter().map(DeclaredMemory::from).collect(),
            measured: c.measured,
            peak: c.load_peak.max(c.working_peak),
            load_peak: c.load_peak,
            working_peak: c.working_peak,
            load_need: c.load_need,
            settled_need: c.settled_need,
            estimate: c.estimate,
            shared: c.shared,
            limit: c.limit,
            probe_failing: c.probe_failing.as_ref().map(|p| ProbeFailing {
                for_ms: ms(now.since(p.since)),
                failures: p.failures,
                error: p.error.clone(),
            }),
            leases: c.leases,
            uses: c.uses,
            loads: c.loads,
            failures: c.failures,
            idle_ms: c.last_use.map(|t| ms(now.since(t))),
            load_time_ms: c.load_time.map(ms),
            load_stages: c.load_stages.iter().map(LoadStage::from).collect(),
            pid: c.pid,
            endpoint: c.endpoint.as_ref().filter(|e| e.url().is_some()).map(Endpoint::from),
            parking: Some(Parks::from(&c.parking)),
        }
    }
}

/// One figure of a section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The name of the figure, unique in its section.
    pub name: String,
    /// A yes or no, a number or a text.
    pub value: Value,
    /// `bytes` or `ms`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl Figure {
    fn new(name: &str, value: &StatusValue) -> Self {
        let (value, unit) = match value {
            StatusValue::Bool(v) => ((*v).into(), None),
            StatusValue::Count(v) => ((*v).into(), None),
            StatusValue::Number(v) => ((*v).into(), None),
            StatusValue::Bytes(v) => (v.bytes().into(), Some("bytes")),
            StatusValue::Time(v) => (ms(*v).into(), Some("ms")),
            StatusValue::Text(v) => (v.clone().into(), None),
            // A kind of value that is newer than this file.
            other => (other.to_string().into(), None),
        };
        Self { name: name.to_owned(), value, unit: unit.map(str::to_owned) }
    }
}

/// The holders of leases, for a status.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// A row for each component of each lease, oldest first.
    pub(crate) rows: Vec<LeaseHolder>,
    /// Rows that are not among them.
    pub(crate) left_out: usize,
    /// Leases out.
    pub(crate) n_leases: usize,
}

/// The holder of a lease on a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseHolder {
    pub component: ComponentId,
    /// The holder's name for itself.
    pub tag: String,
    /// For how long it has held it.
    pub age_ms: f64,
    /// The lease, for those of other processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// Whether it is older than `max_lease_age`.
    pub old: bool,
    /// Whether the component has ended or is being stopped: the lease is revoked, and not given back yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

/// The status of the manager and its components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The server that answers.
    pub server: Info,
    /// Whether every CORE component is ready and shutdown has not begun.
    pub ready: bool,
    /// Whether shutdown has begun.
    pub shutting_down: bool,
    /// Demands that wait.
    pub waiting: usize,
    pub memory: Memory,
    /// The components, in the order of the configuration.
    pub components: Vec<Component>,
    /// Holders of leases by the socket, the oldest leases first: at most 256 rows.
    pub holders: Vec<LeaseHolder>,
    /// Rows of holders that are left out.
    #[serde(default)]
    pub holders_left_out: usize,
    /// Leases by the socket.
    #[serde(default)]
    pub leases: usize,
    /// Further figures of each part.
    pub sections: BTreeMap<String, Vec<Figure>>,
}

impl Status {
    pub(crate) fn new(s: &majordomo::Status, server: Info, holders: Holders, ready: bool) -> Self {
        Self {
            server,
            ready,
            shutting_down: s.shutting_down,
            waiting: s.waiting,
            memory: Memory::new(&s.memory, s.at),
            components: s.components.iter().map(|c| Component::new(c, s.at)).collect(),
            holders: holders.rows,
            holders_left_out: holders.left_out,
            leases: holders.n_leases,
            sections: s
                .sections
                .iter()
                .map(|(name, figures)| {
                    (name.clone(), figures.iter().map(|(n, v)| Figure::new(n, v)).collect())
                })
                .collect(),
        }
    }
}
