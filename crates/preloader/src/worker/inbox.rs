//! What the caller tells a worker while it may be loading: taken at once, merged, and in order of time.
//!
//! Nothing here waits and nothing is lost, so that whoever tells, the load function included, goes on. Bounded by
//! construction: of each component its first and last use and its first leaving are kept, of observations the last
//! and a count of those it replaced. That is all the core would make of them, since it begins no load meanwhile.

use std::collections::BTreeMap;

use majordomo_core::{ComponentKey, Moment, PressureLevel};

use super::super::hint::Hint;
use super::super::preloader::Preloader;

/// When something was told; the number keeps the order of what was told in one moment. Hints have number 0.
type Stamp = (Moment, u64);

/// What was told and not taken in yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    n_told: u64,
    used: BTreeMap<ComponentKey, (Stamp, Stamp)>,
    evicted: BTreeMap<ComponentKey, Stamp>,
    observed: Option<(Stamp, Vec<Hint>)>,
    /// Observations before that one.
    replaced: u64,
    pressure: Option<PressureLevel>,
}

/// One thing to take in.
enum Told {
    Hint(Hint),
    Observed(Vec<Hint>),
    Used(ComponentKey),
    Evicted(ComponentKey),
}

impl Inbox {
    fn stamp(&mut self, at: Moment) -> Stamp {
        self.n_told += 1;
        (at, self.n_told)
    }

    pub(super) fn used(&mut self, key: ComponentKey, at: Moment) {
        let stamp = self.stamp(at);
        self.used.entry(key).or_insert((stamp, stamp)).1 = stamp;
    }

    pub(super) fn evicted(&mut self, key: ComponentKey, at: Moment) {
        let stamp = self.stamp(at);
        self.evicted.entry(key).or_insert(stamp);
    }

    pub(super) fn observed(&mut self, predicted: Vec<Hint>, at: Moment) {
        let stamp = self.stamp(at);
        self.replaced += u64::from(self.observed.replace((stamp, predicted)).is_some());
    }

    pub(super) fn pressure(&mut self, level: PressureLevel) {
        self.pressure = Some(level);
    }

    /// Takes everything in, with the hints from the lanes, in order of time; the pressure, if it changed.
    pub(super) fn into_core(
        self,
        hints: impl Iterator<Item = (Moment, Hint)>,
        core: &mut Preloader,
    ) -> Option<PressureLevel> {
        let mut told: Vec<(Stamp, Told)> =
            hints.map(|(at, hint)| ((at, 0), Told::Hint(hint))).collect();
        told.extend(self.observed.map(|(at, predicted)| (at, Told::Observed(predicted))));
        for (key, (first, last)) in self.used {
            told.push((first, Told::Used(key)));
            if last != first {
                told.push((last, Told::Used(key)));
            }
        }
        told.extend(self.evicted.into_iter().map(|(key, at)| (at, Told::Evicted(key))));
        told.sort_by_key(|(stamp, _)| *stamp);
        for ((at, _), told) in told {
            match told {
                Told::Hint(hint) => {
                    core.hint(hint, at);
                }
                Told::Observed(predicted) => {
                    // Each counts, as an observation; their predictions are old.
                    (0..self.replaced).for_each(|_| core.observed(at, false));
                    core.observe(&predicted, at);
                }
                Told::Used(key) => {
                    core.on_demand(key, at);
                    core.on_used(key, at);
                }
                Told::Evicted(key) => {
                    core.on_evicted(key, at);
                }
            }
        }
        self.pressure
    }
}
