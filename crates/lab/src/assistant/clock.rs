//! The clocks of a measurement: time that passes, and CPU time of the thread that samples.

use majordomo::WallSeconds;
use rustix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds of a clock that only rises.
pub(crate) fn seconds() -> f64 {
    read(ClockId::Monotonic)
}

/// CPU seconds that this thread used since its start.
pub(crate) fn thread_cpu_seconds() -> f64 {
    read(ClockId::ThreadCPUTime)
}

/// The wall clock.
pub(crate) fn wall() -> WallSeconds {
    WallSeconds(clock_gettime(ClockId::Realtime).tv_sec)
}
