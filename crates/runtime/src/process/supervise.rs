//! One task per process: sees it end, stops it in order, and makes sure that nothing of it is left.
//!
//! A stop is the request to stop, where the program has one; TERM to all members after half of the deadline, or at once;
//! the rest of the deadline for all of them; then KILL to those left.
//! Invariant: phases go Running → Exited → Down and never back; Down is reported only when the component has no
//! living member (or those that outlive SIGKILL are named), the leader is reaped, the guard has taken the
//! process group off its list and the output has been read to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal as ProcessSignal;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::bound::Bound;
use super::phase::{Order, Phase};
use super::running::Memory;
use super::spawn::Leader;
use super::stop_request::StopRequest;
use super::{Exit, prepare};
use crate::children;
use crate::guard::Announced;
use crate::logs::{LogBuffer, LogStream};
use crate::proctable::{Entry, Members};
use crate::stdio::{Calls, CallsEnded};

/// Children are looked at this often even without a signal: a library may have taken SIGCHLD away.
const LOOK: Duration = Duration::from_secs(1);
/// SIGKILL is waited for this long; what lives on then hangs in the kernel.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// Output that is still in the pipes of a process that is down is waited for this long; longer only when
/// a process that is no member holds them.
const OUTPUT_DEADLINE: Duration = Duration::from_millis(500);

pub(super) struct Supervisor {
    pub(super) leader: Leader,
    pub(super) child_ended: Signal,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) pumps: Vec<JoinHandle<()>>,
    pub(super) announced: Announced,
    pub(super) logs: Arc<LogBuffer>,
    /// Whether this process adopts those that lose their parent.
    pub(super) adopts: bool,
    pub(super) members: Arc<Members>,
    pub(super) socket: Option<std::path::PathBuf>,
    pub(super) bound: Bound,
    pub(super) memory: Arc<Memory>,
    /// The calls of a program with the protocol of lines.
    pub(super) calls: Option<Arc<Calls>>,
    /// The request to end that it declares; none once it is being sent.
    pub(super) stop_request: Option<StopRequest>,
    /// The request that is being sent.
    pub(super) stopping: Option<Stopping>,
    /// A signal that ends it was sent from here.
    pub(super) killed: bool,
    /// TERM was sent to all members.
    pub(super) terminated: bool,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        let exit = self.watch().await;
        self.logs.push(LogStream::Manager, &exit.to_string());
        self.look_for_oom(exit).await;
        self.phase.send_replace(Phase::Exited(exit));
        self.let_request_end().await;
        let survivors =
            if self.let_members_end().await { Vec::new() } else { self.kill_members().await };
        self.leader.reap();
        if self.adopts {
            // It fails only when the runtime shuts down.
            let _ = tokio::task::spawn_blocking(children::reap_adopted).await;
        }
        if survivors.is_empty() {
            self.members.unfollow();
            self.announced.withdraw();
        } else {
            // Should the manager end, the guard tries once more.
            self.announced.keep();
        }
        for pump in &mut self.pumps {
            if timeout(OUTPUT_DEADLINE, &mut *pump).await.is_err() {
                pump.abort();
            }
        }
        if let Some(calls) = &self.calls {
            // Its last answers were read before.
            calls.end(CallsEnded::Exited(exit));
        }
        if let Some(socket) = &self.socket {
            prepare::remove_socket(socket);
        }
        // Its cgroup is empty by now: it is removed before the component is reported down.
        self.bound.limit = None;
        self.phase.send_replace(Phase::Down(exit, survivors));
    }

    fn order(&mut self) -> Order {
        // Without an owner there is no one left to stop it.
        if self.orders.has_changed().is_err() {
            Order::Kill
        } else {
            *self.orders.borrow_and_update()
        }
    }

    /// Carries out orders until the leader has ended.
    async fn watch(&mut self) -> Exit {
        let mut done = Order::Run;
        // When TERM follows a request to stop.
        let mut term_at = None;
        loop {
            // First: where a program has ended, another may take its port, and must not get its request to stop.
            if let Some(exit) = self.leader.ended() {
                return exit;
            }
            let order = self.order();
            match (done, order) {
                (Order::Run, Order::Stop { kill_at, polite }) => {
                    if polite && self.request_stop() {
                        term_at = Some(halfway(kill_at));
                    } else {
                        self.terminate();
                    }
                    done = order;
                }
                (Order::Run | Order::Stop { .. }, Order::Kill) => {
                    self.kill();
                    done = order;
                }
                // Only times change; each step is taken once.
                (Order::Stop { .. }, Order::Stop { kill_at, .. }) => {
                    term_at = term_at.map(|at: Instant| at.min(halfway(kill_at)));
                    done = order;
                }
                _ => {}
            }
            let look = Instant::now() + LOOK;
            let until = match done {
                Order::Stop { kill_at, .. } => kill_at.min(look).min(term_at.unwrap_or(look)),
                _ => look,
            };
            tokio::select! {
                _ = self.child_ended.recv() => {}
                _ = self.orders.changed(), if done != Order::Kill => {}
                why = broken(self.calls.as_deref()), if done == Order::Run => {
                    let remark = match why {
                        CallsEnded::NoAnswer => "answered none of its last calls; killing it",
                        _ => "closed its standard input or output and takes no calls; killing it",
                    };
                    self.logs.push(LogStream::Manager, remark);
                    self.kill();
                    done = Order::Kill;
                }
                failed = failed(&mut self.stopping), if term_at.is_some() => {
                    let remark = format!("the request to stop failed: {failed}; sending TERM");
                    self.logs.push(LogStream::Manager, &remark);
                    term_at = None;
                    self.terminate();
                }
                () = sleep_until(until) => {
                    let now = Instant::now();
                    if matches!(done, Order::Stop { kill_at, .. } if kill_at <= now) {
                        self.logs.push(LogStream::Manager, "did not stop before its deadline; killing it");
                        self.kill();
                        done = Order::Kill;
                    } else if term_at.take_if(|at| *at <= now).is_some() {
                        let remark = "did not end after the request to stop; sending TERM";
                        self.logs.push(LogStream::Manager, remark);
                        self.stopping = None;
                        self.terminate();
                    }
                }
            }
        }
    }

    /// Requests the stop in the program's own way; false when it has none.
    fn request_stop(&mut self) -> bool {
        if let Some(calls) = &self.calls {
            calls.close_input(CallsEnded::Stopping);
        }
        if let Some(request) = self.stop_request.take() {
            let pid = self.members.process_group().pgid;
            self.stopping = Some(Stopping(tokio::spawn(request.send(pid))));
        }
        self.calls.is_some() || self.stopping.is_some()
    }

    /// After the end of the leader, the command that requested it has until the deadline of the stop.
    async fn let_request_end(&mut self) {
        while let Order::Stop { kill_at, .. } = self.order()
            && let Some(Stopping(request)) = &mut self.stopping
            && Instant::now() < kill_at
        {
            tokio::select! {
                _ = request => break,
                _ = self.orders.changed() => {}
                () = sleep_until(kill_at) => {}
            }
        }
        self.stopping = None;
    }

    fn kill(&mut self) {
        self.killed = true;
        // The members outside of the process group follow when the leader has ended.
        self.members.signal_process_group(ProcessSignal::KILL);
    }

    /// TERM to every member: to the process group in one step, which no fork escapes, then to the others.
    fn terminate(&mut self) {
        self.terminated = true;
        // A stopped process only receives TERM when it continues.
        let signals = [ProcessSignal::TERM, ProcessSignal::CONT];
        for signal in signals {
            self.members.signal_process_group(signal);
        }
        let members = Arc::clone(&self.members);
        // Not waited for: the leader may end meanwhile, and another order may come.
        tokio::task::spawn_blocking(move || {
            let found = members.find();
            for signal in signals {
                members.signal_outside_process_group(&found, signal);
            }
        });
    }

    async fn find_members(&self) -> Vec<Entry> {
        let members = Arc::clone(&self.members);
        tokio::task::spawn_blocking(move || members.find()).await.unwrap_or_default()
    }

    /// Whether its end was the OOM killer's doing, before the counters are forgotten.
    async fn look_for_oom(&self, exit: Exit) {
        let signal = match exit {
            Exit::Signal(signal) => Some(signal),
            _ => None,
        };
        let by_others = signal == Some(ProcessSignal::KILL.as_raw()) && !self.killed;
        if !by_others && self.bound.limit.is_none() {
            // Only the counter of a cgroup of its own could prove the opposite, and it has none.
            return;
        }
        let (watch, killed, peak) = (self.bound.oom.clone(), self.killed, self.memory.peak());
        let look = move || watch.evidence(signal, killed, peak);
        if let Ok(Some(evidence)) = tokio::task::spawn_blocking(look).await {
            self.logs.push(LogStream::Manager, &evidence.to_string());
            // Set once: this is the only place, and the leader ends once.
            let _ = self.memory.evidence.set(evidence);
        }
    }

    /// After an orderly stop the other members have until the same deadline; after anything else they are
    /// killed at once. Whether they have ended.
    async fn let_members_end(&mut self) -> bool {
        if matches!(self.order(), Order::Stop { .. }) && !self.terminated {
            // The leader ended at the request, which the others may not have seen.
            self.terminate();
        }
        let mut pause = Duration::from_millis(2);
        while let Order::Stop { kill_at, .. } = self.order()
            && Instant::now() < kill_at
        {
            if self.find_members().await.is_empty() {
                return true;
            }
            tokio::select! {
                _ = self.orders.changed() => {}
                () = sleep_until(kill_at.min(Instant::now() + pause)) => {}
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        false
    }

    /// Kills the members left after their leader, whose number stays taken meanwhile, and waits until there is none;
    /// returns those that there are at the deadline.
    async fn kill_members(&self) -> Vec<i32> {
        let deadline = Instant::now() + KILL_DEADLINE;
        let mut pause = Duration::from_millis(1);
        let mut outside = BTreeSet::new();
        let left = loop {
            self.members.signal_process_group(ProcessSignal::KILL);
            // Each round may find what those started that the last one killed.
            let left = self.find_members().await;
            if left.is_empty() || Instant::now() >= deadline {
                break left;
            }
            self.members.signal_outside_process_group(&left, ProcessSignal::KILL);
            let process_group = self.members.process_group().pgid;
            outside.extend(left.iter().filter(|e| e.pgid != process_group).map(|e| e.pid));
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        if !outside.is_empty() {
            let killed = format!("killed {} that had left its process group", outside.len());
            self.logs.push(LogStream::Manager, &killed);
        }
        left.into_iter().map(|e| e.pid).collect()
    }
}

/// The middle of the time until `end`.
fn halfway(end: Instant) -> Instant {
    let now = Instant::now();
    now + end.saturating_duration_since(now) / 2
}

/// Waits until a program can take no calls any more, though it runs, and gives the reason.
async fn broken(calls: Option<&Calls>) -> CallsEnded {
    match calls {
        Some(calls) => calls.broken().await,
        None => std::future::pending().await,
    }
}

/// A request to stop that is being sent. Dropping it ends the request.
pub(super) struct Stopping(JoinHandle<Result<(), String>>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until a request to stop has failed, and gives the reason; has no end when it succeeds.
async fn failed(stopping: &mut Option<Stopping>) -> String {
    if let Some(Stopping(request)) = stopping {
        let outcome = request.await;
        *stopping = None;
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why,
            Err(error) => return error.to_string(),
        }
    }
    std::future::pending().await
}
