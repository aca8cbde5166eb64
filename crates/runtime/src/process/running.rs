//! A program that runs: where it is, how it is, and how it is stopped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Rung};
use majordomo_memory::OomEvidence;
use majordomo_registry::ProcessSpec;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::command::Commands;
use super::phase::{Order, Phase};
use super::stepping::Stepping;
use super::{Endpoint, Exit, ProcessError, ready};
use crate::footprint::{LoadFootprint, after_load, of_known};
use crate::logs::LogBuffer;
use crate::proctable::{self, Members, ProcessGroup};
use crate::stdio::{Caller, Calls};

/// A started program and everything it started. Dropping it kills all of that.
#[derive(Debug)]
pub struct RunningProcess {
    pub(super) component: ComponentId,
    pub(super) endpoint: Endpoint,
    pub(super) members: Arc<Members>,
    pub(super) logs: Arc<LogBuffer>,
    /// The specification that it was started by, with its probe and the requests to it.
    pub(super) spec: Arc<ProcessSpec>,
    pub(super) commands: Commands,
    pub(super) orders: watch::Sender<Order>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) memory: Arc<Memory>,
    pub(super) stepping: Stepping,
    /// The calls of a program with the protocol of lines.
    pub(super) calls: Option<Arc<Calls>>,
}

/// The process's peak, and the evidence of an OOM kill.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The highest exact footprint measured: a statistic.
    peak: AtomicU64,
    /// Why its end is taken for an OOM kill; set before the end is reported.
    pub(super) evidence: OnceLock<OomEvidence>,
}

impl Memory {
    pub(super) fn peak(&self) -> Option<ByteSize> {
        let peak = self.peak.load(Ordering::Relaxed);
        (peak > 0).then_some(ByteSize(peak))
    }
}

impl RunningProcess {
    /// Where it is reached.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The way to call it; none without the protocol of lines.
    #[must_use]
    pub fn caller(&self) -> Option<Caller> {
        self.calls.as_ref().map(Caller::new)
    }

    /// The process group of its leader.
    #[must_use]
    pub fn process_group(&self) -> &ProcessGroup {
        self.members.process_group()
    }

    /// All its processes.
    pub(crate) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// The component that it runs for.
    pub(crate) fn component(&self) -> &ComponentId {
        &self.component
    }

    /// Its parks and wakes.
    pub(crate) fn stepping(&self) -> &Stepping {
        &self.stepping
    }

    /// Measures what its load took, with the figures that were sampled during the load; none when it has no living
    /// member any more. Cancel safe.
    pub async fn measure_load(&self) -> Option<LoadFootprint> {
        let (members, sampled) = (Arc::clone(&self.members), self.memory.peak());
        let measure = move || after_load(&members, sampled);
        // It fails only when the runtime shuts down.
        let load = tokio::task::spawn_blocking(measure).await.ok().flatten()?;
        self.record_footprint(load.exact);
        self.stepping.record_movable(load.exact, load.own);
        Some(load)
    }

    /// Samples its footprint during a load.
    pub(super) async fn sample(&self) {
        let members = Arc::clone(&self.members);
        let sample = tokio::task::spawn_blocking(move || of_known(&members));
        if let Ok(Some(footprint)) = sample.await {
            self.record_footprint(footprint.exact);
        }
    }

    /// Whether no member lives.
    pub(crate) async fn is_gone(&self) -> bool {
        let members = Arc::clone(&self.members);
        // It fails only when the runtime shuts down.
        tokio::task::spawn_blocking(move || members.find().is_empty()).await.unwrap_or(true)
    }

    /// Why its end is taken for an OOM kill; none while it runs, and when it ended otherwise.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<&OomEvidence> {
        self.memory.evidence.get()
    }

    /// Records an exact footprint.
    pub(crate) fn record_footprint(&self, bytes: ByteSize) {
        self.memory.peak.fetch_max(bytes.bytes(), Ordering::Relaxed);
    }

    /// The log of its output.
    #[must_use]
    pub fn logs(&self) -> &Arc<LogBuffer> {
        &self.logs
    }

    /// Whether its leader has ended.
    #[must_use]
    pub fn exited(&self) -> Option<Exit> {
        match *self.phase.borrow() {
            Phase::Running => None,
            Phase::Exited(exit) | Phase::Down(exit, _) => Some(exit),
        }
    }

    /// Waits until its leader has ended, for whatever reason; has no deadline of its own. Cancel safe.
    pub async fn wait_exit(&self) -> Exit {
        match self.wait_for(|p| !matches!(p, Phase::Running)).await {
            Phase::Exited(exit) | Phase::Down(exit, _) => exit,
            Phase::Running => Exit::Unknown,
        }
    }

    /// Waits until it is down: leader reaped, no living member. The wait ends at most five seconds after
    /// SIGKILL; cancel safe.
    ///
    /// # Errors
    /// [`ProcessError::Survivors`] when members outlive SIGKILL.
    pub async fn wait_down(&self) -> Result<Exit, ProcessError> {
        match self.wait_for(|p| matches!(p, Phase::Down(..))).await {
            Phase::Down(_, pids) if !pids.is_empty() => Err(ProcessError::Survivors {
                component: self.component.clone(),
                pgid: self.process_group().pgid,
                pids,
            }),
            Phase::Down(exit, _) | Phase::Exited(exit) => Ok(exit),
            Phase::Running => Ok(Exit::Unknown),
        }
    }

    async fn wait_for(&self, done: impl FnMut(&Phase) -> bool) -> Phase {
        let mut phase = self.phase.clone();
        // The supervisor ends without "down" only when the whole runtime does.
        phase.wait_for(done).await.map_or(Phase::Down(Exit::Unknown, Vec::new()), |p| p.clone())
    }

    /// The end of standard input for a program with the protocol of lines; after half of `deadline`, for other programs
    /// at once, TERM to all members; KILL to those left after `deadline`. Then waits until it is down. A second call may
    /// hasten the deadline but not extend it. Dropping the future does not call the stop off.
    ///
    /// # Errors
    /// [`ProcessError::Survivors`] when members outlive SIGKILL.
    pub async fn stop(&self, deadline: Duration) -> Result<Exit, ProcessError> {
        self.order_stop(deadline, true).await
    }

    /// [`Self::stop`] that begins with TERM, for a program that is not ready.
    pub(super) async fn terminate(&self, deadline: Duration) -> Result<Exit, ProcessError> {
        self.order_stop(deadline, false).await
    }

    async fn order_stop(&self, deadline: Duration, polite: bool) -> Result<Exit, ProcessError> {
        let kill_at = Instant::now() + deadline;
        self.orders.send_if_modified(|order| {
            let raised = match *order {
                Order::Run => Order::Stop { kill_at, polite },
                Order::Stop { kill_at: earlier, polite } => {
                    Order::Stop { kill_at: earlier.min(kill_at), polite }
                }
                Order::Kill => Order::Kill,
            };
            let changed = *order != raised;
            *order = raised;
            changed
        });
        self.wait_down().await
    }

    /// Before a stop at a rung: kills at once what loses nothing by that, since its teardown would need its memory back. A
    /// program that declares `stop`, or that catches TERM, is stopped as ever, and so is one that sleeps and whose protocol
    /// ends with its input.
    pub(crate) async fn prepare_parked_stop(&self, rung: Rung) {
        let ends_with_input = self.calls.is_some() && rung == Rung::Asleep;
        if self.spec.stop.is_some() || ends_with_input || self.catches_term().await {
            return;
        }
        self.kill();
    }

    /// Whether a member handles TERM; also where the system does not show that.
    async fn catches_term(&self) -> bool {
        let members = Arc::clone(&self.members);
        let look = move || {
            let term = Signal::TERM.as_raw();
            members.find_known().iter().any(|m| proctable::handles(m.pid, term) != Some(false))
        };
        // It fails only when the runtime shuts down.
        tokio::task::spawn_blocking(look).await.unwrap_or(true)
    }

    /// KILL to all members, without waiting.
    pub fn kill(&self) {
        self.orders.send_if_modified(|order| std::mem::replace(order, Order::Kill) != Order::Kill);
    }

    /// Asks it once whether it works, as configured; a program without a probe works while it runs.
    /// Takes at most the probe's timeout. Cancel safe.
    ///
    /// # Errors
    /// [`ProcessError::Probe`] with the reason.
    pub async fn probe(&self) -> Result<(), ProcessError> {
        let failed = |why| ProcessError::Probe { component: self.component.clone(), why };
        if let Some(exit) = self.exited() {
            return Err(failed(format!("it {exit}")));
        }
        let Some(probe) = &self.spec.probe else { return Ok(()) };
        match timeout(probe.timeout, ready::ask(&probe.how, &self.endpoint)).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed(format!("no answer within {:?}", probe.timeout))),
        }
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
