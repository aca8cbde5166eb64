//! State that all requests share: the manager, the leases, the bounds, and answers that are encoded once for many.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use majordomo::{
    ComponentState, ComponentStatus, EventRecord, Manager, Moment, Priority, ServerConfig,
};
use tokio::sync::watch;

use crate::access::Access;
use crate::error::ReloadFailed;
use crate::json::to_json;
use crate::large::LargeAnswers;
use crate::leases::LeaseTable;
use crate::lock::locked;
use crate::open_files::Capacity;
use crate::problem::Problem;
use crate::record;
use crate::sse::frame;
use crate::wire::{self, Info};

/// Encoded events kept for followers that read the same ones.
const EVENTS_KEPT: usize = 256;

/// Whether a component is one that the server is not ready without.
fn is_missing(c: &ComponentStatus) -> bool {
    c.priority == Priority::Core && c.state != ComponentState::Ready
}

/// A status as it was sent, and what it was made of.
#[derive(Debug)]
struct SentStatus {
    of: Arc<majordomo::Status>,
    leases_version: u64,
    bytes: Bytes,
}

/// State that all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) manager: Manager,
    pub(crate) leases: LeaseTable,
    pub(crate) access: Access,
    /// A word for this run of the server, different from that of the run before.
    pub(crate) boot: String,
    started: Moment,
    closing: watch::Sender<bool>,
    streams: Mutex<usize>,
    connections: Mutex<u64>,
    status: Mutex<Option<SentStatus>>,
    events: Mutex<BTreeMap<u64, Bytes>>,
    pub(crate) large: LargeAnswers,
    /// As it was logged.
    capacity: Mutex<Option<Capacity>>,
}

impl App {
    pub(crate) fn new(manager: Manager, access: Access) -> Self {
        let started = manager.now();
        let boot = format!("{:x}{:x}", manager.wall_at(started).0, std::process::id());
        Self {
            leases: LeaseTable::new(boot.clone()),
            manager,
            access,
            boot,
            started,
            closing: watch::Sender::new(false),
            streams: Mutex::default(),
            connections: Mutex::default(),
            status: Mutex::default(),
            events: Mutex::default(),
            large: LargeAnswers::default(),
            capacity: Mutex::default(),
        }
    }

    /// The settings in force, which a reload may replace.
    pub(crate) fn limits(&self) -> ServerConfig {
        self.manager.config().server.clone()
    }

    /// Logs how many connections are possible, where the system allows fewer than are configured; once for each of these.
    pub(crate) fn log_capacity(&self) {
        let limits = self.limits();
        let capacity = Capacity::now(&limits);
        if locked(&self.capacity).replace(capacity) != Some(capacity) {
            capacity.log(&limits);
        }
    }

    /// Ends streams, and makes `/readyz` say so.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// A number for a connection.
    pub(crate) fn new_connection(&self) -> u64 {
        let mut next = locked(&self.connections);
        *next += 1;
        *next
    }

    /// Waits for [`Self::close`].
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.closing.subscribe();
        async move {
            // The sender lives as long as the app.
            drop(closing.wait_for(|c| *c).await);
        }
    }

    pub(crate) fn info(&self) -> Info {
        Info {
            version: wire::VERSION.to_owned(),
            api: "v1".to_owned(),
            pid: std::process::id(),
            uptime_ms: wire::ms(self.manager.now().since(self.started)),
            state_dir: self.manager.state_dir().display().to_string(),
        }
    }

    /// Reads the configuration and the token file again, or says what that would change; with a problem in one of them
    /// neither is changed.
    pub(crate) async fn reload(&self, dry_run: bool) -> Result<majordomo::Reloaded, ReloadFailed> {
        let token = self.access.read().await.map_err(ReloadFailed::Token)?;
        let reloaded = match dry_run {
            true => self.manager.operator().reload_preview().await,
            false => self.manager.operator().reload().await,
        };
        let reloaded = reloaded.map_err(ReloadFailed::Configuration)?;
        if !dry_run {
            token.into_iter().for_each(|token| self.access.replace(token));
            self.log_capacity();
        }
        Ok(reloaded)
    }

    /// The reasons why the server is not ready, in words; empty when it is.
    pub(crate) fn missing(&self, status: &majordomo::Status) -> Vec<String> {
        let mut missing: Vec<_> = status
            .components
            .iter()
            .filter(|c| is_missing(c))
            .map(|c| {
                let next = c.retry_at.map_or(String::new(), |at| {
                    format!(
                        "; it is tried again in {:.1} s, or at once by `majordomo load {}`",
                        at.since(status.at).as_secs_f64(),
                        c.id
                    )
                });
                format!("CORE component {} is {}: {}{next}", c.id, c.state, c.cause)
            })
            .collect();
        if status.shutting_down || self.is_closing() {
            missing.push("the server is shutting down".to_owned());
        }
        missing
    }

    /// How long it takes at least until nothing is missing.
    pub(crate) fn ready_in(status: &majordomo::Status) -> Duration {
        let missing = status.components.iter().filter(|c| is_missing(c));
        let waits = missing.filter_map(|c| Some(c.retry_at?.since(status.at)));
        waits.max().unwrap_or_default().max(Duration::from_secs(1))
    }

    /// The status as it is sent: encoded once for each status of the manager.
    pub(crate) async fn status_bytes(&self) -> Result<Bytes, Problem> {
        let of = self.manager.status().await?;
        let leases_version = self.leases.version();
        if let Some(sent) = &*locked(&self.status)
            && Arc::ptr_eq(&sent.of, &of)
            && sent.leases_version == leases_version
        {
            return Ok(sent.bytes.clone());
        }
        let status = wire::Status::new(
            &of,
            self.info(),
            self.leases.holders(self.manager.now()),
            self.missing(&of).is_empty(),
        );
        let bytes = Bytes::from(to_json(&status)?);
        *locked(&self.status) = Some(SentStatus { of, leases_version, bytes: bytes.clone() });
        Ok(bytes)
    }

    /// An event as a frame of a stream: encoded once for all followers.
    pub(crate) fn event_frame(&self, record: &EventRecord) -> Bytes {
        if let Some(bytes) = locked(&self.events).get(&record.seq) {
            return bytes.clone();
        }
        let event = record::event(&self.manager, record);
        let id = format!("{}-{}", self.boot, record.seq);
        let bytes = frame(Some(&id), &event.event, &event);
        let mut events = locked(&self.events);
        events.insert(record.seq, bytes.clone());
        while events.len() > EVENTS_KEPT {
            events.pop_first();
        }
        bytes
    }

    /// A place among the followers, given back when it is dropped.
    pub(crate) fn stream_place(self: &Arc<Self>) -> Result<StreamPlace, Problem> {
        let max = self.limits().max_streams;
        let mut streams = locked(&self.streams);
        if *streams >= max {
            return Err(Problem::new(
                "too_many_streams",
                format!(
                    "there are {} already; raise server.max_streams, or end some",
                    majordomo::count(max, "follower")
                ),
            )
            .retry_after(std::time::Duration::from_secs(5)));
        }
        *streams += 1;
        Ok(StreamPlace { app: Arc::clone(self) })
    }
}

/// A place among the followers.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    pub(crate) app: Arc<App>,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        *locked(&self.app.streams) -= 1;
    }
}
