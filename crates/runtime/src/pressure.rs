//! Measures memory pressure on one owned thread: waits for the kernel, reads, classifies, and reports levels.
//!
//! Decides nothing; the last readings are in the status. Invariant: the level that holds was reported to the engine; the
//! failure of a source or of a means of waking is recorded once, with the time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use majordomo_core::{
    ByteSize, MemoryConfig, PressureLevel, PressureProfile, PressureRecord, PressureStatus,
};
use majordomo_memory::{
    Hints, PressureClassifier, PressureReading, PressureSource, PressureWaker, PressureWatcher,
    WatchConfig, pressure_thresholds,
};

use crate::clock::Clock;

/// Records that are kept.
const N_NOTES: usize = 64;
/// A source that fails is read again after this.
const RETRY: Duration = Duration::from_secs(1);

/// The last readings; clones share them. Dropping the last but the thread's own ends the thread.
#[derive(Debug)]
pub(crate) struct Felt {
    shared: Arc<Shared>,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stop: AtomicBool,
}

#[derive(Debug)]
struct State {
    view: PressureStatus,
    notes: VecDeque<PressureRecord>,
    profile: PressureProfile,
    dwell: Duration,
    waker: Option<PressureWaker>,
}

impl Shared {
    /// A panic elsewhere does not make figures unreadable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Felt {
    /// Starts the thread. `report` is called with each change of the level; false ends the thread.
    pub(crate) fn start(
        source: Box<dyn PressureSource>,
        config: &MemoryConfig,
        clock: Clock,
        report: impl Fn(PressureLevel) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let state = State {
            view: PressureStatus { source: source.name().to_owned(), ..PressureStatus::default() },
            notes: VecDeque::new(),
            profile: config.pressure_profile,
            dwell: config.pressure_dwell,
            waker: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), stop: AtomicBool::new(false) });
        let feeler = Feeler {
            classifier: PressureClassifier::new(config.pressure_profile, config.pressure_dwell),
            source,
            watcher: None,
            clock,
            reported: PressureLevel::Low,
            failing: false,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name("majordomo-pressure".to_owned())
            .spawn(move || feeler.run(&report))?;
        Ok(Self { shared, thread: Some(thread.thread().clone()) })
    }

    /// Changes profile and dwell; they hold from the next reading on, which is made at once.
    pub(crate) fn configure(&self, config: &MemoryConfig) {
        let mut state = self.shared.lock();
        (state.profile, state.dwell) = (config.pressure_profile, config.pressure_dwell);
        drop(state);
        self.wake();
    }

    /// The readings of now, for the status.
    pub(crate) fn status(&self) -> PressureStatus {
        let state = self.shared.lock();
        PressureStatus { history: state.notes.iter().cloned().collect(), ..state.view.clone() }
    }

    /// Bytes available before the tightest bound; none while no source answers.
    pub(crate) fn available(&self) -> Option<ByteSize> {
        let state = self.shared.lock();
        (state.view.readings > 0 && !state.view.failing).then_some(state.view.available)
    }

    /// Bytes available before the level at which loads are refused; none while no source answers.
    pub(crate) fn spare(&self, refused_at: PressureLevel) -> Option<ByteSize> {
        let available = self.available()?;
        let state = self.shared.lock();
        // Thresholds begin with MEDIUM, the level after LOW.
        let at = PressureLevel::ALL.iter().skip(1).position(|level| *level == refused_at);
        Some(available - at.map_or(ByteSize::ZERO, |i| state.view.thresholds[i]))
    }

    fn wake(&self) {
        let waker = self.shared.lock().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

impl Drop for Felt {
    fn drop(&mut self) {
        // Relaxed: the wake-up that follows is what makes it be looked at.
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wake();
    }
}

/// The thread's own.
struct Feeler {
    source: Box<dyn PressureSource>,
    classifier: PressureClassifier,
    /// The watcher, and the configuration that it was armed for.
    watcher: Option<(WatchConfig, PressureWatcher)>,
    clock: Clock,
    reported: PressureLevel,
    failing: bool,
    shared: Arc<Shared>,
}

impl Feeler {
    fn run(mut self, report: &dyn Fn(PressureLevel) -> bool) {
        let mut hints = Hints::default();
        while !self.shared.stop.load(Ordering::Relaxed) {
            let timeout = match self.source.read() {
                Ok(reading) => {
                    let reading = reading.with_hints(std::mem::take(&mut hints));
                    let level = self.take(reading);
                    if level != self.reported {
                        self.reported = level;
                        if !report(level) {
                            return;
                        }
                    }
                    self.timeout(&reading)
                }
                Err(error) => {
                    self.lost(&error.to_string());
                    RETRY
                }
            };
            for report in self.source.take_reports() {
                tracing::warn!("{report}");
                self.record(report.to_string());
            }
            hints = self.wait(timeout);
        }
    }

    /// The time within which every change is signalled by the kernel.
    fn timeout(&self, reading: &PressureReading) -> Duration {
        let soon = self.classifier.sample_within(reading);
        let now = self.clock.now();
        let falls = self.classifier.falls_at().map_or(soon, |at| at.since(now));
        soon.min(falls).max(Duration::from_millis(1))
    }

    fn take(&mut self, reading: PressureReading) -> PressureLevel {
        let now = self.clock.now();
        let mut state = self.shared.lock();
        self.classifier.configure(state.profile, state.dwell);
        let before = self.classifier.level();
        let level = self.classifier.observe(&reading, now);
        let thresholds = pressure_thresholds(state.profile, reading.limit);
        let view = &mut state.view;
        self.source.name().clone_into(&mut view.source);
        view.failing = false;
        view.limit = reading.limit;
        view.available = reading.available;
        view.hint = reading.hint();
        view.thresholds = thresholds;
        view.bounds = self.source.bounds();
        view.readings += 1;
        drop(state);
        if level != before {
            self.record(String::new());
        }
        if std::mem::take(&mut self.failing) {
            self.record("readings work again".to_owned());
        }
        self.arm(thresholds);
        level
    }

    /// Arms the kernel's wake-ups for the cgroup and the thresholds that hold now.
    fn arm(&mut self, thresholds: [ByteSize; 4]) {
        let config = self.source.watch(thresholds);
        if config.as_ref() == self.watcher.as_ref().map(|w| &w.0) {
            return;
        }
        self.watcher = None;
        let mut means = Vec::new();
        let mut waker = None;
        if let Some(config) = config {
            match PressureWatcher::new(&config) {
                Ok(watcher) => {
                    means.extend(watcher.means().iter().map(ToString::to_string));
                    waker = Some(watcher.waker());
                    self.watcher = Some((config, watcher));
                }
                Err(error) => means.push(format!("no wake-ups by the kernel: {error}")),
            }
        }
        means.push("readings every 50 ms to 2 s, the more often the nearer a level is".to_owned());
        let mut state = self.shared.lock();
        state.view.means = means;
        state.waker = waker;
    }

    fn lost(&mut self, error: &str) {
        if std::mem::replace(&mut self.failing, true) {
            return;
        }
        tracing::warn!(error, "memory pressure cannot be read");
        self.shared.lock().view.failing = true;
        self.record(error.to_owned());
    }

    fn record(&self, record: String) {
        let mut state = self.shared.lock();
        let available = state.view.available;
        if state.notes.len() == N_NOTES {
            state.notes.pop_front();
        }
        let (at, level) = (self.clock.now(), self.classifier.level());
        state.notes.push_back(PressureRecord { at, level, available, event: record });
    }

    /// Waits for the kernel, a waker or the time-out, and returns the kernel's signals.
    fn wait(&mut self, timeout: Duration) -> Hints {
        let Some((_, watcher)) = &mut self.watcher else {
            std::thread::park_timeout(timeout);
            return Hints::default();
        };
        let woken = watcher.wait(timeout);
        let reports = watcher.take_reports();
        for report in reports {
            tracing::warn!("{report}");
            self.record(report.to_string());
        }
        woken.hints()
    }
}
