//! The one file that may read clocks.
//!
//! Gives monotonic [`Moment`]s since its start, wall-clock seconds, the time the machine was suspended,
//! and a coarse tick for hot paths. Knows nothing of what the times are used for.
//! Invariant: `Moment`s never go back; the wall clock is never used to measure a span.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use majordomo_core::{Moment, WallSeconds};
use majordomo_lease::Tick;
use rustix::time::{ClockId, clock_gettime};

/// How often the coarse tick moves.
pub const TICK: Duration = Duration::from_millis(100);

/// A gap of the boot-time clock longer than this is a suspend.
pub const SUSPEND_THRESHOLD: Duration = Duration::from_secs(5);

/// A monotonic clock that starts at zero. Cloning gives the same clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    start_with_suspend: Duration,
}

impl Clock {
    /// A clock whose zero is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock file")]
    pub fn start() -> Self {
        Self { start: Instant::now(), start_with_suspend: with_suspend() }
    }

    /// Time since the start; stands still while the machine is suspended.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::ZERO + self.start.elapsed()
    }

    /// The same as [`Self::now`] in full resolution, for short spans.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// How long the machine has been suspended since the start, all in all.
    ///
    /// The difference of the clock that counts suspended time and the one that does not: Linux
    /// `CLOCK_BOOTTIME` − `CLOCK_MONOTONIC`, macOS `CLOCK_MONOTONIC` − `CLOCK_UPTIME_RAW`; the second of
    /// each is what `Instant` reads. A step of the wall clock does not show in it.
    #[must_use]
    pub fn suspended(&self) -> Duration {
        // The awake clock is read last: preemption in between makes the gap smaller, never larger.
        let all = with_suspend().saturating_sub(self.start_with_suspend);
        all.saturating_sub(self.start.elapsed())
    }
}

/// Finds suspends: polled now and then, it returns each gap once.
#[derive(Debug)]
pub struct SuspendDetector {
    seen: Duration,
}

impl SuspendDetector {
    /// A detector that knows nothing of suspends before now.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        Self { seen: clock.suspended() }
    }

    /// How long the machine was suspended since the last answer, when that is more than
    /// [`SUSPEND_THRESHOLD`].
    pub fn check(&mut self, clock: &Clock) -> Option<Duration> {
        self.advance(clock.suspended())
    }

    fn advance(&mut self, total: Duration) -> Option<Duration> {
        let gap = total.saturating_sub(self.seen);
        if gap <= SUSPEND_THRESHOLD {
            return None;
        }
        self.seen = total;
        Some(gap)
    }
}

/// The wall clock; seconds before 1970 count below zero.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock file")]
pub fn wall_now() -> WallSeconds {
    let secs = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => WallSeconds(secs(after)),
        Err(before) => WallSeconds(-secs(before.duration())),
    }
}

/// The wall clock of a manager: the system's, or one that the caller sets. Cloning gives the same clock.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> WallSeconds + Send + Sync>);

impl WallClock {
    /// A clock that is read by calling `read`, which must be quick and must not block. It may go back.
    #[must_use]
    pub fn new(read: impl Fn() -> WallSeconds + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time that it shows.
    #[must_use]
    pub fn now(&self) -> WallSeconds {
        (self.0)()
    }
}

impl Default for WallClock {
    /// The system's.
    fn default() -> Self {
        Self::new(wall_now)
    }
}

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WallClock").finish_non_exhaustive()
    }
}

/// The time of a clock that continues while the machine is suspended.
fn with_suspend() -> Duration {
    Duration::try_from(clock_gettime(BOOT_TIME)).unwrap_or(Duration::ZERO)
}

#[cfg(target_os = "linux")]
const BOOT_TIME: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const BOOT_TIME: ClockId = ClockId::Monotonic;

/// The time of a [`Clock`], at most [`TICK`] old, for readers that cannot afford a system call.
///
/// One owned thread moves it and ends when this value is dropped.
#[derive(Debug)]
pub struct CoarseTick {
    micros: Arc<Tick>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CoarseTick {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(clock: Clock) -> std::io::Result<Self> {
        let micros = Arc::new(Tick::new(clock.now().0));
        let (stop, stopped) = mpsc::channel();
        let cell = Arc::clone(&micros);
        let thread =
            std::thread::Builder::new().name("majordomo-tick".into()).spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    cell.set(clock.now().0);
                }
            })?;
        Ok(Self { micros, stop: Some(stop), thread: Some(thread) })
    }

    /// The time of the last tick.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(self.micros.get())
    }

    /// The cell itself (microseconds), for readers that outlive this value.
    #[must_use]
    pub fn tick(&self) -> Arc<Tick> {
        Arc::clone(&self.micros)
    }
}

impl Drop for CoarseTick {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic: the loop above has nothing that does.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_do_not_go_back() {
        let clock = Clock::start();
        let a = clock.now();
        assert!(clock.now() >= a);
        assert!(clock.suspended() < Duration::from_secs(1));
        assert!(wall_now().0 > 1_600_000_000);
    }

    #[test]
    fn each_suspend_is_returned_once() {
        let mut d = SuspendDetector { seen: Duration::from_secs(100) };
        let check = |d: &mut SuspendDetector, total: u64, want: Option<u64>| {
            assert_eq!(d.advance(Duration::from_secs(total)), want.map(Duration::from_secs));
        };
        check(&mut d, 100, None);
        check(&mut d, 105, None);
        // Short suspends add up: a gap that was not returned is not forgotten.
        check(&mut d, 106, Some(6));
        check(&mut d, 106, None);
        check(&mut d, 90, None);
        check(&mut d, 206, Some(100));
    }

    #[test]
    fn the_tick_moves_and_its_thread_ends() {
        let tick = CoarseTick::start(Clock::start()).unwrap();
        let cell = tick.tick();
        let first = tick.now();
        while tick.now() == first {
            std::thread::yield_now();
        }
        drop(tick);
        // The thread is joined: its clone of the cell is gone.
        assert_eq!(Arc::strong_count(&cell), 1);
    }
}
