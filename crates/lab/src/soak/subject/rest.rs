//! At rest: no client asks, everything but CORE is unloaded, nothing moves. Memory that is held then is kept.

use std::io::Write as _;
use std::time::Duration;

use majordomo::{ComponentState, Status, StatusValue};
use tokio::time::{Instant, sleep, timeout};

use super::super::durability::is_writing;
use super::super::sample::Levels;
use super::{REST, Subject};

/// Looks at rest that must be alike; longer together than an idle thread stays.
const STILL: u32 = 10;
/// It is looked for so long that they are.
const SETTLE: Duration = Duration::from_secs(2);

/// Whether a text model is being trained, or texts wait that may begin it.
fn is_training(status: &Status) -> bool {
    let mut rows = status.sections.get("intents").into_iter().flatten();
    rows.any(|(name, value)| {
        (name == "retraining" && *value == StatusValue::Bool(true))
            || (name == "outcomes_queued" && *value != StatusValue::Count(0))
    })
}

impl Subject {
    /// Waits until no text model is being trained.
    pub(super) async fn trained(&self) {
        let until = Instant::now() + REST;
        while let Ok(status) = self.shared.manager.status().await {
            if !is_training(&status) {
                return;
            }
            if Instant::now() > until {
                self.violation(format!("a text model is being trained for more than {REST:?}"));
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Unloads everything but CORE and waits until nothing moves. Components that are preloaded meanwhile are unloaded, too. Returns whether it came to
    /// rest: a disk that takes long for a write of the state breaks no rule, but what the write holds is not kept.
    pub(super) async fn rest(&self) -> (Levels, bool) {
        let until = Instant::now() + REST;
        loop {
            let (mut left, mut writes) = (self.unload_all().await, false);
            if left.is_empty() {
                // A training takes tens of MiB as long as it lasts, which is moments.
                self.trained().await;
                let levels = settled(&self.args.mark).await;
                writes = self.shared.manager.status().await.is_ok_and(|s| is_writing(&s));
                left = self.unload_all().await;
                if left.is_empty() && !writes {
                    return (levels, true);
                }
            }
            if Instant::now() > until {
                if !(writes && left.is_empty()) {
                    self.log_reasons(&left);
                    self.violation(format!("no client asks and after {REST:?} there are {left:?}"));
                }
                return (settled(&self.args.mark).await, false);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes to the run's log why the components that did not stay unloaded were loaded.
    fn log_reasons(&self, left: &[String]) {
        let names = left.iter().filter_map(|line| line.split(' ').next());
        for record in names.flat_map(|n| self.shared.manager.operator().why(n)).flatten() {
            // The log cannot be written while the disk is full.
            let _ = writeln!(std::io::stderr(), "{}: {:?}", record.at, record.kind);
        }
    }

    /// Asks everything but CORE to go; gives what has not gone.
    async fn unload_all(&self) -> Vec<String> {
        let manager = &self.shared.manager;
        let Ok(status) = manager.status().await else { return vec!["the manager".to_owned()] };
        let mut left = Vec::new();
        for c in &status.components {
            let down = matches!(
                c.state,
                ComponentState::UNLOADED
                    | ComponentState::Failed { .. }
                    | ComponentState::Quarantined { .. }
            );
            if down || c.priority == majordomo::Priority::Core {
                continue;
            }
            left.push(format!("{} ({})", c.id, c.state));
            let _ = timeout(REST, manager.operator().unload(c.id.as_str(), false)).await;
        }
        left
    }
}

/// The levels when they have stopped to fall: tasks, descriptors and threads of what has just ended go within moments. The
/// least of each in these looks: what is held by turns, such as the thread that samples footprints, is not kept.
async fn settled(mark: &str) -> Levels {
    // Memory that only the allocator keeps does not count.
    let _ = tokio::task::spawn_blocking(majordomo_memory::trim_allocator).await;
    let counts = |l: &Levels| (l.descriptors, l.tasks, l.threads);
    let (until, mut last) = (Instant::now() + SETTLE, Levels::glance());
    let (mut least, mut still) = (last, 0);
    // Looks that are far apart, on a busy machine, may never be alike.
    while still < STILL && Instant::now() < until {
        sleep(Duration::from_millis(15)).await;
        let now = Levels::glance();
        still = if counts(&now) == counts(&last) { still + 1 } else { 0 };
        (least, last) = (least.least(now), now);
    }
    let whole = Levels::measure(mark);
    Levels { rss: whole.rss, pss: whole.pss, children: whole.children, ..least }
}
