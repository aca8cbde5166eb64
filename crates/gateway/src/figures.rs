//! Counts of each component, and the gateway's section of the status.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use majordomo::{ByteSize, StatusValue};

/// Counts of one component. Relaxed: statistics, nothing is published with them.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    requests: AtomicU64,
    /// Refused for want of a place.
    busy: AtomicU64,
    /// Refused by the manager.
    refused: AtomicU64,
    /// The component failed, or did not answer before its deadline.
    failed: AtomicU64,
    /// Connections that were upgraded or spliced.
    connections: AtomicU64,
    answer_bytes: AtomicU64,
    /// Requests that waited for a load.
    waits: AtomicU64,
    wait_us: AtomicU64,
    /// From the lease to the head of the answer.
    first_byte_us: AtomicU64,
    answers: AtomicU64,
}

/// An event that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Request,
    Busy,
    Refused,
    Failed,
    Connection,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Figures {
    pub(crate) fn count(&self, what: Counted) {
        let counter = match what {
            Counted::Request => &self.requests,
            Counted::Busy => &self.busy,
            Counted::Refused => &self.refused,
            Counted::Failed => &self.failed,
            Counted::Connection => &self.connections,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.wait_us.fetch_add(micros(time), Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, first_byte: Duration) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.first_byte_us.fetch_add(micros(first_byte), Ordering::Relaxed);
    }

    pub(crate) fn passed(&self, bytes: u64) {
        self.answer_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether there was anything to count.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.load(Ordering::Relaxed) + self.connections.load(Ordering::Relaxed) == 0
    }

    /// The figures of a component as rows of the status.
    pub(crate) fn rows(
        &self,
        name: &str,
        in_flight: u32,
        queue: usize,
    ) -> Vec<(String, StatusValue)> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mean = |sum: u64, n: u64| Duration::from_micros(sum.checked_div(n).unwrap_or(0));
        let mut rows = vec![
            (format!("{name} requests"), StatusValue::Count(get(&self.requests))),
            (format!("{name} in flight"), StatusValue::Count(in_flight.into())),
            (format!("{name} queue"), StatusValue::Count(queue as u64)),
            (format!("{name} bytes"), StatusValue::Bytes(ByteSize(get(&self.answer_bytes)))),
            (
                format!("{name} first byte"),
                StatusValue::Time(mean(get(&self.first_byte_us), get(&self.answers))),
            ),
        ];
        let mut more = |what: &str, n: u64| {
            if n > 0 {
                rows.push((format!("{name} {what}"), StatusValue::Count(n)));
            }
        };
        more("waits for a load", get(&self.waits));
        more("connections", get(&self.connections));
        more("refused: busy", get(&self.busy));
        more("refused: not loaded", get(&self.refused));
        more("failed", get(&self.failed));
        if get(&self.waits) > 0 {
            let wait = mean(get(&self.wait_us), get(&self.waits));
            rows.push((format!("{name} mean wait"), StatusValue::Time(wait)));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_means_and_leave_out_what_never_happened() {
        let figures = Figures::default();
        assert!(figures.is_empty());
        figures.count(Counted::Request);
        figures.answered(Duration::from_millis(2));
        figures.answered(Duration::from_millis(4));
        let rows = figures.rows("chat", 1, 0);
        let row = |name: &str| rows.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        assert_eq!(row("chat first byte"), Some(StatusValue::Time(Duration::from_millis(3))));
        assert_eq!(row("chat in flight"), Some(StatusValue::Count(1)));
        assert_eq!(row("chat failed"), None);
    }
}
