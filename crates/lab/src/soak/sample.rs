//! The measured figures, and the lines that the process under test sends to the one that watches it.
//!
//! The figures of the system come from `/proc` (Linux); elsewhere they stay 0, which the report says.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;

/// The environment variable that every component of a run carries, and everything that it starts.
pub(crate) const MARK: &str = "MAJORDOMO_SOAK";
/// The one that programs carry that left their component's process group.
pub(crate) const STRAY: &str = "MAJORDOMO_SOAK_STRAY";

/// Resources that could leak: bytes and counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Levels {
    pub(crate) rss: u64,
    pub(crate) pss: u64,
    pub(crate) heap_used: u64,
    pub(crate) heap_retained: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    pub(crate) tasks: u64,
    pub(crate) children: u64,
}

impl Levels {
    /// This process now; needs a tokio runtime.
    pub(crate) fn measure(mark: &str) -> Self {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        Self {
            rss: field(&rollup, "Rss:") << 10,
            pss: field(&rollup, "Pss:") << 10,
            children: marked(MARK, mark).len() as u64,
            ..Self::glance()
        }
    }

    /// Levels that are read at once, without a walk through all processes and pages: heap, descriptors, threads, tasks.
    pub(crate) fn glance() -> Self {
        let heap = majordomo_memory::allocator_usage();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            heap_used: heap.map_or(0, |h| h.in_use.0),
            heap_retained: heap.map_or(0, |h| h.retained.0),
            // One of them is the look itself.
            descriptors: std::fs::read_dir("/proc/self/fd")
                .map_or(0, |all| all.count().saturating_sub(1) as u64),
            threads: field(&status, "Threads:"),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64,
            ..Self::default()
        }
    }

    /// Of each the lower.
    pub(crate) fn least(self, other: Self) -> Self {
        Self {
            rss: self.rss.min(other.rss),
            pss: self.pss.min(other.pss),
            heap_used: self.heap_used.min(other.heap_used),
            heap_retained: self.heap_retained.min(other.heap_retained),
            descriptors: self.descriptors.min(other.descriptors),
            threads: self.threads.min(other.threads),
            tasks: self.tasks.min(other.tasks),
            children: self.children.min(other.children),
        }
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The living processes whose environment sets `variable` to `value`; a zombie's is empty.
pub(crate) fn marked(variable: &str, value: &str) -> Vec<i32> {
    let searched = format!("{variable}={value}");
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(|pid: i32| (pid, entry)))
        .filter(|(_, entry)| {
            std::fs::read(entry.path().join("environ"))
                .is_ok_and(|words| words.split(|b| *b == 0).any(|w| w == searched.as_bytes()))
        })
        .map(|(pid, _)| pid)
        .collect()
}

/// One look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Which process: each restart of the manager begins a new one.
    pub(crate) epoch: u32,
    /// Seconds of the whole run.
    pub(crate) at_s: f64,
    /// Seconds since this process was ready.
    pub(crate) age_s: f64,
    /// Everything was unloaded and no client asked for anything.
    pub(crate) resting: bool,
    /// The level of memory pressure: 0 = LOW … 4 = EMERGENCY.
    pub(crate) pressure: u8,
    pub(crate) levels: Levels,
    pub(crate) booked: u64,
    pub(crate) claimed: u64,
    pub(crate) overdraft: u64,
    /// Booked bytes of each pool.
    pub(crate) pools: BTreeMap<String, u64>,
    /// Demands that wait.
    pub(crate) waiting: u64,
    pub(crate) hints_waiting: u64,
    pub(crate) loads_running: u64,
    /// Since the sample before: leases on what was ready, and demands that had to wait.
    pub(crate) ready: Histogram,
    pub(crate) wait: Histogram,
    /// And leases through the socket, whether ready or not.
    #[serde(default)]
    pub(crate) socket: Histogram,
    /// Since this process began: loads, answers by kind, faults by kind, records.
    pub(crate) counters: BTreeMap<String, u64>,
}

/// Commands learned from, among what is learned of components.
pub(crate) const COMMANDS: &str = "(commands)";
/// Texts that are kept to learn from.
pub(crate) const TEXTS: &str = "(texts)";
/// The version of what is learned from texts, which rises with each.
pub(crate) const TEXT_MODEL: &str = "(text model)";

/// Learned data by component; of [`COMMANDS`] and the like beside them.
pub(crate) type Learned = BTreeMap<String, Known>;

/// Learned data about one component or kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Known {
    /// A number that never falls.
    Count(u64),
    /// Figures of a component, which follow its measurements up and down: they are there or not.
    Figures {
        /// Peak in bytes.
        peak: Option<u64>,
        /// Load time in microseconds.
        load_time: Option<u64>,
    },
}

impl Known {
    /// Whether anything is known.
    pub(crate) fn is_something(&self) -> bool {
        match self {
            Self::Count(n) => *n > 0,
            Self::Figures { peak, load_time } => peak.is_some() || load_time.is_some(),
        }
    }

    /// Whether all of this is still known later.
    pub(crate) fn is_kept_in(&self, later: Option<&Self>) -> bool {
        match (self, later) {
            (Self::Count(was), Some(Self::Count(now))) => now >= was,
            (
                Self::Figures { peak, load_time },
                Some(Self::Figures { peak: peak_now, load_time: time_now }),
            ) => {
                peak.is_none_or(|_| peak_now.is_some())
                    && load_time.is_none_or(|_| time_now.is_some())
            }
            _ => !self.is_something(),
        }
    }
}

/// One line from the process under test.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Message {
    /// The manager is up; what it knew from before.
    Started { learned: Learned },
    /// It has warmed up and rests for the first time.
    Warm { levels: Levels },
    /// A look.
    Sample { sample: Box<Sample> },
    /// Something was done to it.
    Mark { at_s: f64, what: String },
    /// An invariant is broken.
    Violation { at_s: f64, what: String },
    /// This much is durable.
    Checkpoint { learned: Learned },
    /// A write of the state file begins or is over; on the disk is what was written before it ended.
    Write { begins: bool },
    /// How programs are parked in swap, or why not.
    Swap { offered: Result<String, String> },
    /// The last rest, everything unloaded.
    Ended { levels: Levels, booked: u64, not_unloaded: Vec<String> },
    /// The manager was shut down; what it could not stop.
    Down { stuck: Vec<String> },
}

impl Message {
    /// Sends it.
    pub(crate) fn send(&self) {
        use std::io::Write as _;
        let Ok(mut line) = serde_json::to_vec(self) else { return };
        line.push(b'\n');
        // Without a reader, the end of standard input follows.
        let _ = std::io::stdout().lock().write_all(&line);
    }

    /// Reads one.
    pub(crate) fn read(line: &str) -> anyhow::Result<Self> {
        serde_json::from_str(line).with_context(|| format!("no message: {line:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_never_fall_and_figures_never_vanish() {
        let figures = |peak, load_time| Known::Figures { peak, load_time };
        let check = |was: Known, later: Option<Known>, want| {
            assert_eq!(was.is_kept_in(later.as_ref()), want, "{was:?} {later:?}");
        };
        check(Known::Count(3), Some(Known::Count(3)), true);
        check(Known::Count(3), Some(Known::Count(2)), false);
        check(Known::Count(3), None, false);
        check(Known::Count(0), None, true);
        check(figures(Some(9), Some(7)), Some(figures(Some(8), Some(9))), true);
        check(figures(Some(9), Some(7)), Some(figures(None, Some(7))), false);
        check(figures(Some(9), Some(7)), Some(figures(Some(9), None)), false);
        check(figures(None, Some(7)), None, false);
    }

    #[test]
    fn messages_survive_the_pipe() {
        let mut sample = Sample { epoch: 2, at_s: 1.5, ..Sample::default() };
        sample.ready.record(std::time::Duration::from_micros(7));
        sample.counters.insert("granted".to_owned(), 3);
        let sent = Message::Sample { sample: Box::new(sample.clone()) };
        let line = serde_json::to_string(&sent).unwrap();
        assert!(
            matches!(Message::read(&line).unwrap(), Message::Sample { sample: s } if *s == sample)
        );
        assert!(Message::read("listening").is_err());
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn what_this_process_holds_is_seen() {
        let before = Levels::measure("none");
        let file = std::fs::File::open("/dev/null").unwrap();
        let task = tokio::spawn(std::future::pending::<()>());
        let bytes = vec![1u8; 9 << 20];
        let after = Levels::measure("none");
        // Other tests of the same process come and go.
        assert!(after.rss > 1 << 20 && after.pss > 1 << 20 && after.threads > 0, "{after:?}");
        assert!(after.descriptors >= 3 && before.descriptors >= 3);
        assert!(after.tasks > before.tasks, "{before:?} {after:?}");
        if before.heap_used > 0 {
            assert!(after.heap_used > before.heap_used + (4 << 20), "{before:?} {after:?}");
        }
        task.abort();
        drop((file, std::hint::black_box(bytes)));
    }
}
