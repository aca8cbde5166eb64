//! The core behind three flume lanes and one thread, for programs that use the preloader alone.
//!
//! The caller gives a clock and a load function; the worker calls the function for one proposal at a
//! time. Lanes are bounded; a hint that does not fit is counted, never waited for. What is told of uses, leavings,
//! observations and pressure is merged in the [inbox], never lost and never waited for either, so that
//! the load function may tell it, too. Everything carries the time at which it was told: a use during a load is late
//! by what was left of the load, though the worker hears of it only afterwards.
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

/// What a load function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// Loaded, and how large it is. A use told since the function was called counts as late, not as a hit.
    Loaded(ByteSize),
    /// Not done: there already, no room, or not wanted.
    Declined,
    /// Tried and failed.
    Failed,
}

/// What the worker's thread and those who tell it something share.
struct Shared {
    clock: Box<dyn Fn() -> Moment + Send + Sync>,
    inbox: Mutex<Inbox>,
    overflowed: AtomicU64,
}

impl Shared {
    fn now(&self) -> Moment {
        (self.clock)()
    }

    /// The inbox and the time. The time is read inside, so that the order of what is told is the order of time.
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

/// A hint and when it was handed in.
type Hinted = (Moment, Hint);
/// One of each tier.
type Lanes<T> = [T; 3];

/// A running worker. Dropping it stops it.
#[derive(Debug)]
pub struct PreloadWorker {
    lanes: Option<Lanes<Sender<Hinted>>>,
    /// Says that there is something in the inbox; one token says it.
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
    /// Hints that came while it waited.
    hints: Vec<Hinted>,
}

impl<L: FnMut(&Proposal) -> LoadOutcome> Loop<L> {
    fn run(mut self) -> Preloader {
        loop {
            // Asked before anything is taken in, so that nothing told before the end is lost.
            let ended = self.bell.is_disconnected();
            let now = self.take_in();
            if ended {
                return self.core;
            }
            if !self.step(now) {
                self.wait(now);
            }
        }
    }

    /// Takes in what was told until now; that time.
    fn take_in(&mut self) -> Moment {
        // Before the inbox is emptied: who tells something later rings again.
        while self.bell.try_recv().is_ok() {}
        let (told, now) = {
            let (mut inbox, now) = self.shared.inbox();
            (std::mem::take(&mut *inbox), now)
        };
        // After it: a hint that was handed in before a use was told is not taken in after it.
        self.hints.extend(self.lanes.iter().flat_map(Receiver::try_iter));
        // One that came since then counts as come by now, else it would not be due.
        let hints = self.hints.drain(..).map(|(at, hint)| (at.min(now), hint));
        if let Some(level) = told.into_core(hints, &mut self.core) {
            self.pressure = level;
        }
        now
    }

    /// Loads what is due, one at a time; true if there was something.
    fn step(&mut self, started: Moment) -> bool {
        let Some(proposal) = self.core.next(started, true, self.pressure) else { return false };
        match (self.load)(&proposal) {
            LoadOutcome::Loaded(size) => {
                // Its size is known only now. What was told meanwhile waits in the inbox with its time.
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

    /// Waits until something comes or a hint that waited at `looked` is due.
    fn wait(&mut self, looked: Moment) {
        let due = self.core.next_wakeup(looked);
        let sleep: Option<Duration> = due.map(|due| due.since(self.shared.now()));
        let mut selector = Selector::new().recv(&self.bell, |_| None);
        for lane in &self.lanes {
            selector = selector.recv(lane, Result::ok);
        }
        let came = match sleep {
            Some(at_most) => selector.wait_timeout(at_most).ok().flatten(),
            None => selector.wait(),
        };
        self.hints.extend(came);
    }
}

impl PreloadWorker {
    /// Starts the thread. `clock` must never go back nor call the worker, and is read by whoever tells something; `load` is
    /// called on the worker's thread and may take its time.
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

    /// Hands a hint in; false when its lane is full, which is counted.
    pub fn hint(&self, hint: Hint) -> bool {
        let Some(lanes) = &self.lanes else { return false };
        match lanes[hint.tier as usize].try_send((self.shared.now(), hint)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                // A count for people: nothing is ordered by it.
                self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Hints that found their lane full.
    #[must_use]
    pub fn n_overflowed(&self) -> u64 {
        self.shared.overflowed.load(Ordering::Relaxed)
    }

    fn tell(&self, what: impl FnOnce(&mut Inbox, Moment)) {
        {
            let (mut inbox, now) = self.shared.inbox();
            what(&mut inbox, now);
        }
        if let Some(bell) = &self.bell {
            // Full: it rings already. Disconnected: the load function has panicked, and `stop` tells.
            let _ = bell.try_send(());
        }
    }

    /// A command was observed: replaces earlier predictions. Never waits, as all that is told.
    pub fn observe(&self, predicted: Vec<Hint>) {
        self.tell(|inbox, now| inbox.observed(predicted, now));
    }

    /// A component is used from now on; late if it is still being loaded.
    pub fn used(&self, key: ComponentKey) {
        self.tell(|inbox, now| inbox.used(key, now));
    }

    /// A component left memory.
    pub fn evicted(&self, key: ComponentKey) {
        self.tell(|inbox, now| inbox.evicted(key, now));
    }

    /// Memory pressure changed.
    pub fn pressure(&self, level: PressureLevel) {
        self.tell(|inbox, _| inbox.pressure(level));
    }

    /// Stops after the load at hand, takes in what was told before, and gives the core with its accounts
    /// back; `None` when the load function panicked, or is who calls this.
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
