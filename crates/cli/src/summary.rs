//! The figures of a run: hits, waits, loads, refusals, memory; measured, not estimated.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo::{
    ByteSize, ComponentState, EventKind, EventRecord, Followed, Follower, Manager, Outcome, Rung,
    count,
};

/// Memory of all live components as last measured, over time.
#[derive(Debug, Default)]
pub(crate) struct MemoryTrace {
    weighted: f64,
    seconds: f64,
    pub peak: ByteSize,
    last: Option<(u64, ByteSize)>,
}

impl MemoryTrace {
    fn add(&mut self, at_us: u64, now: ByteSize) {
        if let Some((before, bytes)) = self.last {
            let dt = at_us.saturating_sub(before) as f64 / 1e6;
            self.weighted += bytes.0 as f64 * dt;
            self.seconds += dt;
        }
        self.peak = self.peak.max(now);
        self.last = Some((at_us, now));
    }

    pub(crate) fn mean(&self) -> ByteSize {
        if self.seconds > 0.0 { ByteSize((self.weighted / self.seconds) as u64) } else { self.peak }
    }
}

/// Gathers the figures of a run.
#[derive(Debug)]
pub(crate) struct Summary {
    pub commands: u64,
    pub without_need: u64,
    pub hits: u64,
    pub waits: Vec<Duration>,
    pub refusals: BTreeMap<&'static str, u64>,
    pub loads: u64,
    pub unloads: u64,
    pub failures: u64,
    pub parks: u64,
    pub wakes: u64,
    /// Of each command whose need is known: whether exactly that was decided on.
    pub understood: Vec<bool>,
    pub memory: MemoryTrace,
    /// The highest measured of each component.
    pub each: BTreeMap<String, ByteSize>,
    follower: Follower,
    gaps: u64,
}

impl Summary {
    pub(crate) fn new(manager: &Manager) -> Self {
        Self {
            commands: 0,
            without_need: 0,
            hits: 0,
            waits: Vec::new(),
            refusals: BTreeMap::new(),
            loads: 0,
            unloads: 0,
            failures: 0,
            parks: 0,
            wakes: 0,
            understood: Vec::new(),
            memory: MemoryTrace::default(),
            each: BTreeMap::new(),
            follower: manager.events(Some(0)),
            gaps: 0,
        }
    }

    pub(crate) fn command(&mut self, outcome: &Outcome) {
        self.commands += 1;
        if let Some(refusal) = outcome.refusal() {
            *self.refusals.entry(refusal.code()).or_default() += 1;
        } else if outcome.needed().is_empty() {
            self.without_need += 1;
        } else if outcome.was_hit() {
            self.hits += 1;
            self.waits.push(Duration::ZERO);
        } else {
            self.waits.push(outcome.waited());
        }
    }

    /// Reads what happened since the last call; gives the memory in use now.
    pub(crate) async fn catch_up(&mut self, manager: &Manager) -> ByteSize {
        while let Some(followed) = self.follower.try_next() {
            match followed {
                Followed::Record(record) => self.record(&record),
                Followed::Gap(n) => self.gaps += n,
            }
        }
        let Ok(status) = manager.status().await else { return ByteSize::ZERO };
        let mut total = ByteSize::ZERO;
        for c in status.components.iter().filter(|c| c.state.is_alive()) {
            let Some(measured) = c.measured else { continue };
            total += measured;
            let known = self.each.entry(c.id.to_string()).or_default();
            *known = (*known).max(measured);
        }
        self.memory.add(status.at.0, total);
        total
    }

    fn record(&mut self, record: &EventRecord) {
        if let EventKind::State { from, to, .. } = &record.kind {
            match (from, to) {
                (ComponentState::Loading { from: Rung::Gone }, ComponentState::Ready) => {
                    self.loads += 1;
                }
                (ComponentState::Loading { .. }, ComponentState::Ready) => self.wakes += 1,
                (ComponentState::Unloading { .. }, ComponentState::Down(rung))
                    if rung.is_parked() =>
                {
                    self.parks += 1;
                }
                (_, ComponentState::Failed { .. } | ComponentState::Quarantined { .. }) => {
                    self.failures += 1;
                }
                (ComponentState::Unloading { .. }, ComponentState::Down(Rung::Gone)) => {
                    self.unloads += 1;
                }
                _ => {}
            }
        }
    }

    /// The mean wait of a command; hits count as zero.
    pub(crate) fn mean_wait(&self) -> Duration {
        let n = u32::try_from(self.waits.len()).unwrap_or(u32::MAX).max(1);
        self.waits.iter().sum::<Duration>() / n
    }

    /// The wait that a share of the commands did not exceed; hits count as zero.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let mut sorted = self.waits.clone();
        sorted.sort_unstable();
        let index = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(index.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Commands that had to wait for a load.
    pub(crate) fn n_waited(&self) -> u64 {
        self.waits.len() as u64 - self.hits
    }

    /// Resident memory if every component that was seen were loaded at once.
    pub(crate) fn everything(&self) -> ByteSize {
        self.each.values().copied().sum()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let ms = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
        serde_json::json!({
            "summary": {
                "commands": self.commands,
                "without_need": self.without_need,
                "hits": self.hits,
                "waited": self.n_waited(),
                "refusals": self.refusals,
                "wait_ms": { "p50": ms(self.percentile(0.5)), "p95": ms(self.percentile(0.95)), "p99": ms(self.percentile(0.99)) },
                "understood": self.understood.iter().filter(|u| **u).count(),
                "loads": self.loads,
                "unloads": self.unloads,
                "failures": self.failures,
                "parks": self.parks,
                "wakes": self.wakes,
                "memory_bytes": { "everything": self.everything(), "mean": self.memory.mean(), "peak": self.memory.peak },
                "events_missed": self.gaps,
            }
        })
    }

    /// How many of the commands were understood, and how that grew.
    fn learning(&self) -> Option<String> {
        let share =
            |of: &[bool]| 100.0 * of.iter().filter(|u| **u).count() as f64 / of.len().max(1) as f64;
        let all = &self.understood;
        let part = (all.len() / 4).clamp(1, 100);
        let (first, last) = (all.get(..part)?, all.get(all.len() - part..)?);
        Some(format!(
            "understood {:.1} % at once; of the first {part} {:.1} %, of the last {part} {:.1} %",
            share(all),
            share(first),
            share(last)
        ))
    }

    /// The figures as lines of text.
    pub(crate) fn lines(&self) -> Vec<String> {
        let answered = self.waits.len().max(1) as f64;
        let percent = |n: u64| 100.0 * n as f64 / answered;
        let time = crate::print::time;
        let mut lines = vec![
            format!(
                "commands   {} ({} {})",
                self.commands,
                self.without_need,
                // Where needs are known, nothing loaded means not understood.
                if self.understood.is_empty() { "needed no component" } else { "loaded nothing" }
            ),
            format!(
                "ready      {} at once ({:.1} %), {} waited ({:.1} %)",
                self.hits,
                percent(self.hits),
                self.n_waited(),
                percent(self.n_waited())
            ),
            format!(
                "wait       p50 {}, p95 {}, p99 {}",
                time(self.percentile(0.5)),
                time(self.percentile(0.95)),
                time(self.percentile(0.99))
            ),
            format!(
                "loads      {}, unloads {}, failures {}",
                self.loads, self.unloads, self.failures
            ),
        ];
        if self.parks > 0 {
            lines.push(format!("parks      {}, wakes {}", self.parks, self.wakes));
        }
        let refused: Vec<_> = self.refusals.iter().map(|(code, n)| format!("{code} {n}")).collect();
        lines.splice(1..1, self.learning());
        lines.push(format!(
            "refused    {}",
            if refused.is_empty() { "none".to_owned() } else { refused.join(", ") }
        ));
        let all = self.everything();
        let share = |b: ByteSize| if all.0 > 0 { 100.0 * b.0 as f64 / all.0 as f64 } else { 0.0 };
        lines.push(format!("resident   {all} if every component used were loaded at once"));
        lines.push(format!(
            "           {} mean ({:.0} %), {} peak ({:.0} %) as managed",
            self.memory.mean(),
            share(self.memory.mean()),
            self.memory.peak,
            share(self.memory.peak)
        ));
        if self.gaps > 0 {
            lines.push(format!(
                "           {} missed; counts are too low by these",
                count(self.gaps, "event")
            ));
        }
        lines
    }
}
