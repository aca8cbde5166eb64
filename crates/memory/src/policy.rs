//! The trait that every eviction policy implements, and the order of victims.

mod gdsf;
mod lru;
mod product;
mod steps;
mod vrank;

pub use gdsf::Gdsf;
pub use lru::Lru;
pub use product::product_policy;
pub use steps::{Point, lower_hull};
pub use vrank::{VRank, VRankConfig, VRankMode};

use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, Confidence, Moment, Priority, StatusValue, Value, Values,
};

/// An event that a policy learns from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PolicyEvent {
    /// A component became ready.
    Loaded {
        /// The component that is ready now.
        key: ComponentKey,
        /// When.
        at: Moment,
        /// Its booked bytes.
        size: ByteSize,
        /// How long its load took, or is expected to take.
        load_time: Duration,
        /// The part of that time that was saved because it was woken.
        saved: Duration,
        /// How long the demand that it was loaded for waited for parks besides.
        parks: Duration,
        /// It is a preload: no demand has asked for the component yet.
        speculative: bool,
    },
    /// A component was used.
    Used {
        /// The component that was used.
        key: ComponentKey,
        /// When it was last used.
        at: Moment,
        /// How often since the last such event.
        uses: u64,
        /// Its booked bytes.
        size: ByteSize,
        /// How long its load takes.
        load_time: Duration,
        /// The rung that frees most of it, if it may be parked.
        rung: Option<RungOfUse>,
    },
    /// A component left memory.
    Unloaded {
        /// The component that is in memory no more.
        key: ComponentKey,
        /// When.
        at: Moment,
        /// It was evicted, rather than having failed or been unloaded by an operator.
        evicted: bool,
    },
}

/// A component at the rung where it would be parked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RungOfUse {
    /// The bytes that stay in its own pool.
    pub stays: ByteSize,
    /// The bytes that are in swap.
    pub swapped: ByteSize,
    /// How long a park takes.
    pub enter: Duration,
    /// How long a wake takes.
    pub wake: Duration,
}

/// A component that may be evicted, together with all loaded components that depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The component that would be evicted.
    pub key: ComponentKey,
    /// The highest priority of itself and its live dependents.
    pub priority: Priority,
    /// Bytes that the eviction of the component and its live dependents frees; where memory is short, in the accounts
    /// that lack some.
    pub size: ByteSize,
    /// The sum of the worths of the component and its live dependents, as of [`EvictionPolicy::worth`].
    pub worth: f64,
    /// Its own or its dependents' latest use; the time it became ready when never used.
    pub last_use: Moment,
    /// Uses of this component in this process.
    pub uses: u64,
    /// It is an unused preload that the policy does not judge: it is evicted before all others.
    pub speculative: bool,
}

/// The value of keeping a candidate: at least 0, larger = keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The ranked component.
    pub key: ComponentKey,
    /// The value; finite and not negative.
    pub keep: f64,
}

/// An eviction policy. Deterministic: the same events and calls give the same answers.
pub trait EvictionPolicy: Send + std::fmt::Debug {
    /// Its name in tables.
    fn name(&self) -> &'static str;
    /// Learns from an event.
    fn on_event(&mut self, event: &PolicyEvent);
    /// Scores the candidates, in their order.
    fn rank(&self, candidates: &[Candidate], values: &Values, now: Moment) -> Vec<Ranked>;

    /// The saving by one loaded component, on the scale that preloads and their victims are compared on: by default the
    /// expected seconds of waiting within the horizon.
    fn worth(&self, value: Value, load_time: Duration) -> f64 {
        demand_probability(value) * load_time.as_secs_f64()
    }

    /// Whether a preload that gains so much may displace components whose loss is so great, all on the scale of
    /// [`worth`](Self::worth): never at a loss.
    fn pays(&self, gain: f64, loss: f64) -> bool {
        gain > loss
    }

    /// Whether its scores judge unused preloads. If not, they are evicted first.
    fn judges_unused(&self) -> bool {
        false
    }

    /// Whether it parks every component that it may before any is unloaded: it does not know what a rung is worth.
    fn parks_first(&self, _values: &Values) -> bool {
        true
    }

    /// Whether rungs are on offer: then a count of hits does not distinguish a short wait from a long one.
    fn value_waits(&mut self, _rungs: bool) {}

    /// Sets the bytes that parked components may have in swap, all together.
    fn set_swap_room(&mut self, _room: ByteSize) {}

    /// The weight of a right prediction for a component with this load time, 1 being usual. The floor of speculation is
    /// compared with a hint's confidence times this weight.
    fn stakes(&self, _load_time: Duration) -> f64 {
        1.0
    }

    /// Whether `stakes` differ between load times.
    fn weighs_load_time(&self) -> bool {
        false
    }

    /// Sets the bytes that components have to themselves; called at the start and when they change.
    fn set_capacity(&mut self, _capacity: ByteSize) {}

    /// Lines for the status.
    fn section(&self) -> Vec<(String, StatusValue)> {
        Vec::new()
    }
}

/// Share of the horizon's weight on the next command, since the decision is made again then; the rest is on the commands
/// within the predictor's horizon. ADR 0028 states which other shares do as well.
const NEXT_SHARE: f64 = 0.75;

/// Probability that a component is demanded within the horizon.
#[must_use]
pub fn demand_probability(value: Value) -> f64 {
    let (next, reuse) = (f64::from(value.next.get()), f64::from(value.reuse.get()));
    NEXT_SHARE * next + (1.0 - NEXT_SHARE) * reuse
}

/// A value beside the confidence that a hint states. That is a probability of a demand within the horizon, so it stands
/// for both of the value's probabilities.
#[must_use]
pub fn with_stated(value: Value, stated: Option<Confidence>) -> Value {
    let Some(stated) = stated else { return value };
    Value { next: value.next.max(stated), reuse: value.reuse.max(stated) }
}

/// Positions in `candidates` in the order of eviction: unused preloads first, then by
/// `(floor(log2 keep), priority, keep, last use, key)`. Total and transitive: scores within a factor of two
/// are alike, and there priority decides; where no value is known, the least recently used is evicted.
#[must_use]
pub fn victim_order(candidates: &[Candidate], ranked: &[Ranked]) -> Vec<usize> {
    debug_assert_eq!(candidates.len(), ranked.len());
    let octave = |keep: f64| if keep > 0.0 { keep.log2().floor() as i32 } else { i32::MIN };
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| {
        let (ca, cb, ka, kb) = (&candidates[a], &candidates[b], ranked[a].keep, ranked[b].keep);
        cb.speculative
            .cmp(&ca.speculative)
            .then(octave(ka).cmp(&octave(kb)))
            .then(cb.priority.cmp(&ca.priority))
            .then(ka.total_cmp(&kb))
            .then(ca.last_use.cmp(&cb.last_use))
            .then(ca.key.cmp(&cb.key))
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(key: u32, priority: Priority) -> Candidate {
        Candidate {
            key: ComponentKey(key),
            priority,
            size: ByteSize::mib(1),
            worth: 0.0,
            last_use: Moment::ZERO,
            uses: 1,
            speculative: false,
        }
    }

    #[test]
    fn priority_decides_between_like_scores_only() {
        let c = [
            candidate(0, Priority::High),
            candidate(1, Priority::Low),
            candidate(2, Priority::Low),
        ];
        let check = |keeps: [f64; 3], want: [usize; 3]| {
            let r: Vec<_> =
                c.iter().zip(keeps).map(|(c, keep)| Ranked { key: c.key, keep }).collect();
            assert_eq!(victim_order(&c, &r), want, "{keeps:?}");
        };
        check([1.0, 1.9, 1.5], [2, 1, 0]);
        check([1.0, 2.1, 2.2], [0, 1, 2]);
        check([0.0, 0.0, 1e-9], [1, 0, 2]);
    }
}
