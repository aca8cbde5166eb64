//! Follows the events of a server while a day is played: counts, and the times at which loads
//! began.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{LineWriter, Write as _};
use std::path::Path;

use anyhow::Context;
use majordomo_server::Address;
use majordomo_server::client::Streamed;
use majordomo_server::wire::Event;
use serde::Serialize;

use super::clock;
use super::record::Tally;
use super::rungs::Rungs;
use crate::follower::Follower;

/// The changes of state that concern a wait, by component.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    /// Milliseconds since the server's start.
    at_ms: f64,
    is_loading: bool,
}

/// Everything that was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    tally: Tally,
    rungs: Rungs,
    changes: BTreeMap<String, Vec<Change>>,
    /// This process's clock less the server's, in milliseconds: the smallest difference of all
    /// events.
    offset_ms: Option<f64>,
}

impl Seen {
    /// Takes in an event that arrived at `now_ms` of this process's clock.
    fn take(&mut self, event: &Event, now_ms: f64) {
        let offset = now_ms - event.at_ms;
        self.offset_ms = Some(self.offset_ms.map_or(offset, |o| o.min(offset)));
        self.rungs.take(&event.event, &event.more);
        let word = |key: &str| event.more.get(key).and_then(|v| v.as_str()).unwrap_or_default();
        match event.event.as_str() {
            "state" => {
                // A wake is a load of the kind that a waiter hopes for.
                let is_loading = matches!(word("to"), "loading" | "waking");
                self.tally.loads += u64::from(word("to") == "loading");
                let change = Change { at_ms: event.at_ms, is_loading };
                self.changes.entry(word("component").to_owned()).or_default().push(change);
            }
            "victim" => self.tally.evictions += 1,
            "hint" if word("outcome") == "started" => self.tally.preloads += 1,
            "preload" => {
                let result = event.more.get("result");
                match result.and_then(|r| r.get("end")).and_then(|e| e.as_str()) {
                    Some("hit") => self.tally.hits += 1,
                    Some("late") => self.tally.late += 1,
                    Some("wasted") => self.tally.wasted += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The part of a wait before a load for it began, in milliseconds: nothing if one of the
    /// components was being loaded already, and all of it if none was loaded. Times are of this
    /// process's clock.
    pub(super) fn before_load(&self, components: &[String], from_ms: f64, to_ms: f64) -> f64 {
        let wait = (to_ms - from_ms).max(0.0);
        let Some(offset) = self.offset_ms else { return wait };
        let (from, to) = (from_ms - offset, to_ms - offset);
        let changes = || components.iter().filter_map(|c| self.changes.get(c));
        let was_loading = changes().any(|all| {
            all.iter().take_while(|c| c.at_ms < from).last().is_some_and(|c| c.is_loading)
        });
        if was_loading {
            return 0.0;
        }
        let first = changes()
            .flatten()
            .filter(|c| c.is_loading && c.at_ms >= from && c.at_ms <= to)
            .map(|c| c.at_ms)
            .min_by(f64::total_cmp);
        first.map_or(wait, |at| at - from)
    }

    /// Counts from now on. Parks and wakes before the day stay counted: their bytes are those of the day's components.
    pub(super) fn begin_day(&mut self) {
        self.tally = Tally::default();
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn rungs(&self) -> Rungs {
        self.rungs.clone()
    }
}

/// An event as it is kept.
#[derive(Serialize)]
struct Kept<'a> {
    /// When it arrived, on the clock of the commands.
    now_ms: f64,
    #[serde(flatten)]
    event: &'a Event,
}

/// Follows the server of a day. Each event is also written to a file, a line of JSON each.
pub(super) async fn follow(address: Address, kept: &Path) -> anyhow::Result<Follower<Seen>> {
    let kept =
        File::create(kept).with_context(|| format!("{} cannot be written", kept.display()))?;
    let mut kept = LineWriter::new(kept);
    let take = move |seen: &mut Seen, next| match next {
        Streamed::Next(event, _) => {
            let now_ms = clock::seconds() * 1e3;
            seen.take(&event, now_ms);
            // They explain a wait; the figures do without.
            let line = serde_json::to_string(&Kept { now_ms, event: &event });
            let _ = line.map(|line| writeln!(kept, "{line}"));
        }
        Streamed::Gap(gap) => seen.tally.missed += gap.missed.unwrap_or(1),
    };
    Follower::start(address, take).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(at_ms: f64, event: &str, more: &serde_json::Value) -> Event {
        let more = more.as_object().cloned().unwrap_or_default();
        Event { seq: 0, at_ms, time: 0, event: event.to_owned(), text: String::new(), more }
    }

    #[test]
    fn waiting_before_a_load_ends_when_a_load_begins() {
        let mut seen = Seen::default();
        let state = |at_ms, to: &str| event(at_ms, "state", &json!({"component": "a", "to": to}));
        // The clocks differ by 1000 ms, and an event takes a moment to arrive.
        seen.take(&state(100.0, "queued"), 1_100.5);
        seen.take(&state(140.0, "loading"), 1_140.0);
        seen.take(&state(200.0, "ready"), 1_200.2);
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let before = |from, to| seen.before_load(&names(&["a", "b"]), from, to);
        assert_eq!(before(1_100.0, 1_201.0), 40.0);
        // A load was under way.
        assert_eq!(before(1_150.0, 1_201.0), 0.0);
        // Nothing was loaded.
        assert_eq!(before(1_300.0, 1_310.0), 10.0);
        seen.take(&state(400.0, "waking"), 1_400.0);
        assert_eq!(seen.before_load(&names(&["a"]), 1_350.0, 1_500.0), 50.0);
        assert_eq!(seen.before_load(&names(&["b"]), 1_100.0, 1_201.0), 101.0);
        assert_eq!(seen.tally().loads, 1);
    }

    #[test]
    fn preloads_are_counted_by_their_end() {
        let mut seen = Seen::default();
        seen.take(&event(1.0, "hint", &json!({"outcome": "started"})), 1.0);
        seen.take(&event(1.0, "hint", &json!({"outcome": "present"})), 1.0);
        for end in ["hit", "late", "wasted", "wasted", "failed"] {
            seen.take(&event(2.0, "preload", &json!({"result": {"end": end}})), 2.0);
        }
        seen.take(&event(3.0, "victim", &json!({})), 3.0);
        let t = seen.tally();
        assert_eq!((t.preloads, t.hits, t.late, t.wasted, t.evictions), (1, 1, 1, 2, 1));
        seen.take(&event(4.0, "parked", &json!({"freed": 5, "expected": 5})), 4.0);
        seen.begin_day();
        assert_eq!((seen.tally(), seen.rungs().parks), (Tally::default(), 1));
    }
}
