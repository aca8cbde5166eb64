//! Waits until other programs leave the processors alone, so that a run measures none of them.
//!
//! Reads how long the processors worked, not the load average: that still holds the run before for
//! a minute.

use std::time::Duration;

use super::clock;

/// So many busy processors are no noise.
pub(super) const QUIET: f64 = 0.25;
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Quiet looks in a row that are enough.
const LOOKS: u32 = 2;

/// The time of all processors since boot, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
    processors: u64,
}

/// Reads the text of `/proc/stat`.
fn ticks(stat: &str) -> Option<Ticks> {
    let words = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    // User, nice, system, idle, I/O wait, interrupts, soft interrupts, stolen; guests are among the
    // first two.
    let fields: Vec<u64> = words.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = fields.get(3)? + fields.get(4)?;
    let processors = stat.lines().skip(1).take_while(|l| l.starts_with("cpu")).count() as u64;
    Some(Ticks { idle, all: fields.iter().sum(), processors })
}

impl Ticks {
    /// The mean number of busy processors since an earlier look.
    fn busy_since(self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1) as f64;
        let idle = self.idle.saturating_sub(earlier.idle) as f64;
        self.processors as f64 * (1.0 - idle / all).max(0.0)
    }
}

fn look() -> Option<Ticks> {
    ticks(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Counts quiet looks in a row.
#[derive(Debug, Default)]
struct Quiet {
    n: u32,
}

impl Quiet {
    /// Whether the machine has been quiet for long enough.
    fn take(&mut self, busy: f64) -> bool {
        self.n = if busy <= QUIET { self.n + 1 } else { 0 };
        self.n >= LOOKS
    }
}

/// Waits for a quiet machine, for at most `longest`. Returns the processors that were busy at the
/// end; none where nothing is to be waited for or the system does not report it. Cancel safe.
pub(super) async fn wait(longest: Duration) -> Option<f64> {
    if longest.is_zero() {
        return None;
    }
    let until_s = clock::seconds() + longest.as_secs_f64();
    let mut quiet = Quiet::default();
    let mut before = look()?;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = look()?;
        let busy = now.busy_since(before);
        before = now;
        if quiet.take(busy) || clock::seconds() >= until_s {
            return Some(busy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_processors_are_those_that_neither_rest_nor_wait_for_a_disk() {
        let text = |user: u64, idle: u64, disk: u64| {
            format!("cpu  {user} 0 10 {idle} {disk} 0 0 5 7 7\ncpu0 1 2\ncpu1 1 2\nintr 5\n")
        };
        let before = ticks(&text(100, 1_000, 0)).unwrap();
        assert_eq!(before, Ticks { idle: 1_000, all: 1_115, processors: 2 });
        let after = |user, idle, disk| ticks(&text(user, idle, disk)).unwrap().busy_since(before);
        assert_eq!(after(100, 1_150, 50), 0.0);
        assert_eq!(after(150, 1_150, 0), 0.5);
        assert_eq!(after(300, 1_000, 0), 2.0);
        assert_eq!(ticks("intr 5"), None);
    }

    #[test]
    fn a_machine_is_quiet_after_two_quiet_looks_in_a_row() {
        let mut quiet = Quiet::default();
        let looks = [0.1, 0.9, 0.2, 0.25].map(|busy| quiet.take(busy));
        assert_eq!(looks, [false, false, false, true]);
    }
}
