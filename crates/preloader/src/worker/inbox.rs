//! Reports to a worker that may be loading: taken at once, merged, and in order of time.
//!
//! No report waits and none is lost, so every caller, the load function included, continues at once. Bounded by
//! construction: of each component the first and last use and the first unload are kept, of observations the latest
//! and the number it replaced. The core would make no more of them, since it starts no load meanwhile.

use std::collections::BTreeMap;

use majordomo_core::{ComponentKey, Moment, PressureLevel};

use super::super::hint::Hint;
use super::super::preloader::Preloader;

/// The moment of a report; the number keeps the order of reports at one moment. Hints have number 0.
type Stamp = (Moment, u64);

/// The reports that the worker has not read yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    n_reports: u64,
    used: BTreeMap<ComponentKey, (Stamp, Stamp)>,
    evicted: BTreeMap<ComponentKey, Stamp>,
    observed: Option<(Stamp, Vec<Hint>)>,
    /// Number of observations before that one.
    replaced: u64,
    pressure: Option<PressureLevel>,
}

/// A merged report, or a hint.
enum Report {
    Hint(Hint),
    Observed(Vec<Hint>),
    Used(ComponentKey),
    Evicted(ComponentKey),
}

impl Inbox {
    fn stamp(&mut self, at: Moment) -> Stamp {
        self.n_reports += 1;
        (at, self.n_reports)
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

    /// Passes all reports, and the hints from the lanes, to the core in order of time. Returns a changed pressure.
    pub(super) fn into_core(
        self,
        hints: impl Iterator<Item = (Moment, Hint)>,
        core: &mut Preloader,
    ) -> Option<PressureLevel> {
        let mut reports: Vec<(Stamp, Report)> =
            hints.map(|(at, hint)| ((at, 0), Report::Hint(hint))).collect();
        reports.extend(self.observed.map(|(at, predicted)| (at, Report::Observed(predicted))));
        for (key, (first, last)) in self.used {
            reports.push((first, Report::Used(key)));
            if last != first {
                reports.push((last, Report::Used(key)));
            }
        }
        reports.extend(self.evicted.into_iter().map(|(key, at)| (at, Report::Evicted(key))));
        reports.sort_by_key(|(stamp, _)| *stamp);
        for ((at, _), report) in reports {
            match report {
                Report::Hint(hint) => {
                    core.hint(hint, at);
                }
                Report::Observed(predicted) => {
                    // Replaced observations count too, without their outdated predictions.
                    (0..self.replaced).for_each(|_| core.observed(at, false));
                    core.observe(&predicted, at);
                }
                Report::Used(key) => {
                    core.on_demand(&[key], at);
                    core.on_used(key, at);
                }
                Report::Evicted(key) => {
                    core.on_evicted(key, at);
                }
            }
        }
        self.pressure
    }
}
