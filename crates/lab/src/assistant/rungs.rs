//! Parks and wakes of a run, from the events of its server.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::figures::quantile;

/// Counts, bytes and times of rungs; all zero where none is offered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rungs {
    pub(crate) parks: u64,
    pub(crate) wakes: u64,
    /// Wakes and parks that ended in an unload instead.
    pub(crate) falls: u64,
    /// Components that are not parked any more, because steps failed too often.
    pub(crate) given_up: u64,
    /// Bytes that parks freed, and those that they were booked to free.
    pub(crate) freed: u64,
    pub(crate) expected: u64,
    /// Bytes freed without those beyond the booking of their park, so that one park does not make up for another.
    pub(crate) covered: u64,
    /// Bytes that parked components have in swap, summed over parks.
    pub(crate) swapped: u64,
    pub(crate) park_ms: Vec<f64>,
    pub(crate) wake_ms: Vec<f64>,
}

impl Rungs {
    /// Takes in an event with its members.
    pub(crate) fn take(&mut self, event: &str, more: &Map<String, Value>) {
        let number = |key: &str| more.get(key).and_then(Value::as_u64).unwrap_or(0);
        let word = |key: &str| more.get(key).and_then(Value::as_str).unwrap_or_default();
        let took_ms = || number("took_us") as f64 / 1e3;
        match event {
            "parked" => {
                self.parks += 1;
                self.freed += number("freed");
                self.expected += number("expected");
                self.covered += number("freed").min(number("expected"));
                self.swapped += number("swapped");
                self.park_ms.push(took_ms());
            }
            "woken" => {
                self.wakes += 1;
                self.wake_ms.push(took_ms());
            }
            "never_parked" => self.given_up += 1,
            "state"
                if word("to") == "unloading" && matches!(word("from"), "waking" | "parking") =>
            {
                self.falls += 1;
            }
            _ => {}
        }
    }

    /// Adds another run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.parks += other.parks;
        self.wakes += other.wakes;
        self.falls += other.falls;
        self.given_up += other.given_up;
        self.freed += other.freed;
        self.expected += other.expected;
        self.covered += other.covered;
        self.swapped += other.swapped;
        self.park_ms.extend(&other.park_ms);
        self.wake_ms.extend(&other.wake_ms);
    }

    /// The share of the bytes booked as freed that were freed, each park for itself; none where nothing was booked.
    pub(crate) fn freed_share(&self) -> Option<f64> {
        (self.expected > 0).then(|| self.covered as f64 / self.expected as f64)
    }
}

/// The median of times; none without one.
pub(crate) fn median(times: &[f64]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| quantile(&sorted, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parks_wakes_and_falls_are_counted_with_their_bytes_and_times() {
        let mut rungs = Rungs::default();
        let mut take = |event: &str, more: Value| {
            rungs.take(event, more.as_object().unwrap());
        };
        take("parked", json!({"freed": 90, "expected": 100, "swapped": 80, "took_us": 7_000}));
        take("parked", json!({"freed": 150, "expected": 100, "swapped": 90, "took_us": 3_000}));
        for took_us in [9_000, 1_000, 5_000] {
            take("woken", json!({"took_us": took_us}));
        }
        take("state", json!({"from": "waking", "to": "unloading"}));
        take("state", json!({"from": "ready", "to": "unloading"}));
        take("state", json!({"from": "waking", "to": "ready"}));
        take("never_parked", json!({"component": "a"}));
        assert_eq!((rungs.parks, rungs.wakes, rungs.falls, rungs.given_up), (2, 3, 1, 1));
        assert_eq!((rungs.freed_share(), rungs.swapped), (Some(0.95), 170));
        assert_eq!((median(&rungs.wake_ms), median(&rungs.park_ms)), (Some(5.0), Some(3.0)));
        let mut both = rungs.clone();
        both.add(&rungs);
        assert_eq!((both.wakes, both.wake_ms.len(), both.freed, both.covered), (6, 6, 480, 380));
        assert_eq!((median(&[]), Rungs::default().freed_share()), (None, None));
    }
}
