//! Messages to the shell: demands of callers and everything on the control lane.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, Config, IncarnationId, LeftOut, Priority, Refusal, Status, WaiterId,
};
use majordomo_engine::{Input, LoadReport, OperatorAction, Plan};
use majordomo_memory::{Snapshot, TrimOutcome};
use majordomo_registry::{CatalogError, ComponentSpec, PoolSpec};
use tokio::sync::oneshot;

use crate::component::Instance;
use crate::component_files::LearnedFile;
use crate::exchange::OldLeases;
use crate::failed_load::FailedLoad;
use crate::footprint::Footprint;
use crate::lease::RawLease;
use crate::loader::Factory;
use crate::notices::Notices;
use crate::process::RunningProcess;
use crate::tags::Party;
use crate::usage::UsageSummary;

/// The answer to a waiter: leases in the order of the keys, or why not. Operators get no leases.
pub(crate) type Reply = Result<Granted, Refusal>;

/// Leases of a granted demand.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    pub(crate) leases: Vec<RawLease>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A caller that waits for an answer.
pub(crate) struct Waiting {
    pub(crate) reply: oneshot::Sender<Reply>,
    /// The party that waits, where it is known.
    pub(crate) party: Option<Party>,
    /// The leases that it gives up when its demand is admitted.
    pub(crate) old: Option<Arc<OldLeases>>,
}

impl Waiting {
    pub(crate) fn new(reply: oneshot::Sender<Reply>) -> Self {
        Self { reply, party: None, old: None }
    }
}

/// Why a demand could not even be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DemandError {
    /// The lane is full.
    Full,
    /// The shell has ended.
    Closed,
}

pub(crate) struct Demand {
    pub waiter: WaiterId,
    pub keys: Vec<ComponentKey>,
    pub priority: Option<Priority>,
    pub deadline: Option<Duration>,
    pub partial: bool,
    pub waiting: Waiting,
}

pub(crate) enum Control {
    Loaded {
        id: IncarnationId,
        result: Result<(Instance, LoadReport), FailedLoad>,
    },
    Down {
        id: IncarnationId,
    },
    Engine(Box<Input>),
    /// Begins the shutdown within this time; none = the setting in force.
    Shutdown(Option<Duration>),
    Operator {
        waiter: WaiterId,
        key: ComponentKey,
        action: OperatorAction,
        reply: oneshot::Sender<Reply>,
    },
    Abandon(WaiterId),
    Status(oneshot::Sender<Arc<Status>>),
    /// Asks for a summary of the usage history.
    UsageSummary(oneshot::Sender<UsageSummary>),
    /// The usage history as a trace.
    UsageExport(oneshot::Sender<String>),
    /// Asks to forget the usage history.
    UsageForget(oneshot::Sender<()>),
    Plan {
        keys: Vec<ComponentKey>,
        partial: bool,
        reply: oneshot::Sender<Plan>,
    },
    /// Forget what was measured of components.
    Forget {
        keys: Vec<ComponentKey>,
        reply: oneshot::Sender<Result<usize, majordomo_core::StoreError>>,
    },
    Configure {
        specs: Vec<ComponentSpec>,
        pools: Vec<PoolSpec>,
        config: Box<Config>,
        budget: ByteSize,
        /// Factories in place of those before; none = those before.
        factories: Option<BTreeMap<String, Factory>>,
        reply: oneshot::Sender<Result<(), CatalogError>>,
    },
    /// Footprints of builtins, by their own account and their grants.
    MeasuredBuiltins {
        own: Vec<(IncarnationId, ByteSize)>,
    },
    /// Footprints of processes, and this one.
    MeasuredProcesses(MeasuredProcesses),
    /// A component wants a larger grant; it is answered with its limit from then on.
    Grow {
        id: IncarnationId,
        bytes: ByteSize,
        reply: flume::Sender<ByteSize>,
    },
    /// The files of a program that was loaded.
    Files {
        id: IncarnationId,
        files: Vec<LearnedFile>,
    },
    /// The snapshot of a component that was unloaded.
    Hibernated {
        key: ComponentKey,
        snapshot: Snapshot,
    },
    /// The allocator was trimmed.
    Trimmed(Trimmed),
    /// It is known whether programs can be parked in swap.
    RungsTried,
}

/// Sends to the control lane.
#[derive(Clone)]
pub(crate) struct ControlSender {
    pub(crate) tx: flume::Sender<Control>,
    pub(crate) rx: flume::Receiver<Control>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) closed: Arc<AtomicBool>,
}

impl ControlSender {
    /// Puts a message in; nothing happens when the shell has ended.
    pub(crate) fn send(&self, control: Control) {
        let _ = self.tx.send(control);
        self.notices.wake();
        // The shell may have ended between: the last sender empties the lane, which answers its waiters.
        if self.closed.load(Ordering::SeqCst) {
            drop(self.rx.drain());
        }
    }
}

/// The result of a trim of the allocator.
#[derive(Debug)]
pub(crate) struct Trimmed {
    pub(crate) outcome: TrimOutcome,
    pub(crate) took: Duration,
    pub(crate) unreturned: Option<ByteSize>,
}

/// One look at the processes of a component.
#[derive(Debug)]
pub(crate) struct MeasuredProcess {
    pub(crate) id: IncarnationId,
    pub(crate) process: Arc<RunningProcess>,
    pub(crate) footprint: Footprint,
    /// Bytes of it in main memory that no process has mapped.
    pub(crate) unmapped: ByteSize,
    /// Its steps when the look began.
    pub(crate) turns: u64,
}

/// One look at all processes.
#[derive(Debug)]
pub(crate) struct MeasuredProcesses {
    pub(crate) rows: Vec<MeasuredProcess>,
    pub(crate) own: ByteSize,
    pub(crate) unreturned: Option<ByteSize>,
}
