//! The core behind three flume lanes and one thread, for programs that use the preloader alone.
//!
//! The caller gives a clock and a load function; the worker calls the function for one proposal at a
//! time. Lanes are bounded and drained in tier order; what does not fit is counted, never waited for.
//! Invariant: after [`PreloadWorker::stop`] the load function is not called again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use flume::{Receiver, Selector, Sender, TrySendError};
use majordomo_core::{ByteSize, ComponentKey, Moment, PressureLevel};

use super::hint::{Hint, Proposal, Tier};
use super::preloader::{Preloader, PreloaderConfig, PreloaderError};

/// Settings of [`PreloadWorker`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerConfig {
    /// Settings of the core; its `queue` is the bound of each lane too.
    pub preloader: PreloaderConfig,
}

/// What a load function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// Loaded, and how large it is.
    Loaded(ByteSize),
    /// Not done: there already, no room, or not wanted.
    Declined,
    /// Tried and failed.
    Failed,
}

/// What happened to components, told by the caller.
#[derive(Clone, Debug)]
enum Report {
    Observed(Vec<Hint>),
    Used(ComponentKey),
    Evicted(ComponentKey),
    Pressure(PressureLevel),
}

/// A running worker. Dropping it stops it.
#[derive(Debug)]
pub struct PreloadWorker {
    lanes: Option<[Sender<Hint>; 3]>,
    reports: Option<Sender<Report>>,
    overflowed: Arc<AtomicU64>,
    thread: Option<JoinHandle<Preloader>>,
}

struct Loop<C, L> {
    core: Preloader,
    clock: C,
    load: L,
    pressure: PressureLevel,
}

impl<C: Fn() -> Moment, L: FnMut(&Proposal) -> LoadOutcome> Loop<C, L> {
    fn report(&mut self, report: Report) {
        let now = (self.clock)();
        match report {
            Report::Observed(hints) => self.core.observe(&hints, now),
            Report::Used(key) => {
                self.core.on_demand(key, now);
            }
            Report::Evicted(key) => {
                self.core.on_evicted(key, now);
            }
            Report::Pressure(level) => self.pressure = level,
        }
    }

    /// Loads what is due, one at a time; true if there was something.
    fn step(&mut self) -> bool {
        let started = (self.clock)();
        let Some(proposal) = self.core.next(started, true, self.pressure) else { return false };
        match (self.load)(&proposal) {
            LoadOutcome::Loaded(size) => {
                self.core.on_started(&proposal, size, started);
                self.core.on_loaded(proposal.key, (self.clock)());
            }
            LoadOutcome::Failed => {
                self.core.on_started(&proposal, ByteSize::ZERO, started);
                self.core.on_failed(proposal.key);
            }
            LoadOutcome::Declined => {}
        }
        true
    }
}

enum Came {
    Hint(Hint),
    Report(Report),
    Closed,
}

fn wait(
    lanes: &[Receiver<Hint>; 3],
    reports: &Receiver<Report>,
    at_most: Option<Duration>,
) -> Option<Came> {
    let hint = |h: Result<Hint, _>| h.map_or(Came::Closed, Came::Hint);
    let mut selector =
        Selector::new().recv(reports, |r: Result<Report, _>| r.map_or(Came::Closed, Came::Report));
    for lane in lanes {
        selector = selector.recv(lane, hint);
    }
    match at_most {
        Some(at_most) => selector.wait_timeout(at_most).ok(),
        None => Some(selector.wait()),
    }
}

impl PreloadWorker {
    /// Starts the thread. `clock` must never go back; `load` is called on the worker's thread and may
    /// take its time.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn start(
        config: WorkerConfig,
        clock: impl Fn() -> Moment + Send + 'static,
        load: impl FnMut(&Proposal) -> LoadOutcome + Send + 'static,
    ) -> Result<Self, PreloaderError> {
        let core = Preloader::new(config.preloader)?;
        let (senders, lanes): (Vec<_>, Vec<_>) =
            Tier::ALL.map(|_| flume::bounded(config.preloader.queue)).into_iter().unzip();
        let (Ok(senders), Ok(lanes)) =
            (<[Sender<Hint>; 3]>::try_from(senders), <[Receiver<Hint>; 3]>::try_from(lanes))
        else {
            unreachable!("there are three tiers")
        };
        let (reports, inbox) = flume::bounded(config.preloader.queue.max(64));
        let mut work = Loop { core, clock, load, pressure: PressureLevel::Low };
        let thread = std::thread::spawn(move || {
            loop {
                // Asked before the lanes are emptied, so that nothing sent before the end is lost.
                let ended = inbox.is_disconnected();
                while let Ok(report) = inbox.try_recv() {
                    work.report(report);
                }
                for lane in &lanes {
                    while let Ok(hint) = lane.try_recv() {
                        let now = (work.clock)();
                        work.core.hint(hint, now);
                    }
                }
                if ended {
                    return work.core;
                }
                if work.step() {
                    continue;
                }
                let now = (work.clock)();
                let sleep = work.core.next_wakeup(now).map(|wakeup| wakeup.since(now));
                match wait(&lanes, &inbox, sleep) {
                    Some(Came::Hint(hint)) => {
                        work.core.hint(hint, (work.clock)());
                    }
                    Some(Came::Report(report)) => work.report(report),
                    Some(Came::Closed) | None => {}
                }
            }
        });
        Ok(Self {
            lanes: Some(senders),
            reports: Some(reports),
            overflowed: Arc::new(AtomicU64::new(0)),
            thread: Some(thread),
        })
    }

    /// Hands a hint in; false when its lane is full, which is counted.
    pub fn hint(&self, hint: Hint) -> bool {
        let Some(lanes) = &self.lanes else { return false };
        match lanes[hint.tier as usize].try_send(hint) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                // A count for people: nothing is ordered by it.
                self.overflowed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Hints that found their lane full.
    #[must_use]
    pub fn n_overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    fn tell(&self, report: Report) {
        if let Some(reports) = &self.reports {
            // Fails only after the thread ended, by a panic of the load function; `stop` tells.
            let _ = reports.send(report);
        }
    }

    /// A command was observed: replaces earlier predictions.
    pub fn observe(&self, predicted: Vec<Hint>) {
        self.tell(Report::Observed(predicted));
    }

    /// A component was used.
    pub fn used(&self, key: ComponentKey) {
        self.tell(Report::Used(key));
    }

    /// A component left memory.
    pub fn evicted(&self, key: ComponentKey) {
        self.tell(Report::Evicted(key));
    }

    /// Memory pressure changed.
    pub fn pressure(&self, level: PressureLevel) {
        self.tell(Report::Pressure(level));
    }

    /// Stops after the load at hand, takes in what was told before, and gives the core with its accounts
    /// back; `None` when the load function panicked.
    pub fn stop(mut self) -> Option<Preloader> {
        self.end()
    }

    fn end(&mut self) -> Option<Preloader> {
        self.lanes = None;
        self.reports = None;
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

impl Drop for PreloadWorker {
    fn drop(&mut self) {
        self.end();
    }
}
