//! V-rank: keep the components that are most likely to be used, per byte; fall back to LRU where LRU does better.
//!
//! Knows the predictor's [`Values`] and the events of uses, but not how the values come about. A
//! component is worth the probability that it is demanded within the horizon, in wait mode times its load time. One
//! scale serves both decisions: the lowest worth per byte (in wait mode weighted by the age of the last use) is evicted
//! first, and a preload displaces its victims only if its worth exceeds theirs together. Invariant: while the shadow LRU
//! led by more than a margin over the last window of uses, the ranking is LRU's and no preload is worth a victim.

mod shadow;

use std::time::Duration;

use majordomo_core::{ByteSize, Moment, StatusValue, Value, Values};

use super::{Candidate, EvictionPolicy, Lru, PolicyEvent, Ranked, demand_probability};
use shadow::ShadowLru;

/// In wait mode the order of victims gives so much weight to the age of the last use, as an exponent: the model's
/// probabilities of components that were all used lately differ by less than they are wrong.
const RECENCY: f64 = 0.25;
/// How fast the usual load time follows the uses.
const USUAL_RATE: f64 = 0.02;

fn log_seconds(load_time: Duration) -> f64 {
    load_time.as_secs_f64().max(1e-6).ln()
}

/// The cost that V-rank minimizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VRankMode {
    /// Misses: every use counts the same.
    #[default]
    Hits,
    /// Waiting: a use counts by the load time it would cost.
    Wait,
}

/// Settings of [`VRank`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VRankConfig {
    /// The cost to minimize.
    pub mode: VRankMode,
    /// Uses over which V-rank and the shadow LRU are compared, and for which a fallback lasts. Range
    /// 50..=100000, default 500.
    pub window: usize,
    /// Share of the window by which the shadow must lead before the fallback. Range 0..=1, default 0.02.
    pub margin: f64,
    /// Bytes the shadow may hold. Default: the most that was ever loaded at once.
    pub capacity: Option<ByteSize>,
}

impl Default for VRankConfig {
    fn default() -> Self {
        Self { mode: VRankMode::default(), window: 500, margin: 0.02, capacity: None }
    }
}

/// Eviction by predicted value, with a shadow LRU beside it.
#[derive(Debug)]
pub struct VRank {
    /// As configured.
    configured: VRankMode,
    /// As it is now: waits, where rungs are on offer.
    mode: VRankMode,
    /// Mean logarithm of the load times (in seconds) of late uses; none before the first.
    usual_load: Option<f64>,
    shadow: ShadowLru,
}

impl VRank {
    /// A policy without history. Settings out of range are clamped.
    #[must_use]
    pub fn new(config: VRankConfig) -> Self {
        let window = config.window.clamp(50, 100_000);
        let margin = if config.margin.is_nan() { 0.0 } else { config.margin.clamp(0.0, 1.0) };
        let by_time = config.mode == VRankMode::Wait;
        let shadow = ShadowLru::new(window, margin, config.capacity, by_time);
        Self { configured: config.mode, mode: config.mode, usual_load: None, shadow }
    }

    fn recency(&self, age: Duration) -> f64 {
        match self.mode {
            VRankMode::Hits => 1.0,
            VRankMode::Wait => age.as_secs_f64().max(0.1).powf(-RECENCY),
        }
    }

    /// Whether it ranks as LRU at present because the shadow did better.
    #[must_use]
    pub fn is_fallen_back(&self) -> bool {
        self.shadow.leads()
    }
}

impl Default for VRank {
    fn default() -> Self {
        Self::new(VRankConfig::default())
    }
}

impl EvictionPolicy for VRank {
    fn name(&self) -> &'static str {
        match self.mode {
            VRankMode::Hits => "vrank",
            VRankMode::Wait => "vrank-wait",
        }
    }

    fn on_event(&mut self, event: &PolicyEvent) {
        if let PolicyEvent::Used { load_time, .. } = *event {
            let log = log_seconds(load_time);
            let usual = self.usual_load.get_or_insert(log);
            *usual += USUAL_RATE * (log - *usual);
        }
        self.shadow.on_event(event);
    }

    fn rank(&self, candidates: &[Candidate], values: &Values, now: Moment) -> Vec<Ranked> {
        // Before anything was learned recency is all there is.
        if self.is_fallen_back() || values.version() == 0 {
            return Lru.rank(candidates, values, now);
        }
        let keep = |c: &Candidate| {
            let per_byte = c.worth / c.size.as_mib_f64().max(1e-6);
            per_byte * self.recency(now.since(c.last_use))
        };
        candidates.iter().map(|c| Ranked { key: c.key, keep: keep(c) }).collect()
    }

    /// Expected hits or, in wait mode, seconds of waiting saved within the horizon.
    fn worth(&self, value: Value, load_time: Duration) -> f64 {
        match self.mode {
            VRankMode::Hits => demand_probability(value),
            VRankMode::Wait => demand_probability(value) * load_time.as_secs_f64(),
        }
    }

    /// Never during a fallback.
    fn pays(&self, gain: f64, loss: f64) -> bool {
        !self.is_fallen_back() && gain > loss
    }

    fn parks_first(&self, values: &Values) -> bool {
        self.is_fallen_back() || values.version() == 0
    }

    fn value_waits(&mut self, rungs: bool) {
        self.mode = if rungs { VRankMode::Wait } else { self.configured };
        self.shadow.count_time(self.mode == VRankMode::Wait);
    }

    fn set_swap_room(&mut self, room: ByteSize) {
        self.shadow.set_swap_room(room);
    }

    fn judges_unused(&self) -> bool {
        !self.is_fallen_back()
    }

    /// 1 in hit mode; in wait mode its load time over the usual one, within 0.25..=4.
    fn stakes(&self, load_time: Duration) -> f64 {
        match (self.mode, self.usual_load) {
            (VRankMode::Wait, Some(usual)) => {
                (log_seconds(load_time) - usual).exp().clamp(0.25, 4.0)
            }
            _ => 1.0,
        }
    }

    fn weighs_load_time(&self) -> bool {
        self.mode == VRankMode::Wait
    }

    fn set_capacity(&mut self, capacity: ByteSize) {
        self.shadow.set_capacity(capacity);
    }

    /// Shares of hits (in wait mode of load time that was not waited for) of the last window beside the shadow's, and
    /// fallbacks.
    fn section(&self) -> Vec<(String, StatusValue)> {
        self.shadow.section()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_core::{ComponentKey, Confidence, Priority, Value};

    fn candidate(key: u32, mib: u64, worth: f64, last_use: u64) -> Candidate {
        Candidate {
            key: ComponentKey(key),
            priority: Priority::Medium,
            size: ByteSize::mib(mib),
            worth,
            last_use: Moment(last_use),
            uses: 1,
            speculative: false,
        }
    }

    fn values(rows: &[(f32, f32)]) -> Values {
        let mut values = Values::new();
        values.refresh(rows.iter().map(|(next, reuse)| Value {
            next: Confidence::saturating(*next),
            reuse: Confidence::saturating(*reuse),
        }));
        values
    }

    fn order(policy: &VRank, candidates: &[Candidate], values: &Values) -> Vec<u32> {
        let mut ranked = policy.rank(candidates, values, Moment(1_000_000_000));
        ranked.sort_by(|a, b| a.keep.total_cmp(&b.keep));
        ranked.iter().map(|r| r.key.0).collect()
    }

    #[test]
    fn component_with_the_lowest_value_per_byte_is_evicted_first() {
        let v = values(&[(0.1, 0.5), (0.3, 0.1), (0.0, 0.0), (0.1, 0.5)]);
        let wait = VRank::new(VRankConfig { mode: VRankMode::Wait, ..VRankConfig::default() });
        let check = |policy: &VRank, want: [u32; 4]| {
            let rows = [(10, 100), (10, 10), (10, 100), (100, 100)];
            let rows = (0..).zip(rows).map(|(key, (mib, load_ms))| {
                let value = v.get(ComponentKey(key));
                let worth = policy.worth(value, Duration::from_millis(load_ms));
                candidate(key, mib, worth, u64::from(key))
            });
            assert_eq!(order(policy, &rows.collect::<Vec<_>>(), &v), want);
        };
        check(&VRank::default(), [2, 3, 0, 1]);
        check(&wait, [2, 3, 1, 0]);
        let c = [candidate(0, 10, 0.02, 1), candidate(3, 10, 0.02, 999_000_000)];
        assert_eq!(order(&wait, &c, &v), [0, 3], "of equal worth, the one used longer ago");
    }

    #[test]
    fn load_time_counts_in_wait_mode() {
        let value = |next| Value { next: Confidence::saturating(next), ..Value::default() };
        let (likely, slow) =
            ((value(0.6), Duration::from_millis(100)), (value(0.3), Duration::from_secs(1)));
        let wait = VRank::new(VRankConfig { mode: VRankMode::Wait, ..VRankConfig::default() });
        let worth = |policy: &VRank, c: (Value, Duration)| policy.worth(c.0, c.1);
        let hits = VRank::default();
        assert!(hits.pays(worth(&hits, likely), worth(&hits, slow)));
        assert!(wait.pays(worth(&wait, slow), worth(&wait, likely)));
        assert!(!wait.pays(worth(&wait, slow), worth(&wait, slow)), "a tie does not pay");
    }

    /// Two components in turn with room for two, but a policy that keeps missing: LRU would hit.
    #[test]
    fn ranking_falls_back_to_lru_while_the_shadow_leads_and_returns_after_a_window() {
        let mut policy = VRank::new(VRankConfig {
            window: 50,
            capacity: Some(ByteSize::mib(2)),
            ..VRankConfig::default()
        });
        let v = values(&[(0.9, 0.9), (0.0, 0.0)]);
        let c = [candidate(0, 1, 0.9, 1), candidate(1, 1, 0.0, 2)];
        let (size, load_time) = (ByteSize::mib(1), Duration::from_millis(10));
        let missed = |policy: &mut VRank, n: u32| {
            for i in 0..n {
                let (key, at) = (ComponentKey(i % 2), Moment(u64::from(i)));
                policy.on_event(&PolicyEvent::Loaded {
                    key,
                    at,
                    size,
                    load_time,
                    saved: Duration::ZERO,
                    parks: Duration::ZERO,
                    speculative: false,
                });
                let rung = None;
                policy.on_event(&PolicyEvent::Used { key, at, uses: 1, size, load_time, rung });
                policy.on_event(&PolicyEvent::Unloaded { key, at, evicted: true });
            }
        };
        missed(&mut policy, 49);
        assert!(!policy.is_fallen_back());
        assert_eq!(order(&policy, &c, &v), [1, 0]);
        missed(&mut policy, 1);
        assert!(policy.is_fallen_back());
        assert_eq!(order(&policy, &c, &v), [0, 1], "now by recency");
        assert!(!policy.pays(1.0, 0.0));
        missed(&mut policy, 50);
        assert!(!policy.is_fallen_back(), "a fallback lasts one window");
        missed(&mut policy, 50);
        assert!(policy.is_fallen_back());
    }
}
