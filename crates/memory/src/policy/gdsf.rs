//! Greedy-dual-size-frequency (Cherkasova 1998): frequency × cost of loading / size, with inflation.

use majordomo_core::{ByteSize, Moment, Values};
use std::time::Duration;

use super::{Candidate, EvictionPolicy, PolicyEvent, Ranked};

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    frequency: f64,
    keep: f64,
}

/// `keep = L + uses while loaded × load time (ms) / size (MiB)`, where `L` is the value of the last victim.
#[derive(Debug, Default)]
pub struct Gdsf {
    inflation: f64,
    entries: Vec<Entry>,
}

impl Gdsf {
    fn entry(&mut self, index: usize) -> &mut Entry {
        if self.entries.len() <= index {
            self.entries.resize(index + 1, Entry::default());
        }
        &mut self.entries[index]
    }

    fn score(&mut self, index: usize, size: ByteSize, load_time: Duration) {
        let inflation = self.inflation;
        let e = self.entry(index);
        let cost = load_time.as_secs_f64() * 1e3 / size.as_mib_f64().max(1e-6);
        e.keep = inflation + e.frequency * cost;
    }
}

impl EvictionPolicy for Gdsf {
    fn name(&self) -> &'static str {
        "gdsf"
    }

    fn on_event(&mut self, event: &PolicyEvent) {
        match *event {
            PolicyEvent::Loaded { key, size, load_time, .. } => {
                // The use that a demand load is for arrives as `Used`; a preload has none yet.
                self.entry(key.index()).frequency = 0.0;
                self.score(key.index(), size, load_time);
            }
            PolicyEvent::Used { key, uses, size, load_time, .. } => {
                self.entry(key.index()).frequency += uses as f64;
                self.score(key.index(), size, load_time);
            }
            PolicyEvent::Unloaded { key, evicted, .. } => {
                let keep = std::mem::take(self.entry(key.index())).keep;
                if evicted {
                    self.inflation = self.inflation.max(keep);
                }
            }
        }
    }

    fn rank(&self, candidates: &[Candidate], _values: &Values, _now: Moment) -> Vec<Ranked> {
        candidates
            .iter()
            .map(|c| Ranked {
                key: c.key,
                keep: self.entries.get(c.key.index()).map_or(0.0, |e| e.keep),
            })
            .collect()
    }
}
