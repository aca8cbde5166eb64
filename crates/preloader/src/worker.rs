//! The core behind three flume lanes and one thread, for programs that use the preloader alone.
//!
//! The caller passes a clock and a load function; the worker calls the function for one proposal at a
//! time. Lanes are bounded; a hint that does not fit is counted and dropped without waiting. Reports of uses, unloads,
//! observations and pressure are merged in the [inbox], without loss and without waiting, so the load function may
//! report, too. Every report carries its time: a use during a load is late by the rest of the load, although the
//! worker reads the report only after that.
//! Invariant: after [`PreloadWorker::stop`] the load function is not called again.

mod inbox;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use flume::{Receiver, Selector, Sender, TrySendError};
use majordomo_core::{ByteSize, ComponentKey, Moment, PressureLevel, SpeculationConfig};

use super::hint::{Hint, Proposal, Tier};
use super::preloader::{Preloader, PreloaderError};
use inbox::Inbox;

/// Settings of [`PreloadWorker`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerConfig {
    /// Settings of the core; its `queue` is the bound of each lane too.
    pub preloader: SpeculationConfig,
}

/// The answer of a load function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// Loaded, with its size. A use reported since the call counts as late, not as a hit.
    Loaded(ByteSize),
    /// Not loaded: loaded already, no memory, or not needed.
    Declined,
    /// The load failed.
    Failed,
}

/// The state shared by the worker's thread and its callers.
struct Shared {
    clock: Box<dyn Fn() -> Moment + Send + Sync>,
    inbox: Mutex<Inbox>,
    overflowed: AtomicU64,
}

impl Shared {
    fn now(&self) -> Moment {
        (self.clock)()
    }

    /// The inbox and the time, read under the lock, so that reports are in the order of time.
    fn inbox(&self) -> (MutexGuard<'_, Inbox>, Moment) {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        (inbox, self.now())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("overflowed", &self.overflowed).finish_non_exhaustive()
    }
}

/// A hint and the moment when it was queued.
type Hinted = (Moment, Hint);
/// One for each tier.
type Lanes<T> = [T; 3];

/// A running worker. Dropping it stops it.
#[derive(Debug)]
pub struct PreloadWorker {
    lanes: Option<Lanes<Sender<Hinted>>>,
    /// Wakes the thread: the inbox has reports. Holds one token.
    bell: Option<Sender<()>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Preloader>>,
}

/// The thread's side.
struct Loop<L> {
    core: Preloader,
    shared: Arc<Shared>,
    lanes: Lanes<Receiver<Hinted>>,
    bell: Receiver<()>,
    load: L,
    pressure: PressureLevel,
    /// Hints that arrived while the thread waited.
    hints: Vec<Hinted>,
}

impl<L: FnMut(&Proposal) -> LoadOutcome> Loop<L> {
    fn run(mut self) -> Preloader {
        loop {
            // Read before the reports, so that no report before the end is lost.
            let ended = self.bell.is_disconnected();
            let now = self.read_reports();
            if ended {
                return self.core;
            }
            if !self.step(now) {
                self.wait(now);
            }
        }
    }

    /// Passes all reports and hints to the core. Returns the time of reading.
    fn read_reports(&mut self) -> Moment {
        // Before the inbox is emptied, so that a later report wakes the thread again.
        while self.bell.try_recv().is_ok() {}
        let (reports, now) = {
            let (mut inbox, now) = self.shared.inbox();
            (std::mem::take(&mut *inbox), now)
        };
        // After the inbox, so that a hint queued before a reported use is not passed on after it.
        self.hints.extend(self.lanes.iter().flat_map(Receiver::try_iter));
        // A hint that arrived since counts as queued now, else it would not be due.
        let hints = self.hints.drain(..).map(|(at, hint)| (at.min(now), hint));
        if let Some(level) = reports.into_core(hints, &mut self.core) {
            self.pressure = level;
        }
        now
    }

    /// Loads the next proposal that is due. Returns whether there was one.
    fn step(&mut self, started: Moment) -> bool {
        let Some(proposal) = self.core.next(started, true, self.pressure) else { return false };
        match (self.load)(&proposal) {
            LoadOutcome::Loaded(size) => {
                // The size is known only now. Reports since the call wait in the inbox with their times.
                self.core.on_started(&proposal, size, started);
                self.core.on_loaded(proposal.key, self.shared.now());
            }
            LoadOutcome::Failed => {
                self.core.on_started(&proposal, ByteSize::ZERO, started);
                self.core.on_failed(proposal.key);
            }
            LoadOutcome::Declined => {}
        }
        true
    }

    /// Waits for a report, for a hint, or until a hint that waited at `read` is due.
    fn wait(&mut self, read: Moment) {
        let due = self.core.next_wakeup(read);
        let sleep: Option<Duration> = due.map(|due| due.since(self.shared.now()));
        let mut selector = Selector::new().recv(&self.bell, |_| None);
        for lane in &self.lanes {
            selector = selector.recv(lane, Result::ok);
        }
        let hint = match sleep {
            Some(at_most) => selector.wait_timeout(at_most).ok().flatten(),
            None => selector.wait(),
        };
        self.hints.extend(hint);
    }
}

impl PreloadWorker {
    /// Starts the thread. `clock` must never decrease nor call the worker, and is read on the threads of all callers;
    /// `load` is called on the worker's thread and may block.
    ///
    /// # Errors
    /// When settings are outside their ranges.
    pub fn start(
        config: &WorkerConfig,
        clock: impl Fn() -> Moment + Send + Sync + 'static,
        load: impl FnMut(&Proposal) -> LoadOutcome + Send + 'static,
    ) -> Result<Self, PreloaderError> {
        let core = Preloader::new(&config.preloader)?;
        let (senders, lanes): (Vec<_>, Vec<_>) =
            Tier::ALL.map(|_| flume::bounded(config.preloader.queue)).into_iter().unzip();
        let (Ok(senders), Ok(lanes)) = (
            Lanes::<Sender<Hinted>>::try_from(senders),
            Lanes::<Receiver<Hinted>>::try_from(lanes),
        ) else {
            unreachable!("there are three tiers")
        };
        let (ring, bell) = flume::bounded(1);
        let shared = Arc::new(Shared {
            clock: Box::new(clock),
            inbox: Mutex::default(),
            overflowed: AtomicU64::new(0),
        });
        let work = Loop {
            core,
            shared: Arc::clone(&shared),
            lanes,
            bell,
            load,
            pressure: PressureLevel::Low,
            hints: Vec::new(),
        };
        let thread = std::thread::spawn(move || work.run());
        Ok(Self { lanes: Some(senders), bell: Some(ring), shared, thread: Some(thread) })
    }

    /// Queues a hint. Returns `false`, and counts the hint, when its lane is full.
    pub fn hint(&self, hint: Hint) -> bool {
        let Some(lanes) = &self.lanes else { return false };
        match lanes[hint.tier as usize].try_send((self.shared.now(), hint)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                // A statistic: it orders no other memory.
                self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Number of hints that were dropped because their lane was full.
    #[must_use]
    pub fn n_overflowed(&self) -> u64 {
        self.shared.overflowed.load(Ordering::Relaxed)
    }

    fn report(&self, what: impl FnOnce(&mut Inbox, Moment)) {
        {
            let (mut inbox, now) = self.shared.inbox();
            what(&mut inbox, now);
        }
        if let Some(bell) = &self.bell {
            // Full: the thread is woken already. Disconnected: the load function panicked, which `stop` reports.
            let _ = bell.try_send(());
        }
    }

    /// Reports the observation of a command, which replaces earlier predictions. Never waits, as all reports.
    pub fn observe(&self, predicted: Vec<Hint>) {
        self.report(|inbox, now| inbox.observed(predicted, now));
    }

    /// Reports the use of a component; its preload is late if it is still loading.
    pub fn used(&self, key: ComponentKey) {
        self.report(|inbox, now| inbox.used(key, now));
    }

    /// Reports that a component left memory.
    pub fn evicted(&self, key: ComponentKey) {
        self.report(|inbox, now| inbox.evicted(key, now));
    }

    /// Reports the level of memory pressure.
    pub fn pressure(&self, level: PressureLevel) {
        self.report(|inbox, _| inbox.pressure(level));
    }

    /// Stops after the current load, reads the remaining reports, and returns the core with its accounts;
    /// `None` when the load function panicked, or is the caller.
    pub fn stop(mut self) -> Option<Preloader> {
        self.end()
    }

    fn end(&mut self) -> Option<Preloader> {
        self.lanes = None;
        self.bell = None;
        let thread = self.thread.take()?;
        if thread.thread().id() == std::thread::current().id() {
            // Dropped by the load function: a thread cannot wait for itself; it ends after this load.
            return None;
        }
        thread.join().ok()
    }
}

impl Drop for PreloadWorker {
    fn drop(&mut self) {
        self.end();
    }
}
