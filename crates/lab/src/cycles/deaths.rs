//! Events of the server: parks and wakes, and deaths that no request asked for.

use std::collections::BTreeMap;

use majordomo_server::Address;
use majordomo_server::client::Streamed;
use majordomo_server::wire::Event;
use serde_json::Value;

use crate::assistant::rungs::Rungs;
use crate::follower::Follower;

/// Causes of a change of state that mean a death.
const DEATHS: [&str; 5] = ["exited", "ended", "out_of_memory", "unhealthy", "load_failed"];
/// States that a component without a fault never has.
const FAULTS: [&str; 3] = ["failed", "quarantined", "stuck"];

/// Everything that was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) rungs: Rungs,
    /// Those of each component.
    pub(super) of_components: BTreeMap<String, Rungs>,
    /// Loads that began.
    pub(super) loads: u64,
    /// Deaths, as the server words them.
    pub(super) deaths: Vec<String>,
    /// Falls through to an unload, as the server words them.
    pub(super) falls: Vec<String>,
    pub(super) missed: u64,
}

/// The word of a value that serde writes as a word, or as an object with it for data.
fn word(value: Option<&Value>) -> &str {
    match value {
        Some(Value::String(word)) => word,
        Some(Value::Object(object)) => object.keys().next().map_or("", String::as_str),
        _ => "",
    }
}

impl Seen {
    fn take(&mut self, event: &Event) {
        let n_falls = self.rungs.falls;
        self.rungs.take(&event.event, &event.more);
        if let Some(component) = event.more.get("component").and_then(Value::as_str) {
            let own = self.of_components.entry(component.to_owned()).or_default();
            own.take(&event.event, &event.more);
        }
        if self.rungs.falls > n_falls {
            self.falls.push(event.text.clone());
        }
        if event.event == "state" {
            let to = word(event.more.get("to"));
            self.loads += u64::from(to == "loading");
            if FAULTS.contains(&to) || DEATHS.contains(&word(event.more.get("cause"))) {
                self.deaths.push(event.text.clone());
            }
        }
    }
}

/// Follows the server whose components are parked and woken.
pub(super) async fn follow(address: Address) -> anyhow::Result<Follower<Seen>> {
    let take = |seen: &mut Seen, next| match next {
        Streamed::Next(event, _) => seen.take(&event),
        Streamed::Gap(gap) => seen.missed += gap.missed.unwrap_or(1),
    };
    Follower::start(address, take).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_exit_is_a_death_and_an_eviction_is_none() {
        let mut seen = Seen::default();
        let mut take = |more: Value| {
            let more = more.as_object().cloned().unwrap_or_default();
            let text = "lines: ready -> unloading".to_owned();
            seen.take(&Event {
                seq: 0,
                at_ms: 0.0,
                time: 0,
                event: "state".to_owned(),
                text,
                more,
            });
        };
        take(json!({"from": "unloaded", "to": "loading", "cause": {"demand": {"waiter": 3}}}));
        take(
            json!({"from": "ready", "to": "parking", "cause": {"evicted_for_demand": {"waiter": 3}}}),
        );
        take(json!({"from": "waking", "to": "unloading", "cause": "wake_timed_out"}));
        assert_eq!((seen.deaths.len(), seen.loads, seen.falls.len()), (0, 1, 1));
        let mut take = |more: Value| {
            let more = more.as_object().cloned().unwrap_or_default();
            let text = String::new();
            seen.take(&Event {
                seq: 0,
                at_ms: 0.0,
                time: 0,
                event: "state".to_owned(),
                text,
                more,
            });
        };
        take(json!({"from": "paged", "to": "unloading", "cause": {"exited": {"how": "by 9"}}}));
        take(
            json!({"from": "loading", "to": {"failed": {"retry_at": 3}}, "cause": "load_timed_out"}),
        );
        assert_eq!(seen.deaths.len(), 2);
    }
}
