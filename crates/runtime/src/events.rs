//! The event log: a ring of all records, a short history of each component, and followers.
//!
//! Invariant: a record is kept once, whichever histories have it, and its lists are bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_core::{ComponentKey, EventKind, EventRecord};
use tokio::sync::watch;

/// Records kept in all.
const RING: usize = 4096;
/// Records kept of each component.
const HISTORY: usize = 32;

/// An item of a follower.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    /// The next record.
    Record(EventRecord),
    /// It was too slow: so many records are lost to it.
    Gap(u64),
}

#[derive(Debug, Default)]
struct Rings {
    all: VecDeque<Arc<EventRecord>>,
    by_component: BTreeMap<ComponentKey, VecDeque<Arc<EventRecord>>>,
}

impl Rings {
    fn get(&self, seq: u64) -> Option<Followed> {
        let first = self.all.front()?.seq;
        if seq < first {
            return Some(Followed::Gap(first - seq));
        }
        let record = self.all.get(usize::try_from(seq - first).ok()?)?;
        Some(Followed::Record(EventRecord::clone(record)))
    }
}

fn locked(rings: &Mutex<Rings>) -> MutexGuard<'_, Rings> {
    // Every change leaves the records consistent, so a panic elsewhere does no harm.
    rings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rings; written by the shell alone.
#[derive(Debug)]
pub struct EventLog {
    rings: Arc<Mutex<Rings>>,
    /// The number of records so far.
    written: watch::Sender<u64>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { rings: Arc::default(), written: watch::Sender::new(0) }
    }
}

impl EventLog {
    fn rings(&self) -> MutexGuard<'_, Rings> {
        locked(&self.rings)
    }

    pub(crate) fn push(&self, records: impl IntoIterator<Item = EventRecord>) {
        let mut last = None;
        {
            let mut rings = self.rings();
            for mut record in records {
                last = Some(record.seq + 1);
                let concerned = concerns(&record.kind);
                record.bound();
                let record = Arc::new(record);
                for key in concerned {
                    let history = rings.by_component.entry(key).or_default();
                    if history.len() == HISTORY {
                        history.pop_front();
                    }
                    history.push_back(Arc::clone(&record));
                }
                if rings.all.len() == RING {
                    rings.all.pop_front();
                }
                rings.all.push_back(record);
            }
        }
        if let Some(n) = last {
            self.written.send_replace(n);
        }
    }

    /// The last records of a component, oldest first.
    #[must_use]
    pub fn history(&self, key: ComponentKey) -> Vec<EventRecord> {
        let rings = self.rings();
        let history = rings.by_component.get(&key).into_iter().flatten();
        history.map(|r| EventRecord::clone(r)).collect()
    }

    /// The last `n` records, oldest first.
    #[must_use]
    pub fn tail(&self, n: usize) -> Vec<EventRecord> {
        let rings = self.rings();
        let newest = rings.all.iter().skip(rings.all.len().saturating_sub(n));
        newest.map(|r| EventRecord::clone(r)).collect()
    }

    /// Follows the records from number `from`; from the next one when none.
    #[must_use]
    pub fn follow(&self, from: Option<u64>) -> Follower {
        let written = self.written.subscribe();
        let next = from.unwrap_or_else(|| *written.borrow());
        Follower { rings: Arc::clone(&self.rings), written, next }
    }
}

/// Reads records as they come.
#[derive(Debug)]
pub struct Follower {
    // Not the log itself: the end of `written` signals its end.
    rings: Arc<Mutex<Rings>>,
    written: watch::Receiver<u64>,
    next: u64,
}

impl Follower {
    /// The next record or gap; none when the manager is gone and everything was read. Cancel safe.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if let Some(next) = self.try_next() {
                return Some(next);
            }
            let from = self.next;
            self.written.wait_for(|n| *n > from).await.ok()?;
        }
    }

    /// Whether it begins beyond the next record: its number was not given by this log, so that it would wait in silence
    /// while others are written.
    #[must_use]
    pub fn is_beyond_newest(&self) -> bool {
        self.next > locked(&self.rings).all.back().map_or(0, |r| r.seq + 1)
    }

    /// The next record or gap that is there already.
    pub fn try_next(&mut self) -> Option<Followed> {
        let found = locked(&self.rings).get(self.next)?;
        self.next += match &found {
            Followed::Record(_) => 1,
            Followed::Gap(n) => *n,
        };
        Some(found)
    }
}

/// The components that a record is about.
fn concerns(kind: &EventKind) -> Vec<ComponentKey> {
    match kind {
        EventKind::State { component, .. }
        | EventKind::Hint { component, .. }
        | EventKind::Preload { component, .. }
        | EventKind::Victim { component, .. }
        | EventKind::Trimmed { component }
        | EventKind::CannotTrim { component }
        | EventKind::TrimFailed { component, .. }
        | EventKind::OverLimit { component, .. }
        | EventKind::EstimateRaised { component, .. }
        | EventKind::ProbeFailing { component, .. }
        | EventKind::ProbeRecovered { component }
        | EventKind::LoadBeyondBudget { component, .. }
        | EventKind::Revoked { component, .. } => vec![*component],
        EventKind::Harm { component, preload, .. } => vec![*component, *preload],
        EventKind::Granted { components, .. } | EventKind::Refused { components, .. } => {
            components.clone()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_core::{Moment, WaiterId};

    fn record(seq: u64) -> EventRecord {
        let kind = EventKind::Trimmed { component: ComponentKey(u32::try_from(seq % 3).unwrap()) };
        EventRecord::new(seq, Moment(seq), kind)
    }

    #[test]
    fn a_record_about_many_components_is_kept_once_with_bounded_lists() {
        let components: Vec<_> = (0..10_000).map(ComponentKey).collect();
        let refusal = majordomo_core::Refusal::ShuttingDown;
        let kind = EventKind::Refused { waiter: WaiterId(0), components, refusal };
        let log = EventLog::default();
        log.push([EventRecord::new(0, Moment(0), kind)]);
        let rings = log.rings();
        let kept = &rings.all[0];
        assert_eq!(kept.names_left_out, 10_000 - EventRecord::MAX_NAMES);
        // Every component that it names has it, and none a copy.
        assert_eq!(rings.by_component.len(), 10_000);
        assert!(rings.by_component.values().all(|h| Arc::ptr_eq(&h[0], kept)));
    }

    #[test]
    fn slow_follower_gets_the_size_of_its_gap() {
        let log = EventLog::default();
        let mut follower = log.follow(None);
        assert_eq!(follower.try_next(), None);
        log.push((0..RING as u64 + 10).map(record));
        assert_eq!(follower.try_next(), Some(Followed::Gap(10)));
        assert_eq!(follower.try_next(), Some(Followed::Record(record(10))));
        assert_eq!(log.follow(None).try_next(), None);
        assert_eq!(log.history(ComponentKey(0)).len(), HISTORY);
        assert_eq!(log.tail(2), [record(RING as u64 + 8), record(RING as u64 + 9)]);
    }
}
