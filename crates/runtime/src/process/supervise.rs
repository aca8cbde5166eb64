//! One task per process: sees it end, stops it in order, and makes sure that nothing of it is left.
//!
//! Invariant: phases go Running → Exited → Down and never back; Down is told only when the leader is
//! reaped, its group has no living member (or those that outlive SIGKILL are named), the guard has let
//! go of the group and the output has been read to its end.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal as ProcessSignal;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::bound::Bound;
use super::running::Memory;
use super::spawn::Leader;
use super::strays::Subreaper;
use super::{Exit, prepare};
use crate::guard::Announced;
use crate::logs::{LogBuffer, LogStream};
use crate::proctable;

/// Children are looked at this often even without a signal: a library may have taken SIGCHLD away.
const LOOK: Duration = Duration::from_secs(1);
/// SIGKILL is waited for this long; what lives on then hangs in the kernel.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// Output that is still in the pipes of a process that is down is waited for this long; longer only when
/// somebody outside the group holds them.
const OUTPUT_DEADLINE: Duration = Duration::from_millis(500);

/// What the owner wants. Only ever gets sterner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    /// TERM now, KILL then.
    Stop(Instant),
    Kill,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Exited(Exit),
    /// Nothing of it is left but these, which outlive SIGKILL.
    Down(Exit, Vec<i32>),
}

pub(super) struct Supervisor {
    pub(super) leader: Leader,
    pub(super) child_ended: Signal,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) pumps: Vec<JoinHandle<()>>,
    pub(super) announced: Announced,
    pub(super) logs: Arc<LogBuffer>,
    pub(super) subreaper: Option<Subreaper>,
    pub(super) tag: String,
    pub(super) socket: Option<std::path::PathBuf>,
    pub(super) bound: Bound,
    pub(super) memory: Arc<Memory>,
    /// A signal that ends it was sent from here.
    pub(super) killed: bool,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        let exit = self.watch().await;
        self.logs.push(LogStream::Manager, &exit.to_string());
        self.look_for_oom(exit).await;
        self.phase.send_replace(Phase::Exited(exit));
        self.let_members_end().await;
        self.leader.reap();
        let survivors = self.wait_for_group().await;
        if let Some(s) = self.subreaper.clone() {
            let tag = self.tag.clone();
            let killed = tokio::task::spawn_blocking(move || s.sweep(&tag)).await.unwrap_or(0);
            if killed > 0 {
                self.logs
                    .push(LogStream::Manager, &format!("killed {killed} that had left its group"));
            }
        }
        if survivors.is_empty() {
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
        if let Some(socket) = &self.socket {
            prepare::remove_socket(socket);
        }
        // Its group is empty by now: it goes before somebody is told that the component is down.
        self.bound.limit = None;
        self.phase.send_replace(Phase::Down(exit, survivors));
    }

    fn order(&mut self) -> Order {
        // The owner is gone: nobody can stop it any more.
        if self.orders.has_changed().is_err() {
            Order::Kill
        } else {
            *self.orders.borrow_and_update()
        }
    }

    /// Carries out orders until the leader has ended.
    async fn watch(&mut self) -> Exit {
        let mut done = Order::Run;
        loop {
            let order = self.order();
            match (done, order) {
                (Order::Run, Order::Stop(_)) | (Order::Run | Order::Stop(_), Order::Kill) => {
                    self.carry_out(order);
                    done = order;
                }
                // Only the time of the KILL changes; TERM is sent once.
                (Order::Stop(_), Order::Stop(_)) => done = order,
                _ => {}
            }
            if let Some(exit) = self.leader.ended() {
                return exit;
            }
            let look = Instant::now() + LOOK;
            let until = match done {
                Order::Stop(kill_at) => kill_at.min(look),
                _ => look,
            };
            tokio::select! {
                _ = self.child_ended.recv() => {}
                _ = self.orders.changed(), if done != Order::Kill => {}
                () = sleep_until(until) => {
                    if matches!(done, Order::Stop(kill_at) if kill_at <= Instant::now()) {
                        self.logs.push(LogStream::Manager, "did not stop in time; killing it");
                        self.carry_out(Order::Kill);
                        done = Order::Kill;
                    }
                }
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        let pgid = self.leader.group.pgid;
        match order {
            Order::Run => {}
            Order::Stop(_) => {
                proctable::signal_group(pgid, ProcessSignal::TERM);
                // A stopped process only sees TERM when it goes on.
                proctable::signal_group(pgid, ProcessSignal::CONT);
            }
            Order::Kill => {
                self.killed = true;
                self.leader.group.kill();
            }
        }
    }

    /// Whether its end was the OOM killer's doing, before the counters are forgotten.
    async fn look_for_oom(&self, exit: Exit) {
        let signal = match exit {
            Exit::Signal(signal) => Some(signal),
            _ => None,
        };
        let by_others = signal == Some(ProcessSignal::KILL.as_raw()) && !self.killed;
        if !by_others && self.bound.limit.is_none() {
            // Only its own group's counter could tell otherwise, and it has none.
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

    /// After an orderly stop the rest of the group has until the same deadline; after anything else it
    /// is killed at once (by `reap`).
    async fn let_members_end(&mut self) {
        let mut pause = Duration::from_millis(2);
        while let Order::Stop(kill_at) = self.order()
            && Instant::now() < kill_at
            && !members(self.leader.group.pgid).await.is_empty()
        {
            tokio::select! {
                _ = self.orders.changed() => {}
                () = sleep_until(kill_at.min(Instant::now() + pause)) => {}
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Waits until the killed group has no living member; gives those that there are at the deadline.
    async fn wait_for_group(&self) -> Vec<i32> {
        let pgid = self.leader.group.pgid;
        let deadline = Instant::now() + KILL_DEADLINE;
        let mut pause = Duration::from_millis(1);
        // One system call in the usual case; the table is read only when somebody is left.
        while proctable::group_may_exist(pgid) {
            let left = members(pgid).await;
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Vec::new()
    }
}

async fn members(pgid: i32) -> Vec<i32> {
    let read = tokio::task::spawn_blocking(move || proctable::living_members(pgid));
    read.await.unwrap_or_default()
}
